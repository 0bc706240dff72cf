/*
 * packers.c - see packers.h. A ring of packs (ltx/pack.h).
 *
 * Packs have numbers, from 0 on, and go through three hands:
 *
 *   1. the caller reads pages into the next free place of the ring          -> filled
 *   2. a helper, or the caller, takes the lowest that nobody has, makes it  -> claimed, made
 *   3. the caller adds the lowest to the file, and its place is free        -> added
 *
 * The caller reads as long as there is a free place, and adds when there is none. Is what it would
 * add not made yet, it does a helper's work, and waits only where helpers have all there is. So it
 * needs none of them: where no thread can be had, or only one is wanted, it does everything in
 * turn.
 *
 * How it fails: reading and adding are the caller's, so is the failure. It tells the helpers, who
 * put down what they have in hand, within milliseconds, and joins them.
 */
#include "engine/packers.h"

#include "base/sync.h"
#include "ltx/enc.h"
#include "ltx/pack.h"

#define RUN   ((size_t)128 << 10) /* bytes of pages in a pack */
#define AHEAD 4u                  /* packs beyond one for each thread: writing comes in bursts */

struct place {
    struct wr_ltx_pack pack; /* owned by whoever has it in hand */
    bool made;               /* guarded by mutex */
};

struct ring {
    struct place places[WR_PACKERS_MAX + AHEAD];
    unsigned n;     /* places; frozen, as is the next */
    bool has_crew;  /* the mutex is in use */
    uint64_t added; /* the caller's */

    struct wr_mutex mutex; /* guards what follows */
    struct wr_cond to_make, made;
    uint64_t filled, claimed;
    bool over;

    unsigned started;
    struct wr_thread crew[WR_PACKERS_MAX - 1];
};

/* The lowest pack that nobody has in hand, or NULL; under the mutex. */
static struct place *claim(struct ring *r)
{
    return r->claimed < r->filled ? &r->places[r->claimed++ % r->n] : NULL;
}

static void help(void *arg)
{
    struct ring *r = arg;

    wr_mutex_lock(&r->mutex);
    for (;;) {
        struct place *p;

        /* Ended by the caller, which never goes without saying so. */
        while (!r->over && r->claimed == r->filled)
            wr_cond_wait(&r->to_make, &r->mutex);
        if (r->over)
            break;
        p = claim(r);
        wr_mutex_unlock(&r->mutex);
        wr_ltx_pack_make(&p->pack);
        wr_mutex_lock(&r->mutex);
        p->made = true;
        wr_cond_signal(&r->made);
    }
    wr_mutex_unlock(&r->mutex);
}

static void start_crew(struct ring *r, unsigned helpers)
{
    r->has_crew = helpers > 0;
    if (!r->has_crew)
        return;
    wr_mutex_init(&r->mutex);
    wr_cond_init(&r->to_make);
    wr_cond_init(&r->made);
    /* Whoever was started can do it all, if need be the caller alone. */
    while (r->started < helpers &&
           wr_thread_start(&r->crew[r->started], "weir-crew", 0, help, r, NULL) == WR_OK)
        r->started++;
}

static void end_crew(struct ring *r)
{
    if (!r->has_crew)
        return;
    wr_mutex_lock(&r->mutex);
    r->over = true;
    wr_cond_broadcast(&r->to_make);
    wr_mutex_unlock(&r->mutex);
    for (unsigned i = 0; i < r->started; i++)
        wr_thread_join(&r->crew[i]);
    wr_cond_release(&r->to_make);
    wr_cond_release(&r->made);
    wr_mutex_release(&r->mutex);
}

static uint32_t nth_page(const struct wr_packers *p, uint32_t i)
{
    return p->pages ? p->pages[i] : i + 1;
}

/* Read into `k` from the `*i`-th page on; neighbours together. */
static enum wr_status fill(
    const struct wr_packers *p, struct wr_ltx_pack *k, uint32_t *i, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (k->n = 0; k->n < k->room && *i < p->n && st == WR_OK;) {
        uint32_t first = nth_page(p, *i), n = 0;

        for (; n < k->room - k->n && n < p->n - *i && nth_page(p, *i + n) == first + n; n++)
            k->pgno[k->n + n] = first + n == p->lock_pgno ? 0 : first + n;
        st = p->read(p->arg, first, n, k->pages + (size_t)k->n * p->page_size, e);
        k->n += n;
        *i += n;
    }
    return st;
}

static void offer(struct ring *r)
{
    if (!r->has_crew) {
        wr_ltx_pack_make(&r->places[0].pack);
        r->filled++;
        return;
    }
    wr_mutex_lock(&r->mutex);
    r->places[r->filled++ % r->n].made = false;
    wr_cond_signal(&r->to_make);
    wr_mutex_unlock(&r->mutex);
}

/* See to it that the lowest pack is made. */
static struct wr_ltx_pack *lowest(struct ring *r)
{
    struct place *low = &r->places[r->added % r->n], *p;

    if (!r->has_crew)
        return &low->pack;
    wr_mutex_lock(&r->mutex);
    while (!low->made) {
        p = claim(r);
        if (!p) {
            wr_cond_wait(&r->made, &r->mutex); /* for a computation under way, no longer */
            continue;
        }
        wr_mutex_unlock(&r->mutex);
        wr_ltx_pack_make(&p->pack);
        wr_mutex_lock(&r->mutex);
        p->made = true;
    }
    wr_mutex_unlock(&r->mutex);
    return &low->pack;
}

static enum wr_status work(struct ring *r, const struct wr_packers *p, struct wr_ltx_enc *enc,
    uint64_t *sum, struct wr_err *e)
{
    uint64_t filled = 0; /* r->filled, which nobody else changes */
    uint32_t done = 0;   /* pages */
    enum wr_status st = WR_OK;

    for (uint32_t i = 0; st == WR_OK && (i < p->n || r->added < filled);) {
        if (i < p->n && filled - r->added < r->n) {
            st = fill(p, &r->places[filled % r->n].pack, &i, e);
            if (st == WR_OK) {
                offer(r);
                filled++;
            }
        } else {
            const struct wr_ltx_pack *k = lowest(r);

            *sum ^= k->sum;
            if (p->sums)
                memcpy(p->sums + done, k->sums, k->n * sizeof(*k->sums));
            done += k->n;
            st = wr_ltx_enc_pack(enc, k, e);
            r->added++;
        }
    }
    return st;
}

enum wr_status wr_packers_run(
    const struct wr_packers *p, struct wr_ltx_enc *enc, uint64_t *ret_sum, struct wr_err *e)
{
    struct ring r = {.n = 0};
    uint32_t room = wr_max((uint32_t)(RUN / p->page_size), 1u);
    unsigned threads = (unsigned)wr_min((uint64_t)p->threads, p->n / room + (uint64_t)1);
    uint64_t sum = 0;
    enum wr_status st = WR_OK;

    assert(p->threads >= 1 && p->threads <= WR_PACKERS_MAX);
    if (threads == 1)
        room = wr_max(wr_min(room, p->n), 1u);
    for (; r.n < (threads == 1 ? 1 : threads + AHEAD) && st == WR_OK; r.n++)
        st = wr_ltx_pack_init(&r.places[r.n].pack, p->page_size, room, e);
    if (st == WR_OK) {
        start_crew(&r, threads - 1);
        st = work(&r, p, enc, &sum, e);
        end_crew(&r);
    }
    for (unsigned i = 0; i < wr_countof(r.places); i++)
        wr_ltx_pack_release(&r.places[i].pack);
    if (st == WR_OK)
        *ret_sum = sum;
    return st;
}
