/*
 * resume.h - which plan a restore goes on with where an earlier run has left something.
 *
 * A plan begins with the newest snapshot. If one came since that run, the new plan has none of the
 * files that the run fetched from, and all would be fetched anew. But what it went by is still
 * there most of the time: an older snapshot, and files that lead from there to the same state.
 */
#ifndef WR_ENGINE_RESUME_H
#define WR_ENGINE_RESUME_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_file;
struct wr_restore_opts;
struct wr_storage;

/* `map` is of the draft that was left (draft.h). Replace *plan, files of `all`, by one that begins
 * with an older snapshot, if by what the map claims fewer bytes of that are still to be fetched,
 * and the last files of both record the same checksum of the database. The ends of three snapshots
 * at most are read for that, and two headers; what cannot be read is no failure, and *plan stays.
 * NOMEM, CANCELED, TIMEOUT. */
enum wr_status wr_resume_plan(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, const struct wr_ltx_files *all, struct wr_file *map,
    struct wr_ltx_files *plan, struct wr_err *e) WR_MUST_CHECK;

#endif
