/*
 * loose.h - to which ends of a replica's files no way leads any more when some are deleted. Pure:
 * no I/O, no clock.
 */
#ifndef WR_ENGINE_LOOSE_H
#define WR_ENGINE_LOOSE_H

#include "base/base.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_retention;

/* ret[level] becomes the greatest TXID at which a file of that level ends to which a chain of all
 * files leads (plan.h), and none without those that are `gone`, while it is there itself; 0: there
 * is none. That is an upper bound, too, when some of these are gone and others not yet. `files` are
 * sorted by wr_ltx_file_cmp. Needs 130 bytes a file. NOMEM. */
enum wr_status wr_loose(struct wr_ltx_file *files, size_t n, const bool *gone,
    uint64_t ret[WR_LEVEL_MAX + 1], struct wr_err *e) WR_MUST_CHECK;

/* Set gone[i], where it is not set, for what retention by these rules would delete some time from
 * now (r->now_ms is set): half an hour, or six times the grace. NOMEM. */
enum wr_status wr_loose_ahead(const struct wr_ltx_file *files, size_t n,
    const struct wr_retention *r, bool *gone, struct wr_err *e) WR_MUST_CHECK;

/* Whether files of that level are kept for long enough, by these rules, for that to be of use. */
bool wr_loose_lasts(const struct wr_retention *r, unsigned level);

#endif
