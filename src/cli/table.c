/*
 * table.c - columns as wide as their widest cell, as the original's listings have them.
 */
#include "cli/table.h"
#include "base/str.h"

struct wr_table_row {
    struct wr_table_row *next;
    const char *cells[WR_TABLE_COLUMNS];
};

void wr_table_init(struct wr_table *t, struct wr_arena *a, size_t columns)
{
    assert(columns > 0 && columns <= WR_TABLE_COLUMNS);
    *t = (struct wr_table){.arena = a, .columns = columns};
    t->last = &t->first;
}

void wr_table_add(struct wr_table *t, const char *const *cells)
{
    struct wr_table_row *row = wr_arena_alloc(t->arena, sizeof(*row));

    if (!row) {
        t->nomem = true;
        return;
    }
    for (size_t i = 0; i < t->columns; i++) {
        struct wr_str copy = wr_arena_str(t->arena, wr_str(cells[i]));

        if (!copy.p) {
            t->nomem = true;
            return;
        }
        row->cells[i] = copy.p;
        t->width[i] = wr_max(t->width[i], copy.n);
    }
    *t->last = row;
    t->last = &row->next;
}

bool wr_table_print(const struct wr_table *t)
{
    for (const struct wr_table_row *row = t->first; row; row = row->next) {
        for (size_t i = 0; i + 1 < t->columns; i++)
            (void)printf("%-*s  ", (int)t->width[i], row->cells[i]);
        (void)printf("%s\n", row->cells[t->columns - 1]);
    }
    return !t->nomem;
}

/* main checks the stream at the end: a reader who has seen enough is no failure of JSON. */
static int write_part(const char *part, size_t n, void *arg)
{
    (void)arg;
    (void)fwrite(part, 1, n, stdout);
    return 0;
}

bool wr_json_print(json_t *j)
{
    bool ok = j && json_dump_callback(j, write_part, NULL, JSON_INDENT(2) | JSON_ENSURE_ASCII) == 0;

    json_decref(j);
    if (ok)
        (void)putchar('\n');
    return ok;
}
