/*
 * test_pack.c - pages packed elsewhere make the same file as pages added one by one.
 */
#include "ltx/pack.h"

#include "base/mem.h"
#include "harness/ltx_util.h"
#include "harness/t.h"

enum {
    NO_LOCK = 0x40000000
};

static struct wr_ltx_pack pack_new(uint32_t page_size, uint32_t room)
{
    struct wr_ltx_pack p;
    struct wr_err e = {0};

    T_OK(wr_ltx_pack_init(&p, page_size, room, &e));
    T(p.n == 0 && p.room == room && p.page_size == page_size);
    return p;
}

/* The model's file, by packs of random fill, here and there a page that is left out. */
static void write_packed(
    struct wr_rand *r, const struct t_ltx *m, uint32_t lock_offset, struct t_ltx_out *o)
{
    struct wr_ltx_header h = t_ltx_header(m);
    struct wr_ltx_pack k = pack_new(m->page_size, 1 + (uint32_t)wr_rand_below(r, 9));
    struct wr_ltx_trailer trailer = {0};
    struct wr_ltx_enc *enc = NULL;
    struct wr_err e = {0};
    uint64_t size = 0;

    t_ltx_out_init(o);
    T_OK(wr_ltx_enc_new(&h, lock_offset, t_ltx_sink, o, &enc, &e));
    for (uint32_t pgno = 1; pgno < T_LTX_PAGES;) {
        for (k.n = 0; k.n < k.room && pgno < T_LTX_PAGES && wr_rand_below(r, 20) > 0; pgno++) {
            uint8_t *at = k.pages + (size_t)k.n * k.page_size;

            if (!m->pages[pgno] && wr_rand_below(r, 2) == 0)
                continue;
            k.pgno[k.n++] = m->pages[pgno] ? pgno : 0;
            if (m->pages[pgno])
                memcpy(at, m->pages[pgno], k.page_size);
            else
                memset(at, 0xee, k.page_size);
        }
        wr_ltx_pack_make(&k);
        T_OK(wr_ltx_enc_pack(enc, &k, &e));
        memset(k.pages, 0xdd, (size_t)k.room * k.page_size); /* not needed any more */
    }
    T_OK(wr_ltx_enc_finish(enc, &trailer, &size, &e));
    T(size == o->buf.n);
    wr_ltx_enc_free(enc);
    wr_ltx_pack_release(&k);
}

static void test_the_same_bytes(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 400; i++) {
        uint32_t page_size = 512u << (i % 8);
        uint32_t commit = 1 + (uint32_t)wr_rand_below(&r, page_size > 4096 ? 12 : 60);
        uint32_t lock_offset = page_size * (uint32_t)wr_rand_below(&r, 10);
        struct t_ltx m;
        struct t_ltx_out o, packed;
        struct wr_err e = {0};

        t_ltx_random(&r, &m, page_size, commit, i % 3 ? 1 : 5, lock_offset);
        T_OK(t_ltx_write(&m, lock_offset, &o, &e));
        write_packed(&r, &m, lock_offset, &packed);
        T(o.buf.n == packed.buf.n && memcmp(o.buf.p, packed.buf.p, o.buf.n) == 0);
        wr_buf_release(&o.buf);
        wr_buf_release(&packed.buf);
        t_ltx_release(&m);
    }
}

/* Both ways in one file. */
static void test_mixed(void **state)
{
    struct wr_ltx_header h = {.page_size = 512, .commit = 4, .min_txid = 1, .max_txid = 2};
    struct wr_ltx_trailer trailer[2];
    struct t_ltx_out o[2];
    struct wr_ltx_pack k = pack_new(512, 2);
    uint8_t page[4][512];
    struct wr_err e = {0};
    struct wr_rand r;
    uint64_t size;

    (void)state;
    wr_rand_init(&r, t_seed());
    h.has_rolling = true;
    h.rolling_pre = h.rolling_post = WR_LTX_CHECKSUM_EMPTY;
    for (uint32_t i = 0; i < 4; i++) {
        t_ltx_random_page(&r, page[i], 512);
        h.rolling_post =
            wr_ltx_rolling(h.rolling_post, 0, wr_ltx_page_checksum(i + 1, page[i], 512));
    }
    for (int way = 0; way < 2; way++) {
        struct wr_ltx_enc *enc = NULL;

        t_ltx_out_init(&o[way]);
        T_OK(wr_ltx_enc_new(&h, NO_LOCK, t_ltx_sink, &o[way], &enc, &e));
        for (uint32_t i = 0; i < 4; i++) {
            if (way == 0 || i == 0 || i == 3) {
                T_OK(wr_ltx_enc_page(enc, i + 1, page[i], &e));
                continue;
            }
            k.pgno[k.n] = i + 1;
            memcpy(k.pages + 512 * (size_t)k.n++, page[i], 512);
            if (k.n == 2) {
                wr_ltx_pack_make(&k);
                T_OK(wr_ltx_enc_pack(enc, &k, &e));
            }
        }
        T_OK(wr_ltx_enc_finish(enc, &trailer[way], &size, &e));
        wr_ltx_enc_free(enc);
    }
    T(trailer[0].file_checksum == trailer[1].file_checksum);
    T(o[0].buf.n == o[1].buf.n && memcmp(o[0].buf.p, o[1].buf.p, o[0].buf.n) == 0);
    wr_ltx_pack_release(&k);
    wr_buf_release(&o[0].buf);
    wr_buf_release(&o[1].buf);
}

/* The rules of the file hold for what comes in packs, too; none of such a pack reaches it. */
static void test_obeys_the_order(void **state)
{
    static const struct {
        uint32_t pages[3];
        const char *text;
    } CASES[] = {
        {{1, 3, 0}, "snapshot lacks page 2, before page 3"},
        {{1, 2, 4}, "page 4 is the lock page"},
        {{0, 1, 1}, "page 1 after page 1"},
        {{1, 2, 9}, "page 9 is over the database's 8"},
    };
    struct wr_ltx_header h = {.page_size = 512, .commit = 8, .min_txid = 1, .max_txid = 2};

    (void)state;
    for (size_t i = 0; i < wr_countof(CASES); i++) {
        struct wr_ltx_pack k = pack_new(512, 3);
        struct wr_ltx_enc *enc = NULL;
        struct wr_err e = {0};
        struct t_ltx_out o;

        t_ltx_out_init(&o);
        T_OK(wr_ltx_enc_new(&h, 3 * 512, t_ltx_sink, &o, &enc, &e));
        k.n = 3;
        memcpy(k.pgno, CASES[i].pages, sizeof(CASES[i].pages));
        wr_ltx_pack_make(&k);
        T_IS(WR_CORRUPT, wr_ltx_enc_pack(enc, &k, &e));
        T(strstr(e.text, CASES[i].text) != NULL);
        T(wr_ltx_enc_pack(enc, &k, NULL) == WR_MISUSE);
        T(o.buf.n == 0);
        wr_ltx_enc_free(enc);
        wr_ltx_pack_release(&k);
        wr_buf_release(&o.buf);
    }
}

/* A page that is not what the checksum was made of. */
static void test_rolling_is_proven(void **state)
{
    struct wr_ltx_header h = {.page_size = 512,
        .commit = 1,
        .min_txid = 1,
        .max_txid = 1,
        .has_rolling = true,
        .rolling_pre = WR_LTX_CHECKSUM_EMPTY};
    struct wr_ltx_pack k = pack_new(512, 1);
    struct wr_ltx_trailer trailer;
    uint64_t size;

    (void)state;
    k.n = 1;
    k.pgno[0] = 1;
    memset(k.pages, 7, 512);
    h.rolling_post = wr_ltx_page_checksum(1, k.pages, 512);
    for (int wrong = 0; wrong < 2; wrong++) {
        struct wr_ltx_enc *enc = NULL;
        struct wr_err e = {0};
        struct t_ltx_out o;

        k.pages[100] = (uint8_t)(7 + wrong);
        wr_ltx_pack_make(&k);
        t_ltx_out_init(&o);
        T_OK(wr_ltx_enc_new(&h, NO_LOCK, t_ltx_sink, &o, &enc, &e));
        T_OK(wr_ltx_enc_pack(enc, &k, &e));
        T_IS(wrong ? WR_CORRUPT : WR_OK, wr_ltx_enc_finish(enc, &trailer, &size, &e));
        wr_ltx_enc_free(enc);
        wr_buf_release(&o.buf);
    }
    wr_ltx_pack_release(&k);
}

static enum wr_status fill_one(void *arg)
{
    struct wr_ltx_pack k = {0};
    enum wr_status st = wr_ltx_pack_init(&k, 4096, 8, arg);

    wr_ltx_pack_release(&k);
    return st;
}

static void test_out_of_memory(void **state)
{
    struct wr_err e = {0};

    (void)state;
    t_sweep_nomem(fill_one, &e);
}

T_MAIN(T_TEST(test_the_same_bytes), T_TEST(test_mixed), T_TEST(test_obeys_the_order),
    T_TEST(test_rolling_is_proven), T_TEST(test_out_of_memory))
