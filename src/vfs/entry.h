/*
 * entry.h - the VFS "weir" (and "litestream"), for main databases that are replicas; every other
 * file, and every database that is none, is the default VFS's.
 */
#ifndef WR_VFS_ENTRY_H
#define WR_VFS_ENTRY_H

#include "vfs/host.h"

#include "base/base.h"

/* What SQLite calls when it loads weir.so, and the names by which Litestream's extension is loaded.
 * Registers the VFS, and the functions of asked.h for every connection of the process. */
int sqlite3_weir_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);
int sqlite3_litestream_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);
int sqlite3_litestreamvfs_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);

#endif
