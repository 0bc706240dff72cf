/*
 * test_epochs.c - what is the new primary's, and what is astray, in buckets that promotions have
 * written to.
 *
 * The database has two pages, and only the second one changes: a state is what that is filled with.
 */
#include "harness/ltx_model.h"
#include "harness/t.h"
#include "sim/commits.h"
#include "sim/epochs.h"
#include "sim/store_kit.h"
#include "sim/verdict.h"

#define PAGE_SIZE 512u
#define LOCK      (4u * PAGE_SIZE)
#define AWAY      ((uint64_t)1 << 22)

/* ---- the verdict: what the first primary has sent; and whatever is restored was committed ---- */

static struct {
    struct judge *first;
    bool shared;
    uint64_t inherited; /* by its hash: a state that no new primary has committed */
} v;

static void hear_put(
    struct store *s, const char *key, const uint8_t *p, size_t n, const uint8_t *old, size_t old_n)
{
    char why[JUDGE_TEXT];

    (void)s;
    (void)old;
    (void)old_n;
    if (!v.shared && !judge_put(v.first, key, p, n, why))
        sim_fail("%s", why);
}

static void hear_remove(struct store *s, const char *key)
{
    (void)s;
    judge_remove(v.first, key);
}

void verdict_shared(bool is)
{
    v.shared = is;
}

bool verdict_image(uint64_t txid, struct judge_image *ret)
{
    return judge_find(v.first, txid, ret);
}

void verdict_acked(uint64_t txid, size_t commits)
{
    (void)txid;
    (void)commits;
}

size_t commits_find(size_t from, uint64_t hash, uint32_t pages, uint32_t page_size)
{
    (void)hash;
    (void)pages;
    (void)page_size;
    return from;
}

bool commits_has(uint32_t db, uint64_t hash, uint32_t pages, uint32_t page_size)
{
    (void)pages;
    (void)page_size;
    return db == 0 || hash != v.inherited;
}

/* ---- a bucket ---- */

enum {
    OLD = 1, /* the first primary's node; the others promote */
    ANNA,
    BERT,
    CARL
};

struct bucket {
    struct store *store;
    struct kit_client *client;
};

static struct bucket bucket_new(void)
{
    struct bucket b = {.store = store_new("bucket")};

    store_heal(b.store);
    b.client = kit_client(b.store);
    v.first = judge_new(LOCK);
    v.inherited = 0;
    store_on_put = hear_put;
    store_on_remove = hear_remove;
    epochs_begin(LOCK);
    return b;
}

static void put(const struct bucket *b, const char *key, struct wr_bytes body)
{
    const struct wr_put_opts o = {0};

    CHECK(b->client->ops->put(
              b->client->self, &b->client->call, wr_str(key), body, &o, NULL, NULL) == WR_OK);
}

static void fill(struct t_ltx *m, uint32_t pgno, char with)
{
    uint8_t page[PAGE_SIZE];

    memset(page, with, sizeof(page));
    t_ltx_set(m, pgno, page);
}

static uint64_t sum_of(char state)
{
    struct t_ltx m = {.page_size = PAGE_SIZE, .commit = 2};
    uint64_t sum;

    fill(&m, 1, '1');
    fill(&m, 2, state);
    sum = t_ltx_sum(&m);
    t_ltx_release(&m);
    return sum;
}

/* `node` sends a file that leads from the state `pre` to `post`. From '\0' it is a snapshot, and
 * from a state to the same it has page 1, as a fence. */
static void send(
    const struct bucket *b, uint64_t node, uint64_t min, uint64_t max, char pre, char post)
{
    struct t_ltx m = {.page_size = PAGE_SIZE,
        .commit = 2,
        .min = min,
        .max = max,
        .node = node,
        .rolling = true,
        .pre = pre ? sum_of(pre) : t_ltx_sum(&(struct t_ltx){0}),
        .post = sum_of(post)};
    struct wr_bytes file;
    char key[KIT_BODY];

    if (!pre || pre == post)
        fill(&m, 1, '1');
    if (pre != post)
        fill(&m, 2, post);
    file = t_ltx_encode(&m);
    (void)snprintf(key, sizeof(key), "ltx/%d/%016llx-%016llx.ltx", pre ? 0 : 9,
        (unsigned long long)min, (unsigned long long)max);
    put(b, key, file);
    t_ltx_free(&file);
    t_ltx_release(&m);
}

static void put_lease(const struct bucket *b, uint64_t epoch, const char *owner, uint64_t node)
{
    char text[200];

    (void)snprintf(text, sizeof(text),
        "{\"epoch\":%llu,\"owner\":\"%s\",\"node\":\"%016llx\",\"token\":\"%016llx\"}",
        (unsigned long long)epoch, owner, (unsigned long long)node, (unsigned long long)node);
    put(b, "lease.json", (struct wr_bytes){(const uint8_t *)text, strlen(text)});
}

static void take_lease(const struct bucket *b, uint64_t epoch, uint64_t node)
{
    char owner[40];

    (void)snprintf(owner, sizeof(owner), "sim:/%llu", (unsigned long long)node);
    put_lease(b, epoch, owner, node);
}

/* As it may, of a replica that was empty when the promotion began. */
static void take_back_lease(const struct bucket *b, uint64_t epoch)
{
    put_lease(b, epoch, "app.db", OLD);
}

/* The fence has the name `at`. */
static void put_fence(const struct bucket *b, uint64_t node, uint64_t at, char state)
{
    send(b, node, at, at, state, state);
}

static void leave_out(const struct bucket *b, uint64_t node, uint64_t from, char state)
{
    send(b, node, from, from + AWAY - 1, state, state);
}

static uint64_t hash_of(char state)
{
    uint8_t db[2 * PAGE_SIZE];

    memset(db, '1', PAGE_SIZE);
    memset(db + PAGE_SIZE, state, PAGE_SIZE);
    return judge_hash_database(db, sizeof(db), PAGE_SIZE, LOCK);
}

/* TXID `txid` restores to that state. */
static void belongs(uint64_t txid, char state)
{
    const struct judge_image image = {
        .txid = txid, .page_size = PAGE_SIZE, .commit = 2, .hash = hash_of(state)};

    epochs_belongs(txid, &image);
}

/* ---- a dead process's 2-2 arrives beneath 2-3 of its successor, which does not count ---- */

static struct bucket two_ways(void)
{
    struct bucket b = bucket_new();

    send(&b, OLD, 1, 1, '\0', 's');
    take_lease(&b, 1, ANNA);
    send(&b, OLD, 2, 3, 's', 'b');
    send(&b, OLD, 2, 2, 's', 'a');
    return b;
}

static void another_goes_on(void *arg)
{
    struct bucket b = two_ways();

    (void)arg;
    put_fence(&b, ANNA, 3, 'a'); /* and dies */
    take_lease(&b, 2, BERT);
    put_fence(&b, BERT, 4, 'b');
    leave_out(&b, BERT, 5, 'b');
    CHECK(epochs_strays() == 0);
    belongs(2, 'a');
    belongs(3, 'b');
    belongs(4, 'b');
    belongs(4 + AWAY, 'b');
}

static void another_goes_on_from_the_fence(void *arg)
{
    struct bucket b = two_ways();

    (void)arg;
    put_fence(&b, ANNA, 3, 'a');
    take_lease(&b, 2, BERT);
    put_fence(&b, BERT, 4, 'a');
    leave_out(&b, BERT, 5, 'a');
    CHECK(epochs_strays() == 1);
    belongs(4, 'a');
    belongs(4 + AWAY, 'a');
}

static void the_same_goes_on(void *arg)
{
    struct bucket b = two_ways();

    (void)arg;
    put_fence(&b, ANNA, 3, 'a');
    leave_out(&b, ANNA, 4, 'b');
    epochs_promoted(1, ANNA, ANNA);
    epochs_goes_on(ANNA, 1);
    take_lease(&b, 2, BERT);
    put_fence(&b, BERT, 4 + AWAY, 'b');
    leave_out(&b, BERT, 5 + AWAY, 'b');
    belongs(3, 'b');
    belongs(4 + AWAY, 'b');
}

static void the_fence_comes_late(void *arg)
{
    struct bucket b = two_ways();

    (void)arg;
    take_lease(&b, 2, BERT);
    put_fence(&b, BERT, 4, 'b');
    leave_out(&b, BERT, 5, 'b');
    put_fence(&b, ANNA, 3, 'a');
    CHECK(epochs_strays() == 0);
    belongs(3, 'b');
}

static void a_fence_that_nobody_goes_on_from_is_astray(void **state)
{
    (void)state;
    child_run(1, another_goes_on, NULL);
    child_run(1, another_goes_on_from_the_fence, NULL);
    child_run(1, the_same_goes_on, NULL);
    child_run(1, the_fence_comes_late, NULL);
}

/* The same to one that was promoted. */
static void again(bool fence_first, char state)
{
    const uint64_t at = 3 + AWAY; /* that it has sent */
    struct bucket b = bucket_new();

    send(&b, OLD, 1, 1, '\0', 's');
    take_lease(&b, 1, ANNA);
    put_fence(&b, ANNA, 2, 's');
    leave_out(&b, ANNA, 3, 's');
    epochs_promoted(1, ANNA, ANNA);
    epochs_goes_on(ANNA, 1);
    send(&b, ANNA, at, at, 's', 'n');
    take_lease(&b, 2, BERT);
    if (!fence_first)
        send(&b, ANNA, at + 1, at + 2, 'n', 'b');
    send(&b, ANNA, at + 1, at + 1, 'n', 'a');
    put_fence(&b, BERT, at + 2, 'a');
    if (fence_first)
        send(&b, ANNA, at + 1, at + 2, 'n', 'b');
    take_lease(&b, 3, CARL);
    put_fence(&b, CARL, at + 3, state);
    leave_out(&b, CARL, at + 4, state);
    CHECK(epochs_strays() == (state == 'a'));
    belongs(at + 3, state);
    belongs(at + 3 + AWAY, state);
}

static void again_from_the_longer(void *arg)
{
    again(*(const bool *)arg, 'b');
}

static void again_from_the_fence(void *arg)
{
    again(*(const bool *)arg, 'a');
}

static void and_so_it_is_behind_one_that_was_promoted(void **state)
{
    static bool fence_first[] = {false, true};

    (void)state;
    for (size_t i = 0; i < wr_countof(fence_first); i++) {
        child_run(1, again_from_the_longer, &fence_first[i]);
        child_run(1, again_from_the_fence, &fence_first[i]);
    }
}

/* ---- the first primary takes the lease back, and then comes the fence of who had it ---- */

static void the_next_goes_on_from_the_fence(void *arg)
{
    struct bucket b = bucket_new();

    (void)arg;
    send(&b, OLD, 1, 1, '\0', 's');
    take_lease(&b, 1, ANNA);
    take_back_lease(&b, 2);
    send(&b, OLD, 2, 2, 's', 'a');
    put_fence(&b, ANNA, 3, 'a');
    take_lease(&b, 3, ANNA);
    put_fence(&b, ANNA, 4, 'a');
    leave_out(&b, ANNA, 5, 'a');
    CHECK(epochs_strays() == 0);
    belongs(2, 'a');
    belongs(4, 'a');
    belongs(4 + AWAY, 'a');
}

static void a_fence_of_who_had_lost_the_lease_to_the_old_primary(void **state)
{
    (void)state;
    child_run(1, the_next_goes_on_from_the_fence, NULL);
}

/* ---- the next promotion puts its fence before anything of the one that was promoted ---- */

/* What that one has sent of its own, 'n', is in a file of the fence's TXID and the next one. */
static uint64_t nothing_of_its_own(void)
{
    const uint64_t at = 3 + AWAY;
    struct bucket b = bucket_new();

    send(&b, OLD, 1, 1, '\0', 's');
    take_lease(&b, 1, ANNA);
    put_fence(&b, ANNA, 2, 's');
    leave_out(&b, ANNA, 3, 's');
    epochs_promoted(1, ANNA, ANNA);
    epochs_goes_on(ANNA, 1);
    v.inherited = hash_of('s');
    take_lease(&b, 2, BERT);
    send(&b, ANNA, at, at + 1, 's', 'n');
    put_fence(&b, BERT, at, 's');
    put_fence(&b, BERT, at + 2, 'n');
    leave_out(&b, BERT, at + 3, 'n');
    return at;
}

static void has_what_it_went_on_from(void *arg)
{
    const uint64_t at = nothing_of_its_own();

    (void)arg;
    belongs(at, 's');
    belongs(at + 1, 'n');
    belongs(at + 2, 'n');
}

static void a_fence_before_anything_of_the_one_that_was_promoted(void **state)
{
    (void)state;
    child_run(1, has_what_it_went_on_from, NULL);
}

/* ---- what is wrong is found as before ---- */

static void goes_back_to_what_it_went_on_from(void *arg)
{
    const uint64_t at = nothing_of_its_own();

    (void)arg;
    belongs(at + 1, 's');
}

static void restores_to_the_fence(void *arg)
{
    another_goes_on(arg);
    belongs(4, 'a');
}

static void has_two_states(void *arg)
{
    struct bucket b = two_ways();

    (void)arg;
    put_fence(&b, ANNA, 3, 'a');
    take_lease(&b, 2, BERT);
    put_fence(&b, BERT, 4, 'b');
    leave_out(&b, BERT, 5, 'a');
}

static void goes_on_from_nothing(void *arg)
{
    struct bucket b = two_ways();

    (void)arg;
    put_fence(&b, ANNA, 3, 'a');
    take_lease(&b, 2, BERT);
    put_fence(&b, BERT, 4, 's');
    leave_out(&b, BERT, 5, 's');
}

static void old_one_writes_behind_it(void *arg)
{
    struct bucket b = two_ways();

    (void)arg;
    put_fence(&b, ANNA, 3, 'a');
    take_lease(&b, 2, BERT);
    send(&b, OLD, 4, 4, 'b', 'd');
    put_fence(&b, BERT, 5, 'd');
    leave_out(&b, BERT, 6, 'd');
    send(&b, OLD, 6, 6, 'd', 'e');
}

static void no_fence_hides_what_is_wrong(void **state)
{
    (void)state;
    child_fails(1, restores_to_the_fence, NULL, "P3: txid 4 is not the state at the fence, txid 4");
    child_fails(1, has_two_states, NULL, "P1: nothing leads to the fence, txid 5");
    child_fails(1, goes_on_from_nothing, NULL, "not made for the database before it");
    child_fails(1, old_one_writes_behind_it, NULL, "P2: two writers");
    child_fails(1, goes_back_to_what_it_went_on_from, NULL, "is not the new primary's");
}

T_MAIN(T_TEST(a_fence_that_nobody_goes_on_from_is_astray),
    T_TEST(and_so_it_is_behind_one_that_was_promoted),
    T_TEST(a_fence_of_who_had_lost_the_lease_to_the_old_primary),
    T_TEST(a_fence_before_anything_of_the_one_that_was_promoted),
    T_TEST(no_fence_hides_what_is_wrong))
