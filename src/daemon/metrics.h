/*
 * metrics.h - figures of the process, its databases and their replicas, as Prometheus reads them.
 *
 * With more than WR_METRICS_DBS databases there are no series of each, but their sums and worst
 * values, without the labels db and replica; weir_metrics_aggregated is 1 then. The text is bounded
 * by what the buffer may hold.
 *
 * owned: one call at a time, as of two pages at once the older one would look as if all counters
 * had gone back.
 */
#ifndef WR_DAEMON_METRICS_H
#define WR_DAEMON_METRICS_H

#include "base/base.h"
#include "base/buf.h"
#include "daemon/feeds.h"
#include "daemon/fleet.h"
#include "daemon/sentinel.h"

#define WR_METRICS_DBS 1000

struct wr_metrics;

/* NULL: out of memory. All outlive it; without a sentinel (NULL) its figures read 0, and without
 * feeds (NULL) there is nothing of followers. */
struct wr_metrics *wr_metrics_new(
    struct wr_fleet *fleet, struct wr_sentinel *sentinel, struct wr_feeds *feeds);
void wr_metrics_free(struct wr_metrics *m); /* NULL-safe */

/* The whole page into an empty buffer, of type WR_METRICS_TYPE. 200, or 500 when memory or the
 * buffer's limit did not suffice, with a line that says so in place of it. */
int wr_metrics(struct wr_metrics *m, struct wr_buf *out);

#endif
