#include "ltx/dec.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/mem.h"
#include "harness/ltx_util.h"
#include "harness/t.h"
#include "ltx/frame.h"
#include "ltx/lz4f.h"

#include <lz4frame.h>

enum {
    NO_LOCK = 0x40000000
};

static struct t_ltx random_file(
    struct wr_rand *r, uint32_t page_size, uint32_t commit, uint64_t min)
{
    struct t_ltx m;

    t_ltx_random(r, &m, page_size, commit, min, NO_LOCK);
    return m;
}

static void test_reads_what_the_model_wrote(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 400; i++) {
        uint32_t page_size = 512u << (i % 8);
        uint32_t commit = 1 + (uint32_t)wr_rand_below(&r, page_size > 4096 ? 6 : 40);
        uint32_t lock_offset = page_size * (uint32_t)wr_rand_below(&r, 10);
        struct t_ltx m, back;
        struct wr_bytes file;
        struct wr_err e = {0};

        t_ltx_random(&r, &m, page_size, commit, i % 3 ? 9 : 1, lock_offset);
        file = t_ltx_encode(&m);
        T_OK(t_ltx_read(file, i % 2, lock_offset, &back, &e));
        T(t_ltx_same(&m, &back));
        t_ltx_free(&file);
        t_ltx_release(&m);
        t_ltx_release(&back);
    }
}

/* A damaged file is refused, or it is the same as before: some bits of compressed data are unused.
 * How many those are is known for pages of literals: the low half of each one's only token. */
static size_t unnoticed(struct wr_bytes file, const struct t_ltx *want, bool sized)
{
    uint8_t *copy = wr_alloc(file.n);
    size_t n = 0;

    memcpy(copy, file.p, file.n);
    for (size_t bit = 0; bit < file.n * 8; bit++) {
        struct t_ltx got;
        enum wr_status st;

        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        st = t_ltx_read((struct wr_bytes){copy, file.n}, sized, NO_LOCK, &got, NULL);
        T(st == WR_OK || st == WR_CORRUPT);
        if (st == WR_OK) {
            T(t_ltx_same(want, &got));
            n++;
        }
        t_ltx_release(&got);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    wr_free(copy);
    return n;
}

static void test_every_flipped_bit(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 4; i++) {
        struct t_ltx m = random_file(&r, 512, 3, i % 2 ? 1 : 4);
        struct wr_bytes file = t_ltx_encode(&m);
        struct wr_err e = {0};
        struct t_ltx_out o;
        size_t pages = 0;

        for (uint32_t p = 1; p <= 3; p++)
            pages += m.pages[p] != NULL;
        T(unnoticed(file, &m, i < 2) == pages * 4);
        T_OK(t_ltx_write(&m, NO_LOCK, &o, &e));
        (void)unnoticed(wr_buf_bytes(&o.buf), &m, i < 2); /* asserts inside */
        wr_buf_release(&o.buf);
        t_ltx_free(&file);
        t_ltx_release(&m);
    }
}

/* A bit that makes the distance of a match 0, in a page of zeros: liblz4 made zeros of that, too,
 * so that a file was taken for whole which Litestream refuses. */
static void test_a_match_with_itself_was_taken(void **state)
{
    static const uint8_t zeros[512];
    struct t_ltx m = {.page_size = 512, .commit = 1, .min = 1, .max = 1}, got;
    const size_t distance = WR_LTX_HEADER_SIZE + WR_LTX_FRAME_HEAD_MAX + 2;
    struct t_ltx_out o;
    uint8_t *copy;
    struct wr_err e = {0};

    (void)state;
    t_ltx_set(&m, 1, zeros);
    T_OK(t_ltx_write(&m, NO_LOCK, &o, &e));
    copy = wr_alloc(o.buf.n);
    memcpy(copy, o.buf.p, o.buf.n);
    T(copy[distance] == 1 && copy[distance + 1] == 0);
    copy[distance] = 0;
    T(t_ltx_read((struct wr_bytes){copy, o.buf.n}, true, NO_LOCK, &got, &e) == WR_CORRUPT);
    T(strstr(e.text, "malformed LZ4 block"));
    t_ltx_release(&got);
    wr_free(copy);
    wr_buf_release(&o.buf);
    t_ltx_release(&m);
}

static void test_every_truncation(void **state)
{
    struct wr_rand r;
    struct t_ltx m, got;
    struct wr_bytes file;

    (void)state;
    wr_rand_init(&r, t_seed());
    m = random_file(&r, 512, 5, 1);
    file = t_ltx_encode(&m);
    for (size_t n = 0; n < file.n; n++) {
        T(t_ltx_read((struct wr_bytes){file.p, n}, false, NO_LOCK, &got, NULL) == WR_CORRUPT);
        t_ltx_release(&got);
        if (n > 0) /* a size of 0 means unknown */
            T(t_ltx_read((struct wr_bytes){file.p, n}, true, NO_LOCK, &got, NULL) == WR_CORRUPT);
        t_ltx_release(&got);
    }
    t_ltx_free(&file);
    t_ltx_release(&m);
}

/* The size tells of bytes that follow, even of one, and of a source that would go on. */
static void test_size_must_fit(void **state)
{
    struct wr_rand r;
    struct t_ltx m, got;
    struct wr_bytes file;
    uint8_t *longer;

    (void)state;
    wr_rand_init(&r, t_seed());
    m = random_file(&r, 1024, 2, 1);
    file = t_ltx_encode(&m);
    longer = wr_alloc(file.n + 8);
    memcpy(longer, file.p, file.n);
    for (size_t n = file.n + 1; n <= file.n + 8; n++) {
        struct wr_err e = {0};

        T_IS(WR_CORRUPT, t_ltx_read((struct wr_bytes){longer, n}, true, NO_LOCK, &got, &e));
        T(strstr(e.text, "bytes after the pages") != NULL);
        t_ltx_release(&got);
        T_OK(t_ltx_read((struct wr_bytes){longer, n}, false, NO_LOCK, &got, &e));
        t_ltx_release(&got);
    }
    wr_free(longer);
    t_ltx_free(&file);
    t_ltx_release(&m);
}

/* Read a file that must be refused with this text. */
static void refused(struct wr_bytes file, uint32_t lock_offset, const char *text)
{
    struct wr_err e = {0};
    struct t_ltx got;

    T_IS(WR_CORRUPT, t_ltx_read(file, true, lock_offset, &got, &e));
    if (!strstr(e.text, text))
        fail_msg("\"%s\" instead of \"%s\"", e.text, text);
    t_ltx_release(&got);
}

/* Files whose checksum is right, and which break a rule all the same. */
static void test_rules_beside_the_checksum(void **state)
{
    struct t_ltx m = {.page_size = 512, .commit = 5, .min = 2, .max = 2};
    uint8_t page[512] = {0};
    struct wr_bytes file;

    (void)state;
    t_ltx_set(&m, 2, page);
    t_ltx_set(&m, 6, page);
    file = t_ltx_encode(&m);
    refused(file, NO_LOCK, "page 6 is over the database's 5");
    refused(file, 512, "page 2 is the lock page");
    t_ltx_free(&file);
    t_ltx_release(&m);
}

static void test_wrong_rolling_checksum(void **state)
{
    struct t_ltx m = {.page_size = 512, .commit = 1, .min = 1, .max = 2, .rolling = true};
    uint8_t page[512] = {0};
    struct wr_bytes file;

    (void)state;
    t_ltx_set(&m, 1, page);
    m.pre = WR_LTX_CHECKSUM_EMPTY;
    m.post = t_ltx_sum(&m) ^ 1;
    file = t_ltx_encode(&m);
    refused(file, NO_LOCK, "the pages make checksum");
    t_ltx_free(&file);
    t_ltx_release(&m);
}

/* Give a file of full pages at `mark` (of the end) the checksum that it should have. */
static void reseal(uint8_t *file, size_t n, const struct t_ltx *m, size_t mark)
{
    uint64_t crc = wr_crc64(0, file, 100);
    size_t at = 100;

    for (uint32_t p = 1; p <= m->commit; p++) {
        if (!m->pages[p])
            continue;
        crc = wr_crc64(wr_crc64(crc, file + at, 10), m->pages[p], m->page_size);
        at += 10 + wr_be32(file + at + 6);
    }
    T(at == mark);
    crc = wr_crc64(crc, file + mark, n - 8 - mark);
    wr_put_be64(file + n - 8, WR_LTX_CHECKSUM_EMPTY | crc);
}

/* Two pages of equal shape, then one thing changed; with the right checksum behind it if that thing
 * is the index. */
static void test_damaged_structure(void **state)
{
    enum {
        FRAME = 10 + 515,
        SECOND = 100 + FRAME,
        MARK = SECOND + FRAME,
        INDEX = MARK + 6
    };
    static const struct {
        size_t at, n;
        uint32_t value;
        const char *text;
    } CASES[] = {
        {SECOND, 4, 1, "page 1 after page 1"},
        {SECOND, 4, 6, "page 6 is over"},
        {100, 4, 0, "page 0"},
        {104, 2, 2, "page 1: unknown page flags 0002"},
        {104, 2, 3, "page 1: unknown page flags 0003"},
        {104, 2, 0, "page 1: page is no LZ4 frame"},
        {106, 4, 1 << 30, "page 1: compressed to 1073741824 bytes"},
        {106, 4, 0, "page 1: "},
        {106, 4, 515 - 1, "page 1: malformed LZ4 block"},
        {106, 4, 515 + 1, "page 1: "},
        {111, 1, 254, "page 1: "},
        {MARK, 4, 3, "page 3: "},
        {INDEX, 1, 3, "page index does not fit the pages"},
        {INDEX + 1, 1, 99, "page index does not fit the pages"},
        {INDEX + 8, 1, 1, "page index does not fit the pages"},
        {INDEX + 9, 1, 1, "page index does not fit the pages"},
        {INDEX + 9, 1, 0x80, "page index does not fit the pages"},
        {INDEX + 10, 8, 9, "page index does not fit the pages"},
        {INDEX + 10, 8, 11, "page index does not fit the pages"},
        {MARK + 5, 1, 1, "page 0"},
        {INDEX + 18, 1, 0x80, "post-apply checksum"},
    };
    struct t_ltx m = {.page_size = 512, .commit = 5, .min = 2, .max = 2};
    uint8_t page[512] = {0};
    struct wr_bytes file;

    (void)state;
    t_ltx_set(&m, 1, page);
    t_ltx_set(&m, 2, page);
    file = t_ltx_encode(&m);
    T(file.n == INDEX + 4 + 5 + 1 + 8 + 16);
    for (size_t i = 0; i < wr_countof(CASES); i++) {
        uint8_t *copy = wr_alloc(file.n);

        memcpy(copy, file.p, file.n);
        for (size_t k = 0; k < CASES[i].n; k++)
            copy[CASES[i].at + k] =
                (uint8_t)((uint64_t)CASES[i].value >> (8 * (CASES[i].n - 1 - k)));
        if (CASES[i].at > MARK)
            reseal(copy, file.n, &m, MARK);
        refused((struct wr_bytes){copy, file.n}, NO_LOCK, CASES[i].text);
        wr_free(copy);
    }
    t_ltx_free(&file);
    t_ltx_release(&m);
}

/* ---- LZ4 frames ---- */

/* The file of `m` with pages as LZ4 frames. */
static struct wr_buf encode_frames(const struct t_ltx *m, const LZ4F_preferences_t *prefs)
{
    struct wr_bytes blocks = t_ltx_encode(m);
    uint8_t small[2 * WR_VARINT_MAX + 8], *frame = wr_alloc(1 << 20);
    struct wr_buf b, index;
    uint64_t crc = wr_crc64(0, blocks.p, 100);

    wr_buf_init(&b, 1 << 24);
    wr_buf_init(&index, 1 << 20);
    wr_buf_put(&b, blocks.p, 100);
    t_ltx_free(&blocks);
    for (uint32_t p = 1; p <= m->commit; p++) {
        size_t at = b.n, n;

        if (!m->pages[p])
            continue;
        n = LZ4F_compressFrame(frame, 1 << 20, m->pages[p], m->page_size, prefs);
        T(!LZ4F_isError(n));
        wr_put_be32(small, p);
        wr_put_be16(small + 4, 0);
        wr_buf_put(&b, small, 6);
        wr_buf_put(&b, frame, n);
        crc = wr_crc64(wr_crc64(crc, small, 6), m->pages[p], m->page_size);
        wr_buf_put(&index, small, wr_put_varint(small, p));
        wr_buf_put(&index, small, wr_put_varint(small, at));
        wr_buf_put(&index, small, wr_put_varint(small, b.n - at));
    }
    memset(small, 0, sizeof(small));
    wr_buf_put(&index, small, 1);
    wr_put_be64(small + 8, index.n);
    wr_buf_put(&b, small, 6);
    wr_buf_put(&b, index.p, index.n);
    wr_buf_put(&b, small + 8, 8);
    wr_buf_put(&b, small, 8);
    crc = wr_crc64(crc, b.p + b.n - 22 - index.n, 22 + index.n);
    wr_put_be64(small, WR_LTX_CHECKSUM_EMPTY | crc);
    wr_buf_put(&b, small, 8);
    T(wr_buf_status(&b) == WR_OK);
    wr_buf_release(&index);
    wr_free(frame);
    return b;
}

static void test_lz4_frames(void **state)
{
    static const LZ4F_blockSizeID_t SIZES[] = {
        LZ4F_max64KB, LZ4F_max256KB, LZ4F_max1MB, LZ4F_max4MB};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (unsigned i = 0; i < 256; i++) {
        struct t_ltx m = random_file(&r, 512u << (i % 8), 4, i % 5 ? 1 : 3), back, model;
        LZ4F_preferences_t prefs = {0};
        struct wr_err e = {0};
        struct wr_buf b;

        prefs.frameInfo.blockSizeID = SIZES[i / 8 % 4];
        prefs.frameInfo.blockMode = i / 32 % 2 ? LZ4F_blockIndependent : LZ4F_blockLinked;
        prefs.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
        prefs.frameInfo.blockChecksumFlag =
            i / 64 % 2 ? LZ4F_blockChecksumEnabled : LZ4F_noBlockChecksum;
        prefs.frameInfo.contentSize = i / 128 % 2 ? m.page_size : 0;
        b = encode_frames(&m, &prefs);
        T_OK(t_ltx_read(wr_buf_bytes(&b), i % 3, NO_LOCK, &back, &e));
        T(t_ltx_same(&m, &back));
        if (i < 64 && i / 32 % 2) {
            assert_null(t_ltx_decode(wr_buf_bytes(&b), &model));
            T(t_ltx_same(&m, &model));
            t_ltx_release(&model);
        }
        wr_buf_release(&b);
        t_ltx_release(&back);
        t_ltx_release(&m);
    }
}

static void test_lz4_frame_needs_content_checksum(void **state)
{
    LZ4F_preferences_t prefs = {0};
    struct wr_rand r;
    struct t_ltx m;
    struct wr_buf b;

    (void)state;
    wr_rand_init(&r, t_seed());
    m = random_file(&r, 512, 1, 1);
    b = encode_frames(&m, &prefs);
    refused(wr_buf_bytes(&b), NO_LOCK, "no content checksum");
    wr_buf_release(&b);
    t_ltx_release(&m);
}

static void test_lz4_frames_flipped_and_cut(void **state)
{
    LZ4F_preferences_t prefs = {0};
    struct wr_rand r;
    struct t_ltx m, got;
    struct wr_buf b;

    (void)state;
    prefs.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
    wr_rand_init(&r, t_seed());
    m = random_file(&r, 512, 2, 1);
    b = encode_frames(&m, &prefs);
    (void)unnoticed(wr_buf_bytes(&b), &m, true);
    (void)unnoticed(wr_buf_bytes(&b), &m, false);
    for (size_t n = 0; n < b.n; n++) {
        T(t_ltx_read((struct wr_bytes){b.p, n}, false, NO_LOCK, &got, NULL) == WR_CORRUPT);
        t_ltx_release(&got);
    }
    wr_buf_release(&b);
    t_ltx_release(&m);
}

/* A frame that never ends must not be read for ever, nor into memory without bound. */
static void test_endless_lz4_frame(void **state)
{
    static const uint8_t HEAD[] = {0x04, 0x22, 0x4d, 0x18, 0x44, 0x40, 0x5e};
    static uint8_t file[1 << 16];
    struct t_ltx_in in = {.file = {file, sizeof(file)}};
    struct wr_err e = {0};
    uint8_t buf[1000];
    size_t n = 0;

    (void)state;
    memcpy(file, HEAD, sizeof(HEAD));
    for (size_t at = sizeof(HEAD); at + 4 < sizeof(file); at += 4)
        wr_put_le32(file + at, 0x80000000u);
    T_IS(WR_CORRUPT, wr_ltx_lz4f_read(t_ltx_source, &in, buf, sizeof(buf), &n, &e));
    T(strstr(e.text, "too long") != NULL && in.at <= sizeof(buf));
}

/* ---- the rest of the contract ---- */

static void test_block_and_states(void **state)
{
    struct t_ltx m = {.page_size = 512, .commit = 3, .min = 2, .max = 2};
    uint8_t page[512] = {1, 2, 3};
    struct wr_ltx_header h = {0};
    struct wr_ltx_dec *dec = NULL;
    struct t_ltx_in in = {0};
    struct wr_err e = {0};
    uint32_t pgno = 0;

    (void)state;
    t_ltx_set(&m, 3, page);
    in.file = t_ltx_encode(&m);
    T_OK(wr_ltx_dec_new(t_ltx_source, &in, in.file.n, NO_LOCK, &dec, &e));
    T(in.at == 0 && wr_ltx_dec_block(dec).n == 0);
    T_OK(wr_ltx_dec_header(dec, &h, &e));
    T_OK(wr_ltx_dec_header(dec, &h, &e));
    T(h.commit == 3 && in.at == WR_LTX_HEADER_SIZE);
    memset(page, 0, sizeof(page));
    T_OK(wr_ltx_dec_page(dec, &pgno, page, &e));
    T(pgno == 3 && page[1] == 2);
    T(wr_ltx_dec_block(dec).n == 515);
    assert_memory_equal(wr_ltx_dec_block(dec).p, in.file.p + 110, 515);
    T_IS(WR_NOTFOUND, wr_ltx_dec_page(dec, &pgno, page, &e));
    T_IS(WR_NOTFOUND, wr_ltx_dec_page(dec, &pgno, page, &e));
    T(e.text[0] == 0 && wr_ltx_dec_block(dec).n == 0 && in.at == in.file.n);
    T(wr_ltx_dec_trailer(dec).file_checksum == wr_be64(in.file.p + in.file.n - 8));
    T_OK(wr_ltx_dec_header(dec, &h, &e));
    wr_ltx_dec_free(dec);
    wr_ltx_dec_free(NULL);
    t_ltx_free(&in.file);
    t_ltx_release(&m);
}

/* A source that fails at the `left`-th read. */
struct flaky {
    struct t_ltx_in in;
    int left;
    enum wr_status with;
};

static enum wr_status flaky_source(void *arg, void *buf, size_t n, struct wr_err *e)
{
    struct flaky *f = arg;

    if (f->left-- <= 0)
        return wr_fail(e, f->with, "the object is gone");
    return t_ltx_source(&f->in, buf, n, e);
}

/* Whatever the source says is a failure, even NOTFOUND, which must not look like the end. */
static void test_source_failures(void **state)
{
    static const enum wr_status WITH[] = {WR_NOTFOUND, WR_CANCELED, WR_IO, WR_TIMEOUT};
    static const enum wr_status WANT[] = {WR_IO, WR_CANCELED, WR_IO, WR_TIMEOUT};
    struct wr_rand r;
    struct t_ltx m;
    struct wr_bytes file;
    int failures = 0;

    (void)state;
    wr_rand_init(&r, t_seed());
    m = random_file(&r, 512, 3, 1);
    file = t_ltx_encode(&m);
    for (int i = 0; i < 80; i++) {
        struct flaky f = {.in = {.file = file}, .left = i / 4, .with = WITH[i % 4]};
        struct wr_ltx_dec *dec = NULL;
        struct wr_err e = {0};
        uint8_t page[512];
        uint32_t pgno;
        enum wr_status st = WR_OK;

        T_OK(wr_ltx_dec_new(flaky_source, &f, file.n, NO_LOCK, &dec, &e));
        while (st == WR_OK)
            st = wr_ltx_dec_page(dec, &pgno, page, &e);
        if (st != WR_NOTFOUND) {
            struct wr_ltx_header h;

            T(st == WANT[i % 4] && strstr(e.text, "the object is gone") != NULL);
            T(wr_ltx_dec_page(dec, &pgno, page, NULL) == WR_MISUSE);
            T(wr_ltx_dec_header(dec, &h, NULL) == WR_MISUSE);
            failures++;
        }
        wr_ltx_dec_free(dec);
    }
    T(failures ==
        4 * (1 + 3 * 3 + 1 + 3)); /* header; 3 reads a page; end mark; index, end, trailer */
    t_ltx_free(&file);
    t_ltx_release(&m);
}

static enum wr_status decode_all(void *arg)
{
    struct t_ltx_in in = {.file = *(struct wr_bytes *)arg};
    struct wr_ltx_dec *dec = NULL;
    uint8_t page[512];
    uint32_t pgno;
    enum wr_status st = wr_ltx_dec_new(t_ltx_source, &in, in.file.n, NO_LOCK, &dec, NULL);

    while (st == WR_OK)
        st = wr_ltx_dec_page(dec, &pgno, page, NULL);
    wr_ltx_dec_free(dec);
    return st == WR_NOTFOUND ? WR_OK : st;
}

static void test_out_of_memory(void **state)
{
    struct wr_rand r;
    struct t_ltx m;
    struct wr_bytes file;

    (void)state;
    wr_rand_init(&r, t_seed());
    m = random_file(&r, 512, 3, 1);
    file = t_ltx_encode(&m);
    t_sweep_nomem(decode_all, &file);
    t_ltx_free(&file);
    t_ltx_release(&m);
}

T_MAIN(T_TEST(test_reads_what_the_model_wrote), T_TEST(test_every_flipped_bit),
    T_TEST(test_a_match_with_itself_was_taken), T_TEST(test_every_truncation),
    T_TEST(test_size_must_fit), T_TEST(test_rules_beside_the_checksum),
    T_TEST(test_wrong_rolling_checksum), T_TEST(test_damaged_structure), T_TEST(test_lz4_frames),
    T_TEST(test_lz4_frame_needs_content_checksum), T_TEST(test_lz4_frames_flipped_and_cut),
    T_TEST(test_endless_lz4_frame), T_TEST(test_block_and_states), T_TEST(test_source_failures),
    T_TEST(test_out_of_memory))
