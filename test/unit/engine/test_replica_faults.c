/*
 * test_replica_faults.c - a replica whose store fails: backoff on virtual time, answers that get
 * lost, another writer in the way, and everything at once.
 */
#include "engine/frozen.h"
#include "fake/faultstore.h"
#include "unit/engine/live_db.h"
#include "unit/engine/replica_bench.h"

static int64_t tries[64];
static size_t n_tries;

static void note_try(void *arg, struct wr_call *c, struct wr_str key)
{
    struct bench *b = arg;

    (void)c;
    (void)key;
    if (n_tries < wr_countof(tries))
        tries[n_tries++] = b->clock.mono_now_ns / MS;
}

static void check_backoff(void)
{
    int64_t longest = 0;

    T(n_tries > 10 && n_tries < wr_countof(tries));
    for (size_t i = 1; i < n_tries; i++) {
        int64_t gap = tries[i] - tries[i - 1];
        int64_t bound = wr_min((int64_t)500 << wr_min(i, (size_t)10), (int64_t)60000);

        T(gap >= bound / 4 && gap <= bound);
        longest = wr_max(longest, gap);
    }
    T(longest > 20000);
}

static void test_backoff_grows_and_ends_with_success(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    start(&b);
    b.spy.in_put = note_try;
    b.spy.arg = &b;
    b.spy.fail_put = WR_IO; /* not even transient ones are given up */
    n_tries = 0;
    push(&b, 1);
    push(&b, 2);
    run(&b, 900000);
    check_backoff();
    T(status(&b).failing && status(&b).error == WR_IO && status(&b).state == WR_REPLICA_READY);
    T(strstr(why(&b), "spy: input/output error") != NULL);
    T(status(&b).queued == 2 && status(&b).pos.txid == 0);
    T(status(&b).lag_ms == 900000);
    T(status(&b).last_ok_ms == WALL);
    b.spy.fail_put = WR_OK;
    run(&b, 60000);
    T(!status(&b).failing && status(&b).error == WR_OK && why(&b)[0] == '\0');
    T(status(&b).pos.txid == 2 && status(&b).lag_ms == 0 && status(&b).last_ok_ms > WALL);
    T(b.spy.puts == n_tries);

    /* The next failure starts with a short wait again. */
    n_tries = 0;
    b.spy.fail_put = WR_BUSY;
    push(&b, 3);
    run(&b, 1500);
    T(n_tries >= 2);
    bench_close(&b);
}

static void test_listing_is_retried(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    b.spy.fail_list = WR_AUTH;
    wr_replica_start(b.r);
    run(&b, 300000);
    T(status(&b).state == WR_REPLICA_UNKNOWN && status(&b).found == 0);
    T(status(&b).failing && status(&b).error == WR_AUTH && b.spy.lists > 5 && b.spy.lists < 60);
    b.spy.fail_list = WR_OK;
    run(&b, 60000);
    T(status(&b).state == WR_REPLICA_READY && status(&b).found == 1 && !status(&b).failing);
    bench_close(&b);
}

static void test_what_was_not_queued_was_no_lag(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    b.spy.fail_list = WR_IO; /* so that nothing is ever queued */
    wr_replica_start(b.r);
    run(&b, 60000);
    T(status(&b).lag_ms == 0);
    wr_replica_lacks(b.r, WALL + 60000);
    run(&b, 240000);
    wr_replica_lacks(b.r, WALL + 300000);
    T(status(&b).lag_ms == 240000);
    b.spy.fail_list = WR_OK;
    run(&b, 60000);
    T(status(&b).state == WR_REPLICA_READY);
    push(&b, 1);
    run(&b, 0);
    T(status(&b).pos.txid == 1 && status(&b).lag_ms == 0);

    b.spy.fail_put = b.spy.fail_list = WR_IO;
    push(&b, 2);
    run(&b, 20000);
    push(&b, 3);
    T(status(&b).lag_ms == 20000);
    wr_replica_rejoin(b.r, "too many files wait for it");
    T(status(&b).queued == 0 && status(&b).lag_ms == 20000);
    run(&b, 400000);
    T(status(&b).failing && status(&b).lag_ms == 420000);

    b.spy.fail_put = b.spy.fail_list = WR_OK;
    run(&b, 60000);
    T(status(&b).state == WR_REPLICA_READY && status(&b).pos.txid == 1);
    T(status(&b).lag_ms == 480000); /* until it gets what it lacks, ... */
    push(&b, 2);
    run(&b, 0);
    T(status(&b).lag_ms == 0);
    wr_replica_rejoin(b.r, "to look");
    run(&b, 60000);
    T(status(&b).lag_ms == 0);
    wr_replica_lacks(b.r, wr_wall_ms(&b.clock.clock));
    run(&b, 60000);
    T(status(&b).lag_ms == 60000);
    wr_replica_lacks_nothing(b.r); /* ... or turns out to have it */
    T(status(&b).lag_ms == 0);
    bench_close(&b);
}

static void test_lost_answer_is_no_conflict(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    start(&b);
    b.spy.after_put = WR_TIMEOUT; /* it is there, but nobody says so */
    push(&b, 1);
    run(&b, 0);
    T(status(&b).failing && status(&b).pos.txid == 0 && in_bucket(&b, 1));
    b.spy.after_put = WR_OK;
    b.spy.fail_get = WR_TIMEOUT; /* and cannot be compared at first */
    run(&b, 10000);
    T(status(&b).failing && status(&b).error == WR_BUSY && status(&b).pos.txid == 0);
    T(strstr(why(&b), "compare with the object that is there") != NULL);
    T(status(&b).queued == 1);
    b.spy.fail_get = WR_OK;
    run(&b, 60000);
    T(status(&b).pos.txid == 1 && !status(&b).failing && !status(&b).contested);
    T(status(&b).found == 1 && status(&b).queued == 0);
    bench_close(&b);
}

/* A look came before the second attempt, found the file, and took it for a stranger's: what waited
 * was thrown away, and a warning said so. */
static void test_a_lost_answer_is_no_stranger_to_a_look(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    put_rival(&b, 1);
    start(&b);
    run(&b, (int64_t)30 * 60 * 1000 - 100);
    b.spy.after_put = WR_TIMEOUT;
    push(&b, 2);
    push(&b, 3);
    run(&b, 0);
    T(status(&b).failing && status(&b).pos.txid == 1 && in_bucket(&b, 2));
    b.spy.after_put = WR_OK;
    b.spy.lists = 0;
    run(&b, 60000);
    T(b.spy.lists > 0 && status(&b).found == 1 && !status(&b).contested);
    T(status(&b).pos.txid == 3 && status(&b).queued == 0 && !status(&b).failing);
    bench_close(&b);
}

static void test_another_writers_object(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    start(&b);
    push(&b, 1);
    run(&b, 0);
    put_rival(&b, 2);
    push(&b, 2);
    push(&b, 3);
    run(&b, 0);
    /* Nothing is overwritten; what was queued is void, for it builds on our own TXID 2. */
    T(!in_bucket(&b, 2) && status(&b).state == WR_REPLICA_UNKNOWN && status(&b).contested);
    T(status(&b).queued == 0 && status(&b).failing && status(&b).error == WR_CONFLICT);
    T(strstr(why(&b), "another process writes to this replica") != NULL);
    run(&b, 5000);
    T(status(&b).state == WR_REPLICA_READY && status(&b).found == 2 && status(&b).contested);
    T(status(&b).pos.txid == 2 && b.spy.puts == 3); /* 1, the sign, 2 */
    push(&b, 3);
    run(&b, 0);
    T(status(&b).pos.txid == 3 && in_bucket(&b, 3));
    T(!status(&b).contested && !status(&b).failing); /* it is behind us */
    bench_close(&b);
}

static struct wr_parcel *streamed(struct live *l, uint64_t txid)
{
    struct wr_ltx_header h = {.page_size = l->view.page_size,
        .commit = l->view.commit,
        .min_txid = 1,
        .max_txid = txid,
        .time_ms = WALL};
    struct wr_parcel *p = NULL;
    struct wr_frozen *frozen = NULL;
    struct wr_err e = {0};

    T_OK(wr_parcel_new(wr_fs_posix(), &h, WR_LEVEL_SNAPSHOT, LIVE_LOCK, &p, &e));
    T_OK(wr_frozen_new(wr_fs_posix(), l->dir, &l->view, &frozen, &e));
    wr_parcel_stream(p, frozen, NULL, 0, live_sum(l, NULL, 0));
    return p;
}

static void test_failed_stream_is_looked_for(void **state)
{
    struct bench b;
    struct live l;
    struct wr_parcel *p;

    (void)state;
    live_open(&l, 4096);
    live_write(&l, 90000);
    live_look(&l);
    bench_open(&b);
    start(&b);
    b.spy.fail_put = WR_IO;
    p = streamed(&l, 4);
    (void)wr_replica_push(b.r, p, status(&b).found);
    push(&b, 5);
    T(status(&b).queued == 2);
    run(&b, 0);
    T(status(&b).state == WR_REPLICA_UNKNOWN && status(&b).queued == 0 && !status(&b).contested);
    T(wr_parcel_alone(p)); /* nobody reads the database any more */
    b.spy.fail_put = WR_OK;
    run(&b, 10000);
    T(status(&b).state == WR_REPLICA_READY && status(&b).found == 2);
    T(status(&b).failing); /* a listing that works does not make uploads work */
    wr_parcel_unref(p);
    p = streamed(&l, 4);
    (void)wr_replica_push(b.r, p, status(&b).found);
    run(&b, 0);
    T(status(&b).pos.txid == 4 && !status(&b).failing && wr_parcel_alone(p));

    /* It arrived, but the answer got lost: the listing finds it. */
    wr_parcel_unref(p);
    p = streamed(&l, 6);
    b.spy.after_put = WR_TIMEOUT;
    (void)wr_replica_push(b.r, p, status(&b).found);
    run(&b, 10000);
    T(status(&b).state == WR_REPLICA_READY && status(&b).found == 3);
    T(status(&b).pos.txid == 6 && status(&b).queued == 0);

    /* The database is about to be detached. */
    b.spy.after_put = WR_OK;
    wr_parcel_unref(p);
    p = streamed(&l, 7);
    wr_frozen_stop(p->frozen);
    (void)wr_replica_push(b.r, p, status(&b).found);
    run(&b, 0);
    T(wr_parcel_alone(p) && status(&b).pos.txid == 6);
    wr_parcel_unref(p);
    bench_close(&b);
    live_close(&l);
}

/* ---- everything at once ---- */

/* A store that fails in every way there is; a sender that follows the rules. What is acknowledged
 * is always a prefix, and in the end everything is there, once and unchanged. */
static void test_prefix_under_random_faults(void **state)
{
    static const enum fault_kind kinds[] = {FAULT_BEFORE, FAULT_AFTER, FAULT_BUSY, FAULT_BROKEN,
        FAULT_DELAY, FAULT_CUT_LIST, FAULT_TWICE};
    struct bench b = {0};
    struct faultstore *f;
    struct wr_storage *s = NULL, *bucket = NULL;
    void *inner = NULL, *same;
    uint64_t pushed = 0, acked = 0;
    unsigned found = 0;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_storage_mem.open(NULL, &inner, &e));
    same = wr_storage_mem_ref(inner);
    T_OK(wr_storage_wrap(&wr_storage_mem, same, WR_STR(""), &bucket, &e));
    f = faultstore_new(&wr_storage_mem, inner, t_seed(), &b.clock);
    T(f != NULL);
    T_OK(wr_storage_wrap(faultstore_ops(f), f, WR_STR(""), &s, &e));
    wr_storage_set_retry(s, 1, 0);
    bench_with(&b, s);
    for (size_t i = 0; i < wr_countof(kinds); i++)
        faultstore_arm(/* of few listings few are cut */
            f, kinds[i], FAULT_ON_ALL, kinds[i] == FAULT_CUT_LIST ? 400 : 60, UINT64_MAX);
    wr_replica_start(b.r);
    for (int round = 0; round < 40000 && acked < 800; round++) {
        struct wr_replica_status st = status(&b);

        if (st.found != found) { /* where it stands is where we go on */
            found = st.found;
            T(st.pos.txid >= acked);
            pushed = st.pos.txid;
        }
        for (; acked < st.pos.txid; acked++)
            T(stored(bucket, acked + 1));
        T(!st.contested);
        if (st.state == WR_REPLICA_READY && st.queued < 5 && pushed < 800)
            push(&b, ++pushed);
        if (wr_rand_below(&b.rng, 50) == 0) {
            wr_replica_rejoin(b.r, "for the test");
            pushed = 0; /* set by the listing */
            found = status(&b).found;
        }
        run(&b, (int64_t)wr_rand_below(&b.rng, 2000));
    }
    T(acked == 800);
    for (size_t i = 0; i < wr_countof(kinds); i++)
        T(faultstore_fired(f, kinds[i]) > 0);
    wr_storage_close(bucket);
    bench_close(&b);
}

T_MAIN(T_TEST(test_backoff_grows_and_ends_with_success), T_TEST(test_listing_is_retried),
    T_TEST(test_what_was_not_queued_was_no_lag), T_TEST(test_lost_answer_is_no_conflict),
    T_TEST(test_a_lost_answer_is_no_stranger_to_a_look), T_TEST(test_another_writers_object),
    T_TEST(test_failed_stream_is_looked_for), T_TEST(test_prefix_under_random_faults))
