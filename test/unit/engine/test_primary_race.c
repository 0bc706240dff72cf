/*
 * test_primary_race.c - real threads at the worst moments: an upload that ends while a checkpoint
 * goes around it, a database that is freed while it falls asleep, a snapshot beside a busy writer.
 */
#include "base/buf.h"
#include "base/rand.h"
#include "base/sync.h"
#include "harness/engine_world.h"
#include "run/watch.h"
#include "storage/drivers.h"

#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct {
    struct wr_mutex mutex;
    struct wr_cond cond;
    atomic_bool arrived, open, fired;
    struct wr_db *db;
} gate;

static enum wr_status gated_commit(
    struct wr_upload *u, struct wr_call *c, struct wr_object *o, struct wr_err *e)
{
    wr_mutex_lock(&gate.mutex);
    gate.arrived = true;
    wr_cond_broadcast(&gate.cond);
    while (!gate.open)
        wr_cond_wait(&gate.cond, &gate.mutex);
    wr_mutex_unlock(&gate.mutex);
    return wr_storage_mem.upload_commit(u, c, o, e);
}

static void gate_open(void)
{
    wr_mutex_lock(&gate.mutex);
    gate.open = true;
    wr_cond_broadcast(&gate.cond);
    wr_mutex_unlock(&gate.mutex);
}

/* The journal is written by note_captured, in the middle of a checkpoint: the upload's answer comes
 * in that very moment. */
static enum wr_status slow_pwrite(
    struct wr_file *f, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    if (gate.arrived && !gate.fired) {
        struct wr_replica_status s;
        struct wr_str name;

        gate.fired = true;
        gate_open();
        do {
            t_sleep_ms(1);
            wr_db_replica_status(gate.db, 0, &s, &name);
        } while (s.queued > 0);
        t_sleep_ms(50);
    }
    {
        const struct wr_fs *fs = f->fs;
        enum wr_status st;

        f->fs = wr_fs_posix();
        st = wr_file_pwrite(f, buf, n, off, e);
        f->fs = fs;
        return st;
    }
}

static enum wr_status j_pread(
    struct wr_file *f, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    const struct wr_fs *fs = f->fs;
    enum wr_status st;

    f->fs = wr_fs_posix();
    st = wr_file_pread(f, buf, n, off, got, e);
    f->fs = fs;
    return st;
}

static enum wr_status j_truncate(struct wr_file *f, uint64_t size, struct wr_err *e)
{
    const struct wr_fs *fs = f->fs;
    enum wr_status st;

    f->fs = wr_fs_posix();
    st = wr_file_truncate(f, size, e);
    f->fs = fs;
    return st;
}

static enum wr_status j_info(struct wr_file *f, struct wr_file_info *ret, struct wr_err *e)
{
    const struct wr_fs *fs = f->fs;
    enum wr_status st;

    f->fs = wr_fs_posix();
    st = wr_file_info(f, ret, e);
    f->fs = fs;
    return st;
}

static void j_close(struct wr_file *f)
{
    f->fs = wr_fs_posix();
    wr_file_close(f);
}

static struct wr_fs journal_fs;

/* Only the journal goes through the hook. */
static enum wr_status j_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    enum wr_status st = wr_file_open(wr_fs_posix(), path, flags, mode, ret, e);

    (void)fs;
    if (st == WR_OK && strstr(path, "/journal."))
        (*ret)->fs = &journal_fs;
    return st;
}

static void test_the_upload_ends_during_a_checkpoint(void **state)
{
    static const struct wr_log quiet = {0};
    struct wr_sched_opts so = {.clock = wr_clock_system(), .log = &quiet};
    struct wr_storage_ops ops = wr_storage_mem;
    struct wr_fs fs = *wr_fs_posix();
    struct wr_storage *s = NULL;
    struct world w;
    struct wr_err e = {0};
    uint64_t txid = 0;

    (void)state;
    wr_mutex_init(&gate.mutex);
    wr_cond_init(&gate.cond);
    world_open(&w, 1);
    world_app(&w);
    world_sql(&w, "PRAGMA synchronous=OFF; CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<4000)"
                  "INSERT INTO t SELECT i, randomblob(3500) FROM n");
    ops.upload_commit = gated_commit;
    fs.open = j_open;
    journal_fs = fs;
    journal_fs.pwrite = slow_pwrite;
    journal_fs.pread = j_pread;
    journal_fs.truncate = j_truncate;
    journal_fs.info = j_info;
    journal_fs.close = j_close;
    w.opts.path = w.path;
    w.opts.fs = &fs;
    T_OK(wr_sched_new(&so, &w.sched, &e));
    T_OK(wr_db_new(w.sched, &w.opts, &w.db, &e));
    gate.db = w.db;
    T_OK(wr_storage_wrap(&ops, wr_storage_mem_ref(w.bucket[0]), WR_STR(""), &s, &e));
    T_OK(wr_db_add_replica(w.db, s, 0, &e));
    wr_db_start(w.db);
    wr_mutex_lock(&gate.mutex);
    while (!gate.arrived)
        wr_cond_wait(&gate.cond, &gate.mutex);
    wr_mutex_unlock(&gate.mutex);
    world_sql(&w, "UPDATE t SET b=randomblob(3500)"); /* above the threshold */
    for (int i = 0; i < 5000 && !gate.fired; i++) {
        wr_db_wake(w.db);
        t_sleep_ms(1);
    }
    T(gate.fired);
    T_OK(wr_db_sync(w.db, WR_DB_SYNC_REMOTE, 30000, NULL, &txid, &e));
    world_check(&w, 0);
    world_close(&w);
}

static void test_freed_while_it_arms(void **state)
{
    static const struct wr_log quiet = {0};
    struct wr_watch *watch = NULL;
    struct wr_rand rng;
    struct wr_err e = {0};
    struct world w;

    (void)state;
    wr_rand_init(&rng, t_seed());
    T_OK(wr_watch_new(false, &watch, &e));
    world_open(&w, 1);
    world_app(&w);
    world_sql(&w, "PRAGMA synchronous=OFF; CREATE TABLE t(a)");
    w.opts.watch = watch;
    for (int i = 0; i < 400; i++) {
        struct wr_sched_opts so = {.clock = wr_clock_system(), .log = &quiet};
        struct wr_storage *s = world_storage(&w, 0);
        uint64_t txid;

        w.opts.path = w.path;
        T_OK(wr_sched_new(&so, &w.sched, &e));
        T_OK(wr_db_new(w.sched, &w.opts, &w.db, &e));
        T_OK(wr_db_add_replica(w.db, s, 0, &e));
        wr_db_start(w.db);
        T_OK(wr_db_sync(w.db, WR_DB_SYNC_REMOTE, 30000, NULL, &txid, &e));
        world_sql(&w, "INSERT INTO t VALUES(1)");
        (void)nanosleep(
            &(struct timespec){0, 1000 * (long)(5500 + wr_rand_below(&rng, 2500))}, NULL);
        world_stop(&w);
    }
    wr_watch_free(watch);
    world_close(&w);
}

/* ---- (1) ---- */

static struct {
    struct wr_mutex mutex;
    struct wr_cond cond;
    unsigned parts;
    bool open;
} part_gate;

static enum wr_status gated_part(
    struct wr_upload *u, struct wr_call *c, struct wr_bytes part, struct wr_err *e)
{
    wr_mutex_lock(&part_gate.mutex);
    part_gate.parts++;
    wr_cond_broadcast(&part_gate.cond);
    while (!part_gate.open)
        wr_cond_wait(&part_gate.cond, &part_gate.mutex);
    wr_mutex_unlock(&part_gate.mutex);
    return wr_storage_mem.upload_part(u, c, part, e);
}

struct busy {
    const char *path;
    atomic_bool stop;
    bool failed;
};

/* An application that updates rows at random, one a transaction. */
static void write_on(void *arg)
{
    struct busy *b = arg;
    sqlite3 *db = NULL;

    b->failed = sqlite3_open(b->path, &db) != SQLITE_OK;
    (void)sqlite3_busy_timeout(db, 5000);
    (void)sqlite3_exec(db, "PRAGMA synchronous=OFF", NULL, NULL, NULL);
    while (!atomic_load(&b->stop) && !b->failed) {
        b->failed = sqlite3_exec(db, "UPDATE t SET b=randomblob(3500) WHERE a=abs(random())%1000+1",
                        NULL, NULL, NULL) != SQLITE_OK;
    }
    (void)sqlite3_close(db);
}

static void log_it(void *arg, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n)
{
    struct wr_buf b;

    (void)arg;
    if (level < WR_WARN)
        return;
    wr_buf_init(&b, 4096);
    wr_log_text(&b, fields, n);
    (void)fprintf(stderr, "# %s " WR_FMT "\n", msg, WR_ARG(wr_buf_view(&b)));
    wr_buf_release(&b);
}

static void test_a_snapshot_beside_a_busy_writer(void **state)
{
    static const struct wr_log loud = {.sink = log_it};
    struct wr_sched_opts so = {.clock = wr_clock_system(), .log = &loud};
    struct wr_storage_ops ops = wr_storage_mem;
    struct wr_storage *s = NULL;
    struct wr_thread writer;
    struct wr_db_status st;
    struct wr_replica_status rs;
    struct wr_str name;
    struct wr_bytes then, got;
    struct world w;
    struct busy busy = {0};
    struct wr_err e = {0};

    (void)state;
    wr_mutex_init(&part_gate.mutex);
    wr_cond_init(&part_gate.cond);
    world_open(&w, 1);
    world_app(&w);
    world_sql(&w, "PRAGMA synchronous=OFF; CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1000)"
                  "INSERT INTO t SELECT i, randomblob(3500) FROM n; CREATE TABLE big(x);"
                  "INSERT INTO big VALUES(randomblob(12000000)); PRAGMA wal_checkpoint(TRUNCATE);"
                  "UPDATE t SET b=randomblob(3500) WHERE a<=900");
    ops.upload_part = gated_part;
    w.opts.path = w.path;
    T_OK(wr_sched_new(&so, &w.sched, &e));
    T_OK(wr_db_new(w.sched, &w.opts, &w.db, &e));
    T_OK(wr_storage_wrap(&ops, wr_storage_mem_ref(w.bucket[0]), WR_STR(""), &s, &e));
    T_OK(wr_db_add_replica(w.db, s, 0, &e));
    wr_db_start(w.db);
    wr_mutex_lock(&part_gate.mutex);
    while (part_gate.parts < 1)
        wr_cond_wait(&part_gate.cond, &part_gate.mutex);
    wr_mutex_unlock(&part_gate.mutex);
    then = world_image(&w);
    busy.path = w.path;
    T_OK(wr_thread_start(&writer, "writer", 0, write_on, &busy, &e));
    for (int i = 0; i < 20000; i++) {
        wr_db_wake(w.db);
        t_sleep_ms(1);
        wr_db_status(w.db, &st);
        if (st.checkpoints >= 3)
            break;
    }
    atomic_store(&busy.stop, true);
    wr_thread_join(&writer);
    T(!busy.failed && st.checkpoints >= 3);
    wr_mutex_lock(&part_gate.mutex);
    part_gate.open = true;
    wr_cond_broadcast(&part_gate.cond);
    wr_mutex_unlock(&part_gate.mutex);
    for (int i = 0; i < 30000; i++) {
        wr_db_wake(w.db);
        t_sleep_ms(1);
        wr_db_replica_status(w.db, 0, &rs, &name);
        if (rs.error != WR_OK || rs.pos.txid > 0)
            break;
    }
    if (rs.error != WR_OK)
        fail_msg("the replica says: %s", world_replica_error(w.db, 0));
    got = world_restore(&w, 0, 1);
    T(got.n == then.n && memcmp(got.p, then.p, got.n) == 0);
    world_close(&w);
}

T_MAIN(T_TEST(test_a_snapshot_beside_a_busy_writer),
    T_TEST(test_the_upload_ends_during_a_checkpoint), T_TEST(test_freed_while_it_arms))
