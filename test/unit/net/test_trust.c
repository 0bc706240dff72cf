/*
 * test_trust.c - whose OpenSSL gets the certificates of net/http_int.h.
 *
 * Not linked with any: as in most programs, there is the one that libcurl brings.
 */
#include "harness/t.h"
#include "net/http_int.h"

#include <dlfcn.h>

static const char certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBcDCCARWgAwIBAgIUUL1KvXlBGwstmIuojmKss0OnRWQwCgYIKoZIzj0EAwIw\n"
    "DDEKMAgGA1UEAwwBdzAgFw0yNjExMjgxMjQ2MzlaGA8yMTI2MTEwNDEyNDYzOVow\n"
    "DDEKMAgGA1UEAwwBdzBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNy851ssai95\n"
    "Af0CAyeCMoMCKsQMHWf70/gzNXhUNLOteGX3t6UrcQTcojEDqlyXrP8YsmBalOou\n"
    "NyXdV6o0eTujUzBRMB0GA1UdDgQWBBRT6X0cfEMhVcRYZMh7XhBy/LyJODAfBgNV\n"
    "HSMEGDAWgBRT6X0cfEMhVcRYZMh7XhBy/LyJODAPBgNVHRMBAf8EBTADAQH/MAoG\n"
    "CCqGSM49BAMCA0kAMEYCIQDdUpLi5OWyI+uszSULJ9sgtYhgisaW7d5cbvE18Ne/\n"
    "mAIhALEaJ59Oy/2xPnwchWjv1EmlvzTiYP3bzZKR7EjWUNIw\n"
    "-----END CERTIFICATE-----\n";

static bool is_shared(const char *pem)
{
    struct wr_trust trust;
    struct wr_err e = {0};
    T_OK(wr_trust_find(&trust, pem, &e));
    T_OK(wr_trust_load(&trust, &e));
    bool shared = trust.store != NULL;
    wr_trust_release(&trust);
    return shared;
}

/* Where libssl was loaded from. */
static const char *path_of_libssl(void)
{
    static char line[1024];
    const char *found = NULL;
    FILE *f = fopen("/proc/self/maps", "r");
    T(f != NULL);
    while (found == NULL && fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strstr(line, "/libssl.so") != NULL)
            found = strchr(line, '/');
    }
    (void)fclose(f);
    return found;
}

/* A host that exports an OpenSSL of its own, as node does: libcurl calls that one, and got the
 * certificates from another one, whose structures may be different. */
static void test_two_openssls_shared_certificates(void **state)
{
    const char *dir = t_tmpdir(), *pem = t_path(dir, "ca.pem"),
               *copy = t_path(dir, "of-the-host.so");
    struct wr_err e = {0};
    (void)state;
    T_OK(wr_curl_load(&e));
    const char *tls = wr_curl()->version_info(CURLVERSION_NOW)->ssl_version;
    if (tls == NULL || strncmp(tls, "OpenSSL/", 8) != 0)
        skip();
    t_spew(pem, certificate, sizeof(certificate) - 1);
    T(is_shared(pem));
    const char *libssl = path_of_libssl();
    T(libssl != NULL);
    struct wr_bytes bytes = t_slurp(libssl);
    t_spew(copy, bytes.p, bytes.n);
    T(dlopen(copy, RTLD_LAZY | RTLD_GLOBAL) != NULL); /* which stays */
    T(!is_shared(pem));
}

T_MAIN(T_TEST(test_two_openssls_shared_certificates))
