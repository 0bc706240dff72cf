/*
 * once.c - see once.h.
 */
#include "daemon/once.h"
#include "base/log.h"

#define ONCE_SLICE_MIN_MS 100   /* the first look at a one-shot sync; each waits twice as long */
#define ONCE_SLICE_MS     2000  /* at most */
#define ONCE_STUCK_MS     60000 /* without progress while a replica reports errors */
#define ONCE_HELD_MS      10000 /* while the database does: usually another process has it */
#define ONCE_DAMAGED_MS   5000  /* while a replica is found damaged, time and again */

/* What keeps one database from being synced, as far as is known now. */
struct trouble {
    int code; /* WEIR_OK: nothing but time */
    char text[1024];
    int64_t patience_ms; /* how long to wait for it to pass */
    uint64_t progress;   /* the sum of what the replicas have that lack something */
};

/* Where the beginning was: a database that is written to all the time is always ahead of its
 * replicas. *ret stays 0 while that is not known. */
static void find_goal(weir_db *db, weir_cancel *cancel, weir_txid *ret)
{
    weir_db_info info = {.struct_size = sizeof(info)};

    if (*ret > 0 || weir_db_status(db, &info, NULL) != WEIR_OK || info.error_code != WEIR_OK)
        return;
    if (weir_db_sync(db, WEIR_SYNC_LOCAL, ONCE_SLICE_MS, cancel, ret, NULL) != WEIR_OK)
        *ret = 0;
}

/* Whether a replica lacks what the database held at the beginning, for all that is known. One that
 * is ahead of the database has a history that is not ours: so the database is asked last. */
static bool lacks(weir_db *db, const weir_replica_info *r, weir_txid goal)
{
    weir_db_info info = {.struct_size = sizeof(info)};

    return goal == 0 || r->txid < goal || weir_db_status(db, &info, NULL) != WEIR_OK ||
           r->txid > info.txid;
}

static struct trouble find_trouble(weir_db *db, weir_txid goal)
{
    weir_db_info info = {.struct_size = sizeof(info)};
    weir_replica_info r = {.struct_size = sizeof(r)};
    struct trouble t = {0};

    if (weir_db_status(db, &info, NULL) == WEIR_OK && info.error_code != WEIR_OK) {
        t = (struct trouble){.code = info.error_code, .patience_ms = ONCE_HELD_MS};
        (void)snprintf(t.text, sizeof(t.text), "%s", info.error); /* of the same size */
    }
    for (uint32_t i = 0; weir_replica_status(db, i, &r, NULL) == WEIR_OK; i++) {
        if (lacks(db, &r, goal))
            t.progress += r.txid;
        if (r.error_code == WEIR_OK || t.code != WEIR_OK)
            continue;
        t.code = r.error_code == WEIR_BUSY ? WEIR_IO : r.error_code; /* the store is, no rival */
        t.patience_ms = ONCE_STUCK_MS;
        (void)snprintf(t.text, sizeof(t.text), "%.400s: %s", r.url, r.error); /* as there */
    }
    return t;
}

/* Whether only replicas that are damaged lack what the database held at the beginning. One that is
 * damaged stays so until somebody removes what is. */
static bool only_damage_left(weir_db *db, weir_txid goal)
{
    weir_replica_info r = {.struct_size = sizeof(r)};

    for (uint32_t i = 0; weir_replica_status(db, i, &r, NULL) == WEIR_OK; i++)
        if (r.error_code != WEIR_CORRUPT && lacks(db, &r, goal))
            return false;
    return true;
}

int wr_sync_once(weir_db *db, weir_cancel *cancel, weir_error *reterr)
{
    uint64_t last_progress = 0;
    int64_t stuck_ms = 0, damaged_ms = 0, slice_ms = ONCE_SLICE_MIN_MS;
    weir_txid goal = 0;
    int rc;

    for (;;) {
        struct trouble t;

        rc = weir_db_sync(db, WEIR_SYNC_REMOTE, slice_ms, cancel, NULL, reterr);
        if (rc != WEIR_TIMEOUT)
            return rc;
        t = find_trouble(db, goal);
        if (t.code != WEIR_OK)
            find_goal(db, cancel, &goal);
        stuck_ms = t.code == WEIR_OK || t.progress != last_progress ? 0 : stuck_ms + slice_ms;
        damaged_ms = t.code == WEIR_CORRUPT ? damaged_ms + slice_ms : 0;
        last_progress = t.progress;
        slice_ms = wr_min(2 * slice_ms, (int64_t)ONCE_SLICE_MS);
        if ((t.code != WEIR_OK && stuck_ms >= t.patience_ms) ||
            (damaged_ms >= ONCE_DAMAGED_MS && only_damage_left(db, goal))) {
            reterr->code = t.code;
            /* A cut reason: the replica's name comes first. */
            (void)snprintf(reterr->message, sizeof(reterr->message), "%.*s",
                (int)sizeof(reterr->message) - 1, t.text);
            return t.code;
        }
    }
}

/* `err` is of `what`. */
static int tell(int rc, const char *what, const weir_error *err, weir_error *reterr)
{
    if (rc == WEIR_OK)
        return rc;
    reterr->code = rc;
    /* A cut reason: what it was comes first. */
    (void)snprintf(reterr->message, sizeof(reterr->message), "%s: %.*s", what,
        (int)(sizeof(reterr->message) - 32), err->message);
    return rc;
}

int wr_history_once(weir_db *db, const char *path, const struct wr_once_options *o,
    struct wr_logger *log, weir_cancel *cancel, weir_error *reterr)
{
    weir_error err = {0};
    uint64_t files = 0;
    weir_txid txid = 0;
    int rc = WEIR_OK;

    if (o->force_snapshot) {
        wr_say(log, WEIR_LOG_INFO, "taking snapshot", WR_F_Z("db", path));
        rc = tell(weir_db_snapshot(db, -1, cancel, &txid, &err), "snapshot", &err, reterr);
    }
    if (rc == WEIR_OK)
        rc = tell(weir_db_keep_up(db, -1, cancel, &err), "compaction", &err, reterr);
    if (rc == WEIR_OK && o->enforce_retention) {
        wr_say(log, WEIR_LOG_INFO, "enforcing retention", WR_F_Z("db", path));
        rc = tell(weir_db_retain(db, -1, cancel, &files, &err), "enforce retention", &err, reterr);
    }
    if (rc == WEIR_OK && o->force_snapshot)
        wr_say(
            log, WEIR_LOG_INFO, "snapshot is there", WR_F_Z("db", path), WR_F_TXID("txid", txid));
    if (rc == WEIR_OK && o->enforce_retention)
        wr_say(log, WEIR_LOG_INFO, "retention enforced", WR_F_Z("db", path),
            WR_F_U64("files_deleted", files));
    return rc;
}
