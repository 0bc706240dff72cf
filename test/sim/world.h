/*
 * world.h - one simulation: a machine with an application and our daemon, stores far away, things
 * that go wrong, and in the end a verdict.
 *
 * The laws that are judged:
 *
 *   S1  each TXID of each bucket restores to a state that the application has committed, in order;
 *       and what a sync has acknowledged holds all that was committed when it was asked for
 *   S2  the engine has captured as many commits as SQLite counted, and in the end its newest TXID
 *       is said to hold all of those that the wal-index counts
 *   S3  an object's name never gets other bytes
 *   S4  every object keeps the rules of the format (judge.h)
 *   S5  what our own restore makes is that state, byte for byte, of a TXID, of the last moment
 *       before a time, or the newest; beside everything else, too, and then nothing that is older
 *       than what was acknowledged, or could be had before and after
 *   S6  damage to what is stored is told, or does not matter; it is never restored
 *   S7  verification finds nothing in a bucket that nothing has damaged; and not nothing where
 *       something does not restore
 *   S8  a snapshot that was asked for, and said to be there, is
 *   S9  what a bucket says that it must have (extent.h) it has, at every moment
 *   A1  the application never sees an error, but of a disk that has failed itself, nor a database
 *       that fails its integrity check
 *   A2  no call of the application waits longer for us than a bound (waits.h), and we hold the
 *       writer lock no longer than that; of all calls of many runs one in a thousand may wait
 *       longer than a tenth of it
 *   A3  when all have closed the database no WAL stays behind, for whatever is put under it
 *   A4  the WAL does not wait for a store: it is short when there was none for hours
 *   R1  what we delete from a bucket leaves its newest state, at every moment
 *   T1  if a copy of the database and of our state is replicated to the same place, one of the two
 *       daemons stops, and says why (twins.h)
 *   L1  when all faults have healed, a sync succeeds, and the newest TXID is the newest commit
 *   L2  and then nothing more is asked of the stores while nothing is written
 *   L3  and the WAL is short: the disk space of a long one is given back; and the outbox is empty
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "sim/disk.h"
#include "sim/store.h"

struct world_report {
    uint64_t crashes; /* processes killed, power cuts counted once for each process */
    uint64_t cuts;    /* of the power */
    uint64_t commits, acked, txids, restores, objects, forks;
    uint64_t promoted;    /* copies */
    uint64_t followed;    /* steps of a follower that changed its copy */
    uint64_t disk_errors; /* that an application was told of */
    uint64_t outboxed;    /* files that went to the outbox for want of memory */
    uint64_t virtual_ms;
    int64_t longest_hold_ns;    /* of the writer lock by a daemon */
    int64_t longest_wait_ns;    /* of an application for a daemon, in one call */
    uint64_t calls, rare_waits; /* of applications (waits.h) */
    struct store_counts store;
    struct disk_counts disk;
};

/* Every run whose store can do it is about a promotion (failover.h), and of the others nothing is
 * run. Set before any run. */
extern bool world_promotions;

/* Run one simulation by the tape that was set. Returns if nothing was found wrong; once in a
 * process. */
void world_live(struct world_report *ret);

#endif
