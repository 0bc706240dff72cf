/*
 * table.h - rows of text as columns, and lists of objects as JSON, on stdout.
 */
#ifndef WR_CLI_TABLE_H
#define WR_CLI_TABLE_H

#include "base/arena.h"
#include "base/base.h"

#include <jansson.h>

#define WR_TABLE_COLUMNS 6

struct wr_table_row;
struct wr_table {
    struct wr_arena *arena;
    size_t columns;
    size_t width[WR_TABLE_COLUMNS];
    struct wr_table_row *first, **last;
    bool nomem;
};

/* Cells are copied; each row has `columns` of them. The first row is the header. */
void wr_table_init(struct wr_table *t, struct wr_arena *a, size_t columns);
void wr_table_add(struct wr_table *t, const char *const *cells);
/* Left-aligned, two blanks apart, the last column as it is. False when a row was lost. */
bool wr_table_print(const struct wr_table *t);

/* With two blanks of indentation and a newline, on stdout; takes the reference. False for NULL or
 * when it cannot be written. */
bool wr_json_print(json_t *j);

#endif
