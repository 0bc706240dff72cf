/*
 * registry.h - the databases that were registered at run time and are to outlive the process, in a
 * file.
 *
 *     {"version": 1, "databases": [{"path": "/data/app.db", "replica_url": "s3://bucket/app"}]}
 *
 * The file is replaced as a whole: a crash leaves the one before or the one after. It may hold
 * secrets, as URLs do, and only its owner can read it. What is not exactly of this form is refused
 * as a whole and never overwritten: it may be what somebody has only mistyped.
 *
 * locked.
 */
#ifndef WR_DAEMON_REGISTRY_H
#define WR_DAEMON_REGISTRY_H

#include "base/base.h"
#include "base/status.h"
#include "daemon/fleet.h"
#include "daemon/logfmt.h"

#define WR_REGISTRY_MAX 100000 /* databases */

struct wr_registry;

/* Read the file, before this process has any database open: `path` may be one by mistake. One that
 * is not there is empty. A bad one is an error in the log that says what to do, and makes each
 * change fail with the same. NOMEM. `path` is copied, `log` outlives it. */
enum wr_status wr_registry_new(const char *path, struct wr_logger *log, struct wr_registry **ret,
    struct wr_err *e) WR_MUST_CHECK;
void wr_registry_free(struct wr_registry *r); /* nobody may be in a call; NULL-safe */

/* Add all of them to the fleet but those that it has: at the start, those which the configuration
 * has come to list; after that, all that could be added before. One that cannot is absent, an error
 * in the log when that is news, and stays in the file; so is a bad file. At any time, from one
 * thread. */
void wr_registry_begin(struct wr_registry *r, struct wr_fleet *f);

/* Keep a database, or no longer. What is kept already, or was not, needs no write. On failure
 * nothing has changed, but for a disk that fails in the last moment. MISUSE: the file is bad.
 * LIMIT: there are too many, or the disk is full. */
enum wr_status wr_registry_put(
    struct wr_registry *r, const char *path, const char *url, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_registry_forget(
    struct wr_registry *r, const char *path, struct wr_err *e) WR_MUST_CHECK;

#endif
