/*
 * cells.h - what is in the cells of b-tree pages (https://sqlite.org/fileformat.html#b_tree_pages).
 *
 * Pure. A page may be damaged, or be none of a b-tree: then something is said of it that need not
 * be true, or nothing; never is anything read that is not of the page.
 */
#ifndef WR_VFS_CELLS_H
#define WR_VFS_CELLS_H

#include "base/base.h"

enum wr_cells_kind {
    WR_CELLS_INDEX = 2, /* interior */
    WR_CELLS_TABLE = 5, /* interior */
    WR_CELLS_INDEX_LEAF = 10,
    WR_CELLS_TABLE_LEAF = 13,
};

struct wr_cells {
    const uint8_t *page;
    uint32_t page_size;
    uint32_t usable;   /* bytes, without those that are reserved at its end */
    uint32_t pointers; /* where those to the cells are */
    uint32_t n;        /* cells */
    enum wr_cells_kind kind;
    uint32_t rightmost; /* of an interior page: the page behind all cells */
};

/* `reserved`: byte 20 of page 1. False: it is no page of a b-tree. `page` outlives *c. */
bool wr_cells_init(
    struct wr_cells *c, uint32_t pgno, const uint8_t *page, uint32_t page_size, uint32_t reserved);

/* Of the cell `i` of an index: the rowid, which is the last column of an index of a table that has
 * them. False: the column is none, or is not on this page. */
bool wr_cells_rowid(const struct wr_cells *c, uint32_t i, int64_t *ret);

/* The page below an interior page of a table where `rowid` is, and the last rowid that is there
 * too; INT64_MAX for the rightmost. False: the page is damaged. */
bool wr_cells_below(const struct wr_cells *c, int64_t rowid, uint32_t *ret_pgno, int64_t *ret_last);

/* The page below an interior page, `i` from 0 to n. False: the page is damaged. */
bool wr_cells_child(const struct wr_cells *c, uint32_t i, uint32_t *ret_pgno);

/* A row of sqlite_schema. */
struct wr_cells_schema {
    bool is_table, is_index;
    uint64_t table; /* that it is, or is of: a hash of the name */
    uint32_t root;  /* page */
};
/* Of the cell `i` of a leaf of that table. False: it is none, or is not all on this page. */
bool wr_cells_schema(const struct wr_cells *c, uint32_t i, struct wr_cells_schema *ret);

#endif
