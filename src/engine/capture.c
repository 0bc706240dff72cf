/*
 * capture.c - from the WAL to a set of changed pages.
 *
 * Truth is the wal-index header: frames up to mxFrame are committed, nothing else is. While pinned
 * the WAL only grows, until a writer resets it, which SQLite allows only once all of it is in the
 * database file - and only our own checkpoints put it there, after capturing it. So:
 *
 *   1  read the header. Torn: a writer is in the middle of its update; look again soon. Torn while
 *      we have the writer lock: a writer died there; let SQLite recover the index under our pin.
 *   2  other salts than before: the WAL was reset. Legal only if all of it had been captured.
 *   3  read the frames after the last one captured, check salts and the checksum chain; the last
 *      must be a commit whose checksum is the one in the header.
 *
 * How much of the WAL is in the database file is never taken from a header read beside live
 * writers: a reset changes header and nBackfill one after the other. It is what our own checkpoints
 * left.
 *
 * No page image is kept: between our own checkpoints view.h can produce each of them again.
 */
#include "engine/primary_int.h"

#include "base/mem.h"
#include "base/mutant.h"
#include "sqlite/wal.h"

#define CHUNK     ((size_t)60 << 10)           /* bytes of WAL in one read; more is mapped anew */
#define TORN_NS   ((int64_t)5 * 1000000)       /* a live writer's update takes microseconds */
#define RELOOK_NS ((int64_t)200 * 1000)        /* first look after a torn header */
#define RESET_NS  ((int64_t)1000 * 1000)       /* a live writer's reset takes microseconds */
#define SETTLE_NS ((int64_t)200 * 1000 * 1000) /* patience for the writer lock to lower a count */

/* The index stays torn. If the writer lock is free, nobody is updating it. OK: db->seen is whole.
 */
static enum wr_status settle_torn(struct wr_db *db, struct wr_err *e)
{
    struct wr_walidx h;
    int64_t now = wr_db_now_ns(db);
    enum wr_status st;

    if (db->torn_ns == 0)
        db->torn_ns = now;
    wr_db_want(db, now + RELOOK_NS);
    if (!wr_conn_in_barrier(db->conn)) {
        if (now - db->torn_ns < TORN_NS)
            return WR_BUSY;
        st = wr_db_seal(db, 0, e);
        if (st != WR_OK)
            return st; /* BUSY: a live writer has it */
        st = wr_conn_header(db->conn, &h, e);
        wr_db_unseal(db);
        if (st != WR_OK && st != WR_BUSY)
            return st;
        if (st == WR_OK && h.init) { /* it was a live one's, which has ended */
            db->seen = h;
            return WR_OK;
        }
    }
    st = wr_conn_recover(db->conn, e);
    if (st == WR_BUSY)
        return WR_BUSY;
    if (st != WR_OK)
        return st;
    wr_log(DB_LOG(db), WR_WARN, "recovered the wal-index after a writer died in its update",
        DB_NAME(db));
    db->torn_ns = 0;
    st = wr_conn_header(db->conn, &db->seen, e);
    if (st == WR_OK) { /* recovery restarts the commit counter */
        db->change_base = db->seen.change;
        db->change_commits = 0;
    }
    return st;
}

/* Under the writer lock nobody is in the middle of a reset, and only our checkpoints raise the
 * count of copied frames. */
static void finish_reset(struct wr_db *db)
{
    assert(wr_conn_in_barrier(db->conn));
    if (!wr_db_stale_backfill(db))
        return;
    if (!db->copy_again) {
        wr_log(DB_LOG(db), WR_WARN,
            "a writer died while it reset the WAL; finished that for it, or the next commits would "
            "be lost",
            DB_NAME(db), WR_F_U64("frames", db->seen.mx_frame),
            WR_F_U64("stale_backfill", wr_conn_backfill(db->conn)));
    }
    wr_conn_set_backfill(db->conn, db->view.backfilled);
    db->copy_again = false;
}

/* Whether nobody can be resetting the WAL: that takes a count of all frames, by a header of which
 * we have the salts, and under the pin the count is ours. */
static bool no_reset(struct wr_db *db)
{
    struct wr_walidx h;
    struct wr_err e = {0};

    return wr_conn_header(db->conn, &h, &e) == WR_OK && h.init &&
           memcmp(h.salt, db->pos.salt, sizeof(h.salt)) == 0 &&
           wr_conn_backfill(db->conn) < h.mx_frame;
}

void wr_db_settle_backfill(struct wr_db *db)
{
    struct wr_err e = {0};

    if (!db->copy_again)
        return;
    if (wr_conn_in_barrier(db->conn)) {
        finish_reset(db);
    } else if (wr_db_seal(db, SETTLE_NS, &e) == WR_OK) {
        finish_reset(db);
        wr_db_unseal(db);
    } else if (no_reset(db)) {
        wr_conn_set_backfill(db->conn, db->view.backfilled);
        db->copy_again = false;
    }
}

static enum wr_status look(struct wr_db *db, struct wr_err *e)
{
    struct wr_walidx h;
    enum wr_status st = wr_conn_header(db->conn, &h, e);

    assert(wr_actor_is_current(&db->actor));
    if (st == WR_OK && !h.init)
        st = WR_BUSY; /* nobody built the index yet: treat as torn, SQLite will */
    if (st == WR_BUSY) {
        st = settle_torn(db, e);
        if (st != WR_OK)
            return st;
        h = db->seen;
    }
    db->torn_ns = 0;
    if (!db->started) {
        memcpy(db->pos.salt, h.salt, sizeof(h.salt));
        db->pos.frame = 0;
        db->unchecked = false;
        db->change_base = h.change;
        db->change_commits = 0;
        /* attach.c holds the writer lock meanwhile, so that nobody is in the middle of a reset: a
         * count that is larger than the WAL is of the one before it. */
        db->view.backfilled = h.n_backfill > h.mx_frame ? 0 : h.n_backfill;
        db->durable = 0; /* whoever copied them may not have synced them */
        db->copy_again = false;
        db->started = true;
    } else if (WR_MUTANT(NO_SALT) && h.mx_frame >= db->pos.frame) {
        memcpy(db->pos.salt, h.salt, sizeof(h.salt));
    } else if (memcmp(h.salt, db->pos.salt, sizeof(h.salt)) != 0) {
        /* Only our checkpoints fill the database, and a reset needs it full: I1. */
        if (db->view.backfilled != db->pos.frame) {
            return wr_fail(e, WR_INTERNAL,
                "the WAL was reset with %u frames captured and %u checkpointed: the checkpoint "
                "lock "
                "did not hold",
                db->pos.frame, db->view.backfilled);
        }
        memcpy(db->pos.salt, h.salt, sizeof(h.salt));
        db->pos.frame = 0;
        wr_pgmap_clear(&db->view.frames);
        db->view.backfilled = 0;
        db->durable = 0;
        db->wal_begun = 0;
        db->status.resets++;
    } else if (h.mx_frame < db->pos.frame) {
        return wr_fail(
            e, WR_INTERNAL, "the WAL went back from frame %u to %u", db->pos.frame, h.mx_frame);
    }
    db->seen = h;
    if (!wr_db_behind(db))
        db->pos_count = h.change;
    db->wal_high = wr_max(db->wal_high, h.mx_frame);
    return WR_OK;
}

enum wr_status wr_db_look(struct wr_db *db, struct wr_err *e)
{
    enum wr_status st = look(db, e);

    if (st != WR_OK || !wr_db_stale_backfill(db))
        return st;
    if (wr_conn_in_barrier(db->conn)) {
        finish_reset(db);
        return WR_OK;
    }
    st = wr_db_seal(db, 0, e);
    if (st == WR_BUSY) { /* a live writer has it, and may be the one that resets */
        wr_db_want(db, wr_db_now_ns(db) + RESET_NS);
        return WR_OK;
    }
    if (st != WR_OK)
        return st;
    st = look(db, e);
    if (st == WR_OK)
        finish_reset(db);
    wr_db_unseal(db);
    return st;
}

bool wr_db_stale_backfill(const struct wr_db *db)
{
    return wr_conn_backfill(db->conn) > db->view.backfilled;
}

bool wr_db_behind(const struct wr_db *db)
{
    return db->seen.mx_frame > db->pos.frame;
}

/* In an empty WAL a writer that never reset it starts with salts of its own. They are in the WAL's
 * header, with its first frames, before they are in the index. */
static bool new_wal_coming(struct wr_db *db, const struct wr_frame *first)
{
    uint8_t head[WR_WAL_HEADER];
    struct wr_wal_header h;
    size_t got = 0;

    return wr_conn_read_wal(db->conn, 0, head, sizeof(head), &got, NULL) == WR_OK &&
           got == sizeof(head) && wr_wal_header_get(head, &h) &&
           memcmp(h.salt, db->seen.salt, sizeof(h.salt)) != 0 &&
           memcmp(h.salt, first->salt, sizeof(h.salt)) == 0;
}

bool wr_db_more_coming(struct wr_db *db)
{
    uint8_t head[WR_FRAME_HEADER];
    struct wr_frame f;
    size_t got = 0;

    if (wr_conn_read_wal(db->conn, wr_frame_offset(db->seen.mx_frame + 1, db->view.page_size), head,
            sizeof(head), &got, NULL) != WR_OK ||
        got < sizeof(head))
        return false;
    wr_frame_get(head, &f);
    return memcmp(f.salt, db->seen.salt, sizeof(f.salt)) == 0 ||
           (db->seen.mx_frame == 0 && new_wal_coming(db, &f));
}

/* The checksum that the first frame runs on from stands in the WAL's header. */
static enum wr_status start_chain(struct wr_db *db, struct wr_pos *pos, struct wr_err *e)
{
    uint8_t head[WR_WAL_HEADER];
    struct wr_wal_header h;
    size_t got = 0;
    enum wr_status st = wr_conn_read_wal(db->conn, 0, head, sizeof(head), &got, e);

    if (st != WR_OK)
        return st;
    if (got < sizeof(head) || !wr_wal_header_get(head, &h) ||
        memcmp(h.salt, pos->salt, sizeof(h.salt)) != 0)
        return wr_fail(e, WR_CORRUPT, "the WAL's header does not match its index");
    if (h.page_size != db->view.page_size) {
        return wr_fail(
            e, WR_INTERNAL, "the page size changed from %u to %u", db->view.page_size, h.page_size);
    }
    db->little = h.little;
    pos->cksum[0] = h.cksum[0];
    pos->cksum[1] = h.cksum[1];
    return WR_OK;
}

/* SQLite up to 3.50 at least has a bug: a transaction that spilled into the WAL, rolled a savepoint
 * back and committed may leave frames without salt and checksum (walRewriteChecksums starts behind
 * them; https://sqlite.org/forum/forumpost/b490f726db). All readers see them, since they go by the
 * index, and so do we. But a recovery ends before them: they, and all that is committed after them,
 * would be lost with the last process that has the index. Even if all of them are in the database
 * already: the older frames would then be put over them. So the WAL is emptied at once. */
static bool is_blank(const uint8_t *frame)
{
    static const uint8_t zeros[16];

    return memcmp(frame + 8, zeros, sizeof(zeros)) == 0;
}

static void cannot_check(struct wr_db *db, uint32_t frame)
{
    wr_log(DB_LOG(db), WR_WARN,
        "the WAL has committed frames whose checksums do not follow, which SQLite up to 3.50 may "
        "leave there: after a crash all commits from there on would be undone. Emptying the WAL, "
        "which makes them safe",
        DB_NAME(db), WR_F_U64("frame", frame));
    db->unchecked = true;
}

/* Whether the frame follows *pos, which goes on to it. */
static bool follows(
    const struct wr_db *db, const struct wr_frame *f, const uint8_t *frame, struct wr_pos *pos)
{
    wr_frame_checksum(db->little, frame, db->view.page_size, pos->cksum);
    pos->frame++;
    return memcmp(f->salt, pos->salt, sizeof(f->salt)) == 0 && f->cksum[0] == pos->cksum[0] &&
           f->cksum[1] == pos->cksum[1] && f->pgno != 0;
}

static bool no_sum(const uint32_t s[2])
{
    return s[0] == 0 && s[1] == 0;
}

/* One frame, the next after *pos. *last tells whether it ends a transaction. */
static enum wr_status take_frame(struct wr_db *db, struct wr_pos *pos, const uint8_t *frame,
    uint32_t *last_commit, struct wr_err *e)
{
    bool blank = is_blank(frame), good;
    struct wr_frame f;
    enum wr_status st;

    wr_frame_get(frame, &f);
    if (blank && !db->unchecked)
        cannot_check(db, pos->frame + 1);
    /* Behind a blank one the sum goes on from wherever that transaction left it; from there on the
     * frames follow each other again. */
    if (blank || (db->unchecked && no_sum(pos->cksum))) {
        good = (blank || memcmp(f.salt, pos->salt, sizeof(f.salt)) == 0) && f.pgno != 0;
        pos->cksum[0] = f.cksum[0];
        pos->cksum[1] = f.cksum[1];
        pos->frame++;
    } else {
        good = follows(db, &f, frame, pos);
    }
    if (!good)
        return wr_fail(
            e, WR_CORRUPT, "WAL frame %u is damaged: its checksum does not follow", pos->frame);
    *last_commit = f.commit;
    if (f.commit != 0)
        db->change_commits++;
    st = wr_pgmap_set(&db->view.frames, f.pgno, pos->frame);
    if (st != WR_OK)
        return wr_fail(e, st, "too many pages in the WAL");
    wr_pageset_add(&db->dirty, f.pgno);
    wr_pageset_add(&db->unnoted, f.pgno);
    wr_db_air_captured(db, f.pgno);
    return WR_OK;
}

/* What frames are read into, at most `n` at a time. */
struct reads {
    uint8_t *buf;
    size_t frame_size, per_read;
};

static enum wr_status reads_init(
    struct reads *r, const struct wr_db *db, uint32_t n, struct wr_err *e)
{
    r->frame_size = WR_FRAME_HEADER + (size_t)db->view.page_size;
    r->per_read = wr_min(wr_max(CHUNK / r->frame_size, (size_t)1), (size_t)n);
    r->buf = wr_array(r->per_read, r->frame_size);
    return r->buf ? WR_OK : wr_fail(e, WR_NOMEM, "read the WAL");
}

/* As many of the frames from `first` to `last` as fit: *ret_n. */
static enum wr_status reads_get(struct wr_db *db, struct reads *r, uint32_t first, uint32_t last,
    size_t *ret_n, struct wr_err *e)
{
    size_t n = wr_min(r->per_read, (size_t)last - first + 1), got = 0;
    enum wr_status st = wr_conn_read_wal(
        db->conn, wr_frame_offset(first, db->view.page_size), r->buf, n * r->frame_size, &got, e);

    if (st == WR_OK && got < n * r->frame_size)
        st = wr_fail(e, WR_CORRUPT, "the WAL ends before frame %u", last);
    *ret_n = n;
    return st;
}

/* How far the chain of checksums goes, from the WAL's header on. CORRUPT: not to its end. */
static enum wr_status check_to(
    struct wr_db *db, const struct wr_pos *end, uint32_t *ret_broken, struct wr_err *e)
{
    struct wr_pos pos = *end;
    struct reads r = {0};
    enum wr_status st = reads_init(&r, db, end->frame, e);

    pos.frame = 0;
    if (st == WR_OK)
        st = start_chain(db, &pos, e);
    while (st == WR_OK && pos.frame < end->frame) {
        size_t n = 0;

        st = reads_get(db, &r, pos.frame + 1, end->frame, &n, e);
        for (size_t i = 0; i < n && st == WR_OK; i++) {
            const uint8_t *frame = r.buf + i * r.frame_size;
            struct wr_frame f;

            wr_frame_get(frame, &f);
            if (!follows(db, &f, frame, &pos))
                st = wr_fail(e, WR_CORRUPT, "the checksum does not follow");
        }
    }
    if (st == WR_OK && (pos.cksum[0] != end->cksum[0] || pos.cksum[1] != end->cksum[1]))
        st = wr_fail(e, WR_CORRUPT, "the last checksum is not that of the index");
    *ret_broken = pos.frame;
    wr_free(r.buf);
    return st;
}

enum wr_status wr_db_check_empty(struct wr_db *db, struct wr_err *e)
{
    uint8_t head[WR_WAL_HEADER];
    struct wr_wal_header h;
    size_t got = 0;
    enum wr_status st = wr_conn_read_wal(db->conn, 0, head, sizeof(head), &got, e);

    assert(db->pos.frame == 0 && db->seen.mx_frame == 0);
    if (st == WR_OK) {
        db->unchecked = got == sizeof(head) && wr_wal_header_get(head, &h) &&
                        memcmp(h.salt, db->seen.salt, sizeof(h.salt)) != 0;
    }
    return st;
}

enum wr_status wr_db_check_skipped(struct wr_db *db, struct wr_err *e)
{
    struct wr_err why = {0};
    struct wr_walidx now;
    uint32_t broken = 0;
    enum wr_status st;

    assert(db->pos.frame > 0 && db->pos.frame == db->skipped.frame);
    db->unchecked = true; /* until it is known */
    st = check_to(db, &db->skipped, &broken, &why);
    if (st == WR_OK) {
        db->unchecked = false;
        return WR_OK;
    }
    if (st != WR_CORRUPT) {
        *e = why;
        return st;
    }
    /* A writer that overwrote frames while they were read had announced before that there are none.
     * Until the new WAL's header is seen, they may be what a recovery finds. */
    st = wr_conn_header(db->conn, &now, e);
    if (st != WR_OK)
        return st;
    if (now.mx_frame >= db->pos.frame && memcmp(now.salt, db->pos.salt, sizeof(now.salt)) == 0)
        cannot_check(db, broken);
    return WR_OK;
}

bool wr_db_all_checked(
    bool started, bool unchecked, const struct wr_pos *pos, const struct wr_walidx *now)
{
    return started && !unchecked && now->mx_frame > 0 && now->mx_frame == pos->frame &&
           memcmp(now->salt, pos->salt, sizeof(pos->salt)) == 0;
}

/* The frames after *pos that the header announces. *ret_last is the last commit's size of the
 * database, 0 if another frame follows it. */
static enum wr_status take_frames(struct wr_db *db, struct wr_pos *pos, uint32_t *ret_last,
    uint32_t *ret_commit, struct wr_err *e)
{
    struct reads r = {0};
    enum wr_status st = reads_init(&r, db, db->seen.mx_frame - pos->frame, e);

    while (st == WR_OK && pos->frame < db->seen.mx_frame) {
        size_t n = 0;

        st = reads_get(db, &r, pos->frame + 1, db->seen.mx_frame, &n, e);
        for (size_t i = 0; i < n && st == WR_OK; i++) {
            st = take_frame(db, pos, r.buf + i * r.frame_size, ret_last, e);
            if (*ret_last != 0)
                *ret_commit = *ret_last;
        }
    }
    wr_free(r.buf);
    return st;
}

static enum wr_status capture(struct wr_db *db, struct wr_err *e)
{
    uint32_t last_commit = 0, commit = 0;
    struct wr_pos pos = db->pos;
    enum wr_status st = WR_OK;

    if (pos.frame == 0) {
        st = start_chain(db, &pos, e);
        if (st == WR_OK)
            db->unchecked = false; /* nothing behind another header is found any more */
    }
    if (st == WR_OK)
        st = take_frames(db, &pos, &last_commit, &commit, e);
    if (st != WR_OK)
        return st;
    /* Of another database in its place, which shares index and WAL with us, nothing is ours. */
    if (!wr_conn_same_files(db->conn)) {
        db->recheck = db->check_files = true;
        wr_db_want(db, wr_db_now_ns(db));
        return WR_BUSY;
    }
    if (last_commit == 0 ||
        (!(db->unchecked && no_sum(pos.cksum)) &&
            (pos.cksum[0] != db->seen.frame_cksum[0] || pos.cksum[1] != db->seen.frame_cksum[1])))
        return wr_fail(e, WR_CORRUPT, "WAL frame %u is not the commit its index names", pos.frame);
    db->status.frames += pos.frame - db->pos.frame;
    db->status.counts.wal_bytes +=
        (uint64_t)(pos.frame - db->pos.frame) * (WR_FRAME_HEADER + db->view.page_size);
    db->pos = pos;
    db->view.commit = commit;
    /* An index recovery starts the count over. */
    if (db->seen.change < db->change_base)
        db->change_base = db->seen.change - wr_min(db->seen.change, db->change_commits);
    /* Fewer commit frames than commits would be a lost transaction. More is possible: SQLite pads
     * with copies of a commit frame where a power cut may tear sectors. */
    if (db->change_commits < db->seen.change - db->change_base) {
        return wr_fail(e, WR_INTERNAL, "captured %u commits where the wal-index counted %u",
            db->change_commits, db->seen.change - db->change_base);
    }
    db->status.commits += db->change_commits;
    db->status.changes += db->seen.change - db->change_base;
    db->change_base = db->seen.change;
    db->change_commits = 0;
    db->pos_count = db->seen.change;
    return WR_OK;
}

enum wr_status wr_db_capture(struct wr_db *db, struct wr_err *e)
{
    int64_t began_ns;
    enum wr_status st = wr_db_look(db, e);

    if (st != WR_OK || !wr_db_behind(db))
        return st;
    if (!wr_conn_in_barrier(db->conn))
        wr_db_write_ahead(db); /* while they are read */
    began_ns = wr_db_now_ns(db);
    st = capture(db, e);
    /* What fails here is counted where it is told (wr_db_trouble), among all that holds it up. */
    wr_db_worked(db, &db->status.counts.captures, began_ns, WR_OK);
    return st;
}
