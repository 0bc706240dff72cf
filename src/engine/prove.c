/*
 * prove.c - how a database that has just been pinned relates to the last closed TXID.
 *
 *   1. The database file is the one that the ledger knows, by its inode, size and times, and the
 *      WAL goes on from the noted position: the changed pages are those noted plus those that were
 *      captured after it.
 *   2. The file is that one, and was the whole database at a stop: what changed is in the WAL.
 *   3. It is another one, or the WAL does not go on, for it was reset or lost while we were away:
 *      compare every page with the ledger.
 *   4. There is no ledger: build one.
 *
 * Nothing is guessed: in doubt a page is compared, or sent. Reading all of a large database takes
 * minutes, so it is done a slice a step, of the image (frozen.h) at the moment of attaching; the
 * WAL is captured and checkpointed in between, and what is captured meanwhile is dirty in any case.
 */
#include "engine/primary_replicas.h"

#include "base/mem.h"
#include "base/mutant.h"
#include "engine/frozen.h"
#include "engine/machine.h"
#include "engine/node.h"
#include "sqlite/wal.h"

#define SCAN_BYTES ((size_t)1 << 20)          /* one read */
#define SLICE_NS   ((int64_t)50 * 1000000)    /* at most so long in one step */
#define SAY_NS     ((int64_t)10 * 1000000000) /* between words about how far it is */

/* Between comparisons that did not help: each costs a reading, and an upload in vain. */
#define DOUBT_MIN_NS ((int64_t)60 * 1000000000)
#define DOUBT_MAX_NS ((int64_t)3600 * 1000000000)

/* What the WAL has where `was` says it was. False: no frame of that generation. */
static bool frame_at(struct wr_db *db, const struct wr_pos *was, struct wr_frame *ret)
{
    uint8_t head[WR_FRAME_HEADER];
    size_t got = 0;

    if (was->frame == 0 ||
        wr_conn_read_wal(db->conn, wr_frame_offset(was->frame, db->view.page_size), head,
            sizeof(head), &got, NULL) != WR_OK ||
        got < sizeof(head))
        return false;
    wr_frame_get(head, ret);
    return memcmp(ret->salt, was->salt, sizeof(was->salt)) == 0;
}

/* Whether the database went another way after `was`: its WAL, not reset since, ends before it or
 * has another frame there. A power cut does that to commits that were not synced. */
static bool forked(struct wr_db *db, const struct wr_pos *was)
{
    struct wr_frame f;

    if (was->frame == 0 || memcmp(was->salt, db->pos.salt, sizeof(was->salt)) != 0)
        return false;
    if (was->frame > db->pos.frame)
        return true;
    return frame_at(db, was, &f) && (f.cksum[0] != was->cksum[0] || f.cksum[1] != was->cksum[1]);
}

/* Whether the WAL goes on from `was`, and all that came after it was read. */
static bool continues(struct wr_db *db, const struct wr_pos *was)
{
    const struct wr_pos *skipped = &db->skipped;
    struct wr_frame f;

    /* What lies before `skipped` was not read: `was` must be that very place. */
    if (skipped->frame > 0)
        return memcmp(was->salt, skipped->salt, sizeof(was->salt)) == 0 &&
               was->frame == skipped->frame && was->cksum[0] == skipped->cksum[0] &&
               was->cksum[1] == skipped->cksum[1];
    if (WR_MUTANT(GAP_UNSEEN) && skipped->frame == 0 && was->frame <= db->pos.frame)
        return true;
    if (memcmp(was->salt, db->pos.salt, sizeof(was->salt)) != 0 || was->frame > db->pos.frame)
        return false;
    if (was->frame == 0)
        return db->pos.frame > 0; /* an empty WAL proves nothing: a new one has salts 0, too */
    return frame_at(db, was, &f) && f.cksum[0] == was->cksum[0] && f.cksum[1] == was->cksum[1];
}

/* Whether `was` was all in the file, which nobody has written to since: then all that came later is
 * in the WAL, whichever it is, and was read from its start. */
static bool rested(struct wr_db *db, const struct wr_ledger_state *was)
{
    return was->rest != 0 && db->skipped.frame == 0 && db->view.backfilled == 0 &&
           was->rest == wr_machine_run(db->fs);
}

/* The frames up to `was` were captured by an earlier process: only the rest is dirty. */
static enum wr_status dirty_since(struct wr_db *db, const struct wr_pos *was, struct wr_err *e)
{
    uint32_t from = db->skipped.frame > 0 ? 0 : was->frame; /* all that was read is newer */
    struct wr_pgmap_entry *all = wr_array(db->view.frames.n ? db->view.frames.n : 1, sizeof(*all));

    if (!all)
        return wr_fail(e, WR_NOMEM, "list the pages of the WAL");
    wr_pgmap_sorted(&db->view.frames, all);
    wr_pageset_clear(&db->dirty);
    for (size_t i = 0; i < db->view.frames.n; i++) {
        if (all[i].value > from)
            wr_pageset_add(&db->dirty, all[i].pgno);
    }
    wr_free(all);
    wr_pageset_add_set(&db->dirty, wr_ledger_pending(db->ledger));
    return WR_OK;
}

/* Which TXID the database as it is now shall have, when we do not know what we did before. */
static uint64_t first_txid(const struct wr_db *db, uint64_t rolling)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        const struct wr_remote_pos *at = &db->replicas[i].now->pos;

        if (at->has_rolling && at->rolling == rolling && at->commit == db->proof.commit &&
            at->page_size == db->view.page_size)
            return at->txid; /* the replica holds exactly this state */
    }
    /* It gets a greater one where a replica needs that to join. */
    return wr_ledger_floor(db->ledger) > 0 ? wr_ledger_floor(db->ledger) + WR_TXID_LEAP : 1;
}

static void begin_scan(struct wr_db *db, enum proof_kind kind)
{
    db->proof.kind = kind;
    db->proof.pos = db->pos;
    db->proof.commit = db->view.commit;
    db->proof.next = 1;
    db->proof.said_ns = wr_db_now_ns(db);
    db->status.ledger_scans++;
    wr_pageset_clear(&db->dirty); /* those captured so far are in the image */
}

/* The ledger is there and proven to be that of a database of this shape. */
static enum wr_status begin(struct wr_db *db, struct wr_err *e)
{
    const struct wr_pos start = {0};
    struct wr_ledger_state was = wr_ledger_state(db->ledger);
    struct wr_file_mark file = wr_conn_mark(db->conn);
    bool same =
        wr_file_mark_equal(&was.file, &file) || WR_MUTANT(FILE_UNSEEN) || WR_MUTANT(GAP_UNSEEN);
    enum wr_status st = WR_OK;

    db->mark_due = true;
    db->proof.other_file = !same;
    db->proof.fork = forked(db, &was.pos);
    if (WR_MUTANT(LEDGER_AHEAD) && was.txid > 0)
        return dirty_since(db, &db->pos, e);
    /* The WAL tells what was written after a position, and not which file that was. */
    if (was.txid > 0 && !db->distrust && same && continues(db, &was.pos))
        return dirty_since(db, &was.pos, e);
    if (was.txid > 0 && !db->distrust && same && rested(db, &was))
        return dirty_since(db, &start, e);
    if (was.txid == 0) {
        st = wr_ledger_fill_begin(db->ledger, db->view.commit, e);
    } else if (db->distrust || (!same && continues(db, &was.pos))) {
        /* Should we die before all pages are compared, the next start must not believe it either.
         */
        wr_ledger_distrust(db->ledger);
    }
    if (st == WR_OK) {
        st = wr_frozen_new(db->fs, db->outbox, &db->view, &db->proof.image, e);
    }
    if (st == WR_OK)
        begin_scan(db, was.txid == 0 ? PROOF_FILL : PROOF_COMPARE);
    return st;
}

/* Also if one is known: a copy that was promoted at this path has another one than what was there
 * before. If the file is gone meanwhile, it is no other number for that. */
static enum wr_status learn_node(struct wr_db *db, struct wr_err *e)
{
    const bool known = db->node_id != 0;
    const char *path = wr_conn_path(db->conn);
    struct wr_node node;
    enum wr_status st = known ? wr_node_find(db->fs, db->meta_dir, path, &node, e)
                              : wr_node_keep(db->fs, db->meta_dir, path, &node, e);

    if (st != WR_OK || (known && node.was != WR_NODE_KEPT))
        return st;
    db->node_id = node.number;
    if (node.was == WR_NODE_DAMAGED)
        wr_log(DB_LOG(db), WR_WARN,
            "the file that tells which replicas are of this database was damaged, and is made anew",
            DB_NAME(db), WR_F_Z("path", db->meta_dir));
    return WR_OK;
}

enum wr_status wr_db_prove_begin(struct wr_db *db, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    assert(!db->ledger && !db->proof.image);
    st = wr_mkdirs(db->fs, db->meta_dir, 0700, e);
    if (st == WR_OK)
        st = learn_node(db, e);
    if (st == WR_OK) {
        st = wr_ledger_open(db->fs, db->meta_dir, db->view.page_size, db->view.lock_pgno,
            wr_machine_run(db->fs), &db->ledger, e);
    }
    return st == WR_OK ? begin(db, e) : st;
}

bool wr_db_doubtful(const struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (db->replicas[i].doubts > 1 && !db->replicas[i].stopped)
            return true;
    }
    return false;
}

void wr_db_doubt(struct wr_db *db, struct db_replica *dr)
{
    int64_t wait = 0;

    dr->doubted = true;
    dr->join_txid = 0;
    if (db->doubt_ns != WR_NEVER)
        return;
    if (dr->doubts > 0)
        wait = wr_min(DOUBT_MIN_NS << wr_min(dr->doubts - 1, 10u), DOUBT_MAX_NS);
    dr->doubts++;
    db->doubt_ns = wr_db_now_ns(db) + wait;
    if (wr_db_doubtful(db)) {
        struct wr_err e = {0};

        wr_fail(&e, WR_CORRUPT, WR_DB_DOUBT_TEXT);
        wr_db_trouble(db, WR_CORRUPT, &e, "pages read for a replica are not those of the ledger");
    }
}

/* All pages were compared, whatever for. */
static void doubt_no_more(struct wr_db *db)
{
    db->doubt_ns = WR_NEVER;
    for (size_t i = 0; i < db->n_replicas; i++)
        db->replicas[i].doubted = false;
}

static void scan_page(struct wr_db *db, uint32_t pgno, uint64_t checksum)
{
    struct db_proof *x = &db->proof;
    uint32_t frame;

    if (x->kind == PROOF_FILL) {
        wr_ledger_fill(db->ledger, pgno, checksum);
    } else if (wr_ledger_page(db->ledger, pgno) != checksum) {
        wr_pageset_add(&db->dirty, pgno);
        if (pgno <= wr_ledger_state(db->ledger).commit &&
            !wr_pgmap_get(&db->view.frames, pgno, &frame)) {
            x->first = x->first ? x->first : pgno;
            x->strange++;
        }
    }
}

/* What came of a comparison that was made because of a doubt. */
static void say_doubt(const struct wr_db *db)
{
    const struct db_proof *x = &db->proof;

    if (x->strange > 0) {
        wr_log(DB_LOG(db), WR_ERROR,
            "pages of the database file changed without SQLite (a failing disk, a lost write, "
            "another program?): run PRAGMA integrity_check on it; they are replicated as they are "
            "now, what was replicated before stays restorable",
            DB_NAME(db), WR_F_Z("path", db->path), WR_F_U64("first_page", x->first),
            WR_F_U64("changed_pages", x->strange),
            WR_F_TXID("good_txid", wr_ledger_state(db->ledger).txid));
    } else {
        wr_log(DB_LOG(db), WR_WARN,
            "pages read for a replica were not those of the ledger, and now all are; if that "
            "happens again, look at disk and memory of this machine",
            DB_NAME(db));
    }
}

/* The next few pages of the image. */
static enum wr_status scan_slice(struct wr_db *db, struct wr_err *e)
{
    struct db_proof *x = &db->proof;
    uint32_t size = db->view.page_size;
    uint32_t per_run = wr_max((uint32_t)(SCAN_BYTES / size), 1u);
    uint32_t slice = wr_max((uint32_t)(db->scan_bytes / size), 1u);
    uint8_t *run = wr_array(wr_min(per_run, slice), size);
    int64_t start = wr_db_now_ns(db);
    enum wr_status st = WR_OK;

    if (!run)
        return wr_fail(e, WR_NOMEM, "read the database");
    while (
        slice > 0 && x->next <= x->commit && st == WR_OK && wr_db_now_ns(db) - start < SLICE_NS) {
        uint32_t n = wr_min(wr_min(per_run, slice), x->commit - x->next + 1);

        st = wr_frozen_read(x->image, x->next, n, run, e);
        for (uint32_t i = 0; i < n && st == WR_OK; i++) {
            uint32_t pgno = x->next + i;

            if (pgno != db->view.lock_pgno)
                scan_page(db, pgno, wr_ltx_page_checksum(pgno, run + (size_t)i * size, size));
        }
        x->next += n;
        slice -= n;
        db->status.scanned += n;
    }
    wr_free(run);
    return st;
}

static void say_how_far(struct wr_db *db)
{
    struct db_proof *x = &db->proof;
    int64_t now = wr_db_now_ns(db);

    if (now - x->said_ns < SAY_NS)
        return;
    x->said_ns = now;
    wr_log(DB_LOG(db), WR_INFO,
        x->kind == PROOF_FILL ? "reading the database for its ledger"
                              : "comparing the database with its ledger",
        DB_NAME(db), WR_F_U64("pages_done", x->next - 1), WR_F_U64("pages", x->commit));
}

static const char *why_compared(const struct wr_db *db)
{
    if (db->doubt_ns != WR_NEVER)
        return "compared every page with the ledger, since some were read that are not its";
    if (db->distrust)
        return "compared every page with the ledger, since the database file was written by others";
    if (db->proof.fork)
        return "the database lost transactions that were already replicated (power cut?); its "
               "state "
               "now becomes the next transaction, the lost ones stay restorable";
    if (db->proof.other_file)
        return "the database file is not as we left it (checkpointed by others, restored, "
               "replaced?): compared every page with the ledger";
    return "the WAL was reset while we were away: compared every page with the ledger";
}

static enum wr_status scan_done(struct wr_db *db, struct wr_err *e)
{
    struct db_proof *x = &db->proof;
    struct wr_ledger_state was = wr_ledger_state(db->ledger);
    enum wr_status st = WR_OK;

    if (x->kind == PROOF_FILL) {
        return wr_ledger_fill_end(
            db->ledger, first_txid(db, wr_ledger_fill_rolling(db->ledger)), &x->pos, e);
    }
    if (was.commit != db->view.commit)
        wr_pageset_add(&db->dirty, 1);
    wr_log(DB_LOG(db), x->fork ? WR_WARN : WR_INFO, why_compared(db), DB_NAME(db),
        WR_F_TXID("txid", was.txid), WR_F_U64("changed_pages", db->dirty.map.n),
        WR_F_U64("pages", x->commit));
    db->status.forks += x->fork;
    if (db->doubt_ns != WR_NEVER)
        say_doubt(db);
    return st;
}

void wr_db_prove_drop(struct wr_db *db)
{
    if (db->proof.image)
        db->status.kept_pages += wr_frozen_kept(db->proof.image);
    wr_frozen_free(db->proof.image);
    db->proof = (struct db_proof){0};
}

bool wr_db_proving(const struct wr_db *db)
{
    return db->proof.image != NULL;
}

enum wr_status wr_db_prove(struct wr_db *db, bool *ret_done, struct wr_err *e)
{
    struct wr_ledger_state was;
    enum wr_status st = WR_OK;

    *ret_done = false;
    if (wr_db_proving(db)) {
        st = scan_slice(db, e);
        if (st == WR_OK && db->proof.next <= db->proof.commit) {
            say_how_far(db);
            return WR_OK;
        }
        if (st == WR_OK)
            st = scan_done(db, e);
        wr_db_prove_drop(db);
    }
    if (st != WR_OK)
        return st;
    if (db->distrust)
        doubt_no_more(db);
    db->distrust = false;
    was = wr_ledger_state(db->ledger);
    db->txid = was.txid;
    db->commit_closed = was.commit;
    /* What is dirty now is in no note yet; the next note's position will claim that it is. */
    wr_pageset_clear(&db->unnoted);
    wr_pageset_add_set(&db->unnoted, &db->dirty);
    *ret_done = true;
    return WR_OK;
}
