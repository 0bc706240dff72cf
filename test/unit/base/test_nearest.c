/*
 * "Did you mean": against a slow recursive model, as far as words are close, and what counts as
 * that.
 */
#include "base/nearest.h"

#include "base/rand.h"
#include "harness/t.h"

static const char *nearest(const char *word, const char *const *known, size_t n)
{
    struct wr_nearest s;

    wr_nearest_init(&s, wr_str(word));
    for (size_t i = 0; i < n; i++)
        wr_nearest_offer(&s, known[i]);
    return wr_nearest_get(&s);
}

static const char *const keys[] = {"sync-interval", "region", "bucket", "path", "url"};

static void expect(const char *word, const char *want)
{
    const char *got = nearest(word, keys, wr_countof(keys));

    if (want)
        assert_string_equal(got, want);
    else
        assert_null(got);
}

static void test_close(void **state)
{
    (void)state;
    expect("sync-intervall", "sync-interval");
    expect("syncinterval", "sync-interval");
    expect("regoin", "region");
    expect("Region", "region");
    expect("buckt", "bucket");
    expect("uri", "url");
    expect("pat", "path");
}

static void test_far(void **state)
{
    static const char *const long_key[] = {"0123456789012345678901234567890123456789x"};

    (void)state;
    expect("heartbeat-url", NULL);
    expect("xyz", NULL);
    expect("", NULL);
    T(!nearest("url", NULL, 0));
    T(!nearest("0123456789012345678901234567890123456789x", long_key, 1)); /* too long to compare */
}

/* Of equally near words the first is named, so that messages do not depend on luck. */
static void test_first_wins(void **state)
{
    static const char *const two[] = {"abcd", "abce"};

    (void)state;
    assert_string_equal(nearest("abcx", two, 2), "abcd");
}

/* Optimal string alignment by its definition. */
static size_t model(const char *a, size_t n, const char *b, size_t m)
{
    size_t best;

    if (n == 0 || m == 0)
        return n + m;
    best = wr_min(model(a, n - 1, b, m) + 1, model(a, n, b, m - 1) + 1);
    best = wr_min(best, model(a, n - 1, b, m - 1) + (a[n - 1] != b[m - 1]));
    if (n > 1 && m > 1 && a[n - 1] == b[m - 2] && a[n - 2] == b[m - 1])
        best = wr_min(best, model(a, n - 2, b, m - 2) + 1);
    return best;
}

static void random_word(struct wr_rand *r, char *out)
{
    size_t n = wr_rand_below(r, 7);

    for (size_t i = 0; i < n; i++)
        out[i] = (char)('a' + wr_rand_below(r, 3));
    out[n] = 0;
}

static void test_random(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 20000; round++) {
        char a[8], b[8];
        struct wr_nearest s;
        size_t want;

        random_word(&r, a);
        random_word(&r, b);
        want = model(a, strlen(a), b, strlen(b));
        wr_nearest_init(&s, wr_str(a));
        wr_nearest_offer(&s, b);
        if (want <= (strlen(a) + 2) / 3)
            T(s.distance == want && wr_nearest_get(&s) == b);
        else
            T(wr_nearest_get(&s) == NULL);
    }
}

T_MAIN(T_TEST(test_close), T_TEST(test_far), T_TEST(test_first_wins), T_TEST(test_random))
