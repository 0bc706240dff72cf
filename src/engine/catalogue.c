/*
 * catalogue.c - see catalogue.h. Knows names; of what is in the files only when they were made.
 */
#include "engine/catalogue.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "engine/grace.h"
#include "engine/herald.h"
#include "engine/loose.h"
#include "engine/whole.h"
#include "ltx/ltx.h"
#include "storage/storage.h"

#define BATCH       1000                   /* keys of one request, as S3 has them */
#define CALLED_OFF  1                      /* tag of a doomed file: told to be deleted */
#define LONG_AGO    INT64_MIN              /* monotonic ms */
#define SKEW_MAX_MS ((int64_t)3600 * 1000) /* between a file's time and that of its object */

void wr_catalogue_forget(struct wr_catalogue *k)
{
    wr_ltx_files_release(&k->files);
    k->known = k->timed = k->fresh = false;
}

void wr_catalogue_release(struct wr_catalogue *k)
{
    wr_catalogue_forget(k);
    wr_ltx_files_release(&k->doomed);
    wr_ltx_files_release(&k->damaged);
    wr_ltx_files_release(&k->waste);
    k->latest = (struct wr_latest){0};
    k->blind = false;
    k->l0 = (struct wr_l0_files){0};
}

/* A store that dates what it is given has a clock of its own. */
static void learn_time(struct wr_catalogue *k, const struct wr_storage *s, const struct wr_call *c)
{
    bool own = (wr_storage_caps(s) & WR_STORAGE_LIST_TIME) == 0;

    for (size_t i = 0; own && i < k->files.n; i++)
        wr_latest_told(&k->latest, k->files.p[i].time_ms, wr_wall_ms(c->clock));
}

enum wr_status wr_catalogue_fill(
    struct wr_catalogue *k, struct wr_storage *s, struct wr_call *c, struct wr_err *e)
{
    enum wr_status st;

    if (k->known)
        return WR_OK;
    wr_ltx_files_release(&k->files);
    st = wr_layout_list_all(s, c, &k->files, e);
    k->known = k->fresh = st == WR_OK;
    if (st == WR_OK)
        learn_time(k, s, c);
    return st;
}

enum wr_status wr_catalogue_look(
    struct wr_catalogue *k, struct wr_storage *s, struct wr_call *c, struct wr_err *e)
{
    const uint64_t newest = wr_ltx_files_newest(&k->files);
    struct wr_ltx_files is = {0};
    bool unknown = false;
    enum wr_status st = wr_layout_list_all(s, c, &is, e);

    assert(k->known);
    for (size_t i = 0; st == WR_OK && i < is.n && !unknown; i++)
        unknown = is.p[i].max <= newest && !wr_ltx_files_find(&k->files, &is.p[i]) &&
                  !wr_ltx_files_find(&k->damaged, &is.p[i]);
    wr_ltx_files_release(&is);
    if (unknown)
        wr_catalogue_forget(k);
    return st;
}

/* Whether a file was made when the storage says so, as far as its header can be read. */
static enum wr_status check_time(
    struct wr_storage *s, struct wr_call *c, const struct wr_ltx_file *f, struct wr_err *e)
{
    struct wr_ltx_header h;
    struct wr_err why = {0};
    bool damaged;
    enum wr_status st = wr_whole_header(s, c, f, &h, &damaged, &why);

    if (st == WR_NOTFOUND || st == WR_CORRUPT)
        return WR_OK;
    if (st != WR_OK)
        return wr_fail(e, st, "%s", why.text);
    if (h.time_ms - f->time_ms <= SKEW_MAX_MS && f->time_ms - h.time_ms <= SKEW_MAX_MS)
        return WR_OK;
    return wr_fail(e, WR_CONFLICT,
        "the snapshot up to %016llx has another time than was written into it, as in a copy that "
        "did not keep times: points of hours, days or years cannot be told; copy it with its times",
        (unsigned long long)f->max);
}

/* The oldest and the newest snapshot, for all. */
static enum wr_status check_times(
    const struct wr_catalogue *k, struct wr_storage *s, struct wr_call *c, struct wr_err *e)
{
    size_t first = k->files.n;

    while (first > 0 && k->files.p[first - 1].level == WR_LEVEL_SNAPSHOT)
        first--;
    for (size_t i = first; i < k->files.n; i++) {
        enum wr_status st = WR_OK;

        if (i == first || i + 1 == k->files.n)
            st = check_time(s, c, &k->files.p[i], e);
        if (st != WR_OK)
            return st;
    }
    return WR_OK;
}

enum wr_status wr_catalogue_times(struct wr_catalogue *k, struct wr_storage *s, struct wr_call *c,
    unsigned threads, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    assert(k->known);
    if (!k->timed)
        st = wr_layout_times(s, c, k->files.p, NULL, k->files.n, threads, e);
    if (st == WR_OK && !k->timed)
        st = check_times(k, s, c, e);
    if (st != WR_OK)
        wr_catalogue_forget(k);
    else
        k->timed = true;
    return st;
}

enum wr_status wr_catalogue_add(
    struct wr_catalogue *k, const struct wr_ltx_file *f, size_t n, struct wr_err *e)
{
    size_t out = 0;
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < n && st == WR_OK; i++)
        st = wr_ltx_files_add(&k->files, &f[i], e);
    if (n == 0 || st != WR_OK)
        return st;
    wr_ltx_files_sort(&k->files);
    for (size_t i = 0; i < k->files.n; i++) {
        if (out == 0 || wr_ltx_file_cmp(&k->files.p[out - 1], &k->files.p[i]) != 0)
            k->files.p[out++] = k->files.p[i];
    }
    k->files.n = out;
    return WR_OK;
}

static bool add_sorted(struct wr_ltx_files *a, const struct wr_ltx_file *f)
{
    if (wr_ltx_files_find(a, f))
        return true;
    if (a->n >= WR_DAMAGED_MAX || wr_ltx_files_add(a, f, NULL) != WR_OK)
        return false;
    wr_ltx_files_sort(a);
    return true;
}

void wr_catalogue_distrust(struct wr_catalogue *k, const struct wr_ltx_file *f, bool ours)
{
    if (!add_sorted(&k->damaged, f))
        k->blind = true;
    else if (ours)
        (void)add_sorted(&k->waste, f); /* else it stays, and counts for nothing */
}

/* Those that are not kept, each since when that is so: for as long as needed if it is `over`. */
static enum wr_status doom(struct wr_catalogue *k, const enum wr_kept *kept, const bool *over,
    int64_t now_ms, struct wr_err *e)
{
    struct wr_ltx_files doomed = {0};
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < k->files.n && st == WR_OK; i++) {
        struct wr_ltx_file f = k->files.p[i];
        const struct wr_ltx_file *was = wr_ltx_files_find(&k->doomed, &f);

        if (kept[i] != WR_KEPT_NOT)
            continue;
        f.time_ms = over[i] ? LONG_AGO : was ? was->time_ms : now_ms;
        f.tag = was ? was->tag : 0;
        st = wr_ltx_files_add(&doomed, &f, e);
    }
    wr_ltx_files_release(&k->doomed);
    k->doomed = doomed;
    return st;
}

/* Delete up to BATCH of the doomed from *i on that are so since then. */
static enum wr_status remove_some(const struct wr_ltx_files *doomed, struct wr_storage *s,
    struct wr_call *c, int64_t until_ms, size_t *i, size_t *ret_n, struct wr_err *e)
{
    struct wr_str *keys = wr_array(BATCH, sizeof(*keys));
    struct wr_arena names;
    size_t n = 0;
    enum wr_status st = keys ? WR_OK : wr_fail(e, WR_NOMEM, "delete files of a replica");

    wr_arena_init(&names, WR_ARENA_MAX);
    for (; st == WR_OK && *i < doomed->n && n < BATCH; (*i)++) {
        const struct wr_ltx_file *f = &doomed->p[*i];

        if (f->time_ms > until_ms)
            continue;
        keys[n] = wr_layout_ltx_key(&names, s, f->level, f->min, f->max);
        if (!keys[n++].p)
            st = wr_fail(e, WR_NOMEM, "delete files of a replica");
    }
    if (st == WR_OK && n > 0)
        st = wr_storage_remove(s, c, keys, n, e);
    if (st == WR_OK)
        *ret_n += n;
    wr_arena_release(&names);
    wr_free(keys);
    return st;
}

/* Leave out of `files` the doomed that were deleted, and these out of the doomed. */
static void strike_out(struct wr_catalogue *k, int64_t until_ms)
{
    size_t out = 0, left = 0, d = 0;

    for (size_t i = 0; i < k->files.n; i++) {
        while (d < k->doomed.n && wr_ltx_file_cmp(&k->doomed.p[d], &k->files.p[i]) < 0)
            d++;
        if (d == k->doomed.n || wr_ltx_file_cmp(&k->doomed.p[d], &k->files.p[i]) != 0 ||
            k->doomed.p[d].time_ms > until_ms)
            k->files.p[out++] = k->files.p[i];
    }
    k->files.n = out;
    for (size_t i = 0; i < k->doomed.n; i++) {
        if (k->doomed.p[i].time_ms > until_ms)
            k->doomed.p[left++] = k->doomed.p[i];
    }
    k->doomed.n = left;
}

enum wr_status wr_catalogue_remove_waste(struct wr_catalogue *k, struct wr_storage *s,
    struct wr_call *c, size_t *ret_n, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (size_t i = 0; st == WR_OK && i < k->waste.n;)
        st = remove_some(&k->waste, s, c, INT64_MAX, &i, ret_n, e);
    if (st == WR_OK && k->waste.n > 0) {
        wr_ltx_files_drop(&k->files, &k->waste);
        wr_ltx_files_drop(&k->damaged, &k->waste);
        wr_ltx_files_release(&k->waste);
    }
    return st;
}

/* Do without the damaged, and delete what of them nobody ever needed. */
static enum wr_status leave_damaged(struct wr_catalogue *k, struct wr_storage *s, struct wr_call *c,
    size_t *ret_n, struct wr_err *e)
{
    if (k->blind)
        return wr_fail(e, WR_LIMIT,
            "too many files of this replica are damaged: nothing is deleted from it until a "
            "restart");
    wr_ltx_files_drop(&k->files, &k->damaged);
    return wr_catalogue_remove_waste(k, s, c, ret_n, e);
}

static struct wr_l0_files count_l0(const struct wr_ltx_files *all, const enum wr_kept *kept)
{
    struct wr_l0_files r = {0};
    uint64_t reach = 0;

    for (size_t i = 0; i < all->n; i++)
        if (all->p[i].level > 0)
            reach = wr_max(reach, all->p[i].max);
    for (size_t i = 0; i < all->n; i++) {
        if (all->p[i].level > 0)
            continue;
        if (all->p[i].max > reach)
            r.not_compacted++;
        else if (kept[i] != WR_KEPT_NOT)
            r.too_recent++;
        else
            r.eligible++;
    }
    return r;
}

/* Tell which are to be deleted: each once, whatever becomes of that. */
static enum wr_status call_off(struct wr_catalogue *k, struct wr_call *c, int64_t until_ms,
    struct wr_herald *h, struct wr_err *e)
{
    wr_herald_prepare(h, c);
    for (size_t i = 0; i < k->doomed.n; i++) {
        struct wr_ltx_file *f = &k->doomed.p[i];

        if (f->time_ms > until_ms || f->tag == CALLED_OFF)
            continue;
        if (!wr_herald_goes(h, f))
            return wr_fail(e, WR_BUSY, "it is being let go of");
        f->tag = CALLED_OFF;
    }
    return WR_OK;
}

/* Say what is about to be deleted, if anybody was told otherwise. */
static enum wr_status announce(struct wr_catalogue *k, struct wr_call *c,
    const struct wr_retention *r, int64_t until_ms, struct wr_herald *h, struct wr_err *e)
{
    size_t n = k->files.n, d = 0, n_gone = 0;
    uint64_t need[WR_LEVEL_MAX + 1], ahead[WR_LEVEL_MAX + 1];
    bool *gone = wr_array(n ? n : 1, sizeof(*gone));
    enum wr_status st = gone ? WR_OK : wr_fail(e, WR_NOMEM, "retention of %zu files", n);

    for (size_t i = 0; st == WR_OK && i < n; i++) {
        while (d < k->doomed.n && wr_ltx_file_cmp(&k->doomed.p[d], &k->files.p[i]) < 0)
            d++;
        gone[i] = d < k->doomed.n && wr_ltx_file_cmp(&k->doomed.p[d], &k->files.p[i]) == 0 &&
                  k->doomed.p[d].time_ms <= until_ms;
        n_gone += gone[i];
    }
    if (st == WR_OK && n_gone > 0)
        st = call_off(k, c, until_ms, h, e);
    if (st == WR_OK && n_gone > 0)
        st = wr_loose(k->files.p, n, gone, need, e);
    if (st == WR_OK && n_gone > 0 && wr_herald_must(h, r, need) && !WR_MUTANT(UNSAID)) {
        st = wr_loose_ahead(k->files.p, n, r, gone, e);
        if (st == WR_OK)
            st = wr_loose(k->files.p, n, gone, ahead, e);
        if (st == WR_OK)
            st = wr_herald_announce(h, c, r, need, ahead, e);
    }
    wr_free(gone);
    return st;
}

enum wr_status wr_catalogue_retain(struct wr_catalogue *k, struct wr_storage *s, struct wr_call *c,
    const struct wr_retention *r, struct wr_herald *h, size_t *ret_n, struct wr_err *e)
{
    struct wr_retention now = *r;
    int64_t now_ms = wr_mono_ms(c->clock);
    int64_t until_ms = now_ms - wr_grace_ms(r);
    size_t n = k->files.n ? k->files.n : 1;
    enum wr_kept *kept = wr_array(n, sizeof(*kept));
    bool *over = wr_array(n, sizeof(*over));
    enum wr_status st =
        kept && over ? WR_OK : wr_fail(e, WR_NOMEM, "retention of %zu files", k->files.n);

    *ret_n = 0;
    now.now_ms = wr_latest_now(&k->latest, wr_wall_ms(c->clock), now_ms);
    if (st == WR_OK)
        st = leave_damaged(k, s, c, ret_n, e);
    if (st == WR_OK)
        st = wr_retain(k->files.p, k->files.n, &now, kept, e);
    if (st == WR_OK)
        k->l0 = count_l0(&k->files, kept);
    if (st == WR_OK && k->fresh) /* later on, who goes on knows since when */
        st = wr_grace_over(k->files.p, k->files.n, &now, over, e);
    if (st == WR_OK)
        st = doom(k, kept, over, now_ms, e);
    k->fresh = false;
    if (st == WR_OK && h)
        st = announce(k, c, &now, until_ms, h, e);
    for (size_t i = 0; st == WR_OK && i < k->doomed.n;)
        st = remove_some(&k->doomed, s, c, until_ms, &i, ret_n, e);
    if (st == WR_OK)
        strike_out(k, until_ms);
    else
        wr_catalogue_forget(k);
    wr_free(kept);
    wr_free(over);
    return st;
}
