/*
 * http_trust.c - whose certificates to believe, read once for all connections of a client.
 *
 * libcurl would read them again for every slot: 850 KiB each with the usual bundle, which sixteen
 * slots would make 13 MiB. So connections share one store, which OpenSSL locks and counts.
 *
 * That has to be the OpenSSL that libcurl calls, and of the version that our headers are of: it is
 * never loaded from here, only found where libcurl has brought it. Where it is not, with another
 * TLS, or in a host that exports an OpenSSL of its own, libcurl reads for itself.
 */
/* First: OpenSSL names parameters after functions that base.h forbids. */
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "net/http_int.h"

#include "base/library.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <dlfcn.h>
#include <unistd.h>

/* Of libssl and of libcrypto, which comes with it. */
#define OPENSSL_FUNCTIONS(X)     \
    X(OpenSSL_version)           \
    X(SSL_CTX_set1_cert_store)   \
    X(X509_STORE_free)           \
    X(X509_STORE_load_locations) \
    X(X509_STORE_new)            \
    X(X509_STORE_set_flags)      \
    X(X509_get_default_cert_dir) \
    X(X509_get_default_cert_file)

WR_LIBRARY_TABLE(openssl, names, OPENSSL_FUNCTIONS);

static const char *const sonames[] = {"libssl.so." WR_LIBRARY_TEXT(OPENSSL_SHLIB_VERSION), NULL};

static struct wr_library library = {.name = "libssl",
    .sonames = sonames,
    .package = "libssl" WR_LIBRARY_TEXT(OPENSSL_SHLIB_VERSION),
    .if_present = true,
    .functions = names,
    .table = &openssl};

/* Whether what libcurl calls by these names is what we have found in libssl: the loader gives it
 * those of the program and of what was loaded for all, where there are any, before those of the
 * libraries that it is linked with. node has such, of an OpenSSL that is a part of it. */
static bool are_libcurls(void)
{
    void *global = dlopen(NULL, RTLD_LAZY | RTLD_LOCAL);
    bool same = global != NULL;

    for (size_t i = 0; names[i] && same; i++) {
        void *ours, *first = dlsym(global, names[i]);

        memcpy(&ours, (char *)&openssl + i * sizeof(ours), sizeof(ours));
        same = !first || first == ours;
    }
    if (global)
        (void)dlclose(global);
    return same;
}

/* "OpenSSL 3.0.19 27 Jan 2026" and libcurl's "OpenSSL/3.0.19": of two OpenSSLs in a process each
 * may have one. */
static bool has_libcurls_version(void)
{
    const char *said = wr_curl()->version_info(CURLVERSION_NOW)->ssl_version;
    struct wr_str libcurls, name, version, rest;

    (void)wr_str_cut(wr_str(said ? said : ""), '/', &name, &libcurls);
    if (!wr_str_eq(name, WR_STR("OpenSSL")))
        return false;
    (void)wr_str_cut(wr_str(openssl.OpenSSL_version(OPENSSL_VERSION)), ' ', &name, &rest);
    (void)wr_str_cut(rest, ' ', &version, &rest);
    return wr_str_eq(version, libcurls);
}

/* Whether libcurl's OpenSSL is to be had. */
static bool find_openssl(void)
{
    return wr_library_load(&library, NULL) == WR_OK && has_libcurls_version() && are_libcurls();
}

static enum wr_status keep(char **slot, const char *z, struct wr_err *e)
{
    *slot = wr_strndup(z, strlen(z));
    return *slot != NULL ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory");
}

static bool is_set(const char *z)
{
    return z != NULL && z[0] != '\0';
}

/* Whether a directory holds certificates under their hashes ("002c0b4f.0"), as OpenSSL looks for.
 */
static bool is_hashed_dir(const char *path)
{
    DIR *d = opendir(path);
    bool found = false;
    if (d == NULL)
        return false;
    for (struct dirent *i = readdir(d); i != NULL && !found; i = readdir(d))
        found = strlen(i->d_name) == 10 && strspn(i->d_name, "0123456789abcdef") == 8 &&
                strcmp(i->d_name + 8, ".0") == 0;
    (void)closedir(d); /* only read from */
    return found;
}

enum wr_status wr_trust_find(struct wr_trust *t, const char *ca_file, struct wr_err *e)
{
    *t = (struct wr_trust){.store = NULL};
    const char *file = is_set(ca_file) ? ca_file : getenv("SSL_CERT_FILE");
    const char *dir = is_set(ca_file) ? NULL : getenv("SSL_CERT_DIR");
    if (is_set(file) && access(file, R_OK) != 0)
        return wr_fail(e, WR_MISUSE, "cannot read the CA certificates in %s", file);
    enum wr_status st = WR_OK;
    if (is_set(file))
        st = keep(&t->file, file, e);
    if (st == WR_OK && is_set(dir))
        st = keep(&t->dir, dir, e);
    return st;
}

void wr_trust_release(struct wr_trust *t)
{
    if (t->store != NULL)
        openssl.X509_STORE_free(t->store);
    wr_free(t->file);
    wr_free(t->dir);
    *t = (struct wr_trust){.store = NULL};
}

/*
 * Those of the system. A directory of hashed certificates is looked up one certificate at a time; a
 * bundle is parsed whole, about a megabyte for each connection. So the directory is preferred where
 * both exist.
 */
static enum wr_status find_default(struct wr_trust *t, struct wr_err *e)
{
    const char *dir = openssl.X509_get_default_cert_dir();
    const char *file = openssl.X509_get_default_cert_file();
    if (is_hashed_dir(dir))
        return keep(&t->dir, dir, e);
    return access(file, R_OK) == 0 ? keep(&t->file, file, e) : WR_OK;
}

enum wr_status wr_trust_load(struct wr_trust *t, struct wr_err *e)
{
    if (t->store != NULL || !find_openssl())
        return WR_OK;
    if (t->file == NULL && t->dir == NULL) {
        enum wr_status st = find_default(t, e);
        if (st != WR_OK || (t->file == NULL && t->dir == NULL))
            return st;
    }
    X509_STORE *store = openssl.X509_STORE_new();
    if (store == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory for CA certificates");
    if (openssl.X509_STORE_load_locations(store, t->file, t->dir) != 1) {
        openssl.X509_STORE_free(store);
        return wr_fail(e, WR_IO, "TLS: ca-file or SSL_CERT_FILE holds no certificates: %s",
            t->file != NULL ? t->file : t->dir);
    }
    /* As libcurl does with its own: an issuer in the middle of a chain may be what is trusted. */
    (void)openssl.X509_STORE_set_flags(
        store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
    t->store = store;
    return WR_OK;
}

CURLcode wr_trust_use(CURL *easy, void *ssl_ctx, void *trust)
{
    const struct wr_trust *t = trust;
    (void)easy;
    openssl.SSL_CTX_set1_cert_store(ssl_ctx, t->store);
    return CURLE_OK;
}
