/*
 * frozen.c - see frozen.h. Keeps old pages; refuses to know who wants them.
 *
 * A checkpoint touches the pages of which the WAL has a frame that is not in the database file yet,
 * and those beyond the database's new end. Of these, all that belong to the image and are yet to be
 * read are kept before the first one, also where the newest frame is the image's own: a writer may
 * add a newer one before the checkpoint looks, and SQLite then leaves the older one out, though it
 * counts it as copied. So once everything was kept, the image is in the database file and the file
 * of kept pages, and needs the WAL no more.
 */
#include "engine/frozen.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/sync.h"
#include "engine/kept.h"

#include <stdatomic.h>

#define RUN_BYTES ((size_t)256 << 10) /* pages moved at once */
#define NAP_NS    ((int64_t)100 * 1000000)

struct wr_frozen {
    struct wr_mutex mutex;
    struct wr_cond cond; /* signalled when `taken` became false */
    bool taken;          /* guarded by mutex: somebody uses what follows below */
    bool wanted;         /* guarded by mutex: the actor waits, readers stand back */
    atomic_bool stop;
    atomic_bool doubted; /* read when who set it has let go of the image */

    /* owned by whoever set `taken` */
    struct wr_view view;
    uint32_t next; /* lowest page that is yet to be read */
    uint64_t cut;  /* pages from here on are kept */
    struct wr_kept kept;
};

enum wr_status wr_frozen_new(const struct wr_fs *fs, const char *outbox, const struct wr_view *now,
    struct wr_frozen **ret, struct wr_err *e)
{
    struct wr_frozen *f = wr_alloc(sizeof(*f));
    enum wr_status st;

    if (!f)
        return wr_fail(e, WR_NOMEM, "freeze the database");
    st = wr_view_copy(&f->view, now, e);
    if (st != WR_OK) {
        wr_free(f);
        return st;
    }
    wr_kept_init(&f->kept, fs, outbox, now->page_size, now->commit);
    f->next = 1;
    f->cut = (uint64_t)now->commit + 1;
    wr_mutex_init(&f->mutex);
    wr_cond_init(&f->cond);
    *ret = f;
    return WR_OK;
}

void wr_frozen_free(struct wr_frozen *f)
{
    if (!f)
        return;
    assert(!f->taken);
    wr_kept_release(&f->kept);
    wr_view_release(&f->view);
    wr_mutex_release(&f->mutex);
    wr_cond_release(&f->cond);
    wr_free(f);
}

void wr_frozen_stop(struct wr_frozen *f)
{
    atomic_store(&f->stop, true);
}

bool wr_frozen_stopped(const struct wr_frozen *f)
{
    return atomic_load(&f->stop);
}

void wr_frozen_doubt(struct wr_frozen *f)
{
    atomic_store(&f->doubted, true);
}

bool wr_frozen_doubted(const struct wr_frozen *f)
{
    return atomic_load(&f->doubted);
}

uint64_t wr_frozen_kept(const struct wr_frozen *f)
{
    return f->kept.n;
}

/* Two threads wait for each other here, not for anything that a test's clock could bring. */
static int64_t real_ns(void)
{
    return wr_mono_ns(wr_clock_system());
}

static void give(struct wr_frozen *f)
{
    wr_mutex_lock(&f->mutex);
    f->taken = false;
    wr_cond_broadcast(&f->cond);
    wr_mutex_unlock(&f->mutex);
}

/* A checkpoint under way ends by itself; the naps are for one that never does. */
static enum wr_status take_to_read(struct wr_frozen *f, struct wr_err *e)
{
    bool mine;

    wr_mutex_lock(&f->mutex);
    while ((f->taken || f->wanted) && !wr_frozen_stopped(f))
        (void)wr_cond_wait_until(&f->cond, &f->mutex, real_ns() + NAP_NS);
    mine = !wr_frozen_stopped(f);
    if (mine)
        f->taken = true;
    wr_mutex_unlock(&f->mutex);
    return mine ? WR_OK : wr_fail(e, WR_CANCELED, "the database is being detached");
}

enum wr_status wr_frozen_read(
    struct wr_frozen *f, uint32_t first, uint32_t n, uint8_t *buf, struct wr_err *e)
{
    enum wr_status st = take_to_read(f, e);

    if (st != WR_OK)
        return st;
    assert(first >= f->next && n > 0 && n <= f->view.commit - first + 1);
    st = wr_view_run(&f->view, first, n, buf, e);
    if (st == WR_OK)
        st = wr_kept_get(&f->kept, first, n, buf, e);
    if (st == WR_OK)
        f->next = first + n;
    give(f);
    return st;
}

enum wr_status wr_frozen_hold(struct wr_frozen *f, int64_t patience_ns)
{
    int64_t until = real_ns() + patience_ns;
    enum wr_status st = WR_OK;

    wr_mutex_lock(&f->mutex);
    f->wanted = true;
    while (f->taken && st == WR_OK) {
        if (!wr_cond_wait_until(&f->cond, &f->mutex, until) && f->taken)
            st = WR_BUSY;
    }
    if (st == WR_OK)
        f->taken = true;
    f->wanted = false;
    wr_cond_broadcast(&f->cond);
    wr_mutex_unlock(&f->mutex);
    return st;
}

void wr_frozen_let(struct wr_frozen *f)
{
    give(f);
}

/* Pages to keep are handed over one by one, ascending, and moved in runs. */
struct keeping {
    struct wr_frozen *f;
    uint8_t *buf; /* from the first run on */
    uint32_t per_run;
    uint32_t first, n; /* the run that grows */
    size_t room;       /* pages that may still be kept */
    bool all;          /* none had to be left */
};

static enum wr_status move_run(struct keeping *k, struct wr_err *e)
{
    struct wr_frozen *f = k->f;
    enum wr_status st;

    if (k->n == 0)
        return WR_OK;
    if (!k->buf && !(k->buf = wr_array(k->per_run, f->view.page_size)))
        return wr_fail(e, WR_NOMEM, "keep old pages");
    st = wr_view_run(&f->view, k->first, k->n, k->buf, e);
    if (st == WR_OK)
        st = wr_kept_put(&f->kept, k->first, k->n, k->buf, e);
    k->n = 0;
    return st;
}

static bool is_wanted(const struct wr_frozen *f, uint32_t pgno)
{
    return pgno >= f->next && pgno <= f->view.commit && pgno != f->view.lock_pgno &&
           !wr_kept_has(&f->kept, pgno);
}

static enum wr_status keep_one(struct keeping *k, uint32_t pgno, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    if (k->room == 0) {
        k->all = false;
        return WR_OK;
    }
    if (k->n > 0 && (pgno != k->first + k->n || k->n == k->per_run))
        st = move_run(k, e);
    if (k->n == 0)
        k->first = pgno;
    k->n++;
    k->room--;
    return st;
}

static int ascending(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;

    return (*x > *y) - (*x < *y);
}

/* Pages with a frame that is not in the database file. Few of a long WAL are wanted, and writers
 * may be waiting: only those are sorted. */
static enum wr_status keep_overwritten(
    struct keeping *k, const struct wr_view *now, struct wr_err *e)
{
    const struct wr_pgmap *m = &now->frames;
    uint32_t *pages = NULL;
    size_t n = 0;
    enum wr_status st = WR_OK;

    for (int fill = 0; fill < 2; fill++) {
        if (fill && n == 0)
            return WR_OK;
        if (fill && !(pages = wr_array(n, sizeof(*pages))))
            return wr_fail(e, WR_NOMEM, "keep old pages");
        n = 0;
        for (size_t i = 0; i < m->cap; i++) {
            if (m->keys[i] == 0 || m->values[i] <= now->backfilled || !is_wanted(k->f, m->keys[i]))
                continue;
            if (fill)
                pages[n] = m->keys[i];
            n++;
        }
    }
    qsort(pages, n, sizeof(*pages), ascending);
    for (size_t i = 0; i < n && st == WR_OK && k->all; i++)
        st = keep_one(k, pages[i], e);
    wr_free(pages);
    return st == WR_OK ? move_run(k, e) : st;
}

/* A checkpoint cuts the database file to its new size. */
static enum wr_status keep_cut_off(struct keeping *k, const struct wr_view *now, struct wr_err *e)
{
    struct wr_frozen *f = k->f;
    uint64_t first = wr_max((uint64_t)now->commit + 1, (uint64_t)f->next);
    enum wr_status st = WR_OK;

    for (uint64_t p = first; p < f->cut && st == WR_OK && k->all; p++) {
        if (is_wanted(f, (uint32_t)p))
            st = keep_one(k, (uint32_t)p, e);
    }
    if (st == WR_OK)
        st = move_run(k, e);
    if (st == WR_OK && k->all)
        f->cut = wr_min(f->cut, first);
    return st;
}

enum wr_status wr_frozen_keep(
    struct wr_frozen *f, const struct wr_view *now, size_t max, bool *ret_all, struct wr_err *e)
{
    struct keeping k = {.f = f, .room = max, .all = true};
    enum wr_status st;

    assert(f->taken);
    *ret_all = false;
    k.per_run = wr_max((uint32_t)(RUN_BYTES / f->view.page_size), 1u);
    st = keep_overwritten(&k, now, e);
    if (st == WR_OK && k.all)
        st = keep_cut_off(&k, now, e);
    wr_free(k.buf);
    *ret_all = st == WR_OK && k.all;
    if (*ret_all)
        wr_pgmap_release(&f->view.frames);
    return st;
}
