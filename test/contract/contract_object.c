/*
 * contract_object.c - checks of single objects: put, get, stat, remove, times, cancellation.
 */
#include "contract/contract_int.h"

#include "base/mem.h"
#include "base/rand.h"

/* ---- put, get, stat ---- */

static void put_then_get(void **state)
{
    struct bench b = take_out(state);

    put_text(&b, "dir/hello", "world");
    expect_text(&b, "dir/hello", "world");
    put_away(&b);
}

static void stat_describes(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_object about = {0};
    struct wr_str key = key_at(&b, "dir/hello");

    put_text(&b, "dir/hello", "world");
    T_OK(wr_storage_stat(b.s, b.c, key, &about, &e));
    T(wr_str_eq(about.key, key));
    T(about.size == 5);
    if (wr_storage_caps(b.s) & WR_STORAGE_COND_PUT)
        T(about.version.n > 0);
    put_away(&b);
}

static void empty_object(void **state)
{
    struct bench b = take_out(state);

    put_text(&b, "dir/nothing", "");
    expect_text(&b, "dir/nothing", "");
    expect_list(&b, "", "", (const char *[]){"dir/nothing", NULL});
    put_away(&b);
}

static void missing_is_notfound(void **state)
{
    struct bench b = take_out(state);

    expect_absent(&b, "dir/missing");
    put_text(&b, "dir/present", "x");
    expect_absent(&b, "dir/missing");
    expect_absent(&b, "dir/presen");
    expect_absent(&b, "dir/present2");
    put_away(&b);
}

static void directory_is_no_object(void **state)
{
    struct bench b = take_out(state);

    put_text(&b, "dir/sub/object", "x");
    expect_absent(&b, "dir");
    expect_absent(&b, "dir/sub");
    put_away(&b);
}

static void nothing_below_an_object(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_str key;

    put_text(&b, "dir/object", "x");
    expect_absent(&b, "dir/object/below");
    expect_list(&b, "dir/object/", "", (const char *[]){NULL});
    key = key_at(&b, "dir/object/below/more");
    T_OK(wr_storage_remove(b.s, b.c, &key, 1, &e));
    expect_text(&b, "dir/object", "x");
    put_away(&b);
}

static size_t get_some(const struct bench *b, const char *name, uint64_t off, size_t n, char *out)
{
    struct wr_err e = {0};
    size_t got = SIZE_MAX;

    memset(out, '#', n);
    T_OK(wr_storage_get(b->s, b->c, key_at(b, name), off, out, n, &got, &e));
    T(got <= n);
    return got;
}

static void get_ranges(void **state)
{
    struct bench b = take_out(state);
    char out[32];

    put_text(&b, "dir/o", "0123456789");
    T(get_some(&b, "dir/o", 3, 4, out) == 4 && memcmp(out, "3456", 4) == 0);
    T(get_some(&b, "dir/o", 0, 1, out) == 1 && out[0] == '0');
    T(get_some(&b, "dir/o", 9, 1, out) == 1 && out[0] == '9');
    T(get_some(&b, "dir/o", 0, 10, out) == 10);
    T(get_some(&b, "dir/o", 5, 5, out) == 5 && memcmp(out, "56789", 5) == 0);
    put_away(&b);
}

/* As stat tells it, if at all: that one is to be told from another that has taken its place. */
static void get_tells_the_version(void **state)
{
    struct bench b = take_out(state);
    static const char *const texts[] = {"0123456789", "9876543210"};
    struct wr_str was = {NULL, 0};

    for (size_t i = 0; i < 2; i++) {
        struct wr_object is = {0};
        struct wr_str version = {NULL, 0};
        struct wr_err e = {0};
        size_t got = 0;
        char out[4];

        put_text(&b, "dir/o", texts[i]);
        T_OK(wr_storage_stat(b.s, b.c, key_at(&b, "dir/o"), &is, &e));
        T_OK(wr_storage_get_version(
            b.s, b.c, key_at(&b, "dir/o"), 3, out, sizeof(out), &got, &version, &e));
        T(got == 4 && memcmp(out, texts[i] + 3, 4) == 0 && version.p);
        T(version.n == 0 || wr_str_eq(version, is.version));
        T(version.n == 0 || !wr_str_eq(version, was));
        was = version;
    }
    put_away(&b);
}

static void get_past_the_end(void **state)
{
    struct bench b = take_out(state);
    char out[32];

    put_text(&b, "dir/o", "0123456789");
    T(get_some(&b, "dir/o", 7, 30, out) == 3 && memcmp(out, "789#", 4) == 0);
    T(get_some(&b, "dir/o", 10, 5, out) == 0);
    T(get_some(&b, "dir/o", 11, 5, out) == 0);
    T(get_some(&b, "dir/o", (uint64_t)1 << 40, 5, out) == 0);
    T(out[0] == '#');
    put_away(&b);
}

static void overwrite_replaces_all(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_object first = {0}, second = {0};

    put_text(&b, "dir/o", "a rather long text");
    T_OK(wr_storage_stat(b.s, b.c, key_at(&b, "dir/o"), &first, &e));
    put_text(&b, "dir/o", "short");
    expect_text(&b, "dir/o", "short");
    T_OK(wr_storage_stat(b.s, b.c, key_at(&b, "dir/o"), &second, &e));
    if (wr_storage_caps(b.s) & WR_STORAGE_COND_PUT)
        T(!wr_str_eq(first.version, second.version));
    expect_list(&b, "", "", (const char *[]){"dir/o", NULL});
    put_away(&b);
}

static void all_bytes_survive(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    uint8_t all[1024];
    struct wr_bytes body = {all, sizeof(all)};

    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (uint8_t)(i < 512 ? i : 13 - i % 4); /* and runs of CR and LF */
    T_OK(wr_storage_put(b.s, b.c, key_at(&b, "dir/o"), body, NULL, &e));
    expect_bytes(&b, key_at(&b, "dir/o"), body);
    put_away(&b);
}

static void random_windows(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_bytes body = noise(&b, b.f->slow ? 100000 : 3000000, 1);
    uint8_t *window = wr_alloc(body.n);
    struct wr_rand r;
    size_t got;

    wr_rand_init(&r, t_seed());
    T_OK(wr_storage_put(b.s, b.c, key_at(&b, "dir/large"), body, NULL, &e));
    expect_bytes(&b, key_at(&b, "dir/large"), body);
    for (int i = 0; i < (b.f->slow ? 5 : 50); i++) {
        size_t off = (size_t)wr_rand_below(&r, body.n + 10);
        size_t n = 1 + (size_t)wr_rand_below(&r, body.n);
        size_t want = off < body.n ? wr_min(n, body.n - off) : 0;
        T_OK(wr_storage_get(b.s, b.c, key_at(&b, "dir/large"), off, window, n, &got, &e));
        T(got == want);
        T(want == 0 || memcmp(window, body.p + off, want) == 0);
    }
    wr_free(window);
    put_away(&b);
}

/* ---- keys ---- */

static void odd_characters(void **state)
{
    /* In the order of their bytes. */
    static const char *const names[] = {"a b", "a!b", "a\"b", "a#b", "a$b", "a%20b", "a%b", "a&b",
        "a'b", "a(b)", "a*b", "a+b", "a,b", "a;b", "a<b>", "a=b", "a?b", "a@b", "a[b]", "a\\b",
        "a^b", "a`b", "a{b}", "a|b", "a~b", "a\xc3\xa9", "a\xe2\x82\xac", NULL};
    struct bench b = take_out(state);

    for (size_t i = 0; names[i]; i++)
        put_text(&b, names[i], names[i]);
    for (size_t i = 0; names[i]; i++)
        expect_text(&b, names[i], names[i]);
    expect_list(&b, "", "", names);
    put_away(&b);
}

static void case_matters(void **state)
{
    struct bench b = take_out(state);

    put_text(&b, "dir/Key", "upper");
    put_text(&b, "dir/key", "lower");
    expect_text(&b, "dir/Key", "upper");
    expect_text(&b, "dir/key", "lower");
    expect_absent(&b, "DIR/key");
    put_away(&b);
}

static void long_and_deep_keys(void **state)
{
    struct bench b = take_out(state);
    char name[601];

    memset(name, 'k', sizeof(name));
    name[600] = '\0';
    for (size_t i = 100; i < 600; i += 100)
        name[i] = '/';
    put_text(&b, name, "long");
    put_text(&b, "a/b/c/d/e/f/g/h/i/j/k", "deep");
    expect_text(&b, name, "long");
    expect_text(&b, "a/b/c/d/e/f/g/h/i/j/k", "deep");
    expect_list(&b, "", "", (const char *[]){"a/b/c/d/e/f/g/h/i/j/k", name, NULL});
    put_away(&b);
}

static void bad_keys_are_misuse(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_object about;
    char name[1100];
    struct wr_str nul = {"a\0b", 3};
    size_t got;

    memset(name, 'k', sizeof(name));
    struct wr_str bad[] = {WR_STR(""), {name, sizeof(name)}, nul};
    for (size_t i = 0; i < wr_countof(bad); i++) {
        T_IS(WR_MISUSE, wr_storage_put(b.s, b.c, bad[i], text_of("x"), NULL, &e));
        T_IS(WR_MISUSE, wr_storage_stat(b.s, b.c, bad[i], &about, &e));
        T_IS(WR_MISUSE, wr_storage_get(b.s, b.c, bad[i], 0, name, 1, &got, &e));
        T_IS(WR_MISUSE, wr_storage_remove(b.s, b.c, &bad[i], 1, &e));
    }
    put_away(&b);
}

/* ---- times ---- */

static bool copy_time(void *arg, const struct wr_object *obj)
{
    *(int64_t *)arg = obj->time_ms;
    return true;
}

static void times_are_kept(void **state)
{
    static const int64_t times[] = {1763837671428, 946684800001, 1, 4102444800999};
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_str key = key_at(&b, "dir/o");

    for (size_t i = 0; i < wr_countof(times) && !b.f->no_time; i++) {
        struct wr_put_opts o = {.time_ms = times[i]};
        struct wr_object about = {0};
        int64_t listed = 0;

        T_OK(wr_storage_put(b.s, b.c, key, text_of("x"), &o, &e));
        T_OK(wr_storage_stat(b.s, b.c, key, &about, &e));
        T(about.time_ms == times[i]);
        T_OK(wr_storage_list(b.s, b.c, key, WR_STR(""), copy_time, &listed, &e));
        if (wr_storage_caps(b.s) & WR_STORAGE_LIST_TIME)
            T(listed == times[i]);
    }
    put_away(&b);
}

static bool copy_stored(void *arg, const struct wr_object *obj)
{
    *(int64_t *)arg = obj->stored_ms;
    return true;
}

/* When it came is another thing than the time that it is to have. */
static void arrival_is_told(void **state)
{
    const int64_t day_ms = 86400000;
    struct bench b = take_out(state);
    struct wr_put_opts o = {.time_ms = 946684800001};
    int64_t now_ms = wr_wall_ms(b.c->clock), stored = -1;
    struct wr_str key = key_at(&b, "dir/o");
    struct wr_err e = {0};

    T_OK(wr_storage_put(b.s, b.c, key, text_of("x"), &o, &e));
    T_OK(wr_storage_list(b.s, b.c, key, WR_STR(""), copy_stored, &stored, &e));
    T(stored == 0 || (stored > now_ms - day_ms && stored < now_ms + day_ms));
    put_away(&b);
}

static void time_defaults_to_now(void **state)
{
    const int64_t day_ms = 86400000;
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_object about = {0};
    int64_t listed = 0;
    int64_t now_ms = wr_wall_ms(b.c->clock);

    put_text(&b, "dir/o", "x");
    T_OK(wr_storage_stat(b.s, b.c, key_at(&b, "dir/o"), &about, &e));
    T_OK(wr_storage_list(b.s, b.c, key_at(&b, ""), WR_STR(""), copy_time, &listed, &e));
    T(about.time_ms > now_ms - day_ms && about.time_ms < now_ms + day_ms);
    T(listed > now_ms - day_ms && listed < now_ms + day_ms);
    put_away(&b);
}

/* ---- remove ---- */

static void removed_is_gone(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_str key = key_at(&b, "dir/o");

    put_text(&b, "dir/o", "x");
    put_text(&b, "dir/o2", "y");
    T_OK(wr_storage_remove(b.s, b.c, &key, 1, &e));
    expect_absent(&b, "dir/o");
    expect_text(&b, "dir/o2", "y");
    expect_list(&b, "", "", (const char *[]){"dir/o2", NULL});
    put_away(&b);
}

static void removing_the_missing_is_success(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_str keys[3];

    put_text(&b, "dir/o", "x");
    keys[0] = key_at(&b, "no/such/dir/o");
    keys[1] = key_at(&b, "dir/o");
    keys[2] = key_at(&b, "dir/o"); /* gone by then */
    T_OK(wr_storage_remove(b.s, b.c, keys, 3, &e));
    expect_absent(&b, "dir/o");
    T_OK(wr_storage_remove(b.s, b.c, keys, 3, &e));
    T_OK(wr_storage_remove(b.s, b.c, keys, 0, &e));
    put_away(&b);
}

static void removing_a_directory_removes_nothing(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_str key = key_at(&b, "dir");

    put_text(&b, "dir/o", "x");
    T_OK(wr_storage_remove(b.s, b.c, &key, 1, &e));
    expect_text(&b, "dir/o", "x");
    put_away(&b);
}

static void put_after_remove(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_str key = key_at(&b, "dir/o");

    put_text(&b, "dir/o", "one");
    T_OK(wr_storage_remove(b.s, b.c, &key, 1, &e));
    put_text(&b, "dir/o", "two");
    expect_text(&b, "dir/o", "two");
    put_away(&b);
}

/* ---- cancellation, errors, counters ---- */

static bool never(void *arg, const struct wr_object *obj)
{
    (void)arg;
    (void)obj;
    fail_msg("listed after the call had ended");
    return false;
}

static void expect_all(const struct bench *b, struct wr_call *c, enum wr_status want)
{
    struct wr_err e = {0};
    struct wr_object about;
    struct wr_str key = key_at(b, "dir/o"), other = key_at(b, "dir/other");
    char byte;
    size_t got;

    T_IS(want, wr_storage_put(b->s, c, other, text_of("y"), NULL, &e));
    T(e.text[0] != '\0');
    T_IS(want, wr_storage_get(b->s, c, key, 0, &byte, 1, &got, &e));
    T_IS(want, wr_storage_stat(b->s, c, key, &about, &e));
    T_IS(want, wr_storage_remove(b->s, c, &key, 1, &e));
    T_IS(want, wr_storage_list(b->s, c, key_at(b, ""), WR_STR(""), never, NULL, &e));
    expect_text(b, "dir/o", "x");
    expect_absent(b, "dir/other");
}

static void canceled_calls_do_nothing(void **state)
{
    struct bench b = take_out(state);
    struct wr_cancel cancel;
    struct wr_call c = *b.c;

    put_text(&b, "dir/o", "x");
    wr_cancel_init(&cancel);
    c.cancel = &cancel;
    wr_cancel_now(&cancel);
    expect_all(&b, &c, WR_CANCELED);
    wr_cancel_release(&cancel);
    put_away(&b);
}

static void late_calls_do_nothing(void **state)
{
    struct bench b = take_out(state);
    struct wr_call c = *b.c;

    put_text(&b, "dir/o", "x");
    c.deadline_ms = wr_mono_ms(c.clock);
    expect_all(&b, &c, WR_TIMEOUT);
    put_away(&b);
}

static void errors_say_what_and_where(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_object about;

    T_IS(WR_NOTFOUND, wr_storage_stat(b.s, b.c, key_at(&b, "dir/missing"), &about, &e));
    T(e.code == WR_NOTFOUND);
    T(strstr(e.text, "dir/missing") != NULL);
    T(wr_storage_stat(b.s, b.c, key_at(&b, "dir/missing"), &about, NULL) == WR_NOTFOUND);
    put_away(&b);
}

static void requests_are_counted(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_storage_counts before, after;
    struct wr_str key = key_at(&b, "dir/o");

    wr_storage_counts(b.s, &before);
    put_text(&b, "dir/o", "12345");
    expect_text(&b, "dir/o", "12345");
    expect_list(&b, "", "", (const char *[]){"dir/o", NULL});
    T_OK(wr_storage_remove(b.s, b.c, &key, 1, &e));
    wr_storage_counts(b.s, &after);
    T(after.put > before.put && after.get > before.get && after.stat > before.stat);
    T(after.list > before.list && after.remove > before.remove);
    T(after.bytes_up - before.bytes_up >= 5 && after.bytes_down - before.bytes_down == 5);
    put_away(&b);
}

static void another_handle_sees_it(void **state)
{
    struct bench b = take_out(state);
    struct bench other = b;
    struct wr_err e = {0};

    put_text(&b, "dir/o", "kept");
    if (b.f->again) {
        T_OK(b.f->again(b.f->arg, &other.s, &e));
        expect_text(&other, "dir/o", "kept");
        put_text(&other, "dir/p", "from the other");
        wr_storage_close(other.s);
        expect_text(&b, "dir/p", "from the other");
    }
    put_away(&b);
}

#define CHECK(f)           \
    {                      \
        "contract: " #f, f \
    }
const struct check contract_object_checks[] = {
    CHECK(put_then_get),
    CHECK(stat_describes),
    CHECK(empty_object),
    CHECK(missing_is_notfound),
    CHECK(directory_is_no_object),
    CHECK(nothing_below_an_object),
    CHECK(get_ranges),
    CHECK(get_tells_the_version),
    CHECK(get_past_the_end),
    CHECK(overwrite_replaces_all),
    CHECK(all_bytes_survive),
    CHECK(random_windows),
    CHECK(odd_characters),
    CHECK(case_matters),
    CHECK(long_and_deep_keys),
    CHECK(bad_keys_are_misuse),
    CHECK(times_are_kept),
    CHECK(arrival_is_told),
    CHECK(time_defaults_to_now),
    CHECK(removed_is_gone),
    CHECK(removing_the_missing_is_success),
    CHECK(removing_a_directory_removes_nothing),
    CHECK(put_after_remove),
    CHECK(canceled_calls_do_nothing),
    CHECK(late_calls_do_nothing),
    CHECK(errors_say_what_and_where),
    CHECK(requests_are_counted),
    CHECK(another_handle_sees_it),
    {NULL, NULL},
};
