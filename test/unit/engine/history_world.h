/*
 * history_world.h - an engine world with levels, snapshots and all the time they need: a database
 * of sixty rows that is written to now and then, and what it was at each TXID.
 */
#ifndef WR_TEST_HISTORY_WORLD_H
#define WR_TEST_HISTORY_WORLD_H

#include "harness/engine_world.h"

#include "base/mem.h"
#include "unit/engine/world_bucket.h"

#define SECOND ((int64_t)1000000000)
#define KEPT   400

struct history {
    struct world w;
    struct wr_bytes kept[KEPT]; /* by TXID - 1 */
};

static inline void begin(struct history *h, size_t buckets)
{
    memset(h, 0, sizeof(*h));
    world_low_lock_page();
    world_open(&h->w, buckets);
    h->w.interval_ns = SECOND;
    h->w.opts.cadence = (struct wr_cadence){
        .levels = 3, .level_ms = {30000, 300000, 3600000}, .snapshot_ms = 24 * 3600000};
    world_app(&h->w);
    world_sql(&h->w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(x) AS (SELECT 1 "
                     "UNION ALL SELECT x+1 FROM c WHERE x<60) INSERT INTO t SELECT x, "
                     "randomblob(3000) FROM c");
    world_start(&h->w);
    (void)world_sync(&h->w);
}

/* One TXID a second, the images of which are kept. */
static inline void write_for(struct history *h, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        uint64_t txid;
        char sql[200];

        (void)snprintf(sql, sizeof(sql),
            i % 10 == 7 ? "DELETE FROM t WHERE a>60; PRAGMA incremental_vacuum"
                        : "UPDATE t SET b=randomblob(3000) WHERE a=%u; INSERT INTO t(b) "
                          "VALUES(randomblob(5000))",
            i % 60 + 1);
        world_sql(&h->w, sql);
        txid = world_sync(&h->w);
        T(txid <= KEPT);
        h->kept[txid - 1] = world_image(&h->w);
        world_run(&h->w, SECOND);
    }
}

static inline void write_every(struct history *h, unsigned seconds, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char sql[80];

        (void)snprintf(sql, sizeof(sql), "UPDATE t SET b='%u' WHERE a=%u", i, i % 60 + 1);
        world_sql(&h->w, sql);
        (void)world_sync(&h->w);
        world_run(&h->w, seconds * SECOND);
    }
}

static inline void write_lightly_for(struct history *h, unsigned seconds)
{
    write_every(h, 1, seconds);
}

static inline void expect_image(struct history *h, uint64_t txid)
{
    struct wr_bytes is = world_restore(&h->w, 0, txid), was = h->kept[txid - 1];

    T(was.n > 0 && is.n == was.n && memcmp(is.p, was.p, is.n) == 0);
}

/* To arm the world with: faults come when the test says so. */
static inline void no_faults_yet(struct world *w, struct faultstore *f)
{
    (void)w;
    (void)f;
}

#endif
