/*
 * file_int.h - what the parts of the file driver share: its state, the names of its files, the
 * walk, the writing, and the sweeping.
 */
#ifndef WR_STORAGE_FILE_INT_H
#define WR_STORAGE_FILE_INT_H

#include "base/file.h"
#include "base/sync.h"
#include "storage/storage.h"

#define WR_FILE_PART_MIN    ((size_t)64 << 10) /* bytes; nothing but bounded calls asks for more */
#define WR_FILE_VERSION_MAX 64
#define WR_FILE_LOCK_NAME   ".weir-lock"
#define WR_FILE_DIRS_MAX    16

/* What this handle need not do again for a directory. */
enum wr_disk_done {
    WR_DISK_DURABLE = 1, /* its name and those on the way to it are on disk */
    WR_DISK_SWEPT = 2,   /* what dead writers left there is gone */
};

struct wr_disk_dir {
    char *path;    /* NULL: a free slot */
    unsigned done; /* of enum wr_disk_done */
};

struct wr_disk {
    const struct wr_fs *fs;
    struct wr_str root; /* without trailing slash, "" for "/"; NUL behind it; frozen */
    struct wr_mutex mutex;
    struct wr_disk_dir dirs[WR_FILE_DIRS_MAX]; /* guarded by mutex */
    size_t turn;                               /* slot to use next; guarded by mutex */
};

/* An opaque tag of a file's identity and content, NUL-terminated. A put always makes a new file, so
 * the inode changes with it. */
void wr_disk_version(const struct wr_file_info *info, char out[WR_FILE_VERSION_MAX]);

/* Whether a file of this name is ours and no object: temporary files and the lock. */
bool wr_disk_hidden(struct wr_str name);

/* MISUSE unless `key` is a relative path of plain segments, which cannot lead out of the root, and
 * none of our own names. */
enum wr_status wr_disk_check(struct wr_str key, struct wr_err *e) WR_MUST_CHECK;

/* How many bytes of `path` name the file that keeps it from existing; 0: none does. The system has
 * a code of its own for that, but within a bucket it means "no such object". `path` is used and
 * restored. */
size_t wr_disk_blocked(const struct wr_fs *fs, char *path);

/* wr_storage_ops.list for the files below `root`, a view as in struct wr_disk. */
enum wr_status wr_disk_walk(const struct wr_fs *fs, struct wr_call *c, struct wr_str root,
    struct wr_str prefix, struct wr_str after, wr_list_fn *fn, void *arg,
    struct wr_err *e) WR_MUST_CHECK;

/* Remove from the directory `dir` the temporary files that nobody writes any more. `mine` is the
 * name of the caller's own there, `now_ms` when that was changed last: the time by the file
 * system's clock. What cannot be removed stays; it does no harm but to take room. */
void wr_disk_sweep(
    const struct wr_fs *fs, struct wr_call *c, const char *dir, struct wr_str mine, int64_t now_ms);

/* The slots of struct wr_storage_ops that write; `self` is a struct wr_disk. */
enum wr_status wr_disk_put(void *self, struct wr_call *c, struct wr_str key, struct wr_bytes body,
    const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_disk_upload_begin(void *self, struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, struct wr_upload **out, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_disk_upload_part(
    struct wr_upload *u, struct wr_call *c, struct wr_bytes part, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_disk_upload_commit(
    struct wr_upload *u, struct wr_call *c, struct wr_object *out, struct wr_err *e) WR_MUST_CHECK;
void wr_disk_upload_abort(struct wr_upload *u, struct wr_call *c);

#endif
