/*
 * route.c - a shortest path: files are nodes, and two that fit are joined.
 *
 * Files are taken by their first TXID. All that can precede one has been done by then: what ends
 * right before it, or within it, and begins before it does. A file that begins within another one
 * needs none that it covers in between, so that these cost nothing by being left out.
 */
#include "engine/route.h"

#include "base/mem.h"
#include "engine/plan.h"
#include "ltx/ltx.h"

#define NONE SIZE_MAX

/* Joins that are looked at, beside some for each file: a replica of any sense has far fewer, one
 * that was made to hurt would take the square of its files. */
#define STEPS_MIN ((size_t)1 << 20)
#define STEPS     ((size_t)64)

/* A file by one of its TXIDs. */
struct place {
    uint64_t txid;
    size_t i;
};

/* The best way to a file. */
struct node {
    size_t files; /* 0: there is none */
    uint64_t suspicion;
    size_t unproven;
    size_t from; /* the file before it, or NONE */
};

struct search {
    const struct wr_map *map;
    struct place *by_min, *by_max;
    struct node *nodes;
    size_t steps; /* that are left */
};

struct wr_fact wr_fact_of(const struct wr_ltx_header *h)
{
    return (struct wr_fact){.read = true,
        .has_rolling = h->has_rolling,
        .page_size = h->page_size,
        .rolling_pre = h->rolling_pre,
        .rolling_post = h->rolling_post};
}

static bool is_plain(const struct wr_fact *f)
{
    return f->read ? !f->has_rolling : f->plain;
}

enum wr_fit wr_fit(const struct wr_ltx_file *a, const struct wr_fact *fa,
    const struct wr_ltx_file *b, const struct wr_fact *fb)
{
    /* A file that begins where `a` does takes its place, it does not follow. */
    if (fa->aside || fb->aside || a->min >= b->min || a->max < b->min - 1 || a->max >= b->max)
        return WR_FIT_NO;
    if (fa->read && fb->read && fa->page_size != fb->page_size)
        return WR_FIT_NO;
    if (a->max >= b->min || is_plain(fa) || is_plain(fb))
        return WR_FIT_UNPROVEN;
    if (fa->read && fb->read && fa->rolling_post != fb->rolling_pre)
        return WR_FIT_NO;
    return WR_FIT_YES;
}

static bool banned(const struct wr_map *m, size_t before, size_t after)
{
    for (size_t i = 0; i < m->n_bans; i++) {
        if (m->bans[i].before == before && m->bans[i].after == after)
            return true;
    }
    return false;
}

static bool cheaper(const struct node *a, const struct node *b)
{
    if (b->files == 0)
        return true;
    if (a->suspicion != b->suspicion)
        return a->suspicion < b->suspicion;
    return a->unproven != b->unproven ? a->unproven < b->unproven : a->files < b->files;
}

static int by_txid(const void *pa, const void *pb)
{
    const struct place *a = pa;
    const struct place *b = pb;

    if (a->txid != b->txid)
        return a->txid < b->txid ? -1 : 1;
    return a->i < b->i ? -1 : a->i > b->i;
}

/* The first of `p` with at least that TXID. */
static size_t lower_bound(const struct place *p, size_t n, uint64_t txid)
{
    size_t lo = 0;

    while (lo < n) {
        size_t mid = lo + (n - lo) / 2;

        if (p[mid].txid < txid)
            lo = mid + 1;
        else
            n = mid;
    }
    return lo;
}

/* The best way to file `i`. False: there is no end to the files that may come before. */
static bool reach(struct search *s, size_t i)
{
    const struct wr_map *m = s->map;
    const struct wr_ltx_file *f = &m->files[i];
    struct node *best = &s->nodes[i];

    if (m->facts[i].aside)
        return true;
    if (f->min == 1) {
        *best = (struct node){.files = 1, .suspicion = m->facts[i].suspicion, .from = NONE};
        return true;
    }
    for (size_t k = lower_bound(s->by_max, m->n, f->min - 1);
         k < m->n && s->by_max[k].txid < f->max; k++) {
        size_t before = s->by_max[k].i;
        const struct node *way = &s->nodes[before];
        enum wr_fit fit;
        struct node is;

        if (s->steps-- == 0)
            return false;
        if (way->files == 0)
            continue;
        fit = wr_fit(&m->files[before], &m->facts[before], f, &m->facts[i]);
        is = (struct node){.files = way->files + 1,
            .suspicion = way->suspicion + m->facts[i].suspicion,
            .unproven = way->unproven + (fit == WR_FIT_UNPROVEN),
            .from = before};
        if (fit != WR_FIT_NO && cheaper(&is, best) && !banned(m, before, i))
            *best = is;
    }
    return true;
}

/* Whether file `i` is the one to end with, rather than `best`, which has the same last TXID. */
static bool better_end(const struct search *s, size_t i, size_t best)
{
    const struct node *a = &s->nodes[i], *b = &s->nodes[best];

    if (a->suspicion != b->suspicion)
        return a->suspicion < b->suspicion;
    if (a->unproven != b->unproven)
        return a->unproven < b->unproven;
    return wr_plan_better(&s->map->files[i], &s->map->files[best]);
}

/* The file to end with, or NONE. */
static size_t choose_end(const struct search *s, uint64_t end)
{
    size_t best = NONE;

    for (size_t k = s->map->n; k-- > 0;) {
        size_t i = s->by_max[k].i;
        const struct node *way = &s->nodes[i];
        const struct wr_ltx_file *f = &s->map->files[i];

        if (best != NONE && f->max < s->map->files[best].max)
            break;
        if (way->files == 0 || (end && f->max != end))
            continue;
        if (best == NONE || better_end(s, i, best))
            best = i;
    }
    return best;
}

static enum wr_status search(
    struct search *s, uint64_t end, size_t *out, size_t *ret_n, struct wr_err *e)
{
    size_t n = s->map->n;
    size_t last;

    for (size_t i = 0; i < n; i++) {
        s->by_min[i] = (struct place){.txid = s->map->files[i].min, .i = i};
        s->by_max[i] = (struct place){.txid = s->map->files[i].max, .i = i};
    }
    qsort(s->by_min, n, sizeof(*s->by_min), by_txid);
    qsort(s->by_max, n, sizeof(*s->by_max), by_txid);
    for (size_t k = 0; k < n; k++) {
        if (!reach(s, s->by_min[k].i))
            return wr_fail(e, WR_NOTFOUND, "too many files hold the same transactions");
    }
    last = choose_end(s, end);
    if (last == NONE)
        return wr_fail(e, WR_NOTFOUND, "no files that fit each other lead to txid %016llx",
            (unsigned long long)end);
    *ret_n = s->nodes[last].files;
    for (size_t k = *ret_n; k-- > 0; last = s->nodes[last].from)
        out[k] = last;
    assert(last == NONE);
    return WR_OK;
}

enum wr_status wr_route(
    const struct wr_map *m, uint64_t end, size_t *out, size_t *ret_n, struct wr_err *e)
{
    struct search s = {.map = m, .steps = STEPS_MIN + STEPS * m->n};
    enum wr_status st;

    if (m->n == 0)
        return wr_fail(e, WR_NOTFOUND, "no files");
    s.by_min = wr_array(m->n, sizeof(*s.by_min));
    s.by_max = wr_array(m->n, sizeof(*s.by_max));
    s.nodes = wr_array(m->n, sizeof(*s.nodes));
    if (s.by_min && s.by_max && s.nodes)
        st = search(&s, end, out, ret_n, e);
    else
        st = wr_fail(e, WR_NOMEM, "way through %zu files: out of memory", m->n);
    wr_free(s.by_min);
    wr_free(s.by_max);
    wr_free(s.nodes);
    return st;
}
