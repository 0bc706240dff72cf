/*
 * test_primary_shared.c - replicas that somebody else writes to, or takes from, or has made:
 * nothing is overwritten, nobody stays in the dark, and what is restored is one database.
 */
#include "harness/engine_world.h"

#include "base/mem.h"
#include "engine/layout.h"
#include "engine/primary_int.h"
#include "storage/drivers.h"
#include "unit/engine/world_bucket.h"

#include <sys/stat.h>
#include <unistd.h>

#define SECOND ((int64_t)1000000000)
#define MINUTE (60 * SECOND)
#define NAME   64 /* bytes of a key */

static struct wr_replica_status replica(struct world *w)
{
    struct wr_replica_status r;
    struct wr_str name;

    wr_db_replica_status(w->db, 0, &r, &name);
    return r;
}

static struct wr_db_status status(struct world *w)
{
    struct wr_db_status s;

    wr_db_status(w->db, &s);
    return s;
}

static bool stopped(struct world *w, const char *why)
{
    struct wr_replica_status r = replica(w);

    return r.state == WR_REPLICA_STOPPED && r.error == WR_CONFLICT &&
           strstr(world_replica_error(w->db, 0), why);
}

/* ---- the bucket ---- */

/* The second half of every file of the bucket, its trailer with it. */
static void damage_all(struct world *w)
{
    struct wr_ltx_files files = bucket_list(w);

    for (size_t i = 0; i < files.n; i++) {
        struct object o = bucket_get(w, &files.p[i]);

        memset(o.body + o.is.size / 2, 0xa5, (size_t)(o.is.size - o.is.size / 2));
        bucket_put(w, &o);
    }
    wr_ltx_files_release(&files);
}

/* ---- databases ---- */

/* Of some 60 pages. */
static void made_with(struct world *w, void (*arm)(struct world *w, struct faultstore *f))
{
    world_open(w, 1);
    w->arm = arm;
    w->interval_ns = SECOND;
    world_app(w);
    world_sql(w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(x) AS (SELECT 1 "
                 "UNION ALL SELECT x+1 FROM c WHERE x<60) INSERT INTO t SELECT x, "
                 "randomblob(3000) FROM c");
    world_start(w);
    assert_int_equal(world_sync(w), 1);
}

static void made(struct world *w)
{
    made_with(w, NULL);
}

static void change(struct world *w)
{
    world_sql(w, "UPDATE t SET b=randomblob(3000) WHERE a=7");
}

/* Of a world that has none. */
static void share_bucket(struct world *w, struct world *from)
{
    w->n_buckets = 1;
    w->bucket[0] = wr_storage_mem_ref(from->bucket[0]);
}

/* A copy of the database of `from`, as of now, on the same bucket. */
static void cloned(struct world *w, struct world *from)
{
    struct wr_bytes image = world_image(from);

    T(image.n > 0);
    world_open(w, 0);
    share_bucket(w, from);
    w->interval_ns = SECOND;
    world_copy(t_path(from->dir, "image.db"), w->path);
    world_app(w);
}

static void no_faults_yet(struct world *w, struct faultstore *f)
{
    (void)w;
    (void)f;
}

/* Of a clone that was behind: from TXID 1 to 5 in one file. */
static void sent_as_one_file(struct world *w)
{
    w->arm = no_faults_yet;
    world_start(w);
    assert_int_equal(world_sync(w), 1); /* it is there already */
    faultstore_arm(w->fault[0], FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
    for (int i = 0; i < 4; i++) {
        change(w);
        world_run(w, 2 * SECOND);
    }
    T(status(w).txid == 5);
    world_stop(w);
    w->arm = NULL;
    world_start(w);
    assert_int_equal(world_sync(w), 5);
}

/* ---- two writers ---- */

/* No name of one was a name of the other. Both were told that all was well, and no restore worked.
 * The one that is ahead in the end goes on, with a snapshot; the other stops. */
static void test_two_writers_whose_names_differ(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++) {
        struct world a, b;
        struct wr_ltx_files files;
        int ahead = round & 1;

        made(&a);
        cloned(&b, &a);
        b.opts.adopt = (round & 2) != 0; /* which says nothing of rivals */
        sent_as_one_file(&b);            /* 2-5 */
        for (int i = 0; i < (ahead ? 7 : 2); i++) {
            change(&a); /* 2-2, 3-3 ... */
            (void)world_sync(&a);
        }
        files = bucket_list(&a);
        assert_int_equal(files.n, ahead ? 9 : 4);
        wr_ltx_files_release(&files);

        world_run(&a, 31 * MINUTE);
        change(&a);
        world_run(&a, 10 * SECOND);
        world_run(&b, 31 * MINUTE);
        change(&b);
        world_run(&b, 10 * SECOND);
        T(stopped(ahead ? &b : &a, "another process writes to this replica"));
        (void)world_sync(ahead ? &a : &b);
        world_check(ahead ? &a : &b, 0);
        world_close(&b);
        world_close(&a);
    }
}

/* The same, noticed by a start. */
static void test_files_of_two_writers_are_found_by_a_start(void **state)
{
    struct world a, b;

    (void)state;
    made(&a);
    cloned(&b, &a);
    sent_as_one_file(&b);
    for (int i = 0; i < 7; i++) {
        change(&a);
        (void)world_sync(&a);
    }
    world_stop(&a);
    world_start(&a);
    (void)world_sync(&a);
    world_check(&a, 0);
    T(replica(&a).pos.whole);
    world_close(&b);
    world_close(&a);
}

/* TXIDs 2 to 4 were sent by a process, and a power cut took the commits back; the files that end in
 * 2 and in 4 are yet to come. */
static void power_cut(struct world *w, struct object ret_late[2])
{
    char shm[600];

    made(w);
    world_app_close(w);
    world_stop(w);
    T(world_image(w).n > 0);
    world_copy(t_path(w->dir, "image.db"), t_path(w->dir, "then.db"));
    world_app(w);
    world_start(w);
    for (uint64_t txid = 2; txid <= 4; txid++) {
        change(w);
        assert_int_equal(world_sync(w), txid);
    }
    world_app_close(w);
    world_stop(w);
    ret_late[1] = bucket_under_way(w, 4);
    bucket_remove(w, &(struct wr_ltx_file){.min = 3, .max = 3});
    ret_late[0] = bucket_under_way(w, 2);
    (void)unlink(t_path(w->dir, ".app.db-weir/ledger"));
    (void)snprintf(shm, sizeof(shm), "%s-shm", w->path);
    (void)unlink(shm);
    (void)snprintf(shm, sizeof(shm), "%s-wal", w->path);
    (void)unlink(shm);
    world_copy(t_path(w->dir, "then.db"), w->path);
    world_app(w);
    world_start(w);
    assert_int_equal(world_sync(w), 1);
}

/* A process was killed when the store had its file, and the store had not yet put it in place; and
 * a power cut took back the commits that were in it. Its successor took that for a rival and
 * stopped. */
static void test_a_file_of_our_own_past_comes_late(void **state)
{
    struct world w;
    struct object late[2];

    (void)state;
    power_cut(&w, late);
    bucket_put(&w, &late[0]);
    wr_free(late[1].body);
    world_sql(&w, "UPDATE t SET b='x' WHERE a=9");
    assert_int_equal(world_sync(&w), 3);
    assert_int_equal(status(&w).full_sends, 1);
    world_check(&w, 0);
    world_close(&w);
}

/* Two such files in months stopped one that was alone with its replica. Two in an hour still do,
 * and so do two in a day in which not all of it was looked at. */
static void test_two_late_files_in_a_long_time_do_not_stop_it(void **state)
{
    static const int64_t pauses[] = {25 * 60 * MINUTE, 7 * 60 * MINUTE, 20 * MINUTE};

    (void)state;
    for (size_t i = 0; i < wr_countof(pauses); i++) {
        bool soon = i > 0;
        struct world w;
        struct object late[2];

        power_cut(&w, late);
        bucket_put(&w, &late[0]);
        world_sql(&w, "UPDATE t SET b='x' WHERE a=9");
        assert_int_equal(world_sync(&w), 3);
        world_run(&w, pauses[i]);
        bucket_put(&w, &late[1]);
        world_sql(&w, "UPDATE t SET b='y' WHERE a=9");
        world_run(&w, MINUTE);
        T(stopped(&w, "another process writes to this replica") == (soon != 0));
        if (!soon) {
            assert_int_equal(world_sync(&w), 5);
            assert_int_equal(status(&w).full_sends, 2);
            world_check(&w, 0);
        }
        world_close(&w);
    }
}

/* `b` is on a new machine, restored from what `a` has sent up to TXID 1; then TXID 2 of `a` comes.
 */
static void taken_over(struct world *a, struct world *b)
{
    struct object late;

    made(a);
    cloned(b, a);
    change(a);
    assert_int_equal(world_sync(a), 2);
    late = bucket_under_way(a, 2);
    world_start(b);
    assert_int_equal(world_sync(b), 1);
    bucket_put(a, &late);
    change(b);
    world_run(b, 30 * SECOND);
    T(replica(b).state != WR_REPLICA_STOPPED && replica(b).pos.txid == 2);
    T(replica(b).error == WR_BUSY &&
        strstr(world_replica_error(b->db, 0), "see whether it goes on"));
}

/* It stopped the new one for ever. */
static void test_a_late_file_of_a_dead_machine(void **state)
{
    struct world a, b;

    (void)state;
    taken_over(&a, &b);
    world_stop(&a); /* it was killed long ago */
    world_run(&b, 10 * MINUTE);
    assert_int_equal(world_sync(&b), 2 + (1 << 20));
    T(!replica(&b).failing && b.errors == 0);
    assert_int_equal(status(&b).full_sends, 1);
    world_check(&b, 0);
    world_run(&b, 31 * MINUTE);
    change(&b);
    (void)world_sync(&b);
    world_check(&b, 0);
    world_close(&b);
    world_close(&a);
}

static void test_a_machine_that_lives_is_found_by_waiting(void **state)
{
    struct world a, b;

    (void)state;
    taken_over(&a, &b);
    change(&a);
    assert_int_equal(world_sync(&a), 3);
    world_run(&b, 10 * MINUTE);
    T(stopped(&b, "another process writes to this replica"));
    world_check(&a, 0);
    world_close(&b);
    world_close(&a);
}

/* While it is silent it looks dead. When it goes on, one of the two is stopped, be the other one as
 * silent meanwhile or not. */
static void test_a_machine_that_rests_is_found_when_it_goes_on(void **state)
{
    (void)state;
    for (int silent = 0; silent < 2; silent++) {
        struct world a, b;

        taken_over(&a, &b);
        world_run(&b, 10 * MINUTE);
        assert_int_equal(world_sync(&b), 2 + (1 << 20));
        world_run(&a, 31 * MINUTE);
        change(&a);
        world_run(&a, 30 * SECOND);
        T(strstr(world_replica_error(a.db, 0), "see whether it goes on"));
        if (!silent) {
            change(&b);
            (void)world_sync(&b);
        }
        world_run(&a, 10 * MINUTE);
        T(stopped(&a, "another process writes to this replica") == !silent);
        if (silent) {
            (void)world_sync(&a);
            world_run(&b, 31 * MINUTE);
            change(&b);
            world_run(&b, 30 * SECOND);
            T(stopped(&b, "another process writes to this replica"));
        }
        world_check(silent ? &a : &b, 0);
        world_close(&b);
        world_close(&a);
    }
}

/* Requests of a killed process may arrive after its successor has listed: none may stand above what
 * that sends. */
static void test_a_new_history_begins_far_above(void **state)
{
    struct world w;
    char ledger[600];

    (void)state;
    made(&w);
    change(&w);
    assert_int_equal(world_sync(&w), 2);
    world_stop(&w);
    (void)snprintf(ledger, sizeof(ledger), "%s/.app.db-weir/ledger", w.dir);
    T(unlink(ledger) == 0);
    change(&w);
    world_start(&w);
    assert_int_equal(world_sync(&w), 2 + (1 << 20));
    change(&w);
    assert_int_equal(world_sync(&w), 3 + (1 << 20));
    assert_int_equal(status(&w).full_sends, 1);
    world_check(&w, 0);
    world_close(&w);
}

/* The snapshot that a predecessor sends to the emptied replica at TXID 5 is under way; that one's
 * machine is gone with all local state, and its successor began at TXID 1 again. */
static struct object late_snapshot(struct world *w)
{
    struct wr_ltx_files files;
    struct object late;

    made(w);
    for (int i = 0; i < 4; i++) {
        change(w);
        (void)world_sync(w);
    }
    world_stop(w);
    bucket_remove_all(w);
    world_start(w);
    assert_int_equal(world_sync(w), 5);
    world_stop(w);
    files = bucket_list(w);
    T(files.n == 1 && files.p[0].level == WR_LEVEL_SNAPSHOT);
    late = bucket_get(w, &files.p[0]);
    wr_ltx_files_release(&files);
    bucket_remove_all(w);
    T(unlink(t_path(w->dir, ".app.db-weir/ledger")) == 0);
    world_sql(w, "UPDATE t SET b='committed since' WHERE a BETWEEN 20 AND 40");
    world_start(w);
    assert_int_equal(world_sync(w), 1);
    for (int i = 0; i < 7; i++) {
        change(w);
        (void)world_sync(w);
    }
    return late;
}

static void lists_late(struct world *w, struct faultstore *f)
{
    (void)w;
    faultstore_lists_late(f);
}

/* It had signed, and its first file was not to be seen. Who began at TXID 1 without knowing of it
 * got a mixture when that came, or the dead one's state if it reached further. (Seed 909,400 of the
 * simulator.) Who knows that TXID goes on from it. */
static void test_the_first_file_of_a_dead_process_was_taken_for_ours(void **state)
{
    (void)state;
    for (int knows = 0; knows <= 1; knows++) {
        struct wr_ltx_file first = {.level = WR_LEVEL_SNAPSHOT, .min = 1, .max = 1};
        struct world w;
        struct wr_ltx_files all;
        struct object late;

        made_with(&w, lists_late);
        world_stop(&w);
        all = bucket_list(&w);
        T(all.n == 1 && wr_ltx_file_cmp(&all.p[0], &first) == 0);
        late = bucket_get(&w, &all.p[0]);
        wr_ltx_files_release(&all);
        bucket_remove_all(&w);
        if (!knows)
            world_lose_state(&w);
        change(&w);
        world_start(&w);
        assert_int_equal(world_sync(&w), knows ? 2 : 1 + (1 << 20));
        change(&w);
        (void)world_sync(&w);
        bucket_put(&w, &late);
        world_check(&w, 0);
        world_close(&w);
    }
}

/* All state was lost, and once more while the first file of a new history was under way: both gave
 * the same TXID away, and the late one went over the other. (Seed 939,572 of the simulator.) */
static void test_a_new_history_of_the_dead_was_begun_again(void **state)
{
    struct world w;
    struct wr_ltx_files all;
    struct object late = {0};

    (void)state;
    made_with(&w, lists_late);
    change(&w);
    assert_int_equal(world_sync(&w), 2);
    for (uint64_t lost = 1; lost <= 2; lost++) {
        world_stop(&w);
        if (lost == 2) {
            all = bucket_list(&w);
            for (size_t i = 0; i < all.n; i++) {
                if (all.p[i].max > 2)
                    late = bucket_get(&w, &all.p[i]);
            }
            wr_ltx_files_release(&all);
            bucket_remove(&w, &late.is);
        }
        world_lose_state(&w);
        change(&w);
        world_start(&w);
        assert_int_equal(world_sync(&w), 2 + (lost << 20));
    }
    bucket_put(&w, &late);
    world_check(&w, 0);
    world_close(&w);
}

/* It lies within what its successor sent instead, by the same history or behind a leap. The newest
 * state was right, and a snapshot of everything was sent all the same. */
static void test_a_late_file_within_ours_costs_no_snapshot(void **state)
{
    (void)state;
    for (int leap = 0; leap < 2; leap++) {
        struct world w;
        struct object late;

        made(&w);
        world_stop(&w);
        w.arm = no_faults_yet;
        world_start(&w);
        assert_int_equal(world_sync(&w), 1);
        if (!leap)
            faultstore_arm(w.fault[0], FAULT_AFTER, FAULT_ON_PUT, 1000, UINT64_MAX);
        change(&w);
        world_run(&w, SECOND);
        world_stop(&w); /* killed, without an answer */
        w.arm = NULL;
        late = bucket_under_way(&w, 2);
        if (leap)
            T(unlink(t_path(w.dir, ".app.db-weir/ledger")) == 0);
        change(&w);
        world_start(&w);
        assert_int_equal(world_sync(&w), leap ? 1 + (1 << 20) : 3);
        bucket_put(&w, &late);
        for (int i = 0; i < 3; i++) {
            world_run(&w, i ? 31 * MINUTE : 2 * MINUTE);
            change(&w);
            (void)world_sync(&w);
        }
        assert_int_equal(bucket_count_level(&w, WR_LEVEL_SNAPSHOT, NULL),
            1 + leap); /* a new history begins with one */
        T(w.errors == 0 && !strstr(w.warning, "not sent from here"));
        world_check(&w, 0);
        world_close(&w);
    }
}

/* What was restored began with it, and had ours on top: pages of two histories. No look and no
 * start noticed, as the newest TXID was ours. */
static void test_a_late_snapshot_with_a_lower_txid(void **state)
{
    (void)state;
    for (int restart = 0; restart < 2; restart++) {
        struct world w;
        struct object late = late_snapshot(&w);

        bucket_put(&w, &late);
        if (restart) {
            world_stop(&w);
            world_start(&w);
        } else {
            world_run(&w, 31 * MINUTE);
        }
        change(&w);
        (void)world_sync(&w);
        world_run(&w, 10 * SECOND);
        assert_int_equal(bucket_count_level(&w, WR_LEVEL_SNAPSHOT, NULL), 3);
        T(replica(&w).pos.whole && replica(&w).state != WR_REPLICA_STOPPED);
        world_check(&w, 0);
        world_close(&w);
    }
}

/* ---- what is gone ---- */

/* Acknowledged for ever, and not to be restored. */
static void test_a_replica_is_emptied_under_us(void **state)
{
    struct world w;

    (void)state;
    made(&w);
    bucket_remove_all(&w);
    change(&w);
    assert_int_equal(world_sync(&w), 2); /* nothing shows it yet */
    world_run(&w, 31 * MINUTE);
    change(&w);
    (void)world_sync(&w);
    world_run(&w, 10 * SECOND);
    world_check(&w, 0);
    world_close(&w);
}

static void remove_some(struct world *w, unsigned level, uint64_t below)
{
    struct wr_ltx_files files = bucket_list(w);

    for (size_t i = 0; i < files.n; i++) {
        if (files.p[i].level == level && files.p[i].max < below)
            bucket_remove(w, &files.p[i]);
    }
    wr_ltx_files_release(&files);
}

/* A rule of the bucket expires what is old: the snapshot, and the first changes. What came after
 * two looks was acknowledged for ever. */
static void test_the_beginning_of_a_live_replica_expires(void **state)
{
    (void)state;
    for (int what = 0; what < 3; what++) {
        struct world w;

        made(&w);
        for (int i = 0; i < 4; i++) {
            world_run(&w, 31 * MINUTE);
            change(&w);
            (void)world_sync(&w);
        }
        if (what != 1)
            remove_some(&w, WR_LEVEL_SNAPSHOT, UINT64_MAX);
        if (what != 0)
            remove_some(&w, 0, 3);
        for (int i = 0; i < 2; i++) {
            world_run(&w, 31 * MINUTE);
            change(&w);
            (void)world_sync(&w);
        }
        T(strstr(w.warning, "no whole chain") && w.warnings == 2 && w.errors == 0);
        T(replica(&w).state != WR_REPLICA_STOPPED);
        world_check(&w, 0);
        world_close(&w);
    }
}

/* A snapshot that was sent because the beginning was gone, of the newest TXID, rots later. The next
 * one had its name, in which it was found to be in its own way, and the replica stopped for good.
 */
static void test_a_snapshot_of_the_newest_txid_rots(void **state)
{
    (void)state;
    for (int live = 0; live < 2; live++) {
        struct world w;
        struct wr_ltx_files files;

        made(&w);
        change(&w);
        assert_int_equal(world_sync(&w), 2);
        remove_some(&w, WR_LEVEL_SNAPSHOT, UINT64_MAX);
        world_stop(&w);
        world_start(&w);
        assert_int_equal(world_sync(&w), 2);
        files = bucket_list(&w);
        for (size_t i = 0; i < files.n; i++) {
            if (files.p[i].level == WR_LEVEL_SNAPSHOT && files.p[i].max == 2) {
                struct object o = bucket_get(&w, &files.p[i]);

                memset(o.body, 0xa5, 100);
                bucket_put(&w, &o);
            }
        }
        wr_ltx_files_release(&files);
        if (live) {
            world_run(&w, 7 * 60 * MINUTE);
        } else {
            world_stop(&w);
            world_start(&w);
        }
        world_run(&w, 10 * MINUTE);
        change(&w);
        (void)world_sync(&w);
        world_run(&w, 10 * MINUTE);
        T(replica(&w).state != WR_REPLICA_STOPPED);
        world_check(&w, 0);
        world_close(&w);
    }
}

/* The headers of all files that end above `txid`. */
static void behead_above(struct world *w, uint64_t txid)
{
    struct wr_ltx_files files = bucket_list(w);

    for (size_t i = 0; i < files.n; i++) {
        if (files.p[i].max > txid) {
            struct object o = bucket_get(w, &files.p[i]);

            memset(o.body, 0xa5, 100);
            bucket_put(w, &o);
        }
    }
    wr_ltx_files_release(&files);
}

/* Nothing was sent any more until somebody deleted the newest file: its header was damaged, so that
 * nobody knew what follows it. What the one before it says is known here. */
static void test_the_newest_header_is_damaged(void **state)
{
    (void)state;
    for (int how = 0; how < 2; how++) { /* at a look, and at a start */
        struct world w;
        size_t n;

        made(&w);
        for (uint64_t txid = 2; txid <= 4; txid++) {
            change(&w);
            assert_int_equal(world_sync(&w), txid);
        }
        behead_above(&w, 2);
        n = bucket_count(&w);
        if (how > 0)
            world_stop(&w);
        if (how > 0)
            world_start(&w);
        else
            world_run(&w, 7 * 60 * MINUTE);
        if (how == 0)
            change(&w);
        world_run(&w, 2 * MINUTE);
        T(world_sync(&w) > 4);
        T(replica(&w).state != WR_REPLICA_STOPPED && !replica(&w).failing);
        T(bucket_count(&w) >= n + 1); /* and nothing was written over */
        assert_int_equal(status(&w).full_sends, 0);
        world_check(&w, 0);
        change(&w);
        (void)world_sync(&w);
        world_check(&w, 0);
        world_close(&w);
    }
}

/* While there is no bucket it is looked for again: the next one of that name is empty. */
static void test_the_bucket_is_deleted_and_made_anew(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    w.arm = no_faults_yet;
    w.interval_ns = SECOND;
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(7, 1)");
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    bucket_remove_all(&w);
    faultstore_arm(w.fault[0], FAULT_GONE, FAULT_ON_ALL, 1000, UINT64_MAX);
    change(&w);
    world_run(&w, 10 * SECOND);
    T(replica(&w).failing);
    faultstore_calm(w.fault[0]);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

/* ---- whose it is ---- */

/* Forty tables, most of them empty, and a few rows of its own. */
static void tenant(struct world *w, size_t buckets)
{
    world_open(w, buckets);
    world_app(w);
    for (int i = 0; i < 40; i++) {
        char sql[200];

        (void)snprintf(sql, sizeof(sql),
            "CREATE TABLE t%d(a INTEGER PRIMARY KEY, some_column_with_a_name, b UNIQUE)", i);
        world_sql(w, sql);
        if (i < 5) {
            (void)snprintf(sql, sizeof(sql),
                "INSERT INTO t%d(b) VALUES(hex(randomblob(99))), (hex(randomblob(99)))", i);
            world_sql(w, sql);
        }
    }
}

/* Each took the other's replica over, with a warning. */
static void test_databases_of_one_program(void **state)
{
    struct world a, b;
    size_t n;

    (void)state;
    tenant(&a, 1);
    world_start(&a);
    (void)world_sync(&a);
    world_stop(&a);
    n = bucket_count(&a);
    tenant(&b, 0);
    share_bucket(&b, &a);
    world_start(&b);
    world_run(&b, MINUTE);
    T(stopped(&b, "holds another database"));
    assert_int_equal(bucket_count(&a), n);
    world_check(&a, 0);
    world_close(&b);
    world_close(&a);
}

/* Restored on another machine; then the application ran before we did, and changed one row of two:
 * that was another database. */
static void test_a_small_database_restored_elsewhere(void **state)
{
    struct world a, b;

    (void)state;
    world_open(&a, 1);
    world_app(&a);
    world_sql(&a, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'one')");
    world_start(&a);
    (void)world_sync(&a);
    world_stop(&a);
    cloned(&b, &a);
    world_sql(&b, "INSERT INTO t VALUES(2, 'two')");
    world_start(&b);
    (void)world_sync(&b);
    world_check(&b, 0);
    world_close(&b);
    world_close(&a);
}

/* Until its pages came back, in the step that was to join, it was another database, which takes no
 * TXID: so it was given the next one, too low to go on behind what the replica has. */
static void test_what_it_turns_out_to_be_needs_a_higher_txid(void **state)
{
    struct world a, b;

    (void)state;
    made(&a);
    world_stop(&a);
    cloned(&b, &a);
    world_sql(&b, "CREATE TEMP TABLE was AS SELECT * FROM t; UPDATE t SET b=randomblob(3000)");
    world_start(&b);
    for (int i = 0; i < 1000 && !(replica(&b).sampled && replica(&b).state == WR_REPLICA_READY);
         i++)
        (void)world_pass(&b, 0, 1);
    T(replica(&b).sampled && !stopped(&b, ""));
    world_sql(&b, "UPDATE t SET b=(SELECT b FROM was WHERE was.a=t.a)");
    world_run(&b, SECOND); /* and not with the next look, once a minute */
    T(replica(&b).pos.txid > WR_TXID_LEAP && status(&b).full_sends == 1);
    world_check(&b, 0);
    world_close(&b);
    world_close(&a);
}

/* With all that is beside it, as `cp -r` does. */
static void cloned_with_state(struct world *w, struct world *from)
{
    static const char *const names[] = {"ledger", "journal.0", "journal.1", "node"};

    cloned(w, from);
    T(mkdir(t_path(w->dir, ".app.db-weir"), 0700) == 0);
    for (size_t i = 0; i < wr_countof(names); i++) {
        const char *path = t_path(t_path(from->dir, ".app.db-weir"), names[i]);

        if (access(path, F_OK) == 0)
            world_copy(path, t_path(t_path(w->dir, ".app.db-weir"), names[i]));
    }
}

/* A template was copied with its local state, by which the files of the original were the copy's
 * own: what became of it took the replica over. */
static void test_copied_local_state_makes_no_owner(void **state)
{
    struct world a, b;
    size_t n;

    (void)state;
    made(&a);
    world_stop(&a);
    cloned_with_state(&b, &a);
    world_sql(&a, "UPDATE t SET b=randomblob(3000)");
    world_start(&a);
    assert_int_equal(world_sync(&a), 2);
    world_stop(&a);
    n = bucket_count(&a);
    world_sql(&b, "UPDATE t SET b=randomblob(3000)");
    world_start(&b);
    world_run(&b, MINUTE);
    T(stopped(&b, "holds another database"));
    assert_int_equal(bucket_count(&a), n);
    world_check(&a, 0);
    world_close(&b);
    world_close(&a);
}

/* And one that was moved goes on where it was: by the ledger, or without one by its pages. */
static void test_a_database_that_was_moved_goes_on(void **state)
{
    (void)state;
    for (int lost = 0; lost < 2; lost++) {
        struct world a, b;
        struct wr_db_status s;

        made(&a);
        world_stop(&a);
        cloned_with_state(&b, &a);
        if (lost)
            T(unlink(t_path(b.dir, ".app.db-weir/ledger")) == 0);
        change(&b);
        world_start(&b);
        (void)world_sync(&b);
        world_check(&b, 0);
        wr_db_status(b.db, &s);
        assert_int_equal(s.full_sends, lost);
        world_close(&b);
        world_close(&a);
    }
}

/* And when nothing shows that it is the same, it can be said. */
static void test_a_replica_is_adopted(void **state)
{
    (void)state;
    for (int damaged = 0; damaged < 2; damaged++) {
        struct world a, b;

        made(&a);
        world_stop(&a);
        if (damaged)
            damage_all(&a);
        tenant(&b, 0);
        share_bucket(&b, &a);
        b.opts.adopt = true;
        world_start(&b);
        (void)world_sync(&b);
        world_check(&b, 0);
        if (!damaged)
            T(world_restore(&b, 0, 1).n == world_image(&a).n); /* the past stays */
        world_close(&b);
        world_close(&a);
    }
}

/* Half of its pages are enough of a larger one. */
static void test_a_database_restored_elsewhere_that_changed(void **state)
{
    (void)state;
    for (int much = 0; much < 2; much++) {
        struct world a, b;

        made(&a);
        world_stop(&a);
        cloned(&b, &a);
        world_sql(&b, much ? "UPDATE t SET b=randomblob(3000) WHERE a%5<3"
                           : "UPDATE t SET b=randomblob(3000) WHERE a%5<2");
        world_start(&b);
        world_run(&b, MINUTE);
        T(stopped(&b, "holds another database") == much);
        world_check(much ? &a : &b, 0);
        world_close(&b);
        world_close(&a);
    }
}

/* Small ones, too, and where neither has a row. */
static void test_databases_of_two_programs(void **state)
{
    static const int rows[] = {0, 1, 5, 60};

    (void)state;
    for (size_t i = 0; i < 16; i++) {
        struct world a, b;
        char sql[200];

        world_open(&a, 1);
        world_app(&a);
        world_sql(&a, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
        (void)snprintf(sql, sizeof(sql),
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) INSERT INTO t SELECT x, "
            "randomblob(3000) FROM c LIMIT %d",
            rows[i / 4]);
        world_sql(&a, sql);
        world_start(&a);
        (void)world_sync(&a);
        world_stop(&a);
        world_open(&b, 0);
        share_bucket(&b, &a);
        world_app(&b);
        world_sql(&b, "CREATE TABLE u(a INTEGER PRIMARY KEY, c, d)");
        (void)snprintf(sql, sizeof(sql),
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) INSERT INTO u SELECT x, "
            "1, randomblob(3000) FROM c LIMIT %d",
            rows[i % 4]);
        world_sql(&b, sql);
        world_start(&b);
        world_run(&b, MINUTE);
        T(stopped(&b, "holds another database"));
        assert_int_equal(bucket_count(&a), 1);
        world_close(&b);
        world_close(&a);
    }
}

/* Whose they are was not asked any more when they were damaged, or when some were gone. */
static void test_damaged_files_of_somebody_else(void **state)
{
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        struct world a, b;
        struct wr_ltx_files files;
        size_t n;

        made(&a);
        change(&a);
        (void)world_sync(&a);
        world_stop(&a);
        files = bucket_list(&a);
        assert_int_equal(files.n, 2);
        if (gone)
            bucket_remove(&a, &files.p[1]);
        else
            damage_all(&a);
        wr_ltx_files_release(&files);
        n = bucket_count(&a);
        tenant(&b, 0);
        share_bucket(&b, &a);
        world_start(&b);
        world_run(&b, 2 * MINUTE);
        T(stopped(&b, "does not tell whether"));
        assert_int_equal(bucket_count(&a), n);
        world_close(&b);

        world_start(&a); /* whose it is: it goes on */
        (void)world_sync(&a);
        if (gone)
            world_check(&a, 0);
        world_close(&a);
    }
}

/* Somebody else had been told that the replica is his. Once both of his files were damaged, the
 * first owner went on above them. */
static void test_what_is_damaged_was_never_given_away_here(void **state)
{
    struct world a, b;
    size_t n;

    (void)state;
    made(&a);
    change(&a);
    assert_int_equal(world_sync(&a), 2);
    world_stop(&a);
    tenant(&b, 0);
    share_bucket(&b, &a);
    b.opts.adopt = true;
    world_start(&b);
    (void)world_sync(&b);
    world_sql(&b, "INSERT INTO t7(b) VALUES(1)");
    (void)world_sync(&b);
    world_close(&b);
    behead_above(&a, 2);
    n = bucket_count(&a);
    change(&a);
    world_start(&a);
    world_run(&a, 5 * MINUTE);
    T(stopped(&a, "does not tell whether"));
    assert_int_equal(bucket_count(&a), n);
    world_close(&a);
}

/* And who does not know the one before it stops. */
static void test_the_newest_header_of_somebody_else_is_damaged(void **state)
{
    struct world a, b;
    size_t n;

    (void)state;
    made(&a);
    change(&a);
    (void)world_sync(&a);
    change(&a);
    (void)world_sync(&a);
    world_stop(&a);
    behead_above(&a, 2);
    n = bucket_count(&a);
    tenant(&b, 0);
    share_bucket(&b, &a);
    world_start(&b);
    world_run(&b, 5 * MINUTE);
    T(stopped(&b, "does not tell whether"));
    assert_int_equal(bucket_count(&a), n);
    world_close(&b);
    world_close(&a);
}

static void count_gets(struct world *w, struct faultstore *f)
{
    (void)w;
    faultstore_arm(f, FAULT_DELAY, FAULT_ON_GET, 1000, UINT64_MAX);
}

/* All of them were asked for their pages, to learn what nobody wanted to know; and that they are
 * damaged does not matter to one who builds nothing on them. */
static void test_our_own_files_are_not_read(void **state)
{
    struct world w;

    (void)state;
    made(&w);
    change(&w);
    (void)world_sync(&w);
    world_stop(&w);
    damage_all(&w);
    T(unlink(t_path(w.dir, ".app.db-weir/ledger")) == 0);
    change(&w);
    w.arm = count_gets;
    world_start(&w);
    (void)world_sync(&w);
    /* The headers of the newest and of the first, for both listings; and who holds the lease, as
     * what was sent has not the name that came next. */
    assert_int_equal(faultstore_fired(w.fault[0], FAULT_DELAY), 3);
    world_check(&w, 0);
    world_close(&w);
}

/* And one bad answer is no damage. */
static void test_one_bad_answer_is_no_damage(void **state)
{
    struct world a, b;

    (void)state;
    made(&a);
    world_stop(&a);
    tenant(&b, 0);
    share_bucket(&b, &a);
    b.arm = no_faults_yet;
    world_start(&b);
    faultstore_arm(b.fault[0], FAULT_SHORT_GET, FAULT_ON_ALL, 1000, 1);
    world_run(&b, MINUTE);
    T(stopped(&b, "holds another database"));
    world_close(&b);
    world_close(&a);
}

T_MAIN(T_TEST(test_two_writers_whose_names_differ),
    T_TEST(test_files_of_two_writers_are_found_by_a_start),
    T_TEST(test_a_file_of_our_own_past_comes_late),
    T_TEST(test_two_late_files_in_a_long_time_do_not_stop_it),
    T_TEST(test_a_late_file_of_a_dead_machine),
    T_TEST(test_a_machine_that_lives_is_found_by_waiting),
    T_TEST(test_a_machine_that_rests_is_found_when_it_goes_on),
    T_TEST(test_a_new_history_begins_far_above),
    T_TEST(test_a_late_file_within_ours_costs_no_snapshot),
    T_TEST(test_the_first_file_of_a_dead_process_was_taken_for_ours),
    T_TEST(test_a_new_history_of_the_dead_was_begun_again),
    T_TEST(test_a_late_snapshot_with_a_lower_txid), T_TEST(test_a_replica_is_emptied_under_us),
    T_TEST(test_the_beginning_of_a_live_replica_expires),
    T_TEST(test_a_snapshot_of_the_newest_txid_rots), T_TEST(test_the_newest_header_is_damaged),
    T_TEST(test_what_is_damaged_was_never_given_away_here),
    T_TEST(test_the_newest_header_of_somebody_else_is_damaged),
    T_TEST(test_the_bucket_is_deleted_and_made_anew), T_TEST(test_databases_of_one_program),
    T_TEST(test_a_small_database_restored_elsewhere),
    T_TEST(test_what_it_turns_out_to_be_needs_a_higher_txid), T_TEST(test_a_replica_is_adopted),
    T_TEST(test_copied_local_state_makes_no_owner), T_TEST(test_a_database_that_was_moved_goes_on),
    T_TEST(test_a_database_restored_elsewhere_that_changed), T_TEST(test_databases_of_two_programs),
    T_TEST(test_damaged_files_of_somebody_else), T_TEST(test_our_own_files_are_not_read),
    T_TEST(test_one_bad_answer_is_no_damage))
