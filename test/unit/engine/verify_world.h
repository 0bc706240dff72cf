/*
 * verify_world.h - replicas as a daemon leaves them, of a database that is known at every
 * transaction: for the tests of verification.
 */
#ifndef WR_TEST_VERIFY_WORLD_H
#define WR_TEST_VERIFY_WORLD_H

#include "engine/extent.h"
#include "engine/loose.h"
#include "engine/retain.h"
#include "engine/verify.h"
#include "engine/writer.h"
#include "unit/engine/restore_world.h"

#define LOCK_OFFSET 4096u /* moves the lock page into small databases */
#define PAGES_MAX   24u

/* A history of `n` transactions. */
static inline void replica_story(
    struct story *s, struct wr_rand *r, uint32_t page_size, size_t n, bool rolling)
{
    story_init(s, r, page_size, LOCK_OFFSET, PAGES_MAX, rolling);
    for (size_t i = 0; i < n; i++)
        story_commit(s, 1 + (uint32_t)wr_rand_below(r, PAGES_MAX), (uint32_t)wr_rand_below(r, 4));
}

static inline void replica_file(
    struct wr_ltx_files *all, unsigned level, uint64_t min, uint64_t max)
{
    struct wr_ltx_file f = {
        .level = level, .min = min, .max = max, .time_ms = (int64_t)max * 1000, .size = 1};
    struct wr_err e = {0};

    if (min <= max)
        T_OK(wr_ltx_files_add(all, &f, &e));
}

/* The names that such a history leaves: level 0, levels above that begin where they end, snapshots;
 * level 0 sometimes in files of several transactions. */
static inline void replica_names(const struct story *s, struct wr_ltx_files *all)
{
    uint64_t ends[4] = {1, 1, 1, 1};
    struct wr_rand *r = s->random;

    replica_file(all, WR_LEVEL_SNAPSHOT, 1, 1);
    for (uint64_t txid = 2; txid <= s->n; txid++) {
        unsigned top = 0;

        if (wr_rand_below(r, 8) == 0 && txid < s->n)
            continue;
        replica_file(all, 0, ends[0] + 1, txid);
        ends[0] = txid;
        while (top < 4 && wr_rand_below(r, 3) == 0)
            top++;
        for (unsigned level = 1; level <= wr_min(top, 3u); level++) {
            replica_file(all, level, ends[level] + 1, txid);
            ends[level] = txid;
        }
        if (top == 4)
            replica_file(all, WR_LEVEL_SNAPSHOT, 1, txid);
    }
    wr_ltx_files_sort(all);
}

/* Leave out what is not to be kept. */
static inline void replica_retain(struct wr_ltx_files *all, int64_t keep_ms, int64_t l0_ms)
{
    const struct wr_retention ret = {.keep_ms = keep_ms, .l0_ms = l0_ms};
    enum wr_kept keep[512] = {WR_KEPT_NOT};
    size_t n = 0;
    struct wr_err e = {0};

    T(all->n <= 512);
    T_OK(wr_retain(all->p, all->n, &ret, keep, &e));
    for (size_t i = 0; i < all->n; i++) {
        if (keep[i] != WR_KEPT_NOT)
            all->p[n++] = all->p[i];
    }
    all->n = n;
}

/* What its writer has said of a bucket: nothing; when it was last due; and when he ended. */
enum replica_says {
    REPLICA_SILENT,
    REPLICA_SAYS,
    REPLICA_ENDS,
};

/* Say of the bucket what its writer says when he goes from `all` to `left`. */
static inline void replica_say(struct world *w, enum replica_says says, struct wr_ltx_files *all,
    const struct wr_ltx_files *left, uint64_t newest)
{
    struct wr_extent x = {.newest = newest, .token = 7, .node = 1, .at_ms = 1};
    struct wr_extent_version version = {0};
    bool gone[512] = {0};
    struct wr_err e = {0};

    T(all->n <= 512);
    for (size_t i = 0; i < all->n; i++)
        gone[i] = !wr_ltx_files_find(left, &all->p[i]);
    T_OK(wr_loose(all->p, all->n, gone, x.from, &e));
    x.roll.counted = says == REPLICA_ENDS;
    for (size_t i = 0; i < left->n && says == REPLICA_ENDS; i++)
        wr_roll_add(&x.roll, &left->p[i]);
    T_OK(wr_extent_write(w->storage, t_call(), &x, &version, &e));
    T_OK(wr_writer_sign(w->storage, t_call(), 7, 1, 9, &e));
}

/* A replica of that history in the bucket, as old as retention lets it get; its names in `all`. */
static inline void replica_put(
    const struct story *s, struct world *w, enum replica_says says, struct wr_ltx_files *all)
{
    struct wr_ltx_files was = {0};
    struct wr_err e = {0};

    replica_names(s, all);
    for (size_t i = 0; i < all->n; i++)
        T_OK(wr_ltx_files_add(&was, &all->p[i], &e));
    if (wr_rand_below(s->random, 3))
        replica_retain(all, (int64_t)wr_rand_below(s->random, s->n * 1000),
            (int64_t)wr_rand_below(s->random, s->n * 500));
    if (says)
        replica_say(w, says, &was, all, s->n);
    wr_ltx_files_release(&was);
    for (size_t i = 0; i < all->n; i++)
        story_put(s, w, all->p[i].level, all->p[i].min, all->p[i].max);
}

/* What was found. */
struct found {
    unsigned files, lost;
    char text[1024]; /* the last one */
};

static inline void found_add(void *arg, const struct wr_finding *f)
{
    struct found *x = arg;

    T(f->text && f->text[0] && (f->kind == WR_FINDING_FILE) == (f->key != NULL));
    x->files += f->kind == WR_FINDING_FILE;
    x->lost += f->kind == WR_FINDING_LOST;
    (void)snprintf(x->text, sizeof(x->text), "%s %llu-%llu %s", f->key ? f->key : "",
        (unsigned long long)f->min, (unsigned long long)f->max, f->text);
}

static inline enum wr_status verify_it(struct world *w, unsigned parallel, struct found *found,
    struct wr_verify_result *ret, struct wr_err *e)
{
    const struct wr_verify_opts o = {.parallel = parallel,
        .lock_offset = LOCK_OFFSET,
        .finding = found_add,
        .finding_arg = found};

    *found = (struct found){0};
    return wr_verify(w->storage, t_call(), &o, ret, e);
}

#endif
