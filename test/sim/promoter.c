/*
 * promoter.c - see promoter.h.
 */
#include "sim/promoter.h"

#include "engine/promote.h"
#include "sim/disk.h"
#include "sim/epochs.h"
#include "sim/store.h"
#include "sim/tape.h"
#include "sim/verdict.h"

#define MS             INT64_C(1000000)
#define SECOND         INT64_C(1000000000)
#define PATIENT_MS     5000
#define PROMOTION_ASKS 24u /* requests that one takes, as a rule, ... */
#define LEASE_ASKS     10u /* ... from the lease on */

#define PROMOTERS_MAX 2

static struct promoter *all[PROMOTERS_MAX];

/* Somebody else has taken the lease, and it says who, if it could read that: no other conflict may
 * be. */
static bool has_lost(const struct promoter *w, const char *text)
{
    static const char by[] = "the lease was taken meanwhile by ", host[] = "sim:";
    const char *who = strstr(text, by);

    if (strstr(text, "the lease was taken by another promotion meanwhile"))
        return true; /* whom it has asked the store, and got no answer */
    who = who ? who + strlen(by) : "";
    who += strncmp(who, host, strlen(host)) == 0 ? strlen(host) : 0;
    return *who && strncmp(who, w->path, strlen(w->path)) != 0;
}

static void promote(void *arg)
{
    struct promoter *w = arg;
    const struct wr_promote_opts o = {.path = w->path,
        .fs = disk_fs(),
        .lock_offset = verdict_lock_offset(),
        .parallel = 1 + tape_below(3),
        .patience_ms = PATIENT_MS};
    struct wr_arena scratch;
    struct wr_call c = {.scratch = &scratch, .clock = wr_clock_system(), .deadline_ms = WR_NEVER};
    struct wr_storage *s = verdict_storage(0);
    struct wr_promoted done = {0};
    struct wr_err e = {0};
    enum wr_status st;

    wr_arena_init(&scratch, (size_t)1 << 30);
    st = wr_promote(s, &c, &o, &done, &e);
    sim_trace(
        "promote: %s, txid %llu", st == WR_OK ? "done" : e.text, (unsigned long long)done.next);
    if (st == WR_CORRUPT || (st == WR_CONFLICT && !has_lost(w, e.text)))
        sim_fail("P4: the promotion is given up: %s", e.text);
    if (st == WR_OK)
        epochs_promoted(done.lease.epoch, done.lease.node, done.lease.token);
    w->node = done.lease.node;
    w->promoted = st == WR_OK;
    wr_storage_close(s);
    wr_arena_release(&scratch);
    sim_kill(sim_proc_current());
}

/* It is about to send a request. */
static void disturb(void)
{
    struct promoter *w = NULL;

    for (size_t i = 0; i < PROMOTERS_MAX; i++) {
        if (all[i] && all[i]->proc == sim_proc_current())
            w = all[i];
    }
    if (!w)
        return;
    if (w->far_ns > 0)
        sim_sleep(w->far_ns);
    if ((w->with_lease && !epochs_has_lease(w->path)) || w->quiet_asks-- > 0)
        return;
    w->quiet_asks = UINT32_MAX;
    sim_trace("the promotion %s", w->sleep_ns > 0 ? "sleeps" : "dies");
    if (w->sleep_ns > 0)
        sim_sleep(w->sleep_ns);
    else
        sim_kill(w->proc);
}

void promoter_draw_disturbance(struct promoter *w)
{
    const uint32_t kind = tape_below(6);

    w->with_lease = kind % 2 == 1; /* where it matters most */
    w->quiet_asks = kind > 0 ? tape_below(w->with_lease ? LEASE_ASKS : PROMOTION_ASKS) : UINT32_MAX;
    w->sleep_ns = kind > 2 ? (int64_t)tape_between(100 * (uint64_t)MS, 10 * (uint64_t)SECOND) : 0;
}

void promoter_leave_alone(struct promoter *w)
{
    w->quiet_asks = UINT32_MAX;
}

void promoter_start(struct promoter *w)
{
    size_t i = 0;

    while (i < PROMOTERS_MAX && all[i] && all[i] != w)
        i++;
    assert(i < PROMOTERS_MAX);
    all[i] = w;
    store_on_ask = disturb;
    epochs_repeat();
    w->proc = sim_proc_new("promote");
    (void)sim_spawn(w->proc, "promote", promote, w);
}

bool promoter_lives(const struct promoter *w)
{
    return w->proc && sim_proc_alive(w->proc);
}

void promoter_kill(struct promoter *w)
{
    if (promoter_lives(w))
        sim_kill(w->proc);
}
