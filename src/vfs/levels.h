/*
 * levels.h - what a replica has, by listings of all its levels at once: the time of one, not of
 * ten.
 */
#ifndef WR_VFS_LEVELS_H
#define WR_VFS_LEVELS_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_storage;

/* Append the files of all levels, in the order of wr_layout_list_all and with its errors.
 *
 * That lists a level only when it has seen the one below, so that what moves up meanwhile is seen
 * at least once. This does not: a file that goes from one level and comes in another may be missed
 * in both, and the listing then has a gap, or ends early. On failure some may have been appended.
 */
enum wr_status wr_levels_list(struct wr_storage *s, struct wr_call *c, struct wr_ltx_files *out,
    struct wr_err *e) WR_MUST_CHECK;

#endif
