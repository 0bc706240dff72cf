/*
 * replica_bench.h - one replica on the manual scheduler, with files for it that are told apart by
 * their TXID.
 */
#ifndef WR_TEST_REPLICA_BENCH_H
#define WR_TEST_REPLICA_BENCH_H

#include "base/bytes.h"
#include "base/rand.h"
#include "engine/layout.h"
#include "engine/replica.h"
#include "harness/ltx_util.h"
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
    uint64_t seed;     /* of the process, beside that of the run */
    int64_t verify_ns; /* > 0: it is verified so often */
    unsigned notified;
    void (*told)(struct bench *b); /* each time; NULL: nobody asks */
};

static inline void on_change(void *arg)
{
    struct bench *b = arg;

    b->notified++;
    if (b->told)
        b->told(b);
}

static inline void bench_with(struct bench *b, struct wr_storage *storage)
{
    struct wr_sched_opts so = {.clock = &b->clock.clock, .manual = true};
    struct wr_replica_opts o = {.label = "app.db",
        .notify = on_change,
        .arg = b,
        .seed = t_seed() + (b->seed << 32),
        .verify_ns = b->verify_ns};
    struct wr_err e = {0};

    wr_clock_manual_init(&b->clock, WALL);
    wr_rand_init(&b->rng, t_seed());
    T_OK(wr_sched_new(&so, &b->sched, &e));
    o.sched = b->sched;
    T_OK(wr_replica_new(storage, &o, &b->r, &e));
}

static inline void bench_open(struct bench *b)
{
    *b = (struct bench){0};
    bench_with(b, spy_open(&b->spy, &b->ops));
}

static inline void bench_close(struct bench *b)
{
    wr_replica_free(b->r);
    wr_sched_free(b->sched);
}

/* Let `ms` of virtual time pass. */
static inline void run(struct bench *b, int64_t ms)
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
static inline struct wr_parcel *parcel(uint64_t txid, unsigned twist, int64_t time_ms)
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

static inline struct wr_replica_status status(struct bench *b)
{
    struct wr_replica_status s;

    wr_replica_status(b->r, &s);
    return s;
}

/* What it has failed with, in words; until the next call. */
static inline const char *why(struct bench *b)
{
    static struct wr_replica_account is;

    wr_replica_account(b->r, &is);
    return is.error.text;
}

static inline void push(struct bench *b, uint64_t txid)
{
    struct wr_parcel *p = parcel(txid, 0, b->clock.wall_now_ms);

    (void)wr_replica_push(b->r, p, status(b).found);
    wr_parcel_unref(p);
}

/* The bucket holds exactly the file of this TXID under its name. */
static inline bool stored(struct wr_storage *s, uint64_t txid)
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

static inline bool in_bucket(struct bench *b, uint64_t txid)
{
    struct wr_storage *s = spy_bucket(&b->spy);
    bool is = stored(s, txid);

    wr_storage_close(s);
    return is;
}

static inline void put_rival(struct bench *b, uint64_t txid)
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

static inline void start(struct bench *b)
{
    T(status(b).state == WR_REPLICA_UNKNOWN && status(b).last_ok_ms == 0);
    wr_replica_start(b->r);
    run(b, 0);
    T(status(b).state == WR_REPLICA_READY && status(b).found == 1 && b->notified > 0);
}

#endif
