/*
 * store_bucket.c - what the store does with a request that has arrived: objects by key, uploads by
 * number.
 *
 * An object is never changed in place. A version is a hash of the contents, as S3's is: equal bytes
 * have equal versions. Removed objects stay as tombstones in a weak store, for its stale lists.
 */
#include "sim/store_int.h"

#include "base/mem.h"

bool store_after_death, store_doubled;
const char *store_sender;
void (*store_on_put)(
    struct store *s, const char *key, const uint8_t *p, size_t n, const uint8_t *old, size_t old_n);
void (*store_on_remove)(struct store *s, const char *key);

static void fail(struct store_request *r, enum wr_status st, const char *text)
{
    r->st = st;
    r->text = text;
}

/* ---- objects ---- */

/* Where `key` is, or would be. */
static size_t place_of(const struct store *s, struct wr_str key)
{
    size_t lo = 0, hi = s->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (wr_str_cmp(s->objects[mid]->key, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* NULL: no such object. */
static struct store_object *find(const struct store *s, struct wr_str key)
{
    size_t i = place_of(s, key);

    return i < s->n && wr_str_eq(s->objects[i]->key, key) && !s->objects[i]->gone ? s->objects[i]
                                                                                  : NULL;
}

static void object_free(struct store_object *o)
{
    char *key;

    if (!o)
        return;
    memcpy(&key, &o->key.p, sizeof(key)); /* the view is const, the memory is not */
    wr_free(key);
    wr_free(o->body);
    wr_free(o);
}

static void take_out(struct store *s, size_t i)
{
    memmove(&s->objects[i], &s->objects[i + 1], (--s->n - i) * sizeof(*s->objects));
}

static void put_in(struct store *s, size_t i, struct store_object *o)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 64;
        s->objects = wr_resize(s->objects, s->cap, sizeof(*s->objects));
        if (!s->objects)
            abort();
    }
    memmove(&s->objects[i + 1], &s->objects[i], (s->n - i) * sizeof(*s->objects));
    s->objects[i] = o;
    s->n++;
}

/* Eight bytes at a time, in the machine's order: a version leaves it never. */
static void set_version(struct store_object *o)
{
    const uint64_t by = UINT64_C(0x9FB21C651E98DF25);
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ o->n, x = 0;
    size_t i = 0;

    for (; o->n - i >= sizeof(x); i += sizeof(x)) {
        memcpy(&x, o->body + i, sizeof(x));
        h = (h ^ x) * by;
        h ^= h >> 32;
    }
    for (; i < o->n; i++)
        h = (h ^ o->body[i]) * by;
    h ^= h >> 29;
    (void)snprintf(o->version, sizeof(o->version), "\"%016llx\"", (unsigned long long)h);
}

static struct store_object *object_new(
    struct wr_str key, struct wr_bytes body, const struct wr_put_opts *opts)
{
    struct store_object *o = wr_alloc(sizeof(*o));

    if (!o)
        abort();
    o->key = (struct wr_str){wr_strndup(key.p, key.n), key.n};
    o->body = wr_alloc(body.n);
    if (!o->key.p || !o->body)
        abort();
    if (body.n)
        memcpy(o->body, body.p, body.n);
    o->n = body.n;
    o->written_ms = wr_wall_ms(wr_clock_system());
    o->time_ms = opts->time_ms ? opts->time_ms : o->written_ms;
    o->since_ns = sim_now_ns();
    set_version(o);
    return o;
}

static struct wr_object describe(
    struct store_request *r, const struct store_object *o, int64_t time_ms)
{
    return (struct wr_object){.key = store_keep_str(r, o->key),
        .size = o->n,
        .time_ms = time_ms,
        .version = store_keep_str(r, wr_str(o->version))};
}

/* ---- put and remove ---- */

/* What is there stands against the condition, if the store knows conditions. */
static bool refused(
    const struct store *s, const struct wr_put_opts *o, const struct store_object *is)
{
    if (!(s->ops.caps & WR_STORAGE_COND_PUT))
        return false;
    if (o->if_absent)
        return is != NULL;
    return o->if_match.n && (!is || !wr_str_eq(wr_str(is->version), o->if_match));
}

static void put(struct store *s, struct store_request *r, struct wr_bytes body)
{
    const size_t i = place_of(s, r->key);
    struct store_object *was = NULL, *old = find(s, r->key), *o;

    if (refused(s, &r->opts, old)) {
        store_counts.conflicts++;
        fail(r, WR_CONFLICT, "the precondition failed");
        return;
    }
    store_counts.returned += !r->client && !old; /* a copy of a put, which was there */
    o = object_new(r->key, body, &r->opts);
    if (old)
        o->since_ns = old->since_ns; /* lists have shown the key since then */
    if (i < s->n && wr_str_eq(s->objects[i]->key, r->key)) {
        was = s->objects[i]; /* the old one, or its tombstone */
        s->objects[i] = o;
    } else {
        put_in(s, i, o);
    }
    r->about = describe(r, o, o->time_ms);
    if (store_on_put)
        store_on_put(s, o->key.p, o->body, o->n, old ? old->body : NULL, old ? old->n : 0);
    object_free(was);
}

static void remove_key(struct store *s, struct wr_str key)
{
    struct store_object *o = find(s, key);

    if (!o)
        return;
    o->gone = true;
    o->since_ns = sim_now_ns();
    if (s->lag_ns == 0)
        take_out(s, place_of(s, key));
    if (store_on_remove)
        store_on_remove(s, o->key.p);
    if (s->lag_ns == 0)
        object_free(o);
}

static void remove_keys(struct store *s, struct store_request *r)
{
    for (size_t i = 0; i < r->n; i++) {
        if (!store_strikes(s, STORE_KEY_ERROR)) {
            remove_key(s, r->keys[i]);
            continue;
        }
        store_counts.key_errors++;
        if (r->st == WR_OK)
            fail(r, WR_BUSY,
                wr_arena_fmt(&r->mem, "delete " WR_FMT ": internal error", WR_ARG(r->keys[i])).p);
    }
}

/* ---- list, stat, get ---- */

/* Tombstones that no list shows any more. */
static void sweep(struct store *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->n; i++) {
        struct store_object *o = s->objects[i];

        if (o->gone && sim_now_ns() - o->since_ns >= s->lag_ns)
            object_free(o);
        else
            s->objects[kept++] = o;
    }
    s->n = kept;
}

static bool shows(
    const struct store *s, const struct store_request *r, const struct store_object *o)
{
    bool fresh = sim_now_ns() - o->since_ns < s->lag_ns;

    return r->stale && fresh ? o->gone : !o->gone;
}

/* A page. */
static void list(struct store *s, struct store_request *r)
{
    struct wr_str from = wr_str_cmp(r->after, r->key) > 0 ? r->after : r->key;
    bool wrong = false;

    if (s->lag_ns)
        sweep(s);
    r->objects = wr_arena_array(&r->mem, s->page_max, sizeof(*r->objects));
    if (!r->objects)
        abort();
    for (size_t i = place_of(s, from); i < s->n && wr_str_starts(s->objects[i]->key, r->key); i++) {
        const struct store_object *o = s->objects[i];
        bool shown = shows(s, r, o);

        if (wr_str_eq(o->key, r->after))
            continue;
        wrong = wrong || shown == o->gone;
        if (!shown)
            continue;
        r->more = r->n_objects == s->page_max;
        if (r->more)
            break;
        r->objects[r->n_objects++] =
            describe(r, o, s->ops.caps & WR_STORAGE_LIST_TIME ? o->time_ms : o->written_ms);
        r->objects[r->n_objects - 1].stored_ms = o->written_ms;
    }
    store_counts.stale_lists += wrong;
}

static void stat_object(struct store *s, struct store_request *r)
{
    const struct store_object *o = find(s, r->key);

    if (o)
        r->about = describe(r, o, o->time_ms);
    else
        fail(r, WR_NOTFOUND, "no such object");
}

static void get(struct store *s, struct store_request *r)
{
    const struct store_object *o = find(s, r->key);

    if (!o)
        fail(r, WR_NOTFOUND, "no such object");
    else if (r->off < o->n)
        r->data = store_keep_bytes(r, o->body + r->off, wr_min(r->n, o->n - (size_t)r->off));
}

/* ---- uploads ---- */

static void upload_begin(struct store *s, struct store_request *r)
{
    struct store_upload *u = wr_alloc(sizeof(*u)), **last = &s->uploads;

    if (!u)
        abort();
    u->id = ++s->upload_ids;
    while (*last)
        last = &(*last)->next;
    *last = u;
    r->made_id = u->id;
}

/* Where the upload is linked in; NULL, and a failure, when it is not there. */
static struct store_upload **upload_of(struct store *s, struct store_request *r)
{
    struct store_upload **u = &s->uploads;

    while (*u && (*u)->id != r->upload)
        u = &(*u)->next;
    if (*u)
        return u;
    fail(r, WR_NOTFOUND, "no such upload");
    return NULL;
}

static void upload_part(struct store *s, struct store_request *r)
{
    struct store_upload **at = upload_of(s, r), *u;

    if (!at)
        return;
    u = *at;
    if (r->n >= u->cap) {
        size_t cap = wr_max(r->n + 1, 2 * u->cap);

        u->parts = wr_resize(u->parts, cap, sizeof(*u->parts));
        if (!u->parts)
            abort();
        memset(u->parts + u->cap, 0, (cap - u->cap) * sizeof(*u->parts));
        u->cap = cap;
    }
    wr_free(u->parts[r->n].p);
    u->parts[r->n] = (struct store_part){.p = wr_alloc(r->body.n), .n = r->body.n};
    if (!u->parts[r->n].p)
        abort();
    memcpy(u->parts[r->n].p, r->body.p, r->body.n);
    u->n = wr_max(u->n, r->n + 1);
}

static void upload_end(struct store_upload **at)
{
    struct store_upload *u = *at;

    *at = u->next;
    for (size_t i = 0; i < u->n; i++)
        wr_free(u->parts[i].p);
    wr_free(u->parts);
    wr_free(u);
}

static void upload_commit(struct store *s, struct store_request *r)
{
    struct store_upload **at = upload_of(s, r);
    size_t n = 0, done = 0;
    uint8_t *all;

    if (!at)
        return;
    for (size_t i = 0; i < r->n; i++) {
        if (i >= (*at)->n || !(*at)->parts[i].p) {
            fail(r, WR_IO, "a part of the upload is not there");
            return;
        }
        n += (*at)->parts[i].n;
    }
    all = wr_arena_alloc(&r->mem, n);
    if (!all)
        abort();
    for (size_t i = 0; i < r->n; i++) {
        memcpy(all + done, (*at)->parts[i].p, (*at)->parts[i].n);
        done += (*at)->parts[i].n;
    }
    put(s, r, (struct wr_bytes){all, n});
    if (r->st == WR_OK)
        upload_end(at);
}

static void upload_abort(struct store *s, struct store_request *r)
{
    struct store_upload **at = upload_of(s, r);

    if (at)
        upload_end(at);
}

void store_apply(struct store *s, struct store_request *r)
{
    switch (r->verb) {
    case STORE_LIST:
        store_counts.list++;
        list(s, r);
        break;
    case STORE_STAT:
        store_counts.stat++;
        stat_object(s, r);
        break;
    case STORE_GET:
        store_counts.get++;
        get(s, r);
        break;
    case STORE_PUT:
        store_counts.put++;
        put(s, r, r->body);
        break;
    case STORE_REMOVE:
        store_counts.remove++;
        remove_keys(s, r);
        break;
    case STORE_UPLOAD_BEGIN:
        store_counts.upload++;
        upload_begin(s, r);
        break;
    case STORE_UPLOAD_PART:
        upload_part(s, r);
        break;
    case STORE_UPLOAD_COMMIT:
        upload_commit(s, r);
        break;
    case STORE_UPLOAD_ABORT:
        upload_abort(s, r);
        break;
    }
}
