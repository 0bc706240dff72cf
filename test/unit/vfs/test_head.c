/*
 * test_head.c - the newest state of a replica that changes in every way that replicas change, and
 * pages read through maps of it, new and old, against a model of each transaction.
 */
#include "vfs/head.h"

#include "unit/engine/restore_world.h"
#include "vfs/pagecache.h"
#include "vfs/pagemap.h"
#include "vfs/pages.h"

#define LOCK      (512 * 8) /* the lock page is the 9th, with pages of 512 bytes */
#define PAGES_MAX 60
#define READERS   4
#define POLL_NS   1000000000

/* A replica, what it holds, and who reads it. */
struct sea {
    struct world w;
    struct story s;
    struct wr_rand r;
    struct wr_clock_manual clock;
    struct wr_call call;
    struct wr_pagecache *cache;
    struct wr_pages *pages;
    struct wr_head *head;
    struct {
        struct wr_pagemap *map;
        struct wr_pages_reader reader;
    } reader[READERS];
    uint64_t end[10]; /* of the files of each level below 9, the end of the newest */
    uint64_t snapshot, older_snapshot;
    uint64_t l0_from; /* first transaction that is in a file of level 0 */
};

static void sea_init(struct sea *x, uint64_t seed, unsigned caps)
{
    struct wr_err e = {0};

    memset(x, 0, sizeof(*x));
    wr_rand_init(&x->r, seed);
    world_init(&x->w, caps, "");
    story_init(&x->s, &x->r, 512, LOCK, PAGES_MAX, wr_rand_below(&x->r, 2));
    wr_clock_manual_init(&x->clock, 1700000000000);
    wr_clock_manual_advance(&x->clock, INT64_C(1000000000000));
    x->call = *t_call();
    x->call.clock = &x->clock.clock;
    T_OK(wr_pagecache_new(wr_rand_below(&x->r, 2) ? 4096 : 1 << 20, &x->cache, &e));
    T_OK(wr_pages_new(x->w.storage, x->cache, &x->pages, &e));
    T_OK(wr_head_new(x->w.storage, x->cache, LOCK, &x->head, &e));
}

static void sea_release(struct sea *x)
{
    for (size_t i = 0; i < READERS; i++)
        wr_pagemap_drop(x->reader[i].map);
    wr_head_free(x->head);
    wr_pages_free(x->pages);
    wr_pagecache_free(x->cache);
    story_release(&x->s);
    world_release(&x->w);
}

static void remove_file(struct sea *x, unsigned level, uint64_t min, uint64_t max)
{
    struct wr_call *c = t_call();

    world_remove_key(&x->w, wr_layout_ltx_key(c->scratch, x->w.storage, level, min, max));
}

static void commit(struct sea *x)
{
    uint32_t now = x->s.image[x->s.n].commit;
    uint32_t to = now ? now : 12;

    if (wr_rand_below(&x->r, 3) == 0)
        to = 1 + (uint32_t)wr_rand_below(&x->r, PAGES_MAX);
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

/* Of what the level below has, a file; and files of level 0 that are in one above go now and then.
 */
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

/* One poll. What there is by now is seen at once, or with the one that lists. */
static void poll(struct sea *x)
{
    bool is_new = false;
    struct wr_err e = {0};
    enum wr_status st;

    wr_clock_manual_advance(&x->clock, POLL_NS * (int64_t)(1 + wr_rand_below(&x->r, 20)));
    st = wr_head_step(x->head, &x->call, &is_new, &e);
    if (x->s.n == 0)
        T(st == WR_NOTFOUND && !is_new);
    else
        T_OK(st);
    if (x->s.n)
        T(wr_pagemap_about(wr_head_map(x->head))->txid + 8 >= x->s.n);
}

static void begin_read(struct sea *x, size_t i)
{
    wr_pagemap_drop(x->reader[i].map);
    x->reader[i].map = wr_pagemap_hold(wr_head_map(x->head));
}

/* Each page is that of the transaction, or its file has gone. */
static void check_page(struct sea *x, size_t i, uint32_t pgno)
{
    struct wr_pagemap *m = x->reader[i].map;
    const struct wr_pagemap_about *about = wr_pagemap_about(m);
    uint8_t page[512];
    struct wr_err e = {0};
    enum wr_status st =
        wr_pages_read(x->pages, &x->call, m, &x->reader[i].reader, pgno, 0, page, 512, &e);

    if (st == WR_BUSY) {
        struct wr_pagemap *again = NULL;

        /* As of the same transaction, by another way, where there still is one. */
        st = wr_head_at(x->w.storage, x->cache, LOCK, &x->call, m, about->txid, 0, &again, &e);
        if (st == WR_OK) {
            T(wr_pagemap_about(again)->txid == about->txid);
            wr_pagemap_drop(m);
            x->reader[i].map = m = again;
            about = wr_pagemap_about(m);
            T_OK(
                wr_pages_read(x->pages, &x->call, m, &x->reader[i].reader, pgno, 0, page, 512, &e));
        } else {
            T(st == WR_NOTFOUND);
            return;
        }
    } else {
        T_OK(st);
    }
    if (pgno != about->lock_pgno)
        T(memcmp(page, story_page(&x->s, (size_t)about->txid, pgno), 512) == 0);
}

/* All of the transaction. */
static void read_all(struct sea *x, size_t i)
{
    uint32_t commit_pages;

    if (!x->reader[i].map)
        return;
    commit_pages = wr_pagemap_about(x->reader[i].map)->commit;
    T(commit_pages == x->s.image[wr_pagemap_about(x->reader[i].map)->txid].commit);
    for (uint32_t pgno = 1; pgno <= commit_pages; pgno++)
        check_page(x, i, pgno);
}

/* Later on, in any order: or one page of it. */
static void read_some(struct sea *x, size_t i)
{
    const struct wr_pagemap *m = x->reader[i].map;

    if (m && wr_rand_below(&x->r, 3))
        check_page(x, i, 1 + (uint32_t)wr_rand_below(&x->r, wr_pagemap_about(m)->commit));
    else
        read_all(x, i);
}

static void test_readers_see_each_transaction_whole_whatever_happens_to_the_files(void **state)
{
    struct wr_rand seeds;
    uint64_t steps = 0;

    (void)state;
    wr_rand_init(&seeds, t_seed());
    for (int round = 0; steps < 100000; round++) {
        struct sea x;

        sea_init(&x, wr_rand_u64(&seeds), round % 2 ? WR_STORAGE_HEX_LEVELS : 0);
        for (int i = 0; i < 600; i++, steps++) {
            size_t reader = (size_t)wr_rand_below(&x.r, READERS);

            wr_arena_reset(x.call.scratch);
            switch (wr_rand_below(&x.r, 12)) {
            case 0:
                if (x.s.n < STORY_MAX)
                    commit(&x);
                break;
            case 1:
                compact(&x);
                break;
            case 2:
                if (wr_rand_below(&x.r, 4) == 0)
                    snapshot(&x);
                break;
            case 3:
            case 4:
                poll(&x);
                break;
            case 5:
                begin_read(&x, reader);
                read_all(&x, reader);
                break;
            default:
                read_some(&x, reader);
            }
        }
        sea_release(&x);
    }
}

static void check_all(struct sea *x)
{
    struct wr_pagemap *m = wr_head_map(x->head);

    T(m != NULL);
    for (uint32_t pgno = 1; pgno <= wr_pagemap_about(m)->commit; pgno++) {
        wr_pagemap_drop(x->reader[0].map);
        x->reader[0].map = wr_pagemap_hold(m);
        check_page(x, 0, pgno);
    }
}

/* Snapshot of 1, then transactions up to `n`. */
static void begin_with(struct sea *x, unsigned caps, size_t n)
{
    sea_init(x, t_seed(), caps);
    wr_storage_set_retry(x->w.storage, 1, 1);
    story_commit(&x->s, 30, 0);
    story_put(&x->s, &x->w, 9, 1, 1);
    x->snapshot = 1;
    for (size_t i = 2; i <= n; i++) {
        story_commit(&x->s, 30 + (uint32_t)i, 5);
        story_put(&x->s, &x->w, 0, i, i);
    }
}

static enum wr_status look(struct sea *x, int64_t ns, struct wr_err *e)
{
    bool is_new;

    wr_clock_manual_advance(&x->clock, ns);
    wr_arena_reset(x->call.scratch);
    return wr_head_step(x->head, &x->call, &is_new, e);
}

static uint64_t at(const struct sea *x)
{
    return wr_pagemap_about(wr_head_map(x->head))->txid;
}

/* Each request of a step fails in turn: what was found stays, and the next step finds the rest. */
static void test_a_failure_leaves_what_was_found(void **state)
{
    static const enum wr_status kinds[] = {WR_IO, WR_AUTH, WR_TIMEOUT};
    static const int64_t waits[] = {POLL_NS, 16 * (int64_t)POLL_NS, 200 * (int64_t)POLL_NS};

    (void)state;
    for (size_t k = 0; k < wr_countof(kinds) * wr_countof(waits); k++) {
        for (uint64_t nth = 1;; nth++) {
            struct sea x;
            struct wr_err e = {0};
            enum wr_status st;
            uint64_t was;

            begin_with(&x, 0, 3);
            T_OK(look(&x, POLL_NS, &e));
            T_OK(look(&x, POLL_NS, &e)); /* all levels again */
            was = at(&x);
            T(was == 3);
            for (size_t i = 4; i <= 6; i++) {
                story_commit(&x.s, 20, 5);
                story_put(&x.s, &x.w, 0, i, i);
            }
            world_fail(&x.w, nth, 1, kinds[k % wr_countof(kinds)]);
            st = look(&x, waits[k / wr_countof(kinds)], &e);
            if (st == WR_OK) {
                T(x.w.requests < nth && at(&x) == 6);
                check_all(&x);
                sea_release(&x);
                break;
            }
            T(st == kinds[k % wr_countof(kinds)] && at(&x) == was);
            world_fail(&x.w, 0, 0, WR_OK);
            check_all(&x);
            T_OK(look(&x, POLL_NS, &e));
            T(at(&x) == 6);
            check_all(&x);
            sea_release(&x);
        }
    }
}

static void damage(struct sea *x, unsigned level, uint64_t min, uint64_t max)
{
    struct wr_call *c = t_call();
    struct wr_buf b;

    wr_buf_init(&b, (size_t)1 << 28);
    story_file(&x->s, min, max, &b);
    b.p[0] ^= 1;
    world_store(&x->w, wr_layout_ltx_key(c->scratch, x->w.storage, level, min, max),
        wr_buf_bytes(&b), 1000);
    wr_buf_release(&b);
}

static void test_a_damaged_file_is_done_without_where_another_leads_on(void **state)
{
    struct sea x;
    struct wr_err e = {0};

    (void)state;
    begin_with(&x, 0, 6);
    story_put(&x.s, &x.w, 1, 2, 4);
    damage(&x, 1, 2, 4);
    T_OK(look(&x, POLL_NS, &e));
    T(at(&x) == 6);
    check_all(&x);
    /* While it is followed: a damaged file, and one that holds the same. */
    story_commit(&x.s, 40, 5);
    damage(&x, 0, 7, 7);
    T_IS(WR_CORRUPT, look(&x, POLL_NS, &e));
    T(at(&x) == 6);
    check_all(&x);
    story_put(&x.s, &x.w, 1, 5, 7);
    T_OK(look(&x, POLL_NS, &e));
    T(at(&x) == 7);
    check_all(&x);
    sea_release(&x);
}

/* Files behind a gap are not passed off as the newest state, nor do they end what is read. */
static void test_a_gap_is_told(void **state)
{
    struct sea x;
    struct wr_err e = {0};

    (void)state;
    begin_with(&x, 0, 4);
    T_OK(look(&x, POLL_NS, &e));
    T_OK(look(&x, POLL_NS, &e)); /* all levels again */
    for (size_t i = 5; i <= 7; i++) {
        story_commit(&x.s, 20, 5);
        if (i > 5)
            story_put(&x.s, &x.w, 0, i, i);
    }
    T_OK(look(&x, POLL_NS, &e)); /* by name: nothing new */
    T(at(&x) == 4);
    T(look(&x, 16 * (int64_t)POLL_NS, &e) != WR_OK);
    T(at(&x) == 4);
    check_all(&x);
    story_put(&x.s, &x.w, 2, 5, 6);
    T_OK(look(&x, POLL_NS, &e));
    T(at(&x) == 7);
    check_all(&x);
    sea_release(&x);
}

/* What it costs to see that nothing has happened. */
static void test_an_idle_replica_costs_a_request_a_look(void **state)
{
    struct sea x;
    struct wr_err e = {0};

    (void)state;
    begin_with(&x, WR_STORAGE_HEX_LEVELS, 4);
    T_OK(look(&x, POLL_NS, &e));
    x.w.requests = 0;
    for (int i = 0; i < 600; i++)
        T_OK(look(&x, POLL_NS, &e));
    /* 600 looks in ten minutes: one request each, but that lists of level 0 take the place of some,
     * and that all ten levels are listed six times: five, and once more after they were at once.
     * With each list of level 0, every 15 s, comes a look whether the newest file is still there.
     */
    T(x.w.requests >= 600 && x.w.requests <= 600 + 6 * 10 + 600 / 15);
    sea_release(&x);
}

static enum wr_status open_and_go_on(void *arg)
{
    struct sea *x = arg;
    struct wr_head *h = NULL;
    bool is_new;
    enum wr_status st = wr_head_new(x->w.storage, x->cache, LOCK, &h, NULL);

    if (st == WR_OK)
        st = wr_head_step(h, &x->call, &is_new, NULL);
    if (st == WR_OK) {
        wr_head_doubt(h, false);
        st = wr_head_step(h, &x->call, &is_new, NULL);
    }
    wr_head_free(h);
    wr_pagecache_clear(x->cache);
    return st == WR_OK && wr_mem_fault_fired() ? WR_NOMEM : st; /* threads, or pages, do without */
}

static void test_nomem(void **state)
{
    struct sea x;

    (void)state;
    begin_with(&x, 0, 3);
    x.call.scratch = t_call()->scratch;
    t_sweep_nomem(open_and_go_on, &x);
    sea_release(&x);
}

/* ---- opening ---- */

static enum wr_status open_once(void *arg)
{
    struct sea *x = arg;
    struct wr_head *h = NULL;
    bool is_new;
    enum wr_status st = wr_head_new(x->w.storage, x->cache, WR_LTX_LOCK_OFFSET, &h, NULL);

    if (st == WR_OK)
        st = wr_head_step(h, &x->call, &is_new, NULL);
    wr_head_free(h);
    wr_pagecache_clear(x->cache);
    return st == WR_OK && wr_mem_fault_fired() ? WR_NOMEM : st; /* threads, or pages, do without */
}

/* A listing, amid which what is in level 0 moves up to level 1. */
struct move {
    struct sea *x;
    wr_list_fn *fn;
    void *arg;
    bool moved;
};

static bool move_up(void *arg, const struct wr_object *obj)
{
    struct move *m = arg;
    bool more = m->fn(m->arg, obj);

    if (!m->moved) {
        story_put(&m->x->s, &m->x->w, 1, 2, 3);
        remove_file(m->x, 0, 2, 2);
        remove_file(m->x, 0, 3, 3);
        m->moved = true;
    }
    return more;
}

static enum wr_status list_amid_a_move(void *self, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    struct move *m = ((struct world *)self)->arg;

    m->fn = fn;
    m->arg = arg;
    return world_list(self, c, prefix, after, move_up, m, e);
}

static void test_what_moves_up_while_all_levels_are_listed_is_not_missed(void **state)
{
    (void)state;
    for (unsigned later = 0; later < 2; later++) { /* it is the end; then the middle */
        struct move m = {0};
        struct sea x;
        bool is_new = false;
        struct wr_err e = {0};

        sea_init(&x, later, 0);
        for (unsigned i = 0; i < 3 + later; i++)
            commit(&x);
        story_put(&x.s, &x.w, 9, 1, 1);
        m.x = &x;
        x.w.arg = &m;
        x.w.ops.list = list_amid_a_move;
        T_OK(wr_head_step(x.head, &x.call, &is_new, &e));
        T(is_new && m.moved);
        T(wr_pagemap_about(wr_head_map(x.head))->txid == x.s.n);
        sea_release(&x);
    }
}

/* Another database in the same place, with `n` transactions; and no file of the one before. */
static void begin_anew(struct sea *x, uint64_t n)
{
    for (uint64_t i = 1; i <= x->s.n; i++)
        remove_file(x, 0, i, i);
    story_release(&x->s);
    story_init(&x->s, &x->r, 512, LOCK, PAGES_MAX, false);
    while (x->s.n < n)
        commit(x);
}

/* Nobody misses a page: all that was read is in the cache. */
static void test_a_replica_that_begins_anew_is_seen_by_the_next_listing(void **state)
{
    (void)state;
    for (uint64_t more = 0; more < 2; more++) {
        struct sea x;
        const struct wr_pagemap_about *about;

        sea_init(&x, t_seed() + more, 0);
        story_release(&x.s);
        story_init(&x.s, &x.r, 512, LOCK, PAGES_MAX, false);
        for (int i = 0; i < 5; i++)
            commit(&x);
        poll(&x);
        T(wr_pagemap_about(wr_head_map(x.head))->txid == 5);
        begin_anew(&x, more ? 7 : 2);
        for (int i = 0; i < 18; i++) { /* of a second each */
            bool is_new = false;
            struct wr_err e = {0};

            enum wr_status st;

            wr_clock_manual_advance(&x.clock, POLL_NS);
            st = wr_head_step(x.head, &x.call, &is_new, &e);
            T(st == WR_OK || st == WR_CONFLICT); /* once, that it may have been reset */
        }
        about = wr_pagemap_about(wr_head_map(x.head));
        T(about->txid == (more ? 7 : 2) && about->commit == x.s.image[about->txid].commit);
        begin_read(&x, 0);
        for (uint32_t pgno = 1; pgno <= about->commit; pgno++)
            check_page(&x, 0, pgno);
        sea_release(&x);
    }
}

/* Until it is no longer at `txid`, in at most so many steps, of a second each. */
static void step_beyond(struct sea *x, uint64_t txid, int most)
{
    struct wr_err e = {0};

    for (int i = 0; i < most && wr_pagemap_about(wr_head_map(x->head))->txid == txid; i++) {
        bool is_new = false;

        wr_clock_manual_advance(&x->clock, POLL_NS);
        T_OK(wr_head_step(x->head, &x->call, &is_new, &e));
    }
}

/* Transactions were taken back, and others came in their place, which were merged before anybody
 * looked: no file has another one's name, and none is of another size. */
static void test_another_history_is_a_new_epoch(void **state)
{
    struct sea x;

    (void)state;
    sea_init(&x, t_seed(), 0);
    story_release(&x.s);
    story_init(&x.s, &x.r, 512, LOCK, PAGES_MAX, true);
    for (int i = 0; i < 5; i++)
        commit(&x);
    poll(&x);
    T(wr_pagemap_about(wr_head_map(x.head))->txid == 5);
    for (uint64_t i = 5; i > 3; i--) {
        remove_file(&x, 0, i, i);
        wr_free(x.s.image[i].data);
        wr_free(x.s.image[i].changed);
        x.s.n--;
    }
    for (int i = 0; i < 3; i++)
        story_commit(&x.s, PAGES_MAX, 3);
    story_put(&x.s, &x.w, 1, 4, 5);
    story_put(&x.s, &x.w, 0, 6, 6);
    step_beyond(&x, 5, 18);
    T(wr_pagemap_about(wr_head_map(x.head))->txid == 6);
    T(wr_pagemap_about(wr_head_map(x.head))->epoch == 2);
    begin_read(&x, 0);
    for (uint32_t pgno = 1; pgno <= PAGES_MAX; pgno++)
        check_page(&x, 0, pgno);
    sea_release(&x);
}

/* Of another database, and merged before anybody looked: no file tells what the database was where
 * the old one ended, and none has the name of an old one. Pages that had not changed "since" were
 * shown as they were in the old one. */
static void test_a_replica_made_anew_was_taken_for_the_old_one(void **state)
{
    struct sea x;

    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        sea_init(&x, t_seed(), 0);
        story_release(&x.s);
        story_init(&x.s, &x.r, 512, LOCK, PAGES_MAX, rolling);
        for (int i = 0; i < 5; i++)
            commit(&x);
        poll(&x);
        for (uint64_t i = 1; i <= 5; i++)
            remove_file(&x, 0, i, i);
        story_release(&x.s);
        story_init(&x.s, &x.r, 512, LOCK, PAGES_MAX, rolling);
        for (int i = 0; i < 7; i++)
            story_commit(&x.s, PAGES_MAX, 3);
        story_put(&x.s, &x.w, 9, 1, 3);
        story_put(&x.s, &x.w, 1, 4, 7);
        step_beyond(&x, 5, 18);
        T(wr_pagemap_about(wr_head_map(x.head))->txid == 7);
        T(wr_pagemap_about(wr_head_map(x.head))->epoch == 2);
        T(!wr_pagemap_about(wr_head_map(x.head))->apart);
        sea_release(&x);
    }
}

/* Nobody read for a day: of the files that the map was made of the first snapshot is left, and no
 * checksum tells of where it ended. It is the same replica, and a copy of it is not thrown away. */
static void test_a_reader_that_slept_over_a_snapshot(void **state)
{
    struct sea x;

    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        sea_init(&x, t_seed(), 0);
        story_release(&x.s);
        story_init(&x.s, &x.r, 512, LOCK, PAGES_MAX, rolling);
        for (uint64_t i = 1; i <= 5; i++) {
            story_commit(&x.s, PAGES_MAX, 3);
            story_put(&x.s, &x.w, i == 1 ? 9 : 0, i, i);
        }
        poll(&x);
        T(wr_pagemap_about(wr_head_map(x.head))->txid == 5);
        for (uint64_t i = 2; i <= 5; i++)
            remove_file(&x, 0, i, i);
        for (int i = 0; i < 4; i++)
            story_commit(&x.s, PAGES_MAX, 3);
        story_put(&x.s, &x.w, 9, 1, 8);
        story_put(&x.s, &x.w, 0, 9, 9);
        step_beyond(&x, 5, 150);
        T(wr_pagemap_about(wr_head_map(x.head))->txid == 9);
        T(wr_pagemap_about(wr_head_map(x.head))->epoch == 1);
        begin_read(&x, 0);
        for (uint32_t pgno = 1; pgno <= PAGES_MAX; pgno++)
            check_page(&x, 0, pgno);
        sea_release(&x);
    }
}

/* A replica of one snapshot, of `pages` pages of 4096 bytes. */
static void sea_of_a_snapshot(struct sea *x, uint32_t pages)
{
    struct wr_err e = {0};

    sea_init(x, 1, 0);
    story_release(&x->s);
    story_init(&x->s, &x->r, 4096, WR_LTX_LOCK_OFFSET, pages, true);
    wr_head_free(x->head);
    T_OK(wr_head_new(x->w.storage, x->cache, WR_LTX_LOCK_OFFSET, &x->head, &e));
    wr_pagecache_grow(x->cache, 1 << 20);
    story_commit(&x->s, pages, 0);
    story_put(&x->s, &x->w, 9, 1, 1);
}

/* The first of two large requests is not answered before the second is made, or until long after
 * that. */
static void answer_late(struct world *w, uint64_t nth)
{
    for (int i = 0; nth == 1 && i < 5000 && !*(bool *)w->arg; i++) {
        wr_mutex_lock(&w->mutex);
        *(bool *)w->arg = w->pieces == 2;
        wr_mutex_unlock(&w->mutex);
        t_sleep_ms(1);
    }
}

static void test_the_ends_of_a_snapshot_come_at_the_same_time(void **state)
{
    struct wr_err e = {0};
    bool is_new = false, both = false;
    struct sea x;

    (void)state;
    sea_of_a_snapshot(&x, 6000);
    world_fail(&x.w, UINT64_MAX, 0, WR_OK);
    x.w.in_piece = answer_late;
    x.w.arg = &both;
    T_OK(wr_head_step(x.head, &x.call, &is_new, &e));
    x.w.in_piece = NULL;
    T(both && x.w.pieces == 2);
    sea_release(&x);
}

static void test_nomem_of_a_snapshot_that_is_read_by_its_ends(void **state)
{
    struct sea x;

    (void)state;
    sea_of_a_snapshot(&x, 200);
    x.call.scratch = t_call()->scratch;
    wr_pagecache_clear(x.cache);
    x.w.requests = 0;
    t_sweep_nomem(open_once, &x);
    T(x.w.requests > 12);
    sea_release(&x);
}

static void test_an_index_of_more_than_a_tail_comes_with_one_request(void **state)
{
    struct wr_err e = {0};
    bool is_new = false;
    struct sea x;

    (void)state;
    sea_of_a_snapshot(&x, 6000);
    x.w.requests = 0;
    T_OK(wr_head_step(x.head, &x.call, &is_new, &e));
    /* A listing; the file's first bytes, for its header and pages; its index. */
    T(x.w.requests == 3);
    sea_release(&x);
}

static void test_what_is_read_first_comes_with_the_index(void **state)
{
    struct wr_pages_reader reader = {0};
    struct wr_pages_counts counts;
    struct wr_spot s;
    struct wr_err e = {0};
    uint8_t page[4096];
    bool is_new = false;
    struct sea x;

    (void)state;
    sea_of_a_snapshot(&x, 400);
    T_OK(wr_head_step(x.head, &x.call, &is_new, &e));
    T(wr_pagemap_find(wr_head_map(x.head), 400, &s) && s.off > 256 << 10);
    for (uint32_t pgno = 1; wr_pagemap_find(wr_head_map(x.head), pgno, &s); pgno++) {
        bool near = s.off + s.length <= 64 << 10;

        wr_pages_counts(x.pages, &counts);
        T(counts.fetches == 0 && (near || pgno > 4));
        if (!near)
            break;
        T_OK(wr_pages_read(
            x.pages, &x.call, wr_head_map(x.head), &reader, pgno, 0, page, sizeof(page), &e));
        T(memcmp(page, story_page(&x.s, 1, pgno), sizeof(page)) == 0);
    }
    sea_release(&x);
}

T_MAIN(T_TEST(test_a_replica_that_begins_anew_is_seen_by_the_next_listing),
    T_TEST(test_another_history_is_a_new_epoch),
    T_TEST(test_a_replica_made_anew_was_taken_for_the_old_one),
    T_TEST(test_a_reader_that_slept_over_a_snapshot),
    T_TEST(test_readers_see_each_transaction_whole_whatever_happens_to_the_files),
    T_TEST(test_a_failure_leaves_what_was_found),
    T_TEST(test_a_damaged_file_is_done_without_where_another_leads_on), T_TEST(test_a_gap_is_told),
    T_TEST(test_an_idle_replica_costs_a_request_a_look), T_TEST(test_nomem),
    T_TEST(test_the_ends_of_a_snapshot_come_at_the_same_time),
    T_TEST(test_nomem_of_a_snapshot_that_is_read_by_its_ends),
    T_TEST(test_an_index_of_more_than_a_tail_comes_with_one_request),
    T_TEST(test_what_is_read_first_comes_with_the_index),
    T_TEST(test_what_moves_up_while_all_levels_are_listed_is_not_missed))
