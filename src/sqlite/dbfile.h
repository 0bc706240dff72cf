/*
 * dbfile.h - the bytes of a database file that nobody should be using, as they are.
 *
 * Read through SQLite's own file handle. Whoever closes a descriptor of a database drops all POSIX
 * locks that this process holds on it; SQLite puts that off for as long as it holds any. No lock is
 * taken, and no WAL or journal is looked at: what comes out may be torn, and has to be proven.
 *
 * owned.
 */
#ifndef WR_SQLITE_DBFILE_H
#define WR_SQLITE_DBFILE_H

#include "base/base.h"
#include "base/status.h"

struct wr_dbfile;

/* *ret_size: bytes. NOTFOUND: no such file. NOMEM, IO. */
enum wr_status wr_dbfile_open(
    const char *path, struct wr_dbfile **ret, uint64_t *ret_size, struct wr_err *e) WR_MUST_CHECK;
void wr_dbfile_close(struct wr_dbfile *f); /* NULL-safe */

/* `n` bytes, at most INT_MAX, at `off`; IO if there are fewer. */
enum wr_status wr_dbfile_read(
    struct wr_dbfile *f, void *buf, size_t n, uint64_t off, struct wr_err *e) WR_MUST_CHECK;

#endif
