/*
 * fleet.h - the databases that this process replicates, while some are added, stopped and removed.
 *
 * locked: any thread, but new and free. A database is known by its absolute path. Failures are
 * WEIR_* with a text that says which database; those of one never disturb the others.
 */
#ifndef WR_DAEMON_FLEET_H
#define WR_DAEMON_FLEET_H

#include "base/base.h"
#include "base/list.h"
#include "daemon/absent.h"
#include "daemon/config.h"
#include "daemon/logfmt.h"
#include "daemon/refused.h"

#include <weir.h>

struct wr_fleet;

/* NULL: out of memory. `w` and `log` outlive it. */
struct wr_fleet *wr_fleet_new(weir *w, struct wr_logger *log);
/* Nobody may be in a call any more. Stops nothing: weir_close, before it, makes the last sync of
 * all that run. NULL-safe. */
void wr_fleet_free(struct wr_fleet *f);

/* Last syncs end when this is canceled, too: the process has been told to end, and whoever is in a
 * call lets weir_close make them. It outlives the fleet. */
void wr_fleet_ends_with(struct wr_fleet *f, weir_cancel *c);

/* At the end: everybody who waits in a call, or holds a database and passed its `cancel` on, gets
 * CANCELED soon; nothing can be changed any more. */
void wr_fleet_cancel(struct wr_fleet *f);

/* The databases that should be in it: whoever fails to add one notes it there, and one that is
 * added is dropped. Lives as long as the fleet. */
struct wr_absent *wr_fleet_absent(struct wr_fleet *f);

/* Whether the configuration that it is by is the one of the file. Lives as long as the fleet. */
struct wr_refused *wr_fleet_refused(struct wr_fleet *f);

/* How a database begins. */
struct wr_fleet_start {
    bool adopt; /* it continues what its replicas hold, whoever wrote it */
    const struct wr_config_replica *restored_from; /* one of `db`'s, which it continues; or NULL */
    bool keep_all; /* nothing is deleted from its replicas, whatever its settings say */
};
/* Take charge of a database and its replicas. `db` is copied. CONFLICT: it is there, stopped or
 * not. `how` may be NULL. */
int wr_fleet_add(struct wr_fleet *f, const struct wr_config_db *db,
    const struct wr_fleet_start *how, weir_error *reterr);

/* Stop replicating, with a last sync of at most `timeout_ms`, and forget it. When that sync fails,
 * so does the call, and the database is gone all the same. *ret_txid, which may be NULL: the newest
 * transaction that was captured. NOTFOUND: there is none. BUSY: another call is changing it. */
int wr_fleet_remove(struct wr_fleet *f, const char *path, int64_t timeout_ms, weir_txid *ret_txid,
    weir_error *reterr);
/* The same, but it stays, stopped. OK as well when it was, which *ret_was (never NULL) tells. */
int wr_fleet_stop(struct wr_fleet *f, const char *path, int64_t timeout_ms, bool *ret_was,
    weir_txid *ret_txid, weir_error *reterr);
/* Begin again what was stopped. OK as well when it runs, which *ret_was tells. */
int wr_fleet_start(struct wr_fleet *f, const char *path, bool *ret_was, weir_error *reterr);

/* A database that is not stopped while somebody holds it. */
struct wr_fleet_hold {
    weir_db *db;
    weir_cancel *cancel; /* for calls that wait: somebody wants to stop it */
    void *member;
    struct wr_link link; /* in it, with a cancel of one's own */
};
/* NOTFOUND: there is none. UNSUPPORTED: it is stopped, or being so. */
int wr_fleet_hold(
    struct wr_fleet *f, const char *path, struct wr_fleet_hold *ret, weir_error *reterr);
/* The same for one whom others have to stop as well: *ret, which stays where it is, has `own` for
 * that, which outlives it, and is canceled with the database's. */
int wr_fleet_hold_with(struct wr_fleet *f, const char *path, weir_cancel *own,
    struct wr_fleet_hold *ret, weir_error *reterr);
void wr_fleet_let_go(struct wr_fleet *f, struct wr_fleet_hold *h);

size_t wr_fleet_count(struct wr_fleet *f);
/* The newest transaction that was captured of a database; of one that is stopped, or just begun
 * with again, the one that it ended with. 0: none is known. NOTFOUND: there is no such database. */
int wr_fleet_txid(struct wr_fleet *f, const char *path, weir_txid *ret, weir_error *reterr);
/* How often a database was begun with so far, added or started. */
uint64_t wr_fleet_begun(struct wr_fleet *f);
bool wr_fleet_has(struct wr_fleet *f, const char *path); /* stopped or not */

/* Unix ms: when a database that is stopped was last known to be in all its replicas, before that;
 * 0: never, or it is none. */
int64_t wr_fleet_last_sync(struct wr_fleet *f, const char *path);

/* `db` is NULL of one that is stopped. `config` and `db` die with the call. */
typedef void wr_fleet_fn(void *arg, const struct wr_config_db *config, weir_db *db);
/* Each database, by ascending path, each held while `fn` has it and no longer: others may come and
 * go meanwhile, and `fn` may change all but the one that it is told of. */
void wr_fleet_each(struct wr_fleet *f, wr_fleet_fn *fn, void *arg);

#endif
