/*
 * vfs.h - SQLite's operating system on the simulated disk: a sqlite3_vfs called "sim", the default.
 *
 * Every call lets others run (sim_yield) first, so schedules interleave inside SQLite. Locks are
 * those of the handle's process; a killed process loses them. The wal-index is one piece of memory
 * for all who map it, gone when the last of them has unmapped it or died, or at a power cut.
 */
#ifndef SIM_VFS_H
#define SIM_VFS_H

#include "sim/disk.h"

#include <sqlite3.h>

/* Register it as the default VFS, before anything else touches SQLite. */
void vfs_register(void);

/*
 * Files that are opened while this is set have xUnfetch, and it takes some time. SQLite calls it
 * (without need: nothing is mapped) at one place where nothing else lets others run: in a
 * checkpoint, between reading the header of the wal-index and reading how much was copied before.
 * SQLite without the fix for "WAL reset" (3.51.3, 3.50.7, 3.44.6) corrupts the database when
 * another process starts the WAL anew there, with no help of ours; so false unless that is what a
 * run is about.
 */
extern bool vfs_unfetch;

/* Called, without letting others run, whenever a writer lock of a database (WAL_WRITE_LOCK, slot 0
 * of its wal-index, held exclusively) has been let go, also by death; and whenever an exclusive
 * lock on the database file has (rollback journal modes). NULL: nobody is told. */
extern void (*vfs_on_writer_gone)(const char *db_path);

/* A sleep of SQLite's after a lock of a wal-index had been refused to it. */
struct vfs_wait {
    const struct sim_proc *holder; /* who had the lock when it was asked for; may be dead */
    int64_t from_ns, to_ns;        /* the sleep */
    int64_t held_ns;               /* how long of it the lock was not free */
};
/* Called after each, in the process that slept. NULL: nobody is told. */
extern void (*vfs_on_wait)(const struct vfs_wait *w);

/* For the oracle: the wal-index's first 136 bytes, or NULL when no process maps it. */
const uint8_t *vfs_peek_shm(const char *db_path);

/* How long slot `slot` of the wal-index has been held exclusively, and by which process: for bounds
 * on what others wait for. NULL: by nobody. */
const struct sim_proc *vfs_holder(const char *db_path, int slot, int64_t *ret_since_ns);
/* The longest that a process held the writer lock, has let go of it since, and was not stopped
 * meanwhile; nanoseconds. */
int64_t vfs_longest_write_hold(const struct sim_proc *p);
/* Locks of any kind that `p` holds through SQLite on the file with this path. */
bool vfs_has_locks(const struct sim_proc *p, const char *path);

#endif
