/*
 * test_writer.c - what becomes a put and what an upload, failures on the way, lost commits.
 */
#include "storage/writer.h"

#include "base/mem.h"
#include "base/rand.h"
#include "fake/faultstore.h"
#include "harness/t.h"
#include "storage/drivers.h"

#define PART 4096

struct rig {
    void *mem; /* a reference of ours */
    struct faultstore *f;
    struct wr_storage *s;
    struct wr_call *c;
};

static struct rig rig_up(uint64_t seed)
{
    struct rig r = {.c = t_call()};
    struct wr_err e = {0};

    T_OK(wr_storage_mem.open(NULL, &r.mem, &e));
    r.f = faultstore_new(&wr_storage_mem, wr_storage_mem_ref(r.mem), seed, NULL);
    T(r.f != NULL);
    T_OK(wr_storage_wrap(faultstore_ops(r.f), r.f, WR_STR(""), &r.s, &e));
    wr_storage_set_retry(r.s, 5, 0);
    return r;
}

static void rig_down(struct rig *r)
{
    T(wr_storage_mem_uploads(r->mem) == 0); /* nothing that a bill would go on for */
    wr_storage_close(r->s);
    wr_storage_mem.close(r->mem);
    wr_arena_reset(r->c->scratch);
}

static struct wr_bytes noise(size_t n, uint64_t seed)
{
    static uint8_t bytes[20 * PART];
    struct wr_rand rng;

    T(n <= sizeof(bytes));
    wr_rand_init(&rng, seed);
    wr_rand_fill(&rng, bytes, n);
    return (struct wr_bytes){bytes, n};
}

/* Write in pieces of at most `step` bytes, and commit. */
static enum wr_status store(const struct rig *r, struct wr_bytes body, size_t step,
    const struct wr_put_opts *o, struct wr_err *e)
{
    struct wr_writer *w = NULL;
    enum wr_status st = wr_writer_open(r->s, r->c, WR_STR("k"), o, 0, &w, e);

    if (st != WR_OK)
        return st;
    for (size_t off = 0; off < body.n && st == WR_OK; off += step)
        st = wr_writer_write(
            w, r->c, (struct wr_bytes){body.p + off, wr_min(step, body.n - off)}, e);
    if (st == WR_OK)
        return wr_writer_commit(w, r->c, e);
    wr_writer_abort(w, r->c);
    return st;
}

static bool holds(const struct rig *r, struct wr_bytes want)
{
    static uint8_t got[20 * PART + 1];
    size_t n = 0;

    return wr_storage_mem.get(r->mem, r->c, WR_STR("k"), 0, got, sizeof(got), &n, NULL, NULL) ==
               WR_OK &&
           n == want.n && memcmp(got, want.p, n) == 0;
}

/* Requests: one put up to a part, then begin, parts, commit. */
static void small_is_a_put_large_is_an_upload(void **state)
{
    static const struct {
        size_t size, puts;
    } cases[] = {{0, 1}, {1, 1}, {PART - 1, 1}, {PART, 1}, {PART + 1, 4}, {2 * PART, 4},
        {2 * PART + 1, 5}, {10 * PART, 12}};
    static const size_t steps[] = {1000, PART, PART + 1, 20 * PART};

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        for (size_t k = 0; k < wr_countof(steps); k++) {
            struct rig r = rig_up(1);
            struct wr_err e = {0};
            struct wr_storage_counts counts;
            struct wr_bytes body = noise(cases[i].size, i);

            T_OK(store(&r, body, steps[k], NULL, &e));
            T(holds(&r, body));
            wr_storage_counts(r.s, &counts);
            if (counts.put != cases[i].puts)
                fail_msg("%zu bytes by %zu: %zu puts", body.n, steps[k], (size_t)counts.put);
            T(counts.bytes_up == body.n);
            rig_down(&r);
        }
    }
}

static void part_sizes_follow_settings_and_hints(void **state)
{
    static const struct {
        const char *url;
        uint64_t hint;
        size_t puts; /* for 3 MiB and a byte: begin, parts, commit */
    } cases[] = {
        {"mem://x", 0, 6},                   /* 1 MiB by default */
        {"mem://x?part-size=2MiB", 0, 4},    /* 2 parts */
        {"mem://x?part-size=4MiB", 0, 1},    /* a put */
        {"mem://x?part-size=2MiB", 1000, 4}, /* a small hint changes nothing */
        {"mem://x?part-size=4KiB", 3000000, 771},
        {"mem://x?part-size=4KiB", 50000000, 6}, /* over 10,000 parts of 4 KiB: whole MiB */
        {"mem://x", UINT64_C(25000000000), 4},   /* 2.5 MB a part, rounded up */
    };
    const size_t n = (3 << 20) + 1;
    uint8_t *body = wr_alloc(n);

    (void)state;
    T(body != NULL);
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct wr_err e = {0};
        struct wr_storage *s = NULL;
        struct wr_writer *w = NULL;
        struct wr_storage_counts counts;
        T_OK(wr_storage_open(wr_str(cases[i].url), NULL, &s, &e));
        T_OK(wr_writer_open(s, t_call(), WR_STR("k"), NULL, cases[i].hint, &w, &e));
        T_OK(wr_writer_write(w, t_call(), (struct wr_bytes){body, n}, &e));
        T_OK(wr_writer_commit(w, t_call(), &e));
        wr_storage_counts(s, &counts);
        if (counts.put != cases[i].puts)
            fail_msg("case %zu: %zu puts", i, (size_t)counts.put);
        wr_storage_close(s);
    }
    wr_free(body);
}

static void storage_without_parts_gets_one_put(void **state)
{
    struct wr_storage_ops ops = wr_storage_mem;
    struct rig r = rig_up(2);
    struct wr_err e = {0};
    struct wr_bytes body = noise(10 * PART, 2);
    struct wr_storage_counts counts;

    (void)state;
    ops.part_min = 0;
    wr_storage_close(r.s);
    T_OK(wr_storage_wrap(&ops, wr_storage_mem_ref(r.mem), WR_STR(""), &r.s, &e));
    T_OK(store(&r, body, 1000, NULL, &e));
    T(holds(&r, body));
    wr_storage_counts(r.s, &counts);
    T(counts.put == 1);
    rig_down(&r);
}

static void keys_and_options_are_copied(void **state)
{
    struct rig r = rig_up(3);
    struct wr_err e = {0};
    struct wr_writer *w = NULL;
    struct wr_object about = {0};
    char key[] = "k";

    (void)state;
    T_OK(wr_storage_put_object(r.s, r.c, WR_STR("k"), noise(1, 1), NULL, &about, &e));
    char *version = wr_strndup(about.version.p, about.version.n);
    struct wr_put_opts o = {.if_match = {version, about.version.n}, .time_ms = 12345};
    T_OK(wr_writer_open(r.s, r.c, wr_str(key), &o, 0, &w, &e));
    key[0] = '#';
    memset(version, '#', about.version.n);
    wr_free(version);
    o.time_ms = 1;
    T_OK(wr_writer_write(w, r.c, noise(3 * PART, 3), &e));
    T_OK(wr_writer_commit(w, r.c, &e));
    T_OK(wr_storage_stat(r.s, r.c, WR_STR("k"), &about, &e));
    T(about.time_ms == 12345 && about.size == 3 * PART);
    rig_down(&r);
}

static void bad_options_are_refused_at_once(void **state)
{
    struct rig r = rig_up(4);
    struct wr_err e = {0};
    struct wr_writer *w = NULL;
    struct wr_put_opts o = {.if_absent = true, .if_match = WR_STR("1")};

    (void)state;
    T_IS(WR_MISUSE, wr_writer_open(r.s, r.c, WR_STR("k"), &o, 0, &w, &e));
    T_IS(WR_MISUSE, wr_writer_open(r.s, r.c, WR_STR(""), NULL, 0, &w, &e));
    T(w == NULL);
    wr_writer_abort(NULL, r.c);
    rig_down(&r);
}

static void failure_latches(void **state)
{
    struct rig r = rig_up(5);
    struct wr_err e = {0};
    struct wr_writer *w = NULL;

    (void)state;
    T_OK(wr_writer_open(r.s, r.c, WR_STR("k"), NULL, 0, &w, &e));
    faultstore_arm(r.f, FAULT_BROKEN, FAULT_ON_PART, 1000, 1);
    T_IS(WR_IO, wr_writer_write(w, r.c, noise(3 * PART, 5), &e));
    T_IS(WR_IO, wr_writer_write(w, r.c, noise(1, 5), &e));
    T(strstr(e.text, "earlier"));
    T_IS(WR_IO, wr_writer_commit(w, r.c, &e));
    T_IS(WR_NOTFOUND, wr_storage_mem.stat(r.mem, r.c, WR_STR("k"), &(struct wr_object){0}, &e));
    rig_down(&r);
}

/* The commit took effect, its answer was lost: read back and found to be ours. */
static void a_lost_commit_is_looked_into(void **state)
{
    struct rig r = rig_up(6);
    struct wr_err e = {0};
    struct wr_put_opts o = {.if_absent = true};
    struct wr_bytes body = noise(19 * PART, 6);

    (void)state;
    faultstore_arm(r.f, FAULT_AFTER, FAULT_ON_COMMIT, 1000, 1);
    T_OK(store(&r, body, 1000, &o, &e));
    T(holds(&r, body));
    rig_down(&r);
}

/* The commit did not happen, and what is there only looks alike. */
static void a_failed_commit_is_not_success(void **state)
{
    struct rig r = rig_up(7);
    struct wr_err e = {0};
    struct wr_bytes body = noise(5 * PART, 7);
    uint8_t other[5 * PART];

    (void)state;
    faultstore_arm(r.f, FAULT_BEFORE, FAULT_ON_COMMIT, 1000, 1);
    T_IS(WR_TIMEOUT, store(&r, body, 1000, NULL, &e));
    T(strstr(e.text, "commit upload of k"));
    memcpy(other, body.p, body.n);
    other[5 * PART - 1] ^= 1;
    T_OK(wr_storage_put(r.s, r.c, WR_STR("k"), (struct wr_bytes){other, body.n}, NULL, &e));
    faultstore_arm(r.f, FAULT_BEFORE, FAULT_ON_COMMIT, 1000, 1);
    T_IS(WR_TIMEOUT, store(&r, body, 1000, NULL, &e));
    T(holds(&r, (struct wr_bytes){other, body.n}));
    rig_down(&r);
}

/* Under any mix of faults: success means our bytes, failure the old ones or ours, and no upload is
 * left open. */
static void random_faults(void **state)
{
    unsigned failed = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 1500; seed++) {
        struct rig r = rig_up(t_seed() + seed);
        struct wr_rand rng;
        static uint8_t old_bytes[PART];
        struct wr_bytes old = {old_bytes, PART}, body;
        struct wr_err e = {0};

        wr_rand_init(&rng, seed);
        T_OK(wr_storage_put(r.s, r.c, WR_STR("k"), old, NULL, &e));
        body = noise(1 + (size_t)wr_rand_below(&rng, 12 * PART), seed);
        for (int k = 0; k <= FAULT_BROKEN; k++)
            faultstore_arm(
                r.f, (enum fault_kind)k, FAULT_ON_ALL, k == FAULT_BROKEN ? 10 : 100, UINT64_MAX);
        enum wr_status st = store(&r, body, 1 + (size_t)wr_rand_below(&rng, 3 * PART), NULL, NULL);
        faultstore_calm(r.f);
        T(holds(&r, body) || (st != WR_OK && holds(&r, old)));
        failed += st != WR_OK;
        rig_down(&r);
    }
    T(failed > 50 && failed < 1000);
}

static enum wr_status sweep(void *arg)
{
    struct rig *r = arg;
    enum wr_status st;

    faultstore_arm(r->f, FAULT_AFTER, FAULT_ON_PART, 1000, 1);
    st = store(r, noise(100, 1), 1000, NULL, NULL);
    return st == WR_OK ? store(r, noise(3 * PART, 2), 1000, NULL, NULL) : st;
}

static void survives_no_memory(void **state)
{
    struct rig r = rig_up(8);

    (void)state;
    T(sweep(&r) == WR_OK);
    faultstore_calm(r.f);
    t_sweep_nomem(sweep, &r);
    rig_down(&r);
}

T_MAIN(T_TEST(small_is_a_put_large_is_an_upload), T_TEST(part_sizes_follow_settings_and_hints),
    T_TEST(storage_without_parts_gets_one_put), T_TEST(keys_and_options_are_copied),
    T_TEST(bad_options_are_refused_at_once), T_TEST(failure_latches),
    T_TEST(a_lost_commit_is_looked_into), T_TEST(a_failed_commit_is_not_success),
    T_TEST(random_faults), T_TEST(survives_no_memory))
