/*
 * test_stored.c - which databases there are below a prefix, by keys alone.
 */
#include "engine/stored.h"

#include "engine/layout.h"
#include "unit/engine/restore_world.h"

#include "base/buf.h"

#define LTX "0000000000000001-0000000000000001.ltx"

struct told {
    struct wr_buf text; /* "name " or "!name " */
    size_t n, enough;
};

static bool note(void *arg, const char *name, bool tame)
{
    struct told *t = arg;

    wr_buf_fmt(&t->text, "%s%s ", tame ? "" : "!", name);
    return ++t->n != t->enough;
}

static void put(struct world *w, const char *key)
{
    world_store(w, wr_str(key), (struct wr_bytes){(const uint8_t *)"x", 1}, 1000);
}

static enum wr_status find(struct world *w, struct told *t, struct wr_err *e)
{
    enum wr_status st;

    wr_buf_init(&t->text, (size_t)64 << 20);
    t->n = 0;
    st = wr_stored_find(w->storage, t_call(), note, t, e);
    wr_buf_byte(&t->text, 0);
    return st;
}

static void check(struct world *w, const char *want)
{
    struct told t = {0};
    struct wr_err e = {0};

    T_OK(find(w, &t, &e));
    assert_string_equal((const char *)t.text.p, want);
    wr_buf_release(&t.text);
}

static void test_both_trees_and_legacy(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, WR_STORAGE_HEX_LEVELS, "fleet/");
    check(&w, "");
    put(&w, "fleet/b.db/0000/" LTX);
    put(&w, "fleet/b.db/0009/" LTX);
    put(&w, "fleet/a/x.db/0001/" LTX);
    put(&w, "fleet/old.db/generations/0123456789abcdef/snapshots/00000000.snapshot.lz4");
    put(&w, "fleet/wal only.db/generations/0123456789abcdef/wal/00000000_00000000.wal.lz4");
    put(&w, "fleet/0000/" LTX);           /* a replica of its own */
    put(&w, "fleet/ltx.db/ltx/0/" LTX);   /* the other tree */
    put(&w, "fleet/no.db/000a/" LTX);     /* no level */
    put(&w, "fleet/no.db/00000/" LTX);    /* likewise */
    put(&w, "fleet/no.db/0000/" LTX "x"); /* no file */
    put(&w, "fleet2/c.db/0000/" LTX);
    put(&w, "fleet/generations/0123456789abcdef/snapshots/00000000.snapshot.lz4");
    put(&w, "fleet/g/xgenerations/0123456789abcdef/snapshots/00000000.snapshot.lz4");
    put(&w, "fleet/g/generations/0123456789abcdeg/snapshots/00000000.snapshot.lz4");
    put(&w, "fleet/x0000/" LTX);
    check(&w, "a/x.db b.db old.db ");
    world_release(&w);

    world_init(&w, WR_STORAGE_LIST_TIME, "");
    put(&w, "a.db/ltx/0/" LTX);
    put(&w, "t/a.db/ltx/9/" LTX);
    put(&w, "ltx/0/" LTX);
    put(&w, "xltx/0/" LTX);
    put(&w, "b.db/0000/" LTX);
    check(&w, "a.db t/a.db ");
    world_release(&w);
}

/* A bucket without a path has its own replica below "./", and others beside it. */
static void test_a_whole_bucket(void **state)
{
    const char *const prefixes[] = {"./", "/"};

    (void)state;
    for (size_t i = 0; i < wr_countof(prefixes); i++) {
        struct world w;

        world_init(&w, WR_STORAGE_HEX_LEVELS, prefixes[i]);
        put(&w, "./0000/" LTX);
        put(&w, "a.db/0000/" LTX);
        put(&w, "t/b.db/0000/" LTX);
        check(&w, "a.db t/b.db ");
        world_release(&w);
    }
}

/* A replica below another one's name splits its keys; each is told once, in order. */
static void test_nested_names(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, WR_STORAGE_LIST_TIME, "");
    put(&w, "a/generations/0123456789abcdef/snapshots/00000000.snapshot.lz4");
    put(&w, "a/k.db/ltx/0/" LTX);
    put(&w, "a/ltx/0/" LTX);
    put(&w, "a-b/ltx/0/" LTX);
    check(&w, "a a-b a/k.db ");
    world_release(&w);
}

static void test_names_that_are_no_paths(void **state)
{
    struct world w;

    (void)state;
    world_init(&w, WR_STORAGE_HEX_LEVELS, "p/");
    put(&w, "p/../x/0000/" LTX);
    put(&w, "p/a//b/0000/" LTX);
    put(&w, "p//etc/passwd/0000/" LTX);
    put(&w, "p/a/./b/0000/" LTX);
    put(&w, "p/a/../../b/0000/" LTX);
    put(&w, "p/bell\a/0000/" LTX);
    put(&w, "p/bad\xff/0000/" LTX);
    put(&w, "p/del\x7f/0000/" LTX);
    put(&w, "p/...hidden/a..b/0000/" LTX);
    put(&w, "p/csi\xc2\x9b\x32J/0000/" LTX);
    put(&w, "p/nbsp\xc2\xa0/0000/" LTX);
    put(&w, "p/gr\xc3\xbc\xc3\x9f/0000/" LTX);
    check(&w, "...hidden/a..b !../x !/etc/passwd !a/../../b !a/./b !a//b bad\xff !bell\a "
              "!csi\xc2\x9b\x32J "
              "!del\x7f gr\xc3\xbc\xc3\x9f nbsp\xc2\xa0 ");
    world_release(&w);
}

/* A level of many files is left after a page of them, and nothing behind it is missed. */
static void test_long_levels_are_left(void **state)
{
    struct told t = {0};
    struct wr_err e = {0};
    struct world w;
    char key[100];
    struct wr_storage_counts n;

    (void)state;
    world_init(&w, WR_STORAGE_HEX_LEVELS, "p/");
    for (unsigned i = 1; i <= 5000; i++) {
        (void)snprintf(key, sizeof(key), "p/a/0000/%016x-%016x.ltx", i, i);
        put(&w, key);
    }
    put(&w, "p/a/0000/zz/b.db/0000/" LTX); /* a stranger's, and below a level: not looked for */
    put(&w, "p/a/0001/" LTX);
    put(&w, "p/a/00000/c.db/0000/" LTX);
    put(&w, "p/b.db/0000/" LTX);
    T_OK(find(&w, &t, &e));
    assert_string_equal((const char *)t.text.p, "a a/00000/c.db b.db ");
    wr_buf_release(&t.text);
    wr_storage_counts(w.storage, &n);
    assert_int_equal(n.list, 2);
    world_release(&w);
}

static void test_enough(void **state)
{
    struct told t = {.enough = 1};
    struct wr_err e = {0};
    struct world w;

    (void)state;
    world_init(&w, WR_STORAGE_HEX_LEVELS, "p/");
    put(&w, "p/a/0000/" LTX);
    put(&w, "p/b/0000/" LTX);
    T_OK(find(&w, &t, &e));
    assert_string_equal((const char *)t.text.p, "a ");
    wr_buf_release(&t.text);
    world_release(&w);
}

static enum wr_status many(void *self, struct wr_call *c, struct wr_str prefix, struct wr_str after,
    wr_list_fn *fn, void *arg, struct wr_err *e)
{
    const unsigned *count = self;
    char key[64];

    (void)c;
    (void)prefix;
    (void)after;
    (void)e;
    for (unsigned i = 0; i < *count; i++) {
        struct wr_object o = {.size = 1};

        (void)snprintf(key, sizeof(key), "p/%08u/0000/" LTX, i);
        o.key = wr_str(key);
        if (!fn(arg, &o))
            break;
    }
    return WR_OK;
}

static void close_nothing(void *self)
{
    (void)self;
}

static void test_there_is_a_limit(void **state)
{
    const struct wr_storage_ops ops = {
        .scheme = "many", .caps = WR_STORAGE_HEX_LEVELS, .list = many, .close = close_nothing};
    unsigned count = WR_STORED_MAX;
    struct world w = {0};
    struct told t = {.enough = 1};
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_storage_wrap(&ops, &count, WR_STR("p/"), &w.storage, &e));
    T_OK(find(&w, &t, &e));
    wr_buf_release(&t.text);
    count++;
    assert_int_equal(find(&w, &t, &e), WR_LIMIT);
    assert_int_equal(t.n, 0);
    wr_buf_release(&t.text);
    wr_storage_close(w.storage);
}

/* With a deadline, each key that comes moves it. */
static void test_a_deadline_is_for_the_next_key(void **state)
{
    struct wr_call c = *t_call();
    struct told t = {0};
    struct wr_err e = {0};
    struct world w;

    (void)state;
    world_init(&w, WR_STORAGE_HEX_LEVELS, "p/");
    put(&w, "p/a/0000/" LTX);
    c.deadline_ms = wr_mono_ms(c.clock) + 60000;
    wr_buf_init(&t.text, 100);
    T_OK(wr_stored_find(w.storage, &c, note, &t, &e));
    wr_buf_release(&t.text);
    world_release(&w);
}

static enum wr_status sweep(void *arg)
{
    struct told t = {0};
    struct wr_err e = {0};
    enum wr_status st;

    wr_buf_init(&t.text, 0);
    st = wr_stored_find(((struct world *)arg)->storage, t_call(), note, &t, &e);
    wr_buf_release(&t.text);
    return st;
}

static void test_nomem(void **state)
{
    struct world w;
    char key[100];

    (void)state;
    world_init(&w, WR_STORAGE_HEX_LEVELS, "p/");
    for (unsigned i = 0; i < 70; i++) {
        (void)snprintf(key, sizeof(key), "p/%u/0000/" LTX, i);
        put(&w, key);
    }
    for (unsigned i = 1; i <= 1001; i++) {
        (void)snprintf(key, sizeof(key), "p/zz/0000/%016x-%016x.ltx", i, i);
        put(&w, key);
    }
    t_sweep_nomem(sweep, &w);
    world_release(&w);
}

T_MAIN(T_TEST(test_both_trees_and_legacy), T_TEST(test_a_whole_bucket), T_TEST(test_nested_names),
    T_TEST(test_names_that_are_no_paths), T_TEST(test_long_levels_are_left), T_TEST(test_enough),
    T_TEST(test_there_is_a_limit), T_TEST(test_a_deadline_is_for_the_next_key), T_TEST(test_nomem))
