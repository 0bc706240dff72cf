/*
 * primary_int.h - the database actor's inside, shared by primary.c, life.c, leave.c, broken.c,
 * publish.c, requests.c, work.c, attach.c, prove.c, capture.c, checkpoint.c, ahead.c, ship.c,
 * make.c, join.c, compact.c, due.c, wanted.c, air.c and streams.c and by nobody else. How it sees
 * replicas is in primary_replicas.h.
 *
 *     WAITING <--not there, or empty-- OPENING --pinned--> PROVING --proven--> SYNCING
 *        |                              ^   ^                 |                   |
 *        +-----------appears------------+   +---- BROKEN <----+-------------------+
 *
 * CHECKPOINT is entered from PROVING and SYNCING, and left to where it came from; after a failure
 * to OPENING or BROKEN. From every state to CLOSED, on request.
 */
#ifndef WR_ENGINE_PRIMARY_INT_H
#define WR_ENGINE_PRIMARY_INT_H

#include "base/mutant.h"
#include "base/sync.h"
#include "base/text.h"
#include "engine/ledger.h"
#include "engine/pageset.h"
#include "engine/pos.h"
#include "engine/primary.h"
#include "engine/seats.h"
#include "engine/view.h"
#include "sqlite/conn.h"
#include "sqlite/peek.h"

#include <stdatomic.h>

struct db_known; /* these two are in primary_replicas.h */
struct db_replica;
struct wr_parcel;
struct wr_parcel_room;

enum db_state {
    DB_CLOSED,
    DB_WAITING,    /* the file does not exist yet, or is empty */
    DB_OPENING,    /* connecting; not pinned */
    DB_PROVING,    /* pinned; the database is being compared with what was replicated */
    DB_SYNCING,    /* pinned: the WAL cannot be reset before we captured it */
    DB_CHECKPOINT, /* read mark or writer lock held beside the pin: the only place we checkpoint */
    DB_COLD,       /* let go, with all of it in the replicas; its files are watched */
    DB_BROKEN,     /* something contradicts the protocol: detach, and prove everything again */
    DB_STATE_MAX
};

/* A reading of the whole database, to compare it with its ledger or to build that. */
enum proof_kind {
    PROOF_COMPARE,
    PROOF_FILL,
};

struct db_proof {
    enum proof_kind kind;
    bool fork;               /* the database went another way than what was replicated */
    bool other_file;         /* or its file is not the one that the ledger knows */
    struct wr_frozen *image; /* the database at `pos`; NULL: no reading is under way */
    struct wr_pos pos;
    uint32_t commit;  /* pages in it */
    uint32_t next;    /* page to be read next */
    int64_t said_ns;  /* when it was last said how far it is */
    uint32_t first;   /* page that differs though the WAL does not have it; 0: none */
    uint32_t strange; /* such pages */
};

/* Work of one kind that was asked for (primary.h), of one replica. Requests that come while it is
 * at an earlier one are the next one, all of them. */
struct db_work {
    uint64_t begun, done; /* numbers of requests */
    uint64_t goal;        /* TXID of the one that was begun */
};

/* When the replicas of a database are listed for the first time (wr_db_list). */
enum db_listing {
    DB_LISTING_WAITS, /* not yet: the first attempt to attach was not made */
    DB_LISTING_GOES,  /* at once, and again when the database is ours */
    DB_LISTING_PINNED /* at once, which is enough: it is ours */
};

/* What tells whether a database was written to: its file, and its WAL. */
struct db_files {
    struct wr_file_mark db, wal;
    bool wal_there;
};

enum db_watched {
    DB_WATCHED_FILE,
    DB_WATCHED_WAL,
    DB_WATCHED
};

enum db_armed {
    DB_ARMED_FILE = 1 << DB_WATCHED_FILE,
    DB_ARMED_WAL = 1 << DB_WATCHED_WAL,
    DB_ARMED = DB_ARMED_FILE | DB_ARMED_WAL, /* all that there is, watched or not */
};

/* What keeps checkpoints from getting anywhere, and was told. */
enum db_warned {
    DB_WARNED_READER = 1, /* a long read */
    DB_WARNED_KEEP = 2,   /* old pages cannot be copied aside */
    DB_WARNED_FULL = 4,   /* the database's disk is full */
    DB_WARNED_HOLD = 8,   /* a read of the live database takes long */
};

struct wr_db {
    struct wr_actor actor;
    const struct wr_fs *fs;
    char *path, *name, *dir, *meta_dir, *outbox;
    uint64_t node_id; /* of this path on this machine, in the files it writes */
    uint64_t seed;
    bool adopt;
    uint32_t lock_offset;
    struct wr_cadence cadence;
    struct wr_retention retention;
    int64_t verify_ms;
    int64_t look_ms;
    uint32_t checkpoint_frames;
    bool patient; /* nobody chose that number */
    int64_t scan_ns;
    uint64_t scan_bytes, inline_bytes;
    struct wr_seats *seats; /* NULL: it is always held open */
    struct wr_parcel_room *parcel_room;
    struct wr_seat seat;
    struct wr_watch *watch;
    uint64_t watch_ids[DB_WATCHED];
    bool watching[DB_WATCHED];
    char *wal_path; /* where the WAL is watched */

    _Atomic int64_t sealed_since_ns; /* since when we have the writer lock; WR_NEVER: we have not */

    struct wr_peek peek; /* the database as others may look at it; told where it is by the steps */

    struct wr_mutex mutex;   /* guards the group below */
    struct wr_cond cond;     /* signalled when it changed */
    bool begun;              /* it was started; replicas wake it before that */
    enum db_listing listing; /* what holds for replicas that are added */
    uint64_t listing_node;   /* who writes to them; 0: that is told later */
    uint64_t tickets;        /* sync requests made */
    uint64_t urgent_ticket;  /* the last of them that does not wait for the sync interval */
    uint64_t tickets_done;   /* of them, captured: sync_txid covers them */
    uint64_t tickets_void;   /* of them, made before we looked and there was no database */
    uint64_t sync_txid;
    uint64_t acked;             /* TXID that every replica has which has not stopped; 0: none */
    struct wr_db_status shared; /* copy of status for callers */
    struct wr_text shared_why;  /* and of why */
    bool looked;                /* something hinted at a change since the last step ... */
    bool named;                 /* ... and not only at a write to the WAL */
    struct db_known *known[WR_REPLICAS_MAX]; /* all replicas; only ever appended to */
    size_t n_known;
    struct wr_feed *feed;           /* NULL until somebody follows; then it stays */
    struct db_replica *room;        /* for n_known, where `replicas` has no room; else NULL */
    uint64_t works_asked[WR_WORKS]; /* requests made */

    /* only the actor's step, from here on */
    enum db_state state;
    uint64_t works_seen[WR_WORKS];  /* works_asked as of the beginning of the step */
    struct db_work works[WR_WORKS]; /* .begun: the last one at which all was captured, .goal */
    struct db_replica *replicas;    /* those of `known` that steps work with; moves between steps */
    size_t n_replicas;
    struct wr_db_status status;
    struct wr_text why; /* of status.error */

    struct wr_conn *conn;
    struct wr_walidx seen;     /* header as last read */
    struct wr_view view;       /* the database at the captured position */
    uint32_t durable;          /* of view.backfilled: those that a sync has covered */
    bool copy_again;           /* SQLite's count must go back to view.backfilled */
    struct wr_pos pos;         /* captured up to here */
    bool little;               /* byte order of this WAL's checksums */
    struct wr_pos skipped;     /* frame > 0: attached here, with all before it in the database */
    bool distrust;             /* the database file was written by others: believe no position */
    bool started;              /* pos belongs to the WAL as we see it */
    bool unchecked;            /* a recovery may not find all frames of this WAL up to pos */
    uint32_t change_base;      /* iChange when we began counting */
    uint32_t change_commits;   /* commit frames captured since */
    uint32_t pos_count;        /* iChange at pos */
    uint32_t closed_count;     /* and as of db->txid */
    struct wr_pageset dirty;   /* captured, not in a closed TXID */
    struct wr_pageset unnoted; /* of them, not yet in the journal */
    uint32_t commit_closed;    /* database size at db->txid */

    struct wr_ledger *ledger;
    struct db_proof proof;
    uint64_t txid;       /* last closed */
    int64_t time_ms;     /* of its LTX file; never goes back */
    int64_t closed_ms;   /* the same; 0: it was closed in another life */
    int64_t closed_ns;   /* monotonic, when it was closed; INT64_MIN: never */
    unsigned no_rooms;   /* times in a row that the local disk had no room to close the next one */
    int64_t room_ns;     /* not trying again before that */
    int64_t roomless_ms; /* Unix, of the first of these times */

    int64_t next_ns;   /* earliest wish for another step; WR_NEVER */
    int64_t look_ns;   /* when it was last looked at, in a step of SYNCING */
    int64_t nap_ns;    /* it was not to be looked at before that, for want of news */
    unsigned looks;    /* looks in a row that found nothing new */
    unsigned armed;    /* the watch tells the next write: of enum db_armed */
    bool recheck;      /* the last step armed it: look once more ... */
    bool check_files;  /* ... and at the files, too */
    bool coming;       /* there may be frames that the index does not announce yet */
    int64_t torn_ns;   /* since when the index is torn; 0: it is not */
    uint32_t wal_high; /* most frames that the WAL's file had room for since it was cut */
    unsigned put_offs; /* barriers put off in a row because of a writer */
    unsigned stuck;    /* checkpoints in a row that got nowhere */
    unsigned warned;   /* of enum db_warned, since the last one that got through */
    /* ahead.c: bytes of the WAL that are on their way to the disk, and whether what was opened for
     * that was another file, which ends it for good. */
    uint64_t wal_begun;
    bool no_wal;
    int64_t stuck_until_ns;
    int64_t stuck_ns;       /* when the last of them was ... */
    uint32_t stuck_frame;   /* ... and how long the WAL was, ... */
    uint32_t stuck_left;    /* ... and what of it was not copied */
    int64_t probe_ns;       /* whether a reader is still in its way is not asked before that ... */
    int64_t probe_every_ns; /* ... and so long after the last time; 0: none was in the way */
    bool moment;            /* it was asked just now, and none is */
    bool mark_due;          /* the ledger does not know the file as it is now ... */
    unsigned mark_late;     /* ... since its time was too young so many times */
    int64_t scan_due_ns;
    unsigned breaks;        /* times in a row that it, or proving, broke off before it was calm */
    bool shm_gone;          /* its file has no name any more, which was told */
    int64_t synced_ns;      /* since when it is attached and proven */
    int64_t leave_ns;       /* since when it cannot be let go; 0: it can; WR_NEVER: that was said */
    int64_t doubt_ns;       /* when to compare all of them for that; WR_NEVER: no need to */
    int64_t open_ns;        /* not attaching before that */
    int64_t checkpoint_ns;  /* when one last got through; INT64_MIN / 2: none has */
    int64_t idle_ckpt_ns;   /* when to checkpoint a database that fell silent; WR_NEVER */
    bool outbox_cleaned;    /* of what others left there that had the pin before us */
    int64_t pin_since_ns;   /* first attempt at the pin; 0: none under way */
    int64_t write_since_ns; /* first attempt at the writer lock to attach; 0: none under way */
    enum wr_status last_error; /* as last logged */

    struct db_files left; /* as they were when it was let go; COLD */
    uint64_t cold_txid;   /* last closed, then */
    bool undisturbed;     /* nobody has written to it since */
    int64_t ahead_ns;     /* attached with no replica known, until then; 0: it is not */
    bool unlisted;     /* it came back undisturbed: its replicas are as they were then, or others */
    int64_t cooled_ns; /* when that was; INT64_MIN: never */
    int64_t busy_ns;   /* when it was last written to; INT64_MIN: not since it was added */
    int64_t gap_ns;    /* and how long before that */
    int64_t quiet_ns;  /* for how long it stays after that */
    struct db_air *air; /* NULL until there is `feed` */
    int64_t levels_ns;  /* when its levels, or a snapshot, next have something to do; WR_NEVER */
};

#define DB_LOG(db)  wr_sched_log((db)->actor.sched)
#define DB_NAME(db) WR_F_Z("db", (db)->name)

#define WR_DB_DOUBT_TEXT                                                                         \
    "again and again pages read from the database are not those that were compared before: its " \
    "disk or memory may be failing; run PRAGMA integrity_check on it"

#define WR_DB_FULL_TEXT "no room to checkpoint the WAL into the database, it grows until there is"

#define DB_SCAN_UNWATCHED_NS ((int64_t)1000000000) /* a slow look where no watch helps */

/* primary.c */
struct wr_next wr_db_step(struct wr_actor *a, struct wr_call *c);
void wr_db_go(struct wr_db *db, enum db_state next);
int64_t wr_db_now_ns(const struct wr_db *db);
void wr_db_want(struct wr_db *db, int64_t at_ns); /* another step no later than that */
/* Count a piece of work that ended with `st`. */
void wr_db_worked(struct wr_db *db, struct wr_db_effort *work, int64_t began_ns, enum wr_status st);
void wr_db_mark_later(struct wr_db *db); /* the file was written: tell the ledger of it */
void wr_db_was_busy(struct wr_db *db);   /* until now: from here on it may be silent */

#define WR_DB_BROKEN_MAX_NS ((int64_t)60 * 1000000000) /* before attaching again, at most */

/* broken.c */
/* Note a failure (or its end) for status, and log it when it is news. */
void wr_db_trouble(struct wr_db *db, enum wr_status st, const struct wr_err *e, const char *what);
/* A protocol violation, or a failure in the middle: BROKEN. */
void wr_db_broken(struct wr_db *db, enum wr_status st, const struct wr_err *e);
bool wr_db_check_in_place(struct wr_db *db); /* false: it is not, and the state is BROKEN */
void wr_db_compare_again(struct wr_db *db);  /* each page; BROKEN until then */
void wr_db_let_go(struct wr_db *db); /* of a BROKEN one, which is OPENING then, or is waited for */
/* for_good: it is not attached again. Whether all that was committed by then is in the file, and
 * the ledger knows it so. */
bool wr_db_detach(struct wr_db *db, bool for_good);

/* publish.c */
/* The TXID that syncs were to be told is of another state, or will never be; what they asked for is
 * in the last closed one, and in what is dirty. */
void wr_db_renumber_syncs(struct wr_db *db);
/* What callers may see, in one place at the end of a step: `taken` tickets were served if
 * `captured`. */
void wr_db_publish(struct wr_db *db, uint64_t taken, bool captured);

/* looks.c */
void wr_db_arm(struct wr_db *db); /* the next write to its files wakes us; look after that */
bool wr_db_armed(const struct wr_db *db); /* whether that was done, and none was told since */
/* When the files are looked at again, if nothing tells of them: scan_ns after now_ns, or a little
 * sooner, so that the silent databases of a process wake it up together. */
int64_t wr_db_next_scan_ns(int64_t now_ns, int64_t scan_ns);
/* What the look of a step has found. */
struct db_sight {
    bool news;
    bool again;               /* the step before armed the watch */
    uint32_t commits, frames; /* since the look before */
    int64_t since_ns;         /* which was so long ago */
};
/* After wr_db_look; `before`: what db->seen was until then. */
struct db_sight wr_db_sight(struct wr_db *db, const struct wr_walidx *before, bool again);
/* After everything that is due: when to look again. `followed`: somebody waits for each commit. */
void wr_db_plan_looks(struct wr_db *db, const struct db_sight *x, bool followed);

/* life.c: what the first step after wr_db_start does before all else */
/* The database at `path`, symbolic links resolved: watch the WAL that is beside it. */
void wr_db_watch_wal(struct wr_db *db, const char *path);
void wr_db_first_step(struct wr_db *db);
/* The first attempt to attach was made: the replicas that wait for it are listed, and those that
 * are added from now on. `pinned`: the database is ours, and `node` is who writes to them. */
void wr_db_list(struct wr_db *db, bool pinned, uint64_t node);
/* Whether it was listed, or is being so, since the database is ours. */
bool wr_db_was_listed(struct wr_db *db, const struct db_known *known);
/* That was asked, or the database is not ours any more: it does not count from now on. */
void wr_db_list_no_more(struct wr_db *db);

/* attach.c: one attempt to get from OPENING to PROVING, and a step on from there to SYNCING. Any
 * failure leads to OPENING or WAITING, logged, with the next attempt scheduled. */
void wr_db_attach(struct wr_db *db);
void wr_db_attach_on(struct wr_db *db);
/* Another process may have written to the replicas: each is listed, and joins again. */
void wr_db_take_over(struct wr_db *db);
/* Once for each pin, as soon as nothing there is ours: remove what is in the outbox. Those who put
 * it there had the pin, and have it no more. */
void wr_db_tidy_outbox(struct wr_db *db);

/* prove.c: what of the database has to be sent, into `dirty` */
enum wr_status wr_db_prove_begin(struct wr_db *db, struct wr_err *e) WR_MUST_CHECK;
/* Go on; *ret_done: ledger, txid and dirty agree with the database. */
enum wr_status wr_db_prove(struct wr_db *db, bool *ret_done, struct wr_err *e) WR_MUST_CHECK;
/* Pages read for this replica were not those of the ledger. It does not join before all of them
 * were compared: at once, or when it comes again and again, later and later. */
void wr_db_doubt(struct wr_db *db, struct db_replica *dr);
bool wr_db_doubtful(const struct wr_db *db); /* whether comparing them did not help */
bool wr_db_proving(const struct wr_db *db);  /* whether the database is being read for it */
void wr_db_prove_drop(struct wr_db *db);

/* capture.c */
/* Read the header into db->seen. BUSY: torn, another look is scheduled. INTERNAL: broken. */
enum wr_status wr_db_look(struct wr_db *db, struct wr_err *e) WR_MUST_CHECK;
/* Everything committed so far into dirty and view. As db_look; CORRUPT or INTERNAL: broken. */
enum wr_status wr_db_capture(struct wr_db *db, struct wr_err *e) WR_MUST_CHECK;
/* Whether a recovery finds the frames that were skipped, without which it would put older ones over
 * what is in the database: else `unchecked` holds. BUSY, NOMEM, IO: it is not known. */
enum wr_status wr_db_check_skipped(struct wr_db *db, struct wr_err *e) WR_MUST_CHECK;
/* The index is empty: whether there are older frames in the WAL's file that it does find, as long
 * as no writer has begun the file anew. It may stop in the middle of them: then `unchecked` holds.
 * IO: it is not known. */
enum wr_status wr_db_check_empty(struct wr_db *db, struct wr_err *e) WR_MUST_CHECK;
/* Whether it finds all that the index announces `now`, since all of that was checked. Pure. */
bool wr_db_all_checked(
    bool started, bool unchecked, const struct wr_pos *pos, const struct wr_walidx *now);
/* Whether the header says more than was captured. */
bool wr_db_behind(const struct wr_db *db);
/* More frames are said to be in the database than are: a writer is in the middle of a reset, or
 * died there. Then what is committed is seen by nobody, and the next writer builds on pages that
 * are too old. wr_db_look sets that right as soon as the writer lock is to be had. */
bool wr_db_stale_backfill(const struct wr_db *db);
/* After `copy_again` was set: SQLite's count of copied frames goes back to ours. If a writer keeps
 * its lock for long, wr_db_look does it as soon as it can. */
void wr_db_settle_backfill(struct wr_db *db);
/* Whether the WAL holds frames that its index does not yet announce. */
bool wr_db_more_coming(struct wr_db *db);

/* cold.c: at the end of a step of SYNCING; whether it was let go */
bool wr_db_cool(struct wr_db *db);
/* A step of COLD; `hinted`: the watch has told something. Whether nothing has changed, so that what
 * is committed now is captured; else it is OPENING. */
bool wr_db_stay_cold(struct wr_db *db, bool hinted);

/* leave.c: what is to be done before the connections are closed; nobody else reads through them.
 * As wr_db_detach. */
bool wr_db_leave(struct wr_db *db, bool for_good);

/* seal.c: take the writer lock, trying for budget_ns, and give it back. BUSY: a writer has it. */
enum wr_status wr_db_seal(struct wr_db *db, int64_t budget_ns, struct wr_err *e) WR_MUST_CHECK;
void wr_db_unseal(struct wr_db *db);

/* ahead.c: begin to write some of the WAL that was seen, without waiting; not under the barrier. */
void wr_db_write_ahead(struct wr_db *db);

/* checkpoint.c */
bool wr_db_checkpoint_due(struct wr_db *db);
/* A write or a sync of the database failed: SQLite's count of what is in it goes back to what
 * surely is, and all else, which is still in the WAL, will be copied again. */
void wr_db_copy_again(struct wr_db *db);
bool wr_db_wal_is_long(const struct wr_db *db); /* much longer than it need be */
/* Look how long its file is. The index does not tell what was in it before we came, nor what
 * transactions that were rolled back have left there. */
void wr_db_measure_wal(struct wr_db *db);
enum wr_status wr_db_checkpoint(struct wr_db *db, struct wr_err *e) WR_MUST_CHECK;

/* ship.c */
/* Close a TXID from what is dirty and give it to the replicas, and let replicas join. */
enum wr_status wr_db_ship(struct wr_db *db, struct wr_err *e) WR_MUST_CHECK;
/* The pages of the set that the database has, but the lock page, ascending; heap memory. */
enum wr_status wr_db_list_pages(const struct wr_db *db, const struct wr_pageset *set,
    uint32_t **ret, size_t *ret_n, struct wr_err *e) WR_MUST_CHECK;
/* Of a file that leads from before `min`, with rolling checksum `pre`, to db->txid. */
struct wr_ltx_header wr_db_header(const struct wr_db *db, uint64_t min, uint64_t pre);
bool wr_db_ship_due(struct wr_db *db, bool forced);
/* When what is committed from now on will be shipped at the earliest; WR_NEVER: not before a
 * replica has answered. */
int64_t wr_db_ship_ns(const struct wr_db *db);
bool wr_db_join_due(struct wr_db *db); /* or a TXID must be closed for a replica */

/* air.c: those who follow over the network */
/* In a step of SYNCING: whether somebody does, so that each commit is to be captured at once. */
bool wr_db_air_wanted(struct wr_db *db);
bool wr_db_air_asked(struct wr_db *db); /* the same, in any state, and nothing is begun */
void wr_db_air_captured(struct wr_db *db, uint32_t pgno); /* it is dirty */
void wr_db_air_part(struct wr_db *db); /* offer what was captured; it may take its time */
/* A TXID is closed: its file is encoded; and then, in any case, db->txid and the ledger are there.
 */
void wr_db_air_file(struct wr_db *db, const struct wr_parcel *p);
void wr_db_air_closed(struct wr_db *db);
void wr_db_air_end(struct wr_db *db); /* the database is let go */
void wr_db_air_free(struct wr_db *db);

/* make.c: a file with header `h` of these pages of the database, which is as of the last closed
 * TXID. INTERNAL: they are not those of the ledger. */
enum wr_status wr_db_make(struct wr_db *db, const struct wr_ltx_header *h, unsigned level,
    const struct wr_pageset *set, struct wr_parcel **ret, struct wr_err *e) WR_MUST_CHECK;

/* What the checksums of these pages, as of the last closed TXID, add up to. */
uint64_t wr_db_ledger_sum(const struct wr_db *db, const uint32_t *pages, size_t n);
uint64_t wr_db_acked(
    const struct wr_db *db, bool *ret_any); /* TXID that every joined replica has */

/* requests.c: a part of a wait, at most until `end_ns` (monotonic); `what`, it
 * is for. OK: look again; BUSY: another process has the database; CANCELED; TIMEOUT. */
enum wr_status wr_db_wait(struct wr_db *db, int64_t end_ns, struct wr_cancel *cancel,
    const char *what, struct wr_err *e) WR_MUST_CHECK;

/* streams.c: what is read from the live database over many steps: files that are being sent, and
 * the image that is being proven */
bool wr_db_streaming(const struct wr_db *db); /* whether a file is being sent, or was until now */
/* Have nothing to do with a file any more, streamed or not; *p may be NULL, and is afterwards. */
void wr_db_stream_drop(struct wr_db *db, struct wr_parcel **p);
void wr_db_streams_reap(struct wr_db *db); /* free those that ended; not while held */
void wr_db_streams_stop(struct wr_db *db); /* cancel them; who is in a read ends it */
/* Stop them and have nothing to do with them any more: replicas may go on to send what they have
 * of these files, but never read from the database again. False: one is in a long read; those that
 * are not are left. */
bool wr_db_streams_leave(struct wr_db *db) WR_MUST_CHECK;
/* Around checkpoints: nobody reads between hold, which fails if one is in a long read, and let. */
bool wr_db_streams_hold(struct wr_db *db) WR_MUST_CHECK;
void wr_db_streams_let(struct wr_db *db);
/* Before each: keep what it could take from them, at most `bytes` for each stream; it may run only
 * if that was all. */
enum wr_status wr_db_streams_keep(
    struct wr_db *db, uint64_t bytes, bool *ret_all, struct wr_err *e) WR_MUST_CHECK;

#endif
