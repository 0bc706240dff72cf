/*
 * place.c - the names a restore uses beside its target, and the order in which they change hands.
 *
 *   <path>.tmp-<16 hex>        the new database, until it is complete; locked while it is written
 *   <path>.tmp-<16 hex>-map    what is known of its pages (draft.h), empty if nobody is to go on
 *                              with it; locked until the end, also while SQLite has the other
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
 * we live to see is undone, unless somebody else has put a database there by then: the old one
 * stays whole under its .old name. Restores to one path take turns from step 1 to step 4.
 *
 * Where nothing may be replaced, an empty file takes the same way: .old, a last look, the new name.
 *
 * The map goes last: a kill after the rename leaves a map without a file, which the next run
 * sweeps; the other way round it would leave a file that nobody can go on with.
 */
#include "engine/place.h"

#include "base/arena.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/leftovers.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAMES_MAX                                                                    \
    ((size_t)8 << 20)  /* bytes of path names; LIMIT is not worth telling from NOMEM \
                        */
#define TAG          8 /* random bytes in a name */
#define CREATE_TRIES 5

#define LOCK_NAP_NS 5000000L
#define LOCK_TRIES  1000 /* five seconds */

static const char *const sidecars[] = {"-wal", "-shm", "-journal"};

struct wr_place {
    const struct wr_fs *fs;
    unsigned flags;
    bool created;             /* there is a new file to be removed ... */
    bool placed;              /* ... unless it has the name, ... */
    bool kept;                /* ... or somebody is to go on with it */
    bool adopted;             /* an earlier run has begun it */
    bool replaces;            /* a file at `path`, if only an empty one */
    struct wr_file_info info; /* of that file */
    struct wr_file_info sealed;
    struct wr_arena names; /* of all the strings here */
    const char *path, *dir, *base;
    const char *tmp, *map_name, *spool_name, *old;
    const struct wr_leftover_name *stale; /* .old files that were there when it was opened */
    struct wr_file *file, *map, *spool;
};

static enum wr_status nomem(const char *path, struct wr_err *e)
{
    return wr_fail(e, WR_NOMEM, "restore %s: out of memory", path);
}

/* Whether there is anything called `path`; *ret is filled in if so. */
static enum wr_status look(const struct wr_fs *fs, const char *path, bool *ret_there,
    struct wr_file_info *ret, struct wr_err *e)
{
    enum wr_status st = fs->lstat(fs, path, ret, e);

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

/* What a symbolic link at `path` leads to, else `path` itself: where SQLite has a database's files.
 * The new one must not lie beside the link, where it may be another file system, and everyone who
 * knows the file by its own path would go on with the old one. */
static enum wr_status follow(const struct wr_fs *fs, const char *path, struct wr_arena *names,
    const char **ret, struct wr_err *e)
{
    struct wr_file_info info = {0};
    bool there = false;
    char *real = NULL;
    enum wr_status st;

    if (!path || !path[0])
        return wr_fail(e, WR_MISUSE, "cannot restore, no output path");
    st = look(fs, path, &there, &info, e);
    if (st != WR_OK)
        return st;
    *ret = path;
    if (!there || !S_ISLNK((mode_t)info.mode))
        return WR_OK;
    st = fs->resolve(fs, path, &real, e);
    if (st == WR_NOTFOUND)
        return wr_fail(e, WR_CONFLICT,
            "cannot restore, output path is a symbolic link that leads nowhere: %s. Mount or "
            "create what it leads to, or remove it",
            path);
    if (st != WR_OK)
        return st;
    *ret = wr_arena_str(names, wr_str(real)).p;
    wr_free(real);
    return *ret ? WR_OK : nomem(path, e);
}

static enum wr_status check(const struct wr_fs *fs, const char *path, bool overwrite,
    struct wr_arena *names, struct wr_err *e)
{
    struct wr_file_info info = {0};
    bool there = false;
    enum wr_status st = look(fs, path, &there, &info, e);
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
    st = follow(fs, path, &names, &path, e);
    if (st == WR_OK)
        st = check(fs, path, overwrite, &names, e);
    wr_arena_release(&names);
    return st;
}

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
    p->tmp = wr_arena_fmt(a, "%s.tmp-%s", path, tag).p;
    p->map_name = wr_arena_fmt(a, "%s%s", p->tmp, WR_LEFTOVER_MAP).p;
    p->spool_name = wr_arena_fmt(a, "%s%s", p->tmp, WR_LEFTOVER_SPOOL).p;
    p->old = wr_arena_fmt(a, "%s.old-%s", path, tag).p;
    if (!p->path || !p->dir || !p->base || !p->tmp || !p->map_name || !p->spool_name || !p->old)
        return nomem(path, e);
    return WR_OK;
}

static struct wr_leftovers leftovers_of(struct wr_place *p)
{
    return (struct wr_leftovers){.fs = p->fs, .names = &p->names, .dir = p->dir, .base = p->base};
}

/* The lock that a restore has while names change hands: of the directory, so that no file is left.
 * NULL where it cannot be had. Others have it for a few syncs; somebody who has it for another
 * purpose, or is stopped, keeps nobody from restoring: without it, too, a name that is taken is
 * not taken away. */
static struct wr_file *lock_dir(const struct wr_place *p)
{
    const struct timespec nap = {.tv_nsec = LOCK_NAP_NS};
    struct wr_file *f = NULL;
    enum wr_status st;

    if (wr_file_open(p->fs, p->dir, WR_FILE_READ, 0, &f, NULL) != WR_OK)
        return NULL;
    for (int i = 0; (st = p->fs->lock(f, NULL)) == WR_BUSY && i < LOCK_TRIES; i++)
        (void)nanosleep(&nap, NULL);
    if (st == WR_OK)
        return f;
    wr_file_close(f);
    return NULL;
}

/* What is left of databases by now. Under the lock: what others are replacing is not. */
static void note_old(struct wr_place *p)
{
    const struct wr_leftovers at = leftovers_of(p);
    struct wr_file *lock = lock_dir(p);

    p->stale = wr_leftovers_old(&at);
    wr_file_close(lock);
}

/* What this restore has replaced, and what was left when it began: of what came later, somebody
 * was told, or is at work on it. */
static void remove_old(struct wr_place *p)
{
    struct wr_str name;

    (void)p->fs->remove(p->fs, p->old, NULL); /* what stays is removed by the next restore */
    for (size_t i = 0; i < wr_countof(sidecars); i++) {
        name = wr_arena_fmt(&p->names, "%s%s", p->old, sidecars[i]);
        if (name.p)
            (void)p->fs->remove(p->fs, name.p, NULL);
    }
    wr_leftovers_remove_old(p->fs, p->stale);
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
        return nomem(path ? path : "", e);
    p->fs = fs;
    p->flags = flags;
    wr_arena_init(&p->names, NAMES_MAX);
    st = follow(fs, path, &p->names, &path, e);
    if (st == WR_OK)
        st = check(fs, path, flags & WR_PLACE_OVERWRITE, &p->names, e);
    if (st == WR_OK)
        st = name_all(p, path, e);
    if (st == WR_OK)
        st = wr_mkdirs(fs, p->dir, 0700, e);
    if (st == WR_OK)
        st = look(fs, path, &p->replaces, &p->info, e);
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

/* Steps 1 and 2, backwards, but the database first: sidecars beside another one, which somebody may
 * have put there meanwhile, would be applied to that, and be missing from their own. */
static void put_back(struct wr_place *p, bool database, enum wr_status st, struct wr_err *e)
{
    struct wr_file_info info = {0};
    bool there = true;
    bool back = false;
    bool moved;
    bool failed = look(p->fs, p->path, &there, &info, NULL) != WR_OK || there;

    if (!failed && database)
        failed = move(p, p->old, p->path, "", &back, NULL) != WR_OK || !back;
    for (size_t i = wr_countof(sidecars); (!failed || back) && i-- > 0;)
        failed |= move(p, p->old, p->path, sidecars[i], &moved, NULL) != WR_OK;
    (void)p->fs->sync_dir(p->fs, p->dir, NULL); /* the failure that led here is the one to tell */
    if (failed && back)
        wr_wrap(e, st,
            "the previous database is back, but a -wal, -shm or -journal of it is left as %s-*, "
            "without which it may lack its last transactions",
            p->old);
    else if (failed)
        wr_wrap(e, st,
            "the previous database is left as %s, with its -wal, -shm and -journal beside it",
            p->old);
}

static enum wr_status set_aside(struct wr_place *p, bool *ret_database, struct wr_err *e)
{
    bool moved;
    enum wr_status st = move(p, p->path, p->old, "", ret_database, e);

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
    bool database = false;

    for (size_t i = 0; st == WR_OK && !any && i < wr_countof(sidecars); i++)
        st = look_sidecar(p->fs, p->path, sidecars[i], &p->names, &any, e);
    if (st != WR_OK)
        return st;
    if (!any)
        return p->fs->rename(p->fs, p->tmp, p->path, e);
    st = set_aside(p, &database, e);
    if (st == WR_OK)
        st = p->fs->rename_new(p->fs, p->tmp, p->path, e);
    if (st != WR_OK)
        put_back(p, database, st, e);
    return st;
}

/* Nothing may be lost here: what is there must be nothing, or an empty file. That is moved away and
 * looked at again: an application may have begun to write to it since it was seen to be empty. */
static enum wr_status add(struct wr_place *p, struct wr_err *e)
{
    struct wr_file_info info = {0};
    bool moved = false;
    bool there = false;
    enum wr_status st = check(p->fs, p->path, false, &p->names, e);

    if (st == WR_OK)
        st = move(p, p->path, p->old, "", &moved, e);
    if (st == WR_OK && moved)
        st = look(p->fs, p->old, &there, &info, e);
    if (st == WR_OK && info.size > 0)
        st = wr_fail(e, WR_CONFLICT, "something has been written to it meanwhile");
    if (st == WR_OK)
        st = check(p->fs, p->path, false, &p->names, e);
    if (st == WR_OK)
        st = p->fs->rename_new(p->fs, p->tmp, p->path, e);
    if (moved && st == WR_OK)
        (void)p->fs->remove(p->fs, p->old, NULL); /* an empty file, which does no harm */
    else if (moved)
        put_back(p, true, st, e);
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

#define OWNER_TEXT_MAX 24
static void owner_text(char out[OWNER_TEXT_MAX], const struct wr_file_info *info)
{
    (void)snprintf(out, OWNER_TEXT_MAX, "%" PRIu32 ":%" PRIu32, info->uid, info->gid); /* it fits */
}

static void warn_of_owner(
    const struct wr_place *p, const struct wr_file_info *is, const struct wr_log *log)
{
    char was_text[OWNER_TEXT_MAX], is_text[OWNER_TEXT_MAX];

    owner_text(was_text, &p->info);
    owner_text(is_text, is);
    wr_log(log, WR_WARN,
        "the restored database has another owner than the one it replaces, whose users may not be "
        "able to open it",
        WR_F_Z("path", p->path), WR_F_Z("was", was_text), WR_F_Z("is", is_text));
}

/* What root restores for an application, that must be able to open. The directory's owner can do
 * with the name what he likes anyway. Where it cannot be given away it is root's, as any new file.
 */
static void settle(struct wr_place *p)
{
    struct wr_file_info dir = {0};

    if (geteuid() == 0 && p->fs->stat(p->fs, p->dir, &dir, NULL) == WR_OK && dir.is_dir)
        (void)p->fs->set_owner(p->file, dir.uid, dir.gid, NULL);
}

/* Give it the owner and the mode of what it replaces, at the last moment: until then, a later run
 * goes on with our own files only. Of an empty file that another user has made, the database takes
 * neither: it could be open to all. Where that is not in our power it stays ours, as any new file
 * would. */
static void hand_over(struct wr_place *p, const struct wr_log *log)
{
    struct wr_file_info is = {0};
    bool has_mode =
        p->replaces && (p->flags & WR_PLACE_OVERWRITE || p->info.uid == (uint32_t)geteuid());

    (void)p->fs->set_mode(p->file, has_mode ? p->info.mode & 0777 : 0600, NULL);
    if (!p->replaces || !(p->flags & WR_PLACE_OVERWRITE)) {
        settle(p);
        return;
    }
    (void)p->fs->set_owner(p->file, p->info.uid, p->info.gid, NULL); /* what came of it, is seen */
    if (wr_file_info(p->file, &is, NULL) == WR_OK &&
        (is.uid != p->info.uid || is.gid != p->info.gid))
        warn_of_owner(p, &is, log);
}

/* From here on there is no way back, but what the names allow. */
static enum wr_status take_name(struct wr_place *p, struct wr_err *e)
{
    enum wr_status st = p->flags & WR_PLACE_OVERWRITE ? replace(p, e) : add(p, e);

    if (st != WR_OK)
        return wr_wrap(e, st, "replace %s", p->path);
    p->placed = true;
    st = p->fs->sync_dir(p->fs, p->dir, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "sync directory %s", p->dir);
    /* Only now: until the new name is on disk, the old files are the database. If it fails, there
     * are files left that the next restore removes. */
    if (p->flags & WR_PLACE_OVERWRITE)
        remove_old(p);
    return WR_OK;
}

enum wr_status wr_place_commit(struct wr_place *p, const struct wr_log *log, struct wr_err *e)
{
    struct wr_file *lock;
    enum wr_status st = WR_OK;

    assert(!p->placed && !p->kept);
    if (!p->file)
        st = reopen(p, e);
    if (st == WR_OK) {
        hand_over(p, log);
        st = wr_place_seal(p, e);
    }
    if (st != WR_OK)
        return wr_wrap(e, st, "replace %s", p->path);
    lock = lock_dir(p);
    st = take_name(p, e);
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
