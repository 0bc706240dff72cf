/*
 * test_lookout.c - a replica that is written to is looked at: by its sign and a few names as long
 * as nothing speaks against it, and by listing it otherwise.
 */
#include "engine/extent.h"
#include "engine/lease.h"
#include "engine/writer.h"
#include "unit/engine/replica_bench.h"

#define HALF_HOUR ((int64_t)30 * 60 * 1000)

/* Half an hour later, with one more file to send. */
static void half_hour(struct bench *b, uint64_t txid)
{
    run(b, HALF_HOUR);
    push(b, txid);
    run(b, 0);
}

/* Of another process; it spans two TXIDs, so that it is in nobody's way. */
static void put_wide(struct bench *b, uint64_t txid)
{
    struct wr_storage *s = spy_bucket(&b->spy);
    struct wr_call *c = t_call();
    struct t_ltx m = {.page_size = 512, .commit = 3, .min = txid, .max = txid + 1, .rolling = true};
    struct t_ltx_out o;
    struct wr_err e = {0};
    uint8_t page[512] = {9};

    m.pre = (txid - 1) | WR_LTX_CHECKSUM_EMPTY;
    m.post = 0x77 | WR_LTX_CHECKSUM_EMPTY;
    t_ltx_set(&m, 1, page);
    t_ltx_out_init(&o);
    T_OK(t_ltx_write(&m, WR_LTX_LOCK_OFFSET, &o, &e));
    T_OK(wr_storage_put(
        s, c, wr_layout_ltx_key(c->scratch, s, 0, txid, txid + 1), wr_buf_bytes(&o.buf), NULL, &e));
    wr_buf_release(&o.buf);
    t_ltx_release(&m);
    wr_storage_close(s);
}

static void sign_as_another(struct bench *b)
{
    struct wr_storage *s = spy_bucket(&b->spy);
    struct wr_err e = {0};

    T_OK(wr_writer_sign(s, t_call(), 0x1234, 1, 9, &e));
    wr_storage_close(s);
}

static void remove_file(struct bench *b, uint64_t txid)
{
    struct wr_storage *s = spy_bucket(&b->spy);
    struct wr_call *c = t_call();
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, 0, txid, txid);
    struct wr_err e = {0};

    T_OK(wr_storage_remove(s, c, &key, 1, &e));
    wr_storage_close(s);
}

/* Started with files of TXID 1 to 5; the first look has listed, and signed. The next file is 7. */
static void settled(struct bench *b)
{
    bench_open(b);
    for (uint64_t txid = 1; txid <= 5; txid++)
        put_rival(b, txid);
    start(b);
    half_hour(b, 6);
    T(status(b).found == 1 && status(b).pos.txid == 6);
    b->spy.lists = 0;
}

static void test_each_look_listed_twice_and_more(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    for (uint64_t txid = 7; txid < 7 + 10; txid++) {
        half_hour(&b, txid);
        T(status(&b).pos.txid == txid && status(&b).found == 1);
        assert_int_equal(b.spy.lists, 0);
    }
    half_hour(&b, 17); /* six hours are over */
    T(b.spy.lists > 0 && status(&b).pos.txid == 17 && status(&b).found == 1);
    bench_close(&b);
}

/* It wrote under a name that was in nobody's way. */
static void test_another_one_that_signed_is_found(void **state)
{
    (void)state;
    for (int signs = 0; signs <= 1; signs++) {
        struct bench b;

        settled(&b);
        put_wide(&b, 8);
        if (signs)
            sign_as_another(&b);
        half_hour(&b, 7);
        if (signs)
            T(status(&b).found == 2 && status(&b).contested && status(&b).pos.txid == 9);
        else
            T(status(&b).found == 1 && b.spy.lists == 0);
        bench_close(&b);
    }
}

/* Nothing came of it: it is signed again, and the next look lists nothing. */
static void test_a_sign_without_files_is_written_over(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    sign_as_another(&b);
    half_hour(&b, 7);
    T(b.spy.lists > 0 && status(&b).found == 1 && status(&b).pos.txid == 7);
    b.spy.lists = 0;
    half_hour(&b, 8);
    T(b.spy.lists == 0 && status(&b).pos.txid == 8);
    bench_close(&b);
}

static void test_what_was_deleted_is_missed_without_a_listing(void **state)
{
    static const uint64_t gone[] = {1, 2, 6}; /* the base, what follows it, and the newest */

    (void)state;
    for (size_t i = 0; i < wr_countof(gone); i++) {
        struct bench b;

        settled(&b);
        remove_file(&b, gone[i]);
        half_hour(&b, 7);
        T(status(&b).found == 2 && !status(&b).contested);
        T(gone[i] == 6 ? status(&b).pos.txid == 5 : !status(&b).pos.whole);
        bench_close(&b);
    }
}

/* Whether the sign is still another one's. */
static bool is_anothers(struct bench *b)
{
    struct wr_storage *s = spy_bucket(&b->spy);
    bool is = false;
    struct wr_err e = {0};

    T_OK(wr_writer_is(s, t_call(), 0x1234, &is, &e));
    wr_storage_close(s);
    return is;
}

/* In a bucket, which need not show all that is there: it has been listed. */
static void begin_late(struct bench *b)
{
    b->ops.caps &= ~(unsigned)WR_STORAGE_LIST_NOW;
    wr_replica_start(b->r);
    run(b, 0);
}

/* A file of this node with this TXID and so many more. */
static void push_span(struct bench *b, uint64_t txid, uint64_t more, uint64_t node)
{
    struct wr_parcel *p = parcel(txid, 0, WALL);
    struct wr_err e = {0};

    p->header.max_txid += more;
    p->header.node_id = node;
    T_OK(wr_ltx_header_put(p->bytes.p, &p->header, &e));
    T(wr_replica_push(b->r, p, status(b).found));
    wr_parcel_unref(p);
}

/* A file of ours with this TXID and the next. */
static void push_wide(struct bench *b, uint64_t txid)
{
    push_span(b, txid, 1, 0);
}

/* Two copies of one machine took each other for themselves, and neither was told; nor was who had
 * begun at the same time, with nothing there. */
static void test_who_sends_a_wide_file_signs(void **state)
{
    (void)state;
    for (int empty = 0; empty <= 1; empty++) {
        struct bench b;

        bench_open(&b);
        if (!empty) {
            sign_as_another(&b);
            put_rival(&b, 1);
        }
        start(&b);
        if (empty) {
            push(&b, 1);
            run(&b, 0);
            sign_as_another(&b);
        }
        run(&b, 0);
        T(is_anothers(&b)); /* that took no sign */
        push_wide(&b, 2);
        run(&b, 0);
        T(status(&b).pos.txid == 3 && !is_anothers(&b));
        bench_close(&b);
    }
}

/* A file of ours of so many bytes that it is sent in parts. */
static void push_long(struct bench *b, uint64_t txid)
{
    static const uint8_t zeros[65536];
    struct wr_parcel *p = parcel(txid, 0, WALL);
    struct wr_buf all;

    wr_buf_init(&all, (size_t)6 << 20);
    wr_buf_put(&all, p->bytes.p, p->bytes.n);
    while (all.n < (size_t)5 << 20 && wr_buf_status(&all) == WR_OK)
        wr_buf_put(&all, zeros, sizeof(zeros));
    T(wr_buf_status(&all) == WR_OK);
    wr_buf_release(&p->bytes);
    p->bytes = all;
    p->size = all.n;
    T(wr_replica_push(b->r, p, status(b).found));
    wr_parcel_unref(p);
}

/* One of many bytes may go over what is there, where a store has conditions for small ones alone.
 */
static void test_a_long_file_is_signed(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    sign_as_another(&b);
    put_rival(&b, 1);
    start(&b);
    push_long(&b, 2);
    run(&b, 0);
    T(status(&b).pos.txid == 2 && !is_anothers(&b));
    b.spy.lists = 0;
    half_hour(&b, 3);
    T(b.spy.lists > 0); /* for what was signed over unread */
    bench_close(&b);
}

/* What the replica must have, by the word that counts under the sign that is there; newest 0: no
 * word does. */
static struct wr_extent counts(struct bench *b)
{
    struct wr_storage *s = spy_bucket(&b->spy);
    struct wr_extent x = {0};
    bool is = false;
    struct wr_err e = {0};

    if (wr_extent_read(s, t_call(), &x, &e) == WR_OK)
        T_OK(wr_writer_is(s, t_call(), x.token, &is, &e));
    wr_storage_close(s);
    return is ? x : (struct wr_extent){0};
}

/* The process ends, and the next one has its bucket. */
static void open_another(struct bench *b)
{
    struct wr_storage *s = NULL;
    void *inner = wr_storage_mem_ref(b->spy.inner);
    struct wr_err e = {0};

    bench_close(b);
    b->notified = 0;
    b->seed++;
    b->spy = (struct spy){.inner = inner};
    T_OK(wr_storage_wrap(&b->ops, &b->spy, WR_STR(""), &s, &e));
    wr_storage_set_retry(s, 1, 0);
    bench_with(b, s);
}

static void start_another(struct bench *b)
{
    open_another(b);
    start(b);
}

/* What had come last was said at the next look, and there was none when nothing more came. */
static void test_who_sends_no_more_says_what_was_sent(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    for (uint64_t txid = 7; txid < 16; txid++) {
        push(&b, txid);
        run(&b, 1000);
    }
    T(counts(&b).newest == 5);
    b.spy.puts = b.spy.reads = 0;
    run(&b, 2 * 60 * 1000);
    T(counts(&b).last.max == 15 && b.spy.puts == 1 && b.spy.lists == 0);
    b.spy.puts = b.spy.reads = 0;
    run(&b, 100 * HALF_HOUR);
    T(b.spy.puts == 0 && b.spy.reads == 0 && b.spy.lists == 0);
    bench_close(&b);
}

/* Who has not signed yet signs for that, and lists at the next look. */
static void test_who_leaves_says_how_far_it_reaches(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    start_another(&b);
    run(&b, 0);
    push(&b, 7);
    run(&b, 0);
    T(counts(&b).last.max < 7);
    wr_replica_leave(b.r);
    T(!wr_replica_has_left(b.r));
    run(&b, 0);
    T(wr_replica_has_left(b.r) && counts(&b).last.max == 7 && counts(&b).roll.run[0].to == 7);
    bench_close(&b);
}

static void test_who_has_sent_nothing_leaves_without_a_word(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    start_another(&b);
    run(&b, 0);
    b.spy.puts = b.spy.reads = 0;
    wr_replica_leave(b.r);
    run(&b, 0);
    T(wr_replica_has_left(b.r) && b.spy.puts == 0 && b.spy.reads == 0);
    bench_close(&b);
}

/* Nothing keeps the process that cannot send. */
static void test_who_cannot_send_leaves_at_once(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    b.spy.fail_put = WR_IO;
    push(&b, 7);
    run(&b, 0);
    wr_replica_leave(b.r);
    T(wr_replica_has_left(b.r));
    bench_close(&b);
}

/* A database that sends such files all the time was in practice not protected by what was said. */
static void test_each_long_file_voided_what_was_said(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    T(counts(&b).newest == 5);
    for (uint64_t txid = 7; txid < 12; txid++) {
        b.spy.puts = b.spy.reads = 0;
        push_long(&b, txid);
        run(&b, 0);
        T(status(&b).pos.txid == txid && counts(&b).newest == 5);
        T(b.spy.puts == 1 && b.spy.reads == 2); /* our sign, and the lease */
    }
    half_hour(&b, 12);
    T(b.spy.lists == 0 && counts(&b).newest == 6);
    bench_close(&b);
}

/* Ours is there, and what we had sent before it. */
static void test_two_that_send_long_files(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    push_long(&b, 7);
    run(&b, 0);
    T(counts(&b).newest == 5); /* who has signed before that is not alone with his sign */
    put_wide(&b, 9);
    sign_as_another(&b);
    push_long(&b, 8);
    run(&b, 0);
    T(status(&b).pos.txid == 8 && !is_anothers(&b) && counts(&b).newest == 0);
    half_hour(&b, 9);
    T(status(&b).found == 2 && status(&b).contested && status(&b).pos.txid == 10);
    bench_close(&b);
}

/* It was written over unread, and what the other one had deleted without a word was told as
 * missing. */
static void test_a_sign_that_a_long_file_went_over_was_forgotten(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    T(counts(&b).from[1] == 5);
    sign_as_another(&b);
    push_long(&b, 7);
    run(&b, 0);
    half_hour(&b, 8);
    T(status(&b).found == 1 && counts(&b).newest > 0 && counts(&b).from[1] == 7);
    bench_close(&b);
}

/* What the process before it had said was said no more. */
static void test_who_began_with_a_long_file_said_nothing_of_the_past(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    half_hour(&b, 7);
    start_another(&b);
    run(&b, 30000);
    push_long(&b, 8);
    run(&b, 61000);
    push(&b, 9);
    run(&b, 0);
    T(status(&b).pos.txid == 9 && counts(&b).newest == 7 && counts(&b).from[1] == 5);
    bench_close(&b);
}

/* It is not written over unread, and owed until it was read. */
static void test_a_sign_that_cannot_be_read_behind_a_long_file(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    put_wide(&b, 9);
    sign_as_another(&b);
    b.spy.fail_get = WR_BUSY;
    b.spy.fail_in = WR_WRITER_NAME;
    push_long(&b, 7);
    run(&b, 0);
    T(status(&b).pos.txid == 7 && !status(&b).failing && is_anothers(&b));
    b.spy.reads = 0;
    push_long(&b, 8);
    run(&b, 0);
    T(status(&b).pos.txid == 8 && b.spy.reads == 1); /* no file waits for it again */
    b.spy.fail_get = WR_OK;
    half_hour(&b, 9);
    T(status(&b).found == 2 && status(&b).contested && !is_anothers(&b));
    bench_close(&b);
}

/* What is sent first to a replica that has nothing. */
static void push_snapshot(struct bench *b)
{
    struct wr_parcel *p = parcel(1, 0, WALL);

    p->level = WR_LEVEL_SNAPSHOT;
    T(wr_replica_push(b->r, p, status(b).found));
    wr_parcel_unref(p);
}

/* The files alone were deleted, and a database that rests was sent: until its next commit it was
 * told that the newest files were gone. */
static void test_what_was_said_of_an_emptied_replica_held_for_its_next_one(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        bool same = (k & 1) != 0, bucket = (k & 2) != 0;
        struct bench b;

        settled(&b);
        if (bucket)
            b.ops.caps &= ~(unsigned)WR_STORAGE_LIST_NOW;
        for (uint64_t txid = 1; txid <= 6; txid++)
            remove_file(&b, txid);
        if (same) {
            wr_replica_rejoin(b.r, "a test");
            run(&b, 60000);
        } else {
            open_another(&b);
            wr_replica_start(b.r);
            run(&b, 60000); /* the listing may be an old one */
        }
        T(status(&b).state == WR_REPLICA_READY && status(&b).pos.txid == 0);
        T(counts(&b).newest == 5);
        push_snapshot(&b);
        run(&b, 0);
        T(status(&b).pos.txid == 1 && counts(&b).newest == 0);
        b.spy.lists = 0;
        half_hour(&b, 2);
        T(b.spy.lists > 0 && counts(&b).newest == 1);
        bench_close(&b);
    }
}

static void note_sign(void *arg, struct wr_call *c, struct wr_str key)
{
    struct bench *b = arg;
    struct wr_storage *s = spy_bucket(&b->spy);
    uint64_t txid;
    bool is;
    struct wr_err e = {0};

    if (strstr(key.p, "ltx/")) {
        T_OK(wr_writer_other(s, c, 0x1234, 0x1234, &is, &txid, &e));
        T(is == !(b->ops.caps & WR_STORAGE_LIST_NOW) && txid == is);
        b->spy.in_put = NULL;
    }
    wr_storage_close(s);
}

/* Who was killed while the first file was under way had not said so: the next one, which had lost
 * all state, found nothing, and sent another one of that TXID. (Seed 909,400 of the simulator.) In
 * a directory nothing is under way for somebody who is dead. */
static void test_the_first_file_was_under_way_unsigned(void **state)
{
    (void)state;
    for (int directory = 0; directory <= 1; directory++) {
        struct bench b;

        bench_open(&b);
        if (!directory)
            b.ops.caps &= ~(unsigned)WR_STORAGE_LIST_NOW;
        wr_replica_start(b.r);
        run(&b, 0);
        b.spy.in_put = note_sign;
        b.spy.arg = &b;
        push_snapshot(&b);
        run(&b, 0);
        T(!b.spy.in_put && status(&b).pos.txid == 1);
        assert_int_equal(b.spy.puts, 2);
        bench_close(&b);
    }
}

/* As docs/scale.md says. */
static void test_what_a_first_start_asks_for(void **state)
{
    struct wr_replica_account is;
    struct bench b;

    (void)state;
    bench_open(&b);
    begin_late(&b);
    push_snapshot(&b);
    run(&b, 60000);
    T(status(&b).pos.txid == 1);
    wr_replica_account(b.r, &is);
    T(is.requests.list == 1 && is.requests.get == 2); /* the sign, before the file and behind it */
    T(is.requests.put == 2 && is.requests.stat == 2); /* it and the file; the extent, the lease */
    bench_close(&b);
}

struct tries {
    struct bench b;
    unsigned signs, files;
    enum wr_status sign, file; /* what is said when one is put */
};

static void count_tries(void *arg, struct wr_call *c, struct wr_str key)
{
    struct tries *t = arg;
    bool file = strstr(key.p, "ltx/") != NULL;

    (void)c;
    t->signs += !file;
    t->files += file;
    t->b.spy.fail_put = file ? t->file : t->sign;
}

static void try_first_file(struct tries *t, int64_t ms)
{
    bench_open(&t->b);
    begin_late(&t->b);
    t->b.spy.in_put = count_tries;
    t->b.spy.arg = t;
    push_snapshot(&t->b);
    run(&t->b, ms);
}

/* Where the sign could not be written, as when credentials expire, the file was sent without, and
 * its process was killed. (Seed 987,968 of the simulator.) It waits for five attempts. */
static void test_a_file_of_which_nothing_told_was_sent(void **state)
{
    struct tries t = {.sign = WR_BUSY};

    (void)state;
    try_first_file(&t, 0);
    T(t.signs == 1 && t.files == 0 && status(&t.b).failing && status(&t.b).error == WR_BUSY);
    t.sign = WR_OK;
    run(&t.b, 60000);
    T(t.signs == 2 && t.files == 1 && status(&t.b).pos.txid == 1 && !status(&t.b).failing);
    bench_close(&t.b);
    t = (struct tries){.sign = WR_BUSY};
    try_first_file(&t, 5 * 60000);
    T(t.signs == 5 && t.files == 1 && status(&t.b).pos.txid == 1 && !status(&t.b).failing);
    bench_close(&t.b);
}

/* Announced before it was sent, it was not signed behind: who had signed meanwhile had gone over
 * the announcement, was not noticed for half an hour, and was not told. */
static void sign_over(void *arg, struct wr_call *c, struct wr_str key)
{
    struct bench *b = arg;

    (void)c;
    if (!strstr(key.p, "ltx/"))
        return;
    b->spy.in_put = NULL;
    T(!is_anothers(b));
    sign_as_another(b);
}

static void test_who_signed_behind_an_announcement_was_not_told(void **state)
{
    (void)state;
    for (int leaps = 0; leaps <= 1; leaps++) {
        struct bench b;

        bench_open(&b);
        b.ops.caps &= ~(unsigned)WR_STORAGE_LIST_NOW;
        if (leaps)
            put_rival(&b, 1);
        wr_replica_start(b.r);
        run(&b, 0);
        b.spy.in_put = sign_over;
        b.spy.arg = &b;
        if (leaps)
            push_span(&b, 2, WR_TXID_LEAP, 0);
        else
            push_snapshot(&b);
        run(&b, 0);
        T(!b.spy.in_put && status(&b).pos.txid == (leaps ? 2 + WR_TXID_LEAP : 1));
        T(!is_anothers(&b));
        b.spy.lists = 0;
        run(&b, 61000);
        push(&b, status(&b).pos.txid + 1); /* nor was he looked for within half an hour */
        run(&b, 0);
        T(b.spy.lists > 0);
        bench_close(&b);
    }
}

/* While the sign was read, for ten seconds where no answer comes, another one was promoted on that
 * file, and the lease was taken from it as that of an emptied replica's past. */
static void promote_another(void *arg)
{
    struct bench *b = arg;
    struct wr_storage *s = spy_bucket(&b->spy);
    struct wr_lease_seen seen = {0};
    struct wr_lease l;
    struct wr_err e = {0};

    b->spy.in_get = NULL;
    T_OK(wr_lease_look(s, t_call(), &seen, &e));
    T_OK(wr_lease_take(s, t_call(), &seen, 9, "nine:/a", &l, &e));
    wr_storage_close(s);
}

static void promote_behind(void *arg, struct wr_call *c, struct wr_str key)
{
    struct bench *b = arg;

    (void)c;
    if (strstr(key.p, "ltx/"))
        b->spy.in_get = promote_another;
}

static void test_the_lease_was_taken_from_who_was_promoted_on_the_first_file(void **state)
{
    struct wr_lease_seen seen = {0};
    struct wr_parcel *p = parcel(1, 0, WALL);
    struct wr_storage *s;
    struct bench b;
    struct wr_err e = {0};

    (void)state;
    bench_open(&b);
    begin_late(&b);
    b.spy.in_put = promote_behind;
    b.spy.arg = &b;
    p->level = WR_LEVEL_SNAPSHOT;
    p->header.node_id = 7;
    T(wr_replica_push(b.r, p, status(&b).found));
    wr_parcel_unref(p);
    run(&b, 0);
    T(!b.spy.in_get && status(&b).pos.txid == 1);
    s = spy_bucket(&b.spy);
    T_OK(wr_lease_look(s, t_call(), &seen, &e));
    T(seen.lease.epoch == 1 && seen.lease.node == 9);
    wr_storage_close(s);
    bench_close(&b);
}

/* Until the next look, and where nothing more is written there is none. */
static void fail_behind(void *arg, struct wr_call *c, struct wr_str key)
{
    struct bench *b = arg;

    (void)c;
    if (strstr(key.p, "ltx/"))
        b->spy.fail_get = WR_BUSY;
}

static void test_what_was_sent_was_not_said_as_its_sign_could_not_be_read(void **state)
{
    (void)state;
    for (int signs = 0; signs <= 1; signs++) {
        struct bench b;

        bench_open(&b);
        begin_late(&b);
        b.spy.in_put = fail_behind;
        b.spy.fail_in = WR_WRITER_NAME;
        b.spy.arg = &b;
        push_snapshot(&b);
        run(&b, 1000);
        for (uint64_t txid = 2; txid < 12; txid++) {
            push(&b, txid);
            run(&b, 60000); /* none of which waits for it */
            T(status(&b).pos.txid == txid && !status(&b).failing);
        }
        T(counts(&b).last.max == 0);
        b.spy.in_put = NULL;
        b.spy.fail_get = WR_OK;
        if (signs)
            sign_as_another(&b);
        run(&b, HALF_HOUR);
        T(counts(&b).last.max == 11 && !is_anothers(&b));
        bench_close(&b);
    }
}

/* Nor was it looked for before that was said, as what is owed by a file of one TXID. */
static void test_a_sign_that_is_to_be_read_was_gone_by(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    b.spy.fail_get = WR_BUSY;
    b.spy.fail_in = WR_WRITER_NAME;
    push_long(&b, 7);
    run(&b, 0);
    b.spy.fail_get = WR_OK;
    sign_as_another(&b);
    run(&b, HALF_HOUR);
    T(counts(&b).last.max == 7 && !is_anothers(&b));
    bench_close(&b);
}

/* Nor where it could not be written just then, and there was nothing more to send. Where it may not
 * be, nothing is asked for at rest. */
static void test_what_was_sent_was_not_said_as_it_could_not_be_signed(void **state)
{
    (void)state;
    for (int forbidden = 0; forbidden <= 1; forbidden++) {
        struct tries t = {.sign = forbidden ? WR_AUTH : WR_BUSY};

        settled(&t.b);
        sign_as_another(&t.b);
        t.b.spy.in_put = count_tries;
        t.b.spy.arg = &t;
        push_long(&t.b, 7);
        run(&t.b, 0);
        T(status(&t.b).pos.txid == 7 && is_anothers(&t.b));
        t.b.spy.in_put = NULL;
        t.b.spy.fail_put = WR_OK;
        run(&t.b, HALF_HOUR);
        T((counts(&t.b).last.max == 7) == !forbidden && is_anothers(&t.b) == forbidden);
        bench_close(&t.b);
    }
}

/* What is said of the sign is not said of the file. */
static void test_a_sign_in_the_way_was_taken_for_a_file_in_the_way(void **state)
{
    struct tries t = {.sign = WR_CONFLICT};

    (void)state;
    try_first_file(&t, 0);
    T(t.signs == 1 && t.files == 0 && status(&t.b).failing && !status(&t.b).contested);
    T(status(&t.b).queued == 1 && status(&t.b).found == 1);
    run(&t.b, 60000);
    T(t.signs == 5 && t.files == 1 && status(&t.b).pos.txid == 1 && !status(&t.b).failing);
    bench_close(&t.b);
}

/* The first attempt to sign had come, without an answer, and the next ones had not: with nothing
 * listed then it was waited for the files of somebody else. */
static void test_an_older_sign_of_our_own_was_waited_for(void **state)
{
    struct tries t = {.sign = WR_BUSY};
    struct wr_storage *s;
    uint64_t taken;
    struct wr_err e = {0};

    (void)state;
    try_first_file(&t, 0);
    s = spy_bucket(&t.b.spy);
    T_OK(wr_writer_sign(s, t_call(), t_seed() + 1, 1, 1, &e));
    wr_storage_close(s);
    run(&t.b, 1100);
    T(t.signs == 2 && t.files == 0);
    wr_replica_rejoin(t.b.r, "it is asked for");
    run(&t.b, 0);
    T(status(&t.b).state == WR_REPLICA_READY && status(&t.b).found == 2);
    T(wr_replica_taken(t.b.r, 2, &taken) && taken == 0);
    bench_close(&t.b);
}

/* Up to where its writer says that there are files. */
static uint64_t told(struct bench *b)
{
    struct wr_storage *s = spy_bucket(&b->spy);
    uint64_t txid = 0;
    bool is = false;
    struct wr_err e = {0};

    T_OK(wr_writer_other(s, t_call(), 0x1234, 0x1234, &is, &txid, &e));
    wr_storage_close(s);
    return txid;
}

/* Credentials had expired for longer than five attempts take: the file was sent behind them, with
 * nothing that told of it. (Seed 1,065,719 of the simulator.) It waits while nothing is served. */
static void test_a_file_was_sent_unsigned_as_all_had_failed(void **state)
{
    struct tries t = {.sign = WR_AUTH};

    (void)state;
    try_first_file(&t, 0);
    t.b.spy.fail_list = WR_AUTH;
    run(&t.b, 10 * 60000);
    T(t.signs > 10 && t.files == 0 && status(&t.b).failing && status(&t.b).error == WR_AUTH);
    t.sign = t.b.spy.fail_list = WR_OK;
    run(&t.b, 60000);
    T(t.files == 1 && status(&t.b).pos.txid == 1 && told(&t.b) == 1);
    bench_close(&t.b);
}

/* However often the first file has to be tried; but each time where that fails, as by then it may
 * be written: where nothing could be for a while, the file was sent untold when that was over. */
static void test_the_first_file_is_announced_once(void **state)
{
    (void)state;
    for (int forbidden = 0; forbidden <= 1; forbidden++) {
        struct tries t = {.file = WR_BUSY, .sign = forbidden ? WR_AUTH : WR_OK};

        try_first_file(&t, 5 * 60000);
        T(t.files > 2 && t.signs == (forbidden ? t.files + 4 : 1));
        t.sign = t.file = WR_OK;
        run(&t.b, 60000);
        T(status(&t.b).pos.txid == 1 && told(&t.b) == 1);
        bench_close(&t.b);
    }
}

/* Where a prefix with nothing under it is answered with "not found". */
static void test_a_listing_that_found_nothing_was_no_answer(void **state)
{
    struct tries t = {.sign = WR_AUTH};

    (void)state;
    try_first_file(&t, 0);
    t.b.spy.fail_list = WR_NOTFOUND;
    run(&t.b, 60000);
    T(t.signs == 5 && t.files == 1 && status(&t.b).pos.txid == 1);
    bench_close(&t.b);
}

/* It has given none of them itself; a file that follows others needs no sign. */
static void test_a_restart_signs_for_what_it_has_found(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    b.ops.caps &= ~(unsigned)WR_STORAGE_LIST_NOW;
    start_another(&b);
    half_hour(&b, 7);
    T(told(&b) == 6 && status(&b).pos.txid == 7);
    start_another(&b);
    push(&b, 8);
    run(&b, 0);
    T(b.spy.puts == 1 && told(&b) == 6 && status(&b).pos.txid == 8);
    bench_close(&b);
}

/* It counts for the listing that showed nothing, and for no other. */
static void test_txids_that_another_one_has_taken(void **state)
{
    struct bench b;
    uint64_t taken;

    (void)state;
    bench_open(&b);
    b.ops.caps &= ~(unsigned)WR_STORAGE_LIST_NOW;
    sign_as_another(&b);
    wr_replica_start(b.r);
    run(&b, 0);
    T(status(&b).found == 0 && status(&b).failing);
    run(&b, 60000);
    T(status(&b).found == 1 && status(&b).pos.txid == 0);
    T(wr_replica_taken(b.r, 1, &taken) && taken == 9);
    T(!wr_replica_taken(b.r, 0, &taken) && taken == 0 && !wr_replica_taken(b.r, 2, &taken));
    push_snapshot(&b);
    run(&b, 0);
    wr_replica_rejoin(b.r, "a test");
    run(&b, 60000);
    T(status(&b).found == 2 && status(&b).pos.txid == 1);
    T(!wr_replica_taken(b.r, 2, &taken) && taken == 0);
    bench_close(&b);
}

/* As a run with -once ends. */
static void end_it(struct bench *b)
{
    if (status(b).pos.txid == 3)
        wr_replica_cancel(b->r);
}

static void test_who_was_told_ended_it_before_it_signed(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    sign_as_another(&b);
    put_rival(&b, 1);
    start(&b);
    b.told = end_it;
    push_wide(&b, 2);
    run(&b, 0);
    T(status(&b).pos.txid == 3 && !is_anothers(&b));
    bench_close(&b);
}

static void end_what_stopped(struct bench *b)
{
    if (status(b).state == WR_REPLICA_STOPPED)
        wr_replica_cancel(b->r);
}

static void promote_before(void *arg, struct wr_call *c, struct wr_str key)
{
    struct bench *b = arg;

    (void)c;
    if (strstr(key.p, "ltx/")) {
        b->spy.in_put = NULL;
        promote_another(b);
    }
}

/* Nor when the file does not count, as somebody else was promoted: he has to find it. */
static void test_who_had_lost_was_told_before_it_signed(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    sign_as_another(&b);
    put_rival(&b, 1);
    start(&b);
    b.told = end_what_stopped;
    b.spy.in_put = promote_before;
    b.spy.arg = &b;
    push_span(&b, 2, 1, 7);
    run(&b, 0);
    T(status(&b).state == WR_REPLICA_STOPPED && !is_anothers(&b));
    bench_close(&b);
}

/* The file is there, and nobody has said so. */
static void test_a_wide_file_whose_answer_was_lost_is_signed(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    sign_as_another(&b);
    put_rival(&b, 1);
    start(&b);
    b.spy.after_put = WR_TIMEOUT;
    push_wide(&b, 2);
    run(&b, 0);
    T(status(&b).failing && is_anothers(&b));
    b.spy.after_put = WR_OK;
    wr_replica_rejoin(b.r, "a test");
    run(&b, 0);
    T(status(&b).found == 2 && !is_anothers(&b));
    b.spy.lists = 0;
    half_hour(&b, 4);
    T(b.spy.lists > 0); /* as it was listed before it was signed */
    bench_close(&b);
}

/* What another one had sent before it signed is in a listing that begins when that sign is gone. */
static void sign_meanwhile(void *arg)
{
    struct bench *b = arg;

    b->spy.after_list = NULL;
    put_wide(b, 8);
    sign_as_another(b);
}

static void test_a_sign_that_came_during_a_listing_was_written_over(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    sign_as_another(&b);
    b.spy.after_list = sign_meanwhile;
    b.spy.arg = &b;
    half_hour(&b, 7);
    T(b.spy.after_list == NULL && status(&b).found == 1 && status(&b).pos.txid == 7);
    half_hour(&b, 8);
    T(status(&b).found == 2 && status(&b).contested);
    bench_close(&b);
}

/* A rule moves what is old to where it cannot be read; a store says "forbidden" of what is not
 * there. Nothing was sent for hours. */
static void test_what_may_not_be_read_stopped_replication(void **state)
{
    static const enum wr_status said[] = {WR_AUTH, WR_IO, WR_CORRUPT};

    (void)state;
    for (size_t i = 0; i < 2 * wr_countof(said); i++) {
        struct bench b;

        settled(&b);
        if (i % 2)
            b.spy.fail_stat = said[i / 2];
        else
            b.spy.fail_get = said[i / 2];
        b.spy.fail_in = WR_WRITER_NAME;
        half_hour(&b, 7);
        T(status(&b).pos.txid == 7 && status(&b).found == 1 && !status(&b).failing);
        T(b.spy.lists > 0);
        bench_close(&b);
    }
}

static void test_an_emptied_replica_that_is_forbidden(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    for (uint64_t txid = 1; txid <= 6; txid++)
        remove_file(&b, txid);
    b.spy.fail_stat = WR_AUTH;
    half_hour(&b, 7);
    T(status(&b).found == 2 && status(&b).pos.txid == 0 && !status(&b).failing);
    bench_close(&b);
}

/* Written over with the same header, and more behind it: it is listed for once, not each time. */
static void test_a_newest_file_of_another_size_was_listed_for_ever(void **state)
{
    struct bench b;
    struct wr_storage *s;
    struct wr_call *c = t_call();
    struct wr_str key;
    uint8_t bytes[4096];
    size_t n = 0;
    struct wr_err e = {0};

    (void)state;
    settled(&b);
    s = spy_bucket(&b.spy);
    key = wr_layout_ltx_key(c->scratch, s, 0, 6, 6);
    T_OK(wr_storage_get(s, c, key, 0, bytes, sizeof(bytes) - 1, &n, &e));
    T_OK(wr_storage_put(s, c, key, (struct wr_bytes){bytes, n + 1}, NULL, &e));
    wr_storage_close(s);
    run(&b, HALF_HOUR);
    b.spy.fail_put = WR_BUSY; /* so that it stays the newest */
    push(&b, 7);
    run(&b, 0);
    T(b.spy.lists > 0 && status(&b).found == 1);
    b.spy.lists = 0;
    run(&b, HALF_HOUR + 60000);
    T(b.spy.lists == 0 && status(&b).found == 1);
    bench_close(&b);
}

/* The right to write that one name may be missing: it lists, as before, and goes on. */
static void refuse(void *arg, struct wr_call *c, struct wr_str key)
{
    struct bench *b = arg;

    (void)c;
    b->spy.fail_put = wr_str_eq(key, WR_STR(WR_WRITER_NAME)) ? WR_AUTH : WR_OK;
}

static void test_without_the_right_to_sign_it_goes_on(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    b.spy.in_put = refuse;
    b.spy.arg = &b;
    put_rival(&b, 1);
    start(&b);
    for (uint64_t txid = 2; txid <= 5; txid++) {
        b.spy.lists = 0;
        half_hour(&b, txid);
        T(b.spy.lists > 0 && status(&b).pos.txid == txid && !status(&b).failing);
    }
    push_wide(&b, 6);
    run(&b, 0);
    b.spy.puts = 0;
    for (uint64_t txid = 8; txid <= 20; txid++) /* it was tried with each file */
        push(&b, txid);
    run(&b, 0);
    T(status(&b).pos.txid == 20 && b.spy.puts == 13);
    bench_close(&b);
}

/* A database that is let go of whenever it rests has its replica listed anew each time, before a
 * look is due: what was refused once was never written again, and two that wrote did not notice. */
static void test_a_sign_that_failed_once_was_owed_for_ever(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    sign_as_another(&b);
    put_rival(&b, 1);
    start(&b);
    b.spy.in_put = refuse;
    b.spy.arg = &b;
    push_wide(&b, 2);
    run(&b, 0);
    T(status(&b).pos.txid == 3 && is_anothers(&b));
    b.spy.in_put = NULL;
    b.spy.fail_put = WR_OK;
    wr_replica_rejoin(b.r, "a test");
    run(&b, 0);
    T(status(&b).found == 2 && !is_anothers(&b));
    bench_close(&b);
}

/* A store's listing lacked files that were there, and the whole database was sent again. */
static void test_a_listing_of_long_ago_was_believed(void **state)
{
    (void)state;
    for (int forever = 0; forever <= 1; forever++) {
        struct bench b;

        settled(&b);
        sign_as_another(&b); /* so that it lists */
        b.spy.hidden = "0000000000000006-";
        half_hour(&b, 7);
        T(status(&b).failing && status(&b).error == WR_BUSY && status(&b).found == 1);
        T(strstr(why(&b), "out of date") != NULL && status(&b).queued == 1);
        if (!forever)
            b.spy.hidden = NULL;
        run(&b, HALF_HOUR / 3);
        if (forever) {
            T(status(&b).found == 2 && status(&b).pos.txid == 5);
        } else {
            T(status(&b).found == 1 && status(&b).pos.txid == 7 && !status(&b).failing);
        }
        bench_close(&b);
    }
}

/* The same when it is listed anew, and if that shows nothing at all. */
static void test_a_listing_anew_was_of_long_ago(void **state)
{
    static const char *const hidden[] = {"0000000000000006-", "ltx/"};

    (void)state;
    for (size_t i = 0; i < wr_countof(hidden); i++) {
        struct bench b;

        settled(&b);
        b.spy.hidden = hidden[i];
        wr_replica_rejoin(b.r, "a test");
        run(&b, 0);
        T(status(&b).found == 1 && status(&b).failing && status(&b).error == WR_BUSY);
        b.spy.hidden = NULL;
        run(&b, 60000);
        T(status(&b).found == 2 && status(&b).pos.txid == 6 && !status(&b).failing);
        bench_close(&b);
    }
}

/* Five in a row are believed, and not five in all. */
static void test_each_listing_of_long_ago_is_doubted(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    for (unsigned i = 1; i <= 7; i++) {
        b.spy.hidden = "0000000000000006-";
        wr_replica_rejoin(b.r, "a test");
        run(&b, 0);
        T(status(&b).found == i && status(&b).failing && status(&b).error == WR_BUSY);
        b.spy.hidden = NULL;
        run(&b, 60000);
        T(status(&b).found == i + 1 && status(&b).pos.txid == 6 && !status(&b).failing);
    }
    bench_close(&b);
}

/* A start that knew nothing of a replica found no file in an old listing, and began anew over the
 * snapshot that was there. */
static void test_an_old_listing_was_taken_for_an_empty_replica(void **state)
{
    (void)state;
    for (int emptied = 0; emptied <= 1; emptied++) {
        struct bench b;

        settled(&b);
        open_another(&b);
        b.ops.caps &= ~(unsigned)WR_STORAGE_LIST_NOW;
        b.spy.hidden = "ltx/";
        wr_replica_start(b.r);
        run(&b, 0);
        T(status(&b).found == 0 && status(&b).failing && status(&b).error == WR_BUSY);
        T(strstr(why(&b), WR_WRITER_NAME) != NULL);
        if (!emptied)
            b.spy.hidden = NULL;
        run(&b, HALF_HOUR / 3);
        T(status(&b).found == 1 && !status(&b).failing);
        T(status(&b).pos.txid == (emptied ? 0 : 6));
        wr_replica_rejoin(b.r, "a test");
        run(&b, 0);
        T(status(&b).found == 2); /* it waited for five listings once more */
        bench_close(&b);
    }
}

/* Where nobody has signed there were no files, and of a directory all of them are shown. */
static void test_what_is_empty_is_believed_at_once(void **state)
{
    (void)state;
    for (int directory = 0; directory <= 1; directory++) {
        struct bench b;

        bench_open(&b);
        if (directory)
            sign_as_another(&b);
        else
            b.ops.caps &= ~(unsigned)WR_STORAGE_LIST_NOW;
        wr_replica_start(b.r);
        run(&b, 0);
        T(status(&b).found == 1 && !status(&b).failing && status(&b).pos.txid == 0);
        bench_close(&b);
    }
}

/* A request that fails is a look that fails: nothing is sent before. */
static void test_a_look_that_fails_comes_again(void **state)
{
    struct bench b;

    (void)state;
    settled(&b);
    b.spy.fail_get = WR_BUSY;
    half_hour(&b, 7);
    T(status(&b).failing && status(&b).pos.txid == 6 && status(&b).queued == 1);
    b.spy.fail_get = WR_OK;
    run(&b, 60000);
    T(status(&b).pos.txid == 7 && !status(&b).failing && b.spy.lists == 0);
    bench_close(&b);
}

T_MAIN(T_TEST(test_each_look_listed_twice_and_more), T_TEST(test_another_one_that_signed_is_found),
    T_TEST(test_a_sign_without_files_is_written_over),
    T_TEST(test_what_was_deleted_is_missed_without_a_listing),
    T_TEST(test_who_sends_a_wide_file_signs), T_TEST(test_a_long_file_is_signed),
    T_TEST(test_each_long_file_voided_what_was_said),
    T_TEST(test_who_sends_no_more_says_what_was_sent),
    T_TEST(test_who_leaves_says_how_far_it_reaches),
    T_TEST(test_who_has_sent_nothing_leaves_without_a_word),
    T_TEST(test_who_cannot_send_leaves_at_once), T_TEST(test_two_that_send_long_files),
    T_TEST(test_a_sign_that_a_long_file_went_over_was_forgotten),
    T_TEST(test_who_began_with_a_long_file_said_nothing_of_the_past),
    T_TEST(test_a_sign_that_cannot_be_read_behind_a_long_file),
    T_TEST(test_what_was_said_of_an_emptied_replica_held_for_its_next_one),
    T_TEST(test_the_first_file_was_under_way_unsigned), T_TEST(test_what_a_first_start_asks_for),
    T_TEST(test_a_file_of_which_nothing_told_was_sent),
    T_TEST(test_who_signed_behind_an_announcement_was_not_told),
    T_TEST(test_the_lease_was_taken_from_who_was_promoted_on_the_first_file),
    T_TEST(test_what_was_sent_was_not_said_as_its_sign_could_not_be_read),
    T_TEST(test_a_sign_that_is_to_be_read_was_gone_by),
    T_TEST(test_what_was_sent_was_not_said_as_it_could_not_be_signed),
    T_TEST(test_a_listing_that_found_nothing_was_no_answer),
    T_TEST(test_who_had_lost_was_told_before_it_signed),
    T_TEST(test_a_sign_in_the_way_was_taken_for_a_file_in_the_way),
    T_TEST(test_an_older_sign_of_our_own_was_waited_for),
    T_TEST(test_a_file_was_sent_unsigned_as_all_had_failed),
    T_TEST(test_the_first_file_is_announced_once), T_TEST(test_txids_that_another_one_has_taken),
    T_TEST(test_a_restart_signs_for_what_it_has_found),
    T_TEST(test_who_was_told_ended_it_before_it_signed),
    T_TEST(test_a_wide_file_whose_answer_was_lost_is_signed),
    T_TEST(test_a_sign_that_came_during_a_listing_was_written_over),
    T_TEST(test_what_may_not_be_read_stopped_replication),
    T_TEST(test_an_emptied_replica_that_is_forbidden),
    T_TEST(test_a_newest_file_of_another_size_was_listed_for_ever),
    T_TEST(test_without_the_right_to_sign_it_goes_on),
    T_TEST(test_a_sign_that_failed_once_was_owed_for_ever),
    T_TEST(test_a_listing_of_long_ago_was_believed), T_TEST(test_a_listing_anew_was_of_long_ago),
    T_TEST(test_each_listing_of_long_ago_is_doubted),
    T_TEST(test_an_old_listing_was_taken_for_an_empty_replica),
    T_TEST(test_what_is_empty_is_believed_at_once), T_TEST(test_a_look_that_fails_comes_again))
