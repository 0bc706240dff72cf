/*
 * test_buf.c - a buffer against a plain array: contents, limit, latch.
 */
#include "base/buf.h"

#include "base/mem.h"
#include "base/rand.h"
#include "harness/t.h"

#define MODEL_MAX 5000

/* Append random bytes in a random way to both; nothing when the model says it cannot fit. */
static void append(struct wr_buf *b, struct wr_rand *r, uint8_t *model, size_t *model_n)
{
    uint8_t bytes[300];
    size_t n = wr_rand_below(r, wr_rand_below(r, 8) ? 20 : 300);
    uint8_t *at;

    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)('a' + wr_rand_below(r, 26));
    switch (wr_rand_below(r, 5)) {
    case 0:
        wr_buf_put(b, n ? bytes : NULL, n);
        break;
    case 1:
        wr_buf_str(b, (struct wr_str){(const char *)bytes, n});
        break;
    case 2:
        n = 1;
        bytes[0] = (uint8_t)wr_rand_u64(r);
        wr_buf_byte(b, bytes[0]);
        break;
    case 3:
        wr_buf_fmt(b, "%.*s", (int)n, (const char *)bytes);
        break;
    default:
        at = wr_buf_grow(b, n);
        T((at != NULL) == (b->failed == WR_OK));
        if (at && n)
            memcpy(at, bytes, n);
        break;
    }
    if (b->failed == WR_OK) {
        memcpy(model + *model_n, bytes, n);
        *model_n += n;
    } else {
        T(b->failed == WR_LIMIT);
        T(*model_n + n > b->max); /* it was really too much */
    }
}

static void test_against_model(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 500; round++) {
        uint8_t model[MODEL_MAX];
        size_t model_n = 0;
        size_t max = wr_rand_below(&r, MODEL_MAX);
        struct wr_buf b;

        wr_buf_init(&b, max);
        for (int op = 0; op < 100; op++) {
            append(&b, &r, model, &model_n);
            T(b.n == model_n && b.n <= max && b.cap <= max + 1);
            T(wr_buf_view(&b).n == model_n && wr_buf_bytes(&b).n == model_n);
            T(model_n == 0 || memcmp(b.p, model, model_n) == 0);
            T(!b.p || b.p[b.n] == 0);
            T(wr_buf_status(&b) == b.failed);
            if (b.failed != WR_OK) { /* latched: even what would fit is not taken */
                wr_buf_put(&b, NULL, 0);
                wr_buf_fmt(&b, "%s", "");
                T(wr_buf_grow(&b, 0) == NULL);
                T(b.failed == WR_LIMIT && b.n == model_n);
                wr_buf_clear(&b);
                T(b.failed == WR_OK && b.n == 0);
                model_n = 0;
            }
        }
        wr_buf_release(&b);
        T(b.p == NULL && b.n == 0 && b.max == max && b.failed == WR_OK);
        wr_buf_z(&b, ""); /* usable again */
        wr_buf_release(&b);
    }
}

static void test_empty(void **state)
{
    struct wr_buf b;

    (void)state;
    wr_buf_release(NULL);
    wr_buf_init(&b, 10);
    T(b.p == NULL);
    T(wr_buf_view(&b).p && wr_buf_view(&b).n == 0);
    T(wr_buf_bytes(&b).p && wr_buf_bytes(&b).n == 0);
    assert_string_equal(wr_buf_view(&b).p, "");
    wr_buf_clear(&b);
    wr_buf_z(&b, "text");
    assert_string_equal(wr_buf_view(&b).p, "text");
    wr_buf_clear(&b);
    assert_string_equal(wr_buf_view(&b).p, "");
    wr_buf_release(&b);
    wr_buf_release(&b);
}

static void test_exact_limit(void **state)
{
    struct wr_buf b;

    (void)state;
    wr_buf_init(&b, 4);
    wr_buf_z(&b, "four");
    T(wr_buf_status(&b) == WR_OK);
    wr_buf_byte(&b, '!');
    T(wr_buf_status(&b) == WR_LIMIT);
    assert_string_equal(wr_buf_view(&b).p, "four"); /* all or nothing */
    wr_buf_release(&b);

    wr_buf_init(&b, SIZE_MAX);
    wr_buf_z(&b, "x");
    T(wr_buf_grow(&b, SIZE_MAX - 1) == NULL); /* leaves no room for the NUL: not an overflow */
    T(wr_buf_status(&b) == WR_LIMIT);
    wr_buf_release(&b);
}

static void test_fmt(void **state)
{
    struct wr_buf b;

    (void)state;
    wr_buf_init(&b, 1000);
    wr_buf_fmt(&b, "%d-%s", 42, "x");
    wr_buf_fmt(&b, "%500d", 7);
    T(wr_buf_status(&b) == WR_OK);
    T(b.n == 504 && memcmp(b.p, "42-x   ", 7) == 0 && b.p[503] == '7');
    wr_buf_fmt(&b, "%500d", 7);
    T(wr_buf_status(&b) == WR_LIMIT && b.n == 504);
    wr_buf_release(&b);
}

static enum wr_status fill(void *arg)
{
    struct wr_buf b;
    enum wr_status st;

    (void)arg;
    wr_buf_init(&b, 100000);
    for (int i = 0; i < 500; i++) {
        wr_buf_z(&b, "twenty bytes of text");
        wr_buf_fmt(&b, "%d", i);
        if (wr_buf_status(&b) == WR_NOMEM)
            T(wr_buf_grow(&b, 1) == NULL);
    }
    st = wr_buf_status(&b);
    T(st != WR_OK || b.n == 500 * 20 + 10 + 90 * 2 + 400 * 3); /* OK means all of it */
    wr_buf_release(&b);
    return st;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    t_sweep_nomem(fill, NULL);
}

T_MAIN(T_TEST(test_against_model), T_TEST(test_empty), T_TEST(test_exact_limit), T_TEST(test_fmt),
    T_TEST(test_out_of_memory))
