/*
 * resume.c - see resume.h. Compares what is left to do; refuses to believe any of it: the image is
 * proven as with every plan, and the draft proves each page that it is said to have.
 */
#include "engine/resume.h"

#include "engine/draft.h"
#include "engine/inputs.h"
#include "engine/plan.h"
#include "engine/restore.h"
#include "engine/whole.h"
#include "storage/storage.h"

#define SNAPSHOTS_MAX 3 /* that are older than the plan's; one a day, as a rule */

static uint64_t bytes_of(const struct wr_ltx_files *files)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < files->n; i++)
        bytes += wr_min(files->p[i].size, UINT64_MAX - bytes);
    return bytes;
}

/* Of the frames of this snapshot, bytes that are here by what the map claims, about. */
static uint64_t bytes_here(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, const struct wr_ltx_file *f, struct wr_file *map)
{
    struct wr_input in = {.file = f};
    struct wr_err why = {0};
    uint64_t bytes = 0;

    if (wr_input_open(s, c, opts->lock_offset, &in, &why) == WR_OK && in.header.commit > 0)
        bytes = f->size / in.header.commit *
                wr_draft_count(map, in.header.page_size, wr_draft_identity(&in));
    wr_input_release(&in);
    return bytes;
}

/* The plan to the end of `plan` that begins with the snapshot `base`; empty: there is none. */
static enum wr_status plan_from(const struct wr_ltx_files *all, const struct wr_ltx_file *base,
    const struct wr_ltx_files *plan, struct wr_ltx_files *ret, struct wr_err *e)
{
    const struct wr_plan_target target = {.txid = plan->p[plan->n - 1].max};
    struct wr_ltx_files some = {0};
    struct wr_err why = {0};
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < all->n && st == WR_OK; i++) {
        if (all->p[i].level < WR_LEVEL_SNAPSHOT || all->p[i].max <= base->max)
            st = wr_ltx_files_add(&some, &all->p[i], e);
    }
    if (st == WR_OK && wr_plan_files(&some, &target, ret, &why) == WR_NOMEM)
        st = wr_fail(e, WR_NOMEM, "%s", why.text);
    if (ret->n > 0 && wr_ltx_file_cmp(&ret->p[0], base) != 0)
        wr_ltx_files_release(ret);
    wr_ltx_files_release(&some);
    return st;
}

static bool read_end(struct wr_storage *s, struct wr_call *c, const struct wr_ltx_files *plan,
    struct wr_ltx_header *ret)
{
    struct wr_err why = {0};
    bool damaged;

    return wr_whole_header(s, c, &plan->p[plan->n - 1], ret, &damaged, &why) == WR_OK &&
           ret->has_rolling;
}

/* Whether both end in the same database; and whether that is recorded, to prove the image by. */
static bool same_end(struct wr_storage *s, struct wr_call *c, const struct wr_ltx_files *a,
    const struct wr_ltx_files *b)
{
    struct wr_ltx_header x, y;

    if (!read_end(s, c, a, &x))
        return false;
    if (wr_ltx_file_cmp(&a->p[a->n - 1], &b->p[b->n - 1]) == 0)
        return true;
    return read_end(s, c, b, &y) && x.rolling_post == y.rolling_post && x.commit == y.commit;
}

enum wr_status wr_resume_plan(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, const struct wr_ltx_files *all, struct wr_file *map,
    struct wr_ltx_files *plan, struct wr_err *e)
{
    const struct wr_ltx_file newest = plan->p[0];
    struct wr_ltx_files old = {0};
    enum wr_status st = WR_OK;
    unsigned seen = 0;

    if (newest.level != WR_LEVEL_SNAPSHOT)
        return WR_OK;
    for (size_t i = all->n; i-- > 0 && st == WR_OK && seen < SNAPSHOTS_MAX;) {
        const struct wr_ltx_file *f = &all->p[i];
        uint64_t here;

        if (f->level != WR_LEVEL_SNAPSHOT || wr_ltx_file_odd(f) || f->max >= newest.max)
            continue;
        seen++;
        here = bytes_here(s, c, opts, f, map);
        st = wr_call_check(c, "restore", e);
        if (st != WR_OK || here == 0)
            continue;
        st = plan_from(all, f, plan, &old, e);
        if (old.n == 0 || bytes_of(&old) - wr_min(here, bytes_of(&old)) >= bytes_of(plan) ||
            !same_end(s, c, &old, plan))
            break;
        wr_log(c->log, WR_INFO,
            "going on with the older snapshot that a killed restore has fetched from",
            WR_F_STR("replica", wr_storage_name(s)), WR_F_TXID("snapshot_txid", f->max),
            WR_F_U64("bytes_here", here));
        wr_ltx_files_release(plan);
        *plan = old;
        return WR_OK;
    }
    wr_ltx_files_release(&old);
    return st;
}
