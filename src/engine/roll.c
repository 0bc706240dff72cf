/*
 * roll.c - see roll.h.
 */
#include "engine/roll.h"

static bool is_snapshot(const struct wr_ltx_file *f)
{
    return f->level == WR_LEVEL_SNAPSHOT && f->min == 1;
}

void wr_roll_add(struct wr_roll *r, const struct wr_ltx_file *f)
{
    struct wr_roll_run *run;

    if (is_snapshot(f) && f->max > r->newest) {
        r->snapshots++;
        r->sum += f->max;
        r->newest = f->max;
        r->first = r->first ? r->first : f->max;
    }
    if (f->level >= WR_LEVEL_SNAPSHOT)
        return;
    run = &r->run[f->level];
    if (run->to == 0 || f->min > run->to + 1 || f->min < run->from)
        *run = (struct wr_roll_run){f->min, f->max};
    run->to = wr_max(run->to, f->max);
}

void wr_roll_remove(struct wr_roll *r, const struct wr_ltx_file *f)
{
    struct wr_roll_run *run;

    if (is_snapshot(f) && r->counted && f->max <= r->newest) {
        r->counted = r->snapshots > 0; /* else there are some that came late */
        r->snapshots--;
        r->sum -= f->max;
    } else if (is_snapshot(f)) {
        r->first = 1; /* whether it was counted before is not known, so nothing can be joined */
    }
    if (f->level >= WR_LEVEL_SNAPSHOT)
        return;
    run = &r->run[f->level];
    run->from = wr_max(run->from, f->max + 1);
    if (run->from > run->to)
        *run = (struct wr_roll_run){0};
}

void wr_roll_join(struct wr_roll *r, const struct wr_roll *before)
{
    for (unsigned level = 0; level < WR_LEVEL_SNAPSHOT; level++) {
        const struct wr_roll_run *was = &before->run[level];
        struct wr_roll_run *run = &r->run[level];

        if (run->to == 0)
            *run = *was;
        else if (was->to > 0 && was->from < run->from && run->from <= was->to + 1)
            run->from = was->from;
    }
    /* One that counts as new, and is not, could be counted already. */
    r->counted = before->counted && (r->first == 0 || r->first > before->newest);
    r->snapshots += before->snapshots;
    r->sum += before->sum;
    r->newest = wr_max(r->newest, before->newest);
}

void wr_roll_meet(struct wr_roll *r, const struct wr_roll *other)
{
    for (unsigned level = 0; level < WR_LEVEL_SNAPSHOT; level++) {
        struct wr_roll_run *run = &r->run[level];

        run->from = wr_max(run->from, other->run[level].from);
        run->to = wr_min(run->to, other->run[level].to);
        if (run->from > run->to)
            *run = (struct wr_roll_run){0};
    }
    r->counted = r->counted && other->counted && r->snapshots == other->snapshots &&
                 r->sum == other->sum && r->newest == other->newest;
}

bool wr_roll_speaks(const struct wr_roll *r, const struct wr_ltx_file *f)
{
    if (f->level >= WR_LEVEL_SNAPSHOT)
        return is_snapshot(f) && r->counted && f->max <= r->newest;
    return f->max >= r->run[f->level].from && f->min <= r->run[f->level].to;
}

void wr_roll_drop_runs(struct wr_roll *r)
{
    memset(r->run, 0, sizeof(r->run));
}

bool wr_roll_hole(const struct wr_roll *r, unsigned level, const struct wr_ltx_file *files,
    size_t n, struct wr_roll_at *at, uint64_t *from, uint64_t *to)
{
    const struct wr_roll_run *run = &r->run[level];
    uint64_t next = wr_max(wr_max(run->from, at->next), (uint64_t)1);

    for (; at->i < n && next <= run->to; at->i++) {
        const struct wr_ltx_file *f = &files[at->i];

        if (f->level != level || f->max < next)
            continue;
        if (f->min > next) {
            *from = next;
            *to = wr_min(f->min - 1, run->to);
            at->next = f->min;
            return true;
        }
        next = wr_min(f->max, run->to) + 1; /* anybody may name a file as he likes */
    }
    if (next > run->to)
        return false;
    *from = next;
    *to = run->to;
    at->next = run->to + 1;
    return true;
}

uint64_t wr_roll_missing(
    const struct wr_roll *r, const struct wr_ltx_file *files, size_t n, uint64_t *ret_max)
{
    uint64_t count = 0, sum = 0;

    *ret_max = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_snapshot(&files[i]) && files[i].max <= r->newest) {
            count++;
            sum += files[i].max;
        }
    }
    if (!r->counted || count > r->snapshots || (count == r->snapshots && sum == r->sum))
        return 0;
    if (count + 1 == r->snapshots)
        *ret_max = r->sum - sum;
    return wr_max(r->snapshots - count, (uint64_t)1);
}
