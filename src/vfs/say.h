/*
 * say.h - where the extension's log goes: to SQLite's own (sqlite3_log), and to the file that
 * LITESTREAM_LOG_FILE names ("-": standard output), else what is a warning or worse to standard
 * error. LITESTREAM_LOG_LEVEL=DEBUG: everything.
 */
#ifndef WR_VFS_SAY_H
#define WR_VFS_SAY_H

#include "base/base.h"
#include "base/log.h"

/* Ready after the first call, in which the environment is read. Frozen. */
const struct wr_log *wr_say_log(void);

#endif
