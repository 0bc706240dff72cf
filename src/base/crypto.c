/*
 * crypto.c - digests, MACs, randomness and the two text encodings of bytes. libcrypto, which is
 * loaded when the first digest is wanted, and the kernel do the cryptography; this file only turns
 * their answers into statuses. Knows no protocol.
 */
/* SHA256_Init and its like, see sha256_of. */
#define OPENSSL_SUPPRESS_DEPRECATED
/* These first: they use "rand" as a name, which base.h forbids from there on. */
#include <openssl/err.h>
#include <openssl/md5.h>
#include <openssl/sha.h>

#include "base/crypto.h"

#include "base/library.h"
#include "base/mem.h"

#include <errno.h>
#include <sys/random.h>

#define HMAC_IPAD 0x36
#define HMAC_OPAD 0x5c

#define FUNCTIONS(X)       \
    X(ERR_clear_error)     \
    X(ERR_peek_last_error) \
    X(MD5_Final)           \
    X(MD5_Init)            \
    X(MD5_Update)          \
    X(SHA256_Final)        \
    X(SHA256_Init)         \
    X(SHA256_Update)

WR_LIBRARY_TABLE(crypto, names, FUNCTIONS);

static const char *const sonames[] = {"libcrypto.so." WR_LIBRARY_TEXT(OPENSSL_SHLIB_VERSION), NULL};

static struct wr_library library = {.name = "libcrypto",
    .sonames = sonames,
    .package = "libssl" WR_LIBRARY_TEXT(OPENSSL_SHLIB_VERSION),
    .functions = names,
    .table = &crypto};

/* libcrypto queues errors per thread, and the host may use it too: take ours out again. */
static enum wr_status fail_crypto(struct wr_err *e, const char *what)
{
    unsigned long error = crypto.ERR_peek_last_error();
    bool nomem = ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE;

    crypto.ERR_clear_error();
    if (nomem)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", what);
    return wr_fail(e, WR_INTERNAL, "%s: libcrypto error %lx", what, error);
}

/* libcrypto wants a pointer even to nothing. */
static const void *not_null(struct wr_bytes in)
{
    return in.p != NULL ? (const void *)in.p : "";
}

/*
 * OpenSSL would have us call EVP_Digest and HMAC, which give the same, but the first call of either
 * reads a file of configuration and makes tables of all algorithms: 2 MB, and a quarter of what
 * happens before the first request to a bucket.
 */
static enum wr_status sha256_of(
    struct wr_bytes a, struct wr_bytes b, uint8_t out[WR_SHA256_SIZE], struct wr_err *e)
{
    SHA256_CTX c;

    if (crypto.SHA256_Init(&c) != 1 || crypto.SHA256_Update(&c, not_null(a), a.n) != 1 ||
        crypto.SHA256_Update(&c, not_null(b), b.n) != 1 || crypto.SHA256_Final(out, &c) != 1)
        return fail_crypto(e, "sha256");
    return WR_OK;
}

enum wr_status wr_sha256(struct wr_bytes in, uint8_t out[WR_SHA256_SIZE], struct wr_err *e)
{
    enum wr_status st = wr_library_load(&library, e);

    return st == WR_OK ? sha256_of(in, (struct wr_bytes){0}, out, e) : st;
}

/* RFC 2104: H(key ^ opad, H(key ^ ipad, in)); a key longer than a block is its hash. */
enum wr_status wr_hmac_sha256(
    struct wr_bytes key, struct wr_bytes in, uint8_t out[WR_SHA256_SIZE], struct wr_err *e)
{
    uint8_t block[SHA256_CBLOCK] = {0}, inner[WR_SHA256_SIZE];
    const struct wr_bytes all = {block, sizeof(block)};
    enum wr_status st = wr_library_load(&library, e);

    if (st == WR_OK && key.n > sizeof(block))
        st = sha256_of(key, (struct wr_bytes){0}, block, e);
    else if (st == WR_OK && key.n > 0)
        memcpy(block, key.p, key.n);
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= HMAC_IPAD;
    if (st == WR_OK)
        st = sha256_of(all, in, inner, e);
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= HMAC_IPAD ^ HMAC_OPAD;
    if (st == WR_OK)
        st = sha256_of(all, (struct wr_bytes){inner, sizeof(inner)}, out, e);
    wr_wipe(block, sizeof(block));
    return st;
}

enum wr_status wr_md5(struct wr_bytes in, uint8_t out[WR_MD5_SIZE], struct wr_err *e)
{
    enum wr_status st = wr_library_load(&library, e);
    MD5_CTX c;

    if (st != WR_OK)
        return st;
    if (crypto.MD5_Init(&c) != 1 || crypto.MD5_Update(&c, not_null(in), in.n) != 1 ||
        crypto.MD5_Final(out, &c) != 1)
        return fail_crypto(e, "md5");
    return WR_OK;
}

enum wr_status wr_random(void *out, size_t n, struct wr_err *e)
{
    uint8_t *p = out;

    while (n > 0) {
        ssize_t got = getrandom(p, n, 0); /* what is small comes whole, and without a wait */

        if (got < 0 && errno != EINTR)
            return wr_fail_errno(e, errno, "random bytes");
        if (got > 0) {
            p += got;
            n -= (size_t)got;
        }
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
    const volatile uint8_t *x = a, *y = b; /* each byte is read, whatever was found before */
    uint8_t differ = 0;

    for (size_t i = 0; i < n; i++)
        differ |= x[i] ^ y[i];
    return differ == 0;
}
