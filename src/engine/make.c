/*
 * make.c - one LTX file of pages of the live database as of the last closed TXID: encoded at once,
 * or read while it is sent.
 */
#include "engine/primary_int.h"

#include "base/mem.h"
#include "engine/frozen.h"

/* Of these pages; NULL: of all. */
static uint64_t ledger_sum(const struct wr_db *db, const uint32_t *pages, size_t n)
{
    return pages ? wr_db_ledger_sum(db, pages, n) : wr_ledger_state(db->ledger).rolling;
}

/* The pages will be read from the live database while they are sent. Takes *pages over. */
static enum wr_status make_streamed(
    struct wr_db *db, struct wr_parcel *p, uint32_t **pages, size_t n, struct wr_err *e)
{
    struct wr_frozen *frozen = NULL;
    enum wr_status st = wr_frozen_new(db->fs, db->outbox, &db->view, &frozen, e);

    if (st != WR_OK)
        return st;
    wr_parcel_stream(p, frozen, *pages, n, ledger_sum(db, *pages, n));
    *pages = NULL;
    if (db->parcel_room) /* to pack and send it takes the most memory that a database ever does */
        wr_parcel_room_rest(db->parcel_room);
    return WR_OK;
}

static bool is_large(const struct wr_db *db, const struct wr_pageset *set)
{
    uint64_t n = set->all ? db->view.commit : set->map.n;

    return n * db->view.page_size > db->inline_bytes;
}

enum wr_status wr_db_make(struct wr_db *db, const struct wr_ltx_header *h, unsigned level,
    const struct wr_pageset *set, struct wr_parcel **ret, struct wr_err *e)
{
    struct wr_parcel *p = NULL;
    uint32_t *pages = NULL;
    size_t n = 0;
    bool large = is_large(db, set);
    enum wr_status st = wr_parcel_new(db->fs, h, level, db->lock_offset, &p, e);

    if (st == WR_OK)
        wr_parcel_use(p, db->parcel_room);
    if (st == WR_OK && !(large && set->all))
        st = wr_db_list_pages(db, set, &pages, &n, e);
    if (st == WR_OK && large) {
        st = make_streamed(db, p, &pages, n, e);
    } else if (st == WR_OK) {
        wr_parcel_expect(p, ledger_sum(db, pages, n));
        st = wr_parcel_fill(p, &db->view, pages, n, db->outbox, e);
        if (st == WR_LIMIT) /* the outbox is full: read the pages while they are sent */
            st = make_streamed(db, p, &pages, n, e);
    }
    wr_free(pages);
    if (st == WR_OK)
        *ret = p;
    else
        wr_parcel_unref(p);
    return st;
}
