/*
 * Random lives of a database and its replicas: an application that does everything SQLite can do in
 * WAL mode, a daemon that is killed and started again, stores that fail in every way, local state
 * that gets lost or damaged, a database that goes back in time. Whenever a sync succeeds, the image
 * is kept; in the end every TXID in every replica must restore, be proven by its rolling checksum,
 * and those that were kept must be equal byte for byte.
 *
 * WEIR_TEST_SEED chooses the first life, WEIR_TEST_LIVES how many.
 */
#include "harness/engine_world.h"

#include "base/buf.h"
#include "base/rand.h"
#include "engine/plan.h"
#include "storage/drivers.h"

#include <sys/stat.h>
#include <unistd.h>

#define SECOND   ((int64_t)1000000000)
#define KEPT_MAX 64

struct kept {
    uint64_t txid;
    struct wr_bytes image;
};

struct life {
    struct world w;
    struct wr_rand rnd;
    struct kept kept[KEPT_MAX];
    size_t n_kept;
    bool running;
    bool calm; /* no faults from the next start on */
    uint32_t page_size;
    const char *old_copy; /* the database at an earlier time; NULL: none taken */
};

static uint64_t below(struct life *l, uint64_t n)
{
    return wr_rand_below(&l->rnd, n);
}

static void arm(struct world *w, struct faultstore *f)
{
    struct life *l = wr_container_of(w, struct life, w);

    if (l->calm)
        return;
    faultstore_arm(f, FAULT_BEFORE, FAULT_ON_ALL, (unsigned)below(l, 100), UINT64_MAX);
    faultstore_arm(
        f, FAULT_AFTER, FAULT_ON_PUT | FAULT_ON_COMMIT, (unsigned)below(l, 150), UINT64_MAX);
    faultstore_arm(f, FAULT_BUSY, FAULT_ON_ALL, (unsigned)below(l, 100), UINT64_MAX);
    faultstore_arm(f, FAULT_DELAY, FAULT_ON_ALL, (unsigned)below(l, 200), UINT64_MAX);
    faultstore_arm(f, FAULT_TWICE, FAULT_ON_PUT, (unsigned)below(l, 100), UINT64_MAX);
    faultstore_arm(f, FAULT_CUT_LIST, FAULT_ON_LIST, (unsigned)below(l, 100), UINT64_MAX);
}

/* The application may be blocked by nobody but itself: one connection, so nothing may be busy. */
static void app_sql(struct life *l)
{
    char sql[300];

    switch (below(l, 16)) {
    case 0:
        (void)snprintf(
            sql, sizeof(sql), "DELETE FROM t WHERE a %% %u = 0", (unsigned)below(l, 5) + 2);
        break;
    case 1:
        (void)snprintf(sql, sizeof(sql), "UPDATE t SET b = randomblob(%u) WHERE a %% 3 = %u",
            (unsigned)below(l, 500), (unsigned)below(l, 3));
        break;
    case 2:
        (void)snprintf(sql, sizeof(sql),
            "BEGIN; INSERT INTO t(b) SELECT randomblob(700) FROM t LIMIT 200; ROLLBACK");
        break;
    case 3:
        (void)snprintf(sql, sizeof(sql),
            "BEGIN; SAVEPOINT s; INSERT INTO t(b) VALUES(randomblob(9000)); ROLLBACK TO s;"
            "INSERT INTO t(b) VALUES(randomblob(%u)); COMMIT",
            (unsigned)below(l, 3000));
        break;
    case 4:
        (void)snprintf(sql, sizeof(sql), "VACUUM");
        break;
    case 5:
        (void)snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%u)", (unsigned)below(l, 9));
        break;
    case 6:
        (void)snprintf(sql, sizeof(sql),
            "CREATE TABLE IF NOT EXISTS u%u(x, y);"
            "INSERT INTO u%u VALUES(1, randomblob(100))",
            (unsigned)below(l, 1), 0u);
        break;
    case 7:
        (void)snprintf(sql, sizeof(sql), "DROP TABLE IF EXISTS u0");
        break;
    case 8:
        (void)snprintf(
            sql, sizeof(sql), "INSERT INTO t(b) VALUES(zeroblob(%u))", (unsigned)below(l, 200000));
        break;
    default:
        (void)snprintf(
            sql, sizeof(sql), "INSERT INTO t(b) VALUES(randomblob(%u))", (unsigned)below(l, 4000));
        break;
    }
    world_sql(&l->w, sql);
}

/* A checkpoint of any kind, or a smaller automatic one: with the daemon attached they do nothing.
 */
static void app_checkpoint(struct life *l)
{
    static const char *const sql[] = {
        "PRAGMA wal_checkpoint(PASSIVE)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA wal_checkpoint(RESTART)",
        "PRAGMA wal_autocheckpoint=5",
        "PRAGMA wal_autocheckpoint=0",
    };

    (void)sqlite3_busy_timeout(l->w.app, 0);
    (void)sqlite3_exec(l->w.app, sql[below(l, wr_countof(sql))], NULL, NULL, NULL);
    (void)sqlite3_busy_timeout(l->w.app, 5000);
}

static void app_open(struct life *l)
{
    char sql[80];

    T(sqlite3_open(l->w.path, &l->w.app) == SQLITE_OK);
    (void)sqlite3_busy_timeout(l->w.app, 5000);
    (void)snprintf(sql, sizeof(sql), "PRAGMA page_size=%u; PRAGMA cache_size=%u", l->page_size,
        (unsigned)below(l, 20) + 5);
    world_sql(&l->w, sql);
    world_sql(&l->w, "PRAGMA auto_vacuum=2; PRAGMA journal_mode=wal; PRAGMA synchronous=0;"
                     "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b)");
}

static void daemon_start(struct life *l)
{
    if (l->running)
        return;
    world_start(&l->w);
    l->running = true;
}

static void daemon_stop(struct life *l)
{
    if (!l->running)
        return;
    world_stop(&l->w);
    l->running = false;
}

static void keep(struct life *l, uint64_t txid)
{
    struct kept *k = &l->kept[l->n_kept % KEPT_MAX];

    if (l->n_kept > 0 && l->kept[(l->n_kept - 1) % KEPT_MAX].txid == txid)
        return;
    k->txid = txid;
    k->image = world_image(&l->w);
    l->n_kept++;
}

static void try_sync(struct life *l)
{
    uint64_t ticket, txid = 0;
    struct wr_err e = {0};
    enum wr_status st = WR_BUSY;

    if (!l->running)
        return;
    wr_db_sync_begin(l->w.db, &ticket);
    for (int i = 0; i < 20 && st == WR_BUSY; i++) {
        world_run(&l->w, SECOND);
        st = wr_db_sync_poll(l->w.db, ticket, true, &txid, &e);
    }
    if (st != WR_OK && st != WR_BUSY)
        fail_msg("sync: %s", e.text);
    if (st == WR_OK)
        keep(l, txid);
}

static void damage_state(struct life *l)
{
    static const char *const names[] = {"ledger", "journal.0", "journal.1"};
    const char *path = t_path(t_path(l->w.dir, ".app.db-weir"), names[below(l, 3)]);
    struct stat info;

    daemon_stop(l);
    if (stat(path, &info) != 0)
        return;
    if (below(l, 2) == 0)
        (void)unlink(path);
    else if (truncate(path, (off_t)below(l, (uint64_t)info.st_size + 1)) != 0)
        fail_msg("truncate %s", path);
}

/* The database goes back to an earlier copy, as after a restored disk image. */
static void travel_back(struct life *l)
{
    struct wr_bytes b;

    daemon_stop(l);
    world_sql(&l->w, "PRAGMA wal_checkpoint(TRUNCATE)");
    world_app_close(&l->w);
    if (l->old_copy && below(l, 2) == 0) {
        b = t_slurp(l->old_copy);
        (void)unlink(l->w.path);
        t_spew(l->w.path, b.p, b.n);
    } else {
        l->old_copy = t_path(l->w.dir, "old.db");
        b = t_slurp(l->w.path);
        t_spew(l->old_copy, b.p, b.n);
    }
    app_open(l);
}

static void step(struct life *l)
{
    switch (below(l, 30)) {
    case 0:
        daemon_stop(l); /* what is under way is lost, as in a kill */
        break;
    case 1:
    case 2:
        daemon_start(l);
        break;
    case 3:
    case 4:
        app_checkpoint(l);
        break;
    case 5:
        world_app_close(&l->w);
        app_open(l);
        break;
    case 6:
        if (below(l, 6) == 0)
            damage_state(l);
        break;
    case 7:
        if (below(l, 6) == 0)
            travel_back(l);
        break;
    case 8:
    case 9:
    case 10:
        try_sync(l);
        break;
    case 11:
    case 12:
    case 13:
        if (l->running)
            world_run(&l->w, (int64_t)below(l, (uint64_t)SECOND));
        break;
    default:
        app_sql(l);
        break;
    }
}

/* What was promised is restored in any case, and what was not must be what it was, or gone. */
static bool is_gone(const struct life *l, const struct wr_ltx_files *files, uint64_t txid)
{
    const struct wr_plan_target t = {.txid = txid};
    size_t *chain = test_calloc(files->n, sizeof(*chain)), n;
    struct wr_err e = {0};
    bool gone = wr_plan(files->p, files->n, &t, chain, &n, &e) == WR_NOTFOUND;

    test_free(chain);
    return gone && l->w.opts.retention.keep_ms > 0;
}

/* Every TXID that a file of the bucket ends at. */
static void judge(struct life *l, size_t bucket)
{
    struct wr_storage *s = world_storage(&l->w, bucket);
    struct wr_ltx_files files = {0};
    struct wr_err e = {0};

    T_OK(wr_layout_list_all(s, t_call(), &files, &e));
    T(files.n > 0);
    for (size_t i = 0; i < files.n; i++) {
        if (!is_gone(l, &files, files.p[i].max))
            (void)world_restore(&l->w, bucket, files.p[i].max);
    }
    for (size_t i = 0; i < wr_min(l->n_kept, (size_t)KEPT_MAX); i++) {
        struct wr_bytes got;

        if (is_gone(l, &files, l->kept[i].txid))
            continue;
        got = world_restore(&l->w, bucket, l->kept[i].txid);

        assert_int_equal(got.n, l->kept[i].image.n);
        assert_memory_equal(got.p, l->kept[i].image.p, got.n);
    }
    wr_ltx_files_release(&files);
    wr_storage_close(s);
}

static void live(uint64_t seed)
{
    struct life *l = test_calloc(1, sizeof(*l));

    wr_rand_init(&l->rnd, seed);
    l->page_size = 512u << below(l, 8);
    world_open(&l->w, 1 + (size_t)below(l, 2));
    l->w.arm = arm;
    l->w.arm_seed = seed;
    l->w.interval_ns = below(l, 2) ? SECOND : 0;
    l->w.opts.checkpoint_frames = (uint32_t)below(l, 60) + 5;
    l->w.opts.lock_offset = WORLD_LOW_LOCK;
    l->w.opts.cadence = (struct wr_cadence){.levels = (unsigned)below(l, 4),
        .level_ms = {500 + (int64_t)below(l, 4000), 4000, 10000},
        .snapshot_ms = below(l, 2) ? 10000 : 0,
        .few = 1 + (unsigned)below(l, 3)};
    if (below(l, 2))
        l->w.opts.retention = (struct wr_retention){.keep_ms = 1 + (int64_t)below(l, 20000),
            .l0_ms = 1 + (int64_t)below(l, 8000),
            .grace_ms = 1 + (int64_t)below(l, 3000),
            .snapshots = (uint32_t)below(l, 3),
            .periods = {[WR_PERIOD_HOUR] = (uint32_t)below(l, 2)}};
    app_open(l);
    for (int i = 0; i < 120; i++)
        step(l);
    daemon_stop(l);
    l->calm = true;
    daemon_start(l);
    keep(l, world_sync(&l->w));
    for (size_t i = 0; i < l->w.n_buckets; i++) {
        judge(l, i);
        world_check(&l->w, i);
    }
    l->running = false;
    world_close(&l->w);
    test_free(l);
}

static void test_random_lives(void **state)
{
    const char *lives = getenv("WEIR_TEST_LIVES");
    uint64_t n = 25;

    (void)state;
    if (lives)
        T(wr_parse_u64(wr_str(lives), &n));
    world_low_lock_page();
    for (uint64_t i = 0; i < n; i++) {
        if (lives)
            print_message("# life %llu\n", (unsigned long long)(t_seed() + i));
        live(t_seed() + i);
    }
}

T_MAIN(T_TEST(test_random_lives))
