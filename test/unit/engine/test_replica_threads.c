/*
 * test_replica_threads.c - a replica on real threads, freed in the middle of a request.
 */
#include "base/sync.h"
#include "unit/engine/replica_bench.h"

static unsigned now_found(struct wr_replica *r)
{
    struct wr_replica_status now;

    wr_replica_status(r, &now);
    return now.found;
}

struct hang {
    struct wr_mutex mutex;
    struct wr_cond cond;
    bool inside, canceled, let_pass;
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
    if (h->let_pass)
        return;
    h->let_pass = true; /* the next one */
    h->canceled = wr_call_sleep(c, 60000, &e) == WR_CANCELED;
}

static void no_news(void *arg)
{
    (void)arg;
}

/* A replica on threads of its own, whose puts hang until they are canceled. */
struct rig {
    struct wr_sched *sched;
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_replica *r;
    struct hang h;
};

static void rig_open(struct rig *b)
{
    struct wr_sched_opts so = {0};
    struct wr_replica_opts o = {.label = "app.db", .notify = no_news};
    struct wr_err e = {0};

    *b = (struct rig){0};
    wr_mutex_init(&b->h.mutex);
    wr_cond_init(&b->h.cond);
    T_OK(wr_sched_new(&so, &b->sched, &e));
    o.sched = b->sched;
    T_OK(wr_replica_new(spy_open(&b->spy, &b->ops), &o, &b->r, &e));
    b->spy.in_put = hang_in_put;
    b->spy.arg = &b->h;
}

/* After the replica was freed. */
static void rig_close(struct rig *b)
{
    wr_sched_free(b->sched);
    wr_cond_release(&b->h.cond);
    wr_mutex_release(&b->h.mutex);
}

static void wait_ready(struct rig *b)
{
    struct wr_replica_status s = {0};

    wr_replica_start(b->r);
    while (s.state != WR_REPLICA_READY)
        wr_replica_status(b->r, &s);
}

static void wait_inside(struct rig *b)
{
    wr_mutex_lock(&b->h.mutex);
    while (!b->h.inside)
        wr_cond_wait(&b->h.cond, &b->h.mutex);
    wr_mutex_unlock(&b->h.mutex);
}

static void test_free_while_sending(void **state)
{
    struct rig b;
    struct wr_parcel *p = parcel(1, 0, WALL);

    (void)state;
    rig_open(&b);
    wait_ready(&b);
    (void)wr_replica_push(b.r, p, now_found(b.r));
    wait_inside(&b);
    wr_replica_free(b.r); /* comes back at once, not after a minute */
    T(b.h.canceled && wr_parcel_alone(p));
    wr_parcel_unref(p);
    wr_replica_free(NULL);
    rig_close(&b);
}

/* One file is given up; the replica is not. */
static void test_interrupt_ends_one_request(void **state)
{
    struct rig b;
    struct wr_replica_status s = {0};
    struct wr_parcel *p = parcel(1, 0, WALL), *other = parcel(2, 0, WALL);

    (void)state;
    rig_open(&b);
    wr_replica_interrupt(b.r, p); /* nothing is being sent */
    wait_ready(&b);
    T(wr_replica_push(b.r, p, now_found(b.r)) && wr_replica_push(b.r, other, now_found(b.r)));
    wait_inside(&b);
    wr_replica_interrupt(b.r, other); /* another one than is being sent */
    t_sleep_ms(20);
    wr_replica_status(b.r, &s);
    T(s.state == WR_REPLICA_SENDING && !s.failing);
    wr_replica_interrupt(b.r, p);
    for (int i = 0; i < 10000 && s.pos.txid < 2; i++) {
        t_sleep_ms(1);
        wr_replica_status(b.r, &s);
    }
    T(s.pos.txid == 2 && b.h.canceled && !s.failing);
    wr_replica_free(b.r);
    T(wr_parcel_alone(p) && wr_parcel_alone(other));
    wr_parcel_unref(p);
    wr_parcel_unref(other);
    rig_close(&b);
}

/* Four databases that are sent whole kept all others from sending what they had committed. */
static void test_long_uploads_left_no_thread_for_the_others(void **state)
{
    enum {
        LONG = 5
    };
    struct rig b[LONG];
    struct wr_parcel *p[LONG], *small = parcel(1, 0, WALL);
    struct wr_replica_opts o = {.label = "app.db", .notify = no_news};
    struct wr_replica_status s = {0};
    struct wr_storage_ops ops;
    struct wr_replica *other;
    struct spy spy;
    struct wr_err e = {0};

    (void)state;
    for (int i = 0; i < LONG; i++) {
        if (i == 0) {
            rig_open(&b[i]);
        } else { /* on the same threads */
            b[i] = (struct rig){.sched = b[0].sched};
            wr_mutex_init(&b[i].h.mutex);
            wr_cond_init(&b[i].h.cond);
            o.sched = b[i].sched;
            T_OK(wr_replica_new(spy_open(&b[i].spy, &b[i].ops), &o, &b[i].r, &e));
            b[i].spy.in_put = hang_in_put;
            b[i].spy.arg = &b[i].h;
        }
        p[i] = parcel(1, 0, WALL);
        p[i]->size = (uint64_t)1 << 30; /* as it would be */
        wait_ready(&b[i]);
        T(wr_replica_push(b[i].r, p[i], now_found(b[i].r)));
        if (i + 1 < LONG) /* the last one waits */
            wait_inside(&b[i]);
    }
    o.sched = b[0].sched;
    T_OK(wr_replica_new(spy_open(&spy, &ops), &o, &other, &e));
    wr_replica_start(other);
    while (s.state != WR_REPLICA_READY)
        wr_replica_status(other, &s);
    T(wr_replica_push(other, small, s.found));
    for (int i = 0; i < 10000 && s.pos.txid < 1; i++) {
        t_sleep_ms(1);
        wr_replica_status(other, &s);
    }
    T(s.pos.txid == 1 && !b[LONG - 1].h.inside);
    wr_replica_free(other);
    wr_parcel_unref(small);
    for (int i = LONG; i-- > 0;) {
        wr_replica_free(b[i].r);
        wr_parcel_unref(p[i]);
        if (i > 0) {
            wr_cond_release(&b[i].h.cond);
            wr_mutex_release(&b[i].h.mutex);
        }
    }
    rig_close(&b[0]);
}

T_MAIN(T_TEST(test_long_uploads_left_no_thread_for_the_others), T_TEST(test_free_while_sending),
    T_TEST(test_interrupt_ends_one_request))
