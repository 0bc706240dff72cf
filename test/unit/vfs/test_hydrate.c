/*
 * test_hydrate.c - the local copy of a replica that changes in every way that replicas change, by a
 * process that is killed, or whose power is cut, at any moment: whatever readers of any state are
 * given from it is what their state has, against a model of each transaction.
 */
#include "vfs/hydrate.h"

#include "unit/engine/restore_world.h"
#include "unit/vfs/cut_disk.h"
#include "vfs/head.h"
#include "vfs/local.h"
#include "vfs/pagecache.h"
#include "vfs/pagemap.h"
#include "vfs/pages.h"

#define LOCK      (512 * 8) /* the lock page is the 9th, with pages of 512 bytes */
#define PAGES_MAX 60
#define READERS   4
#define PATH      "dir/copy.db"

/* A replica, what it holds, a copy of it, and who reads. */
struct sea {
    struct world w;
    struct story s;
    struct wr_rand r;
    struct wr_clock_manual clock;
    struct wr_call call;
    struct cut_disk *disk;
    struct wr_pagecache *cache;
    struct wr_head *head;
    struct wr_hydrate *copy;
    struct wr_pagemap *reader[READERS];
    uint64_t end[10];
    uint64_t snapshot, older_snapshot, l0_from;
    uint64_t locally; /* pages that were read from the copy */
};

static void sea_init(struct sea *x, uint64_t seed, unsigned caps, uint32_t page_size)
{
    struct wr_err e = {0};

    memset(x, 0, sizeof(*x));
    wr_rand_init(&x->r, seed);
    world_init(&x->w, caps, "");
    wr_storage_set_retry(x->w.storage, 1, 1);
    story_init(&x->s, &x->r, page_size, LOCK, PAGES_MAX * 512 / page_size, wr_rand_below(&x->r, 2));
    wr_clock_manual_init(&x->clock, 1700000000000);
    wr_clock_manual_advance(&x->clock, INT64_C(1000000000000));
    x->call = *t_call();
    x->call.clock = &x->clock.clock;
    x->disk = wr_alloc(sizeof(*x->disk));
    T(x->disk != NULL);
    cut_init(x->disk);
    T_OK(wr_pagecache_new(0, &x->cache, &e));
    T_OK(wr_head_new(x->w.storage, x->cache, LOCK, &x->head, &e));
}

/* Also the end of a process that says nothing any more. */
static void kill_copy(struct sea *x)
{
    wr_hydrate_free(x->copy);
    x->copy = NULL;
}

static void sea_release(struct sea *x)
{
    kill_copy(x);
    for (size_t i = 0; i < READERS; i++)
        wr_pagemap_drop(x->reader[i]);
    wr_head_free(x->head);
    wr_pagecache_free(x->cache);
    story_release(&x->s);
    world_release(&x->w);
    wr_mutex_release(&x->disk->mutex);
    wr_free(x->disk);
}

static void remove_file(struct sea *x, unsigned level, uint64_t min, uint64_t max)
{
    world_remove_key(&x->w, wr_layout_ltx_key(t_call()->scratch, x->w.storage, level, min, max));
}

/* ---- what happens to the replica ---- */

static void commit(struct sea *x)
{
    uint32_t now = x->s.image[x->s.n].commit, to = now ? now : x->s.pages_max / 3 + 1;

    if (x->s.n == STORY_MAX)
        return;
    if (wr_rand_below(&x->r, 3) == 0)
        to = 1 + (uint32_t)wr_rand_below(&x->r, x->s.pages_max);
    story_commit(&x->s, to, (uint32_t)wr_rand_below(&x->r, 6));
    story_put(&x->s, &x->w, 0, x->s.n, x->s.n);
    if (!x->l0_from)
        x->l0_from = x->s.n;
}

static void snapshot(struct sea *x)
{
    if (x->s.n == 0 || x->snapshot == x->s.n)
        return;
    story_put(&x->s, &x->w, 9, 1, x->s.n);
    if (x->older_snapshot)
        remove_file(x, 9, 1, x->older_snapshot);
    x->older_snapshot = x->snapshot;
    x->snapshot = x->s.n;
}

static void compact(struct sea *x)
{
    unsigned level = 1 + (unsigned)wr_rand_below(&x->r, 3);
    uint64_t end = level == 1 ? x->s.n : x->end[level - 1];

    if (end > x->end[level]) {
        story_put(&x->s, &x->w, level, x->end[level] + 1, end);
        x->end[level] = end;
    }
    while (x->l0_from && x->l0_from <= x->end[1] && wr_rand_below(&x->r, 4)) {
        remove_file(x, 0, x->l0_from, x->l0_from);
        x->l0_from++;
    }
}

static void poll_after(struct sea *x, int64_t seconds)
{
    bool is_new = false;
    struct wr_err e = {0};

    wr_clock_manual_advance(&x->clock, INT64_C(1000000000) * seconds);
    if (x->s.n)
        T_OK(wr_head_step(x->head, &x->call, &is_new, &e));
}

static void poll(struct sea *x)
{
    poll_after(x, 1 + (int64_t)wr_rand_below(&x->r, 20));
}

/* ---- the copy ---- */

static void open_copy(struct sea *x)
{
    const struct wr_hydrate_opts o = {.storage = x->w.storage,
        .cache = x->cache,
        .fs = &x->disk->fs,
        .path = PATH,
        .lock_offset = LOCK};
    struct wr_err e = {0};

    T_OK(wr_hydrate_new(&o, &x->copy, &e));
    if (wr_rand_below(&x->r, 2))
        wr_hydrate_map(x->copy);
}

static enum wr_status step(struct sea *x, bool *ret_more, struct wr_err *e)
{
    struct wr_pagemap *m = wr_head_map(x->head);
    enum wr_status st;

    if (!x->copy)
        open_copy(x);
    wr_arena_reset(x->call.scratch);
    st = wr_hydrate_step(x->copy, &x->call, m, ret_more, e);
    if (st == WR_BUSY)
        wr_head_doubt(x->head, false);
    return st;
}

/* Until it is whole. */
static void fill(struct sea *x)
{
    struct wr_hydrate_look is;
    struct wr_err e = {0};
    bool more = true;

    while (more) {
        enum wr_status st = step(x, &more, &e);

        if (st == WR_BUSY) {
            poll(x);
            more = true;
        } else {
            T_OK(st);
        }
    }
    wr_hydrate_look(x->copy, &is);
    T(is.here == is.total && is.damaged == 0);
    T(is.txid == wr_pagemap_about(wr_head_map(x->head))->txid);
}

/* ---- readers ---- */

/* Of all its pages, those that the copy has for it; how many. */
static uint32_t check_map(struct sea *x, const struct wr_pagemap *m)
{
    const struct wr_pagemap_about *about = wr_pagemap_about(m);
    struct wr_local *l = wr_hydrate_local(x->copy);
    uint32_t n = 0;
    uint8_t page[65536];

    T(about->commit == x->s.image[about->txid].commit);
    for (uint32_t pgno = 1; pgno <= about->commit; pgno++) {
        struct wr_spot s;

        if (!wr_pagemap_find(m, pgno, &s) || !wr_local_has(l, about, pgno, s.in->file.max))
            continue;
        T(wr_local_read(l, about, pgno, s.in->file.max, 0, page, x->s.page_size));
        T(memcmp(page, story_page(&x->s, (size_t)about->txid, pgno), x->s.page_size) == 0);
        n++;
    }
    x->locally += n;
    return n;
}

/* Each page of the newest state comes from the copy. */
static void check_whole(struct sea *x)
{
    const struct wr_pagemap_about *about = wr_pagemap_about(wr_head_map(x->head));

    T(check_map(x, wr_head_map(x->head)) == about->commit - (about->lock_pgno <= about->commit));
}

static void begin_read(struct sea *x, size_t i)
{
    wr_pagemap_drop(x->reader[i]);
    x->reader[i] = wr_pagemap_hold(wr_head_map(x->head));
}

/* As time travel does; it may not be there any more. */
static void travel(struct sea *x, size_t i)
{
    struct wr_pagemap *m = wr_head_map(x->head), *past = NULL;

    wr_arena_reset(x->call.scratch);
    if (!m || wr_head_at(x->w.storage, x->cache, LOCK, &x->call, m,
                  1 + wr_rand_below(&x->r, wr_pagemap_about(m)->txid), 0, &past, NULL) != WR_OK)
        return;
    wr_pagemap_drop(x->reader[i]);
    x->reader[i] = past;
}

/* The power goes amid the last close, or at another time; or the process is killed. */
static void die(struct sea *x)
{
    uint64_t kind = wr_rand_below(&x->r, 3);

    if (kind == 0 && x->copy) {
        x->disk->fail_sync = x->disk->syncs + 1 + wr_rand_below(&x->r, 3);
        (void)!wr_hydrate_end(x->copy, NULL);
        x->disk->fail_sync = 0;
    }
    kill_copy(x);
    if (kind < 2)
        cut_power(x->disk, &x->r);
}

/* Now and then a request fails. */
static void step_or_fail(struct sea *x)
{
    struct wr_err e = {0};
    bool more, fails = wr_rand_below(&x->r, 4) == 0;
    enum wr_status st;

    if (fails)
        world_fail(&x->w, 1 + wr_rand_below(&x->r, 5), 1, WR_IO);
    st = step(x, &more, &e);
    world_fail(&x->w, 0, 0, WR_OK);
    if (st == WR_BUSY)
        poll(x);
    else
        T(st == WR_OK || (st == WR_IO && fails));
}

static void one_thing(struct sea *x)
{
    size_t reader = (size_t)wr_rand_below(&x->r, READERS);
    struct wr_err e = {0};

    switch (wr_rand_below(&x->r, 16)) {
    case 0:
        commit(x);
        break;
    case 1:
        compact(x);
        break;
    case 2:
        if (wr_rand_below(&x->r, 4) == 0)
            snapshot(x);
        break;
    case 3:
    case 4:
        poll(x);
        break;
    case 5:
        begin_read(x, reader);
        break;
    case 6:
        travel(x, reader);
        break;
    case 7:
        if (wr_rand_below(&x->r, 4) == 0)
            die(x);
        break;
    case 8:
        if (wr_rand_below(&x->r, 4) == 0 && x->copy) /* as at the last close */
            T_OK(wr_hydrate_end(x->copy, &e));
        break;
    default:
        if (wr_head_map(x->head))
            step_or_fail(x);
    }
    for (size_t i = 0; i < READERS && x->copy; i++) {
        if (x->reader[i])
            (void)check_map(x, x->reader[i]);
    }
}

static void test_readers_are_given_what_their_state_has_whatever_happens(void **state)
{
    struct wr_rand seeds;
    uint64_t steps = 0, locally = 0;

    (void)state;
    wr_rand_init(&seeds, t_seed());
    for (int round = 0; steps < 60000; round++) {
        struct sea x;

        sea_init(
            &x, wr_rand_u64(&seeds), round % 2 ? WR_STORAGE_HEX_LEVELS : 0, round % 5 ? 512 : 2048);
        for (int i = 0; i < 600; i++, steps++) {
            wr_arena_reset(x.call.scratch);
            one_thing(&x);
        }
        poll(&x);
        if (wr_head_map(x.head)) {
            fill(&x);
            check_whole(&x);
        }
        locally += x.locally;
        sea_release(&x);
    }
    T(locally > steps); /* it is not the replica that was tested */
}

/* ---- one process after the other ---- */

/* A new process: nothing is known but what is on the disk. */
static void begin_process(struct sea *x)
{
    struct wr_err e = {0};

    kill_copy(x);
    for (size_t i = 0; i < READERS; i++) {
        wr_pagemap_drop(x->reader[i]);
        x->reader[i] = NULL;
    }
    wr_head_free(x->head);
    T_OK(wr_head_new(x->w.storage, x->cache, LOCK, &x->head, &e));
    poll(x);
}

/* A snapshot of 1, transactions up to `n`, and a copy of them that an earlier process has left. */
static void left_by_another(struct sea *x, size_t n, uint32_t page_size)
{
    struct wr_err e = {0};

    sea_init(x, t_seed(), 0, page_size);
    story_commit(&x->s, x->s.pages_max, 0);
    story_put(&x->s, &x->w, 9, 1, 1);
    x->snapshot = 1;
    for (size_t i = 2; i <= n; i++) {
        story_commit(&x->s, x->s.pages_max, 3);
        story_put(&x->s, &x->w, 0, i, i);
    }
    poll(x);
    fill(x);
    T_OK(wr_hydrate_end(x->copy, &e));
    kill_copy(x);
}

/* The rest of what there is; how many pages were fetched for it. */
static uint64_t fill_pages(struct sea *x)
{
    struct wr_hydrate_look is;

    fill(x);
    check_whole(x);
    wr_hydrate_look(x->copy, &is);
    return is.fetched;
}

static void test_what_a_process_left_is_not_fetched_again(void **state)
{
    struct sea x;

    (void)state;
    left_by_another(&x, 5, 512);
    begin_process(&x);
    T(fill_pages(&x) == 0);
    sea_release(&x);
}

/* Heads of the first format had no checksums of files: they are ours, and tell nothing. */
static void test_a_copy_of_an_older_format_is_fetched_anew(void **state)
{
    struct sea x;

    (void)state;
    left_by_another(&x, 5, 512);
    for (size_t i = 0; i < CUT_FILES; i++) {
        uint8_t *p = x.disk->names[i].now;

        for (size_t at = 0; at <= 4096; at += 4096) {
            if (memcmp(p + at, "weirloc2", 8) == 0)
                p[at + 7] = 'l';
        }
    }
    begin_process(&x);
    T(fill_pages(&x) == 59);
    sea_release(&x);
}

/* V-12: what led on from it is gone from level 0, and there is a newer snapshot. */
static void test_a_copy_is_gone_on_from_when_files_were_merged_meanwhile(void **state)
{
    struct sea x;
    uint64_t pages;

    (void)state;
    left_by_another(&x, 5, 512);
    for (size_t i = 6; i <= 9; i++)
        story_commit(&x.s, x.s.pages_max, 3);
    story_put(&x.s, &x.w, 1, 5, 8); /* begins before the copy's end */
    story_put(&x.s, &x.w, 9, 1, 9);
    story_put(&x.s, &x.w, 0, 9, 9);
    for (uint64_t i = 2; i <= 4; i++)
        remove_file(&x, 0, i, i);
    begin_process(&x);
    pages = fill_pages(&x);
    T(pages > 0 && pages <= 15); /* that changed, of 60 */
    sea_release(&x);
}

/* V-12: nothing that led on from it is left: then it is not known what has changed. */
static void test_a_copy_that_nothing_leads_on_from_is_fetched_anew(void **state)
{
    struct sea x;

    (void)state;
    left_by_another(&x, 5, 512);
    for (size_t i = 6; i <= 9; i++)
        story_commit(&x.s, x.s.pages_max, 3);
    story_put(&x.s, &x.w, 9, 1, 9);
    for (uint64_t i = 2; i <= 5; i++)
        remove_file(&x, 0, i, i);
    begin_process(&x);
    T(fill_pages(&x) == 59);
    sea_release(&x);
}

/* Another database under the same URL, with as many transactions, fewer, or more. */
static void test_a_copy_of_a_replica_that_began_anew_is_thrown_away(void **state)
{
    (void)state;
    for (size_t n = 4; n <= 7; n++) {
        for (unsigned rolling = 0; rolling < 2; rolling++) {
            struct sea x;

            left_by_another(&x, 5, 512);
            remove_file(&x, 9, 1, 1);
            for (uint64_t i = 2; i <= 5; i++)
                remove_file(&x, 0, i, i);
            story_release(&x.s);
            story_init(&x.s, &x.r, 512, LOCK, PAGES_MAX, rolling);
            for (size_t i = 1; i <= n; i++) {
                struct wr_call *c = t_call();
                struct wr_buf b;

                story_commit(&x.s, x.s.pages_max, 3);
                wr_buf_init(&b, (size_t)1 << 20);
                story_file(&x.s, i, i, &b);
                world_store(&x.w, wr_layout_ltx_key(c->scratch, x.w.storage, i > 1 ? 0 : 9, i, i),
                    wr_buf_bytes(&b), 500000 + (int64_t)i);
                wr_buf_release(&b);
            }
            begin_process(&x);
            (void)fill_pages(&x);
            sea_release(&x);
        }
    }
}

/* The last transaction is taken back, and another one comes in its place: it is what it was that
 * is gone on from, or nothing. */
static void test_a_transaction_that_is_taken_back_is_not_believed(void **state)
{
    (void)state;
    for (int settled = 0; settled < 2; settled++) {
        struct wr_err e = {0};
        struct sea x;

        left_by_another(&x, 5, 512);
        begin_process(&x);
        fill(&x);
        story_commit(&x.s, x.s.pages_max, 0);
        story_rewrite(&x.s, 3, 5);
        story_put(&x.s, &x.w, 0, 6, 6);
        poll(&x);
        fill(&x);
        if (settled)
            T_OK(wr_hydrate_end(x.copy, &e));
        remove_file(&x, 0, 6, 6);
        begin_process(&x);
        T(wr_pagemap_about(wr_head_map(x.head))->txid == 5);
        T(fill_pages(&x) == (settled ? 59 : 3));
        wr_free(x.s.image[6].data);
        wr_free(x.s.image[6].changed);
        x.s.n = 5;
        story_commit(&x.s, x.s.pages_max, 0);
        story_rewrite(&x.s, 2, 4);
        story_put(&x.s, &x.w, 0, 6, 6);
        poll(&x);
        (void)fill_pages(&x);
        sea_release(&x);
    }
}

/* ---- another history of the same names ---- */

static char heard[1000]; /* the last warning, and why */

static void hear(void *arg, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n)
{
    struct wr_str why = {0};

    (void)arg, (void)level;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(fields[i].key, "reason") == 0)
            why = fields[i].v.s;
    }
    (void)snprintf(heard, sizeof(heard), "%s: %.*s", msg, (int)why.n, why.p ? why.p : "");
}

static const struct wr_log ears = {.sink = hear, .min_level = WR_WARN};

static uint64_t size_of(const struct story *s, uint64_t txid)
{
    struct wr_buf b;
    uint64_t n;

    wr_buf_init(&b, (size_t)1 << 20);
    story_file(s, txid, txid, &b);
    n = b.n;
    wr_buf_release(&b);
    return n;
}

static void forget_last(struct story *s)
{
    wr_free(s->image[s->n].data);
    wr_free(s->image[s->n].changed);
    s->n--;
}

/* A transaction that writes one page; `size` is that of its file, 0: any other than that of a page
 * of noise. */
static void write_page(struct sea *x, uint32_t pgno, uint64_t size)
{
    for (int i = 0; i < 1000; i++) {
        story_commit(&x->s, x->s.pages_max, 0);
        story_rewrite(&x->s, pgno, pgno);
        if (size ? size_of(&x->s, x->s.n) == size : size_of(&x->s, x->s.n) < 400)
            return;
        forget_last(&x->s);
    }
    T(!"no page of that size");
}

/* A copy of transactions 1 to 5, settled as of `settled` and left by a process that was killed (0:
 * it lives); then 4 and 5 are taken back, and others come in their place, of files of the same
 * sizes or of others; no page is the same in both. */
static void history_forks(struct sea *x, bool rolling, uint64_t settled, bool same_sizes)
{
    uint64_t noise = 0, sizes[6] = {0};
    struct wr_err e = {0};

    sea_init(x, t_seed(), 0, 512);
    x->s.rolling = rolling;
    for (uint64_t i = 1; i <= 5; i++) {
        story_commit(&x->s, x->s.pages_max, 0);
        while (i > 1) { /* noise, which all has one size */
            story_rewrite(&x->s, 20 + (uint32_t)i, 20 + (uint32_t)i);
            noise = size_of(&x->s, i);
            if (noise > 512)
                break;
        }
        sizes[i] = noise;
        story_put(&x->s, &x->w, i == 1 ? 9 : 0, i, i);
        if (i < settled)
            continue;
        poll_after(x, 1); /* in half a minute its head would tell of a newer one */
        fill(x);
        if (i == settled)
            T_OK(wr_hydrate_end(x->copy, &e));
    }
    if (settled)
        kill_copy(x);
    for (uint64_t i = 5; i > 3; i--) {
        remove_file(x, 0, i, i);
        forget_last(&x->s);
    }
    for (uint64_t i = 4; i <= 6; i++)
        write_page(x, 40 + (uint32_t)i, same_sizes ? sizes[5] : 0);
}

/* One file of its history was still there, which was taken for a proof; pages of the transactions
 * that are gone were served as those of the new ones. */
static void test_a_copy_of_another_history_of_the_same_names_is_not_believed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct sea x;

        history_forks(&x, i % 2, 5, i / 2);
        for (uint64_t k = 4; k <= 6; k++)
            story_put(&x.s, &x.w, 0, k, k);
        begin_process(&x);
        heard[0] = '\0';
        x.call.log = &ears;
        T(fill_pages(&x) == 59);
        T(strstr(heard, "begins anew: ") && strstr(heard, "0000000000000004"));
        sea_release(&x);
    }
}

/* The same where only a merge is left of them, which has another name. */
static void test_a_copy_whose_checksum_is_another_is_not_believed(void **state)
{
    (void)state;
    for (unsigned after = 0; after < 2; after++) {
        struct sea x;

        history_forks(&x, true, 5, true);
        if (after) /* 6 goes on from another 5 */
            story_put(&x.s, &x.w, 1, 2, 5);
        else
            story_put(&x.s, &x.w, 1, 4, 5);
        story_put(&x.s, &x.w, 0, 6, 6);
        begin_process(&x);
        heard[0] = '\0';
        x.call.log = &ears;
        T(fill_pages(&x) == 59);
        T(strstr(heard, "begins anew: ") && strstr(heard, "checksum"));
        sea_release(&x);
    }
}

/* Of the other history there was only a merge that reaches beyond the copy: nothing spoke against
 * what the copy had of the dead one, and one old file that both have was taken for a proof of it.
 */
static void test_a_fork_that_was_merged_away_was_believed(void **state)
{
    (void)state;
    for (unsigned rolling = 0; rolling < 2; rolling++) {
        struct sea x;

        history_forks(&x, rolling, 5, true);
        story_put(&x.s, &x.w, 1, 4, 6);
        begin_process(&x);
        (void)fill_pages(&x);
        sea_release(&x);
    }
}

/* A killed process had gone on to transactions that were then replaced by others: what it had of
 * these was believed, as the transaction that its head told of was one of the replica. */
static void test_what_a_killed_process_had_beyond_its_head_is_not_believed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct sea x;

        history_forks(&x, i % 2, 3, i / 2);
        for (uint64_t k = 4; k <= 6; k++)
            story_put(&x.s, &x.w, 0, k, k);
        begin_process(&x);
        T(fill_pages(&x) <= 5); /* those of both ends */
        sea_release(&x);
    }
}

/* As for a program that has not seen what happened in between. */
static void begin_head(struct sea *x)
{
    struct wr_err e = {0};

    wr_head_free(x->head);
    T_OK(wr_head_new(x->w.storage, x->cache, LOCK, &x->head, &e));
    poll(x);
}

struct forked {
    uint64_t base;   /* of the copy */
    uint64_t shared; /* transactions of both histories */
    uint64_t from;   /* the first that is listed of the other one */
    uint64_t n;      /* of which there is a snapshot, of the copy's history */
};

static void way_forks(struct sea *x, const struct forked *is)
{
    struct story other;

    sea_init(x, t_seed(), 0, 512);
    x->s.rolling = true;
    for (uint64_t i = 1; i <= is->n; i++) {
        uint32_t pgno = 30 + (uint32_t)i % 8;

        story_commit(&x->s, x->s.pages_max, 0);
        if (i > 1)
            story_rewrite(&x->s, pgno, pgno);
        if (i < is->from)
            story_put(&x->s, &x->w, i == 1 ? 9 : 0, i, i);
        if (i == is->base) {
            poll(x);
            fill(x);
        }
    }
    story_put(&x->s, &x->w, 9, 1, is->n);
    story_fork(&other, &x->s, (size_t)is->shared);
    while (other.n < is->n) {
        story_commit(&other, other.pages_max, 0);
        story_rewrite(&other, 50, 50);
        if (other.n >= is->from)
            story_put(&other, &x->w, 0, other.n, other.n);
    }
    story_release(&other);
    begin_head(x);
}

/* Files were taken for the way from the copy to the newest state by their names: pages that they do
 * not have were kept as they were. The first of them goes on from another database, or the last
 * ends with another one, of few files or of more than one step takes. */
static void test_a_way_of_another_history_is_not_gone(void **state)
{
    static const struct forked cases[] = {
        {5, 4, 6, 9}, {5, 7, 8, 9}, {2, 2, 3, 38}, {2, 19, 20, 38}, {2, 36, 37, 38}};

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct sea x;

        way_forks(&x, &cases[i]);
        heard[0] = '\0';
        x.call.log = &ears;
        T(fill_pages(&x) == 2 * 59);
        T(strstr(heard, "begins anew: ") && strstr(heard, "another database"));
        sea_release(&x);
    }
}

/* The newest map is of another history than what the copy has come to. What it has then is of no
 * use to a reader who began in the old one, which it was read by. */
static void test_a_copy_does_not_go_on_to_another_history(void **state)
{
    const struct wr_pagemap_about *about;
    struct wr_pagemap *old;
    struct wr_spot at;
    struct sea x;

    (void)state;
    history_forks(&x, true, 0, true);
    for (uint64_t k = 4; k <= 6; k++)
        story_put(&x.s, &x.w, 0, k, k);
    old = wr_pagemap_hold(wr_head_map(x.head));
    about = wr_pagemap_about(old);
    begin_head(&x);
    heard[0] = '\0';
    x.call.log = &ears;
    T(fill_pages(&x) >= 2 * 59);
    T(strstr(heard, "begins anew: ") && strstr(heard, "checksum"));
    T(about->txid == 5 && about->epoch == wr_pagemap_about(wr_head_map(x.head))->epoch);
    for (uint32_t pgno = 1; pgno <= about->commit; pgno++) {
        T(!wr_pagemap_find(old, pgno, &at) ||
            !wr_local_has(wr_hydrate_local(x.copy), about, pgno, at.in->file.max));
    }
    wr_pagemap_drop(old);
    sea_release(&x);
}

/* ---- files that move while they are looked for ---- */

/* The copy was thrown away when a file of the way vanished between the listing and its reading. */
static void test_a_file_that_vanished_dropped_the_copy(void **state)
{
    bool failed = true;

    (void)state;
    for (uint64_t nth = 1; failed; nth++) {
        struct sea x;
        uint64_t pages;

        left_by_another(&x, 5, 512);
        for (size_t i = 6; i <= 9; i++)
            story_commit(&x.s, x.s.pages_max, 3);
        story_put(&x.s, &x.w, 1, 5, 9);
        story_put(&x.s, &x.w, 9, 1, 9);
        begin_process(&x);
        world_fail(&x.w, nth, 1, WR_BUSY);
        pages = fill_pages(&x);
        failed = x.w.requests >= nth;
        T(pages > 0 && pages <= 15);
        sea_release(&x);
    }
}

/* A listing that has no way on is not believed at once: a file may have moved meanwhile. */
static void test_a_way_that_is_not_listed_is_looked_for_again(void **state)
{
    (void)state;
    for (int comes = 0; comes < 2; comes++) {
        struct sea x;
        struct wr_err e = {0};
        bool more = true;
        enum wr_status st = WR_OK;

        left_by_another(&x, 5, 512);
        for (size_t i = 6; i <= 9; i++)
            story_commit(&x.s, x.s.pages_max, 3);
        story_put(&x.s, &x.w, 9, 1, 9);
        begin_process(&x);
        for (int i = 0; i < 2; i++) {
            for (st = WR_OK; more && st == WR_OK;)
                st = step(&x, &more, &e);
            T_IS(WR_BUSY, st);
        }
        if (comes)
            story_put(&x.s, &x.w, 1, 5, 9);
        heard[0] = '\0';
        x.call.log = &ears;
        if (comes)
            T(fill_pages(&x) <= 15 && !heard[0]);
        else
            T(fill_pages(&x) == 59 && strstr(heard, "begins anew: "));
        sea_release(&x);
    }
}

/* ---- going on ---- */

/* Each record was erased by a write of 16 bytes, with whatever changed: a day's worth of a large
 * database took minutes, in which the last close waited. */
static void test_records_are_erased_many_at_a_time(void **state)
{
    struct wr_err e = {0};
    uint64_t writes;
    bool more;
    struct sea x;

    (void)state;
    left_by_another(&x, 5, 512);
    begin_process(&x);
    fill(&x);
    story_commit(&x.s, x.s.pages_max, 0);
    for (uint32_t pgno = 1; pgno <= x.s.pages_max; pgno += 2)
        story_rewrite(&x.s, pgno, pgno);
    story_put(&x.s, &x.w, 0, 6, 6);
    poll(&x);
    writes = x.disk->writes;
    T_OK(step(&x, &more, &e)); /* goes on */
    T(x.disk->writes - writes == 1);
    T(wr_local_count(wr_hydrate_local(x.copy), x.s.pages_max) == 59 - 29);
    (void)fill_pages(&x);
    begin_process(&x); /* what was erased is not there, and what lies between is */
    T(fill_pages(&x) == 29);
    sea_release(&x);
}

/* Time passes with each look at it. */
static int64_t tick(const struct wr_clock *clock)
{
    return wr_container_of((struct wr_clock *)(uintptr_t)clock, struct wr_clock_manual, clock)
               ->mono_now_ns += 1000000;
}

/* Erasing goes by pieces, and ends between two of them when somebody cancels or there is no time
 * left; what was dropped until then is dropped, and the rest follows. */
static void test_going_on_can_be_canceled(void **state)
{
    const uint32_t pages = 10000;
    struct wr_cancel stop;
    struct wr_err e = {0};
    bool more = true, late = true;
    uint64_t least = pages;
    struct sea x;

    (void)state;
    sea_init(&x, t_seed(), 0, 512);
    story_release(&x.s);
    story_init(&x.s, &x.r, 512, LOCK, pages, true);
    {
        const struct wr_hydrate_opts o = {.storage = x.w.storage,
            .cache = x.cache,
            .fs = wr_fs_posix(),
            .path = t_path(t_tmpdir(), "copy"),
            .lock_offset = LOCK};

        T_OK(wr_hydrate_new(&o, &x.copy, &e));
    }
    story_commit(&x.s, pages, 0);
    story_put(&x.s, &x.w, 9, 1, 1);
    poll(&x);
    fill(&x);
    begin_read(&x, 0);
    story_commit(&x.s, pages, 0);
    story_rewrite(&x.s, 100, pages - 100);
    story_put(&x.s, &x.w, 0, 2, 2);
    poll(&x);
    wr_cancel_init(&stop);
    wr_cancel_now(&stop);
    x.call.cancel = &stop;
    T_IS(WR_CANCELED, step(&x, &more, &e));
    x.call.cancel = NULL;
    x.clock.clock.mono_ns = tick;
    for (int64_t ms = 1; late; ms++) {
        enum wr_status st;
        uint64_t n;

        x.call.deadline_ms = x.clock.mono_now_ns / 1000000 + ms;
        st = step(&x, &more, &e);
        late = st == WR_TIMEOUT;
        T(late || st == WR_OK);
        T(!wr_hydrate_is_over(x.copy));
        n = wr_local_count(wr_hydrate_local(x.copy), pages);
        if (late && n > 199)
            least = wr_min(least, n);
        T(check_map(&x, x.reader[0]) == n);
    }
    T(least < pages - 1 && least > 199); /* it ended amid them, too */
    x.call.deadline_ms = WR_NEVER;
    (void)fill_pages(&x);
    wr_cancel_release(&stop);
    sea_release(&x);
}

/* ---- what fails ---- */

static void test_each_request_may_fail_once(void **state)
{
    static const enum wr_status kinds[] = {WR_IO, WR_AUTH, WR_TIMEOUT, WR_BUSY};

    (void)state;
    for (size_t k = 0; k < wr_countof(kinds); k++) {
        for (uint64_t nth = 1;; nth++) {
            struct sea x;
            struct wr_err e = {0};
            enum wr_status st = WR_OK;
            bool more = true, failed;

            left_by_another(&x, 5, 512);
            for (size_t i = 6; i <= 9; i++)
                story_commit(&x.s, x.s.pages_max, 3);
            story_put(&x.s, &x.w, 1, 5, 9);
            story_put(&x.s, &x.w, 9, 1, 9);
            begin_process(&x);
            world_fail(&x.w, nth, 1, kinds[k]);
            while (more && st == WR_OK)
                st = step(&x, &more, &e);
            failed = x.w.requests >= nth;
            T(failed ? st == kinds[k] || st == WR_OK : st == WR_OK && !more);
            T(!wr_hydrate_is_over(x.copy));
            world_fail(&x.w, 0, 0, WR_OK);
            (void)check_map(&x, wr_head_map(x.head));
            (void)fill_pages(&x);
            sea_release(&x);
            if (!failed)
                break;
        }
    }
}

/* Between the copy and a map that was made anew lie more files than one chain has, and some of them
 * cannot be had: the copy had moved halfway, its map had not, and the last close aborted. */
static void test_a_way_that_ends_halfway_aborted_the_last_close(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        struct sea x;
        struct wr_err e = {0};
        enum wr_status st = WR_OK;
        bool more = true, failed;

        sea_init(&x, t_seed(), 0, 512);
        story_commit(&x.s, x.s.pages_max, 0);
        story_put(&x.s, &x.w, 9, 1, 1);
        poll(&x);
        fill(&x);
        for (uint64_t i = 2; i <= 38; i++) {
            story_commit(&x.s, x.s.pages_max, 1);
            story_put(&x.s, &x.w, 0, i, i);
        }
        story_put(&x.s, &x.w, 9, 1, 38);
        wr_head_free(x.head);
        T_OK(wr_head_new(x.w.storage, x.cache, LOCK, &x.head, &e));
        poll(&x);
        world_fail(&x.w, nth, 1, WR_IO);
        while (more && st == WR_OK)
            st = step(&x, &more, &e);
        failed = x.w.requests >= nth;
        world_fail(&x.w, 0, 0, WR_OK);
        (void)check_map(&x, wr_head_map(x.head));
        T_OK(wr_hydrate_end(x.copy, &e));
        sea_release(&x);
        if (!failed)
            break;
    }
}

/* The disk is full from the nth write on: that ends it, with a word; what is there is right. */
static void test_a_full_disk_ends_it(void **state)
{
    bool full = true;

    (void)state;
    for (uint64_t nth = 1; full; nth++) {
        struct sea x;
        struct wr_err e = {0};
        enum wr_status st = WR_OK;
        bool more = true;

        sea_init(&x, t_seed(), 0, 512);
        commit(&x);
        poll(&x);
        x.disk->fail_write = nth;
        for (int i = 0; i < 3 && st == WR_OK; i++) {
            more = true;
            while (more && st == WR_OK)
                st = step(&x, &more, &e);
            commit(&x);
            poll(&x);
        }
        full = x.disk->writes >= nth;
        T(st == (full ? WR_LIMIT : WR_OK) && wr_hydrate_is_over(x.copy) == full);
        if (full) {
            T(strstr(e.text, "No space left") != NULL);
            (void)check_map(&x, wr_head_map(x.head));
            T(step(&x, &more, &e) != WR_OK);
        }
        x.disk->fail_write = 0;
        begin_process(&x);
        (void)fill_pages(&x);
        sea_release(&x);
    }
}

/* What was written may be gone after that, and what was there before it be back. */
static void test_nothing_is_read_from_it_after_a_failed_fsync(void **state)
{
    struct sea x;
    struct wr_err e = {0};

    (void)state;
    left_by_another(&x, 5, 512);
    begin_process(&x);
    fill(&x);
    commit(&x);
    poll(&x);
    fill(&x);
    x.disk->fail_sync = x.disk->syncs + 1;
    T_IS(WR_IO, wr_hydrate_end(x.copy, &e));
    T(wr_hydrate_is_over(x.copy) && check_map(&x, wr_head_map(x.head)) == 0);
    sea_release(&x);
}

static enum wr_status until(struct sea *x, bool *more, struct wr_err *e)
{
    enum wr_status st;

    do {
        st = step(x, more, e);
    } while (st == WR_OK && *more);
    return st;
}

/* A page that cannot be had is left out, and all others are there. */
static void test_a_damaged_frame_is_left_out(void **state)
{
    struct wr_hydrate_look is;
    struct wr_err e = {0};
    struct wr_spot s;
    struct wr_buf b;
    struct sea x;
    bool more = true;

    (void)state;
    sea_init(&x, t_seed(), 0, 512);
    story_commit(&x.s, 60, 0);
    story_put(&x.s, &x.w, 9, 1, 1);
    poll(&x);
    T(wr_pagemap_find(wr_head_map(x.head), 3, &s));
    wr_buf_init(&b, (size_t)1 << 20);
    story_file_changed(&x.s, s.off + 3, &b); /* another page's number */
    world_store(
        &x.w, wr_layout_ltx_key(t_call()->scratch, x.w.storage, 9, 1, 1), wr_buf_bytes(&b), 1000);
    wr_buf_release(&b);
    T_IS(WR_CONFLICT, until(&x, &more, &e)); /* not what the map is of */
    T(strstr(e.text, "another one") != NULL);
    wr_head_doubt(x.head, true);
    poll(&x);
    T_OK(until(&x, &more, &e));
    wr_hydrate_look(x.copy, &is);
    T(is.damaged == 1 && is.total == 59 && is.here == 58);
    T(check_map(&x, wr_head_map(x.head)) == 58);
    sea_release(&x);
}

static enum wr_status copy_and_go_on(void *arg)
{
    struct sea *x = arg;
    const struct wr_hydrate_opts o = {.storage = x->w.storage,
        .cache = x->cache,
        .fs = &x->disk->fs,
        .path = PATH,
        .lock_offset = LOCK};
    enum wr_status st = WR_OK;

    for (int i = 0; i < 2 && st == WR_OK; i++) {
        struct wr_hydrate *h = NULL;
        bool more = true;

        st = wr_hydrate_new(&o, &h, NULL);
        while (more && st == WR_OK)
            st = wr_hydrate_step(h, t_call(), x->reader[i], &more, NULL);
        if (st == WR_OK)
            st = wr_hydrate_end(h, NULL);
        wr_hydrate_free(h);
    }
    return st == WR_OK && wr_mem_fault_fired() ? WR_NOMEM : st; /* fewer threads, or no way on */
}

static void test_nomem(void **state)
{
    struct sea x;

    (void)state;
    left_by_another(&x, 3, 512);
    x.reader[0] = wr_pagemap_hold(wr_head_map(x.head));
    for (size_t i = 4; i <= 6; i++)
        story_commit(&x.s, x.s.pages_max, 3);
    story_put(&x.s, &x.w, 1, 3, 6);
    story_put(&x.s, &x.w, 9, 1, 6);
    wr_head_free(x.head);
    x.head = NULL;
    T(wr_head_new(x.w.storage, x.cache, LOCK, &x.head, NULL) == WR_OK);
    poll(&x);
    x.reader[1] = wr_pagemap_hold(wr_head_map(x.head));
    t_sweep_nomem(copy_and_go_on, &x);
    sea_release(&x);
}

T_MAIN(T_TEST(test_readers_are_given_what_their_state_has_whatever_happens),
    T_TEST(test_what_a_process_left_is_not_fetched_again),
    T_TEST(test_a_copy_of_an_older_format_is_fetched_anew),
    T_TEST(test_a_copy_is_gone_on_from_when_files_were_merged_meanwhile),
    T_TEST(test_a_copy_that_nothing_leads_on_from_is_fetched_anew),
    T_TEST(test_a_copy_of_a_replica_that_began_anew_is_thrown_away),
    T_TEST(test_a_transaction_that_is_taken_back_is_not_believed),
    T_TEST(test_a_copy_of_another_history_of_the_same_names_is_not_believed),
    T_TEST(test_a_copy_whose_checksum_is_another_is_not_believed),
    T_TEST(test_a_fork_that_was_merged_away_was_believed),
    T_TEST(test_what_a_killed_process_had_beyond_its_head_is_not_believed),
    T_TEST(test_a_way_of_another_history_is_not_gone),
    T_TEST(test_a_copy_does_not_go_on_to_another_history),
    T_TEST(test_a_file_that_vanished_dropped_the_copy),
    T_TEST(test_a_way_that_is_not_listed_is_looked_for_again),
    T_TEST(test_records_are_erased_many_at_a_time), T_TEST(test_going_on_can_be_canceled),
    T_TEST(test_each_request_may_fail_once),
    T_TEST(test_a_way_that_ends_halfway_aborted_the_last_close), T_TEST(test_a_full_disk_ends_it),
    T_TEST(test_nothing_is_read_from_it_after_a_failed_fsync),
    T_TEST(test_a_damaged_frame_is_left_out), T_TEST(test_nomem))
