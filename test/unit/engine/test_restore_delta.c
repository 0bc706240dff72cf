/*
 * test_restore_delta.c - restores that take over what an older copy has: whatever that copy is, the
 * result is the database or the old file as it was, and where it is a recent one little is fetched.
 */
#include "engine/delta.h"

#include "engine/ledger.h"
#include "engine/source.h"
#include "unit/engine/resume_world.h"

/* Put a copy of image `txid` where the database goes. */
static void put_old(const struct rig *g, size_t txid)
{
    const struct image *is = &g->s.image[txid];

    t_spew(g->path, is->data, (size_t)is->commit * g->s.page_size);
}

static void check_is(const struct rig *g, size_t txid)
{
    const struct image *want = &g->s.image[txid];
    struct wr_bytes got = t_slurp(g->path);

    assert_int_equal(got.n, (size_t)want->commit * g->s.page_size);
    T(memcmp(got.p, want->data, got.n) == 0);
    assert_int_equal(t_names_in(g->dir), 1);
}

static struct wr_restore_opts delta_opts(const struct rig *g, unsigned parallel)
{
    struct wr_restore_opts o = rig_opts(g, parallel);

    o.overwrite = o.delta = true;
    o.resume_min = UINT64_MAX;
    return o;
}

static struct wr_restore_result restore_over(struct rig *g, uint64_t txid)
{
    struct wr_restore_opts o = delta_opts(g, 3);
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    o.txid = txid;
    T_OK(wr_restore(g->w.storage, t_call(), &o, &r, &e));
    check_is(g, txid ? txid : g->s.n);
    T(r.txid == (txid ? txid : g->s.n) && r.verified == g->s.rolling);
    return r;
}

/* ---- which file next ---- */

static void test_the_way_back(void **state)
{
    struct wr_ltx_file files[] = {
        {.level = 0, .min = 9, .max = 9, .size = 10},
        {.level = 0, .min = 10, .max = 10, .size = 10},
        {.level = 1, .min = 5, .max = 8, .size = 30},
        {.level = 1, .min = 7, .max = 10, .size = 40},
        {.level = 2, .min = 1, .max = 9, .size = 1000},
        {.level = 9, .min = 1, .max = 10, .size = 5},
    };
    const struct wr_ltx_files all = {.p = files, .n = wr_countof(files)};

    (void)state;
    T(wr_delta_next(&all, 10, 10, 10) == &files[1]); /* not the snapshot */
    T(wr_delta_next(&all, 10, 10, 40) == &files[3]);
    T(wr_delta_next(&all, 9, 10, 5) == &files[0]); /* none is so small */
    T(wr_delta_next(&all, 9, 10, 1000) == &files[4]);
    T(wr_delta_next(&all, 9, 9, 40) == &files[0]); /* the other one goes too far */
    T(wr_delta_next(&all, 6, 10, 100) == &files[2]);
    T(!wr_delta_next(&all, 11, 11, 100));
}

/* ---- what becomes of it ---- */

static void random_files(struct rig *g)
{
    for (int k = 0; k < 8; k++) {
        unsigned level = (unsigned)wr_rand_below(&g->random, 9) + 1;
        uint64_t min = level == 9 ? 1 : wr_rand_below(&g->random, g->s.n) + 1;

        story_put(&g->s, &g->w, level, min, min + wr_rand_below(&g->random, g->s.n + 1 - min));
    }
}

/* An older copy, a newer one, or what somebody has written to since. */
static void test_random_copies(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        struct rig g;

        rig_init(&g, round % 5 > 0, 512, 150);
        for (int i = 0; i < 8; i++)
            rig_commit(&g, 100 + (uint32_t)wr_rand_below(&g.random, 150),
                (uint32_t)wr_rand_below(&g.random, 12));
        random_files(&g);
        for (int k = 0; k < 8; k++) {
            size_t old = wr_rand_below(&g.random, g.s.n) + 1;
            uint64_t txid = wr_rand_below(&g.random, g.s.n + 1);
            struct wr_restore_result r;

            put_old(&g, old);
            if (k == 0) { /* somebody has */
                struct wr_bytes b = t_slurp(g.path);
                uint8_t *p = wr_arena_alloc(t_call()->scratch, b.n);

                memcpy(p, b.p, b.n);
                p[wr_rand_below(&g.random, b.n)] ^= 1;
                t_spew(g.path, p, b.n - wr_rand_below(&g.random, 3));
            }
            r = restore_over(&g, txid);
            T(r.bytes_kept <= r.bytes && (g.s.rolling || r.bytes_kept == 0));
            if (g.s.rolling && k > 0 && old == (txid ? txid : g.s.n))
                T(r.bytes_read == 0 && r.bytes_kept > 0);
        }
        rig_release(&g);
    }
}

/* A hundredth of the pages differs, the newest snapshot is newer than the copy, and the files by
 * which it could have been told are gone. */
static void test_what_is_fetched(void **state)
{
    struct wr_restore_result all, some;
    struct wr_storage_counts before, after;
    struct wr_restore_opts o;
    struct wr_err e = {0};
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, 8000);
    for (int i = 0; i < 20; i++)
        rig_commit(&g, 8000, 5);
    for (uint64_t i = 2; i <= 17; i += 4)
        story_put(&g.s, &g.w, 1, i, i + 3);
    for (uint64_t i = 2; i <= 17; i++)
        world_remove_key(&g.w, wr_layout_ltx_key(t_call()->scratch, g.w.storage, 0, i, i));
    story_put(&g.s, &g.w, 9, 1, 21);
    o = delta_opts(&g, 3);
    o.delta = false;
    T_OK(wr_restore(g.w.storage, t_call(), &o, &all, &e));
    put_old(&g, 3);
    wr_storage_counts(g.w.storage, &before);
    some = restore_over(&g, 0);
    wr_storage_counts(g.w.storage, &after);
    T(some.bytes_read * 50 < all.bytes_read);
    T(after.bytes_down - before.bytes_down < all.bytes_read / 25); /* with indexes */
    T(some.bytes_kept > some.bytes / 100 * 98);
    T(all.bytes_kept == 0);
    rig_release(&g);
}

static void note_fetching(void *arg, const struct wr_restore_progress *p)
{
    struct wr_restore_progress *last = arg;

    if (p->phase != WR_RESTORE_FETCHING)
        return;
    T(p->bytes_done >= last->bytes_done && p->bytes_done <= p->bytes_total && p->files > 0);
    *last = *p;
}

/* How much a file takes was not told, so that there was neither a rate nor a time left. */
static void test_progress_has_no_total(void **state)
{
    struct wr_restore_progress last = {.bytes_total = 0};
    struct wr_restore_result r = {0};
    struct wr_restore_opts o;
    struct wr_err e = {0};
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, SMALL);
    for (int i = 0; i < 3; i++)
        rig_commit(&g, SMALL, 20);
    put_old(&g, 1);
    o = delta_opts(&g, 1);
    o.progress = note_fetching;
    o.progress_arg = &last;
    T_OK(wr_restore(g.w.storage, t_call(), &o, &r, &e));
    T(last.files == 3 && last.bytes_total == r.bytes_read && last.bytes_done == r.bytes_read);
    T(r.bytes_kept > 0 && r.bytes_read > 0);
    rig_release(&g);
}

/* Of these nothing can be taken over, and all is fetched. */
static void test_what_is_no_help(void **state)
{
    static const char junk[] = "not a database, and not even a page of one";
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, SMALL);
    rig_commit(&g, SMALL, 3);
    T(restore_over(&g, 0).bytes_kept == 0); /* there is none */
    t_spew(g.path, junk, sizeof(junk));
    T(restore_over(&g, 0).bytes_kept == 0);
    t_spew(g.path, "", 0);
    T(restore_over(&g, 0).bytes_kept == 0);
    put_old(&g, 1);
    T(restore_over(&g, 0).bytes_kept > 0); /* for this one is */
    put_old(&g, 2);
    T(restore_over(&g, 1).bytes_kept == 0); /* there is no way back in time */
    put_old(&g, 1);
    world_remove_key(&g.w, wr_layout_ltx_key(t_call()->scratch, g.w.storage, 0, 2, 2));
    story_put(&g.s, &g.w, 9, 1, 2);
    T(restore_over(&g, 0).bytes_kept == 0); /* nothing but snapshots */
    put_old(&g, 2);
    T(restore_over(&g, 0).bytes_read == 0); /* but for the very same */
    rig_release(&g);
}

static void replace(struct rig *g, uint64_t txid, const uint8_t *p, size_t n)
{
    struct wr_str key = wr_layout_ltx_key(t_call()->scratch, g->w.storage, 0, txid, txid);

    world_remove_key(&g->w, key);
    world_store(&g->w, key, (struct wr_bytes){p, n}, 4000);
}

/* A file on the way back is damaged. Others lead there. */
static void test_a_damaged_file_on_the_way(void **state)
{
    uint8_t junk[3000];
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, 300);
    for (int i = 0; i < 4; i++)
        rig_commit(&g, 300, 5);
    story_put(&g.s, &g.w, 9, 1, 5);
    wr_rand_fill(&g.random, junk, sizeof(junk));
    replace(&g, 4, junk, sizeof(junk));
    put_old(&g, 2);
    T(restore_over(&g, 0).bytes_kept == 0);
    rig_release(&g);
}

/* Its header was read beyond its end. */
static void test_a_file_shorter_than_a_header(void **state)
{
    uint8_t junk[50] = "LTX1";
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, 300);
    for (int i = 0; i < 4; i++)
        rig_commit(&g, 300, 5);
    story_put(&g.s, &g.w, 9, 1, 5);
    replace(&g, 4, junk, sizeof(junk));
    put_old(&g, 2);
    T(restore_over(&g, 0).bytes_kept == 0);
    rig_release(&g);
}

static enum wr_status archived_with;

static enum wr_status get_archived(void *self, struct wr_call *c, struct wr_str key, uint64_t off,
    void *buf, size_t n, size_t *got, struct wr_str *version, struct wr_err *e)
{
    if (key.n > 6 && memcmp(key.p, "ltx/0/", 6) == 0)
        return wr_fail(e, archived_with, "it is in the archive");
    return world_get(self, c, key, off, buf, n, got, version, e);
}

/* Files that no plan needs could not be read, and that was the end of it. */
static void test_files_beyond_the_plan_cannot_be_read(void **state)
{
    static const enum wr_status with[] = {WR_IO, WR_AUTH};
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, 300);
    for (int i = 0; i < 4; i++)
        rig_commit(&g, 300, 5);
    story_put(&g.s, &g.w, 9, 1, 5);
    g.w.ops.get = get_archived;
    for (size_t i = 0; i < wr_countof(with); i++) {
        archived_with = with[i];
        put_old(&g, 2);
        T(restore_over(&g, 0).bytes_kept == 0);
    }
    rig_release(&g);
}

/* Two processes have written, and the copy is what the one wrote whose files do not count. Its own
 * file proved it. */
static void test_a_copy_of_another_history(void **state)
{
    struct story lost;
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, 300);
    for (int i = 0; i < 3; i++)
        rig_commit(&g, 300, 5);
    story_fork(&lost, &g.s, 2);
    story_commit(&lost, 300, 7);
    story_commit(&lost, 300, 7);
    story_put(&lost, &g.w, 1, 4, 4); /* which goes on from another 3 than is there */
    t_spew(g.path, lost.image[4].data, (size_t)300 * 512);
    T(restore_over(&g, 0).txid == 4);
    story_release(&lost);
    rig_release(&g);
}

static void test_a_time_from_before_1970(void **state)
{
    struct wr_restore_opts o;
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, 20);
    o = delta_opts(&g, 1);
    o.time_ms = INT64_MIN;
    T_IS(WR_MISUSE, wr_restore(g.w.storage, t_call(), &o, &r, &e));
    rig_release(&g);
}

static void cancel_placing(void *arg, const struct wr_restore_progress *p)
{
    if (p->phase == WR_RESTORE_PLACING)
        wr_cancel_now(arg);
}

/* The file was kept, with a promise to go on from it, and nobody could have. */
static void test_canceled_at_its_end(void **state)
{
    struct wr_restore_opts o;
    struct wr_restore_result r = {0};
    struct wr_cancel cancel;
    struct wr_call c = *t_call();
    struct wr_err e = {0};
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, 300);
    rig_commit(&g, 300, 5);
    put_old(&g, 1);
    o = delta_opts(&g, 1);
    o.resume_min = 1;
    o.progress = cancel_placing;
    o.progress_arg = c.cancel = &cancel;
    wr_cancel_init(&cancel);
    T_IS(WR_CANCELED, wr_restore(g.w.storage, &c, &o, &r, &e));
    T(!strstr(e.text, "kept"));
    check_is(&g, 1);
    wr_cancel_release(&cancel);
    rig_release(&g);
}

/* Whatever fails, the copy is there as it was, or the database is. */
static void test_requests_that_fail(void **state)
{
    static const enum wr_status with[] = {WR_IO, WR_AUTH, WR_NOTFOUND, WR_TIMEOUT};
    unsigned failed = 0;
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, 300);
    for (int i = 0; i < 4; i++)
        rig_commit(&g, 300, 5);
    wr_storage_set_retry(g.w.storage, 1, 1);
    for (uint64_t i = 0; i < 8 * wr_countof(with); i++) {
        const uint64_t nth = i / wr_countof(with) + 1;
        const struct wr_restore_opts o = delta_opts(&g, 1);
        struct wr_restore_result r = {0};
        struct wr_err e = {0};
        enum wr_status st;

        put_old(&g, 2);
        world_fail(&g.w, nth, 1, with[i % wr_countof(with)]);
        st = wr_restore(g.w.storage, t_call(), &o, &r, &e);
        check_is(&g, st == WR_OK ? 5 : 2);
        failed += st != WR_OK;
        world_fail(&g.w, 0, 0, WR_OK);
    }
    T(failed >= 8); /* the listing, whatever it was; and each of four gets that timed out */
    rig_release(&g);
}

/* ---- with the ledger of the database ---- */

/* As weir leaves it where TXID `txid` was the last one. */
static void put_ledger(const struct rig *g, const char *dir, size_t txid)
{
    const struct image *is = &g->s.image[txid];
    const struct wr_pos nowhere = {0};
    uint32_t lock = wr_ltx_lock_pgno(g->s.page_size, LOCK_OFFSET);
    struct wr_ledger *l = NULL;
    struct wr_err e = {0};

    T_OK(wr_ledger_open(wr_fs_posix(), dir, g->s.page_size, lock, 1, &l, &e));
    T_OK(wr_ledger_fill_begin(l, is->commit, &e));
    for (uint32_t p = 1; p <= is->commit; p++)
        if (p != lock)
            wr_ledger_fill(l, p,
                wr_ltx_page_checksum(
                    p, is->data + (size_t)(p - 1) * g->s.page_size, g->s.page_size));
    T(wr_ledger_fill_rolling(l) == is->rolling || !g->s.rolling);
    T_OK(wr_ledger_fill_end(l, txid, &nowhere, &e));
    wr_ledger_close(l);
}

/* A bit of each of `n` pages goes bad. */
static void rot(struct rig *g, size_t n)
{
    struct wr_bytes b = t_slurp(g->path);
    uint8_t *p = test_calloc(1, b.n);

    memcpy(p, b.p, b.n);
    while (n-- > 0)
        p[wr_rand_below(&g->random, b.n)] ^= 1;
    t_spew(g->path, p, b.n);
    test_free(p);
}

/* Restore over it with the local state in `dir`; bytes of the replica that were read. */
static uint64_t down_with(struct rig *g, const char *dir, struct wr_restore_result *ret)
{
    struct wr_restore_opts o = delta_opts(g, 3);
    struct wr_storage_counts before, after;
    struct wr_err e = {0};

    o.meta_dir = dir;
    wr_storage_counts(g->w.storage, &before);
    T_OK(wr_restore(g->w.storage, t_call(), &o, ret, &e));
    wr_storage_counts(g->w.storage, &after);
    check_is(g, g->s.n);
    return after.bytes_down - before.bytes_down;
}

/* Three pages of the newest state were damaged, that no increment has, and everything was fetched.
 * The same where the copy is some transactions old as well. */
static void test_a_damaged_page_cost_all_pages(void **state)
{
    struct wr_restore_result r = {0};
    const char *dir = t_tmpdir();
    uint64_t all, down;
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, 8000);
    for (int i = 0; i < 20; i++)
        rig_commit(&g, 8000, 5);
    all = down_with(&g, dir, &r); /* nothing is there yet */
    put_ledger(&g, dir, g.s.n);
    rot(&g, 3);
    down = down_with(&g, dir, &r);
    T(down * 4 < all); /* the index of the snapshot is most of it */
    T(r.bytes_read * 20 < all && r.bytes_kept > r.bytes / 1000 * 999); /* with all of small files */
    put_old(&g, 12);
    rot(&g, 3);
    T(down_with(&g, dir, &r) * 4 < all);
    T(r.bytes_read * 20 < all && r.bytes_kept > r.bytes / 100 * 98);
    rot(&g, 3);
    T(down_with(&g, t_tmpdir(), &r) > all / 2 && r.bytes_kept == 0); /* no ledger */
    rig_release(&g);
}

/* What is fetched for damaged pages did not count in what may be read before all is fetched anew:
 * of a copy that was damaged in many places, and old, more was fetched than that. */
static void test_what_mends_a_copy_was_not_counted(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_restore_result r = {0};
    struct wr_source source = {0};
    struct wr_err e = {0};
    uint64_t least = UINT64_MAX, most = 0;
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, 4000);
    for (int i = 0; i < 10; i++)
        rig_commit(&g, 4000, 200);
    (void)down_with(&g, dir, &r);
    put_ledger(&g, dir, g.s.n);
    put_old(&g, 8);
    rot(&g, 400);
    for (uint64_t limit = 100000; limit < 4000000; limit += 100000) {
        const struct wr_restore_opts given = delta_opts(&g, 3);
        struct wr_restore_opts o = wr_restore_defaults(&given);
        struct wr_delta_report is = {0};
        struct wr_file *out = NULL;
        enum wr_status st;

        o.meta_dir = dir;
        if (!source.plan.p)
            T_OK(wr_source_find(g.w.storage, t_call(), &o, &source, &e));
        T_OK(wr_file_open(wr_fs_posix(), t_path(dir, "out"),
            WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_TRUNC, 0600, &out, &e));
        st = wr_delta_fetch(
            g.w.storage, t_call(), &o, &source.all, &source.plan, limit, out, &is, &e);
        wr_file_close(out);
        T(st == WR_OK || st == WR_NOTFOUND);
        if (st == WR_OK) {
            T(is.fetched <= limit);
            least = wr_min(least, limit);
        } else {
            most = wr_max(most, limit);
        }
    }
    T(most < least && least < UINT64_MAX && most > 0); /* some do, some do not */
    wr_source_release(&source);
    rig_release(&g);
}

/* Whatever state the ledger is of, and whatever the copy. */
static void test_any_ledger_and_copy(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        const char *dir = t_tmpdir();
        struct rig g;

        rig_init(&g, round % 5 > 0, 512, 150);
        for (int i = 0; i < 8; i++)
            rig_commit(&g, 100 + (uint32_t)wr_rand_below(&g.random, 150),
                (uint32_t)wr_rand_below(&g.random, 12));
        random_files(&g);
        put_ledger(&g, dir, wr_rand_below(&g.random, g.s.n) + 1);
        for (int k = 0; k < 6; k++) {
            struct wr_restore_result r = {0};

            put_old(&g, wr_rand_below(&g.random, g.s.n) + 1);
            rot(&g, (size_t)wr_rand_below(&g.random, 4) * (size_t)wr_rand_below(&g.random, 60));
            (void)down_with(&g, dir, &r);
            T(g.s.rolling || r.bytes_kept == 0);
        }
        rig_release(&g);
    }
}

/* What is in the place of the ledger is none, or damaged itself. */
static void test_a_ledger_that_is_no_help(void **state)
{
    const char *dir = t_tmpdir(), *name = t_path(dir, "ledger");
    struct wr_restore_result r = {0};
    struct wr_bytes is;
    uint8_t *bad;
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, SMALL);
    rig_commit(&g, SMALL, 3);
    put_ledger(&g, dir, 2);
    is = t_slurp(name);
    for (size_t cut = 0; cut < is.n; cut += cut < 4096 ? 1365 : 4096) {
        put_old(&g, 1);
        t_spew(name, is.p, cut);
        (void)down_with(&g, dir, &r);
        T(r.bytes_kept > 0); /* by the increment */
    }
    bad = test_calloc(1, is.n);
    memcpy(bad, is.p, is.n);
    for (size_t i = 4096; i < is.n; i++)
        bad[i] ^= (uint8_t)wr_rand_below(&g.random, 256);
    put_old(&g, 1);
    t_spew(name, bad, is.n);
    (void)down_with(&g, dir, &r);
    T(r.bytes_kept > 0);
    test_free(bad);
    rig_release(&g);
}

static enum wr_status sweep_one(void *arg)
{
    struct rig *g = arg;
    struct wr_restore_opts o = delta_opts(g, 1);
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    o.meta_dir = g->meta;
    put_old(g, 2);
    return wr_restore(g->w.storage, t_call(), &o, &r, &e);
}

static void test_no_memory(void **state)
{
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, 20);
    for (int i = 0; i < 3; i++)
        rig_commit(&g, 20, 2);
    g.meta = t_tmpdir();
    put_ledger(&g, g.meta, 4);
    t_sweep_nomem(sweep_one, &g);
    check_is(&g, 4);
    rig_release(&g);
}

T_MAIN(T_TEST(test_the_way_back), T_TEST(test_random_copies), T_TEST(test_what_is_fetched),
    T_TEST(test_progress_has_no_total), T_TEST(test_what_is_no_help),
    T_TEST(test_a_damaged_file_on_the_way), T_TEST(test_a_file_shorter_than_a_header),
    T_TEST(test_files_beyond_the_plan_cannot_be_read), T_TEST(test_a_copy_of_another_history),
    T_TEST(test_a_time_from_before_1970), T_TEST(test_canceled_at_its_end),
    T_TEST(test_requests_that_fail), T_TEST(test_a_damaged_page_cost_all_pages),
    T_TEST(test_what_mends_a_copy_was_not_counted), T_TEST(test_any_ledger_and_copy),
    T_TEST(test_a_ledger_that_is_no_help), T_TEST(test_no_memory))
