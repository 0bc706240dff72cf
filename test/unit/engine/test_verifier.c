/*
 * test_verifier.c - replicas that are proven again and again while they are written to: what is
 * known of them by then, what it costs, and what is said of damage.
 */
#include "engine/verifier.h"

#include "unit/engine/history_world.h"

#define HOUR (3600 * SECOND)

static void begin_verified(struct history *h, size_t buckets)
{
    begin(h, buckets);
    world_stop(&h->w);
    h->w.opts.verify_ms = 3600000;
    world_start(&h->w);
    (void)world_sync(&h->w);
}

static void end(struct history *h)
{
    world_close(&h->w);
}

static struct wr_replica_account account_of(struct history *h, size_t i)
{
    struct wr_replica_account is;

    wr_db_replica_account(h->w.db, i, &is);
    return is;
}

/* Half an hour passes, then another one; nothing was written in the second. */
static void test_every_hour(void **state)
{
    struct wr_verifier_report is;
    struct history h;
    uint64_t reads, txid;

    (void)state;
    begin_verified(&h, 2);
    write_every(&h, 60, 29);
    is = account_of(&h, 0).verified;
    T(is.ended_ms == 0 && is.proven_txid == 0 && is.error == WR_OK);
    txid = world_sync(&h.w);
    world_run(&h.w, HOUR / 2 + 120 * SECOND);
    for (size_t i = 0; i < 2; i++) {
        is = account_of(&h, i).verified;
        T(is.ended_ms > 0 && is.findings == 0 && is.lost == 0 && is.error == WR_OK);
        assert_int_equal(is.proven_txid, txid);
    }
    T(strstr(h.w.info, "replica verified"));
    reads = account_of(&h, 0).requests.get;
    world_run(&h.w, HOUR - 300 * SECOND);
    T(account_of(&h, 0).requests.get == reads); /* nothing was due */
    world_run(&h.w, 400 * SECOND);
    T(account_of(&h, 0).requests.get > reads);
    T(account_of(&h, 0).verified.ended_ms > is.ended_ms);
    T(h.w.warnings == 0 && h.w.errors == 0);
    end(&h);
}

/* A bit flips, and is told with its file; what can be restored is still known. */
static void test_damage_is_told(void **state)
{
    struct wr_verifier_report is;
    struct wr_ltx_file f = {0};
    struct object o;
    struct history h;
    uint64_t txid;

    (void)state;
    begin_verified(&h, 1);
    world_stop(&h.w);
    h.w.opts.cadence = (struct wr_cadence){0}; /* else a level soon leads to the same state */
    world_start(&h.w);
    write_every(&h, 1, 20);
    txid = world_sync(&h.w);
    T(bucket_count_level(&h.w, 0, &f) > 3);
    o = bucket_get(&h.w, &f);
    o.body[f.size - 1] ^= 1; /* of the checksum: in a page it might decode to the same */
    bucket_remove(&h.w, &f);
    bucket_put(&h.w, &o);
    world_run(&h.w, HOUR + SECOND);
    is = account_of(&h, 0).verified;
    T(is.error == WR_CORRUPT && is.findings > 0 && is.lost == 1 && is.ended_ms > 0);
    T(is.proven_txid > 0 && is.proven_txid < txid);
    T(strstr(is.error_text, ".ltx"));
    T(strstr(h.w.error, "a replica is damaged") && h.w.errors == 1);
    T(strstr(h.w.warning, "the newest state of a replica is damaged, sending a snapshot"));
    T(strstr(h.w.warning, "is no good") || strstr(h.w.warning, "nothing leads there"));
    end(&h);
}

static void spoil(struct history *h, const struct wr_ltx_file *f)
{
    struct object o = bucket_get(&h->w, f);

    o.body[f->size - 1] ^= 1;
    bucket_remove(&h->w, f);
    bucket_put(&h->w, &o);
}

static size_t snapshots(struct history *h)
{
    struct wr_ltx_file f = {0};

    return bucket_count_level(&h->w, 9, &f);
}

static void begin_without_levels(struct history *h, size_t buckets)
{
    begin_verified(h, buckets);
    world_stop(&h->w);
    h->w.opts.cadence = (struct wr_cadence){0};
    world_start(&h->w);
    (void)world_sync(&h->w);
}

/* Nothing was said of a replica that had lost its newest files, or all of them, as long as nobody
 * wrote to the database: what was left was whole. */
static void test_a_replica_that_was_cut_short_was_well(void **state)
{
    (void)state;
    for (int all = 0; all < 2; all++) {
        struct wr_verifier_report is;
        struct wr_ltx_files files;
        struct history h;
        uint64_t txid;

        begin_without_levels(&h, 1);
        write_every(&h, 1, 10);
        txid = world_sync(&h.w);
        world_run(&h.w, HOUR + SECOND);
        T(account_of(&h, 0).verified.findings == 0 && h.w.warnings == 0);
        files = bucket_list(&h.w);
        for (size_t i = 0; i < files.n; i++)
            if (all || files.p[i].max + 5 > txid)
                bucket_remove(&h.w, &files.p[i]);
        wr_ltx_files_release(&files);
        world_run(&h.w, HOUR + SECOND);
        is = account_of(&h, 0).verified;
        T(is.error == WR_CORRUPT && is.findings == 1 && is.lost == 1 && is.unsound == 1);
        T(strstr(is.error_text, all ? "it is empty" : "the newest files are gone"));
        T(h.w.errors == 1 && snapshots(&h) == 1 + !all);
        world_run(&h.w, HOUR + SECOND);
        is = account_of(&h, 0).verified;
        T(is.error == WR_OK && is.findings == 0 && is.proven_txid >= txid);
        world_check(&h.w, 0);
        end(&h);
    }
}

/* The newest file is spoiled: the next verification finds that, a snapshot is sent, and the one
 * after that finds the newest state whole. The file itself stays damaged. */
static void test_the_newest_state_heals(void **state)
{
    struct wr_verifier_report is;
    struct wr_ltx_file f = {0};
    struct history h;
    uint64_t txid;

    (void)state;
    begin_without_levels(&h, 2);
    write_every(&h, 1, 20);
    txid = world_sync(&h.w);
    (void)bucket_count_level(&h.w, 0, &f);
    T(f.max == txid);
    spoil(&h, &f);
    world_run(&h.w, HOUR + SECOND);
    is = account_of(&h, 0).verified;
    T(is.unsound == 1 && is.unsound_txid == txid && is.lost == 1);
    T(account_of(&h, 1).verified.unsound == 0); /* of the other replica all is well */
    world_run(&h.w, 10 * SECOND);
    T(snapshots(&h) == 2);
    world_check(&h.w, 0);
    world_run(&h.w, HOUR);
    is = account_of(&h, 0).verified;
    T(is.unsound == 1 && is.lost == 0 && is.proven_txid == txid && is.findings == 1);
    world_run(&h.w, 5 * HOUR);
    T(snapshots(&h) == 2); /* once was enough */
    end(&h);
}

/* It is the snapshot of the newest state that is spoiled: one of the same name cannot be sent. */
static void test_a_spoiled_snapshot_heals(void **state)
{
    struct wr_verifier_report is;
    struct wr_ltx_file f = {0};
    uint64_t value = 0, txid;
    struct wr_err e = {0};
    struct history h;

    (void)state;
    begin_without_levels(&h, 1);
    write_for(&h, 5);
    T(world_work(&h.w, WR_WORK_SNAPSHOT, 60 * SECOND, &txid, &e) == WR_OK);
    (void)bucket_count_level(&h.w, 9, &f);
    T(f.max == txid && snapshots(&h) == 2);
    spoil(&h, &f);
    world_run(&h.w, HOUR + 10 * SECOND);
    is = account_of(&h, 0).verified;
    T(is.unsound == 1 && is.lost == 0 && is.findings == 1); /* level 0 leads there, too */
    T(bucket_count_level(&h.w, 9, &f) == 3 && f.max == txid + 1);
    world_check(&h.w, 0);
    write_for(&h, 5);
    world_check(&h.w, 0);
    T(world_work(&h.w, WR_WORK_SNAPSHOT, 60 * SECOND, &value, &e) == WR_OK);
    assert_int_equal(value, txid + 6);
    world_run(&h.w, HOUR);
    is = account_of(&h, 0).verified;
    T(is.unsound == 1 && is.proven_txid == txid + 6);
    T(world_restore(&h.w, 0, txid).n > 0);
    end(&h);
}

/* What is of the past is told, and no reason to send anything. */
static void test_damage_of_the_past(void **state)
{
    struct wr_verifier_report is;
    struct wr_ltx_file f = {0};
    uint64_t txid;
    struct wr_err e = {0};
    struct history h;

    (void)state;
    begin_without_levels(&h, 1);
    write_for(&h, 5);
    (void)bucket_count_level(&h.w, 0, &f);
    write_for(&h, 5);
    T(world_work(&h.w, WR_WORK_SNAPSHOT, 60 * SECOND, &txid, &e) == WR_OK);
    write_for(&h, 5);
    spoil(&h, &f);
    world_run(&h.w, HOUR + 10 * SECOND);
    is = account_of(&h, 0).verified;
    assert_int_equal(is.unsound, 0);
    assert_int_equal(is.lost, 5); /* up to the snapshot */
    T(snapshots(&h) == 2);
    end(&h);
}

/* A file in the middle is gone, and the store fails when the snapshot is sent: later, then. */
static void test_it_heals_when_it_can(void **state)
{
    struct wr_verifier_report is;
    struct wr_ltx_file f = {0};
    struct history h;

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    h.w.opts.verify_ms = 600000;
    h.w.opts.cadence = (struct wr_cadence){0};
    h.w.arm = no_faults_yet;
    world_start(&h.w);
    write_for(&h, 5);
    (void)bucket_count_level(&h.w, 0, &f);
    write_for(&h, 5);
    world_run(&h.w, 70 * SECOND); /* the look behind the last file has been made */
    bucket_remove(&h.w, &f);
    faultstore_arm(h.w.fault[0], FAULT_BROKEN, FAULT_ON_PUT, 1000, UINT64_MAX);
    world_run(&h.w, 540 * SECOND);
    is = account_of(&h, 0).verified;
    assert_int_equal(is.unsound, 1);
    assert_int_equal(snapshots(&h), 1);
    faultstore_calm(h.w.fault[0]);
    world_run(&h.w, 120 * SECOND);
    T(snapshots(&h) == 2);
    world_check(&h.w, 0);
    world_run(&h.w, 600 * SECOND);
    T(account_of(&h, 0).verified.unsound == 1);
    end(&h);
}

/* That a store does not answer is no damage; it is tried again, sooner, and what was known stays.
 */
static void test_a_store_that_does_not_answer(void **state)
{
    struct wr_verifier_report was, is;
    struct history h;

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    h.w.opts.verify_ms = 3600000;
    h.w.arm = no_faults_yet;
    world_start(&h.w);
    write_every(&h, 1, 5);
    world_run(&h.w, HOUR + SECOND);
    was = account_of(&h, 0).verified;
    T(was.ended_ms > 0 && was.error == WR_OK);
    faultstore_arm(h.w.fault[0], FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
    world_run(&h.w, HOUR + SECOND);
    is = account_of(&h, 0).verified;
    T(is.ended_ms == was.ended_ms && is.proven_txid == was.proven_txid && is.error == WR_IO);
    T(strstr(h.w.warning, "validation check failed"));
    faultstore_calm(h.w.fault[0]);
    world_run(&h.w, 1500 * SECOND);
    is = account_of(&h, 0).verified;
    T(is.ended_ms > was.ended_ms && is.error == WR_OK);
    end(&h);
}

/* Nothing was sent yet: that is not damage. */
static void test_an_empty_replica(void **state)
{
    struct history h;

    (void)state;
    begin(&h, 1);
    world_stop(&h.w);
    h.w.opts.verify_ms = 1;
    world_start(&h.w);
    T(h.w.errors == 0 && h.w.warnings == 0);
    end(&h);
}

T_MAIN(T_TEST(test_every_hour), T_TEST(test_damage_is_told),
    T_TEST(test_a_replica_that_was_cut_short_was_well), T_TEST(test_the_newest_state_heals),
    T_TEST(test_a_spoiled_snapshot_heals), T_TEST(test_damage_of_the_past),
    T_TEST(test_it_heals_when_it_can), T_TEST(test_a_store_that_does_not_answer),
    T_TEST(test_an_empty_replica))
