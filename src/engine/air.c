/*
 * air.c - what is captured goes to those who follow over the network (feed.h) as it comes: each
 * TXID as it is closed, and before that, while somebody reads, each capture as a part of the one to
 * come.
 *
 * Nothing is here until somebody has asked for it, and nothing but the step touches it. What cannot
 * be made, for want of memory or for its size, is left out: who follows is told that there is more,
 * and gets the next TXID, or goes to the bucket. It never holds up replication.
 *
 * Parts tell the rolling checksum of the database behind them, as files do. It begins as the
 * ledger's; `sums` has the checksums of pages that parts have changed since.
 */
#include "engine/primary_int.h"

#include "base/mem.h"
#include "engine/feed.h"
#include "ltx/enc.h"

#define PART_BYTES ((size_t)512 << 10) /* pages of a part; more than that waits for the TXID */
#define PAGES_MAX  ((size_t)1 << 16)   /* of all parts of a TXID */

struct db_air {
    struct wr_feed *feed;
    bool on;   /* the feed is at `txid`, and all below is of it */
    bool full; /* no more parts before the next TXID */
    uint64_t txid;
    uint64_t given;          /* TXID of which the file went there */
    struct wr_pageset fresh; /* captured, in no part */
    struct wr_pgmap index;   /* page -> where in `sums` */
    uint64_t *sums;
    size_t n, cap;
    uint32_t part, commit; /* the last one; pages of the database then */
    uint64_t rolling;
};

/* ---- readers ---- */

static enum wr_status feed_of(struct wr_db *db, struct wr_feed **ret, struct wr_err *e)
{
    struct wr_feed *f, *mine = NULL;
    enum wr_status st;

    wr_mutex_lock(&db->mutex);
    f = db->feed;
    wr_mutex_unlock(&db->mutex);
    if (!f) {
        const struct wr_clock *clock = wr_sched_clock(db->actor.sched);

        /* No two lives of a database, in whatever process, have the same number. */
        st = wr_feed_new(clock, NULL, (uint64_t)wr_wall_ms(clock) << 16, &mine, e);
        if (st != WR_OK)
            return st;
        wr_mutex_lock(&db->mutex);
        if (!db->feed) {
            db->feed = mine;
            mine = NULL;
        }
        f = db->feed;
        wr_mutex_unlock(&db->mutex);
        wr_feed_free(mine);
    }
    *ret = f;
    return WR_OK;
}

enum wr_status wr_db_feed_read(struct wr_db *db, struct wr_feed_at *at, int64_t end_ns,
    struct wr_cancel *cancel, struct wr_buf *out, struct wr_err *e)
{
    struct wr_feed *f = NULL;
    enum wr_status st = feed_of(db, &f, e);

    if (st != WR_OK)
        return st;
    if (!wr_feed_wanted(f)) {
        wr_feed_touch(f);
        wr_sched_wake(&db->actor);
    }
    return wr_feed_read(f, at, end_ns, cancel, out, e);
}

/* ---- the step ---- */

static void restart(struct db_air *a)
{
    wr_pgmap_clear(&a->index);
    wr_pageset_clear(&a->fresh);
    a->n = 0;
    a->part = 0;
    a->full = false;
}

static void begin(struct wr_db *db, struct db_air *a)
{
    const struct wr_ledger_state now = wr_ledger_state(db->ledger);

    restart(a);
    wr_pageset_add_set(&a->fresh, &db->dirty);
    a->txid = db->txid;
    a->commit = now.commit;
    a->rolling = now.rolling;
    a->on = true;
    wr_feed_begin(a->feed, a->txid);
}

/* Somebody has asked for the first time. Without memory, at the next step. */
static struct db_air *air_of(struct wr_db *db)
{
    struct wr_feed *f;

    if (db->air)
        return db->air;
    wr_mutex_lock(&db->mutex);
    f = db->feed;
    wr_mutex_unlock(&db->mutex);
    db->air = f ? wr_alloc(sizeof(*db->air)) : NULL;
    if (!db->air)
        return NULL;
    db->air->feed = f;
    wr_pageset_init(&db->air->fresh);
    wr_pgmap_init(&db->air->index, PAGES_MAX);
    return db->air;
}

/* What nobody has asked for in a long time. */
static void drop(struct db_air *a)
{
    wr_feed_drop(a->feed);
    restart(a);
    wr_pgmap_release(&a->index);
    wr_free(a->sums);
    a->sums = NULL;
    a->cap = 0;
    a->on = false;
}

bool wr_db_air_asked(struct wr_db *db)
{
    struct wr_feed *f;

    wr_mutex_lock(&db->mutex);
    f = db->feed;
    wr_mutex_unlock(&db->mutex);
    return f && wr_feed_wanted(f);
}

bool wr_db_air_wanted(struct wr_db *db)
{
    struct db_air *a = air_of(db);

    assert(db->state == DB_SYNCING);
    if (!a)
        return false;
    if (!wr_feed_kept(a->feed)) {
        drop(a);
        return false;
    }
    if (!a->on || a->txid != db->txid)
        begin(db, a);
    return wr_feed_wanted(a->feed);
}

void wr_db_air_captured(struct wr_db *db, uint32_t pgno)
{
    if (db->air && db->air->on)
        wr_pageset_add(&db->air->fresh, pgno);
}

/* Nobody looks after what is kept until it is attached again: where nobody reads, it goes. */
void wr_db_air_end(struct wr_db *db)
{
    struct db_air *a = db->air;

    if (a && !wr_feed_wanted(a->feed)) {
        drop(a);
    } else if (a && a->on) {
        a->on = false;
        wr_feed_end(a->feed);
        restart(a);
    }
}

void wr_db_air_free(struct wr_db *db)
{
    if (db->air) {
        wr_pageset_release(&db->air->fresh);
        wr_pgmap_release(&db->air->index);
        wr_free(db->air->sums);
        wr_free(db->air);
        db->air = NULL;
    }
    wr_feed_free(db->feed);
    db->feed = NULL;
}

/* ---- parts ---- */

/* The checksum of a page as of the last part; 0: the database had no such page. */
static uint64_t sum_of(const struct wr_db *db, const struct db_air *a, uint32_t pgno)
{
    uint32_t at;

    if (pgno > a->commit)
        return 0;
    return wr_pgmap_get(&a->index, pgno, &at) ? a->sums[at] : wr_ledger_page(db->ledger, pgno);
}

static enum wr_status put_sum(struct db_air *a, uint32_t pgno, uint64_t sum)
{
    uint32_t at;

    if (!wr_pgmap_get(&a->index, pgno, &at)) {
        if (a->n == a->cap) {
            size_t more = a->cap ? 2 * a->cap : 64;
            uint64_t *p = wr_resize(a->sums, more, sizeof(*p));

            if (!p)
                return WR_NOMEM;
            a->sums = p;
            a->cap = more;
        }
        at = (uint32_t)a->n;
        if (wr_pgmap_set(&a->index, pgno, at) != WR_OK)
            return WR_LIMIT;
        a->n++;
    }
    a->sums[at] = sum;
    return WR_OK;
}

/* Whether what was captured is more than a part may have: it does not become less. */
static bool too_many(const struct wr_db *db, const struct db_air *a)
{
    return a->fresh.all || a->fresh.map.n > PART_BYTES / db->view.page_size;
}

/* Pages that the database has got since the last part without their being written. */
static void add_growth(const struct wr_db *db, struct db_air *a)
{
    uint32_t mark;

    for (uint32_t p = a->commit + 1; p <= db->view.commit && !too_many(db, a); p++) {
        if (!wr_pgmap_get(&a->fresh.map, p, &mark))
            wr_pageset_add(&a->fresh, p);
    }
}

static enum wr_status collect(void *arg, struct wr_bytes piece, struct wr_err *e)
{
    struct wr_buf *out = arg;

    wr_buf_put(out, piece.p, piece.n);
    return wr_buf_status(out) == WR_OK ? WR_OK : wr_fail(e, wr_buf_status(out), "a part");
}

/* These pages, which become the state of `a`, as a file into `out`. */
static enum wr_status encode(struct wr_db *db, struct db_air *a, const uint32_t *pages, size_t n,
    const uint8_t *images, uint64_t pre, struct wr_buf *out, struct wr_err *e)
{
    int64_t now_ms = wr_wall_ms(wr_sched_clock(db->actor.sched));
    const struct wr_ltx_header h = {.page_size = db->view.page_size,
        .commit = db->view.commit,
        .min_txid = a->txid + a->part,
        .max_txid = a->txid + a->part,
        .time_ms = wr_max(db->time_ms, now_ms),
        .node_id = db->node_id,
        .has_rolling = true,
        .rolling_pre = pre,
        .rolling_post = a->rolling};
    struct wr_ltx_trailer trailer;
    struct wr_ltx_enc *enc = NULL;
    uint64_t size;
    enum wr_status st = wr_ltx_enc_new(&h, db->lock_offset, collect, out, &enc, e);

    for (size_t i = 0; st == WR_OK && i < n; i++)
        st = wr_ltx_enc_page(enc, pages[i], images + i * db->view.page_size, e);
    if (st == WR_OK)
        st = wr_ltx_enc_finish(enc, &trailer, &size, e);
    wr_ltx_enc_free(enc);
    return st;
}

/* What `a` says becomes what the database is. */
static enum wr_status move_on(struct wr_db *db, struct db_air *a, const uint32_t *pages, size_t n,
    uint8_t *images, struct wr_err *e)
{
    uint32_t size = db->view.page_size, commit = db->view.commit;
    enum wr_status st = WR_OK;

    for (uint32_t p = commit + 1; p <= a->commit; p++)
        a->rolling = wr_ltx_rolling(a->rolling, sum_of(db, a, p), 0);
    a->commit = wr_min(a->commit, commit);
    for (size_t i = 0; st == WR_OK && i < n; i++) {
        uint8_t *image = images + i * size;
        uint64_t sum;

        st = wr_view_page(&db->view, pages[i], image, e);
        if (st != WR_OK)
            break;
        sum = wr_ltx_page_checksum(pages[i], image, size);
        a->rolling = wr_ltx_rolling(a->rolling, sum_of(db, a, pages[i]), sum);
        st = put_sum(a, pages[i], sum);
    }
    a->commit = commit;
    a->part++;
    return st;
}

static enum wr_status make_part(struct wr_db *db, struct db_air *a, struct wr_err *e)
{
    uint32_t *pages = NULL;
    uint8_t *images = NULL;
    uint64_t pre = a->rolling;
    size_t n = 0;
    struct wr_buf out;
    enum wr_status st;

    add_growth(db, a);
    if (too_many(db, a))
        return wr_fail(e, WR_LIMIT, "more pages than a part may have");
    st = wr_db_list_pages(db, &a->fresh, &pages, &n, e);
    if (st != WR_OK)
        return st;
    wr_buf_init(&out, 2 * PART_BYTES + (size_t)1024);
    images = wr_array(wr_max(n, (size_t)1), db->view.page_size);
    if (!images)
        st = wr_fail(e, WR_NOMEM, "pages of a part");
    if (st == WR_OK)
        st = move_on(db, a, pages, n, images, e);
    if (st == WR_OK)
        st = encode(db, a, pages, n, images, pre, &out, e);
    if (st == WR_OK)
        st = wr_feed_part(a->feed, a->part, wr_buf_bytes(&out), e);
    wr_buf_release(&out);
    wr_free(images);
    wr_free(pages);
    return st;
}

void wr_db_air_part(struct wr_db *db)
{
    struct db_air *a = db->air;
    struct wr_err e = {0};

    if (!a || !a->on || a->full || wr_pageset_empty(&a->fresh))
        return;
    assert(a->txid == db->txid);
    if (wr_db_behind(db) && !too_many(db, a))
        return;
    if (make_part(db, a, &e) == WR_OK) {
        wr_pageset_clear(&a->fresh);
        return;
    }
    a->full = true; /* what it says of the state may be half of the truth */
    wr_feed_more(a->feed);
    wr_log(DB_LOG(db), WR_DEBUG, "followers wait for the next transaction", DB_NAME(db),
        WR_F_Z("reason", e.text));
}

void wr_db_air_file(struct wr_db *db, const struct wr_parcel *p)
{
    struct db_air *a = db->air;
    const struct wr_ltx_header *h = &p->header;
    struct wr_bytes body = {0};
    struct wr_err e = {0};
    uint32_t same = 0;

    if (!a || !a->on || h->min_txid != a->txid + 1)
        return;
    if (!a->full && wr_pageset_empty(&a->fresh) && a->rolling == h->rolling_post)
        same = a->part;
    if (!wr_parcel_large(p))
        body = wr_buf_bytes(&p->bytes);
    if (wr_feed_file(a->feed, h->max_txid, h->time_ms, h->rolling_post, same, body, &e) != WR_OK)
        wr_log(DB_LOG(db), WR_DEBUG, "followers are sent to the bucket", DB_NAME(db),
            WR_F_Z("reason", e.text));
    a->given = h->max_txid;
}

void wr_db_air_closed(struct wr_db *db)
{
    const struct wr_ledger_state now = wr_ledger_state(db->ledger);
    struct db_air *a = db->air;

    if (!a || !a->on)
        return;
    if (a->given != db->txid)
        wr_feed_gap(a->feed, db->txid);
    restart(a);
    a->txid = db->txid;
    a->commit = now.commit;
    a->rolling = now.rolling;
}
