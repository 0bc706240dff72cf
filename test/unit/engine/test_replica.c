/*
 * test_replica.c - one replica on the manual scheduler: the order of files, what is acknowledged,
 * failures and their backoff on virtual time, and another writer in the way.
 */
#include "engine/replica.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/sync.h"
#include "engine/frozen.h"
#include "engine/layout.h"
#include "fake/faultstore.h"
#include "harness/ltx_util.h"
#include "unit/engine/live_db.h"
#include "unit/engine/spy_store.h"

#define MS   ((int64_t)1000000)
#define WALL INT64_C(1795373351761)

struct bench {
    struct wr_clock_manual clock;
    struct wr_sched *sched;
    struct wr_replica *r;
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_rand rng;
    unsigned notified;
};

static void on_change(void *arg)
{
    struct bench *b = arg;

    b->notified++;
}

static void bench_with(struct bench *b, struct wr_storage *storage)
{
    struct wr_sched_opts so = {.clock = &b->clock.clock, .manual = true};
    struct wr_replica_opts o = {.label = "app.db", .notify = on_change, .arg = b, .seed = t_seed()};
    struct wr_err e = {0};

    wr_clock_manual_init(&b->clock, WALL);
    wr_rand_init(&b->rng, t_seed());
    T_OK(wr_sched_new(&so, &b->sched, &e));
    o.sched = b->sched;
    T_OK(wr_replica_new(storage, &o, &b->r, &e));
}

static void bench_open(struct bench *b)
{
    *b = (struct bench){0};
    bench_with(b, spy_open(&b->spy, &b->ops));
}

static void bench_close(struct bench *b)
{
    wr_replica_free(b->r);
    wr_sched_free(b->sched);
}

/* Let `ms` of virtual time pass. */
static void run(struct bench *b, int64_t ms)
{
    int64_t end = b->clock.mono_now_ns + ms * MS;

    for (;;) {
        int64_t next = wr_sched_pump(b->sched, 1000);

        if (next == 0)
            continue;
        if (next > end)
            break;
        wr_clock_manual_advance(&b->clock, wr_max(next - b->clock.mono_now_ns, (int64_t)0));
    }
    wr_clock_manual_advance(&b->clock, wr_max(end - b->clock.mono_now_ns, (int64_t)0));
}

/* A file of two pages that say which TXID it is of; `twist` makes it another one. */
static struct wr_parcel *parcel(uint64_t txid, unsigned twist, int64_t time_ms)
{
    struct t_ltx m = {.page_size = 512, .commit = 3, .min = txid, .max = txid};
    struct wr_ltx_header h;
    struct wr_parcel *p = NULL;
    struct t_ltx_out o;
    struct wr_err e = {0};
    uint8_t page[512];

    memset(page, (int)(txid + twist), sizeof(page));
    m.time_ms = time_ms;
    m.rolling = txid > 1;
    if (m.rolling) {
        m.pre = (txid - 1) | WR_LTX_CHECKSUM_EMPTY;
        m.post = txid | WR_LTX_CHECKSUM_EMPTY;
    }
    t_ltx_set(&m, 1, page);
    t_ltx_set(&m, 2, page);
    if (txid == 1)
        t_ltx_set(&m, 3, page);
    t_ltx_out_init(&o);
    T_OK(t_ltx_write(&m, WR_LTX_LOCK_OFFSET, &o, &e));
    h = t_ltx_header(&m);
    T_OK(wr_parcel_new(wr_fs_posix(), &h, 0, WR_LTX_LOCK_OFFSET, &p, &e));
    wr_buf_put(&p->bytes, o.buf.p, o.buf.n);
    T(wr_buf_status(&p->bytes) == WR_OK);
    p->size = o.buf.n;
    p->checksum = wr_be64(o.buf.p + o.buf.n - 8);
    wr_buf_release(&o.buf);
    t_ltx_release(&m);
    return p;
}

static struct wr_replica_status status(struct bench *b)
{
    struct wr_replica_status s;

    wr_replica_status(b->r, &s);
    return s;
}

static unsigned now_found(struct wr_replica *r)
{
    struct wr_replica_status now;

    wr_replica_status(r, &now);
    return now.found;
}

static void push(struct bench *b, uint64_t txid)
{
    struct wr_parcel *p = parcel(txid, 0, b->clock.wall_now_ms);

    (void)wr_replica_push(b->r, p, status(b).found);
    wr_parcel_unref(p);
}

/* The bucket holds exactly the file of this TXID under its name. */
static bool stored(struct wr_storage *s, uint64_t txid)
{
    struct wr_parcel *p = parcel(txid, 0, 0);
    struct wr_call *c = t_call();
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, 0, txid, txid);
    struct wr_err e = {0};
    uint8_t buf[4096];
    size_t got = 0;
    bool is;

    is = wr_storage_get(s, c, key, 0, buf, sizeof(buf), &got, &e) == WR_OK && got == p->size;
    /* All but header and checksum, which depend on the time. */
    is = is && memcmp(buf + WR_LTX_HEADER_SIZE, p->bytes.p + WR_LTX_HEADER_SIZE,
                   (size_t)p->size - WR_LTX_HEADER_SIZE - WR_LTX_TRAILER_SIZE) == 0;
    wr_parcel_unref(p);
    return is;
}

static bool in_bucket(struct bench *b, uint64_t txid)
{
    struct wr_storage *s = spy_bucket(&b->spy);
    bool is = stored(s, txid);

    wr_storage_close(s);
    return is;
}

static void put_rival(struct bench *b, uint64_t txid)
{
    struct wr_storage *s = spy_bucket(&b->spy);
    struct wr_call *c = t_call();
    struct wr_parcel *p = parcel(txid, 100, WALL);
    struct wr_err e = {0};

    T_OK(wr_storage_put(
        s, c, wr_layout_ltx_key(c->scratch, s, 0, txid, txid), wr_buf_bytes(&p->bytes), NULL, &e));
    wr_parcel_unref(p);
    wr_storage_close(s);
}

/* Leave only the first `n` bytes of an object. */
static void cut(struct bench *b, uint64_t txid, size_t n)
{
    struct wr_storage *s = spy_bucket(&b->spy);
    struct wr_call *c = t_call();
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, 0, txid, txid);
    uint8_t buf[4096];
    size_t got = 0;
    struct wr_err e = {0};

    T(n <= sizeof(buf));
    T_OK(wr_storage_get(s, c, key, 0, buf, n, &got, &e));
    T_OK(wr_storage_put(s, c, key, (struct wr_bytes){buf, got}, NULL, &e));
    wr_storage_close(s);
}

static void start(struct bench *b)
{
    T(status(b).state == WR_REPLICA_UNKNOWN && status(b).last_ok_ms == 0);
    wr_replica_start(b->r);
    run(b, 0);
    T(status(b).state == WR_REPLICA_READY && status(b).found == 1 && b->notified > 0);
}

/* ---- sending ---- */

/* Whenever a file arrives, the one before it has been acknowledged. */
static void check_order(void *arg, struct wr_call *c, struct wr_str key)
{
    struct bench *b = arg;
    struct wr_ltx_file f = {0};

    (void)c;
    T(wr_layout_ltx_parse(wr_replica_storage(b->r), key, &f));
    T(status(b).state == WR_REPLICA_SENDING);
    T(status(b).pos.txid == f.min - 1);
    T(f.min == 1 || in_bucket(b, f.min - 1));
    T(!in_bucket(b, f.min));
}

static void test_files_go_in_order(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    start(&b);
    T(status(&b).pos.txid == 0 && status(&b).last_ok_ms == WALL);
    b.spy.in_put = check_order;
    b.spy.arg = &b;
    for (uint64_t txid = 1; txid <= 20; txid++)
        push(&b, txid);
    T(status(&b).queued == 20 && status(&b).queued_bytes > 0);
    run(&b, 0);
    T(b.spy.puts == 20);
    T(status(&b).queued == 0 && status(&b).queued_bytes == 0 && status(&b).lag_ms == 0);
    T(status(&b).state == WR_REPLICA_READY && !status(&b).failing);
    struct wr_remote_pos pos = status(&b).pos;
    T(pos.txid == 20 && pos.has_rolling && pos.rolling == (20 | WR_LTX_CHECKSUM_EMPTY));
    T(pos.page_size == 512 && pos.commit == 3 && pos.time_ms == WALL);
    T(b.spy.lists > 0 && status(&b).found == 1);
    bench_close(&b);
}

static void test_position_is_found_by_listing(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    for (uint64_t txid = 1; txid <= 5; txid++)
        put_rival(&b, txid);
    start(&b);
    T(status(&b).pos.txid == 5 && status(&b).pos.time_ms == WALL);
    push(&b, 6);
    run(&b, 0);
    T(status(&b).pos.txid == 6 && in_bucket(&b, 6));
    bench_close(&b);
}

/* What was built on a damaged file could not be restored either. */
static void test_a_damaged_newest_state_is_nothing_to_build_on(void **state)
{
    struct bench b;

    (void)state;
    for (int damaged = 0; damaged < 2; damaged++) {
        struct wr_replica_status now;

        bench_open(&b);
        for (uint64_t txid = 1; txid <= 5; txid++)
            put_rival(&b, txid);
        if (damaged)
            cut(&b, 5, WR_LTX_HEADER_SIZE + 20);
        start(&b);
        T(status(&b).pos.txid == 5 && status(&b).pos.has_base && !status(&b).sampled);
        wr_replica_want_sample(b.r);
        run(&b, 0);
        now = status(&b);
        T(now.state == WR_REPLICA_READY && now.sampled && !now.failing && now.pos.txid == 5);
        T(now.pos.has_base == !damaged);
        bench_close(&b);
    }
}

static void test_files_are_dropped_unless_it_is_ready(void **state)
{
    struct bench b;
    struct wr_parcel *p = parcel(1, 0, WALL);

    (void)state;
    bench_open(&b);
    (void)wr_replica_push(b.r, p, status(&b).found);
    T(wr_parcel_alone(p) && status(&b).queued == 0);
    start(&b);
    (void)wr_replica_push(b.r, p, status(&b).found);
    T(!wr_parcel_alone(p) && status(&b).queued == 1);
    T(status(&b).queued_bytes == p->bytes.n);
    wr_replica_stop(b.r, WR_CONFLICT, "somebody else");
    T(wr_parcel_alone(p) && status(&b).queued == 0 && status(&b).queued_bytes == 0);
    (void)wr_replica_push(b.r, p, status(&b).found);
    T(wr_parcel_alone(p));
    run(&b, 100000);
    T(b.spy.puts == 0);
    wr_parcel_unref(p);
    bench_close(&b);
}

/* ---- failures ---- */

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
    T(strstr(status(&b).error_text, "spy: input/output error") != NULL);
    T(status(&b).queued == 2 && status(&b).pos.txid == 0);
    T(status(&b).lag_ms == 900000);
    T(status(&b).last_ok_ms == WALL);
    b.spy.fail_put = WR_OK;
    run(&b, 60000);
    T(!status(&b).failing && status(&b).error == WR_OK && status(&b).error_text[0] == '\0');
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
    T(strstr(status(&b).error_text, "compare with the object that is there") != NULL);
    T(status(&b).queued == 1);
    b.spy.fail_get = WR_OK;
    run(&b, 60000);
    T(status(&b).pos.txid == 1 && !status(&b).failing && !status(&b).contested);
    T(status(&b).found == 1 && status(&b).queued == 0);
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
    T(strstr(status(&b).error_text, "another process writes to this replica") != NULL);
    run(&b, 5000);
    T(status(&b).state == WR_REPLICA_READY && status(&b).found == 2 && status(&b).contested);
    T(status(&b).pos.txid == 2 && b.spy.puts == 2);
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

/* ---- what others ask of it, also while it sends ---- */

static void test_rejoin_forgets_and_lists(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    start(&b);
    push(&b, 1);
    push(&b, 2);
    wr_replica_rejoin(b.r, "test");
    T(status(&b).state == WR_REPLICA_UNKNOWN && status(&b).queued == 0);
    run(&b, 0);
    T(status(&b).state == WR_REPLICA_READY && status(&b).found == 2 && b.spy.puts == 0);
    push(&b, 1);
    run(&b, 0);
    T(status(&b).pos.txid == 1);
    bench_close(&b);
}

static void rejoin_now(void *arg, struct wr_call *c, struct wr_str key)
{
    struct bench *b = arg;

    (void)c;
    (void)key;
    wr_replica_rejoin(b->r, "in the middle");
    b->spy.in_put = NULL;
}

static void test_rejoin_while_sending(void **state)
{
    struct bench b;

    (void)state;
    for (int fails = 0; fails < 2; fails++) {
        bench_open(&b);
        start(&b);
        b.spy.in_put = rejoin_now;
        b.spy.arg = &b;
        b.spy.fail_put = fails ? WR_IO : WR_OK;
        push(&b, 1);
        push(&b, 2);
        run(&b, 0);
        b.spy.fail_put = WR_OK;
        run(&b, 10000);
        T(b.spy.puts == 1); /* the second one was forgotten */
        T(status(&b).state == WR_REPLICA_READY && status(&b).found == 2);
        T(status(&b).pos.txid == (fails ? 0 : 1) && status(&b).queued == 0);
        push(&b, fails ? 1 : 2);
        run(&b, 0);
        T(status(&b).pos.txid == (fails ? 1 : 2) && !status(&b).failing);
        bench_close(&b);
    }
}

static void stop_now(void *arg, struct wr_call *c, struct wr_str key)
{
    struct bench *b = arg;

    (void)c;
    (void)key;
    wr_replica_stop(b->r, WR_CONFLICT, "an operator must act");
}

/* The reason to stop outlives the request in progress, however that ends. */
static void test_stop_while_sending(void **state)
{
    struct bench b;

    (void)state;
    for (int fails = 0; fails < 2; fails++) {
        bench_open(&b);
        start(&b);
        b.spy.in_put = stop_now;
        b.spy.arg = &b;
        b.spy.fail_put = fails ? WR_IO : WR_OK;
        push(&b, 1);
        push(&b, 2);
        run(&b, 100000);
        T(status(&b).state == WR_REPLICA_STOPPED && status(&b).queued == 0 && b.spy.puts == 1);
        T(status(&b).failing && status(&b).error == WR_CONFLICT);
        assert_string_equal(status(&b).error_text, "an operator must act");
        wr_replica_rejoin(b.r, "does not help");
        run(&b, 100000);
        T(status(&b).state == WR_REPLICA_STOPPED && status(&b).found == 1);
        bench_close(&b);
    }
}

static void test_cancel_is_for_good(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    start(&b);
    push(&b, 1);
    wr_replica_cancel(b.r);
    run(&b, 100000);
    T(b.spy.puts == 0 && status(&b).queued == 1);
    push(&b, 2);
    run(&b, 100000);
    T(b.spy.puts == 0);
    bench_close(&b); /* with files in the queue */
}

/* ---- threads: free in the middle of a request ---- */

struct hang {
    struct wr_mutex mutex;
    struct wr_cond cond;
    bool inside, canceled;
};

static void hang_in_put(void *arg, struct wr_call *c, struct wr_str key)
{
    struct hang *h = arg;
    struct wr_err e = {0};

    (void)key;
    wr_mutex_lock(&h->mutex);
    h->inside = true;
    wr_cond_broadcast(&h->cond);
    wr_mutex_unlock(&h->mutex);
    h->canceled = wr_call_sleep(c, 60000, &e) == WR_CANCELED;
}

static void no_news(void *arg)
{
    (void)arg;
}

static void test_free_while_sending(void **state)
{
    struct wr_sched *sched = NULL;
    struct wr_sched_opts so = {0};
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_replica *r = NULL;
    struct wr_replica_opts o = {.label = "app.db", .notify = no_news};
    struct wr_replica_status s = {0};
    struct hang h = {0};
    struct wr_parcel *p = parcel(1, 0, WALL);
    struct wr_err e = {0};

    (void)state;
    wr_mutex_init(&h.mutex);
    wr_cond_init(&h.cond);
    T_OK(wr_sched_new(&so, &sched, &e));
    o.sched = sched;
    T_OK(wr_replica_new(spy_open(&spy, &ops), &o, &r, &e));
    spy.in_put = hang_in_put;
    spy.arg = &h;
    wr_replica_start(r);
    while (s.state != WR_REPLICA_READY)
        wr_replica_status(r, &s);
    (void)wr_replica_push(r, p, now_found(r));
    wr_mutex_lock(&h.mutex);
    while (!h.inside)
        wr_cond_wait(&h.cond, &h.mutex);
    wr_mutex_unlock(&h.mutex);
    wr_replica_free(r); /* comes back at once, not after a minute */
    T(h.canceled && wr_parcel_alone(p));
    wr_parcel_unref(p);
    wr_replica_free(NULL);
    wr_sched_free(sched);
    wr_cond_release(&h.cond);
    wr_mutex_release(&h.mutex);
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
        faultstore_arm(f, kinds[i], FAULT_ON_ALL, 60, UINT64_MAX);
    wr_replica_start(b.r);
    for (int round = 0; round < 20000 && acked < 300; round++) {
        struct wr_replica_status st = status(&b);

        if (st.found != found) { /* where it stands is where we go on */
            found = st.found;
            T(st.pos.txid >= acked);
            pushed = st.pos.txid;
        }
        for (; acked < st.pos.txid; acked++)
            T(stored(bucket, acked + 1));
        T(!st.contested);
        if (st.state == WR_REPLICA_READY && st.queued < 5 && pushed < 300)
            push(&b, ++pushed);
        if (wr_rand_below(&b.rng, 50) == 0) {
            wr_replica_rejoin(b.r, "for the test");
            pushed = 0; /* set by the listing */
            found = status(&b).found;
        }
        run(&b, (int64_t)wr_rand_below(&b.rng, 2000));
    }
    T(acked == 300);
    for (size_t i = 0; i < wr_countof(kinds); i++)
        T(faultstore_fired(f, kinds[i]) > 0);
    wr_storage_close(bucket);
    bench_close(&b);
}

/* ---- memory ---- */

static enum wr_status make_one(void *arg)
{
    struct bench *b = arg;
    struct wr_replica_opts o = {
        .sched = b->sched, .label = "app.db", .notify = on_change, .arg = b};
    struct wr_replica *r = NULL;
    struct wr_err e = {0};
    struct wr_storage *s = NULL;
    void *inner = NULL;
    enum wr_status st = wr_storage_mem.open(NULL, &inner, &e);

    if (st != WR_OK)
        return st;
    st = wr_storage_wrap(&wr_storage_mem, inner, WR_STR(""), &s, &e);
    if (st != WR_OK) {
        wr_storage_mem.close(inner);
        return st;
    }
    st = wr_replica_new(s, &o, &r, &e);
    if (st == WR_OK)
        wr_replica_free(r);
    else
        wr_storage_close(s); /* still ours */
    return st;
}

/* A long step of the database believed an old position: the file would have left a hole for ever.
 */
static void test_a_file_that_does_not_follow_is_refused(void **state)
{
    struct bench b;
    struct wr_parcel *p = parcel(1, 0, WALL), *hole = parcel(3, 0, WALL),
                     *next = parcel(2, 0, WALL);

    (void)state;
    bench_open(&b);
    start(&b);
    T(!wr_replica_push(b.r, p, status(&b).found + 1)); /* listed again meanwhile */
    T(wr_replica_push(b.r, p, status(&b).found));
    T(!wr_replica_push(b.r, hole, status(&b).found));
    T(!wr_replica_push(b.r, p, status(&b).found));
    T(wr_replica_push(b.r, next, status(&b).found));
    run(&b, 0);
    T(status(&b).pos.txid == 2 && !in_bucket(&b, 3));
    T(!wr_replica_push(b.r, next, status(&b).found));
    wr_parcel_unref(p);
    wr_parcel_unref(hole);
    wr_parcel_unref(next);
    bench_close(&b);
}

static void test_no_memory(void **state)
{
    struct bench b;
    struct wr_parcel *p = parcel(1, 0, WALL);

    (void)state;
    bench_open(&b);
    (void)make_one(&b); /* what the scheduler keeps for later */
    t_sweep_nomem(make_one, &b);
    start(&b);
    wr_mem_fail_after(0);
    T(!wr_replica_push(b.r, p, status(&b).found));
    wr_mem_fail_after(-1);
    T(status(&b).queued == 0 && wr_parcel_alone(p));
    T(wr_replica_push(b.r, p, status(&b).found));
    run(&b, 0);
    T(status(&b).pos.txid == 1);
    wr_parcel_unref(p);
    bench_close(&b);
}

T_MAIN(T_TEST(test_files_go_in_order), T_TEST(test_position_is_found_by_listing),
    T_TEST(test_a_damaged_newest_state_is_nothing_to_build_on),
    T_TEST(test_files_are_dropped_unless_it_is_ready),
    T_TEST(test_backoff_grows_and_ends_with_success), T_TEST(test_listing_is_retried),
    T_TEST(test_lost_answer_is_no_conflict), T_TEST(test_another_writers_object),
    T_TEST(test_failed_stream_is_looked_for), T_TEST(test_rejoin_forgets_and_lists),
    T_TEST(test_rejoin_while_sending), T_TEST(test_stop_while_sending),
    T_TEST(test_cancel_is_for_good), T_TEST(test_free_while_sending),
    T_TEST(test_prefix_under_random_faults), T_TEST(test_a_file_that_does_not_follow_is_refused),
    T_TEST(test_no_memory))
