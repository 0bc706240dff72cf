/*
 * test_follow.c - a follower on the simulated disk: it is killed, or the power goes, at any time,
 * while somebody reads the copy. What is found then is a state that the replica has, and none older
 * than what was told to be there.
 */
#include "engine/follow.h"

#include "base/bytes.h"
#include "engine/follow_state.h"
#include "harness/t.h"
#include "sim/disk_kit.h"
#include "sim/tape.h"
#include "unit/engine/restore_world.h"

#define SEEDS  150
#define STATES UINT64_C(9)
#define ROUNDS 8
#define LOCK   0x10000u /* where SQLite's lock page is here */
#define MS     INT64_C(1000000)
#define SOURCE "/data/source.db"

static struct {
    struct story story;
    struct world world;
    struct wr_rand random;
    int64_t rows[STATES + 2]; /* in table t, by transaction */
    uint64_t told;            /* the newest transaction that a follower told to be there */
    uint64_t found;           /* by the last one to begin */
    bool done;
    struct wr_restore_result restored;
} sim;

/* What happened in all runs. */
struct seen {
    uint64_t kills, cuts, reads, rolled_back, went_on, ends;
};
static struct seen *seen;

/* ---- the replica ---- */

static void commit(sqlite3 *db, const char *sql)
{
    struct story *s = &sim.story;
    const struct image *was = &s->image[s->n];
    struct image *is = &s->image[++s->n];
    const uint8_t *p;
    size_t n;

    CHECK(kit_sql(db, sql) == SQLITE_OK);
    p = disk_peek(SOURCE, &n);
    is->commit = (uint32_t)(n / s->page_size);
    is->data = wr_alloc(n);
    is->changed = wr_alloc((size_t)s->pages_max + 1);
    CHECK(is->data && is->changed && is->commit <= s->pages_max);
    memcpy(is->data, p, n);
    is->data[18] = is->data[19] = 2;
    for (uint32_t pgno = 1; pgno <= is->commit; pgno++) {
        size_t off = (size_t)(pgno - 1) * s->page_size;

        is->changed[pgno] =
            pgno != story_lock(s) &&
            (pgno > was->commit || memcmp(is->data + off, was->data + off, s->page_size) != 0);
    }
    story_sum(s);
    sim.rows[s->n] = kit_ask(db, "SELECT count(*) FROM t");
    if (s->n == 1)
        story_put(s, &sim.world, 9, 1, 1);
}

static void make_replica(void)
{
    static const char *const sql[STATES] = {"CREATE TABLE state(n); INSERT INTO state VALUES(1); "
                                            "CREATE TABLE t(n INTEGER PRIMARY KEY, x)",
        "UPDATE state SET n=2; INSERT INTO t(x) VALUES(zeroblob(30000))",
        "UPDATE state SET n=3; INSERT INTO t(x) VALUES(zeroblob(50000))",
        "UPDATE state SET n=4; UPDATE t SET x=zeroblob(40001) WHERE n=2",
        "UPDATE state SET n=5; CREATE TABLE u AS SELECT * FROM t",
        "UPDATE state SET n=6; DELETE FROM t WHERE n=2; DROP TABLE u",
        "UPDATE state SET n=7; INSERT INTO t(x) VALUES(1), (2), (3); VACUUM",
        "UPDATE state SET n=8; INSERT INTO t(x) SELECT zeroblob(3000) FROM t",
        "UPDATE state SET n=9; DELETE FROM t WHERE n % 2"};
    sqlite3 *db;

    wr_rand_init(&sim.random, 1);
    story_init(&sim.story, &sim.random, 1024, LOCK, 4000, true);
    world_init(&sim.world, WR_STORAGE_LIST_TIME, "");
    CHECK(sqlite3_open(SOURCE, &db) == SQLITE_OK);
    CHECK(kit_sql(db, "PRAGMA page_size=1024; PRAGMA journal_mode=memory") == SQLITE_OK);
    for (size_t i = 0; i < STATES; i++)
        commit(db, sql[i]);
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

/* ---- the follower ---- */

/* The copy is that transaction, but for what makes it a copy. */
static void check_bytes(uint64_t txid)
{
    const struct image *want = &sim.story.image[txid];
    uint32_t page_size = sim.story.page_size;
    size_t n;
    const uint8_t *p = disk_peek(KIT_DB, &n);

    CHECK(p && n == (size_t)want->commit * page_size);
    for (size_t i = 0; i < n; i++) {
        bool ours = (i >= 18 && i < 20) || (i >= 24 && i < 32) || (i >= 40 && i < 44) ||
                    (i >= 92 && i < 96) || i / page_size + 1 == story_lock(&sim.story);

        CHECK(ours || p[i] == want->data[i]);
    }
}

static void note_report(void *arg, const struct wr_follow_report *r)
{
    (void)arg;
    CHECK(r->txid >= sim.told && r->phase != WR_FOLLOW_FAILING);
    sim.told = r->txid;
    sim.done = r->txid == STATES;
}

static void follow(void *arg)
{
    const struct wr_follow_opts o = {
        .restore = {.fs = disk_fs(), .path = KIT_DB, .parallel = 1, .lock_offset = LOCK},
        .interval_ms = 5,
        .patience_ms = 50,
        .tell = note_report};
    struct wr_call *c = t_call();
    struct wr_follow *f = NULL;
    struct wr_follow_report is;
    struct wr_err e = {0};
    int64_t wait_ms = 0;
    enum wr_status st;

    (void)arg;
    do { /* a reader may be rolling back */
        st = wr_follow_open(sim.world.storage, c, &o, &f, &sim.restored, &e);
        sim_sleep(MS);
    } while (st == WR_BUSY);
    if (st != WR_OK)
        sim_fail("a follower does not go on: %s", e.text);
    wr_follow_look(f, &is);
    if (is.txid < sim.told)
        sim_fail("the copy went back from %d to %d", (int)sim.told, (int)is.txid);
    check_bytes(is.txid);
    sim.found = is.txid;
    while (!sim.done) {
        if (wr_follow_step(f, c, &wait_ms, &e) != WR_OK)
            sim_fail("a step: %s", e.text);
        sim_sleep(wait_ms * MS);
    }
    wr_follow_close(f);
}

/* ---- a reader ---- */

static void read_on(void *arg)
{
    int64_t newest = 0;

    (void)arg;
    for (;;) {
        sqlite3 *db = NULL;

        if (sqlite3_open_v2(KIT_DB, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK) {
            CHECK(sqlite3_busy_timeout(db, 1000) == SQLITE_OK);
            for (int i = 0; i < 5 && kit_sql(db, "BEGIN") == SQLITE_OK; i++) {
                int64_t n = kit_ask(db, "SELECT n FROM state");
                int64_t rows = n > 0 ? kit_ask(db, "SELECT count(*) FROM t") : 0;

                if (n > 0) { /* else it was busy */
                    CHECK(n >= newest && n <= (int64_t)STATES);
                    CHECK(rows == sim.rows[n] && kit_ask(db, "PRAGMA integrity_check") == -1);
                    newest = n;
                    seen->reads++;
                }
                CHECK(kit_sql(db, "COMMIT") == SQLITE_OK);
                sim_sleep(tape_below(3) * MS);
            }
        }
        (void)sqlite3_close(db);
        sim_sleep(MS);
    }
}

/* ---- the end of it ---- */

static void one_run(void *arg)
{
    bool with_reader, cut;

    seen = arg;
    CHECK(sqlite3_test_control(SQLITE_TESTCTRL_PENDING_BYTE, LOCK) > 0);
    kit_sqlite();
    make_replica();
    with_reader = tape_below(2);
    for (uint64_t i = 0, stored = 1; i < ROUNDS; i++) {
        bool last = i + 1 == ROUNDS;
        struct sim_proc *p = sim_proc_new("follower"), *q = sim_proc_new("reader");
        struct sim_fiber *f = sim_spawn(p, "follow", follow, NULL);

        for (uint64_t to = last ? STATES : stored + tape_below(3); stored < wr_min(to, STATES);) {
            stored++;
            story_put(&sim.story, &sim.world, 0, stored, stored);
        }
        if (with_reader)
            (void)sim_spawn(q, "read", read_on, NULL);
        if (last)
            sim_join(f);
        else
            sim_sleep((int64_t)tape_below(tape_below(2) ? 20000 : 2000) * (MS / 1000));
        cut = tape_below(2);
        sim_kill(p);
        seen->kills++;
        if (disk_peek(KIT_DB "-journal", &(size_t){0}))
            seen->rolled_back++;
        if (cut || last)
            sim_kill(q);
        if (cut) {
            disk_power_cut();
            seen->cuts++;
        } else if (sim_proc_alive(q)) {
            sim_sleep(20 * MS); /* who comes first rolls back */
            sim_kill(q);
        }
        seen->went_on += sim.found > 1;
    }
    check_bytes(STATES);
    seen->ends += sim.done;
}

static void a_cut_leaves_a_state_and_the_next_goes_on(void **state)
{
    struct seen *sum = child_shared(sizeof(*sum));

    (void)state;
    for (uint64_t i = 0; i < SEEDS; i++)
        child_run(t_seed() + i, one_run, sum);
    T(sum->ends == SEEDS && sum->cuts > SEEDS && sum->reads > SEEDS);
    T(sum->rolled_back > SEEDS / 10 && sum->went_on > SEEDS);
}

T_MAIN(T_TEST(a_cut_leaves_a_state_and_the_next_goes_on))
