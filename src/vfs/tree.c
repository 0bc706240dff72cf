/*
 * tree.c - see tree.h.
 */
#include "vfs/tree.h"

#include "base/bytes.h"
#include "base/mem.h"

#define SKIP_MAX 8 /* children that a walk leaves out and is still one */

/* The header of a b-tree page, behind the database's own on page 1. */
#define DB_HEADER      100
#define INTERIOR_INDEX 2
#define INTERIOR_TABLE 5
#define AT_CELLS       3 /* their number */
#define AT_RIGHTMOST   8
#define AT_POINTERS    12

void wr_tree_release(struct wr_tree *t)
{
    for (size_t i = 0; i < WR_TREE_NODES; i++)
        wr_free(t->node[i].child);
    *t = (struct wr_tree){0};
}

static struct wr_tree_node *find_node(struct wr_tree *t, uint32_t pgno)
{
    for (size_t i = 0; i < WR_TREE_NODES; i++) {
        if (t->node[i].pgno == pgno)
            return &t->node[i];
    }
    return NULL;
}

/* The one that was of no use for the longest time. */
static struct wr_tree_node *oldest_node(struct wr_tree *t)
{
    struct wr_tree_node *oldest = &t->node[0];

    for (size_t i = 1; i < WR_TREE_NODES; i++) {
        if (t->node[i].used < oldest->used)
            oldest = &t->node[i];
    }
    return oldest;
}

/* The children of an interior page; false if it is none, or none that SQLite would have made. */
static bool read_children(
    const uint8_t *page, uint32_t page_size, uint32_t header, uint32_t *child, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++) {
        uint32_t cell = wr_be16(page + header + AT_POINTERS + 2 * i);

        if (cell > page_size - 4)
            return false;
        child[i] = wr_be32(page + cell);
    }
    child[n - 1] = wr_be32(page + header + AT_RIGHTMOST);
    return true;
}

void wr_tree_see(struct wr_tree *t, uint32_t pgno, const uint8_t *page, uint32_t page_size)
{
    uint32_t header = pgno == 1 ? DB_HEADER : 0;
    uint8_t kind = page[header];
    struct wr_tree_node *node;
    uint32_t *child;
    size_t n;

    if (kind != INTERIOR_INDEX && kind != INTERIOR_TABLE)
        return;
    node = find_node(t, pgno);
    if (node) {
        node->used = ++t->clock;
        return;
    }
    n = (size_t)wr_be16(page + header + AT_CELLS) + 1;
    if (n > (page_size - header - AT_POINTERS) / 2)
        return;
    child = wr_array(n, sizeof(*child));
    if (!child || !read_children(page, page_size, header, child, n)) {
        wr_free(child);
        return;
    }
    node = oldest_node(t);
    wr_free(node->child);
    *node = (struct wr_tree_node){.pgno = pgno, .child = child, .n = n, .used = ++t->clock};
    node->window = t->carry;
    t->carry = 0;
}

const uint32_t *wr_tree_want(struct wr_tree *t, uint32_t pgno, size_t *ret_n)
{
    for (size_t i = 0; i < WR_TREE_NODES; i++) {
        struct wr_tree_node *node = &t->node[i];
        size_t k = 0;

        while (k < node->n && node->child[k] != pgno)
            k++;
        if (k == node->n)
            continue;
        if (k >= node->at && k - node->at <= SKIP_MAX && node->window > 0)
            node->window = wr_min(node->window * 2, (uint32_t)WR_TREE_WINDOW);
        else
            node->window = 1;
        *ret_n = wr_min(node->n - k, (size_t)node->window);
        node->at = k + *ret_n;
        node->used = ++t->clock;
        t->carry = node->at == node->n ? node->window : 0;
        return node->child + k;
    }
    return NULL;
}

void wr_tree_pass(struct wr_tree *t, uint32_t pgno)
{
    for (size_t i = 0; i < WR_TREE_NODES; i++) {
        struct wr_tree_node *node = &t->node[i];

        if (node->at == node->n || node->child[node->at] != pgno)
            continue;
        node->at++;
        if (node->at == node->n)
            t->carry = node->window;
        return;
    }
}
