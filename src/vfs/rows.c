/*
 * rows.c - see rows.h.
 */
#include "vfs/rows.h"

#include "base/mem.h"
#include "vfs/cells.h"
#include "vfs/nearby.h"
#include "vfs/pagemap.h"
#include "vfs/schema.h"

#define SKIP_MAX    8  /* entries that a reader leaves out and is still on its way */
#define ASKED_MAX   16 /* pages that are waited for, where looking for the table was in vain */
#define REST_MAX    64
#define LOOK_MAX    1024 /* entries that are looked at for those whose pages are not here */
#define DB_HEADER   100  /* on page 1, before that of the b-tree */
#define AT_RESERVED 20

static void forget(struct wr_rows *r, struct wr_rows_leaf *l)
{
    wr_free(l->ahead);
    wr_entries_release(&l->entries);
    *l = (struct wr_rows_leaf){.pgno = 0};
    if (r->last == l)
        r->last = NULL;
}

void wr_rows_release(struct wr_rows *r)
{
    for (size_t i = 0; i < WR_ROWS_LEAVES; i++)
        forget(r, &r->leaf[i]);
    wr_free(r->tables);
    *r = (struct wr_rows){0};
}

/* ---- what is read ---- */

/* A page that was foreseen, perhaps, is read. */
static bool take(struct wr_rows_leaf *l, uint32_t pgno)
{
    for (uint32_t i = 0; i < l->ahead_n; i++) {
        if (l->ahead[i] == pgno) {
            l->ahead[i] = l->ahead[--l->ahead_n];
            return true;
        }
    }
    return false;
}

static struct wr_rows_leaf *place_for(struct wr_rows *r, uint32_t pgno)
{
    struct wr_rows_leaf *l = &r->leaf[0];

    for (size_t i = 0; i < WR_ROWS_LEAVES; i++) {
        if (r->leaf[i].pgno == pgno)
            return &r->leaf[i];
        if (r->leaf[i].used < l->used)
            l = &r->leaf[i];
    }
    return l;
}

/* Another leaf. Where the last one was gone through to its end, it is the next of the same index,
 * most likely, and the reader goes on. */
static void add_leaf(struct wr_rows *r, uint32_t pgno)
{
    const struct wr_rows_leaf *last = r->last;
    struct wr_rows_leaf is = {.pgno = pgno, .used = ++r->clock};
    struct wr_rows_leaf *l = place_for(r, pgno);

    if (last && (last->back ? last->low <= SKIP_MAX : last->high + SKIP_MAX >= last->entries.n)) {
        is.guess = last->table;
        is.window = last->window;
        is.back = last->back;
        r->last = NULL;
    }
    forget(r, l);
    *l = is;
}

static void add_above(struct wr_rows *r, uint32_t pgno)
{
    size_t i = 0;

    while (i + 1 < WR_ROWS_ABOVE && r->above[i] != pgno)
        i++;
    memmove(r->above + 1, r->above, i * sizeof(r->above[0]));
    r->above[0] = pgno;
}

void wr_rows_see(struct wr_rows *r, uint32_t pgno, const uint8_t *page)
{
    uint8_t kind = page[pgno == 1 ? DB_HEADER : 0];

    if (pgno == 1) { /* another state of the database: SQLite reads all its pages again */
        wr_rows_release(r);
        r->reserved = page[AT_RESERVED];
    }
    for (size_t i = 0; i < WR_ROWS_LEAVES; i++) {
        struct wr_rows_leaf *l = &r->leaf[i];

        (void)take(l, pgno);
        if (l->first == pgno && (kind == WR_CELLS_INDEX_LEAF || kind == WR_CELLS_INDEX))
            l->first = 0; /* it was no row's */
    }
    if (kind == WR_CELLS_INDEX_LEAF)
        add_leaf(r, pgno);
    else if (kind == WR_CELLS_INDEX)
        add_above(r, pgno);
}

/* ---- which table it is ---- */

struct asking {
    struct wr_rows *r;
    const struct wr_nearby *near;
    uint32_t pgno;
};

static bool is_here(const struct asking *x, uint32_t pgno)
{
    struct wr_spot s;

    return !wr_pagemap_find(x->near->m, pgno, &s) || wr_nearby_has(x->near, pgno, &s);
}

static bool leads(const struct asking *x, struct wr_rows_leaf *l, uint32_t table)
{
    wr_entries_in(&l->entries, table);
    if (!wr_entries_descend(&l->entries, x->near, x->pgno, l->first ? l->first : x->pgno))
        return false;
    l->table = table;
    return true;
}

/* The leaf, and what is above it, are nearby, as they were read not long ago. */
static bool read_entries(const struct asking *x, struct wr_rows_leaf *l)
{
    uint32_t page_size = wr_pagemap_about(x->near->m)->page_size, reserved = x->r->reserved;
    uint8_t *page = wr_alloc(page_size);
    struct wr_entries_page is = {0, page, page_size, reserved};
    struct wr_entries_beside beside = {.leaf = {0}};
    bool ok = false;

    for (size_t i = 0; page && !ok && i < WR_ROWS_ABOVE; i++) {
        is.pgno = x->r->above[i];
        ok = is.pgno && wr_nearby_page(x->near, is.pgno, page) &&
             wr_entries_beside(&is, l->pgno, &beside);
    }
    memcpy(l->beside, beside.leaf, sizeof(l->beside));
    is.pgno = l->pgno;
    ok = page && wr_nearby_page(x->near, is.pgno, page) &&
         wr_entries_read(&l->entries, &is, &beside);
    l->ahead = ok ? wr_array(WR_ROWS_WINDOW, sizeof(l->ahead[0])) : NULL;
    wr_free(page);
    if (!l->ahead)
        forget(x->r, l);
    return l->ahead != NULL;
}

static void list_tables(const struct asking *x)
{
    struct wr_rows *r = x->r;

    if (r->tables)
        return;
    r->tables = wr_array(WR_SCHEMA_TABLES, sizeof(r->tables[0]));
    r->n_tables = r->tables ? wr_schema_tables(x->near, r->tables) : 0;
}

/* By the page that is wanted now, or the first one that was. The one that is found goes to the
 * front. */
static bool find_table(const struct asking *x, struct wr_rows_leaf *l)
{
    struct wr_rows *r = x->r;

    list_tables(x);
    for (size_t i = 0; i < r->n_tables; i++) {
        uint32_t root = r->tables[i];

        if ((root != x->pgno && !is_here(x, root)) || !leads(x, l, root))
            continue;
        memmove(r->tables + 1, r->tables, i * sizeof(r->tables[0]));
        r->tables[0] = root;
        return true;
    }
    return false;
}

/* Where the reader is, if the first page and the one that is wanted now are those of two entries.
 */
static void begin_at(struct wr_rows_leaf *l, uint32_t pgno)
{
    uint32_t at = 0;

    if (!wr_entries_near(&l->entries, l->first, pgno, &at))
        return;
    l->low = at;
    l->high = at + 1;
    l->window = 1;
}

/* Whether the table is known, by now. */
static bool identify(const struct asking *x, struct wr_rows_leaf *l)
{
    struct wr_rows *r = x->r;

    if (l->guess) {
        if (!read_entries(x, l))
            return false;
        l->low = l->high = l->back ? l->entries.n : 0;
        if (leads(x, l, l->guess))
            return true;
        l->guess = l->window = 0;
        l->back = false;
    }
    if (!l->first)
        l->first = x->pgno;
    if (++l->asked < 2 + wr_min(r->vain / 4, (uint32_t)ASKED_MAX) ||
        (l->entries.n == 0 && !read_entries(x, l)))
        return false;
    r->vain++;
    if (!find_table(x, l)) {
        forget(r, l);
        return false;
    }
    begin_at(l, x->pgno);
    return true;
}

/* ---- what comes next ---- */

/* The page that is wanted is that of the entry `at`: how many may be foreseen with it. */
static void aim(struct wr_rows_leaf *l, uint32_t at, uint32_t pgno)
{
    bool lost = take(l, pgno); /* it was foreseen, and has gone since: the cache is too small */
    uint32_t past = at >= l->high ? at - l->high : at < l->low ? l->low - 1 - at : 0;
    bool unread = 2 * l->ahead_n > l->given, used = l->given > 0 && !unread;

    if (lost) {
        l->window /= 4;
    } else if (at >= l->low && at < l->high && (at == l->at || !used)) {
        /* The page below one that was foreseen. */
    } else if (past > SKIP_MAX && !used) {
        l->window = 1;
    } else if (unread) {
        l->window /= 2;
    } else {
        l->window = wr_min(2 * l->window, (uint32_t)WR_ROWS_WINDOW);
        l->back = at < l->low || (l->back && at < l->high);
    }
    l->at = at;
    l->window = wr_max(l->window, 1u);
}

static bool is_among(const uint32_t *pages, size_t n, uint32_t pgno)
{
    for (size_t i = 0; i < n; i++) {
        if (pages[i] == pgno)
            return true;
    }
    return false;
}

/* The pages of the entries from `at` on, after the one that is wanted. */
static size_t gather(const struct asking *x, struct wr_rows_leaf *l, uint32_t at, uint32_t *out)
{
    uint32_t n = 1, to = at, step = l->back ? UINT32_MAX : 1; /* below 0 is beyond the end, too */

    out[0] = x->pgno;
    for (int i = 0; to < l->entries.n && i < LOOK_MAX; i++, to += step) {
        uint32_t pgno = l->entries.row[to].page;

        if (!pgno || is_among(out, n, pgno) || is_here(x, pgno))
            continue;
        if (n >= l->window)
            break;
        out[n++] = pgno;
    }
    if (to >= l->entries.n && n < l->window && l->beside[!l->back] &&
        !is_here(x, l->beside[!l->back]))
        out[n++] = l->beside[!l->back];
    l->low = l->back ? to + 1 : at;
    l->high = l->back ? at + 1 : to;
    memcpy(l->ahead, out + 1, (n - 1) * sizeof(out[0]));
    l->given = l->ahead_n = n - 1;
    return n;
}

/* It is below no entry, as far as is known, which may be not far enough. */
static bool look_deeper(const struct asking *x, struct wr_rows_leaf *l, uint32_t *ret_at)
{
    if (l->rest > 0) {
        l->rest--;
        return false;
    }
    (void)wr_entries_descend(&l->entries, x->near, 0, 0);
    if (wr_entries_find(&l->entries, x->pgno, l->low, l->high, l->back, ret_at))
        return true;
    l->fails++;
    l->rest = l->fails < 7 ? (1u << l->fails) - 1 : REST_MAX;
    return false;
}

static size_t ask(const struct asking *x, struct wr_rows_leaf *l, uint32_t *out)
{
    uint32_t at = 0;

    if (!l->pgno || (!l->table && !identify(x, l)))
        return 0;
    if (!wr_entries_find(&l->entries, x->pgno, l->low, l->high, l->back, &at) &&
        !look_deeper(x, l, &at))
        return 0;
    l->used = ++x->r->clock;
    l->fails = l->rest = 0;
    x->r->last = l;
    x->r->vain = 0;
    aim(l, at, x->pgno);
    if (l->window > 1)
        (void)wr_entries_descend(&l->entries, x->near, 0, 0);
    return gather(x, l, at, out);
}

size_t wr_rows_want(struct wr_rows *r, const struct wr_nearby *near, uint32_t pgno, uint32_t *out)
{
    const struct asking x = {.r = r, .near = near, .pgno = pgno};
    uint64_t below = UINT64_MAX;

    /* The one that was of use last comes first. */
    for (size_t i = 0; i < WR_ROWS_LEAVES; i++) {
        struct wr_rows_leaf *l = NULL;
        size_t n;

        for (size_t k = 0; k < WR_ROWS_LEAVES; k++) {
            struct wr_rows_leaf *y = &r->leaf[k];

            if (y->used < below && (!l || y->used > l->used))
                l = y;
        }
        if (!l)
            break;
        below = l->used;
        n = ask(&x, l, out);
        if (n > 0)
            return n;
    }
    return 0;
}
