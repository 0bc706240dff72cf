#include "ltx/ltx.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/mem.h"
#include "base/rand.h"
#include "harness/ltx_model.h"
#include "harness/t.h"

static struct wr_ltx_header sample(void)
{
    return (struct wr_ltx_header){.page_size = 4096,
        .commit = 7,
        .min_txid = 3,
        .max_txid = 9,
        .time_ms = 1795373351761,
        .wal_off = 32,
        .wal_size = 4152,
        .salt = {1, 2, 3, 4, 5, 6, 7, 8},
        .node_id = 5,
        .has_rolling = true,
        .rolling_pre = WR_LTX_CHECKSUM_EMPTY | 17,
        .rolling_post = WR_LTX_CHECKSUM_EMPTY | 18};
}

static bool same(const struct wr_ltx_header *a, const struct wr_ltx_header *b)
{
    return a->page_size == b->page_size && a->commit == b->commit && a->min_txid == b->min_txid &&
           a->max_txid == b->max_txid && a->time_ms == b->time_ms && a->wal_off == b->wal_off &&
           a->wal_size == b->wal_size && memcmp(a->salt, b->salt, 8) == 0 &&
           a->node_id == b->node_id && a->has_rolling == b->has_rolling &&
           a->rolling_pre == b->rolling_pre && a->rolling_post == b->rolling_post;
}

static void test_header_layout(void **state)
{
    static const uint8_t WANT[WR_LTX_HEADER_SIZE] = {'L', 'T', 'X', '1', 0, 0, 0, 2, 0, 0, 16, 0, 0,
        0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 1, 0xa2, 4, 0x97, 0x43, 0x51,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 16, 56, 1, 2, 3, 4, 5, 6,
        7, 8, 0, 0, 0, 0, 0, 0, 0, 5, 'W', 'R', 'C', '2', 128, 0, 0, 0, 0, 0, 0, 17, 128, 0, 0, 0,
        0, 0, 0, 18};
    struct wr_ltx_header h = sample(), back = {0};
    uint8_t out[WR_LTX_HEADER_SIZE];
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_ltx_header_put(out, &h, &e));
    assert_memory_equal(out, WANT, sizeof(out));
    T_OK(wr_ltx_header_get(out, &back, &e));
    T(same(&h, &back));
    h.has_rolling = false;
    h.rolling_pre = h.rolling_post = 0;
    T_OK(wr_ltx_header_put(out, &h, &e));
    for (int i = 80; i < WR_LTX_HEADER_SIZE; i++)
        T(out[i] == 0);
    T_OK(wr_ltx_header_get(out, &back, &e));
    T(same(&h, &back));
}

/* Reserved bytes in use by others, or by an earlier version of ours, are not our business. */
static void test_foreign_reserved_bytes(void **state)
{
    struct wr_ltx_header h = sample(), back;
    uint8_t out[WR_LTX_HEADER_SIZE];
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_ltx_header_put(out, &h, &e));
    out[83] = '1';
    T_OK(wr_ltx_header_get(out, &back, &e));
    T(!back.has_rolling && back.rolling_pre == 0 && back.rolling_post == 0);
}

static void test_header_fields_at_their_limits(void **state)
{
    struct wr_rand r;
    struct wr_err e = {0};

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 5000; i++) {
        struct wr_ltx_header h = {0}, back;
        uint8_t out[WR_LTX_HEADER_SIZE];

        h.page_size = 512u << wr_rand_below(&r, 8);
        h.commit = i % 3 ? 1 + (uint32_t)wr_rand_below(&r, UINT32_MAX) : UINT32_MAX;
        h.min_txid = i % 5 ? 2 + wr_rand_below(&r, UINT64_MAX - 2) : 1;
        h.max_txid = i % 7 ? h.min_txid : UINT64_MAX;
        h.time_ms = (int64_t)wr_rand_u64(&r);
        if (i % 2) {
            h.wal_off = i % 3 ? 1 + wr_rand_below(&r, INT64_MAX) : INT64_MAX;
            h.wal_size = i % 11 ? wr_rand_below(&r, INT64_MAX) : INT64_MAX;
            wr_rand_fill(&r, h.salt, 8);
        }
        h.node_id = wr_rand_u64(&r);
        h.has_rolling = i % 13 > 6;
        if (h.has_rolling) {
            h.rolling_pre = WR_LTX_CHECKSUM_EMPTY | (h.min_txid == 1 ? 0 : wr_rand_u64(&r));
            h.rolling_post = WR_LTX_CHECKSUM_EMPTY | wr_rand_u64(&r);
        }
        T_OK(wr_ltx_header_put(out, &h, &e));
        T_OK(wr_ltx_header_get(out, &back, &e));
        T(same(&h, &back));
    }
}

/* Every rule, broken alone, is refused by both directions, with its own text. */
static void test_header_rules(void **state)
{
    static const struct {
        unsigned at, size;
        uint64_t value;
        const char *text;
    } CASES[] = {
        {0, 4, 0x4c545832, "not an LTX file"},
        {4, 4, 0, "tracks a database checksum"},
        {4, 4, 3, "unknown flags 00000003"},
        {4, 4, 0x80000002, "unknown flags"},
        {40, 8, WR_LTX_CHECKSUM_EMPTY, "pre-apply checksum"},
        {40, 8, 1, "pre-apply checksum"},
        {8, 4, 0, "page size 0"},
        {8, 4, 1, "page size 1"},
        {8, 4, 256, "page size 256"},
        {8, 4, 4095, "page size 4095"},
        {8, 4, 6144, "page size 6144"},
        {8, 4, 131072, "page size 131072"},
        {12, 4, 0, "0 pages"},
        {16, 8, 0, "first TXID 0"},
        {24, 8, 2, "last TXID 0000000000000002 before the first, 0000000000000003"},
        {48, 8, WR_LTX_CHECKSUM_EMPTY, "negative WAL"},
        {56, 8, UINT64_MAX, "negative WAL"},
        {48, 8, 0, "WAL size without WAL offset"},
        {84, 8, 17, "without bit 63"},
        {92, 8, 0, "without bit 63"},
        {16, 8, 1, "non-empty database"},
    };
    struct wr_ltx_header h = sample();
    uint8_t good[WR_LTX_HEADER_SIZE];

    (void)state;
    T(wr_ltx_header_put(good, &h, NULL) == WR_OK);
    for (size_t i = 0; i < wr_countof(CASES); i++) {
        uint8_t bad[WR_LTX_HEADER_SIZE];
        struct wr_ltx_header untouched = {.page_size = 77};
        struct wr_err e = {0};

        memcpy(bad, good, sizeof(bad));
        if (CASES[i].size == 4)
            wr_put_be32(bad + CASES[i].at, (uint32_t)CASES[i].value);
        else
            wr_put_be64(bad + CASES[i].at, CASES[i].value);
        T_IS(WR_CORRUPT, wr_ltx_header_get(bad, &untouched, &e));
        T(strstr(e.text, CASES[i].text) != NULL);
        T(untouched.page_size == 77);
    }
}

static void test_header_put_rules(void **state)
{
    struct wr_ltx_header h[12];
    uint8_t out[WR_LTX_HEADER_SIZE];
    struct wr_err e = {0};
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < wr_countof(h); i++)
        h[i] = sample();
    h[n++].page_size = 1000;
    h[n++].commit = 0;
    h[n++].min_txid = 0;
    h[n++].max_txid = 2;
    h[n++].wal_off = (uint64_t)INT64_MAX + 1;
    h[n++].wal_size = (uint64_t)INT64_MAX + 1;
    h[n++].wal_off = 0;
    h[n].wal_off = h[n].wal_size = 0;
    n++;
    h[n++].rolling_pre = 1;
    h[n++].rolling_post = 1;
    h[n++].min_txid = 1;
    for (size_t i = 0; i < n; i++)
        T_IS(WR_CORRUPT, wr_ltx_header_put(out, &h[i], &e));
    T_OK(wr_ltx_header_put(out, &h[n], &e));
}

/* Salts count as salts if either is set. */
static void test_salt_without_offset(void **state)
{
    uint8_t out[WR_LTX_HEADER_SIZE];
    struct wr_err e = {0};

    (void)state;
    for (int i = 0; i < 8; i++) {
        struct wr_ltx_header h = sample();

        h.wal_off = h.wal_size = 0;
        memset(h.salt, 0, sizeof(h.salt));
        T_OK(wr_ltx_header_put(out, &h, &e));
        h.salt[i] = 1;
        T_IS(WR_CORRUPT, wr_ltx_header_put(out, &h, &e));
        T(strstr(e.text, "salt") != NULL);
    }
}

static void test_trailer(void **state)
{
    struct wr_ltx_trailer t = {.file_checksum = 0xc9539699bca7c3cd}, back = {0};
    uint8_t out[WR_LTX_TRAILER_SIZE];
    struct wr_err e = {0};

    (void)state;
    wr_ltx_trailer_put(out, &t);
    assert_memory_equal(out, "\0\0\0\0\0\0\0\0\xc9\x53\x96\x99\xbc\xa7\xc3\xcd", 16);
    T_OK(wr_ltx_trailer_get(out, &back, &e));
    T(back.file_checksum == t.file_checksum);
    out[8] = 0x49;
    T_IS(WR_CORRUPT, wr_ltx_trailer_get(out, &back, &e));
    out[8] = 0xc9;
    out[0] = 0x80;
    T_IS(WR_CORRUPT, wr_ltx_trailer_get(out, &back, &e));
}

static void test_page_size(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 200000; n++) {
        bool want = n == 512 || n == 1024 || n == 2048 || n == 4096 || n == 8192 || n == 16384 ||
                    n == 32768 || n == 65536;

        T(wr_ltx_page_size_ok(n) == want);
    }
    T(!wr_ltx_page_size_ok(UINT32_MAX));
}

static void test_lock_page(void **state)
{
    (void)state;
    T(wr_ltx_lock_pgno(4096, WR_LTX_LOCK_OFFSET) == 262145);
    T(wr_ltx_lock_pgno(65536, WR_LTX_LOCK_OFFSET) == 16385);
    T(wr_ltx_lock_pgno(512, WR_LTX_LOCK_OFFSET) == 2097153);
    T(wr_ltx_lock_pgno(1024, WR_LTX_LOCK_OFFSET) == 1048577);
    T(wr_ltx_lock_pgno(8192, WR_LTX_LOCK_OFFSET) == 131073);
    T(wr_ltx_lock_pgno(4096, 65536) == 17);
    T(wr_ltx_lock_pgno(65536, 65536) == 2);
}

static void test_names(void **state)
{
    static const char *const BAD[] = {"", "0000000000000001-0000000000000002.ltx.tmp",
        "0000000000000001-0000000000000002.lt", "000000000000001-0000000000000002.ltx",
        "0000000000000001-000000000000000A.ltx", "0000000000000001_0000000000000002.ltx",
        "0000000000000002-0000000000000001.ltx", "0000000000000000-0000000000000001.ltx",
        "+000000000000001-0000000000000002.ltx", "000000000000000g-0000000000000002.ltx",
        "0000000000000001-000000000000000`.ltx", "0000000000000001-0000000000000002.LTX",
        "000000000000000:-00000000000000ff.ltx", "000000000000000/-00000000000000ff.ltx"};
    char out[WR_LTX_NAME_MAX];
    uint64_t min = 0, max = 0;

    (void)state;
    wr_ltx_name_format(out, 1, 42);
    assert_string_equal(out, "0000000000000001-000000000000002a.ltx");
    T(wr_ltx_name_parse(wr_str(out), &min, &max) && min == 1 && max == 42);
    wr_ltx_name_format(out, 0xfedcba9876543210, UINT64_MAX);
    assert_string_equal(out, "fedcba9876543210-ffffffffffffffff.ltx");
    T(wr_ltx_name_parse(wr_str(out), &min, &max) && min == 0xfedcba9876543210 && max == UINT64_MAX);
    for (size_t i = 0; i < wr_countof(BAD); i++) {
        min = max = 99;
        T(!wr_ltx_name_parse(wr_str(BAD[i]), &min, &max));
        T(min == 99 && max == 99);
    }
}

/* Any one wrong byte makes it another name or none; it never reads as the same one. */
static void test_names_are_strict(void **state)
{
    char out[WR_LTX_NAME_MAX];
    uint64_t min, max;

    (void)state;
    wr_ltx_name_format(out, 0x123, 0x89abcdef);
    for (size_t i = 0; i < sizeof(out) - 1; i++) {
        for (int c = 0; c < 256; c++) {
            char was = out[i];

            if ((char)c == was)
                continue;
            out[i] = (char)c;
            if (wr_ltx_name_parse((struct wr_str){out, sizeof(out) - 1}, &min, &max)) {
                char back[WR_LTX_NAME_MAX];

                wr_ltx_name_format(back, min, max);
                T(memcmp(out, back, sizeof(out) - 1) == 0);
            }
            out[i] = was;
        }
    }
}

static void test_page_checksum(void **state)
{
    struct wr_rand r;
    uint8_t page[4096];

    (void)state;
    T(wr_crc64(0, "123456789", 9) == 0xB90956C775A41001);
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 200; i++) {
        uint32_t pgno = 1 + (uint32_t)wr_rand_below(&r, UINT32_MAX);

        wr_rand_fill(&r, page, sizeof(page));
        T(wr_ltx_page_checksum(pgno, page, 4096) == t_ltx_page_sum(pgno, page, 4096));
        T(wr_ltx_page_checksum(pgno, page, 512) == t_ltx_page_sum(pgno, page, 512));
        T((wr_ltx_page_checksum(pgno, page, 512) & WR_LTX_CHECKSUM_EMPTY) != 0);
    }
}

/* A flag that was set in two rows of equal pages: a sum of CRCs would not show it. */
static void test_equal_changes_do_not_cancel_out(void **state)
{
    struct wr_rand r;
    uint8_t pages[4][512];

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 1000; i++) {
        size_t at = wr_rand_below(&r, sizeof(pages[0]));
        uint8_t delta = (uint8_t)(1 + wr_rand_below(&r, 255));
        uint32_t n = 2 * (1 + (uint32_t)wr_rand_below(&r, 2));
        uint64_t before = WR_LTX_CHECKSUM_EMPTY, after;

        for (uint32_t p = 0; p < n; p++) {
            wr_rand_fill(&r, pages[p], sizeof(pages[p]));
            before = wr_ltx_rolling(before, 0, wr_ltx_page_checksum(p + 1, pages[p], 512));
        }
        after = before;
        for (uint32_t p = 0; p < n; p++) {
            uint64_t was = wr_ltx_page_checksum(p + 1, pages[p], 512);

            pages[p][at] ^= delta;
            after = wr_ltx_rolling(after, was, wr_ltx_page_checksum(p + 1, pages[p], 512));
        }
        T(after != before);
    }
}

/* However a database came to be, its rolling checksum is that of its pages. */
static void test_rolling(void **state)
{
    struct wr_rand r;
    struct t_ltx m = {.page_size = 512};
    uint64_t rolling = WR_LTX_CHECKSUM_EMPTY;

    (void)state;
    T(t_ltx_sum(&m) == WR_LTX_CHECKSUM_EMPTY);
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 2000; i++) {
        uint32_t pgno = 1 + (uint32_t)wr_rand_below(&r, 8);
        uint64_t was = 0, is = 0;
        uint8_t page[512];

        if (m.pages[pgno])
            was = wr_ltx_page_checksum(pgno, m.pages[pgno], 512);
        if (wr_rand_below(&r, 3) == 0) {
            wr_free(m.pages[pgno]);
            m.pages[pgno] = NULL;
        } else {
            wr_rand_fill(&r, page, sizeof(page));
            t_ltx_set(&m, pgno, page);
            is = wr_ltx_page_checksum(pgno, page, 512);
        }
        rolling = wr_ltx_rolling(rolling, was, is);
        T(rolling == t_ltx_sum(&m));
    }
    t_ltx_release(&m);
}

T_MAIN(T_TEST(test_header_layout), T_TEST(test_foreign_reserved_bytes),
    T_TEST(test_header_fields_at_their_limits), T_TEST(test_header_rules),
    T_TEST(test_header_put_rules), T_TEST(test_salt_without_offset), T_TEST(test_trailer),
    T_TEST(test_page_size), T_TEST(test_lock_page), T_TEST(test_names),
    T_TEST(test_names_are_strict), T_TEST(test_page_checksum),
    T_TEST(test_equal_changes_do_not_cancel_out), T_TEST(test_rolling))
