/*
 * api.h - where the SQLite API comes from. The program and the library share the process's own
 * libsqlite3: two copies in one process break each other's POSIX locks.
 */
#ifndef WR_SQLITE_API_H
#define WR_SQLITE_API_H

#include "base/base.h"

#include <sqlite3.h>

#endif
