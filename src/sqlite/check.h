/*
 * check.h - what SQLite says of a database file.
 */
#ifndef WR_SQLITE_CHECK_H
#define WR_SQLITE_CHECK_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

/* Run PRAGMA quick_check or integrity_check on a database file without a WAL that nobody else has
 * open (one that is being restored). Takes no lock and makes no file. It may read for hours, and
 * ends soon when the call does. CORRUPT with the first complaint; CANCELED, TIMEOUT, NOMEM, IO. */
enum wr_status wr_sqlite_check(
    const char *path, bool quick, const struct wr_call *c, struct wr_err *e) WR_MUST_CHECK;

#endif
