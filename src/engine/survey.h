/*
 * survey.h - look at a replica and say what can be restored from it.
 *
 * From listings alone. Where these have no times of files but those of their arrival (no
 * WR_STORAGE_LIST_TIME), a restore by time compares others: those are asked for, of as many points
 * as the caller wants to know it of.
 */
#ifndef WR_ENGINE_SURVEY_H
#define WR_ENGINE_SURVEY_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/points.h"

struct wr_storage;

struct wr_survey_opts {
    int64_t since_ms; /* leave out points from before this Unix time; 0: none */
    int64_t until_ms; /* and those that are not from before this one; 0: none */
    /* All times. Where listings do not have them, this is a request for each file that has arrived
     * since an hour before since_ms, and the newest; and where one of these was made later than it
     * arrived, by a clock that is ahead, for those that arrived so much before as well. */
    bool exact;
    unsigned parallel; /* threads, the caller's included, 1 to 64; 0: 8 */
};

/* Without opts->exact the times of the first and the last point of each run, and of the newest
 * point, are asked for: 2 * WR_SURVEY_RUNS_MAX + 1 requests at most. Where there are more runs,
 * only the newest one's. */
#define WR_SURVEY_RUNS_MAX 100

/* owned. = {0} is empty. */
struct wr_survey {
    struct wr_points points; /* in runs; with by_time if all times are exact */
    struct wr_point newest;  /* of all points, also if it is left out; txid 0: there is none */
    uint64_t gap; /* the first TXID of a file that no chain reaches, behind `newest`; 0 */
    /* The oldest snapshot and the newest object of Litestream 0.3; both 0: there is none. A restore
     * by time may use these in place of a point. */
    int64_t legacy_from_ms, legacy_to_ms;
};

/* NOTFOUND "no matching backup files available": the replica has none of all that. Otherwise as
 * wr_layout_list_all, wr_layout_times and wr_legacy_find. *ret is empty, and is then the caller's
 * to release, whatever the result. That backups of 0.3 cannot be listed is a warning in the log
 * where there are others. */
enum wr_status wr_survey(struct wr_storage *s, struct wr_call *c, const struct wr_survey_opts *opts,
    struct wr_survey *ret, struct wr_err *e) WR_MUST_CHECK;
void wr_survey_release(struct wr_survey *x); /* NULL-safe; empty again */

#endif
