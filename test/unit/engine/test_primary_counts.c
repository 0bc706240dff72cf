/*
 * test_primary_counts.c - what operators are shown of a database: how much was done, how long
 * writers waited for it, and what is committed beside what is captured.
 */
#include "harness/engine_world.h"

#include <unistd.h>

#define SECOND ((int64_t)1000000000)

static struct wr_db_status status(struct world *w)
{
    struct wr_db_status s;

    wr_db_status(w->db, &s);
    return s;
}

static struct wr_replica_status replica(struct world *w, size_t i)
{
    struct wr_replica_status r;
    struct wr_str name;

    wr_db_replica_status(w->db, i, &r, &name);
    return r;
}

static struct wr_db_glance glance(struct world *w)
{
    struct wr_db_glance g;

    wr_db_glance(w->db, &g);
    return g;
}

static bool all_captured(struct world *w)
{
    struct wr_db_glance g = glance(w);

    return g.seen == WR_PEEK_OPEN && g.proven && g.count == g.closed_count;
}

static void begin(struct world *w, size_t buckets)
{
    world_open(w, buckets);
    w->opts.checkpoint_frames = 50;
    world_app(w);
    world_sql(w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    world_start(w);
    (void)world_sync(w);
}

static void test_work_is_counted(void **state)
{
    struct world w;
    struct wr_db_status s;
    struct wr_storage_times times[WR_STORAGE_CLASSES];
    struct wr_replica_account is;
    uint64_t holds = 0, put, attempts = 0;
    struct wr_err e = {0};
    struct wr_buf url;

    (void)state;
    begin(&w, 1);
    put = status(&w).counts.captures.n;
    for (int i = 0; i < 100; i++) {
        world_sql(&w, "INSERT INTO t VALUES(NULL, randomblob(3000))");
        world_run(&w, SECOND / 10);
    }
    (void)world_sync(&w);
    s = status(&w);
    T(s.counts.captures.n > put && s.counts.captures.n <= put + 110);
    T(s.counts.captures.errors == 0);
    wr_db_replica_times(w.db, 0, times);
    for (size_t i = 0; i < WR_STORAGE_TOOK; i++)
        attempts += times[WR_STORAGE_PUT].took[i];
    wr_db_replica_account(w.db, 0, &is);
    T(attempts > 0 && attempts == is.requests.put);
    T(s.counts.wal_bytes >= s.frames * (4096 + 24));
    T(s.counts.wal_bytes % (4096 + 24) == 0);
    T(s.counts.passive.n >= s.checkpoints && s.checkpoints > 3);
    T(s.counts.passive.errors == 0 && s.counts.truncate.n == 0);
    for (size_t i = 0; i < WR_DB_HOLDS; i++)
        holds += s.counts.holds[i];
    T(holds >= s.checkpoints);
    T(holds == s.counts.holds[0]); /* the clock of this world stands still in a step */
    T(s.wal_bytes == (s.wal_frames ? 32 + s.wal_frames * (4096 + 24) : 0));
    T(s.wal_file_bytes >= s.wal_bytes && (s.wal_file_bytes - 32) % (4096 + 24) == 0);
    T(s.commit > 75 && s.page_size == 4096);
    T(!s.disk_full && s.safe == 1);
    T(replica(&w, 0).interval_ns == w.interval_ns);
    wr_buf_init(&url, 100);
    T_OK(wr_db_replica_address(w.db, 0, &url, &e));
    T(wr_str_starts(wr_buf_view(&url), WR_STR("mem://")));
    wr_buf_release(&url);
    world_close(&w);
}

static void write_for(struct world *w, int times, int64_t every_ns)
{
    for (int i = 0; i < times; i++) {
        world_sql(w, "INSERT INTO t VALUES(NULL, randomblob(3000))");
        world_run(w, every_ns);
    }
}

/* Where nobody says how long the WAL may become, it is longer where it grows slowly: a page that
 * is changed again until then is copied once. */
static void test_a_slow_wal_is_let_grow(void **state)
{
    struct world w;
    uint64_t before;

    (void)state;
    world_open(&w, 1);
    w.interval_ns = SECOND;
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    world_start(&w);
    (void)world_sync(&w);
    write_for(&w, WR_CHECKPOINT_FRAMES / 2, SECOND / 200); /* after a pause it is soon enough */
    T(status(&w).checkpoints == 1);

    before = status(&w).wal_frames;
    write_for(&w, WR_CHECKPOINT_FRAMES / 2, SECOND / 400); /* which takes a second */
    T(status(&w).checkpoints == 1 && status(&w).wal_frames > WR_CHECKPOINT_FRAMES);
    T(status(&w).wal_frames > before);
    world_run(&w, 2 * SECOND); /* since the last one: it is time, though nothing is written */
    T(status(&w).checkpoints == 2);

    write_for(&w, 10, SECOND / 1000);
    world_run(&w, SECOND);
    write_for(&w, WR_CHECKPOINT_FRAMES / 2 + 10, SECOND / 100000); /* at once, if it comes fast */
    T(status(&w).checkpoints == 3);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

/* A hold's length decides where it is counted. */
static void test_holds_by_length(void **state)
{
    static const int64_t lengths_ns[] = {0, 100000, 100001, 900000, 2000000, 10000000, 10000001,
        99000000, 300000000, 999000000, 1000000001, 60 * SECOND};
    static const uint64_t want[WR_DB_HOLDS] = {2, 1, 1, 1, 1, 1, 1, 1, 1, 2};
    struct wr_db_status s = {0};
    int64_t sum = 0;

    (void)state;
    for (size_t i = 0; i < wr_countof(lengths_ns); i++) {
        wr_db_count_hold(&s, lengths_ns[i]);
        sum += lengths_ns[i];
    }
    assert_memory_equal(s.counts.holds, want, sizeof(want));
    T(s.counts.holds_ns == sum && s.barrier_max_ns == 60 * SECOND);
}

/* The index tells what was committed, though no step has seen it. */
static void test_commits_show_before_they_are_captured(void **state)
{
    struct world w;
    struct wr_db_glance before, now;

    (void)state;
    begin(&w, 1);
    T(all_captured(&w));
    before = glance(&w);
    T(before.txid == 1 && before.exists);
    for (uint32_t i = 1; i <= 3; i++) {
        world_sql(&w, "INSERT INTO t VALUES(NULL, 1)");
        now = glance(&w);
        T(now.seen == WR_PEEK_OPEN && now.count == before.count + i);
        T(now.closed_count == before.count && now.txid == before.txid);
    }
    T(world_sync(&w) == 2);
    T(all_captured(&w) && glance(&w).txid == 2 && replica(&w, 0).pos.txid == 2);
    world_close(&w);
}

/* Whatever becomes of the WAL, at the end all that is committed is seen to be captured. */
static void test_counts_agree_over_resets_and_restarts(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 1);
    for (int i = 0; i < 200; i++) {
        world_sql(&w, "INSERT INTO t VALUES(NULL, randomblob(3000))");
        world_run(&w, SECOND / 100);
    }
    (void)world_sync(&w);
    T(status(&w).resets > 2 && all_captured(&w));
    world_run(&w, 70 * SECOND); /* the silent WAL is checkpointed to its end */
    T(all_captured(&w));
    world_stop(&w);
    world_sql(&w, "DELETE FROM t WHERE a % 2");
    world_start(&w);
    T(glance(&w).seen == WR_PEEK_CLOSED && glance(&w).exists && !glance(&w).proven);
    (void)world_sync(&w);
    T(all_captured(&w));
    world_stop(&w);
    world_start(&w); /* and with nothing new */
    (void)world_sync(&w);
    T(all_captured(&w));
    world_close(&w);
}

static void test_no_database_yet(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    world_start(&w);
    world_run(&w, 2 * SECOND);
    T(glance(&w).seen == WR_PEEK_CLOSED && !glance(&w).exists && !glance(&w).proven);
    t_spew(w.path, "", 0); /* made, and never written */
    T(!glance(&w).exists);
    T(unlink(w.path) == 0);
    world_close(&w);
}

/* What a replica has counts once it has joined, and no more when it has stopped. */
static void test_replica_is_safe_when_it_has_joined(void **state)
{
    /* Of the next file, so that it is listed again; and of none, so that it cannot join. */
    static const char *const in_the_way[] = {"ltx/0/0000000000000002-0000000000000002.ltx",
        "ltx/0/0000000000001000-0000000000001000.ltx"};
    struct world w;
    struct wr_storage *own;
    struct wr_err e = {0};

    (void)state;
    begin(&w, 2);
    T(status(&w).safe == 3);
    own = world_storage(&w, 1);
    for (size_t i = 0; i < wr_countof(in_the_way); i++)
        T_OK(wr_storage_put(own, t_call(), wr_str(in_the_way[i]),
            (struct wr_bytes){(const uint8_t *)"x", 1}, NULL, &e));
    wr_storage_close(own);
    world_sql(&w, "INSERT INTO t VALUES(NULL, 1)");
    world_run(&w, SECOND);
    T(status(&w).safe == 1);
    T(replica(&w, 1).errors > 0 && replica(&w, 0).errors == 0);
    world_close(&w);
}

static void break_bucket(struct world *w, struct faultstore *f)
{
    (void)w;
    faultstore_arm(f, FAULT_BROKEN, FAULT_ON_PUT, 1000, UINT64_MAX);
}

static void test_failures_and_what_waits(void **state)
{
    struct world w;
    uint64_t errors;

    (void)state;
    world_open(&w, 1);
    w.arm = break_bucket;
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    world_start(&w);
    world_run(&w, 10 * SECOND);
    errors = replica(&w, 0).errors;
    T(errors > 0);
    T(replica(&w, 0).queued == 1 && replica(&w, 0).queued_bytes > 0);
    world_run(&w, 200 * SECOND);
    T(replica(&w, 0).errors > errors);
    faultstore_calm(w.fault[0]);
    T(world_sync(&w) > 0);
    T(replica(&w, 0).queued_bytes == 0);
    world_close(&w);
}

static void test_trouble_is_an_error_of_sync(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    t_spew(w.path, "this is no database at all", 26);
    world_start(&w);
    world_run(&w, 30 * SECOND);
    T(status(&w).counts.captures.errors >= 2 && status(&w).counts.captures.n == 0);
    T(unlink(w.path) == 0);
    world_close(&w);
}

T_MAIN(T_TEST(test_work_is_counted), T_TEST(test_a_slow_wal_is_let_grow),
    T_TEST(test_holds_by_length), T_TEST(test_commits_show_before_they_are_captured),
    T_TEST(test_counts_agree_over_resets_and_restarts), T_TEST(test_no_database_yet),
    T_TEST(test_replica_is_safe_when_it_has_joined), T_TEST(test_failures_and_what_waits),
    T_TEST(test_trouble_is_an_error_of_sync))
