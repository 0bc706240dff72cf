/*
 * test_again.c - what could not be begun with, tried again by a thread that has less and less to
 * do.
 */
#include "base/clock.h"
#include "daemon/again.h"
#include "harness/t.h"
#include "unit/cli/fake_weir.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

static struct wr_logger logger;
static struct wr_fleet *fleet;
static struct wr_config *config;
static struct wr_again *again;
static int null_fd;

static int set_up(void **state)
{
    static const char text[] = "dbs:\n  - {path: /a, replica: {url: 'file:///ra'}}\n";
    const char *path = t_path(t_tmpdir(), "c.yml");
    struct wr_err e = {0};

    (void)state;
    memset(&fake, 0, sizeof(fake));
    fake.db.struct_size = sizeof(fake.db);
    ndbs = 0;
    null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    wr_logger_init(&logger, null_fd, WR_LOG_FORMAT_TEXT, WEIR_LOG_INFO);
    fleet = wr_fleet_new(&the_runtime, &logger);
    t_spew(path, text, strlen(text));
    T_OK(wr_config_load(t_call()->scratch, path, false, &config, &e));
    again = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wr_again_free(again);
    wr_fleet_free(fleet);
    wr_logger_release(&logger);
    return close(null_fd);
}

static void begin(int64_t first_ms, int64_t most_ms, struct wr_registry *registry)
{
    const struct wr_again_opts o = {.reload = {.w = &the_runtime, .fleet = fleet, .log = &logger},
        .config = config,
        .registry = registry,
        .first_ms = first_ms,
        .most_ms = most_ms};
    struct wr_err e = {0};

    T_OK(wr_again_new(&o, &again, &e));
}

static bool comes(const char *path)
{
    struct wr_absent *absent = wr_fleet_absent(fleet);
    int64_t end = wr_mono_ns(wr_clock_system()) + INT64_C(30000000000);

    while (wr_absent_count(absent) > 0 && wr_mono_ns(wr_clock_system()) < end)
        (void)poll(NULL, 0, 1);
    return wr_absent_count(absent) == 0 && wr_fleet_has(fleet, path);
}

static void test_nothing_is_absent(void **state)
{
    (void)state;
    (void)wr_absent_put(wr_fleet_absent(fleet), WR_ABSENT_DIRS, "/d", "others look at that");
    begin(1, 1, NULL);
    T(again == NULL);
    wr_again_now(again);
}

static void test_in_time(void **state)
{
    (void)state;
    (void)wr_absent_put(wr_fleet_absent(fleet), WR_ABSENT_RELOAD, "/a", "no");
    begin(1, 2, NULL);
    T(comes("/a"));
}

/* Not in the time of this test, but for who asks. */
static void test_at_once(void **state)
{
    (void)state;
    (void)wr_absent_put(wr_fleet_absent(fleet), WR_ABSENT_RELOAD, "/a", "no");
    begin(0, 0, NULL);
    T(again && !wr_fleet_has(fleet, "/a"));
    wr_again_now(again);
    T(comes("/a"));
}

static void test_it_can_be_ended_before(void **state)
{
    (void)state;
    (void)wr_absent_put(wr_fleet_absent(fleet), WR_ABSENT_RELOAD, "/a", "no");
    begin(0, 0, NULL);
    wr_again_free(again);
    again = NULL;
    T(!wr_fleet_has(fleet, "/a") && wr_absent_count(wr_fleet_absent(fleet)) == 1);
}

static void test_registered_ones(void **state)
{
    const char *path = t_path(t_tmpdir(), "registered.json");
    struct wr_registry *r = NULL;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_registry_new(path, &logger, &r, &e));
    T_OK(wr_registry_put(r, "/r", "file:///rr", &e));
    fake.db_add = WEIR_LIMIT;
    wr_registry_begin(r, fleet);
    T(wr_absent_count(wr_fleet_absent(fleet)) == 1);
    fake.db_add = WEIR_OK;
    begin(1, 1, r);
    T(comes("/r"));
    wr_again_free(again);
    again = NULL;
    wr_registry_free(r);
}

static enum wr_status sweep(void *arg)
{
    const struct wr_again_opts o = {
        .reload = {.w = &the_runtime, .fleet = fleet, .log = &logger}, .config = config};
    struct wr_again *a = NULL;
    struct wr_err e = {0};
    enum wr_status st = wr_again_new(&o, &a, &e);

    (void)arg;
    wr_again_free(a);
    return st;
}

static void test_nomem(void **state)
{
    (void)state;
    (void)wr_absent_put(wr_fleet_absent(fleet), WR_ABSENT_RELOAD, "/a", "no");
    t_sweep_nomem(sweep, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
T_MAIN(TEST(test_nothing_is_absent), TEST(test_in_time), TEST(test_at_once),
    TEST(test_it_can_be_ended_before), TEST(test_registered_ones), TEST(test_nomem))
