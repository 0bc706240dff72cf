/*
 * tree.h - what a reader goes on to: the pages below the interior pages of b-trees that it has seen
 * (https://sqlite.org/fileformat.html#b_tree_pages).
 *
 * A query that walks a table or an index reads an interior page, and then the pages below it in the
 * order of their keys, wherever these are in the database. SQLite keeps the interior page, so it is
 * seen once.
 *
 * owned: by the reader. Nothing that it says need be true: it is about what may be wanted.
 */
#ifndef WR_VFS_TREE_H
#define WR_VFS_TREE_H

#include "base/base.h"

#define WR_TREE_NODES  6   /* interior pages that are kept in mind */
#define WR_TREE_WINDOW 256 /* the most pages that are foreseen */

/* = {0}: nothing was seen. */
struct wr_tree {
    struct wr_tree_node {
        uint32_t pgno;   /* 0: none */
        uint32_t *child; /* in the order of keys */
        size_t n, at;    /* how many; behind the one that was wanted, and those foreseen, last */
        uint32_t window; /* pages that were foreseen last */
        uint64_t used;
    } node[WR_TREE_NODES];
    uint64_t clock;
    uint32_t carry; /* the window of a node that was walked to its end, for the one that follows */
};

void wr_tree_release(struct wr_tree *t);

/* The reader sees this page; does nothing for any but a new interior page. Without memory it is not
 * kept in mind. */
void wr_tree_see(struct wr_tree *t, uint32_t pgno, const uint8_t *page, uint32_t page_size);

/* It wants page `pgno`, which must be fetched: *ret_n pages from there on, `pgno` the first, that
 * it will want next, as far as can be seen; valid until the next call. NULL: nothing is known of
 * this page. */
const uint32_t *wr_tree_want(struct wr_tree *t, uint32_t pgno, size_t *ret_n);

/* It reads page `pgno`, which need not be fetched: if that is the next one, the walk goes on behind
 * it, so that among pages that are here those that are not are foreseen, too. */
void wr_tree_pass(struct wr_tree *t, uint32_t pgno);

#endif
