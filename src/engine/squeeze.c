/*
 * squeeze.c - see squeeze.h.
 */
#include "engine/squeeze.h"

#include "base/bytes.h"
#include "engine/pageset.h"

struct squeeze {
    const struct wr_journal_rec *now;
    struct wr_journal_rec first, last; /* of the closes that follow one another; seq 0: none */
    struct wr_pageset closed, noted;
    uint32_t n_noted; /* records in noted */
};

static enum wr_status take(
    void *arg, const struct wr_journal_rec *r, struct wr_bytes entries, struct wr_err *e)
{
    struct squeeze *s = arg;
    bool close = r->kind == WR_JOURNAL_CLOSE;
    struct wr_pageset *into = close ? &s->closed : &s->noted;

    (void)e;
    if (!close && (r->txid != s->now->txid || r->rolling != s->now->rolling))
        return WR_OK; /* taken in by a later close */
    if (close) {
        /* After a power cut the journal may hold closes that never reached the ledger. Where one
         * does not begin at the end of the one before it, a branch has ended that leads nowhere. */
        if (s->first.seq == 0 || r->txid_before != s->last.txid ||
            r->rolling_before != s->last.rolling) {
            s->first = *r;
            wr_pageset_clear(&s->closed);
        }
        s->last = *r;
        wr_pageset_clear(&s->noted); /* what was noted before it is taken in by it */
        s->n_noted = 0;
    } else {
        s->n_noted++;
    }
    wr_journal_pages(r, entries, into);
    return WR_OK;
}

/* One record with the set's pages; the old checksums of a squeezed close are never asked for. */
static enum wr_status append(struct wr_journal *j, struct wr_journal_rec *rec,
    const struct wr_pageset *set, struct wr_err *e)
{
    struct wr_buf b;
    enum wr_status st;

    wr_buf_init(&b, WR_PAGESET_MAX * 12);
    rec->n = 0;
    for (size_t i = 0; i < set->map.cap; i++) {
        uint8_t entry[12] = {0};

        if (set->map.keys[i] == 0)
            continue;
        wr_put_le32(entry, set->map.keys[i]);
        wr_buf_put(&b, entry, wr_journal_entry(rec->kind));
        rec->n++;
    }
    st = wr_buf_status(&b);
    st = st == WR_OK ? wr_journal_append(j, rec, wr_buf_bytes(&b), e)
                     : wr_fail(e, st, "shorten the journal");
    wr_buf_release(&b);
    return st;
}

enum wr_status wr_journal_squeeze(
    struct wr_journal *j, const struct wr_journal_rec *now, uint32_t *notes, struct wr_err *e)
{
    struct squeeze s = {.now = now};
    enum wr_status st;

    wr_pageset_init(&s.closed);
    wr_pageset_init(&s.noted);
    st = wr_journal_each(j, take, &s, e);
    if (st == WR_OK)
        st = wr_journal_clear(j, e);
    if (st == WR_OK && s.first.seq > 0 && !s.closed.all && s.last.txid == now->txid &&
        s.last.rolling == now->rolling) {
        /* With the last close's position: now's is that of the notes, which may get lost here. */
        struct wr_journal_rec rec = s.last;

        rec.txid_before = s.first.txid_before;
        rec.rolling_before = s.first.rolling_before;
        rec.commit_before = s.first.commit_before;
        st = append(j, &rec, &s.closed, e);
    }
    if (st == WR_OK && s.n_noted > 0 && s.n_noted == *notes && !s.noted.all) {
        struct wr_journal_rec rec = *now;

        rec.kind = WR_JOURNAL_CAPTURE;
        rec.txid_before = now->txid;
        rec.rolling_before = now->rolling;
        rec.commit_before = *notes = 1; /* the first note stands alone */
        st = append(j, &rec, &s.noted, e);
    }
    wr_pageset_release(&s.closed);
    wr_pageset_release(&s.noted);
    return st;
}
