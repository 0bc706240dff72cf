/*
 * Files that litestream-vfs 0.5.17 wrote, and crafted ones that it took or refused: we must decide
 * as it does, and restore the same database. test/data/ltx/README.md lists them.
 */
#include "base/mem.h"
#include "harness/ltx_util.h"
#include "harness/t.h"
#include "ltx/merge.h"

enum {
    FILES_MAX = 8
};

/* Merge the files into one in `out`; each must be readable by itself as well. */
static enum wr_status merge_files(
    const char *dir, const char *const *names, struct t_ltx_out *out, struct wr_err *e)
{
    struct t_ltx_in in[FILES_MAX] = {0};
    struct wr_ltx_dec *dec[FILES_MAX] = {0};
    struct wr_ltx_merge *m = NULL;
    struct wr_ltx_trailer trailer;
    enum wr_status st = WR_OK;
    uint64_t size = 0;
    size_t n = 0;

    t_ltx_out_init(out);
    for (; st == WR_OK && n < FILES_MAX && names[n]; n++) {
        in[n].file = t_slurp(t_path(t_data(dir), names[n]));
        st = wr_ltx_dec_new(t_ltx_source, &in[n], in[n].file.n, WR_LTX_LOCK_OFFSET, &dec[n], e);
    }
    if (st == WR_OK)
        st = wr_ltx_merge_new(dec, n, WR_LTX_LOCK_OFFSET, &m, e);
    if (st == WR_OK)
        st = wr_ltx_merge_write(m, t_ltx_sink, out, &trailer, &size, e);
    if (st == WR_OK)
        T(size == out->buf.n);
    wr_ltx_merge_free(m);
    for (size_t i = 0; i < n; i++)
        wr_ltx_dec_free(dec[i]);
    return st;
}

struct accepted {
    const char *dir, *expected;
    const char *names[FILES_MAX];
};

#define NAME(min, max) "000000000000000" #min "-000000000000000" #max ".ltx"

static const struct accepted ACCEPTED[] = {
    {"ltx/real-0.5.17-write/ltx/0", "ltx/real-0.5.17-write/expected-restore.db",
        {NAME(1, 1), NAME(2, 2), NAME(3, 3), NAME(4, 4), NAME(5, 5)}},
    {"ltx/crafted-accepted/t1/ltx", "ltx/crafted-accepted/t1.expected.db",
        {"9/" NAME(1, 3), "1/" NAME(4, 5), "0/" NAME(6, 6)}},
    {"ltx/crafted-accepted/t11_L0only/ltx/0", "ltx/crafted-accepted/t11_L0only.expected.db",
        {NAME(1, 1), NAME(2, 2), NAME(3, 3), NAME(4, 4), NAME(5, 5), NAME(6, 6)}},
    {"ltx/crafted-accepted/t15_node/ltx/9", "ltx/crafted-accepted/t15_node.expected.db",
        {NAME(1, 3)}},
    {"ltx/crafted-accepted/t17_L8/ltx", "ltx/crafted-accepted/t17_L8.expected.db",
        {"9/" NAME(1, 3), "8/" NAME(4, 6)}},
    {"ltx/crafted-accepted/t18_L2snap/ltx/2", "ltx/crafted-accepted/t18_L2snap.expected.db",
        {NAME(1, 6)}},
    {"ltx/crafted-accepted/t2/ltx", "ltx/crafted-accepted/t2.expected.db",
        {"9/" NAME(1, 3), "0/" NAME(4, 4)}},
    {"ltx/crafted-accepted/t6_reserved/ltx/9", "ltx/crafted-accepted/t6_reserved.expected.db",
        {NAME(1, 3)}},
    {"ltx/crafted-accepted/t9_overlap/ltx", "ltx/crafted-accepted/t9_overlap.expected.db",
        {"9/" NAME(1, 3), "1/" NAME(2, 4)}},
    {"ltx/frame-format/f1_frame/ltx/9", "ltx/frame-format/f1_frame.expected.db", {NAME(1, 3)}},
};

static void test_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < wr_countof(ACCEPTED); i++) {
        struct wr_bytes want = t_slurp(t_data(ACCEPTED[i].expected));
        struct wr_err e = {0};
        struct t_ltx_out o;
        struct t_ltx m;
        uint8_t *image;

        T_OK(merge_files(ACCEPTED[i].dir, ACCEPTED[i].names, &o, &e));
        assert_null(t_ltx_decode(wr_buf_bytes(&o.buf), &m));
        T(m.min == 1 && (size_t)m.commit * m.page_size == want.n);
        image = t_ltx_image(&m);
        T(memcmp(image, want.p, want.n) == 0);
        wr_free(image);
        t_ltx_release(&m);
        wr_buf_release(&o.buf);
    }
}

/* Ours and the model agree on every single file that is accepted. */
static void test_model_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < wr_countof(ACCEPTED); i++) {
        for (size_t k = 0; k < FILES_MAX && ACCEPTED[i].names[k]; k++) {
            struct wr_bytes file = t_slurp(t_path(t_data(ACCEPTED[i].dir), ACCEPTED[i].names[k]));
            struct wr_err e = {0};
            struct t_ltx a, b;

            T_OK(t_ltx_read(file, true, WR_LTX_LOCK_OFFSET, &a, &e));
            assert_null(t_ltx_decode(file, &b));
            T(t_ltx_same(&a, &b));
            t_ltx_release(&a);
            t_ltx_release(&b);
        }
    }
}

static void test_rejected(void **state)
{
    static const struct {
        struct accepted a;
        const char *text;
    } CASES[] = {
        {{"ltx/crafted-rejected/f2_frame_nocsum/ltx/9", NULL, {NAME(1, 3)}}, "no content checksum"},
        {{"ltx/crafted-rejected/f4_commit0/ltx", NULL, {"9/" NAME(1, 3), "0/" NAME(4, 4)}},
            "database of 0 pages"},
        {{"ltx/crafted-rejected/f6_psmismatch/ltx", NULL, {"9/" NAME(1, 3), "0/" NAME(4, 4)}},
            "page sizes 4096 and 1024"},
        {{"ltx/crafted-rejected/t10_gap/ltx", NULL, {"9/" NAME(1, 3), "0/" NAME(5, 5)}},
            "gap between TXID 0000000000000003 and 0000000000000005"},
        {{"ltx/crafted-rejected/t12_hdrflag1/ltx/9", NULL, {NAME(1, 3)}}, "unknown flags"},
        {{"ltx/crafted-rejected/t14_trailing/ltx/9", NULL, {NAME(1, 3)}}, "bytes after the pages"},
        {{"ltx/crafted-rejected/t16_saltnooff/ltx/9", NULL, {NAME(1, 3)}},
            "salt without WAL offset"},
        {{"ltx/crafted-rejected/t3/ltx/9", NULL, {NAME(1, 3)}}, "tracks a database checksum"},
        {{"ltx/crafted-rejected/t4/ltx/9", NULL, {NAME(1, 3)}}, "file checksum is"},
        {{"ltx/crafted-rejected/t7_snapgap/ltx/9", NULL, {NAME(1, 3)}}, "snapshot lacks page 3"},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(CASES); i++) {
        struct wr_err e = {0};
        struct t_ltx_out o;

        T_IS(WR_CORRUPT, merge_files(CASES[i].a.dir, CASES[i].a.names, &o, &e));
        if (!strstr(e.text, CASES[i].text))
            fail_msg("%s: %s", CASES[i].a.dir, e.text);
        wr_buf_release(&o.buf);
    }
}

/* Re-encoded from its pages, a real file has the same contents, and every byte before them. */
static void test_real_header_is_reproduced(void **state)
{
    (void)state;
    for (size_t k = 0; k < 5; k++) {
        struct wr_bytes file = t_slurp(t_path(t_data(ACCEPTED[0].dir), ACCEPTED[0].names[k]));
        struct wr_err e = {0};
        struct t_ltx_out o;
        struct t_ltx m;

        T_OK(t_ltx_read(file, true, WR_LTX_LOCK_OFFSET, &m, &e));
        T_OK(t_ltx_write(&m, WR_LTX_LOCK_OFFSET, &o, &e));
        T(memcmp(o.buf.p, file.p, WR_LTX_HEADER_SIZE) == 0);
        T(o.buf.n < file.n + file.n / 8 + 64);
        wr_buf_release(&o.buf);
        t_ltx_release(&m);
    }
}

T_MAIN(T_TEST(test_accepted), T_TEST(test_model_agrees), T_TEST(test_rejected),
    T_TEST(test_real_header_is_reproduced))
