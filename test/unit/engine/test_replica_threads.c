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

/* One file is given up; the replica is not. */
static void test_interrupt_ends_one_request(void **state)
{
    struct wr_sched *sched = NULL;
    struct wr_sched_opts so = {0};
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_replica *r = NULL;
    struct wr_replica_opts o = {.label = "app.db", .notify = no_news};
    struct wr_replica_status s = {0};
    struct hang h = {0};
    struct wr_parcel *p = parcel(1, 0, WALL), *other = parcel(2, 0, WALL);
    struct wr_err e = {0};

    (void)state;
    wr_mutex_init(&h.mutex);
    wr_cond_init(&h.cond);
    T_OK(wr_sched_new(&so, &sched, &e));
    o.sched = sched;
    T_OK(wr_replica_new(spy_open(&spy, &ops), &o, &r, &e));
    spy.in_put = hang_in_put;
    spy.arg = &h;
    wr_replica_interrupt(r, p); /* nothing is being sent */
    wr_replica_start(r);
    while (s.state != WR_REPLICA_READY)
        wr_replica_status(r, &s);
    T(wr_replica_push(r, p, now_found(r)) && wr_replica_push(r, other, now_found(r)));
    wr_mutex_lock(&h.mutex);
    while (!h.inside)
        wr_cond_wait(&h.cond, &h.mutex);
    wr_mutex_unlock(&h.mutex);
    wr_replica_interrupt(r, other); /* another one than is being sent */
    t_sleep_ms(20);
    wr_replica_status(r, &s);
    T(s.state == WR_REPLICA_SENDING && !s.failing);
    wr_replica_interrupt(r, p);
    for (int i = 0; i < 10000 && s.pos.txid < 2; i++) {
        t_sleep_ms(1);
        wr_replica_status(r, &s);
    }
    T(s.pos.txid == 2 && h.canceled && !s.failing);
    wr_replica_free(r);
    T(wr_parcel_alone(p) && wr_parcel_alone(other));
    wr_parcel_unref(p);
    wr_parcel_unref(other);
    wr_sched_free(sched);
    wr_cond_release(&h.cond);
    wr_mutex_release(&h.mutex);
}

T_MAIN(T_TEST(test_free_while_sending), T_TEST(test_interrupt_ends_one_request))
