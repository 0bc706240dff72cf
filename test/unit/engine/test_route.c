/*
 * test_route.c - the best chain of files against a search through all of them.
 */
#include "engine/route.h"

#include "base/rand.h"
#include "engine/plan.h"
#include "harness/t.h"

#define TXID_MAX  7
#define FILES_MAX 10
#define STATES    3 /* databases that a TXID may stand for */

struct replica {
    struct wr_ltx_file f[FILES_MAX];
    struct wr_fact facts[FILES_MAX];
    size_t n;
    struct wr_join bans[2];
    size_t n_bans;
};

static struct wr_map map_of(const struct replica *r)
{
    return (struct wr_map){
        .files = r->f, .facts = r->facts, .n = r->n, .bans = r->bans, .n_bans = r->n_bans};
}

static size_t add(struct replica *r, unsigned level, uint64_t min, uint64_t max)
{
    T(r->n < FILES_MAX);
    r->f[r->n] = (struct wr_ltx_file){.level = level, .min = min, .max = max, .size = 1000};
    return r->n++;
}

static size_t add_known(
    struct replica *r, unsigned level, uint64_t min, uint64_t max, uint64_t pre, uint64_t post)
{
    size_t i = add(r, level, min, max);

    r->facts[i] = (struct wr_fact){.read = true,
        .has_rolling = true,
        .page_size = 512,
        .rolling_pre = pre,
        .rolling_post = post};
    return i;
}

/* ---- random replicas ---- */

struct best {
    size_t suspicion, unproven, files, last;
    bool found;
};

static void consider(const struct replica *r, struct best *b, size_t last, struct best is)
{
    size_t unproven = is.unproven, n = is.files;
    bool better = !b->found || is.suspicion < b->suspicion;

    if (!better && is.suspicion > b->suspicion)
        return;
    better = better || unproven < b->unproven;
    if (!better && unproven == b->unproven && last != b->last)
        better = wr_plan_better(&r->f[last], &r->f[b->last]);
    if (!better && unproven == b->unproven && last == b->last)
        better = n < b->files;
    if (better)
        *b = (struct best){.suspicion = is.suspicion,
            .unproven = unproven,
            .files = n,
            .last = last,
            .found = true};
}

static bool banned(const struct replica *r, size_t a, size_t b)
{
    for (size_t i = 0; i < r->n_bans; i++) {
        if (r->bans[i].before == a && r->bans[i].after == b)
            return true;
    }
    return false;
}

/* All chains, by depth; none is longer than there are TXIDs. */
static void all_chains(const struct replica *r, uint64_t end, struct best *b)
{
    size_t chain[TXID_MAX + 1], next[TXID_MAX + 1];
    struct best way[TXID_MAX + 1]; /* what is so far */
    size_t depth = 0;

    next[0] = 0;
    for (;;) {
        size_t i = next[depth]++;
        enum wr_fit fit = WR_FIT_NO;

        if (i >= r->n) {
            if (depth == 0)
                return;
            depth--;
            continue;
        }
        way[depth] = depth ? way[depth - 1] : (struct best){0};
        way[depth].files++;
        way[depth].suspicion += r->facts[i].suspicion;
        if (depth == 0) {
            fit = r->f[i].min == 1 && !r->facts[i].aside ? WR_FIT_YES : WR_FIT_NO;
        } else if (!banned(r, chain[depth - 1], i)) {
            size_t a = chain[depth - 1];

            fit = wr_fit(&r->f[a], &r->facts[a], &r->f[i], &r->facts[i]);
            way[depth].unproven += fit == WR_FIT_UNPROVEN;
        }
        if (fit == WR_FIT_NO)
            continue;
        chain[depth] = i;
        if (r->f[i].max == end) {
            consider(r, b, i, way[depth]);
            continue;
        }
        next[++depth] = 0;
    }
}

static void check(const struct replica *r, uint64_t end)
{
    const struct wr_map m = map_of(r);
    size_t out[FILES_MAX];
    size_t n = 0, unproven = 0, suspicion = 0;
    struct best want = {0};
    struct wr_err e = {0};
    enum wr_status st = wr_route(&m, end, out, &n, &e);

    all_chains(r, end, &want);
    T_IS(want.found ? WR_OK : WR_NOTFOUND, st);
    if (st != WR_OK)
        return;
    T(n == want.files && out[n - 1] == want.last && r->f[out[0]].min == 1);
    for (size_t k = 0; k < n; k++)
        suspicion += r->facts[out[k]].suspicion;
    T(suspicion == want.suspicion);
    for (size_t k = 1; k < n; k++) {
        enum wr_fit fit =
            wr_fit(&r->f[out[k - 1]], &r->facts[out[k - 1]], &r->f[out[k]], &r->facts[out[k]]);

        T(fit != WR_FIT_NO && !banned(r, out[k - 1], out[k]));
        unproven += fit == WR_FIT_UNPROVEN;
    }
    T(unproven == want.unproven);
}

static bool has(const struct replica *r, unsigned level, uint64_t min, uint64_t max)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->f[i].level == level && r->f[i].min == min && r->f[i].max == max)
            return true;
    }
    return false;
}

static void random_replica(struct wr_rand *random, struct replica *r)
{
    size_t n = wr_rand_below(random, FILES_MAX) + 1;

    *r = (struct replica){0};
    while (r->n < n) {
        unsigned level = (unsigned)wr_rand_below(random, 3);
        size_t i = r->n;
        uint64_t min = wr_rand_below(random, 3) ? wr_rand_below(random, TXID_MAX) + 1 : 1;
        uint64_t max = min + wr_rand_below(random, wr_rand_below(random, TXID_MAX + 1 - min) + 1);

        if (has(r, level, min, max))
            continue;
        add_known(r, level, min, max, wr_rand_below(random, STATES), wr_rand_below(random, STATES));
        r->facts[i].read = wr_rand_below(random, 4) > 0;
        r->facts[i].has_rolling = wr_rand_below(random, 6) > 0;
        r->facts[i].aside = wr_rand_below(random, 10) == 0;
        r->facts[i].suspicion = wr_rand_below(random, 5) ? 0 : (uint32_t)wr_rand_below(random, 3);
        r->facts[i].plain = wr_rand_below(random, 3) == 0;
        r->facts[i].page_size = wr_rand_below(random, 12) ? 512 : 1024;
    }
    r->n_bans = wr_rand_below(random, 3);
    for (size_t i = 0; i < r->n_bans; i++)
        r->bans[i] = (struct wr_join){wr_rand_below(random, n), wr_rand_below(random, n)};
}

static void test_brute_force(void **state)
{
    struct wr_rand random;
    struct replica r;

    (void)state;
    wr_rand_init(&random, t_seed());
    for (int i = 0; i < 20000; i++) {
        size_t out[FILES_MAX];
        size_t n = 0;
        uint64_t far = 0;
        struct wr_map all;

        random_replica(&random, &r);
        for (uint64_t end = 1; end <= TXID_MAX; end++) {
            struct best b = {0};

            check(&r, end);
            all_chains(&r, end, &b);
            far = b.found ? end : far;
        }
        all = map_of(&r);
        T((wr_route(&all, 0, out, &n, NULL) == WR_OK) == (far > 0));
        T(far == 0 || r.f[out[n - 1]].max == far);
    }
}

static int by_cmp(const void *a, const void *b)
{
    return wr_ltx_file_cmp(a, b);
}

/* As long as nothing is known, it leads wherever the plan by names does. */
static void test_agrees_with_the_plan(void **state)
{
    struct wr_rand random;
    struct replica r;

    (void)state;
    wr_rand_init(&random, t_seed() + 1);
    for (int i = 0; i < 20000; i++) {
        size_t out[FILES_MAX];
        size_t n = 0, n_plan = 0;
        struct wr_map m;

        random_replica(&random, &r);
        memset(r.facts, 0, sizeof(r.facts));
        r.n_bans = 0;
        qsort(r.f, r.n, sizeof(r.f[0]), by_cmp);
        m = map_of(&r);
        for (uint64_t end = 1; end <= TXID_MAX; end++) {
            const struct wr_plan_target t = {.txid = end};

            T(wr_route(&m, end, out, &n, NULL) == wr_plan(r.f, r.n, &t, out, &n_plan, NULL));
        }
    }
}

/* ---- what fits ---- */

static void test_fit(void **state)
{
    struct replica r = {0};
    size_t a = add_known(&r, 0, 2, 4, 10, 20);
    size_t next = add_known(&r, 0, 5, 5, 20, 30);
    size_t rival = add_known(&r, 0, 5, 6, 21, 31);
    size_t within = add_known(&r, 1, 4, 6, 19, 31);
    size_t far = add_known(&r, 0, 6, 6, 20, 30);
    size_t same = add_known(&r, 1, 2, 5, 10, 30);

    (void)state;
#define FIT(x, y) wr_fit(&r.f[x], &r.facts[x], &r.f[y], &r.facts[y])
    T(FIT(a, next) == WR_FIT_YES);
    T(FIT(a, rival) == WR_FIT_NO);
    T(FIT(a, within) == WR_FIT_UNPROVEN);
    T(FIT(a, far) == WR_FIT_NO && FIT(next, a) == WR_FIT_NO && FIT(a, same) == WR_FIT_NO);
    r.facts[rival].read = false;
    T(FIT(a, rival) == WR_FIT_YES);
    r.facts[rival].plain = true;
    T(FIT(a, rival) == WR_FIT_UNPROVEN);
    r.facts[rival].plain = false;
    r.facts[next].plain = true; /* it was read */
    T(FIT(a, next) == WR_FIT_YES);
    r.facts[a].has_rolling = false;
    T(FIT(a, rival) == WR_FIT_UNPROVEN && FIT(a, next) == WR_FIT_UNPROVEN);
    r.facts[next].page_size = 1024;
    T(FIT(a, next) == WR_FIT_NO);
    r.facts[within].aside = true;
    T(FIT(a, within) == WR_FIT_NO);
#undef FIT
}

/* A replica that was made to hurt: every file could follow very many others. */
static void test_work_is_bounded(void **state)
{
    enum {
        N = 8000
    };
    static struct wr_ltx_file f[N];
    static struct wr_fact facts[N];
    static size_t out[N];
    const struct wr_map m = {.files = f, .facts = facts, .n = N};
    size_t n = 0;
    struct wr_err e = {0};

    (void)state;
    for (size_t i = 0; i < N; i++)
        f[i] = (struct wr_ltx_file){.min = i + 1, .max = N + i + 1, .size = 1000};
    T_IS(WR_NOTFOUND, wr_route(&m, 2 * N, out, &n, &e));
    assert_string_equal(e.text, "too many files hold the same transactions");
}

struct sweep {
    struct replica *r;
    size_t out[FILES_MAX];
    size_t n;
};

static enum wr_status sweep_body(void *arg)
{
    struct sweep *x = arg;
    const struct wr_map m = map_of(x->r);

    return wr_route(&m, 2, x->out, &x->n, NULL);
}

static void test_nomem(void **state)
{
    struct replica r = {0};
    struct sweep x = {.r = &r};
    const struct wr_map none = {0};
    struct wr_err e = {0};

    (void)state;
    add(&r, 0, 1, 1);
    add(&r, 0, 2, 2);
    t_sweep_nomem(sweep_body, &x);
    T(x.n == 2 && x.out[0] == 0 && x.out[1] == 1);
    T_IS(WR_NOTFOUND, wr_route(&none, 1, x.out, &x.n, &e));
}

T_MAIN(T_TEST(test_brute_force), T_TEST(test_agrees_with_the_plan), T_TEST(test_fit),
    T_TEST(test_work_is_bounded), T_TEST(test_nomem))
