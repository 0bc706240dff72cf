/*
 * index_map.h - the wal-index of a database that is idle takes one page of memory, not eight.
 *
 * SQLite maps the wal-index in parts of 32 KiB. Of an idle database somebody reads the header now
 * and then, 136 bytes, and for that the kernel maps all pages of the part, since they are at hand:
 * with a thousand databases that is 32 MB of this process. So the header gets a mapping of its own,
 * which ends with its page, and the other is given back when the database falls silent. It is still
 * there; SQLite finds each page again with a fault that needs no disk.
 *
 * The second mapping is made from the first, without a descriptor: to open the file would be to
 * drop SQLite's POSIX locks when it is closed again.
 *
 * owned, but for what is read through the mapping.
 */
#ifndef WR_SQLITE_INDEX_MAP_H
#define WR_SQLITE_INDEX_MAP_H

#include "base/base.h"

/* The first page of `part`, of `bytes`, mapped once more, or `part` itself, where that cannot be
 * had: not Linux, pages as large as the part, or memory that is no shared mapping, as a VFS other
 * than SQLite's own may have. */
volatile uint8_t *wr_index_map(volatile uint8_t *part, size_t bytes) WR_MUST_CHECK;
/* `head` is what wr_index_map gave for `part`. */
void wr_index_unmap(volatile uint8_t *head, volatile uint8_t *part);
/* Give `part` back; nothing in it changes, and whoever reads it meanwhile just reads it. Does
 * nothing where `head` is `part`: of that it is not known to be a shared mapping. */
void wr_index_rest(volatile uint8_t *head, volatile uint8_t *part, size_t bytes);

#endif
