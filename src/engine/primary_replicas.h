/*
 * primary_replicas.h - a replica as the database actor sees it: where each level of it stands, and
 * what it is to be sent. A part of primary_int.h for those who need it.
 */
#ifndef WR_ENGINE_PRIMARY_REPLICAS_H
#define WR_ENGINE_PRIMARY_REPLICAS_H

#include "engine/keeper.h"
#include "engine/parcel.h"
#include "engine/primary_int.h"
#include "engine/squeeze.h"

/* What is known of one level of a replica. */
enum level_state {
    LEVEL_UNREAD, /* where it ends, its newest file tells */
    LEVEL_ASKED,  /* which is being read */
    LEVEL_LOST,   /* not in a history that is known: it begins anew where the database is */
    LEVEL_KNOWN,
};

struct db_level {
    enum level_state state;
    uint64_t txid, rolling;   /* it ends there */
    struct wr_ltx_file end;   /* of LEVEL_UNREAD and ASKED: with this file */
    struct wr_ltx_file tried; /* or with this one, if that has arrived; max is 0: none was tried */
    uint64_t tried_checksum;  /* of that; 0: unknown */
    int64_t made_ms;          /* wall time; of a snapshot */
    unsigned below;           /* files of the level below that came since */
    int64_t since_ms;         /* wall time of the first of them */
    int64_t retry_ns;         /* not before that */
    unsigned failures;        /* in a row */
    unsigned spoiled;         /* in a row, too: what arrived was not what was sent */
};

/* What a replica has joined with. */
enum joined_by {
    JOINED_BY_NOTHING, /* it was there */
    JOINED_BY_CHANGES, /* a file of level 0 */
    JOINED_BY_SNAPSHOT,
};

/* How the last request that is answered has ended. */
struct db_work_end {
    uint64_t done; /* its number */
    uint64_t value;
    enum wr_status st;
};

/* One replica as it was added; it stays where it is. */
struct db_known {
    struct wr_replica *r; /* frozen, as the next two */
    int64_t interval_ns;
    bool adopted;
    enum db_listing listed;            /* guarded by the database's mutex */
    struct db_work_end ends[WR_WORKS]; /* guarded by the database's mutex, with the next one */
    struct wr_text why;                /* of the last of them that has failed */
    /* Only the actor's step: of the snapshots, then of each level that the cadence has. */
    size_t n_levels;
    struct db_level levels[];
};

/* One replica as the database sees it. */
struct db_replica {
    struct db_known *known;
    struct wr_replica *r;
    struct wr_replica_status *now; /* as of the start of the step, and the step's; else NULL */
    bool stopped;                  /* as when that was last looked at */
    int64_t interval_ns;
    bool adopted;        /* whose its newest state is, is not asked */
    bool joined;         /* it has, or is being sent, everything up to db->txid */
    unsigned found_seen; /* now.found when it joined: another value means it must again */
    uint64_t join_txid;  /* of the file that it joined with; 0: none, or that failed */
    bool doubted; /* what was read for it is not what the ledger says: it waits for a comparison */
    unsigned doubts;    /* times in a row that it was so */
    unsigned contests;  /* times that it joined with a file in its way that are not forgotten */
    int64_t contest_ns; /* the last one; ... */
    uint64_t cleared;   /* ... of the replica, then */
    unsigned waits;     /* times that it was left alone, for who brought it where it stands */
    uint64_t waits_txid, waits_rolling; /* which is there */
    struct wr_parcel *stream;           /* being sent from the live database */

    struct wr_keeper *keeper;
    unsigned levels_found; /* now.found when they were looked at */
    enum joined_by joined_by;
    bool toll_open;                              /* it joined with a file of unknown size */
    struct wr_toll toll;                         /* what a restore of it reads */
    unsigned toll_found;                         /* now.found when that was begun with */
    uint64_t heal_txid;                          /* a snapshot of that, or behind it, is wanted */
    unsigned healed;                             /* now.verified.unsound that this is for */
    struct db_work works[WR_WORKS];              /* by enum wr_work */
    int64_t stall_ns;                            /* since when none of it gets on; 0: it does */
    uint64_t seen;                               /* snapshot seen for that of them; its TXID */
    bool looking;                                /* the keeper is at that */
    bool retaining;                              /* the keeper is at WR_WORK_RETAIN */
    uint64_t removed;                            /* files, since that was answered last */
    bool retain_due;                             /* files came that take the place of others */
    int64_t retain_ns;                           /* not looking for those before that */
    unsigned retain_failures;                    /* in a row */
    struct wr_parcel *history[WR_LEVEL_MAX + 1]; /* files of them, under way or to be */
};

/* There may be ten thousand, most of them idle: what only a step needs is the step's. */
_Static_assert(sizeof(struct db_replica) <= 640, "what an idle database costs");

_Static_assert(sizeof(struct wr_replica_status) <= 192, "what each step copies");

/* join.c: send the replica one file that leads from where it is to db->txid; nothing is dirty. */
enum wr_status wr_db_join(struct wr_db *db, struct db_replica *dr, struct wr_err *e) WR_MUST_CHECK;
/* And the least that db->txid must be for that. */
enum wr_status wr_db_join_least(const struct wr_db *db, const struct db_replica *dr, uint64_t *ret,
    struct wr_err *e) WR_MUST_CHECK;

/* compact.c: files of the levels above 0, and snapshots in between */
/* Go on: all replicas, one file each at a time. Needs nothing dirty for a new one. */
enum wr_status wr_db_compact(struct wr_db *db, struct wr_err *e) WR_MUST_CHECK;
/* What is under way is of no use any more: its database is let go. */
void wr_db_levels_drop(struct wr_db *db, struct db_replica *dr);

/* due.c: when a level gets one */
/* The levels that count, from 0 on: those of the cadence, then the one of snapshots; and at last
 * one that is none. */
unsigned wr_db_level_after(const struct wr_db *db, unsigned level);
struct db_level *wr_db_level(const struct db_replica *dr, unsigned level); /* one of these */
bool wr_db_level_kept(const struct wr_db *db, unsigned level);             /* by the cadence */
/* So many files came below the level. */
void wr_db_level_count(const struct wr_db *db, struct db_level *lv, unsigned n);
void wr_db_levels_note(struct wr_db *db); /* a TXID was closed */
/* Up to which level files are due; 0: none is. */
unsigned wr_db_level_top(struct wr_db *db, struct db_replica *dr);
/* Add where the replica and its levels go on from. False: that is not known of all of them. */
bool wr_db_replica_stands(const struct wr_db *db, const struct db_replica *dr, struct wr_stands *x);

/* The lowest TXID that a level goes on from, where that is at most `floor`; else `floor`. 0: that
 * is not known yet. */
uint64_t wr_db_levels_floor(struct wr_db *db, uint64_t floor);

/* wanted.c: what is done because somebody, or something, asks for it */
/* All is captured and closed: what was asked for before that is of this state. */
void wr_db_works_catch(struct wr_db *db);
/* TXIDs that were given away are of other states from here on: goals are those that are caught
 * next.
 */
void wr_db_works_renumber(struct wr_db *db);
bool wr_db_works_wait(const struct wr_db *db); /* for a step that catches them */
/* Begin what was caught, and end what is done or gets nowhere. */
void wr_db_works_on(struct wr_db *db, struct db_replica *dr);
bool wr_db_work_pending(const struct db_replica *dr, enum wr_work kind);
/* If it is pending; `text` is of a failure. */
void wr_db_work_end(struct wr_db *db, struct db_replica *dr, enum wr_work kind, enum wr_status st,
    uint64_t value, const char *text);
/* With how the keeper's report ends; if it was canceled as the replica has stopped, with why it
 * has. */
void wr_db_work_reported(struct wr_db *db, struct db_replica *dr, enum wr_work kind,
    const struct wr_keeper_report *r, uint64_t value);
/* A file of a level could not be made or sent: whoever waits for it is told. */
void wr_db_work_failed(
    struct wr_db *db, struct db_replica *dr, unsigned level, enum wr_status st, const char *text);
void wr_db_work_kept_up(struct wr_db *db, struct db_replica *dr); /* nothing is due */
/* Whether a snapshot is to be sent before its time. */
bool wr_db_snapshot_wanted(const struct wr_db *db, const struct db_replica *dr);
void wr_db_snapshot_say(const struct wr_db *db, const struct db_replica *dr); /* why, if so */
/* Whoever asks for one wants to know that it is there, not that it was when it was sent: have the
 * keeper look. False: there is no need to. */
bool wr_db_snapshot_look(struct db_replica *dr);
/* What it has seen. If there is none any more, or another one, a snapshot with another name is
 * wanted, and waited for. */
void wr_db_snapshot_looked(
    struct wr_db *db, struct db_replica *dr, const struct wr_keeper_report *r);
/* The account of what a restore reads begins, with the file that the replica joins with, or NULL.
 */
void wr_db_toll_begin(struct db_replica *dr, const struct wr_parcel *p);
/* That file is there. */
void wr_db_toll_settle(struct db_replica *dr);

/* Where the newest state was found to be damaged, a snapshot is wanted: once for each time that it
 * is found. Of a replica that has joined. */
void wr_db_heal(struct wr_db *db, struct db_replica *dr);
/* A snapshot that was just sent, up to that TXID, arrived damaged: one with another name is wanted.
 */
void wr_db_heal_behind(struct wr_db *db, struct db_replica *dr, uint64_t txid);
/* The least that db->txid must be for that; 0: it is not wanted. */
uint64_t wr_db_heal_least(const struct wr_db *db);

#endif
