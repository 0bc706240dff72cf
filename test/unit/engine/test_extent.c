/*
 * test_extent.c - the object that says what a replica must have: what is in it comes back, what is
 * no such object says nothing, and two that write it do not write over each other.
 */
#include "engine/extent.h"

#include "unit/engine/spy_store.h"

static const char NAME[] = "r/extent.json";

struct bucket {
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s;
    struct wr_call *c;
};

static struct bucket *bucket(void)
{
    static struct bucket b;
    struct wr_err e = {0};

    b = (struct bucket){.c = t_call()};
    wr_storage_close(spy_open(&b.spy, &b.ops));
    T_OK(wr_storage_mem.open(NULL, &b.spy.inner, &e));
    T_OK(wr_storage_wrap(&b.ops, &b.spy, WR_STR("r/"), &b.s, &e));
    wr_storage_set_retry(b.s, 3, 0);
    return &b;
}

static void put_text(struct bucket *b, const char *text, size_t n)
{
    struct wr_err e = {0};

    T_OK(wr_storage_put(
        b->s, b->c, wr_str(NAME), (struct wr_bytes){(const uint8_t *)text, n}, NULL, &e));
}

static struct wr_extent sample(void)
{
    struct wr_extent x = {
        .newest = 0x123456789abcdef0, .token = 7, .node = 9, .at_ms = INT64_C(1795373351000)};

    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++)
        x.from[level] = level % 3 == 0 ? WR_EXTENT_NOTHING : level * 100;
    x.last = (struct wr_ltx_file){.level = 1, .min = 3, .max = 0x123456789abcdef0};
    x.roll.run[0] = (struct wr_roll_run){5, UINT64_MAX - 1};
    x.roll.run[8] = (struct wr_roll_run){7, 7};
    x.roll.counted = true;
    x.roll.snapshots = 2;
    x.roll.sum = 9;
    x.roll.newest = 6;
    return x;
}

static void test_it_comes_back(void **state)
{
    struct bucket *b = bucket();
    struct wr_extent x = sample(), is;
    struct wr_extent_version version = {0};
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_NOTFOUND, wr_extent_read(b->s, b->c, &is, &e));
    T_OK(wr_extent_write(b->s, b->c, &x, &version, &e));
    T(version.there && version.tag[0]);
    T_OK(wr_extent_read(b->s, b->c, &is, &e));
    T(memcmp(&is, &x, sizeof(x)) == 0);
    T_OK(wr_extent_remove(b->s, b->c, &e));
    T_IS(WR_NOTFOUND, wr_extent_read(b->s, b->c, &is, &e));
    wr_storage_close(b->s);
}

static void test_what_is_none_says_nothing(void **state)
{
#define REST                                                                                  \
    "\"token\":\"0000000000000001\",\"node\":\"0000000000000002\",\"at\":\"2026-01-02T03:04:" \
    "05Z\"}"
    static const char *const bad[] = {"", "{", "[]", "null", "{}",
        "{\"newest\":\"0000000000000005\"," REST,                           /* no levels */
        "{\"newest\":\"0000000000000000\",\"levels\":{}," REST,             /* no TXID */
        "{\"newest\":\"5\",\"levels\":{}," REST,                            /* short */
        "{\"newest\":5,\"levels\":{}," REST,                                /* no text */
        "{\"newest\":\"0000000000000005\",\"levels\":[]," REST,             /* no object */
        "{\"newest\":\"0000000000000005\",\"levels\":{\"1\":7}," REST,      /* no text */
        "{\"newest\":\"0000000000000005\",\"levels\":{\"1\":\"x\"}," REST,  /* no number */
        "{\"newest\":\"0000000000000005\",\"last\":{},\"levels\":{}," REST, /* no level */
        "{\"newest\":\"0000000000000005\",\"last\":7,\"levels\":{}," REST,  /* no object */
        "{\"newest\":\"0000000000000005\",\"last\":{\"level\":10,\"min_txid\":\"0000000000000001\","
        "\"max_txid\":\"0000000000000005\"},\"levels\":{}," REST, /* none has ten */
        "{\"newest\":\"0000000000000005\",\"last\":{\"level\":0,\"min_txid\":\"0000000000000006\","
        "\"max_txid\":\"0000000000000005\"},\"levels\":{}," REST, /* ends before it begins */
        "{\"newest\":\"0000000000000005\",\"runs\":[],\"levels\":{}," REST, /* no object */
        "{\"newest\":\"0000000000000005\",\"runs\":{\"0\":{\"from\":\"0000000000000003\"}},"
        "\"levels\":{}," REST, /* no end */
        "{\"newest\":\"0000000000000005\",\"runs\":{\"0\":{\"from\":\"0000000000000003\","
        "\"to\":\"ffffffffffffffff\"}},\"levels\":{}," REST, /* nothing is behind that */
        "{\"newest\":\"0000000000000005\",\"snapshots\":{\"count\":\"0000000000000003\"},"
        "\"levels\":{}," REST, /* no sum */
        "{\"newest\":\"0000000000000005\",\"newest\":\"0000000000000005\",\"levels\":{}," REST,
        "{\"newest\":\"0000000000000005\",\"levels\":{}}"};
    static const char good[] =
        "{\"newest\":\"0000000000000005\",\"more\":[1],\"levels\":{\"11\":3,\"2\":"
        "\"0000000000000003\"}," REST;
    struct bucket *b = bucket();
    struct wr_extent_version version;
    struct wr_extent is;
    struct wr_err e = {0};
    static char large[5000];

    (void)state;
    for (size_t i = 0; i < wr_countof(bad); i++) {
        put_text(b, bad[i], strlen(bad[i]));
        T_IS(WR_CORRUPT, wr_extent_read(b->s, b->c, &is, &e));
        T_OK(wr_extent_look(b->s, b->c, &is, &version, &e));
        T(is.newest == 0 && version.there);
    }
    put_text(b, good, strlen(good));
    T_OK(wr_extent_read(b->s, b->c, &is, &e));
    T(is.newest == 5 && is.from[2] == 3 && is.from[1] == WR_EXTENT_NOTHING);
    memset(large, ' ', sizeof(large));
    memcpy(large, good, strlen(good));
    put_text(b, large, sizeof(large));
    T_IS(WR_CORRUPT, wr_extent_read(b->s, b->c, &is, &e));
    wr_storage_close(b->s);
}

/* As it is written, and as versions did that knew no checksum, which is told by its end. */
static void test_each_bit_is_under_a_checksum(void **state)
{
    static const char older[] = "{\"newest\":\"0000000000000005\",\"levels\":{}," REST "\n";
    struct bucket *b = bucket();
    struct wr_extent x = sample(), is;
    struct wr_extent_version version = {0};
    uint8_t text[1024];
    size_t n = 0;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_extent_write(b->s, b->c, &x, &version, &e));
    T_OK(wr_storage_get(b->s, b->c, wr_str(NAME), 0, text, sizeof(text), &n, &e));
    T(n > 300 && n < sizeof(text));
    for (size_t bit = 0; bit < n * 8; bit++) {
        text[bit / 8] ^= (uint8_t)(1u << bit % 8);
        put_text(b, (const char *)text, n);
        T_IS(WR_CORRUPT, wr_extent_read(b->s, b->c, &is, &e));
        text[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    put_text(b, (const char *)text, n);
    T_OK(wr_extent_read(b->s, b->c, &is, &e));
    put_text(b, older, strlen(older));
    T_OK(wr_extent_read(b->s, b->c, &is, &e));
    wr_storage_close(b->s);
}

static void test_what_it_speaks_of(void **state)
{
    struct wr_extent x = {.newest = 50, .from = {[0] = WR_EXTENT_NOTHING, [1] = 10}};
    struct wr_ltx_file f = {.level = 1, .min = 5, .max = 10};

    (void)state;
    T(!wr_extent_covers(NULL, &f) && !wr_extent_covers(&x, &f));
    f.max = 11;
    T(wr_extent_covers(&x, &f));
    f.level = 0;
    T(!wr_extent_covers(&x, &f));
    f.level = 2;
    f.max = 50;
    T(wr_extent_covers(&x, &f));
    f.max = 51;
    T(!wr_extent_covers(&x, &f));
}

/* Both have seen the same; who comes second is told. */
static void test_two_writers_do_not_write_over_each_other(void **state)
{
    struct bucket *b = bucket();
    struct wr_extent x = sample(), is;
    struct wr_extent_version one = {0}, two = {0};
    struct wr_err e = {0};

    (void)state;
    for (unsigned held = 0; held < 3; held++) {
        T_OK(wr_extent_look(b->s, b->c, &is, &two, &e));
        T(two.there == (held > 0));
        x.token = 1 + held;
        T_OK(wr_extent_write(b->s, b->c, &x, &one, &e));
        x.token = 100;
        T_IS(WR_CONFLICT, wr_extent_write(b->s, b->c, &x, &two, &e));
        T_OK(wr_extent_read(b->s, b->c, &is, &e));
        T(is.token == 1 + held);
    }
    wr_storage_close(b->s);
}

T_MAIN(T_TEST(test_it_comes_back), T_TEST(test_what_is_none_says_nothing),
    T_TEST(test_each_bit_is_under_a_checksum), T_TEST(test_what_it_speaks_of),
    T_TEST(test_two_writers_do_not_write_over_each_other))
