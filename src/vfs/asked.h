/*
 * asked.h - what a connection can ask of a replica that it reads, and tell it, in SQL: by pragmas
 * ("PRAGMA weir_txid", also of an attached schema) and by functions ("SELECT weir_txid()"), each
 * also under Litestream's name ("litestream_txid").
 *
 *   txid       transaction of the state that is read, 16 hex digits; to set: read this one
 *   head_txid  the newest one known
 *   time       when that state was captured, RFC 3339; to set: read the state just before a time
 *              (RFC 3339, "2006-01-02 15:04:05" in UTC, "5 minutes ago"), or "latest"
 *   lag        seconds since the replica was last seen; lag_ms: milliseconds
 *   epoch      goes up when the replica begins anew
 *   error      why it cannot be read, looked at or copied now; "" when it can
 *   hydration_progress  how much of the newest state is in a local copy, "0.0" to "100.0", or "0"
 *              where there is none
 *   hydration_file  the local copy; "": there is none, or it has no name
 *   write_enabled  0, as a pragma only; it may be set to be off
 */
#ifndef WR_VFS_ASKED_H
#define WR_VFS_ASKED_H

#include "vfs/host.h"

#include "base/base.h"
#include "base/status.h"

struct wr_vfs_file;

/* SQLITE_FCNTL_PRAGMA: `arg` as there. */
int wr_asked_pragma(struct wr_vfs_file *f, char **arg);

/* Let a connection have the functions. Their last argument, which may be left out, is the schema:
 * else it is "main". */
int wr_asked_register(sqlite3 *db);

/* "latest" is 0. MISUSE. `now_ms`: Unix ms. */
enum wr_status wr_asked_time(
    const char *text, int64_t now_ms, int64_t *ret_ms, struct wr_err *e) WR_MUST_CHECK;

#endif
