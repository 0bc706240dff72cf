/*
 * toll.c - see toll.h.
 */
#include "engine/toll.h"

#include "base/mem.h"
#include "engine/plan.h"

static void count(struct wr_toll_sum *s, uint64_t size)
{
    s->bytes += size;
    s->files++;
}

static void take_away(struct wr_toll_sum *s, const struct wr_toll_sum *x)
{
    s->bytes -= wr_min(s->bytes, x->bytes);
    s->files -= wr_min(s->files, x->files);
}

enum wr_status wr_toll_of(
    const struct wr_ltx_file *files, size_t n, struct wr_toll *ret, struct wr_err *e)
{
    const struct wr_plan_target newest = {0};
    size_t *chain = wr_array(n ? n : 1, sizeof(*chain)), k = 0;
    struct wr_err why = {0};
    enum wr_status st;

    *ret = (struct wr_toll){0};
    if (!chain)
        return wr_fail(e, WR_NOMEM, "plan of %zu files: out of memory", n);
    for (size_t i = 0; i < n; i++) {
        const struct wr_ltx_file *f = &files[i];

        if (f->level == WR_LEVEL_SNAPSHOT && !wr_ltx_file_odd(f) && f->max > ret->snapshot) {
            ret->snapshot = f->max;
            ret->snapshot_size = f->size;
        }
    }
    st = wr_plan(files, n, &newest, chain, &k, &why);
    for (size_t i = 0; st == WR_OK && i < k; i++) {
        const struct wr_ltx_file *f = &files[chain[i]];

        if (f->level < WR_LEVEL_SNAPSHOT)
            count(&ret->level[f->level], f->size);
    }
    wr_free(chain);
    return WR_OK;
}

void wr_toll_add(struct wr_toll *t, uint64_t size)
{
    count(&t->level[0], size);
}

void wr_toll_mark(struct wr_toll *t)
{
    t->mark = t->level[0];
}

void wr_toll_cover(
    struct wr_toll *t, unsigned level, uint64_t end, uint64_t size, uint64_t checksum)
{
    assert(level > 0 && level <= WR_LEVEL_SNAPSHOT);
    take_away(&t->level[0], &t->mark);
    t->mark = (struct wr_toll_sum){0};
    for (unsigned below = 1; below < level; below++)
        t->level[below] = (struct wr_toll_sum){0};
    if (level < WR_LEVEL_SNAPSHOT) {
        count(&t->level[level], size);
    } else {
        t->snapshot = end;
        t->snapshot_size = size;
        t->snapshot_checksum = checksum;
    }
}

struct wr_toll_sum wr_toll_sum(const struct wr_toll *t)
{
    struct wr_toll_sum all = {0};

    for (unsigned level = 0; level < WR_LEVEL_SNAPSHOT; level++) {
        all.bytes += t->level[level].bytes;
        all.files += t->level[level].files;
    }
    return all;
}

bool wr_toll_is_high(const struct wr_toll *t, uint64_t floor, uint64_t files)
{
    struct wr_toll_sum beyond = wr_toll_sum(t);

    if (t->snapshot_size == 0)
        return false;
    if (beyond.bytes >= floor && beyond.bytes > t->snapshot_size)
        return true;
    return beyond.files > files && beyond.bytes >= t->snapshot_size / WR_TOLL_SHARE;
}
