/*
 * The listener for followers over TLS: what may be wrong with its certificate, which one counts,
 * and who connects and does not go on.
 */
/* First: OpenSSL names parameters after functions that base.h forbids. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/str.h"
#include "daemon/certificate.h"
#include "daemon/feeds.h"
#include "daemon/httpd.h"
#include "daemon/listen.h"
#include "harness/t.h"
#include "unit/cli/fake_weir.h"
#include "unit/cli/free_addr.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define TOKEN      "0123456789abcdef"
#define AUTH       "Authorization: Bearer " TOKEN "\r\n"
#define END        "Host: x\r\nConnection: close\r\n\r\n"
#define ABOUT      "GET /feed/app.db HTTP/1.1\r\n"
#define REQUEST_MS 800
#define CROWD      12

static const char *dir, *cert, *key; /* the last two: files of the server */

static void write_key(const char *path, EVP_PKEY *k, const char *passphrase)
{
    FILE *f = fopen(path, "w");

    T(f && chmod(path, 0600) == 0);
    T(PEM_write_PrivateKey(f, k, passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
          (void *)(uintptr_t)passphrase) == 1);
    T(fclose(f) == 0);
}

/* A key and a certificate of its own signature, valid for so many seconds more. */
static void make(const char *cert_path, const char *key_path, const char *type, long seconds)
{
    EVP_PKEY *k = strcmp(type, "RSA") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
                                           : EVP_PKEY_Q_keygen(NULL, NULL, type, "P-256");
    X509 *x = X509_new();
    X509_NAME *name;
    FILE *f = fopen(cert_path, "w");

    T(k && x && f && X509_set_version(x, 2) == 1);
    T(ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1);
    T(X509_gmtime_adj(X509_getm_notBefore(x), -7200) && X509_set_pubkey(x, k) == 1);
    T(X509_gmtime_adj(X509_getm_notAfter(x), seconds) != NULL);
    name = X509_get_subject_name(x);
    T(X509_NAME_add_entry_by_txt(
          name, "CN", MBSTRING_ASC, (const unsigned char *)"weir test", -1, -1, 0) == 1);
    T(X509_set_issuer_name(x, name) == 1);
    T(X509_sign(x, k, strcmp(type, "ED25519") == 0 ? NULL : EVP_sha256()) > 0);
    T(PEM_write_X509(f, x) == 1 && fclose(f) == 0);
    write_key(key_path, k, NULL);
    X509_free(x);
    EVP_PKEY_free(k);
}

/* ---- the files ---- */

static void refused(const char *cert_path, const char *key_path, enum wr_status want,
    const char *file, const char *why)
{
    struct wr_certificate c = {0};
    struct wr_err e = {0};

    T_IS(want, wr_certificate_read(cert_path, key_path, &c, &e));
    T(!c.chain && !c.key);
    if (!strstr(e.text, file) || !strstr(e.text, why))
        fail_msg("%s", e.text);
}

static const char *text_of(const char *path)
{
    static char text[4096];
    FILE *f = fopen(path, "r");

    T(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    T(fclose(f) == 0);
    return text;
}

static void test_what_is_wrong(void **state)
{
    const char *none = t_path(dir, "none.pem"), *empty = t_path(dir, "empty.pem");
    const char *other_cert = t_path(dir, "other.pem"), *other = t_path(dir, "other.key");
    const char *locked = t_path(dir, "locked.key"), *broken = t_path(dir, "broken.pem");
    const char *pem = text_of(cert);
    EVP_PKEY *k = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    FILE *f;

    (void)state;
    make(other_cert, other, "EC", 3600);
    t_spew(empty, "", 0);
    write_key(locked, k, "secret");
    EVP_PKEY_free(k);
    refused(none, key, WR_NOTFOUND, none, "No such file");
    refused(cert, none, WR_NOTFOUND, none, "No such file");
    refused(dir, key, WR_MISUSE, dir, "is not a PEM file");
    refused(empty, key, WR_MISUSE, empty, "no certificate in PEM");
    f = fopen(broken, "w");
    T(f && fputs("about it\n", f) >= 0 && fputs(pem, f) >= 0);
    T(fwrite(pem, 1, strlen(pem) / 2, f) > 0 && fclose(f) == 0);
    refused(broken, key, WR_MISUSE, broken, "certificate 2 in ");
    refused(cert, empty, WR_MISUSE, empty, "no private key in PEM");
    refused(key, cert, WR_MISUSE, key, "no certificate in PEM");
    refused(cert, cert, WR_MISUSE, cert, "no private key in PEM");
    refused(cert, locked, WR_MISUSE, locked, "has a passphrase");
    refused(cert, other, WR_MISUSE, other, "is not that of the first certificate in ");
    if (geteuid() != 0) {
        T(chmod(other, 0) == 0);
        refused(other_cert, other, WR_IO, other, "ermission denied");
    }
}

static void test_what_is_told(void **state)
{
    static const char *const types[] = {"RSA", "EC", "ED25519"};
    struct wr_certificate c = {0};
    struct wr_err e = {0};
    uint8_t was[WR_SHA256_SIZE] = {0};

    (void)state;
    for (size_t i = 0; i < wr_countof(types); i++) {
        make(cert, key, types[i], 3600);
        T_OK(wr_certificate_read(cert, key, &c, &e));
        T(!c.exposed && c.left_s > 3500 && c.left_s <= 3600);
        T(memcmp(was, c.digest, sizeof(was)) != 0);
        memcpy(was, c.digest, sizeof(was));
        wr_certificate_release(&c);
        T(!c.key && !c.chain);
    }
    T_OK(wr_certificate_read(cert, key, &c, &e));
    T(memcmp(was, c.digest, sizeof(was)) == 0);
    wr_certificate_release(&c);
    make(cert, key, "EC", -3600);
    T(chmod(key, 0604) == 0);
    T_OK(wr_certificate_read(cert, key, &c, &e));
    T(c.exposed && c.left_s < -3500);
    wr_certificate_release(&c);
}

static enum wr_status read_once(void *arg)
{
    struct wr_certificate c = {0};
    struct wr_err e = {0};
    enum wr_status st = wr_certificate_read(cert, key, &c, &e);

    (void)arg;
    wr_certificate_release(&c);
    return st;
}

static void test_memory_ends(void **state)
{
    (void)state;
    t_sweep_nomem(read_once, NULL);
}

/* ---- the listener ---- */

static struct wr_logger logger;
static struct wr_fleet *fleet;
static struct wr_feeds *feeds;
static int null_fd;
static char addr[64];

static int set_up(void **state)
{
    static const char *const settings[] = {"sync-interval", "1s", NULL};
    static const struct wr_config_replica replica = {
        .url = "file:///r", .type = "file", .sync_interval = "1s", .settings = settings};
    const struct wr_config_db db = {.path = "/data/app.db", .replicas = &replica, .nreplicas = 1};
    weir_error e = {0};

    (void)state;
    T(signal(SIGPIPE, SIG_IGN) != SIG_ERR); /* OpenSSL writes to who has closed */
    memset(&fake, 0, sizeof(fake));
    fake.db.struct_size = sizeof(fake.db);
    fake.db.state = "syncing";
    ndbs = 0;
    dir = t_tmpdir();
    cert = t_path(dir, "cert.pem");
    key = t_path(dir, "key.pem");
    make(cert, key, "EC", 3600);
    null_fd = open("/dev/null", O_WRONLY);
    wr_logger_init(&logger, null_fd, WR_LOG_FORMAT_JSON, WEIR_LOG_DEBUG);
    fleet = wr_fleet_new(&the_runtime, &logger);
    feeds = wr_feeds_new(fleet, &logger);
    T(fleet && feeds && wr_fleet_add(fleet, &db, NULL, &e) == WEIR_OK);
    free_addr(addr, sizeof(addr));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wr_feeds_free(feeds);
    wr_fleet_free(fleet);
    wr_logger_release(&logger);
    return close(null_fd);
}

static enum wr_status serve(struct wr_err *e)
{
    const struct wr_config_serve c = {
        .addr = addr, .token = TOKEN, .cert_file = cert, .key_file = key, .max_followers = 4};

    return wr_feeds_serve(feeds, &c, e);
}

static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint64_t port = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    T(wr_parse_u64(wr_str(strchr(addr, ':') + 1), &port));
    a.sin_port = htons((uint16_t)port);
    T(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    return fd;
}

struct peer {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

/* Of `newest` at most; false: the handshake failed. It trusts what is in `cert` just now. */
static bool meet(struct peer *p, int newest)
{
    *p = (struct peer){.ctx = SSL_CTX_new(TLS_client_method()), .fd = dial()};
    T(p->ctx && SSL_CTX_load_verify_locations(p->ctx, cert, NULL) == 1);
    SSL_CTX_set_verify(p->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_security_level(p->ctx, 0);
    T(SSL_CTX_set_max_proto_version(p->ctx, newest) == 1);
    p->ssl = SSL_new(p->ctx);
    T(p->ssl && SSL_set_fd(p->ssl, p->fd) == 1);
    return SSL_connect(p->ssl) == 1;
}

static void part(struct peer *p)
{
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
    T(close(p->fd) == 0);
}

static char got[1 << 14];

/* The status of one request, of which the answer ends with the connection or fits one record or
 * two; 0: none. */
static int say(struct peer *p, const char *request)
{
    size_t n = 0;
    uint64_t code = 0;
    int r;

    if (SSL_write(p->ssl, request, (int)strlen(request)) <= 0)
        return 0;
    while ((r = SSL_read(p->ssl, got + n, (int)(sizeof(got) - 1 - n))) > 0) {
        n += (size_t)r;
        got[n] = '\0';
        if (!strstr(request, "close") && strstr(got, "\r\n\r\n") && strstr(got, "replica "))
            break;
    }
    return n > 12 && wr_parse_u64((struct wr_str){.p = got + 9, .n = 3}, &code) ? (int)code : 0;
}

/* 0 also without a connection. */
static int ask(const char *request, int newest)
{
    struct peer p;
    int code = meet(&p, newest) ? say(&p, request) : 0;

    part(&p);
    return code;
}

static void test_followers_are_served(void **state)
{
    static const char *const types[] = {"EC", "RSA"};
    struct wr_err e = {0};
    char plain[200];
    int fd;

    (void)state;
    for (size_t i = 0; i < wr_countof(types); i++) {
        make(cert, key, types[i], 3600);
        T_OK(serve(&e));
        T(ask(ABOUT AUTH END, TLS1_3_VERSION) == 200 && strstr(got, "\nreplica "));
        assert_int_equal(ask(ABOUT AUTH END, TLS1_2_VERSION), 200);
        assert_int_equal(ask(ABOUT END, TLS1_3_VERSION), 401);
        assert_int_equal(ask(ABOUT AUTH END, TLS1_1_VERSION), 0);
    }
    fd = dial(); /* not by who does not speak it, who learns nothing */
    T(send(fd, ABOUT AUTH END, strlen(ABOUT AUTH END), MSG_NOSIGNAL) > 0);
    for (ssize_t r = 1; r > 0;) {
        r = read(fd, plain, sizeof(plain) - 1);
        plain[wr_max(r, 0)] = '\0';
        T(!strstr(plain, "HTTP") && !strstr(plain, "replica"));
    }
    T(close(fd) == 0);
}

/* In place of the one before, under the same name; and no way back to no TLS by a mistake. */
static void test_a_renewed_certificate(void **state)
{
    struct wr_err e = {0};
    struct peer p, old;

    (void)state;
    T_OK(serve(&e));
    T(meet(&old, TLS1_3_VERSION) && say(&old, ABOUT AUTH "Host: x\r\n\r\n") == 200);
    T_OK(serve(&e)); /* nothing is new: nobody is cut off */
    assert_int_equal(say(&old, ABOUT AUTH "Host: x\r\n\r\n"), 200);
    make(t_path(dir, "next.pem"), key, "EC", 3600); /* half of a renewal */
    T_IS(WR_MISUSE, serve(&e));
    T(strstr(e.text, key) && strstr(e.text, "serve.cert-file"));
    assert_int_equal(say(&old, ABOUT AUTH "Host: x\r\n\r\n"), 200);
    assert_int_equal(ask(ABOUT AUTH END, TLS1_3_VERSION), 200); /* the one before */
    T(rename(t_path(dir, "next.pem"), cert) == 0);
    T(!meet(&p, TLS1_3_VERSION)); /* nobody has told yet */
    part(&p);
    T_OK(serve(&e));
    assert_int_equal(ask(ABOUT AUTH END, TLS1_3_VERSION), 200);
    assert_int_equal(say(&old, ABOUT AUTH "Host: x\r\n\r\n"), 0);
    part(&old);
    T(unlink(key) == 0);
    T_IS(WR_NOTFOUND, serve(&e));
    assert_int_equal(ask(ABOUT AUTH END, TLS1_3_VERSION), 200);
}

/* The old one has to make way, as the port is the same, and begins again with what it had. */
static void test_what_it_had_counts_when_a_new_one_fails(void **state)
{
    struct wr_config_serve c = {
        .token = TOKEN, .cert_file = cert, .key_file = key, .max_followers = 4};
    struct wr_err e = {0};
    char other[80];

    (void)state;
    T_OK(serve(&e));
    (void)snprintf(other, sizeof(other), "192.0.2.1:%s", strchr(addr, ':') + 1);
    c.addr = other;
    T(wr_feeds_serve(feeds, &c, &e) != WR_OK);
    assert_int_equal(ask(ABOUT AUTH END, TLS1_3_VERSION), 200);
}

/* ---- those who stall ---- */

static void say_done(void *arg, const struct wr_httpd_request *q, struct wr_httpd_reply *r)
{
    (void)arg;
    (void)q;
    wr_buf_z(&r->body, "done\n");
}

static bool is_cut(int fd)
{
    char b[256];
    ssize_t n;

    while ((n = recv(fd, b, sizeof(b), MSG_DONTWAIT)) > 0)
        ;
    return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* Some say nothing, others half of a hello, or a byte of it now and then. */
static void test_a_handshake_that_stalls(void **state)
{
    static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    struct wr_httpd_opts o = {
        .fn = say_done, .parallel = true, .request_ms = REQUEST_MS, .connections_max = CROWD + 1};
    int64_t start_ms = wr_mono_ms(wr_clock_system());
    struct wr_certificate c = {0};
    struct wr_httpd *server = NULL;
    struct wr_err e = {0};
    int fds[CROWD];
    size_t left = CROWD;

    (void)state;
    T_OK(wr_certificate_read(cert, key, &c, &e));
    o.chain = c.chain;
    o.key = c.key;
    T_OK(wr_listen_tcp(addr, &o.fd, &e));
    T_OK(wr_httpd_new(&o, &server, &e));
    wr_certificate_release(&c); /* it has taken what it needs */
    for (size_t i = 0; i < CROWD; i++) {
        fds[i] = dial();
        if (i % 3)
            T(send(fds[i], hello, sizeof(hello) - 1, MSG_NOSIGNAL) > 0);
    }
    assert_int_equal(ask("GET / HTTP/1.1\r\n" END, TLS1_3_VERSION), 200); /* beside them */
    while (left > 0) {
        T(wr_mono_ms(wr_clock_system()) - start_ms < 20 * REQUEST_MS);
        left = 0;
        for (size_t i = 0; i < CROWD; i++) {
            left += !is_cut(fds[i]);
            if (i % 3 == 2)
                (void)send(fds[i], "x", 1, MSG_NOSIGNAL);
        }
        t_sleep_ms(REQUEST_MS / 10);
    }
    T(wr_mono_ms(wr_clock_system()) - start_ms >= REQUEST_MS);
    for (size_t i = 0; i < CROWD; i++)
        T(close(fds[i]) == 0);
    assert_int_equal(ask("GET / HTTP/1.1\r\n" END, TLS1_3_VERSION), 200);
    fds[0] = dial();
    T(send(fds[0], hello, sizeof(hello) - 1, MSG_NOSIGNAL) > 0);
    start_ms = wr_mono_ms(wr_clock_system());
    wr_httpd_free(server); /* and the end does not wait for it */
    T(wr_mono_ms(wr_clock_system()) - start_ms < REQUEST_MS / 2);
    T(close(fds[0]) == 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

T_MAIN(TEST(test_what_is_wrong), TEST(test_what_is_told), TEST(test_memory_ends),
    TEST(test_followers_are_served), TEST(test_a_renewed_certificate),
    TEST(test_what_it_had_counts_when_a_new_one_fails), TEST(test_a_handshake_that_stalls))
