/*
 * What writers leave in the wal-index and the WAL that is not as it should be: one that was killed
 * while it reset the WAL, and versions of SQLite that commit frames without checksums.
 */
#include "harness/engine_world.h"

#include "base/bytes.h"
#include "engine/primary_int.h"
#include "sqlite/wal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND ((int64_t)1000000000)

/* Offsets in the wal-index: https://sqlite.org/walformat.html */
#define SHM_SIZE     136u
#define SHM_MX_FRAME 16u
#define SHM_SALT     32u
#define SHM_CKSUM    40u
#define SHM_BACKFILL 96u

static uint32_t host32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* Run `edit` on the beginning of a file in another process: here, closing it would drop locks. */
static void edit_file(
    const char *path, size_t n, void (*edit)(uint8_t *p, const void *arg), const void *arg)
{
    int status = 0;
    pid_t pid = fork();

    T(pid >= 0);
    if (pid == 0) {
        int fd = open(path, O_RDWR);
        void *p = fd < 0 ? MAP_FAILED : mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (p == MAP_FAILED)
            _exit(1);
        edit(p, arg);
        _exit(0);
    }
    T(waitpid(pid, &status, 0) == pid && status == 0);
}

/* ---- killed while it reset the WAL ---- */

/* walRestartHdr in sqlite3 src/wal.c first publishes the new header, and then sets nBackfill to 0.
 * This is what a SIGKILL in between leaves. */
static void reset_half(uint8_t *p, const void *arg)
{
    uint32_t zero = 0, sum[2] = {0, 0};

    (void)arg;
    memcpy(p + SHM_MX_FRAME, &zero, 4);
    wr_put_be32(p + SHM_SALT, wr_be32(p + SHM_SALT) + 1);
    p[SHM_SALT + 7] ^= 0x55;
    wr_wal_checksum(true, p, SHM_CKSUM, sum);
    memcpy(p + SHM_CKSUM, sum, sizeof(sum));
    memcpy(p + 48, p, 48);
}

static uint32_t shm_now(struct world *w, size_t at)
{
    const volatile uint8_t *shm;
    sqlite3_file *f = NULL;
    volatile void *map = NULL;
    uint8_t copy[4];

    T(sqlite3_file_control(w->app, "main", SQLITE_FCNTL_FILE_POINTER, &f) == SQLITE_OK);
    T(f->pMethods->xShmMap(f, 0, 32768, 0, &map) == SQLITE_OK);
    shm = map;
    for (size_t i = 0; i < sizeof(copy); i++)
        copy[i] = shm[at + i];
    return host32(copy);
}

/* Everything checkpointed, then a writer that dies in the middle of the reset. */
static void half_reset_world(struct world *w, bool attached)
{
    world_open(w, 1);
    w->opts.checkpoint_frames = attached ? 50 : 5000;
    world_app(w);
    world_sql(w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    for (int i = 1; i <= 100; i++)
        world_sql(w, "INSERT INTO t(b) VALUES(randomblob(900))");
    if (attached) {
        world_start(w);
        (void)world_sync(w);
        world_run(w, 100 * SECOND);
    } else {
        world_sql(w, "PRAGMA wal_checkpoint");
    }
    T(shm_now(w, SHM_BACKFILL) > 50 && shm_now(w, SHM_BACKFILL) == shm_now(w, SHM_MX_FRAME));
    edit_file(t_path(w->dir, "app.db-shm"), SHM_SIZE, reset_half, NULL);
    T(shm_now(w, SHM_BACKFILL) > 50 && shm_now(w, SHM_MX_FRAME) == 0);
}

/* The frames that were new were taken for copied, and so for old: commits were never replicated. */
static void test_a_stale_backfill_count_is_not_believed_at_attach(void **state)
{
    struct world w;

    (void)state;
    for (int commits = 0; commits < 12; commits += 3) {
        half_reset_world(&w, false);
        for (int i = 0; i < commits; i++)
            world_sql(&w, "UPDATE t SET b=randomblob(900) WHERE a%19=7");
        world_start(&w);
        (void)world_sync(&w);
        world_check(&w, 0);
        world_sql(&w, "UPDATE t SET b=randomblob(900)");
        world_run(&w, SECOND);
        (void)world_sync(&w);
        world_check(&w, 0);
        world_close(&w);
    }
}

static void test_a_stale_backfill_count_is_not_believed_while_attached(void **state)
{
    struct wr_db_status s;
    struct world w;

    (void)state;
    half_reset_world(&w, true);
    for (int i = 0; i < 40; i++) {
        world_sql(&w, "UPDATE t SET b=randomblob(900) WHERE a%19=7");
        world_run(&w, SECOND / 10);
        if (i % 8 == 0) {
            (void)world_sync(&w);
            world_check(&w, 0);
        }
    }
    world_run(&w, 100 * SECOND);
    (void)world_sync(&w);
    world_check(&w, 0);
    wr_db_status(w.db, &s);
    T(s.resets > 2 && s.error == WR_OK);
    assert_int_equal(shm_now(&w, SHM_BACKFILL), shm_now(&w, SHM_MX_FRAME));
    world_close(&w);
}

static int number(struct world *w, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    int n;

    T(sqlite3_prepare_v2(w->app, sql, -1, &stmt, NULL) == SQLITE_OK);
    T(sqlite3_step(stmt) == SQLITE_ROW);
    n = sqlite3_column_int(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return n;
}

static int rows(struct world *w)
{
    return number(w, "SELECT count(*) FROM t");
}

/* It was set right by the next checkpoint only. Until then nobody saw what was committed, and each
 * commit was built on pages without the one before. */
static void test_commits_behind_a_half_reset_are_seen(void **state)
{
    struct wr_db_status s;
    struct world w;
    uint32_t stale;

    (void)state;
    half_reset_world(&w, true);
    stale = shm_now(&w, SHM_BACKFILL);
    for (uint32_t i = 1; i <= stale + 5; i++) {
        world_sql(&w, "INSERT INTO t(b) VALUES('x')");
        (void)sqlite3_db_release_memory(w.app); /* as if each came from another process */
        world_run(&w, SECOND / 100);
        assert_int_equal(rows(&w), 100 + i);
    }
    (void)world_sync(&w);
    world_check(&w, 0);
    wr_db_status(w.db, &s);
    T(s.error == WR_OK);
    world_close(&w);
}

static void test_a_half_reset_is_finished_before_the_next_commit(void **state)
{
    struct world w;

    (void)state;
    half_reset_world(&w, true);
    world_run(&w, 0);
    assert_int_equal(shm_now(&w, SHM_BACKFILL), 0);
    world_close(&w);
}

/* The writer lock is taken, maybe by the one that resets. */
static void test_a_half_reset_is_finished_when_the_writer_lock_is_free(void **state)
{
    sqlite3 *other = NULL;
    struct world w;

    (void)state;
    half_reset_world(&w, true);
    T(sqlite3_open(w.path, &other) == SQLITE_OK);
    T(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    world_run(&w, SECOND / 10);
    T(shm_now(&w, SHM_BACKFILL) > 50);
    T(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    T(world_pass(&w, 2 * SECOND / 1000, 1000) < 10);
    assert_int_equal(shm_now(&w, SHM_BACKFILL), 0);
    T(sqlite3_close(other) == SQLITE_OK);
    world_close(&w);
}

/* All others left before it was finished: it was seen while one of them had the writer lock, or
 * what was captured was not sent yet. When the database was closed, the frames were taken for
 * copied, and went with the WAL. */
static void test_commits_behind_a_half_reset_went_with_a_stop(void **state)
{
    struct world w;

    (void)state;
    for (int how = 0; how < 4; how++) {
        half_reset_world(&w, true);
        for (int i = 0; i < 3; i++) { /* who has reset a WAL keeps the salts of the next reset */
            world_sql(&w, "UPDATE t SET b=randomblob(900)");
            world_run(&w, 100 * SECOND);
        }
        if (how & 2) {
            world_stop(&w);
            w.interval_ns = 3600 * SECOND;
            world_start(&w);
            (void)world_sync(&w);
            world_sql(&w, "UPDATE t SET b=randomblob(900)");
            (void)world_sync(&w);
            world_sql(&w, "UPDATE t SET b=randomblob(800)");
            world_run(&w, 100 * SECOND);
        }
        T(shm_now(&w, SHM_BACKFILL) > 10 && shm_now(&w, SHM_BACKFILL) == shm_now(&w, SHM_MX_FRAME));
        edit_file(t_path(w.dir, "app.db-shm"), SHM_SIZE, reset_half, NULL);
        world_sql(&w, "BEGIN IMMEDIATE");
        if (how & 1)
            world_run(&w, 0);
        world_sql(&w, "INSERT INTO t(b) VALUES('last'); COMMIT");
        T(shm_now(&w, SHM_BACKFILL) > shm_now(&w, SHM_MX_FRAME));
        world_app_close(&w);
        world_stop(&w);
        world_app(&w);
        assert_int_equal(rows(&w), 101);
        world_close(&w);
    }
}

/* ---- committed without checksums ---- */

/* How SQLite 3.40 to 3.50 do it: https://sqlite.org/forum/forumpost/b490f726db */
static void commit_after_a_savepoint(struct world *w)
{
    world_sql(w, "PRAGMA cache_size=1; SAVEPOINT s");
    for (int i = 0; i < 7; i++)
        world_sql(w, "INSERT INTO t(b) VALUES(randomblob(4096))");
    world_sql(w, "ROLLBACK TO s; RELEASE s");
    world_sql(w, "INSERT INTO t(b) VALUES(randomblob(4096))");
}

/* What that leaves, for versions that do it no more. */
static void blank_sum(uint8_t *p, const void *arg)
{
    memset(p + *(const size_t *)arg, 0, 16);
}

static void flip_byte(uint8_t *p, const void *arg)
{
    p[*(const size_t *)arg] ^= 1;
}

static void no_edit(uint8_t *p, const void *arg)
{
    (void)p;
    (void)arg;
}

static uint64_t wal_size(struct world *w)
{
    struct wr_file_info info = {0};
    struct wr_err e = {0};

    T_OK(wr_fs_posix()->stat(wr_fs_posix(), t_path(w->dir, "app.db-wal"), &info, &e));
    return info.size;
}

static bool has_blank(struct world *w)
{
    static const uint8_t zeros[16];
    struct wr_bytes wal = t_slurp(t_path(w->dir, "app.db-wal"));

    for (uint32_t f = 1; f <= shm_now(w, SHM_MX_FRAME); f++) {
        if (memcmp(wal.p + wr_frame_offset(f, 4096) + 8, zeros, sizeof(zeros)) == 0)
            return true;
    }
    return false;
}

static void unchecked_world(struct world *w)
{
    world_open(w, 1);
    w->opts.checkpoint_frames = 5000;
    world_app(w);
    world_sql(w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    for (int i = 1; i <= 20; i++)
        world_sql(w, "INSERT INTO t(b) VALUES(randomblob(900))");
}

static void blank_one(struct world *w)
{
    size_t at = (size_t)wr_frame_offset(shm_now(w, SHM_MX_FRAME), 4096) + 8;

    edit_file(t_path(w->dir, "app.db-wal"), (size_t)wal_size(w), blank_sum, &at);
}

/* Replication stopped with "WAL frame damaged"; when it let go, a recovery lost what was committed.
 */
static void expect_made_safe(struct world *w)
{
    struct wr_db_status s;

    (void)world_sync(w);
    world_run(w, SECOND);
    world_check(w, 0);
    wr_db_status(w->db, &s);
    T(s.error == WR_OK && s.wal_frames == 0);
    assert_int_equal(wal_size(w), 0); /* so that no recovery can find less */
    world_sql(w, "INSERT INTO t(b) VALUES(randomblob(800))");
    (void)world_sync(w);
    world_check(w, 0);
    world_stop(w);
    world_start(w);
    (void)world_sync(w);
    wr_db_status(w->db, &s);
    assert_int_equal(s.ledger_scans, 0); /* the next WAL is like any other */
    world_close(w);
}

static void test_frames_without_checksums_are_made_safe(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct world w;

        unchecked_world(&w);
        if (how % 2) {
            world_start(&w);
            (void)world_sync(&w);
        }
        if (how < 2) {
            world_sql(&w, "INSERT INTO t(b) VALUES(randomblob(70))");
            blank_one(&w);
        } else {
            commit_after_a_savepoint(&w);
            if (!has_blank(&w)) /* this SQLite does it no more */
                blank_one(&w);
        }
        if (how % 2 == 0)
            world_start(&w);
        expect_made_safe(&w);
    }
}

static sqlite3 *reader_of(struct world *w)
{
    sqlite3 *reader = NULL;

    T(sqlite3_open(w->path, &reader) == SQLITE_OK);
    T(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM t", NULL, NULL, NULL) == SQLITE_OK);
    return reader;
}

/* Everybody leaves, the daemon last, and the application comes back. */
static void last_to_close(struct world *w, sqlite3 *reader)
{
    (void)sqlite3_db_config(w->app, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    world_app_close(w);
    if (reader)
        (void)sqlite3_db_config(reader, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    T(sqlite3_close(reader) == SQLITE_OK);
    world_stop(w);
    T(access(t_path(w->dir, "app.db-wal"), F_OK) != 0);
    world_app(w);
}

/* Nothing of it is lost when we are the last to close it, before it could be emptied. */
static void test_the_last_to_close_leaves_no_frames_without_checksums(void **state)
{
    struct world w;
    sqlite3 *reader;

    (void)state;
    unchecked_world(&w);
    reader = reader_of(&w);
    world_sql(&w, "INSERT INTO t(b) VALUES(randomblob(70))");
    blank_one(&w);
    world_start(&w);
    (void)world_sync(&w);
    T(wal_size(&w) > 0); /* the reader is in the way */
    last_to_close(&w, reader);
    assert_int_equal(rows(&w), 21);
    world_close(&w);
}

/* Twenty rows, each updated three times, and all of it in the database. `edit` makes a frame in the
 * middle one that does not follow: a recovery would put the first update over the last. */
static void skipped_world(
    struct world *w, void (*edit)(uint8_t *p, const void *arg), sqlite3 **ret_reader)
{
    size_t at;

    unchecked_world(w);
    world_sql(w, "UPDATE t SET b='old'; UPDATE t SET b='new'");
    at = (size_t)wr_frame_offset(shm_now(w, SHM_MX_FRAME), 4096) + 8;
    world_sql(w, "UPDATE t SET b='newest'");
    if (ret_reader)
        *ret_reader = reader_of(w); /* nobody resets it */
    world_sql(w, "PRAGMA wal_checkpoint");
    assert_int_equal(shm_now(w, SHM_BACKFILL), shm_now(w, SHM_MX_FRAME));
    edit_file(t_path(w->dir, "app.db-wal"), (size_t)wal_size(w), edit, &at);
}

static int newest(struct world *w)
{
    return number(w, "SELECT count(*) FROM t WHERE b='newest'");
}

/* They were not looked at. A kill then left a WAL by which the next one to come lost pages. */
static void test_frames_that_were_skipped_are_made_safe(void **state)
{
    struct wr_db_status s;
    struct world w;

    (void)state;
    for (int how = 0; how < 2; how++) {
        skipped_world(&w, how ? flip_byte : blank_sum, NULL);
        world_start(&w);
        (void)world_sync(&w);
        assert_int_equal(wal_size(&w), 0);
        world_check(&w, 0);
        assert_int_equal(newest(&w), 20);
        wr_db_status(w.db, &s);
        T(s.error == WR_OK && s.commits == 0);
        world_close(&w);
    }
}

/* Frames that are in order are left alone, and those behind them captured. */
static void test_frames_that_were_skipped_and_are_in_order_stay(void **state)
{
    struct wr_db_status s;
    struct world w;
    sqlite3 *reader;
    uint64_t size;

    (void)state;
    skipped_world(&w, no_edit, &reader);
    size = wal_size(&w);
    world_start(&w);
    (void)world_sync(&w);
    assert_int_equal(wal_size(&w), size);
    world_sql(&w, "INSERT INTO t(b) VALUES('behind them')");
    T(wal_size(&w) > size);
    (void)world_sync(&w);
    world_check(&w, 0);
    wr_db_status(w.db, &s);
    T(s.error == WR_OK && s.commits == 1 && s.resets == 0);
    T(sqlite3_close(reader) == SQLITE_OK);
    world_close(&w);
}

/* A read keeps the WAL from being emptied, and the database is attached anew meanwhile. */
static void test_what_is_unchecked_is_so_after_attaching_again(void **state)
{
    struct world w;
    sqlite3 *reader;

    (void)state;
    skipped_world(&w, blank_sum, &reader);
    world_start(&w);
    (void)world_sync(&w);
    for (int i = 0; i < 3; i++) {
        T(utimensat(AT_FDCWD, w.path, NULL, 0) == 0); /* as if somebody had written to it */
        world_run(&w, SECOND);
        (void)world_sync(&w);
    }
    T(wal_size(&w) > 0);
    last_to_close(&w, reader);
    assert_int_equal(newest(&w), 20);
    world_close(&w);
}

static void reset_whole(uint8_t *p, const void *arg)
{
    const uint32_t zero = 0;

    reset_half(p, arg);
    memcpy(p + SHM_BACKFILL, &zero, 4);
}

/* A writer died after it had published its reset, and before it wrote the header of the new WAL.
 * The index is empty, and was taken for that of a healthy WAL; the old frames are still in the
 * file, and one does not follow. After a power cut those before it were put over newer pages. */
static void test_old_frames_behind_an_empty_index_came_back(void **state)
{
    struct world w;
    sqlite3 *reader;

    (void)state;
    for (int damaged = 0; damaged < 2; damaged++) {
        skipped_world(&w, damaged ? flip_byte : blank_sum, &reader);
        T(sqlite3_close(reader) == SQLITE_OK);
        edit_file(t_path(w.dir, "app.db-shm"), SHM_SIZE, reset_whole, NULL);
        world_start(&w);
        (void)world_sync(&w);
        (void)world_pass(&w, 20 * SECOND, 10000);
        assert_int_equal(wal_size(&w), 0);
        assert_int_equal(newest(&w), 20);
        world_close(&w);
    }
}

static void tear(uint8_t *p, const void *arg)
{
    (void)arg;
    p[48 + 8] ^= 1;
}

static const char *state_of(struct world *w)
{
    struct wr_db_status s;

    wr_db_status(w->db, &s);
    return s.state;
}

/* Two rows behind the twenty that the replica has; the last one, at least, is behind a frame that
 * no recovery finds. */
static void commit_unchecked(struct world *w)
{
    commit_after_a_savepoint(w);
    if (!has_blank(w))
        blank_one(w);
    world_sql(w, "INSERT INTO t(b) VALUES('last')");
}

/* A start that waits for its replica has the pin, so nobody else empties the WAL. A writer died in
 * its update of the index meanwhile, and the recovery lost what had been committed. */
static void test_a_start_that_waited_for_its_replica_kept_frames_that_no_recovery_finds(
    void **state)
{
    (void)state;
    for (int how = 0; how < 8; how++) {
        const bool lost_ledger = how & 1, let_go = how & 2, before = how & 4;
        struct wr_err e = {0};
        struct world w;

        unchecked_world(&w);
        world_start(&w);
        (void)world_sync(&w);
        world_stop(&w);
        if (lost_ledger)
            T_OK(wr_fs_posix()->remove(wr_fs_posix(), t_path(w.dir, ".app.db-weir/ledger"), &e));
        if (before)
            commit_unchecked(&w);
        w.arm = world_out_of_reach;
        world_start(&w);
        (void)world_pass(&w, SECOND / 10, 1000);
        if (!before)
            commit_unchecked(&w);
        (void)world_pass(&w, SECOND / 10, 1000);
        T(strcmp(state_of(&w), "proving") == 0);
        assert_int_equal(wal_size(&w), 0);
        edit_file(t_path(w.dir, "app.db-shm"), SHM_SIZE, tear, NULL);
        (void)world_pass(&w, SECOND / 10, 1000);
        assert_int_equal(rows(&w), 22);
        T(strcmp(state_of(&w), "proving") == 0);
        world_sql(&w, "INSERT INTO t(b) VALUES('meanwhile')");
        if (let_go) { /* what was copied to the file was captured by nobody who is still there */
            world_run(&w, 2 * SECOND);
            T(strcmp(state_of(&w), "opening") == 0);
            world_sql(&w, "PRAGMA wal_checkpoint; INSERT INTO t(b) VALUES('away')");
        }
        faultstore_calm(w.fault[0]);
        world_run(&w, 100 * SECOND);
        (void)world_sync(&w);
        assert_int_equal(rows(&w), let_go ? 24 : 23);
        world_check(&w, 0);
        assert_int_equal(w.errors, 0);
        world_close(&w);
    }
}

/* A read kept it from being emptied until it was let go of: all of it was in the file by then, and
 * a recovery would have put older frames over that. */
static void test_a_start_let_go_of_a_wal_that_it_had_copied_and_not_emptied(void **state)
{
    struct world w;
    sqlite3 *reader;

    (void)state;
    skipped_world(&w, no_edit, &reader);
    commit_unchecked(&w);
    T(sqlite3_close(reader) == SQLITE_OK);
    reader = reader_of(&w);
    w.arm = world_out_of_reach;
    world_start(&w);
    T(world_pass(&w, 3 * SECOND, 1000) < 200);
    assert_int_equal(shm_now(&w, SHM_BACKFILL), shm_now(&w, SHM_MX_FRAME));
    T(wal_size(&w) > 0);
    T(sqlite3_close(reader) == SQLITE_OK);
    T(world_pass(&w, 11 * SECOND, 1000) < 200);
    assert_int_equal(wal_size(&w), 0);
    T(strcmp(state_of(&w), "opening") == 0);
    assert_int_equal(newest(&w), 20);
    faultstore_calm(w.fault[0]);
    world_run(&w, 100 * SECOND);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

/* Its header was the new one: no recovery finds old frames behind it. */
static void test_an_empty_wal_that_was_begun_stays(void **state)
{
    struct world w;

    (void)state;
    unchecked_world(&w);
    world_sql(&w, "PRAGMA wal_checkpoint(RESTART); INSERT INTO t(b) VALUES('x')");
    world_start(&w);
    (void)world_sync(&w);
    (void)world_pass(&w, 20 * SECOND, 10000);
    T(wal_size(&w) > 0);
    world_close(&w);
}

/* It was tried again at the next write only, or a minute later. */
static void test_an_unchecked_wal_is_emptied_when_the_read_ends(void **state)
{
    struct world w;
    sqlite3 *reader;

    (void)state;
    unchecked_world(&w);
    w.opts.scan_ns = 3600 * SECOND;
    world_start(&w);
    (void)world_sync(&w);
    world_sql(&w, "INSERT INTO t(b) VALUES(randomblob(70))");
    blank_one(&w);
    reader = reader_of(&w);
    (void)world_sync(&w);
    T(wal_size(&w) > 0);
    T(world_pass(&w, 60 * SECOND, 1000) < 100); /* and no storm of attempts */
    T(wal_size(&w) > 0);
    T(sqlite3_close(reader) == SQLITE_OK);
    (void)world_pass(&w, 11 * SECOND, 1000);
    assert_int_equal(wal_size(&w), 0);
    world_close(&w);
}

/* They were left behind without having been captured, and so without a look. */
static void test_what_was_not_captured_is_not_left_behind(void **state)
{
    struct world w;

    (void)state;
    unchecked_world(&w);
    w.interval_ns = 10 * SECOND;
    world_start(&w);
    (void)world_sync(&w);
    world_sql(&w, "INSERT INTO t(b) VALUES('a'); INSERT INTO t(b) VALUES('b')");
    world_run(&w, SECOND / 10);
    commit_after_a_savepoint(&w);
    world_sql(&w, "INSERT INTO t(b) VALUES('after')");
    if (!has_blank(&w))
        blank_one(&w);
    assert_int_equal(rows(&w), 24);
    world_run(&w, SECOND / 10);
    last_to_close(&w, NULL);
    assert_int_equal(rows(&w), 24);
    world_close(&w);
}

/* Emptying it had copied frames, too, and the ledger knew the file as it was before. */
static void test_a_file_was_another_one_after_its_wal_was_emptied(void **state)
{
    struct wr_file_mark file, known;
    struct world w;

    (void)state;
    unchecked_world(&w);
    world_start(&w);
    (void)world_sync(&w);
    world_run(&w, SECOND);
    world_sql(&w, "INSERT INTO t(b) VALUES('a')");
    blank_one(&w);
    (void)world_sync(&w);
    assert_int_equal(wal_size(&w), 0);
    T(nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL) == 0); /* for the clock of files */
    world_run(&w, 20 * SECOND);
    file = wr_conn_mark(w.db->conn);
    known = wr_ledger_state(w.db->ledger).file;
    T(wr_file_mark_equal(&file, &known));
    world_close(&w);
}

/* A WAL of n frames of which some have no checksum, and all that can be known of it. */
static void test_a_wal_is_left_behind_only_if_all_of_it_was_checked(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 1u << 12; c++) {
        uint32_t n = c & 3, pos_frame = c >> 2 & 3, blanks = c >> 4 & 7;
        bool started = c >> 7 & 1, same_salt = c >> 8 & 1, skipped = c >> 9 & 1;
        bool checked = c >> 10 & 1, known = c >> 11 & 1;
        uint32_t found = 0, looked_at = skipped && !checked ? 0 : pos_frame;
        struct wr_pos pos = {.salt = {7}, .frame = pos_frame};
        struct wr_walidx now = {.init = true, .mx_frame = n, .salt = {same_salt ? 7 : 8}};
        bool unchecked = looked_at < pos_frame || known, leave;

        for (uint32_t f = 1; f <= looked_at; f++)
            unchecked = unchecked || blanks >> (f - 1) & 1;
        while (found < n && !(blanks >> found & 1))
            found++; /* by a recovery */
        leave = wr_db_all_checked(started, unchecked, &pos, &now);
        if (leave)
            T(started && same_salt && found == n && n > 0);
        if (started && same_salt && n > 0 && pos_frame == n && found == n && !known &&
            (!skipped || checked))
            T(leave);
    }
}

/* Any other frame that does not fit is damage, as ever. */
static void test_a_damaged_frame_is_not_taken(void **state)
{
    struct wr_db_status s;
    struct world w;

    (void)state;
    unchecked_world(&w);
    world_sql(&w, "INSERT INTO t(b) VALUES(randomblob(70))");
    edit_file(t_path(w.dir, "app.db-wal"), (size_t)wal_size(&w), flip_byte, &(size_t){5000});
    world_start(&w);
    world_run(&w, SECOND);
    wr_db_status(w.db, &s);
    assert_int_equal(s.error, WR_CORRUPT);
    world_close(&w);
}

/* While a read kept the WAL from being emptied nothing was checked. */
static void test_a_damaged_frame_behind_a_blank_one_is_not_taken(void **state)
{
    struct wr_db_status s;
    struct world w;
    sqlite3 *reader;
    size_t at;

    (void)state;
    for (int damaged = 0; damaged < 2; damaged++) {
        unchecked_world(&w);
        w.interval_ns = SECOND;
        commit_after_a_savepoint(&w);
        if (!has_blank(&w))
            blank_one(&w);
        reader = reader_of(&w);
        world_start(&w);
        (void)world_sync(&w);
        for (int i = 0; i < 20; i++) {
            world_sql(&w, "INSERT INTO t(b) VALUES(randomblob(700))");
            if (i % 4 == 0)
                (void)world_sync(&w);
        }
        at = (size_t)wr_frame_offset(shm_now(&w, SHM_MX_FRAME), 4096) + 1000;
        if (damaged)
            edit_file(t_path(w.dir, "app.db-wal"), (size_t)wal_size(&w), flip_byte, &at);
        world_run(&w, 2 * SECOND);
        wr_db_status(w.db, &s);
        assert_int_equal(s.error, damaged ? WR_CORRUPT : WR_OK);
        T(sqlite3_close(reader) == SQLITE_OK);
        world_close(&w);
    }
}

/* ---- what no writer leaves ---- */

/* The index as another program would leave it that writes to it past all locks. */
struct index_now {
    uint32_t mx_frame;
    bool other_salt;
};

static void set_index(uint8_t *p, const void *arg)
{
    const struct index_now *now = arg;
    uint32_t sum[2] = {0, 0};

    memcpy(p + SHM_MX_FRAME, &now->mx_frame, 4);
    if (now->other_salt)
        p[SHM_SALT + 7] ^= 0x55;
    wr_wal_checksum(true, p, SHM_CKSUM, sum);
    memcpy(p + SHM_CKSUM, sum, sizeof(sum));
    memcpy(p + 48, p, 48);
}

/* Replicated, with frames in the WAL that are captured and not checkpointed; then the index becomes
 * that. Says so, and proves everything again: what SQLite itself would read is what is replicated.
 */
static void index_becomes(const struct index_now *now, const char *want)
{
    struct world w;
    struct wr_db_status s;

    unchecked_world(&w);
    world_start(&w);
    (void)world_sync(&w);
    edit_file(t_path(w.dir, "app.db-shm"), SHM_SIZE, set_index, now);
    world_run(&w, SECOND / 10);
    wr_db_status(w.db, &s);
    assert_int_equal(s.error, WR_INTERNAL);
    if (w.errors != 1 || !strstr(w.error, want))
        fail_msg("%u errors, the last: %s", w.errors, w.error);
    world_close(&w);
}

static void test_an_index_that_goes_back_is_told(void **state)
{
    (void)state;
    index_becomes(&(struct index_now){.mx_frame = 3}, "the WAL went back from frame");
}

static void test_a_reset_past_our_lock_is_told(void **state)
{
    (void)state;
    index_becomes(
        &(struct index_now){.mx_frame = 3, .other_salt = true}, "the checkpoint lock did not hold");
}

/* The WAL itself is not what its index says. */
struct damage {
    size_t at; /* of the byte that is flipped */
    const char *want;
};

static void wal_of_another(const struct damage *d)
{
    struct world w;
    struct wr_db_status s;

    unchecked_world(&w);
    edit_file(t_path(w.dir, "app.db-wal"), (size_t)wal_size(&w), flip_byte, &d->at);
    world_start(&w);
    world_run(&w, SECOND);
    wr_db_status(w.db, &s);
    assert_int_equal(s.error, WR_CORRUPT);
    if (!strstr(world_error(w.db), d->want))
        fail_msg("byte %zu: %s", d->at, world_error(w.db));
    world_close(&w);
}

static void test_a_wal_with_another_header_is_not_taken(void **state)
{
    static const struct damage header[] = {
        {0, "the WAL's header does not match its index"},  /* magic */
        {11, "the WAL's header does not match its index"}, /* page size, and so the checksum */
        {16, "the WAL's header does not match its index"}, /* salt */
        {WR_WAL_HEADER + 3, "WAL frame 1 is damaged"},     /* page number */
        {WR_WAL_HEADER + 8, "WAL frame 1 is damaged"},     /* salt */
        {WR_WAL_HEADER + 16, "WAL frame 1 is damaged"},    /* either half of the checksum */
        {WR_WAL_HEADER + 20, "WAL frame 1 is damaged"},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(header); i++)
        wal_of_another(&header[i]);
}

/* The index announces frames that are not there, or ends within a transaction. */
static void index_announces(int more, const char *want)
{
    struct world w;
    struct wr_db_status s;
    struct index_now now = {0};

    unchecked_world(&w);
    world_sql(&w, "INSERT INTO t(b) VALUES(randomblob(20000))"); /* of several frames */
    now.mx_frame = (uint32_t)((int)shm_now(&w, SHM_MX_FRAME) + more);
    edit_file(t_path(w.dir, "app.db-shm"), SHM_SIZE, set_index, &now);
    world_start(&w);
    world_run(&w, SECOND);
    wr_db_status(w.db, &s);
    assert_int_equal(s.error, WR_CORRUPT);
    if (!strstr(world_error(w.db), want))
        fail_msg("%d more: %s", more, world_error(w.db));
    world_close(&w);
}

static void test_an_index_of_another_wal_is_not_believed(void **state)
{
    (void)state;
    index_announces(1, "the WAL ends before frame");
    index_announces(100, "the WAL ends before frame");
    index_announces(-1, "is not the commit its index names");
}

T_MAIN(T_TEST(test_an_index_that_goes_back_is_told), T_TEST(test_a_reset_past_our_lock_is_told),
    T_TEST(test_a_wal_with_another_header_is_not_taken),
    T_TEST(test_an_index_of_another_wal_is_not_believed),
    T_TEST(test_a_stale_backfill_count_is_not_believed_at_attach),
    T_TEST(test_a_stale_backfill_count_is_not_believed_while_attached),
    T_TEST(test_commits_behind_a_half_reset_are_seen),
    T_TEST(test_a_half_reset_is_finished_before_the_next_commit),
    T_TEST(test_a_half_reset_is_finished_when_the_writer_lock_is_free),
    T_TEST(test_commits_behind_a_half_reset_went_with_a_stop),
    T_TEST(test_frames_without_checksums_are_made_safe),
    T_TEST(test_the_last_to_close_leaves_no_frames_without_checksums),
    T_TEST(test_frames_that_were_skipped_are_made_safe),
    T_TEST(test_frames_that_were_skipped_and_are_in_order_stay),
    T_TEST(test_what_is_unchecked_is_so_after_attaching_again),
    T_TEST(test_an_unchecked_wal_is_emptied_when_the_read_ends),
    T_TEST(test_what_was_not_captured_is_not_left_behind),
    T_TEST(test_a_wal_is_left_behind_only_if_all_of_it_was_checked),
    T_TEST(test_a_file_was_another_one_after_its_wal_was_emptied),
    T_TEST(test_a_damaged_frame_is_not_taken),
    T_TEST(test_a_damaged_frame_behind_a_blank_one_is_not_taken),
    T_TEST(test_old_frames_behind_an_empty_index_came_back),
    T_TEST(test_a_start_that_waited_for_its_replica_kept_frames_that_no_recovery_finds),
    T_TEST(test_a_start_let_go_of_a_wal_that_it_had_copied_and_not_emptied),
    T_TEST(test_an_empty_wal_that_was_begun_stays))
