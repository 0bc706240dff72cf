/*
 * file_walk.c - lists the files below a directory by ascending key, as a bucket would.
 *
 * Knows nothing of how files get there. A directory's entries are sorted with directories as if
 * their names ended in '/', because that is how their keys go on:
 *
 *     a-b  <  a.b  <  a/b  <  a0          '-' 2d, '.' 2e, '/' 2f, '0' 30
 *
 * Then a walk that enters directories where they stand yields keys in order, and holds no more than
 * the directories on its way. What `prefix` and `after` exclude by name is not even looked at. What
 * vanishes during the walk was never there; a missing root is an empty bucket, one that is a file
 * is a mistake.
 *
 * The objects of a level, <prefix>ltx/<digit>/, lie directly in it. Directories there are
 * strangers' and are not entered: one that cannot be read, or leads around in a circle, must not
 * keep a level from being listed. Nor must a link that leads to itself. Where all levels are asked
 * for they are tried by name, each when those before it have been read: one that comes meanwhile
 * may have what goes from them.
 */
#include "storage/file_int.h"

#include "base/buf.h"
#include "base/mem.h"

#include <sys/stat.h>

#define DEPTH_MAX   32 /* directories in one another */
#define ENTRIES_MAX ((size_t)4 << 20)
#define NAMES_MAX   ((size_t)1 << 30)
#define PATH_LIMIT  ((size_t)16 << 10)

struct entry {
    const char *p; /* in the frame's names; set when all are read */
    size_t n;
    struct wr_file_info info;
};

struct frame {
    struct wr_buf names; /* of all entries, one after the other, each with a NUL */
    struct entry *entries;
    size_t n, cap, at;
    size_t path_n; /* bytes of the walk's path that name this directory, with its '/' */
};

struct walk {
    const struct wr_fs *fs;
    struct wr_call *c;
    struct wr_str prefix, after;
    struct wr_buf path; /* root, '/', key */
    size_t root_n;      /* with the slash: where the key begins */
    bool levels;        /* the prefix names levels */
    struct frame frames[DEPTH_MAX];
    size_t depth;
    enum wr_status st; /* of the callback that reads a directory */
};

static struct wr_str key_of(const struct walk *w)
{
    return wr_str_skip(wr_buf_view(&w->path), w->root_n);
}

static void cut_path(struct walk *w, size_t n)
{
    assert(n <= w->path.n);
    w->path.n = n;
    w->path.p[n] = 0;
}

/* Whether anything at or below the key in `path` can be asked for; whether it is a directory is
 * not known yet. */
static bool wanted(struct walk *w)
{
    struct wr_str file = key_of(w);
    size_t n = w->path.n;

    wr_buf_byte(&w->path, '/');
    if (wr_buf_status(&w->path) != WR_OK)
        return true; /* the caller looks at the status */
    struct wr_str dir = {key_of(w).p, file.n + 1};
    file.p = dir.p;
    bool matches = wr_str_starts(file, w->prefix) || wr_str_starts(w->prefix, dir);
    bool later = wr_str_cmp(file, w->after) > 0 || wr_str_cmp(dir, w->after) > 0 ||
                 wr_str_starts(w->after, dir);
    cut_path(w, n);
    return matches && later;
}

static bool add_entry(struct frame *f, struct wr_str name)
{
    struct entry *all = wr_room(f->entries, f->n, &f->cap, 64, sizeof(*all));

    if (!all)
        return false;
    f->entries = all;
    f->entries[f->n++] = (struct entry){.n = name.n};
    wr_buf_put(&f->names, name.p, name.n + 1);
    return true;
}

static bool collect(void *arg, const char *name)
{
    struct walk *w = arg;
    struct frame *f = &w->frames[w->depth - 1];

    wr_buf_z(&w->path, name);
    bool keep = wanted(w);
    w->st = wr_buf_status(&w->path);
    if (w->st == WR_OK)
        cut_path(w, f->path_n);
    if (w->st != WR_OK || !keep)
        return w->st == WR_OK;
    if (f->n >= ENTRIES_MAX)
        w->st = WR_LIMIT;
    else if (!add_entry(f, wr_str(name)))
        w->st = WR_NOMEM;
    else
        w->st = wr_buf_status(&f->names);
    return w->st == WR_OK;
}

/* The byte that follows the first `i` of an entry's key; -1 at the end of a file's. */
static int byte_at(const struct entry *en, size_t i)
{
    if (i < en->n)
        return (unsigned char)en->p[i];
    return en->info.is_dir ? '/' : -1;
}

static int by_key(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    size_t n = wr_min(x->n, y->n);
    int order = memcmp(x->p, y->p, n);

    return order ? order : byte_at(x, n) - byte_at(y, n);
}

/* Cut `dir` at its last slash; all of it is the name where it has none. */
static struct wr_str last_name(struct wr_str dir, struct wr_str *ret_above)
{
    struct wr_str name;

    if (wr_str_cut_last(dir, '/', ret_above, &name))
        return name;
    *ret_above = (struct wr_str){0};
    return dir;
}

static bool holds_levels(struct wr_str dir)
{
    struct wr_str above;

    return wr_str_eq(last_name(dir, &above), WR_STR("ltx"));
}

/* Whether a directory is "ltx/<digit>", or ends in that. */
static bool is_level(struct wr_str dir)
{
    struct wr_str above, name = last_name(dir, &above);

    return name.n == 1 && name.p[0] >= '0' && name.p[0] <= '9' && holds_levels(above);
}

/* Whether an entry of a level, in the walk's path, is a link that leads nowhere one can look, and
 * by its name no object anyway. */
static bool is_stray_link(const struct walk *w)
{
    struct wr_file_info info = {0};

    return w->levels && !wr_str_ends(key_of(w), WR_STR(".ltx")) &&
           w->fs->lstat(w->fs, (const char *)w->path.p, &info, NULL) == WR_OK &&
           S_ISLNK((mode_t)info.mode);
}

/* Learn size, time and kind of every entry; drop what is neither an object nor a directory. */
static enum wr_status look(struct walk *w, struct frame *f, struct wr_err *e)
{
    size_t kept = 0;
    const char *p = (const char *)f->names.p;

    for (size_t i = 0; i < f->n; i++) {
        struct entry en = f->entries[i];
        en.p = p;
        p += en.n + 1;
        wr_buf_put(&w->path, en.p, en.n);
        enum wr_status st = wr_buf_status(&w->path);
        if (st != WR_OK)
            return wr_fail(e, st, "list: path too long or out of memory");
        st = wr_call_check(w->c, "list", e);
        if (st == WR_OK)
            st = w->fs->stat(w->fs, (const char *)w->path.p, &en.info, e);
        if (st == WR_IO && is_stray_link(w))
            st = WR_NOTFOUND;
        cut_path(w, f->path_n);
        if (st != WR_OK && st != WR_NOTFOUND)
            return st;
        bool object =
            st == WR_OK && S_ISREG(en.info.mode) && !wr_disk_hidden((struct wr_str){en.p, en.n});
        if (object || (st == WR_OK && en.info.is_dir && !w->levels))
            f->entries[kept++] = en;
    }
    f->n = kept;
    return WR_OK;
}

/* The levels that can be asked for, there or not. */
static enum wr_status add_levels(struct walk *w, struct frame *f, struct wr_err *e)
{
    bool ok = true;

    for (unsigned level = 0; level <= 9 && ok; level++) {
        const char name[] = {(char)('0' + level), 0};

        wr_buf_z(&w->path, name);
        if (wanted(w))
            ok = add_entry(f, wr_str(name));
        ok = ok && wr_buf_status(&w->path) == WR_OK && wr_buf_status(&f->names) == WR_OK;
        if (ok)
            cut_path(w, f->path_n);
    }
    for (size_t i = 0; i < f->n && ok; i++) {
        f->entries[i].p = (const char *)f->names.p + 2 * i;
        f->entries[i].info.is_dir = true;
    }
    return ok ? WR_OK : wr_fail(e, WR_NOMEM, "list: path too long or out of memory");
}

/* Read and sort the directory in `path`, which ends in '/'. */
static enum wr_status enter(struct walk *w, struct wr_err *e)
{
    if (w->depth == DEPTH_MAX)
        return wr_fail(e, WR_LIMIT, "list: over %d directories deep at %s", DEPTH_MAX, w->path.p);
    struct frame *f = &w->frames[w->depth++];
    *f = (struct frame){.path_n = w->path.n};
    wr_buf_init(&f->names, NAMES_MAX);
    w->st = WR_OK;
    if (w->levels && holds_levels((struct wr_str){key_of(w).p, key_of(w).n - 1}))
        return add_levels(w, f, e);
    enum wr_status st = wr_call_check(w->c, "list", e);
    if (st == WR_OK)
        st = w->fs->list(w->fs, (const char *)w->path.p, collect, w, e);
    if (st == WR_NOTFOUND)
        return WR_OK;
    if (st == WR_IO) {
        size_t blocked = wr_disk_blocked(w->fs, (char *)w->path.p);

        if (blocked >= w->root_n)
            return WR_OK;
        if (blocked > 0)
            return wr_fail(
                e, WR_MISUSE, "file: %.*s: Not a directory", (int)blocked, (char *)w->path.p);
    }
    if (st == WR_OK && w->st != WR_OK)
        st = wr_fail(e, w->st, "list: %s: %s", w->st == WR_LIMIT ? "directory or path" : "memory",
            wr_status_text(w->st));
    if (st == WR_OK)
        st = look(w, f, e);
    if (st == WR_OK && f->n > 1)
        qsort(f->entries, f->n, sizeof(*f->entries), by_key);
    return st;
}

static void leave(struct walk *w)
{
    struct frame *f = &w->frames[--w->depth];

    wr_buf_release(&f->names);
    wr_free(f->entries);
}

/* Pass the file in `path` on; false when the caller wants no more. */
static bool emit(const struct walk *w, const struct entry *en, wr_list_fn *fn, void *arg)
{
    char version[WR_FILE_VERSION_MAX];
    struct wr_object obj = {.key = key_of(w),
        .size = en->info.size,
        .time_ms = en->info.mtime_ms,
        .stored_ms = en->info.changed_ms};

    if (!wr_str_starts(obj.key, w->prefix) || wr_str_cmp(obj.key, w->after) <= 0)
        return true;
    wr_disk_version(&en->info, version);
    obj.version = wr_str(version);
    return fn(arg, &obj);
}

static enum wr_status run(struct walk *w, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    enum wr_status st = enter(w, e);

    while (st == WR_OK && w->depth > 0) {
        struct frame *f = &w->frames[w->depth - 1];
        if (f->at == f->n) {
            leave(w);
            continue;
        }
        const struct entry *en = &f->entries[f->at++];
        cut_path(w, f->path_n);
        wr_buf_put(&w->path, en->p, en->n);
        if (en->info.is_dir)
            wr_buf_byte(&w->path, '/');
        st = wr_buf_status(&w->path);
        if (st != WR_OK)
            st = wr_fail(e, st, "list: path too long or out of memory");
        else if (en->info.is_dir)
            st = enter(w, e);
        else if (!emit(w, en, fn, arg))
            break;
    }
    return st;
}

enum wr_status wr_disk_walk(const struct wr_fs *fs, struct wr_call *c, struct wr_str root,
    struct wr_str prefix, struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    struct wr_str dir, rest;
    struct walk *w = wr_alloc(sizeof(*w)); /* too much for a small stack */

    if (!w)
        return wr_fail(e, WR_NOMEM, "list: out of memory");
    *w = (struct walk){.fs = fs, .c = c, .prefix = prefix, .after = after, .root_n = root.n + 1};
    wr_buf_init(&w->path, PATH_LIMIT);
    wr_buf_str(&w->path, root);
    wr_buf_byte(&w->path, '/');
    if (wr_str_cut_last(prefix, '/', &dir, &rest)) {
        wr_buf_str(&w->path, dir);
        wr_buf_byte(&w->path, '/');
        w->levels = is_level(dir) || holds_levels(dir);
    }
    enum wr_status st = wr_buf_status(&w->path);
    if (st != WR_OK)
        st = wr_fail(e, st, "list: path too long or out of memory");
    else
        st = run(w, fn, arg, e);
    while (w->depth > 0)
        leave(w);
    wr_buf_release(&w->path);
    wr_free(w);
    return st;
}
