/*
 * schema.c - see schema.h.
 */
#include "vfs/schema.h"

#include "base/mem.h"
#include "vfs/cells.h"
#include "vfs/nearby.h"
#include "vfs/pagemap.h"

#define PAGES_MAX   1024  /* of the schema that are looked at */
#define TABLES_MAX  1024  /* that are, with those that have no index */
#define ROWS_MAX    16384 /* that are, of the schema */
#define AT_RESERVED 20

struct walk {
    uint32_t todo[PAGES_MAX]; /* pages, those that were looked at first */
    size_t n_todo;
    struct table {
        uint64_t name; /* its hash */
        uint32_t root;
        bool indexed;
    } table[TABLES_MAX];
    size_t n, rows;
    uint32_t reserved;
};

static void add_row(struct walk *x, const struct wr_cells_schema *row)
{
    if (row->is_table && x->n < TABLES_MAX)
        x->table[x->n++] = (struct table){.name = row->table, .root = row->root};
    /* An index comes after its table. */
    for (size_t i = 0; row->is_index && i < x->n; i++)
        x->table[i].indexed = x->table[i].indexed || x->table[i].name == row->table;
}

static void look_at(struct walk *x, uint32_t pgno, const uint8_t *page, uint32_t page_size)
{
    struct wr_cells c;

    if (pgno == 1)
        x->reserved = page[AT_RESERVED];
    if (!wr_cells_init(&c, pgno, page, page_size, x->reserved))
        return;
    for (uint32_t i = 0; c.kind == WR_CELLS_TABLE && i <= c.n && x->n_todo < PAGES_MAX; i++) {
        if (wr_cells_child(&c, i, &x->todo[x->n_todo]))
            x->n_todo++;
    }
    for (uint32_t i = 0; c.kind == WR_CELLS_TABLE_LEAF && i < c.n && x->rows < ROWS_MAX; i++) {
        struct wr_cells_schema row;

        x->rows++;
        if (wr_cells_schema(&c, i, &row))
            add_row(x, &row);
    }
}

size_t wr_schema_tables(const struct wr_nearby *near, uint32_t *out)
{
    uint32_t page_size = wr_pagemap_about(near->m)->page_size;
    struct walk *x = wr_alloc(sizeof(*x));
    uint8_t *page = wr_alloc(page_size);
    size_t n = 0;

    if (x && page) {
        x->todo[x->n_todo++] = 1;
        for (size_t i = 0; i < x->n_todo; i++) {
            if (wr_nearby_page(near, x->todo[i], page))
                look_at(x, x->todo[i], page, page_size);
        }
        for (size_t i = 0; i < x->n && n < WR_SCHEMA_TABLES; i++) {
            if (x->table[i].indexed)
                out[n++] = x->table[i].root;
        }
    }
    wr_free(page);
    wr_free(x);
    return n;
}
