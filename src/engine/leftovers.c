/*
 * leftovers.c - find names by their pattern, group them, and hold their locks while deciding.
 *
 * Another restore may look at the same names at the same time. So a group's files are locked before
 * they are judged, and stay locked until they are removed or handed over; and who has locked a file
 * makes sure that it still has its name, for it may have been removed in between.
 *
 * What is taken over becomes the database. In a directory where others may create files, nothing
 * about its contents would help if one of them owned it, or if its name led to a file of ours that
 * has another purpose.
 */
#include "engine/leftovers.h"

#include "base/str.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAG_DIGITS 16

static const char *const suffixes[] = {
    WR_LEFTOVER_MAP, WR_LEFTOVER_SPOOL, "-wal", "-shm", "-journal"};

#define GROUP_MAX (wr_countof(suffixes) + 1)

struct listing {
    const struct wr_leftovers *at;
    const char *mark; /* WR_LEFTOVER_TMP or _OLD */
    const struct wr_leftover_name *first;
    size_t n;
    bool failed; /* out of memory */
};

const char *wr_leftover_path(
    struct wr_arena *a, const char *path, const char *mark, const char *digits)
{
    char stem[WR_STEM_MAX + 1];
    int above = (int)(wr_path_base(path).p - path);

    (void)wr_path_stem(path, stem);
    return wr_arena_fmt(a, "%.*s%s%s%s", above, path, stem, mark, digits).p;
}

/* Whether `name` is <stem><mark><16 lower-case hex digits>[suffix]; *ret_stem without suffix. */
static bool is_ours(struct wr_str name, const char *base, const char *mark, size_t *ret_stem)
{
    char room[WR_STEM_MAX + 1];
    struct wr_str tail, stem = wr_path_stem(base, room);

    if (!wr_str_starts(name, stem))
        return false;
    tail = wr_str_skip(name, stem.n);
    if (!wr_str_starts(tail, wr_str(mark)))
        return false;
    tail = wr_str_skip(tail, strlen(mark));
    if (tail.n < TAG_DIGITS)
        return false;
    for (size_t i = 0; i < TAG_DIGITS; i++) {
        if (!((tail.p[i] >= '0' && tail.p[i] <= '9') || (tail.p[i] >= 'a' && tail.p[i] <= 'f')))
            return false;
    }
    tail = wr_str_skip(tail, TAG_DIGITS);
    *ret_stem = name.n - tail.n;
    if (tail.n == 0)
        return true;
    for (size_t i = 0; i < wr_countof(suffixes); i++) {
        if (wr_str_eq(tail, wr_str(suffixes[i])))
            return true;
    }
    return false;
}

static bool note(void *arg, const char *name)
{
    struct listing *l = arg;
    struct wr_str path;
    struct wr_leftover_name *n;
    size_t stem = 0;

    if (!is_ours(wr_str(name), l->at->base, l->mark, &stem))
        return true;
    path = wr_arena_fmt(l->at->names, "%s/%s", l->at->dir, name);
    n = wr_arena_alloc(l->at->names, sizeof(*n));
    l->failed = !path.p || !n;
    if (l->failed)
        return false;
    *n = (struct wr_leftover_name){
        .next = l->first, .path = path.p, .stem = path.n - strlen(name) + stem};
    l->first = n;
    l->n++;
    return true;
}

static enum wr_status list(
    const struct wr_leftovers *at, const char *mark, struct listing *ret, struct wr_err *e)
{
    struct listing l = {.at = at, .mark = mark};
    enum wr_status st = at->fs->list(at->fs, at->dir, note, &l, e);

    if (st == WR_OK && l.failed)
        st = wr_fail(e, WR_NOMEM, "files beside %s: out of memory", at->base);
    if (st == WR_OK)
        *ret = l;
    return st;
}

static int by_path(const void *a, const void *b)
{
    return strcmp((*(const struct wr_leftover_name *const *)a)->path,
        (*(const struct wr_leftover_name *const *)b)->path);
}

/* The names in order, so that those of a group follow each other. */
static const struct wr_leftover_name **sorted(const struct listing *l)
{
    const struct wr_leftover_name **all =
        wr_arena_array(l->at->names, l->n, sizeof(struct wr_leftover_name *));
    size_t i = 0;

    if (!all)
        return NULL;
    for (const struct wr_leftover_name *n = l->first; n; n = n->next)
        all[i++] = n;
    qsort(all, l->n, sizeof(struct wr_leftover_name *), by_path);
    return all;
}

static bool same_group(const struct wr_leftover_name *a, const struct wr_leftover_name *b)
{
    return a->stem == b->stem && memcmp(a->path, b->path, a->stem) == 0;
}

/* The file, open and locked; NULL while another restore is at work on it, and for what is not to be
 * opened. */
static struct wr_file *lock(const struct wr_fs *fs, const char *path)
{
    struct wr_file *f = NULL;

    if (wr_file_open_temp(fs, path, WR_FILE_READ | WR_FILE_WRITE, &f, NULL) != WR_OK)
        return NULL;
    if (fs->lock(f, NULL) == WR_OK)
        return f;
    wr_file_close(f);
    return NULL;
}

/* Whether the file is one that we would have made, and still has its name. */
static bool trusted(struct wr_file *f, const char *path, struct wr_file_info *ret)
{
    struct wr_file_info named = {0};

    return wr_file_info(f, ret, NULL) == WR_OK && S_ISREG((mode_t)ret->mode) &&
           ret->uid == (uint32_t)geteuid() && ret->links == 1 && (ret->mode & 0077) == 0 &&
           f->fs->stat(f->fs, path, &named, NULL) == WR_OK && named.dev == ret->dev &&
           named.ino == ret->ino;
}

struct group {
    const struct wr_leftover_name *const *names;
    size_t n;
    struct wr_file *files[GROUP_MAX]; /* locked, one a name; NULL where one name is too many */
    struct wr_file *late_map;         /* locked, if it came after the names were listed */
    bool taken[GROUP_MAX];            /* not to be removed */
};

static void unlock(struct group *g)
{
    for (size_t i = 0; i < g->n; i++) {
        if (!g->taken[i])
            wr_file_close(g->files[i]);
    }
    wr_file_close(g->late_map);
}

/* Which of the group has this suffix; GROUP_MAX: none. */
static size_t find(const struct group *g, const char *suffix)
{
    for (size_t i = 0; i < g->n; i++) {
        if (strcmp(g->names[i]->path + g->names[i]->stem, suffix) == 0)
            return i;
    }
    return GROUP_MAX;
}

/* The map of a restore that has begun since the names were listed. False if it is in use. */
static bool lock_late_map(const struct wr_leftovers *at, struct group *g)
{
    struct wr_file_info info = {0};
    struct wr_str path = wr_arena_fmt(
        at->names, "%.*s%s", (int)g->names[0]->stem, g->names[0]->path, WR_LEFTOVER_MAP);

    if (!path.p)
        return false;
    if (at->fs->lstat(at->fs, path.p, &info, NULL) == WR_NOTFOUND)
        return true;
    g->late_map = lock(at->fs, path.p);
    return g->late_map;
}

/* False, with nothing locked, if one of them is in use. */
static bool lock_all(const struct wr_leftovers *at, struct group *g)
{
    const struct wr_fs *fs = at->fs;

    /* From the end, so that the file itself, whose name is the shortest, comes last: a restore that
     * has SQLite check its file has only the map locked, and the file is better not even opened. */
    if (find(g, WR_LEFTOVER_MAP) == GROUP_MAX && !lock_late_map(at, g))
        return false;
    for (size_t i = g->n; i-- > 0;) {
        g->files[i] = lock(fs, g->names[i]->path);
        if (!g->files[i] && !wr_file_has_another_name(fs, g->names[i]->path)) {
            unlock(g);
            return false;
        }
    }
    return true;
}

/* Candidates for being taken over. */
struct contest {
    struct wr_leftover best;
    uint64_t has;   /* bytes of the disk: pages are written all over it, and the rest are holes */
    uint64_t reach; /* bytes of its map, where that tells nothing */
};

static void discard(const struct wr_fs *fs, struct wr_leftover *x)
{
    if (x->file) { /* what cannot be removed does no harm where it is */
        (void)fs->remove(fs, x->path, NULL);
        (void)fs->remove(fs, x->map_path, NULL);
    }
    wr_file_close(x->file);
    wr_file_close(x->map);
    *x = (struct wr_leftover){0};
}

/* Let the group's file and map win the contest, if they can; they are the contest's then. */
static void compete(const struct wr_fs *fs, struct contest *c, struct group *g)
{
    struct wr_file_info info = {0}, map_info = {0};
    size_t file = find(g, "");
    size_t map = find(g, WR_LEFTOVER_MAP);

    if (file == GROUP_MAX || map == GROUP_MAX || !g->files[file] || !g->files[map] ||
        !trusted(g->files[file], g->names[file]->path, &info) ||
        !trusted(g->files[map], g->names[map]->path, &map_info) ||
        map_info.size == 0 || /* which was but a lock */
        info.allocated < c->has || (info.allocated == c->has && map_info.size <= c->reach))
        return;
    discard(fs, &c->best);
    c->best = (struct wr_leftover){.file = g->files[file],
        .map = g->files[map],
        .path = g->names[file]->path,
        .map_path = g->names[map]->path};
    c->has = info.allocated;
    c->reach = map_info.size;
    g->taken[file] = g->taken[map] = true;
}

static void judge(const struct wr_leftovers *at, struct group *g, struct contest *c)
{
    const struct wr_fs *fs = at->fs;

    if (!lock_all(at, g))
        return;
    if (c)
        compete(fs, c, g);
    for (size_t i = 0; i < g->n; i++) {
        if (!g->taken[i])
            (void)fs->remove(fs, g->names[i]->path, NULL); /* as above */
    }
    unlock(g);
}

enum wr_status wr_leftovers_sweep(
    const struct wr_leftovers *at, struct wr_leftover *ret, struct wr_err *e)
{
    struct contest contest = {0};
    struct listing l = {0};
    const struct wr_leftover_name **all;
    enum wr_status st = list(at, WR_LEFTOVER_TMP, &l, e);

    if (ret)
        *ret = contest.best;
    if (st != WR_OK || l.n == 0)
        return st;
    all = sorted(&l);
    if (!all)
        return wr_fail(e, WR_NOMEM, "files beside %s: out of memory", at->base);
    for (size_t i = 0; i < l.n;) {
        struct group g = {.names = all + i};

        while (i < l.n && g.n < GROUP_MAX && same_group(g.names[0], all[i])) {
            g.n++;
            i++;
        }
        judge(at, &g, ret ? &contest : NULL);
    }
    if (ret)
        *ret = contest.best;
    return WR_OK;
}

const struct wr_leftover_name *wr_leftovers_old(const struct wr_leftovers *at)
{
    struct listing l = {0};

    return list(at, WR_LEFTOVER_OLD, &l, NULL) == WR_OK ? l.first : NULL;
}

void wr_leftovers_remove_old(const struct wr_fs *fs, const struct wr_leftover_name *first)
{
    for (const struct wr_leftover_name *n = first; n; n = n->next)
        (void)fs->remove(fs, n->path, NULL); /* as above */
}
