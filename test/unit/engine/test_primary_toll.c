/*
 * test_primary_toll.c - snapshots out of turn, where so much has changed since the last one that a
 * restore takes long: when they come, what they cost, and that nobody is asked for it.
 */
#include "unit/engine/history_world.h"

#include "engine/plan.h"

#define FLOOR ((uint64_t)50000)

/* What a restore of the newest state reads. */
struct way {
    uint64_t snapshot, beyond; /* bytes */
    size_t files;              /* beyond the snapshot */
};

static struct way find_way(struct history *h)
{
    const struct wr_plan_target newest = {0};
    struct wr_ltx_files files = bucket_list(&h->w);
    size_t *chain = wr_array(files.n, sizeof(*chain)), n = 0;
    struct way way = {0};
    struct wr_err e = {0};

    T(chain != NULL);
    T_OK(wr_plan(files.p, files.n, &newest, chain, &n, &e));
    for (size_t i = 0; i < n; i++) {
        const struct wr_ltx_file *f = &files.p[chain[i]];

        if (f->level == WR_LEVEL_SNAPSHOT) {
            way.snapshot = f->size;
            continue;
        }
        way.beyond += f->size;
        way.files++;
    }
    wr_free(chain);
    wr_ltx_files_release(&files);
    return way;
}

static uint64_t bytes_of_level(struct history *h, unsigned level)
{
    struct wr_ltx_files files = bucket_list(&h->w);
    uint64_t sum = 0;

    for (size_t i = 0; i < files.n; i++)
        sum += files.p[i].level == level ? files.p[i].size : 0;
    wr_ltx_files_release(&files);
    return sum;
}

static size_t snapshots(struct history *h)
{
    return bucket_count_level(&h->w, WR_LEVEL_SNAPSHOT, NULL);
}

static void change(struct history *h, unsigned i, unsigned rows)
{
    char sql[120];

    (void)snprintf(sql, sizeof(sql), "UPDATE t SET b=randomblob(3000) WHERE (a+%u)%%60<%u",
        i * rows % 60, rows);
    world_sql(&h->w, sql);
    (void)world_sync(&h->w);
    world_run(&h->w, SECOND);
}

static uint64_t lists(struct history *h)
{
    struct wr_replica_account is;

    wr_db_replica_account(h->w.db, 0, &is);
    return is.requests.list;
}

static void restart(struct history *h)
{
    world_stop(&h->w);
    world_start(&h->w);
    (void)world_sync(&h->w);
}

static void begin_with(struct history *h, uint64_t floor, uint64_t files)
{
    begin(h, 1);
    h->w.opts.cadence.toll_floor = floor;
    h->w.opts.cadence.toll_files = files;
    restart(h);
}

/* As soon as a restore would read more beyond the snapshot than the snapshot. It costs no listing
 * but that of the first look, and no more than twice the bytes that were changed. */
static void test_a_snapshot_when_as_much_has_changed(void **state)
{
    struct history h;
    uint64_t first, asked;

    (void)state;
    begin_with(&h, FLOOR, 0);
    first = bytes_of_level(&h, WR_LEVEL_SNAPSHOT);
    asked = lists(&h);
    for (unsigned i = 0; i < 200; i++) {
        struct way way;

        change(&h, i, 6);
        way = find_way(&h);
        T(way.beyond <= way.snapshot + way.snapshot / 5); /* the last batch tips it */
    }
    T(lists(&h) <= asked + 1);
    T(snapshots(&h) >= 4);
    T(bytes_of_level(&h, WR_LEVEL_SNAPSHOT) - first <= 2 * bytes_of_level(&h, 0));
    T(strstr(h.w.info_before, "sending another") && strstr(h.w.info, "snapshot complete"));
    T(h.w.warnings == 0 && h.w.errors == 0);
    world_check(&h.w, 0);
    world_close(&h.w);
}

/* The same pages again and again are in one file of a level: they are no reason. */
static void test_what_levels_cover_counts_once(void **state)
{
    struct history h;

    (void)state;
    begin_with(&h, FLOOR, 0);
    for (unsigned i = 0; i < 150; i++)
        change(&h, 0, 1);
    T(bytes_of_level(&h, 0) > 2 * bytes_of_level(&h, WR_LEVEL_SNAPSHOT));
    T(snapshots(&h) == 1 && bucket_count_level(&h.w, 1, NULL) >= 4);
    world_close(&h.w);
}

/* A small database, or one that has none by itself. */
static void test_none_where_it_is_not_worth_it(void **state)
{
    struct history h;

    (void)state;
    begin(&h, 1); /* with the floor that everybody has */
    for (unsigned i = 0; i < 60; i++)
        change(&h, i, 30);
    T(bytes_of_level(&h, 0) > 10 * bytes_of_level(&h, WR_LEVEL_SNAPSHOT) && snapshots(&h) == 1);
    h.w.opts.cadence.toll_floor = FLOOR;
    h.w.opts.cadence.snapshot_ms = 0;
    restart(&h);
    for (unsigned i = 0; i < 10; i++)
        change(&h, i, 30);
    T(snapshots(&h) == 1);
    h.w.opts.cadence.snapshot_ms = 24 * 3600000;
    restart(&h); /* what is there is known from its listing */
    world_run(&h.w, 10 * SECOND);
    T(snapshots(&h) == 2);
    world_run(&h.w, 600 * SECOND);
    T(snapshots(&h) == 2);
    world_check(&h.w, 0);
    world_close(&h.w);
}

/* Without levels, files add up before bytes do; but they must be worth it, too. */
static void test_a_snapshot_when_there_are_many_files(void **state)
{
    struct history h;
    uint64_t first;

    (void)state;
    begin(&h, 1);
    h.w.opts.cadence.levels = 0;
    h.w.opts.cadence.toll_files = 10;
    restart(&h);
    first = bytes_of_level(&h, WR_LEVEL_SNAPSHOT);
    for (unsigned i = 0; i < 100; i++) {
        struct way way;

        change(&h, i, 1);
        way = find_way(&h);
        T(way.files <= 12 || way.beyond <= way.snapshot / WR_TOLL_SHARE + 8000);
        if (i == 10)
            T(snapshots(&h) == 1); /* not of 11 small ones */
    }
    T(snapshots(&h) >= 4);
    T(bytes_of_level(&h, WR_LEVEL_SNAPSHOT) - first <= 4 * bytes_of_level(&h, 0));
    world_check(&h.w, 0);
    world_close(&h.w);
}

/* Whose size is known only when they have been sent. */
static void test_streamed_files_count(void **state)
{
    struct history h;

    (void)state;
    begin_with(&h, FLOOR, 0);
    bucket_remove_all(&h.w);
    h.w.opts.inline_bytes = 1;
    restart(&h); /* it joins with a snapshot */
    for (unsigned i = 0; i < 100; i++)
        change(&h, i, 6);
    T(snapshots(&h) >= 3);
    world_stop(&h.w);
    for (unsigned i = 0; i < 3; i++)
        world_sql(&h.w, "UPDATE t SET b=randomblob(5000)");
    world_start(&h.w); /* and with a file of level 0, which is as large */
    (void)world_sync(&h.w);
    world_run(&h.w, 10 * SECOND);
    T(find_way(&h).beyond == 0);
    world_check(&h.w, 0);
    world_close(&h.w);
}

/* A store that fails gets it when it is back, and once. */
static void test_a_store_that_fails(void **state)
{
    struct history h;
    size_t n;

    (void)state;
    begin_with(&h, FLOOR, 0);
    world_stop(&h.w);
    h.w.arm = no_faults_yet;
    world_start(&h.w);
    (void)world_sync(&h.w);
    for (unsigned i = 0; i < 9; i++)
        change(&h, i, 6);
    n = snapshots(&h);
    faultstore_arm(h.w.fault[0], FAULT_BROKEN, FAULT_ON_PUT, 1000, UINT64_MAX);
    world_sql(&h.w, "UPDATE t SET b=randomblob(3000)");
    world_run(&h.w, 300 * SECOND);
    T(snapshots(&h) == n);
    faultstore_calm(h.w.fault[0]);
    world_run(&h.w, 900 * SECOND);
    T(snapshots(&h) == n + 1);
    world_check(&h.w, 0);
    world_close(&h.w);
}

T_MAIN(T_TEST(test_a_snapshot_when_as_much_has_changed), T_TEST(test_what_levels_cover_counts_once),
    T_TEST(test_none_where_it_is_not_worth_it), T_TEST(test_a_snapshot_when_there_are_many_files),
    T_TEST(test_streamed_files_count), T_TEST(test_a_store_that_fails))
