/*
 * The heartbeat against a server on loopback: when it comes, when it does not, and what is said.
 */
#include "harness/t.h"
#include "base/sync.h"
#include "daemon/heartbeat.h"
#include "fake/httpd.h"

#include <weir.h>

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define PATIENT_MS 20000

struct bench {
    struct httpd *d;
    struct wr_logger log;
    const char *log_path;
    int fd;
    atomic_bool well;
    _Atomic unsigned asked;
};

static const char much[300000]; /* more than is read */

static void handle(void *arg, const struct httpd_request *r, struct httpd_answer *a)
{
    (void)arg;
    if (strncmp(r->target, "/status/", 8) == 0)
        a->status = (int)strtoull(r->target + 8, NULL, 10);
    if (strcmp(r->target, "/moved") == 0) {
        a->status = 302;
        httpd_add_header(a, "Location: /there");
    }
    if (strcmp(r->target, "/round") == 0) {
        a->status = 302;
        httpd_add_header(a, "Location: /round");
    }
    if (strcmp(r->target, "/elsewhere") == 0) {
        a->status = 302;
        httpd_add_header(a, "Location: file:///etc/passwd");
    }
    if (strcmp(r->target, "/much") == 0)
        httpd_add_body(a, much, sizeof(much));
    else
        httpd_add_text(a, "OK");
}

static bool well(void *arg)
{
    struct bench *b = arg;

    atomic_fetch_add(&b->asked, 1);
    return atomic_load(&b->well);
}

static void set_up(struct bench *b)
{
    memset(b, 0, sizeof(*b));
    T(setenv("NO_PROXY", "*", 1) == 0);
    b->d = httpd_start(handle, NULL);
    b->log_path = t_path(t_tmpdir(), "log");
    b->fd = open(b->log_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    T(b->fd >= 0);
    wr_logger_init(&b->log, b->fd, WR_LOG_FORMAT_JSON, WEIR_LOG_DEBUG);
    atomic_store(&b->well, true);
}

static void tear_down(struct bench *b)
{
    httpd_stop(b->d);
    wr_logger_release(&b->log);
    T(close(b->fd) == 0);
}

static struct wr_heartbeat *begin(struct bench *b, const char *path, int64_t interval_ms)
{
    struct wr_heartbeat_opts o = {.interval_ms = interval_ms,
        .check_ms = 5,
        .timeout_ms = 5000,
        .well = well,
        .arg = b,
        .log = &b->log};
    struct wr_heartbeat *h = NULL;
    struct wr_err e = {0};

    o.url = wr_arena_fmt(t_call()->scratch, "http://127.0.0.1:%u%s", httpd_port(b->d), path).p;
    T_OK(wr_heartbeat_new(&o, &h, &e));
    return h;
}

static bool said(struct bench *b, const char *what)
{
    struct wr_bytes all = t_slurp(b->log_path);

    return strstr(
        wr_arena_str(t_call()->scratch, (struct wr_str){(const char *)all.p, all.n}).p, what);
}

static void await_said(struct bench *b, const char *what)
{
    for (int64_t ms = 0; !said(b, what); ms += 5) {
        if (ms > PATIENT_MS)
            fail_msg("never said: %s", what);
        t_sleep_ms(5);
    }
}

static void await_count(struct bench *b, size_t n)
{
    for (int64_t ms = 0; httpd_count(b->d, "") < n; ms += 5) {
        T(ms < PATIENT_MS);
        t_sleep_ms(5);
    }
}

static void test_beats_while_all_is_well(void **state)
{
    struct bench b;
    struct wr_heartbeat *h;
    size_t n;

    (void)state;
    set_up(&b);
    h = begin(&b, "/ping/secret-token", 10);
    T(said(&b, "\"starting heartbeat monitor\""));
    await_count(&b, 3);
    T(httpd_count(b.d, "GET /ping/secret-token HTTP/1.1") >= 3);
    T(httpd_count(b.d, "User-Agent: weir/") >= 3);
    await_said(&b, "heartbeat ping sent");
    atomic_store(&b.well, false);
    t_sleep_ms(100); /* for one that was on its way */
    n = httpd_count(b.d, "");
    t_sleep_ms(200);
    T(httpd_count(b.d, "") == n);
    atomic_store(&b.well, true);
    await_count(&b, n + 2);
    wr_heartbeat_free(h);
    T(!said(&b, "secret-token") && !said(&b, "ERROR"));
    tear_down(&b);
}

static void test_not_before_all_is_well(void **state)
{
    struct bench b;
    struct wr_heartbeat *h;

    (void)state;
    set_up(&b);
    atomic_store(&b.well, false);
    h = begin(&b, "/ping", 3600000);
    while (atomic_load(&b.asked) < 5)
        t_sleep_ms(1);
    T(httpd_count(b.d, "") == 0);
    atomic_store(&b.well, true);
    await_count(&b, 1); /* soon, and then not for an hour */
    t_sleep_ms(200);
    T(httpd_count(b.d, "") == 1);
    wr_heartbeat_free(h);
    wr_heartbeat_free(NULL);
    tear_down(&b);
}

static void test_failures(void **state)
{
    static const struct {
        const char *path, *want;
    } cases[] = {{"/status/404", "the answer was status 404"},
        {"/status/500", "the answer was status 500"}, {"/round", "redirects"},
        {"/elsewhere", "\"error\":\""}};
    struct bench b;

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct wr_heartbeat *h;

        set_up(&b);
        h = begin(&b, cases[i].path, 3600000);
        await_said(&b, "heartbeat ping failed");
        T(said(&b, cases[i].want) && said(&b, "ERROR") && said(&b, "/***\""));
        T(!said(&b, "status/") && !said(&b, "heartbeat ping sent"));
        t_sleep_ms(50);
        T(httpd_count(b.d, "GET /status/") <= 1); /* not again before the next interval */
        wr_heartbeat_free(h);
        tear_down(&b);
    }
}

static void test_what_succeeds(void **state)
{
    static const char *const paths[] = {"/moved", "/much", "/status/204", ""};
    struct bench b;

    (void)state;
    for (size_t i = 0; i < wr_countof(paths); i++) {
        struct wr_heartbeat *h;

        set_up(&b);
        h = begin(&b, paths[i], 3600000);
        await_said(&b, "heartbeat ping sent");
        T(!said(&b, "ERROR"));
        if (i == 0)
            T(httpd_count(b.d, "GET /there") == 1);
        wr_heartbeat_free(h);
        tear_down(&b);
    }
}

static void test_nobody_there(void **state)
{
    struct bench b;
    struct wr_heartbeat *h = NULL;
    struct wr_heartbeat_opts o = {.url = "http://127.0.0.1:1/x", .interval_ms = 3600000};
    struct wr_err e = {0};

    (void)state;
    set_up(&b);
    o.well = well;
    o.arg = &b;
    o.log = &b.log;
    T_OK(wr_heartbeat_new(&o, &h, &e));
    await_said(&b, "heartbeat ping failed");
    T(said(&b, "\"url\":\"http://127.0.0.1:1/***\"") && said(&b, "onnect"));
    wr_heartbeat_free(h);
    tear_down(&b);
}

/* Its end does not wait for an answer. */
static void test_ends_at_once(void **state)
{
    const struct httpd_fault stall = {.kind = HTTPD_STALL};
    struct bench b;
    struct wr_heartbeat *h;
    int64_t began_ms;

    (void)state;
    set_up(&b);
    httpd_fault(b.d, &stall);
    h = begin(&b, "/stall", 3600000);
    httpd_await(b.d, "GET /stall");
    began_ms = wr_mono_ms(wr_clock_system());
    wr_heartbeat_free(h);
    T(wr_mono_ms(wr_clock_system()) - began_ms < 3000);
    T(!said(&b, "ERROR"));
    tear_down(&b);
}

static void test_timeout(void **state)
{
    const struct httpd_fault stall = {.kind = HTTPD_STALL};
    struct bench b;
    struct wr_heartbeat *h = NULL;
    struct wr_heartbeat_opts o = {.interval_ms = 3600000, .timeout_ms = 100};
    struct wr_err e = {0};

    (void)state;
    set_up(&b);
    httpd_fault(b.d, &stall);
    o.url = wr_arena_fmt(t_call()->scratch, "http://127.0.0.1:%u/x", httpd_port(b.d)).p;
    o.well = well;
    o.arg = &b;
    o.log = &b.log;
    T_OK(wr_heartbeat_new(&o, &h, &e));
    await_said(&b, "heartbeat ping failed");
    T(said(&b, "timed out"));
    wr_heartbeat_free(h);
    tear_down(&b);
}

T_MAIN(T_TEST(test_beats_while_all_is_well), T_TEST(test_not_before_all_is_well),
    T_TEST(test_failures), T_TEST(test_what_succeeds), T_TEST(test_nobody_there),
    T_TEST(test_ends_at_once), T_TEST(test_timeout))
