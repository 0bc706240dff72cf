/*
 * whole.h - whether a restore of a replica's newest state has one way to go.
 *
 * A restore goes by names (plan.h). Names are as they should be when nothing is missing, and when
 * no two writers were at work. What names do not tell, headers do: they are read where it matters.
 */
#ifndef WR_ENGINE_WHOLE_H
#define WR_ENGINE_WHOLE_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/layout.h"
#include "engine/route.h"
#include "ltx/ltx.h"

struct wr_storage;

/* The header of a file in the replica. CORRUPT: it is damaged, or of another file, so that the name
 * is wrong, and then *ret_damaged; or the answer was. Else as wr_storage_get. */
enum wr_status wr_whole_header(struct wr_storage *s, struct wr_call *c, const struct wr_ltx_file *f,
    struct wr_ltx_header *ret, bool *ret_damaged, struct wr_err *e) WR_MUST_CHECK;

/* Headers of files that were read, for who asks for some of them again soon after: as long as a
 * listing has the same file, of the same size, time and tag, it is the same one. = {0}: none.
 * owned. */
struct wr_heads {
    struct {
        struct wr_ltx_file file;
        struct wr_ltx_header header;
    } at[3]; /* the newest file, and what the plan begins with */
    size_t n;
};

/* As wr_whole_header, of what is in `heads` without a request; and puts into it what was read.
 * `heads` may be NULL. */
enum wr_status wr_heads_read(struct wr_heads *heads, struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *f, struct wr_ltx_header *ret, bool *ret_damaged,
    struct wr_err *e) WR_MUST_CHECK;

struct wr_whole {
    const struct wr_ltx_files *files; /* not empty, by wr_ltx_file_cmp */
    const struct wr_ltx_file *best;   /* the one of them that reaches furthest */
    struct wr_fact best_fact;         /* what its header says */
    struct wr_heads *heads;           /* NULL: each header is read */
    bool all; /* they are all files: then the second of the plan must continue the first one */

    /* the verdict */
    bool whole, mixed;             /* as in remote.h */
    struct wr_ltx_file base, next; /* what the plan begins with; max is 0: not whole, or no more */
};

/* Judge them. At most 34 headers are read. BUSY: one has vanished since they were listed. */
enum wr_status wr_whole_judge(
    struct wr_storage *s, struct wr_call *c, struct wr_whole *w, struct wr_err *e) WR_MUST_CHECK;

#endif
