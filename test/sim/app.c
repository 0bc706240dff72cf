/*
 * app.c - see app.h.
 */
#include "sim/app.h"

#include "base/mem.h"
#include "sim/tape.h"
#include "sim/waits.h"

#include <sqlite3.h>
#include <stdarg.h>

#define SECOND   INT64_C(1000000000)
#define BUSY_MS  60000
#define APPS_MAX 64
#define SQL_MAX  400

struct app {
    struct app_opts o;
    struct sim_proc *proc;
    struct sim_fiber *fiber;
    sqlite3 *db;
    char sql[SQL_MAX]; /* what runs now, for messages */
};

void (*app_wrote)(void);

static struct app *apps[APPS_MAX];
static size_t n_apps;
static bool stopping;

/* BUSY is an answer; anything else that is wrong is the end of the run. */
static int run(struct app *a, const char *fmt, ...) WR_PRINTF(2, 3);
static int run(struct app *a, const char *fmt, ...)
{
    va_list ap;
    int rc;

    va_start(ap, fmt);
    (void)vsnprintf(a->sql, sizeof(a->sql), fmt, ap);
    va_end(ap);
    sim_trace("%s", a->sql);
    waits_begin();
    rc = sqlite3_exec(a->db, a->sql, NULL, NULL, NULL);
    if (app_wrote)
        app_wrote();
    if (rc != SQLITE_OK && rc != SQLITE_BUSY)
        sim_fail("%s: %s (%d)", a->sql, sqlite3_errmsg(a->db), sqlite3_extended_errcode(a->db));
    return rc;
}

/* What must not be busy for longer than the application waits. */
static void must(struct app *a, const char *sql)
{
    if (run(a, "%s", sql) != SQLITE_OK)
        sim_fail("%s: busy for %d s", sql, BUSY_MS / 1000);
}

static void open_it(struct app *a)
{
    char sql[SQL_MAX];

    if (sqlite3_open(a->o.path, &a->db) != SQLITE_OK)
        sim_fail("open: %s", sqlite3_errmsg(a->db));
    (void)sqlite3_busy_timeout(a->db, BUSY_MS);
    (void)snprintf(sql, sizeof(sql),
        "PRAGMA page_size=%u; PRAGMA auto_vacuum=2; PRAGMA journal_mode=wal; PRAGMA synchronous=%u;"
        "PRAGMA wal_autocheckpoint=%u; PRAGMA cache_size=%u",
        a->o.page_size, a->o.synchronous, a->o.checkpoints ? a->o.auto_frames : 0,
        a->o.cache_pages);
    /* Two that change the journal mode at once would wait for each other: SQLite does not let them.
     */
    for (int64_t start = sim_now_ns(); run(a, "%s", sql) != SQLITE_OK;) {
        if (sim_now_ns() - start > BUSY_MS * 1000000LL)
            sim_fail("open: busy for %d s", BUSY_MS / 1000);
        sim_sleep((int64_t)tape_between(1, 100) * 1000000);
    }
    must(a, "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b)");
}

static void close_it(struct app *a)
{
    if (sqlite3_close(a->db) != SQLITE_OK)
        sim_fail("close: %s", sqlite3_errmsg(a->db));
    a->db = NULL;
}

/* A transaction of several statements; what it did is kept or not. */
static void transaction(struct app *a, bool keep)
{
    must(a, "BEGIN IMMEDIATE");
    for (uint32_t n = tape_below(4) + 1; n > 0; n--) {
        (void)run(a, "INSERT INTO t(b) VALUES(randomblob(%u))", (unsigned)tape_between(1, 3000));
        sim_sleep((int64_t)tape_between(0, (uint64_t)a->o.think_ns / 4));
    }
    if (a->o.savepoints && tape_below(3) == 1) {
        (void)run(a,
            "SAVEPOINT s; UPDATE t SET b = randomblob(%u) WHERE a %% 4 = %u; ROLLBACK TO s",
            (unsigned)tape_between(1, 900), tape_below(4));
    }
    if (tape_below(3) == 1)
        (void)run(a, "DELETE FROM t WHERE a %% 7 = %u", tape_below(7));
    must(a, keep ? "COMMIT" : "ROLLBACK");
}

/* What was allocated and is free again is never written: the database grows by pages that no frame
 * holds. */
static void grow_unwritten(struct app *a)
{
    const unsigned n = (unsigned)tape_between(1, (uint64_t)a->o.page_size * 8);

    must(a, "BEGIN IMMEDIATE");
    if (run(a, "INSERT INTO t(a, b) VALUES(1000000000, zeroblob(%u))", n) == SQLITE_OK)
        (void)run(a, "DELETE FROM t WHERE a = 1000000000");
    must(a, "COMMIT");
}

/* A long read keeps every checkpoint from finishing. */
static void long_read(struct app *a)
{
    must(a, "BEGIN; SELECT count(*) FROM t");
    sim_sleep((int64_t)tape_between(0, 2 * SECOND));
    must(a, "COMMIT");
}

static void checkpoint(struct app *a)
{
    static const char *const how[] = {"PASSIVE", "FULL", "RESTART", "TRUNCATE"};

    if (!a->o.checkpoints)
        return;
    /* It may find the database pinned: that is BUSY, in a row, and no error. */
    (void)sqlite3_busy_timeout(a->db, 0);
    (void)run(a, "PRAGMA wal_checkpoint(%s)", how[tape_below(4)]);
    (void)sqlite3_busy_timeout(a->db, BUSY_MS);
}

static void work(struct app *a)
{
    switch (tape_below(21)) {
    default:
        must(a, "INSERT INTO t(b) VALUES(randomblob(200))");
        break;
    case 4:
    case 5:
        transaction(a, true);
        break;
    case 6:
        transaction(a, false);
        break;
    case 7:
    case 8:
        (void)run(a, "UPDATE t SET b = randomblob(%u) WHERE a %% 5 = %u",
            (unsigned)tape_between(1, 1500), tape_below(5));
        break;
    case 9:
        (void)run(a, "DELETE FROM t WHERE a %% 3 = %u", tape_below(3));
        break;
    case 10:
        checkpoint(a);
        break;
    case 11:
        must(a, tape_below(3) == 1 ? "VACUUM" : "PRAGMA incremental_vacuum(3)");
        break;
    case 12:
        if (a->o.big)
            (void)run(
                a, "INSERT INTO t(b) VALUES(zeroblob(%u))", (unsigned)tape_between(1, 400000));
        break;
    case 13:
        long_read(a);
        break;
    case 14:
        close_it(a);
        sim_sleep((int64_t)tape_between(0, SECOND / 10));
        open_it(a);
        break;
    case 15:
        must(a, tape_below(2) ? "BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS u(x);"
                                "INSERT INTO u VALUES(1); COMMIT"
                              : "DROP TABLE IF EXISTS u");
        break;
    case 20:
        grow_unwritten(a);
        break;
    }
}

static void live(void *arg)
{
    struct app *a = arg;

    open_it(a);
    while (!stopping) {
        work(a);
        sim_sleep((int64_t)tape_between(0, (uint64_t)a->o.think_ns));
    }
    close_it(a);
}

struct sim_proc *app_start(const char *name, const struct app_opts *o)
{
    struct app *a = wr_alloc(sizeof(*a));

    if (!a || n_apps == APPS_MAX)
        sim_fail("too many applications");
    stopping = false;
    a->o = *o;
    a->proc = sim_proc_new(name);
    a->fiber = sim_spawn(a->proc, name, live, a);
    apps[n_apps++] = a;
    return a->proc;
}

void app_stop_all(void)
{
    stopping = true;
    for (size_t i = 0; i < n_apps; i++) {
        sim_proc_cont(apps[i]->proc);
        sim_join(apps[i]->fiber);
    }
    n_apps = 0;
}
