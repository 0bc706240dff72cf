/*
 * certificate.h - by what a listener proves who it is: a certificate with its chain, and the
 * private key of it, as PEM files.
 *
 * All that can be wrong with them is found here, and said with the file that it is in: the library
 * that speaks TLS only fails to start.
 */
#ifndef WR_DAEMON_CERTIFICATE_H
#define WR_DAEMON_CERTIFICATE_H

#include "base/base.h"
#include "base/crypto.h"
#include "base/status.h"

struct wr_certificate { /* frozen */
    char *chain, *key;  /* what the files hold, and a NUL */
    size_t chain_n, key_n;
    uint8_t digest[WR_SHA256_SIZE]; /* of both: another one is another certificate */
    int64_t left_s;                 /* of its validity; negative: it has expired */
    bool exposed;                   /* everybody on this machine can read the key's file */
};

/* Read both, and see that they belong together. MISUSE: they are no use, and the text says which
 * file and why; NOTFOUND, IO: one cannot be read. IO too where libcrypto is not there. */
enum wr_status wr_certificate_read(const char *chain_path, const char *key_path,
    struct wr_certificate *ret, struct wr_err *e) WR_MUST_CHECK;
/* Zeroes the key. One that is all zero has nothing. */
void wr_certificate_release(struct wr_certificate *c);

#endif
