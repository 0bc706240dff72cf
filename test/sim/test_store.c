/*
 * test_store.c - the simulated object store and its faults: every kind comes about in some run, and
 * none after it was healed.
 *
 * What one request may expect is test_store_client.c's part; that a healed store keeps the driver's
 * contract, test_store_contract.c's.
 */
#include "harness/t.h"
#include "sim/store_kit.h"

#include "base/rand.h"

#define S INT64_C(1000000000)

/* ---- a life with everything ---- */

#define STEPS   150
#define CLIENTS 3

struct shared {
    struct store_counts counts; /* of all runs */
    uint64_t runs, weak, conditional, open_uploads, same;
    uint64_t hash;
};

static void add_counts(struct store_counts *sum)
{
    uint64_t is[sizeof(*sum) / sizeof(uint64_t)], all[sizeof(*sum) / sizeof(uint64_t)];

    memcpy(is, &store_counts, sizeof(is));
    memcpy(all, sum, sizeof(all));
    for (size_t i = 0; i < wr_countof(is); i++)
        all[i] += is[i];
    memcpy(sum, all, sizeof(all));
}

struct busy {
    struct store *s;
    int id;
    uint64_t hash; /* of all that was seen */
};

static bool may_be(enum wr_status st)
{
    return st == WR_OK || st == WR_NOTFOUND || st == WR_BUSY || st == WR_TIMEOUT || st == WR_AUTH ||
           st == WR_IO || st == WR_CONFLICT;
}

/* Bodies name their key, so that a mixture would show. */
static void read_back(struct busy *b, struct kit_client *c, const char *key)
{
    char text[KIT_BODY];
    enum wr_status st = kit_get(c, key, text);

    CHECK(may_be(st));
    if (st != WR_OK)
        return;
    CHECK(strncmp(text, key, wr_min(strlen(text), strlen(key))) == 0);
    CHECK(store_is_weak(b->s) || strlen(text) > strlen(key));
}

static void live(void *arg)
{
    struct busy *b = arg;
    struct kit_client *c = kit_client(b->s);
    struct wr_rand r;

    wr_rand_init(&r, (uint64_t)b->id);
    for (int i = 0; i < STEPS; i++) {
        char key[16], text[KIT_BODY];
        bool seen;
        enum wr_status st = WR_OK;

        (void)snprintf(key, sizeof(key), "key%llu", (unsigned long long)wr_rand_below(&r, 12));
        (void)snprintf(text, sizeof(text), "%s by %d, %d", key, b->id, i);
        switch (wr_rand_below(&r, 8)) {
        case 0:
        case 1:
            st = kit_put(c, key, text);
            break;
        case 2:
            st = kit_create(c, key, text);
            break;
        case 3:
            st = kit_remove(c, key);
            break;
        case 4:
            st = kit_is_listed(c, key, &seen);
            break;
        case 5:
            st = kit_upload(c, key, text);
            break;
        default:
            read_back(b, c, key);
            break;
        }
        CHECK(may_be(st));
        b->hash = (b->hash ^ (uint64_t)st) * 1099511628211u + (uint64_t)sim_now_ns();
        wr_arena_reset(&c->scratch);
    }
}

static void life(void *arg)
{
    struct shared *sum = arg;
    struct store *s = store_new("bucket");
    struct busy b[CLIENTS];
    struct sim_fiber *f[CLIENTS];
    uint64_t hash = 0;

    for (int i = 0; i < CLIENTS; i++) {
        b[i] = (struct busy){.s = s, .id = i};
        f[i] = sim_spawn(sim_proc_new("client"), "life", live, &b[i]);
    }
    for (int i = 0; i < CLIENTS; i++) {
        sim_join(f[i]);
        hash = hash * 31 + b[i].hash;
    }
    add_counts(&sum->counts);
    sum->runs++;
    sum->weak += store_is_weak(s);
    sum->conditional += (store_ops(s)->caps & WR_STORAGE_COND_PUT) != 0;
    sum->open_uploads += store_open_uploads(s);
    sum->same += sum->hash == hash;
    sum->hash = hash;
}

static void every_fault_comes_about(void **state)
{
    struct shared *sum = child_shared(sizeof(*sum));
    const struct store_counts *c = &sum->counts;

    (void)state;
    for (uint64_t seed = 0; seed < 120; seed++)
        child_run(seed, life, sum);
    T(sum->runs == 120 && sum->weak > 10 && sum->weak < 60);
    T(sum->conditional > 60 && sum->conditional < 110);
    T(c->requests > 0 && c->list > 0 && c->stat == 0 && c->get > 0 && c->put > 0);
    T(c->remove > 0 && c->upload > 0 && sum->open_uploads > 0);
    T(c->lost_requests > 0 && c->lost_acks > 0 && c->doubled > 0 && c->reordered > 0);
    T(c->busy > 0 && c->errors > 0 && c->denied > 0 && c->short_gets > 0);
    T(c->cut_lists > 0 && c->key_errors > 0 && c->stale_lists > 0 && c->conflicts > 0);
    T(sum->same == 0);
}

static void the_same_seed_is_the_same_life(void **state)
{
    struct shared *sum = child_shared(sizeof(*sum));

    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        uint64_t before = sum->same;

        child_run(seed, life, sum);
        child_run(seed, life, sum);
        T(sum->same == before + 1);
    }
}

/* ---- healed ---- */

/* What is under way from before has arrived: from then on every answer is the right one. */
static void healed(void *arg)
{
    struct store *s = store_new("bucket");
    struct busy b = {.s = s};
    struct kit_client *c = kit_client(s);
    struct store_counts was;
    char key[16], text[KIT_BODY], got[KIT_BODY];
    size_t open_uploads;
    bool seen;

    (void)arg;
    live(&b);
    store_outage(s, sim_now_ns() + 1000 * S);
    CHECK(kit_put(c, "key0", "key0 ") == WR_BUSY || kit_put(c, "key0", "key0 ") == WR_TIMEOUT);
    store_heal(s);
    CHECK(kit_is_listed(c, "", &seen) == WR_OK); /* at once, as far as what is asked from now on */
    sim_sleep(120 * S);
    was = store_counts;
    open_uploads = store_open_uploads(s);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof(key), "key%d", i % 15);
        (void)snprintf(text, sizeof(text), "%s after, %d", key, i);
        CHECK(kit_put(c, key, text) == WR_OK);
        CHECK(kit_get(c, key, got) == WR_OK && strcmp(text, got) == 0);
        CHECK(kit_is_listed(c, key, &seen) == WR_OK && seen);
        if (i % 3 == 0) {
            CHECK(kit_remove(c, key) == WR_OK && kit_get(c, key, got) == WR_NOTFOUND);
            CHECK(kit_is_listed(c, key, &seen) == WR_OK && !seen);
            CHECK(kit_upload(c, key, text) == WR_OK);
        }
        wr_arena_reset(&c->scratch);
    }
    CHECK(store_open_uploads(s) == open_uploads);
    was.requests = store_counts.requests;
    was.list = store_counts.list;
    was.get = store_counts.get;
    was.put = store_counts.put;
    was.remove = store_counts.remove;
    was.upload = store_counts.upload;
    CHECK(memcmp(&was, &store_counts, sizeof(was)) == 0); /* no fault was counted */
}

static void nothing_fails_after_healing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++)
        child_run(seed, healed, NULL);
}

/* ---- deceit ---- */

struct weakness {
    uint64_t cut[2], missed[2], ghosts[2]; /* elements 1 are of weak stores */
};

/* Puts and removes of known contents: what an answer that says OK has wrong. */
static void deceive(void *arg)
{
    struct weakness *sum = arg;
    struct store *s = store_new("bucket");
    const int weak = store_is_weak(s);
    struct kit_client *c = kit_client(s);
    char key[16], got[KIT_BODY];
    bool seen;

    for (int i = 0; i < 60; i++) {
        (void)snprintf(key, sizeof(key), "key%02d", i);
        if (kit_put(c, key, key) != WR_OK)
            continue;
        sum->missed[weak] += kit_is_listed(c, key, &seen) == WR_OK && !seen;
        sum->cut[weak] += kit_get(c, key, got) == WR_OK && strcmp(got, key) != 0;
        if (weak) {
            sim_sleep(20 * S); /* or a list would not have known the key before */
            if (kit_put(c, key, key) == WR_OK && kit_is_listed(c, key, &seen) == WR_OK)
                CHECK(seen); /* it did not appear only now */
        }
        if (kit_remove(c, key) == WR_OK && kit_get(c, key, got) == WR_NOTFOUND)
            sum->ghosts[weak] += kit_is_listed(c, key, &seen) == WR_OK && seen;
    }
}

static void only_weak_stores_deceive(void **state)
{
    struct weakness *sum = child_shared(sizeof(*sum));

    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++)
        child_run(seed, deceive, sum);
    T(sum->cut[1] > 0 && sum->missed[1] > 0 && sum->ghosts[1] > 0);
    T(sum->cut[0] == 0 && sum->missed[0] == 0);
}

#define PAIRS 20

/* The first put of each pair comes again after the second, or not. */
static void overtake(void *arg)
{
    uint64_t *old = arg;
    struct store *s = store_new("bucket");
    struct kit_client *c = kit_client(s);
    char key[16], got[KIT_BODY];
    bool both[PAIRS];

    for (int i = 0; i < PAIRS; i++) {
        (void)snprintf(key, sizeof(key), "key%d", i);
        both[i] = kit_put(c, key, "old") == WR_OK && kit_put(c, key, "new") == WR_OK;
    }
    store_heal(s);
    sim_sleep(120 * S);
    for (int i = 0; i < PAIRS; i++) {
        (void)snprintf(key, sizeof(key), "key%d", i);
        if (!both[i])
            continue;
        CHECK(kit_get(c, key, got) == WR_OK);
        CHECK(strcmp(got, "new") == 0 || store_counts.doubled > 0);
        *old += strcmp(got, "old") == 0;
    }
}

static void a_doubled_put_may_come_last(void **state)
{
    uint64_t *old = child_shared(sizeof(*old));

    (void)state;
    for (uint64_t seed = 0; seed < 120; seed++)
        child_run(seed, overtake, old);
    T(*old > 0);
}

T_MAIN(T_TEST(every_fault_comes_about), T_TEST(the_same_seed_is_the_same_life),
    T_TEST(nothing_fails_after_healing), T_TEST(only_weak_stores_deceive),
    T_TEST(a_doubled_put_may_come_last))
