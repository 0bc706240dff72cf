/*
 * test_store_client.c - requests to the simulated object store: races, clients that die or do not
 * wait, what the world is told, and what it does to a store.
 */
#include "harness/t.h"
#include "sim/store_kit.h"
#include "sim/tape.h"

#include "base/cancel.h"

#define S  INT64_C(1000000000)
#define MS INT64_C(1000000)

/* ---- hooks ---- */

static struct {
    unsigned created, changed, removed;
    char first[KIT_BODY];
} heard;

static void hear_put(
    struct store *s, const char *key, const uint8_t *p, size_t n, const uint8_t *old, size_t old_n)
{
    CHECK(strcmp(kit_peek(s), "") != 0 && strcmp(key, "k") == 0); /* it is there already */
    if (!old) {
        (void)kit_note(heard.first, key, p, n);
        heard.created++;
    } else {
        CHECK(old_n == strlen(heard.first) && memcmp(old, heard.first, old_n) == 0);
        heard.changed++;
    }
}

static void hear_remove(struct store *s, const char *key)
{
    CHECK(kit_peek(s)[0] == '\0' && strcmp(key, "k") == 0);
    heard.removed++;
}

static void listen(void *arg)
{
    struct store *s = store_new("bucket");
    struct kit_client *c = kit_client(s);

    (void)arg;
    store_heal(s);
    store_on_put = hear_put;
    store_on_remove = hear_remove;
    CHECK(kit_put(c, "k", "one") == WR_OK && heard.created == 1 && strcmp(heard.first, "one") == 0);
    CHECK(kit_put(c, "k", "two") == WR_OK && heard.changed == 1);
    CHECK(kit_remove(c, "k") == WR_OK && kit_remove(c, "k") == WR_OK && heard.removed == 1);
    CHECK(kit_put(c, "k", "two") == WR_OK && heard.created == 2);
    if (kit_upload(c, "k", "three") == WR_OK && store_ops(s)->part_min)
        CHECK(heard.changed == 2 && strcmp(kit_peek(s), "three") == 0);
}

static void the_world_is_told_of_changes(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++)
        child_run(seed, listen, NULL);
}

/* ---- races ---- */

struct racer {
    struct store *s;
    char text[KIT_BODY];
    enum wr_status st;
};

static void race(void *arg)
{
    struct racer *r = arg;

    r->st = kit_create(kit_client(r->s), "k", r->text);
}

#define RACERS 5

/* At most one wins, and whoever is told so did; a put that comes again later changes nothing. */
static void races(void *arg)
{
    struct store *s = store_new("bucket");
    const bool heal = *(const bool *)arg;
    struct racer r[RACERS];
    struct sim_fiber *f[RACERS];
    char winner[KIT_BODY] = "";
    unsigned won = 0, lost = 0;

    if (heal)
        store_heal(s);
    if (!(store_ops(s)->caps & WR_STORAGE_COND_PUT))
        return;
    for (int i = 0; i < RACERS; i++) {
        r[i] = (struct racer){.s = s};
        (void)snprintf(r[i].text, sizeof(r[i].text), "racer %d", i);
        f[i] = sim_spawn(sim_proc_new("racer"), "race", race, &r[i]);
    }
    for (int i = 0; i < RACERS; i++) {
        sim_join(f[i]);
        won += r[i].st == WR_OK;
        lost += r[i].st == WR_CONFLICT;
        if (r[i].st == WR_OK)
            memcpy(winner, r[i].text, sizeof(winner));
    }
    CHECK(won <= 1 && (!heal || (won == 1 && lost == RACERS - 1)));
    CHECK(won == 0 || strcmp(kit_peek(s), winner) == 0);
    memcpy(winner, kit_peek(s), sizeof(winner));
    sim_sleep(200 * S);
    CHECK(winner[0] == '\0' || strcmp(kit_peek(s), winner) == 0);
}

static void conditional_puts_have_one_winner(void **state)
{
    bool heal = true;

    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++)
        child_run(seed, races, &heal);
    heal = false;
    for (uint64_t seed = 0; seed < 200; seed++)
        child_run(seed, races, &heal);
}

static void unconditional(void *arg)
{
    struct store *s = store_new("bucket");
    struct kit_client *c = kit_client(s);
    uint64_t *seen = arg;

    store_heal(s);
    if (store_ops(s)->caps & WR_STORAGE_COND_PUT)
        return;
    ++*seen;
    CHECK(kit_create(c, "k", "one") == WR_OK && kit_create(c, "k", "two") == WR_OK);
    CHECK(strcmp(kit_peek(s), "two") == 0);
}

static void some_stores_ignore_conditions(void **state)
{
    uint64_t *seen = child_shared(sizeof(*seen));

    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++)
        child_run(seed, unconditional, seen);
    T(*seen > 2 && *seen < 30);
}

/* ---- clients that do not wait ---- */

struct fates {
    uint64_t applied, not_applied, unsent, after_death;
};

static void put_one(void *arg)
{
    (void)kit_put(kit_client(arg), "k", "the last will");
}

static void killed(void *arg)
{
    struct fates *sum = arg;
    struct store *s = store_new("bucket");
    struct sim_proc *p = sim_proc_new("client");

    store_heal(s);
    (void)sim_spawn(p, "put", put_one, s);
    sim_sleep((int64_t)tape_between(1, 20000) * 1000);
    sim_kill(p);
    CHECK(store_counts.after_death == 0);
    sim_sleep(10 * S);
    if (kit_peek(s)[0])
        sum->applied++;
    else
        sum->not_applied++;
    sum->unsent += store_counts.unsent;
    sum->after_death += store_counts.after_death;
}

static void the_dead_leave_requests_under_way(void **state)
{
    struct fates *sum = child_shared(sizeof(*sum));

    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++)
        child_run(seed, killed, sum);
    T(sum->applied + sum->not_applied == 100 && sum->not_applied >= sum->unsent);
    T(sum->unsent > 5 && sum->after_death > 5 && sum->applied > sum->after_death);
}

static void cancel_soon(void *arg)
{
    sim_sleep(MS);
    wr_cancel_now(arg);
}

/* Deadlines and cancels end the wait at once, whatever becomes of the request. */
static void impatient(void *arg)
{
    struct fates *sum = arg;
    struct store *s = store_new("bucket");
    struct kit_client *c = kit_client(s);
    struct wr_cancel cancel;
    struct sim_fiber *f;
    int64_t start = sim_now_ns();
    enum wr_status st;

    store_heal(s);
    c->call.deadline_ms = wr_mono_ms(c->call.clock) + 2;
    st = kit_put(c, "k", "late");
    CHECK(st == WR_OK || st == WR_TIMEOUT);
    CHECK(sim_now_ns() - start <= 4 * MS);
    sim_sleep(10 * S);
    if (st == WR_TIMEOUT && kit_peek(s)[0])
        sum->applied++;
    if (st == WR_TIMEOUT && !kit_peek(s)[0])
        sum->not_applied++;
    CHECK(kit_put(c, "k", "later") == WR_TIMEOUT); /* the deadline is past: nothing is sent */
    c->call.deadline_ms = WR_NEVER;
    wr_cancel_init(&cancel);
    c->call.cancel = &cancel;
    start = sim_now_ns();
    f = sim_spawn(sim_proc_current(), "cancel", cancel_soon, &cancel);
    st = kit_put(c, "k", "canceled");
    CHECK(st == WR_OK || (st == WR_CANCELED && sim_now_ns() - start <= 4 * MS));
    sum->unsent += st == WR_CANCELED;
    sim_join(f);
    start = sim_now_ns();
    CHECK(kit_put(c, "k", "canceled before") == WR_CANCELED && sim_now_ns() - start < MS);
}

static void clients_give_up_in_time(void **state)
{
    struct fates *sum = child_shared(sizeof(*sum));

    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++)
        child_run(seed, impatient, sum);
    T(sum->applied > 0 && sum->not_applied > 0 && sum->unsent > 0);
}

/* ---- what the world does to a store ---- */

static void outage(void *arg)
{
    struct store *s = store_new("bucket");
    struct kit_client *c = kit_client(s);
    int64_t until = sim_now_ns() + 60 * S;

    (void)arg;
    store_heal(s);
    CHECK(kit_put(c, "k", "before") == WR_OK);
    store_outage(s, until);
    while (sim_now_ns() < until - S) {
        CHECK(kit_put(c, "k", "during") == WR_BUSY);
        sim_sleep(S);
    }
    sim_sleep_until(until);
    CHECK(strcmp(kit_peek(s), "before") == 0);
    CHECK(kit_put(c, "k", "after") == WR_OK);
}

static void an_outage_ends(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++)
        child_run(seed, outage, NULL);
}

static void rot(void *arg)
{
    struct store *s = store_new("bucket");
    struct kit_client *c = kit_client(s);
    const char *key = NULL;
    unsigned bits = 0;
    char got[KIT_BODY];

    (void)arg;
    store_heal(s);
    CHECK(!store_rot(s, &key));
    CHECK(kit_put(c, "empty", "") == WR_OK && !store_rot(s, &key));
    CHECK(kit_put(c, "k", "sound") == WR_OK && store_rot(s, &key) && strcmp(key, "k") == 0);
    CHECK(kit_get(c, "k", got) == WR_OK && strlen(got) <= 5);
    for (size_t i = 0; i < 5; i++) {
        for (unsigned x = (uint8_t)(got[i] ^ "sound"[i]); x; x &= x - 1)
            bits++;
    }
    CHECK(bits == 1 && store_counts.rotten == 1);
}

static void rot_is_one_bit(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++)
        child_run(seed, rot, NULL);
}

T_MAIN(T_TEST(the_world_is_told_of_changes), T_TEST(conditional_puts_have_one_winner),
    T_TEST(some_stores_ignore_conditions), T_TEST(the_dead_leave_requests_under_way),
    T_TEST(clients_give_up_in_time), T_TEST(an_outage_ends), T_TEST(rot_is_one_bit))
