/*
 * app.c - see app.h.
 */
#include "sim/app.h"

#include "base/mem.h"
#include "sim/disk.h"
#include "sim/tape.h"
#include "sim/waits.h"

#include <sqlite3.h>
#include <stdarg.h>

#define SECOND   INT64_C(1000000000)
#define BUSY_MS  60000
#define APPS_MAX 128
#define SQL_MAX  400

struct app {
    struct app_opts o;
    struct sim_proc *proc;
    struct sim_fiber *fiber;
    sqlite3 *db;
    uint64_t struck;   /* disk_struck when a call last succeeded */
    char sql[SQL_MAX]; /* what runs now, for messages */
};

void (*app_wrote)(void);
uint64_t app_disk_errors;

static struct app *apps[APPS_MAX];
static size_t n_apps;
static bool stopping;
static bool made; /* the first database has been opened */

static bool is_disk_error(int rc)
{
    return (rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_FULL ||
           (rc & 0xff) == SQLITE_CANTOPEN;
}

/* A power cut may tear the first page while the database is made. Whoever takes that back cuts the
 * file to nothing; if he is killed before he has synced it, the next one removes the journal, as
 * there is nothing to take back, and a second power cut brings the torn page again. That is
 * SQLite's, and nobody has committed anything. */
static bool is_stillborn(int rc)
{
    return rc == SQLITE_NOTADB && !made;
}

/* BUSY is an answer, and so is an error of a disk that has failed since all was well; anything else
 * that is wrong is the end of the run. */
static int judge(struct app *a, const char *what, int rc)
{
    if (rc == SQLITE_OK) {
        a->struck = disk_struck(a->proc);
    } else if (is_disk_error(rc) && disk_struck(a->proc) > a->struck) {
        sim_trace("%s", sqlite3_errmsg(a->db));
        app_disk_errors++;
    } else if (rc != SQLITE_BUSY && !is_stillborn(rc)) {
        sim_fail("A1: %s: %s (%d)", what, sqlite3_errmsg(a->db), sqlite3_extended_errcode(a->db));
    }
    return rc;
}

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
    return judge(a, a->sql, rc);
}

/* What must not be busy for longer than the application waits. When its disk fails nothing is left
 * of the transaction; false. */
static bool must(struct app *a, const char *sql)
{
    int rc = run(a, "%s", sql);

    if (rc == SQLITE_BUSY)
        sim_fail("%s: busy for %d s", sql, BUSY_MS / 1000);
    if (rc != SQLITE_OK && !sqlite3_get_autocommit(a->db))
        (void)run(a, "ROLLBACK");
    return rc == SQLITE_OK;
}

/* End a transaction, unless SQLite has rolled it back because of the disk. */
static void finish(struct app *a, const char *sql)
{
    if (!sqlite3_get_autocommit(a->db))
        (void)must(a, sql);
}

static void connect_it(struct app *a)
{
    while (judge(a, "open", sqlite3_open(a->o.path, &a->db)) != SQLITE_OK) {
        (void)sqlite3_close(a->db);
        sim_sleep(SECOND / 100);
    }
    (void)sqlite3_busy_timeout(a->db, BUSY_MS);
}

static void open_it(struct app *a)
{
    char sql[SQL_MAX];
    int rc;

    connect_it(a);
    (void)snprintf(sql, sizeof(sql),
        "PRAGMA page_size=%u; PRAGMA auto_vacuum=2; PRAGMA journal_mode=wal; PRAGMA synchronous=%u;"
        "PRAGMA wal_autocheckpoint=%u; PRAGMA cache_size=%u",
        a->o.page_size, a->o.synchronous, a->o.checkpoints ? a->o.auto_frames : 0,
        a->o.cache_pages);
    /* Two that change the journal mode at once would wait for each other: SQLite does not let them.
     */
    for (int64_t start = sim_now_ns(); (rc = run(a, "%s", sql)) != SQLITE_OK;) {
        if (is_stillborn(rc)) {
            (void)sqlite3_close(a->db);
            disk_remove(a->o.path);
            connect_it(a);
        }
        if (sim_now_ns() - start > BUSY_MS * 1000000LL)
            sim_fail("open: busy for %d s", BUSY_MS / 1000);
        sim_sleep((int64_t)tape_between(1, 100) * 1000000);
    }
    made = true;
    while (!must(a, "CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b)"))
        sim_sleep(SECOND / 100);
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
    if (!must(a, "BEGIN IMMEDIATE"))
        return;
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
    finish(a, keep ? "COMMIT" : "ROLLBACK");
}

/* What was allocated and is free again is never written: the database grows by pages that no frame
 * holds. */
static void grow_unwritten(struct app *a)
{
    const unsigned n = (unsigned)tape_between(1, (uint64_t)a->o.page_size * 8);

    if (!must(a, "BEGIN IMMEDIATE"))
        return;
    if (run(a, "INSERT INTO t(a, b) VALUES(1000000000, zeroblob(%u))", n) == SQLITE_OK)
        (void)run(a, "DELETE FROM t WHERE a = 1000000000");
    finish(a, "COMMIT");
}

/* A long read keeps every checkpoint from finishing. */
static void long_read(struct app *a)
{
    if (!must(a, "BEGIN; SELECT count(*) FROM t"))
        return;
    sim_sleep((int64_t)tape_between(0, 2 * SECOND));
    finish(a, "COMMIT");
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

/* Somebody's script, which has nothing else to do. */
static void be_rude(struct app *a)
{
    if (tape_below(8) > 0) {
        checkpoint(a);
        return;
    }
    close_it(a);
    sim_sleep((int64_t)tape_between(0, SECOND / 10));
    open_it(a);
}

static void work(struct app *a)
{
    if (a->o.rude) {
        be_rude(a);
        return;
    }
    if (a->o.steady) {
        (void)must(a, "INSERT OR REPLACE INTO t(a, b) VALUES(1, randomblob(200))");
        return;
    }
    switch (tape_below(21)) {
    default:
        (void)must(a, "INSERT INTO t(b) VALUES(randomblob(200))");
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
        (void)must(a, tape_below(3) == 1 ? "VACUUM" : "PRAGMA incremental_vacuum(3)");
        break;
    case 12:
        if (a->o.big)
            (void)run(a, "INSERT INTO t(b) VALUES(%s(%u))", a->o.dense ? "randomblob" : "zeroblob",
                (unsigned)tape_between(1, 400000));
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
        (void)must(a, tape_below(2) ? "BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS u(x);"
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
        /* Who never stops by himself would fill the tape with this. */
        sim_sleep(a->o.steady ? a->o.think_ns : (int64_t)tape_between(0, (uint64_t)a->o.think_ns));
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
