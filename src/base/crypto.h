/*
 * crypto.h - the primitives that signing and identity need, over libcrypto.
 */
#ifndef WR_BASE_CRYPTO_H
#define WR_BASE_CRYPTO_H

#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

#define WR_SHA256_SIZE 32
#define WR_MD5_SIZE    16

/* Fail with NOMEM or INTERNAL only. */
enum wr_status wr_sha256(
    struct wr_bytes in, uint8_t out[WR_SHA256_SIZE], struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_hmac_sha256(struct wr_bytes key, struct wr_bytes in, uint8_t out[WR_SHA256_SIZE],
    struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_md5(struct wr_bytes in, uint8_t out[WR_MD5_SIZE], struct wr_err *e) WR_MUST_CHECK;

/* Bytes nobody can predict. */
enum wr_status wr_random(void *out, size_t n, struct wr_err *e) WR_MUST_CHECK;

void wr_hex(const uint8_t *p, size_t n, char *out); /* 2n lower-case digits and a NUL */

/* Standard base64 with padding; out holds 4*((n+2)/3) characters and a NUL. */
void wr_base64(const uint8_t *p, size_t n, char *out);

/* Equal, in time that does not depend on where they differ. */
bool wr_equal_secret(const void *a, const void *b, size_t n);

#endif
