/*
 * certificate.c - see certificate.h. Whether it is trusted is for those who connect to say.
 */
/* First: OpenSSL names parameters after functions that base.h forbids. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "daemon/certificate.h"

#include "base/file.h"
#include "base/library.h"
#include "base/mem.h"

#include <sys/stat.h>

#define FILE_BYTES_MAX ((uint64_t)1 << 20)
#define DAY_S          86400

#define FUNCTIONS(X)           \
    X(ASN1_TIME_diff)          \
    X(BIO_free)                \
    X(BIO_new_mem_buf)         \
    X(ERR_clear_error)         \
    X(ERR_peek_last_error)     \
    X(EVP_PKEY_free)           \
    X(PEM_read_bio_PrivateKey) \
    X(PEM_read_bio_X509)       \
    X(X509_check_private_key)  \
    X(X509_free)               \
    X(X509_get0_notAfter)

WR_LIBRARY_TABLE(crypto, names, FUNCTIONS);

static const char *const sonames[] = {"libcrypto.so." WR_LIBRARY_TEXT(OPENSSL_SHLIB_VERSION), NULL};

static struct wr_library library = {.name = "libcrypto",
    .sonames = sonames,
    .package = "libssl" WR_LIBRARY_TEXT(OPENSSL_SHLIB_VERSION),
    .functions = names,
    .table = &crypto};

/* *ret is the caller's also after a failure. */
static enum wr_status read_all(
    const char *path, char **ret, size_t *ret_n, uint32_t *ret_mode, struct wr_err *e)
{
    struct wr_file_info info = {0};
    struct wr_file *f = NULL;
    enum wr_status st = wr_file_open(wr_fs_posix(), path, WR_FILE_READ, 0, &f, e);

    if (st != WR_OK)
        return st;
    st = f->fs->info(f, &info, e);
    if (st == WR_OK && (info.is_dir || info.size > FILE_BYTES_MAX))
        st = wr_fail(e, WR_MISUSE, "%s is not a PEM file", path);
    if (st == WR_OK && !(*ret = wr_alloc((size_t)info.size + 1)))
        st = wr_fail(e, WR_NOMEM, "read %s: out of memory", path);
    if (st == WR_OK) {
        *ret_n = (size_t)info.size;
        st = wr_file_pread(f, *ret, *ret_n, 0, ret_n, e); /* less: it shrinks just now */
    }
    wr_file_close(f);
    *ret_mode = info.mode;
    return st;
}

/* No passphrase: nobody is there to enter one. */
static int no_passphrase(char *into, int size, int writing, void *arg)
{
    (void)into;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static BIO *reader(const char *p, size_t n)
{
    return crypto.BIO_new_mem_buf(p, (int)n); /* it keeps no copy */
}

/* *ret is the first one. Those of issuers are only looked at, so that one that is cut off is said
 * to be that. */
static enum wr_status parse_chain(
    const struct wr_certificate *c, const char *path, X509 **ret, struct wr_err *e)
{
    BIO *b = reader(c->chain, c->chain_n);
    X509 *x;
    int n = 0;

    if (!b)
        return wr_fail(e, WR_NOMEM, "out of memory");
    while ((x = crypto.PEM_read_bio_X509(b, NULL, no_passphrase, NULL))) {
        if (n++ == 0)
            *ret = x;
        else
            crypto.X509_free(x);
    }
    (void)crypto.BIO_free(b); /* it was only read */
    if (ERR_GET_REASON(crypto.ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return wr_fail(e, WR_MISUSE, "certificate %d in %s is damaged", n + 1, path);
    return n > 0 ? WR_OK
                 : wr_fail(e, WR_MISUSE,
                       "%s holds no certificate in PEM (-----BEGIN CERTIFICATE-----): that of this "
                       "server comes first, then those of its issuers",
                       path);
}

static enum wr_status parse_key(
    const struct wr_certificate *c, const char *path, EVP_PKEY **ret, struct wr_err *e)
{
    BIO *b = reader(c->key, c->key_n);

    if (!b)
        return wr_fail(e, WR_NOMEM, "out of memory");
    *ret = crypto.PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL);
    (void)crypto.BIO_free(b);
    if (*ret)
        return WR_OK;
    if (strstr(c->key, "ENCRYPTED"))
        return wr_fail(e, WR_MISUSE,
            "the private key in %s has a passphrase, which nobody is there to enter: \"openssl "
            "pkey\" takes it away",
            path);
    return wr_fail(
        e, WR_MISUSE, "%s holds no private key in PEM (-----BEGIN PRIVATE KEY-----)", path);
}

static enum wr_status look(
    struct wr_certificate *c, const char *chain_path, const char *key_path, struct wr_err *e)
{
    EVP_PKEY *key = NULL;
    X509 *x = NULL;
    int days = 0, seconds = 0;
    enum wr_status st;

    crypto.ERR_clear_error(); /* of what others have left there */
    st = parse_chain(c, chain_path, &x, e);
    if (st == WR_OK)
        st = parse_key(c, key_path, &key, e);
    if (st == WR_OK && crypto.X509_check_private_key(x, key) != 1)
        st = wr_fail(e, WR_MISUSE,
            "the private key in %s is not that of the first certificate in %s, which must be this "
            "server's own",
            key_path, chain_path);
    if (st == WR_OK &&
        crypto.ASN1_TIME_diff(&days, &seconds, NULL, crypto.X509_get0_notAfter(x)) == 1)
        c->left_s = (int64_t)days * DAY_S + seconds;
    crypto.EVP_PKEY_free(key); /* zeroes it */
    crypto.X509_free(x);
    crypto.ERR_clear_error(); /* a queue of the thread's, which others may look at */
    return st;
}

static enum wr_status sum(struct wr_certificate *c, struct wr_err *e)
{
    uint8_t both[2 * WR_SHA256_SIZE];
    enum wr_status st =
        wr_sha256((struct wr_bytes){(const uint8_t *)c->chain, c->chain_n}, both, e);

    if (st == WR_OK)
        st = wr_sha256(
            (struct wr_bytes){(const uint8_t *)c->key, c->key_n}, both + WR_SHA256_SIZE, e);
    return st == WR_OK ? wr_sha256((struct wr_bytes){both, sizeof(both)}, c->digest, e) : st;
}

enum wr_status wr_certificate_read(
    const char *chain_path, const char *key_path, struct wr_certificate *ret, struct wr_err *e)
{
    struct wr_certificate c = {0};
    uint32_t mode = 0;
    enum wr_status st = read_all(chain_path, &c.chain, &c.chain_n, &mode, e);

    if (st == WR_OK)
        st = read_all(key_path, &c.key, &c.key_n, &mode, e);
    c.exposed = (mode & S_IROTH) != 0;
    if (st == WR_OK)
        st = wr_library_load(&library, e);
    if (st == WR_OK)
        st = look(&c, chain_path, key_path, e);
    if (st == WR_OK)
        st = sum(&c, e);
    if (st == WR_OK)
        *ret = c;
    else
        wr_certificate_release(&c);
    return st;
}

void wr_certificate_release(struct wr_certificate *c)
{
    if (c->key)
        wr_wipe(c->key, c->key_n);
    wr_free(c->key);
    wr_free(c->chain);
    *c = (struct wr_certificate){0};
}
