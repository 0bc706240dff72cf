/*
 * test_storage.c - opening by URL, and what request.c puts around a driver: retries, lost answers,
 * ordered listings, counters. The remote is the memory driver behind the fault store.
 */
#include "storage/storage.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "contract/storage_contract.h"
#include "fake/faultstore.h"
#include "storage/drivers.h"

/* ---- opening ---- */

static void open_names_and_prefixes(void **state)
{
    static const struct {
        const char *url, *name, *prefix;
    } cases[] = {
        {"mem://x", "mem://x", ""},
        {"MEM://x/y?size-max=1MiB", "mem://x/y", ""},
        {"file:///var/backup/app", "file:///var/backup/app", ""},
        {"s3://bkt", "s3://bkt", "./"},
        {"s3://bkt/", "s3://bkt/", "/"},
        {"s3://bkt/a", "s3://bkt/a", "a/"},
        {"s3://bkt/a/", "s3://bkt/a/", "a/"},
        {"s3://bkt/a//b/../c/", "s3://bkt/a//b/../c/", "a/c/"},
        {"s3://bkt/a%20b", "s3://bkt/a%20b", "a b/"},
        {"s3://bkt/%2Fa", "s3://bkt/%2Fa", "/a/"},
        {"s3://bkt/a%2F", "s3://bkt/a%2F", "a//"},
        {"s3://bkt/.%2Fa/../b/", "s3://bkt/.%2Fa/../b/", "b/"},
        {"s3://bkt/%2E", "s3://bkt/%2E", "./"},
        {"s3://arn:aws:s3:us-west-2:1234:accesspoint/point/db", NULL, "db/"},
        {"s3://arn:aws:s3:us-west-2:1234:accesspoint/point", NULL, "./"},
        {"s3://arn:aws:s3:us-west-2:1234:accesspoint/point/", NULL, "/"},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct wr_err e = {0};
        struct wr_storage *s = NULL;
        T_OK(wr_storage_open(wr_str(cases[i].url), NULL, &s, &e));
        struct wr_str prefix = wr_storage_prefix(s);
        if (!wr_str_eq(prefix, wr_str(cases[i].prefix)))
            fail_msg("%s: prefix \"" WR_FMT "\"", cases[i].url, WR_ARG(prefix));
        if (cases[i].name && !wr_str_eq_nocase(wr_storage_name(s), wr_str(cases[i].name)))
            fail_msg("%s: name \"" WR_FMT "\"", cases[i].url, WR_ARG(wr_storage_name(s)));
        wr_storage_close(s);
    }
}

/* Buckets of one name at two providers were one, in logs and metrics, and for who claims them. */
static void name_has_the_endpoint(void **state)
{
    static const struct {
        const char *url, *endpoint, *env, *name;
    } cases[] = {
        {"s3://b/a", "https://ACCOUNT.r2.example.com/", NULL,
            "s3://b/a?endpoint=ACCOUNT.r2.example.com"},
        {"s3://b/a?region=r", "minio:9000", NULL, "s3://b/a?endpoint=minio:9000"},
        {"s3://b/a?endpoint=http://10.0.0.1:9000/store&region=r", NULL, NULL,
            "s3://b/a?endpoint=10.0.0.1:9000/store"},
        {"s3://b/a", NULL, "[::1]:9000", "s3://b/a?endpoint=[::1]:9000"},
        {"s3://b/a", "minio:9000", "other:9000", "s3://b/a?endpoint=minio:9000"},
        {"s3://b/a?region=eu-west-1", NULL, NULL, "s3://b/a"},
        {"s3://b/a", "s3.dualstack.eu-west-1.AmazonAWS.com", NULL, "s3://b/a"},
        {"s3://b/a", "s3.cn-north-1.amazonaws.com.cn", NULL,
            "s3://b/a?endpoint=s3.cn-north-1.amazonaws.com.cn"},
        {"s3://b/a", "notamazonaws.com", NULL, "s3://b/a?endpoint=notamazonaws.com"},
        {"s3://b.localhost:9000/a", NULL, NULL, "s3://b.localhost:9000/a"},
        {"s3://b.ams3.digitaloceanspaces.com/a", NULL, NULL,
            "s3://b.ams3.digitaloceanspaces.com/a"},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        const char *const set[] = {"endpoint", cases[i].endpoint, NULL};
        struct wr_err e = {0};
        struct wr_storage *s = NULL;

        if (cases[i].env)
            T(setenv("LITESTREAM_S3_ENDPOINT", cases[i].env, 1) == 0);
        T_OK(wr_storage_open(wr_str(cases[i].url), cases[i].endpoint ? set : NULL, &s, &e));
        if (!wr_str_eq(wr_storage_name(s), wr_str(cases[i].name)))
            fail_msg("%s: name \"" WR_FMT "\"", cases[i].name, WR_ARG(wr_storage_name(s)));
        wr_storage_close(s);
        T(unsetenv("LITESTREAM_S3_ENDPOINT") == 0);
    }
}

static void open_refuses(void **state)
{
    static const struct {
        const char *url, *says;
    } cases[] = {
        {"gopher://x/y", "there are file:// and s3://"},
        {"gopher://x/y", "\"gopher\""},
        {"/just/a/path", NULL},
        {"", NULL},
        {"mem://x?part-sise=1MiB", "did you mean \"part-size\""},
        {"mem://x?part-size=1", "part-size"},
        {"mem://x?size-max=lots", "\"lots\" is not a size"},
        {"file://user@host/x", "no user"},
        {"file://", "absolute"},
        {"file:///x?part-size=1KiB", "part-size"},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct wr_err e = {0};
        struct wr_storage *s = NULL;
        T_IS(WR_MISUSE, wr_storage_open(wr_str(cases[i].url), NULL, &s, &e));
        T(s == NULL);
        if (cases[i].says && !strstr(e.text, cases[i].says))
            fail_msg("%s: \"%s\"", cases[i].url, e.text);
    }
}

static void name_shows_no_secret(void **state)
{
    struct wr_err e = {0};
    struct wr_storage *s = NULL;

    (void)state;
    T_OK(
        wr_storage_open(WR_STR("mem://me:hunter2@x/y?size-max=1MiB&part-size=4KiB"), NULL, &s, &e));
    T(!strstr(wr_storage_name(s).p, "hunter2") && !strstr(wr_storage_name(s).p, "size"));
    wr_storage_close(s);
    T_IS(WR_MISUSE,
        wr_storage_open(WR_STR("mem://me:hunter2@x/y?nonsense=opensesame"), NULL, &s, &e));
    T(!strstr(e.text, "hunter2") && !strstr(e.text, "opensesame"));
}

static void settings_reach_the_driver(void **state)
{
    static const char *const pairs[] = {"sizeMax", "100", NULL};
    struct wr_err e = {0};
    struct wr_storage *s = NULL;
    uint8_t body[101] = {0};

    (void)state;
    T_OK(wr_storage_open(WR_STR("mem://x"), pairs, &s, &e));
    T_IS(
        WR_LIMIT, wr_storage_put(s, t_call(), WR_STR("k"), (struct wr_bytes){body, 101}, NULL, &e));
    T_OK(wr_storage_put(s, t_call(), WR_STR("k"), (struct wr_bytes){body, 100}, NULL, &e));
    T(strcmp(wr_storage_scheme(s), "mem") == 0);
    T(wr_storage_caps(s) & WR_STORAGE_COND_PUT);
    wr_storage_close(s);
    wr_storage_close(NULL);
}

/* A host is the first directory, and nothing is decoded. */
static void file_urls_are_taken_as_written(void **state)
{
    struct wr_err e = {0};
    struct wr_storage *s = NULL;
    const char *dir = t_tmpdir();

    (void)state;
    struct wr_str url = wr_arena_fmt(t_call()->scratch, "file://%s/sp%%20ace//x/../y", dir + 1);
    T_OK(wr_storage_open(url, NULL, &s, &e));
    T_OK(wr_storage_put(
        s, t_call(), WR_STR("k"), (struct wr_bytes){(const uint8_t *)"v", 1}, NULL, &e));
    wr_storage_close(s);
    T(t_slurp(t_path(dir, "sp%20ace/y/k")).n == 1);
}

static enum wr_status sweep_open(void *arg)
{
    struct wr_storage *s = NULL;
    enum wr_status st = wr_storage_open(wr_str(arg), NULL, &s, NULL);

    wr_storage_close(s);
    return st;
}

static void opening_survives_no_memory(void **state)
{
    (void)state;
    t_sweep_nomem(sweep_open, (void *)(uintptr_t) "mem://x/y?size-max=1MiB");
    t_sweep_nomem(sweep_open, (void *)(uintptr_t) "file://host/dir");
}

/* ---- requests ---- */

struct rig {
    struct faultstore *f;
    struct wr_storage *s;
    struct wr_call *c;
};

static struct rig rig_up(uint64_t seed)
{
    struct rig r = {.c = t_call()};
    struct wr_err e = {0};
    void *mem = NULL;

    T_OK(wr_storage_mem.open(NULL, &mem, &e));
    r.f = faultstore_new(&wr_storage_mem, mem, seed, NULL);
    T(r.f != NULL);
    T_OK(wr_storage_wrap(faultstore_ops(r.f), r.f, WR_STR("p/"), &r.s, &e));
    wr_storage_set_retry(r.s, 5, 0);
    return r;
}

static struct wr_bytes text(const char *z)
{
    return (struct wr_bytes){(const uint8_t *)z, strlen(z)};
}

static void expect(const struct rig *r, const char *key, const char *want)
{
    struct wr_err e = {0};
    char got[64];
    size_t n = 0;

    T_OK(wr_storage_get(r->s, r->c, wr_str(key), 0, got, sizeof(got), &n, &e));
    T(n == strlen(want) && memcmp(got, want, n) == 0);
}

static void transient_failures_are_retried(void **state)
{
    struct rig r = rig_up(1);
    struct wr_err e = {0};
    struct wr_storage_counts counts;

    (void)state;
    faultstore_arm(r.f, FAULT_BEFORE, FAULT_ON_PUT, 1000, 4);
    T_OK(wr_storage_put(r.s, r.c, WR_STR("k"), text("v"), NULL, &e));
    T(e.code == WR_OK && e.text[0] == '\0'); /* text is for failures only */
    faultstore_calm(r.f);
    wr_storage_counts(r.s, &counts);
    T(counts.put == 5 && counts.bytes_up == 5);
    faultstore_arm(r.f, FAULT_BEFORE, FAULT_ON_PUT, 1000, 5);
    T_IS(WR_TIMEOUT, wr_storage_put(r.s, r.c, WR_STR("k"), text("w"), NULL, &e));
    T(strstr(e.text, "put k") && strstr(e.text, "the request was lost"));
    faultstore_calm(r.f);
    expect(&r, "k", "v");
    wr_storage_close(r.s);
}

struct heard {
    unsigned n, failed;
    char last[200];
};

static void hear(void *arg, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n)
{
    struct heard *h = arg;

    T(level == WR_DEBUG && strcmp(msg, "storage request") == 0 && n == 6);
    T(wr_str_eq(fields[1].v.s, WR_STR("put")) && wr_str_eq(fields[2].v.s, WR_STR("k")));
    h->n++;
    h->failed += fields[5].v.s.n > 0;
    (void)snprintf(
        h->last, sizeof(h->last), WR_FMT "|" WR_FMT, WR_ARG(fields[4].v.s), WR_ARG(fields[5].v.s));
}

/* What a store was asked could not be seen. */
static void each_attempt_can_be_seen(void **state)
{
    struct rig r = rig_up(1);
    struct heard h = {0};
    struct wr_log log = {.sink = hear, .arg = &h, .min_level = WR_DEBUG};
    struct wr_err e = {0};

    (void)state;
    r.c->log = &log;
    faultstore_arm(r.f, FAULT_BEFORE, FAULT_ON_PUT, 1000, 2);
    T_OK(wr_storage_put(r.s, r.c, WR_STR("k"), text("v"), NULL, &e));
    T(h.n == 3 && h.failed == 2 && strcmp(h.last, "ok|") == 0);
    faultstore_calm(r.f);
    faultstore_arm(r.f, FAULT_BROKEN, FAULT_ON_PUT, 1000, 1);
    T_IS(WR_IO, wr_storage_put(r.s, r.c, WR_STR("k"), text("v"), NULL, &e));
    T(h.n == 4 && strstr(h.last, "|") && h.last[strlen(h.last) - 1] != '|');
    log.min_level = WR_INFO;
    faultstore_calm(r.f);
    T_OK(wr_storage_put(r.s, r.c, WR_STR("k"), text("v"), NULL, &e));
    T(h.n == 4);
    wr_storage_close(r.s);
}

static void lasting_failures_are_not(void **state)
{
    struct rig r = rig_up(2);
    struct wr_err e = {0};
    struct wr_storage_counts counts;

    (void)state;
    faultstore_arm(r.f, FAULT_BROKEN, FAULT_ON_PUT, 1000, 1);
    T_IS(WR_IO, wr_storage_put(r.s, r.c, WR_STR("k"), text("v"), NULL, &e));
    wr_storage_counts(r.s, &counts);
    T(counts.put == 1);
    wr_storage_close(r.s);
}

/* The first attempt took effect; its own object refuses the second one. */
static void lost_answer_of_a_conditional_put(void **state)
{
    struct rig r = rig_up(3);
    struct wr_err e = {0};
    struct wr_put_opts o = {.if_absent = true};
    struct wr_object out = {0}, now = {0};

    (void)state;
    faultstore_arm(r.f, FAULT_AFTER, FAULT_ON_PUT, 1000, 1);
    T_OK(wr_storage_put_object(r.s, r.c, WR_STR("k"), text("mine"), &o, &out, &e));
    T_OK(wr_storage_stat(r.s, r.c, WR_STR("k"), &now, &e));
    T(wr_str_eq(out.version, now.version) && out.size == 4);

    o = (struct wr_put_opts){.if_match = now.version};
    faultstore_arm(r.f, FAULT_AFTER, FAULT_ON_PUT, 1000, 1);
    T_OK(wr_storage_put(r.s, r.c, WR_STR("k"), text("also mine"), &o, &e));
    expect(&r, "k", "also mine");
    wr_storage_close(r.s);
}

static void conflict_with_others_stays_one(void **state)
{
    struct rig r = rig_up(4);
    struct wr_err e = {0};
    struct wr_put_opts o = {.if_absent = true};
    const char *const others[] = {"them", "longer than ours", ""};

    (void)state;
    for (size_t i = 0; i < wr_countof(others); i++) {
        struct wr_str key = WR_STR("k");
        T_OK(wr_storage_put(r.s, r.c, key, text(others[i]), NULL, &e));
        faultstore_arm(r.f, FAULT_BEFORE, FAULT_ON_PUT, 1000, 1);
        T_IS(WR_CONFLICT, wr_storage_put(r.s, r.c, key, text("mine"), &o, &e));
        expect(&r, "k", others[i]);
    }
    /* Without a retry the answer is not doubted, even when the bytes are the same. */
    T_OK(wr_storage_put(r.s, r.c, WR_STR("k"), text("mine"), NULL, &e));
    T_IS(WR_CONFLICT, wr_storage_put(r.s, r.c, WR_STR("k"), text("mine"), &o, &e));
    wr_storage_close(r.s);
}

static void large_lost_answers_are_compared_whole(void **state)
{
    const size_t n = 200000;
    struct rig r = rig_up(5);
    struct wr_err e = {0};
    struct wr_put_opts o = {.if_absent = true};
    uint8_t *body = wr_alloc(n);

    (void)state;
    T(body != NULL);
    faultstore_arm(r.f, FAULT_AFTER, FAULT_ON_PUT, 1000, 1);
    T_OK(wr_storage_put(r.s, r.c, WR_STR("a"), (struct wr_bytes){body, n}, &o, &e));
    T_OK(wr_storage_put(r.s, r.c, WR_STR("b"), (struct wr_bytes){body, n}, NULL, &e));
    body[n - 1] = 1;
    faultstore_arm(r.f, FAULT_BEFORE, FAULT_ON_PUT, 1000, 1);
    T_IS(WR_CONFLICT, wr_storage_put(r.s, r.c, WR_STR("b"), (struct wr_bytes){body, n}, &o, &e));
    wr_free(body);
    wr_storage_close(r.s);
}

static void a_rival_wins(void **state)
{
    struct rig r = rig_up(6);
    struct wr_err e = {0};
    struct wr_put_opts o = {.if_absent = true};

    (void)state;
    faultstore_arm(r.f, FAULT_RIVAL, FAULT_ON_PUT, 1000, 1);
    T_IS(WR_CONFLICT, wr_storage_put(r.s, r.c, WR_STR("k"), text("mine"), &o, &e));
    expect(&r, "k", "a rival was faster");
    wr_storage_close(r.s);
}

static void conditions_exclude_each_other(void **state)
{
    struct rig r = rig_up(7);
    struct wr_err e = {0};
    struct wr_put_opts o = {.if_absent = true, .if_match = WR_STR("1")};

    (void)state;
    T_IS(WR_MISUSE, wr_storage_put(r.s, r.c, WR_STR("k"), text("x"), &o, &e));
    T(wr_str_eq(wr_storage_prefix(r.s), WR_STR("p/")));
    T(wr_str_eq(wr_storage_name(r.s), WR_STR("mem://p/")));
    wr_storage_close(r.s);
}

static void a_deadline_ends_retries(void **state)
{
    struct rig r = rig_up(8);
    struct wr_err e = {0};
    struct wr_clock_manual clock;
    struct wr_call c = *r.c;

    (void)state;
    wr_clock_manual_init(&clock, 0);
    c.clock = &clock.clock;
    c.deadline_ms = 50;
    wr_storage_set_retry(r.s, 100, 1000000); /* a wait that no deadline allows, by all likelihood */
    faultstore_arm(r.f, FAULT_BEFORE, FAULT_ON_GET, 1000, 100);
    size_t n;
    T_IS(WR_TIMEOUT, wr_storage_get(r.s, &c, WR_STR("k"), 0, &n, 1, &n, &e));
    T(faultstore_fired(r.f, FAULT_BEFORE) < 100);
    wr_storage_close(r.s);
}

/* ---- listings ---- */

struct seen {
    char keys[64][8];
    size_t n;
};

static bool see(void *arg, const struct wr_object *obj)
{
    struct seen *s = arg;

    T(s->n < 64 && obj->key.n < 8);
    memcpy(s->keys[s->n], obj->key.p, obj->key.n);
    s->keys[s->n++][obj->key.n] = '\0';
    return true;
}

static struct wr_storage_times times(const struct rig *r, enum wr_storage_class class)
{
    struct wr_storage_times t;

    wr_storage_times(r->s, class, &t);
    return t;
}

struct slow {
    struct wr_clock_manual clock;
    int64_t ms;
};

static bool take_long(void *arg, const struct wr_object *obj)
{
    struct slow *x = arg;

    (void)obj;
    wr_clock_manual_advance(&x->clock, x->ms * 1000000);
    return false;
}

static void attempts_are_timed(void **state)
{
    static const int64_t ms[] = {10, 11, 100, 500, 1000, 5000, 10000, 30000, 60000, 60001};
    struct rig r = rig_up(11);
    struct wr_call call = *r.c;
    struct wr_err e = {0};
    struct wr_object none;
    struct slow x;
    char byte;
    size_t n;

    (void)state;
    wr_clock_manual_init(&x.clock, 1000000);
    call.clock = &x.clock.clock;
    r.c = &call;
    T(times(&r, WR_STORAGE_PUT).took[0] == 0);
    faultstore_arm(r.f, FAULT_BEFORE, FAULT_ON_PUT, 1000, 4);
    T_OK(wr_storage_put(r.s, r.c, WR_STR("k"), text("v"), NULL, &e));
    T(times(&r, WR_STORAGE_PUT).took[0] == 5 && times(&r, WR_STORAGE_PUT).failed[WR_TIMEOUT] == 4);
    faultstore_arm(r.f, FAULT_BROKEN, FAULT_ON_PUT, 1000, 1);
    T_IS(WR_IO, wr_storage_put(r.s, r.c, WR_STR("k"), text("v"), NULL, &e));
    T(times(&r, WR_STORAGE_PUT).failed[WR_IO] == 1);
    faultstore_calm(r.f);
    /* What is not there is an answer. */
    T_IS(WR_NOTFOUND, wr_storage_get(r.s, r.c, WR_STR("x"), 0, &byte, 1, &n, &e));
    T_IS(WR_NOTFOUND, wr_storage_stat(r.s, r.c, WR_STR("x"), &none, &e));
    for (size_t i = 0; i < WR_STORAGE_STATUSES; i++)
        T(times(&r, WR_STORAGE_GET).failed[i] + times(&r, WR_STORAGE_STAT).failed[i] == 0);
    T(times(&r, WR_STORAGE_GET).took[0] == 1 && times(&r, WR_STORAGE_STAT).took[0] == 1);
    for (size_t i = 0; i < wr_countof(ms); i++) {
        x.ms = ms[i];
        T_OK(wr_storage_list(r.s, r.c, WR_STR(""), WR_STR(""), take_long, &x, &e));
        T(times(&r, WR_STORAGE_LIST).took[i] == 1);
    }
    T(times(&r, WR_STORAGE_LIST).ns == UINT64_C(166622000000));
    T(times(&r, WR_STORAGE_REMOVE).ns == 0);
    wr_storage_close(r.s);
}

/* Each attempt breaks off somewhere; nothing is listed twice or left out. */
static void broken_listings_go_on(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct rig r = rig_up(t_seed() + seed);
        struct wr_err e = {0};
        struct seen seen = {.n = 0};
        char key[24];

        for (int i = 0; i < 20; i++) {
            (void)snprintf(key, sizeof(key), "k%02d", i);
            T_OK(wr_storage_put(r.s, r.c, wr_str(key), text("x"), NULL, &e));
        }
        wr_storage_set_retry(r.s, 50, 0);
        faultstore_arm(r.f, FAULT_CUT_LIST, FAULT_ON_LIST, 800, UINT64_MAX);
        T_OK(wr_storage_list(r.s, r.c, WR_STR("k"), WR_STR("k04"), see, &seen, &e));
        T(seen.n == 15);
        for (size_t i = 0; i < seen.n; i++) {
            (void)snprintf(key, sizeof(key), "k%02zu", i + 5);
            T(strcmp(key, seen.keys[i]) == 0);
        }
        wr_storage_close(r.s);
    }
}

static void stale_listings_miss_the_last(void **state)
{
    struct rig r = rig_up(9);
    struct wr_err e = {0};
    struct seen seen = {.n = 0};

    (void)state;
    T_OK(wr_storage_put(r.s, r.c, WR_STR("a"), text("x"), NULL, &e));
    T_OK(wr_storage_put(r.s, r.c, WR_STR("b"), text("x"), NULL, &e));
    faultstore_arm(r.f, FAULT_STALE, FAULT_ON_LIST, 1000, 1);
    T_OK(wr_storage_list(r.s, r.c, WR_STR(""), WR_STR(""), see, &seen, &e));
    T(seen.n == 1 && strcmp(seen.keys[0], "a") == 0);
    T_OK(wr_storage_list(r.s, r.c, WR_STR(""), WR_STR(""), see, &seen, &e));
    T(seen.n == 3);
    wr_storage_close(r.s);
}

/* A driver that lists what its state says, in that order. */
static enum wr_status list_given(void *self, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    (void)c;
    (void)prefix;
    (void)after;
    (void)e;
    for (const char *const *p = self; *p; p++) {
        struct wr_object obj = {.key = wr_str(*p)};
        if (!fn(arg, &obj))
            break;
    }
    return WR_OK;
}

static void close_nothing(void *self)
{
    (void)self;
}

static void disordered_listings_are_refused(void **state)
{
    static const char *bad[][4] = {
        {"ka", "kc", "kb", NULL}, {"ka", "ka", NULL}, {"ka", "x", NULL}, {"k", NULL}};
    const struct wr_storage_ops ops = {.scheme = "odd", .list = list_given, .close = close_nothing};

    (void)state;
    for (size_t i = 0; i < wr_countof(bad); i++) {
        struct wr_err e = {0};
        struct wr_storage *s = NULL;
        struct seen seen = {.n = 0};
        T_OK(wr_storage_wrap(&ops, (void *)bad[i], WR_STR(""), &s, &e));
        T_IS(WR_CORRUPT, wr_storage_list(s, t_call(), WR_STR("k"), WR_STR("k"), see, &seen, &e));
        T(strstr(e.text, "out of order"));
        wr_storage_close(s);
    }
}

/* ---- a long run ---- */

/* Whatever happens on the way: what was acknowledged is there, and a failed put left the old object
 * or the new one. */
static void acknowledged_is_kept_under_faults(void **state)
{
    struct rig r = rig_up(t_seed());
    struct wr_err e = {0};
    struct wr_rand rng;
    unsigned failed = 0;
    char was[8][32] = {{0}}, is[32], key[4] = "k0";

    (void)state;
    wr_rand_init(&rng, t_seed());
    for (int step = 0; step < 5000; step++) {
        size_t i = (size_t)wr_rand_below(&rng, 8);
        size_t n = 0;

        wr_arena_reset(r.c->scratch);
        key[1] = (char)('0' + i);
        (void)snprintf(is, sizeof(is), "value %d", step);
        for (int k = 0; k <= FAULT_TWICE; k++)
            if (k != FAULT_DELAY)
                faultstore_arm(r.f, (enum fault_kind)k, FAULT_ON_ALL, 150, UINT64_MAX);
        enum wr_status st = wr_storage_put(r.s, r.c, wr_str(key), text(is), NULL, NULL);
        faultstore_calm(r.f);

        char got[32] = {0};
        enum wr_status have = wr_storage_get(r.s, r.c, wr_str(key), 0, got, 31, &n, &e);
        T(have == WR_OK || have == WR_NOTFOUND);
        T(strcmp(got, is) == 0 || (st != WR_OK && strcmp(got, was[i]) == 0));
        memcpy(was[i], got, sizeof(got));
        failed += st != WR_OK;
    }
    T(failed > 100 && failed < 4000); /* else the run has not shown anything */
    wr_storage_close(r.s);
}

static enum wr_status sweep_requests(void *arg)
{
    const struct rig *r = arg;
    struct wr_put_opts o = {.if_absent = true};
    struct wr_object out;
    struct seen seen = {.n = 0};
    struct wr_str key = WR_STR("swept");
    char byte;
    size_t n;

    faultstore_calm(r->f);
    faultstore_arm(r->f, FAULT_AFTER, FAULT_ON_PUT, 1000, 1);
    enum wr_status st = wr_storage_put_object(r->s, r->c, key, text("x"), &o, &out, NULL);
    if (st == WR_OK)
        st = wr_storage_stat(r->s, r->c, key, &out, NULL);
    if (st == WR_OK)
        st = wr_storage_get(r->s, r->c, key, 0, &byte, 1, &n, NULL);
    if (st == WR_OK)
        st = wr_storage_list(r->s, r->c, WR_STR(""), WR_STR(""), see, &seen, NULL);
    enum wr_status gone = wr_storage_remove(r->s, r->c, &key, 1, NULL);
    return st == WR_OK ? gone : st;
}

static void requests_survive_no_memory(void **state)
{
    struct rig r = rig_up(10);
    struct wr_err e = {0};

    (void)state;
    /* Tables grow once; what stays allocated after that belongs to the bucket. */
    for (int i = 0; i < 3; i++)
        T_OK(sweep_requests(&r));
    t_sweep_nomem(sweep_requests, &r);
    wr_storage_close(r.s);
}

/* A follower was told the URL without what the file says beside it, and looked at AWS for a bucket
 * of another store. */
static void an_address_says_where_and_never_who(void **state)
{
    static const char *const minio[] = {"endpoint", "http://minio:9000", "access-key-id", "AKID",
        "secret-access-key", "geheim", "session-token", "geheim", "profile", "ops", "region",
        "eu-1", "force-path-style", "true", "skip-verify", "true", NULL};
    static const char *const bucket[] = {"bucket", "b", NULL};
    static const struct {
        const char *url, *want;
        const char *const *pairs;
        const char *env; /* endpoint */
    } t[] = {
        {"s3://b/p/q", "s3://b/p/q", NULL, NULL},
        {"s3://AKID:geheim@b/p", "s3://b/p", NULL, NULL},
        {"s3://b/p?region=r&storage-class=x&access-key-id=AKID&secret-access-key=geheim",
            "s3://b/p?region=r", NULL, NULL},
        {"s3://b.minio:9000/p%20q", "s3://b.minio:9000/p%20q", NULL, "http://other:1"},
        {"s3:///p", "s3:///p?bucket=b", bucket, NULL},
        {"s3://b/p", "s3://b/p?endpoint=http%3A%2F%2Fother%3A1%2Fx", NULL, "http://other:1/x"},
        {"file:///var/b", "file:///var/b", NULL, NULL},
    };
    struct wr_storage *s = NULL, *again = NULL;
    struct wr_err e = {0};
    struct wr_buf b;

    (void)state;
    T(unsetenv("AWS_REGION") == 0 && unsetenv("AWS_DEFAULT_REGION") == 0);
    wr_buf_init(&b, 8192);
    for (size_t i = 0; i < wr_countof(t); i++) {
        T((t[i].env ? setenv("LITESTREAM_S3_ENDPOINT", t[i].env, 1)
                    : unsetenv("LITESTREAM_S3_ENDPOINT")) == 0);
        T_OK(wr_storage_open(wr_str(t[i].url), t[i].pairs, &s, &e));
        wr_buf_clear(&b);
        T_OK(wr_storage_address(s, &b, &e));
        T(wr_str_eq(wr_buf_view(&b), wr_str(t[i].want)));
        wr_storage_close(s);
    }
    T(unsetenv("LITESTREAM_S3_ENDPOINT") == 0 && setenv("AWS_REGION", "of-env", 1) == 0);
    T_OK(wr_storage_open(WR_STR("s3://b/p"), minio, &s, &e));
    wr_buf_clear(&b);
    T_OK(wr_storage_address(s, &b, &e));
    T(wr_str_eq(wr_buf_view(&b),
        WR_STR("s3://b/p?region=eu-1&endpoint=http%3A%2F%2Fminio%3A9000&force-path-style=true")));
    T_OK(wr_storage_open(wr_buf_view(&b), NULL, &again, &e)); /* and is one that is understood */
    wr_storage_close(again);
    wr_buf_release(&b);
    wr_buf_init(&b, 10);
    T_IS(WR_LIMIT, wr_storage_address(s, &b, &e));
    wr_buf_release(&b);
    wr_storage_close(s);
    wr_buf_init(&b, 100);
    T_OK(wr_storage_open(WR_STR("s3://b/p"), NULL, &s, &e));
    T_OK(wr_storage_address(s, &b, &e));
    T(wr_str_eq(wr_buf_view(&b), wr_str("s3://b/p?region=of-env")));
    wr_storage_close(s);
    T(unsetenv("AWS_REGION") == 0);
    wr_buf_release(&b);
}

T_MAIN(T_TEST(open_names_and_prefixes), T_TEST(name_has_the_endpoint), T_TEST(open_refuses),
    T_TEST(name_shows_no_secret), T_TEST(an_address_says_where_and_never_who),
    T_TEST(settings_reach_the_driver), T_TEST(file_urls_are_taken_as_written),
    T_TEST(opening_survives_no_memory), T_TEST(transient_failures_are_retried),
    T_TEST(each_attempt_can_be_seen), T_TEST(lasting_failures_are_not),
    T_TEST(lost_answer_of_a_conditional_put), T_TEST(conflict_with_others_stays_one),
    T_TEST(large_lost_answers_are_compared_whole), T_TEST(a_rival_wins),
    T_TEST(conditions_exclude_each_other), T_TEST(a_deadline_ends_retries),
    T_TEST(attempts_are_timed), T_TEST(broken_listings_go_on), T_TEST(stale_listings_miss_the_last),
    T_TEST(disordered_listings_are_refused), T_TEST(acknowledged_is_kept_under_faults),
    T_TEST(requests_survive_no_memory))
