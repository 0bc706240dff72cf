/*
 * test_storm.c - SQLite's processes on the simulated machine, side by side: what is left after
 * storms, kills and power cuts.
 */
#include "harness/t.h"
#include "sim/disk_kit.h"
#include "sim/tape.h"

#define SEEDS 100
#define MS    INT64_C(1000000)

/* ---- storms ---- */

static const char *const page_sizes[] = {
    "PRAGMA page_size=512", "PRAGMA page_size=1024", "PRAGMA page_size=4096"};

struct totals {
    uint64_t commits, busy, checkpoints, kills, unacknowledged, lost, torn, dropped, corrupt;
};

static struct storm {
    const char *pragmas;
    int64_t acknowledged; /* the largest `n` that was committed, as far as a writer knows */
    int writers;          /* that go on */
    bool may_corrupt;     /* SQLite may find the database corrupt, and a writer gives up */
    struct totals *totals;
} storm;

/* Each commit has the next number, so what survives a crash must be 1, 2, 3 ... without a gap,
 * twice. Overflow pages and a small cache: transactions of many frames, and spills before the
 * commit. */
static const char *const transaction =
    "BEGIN IMMEDIATE;"
    "INSERT INTO t SELECT coalesce(max(n), 0) + 1, randomblob(abs(random()) % 6000) FROM t;"
    "UPDATE u SET x = randomblob(abs(random()) % 3000) WHERE n % 7 = abs(random()) % 7;"
    "INSERT INTO u SELECT max(n), randomblob(100) FROM t";

static void write_one(sqlite3 *db)
{
    int rc = kit_sql(db, transaction);
    int64_t n = rc == SQLITE_OK ? kit_ask(db, "SELECT max(n) FROM t") : 0;

    if (rc == SQLITE_OK)
        rc = kit_sql(db, "COMMIT");
    if (rc == SQLITE_OK) {
        storm.acknowledged = wr_max(storm.acknowledged, n);
        storm.totals->commits++;
        return;
    }
    CHECK(rc == SQLITE_BUSY || (rc == SQLITE_CORRUPT && storm.may_corrupt));
    storm.totals->busy++;
    if (!sqlite3_get_autocommit(db))
        CHECK(kit_sql(db, "ROLLBACK") == SQLITE_OK);
}

static void write_some(void *arg)
{
    sqlite3 *db = kit_db(storm.pragmas);

    (void)arg;
    for (uint32_t i = 5 + tape_below(15); i > 0; i--) {
        write_one(db);
        sim_sleep((int64_t)tape_between(0, (uint64_t)MS));
    }
    if (tape_chance(500))
        CHECK(sqlite3_close(db) == SQLITE_OK);
    storm.writers--;
}

static void checkpoint_some(void *arg)
{
    sqlite3 *db = kit_db(storm.pragmas);

    (void)arg;
    while (storm.writers > 0) {
        int mode = (int)tape_below(4); /* PASSIVE to TRUNCATE */
        int rc = sqlite3_wal_checkpoint_v2(db, NULL, mode, NULL, NULL);

        CHECK(rc == SQLITE_OK || rc == SQLITE_BUSY || storm.may_corrupt);
        storm.totals->checkpoints += rc == SQLITE_OK;
        sim_sleep((int64_t)tape_between(0, 10 * (uint64_t)MS));
    }
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

/* What is there: whole, numbered without a gap, and how much of it. */
static int64_t check_database(void)
{
    sqlite3 *db = kit_db("PRAGMA cache_size=100");
    int64_t n = kit_ask(db, "SELECT count(*) FROM t");

    CHECK(kit_ask(db, "PRAGMA integrity_check") == -1);
    CHECK(n >= 0 && kit_ask(db, "SELECT coalesce(max(n), 0) FROM t") == n);
    CHECK(kit_ask(db, "SELECT count(*) FROM u") == n);
    CHECK(kit_ask(db, "SELECT count(DISTINCT n) FROM u") == n);
    CHECK(sqlite3_close(db) == SQLITE_OK);
    return n;
}

static void start_storm(struct sim_proc *procs[3])
{
    procs[0] = sim_proc_new("writer-1");
    procs[1] = sim_proc_new("writer-2");
    procs[2] = sim_proc_new("checkpointer");
    storm.writers = 2;
    (void)sim_spawn(procs[0], "writer", write_some, NULL);
    (void)sim_spawn(procs[1], "writer", write_some, NULL);
    (void)sim_spawn(procs[2], "checkpointer", checkpoint_some, NULL);
}

static void storm_begin(const char *mode, const char *pragmas, void *totals)
{
    char text[256];

    kit_sqlite();
    storm.pragmas = pragmas;
    storm.totals = totals;
    (void)snprintf(text, sizeof(text), "%s; PRAGMA journal_mode=%s; PRAGMA synchronous=EXTRA",
        page_sizes[tape_below(wr_countof(page_sizes))], mode);
    kit_tables(text);
}

static void write_beside_checkpoints(void *arg)
{
    struct sim_proc *procs[3];

    storm_begin("wal", "PRAGMA cache_size=5; PRAGMA wal_autocheckpoint=20", arg);
    start_storm(procs);
    while (storm.writers > 0)
        sim_sleep(5 * MS);
    CHECK(check_database() == storm.acknowledged);
}

static void writers_and_a_checkpointer_get_along(void **state)
{
    struct totals *sum = child_shared(sizeof(*sum));

    (void)state;
    for (uint64_t i = 0; i < SEEDS; i++)
        child_run(t_seed() + i, write_beside_checkpoints, sum);
    T(sum->commits && sum->checkpoints);
}

static bool has_reset_fix(void)
{
    int v = sqlite3_libversion_number();

    return v >= 3051003 || (v >= 3050007 && v < 3051000) || (v >= 3044006 && v < 3045000);
}

/* Frames that a checkpoint skips are missing for good once the WAL starts anew. */
static void reset_in_the_window(void *arg)
{
    struct totals *totals = arg;
    struct sim_proc *procs[3];
    sqlite3 *db;

    vfs_unfetch = true;
    storm_begin("wal", "PRAGMA cache_size=5; PRAGMA wal_autocheckpoint=10", arg);
    storm.may_corrupt = true;
    start_storm(procs);
    while (storm.writers > 0)
        sim_sleep(5 * MS);
    db = kit_db("");
    totals->corrupt += kit_ask(db, "PRAGMA integrity_check") != -1 ||
                       kit_ask(db, "SELECT count(*) FROM t") != storm.acknowledged;
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

static void the_window_of_the_wal_reset_bug_opens(void **state)
{
    struct totals *sum = child_shared(sizeof(*sum));

    (void)state;
    for (uint64_t i = 0; i < 5 * SEEDS && (has_reset_fix() || !sum->corrupt); i++)
        child_run(t_seed() + i, reset_in_the_window, sum);
    T(has_reset_fix() ? sum->corrupt == 0 : sum->corrupt > 0);
}

/* One dies at any moment, the others go on and recover what it left half done. */
static void kill_one(void *arg)
{
    struct sim_proc *procs[3];
    uint32_t which = tape_below(3);
    int64_t n;

    storm_begin("wal", "PRAGMA cache_size=5; PRAGMA wal_autocheckpoint=20", arg);
    start_storm(procs);
    sim_sleep((int64_t)tape_between(0, 60 * (uint64_t)MS));
    if (which < 2 && storm.writers == 2)
        storm.writers--;
    else
        which = 2;
    sim_kill(procs[which]);
    storm.totals->kills++;
    while (storm.writers > 0)
        sim_sleep(5 * MS);
    n = check_database();
    CHECK(n == storm.acknowledged || n == storm.acknowledged + 1);
    storm.totals->unacknowledged += n > storm.acknowledged;
}

static void kills_lose_nothing(void **state)
{
    struct totals *sum = child_shared(sizeof(*sum));

    (void)state;
    for (uint64_t i = 0; i < SEEDS; i++)
        child_run(t_seed() + i, kill_one, sum);
    T(sum->kills);
}

/* ---- power cuts ---- */

static void cut_power(bool all_kept)
{
    struct totals *totals = storm.totals;

    for (int round = 0; round < 3; round++) {
        struct sim_proc *procs[3];
        int64_t n;

        start_storm(procs);
        sim_sleep((int64_t)tape_between(0, 80 * (uint64_t)MS));
        for (size_t i = 0; i < wr_countof(procs); i++)
            sim_kill(procs[i]);
        disk_power_cut();
        n = check_database();
        CHECK(n >= storm.acknowledged || !all_kept);
        totals->lost += n < storm.acknowledged;
        totals->unacknowledged += n > storm.acknowledged;
        storm.acknowledged = n;
    }
    totals->torn += disk_counts.torn;
    totals->dropped += disk_counts.dropped;
}

static void cut_full(void *arg)
{
    storm_begin(
        "wal", "PRAGMA cache_size=5; PRAGMA wal_autocheckpoint=20; PRAGMA synchronous=FULL", arg);
    cut_power(true);
}

static void cut_normal(void *arg)
{
    storm_begin(
        "wal", "PRAGMA cache_size=5; PRAGMA wal_autocheckpoint=20; PRAGMA synchronous=NORMAL", arg);
    cut_power(false);
}

/* With EXTRA, the name of the journal is gone for good when a commit returns. */
static void cut_journal(void *arg)
{
    storm_begin("delete", "PRAGMA cache_size=5; PRAGMA synchronous=EXTRA", arg);
    cut_power(true);
}

static void a_power_cut_loses_no_commit_that_was_synced(void **state)
{
    struct totals *sum = child_shared(sizeof(*sum));

    (void)state;
    for (uint64_t i = 0; i < SEEDS; i++)
        child_run(t_seed() + i, cut_full, sum);
    T(sum->torn && sum->dropped && sum->unacknowledged && sum->lost == 0);
}

static void a_power_cut_loses_the_newest_commits_at_most(void **state)
{
    struct totals *sum = child_shared(sizeof(*sum));

    (void)state;
    for (uint64_t i = 0; i < SEEDS; i++)
        child_run(t_seed() + i, cut_normal, sum);
    T(sum->torn && sum->dropped && sum->lost);
}

static void a_power_cut_leaves_a_journal_that_rolls_back(void **state)
{
    struct totals *sum = child_shared(sizeof(*sum));

    (void)state;
    for (uint64_t i = 0; i < SEEDS; i++)
        child_run(t_seed() + i, cut_journal, sum);
    T(sum->torn && sum->dropped);
}

/* ---- the same again ---- */

struct print {
    uint64_t n, tape, db;
    int64_t now_ns;
};

static uint64_t hash(uint64_t h, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * UINT64_C(1099511628211);
    return h;
}

static void leave_print(void *arg)
{
    struct totals totals = {0};
    struct print *print = arg;
    const uint32_t *tape;
    const uint8_t *p;
    size_t n;

    cut_normal(&totals);
    print->now_ns = sim_now_ns();
    tape = tape_recorded(&n);
    print->n = n;
    print->tape = hash(1, (const uint8_t *)tape, n * sizeof(*tape));
    p = disk_peek(KIT_DB, &n);
    print->db = hash(1, p, n);
}

static void the_same_tape_gives_the_same_run(void **state)
{
    struct print *print = child_shared(2 * sizeof(*print));

    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        child_run(t_seed() + i, leave_print, &print[0]);
        child_run(t_seed() + i, leave_print, &print[1]);
        T(print[0].n > 0 && memcmp(&print[0], &print[1], sizeof(*print)) == 0);
    }
}

T_MAIN(T_TEST(writers_and_a_checkpointer_get_along), T_TEST(the_window_of_the_wal_reset_bug_opens),
    T_TEST(kills_lose_nothing), T_TEST(a_power_cut_loses_no_commit_that_was_synced),
    T_TEST(a_power_cut_loses_the_newest_commits_at_most),
    T_TEST(a_power_cut_leaves_a_journal_that_rolls_back), T_TEST(the_same_tape_gives_the_same_run))
