/*
 * restore.h - make a database file from a replica: all of it, proven, or nothing.
 *
 * The file is built under another name in the target's directory ("<stem>.tmp-<16 hex>"), synced,
 * and renamed. A failure, a cancellation or a crash leaves the target as it was.
 *
 * Of an LTX restore that was killed, that file and a map of it (draft.h) stay, and the next restore
 * to the same path goes on with them: whatever page is in there as the new plan wants it is not
 * fetched again.
 *
 * A plan goes by names. Should a file of it be damaged, or not continue the one before it, others
 * that lead to the same TXID are looked for (chain.h): to fail is right only when there are none.
 * Should a file be gone since it was listed, as a compaction leaves it, there is a new plan, thrice
 * at most.
 */
#ifndef WR_ENGINE_RESTORE_H
#define WR_ENGINE_RESTORE_H

#include "base/base.h"
#include "base/call.h"
#include "base/file.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_storage;

enum wr_restore_phase {
    WR_RESTORE_PLANNING, /* listing; nothing else is known yet */
    WR_RESTORE_INDEXING, /* reading headers and page indexes: `files` of `files_total` */
    WR_RESTORE_FETCHING, /* reading pages: `bytes_done` of `bytes_total`, `pages` in place */
    WR_RESTORE_CHECKING, /* SQLite checks the file; only if that was asked for */
    WR_RESTORE_PLACING,  /* sync and rename */
};

struct wr_restore_progress {
    enum wr_restore_phase phase;
    uint64_t bytes_done, bytes_total; /* of the replica's objects, compressed */
    uint64_t bytes_resumed; /* of bytes_total: what an earlier run has left, by its own account */
    uint64_t pages;         /* in place so far */
    size_t files, files_total; /* indexes read; files of the plan */
};

/* Runs on the thread that called wr_restore, at most a few times a second and once at the end. What
 * it tells begins again with WR_RESTORE_INDEXING when the restore goes on with other files. */
typedef void wr_restore_progress_fn(void *arg, const struct wr_restore_progress *p);

/* What SQLite is to say to the new file before it takes its name. The values are the public
 * WEIR_CHECK_* of weir.h. */
enum wr_restore_check_kind {
    WR_RESTORE_CHECK_NONE = 0,
    WR_RESTORE_CHECK_QUICK = 1, /* PRAGMA quick_check */
    WR_RESTORE_CHECK_FULL = 2,  /* PRAGMA integrity_check */
};

struct wr_file;
struct wr_restore_result;

/* The file is complete and proven; what is still to be changed in it may be, before SQLite checks
 * it and it takes its name. */
typedef enum wr_status wr_restore_finish_fn(
    void *arg, struct wr_file *f, const struct wr_restore_result *r, struct wr_err *e);

struct wr_restore_opts {
    const struct wr_fs *fs; /* NULL: wr_fs_posix() */
    const char *path;     /* where the database goes; missing parents are created with mode 0700 */
    uint64_t txid;        /* exactly this transaction; 0: not by transaction */
    int64_t time_ms;      /* as of just before this Unix time; 0: not by time */
    bool time_in_range;   /* refuse a time before the oldest or after the newest file */
    bool overwrite;       /* replace a database that is there, and its sidecars */
    bool delta;           /* with overwrite: take over what that one has of the new one (delta.h) */
    const char *meta_dir; /* with delta: of its local state; NULL: ".<name>-weir" beside it */
    unsigned parallel;    /* threads, the caller's included, 1 to 64; 0: 8 */
    /* Files that are opened at once, 1 to 64: that is waiting, and nothing is kept but what they
     * say. 0: as `parallel`, or 32 where that is 0. */
    unsigned opening;
    enum wr_restore_check_kind check; /* any but NONE needs `fs` to be the real one */
    uint32_t lock_offset;             /* byte offset of SQLite's lock page; 0: 0x40000000 */
    bool ltx_only;                    /* no backup of Litestream 0.3, whatever its age */
    uint64_t resume_min; /* bytes of LTX files below which going on is not worth it; 0: 64 MiB */
    wr_restore_progress_fn *progress; /* NULL: none */
    void *progress_arg;
    wr_restore_finish_fn *finish; /* NULL: none */
    void *finish_arg;
};
/* The same, with what is left open as it says there, and threads within bounds. */
struct wr_restore_opts wr_restore_defaults(const struct wr_restore_opts *opts);

enum wr_restore_format {
    WR_RESTORE_LTX,
    WR_RESTORE_V03, /* generations written by Litestream 0.3 */
};

struct wr_restore_result {
    enum wr_restore_format format;
    uint64_t txid;   /* of the restored state; 0 for V03 */
    int64_t time_ms; /* when the newest file used was made, by what is in it */
    uint64_t bytes;  /* of the database */
    uint32_t commit; /* pages */
    uint32_t page_size;
    uint64_t bytes_read;    /* of the replica's objects: pages only */
    uint64_t bytes_resumed; /* of the same: not read, since an earlier run had done so */
    uint64_t bytes_kept;    /* of the database: taken over from the one that was there */
    /* The image's checksum equals the one that the newest file records. False when it records none,
     * as Litestream's own files do; then the checksum of every file used was verified instead. */
    bool verified;
    uint64_t rolling; /* that checksum (wr_ltx_rolling); 0: not verified */
};

/* Restore to opts->path. Picks whichever of LTX and 0.3 format is newer (by txid: LTX only).
 *
 * Memory: 16 bytes a frame of all planned files, some 8 bytes a page of each index while it is
 * read, about 3 MiB a thread, 64 MiB of small files. Once the newest frame of each page is known,
 * that is 16 bytes a page, unless the newest file records no checksum of the image: then every
 * frame has to be read to prove its file. To go on with an earlier run: 12 bytes a page. For V03: 8
 * to 24 bytes for each page in one WAL index, and disk space for that WAL beside the target.
 *
 * The database at `path` must not be in use: a program that still has the old one open would go on
 * with its old files. What used to be there is kept until the new file is complete and synced.
 *
 * NOTFOUND: nothing to restore, or not that transaction or time; no file was touched. What is
 *   missing on this machine is IO, or CONFLICT where a directory leads nowhere.
 * CONFLICT: a database or a sidecar (-wal, -shm, -journal) is there and `overwrite` is not set; or
 *   the path is a symbolic link that leads nowhere. One that leads to a file stands for that file.
 * MISUSE: the path is a directory, or both txid and time_ms are set.
 * CORRUPT: a file of the plan is damaged, or the pages do not add up to the database it describes,
 *   and no other files lead to the same TXID; the text says which earlier one they lead to. Or
 *   SQLite's check has found something.
 * CANCELED, TIMEOUT, LIMIT (disk full), AUTH, IO as below.
 *
 * Files of less than opts->resume_min, and V03, are restored from the beginning each time, and
 * nothing is kept. Otherwise, when CANCELED, TIMEOUT, BUSY, AUTH, NOMEM or the storage's IO ends it
 * with at least so much fetched, or if it went on with an earlier run, what there is is kept for
 * the next one, and the text says where. Any other failure removes it, one of SQLite's check
 * included. */
enum wr_status wr_restore(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_restore_result *ret,
    struct wr_err *e) WR_MUST_CHECK;

/* Only the plan, LTX only: the files that wr_restore would begin with for opts->txid or
 * opts->time_ms, in the order they apply, appended to *ret. opts->path may be NULL. Errors as
 * wr_plan; CORRUPT too for a file that is too small to be one. */
enum wr_status wr_restore_plan(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_ltx_files *ret, struct wr_err *e) WR_MUST_CHECK;

/* Whether wr_restore would be allowed to write to opts->path; CONFLICT or MISUSE as there. */
enum wr_status wr_restore_check(const struct wr_restore_opts *opts, struct wr_err *e) WR_MUST_CHECK;

#endif
