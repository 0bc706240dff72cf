#include "ltx/index.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "harness/ltx_util.h"
#include "harness/t.h"
#include "ltx/frame.h"

enum {
    NO_LOCK = 0x40000000
};

/* From the end of a file to each of its pages, as a reader of ranges goes. */
static void read_by_ranges(
    const struct t_ltx *m, struct wr_bytes file, size_t tail_n, bool header, uint32_t lock_offset)
{
    struct wr_bytes tail = {file.p + file.n - tail_n, tail_n};
    struct wr_ltx_header h = t_ltx_header(m);
    uint64_t off = 0, size = 0;
    struct wr_ltx_index x;
    struct wr_ltx_entry entry;
    struct wr_err e = {0};
    uint32_t next = 1;
    uint8_t *page = wr_alloc(m->page_size);
    enum wr_status st;

    T_OK(wr_ltx_index_locate(tail, file.n, &off, &size, &e));
    T(off + size + WR_LTX_TAIL_MIN == file.n);
    wr_ltx_index_init(
        &x, (struct wr_bytes){file.p + off, (size_t)size}, off, header ? &h : NULL, lock_offset);
    while ((st = wr_ltx_index_next(&x, &entry, &e)) == WR_OK) {
        while (!m->pages[next])
            T(++next < T_LTX_PAGES);
        T(entry.pgno == next++);
        T_OK(wr_ltx_frame_decode((struct wr_bytes){file.p + entry.offset, entry.length},
            m->page_size, entry.pgno, page, &e));
        T(memcmp(page, m->pages[entry.pgno], m->page_size) == 0);
    }
    T_IS(WR_NOTFOUND, st);
    T(e.text[0] == 0);
    for (; next < T_LTX_PAGES; next++)
        T(!m->pages[next]);
    wr_free(page);
}

static void test_every_page_is_found(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 600; i++) {
        uint32_t page_size = 512u << (i % 8);
        uint32_t commit = 1 + (uint32_t)wr_rand_below(&r, page_size > 4096 ? 4 : 300);
        uint32_t lock_offset = page_size * (uint32_t)wr_rand_below(&r, 10);
        struct t_ltx_out o;
        struct wr_err e = {0};
        struct t_ltx m;

        t_ltx_random(&r, &m, page_size, commit, i % 3 ? 1 : 7, lock_offset);
        T_OK(t_ltx_write(&m, lock_offset, &o, &e));
        read_by_ranges(
            &m, wr_buf_bytes(&o.buf), i % 2 ? o.buf.n : WR_LTX_TAIL_MIN, i % 5 > 1, lock_offset);
        wr_buf_release(&o.buf);
        t_ltx_release(&m);
    }
}

static void test_locate_refuses(void **state)
{
    static const struct {
        uint64_t file_size, index_size;
        bool ok;
    } CASES[] = {
        {131, 1, true},
        {131, 0, false},
        {131, 2, false},
        {131, UINT64_MAX, false},
        {130, 1, false},
        {24, 1, false},
        {1000, 1000 - 24 - 106, true},
        {1000, 1000 - 24 - 105, false},
        {1000, 1000, false},
        {UINT64_MAX, UINT64_MAX - 24 - 106, true},
        {UINT64_MAX, UINT64_MAX - 24 - 105, false},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(CASES); i++) {
        uint8_t tail[WR_LTX_TAIL_MIN] = {0};
        uint64_t off = 77, size = 77;
        struct wr_err e = {0};
        enum wr_status st;

        wr_put_be64(tail, CASES[i].index_size);
        st = wr_ltx_index_locate(
            (struct wr_bytes){tail, sizeof(tail)}, CASES[i].file_size, &off, &size, &e);
        T(st == (CASES[i].ok ? WR_OK : WR_CORRUPT));
        if (CASES[i].ok)
            T(size == CASES[i].index_size && off == CASES[i].file_size - 24 - size);
        else
            T(off == 77 && size == 77);
    }
}

/* A whole file that is shorter than a tail. */
static void test_locate_tiny_file(void **state)
{
    uint64_t off, size;
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_CORRUPT,
        wr_ltx_index_locate((struct wr_bytes){(const uint8_t *)"abc", 3}, 3, &off, &size, &e));
    T_IS(WR_CORRUPT, wr_ltx_index_locate((struct wr_bytes){NULL, 0}, 0, &off, &size, &e));
}

struct rows {
    uint64_t v[10]; /* pgno, offset, length, ... as far as n goes */
    size_t n;
    uint64_t end_off; /* of the pages; the end mark follows */
    const char *text; /* NULL: fine */
};

static void test_rules(void **state)
{
    static const struct rows CASES[] = {
        {{0}, 1, 100, NULL},
        {{1, 100, 50, 3, 150, 60, 0}, 7, 210, NULL},
        {{0}, 0, 100, "malformed"},
        {{1}, 1, 150, "malformed"},
        {{1, 100}, 2, 150, "malformed"},
        {{1, 100, 50}, 3, 150, "malformed after page 1"},
        {{0, 0}, 2, 100, "1 bytes after its end"},
        {{1, 100, 50, 0, 1}, 5, 150, "1 bytes after its end"},
        {{1, 100, 50, 0}, 4, 151, "pages end at 151, it says 150"},
        {{0}, 1, 101, "pages end at 101, it says 100"},
        {{2, 100, 50, 2, 150, 50, 0}, 7, 200, "page 2 after page 2"},
        {{2, 100, 50, 1, 150, 50, 0}, 7, 200, "page 1 after page 2"},
        {{10, 100, 50, 0}, 4, 150, "page 10 after page 0, in a database of 9"},
        {{UINT64_MAX, 100, 50, 0}, 4, 150, "after page 0"},
        {{((uint64_t)1 << 32) + 1, 100, 50, 0}, 4, 150, "page 4294967297"},
        {{5, 100, 50, 0}, 4, 150, "page 5 after"},
        {{1, 99, 50, 0}, 4, 150, "page 1 at 99 instead of 100"},
        {{1, 101, 50, 0}, 4, 151, "page 1 at 101"},
        {{1, UINT64_MAX, 50, 0}, 4, 151, "instead of 100"},
        {{1, 100, 50, 2, 149, 50, 0}, 7, 200, "page 2 at 149"},
        {{1, 100, 51, 0}, 4, 150, "page 1 takes 51 bytes"},
        {{1, 100, UINT64_MAX, 0}, 4, 150, "takes"},
        {{1, 100, 10, 0}, 4, 110, "page 1 takes 10 bytes"},
        {{1, 100, 11, 0}, 4, 111, NULL},
        {{1, 100, 4096, 0}, 4, 4196, "page 1 takes 4096 bytes"},
    };
    struct wr_ltx_header h = {.page_size = 512, .commit = 9, .min_txid = 2, .max_txid = 2};

    (void)state;
    for (size_t i = 0; i < wr_countof(CASES); i++) {
        uint8_t buf[10 * WR_VARINT_MAX];
        struct wr_ltx_entry entry;
        struct wr_ltx_index x;
        struct wr_err e = {0};
        enum wr_status st;
        size_t n = 0;

        for (size_t k = 0; k < CASES[i].n; k++)
            n += wr_put_varint(buf + n, CASES[i].v[k]);
        wr_ltx_index_init(&x, (struct wr_bytes){buf, n}, CASES[i].end_off + 6, &h, 512 * 4);
        while ((st = wr_ltx_index_next(&x, &entry, &e)) == WR_OK)
            T(entry.offset >= 100 && entry.offset + entry.length <= CASES[i].end_off);
        T(st == (CASES[i].text ? WR_CORRUPT : WR_NOTFOUND));
        if (CASES[i].text && !strstr(e.text, CASES[i].text))
            fail_msg("%zu: \"%s\" instead of \"%s\"", i, e.text, CASES[i].text);
    }
}

/* Without the header, only what the numbers say of each other is known. */
static void test_without_header(void **state)
{
    static const uint8_t INDEX[] = {5, 100, 50, 0x80, 0x94, 0xeb, 0xdc, 0x03, 0x96, 0x01, 50, 0};
    struct wr_ltx_entry entry = {0};
    struct wr_ltx_index x;
    struct wr_err e = {0};

    (void)state;
    wr_ltx_index_init(&x, (struct wr_bytes){INDEX, sizeof(INDEX)}, 206, NULL, 512 * 4);
    T_OK(wr_ltx_index_next(&x, &entry, &e));
    T(entry.pgno == 5);
    T_OK(wr_ltx_index_next(&x, &entry, &e));
    T(entry.pgno == 1000000000 && entry.offset == 150 && entry.length == 50);
    T_IS(WR_NOTFOUND, wr_ltx_index_next(&x, &entry, &e));
}

/* Any bytes: it ends, and no entry leaves the pages. */
static void test_noise(void **state)
{
    struct wr_ltx_header h = {.page_size = 512, .commit = 200, .min_txid = 2, .max_txid = 2};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 50000; i++) {
        size_t n = (size_t)wr_rand_below(&r, 60);
        uint8_t *buf = wr_alloc(n);
        uint64_t next = 100;
        struct wr_ltx_entry entry;
        struct wr_ltx_index x;
        uint32_t last = 0;

        wr_rand_fill(&r, buf, n);
        for (size_t k = 0; k + 2 < n && i % 2; k += 3) { /* half of them nearly right */
            buf[k] = (uint8_t)(k / 3 + 1);
            buf[k + 1] = 100;
            buf[k + 2] = (uint8_t)(11 + buf[k + 2] % 100);
        }
        wr_ltx_index_init(&x, (struct wr_bytes){buf, n}, 1000, i % 3 ? &h : NULL, NO_LOCK);
        while (wr_ltx_index_next(&x, &entry, NULL) == WR_OK) {
            T(entry.pgno > last && entry.offset == next && entry.length > 10);
            last = entry.pgno;
            next += entry.length;
            T(next <= 994);
        }
        wr_free(buf);
    }
}

T_MAIN(T_TEST(test_every_page_is_found), T_TEST(test_locate_refuses), T_TEST(test_locate_tiny_file),
    T_TEST(test_rules), T_TEST(test_without_header), T_TEST(test_noise))
