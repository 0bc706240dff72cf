/*
 * contract_list.c - checks of listings: order, prefix, start, pages, and a model of the whole
 * bucket.
 */
#include "contract/contract_int.h"

#include "base/rand.h"

static void empty_bucket(void **state)
{
    struct bench b = take_out(state);

    expect_list(&b, "", "", (const char *[]){NULL});
    expect_list(&b, "ltx/0/", "", (const char *[]){NULL});
    expect_list(&b, "", "x", (const char *[]){NULL});
    put_away(&b);
}

/* '-' and '.' sort before '/', digits and letters after it. */
static const char *const tricky[] = {
    "A", "a-", "a-0/x", "a.b", "a/b", "a/b-c", "a/b.c", "a/c/d", "a0", "a1/b", "ab", "b/a", NULL};

static void put_tricky(const struct bench *b)
{
    static const size_t mixed[] = {5, 2, 11, 0, 8, 3, 10, 1, 7, 4, 9, 6};

    for (size_t i = 0; i < wr_countof(mixed); i++)
        put_text(b, tricky[mixed[i]], "x");
}

static void order_is_bytewise(void **state)
{
    struct bench b = take_out(state);

    put_tricky(&b);
    expect_list(&b, "", "", tricky);
    put_away(&b);
}

static void prefix_selects(void **state)
{
    struct bench b = take_out(state);

    put_tricky(&b);
    expect_list(&b, "a/", "", (const char *[]){"a/b", "a/b-c", "a/b.c", "a/c/d", NULL});
    expect_list(&b, "a/b", "", (const char *[]){"a/b", "a/b-c", "a/b.c", NULL});
    expect_list(&b, "a/b.", "", (const char *[]){"a/b.c", NULL});
    expect_list(&b, "a-", "", (const char *[]){"a-", "a-0/x", NULL});
    expect_list(&b, "a/c/d", "", (const char *[]){"a/c/d", NULL});
    expect_list(&b, "a/c/d/", "", (const char *[]){NULL});
    expect_list(&b, "a/x/", "", (const char *[]){NULL});
    expect_list(&b, "c", "", (const char *[]){NULL});
    put_away(&b);
}

/* Every possible start, against the full listing. */
static void after_excludes(void **state)
{
    static const char *const others[] = {"0", "a", "a.", "a/", "a/b/", "a/c", "a/c/", "a1", "zz"};
    struct bench b = take_out(state);

    put_tricky(&b);
    for (size_t i = 0; tricky[i]; i++)
        expect_list(&b, "", tricky[i], tricky + i + 1);
    for (size_t i = 0; i < wr_countof(others); i++) {
        size_t k = 0;
        while (tricky[k] && wr_str_cmp(wr_str(tricky[k]), wr_str(others[i])) <= 0)
            k++;
        expect_list(&b, "", others[i], tricky + k);
    }
    put_away(&b);
}

static void prefix_and_after(void **state)
{
    struct bench b = take_out(state);

    put_tricky(&b);
    expect_list(&b, "a/", "a/b", (const char *[]){"a/b-c", "a/b.c", "a/c/d", NULL});
    expect_list(&b, "a/", "A", (const char *[]){"a/b", "a/b-c", "a/b.c", "a/c/d", NULL});
    expect_list(&b, "a/", "a0", (const char *[]){NULL});
    expect_list(&b, "a/b", "a/b.c", (const char *[]){NULL});
    put_away(&b);
}

static bool count_to(void *arg, const struct wr_object *obj)
{
    int *left = arg;

    (void)obj;
    T(*left > 0);
    return --*left > 0;
}

static void stop_early(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};

    put_tricky(&b);
    for (int want = 1; want < 4; want++) {
        int left = want;
        T_OK(wr_storage_list(b.s, b.c, key_at(&b, ""), WR_STR(""), count_to, &left, &e));
        T(left == 0);
    }
    put_away(&b);
}

struct agree {
    const struct bench *b;
    size_t n;
};

static bool agrees_with_stat(void *arg, const struct wr_object *obj)
{
    struct agree *a = arg;
    struct wr_err e = {0};
    struct wr_object about = {0};

    T_OK(wr_storage_stat(a->b->s, a->b->c, obj->key, &about, &e));
    T(about.size == obj->size);
    T(wr_str_eq(about.version, obj->version));
    a->n++;
    return true;
}

static void listing_agrees_with_stat(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct agree a = {.b = &b};

    put_text(&b, "dir/a", "");
    put_text(&b, "dir/b", "22");
    put_text(&b, "dir/c", "333");
    T_OK(wr_storage_list(b.s, b.c, key_at(&b, "dir/"), WR_STR(""), agrees_with_stat, &a, &e));
    T(a.n == 3);
    put_away(&b);
}

static bool remove_each(void *arg, const struct wr_object *obj)
{
    struct agree *a = arg;
    struct wr_err e = {0};
    struct wr_str key = wr_arena_str(a->b->c->scratch, obj->key);

    T_OK(wr_storage_remove(a->b->s, a->b->c, &key, 1, &e));
    T(wr_str_eq(key, obj->key)); /* the object lives until the callback returns */
    a->n++;
    return true;
}

static void callback_may_use_the_bucket(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct agree a = {.b = &b};

    put_tricky(&b);
    T_OK(wr_storage_list(b.s, b.c, key_at(&b, ""), WR_STR(""), remove_each, &a, &e));
    T(a.n == wr_countof(tricky) - 1);
    expect_list(&b, "", "", (const char *[]){NULL});
    put_away(&b);
}

/* More than one page of any remote. */
static void many_objects(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    size_t n = b.f->many ? b.f->many : 2500;
    const char **names = wr_arena_array(b.c->scratch, n + 1, sizeof(*names));
    struct wr_str *keys = wr_arena_array(b.c->scratch, n, sizeof(*keys));

    T(names && keys);
    for (size_t i = 0; i < n; i++) {
        names[i] = wr_arena_fmt(b.c->scratch, "0000/%016zx-%016zx.ltx", i, i).p;
        T(names[i] != NULL);
        keys[i] = key_at(&b, names[i]);
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = i * 7919 % n; /* a prime: all of them, mixed */
        T_OK(wr_storage_put(b.s, b.c, keys[n % 7919 ? at : i], text_of("x"), NULL, &e));
    }
    expect_list(&b, "0000/", "", names);
    expect_list(&b, "0000/", names[n / 2], names + n / 2 + 1);
    T_OK(wr_storage_remove(b.s, b.c, keys, n, &e));
    expect_list(&b, "", "", (const char *[]){NULL});
    put_away(&b);
}

/* ---- a model: a table of every key there can be ---- */

#define MODEL_KEYS 40

struct model {
    char names[MODEL_KEYS][16]; /* sorted */
    int content[MODEL_KEYS];    /* -1: absent, else the length of the object */
};

/* No name may be a directory of another, which file systems cannot have. */
static void model_init(struct model *m)
{
    static const char *const dirs[] = {"a/", "a-", "b/c/", "b/c.", "b0/"};

    for (size_t i = 0; i < MODEL_KEYS; i++) {
        (void)snprintf(
            m->names[i], sizeof(m->names[i]), "%s%c%zu", dirs[i % 5], "-.0Az"[i / 5 % 5], i);
        m->content[i] = -1;
    }
    for (size_t i = 1; i < MODEL_KEYS; i++) {
        for (size_t k = i; k > 0 && strcmp(m->names[k - 1], m->names[k]) > 0; k--) {
            char swap[16];
            memcpy(swap, m->names[k], 16);
            memcpy(m->names[k], m->names[k - 1], 16);
            memcpy(m->names[k - 1], swap, 16);
        }
    }
}

static void model_list(const struct bench *b, const struct model *m, struct wr_rand *r)
{
    static const char *const prefixes[] = {"", "a", "a/", "b", "b/", "b/c", "b/c/", "b/c.", "c"};
    const char *prefix = prefixes[wr_rand_below(r, wr_countof(prefixes))];
    const char *after = wr_rand_below(r, 2) ? m->names[wr_rand_below(r, MODEL_KEYS)] : "";
    const char *want[MODEL_KEYS + 1];
    size_t n = 0;

    for (size_t i = 0; i < MODEL_KEYS; i++) {
        if (m->content[i] >= 0 && strncmp(m->names[i], prefix, strlen(prefix)) == 0 &&
            strcmp(m->names[i], after) > 0)
            want[n++] = m->names[i];
    }
    want[n] = NULL;
    expect_list(b, prefix, after, want);
}

static void random_history(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct model m;
    struct wr_rand r;
    char text[64];

    wr_rand_init(&r, t_seed());
    model_init(&m);
    memset(text, 't', sizeof(text));
    for (int step = 0; step < (b.f->slow ? 100 : 600); step++) {
        size_t i = (size_t)wr_rand_below(&r, MODEL_KEYS);
        struct wr_str key = key_at(&b, m.names[i]);
        size_t n = (size_t)wr_rand_below(&r, sizeof(text));

        switch (wr_rand_below(&r, 4)) {
        case 0:
        case 1:
            T_OK(wr_storage_put(b.s, b.c, key, (struct wr_bytes){(uint8_t *)text, n}, NULL, &e));
            m.content[i] = (int)n;
            break;
        case 2:
            T_OK(wr_storage_remove(b.s, b.c, &key, 1, &e));
            m.content[i] = -1;
            break;
        default:
            model_list(&b, &m, &r);
            break;
        }
        if (m.content[i] < 0)
            expect_absent(&b, m.names[i]);
        else
            expect_bytes(&b, key, (struct wr_bytes){(uint8_t *)text, (size_t)m.content[i]});
    }
    put_away(&b);
}

#define CHECK(f)           \
    {                      \
        "contract: " #f, f \
    }
const struct check contract_list_checks[] = {
    CHECK(empty_bucket),
    CHECK(order_is_bytewise),
    CHECK(prefix_selects),
    CHECK(after_excludes),
    CHECK(prefix_and_after),
    CHECK(stop_early),
    CHECK(listing_agrees_with_stat),
    CHECK(callback_may_use_the_bucket),
    CHECK(many_objects),
    CHECK(random_history),
    {NULL, NULL},
};
