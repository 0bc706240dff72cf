/*
 * crypto.c - digests, MACs, randomness and the two text encodings of bytes. libcrypto does the
 * cryptography; this file only turns its answers into statuses. Knows no protocol.
 */
/* These first: they use "rand" as a name, which base.h forbids from there on. */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/crypto.h"

#include <limits.h>

/* libcrypto queues errors per thread, and the host may use it too: take ours out again. */
static enum wr_status fail_crypto(struct wr_err *e, const char *what)
{
    unsigned long error = ERR_peek_last_error();
    bool nomem = ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE;

    ERR_clear_error();
    if (nomem)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", what);
    return wr_fail(e, WR_INTERNAL, "%s: libcrypto error %lx", what, error);
}

/* libcrypto wants a pointer even to nothing; to HMAC, NULL means "the key of last time". */
static const void *not_null(struct wr_bytes in)
{
    return in.p != NULL ? (const void *)in.p : "";
}

static enum wr_status digest(
    const EVP_MD *md, struct wr_bytes in, uint8_t *out, const char *what, struct wr_err *e)
{
    if (md == NULL || EVP_Digest(not_null(in), in.n, out, NULL, md, NULL) != 1)
        return fail_crypto(e, what);
    return WR_OK;
}

enum wr_status wr_sha256(struct wr_bytes in, uint8_t out[WR_SHA256_SIZE], struct wr_err *e)
{
    return digest(EVP_sha256(), in, out, "sha256", e);
}

enum wr_status wr_hmac_sha256(
    struct wr_bytes key, struct wr_bytes in, uint8_t out[WR_SHA256_SIZE], struct wr_err *e)
{
    assert(key.n <= INT_MAX);

    if (HMAC(EVP_sha256(), not_null(key), (int)key.n, not_null(in), in.n, out, NULL) == NULL)
        return fail_crypto(e, "hmac-sha256");
    return WR_OK;
}

enum wr_status wr_md5(struct wr_bytes in, uint8_t out[WR_MD5_SIZE], struct wr_err *e)
{
    return digest(EVP_md5(), in, out, "md5", e);
}

enum wr_status wr_random(void *out, size_t n, struct wr_err *e)
{
    uint8_t *p = out;

    while (n > 0) {
        int part = (int)wr_min(n, (size_t)INT_MAX);

        if (RAND_bytes(p, part) != 1)
            return fail_crypto(e, "random bytes");
        p += part;
        n -= (size_t)part;
    }
    return WR_OK;
}

void wr_hex(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    *out = '\0';
}

void wr_base64(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t group = (uint32_t)p[i] << 16;

        if (left > 1)
            group |= (uint32_t)p[i + 1] << 8;
        if (left > 2)
            group |= p[i + 2];
        *out++ = digits[group >> 18];
        *out++ = digits[group >> 12 & 63];
        *out++ = (char)(left > 1 ? digits[group >> 6 & 63] : '=');
        *out++ = (char)(left > 2 ? digits[group & 63] : '=');
    }
    *out = '\0';
}

bool wr_equal_secret(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}
