/*
 * disk_int.h - what the parts of the simulated disk share: inodes, their bytes and their names.
 *
 * disk.c has the bytes, disk_sync.c how they become durable, disk_names.c the names, disk_world.c
 * the power cut; disk_fs.c, disk_path.c and vfs*.c are the system calls over them. Nothing here
 * lets others run or takes time: a system call does that first. What can fail returns 0 or an
 * errno.
 */
#ifndef SIM_DISK_INT_H
#define SIM_DISK_INT_H

#include "sim/disk.h"

#define DISK_CALL_NS INT64_C(1000) /* what a system call costs that moves nothing */
#define DISK_IO_NS   INT64_C(3000) /* and one that does */

#define DISK_NO_CUT SIZE_MAX

/* Until the times of a file are durable. fdatasync does not wait for them, and SQLite does not call
 * fsync. */
#define DISK_TIMES_NS INT64_C(5000000000)

enum disk_sector {
    SECTOR_CLEAN,
    SECTOR_DIRTY, /* written, and not durable yet */
    SECTOR_LOST   /* as DIRTY, but fsync has failed: nobody will write it out */
};

struct disk_name {
    char *name;
    struct disk_inode *inode;
};
/* In the order of their names, so that listing a directory is the same in every run. */
struct disk_names {
    struct disk_name *p;
    size_t n, cap;
};

/*
 * Bytes of `seen` and `durable` beyond the size, up to the capacity, are zero. A truncation that is
 * not durable is `cut_to`; what was written since then at or beyond it went to new blocks, so it
 * can only be durable if the truncation is.
 */
struct disk_inode {
    struct disk_inode *next; /* newer */
    uint64_t ino;
    uint32_t mode, uid, gid;
    uint32_t links; /* names as seen */
    uint32_t refs;  /* names seen, durable and in between; open files */
    int64_t mtime_ns, changed_ns;
    int64_t kept_mtime_ns, kept_changed_ns; /* those that a power cut leaves, while the others are
                                             * younger than DISK_TIMES_NS */

    /* files */
    uint8_t *seen, *durable;
    size_t size, durable_size;
    size_t seen_cap, durable_cap;
    uint8_t *sectors; /* enum disk_sector of each in `size` */
    size_t n_sectors, sectors_cap;
    size_t cut_to;       /* or DISK_NO_CUT */
    bool mapped;         /* it has been: stores through the map leave no trace in `sectors` */
    const void *lock_by; /* the open file that has the advisory lock */

    /* directories */
    struct disk_names names, durable_names;
    bool marked; /* scratch of disk_names.c */

    bool small; /* it is below disk_mount_small */
};

/* One change of names that happens as a whole. */
struct disk_op {
    struct disk_edit {
        struct disk_inode *dir;
        char *name;
        struct disk_inode *to; /* NULL: the name goes */
    } edits[2];
    int n;
};

struct disk {
    size_t sector;
    bool powersafe; /* a torn sector is old and new bytes, never others */
    /* Names become durable in one order for the whole disk; if not, in one per directory. */
    bool whole_journal;
    bool reuse_ino;              /* a new file gets the number of one that is gone */
    bool small_full;             /* disk_fill_small */
    uint32_t writeback_permille; /* how often a write makes the kernel write something out */
    uint64_t next_ino;
    uint64_t *free_inos; /* of files that are gone, the newest last */
    size_t n_free_inos, free_inos_cap;
    struct disk_inode *root, *first, *last;
    struct disk_op *ops; /* names not durable, oldest first */
    size_t n_ops, ops_cap;
};
extern struct disk disk;

/* ---- memory: the machine's, not the product's (whose allocations may be made to fail) ---- */

void *disk_resize_mem(void *p, size_t size); /* not NULL */
void disk_free_mem(void *p);
char *disk_copy_name(const char *p, size_t n);

/* Room for `size` bytes in `*p`, zeros beyond those that are there. */
void disk_reserve(uint8_t **p, size_t *cap, size_t size);

/* ---- inodes and bytes ---- */

struct disk_inode *disk_inode_new(uint32_t mode); /* S_IFREG or S_IFDIR and permissions; no refs */
void disk_ref(struct disk_inode *f);
void disk_unref(struct disk_inode *f);
void disk_note_change(struct disk_inode *f);    /* its times or names have changed now */
void disk_times_meet_cut(struct disk_inode *f); /* a power cut takes the younger ones back */
void disk_touch(struct disk_inode *f);          /* its contents have */
bool disk_is_dir(const struct disk_inode *f);
void disk_fill_stat(const struct disk_inode *f, struct stat *ret);
/* Whether an armed fault strikes the process that is running. */
bool disk_strikes(enum disk_fault what);

int disk_read(struct disk_inode *f, void *p, size_t n, uint64_t off, size_t *ret_got);
int disk_write(struct disk_inode *f, const void *p, size_t n, uint64_t off);
void disk_put(struct disk_inode *f, const void *p, size_t n, size_t off); /* as write, no faults */
int disk_truncate(struct disk_inode *f, uint64_t size);                   /* or extend, by zeros */
/* The system call of fsync(2), time included: it does let others run, before or after the bytes of
 * a file, or the names in a directory, have become durable. When it fails, names still wait. */
int disk_fsync(struct disk_inode *f);
int disk_fsync_parent(const char *path); /* of the directory that `path` is in */
int disk_map(struct disk_inode *f, size_t size, void **ret);

/* Room for a file of `size` bytes as seen; sectors beyond what there were are clean. */
void disk_reserve_seen(struct disk_inode *f, size_t size);
/* The kernel writes out a piece of some file, as it does whenever it likes. */
void disk_write_back(void);
/* The steps of becoming durable, for disk_world.c: find what was stored through a map; let the
 * truncation through; one sector; the size. */
void disk_note_mapped(struct disk_inode *f);
void disk_land_cut(struct disk_inode *f);
void disk_land_sector(struct disk_inode *f, size_t i);
void disk_land_size(struct disk_inode *f, size_t size); /* not below durable_size */
void disk_land_all(struct disk_inode *f);
/* After a cut: what is durable is what is seen, and nothing waits. */
void disk_forget_pending(struct disk_inode *f);

/* ---- names ---- */

/* The inode of a path. ENOENT, ENOTDIR. */
int disk_walk(const char *path, struct disk_inode **ret);
/* Open or create a file; `how` is of O_CREAT, O_EXCL and O_TRUNC. The caller owns a reference. */
int disk_open(const char *path, int how, uint32_t mode, struct disk_inode **ret);
int disk_rename(const char *from, const char *to, bool replace);
int disk_unlink(const char *path); /* a file, or an empty directory */
int disk_mkdir(const char *path, uint32_t mode);
/* The names in `dir` become durable. */
void disk_land_names(struct disk_inode *dir);
void disk_land_op(struct disk_op *op);
void disk_drop_op(struct disk_op *op); /* frees what it holds; the caller takes it off the list */
void disk_names_set(struct disk_names *names, const char *name, struct disk_inode *to);
void disk_names_clear(struct disk_names *names);

/* ---- open files ---- */

/* disk_fs.c gets ready to close the files of processes that end. */
void disk_fs_init(void);
bool disk_fs_any_open(void);
struct wr_file_info disk_info(const struct disk_inode *f);
/* Whether `p` holds POSIX locks on the file through SQLite; vfs.c sets it. */
extern bool (*disk_posix_locked)(const struct sim_proc *p, const struct disk_inode *f);

/* The slots of disk_fs() that take paths, in disk_path.c. */
enum wr_status disk_path_stat(
    const struct wr_fs *fs, const char *path, struct wr_file_info *ret, struct wr_err *e);
enum wr_status disk_path_resolve(
    const struct wr_fs *fs, const char *path, char **ret, struct wr_err *e);
enum wr_status disk_path_rename(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e);
enum wr_status disk_path_rename_new(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e);
enum wr_status disk_path_remove(const struct wr_fs *fs, const char *path, struct wr_err *e);
enum wr_status disk_path_mkdir(
    const struct wr_fs *fs, const char *path, uint32_t mode, struct wr_err *e);
enum wr_status disk_path_sync_dir(const struct wr_fs *fs, const char *path, struct wr_err *e);
enum wr_status disk_path_list(
    const struct wr_fs *fs, const char *path, wr_dir_fn *fn, void *arg, struct wr_err *e);

#endif
