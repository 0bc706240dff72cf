/*
 * local_drop.c - pages leave a local copy, when they have changed or what is there does not count.
 *
 * A page is dropped by its word, for readers, and by its record, for the next process. Records are
 * erased some KiB at a time: one that lies between two of them is written as it is.
 */
#include "vfs/local.h"

#include "base/call.h"
#include "base/file.h"
#include "base/mem.h"
#include "vfs/local_int.h"
#include "vfs/pagemap.h"

#define BLOCK WR_LOCAL_BLOCK
#define FAN   WR_LOCAL_FAN
#define GAP   256u /* records that are written again rather than to write twice */

/* ---- some at once ---- */

enum wr_status wr_local_drops_init(
    struct wr_local_drops *d, struct wr_local *l, const struct wr_call *c, struct wr_err *e)
{
    *d = (struct wr_local_drops){.l = l, .call = c};
    if (l->meta)
        d->records = wr_array(BLOCK, WR_LOCAL_RECORD);
    return l->meta && !d->records ? wr_fail(e, WR_NOMEM, "local copy: out of memory") : WR_OK;
}

void wr_local_drops_release(struct wr_local_drops *d)
{
    wr_free(d->records);
}

static bool is_marked(const struct wr_local_drops *d, uint32_t i)
{
    return d->marks[i / 64] >> i % 64 & 1;
}

/* Erase the records of those that are marked from the `from`th of the block to the `to`th. */
static enum wr_status erase(
    const struct wr_local_drops *d, uint32_t from, uint32_t to, bool all, struct wr_err *e)
{
    uint64_t off = wr_local_record_off(d->block * BLOCK + from + 1);
    size_t n = (size_t)(to - from + 1) * WR_LOCAL_RECORD, got = 0;
    enum wr_status st = WR_OK;

    memset(d->records, 0, n);
    if (!all)
        st = wr_file_pread(d->l->meta, d->records, n, off, &got, e);
    for (uint32_t i = from; i <= to && !all; i++) {
        if (is_marked(d, i))
            memset(d->records + (size_t)(i - from) * WR_LOCAL_RECORD, 0, WR_LOCAL_RECORD);
    }
    return st == WR_OK ? wr_file_pwrite(d->l->meta, d->records, n, off, e) : st;
}

enum wr_status wr_local_drop_all(struct wr_local_drops *d, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    uint32_t i = 0;

    if (d->n == 0)
        return WR_OK;
    st = wr_call_check(d->call, "drop pages of a local copy", e);
    while (st == WR_OK && d->n > 0 && i < BLOCK) {
        uint32_t from = i, to = i, n = 1;

        if (!is_marked(d, i++))
            continue;
        for (; i < BLOCK && i - to <= GAP; i++) {
            if (is_marked(d, i)) {
                to = i;
                n++;
            }
        }
        for (uint32_t k = from; k <= to; k++) {
            if (is_marked(d, k))
                wr_local_forget(d->l, d->block * BLOCK + k + 1);
        }
        if (d->l->meta)
            st = erase(d, from, to, n == to - from + 1, e);
        i = to + 1;
        d->n -= n;
    }
    memset(d->marks, 0, sizeof(d->marks));
    d->n = 0;
    return st;
}

enum wr_status wr_local_drop(struct wr_local_drops *d, uint32_t pgno, struct wr_err *e)
{
    uint32_t block = (pgno - 1) / BLOCK, i = (pgno - 1) % BLOCK;
    enum wr_status st = d->n > 0 && block != d->block ? wr_local_drop_all(d, e) : WR_OK;

    assert(st != WR_OK || !is_marked(d, i));
    if (st != WR_OK)
        return st;
    d->block = block;
    d->marks[i / 64] |= UINT64_C(1) << i % 64;
    d->n++;
    return WR_OK;
}

/* ---- going on to a newer state ---- */

/* What was cut off may have been there again, and another page, in transactions of which only a
 * merge is left, which has nothing of what was cut off at its end. */
static enum wr_status drop_beyond(struct wr_local_drops *d, uint32_t commit, struct wr_err *e)
{
    struct wr_local *l = d->l;
    enum wr_status st = WR_OK;

    for (uint32_t i = commit / BLOCK; i < FAN * FAN && st == WR_OK; i++) {
        const struct wr_local_block *b;

        if (!atomic_load(&l->fan[i / FAN])) {
            i |= FAN - 1;
            continue;
        }
        b = wr_local_find_block(l, i);
        for (uint32_t k = 0; b && atomic_load(&b->n) > 0 && k < BLOCK && st == WR_OK; k++) {
            if (atomic_load(&b->since[k]) && i * BLOCK + k >= commit)
                st = wr_local_drop(d, i * BLOCK + k + 1, e);
        }
    }
    return st == WR_OK ? wr_local_drop_all(d, e) : st;
}

static enum wr_status drop_changed(
    struct wr_local_drops *d, const struct wr_pagemap *m, struct wr_err *e)
{
    uint64_t base = atomic_load(&d->l->txid), end = wr_pagemap_about(m)->txid, max;
    struct wr_pagemap_walk walk;
    uint32_t pgno;
    enum wr_status st = WR_OK;

    wr_pagemap_walk(m, base, &walk);
    while (st == WR_OK && wr_pagemap_walk_next(&walk, &pgno, &max)) {
        uint64_t since = wr_local_since(d->l, pgno);

        if (since && (since > end || max > wr_max(since, base)))
            st = wr_local_drop(d, pgno, e);
    }
    return st == WR_OK ? wr_local_drop_all(d, e) : st;
}

enum wr_status wr_local_move(
    struct wr_local *l, const struct wr_call *c, const struct wr_pagemap *m, struct wr_err *e)
{
    const struct wr_pagemap_about *about = wr_pagemap_about(m);
    struct wr_local_drops drops;
    enum wr_status st;

    assert(about->txid >= atomic_load(&l->txid) && (l->last == 0 || l->next > l->last));
    st = wr_local_drops_init(&drops, l, c, e);
    if (st == WR_OK)
        st = drop_beyond(&drops, about->commit, e);
    if (st == WR_OK)
        st = drop_changed(&drops, m, e);
    wr_local_drops_release(&drops);
    if (st == WR_OK)
        wr_local_set_base(l, about);
    return st;
}
