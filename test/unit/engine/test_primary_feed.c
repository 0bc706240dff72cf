/*
 * test_primary_feed.c - what a database hands to those who follow it: whatever applications do, and
 * however long a reader was away, what it gets gives exactly the database.
 */
#include "base/mem.h"
#include "base/rand.h"
#include "engine/feed.h"
#include "engine/feed_record.h"
#include "engine/parcel.h"
#include "harness/engine_world.h"
#include "ltx/dec.h"

#define SECOND    ((int64_t)1000000000)
#define PAGE      4096u
#define PAGES_MAX 3000u

/* A follower of the simplest kind: it believes nothing but its own sum of all pages. */
struct reader {
    struct wr_feed_at at;
    uint8_t *image;
    uint32_t commit;
    uint64_t rolling, base; /* of it, and of TXID at.txid */
    unsigned files, parts, closes, mores;
};

struct reading {
    struct wr_bytes rest;
};

static enum wr_status read_some(void *arg, void *buf, size_t n, struct wr_err *e)
{
    struct reading *r = arg;

    if (n > r->rest.n)
        return wr_fail(e, WR_CORRUPT, "the end");
    memcpy(buf, r->rest.p, n);
    r->rest.p += n;
    r->rest.n -= n;
    return WR_OK;
}

static uint64_t sum_of(const struct reader *r)
{
    uint64_t sum = WR_LTX_CHECKSUM_EMPTY;

    for (uint32_t p = 1; p <= r->commit; p++)
        if (p != wr_ltx_lock_pgno(PAGE, WORLD_LOW_LOCK))
            sum = wr_ltx_rolling(
                sum, 0, wr_ltx_page_checksum(p, r->image + (size_t)(p - 1) * PAGE, PAGE));
    return sum;
}

static void apply(struct reader *r, const struct wr_feed_record *x)
{
    struct reading in = {x->body};
    struct wr_ltx_dec *dec = NULL;
    struct wr_ltx_header h = {0};
    static uint8_t page[PAGE];
    struct wr_err e = {0};
    uint32_t pgno;
    enum wr_status st;

    T_OK(wr_ltx_dec_new(read_some, &in, x->body.n, WORLD_LOW_LOCK, &dec, &e));
    T_OK(wr_ltx_dec_header(dec, &h, &e));
    T(h.page_size == PAGE && h.commit <= PAGES_MAX && h.has_rolling);
    if (x->kind == WR_FEED_PART) {
        T(h.min_txid == x->from + x->part && h.max_txid == h.min_txid);
        T(h.rolling_pre == (x->part == 1 ? r->base : r->rolling));
    } else {
        T(h.min_txid == x->from + 1 && h.max_txid == x->txid && h.rolling_pre == r->base);
    }
    while ((st = wr_ltx_dec_page(dec, &pgno, page, &e)) == WR_OK)
        memcpy(r->image + (size_t)(pgno - 1) * PAGE, page, PAGE);
    T(st == WR_NOTFOUND);
    wr_ltx_dec_free(dec);
    r->commit = h.commit;
    r->rolling = h.rolling_post;
    T(sum_of(r) == r->rolling);
}

/* All that there is now. OK, or NOTFOUND: the bucket has it. */
static enum wr_status catch_up(struct world *w, struct reader *r)
{
    struct wr_err e = {0};
    struct wr_buf out;
    enum wr_status st;

    wr_buf_init(&out, (size_t)64 << 20);
    for (;;) {
        struct wr_feed_at told = r->at;
        struct wr_bytes rest;

        st = wr_db_feed_read(w->db, &told, 0, NULL, &out, &e);
        if (st != WR_OK)
            break;
        rest = wr_buf_bytes(&out);

        while (rest.n > 0) {
            struct wr_feed_record x;

            T_OK(wr_feed_record_next(&rest, &x, &e));
            T(x.from == r->at.txid);
            if (x.kind == WR_FEED_MORE) {
                T(r->at.part == 0 || x.life == r->at.life);
                r->at.more = true;
                r->mores++;
                continue;
            }
            if (x.kind == WR_FEED_CLOSE) {
                T(x.part == r->at.part && x.life == r->at.life && x.rolling == r->rolling);
                r->closes++;
            } else {
                apply(r, &x);
            }
            r->files += x.kind == WR_FEED_FILE;
            r->parts += x.kind == WR_FEED_PART;
            if (x.kind != WR_FEED_PART)
                r->base = r->rolling;
            r->at = (struct wr_feed_at){
                .txid = x.txid, .life = x.life, .part = x.kind == WR_FEED_PART ? x.part : 0};
        }
        /* Who reads is told where that leads: the state that the records make. */
        T(told.txid == r->at.txid && told.life == r->at.life && told.part == r->at.part);
        T(told.more == r->at.more);
        wr_buf_clear(&out);
    }
    wr_buf_release(&out);
    return st == WR_TIMEOUT ? WR_OK : st;
}

/* As if it had restored TXID `txid` from the bucket. */
static void begin_at(struct world *w, struct reader *r, uint64_t txid)
{
    struct wr_bytes is = world_restore(w, 0, txid);

    memcpy(r->image, is.p, is.n);
    r->commit = (uint32_t)(is.n / PAGE);
    r->at = (struct wr_feed_at){.txid = txid};
    r->rolling = r->base = sum_of(r);
}

static bool is_same(struct world *w, const struct reader *r)
{
    struct wr_bytes want = world_image(w);

    if (want.n != (size_t)r->commit * PAGE)
        return false;
    for (uint32_t p = 1; p <= r->commit; p++) {
        size_t off = (size_t)(p - 1) * PAGE;

        if (p != wr_ltx_lock_pgno(PAGE, WORLD_LOW_LOCK) &&
            memcmp(want.p + off, r->image + off, PAGE) != 0)
            return false;
    }
    return true;
}

static void check_is(struct world *w, const struct reader *r)
{
    T(is_same(w, r));
}

static void open_world(struct world *w, struct reader *r)
{
    static struct wr_parcel_room room; /* what is large is not for followers, wherever it is */

    wr_parcel_room_init(&room, WR_PARCEL_MEMORY_MAX, WR_PARCEL_ROOM_MAX, 2 * WR_PARCEL_ROOM_MAX);
    world_open(w, 1);
    w->opts.room = &room;
    w->interval_ns = 10 * SECOND;
    w->opts.lock_offset = WORLD_LOW_LOCK;
    world_app(w);
    world_sql(w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE TABLE u(b);"
                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200)"
                 " INSERT INTO t SELECT i, randomblob(900) FROM n");
    world_start(w);
    *r = (struct reader){.image = wr_array(PAGES_MAX, PAGE)};
    T(r->image);
    (void)world_sync(w);
    world_sql(w, "UPDATE t SET b=0 WHERE a=1"); /* the first one does not wait for the interval */
    begin_at(w, r, world_sync(w));
}

static void close_world(struct world *w, struct reader *r)
{
    struct wr_parcel_room *room = w->opts.room;

    world_close(w);
    wr_parcel_room_rest(room);
    wr_free(r->image);
}

/* A commit is there long before the sync interval, and costs no request. */
static void test_a_commit_is_handed_out_at_once(void **state)
{
    struct reader r;
    struct world w;
    uint64_t txid;

    (void)state;
    open_world(&w, &r);
    txid = r.at.txid;
    T(catch_up(&w, &r) == WR_NOTFOUND); /* nobody has asked before */
    world_run(&w, SECOND / 100);
    T(catch_up(&w, &r) == WR_OK);
    for (int i = 0; i < 20; i++) {
        world_sql(&w, "UPDATE t SET b=randomblob(900) WHERE a=1 + abs(random()) % 190");
        world_run(&w, SECOND / 100);
        T(catch_up(&w, &r) == WR_OK);
        check_is(&w, &r);
    }
    T(r.at.txid == txid && r.parts == 20 && r.at.part == 20);
    world_run(&w, 11 * SECOND); /* the interval: the same, now with a number */
    T(catch_up(&w, &r) == WR_OK);
    T(r.at.txid == txid + 1 && r.closes == 1 && r.files == 0 && r.at.part == 0);
    close_world(&w, &r);
}

/* Whoever follows was told that there is nothing new until the TXID was closed. */
static void test_a_commit_too_large_for_a_part_is_told(void **state)
{
    struct reader r;
    struct world w;

    (void)state;
    open_world(&w, &r);
    (void)catch_up(&w, &r);
    world_run(&w, SECOND / 100);
    T(catch_up(&w, &r) == WR_OK);
    for (unsigned i = 1; i < 4; i++) {
        world_sql(&w, "UPDATE t SET b=randomblob(900) WHERE a=1");
        world_run(&w, SECOND / 100);
        T(catch_up(&w, &r) == WR_OK && !r.at.more);
        world_sql(&w, "INSERT INTO u VALUES(randomblob(600000))");
        world_run(&w, SECOND / 100);
        T(catch_up(&w, &r) == WR_OK);
        T(r.at.more && r.mores == i && r.at.part == 1 && !is_same(&w, &r));
        if (catch_up(&w, &r) != WR_OK || i % 2)
            world_sql(&w, "UPDATE t SET b=7 WHERE a=2"); /* no part comes behind it */
        world_run(&w, SECOND / 100);
        T(catch_up(&w, &r) == WR_OK && r.mores == i && r.parts == i);
        begin_at(&w, &r, world_sync(&w)); /* memory does not have it */
        T(catch_up(&w, &r) == WR_OK && !r.at.more);
        check_is(&w, &r);
    }
    close_world(&w, &r);
}

/* A TXID that memory does not hold, of which each commit was a part: whoever had them all was sent
 * to the bucket with the others. */
static void test_a_large_txid_of_small_commits_needs_no_bucket(void **state)
{
    struct reader r, late;
    struct world w;

    (void)state;
    open_world(&w, &r);
    late = (struct reader){.image = wr_array(PAGES_MAX, PAGE)};
    T(late.image);
    (void)catch_up(&w, &r);
    world_run(&w, SECOND / 100);
    T(catch_up(&w, &r) == WR_OK);
    for (unsigned i = 1; i < 4; i++) {
        begin_at(&w, &late, r.at.txid);
        for (int k = 0; k < 3; k++) {
            world_sql(&w, "INSERT INTO u VALUES(randomblob(300000))");
            world_run(&w, SECOND / 100);
            T(catch_up(&w, &r) == WR_OK && !r.at.more && is_same(&w, &r));
        }
        world_run(&w, 11 * SECOND);
        T(catch_up(&w, &r) == WR_OK);
        T(r.closes == i && r.files == 0 && r.parts == 3 * i && r.at.part == 0);
        T(catch_up(&w, &late) == WR_NOTFOUND);
        check_is(&w, &r);
    }
    wr_free(late.image);
    close_world(&w, &r);
}

/* Nobody asks: nothing is captured before its time, and nothing kept. */
static void test_without_readers_nothing_is_done(void **state)
{
    struct wr_db_status before, after;
    struct reader r;
    struct world w;

    (void)state;
    open_world(&w, &r);
    (void)catch_up(&w, &r);
    world_run(&w, 31 * SECOND);
    wr_db_status(w.db, &before);
    world_sql(&w, "UPDATE t SET b=1 WHERE a=1");
    world_run(&w, SECOND / 10);
    world_sql(&w, "UPDATE t SET b=1 WHERE a=2");
    world_run(&w, SECOND / 10);
    wr_db_status(w.db, &after);
    T(after.counts.captures.n <= before.counts.captures.n + 1);
    T(catch_up(&w, &r) == WR_OK); /* what was closed since is there */
    world_run(&w, 700 * SECOND);
    world_sql(&w, "UPDATE t SET b=1 WHERE a=3");
    (void)world_sync(&w);
    T(catch_up(&w, &r) == WR_NOTFOUND);
    close_world(&w, &r);
}

/* Pages change, come, and go; the WAL is reset; readers come at any time, and stay away. */
static void test_any_course_gives_the_database(void **state)
{
    static const char *const kinds[] = {
        "UPDATE t SET b=randomblob(900) WHERE a % 20 = abs(random()) % 20",
        "INSERT INTO t(b) SELECT randomblob(1500) FROM t LIMIT 30",
        "DELETE FROM t WHERE a % 3 = abs(random()) % 3",
        "DELETE FROM t WHERE a > 150; VACUUM",
        "INSERT INTO u VALUES(randomblob(90000))",
        "DELETE FROM u; VACUUM",
        "CREATE TABLE IF NOT EXISTS x(a)",
        "DROP TABLE IF EXISTS x",
        "INSERT INTO u VALUES(randomblob(3000000))",
    };
    struct wr_rand rng;
    struct reader r;
    struct world w;
    unsigned lost = 0, at_once = 0;

    (void)state;
    wr_rand_init(&rng, t_seed());
    world_low_lock_page();
    open_world(&w, &r);
    (void)catch_up(&w, &r);
    for (int i = 0; i < 150; i++) {
        for (uint64_t n = wr_rand_below(&rng, 3) + 1; n > 0; n--) {
            world_sql(&w, kinds[wr_rand_below(&rng, i % 10 ? 8 : 9)]);
            if (wr_rand_below(&rng, 2))
                world_run(&w, (int64_t)wr_rand_below(&rng, 20000000));
        }
        if (wr_rand_below(&rng, 20) == 0)
            world_run(&w, 70 * SECOND); /* checkpoints, and nobody reads for a while */
        else if (wr_rand_below(&rng, 4) == 0)
            (void)world_sync(&w);
        if (wr_rand_below(&rng, 15) == 0) { /* another life, of the same database */
            world_stop(&w);
            world_start(&w);
            (void)world_sync(&w);
        }
        world_run(&w, SECOND / 50);
        if (wr_rand_below(&rng, 3) == 0)
            continue;
        if (catch_up(&w, &r) != WR_OK) {
            lost++;
            begin_at(&w, &r, world_sync(&w));
            world_run(&w, SECOND / 50);
            T(catch_up(&w, &r) == WR_OK);
        }
        world_run(&w, SECOND / 50);
        T(catch_up(&w, &r) == WR_OK);
        at_once += is_same(&w, &r);
        T(is_same(&w, &r) == !r.at.more); /* as it was told */
        if (is_same(&w, &r))
            continue;
        (void)world_sync(&w); /* it was too large for a part, or for memory */
        if (catch_up(&w, &r) != WR_OK)
            begin_at(&w, &r, world_sync(&w));
        check_is(&w, &r);
    }
    T(at_once > 30 && r.parts > 20 && r.files + r.closes > 5 && lost < 60);
    T(w.errors == 0);
    close_world(&w, &r);
}

/* A killed primary comes back with what it had: whoever has parts of its old life goes to the
 * bucket for that, and has parts of the new one behind it. */
static void test_a_new_life_counts_its_own_parts(void **state)
{
    struct reader r;
    struct world w;
    uint64_t life;

    (void)state;
    open_world(&w, &r);
    (void)catch_up(&w, &r);
    world_run(&w, SECOND / 100);
    world_sql(&w, "UPDATE t SET b=randomblob(900) WHERE a < 50");
    world_run(&w, SECOND / 100);
    T(catch_up(&w, &r) == WR_OK && r.parts == 1);
    world_stop(&w);
    world_sql(&w, "UPDATE t SET b=randomblob(900) WHERE a < 20");
    world_start(&w);
    life = r.at.life;
    for (int i = 0; i < 3; i++) { /* that it had was closed when the replica joined */
        T(catch_up(&w, &r) == WR_NOTFOUND);
        world_run(&w, SECOND / 100);
    }
    begin_at(&w, &r, world_sync(&w));
    T(catch_up(&w, &r) == WR_OK);
    world_sql(&w, "UPDATE t SET b=randomblob(900) WHERE a < 30");
    world_run(&w, SECOND / 100);
    T(catch_up(&w, &r) == WR_OK);
    T(r.at.life != life);
    check_is(&w, &r);
    close_world(&w, &r);
}

/* A part that there is no memory for is left out, and replication does not notice. */
static void test_without_memory_for_parts_files_come(void **state)
{
    struct reader r;
    struct world w;

    (void)state;
    open_world(&w, &r);
    (void)catch_up(&w, &r);
    world_run(&w, SECOND / 100);
    for (int64_t nth = 0; nth < 60; nth++) {
        world_sql(&w, "UPDATE t SET b=randomblob(900) WHERE a=5; INSERT INTO t(b) VALUES(7)");
        wr_mem_fail_after(nth);
        world_run(&w, SECOND / 100);
        wr_mem_fail_after(-1);
        (void)world_sync(&w);
        if (catch_up(&w, &r) != WR_OK) {
            begin_at(&w, &r, world_sync(&w));
            (void)catch_up(&w, &r);
            world_run(&w, SECOND / 100);
        }
        T(catch_up(&w, &r) == WR_OK);
        check_is(&w, &r);
    }
    close_world(&w, &r);
}

T_MAIN(cmocka_unit_test(test_a_commit_is_handed_out_at_once),
    cmocka_unit_test(test_a_commit_too_large_for_a_part_is_told),
    cmocka_unit_test(test_a_large_txid_of_small_commits_needs_no_bucket),
    cmocka_unit_test(test_without_readers_nothing_is_done),
    cmocka_unit_test(test_any_course_gives_the_database),
    cmocka_unit_test(test_a_new_life_counts_its_own_parts),
    cmocka_unit_test(test_without_memory_for_parts_files_come))
