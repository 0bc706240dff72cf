/*
 * open.h - open a database by its path, whatever the path looks like.
 */
#ifndef WR_SQLITE_OPEN_H
#define WR_SQLITE_OPEN_H

#include "sqlite/api.h"

/* sqlite3_open_v2 with `flags` (SQLITE_OPEN_FULLMUTEX is added) and `query`, URI parameters as
 * "immutable=1", or NULL. A path that looks like a URI would be taken for one; here it is a path.
 * An SQLite result code; *ret is to be closed after a failure, too. */
int wr_sqlite_open(const char *path, int flags, const char *query, sqlite3 **ret);

#endif
