/*
 * disk_kit.h - what tests of the disk and the VFS do in a simulation, over and over.
 */
#ifndef SIM_DISK_KIT_H
#define SIM_DISK_KIT_H

#include "sim/child.h"
#include "sim/vfs.h"

#define KIT_DB "/data/app.db"

extern struct wr_err kit_err; /* of the last call that failed */

/* For reading and writing, created if it is not there. */
struct wr_file *kit_open(const char *path);
/* The first `n` bytes become `byte`. */
void kit_put(const char *path, uint8_t byte, size_t n, bool sync);
/* The byte that a file of `n` bytes is full of; -1: there is no file, -2: not so. */
int kit_full_of(const char *path, size_t n);

/* A disk with a durable directory for KIT_DB, and SQLite on it, in a child: SQLite's configuration
 * is the process's. */
void kit_sqlite(void);
/* KIT_DB, with a minute of patience; `pragmas` must succeed. */
sqlite3 *kit_db(const char *pragmas);
int kit_sql(sqlite3 *db, const char *sql);
/* The first column of the first row: an integer; -1 for "ok", -2 for other text or an error. */
int64_t kit_ask(sqlite3 *db, const char *sql);
/* Tables t(n, x) and u(n, x) in a new database, closed again. */
void kit_tables(const char *pragmas);

#endif
