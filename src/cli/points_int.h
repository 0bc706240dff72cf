/*
 * points_int.h - what the two files of the points command share.
 */
#ifndef WR_CLI_POINTS_INT_H
#define WR_CLI_POINTS_INT_H

#include "base/base.h"
#include "cli/command.h"
#include "cli/table.h"

#include <weir.h>

struct wr_points_flags {
    const char *config;
    int64_t since_ms, until_ms;
    bool no_expand_env, all, json;
};

/* Points on their way to stdout: as ranges, line by line, or into an array for all replicas. */
struct wr_points_view {
    struct wr_cli *cli;
    const struct wr_points_flags *flags;
    const struct wr_config_replica *replica; /* whose points come now */
    bool several, another;                   /* replicas: there are; one was printed */
    json_t *json;                            /* NULL unless JSON is wanted */
    bool lost;                               /* something could not be added */

    /* Of the replica at hand. */
    struct wr_table table;
    json_t *points;            /* with JSON */
    weir_point first, last;    /* of the range */
    uint64_t n;                /* points in it */
    int64_t step_ms;           /* the longest in it */
    uint64_t inexact, by_txid; /* points with a time of arrival; that no time leads to */
};

void wr_points_view_begin(struct wr_points_view *v);
int wr_points_view_add(void *view, const weir_point *p); /* a weir_point_fn */
/* What is known of the replica beside its points. False when something was lost. */
bool wr_points_view_end(struct wr_points_view *v, const weir_points_result *is);
void wr_points_view_fail(struct wr_points_view *v, const char *message); /* instead of _end */

#endif
