/*
 * dirs.c - a walk through a directory, in three steps so that as little as possible is opened:
 *
 *   1  names: what matches is noted with its device and inode
 *   2  of those that are one file, one stays: the known one, or the first by name
 *   3  of those that are not known the header is read
 */
#include "daemon/dirs.h"
#include "base/file.h"
#include "daemon/headers.h"

#include <sys/stat.h>

#define DEPTH_MAX 64
#define FILES_MAX 1000000 /* names below one directory */
#define FOUND_MAX 100000
#define PATH_ROOM 4096 /* as the system has it: longer ones cannot be opened */

/* A name that matches. */
struct candidate {
    struct candidate *next;
    const char *rel, *path;
    uint64_t dev, ino;
    bool is_known;
    enum wr_header header;
    const char *refused; /* NULL: not yet */
    bool twin;           /* that is why */
};

/* A directory that is to be listed, or was. */
struct todo {
    struct todo *next;
    const char *rel; /* "" for the directory itself, else with a final '/' */
    unsigned depth;
};

struct scan {
    struct wr_arena *arena;
    const struct wr_config_dir *dir;
    const struct wr_fs *fs;
    wr_dirs_known_fn *known;
    void *arg;
    struct todo *here, *todo, *done;
    size_t ndone;
    bool open; /* as wr_dirs_scan has it */
    struct candidate *first;
    size_t files, n; /* names; candidates */
    char path[PATH_ROOM];
    size_t root_n; /* of it: the directory and a slash, behind which the relative path begins */
    enum wr_status failed;
};

static bool no_memory(struct scan *s)
{
    s->failed = WR_NOMEM;
    return false;
}

/* Note s->path. Without its file it is there to be refused. */
static bool add_candidate(struct scan *s, const struct wr_file_info *info, const char *refused)
{
    struct candidate *c = wr_arena_alloc(s->arena, sizeof(*c));
    const char *path = wr_arena_str(s->arena, wr_str(s->path)).p;

    if (!c || !path)
        return no_memory(s);
    if (s->n == FOUND_MAX) {
        s->failed = WR_LIMIT;
        return false;
    }
    *c = (struct candidate){.next = s->first,
        .rel = path + s->root_n,
        .path = path,
        .dev = info->dev,
        .ino = info->ino,
        .refused = refused};
    s->first = c;
    s->n++;
    return true;
}

static bool add_directory(struct scan *s, const char *name)
{
    struct todo *t;
    struct wr_str rel;

    if (!s->dir->recursive || wr_config_is_state(wr_str(name)))
        return true;
    if (s->here->depth == DEPTH_MAX)
        return add_candidate(s, &(struct wr_file_info){0}, "its directories are too deep");
    t = wr_arena_alloc(s->arena, sizeof(*t));
    rel = wr_arena_fmt(s->arena, "%s/", s->path + s->root_n);
    if (!t || !rel.p)
        return no_memory(s);
    *t = (struct todo){.next = s->todo, .rel = rel.p, .depth = s->here->depth + 1};
    s->todo = t;
    return true;
}

/* Make s->path, false when there is no room. */
static bool set_path(struct scan *s, const char *rel, const char *name)
{
    int n = snprintf(s->path + s->root_n, sizeof(s->path) - s->root_n, "%s%s", rel, name);

    return n >= 0 && (size_t)n < sizeof(s->path) - s->root_n;
}

/* One name of the directory that is listed. */
static bool look_at(void *arg, const char *name)
{
    struct scan *s = arg;
    const char *rel = s->path + s->root_n;
    struct wr_file_info info;

    if (++s->files > FILES_MAX) {
        s->failed = WR_LIMIT;
        return false;
    }
    if (!set_path(s, s->here->rel, name))
        return add_candidate(s, &(struct wr_file_info){0}, "the path is too long");
    if (!s->dir->recursive && !wr_config_dir_takes(s->dir, rel))
        return true;
    if (s->fs->lstat(s->fs, s->path, &info, NULL) != WR_OK)
        return true; /* gone since */
    if (info.is_dir)
        return add_directory(s, name);
    if (!wr_config_dir_takes(s->dir, rel) || s->fs->stat(s->fs, s->path, &info, NULL) != WR_OK ||
        !S_ISREG((mode_t)info.mode))
        return true;
    return add_candidate(s, &info, NULL);
}

/* List all directories. Only that of the first one must succeed. */
static enum wr_status list_all(struct scan *s, struct wr_err *e)
{
    struct todo *root = wr_arena_alloc(s->arena, sizeof(*root));
    const char *dir = s->dir->path;

    if (!root)
        return wr_fail(e, WR_NOMEM, "out of memory");
    root->rel = "";
    s->root_n = strcmp(dir, "/") ? strlen(dir) + 1 : 1;
    if (s->root_n >= sizeof(s->path))
        return wr_fail(e, WR_MISUSE, "failed to scan directory %.100s...: too long", dir);
    (void)snprintf(s->path, sizeof(s->path), "%s/", s->root_n > 1 ? dir : "");
    s->todo = root;
    while (s->todo && s->failed == WR_OK) {
        struct wr_err why = {0};
        enum wr_status st;

        s->here = s->todo;
        s->todo = s->here->next;
        (void)set_path(s, s->here->rel, ""); /* it was there once */
        st = s->fs->list(s->fs, s->path, look_at, s, &why);
        if (st != WR_OK && s->here == root)
            return wr_fail(e, st, "failed to scan directory %s: %s", dir, why.text);
        if (st != WR_OK && st != WR_NOTFOUND && set_path(s, s->here->rel, ""))
            (void)add_candidate(s, &(struct wr_file_info){0}, "this directory cannot be listed");
        s->here->next = s->done;
        s->done = s->here;
        s->ndone++;
    }
    if (s->failed == WR_LIMIT)
        return wr_fail(e, WR_LIMIT,
            "failed to scan directory %s: more than %d files, or %d that match", dir, FILES_MAX,
            FOUND_MAX);
    return s->failed == WR_OK ? WR_OK : wr_fail(e, s->failed, "out of memory");
}

static int by_file(const void *a, const void *b)
{
    const struct candidate *x = *(struct candidate *const *)a, *y = *(struct candidate *const *)b;

    if (x->dev != y->dev)
        return x->dev < y->dev ? -1 : 1;
    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    if (x->is_known != y->is_known)
        return x->is_known ? -1 : 1;
    return strcmp(x->rel, y->rel);
}

static int by_path(const void *a, const void *b)
{
    const struct candidate *x = *(struct candidate *const *)a, *y = *(struct candidate *const *)b;

    return strcmp(x->path, y->path);
}

static enum wr_status refuse_same(
    struct scan *s, struct candidate *c, const char *other, struct wr_err *e)
{
    c->refused = wr_arena_fmt(
        s->arena, "it is the same file as %s, and SQLite must have one name for it", other)
                     .p;
    c->twin = true;
    return c->refused ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory");
}

/* Step 2. Two names of one file are two databases that overwrite each other. */
static enum wr_status refuse_links(struct scan *s, struct candidate **list, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (size_t i = 0; st == WR_OK && i < s->n; i++) {
        const char *has = s->known && !list[i]->refused
                              ? s->known(s->arg, list[i]->path, list[i]->dev, list[i]->ino)
                              : NULL;

        list[i]->is_known = has && strcmp(has, list[i]->path) == 0;
        if (has && !list[i]->is_known)
            st = refuse_same(s, list[i], has, e);
    }
    if (s->n > 1)
        qsort(list, s->n, sizeof(struct candidate *), by_file);
    for (size_t i = 1, first = 0; st == WR_OK && i < s->n; i++) {
        if (list[i]->dev != list[first]->dev || list[i]->ino != list[first]->ino)
            first = i;
        else if (!list[i]->refused && !list[first]->refused)
            st = refuse_same(s, list[i], list[first]->path, e);
    }
    return st;
}

static enum wr_status refuse(
    struct scan *s, struct candidate *c, const struct wr_err *why, struct wr_err *e)
{
    if (why->code != WR_NOMEM)
        c->refused = wr_arena_str(s->arena, wr_str(why->text)).p;
    return c->refused ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory");
}

/* As wr_headers_read, where nothing is open that a lock could be lost of. */
static enum wr_status read_here(struct scan *s, struct candidate *c, struct wr_err *e)
{
    char start[WR_HEADER_BYTES];
    struct wr_file *f = NULL;
    size_t got = 0;
    enum wr_status st = wr_file_open(s->fs, c->path, WR_FILE_READ, 0, &f, NULL);

    if (st == WR_OK)
        st = wr_file_pread(f, start, sizeof(start), 0, &got, NULL);
    if (f)
        wr_file_close(f);
    if (st == WR_NOMEM)
        return wr_fail(e, WR_NOMEM, "out of memory");
    if (st != WR_OK && st != WR_NOTFOUND) /* NOTFOUND: gone since */
        c->header = WR_HEADER_UNREAD;
    else
        c->header = wr_header_is(start, got) ? WR_HEADER_DATABASE : WR_HEADER_OTHER;
    return WR_OK;
}

/* Step 3. */
static enum wr_status read_headers(struct scan *s, struct candidate **list, struct wr_err *e)
{
    const char **paths = wr_arena_array(s->arena, s->n, sizeof(*paths));
    struct candidate **asked = wr_arena_array(s->arena, s->n, sizeof(*asked));
    uint8_t *headers = wr_arena_array(s->arena, s->n, 1);
    size_t n = 0;
    enum wr_status st = WR_OK;

    if (!paths || !asked || !headers)
        return wr_fail(e, WR_NOMEM, "out of memory");
    for (size_t i = 0; i < s->n && st == WR_OK; i++) {
        if (list[i]->is_known || list[i]->refused)
            continue;
        if (!s->open)
            st = read_here(s, list[i], e);
        asked[n] = list[i];
        paths[n++] = list[i]->path;
    }
    if (s->open)
        st = wr_headers_read(paths, n, headers, e);
    for (size_t i = 0; i < n && st == WR_OK; i++) {
        struct candidate *c = asked[i];

        if (s->open)
            c->header = (enum wr_header)headers[i];
        if (c->header == WR_HEADER_UNREAD)
            c->refused = "it cannot be read";
    }
    return st;
}

/* The directories that were listed, by their paths. */
static enum wr_status collect_dirs(struct scan *s, struct wr_dirs_found *ret, struct wr_err *e)
{
    ret->dirs = wr_arena_array(s->arena, s->ndone, sizeof(*ret->dirs));
    for (const struct todo *t = s->done; t && ret->dirs; t = t->next) {
        (void)set_path(s, t->rel, ""); /* it was there before */
        ret->dirs[ret->ndirs] = wr_arena_str(s->arena, wr_str(s->path)).p;
        if (!ret->dirs[ret->ndirs++])
            ret->dirs = NULL;
    }
    return ret->dirs ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory");
}

static enum wr_status collect(
    struct scan *s, struct candidate **list, struct wr_dirs_found *ret, struct wr_err *e)
{
    struct wr_dirs_found found = {.items = wr_arena_array(s->arena, s->n, sizeof(*found.items)),
        .refused = wr_arena_array(s->arena, s->n, sizeof(*found.refused))};

    if (!found.items || !found.refused)
        return wr_fail(e, WR_NOMEM, "out of memory");
    for (size_t i = 0; i < s->n; i++) {
        struct candidate *c = list[i];
        struct wr_dirs_item *item = &found.items[found.n];
        struct wr_err why = {0};
        enum wr_status st = WR_OK;
        bool is_db = c->is_known || c->header == WR_HEADER_DATABASE;

        found.nheadless += !is_db && !c->refused;
        if (is_db && !c->refused) {
            *item = (struct wr_dirs_item){.dev = c->dev, .ino = c->ino};
            st = wr_config_dir_entry(s->arena, s->dir, c->rel, &item->db, &why);
            found.n += st == WR_OK;
            if (st != WR_OK && refuse(s, c, &why, e) != WR_OK)
                return WR_NOMEM;
        }
        if (c->refused)
            found.refused[found.nrefused++] =
                (struct wr_dirs_refused){.path = c->path, .why = c->refused, .twin = c->twin};
    }
    *ret = found;
    return collect_dirs(s, ret, e);
}

enum wr_status wr_dirs_scan(struct wr_arena *a, const struct wr_config_dir *dir, bool open,
    wr_dirs_known_fn *known, void *arg, struct wr_dirs_found *ret, struct wr_err *e)
{
    struct scan s = {
        .arena = a, .dir = dir, .fs = wr_fs_posix(), .open = open, .known = known, .arg = arg};
    struct candidate **list;
    enum wr_status st = list_all(&s, e);
    size_t i = 0;

    if (st != WR_OK)
        return st;
    list = wr_arena_array(a, s.n, sizeof(struct candidate *));
    if (!list)
        return wr_fail(e, WR_NOMEM, "out of memory");
    for (struct candidate *c = s.first; c; c = c->next)
        list[i++] = c;
    st = refuse_links(&s, list, e);
    if (s.n > 1)
        qsort(list, s.n, sizeof(struct candidate *), by_path);
    if (st == WR_OK)
        st = read_headers(&s, list, e);
    return st == WR_OK ? collect(&s, list, ret, e) : st;
}
