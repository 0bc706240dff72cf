/*
 * test_tls.c - net/http.h over TLS: whom it trusts, and what it says when it does not.
 *
 * The server is this process: a thread that answers each connection with one fixed answer, with a
 * certificate made for the occasion.
 */
/* First: OpenSSL names parameters after functions that base.h forbids. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/sync.h"
#include "harness/t.h"
#include "net/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

struct server {
    SSL_CTX *ctx; /* NULL: speak plain HTTP */
    int fd;
    unsigned port;
    struct wr_thread thread;
};

static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

static void answer(SSL *ssl)
{
    char head[4096];
    int n = 0, got = 1;
    while (got > 0 && (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0)) {
        got = SSL_read(ssl, head + n, (int)sizeof(head) - n);
        n += got > 0 ? got : 0;
    }
    if (got > 0)
        (void)SSL_write(ssl, reply, sizeof(reply) - 1);
    (void)SSL_shutdown(ssl);
}

static void run(void *arg)
{
    struct server *s = arg;
    for (int fd = accept(s->fd, NULL, NULL); fd >= 0; fd = accept(s->fd, NULL, NULL)) {
        if (s->ctx == NULL) {
            (void)send(fd, reply, sizeof(reply) - 1, MSG_NOSIGNAL);
        } else {
            SSL *ssl = SSL_new(s->ctx);
            if (ssl != NULL && SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1)
                answer(ssl);
            SSL_free(ssl);
        }
        (void)close(fd);
    }
}

/* A key and a certificate for 127.0.0.1, signed by itself. Returns the PEM file of the latter. */
static const char *make_certificate(SSL_CTX *ctx)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *x = X509_new();
    T(key != NULL && x != NULL);
    T(X509_set_version(x, 2) == 1);
    T(ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1);
    T(X509_gmtime_adj(X509_getm_notBefore(x), -3600) != NULL);
    T(X509_gmtime_adj(X509_getm_notAfter(x), 3600) != NULL);
    T(X509_set_pubkey(x, key) == 1);
    X509_NAME *name = X509_get_subject_name(x);
    T(X509_NAME_add_entry_by_txt(
          name, "CN", MBSTRING_ASC, (const unsigned char *)"weir test", -1, -1, 0) == 1);
    T(X509_set_issuer_name(x, name) == 1);
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    X509_EXTENSION *ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
    T(san != NULL && ca != NULL);
    T(X509_add_ext(x, san, -1) == 1 && X509_add_ext(x, ca, -1) == 1);
    X509_EXTENSION_free(san);
    X509_EXTENSION_free(ca);
    T(X509_sign(x, key, EVP_sha256()) > 0);
    T(SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1);
    /* Under the name by which a directory of certificates is searched. */
    char file[16];
    (void)snprintf(file, sizeof(file), "%08lx.0", X509_NAME_hash_ex(name, NULL, NULL, NULL));
    const char *path = t_path(t_tmpdir(), file);
    FILE *f = fopen(path, "w");
    T(f != NULL);
    T(PEM_write_X509(f, x) == 1 && fclose(f) == 0);
    X509_free(x);
    EVP_PKEY_free(key);
    return path;
}

static const char *start(struct server *s, bool tls)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(sa);
    struct wr_err e = {0};
    const char *pem = NULL;
    *s = (struct server){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    if (tls) {
        s->ctx = SSL_CTX_new(TLS_server_method());
        T(s->ctx != NULL);
        pem = make_certificate(s->ctx);
    }
    T(s->fd >= 0 && bind(s->fd, (struct sockaddr *)&sa, n) == 0 && listen(s->fd, 8) == 0);
    T(getsockname(s->fd, (struct sockaddr *)&sa, &n) == 0);
    s->port = ntohs(sa.sin_port);
    T(setenv("NO_PROXY", "*", 1) == 0);
    T_OK(wr_thread_start(&s->thread, "tls", 0, run, s, &e));
    return pem;
}

static void stop(struct server *s)
{
    (void)shutdown(s->fd, SHUT_RDWR);
    wr_thread_join(&s->thread);
    (void)close(s->fd);
    SSL_CTX_free(s->ctx);
}

static enum wr_status ask(
    const struct server *s, const char *host, const struct wr_http_opts *o, struct wr_err *e)
{
    struct wr_http *h = NULL;
    struct wr_http_resp resp;
    struct wr_call *c = t_call();
    char body[2];
    struct wr_str url = wr_arena_fmt(c->scratch, "https://%s:%u/SECRET?SECRET", host, s->port);
    const struct wr_http_req r = {.method = "GET", .url = url.p, .into = body, .into_size = 2};
    enum wr_status st = wr_http_new(o, &h, e);
    if (st == WR_OK)
        st = wr_http_do(h, c, &r, &resp, e);
    if (st == WR_OK)
        T(resp.status == 200 && memcmp(body, "ok", 2) == 0);
    wr_http_free(h);
    T(strstr(e->text, "SECRET") == NULL);
    return st;
}

static void strangers_are_refused(void **state)
{
    struct server s;
    struct wr_err e = {0};
    (void)state;
    (void)start(&s, true);
    T_IS(WR_IO, ask(&s, "127.0.0.1", NULL, &e));
    T(strstr(e.text, "certificate is not trusted") != NULL);
    T(strstr(e.text, "ca-file") != NULL);
    stop(&s);
}

static void a_ca_file_is_trusted(void **state)
{
    struct server s;
    struct wr_err e = {0};
    (void)state;
    const char *pem = start(&s, true);
    T_OK(ask(&s, "127.0.0.1", &(struct wr_http_opts){.ca_file = pem}, &e));
    stop(&s);
}

static void the_environment_names_a_ca_file(void **state)
{
    struct server s;
    struct wr_err e = {0};
    (void)state;
    const char *pem = start(&s, true);
    T(setenv("SSL_CERT_FILE", pem, 1) == 0);
    T_OK(ask(&s, "127.0.0.1", NULL, &e));
    T(unsetenv("SSL_CERT_FILE") == 0);
    T_IS(WR_IO, ask(&s, "127.0.0.1", NULL, &e));
    stop(&s);
}

static void the_environment_names_a_directory(void **state)
{
    struct server s;
    struct wr_err e = {0};
    char dir[512];
    (void)state;
    const char *pem = start(&s, true);
    (void)snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(pem, '/') - pem), pem);
    T(setenv("SSL_CERT_DIR", dir, 1) == 0);
    T_OK(ask(&s, "127.0.0.1", NULL, &e));
    T(unsetenv("SSL_CERT_DIR") == 0);
    stop(&s);
}

/* A trusted certificate of somebody else. */
static void the_name_must_match(void **state)
{
    struct server s;
    struct wr_err e = {0};
    (void)state;
    const char *pem = start(&s, true);
    T_IS(WR_IO, ask(&s, "localhost", &(struct wr_http_opts){.ca_file = pem}, &e));
    stop(&s);
}

static void verification_can_be_skipped(void **state)
{
    struct server s;
    struct wr_err e = {0};
    (void)state;
    (void)start(&s, true);
    T_OK(ask(&s, "127.0.0.1", &(struct wr_http_opts){.skip_verify = true}, &e));
    T_OK(ask(&s, "localhost", &(struct wr_http_opts){.skip_verify = true}, &e));
    stop(&s);
}

static void a_file_without_certificates(void **state)
{
    struct server s;
    struct wr_err e = {0};
    (void)state;
    (void)start(&s, true);
    const char *path = t_path(t_tmpdir(), "empty.pem");
    t_spew(path, "nothing here\n", 13);
    T_IS(WR_IO, ask(&s, "127.0.0.1", &(struct wr_http_opts){.ca_file = path}, &e));
    T(strstr(e.text, "holds no certificates") != NULL);
    stop(&s);
}

static void a_plain_port_is_named(void **state)
{
    struct server s;
    struct wr_err e = {0};
    (void)state;
    (void)start(&s, false);
    T_IS(WR_IO, ask(&s, "127.0.0.1", NULL, &e));
    T(strstr(e.text, "speaks https") != NULL);
    stop(&s);
}

static void old_versions_are_refused(void **state)
{
    struct server s;
    struct wr_err e = {0};
    (void)state;
    const char *pem = start(&s, true);
    SSL_CTX_set_security_level(s.ctx, 0);
    T(SSL_CTX_set_max_proto_version(s.ctx, TLS1_1_VERSION) == 1);
    T_IS(WR_IO, ask(&s, "127.0.0.1", &(struct wr_http_opts){.ca_file = pem}, &e));
    stop(&s);
}

T_MAIN(T_TEST(strangers_are_refused), T_TEST(a_ca_file_is_trusted),
    T_TEST(the_environment_names_a_ca_file), T_TEST(the_environment_names_a_directory),
    T_TEST(the_name_must_match), T_TEST(verification_can_be_skipped),
    T_TEST(a_file_without_certificates), T_TEST(a_plain_port_is_named),
    T_TEST(old_versions_are_refused))
