/*
 * test_wal.c - WAL frames and headers against a slow model and against what SQLite writes.
 */
#include "sqlite/wal.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/rand.h"
#include "harness/t.h"

#include <sqlite3.h>

/* The checksum as the file format documents it, one 32-bit word at a time, in 64-bit numbers. */
static void slow_checksum(bool little, const uint8_t *p, size_t n, uint32_t s[2])
{
    uint64_t s0 = s[0], s1 = s[1];

    for (size_t i = 0; i < n; i += 8) {
        uint64_t x[2] = {0, 0};

        for (size_t k = 0; k < 8; k++)
            x[k / 4] += (uint64_t)p[i + k] << 8 * (little ? k % 4 : 3 - k % 4);
        s0 = (s0 + x[0] + s1) % ((uint64_t)1 << 32);
        s1 = (s1 + x[1] + s0) % ((uint64_t)1 << 32);
    }
    s[0] = (uint32_t)s0;
    s[1] = (uint32_t)s1;
}

static void test_checksum_is_the_documented_one(void **state)
{
    struct wr_rand r;
    uint8_t buf[1024];

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 10000; i++) {
        size_t n = (size_t)wr_rand_below(&r, sizeof(buf) / 8 + 1) * 8;
        bool little = wr_rand_below(&r, 2);
        uint32_t a[2] = {(uint32_t)wr_rand_u64(&r), (uint32_t)wr_rand_u64(&r)};
        uint32_t b[2] = {a[0], a[1]};

        wr_rand_fill(&r, buf, n);
        wr_wal_checksum(little, buf, n, a);
        slow_checksum(little, buf, n, b);
        T(a[0] == b[0] && a[1] == b[1]);
    }
}

static void test_frame_checksum_skips_the_salts(void **state)
{
    struct wr_rand r;
    uint8_t frame[WR_FRAME_HEADER + 512];

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 200; i++) {
        bool little = wr_rand_below(&r, 2);
        uint32_t a[2] = {1, 2}, b[2] = {1, 2};

        wr_rand_fill(&r, frame, sizeof(frame));
        wr_frame_checksum(little, frame, 512, a);
        slow_checksum(little, frame, 8, b);
        slow_checksum(little, frame + WR_FRAME_HEADER, 512, b);
        T(a[0] == b[0] && a[1] == b[1]);
        frame[8 + wr_rand_below(&r, 16)] ^= 1; /* salts and the checksum itself take no part */
        b[0] = 1;
        b[1] = 2;
        wr_frame_checksum(little, frame, 512, b);
        T(a[0] == b[0] && a[1] == b[1]);
    }
}

static void test_frame_fields_and_offsets(void **state)
{
    uint8_t p[WR_FRAME_HEADER];
    struct wr_frame f;

    (void)state;
    for (size_t i = 0; i < sizeof(p); i++)
        p[i] = (uint8_t)(0xa0 + i);
    wr_frame_get(p, &f);
    T(f.pgno == 0xa0a1a2a3 && f.commit == 0xa4a5a6a7);
    assert_memory_equal(f.salt, p + 8, 8);
    T(f.cksum[0] == 0xb0b1b2b3 && f.cksum[1] == 0xb4b5b6b7);

    T(wr_frame_offset(1, 4096) == 32);
    T(wr_frame_offset(2, 4096) == 32 + 24 + 4096);
    T(wr_frame_offset(1001, 512) == 32 + 1000 * (24 + 512));
    T(wr_frame_offset(UINT32_MAX, 65536) == 32 + (uint64_t)(UINT32_MAX - 1) * (24 + 65536));
}

/* ---- headers ---- */

static void header_make(uint8_t p[WR_WAL_HEADER], bool little, uint32_t page_size, uint64_t salt)
{
    uint32_t s[2] = {0, 0};

    wr_put_be32(p, little ? 0x377f0682 : 0x377f0683);
    wr_put_be32(p + 4, 3007000);
    wr_put_be32(p + 8, page_size);
    wr_put_be32(p + 12, 7);
    wr_put_be64(p + 16, salt);
    slow_checksum(little, p, 24, s);
    wr_put_be32(p + 24, s[0]);
    wr_put_be32(p + 28, s[1]);
}

static void test_header_of_either_byte_order(void **state)
{
    uint8_t p[WR_WAL_HEADER];
    struct wr_wal_header h;

    (void)state;
    for (int little = 0; little < 2; little++) {
        for (uint32_t size = 256; size <= 131072; size *= 2) {
            header_make(p, little, size, 0x0102030405060708);
            if (size < 512 || size > 65536) {
                T(!wr_wal_header_get(p, &h));
                continue;
            }
            T(wr_wal_header_get(p, &h));
            T(h.little == little && h.page_size == size);
            assert_memory_equal(h.salt, p + 16, 8);
            T(h.cksum[0] == wr_be32(p + 24) && h.cksum[1] == wr_be32(p + 28));
        }
        /* Right sum, wrong contents. */
        header_make(p, little, 4096 + 512, 1);
        T(!wr_wal_header_get(p, &h));
    }
}

static void test_header_rejects_every_other_byte(void **state)
{
    uint8_t p[WR_WAL_HEADER];
    struct wr_wal_header h;

    (void)state;
    for (int little = 0; little < 2; little++) {
        header_make(p, little, 4096, UINT64_C(0x99aabbccddeeff00));
        for (size_t at = 0; at < sizeof(p); at++) {
            for (int flip = 1; flip < 256; flip++) {
                p[at] ^= (uint8_t)flip;
                T(!wr_wal_header_get(p, &h));
                p[at] ^= (uint8_t)flip;
            }
        }
        T(wr_wal_header_get(p, &h));
    }
    memset(p, 0, sizeof(p));
    T(!wr_wal_header_get(p, &h));
}

/* ---- what SQLite writes ---- */

static void sql(sqlite3 *db, const char *text)
{
    char *msg = NULL;

    if (sqlite3_exec(db, text, NULL, NULL, &msg) != SQLITE_OK)
        fail_msg("%s: %s", text, msg);
}

/* Every frame's running checksum is the one it carries, with the header's salts; the last commits.
 */
static void check_wal(struct wr_bytes wal, uint32_t page_size, uint32_t pages)
{
    struct wr_wal_header h;
    struct wr_frame f = {0};
    uint32_t s[2], n = 0;

    T(wal.n > WR_WAL_HEADER && wr_wal_header_get(wal.p, &h));
    T(h.page_size == page_size);
    s[0] = h.cksum[0];
    s[1] = h.cksum[1];
    while (wr_frame_offset(n + 2, page_size) <= wal.n) {
        const uint8_t *p = wal.p + wr_frame_offset(++n, page_size);

        wr_frame_get(p, &f);
        assert_memory_equal(f.salt, h.salt, 8);
        wr_frame_checksum(h.little, p, page_size, s);
        T(s[0] == f.cksum[0] && s[1] == f.cksum[1]);
        T(f.pgno >= 1 && f.pgno <= pages);
    }
    T(n > 3 && wr_frame_offset(n + 1, page_size) == wal.n);
    T(f.commit == pages);
}

static void test_wal_that_sqlite_wrote(void **state)
{
    static const uint32_t sizes[] = {512, 4096, 65536};

    (void)state;
    for (size_t i = 0; i < wr_countof(sizes); i++) {
        const char *dir = t_tmpdir();
        sqlite3 *db = NULL;
        sqlite3_stmt *st = NULL;
        char text[64];

        T(sqlite3_open(t_path(dir, "a"), &db) == SQLITE_OK);
        (void)snprintf(
            text, sizeof(text), "PRAGMA page_size=%u; PRAGMA journal_mode=wal", sizes[i]);
        sql(db, text);
        sql(db, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a); INSERT INTO t VALUES(1)");
        for (int k = 0; k < 5; k++)
            sql(db, "INSERT INTO t VALUES(randomblob(3000))");
        T(sqlite3_prepare_v2(db, "PRAGMA page_count", -1, &st, NULL) == SQLITE_OK);
        T(sqlite3_step(st) == SQLITE_ROW);
        /* The -wal file has no locks that a plain close could drop. */
        check_wal(t_slurp(t_path(dir, "a-wal")), sizes[i], (uint32_t)sqlite3_column_int(st, 0));
        T(sqlite3_finalize(st) == SQLITE_OK);
        T(sqlite3_close(db) == SQLITE_OK);
    }
}

T_MAIN(T_TEST(test_checksum_is_the_documented_one), T_TEST(test_frame_checksum_skips_the_salts),
    T_TEST(test_frame_fields_and_offsets), T_TEST(test_header_of_either_byte_order),
    T_TEST(test_header_rejects_every_other_byte), T_TEST(test_wal_that_sqlite_wrote))
