/*
 * test_replica.c - one replica on the manual scheduler: the order of files, what is acknowledged,
 * and what others ask of it meanwhile. Failures and threads have files of their own.
 */
#include "base/mem.h"
#include "engine/keeper.h"
#include "engine/lease.h"
#include "unit/engine/replica_bench.h"

/* Leave only the first `n` bytes of an object. */
static void cut(struct bench *b, uint64_t txid, size_t n)
{
    struct wr_storage *s = spy_bucket(&b->spy);
    struct wr_call *c = t_call();
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, 0, txid, txid);
    uint8_t buf[4096];
    size_t got = 0;
    struct wr_err e = {0};

    T(n <= sizeof(buf));
    T_OK(wr_storage_get(s, c, key, 0, buf, n, &got, &e));
    T_OK(wr_storage_put(s, c, key, (struct wr_bytes){buf, got}, NULL, &e));
    wr_storage_close(s);
}

/* ---- sending ---- */

/* Whenever a file arrives, the one before it has been acknowledged. */
static void check_order(void *arg, struct wr_call *c, struct wr_str key)
{
    struct bench *b = arg;
    struct wr_ltx_file f = {0};

    (void)c;
    if (wr_str_eq(key, WR_STR("writer.json")))
        return;
    T(wr_layout_ltx_parse(wr_replica_storage(b->r), key, &f));
    T(status(b).state == WR_REPLICA_SENDING);
    T(status(b).pos.txid == f.min - 1);
    T(f.min == 1 || in_bucket(b, f.min - 1));
    T(!in_bucket(b, f.min));
}

static void test_files_go_in_order(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    start(&b);
    T(status(&b).pos.txid == 0 && status(&b).last_ok_ms == WALL);
    b.spy.in_put = check_order;
    b.spy.arg = &b;
    for (uint64_t txid = 1; txid <= 20; txid++)
        push(&b, txid);
    T(status(&b).queued == 20 && status(&b).queued_bytes > 0);
    run(&b, 0);
    T(b.spy.puts == 21); /* and the sign */
    T(status(&b).queued == 0 && status(&b).queued_bytes == 0 && status(&b).lag_ms == 0);
    T(status(&b).state == WR_REPLICA_READY && !status(&b).failing);
    struct wr_remote_pos pos = status(&b).pos;
    T(pos.txid == 20 && pos.has_rolling && pos.rolling == (20 | WR_LTX_CHECKSUM_EMPTY));
    T(pos.page_size == 512 && pos.commit == 3 && pos.time_ms == WALL);
    T(b.spy.lists > 0 && status(&b).found == 1);
    bench_close(&b);
}

static void test_position_is_found_by_listing(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    for (uint64_t txid = 1; txid <= 5; txid++)
        put_rival(&b, txid);
    start(&b);
    T(status(&b).pos.txid == 5 && status(&b).pos.time_ms == WALL);
    push(&b, 6);
    run(&b, 0);
    T(status(&b).pos.txid == 6 && in_bucket(&b, 6));
    bench_close(&b);
}

/* What was built on a damaged file could not be restored either; but one bad answer is no damage.
 */
static void test_a_damaged_newest_state_is_nothing_to_build_on(void **state)
{
    struct bench b;

    (void)state;
    for (int damaged = 0; damaged < 2; damaged++) {
        struct wr_replica_status now;

        bench_open(&b);
        for (uint64_t txid = 1; txid <= 5; txid++)
            put_rival(&b, txid);
        if (damaged)
            cut(&b, 5, WR_LTX_HEADER_SIZE + 20);
        start(&b);
        T(status(&b).pos.txid == 5 && status(&b).pos.whole && !status(&b).sampled);
        wr_replica_want_sample(b.r, WR_LTX_LOCK_OFFSET);
        run(&b, 0);
        now = status(&b);
        T(now.failing == damaged && now.sampled == !damaged && !now.unknowable);
        run(&b, 20 * INT64_C(1000000000));
        now = status(&b);
        T(now.state == WR_REPLICA_READY && !now.failing && now.pos.txid == 5);
        T(now.sampled == !damaged && now.unknowable == damaged && now.pos.whole == !damaged);
        bench_close(&b);
    }
}

static void test_files_are_dropped_unless_it_is_ready(void **state)
{
    struct bench b;
    struct wr_parcel *p = parcel(1, 0, WALL);

    (void)state;
    bench_open(&b);
    (void)wr_replica_push(b.r, p, status(&b).found);
    T(wr_parcel_alone(p) && status(&b).queued == 0);
    start(&b);
    (void)wr_replica_push(b.r, p, status(&b).found);
    T(!wr_parcel_alone(p) && status(&b).queued == 1);
    T(status(&b).queued_bytes == p->bytes.n);
    wr_replica_stop(b.r, WR_CONFLICT, "somebody else");
    T(wr_parcel_alone(p) && status(&b).queued == 0 && status(&b).queued_bytes == 0);
    (void)wr_replica_push(b.r, p, status(&b).found);
    T(wr_parcel_alone(p));
    run(&b, 100000);
    T(b.spy.puts == 0);
    wr_parcel_unref(p);
    bench_close(&b);
}

/* A long step of the database believed an old position: the file would have left a hole for ever.
 */
static void test_a_file_that_does_not_follow_is_refused(void **state)
{
    struct bench b;
    struct wr_parcel *p = parcel(1, 0, WALL), *hole = parcel(3, 0, WALL),
                     *next = parcel(2, 0, WALL);

    (void)state;
    bench_open(&b);
    start(&b);
    T(!wr_replica_push(b.r, p, status(&b).found + 1)); /* listed again meanwhile */
    T(wr_replica_push(b.r, p, status(&b).found));
    T(!wr_replica_push(b.r, hole, status(&b).found));
    T(!wr_replica_push(b.r, p, status(&b).found));
    T(wr_replica_push(b.r, next, status(&b).found));
    run(&b, 0);
    T(status(&b).pos.txid == 2 && !in_bucket(&b, 3));
    T(!wr_replica_push(b.r, next, status(&b).found));
    wr_parcel_unref(p);
    wr_parcel_unref(hole);
    wr_parcel_unref(next);
    bench_close(&b);
}

/* ---- what others ask of it, also while it sends ---- */

static void test_rejoin_forgets_and_lists(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    start(&b);
    push(&b, 1);
    push(&b, 2);
    wr_replica_rejoin(b.r, "test");
    T(status(&b).state == WR_REPLICA_UNKNOWN && status(&b).queued == 0);
    run(&b, 0);
    T(status(&b).state == WR_REPLICA_READY && status(&b).found == 2 && b.spy.puts == 0);
    push(&b, 1);
    run(&b, 0);
    T(status(&b).pos.txid == 1);
    bench_close(&b);
}

/* Requests for what is in objects. */
static unsigned gets_of_a_look(struct bench *b)
{
    unsigned before = b->spy.reads;

    wr_replica_rejoin(b->r, "test");
    run(b, 0);
    T(status(b).state == WR_REPLICA_READY);
    return b->spy.reads - before;
}

/* A start looks twice in a row, and of six requests two were for headers that it had. */
static void test_a_second_look_read_the_same_headers_again(void **state)
{
    struct bench b;
    unsigned first;

    (void)state;
    bench_open(&b);
    start(&b);
    push(&b, 1);
    push(&b, 2);
    run(&b, 0);
    (void)gets_of_a_look(&b); /* the second, after that of an empty replica */
    first = gets_of_a_look(&b);
    T(first > 0);
    T(gets_of_a_look(&b) == 0);
    T(gets_of_a_look(&b) == first); /* and not for ever */
    put_rival(&b, 2);               /* of the same name and size */
    T(gets_of_a_look(&b) > 0);
    bench_close(&b);
}

/* As a rival does whose file comes in this moment. */
static void put_now(struct bench *b, uint64_t txid)
{
    struct wr_storage *s = spy_bucket(&b->spy);
    struct wr_call *c = t_call();
    struct wr_parcel *p = parcel(txid, 100, WALL);
    struct wr_err e = {0};

    c->clock = &b->clock.clock;
    T_OK(wr_storage_put(
        s, c, wr_layout_ltx_key(c->scratch, s, 0, txid, txid), wr_buf_bytes(&p->bytes), NULL, &e));
    wr_parcel_unref(p);
    wr_storage_close(s);
}

/* A second look went by size and times, which S3 tells in whole seconds. */
static void test_a_file_of_the_same_second_was_taken_for_the_one_before_it(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    put_now(&b, 1);
    put_now(&b, 2);
    start(&b);
    put_now(&b, 2);
    T(gets_of_a_look(&b) > 0);
    bench_close(&b);
}

static void rejoin_now(void *arg, struct wr_call *c, struct wr_str key)
{
    struct bench *b = arg;

    (void)c;
    (void)key;
    wr_replica_rejoin(b->r, "in the middle");
    b->spy.in_put = NULL;
}

static void test_rejoin_while_sending(void **state)
{
    struct bench b;

    (void)state;
    for (int fails = 0; fails < 2; fails++) {
        bench_open(&b);
        start(&b);
        b.spy.in_put = rejoin_now;
        b.spy.arg = &b;
        b.spy.fail_put = fails ? WR_IO : WR_OK;
        push(&b, 1);
        push(&b, 2);
        run(&b, 0);
        b.spy.fail_put = WR_OK;
        run(&b, 10000);
        T(b.spy.puts == 2); /* the sign; the second one was forgotten */
        T(status(&b).state == WR_REPLICA_READY && status(&b).found == 2);
        T(status(&b).pos.txid == (fails ? 0 : 1) && status(&b).queued == 0);
        push(&b, fails ? 1 : 2);
        run(&b, 0);
        T(status(&b).pos.txid == (fails ? 1 : 2) && !status(&b).failing);
        bench_close(&b);
    }
}

static bool interrupted;

static void stop_now(void *arg, struct wr_call *c, struct wr_str key)
{
    struct bench *b = arg;

    if (wr_str_eq(key, WR_STR("writer.json")))
        return;
    T(!wr_cancel_is(c->cancel));
    wr_replica_stop(b->r, WR_CONFLICT, "an operator must act");
    interrupted = wr_cancel_is(c->cancel);
}

/* The reason to stop outlives the request in progress, however that ends. A database that was being
 * sent whole went on for hours, to a replica that had stopped. */
static void test_stop_while_sending(void **state)
{
    struct bench b;
    unsigned notified;

    (void)state;
    for (int fails = 0; fails < 2; fails++) {
        bench_open(&b);
        start(&b);
        b.spy.in_put = stop_now;
        b.spy.arg = &b;
        b.spy.fail_put = fails ? WR_IO : WR_OK;
        interrupted = false;
        push(&b, 1);
        push(&b, 2);
        run(&b, 100000);
        T(interrupted);
        T(status(&b).state == WR_REPLICA_STOPPED && status(&b).queued == 0);
        T(b.spy.puts == 1);
        T(status(&b).failing && status(&b).error == WR_CONFLICT);
        assert_string_equal(why(&b), "an operator must act");
        notified = b.notified;
        wr_replica_stop(b.r, WR_IO, "once more");
        T(b.notified == notified && status(&b).error == WR_CONFLICT);
        assert_string_equal(why(&b), "an operator must act");
        wr_replica_rejoin(b.r, "does not help");
        run(&b, 100000);
        T(status(&b).state == WR_REPLICA_STOPPED && status(&b).found == 1);
        bench_close(&b);
    }
}

static struct bench *to_stop;
static unsigned readings; /* of the clock until it is stopped; 0: it is not */
static bool stopped;

static int64_t stop_at_a_reading(const struct wr_clock *c)
{
    (void)c;
    if (readings > 0 && --readings == 0) {
        stopped = true;
        wr_replica_stop(to_stop->r, WR_CONFLICT, "an operator must act");
    }
    return to_stop->clock.mono_now_ns;
}

static void arrived(void *arg, struct wr_call *c, struct wr_str key)
{
    (void)arg;
    if (wr_str_eq(key, WR_STR("writer.json")))
        return;
    T(wr_cancel_is(c->cancel) == stopped);
    readings = 0;
}

/* Between the step's choice of a file and its token there was nothing to cancel, and a database was
 * sent whole all the same. */
static void test_a_stop_just_before_a_file_was_sent_did_not_keep_it(void **state)
{
    unsigned n = 0;

    (void)state;
    do {
        struct bench b;

        bench_open(&b);
        start(&b);
        b.spy.in_put = arrived;
        to_stop = &b;
        stopped = false;
        readings = ++n;
        b.clock.clock.mono_ns = stop_at_a_reading;
        push(&b, 1);
        run(&b, 1000);
        readings = 0;
        T(in_bucket(&b, 1) || stopped);
        bench_close(&b);
    } while (stopped);
    T(n > 5); /* the step has some readings before it */
}

static void stop_at_the_first_get(void *arg)
{
    struct bench *b = arg;

    if (!stopped)
        wr_replica_stop(b->r, WR_CONFLICT, "an operator must act");
    stopped = true;
}

/* All of it, for hours, to be compared with a database that sends nothing more. */
static void test_a_replica_that_had_stopped_was_read_to_its_end(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    for (uint64_t txid = 1; txid <= 5; txid++)
        put_rival(&b, txid);
    start(&b);
    stopped = false;
    b.spy.reads = 0;
    b.spy.in_get = stop_at_the_first_get;
    b.spy.arg = &b;
    wr_replica_want_census(b.r, WR_LTX_LOCK_OFFSET, UINT64_MAX);
    run(&b, 100000);
    assert_int_equal(b.spy.reads, 1);
    T(status(&b).state == WR_REPLICA_STOPPED && status(&b).found == 1);
    assert_string_equal(why(&b), "an operator must act");
    bench_close(&b);
}

/* Whoever closed the database waited two seconds for a last word that never came. */
static void test_a_stop_at_the_end_was_waited_for(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    start(&b);
    push(&b, 1);
    run(&b, 0);
    wr_replica_leave(b.r);
    T(!wr_replica_has_left(b.r));
    wr_replica_stop(b.r, WR_CONFLICT, "promoted elsewhere");
    T(wr_replica_has_left(b.r));
    bench_close(&b);
}

static void test_a_replica_that_had_stopped_was_verified_for_ever(void **state)
{
    struct bench b = {.verify_ns = 1000 * MS};
    unsigned calls;

    (void)state;
    bench_with(&b, spy_open(&b.spy, &b.ops));
    start(&b);
    push(&b, 1);
    run(&b, 10000);
    T(b.spy.lists > 5);
    wr_replica_stop(b.r, WR_CONFLICT, "promoted elsewhere");
    run(&b, 1);
    calls = b.spy.lists + b.spy.reads;
    run(&b, 100000);
    assert_int_equal(b.spy.lists + b.spy.reads, calls);
    bench_close(&b);
}

static void test_cancel_is_for_good(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    start(&b);
    push(&b, 1);
    wr_replica_cancel(b.r);
    run(&b, 100000);
    T(b.spy.puts == 0 && status(&b).queued == 1);
    push(&b, 2);
    run(&b, 100000);
    T(b.spy.puts == 0);
    bench_close(&b); /* with files in the queue */
}

/* ---- looks ---- */

static void remove_file(struct bench *b, uint64_t txid)
{
    struct wr_storage *s = spy_bucket(&b->spy);
    struct wr_call *c = t_call();
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, 0, txid, txid);
    struct wr_err e = {0};

    T_OK(wr_storage_remove(s, c, &key, 1, &e));
    wr_storage_close(s);
}

/* Far from both ends, where no look sees it that lists only these. */
static void test_a_hole_in_the_middle_shows_within_hours(void **state)
{
    struct bench b;
    uint64_t txid = 1200;

    (void)state;
    bench_open(&b);
    for (uint64_t i = 1; i <= txid; i++)
        put_rival(&b, i);
    start(&b);
    for (int half_hours = 1; half_hours <= 15; half_hours++) {
        run(&b, (int64_t)30 * 60 * 1000);
        push(&b, ++txid);
        run(&b, 0);
        if (half_hours == 3)
            remove_file(&b, 1100);
        T(status(&b).found == (half_hours < 12 ? 1 : 2));
    }
    T(!status(&b).pos.whole && !status(&b).contested);
    bench_close(&b);
}

/* ---- memory ---- */

static enum wr_status make_one(void *arg)
{
    struct bench *b = arg;
    struct wr_replica_opts o = {
        .sched = b->sched, .label = "app.db", .notify = on_change, .arg = b};
    struct wr_replica *r = NULL;
    struct wr_err e = {0};
    struct wr_storage *s = NULL;
    void *inner = NULL;
    enum wr_status st = wr_storage_mem.open(NULL, &inner, &e);

    if (st != WR_OK)
        return st;
    st = wr_storage_wrap(&wr_storage_mem, inner, WR_STR(""), &s, &e);
    if (st != WR_OK) {
        wr_storage_mem.close(inner);
        return st;
    }
    st = wr_replica_new(s, &o, &r, &e);
    if (st == WR_OK)
        wr_replica_free(r);
    else
        wr_storage_close(s); /* still ours */
    return st;
}

static int64_t put_left_ms;

static void note_deadline(void *arg, struct wr_call *c, struct wr_str key)
{
    (void)arg;
    if (!wr_str_eq(key, WR_STR("writer.json")))
        put_left_ms = wr_call_left_ms(c, INT64_MAX);
}

/* Of one in memory, too: five mebibytes over a slow line take longer than a small file may. */
static void test_a_large_file_has_more_time(void **state)
{
    struct bench b;
    struct wr_parcel *p = parcel(2, 0, WALL);

    (void)state;
    bench_open(&b);
    b.spy.in_put = note_deadline;
    start(&b);
    push(&b, 1);
    run(&b, 0);
    T(put_left_ms > 0 && put_left_ms <= 120000);
    p->size = WR_PARCEL_MEMORY_MAX + 1;
    T(wr_replica_push(b.r, p, status(&b).found));
    run(&b, 0);
    T(put_left_ms > 3600000);
    wr_parcel_unref(p);
    bench_close(&b);
}

static void stop_in_the_middle(void *arg, struct wr_call *c, struct wr_str key)
{
    struct bench *b = arg;

    (void)c;
    if (!strstr(key.p, "ltx/2/"))
        return;
    wr_replica_stop(b->r, WR_CONFLICT, "promoted elsewhere");
    b->spy.fail_put = WR_TIMEOUT;
    b->spy.in_put = NULL;
}

/* A file of a level that got no answer was sent again when the replica had stopped, as another one
 * had been promoted, and what led to it may have been deleted by then. */
static void test_a_file_of_a_level_was_sent_again_after_the_end(void **state)
{
    struct wr_keeper_report r = {0};
    struct wr_parcel *p = parcel(2, 0, WALL);
    struct wr_keeper *k;
    struct bench b;

    (void)state;
    bench_open(&b);
    start(&b);
    push(&b, 1);
    push(&b, 2);
    run(&b, 0);
    T(status(&b).pos.txid == 2);
    k = wr_replica_keeper(b.r);
    p->level = 2;
    wr_storage_set_retry(wr_replica_storage(b.r), 5, 0);
    b.spy.in_put = stop_in_the_middle;
    b.spy.arg = &b;
    b.spy.puts = 0;
    wr_keeper_send(k, p);
    run(&b, 0);
    T(status(&b).state == WR_REPLICA_STOPPED && b.spy.puts == 1);
    T(wr_keeper_take(k, &r) && r.st == WR_TIMEOUT && !r.sent);
    wr_text_release(&r.text);
    b.spy.fail_put = WR_OK;
    b.spy.removes = b.spy.lists = 0;
    wr_keeper_send(k, p); /* nor does it begin with anything, and who waits for that is told */
    run(&b, 0);
    T(wr_keeper_take(k, &r) && r.st == WR_CANCELED && r.level == 2);
    wr_keeper_retain(k, &(struct wr_retention){.keep_ms = 1}, true);
    run(&b, 0);
    T(wr_keeper_take(k, &r) && r.st == WR_CANCELED && r.level == 0 && !r.was_read);
    T(b.spy.puts == 1 && b.spy.lists == 0 && b.spy.removes == 0);
    wr_parcel_unref(p);
    bench_close(&b);
}

static void promote_another(struct bench *b)
{
    struct wr_storage *s = spy_bucket(&b->spy);
    struct wr_lease_seen seen = {0};
    struct wr_lease l = {0};
    struct wr_err e = {0};

    T_OK(wr_lease_look(s, t_call(), &seen, &e));
    T_OK(wr_lease_take(s, t_call(), &seen, 9, "nine:/a", &l, &e));
    wr_storage_close(s);
}

/* That nobody else had been promoted was shown a moment ago, and what is listed since may be his.
 */
static void test_who_was_promoted_before_the_listing_is_asked_for(void **state)
{
    struct wr_keeper_report r = {0};
    struct bench b;

    (void)state;
    bench_open(&b);
    wr_replica_set_node(b.r, 7);
    start(&b);
    push(&b, 1);
    push(&b, 2);
    run(&b, 0);
    T(status(&b).pos.txid == 2);
    promote_another(&b);
    b.spy.lists = b.spy.removes = 0;
    wr_keeper_retain(wr_replica_keeper(b.r), &(struct wr_retention){.keep_ms = 1}, true);
    run(&b, 0);
    T(wr_keeper_take(wr_replica_keeper(b.r), &r) && r.st == WR_CONFLICT);
    T(b.spy.lists > 0 && b.spy.removes == 0);
    T(status(&b).state == WR_REPLICA_STOPPED && strstr(why(&b), "nine:/a"));
    wr_text_release(&r.text);
    bench_close(&b);
}

static void test_no_memory(void **state)
{
    struct bench b;
    struct wr_parcel *p = parcel(1, 0, WALL);

    (void)state;
    bench_open(&b);
    (void)make_one(&b); /* what the scheduler keeps for later */
    t_sweep_nomem(make_one, &b);
    start(&b);
    wr_mem_fail_after(0);
    T(!wr_replica_push(b.r, p, status(&b).found));
    wr_mem_fail_after(-1);
    T(status(&b).queued == 0 && wr_parcel_alone(p));
    T(wr_replica_push(b.r, p, status(&b).found));
    run(&b, 0);
    T(status(&b).pos.txid == 1);
    wr_parcel_unref(p);
    bench_close(&b);
}

T_MAIN(T_TEST(test_files_go_in_order), T_TEST(test_a_large_file_has_more_time),
    T_TEST(test_position_is_found_by_listing),
    T_TEST(test_a_damaged_newest_state_is_nothing_to_build_on),
    T_TEST(test_files_are_dropped_unless_it_is_ready), T_TEST(test_rejoin_forgets_and_lists),
    T_TEST(test_a_second_look_read_the_same_headers_again),
    T_TEST(test_a_file_of_the_same_second_was_taken_for_the_one_before_it),
    T_TEST(test_rejoin_while_sending), T_TEST(test_stop_while_sending),
    T_TEST(test_a_stop_just_before_a_file_was_sent_did_not_keep_it),
    T_TEST(test_a_replica_that_had_stopped_was_read_to_its_end),
    T_TEST(test_a_stop_at_the_end_was_waited_for),
    T_TEST(test_a_replica_that_had_stopped_was_verified_for_ever), T_TEST(test_cancel_is_for_good),
    T_TEST(test_a_file_that_does_not_follow_is_refused),
    T_TEST(test_a_hole_in_the_middle_shows_within_hours),
    T_TEST(test_a_file_of_a_level_was_sent_again_after_the_end),
    T_TEST(test_who_was_promoted_before_the_listing_is_asked_for), T_TEST(test_no_memory))
