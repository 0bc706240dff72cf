/*
 * place_swap.c - the order in which names change hands when a new database takes its own.
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
 */
#include "base/arena.h"
#include "engine/leftovers.h"
#include "engine/place_int.h"

#include <time.h>

#define LOCK_NAP_NS 5000000L
#define LOCK_TRIES  1000 /* five seconds */

/* The lock that a restore has while names change hands: of the directory, so that no file is left.
 * NULL where it cannot be had. Others have it for a few syncs; somebody who has it for another
 * purpose, or is stopped, keeps nobody from restoring: without it, too, a name that is taken is
 * not taken away. */
struct wr_file *wr_place_lock_dir(const struct wr_place *p)
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

/* What this restore has replaced, and what was left when it began: of what came later, somebody
 * was told, or is at work on it. */
static void remove_old(struct wr_place *p)
{
    struct wr_str name;

    (void)p->fs->remove(p->fs, p->old, NULL); /* what stays is removed by the next restore */
    for (size_t i = 0; i < WR_SIDECARS; i++) {
        name = wr_arena_fmt(&p->names, "%s%s", p->old, wr_place_sidecars[i]);
        if (name.p)
            (void)p->fs->remove(p->fs, name.p, NULL);
    }
    wr_leftovers_remove_old(p->fs, p->stale);
}

/* Move <from><suffix> to <to><suffix> unless it does not exist. */
static enum wr_status move(struct wr_place *p, const char *from, const char *to, const char *suffix,
    bool *ret_moved, struct wr_err *e)
{
    struct wr_str a = wr_arena_fmt(&p->names, "%s%s", from, suffix);
    struct wr_str b = wr_arena_fmt(&p->names, "%s%s", to, suffix);
    enum wr_status st;

    if (!a.p || !b.p)
        return wr_place_nomem(p->path, e);
    *ret_moved = false;
    if (!wr_place_fits(p->path, suffix))
        return WR_OK;
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
    bool failed = wr_place_look(p->fs, p->path, &there, &info, NULL) != WR_OK || there;

    if (!failed && database)
        failed = move(p, p->old, p->path, "", &back, NULL) != WR_OK || !back;
    for (size_t i = WR_SIDECARS; (!failed || back) && i-- > 0;)
        failed |= move(p, p->old, p->path, wr_place_sidecars[i], &moved, NULL) != WR_OK;
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
    for (size_t i = 0; st == WR_OK && i < WR_SIDECARS; i++)
        st = move(p, p->path, p->old, wr_place_sidecars[i], &moved, e);
    if (st == WR_OK)
        st = p->fs->sync_dir(p->fs, p->dir, e);
    return st;
}

static enum wr_status replace(struct wr_place *p, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    bool any = false;
    bool database = false;

    for (size_t i = 0; st == WR_OK && !any && i < WR_SIDECARS; i++)
        st = wr_place_look_sidecar(p->fs, p->path, wr_place_sidecars[i], &p->names, &any, e);
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
    enum wr_status st = wr_place_may(p->fs, p->path, false, &p->names, e);

    if (st == WR_OK)
        st = move(p, p->path, p->old, "", &moved, e);
    if (st == WR_OK && moved)
        st = wr_place_look(p->fs, p->old, &there, &info, e);
    if (st == WR_OK && info.size > 0)
        st = wr_fail(e, WR_CONFLICT, "something has been written to it meanwhile");
    if (st == WR_OK)
        st = wr_place_may(p->fs, p->path, false, &p->names, e);
    if (st == WR_OK)
        st = p->fs->rename_new(p->fs, p->tmp, p->path, e);
    if (moved && st == WR_OK)
        (void)p->fs->remove(p->fs, p->old, NULL); /* an empty file, which does no harm */
    else if (moved)
        put_back(p, true, st, e);
    return st;
}

enum wr_status wr_place_take_name(struct wr_place *p, struct wr_err *e)
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
