/*
 * test_primary_watch.c - the database and a real file watch: a write is told once, so no step may
 * swallow it, and what is not told must be found out otherwise.
 */
#include "harness/engine_world.h"
#include "run/watch.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND ((int64_t)1000000000)

static struct wr_db_status status(struct world *w)
{
    struct wr_db_status s;

    wr_db_status(w->db, &s);
    return s;
}

/* Ten seconds pass, with nothing but the watch and timers to wake it. */
static void pass(struct world *w, int64_t ns)
{
    wr_watch_poll(w->opts.watch);
    (void)world_pass(w, ns, 10000);
}

static void begin(struct world *w)
{
    struct wr_err e = {0};

    world_open(w, 1);
    w->opts.scan_bytes = (uint64_t)4 * 4096;
    T_OK(wr_watch_new(true, &w->opts.watch, &e));
    world_app(w);
    world_sql(w, "PRAGMA synchronous=OFF; CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200)"
                 "INSERT INTO t SELECT i, randomblob(3500) FROM n");
}

static void end(struct world *w)
{
    struct wr_watch *watch = w->opts.watch;

    world_close(w);
    wr_watch_free(watch);
}

/* Writes are seen within ten seconds (the scan is every sixty), each of several times. */
static void writes_are_seen(struct world *w)
{
    for (int i = 0; i < 5; i++) {
        uint64_t before;

        pass(w, 10 * SECOND);
        before = status(w).commits;
        world_sql(w, "UPDATE t SET b=randomblob(100) WHERE a=2");
        pass(w, 10 * SECOND);
        if (status(w).commits != before + 1)
            fail_msg("write %d was not seen within 10 s", i);
    }
}

static void test_a_write_in_a_quiet_moment(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    world_start(&w);
    pass(&w, 10 * SECOND);
    T(strcmp(status(&w).state, "syncing") == 0);
    writes_are_seen(&w);
    end(&w);
}

static void test_a_write_while_the_ledger_is_made(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    world_start(&w);
    for (int i = 0; i < 20 && strcmp(status(&w).state, "proving") != 0; i++)
        (void)world_pass(&w, SECOND, 1);
    T(strcmp(status(&w).state, "proving") == 0);
    world_sql(&w, "UPDATE t SET b='x' WHERE a=1");
    pass(&w, 10 * SECOND);
    T(strcmp(status(&w).state, "syncing") == 0);
    writes_are_seen(&w);
    end(&w);
}

/* The WAL is beside the file that the link leads to. */
static void test_a_write_behind_a_symbolic_link(void **state)
{
    const char *real = t_path(t_tmpdir(), "real.db");
    struct world w;

    (void)state;
    begin(&w);
    world_sql(&w, "PRAGMA wal_checkpoint(TRUNCATE)");
    world_app_close(&w);
    T(rename(w.path, real) == 0 && symlink(real, w.path) == 0);
    world_app(&w);
    world_start(&w);
    pass(&w, 10 * SECOND);
    T(strcmp(status(&w).state, "syncing") == 0);
    writes_are_seen(&w);
    end(&w);
}

/* "A torn pair is normal" */
static void test_the_event_finds_a_torn_header(void **state)
{
    struct world w;
    uint8_t *shm;

    (void)state;
    begin(&w);
    world_start(&w);
    pass(&w, 10 * SECOND);
    shm = world_index(&w);
    world_sql(&w, "UPDATE t SET b='x' WHERE a=1");
    wr_watch_poll(w.opts.watch);
    shm[48 + 8] ^= 1; /* a writer is in the middle of its update */
    (void)world_pass(&w, 0, 1);
    shm[48 + 8] ^= 1;
    writes_are_seen(&w);
    end(&w);
}

/* Under the pin nobody else can make the index good, so every reader waited until the store
 * answered, or for a second: at first behind any write, then behind each but the first. */
static void test_an_index_stayed_torn_while_a_start_waited_for_its_replica(void **state)
{
    (void)state;
    for (int before = 0; before < 3; before++) {
        struct world w;
        uint8_t *shm;

        begin(&w);
        w.arm = world_out_of_reach;
        world_start(&w);
        pass(&w, SECOND / 10);
        T(strcmp(status(&w).state, "proving") == 0);
        shm = world_index(&w);
        for (int i = 0; i < before; i++) {
            world_sql(&w, "UPDATE t SET b='w' WHERE a=1");
            pass(&w, SECOND / 10);
        }
        world_sql(&w, "UPDATE t SET b='x' WHERE a=1");
        shm[48 + 8] ^= 1; /* the writer has died in its update */
        pass(&w, SECOND / 10);
        T(memcmp(shm, shm + 48, 48) == 0);
        T(strcmp(status(&w).state, "proving") == 0);
        faultstore_calm(w.fault[0]);
        pass(&w, 100 * SECOND);
        (void)world_sync(&w);
        writes_are_seen(&w);
        world_check(&w, 0);
        end(&w);
    }
}

/* Its frames were written before the watch was armed, and announced after the commit before it had
 * been captured, for which an interval had to pass. */
static void test_a_commit_that_came_behind_one_that_waited_was_not_seen(void **state)
{
    uint8_t first[96], both[96];
    struct world w;
    uint64_t before;
    uint8_t *shm;

    (void)state;
    begin(&w);
    w.interval_ns = SECOND;
    world_start(&w);
    pass(&w, 10 * SECOND);
    shm = world_index(&w);
    world_sql(&w, "UPDATE t SET b='x' WHERE a=1");
    pass(&w, SECOND / 10);
    before = status(&w).commits;
    world_sql(&w, "UPDATE t SET b='y' WHERE a=1");
    memcpy(first, shm, sizeof(first));
    world_sql(&w, "UPDATE t SET b='z' WHERE a=1");
    memcpy(both, shm, sizeof(both));
    memcpy(shm, first, sizeof(first));
    pass(&w, SECOND / 10);
    T(status(&w).commits == before);
    pass(&w, SECOND);
    T(status(&w).commits == before + 1);
    memcpy(shm, both, sizeof(both));
    pass(&w, 10 * SECOND);
    T(status(&w).commits == before + 2);
    end(&w);
}

/* Somebody writes to the database file past SQLite's locks while the application is
 * busy. The watch is not armed then, so nothing looks at the file before our next checkpoint, which
 * takes the file's new time for its own. */
static void foreign_write(bool busy)
{
    struct world w;
    const char *script;
    char command[600];
    uint64_t scans, checkpoints;

    begin(&w);
    w.opts.checkpoint_frames = 100;
    world_sql(&w, "PRAGMA wal_checkpoint(TRUNCATE); CREATE TABLE u(a)");
    world_start(&w);
    pass(&w, 10 * SECOND);
    T(strcmp(status(&w).state, "syncing") == 0);
    for (int i = 0; i < 20 || status(&w).checkpoints < 1; i++) {
        world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=2");
        pass(&w, SECOND / 1000);
    }
    for (int i = 0; i < 10; i++) {
        world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=2");
        pass(&w, SECOND / 1000);
    }
    scans = status(&w).ledger_scans;
    checkpoints = status(&w).checkpoints;
    if (!busy)
        pass(&w, 10 * SECOND);
    (void)snprintf(command, sizeof(command),
        "printf zzzz | dd of='%s' bs=1 seek=%d conv=notrunc 2>/dev/null", w.path,
        150 * 4096 + 2000);
    script = t_path(w.dir, "script");
    t_spew(script, command, strlen(command));
    {
        char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t)script, NULL};
        char *envp[] = {(char *)(uintptr_t) "PATH=/bin:/usr/bin", NULL};
        int st = 0;
        pid_t pid;

        T(posix_spawnp(&pid, "sh", NULL, NULL, argv, envp) == 0);
        T(waitpid(pid, &st, 0) == pid && st == 0);
    }
    if (!busy)
        pass(&w, 10 * SECOND);
    for (int i = 0; i < 200 && status(&w).checkpoints < checkpoints + 2; i++) {
        world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=2");
        pass(&w, SECOND / 1000);
    }
    pass(&w, 200 * SECOND);
    T(status(&w).ledger_scans > scans);
    (void)world_sync(&w);
    world_check(&w, 0);
    end(&w);
}

static void test_a_foreign_write_in_a_quiet_moment(void **state)
{
    (void)state;
    foreign_write(false);
}

static void test_a_foreign_write_beside_a_busy_writer(void **state)
{
    (void)state;
    foreign_write(true);
}

/* The error of before ("waiting for the database") stands until the proof is done, and
 * a sync that is asked for meanwhile gets it for an answer. */
static void test_a_sync_while_proving_is_not_refused(void **state)
{
    struct world w;
    struct wr_err e = {0};
    uint64_t ticket, txid;

    (void)state;
    world_open(&w, 1);
    w.opts.scan_bytes = (uint64_t)4 * 4096;
    world_start(&w);
    world_run(&w, SECOND);
    T(status(&w).error == WR_NOTFOUND);
    world_app(&w);
    world_sql(&w, "PRAGMA synchronous=OFF; CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200)"
                  "INSERT INTO t SELECT i, randomblob(3500) FROM n");
    wr_db_wake(w.db);
    for (int i = 0; i < 200 && strcmp(status(&w).state, "proving") != 0; i++)
        (void)world_pass(&w, SECOND, 1);
    T(strcmp(status(&w).state, "proving") == 0);
    wr_db_sync_begin(w.db, &ticket);
    (void)world_pass(&w, 0, 1);
    T(strcmp(status(&w).state, "proving") == 0);
    T_IS(WR_BUSY, wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    world_close(&w);
}

/* Steps of all actors until a tenth of a second after the last write. */
static uint64_t steps_of(struct world *w, int64_t ns)
{
    wr_watch_poll(w->opts.watch);
    return world_pass(w, ns, 10000);
}

/* It was looked at six times more, and the watch armed only then. */
static void test_a_commit_alone_was_looked_for_again_and_again(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    w.interval_ns = 1;
    world_start(&w);
    pass(&w, 10 * SECOND);
    for (int i = 0; i < 3; i++) {
        uint64_t before = status(&w).commits;

        world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=2");
        /* It is shipped, sent, and acknowledged; the watch was armed; the end of the time. */
        T(steps_of(&w, SECOND / 10) <= 6);
        T(status(&w).commits == before + 1);
        pass(&w, 10 * SECOND);
    }
    end(&w);
}

/* Nothing was due for a second, and each of its commits was looked for all the same. */
static void test_a_busy_writer_was_looked_at_though_nothing_was_due(void **state)
{
    struct world w;
    uint64_t steps = 0, frames = 0;

    (void)state;
    begin(&w);
    w.interval_ns = SECOND;
    world_start(&w);
    pass(&w, 10 * SECOND);
    for (int i = 0; i < 2000; i++) {
        world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=2");
        steps += steps_of(&w, SECOND / 500) - 1; /* the last one finds nothing to do */
        frames = frames > status(&w).wal_frames ? frames : status(&w).wal_frames;
    }
    T(steps < 300); /* four seconds */
    T(status(&w).checkpoints > 0);
    T(frames < 1150); /* from 800 on it is checkpointed, if the last time is two seconds ago */
    end(&w);
}

/* Where nothing tells of writes it was looked at once a second, however busy. */
static void test_a_busy_writer_that_no_watch_tells_of(void **state)
{
    struct world w;
    struct wr_watch *watch;
    uint64_t frames = 0;

    (void)state;
    begin(&w);
    watch = w.opts.watch;
    w.opts.watch = NULL;
    w.interval_ns = 10 * SECOND;
    world_start(&w);
    (void)world_pass(&w, 10 * SECOND, 10000);
    for (int i = 0; i < 2000; i++) {
        world_sql(&w, "UPDATE t SET b=randomblob(3500) WHERE a%20=1");
        (void)world_pass(&w, SECOND / 500, 10000);
        if (i > 600) /* the first look is after a second */
            frames = frames > status(&w).wal_frames ? frames : status(&w).wal_frames;
    }
    T(frames < 1200); /* from 800 on it is checkpointed */
    world_close(&w);
    wr_watch_free(watch);
}

/* Its first pages came long before its end: by then it was looked for each 13 seconds, and the
 * watch was not armed. */
static void test_the_end_of_a_long_transaction_was_seen_late(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    w.interval_ns = SECOND;
    world_start(&w);
    world_sql(&w, "PRAGMA cache_size=1; PRAGMA cache_spill=ON");
    for (int i = 0; i < 2; i++) {
        uint64_t before;

        pass(&w, 10 * SECOND);
        before = status(&w).commits;
        world_sql(&w, "BEGIN; UPDATE t SET b=randomblob(3500)");
        pass(&w, SECOND / 5);
        pass(&w, 14 * SECOND);
        world_sql(&w, i == 0 ? "COMMIT" : "ROLLBACK; UPDATE t SET b='x' WHERE a=1");
        pass(&w, SECOND / 2);
        pass(&w, SECOND / 2);
        T(status(&w).commits == before + 1);
    }
    end(&w);
}

T_MAIN(T_TEST(test_a_sync_while_proving_is_not_refused),
    T_TEST(test_a_busy_writer_that_no_watch_tells_of),
    T_TEST(test_the_end_of_a_long_transaction_was_seen_late),
    T_TEST(test_a_commit_alone_was_looked_for_again_and_again),
    T_TEST(test_a_commit_that_came_behind_one_that_waited_was_not_seen),
    T_TEST(test_a_busy_writer_was_looked_at_though_nothing_was_due),
    T_TEST(test_a_foreign_write_in_a_quiet_moment),
    T_TEST(test_a_foreign_write_beside_a_busy_writer), T_TEST(test_a_write_in_a_quiet_moment),
    T_TEST(test_a_write_while_the_ledger_is_made), T_TEST(test_a_write_behind_a_symbolic_link),
    T_TEST(test_the_event_finds_a_torn_header),
    T_TEST(test_an_index_stayed_torn_while_a_start_waited_for_its_replica))
