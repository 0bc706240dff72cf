/*
 * test_layout.c - names of LTX files in both trees, strictly; listings.
 */
#include "engine/layout.h"

#include "unit/engine/restore_world.h"

static void test_keys(void **state)
{
    struct wr_call *c = t_call();
    struct world w;

    (void)state;
    world_init(&w, WR_STORAGE_LIST_TIME, "my/db/");
    assert_string_equal(wr_layout_ltx_dir(c->scratch, w.storage, 9).p, "my/db/ltx/9/");
    assert_string_equal(wr_layout_ltx_key(c->scratch, w.storage, 0, 1, 0x2a).p,
        "my/db/ltx/0/0000000000000001-000000000000002a.ltx");
    world_release(&w);

    world_init(&w, WR_STORAGE_HEX_LEVELS, "./");
    assert_string_equal(wr_layout_ltx_dir(c->scratch, w.storage, 9).p, "./0009/");
    assert_string_equal(wr_layout_ltx_key(c->scratch, w.storage, 1, 1, UINT64_MAX).p,
        "./0001/0000000000000001-ffffffffffffffff.ltx");
    world_release(&w);
}

static void test_parse_takes_back_what_was_built(void **state)
{
    const unsigned caps[] = {0, WR_STORAGE_HEX_LEVELS};
    const char *const prefixes[] = {"", "a/b/", "./"};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (size_t k = 0; k < 6; k++) {
        struct world w;

        world_init(&w, caps[k % 2], prefixes[k / 2]);
        for (int i = 0; i < 200; i++) {
            unsigned level = (unsigned)wr_rand_below(&r, 10);
            uint64_t min = (wr_rand_u64(&r) >> wr_rand_below(&r, 64)) | 1;
            uint64_t max = min + wr_rand_below(&r, UINT64_MAX - min);
            struct wr_call *c = t_call();
            struct wr_str key = wr_layout_ltx_key(c->scratch, w.storage, level, min, max);
            struct wr_ltx_file f = {.size = 5, .time_ms = 6};
            char name[WR_LAYOUT_NAME_MAX];

            T(wr_layout_ltx_parse(w.storage, key, &f));
            wr_layout_name(name, &f);
            T(wr_str_ends(key, wr_str(name)) && key.p[key.n - strlen(name) - 1] == '/');
            T(f.level == level && f.min == min && f.max == max && f.size == 5 && f.time_ms == 6);
        }
        world_release(&w);
    }
}

static void test_parse_is_strict(void **state)
{
    static const char *const bad[] = {
        "",
        "p/",
        "p/ltx/",
        "p/ltx/0",
        "p/ltx/0/",
        "ltx/0/0000000000000001-0000000000000001.ltx",
        "p/ltx/10/0000000000000001-0000000000000001.ltx",
        "p/ltx/00/0000000000000001-0000000000000001.ltx",
        "p/ltx//0000000000000001-0000000000000001.ltx",
        "p/ltx/a/0000000000000001-0000000000000001.ltx",
        "p/0000/0000000000000001-0000000000000001.ltx",
        "p/ltx/0/x/0000000000000001-0000000000000001.ltx",
        "p/ltx/0/0000000000000001-0000000000000001.ltx.tmp",
        "p/ltx/0/0000000000000001-000000000000001.ltx",
        "p/ltx/0/0000000000000001-000000000000000A.ltx",
        "p/ltx/0/0000000000000000-0000000000000001.ltx",
        "p/ltx/0/0000000000000002-0000000000000001.ltx",
        "p/ltx/0/ 000000000000001-0000000000000001.ltx",
    };
    static const char *const bad_hex[] = {
        "p/ltx/0/0000000000000001-0000000000000001.ltx",
        "p/000a/0000000000000001-0000000000000001.ltx",
        "p/0010/0000000000000001-0000000000000001.ltx",
        "p/00000/0000000000000001-0000000000000001.ltx",
        "p/000/0000000000000001-0000000000000001.ltx",
    };
    struct wr_ltx_file f = {.level = 3};
    struct world w;

    (void)state;
    world_init(&w, 0, "p/");
    for (size_t i = 0; i < wr_countof(bad); i++)
        T(!wr_layout_ltx_parse(w.storage, wr_str(bad[i]), &f));
    T(f.level == 3 && f.min == 0 && f.max == 0);
    world_release(&w);
    world_init(&w, WR_STORAGE_HEX_LEVELS, "p/");
    for (size_t i = 0; i < wr_countof(bad_hex); i++)
        T(!wr_layout_ltx_parse(w.storage, wr_str(bad_hex[i]), &f));
    world_release(&w);
}

/* Objects of level `level` as listed: their minima. */
static void check_list(
    struct world *w, unsigned level, uint64_t from, const uint64_t *want, size_t n)
{
    struct wr_ltx_files files = {0};
    struct wr_err e = {0};

    T_OK(wr_layout_list(w->storage, t_call(), level, from, &files, &e));
    assert_int_equal(files.n, n);
    for (size_t i = 0; i < n; i++)
        T(files.p[i].level == level && files.p[i].min == want[i]);
    wr_ltx_files_release(&files);
    T(!files.p && files.n == 0);
}

static void test_list(void **state)
{
    const unsigned caps[] = {WR_STORAGE_LIST_TIME, WR_STORAGE_HEX_LEVELS};

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct wr_call *c = t_call();
        struct world w;
        struct wr_ltx_files files = {0};
        struct wr_err e = {0};
        const struct wr_bytes body = {(const uint8_t *)"12345", 5};

        world_init(&w, caps[k], "p/");
        check_list(&w, 0, 0, NULL, 0); /* nobody has ever written there */
        world_store(&w, wr_layout_ltx_key(c->scratch, w.storage, 0, 5, 9), body, 50);
        world_store(&w, wr_layout_ltx_key(c->scratch, w.storage, 0, 5, 5), body, 51);
        world_store(&w, wr_layout_ltx_key(c->scratch, w.storage, 0, 300, 300), body, 52);
        world_store(&w, wr_layout_ltx_key(c->scratch, w.storage, 1, 4, 9), body, 53);
        world_store(&w, wr_layout_ltx_key(c->scratch, w.storage, 9, 1, 9), body, 54);
        world_store(&w, WR_STR("p/ltx/0/readme"), body, 55);
        world_store(&w, WR_STR("p/0000/readme"), body, 55);
        check_list(&w, 0, 0, (const uint64_t[]){5, 5, 300}, 3);
        check_list(&w, 0, 1, (const uint64_t[]){5, 5, 300}, 3);
        check_list(&w, 0, 5, (const uint64_t[]){5, 5, 300}, 3);
        check_list(&w, 0, 6, (const uint64_t[]){300}, 1);
        check_list(&w, 0, 300, (const uint64_t[]){300}, 1);
        check_list(&w, 0, 301, NULL, 0);
        check_list(&w, 0, UINT64_MAX, NULL, 0);
        check_list(&w, 9, 0, (const uint64_t[]){1}, 1);

        T_OK(wr_layout_list_all(w.storage, c, &files, &e));
        T(files.n == 5);
        for (size_t i = 1; i < files.n; i++)
            T(wr_ltx_file_cmp(&files.p[i - 1], &files.p[i]) < 0);
        T(files.p[0].max == 5 && files.p[0].size == 5 && files.p[0].time_ms == 51);
        wr_ltx_files_release(&files);

        world_fail(&w, 1, 1, WR_IO);
        T_IS(WR_IO, wr_layout_list_all(w.storage, c, &files, &e));
        wr_ltx_files_release(&files);
        world_release(&w);
    }
    wr_ltx_files_release(NULL);
}

/* A file in each level. */
static void store_one_each(struct world *w)
{
    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++)
        world_store(w, wr_layout_ltx_key(t_call()->scratch, w->storage, level, 1, level + 1),
            (struct wr_bytes){0}, 1);
}

/* Ten levels were ten requests, one after the other, wherever all was listed: a start waited for
 * twenty, and a replica that was written to paid for some five hundred a day. */
static void test_each_level_was_a_request(void **state)
{
    const unsigned caps[] = {WR_STORAGE_LIST_TIME, WR_STORAGE_HEX_LEVELS};

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct wr_call *c = t_call();
        struct wr_ltx_files files = {0};
        struct wr_err e = {0};
        struct world w;

        world_init(&w, caps[k], "p/");
        store_one_each(&w);
        /* Neighbours that are no levels. */
        world_store(&w, WR_STR("p/000"), (struct wr_bytes){0}, 1);
        world_store(
            &w, WR_STR("p/000a/0000000000000001-0000000000000001.ltx"), (struct wr_bytes){0}, 1);
        world_store(
            &w, WR_STR("p/ltx/x/0000000000000001-0000000000000001.ltx"), (struct wr_bytes){0}, 1);
        world_fail(&w, 0, 0, WR_OK);
        T_OK(wr_layout_list_all(w.storage, c, &files, &e));
        assert_int_equal(w.requests, 1);
        assert_int_equal(files.n, WR_LEVEL_MAX + 1);
        wr_ltx_files_release(&files);
        world_release(&w);
    }
}

/* By brute force: of each level what begins there or later. */
static void check_since(
    struct world *w, const struct wr_ltx_files *all, const uint64_t from[WR_LEVEL_MAX + 1])
{
    struct wr_ltx_files files = {0};
    struct wr_err e = {0};
    size_t n = 0;

    world_fail(w, 0, 0, WR_OK);
    T_OK(wr_layout_list_since(w->storage, t_call(), from, &files, &e));
    for (size_t i = 0; i < all->n; i++) {
        if (all->p[i].min < from[all->p[i].level])
            continue;
        T(n < files.n && wr_ltx_file_cmp(&files.p[n], &all->p[i]) == 0);
        n++;
    }
    assert_int_equal(files.n, n);
    T(w->requests <= WR_LEVEL_MAX + 1);
    wr_ltx_files_release(&files);
}

/* Old files that are few are read over, many are leapt over. */
static void test_list_since(void **state)
{
    const unsigned caps[] = {WR_STORAGE_LIST_TIME, WR_STORAGE_HEX_LEVELS};
    static const unsigned held[WR_LEVEL_MAX + 1] = {900, 700, 20, 501, 0, 0, 0, 3, 0, 600};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (size_t k = 0; k < 2; k++) {
        struct wr_ltx_files all = {0};
        uint64_t from[WR_LEVEL_MAX + 1] = {0};
        struct wr_err e = {0};
        struct world w;

        world_init(&w, caps[k], "");
        for (unsigned level = 0; level <= WR_LEVEL_MAX; level++) {
            for (uint64_t i = 1; i <= held[level]; i++)
                world_store(&w, wr_layout_ltx_key(t_call()->scratch, w.storage, level, i, i),
                    (struct wr_bytes){0}, 1);
        }
        T_OK(wr_layout_list_all(w.storage, t_call(), &all, &e));
        assert_int_equal(all.n, 2724);
        check_since(&w, &all, from);
        assert_int_equal(w.requests, 1);
        /* A page is a thousand keys: those of level 1 are leapt over, those of level 2 are not. */
        memcpy(from, (uint64_t[]){890, 700, 20}, 3 * sizeof(*from));
        check_since(&w, &all, from);
        assert_int_equal(w.requests, 2);
        for (unsigned level = 0; level <= WR_LEVEL_MAX; level++)
            from[level] = UINT64_MAX;
        check_since(&w, &all, from);
        for (int i = 0; i < 30; i++) {
            for (unsigned level = 0; level <= WR_LEVEL_MAX; level++)
                from[level] = wr_rand_below(&r, 3) ? wr_rand_below(&r, 1000) : 0;
            check_since(&w, &all, from);
        }
        wr_ltx_files_release(&all);
        world_release(&w);
    }
}

/* Before the levels, between them, in them, and behind them. */
static void test_the_keys_of_strangers_are_leapt_over(void **state)
{
    static const char *const hex[] = {"p/000-", "p/00012/", "p/0001/", "p/0009x"};
    static const char *const plain[] = {"p/ltx/-", "p/ltx/12/", "p/ltx/1/", "p/ltx/9x"};

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct wr_call *c = t_call();
        struct wr_ltx_files files = {0};
        struct wr_err e = {0};
        struct world w;
        char key[32];

        world_init(&w, k ? WR_STORAGE_HEX_LEVELS : 0, "p/");
        store_one_each(&w);
        for (unsigned i = 0; i < 4 * 1500; i++) {
            (void)snprintf(key, sizeof(key), "%s%04u", k ? hex[i % 4] : plain[i % 4], i / 4);
            world_store(&w, wr_str(key), (struct wr_bytes){0}, 1);
        }
        world_fail(&w, 0, 0, WR_OK);
        T_OK(wr_layout_list_all(w.storage, c, &files, &e));
        assert_int_equal(w.requests, 3); /* what is in a level is read over */
        assert_int_equal(files.n, WR_LEVEL_MAX + 1);
        for (size_t i = 0; i < files.n; i++)
            T(files.p[i].level == i);
        wr_ltx_files_release(&files);
        world_release(&w);
    }
}

/* Without WR_STORAGE_LIST_TIME each file is asked for its time; a vanished one keeps its own. */
static void test_times(void **state)
{
    const struct wr_bytes body = {(const uint8_t *)"12345", 5};
    struct wr_call *c = t_call();
    struct wr_ltx_files files = {0};
    struct wr_err e = {0};
    struct world w;

    (void)state;
    world_init(&w, 0, "");
    for (uint64_t i = 1; i <= 50; i++)
        world_store(&w, wr_layout_ltx_key(c->scratch, w.storage, 0, i, i), body, (int64_t)i * 10);
    T_OK(wr_layout_list(w.storage, c, 0, 0, &files, &e));
    world_remove_key(&w, wr_layout_ltx_key(c->scratch, w.storage, 0, 7, 7));
    for (unsigned threads = 1; threads <= 8; threads += 7) {
        for (size_t i = 0; i < files.n; i++)
            files.p[i].time_ms = 3;
        world_fail(&w, 0, 0, WR_OK);
        T_OK(wr_layout_times(w.storage, c, files.p, NULL, files.n, threads, &e));
        T(w.requests == 50);
        for (size_t i = 0; i < files.n; i++)
            T(files.p[i].time_ms == (i == 6 ? 3 : (int64_t)(i + 1) * 10));
    }
    files.p[3].time_ms = files.p[4].time_ms = 3;
    world_fail(&w, 0, 0, WR_OK);
    T_OK(wr_layout_times(w.storage, c, files.p, (const size_t[]){4, 9}, 2, 4, &e));
    T(w.requests == 2 && files.p[3].time_ms == 3 && files.p[4].time_ms == 50);
    world_fail(&w, 20, 1, WR_IO);
    T_IS(WR_IO, wr_layout_times(w.storage, c, files.p, NULL, files.n, 4, &e));
    T(strstr(e.text, "time of ltx/0/"));
    T_OK(wr_layout_times(w.storage, c, files.p, NULL, 0, 4, &e));
    wr_ltx_files_release(&files);
    world_release(&w);

    world_init(&w, WR_STORAGE_LIST_TIME, "");
    T_OK(wr_layout_times(w.storage, c, &(struct wr_ltx_file){.min = 1, .max = 1}, NULL, 1, 4, &e));
    T(w.requests == 0);
    world_release(&w);
}

static enum wr_status list_body(void *arg)
{
    struct world *w = arg;
    struct wr_ltx_files files = {0};
    struct wr_err e = {0};
    enum wr_status st = wr_layout_list_all(w->storage, t_call(), &files, &e);

    if (st == WR_OK)
        st = wr_layout_times(w->storage, t_call(), files.p, NULL, files.n, 1, &e);
    wr_ltx_files_release(&files);
    return st;
}

static void test_nomem(void **state)
{
    struct wr_call *c = t_call();
    struct world w;

    (void)state;
    world_init(&w, 0, "p/");
    for (uint64_t i = 1; i <= 70; i++)
        world_store(&w, wr_layout_ltx_key(c->scratch, w.storage, 2, i, i), (struct wr_bytes){0}, 1);
    t_sweep_nomem(list_body, &w);
    world_release(&w);
}

/* ---- a store that is slow, or never comes to an end ---- */

struct slow {
    struct wr_clock_manual clock;
    uint64_t keys; /* LTX files, each of which takes 50 s; 0: other objects, and no end */
};

/* The next number of as many digits. */
static void count_up(char *digits, size_t n)
{
    while (n > 0 && ++digits[--n] > '9')
        digits[n] = '0';
}

static enum wr_status slow_list(void *self, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    struct slow *s = self;
    char key[100];
    struct wr_object obj = {.size = 500};
    enum wr_status st = WR_OK;

    (void)after;
    (void)snprintf(key, sizeof(key), WR_FMT "00000000.tmp", WR_ARG(prefix));
    obj.key = wr_str(key);
    while (s->keys == 0) {
        count_up(key + prefix.n, 8);
        if (!fn(arg, &obj))
            return WR_OK;
    }
    for (unsigned i = 1; i <= s->keys && st == WR_OK; i++) {
        wr_clock_manual_advance(&s->clock, (int64_t)50 * 1000000000);
        (void)snprintf(key, sizeof(key), WR_FMT "0/%016x-%016x.ltx", WR_ARG(prefix), i, i);
        obj.key = wr_str(key);
        st = wr_call_check(c, "page", e);
        if (st == WR_OK && !fn(arg, &obj))
            break;
    }
    return st;
}

static void slow_close(void *self)
{
    (void)self;
}

static struct wr_storage *slow_open(struct slow *s, struct wr_storage_ops *ops)
{
    struct wr_storage *h = NULL;
    struct wr_err e = {0};

    wr_clock_manual_init(&s->clock, 0);
    *ops = (struct wr_storage_ops){.scheme = "slow", .close = slow_close, .list = slow_list};
    T_OK(wr_storage_wrap(ops, s, WR_STR(""), &h, &e));
    wr_storage_set_retry(h, 1, 0);
    return h;
}

/* Two minutes were all there was for any number of pages: a replica of 900,000 files was never
 * listed to its end. */
static void test_a_long_listing_has_the_time_it_takes(void **state)
{
    struct slow slow = {.keys = 20};
    struct wr_storage_ops ops;
    struct wr_storage *s = slow_open(&slow, &ops);
    struct wr_ltx_files files = {0};
    struct wr_call c = *t_call();
    struct wr_err e = {0};

    (void)state;
    c.clock = &slow.clock.clock;
    c.deadline_ms = 120 * 1000;
    T_OK(wr_layout_list_all(s, &c, &files, &e));
    assert_int_equal(files.n, 20);
    wr_ltx_files_release(&files);
    c.deadline_ms = wr_mono_ms(c.clock) + 40 * 1000; /* but not for ever for one */
    T_IS(WR_TIMEOUT, wr_layout_list_all(s, &c, &files, &e));
    assert_int_equal(files.n, 0);
    wr_storage_close(s);
}

static void test_a_listing_without_an_end_is_given_up(void **state)
{
    struct slow slow = {.keys = 0};
    struct wr_storage_ops ops;
    struct wr_storage *s = slow_open(&slow, &ops);
    struct wr_ltx_files files = {0};
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_LIMIT, wr_layout_list(s, t_call(), 0, 0, &files, &e));
    assert_int_equal(files.n, 0);
    wr_storage_close(s);
}

T_MAIN(T_TEST(test_keys), T_TEST(test_parse_takes_back_what_was_built),
    T_TEST(test_parse_is_strict), T_TEST(test_list), T_TEST(test_each_level_was_a_request),
    T_TEST(test_list_since), T_TEST(test_the_keys_of_strangers_are_leapt_over), T_TEST(test_times),
    T_TEST(test_nomem), T_TEST(test_a_long_listing_has_the_time_it_takes),
    T_TEST(test_a_listing_without_an_end_is_given_up))
