/*
 * headers.h - which files begin as databases do, found out by a process of its own.
 *
 * Whoever opens and closes a file drops all POSIX locks that its process has on it, under whatever
 * name: an application's locks if it is in this process, or ours on a database that is replicated.
 * A child has none to drop.
 */
#ifndef WR_DAEMON_HEADERS_H
#define WR_DAEMON_HEADERS_H

#include "base/base.h"
#include "base/status.h"

enum wr_header {
    WR_HEADER_OTHER,    /* too short, or something else */
    WR_HEADER_DATABASE, /* "SQLite format 3" and a NUL */
    WR_HEADER_UNREAD,   /* it cannot be opened or read */
};

#define WR_HEADER_BYTES 16
bool wr_header_is(const void *p, size_t n); /* the first bytes of a file */

/* ret[i] is of paths[i]. BUSY, IO: no child could be had, or it did not answer in time. */
enum wr_status wr_headers_read(
    const char *const *paths, size_t n, uint8_t *ret, struct wr_err *e) WR_MUST_CHECK;

/* The first `n` bytes of one file, at most WR_HEADER_WHOLE; *ret_n: how many there are. NOTFOUND;
 * IO: it cannot be opened or read; BUSY: not in time, as on a disk that hangs. */
#define WR_HEADER_WHOLE 100 /* of a database */
enum wr_status wr_header_fetch(
    const char *path, uint8_t *ret, size_t n, size_t *ret_n, struct wr_err *e) WR_MUST_CHECK;

#endif
