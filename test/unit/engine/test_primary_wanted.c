/*
 * test_primary_wanted.c - what is done for replicas on demand: a snapshot, the levels, retention;
 * by a process that goes on, and by one that is started for a moment each time.
 */
#include "unit/engine/history_world.h"

#include "engine/plan.h"
#include "engine/primary_replicas.h"
#include "unit/engine/spy_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MINUTE (60 * SECOND)
#define LEAP   ((uint64_t)1 << 20) /* behind what another history had */

static uint64_t work(struct history *h, enum wr_work kind)
{
    uint64_t value = 0;
    struct wr_err e = {0};
    enum wr_status st = world_work(&h->w, kind, 120 * SECOND, &value, &e);

    t_check_ok(st, &e, "work", __FILE__, __LINE__);
    return value;
}

static void start_with(struct history *h, struct wr_cadence cadence, struct wr_retention retention)
{
    world_stop(&h->w);
    h->w.opts.cadence = cadence;
    h->w.opts.retention = retention;
    world_start(&h->w);
    (void)world_sync(&h->w);
}

static size_t count(struct history *h, unsigned level)
{
    struct wr_ltx_file f = {0};

    return bucket_count_level(&h->w, level, &f);
}

static void test_a_snapshot_on_demand(void **state)
{
    struct history h;
    struct wr_ltx_file f = {0};

    (void)state;
    begin(&h, 2);
    T(work(&h, WR_WORK_SNAPSHOT) == 1); /* it joined with that */
    T(count(&h, 9) == 1);
    write_for(&h, 5);
    world_sql(&h.w, "UPDATE t SET b=1 WHERE a=2"); /* not synced */
    T(work(&h, WR_WORK_SNAPSHOT) == 7);
    T(strstr(h.w.info, "snapshot complete") && strstr(h.w.info, "txid=0000000000000007"));
    T(bucket_count_level(&h.w, 9, &f) == 2 && f.max == 7 && f.min == 1);
    T(count(&h, 0) == 6);
    T(work(&h, WR_WORK_SNAPSHOT) == 7); /* it is there */
    T(count(&h, 9) == 2);
    world_check(&h.w, 0);
    world_check(&h.w, 1);
    for (uint64_t txid = 2; txid <= 6; txid++)
        expect_image(&h, txid);
    T(h.w.warnings == 0 && h.w.errors == 0);
    world_close(&h.w);
}

/* A snapshot that was asked for came when the next transaction was due: in ten minutes. */
static void test_who_asks_waited_for_the_sync_interval(void **state)
{
    struct history h;

    (void)state;
    begin(&h, 1);
    h.w.interval_ns = 10 * MINUTE;
    start_with(&h, (struct wr_cadence){0}, (struct wr_retention){0});
    for (uint64_t txid = 2; txid < 5; txid++) {
        int64_t asked_ns = h.w.clock.mono_now_ns;

        world_sql(&h.w, "UPDATE t SET b=b+1 WHERE a=2");
        T(work(&h, WR_WORK_SNAPSHOT) == txid && count(&h, 9) == txid);
        T(h.w.clock.mono_now_ns - asked_ns < SECOND);
    }
    world_check(&h.w, 0);
    world_close(&h.w);
}

/* By the next process, too, and where nothing makes any by itself. */
static void test_a_snapshot_where_none_is_scheduled(void **state)
{
    struct history h;

    (void)state;
    begin(&h, 1);
    start_with(&h, (struct wr_cadence){0}, (struct wr_retention){0});
    write_for(&h, 3);
    T(work(&h, WR_WORK_SNAPSHOT) == 4 && count(&h, 9) == 2);
    start_with(&h, (struct wr_cadence){0}, (struct wr_retention){0});
    T(work(&h, WR_WORK_SNAPSHOT) == 4 && count(&h, 9) == 2);
    write_for(&h, 1);
    h.w.opts.inline_bytes = 1; /* read while it is sent */
    start_with(&h, (struct wr_cadence){0}, (struct wr_retention){0});
    T(work(&h, WR_WORK_SNAPSHOT) == 5 && count(&h, 9) == 3);
    T(work(&h, WR_WORK_KEEP_UP) == 0 && work(&h, WR_WORK_RETAIN) == 0);
    world_run(&h.w, 100 * 3600 * SECOND);
    T(count(&h, 9) == 3 && count(&h, 1) == 0);
    world_check(&h.w, 0);
    world_close(&h.w);
}

static struct wr_ltx_file newest_snapshot(struct history *h)
{
    struct wr_ltx_file f = {0};

    T(bucket_count_level(&h->w, WR_LEVEL_SNAPSHOT, &f) > 0);
    return f;
}

/* A database at TXID 4 with a snapshot of that, known from a listing or from having sent it. */
static void with_a_snapshot(struct history *h, bool listed)
{
    begin(h, 1);
    start_with(h, (struct wr_cadence){0}, (struct wr_retention){0});
    write_for(h, 3);
    T(work(h, WR_WORK_SNAPSHOT) == 4 && newest_snapshot(h).max == 4);
    if (listed)
        start_with(h, (struct wr_cadence){0}, (struct wr_retention){0});
}

/* Who asked for a snapshot was told that it is there, though somebody had deleted it. Another one
 * is sent, under a name that was never there. */
static void test_a_snapshot_that_was_deleted_was_said_to_be_there(void **state)
{
    (void)state;
    for (unsigned listed = 0; listed < 2; listed++) {
        struct history h;
        struct wr_ltx_file f;

        with_a_snapshot(&h, listed);
        f = newest_snapshot(&h);
        bucket_remove(&h.w, &f);
        T(work(&h, WR_WORK_SNAPSHOT) == 5);
        T(newest_snapshot(&h).max == 5 && count(&h, 9) == 2);
        T(h.w.warnings == 1 && strstr(h.w.warning, "it was deleted"));
        T(work(&h, WR_WORK_SNAPSHOT) == 5 && count(&h, 9) == 2);
        T(h.w.warnings == 1 && h.w.errors == 0);
        expect_image(&h, 4);
        world_check(&h.w, 0);
        world_close(&h.w);
    }
}

/* Nor when another object had taken its place: a piece of it, one that is longer, or another file.
 * Of one that was only listed the size is known, and what an end looks like. */
static void test_a_snapshot_that_was_damaged_was_said_to_be_there(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 7; how++) {
        bool listed = how >= 4;
        struct history h;
        struct wr_ltx_file f;
        struct object o;

        with_a_snapshot(&h, listed);
        f = newest_snapshot(&h);
        o = bucket_get(&h.w, &f);
        if (how % 4 == 0)
            o.is.size -= 1;
        if (how % 4 == 1)
            o.is.size = 7;
        if (how % 4 == 2)
            memset(o.body + o.is.size - 16, 0, 16);
        if (how % 4 == 3)
            o.body[o.is.size - 1] ^= 1;
        bucket_put(&h.w, &o);
        T(work(&h, WR_WORK_SNAPSHOT) == 5);
        T(newest_snapshot(&h).max == 5 && count(&h, 9) == 3);
        T(h.w.warnings == 1 && strstr(h.w.warning, "does not end as it did"));
        T(work(&h, WR_WORK_SNAPSHOT) == 5 && count(&h, 9) == 3);
        world_check(&h.w, 0);
        world_close(&h.w);
    }
}

/* That it cannot be looked at does not mean that it is there, nor that it is not. */
static void test_a_snapshot_that_cannot_be_looked_at_was_said_to_be_there(void **state)
{
    struct history h;
    uint64_t value = 0;
    struct wr_err e = {0};

    (void)state;
    with_a_snapshot(&h, false);
    world_stop(&h.w);
    h.w.arm = no_faults_yet;
    world_start(&h.w);
    (void)world_sync(&h.w);
    faultstore_arm(h.w.fault[0], FAULT_BROKEN, FAULT_ON_GET, 1000, UINT64_MAX);
    T(world_work(&h.w, WR_WORK_SNAPSHOT, 5 * SECOND, &value, &e) == WR_IO);
    T(strstr(e.text, "level 9") && strstr(e.text, "0000000000000001-0000000000000004.ltx"));
    T(count(&h, 9) == 2);
    faultstore_calm(h.w.fault[0]);
    T(work(&h, WR_WORK_SNAPSHOT) == 4 && count(&h, 9) == 2);
    T(h.w.warnings == 0 && h.w.errors == 0);
    world_close(&h.w);
}

/* To look costs one small request, and nothing where one was sent for who asks. */
static void test_what_a_look_at_a_snapshot_costs(void **state)
{
    struct history h;
    struct wr_replica_account was, is;

    (void)state;
    with_a_snapshot(&h, true);
    wr_db_replica_account(h.w.db, 0, &was);
    T(work(&h, WR_WORK_SNAPSHOT) == 4);
    wr_db_replica_account(h.w.db, 0, &is);
    T(is.requests.get == was.requests.get + 1 && is.requests.stat == was.requests.stat);
    T(is.requests.put == was.requests.put && is.requests.list == was.requests.list);
    T(is.requests.bytes_down - was.requests.bytes_down <= 17);
    write_for(&h, 1);
    wr_db_replica_account(h.w.db, 0, &was);
    T(work(&h, WR_WORK_SNAPSHOT) == 5);
    wr_db_replica_account(h.w.db, 0, &is);
    T(is.requests.put == was.requests.put + 1 && is.requests.get == was.requests.get + 1);
    world_close(&h.w);
}

/* Two ask for the same, one of them when the other's is under way: two states, two snapshots. */
static void test_who_asks_later_gets_what_is_later(void **state)
{
    struct wr_work_ticket first, second, third;
    struct history h;
    uint64_t value = 0;
    struct wr_err e = {0};

    (void)state;
    begin(&h, 1);
    write_for(&h, 2);
    wr_db_work_begin(h.w.db, WR_WORK_SNAPSHOT, &first);
    wr_db_work_begin(h.w.db, WR_WORK_SNAPSHOT, &second);
    T(wr_db_work_poll(h.w.db, &first, &value, &e) == WR_BUSY && e.text[0] == '\0');
    (void)world_pass(&h.w, 0, 1); /* the step that begins both */
    world_sql(&h.w, "UPDATE t SET b=1 WHERE a=2");
    wr_db_work_begin(h.w.db, WR_WORK_SNAPSHOT, &third);
    world_run(&h.w, 5 * SECOND); /* and not with the next look, once a minute */
    T(wr_db_work_poll(h.w.db, &first, &value, &e) == WR_OK);
    T(wr_db_work_poll(h.w.db, &second, &value, &e) == WR_OK);
    T(wr_db_work_poll(h.w.db, &third, &value, &e) == WR_OK && value == 4);
    T(count(&h, 9) == 3);
    world_close(&h.w);
}

/* A failure is told at once, and the next one who asks is not put off because of it. */
static void test_a_failure_is_told(void **state)
{
    struct history h;
    uint64_t value = 0;
    struct wr_err e = {0};

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    h.w.arm = no_faults_yet;
    world_start(&h.w);
    write_for(&h, 10);
    faultstore_arm(h.w.fault[0], FAULT_BROKEN, FAULT_ON_PUT, 1000, UINT64_MAX);
    T(world_work(&h.w, WR_WORK_SNAPSHOT, 5 * SECOND, &value, &e) == WR_IO);
    T(strstr(e.text, "mem:") && strlen(e.text) > 10);
    T(strstr(h.w.warning, "compaction failed, trying again later"));
    faultstore_calm(h.w.fault[0]);
    e = (struct wr_err){0};
    T(work(&h, WR_WORK_SNAPSHOT) == 11 && count(&h, 9) == 2);
    write_for(&h, 10);
    world_run(&h.w, 30 * SECOND);
    T(count(&h, 1) >= 1);
    write_for(&h, 5);
    faultstore_arm(h.w.fault[0], FAULT_BROKEN, FAULT_ON_REMOVE, 1000, UINT64_MAX);
    faultstore_arm(h.w.fault[0], FAULT_BROKEN, FAULT_ON_LIST, 1000, UINT64_MAX);
    h.w.opts.retention.keep_ms = 1000;
    T(work(&h, WR_WORK_RETAIN) == 0); /* for ever is kept: nothing to ask the store for */
    world_close(&h.w);
}

static void test_retention_that_fails_is_told(void **state)
{
    struct history h;
    uint64_t value = 0;
    struct wr_err e = {0};

    (void)state;
    begin(&h, 1);
    h.w.arm = no_faults_yet;
    start_with(&h, h.w.opts.cadence, (struct wr_retention){.keep_ms = 60000});
    write_for(&h, 10);
    faultstore_arm(h.w.fault[0], FAULT_BROKEN, FAULT_ON_LIST, 1000, UINT64_MAX);
    T(world_work(&h.w, WR_WORK_RETAIN, 5 * SECOND, &value, &e) == WR_IO && e.text[0]);
    T(strstr(h.w.warning, "retention enforcement failed, trying again later"));
    faultstore_calm(h.w.fault[0]);
    T(work(&h, WR_WORK_RETAIN) == 0);
    world_close(&h.w);
}

/* Who is out of reach is waited for, a minute long. */
static void test_a_replica_that_is_out_of_reach(void **state)
{
    int64_t from;
    struct history h;
    uint64_t value = 0;
    struct wr_err e = {0};

    (void)state;
    begin(&h, 2);
    world_stop(&h.w);
    h.w.arm = no_faults_yet;
    world_start(&h.w);
    (void)world_sync(&h.w);
    faultstore_arm(h.w.fault[1], FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
    world_sql(&h.w, "UPDATE t SET b=1 WHERE a=2");
    from = h.w.clock.mono_now_ns;
    T(world_work(&h.w, WR_WORK_SNAPSHOT, 600 * SECOND, &value, &e) == WR_IO && e.text[0]);
    T(h.w.clock.mono_now_ns - from >= MINUTE && h.w.clock.mono_now_ns - from < 2 * MINUTE);
    T(count(&h, 9) == 2); /* the other one has it */
    faultstore_calm(h.w.fault[1]);
    world_run(&h.w, 120 * SECOND);
    T(work(&h, WR_WORK_SNAPSHOT) == 2);
    world_check(&h.w, 1);
    world_close(&h.w);
}

static void test_nothing_to_work_on(void **state)
{
    struct world w;
    uint64_t value = 0;
    struct wr_err e = {0};

    (void)state;
    world_open(&w, 1);
    world_start(&w);
    T(world_work(&w, WR_WORK_SNAPSHOT, 5 * SECOND, &value, &e) == WR_NOTFOUND);
    world_close(&w);
    world_open(&w, 0);
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a)");
    world_start(&w);
    T(world_work(&w, WR_WORK_KEEP_UP, 5 * SECOND, &value, &e) == WR_NOTFOUND);
    T(strstr(e.text, "no replica"));
    world_close(&w);
}

/* Who asks has no time, or is told to go. No step is run meanwhile. */
static void test_who_asks_does_not_wait(void **state)
{
    struct wr_cancel cancel;
    struct history h;
    uint64_t value = 0;
    struct wr_err e = {0};

    (void)state;
    begin(&h, 1);
    T_IS(WR_TIMEOUT, wr_db_work(h.w.db, WR_WORK_SNAPSHOT, 0, NULL, &value, &e));
    wr_cancel_init(&cancel);
    wr_cancel_now(&cancel);
    e = (struct wr_err){0};
    T_IS(WR_CANCELED, wr_db_work(h.w.db, WR_WORK_SNAPSHOT, -1, &cancel, &value, &e));
    T(strstr(e.text, "a snapshot"));
    wr_cancel_release(&cancel);
    T(work(&h, WR_WORK_SNAPSHOT) == 1);
    world_close(&h.w);
}

/* One that has stopped for good keeps the other from nothing. */
static void test_a_replica_that_has_stopped(void **state)
{
    struct history h, other;
    uint64_t value = 0;
    struct wr_err e = {0};
    struct wr_storage *s;

    (void)state;
    begin(&other, 1);
    begin(&h, 1);
    s = world_storage(&other.w, 0);
    T_OK(wr_db_add_replica(h.w.db, s, SECOND, &e));
    world_run(&h.w, 60 * SECOND);
    world_sql(&h.w, "UPDATE t SET b=1 WHERE a=2");
    T(world_work(&h.w, WR_WORK_SNAPSHOT, 5 * SECOND, &value, &e) == WR_CONFLICT);
    T(strstr(e.text, "another database"));
    T(count(&h, 9) == 2 && count(&other, 9) == 1);
    world_close(&h.w);
    world_close(&other.w);
}

struct stopper {
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_replica *r;
};

static void stop_in_the_middle(void *arg)
{
    struct stopper *x = arg;

    wr_replica_stop(x->r, WR_CONFLICT, "promoted elsewhere");
    x->spy.fail_get = WR_CANCELED;
}

/* Whoever waited for a look at a snapshot, or for retention, was told "canceled". */
static void test_a_replica_that_stopped_in_the_middle_did_not_say_why(void **state)
{
    struct history h;
    struct stopper x = {0};
    struct wr_storage *s = spy_open(&x.spy, &x.ops);
    uint64_t value = 0;
    struct wr_err e = {0};

    (void)state;
    begin(&h, 1);
    T_OK(wr_db_add_replica(h.w.db, s, SECOND, &e));
    world_run(&h.w, 60 * SECOND);
    T(work(&h, WR_WORK_SNAPSHOT) == 1);
    x.r = h.w.db->replicas[1].r;
    x.spy.in_get = stop_in_the_middle;
    x.spy.arg = &x;
    T(world_work(&h.w, WR_WORK_SNAPSHOT, 5 * SECOND, &value, &e) == WR_CONFLICT);
    T(strstr(e.text, "promoted elsewhere"));
    world_close(&h.w);
}

/* The replica has a snapshot whose number is greater than any that we gave away, of another state.
 */
static void test_a_snapshot_of_another_history_is_none(void **state)
{
    struct history h;
    struct wr_work_ticket t;
    uint64_t value = 0;
    struct wr_ltx_file f = {0};
    struct wr_err e = {0};

    (void)state;
    begin(&h, 1);
    write_for(&h, 20);
    T(work(&h, WR_WORK_SNAPSHOT) == 21);
    world_stop(&h.w);
    world_lose_state(&h.w);
    world_sql(&h.w, "UPDATE t SET b=1 WHERE a=2");
    h.w.arm = no_faults_yet;
    world_start(&h.w);
    faultstore_arm(h.w.fault[0], FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
    wr_db_work_begin(h.w.db, WR_WORK_SNAPSHOT, &t); /* it is begun as of TXID 1 */
    world_run(&h.w, 5 * SECOND);
    T_IS(WR_BUSY, wr_db_work_poll(h.w.db, &t, &value, &e));
    faultstore_calm(h.w.fault[0]);
    world_run(&h.w, 60 * SECOND);
    T_OK(wr_db_work_poll(h.w.db, &t, &value, &e));
    T(value > LEAP && bucket_count_level(&h.w, 9, &f) == 3 && f.max == value);
    world_check(&h.w, 0);
    world_close(&h.w);
}

/* Local state is lost in the middle of it. The database is found to be what the replica has, and so
 * has the number of that, which is below the goal. */
static void test_numbers_begin_anew(void **state)
{
    struct history h;
    struct wr_work_ticket t;
    uint64_t value = 0;
    struct wr_err e = {0};

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    h.w.arm = no_faults_yet;
    world_start(&h.w);
    (void)world_sync(&h.w);
    world_sql(&h.w, "UPDATE t SET b=5 WHERE a=2");
    T(work(&h, WR_WORK_SNAPSHOT) == 2);
    faultstore_arm(h.w.fault[0], FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
    world_sql(&h.w, "UPDATE t SET b=6 WHERE a=2");
    world_run(&h.w, 2 * SECOND);
    world_sql(&h.w, "UPDATE t SET b=5 WHERE a=2");
    wr_db_work_begin(h.w.db, WR_WORK_SNAPSHOT, &t);
    world_run(&h.w, 2 * SECOND);
    T_IS(WR_BUSY, wr_db_work_poll(h.w.db, &t, &value, &e));
    world_lose_state(&h.w);
    T(utimensat(AT_FDCWD, h.w.path, NULL, 0) == 0); /* it looks as if it had been written to */
    world_run(&h.w, 10 * SECOND);
    T_IS(WR_BUSY, wr_db_work_poll(h.w.db, &t, &value, &e));
    faultstore_calm(h.w.fault[0]);
    world_run(&h.w, 120 * SECOND);
    T_OK(wr_db_work_poll(h.w.db, &t, &value, &e));
    assert_int_equal(value, 2);
    world_check(&h.w, 0);
    world_close(&h.w);
}

static void run_once(struct history *h, unsigned i, bool retain, uint64_t *ret_removed)
{
    char sql[100];

    world_start(&h->w);
    (void)snprintf(sql, sizeof(sql), "UPDATE t SET b='%u' WHERE a=%u", i, i % 60 + 1);
    world_sql(&h->w, sql);
    (void)work(h, WR_WORK_KEEP_UP);
    if (retain)
        *ret_removed += work(h, WR_WORK_RETAIN);
    world_stop(&h->w);
    wr_clock_manual_advance(&h->w.clock, MINUTE);
}

/* A process a minute, each of which sends one transaction. Levels are as they would be had one gone
 * on all the time: a file of level 1 for some of level 0, and so on. */
static void test_levels_come_of_many_short_runs(void **state)
{
    struct history h;
    struct wr_ltx_file f = {0};
    uint64_t removed = 0;

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    for (unsigned i = 0; i < 130; i++)
        run_once(&h, i, false, &removed);
    T(count(&h, 0) == 130);
    T(count(&h, 1) >= 130 / 5 - 1 && count(&h, 1) <= 130 / 4);
    T(count(&h, 2) >= 5 && bucket_count_level(&h.w, 3, &f) >= 1);
    T(f.min == 2); /* it begins behind the snapshot */
    for (unsigned level = 0; level < 3; level++) {
        struct wr_ltx_files files = bucket_list(&h.w);

        for (size_t i = 0; i < files.n; i++) {
            if (files.p[i].level == level && files.p[i].max <= f.max)
                bucket_remove(&h.w, &files.p[i]);
        }
        wr_ltx_files_release(&files);
    }
    world_start(&h.w);
    (void)world_sync(&h.w);
    world_check(&h.w, 0);
    T(count(&h, 9) == 1);
    T(h.w.warnings == 0 && h.w.errors == 0);
    world_close(&h.w);
}

/* A version that knows nothing of strays has written the ledger, so that all is behind them: each
 * run read where the levels ended, gave that up, and none had a file ever again. */
static void test_levels_go_on_after_an_older_version(void **state)
{
    struct history h;
    struct wr_ltx_file was = {0}, is = {0};
    uint64_t removed = 0;

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    for (unsigned i = 0; i < 30; i++)
        run_once(&h, i, false, &removed);
    T(bucket_count_level(&h.w, 1, &was) >= 5);
    {
        const char *path = t_path(h.w.dir, ".app.db-weir/ledger");
        struct wr_bytes b = t_slurp(path);
        uint8_t *p = wr_alloc(b.n);

        T(p != NULL);
        memcpy(p, b.p, b.n);
        for (size_t copy = 0; copy < 3; copy++)
            memset(p + copy * 1024 + 136, 0, 24);
        t_spew(path, p, b.n);
        wr_free(p);
    }
    for (unsigned i = 30; i < 60; i++)
        run_once(&h, i, false, &removed);
    T(bucket_count_level(&h.w, 1, &is) >= 10 && is.max > was.max + 20);
    world_start(&h.w);
    (void)world_sync(&h.w);
    world_check(&h.w, 0);
    T(h.w.warnings == 0 && h.w.errors == 0);
    world_close(&h.w);
}

/* A day goes by: its snapshot comes. */
static void test_a_short_run_makes_the_snapshot_that_is_due(void **state)
{
    struct history h;
    uint64_t removed = 0;

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    run_once(&h, 1, false, &removed);
    T(count(&h, 9) == 1);
    wr_clock_manual_advance(&h.w.clock, 25 * 3600 * SECOND);
    run_once(&h, 2, false, &removed);
    T(count(&h, 9) == 2);
    run_once(&h, 3, false, &removed);
    T(count(&h, 9) == 2);
    world_close(&h.w);
}

#define RUNS  90
#define GRACE 5 /* minutes */

/* Nor does retention need a process that goes on: what is too old goes, and what a restore of the
 * last minutes has planned with does not. */
static void test_retention_of_many_short_runs(void **state)
{
    static struct wr_ltx_file chain[RUNS][200];
    static size_t n_chain[RUNS];
    struct history h;
    uint64_t removed = 0;

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    h.w.opts.cadence.snapshot_ms = 8 * 60000;
    h.w.opts.retention = (struct wr_retention){.keep_ms = 20 * 60000, .l0_ms = 60000};
    for (unsigned i = 0; i < RUNS; i++) {
        const struct wr_plan_target newest = {0};
        struct wr_ltx_files files;
        size_t index[500], n = 0;
        struct wr_err e = {0};

        run_once(&h, i, true, &removed);
        files = bucket_list(&h.w);
        T(files.n < 500);
        T_OK(wr_plan(files.p, files.n, &newest, index, &n, &e));
        T(n < 200);
        n_chain[i] = n;
        for (size_t k = 0; k < n; k++)
            chain[i][k] = files.p[index[k]];
        for (unsigned then = i > GRACE ? i - GRACE : 0; then < i; then++) {
            for (size_t k = 0; k < n_chain[then]; k++)
                T(wr_ltx_files_find(&files, &chain[then][k]) != NULL);
        }
        wr_ltx_files_release(&files);
    }
    T(removed > RUNS / 2);
    /* one each minute, of 20 and those that readers have for longer */
    assert_in_range(count(&h, 0), 18, 28);
    T(count(&h, 9) <= 6 && count(&h, 9) >= 3);
    world_start(&h.w);
    (void)world_sync(&h.w);
    world_check(&h.w, 0);
    T(h.w.warnings == 0 && h.w.errors == 0);
    world_close(&h.w);
}

/* What others did to a replica is for somebody to look at. */
static void test_nothing_is_deleted_where_something_is_wrong(void **state)
{
    struct history h;
    struct wr_ltx_files files;
    uint64_t value = 0;
    struct wr_err e = {0};
    size_t n;

    (void)state;
    begin(&h, 1);
    start_with(&h, h.w.opts.cadence, (struct wr_retention){.keep_ms = 1000, .l0_ms = 1000});
    write_for(&h, 40);
    wr_clock_manual_advance(&h.w.clock, 20 * MINUTE);
    world_stop(&h.w);
    h.w.arm = no_faults_yet;
    files = bucket_list(&h.w);
    for (size_t i = 0; i < files.n; i++) {
        if (files.p[i].level > 0) /* nothing leads to what is left */
            bucket_remove(&h.w, &files.p[i]);
    }
    wr_ltx_files_release(&files);
    n = bucket_count(&h.w);
    world_start(&h.w);
    faultstore_arm(h.w.fault[0], FAULT_BROKEN, FAULT_ON_PUT, 1000, UINT64_MAX);
    T(world_work(&h.w, WR_WORK_RETAIN, 30 * SECOND, &value, &e) == WR_BUSY);
    T(bucket_count(&h.w) == n);
    world_run(&h.w, 60 * SECOND);
    T(bucket_count(&h.w) == n);
    faultstore_calm(h.w.fault[0]);
    world_run(&h.w, 120 * SECOND);
    T(work(&h, WR_WORK_SNAPSHOT) == 41);
    world_check(&h.w, 0);
    world_close(&h.w);
}

T_MAIN(T_TEST(test_a_snapshot_on_demand), T_TEST(test_who_asks_waited_for_the_sync_interval),
    T_TEST(test_a_snapshot_where_none_is_scheduled),
    T_TEST(test_a_snapshot_that_was_deleted_was_said_to_be_there),
    T_TEST(test_a_snapshot_that_was_damaged_was_said_to_be_there),
    T_TEST(test_a_snapshot_that_cannot_be_looked_at_was_said_to_be_there),
    T_TEST(test_what_a_look_at_a_snapshot_costs), T_TEST(test_who_asks_later_gets_what_is_later),
    T_TEST(test_a_failure_is_told), T_TEST(test_retention_that_fails_is_told),
    T_TEST(test_a_replica_that_is_out_of_reach), T_TEST(test_nothing_to_work_on),
    T_TEST(test_who_asks_does_not_wait), T_TEST(test_a_replica_that_has_stopped),
    T_TEST(test_a_replica_that_stopped_in_the_middle_did_not_say_why),
    T_TEST(test_a_snapshot_of_another_history_is_none), T_TEST(test_numbers_begin_anew),
    T_TEST(test_levels_come_of_many_short_runs), T_TEST(test_levels_go_on_after_an_older_version),
    T_TEST(test_a_short_run_makes_the_snapshot_that_is_due),
    T_TEST(test_retention_of_many_short_runs),
    T_TEST(test_nothing_is_deleted_where_something_is_wrong))
