/*
 * test_primary_compact.c - files of the levels above 0: when they come, where they begin and end,
 * and that each of them is what the files below it are together.
 */
#include "harness/engine_world.h"

#include "base/mem.h"
#include "engine/plan.h"
#include "unit/engine/world_bucket.h"

#include <unistd.h>

#define SECOND ((int64_t)1000000000)
#define KEPT   400

struct history {
    struct world w;
    struct wr_bytes kept[KEPT]; /* by TXID - 1 */
};

static void begin(struct history *h, size_t buckets)
{
    memset(h, 0, sizeof(*h));
    world_low_lock_page();
    world_open(&h->w, buckets);
    h->w.interval_ns = SECOND;
    h->w.opts.cadence = (struct wr_cadence){
        .levels = 3, .level_ms = {30000, 300000, 3600000}, .snapshot_ms = 24 * 3600000};
    world_app(&h->w);
    world_sql(&h->w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(x) AS (SELECT 1 "
                     "UNION ALL SELECT x+1 FROM c WHERE x<60) INSERT INTO t SELECT x, "
                     "randomblob(3000) FROM c");
    world_start(&h->w);
    (void)world_sync(&h->w);
}

/* One TXID a second, the images of which are kept. */
static void write_for(struct history *h, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        uint64_t txid;
        char sql[200];

        (void)snprintf(sql, sizeof(sql),
            i % 10 == 7 ? "DELETE FROM t WHERE a>60; PRAGMA incremental_vacuum"
                        : "UPDATE t SET b=randomblob(3000) WHERE a=%u; INSERT INTO t(b) "
                          "VALUES(randomblob(5000))",
            i % 60 + 1);
        world_sql(&h->w, sql);
        txid = world_sync(&h->w);
        T(txid <= KEPT);
        h->kept[txid - 1] = world_image(&h->w);
        world_run(&h->w, SECOND);
    }
}

static void write_every(struct history *h, unsigned seconds, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char sql[80];

        (void)snprintf(sql, sizeof(sql), "UPDATE t SET b='%u' WHERE a=%u", i, i % 60 + 1);
        world_sql(&h->w, sql);
        (void)world_sync(&h->w);
        world_run(&h->w, seconds * SECOND);
    }
}

static void write_lightly_for(struct history *h, unsigned seconds)
{
    write_every(h, 1, seconds);
}

/* Files of a level follow each other; of level 1 all begin behind the snapshot. */
static void expect_run(struct world *w, unsigned level)
{
    struct wr_ltx_files files = bucket_list(w);
    uint64_t end = 0;

    for (size_t i = 0; i < files.n; i++) {
        if (files.p[i].level != level)
            continue;
        T(end == 0 || files.p[i].min == end + 1);
        T(files.p[i].min > 1);
        end = files.p[i].max;
    }
    wr_ltx_files_release(&files);
}

static void remove_below(struct world *w, unsigned level, uint64_t end)
{
    struct wr_ltx_files files = bucket_list(w);

    for (size_t i = 0; i < files.n; i++) {
        if (files.p[i].level < level && files.p[i].max <= end)
            bucket_remove(w, &files.p[i]);
    }
    wr_ltx_files_release(&files);
}

static void expect_image(struct history *h, uint64_t txid)
{
    struct wr_bytes is = world_restore(&h->w, 0, txid), was = h->kept[txid - 1];

    T(was.n > 0 && is.n == was.n && memcmp(is.p, was.p, is.n) == 0);
}

/* Whatever the levels below have, a level alone restores to the same. */
static void expect_same_without_below(struct history *h, unsigned level)
{
    struct wr_ltx_files files = bucket_list(&h->w);
    uint64_t end = 0;

    for (size_t i = 0; i < files.n; i++)
        end = files.p[i].level == level ? files.p[i].max : end;
    T(end > 0);
    remove_below(&h->w, level, end);
    for (size_t i = 0; i < files.n; i++) {
        if (files.p[i].level == level)
            expect_image(h, files.p[i].max);
    }
    wr_ltx_files_release(&files);
    world_check(&h->w, 0);
}

static void test_a_level_gets_a_file_an_interval(void **state)
{
    struct history h;
    struct wr_ltx_file last = {0};

    (void)state;
    begin(&h, 1);
    write_for(&h, 125);
    T(bucket_count_level(&h.w, 1, &last) == 4);
    expect_run(&h.w, 1);
    for (uint64_t txid = 2; txid <= 125; txid++)
        expect_image(&h, txid);
    expect_same_without_below(&h, 1);
    T(h.w.warnings == 0 && h.w.errors == 0);
    world_close(&h.w);
}

static void test_levels_above_take_in_those_below(void **state)
{
    struct history h;
    struct wr_ltx_file last = {0};

    (void)state;
    begin(&h, 1);
    h.w.opts.cadence.level_ms[0] = 5000;
    h.w.opts.cadence.level_ms[1] = 30000;
    h.w.opts.cadence.level_ms[2] = 120000;
    world_stop(&h.w);
    world_start(&h.w);
    (void)world_sync(&h.w);
    write_for(&h, 300);
    T(bucket_count_level(&h.w, 1, &last) >= 50);
    T(bucket_count_level(&h.w, 2, &last) >= 8);
    T(bucket_count_level(&h.w, 3, &last) >= 1);
    for (unsigned level = 1; level <= 3; level++)
        expect_run(&h.w, level);
    expect_same_without_below(&h, 2);
    T(h.w.warnings == 0 && h.w.errors == 0);
    world_close(&h.w);
}

/* Few files are not worth one more, and nothing is done while nothing is written. */
static struct wr_storage_counts requests(struct world *w)
{
    struct wr_replica_status s;
    struct wr_str name;

    wr_db_replica_status(w->db, 0, &s, &name);
    return s.requests;
}

static uint64_t sum(const struct wr_storage_counts *n)
{
    return n->list + n->get + n->put + n->remove + n->stat;
}

static void test_a_quiet_database_costs_nothing(void **state)
{
    struct wr_storage_counts before, after;
    struct history h;
    struct wr_ltx_file last = {0};
    size_t n;

    (void)state;
    begin(&h, 1);
    write_for(&h, 2);
    world_run(&h.w, 3600 * SECOND);
    T(bucket_count_level(&h.w, 1, &last) == 0);
    write_for(&h, 3);
    world_run(&h.w, 60 * SECOND);
    T(bucket_count_level(&h.w, 1, &last) == 1);
    n = bucket_count(&h.w);
    before = requests(&h.w);
    T(sum(&before) > 0 && before.bytes_up > 0);
    world_run(&h.w, 2 * 3600 * SECOND);
    T(bucket_count(&h.w) == n);
    after = requests(&h.w);
    T(sum(&after) == sum(&before) && after.bytes_up == before.bytes_up);
    world_close(&h.w);
}

/* With the defaults, in the second hour: what a bill has of a database that is written to each
 * second. */
static void test_what_an_hour_of_writing_costs(void **state)
{
    struct wr_storage_counts before, after;
    struct history h;

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    h.w.opts.retention = (struct wr_retention){.keep_ms = 24 * 3600000, .l0_ms = 300000};
    world_start(&h.w);
    (void)world_sync(&h.w);
    write_lightly_for(&h, 3600);
    before = requests(&h.w);
    write_lightly_for(&h, 3600);
    after = requests(&h.w);
    /* one for each second and each file of a level, which is looked at once; two looks at what is
     * there, by level; and a deletion each minute */
    T(after.put - before.put >= 3600 && after.put - before.put <= 3600 + 120 + 12 + 1 + 3);
    T(after.get - before.get <= 120 + 12 + 1 + 6);
    T(after.list - before.list <= 2 * (WR_LEVEL_MAX + 1 + 2));
    T(after.remove - before.remove <= 60 + 1);
    T(after.stat == before.stat);
    world_close(&h.w);
}

/* Where the level's newest file ends is read from there, and the journal reaches back to it. */
static void test_a_level_goes_on_after_a_restart(void **state)
{
    struct history h;
    struct wr_ltx_file last = {0};

    (void)state;
    begin(&h, 1);
    write_for(&h, 45);
    T(bucket_count_level(&h.w, 1, &last) == 1);
    world_stop(&h.w);
    world_start(&h.w);
    write_for(&h, 60);
    T(bucket_count_level(&h.w, 1, &last) >= 3);
    expect_run(&h.w, 1);
    expect_same_without_below(&h, 1);
    world_close(&h.w);
}

/* The journal is emptied as replicas get on; but not of what a level goes on from, though its end
 * was not read yet. */
static void test_the_journal_was_emptied_before_a_level_went_on(void **state)
{
    struct history h;
    struct wr_ltx_file was = {0}, is = {0};

    (void)state;
    begin(&h, 1);
    world_sql(&h.w, "WITH RECURSIVE c(x) AS (SELECT 100 UNION ALL SELECT x+1 FROM c WHERE x<700) "
                    "INSERT INTO t SELECT x, randomblob(3000) FROM c");
    write_lightly_for(&h, 330);
    T(bucket_count_level(&h.w, 2, &was) >= 1);
    world_stop(&h.w);
    h.w.opts.cadence.levels = 2; /* nor of what one does that has none yet */
    world_start(&h.w);
    for (int i = 0; i < 150; i++) {
        world_sql(&h.w, "UPDATE t SET b=randomblob(3000) WHERE a>99");
        (void)world_sync(&h.w);
        world_run(&h.w, SECOND);
    }
    write_lightly_for(&h, 400);
    T(bucket_count_level(&h.w, 2, &is) >= 2 && is.max > was.max);
    expect_run(&h.w, 2);
    world_check(&h.w, 0);
    world_close(&h.w);
}

/* Without local state the way from the level's end is not known: it begins anew, and what lies
 * between stays at level 0. */
static void test_a_level_begins_anew_without_its_journal(void **state)
{
    struct history h;
    struct wr_ltx_file was = {0}, is = {0};

    (void)state;
    begin(&h, 1);
    write_for(&h, 45);
    T(bucket_count_level(&h.w, 1, &was) == 1);
    world_stop(&h.w);
    T(unlink(t_path(h.w.dir, ".app.db-weir/journal.0")) == 0);
    T(unlink(t_path(h.w.dir, ".app.db-weir/journal.1")) == 0);
    world_start(&h.w);
    write_for(&h, 60);
    T(bucket_count_level(&h.w, 1, &is) == 2);
    T(is.min > was.max + 1);
    for (uint64_t txid = 2; txid <= 105; txid++)
        expect_image(&h, txid);
    world_check(&h.w, 0);
    world_close(&h.w);
}

/* A file of that name is there: a process that was killed had sent it. */
static void test_a_file_in_the_way_is_gone_on_from(void **state)
{
    struct history h;
    struct wr_ltx_file f = {0}, last = {0};
    struct object o;

    (void)state;
    begin(&h, 1);
    write_for(&h, 45);
    T(bucket_count_level(&h.w, 1, &f) == 1);
    o = bucket_get(&h.w, &f);
    bucket_remove(&h.w, &f);
    world_stop(&h.w);
    world_start(&h.w); /* it has no level 1 now */
    write_for(&h, 3);
    bucket_put(&h.w, &o);
    write_for(&h, 60);
    T(bucket_count_level(&h.w, 1, &last) >= 2);
    T(last.min > f.max);
    world_check(&h.w, 0);
    T(h.w.errors == 0);
    world_close(&h.w);
}

static void test_a_snapshot_comes_in_time(void **state)
{
    struct history h;
    struct wr_ltx_file last = {0};

    (void)state;
    begin(&h, 2);
    write_for(&h, 5);
    T(bucket_count_level(&h.w, 9, &last) == 1);
    world_run(&h.w, 25 * 3600 * SECOND);
    T(bucket_count_level(&h.w, 9, &last) == 2);
    T(last.max == 6);
    world_run(&h.w, 50 * 3600 * SECOND); /* nothing new */
    T(bucket_count_level(&h.w, 9, &last) == 2);
    remove_below(&h.w, 9, 6);
    world_check(&h.w, 0);
    world_check(&h.w, 1);
    T(h.w.errors == 0);
    world_close(&h.w);
}

/* Read from the live database while it is sent. */
static void test_large_files_are_streamed(void **state)
{
    struct history h;
    struct wr_ltx_file last = {0};

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    h.w.opts.inline_bytes = 1;
    h.w.opts.cadence.snapshot_ms = 60000;
    h.w.opts.checkpoint_frames = 20;
    world_start(&h.w);
    (void)world_sync(&h.w);
    write_for(&h, 125);
    T(bucket_count_level(&h.w, 1, &last) >= 4);
    T(bucket_count_level(&h.w, 9, &last) >= 3);
    expect_run(&h.w, 1);
    expect_same_without_below(&h, 1);
    world_close(&h.w);
}

static void no_faults_yet(struct world *w, struct faultstore *f)
{
    (void)w;
    (void)f;
}

static size_t count_since(struct world *w, unsigned level, uint64_t from)
{
    struct wr_ltx_files files = bucket_list(w);
    size_t n = 0;

    for (size_t i = 0; i < files.n; i++)
        n += files.p[i].level == level && files.p[i].max >= from;
    wr_ltx_files_release(&files);
    return n;
}

/* Level 0 goes when level 1 has it and readers had their time; old snapshots when what they are
 * needed for is over. Nothing is listed for that but once. */
static void test_what_is_old_goes(void **state)
{
    const uint64_t last = 1 + 1500;
    struct history h;
    struct wr_ltx_file f = {0};
    size_t kept;

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    h.w.opts.cadence.snapshot_ms = 300000;
    h.w.opts.retention = (struct wr_retention){.keep_ms = 600000, .l0_ms = 60000};
    world_start(&h.w);
    (void)world_sync(&h.w);
    write_lightly_for(&h, 1500);
    kept = bucket_count_level(&h.w, 0, &f);
    T(kept >= 60 && kept <= 60 + 300 + 120);
    T(count_since(&h.w, 0, last - 59) == 60); /* a point a second for the last minute */
    T(bucket_count_level(&h.w, 9, &f) <= 5 && bucket_count_level(&h.w, 9, &f) >= 3);
    T(bucket_count_level(&h.w, 1, &f) <= 52);
    for (uint64_t txid = last - 59; txid <= last; txid++)
        (void)world_restore(&h.w, 0, txid);
    world_check(&h.w, 0);
    T(h.w.warnings == 0 && h.w.errors == 0);
    world_close(&h.w);
}

/* What retention deletes is not what somebody else has deleted: the looks at the replica find it as
 * it was left, hour after hour. */
static void test_looks_do_not_miss_what_was_too_old(void **state)
{
    struct history h;
    struct wr_ltx_file f = {0};

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    h.w.opts.retention = (struct wr_retention){.keep_ms = 2 * 3600000, .l0_ms = 300000};
    world_start(&h.w);
    (void)world_sync(&h.w);
    write_every(&h, 5, 3 * 720);
    T(bucket_count_level(&h.w, 0, &f) < 200);
    T(h.w.warnings == 0 && h.w.errors == 0);
    world_check(&h.w, 0);
    world_close(&h.w);
}

/* Sixty hours with a transaction each ten minutes, and restarts. A snapshot of each of the last
 * hours and days stays, what lies between goes, and no look at the replica misses it. */
static void test_a_snapshot_an_hour_and_a_day_stays(void **state)
{
    struct history h;
    struct wr_ltx_file f = {0};
    struct wr_ltx_files files;
    size_t n = 0;

    (void)state;
    begin(&h, 1);
    for (int run = 0; run < 4; run++) {
        world_stop(&h.w);
        h.w.opts.cadence.snapshot_ms = 3600000;
        h.w.opts.retention = (struct wr_retention){.keep_ms = 3600000,
            .l0_ms = 300000,
            .periods = {[WR_PERIOD_HOUR] = 5, [WR_PERIOD_DAY] = 3}};
        world_start(&h.w);
        for (unsigned i = 0; i < 15 * 6; i++) {
            uint64_t txid;
            char sql[80];

            (void)snprintf(sql, sizeof(sql), "UPDATE t SET b='%u' WHERE a=%u", i, i % 60 + 1);
            world_sql(&h.w, sql);
            txid = world_sync(&h.w);
            T(txid <= KEPT);
            h.kept[txid - 1] = world_image(&h.w);
            world_run(&h.w, 600 * SECOND);
        }
    }
    /* two of the days ended before the hours begin, or one, and one of today */
    T(bucket_count_level(&h.w, 9, &f) >= 5 + 2 && bucket_count_level(&h.w, 9, &f) <= 5 + 3);
    T(bucket_count_level(&h.w, 0, &f) < 50);
    files = bucket_list(&h.w);
    for (size_t i = 0; i < files.n; i++) {
        if (files.p[i].level == 9 && h.kept[files.p[i].max - 1].n > 0) {
            expect_image(&h, files.p[i].max);
            n++;
        }
    }
    wr_ltx_files_release(&files);
    T(n >= 5 + 2);
    T(h.w.warnings == 0 && h.w.errors == 0);
    world_check(&h.w, 0);
    world_close(&h.w);
}

/* The clock was a week ahead, and somebody has set it right. What was captured meanwhile has a time
 * from the future: it neither makes all else old, nor do the next files wait for that time. */
static void test_a_clock_that_was_ahead(void **state)
{
    const int64_t week_ms = INT64_C(7) * 24 * 3600000;
    struct history h;
    struct wr_ltx_file f = {0};
    size_t n, snapshots;

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    h.w.opts.cadence.snapshot_ms = 60000;
    h.w.opts.retention = (struct wr_retention){.keep_ms = 3600000, .l0_ms = 20000};
    world_start(&h.w);
    (void)world_sync(&h.w);
    write_for(&h, 100);
    h.w.clock.wall_now_ms += week_ms;
    write_for(&h, 2);
    h.w.clock.wall_now_ms -= week_ms;
    write_for(&h, 2);
    n = bucket_count_level(&h.w, 1, &f);
    snapshots = bucket_count_level(&h.w, 9, &f);
    write_every(&h, 5, 180);
    T(bucket_count_level(&h.w, 1, &f) >= n + 20);
    T(bucket_count_level(&h.w, 9, &f) >= snapshots + 10);
    for (uint64_t txid = 2; txid <= 90; txid++) {
        struct wr_ltx_files files = bucket_list(&h.w);

        for (size_t i = 0; i < files.n; i++) {
            if (files.p[i].level == 1 && files.p[i].max == txid)
                expect_image(&h, txid);
        }
        wr_ltx_files_release(&files);
    }
    T(count_since(&h.w, 1, 2) - count_since(&h.w, 1, 100) >= 3);
    world_check(&h.w, 0);
    world_close(&h.w);
}

/* A snapshot ends in the middle of what a file of a level covers, which the next restore applies to
 * it. That is no trace of somebody else: not at the start, and not at a look at all of it. */
static void test_a_snapshot_within_a_level_is_no_stranger(void **state)
{
    struct history h;
    struct wr_ltx_file f = {0};
    size_t n;

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    h.w.opts.cadence.snapshot_ms = 45000;
    h.w.opts.retention = (struct wr_retention){.keep_ms = 600000, .l0_ms = 20000};
    world_start(&h.w);
    (void)world_sync(&h.w);
    write_lightly_for(&h, 1020);
    n = bucket_count_level(&h.w, 9, &f);
    world_stop(&h.w);
    h.w.opts.cadence.snapshot_ms = 100 * 60000;
    world_start(&h.w);
    (void)world_sync(&h.w);
    T(bucket_count_level(&h.w, 9, &f) == n);
    write_every(&h, 7, 7 * 514);
    T(bucket_count_level(&h.w, 9, &f) <= 3);
    T(h.w.warnings == 0 && h.w.errors == 0);
    world_check(&h.w, 0);
    world_close(&h.w);
}

/* Who may not delete is told once, and goes on. */
static void test_who_may_not_delete_goes_on(void **state)
{
    struct history h;
    struct wr_ltx_file f = {0};

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    h.w.opts.retention = (struct wr_retention){.l0_ms = 10000};
    h.w.arm = no_faults_yet;
    world_start(&h.w);
    (void)world_sync(&h.w);
    faultstore_arm(h.w.fault[0], FAULT_BROKEN, FAULT_ON_REMOVE, 1000, UINT64_MAX);
    write_lightly_for(&h, 1000);
    T(h.w.warnings == 1 && strstr(h.w.warning, "retention.enabled") != NULL);
    T(bucket_count_level(&h.w, 0, &f) == 1000);
    T(bucket_count_level(&h.w, 1, &f) >= 32);
    faultstore_calm(h.w.fault[0]);
    world_check(&h.w, 0);
    write_lightly_for(&h, 1000);
    T(bucket_count_level(&h.w, 0, &f) < 800);
    world_check(&h.w, 0);
    world_close(&h.w);
}

/* A store that fails keeps nobody from the newest state, and gets its levels when it is back. */
static void test_a_failing_store_gets_its_level_later(void **state)
{
    struct history h;
    struct wr_ltx_file last = {0};
    size_t n;

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    h.w.arm = no_faults_yet;
    world_start(&h.w);
    write_for(&h, 20);
    n = bucket_count_level(&h.w, 1, &last);
    faultstore_arm(h.w.fault[0], FAULT_BUSY, FAULT_ON_ALL, 1000, UINT64_MAX);
    world_sql(&h.w, "DELETE FROM t WHERE a=3");
    world_run(&h.w, 600 * SECOND);
    T(bucket_count_level(&h.w, 1, &last) == n);
    faultstore_calm(h.w.fault[0]);
    world_run(&h.w, 120 * SECOND);
    write_for(&h, 40);
    T(bucket_count_level(&h.w, 1, &last) > n);
    expect_run(&h.w, 1);
    world_check(&h.w, 0);
    world_close(&h.w);
}

static void test_intervals_begin_where_litestreams_do(void **state)
{
    (void)state;
    T(wr_cadence_end(0, 1000) == 1000);
    T(wr_cadence_end(999, 1000) == 1000);
    T(wr_cadence_end(1000, 1000) == 2000);
    T(wr_cadence_end(INT64_C(1790000000123), 86400000) % 86400000 == 0);
    /* weeks begin on Mondays, as the first day of year 1 was one */
    T(wr_cadence_end(0, 7 * 86400000) == INT64_C(4) * 86400000);
    T(wr_cadence_end(-1, 1000) == 0);
}

T_MAIN(T_TEST(test_a_level_gets_a_file_an_interval), T_TEST(test_levels_above_take_in_those_below),
    T_TEST(test_a_quiet_database_costs_nothing), T_TEST(test_what_an_hour_of_writing_costs),
    T_TEST(test_a_level_goes_on_after_a_restart),
    T_TEST(test_the_journal_was_emptied_before_a_level_went_on),
    T_TEST(test_a_level_begins_anew_without_its_journal),
    T_TEST(test_a_file_in_the_way_is_gone_on_from), T_TEST(test_a_snapshot_comes_in_time),
    T_TEST(test_large_files_are_streamed), T_TEST(test_what_is_old_goes),
    T_TEST(test_a_clock_that_was_ahead), T_TEST(test_a_snapshot_within_a_level_is_no_stranger),
    T_TEST(test_a_snapshot_an_hour_and_a_day_stays),
    T_TEST(test_looks_do_not_miss_what_was_too_old), T_TEST(test_who_may_not_delete_goes_on),
    T_TEST(test_a_failing_store_gets_its_level_later),
    T_TEST(test_intervals_begin_where_litestreams_do))
