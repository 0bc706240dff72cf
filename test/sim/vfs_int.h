/*
 * vfs_int.h - what the parts of the simulated VFS share: open files and wal-indexes.
 *
 * vfs.c has the VFS, vfs_file.c the methods of a file, vfs_shm.c the wal-index. Locks belong to
 * open files: SQLite's unix VFS keeps two handles of one process apart, and POSIX those of two.
 */
#ifndef SIM_VFS_INT_H
#define SIM_VFS_INT_H

#include "sim/disk_int.h"
#include "sim/vfs.h"

/* The byte ranges that the unix VFS locks in a database file. */
enum vfs_lock {
    LOCK_PENDING = 1,
    LOCK_RESERVED = 2,
    LOCK_SHARED = 4,   /* the shared range for reading */
    LOCK_EXCLUSIVE = 8 /* and for writing */
};

struct vfs_shm;
struct vfs_file {
    sqlite3_file base; /* must be first: SQLite casts */
    struct vfs_file *next;
    struct disk_inode *inode;
    struct sim_proc *proc; /* that opened it */
    const char *path;      /* SQLite keeps it as long as the file; NULL: a temporary file */
    unsigned locks;        /* of enum vfs_lock */
    bool sync_dir;         /* the first sync makes the name durable, too */
    bool persist_wal, powersafe;
    struct vfs_shm *shm;                /* NULL: not mapped */
    unsigned shm_shared, shm_exclusive; /* bit per slot */
};
extern struct vfs_file *vfs_files; /* all that are open, oldest first */
extern const sqlite3_io_methods vfs_methods, vfs_methods_unfetch;

/* Take it off the list and let go of all it has, as a close does or a death. */
void vfs_release(struct vfs_file *f);
void vfs_tell_writer_gone(const struct vfs_file *f);

/* ---- waits ---- */

/* The running process could not have a lock, a slot or a file's, which `holder` has. */
void vfs_wait_refused(const void *lock, const struct sim_proc *holder);
void vfs_wait_let_go(const void *lock);
/* The running process has slept on behalf of SQLite. Tells vfs_on_wait. */
void vfs_wait_slept(int64_t since_ns);

/* ---- the wal-index ---- */

int vfs_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret);
int vfs_shm_lock(sqlite3_file *file, int first, int n, int flags);
void vfs_shm_barrier(sqlite3_file *file);
int vfs_shm_unmap(sqlite3_file *file, int remove);
void vfs_shm_detach(struct vfs_file *f);
/* Whether `f` maps the wal-index that this inode is the file of. */
bool vfs_shm_is(const struct vfs_file *f, const struct disk_inode *inode);

#endif
