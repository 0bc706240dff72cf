/*
 * test_primary_rotten.c - a page of the database file is not what SQLite wrote: bit rot, a lost
 * write, a program that wrote past SQLite. What is read for a replica then contradicts the ledger.
 */
#include "harness/engine_world.h"
#include "storage/drivers.h"
#include "unit/engine/ledger_model.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SECOND ((int64_t)1000000000)

/* By another process, as closing a descriptor here would drop SQLite's locks; with the time of the
 * file as it was, since a disk does not set that. */
static void rot(const char *path, uint32_t pgno)
{
    char of[512], seek[32];
    char *argv[] = {(char *)(uintptr_t) "dd", (char *)(uintptr_t) "if=/dev/urandom", of,
        (char *)(uintptr_t) "bs=8", seek, (char *)(uintptr_t) "count=1",
        (char *)(uintptr_t) "conv=notrunc", (char *)(uintptr_t) "status=none", NULL};
    char *envp[] = {(char *)(uintptr_t) "PATH=/bin:/usr/bin", NULL};
    struct stat was;
    struct timespec times[2];
    int status = 0;
    pid_t pid;

    (void)snprintf(of, sizeof(of), "of=%s", path);
    (void)snprintf(seek, sizeof(seek), "seek=%u", (pgno - 1) * 512 + 200);
    T(stat(path, &was) == 0);
    T(posix_spawnp(&pid, "dd", NULL, NULL, argv, envp) == 0);
    T(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    times[0] = was.st_atim;
    times[1] = was.st_mtim;
    T(utimensat(AT_FDCWD, path, times, 0) == 0);
}

static struct wr_db_status status(struct world *w)
{
    struct wr_db_status s;

    wr_db_status(w->db, &s);
    return s;
}

/* A replicated database of that many rows, each of about a page; the last one is in the WAL only.
 */
static void replicated(struct world *w, const struct wr_fs *fs, unsigned rows)
{
    char sql[300];

    world_open(w, 1);
    w->opts.fs = fs;
    w->interval_ns = SECOND;
    world_app(w);
    (void)snprintf(sql, sizeof(sql),
        "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%u)"
        "INSERT INTO t SELECT i, randomblob(3500) FROM n; PRAGMA wal_checkpoint(TRUNCATE);"
        "INSERT INTO t VALUES(NULL, 'x')",
        rows);
    world_sql(w, sql);
    world_start(w);
    assert_int_equal(world_sync(w), 1);
}

/* It used to be retried for ever, and nothing looked what was wrong. */
static void a_new_replica(unsigned rows, bool written)
{
    struct world w;
    struct wr_bytes was, then;
    struct wr_db_status s;
    struct wr_err e = {0};

    replicated(&w, NULL, rows);
    was = world_image(&w);
    rot(w.path, 60); /* a disk does not set the other times, either */
    world_stop(&w);
    T_OK(wr_storage_mem.open(NULL, &w.bucket[1], &e));
    w.n_buckets = 2;
    if (written) /* it is not this what is named */
        world_sql(&w, "UPDATE t SET b=randomblob(3000) WHERE a < 20");
    world_start(&w);
    world_run(&w, 30 * SECOND);
    T(world_sync(&w) >= 2);
    world_check(&w, 0);
    world_check(&w, 1);
    s = status(&w);
    T(s.error == WR_OK && s.full_sends == 0);
    assert_int_equal(s.ledger_scans, 1);
    T(w.errors == 1 && strstr(w.error, "PRAGMA integrity_check"));
    T(strstr(w.error, "first_page=60 ") || strstr(w.error, "first_page=60\n"));
    then = world_restore(&w, 0, 1);
    T(then.n == was.n && memcmp(then.p, was.p, was.n) == 0);
    world_close(&w);
}

static void test_a_rotten_page_and_a_new_replica(void **state)
{
    (void)state;
    a_new_replica(2500, false); /* a snapshot that is read while it is sent */
    a_new_replica(2500, true);
}

/* That of a small one failed when it was made, which broke replication off for all replicas, again
 * and again. */
static void test_a_rotten_page_in_a_small_database(void **state)
{
    (void)state;
    a_new_replica(100, false);
    a_new_replica(100, true);
}

/* ---- a disk that reads something else each time ---- */

static struct {
    struct world *w;
    bool failing;
    unsigned uploads;
} flaky;

/* Called with the first part in hand, some pages before the end. */
static enum wr_status rotten_begin(void *self, struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, struct wr_upload **out, struct wr_err *e)
{
    if (flaky.failing)
        rot(flaky.w->path, 2500);
    flaky.uploads++;
    return wr_storage_mem.upload_begin(self, c, key, o, out, e);
}

static void test_it_happens_again_and_again(void **state)
{
    struct wr_storage_ops ops = wr_storage_mem;
    struct wr_storage *s = NULL;
    struct world w;
    struct wr_db_status now;
    struct wr_err e = {0};

    (void)state;
    replicated(&w, NULL, 2500);
    flaky.w = &w;
    flaky.failing = true;
    ops.upload_begin = rotten_begin;
    T_OK(wr_storage_mem.open(NULL, &w.bucket[1], &e));
    w.n_buckets = 2;
    T_OK(wr_storage_wrap(&ops, wr_storage_mem_ref(w.bucket[1]), WR_STR(""), &s, &e));
    T_OK(wr_db_add_replica(w.db, s, SECOND, &e));
    world_run(&w, 3600 * SECOND);
    now = status(&w);
    T(now.error == WR_CORRUPT && strstr(world_error(w.db), "PRAGMA integrity_check"));
    T(now.ledger_scans >= 4 && now.ledger_scans <= 10); /* the first included */
    T(flaky.uploads >= 3 && flaky.uploads <= 10);
    flaky.failing = false;
    world_run(&w, 2 * 3600 * SECOND);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_check(&w, 1);
    now = status(&w);
    T(now.error == WR_OK && world_error(w.db)[0] == '\0' && now.full_sends == 0);
    world_close(&w);
}

/* ---- between two reads ---- */

/* Called when the checksums of a TXID go to the journal. The pages of a file that may not fit in
 * memory are read after it. */
static void rot_once(void *arg, const void *p, size_t n, uint64_t off, const char *name)
{
    const char *path = arg;

    (void)p;
    (void)n;
    (void)off;
    if (strncmp(name, "journal", 7) != 0)
        return;
    disk.before = NULL;
    rot(path, 60);
}

/* All pages have changed, and been copied into the database, and wait for their file. */
static void change_all(struct world *w)
{
    world_stop(w);
    w->opts.checkpoint_frames = 20;
    w->interval_ns = 20 * SECOND;
    world_start(w);
    world_sql(w, "UPDATE t SET b='x' WHERE a=1");
    assert_int_equal(world_sync(w), 2); /* the next one has to wait */
    world_sql(w, "UPDATE t SET b=randomblob(3500)");
    world_run(w, 5 * SECOND);
    T(status(w).checkpoints > 0 && status(w).txid == 2);
}

/* The page that went into the file was not the one whose checksum went into its header. All of it
 * was acknowledged, and could not be restored. */
static void test_a_page_rots_after_its_checksum_was_taken(void **state)
{
    struct wr_fs fs = spied_fs();
    struct world w;
    struct wr_bytes was, then;

    (void)state;
    disk.full = false;
    replicated(&w, &fs, 200);
    was = world_image(&w);
    change_all(&w);
    disk.arg = (void *)(uintptr_t)w.path;
    disk.before = rot_once;
    T(world_sync(&w) >= 3);
    T(!disk.before);
    world_run(&w, 60 * SECOND);
    world_sql(&w, "UPDATE t SET b='y' WHERE a=1"); /* the WAL has the page as it was no more */
    (void)world_sync(&w);
    world_check(&w, 0);
    T(w.errors == 1 && strstr(w.error, "PRAGMA integrity_check"));
    T(strstr(w.error, "first_page=60 ") || strstr(w.error, "first_page=60\n"));
    T(status(&w).error == WR_OK && status(&w).full_sends == 0);
    then = world_restore(&w, 0, 1);
    T(then.n == was.n && memcmp(then.p, was.p, was.n) == 0);
    world_close(&w);
}

/* One that does fit is read once: what went into the file is what the header says. */
static void test_a_page_rots_after_it_was_read(void **state)
{
    struct wr_fs fs = spied_fs();
    struct world w;
    struct wr_bytes was, is;
    uint64_t txid;

    (void)state;
    disk.full = false;
    replicated(&w, &fs, 100);
    change_all(&w);
    was = world_image(&w);
    disk.arg = (void *)(uintptr_t)w.path;
    disk.before = rot_once;
    txid = world_sync(&w);
    T(txid == 3 && !disk.before && w.errors == 0);
    is = world_restore(&w, 0, txid);
    T(is.n == was.n && memcmp(is.p, was.p, was.n) == 0);
    world_close(&w);
}

/* ---- and the local disk is full ---- */

/* The steps of 20 s in which a comparison is due that must wait for room; `k` steps after a replica
 * was added for which all pages are read. */
static uint64_t full_after(unsigned k)
{
    struct wr_fs fs = spied_fs();
    struct world w;
    struct wr_err e = {0};
    uint64_t steps;

    disk.full = false;
    replicated(&w, &fs, 100);
    rot(w.path, 60);
    T_OK(wr_storage_mem.open(NULL, &w.bucket[1], &e));
    w.n_buckets = 2;
    T_OK(wr_db_add_replica(w.db, world_storage(&w, 1), SECOND, &e));
    (void)world_pass(&w, SECOND, k);
    disk.full = true;
    world_sql(&w, "UPDATE t SET b=1 WHERE a=1");
    steps = world_pass(&w, 20 * SECOND, 20000);
    disk.full = false;
    world_run(&w, 60 * SECOND);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_check(&w, 1);
    world_close(&w);
    return steps;
}

/* The comparison was due in the past, step after step: a core of them. */
static void test_a_comparison_waits_for_room_without_spinning(void **state)
{
    (void)state;
    for (unsigned k = 1; k < 12; k++)
        T(full_after(k) < 5000);
}

T_MAIN(T_TEST(test_a_rotten_page_and_a_new_replica), T_TEST(test_a_rotten_page_in_a_small_database),
    T_TEST(test_it_happens_again_and_again), T_TEST(test_a_page_rots_after_its_checksum_was_taken),
    T_TEST(test_a_page_rots_after_it_was_read),
    T_TEST(test_a_comparison_waits_for_room_without_spinning))
