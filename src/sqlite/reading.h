/*
 * reading.h - one state of a database, page by page, as any other program reads it.
 *
 * A read transaction of SQLite's, and nothing else: no checkpoint, no lock that a writer could
 * meet, no change of the journal mode. While it lasts the WAL cannot be begun anew, and grows.
 *
 * In WAL mode the state is that of one wal-index header, seen before and after the transaction
 * began. While the transaction holds, the frames up to its mxFrame stay as they are, and so do the
 * pages of the database file that have none (https://sqlite.org/wal.html, sqlite3 src/wal.c).
 *
 * owned.
 */
#ifndef WR_SQLITE_READING_H
#define WR_SQLITE_READING_H

#include "base/base.h"
#include "base/status.h"

struct wr_reading;

struct wr_reading_info {
    uint32_t page_size; /* bytes */
    uint32_t commit;    /* database size in pages */
};

/* Memory: 16 bytes a page that has a frame in the WAL, at most. NOTFOUND: no such file, or it is
 * empty. BUSY: it is locked, or written to so often that no moment was to be had. UNSUPPORTED: not
 * a database, or it cannot be read here. CORRUPT, LIMIT, NOMEM, IO. */
enum wr_status wr_reading_begin(const char *path, struct wr_reading **ret,
    struct wr_reading_info *ret_info, struct wr_err *e) WR_MUST_CHECK;
void wr_reading_end(struct wr_reading *r); /* NULL-safe */

/* Pages first .. first+n-1 into n * page_size bytes, at most 1 GiB; zeros beyond the file's end. */
enum wr_status wr_reading_pages(
    struct wr_reading *r, uint32_t first, uint32_t n, uint8_t *buf, struct wr_err *e) WR_MUST_CHECK;

#endif
