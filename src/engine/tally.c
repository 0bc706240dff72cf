/*
 * tally.c - see tally.h.
 */
#include "engine/tally.h"

/* Of each level the file that reaches furthest; max is 0: it has none. */
static void find_newest(
    const struct wr_ltx_file *files, size_t n, struct wr_ltx_file newest[WR_LEVEL_MAX + 1])
{
    memset(newest, 0, (WR_LEVEL_MAX + 1) * sizeof(*newest));
    for (size_t i = 0; i < n; i++) {
        struct wr_ltx_file *of = &newest[files[i].level];

        if (files[i].max > of->max && !wr_ltx_file_odd(&files[i]))
            *of = files[i];
    }
}

static struct wr_ltx_file end_of(const struct wr_ltx_file newest[WR_LEVEL_MAX + 1], unsigned level)
{
    struct wr_ltx_file end = newest[level];

    for (unsigned above = level + 1; newest[level].max == 0 && above <= WR_LEVEL_MAX; above++)
        end = newest[above].max > end.max ? newest[above] : end;
    return end;
}

static void count_below(struct wr_level_tally *l, const struct wr_ltx_file *f)
{
    if (f->min <= l->end.max)
        return;
    if (l->below++ == 0 || f->time_ms < l->since_ms)
        l->since_ms = f->time_ms;
}

enum wr_status wr_tally(
    const struct wr_ltx_file *files, size_t n, struct wr_tally *ret, struct wr_err *e)
{
    struct wr_ltx_file newest[WR_LEVEL_MAX + 1];

    find_newest(files, n, newest);
    *ret = (struct wr_tally){.snapshot = newest[WR_LEVEL_SNAPSHOT]};
    for (unsigned level = 1; level < WR_LEVEL_SNAPSHOT; level++)
        ret->level[level].end = end_of(newest, level);
    for (size_t i = 0; i < n; i++) {
        if (files[i].level + 1 < WR_LEVEL_SNAPSHOT)
            count_below(&ret->level[files[i].level + 1], &files[i]);
    }
    return wr_toll_of(files, n, &ret->toll, e);
}
