/*
 * mem.c - a bucket in memory, for tests and for embedding: a table of objects under a mutex.
 *
 * Refuses to know files, networks and how long a process lives: what it holds is gone with its last
 * reference; and how objects are kept in order (mem_table.c). They are never changed in place: a
 * put replaces the pointer. A listing holds the lock only to find and copy the next object, so its
 * callback may use the bucket.
 */
#include "storage/drivers.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/sync.h"
#include "storage/mem_table.h"
#include "storage/settings.h"

#define PART_MIN      4096 /* bytes; small, so that tests reach uploads with little data */
#define SIZE_MAX_INIT ((uint64_t)1 << 30)

static const struct wr_option mem_options[] = {
    {"part-size", WR_OPT_SIZE, NULL, "1MiB", "bytes of an upload part, 4KiB or more"},
    {"size-max", WR_OPT_SIZE, NULL, "1GiB", "bytes of all objects; more is refused"},
    {NULL, WR_OPT_STR, NULL, NULL, NULL},
};

struct bucket {
    struct wr_mutex mutex;
    size_t refs; /* this and all below: guarded by mutex */
    struct wr_mem_table table;
    size_t uploads;
};

struct wr_upload {
    struct bucket *b;
    struct wr_buf body;
    bool if_absent;
    int64_t time_ms;
    struct wr_str key, if_match; /* copied into the block */
};

/* What a caller may know of `it`, in its own memory. */
static enum wr_status describe(
    struct wr_arena *a, const struct wr_mem_item *it, struct wr_object *out, struct wr_err *e)
{
    *out = (struct wr_object){
        .key = wr_arena_str(a, wr_mem_item_key(it)),
        .size = it->size,
        .time_ms = it->time_ms,
        .version = wr_arena_str(a, wr_str(it->version)),
    };
    if (!out->key.p || !out->version.p)
        return wr_fail(e, WR_NOMEM, "out of memory");
    return WR_OK;
}

/* ---- open, close ---- */

static enum wr_status mem_open(const struct wr_settings *set, void **self, struct wr_err *e)
{
    if (set && wr_settings_u64(set, "part-size") < PART_MIN)
        return wr_fail(e, WR_MISUSE, "part-size must be at least %d bytes", PART_MIN);
    struct bucket *b = wr_alloc(sizeof(*b));
    if (!b)
        return wr_fail(e, WR_NOMEM, "mem: out of memory");
    wr_mutex_init(&b->mutex);
    b->refs = 1;
    wr_mem_table_init(&b->table, set ? wr_settings_u64(set, "size-max") : SIZE_MAX_INIT);
    *self = b;
    return WR_OK;
}

static void mem_close(void *self)
{
    struct bucket *b = self;

    if (!b)
        return;
    wr_mutex_lock(&b->mutex);
    bool last = --b->refs == 0;
    wr_mutex_unlock(&b->mutex);
    if (!last)
        return;
    assert(b->uploads == 0);
    wr_mem_table_release(&b->table);
    wr_mutex_release(&b->mutex);
    wr_free(b);
}

void *wr_storage_mem_ref(void *self)
{
    struct bucket *b = self;

    wr_mutex_lock(&b->mutex);
    b->refs++;
    wr_mutex_unlock(&b->mutex);
    return b;
}

size_t wr_storage_mem_uploads(void *self)
{
    struct bucket *b = self;

    wr_mutex_lock(&b->mutex);
    size_t n = b->uploads;
    wr_mutex_unlock(&b->mutex);
    return n;
}

/* ---- list, stat, get ---- */

/* Where a listing stands. */
struct cursor {
    struct wr_buf key; /* of the last object, or where to start */
    bool inclusive;    /* an object at `key` itself is still to come */
    char version[WR_MEM_VERSION_MAX];
};

/* Copy the next object into the cursor and `obj`; false when there is none. */
static bool next(struct bucket *b, struct wr_str prefix, struct cursor *at, struct wr_object *obj)
{
    bool exact;

    wr_mutex_lock(&b->mutex);
    size_t i = wr_mem_table_find(&b->table, wr_buf_view(&at->key), &exact);
    if (exact && !at->inclusive)
        i++;
    bool found = i < b->table.n && wr_str_starts(wr_mem_item_key(b->table.items[i]), prefix);
    if (found) {
        const struct wr_mem_item *it = b->table.items[i];
        wr_buf_clear(&at->key);
        wr_buf_str(&at->key, wr_mem_item_key(it));
        memcpy(at->version, it->version, WR_MEM_VERSION_MAX);
        obj->size = it->size;
        obj->time_ms = it->time_ms;
        obj->stored_ms = it->stored_ms;
    }
    wr_mutex_unlock(&b->mutex);
    at->inclusive = false;
    obj->key = wr_buf_view(&at->key);
    obj->version = wr_str(at->version);
    return found;
}

static enum wr_status mem_list(void *self, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    struct cursor at = {.inclusive = wr_str_cmp(after, prefix) < 0};
    struct wr_object obj = {0};
    bool more = true;
    enum wr_status st = WR_OK;

    wr_buf_init(&at.key, SIZE_MAX / 2);
    wr_buf_str(&at.key, at.inclusive ? prefix : after);
    while (st == WR_OK && more) {
        st = wr_call_check(c, "list", e);
        if (st == WR_OK && wr_buf_status(&at.key) == WR_OK)
            more = next(self, prefix, &at, &obj);
        if (st == WR_OK && wr_buf_status(&at.key) != WR_OK)
            st = wr_fail(e, WR_NOMEM, "list: out of memory");
        if (st == WR_OK && more)
            more = fn(arg, &obj);
    }
    wr_buf_release(&at.key);
    return st;
}

static enum wr_status mem_stat(
    void *self, struct wr_call *c, struct wr_str key, struct wr_object *out, struct wr_err *e)
{
    struct bucket *b = self;
    bool exact;
    enum wr_status st = wr_call_check(c, "stat", e);

    if (st != WR_OK)
        return st;
    wr_mutex_lock(&b->mutex);
    size_t i = wr_mem_table_find(&b->table, key, &exact);
    if (exact)
        st = describe(c->scratch, b->table.items[i], out, e);
    wr_mutex_unlock(&b->mutex);
    return exact ? st : wr_fail(e, WR_NOTFOUND, "no such object");
}

static enum wr_status mem_get(void *self, struct wr_call *c, struct wr_str key, uint64_t off,
    void *buf, size_t n, size_t *got, struct wr_str *version, struct wr_err *e)
{
    struct bucket *b = self;
    bool exact;
    enum wr_status st = wr_call_check(c, "get", e);

    if (st != WR_OK)
        return st;
    wr_mutex_lock(&b->mutex);
    size_t i = wr_mem_table_find(&b->table, key, &exact);
    if (exact) {
        const struct wr_mem_item *it = b->table.items[i];
        *got = off < it->size ? wr_min(n, it->size - (size_t)off) : 0;
        if (*got > 0)
            memcpy(buf, it->body + off, *got);
        if (version)
            *version = wr_arena_str(c->scratch, wr_str(it->version));
    }
    wr_mutex_unlock(&b->mutex);
    if (exact && version && !version->p)
        return wr_fail(e, WR_NOMEM, "mem: out of memory");
    return exact ? WR_OK : wr_fail(e, WR_NOTFOUND, "no such object");
}

/* ---- put, remove ---- */

static enum wr_status store(struct bucket *b, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e)
{
    struct wr_object about = {0};
    struct wr_mem_item *it = wr_mem_item_new(key, body);
    /* The version is not known yet, but its size is: what can fail, fails before it is visible. */
    char *version = wr_arena_alloc(c->scratch, WR_MEM_VERSION_MAX);

    about.key = wr_arena_str(c->scratch, key);
    if (!it || !version || !about.key.p) {
        wr_mem_item_free(it);
        return wr_fail(e, WR_NOMEM, "put: out of memory");
    }
    it->stored_ms = wr_wall_ms(c->clock);
    it->time_ms = o->time_ms ? o->time_ms : it->stored_ms;
    about.size = it->size;
    about.time_ms = it->time_ms;
    wr_mutex_lock(&b->mutex);
    struct wr_mem_item *rest = it;
    enum wr_status st = wr_mem_table_put(&b->table, &rest, o->if_absent, o->if_match, e);
    if (st == WR_OK)
        memcpy(version, it->version, WR_MEM_VERSION_MAX);
    wr_mutex_unlock(&b->mutex);
    wr_mem_item_free(rest);
    about.version = wr_str(version);
    if (st == WR_OK && out)
        *out = about;
    return st;
}

static enum wr_status mem_put(void *self, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e)
{
    enum wr_status st = wr_call_check(c, "put", e);

    return st == WR_OK ? store(self, c, key, body, o, out, e) : st;
}

static enum wr_status mem_remove(
    void *self, struct wr_call *c, const struct wr_str *keys, size_t n, struct wr_err *e)
{
    struct bucket *b = self;
    enum wr_status st = WR_OK;

    for (size_t k = 0; k < n; k++) {
        struct wr_mem_item *gone = NULL;
        bool exact;

        st = wr_call_check(c, "remove", e);
        if (st != WR_OK)
            return wr_wrap(e, st, WR_FMT, WR_ARG(keys[k]));
        wr_mutex_lock(&b->mutex);
        size_t i = wr_mem_table_find(&b->table, keys[k], &exact);
        if (exact)
            gone = wr_mem_table_take(&b->table, i);
        wr_mutex_unlock(&b->mutex);
        wr_mem_item_free(gone);
    }
    return st;
}

/* ---- uploads ---- */

static void upload_count(struct bucket *b, bool more)
{
    wr_mutex_lock(&b->mutex);
    b->uploads = more ? b->uploads + 1 : b->uploads - 1;
    wr_mutex_unlock(&b->mutex);
}

static void mem_upload_abort(struct wr_upload *u, struct wr_call *c)
{
    (void)c;
    upload_count(u->b, false);
    wr_buf_release(&u->body);
    wr_free(u);
}

static enum wr_status mem_upload_begin(void *self, struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, struct wr_upload **out, struct wr_err *e)
{
    struct bucket *b = self;
    enum wr_status st = wr_call_check(c, "upload", e);

    if (st != WR_OK)
        return st;
    struct wr_upload *u = wr_alloc(sizeof(*u) + key.n + o->if_match.n);
    if (!u)
        return wr_fail(e, WR_NOMEM, "upload: out of memory");
    char *copy = (char *)(u + 1);
    memcpy(copy, key.p, key.n);
    if (o->if_match.n)
        memcpy(copy + key.n, o->if_match.p, o->if_match.n);
    u->b = b;
    u->key = (struct wr_str){copy, key.n};
    u->if_match = (struct wr_str){copy + key.n, o->if_match.n};
    u->if_absent = o->if_absent;
    u->time_ms = o->time_ms;
    wr_buf_init(&u->body, (size_t)wr_min(b->table.size_max, (uint64_t)SIZE_MAX / 2));
    upload_count(b, true);
    *out = u;
    return WR_OK;
}

static enum wr_status mem_upload_part(
    struct wr_upload *u, struct wr_call *c, struct wr_bytes part, struct wr_err *e)
{
    enum wr_status st = wr_call_check(c, "upload", e);

    if (st != WR_OK)
        return st;
    wr_buf_put(&u->body, part.p, part.n);
    st = wr_buf_status(&u->body);
    return st == WR_OK ? WR_OK : wr_fail(e, st, "upload: %s", wr_status_text(st));
}

static enum wr_status mem_upload_commit(
    struct wr_upload *u, struct wr_call *c, struct wr_object *out, struct wr_err *e)
{
    const struct wr_put_opts o = {
        .time_ms = u->time_ms, .if_absent = u->if_absent, .if_match = u->if_match};
    enum wr_status st = wr_buf_status(&u->body);

    if (st != WR_OK)
        (void)wr_fail(e, st, "upload: %s", wr_status_text(st)); /* st is returned below */
    else
        st = mem_put(u->b, c, u->key, wr_buf_bytes(&u->body), &o, out, e);
    mem_upload_abort(u, c);
    return st;
}

const struct wr_storage_ops wr_storage_mem = {
    .scheme = "mem",
    .caps = WR_STORAGE_COND_PUT | WR_STORAGE_LIST_TIME | WR_STORAGE_LIST_NOW,
    .part_min = PART_MIN,
    .options = mem_options,
    .open = mem_open,
    .close = mem_close,
    .list = mem_list,
    .stat = mem_stat,
    .get = mem_get,
    .put = mem_put,
    .remove = mem_remove,
    .upload_begin = mem_upload_begin,
    .upload_part = mem_upload_part,
    .upload_commit = mem_upload_commit,
    .upload_abort = mem_upload_abort,
};
