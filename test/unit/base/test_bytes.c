/*
 * test_bytes.c - integers as bytes, against arithmetic on one byte at a time.
 */
#include "base/bytes.h"

#include "base/rand.h"
#include "harness/t.h"

/* The integer that `n` bytes spell, most significant first, or last when `little`. */
static uint64_t spelled(const uint8_t *p, size_t n, bool little)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v * 256 + p[little ? n - 1 - i : i];
    return v;
}

static void test_fixed(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 10000; i++) {
        uint8_t raw[8];
        uint8_t out[8];

        wr_rand_fill(&r, raw, sizeof(raw));
        T(wr_be16(raw) == spelled(raw, 2, false));
        T(wr_be32(raw) == spelled(raw, 4, false));
        T(wr_be64(raw) == spelled(raw, 8, false));
        T(wr_le32(raw) == spelled(raw, 4, true));
        T(wr_le64(raw) == spelled(raw, 8, true));

        wr_put_be16(out, (uint16_t)spelled(raw, 2, false));
        assert_memory_equal(out, raw, 2);
        wr_put_be32(out, (uint32_t)spelled(raw, 4, false));
        assert_memory_equal(out, raw, 4);
        wr_put_be64(out, spelled(raw, 8, false));
        assert_memory_equal(out, raw, 8);
        wr_put_le32(out, (uint32_t)spelled(raw, 4, true));
        assert_memory_equal(out, raw, 4);
        wr_put_le64(out, spelled(raw, 8, true));
        assert_memory_equal(out, raw, 8);
    }
}

/* Seven bits at a time by division, into a buffer with a guard behind it. */
static void check_varint(uint64_t v)
{
    uint8_t out[WR_VARINT_MAX + 1];
    uint64_t left = v;
    uint64_t back = ~v;
    size_t n;

    memset(out, 0xee, sizeof(out));
    n = wr_put_varint(out, v);
    T(n >= 1 && n <= WR_VARINT_MAX);
    for (size_t i = 0; i < n; i++) {
        T(out[i] % 128 == left % 128);
        T((out[i] >= 128) == (i + 1 < n));
        left /= 128;
    }
    T(left == 0);
    T(n == 1 || out[n - 1] != 0); /* the shortest form */
    T(out[n] == 0xee);

    T(wr_get_varint(out, sizeof(out), &back) == n && back == v);
    T(wr_get_varint(out, n, &back) == n);
    for (size_t cut = 0; cut < n; cut++) {
        back = 77;
        T(wr_get_varint(out, cut, &back) == 0 && back == 77);
    }
}

static void test_varint(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t v = UINT64_C(1) << bit;

        check_varint(v - 1);
        check_varint(v);
        check_varint(v + 1);
        check_varint(-v);
    }
    check_varint(UINT64_MAX);
    for (int i = 0; i < 20000; i++)
        check_varint(wr_rand_u64(&r) >> wr_rand_below(&r, 64));
}

static void test_varint_limits(void **state)
{
    static const uint8_t largest[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    static const uint8_t over[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    static const uint8_t endless[] = {
        0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
    static const uint8_t padded[] = {0x85, 0x80, 0x00};
    uint64_t v = 5;

    (void)state;
    T(wr_get_varint(NULL, 0, &v) == 0);
    T(wr_get_varint(over, sizeof(over), &v) == 0);
    T(wr_get_varint(endless, sizeof(endless), &v) == 0);
    T(v == 5);
    T(wr_get_varint(largest, sizeof(largest), &v) == 10 && v == UINT64_MAX);
    T(wr_get_varint(padded, sizeof(padded), &v) == 3 && v == 5);
}

T_MAIN(T_TEST(test_fixed), T_TEST(test_varint), T_TEST(test_varint_limits))
