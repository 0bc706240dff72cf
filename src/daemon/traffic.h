/*
 * traffic.h - what all databases together have asked of storage, and of applications: figures that
 * only grow, whatever databases come and go.
 *
 * A sum over databases goes back when one is removed, which for a scraper is a process that has
 * started anew, with all that is left as news. So what a sum has lost is added to it for ever.
 *
 * owned.
 */
#ifndef WR_DAEMON_TRAFFIC_H
#define WR_DAEMON_TRAFFIC_H

#include "base/base.h"
#include "base/buf.h"

#include <weir.h>

/* Zero at first. */
struct wr_total {
    uint64_t last, lost;
};
/* `now`, with all that it has ever lost. */
uint64_t wr_total(struct wr_total *t, uint64_t now);

#define WR_TRAFFIC_TYPES 16 /* kinds of storage; what is beyond that counts as the last one */

/* Of one look; zero at first. */
struct wr_traffic {
    struct {
        char type[16];
        uint64_t requests[WEIR_REQUESTS], up, down;
        weir_request_times times[WEIR_REQUESTS];
    } types[WR_TRAFFIC_TYPES];
    uint64_t holds[WEIR_HOLDS], holds_ns;
};
void wr_traffic_db(struct wr_traffic *t, const weir_db_info *db);
void wr_traffic_replica(struct wr_traffic *t, const char *type, const weir_replica_info *r,
    const weir_replica_traffic_info *times);

/* Over all looks; zero at first. */
struct wr_traffic_totals {
    struct {
        char type[16];
        struct wr_total requests[WEIR_REQUESTS], up, down;
        struct wr_times_total {
            struct wr_total took[WEIR_REQUEST_TOOK], ns, failed[WEIR_CODES];
        } times[WEIR_REQUESTS];
    } types[WR_TRAFFIC_TYPES];
    struct wr_total holds[WEIR_HOLDS], holds_ns;
};
/* Write it (exposition.h), and take it into the totals. */
void wr_traffic_put(
    struct wr_traffic_totals *all, const struct wr_traffic *now, struct wr_buf *out);

#endif
