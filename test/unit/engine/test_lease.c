/*
 * test_lease.c - the object that says who may write to a replica: taken once an epoch, whatever
 * races, lost answers and damage there are.
 */
#include "engine/lease.h"

#include "unit/engine/spy_store.h"

static const char NAME[] = "r/lease.json";

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

static void put_text(struct bucket *b, const char *text)
{
    struct wr_err e = {0};

    T_OK(wr_storage_put(b->s, b->c, wr_str(NAME),
        (struct wr_bytes){(const uint8_t *)text, strlen(text)}, NULL, &e));
}

static struct wr_lease_seen look(struct bucket *b)
{
    struct wr_lease_seen seen;
    struct wr_err e = {0};

    T_OK(wr_lease_look(b->s, b->c, &seen, &e));
    return seen;
}

static struct wr_lease take(struct bucket *b, uint64_t node, const char *owner)
{
    struct wr_lease_seen seen = look(b);
    struct wr_lease l = {0};
    struct wr_err e = {0};

    T_OK(wr_lease_take(b->s, b->c, &seen, node, owner, &l, &e));
    return l;
}

static void test_nobody_has_it_at_first(void **state)
{
    struct bucket *b = bucket();
    struct wr_lease l;
    struct wr_lease_seen seen = look(b);
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_NOTFOUND, wr_lease_read(b->s, b->c, &l, &e));
    T(seen.lease.epoch == 0 && seen.version.n == 0);
    T(!wr_lease_lost(&seen.lease, 7));
    wr_storage_close(b->s);
}

static void test_each_taker_has_the_next_epoch(void **state)
{
    struct bucket *b = bucket();
    struct wr_lease l, is;
    struct wr_err e = {0};

    (void)state;
    for (uint64_t i = 1; i <= 4; i++) {
        l = take(b, 0x10 + i, "db2:/srv/app.db");
        T(l.epoch == i && l.node == 0x10 + i && l.since_ms > 0);
        T_OK(wr_lease_read(b->s, b->c, &is, &e));
        T(is.epoch == i && is.node == l.node && is.token == l.token);
        T(is.since_ms == l.since_ms);
        assert_string_equal(is.owner, "db2:/srv/app.db");
        T(!wr_lease_lost(&is, 0x10 + i) && wr_lease_lost(&is, 0x10));
    }
    wr_storage_close(b->s);
}

/* Both have seen the same; one is first. The other one learns who it was. */
static void test_of_two_takers_one_has_it(void **state)
{
    struct bucket *b = bucket();
    struct wr_lease l = {0};
    struct wr_err e = {0};

    (void)state;
    for (int held = 0; held < 3; held++) {
        struct wr_lease_seen seen = look(b);
        struct wr_lease_seen same = seen;

        T_OK(wr_lease_take(b->s, b->c, &seen, 1, "one:/a", &l, &e));
        T_IS(WR_CONFLICT, wr_lease_take(b->s, b->c, &same, 2, "two:/b", &l, &e));
        T(strstr(e.text, "one:/a") != NULL);
        T(look(b).lease.node == 1);
    }
    wr_storage_close(b->s);
}

/* Two of one name, path and moment: they are not taken for each other. */
static void test_takers_that_look_alike_are_not_the_same(void **state)
{
    struct bucket *b = bucket();
    struct wr_lease_seen seen = look(b);
    struct wr_lease l = {0};
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_lease_take(b->s, b->c, &seen, 1, "one:/a", &l, &e));
    T_IS(WR_CONFLICT, wr_lease_take(b->s, b->c, &seen, 1, "one:/a", &l, &e));
    wr_storage_close(b->s);
}

/* It took effect, and nobody said so: the repetition finds its own work. */
static void lose_answers(struct bucket *b, struct wr_lease_seen seen)
{
    struct wr_lease l = {0};
    struct wr_err e = {0};
    uint64_t epoch = seen.lease.epoch;

    b->spy.after_put = WR_TIMEOUT;
    T_OK(wr_lease_take(b->s, b->c, &seen, 9, "nine:/a", &l, &e));
    b->spy.after_put = WR_OK;
    T(l.epoch == epoch + 1);
    T(look(b).lease.node == 9 && look(b).lease.epoch == epoch + 1);
    T(look(b).lease.token == l.token);
}

static void test_an_answer_that_is_lost_does_no_harm(void **state)
{
    struct bucket *b = bucket();

    (void)state;
    lose_answers(b, look(b));
    (void)take(b, 1, "one:/a");
    lose_answers(b, look(b));
    wr_storage_close(b->s);
}

static void test_a_store_that_fails_is_told_of(void **state)
{
    struct bucket *b = bucket();
    struct wr_lease_seen seen = look(b);
    struct wr_lease l = {0};
    struct wr_err e = {0};

    (void)state;
    b->spy.fail_put = WR_AUTH;
    T_IS(WR_AUTH, wr_lease_take(b->s, b->c, &seen, 1, "one:/a", &l, &e));
    T(look(b).lease.epoch == 0);
    b->spy.fail_put = WR_OK;
    (void)take(b, 1, "one:/a");
    b->spy.fail_get = WR_AUTH;
    T_IS(WR_AUTH, wr_lease_read(b->s, b->c, &l, &e));
    T_IS(WR_AUTH, wr_lease_look(b->s, b->c, &seen, &e));
    seen = (struct wr_lease_seen){0};
    T_IS(WR_CONFLICT, wr_lease_take(b->s, b->c, &seen, 2, "two:/b", &l, &e));
    T(strstr(e.text, "another promotion") != NULL);
    wr_storage_close(b->s);
}

static const char GOOD[] = "{\"epoch\":3,\"owner\":\"a:/b\",\"node\":\"00000000000000ab\","
                           "\"since\":\"2026-01-02T03:04:05Z\",\"token\":\"0123456789abcdef\"}";

static void test_other_members_are_not_looked_at(void **state)
{
    struct bucket *b = bucket();
    struct wr_lease l = {0};
    struct wr_err e = {0};
    struct wr_str key = wr_str(NAME);
    char text[4097];
    size_t n = 0;

    (void)state;
    put_text(b, "{\"later\":[1,{}],\"epoch\":3,\"owner\":\"a:/b\",\"node\":\"00000000000000ab\","
                "\"since\":\"2026-01-02T03:04:05Z\",\"token\":\"0123456789abcdef\"}");
    T_OK(wr_lease_read(b->s, b->c, &l, &e));
    T(l.epoch == 3 && l.node == 0xab && l.token == UINT64_C(0x0123456789abcdef));
    T(l.since_ms == INT64_C(1767323045000));
    (void)take(b, 1, "one:/a");
    T_OK(wr_storage_get(b->s, b->c, key, 0, text, sizeof(text) - 1, &n, &e));
    text[n] = '\0';
    T(strstr(text, "\"epoch\":4") && !strstr(text, "later"));
    wr_storage_close(b->s);
}

/* Each of these is no lease, and is taken for none: nobody is told that all is well. */
static void test_damage_is_not_taken_for_a_lease(void **state)
{
    static const char *const bad[] = {"", "{", "[]", "7", "{}",
        "{\"epoch\":0,\"owner\":\"a\",\"node\":\"00000000000000ab\",\"since\":\"2026-01-02T03:04:"
        "05Z\",\"token\":\"0123456789abcdef\"}",
        "{\"epoch\":\"3\",\"owner\":\"a\",\"node\":\"00000000000000ab\",\"since\":\"2026-01-02T03:"
        "04:05Z\",\"token\":\"0123456789abcdef\"}",
        "{\"epoch\":3,\"owner\":\"a\\u001b\",\"node\":\"00000000000000ab\",\"since\":\"2026-01-"
        "02T03:04:05Z\",\"token\":\"0123456789abcdef\"}",
        "{\"epoch\":3,\"owner\":\"a\\u007f\",\"node\":\"00000000000000ab\",\"since\":\"2026-01-"
        "02T03:04:05Z\",\"token\":\"0123456789abcdef\"}",
        "{\"epoch\":3,\"node\":\"00000000000000ab\",\"since\":\"2026-01-02T03:04:05Z\",\"token\":"
        "\"0123456789abcdef\"}",
        "{\"epoch\":3,\"owner\":\"a\",\"node\":\"0000000000000000\",\"since\":\"2026-01-02T03:04:"
        "05Z\",\"token\":\"0123456789abcdef\"}",
        "{\"epoch\":3,\"owner\":\"a\",\"node\":\"ab\",\"since\":\"2026-01-02T03:04:05Z\",\"token\":"
        "\"0123456789abcdef\"}",
        "{\"epoch\":3,\"owner\":\"a\",\"since\":\"2026-01-02T03:04:05Z\",\"token\":"
        "\"0123456789abcdef\"}",
        "{\"epoch\":3,\"owner\":\"a\",\"node\":\"00000000000000ab\",\"token\":"
        "\"0123456789abcdef\"}",
        "{\"epoch\":3,\"owner\":\"a\",\"node\":\"00000000000000ab\",\"since\":\"yesterday\","
        "\"token\":\"0123456789abcdef\"}",
        "{\"epoch\":3,\"owner\":\"a\",\"node\":\"00000000000000ab\",\"since\":\"2026-01-02T03:04:"
        "05Z\"}",
        "{\"epoch\":3,\"epoch\":4,\"owner\":\"a\",\"node\":\"00000000000000ab\",\"since\":\"2026-"
        "01-02T03:04:05Z\",\"token\":\"0123456789abcdef\"}"};
    struct bucket *b = bucket();
    struct wr_lease l = {0};
    struct wr_lease_seen seen;
    struct wr_err e = {0};

    (void)state;
    for (size_t i = 0; i < wr_countof(bad); i++) {
        put_text(b, bad[i]);
        T_IS(WR_CORRUPT, wr_lease_read(b->s, b->c, &l, &e));
        T_IS(WR_CORRUPT, wr_lease_look(b->s, b->c, &seen, &e));
        T(seen.version.n > 0 && seen.lease.epoch == 0);
    }
    for (size_t cut = 1; cut < strlen(GOOD); cut++) {
        char text[sizeof(GOOD)];

        memcpy(text, GOOD, sizeof(GOOD));
        text[cut] = '\0';
        put_text(b, text);
        T_IS(WR_CORRUPT, wr_lease_read(b->s, b->c, &l, &e));
    }
    /* It can be taken over the damage, by whoever saw it as it is. */
    T_IS(WR_CORRUPT, wr_lease_look(b->s, b->c, &seen, &e));
    T_OK(wr_lease_take(b->s, b->c, &seen, 5, "five:/a", &l, &e));
    T(l.epoch == 1 && look(b).lease.node == 5);
    T_IS(WR_CONFLICT, wr_lease_take(b->s, b->c, &seen, 6, "six:/a", &l, &e));
    wr_storage_close(b->s);
}

static void test_an_endless_object_is_not_read_to_its_end(void **state)
{
    static char text[8192];
    struct bucket *b = bucket();
    struct wr_lease l = {0};
    struct wr_err e = {0};

    (void)state;
    memset(text, ' ', sizeof(text) - 1);
    memcpy(text, GOOD, strlen(GOOD));
    put_text(b, text);
    T_IS(WR_CORRUPT, wr_lease_read(b->s, b->c, &l, &e));
    text[4096] = '\0';
    put_text(b, text);
    T_OK(wr_lease_read(b->s, b->c, &l, &e));
    wr_storage_close(b->s);
}

static void test_an_owner_is_text_of_limited_length(void **state)
{
    static char path[4096];
    struct bucket *b = bucket();
    char text[WR_ERR_MAX];
    struct wr_lease l;

    (void)state;
    l = take(b, 1,
        "host:/a\nb\x7f\xff"
        "\xc3\xa4/c.db");
    assert_string_equal(l.owner, "host:/a?b??\xc3\xa4/c.db");
    memset(path, '/', sizeof(path) - 1);
    memcpy(path + sizeof(path) - 7, "app.db", 6);
    l = take(b, 2, path);
    T(strlen(l.owner) == WR_LEASE_OWNER - 1);
    T(strcmp(look(b).lease.owner, l.owner) == 0 && strstr(l.owner, "//app.db"));
    wr_lease_lost_text(&l, text);
    T(strstr(text, "//app.db") && strstr(text, "epoch 2") && strstr(text, "(weir promote)"));
    memset(path, '"', sizeof(path) - 1); /* each takes two bytes */
    (void)take(b, 3, path);
    T(look(b).lease.owner[0] == '"');
    wr_storage_close(b->s);
}

/* The next one was none that a reader of JSON takes: who had been promoted did not hold it. */
static void test_an_epoch_that_none_follows_was_taken_from(void **state)
{
    struct bucket *b = bucket();
    struct wr_lease_seen seen;
    struct wr_lease l = {0};
    struct wr_err e = {0};

    (void)state;
    put_text(b, "{\"epoch\":9223372036854775807,\"owner\":\"a\",\"node\":\"00000000000000ab\","
                "\"since\":\"2026-01-02T03:04:05Z\",\"token\":\"00000000000000aa\"}");
    T_OK(wr_lease_look(b->s, b->c, &seen, &e));
    T_OK(wr_lease_take(b->s, b->c, &seen, 5, "five:/a", &l, &e));
    T(l.epoch == 1 && look(b).lease.node == 5);
    wr_storage_close(b->s);
}

/* U+0080 to U+009F are controls for terminals, too, and it is shown on one. */
static void test_an_owner_that_a_terminal_obeys(void **state)
{
    struct bucket *b = bucket();

    (void)state;
    assert_string_equal(take(b, 1,
                            "host:/a\xc2\x9b"
                            "2J\xc2\xa0")
                            .owner,
        "host:/a?2J\xc2\xa0");
    put_text(b, "{\"epoch\":3,\"owner\":\"a\\u009b2J\",\"node\":\"00000000000000ab\","
                "\"since\":\"2026-01-02T03:04:05Z\",\"token\":\"00000000000000aa\"}");
    assert_string_equal(look(b).lease.owner, "a?2J");
    wr_storage_close(b->s);
}

static enum wr_status take_once(void *arg)
{
    struct bucket *b = arg;
    struct wr_lease_seen seen;
    struct wr_lease l;
    struct wr_err e = {0};
    enum wr_status st = wr_lease_look(b->s, b->c, &seen, &e);

    return st == WR_OK ? wr_lease_take(b->s, b->c, &seen, 1, "one:/a", &l, &e) : st;
}

static void test_no_memory(void **state)
{
    struct bucket *b = bucket();

    (void)state;
    (void)take(b, 1, "one:/a");
    t_sweep_nomem(take_once, b);
    wr_storage_close(b->s);
}

T_MAIN(T_TEST(test_nobody_has_it_at_first), T_TEST(test_each_taker_has_the_next_epoch),
    T_TEST(test_of_two_takers_one_has_it), T_TEST(test_takers_that_look_alike_are_not_the_same),
    T_TEST(test_an_answer_that_is_lost_does_no_harm), T_TEST(test_a_store_that_fails_is_told_of),
    T_TEST(test_other_members_are_not_looked_at), T_TEST(test_damage_is_not_taken_for_a_lease),
    T_TEST(test_an_endless_object_is_not_read_to_its_end),
    T_TEST(test_an_owner_is_text_of_limited_length),
    T_TEST(test_an_epoch_that_none_follows_was_taken_from),
    T_TEST(test_an_owner_that_a_terminal_obeys), T_TEST(test_no_memory))
