/*
 * legacy.c - replicas of Litestream 0.3. Read, never written.
 *
 *   <prefix>generations/<16 hex>/snapshots/<%08x index>.snapshot.lz4
 *   <prefix>generations/<16 hex>/wal/<%08x index>_<%08x offset>.wal.lz4      offset: 8 to 16 digits
 *
 * An object is one LZ4 frame, or several in a row. A snapshot expands to a database file as it was
 * when the WAL with its index began. The segments of one index expand, in order of their offsets,
 * to one SQLite WAL; offsets count expanded bytes. Each WAL begins where the one before it had been
 * copied into the database, so they are applied one after the other, none may be missing, and each
 * must be whole. (Learnt from files written by 0.3.13; legacy_wal.h has the WAL's format.)
 */
#include "engine/legacy.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/url.h"
#include "engine/legacy_wal.h"
#include "storage/storage.h"

#include <lz4frame.h>

#define OBJECTS_MAX ((size_t)1 << 24)
#define WINDOW      ((size_t)1 << 20)  /* compressed bytes a request */
#define EXPANDED    ((size_t)64 << 10) /* bytes written at once: caches hold them */

#define NAME_DIGITS 8 /* of an index, and the fewest of an offset */

struct object {
    uint64_t generation;
    uint64_t index, off; /* off: of a segment */
    uint64_t size;       /* compressed bytes */
    int64_t time_ms;
    unsigned off_digits; /* 0: a snapshot */
};

struct objects {
    struct object *p;
    size_t n, cap;
};

struct wr_legacy {
    struct wr_storage *storage;
    struct object snapshot;
    struct objects segments; /* that follow the snapshot, in order */
    int64_t oldest_ms, newest_ms;
};

static bool parse_digits(struct wr_str s, size_t n_min, size_t n_max, uint64_t *ret)
{
    if (s.n < n_min || s.n > n_max)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] >= 'A' && s.p[i] <= 'F') /* wr_parse_hex64 takes them, 0.3 writes none */
            return false;
    }
    return wr_parse_hex64(s, ret);
}

/* `rest` is a key behind <prefix>generations/. */
static bool parse_key(struct wr_str rest, struct object *ret)
{
    struct wr_str generation, dir, name, index, off;

    if (!wr_str_cut(rest, '/', &generation, &rest) || !wr_str_cut(rest, '/', &dir, &name))
        return false;
    if (!parse_digits(generation, 16, 16, &ret->generation))
        return false;
    if (wr_str_eq(dir, WR_STR("snapshots")) && wr_str_ends(name, WR_STR(".snapshot.lz4"))) {
        name.n -= strlen(".snapshot.lz4");
        ret->off_digits = 0;
        ret->off = 0;
        return parse_digits(name, NAME_DIGITS, NAME_DIGITS, &ret->index);
    }
    if (!wr_str_eq(dir, WR_STR("wal")) || !wr_str_ends(name, WR_STR(".wal.lz4")))
        return false;
    name.n -= strlen(".wal.lz4");
    if (!wr_str_cut(name, '_', &index, &off))
        return false;
    ret->off_digits = (unsigned)off.n;
    return parse_digits(index, NAME_DIGITS, NAME_DIGITS, &ret->index) &&
           parse_digits(off, NAME_DIGITS, 16, &ret->off);
}

bool wr_legacy_owner(struct wr_str key, struct wr_str *ret)
{
    size_t tail_n = strlen("0123456789abcdef/snapshots/00000000.snapshot.lz4"), n;
    struct wr_str dir = WR_STR("generations/");
    struct object o;

    if (key.n < dir.n + tail_n)
        return false;
    n = key.n - tail_n - dir.n;
    if ((n > 0 && key.p[n - 1] != '/') || !wr_str_starts(wr_str_skip(key, n), dir) ||
        !parse_key(wr_str_skip(key, n + dir.n), &o) || o.off_digits)
        return false;
    *ret = (struct wr_str){key.p, n};
    return true;
}

/* What comes before: 0.3 cleans it, also where 0.5 takes a path as it is written. */
static struct wr_str prefix_of(struct wr_arena *a, const struct wr_storage *s)
{
    struct wr_str prefix = wr_arena_fmt(a, "/" WR_FMT, WR_ARG(wr_storage_prefix(s)));

    if (prefix.p)
        prefix = wr_path_clean(a, prefix);
    if (!prefix.p || prefix.n == 1)
        return (struct wr_str){prefix.p, 0};
    return wr_arena_fmt(a, WR_FMT "/", WR_ARG(wr_str_skip(prefix, 1)));
}

static struct wr_str key_of(struct wr_arena *a, const struct wr_storage *s, const struct object *o)
{
    struct wr_str prefix = prefix_of(a, s);

    if (!prefix.p)
        return prefix;
    if (!o->off_digits)
        return wr_arena_fmt(a, WR_FMT "generations/%016llx/snapshots/%08llx.snapshot.lz4",
            WR_ARG(prefix), (unsigned long long)o->generation, (unsigned long long)o->index);
    return wr_arena_fmt(a, WR_FMT "generations/%016llx/wal/%08llx_%0*llx.wal.lz4", WR_ARG(prefix),
        (unsigned long long)o->generation, (unsigned long long)o->index, (int)o->off_digits,
        (unsigned long long)o->off);
}

static enum wr_status add(struct objects *a, const struct object *o, struct wr_err *e)
{
    if (a->n == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 64;
        struct object *p;

        if (a->n >= OBJECTS_MAX)
            return wr_fail(e, WR_LIMIT, "more than %zu objects in generations", OBJECTS_MAX);
        p = wr_resize(a->p, cap, sizeof(*p));
        if (!p)
            return wr_fail(e, WR_NOMEM, "list of generations: out of memory");
        a->p = p;
        a->cap = cap;
    }
    a->p[a->n++] = *o;
    return WR_OK;
}

struct lister {
    struct wr_str dir; /* <prefix>generations/ */
    struct objects all;
    enum wr_status st;
    struct wr_err *e;
};

static bool list_one(void *arg, const struct wr_object *obj)
{
    struct lister *l = arg;
    struct object o = {.size = obj->size, .time_ms = obj->time_ms};

    if (!wr_str_starts(obj->key, l->dir) || !parse_key(wr_str_skip(obj->key, l->dir.n), &o))
        return true;
    l->st = add(&l->all, &o, l->e);
    return l->st == WR_OK;
}

static int by_place(const void *pa, const void *pb)
{
    const struct object *a = pa;
    const struct object *b = pb;

    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    return a->off < b->off ? -1 : a->off > b->off;
}

/* Whether snapshot `a` is to be preferred to `b`. */
static bool newer(const struct object *a, const struct object *b)
{
    if (a->time_ms != b->time_ms)
        return a->time_ms > b->time_ms;
    return a->index > b->index;
}

/* From all objects, the snapshot and the segments that follow it. NOTFOUND without a text. */
static enum wr_status choose(
    struct wr_legacy *l, const struct objects *all, int64_t time_ms, struct wr_err *e)
{
    const struct object *best = NULL;
    size_t n = 0;

    for (size_t i = 0; i < all->n; i++) {
        const struct object *o = &all->p[i];

        l->newest_ms = wr_max(l->newest_ms, o->time_ms);
        if (!o->off_digits)
            l->oldest_ms = wr_min(l->oldest_ms, o->time_ms);
        if (o->off_digits || (time_ms && o->time_ms > time_ms))
            continue;
        if (!best || newer(o, best))
            best = o;
    }
    if (!best)
        return WR_NOTFOUND;
    l->snapshot = *best;
    for (size_t i = 0; i < all->n; i++) {
        const struct object *o = &all->p[i];
        enum wr_status st;

        if (!o->off_digits || o->generation != best->generation || o->index < best->index)
            continue;
        st = add(&l->segments, o, e);
        if (st != WR_OK)
            return st;
    }
    if (l->segments.n > 0)
        qsort(l->segments.p, l->segments.n, sizeof(*l->segments.p), by_place);
    /* The first segment that is too new ends the chain, also should a later one be older. */
    while (n < l->segments.n && (!time_ms || l->segments.p[n].time_ms <= time_ms))
        n++;
    l->segments.n = n;
    return WR_OK;
}

enum wr_status wr_legacy_find(struct wr_storage *s, struct wr_call *c, int64_t time_ms,
    struct wr_legacy **ret, struct wr_err *e)
{
    struct lister x = {.st = WR_OK, .e = e};
    struct wr_legacy *l = wr_alloc(sizeof(*l));
    enum wr_status st;

    x.dir = prefix_of(c->scratch, s);
    if (x.dir.p)
        x.dir = wr_arena_fmt(c->scratch, WR_FMT "generations/", WR_ARG(x.dir));
    if (!l || !x.dir.p) {
        wr_free(l);
        return wr_fail(e, WR_NOMEM, "list of generations: out of memory");
    }
    l->storage = s;
    l->oldest_ms = INT64_MAX;
    l->newest_ms = INT64_MIN;
    st = wr_storage_list(s, c, x.dir, (struct wr_str){0}, list_one, &x, e);
    if (x.st != WR_OK)
        st = x.st;
    if (st != WR_OK && st != WR_NOTFOUND)
        wr_wrap(e, st, "list " WR_FMT, WR_ARG(x.dir));
    if (st == WR_OK)
        st = choose(l, &x.all, time_ms, e);
    wr_free(x.all.p);
    if (st != WR_OK) {
        wr_legacy_free(l);
        return st;
    }
    *ret = l;
    return WR_OK;
}

void wr_legacy_free(struct wr_legacy *l)
{
    if (!l)
        return;
    wr_free(l->segments.p);
    wr_free(l);
}

int64_t wr_legacy_snapshot_ms(const struct wr_legacy *l)
{
    return l->snapshot.time_ms;
}

int64_t wr_legacy_oldest_ms(const struct wr_legacy *l)
{
    return l->oldest_ms;
}

int64_t wr_legacy_newest_ms(const struct wr_legacy *l)
{
    return l->newest_ms;
}

int64_t wr_legacy_end_ms(const struct wr_legacy *l)
{
    int64_t end = l->snapshot.time_ms;

    for (size_t i = 0; i < l->segments.n; i++)
        end = wr_max(end, l->segments.p[i].time_ms);
    return end;
}

uint64_t wr_legacy_bytes(const struct wr_legacy *l)
{
    uint64_t bytes = l->snapshot.size;

    for (size_t i = 0; i < l->segments.n; i++)
        bytes += l->segments.p[i].size;
    return bytes;
}

/* What expanding objects needs; owned by one wr_legacy_write. */
struct expander {
    struct wr_legacy *legacy;
    struct wr_call call; /* the caller's, with `scratch` below, which is reset after each request */
    struct wr_arena scratch;
    LZ4F_dctx *lz4;
    uint8_t *in, *out; /* at most WINDOW, and EXPANDED bytes */
    size_t filled;     /* of `out` */
    struct wr_file *file;
    uint64_t off; /* in `file`, of the first byte in `out` */
    uint64_t bytes_done;
    wr_legacy_progress_fn *progress;
    void *arg;
};

static enum wr_status expand_flush(struct expander *x, struct wr_err *e)
{
    enum wr_status st = wr_file_pwrite(x->file, x->out, x->filled, x->off, e);

    x->off += x->filled;
    x->filled = 0;
    return st;
}

/* Feed `n` bytes of x->in to the decompressor. *ret_hint is 0 at the end of an LZ4 frame. */
static enum wr_status expand_some(struct expander *x, size_t n, size_t *ret_hint, struct wr_err *e)
{
    size_t used = 0;
    size_t hint;

    do {
        size_t room, take;

        if (x->filled == EXPANDED) {
            enum wr_status st = expand_flush(x, e);

            if (st != WR_OK)
                return st;
        }
        room = EXPANDED - x->filled;
        take = n - used;
        hint = LZ4F_decompress(x->lz4, x->out + x->filled, &room, x->in + used, &take, NULL);
        if (LZ4F_isError(hint))
            return wr_fail(e, WR_CORRUPT, "not an intact LZ4 frame: %s", LZ4F_getErrorName(hint));
        used += take;
        x->filled += room;
        /* When the output is full, the decompressor may hold back more, unless it is at an end. */
    } while (used < n || (x->filled == EXPANDED && hint != 0));
    *ret_hint = hint;
    return WR_OK;
}

/* Append what object `o` expands to to `file` at *off. */
static enum wr_status expand(struct expander *x, const struct object *o, struct wr_file *file,
    uint64_t *off, struct wr_err *e)
{
    uint64_t done = 0;
    size_t hint = 1;
    enum wr_status st = WR_OK;
    char name[80];

    (void)snprintf(name, sizeof(name), "generation %016llx %s %08llx/%08llx",
        (unsigned long long)o->generation, o->off_digits ? "segment" : "snapshot",
        (unsigned long long)o->index, (unsigned long long)o->off);
    LZ4F_resetDecompressionContext(x->lz4);
    x->file = file;
    x->off = *off;
    x->filled = 0;
    while (st == WR_OK && done < o->size) {
        size_t n = (size_t)wr_min((uint64_t)WINDOW, o->size - done);
        size_t got = 0;
        struct wr_str key = key_of(&x->scratch, x->legacy->storage, o);

        if (!key.p)
            return wr_fail(e, WR_NOMEM, "key of %s: out of memory", name);
        st = wr_call_check(&x->call, "restore", e);
        if (st == WR_OK)
            st = wr_storage_get(x->legacy->storage, &x->call, key, done, x->in, n, &got, e);
        if (st == WR_NOTFOUND) /* which would mean that there is no backup */
            st = wr_fail(e, WR_BUSY, "vanished since it was listed");
        if (st == WR_OK && got != n)
            st = wr_fail(e, WR_CORRUPT, "ends at byte %llu of %llu", (unsigned long long)done + got,
                (unsigned long long)o->size);
        if (st == WR_OK)
            st = expand_some(x, n, &hint, e);
        done += n;
        wr_arena_reset(&x->scratch);
    }
    if (st == WR_OK && hint != 0)
        st = wr_fail(e, WR_CORRUPT, "ends within an LZ4 frame");
    if (st == WR_OK)
        st = expand_flush(x, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "%s", name);
    *off = x->off;
    x->bytes_done += o->size;
    if (x->progress)
        x->progress(x->arg, x->bytes_done);
    return WR_OK;
}

/* The page size that the snapshot's header states. */
static enum wr_status db_page_size(
    struct wr_file *db, uint64_t size, uint32_t *ret, struct wr_err *e)
{
    uint8_t h[100];
    uint32_t page_size;
    enum wr_status st = wr_file_pread_all(db, h, sizeof(h), 0, "snapshot", e);

    if (st != WR_OK)
        return st;
    page_size = (uint32_t)h[16] << 8 | h[17];
    if (page_size == 1)
        page_size = 65536;
    if (memcmp(h, "SQLite format 3", 16) != 0 || page_size < 512 || page_size & (page_size - 1) ||
        size % page_size != 0 || size / page_size >= UINT32_MAX)
        return wr_fail(e, WR_CORRUPT, "snapshot of %llu bytes is not an SQLite database",
            (unsigned long long)size);
    *ret = page_size;
    return WR_OK;
}

/* Spool the WAL that begins with segment *i, whose index is to be `index`, and apply it. */
static enum wr_status do_wal(struct expander *x, size_t *i, uint64_t index, struct wr_file *db,
    struct wr_file *wal, uint32_t page_size, uint32_t *commit, struct wr_err *e)
{
    const struct objects *all = &x->legacy->segments;
    uint64_t end = 0;
    enum wr_status st;

    if (all->p[*i].index != index)
        return wr_fail(e, WR_CORRUPT, "missing WAL index: expected %08llx, got %08llx",
            (unsigned long long)index, (unsigned long long)all->p[*i].index);
    st = wr_file_truncate(wal, 0, e);
    for (; st == WR_OK && *i < all->n && all->p[*i].index == index; ++*i) {
        const struct object *o = &all->p[*i];

        if (o->off != end)
            return wr_fail(e, WR_CORRUPT,
                "missing WAL segment: expected %08llx at offset %08llx, got %08llx",
                (unsigned long long)index, (unsigned long long)end, (unsigned long long)o->off);
        st = expand(x, o, wal, &end, e);
    }
    if (st == WR_OK)
        st = wr_legacy_wal_apply(&x->call, wal, end, *i == all->n, db, page_size, commit, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "WAL index %08llx", (unsigned long long)index);
    wr_arena_reset(&x->scratch);
    return WR_OK;
}

static enum wr_status write_all(struct expander *x, struct wr_file *db, struct wr_file *wal,
    uint32_t *ret_page_size, uint32_t *ret_commit, struct wr_err *e)
{
    uint64_t index = x->legacy->snapshot.index;
    uint64_t size = 0;
    uint32_t page_size = 1;
    uint32_t commit;
    enum wr_status st = expand(x, &x->legacy->snapshot, db, &size, e);

    if (st == WR_OK)
        st = db_page_size(db, size, &page_size, e);
    if (st != WR_OK)
        return st;
    commit = (uint32_t)(size / page_size);
    for (size_t i = 0; i < x->legacy->segments.n; index++) {
        st = do_wal(x, &i, index, db, wal, page_size, &commit, e);
        if (st != WR_OK)
            return st;
    }
    *ret_page_size = page_size;
    *ret_commit = commit;
    return WR_OK;
}

enum wr_status wr_legacy_write(struct wr_legacy *l, struct wr_call *c, struct wr_file *db,
    struct wr_file *wal, wr_legacy_progress_fn *progress, void *arg, uint32_t *ret_page_size,
    uint32_t *ret_commit, struct wr_err *e)
{
    struct expander x = {.legacy = l, .call = *c, .progress = progress, .arg = arg};
    enum wr_status st;

    wr_arena_init(&x.scratch, WR_ARENA_MAX);
    x.call.scratch = &x.scratch;
    x.in = wr_alloc((size_t)wr_min((uint64_t)WINDOW, wr_legacy_bytes(l)));
    x.out = wr_alloc(EXPANDED);
    if (!x.in || !x.out || LZ4F_isError(LZ4F_createDecompressionContext(&x.lz4, LZ4F_VERSION)))
        st = wr_fail(e, WR_NOMEM, "restore buffers: out of memory");
    else
        st = write_all(&x, db, wal, ret_page_size, ret_commit, e);
    (void)LZ4F_freeDecompressionContext(x.lz4); /* NULL-safe; says only what state it was in */
    wr_free(x.in);
    wr_free(x.out);
    wr_arena_release(&x.scratch);
    return st;
}
