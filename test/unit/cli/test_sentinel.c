/*
 * The watcher over a library that answers as scripted, with time in the test's hands: what it says
 * and when, what it tells others, and that it says everything once.
 */
#include "daemon/sentinel.h"
#include "harness/t.h"
#include "unit/cli/fake_weir.h"

#include <fcntl.h>

#define SECOND INT64_C(1000000000)

static struct wr_logger logger;
static struct wr_fleet *fleet;
static struct wr_sentinel *sentinel;
static struct wr_clock_manual hands;
static const char *log_path;
static int log_fd;
static char told[4096];

static void tell(void *arg, const char *text)
{
    size_t n = strlen(told);

    (void)arg;
    (void)snprintf(told + n, sizeof(told) - n, "%s\n", text);
}

static int set_up(void **state)
{
    struct wr_sentinel_opts o = {.clock = &hands.clock, .tell = tell, .log = &logger};
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
    told[0] = '\0';
    wr_clock_manual_init(&hands, 1);
    log_path = t_path(t_tmpdir(), "log");
    log_fd = open(log_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    wr_logger_init(&logger, log_fd, WR_LOG_FORMAT_JSON, WEIR_LOG_WARN);
    fleet = wr_fleet_new(&the_runtime, &logger);
    logger.level = WEIR_LOG_INFO;
    o.fleet = fleet;
    T_OK(wr_sentinel_new(&o, &sentinel, &e));
    return fleet && log_fd >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wr_sentinel_free(sentinel);
    wr_fleet_free(fleet);
    wr_logger_release(&logger);
    return close(log_fd);
}

static void add(const char *path)
{
    static const char *const settings[] = {"sync-interval", "1s", NULL};
    const struct wr_config_replica r = {
        .url = "file:///r", .type = "file", .sync_interval = "1s", .settings = settings};
    const struct wr_config_db c = {.path = path, .replicas = &r, .nreplicas = 1};
    weir_error err = {0};

    logger.level = WEIR_LOG_ERROR;
    T(wr_fleet_add(fleet, &c, NULL, &err) == WEIR_OK);
    logger.level = WEIR_LOG_INFO;
}

/* Passes, five seconds apart. */
static void pass(int64_t seconds)
{
    for (int64_t i = 0; i < seconds; i += 5) {
        wr_clock_manual_advance(&hands, 5 * SECOND);
        wr_sentinel_pass(sentinel);
    }
}

static struct wr_verdict verdict(const char *path)
{
    struct wr_verdict v = {0};

    T(wr_sentinel_verdict(sentinel, path, &v));
    return v;
}

static struct wr_summary summary(void)
{
    struct wr_summary s;

    wr_sentinel_summary(sentinel, &s);
    return s;
}

static size_t said(const char *what)
{
    struct wr_bytes all = t_slurp(log_path);
    const char *text =
        wr_arena_str(t_call()->scratch, (struct wr_str){(const char *)all.p, all.n}).p;
    size_t n = 0;

    T(text);
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

static size_t lines(void)
{
    return said("\n");
}

static void test_all_is_well(void **state)
{
    (void)state;
    T(summary().age_ms == INT64_MAX && !summary().silent);
    wr_clock_manual_advance(&hands, 26 * SECOND);
    T(summary().silent);
    add("/b.db");
    add("/a.db");
    pass(3600);
    T(lines() == 0);
    T(verdict("/a.db").word == WR_VERDICT_FINE && verdict("/a.db").missing_ms == 0);
    T(verdict("/a.db").limit_ms == 30000);
    T(summary().fine == 2 && summary().age_ms == 0 && !summary().silent);
    assert_string_equal(told, "replicating 2 databases, all in sync\n");
    wr_clock_manual_advance(&hands, 7 * SECOND);
    T(summary().age_ms == 7000 && !summary().silent);
    wr_clock_manual_advance(&hands, 20 * SECOND);
    T(summary().silent);
    pass(5);
    T(!summary().silent);
}

/* The engine does not move: no failure, and a commit that it has not got. */
static void test_engine_is_stuck(void **state)
{
    (void)state;
    add("/a.db");
    add("/b.db");
    pass(10);
    fake.sight.commits = 8;
    pass(30);
    T(lines() == 0 && verdict("/a.db").word == WR_VERDICT_FINE);
    pass(10);
    T(verdict("/a.db").word == WR_VERDICT_BEHIND && verdict("/a.db").missing_ms == 35000);
    T(said("ERROR") == 2 && said("commits are not in the replica, and nothing moves") == 2);
    T(said("it has commits that nothing has captured, and no failure was reported") == 2);
    T(summary().behind == 2 && summary().fine == 0 && summary().worst_ms == 35000);
    pass(600);
    T(lines() == 2); /* it is said once */
    fake.sight.txid_commits = 8;
    fake.sight.txid = 4;
    fake.replica.safe_txid = 4;
    pass(5);
    T(said("INFO") == 2 && said("commits are in every replica again") == 2 && lines() == 4);
    T(verdict("/a.db").word == WR_VERDICT_FINE && summary().worst_ms == 0);
    assert_string_equal(told, "replicating 2 databases, all in sync\n"
                              "2 of 2 behind, worst 30 s\n2 of 2 behind, worst 40 s\n"
                              "2 of 2 behind, worst 50 s\n2 of 2 behind, worst 1 min\n"
                              "2 of 2 behind, worst 2 min\n2 of 2 behind, worst 3 min\n"
                              "2 of 2 behind, worst 4 min\n2 of 2 behind, worst 5 min\n"
                              "2 of 2 behind, worst 6 min\n2 of 2 behind, worst 7 min\n"
                              "2 of 2 behind, worst 8 min\n2 of 2 behind, worst 9 min\n"
                              "2 of 2 behind, worst 10 min\n"
                              "replicating 2 databases, all in sync\n");
}

/* It is captured, and the store is sent it without an end. */
static void test_upload_is_stuck(void **state)
{
    (void)state;
    add("/a.db");
    pass(10);
    fake.sight.commits = fake.sight.txid_commits = 8;
    fake.sight.txid = 4;
    fake.replica.state = "sending";
    fake.replica.bytes_up = 4096;
    pass(45);
    T(said("ERROR") == 1 && said("replica file:///r (sending) does not acknowledge") == 1);
    T(verdict("/a.db").replica_ms[0] > 30000);
}

/* A large file on a slow line is late, and no error as long as it moves. */
static void test_slow_is_a_warning_until_it_stops(void **state)
{
    (void)state;
    add("/a.db");
    pass(10);
    fake.sight.commits = fake.sight.txid_commits = 8;
    fake.sight.txid = 4;
    for (int i = 0; i < 100; i++) {
        fake.replica.bytes_up += 100;
        pass(5);
    }
    T(said("WARN") == 1 && lines() == 1 && said("on their way") == 1);
    pass(40);
    T(said("ERROR") == 1 && lines() == 2);
    fake.replica.bytes_up += 100; /* it goes on: that is told when it has helped */
    pass(5);
    T(lines() == 2);
    fake.replica.safe_txid = 4;
    pass(5);
    T(said("commits are in every replica again") == 1 && lines() == 3);
}

/* A database of 10 GB is compared with its ledger for a minute: that was "nothing moves". */
static void test_a_long_comparison_is_no_stall(void **state)
{
    (void)state;
    fake.sight.proven = 0;
    add("/a.db");
    for (int i = 0; i < 20; i++) {
        fake.sight.scanned += 1000;
        pass(5);
    }
    T(said("ERROR") == 0 && said("on their way") == 1 && lines() == 1);
    pass(40);
    T(said("ERROR") == 1 && said("nothing moves") == 1);
}

/* Attempts that fail are no movement. */
static void test_failing_is_not_moving(void **state)
{
    (void)state;
    add("/a.db");
    pass(10);
    fake.sight.commits = fake.sight.txid_commits = 8;
    fake.sight.txid = 4;
    fake.replica.error_code = WEIR_TIMEOUT;
    (void)snprintf(fake.replica.error, sizeof(fake.replica.error), "no answer");
    for (int i = 0; i < 10; i++) {
        fake.replica.bytes_up += 100;
        pass(5);
    }
    T(said("ERROR") == 1 && said("replica file:///r: no answer") == 1);
}

/* One of two is behind: what the other one is sent does not hide it. */
static void test_one_replica_is_behind(void **state)
{
    (void)state;
    fake.second = fake.replica;
    fake.second.url = "s3://b/a";
    add("/a.db");
    pass(10);
    T(verdict("/a.db").nreplicas == 2);
    fake.sight.commits = fake.sight.txid_commits = 8;
    fake.sight.txid = 4;
    fake.replica.safe_txid = 4;
    for (int i = 0; i < 10; i++) {
        fake.replica.bytes_up += 100;
        pass(5);
    }
    T(said("ERROR") == 1 && said("replica s3://b/a") == 1);
    T(verdict("/a.db").replica_ms[0] == 0 && verdict("/a.db").replica_ms[1] > 30000);
}

static void test_five_intervals(void **state)
{
    (void)state;
    fake.replica.sync_interval_ms = 60000;
    add("/a.db");
    pass(10);
    fake.sight.commits = 8;
    pass(300);
    T(verdict("/a.db").limit_ms == 300000 && lines() == 0);
    pass(10);
    T(said("ERROR") == 1);
}

static void test_before_it_is_there(void **state)
{
    struct wr_verdict v;

    (void)state;
    fake.sight = (weir_db_sight){.struct_size = sizeof(fake.sight), .seen = WEIR_SEEN_NOTHING};
    fake.replica.safe_txid = 0;
    add("/a.db");
    T(!wr_sentinel_verdict(sentinel, "/a.db", &v) && !wr_sentinel_verdict(sentinel, "/", &v));
    pass(600);
    T(verdict("/a.db").word == WR_VERDICT_WAITING && lines() == 0 && summary().waiting == 1);
    fake.sight.seen = WEIR_SEEN_CLOSED; /* it is, and is opened */
    pass(5);
    T(verdict("/a.db").word == WR_VERDICT_NEW && summary().fresh == 1);
    fake.sight = (weir_db_sight){
        .struct_size = sizeof(fake.sight), .seen = WEIR_SEEN_INDEX, .proven = 1, .txid = 1};
    fake.replica.safe_txid = 1;
    pass(5);
    T(verdict("/a.db").word == WR_VERDICT_FINE);
    fake.sight.seen = WEIR_SEEN_NOTHING; /* it was deleted: somebody should know */
    pass(5);
    T(verdict("/a.db").word == WR_VERDICT_NEW);
    assert_string_equal(told, "replicating 1 database, 1 not there yet\n"
                              "replicating 1 database, 1 not in sync yet\n"
                              "replicating 1 database, all in sync\n"
                              "replicating 1 database, 1 not in sync yet\n");
}

static void test_a_refused_configuration_is_told(void **state)
{
    (void)state;
    add("/a.db");
    pass(5);
    T(!summary().refused);
    wr_refused_put(wr_fleet_refused(fleet), "c.yml:3: unknown key", 1);
    T(summary().refused && lines() == 0); /* whoever refused it has logged it */
    pass(5);
    wr_refused_clear(wr_fleet_refused(fleet), 2);
    T(!summary().refused);
    pass(5);
    assert_string_equal(told, "replicating 1 database, all in sync\n"
                              "replicating 1 database, all in sync, the changed configuration was "
                              "refused\n"
                              "replicating 1 database, all in sync\n");
}

/* One that can never be attached is found as well. */
static void test_never_attached(void **state)
{
    (void)state;
    fake.sight = (weir_db_sight){.struct_size = sizeof(fake.sight), .seen = WEIR_SEEN_CLOSED};
    fake.replica.safe_txid = 0;
    fake.db.state = "opening";
    fake.db.error_code = WEIR_BUSY;
    (void)snprintf(fake.db.error, sizeof(fake.db.error), "another process has it");
    add("/a.db");
    pass(60);
    T(said("ERROR") == 1 && said("another process has it") == 1);
    T(verdict("/a.db").word == WR_VERDICT_BEHIND);
}

static void test_reasons(void **state)
{
    static const struct {
        int32_t seen, proven;
        const char *want;
    } cases[] = {{WEIR_SEEN_CLOSED, 1, "the database is not held open (state syncing)"},
        {WEIR_SEEN_TORN, 1, "the index of its WAL stays in the middle of an update"},
        {WEIR_SEEN_LOST, 1, "applications use another wal-index (shm) file"},
        {WEIR_SEEN_WRITTEN, 1, "it was written to, and nothing has noticed"},
        {WEIR_SEEN_INDEX, 0, "it is still compared with what was replicated"}};
    struct wr_verdict v = {.nreplicas = 1};
    char why[WR_REASON_MAX];

    (void)state;
    add("/a.db");
    for (size_t i = 0; i < wr_countof(cases); i++) {
        fake.sight.seen = cases[i].seen;
        fake.sight.proven = cases[i].proven;
        wr_reason(&the_dbs[0], &v, why);
        T(strstr(why, cases[i].want) == why);
    }
}

/* What was stopped, or is gone, is not looked for; when it is back, it begins anew. */
static void test_come_and_go(void **state)
{
    weir_error err = {0};
    struct wr_verdict v;
    bool was;

    (void)state;
    add("/a.db");
    add("/b.db");
    add("/c.db");
    pass(10);
    fake.sight.commits = 8;
    pass(20);
    T(wr_fleet_stop(fleet, "/a.db", 0, &was, NULL, &err) == WEIR_OK);
    T(wr_fleet_remove(fleet, "/c.db", 0, NULL, &err) == WEIR_OK);
    pass(5);
    T(!wr_sentinel_verdict(sentinel, "/a.db", &v) && !wr_sentinel_verdict(sentinel, "/c.db", &v));
    T(summary().stopped == 1 && summary().fine == 1);
    T(wr_fleet_start(fleet, "/a.db", &was, &err) == WEIR_OK);
    pass(15);
    T(said("/b.db") == 1);
    T(verdict("/a.db").word == WR_VERDICT_NEW && verdict("/a.db").missing_ms == 10000);
    T(verdict("/b.db").word == WR_VERDICT_BEHIND);
}

static void test_many_at_once(void **state)
{
    char path[32];

    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)snprintf(path, sizeof(path), "/%03d.db", i);
        add(path);
    }
    pass(10);
    fake.sight.commits = 8;
    pass(60);
    T(said("nothing moves") == 20 && said("\"more\":80") == 1 && lines() == 21);
    fake.sight.commits = 7;
    pass(5);
    T(said("in every replica again") == 21 && lines() == 42);
}

static void tune_b(const char *path, weir_db_sight *s)
{
    s->commits += strcmp(path, "/b.db") == 0;
}

static void test_list_of_the_unready(void **state)
{
    struct wr_unready first[2];
    struct wr_arena *a = t_call()->scratch;

    (void)state;
    add("/a.db");
    add("/b.db");
    add("/c.db");
    pass(10);
    T(wr_sentinel_unready(sentinel, a, first, 2) == 0);
    fake.tune_sight = tune_b;
    pass(60);
    T(wr_sentinel_unready(sentinel, a, first, 2) == 1);
    assert_string_equal(first[0].path, "/b.db");
    T(first[0].verdict.word == WR_VERDICT_BEHIND);
    fake.tune_sight = NULL;
    fake.sight.commits = 8;
    pass(60);
    T(wr_sentinel_unready(sentinel, a, first, 2) == 3);
    assert_string_equal(first[0].path, "/a.db");
    assert_string_equal(first[1].path, "/b.db");
    T(wr_sentinel_unready(sentinel, a, NULL, 0) == 3);
}

/* Anew, as in the daemon: with a library that tells of changes. Looks when it wants to, for so many
 * seconds; how often. */
static void listen_for_changes(void)
{
    struct wr_sentinel_opts o = {
        .fleet = fleet, .w = &the_runtime, .clock = &hands.clock, .tell = tell, .log = &logger};
    struct wr_err e = {0};

    wr_sentinel_free(sentinel);
    T_OK(wr_sentinel_new(&o, &sentinel, &e));
    T(fake.changed);
}

static unsigned looks_in(int64_t seconds, int64_t *ret_next_ms)
{
    unsigned n = 0;

    for (int64_t ms = 0; ms < seconds * 1000; n++) {
        *ret_next_ms = wr_sentinel_pass(sentinel);
        ms += *ret_next_ms;
        wr_clock_manual_advance(&hands, *ret_next_ms * 1000000);
    }
    return n;
}

static void stir(void)
{
    fake.changed(fake.changed_arg);
}

static void commit(void)
{
    fake.sight.commits++;
    fake.sight.txid_commits++;
    fake.sight.txid++;
    fake.replica.safe_txid++;
}

/* It woke up every five seconds for ever. */
static void test_silence_is_looked_at_once_a_minute(void **state)
{
    int64_t next = 0;

    (void)state;
    listen_for_changes();
    add("/a.db");
    add("/b.db");
    T(looks_in(20, &next) >= 4);
    T(looks_in(70, &next) <=
        3); /* a thousand idle databases: in a minute, each look has its cost */
    T(next == 60000);
    assert_int_equal(looks_in(3600, &next), 60);
    T(verdict("/a.db").word == WR_VERDICT_FINE && lines() == 0);
    wr_clock_manual_advance(&hands, 20 * SECOND);
    T(!summary().silent); /* it is not late yet */
    wr_clock_manual_advance(&hands, 90 * SECOND);
    T(summary().silent);
    stir();
    T(wr_sentinel_pass(sentinel) == 5000);
    wr_clock_manual_advance(&hands, 26 * SECOND);
    T(summary().silent);
    wr_sentinel_free(sentinel);
    sentinel = NULL;
    T(!fake.changed);
}

/* Of a database that is told to be written to, and of which nothing else is heard. */
static void test_a_stall_after_silence_is_told_as_soon_as_ever(void **state)
{
    int64_t next = 0;

    (void)state;
    listen_for_changes();
    add("/a.db");
    (void)looks_in(600, &next);
    fake.sight.commits++;
    stir();
    (void)looks_in(35, &next);
    T(said("ERROR") == 0 && next == 5000);
    (void)looks_in(5, &next);
    T(said("ERROR") == 1 && said("commits are not in the replica, and nothing moves") == 1);
    (void)looks_in(600, &next);
    T(next == 5000); /* no rest before that has ended */
}

/* The same with nothing told: what the watch had to tell is lost, and the engine hangs, too. */
static void test_a_stall_that_nobody_told_of_is_found(void **state)
{
    int64_t next = 0;

    (void)state;
    listen_for_changes();
    add("/a.db");
    (void)looks_in(600, &next);
    T(next == 60000);
    fake.sight.commits++; /* just after a look, a minute before the next one */
    (void)looks_in(35, &next);
    T(said("ERROR") == 0 && next == 5000);
    (void)looks_in(5, &next);
    T(said("ERROR") == 1);
}

/* An inotify that tells nothing, as on a network file system that others write to. */
static void test_no_rest_where_commits_are_not_told(void **state)
{
    int64_t next = 0;

    (void)state;
    listen_for_changes();
    add("/a.db");
    for (int i = 0; i < 3; i++) {
        (void)looks_in(600, &next);
        T(next == 60000 && said("no file event") == 0);
        commit();
    }
    (void)looks_in(600, &next);
    T(next == 5000 && said("commits come of which no file event tells") == 1);
    T(said("WARN") == 1);
    (void)looks_in(600, &next);
    T(next == 5000 && said("WARN") == 1);
}

/* The event comes a moment after the look that saw the commit. */
static void test_an_event_may_be_late(void **state)
{
    int64_t next = 0;

    (void)state;
    listen_for_changes();
    add("/a.db");
    for (int i = 0; i < 20; i++) {
        (void)looks_in(600, &next);
        T(next == 60000);
        commit();
        T(wr_sentinel_pass(sentinel) == 5000);
        stir();
    }
    T(lines() == 0);
}

/* What is asked once a minute still is. */
static void test_an_emptied_replica_is_seen_in_silence(void **state)
{
    int64_t next = 0;

    (void)state;
    listen_for_changes();
    add("/a.db");
    (void)looks_in(600, &next);
    fake.replica.safe_txid = 0;
    (void)looks_in(60, &next);
    T(next == 5000);
    (void)looks_in(40, &next);
    T(said("ERROR") == 1);
}

/* A database that comes in silence is no part of it. */
static void test_a_new_database_ends_the_rest(void **state)
{
    int64_t next = 0;

    (void)state;
    listen_for_changes();
    add("/a.db");
    (void)looks_in(600, &next);
    add("/b.db");
    (void)summary(); /* somebody asks */
    T(next == 60000 && wr_sentinel_pass(sentinel) == 5000);
    T(summary().fine == 2);
    (void)looks_in(600, &next);
    T(next == 60000);
}

static void test_thread(void **state)
{
    struct wr_sentinel_opts o = {.fleet = fleet, .log = &logger, .interval_ms = 1};
    struct wr_sentinel *s = NULL;
    struct wr_err e = {0};
    struct wr_summary sum;

    (void)state;
    add("/a.db");
    T_OK(wr_sentinel_new(&o, &s, &e));
    T_OK(wr_sentinel_start(s, &e));
    do {
        t_sleep_ms(1);
        wr_sentinel_summary(s, &sum);
    } while (sum.fine == 0);
    wr_sentinel_free(s);
    wr_sentinel_free(NULL);
}

static enum wr_status with_little_memory(void *arg)
{
    struct wr_sentinel_opts o = {.fleet = fleet, .log = &logger, .clock = &hands.clock};
    struct wr_sentinel *s = NULL;
    struct wr_err e = {0};
    enum wr_status st = wr_sentinel_new(&o, &s, &e);
    struct wr_summary sum = {0};

    (void)arg;
    if (st != WR_OK)
        return st;
    wr_sentinel_pass(s);
    wr_sentinel_pass(s);
    wr_sentinel_summary(s, &sum);
    /* A pass that did not see all of them is none. */
    st = sum.fine == 3 && sum.age_ms == 0 ? WR_OK : WR_NOMEM;
    wr_sentinel_free(s);
    return st;
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    add("/a.db");
    add("/b.db");
    add("/c.db");
    t_sweep_nomem(with_little_memory, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

T_MAIN(TEST(test_all_is_well), TEST(test_engine_is_stuck), TEST(test_upload_is_stuck),
    TEST(test_silence_is_looked_at_once_a_minute),
    TEST(test_a_stall_after_silence_is_told_as_soon_as_ever),
    TEST(test_a_stall_that_nobody_told_of_is_found), TEST(test_no_rest_where_commits_are_not_told),
    TEST(test_an_event_may_be_late), TEST(test_an_emptied_replica_is_seen_in_silence),
    TEST(test_a_new_database_ends_the_rest), TEST(test_slow_is_a_warning_until_it_stops),
    TEST(test_a_long_comparison_is_no_stall), TEST(test_failing_is_not_moving),
    TEST(test_one_replica_is_behind), TEST(test_five_intervals), TEST(test_before_it_is_there),
    TEST(test_a_refused_configuration_is_told), TEST(test_never_attached), TEST(test_reasons),
    TEST(test_come_and_go), TEST(test_many_at_once), TEST(test_list_of_the_unready),
    TEST(test_thread), TEST(test_memory_runs_out))
