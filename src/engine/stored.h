/*
 * stored.h - which databases have a replica below a prefix, by the names of its objects alone.
 *
 * A directory of databases is replicated to one prefix: each has its replica at its path below it.
 * When the directory is lost, the names in the store are what is left of the list of them.
 */
#ifndef WR_ENGINE_STORED_H
#define WR_ENGINE_STORED_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

struct wr_storage;

#define WR_STORED_MAX 100000 /* databases below one prefix */

/* One of them: what follows the prefix, NUL-terminated, never empty; it dies with the call. Whoever
 * can write to the store chooses it. `tame`: it is without control characters, and no part of it
 * between slashes is empty, "." or ".."; so it stays below any directory it is appended to, links
 * aside. It need not be UTF-8, as a file's name: then it is not to be shown as it is. False stops.
 */
typedef bool wr_stored_fn(void *arg, const char *name, bool tame);

/* Each database below the prefix of `s` that has at least one LTX file, or a snapshot of Litestream
 * 0.3, by ascending name. A replica at the prefix itself is none of them. Reads no object. A
 * deadline is for the next key, as wr_layout_list has it. LIMIT: more than WR_STORED_MAX of them,
 * or too many objects. */
enum wr_status wr_stored_find(struct wr_storage *s, struct wr_call *c, wr_stored_fn *fn, void *arg,
    struct wr_err *e) WR_MUST_CHECK;

#endif
