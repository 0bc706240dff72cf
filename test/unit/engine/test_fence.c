/*
 * test_fence.c - files that change nothing and take names, and what a file in the way leads to.
 */
#include "engine/fence.h"

#include "base/mem.h"
#include "engine/layout.h"
#include "harness/ltx_util.h"
#include "harness/t.h"
#include "storage/drivers.h"
#include "storage/storage.h"

#define PAGE 1024u

static uint32_t count(const struct t_ltx *m, uint32_t *ret_first)
{
    uint32_t n = 0;

    for (uint32_t i = T_LTX_PAGES; i-- > 1;) {
        if (m->pages[i]) {
            *ret_first = i;
            n++;
        }
    }
    return n;
}

struct at {
    struct wr_storage *s;
    struct wr_call *c;
    struct wr_rand r;
    struct wr_fence f;
    uint8_t page[PAGE];
};

/* A state behind TXID 6. */
static void begin(struct at *t)
{
    void *bucket = NULL;
    struct wr_err e = {0};

    *t = (struct at){.c = t_call()};
    wr_rand_init(&t->r, t_seed());
    T_OK(wr_storage_mem.open(NULL, &bucket, &e));
    T_OK(wr_storage_wrap(&wr_storage_mem, bucket, WR_STR(""), &t->s, &e));
    t_ltx_random_page(&t->r, t->page, PAGE);
    t->f = (struct wr_fence){.node = 0xab,
        .rolling = 77 | WR_LTX_CHECKSUM_EMPTY,
        .page_size = PAGE,
        .commit = 12,
        .pgno = 1,
        .lock_offset = WR_LTX_LOCK_OFFSET,
        .time_ms = 5000,
        .page = t->page};
}

static struct wr_str name(struct at *t, uint64_t min, uint64_t max)
{
    return wr_layout_ltx_key(t->c->scratch, t->s, 0, min, max);
}

static struct wr_bytes get(struct at *t, uint64_t min, uint64_t max)
{
    uint8_t *p = wr_arena_array(t->c->scratch, 1, 70000);
    size_t n = 0;
    struct wr_err e = {0};

    T(p != NULL);
    T_OK(wr_storage_get(t->s, t->c, name(t, min, max), 0, p, 70000, &n, &e));
    return (struct wr_bytes){p, n};
}

static void put(struct at *t, uint64_t txid, struct wr_bytes b)
{
    struct wr_err e = {0};

    T_OK(wr_storage_put(t->s, t->c, name(t, txid, txid), b, NULL, &e));
}

static void test_it_leads_nowhere(void **state)
{
    struct at t;
    struct t_ltx m = {0};
    uint32_t first = 0;
    struct wr_err e = {0};

    (void)state;
    begin(&t);
    T_OK(wr_fence_put(t.s, t.c, &t.f, 7, 7, &e));
    T_OK(t_ltx_read(get(&t, 7, 7), true, WR_LTX_LOCK_OFFSET, &m, &e));
    T(count(&m, &first) == 1 && first == 1 && m.rolling && m.pre == t.f.rolling &&
        m.post == t.f.rolling && m.node == 0xab);
    T(m.min == 7 && m.max == 7 && m.commit == 12);
    t_ltx_release(&m);
    T_OK(wr_fence_put(t.s, t.c, &t.f, 8, 8000, &e));
    T_OK(wr_fence_put(t.s, t.c, &t.f, 8, 9000, &e)); /* another name */
    t.f.node = 0xcd;
    T_IS(WR_CONFLICT, wr_fence_put(t.s, t.c, &t.f, 7, 7, &e));
    T_IS(WR_CONFLICT, wr_fence_put(t.s, t.c, &t.f, 8, 8000, &e));
    t.f.commit = 0;
    T_IS(WR_CORRUPT, wr_fence_put(t.s, t.c, &t.f, 9, 9, &e)); /* no such database */
    wr_storage_close(t.s);
}

/* As the old primary would have written TXID 7: of random pages. */
static struct wr_bytes next_file(struct at *t, bool rolling, uint32_t page_size, bool pages)
{
    struct t_ltx m = {0};
    struct t_ltx_out out;
    uint8_t *copy;
    struct wr_err e = {0};

    t_ltx_random(&t->r, &m, page_size, 20, 7, WR_LTX_LOCK_OFFSET);
    m.max = 7;
    m.rolling = rolling;
    m.pre = rolling ? t->f.rolling : 0;
    m.post = rolling ? 99 | WR_LTX_CHECKSUM_EMPTY : 0;
    for (uint32_t i = 0; i < T_LTX_PAGES && !pages; i++) {
        wr_free(m.pages[i]);
        m.pages[i] = NULL;
    }
    t_ltx_out_init(&out);
    T_OK(t_ltx_write(&m, WR_LTX_LOCK_OFFSET, &out, &e));
    copy = wr_arena_array(t->c->scratch, out.buf.n, 1);
    T(copy != NULL);
    memcpy(copy, out.buf.p, out.buf.n);
    t_ltx_release(&m);
    t->f.time_ms = 0;
    struct wr_bytes b = {copy, out.buf.n};

    wr_buf_release(&out.buf);
    return b;
}

static void test_what_is_behind_a_file(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct at t;
        struct t_ltx m = {0};
        struct wr_bytes file;
        uint32_t first = 0;
        struct wr_err e = {0};

        begin(&t);
        wr_rand_init(&t.r, t_seed() + (uint64_t)i);
        file = next_file(&t, true, PAGE, true);
        T_OK(t_ltx_read(file, true, WR_LTX_LOCK_OFFSET, &m, &e));
        put(&t, 7, file);
        if (count(&m, &first) == 0) {
            T_IS(WR_UNSUPPORTED, wr_fence_behind(t.s, t.c, 7, &t.f, &e));
        } else {
            T_OK(wr_fence_behind(t.s, t.c, 7, &t.f, &e));
            T(t.f.rolling == m.post && t.f.commit == 20 && t.f.pgno == first);
            T(memcmp(t.f.page, m.pages[first], PAGE) == 0);
            T_OK(wr_fence_put(t.s, t.c, &t.f, 8, 8, &e)); /* and it goes on from there */
        }
        t_ltx_release(&m);
        wr_storage_close(t.s);
    }
}

static void test_a_file_that_does_not_tell(void **state)
{
    static uint8_t large[(1 << 20) + 1];
    struct at t;
    struct wr_bytes good;
    struct wr_err e = {0};

    (void)state;
    begin(&t);
    T_IS(WR_NOTFOUND, wr_fence_behind(t.s, t.c, 7, &t.f, &e));
    put(&t, 7, next_file(&t, false, PAGE, true));
    T_IS(WR_UNSUPPORTED, wr_fence_behind(t.s, t.c, 7, &t.f, &e));
    put(&t, 7, next_file(&t, true, 2 * PAGE, true));
    T_IS(WR_UNSUPPORTED, wr_fence_behind(t.s, t.c, 7, &t.f, &e));
    put(&t, 7, next_file(&t, true, PAGE, false));
    T_IS(WR_UNSUPPORTED, wr_fence_behind(t.s, t.c, 7, &t.f, &e));
    put(&t, 7, (struct wr_bytes){large, sizeof(large)});
    T_IS(WR_UNSUPPORTED, wr_fence_behind(t.s, t.c, 7, &t.f, &e));
    good = next_file(&t, true, PAGE, true);
    put(&t, 7, good);
    t.f.rolling ^= 1; /* of another history */
    T_IS(WR_UNSUPPORTED, wr_fence_behind(t.s, t.c, 7, &t.f, &e));
    t.f.rolling ^= 1;
    for (size_t cut = 0; cut < good.n; cut++) {
        put(&t, 7, (struct wr_bytes){good.p, cut});
        T_IS(WR_UNSUPPORTED, wr_fence_behind(t.s, t.c, 7, &t.f, &e));
    }
    wr_storage_close(t.s);
}

static enum wr_status look_behind(void *arg)
{
    struct at *t = arg;
    struct wr_fence f = t->f;
    uint8_t page[PAGE];
    struct wr_err e = {0};

    f.page = page;
    return wr_fence_behind(t->s, t->c, 7, &f, &e);
}

static void test_no_memory(void **state)
{
    struct at t;
    struct wr_err e = {0};

    (void)state;
    begin(&t);
    T_OK(wr_fence_put(t.s, t.c, &t.f, 7, 7, &e));
    t_sweep_nomem(look_behind, &t);
    wr_storage_close(t.s);
}

T_MAIN(T_TEST(test_it_leads_nowhere), T_TEST(test_what_is_behind_a_file),
    T_TEST(test_a_file_that_does_not_tell), T_TEST(test_no_memory))
