/*
 * check_cost.c - what replication asks of a store in a month, and what Amazon S3 takes for that.
 * Pure.
 *
 * Upper bounds: a file of level 0 with every sync, one of each level with every interval, a
 * snapshot with every interval, and each half hour what the replica must have, twice where files
 * are deleted. Files of levels and snapshots are confirmed by a GET each; each half hour somebody
 * looks for other writers, and every six hours at all names. Snapshots out of turn come on top:
 * these have at most four bytes for each byte of changes.
 */
#include "cli/check_cost.h"

#include "base/base.h"

#define MONTH_MS ((int64_t)30 * 24 * 3600 * 1000)
#define PAGE     1000 /* keys of one listing request */
#define LOOK_MS  ((int64_t)1800 * 1000)
#define LOOKS    5 /* GET and HEAD of one look, at most */
#define NAMES_MS ((int64_t)6 * 3600 * 1000)

static double often(int64_t interval_ms)
{
    return interval_ms > 0 ? (double)MONTH_MS / (double)interval_ms : 0;
}

/* Requests for one object of so many bytes. */
static double puts_of(uint64_t bytes, uint64_t part_size)
{
    if (part_size == 0 || bytes <= part_size)
        return 1;
    return (double)((bytes + part_size - 1) / part_size) + 2; /* to begin it, and to end it */
}

static double snapshots_kept(const struct wr_cost_of *of)
{
    double n = (double)of->kept + 1;

    if (of->keep_ms > 0 && of->snapshot_ms > 0)
        n += (double)of->keep_ms / (double)of->snapshot_ms;
    return n;
}

/* How many files a replica of a busy database has. */
static double files(const struct wr_cost_of *of)
{
    double n = snapshots_kept(of);
    int64_t span_ms = of->keep_ms + of->snapshot_ms;

    if (of->sync_ms > 0)
        n += (double)(of->l0_ms > 0 ? of->l0_ms : span_ms) / (double)of->sync_ms;
    for (unsigned i = 0; i < of->levels; i++)
        n += (double)span_ms / (double)of->level_ms[i];
    return n;
}

static void price(struct wr_cost *c)
{
    c->usd =
        (c->writes + c->lists) * (WR_PRICE_PUT_1000 / 1000) + c->reads * (WR_PRICE_GET_1000 / 1000);
    c->usd_stored = c->stored_bytes / 1e9 * WR_PRICE_GB_MONTH;
}

static void verify(const struct wr_cost_of *of, double n, struct wr_cost *c)
{
    c->reads += often(of->verify_ms) * n;
    c->lists += of->verify_ms > 0 ? often(of->verify_ms) * (n / PAGE + 1) : 0;
}

void wr_cost_idle(const struct wr_cost_of *of, struct wr_cost *ret)
{
    *ret = (struct wr_cost){.stored_bytes = (double)of->db_bytes * snapshots_kept(of)};
    verify(of, snapshots_kept(of) + of->levels + 1, ret);
    price(ret);
}

void wr_cost_busy(const struct wr_cost_of *of, struct wr_cost *ret)
{
    double snapshots = often(of->snapshot_ms);

    *ret = (struct wr_cost){.stored_bytes = (double)of->db_bytes * snapshots_kept(of),
        .snapshot_bytes = (double)of->db_bytes * snapshots,
        .unbounded = of->sync_ms == 0};
    ret->writes = (of->keep_ms > 0 ? 2 : 1) * often(LOOK_MS);
    ret->writes += often(of->sync_ms) + snapshots * puts_of(of->db_bytes, of->part_size);
    ret->reads = LOOKS * often(LOOK_MS) + snapshots;
    for (unsigned i = 0; i < of->levels; i++) {
        ret->writes += often(of->level_ms[i]);
        ret->reads += often(of->level_ms[i]);
    }
    ret->lists = often(NAMES_MS) * (files(of) / PAGE + 1);
    verify(of, files(of), ret);
    price(ret);
}
