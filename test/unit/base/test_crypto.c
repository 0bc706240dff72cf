/*
 * test_crypto.c - published vectors for what libcrypto does, models for what we do.
 */
#include "base/crypto.h"

#include "harness/t.h"

static struct wr_bytes text(const char *z)
{
    return (struct wr_bytes){(const uint8_t *)z, strlen(z)};
}

static void check_hex(const uint8_t *p, size_t n, const char *want)
{
    char hex[2 * WR_SHA256_SIZE + 1];

    wr_hex(p, n, hex);
    assert_string_equal(hex, want);
}

/* FIPS 180-2, appendix B. */
static void test_sha256(void **state)
{
    uint8_t out[WR_SHA256_SIZE];
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_sha256(text("abc"), out, &e));
    check_hex(out, sizeof(out), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    T_OK(wr_sha256((struct wr_bytes){0}, out, &e));
    check_hex(out, sizeof(out), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231, cases 2 and 6 (a key longer than a block), and nothing with nothing. */
static void test_hmac_sha256(void **state)
{
    uint8_t long_key[131];
    uint8_t out[WR_SHA256_SIZE];
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_hmac_sha256(text("Jefe"), text("what do ya want for nothing?"), out, &e));
    check_hex(out, sizeof(out), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(long_key, 0xaa, sizeof(long_key));
    T_OK(wr_hmac_sha256((struct wr_bytes){long_key, sizeof(long_key)},
        text("Test Using Larger Than Block-Size Key - Hash Key First"), out, &e));
    check_hex(out, sizeof(out), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    T_OK(wr_hmac_sha256((struct wr_bytes){0}, (struct wr_bytes){0}, out, &e));
    check_hex(out, sizeof(out), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* From Python's hmac. */
static void test_hmac_sha256_of_keys_about_as_long_as_a_block(void **state)
{
    static const struct {
        size_t n;
        const char *want;
    } cases[] = {
        {63, "24787bce7cf409d3952f9043ddf70385f52db556ee75a1965029e4cfc5d92631"},
        {64, "a9c65981c5c8be67cd5a03674636c2c74b7d2647e22377ee1b3d11b78abfbca9"},
        {65, "3aa749bc7b5262a5484039b57da4831c7e020b8e4e94d2545a12aec3fcdcafa4"},
    };
    uint8_t key[65], out[WR_SHA256_SIZE];
    struct wr_err e = {0};

    (void)state;
    memset(key, 0xaa, sizeof(key));
    for (size_t i = 0; i < wr_countof(cases); i++) {
        T_OK(wr_hmac_sha256(
            (struct wr_bytes){key, cases[i].n}, text("a block and no more"), out, &e));
        check_hex(out, sizeof(out), cases[i].want);
    }
}

/* RFC 1321, appendix A.5. */
static void test_md5(void **state)
{
    uint8_t out[WR_MD5_SIZE];
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_md5(text("message digest"), out, &e));
    check_hex(out, sizeof(out), "f96b697d7cb7938d525a2f31aaf161d0");
    T_OK(wr_md5((struct wr_bytes){0}, out, &e));
    check_hex(out, sizeof(out), "d41d8cd98f00b204e9800998ecf8427e");
}

/* Not its quality, only that every byte is written and nothing beyond. */
static void test_random(void **state)
{
    uint8_t seen[40] = {0};
    uint8_t out[42];
    struct wr_err e = {0};

    (void)state;
    for (int round = 0; round < 20; round++) {
        memset(out, 0, sizeof(out));
        T_OK(wr_random(out, 40, &e));
        T(out[40] == 0 && out[41] == 0);
        for (size_t i = 0; i < sizeof(seen); i++)
            seen[i] |= out[i];
    }
    for (size_t i = 0; i < sizeof(seen); i++)
        T(seen[i] != 0);
    T_OK(wr_random(out, 0, &e));
}

static void test_hex(void **state)
{
    static const uint8_t bytes[] = {0x00, 0x01, 0x9a, 0xbc, 0xde, 0xf0, 0xff};
    char out[2 * sizeof(bytes) + 1];

    (void)state;
    wr_hex(bytes, sizeof(bytes), out);
    assert_string_equal(out, "00019abcdef0ff");
    wr_hex(NULL, 0, out);
    assert_string_equal(out, "");
}

static int digit_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = strchr(digits, c);

    T(c != '\0' && at != NULL);
    return (int)(at - digits);
}

/* RFC 4648, section 10, then random bytes, read back six bits at a time. */
static void test_base64(void **state)
{
    static const char *const vectors[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
        {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
    uint8_t in[50];
    char out[72];
    struct wr_err e = {0};

    (void)state;
    for (size_t i = 0; i < wr_countof(vectors); i++) {
        struct wr_bytes b = text(vectors[i][0]);

        wr_base64(b.p, b.n, out);
        assert_string_equal(out, vectors[i][1]);
    }
    for (size_t n = 0; n <= sizeof(in); n++) {
        uint32_t bits = 0;
        size_t at = 0;
        unsigned held = 0;

        T_OK(wr_random(in, n, &e));
        wr_base64(in, n, out);
        T(strlen(out) == 4 * ((n + 2) / 3));
        for (const char *p = out; *p != '\0' && *p != '='; p++) {
            bits = (bits << 6 | (uint32_t)digit_value(*p)) & 0xffffff;
            held += 6;
            if (held >= 8) {
                held -= 8;
                T(at < n && in[at++] == (uint8_t)(bits >> held));
            }
        }
        T(at == n);
    }
}

static void test_equal_secret(void **state)
{
    (void)state;
    T(wr_equal_secret("abcd", "abcd", 4));
    T(!wr_equal_secret("abcd", "abce", 4));
    T(!wr_equal_secret("abcd", "bbcd", 4));
    T(wr_equal_secret("abcd", "abce", 3));
    T(wr_equal_secret("a", "b", 0));
}

T_MAIN(T_TEST(test_sha256), T_TEST(test_hmac_sha256),
    T_TEST(test_hmac_sha256_of_keys_about_as_long_as_a_block), T_TEST(test_md5),
    T_TEST(test_random), T_TEST(test_hex), T_TEST(test_base64), T_TEST(test_equal_secret))
