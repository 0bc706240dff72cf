/*
 * Replicas that misbehave, are somebody else's, or are gone for a long time; and an outbox that is
 * full.
 */
#include "harness/engine_world.h"

#include "base/buf.h"
#include "base/mem.h"
#include "engine/layout.h"
#include "engine/primary_int.h"
#include "ltx/enc.h"
#include "storage/drivers.h"

#include <fcntl.h>
#include <sys/stat.h>

#define SECOND ((int64_t)1000000000)

static struct wr_replica_status replica(struct world *w, size_t i)
{
    struct wr_replica_status r;
    struct wr_str name;

    wr_db_replica_status(w->db, i, &r, &name);
    return r;
}

static uint64_t txid_of(struct world *w)
{
    struct wr_db_status s;

    wr_db_status(w->db, &s);
    return s.txid;
}

static void faults_later(struct world *w, struct faultstore *f)
{
    (void)w;
    (void)f;
}

/* A database of `mb` MiB that does not compress, its table t, and one row of u. */
static void large(struct world *w, unsigned mb)
{
    char sql[200];

    world_app(w);
    (void)snprintf(sql, sizeof(sql),
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<%u) "
        "INSERT INTO t SELECT x, randomblob(1048576) FROM c",
        mb);
    world_sql(w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                 "CREATE TABLE u(a INTEGER PRIMARY KEY, b); INSERT INTO u VALUES(1, 'one')");
    world_sql(w, sql);
}

/* What the bucket's keys are: to see that nothing was added. */
static size_t count_files(struct world *w)
{
    struct wr_storage *s = world_storage(w, 0);
    struct wr_ltx_files files = {0};
    struct wr_err e = {0};
    size_t n;

    T_OK(wr_layout_list_all(s, t_call(), &files, &e));
    n = files.n;
    wr_ltx_files_release(&files);
    wr_storage_close(s);
    return n;
}

/* ---- whose replica it is ---- */

/* Pages of different sizes have no page in common that could be compared by number: a sample says
 * whose it is all the same. */
static void test_another_page_size_is_another_database(void **state)
{
    struct world w, other;
    struct wr_replica_status r;

    (void)state;
    world_open(&w, 1);
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(x) AS (SELECT 1 "
                  "UNION ALL SELECT x+1 FROM c WHERE x<60) INSERT INTO t SELECT x, "
                  "randomblob(3000) FROM c");
    world_start(&w);
    (void)world_sync(&w);
    world_stop(&w);
    world_open(&other, 0);
    other.n_buckets = 1;
    other.bucket[0] = wr_storage_mem_ref(w.bucket[0]);
    T(sqlite3_open(other.path, &other.app) == SQLITE_OK);
    world_sql(&other, "PRAGMA page_size=1024; PRAGMA journal_mode=wal; CREATE TABLE o(x);"
                      "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<60) "
                      "INSERT INTO o SELECT randomblob(900) FROM c");
    world_start(&other);
    world_run(&other, 20 * SECOND);
    r = replica(&other, 0);
    assert_int_equal(r.state, WR_REPLICA_STOPPED);
    assert_int_equal(r.error, WR_CONFLICT);
    T(strstr(world_replica_error(other.db, 0), "holds another database") != NULL);
    assert_int_equal(count_files(&w), 1);
    world_check(&w, 0);
    world_close(&other);
    world_close(&w);
}

/* No replica counts that far: the next TXID would overflow. Neither the process nor the other
 * replica suffers, and once the object is gone, all is well. */
static void test_an_object_with_an_absurd_txid(void **state)
{
    static const uint64_t absurd[] = {UINT64_MAX, UINT64_MAX - 1, (uint64_t)1 << 63};

    (void)state;
    for (size_t i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
        struct world w;
        struct wr_call *c = t_call();
        struct wr_put_opts o = {0};
        struct wr_replica_status r;
        struct wr_err e = {0};
        struct wr_storage *s;
        struct wr_str key;
        uint8_t *buf = wr_alloc((size_t)1 << 20);
        size_t got = 0;

        T(buf != NULL);
        world_open(&w, 2);
        world_app(&w);
        world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'one')");
        world_start(&w);
        (void)world_sync(&w);
        world_stop(&w);
        s = world_storage(&w, 0);
        key = wr_layout_ltx_key(c->scratch, s, WR_LEVEL_SNAPSHOT, 1, 1);
        T_OK(wr_storage_get(s, c, key, 0, buf, (size_t)1 << 20, &got, &e));
        key = wr_layout_ltx_key(c->scratch, s, WR_LEVEL_SNAPSHOT, 1, absurd[i]);
        T_OK(wr_storage_put(s, c, key, (struct wr_bytes){buf, got}, &o, &e));
        world_sql(&w, "INSERT INTO t VALUES(2, 'two')");
        world_start(&w);
        world_run(&w, 5 * SECOND);
        r = replica(&w, 0);
        T(r.failing && r.error == WR_CORRUPT &&
            strstr(world_replica_error(w.db, 0), "not of this replica"));
        assert_int_equal(replica(&w, 1).pos.txid, 2);
        assert_int_equal(txid_of(&w), 2);
        world_check(&w, 1);
        T_OK(wr_storage_remove(s, c, &key, 1, &e));
        (void)world_sync(&w);
        T(!replica(&w, 0).failing);
        world_check(&w, 0);
        wr_storage_close(s);
        wr_free(buf);
        world_close(&w);
    }
}

static enum wr_status to_buf(void *arg, struct wr_bytes p, struct wr_err *e)
{
    (void)e;
    wr_buf_put(arg, p.p, p.n);
    return WR_OK;
}

/* The database as it is, as a snapshot of TXID `max`, as Litestream makes them. */
static void put_snapshot(struct world *w, size_t i, uint64_t max)
{
    struct wr_bytes image = world_image(w);
    struct wr_ltx_header h = {.page_size = 4096,
        .commit = (uint32_t)(image.n / 4096),
        .min_txid = 1,
        .max_txid = max,
        .time_ms = INT64_C(1795373351761)};
    struct wr_storage *s = world_storage(w, i);
    struct wr_call *c = t_call();
    struct wr_ltx_enc *enc = NULL;
    struct wr_ltx_trailer t;
    struct wr_buf b;
    uint64_t size;
    struct wr_err e = {0};

    wr_buf_init(&b, (size_t)1 << 24);
    T_OK(wr_ltx_enc_new(&h, WR_LTX_LOCK_OFFSET, to_buf, &b, &enc, &e));
    for (uint32_t p = 1; p <= h.commit; p++)
        T_OK(wr_ltx_enc_page(enc, p, image.p + (size_t)(p - 1) * 4096, &e));
    T_OK(wr_ltx_enc_finish(enc, &t, &size, &e));
    wr_ltx_enc_free(enc);
    T_OK(wr_storage_put(s, c, wr_layout_ltx_key(c->scratch, s, WR_LEVEL_SNAPSHOT, 1, max),
        wr_buf_bytes(&b), NULL, &e));
    wr_buf_release(&b);
    wr_storage_close(s);
}

/* A new history behind it had no TXID left: the database was broken off, and began anew, for ever,
 * and the other replica got nothing meanwhile. */
static void test_a_replica_that_is_too_far_on_stops_alone(void **state)
{
    static const uint64_t far[] = {WR_TXID_SANE - 10, WR_TXID_SANE - 2 * WR_TXID_LEAP};

    (void)state;
    for (size_t k = 0; k < wr_countof(far); k++) {
        struct world w;
        struct wr_db_status s;

        world_open(&w, 2);
        w.interval_ns = SECOND;
        world_app(&w);
        world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(x) AS (SELECT 1 "
                      "UNION ALL SELECT x+1 FROM c WHERE x<60) INSERT INTO t SELECT x, "
                      "randomblob(3000) FROM c");
        put_snapshot(&w, 1, far[k]);
        world_start(&w);
        for (uint64_t txid = 1; txid <= 60; txid++) {
            world_sql(&w, "UPDATE t SET b=randomblob(3000) WHERE a=7");
            world_run(&w, SECOND);
            T(replica(&w, 0).pos.txid >= txid - 1);
        }
        wr_db_status(w.db, &s);
        T(s.error == WR_OK && s.ledger_scans == 1);
        T(replica(&w, 1).state == WR_REPLICA_STOPPED && replica(&w, 1).error == WR_CONFLICT);
        T(strstr(world_replica_error(w.db, 1), "none is left to go on behind it"));
        assert_int_equal(count_files(&w), replica(&w, 0).pos.txid);
        world_check(&w, 0);
        world_close(&w);
    }
}

/* ---- files read from the live database while they are sent ---- */

/* It failed once, and nobody writes: nothing but the failure itself can bring the next attempt. */
static void test_a_failed_first_upload_is_made_again_without_a_write(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    w.arm = faults_later;
    large(&w, 9);
    world_app_close(&w);
    world_start(&w);
    faultstore_arm(
        w.fault[0], FAULT_BROKEN, FAULT_ON_PUT | FAULT_ON_BEGIN | FAULT_ON_PART, 1000, 1);
    world_run(&w, 300 * SECOND);
    T(faultstore_fired(w.fault[0], FAULT_BROKEN) == 1);
    assert_int_equal(replica(&w, 0).pos.txid, 1);
    assert_int_equal(replica(&w, 0).queued, 0);
    world_check(&w, 0);
    world_close(&w);
}

/* While it was sent the replica was busy. When it is not, the next commit must not wait for a slow
 * look. */
static void test_a_commit_after_the_first_upload_is_sent(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    w.interval_ns = SECOND;
    w.opts.scan_ns = 3600 * SECOND;
    large(&w, 9);
    world_app_close(&w);
    world_start(&w);
    world_run(&w, 100 * SECOND);
    assert_int_equal(replica(&w, 0).pos.txid, 1);
    world_app(&w);
    world_sql(&w, "INSERT INTO u VALUES(2, 'two')");
    world_run(&w, 5 * SECOND);
    assert_int_equal(replica(&w, 0).pos.txid, 2);
    world_check(&w, 0);
    world_close(&w);
}

/* ---- a full outbox ---- */

static struct {
    struct wr_fs fs;
    bool full;
    unsigned refused;
} outbox;

static bool in_outbox(const char *path)
{
    return strstr(path, "/outbox") != NULL;
}

static enum wr_status outbox_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    (void)fs;
    if (outbox.full && (flags & WR_FILE_CREATE) && in_outbox(path)) {
        outbox.refused++;
        return wr_fail(e, WR_LIMIT, "%s: no space left", path);
    }
    return wr_fs_posix()->open(wr_fs_posix(), path, flags, mode, ret, e);
}

static void outbox_world(struct world *w)
{
    outbox.fs = *wr_fs_posix();
    outbox.fs.open = outbox_open;
    outbox.full = true;
    outbox.refused = 0;
    world_open(w, 1);
    w->opts.fs = &outbox.fs;
    w->arm = faults_later;
}

/* Files that are too large for memory are then read while they are sent: first the snapshot, then
 * what changed. */
static void test_a_full_outbox_makes_files_stream(void **state)
{
    struct world w;
    struct wr_db_status s;

    (void)state;
    outbox_world(&w);
    large(&w, 3);
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    world_check(&w, 0);
    T(outbox.refused > 0);
    outbox.refused = 0;
    world_sql(&w, "INSERT INTO t VALUES(50, randomblob(2000000))");
    assert_int_equal(world_sync(&w), 2);
    T(outbox.refused > 0);
    world_check(&w, 0);
    wr_db_status(w.db, &s);
    assert_int_equal(s.full_sends, 0);
    assert_int_equal(s.ledger_scans, 1); /* the first; nothing had to be proven again */
    world_sql(&w, "INSERT INTO u VALUES(2, 'two')");
    assert_int_equal(world_sync(&w), 3);
    world_check(&w, 0);
    wr_db_status(w.db, &s);
    assert_int_equal(s.commits, 2); /* since it was attached, which was once */
    world_close(&w);
}

/* Files that wait for a failing replica stay in memory when the outbox has no room. */
static void test_a_full_outbox_in_an_outage(void **state)
{
    struct world w;
    struct wr_db_status s;

    (void)state;
    outbox_world(&w);
    large(&w, 1);
    world_start(&w);
    (void)world_sync(&w);
    faultstore_arm(w.fault[0], FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
    outbox.refused = 0;
    for (int i = 0; i < 20; i++) {
        world_sql(&w, "INSERT INTO u VALUES(NULL, randomblob(20000))");
        world_run(&w, 2 * SECOND);
    }
    T(outbox.refused > 5);
    T(replica(&w, 0).failing && replica(&w, 0).queued > 5);
    wr_db_status(w.db, &s);
    T(s.error == WR_OK && strcmp(s.state, "syncing") == 0);
    world_sql(&w, "INSERT INTO t VALUES(NULL, randomblob(3000000))"); /* too large for memory */
    world_run(&w, 10 * SECOND);
    wr_db_status(w.db, &s);
    T(s.error == WR_OK && strcmp(s.state, "syncing") == 0);
    faultstore_calm(w.fault[0]);
    (void)world_sync(&w);
    world_check(&w, 0);
    wr_db_status(w.db, &s);
    assert_int_equal(s.full_sends, 0);
    assert_int_equal(s.ledger_scans, 1);
    world_close(&w);
}

/* ---- an outbox that rots ---- */

struct waiting {
    const char *dir, *path;
};

static bool find_waiting(void *arg, const char *name)
{
    struct waiting *f = arg;

    T(f->path == NULL);
    f->path = t_path(f->dir, name);
    return true;
}

/* The replica got it as it was, under its final name, and could not be restored any more. */
static void test_a_file_rots_while_it_waits(void **state)
{
    struct waiting f = {0};
    struct wr_err e = {0};
    struct world w;
    struct wr_bytes file;
    struct wr_db_status s;
    uint8_t *bytes;

    (void)state;
    world_open(&w, 1);
    w.arm = faults_later;
    large(&w, 1);
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    faultstore_arm(w.fault[0], FAULT_BEFORE, FAULT_ON_ALL, 1000, UINT64_MAX);
    world_sql(&w, "INSERT INTO t VALUES(NULL, randomblob(3000000))"); /* too large for memory */
    world_run(&w, 10 * SECOND);
    f.dir = t_path(w.dir, ".app.db-weir/outbox");
    T_OK(wr_fs_posix()->list(wr_fs_posix(), f.dir, find_waiting, &f, &e));
    T(f.path != NULL);
    file = t_slurp(f.path);
    bytes = wr_alloc(file.n);
    T(bytes && file.n > 3000000);
    memcpy(bytes, file.p, file.n);
    bytes[1000000] ^= 1;
    t_spew(f.path, bytes, file.n);
    wr_free(bytes);
    faultstore_calm(w.fault[0]);
    (void)world_sync(&w);
    world_check(&w, 0);
    wr_db_status(w.db, &s);
    T(s.full_sends == 0 && s.error == WR_OK && replica(&w, 0).error == WR_OK);
    world_close(&w);
}

/* ---- what others left in the outbox ---- */

/* As a second weir does that had the pin for a while, and was killed. */
static void rival_was_here(struct world *w)
{
    const char *dir = t_path(w->dir, ".app.db-weir/outbox");
    struct wr_err e = {0};

    T_OK(wr_mkdirs(wr_fs_posix(), dir, 0700, &e));
    t_spew(t_path(dir, "00000000000000aa-00000000000000aa.ltx"), "x", 1);
    t_spew(t_path(dir, "kept.7"), "x", 1);
    T(utimensat(AT_FDCWD, w->path, NULL, 0) == 0); /* we attach again */
}

static bool count_one(void *arg, const char *name)
{
    size_t *n = arg;

    (void)name;
    (*n)++;
    return true;
}

static size_t count_outbox(struct world *w)
{
    size_t n = 0;
    struct wr_err e = {0};

    T_OK(wr_fs_posix()->list(
        wr_fs_posix(), t_path(w->dir, ".app.db-weir/outbox"), count_one, &n, &e));
    return n;
}

/* Only what was there at the start was ever removed. */
static void test_a_rivals_files_are_removed_from_the_outbox(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    large(&w, 1);
    world_start(&w);
    (void)world_sync(&w);
    rival_was_here(&w);
    world_run(&w, 60 * SECOND);
    assert_int_equal(count_outbox(&w), 0);
    world_check(&w, 0);
    world_close(&w);
}

/* But not what is ours: as long as that may be, theirs stay. */
static void test_a_rivals_files_beside_ours(void **state)
{
    const unsigned puts = FAULT_ON_PUT | FAULT_ON_BEGIN | FAULT_ON_PART | FAULT_ON_COMMIT;
    struct world w;
    struct wr_db_status s;

    (void)state;
    world_open(&w, 2);
    w.arm = faults_later;
    large(&w, 1);
    world_start(&w);
    (void)world_sync(&w);
    faultstore_arm(w.fault[1], FAULT_BEFORE, FAULT_ON_ALL, 1000, UINT64_MAX);
    world_sql(&w, "INSERT INTO t VALUES(NULL, randomblob(3000000))"); /* too large for memory */
    world_run(&w, 20 * SECOND);
    assert_int_equal(count_outbox(&w), 1);
    rival_was_here(&w);
    world_run(&w, 60 * SECOND); /* who knows what is being sent: the second one does not answer */
    assert_int_equal(count_outbox(&w), 2);
    faultstore_arm(w.fault[1], FAULT_BEFORE, puts, 1000, UINT64_MAX);
    world_run(&w, 120 * SECOND);
    T(replica(&w, 1).failing && replica(&w, 1).queued == 1);
    assert_int_equal(count_outbox(&w), 1); /* what it joins with */
    faultstore_calm(w.fault[1]);
    (void)world_sync(&w);
    assert_int_equal(count_outbox(&w), 0);
    world_check(&w, 0);
    world_check(&w, 1);
    wr_db_status(w.db, &s);
    T(s.full_sends == 0);
    world_close(&w);
}

/* ---- times ---- */

/* The time in a file is the clock's when it was made, also of the first; it does not go back with a
 * clock that is put back by minutes, not even over a restart. By more it does: what was ahead was
 * wrong, and would date all that follows. */
static void test_the_times_of_files_are_the_clocks(void **state)
{
    struct world w;
    int64_t first, second;

    (void)state;
    world_open(&w, 1);
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'one')");
    world_start(&w);
    (void)world_sync(&w);
    first = replica(&w, 0).pos.time_ms;
    T(first >= INT64_C(1795373351761) && first <= w.clock.wall_now_ms);
    world_run(&w, 3600 * SECOND);
    world_sql(&w, "INSERT INTO t VALUES(2, 'two')");
    (void)world_sync(&w);
    second = replica(&w, 0).pos.time_ms;
    T(second >= first + (int64_t)3600 * 1000 && second <= w.clock.wall_now_ms);
    world_stop(&w);
    w.clock.wall_now_ms = second - (int64_t)300 * 1000;
    world_start(&w);
    world_sql(&w, "INSERT INTO t VALUES(3, 'three')");
    (void)world_sync(&w);
    assert_int_equal(replica(&w, 0).pos.txid, 3);
    assert_int_equal(replica(&w, 0).pos.time_ms, second);
    world_stop(&w);
    w.clock.wall_now_ms = first - 1000;
    world_start(&w);
    world_sql(&w, "INSERT INTO t VALUES(4, 'four')");
    (void)world_sync(&w);
    assert_int_equal(replica(&w, 0).pos.txid, 4);
    T(replica(&w, 0).pos.time_ms < first && strstr(w.warning, "the clock was ahead"));
    world_close(&w);
}

/* ---- outages ---- */

static void test_one_replica_of_two_is_gone(void **state)
{
    struct world w;
    struct wr_db_status s;
    struct wr_err e = {0};
    uint64_t ticket, txid = 0;

    (void)state;
    world_open(&w, 2);
    w.arm = faults_later;
    w.opts.checkpoint_frames = 20;
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c);"
                  "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<120) "
                  "INSERT INTO t SELECT x, 0, zeroblob(3000) FROM c");
    world_start(&w);
    (void)world_sync(&w);
    faultstore_arm(w.fault[0], FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
    for (int i = 0; i < 270; i++) {
        world_sql(&w, "UPDATE t SET b = b + 1");
        world_run(&w, 2 * SECOND);
        assert_int_equal(replica(&w, 1).pos.txid, txid_of(&w)); /* it does not wait */
        T(!replica(&w, 1).failing && replica(&w, 1).queued == 0);
    }
    assert_int_equal(txid_of(&w), 271);
    T(replica(&w, 0).failing && replica(&w, 0).pos.txid == 1);
    world_check(&w, 1);
    wr_db_status(w.db, &s);
    T(s.checkpoints > 10 && s.wal_frames < 500);
    /* Captured, yes; in all replicas, no. */
    wr_db_sync_begin(w.db, &ticket);
    world_run(&w, 10 * SECOND);
    T_OK(wr_db_sync_poll(w.db, ticket, false, &txid, &e));
    assert_int_equal(txid, 271);
    T_IS(WR_BUSY, wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    /* A restart in between keeps the history that the one that is gone will need. */
    world_stop(&w);
    world_start(&w);
    assert_int_equal(world_sync(&w), 271);
    world_check(&w, 0);
    world_check(&w, 1);
    wr_db_status(w.db, &s);
    assert_int_equal(s.full_sends, 0);
    assert_int_equal(s.ledger_scans, 0);
    world_close(&w);
}

/* One that was never reached keeps nothing back, and gets a snapshot when it is. */
static void gone_from_the_start(struct world *w, struct faultstore *f)
{
    if (w->fault[0] == NULL) /* the first of them */
        faultstore_arm(f, FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
}

static void test_a_replica_that_was_never_there(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 2);
    w.arm = gone_from_the_start;
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'one')");
    world_start(&w);
    for (int i = 0; i < 20; i++) {
        world_sql(&w, "INSERT INTO t(b) VALUES(randomblob(2000))");
        world_run(&w, 2 * SECOND);
        assert_int_equal(replica(&w, 1).pos.txid, i + 1);
    }
    assert_int_equal(replica(&w, 0).found, 0);
    faultstore_calm(w.fault[0]);
    assert_int_equal(world_sync(&w), 20);
    assert_int_equal(replica(&w, 0).pos.txid, 20);
    assert_int_equal(count_files(&w), 1);
    world_check(&w, 0);
    world_check(&w, 1);
    world_close(&w);
}

T_MAIN(T_TEST(test_another_page_size_is_another_database),
    T_TEST(test_an_object_with_an_absurd_txid),
    T_TEST(test_a_replica_that_is_too_far_on_stops_alone),
    T_TEST(test_a_failed_first_upload_is_made_again_without_a_write),
    T_TEST(test_a_commit_after_the_first_upload_is_sent),
    T_TEST(test_a_full_outbox_makes_files_stream), T_TEST(test_a_full_outbox_in_an_outage),
    T_TEST(test_a_file_rots_while_it_waits),
    T_TEST(test_a_rivals_files_are_removed_from_the_outbox),
    T_TEST(test_a_rivals_files_beside_ours), T_TEST(test_the_times_of_files_are_the_clocks),
    T_TEST(test_one_replica_of_two_is_gone), T_TEST(test_a_replica_that_was_never_there))
