/*
 * faultstore.c - decides by seed which call fails how, and makes it so with the inner driver's
 * help.
 *
 * Knows nothing of what is stored. The lock guards the dice only; the inner driver is called
 * without it. A call rolls each armed fault in the order of enum fault_kind, and the first that
 * strikes is the one that happens.
 */
#include "fake/faultstore.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/sync.h"

#define BURST_MAX 4
#define DELAY_MAX ((uint64_t)1000000000) /* ns */

struct armed {
    unsigned ops, permille;
    uint64_t times, fired;
};

struct faultstore {
    struct wr_storage_ops ops; /* the inner driver's, with our slots */
    const struct wr_storage_ops *inner_ops;
    void *inner;
    struct wr_clock_manual *clock;
    struct wr_mutex mutex;
    struct wr_rand rng; /* this and all below: guarded by mutex */
    struct armed armed[FAULT_KINDS];
    unsigned burst;         /* calls that are still BUSY */
    struct wr_buf last_put; /* key of the last put that went through */
};

struct wr_upload {
    struct faultstore *f;
    struct wr_upload *inner;
    bool part_done; /* the last part arrived though its answer was lost */
};

/* ---- dice ---- */

/* The fault that strikes a call of class `op`, or FAULT_KINDS. */
static enum fault_kind roll(struct faultstore *f, unsigned op)
{
    enum fault_kind hit = FAULT_KINDS;

    wr_mutex_lock(&f->mutex);
    if (f->burst > 0) {
        f->burst--;
        hit = FAULT_BUSY;
    }
    for (int k = 0; k < FAULT_KINDS && hit == FAULT_KINDS; k++) {
        struct armed *a = &f->armed[k];
        if (!(a->ops & op) || a->fired == a->times || wr_rand_below(&f->rng, 1000) >= a->permille)
            continue;
        a->fired++;
        hit = (enum fault_kind)k;
        if (hit == FAULT_BUSY)
            f->burst = (unsigned)wr_rand_below(&f->rng, BURST_MAX);
    }
    wr_mutex_unlock(&f->mutex);
    return hit;
}

static uint64_t draw(struct faultstore *f, uint64_t n)
{
    wr_mutex_lock(&f->mutex);
    uint64_t v = wr_rand_below(&f->rng, n);
    wr_mutex_unlock(&f->mutex);
    return v;
}

/* What happens before the inner call: OK when there is to be one. *ret_hit says what is left to do
 * around it. */
static enum wr_status strike(
    struct faultstore *f, unsigned op, enum fault_kind *ret_hit, struct wr_err *e)
{
    *ret_hit = roll(f, op);
    if (*ret_hit == FAULT_BEFORE)
        return wr_fail(e, WR_TIMEOUT, "injected: the request was lost");
    if (*ret_hit == FAULT_BUSY)
        return wr_fail(e, WR_BUSY, "injected: slow down");
    if (*ret_hit == FAULT_BROKEN)
        return wr_fail(e, WR_IO, "injected: broken");
    if (*ret_hit == FAULT_GONE)
        return wr_fail(e, WR_MISUSE, "injected: no such bucket");
    if (*ret_hit == FAULT_DELAY && f->clock)
        wr_clock_manual_advance(f->clock, (int64_t)draw(f, DELAY_MAX));
    return WR_OK;
}

/* What happens after it. */
static enum wr_status settle(enum fault_kind hit, enum wr_status st, struct wr_err *e)
{
    if (hit == FAULT_AFTER && st == WR_OK)
        return wr_fail(e, WR_TIMEOUT, "injected: the answer was lost");
    return st;
}

/* ---- open, close, arm ---- */

static enum wr_status fault_open(const struct wr_settings *set, void **self, struct wr_err *e)
{
    (void)set;
    (void)self;
    return wr_fail(e, WR_MISUSE, "a fault store is made by faultstore_new");
}

static void fault_close(void *self)
{
    struct faultstore *f = self;

    if (!f)
        return;
    f->inner_ops->close(f->inner);
    wr_buf_release(&f->last_put);
    wr_mutex_release(&f->mutex);
    wr_free(f);
}

void faultstore_lists_late(struct faultstore *f)
{
    f->ops.caps &= ~(unsigned)WR_STORAGE_LIST_NOW;
}

void faultstore_arm(
    struct faultstore *f, enum fault_kind kind, unsigned ops, unsigned permille, uint64_t times)
{
    static const unsigned sensible[FAULT_KINDS] = {
        [FAULT_BEFORE] = FAULT_ON_ALL,
        [FAULT_AFTER] = FAULT_ON_ALL & ~(unsigned)FAULT_ON_BEGIN,
        [FAULT_BUSY] = FAULT_ON_ALL,
        [FAULT_BROKEN] = FAULT_ON_ALL,
        [FAULT_GONE] = FAULT_ON_ALL,
        [FAULT_DELAY] = FAULT_ON_ALL,
        [FAULT_STALE] = FAULT_ON_LIST,
        [FAULT_CUT_LIST] = FAULT_ON_LIST,
        [FAULT_TWICE] = FAULT_ON_PUT,
        [FAULT_RIVAL] = FAULT_ON_PUT,
        [FAULT_SHORT_GET] = FAULT_ON_GET,
    };

    wr_mutex_lock(&f->mutex);
    f->armed[kind] = (struct armed){
        .ops = ops & sensible[kind],
        .permille = permille,
        .times =
            f->armed[kind].fired > UINT64_MAX - times ? UINT64_MAX : f->armed[kind].fired + times,
        .fired = f->armed[kind].fired,
    };
    wr_mutex_unlock(&f->mutex);
}

void faultstore_calm(struct faultstore *f)
{
    wr_mutex_lock(&f->mutex);
    for (int k = 0; k < FAULT_KINDS; k++)
        f->armed[k].ops = 0;
    f->burst = 0;
    wr_mutex_unlock(&f->mutex);
}

uint64_t faultstore_fired(struct faultstore *f, enum fault_kind kind)
{
    wr_mutex_lock(&f->mutex);
    uint64_t n = f->armed[kind].fired;
    wr_mutex_unlock(&f->mutex);
    return n;
}

/* ---- list ---- */

struct passing {
    struct faultstore *f;
    wr_list_fn *fn;
    void *arg;
    struct wr_buf hidden; /* key that this listing misses */
    bool cut;
    uint64_t left; /* objects to pass on before the cut */
    bool was_cut;
};

static bool pass(void *arg, const struct wr_object *obj)
{
    struct passing *p = arg;

    if (p->hidden.n && wr_str_eq(obj->key, wr_buf_view(&p->hidden)))
        return true;
    if (p->cut && p->left-- == 0) {
        p->was_cut = true;
        return false;
    }
    return p->fn(p->arg, obj);
}

static enum wr_status fault_list(void *self, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    struct faultstore *f = self;
    enum fault_kind hit;
    struct passing p = {.f = f, .fn = fn, .arg = arg};
    enum wr_status st = strike(f, FAULT_ON_LIST, &hit, e);

    if (st != WR_OK)
        return st;
    wr_buf_init(&p.hidden, 4096);
    if (hit == FAULT_STALE) {
        wr_mutex_lock(&f->mutex);
        wr_buf_str(&p.hidden, wr_buf_view(&f->last_put));
        wr_mutex_unlock(&f->mutex);
    }
    p.cut = hit == FAULT_CUT_LIST;
    p.left = p.cut ? draw(f, 8) : 0;
    st = f->inner_ops->list(f->inner, c, prefix, after, pass, &p, e);
    if (st == WR_OK && p.was_cut)
        st = wr_fail(e, WR_TIMEOUT, "injected: the listing broke off");
    wr_buf_release(&p.hidden);
    return settle(hit, st, e);
}

/* ---- stat, get, put, remove ---- */

static enum wr_status fault_stat(
    void *self, struct wr_call *c, struct wr_str key, struct wr_object *out, struct wr_err *e)
{
    struct faultstore *f = self;
    enum fault_kind hit;
    enum wr_status st = strike(f, FAULT_ON_STAT, &hit, e);

    if (st == WR_OK)
        st = f->inner_ops->stat(f->inner, c, key, out, e);
    return settle(hit, st, e);
}

static enum wr_status fault_get(void *self, struct wr_call *c, struct wr_str key, uint64_t off,
    void *buf, size_t n, size_t *got, struct wr_str *version, struct wr_err *e)
{
    struct faultstore *f = self;
    enum fault_kind hit;
    enum wr_status st = strike(f, FAULT_ON_GET, &hit, e);

    if (st == WR_OK)
        st = f->inner_ops->get(f->inner, c, key, off, buf, n, got, version, e);
    if (st == WR_OK && hit == FAULT_SHORT_GET && *got > 0)
        *got = (size_t)draw(f, *got);
    return settle(hit, st, e);
}

static void note_put(struct faultstore *f, struct wr_str key)
{
    wr_mutex_lock(&f->mutex);
    wr_buf_clear(&f->last_put);
    wr_buf_str(&f->last_put, key);
    wr_mutex_unlock(&f->mutex);
}

/* The rival's object takes the place just before ours; its bytes are never those of ours. */
static enum wr_status lose_to_rival(struct faultstore *f, struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, struct wr_err *e)
{
    static const uint8_t text[] = "a rival was faster";
    const struct wr_bytes body = {text, sizeof(text) - 1};
    enum wr_status st = f->inner_ops->put(f->inner, c, key, body, o, NULL, e);

    return st == WR_OK ? wr_fail(e, WR_CONFLICT, "injected: a rival was faster") : st;
}

static enum wr_status fault_put(void *self, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e)
{
    struct faultstore *f = self;
    enum fault_kind hit;
    enum wr_status st = strike(f, FAULT_ON_PUT, &hit, e);

    if (st != WR_OK)
        return st;
    if (hit == FAULT_RIVAL && (o->if_absent || o->if_match.n))
        return lose_to_rival(f, c, key, o, e);
    st = f->inner_ops->put(f->inner, c, key, body, o, out, e);
    if (st == WR_OK) {
        note_put(f, key);
        if (hit == FAULT_TWICE)
            (void)f->inner_ops->put(f->inner, c, key, body, o, NULL, NULL); /* its answer is lost */
    }
    return settle(hit, st, e);
}

static enum wr_status fault_remove(
    void *self, struct wr_call *c, const struct wr_str *keys, size_t n, struct wr_err *e)
{
    struct faultstore *f = self;
    enum fault_kind hit;
    enum wr_status st = strike(f, FAULT_ON_REMOVE, &hit, e);

    if (st == WR_OK)
        st = f->inner_ops->remove(f->inner, c, keys, n, e);
    return settle(hit, st, e);
}

/* ---- uploads ---- */

static enum wr_status fault_begin(void *self, struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, struct wr_upload **out, struct wr_err *e)
{
    struct faultstore *f = self;
    enum fault_kind hit;
    enum wr_status st = strike(f, FAULT_ON_BEGIN, &hit, e);

    if (st != WR_OK)
        return st;
    struct wr_upload *u = wr_alloc(sizeof(*u));
    if (!u)
        return wr_fail(e, WR_NOMEM, "fault store: out of memory");
    u->f = f;
    st = f->inner_ops->upload_begin(f->inner, c, key, o, &u->inner, e);
    if (st == WR_OK)
        *out = u;
    else
        wr_free(u);
    return st;
}

/* A part whose answer was lost is sent again and takes its own place; for an inner driver that
 * appends, the second one must not arrive. */
static enum wr_status fault_part(
    struct wr_upload *u, struct wr_call *c, struct wr_bytes part, struct wr_err *e)
{
    enum fault_kind hit;
    enum wr_status st = strike(u->f, FAULT_ON_PART, &hit, e);

    if (st != WR_OK)
        return st;
    if (!u->part_done)
        st = u->f->inner_ops->upload_part(u->inner, c, part, e);
    u->part_done = st == WR_OK && hit == FAULT_AFTER;
    return settle(hit, st, e);
}

static void fault_abort(struct wr_upload *u, struct wr_call *c)
{
    u->f->inner_ops->upload_abort(u->inner, c);
    wr_free(u);
}

static enum wr_status fault_commit(
    struct wr_upload *u, struct wr_call *c, struct wr_object *out, struct wr_err *e)
{
    enum fault_kind hit;
    enum wr_status st = strike(u->f, FAULT_ON_COMMIT, &hit, e);

    if (st != WR_OK) {
        fault_abort(u, c);
        return st;
    }
    st = u->f->inner_ops->upload_commit(u->inner, c, out, e);
    wr_free(u);
    return settle(hit, st, e);
}

struct faultstore *faultstore_new(const struct wr_storage_ops *inner_ops, void *inner,
    uint64_t seed, struct wr_clock_manual *clock)
{
    struct faultstore *f = wr_alloc(sizeof(*f));

    if (!f)
        return NULL;
    f->inner_ops = inner_ops;
    f->inner = inner;
    f->clock = clock;
    wr_rand_init(&f->rng, seed);
    wr_mutex_init(&f->mutex);
    wr_buf_init(&f->last_put, 4096);
    f->ops = *inner_ops;
    f->ops.open = fault_open;
    f->ops.close = fault_close;
    f->ops.list = fault_list;
    f->ops.stat = fault_stat;
    f->ops.get = fault_get;
    f->ops.put = fault_put;
    f->ops.remove = fault_remove;
    if (inner_ops->part_min > 0) {
        f->ops.upload_begin = fault_begin;
        f->ops.upload_part = fault_part;
        f->ops.upload_commit = fault_commit;
        f->ops.upload_abort = fault_abort;
    }
    return f;
}

const struct wr_storage_ops *faultstore_ops(const struct faultstore *f)
{
    return &f->ops;
}
