/*
 * check_cost.h - what replication asks of a store in a month, and what Amazon S3 takes for that.
 */
#ifndef WR_CLI_CHECK_COST_H
#define WR_CLI_CHECK_COST_H

#include <stdbool.h>
#include <stdint.h>

/* US dollars: S3 Standard, us-east-1, list prices. Uploads and deletes cost nothing there. */
#define WR_PRICE_PUT_1000 0.005 /* PUT, POST, LIST */
#define WR_PRICE_GET_1000 0.0004
#define WR_PRICE_GB_MONTH 0.023
#define WR_PRICES_TEXT \
    "S3's list prices (us-east-1): $0.005 for 1000 PUT or LIST, $0.0004 for 1000 GET"

struct wr_cost_of {
    int64_t sync_ms;     /* 0: at once */
    int64_t level_ms[8]; /* each > 0 */
    unsigned levels;
    int64_t snapshot_ms;               /* 0: only the first */
    int64_t keep_ms, l0_ms, verify_ms; /* 0: for ever, as keep_ms, never */
    uint64_t kept;                     /* snapshots, or points of periods, beyond keep_ms */
    uint64_t db_bytes, part_size;      /* part_size 0: there are no parts */
};

/* In 30 days. */
struct wr_cost {
    double writes, reads, lists; /* PUT and POST, GET and HEAD, LIST */
    double usd;                  /* for requests */
    double snapshot_bytes;       /* sent, before compression */
    double stored_bytes;         /* in snapshots at a time, before compression */
    double usd_stored;           /* for these */
    bool unbounded;              /* and a PUT for each transaction */
};

void wr_cost_idle(const struct wr_cost_of *of, struct wr_cost *ret); /* nobody writes */
void wr_cost_busy(const struct wr_cost_of *of, struct wr_cost *ret); /* somebody always does */

#endif
