/*
 * place.c - the files that a restore has beside its target, and their names.
 *
 *   <stem>.tmp-<16 hex>        the new database, until it is complete; locked while it is written
 *   <stem>.tmp-<16 hex>-map    what is known of its pages (draft.h), empty if nobody is to go on
 *                              with it; locked until the end, also while SQLite has the other
 *   <stem>.tmp-<16 hex>-spool  the spool; not "-wal", lest SQLite take it for one when it checks
 *   <stem>.old-<16 hex>[-wal|-shm|-journal]   what is being replaced, for a moment
 *
 * The stem is the target's name, unless that is long (wr_path_stem).
 *
 * The map goes last: a kill after the rename leaves a map without a file, which the next run
 * sweeps; the other way round it would leave a file that nobody can go on with.
 */
#include "base/arena.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "engine/leftovers.h"
#include "engine/place_int.h"

#define TAG          8 /* random bytes in a name */
#define CREATE_TRIES 5

/* Create a file for this user alone and lock it: others may see it once it is handed over, and one
 * that is to be read-only then must be opened for writing until then. The lock only tells other
 * restores that this is no leftover: where there are none, as on some network file systems, they
 * could take it for one, but nobody else is harmed. *ret_lock says what came of it. */
static enum wr_status create(struct wr_place *p, const char *name, struct wr_file **ret,
    enum wr_status *ret_lock, struct wr_err *e)
{
    const unsigned how = WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_EXCL;
    struct wr_file *f = NULL;
    enum wr_status st = wr_file_open(p->fs, name, how, 0600, &f, e);

    if (st != WR_OK)
        return st;
    *ret_lock = p->fs->lock(f, NULL);
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
    p->tmp = wr_leftover_path(a, path, WR_LEFTOVER_TMP, tag);
    p->map_name = wr_arena_fmt(a, "%s%s", p->tmp, WR_LEFTOVER_MAP).p;
    p->spool_name = wr_arena_fmt(a, "%s%s", p->tmp, WR_LEFTOVER_SPOOL).p;
    p->old = wr_leftover_path(a, path, WR_LEFTOVER_OLD, tag);
    if (!p->path || !p->dir || !p->base || !p->tmp || !p->map_name || !p->spool_name || !p->old)
        return wr_place_nomem(path, e);
    return WR_OK;
}

static struct wr_leftovers leftovers_of(struct wr_place *p)
{
    return (struct wr_leftovers){.fs = p->fs, .names = &p->names, .dir = p->dir, .base = p->base};
}

/* What is left of databases by now. Under the lock: what others are replacing is not. */
static void note_old(struct wr_place *p)
{
    const struct wr_leftovers at = leftovers_of(p);
    struct wr_file *lock = wr_place_lock_dir(p);

    p->stale = wr_leftovers_old(&at);
    wr_file_close(lock);
}

/* False: another restore has got hold of it before its lock. Without a map there is no going on
 * later, and that is all. */
static bool create_map(struct wr_place *p)
{
    enum wr_status lock = WR_OK;

    if (create(p, p->map_name, &p->map, &lock, NULL) != WR_OK || lock == WR_OK)
        return true;
    /* Where there are no locks nobody can know that it is free, and it would lie there for ever. */
    (void)p->fs->remove(p->fs, p->map_name, NULL);
    wr_file_close(p->map);
    p->map = NULL;
    return lock != WR_BUSY;
}

/* The new file and its map. Another restore that is looking for leftovers at this very moment may
 * get hold of one of them before its lock, and removes it; it looks once. */
static enum wr_status create_files(struct wr_place *p, struct wr_err *e)
{
    for (int i = 0; i < CREATE_TRIES; i++) {
        enum wr_status lock = WR_OK;
        enum wr_status st = create(p, p->tmp, &p->file, &lock, e);

        if (st != WR_OK || (lock != WR_BUSY && create_map(p)))
            return st;
        (void)p->fs->remove(p->fs, p->tmp, NULL); /* the next sweep would */
        wr_file_close(p->file);
        p->file = NULL;
        st = name_all(p, p->path, e);
        if (st != WR_OK)
            return st;
    }
    return wr_fail(e, WR_BUSY, "restore %s: other restores to it are in the way", p->path);
}

/* Go on with what an earlier run has left, or begin; remove all else that is left. */
static enum wr_status begin(struct wr_place *p, struct wr_err *e)
{
    const struct wr_leftovers at = leftovers_of(p);
    struct wr_leftover found = {0};
    enum wr_status st = wr_leftovers_sweep(&at, p->flags & WR_PLACE_RESUMABLE ? &found : NULL, e);

    if (st == WR_OK && !found.file)
        st = create_files(p, e);
    if (st != WR_OK)
        return st;
    p->created = true;
    if (found.file) {
        p->adopted = true;
        p->file = found.file;
        p->map = found.map;
        p->tmp = found.path;
        p->map_name = found.map_path;
    }
    return WR_OK;
}

enum wr_status wr_place_open(const struct wr_fs *fs, const char *path, unsigned flags,
    struct wr_place **ret, struct wr_err *e)
{
    struct wr_place *p = wr_alloc(sizeof(*p));
    enum wr_status st;

    if (!p)
        return wr_place_nomem(path ? path : "", e);
    p->fs = fs;
    p->flags = flags;
    wr_arena_init(&p->names, WR_PLACE_NAMES);
    st = wr_place_follow(fs, path, &p->names, &path, e);
    if (st == WR_OK)
        st = wr_place_may(fs, path, flags & WR_PLACE_OVERWRITE, &p->names, e);
    if (st == WR_OK)
        st = name_all(p, path, e);
    if (st == WR_OK)
        st = wr_place_mkdirs(fs, p->dir, e);
    if (st == WR_OK)
        st = wr_place_look(fs, path, &p->replaces, &p->info, e);
    if (st == WR_OK)
        st = begin(p, e);
    if (st == WR_OK && flags & WR_PLACE_OVERWRITE)
        note_old(p);
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

struct wr_file *wr_place_map(const struct wr_place *p)
{
    return p->flags & WR_PLACE_RESUMABLE ? p->map : NULL;
}

bool wr_place_adopted(const struct wr_place *p)
{
    return p->adopted;
}

enum wr_status wr_place_spool(struct wr_place *p, struct wr_file **ret, struct wr_err *e)
{
    enum wr_status st, lock;

    assert(!p->spool);
    st = create(p, p->spool_name, &p->spool, &lock, e); /* the file's own lock protects it */
    if (st == WR_OK)
        *ret = p->spool;
    return st;
}

enum wr_status wr_place_seal(struct wr_place *p, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    if (!p->file)
        return WR_OK;
    st = wr_file_sync(p->file, e);
    if (st == WR_OK)
        st = wr_file_info(p->file, &p->sealed, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "restore %s", p->path);
    wr_file_close(p->file);
    p->file = NULL;
    return WR_OK;
}

/* The file that was sealed, again. Its name was all that led to it in between. */
static enum wr_status reopen(struct wr_place *p, struct wr_err *e)
{
    struct wr_file_info info = {0};
    enum wr_status st = wr_file_open_temp(p->fs, p->tmp, WR_FILE_READ | WR_FILE_WRITE, &p->file, e);

    if (st == WR_OK)
        st = wr_file_info(p->file, &info, e);
    if (st == WR_OK && (info.dev != p->sealed.dev || info.ino != p->sealed.ino))
        st = wr_fail(e, WR_CONFLICT, "%s is another file than was written", p->tmp);
    return st;
}

enum wr_status wr_place_commit(struct wr_place *p, const struct wr_log *log, struct wr_err *e)
{
    struct wr_file *lock;
    enum wr_status st = WR_OK;

    assert(!p->placed && !p->kept);
    if (!p->file)
        st = reopen(p, e);
    if (st == WR_OK) {
        wr_place_hand_over(p, log);
        st = wr_place_seal(p, e);
    }
    if (st != WR_OK)
        return wr_wrap(e, st, "replace %s", p->path);
    lock = wr_place_lock_dir(p);
    st = wr_place_take_name(p, e);
    wr_file_close(lock);
    return st;
}

void wr_place_keep(struct wr_place *p)
{
    assert(wr_place_map(p));
    p->kept = true;
}

void wr_place_close(struct wr_place *p)
{
    if (!p)
        return;
    /* Removal can fail only where the next run's sweep has a chance again. */
    if (p->created && !p->placed && !p->kept)
        (void)p->fs->remove(p->fs, p->tmp, NULL);
    if (p->map && !p->kept)
        (void)p->fs->remove(p->fs, p->map_name, NULL);
    if (p->spool)
        (void)p->fs->remove(p->fs, p->spool_name, NULL);
    wr_file_close(p->spool);
    wr_file_close(p->map);
    wr_file_close(p->file);
    wr_arena_release(&p->names);
    wr_free(p);
}
