/*
 * rows.h - what a reader goes on to: the rows that the entries of an index name.
 *
 * A query that goes through an index reads one of its leaves and then, for each entry in turn, the
 * page of the table that has the row: any page at all, but the leaf tells which, as the last column
 * of an entry is the rowid, and the interior pages of the table tell where that is. SQLite keeps
 * the leaf, so it is seen once.
 *
 * Which table it is, is found out by the page that is read: of those that have an index, the one in
 * which an entry of the leaf leads there. That is looked for with the second page that a leaf might
 * have led to, as the first may be all that is wanted, and later where it was in vain before.
 *
 * How much is foreseen doubles while what was foreseen is read, and halves where half of it was
 * not: so of pages that are fetched and not read there are about as many as of those that are, at
 * most.
 *
 * owned: by the reader. Nothing that it says need be true: it is about what may be wanted.
 */
#ifndef WR_VFS_ROWS_H
#define WR_VFS_ROWS_H

#include "base/base.h"
#include "vfs/entries.h"

#define WR_ROWS_LEAVES 4  /* leaves that are kept in mind: a join goes through several by turns */
#define WR_ROWS_ABOVE  4  /* interior pages of indexes that are */
#define WR_ROWS_WINDOW 64 /* the most pages that are foreseen, of which 16 come at a time */

struct wr_nearby;

struct wr_rows_leaf {
    uint32_t pgno; /* 0: none */
    uint64_t used;
    struct wr_entries entries; /* none: they were not looked at */
    uint32_t beside[2];        /* the leaves before and behind it; 0: not known */
    uint32_t table;            /* its root; 0: not known */
    uint32_t guess;            /* that it may be; 0: none */
    uint32_t first;            /* the page that was wanted first, since it was seen; 0: none was */
    uint32_t asked;            /* pages that were, while the table was not known */
    uint32_t at;               /* the entry whose page was wanted last */
    bool placed;               /* it is known which one that is */
    uint32_t low, high;        /* entries that were foreseen last, those below `high` */
    uint32_t window;           /* pages that may be foreseen next */
    bool back;                 /* the reader goes from the last to the first */
    uint32_t *ahead;           /* [WR_ROWS_WINDOW] pages that were foreseen last and not read yet */
    uint32_t ahead_n, given;   /* how many; how many there were */
    uint32_t fails, rest;      /* pages that were not below its entries; that are not looked for */
};

/* = {0}: nothing was seen. */
struct wr_rows {
    struct wr_rows_leaf leaf[WR_ROWS_LEAVES];
    uint32_t above[WR_ROWS_ABOVE]; /* interior pages of indexes, the newest first; 0: none */
    struct wr_rows_leaf *last;     /* that led somewhere; NULL: none, or it is gone */
    uint64_t clock;
    uint32_t *tables; /* roots of those that have an index; NULL: not looked for yet */
    size_t n_tables;
    uint32_t reserved; /* bytes at the end of each page */
    uint32_t vain;     /* leaves whose table was found, or not, and that led nowhere then */
};

void wr_rows_release(struct wr_rows *r);

/* The reader sees this page. */
void wr_rows_see(struct wr_rows *r, uint32_t pgno, const uint8_t *page);

/* It wants page `pgno` of near->m, which must be fetched: how many pages are in `out` (room for
 * WR_ROWS_WINDOW), `pgno` the first, that it will want next, as far as can be seen; 0: nothing is
 * known of this page, or there is no memory. Those that are nearby are not among them. */
size_t wr_rows_want(struct wr_rows *r, const struct wr_nearby *near, uint32_t pgno, uint32_t *out);

#endif
