/*
 * detour.c - guess a route, read the headers along it, and guess again if they do not fit.
 *
 * A header that was not read is taken to fit, so that no more are read than a route needs. But one
 * whose file is no newer than one without rolling checksums is taken to have none either: where
 * Litestream wrote, all ways are equally unproven, and those that were not looked at would seem the
 * better ones, one after the other, until all headers were read.
 *
 * What ends this: every round but the last reads a header at least, and there is a maximum of
 * rounds.
 */
#include "engine/detour.h"

#include "base/mem.h"
#include "base/sync.h"
#include "engine/crew.h"
#include "engine/input_read.h"
#include "engine/inputs.h"
#include "engine/restore.h"
#include "ltx/ltx.h"
#include "storage/storage.h"

/* Two writers that took turns for so many files are told apart. */
#define ROUNDS_MAX 1000

static bool leads(const struct wr_ltx_file *f, const struct wr_restore_opts *opts, uint64_t end)
{
    if (wr_ltx_file_odd(f))
        return false;
    return f->max <= end && (!opts->time_ms || f->time_ms < opts->time_ms);
}

enum wr_status wr_detour_init(struct wr_detour *d, struct wr_storage *s,
    const struct wr_restore_opts *opts, const struct wr_ltx_files *all, uint64_t end,
    struct wr_err *e)
{
    enum wr_status st = WR_OK;

    *d = (struct wr_detour){.storage = s, .opts = opts, .end = end};
    for (size_t i = 0; st == WR_OK && i < all->n; i++) {
        if (leads(&all->p[i], opts, end))
            st = wr_ltx_files_add(&d->files, &all->p[i], e);
    }
    if (st == WR_OK) {
        d->facts = wr_array(d->files.n, sizeof(*d->facts));
        if (!d->facts)
            st = wr_fail(e, WR_NOMEM, "facts of %zu files: out of memory", d->files.n);
    }
    for (size_t i = 0; st == WR_OK && i < d->files.n; i++)
        d->facts[i].aside = wr_input_check(&d->files.p[i], NULL) != WR_OK;
    if (st != WR_OK)
        wr_detour_release(d);
    return st;
}

void wr_detour_release(struct wr_detour *d)
{
    if (!d)
        return;
    wr_ltx_files_release(&d->files);
    wr_free(d->facts);
    *d = (struct wr_detour){0};
}

size_t wr_detour_index(const struct wr_detour *d, const struct wr_ltx_file *f)
{
    const struct wr_ltx_file *p = wr_ltx_files_find(&d->files, f);

    assert(p);
    return (size_t)(p - d->files.p);
}

static void know(struct wr_detour *d, size_t i, const struct wr_ltx_header *h)
{
    struct wr_fact was = d->facts[i];

    d->facts[i] = wr_fact_of(h);
    d->facts[i].aside = was.aside;
    d->facts[i].suspicion = was.suspicion;
    d->facts[i].doubted = was.doubted;
}

void wr_detour_learn(struct wr_detour *d, const struct wr_inputs *x)
{
    for (size_t i = 0; i < x->n; i++) {
        if (x->in[i].header.page_size)
            know(d, wr_detour_index(d, x->in[i].file), &x->in[i].header);
    }
}

struct probing {
    struct wr_detour *detour;
    const size_t *todo;
    struct wr_mutex mutex; /* guards the detour's unread, unread_e */
};

/* A header that cannot be read: one file less, as there may be a chain without it. */
static bool may_pass_over(struct probing *p, enum wr_status st, const struct wr_err *e)
{
    struct wr_detour *d = p->detour;
    bool may;

    if (st != WR_IO && st != WR_AUTH)
        return false;
    wr_mutex_lock(&p->mutex);
    may = d->unread < WR_UNREAD_MAX;
    d->unread += may;
    if (may && d->unread_e.code == WR_OK)
        d->unread_e = *e;
    wr_mutex_unlock(&p->mutex);
    return may;
}

static enum wr_status probe_one(
    void *arg, unsigned w, size_t k, struct wr_call *c, struct wr_err *e)
{
    struct probing *p = arg;
    size_t i = p->todo[k];
    const struct wr_ltx_file *f = &p->detour->files.p[i];
    uint8_t head[WR_LTX_HEADER_SIZE];
    struct wr_ltx_header h;
    enum wr_status st;

    (void)w;
    st = wr_input_read(p->detour->storage, c, f, 0, head, sizeof(head), e);
    if (st == WR_OK)
        st = wr_ltx_header_get(head, &h, e);
    if (st == WR_OK)
        know(p->detour, i, &h);
    else if (st == WR_CORRUPT || may_pass_over(p, st, e))
        p->detour->facts[i].aside = true;
    else
        return st;
    return WR_OK;
}

static bool known(const struct wr_detour *d, size_t i)
{
    return d->facts[i].read || d->facts[i].aside;
}

/* Read the headers of these files, where they are not known. */
static enum wr_status probe(
    struct wr_detour *d, struct wr_call *c, const size_t *files, size_t n, struct wr_err *e)
{
    size_t *todo = wr_array(n, sizeof(*todo));
    struct probing p = {.detour = d, .todo = todo};
    size_t n_todo = 0;
    bool first = d->unread_e.code == WR_OK;
    enum wr_status st = WR_OK;

    if (!todo)
        return wr_fail(e, WR_NOMEM, "headers of %zu files: out of memory", n);
    for (size_t k = 0; k < n; k++) {
        if (!known(d, files[k]))
            todo[n_todo++] = files[k];
    }
    wr_mutex_init(&p.mutex);
    if (n_todo > 0)
        st = wr_crew_run(
            c, wr_max(d->opts->opening, d->opts->parallel), n_todo, "restore", probe_one, &p, e);
    wr_mutex_release(&p.mutex);
    if (first && d->unread_e.code != WR_OK)
        wr_log(c->log, WR_WARN, "a file of the replica cannot be read, and is done without",
            WR_F_STR("replica", wr_storage_name(d->storage)), WR_F_Z("reason", d->unread_e.text));
    wr_free(todo);
    return st;
}

/* Whether all of a route can be used as it is. */
static bool settled(const struct wr_detour *d, const size_t *route, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        if (!d->facts[route[k]].read)
            return false;
    }
    return true;
}

/* Guess which of the files that were not read have no rolling checksums. */
static void presume(struct wr_detour *d)
{
    uint64_t plain = 0; /* up to this TXID */

    for (size_t i = 0; i < d->files.n; i++) {
        if (d->facts[i].read && !d->facts[i].has_rolling)
            plain = wr_max(plain, d->files.p[i].max);
    }
    for (size_t i = 0; i < d->files.n; i++)
        d->facts[i].plain = d->files.p[i].max <= plain;
}

/* The first route of which every header is known. `route` has room for all files. */
static enum wr_status search(struct wr_detour *d, struct wr_call *c, uint64_t to, size_t *route,
    size_t *ret_n, struct wr_err *e)
{
    const struct wr_map map = {.files = d->files.p,
        .facts = d->facts,
        .n = d->files.n,
        .bans = d->bans,
        .n_bans = d->n_bans};

    for (; d->rounds < ROUNDS_MAX; d->rounds++) {
        enum wr_status st = wr_call_check(c, "restore", e);

        presume(d);
        if (st == WR_OK)
            st = wr_route(&map, to, route, ret_n, e);
        if (st != WR_OK || settled(d, route, *ret_n))
            return st;
        st = probe(d, c, route, *ret_n, e);
        if (st != WR_OK)
            return st;
    }
    return wr_fail(e, WR_NOTFOUND, "too many files that do not fit");
}

enum wr_status wr_detour_find(
    struct wr_detour *d, struct wr_call *c, uint64_t to, struct wr_ltx_files *ret, struct wr_err *e)
{
    size_t *route = wr_array(d->files.n, sizeof(*route));
    size_t n = 0;
    enum wr_status st;

    if (!route)
        return wr_fail(e, WR_NOMEM, "route over %zu files: out of memory", d->files.n);
    st = search(d, c, to, route, &n, e);
    for (size_t k = 0; st == WR_OK && k < n; k++)
        st = wr_ltx_files_add(ret, &d->files.p[route[k]], e);
    wr_free(route);
    return st;
}
