/*
 * grace.h - which files nobody would have missed a while ago already. Pure: no I/O, no clock.
 *
 * Who restores, plans with the files that there are, and reads them for minutes: so a file goes
 * when it could have gone r->grace_ms before. A process that goes on remembers since when that is
 * so; one that is started for a moment asks what was there by then, which the store can tell, and
 * judges that as it was.
 *
 * Time is the store's, whatever our clock says: now is when the newest file arrived (one
 * in parts: when it was begun), or what we take for now if that is earlier. So a clock that is
 * wrong on either side makes files stay longer.
 */
#ifndef WR_ENGINE_GRACE_H
#define WR_ENGINE_GRACE_H

#include "base/base.h"
#include "base/status.h"
#include "engine/layout.h"
#include "engine/retain.h"

/* r->grace_ms, or the default. */
int64_t wr_grace_ms(const struct wr_retention *r);

/* Set over[i] for each of the `n` files, sorted by wr_ltx_file_cmp, that was there that long ago
 * and that wr_retain would not have kept then. r->now_ms is set. What arrived at an unknown time
 * was not there. NOMEM. */
enum wr_status wr_grace_over(const struct wr_ltx_file *files, size_t n,
    const struct wr_retention *r, bool *over, struct wr_err *e) WR_MUST_CHECK;

#endif
