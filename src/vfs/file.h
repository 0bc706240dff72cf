/*
 * file.h - a replica as SQLite's file: read-only, one state of it for each transaction.
 *
 * Page 1 is shown with the header of a database that is not in WAL mode, and with a change counter
 * that differs between states and is the same for as long as the state is: so SQLite keeps its own
 * pages from one transaction to the next, and drops them when there is something new.
 */
#ifndef WR_VFS_FILE_H
#define WR_VFS_FILE_H

#include "vfs/host.h"

#include "base/base.h"
#include "base/status.h"
#include "vfs/uri.h"

extern const sqlite3_io_methods wr_vfs_file_methods; /* how to tell such a file from others */

struct wr_vfs_file {
    sqlite3_file base;
    struct wr_origin *origin;
    struct wr_origin_reader reader; /* its map: what the lock holds, or what is held for good */
    struct wr_pagemap *past;        /* held: the state that was asked for; NULL: the newest */
    int lock;                       /* SQLITE_LOCK_* */
    int64_t mmap_size;              /* bytes; above 0: a local copy may be mapped */
    int64_t open_ms;                /* as wr_origin_at */
    bool fixed;
    const struct wr_log *log;
    struct wr_err why; /* of the last read that failed, until another transaction begins */
};

/* Into `f`, which is SQLite's memory. Errors as wr_origin_open and wr_origin_at. */
enum wr_status wr_vfs_file_open(struct wr_vfs_file *f, const char *name, const struct wr_uri *u,
    struct wr_err *e) WR_MUST_CHECK;

/* Read a state of the past, or (0, 0) the newest again, from the next transaction on. BUSY: not
 * within one. Else as wr_origin_at. */
enum wr_status wr_vfs_file_go(
    struct wr_vfs_file *f, uint64_t txid, int64_t time_ms, struct wr_err *e) WR_MUST_CHECK;

/* The state that is read: of the transaction, or of the next one. The caller drops it. NULL in a
 * process that did not open the file. */
struct wr_pagemap *wr_vfs_file_state(struct wr_vfs_file *f);

#endif
