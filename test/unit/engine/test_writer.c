/*
 * test_writer.c - the sign of who was the last to begin to write.
 */
#include "engine/writer.h"

#include "engine/remote.h"
#include "unit/engine/spy_store.h"

static const char NAME[] = "r/writer.json";

struct bucket {
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s;
};

static void bucket_open(struct bucket *b)
{
    struct wr_err e = {0};

    wr_storage_close(spy_open(&b->spy, &b->ops));
    T_OK(wr_storage_mem.open(NULL, &b->spy.inner, &e));
    T_OK(wr_storage_wrap(&b->ops, &b->spy, WR_STR("r/"), &b->s, &e));
    wr_storage_set_retry(b->s, 1, 0);
}

static void sign(struct bucket *b, uint64_t token)
{
    struct wr_err e = {0};

    T_OK(wr_writer_sign(b->s, t_call(), token, 0xabc, 9, &e));
}

static bool is(struct bucket *b, uint64_t token)
{
    bool is = true;
    struct wr_err e = {0};

    T_OK(wr_writer_is(b->s, t_call(), token, &is, &e));
    return is;
}

static bool is_anothers(struct bucket *b, uint64_t token)
{
    bool is = true;
    uint64_t txid = 7;
    struct wr_err e = {0};

    T_OK(wr_writer_other(b->s, t_call(), token, token, &is, &txid, &e));
    T(txid == (is ? 9 : 0));
    return is;
}

static void put_text(struct bucket *b, const char *text)
{
    struct wr_err e = {0};

    T_OK(wr_storage_put(b->s, t_call(), wr_str(NAME),
        (struct wr_bytes){(const uint8_t *)text, strlen(text)}, NULL, &e));
}

static void test_the_last_one_that_signed(void **state)
{
    struct bucket b;
    char text[128];
    size_t n = 0;
    struct wr_err e = {0};

    (void)state;
    bucket_open(&b);
    T(!is(&b, 7) && !is_anothers(&b, 7));
    sign(&b, 7);
    T(is(&b, 7) && !is(&b, 8) && !is(&b, 0));
    T(!is_anothers(&b, 7) && is_anothers(&b, 8) && is_anothers(&b, 0));
    sign(&b, UINT64_MAX);
    T(is(&b, UINT64_MAX) && !is(&b, 7));
    T_OK(wr_storage_get(b.s, t_call(), wr_str(NAME), 0, text, sizeof(text) - 1, &n, &e));
    text[n] = '\0';
    assert_string_equal(text, "{\"token\":\"ffffffffffffffff\",\"node\":\"0000000000000abc\","
                              "\"txid\":\"0000000000000009\",\"crc64\":\"5aacdb58e0d60a72\"}\n");
    wr_storage_close(b.s);
}

/* One of ours of which no answer came was taken for another one's, and its TXIDs left out. */
static void test_an_older_sign_of_our_own_was_anothers(void **state)
{
    struct {
        uint64_t first, last;
        bool other;
    } cases[] = {{3, 7, false}, {7, 9, false}, {7, 7, false}, {8, 9, true}, {3, 6, true},
        {UINT64_MAX, 7, false}, {UINT64_MAX, 6, true}};
    struct bucket b;
    uint64_t txid;
    bool is;
    struct wr_err e = {0};

    (void)state;
    bucket_open(&b);
    sign(&b, 7);
    for (size_t i = 0; i < wr_countof(cases); i++) {
        T_OK(wr_writer_other(b.s, t_call(), cases[i].first, cases[i].last, &is, &txid, &e));
        T(is == cases[i].other && txid == (is ? 9 : 0));
    }
    wr_storage_close(b.s);
}

/* What another one says of its TXIDs is not believed if it is no sign, or no database's. */
static void test_txids_that_nobody_had(void **state)
{
    static const char *const texts[] = {"", "{\"token\":\"0000000000000008\"",
        "{\"token\":\"0000000000000008\",\"node\":\"0000000000000001\"}\n",
        "{\"token\":\"0000000000000008\",\"node\":\"0000000000000abc\","
        "\"txid\":\"0000000000000009\",\"crc64\":\"31421f2385dabf8e\"}\n"};
    struct bucket b;
    uint64_t txid;
    bool is;
    struct wr_err e = {0};

    (void)state;
    bucket_open(&b);
    for (size_t i = 0; i <= wr_countof(texts); i++) {
        if (i < wr_countof(texts))
            put_text(&b, texts[i]);
        else
            T_OK(wr_writer_sign(b.s, t_call(), 8, 1, WR_TXID_SANE / 2, &e));
        T_OK(wr_writer_other(b.s, t_call(), 7, 7, &is, &txid, &e));
        T(is && txid == 0);
    }
    wr_storage_close(b.s);
}

static void test_what_is_no_sign_is_not_ours(void **state)
{
    static const char *const texts[] = {"", "{", "{\"token\":\"000000000000000", "[]",
        "{\"token\":\"0000000000000008\"", "{\"token\":\"0000000000000007",
        "{\"token\":\"00000000000000070\"", "{\"token\":\"000000000000007\"", "\xff\xff"};
    char longer[4096];
    struct bucket b;

    (void)state;
    bucket_open(&b);
    for (size_t i = 0; i < wr_countof(texts); i++) {
        put_text(&b, texts[i]);
        T(!is(&b, 7));
    }
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    put_text(&b, longer);
    T(!is(&b, 7));
    put_text(&b, "{\"token\":\"000000000000000A\"");
    T(!is(&b, 10)); /* nobody writes it so */
    wr_storage_close(b.s);
}

static void test_each_bit_is_under_a_checksum(void **state)
{
    static const char older[] = "{\"token\":\"0000000000000007\",\"node\":\"0000000000000abc\"}\n";
    struct bucket b;
    char text[129] = {0};
    size_t n = 0;
    bool is = true;
    struct wr_err e = {0};

    (void)state;
    bucket_open(&b);
    T_OK(wr_writer_check(b.s, t_call(), 7, &is, &e)); /* there is none */
    T(!is);
    sign(&b, 7);
    T_OK(wr_writer_check(b.s, t_call(), 7, &is, &e));
    T_OK(wr_storage_get(b.s, t_call(), wr_str(NAME), 0, text, sizeof(text) - 1, &n, &e));
    for (size_t bit = 0; bit < n * 8; bit++) {
        text[bit / 8] ^= (char)(1u << bit % 8);
        T_OK(wr_storage_put(
            b.s, t_call(), wr_str(NAME), (struct wr_bytes){(const uint8_t *)text, n}, NULL, &e));
        T_IS(WR_CORRUPT, wr_writer_check(b.s, t_call(), 7, &is, &e));
        text[bit / 8] ^= (char)(1u << bit % 8);
    }
    put_text(&b, older);
    T_OK(wr_writer_check(b.s, t_call(), 7, &is, &e));
    T(is);
    put_text(&b, "");
    T_IS(WR_CORRUPT, wr_writer_check(b.s, t_call(), 7, &is, &e));
    b.spy.fail_get = WR_BUSY;
    T_IS(WR_BUSY, wr_writer_check(b.s, t_call(), 7, &is, &e));
    b.spy.fail_get = WR_AUTH;
    T_OK(wr_writer_check(b.s, t_call(), 7, &is, &e));
    wr_storage_close(b.s);
}

static void test_a_store_that_fails(void **state)
{
    struct bucket b;
    bool is = true;
    struct wr_err e = {0};

    (void)state;
    bucket_open(&b);
    b.spy.fail_get = WR_BUSY;
    T_IS(WR_BUSY, wr_writer_is(b.s, t_call(), 7, &is, &e));
    T(!is);
    b.spy.fail_put = WR_AUTH;
    T_IS(WR_AUTH, wr_writer_sign(b.s, t_call(), 7, 1, 9, &e));
    wr_storage_close(b.s);
}

T_MAIN(T_TEST(test_the_last_one_that_signed), T_TEST(test_an_older_sign_of_our_own_was_anothers),
    T_TEST(test_txids_that_nobody_had), T_TEST(test_what_is_no_sign_is_not_ours),
    T_TEST(test_each_bit_is_under_a_checksum), T_TEST(test_a_store_that_fails))
