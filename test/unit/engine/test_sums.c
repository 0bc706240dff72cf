/*
 * test_sums.c - a database as checksums, against one of pages: random files, good ones and others.
 */
#include "engine/sums.h"

#include "base/rand.h"
#include "harness/ltx_util.h"
#include "harness/t.h"

#define PAGE_SIZE   512u
#define LOCK_OFFSET 4096u /* page 9 */

/* What `m` changes. */
static struct wr_change change_of(const struct t_ltx *m)
{
    struct wr_change ch = {.header = t_ltx_header(m)};
    struct wr_err e = {0};

    for (uint32_t pgno = 1; pgno < T_LTX_PAGES; pgno++) {
        if (m->pages[pgno])
            T_OK(wr_change_add(
                &ch, pgno, wr_ltx_page_checksum(pgno, m->pages[pgno], m->page_size), &e));
    }
    return ch;
}

static void check_same(const struct wr_sums *s, const struct t_ltx_world *w)
{
    T(s->commit == w->commit && s->page_size == w->page_size);
    T(s->rolling == t_ltx_sum(&w->db));
    for (uint32_t pgno = 1; pgno <= s->commit; pgno++)
        T(s->sum[pgno - 1] ==
            (pgno == w->lock ? 0 : t_ltx_page_sum(pgno, w->db.pages[pgno], w->page_size)));
}

/* One thing wrong with a change is told, and a change that is right is not. */
static void spoil(struct wr_rand *r, const struct wr_sums *s, struct wr_change *ch, bool exact)
{
    struct wr_change was = *ch;
    uint64_t rolling, sum;
    size_t i = (size_t)wr_rand_below(r, ch->n);
    struct wr_err e = {0};

    sum = ch->sum[i];
    ch->sum[i] ^= (uint64_t)1 << wr_rand_below(r, 63);
    T_IS(WR_CORRUPT, wr_sums_try(s, ch, exact, &rolling, NULL, &e));
    ch->sum[i] = sum;
    ch->header.rolling_post ^= 1;
    T_IS(WR_CORRUPT, wr_sums_try(s, ch, exact, &rolling, NULL, &e));
    ch->header = was.header;
    if (exact && ch->header.min_txid > 1) {
        ch->header.rolling_pre ^= 1;
        T_IS(WR_CORRUPT, wr_sums_try(s, ch, true, &rolling, NULL, &e));
        T_OK(wr_sums_try(s, ch, false, &rolling, NULL, &e));
        ch->header = was.header;
    }
    ch->header.has_rolling = false;
    ch->header.commit = UINT32_MAX;
    T_IS(WR_CORRUPT, wr_sums_try(s, ch, exact, &rolling, NULL, &e));
    T(strstr(e.text, "missing"));
    ch->header = was.header;
    ch->header.page_size *= 2;
    if (ch->header.min_txid > 1)
        T_IS(WR_CORRUPT, wr_sums_try(s, ch, exact, &rolling, NULL, &e));
    ch->header = was.header;
}

static void test_a_life(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 60; round++) {
        struct wr_sums s = {.lock_offset = LOCK_OFFSET};
        struct t_ltx_world w = {.r = &r,
            .page_size = PAGE_SIZE,
            .lock = wr_ltx_lock_pgno(PAGE_SIZE, LOCK_OFFSET),
            .rolling = true,
            .db = {.page_size = PAGE_SIZE}};

        for (int step = 0; step < 30; step++) {
            struct t_ltx m = t_ltx_world_next(&w);
            struct wr_change ch = change_of(&m);
            uint64_t rolling = 0;
            struct wr_err e = {0};

            T_OK(wr_sums_try(&s, &ch, m.min > 1, &rolling, NULL, &e));
            if (ch.n > 0)
                spoil(&r, &s, &ch, m.min > 1);
            T_OK(wr_sums_apply(&s, &ch, rolling, &e));
            check_same(&s, &w);
            wr_change_release(&ch);
            t_ltx_release(&m);
        }
        wr_sums_release(&s);
        t_ltx_release(&w.db);
    }
}

/* Nothing but what the file has may stay. */
static void test_snapshot_replaces(void **state)
{
    struct wr_sums s = {.lock_offset = LOCK_OFFSET};
    struct wr_change a = {.header = {.page_size = 512, .commit = 20, .min_txid = 1, .max_txid = 1}};
    struct wr_change b = {.header = {.page_size = 1024, .commit = 3, .min_txid = 1, .max_txid = 9}};
    uint64_t rolling = 0;
    struct wr_err e = {0};

    (void)state;
    for (uint32_t p = 1; p <= 20; p++) {
        if (p != 9)
            T_OK(wr_change_add(&a, p, WR_LTX_CHECKSUM_EMPTY | p * 77, &e));
    }
    for (uint32_t p = 1; p <= 3; p++)
        T_OK(wr_change_add(&b, p, WR_LTX_CHECKSUM_EMPTY | p * 99, &e));
    T_OK(wr_sums_try(&s, &a, false, &rolling, NULL, &e));
    T_OK(wr_sums_apply(&s, &a, rolling, &e));
    T(s.commit == 20 && s.sum[8] == 0);
    T_OK(wr_sums_try(&s, &b, false, &rolling, NULL, &e));
    T(rolling == (WR_LTX_CHECKSUM_EMPTY | (99 ^ 198 ^ 297)));
    T_OK(wr_sums_apply(&s, &b, rolling, &e));
    T(s.commit == 3 && s.page_size == 1024 && s.sum[2] == (WR_LTX_CHECKSUM_EMPTY | 297));
    wr_change_release(&a);
    wr_change_release(&b);
    wr_sums_release(&s);
}

/* What is cut off is there when the database grows again, unless a snapshot came between. */
static void test_pages_that_come_back(void **state)
{
    struct wr_sums s = {.lock_offset = LOCK_OFFSET};
    struct wr_change a = {.header = {.page_size = 512, .commit = 5, .min_txid = 1, .max_txid = 1}};
    struct wr_change b = {.header = {.page_size = 512, .commit = 2, .min_txid = 2, .max_txid = 2}};
    struct wr_change c = {.header = {.page_size = 512, .commit = 6, .min_txid = 3, .max_txid = 3}};
    uint64_t rolling = 0;
    struct wr_err e = {0};

    (void)state;
    for (uint32_t p = 1; p <= 5; p++)
        T_OK(wr_change_add(&a, p, WR_LTX_CHECKSUM_EMPTY | p * 77, &e));
    T_OK(wr_change_add(&c, 4, WR_LTX_CHECKSUM_EMPTY | 1000, &e));
    T_OK(wr_change_add(&c, 6, WR_LTX_CHECKSUM_EMPTY | 2000, &e));
    T_OK(wr_sums_try(&s, &a, false, &rolling, NULL, &e));
    T_OK(wr_sums_apply(&s, &a, rolling, &e));
    T_OK(wr_sums_try(&s, &b, true, &rolling, NULL, &e));
    T(rolling == (WR_LTX_CHECKSUM_EMPTY | (77 ^ 154)));
    T_OK(wr_sums_apply(&s, &b, rolling, &e));
    T_OK(wr_sums_try(&s, &c, true, &rolling, NULL, &e));
    T(rolling == (WR_LTX_CHECKSUM_EMPTY | (77 ^ 154 ^ 231 ^ 1000 ^ 385 ^ 2000)));
    wr_sums_cut(&s);
    T_IS(WR_CORRUPT, wr_sums_try(&s, &c, true, &rolling, NULL, &e));
    T(strstr(e.text, "page 3 missing"));
    wr_change_release(&a);
    wr_change_release(&b);
    wr_change_release(&c);
    wr_sums_release(&s);
}

/* What weir sends behind a state that it does not know; it was told to continue nothing. */
static void test_all_pages_behind_an_unknown_state(void **state)
{
    struct wr_sums s = {.lock_offset = LOCK_OFFSET};
    struct wr_change ch = {0};
    struct wr_err e = {0};
    uint64_t rolling = 0;
    size_t n;

    (void)state;
    ch.header =
        (struct wr_ltx_header){.page_size = PAGE_SIZE, .commit = 10, .min_txid = 1, .max_txid = 1};
    for (uint32_t pgno = 1; pgno <= 10; pgno++) /* page 9 is the lock page */
        if (pgno != 9)
            T_OK(wr_change_add(&ch, pgno, pgno | WR_LTX_CHECKSUM_EMPTY, &e));
    T_OK(wr_sums_try(&s, &ch, true, &rolling, NULL, &e));
    T_OK(wr_sums_apply(&s, &ch, rolling, &e));
    ch.header.min_txid = ch.header.max_txid = 2;
    ch.header.has_rolling = true;
    ch.header.rolling_pre = WR_LTX_CHECKSUM_EMPTY;
    ch.header.rolling_post = rolling;
    T_OK(wr_sums_try(&s, &ch, true, &rolling, NULL, &e));
    ch.header.rolling_pre |= 1; /* it knows, and is wrong */
    T_IS(WR_CORRUPT, wr_sums_try(&s, &ch, true, &rolling, NULL, &e));
    ch.header.rolling_pre = WR_LTX_CHECKSUM_EMPTY;
    n = ch.n--; /* not all of them */
    T_IS(WR_CORRUPT, wr_sums_try(&s, &ch, true, &rolling, NULL, &e));
    ch.n = n;
    wr_change_release(&ch);
    wr_sums_release(&s);
}

T_MAIN(T_TEST(test_pages_that_come_back), T_TEST(test_a_life), T_TEST(test_snapshot_replaces),
    T_TEST(test_all_pages_behind_an_unknown_state))
