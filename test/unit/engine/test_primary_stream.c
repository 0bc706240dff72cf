/*
 * test_primary_stream.c - the database while a large file is read from it and sent, on real
 * threads: a replica that takes a first part and then waits for the test.
 */
#include "base/sync.h"
#include "harness/engine_world.h"
#include "storage/drivers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROWS   4000 /* of about a page */
#define WAIT_S 60

/* Lets one part of each upload pass, and holds the next until it is opened. */
static struct {
    struct wr_mutex mutex;
    struct wr_cond cond;
    unsigned parts; /* guarded by mutex, like the rest */
    bool open;
    bool canceled;         /* a part that was held; those after it pass */
    bool deaf;             /* a part that is held does not hear of that */
    enum wr_status answer; /* to the part that was held */
} gate;

static enum wr_status gated_part(
    struct wr_upload *u, struct wr_call *c, struct wr_bytes part, struct wr_err *e)
{
    enum wr_status st;

    wr_mutex_lock(&gate.mutex);
    gate.parts++;
    wr_cond_broadcast(&gate.cond);
    while (gate.parts > 1 && !gate.open && !gate.canceled) {
        (void)wr_cond_wait_until(&gate.cond, &gate.mutex, wr_mono_ns(wr_clock_system()) + 1000000);
        gate.canceled = !gate.deaf && wr_cancel_is(c->cancel);
    }
    st = gate.answer;
    gate.answer = WR_OK;
    if (wr_cancel_is(c->cancel))
        st = WR_CANCELED;
    wr_mutex_unlock(&gate.mutex);
    if (st != WR_OK)
        return wr_fail(e, st, "refused on purpose");
    return wr_storage_mem.upload_part(u, c, part, e);
}

static void gate_open(enum wr_status answer)
{
    wr_mutex_lock(&gate.mutex);
    gate.open = true;
    gate.answer = answer;
    wr_cond_broadcast(&gate.cond);
    wr_mutex_unlock(&gate.mutex);
}

/* Holds whoever reads a page that was kept. */
static struct {
    bool armed, inside; /* guarded by gate.mutex, like the rest */
    bool open;
    unsigned said; /* log lines about it */
} disk;

static enum wr_status kept_pread(
    struct wr_file *f, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    const struct wr_fs *fs = f->fs;
    enum wr_status st;

    wr_mutex_lock(&gate.mutex);
    disk.inside = disk.inside || disk.armed;
    while (disk.armed && !disk.open)
        wr_cond_wait(&gate.cond, &gate.mutex);
    wr_mutex_unlock(&gate.mutex);
    f->fs = wr_fs_posix();
    st = wr_file_pread(f, buf, n, off, got, e);
    f->fs = fs;
    return st;
}

static enum wr_status kept_pwrite(
    struct wr_file *f, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    const struct wr_fs *fs = f->fs;
    enum wr_status st;

    f->fs = wr_fs_posix();
    st = wr_file_pwrite(f, buf, n, off, e);
    f->fs = fs;
    return st;
}

static void kept_close(struct wr_file *f)
{
    f->fs = wr_fs_posix();
    wr_file_close(f);
}

static struct wr_fs kept_fs;

static enum wr_status kept_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    enum wr_status st = wr_file_open(wr_fs_posix(), path, flags, mode, ret, e);

    (void)fs;
    if (st == WR_OK && strstr(path, "/kept."))
        (*ret)->fs = &kept_fs;
    return st;
}

static void listen_to_log(void *arg, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n)
{
    (void)arg;
    (void)fields;
    (void)n;
    wr_mutex_lock(&gate.mutex);
    disk.said += level == WR_WARN && strstr(msg, "waiting for a read of the database") != NULL;
    wr_mutex_unlock(&gate.mutex);
}

/* A database of some 16 MB whose first snapshot has begun and does not go on. */
static void begin(struct world *w, struct wr_storage_ops *ops)
{
    static const struct wr_log log = {.sink = listen_to_log};
    struct wr_sched_opts so = {.clock = wr_clock_system(), .log = &log};
    struct wr_storage *s = NULL;
    struct wr_err e = {0};
    bool waits;

    wr_mutex_init(&gate.mutex);
    wr_cond_init(&gate.cond);
    gate.parts = 0;
    gate.open = false;
    gate.canceled = false;
    gate.deaf = false;
    gate.answer = WR_OK;
    memset(&disk, 0, sizeof(disk));
    kept_fs = *wr_fs_posix();
    kept_fs.open = kept_open;
    kept_fs.pread = kept_pread;
    kept_fs.pwrite = kept_pwrite;
    kept_fs.close = kept_close;
    world_open(w, 1);
    w->opts.fs = &kept_fs;
    world_app(w);
    world_sql(w, "PRAGMA synchronous=OFF; CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<4000)"
                 "INSERT INTO t SELECT i, randomblob(3500) FROM n");
    *ops = wr_storage_mem;
    ops->upload_part = gated_part;
    w->opts.path = w->path;
    T_OK(wr_sched_new(&so, &w->sched, &e));
    T_OK(wr_db_new(w->sched, &w->opts, &w->db, &e));
    T_OK(wr_storage_wrap(ops, wr_storage_mem_ref(w->bucket[0]), WR_STR(""), &s, &e));
    T_OK(wr_db_add_replica(w->db, s, 0, &e));
    wr_db_start(w->db);
    wr_mutex_lock(&gate.mutex);
    waits = true;
    while (gate.parts < 2 && waits)
        waits = wr_cond_wait_until(
            &gate.cond, &gate.mutex, wr_mono_ns(wr_clock_system()) + WAIT_S * INT64_C(1000000000));
    wr_mutex_unlock(&gate.mutex);
    T(gate.parts == 2);
}

static void end(struct world *w)
{
    world_close(w);
    wr_cond_release(&gate.cond);
    wr_mutex_release(&gate.mutex);
}

static uint64_t checkpoints(struct world *w)
{
    struct wr_db_status s;

    wr_db_status(w->db, &s);
    return s.checkpoints;
}

/* Until there were `n` checkpoints, for a while at the most. */
static bool wait_checkpoints(struct world *w, uint64_t n)
{
    for (int i = 0; i < WAIT_S * 1000 && checkpoints(w) < n; i++) {
        wr_db_wake(w->db);
        t_sleep_ms(1);
    }
    return checkpoints(w) >= n;
}

static uint64_t file_bytes(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static uint64_t synced(struct world *w)
{
    struct wr_err e = {0};
    uint64_t txid = 0;

    T_OK(wr_db_sync(w->db, WR_DB_SYNC_REMOTE, WAIT_S * 1000, NULL, &txid, &e));
    return txid;
}

static void same_bytes(struct wr_bytes a, struct wr_bytes b)
{
    T(a.n == b.n && memcmp(a.p, b.p, a.n) == 0);
}

/* The WAL used to grow until the first snapshot was sent, however long that took. */
static void test_the_wal_stays_short_while_a_snapshot_is_sent(void **state)
{
    struct wr_storage_ops ops;
    struct world w;
    struct wr_bytes then;
    struct wr_db_status s;
    char wal[512];
    uint64_t txid, before;

    (void)state;
    begin(&w, &ops);
    (void)snprintf(wal, sizeof(wal), "%s-wal", w.path);
    then = world_image(&w);
    /* Each round writes all of the database: 4000 frames, above the threshold of 3200. */
    for (uint64_t round = 0; round < 6; round++) {
        before = checkpoints(&w);
        world_sql(&w, "UPDATE t SET b=randomblob(3500)");
        T(wait_checkpoints(&w, before + 1));
    }
    T(file_bytes(wal) < (uint64_t)3 * ROWS * 4096);
    world_sql(&w, "DELETE FROM t WHERE a % 5; VACUUM");
    before = checkpoints(&w);
    for (int i = 0; i < 5; i++) /* of 800 frames */
        world_sql(&w, "UPDATE t SET b=randomblob(3500)");
    T(wait_checkpoints(&w, before + 1) && file_bytes(w.path) < then.n);
    gate_open(WR_OK);
    txid = synced(&w);
    T(txid >= 2);
    wr_db_status(w.db, &s);
    T(s.kept_pages > ROWS / 2 && s.kept_pages < (uint64_t)ROWS * 2);
    same_bytes(world_restore(&w, 0, 1), then);
    world_check(&w, 0);
    end(&w);
}

/* The upload fails in the middle: what was kept for it is let go, and the next attempt sends the
 * database as it is then. */
static void test_a_snapshot_fails_after_checkpoints(void **state)
{
    struct wr_storage_ops ops;
    struct world w;
    char kept[512];

    (void)state;
    begin(&w, &ops);
    (void)snprintf(kept, sizeof(kept), "%s/.app.db-weir/outbox/kept.0", w.dir);
    world_sql(&w, "UPDATE t SET b=randomblob(3500)");
    T(wait_checkpoints(&w, 1));
    T(file_bytes(kept) > 0);
    gate_open(WR_IO);
    (void)synced(&w);
    T(access(kept, F_OK) != 0);
    world_check(&w, 0);
    end(&w);
}

/* Shutdown does not wait for the replica to take the rest. */
static void test_closed_while_a_snapshot_is_sent(void **state)
{
    struct wr_storage_ops ops;
    struct world w;

    (void)state;
    begin(&w, &ops);
    world_sql(&w, "UPDATE t SET b=randomblob(3500)");
    T(wait_checkpoints(&w, 1));
    gate_open(WR_IO);
    world_stop(&w);
    /* The next start finds the replica empty, and the database as it is. */
    w.n_buckets = 1;
    world_start(&w);
    T(world_sync(&w) >= 1);
    world_check(&w, 0);
    end(&w);
}

/* Somebody writes past SQLite's locks: the database must be let go, and attached again. */
static void touch(struct world *w)
{
    const struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};

    T(utimensat(AT_FDCWD, w->path, times, 0) == 0);
    wr_db_wake(w->db);
}

/* Until all pages were compared `n` times and it is attached, for ten seconds at the most. */
static bool wait_attached(struct world *w, uint64_t n)
{
    struct wr_db_status s = {0};

    for (int i = 0; i < 10000; i++) {
        wr_db_status(w->db, &s);
        if (s.ledger_scans >= n && strcmp(s.state, "syncing") == 0)
            return true;
        t_sleep_ms(1);
    }
    return false;
}

static uint64_t position(struct world *w, size_t i)
{
    struct wr_replica_status s;
    struct wr_str name;

    wr_db_replica_status(w->db, i, &s, &name);
    return s.pos.txid;
}

static bool wait_position(struct world *w, size_t i, uint64_t txid)
{
    for (int n = 0; n < 10000 && position(w, i) < txid; n++)
        t_sleep_ms(1);
    return position(w, i) >= txid;
}

/* What is being sent cannot be canceled, as on a mount that hangs. */
static void gate_deafen(void)
{
    wr_mutex_lock(&gate.mutex);
    gate.deaf = true;
    wr_mutex_unlock(&gate.mutex);
}

/* An upload that does not get on used to keep it from being let go: without a capture, without a
 * checkpoint and without a word, with the checkpoint lock held and the other replicas waiting. */
static void test_a_stalled_upload_does_not_hold_the_database(void **state)
{
    struct wr_storage_ops ops;
    struct world w;
    struct wr_err e = {0};
    uint64_t before;

    (void)state;
    begin(&w, &ops);
    gate_deafen();
    T_OK(wr_storage_mem.open(NULL, &w.bucket[1], &e));
    w.n_buckets = 2;
    T_OK(wr_db_add_replica(w.db, world_storage(&w, 1), 0, &e));
    T(wait_position(&w, 1, 1));
    for (uint64_t round = 0; round < 2; round++) {
        world_sql(&w, "UPDATE t SET b=randomblob(3500) WHERE a % 3 = 0");
        touch(&w);
        T(wait_attached(&w, 2 + round));
        T(wait_position(&w, 1, 2 + round));
        before = checkpoints(&w);
        world_sql(&w, "UPDATE t SET b=randomblob(3500)");
        T(wait_checkpoints(&w, before + 1));
        T(position(&w, 0) == 0);
    }
    gate_open(WR_OK); /* for what is not wanted any more */
    T(synced(&w) >= 3);
    world_check(&w, 0);
    world_check(&w, 1);
    assert_int_equal(disk.said, 0);
    end(&w);
}

/* It is canceled, and only it: the replica lists and joins again, at once and without a failure. */
static void test_a_stalled_upload_is_canceled(void **state)
{
    struct wr_storage_ops ops;
    struct world w;
    struct wr_replica_status s;
    struct wr_str name;

    (void)state;
    begin(&w, &ops);
    world_sql(&w, "UPDATE t SET b=randomblob(3500) WHERE a=1");
    touch(&w);
    T(wait_attached(&w, 2));
    T(wait_position(&w, 0, 2));
    T(gate.canceled);
    wr_db_replica_status(w.db, 0, &s, &name);
    T(!s.failing && s.error == WR_OK);
    world_sql(&w, "UPDATE t SET b=randomblob(3500) WHERE a=2");
    T(synced(&w) == 3);
    world_check(&w, 0);
    end(&w);
}

/* Freed in that situation. */
static void test_closed_after_a_stalled_upload_was_left(void **state)
{
    struct wr_storage_ops ops;
    struct world w;

    (void)state;
    begin(&w, &ops);
    gate_deafen();
    touch(&w);
    T(wait_attached(&w, 2));
    gate_open(WR_IO);
    world_stop(&w);
    w.n_buckets = 1;
    world_start(&w);
    T(world_sync(&w) >= 1);
    world_check(&w, 0);
    end(&w);
}

/* A read of the database itself cannot be left alone: it is waited for, and the log says so. */
static void test_a_stalled_read_is_named(void **state)
{
    struct wr_storage_ops ops;
    struct world w;
    struct wr_db_status s;
    unsigned said = 0;

    (void)state;
    begin(&w, &ops);
    world_sql(&w, "UPDATE t SET b=randomblob(3500)");
    T(wait_checkpoints(&w, 1));
    wr_mutex_lock(&gate.mutex);
    disk.armed = true;
    wr_mutex_unlock(&gate.mutex);
    gate_open(WR_OK);
    wr_mutex_lock(&gate.mutex);
    while (!disk.inside)
        (void)wr_cond_wait_until(&gate.cond, &gate.mutex, wr_mono_ns(wr_clock_system()) + 1000000);
    wr_mutex_unlock(&gate.mutex);
    touch(&w);
    for (int i = 0; i < 10000 && said == 0; i++) {
        t_sleep_ms(1);
        wr_mutex_lock(&gate.mutex);
        said = disk.said;
        wr_mutex_unlock(&gate.mutex);
    }
    wr_db_status(w.db, &s);
    T(said == 1 && strcmp(s.state, "broken") == 0);
    wr_mutex_lock(&gate.mutex);
    disk.open = true;
    wr_cond_broadcast(&gate.cond);
    wr_mutex_unlock(&gate.mutex);
    T(wait_attached(&w, 2));
    (void)synced(&w);
    world_check(&w, 0);
    assert_int_equal(disk.said, 1);
    end(&w);
}

T_MAIN(T_TEST(test_the_wal_stays_short_while_a_snapshot_is_sent),
    T_TEST(test_a_snapshot_fails_after_checkpoints), T_TEST(test_closed_while_a_snapshot_is_sent),
    T_TEST(test_a_stalled_upload_does_not_hold_the_database),
    T_TEST(test_a_stalled_upload_is_canceled), T_TEST(test_closed_after_a_stalled_upload_was_left),
    T_TEST(test_a_stalled_read_is_named))
