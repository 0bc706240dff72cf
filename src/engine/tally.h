/*
 * tally.h - what a listing of a replica tells whoever is to go on with its levels. Pure.
 */
#ifndef WR_ENGINE_TALLY_H
#define WR_ENGINE_TALLY_H

#include "base/base.h"
#include "base/status.h"
#include "engine/layout.h"
#include "engine/toll.h"

/* Of one level above 0 and below the snapshots. */
struct wr_level_tally {
    struct wr_ltx_file end; /* it goes on from the end of this file: its own, or, where it has none,
                               the one of a level above that reaches furthest; max is 0: neither */
    unsigned below;         /* files of the level below it that came behind that */
    int64_t since_ms;       /* time of the first of them; 0: none came */
};

struct wr_tally {
    struct wr_ltx_file snapshot;                    /* the newest one; max is 0: there is none */
    struct wr_level_tally level[WR_LEVEL_SNAPSHOT]; /* [0] is not used */
    struct wr_toll toll;
};

/* Of all files of a replica, sorted by wr_ltx_file_cmp. NOMEM. */
enum wr_status wr_tally(const struct wr_ltx_file *files, size_t n, struct wr_tally *ret,
    struct wr_err *e) WR_MUST_CHECK;

#endif
