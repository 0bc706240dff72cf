/*
 * daemon.h - our program as a process of the simulated machine: scheduler with its threads, one
 * database, its replicas, and whoever asks for a sync.
 */
#ifndef SIM_DAEMON_H
#define SIM_DAEMON_H

#include "engine/cadence.h"
#include "engine/retain.h"
#include "sim/fiber.h"
#include "sim/store.h"

struct wr_db_status;
struct wr_err;
struct wr_replica_status;

#define DAEMON_REPLICAS 2

struct daemon_opts {
    const char *path;     /* of the database */
    const char *meta_dir; /* NULL: the usual one */
    struct store *stores[DAEMON_REPLICAS];
    size_t n_stores;
    uint32_t lock_offset, checkpoint_frames;
    int64_t scan_ns, interval_ns;
    uint64_t scan_bytes, inline_bytes, seed;
    size_t small_max, file_max, room; /* of files in memory (parcel.h): two limits, and of all */
    struct wr_cadence cadence;
    struct wr_retention retention;
    int64_t look_ms; /* between looks at a replica; 0: as ever */
    bool adopt;      /* with the setting adopt-replica */
    bool watched;    /* it hears of writes, as inotify tells them */
    /* While *asks, somebody asks for work on the replicas, in turn, this long after the last
     * answer; NULL: nobody does. */
    const bool *asks;
    int64_t ask_ns;
    /* The last replica comes so long after the start, or when *late_off; NULL: with the others. */
    const bool *late_off;
    int64_t late_ns;
};

struct daemon; /* lives as long as the run */

struct daemon *daemon_start(const char *name, const struct daemon_opts *o);
struct sim_proc *daemon_proc(struct daemon *d);
/* Whether it runs: neither killed nor stopped. */
bool daemon_runs(const struct daemon *d);
/* As SIGTERM without a last sync; waits until it has ended. Nothing happens if it was killed. */
void daemon_stop(struct daemon *d);
/* Something was written. Does not wait. NULL-safe. */
void daemon_event(struct daemon *d);

/* Ask for a sync to all replicas, in the daemon's own process; `done` runs there when it has
 * succeeded, with the TXID and with what commits_n_of() was when it was asked for. At most one at a
 * time: false while another is under way. */
typedef void daemon_synced_fn(uint64_t txid, size_t commits);
bool daemon_sync(struct daemon *d, int64_t timeout_ns, daemon_synced_fn *done);

/* How often a daemon told that the database had lost what was replicated. */
extern uint64_t daemon_forks;

/* How many files went to the outbox for want of memory, in all daemons. */
uint64_t daemon_outboxed(void);

/* What it says of itself; not after its death. */
void daemon_status(struct daemon *d, struct wr_db_status *ret);
void daemon_error(struct daemon *d, struct wr_err *ret);
/* When it means to go on with levels of its replicas, or with what is to be deleted of them, or to
 * compare all pages as one that it had kept was another one; SIM_NEVER: as long as nothing is
 * written it does not. */
int64_t daemon_due_ns(const struct daemon *d);
/* Of its first replica. False: it has not begun yet. */
bool daemon_replica(struct daemon *d, struct wr_replica_status *ret);

#endif
