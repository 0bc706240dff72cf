/*
 * conn_int.h - a connection, shared by what opens it (conn_open.c), what is done with it (conn.c),
 * and what looks whether its paths still name its files (conn_names.c).
 */
#ifndef WR_SQLITE_CONN_INT_H
#define WR_SQLITE_CONN_INT_H

#include "sqlite/api.h"
#include "sqlite/conn.h"

#define WR_CONN_BUSY_MS   50    /* SQLite's own patience; real patience belongs to the scheduler */
#define WR_CONN_SHM_BYTES 32768 /* of each part of the wal-index that SQLite maps */

enum { /* in the order of the bits of enum wr_conn_change */
    WR_CONN_DB_FILE,
    WR_CONN_WAL_FILE,
    WR_CONN_SHM_FILE,
    WR_CONN_FILES
};

struct wr_file_id {
    uint64_t dev;
    struct wr_file_mark mark;
};

struct wr_conn {
    sqlite3 *db, *reader;
    sqlite3_file *file, *wal; /* of db */
    volatile uint8_t *shm;    /* its first 32 KiB, as SQLite has mapped them */
    volatile uint8_t *head;   /* the header in it, in a mapping of our own where there is one */
    bool marked;
    /* What the paths named when they were opened; the database's size and time are those after our
     * last write to it. */
    struct wr_file_id is[WR_CONN_FILES];
    char *path;
};

/* Begins to read, which maps the WAL and recovers its index if need be, and needs no schema. */
#define WR_CONN_LOOK "PRAGMA schema_version"

/* The error of a call that failed with `rc`. */
enum wr_status wr_conn_sql_fail(sqlite3 *db, int rc, const char *what, struct wr_err *e);
/* Step one statement; the first column of the first row as text into out, "" without a row. */
int wr_conn_sql_text(sqlite3 *db, const char *sql, char *out, size_t n);

struct stat;
struct wr_file_id wr_file_id_from(const struct stat *s);
/* Which file one of the paths names now: a stat, no open. */
bool wr_conn_identify(const struct wr_conn *c, int which, struct wr_file_id *ret);
/* The database's file is as we have left it just now. */
void wr_conn_note_own_write(struct wr_conn *c);

#endif
