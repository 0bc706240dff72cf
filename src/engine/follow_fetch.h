/*
 * follow_fetch.h - from files of a replica to the pages in which a followed copy will change. Reads
 * the replica and the copy; changes neither.
 */
#ifndef WR_ENGINE_FOLLOW_FETCH_H
#define WR_ENGINE_FOLLOW_FETCH_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/follow_apply.h"
#include "engine/layout.h"

struct wr_follow_pos;
struct wr_patch;
struct wr_restore_opts;
struct wr_storage;

#define WR_FOLLOW_FILES_MAX ((size_t)32)         /* in one step */
#define WR_FOLLOW_BYTES_MAX ((uint64_t)32 << 20) /* of them, unless one alone has more */

/* What to apply next to a copy at `cur`: of the files that hold the transaction after it, the one
 * that leads furthest with at most `budget` bytes; if there is none, the smallest. NULL: none does,
 * but for snapshots. Pure. */
const struct wr_ltx_file *wr_follow_next(
    const struct wr_ltx_files *all, uint64_t cur, uint64_t budget);
/* A chain of these, as long as one step may be, appended to *out. NOMEM. */
enum wr_status wr_follow_chain(const struct wr_ltx_files *all, uint64_t cur,
    struct wr_ltx_files *out, struct wr_err *e) WR_MUST_CHECK;

/* The pages that a chain, not empty, changes in a copy at *pos. Each file is read in full and
 * proven. *ret is empty; opts->path is the copy.
 *
 * CORRUPT: a file is damaged; *ret_bad is its index, or SIZE_MAX. BUSY: one is gone meanwhile.
 * CONFLICT: the first one goes on from another database than this. UNSUPPORTED: the page size is
 * another one by now. LIMIT: no room for the pages beside the copy. Else as wr_inputs_open. */
enum wr_status wr_follow_fetch(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, const struct wr_follow_pos *pos,
    const struct wr_ltx_files *chain, struct wr_follow_change *ret, size_t *ret_bad,
    struct wr_err *e) WR_MUST_CHECK;

/* The newest state of all, by whatever way leads there, as the pages in which it differs from the
 * copy, which is only read. NOTFOUND: the replica has none, or none after `cur`. Else as
 * wr_plan and wr_chain_fetch. */
enum wr_status wr_follow_fetch_anew(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, const struct wr_ltx_files *all, struct wr_patch *copy,
    const struct wr_follow_pos *pos, uint64_t cur, struct wr_follow_change *ret,
    struct wr_err *e) WR_MUST_CHECK;

#endif
