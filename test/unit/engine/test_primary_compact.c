/*
 * test_primary_compact.c - files of the levels above 0: when they come, where they begin and end,
 * and that each of them is what the files below it are together.
 */
#include "unit/engine/history_world.h"

#include <unistd.h>

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

static const char *const of_state[] = {
    "app.db", ".app.db-weir/ledger", ".app.db-weir/journal.0", ".app.db-weir/journal.1"};

/* All of the machine as it was, which a power cut brings back. */
static void machine_is(struct history *h, struct wr_bytes was[wr_countof(of_state)], bool again)
{
    world_stop(&h->w);
    world_app_close(&h->w);
    for (size_t i = 0; i < wr_countof(of_state); i++) {
        if (again)
            t_spew(t_path(h->w.dir, of_state[i]), was[i].p, was[i].n);
        else
            was[i] = t_slurp(t_path(h->w.dir, of_state[i]));
    }
    world_app(&h->w);
    world_start(&h->w);
}

/* It came behind the level's end, with pages that the journal knows nothing of: a file of the level
 * over it lacked them, and whoever stood at it and read the level got a mixture. */
static void over_a_lost_future(bool restart)
{
    struct wr_bytes was[wr_countof(of_state)];
    struct wr_ltx_files files;
    struct object lost;
    struct history h;
    uint64_t txid;

    begin(&h, 1);
    write_for(&h, 35);
    T(bucket_count_level(&h.w, 1, NULL) > 0);
    machine_is(&h, was, false);
    world_sql(&h.w, "UPDATE t SET b=randomblob(3000) WHERE a=50");
    txid = world_sync(&h.w);
    lost = bucket_under_way(&h.w, txid);
    machine_is(&h, was, true);
    world_run(&h.w, SECOND); /* its levels go on from here */
    bucket_put(&h.w, &lost);
    write_lightly_for(&h, 10);
    if (restart) {
        world_stop(&h.w);
        world_start(&h.w);
    }
    write_lightly_for(&h, 70);
    T(bucket_count_level(&h.w, 1, NULL) > 1);
    files = bucket_list(&h.w);
    for (size_t i = 0; i < files.n; i++)
        T(files.p[i].level != 1 || files.p[i].min > txid || files.p[i].max < txid);
    wr_ltx_files_release(&files);
    world_check(&h.w, 0);
    world_close(&h.w);
}

static void test_a_level_went_over_a_file_of_a_lost_future(void **state)
{
    (void)state;
    over_a_lost_future(false);
}

/* The journal still knew the way from the level's end. */
static void test_after_a_restart_a_level_went_over_a_lost_future(void **state)
{
    (void)state;
    over_a_lost_future(true);
}

/* So many pages a second that the journal is shortened before the hour of a level is over: then
 * level 1 had a hole, and after half a minute without the replica all of the database was sent. */
static void test_a_short_outage_of_a_busy_database_was_a_full_send(void **state)
{
    struct wr_db_status s;
    struct world w;

    (void)state;
    world_low_lock_page();
    world_open(&w, 1);
    w.arm = no_faults_yet;
    w.interval_ns = SECOND;
    w.opts.checkpoint_frames = 20000;
    w.opts.cadence = (struct wr_cadence){.levels = 3,
        .level_ms = {10000, 60000, 3600000},
        .snapshot_ms = 24 * 3600000,
        .toll_floor = UINT64_MAX,
        .toll_files = UINT64_MAX};
    T(sqlite3_open(w.path, &w.app) == SQLITE_OK);
    world_sql(&w,
        "PRAGMA page_size=512; PRAGMA journal_mode=wal; PRAGMA synchronous=OFF; PRAGMA "
        "wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b, c); WITH RECURSIVE c(x) AS "
        "(SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<24000) INSERT INTO t SELECT x, 0, "
        "zeroblob(400) FROM c");
    world_start(&w);
    (void)world_sync(&w);
    for (unsigned i = 0; i < 74; i++) {
        if (i == 54)
            faultstore_arm(w.fault[0], FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
        world_sql(&w, "UPDATE t SET b=b+1");
        if (i < 54)
            (void)world_sync(&w);
        world_run(&w, SECOND + SECOND / 10);
    }
    faultstore_calm(w.fault[0]);
    world_run(&w, 120 * SECOND);
    (void)world_sync(&w);
    wr_db_status(w.db, &s);
    T(s.full_sends == 0 && bucket_count_level(&w, 9, NULL) == 1);
    T(bucket_count_level(&w, 1, NULL) >= 5);
    expect_run(&w, 1);
    world_check(&w, 0);
    world_close(&w);
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
    T_TEST(test_a_level_goes_on_after_a_restart),
    T_TEST(test_the_journal_was_emptied_before_a_level_went_on),
    T_TEST(test_a_level_begins_anew_without_its_journal),
    T_TEST(test_a_file_in_the_way_is_gone_on_from),
    T_TEST(test_a_level_went_over_a_file_of_a_lost_future),
    T_TEST(test_after_a_restart_a_level_went_over_a_lost_future),
    T_TEST(test_a_short_outage_of_a_busy_database_was_a_full_send),
    T_TEST(test_a_snapshot_comes_in_time), T_TEST(test_large_files_are_streamed),
    T_TEST(test_a_failing_store_gets_its_level_later),
    T_TEST(test_intervals_begin_where_litestreams_do))
