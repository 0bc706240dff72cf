/*
 * follow_start.c - the first state of a followed copy: restored, or what an earlier run left.
 *
 * What is at the path, and beside it               what is done
 *   nothing, or an empty file                      a restore; its header is changed, and our record
 *                                                  written, before it takes its name
 *   a database and our record of it                the copy is one of the two states recorded, or
 *                                                  it is refused: somebody has written to it
 *   a database and -txid, as Litestream leaves     what it is, nobody has proven: the first step
 *                                                  compares all of it with the newest state
 *   a database                                     refused
 */
#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/follow_int.h"
#include "engine/leftovers.h"
#include "engine/place.h"
#include "sqlite/patch.h"
#include "storage/storage.h"

#include <sys/stat.h>

#define AT_PAGE_SIZE 16 /* in the header of a database; 1 stands for 65536 */
#define WAIT_MS      50 /* for another connection, each time */

/* The restored file, before anybody knows it. */
static enum wr_status dress(
    void *arg, struct wr_file *file, const struct wr_restore_result *r, struct wr_err *e)
{
    struct wr_follow *f = arg;
    struct wr_follow_pos pos = {.txid = r->txid,
        .time_ms = r->time_ms,
        .rolling = r->rolling,
        .page_size = r->page_size,
        .pages = r->commit};
    uint8_t header[WR_DB_HEADER];
    enum wr_status st;

    st = wr_file_pread_all(file, pos.header, WR_DB_HEADER, 0, "restored database", e);
    if (st == WR_OK)
        st = wr_follow_next_counter(wr_follow_counter(pos.header), &pos.counter, e);
    if (st != WR_OK)
        return st;
    memcpy(header, pos.header, WR_DB_HEADER);
    wr_follow_dress(header, pos.pages, pos.counter, wr_follow_cookie(pos.header));
    st = wr_file_pwrite(file, header, WR_DB_HEADER, 0, e);
    return st == WR_OK ? wr_follow_state_put(&f->state, &f->pos, &pos, e) : st;
}

/* Which of the recorded states a copy is that is to be replaced: should that come to nothing, it is
 * still known. */
static void note_old(struct wr_follow *f)
{
    struct wr_patch *old = NULL;
    struct wr_err why = {0};

    f->pos = f->state.now;
    if (f->state.number > 0 && wr_patch_open(f->path, &old, &why) == WR_OK &&
        wr_follow_find(old, &f->state, &f->pos, &why) != WR_OK)
        f->pos = f->state.now; /* it is neither, and nobody will go on with it */
    wr_patch_close(old);
}

static enum wr_status restore(struct wr_follow *f, struct wr_call *c,
    struct wr_restore_result *ret_restored, struct wr_err *e)
{
    struct wr_restore_opts o = f->opts.restore;

    o.path = f->path;
    o.ltx_only = true;
    o.finish = dress;
    o.finish_arg = f;
    note_old(f);
    return wr_restore(f->storage, c, &o, ret_restored, e);
}

/* A copy of which only a TXID is known. */
static enum wr_status adopt(struct wr_follow *f, struct wr_call *c, struct wr_err *e)
{
    uint64_t bytes = 0;
    uint32_t page_size;
    enum wr_status st = wr_patch_begin(f->copy, &bytes, e);

    if (st == WR_OK)
        st = wr_patch_read(f->copy, f->pos.header, WR_DB_HEADER, 0, e);
    wr_patch_end(f->copy);
    if (st != WR_OK)
        return wr_wrap(e, st, "%s", f->path);
    page_size = wr_be16(f->pos.header + AT_PAGE_SIZE);
    f->pos.page_size = page_size == 1 ? 65536 : page_size;
    f->pos.pages = (uint32_t)(bytes / f->pos.page_size);
    f->pos.counter = wr_follow_counter(f->pos.header);
    if ((uint64_t)f->pos.pages * f->pos.page_size != bytes)
        return wr_fail(e, WR_CORRUPT, "%s: its size is no number of pages", f->path);
    wr_log(c->log, WR_INFO,
        "taking over a copy that another program has followed; all of it is compared with the "
        "replica",
        WR_F_Z("output", f->path), WR_F_TXID("txid", f->floor.txid));
    return WR_OK;
}

/* Which state is there. Another connection may be in the way: somebody writes, or a journal is to
 * be rolled back and readers look at it, for a moment each. Whatever it is passes, as it does
 * later on, where a step waits for it. */
static enum wr_status find(struct wr_follow *f, struct wr_call *c, struct wr_err *e)
{
    bool told = false;

    for (;;) {
        enum wr_status st =
            f->state.number == 0 ? adopt(f, c, e) : wr_follow_find(f->copy, &f->state, &f->pos, e);

        if (st != WR_BUSY)
            return st;
        if (!told)
            wr_log(c->log, WR_WARN, "follow: another connection to the database is in the way",
                WR_F_Z("output", f->path), WR_F_Z("reason", e->text));
        told = true;
        st = wr_call_sleep(c, WAIT_MS, e);
        if (st != WR_OK)
            return st;
    }
}

/* What was left here. */
static enum wr_status go_on(struct wr_follow *f, struct wr_call *c, struct wr_err *e)
{
    struct wr_err why = {0};
    enum wr_status st = wr_follow_txid_get(f->opts.restore.fs, f->path, &f->floor.txid, &why);

    if (st == WR_OK && f->state.number == 0 && f->floor.txid == 0)
        return wr_fail(e, WR_CONFLICT,
            "cannot resume follow mode: database exists but no -txid file found: "
            "%s; " WR_FOLLOW_ADVICE,
            f->path);
    if (st != WR_OK && st != WR_NOMEM && f->state.number > 0) /* it is for others, and not needed */
        st = WR_OK;
    if (st == WR_OK)
        st = wr_patch_open(f->path, &f->copy, &why);
    if (st == WR_OK)
        st = find(f, c, &why);
    if (st == WR_CONFLICT || st == WR_CORRUPT)
        return wr_fail(e, st, "%s; " WR_FOLLOW_ADVICE, why.text);
    if (st != WR_OK)
        return wr_fail(e, st, "%s", why.text);
    if (f->pos.txid > 0) {
        wr_log(c->log, WR_INFO, "resuming follow mode", WR_F_Z("output", f->path),
            WR_F_TXID("txid", f->pos.txid));
        f->floor = f->pos.fed ? (struct wr_follow_mark){0} : wr_follow_here(f);
    }
    return WR_OK;
}

static enum wr_status begin(struct wr_follow *f, struct wr_call *c,
    struct wr_restore_result *ret_restored, struct wr_err *e)
{
    enum wr_status st = restore(f, c, ret_restored, e);

    if (st == WR_OK)
        st = wr_patch_open(f->path, &f->copy, e);
    if (st == WR_OK)
        st = find(f, c, e);
    f->floor = wr_follow_here(f);
    return st;
}

/* Where the path leads; a link that leads nowhere is the restore's to refuse. */
static enum wr_status resolve(struct wr_follow *f, bool *ret_there, struct wr_err *e)
{
    const struct wr_restore_opts *o = &f->opts.restore;
    struct wr_file_info info = {0}, link = {0};
    enum wr_status st = o->fs->stat(o->fs, o->path, &info, NULL);

    *ret_there = st == WR_OK && info.size > 0 && !info.is_dir;
    if (st == WR_OK && o->fs->lstat(o->fs, o->path, &link, NULL) == WR_OK &&
        S_ISLNK((mode_t)link.mode))
        return o->fs->resolve(o->fs, o->path, &f->path, e);
    f->path = wr_strndup(o->path, wr_str(o->path).n);
    return f->path ? WR_OK : wr_fail(e, WR_NOMEM, "%s: out of memory", o->path);
}

/* Directories that the copy and the files beside it need. */
static enum wr_status make_room(struct wr_follow *f, struct wr_call *c, struct wr_err *e)
{
    const struct wr_restore_opts *o = &f->opts.restore;
    struct wr_str dir = wr_arena_str(c->scratch, wr_path_dir(f->path));

    if (!dir.p)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", f->path);
    return wr_place_mkdirs(o->fs, dir.p, e);
}

/* A record of nothing: nobody has a use for it. */
static void forget(struct wr_follow *f, struct wr_call *c)
{
    const struct wr_fs *fs = f->opts.restore.fs;
    struct wr_str name = wr_arena_fmt(c->scratch, "%s-follow", f->path);

    if (f->state.file && f->state.number == 0 && name.p)
        (void)fs->remove(fs, name.p, NULL);
}

/* What killed ones left: pages that were to be applied, and a -txid that had not got its name. */
static enum wr_status sweep(struct wr_follow *f, struct wr_call *c, struct wr_err *e)
{
    const char *dir = wr_arena_str(c->scratch, wr_path_dir(f->path)).p;
    struct wr_str base = wr_arena_str(c->scratch, wr_path_base(f->path));
    struct wr_str txid = base.p ? wr_arena_fmt(c->scratch, "%s-txid", base.p) : base;
    struct wr_leftovers at = {
        .fs = f->opts.restore.fs, .names = c->scratch, .dir = dir, .base = base.p};
    enum wr_status st;

    if (!dir || !txid.p)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", f->path);
    st = wr_leftovers_sweep(&at, NULL, e);
    at.base = txid.p;
    return st == WR_OK ? wr_leftovers_sweep(&at, NULL, e) : st;
}

enum wr_status wr_follow_start(struct wr_follow *f, struct wr_call *c,
    struct wr_restore_result *ret_restored, struct wr_err *e)
{
    const struct wr_fs *fs = f->opts.restore.fs;
    bool there = false;
    enum wr_status st = resolve(f, &there, e);

    there = there && !f->opts.restore.overwrite;
    if (st == WR_OK && !there)
        st = wr_place_check(fs, f->path, f->opts.restore.overwrite, e);
    if (st == WR_OK && !there)
        st = make_room(f, c, e);
    if (st == WR_OK)
        st = wr_follow_state_open(fs, f->path, &f->state, e);
    if (st == WR_OK && there) /* else the restore does, or goes on with them */
        st = sweep(f, c, e);
    if (st == WR_OK)
        st = there ? go_on(f, c, e) : begin(f, c, ret_restored, e);
    if (st == WR_OK && f->pos.txid > 0)
        st = wr_follow_txid_put(fs, f->path, f->pos.txid, e);
    if (st != WR_OK)
        forget(f, c);
    return st;
}
