/*
 * The judgement of one replica, against a model of a database, an engine and a store that are as
 * slow as they like, and know what is really missing.
 */
#include "harness/t.h"
#include "base/rand.h"
#include "daemon/suspect.h"

#define COMMITS_MAX 4000
#define MS          INT64_C(1000000)
#define POLL_NS     (5000 * MS)

struct model {
    struct wr_rand rng;
    int64_t now_ns;
    int64_t made_ns[COMMITS_MAX]; /* of each commit */
    uint32_t n;                   /* commits */
    uint32_t captured, acked;     /* of them */
    uint32_t base;                /* what the index adds to their number */
    uint32_t count;               /* what it said when they were captured */
    weir_txid txid;               /* of the captured ones */
    weir_txid safe;               /* of the acked ones */
};

static weir_db_sight sight(const struct model *m)
{
    return (weir_db_sight){.struct_size = sizeof(weir_db_sight),
        .seen = WEIR_SEEN_INDEX,
        .commits = m->base + m->n,
        .proven = 1,
        .txid_commits = m->count,
        .txid = m->txid};
}

static void commit(struct model *m)
{
    T(m->n < COMMITS_MAX);
    m->made_ns[m->n++] = m->now_ns;
}

static void capture(struct model *m)
{
    if (m->captured == m->n)
        return;
    m->captured = m->n;
    m->count = m->base + m->n;
    m->txid++;
}

static void acknowledge(struct model *m)
{
    m->acked = m->captured;
    m->safe = m->txid;
}

/* How long the oldest commit has been missing. */
static int64_t missing_ns(const struct model *m)
{
    return m->acked == m->n ? 0 : m->now_ns - m->made_ns[m->acked];
}

static void test_never_more_than_is_missing(void **state)
{
    struct model m = {
        .now_ns = 1, .txid = 1, .safe = 1, .base = UINT32_MAX - 50, .count = UINT32_MAX - 50};
    struct wr_suspect s = {0};
    int64_t late_ns = 0, real_ns = 0;
    unsigned pace = 1;

    (void)state;
    wr_rand_init(&m.rng, t_seed());
    for (int i = 0; i < 20000; i++) {
        weir_txid safe;
        weir_db_sight seen;

        if (i % 500 == 0)
            pace = 1 + (unsigned)wr_rand_below(&m.rng, 60);
        m.now_ns += POLL_NS / 10;
        if (wr_rand_below(&m.rng, 8) == 0)
            commit(&m);
        if (wr_rand_below(&m.rng, pace) == 0)
            capture(&m);
        if (wr_rand_below(&m.rng, pace) == 0)
            acknowledge(&m);
        if (i % 10 != 0)
            continue;
        safe = m.safe;
        seen = sight(&m);
        wr_suspect_look(&s, &seen, safe, m.now_ns);
        T((s.since_ns == 0) == (m.acked == m.n));
        T(s.since_ns == 0 || m.now_ns - s.since_ns <= missing_ns(&m));
        late_ns = wr_max(late_ns, s.since_ns ? m.now_ns - s.since_ns : 0);
        real_ns = wr_max(real_ns, missing_ns(&m));
    }
    T(m.base + m.n < COMMITS_MAX); /* it did wrap */
    T(late_ns > 0 && real_ns <= 2 * late_ns + 2 * POLL_NS);
}

/* Whoever is stuck, and wherever, is found out in that time. */
static void test_what_is_stuck_is_found(void **state)
{
    struct wr_rand rng;

    (void)state;
    wr_rand_init(&rng, t_seed());
    for (int round = 0; round < 200; round++) {
        struct model m = {.now_ns = 1, .txid = 1, .safe = 1};
        struct wr_suspect s = {0};
        bool engine = round % 2 == 0;
        weir_db_sight seen;
        int64_t stuck_ns;

        wr_rand_init(&m.rng, wr_rand_u64(&rng));
        for (int i = 0; i < 100; i++) { /* all is well */
            m.now_ns += POLL_NS;
            commit(&m);
            capture(&m);
            acknowledge(&m);
            seen = sight(&m);
            wr_suspect_look(&s, &seen, m.safe, m.now_ns);
            T(s.since_ns == 0);
        }
        stuck_ns = m.now_ns;
        commit(&m);
        while (m.now_ns < stuck_ns + 20 * POLL_NS) {
            m.now_ns += POLL_NS;
            if (wr_rand_below(&m.rng, 2))
                commit(&m);
            if (!engine)
                capture(&m);
            if (wr_rand_below(&m.rng, 10) == 0) /* the index is recovered, and counts anew */
                m.base = (uint32_t)wr_rand_below(&m.rng, 3) - m.n;
            seen = sight(&m);
            wr_suspect_look(&s, &seen, m.safe, m.now_ns);
        }
        T(s.since_ns > 0 && s.since_ns <= stuck_ns + POLL_NS);
        commit(&m);
        capture(&m);
        acknowledge(&m);
        seen = sight(&m);
        wr_suspect_look(&s, &seen, m.safe, m.now_ns);
        T(s.since_ns == 0);
    }
}

static weir_db_sight as(int32_t seen, int32_t proven)
{
    return (weir_db_sight){
        .seen = seen, .commits = 5, .txid_commits = 5, .txid = 3, .proven = proven};
}

static void test_kinds_of_sight(void **state)
{
    static const struct {
        int32_t seen, proven;
        bool fine;
    } cases[] = {{WEIR_SEEN_NOTHING, 0, true}, {WEIR_SEEN_CLOSED, 1, false},
        {WEIR_SEEN_INDEX, 1, true}, {WEIR_SEEN_INDEX, 0, false}, {WEIR_SEEN_TORN, 1, false},
        {WEIR_SEEN_LOST, 1, false}, {WEIR_SEEN_AT_REST, 1, true}, {WEIR_SEEN_WRITTEN, 1, false}};

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        weir_db_sight seen = as(cases[i].seen, cases[i].proven);
        struct wr_suspect s = {0};

        wr_suspect_look(&s, &seen, 3, 100);
        T((s.since_ns == 0) == cases[i].fine);
        wr_suspect_look(&s, &seen, 3, 900); /* it stays as it was */
        T(s.since_ns == (cases[i].fine ? 0 : 100));
        seen = as(WEIR_SEEN_INDEX, 1);
        wr_suspect_look(&s, &seen, 3, 1000);
        T(s.since_ns == 0);
        wr_suspect_look(&s, &seen, 2, 1100); /* the replica lacks the last one */
        T(s.since_ns == 1100);
    }
}

/* A database that counts its transactions anew is judged by the new numbers. */
static void test_numbered_anew(void **state)
{
    struct wr_suspect s = {0};
    weir_db_sight seen = {.seen = WEIR_SEEN_INDEX, .commits = 9, .txid_commits = 9, .proven = 1};

    (void)state;
    seen.txid = 100;
    wr_suspect_look(&s, &seen, 99, 10);
    wr_suspect_look(&s, &seen, 99, 20);
    T(s.txid == 100 && s.since_ns == 10);
    seen.txid = 4;
    seen.commits = 10;
    wr_suspect_look(
        &s, &seen, 3, 30); /* by the old numbers 3 would have been too little for ever */
    T(s.since_ns == 30);
    seen.txid = 5;
    seen.txid_commits = 10;
    seen.commits = 11; /* busy */
    wr_suspect_look(&s, &seen, 4, 40);
    T(s.since_ns == 30 && s.txid == 5);
    seen.commits = 12;
    wr_suspect_look(&s, &seen, 5, 50); /* what was missing is there; what came later is not */
    T(s.since_ns == 50);
}

/* Not yet compared with the replica, it counts as missing from then on, whatever is seen first. */
static void test_opened_late(void **state)
{
    struct wr_suspect s = {0};
    weir_db_sight seen = as(WEIR_SEEN_CLOSED, 0);

    (void)state;
    wr_suspect_look(&s, &seen, 0, 10);
    seen = as(WEIR_SEEN_INDEX, 0);
    wr_suspect_look(&s, &seen, 0, 20);
    seen = as(WEIR_SEEN_INDEX, 1);
    wr_suspect_look(&s, &seen, 0, 30);
    T(s.since_ns == 10);
    wr_suspect_look(&s, &seen, 3, 40);
    T(s.since_ns == 0);
    seen.txid = 0; /* nothing was closed: nothing is safe */
    wr_suspect_look(&s, &seen, 0, 50);
    T(s.since_ns == 50);
}

T_MAIN(T_TEST(test_never_more_than_is_missing), T_TEST(test_what_is_stuck_is_found),
    T_TEST(test_kinds_of_sight), T_TEST(test_numbered_anew), T_TEST(test_opened_late))
