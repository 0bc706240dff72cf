/*
 * place.c - the names a restore uses beside its target, and the order in which they change hands.
 *
 *   <path>.tmp-<16 hex>        the new database, until it is complete; locked while in use
 *   <path>.tmp-<16 hex>-spool  the spool; not "-wal", lest SQLite take it for one when it checks
 *   <path>.old-<16 hex>[-wal|-shm|-journal]   what is being replaced, for a moment
 *
 * Where nothing is replaced, or a database without sidecars, one rename does it, and whoever looks
 * finds the old database or the new one. Sidecars forbid that, in both ways:
 *
 *   - A new database beside an old -wal or -journal: SQLite would replay it into the new file.
 *   - An old database without its -wal or -journal has lost its last transactions; if a checkpoint
 *     or a rollback was under way, it is damaged. So removing sidecars first is no way out either.
 *
 * No order of single renames avoids both while a database has the name, so for a moment none has:
 *
 *   1. database -> .old                    now there is no database, which anyone will notice
 *   2. sidecars -> .old-wal, ...           together under one name again: SQLite could open it
 *   3. the new file takes the name
 *   4. the old files are removed
 *
 * with the directory synced after each, for a power cut keeps no order of its own. Stopped before
 * step 3, the old database is complete in the files that steps 1 and 2 were moving. A failure that
 * we live to see is undone backwards.
 */
#include "engine/place.h"

#include "base/arena.h"
#include "base/crypto.h"
#include "base/mem.h"

#include <sys/stat.h>

#define NAMES_MAX                                                                   \
    ((size_t)8 << 20) /* bytes of path names; LIMIT is not worth telling from NOMEM \
                       */
#define TAG 8         /* random bytes in a name */

static const char *const sidecars[] = {"-wal", "-shm", "-journal"};

struct wr_place {
    const struct wr_fs *fs;
    bool overwrite;
    bool created;          /* there is a new file to be removed ... */
    bool placed;           /* ... unless it has the name */
    struct wr_arena names; /* of all the strings here */
    const char *path, *dir, *base;
    const char *tmp, *spool_name, *old;
    struct wr_file *file, *spool;
};

static enum wr_status nomem(const char *path, struct wr_err *e)
{
    return wr_fail(e, WR_NOMEM, "restore %s: out of memory", path);
}

/* Whether there is anything called `path`; *ret is filled in if so. */
static enum wr_status look(const struct wr_fs *fs, const char *path, bool *ret_there,
    struct wr_file_info *ret, struct wr_err *e)
{
    enum wr_status st = fs->stat(fs, path, ret, e);

    if (st != WR_OK && st != WR_NOTFOUND)
        return st;
    *ret_there = st == WR_OK;
    return WR_OK;
}

static enum wr_status look_sidecar(const struct wr_fs *fs, const char *path, const char *suffix,
    struct wr_arena *names, bool *ret_there, struct wr_err *e)
{
    struct wr_str name = wr_arena_fmt(names, "%s%s", path, suffix);
    struct wr_file_info info;

    if (!name.p)
        return nomem(path, e);
    return look(fs, name.p, ret_there, &info, e);
}

static enum wr_status check(const struct wr_fs *fs, const char *path, bool overwrite,
    struct wr_arena *names, struct wr_err *e)
{
    struct wr_file_info info = {0};
    bool there = false;
    enum wr_status st;

    if (!path || !path[0])
        return wr_fail(e, WR_MISUSE, "cannot restore, no output path");
    st = look(fs, path, &there, &info, e);
    if (st != WR_OK)
        return st;
    if (there && info.is_dir)
        return wr_fail(e, WR_MISUSE, "cannot restore, output path is a directory: %s", path);
    if (there && !S_ISREG((mode_t)info.mode))
        return wr_fail(e, WR_MISUSE, "cannot restore, output path is not a regular file: %s", path);
    if (overwrite)
        return WR_OK;
    if (there && info.size > 0)
        return wr_fail(e, WR_CONFLICT,
            "cannot restore, output path already exists and is not empty: %s. Use -force to "
            "overwrite",
            path);
    for (size_t i = 0; i < wr_countof(sidecars); i++) {
        st = look_sidecar(fs, path, sidecars[i], names, &there, e);
        if (st != WR_OK)
            return st;
        if (there)
            return wr_fail(e, WR_CONFLICT,
                "cannot restore, SQLite sidecar path already exists: %s%s. Use -force to "
                "overwrite; left there, it would be applied to the restored database",
                path, sidecars[i]);
    }
    return WR_OK;
}

enum wr_status wr_place_check(
    const struct wr_fs *fs, const char *path, bool overwrite, struct wr_err *e)
{
    struct wr_arena names;
    enum wr_status st;

    wr_arena_init(&names, NAMES_MAX);
    st = check(fs, path, overwrite, &names, e);
    wr_arena_release(&names);
    return st;
}

/* Names in a directory that one of our runs may have left. */
struct leftovers {
    struct wr_place *p;
    const char *mark; /* ".tmp-" or ".old-" */
    struct name {
        struct name *next;
        const char *path;
    } * first;
    bool failed; /* out of memory */
};

/* Whether `name` is <base><mark><16 lower-case hex digits>[-spool or a sidecar]. */
static bool is_ours(struct wr_str name, const char *base, const char *mark)
{
    struct wr_str tail;

    if (!wr_str_starts(name, wr_str(base)))
        return false;
    tail = wr_str_skip(name, strlen(base));
    if (!wr_str_starts(tail, wr_str(mark)))
        return false;
    tail = wr_str_skip(tail, strlen(mark));
    if (tail.n < (size_t)2 * TAG)
        return false;
    for (size_t i = 0; i < (size_t)2 * TAG; i++) {
        if (!((tail.p[i] >= '0' && tail.p[i] <= '9') || (tail.p[i] >= 'a' && tail.p[i] <= 'f')))
            return false;
    }
    tail = wr_str_skip(tail, (size_t)2 * TAG);
    if (tail.n == 0 || wr_str_eq(tail, WR_STR("-spool")))
        return true;
    for (size_t i = 0; i < wr_countof(sidecars); i++) {
        if (wr_str_eq(tail, wr_str(sidecars[i])))
            return true;
    }
    return false;
}

static bool note(void *arg, const char *name)
{
    struct leftovers *l = arg;
    struct wr_str path;
    struct name *n;

    if (!is_ours(wr_str(name), l->p->base, l->mark))
        return true;
    path = wr_arena_fmt(&l->p->names, "%s/%s", l->p->dir, name);
    n = wr_arena_alloc(&l->p->names, sizeof(*n));
    l->failed = !path.p || !n;
    if (l->failed)
        return false;
    *n = (struct name){.next = l->first, .path = path.p};
    l->first = n;
    return true;
}

/* Whether some other restore is at work on this temporary file. */
static bool in_use(const struct wr_fs *fs, const char *tmp)
{
    struct wr_file *f = NULL;
    bool busy;

    if (wr_file_open(fs, tmp, WR_FILE_READ | WR_FILE_WRITE, 0, &f, NULL) != WR_OK)
        return true;
    busy = fs->lock(f, NULL) != WR_OK;
    wr_file_close(f);
    return busy;
}

/* Remove what earlier runs left under `mark`; if `locked`, except what is in use. */
static enum wr_status sweep(struct wr_place *p, const char *mark, bool locked, struct wr_err *e)
{
    struct leftovers l = {.p = p, .mark = mark};
    enum wr_status st = p->fs->list(p->fs, p->dir, note, &l, e);

    if (st == WR_OK && l.failed)
        st = nomem(p->path, e);
    if (st != WR_OK)
        return st;
    for (const struct name *n = l.first; n; n = n->next) {
        /* A file that cannot be removed does no harm where it is. */
        if (!locked || !in_use(p->fs, n->path))
            (void)p->fs->remove(p->fs, n->path, NULL);
    }
    return WR_OK;
}

static enum wr_status create(
    struct wr_place *p, const char *name, uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    struct wr_file *f = NULL;
    enum wr_status st = wr_file_open(
        p->fs, name, WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_EXCL, mode, &f, e);

    if (st != WR_OK)
        return st;
    /* The lock only tells other restores that this is no leftover: where there are none, as on some
     * network file systems, they could take it for one, but nobody else is harmed. */
    (void)p->fs->lock(f, NULL);
    *ret = f;
    return WR_OK;
}

/* All names. `dir` is the directory as it can be listed, `base` the name in it. */
static enum wr_status name_all(struct wr_place *p, const char *path, struct wr_err *e)
{
    struct wr_arena *a = &p->names;
    uint8_t random[TAG];
    char tag[2 * TAG + 1];
    enum wr_status st = wr_random(random, sizeof(random), e);

    if (st != WR_OK)
        return st;
    wr_hex(random, sizeof(random), tag);
    p->path = wr_arena_str(a, wr_str(path)).p;
    p->dir = wr_arena_str(a, wr_path_dir(path)).p;
    p->base = wr_arena_str(a, wr_path_base(path)).p;
    p->tmp = wr_arena_fmt(a, "%s.tmp-%s", path, tag).p;
    p->spool_name = wr_arena_fmt(a, "%s.tmp-%s-spool", path, tag).p;
    p->old = wr_arena_fmt(a, "%s.old-%s", path, tag).p;
    if (!p->path || !p->dir || !p->base || !p->tmp || !p->spool_name || !p->old)
        return nomem(path, e);
    return WR_OK;
}

enum wr_status wr_place_open(const struct wr_fs *fs, const char *path, bool overwrite,
    struct wr_place **ret, struct wr_err *e)
{
    struct wr_file_info info = {0};
    bool there = false;
    struct wr_place *p = wr_alloc(sizeof(*p));
    enum wr_status st;

    if (!p)
        return nomem(path ? path : "", e);
    p->fs = fs;
    p->overwrite = overwrite;
    wr_arena_init(&p->names, NAMES_MAX);
    st = check(fs, path, overwrite, &p->names, e);
    if (st == WR_OK)
        st = name_all(p, path, e);
    if (st == WR_OK)
        st = wr_mkdirs(fs, p->dir, 0700, e);
    if (st == WR_OK)
        st = sweep(p, ".tmp-", true, e);
    if (st == WR_OK)
        st = look(fs, path, &there, &info, e);
    if (st == WR_OK)
        st = create(p, p->tmp, there ? info.mode & 0777 : 0600, &p->file, e);
    p->created = st == WR_OK;
    if (st != WR_OK) {
        wr_place_close(p);
        return st;
    }
    *ret = p;
    return WR_OK;
}

struct wr_file *wr_place_file(const struct wr_place *p)
{
    return p->file;
}

const char *wr_place_name(const struct wr_place *p)
{
    return p->tmp;
}

enum wr_status wr_place_spool(struct wr_place *p, struct wr_file **ret, struct wr_err *e)
{
    enum wr_status st;

    assert(!p->spool);
    st = create(p, p->spool_name, 0600, &p->spool, e);
    if (st == WR_OK)
        *ret = p->spool;
    return st;
}

/* Move <from><suffix> to <to><suffix> unless it does not exist. */
static enum wr_status move(struct wr_place *p, const char *from, const char *to, const char *suffix,
    bool *ret_moved, struct wr_err *e)
{
    struct wr_str a = wr_arena_fmt(&p->names, "%s%s", from, suffix);
    struct wr_str b = wr_arena_fmt(&p->names, "%s%s", to, suffix);
    enum wr_status st;

    if (!a.p || !b.p)
        return nomem(p->path, e);
    st = p->fs->rename_new(p->fs, a.p, b.p, e);
    *ret_moved = st == WR_OK;
    return st == WR_NOTFOUND ? WR_OK : st;
}

/* Steps 1 and 2, backwards. */
static void put_back(struct wr_place *p, enum wr_status st, struct wr_err *e)
{
    bool failed = false;
    bool moved;

    for (size_t i = wr_countof(sidecars); i-- > 0;)
        failed |= move(p, p->old, p->path, sidecars[i], &moved, NULL) != WR_OK;
    failed |= move(p, p->old, p->path, "", &moved, NULL) != WR_OK;
    (void)p->fs->sync_dir(p->fs, p->dir, NULL); /* the failure that led here is the one to tell */
    if (failed)
        wr_wrap(e, st, "the previous database is left as %s", p->old);
}

static enum wr_status set_aside(struct wr_place *p, struct wr_err *e)
{
    bool moved;
    enum wr_status st = move(p, p->path, p->old, "", &moved, e);

    if (st == WR_OK)
        st = p->fs->sync_dir(p->fs, p->dir, e);
    for (size_t i = 0; st == WR_OK && i < wr_countof(sidecars); i++)
        st = move(p, p->path, p->old, sidecars[i], &moved, e);
    if (st == WR_OK)
        st = p->fs->sync_dir(p->fs, p->dir, e);
    return st;
}

static enum wr_status replace(struct wr_place *p, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    bool any = false;

    for (size_t i = 0; st == WR_OK && !any && i < wr_countof(sidecars); i++)
        st = look_sidecar(p->fs, p->path, sidecars[i], &p->names, &any, e);
    if (st != WR_OK)
        return st;
    if (!any)
        return p->fs->rename(p->fs, p->tmp, p->path, e);
    st = set_aside(p, e);
    if (st == WR_OK)
        st = p->fs->rename_new(p->fs, p->tmp, p->path, e);
    if (st != WR_OK)
        put_back(p, st, e);
    return st;
}

/* Nothing may be lost here: what is there now must be nothing, or an empty file. */
static enum wr_status add(struct wr_place *p, struct wr_err *e)
{
    enum wr_status st = check(p->fs, p->path, false, &p->names, e);

    if (st != WR_OK)
        return st;
    st = p->fs->remove(p->fs, p->path, e);
    if (st != WR_OK && st != WR_NOTFOUND)
        return st;
    return p->fs->rename_new(p->fs, p->tmp, p->path, e);
}

enum wr_status wr_place_seal(struct wr_place *p, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    if (!p->file)
        return WR_OK;
    st = wr_file_sync(p->file, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "restore %s", p->path);
    wr_file_close(p->file);
    p->file = NULL;
    return WR_OK;
}

enum wr_status wr_place_commit(struct wr_place *p, struct wr_err *e)
{
    enum wr_status st;

    assert(!p->placed);
    st = wr_place_seal(p, e);
    if (st == WR_OK)
        st = p->overwrite ? replace(p, e) : add(p, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "replace %s", p->path);
    p->placed = true;
    st = p->fs->sync_dir(p->fs, p->dir, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "sync directory %s", p->dir);
    /* Only now: until the new name is on disk, the old files are the database. If it fails, there
     * are files left that the next restore removes. They are not opened to see whether somebody
     * has them locked: they are databases, whose locks that would drop. */
    if (p->overwrite)
        (void)sweep(p, ".old-", false, NULL);
    return WR_OK;
}

void wr_place_close(struct wr_place *p)
{
    if (!p)
        return;
    /* Removal can fail only where the next run's sweep has a chance again. */
    if (p->created && !p->placed)
        (void)p->fs->remove(p->fs, p->tmp, NULL);
    if (p->spool)
        (void)p->fs->remove(p->fs, p->spool_name, NULL);
    wr_file_close(p->spool);
    wr_file_close(p->file);
    wr_arena_release(&p->names);
    wr_free(p);
}
