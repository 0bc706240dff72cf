/*
 * entries.c - see entries.h.
 */
#include "vfs/entries.h"

#include "base/mem.h"
#include "vfs/cells.h"
#include "vfs/nearby.h"
#include "vfs/pagemap.h"

#define DEPTH_MAX 20 /* of SQLite's b-trees */
#define ENTRY_MIN 6  /* bytes that one takes */
#define TURN      8  /* how much nearer an entry is that is on the reader's way */

static int by_rowid(const void *a, const void *b)
{
    const struct wr_entries_id *x = a, *y = b;

    return x->rowid < y->rowid ? -1 : x->rowid > y->rowid;
}

bool wr_entries_beside(
    const struct wr_entries_page *above, uint32_t leaf, struct wr_entries_beside *ret)
{
    struct wr_cells c;
    uint32_t pgno = 0, i = 0;

    *ret = (struct wr_entries_beside){.leaf = {0}};
    if (!wr_cells_init(&c, above->pgno, above->page, above->page_size, above->reserved) ||
        c.kind != WR_CELLS_INDEX)
        return false;
    while (i <= c.n && (!wr_cells_child(&c, i, &pgno) || pgno != leaf))
        i++;
    if (i > c.n)
        return false;
    if (i > 0) {
        ret->has[0] = wr_cells_rowid(&c, i - 1, &ret->rowid[0]);
        if (!wr_cells_child(&c, i - 1, &ret->leaf[0]))
            ret->leaf[0] = 0;
    }
    if (i < c.n) {
        ret->has[1] = wr_cells_rowid(&c, i, &ret->rowid[1]);
        if (!wr_cells_child(&c, i + 1, &ret->leaf[1]))
            ret->leaf[1] = 0;
    }
    return true;
}

static void add(struct wr_entries *x, int64_t rowid)
{
    x->id[x->n] = (struct wr_entries_id){.rowid = rowid, .at = x->n};
    x->n++;
}

bool wr_entries_read(struct wr_entries *x, const struct wr_entries_page *leaf,
    const struct wr_entries_beside *beside)
{
    struct wr_cells c;
    int64_t rowid;

    if (!wr_cells_init(&c, leaf->pgno, leaf->page, leaf->page_size, leaf->reserved) ||
        c.kind != WR_CELLS_INDEX_LEAF || c.n > leaf->page_size / ENTRY_MIN)
        return false;
    x->row = wr_array((size_t)c.n + 2, sizeof(*x->row));
    x->id = wr_array((size_t)c.n + 2, sizeof(*x->id));
    if (!x->row || !x->id)
        return false;
    if (beside->has[0])
        add(x, beside->rowid[0]);
    for (uint32_t i = 0; i < c.n; i++) {
        if (wr_cells_rowid(&c, i, &rowid))
            add(x, rowid);
    }
    if (beside->has[1])
        add(x, beside->rowid[1]);
    qsort(x->id, x->n, sizeof(x->id[0]), by_rowid);
    return x->n > 0;
}

void wr_entries_release(struct wr_entries *x)
{
    wr_free(x->row);
    wr_free(x->id);
    *x = (struct wr_entries){0};
}

void wr_entries_in(struct wr_entries *x, uint32_t root)
{
    for (uint32_t i = 0; i < x->n; i++)
        x->row[i] = (struct wr_entries_row){.page = root};
}

static struct wr_entries_row *row_of(struct wr_entries *x, uint32_t i)
{
    return &x->row[x->id[i].at];
}

/* Those from `i` on that are below the same page, which is to be looked at. */
static uint32_t together(struct wr_entries *x, uint32_t i)
{
    uint32_t pgno = row_of(x, i)->page, n = i + 1;

    while (n < x->n && !row_of(x, n)->found && row_of(x, n)->page == pgno)
        n++;
    return n;
}

/* Rows from `i` to below `end` are below this page, which is a table's, or they are on it; whether
 * they go further down. */
static bool part(struct wr_entries *x, uint32_t i, uint32_t end, const struct wr_cells *c)
{
    if (c->kind == WR_CELLS_TABLE_LEAF) {
        for (; i < end; i++)
            row_of(x, i)->found = true;
        return false;
    }
    while (i < end) {
        uint32_t pgno = 0;
        int64_t last = INT64_MAX;

        if (!wr_cells_below(c, x->id[i].rowid, &pgno, &last))
            pgno = 0;
        do
            row_of(x, i++)->page = pgno;
        while (i < end && x->id[i].rowid <= last);
    }
    return true;
}

static void lose(struct wr_entries *x, uint32_t i, uint32_t end)
{
    for (; i < end; i++)
        row_of(x, i)->page = 0;
}

bool wr_entries_descend(struct wr_entries *x, const struct wr_nearby *near, uint32_t a, uint32_t b)
{
    uint32_t page_size = wr_pagemap_about(near->m)->page_size, looks = WR_ENTRIES_LOOKS;
    uint8_t *page = wr_alloc(page_size);
    bool met = false, deeper = page != NULL;

    for (int depth = 0; deeper && depth < DEPTH_MAX; depth++) {
        deeper = false;
        for (uint32_t i = 0, end; i < x->n; i = end) {
            uint32_t pgno = row_of(x, i)->page;
            struct wr_cells c;

            end = i + 1;
            if (pgno == 0 || row_of(x, i)->found)
                continue;
            end = together(x, i);
            met = met || pgno == a || pgno == b;
            if (looks == 0 || !wr_nearby_page(near, pgno, page))
                continue;
            looks--;
            if (wr_cells_init(&c, pgno, page, page_size, 0) &&
                (c.kind == WR_CELLS_TABLE || c.kind == WR_CELLS_TABLE_LEAF))
                deeper |= part(x, i, end, &c);
            else
                lose(x, i, end);
        }
    }
    wr_free(page);
    return met;
}

bool wr_entries_find(const struct wr_entries *x, uint32_t pgno, uint32_t low, uint32_t high,
    bool back, uint32_t *ret)
{
    uint64_t best = UINT64_MAX;

    for (uint32_t i = 0; i < x->n; i++) {
        uint64_t before = i < low ? low - i : 0, behind = i >= high ? (uint64_t)i - high + 1 : 0;
        uint64_t far = before * (back ? 1 : TURN) + behind * (back ? TURN : 1);

        if (x->row[i].page == pgno && far < best) {
            best = far;
            *ret = i;
        }
    }
    return best != UINT64_MAX;
}

bool wr_entries_near(const struct wr_entries *x, uint32_t a, uint32_t b, uint32_t *ret)
{
    uint32_t at_a = UINT32_MAX, at_b = UINT32_MAX, best = UINT32_MAX;

    for (uint32_t i = 0; i < x->n; i++) {
        uint32_t far;

        if (x->row[i].page == a)
            at_a = i;
        else if (x->row[i].page == b)
            at_b = i;
        else
            continue;
        far = at_a > at_b ? at_a - at_b : at_b - at_a;
        if (at_a != UINT32_MAX && at_b != UINT32_MAX && far < best) {
            best = far;
            *ret = at_a;
        }
    }
    return best != UINT32_MAX;
}
