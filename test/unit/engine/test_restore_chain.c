/*
 * test_restore_chain.c - replicas that hold more than one chain of files, not all of which fit or
 * are whole: as long as one does, it is restored, and never an older state instead.
 */
#include "base/bytes.h"
#include "engine/plan.h"
#include "engine/restore.h"
#include "ltx/index.h"
#include "unit/engine/resume_world.h"

/* ---- two histories ---- */

/* `b` becomes a database that was `a` up to transaction `at`. */
static void fork_story(struct story *b, const struct story *a, size_t at)
{
    story_init(b, a->random, a->page_size, a->lock_offset, a->pages_max, a->rolling);
    for (b->n = 1; b->n <= at; b->n++) {
        const struct image *was = &a->image[b->n];
        struct image *is = &b->image[b->n];
        size_t size = (size_t)was->commit * a->page_size;

        *is = *was;
        is->data = wr_alloc(size);
        is->changed = wr_alloc((size_t)a->pages_max + 1);
        T(is->data && is->changed);
        memcpy(is->data, was->data, size);
        memcpy(is->changed, was->changed, (size_t)a->pages_max + 1);
    }
    b->n = at;
}

static void go_on(struct story *s, size_t to)
{
    while (s->n < to)
        story_commit(s, 6 + (uint32_t)wr_rand_below(s->random, 6), 3);
}

struct two {
    struct wr_rand random;
    struct story a, b;
    struct world w;
    const char *dir, *path;
    struct wr_log log;
    size_t warnings;
    char said[2000]; /* the warnings */
};

static void hear(void *arg, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n)
{
    struct two *t = arg;
    struct wr_buf b;

    if (level < WR_WARN)
        return;
    t->warnings++;
    wr_buf_init(&b, 4096);
    wr_log_text(&b, fields, n);
    (void)snprintf(t->said + strlen(t->said), sizeof(t->said) - strlen(t->said), "%s " WR_FMT "\n",
        msg, WR_ARG(wr_buf_view(&b)));
    wr_buf_release(&b);
}

static void two_begin(struct two *t, size_t fork, size_t n, bool rolling)
{
    *t = (struct two){.dir = t_tmpdir(), .log = {.sink = hear, .min_level = WR_DEBUG}};
    t->log.arg = t;
    t->path = t_path(t->dir, "db");
    wr_rand_init(&t->random, t_seed() + fork + n);
    story_init(&t->a, &t->random, 512, LOCK_OFFSET, 200, rolling);
    world_init(&t->w, WR_STORAGE_LIST_TIME, "");
}

/* Two databases that parted after transaction `fork`, and an empty bucket. */
static void two_init(struct two *t, size_t fork, size_t n, bool rolling)
{
    two_begin(t, fork, n, rolling);
    go_on(&t->a, n);
    fork_story(&t->b, &t->a, fork);
    go_on(&t->b, n);
}

/* The same of databases that do not change their size, nor all of their pages in a few
 * transactions: in small ones it is left to chance whether a file says anything that others do not.
 */
static void two_init_large(struct two *t, size_t fork, size_t n, bool rolling)
{
    two_begin(t, fork, n, rolling);
    while (t->a.n < n)
        story_commit(&t->a, 100, 3);
    fork_story(&t->b, &t->a, fork);
    while (t->b.n < n) {
        story_commit(&t->b, 100, 3);
        story_rewrite(&t->b, 1, 100);
    }
}

static void two_release(struct two *t)
{
    world_release(&t->w);
    story_release(&t->a);
    story_release(&t->b);
}

static void put_singles(struct two *t, const struct story *s, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i <= to; i++)
        story_put(s, &t->w, 0, i, i);
}

static enum wr_status restore_with(
    struct two *t, struct wr_restore_opts o, struct wr_restore_result *r, struct wr_err *e)
{
    struct wr_call *c = t_call();
    enum wr_status st;

    o.path = t->path;
    o.lock_offset = LOCK_OFFSET;
    c->log = &t->log;
    t->warnings = 0;
    t->said[0] = '\0';
    world_fail(&t->w, t->w.fail_from, t->w.fail_n, t->w.fail_with);
    st = wr_restore(t->w.storage, c, &o, r, e);
    c->log = NULL;
    return st;
}

static bool holds(const char *path, const struct story *s, uint64_t txid)
{
    struct wr_bytes got = t_slurp(path);

    return got.n == (size_t)s->image[txid].commit * s->page_size &&
           memcmp(got.p, s->image[txid].data, got.n) == 0;
}

#define SOME SIZE_MAX

/* It restores to what `s` was at `txid`, with so many warnings, or some. */
static void check_restores(
    struct two *t, struct wr_restore_opts o, const struct story *s, uint64_t txid, size_t warnings)
{
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    T_OK(restore_with(t, o, &r, &e));
    T(r.txid == txid && holds(t->path, s, txid));
    if (warnings == SOME ? t->warnings == 0 : t->warnings != warnings)
        fail_msg("%zu warnings: %s", t->warnings, t->said);
    assert_int_equal(t_names_in(t->dir), 1);
    T(remove(t->path) == 0);
}

static void check_fails(struct two *t, struct wr_restore_opts o, const char *text)
{
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    T_IS(WR_CORRUPT, restore_with(t, o, &r, &e));
    if (!strstr(e.text, text))
        fail_msg("%s", e.text);
    assert_int_equal(t_names_in(t->dir), 0);
}

#define NEWEST     ((struct wr_restore_opts){0})
#define TXID(n)    ((struct wr_restore_opts){.txid = (n)})
#define BEFORE(ms) ((struct wr_restore_opts){.time_ms = (ms)})

/* Both were told that all is well: names were free. */
static void test_rival_wrote_a_range(void **state)
{
    struct two t;

    (void)state;
    two_init(&t, 1, 8, true);
    put_singles(&t, &t.a, 1, 8);
    story_put(&t.b, &t.w, 0, 2, 5);
    check_restores(&t, NEWEST, &t.a, 8, 1);
    T(strstr(t.said, "two processes have written"));
    T(strstr(t.said, "level 0 file 0000000000000006-0000000000000006.ltx does not continue level 0 "
                     "file 0000000000000002-0000000000000005.ltx"));
    check_restores(&t, TXID(8), &t.a, 8, 1);
    check_restores(&t, TXID(6), &t.a, 6, 1);
    check_restores(&t, BEFORE(7001), &t.a, 7, 1);
    /* Whose these are is not to be known: the plan by names, as ever. */
    check_restores(&t, TXID(5), &t.b, 5, 0);
    check_restores(&t, TXID(4), &t.a, 4, 0);
    two_release(&t);
}

static void test_snapshot_of_a_lost_history(void **state)
{
    for (int older = 0; older < 2; older++) {
        struct two t;

        two_init(&t, 12, 20, true);
        put_singles(&t, &t.a, 1, 20);
        story_put(&t.b, &t.w, 9, 1, 16);
        if (older)
            story_put(&t.a, &t.w, 9, 1, 10);
        check_restores(&t, NEWEST, &t.a, 20, 1);
        check_restores(&t, TXID(17), &t.a, 17, 1);
        two_release(&t);
    }
    (void)state;
}

/* Where a file begins within the one before it, the checksum of the image is what tells. */
static void test_misfit_that_no_header_tells(void **state)
{
    struct two t;

    (void)state;
    two_init_large(&t, 2, 12, true);
    put_singles(&t, &t.a, 1, 6);
    story_put(&t.b, &t.w, 9, 1, 8);
    story_put(&t.a, &t.w, 1, 6, 12);
    check_restores(&t, NEWEST, &t.a, 12, 1);
    T(strstr(t.said, "do not add up"));
    two_release(&t);

    /* Also if the right way has such a join, too. */
    two_init_large(&t, 2, 12, true);
    story_put(&t.b, &t.w, 9, 1, 8);
    story_put(&t.a, &t.w, 9, 1, 7);
    story_put(&t.a, &t.w, 1, 6, 12);
    check_restores(&t, NEWEST, &t.a, 12, 1);
    two_release(&t);
}

static void test_two_files_end_at_the_newest(void **state)
{
    struct two t;

    (void)state;
    /* The rival's goes further back, and does not fit. */
    two_init(&t, 1, 8, true);
    put_singles(&t, &t.a, 1, 8);
    story_put(&t.b, &t.w, 0, 4, 8);
    check_restores(&t, NEWEST, &t.a, 8, 1);
    /* It has a chain of its own: what names prefer is as good as anything. */
    story_put(&t.b, &t.w, 1, 2, 3);
    check_restores(&t, NEWEST, &t.b, 8, 0);
    two_release(&t);
}

/* Litestream's files say nothing of what they begin with. */
static void test_files_without_rolling_fit_by_name(void **state)
{
    struct two t;

    (void)state;
    two_init(&t, 1, 8, false);
    put_singles(&t, &t.a, 1, 8);
    story_put(&t.a, &t.w, 1, 2, 5);
    check_restores(&t, NEWEST, &t.a, 8, 0);
    two_release(&t);

    two_init(&t, 1, 8, true);
    t.a.rolling = t.b.rolling = false;
    put_singles(&t, &t.a, 1, 5);
    story_put(&t.b, &t.w, 1, 2, 5);
    t.a.rolling = true;
    put_singles(&t, &t.a, 6, 8);
    /* 2-5 is the rival's, 6-6 does not tell: the image does. */
    check_restores(&t, NEWEST, &t.a, 8, 1);
    two_release(&t);
}

/* A file that has all pages continues whatever is before it. */
static void test_misfit_that_has_all_pages(void **state)
{
    struct two t;

    (void)state;
    two_init(&t, 2, 6, true);
    memset(t.b.image[5].changed + 1, 1, t.b.image[5].commit);
    memset(t.b.image[6].changed + 1, 1, t.b.image[6].commit);
    put_singles(&t, &t.a, 1, 4);
    put_singles(&t, &t.b, 5, 6);
    check_restores(&t, NEWEST, &t.b, 6, 0);
    two_release(&t);

    /* It does not have all. */
    two_init(&t, 2, 6, true);
    put_singles(&t, &t.a, 1, 4);
    put_singles(&t, &t.b, 5, 6);
    check_fails(&t, NEWEST, "does not continue level 0 file 0000000000000004-0000000000000004.ltx");
    check_fails(&t, NEWEST, "-txid 0000000000000004");
    check_restores(&t, TXID(4), &t.a, 4, 0);
    two_release(&t);
}

/* ---- damage ---- */

enum damage {
    HEADER,
    MIDDLE,
    TRAILER,
    CUT,
    STUMP
};
#define DAMAGES 5

/* Put the file of `s` into the bucket, but spoilt. */
static void put_damaged(struct two *t, const struct story *s, unsigned level, uint64_t min,
    uint64_t max, enum damage how)
{
    struct wr_call *c = t_call();
    struct wr_buf b;
    size_t n;

    wr_buf_init(&b, (size_t)1 << 28);
    story_file(s, min, max, &b);
    n = how == CUT ? b.n / 2 : how == STUMP ? 50 : b.n;
    if (how == HEADER)
        b.p[0] ^= 1;
    else if (how == MIDDLE)
        b.p[b.n / 2] ^= 0x40;
    else if (how == TRAILER)
        b.p[b.n - 3] ^= 0x10;
    world_store(&t->w, wr_layout_ltx_key(c->scratch, t->w.storage, level, min, max),
        (struct wr_bytes){b.p, n}, (int64_t)max * 1000);
    wr_buf_release(&b);
}

static void test_damaged_snapshot(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        for (int how = 0; how < DAMAGES; how++) {
            struct two t;

            two_init(&t, 1, 9, rolling);
            put_singles(&t, &t.a, 1, 9);
            story_put(&t.a, &t.w, 9, 1, 3);
            put_damaged(&t, &t.a, 9, 1, 6, (enum damage)how);
            check_restores(&t, NEWEST, &t.a, 9, 1);
            T(strstr(t.said, "a file of the replica is damaged") &&
                strstr(t.said, "0000000000000006"));
            check_restores(&t, TXID(6), &t.a, 6, 1);
            check_restores(&t, BEFORE(8001), &t.a, 8, 1);
            check_restores(&t, TXID(5), &t.a, 5, 0);
            two_release(&t);
        }
    }
}

static void test_damaged_compacted_file(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        for (int how = 0; how < DAMAGES; how++) {
            struct two t;

            two_init(&t, 1, 9, rolling);
            put_singles(&t, &t.a, 1, 9);
            put_damaged(&t, &t.a, 2, 2, 7, (enum damage)how);
            put_damaged(&t, &t.a, 1, 2, 4, (enum damage)((how + 1) % DAMAGES));
            story_put(&t.a, &t.w, 1, 5, 7);
            check_restores(&t, NEWEST, &t.a, 9, SOME);
            check_restores(&t, TXID(7), &t.a, 7, SOME);
            two_release(&t);
        }
    }
}

/* An older state is never passed off as the newest: the error names it. */
static void test_newest_file_damaged(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        for (int how = 0; how < DAMAGES; how++) {
            struct two t;

            two_init(&t, 1, 9, rolling);
            put_singles(&t, &t.a, 1, 8);
            put_damaged(&t, &t.a, 0, 9, 9, (enum damage)how);
            check_fails(&t, NEWEST, "-txid 0000000000000008");
            check_fails(&t, TXID(9), "-txid 0000000000000008");
            check_fails(&t, BEFORE(10000), "-txid 0000000000000008");
            check_restores(&t, TXID(8), &t.a, 8, 0);
            check_restores(&t, BEFORE(9000), &t.a, 8, 0);
            /* Nor one that others lead around. */
            story_put(&t.a, &t.w, 1, 8, 9);
            check_restores(&t, NEWEST, &t.a, 9, 0);
            two_release(&t);
        }
    }
}

static void test_nothing_left(void **state)
{
    struct two t;

    (void)state;
    two_init(&t, 1, 3, true);
    put_damaged(&t, &t.a, 0, 1, 1, MIDDLE);
    put_singles(&t, &t.a, 2, 3);
    check_fails(&t, NEWEST, "level 0 file 0000000000000001-0000000000000001.ltx");
    check_fails(&t, TXID(1), "level 0 file 0000000000000001-0000000000000001.ltx");
    two_release(&t);
}

/* A large file is not read whole; which one has the wrong page shows when all are. */
static void large_init(struct two *t)
{
    two_init(t, 0, 0, true);
    t->a.pages_max = 3000;
    story_commit(&t->a, 2000, 0);
    story_commit(&t->a, 2000, 3);
    story_commit(&t->a, 2100, 40);
    story_commit(&t->a, 2100, 2);
    put_singles(t, &t->a, 1, 4);
}

static void test_wrong_page_in_a_large_file(void **state)
{
    struct two t;
    size_t found = 0;

    (void)state;
    for (int i = 0; i < 8; i++) {
        struct wr_call *c;
        struct wr_buf b;

        large_init(&t);
        wr_rand_init(&t.random, t_seed() + (uint64_t)i);
        wr_buf_init(&b, (size_t)1 << 28);
        story_file(&t.a, 1, 3, &b);
        b.p[b.n / 8 + wr_rand_below(&t.random, b.n / 2)] ^= 1;
        c = t_call();
        world_store(
            &t.w, wr_layout_ltx_key(c->scratch, t.w.storage, 9, 1, 3), wr_buf_bytes(&b), 3000);
        {
            struct wr_restore_result r = {0};
            struct wr_err e = {0};

            T_OK(restore_with(&t, (struct wr_restore_opts){.resume_min = i % 2 ? 1 : 0}, &r, &e));
            T(holds(t.path, &t.a, 4) && remove(t.path) == 0);
            T(t.warnings <= 2 && (t.warnings < 2 || strstr(t.said, "reading all files in full")));
            found += t.warnings == 2;
        }
        wr_buf_release(&b);
        two_release(&t);
    }
    T(found > 0);
}

/* The length of the index was believed: a bit of it cost as much memory as the file has bytes. */
static void test_a_damaged_length_of_the_index(void **state)
{
    (void)state;
    for (int large = 0; large < 2; large++) {
        size_t size = large ? (size_t)2 << 20 : (size_t)100 << 10;
        struct two t;
        struct wr_buf b;

        two_init(&t, 1, 4, true);
        put_singles(&t, &t.a, 1, 4);
        wr_buf_init(&b, (size_t)1 << 28);
        story_file(&t.a, 1, 3, &b);
        {
            uint8_t *bytes = wr_alloc(size), *end = bytes + size - WR_LTX_TAIL_MIN;
            uint64_t length = size * 3 / 4;

            T(bytes && b.n < size - length);
            memcpy(bytes, b.p, b.n); /* with its header */
            memcpy(end, b.p + b.n - WR_LTX_TAIL_MIN, WR_LTX_TAIL_MIN);
            wr_put_be64(end, length);
            world_store(&t.w, wr_layout_ltx_key(t_call()->scratch, t.w.storage, 9, 1, 3),
                (struct wr_bytes){bytes, size}, 3000);
            wr_free(bytes);
        }
        wr_buf_release(&b);
        check_restores(&t, NEWEST, &t.a, 4, 1);
        T(strstr(t.said, "page index of") && strstr(t.said, "bytes for a database of"));
        T(t.w.piece_bytes <= (large ? 0 : 2 * size)); /* none for an index that cannot be */
        two_release(&t);
    }
}

static void test_file_that_lacks_a_page(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        struct two t;

        two_init(&t, 1, 1, rolling);
        story_commit(&t.a, 15, 0);
        go_on(&t.a, 5);
        story_commit(&t.a, 15, 0);
        story_release(&t.b);
        fork_story(&t.b, &t.a, 6);
        for (size_t i = 2; i <= 6; i++)
            t.b.image[i].changed[14] = 0;
        put_singles(&t, &t.a, 1, 6);
        story_put(&t.b, &t.w, 1, 2, 6);
        check_restores(&t, NEWEST, &t.a, 6, 1);
        T(strstr(t.said, "page 14 missing"));
        two_release(&t);
    }
}

/* ---- how much work it is ---- */

/* Of a whole chain nothing is read but its files. */
static void test_good_case_costs_nothing(void **state)
{
    struct two t;
    uint64_t listings;
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    (void)state;
    two_init(&t, 1, 9, true);
    T_IS(WR_NOTFOUND, restore_with(&t, NEWEST, &r, &e));
    listings = t.w.requests;
    put_singles(&t, &t.a, 1, 9);
    story_put(&t.a, &t.w, 9, 1, 6);
    check_restores(&t, NEWEST, &t.a, 9, 0);
    assert_int_equal(t.w.requests - listings, 4);
    two_release(&t);
}

/* A database of two pages: `x` is in the first, which every file has, `y` in the second, which only
 * snapshots have. */
static uint64_t tiny_page(uint32_t pgno, uint64_t value, uint8_t page[512])
{
    memset(page, 0, 512);
    wr_put_be64(page, value);
    return wr_ltx_page_checksum(pgno, page, 512);
}

static uint64_t tiny_sum(uint64_t x, uint64_t y)
{
    uint8_t page[512];
    uint64_t sum = tiny_page(1, x, page);

    return wr_ltx_rolling(wr_ltx_rolling(WR_LTX_CHECKSUM_EMPTY, 0, sum), 0, tiny_page(2, y, page));
}

static void put_tiny(
    struct two *t, uint64_t min, uint64_t max, uint64_t before, uint64_t after, uint64_t y)
{
    uint8_t page[512];
    const struct wr_ltx_header h = {.page_size = 512,
        .commit = 2,
        .min_txid = min,
        .max_txid = max,
        .has_rolling = true,
        .rolling_pre = min == 1 ? WR_LTX_CHECKSUM_EMPTY : tiny_sum(before, y),
        .rolling_post = tiny_sum(after, y)};
    struct wr_call *c = t_call();
    struct wr_ltx_enc *enc = NULL;
    struct wr_ltx_trailer trailer;
    struct wr_buf b;
    uint64_t size;
    struct wr_err e = {0};

    wr_buf_init(&b, (size_t)1 << 20);
    T_OK(wr_ltx_enc_new(&h, LOCK_OFFSET, story_sink, &b, &enc, &e));
    (void)tiny_page(1, after, page);
    T_OK(wr_ltx_enc_page(enc, 1, page, &e));
    (void)tiny_page(2, y, page);
    if (min == 1)
        T_OK(wr_ltx_enc_page(enc, 2, page, &e));
    T_OK(wr_ltx_enc_finish(enc, &trailer, &size, &e));
    wr_ltx_enc_free(enc);
    world_store(
        &t->w, wr_layout_ltx_key(c->scratch, t->w.storage, 0, min, max), wr_buf_bytes(&b), 1);
    wr_buf_release(&b);
}

#define RIVALS 200u

/* Singles of ours, and of each two a file of a rival's; these fit each other, but not the last. If
 * not `whole` ours do not fit each other either. */
static void put_pairs(struct two *t, bool whole)
{
    put_tiny(t, 1, 1, 0, 1, 7);
    for (uint64_t i = 2; i <= 2 * RIVALS + 1; i++) {
        put_tiny(t, i, i, i - 1, i, whole || i == 2 ? 7 : 9);
        if (i % 2 == 0)
            put_tiny(t, i, i + 1, i == 2 ? 1 : 10000 + i - 1, 10000 + i + 1, i == 2 ? 7 : 8);
    }
    put_tiny(t, 2 * RIVALS + 2, 2 * RIVALS + 2, 2 * RIVALS + 1, 2 * RIVALS + 2, whole ? 7 : 9);
}

/* A compaction of all there is, above the first snapshot: "two processes have written to it". */
static void test_a_file_that_covers_the_snapshot_was_taken_for_a_rivals(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        struct two t;

        two_init(&t, 1, 6, rolling);
        story_put(&t.a, &t.w, 9, 1, 1);
        story_put(&t.a, &t.w, 1, 1, 5);
        story_put(&t.a, &t.w, 0, 6, 6);
        check_restores(&t, NEWEST, &t.a, 6, 0);
        check_restores(&t, TXID(5), &t.a, 5, 0);
        check_restores(&t, TXID(1), &t.a, 1, 0);
        two_release(&t);
    }
}

/* Ways that had not been looked at seemed better than one whose files record no checksums. */
static void test_every_header_was_read_for_one_damaged_file(void **state)
{
    struct two t;

    (void)state;
    two_init(&t, 1, 36, false);
    put_singles(&t, &t.a, 1, 36);
    for (uint64_t i = 1; i <= 36; i += 3)
        story_put(&t.a, &t.w, 1, i, i + 2);
    for (uint64_t i = 1; i <= 36; i += 9)
        story_put(&t.a, &t.w, 2, i, i + 8);
    check_restores(&t, NEWEST, &t.a, 36, 0);
    put_damaged(&t, &t.a, 2, 10, 18, MIDDLE);
    check_restores(&t, NEWEST, &t.a, 36, 1);
    /* Listings, 4 files, 3 headers instead of the damaged one, 6 files. */
    T(t.w.requests <= 4 + 4 + 3 + 6);
    two_release(&t);
}

/* All 39 transactions were there, but the 20th damaged file was one too many. */
static void test_many_damaged_files_were_too_many(void **state)
{
    struct two t;

    (void)state;
    two_init(&t, 1, 39, true);
    put_singles(&t, &t.a, 1, 39);
    for (unsigned level = 1; level <= 3; level++) {
        for (uint64_t i = 2; i < 39; i += 2)
            put_damaged(&t, &t.a, level, i, i + 1, (enum damage)(i / 2 % DAMAGES));
    }
    check_restores(&t, NEWEST, &t.a, 39, SOME);
    T(strstr(t.said, "files are damaged, one of them"));
    T(t.warnings <= 9); /* for each level: too short; by their ends; by their pages */
    two_release(&t);
}

/* As put by a process that went wrong: all checksums are right but one page is not what they speak
 * of. */
static void put_lying(struct two *t, unsigned level, uint64_t min, uint64_t max)
{
    uint8_t *byte = story_page(&t->a, max, 1) + 100;

    *byte ^= 1;
    story_put(&t->a, &t->w, level, min, max);
    *byte ^= 1;
}

/* Every file was proven, all fitted each other, and no other chain was tried. */
static void test_a_file_that_lies_hid_a_whole_chain(void **state)
{
    struct two t;

    (void)state;
    two_init(&t, 1, 8, true);
    for (size_t i = 2; i <= 8; i++)
        t.a.image[i].changed[1] = 1;
    story_put(&t.a, &t.w, 9, 1, 1);
    put_singles(&t, &t.a, 2, 8);
    put_lying(&t, 3, 2, 8);
    check_restores(&t, NEWEST, &t.a, 8, 1);
    T(strstr(t.said, "do not add up"));
    /* More than one, and in chains of files. */
    put_lying(&t, 2, 2, 4);
    put_lying(&t, 2, 5, 8);
    put_lying(&t, 1, 5, 8);
    check_restores(&t, NEWEST, &t.a, 8, SOME);
    two_release(&t);
}

/* For the newest state a gap is an error; by time, an older state was restored without a word. */
static void test_a_gap_before_the_time_was_not_told(void **state)
{
    struct two t;

    (void)state;
    two_init(&t, 1, 6, true);
    put_singles(&t, &t.a, 1, 3);
    put_singles(&t, &t.a, 5, 6);
    check_restores(&t, BEFORE(6001), &t.a, 3, 1);
    T(strstr(t.said, "behind a gap") && strstr(t.said, "next=0000000000000005"));
    check_restores(&t, BEFORE(5001), &t.a, 3, 1);
    check_restores(&t, BEFORE(5000), &t.a, 3, 0);
    story_put(&t.a, &t.w, 9, 1, 4);
    check_restores(&t, BEFORE(6001), &t.a, 6, 0);
    two_release(&t);
}

/* By time that was a gap in the replica and no error: files came while it was listed. */
static void test_a_listing_while_files_come_was_told_of_as_a_gap(void **state)
{
    struct two t;
    struct wr_ltx_files plan = {0};
    struct wr_err e = {0};

    (void)state;
    two_init(&t, 1, 6, true);
    put_singles(&t, &t.a, 1, 6);
    t.w.unlisted = "0000000000000004-";
    check_restores(&t, BEFORE(6001), &t.a, 3, 1);
    t.w.unlisted_n = 1;
    check_restores(&t, BEFORE(6001), &t.a, 6, 0);
    t.w.unlisted = "0000000000000004-";
    t.w.unlisted_n = 1;
    T_OK(wr_restore_plan(t.w.storage, t_call(), &BEFORE(6001), &plan, &e));
    T(plan.n == 6 && plan.p[0].min == 1 && plan.p[5].max == 6);
    wr_ltx_files_release(&plan);
    two_release(&t);
}

static unsigned listings, comes_until;
static const struct story *coming;

static void one_more_comes(struct world *w)
{
    if (++listings <= comes_until)
        story_put(coming, w, 0, 4 + listings, 4 + listings);
}

/* A gap is listed twice, and four times while files come; one is for what Litestream 0.3 has. */
static void test_a_gap_is_believed_some_time(void **state)
{
    static const struct {
        unsigned comes_until, listings;
    } cases[] = {{0, 3}, {1, 3}, {2, 4}, {3, 4}, {4, 5}, {9, 5}};

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct two t;

        two_init(&t, 1, 14, true);
        put_singles(&t, &t.a, 1, 2);
        story_put(&t.a, &t.w, 0, 4, 4);
        coming = &t.a;
        comes_until = cases[i].comes_until;
        t.w.at_list = one_more_comes;
        listings = 0;
        check_restores(&t, BEFORE(90001), &t.a, 2, 1);
        T(listings == cases[i].listings);
        two_release(&t);
    }
}

/* What the others hold would have done. */
static void test_one_file_that_cannot_be_read_ended_it(void **state)
{
    const struct wr_restore_opts one = {.parallel = 1};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    uint64_t last;
    struct two t;

    (void)state;
    two_init(&t, 1, 8, true);
    put_singles(&t, &t.a, 1, 8);
    story_put(&t.a, &t.w, 1, 2, 8);
    check_restores(&t, one, &t.a, 8, 0);
    last = t.w.requests;
    world_fail(&t.w, last, 1, WR_IO);
    check_restores(&t, one, &t.a, 8, 1);
    T(strstr(t.said, "cannot be read") && strstr(t.said, "0000000000000002-0000000000000008"));
    /* No file of a replica that is out of reach is any better. */
    world_fail(&t.w, last, UINT64_MAX, WR_IO);
    T_IS(WR_IO, restore_with(&t, one, &r, &e));
    T(strstr(e.text, "made to fail") && t.w.requests <= last + 3);
    two_release(&t);
}

/* Requests for one object that are answered in a way of their own. */
struct answer {
    struct wr_str key;
    enum wr_status with; /* a failure; OK: a bit of what was asked for is flipped */
    size_t at;           /* byte of the object */
    unsigned times;      /* that are left */
};
static struct answer answers[4];

static enum wr_status answer_get(void *self, struct wr_call *c, struct wr_str key, uint64_t off,
    void *buf, size_t n, size_t *got, struct wr_str *version, struct wr_err *e)
{
    enum wr_status st = world_get(self, c, key, off, buf, n, got, version, e);

    for (size_t i = 0; st == WR_OK && i < wr_countof(answers); i++) {
        struct answer *a = &answers[i];

        if (a->times == 0 || !wr_str_eq(a->key, key) || a->at < off || a->at >= off + *got)
            continue;
        a->times--;
        if (a->with != WR_OK)
            return wr_fail(e, a->with, "made to fail");
        ((uint8_t *)buf)[a->at - off] ^= 4;
    }
    return st;
}

static void answer(struct world *w, size_t i, struct answer a)
{
    w->ops.get = answer_get;
    answers[i] = a;
}

/* The chain by names had a damaged file, and of three others each had a denied one. */
static void test_one_header_that_cannot_be_read_ended_it(void **state)
{
    static const enum wr_status with[] = {WR_IO, WR_AUTH};

    (void)state;
    for (size_t i = 0; i < wr_countof(with); i++) {
        struct wr_restore_result r = {0};
        struct wr_err e = {0};
        struct two t;

        two_init(&t, 1, 8, true);
        wr_storage_set_retry(t.w.storage, 1, 1);
        put_singles(&t, &t.a, 1, 8);
        for (unsigned level = 1; level <= 4; level++)
            story_put(&t.a, &t.w, level, 2, level == 1 ? 7 : 8);
        put_damaged(&t, &t.a, 5, 2, 8, MIDDLE);
        for (unsigned level = 2; level <= 4; level++)
            answer(&t.w, level - 2,
                (struct answer){
                    .key = wr_layout_ltx_key(t_call()->scratch, t.w.storage, level, 2, 8),
                    .with = with[i],
                    .times = ~0u});
        check_restores(&t, NEWEST, &t.a, 8, SOME);
        T(strstr(t.said, "cannot be read, and is done without"));
        /* One more of these, and it is the storage. */
        answer(&t.w, 3,
            (struct answer){.key = wr_layout_ltx_key(t_call()->scratch, t.w.storage, 1, 2, 7),
                .with = with[i],
                .times = ~0u});
        T_IS(with[i], restore_with(&t, NEWEST, &r, &e));
        T(strstr(e.text, "made to fail"));
        /* Nothing is known to be lost as long as what may lead there cannot be read. */
        answers[3].times = answers[2].times = answers[1].times = 0;
        for (unsigned level = 1; level <= 3; level++)
            world_remove_key(&t.w,
                wr_layout_ltx_key(t_call()->scratch, t.w.storage, level, 2, level == 1 ? 7 : 8));
        answers[0].key = wr_layout_ltx_key(t_call()->scratch, t.w.storage, 4, 2, 8);
        world_remove_key(&t.w, wr_layout_ltx_key(t_call()->scratch, t.w.storage, 0, 3, 3));
        T_IS(with[i], restore_with(&t, NEWEST, &r, &e));
        T(strstr(e.text, "level 5 file") && strstr(e.text, "cannot be read: "));
        memset(answers, 0, sizeof(answers));
        check_restores(&t, NEWEST, &t.a, 8, 1);
        two_release(&t);
    }
}

/* A bit was flipped on the way, once: the file was done without, or the restore failed. */
static void test_one_bad_answer_was_taken_for_damage(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        for (uint64_t txid = 1; txid <= 4; txid += 3) {
            struct wr_str key;
            struct two t;
            struct wr_buf b;
            size_t size, told = 0;

            two_init(&t, 1, 4, rolling);
            put_singles(&t, &t.a, 1, 4);
            wr_buf_init(&b, (size_t)1 << 28);
            story_file(&t.a, txid, txid, &b);
            size = b.n;
            wr_buf_release(&b);
            key = wr_layout_ltx_key(t_call()->scratch, t.w.storage, 0, txid, txid);
            for (size_t at = 0; at < size; at += at < 100 || at + 60 > size ? 1 : 37) {
                answer(&t.w, 0, (struct answer){.key = key, .at = at, .times = 1});
                check_restores(&t, NEWEST, &t.a, 4, 0);
                T(answers[0].times == 0);
                answers[0].times = 2; /* that is damage, as far as one can tell */
                told += restore_with(&t, NEWEST, &(struct wr_restore_result){0}, NULL) != WR_OK;
                (void)remove(t.path);
            }
            T(told > 100);
            answers[0].times = 0;
            two_release(&t);
        }
    }
}

/* A compaction and its clean-up, between the listing and the first request for a page. */
struct compaction {
    struct two *t;
    unsigned n, at_most; /* times it came and went */
    bool newest_lost;
};

static struct wr_str single(struct two *t, uint64_t txid)
{
    return wr_layout_ltx_key(t_call()->scratch, t->w.storage, 0, txid, txid);
}

static void compact(struct compaction *x)
{
    struct two *t = x->t;
    unsigned level = ++x->n;

    if (x->newest_lost) {
        world_remove_key(&t->w, single(t, 8));
        return;
    }
    story_put(&t->a, &t->w, level, 2, 8);
    if (level == 1) {
        for (uint64_t i = 2; i <= 8; i++)
            world_remove_key(&t->w, single(t, i));
    } else {
        world_remove_key(
            &t->w, wr_layout_ltx_key(t_call()->scratch, t->w.storage, level - 1, 2, 8));
    }
}

static void at_progress(void *arg, const struct wr_restore_progress *p)
{
    struct compaction *x = arg;

    /* One of the two files, on the caller's thread: the other is yet to be read. */
    if (p->phase == WR_RESTORE_INDEXING && p->files == 1 && x->n < x->at_most)
        compact(x);
}

/* The replica held it all the time. */
static void test_a_file_that_vanished_ended_it(void **state)
{
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    (void)state;
    /* within bounds; too often; there is less now; and it was asked for by its TXID */
    for (int how = 0; how < 4; how++) {
        struct two t;
        struct compaction x = {.t = &t, .at_most = how == 1 ? 6 : 3, .newest_lost = how >= 2};
        const struct wr_restore_opts o = {
            .txid = how == 3 ? 8 : 0, .parallel = 1, .progress = at_progress, .progress_arg = &x};

        two_init(&t, 1, 8, true);
        put_singles(&t, &t.a, 1, 8);
        if (how == 0) {
            check_restores(&t, o, &t.a, 8, 0);
        } else if (how == 3) {
            T_IS(WR_NOTFOUND, restore_with(&t, o, &r, &e));
            T(strstr(e.text, "the nearest one before it is 0000000000000007"));
            assert_int_equal(t_names_in(t.dir), 0);
        } else {
            T_IS(WR_BUSY, restore_with(&t, o, &r, &e));
            T(strstr(e.text, "vanished"));
            assert_int_equal(t_names_in(t.dir), 0);
        }
        T(x.n == (how == 0 ? 3 : how == 1 ? 4 : 1));
        two_release(&t);
    }
}

/* Put the file of `min` to `max` into the bucket under the name of `as_min` to `as_max`. */
static void put_as(struct two *t, const struct story *s, uint64_t min, uint64_t max, unsigned level,
    uint64_t as_min, uint64_t as_max)
{
    struct wr_buf b;

    wr_buf_init(&b, (size_t)1 << 28);
    story_file(s, min, max, &b);
    world_store(&t->w, wr_layout_ltx_key(t_call()->scratch, t->w.storage, level, as_min, as_max),
        wr_buf_bytes(&b), (int64_t)as_max * 1000);
    wr_buf_release(&b);
}

/* Under the name of 1-4 there was 1-2: that was restored, and called 4. */
static void test_a_name_that_lies_was_believed(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        struct two t;

        two_init(&t, 1, 4, rolling);
        put_as(&t, &t.a, 1, 2, 9, 1, 4);
        put_singles(&t, &t.a, 1, 4);
        check_restores(&t, NEWEST, &t.a, 4, 1);
        T(strstr(t.said, "its header says 0000000000000001-0000000000000002"));
        world_remove_key(&t.w, wr_layout_ltx_key(t_call()->scratch, t.w.storage, 0, 3, 3));
        check_fails(&t, NEWEST, "its header says 0000000000000001-0000000000000002");
        check_fails(&t, NEWEST, "ends with -txid 0000000000000002");
        check_fails(&t, TXID(4), "ends with -txid 0000000000000002");
        check_restores(&t, TXID(2), &t.a, 2, 0);
        two_release(&t);
    }
}

/* A copy of an older file in the place of the newest, and two that were exchanged: an older state
 * was restored as the newest one. */
static void test_the_newest_name_had_an_older_state(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        struct two t;

        two_init(&t, 1, 6, rolling);
        put_singles(&t, &t.a, 1, 5);
        put_as(&t, &t.a, 4, 4, 0, 6, 6);
        check_fails(&t, NEWEST, "its header says 0000000000000004-0000000000000004");
        check_fails(&t, NEWEST, "ends with -txid 0000000000000005");
        check_fails(&t, BEFORE(6001), "ends with -txid 0000000000000005");
        check_restores(&t, TXID(5), &t.a, 5, 0);
        put_as(&t, &t.a, 6, 6, 0, 5, 5);
        put_as(&t, &t.a, 5, 5, 0, 6, 6);
        check_fails(&t, NEWEST, "2 files are damaged, one of them: level 0 file 0000000000000005");
        check_fails(&t, NEWEST, "ends with -txid 0000000000000004");
        check_restores(&t, TXID(4), &t.a, 4, 0);
        two_release(&t);
    }
}

/* Within the chain, and not its end. Litestream takes what it finds there; of a file that records
 * what it continues it is known that it does not. */
static void test_a_misnamed_file_within_the_chain(void **state)
{
    struct two t;

    (void)state;
    two_init(&t, 1, 5, false);
    put_singles(&t, &t.a, 1, 5);
    put_as(&t, &t.a, 2, 3, 0, 3, 3);
    check_restores(&t, NEWEST, &t.a, 5, 1);
    T(strstr(t.said, "another one's name"));
    check_restores(&t, TXID(3), &t.a, 3, 1); /* it ends where its name says */
    two_release(&t);

    two_init_large(&t, 1, 5, true);
    put_singles(&t, &t.a, 1, 5);
    put_as(&t, &t.a, 2, 2, 0, 3, 3);
    check_fails(&t, NEWEST, "its header says 0000000000000002-0000000000000002");
    check_fails(&t, NEWEST, "ends with -txid 0000000000000002");
    two_release(&t);

    /* The newest file records no checksum that could prove the image. */
    two_init_large(&t, 1, 5, true);
    put_singles(&t, &t.a, 1, 4);
    put_as(&t, &t.a, 2, 2, 0, 3, 3);
    t.a.rolling = false;
    put_singles(&t, &t.a, 5, 5);
    check_fails(&t, NEWEST, "its header says 0000000000000002-0000000000000002");
    two_release(&t);
}

/* Two had written, and the file by which the way of one of them ends has a name that lies: its
 * state was restored under the name of a later one. */
static void test_a_name_that_lies_on_the_other_way(void **state)
{
    struct two t;

    (void)state;
    two_init(&t, 2, 8, true);
    put_singles(&t, &t.a, 1, 6);
    story_put(&t.b, &t.w, 0, 5, 8);
    put_as(&t, &t.a, 7, 7, 1, 7, 8);
    check_fails(&t, NEWEST, "ends with -txid 0000000000000006");
    two_release(&t);
}

/* There was all that it needed, in the newer format. */
static void test_an_older_format_that_cannot_be_listed_ended_it(void **state)
{
    struct two t;

    (void)state;
    two_init(&t, 1, 4, true);
    put_singles(&t, &t.a, 1, 4);
    world_fail(&t.w, 2, 1, WR_IO); /* behind the levels */
    check_restores(&t, NEWEST, &t.a, 4, 1);
    T(strstr(t.said, "0.3 cannot be listed") && strstr(t.said, "made to fail"));
    two_release(&t);
}

static void test_hundreds_of_misfits(void **state)
{
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        struct wr_restore_result r = {0};
        struct wr_err e = {0};
        enum wr_status st;
        struct two t;

        two_init(&t, 1, 1, true);
        put_pairs(&t, whole);
        st = restore_with(&t, NEWEST, &r, &e);
        /* Each of the files for its header, and those of two chains. */
        T(t.w.requests < 2 + 3 * RIVALS + 2 * (2 * RIVALS + 2));
        T(t.warnings <= 1);
        if (whole) {
            struct wr_bytes got;

            T_OK(st);
            T(r.txid == 2 * RIVALS + 2);
            got = t_slurp(t.path);
            T(got.n == 1024 && wr_be64(got.p) == r.txid && wr_be64(got.p + 512) == 7);
        } else {
            T_IS(WR_CORRUPT, st);
            T(strstr(e.text, "does not continue"));
            assert_int_equal(t_names_in(t.dir), 0);
        }
        two_release(&t);
    }
}

/* Files of which each looks as if it could follow any other, and none does. */
static void test_chains_that_are_tried_are_bounded(void **state)
{
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct two t;

    (void)state;
    two_init(&t, 1, 1, true);
    put_tiny(&t, 1, 1, 0, 1, 7);
    for (uint64_t i = 1; i <= 40; i++) {
        put_tiny(&t, 1, i + 1, 0, i, 6);
        put_tiny(&t, i + 1, i + 50, 0, i, 8);
    }
    put_tiny(&t, 30, 200, 30, 200, 9);
    T_IS(WR_CORRUPT, restore_with(&t, NEWEST, &r, &e));
    T(strstr(e.text, "database checksum"));
    T(t.warnings <= 20 && t.w.requests < 2 + 82 + 20 * 4);
    assert_int_equal(t_names_in(t.dir), 0);
    two_release(&t);
}

/* ---- failures on the way ---- */

/* What cannot be read now is no damage: the restore fails, and does not go around it. */
static void test_every_request_failing(void **state)
{
    struct two t;
    uint64_t total = 0, around = 0;
    bool done = false;

    (void)state;
    two_init(&t, 1, 8, true);
    put_singles(&t, &t.a, 1, 8);
    story_put(&t.a, &t.w, 9, 1, 3);
    put_damaged(&t, &t.a, 9, 1, 5, MIDDLE);
    story_put(&t.b, &t.w, 1, 3, 7);
    for (uint64_t nth = 1; !done; nth++) {
        const struct wr_restore_opts o = {.parallel = 2};
        struct wr_restore_result r = {0};
        struct wr_err e = {0};
        enum wr_status st;

        world_fail(&t.w, nth, 1, nth % 2 ? WR_IO : WR_AUTH);
        st = restore_with(&t, o, &r, &e);
        done = nth > t.w.requests;
        if (st != WR_OK || done) /* else by way of other files */
            T_IS(done ? WR_OK : nth % 2 ? WR_IO : WR_AUTH, st);
        T(st == WR_OK || strstr(e.text, "made to fail"));
        around += st == WR_OK && !done;
        if (st == WR_OK) {
            T(holds(t.path, &t.a, 8));
            T(done || remove(t.path) == 0);
        }
        total = nth;
    }
    T(around > 0 && total > 16);
    two_release(&t);
}

struct sweep {
    struct two *t;
    bool fails; /* there is no chain */
};

static enum wr_status sweep_body(void *arg)
{
    struct sweep *x = arg;
    char path[512];
    const struct wr_restore_opts o = {
        .path = path, .lock_offset = LOCK_OFFSET, .parallel = 1, .overwrite = true};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    enum wr_status st;

    (void)snprintf(path, sizeof(path), "%s/db", x->t->dir);
    st = wr_restore(x->t->w.storage, t_call(), &o, &r, &e);
    return x->fails && st == WR_CORRUPT ? WR_OK : st;
}

static void test_nomem(void **state)
{
    (void)state;
    for (int fails = 0; fails < 2; fails++) {
        struct two t;
        struct sweep x = {.t = &t, .fails = fails};

        two_init(&t, 1, 5, true);
        put_singles(&t, &t.a, 1, 4);
        story_put(&t.b, &t.w, 0, 2, 3);
        put_damaged(&t, &t.a, 1, 3, 4, MIDDLE);
        if (fails)
            put_damaged(&t, &t.a, 0, 5, 5, MIDDLE);
        t_sweep_nomem(sweep_body, &x);
        assert_int_equal(t_names_in(t.dir), !fails);
        two_release(&t);
    }
}

/* ---- going on with what another chain left ---- */

static void spoil(struct rig *g, unsigned level, uint64_t min, uint64_t max, size_t at)
{
    struct wr_call *c = t_call();
    struct wr_buf b;

    wr_buf_init(&b, (size_t)1 << 28);
    story_file(&g->s, min, max, &b);
    b.p[at < b.n ? at : b.n - 1] ^= 1;
    world_store(&g->w, wr_layout_ltx_key(c->scratch, g->w.storage, level, min, max),
        wr_buf_bytes(&b), (int64_t)max * 1000);
    wr_buf_release(&b);
}

/* A restore that was killed had pages of files that turn out to be no good, and of others. */
static void test_killed_on_another_chain(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct wr_restore_result r;
        struct rig g;

        rig_init(&g, true, PAGE, PAGES);
        rig_commit(&g, PAGES, 10);
        story_commit(&g.s, PAGES - 50, 0);
        story_rewrite(&g.s, 100, 2000);
        story_put(&g.s, &g.w, 0, 3, 3);
        rig_commit(&g, PAGES, 20);
        story_put(&g.s, &g.w, 9, 1, 3);
        rig_killed(&g, 4);
        T(t_names_in(g.dir) == 2);
        /* The snapshot that it had begun with: another header, a page, or the index. */
        spoil(&g, 9, 1, 3, how == 0 ? 3 : how == 1 ? (size_t)3 << 20 : SIZE_MAX);
        r = rig_restored(&g, 2);
        T(r.txid == 4 && r.verified && r.bytes_read > 0);
        rig_release(&g);
    }
}

/* One that finds damage at its end goes on by other files, and keeps what it can. */
static void test_fetched_pages_are_not_fetched_again(void **state)
{
    struct wr_restore_result r;
    struct rig g;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    rig_commit(&g, PAGES, 10);
    story_commit(&g.s, PAGES, 10);
    story_put(&g.s, &g.w, 0, 3, 3);
    spoil(&g, 1, 2, 3, 6000);
    r = rig_restored(&g, 1);
    T(r.txid == 3 && r.bytes_resumed == 0);
    T(g.w.piece_bytes < (uint64_t)PAGES * PAGE * 5 / 4);
    rig_release(&g);
}

/* Of a large file: its header, a page that decodes to another one, its index, its checksum. The
 * draft had the wrong page as that file's, and was believed when all was read in full. */
static void test_one_bad_answer_of_a_large_file(void **state)
{
    static const size_t from_end[] = {SIZE_MAX, 0, 6000, 20, 3};

    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        struct rig g;
        struct wr_buf b;
        size_t size;

        rig_init(&g, rolling, PAGE, PAGES);
        rig_commit(&g, PAGES, 10);
        wr_buf_init(&b, (size_t)1 << 28);
        story_file(&g.s, 1, 1, &b);
        size = b.n;
        wr_buf_release(&b);
        for (size_t i = 0; i < wr_countof(from_end); i++) {
            size_t at = i == 0 ? 50 : i == 1 ? size / 2 : size - from_end[i];

            answer(&g.w, 0,
                (struct answer){.key = wr_layout_ltx_key(t_call()->scratch, g.w.storage, 9, 1, 1),
                    .at = at,
                    .times = 1});
            T(rig_restored(&g, 1).txid == 2);
            T(answers[0].times == 0 && g.w.pieces <= 15);
        }
        rig_release(&g);
    }
}

/* ---- random replicas ---- */

#define TXIDS     9
#define HISTORIES 3
#define FILES     14

struct held {
    unsigned level;
    uint64_t min, max;
    unsigned history;
    bool damaged;
};

struct random_case {
    struct wr_rand *random;
    struct story s[HISTORIES];
    uint64_t forked[HISTORIES]; /* from history 0 after this TXID */
    struct held held[FILES];
    size_t n;
};

/* Whether the file is of history `h`, as it is or because the two had not parted. */
static bool is_of(const struct random_case *x, const struct held *f, unsigned h)
{
    uint64_t common = TXIDS;

    if (f->history != h)
        common = f->history == 0 ? x->forked[h]
                 : h == 0        ? x->forked[f->history]
                                 : wr_min(x->forked[h], x->forked[f->history]);
    return f->max <= common;
}

/* Whether undamaged files of `h` lead to `end`; with `exact`, each beginning where one ended. */
static bool leads_to(const struct random_case *x, unsigned h, uint64_t end, bool exact)
{
    bool reached[TXIDS + 1] = {true};

    for (uint64_t at = 1; at <= end; at++) {
        for (size_t i = 0; i < x->n; i++) {
            const struct held *f = &x->held[i];

            if (f->max != at || f->damaged || !is_of(x, f, h))
                continue;
            for (uint64_t from = f->min - 1; from < (exact ? f->min : f->max); from++)
                reached[at] = reached[at] || reached[from];
        }
    }
    return reached[end];
}

static void hold(struct random_case *x, struct world *w, struct two *t, const struct held *f)
{
    size_t i = 0;

    while (i < x->n &&
           (x->held[i].level != f->level || x->held[i].min != f->min || x->held[i].max != f->max))
        i++;
    if (i == FILES)
        return;
    x->n = wr_max(x->n, i + 1);
    x->held[i] = *f;
    if (f->damaged)
        put_damaged(t, &x->s[f->history], f->level, f->min, f->max,
            (enum damage)wr_rand_below(x->random, DAMAGES));
    else
        story_put(&x->s[f->history], w, f->level, f->min, f->max);
}

static void random_files(struct random_case *x, struct two *t)
{
    unsigned odds = (unsigned)wr_rand_below(x->random, 4); /* of damage */

    x->n = 0;
    if (wr_rand_below(x->random, 2)) {
        for (uint64_t i = 1; i <= TXIDS; i++)
            hold(x, &t->w, t, &(struct held){.min = i, .max = i});
    }
    for (int i = 0; i < 6; i++) {
        struct held f = {.level = (unsigned)wr_rand_below(x->random, 3),
            .min = wr_rand_below(x->random, 3) ? wr_rand_below(x->random, TXIDS) + 1 : 1,
            .history = (unsigned)wr_rand_below(x->random, HISTORIES),
            .damaged = wr_rand_below(x->random, 10) < odds};

        if (f.min == 1 && wr_rand_below(x->random, 2))
            f.level = 9;
        f.max = f.min + wr_rand_below(x->random, TXIDS + 1 - f.min);
        hold(x, &t->w, t, &f);
    }
}

static uint64_t first_plan_end(struct world *w, const struct wr_plan_target *target)
{
    struct wr_ltx_files all = {0};
    size_t chain[FILES];
    size_t n = 0;
    uint64_t end = 0;
    struct wr_err e = {0};

    T_OK(wr_layout_list_all(w->storage, t_call(), &all, &e));
    if (wr_plan(all.p, all.n, target, chain, &n, NULL) == WR_OK)
        end = all.p[chain[n - 1]].max;
    wr_ltx_files_release(&all);
    return end;
}

struct tally {
    unsigned cases, ok, around, lost;
};

static void check_random(struct random_case *x, struct two *t, uint64_t txid, struct tally *n)
{
    const struct wr_restore_opts o = {.txid = txid, .parallel = 1 + txid % 2};
    const struct wr_plan_target target = {.txid = txid};
    uint64_t end = first_plan_end(&t->w, &target);
    struct wr_restore_result r = {0};
    bool exact = false, any = false, right = false;
    struct wr_err e = {0};
    enum wr_status st;

    if (end == 0)
        return;
    for (unsigned h = 0; h < HISTORIES; h++) {
        exact = exact || leads_to(x, h, end, true);
        any = any || leads_to(x, h, end, false);
    }
    st = restore_with(t, o, &r, &e);
    n->cases++;
    n->ok += st == WR_OK;
    n->around += st == WR_OK && t->warnings > 0;
    n->lost += st != WR_OK && any;
    if (st != WR_OK) {
        T_IS(WR_CORRUPT, st);
        if (exact)
            fail_msg("there is a chain to %d: %s", (int)end, e.text);
        return;
    }
    T(r.txid == end);
    for (unsigned h = 0; h < HISTORIES; h++)
        right = right || holds(t->path, &x->s[h], end);
    T(right);
    T(remove(t->path) == 0);
}

static void test_random_replicas(void **state)
{
    struct wr_rand random;
    struct tally n = {0};

    (void)state;
    wr_rand_init(&random, t_seed());
    for (int round = 0; round < 400; round++) {
        struct random_case x = {.random = &random};
        struct two t;

        two_init(&t, 1, 1, true);
        t.random = random;
        x.forked[1] = wr_rand_below(&random, TXIDS + 1);
        x.forked[2] = wr_rand_below(&random, TXIDS + 1);
        story_init(&x.s[0], &random, 512, LOCK_OFFSET, 200, true);
        go_on(&x.s[0], TXIDS);
        for (unsigned h = 1; h < HISTORIES; h++) {
            fork_story(&x.s[h], &x.s[0], x.forked[h]);
            go_on(&x.s[h], TXIDS);
        }
        random_files(&x, &t);
        check_random(&x, &t, 0, &n);
        for (uint64_t txid = 1; txid <= TXIDS; txid++)
            check_random(&x, &t, txid, &n);
        for (unsigned h = 0; h < HISTORIES; h++)
            story_release(&x.s[h]);
        two_release(&t);
    }
    print_message("# %u restores: %u done, %u of them by another chain; %u lost\n", n.cases, n.ok,
        n.around, n.lost);
    T(n.around > n.cases / 20 && n.lost < n.cases / 100);
}

T_MAIN(T_TEST(test_rival_wrote_a_range), T_TEST(test_snapshot_of_a_lost_history),
    T_TEST(test_misfit_that_no_header_tells), T_TEST(test_two_files_end_at_the_newest),
    T_TEST(test_files_without_rolling_fit_by_name), T_TEST(test_misfit_that_has_all_pages),
    T_TEST(test_damaged_snapshot), T_TEST(test_damaged_compacted_file),
    T_TEST(test_newest_file_damaged), T_TEST(test_nothing_left),
    T_TEST(test_wrong_page_in_a_large_file), T_TEST(test_a_damaged_length_of_the_index),
    T_TEST(test_file_that_lacks_a_page), T_TEST(test_good_case_costs_nothing),
    T_TEST(test_a_file_that_covers_the_snapshot_was_taken_for_a_rivals),
    T_TEST(test_every_header_was_read_for_one_damaged_file),
    T_TEST(test_many_damaged_files_were_too_many), T_TEST(test_a_file_that_lies_hid_a_whole_chain),
    T_TEST(test_a_gap_before_the_time_was_not_told),
    T_TEST(test_a_listing_while_files_come_was_told_of_as_a_gap),
    T_TEST(test_a_gap_is_believed_some_time), T_TEST(test_one_file_that_cannot_be_read_ended_it),
    T_TEST(test_one_header_that_cannot_be_read_ended_it),
    T_TEST(test_one_bad_answer_was_taken_for_damage), T_TEST(test_one_bad_answer_of_a_large_file),
    T_TEST(test_a_file_that_vanished_ended_it), T_TEST(test_a_name_that_lies_was_believed),
    T_TEST(test_the_newest_name_had_an_older_state), T_TEST(test_a_misnamed_file_within_the_chain),
    T_TEST(test_a_name_that_lies_on_the_other_way),
    T_TEST(test_an_older_format_that_cannot_be_listed_ended_it), T_TEST(test_hundreds_of_misfits),
    T_TEST(test_chains_that_are_tried_are_bounded), T_TEST(test_every_request_failing),
    T_TEST(test_nomem), T_TEST(test_killed_on_another_chain),
    T_TEST(test_fetched_pages_are_not_fetched_again), T_TEST(test_random_replicas))
