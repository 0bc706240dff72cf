/*
 * walk.c - see walk.h: files by where they begin, and of those found a heap by where they end.
 */
#include "engine/walk.h"

#include "base/mem.h"

static bool ends_first(const void *pa, const void *pb)
{
    const struct wr_ltx_file *a = pa, *b = pb;

    if (a->max != b->max)
        return a->max < b->max;
    return a->level != b->level ? a->level < b->level : a->min < b->min;
}

static int begins_first(const void *pa, const void *pb)
{
    const struct wr_ltx_file *a = *(struct wr_ltx_file *const *)pa;
    const struct wr_ltx_file *b = *(struct wr_ltx_file *const *)pb;

    if (a->min != b->min)
        return a->min < b->min ? -1 : 1;
    return wr_ltx_file_cmp(a, b);
}

enum wr_status wr_walk_init(
    struct wr_walk *w, struct wr_ltx_file *files, size_t n, uint64_t cur, struct wr_err *e)
{
    *w = (struct wr_walk){.cur = cur};
    wr_heap_init(&w->open, ends_first, NULL);
    w->order = wr_array(n, sizeof(*w->order));
    if (!w->order)
        return wr_fail(e, WR_NOMEM, "walk over %zu files: out of memory", n);
    for (size_t i = 0; i < n; i++) {
        if (!wr_ltx_file_odd(&files[i]))
            w->order[w->n++] = &files[i];
    }
    if (w->n > 0)
        qsort(w->order, w->n, sizeof(*w->order), begins_first);
    return WR_OK;
}

void wr_walk_release(struct wr_walk *w)
{
    wr_free(w->order);
    wr_heap_release(&w->open);
    *w = (struct wr_walk){0};
}

enum wr_status wr_walk_open(struct wr_walk *w, struct wr_err *e)
{
    /* min <= cur + 1, written so that it cannot wrap */
    for (w->from = w->to; w->to < w->n; w->to++) {
        struct wr_ltx_file *f = w->order[w->to];

        if (f->min - 1 > w->cur)
            break;
        if (f->max <= w->cur) /* the walk was beyond its end when it came to its beginning */
            continue;
        if (wr_heap_push(&w->open, f) != WR_OK)
            return wr_fail(e, WR_NOMEM, "walk over %zu files: out of memory", w->n);
    }
    return WR_OK;
}

const struct wr_ltx_file *wr_walk_next(const struct wr_walk *w)
{
    return wr_heap_top(&w->open);
}

void wr_walk_drop(struct wr_walk *w)
{
    (void)wr_heap_pop(&w->open);
}

void wr_walk_take(struct wr_walk *w)
{
    const struct wr_ltx_file *f = wr_heap_top(&w->open);

    assert(f && f->max > w->cur);
    w->cur = f->max;
}

const struct wr_ltx_file *wr_walk_pass(struct wr_walk *w)
{
    const struct wr_ltx_file *f = wr_heap_top(&w->open);

    if (!f || f->max > w->cur)
        return NULL;
    return wr_heap_pop(&w->open);
}
