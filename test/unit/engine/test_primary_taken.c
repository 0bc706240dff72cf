/*
 * test_primary_taken.c - TXIDs that were given away for files that may still be under way: they are
 * not given away again, and are known as taken before a file of them is sent.
 */
#include "harness/engine_world.h"

#include "storage/drivers.h"
#include "unit/engine/ledger_model.h"
#include "unit/engine/world_bucket.h"

#include <unistd.h>

#define SECOND ((int64_t)1000000000)

static void no_faults_yet(struct world *w, struct faultstore *f)
{
    (void)w;
    (void)f;
}

static void made(struct world *w, size_t n_buckets)
{
    world_open(w, n_buckets);
    w->interval_ns = SECOND;
    world_app(w);
    world_sql(w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(x) AS (SELECT 1 "
                 "UNION ALL SELECT x+1 FROM c WHERE x<60) INSERT INTO t SELECT x, "
                 "randomblob(3000) FROM c");
}

static void change(struct world *w)
{
    world_sql(w, "UPDATE t SET b=randomblob(3000) WHERE a=7");
}

/* The file of the bucket that ends last. */
static struct wr_ltx_file newest(struct world *w, size_t bucket)
{
    struct wr_storage *s = world_storage(w, bucket);
    struct wr_ltx_files files = {0};
    struct wr_ltx_file f = {0};
    struct wr_err e = {0};

    T_OK(wr_layout_list_all(s, t_call(), &files, &e));
    for (size_t i = 0; i < files.n; i++) {
        if (files.p[i].max > f.max)
            f = files.p[i];
    }
    wr_ltx_files_release(&files);
    wr_storage_close(s);
    return f;
}

/* What a power cut may leave: whole copies of the header, and page checksums that prove none. */
static void tear_ledger(struct world *w)
{
    FILE *f = fopen(t_path(w->dir, ".app.db-weir/ledger"), "r+b");
    uint8_t x[8];

    T(f && fseek(f, 4096 + 8L * 20, SEEK_SET) == 0 && fread(x, 1, 8, f) == 8);
    x[3] ^= 0x55;
    T(fseek(f, 4096 + 8L * 20, SEEK_SET) == 0 && fwrite(x, 1, 8, f) == 8 && fclose(f) == 0);
}

/* A power cut takes commits back that were not synced. */
static void go_back_to(struct world *w, const char *then)
{
    static const char *const tails[] = {"-wal", "-shm"};

    for (size_t i = 0; i < wr_countof(tails); i++) {
        char path[600];

        (void)snprintf(path, sizeof(path), "%s%s", w->path, tails[i]);
        (void)unlink(path);
    }
    world_copy(then, w->path);
}

/* The database is back where the replica is; the TXIDs in between were taken all the same. */
static void test_taken_numbers_and_a_replica_that_holds_the_state(void **state)
{
    struct world w;
    struct object late;

    (void)state;
    made(&w, 1);
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    world_app_close(&w);
    world_stop(&w);
    T(world_image(&w).n > 0);
    world_copy(t_path(w.dir, "image.db"), t_path(w.dir, "then.db"));

    /* 2 to 5 wait while the store is out of reach; the next process joins with one file of them. */
    world_app(&w);
    w.arm = no_faults_yet;
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    faultstore_arm(w.fault[0], FAULT_BROKEN, FAULT_ON_PUT, 1000, UINT64_MAX);
    for (int i = 0; i < 4; i++) {
        change(&w);
        world_run(&w, 2 * SECOND);
    }
    world_stop(&w);
    world_start(&w);
    faultstore_arm(w.fault[0], FAULT_AFTER, FAULT_ON_PUT, 1000, UINT64_MAX);
    world_run(&w, SECOND / 20);
    world_app_close(&w);
    world_stop(&w);
    w.arm = NULL;
    late = bucket_under_way(&w, 5);
    T(late.is.min == 2);
    tear_ledger(&w);
    go_back_to(&w, t_path(w.dir, "then.db"));

    world_app(&w);
    world_start(&w);
    (void)world_sync(&w);
    change(&w);
    T(world_sync(&w) > 5);
    bucket_put(&w, &late);
    world_check(&w, 0);
    world_close(&w);
}

/* ---- taken, and forgotten in a power cut ---- */

static const char *machine; /* the file that tells which run of it this is */

static enum wr_status open_on_machine(const struct wr_fs *fs, const char *path, unsigned flags,
    unsigned mode, struct wr_file **ret, struct wr_err *e)
{
    if (strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
        return wr_file_open(wr_fs_posix(), machine, flags, mode, ret, e);
    return spy_open(fs, path, flags, mode, ret, e);
}

static void set_machine(const char *run)
{
    FILE *f = fopen(machine, "w");

    T(f && fputs(run, f) >= 0 && fclose(f) == 0);
}

static void on_machine(struct world *w, struct wr_fs *fs)
{
    disk.full = false;
    *fs = spied_fs();
    fs->open = open_on_machine;
    w->opts.fs = fs;
    machine = t_path(w->dir, "boot_id");
    set_machine("the first");
}

/* To stores that overwrite, a file of the dead process that arrives late would do so, if its name
 * were given away again: with pages of commits that nobody has. */
static void test_a_name_that_a_power_cut_took_back_is_given_away_again(void **state)
{
    struct wr_fs fs;
    struct world w;
    struct object late;

    (void)state;
    made(&w, 1);
    on_machine(&w, &fs);
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    T(world_image(&w).n > 0);
    world_copy(t_path(w.dir, "image.db"), t_path(w.dir, "then.db"));
    world_copy(t_path(w.dir, ".app.db-weir/ledger"), t_path(w.dir, "then.ledger"));
    change(&w);
    assert_int_equal(world_sync(&w), 2);
    world_app_close(&w);
    world_stop(&w);
    late = bucket_under_way(&w, 2);
    go_back_to(&w, t_path(w.dir, "then.db"));
    world_copy(t_path(w.dir, "then.ledger"), t_path(w.dir, ".app.db-weir/ledger"));
    set_machine("the second");

    world_app(&w);
    world_start(&w);
    change(&w);
    T(world_sync(&w) > 1000000);
    T(newest(&w, 0).min == 2);
    bucket_put(&w, &late);
    world_check(&w, 0);
    world_close(&w);
}

static void test_a_machine_that_was_shut_down_leaves_no_gap(void **state)
{
    struct wr_fs fs;
    struct world w;

    (void)state;
    made(&w, 1);
    on_machine(&w, &fs);
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    change(&w);
    assert_int_equal(world_sync(&w), 2);
    world_stop(&w);
    set_machine("the second");
    world_start(&w);
    change(&w);
    assert_int_equal(world_sync(&w), 3);
    world_check(&w, 0);
    world_close(&w);
}

/* ---- known as taken before they are sent ---- */

static struct {
    bool counting;
    unsigned syncs, most; /* of the ledger; those above that fail */
} ledger;

static enum wr_status ledger_sync(struct wr_file *f, struct wr_err *e)
{
    if (ledger.counting && strcmp(spy_of(f)->name, "ledger") == 0 && ++ledger.syncs > ledger.most)
        return wr_fail(e, WR_IO, "the disk fails");
    return wr_file_sync(spy_of(f)->real, e);
}

static void swap_buckets(struct world *w)
{
    void *first = w->bucket[0];

    w->bucket[0] = w->bucket[1];
    w->bucket[1] = first;
}

/* Alone, its local state lost: a history that the other replica does not have. */
static void live_without_the_other(struct world *w)
{
    w->n_buckets = 1;
    T(unlink(t_path(w->dir, ".app.db-weir/ledger")) == 0);
    change(w);
    world_start(w);
    (void)world_sync(w);
    world_stop(w);
    w->n_buckets = 2;
}

/* The second replica needs a leap to join. The first one has the state, and gets a file that spans
 * the leap, too. */
static void test_a_leap_is_synced_before_any_replica_gets_it(void **state)
{
    struct wr_fs fs = spied_fs();
    struct wr_ltx_file before;
    struct world w;

    (void)state;
    disk.full = false;
    fs.sync = ledger_sync;
    memset(&ledger, 0, sizeof(ledger));
    made(&w, 2);
    w.opts.fs = &fs;
    world_start(&w);
    (void)world_sync(&w);
    world_stop(&w);
    swap_buckets(&w);
    live_without_the_other(&w);
    swap_buckets(&w);
    live_without_the_other(&w);
    before = newest(&w, 0);

    ledger.counting = true;
    ledger.most = 1; /* that of opening it */
    world_start(&w);
    world_run(&w, 3 * SECOND);
    T(ledger.syncs > 1);
    assert_int_equal(newest(&w, 0).max, before.max);

    ledger.counting = false;
    world_run(&w, 200 * SECOND);
    (void)world_sync(&w);
    T(newest(&w, 0).max > before.max);
    world_check(&w, 0);
    world_check(&w, 1);
    world_close(&w);
}

/* A sync that failed has told so once, and left the pages clean: the next one succeeds whatever the
 * disk has, unless something was stored since. */
static void test_a_sync_after_a_failed_one_stores_again(void **state)
{
    const char *dir = t_path(t_tmpdir(), "ledger-dir");
    struct wr_fs fs = spied_fs();
    struct wr_pos pos = {.frame = 3};
    struct wr_ledger *l = NULL;
    struct wr_err e = {0};
    struct wr_bytes failed, now;

    (void)state;
    disk.full = false;
    fs.sync = ledger_sync;
    memset(&ledger, 0, sizeof(ledger));
    T(mkdir(dir, 0700) == 0);
    T_OK(wr_ledger_open(&fs, dir, 4096, LOCK_PGNO, 1, &l, &e));
    T_OK(wr_ledger_fill_begin(l, 1, &e));
    wr_ledger_fill(l, 1, WR_LTX_CHECKSUM_EMPTY | 1);
    T_OK(wr_ledger_fill_end(l, 1000, &pos, &e));
    ledger.counting = true;
    T_IS(WR_IO, wr_ledger_sync(l, &e));
    ledger.counting = false;
    failed = t_slurp(t_path(dir, "ledger"));
    T_OK(wr_ledger_sync(l, &e));
    now = t_slurp(t_path(dir, "ledger"));
    T(memcmp(failed.p, now.p, 4096) != 0);
    wr_ledger_close(l);
}

T_MAIN(T_TEST(test_taken_numbers_and_a_replica_that_holds_the_state),
    T_TEST(test_a_name_that_a_power_cut_took_back_is_given_away_again),
    T_TEST(test_a_machine_that_was_shut_down_leaves_no_gap),
    T_TEST(test_a_leap_is_synced_before_any_replica_gets_it),
    T_TEST(test_a_sync_after_a_failed_one_stores_again))
