/*
 * Progress: what is printed, and how often.
 */
#include "base/rand.h"
#include "cli/progress.h"
#include "harness/t.h"

static struct wr_buf buf;

static int set_up(void **state)
{
    (void)state;
    wr_buf_init(&buf, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wr_buf_release(&buf);
    return 0;
}

/* What has been printed since the last time. */
static void expect(const char *want)
{
    static char got[4096];
    struct wr_str s = wr_buf_view(&buf);

    T(wr_buf_status(&buf) == WR_OK);
    T(s.n < sizeof(got));
    if (s.n)
        memcpy(got, s.p, s.n);
    got[s.n] = 0;
    wr_buf_clear(&buf);
    assert_string_equal(got, want);
}

static const weir_progress half = {
    .phase = WEIR_PHASE_FETCH,
    .files_done = 3,
    .files_total = 9,
    .bytes_done = 104000000,
    .bytes_total = 200000000,
};

static void test_bar(void **state)
{
    const weir_progress plan = {.phase = WEIR_PHASE_PLAN}, check = {.phase = WEIR_PHASE_CHECK};
    struct wr_progress p;

    (void)state;
    wr_progress_init(&p, WR_PROGRESS_BAR, 1000);
    wr_progress_put(&p, &plan, 1099, &buf);
    expect(""); /* what is over at once does not flicker */
    wr_progress_put(&p, &plan, 1100, &buf);
    expect("\r\033[Kplanning ...");
    wr_progress_put(&p, &half, 1200, &buf); /* too early for a rate */
    expect("\r\033[Krestoring [==========>         ]  52%  104 MB of 200 MB");
    wr_progress_put(&p, &half, 1250, &buf);
    expect("");
    wr_progress_put(&p, &half, 3000, &buf);
    expect("\r\033[Krestoring [==========>         ]  52%  104 MB of 200 MB, 52 MB/s, 2s left");
    wr_progress_put(&p, &check, 4000, &buf);
    expect("\r\033[Kchecking ...");
    wr_progress_end(&p, &buf);
    expect("\r\033[K");
    wr_progress_end(&p, &buf);
    expect("");
}

static void test_verifying(void **state)
{
    weir_progress x = half;
    struct wr_progress p;

    (void)state;
    x.phase = WEIR_PHASE_VERIFY;
    wr_progress_init(&p, WR_PROGRESS_BAR, 0);
    wr_progress_put(&p, &x, 200, &buf);
    expect("\r\033[Kverifying [==========>         ]  52%  104 MB of 200 MB");
    wr_progress_init(&p, WR_PROGRESS_JSON, 0);
    wr_progress_put(&p, &x, 2000, &buf);
    expect(
        "{\"phase\":\"verify\",\"bytes\":104000000,\"bytes_total\":200000000,\"bytes_resumed\":0,"
        "\"files\":3,\"files_total\":9}\n");
}

static void test_full_bar(void **state)
{
    weir_progress x = half;
    struct wr_progress p;

    (void)state;
    x.bytes_done = x.bytes_total;
    wr_progress_init(&p, WR_PROGRESS_BAR, 0);
    wr_progress_put(&p, &x, 2000, &buf);
    expect("\r\033[Krestoring [====================] 100%  200 MB of 200 MB, 100 MB/s, 0s left");
    x.bytes_done++; /* an object that grew: no rate, no overflow */
    wr_progress_put(&p, &x, 3000, &buf);
    expect("\r\033[Krestoring [====================] 100%  200 MB of 200 MB");
}

static void test_lines(void **state)
{
    weir_progress x = {.phase = WEIR_PHASE_SYNC};
    struct wr_progress p;

    (void)state;
    wr_progress_init(&p, WR_PROGRESS_LINES, 0);
    wr_progress_put(&p, &half, 4999, &buf);
    expect("");
    wr_progress_put(&p, &half, 5000, &buf);
    expect("restoring: 52%, 104 MB of 200 MB, 20 MB/s, 5s left\n");
    wr_progress_put(&p, &half, 9000, &buf);
    expect("");
    wr_progress_put(&p, &x, 10000, &buf);
    expect("writing\n");
    wr_progress_end(&p, &buf);
    expect("");
}

/* SQLite's check is told of once, when it begins: "restoring: 100%" stood there for its hours. */
static void test_another_phase_is_printed_at_once(void **state)
{
    const weir_progress plan = {.phase = WEIR_PHASE_PLAN}, check = {.phase = WEIR_PHASE_CHECK};
    struct wr_progress p;

    (void)state;
    wr_progress_init(&p, WR_PROGRESS_LINES, 0);
    wr_progress_put(&p, &plan, 1, &buf);
    expect("");
    wr_progress_put(&p, &half, 2, &buf);
    expect(""); /* what is over at once says nothing */
    wr_progress_put(&p, &check, 4, &buf);
    expect("checking\n");
    wr_progress_init(&p, WR_PROGRESS_BAR, 0);
    wr_progress_put(&p, &half, 1000, &buf);
    wr_buf_clear(&buf);
    wr_progress_put(&p, &check, 1001, &buf);
    expect("\r\033[Kchecking ...");
    wr_progress_init(&p, WR_PROGRESS_JSON, 0);
    wr_progress_put(&p, &half, 10, &buf);
    expect("");
    wr_progress_put(&p, &check, 11, &buf);
    expect("{\"phase\":\"check\",\"bytes\":0,\"bytes_total\":0,\"bytes_resumed\":0,\"files\":0,"
           "\"files_total\":0}\n");
    wr_progress_init(&p, WR_PROGRESS_SILENT, 0);
    wr_progress_put(&p, &half, 10, &buf);
    wr_progress_put(&p, &check, 11, &buf);
    expect("");
}

static void test_json(void **state)
{
    struct wr_progress p;

    (void)state;
    wr_progress_init(&p, WR_PROGRESS_JSON, 0);
    wr_progress_put(&p, &half, 999, &buf);
    expect("");
    wr_progress_put(&p, &half, 1000, &buf);
    expect("{\"phase\":\"fetch\",\"bytes\":104000000,\"bytes_total\":200000000,"
           "\"bytes_resumed\":0,\"files\":3,\"files_total\":9}\n");
}

/* Said at once, however short the rest, and once; the rate is that of the network. */
static void test_resuming(void **state)
{
    weir_progress x = half;
    struct wr_progress p;

    (void)state;
    x.bytes_done = 0;
    x.bytes_resumed = 84000000;
    wr_progress_init(&p, WR_PROGRESS_LINES, 0);
    wr_progress_put(&p, &x, 10, &buf);
    expect("resuming: 84 MB of 200 MB already here\n");
    x.bytes_done = 50000000;
    wr_progress_put(&p, &x, 5000, &buf);
    expect("restoring: 25%, 50 MB of 200 MB\n"); /* all of it was here, as far as one can tell */
    x.bytes_done = 104000000;
    wr_progress_put(&p, &x, 10000, &buf);
    expect("restoring: 52%, 104 MB of 200 MB, 2.0 MB/s, 48s left\n");

    wr_progress_init(&p, WR_PROGRESS_BAR, 0);
    wr_progress_put(&p, &(weir_progress){.phase = WEIR_PHASE_PLAN}, 100, &buf);
    expect("\r\033[Kplanning ...");
    wr_progress_put(&p, &x, 200, &buf);
    expect("\r\033[Kresuming: 84 MB of 200 MB already here\n"
           "\r\033[Krestoring [==========>         ]  52%  104 MB of 200 MB");

    wr_progress_init(&p, WR_PROGRESS_JSON, 0);
    wr_progress_put(&p, &x, 1000, &buf);
    expect("{\"phase\":\"fetch\",\"bytes\":104000000,\"bytes_total\":200000000,"
           "\"bytes_resumed\":84000000,\"files\":3,\"files_total\":9}\n");

    wr_progress_init(&p, WR_PROGRESS_SILENT, 0);
    wr_progress_put(&p, &x, 1000, &buf);
    expect("");
}

static void test_silent(void **state)
{
    struct wr_progress p;

    (void)state;
    wr_progress_init(&p, WR_PROGRESS_SILENT, 0);
    wr_progress_put(&p, &half, 100000, &buf);
    wr_progress_end(&p, &buf);
    expect("");
}

static void expect_size(uint64_t bytes, const char *want)
{
    char got[WR_SIZE_TEXT_MAX];

    wr_size_text(got, bytes);
    assert_string_equal(got, want);
}

static void test_sizes(void **state)
{
    (void)state;
    expect_size(0, "0 B");
    expect_size(999, "999 B");
    expect_size(1000, "1.0 kB");
    expect_size(8192, "8.1 kB");
    expect_size(9999, "9.9 kB");
    expect_size(10000, "10 kB");
    expect_size(999999, "999 kB");
    expect_size(1000000, "1.0 MB");
    expect_size(UINT64_MAX, "18 EB");
}

/* Any numbers in any order: a bar of fixed width, a percentage up to 100, no overflow. */
static void test_random(void **state)
{
    struct wr_rand r;
    struct wr_progress p;
    int64_t now = 0;

    (void)state;
    wr_rand_init(&r, t_seed());
    wr_progress_init(&p, WR_PROGRESS_BAR, 0);
    for (int round = 0; round < 5000; round++) {
        weir_progress x = {
            .phase = (int32_t)wr_rand_below(&r, 6),
            .bytes_done = wr_rand_u64(&r) >> wr_rand_below(&r, 64),
            .bytes_total = wr_rand_u64(&r) >> wr_rand_below(&r, 64),
        };
        const char *open, *close, *sign;

        now += (int64_t)wr_rand_below(&r, 100000);
        wr_buf_clear(&buf);
        wr_progress_put(&p, &x, now, &buf);
        T(wr_buf_status(&buf) == WR_OK);
        if (buf.n == 0)
            continue;
        wr_buf_byte(&buf, 0);
        open = strchr((const char *)buf.p + 3, '['); /* behind the escape sequence */
        if (!open)
            continue;
        close = strchr(open, ']');
        sign = strchr(open, '%');
        T(close && close - open == 21 && sign && sign - close == 5);
        T(memcmp(close, "] 100%", 6) == 0 || close[2] == ' ');
    }
}

#define P_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
T_MAIN(P_TEST(test_bar), P_TEST(test_verifying), P_TEST(test_full_bar), P_TEST(test_lines),
    P_TEST(test_another_phase_is_printed_at_once), P_TEST(test_json), P_TEST(test_resuming),
    P_TEST(test_silent), T_TEST(test_sizes), P_TEST(test_random))
