/*
 * gaps.h - what the names of a replica's files promise and do not hold. Pure: no I/O, no clock.
 *
 * The end of every file is taken for a promise. It is held if a chain of files leads there
 * (plan.h). Where none does, something was deleted, and the question is whether retention may have
 * done it:
 *
 *   - Behind the newest point: never. The newest state is what retention keeps first.
 *   - At the beginning of a level, up to its first file of use: it may. What is old goes first,
 * file by file, the chain that led there as well as the files themselves, and the newest file of a
 *     level stays.
 *   - Behind a file of use of the same level: only if retention would have left that one and those
 *     right before it, had everything as old as the first file behind the hole been too old
 *     (retain.h). Files that are there and would be gone before show that it was not at work. Above
 *     level 0 it may be mistaken for that after a deletion that was cut short, until the next one.
 *
 * Who writes to the replica may have said more (extent.h): to which ends a way leads, whatever
 * retention has deleted.
 *
 * What cannot be told by names: that the newest files are gone is an older state of the replica,
 * and a hole over which other files lead, to every TXID that is still named, is what a level
 * covers.
 */
#ifndef WR_ENGINE_GAPS_H
#define WR_ENGINE_GAPS_H

#include "base/base.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_extent;

enum wr_gap {
    WR_GAP_NONE, /* a chain leads to its end */
    WR_GAP_OLD,  /* none does; retention may have left it */
    WR_GAP_LOST, /* none does, and one should */
};

/* What is known but for the names. */
struct wr_gaps_opts {
    const struct wr_extent *said; /* NULL: nothing was */
    uint64_t set_back; /* the clock by which the files have their times was, and it has caught up
                        * behind this TXID: retention, to which all from before was from the future
                        * until then, is not to be told by times up to there; 0: it was not */
};

/* Set gap[i] for each of the `n` files, sorted by wr_ltx_file_cmp. Needs 150 bytes a file. NOMEM.
 */
enum wr_status wr_gaps(struct wr_ltx_file *files, size_t n, const struct wr_gaps_opts *o,
    enum wr_gap *gap, struct wr_err *e) WR_MUST_CHECK;

#endif
