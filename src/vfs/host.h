/*
 * host.h - the SQLite of the program that loaded us. Every call goes through the table that it
 * handed over; no second copy of SQLite is linked. Included before anything else, as SQLite's own
 * macros name the C library's heap (base.h).
 */
#ifndef WR_VFS_HOST_H
#define WR_VFS_HOST_H

#define sqlite3_api wr_host_sqlite3
#include <sqlite3ext.h>

#include "base/base.h"

SQLITE_EXTENSION_INIT3 /* the table; entry.c has it */

#endif
