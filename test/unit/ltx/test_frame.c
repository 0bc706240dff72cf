#include "ltx/frame.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/rand.h"
#include "harness/t.h"
#include "ltx/ltx.h"
#include "ltx/lz4f.h"

#include <lz4.h>
#include <lz4frame.h>

static uint8_t page[65536], out[65536], frame[1 << 18];

/* `n` bytes of `page` as an LZ4 block behind the header of page `pgno`. */
static struct wr_bytes as_block(uint32_t pgno, size_t n)
{
    int got = LZ4_compress_default((const char *)page, (char *)frame + 10, (int)n, 1 << 17);

    T(got > 0);
    wr_put_be32(frame, pgno);
    wr_put_be16(frame + 4, 1);
    wr_put_be32(frame + 6, (uint32_t)got);
    return (struct wr_bytes){frame, 10 + (size_t)got};
}

/* The same as an LZ4 frame. */
static struct wr_bytes as_frame(uint32_t pgno, size_t n, bool content_sum)
{
    LZ4F_preferences_t prefs = {0};
    size_t got;

    prefs.frameInfo.contentChecksumFlag =
        content_sum ? LZ4F_contentChecksumEnabled : LZ4F_noContentChecksum;
    got = LZ4F_compressFrame(frame + 6, 1 << 17, page, n, &prefs);
    T(!LZ4F_isError(got));
    wr_put_be32(frame, pgno);
    wr_put_be16(frame + 4, 0);
    return (struct wr_bytes){frame, 6 + got};
}

static void fill(struct wr_rand *r, uint32_t page_size)
{
    memset(page, 'x', sizeof(page));
    wr_rand_fill(r, page, (size_t)wr_rand_below(r, page_size + 1));
}

static void test_both_encodings(void **state)
{
    struct wr_err e = {0};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 800; i++) {
        uint32_t page_size = 512u << (i % 8), pgno = 1 + (uint32_t)wr_rand_below(&r, UINT32_MAX);

        fill(&r, page_size);
        memset(out, 1, sizeof(out));
        T_OK(wr_ltx_frame_decode(as_block(pgno, page_size), page_size, pgno, out, &e));
        T(memcmp(out, page, page_size) == 0);
        memset(out, 1, sizeof(out));
        T_OK(wr_ltx_frame_decode(as_frame(pgno, page_size, true), page_size, pgno, out, &e));
        T(memcmp(out, page, page_size) == 0);
    }
}

/* Room enough for a page of noise in both encodings, and a bound for what a file may claim. */
static void test_payload_max(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (uint32_t page_size = 512; page_size <= 65536; page_size *= 2) {
        wr_rand_fill(&r, page, page_size);
        T(as_block(1, page_size).n - 10 <= wr_ltx_payload_max(page_size));
        T(as_frame(1, page_size, true).n - 6 <= wr_ltx_payload_max(page_size));
        T(wr_ltx_payload_max(page_size) <= page_size + page_size / 255 + 16 + WR_LTX_LZ4F_SLACK);
    }
}

static void refuse(struct wr_bytes f, uint32_t pgno, const char *text)
{
    struct wr_err e = {0};

    T_IS(WR_CORRUPT, wr_ltx_frame_decode(f, 1024, pgno, out, &e));
    if (!strstr(e.text, text))
        fail_msg("\"%s\" instead of \"%s\"", e.text, text);
}

static void test_refused(void **state)
{
    struct wr_bytes f;
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    fill(&r, 1024);
    refuse(as_block(7, 1024), 8, "page 8: found page 7 in its place");
    refuse(as_block(7, 1023), 7, "page 7: LZ4 block of 1023 bytes in place of a page's 1024");
    refuse(as_block(7, 1025), 7, "page 7: malformed LZ4 block, or more than one page");
    refuse(as_frame(7, 1023, true), 7, "page 7: LZ4 frame: 1023 bytes in place of a page's 1024");
    refuse(as_frame(7, 1025, true), 7, "page 7: LZ4 frame: ");
    refuse(as_frame(7, 2048, true), 7, "page 7: LZ4 frame: ");
    refuse(as_frame(7, 1024, false), 7, "page 7: LZ4 frame: no content checksum");
    f = as_frame(7, 1024, true);
    f.n++;
    refuse(f, 7, "page 7: LZ4 frame: bytes after its end");
    f = as_block(7, 1024);
    f.n++;
    refuse(f, 7, "length in the page differs from the index");
    f.n = 10 + wr_ltx_payload_max(1024) + 1;
    refuse(f, 7, "page 7: frame of");
    for (unsigned flags = 2; flags < 65536; flags = flags * 2 + 1) {
        f = as_block(7, 1024);
        wr_put_be16(frame + 4, (uint16_t)flags);
        refuse(f, 7, "unknown page flags");
    }
    f = as_frame(7, 1024, true);
    frame[10] |= 1;
    refuse(f, 7, "needs a dictionary");
}

static void test_cut_short(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 4; i++) {
        struct wr_bytes f;

        fill(&r, 512);
        f = i % 2 ? as_block(9, 512) : as_frame(9, 512, true);
        for (size_t n = 0; n < f.n; n++) {
            uint8_t *exact = wr_alloc(n); /* so that a read past the end is seen */

            memcpy(exact, f.p, n);
            T(wr_ltx_frame_decode((struct wr_bytes){exact, n}, 512, 9, out, NULL) == WR_CORRUPT);
            wr_free(exact);
        }
    }
}

/* Damage never leads outside the page; what an LZ4 frame lets through is right. */
static void test_damaged(void **state)
{
    uint8_t *exact = wr_alloc(512);
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 20000; i++) {
        struct wr_bytes f;
        enum wr_status st;

        fill(&r, 512);
        f = i % 2 ? as_block(9, 512) : as_frame(9, 512, true);
        for (uint64_t k = 1 + wr_rand_below(&r, 3); k > 0; k--)
            frame[wr_rand_below(&r, f.n)] ^= (uint8_t)(1 << wr_rand_below(&r, 8));
        st = wr_ltx_frame_decode(f, 512, 9, exact, NULL);
        T(st == WR_OK || st == WR_CORRUPT);
        if (st == WR_OK && i % 2 == 0 && wr_be16(f.p + 4) == 0)
            T(memcmp(exact, page, 512) == 0);
    }
    wr_free(exact);
}

T_MAIN(T_TEST(test_both_encodings), T_TEST(test_payload_max), T_TEST(test_refused),
    T_TEST(test_cut_short), T_TEST(test_damaged))
