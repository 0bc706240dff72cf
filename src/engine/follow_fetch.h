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
