/*
 * test_walidx.c - the wal-index header, crafted and as SQLite keeps it.
 */
#include "sqlite/walidx.h"

#include "base/rand.h"
#include "harness/t.h"
#include "sqlite/wal.h"

#include <sqlite3.h>

static void u32_put(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}

/* A whole image: both copies, then the checkpoint info. */
struct image {
    uint8_t p[WR_WALIDX_SIZE];
};

static void sum_both(struct image *im)
{
    uint32_t s[2] = {0, 0};

    wr_wal_checksum(!WR_HOST_BIG_ENDIAN, im->p, 40, s);
    u32_put(im->p + 40, s[0]);
    u32_put(im->p + 44, s[1]);
    memcpy(im->p + 48, im->p, 48);
}

static struct image image_make(uint32_t version, uint16_t size16)
{
    struct image im = {{0}};

    u32_put(im.p, version);
    u32_put(im.p + 8, 77);
    im.p[12] = 1;
    im.p[13] = 0;
    memcpy(im.p + 14, &size16, sizeof(size16));
    u32_put(im.p + 16, 1234);
    u32_put(im.p + 20, 567);
    u32_put(im.p + 24, 0xaabbccdd);
    u32_put(im.p + 28, 0x11223344);
    memcpy(im.p + 32, "saltSALT", 8);
    sum_both(&im);
    u32_put(im.p + 96, 1000);
    for (uint32_t i = 0; i < WR_READ_MARKS; i++)
        u32_put(im.p + 100 + (size_t)4 * i, 500 + i);
    return im;
}

/* The barrier is where another process can get in between. */
struct meddler {
    struct image *im;
    int calls;
    int heals_at; /* call at which the copies become equal; 0: never */
};

static void barrier(void *arg)
{
    struct meddler *m = arg;

    m->calls++;
    if (m->im && m->calls == m->heals_at)
        memcpy(m->im->p, m->im->p + 48, 48);
}

static enum wr_status decode(const struct image *im, struct wr_walidx *ret, struct wr_err *e)
{
    struct meddler m = {0};
    enum wr_status st = wr_walidx_read(im->p, barrier, &m, ret, e);

    T(m.calls > 0);
    return st;
}

static void test_fields(void **state)
{
    struct image im = image_make(3007000, 4096);
    struct wr_walidx h;
    struct wr_err e = {0};

    (void)state;
    T_OK(decode(&im, &h, &e));
    T(h.init && !h.big_endian_cksum && h.page_size == 4096);
    T(h.change == 77 && h.mx_frame == 1234 && h.n_page == 567);
    T(h.frame_cksum[0] == 0xaabbccdd && h.frame_cksum[1] == 0x11223344);
    assert_memory_equal(h.salt, "saltSALT", 8);
    T(h.n_backfill == 1000);
    for (uint32_t i = 0; i < WR_READ_MARKS; i++)
        T(h.read_mark[i] == 500 + i);

    im.p[13] = 1;
    sum_both(&im);
    T_OK(decode(&im, &h, &e));
    T(h.big_endian_cksum);
}

static void test_page_sizes(void **state)
{
    struct wr_walidx h;
    struct wr_err e = {0};

    (void)state;
    for (uint32_t size = 512; size <= 65536; size *= 2) {
        struct image im = image_make(3007000, size == 65536 ? 1 : (uint16_t)size);

        T_OK(decode(&im, &h, &e));
        T(h.page_size == size);
    }
}

static void test_not_built_yet(void **state)
{
    struct image im = {{0}};
    struct wr_walidx h = {.init = true};
    struct wr_err e = {0};

    (void)state;
    T_OK(decode(&im, &h, &e));
    T(!h.init && h.mx_frame == 0);
}

/* Any byte of either copy differs: torn. In both, the checksum tells. Never believed. */
static void test_torn_and_damaged_headers_are_busy(void **state)
{
    const struct image good = image_make(3007000, 4096);
    struct wr_walidx h;

    (void)state;
    for (size_t at = 0; at < 96; at++) {
        for (int bit = 0; bit < 8; bit++) {
            struct image im = good;
            struct wr_err e = {0};

            im.p[at] ^= (uint8_t)(1 << bit);
            T_IS(WR_BUSY, decode(&im, &h, &e));
            T(e.text[0] == '\0');
        }
    }
    for (size_t at = 0; at < 48; at++) {
        struct image im = good;
        struct wr_err e = {0};

        if (at == 12)
            continue; /* isInit 0 says that there is no index, whatever else it says */
        im.p[at] ^= 0x40;
        im.p[at + 48] ^= 0x40;
        T_IS(WR_BUSY, decode(&im, &h, &e));
        T(e.text[0] == '\0');
    }
}

static void test_other_version_is_unsupported(void **state)
{
    struct image im = image_make(3007001, 4096);
    struct wr_walidx h;
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_UNSUPPORTED, decode(&im, &h, &e));
    T(strstr(e.text, "3007001") != NULL);
}

/* A writer that finishes its update while we look is waited for, for a few looks. */
static void test_update_in_progress(void **state)
{
    struct wr_walidx h;
    struct wr_err e = {0};
    int waited = 0;

    (void)state;
    for (int heals_at = 1; heals_at < 100; heals_at++) {
        struct image im = image_make(3007000, 4096);
        struct meddler m = {.im = &im, .heals_at = heals_at};
        enum wr_status st;

        im.p[16] ^= 1; /* the first copy is still the old one */
        st = wr_walidx_read(im.p, barrier, &m, &h, &e);
        T(st == (m.calls > heals_at ? WR_OK : WR_BUSY));
        waited += st == WR_OK;
        T(m.calls < 20);
    }
    T(waited >= 1);
}

/* ---- SQLite's own ---- */

static void sql(sqlite3 *db, const char *text)
{
    char *msg = NULL;

    if (sqlite3_exec(db, text, NULL, NULL, &msg) != SQLITE_OK)
        fail_msg("%s: %s", text, msg);
}

static const volatile uint8_t *map_of(sqlite3 *db)
{
    sqlite3_file *f = NULL;
    volatile void *p = NULL;

    T(sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &f) == SQLITE_OK);
    T(f->pMethods->xShmMap(f, 0, 32768, 0, &p) == SQLITE_OK && p);
    return p;
}

static void test_index_that_sqlite_keeps(void **state)
{
    static const uint32_t sizes[] = {512, 4096, 65536};

    (void)state;
    for (size_t i = 0; i < wr_countof(sizes); i++) {
        const char *dir = t_tmpdir();
        struct meddler m = {0};
        struct wr_walidx h, after;
        struct wr_wal_header wal;
        struct wr_frame last;
        struct wr_bytes file;
        struct wr_err e = {0};
        sqlite3 *db = NULL;
        char text[64];

        T(sqlite3_open(t_path(dir, "a"), &db) == SQLITE_OK);
        (void)snprintf(
            text, sizeof(text), "PRAGMA page_size=%u; PRAGMA journal_mode=wal", sizes[i]);
        sql(db, text);
        sql(db, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a); INSERT INTO t VALUES(1)");
        T_OK(wr_walidx_read(map_of(db), barrier, &m, &h, &e));
        T(h.init && h.page_size == sizes[i] && h.mx_frame > 0 && h.n_backfill == 0);

        file = t_slurp(t_path(dir, "a-wal"));
        T(wr_wal_header_get(file.p, &wal));
        T(wal.little == !h.big_endian_cksum);
        assert_memory_equal(wal.salt, h.salt, 8);
        wr_frame_get(file.p + wr_frame_offset(h.mx_frame, sizes[i]), &last);
        T(last.commit == h.n_page);
        T(last.cksum[0] == h.frame_cksum[0] && last.cksum[1] == h.frame_cksum[1]);

        sql(db, "INSERT INTO t VALUES(2); INSERT INTO t VALUES(3); PRAGMA wal_checkpoint");
        T_OK(wr_walidx_read(map_of(db), barrier, &m, &after, &e));
        T(after.change == h.change + 2 && after.mx_frame > h.mx_frame);
        T(after.n_backfill == after.mx_frame);
        T(sqlite3_close(db) == SQLITE_OK);
    }
}

T_MAIN(T_TEST(test_fields), T_TEST(test_page_sizes), T_TEST(test_not_built_yet),
    T_TEST(test_torn_and_damaged_headers_are_busy), T_TEST(test_other_version_is_unsupported),
    T_TEST(test_update_in_progress), T_TEST(test_index_that_sqlite_keeps))
