/*
 * squeeze.c - see squeeze.h.
 */
#include "engine/squeeze.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "engine/pageset.h"

/* Closes that follow one another, of which one is made. */
struct group {
    struct wr_journal_rec first, last;
    struct wr_pageset pages;
};

struct squeeze {
    const struct wr_journal_rec *now;
    const struct wr_stands *stands;
    struct group groups[WR_STANDS_MAX + 1]; /* each goes on from the one before */
    size_t n;
    struct wr_pageset noted;
    uint32_t n_noted; /* records in noted */
};

static void drop_groups(struct squeeze *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        wr_pageset_release(&s->groups[i].pages);
    s->n -= n;
    memmove(&s->groups[0], &s->groups[n], s->n * sizeof(s->groups[0]));
}

static bool is_stand(const struct wr_stands *x, uint64_t txid)
{
    for (size_t i = 0; i < x->n; i++) {
        if (x->txid[i] == txid)
            return true;
    }
    return false;
}

/* Where the close goes to. */
static struct group *group_of(struct squeeze *s, const struct wr_journal_rec *r)
{
    struct group *last = s->n > 0 ? &s->groups[s->n - 1] : NULL;

    /* After a power cut the journal may hold closes that never reached the ledger. Where one does
     * not begin at the end of the one before it, a branch has ended that leads nowhere. */
    if (last && (r->txid_before != last->last.txid || r->rolling_before != last->last.rolling)) {
        drop_groups(s, s->n);
        last = NULL;
    }
    if (!last || (is_stand(s->stands, r->txid_before) && s->n < wr_countof(s->groups))) {
        last = &s->groups[s->n++];
        last->first = *r;
        wr_pageset_init(&last->pages);
    }
    last->last = *r;
    return last;
}

static enum wr_status take(
    void *arg, const struct wr_journal_rec *r, struct wr_bytes entries, struct wr_err *e)
{
    struct squeeze *s = arg;

    (void)e;
    if (r->kind == WR_JOURNAL_CLOSE) {
        wr_journal_pages(r, entries, &group_of(s, r)->pages);
        wr_pageset_clear(&s->noted); /* what was noted before it is taken in by it */
        s->n_noted = 0;
    } else if (r->txid == s->now->txid && r->rolling == s->now->rolling) {
        wr_journal_pages(r, entries, &s->noted);
        s->n_noted++;
    } /* else it was taken in by a later close */
    return WR_OK;
}

/* Those that nobody needs, or that nothing is known behind: all up to a set that is too large. */
static void drop_needless(struct squeeze *s)
{
    uint64_t least = UINT64_MAX;
    size_t n = 0;

    for (size_t i = 0; i < s->stands->n; i++)
        least = wr_min(least, s->stands->txid[i]);
    for (size_t i = 0; i < s->n; i++) {
        if (s->groups[i].pages.all || (s->stands->n > 0 && s->groups[i].last.txid <= least))
            n = i + 1;
    }
    drop_groups(s, n);
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

/* With the last close's position: now's is that of the notes, which may get lost here. */
static enum wr_status append_groups(struct wr_journal *j, struct squeeze *s, struct wr_err *e)
{
    const struct group *last = s->n > 0 ? &s->groups[s->n - 1] : NULL;
    enum wr_status st = WR_OK;

    if (!last || last->last.txid != s->now->txid || last->last.rolling != s->now->rolling)
        return WR_OK; /* it does not lead to where the ledger is */
    for (size_t i = 0; i < s->n && st == WR_OK; i++) {
        const struct group *g = &s->groups[i];
        struct wr_journal_rec rec = g->last;

        rec.txid_before = g->first.txid_before;
        rec.rolling_before = g->first.rolling_before;
        rec.commit_before = g->first.commit_before;
        st = append(j, &rec, &g->pages, e);
    }
    return st;
}

static enum wr_status append_notes(
    struct wr_journal *j, const struct squeeze *s, uint32_t *notes, struct wr_err *e)
{
    struct wr_journal_rec rec = *s->now;

    if (s->n_noted == 0 || s->n_noted != *notes || s->noted.all)
        return WR_OK;
    rec.kind = WR_JOURNAL_CAPTURE;
    rec.txid_before = rec.txid;
    rec.rolling_before = rec.rolling;
    rec.commit_before = *notes = 1; /* the first note stands alone */
    return append(j, &rec, &s->noted, e);
}

enum wr_status wr_journal_squeeze(struct wr_journal *j, const struct wr_journal_rec *now,
    const struct wr_stands *stands, uint32_t *notes, struct wr_err *e)
{
    struct squeeze *s = wr_alloc(sizeof(*s));
    enum wr_status st;

    if (!s)
        return wr_fail(e, WR_NOMEM, "shorten the journal");
    s->now = now;
    s->stands = stands;
    wr_pageset_init(&s->noted);
    st = wr_journal_each(j, take, s, e);
    drop_needless(s);
    if (st == WR_OK)
        st = wr_journal_clear(j, e);
    if (st == WR_OK)
        st = append_groups(j, s, e);
    if (st == WR_OK)
        st = append_notes(j, s, notes, e);
    wr_pageset_release(&s->noted);
    drop_groups(s, s->n);
    wr_free(s);
    return st;
}
