#include "ltx/enc.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "harness/ltx_util.h"
#include "harness/t.h"

#include <lz4.h>

enum {
    NO_LOCK = 0x40000000
};

static struct wr_ltx_header plain(uint32_t page_size, uint32_t commit, uint64_t min)
{
    return (struct wr_ltx_header){
        .page_size = page_size, .commit = commit, .min_txid = min, .max_txid = min + 1};
}

/* What the encoder writes is what the model reads: every page size, snapshots and increments. */
static void test_model_reads_it(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 400; i++) {
        uint32_t page_size = 512u << (i % 8);
        uint32_t commit = 1 + (uint32_t)wr_rand_below(&r, page_size > 4096 ? 6 : 40);
        uint32_t lock_offset = page_size * (uint32_t)wr_rand_below(&r, 10);
        struct t_ltx m, back;
        struct t_ltx_out o;
        struct wr_err e = {0};

        t_ltx_random(&r, &m, page_size, commit, i % 3 ? 1 : 5, lock_offset);
        T_OK(t_ltx_write(&m, lock_offset, &o, &e));
        assert_null(t_ltx_decode(wr_buf_bytes(&o.buf), &back));
        T(t_ltx_same(&m, &back));
        wr_buf_release(&o.buf);
        t_ltx_release(&m);
        t_ltx_release(&back);
    }
}

/* Compressible pages shrink, noise grows by the bound at most. */
static void test_compression(void **state)
{
    static uint8_t zero[65536], noise[65536];
    struct wr_ltx_header h = plain(65536, 2, 1);
    struct wr_ltx_trailer trailer;
    struct t_ltx_out o;
    struct wr_ltx_enc *enc = NULL;
    struct wr_err e = {0};
    struct wr_rand r;
    uint64_t size = 0;

    (void)state;
    wr_rand_init(&r, t_seed());
    wr_rand_fill(&r, noise, sizeof(noise));
    t_ltx_out_init(&o);
    T_OK(wr_ltx_enc_new(&h, NO_LOCK, t_ltx_sink, &o, &enc, &e));
    T_OK(wr_ltx_enc_page(enc, 1, zero, &e));
    T_OK(wr_ltx_enc_page(enc, 2, noise, &e));
    T_OK(wr_ltx_enc_finish(enc, &trailer, &size, &e));
    T(size > 65536 && size < 65536 + 65536 / 255 + 16 + 1000);
    wr_ltx_enc_free(enc);
    wr_buf_release(&o.buf);
}

/* Encode `pages`, all zero; *ret_taken tells how many were accepted. */
static enum wr_status run(const struct wr_ltx_header *h, uint32_t lock_offset,
    const uint32_t *pages, size_t n, size_t *ret_taken, struct wr_err *e)
{
    static const uint8_t zero[4096];
    struct wr_ltx_trailer trailer;
    struct wr_ltx_enc *enc = NULL;
    struct t_ltx_out o;
    uint64_t size;
    enum wr_status st;

    t_ltx_out_init(&o);
    st = wr_ltx_enc_new(h, lock_offset, t_ltx_sink, &o, &enc, e);
    for (*ret_taken = 0; *ret_taken < n && st == WR_OK; ++*ret_taken) {
        st = wr_ltx_enc_page(enc, pages[*ret_taken], zero, e);
        if (st != WR_OK)
            break;
    }
    if (st == WR_OK)
        st = wr_ltx_enc_finish(enc, &trailer, &size, e);
    if (st != WR_OK && enc) {
        struct wr_err later = {0};

        /* A broken encoder stays so. */
        T(wr_ltx_enc_page(enc, 1, zero, &later) == WR_MISUSE);
        T(wr_ltx_enc_finish(enc, &trailer, &size, &later) == WR_MISUSE);
    }
    wr_ltx_enc_free(enc);
    wr_buf_release(&o.buf);
    return st;
}

static void test_order_rules(void **state)
{
    static const struct {
        uint32_t commit, lock_offset;
        uint64_t min;
        uint32_t pages[4];
        size_t n, taken; /* taken == n: refused at the end, or (text NULL) not at all */
        const char *text;
    } CASES[] = {
        {3, NO_LOCK, 1, {1, 2, 3}, 3, 3, NULL},
        {3, NO_LOCK, 1, {1, 2}, 2, 2, "ends at page 2 of 3"},
        {3, NO_LOCK, 1, {0}, 0, 0, "ends at page 0 of 3"},
        {3, NO_LOCK, 1, {1, 3}, 2, 1, "snapshot lacks page 2, before page 3"},
        {3, NO_LOCK, 1, {2}, 1, 0, "snapshot lacks page 1"},
        {3, NO_LOCK, 1, {1, 2, 3, 4}, 4, 3, "page 4 is over the database's 3"},
        {3, 4096, 1, {1, 3}, 2, 2, NULL},
        {3, 4096, 1, {1, 2}, 2, 1, "page 2 is the lock page"},
        {3, 8192, 1, {1, 2}, 2, 2, NULL},
        {3, 8192, 1, {1}, 1, 1, "ends at page 1 of 3"},
        {3, 0, 1, {2, 3}, 2, 2, NULL},
        {1, 0, 1, {0}, 0, 0, NULL},
        {9, NO_LOCK, 4, {0}, 0, 0, NULL},
        {9, NO_LOCK, 4, {2, 5, 9}, 3, 3, NULL},
        {9, NO_LOCK, 4, {0}, 1, 0, "page 0 after page 0"},
        {9, NO_LOCK, 4, {5, 5}, 2, 1, "page 5 after page 5"},
        {9, NO_LOCK, 4, {5, 4}, 2, 1, "page 4 after page 5"},
        {9, NO_LOCK, 4, {10}, 1, 0, "over the database's 9"},
        {9, 4096 * 4, 4, {4, 5}, 2, 1, "lock page"},
        {9, 4096 * 4, 4, {4, 6}, 2, 2, NULL},
        {UINT32_MAX, NO_LOCK, 4, {1, UINT32_MAX - 1, UINT32_MAX}, 3, 3, NULL},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(CASES); i++) {
        struct wr_ltx_header h = plain(4096, CASES[i].commit, CASES[i].min);
        struct wr_err e = {0};
        size_t taken = 0;
        enum wr_status st = run(&h, CASES[i].lock_offset, CASES[i].pages, CASES[i].n, &taken, &e);

        T(taken == CASES[i].taken);
        T(st == (CASES[i].text ? WR_CORRUPT : WR_OK));
        T(!CASES[i].text || strstr(e.text, CASES[i].text) != NULL);
    }
}

static void test_bad_header(void **state)
{
    struct wr_ltx_header h = plain(4096, 0, 1);
    struct wr_ltx_enc *enc = NULL;
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_CORRUPT, wr_ltx_enc_new(&h, NO_LOCK, t_ltx_sink, NULL, &enc, &e));
    T(enc == NULL);
    wr_ltx_enc_free(NULL);
}

/* A snapshot whose pages are not what its header says is not written. */
static void test_rolling_is_proven(void **state)
{
    struct wr_rand r;
    struct t_ltx m;
    struct t_ltx_out o;
    struct wr_err e = {0};

    (void)state;
    wr_rand_init(&r, t_seed());
    t_ltx_random(&r, &m, 1024, 9, 1, NO_LOCK);
    m.rolling = true;
    m.pre = WR_LTX_CHECKSUM_EMPTY;
    m.post = t_ltx_sum(&m);
    T_OK(t_ltx_write(&m, NO_LOCK, &o, &e));
    wr_buf_release(&o.buf);
    m.pages[5][100] ^= 1;
    T_IS(WR_CORRUPT, t_ltx_write(&m, NO_LOCK, &o, &e));
    T(strstr(e.text, "the pages make checksum") != NULL);
    wr_buf_release(&o.buf);
    t_ltx_release(&m);
}

/* A file that got its rolling checksum in the end is the one that had it from the beginning. */
static void test_rolling_comes_in_the_end(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 200; i++) {
        uint32_t page_size = 512u << (i % 8);
        struct wr_ltx_trailer t = {0};
        struct wr_err e = {0};
        struct t_ltx_out want, is;
        struct t_ltx m;
        uint64_t pages = 0;

        t_ltx_random(&r, &m, page_size, 1 + (uint32_t)wr_rand_below(&r, 40), 5, NO_LOCK);
        for (uint32_t p = 1; p < T_LTX_PAGES; p++)
            pages += m.pages[p] != NULL;
        m.rolling = true;
        m.pre = wr_rand_u64(&r) | WR_LTX_CHECKSUM_EMPTY;
        m.post = m.pre;
        T_OK(t_ltx_write(&m, NO_LOCK, &is, &e));
        m.post = wr_rand_u64(&r) | WR_LTX_CHECKSUM_EMPTY;
        T_OK(t_ltx_write(&m, NO_LOCK, &want, &e));
        wr_ltx_enc_amend(is.buf.p, is.buf.n, pages, m.post, &t);
        T(is.buf.n == want.buf.n && memcmp(is.buf.p, want.buf.p, is.buf.n) == 0);
        T(t.file_checksum == wr_be64(is.buf.p + is.buf.n - 8));
        wr_buf_release(&is.buf);
        wr_buf_release(&want.buf);
        t_ltx_release(&m);
    }
}

/* A copied block arrives as it was; the checksum is that of its contents. */
static void test_copy(void **state)
{
    struct wr_ltx_header h = plain(1024, 2, 1);
    uint8_t page[1024], block[2000];
    struct wr_ltx_trailer trailer;
    struct wr_ltx_enc *enc = NULL;
    struct wr_err e = {0};
    struct t_ltx_out o;
    struct t_ltx back;
    struct wr_rand r;
    uint64_t size;
    int n;

    (void)state;
    wr_rand_init(&r, t_seed());
    wr_rand_fill(&r, page, sizeof(page));
    memset(page + 300, 7, 500);
    n = LZ4_compress_default((const char *)page, (char *)block, sizeof(page), sizeof(block));
    T(n > 0);
    t_ltx_out_init(&o);
    T_OK(wr_ltx_enc_new(&h, NO_LOCK, t_ltx_sink, &o, &enc, &e));
    T_OK(wr_ltx_enc_copy(enc, 1, (struct wr_bytes){block, (size_t)n}, page, &e));
    T_OK(wr_ltx_enc_page(enc, 2, page, &e));
    T_OK(wr_ltx_enc_finish(enc, &trailer, &size, &e));
    T(memcmp(o.buf.p + 110, block, (size_t)n) == 0);
    assert_null(t_ltx_decode(wr_buf_bytes(&o.buf), &back));
    T(memcmp(back.pages[1], page, sizeof(page)) == 0);
    T(memcmp(back.pages[2], page, sizeof(page)) == 0);
    T(wr_ltx_enc_copy(enc, 3, (struct wr_bytes){block, (size_t)n}, page, NULL) == WR_MISUSE);
    wr_ltx_enc_free(enc);
    t_ltx_release(&back);
    wr_buf_release(&o.buf);
}

static void test_copy_obeys_the_order(void **state)
{
    static const uint8_t page[512] = {0}, block[1] = {0};
    struct wr_ltx_header h = plain(512, 2, 7);
    struct wr_ltx_enc *enc = NULL;
    struct wr_err e = {0};
    struct t_ltx_out o;

    (void)state;
    t_ltx_out_init(&o);
    T_OK(wr_ltx_enc_new(&h, NO_LOCK, t_ltx_sink, &o, &enc, &e));
    T_IS(WR_CORRUPT, wr_ltx_enc_copy(enc, 3, (struct wr_bytes){block, 1}, page, &e));
    wr_ltx_enc_free(enc);
    wr_buf_release(&o.buf);
}

/* Many pages: chunks of 64 KiB and more but the last (t_ltx_sink checks), entries in many pieces.
 */
static void test_large_file(void **state)
{
    enum {
        PAGES = 60000
    };
    struct wr_ltx_header h = plain(512, 4000000000u, 7);
    uint8_t page[512] = {0};
    struct wr_ltx_trailer trailer;
    struct wr_ltx_dec *dec = NULL;
    struct wr_ltx_enc *enc = NULL;
    struct t_ltx_in in = {0};
    struct t_ltx_out o;
    struct wr_err e = {0};
    struct wr_rand r;
    uint64_t size;
    uint32_t pgno = 0;

    (void)state;
    t_ltx_out_init(&o);
    T_OK(wr_ltx_enc_new(&h, NO_LOCK, t_ltx_sink, &o, &enc, &e));
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < PAGES; i++) {
        pgno += 1 + (uint32_t)(wr_rand_u64(&r) >> (48 + i % 16));
        memcpy(page + i % 500, &pgno, sizeof(pgno));
        T_OK(wr_ltx_enc_page(enc, pgno, page, &e));
    }
    T_OK(wr_ltx_enc_finish(enc, &trailer, &size, &e));
    wr_ltx_enc_free(enc);
    T(o.chunks > 10 && size == o.buf.n);
    in.file = wr_buf_bytes(&o.buf);
    T_OK(wr_ltx_dec_new(t_ltx_source, &in, size, NO_LOCK, &dec, &e));
    wr_rand_init(&r, t_seed());
    pgno = 0;
    for (int i = 0; i < PAGES; i++) {
        uint32_t got = 0, value;

        pgno += 1 + (uint32_t)(wr_rand_u64(&r) >> (48 + i % 16));
        T_OK(wr_ltx_dec_page(dec, &got, page, &e));
        memcpy(&value, page + i % 500, sizeof(value));
        T(got == pgno && value == pgno);
    }
    T_IS(WR_NOTFOUND, wr_ltx_dec_page(dec, &pgno, page, &e));
    T(wr_ltx_dec_trailer(dec).file_checksum == trailer.file_checksum);
    wr_ltx_dec_free(dec);
    wr_buf_release(&o.buf);
}

/* A sink that fails at the `left`-th chunk. */
struct failing {
    int left;
    enum wr_status with;
};

static enum wr_status fail_later(void *arg, struct wr_bytes p, struct wr_err *e)
{
    struct failing *f = arg;

    (void)p;
    return f->left-- > 0 ? WR_OK : wr_fail(e, f->with, "the disk is full");
}

static void test_sink_failure_is_passed_on(void **state)
{
    static const enum wr_status WITH[] = {WR_LIMIT, WR_NOTFOUND, WR_CANCELED};

    (void)state;
    for (int left = 0; left < 4; left++) {
        struct failing f = {.left = left, .with = WITH[left % 3]};
        struct wr_ltx_header h = plain(65536, 1000, 2);
        static uint8_t noise[65536];
        struct wr_ltx_trailer trailer;
        struct wr_ltx_enc *enc = NULL;
        struct wr_err e = {0};
        struct wr_rand r;
        uint64_t size = 0;
        enum wr_status st = WR_OK;

        wr_rand_init(&r, t_seed());
        wr_rand_fill(&r, noise, sizeof(noise));
        T_OK(wr_ltx_enc_new(&h, NO_LOCK, fail_later, &f, &enc, &e));
        for (uint32_t p = 1; p <= 3 && st == WR_OK; p++)
            st = wr_ltx_enc_page(enc, p, noise, &e);
        if (st == WR_OK)
            st = wr_ltx_enc_finish(enc, &trailer, &size, &e);
        T(st == WITH[left % 3] && size == 0);
        T(strstr(e.text, "the disk is full") != NULL);
        T(wr_ltx_enc_finish(enc, &trailer, &size, NULL) == WR_MISUSE);
        wr_ltx_enc_free(enc);
    }
}

static enum wr_status swallow(void *arg, struct wr_bytes p, struct wr_err *e)
{
    (void)arg;
    (void)p;
    (void)e;
    return WR_OK;
}

static enum wr_status encode_some(void *arg)
{
    static const uint8_t page[512];
    struct wr_ltx_header h = plain(512, 50000, 2);
    struct wr_ltx_trailer trailer;
    struct wr_ltx_enc *enc = NULL;
    uint64_t size;
    enum wr_status st = wr_ltx_enc_new(&h, NO_LOCK, swallow, NULL, &enc, arg);

    for (uint32_t p = 1; p <= 20000 && st == WR_OK; p++)
        st = wr_ltx_enc_page(enc, p, page, arg);
    if (st == WR_OK)
        st = wr_ltx_enc_finish(enc, &trailer, &size, arg);
    wr_ltx_enc_free(enc);
    return st;
}

static void test_out_of_memory(void **state)
{
    struct wr_err e = {0};

    (void)state;
    t_sweep_nomem(encode_some, &e);
}

T_MAIN(T_TEST(test_model_reads_it), T_TEST(test_compression), T_TEST(test_order_rules),
    T_TEST(test_bad_header), T_TEST(test_rolling_is_proven), T_TEST(test_rolling_comes_in_the_end),
    T_TEST(test_copy), T_TEST(test_copy_obeys_the_order), T_TEST(test_large_file),
    T_TEST(test_sink_failure_is_passed_on), T_TEST(test_out_of_memory))
