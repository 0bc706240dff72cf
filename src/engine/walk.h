/*
 * walk.h - the order in which one pass over a replica's files comes by all of its points.
 *
 * A point is a TXID at which a file ends and to which a chain of files leads (retain.h). A file
 * applies at TXID `cur` if it begins at most one past it and ends beyond it. Of those that apply
 * the one that ends first is taken, and `cur` becomes its end.
 *
 * That comes by every point, in ascending order. Take a chain that leads to one that is ahead, and
 * of it the first file that ends beyond `cur`. The one before it ends at `cur` at the latest, so
 * that file applies, and what is taken ends no later than it does, hence no later than the chain.
 * The same holds from there on, until the walk stands where the chain ends. Nor does the walk jump
 * over the end of a file that once applied: it is at that TXID when the time comes. All this is so
 * whichever files are dropped on the way, for the chains that do not need them.
 *
 * Pure but for memory, 24 bytes a file at most. owned.
 */
#ifndef WR_ENGINE_WALK_H
#define WR_ENGINE_WALK_H

#include "base/base.h"
#include "base/heap.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_walk {
    uint64_t cur;               /* where it is; 0: no file was taken yet */
    struct wr_ltx_file **order; /* the files that can be of use, by their first TXID */
    size_t n;                   /* of them */
    size_t from, to;            /* order[from..to): what the last wr_walk_open has come by */
    struct wr_heap open;
};

/* Begin at `cur`: a walk may be gone on with over another listing. `files` must outlive it. NOMEM;
 * *w is to be released then, too. */
enum wr_status wr_walk_init(struct wr_walk *w, struct wr_ltx_file *files, size_t n, uint64_t cur,
    struct wr_err *e) WR_MUST_CHECK;
void wr_walk_release(struct wr_walk *w); /* = {0} is empty */

/* Find the files that apply at w->cur and were not found before, by their first TXID. Between them
 * in w->order may be such as the walk has passed already, and has no use for. NOMEM. */
enum wr_status wr_walk_open(struct wr_walk *w, struct wr_err *e) WR_MUST_CHECK;

/* The file to take next, of all that were found: the one that ends first, of these the one of the
 * lowest level. NULL: none applies, and the walk is over. */
const struct wr_ltx_file *wr_walk_next(const struct wr_walk *w);
void wr_walk_drop(struct wr_walk *w); /* do without it */
void wr_walk_take(struct wr_walk *w); /* go to its end */

/* The next one of the files found that end at w->cur, the one that was taken first; NULL: no more.
 * To be called until then after each wr_walk_take. */
const struct wr_ltx_file *wr_walk_pass(struct wr_walk *w);

#endif
