/*
 * join.c - how a replica that stands elsewhere gets to where the database is.
 *
 * It gets one file that leads from there to here:
 *   held by a promoted database   nothing: it stops
 *   empty                         a snapshot of everything, level 9, from TXID 1
 *   a state in our history        the pages that changed since; a snapshot, if its files are no
 *                                 whole chain or its newest is damaged
 *   a state whose checksum no     the pages that differ, as a TXID far above its newest: all of it
 *   file records                  is read once (census.h), unless that would take much longer than
 *                                 to send all pages
 *   anything else                 all pages, likewise: its past stays; as a snapshot, if its files
 *                                 were not looked at
 * A file of many pages is read from the live database while it is sent, as of the moment of joining
 * (frozen.h).
 */
#include "engine/primary_replicas.h"

#include "base/mem.h"
#include "base/mutant.h"
#include "engine/frozen.h"
#include "engine/layout.h"
#include "engine/learn.h"

#define FEW_PAGES    8u /* sampled; of more at least half must be equal */
#define CENSUS_WORTH 2u /* bytes that may be read for each one of the database */
#define CONTESTS_MAX 1u /* times that a file of our own past may have been in the way ... */
#define STRAYS_MAX   4u /* such times for one that was promoted ... */
#define CONTESTS_NS  ((int64_t)24 * 3600 * 1000000000) /* ... before it is as good as forgotten */
#define WAITS_MAX    7u /* waits for somebody else to go on writing, the first one of ... */
#define WAIT_MS      ((int64_t)4000) /* ... four seconds, each twice the one before */

/* How the replica gets from where it stands to db->txid. */
struct join {
    unsigned level;
    uint64_t min;
    uint64_t rolling_pre;
    struct wr_pageset pages;
    bool nothing; /* it is there already */
    bool strays;  /* it goes over files that are not of our history */
};

/* Written by this path on this machine. */
static bool our_own(const struct wr_db *db, const struct wr_replica_status *r)
{
    return r->pos.node_id == db->node_id && db->node_id != 0;
}

/* Whether page 1 of the database is that of the sample, as far as it tells of the schema. */
static enum wr_status same_schema(
    const struct wr_db *db, const struct wr_sample *sample, bool *ret, struct wr_err *e)
{
    uint8_t *page = wr_alloc(db->view.page_size);
    enum wr_status st = page ? wr_view_page(&db->view, 1, page, e)
                             : wr_fail(e, WR_NOMEM, "compare the schema with the replica's");

    if (st == WR_OK)
        *ret = wr_sample_schema(page, db->view.page_size) == sample->schema;
    wr_free(page);
    return st;
}

/*
 * Whether the replica's newest state, which is not in our history, is of another database. Two
 * states of one database have many pages in common; databases that one program made for two tenants
 * may share a few. Where there are few pages, the first change after a restore may be in all of
 * them: then it takes another schema, too.
 */
static enum wr_status is_foreign(
    const struct wr_db *db, const struct wr_sample *sample, bool *ret, struct wr_err *e)
{
    size_t same = 0;
    bool schema = true;
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < sample->n; i++)
        same += wr_ledger_page(db->ledger, sample->pgno[i]) == sample->checksum[i];
    if (sample->n < FEW_PAGES && same == 0)
        st = same_schema(db, sample, &schema, e);
    *ret = sample->n < FEW_PAGES ? !schema : same * 2 < sample->n;
    return st;
}

static void join_by_snapshot(struct join *j)
{
    j->level = WR_LEVEL_SNAPSHOT;
    j->min = 1;
    j->rolling_pre = WR_LTX_CHECKSUM_EMPTY;
    wr_pageset_set_all(&j->pages);
}

/* Where a replica that has to join stands. */
enum standing {
    STANDS_EMPTY,
    STANDS_HERE,      /* at the state of the ledger */
    STANDS_BEHIND,    /* at a state in our history */
    STANDS_BROKEN,    /* so, but its files do not lead there, or not only there */
    STANDS_ELSEWHERE, /* in a past of this database that we do not know */
    STANDS_UNSIGNED,  /* so, and the sign may tell of TXIDs beyond */
    STANDS_UNCOUNTED, /* so, and nothing tells in which pages they differ before all are read */
    STANDS_UNASKED,   /* with a file of another node, and who holds the lease was not asked */
    STANDS_LOST,      /* another node holds it */
    STANDS_UNSEEN,    /* elsewhere: of which database is not known before pages are sampled */
    STANDS_UNKNOWN,   /* elsewhere: and never will be */
    STANDS_FOREIGN,   /* at a state of another database */
    STANDS_TOO_FAR,   /* elsewhere: and too few TXIDs are left for a new history behind it */
    STANDS_DISPUTED,  /* where another process has brought it, which may be dead */
    STANDS_CONTESTED  /* where another process that lives has brought it */
};

static bool read_lease(const struct db_replica *dr, struct wr_lease *ret)
{
    return wr_replica_lease(dr->r, dr->now->found, ret);
}

/* By the lease, and so not to be doubted by what others leave behind who have lost it. They stop at
 * the latest when that is there; only who knows of no lease goes on. */
static bool was_promoted(const struct wr_db *db, const struct db_replica *dr)
{
    struct wr_lease l;

    return read_lease(dr, &l) && l.epoch > 0 && !wr_lease_lost(&l, db->node_id);
}

/* What may be in its way, or stand there, is of the database whatever the pages say. */
static bool is_its_own(const struct wr_db *db, const struct db_replica *dr)
{
    return our_own(db, dr->now) || was_promoted(db, dr);
}

/* Once a look at all of it has found nothing that we did not send. Less than that does not count,
 * nor does a few hours: of a writer that is in nobody's way only such a look finds what came since
 * the last one, and there is one in six hours. */
static bool is_forgotten(const struct wr_db *db, const struct db_replica *dr)
{
    return dr->cleared != dr->now->cleared || wr_db_now_ns(db) - dr->contest_ns >= CONTESTS_NS;
}

static bool comes_again(const struct wr_db *db, const struct db_replica *dr)
{
    unsigned max = was_promoted(db, dr) ? STRAYS_MAX : CONTESTS_MAX;

    return !WR_MUTANT(TAKE_TURNS) && dr->contests >= max && !is_forgotten(db, dr);
}

/* It joins, with a file in its way or not. */
static void note_contest(const struct wr_db *db, struct db_replica *dr)
{
    dr->waits = 0;
    if (!dr->now->contested)
        return;
    if (is_forgotten(db, dr))
        dr->contests = 0;
    dr->contests++;
    dr->contest_ns = wr_db_now_ns(db);
    dr->cleared = dr->now->cleared;
}

/* In the way of a send, or between our files, is what a killed process of ours had sent and what
 * arrived after we had listed. That happens once in a long time; somebody who lives comes again.
 *
 * On a machine that took over from another one it is what that one had sent last, and it continues
 * what we found there. All else that is not of this machine is of somebody who lives, and so is
 * whatever came while we waited. */
static bool contested(const struct wr_db *db, const struct db_replica *dr)
{
    const struct wr_remote_pos *at = &dr->now->pos;

    if (!dr->now->contested)
        return false;
    if (is_its_own(db, dr) || comes_again(db, dr))
        return comes_again(db, dr);
    return !dr->now->continues ||
           (dr->waits > 0 && (at->txid != dr->waits_txid || at->rolling != dr->waits_rolling));
}

/* Of one that stands elsewhere: whether changes can be put on top of what it has. */
static bool is_base(const struct wr_db *db, const struct db_replica *dr)
{
    return dr->now->pos.page_size == db->view.page_size && dr->now->pos.whole;
}

/* Of one that stands elsewhere: with the next TXID, as what is in the way is of our own past. */
static bool goes_on(const struct wr_db *db, const struct db_replica *dr)
{
    return dr->now->contested && our_own(db, dr->now) && is_base(db, dr);
}

/* Which TXIDs were given away beyond those that are seen is not known, where that past is not: of a
 * file that is under way, from somebody who is dead, only the sign tells. */
static bool must_ask(const struct wr_db *db, const struct db_replica *dr)
{
    uint64_t taken;

    return !goes_on(db, dr) && !wr_replica_taken(dr->r, dr->now->found, &taken);
}

/* Of one that is of this database. */
static enum standing not_foreign(const struct wr_db *db, const struct db_replica *dr)
{
    const struct wr_remote_pos *at = &dr->now->pos;
    bool disputed = dr->now->contested && !is_its_own(db, dr);

    if (at->txid >= WR_TXID_SANE - 2 * WR_TXID_LEAP)
        return STANDS_TOO_FAR;
    if (disputed && dr->waits < WAITS_MAX)
        return STANDS_DISPUTED;
    if (must_ask(db, dr))
        return STANDS_UNSIGNED;
    return !at->has_rolling && !dr->now->counted && is_base(db, dr) ? STANDS_UNCOUNTED
                                                                    : STANDS_ELSEWHERE;
}

/* Of one that is not in our history. */
static enum wr_status elsewhere(
    const struct wr_db *db, const struct db_replica *dr, enum standing *ret, struct wr_err *e)
{
    bool ours = dr->adopted || is_its_own(db, dr), foreign = false;
    enum wr_status st = WR_OK;
    struct wr_sample sample;

    if (!ours && !dr->now->sampled && !dr->now->unknowable)
        *ret = STANDS_UNSEEN;
    else if (contested(db, dr))
        *ret = STANDS_CONTESTED;
    else if (ours)
        *ret = not_foreign(db, dr);
    else if (dr->now->unknowable)
        *ret = STANDS_UNKNOWN;
    else if (!wr_replica_sample(dr->r, dr->now->found, &sample))
        st = WR_BUSY; /* it was listed again meanwhile, and tells */
    else if ((st = is_foreign(db, &sample, &foreign, e)) == WR_OK)
        *ret = foreign ? STANDS_FOREIGN : not_foreign(db, dr);
    return st;
}

/* Of a file that does not tell who wrote it, as a merged one, it is enough to know what it is. */
static bool needs_lease(const struct wr_db *db, const struct db_replica *dr, bool known)
{
    struct wr_lease lease;

    return !read_lease(dr, &lease) && wr_learn_must_ask(&dr->now->pos, db->node_id) &&
           (dr->now->pos.node_id != 0 || !known);
}

/* What is damaged, and above all that was given away here, may be somebody else's. */
static bool may_be_foreign(const struct wr_db *db, const struct db_replica *dr)
{
    uint64_t given = wr_max(wr_ledger_state(db->ledger).txid, wr_ledger_floor(db->ledger));

    return dr->now->pos.damaged > given && !dr->adopted && !was_promoted(db, dr);
}

/* With the pages that changed since, if it is in our history. */
static enum wr_status find_standing(const struct wr_db *db, const struct db_replica *dr,
    struct wr_pageset *pages, enum standing *ret, struct wr_err *e)
{
    const struct wr_remote_pos *at = &dr->now->pos;
    struct wr_lease lease;
    bool known = false;
    enum wr_status st = WR_OK;

    if (at->txid > 0 && at->has_rolling && at->page_size == db->view.page_size)
        st = wr_ledger_since(db->ledger, at->txid, at->rolling, pages, &known, e);
    if (at->txid == 0)
        *ret = STANDS_EMPTY;
    else if (st == WR_OK && read_lease(dr, &lease) && wr_lease_lost(&lease, db->node_id))
        *ret = STANDS_LOST;
    else if (st == WR_OK && needs_lease(db, dr, known))
        *ret = STANDS_UNASKED;
    else if (st == WR_OK && may_be_foreign(db, dr))
        *ret = STANDS_UNKNOWN;
    else if (st == WR_OK && !known)
        st = elsewhere(db, dr, ret, e);
    else if (!at->whole)
        *ret = dr->now->contested && comes_again(db, dr) ? STANDS_CONTESTED : STANDS_BROKEN;
    else
        *ret = at->txid == wr_ledger_state(db->ledger).txid ? STANDS_HERE : STANDS_BEHIND;
    return st;
}

/* Nor shall they if it may be damaged: what was not sampled was not looked at, nor, without a
 * census, what records no checksum. But a snapshot of a
 * TXID that a dead process of ours may have given away, too, meets no file of that name, and
 * nothing tells the two apart: then its own name is better. */
static bool needs_snapshot(const struct wr_db *db, const struct db_replica *dr)
{
    bool leapt = db->txid - dr->now->pos.txid >= WR_TXID_LEAP;

    return !is_base(db, dr) || (leapt && (!dr->now->sampled || !dr->now->pos.has_rolling));
}

/* The TXID that the database must have at the least to join one that stands there; 0: any. Always
 * above what is damaged, as that has its name. */
static uint64_t least_for(const struct wr_db *db, const struct db_replica *dr, enum standing where)
{
    const struct wr_remote_pos *at = &dr->now->pos;
    uint64_t above = at->damaged > 0 ? at->damaged + 1 : 0, taken = 0;

    (void)wr_replica_taken(dr->r, dr->now->found, &taken);
    if (where == STANDS_ELSEWHERE && goes_on(db, dr))
        return wr_max(above, at->txid + 1);
    if (where == STANDS_ELSEWHERE && !WR_MUTANT(LOST_STATE_AT_ONE))
        return wr_max(above, wr_max(at->txid, taken) + WR_TXID_LEAP);
    if (where == STANDS_EMPTY && taken >= db->txid && !WR_MUTANT(LOST_STATE_AT_ONE))
        return taken + WR_TXID_LEAP;
    if (where != STANDS_BROKEN)
        return 0;
    /* What is in the way may be a snapshot, of no use, that has the name that ours would get. */
    return dr->now->contested ? wr_max(above, at->txid + 1) : above;
}

enum wr_status wr_db_join_least(
    const struct wr_db *db, const struct db_replica *dr, uint64_t *ret, struct wr_err *e)
{
    struct wr_pageset pages;
    enum standing where = STANDS_EMPTY;
    enum wr_status st;

    wr_pageset_init(&pages);
    st = find_standing(db, dr, &pages, &where, e);
    wr_pageset_release(&pages);
    *ret = least_for(db, dr, where);
    return st;
}

/* All pages of the replica's newest state are known: those that differ. At least one is sent, so
 * that a file of ours records the checksum. False: they are not known. */
static bool join_by_difference(struct wr_db *db, struct db_replica *dr, struct join *j)
{
    struct wr_sums was = {0};
    uint64_t differ = 0;

    if (!wr_replica_take_census(dr->r, dr->now->found, &was))
        return false;
    wr_pageset_add(&j->pages, 1);
    for (uint32_t pgno = 1; pgno <= db->view.commit; pgno++) {
        uint64_t old = pgno <= was.commit ? was.sum[pgno - 1] : 0;

        if (wr_ledger_page(db->ledger, pgno) != old) {
            wr_pageset_add(&j->pages, pgno);
            differ++;
        }
    }
    j->rolling_pre = was.rolling;
    wr_db_renumber_syncs(db);
    note_contest(db, dr);
    wr_log(DB_LOG(db), WR_INFO,
        "the replica's newest state was compared with the database; sending the pages that differ",
        DB_NAME(db), WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
        WR_F_TXID("replica_txid", dr->now->pos.txid), WR_F_TXID("txid", db->txid),
        WR_F_U64("pages", db->view.commit), WR_F_U64("differ", differ));
    wr_sums_release(&was);
    return true;
}

/* Nothing of it is in our history: all pages, as a state of their own. */
static void join_by_everything(struct wr_db *db, struct db_replica *dr, struct join *j)
{
    const struct wr_remote_pos *at = &dr->now->pos;
    bool snapshot = needs_snapshot(db, dr);

    wr_db_renumber_syncs(db);
    db->status.full_sends++;
    note_contest(db, dr);
    wr_log(DB_LOG(db), WR_WARN,
        snapshot
            ? "the replica's newest state is not in this database's known history; sending a "
              "snapshot, its past stays restorable"
            : "the replica's newest state is not in this database's known history; sending all "
              "pages as its next transaction, its past stays restorable",
        DB_NAME(db), WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
        WR_F_TXID("replica_txid", at->txid), WR_F_TXID("txid", db->txid));
    if (snapshot)
        join_by_snapshot(j);
    else if (!at->has_rolling)
        j->rolling_pre = WR_LTX_CHECKSUM_EMPTY; /* nobody knows: it has every page */
    wr_pageset_set_all(&j->pages);
}

/* A dead process sends nothing more. To go on at once would be to take turns with one that lives.
 */
static void wait_for_others(struct wr_db *db, struct db_replica *dr)
{
    const struct wr_remote_pos *at = &dr->now->pos;

    if (dr->waits == 0) {
        wr_log(DB_LOG(db), WR_WARN,
            "another machine has written to the replica; waiting some minutes to see whether it "
            "goes on",
            DB_NAME(db), WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
            WR_F_TXID("replica_txid", at->txid));
    }
    dr->waits_txid = at->txid;
    dr->waits_rolling = at->rolling;
    wr_replica_wait(dr->r, WAIT_MS << dr->waits++,
        "another machine has written to this replica: waiting to see whether it goes on");
}

/* Whoever was promoted goes on, and nobody else, adopted or not. */
static void stop_lost(struct db_replica *dr)
{
    struct wr_lease lease;
    char text[WR_ERR_MAX];

    if (!read_lease(dr, &lease))
        return; /* it is being listed again */
    wr_lease_lost_text(&lease, text);
    wr_replica_stop(dr->r, WR_CONFLICT, text);
}

/* BUSY: it cannot join now, or ever. */
static enum wr_status plan_join(
    struct wr_db *db, struct db_replica *dr, struct join *j, struct wr_err *e)
{
    const struct wr_remote_pos *at = &dr->now->pos;
    enum standing where = STANDS_EMPTY;
    enum wr_status st;

    *j = (struct join){.level = 0, .min = at->txid + 1, .rolling_pre = at->rolling};
    wr_pageset_init(&j->pages);
    st = find_standing(db, dr, &j->pages, &where, e);
    if (st != WR_OK)
        return st;
    if (db->txid < least_for(db, dr, where))
        return WR_BUSY; /* that is known since the TXID was given: the next one is high enough */
    switch (where) {
    case STANDS_EMPTY:
        join_by_snapshot(j);
        break;
    case STANDS_HERE:
        dr->waits = 0;
        j->nothing = true;
        break;
    case STANDS_BEHIND:
        dr->waits = 0;
        break;
    case STANDS_BROKEN:
        note_contest(db, dr);
        wr_log(DB_LOG(db), WR_WARN,
            "the replica's files are no whole chain: some were deleted, the newest is damaged, or "
            "another process wrote between them; sending a snapshot",
            DB_NAME(db), WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
            WR_F_TXID("replica_txid", at->txid));
        j->strays = true;
        join_by_snapshot(j);
        break;
    case STANDS_UNASKED:
        wr_replica_set_node(dr->r, db->node_id);
        wr_replica_rejoin(dr->r, "another one has written to it: who holds the lease?");
        return WR_BUSY;
    case STANDS_LOST:
        stop_lost(dr);
        return WR_BUSY;
    case STANDS_UNSEEN:
        wr_replica_want_sample(dr->r, db->lock_offset);
        return WR_BUSY;
    case STANDS_FOREIGN:
        wr_replica_stop(dr->r, WR_CONFLICT,
            "the replica holds another database: most pages sampled from its newest state are not "
            "in this one. Nothing was overwritten. Use another URL for this database; if it is the "
            "same one after all, start with -adopt (the setting adopt-replica)");
        return WR_BUSY;
    case STANDS_TOO_FAR:
        wr_replica_stop(dr->r, WR_CONFLICT,
            "the replica's newest txid is so high that none is left to go on behind it. Nothing "
            "was overwritten. Remove its newest file if it is not of this replica, or use another "
            "URL");
        return WR_BUSY;
    case STANDS_UNKNOWN:
        wr_replica_stop(dr->r, WR_CONFLICT,
            "the replica's newest state is damaged or incomplete, and does not tell whether it is "
            "of this database. Nothing was overwritten. If it is, start with -adopt (the setting "
            "adopt-replica); else use another URL");
        return WR_BUSY;
    case STANDS_DISPUTED:
        wait_for_others(db, dr);
        return WR_BUSY;
    case STANDS_CONTESTED:
        wr_replica_stop(dr->r, WR_CONFLICT,
            "another process writes to this replica: stop it, or give each its own URL; nothing "
            "was overwritten");
        return WR_BUSY;
    case STANDS_UNSIGNED:
        wr_replica_want_sign(dr->r);
        return WR_BUSY;
    case STANDS_UNCOUNTED:
        wr_log(DB_LOG(db), WR_INFO,
            "reading the replica's newest state, as no file of it records a checksum", DB_NAME(db),
            WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
            WR_F_TXID("replica_txid", at->txid));
        wr_replica_want_census(dr->r, db->lock_offset,
            (uint64_t)wr_max(at->commit, db->view.commit) * db->view.page_size * CENSUS_WORTH);
        return WR_BUSY;
    case STANDS_ELSEWHERE:
        j->strays = true;
        if (!join_by_difference(db, dr, j))
            join_by_everything(db, dr, j);
        break;
    }
    return WR_OK;
}

/* One whose pages are read while it is sent is a stream until it has arrived. */
static enum wr_status make_file(struct wr_db *db, struct db_replica *dr, const struct join *j,
    struct wr_parcel **ret, struct wr_err *e)
{
    struct wr_ltx_header h = wr_db_header(db, j->min, j->rolling_pre);
    enum wr_status st = wr_db_make(db, &h, j->level, &j->pages, ret, e);

    if (st == WR_OK && wr_parcel_streamed(*ret))
        dr->stream = wr_parcel_ref(*ret);
    if (st != WR_INTERNAL)
        return st;
    wr_db_doubt(db, dr);
    return WR_BUSY;
}

enum wr_status wr_db_join(struct wr_db *db, struct db_replica *dr, struct wr_err *e)
{
    struct wr_parcel *p = NULL;
    struct join j;
    enum wr_status st = plan_join(db, dr, &j, e);

    if (st == WR_OK && !j.nothing)
        st = make_file(db, dr, &j, &p, e);
    if (st == WR_OK && j.strays)
        wr_ledger_over_strays(db->ledger);
    /* Until it has arrived nothing shows that its TXID is taken, and it may arrive after a power
     * cut that takes back what we know. */
    if (st == WR_OK && p && !WR_MUTANT(NO_LEDGER_SYNC))
        st = wr_ledger_sync(db->ledger, e);
    if (st == WR_OK) {
        dr->join_txid = p ? p->header.max_txid : 0;
        dr->joined = !p || wr_replica_push(dr->r, p, dr->now->found);
        if (!p)
            wr_replica_lacks_nothing(dr->r);
        dr->joined_by = !p                             ? JOINED_BY_NOTHING
                        : j.level == WR_LEVEL_SNAPSHOT ? JOINED_BY_SNAPSHOT
                                                       : JOINED_BY_CHANGES;
        wr_db_toll_begin(dr, p);
        dr->found_seen = dr->now->found;
        dr->now->queued += p != NULL;
        wr_log(DB_LOG(db), WR_INFO, "replica joined", DB_NAME(db),
            WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
            WR_F_TXID("replica_txid", dr->now->pos.txid), WR_F_TXID("txid", db->txid),
            WR_F_Z("by", j.nothing ? "nothing to send"
                         : j.level ? "snapshot"
                                   : "changed pages"));
    }
    wr_parcel_unref(p);
    wr_pageset_release(&j.pages);
    return st == WR_BUSY ? WR_OK : st;
}
