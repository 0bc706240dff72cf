/*
 * Log lines: the three formats to the letter, time zones, and lines from several threads.
 */
#ifndef _GNU_SOURCE   /* posix_openpt */
#define _GNU_SOURCE 1 /* NOLINT(bugprone-reserved-identifier) */
#endif

#include "harness/t.h"
#include "base/sync.h"
#include "daemon/logfmt.h"

#include <fcntl.h>
#include <unistd.h>

#include <jansson.h>
#include <weir.h>

#define NOV_24 1795545793065 /* 2026-11-24T18:43:13.065Z */

static void expect(enum wr_log_format format, const struct wr_log_line *line, const char *want)
{
    struct wr_buf buf;

    wr_buf_init(&buf, 1 << 16);
    wr_logfmt(&buf, format, line);
    wr_buf_byte(&buf, 0);
    T(wr_buf_status(&buf) == WR_OK);
    assert_string_equal((const char *)buf.p, want);
    wr_buf_release(&buf);
}

static void set_zone(const char *tz)
{
    T(setenv("TZ", tz, 1) == 0);
    tzset();
}

static const struct wr_log_line plain = {
    .wall_ms = NOV_24,
    .level = WEIR_LOG_INFO,
    .message = "initialized db",
    .json_fields = "{\"path\":\"/p/app.db\"}",
    .text_fields = "path=/p/app.db",
};

static void test_text(void **state)
{
    struct wr_log_line line = plain;

    (void)state;
    set_zone("UTC0");
    expect(WR_LOG_FORMAT_TEXT, &line,
        "time=2026-11-24T18:43:13.065Z level=INFO msg=\"initialized db\" path=/p/app.db\n");
    line.text_fields = "";
    line.message = "weir";
    line.level = WEIR_LOG_ERROR;
    expect(WR_LOG_FORMAT_TEXT, &line, "time=2026-11-24T18:43:13.065Z level=ERROR msg=weir\n");
    line.text_fields = NULL;
    line.level = WEIR_LOG_DEBUG;
    line.message = "a\nb";
    expect(WR_LOG_FORMAT_TEXT, &line, "time=2026-11-24T18:43:13.065Z level=DEBUG msg=\"a\\nb\"\n");
}

static void test_json(void **state)
{
    struct wr_log_line line = plain;

    (void)state;
    set_zone("UTC0");
    expect(WR_LOG_FORMAT_JSON, &line,
        "{\"time\":\"2026-11-24T18:43:13.065Z\",\"level\":\"INFO\",\"msg\":\"initialized db\","
        "\"path\":\"/p/app.db\"}\n");
    line.json_fields = "{}";
    line.message = "say \"x\"";
    line.level = WEIR_LOG_WARN;
    expect(WR_LOG_FORMAT_JSON, &line,
        "{\"time\":\"2026-11-24T18:43:13.065Z\",\"level\":\"WARN\",\"msg\":\"say \\\"x\\\"\"}\n");
    line.json_fields = NULL;
    line.message = "";
    expect(WR_LOG_FORMAT_JSON, &line,
        "{\"time\":\"2026-11-24T18:43:13.065Z\",\"level\":\"WARN\",\"msg\":\"\"}\n");
}

static void test_pretty(void **state)
{
    struct wr_log_line line = plain;

    (void)state;
    set_zone("UTC0");
    expect(WR_LOG_FORMAT_PRETTY, &line, "18:43:13 INF initialized db path=/p/app.db\n");
    line.level = WEIR_LOG_WARN;
    line.text_fields = NULL;
    expect(WR_LOG_FORMAT_PRETTY, &line, "18:43:13 WRN initialized db\n");
}

static void test_zones(void **state)
{
    struct wr_log_line line = {.wall_ms = NOV_24, .level = WEIR_LOG_INFO, .message = "x"};

    (void)state;
    set_zone("CET-1");
    expect(WR_LOG_FORMAT_TEXT, &line, "time=2026-11-24T19:43:13.065+01:00 level=INFO msg=x\n");
    set_zone("NST3:30");
    expect(WR_LOG_FORMAT_TEXT, &line, "time=2026-11-24T15:13:13.065-03:30 level=INFO msg=x\n");
    set_zone("UTC0");
    line.wall_ms = -1;
    expect(WR_LOG_FORMAT_TEXT, &line, "time=1969-12-31T23:59:59.999Z level=INFO msg=x\n");
}

static void test_logger_level_and_fields(void **state)
{
    const char *path = t_path(t_tmpdir(), "log");
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    struct wr_clock_manual clock;
    struct wr_logger l;
    struct wr_bytes got;
    const char *want = "time=2026-11-24T18:43:13.065Z level=INFO msg=hello db=/a n=7\n"
                       "time=2026-11-24T18:43:13.065Z level=ERROR msg=bad\n";

    (void)state;
    set_zone("UTC0");
    T(fd >= 0);
    wr_clock_manual_init(&clock, NOV_24);
    wr_logger_init(&l, fd, WR_LOG_FORMAT_TEXT, WEIR_LOG_INFO);
    l.clock = &clock.clock;
    wr_say(&l, WEIR_LOG_INFO, "hello", WR_F_Z("db", "/a"), WR_F_U64("n", 7));
    wr_say(&l, WEIR_LOG_DEBUG, "not this", WR_F_U64("n", 7));
    wr_logger_write(&l, WEIR_LOG_DEBUG, "nor this", "{}", "");
    wr_logger_write(&l, WEIR_LOG_ERROR, "bad", "{}", "");
    wr_logger_release(&l);
    T(close(fd) == 0);
    got = t_slurp(path);
    T(got.n == strlen(want) && memcmp(got.p, want, got.n) == 0);
}

#define THREADS 4
#define LINES   200

static void talk(void *arg)
{
    for (int i = 0; i < LINES; i++)
        wr_say((struct wr_logger *)arg, WEIR_LOG_INFO, "from a thread", WR_F_I64("i", i));
}

/* Every line arrives whole, whoever else is writing. */
static void test_threads(void **state)
{
    const char *path = t_path(t_tmpdir(), "log");
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
    struct wr_thread threads[THREADS];
    struct wr_err e = {0};
    struct wr_logger l;
    struct wr_bytes got;
    struct wr_str rest, line;
    size_t lines = 0;

    (void)state;
    T(fd >= 0);
    wr_logger_init(&l, fd, WR_LOG_FORMAT_JSON, WEIR_LOG_INFO);
    for (size_t i = 0; i < THREADS; i++)
        T_OK(wr_thread_start(&threads[i], "talk", 0, talk, &l, &e));
    for (size_t i = 0; i < THREADS; i++)
        wr_thread_join(&threads[i]);
    wr_logger_release(&l);
    T(close(fd) == 0);
    got = t_slurp(path);
    rest = (struct wr_str){(const char *)got.p, got.n};
    while (wr_str_cut(rest, '\n', &line, &rest)) {
        json_t *j = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, NULL);

        T(j && json_string_length(json_object_get(j, "msg")) == 13);
        json_decref(j);
        lines++;
    }
    T(lines == (size_t)THREADS * LINES && rest.n == 0);
}

/* A pipe that nobody reads, as of a collector of logs that hangs, held up every thread that had
 * something to say, and so all replication, and the end of the process. */
static void test_a_log_that_nobody_takes(void **state)
{
    char got[1 << 17];
    struct wr_logger l;
    struct wr_str rest, line;
    unsigned said = 0, there = 0, lost = 0;
    size_t n = 0;
    int fds[2];

    (void)state;
    T(pipe(fds) == 0);
    wr_logger_init(&l, fds[1], WR_LOG_FORMAT_JSON, WEIR_LOG_INFO);
    l.patience_ms = 0;
    while (said < 10000)
        wr_say(&l, WEIR_LOG_INFO, "a record", WR_F_U64("i", ++said));
    T(l.lost > 0 && l.lost < said);
    n = (size_t)read(fds[0], got, sizeof(got)); /* it comes back */
    T(n < sizeof(got));
    wr_say(&l, WEIR_LOG_INFO, "a record", WR_F_U64("i", ++said));
    wr_say(&l, WEIR_LOG_INFO, "a record", WR_F_U64("i", ++said));
    T(l.lost == 0);
    wr_logger_release(&l);
    T(close(fds[1]) == 0);
    n += (size_t)read(fds[0], got + n, sizeof(got) - n);
    T(close(fds[0]) == 0);
    rest = (struct wr_str){got, n};
    while (wr_str_cut(rest, '\n', &line, &rest)) {
        json_t *j = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, NULL);

        T(j);
        if (strcmp(json_string_value(json_object_get(j, "msg")), "a record") == 0) {
            there++;
        } else {
            assert_string_equal(json_string_value(json_object_get(j, "msg")),
                "log records were lost, as nobody took them");
            assert_string_equal(json_string_value(json_object_get(j, "level")), "WARN");
            lost = (unsigned)json_integer_value(json_object_get(j, "records"));
        }
        json_decref(j);
    }
    T(rest.n == 0 && lost > 0 && there + lost == said);
}

/* So did a terminal, which says that it has room for a line when it has for a part of it. */
static void test_a_terminal_that_nobody_reads(void **state)
{
    char got[1 << 12];
    struct wr_logger l;
    int far = posix_openpt(O_RDWR | O_NOCTTY), near;

    (void)state;
    if (far < 0 || grantpt(far) != 0 || unlockpt(far) != 0)
        skip();
    near = open(ptsname(far), O_RDWR | O_NOCTTY);
    if (near < 0)
        skip();
    wr_logger_init(&l, near, WR_LOG_FORMAT_TEXT, WEIR_LOG_INFO);
    l.patience_ms = 0;
    for (unsigned i = 0; i < 10000; i++)
        wr_say(&l, WEIR_LOG_INFO, "a record", WR_F_U64("i", i));
    T(l.lost > 0);
    T((fcntl(near, F_GETFL) & O_NONBLOCK) == 0); /* it is not ours alone */
    wr_logger_release(&l);
    T(read(far, got, sizeof(got)) > 0);
    T(close(near) == 0 && close(far) == 0);
}

/* A line that was cut is ended before the next one. */
static void test_a_long_line_that_was_cut(void **state)
{
    static char text[60000], got[1 << 17];
    struct wr_logger l;
    struct wr_str rest, line, last = {0};
    size_t n;
    int fds[2];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    T(pipe(fds) == 0);
    wr_logger_init(&l, fds[1], WR_LOG_FORMAT_TEXT, WEIR_LOG_INFO);
    l.patience_ms = 0;
    wr_logger_write(&l, WEIR_LOG_INFO, "long", "{}", text);
    wr_logger_write(&l, WEIR_LOG_INFO, "long", "{}", text);
    T(l.lost == 1);
    n = (size_t)read(fds[0], got, sizeof(got));
    wr_logger_write(&l, WEIR_LOG_INFO, "short", "{}", "");
    wr_logger_release(&l);
    n += (size_t)read(fds[0], got + n, sizeof(got) - n);
    rest = (struct wr_str){got, n};
    while (wr_str_cut(rest, '\n', &line, &rest))
        last = line;
    T(rest.n == 0 && last.n < 100 && wr_str_ends(last, WR_STR("msg=short")));
    T(close(fds[0]) == 0 && close(fds[1]) == 0);
}

static enum wr_status sweep(void *arg)
{
    wr_say((struct wr_logger *)arg, WEIR_LOG_INFO, "x", WR_F_Z("k", "v"));
    return WR_OK; /* a line may be lost, nothing else */
}

static void test_nomem(void **state)
{
    int fd = open("/dev/null", O_WRONLY);
    struct wr_logger l;

    (void)state;
    T(fd >= 0);
    wr_logger_init(&l, fd, WR_LOG_FORMAT_JSON, WEIR_LOG_INFO);
    t_sweep_nomem(sweep, &l);
    wr_logger_release(&l);
    T(close(fd) == 0);
}

T_MAIN(T_TEST(test_text), T_TEST(test_json), T_TEST(test_pretty), T_TEST(test_zones),
    T_TEST(test_logger_level_and_fields), T_TEST(test_threads),
    T_TEST(test_a_log_that_nobody_takes), T_TEST(test_a_terminal_that_nobody_reads),
    T_TEST(test_a_long_line_that_was_cut), T_TEST(test_nomem))
