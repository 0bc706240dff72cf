/*
 * store.c - stores are made, healed, looked at and damaged; how they work is in store_net.c and
 * store_bucket.c.
 */
#include "sim/store_int.h"
#include "sim/tape.h"

#include "base/mem.h"

#define MS           INT64_C(1000000)
#define PAGE_COMMON  1000
#define PAGE_SMALL   50
#define LATENCY_MIN  1000 /* microseconds */
#define LATENCY_MAX  200000
#define PONDER_MAX   3000000
#define LAG_MAX      10000 /* milliseconds */
#define STALE_OFTEN  24u
#define PERMILLE_MAX 100

static void draw_faults(struct store *s)
{
    for (int f = 0; f < STORE_FAULTS; f++) {
        bool armed = tape_below(4) == 3 && (f != STORE_STALE_LIST || s->weak);

        s->permille[f] = armed ? (uint32_t)tape_between(1, PERMILLE_MAX) : 0;
        if (f == STORE_STALE_LIST) /* of which there are few in a life */
            s->permille[f] *= STALE_OFTEN;
    }
}

static void draw_driver(struct store *s)
{
    s->ops = store_driver;
    if (tape_below(4) != 3)
        s->ops.caps |= WR_STORAGE_COND_PUT;
    if (tape_below(2) == 0)
        s->ops.caps |= WR_STORAGE_LIST_TIME;
    if (tape_below(4) == 3) {
        s->ops.part_min = 0;
        s->ops.upload_begin = NULL;
        s->ops.upload_part = NULL;
        s->ops.upload_commit = NULL;
        s->ops.upload_abort = NULL;
    }
}

struct store *store_new(const char *name)
{
    struct store *s = wr_alloc(sizeof(*s));

    if (!s)
        abort();
    (void)snprintf(s->name, sizeof(s->name), "%s", name);
    draw_driver(s);
    s->weak = tape_below(4) == 3;
    draw_faults(s);
    s->latency_us = (uint32_t)tape_between(LATENCY_MIN, LATENCY_MAX);
    s->page_max = tape_below(2) ? (size_t)tape_between(1, PAGE_SMALL) : PAGE_COMMON;
    s->lag_ns = s->weak ? (int64_t)tape_between(1, LAG_MAX) * MS : 0;
    store_net_start(s);
    return s;
}

const struct wr_storage_ops *store_ops(const struct store *s)
{
    return &s->ops;
}

int64_t store_latency_ns(const struct store *s)
{
    return (int64_t)s->latency_us * 1000;
}

bool store_lists_little(const struct store *s)
{
    return s->page_max < PAGE_COMMON;
}

bool store_is_weak(const struct store *s)
{
    return s->weak;
}

void store_heal(struct store *s)
{
    for (int f = 0; f < STORE_FAULTS; f++)
        s->permille[f] = 0;
    s->burst = 0;
    s->denied_until = 0;
    s->outage_until = 0;
    s->cut_off = NULL;
}

void store_ponder(struct store *s)
{
    s->ponder_us = PONDER_MAX;
}

void store_outage(struct store *s, int64_t until_ns)
{
    s->outage_until = until_ns;
}

void store_cut_off(struct store *s, const struct sim_proc *p)
{
    s->cut_off = p;
}

size_t store_open_uploads(const struct store *s)
{
    size_t n = 0;

    for (const struct store_upload *u = s->uploads; u; u = u->next)
        n++;
    return n;
}

/* An object with a bit to flip. */
static bool can_rot(const struct store_object *o)
{
    return !o->gone && o->n > 0;
}

bool store_rot(struct store *s, const char **ret_key)
{
    uint32_t n = 0, which, at;

    for (size_t i = 0; i < s->n; i++)
        n += can_rot(s->objects[i]);
    if (n == 0)
        return false;
    which = tape_below(n);
    for (size_t i = 0;; i++) {
        struct store_object *o = s->objects[i];

        if (!can_rot(o) || which-- > 0)
            continue;
        at = tape_below((uint32_t)o->n);
        o->body[at] ^= (uint8_t)(1u << tape_below(8));
        store_counts.rotten++;
        *ret_key = o->key.p;
        return true;
    }
}

void store_each(struct store *s, store_each_fn *fn, void *arg)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct store_object *o = s->objects[i];

        if (!o->gone && !fn(arg, o->key.p, o->body, o->n))
            return;
    }
}
