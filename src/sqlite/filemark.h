/*
 * filemark.h - what tells a database file from any other, and from itself before it was written: by
 * stat, which opens nothing.
 *
 * Pure but for the stats. Any thread.
 */
#ifndef WR_SQLITE_FILEMARK_H
#define WR_SQLITE_FILEMARK_H

#include "base/base.h"

struct stat;

/* Not the device: its number may be another one after each start of the machine. */
struct wr_file_mark {
    uint64_t ino, size;          /* ino 0: nothing is known */
    int64_t mtime_ns, change_ns; /* wall clock: contents; whatever is known of the file */
};

struct wr_file_mark wr_file_mark_from(const struct stat *s);
/* Of the file that a path names now: a stat, no open. False: none. */
bool wr_file_mark_of(const char *path, struct wr_file_mark *ret);
bool wr_file_mark_equal(const struct wr_file_mark *a, const struct wr_file_mark *b);

/* Whether a write at `now_ns`, of the clock that gives files their times, or later, must give the
 * file another time than `mtime_ns`. */
bool wr_mtime_is_old(int64_t mtime_ns, int64_t now_ns);
bool wr_file_time_is_old(const struct wr_file_mark *m); /* the same, as of now */

#endif
