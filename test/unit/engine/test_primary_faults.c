/*
 * test_primary_faults.c - SQLite's own files fail under us, call by call: blocks that cannot be
 * read, no room, locks that are not to be had, no memory, a wal-index that is torn.
 *
 * Whatever fails, nothing is lost, and when it works again, replication goes on by itself.
 */
#include "fake/bad_vfs.h"
#include "harness/engine_world.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND ((int64_t)1000000000)
#define DISK   ((unsigned)BAD_ALL & ~(unsigned)BAD_MALLOC)

static struct wr_db_status status(struct world *w)
{
    struct wr_db_status s;

    wr_db_status(w->db, &s);
    return s;
}

static void world_of(struct world *w)
{
    bad_install();
    world_open(w, 1);
    w->opts.checkpoint_frames = 10;
    world_app(w);
    world_sql(w, "PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF; CREATE TABLE t(a INTEGER "
                 "PRIMARY KEY, b);"
                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<50)"
                 "INSERT INTO t SELECT i, randomblob(3000) FROM n");
}

/* All is well again: no trouble is left, and every commit is in the replica. */
static void check_well(struct world *w)
{
    uint64_t before = status(w).txid;

    world_sql(w, "UPDATE t SET b=randomblob(2000) WHERE a=7");
    T(world_sync(w) > before);
    T(status(w).error == WR_OK);
}

/* ---- while it is attached ---- */

/* Half a second in which the nth of these calls fails, for n from 1 until there is none; not for
 * each of the many that are alike. How many there were. */
static int sweep(struct world *w, unsigned calls, int rc, const char *sql)
{
    int n = 0;

    do {
        n += n < 40 ? 1 : 9;
        world_sql(w, sql);
        bad_set(calls, n, rc);
        world_run(w, SECOND / 2);
        bad.nth = 0;
        world_run(w, 2 * SECOND);
        world_sql(w, "UPDATE t SET b='more' WHERE a=5"); /* the application goes on */
        world_run(w, 2 * SECOND);
        check_well(w);
        if (n % 8 == 0)
            world_check(w, 0);
    } while (bad.fired);
    world_check(w, 0);
    return n - 1;
}

#define FEW  "UPDATE t SET b=randomblob(3000) WHERE a%9=3"
#define MANY "UPDATE t SET b=randomblob(3000); UPDATE t SET b=randomblob(3000)"

static void test_each_call_fails(void **state)
{
    struct world w;

    (void)state;
    world_of(&w);
    world_start(&w);
    (void)world_sync(&w);
    T(sweep(&w, DISK, SQLITE_IOERR, FEW) > 4);
    T(sweep(&w, DISK, SQLITE_IOERR, MANY) > 20);
    world_close(&w);
}

static void test_no_room_for_a_checkpoint(void **state)
{
    struct world w;

    (void)state;
    world_of(&w);
    world_start(&w);
    (void)world_sync(&w);
    T(sweep(&w, BAD_WRITE, SQLITE_FULL, MANY) > 5);
    T(strstr(w.error, "no room to checkpoint") != NULL); /* it is told, and waited out */
    world_close(&w);
}

static void test_locks_are_busy(void **state)
{
    struct world w;

    (void)state;
    world_of(&w);
    world_start(&w);
    (void)world_sync(&w);
    T(sweep(&w, BAD_SHM_LOCK, SQLITE_BUSY, MANY) > 1);
    T(w.errors == 0);
    world_close(&w);
}

static void test_sqlite_has_no_memory(void **state)
{
    struct world w;

    (void)state;
    world_of(&w);
    world_start(&w);
    (void)world_sync(&w);
    (void)sweep(&w, BAD_MALLOC, SQLITE_NOMEM, MANY);
    world_close(&w);
}

/* ---- while it attaches ---- */

static void sweep_attach(struct world *w, unsigned calls, int rc, int at_least)
{
    int n = 0;

    do {
        bad_set(calls, ++n, rc);
        world_start(w);
        world_run(w, SECOND / 10);
        bad.nth = 0;
        world_run(w, 5 * SECOND);
        check_well(w);
        if (n % 8 == 0)
            world_check(w, 0);
        world_stop(w);
    } while (bad.fired);
    T(n > at_least);
}

static void test_each_call_fails_when_it_attaches(void **state)
{
    struct world w;

    (void)state;
    world_of(&w);
    sweep_attach(&w, DISK, SQLITE_IOERR, 20);
    sweep_attach(&w, BAD_SHM_LOCK | BAD_LOCK, SQLITE_BUSY, 4);
    world_close(&w);
}

/* ---- a torn index ---- */

/* A writer dies in its update, with or without the lock that another process may take next. By a
 * process of its own, as closing the file here would drop our locks. */
static void tear(void *arg)
{
    struct world *w = arg;
    int result = 0;
    pid_t pid = fork();

    if (pid == 0) {
        int fd = open(t_path(w->dir, "app.db-shm"), O_RDWR);
        uint8_t *p =
            fd < 0 ? MAP_FAILED : mmap(NULL, 136, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (p == MAP_FAILED)
            _exit(1);
        p[48 + 16] ^= 0xff;
        _exit(0);
    }
    T(waitpid(pid, &result, 0) == pid && result == 0);
}

static void test_a_torn_index_is_mended(void **state)
{
    struct world w;

    (void)state;
    world_of(&w);
    world_start(&w);
    (void)world_sync(&w);
    for (int i = 0; i < 3; i++) {
        uint64_t before = status(&w).changes;

        world_sql(&w, FEW);
        tear(&w);
        world_run(&w, SECOND); /* the application does nothing, and would mend it itself */
        T(status(&w).changes == before);
        T(strcmp(status(&w).state, "syncing") == 0);
        check_well(&w);
        world_check(&w, 0);
    }
    T(w.errors == 0);
    world_close(&w);
}

/* ... at each of our calls. */
static void test_the_index_is_torn_at_any_time(void **state)
{
    struct world w;

    (void)state;
    world_of(&w);
    world_start(&w);
    (void)world_sync(&w);
    bad.before = tear;
    bad.arg = &w;
    T(sweep(&w, DISK, SQLITE_OK, MANY) > 20);
    T(w.errors == 0);
    world_close(&w);
}

T_MAIN(T_TEST(test_each_call_fails), T_TEST(test_no_room_for_a_checkpoint),
    T_TEST(test_locks_are_busy), T_TEST(test_sqlite_has_no_memory),
    T_TEST(test_each_call_fails_when_it_attaches), T_TEST(test_a_torn_index_is_mended),
    T_TEST(test_the_index_is_torn_at_any_time))
