/*
 * entries.h - the entries of a leaf of an index, and the pages of the table that have their rows.
 *
 * owned. Damaged pages lead to nothing, or to wrong pages, within the same bounds.
 */
#ifndef WR_VFS_ENTRIES_H
#define WR_VFS_ENTRIES_H

#include "base/base.h"

#define WR_ENTRIES_LOOKS 2048 /* pages that are looked at with one call, at most */

struct wr_nearby;

struct wr_entries_row {
    uint32_t page; /* that has the row, or an interior page above that; 0: not known */
    bool found;    /* it is the former */
};

struct wr_entries_id {
    int64_t rowid;
    uint32_t at; /* its row */
};

/* = {0}: none. */
struct wr_entries {
    struct wr_entries_row *row; /* in the order of the index */
    struct wr_entries_id *id;   /* ascending */
    uint32_t n;
};

/* A page as it was read. */
struct wr_entries_page {
    uint32_t pgno;
    const uint8_t *page;
    uint32_t page_size;
    uint32_t reserved; /* bytes at its end */
};

/* What an interior page of an index tells of a leaf below it: the leaves before and behind that (0:
 * none, or below another page), and the entries in between, which are on the interior page. */
struct wr_entries_beside {
    uint32_t leaf[2];
    bool has[2];
    int64_t rowid[2];
};

/* False: `above` is not right above the leaf. */
bool wr_entries_beside(
    const struct wr_entries_page *above, uint32_t leaf, struct wr_entries_beside *ret);

/* The entries of a leaf, and those beside it. False: the page is no leaf of an index of a table
 * with rowids, or there is no memory. Then, and else before another call, *x is to be released. */
bool wr_entries_read(struct wr_entries *x, const struct wr_entries_page *leaf,
    const struct wr_entries_beside *beside);
void wr_entries_release(struct wr_entries *x);

/* All rows are in the table with this root page, wherever there. */
void wr_entries_in(struct wr_entries *x, uint32_t root);

/* Go down from where the rows are as far as is known, by the pages that are nearby. Whether
 * that was through, or as far as, one of the pages `a` and `b`. */
bool wr_entries_descend(struct wr_entries *x, const struct wr_nearby *near, uint32_t a, uint32_t b);

/* The entry nearest to those from `low` up to below `high` whose row is on this page, or below it,
 * as far as is known; `back`: rather before than behind them. */
bool wr_entries_find(const struct wr_entries *x, uint32_t pgno, uint32_t low, uint32_t high,
    bool back, uint32_t *ret);

/* An entry whose row is on page `a`, the nearest to one whose row is on page `b`. */
bool wr_entries_near(const struct wr_entries *x, uint32_t a, uint32_t b, uint32_t *ret);

#endif
