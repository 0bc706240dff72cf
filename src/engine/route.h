/*
 * route.h - the chain of files that fit each other, by all that is known of what is in them.
 *
 * plan.h goes by names, which is right until two processes have written to a replica, or a file of
 * it is damaged. Then this looks for another chain. Pure but for memory: no I/O, no clock.
 */
#ifndef WR_ENGINE_ROUTE_H
#define WR_ENGINE_ROUTE_H

#include "base/base.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_ltx_header;

/* What is known of a file. = {0}: its name. */
struct wr_fact {
    bool aside;   /* it is of no use */
    bool doubted; /* it seemed to be damaged, and was given another chance */
    bool plain;   /* not read, but taken to have no rolling checksums */
    bool read;    /* its header was, and says the rest */
    bool has_rolling;
    uint32_t page_size;
    uint32_t suspicion; /* how often a chain with it was tried for nothing */
    uint64_t rolling_pre, rolling_post;
};
struct wr_fact wr_fact_of(const struct wr_ltx_header *h);

enum wr_fit {
    WR_FIT_NO,
    WR_FIT_UNPROVEN, /* by their TXIDs, and nothing tells more */
    WR_FIT_YES,      /* one begins with the database that the other ended with; taken for true of
                        headers that were not read, unless `plain` */
};

/* Whether `b` can be applied when `a` was the last that was. Where `b` begins within `a`, or one
 * has no rolling checksums, only the checksum of the result can tell. */
enum wr_fit wr_fit(const struct wr_ltx_file *a, const struct wr_fact *fa,
    const struct wr_ltx_file *b, const struct wr_fact *fb);

struct wr_join {
    size_t before, after; /* files that are applied one after the other */
};

struct wr_map {
    const struct wr_ltx_file *files;
    const struct wr_fact *facts; /* one a file */
    size_t n;
    const struct wr_join *bans; /* joins that are of no use */
    size_t n_bans;
};

/* The chain from TXID 1 to `end`, or with 0 as far as any goes: indexes to `out` (room for m->n),
 * their number to *ret_n. Of several one with the least suspicion, then with the fewest unproven
 * joins; then the one whose last file wr_plan_better prefers; then one of few files. NOTFOUND:
 * none. Needs 64 bytes a file. */
enum wr_status wr_route(const struct wr_map *m, uint64_t end, size_t *out, size_t *ret_n,
    struct wr_err *e) WR_MUST_CHECK;

#endif
