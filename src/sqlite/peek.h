/*
 * peek.h - what is committed in a database, for a thread that does not own its connection.
 *
 * Whoever watches the engine must not believe what the engine says. This reads the wal-index that
 * the engine has mapped, and no field of the engine; where the engine has let the database go, it
 * compares the files with what they were then. It opens nothing, takes no lock of SQLite's, and
 * waits for nobody.
 *
 * locked.
 */
#ifndef WR_SQLITE_PEEK_H
#define WR_SQLITE_PEEK_H

#include "base/base.h"
#include "base/sync.h"
#include "sqlite/conn.h"
#include "sqlite/walidx.h"

struct wr_peek {
    struct wr_mutex mutex; /* guards the rest; never held over a call that may wait */
    const volatile uint8_t *map;
    const char *path, *wal_path; /* of the database, links resolved; NULL: closed; at rest */
    uint64_t dev, ino;
    bool at_rest, wal_there;
    struct wr_file_mark db, wal; /* at rest */
};

void wr_peek_init(struct wr_peek *p);
void wr_peek_release(struct wr_peek *p);

/* `c` was opened: it stays so until wr_peek_close. */
void wr_peek_open(struct wr_peek *p, struct wr_conn *c);
/* Before it is closed: from here on there is nothing to be seen. */
void wr_peek_close(struct wr_peek *p);
/* It was closed, with everything in the database file, when the files were as told (`wal` NULL:
 * there was no WAL). Both paths stay valid until wr_peek_close, or release. */
void wr_peek_rest(struct wr_peek *p, const char *path, const char *wal_path,
    const struct wr_file_mark *db, const struct wr_file_mark *wal);

enum wr_peek_state {
    WR_PEEK_CLOSED,  /* nothing is known */
    WR_PEEK_OPEN,    /* *ret_index is as of now */
    WR_PEEK_TORN,    /* a writer is in the middle of its update, or died there: look again */
    WR_PEEK_GONE,    /* what applications open now is another index: this one tells nothing */
    WR_PEEK_AT_REST, /* not written to since wr_peek_rest */
    WR_PEEK_WRITTEN, /* or it was */
};
enum wr_peek_state wr_peek(struct wr_peek *p, struct wr_walidx *ret_index);

#endif
