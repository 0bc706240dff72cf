/*
 * stored.c - one listing of all that is below a prefix, of which only the directories count.
 *
 *   <prefix>acme/app.db/0000/0000000000000001-0000000000000001.ltx     "acme/app.db"
 *   <prefix>acme/app.db/generations/0123456789abcdef/snapshots/00000000.snapshot.lz4
 *
 * A replica may have a hundred thousand files. When a level has more than a page of them, the
 * listing begins again behind it.
 */
#include "engine/stored.h"

#include "base/buf.h"
#include "base/mem.h"
#include "engine/layout.h"
#include "engine/legacy.h"
#include "storage/storage.h"

#define SKIP_AFTER 1000 /* objects of one level: a page of an S3 listing */
#define NAME_MAX_N 4096 /* bytes; no path of a file is longer */

struct name {
    char *p; /* owned */
};

struct finder {
    struct wr_storage *storage;
    struct wr_call *call;
    struct wr_str prefix;
    int64_t patience_ms;
    size_t keys;
    struct name *names;
    size_t n, cap;
    struct wr_buf level; /* the directory of the last LTX file that was seen */
    size_t in_level;     /* files of it, one after the other */
    struct wr_buf after; /* from where to go on */
    bool again;          /* the listing was left for that */
    enum wr_status st;
    struct wr_err *e;
};

static bool fail(struct finder *f, enum wr_status st, const char *what)
{
    f->st = wr_fail(f->e, st, "databases in a replica: %s", what);
    return false;
}

static bool add_name(struct finder *f, struct wr_str name)
{
    struct name *all;

    if (f->n > 0 && wr_str_eq(wr_str(f->names[f->n - 1].p), name))
        return true;
    if (f->n == WR_STORED_MAX)
        return fail(f, WR_LIMIT, "there are more than 100000");
    all = wr_room(f->names, f->n, &f->cap, 64, sizeof(*all));
    if (!all)
        return fail(f, WR_NOMEM, "out of memory");
    f->names = all;
    f->names[f->n].p = wr_strndup(name.p, name.n);
    if (!f->names[f->n].p)
        return fail(f, WR_NOMEM, "out of memory");
    f->n++;
    return true;
}

/* Whether the listing goes on after one more file of a level. */
static bool count_in_level(struct finder *f, struct wr_str dir)
{
    if (!wr_str_eq(wr_buf_view(&f->level), dir)) {
        f->in_level = 0;
        wr_buf_clear(&f->level);
        wr_buf_str(&f->level, dir);
    }
    if (wr_buf_status(&f->level) != WR_OK)
        return fail(f, wr_buf_status(&f->level), "a key is too long, or out of memory");
    if (++f->in_level <= SKIP_AFTER)
        return true;
    /* What follows all keys that begin with it: '0' is the byte behind '/'. */
    wr_buf_clear(&f->after);
    wr_buf_put(&f->after, dir.p, dir.n - 1);
    wr_buf_byte(&f->after, '/' + 1);
    if (wr_buf_status(&f->after) != WR_OK)
        return fail(f, wr_buf_status(&f->after), "out of memory");
    f->in_level = 0;
    f->again = true;
    return false;
}

static bool look_at(void *arg, const struct wr_object *obj)
{
    struct finder *f = arg;
    struct wr_str owner, dir, file;
    bool is_ltx;

    if (f->patience_ms != WR_NEVER)
        f->call->deadline_ms = wr_mono_ms(f->call->clock) + f->patience_ms;
    if (f->keys++ == WR_LTX_FILES_MAX)
        return fail(f, WR_LIMIT, "too many objects");
    is_ltx = wr_layout_ltx_owner(f->storage, obj->key, &owner);
    if (!is_ltx && !wr_legacy_owner(obj->key, &owner))
        return true;
    /* It ends with a slash; of the prefix itself nothing else is left. */
    if (owner.n > f->prefix.n + 1 && owner.n - f->prefix.n - 1 <= NAME_MAX_N &&
        !memchr(owner.p, 0, owner.n)) {
        struct wr_str name = wr_str_skip(owner, f->prefix.n);

        name.n--;
        /* A bucket's own replica, of a URL without a path, has its keys below that. */
        if (!wr_str_eq(name, WR_STR(".")) && !add_name(f, name))
            return false;
    }
    if (!is_ltx || !wr_str_cut_last(obj->key, '/', &dir, &file))
        return true;
    dir.n++; /* the slash */
    return count_in_level(f, dir);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->p, ((const struct name *)b)->p);
}

static bool is_tame(const char *name)
{
    struct wr_str rest = wr_str(name), part;
    const unsigned char *p = (const unsigned char *)name;
    bool more;

    for (size_t n, left = rest.n; left > 0; p += n, left -= n) {
        n = wr_max(wr_utf8_length(p, left), (size_t)1); /* of another encoding, a byte of it */
        /* U+0080 to U+009F are controls for terminals, as the ones below U+0020 are. */
        if (*p < 0x20 || *p == 0x7f || (n == 2 && *p == 0xc2 && p[1] < 0xa0))
            return false;
    }
    do {
        more = wr_str_cut(rest, '/', &part, &rest);
        if (part.n == 0 || wr_str_eq(part, WR_STR(".")) || wr_str_eq(part, WR_STR("..")))
            return false;
    } while (more);
    return true;
}

/* A database below another one's name splits the keys of that, which then comes twice. */
static void tell(struct finder *f, wr_stored_fn *fn, void *arg)
{
    if (f->n > 1)
        qsort(f->names, f->n, sizeof(*f->names), by_name);
    for (size_t i = 0; i < f->n; i++)
        if (i == 0 || strcmp(f->names[i].p, f->names[i - 1].p) != 0)
            if (!fn(arg, f->names[i].p, is_tame(f->names[i].p)))
                return;
}

enum wr_status wr_stored_find(
    struct wr_storage *s, struct wr_call *c, wr_stored_fn *fn, void *arg, struct wr_err *e)
{
    struct finder f = {.storage = s,
        .call = c,
        .prefix = wr_storage_prefix(s),
        .patience_ms = c->deadline_ms == WR_NEVER ? WR_NEVER : wr_call_left_ms(c, INT64_MAX),
        .e = e};
    enum wr_status st;

    /* Only the replica of a bucket without a path has these; what is below a bucket has not. */
    if (wr_str_eq(f.prefix, WR_STR("./")) || wr_str_eq(f.prefix, WR_STR("/")))
        f.prefix = WR_STR("");
    wr_buf_init(&f.level, (size_t)64 << 10);
    wr_buf_init(&f.after, (size_t)64 << 10);
    do {
        struct wr_buf from = f.after; /* `f.after` may change while the listing uses it */

        wr_buf_init(&f.after, (size_t)64 << 10);
        f.again = false;
        f.st = WR_OK;
        st = wr_storage_list(s, c, f.prefix, wr_buf_view(&from), look_at, &f, e);
        wr_buf_release(&from);
        if (f.st != WR_OK)
            st = f.st;
    } while (st == WR_OK && f.again);
    if (st == WR_NOTFOUND) /* nobody has written below it */
        st = WR_OK;
    if (st == WR_OK)
        tell(&f, fn, arg);
    for (size_t i = 0; i < f.n; i++)
        wr_free(f.names[i].p);
    wr_free(f.names);
    wr_buf_release(&f.level);
    wr_buf_release(&f.after);
    return st;
}
