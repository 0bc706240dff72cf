/*
 * What is answered to those who ask whether all is well.
 */
#include "daemon/health.h"
#include "harness/t.h"
#include "unit/cli/fake_weir.h"

#include <fcntl.h>

#define SECOND INT64_C(1000000000)

static struct wr_logger logger;
static struct wr_fleet *fleet;
static struct wr_sentinel *sentinel;
static struct wr_clock_manual hands;
static struct wr_buf out;
static int null_fd;

static int set_up(void **state)
{
    struct wr_sentinel_opts o = {.clock = &hands.clock, .log = &logger};
    struct wr_err e = {0};

    (void)state;
    memset(&fake, 0, sizeof(fake));
    fake.db = (weir_db_info){.struct_size = sizeof(fake.db), .state = "syncing"};
    fake.replica = (weir_replica_info){.struct_size = sizeof(fake.replica),
        .url = "file:///r",
        .state = "ready",
        .safe_txid = 3,
        .sync_interval_ms = 1000};
    fake.sight = (weir_db_sight){.struct_size = sizeof(fake.sight),
        .seen = WEIR_SEEN_INDEX,
        .commits = 7,
        .proven = 1,
        .txid_commits = 7,
        .txid = 3};
    ndbs = 0;
    wr_clock_manual_init(&hands, 1);
    null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    wr_logger_init(&logger, null_fd, WR_LOG_FORMAT_JSON, WEIR_LOG_INFO);
    fleet = wr_fleet_new(&the_runtime, &logger);
    o.fleet = fleet;
    T_OK(wr_sentinel_new(&o, &sentinel, &e));
    wr_buf_init(&out, 65536);
    return fleet && null_fd >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wr_buf_release(&out);
    wr_sentinel_free(sentinel);
    wr_fleet_free(fleet);
    wr_logger_release(&logger);
    return close(null_fd);
}

static void add(const char *path)
{
    static const char *const settings[] = {"sync-interval", "1s", NULL};
    const struct wr_config_replica r = {
        .url = "file:///r", .type = "file", .sync_interval = "1s", .settings = settings};
    const struct wr_config_db c = {.path = path, .replicas = &r, .nreplicas = 1};
    weir_error err = {0};

    T(wr_fleet_add(fleet, &c, NULL, &err) == WEIR_OK);
}

static void pass(int64_t seconds)
{
    for (int64_t i = 0; i < seconds; i += 5) {
        wr_clock_manual_advance(&hands, 5 * SECOND);
        wr_sentinel_pass(sentinel);
    }
}

static struct wr_health health(void)
{
    return (struct wr_health){.w = &the_runtime, .fleet = fleet, .sentinel = sentinel};
}

static void expect(
    int (*ask)(const struct wr_health *, struct wr_buf *), int code, const char *text)
{
    struct wr_health h = health();

    wr_buf_clear(&out);
    assert_int_equal(ask(&h, &out), code);
    T(wr_buf_status(&out) == WR_OK);
    assert_string_equal((const char *)out.p, text);
}

static void test_alive(void **state)
{
    (void)state;
    expect(wr_healthz, 200, "ok\n"); /* before the first look, too */
    add("/a.db");
    pass(5);
    expect(wr_healthz, 200, "ok\n");
    fake.sight.commits = 8; /* behind is not dead */
    pass(600);
    expect(wr_healthz, 200, "ok\n");
    atomic_store(&fake.held_ms, 10000);
    expect(wr_healthz, 200, "ok\n");
    atomic_store(&fake.held_ms, 12345);
    expect(wr_healthz, 503,
        "the writer lock of a database has been held for 12 s, and its applications wait: a disk "
        "hangs\n");
    atomic_store(&fake.held_ms, 0);
    wr_clock_manual_advance(&hands, 26 * SECOND);
    expect(wr_healthz, 503,
        "the watcher over replication has not looked for long: it, or what it looks at, hangs\n");
    expect(wr_readyz, 503,
        "the watcher over replication has not looked for long: it, or what it looks at, hangs\n");
}

static void test_ready(void **state)
{
    weir_error err = {0};
    bool was;

    (void)state;
    expect(wr_readyz, 503, "not ready: just begun\n");
    T(!wr_all_well(sentinel));
    pass(5);
    expect(wr_readyz, 200, "ready: 0 databases\n");
    T(!wr_all_well(sentinel)); /* there is none that could be well */
    fake.replica.safe_txid = 0;
    add("/a.db");
    pass(10);
    expect(wr_readyz, 503,
        "not ready: 1 of 1 databases\n/a.db: not in sync yet for 5 s: replica file:///r (ready) "
        "does not acknowledge what it is sent, and no failure was reported\n");
    T(!wr_all_well(sentinel));
    fake.replica.safe_txid = 3;
    pass(5);
    expect(wr_readyz, 200, "ready: 1 database\n");
    T(wr_all_well(sentinel));
    fake.sight.commits = 8;
    pass(30);
    expect(wr_readyz, 200, "ready: 1 database\n"); /* within its bound */
    fake.replica.error_code = WEIR_AUTH;
    (void)snprintf(fake.replica.error, sizeof(fake.replica.error), "refused");
    pass(10);
    expect(wr_readyz, 503,
        "not ready: 1 of 1 databases\n/a.db: behind for 35 s: replica file:///r: refused\n");
    T(!wr_all_well(sentinel));
    T(wr_fleet_stop(fleet, "/a.db", 0, &was, NULL, &err) == WEIR_OK);
    pass(5);
    expect(wr_readyz, 200, "ready: 0 databases, 1 stopped\n");
    T(!wr_all_well(sentinel));
}

/* Between two looks, which may be a minute apart. */
static void test_one_that_just_came_was_ready(void **state)
{
    weir_error err = {0};
    bool was;

    (void)state;
    add("/a.db");
    pass(5);
    T(wr_all_well(sentinel));
    add("/b.db");
    expect(
        wr_readyz, 503, "not ready: 1 database was begun with just now, and not yet looked at\n");
    T(!wr_all_well(sentinel));
    pass(5);
    expect(wr_readyz, 200, "ready: 2 databases\n");
    /* One that takes another one's place, as at a reload, is a newcomer too. */
    T(wr_fleet_remove(fleet, "/b.db", 0, NULL, &err) == WEIR_OK);
    add("/b.db");
    T(wr_fleet_stop(fleet, "/a.db", 0, &was, NULL, &err) == WEIR_OK);
    T(wr_fleet_start(fleet, "/a.db", &was, &err) == WEIR_OK);
    expect(
        wr_readyz, 503, "not ready: 2 databases were begun with just now, and not yet looked at\n");
    pass(5);
    T(wr_all_well(sentinel));
}

/* It is never seen with nothing missing, so that it was never ready, and no heartbeat went out. */
static void test_a_busy_one_was_never_ready(void **state)
{
    (void)state;
    fake.sight.commits = 9; /* as many come as go */
    add("/a.db");
    pass(10);
    expect(wr_readyz, 503,
        "not ready: 1 of 1 databases\n/a.db: not in sync yet for 5 s: it has commits that nothing "
        "has captured, and no failure was reported (state syncing)\n");
    for (int i = 0; i < 3; i++) {
        fake.replica.safe_txid++;
        fake.sight.txid++;
        fake.sight.txid_commits += 3;
        fake.sight.commits += 3;
        pass(5);
        expect(wr_readyz, 200, "ready: 1 database\n");
        T(wr_all_well(sentinel));
    }
    pass(25); /* and then nothing more */
    expect(wr_readyz, 200, "ready: 1 database\n");
    pass(10);
    T(!wr_all_well(sentinel));
}

/* A database that nobody could begin with is in no fleet, and not fine either. */
static void test_absent_ones_are_told(void **state)
{
    struct wr_absent *absent = wr_fleet_absent(fleet);

    (void)state;
    add("/a.db");
    pass(5);
    expect(wr_readyz, 200, "ready: 1 database\n");
    (void)wr_absent_put(absent, WR_ABSENT_RELOAD, "/b.db", "its disk is full");
    expect(wr_readyz, 503,
        "not ready: 1 database could not be begun with\n/b.db: not replicated: its disk is "
        "full\n");
    T(!wr_all_well(sentinel));
    expect(wr_healthz, 200, "ok\n");
    add("/b.db"); /* at last */
    pass(5);
    expect(wr_readyz, 200, "ready: 2 databases\n");
    T(wr_all_well(sentinel));
}

/* A file with a typo in it takes nobody out of service, and does not go unseen either. */
static void test_a_refused_configuration_is_told(void **state)
{
    struct wr_refused *refused = wr_fleet_refused(fleet);
    struct wr_refusal r;
    char longest[2 * WR_REFUSED_WHY_MAX];

    (void)state;
    wr_refused_look(refused, &r);
    T(!r.why[0] && r.refused_ms == 0 && r.taken_ms > 1700000000000);
    add("/a.db");
    pass(5);
    wr_refused_put(refused, "weir.yml:3: unknown\nkey", 1790000000999);
    expect(wr_readyz, 200,
        "ready: 1 database\nthe configuration was refused when it was read again at "
        "2026-09-21T14:13:20Z, what it said before goes on: weir.yml:3: unknown?key\n");
    T(wr_all_well(sentinel));
    (void)wr_absent_put(wr_fleet_absent(fleet), WR_ABSENT_RELOAD, "/b.db", "no");
    expect(wr_readyz, 503,
        "not ready: 1 database could not be begun with\n/b.db: not replicated: no\n"
        "the configuration was refused when it was read again at 2026-09-21T14:13:20Z, what it "
        "said before goes on: weir.yml:3: unknown?key\n");
    wr_absent_drop(wr_fleet_absent(fleet), "/b.db");
    wr_refused_put(refused, "", 1); /* for no reason that anybody knows */
    wr_refused_look(refused, &r);
    assert_string_equal(r.why, "?");
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    wr_refused_put(refused, longest, 2);
    wr_refused_look(refused, &r);
    assert_int_equal(strlen(r.why), WR_REFUSED_WHY_MAX - 1);
    wr_refused_clear(refused, 77);
    wr_refused_look(refused, &r);
    T(!r.why[0] && r.refused_ms == 0 && r.taken_ms == 77);
    expect(wr_readyz, 200, "ready: 1 database\n");
}

static void test_waiting_ones_are_told(void **state)
{
    (void)state;
    fake.sight = (weir_db_sight){.struct_size = sizeof(fake.sight), .seen = WEIR_SEEN_NOTHING};
    add("/a.db");
    pass(5);
    expect(wr_readyz, 200, "ready: 0 databases, 1 not there yet\n");
    T(!wr_all_well(sentinel));
}

static void test_many(void **state)
{
    char path[32];
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 50; i++) {
        (void)snprintf(path, sizeof(path), "/%03d\n.db", i);
        add(path);
    }
    fake.db.error_code = WEIR_IO;
    (void)snprintf(fake.db.error, sizeof(fake.db.error), "broken");
    fake.sight.commits = 8;
    pass(60);
    {
        struct wr_health h = health();

        assert_int_equal(wr_readyz(&h, &out), 503);
    }
    for (size_t i = 0; i < out.n; i++)
        n += out.p[i] == '\n';
    assert_int_equal(n, 22);
    T(strstr((const char *)out.p, "not ready: 50 of 50 databases\n/000?.db: behind for 55 s: "
                                  "broken\n/001?.db") == (const char *)out.p);
    T(strstr((const char *)out.p, "\nand 30 more\n") != NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

T_MAIN(TEST(test_alive), TEST(test_ready), TEST(test_one_that_just_came_was_ready),
    TEST(test_a_busy_one_was_never_ready), TEST(test_absent_ones_are_told),
    TEST(test_a_refused_configuration_is_told), TEST(test_waiting_ones_are_told), TEST(test_many))
