/*
 * disk.h - the simulated disk: what processes see, and what would survive a power cut.
 *
 * One tree of absolute paths, one per run. A file has its bytes as they are seen, those that
 * are durable, and the writes in between, sector by sector; a name is durable once its directory
 * was synced. SQLite (vfs.h) and our own files (disk_fs) live on the same disk.
 *
 * POSIX drops all locks of a process on a file when the process closes any descriptor of it. SQLite
 * copes with that; nobody else in its process may open a database or -shm. So whoever closes,
 * through disk_fs, a file on which the same process holds locks through SQLite has failed the run.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "base/file.h"
#include "sim/fiber.h"

#include <sys/stat.h>

/* What the wall clock says when sim_now_ns() is 0: 2026-01-01. Times of files and SQLite's clock
 * count from it. */
#define SIM_EPOCH_MS INT64_C(1767225600000)

/* An empty disk with the directory "/", once in a run. Draws its sector size and habits from the
 * tape. There are no symbolic links, and no name "..". In some runs a new file gets the inode
 * number of one that is gone, as on ext4. */
void disk_init(void);
/* What our own code gets in place of wr_fs_posix(). */
const struct wr_fs *disk_fs(void);

/* As stat(2), and as lstat(2): 0, or -1 with errno. Size, inode, mode, links, times that move with
 * every change. A system call: others may run. */
int disk_stat(const char *path, struct stat *ret);

/*
 * The power goes; the caller has killed every process before that has files open.
 *
 * Of a file, each sector that was written and not synced is kept, dropped or torn (old and new
 * bytes within it; anything at all, in a run without powersafe overwrite, if the sector was never
 * durable before). A size that was not synced is the old one, the new one or, when it grew, one in
 * between. Names that were not synced are there or not, in the order in which they were made: one
 * order for the whole disk, or in other runs one per directory. Syncing a file does not make its
 * name durable, and names may be durable before the bytes. Times that are younger than five seconds
 * are those before them, whatever was synced.
 */
void disk_power_cut(void);

/* For the oracle, without letting others run: the bytes of a file as they are seen now. NULL: no
 * such file. They stay valid until the file changes. */
const uint8_t *disk_peek(const char *path, size_t *ret_n);
/* The same of a directory: how many names it has, and one of them, which stays valid until it goes.
 * 0: none, or no such directory. */
size_t disk_peek_names(const char *path, const char **ret_one);
/* For the world, without letting others run: put a file there as if by another program, durable at
 * once (rename over the old one: another inode); and remove one, if it is there. */
void disk_plant(const char *path, const void *p, size_t n);
void disk_remove(const char *path);
/* How often something below happened, to show that a run reached it. */
struct disk_counts {
    uint64_t power_cuts, torn, dropped, kept; /* sectors, of those that waited */
    uint64_t lost_names, failed_syncs, full, io_errors, rotten;
};
extern struct disk_counts disk_counts;

/* Faults that strike system calls of a process, SQLite's and our own, until disarmed by permille 0
 * (NULL: for all processes). Each kind has a few victims at a time. */
enum disk_fault {
    DISK_FULL,      /* a write gets ENOSPC, perhaps after a part of it was written */
    DISK_EIO_READ,  /* a read fails */
    DISK_EIO_WRITE, /* a write fails, nothing written */
    DISK_EIO_SYNC,  /* fsync fails, and what it should have made durable is lost at the next cut
                     * unless written again, while reads show it ("fsyncgate") */
    DISK_FAULTS
};
void disk_arm(enum disk_fault what, const struct sim_proc *whose, uint32_t permille);
/* From here down, what is made in the directory is a small file system of its own, whoever writes
 * to it; there may be several. While they are full, a write there that makes a file longer gets
 * ENOSPC, perhaps after a part of it was written. */
void disk_mount_small(const char *path);
void disk_fill_small(bool full);

/* Each so manieth read of our own from a file below this directory gets a bit that is another one;
 * 0: none any more. The path is the caller's and stays. */
void disk_rot(const char *path, uint32_t every);
/* Each so manieth fsync of these processes takes so much longer; 0: none any more. */
void disk_slow_syncs(bool (*whose)(const struct sim_proc *p), uint32_t every, int64_t ns);
/* How many of its calls were struck so far. */
uint64_t disk_struck(const struct sim_proc *p);

#endif
