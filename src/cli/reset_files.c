/*
 * reset_files.c - see reset.h.
 *
 * Who replicates a database has its ledger (engine/ledger.h) open, and locked, until it lets go of
 * the database. We take the same lock first. Then
 *
 *   1. the ledger is cut to nothing, but keeps its name: a process that had opened it just before,
 *      and gets the lock after us, finds an empty one. Were the file removed, such a process would
 *      go on with a file that nobody else can find, and be alone with its lock;
 *   2. the other files are removed, which nobody touches who has not got the lock.
 *
 * A kill after 1 leaves files that mean nothing without the ledger. `node` stays: it is by that
 * number that a replica is known to be this database's, and no state of it.
 */
#include "cli/reset.h"

#include <sys/stat.h>

bool wr_reset_name(struct wr_reset *r, struct wr_arena *a, const char *state)
{
    struct wr_str s = wr_str(state), suffix = WR_STR("-weir");

    *r = (struct wr_reset){.arena = a, .state = state};
    r->ledger = wr_arena_fmt(a, "%s/ledger", state).p;
    /* Litestream's name of the directory, where it is not given. */
    if (wr_str_ends(s, suffix))
        r->old = wr_arena_fmt(a, "%.*s-litestream/ltx", (int)(s.n - suffix.n), s.p).p;
    else
        r->old = wr_arena_fmt(a, "%s/ltx", state).p;
    return r->ledger && r->old;
}

/* Append to a list that doubles. */
static enum wr_status append(struct wr_arena *a, const char ***list, size_t *n, size_t *room,
    const char *text, struct wr_err *e)
{
    if (*n == WR_RESET_FILES_MAX)
        return wr_fail(e, WR_LIMIT, "more than %d files of local state", WR_RESET_FILES_MAX);
    if (*n == *room) {
        size_t more = *room ? *room * 2 : 64;
        const char **grown = wr_arena_array(a, more, sizeof(*grown));

        if (!grown)
            return wr_fail(e, WR_NOMEM, "out of memory");
        if (*n)
            memcpy(grown, *list, *n * sizeof(*grown));
        *list = grown;
        *room = more;
    }
    (*list)[(*n)++] = text;
    return WR_OK;
}

/* One directory. */
struct listing {
    struct wr_reset *r;
    const struct wr_fs *fs;
    const char *dir;
    const char *prefix; /* of names that are meant; NULL: all */
    bool levels;        /* directories in it are listed as well, and removed */
    enum wr_status st;
    struct wr_err *e;
};

static enum wr_status list_dir(struct listing *l);

static enum wr_status add(struct listing *l, const char *name)
{
    struct wr_reset *r = l->r;
    struct listing level = {.r = r, .fs = l->fs, .e = l->e};
    struct wr_file_info info;
    const char *path;
    enum wr_status st;

    if (l->prefix && !wr_str_starts(wr_str(name), wr_str(l->prefix)))
        return WR_OK;
    path = wr_arena_fmt(r->arena, "%s/%s", l->dir, name).p;
    if (!path)
        return wr_fail(l->e, WR_NOMEM, "out of memory");
    st = l->fs->lstat(l->fs, path, &info, l->e);
    if (st != WR_OK)
        return st;
    if (!info.is_dir)
        return append(r->arena, &r->files, &r->n, &r->room, path, l->e);
    if (!l->levels)
        return WR_OK;
    level.dir = path;
    st = list_dir(&level);
    return st != WR_OK ? st : append(r->arena, &r->dirs, &r->ndirs, &r->dirs_room, path, l->e);
}

static bool on_name(void *arg, const char *name)
{
    struct listing *l = arg;

    l->st = add(l, name);
    return l->st == WR_OK;
}

/* What is not there, or is a link to elsewhere, has nothing of ours. */
static enum wr_status list_dir(struct listing *l)
{
    struct wr_file_info info;
    enum wr_status st = l->fs->lstat(l->fs, l->dir, &info, l->e);

    if (st == WR_NOTFOUND || (st == WR_OK && !info.is_dir))
        return WR_OK;
    if (st == WR_OK)
        st = l->fs->list(l->fs, l->dir, on_name, l, l->e);
    return st != WR_OK ? st : l->st;
}

enum wr_status wr_reset_list(struct wr_reset *r, const struct wr_fs *fs, struct wr_err *e)
{
    struct listing journal = {.r = r, .fs = fs, .e = e, .dir = r->state, .prefix = "journal."};
    struct listing outbox = {.r = r, .fs = fs, .e = e};
    struct listing old = {.r = r, .fs = fs, .e = e, .dir = r->old, .levels = true};
    struct wr_file_info info;
    enum wr_status st = fs->lstat(fs, r->ledger, &info, e);

    if (st == WR_OK && info.size > 0)
        st = append(r->arena, &r->files, &r->n, &r->room, r->ledger, e);
    if (st != WR_OK && st != WR_NOTFOUND)
        return st;
    outbox.dir = wr_arena_fmt(r->arena, "%s/outbox", r->state).p;
    if (!outbox.dir)
        return wr_fail(e, WR_NOMEM, "out of memory");
    journal.dir = r->state;
    st = fs->stat(fs, r->state, &info, e); /* a link here is the user's own */
    if (st == WR_OK)
        st = fs->list(fs, r->state, on_name, &journal, e);
    if (st == WR_OK)
        st = journal.st;
    if (st == WR_OK || st == WR_NOTFOUND)
        st = list_dir(&outbox);
    if (st == WR_OK)
        st = list_dir(&old);
    if (st == WR_OK && fs->lstat(fs, r->old, &info, NULL) == WR_OK && info.is_dir)
        st = append(r->arena, &r->dirs, &r->ndirs, &r->dirs_room, r->old, e);
    return st;
}

/* What is gone already is well. */
static enum wr_status remove_one(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    enum wr_status st = fs->remove(fs, path, e);

    return st == WR_NOTFOUND ? WR_OK : st;
}

enum wr_status wr_reset_remove(struct wr_reset *r, const struct wr_fs *fs, struct wr_err *e)
{
    struct wr_file *ledger = NULL;
    enum wr_status st = WR_OK;
    bool ours = false; /* it is there */

    /* Made if need be: others must find it locked. Where the directory is missing nobody is. */
    st = wr_file_open(fs, r->ledger,
        WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_NOFOLLOW, 0600, &ledger, e);
    if (st == WR_OK) {
        ours = true;
        st = fs->lock(ledger, e);
    } else if (st == WR_NOTFOUND) {
        st = WR_OK;
    }
    if (st == WR_OK && ours)
        st = fs->truncate(ledger, 0, e);
    if (st == WR_OK && ours)
        st = wr_file_sync(ledger, e);
    for (size_t i = 0; st == WR_OK && i < r->n; i++)
        if (!wr_str_eq(wr_str(r->files[i]), wr_str(r->ledger)))
            st = remove_one(fs, r->files[i], e);
    for (size_t i = 0; st == WR_OK && i < r->ndirs; i++)
        st = remove_one(fs, r->dirs[i], e);
    wr_file_close(ledger);
    return st;
}
