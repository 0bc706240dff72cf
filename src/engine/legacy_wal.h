/*
 * legacy_wal.h - apply an SQLite WAL that lies in a file of ours to a database file of ours.
 *
 * SQLite itself is not asked: neither file is a database that anybody has open.
 */
#ifndef WR_ENGINE_LEGACY_WAL_H
#define WR_ENGINE_LEGACY_WAL_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

struct wr_file;

/* Copy the last committed image of each page from the first `size` bytes of `wal` to `db`, and cut
 * or extend `db` to the size in pages of the last commit, which goes to *commit; without a commit,
 * nothing changes. Bytes that are no valid frame end a WAL that is the `last` one; in any other
 * they are CORRUPT, since the next WAL counts on what they stood for. A bad header and another page
 * size are CORRUPT. Memory: 4 bytes a frame and about 16 a page in the WAL. */
enum wr_status wr_legacy_wal_apply(struct wr_call *c, struct wr_file *wal, uint64_t size, bool last,
    struct wr_file *db, uint32_t page_size, uint32_t *commit, struct wr_err *e) WR_MUST_CHECK;

#endif
