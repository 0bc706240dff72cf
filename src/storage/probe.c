/*
 * probe.c - see probe.h.
 *
 *   put A            refused: only a listing is tried, for who may just read
 *   get A            a range from its middle
 *   list A           finds it, with its size
 *   create B         a second time, with other bytes: must be refused
 *   upload C         in one part
 *   remove A B C     then A must not be found
 *
 * An answer that was lost may hide an object, so all that was not plainly refused is removed.
 */
#include "storage/probe.h"

#include "base/crypto.h"
#include "storage/storage_int.h"

#define OBJECTS       3
#define BODY_SIZE     1000 /* bytes */
#define RANGE_OFF     300
#define RANGE_N       200
#define NAME_MAX_ROOM 48

struct probe {
    struct wr_storage *s;
    const struct wr_call *c;
    int64_t step_ms;
    wr_probe_fn *fn;
    void *arg;
    struct wr_str keys[OBJECTS];
    bool maybe[OBJECTS]; /* it may be there */
    uint8_t body[BODY_SIZE];
    unsigned left;
    enum wr_status st; /* of the first step that failed */
    struct wr_err *err;
};

/* Whether this answer says that nothing was written. */
static bool is_refusal(enum wr_status st)
{
    return st == WR_AUTH || st == WR_CONFLICT || st == WR_UNSUPPORTED || st == WR_MISUSE ||
           st == WR_LIMIT;
}

static struct wr_bytes body_of(const struct probe *p, size_t n)
{
    return (struct wr_bytes){p->body, n};
}

static enum wr_status put(
    struct probe *p, struct wr_call *c, unsigned i, bool if_absent, size_t n, struct wr_err *e)
{
    const struct wr_put_opts o = {.if_absent = if_absent};
    enum wr_status st;

    p->maybe[i] = true;
    st = wr_storage_put(p->s, c, p->keys[i], body_of(p, n), &o, e);
    return st;
}

static enum wr_status try_put(struct probe *p, struct wr_call *c, struct wr_err *e)
{
    enum wr_status st = put(p, c, 0, false, BODY_SIZE, e);

    p->maybe[0] = !is_refusal(st);
    return st;
}

static enum wr_status try_get(struct probe *p, struct wr_call *c, struct wr_err *e)
{
    uint8_t got[RANGE_N];
    size_t n = 0;
    enum wr_status st = wr_storage_get(p->s, c, p->keys[0], RANGE_OFF, got, RANGE_N, &n, e);

    if (st == WR_OK && (n != RANGE_N || memcmp(got, p->body + RANGE_OFF, RANGE_N) != 0))
        return wr_fail(e, WR_UNSUPPORTED,
            "bytes %d to %d of an object were asked for, and others came", RANGE_OFF,
            RANGE_OFF + RANGE_N - 1);
    return st;
}

struct seen {
    struct wr_str key;
    uint64_t size;
    bool found;
};

static bool look(void *arg, const struct wr_object *obj)
{
    struct seen *x = arg;

    if (wr_str_eq(obj->key, x->key)) {
        x->found = true;
        x->size = obj->size;
    }
    return !x->found;
}

static enum wr_status try_list(struct probe *p, struct wr_call *c, struct wr_err *e)
{
    struct seen x = {.key = p->keys[0]};
    enum wr_status st = wr_storage_list(p->s, c, p->keys[0], WR_STR(""), look, &x, e);

    if (st != WR_OK || !p->maybe[0])
        return st;
    if (!x.found)
        return wr_fail(e, WR_UNSUPPORTED,
            "an object that was just written is missing from the listing: the store is not "
            "consistent");
    if (x.size != BODY_SIZE)
        return wr_fail(e, WR_UNSUPPORTED, "the listing has %llu bytes for an object of %d",
            (unsigned long long)x.size, BODY_SIZE);
    return WR_OK;
}

static enum wr_status try_create(struct probe *p, struct wr_call *c, struct wr_err *e)
{
    struct wr_storage_learnt learnt;
    enum wr_status st = put(p, c, 1, true, BODY_SIZE, e);

    if (st != WR_OK) {
        p->maybe[1] = !is_refusal(st);
        return st == WR_CONFLICT ? wr_wrap(e, WR_UNSUPPORTED, "a new object is said to exist") : st;
    }
    st = put(p, c, 1, true, BODY_SIZE / 2, e);
    if (st == WR_OK)
        return wr_fail(e, WR_UNSUPPORTED,
            "an object that must not exist was written over: the store ignores the condition");
    if (st != WR_CONFLICT)
        return st;
    wr_storage_learnt(p->s, &learnt);
    if (learnt.no_condition)
        return wr_fail(e, WR_UNSUPPORTED, "the store has no conditional writes");
    return WR_OK;
}

static enum wr_status try_upload(struct probe *p, struct wr_call *c, struct wr_err *e)
{
    struct wr_storage_upload u = {0};
    const struct wr_put_opts o = {0};
    enum wr_status st = wr_storage_upload_begin(p->s, c, p->keys[2], &o, &u, e);

    if (st != WR_OK)
        return st;
    st = wr_storage_upload_part(&u, c, body_of(p, BODY_SIZE), e);
    if (st != WR_OK) {
        wr_storage_upload_abort(&u, c);
        return st;
    }
    p->maybe[2] = true;
    return wr_storage_upload_commit(&u, c, e);
}

static enum wr_status try_remove(struct probe *p, struct wr_call *c, struct wr_err *e)
{
    struct wr_str keys[OBJECTS];
    struct wr_object o;
    size_t n = 0;
    enum wr_status st;

    for (unsigned i = 0; i < OBJECTS; i++)
        if (p->maybe[i])
            keys[n++] = p->keys[i];
    p->left = (unsigned)n;
    st = wr_storage_remove(p->s, c, keys, n, e);
    if (st != WR_OK)
        return st;
    /* Not to be told apart from AUTH by who may not list, and no other failure says anything. */
    if (wr_storage_stat(p->s, c, keys[0], &o, NULL) == WR_OK)
        return wr_fail(e, WR_UNSUPPORTED,
            "the store said that it deleted " WR_FMT ", and it is still there", WR_ARG(keys[0]));
    p->left = 0;
    return WR_OK;
}

/* One step with its time, told. */
static enum wr_status step(struct probe *p, enum wr_probe_step which)
{
    static enum wr_status (*const steps[])(struct probe *, struct wr_call *, struct wr_err *) = {
        [WR_PROBE_PUT] = try_put,
        [WR_PROBE_GET] = try_get,
        [WR_PROBE_LIST] = try_list,
        [WR_PROBE_CREATE] = try_create,
        [WR_PROBE_UPLOAD] = try_upload,
        [WR_PROBE_REMOVE] = try_remove,
    };
    int64_t begin = wr_mono_ns(p->c->clock);
    struct wr_call c = *p->c;
    struct wr_err e = {0};
    enum wr_status st;

    c.deadline_ms = wr_min(c.deadline_ms, begin / 1000000 + p->step_ms);
    if (which == WR_PROBE_REMOVE) { /* whoever is in a hurry has even less use for what is left */
        c.deadline_ms = begin / 1000000 + p->step_ms;
        c.cancel = NULL;
    }
    st = steps[which](p, &c, &e);
    p->fn(p->arg, which, st, wr_mono_ns(p->c->clock) - begin, st == WR_OK ? "" : e.text);
    if (st != WR_OK && p->st == WR_OK) {
        p->st = st;
        if (p->err)
            *p->err = e;
    }
    return st;
}

static enum wr_status name(struct probe *p, struct wr_err *e)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t random[16];

    for (unsigned i = 0; i < OBJECTS; i++) {
        char hex[2 * sizeof(random) + 1];
        enum wr_status st = wr_random(random, sizeof(random), e);

        if (st != WR_OK)
            return st;
        for (size_t k = 0; k < sizeof(random); k++) {
            hex[2 * k] = digits[random[k] >> 4];
            hex[2 * k + 1] = digits[random[k] & 15];
        }
        hex[2 * sizeof(random)] = '\0';
        p->keys[i] = wr_arena_fmt(
            p->c->scratch, WR_FMT WR_PROBE_NAME "%s", WR_ARG(wr_storage_prefix(p->s)), hex);
        if (!p->keys[i].p)
            return wr_fail(e, WR_NOMEM, "probe: out of memory");
    }
    for (size_t k = 0; k < BODY_SIZE; k++)
        p->body[k] = (uint8_t)(k * 7 + (k >> 8));
    return WR_OK;
}

enum wr_status wr_storage_probe(struct wr_storage *s, const struct wr_call *c, int64_t step_ms,
    wr_probe_fn *fn, void *arg, unsigned *ret_left, struct wr_err *e)
{
    struct probe p = {.s = s, .c = c, .step_ms = step_ms, .fn = fn, .arg = arg, .err = e};
    enum wr_status st = name(&p, e);

    if (st != WR_OK)
        return st;
    st = step(&p, WR_PROBE_PUT);
    if (st == WR_OK)
        (void)step(&p, WR_PROBE_GET); /* it is noted, and the rest says more */
    if (st == WR_OK || st == WR_AUTH)
        (void)step(&p, WR_PROBE_LIST);
    if (st == WR_OK && (wr_storage_caps(s) & WR_STORAGE_COND_PUT))
        (void)step(&p, WR_PROBE_CREATE);
    if (st == WR_OK && s->ops->part_min > 0)
        (void)step(&p, WR_PROBE_UPLOAD);
    if (p.maybe[0])
        (void)step(&p, WR_PROBE_REMOVE);
    *ret_left = p.left;
    return p.st;
}
