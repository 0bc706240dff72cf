/*
 * retain.h - which files of a replica nobody will miss. Pure: no I/O, no clock.
 *
 * A point is a TXID at which a file ends and to which a chain of files leads (plan.h). What is
 * promised are points; a file is kept because a promised point needs it, or is known by it, and for
 * nothing else but the two names that a promotion has put in the way (fence.h). Promised are, all
 * of them together:
 *
 *   - the newest point, and of each level the file that reaches furthest;
 *   - of the last keep_ms, every point at which a file of level 1 or above ends, and the newest
 *     one before that, which is the state that the time begins with, with a file that says so;
 *   - of the last keep_ms, of each interval of level_ms the newest point of a file of level 0, or a
 *     later one that a file of level 1 or above has by half an interval after it: a database that
 *     is written to now and then gets a file of level 1 for each few of its transactions only;
 *   - of the last l0_ms, every point;
 *   - the newest snapshots, as many as `snapshots` says, however old;
 *   - of the last periods[p] hours, days, weeks, months and years that have a point, one point
 * each.
 *
 * The point of a period is its newest snapshot, which costs one file: no chain has to be kept for a
 * year because of it. A period without a snapshot has its newest point, and the chain to it. The
 * file that ends there at that time is kept, too: nothing else tells later whose point it is.
 *
 * So what is promised of a period stays so for as long as its turn lasts, though retention deletes
 * meanwhile: until a period is over, its point only gives way to a newer one, or to a snapshot; and
 * whatever is among the last N then was so whenever it was looked at before. That goes by the times
 * of the files: each must have the same one whenever it is listed.
 *
 * Time is that of the files, and counted back from the newest of them: while nothing is written
 * nothing gets old. A file from the future was made while a clock was wrong, and makes nothing old;
 * until its time has come it is of no period.
 */
#ifndef WR_ENGINE_RETAIN_H
#define WR_ENGINE_RETAIN_H

#include "base/base.h"
#include "base/status.h"
#include "base/str.h"
#include "engine/layout.h"

struct wr_retention {
    int64_t keep_ms;    /* 0: for ever */
    int64_t l0_ms;      /* of files of level 0, shorter or longer than keep_ms; 0: like others */
    int64_t level_ms;   /* how often level 1 gets a file, where there is one; 0: there is none */
    uint32_t snapshots; /* the newest so many */
    uint32_t periods[WR_PERIODS]; /* the last so many of each kind; UTC */
    /* Who reads a file has so much time after another one took its place; 0: 5 minutes. Not for
     * wr_retain. */
    int64_t grace_ms;
    int64_t now_ms; /* files from after that are from the future; 0: none is */
};
#define WR_RETAIN_COUNT_MAX 100000 /* snapshots or periods; more cannot be meant */

/* Whether periods are kept, so that it matters of which one a file is. */
bool wr_retention_has_periods(const struct wr_retention *r);

/* What a file is kept for; the first reason that there is. */
enum wr_kept {
    WR_KEPT_NOT,                               /* 0: nobody will miss it */
    WR_KEPT_TIME,                              /* keep_ms or l0_ms */
    WR_KEPT_NEWEST,                            /* of its level */
    WR_KEPT_SNAPSHOT,                          /* one of the newest */
    WR_KEPT_PERIOD,                            /* plus an enum wr_period: it is that one's point */
    WR_KEPT_WAY = WR_KEPT_PERIOD + WR_PERIODS, /* the way to a promised point leads over it */
    WR_KEPT_FENCE /* its name is: an old primary that sleeps must not find it free */
};

/* Set kept[i] for each of the `n` files, sorted by wr_ltx_file_cmp. Every promised point can be
 * restored from those that are kept. NOMEM. */
enum wr_status wr_retain(const struct wr_ltx_file *files, size_t n, const struct wr_retention *r,
    enum wr_kept *kept, struct wr_err *e) WR_MUST_CHECK;

#endif
