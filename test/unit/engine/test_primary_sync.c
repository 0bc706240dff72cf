/*
 * test_primary_sync.c - what a sync promises: that it ends, and with what.
 */
#include "harness/engine_world.h"
#include "storage/drivers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND ((int64_t)1000000000)

static struct wr_db_status status(struct world *w)
{
    struct wr_db_status s;

    wr_db_status(w->db, &s);
    return s;
}

static void faults_later(struct world *w, struct faultstore *f)
{
    (void)w;
    (void)f;
}

/* A sync of TXID 3 was captured, and the replica, which has 1, cannot be reached. */
static uint64_t captured(struct world *w)
{
    struct wr_err e = {0};
    uint64_t ticket, txid = 0;

    world_open(w, 1);
    w->interval_ns = SECOND;
    w->arm = faults_later;
    world_app(w);
    world_sql(w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 5)");
    world_start(w);
    assert_int_equal(world_sync(w), 1);
    faultstore_arm(w->fault[0], FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
    world_sql(w, "UPDATE t SET b=6");
    world_run(w, 2 * SECOND);
    world_sql(w, "UPDATE t SET b=5");
    wr_db_sync_begin(w->db, &ticket);
    world_run(w, 2 * SECOND);
    T_IS(WR_BUSY, wr_db_sync_poll(w->db, ticket, true, &txid, &e));
    T_OK(wr_db_sync_poll(w->db, ticket, false, &txid, &e));
    assert_int_equal(txid, 3);
    return ticket;
}

/* Its directory is deleted under the daemon, which then notices that the database was touched. */
static void lose_local_state(struct world *w)
{
    world_lose_state(w);
    T(utimensat(AT_FDCWD, w->path, NULL, 0) == 0);
}

/* The replica was found to hold exactly this state, as TXID 1, and the sync waited for a TXID 3
 * that nobody was to make. */
static void test_a_sync_over_numbers_that_begin_anew(void **state)
{
    struct world w;
    struct wr_err e = {0};
    uint64_t ticket, txid = 0;

    (void)state;
    ticket = captured(&w);
    lose_local_state(&w);
    world_run(&w, 60 * SECOND);
    assert_int_equal(status(&w).txid, 1);
    T_IS(WR_BUSY, wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    faultstore_calm(w.fault[0]);
    world_run(&w, 120 * SECOND);
    world_check(&w, 0);
    T_OK(wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    assert_int_equal(txid, 1);
    world_close(&w);
}

/* The same with a commit that came before the database was let go: only the next TXID has it. */
static void test_a_sync_over_new_numbers_waits_for_what_is_dirty(void **state)
{
    struct world w;
    struct wr_err e = {0};
    uint64_t ticket, txid = 0;

    (void)state;
    ticket = captured(&w);
    lose_local_state(&w);
    world_sql(&w, "UPDATE t SET b=7");
    world_run(&w, 60 * SECOND);
    T_IS(WR_BUSY, wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    faultstore_calm(w.fault[0]);
    world_run(&w, 120 * SECOND);
    world_check(&w, 0);
    T_OK(wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    assert_int_equal(txid, status(&w).txid);
    world_close(&w);
}

/* A commit after a pause, as TXID 2: the interval begins with it. */
static void send_at_once(struct world *w)
{
    world_run(w, w->interval_ns);
    world_sql(w, "UPDATE t SET b=6");
    world_run(w, SECOND / 10);
    assert_int_equal(status(w).txid, 2);
}

/* Nothing is hurried for it: it is done with the file that the interval makes, and at once when
 * there is nothing to wait for. */
static void test_a_sync_that_waits_for_the_next_upload(void **state)
{
    struct world w;
    struct wr_err e = {0};
    uint64_t ticket, txid = 0;

    (void)state;
    world_open(&w, 1);
    w.interval_ns = 10 * SECOND;
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 5)");
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    wr_db_sync_await(w.db, &ticket);
    world_run(&w, SECOND / 10);
    T_OK(wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    assert_int_equal(txid, 1);

    send_at_once(&w);
    world_sql(&w, "UPDATE t SET b=7");
    wr_db_sync_await(w.db, &ticket);
    world_sql(&w, "UPDATE t SET b=8"); /* goes along in the same file */
    world_run(&w, 7 * SECOND);
    T_IS(WR_BUSY, wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    assert_int_equal(status(&w).txid, 2);
    world_run(&w, 4 * SECOND);
    T_OK(wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    assert_int_equal(txid, 3);
    world_check(&w, 0);
    world_close(&w);
}

/* One that hurries, asked for after it, takes it along. */
static void test_a_sync_that_hurries_ends_one_that_waits(void **state)
{
    struct world w;
    struct wr_err e = {0};
    uint64_t waits, hurries, txid = 0;

    (void)state;
    world_open(&w, 1);
    w.interval_ns = 10 * SECOND;
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 5)");
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    send_at_once(&w);
    world_sql(&w, "UPDATE t SET b=7");
    wr_db_sync_await(w.db, &waits);
    world_run(&w, SECOND);
    T_IS(WR_BUSY, wr_db_sync_poll(w.db, waits, true, &txid, &e));
    wr_db_sync_begin(w.db, &hurries);
    world_run(&w, SECOND);
    T_OK(wr_db_sync_poll(w.db, hurries, true, &txid, &e));
    T_OK(wr_db_sync_poll(w.db, waits, true, &txid, &e));
    assert_int_equal(txid, 3);
    world_close(&w);
}

/* ---- a poll, and the database goes on in the middle of it ---- */

static struct {
    struct world *w; /* NULL: not now */
    int64_t (*wall_ms)(const struct wr_clock *c);
} meanwhile;

static int64_t wall_ms_and_more(const struct wr_clock *c)
{
    struct world *w = meanwhile.w;

    meanwhile.w = NULL;
    if (w)
        world_run(w, 120 * SECOND);
    return meanwhile.wall_ms(c);
}

/* The TXID of before and the acknowledgement of after were compared, and TXID 3 was reported to be
 * in a replica that never had one. */
static void test_a_poll_while_syncs_are_given_other_numbers(void **state)
{
    struct world w;
    struct wr_err e = {0};
    uint64_t ticket, txid = 0;

    (void)state;
    ticket = captured(&w);
    lose_local_state(&w);
    world_sql(&w, "UPDATE t SET b=7");
    faultstore_calm(w.fault[0]);
    meanwhile.wall_ms = w.clock.clock.wall_ms;
    w.clock.clock.wall_ms = wall_ms_and_more;
    meanwhile.w = &w;
    if (wr_db_sync_poll(w.db, ticket, true, &txid, &e) == WR_OK)
        T(txid > 3);
    T(!meanwhile.w);
    T_OK(wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    T(txid > 3);
    assert_int_equal(txid, status(&w).txid);
    world_check(&w, 0);
    world_close(&w);
}

/* ---- replicas that have stopped ---- */

static void add_foreign(struct world *first, struct world *second)
{
    struct wr_err e = {0};

    second->bucket[second->n_buckets++] = wr_storage_mem_ref(first->bucket[0]);
    T_OK(wr_db_add_replica(second->db, world_storage(second, second->n_buckets - 1), SECOND, &e));
}

/* Two databases and a replica of each. */
static void two_databases(struct world *first, struct world *second)
{
    world_open(first, 1);
    world_app(first);
    world_sql(first,
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, randomblob(9000))");
    world_start(first);
    (void)world_sync(first);
    world_open(second, 1);
    second->opts.scan_ns = 3600 * SECOND;
    world_app(second);
    world_sql(second,
        "CREATE TABLE t(a INTEGER PRIMARY KEY, c); INSERT INTO t VALUES(1, randomblob(9000))");
}

/* The last one that was waited for stopped, and nobody told the database. */
static void test_a_replica_that_stops_is_not_waited_for(void **state)
{
    struct world first, second;
    struct wr_err e = {0};
    uint64_t ticket, txid = 0;

    (void)state;
    two_databases(&first, &second);
    world_start(&second);
    (void)world_sync(&second);
    (void)world_pass(&second, 600 * SECOND, 10000);
    add_foreign(&first, &second);
    wr_db_sync_begin(second.db, &ticket);
    (void)world_pass(&second, 600 * SECOND, 10000);
    T(wr_db_sync_poll(second.db, ticket, true, &txid, &e) != WR_BUSY);
    world_check(&second, 0);
    world_close(&second);
    world_close(&first);
}

/* One replica had everything, one was somebody else's, and a sync of both was a success: so said
 * -once, and the last sync before the end. */
static void test_a_sync_tells_of_replicas_that_got_nothing(void **state)
{
    struct world first, second;
    struct wr_replica_status r;
    struct wr_err e = {0};
    struct wr_str name;
    uint64_t ticket, txid = 0;
    const char *both;

    (void)state;
    two_databases(&first, &second);
    second.arm = faults_later;
    world_start(&second);
    (void)world_sync(&second);
    add_foreign(&first, &second);
    add_foreign(&first, &second);
    faultstore_arm(second.fault[0], FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
    world_sql(&second, "INSERT INTO t VALUES(2, 'two')");
    wr_db_sync_begin(second.db, &ticket);
    world_run(&second, 20 * SECOND);
    wr_db_replica_status(second.db, 2, &r, &name);
    assert_int_equal(r.state, WR_REPLICA_STOPPED);
    T_IS(WR_BUSY, wr_db_sync_poll(second.db, ticket, true, &txid, &e)); /* the first still can */
    faultstore_calm(second.fault[0]);
    world_run(&second, 120 * SECOND);
    world_check(&second, 0);
    T_IS(WR_CONFLICT, wr_db_sync_poll(second.db, ticket, true, &txid, &e));
    both = strstr(e.text, "mem://: the replica holds another database");
    T(both && strstr(both + 1, "; mem://: the replica holds another database"));
    T_OK(wr_db_sync_poll(second.db, ticket, false, &txid, &e));
    world_close(&second);
    world_close(&first);
}

T_MAIN(T_TEST(test_a_sync_that_waits_for_the_next_upload),
    T_TEST(test_a_sync_that_hurries_ends_one_that_waits),
    T_TEST(test_a_sync_over_numbers_that_begin_anew),
    T_TEST(test_a_sync_over_new_numbers_waits_for_what_is_dirty),
    T_TEST(test_a_poll_while_syncs_are_given_other_numbers),
    T_TEST(test_a_replica_that_stops_is_not_waited_for),
    T_TEST(test_a_sync_tells_of_replicas_that_got_nothing))
