/*
 * test_primary_retain.c - what is left of a replica's files while a database goes on, that nobody
 * takes that for damage, and what all of it costs.
 */
#include "unit/engine/history_world.h"

#include "engine/plan.h"

static struct wr_storage_counts requests(struct world *w)
{
    struct wr_replica_account is;

    wr_db_replica_account(w->db, 0, &is);
    return is.requests;
}

static uint64_t sum(const struct wr_storage_counts *n)
{
    return n->list + n->get + n->put + n->remove + n->stat;
}

/* Few files are not worth one more, and nothing is done while nothing is written. */
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
    world_run(&h.w, 1800 * SECOND); /* by then it is said how far it reaches */
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

/* With the defaults, after the first look: what a bill has of a database that is written to each
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
    write_lightly_for(&h, 1900);
    before = requests(&h.w);
    write_lightly_for(&h, 3600);
    after = requests(&h.w);
    /* one for each second and each file of a level, which is looked at once; what is there after
     * each 128 files, and before some deletions; three looks at most at that; the lease after each
     * 256 files; and a deletion each minute */
    T(after.put - before.put >= 3600);
    T(after.put - before.put <= 3600 + 120 + 12 + 1 + 3 + 3600 / 128);
    T(after.get - before.get <= 120 + 12 + 1 + 1 + 2 + 3600 / 256 + 1);
    T(after.list == before.list);
    T(after.remove - before.remove <= 60 + 1);
    T(after.stat - before.stat <= 3 * 3);
    world_close(&h.w);
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
    /* What comes after is of its time, and gets old; it had the time of the jump for a week. */
    T(bucket_count_level(&h.w, 0, &f) < 120); /* of 284, with five minutes of grace */
    T(f.time_ms <= h.w.clock.wall_now_ms);
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

static unsigned points_up_to(struct world *w, uint64_t last)
{
    struct wr_ltx_files files = bucket_list(w);
    size_t *chain = wr_array(files.n + 1, sizeof(*chain)), n = 0;
    unsigned points = 0;

    T(chain != NULL);
    for (uint64_t txid = 1; txid <= last; txid++) {
        const struct wr_plan_target at = {.txid = txid};
        struct wr_err e = {0};

        points += wr_plan(files.p, files.n, &at, chain, &n, &e) == WR_OK;
    }
    wr_free(chain);
    wr_ltx_files_release(&files);
    return points;
}

/* A write an hour: of what is kept, a day, three of four were lost after five minutes. */
static void test_a_database_that_is_seldom_written_to_lost_points(void **state)
{
    struct history h;

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    h.w.opts.retention = (struct wr_retention){.keep_ms = 24 * 3600000, .l0_ms = 300000};
    world_start(&h.w);
    (void)world_sync(&h.w);
    write_every(&h, 3600, 22);
    T(points_up_to(&h.w, 23) == 23);
    world_close(&h.w);
}

/* The clock was a week ahead for longer than readers have to end. The files that were made then had
 * its time, too, so it was believed: of the day that is kept, hardly a point was left. */
static void clock_ahead_for_minutes(bool restart)
{
    const int64_t week_ms = INT64_C(7) * 24 * 3600000;
    struct history h;
    unsigned points;

    begin(&h, 1);
    world_stop(&h.w);
    h.w.opts.retention = (struct wr_retention){.keep_ms = 24 * 3600000, .l0_ms = 300000};
    world_start(&h.w);
    (void)world_sync(&h.w);
    write_every(&h, 5, 720); /* an hour */
    h.w.clock.wall_now_ms += week_ms;
    if (restart) {
        world_stop(&h.w);
        world_start(&h.w);
    }
    write_every(&h, 5, 12 * 12);
    h.w.clock.wall_now_ms -= week_ms;
    write_every(&h, 5, 12);
    points = points_up_to(&h.w, 720);
    T(points >= 118); /* one each half a minute */
    world_check(&h.w, 0);
    world_close(&h.w);
}

static void test_a_clock_ahead_for_minutes_took_the_day(void **state)
{
    (void)state;
    clock_ahead_for_minutes(false);
    clock_ahead_for_minutes(true);
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

T_MAIN(T_TEST(test_a_quiet_database_costs_nothing), T_TEST(test_what_an_hour_of_writing_costs),
    T_TEST(test_what_is_old_goes), T_TEST(test_looks_do_not_miss_what_was_too_old),
    T_TEST(test_a_snapshot_an_hour_and_a_day_stays), T_TEST(test_a_clock_that_was_ahead),
    T_TEST(test_a_clock_ahead_for_minutes_took_the_day),
    T_TEST(test_a_database_that_is_seldom_written_to_lost_points),
    T_TEST(test_a_snapshot_within_a_level_is_no_stranger), T_TEST(test_who_may_not_delete_goes_on))
