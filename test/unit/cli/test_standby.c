/*
 * What a follower answers to those who ask, and tells a service manager.
 */
#include "base/str.h"
#include "daemon/standby.h"
#include "harness/t.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

static struct wr_logger logger;
static struct wr_clock_manual hands;
static struct wr_standby *standby;
static struct wr_buf out;
static int null_fd;

static void begin(const char *path, int64_t interval_ms)
{
    const struct wr_standby_opts o = {
        .path = path, .interval_ms = interval_ms, .clock = &hands.clock, .log = &logger};

    standby = wr_standby_new(&o);
    T(standby);
}

static int set_up(void **state)
{
    (void)state;
    wr_clock_manual_init(&hands, 1);
    null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    wr_logger_init(&logger, null_fd, WR_LOG_FORMAT_JSON, WEIR_LOG_INFO);
    wr_buf_init(&out, 65536);
    return null_fd >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wr_standby_free(standby);
    standby = NULL;
    wr_buf_release(&out);
    wr_logger_release(&logger);
    return close(null_fd);
}

static const char *text_of(int (*page)(void *, struct wr_buf *), int status)
{
    wr_buf_clear(&out);
    T(page(standby, &out) == status);
    wr_buf_byte(&out, 0);
    T(wr_buf_status(&out) == WR_OK);
    return (const char *)out.p;
}

#define READY(status, want) assert_string_equal(text_of(wr_standby_readyz, status), want)

static void note(int32_t phase, int64_t lag_ms, int64_t unseen_ms, const char *text)
{
    const weir_follow_status now = {.phase = phase,
        .txid = 0x2a,
        .newest = phase == WEIR_FOLLOW_CURRENT ? 0x2a : 0x2c,
        .time_ms = 1500,
        .lag_ms = lag_ms,
        .unseen_ms = unseen_ms,
        .applied = 7,
        .errors = phase == WEIR_FOLLOW_FAILING,
        .text = text};

    wr_standby_note(standby, &now);
}

static void test_from_the_restore_on(void **state)
{
    (void)state;
    begin("/a.db", 1000);
    T(strstr(text_of(wr_standby_metrics, 200),
        "\nweir_follow_phase{db=\"/a.db\",phase=\"restoring\"} 1\n"));
    T(strstr((char *)out.p, "\nweir_follow_ready{db=\"/a.db\"} 0\n"));
    T(!strstr((char *)out.p, "weir_follow_txid"));
    READY(503, "not ready: the copy is being made\n");
    assert_string_equal(text_of(wr_standby_healthz, 200), "ok\n");
    note(WEIR_FOLLOW_CURRENT, 0, 0, NULL);
    READY(200, "ready: at 000000000000002a\n");
}

/* It was what it was at the last step, whoever hung since. */
static void test_a_follower_that_hung_looked_well(void **state)
{
    (void)state;
    begin("/a.db", 1000);
    note(WEIR_FOLLOW_CURRENT, 0, 400, NULL);
    wr_clock_manual_advance(&hands, 29 * SECOND);
    READY(200, "ready: at 000000000000002a\n");
    wr_clock_manual_advance(&hands, 2 * SECOND);
    READY(503, "not ready: at one step for 31 s\n");
    T(strstr(
        text_of(wr_standby_metrics, 200), "\nweir_follow_unseen_seconds{db=\"/a.db\"} 31.4\n"));
    T(strstr((char *)out.p, "\nweir_follow_ready{db=\"/a.db\"} 0\n"));
}

static void test_behind(void **state)
{
    (void)state;
    begin("/a.db", 1000);
    note(WEIR_FOLLOW_CURRENT, 0, 0, NULL);
    wr_clock_manual_advance(&hands, 20 * SECOND);
    note(WEIR_FOLLOW_CURRENT, 0, 0, NULL);
    /* The first commit for a day: the copy is that old, and was the newest until just now. */
    wr_clock_manual_advance(&hands, SECOND);
    note(WEIR_FOLLOW_BEHIND, INT64_C(86400000), 0, NULL);
    READY(200, "ready: at 000000000000002a\n");
    wr_clock_manual_advance(&hands, 30 * SECOND);
    note(WEIR_FOLLOW_WAITING, INT64_C(86400000), 0, "a reader");
    READY(503, "not ready: behind for 31 s: a reader\n");
    /* Always behind, and never for long, as where commits come without a pause. */
    note(WEIR_FOLLOW_BEHIND, 900, 0, NULL);
    READY(200, "ready: at 000000000000002a\n");
    /* More is there, and how old it is nobody knows yet. */
    note(WEIR_FOLLOW_BEHIND, 0, 0, NULL);
    READY(503, "not ready: behind for 31 s\n");
    note(WEIR_FOLLOW_CURRENT, 0, 0, NULL);
    READY(200, "ready: at 000000000000002a\n");
}

static void test_a_store_that_is_away(void **state)
{
    (void)state;
    begin("/a.db", 60000); /* looks that come so seldom make it late that much later */
    note(WEIR_FOLLOW_CURRENT, 0, 0, NULL);
    note(WEIR_FOLLOW_FAILING, 0, 300000, "no route");
    READY(200, "ready: at 000000000000002a\n");
    note(WEIR_FOLLOW_FAILING, 0, 300001, "no route");
    READY(503, "not ready: nothing was heard of the replica for 300 s: no route\n");
}

static void test_figures(void **state)
{
    static const char *const lines[] = {"weir_follow_phase{db=\"/a\\\"b.db\",phase=\"behind\"} 1",
        "weir_follow_phase{db=\"/a\\\"b.db\",phase=\"current\"} 0",
        "weir_follow_ready{db=\"/a\\\"b.db\"} 1", "weir_follow_txid{db=\"/a\\\"b.db\"} 42",
        "weir_follow_newest_txid{db=\"/a\\\"b.db\"} 44",
        "weir_follow_timestamp_seconds{db=\"/a\\\"b.db\"} 1.5",
        "weir_follow_lag_seconds{db=\"/a\\\"b.db\"} 2.25",
        "weir_follow_applied_total{db=\"/a\\\"b.db\"} 7", "weir_follow_errors{db=\"/a\\\"b.db\"} 0",
        "# TYPE weir_follow_applied_total counter", "# TYPE weir_follow_lag_seconds gauge",
        "# TYPE process_start_time_seconds gauge"};
    const char *page;

    (void)state;
    begin("/a\"b.db", 1000);
    note(WEIR_FOLLOW_BEHIND, 250, 0, NULL);
    wr_clock_manual_advance(&hands, 2 * SECOND);
    page = text_of(wr_standby_metrics, 200);
    for (size_t i = 0; i < wr_countof(lines); i++) {
        const char *at = strstr(page, lines[i]);

        T(at && (at == page || at[-1] == '\n') && at[strlen(lines[i])] == '\n');
    }
}

/* Every name is explained in the manual. */
static void test_manual(void **state)
{
    struct wr_bytes all = t_slurp(t_data("../../docs/man/weir-monitoring.7"));
    struct wr_str man =
        wr_arena_str(t_call()->scratch, (struct wr_str){(const char *)all.p, all.n});
    const char *at;

    (void)state;
    begin("/a.db", 1000);
    note(WEIR_FOLLOW_BEHIND, 250, 0, NULL);
    for (at = text_of(wr_standby_metrics, 200); (at = strstr(at, "# TYPE ")) != NULL;) {
        char name[128];

        at += strlen("# TYPE ");
        (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, " "), at);
        if (!strstr(man.p, name))
            fail_msg("not in the manual: %s", name);
    }
}

/* The manager here is a socket that is read. */
static void test_a_service_manager(void **state)
{
    static const char *const words[] = {"STATUS=the copy is being made", "READY=1",
        "STATUS=the copy is catching up", "STATUS=the copy is up to date",
        "STATUS=following fails, and is tried again: no route", "STOPPING=1"};
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const char *path = t_path(t_tmpdir(), "s");
    char text[128];

    (void)state;
    T(strlen(path) < sizeof(at.sun_path));
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    T(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
    T(setenv("NOTIFY_SOCKET", path, 1) == 0);
    begin("/a.db", 1000);
    note(WEIR_FOLLOW_BEHIND, 1, 0, NULL);
    note(WEIR_FOLLOW_BEHIND, 2, 0, NULL);
    note(WEIR_FOLLOW_CURRENT, 0, 0, NULL);
    note(WEIR_FOLLOW_CURRENT, 0, 0, NULL);
    note(WEIR_FOLLOW_FAILING, 0, 0, "no route");
    wr_standby_free(standby);
    standby = NULL;
    T(unsetenv("NOTIFY_SOCKET") == 0);
    for (size_t i = 0; i < wr_countof(words); i++) {
        ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

        T(n > 0);
        text[n] = '\0';
        assert_string_equal(text, words[i]);
    }
    T(recv(fd, text, sizeof(text), 0) < 0 && close(fd) == 0);
}

#define S_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

T_MAIN(S_TEST(test_from_the_restore_on), S_TEST(test_a_follower_that_hung_looked_well),
    S_TEST(test_behind), S_TEST(test_a_store_that_is_away), S_TEST(test_figures),
    S_TEST(test_manual), S_TEST(test_a_service_manager))
