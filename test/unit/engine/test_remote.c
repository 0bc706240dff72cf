/*
 * test_remote.c - where a replica stands, against a model of its history; and whether an object is
 * the file that we think it is.
 */
#include "engine/remote.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/rand.h"
#include "engine/layout.h"
#include "engine/plan.h"
#include "harness/ltx_util.h"
#include "unit/engine/spy_store.h"

#define TXIDS 60

/* The state at each TXID is told by these. */
static uint64_t rolling_of(uint64_t txid)
{
    return (txid * UINT64_C(0x9e3779b97f4a7c15)) | WR_LTX_CHECKSUM_EMPTY;
}

/* `twist` makes the state that it leads to another one. */
static void put_twisted(
    struct wr_storage *s, unsigned level, uint64_t min, uint64_t max, bool rolling, uint64_t twist)
{
    struct wr_call *c = t_call();
    uint8_t file[WR_LTX_HEADER_SIZE + 60] = {0};
    struct wr_ltx_header h = {.page_size = 4096,
        .commit = (uint32_t)max + 10,
        .min_txid = min,
        .max_txid = max,
        .time_ms = 1000 + (int64_t)max,
        .has_rolling = rolling};
    struct wr_err e = {0};

    if (rolling) {
        h.rolling_pre = min == 1 ? WR_LTX_CHECKSUM_EMPTY : rolling_of(min - 1);
        h.rolling_post = rolling_of(max) ^ twist;
    }
    T_OK(wr_ltx_header_put(file, &h, &e));
    T_OK(wr_storage_put(s, c, wr_layout_ltx_key(c->scratch, s, level, min, max),
        (struct wr_bytes){file, sizeof(file)}, NULL, &e));
}

static void put_file(struct wr_storage *s, unsigned level, uint64_t min, uint64_t max, bool rolling)
{
    put_twisted(s, level, min, max, rolling, 0);
}

static void check_pos(const struct wr_remote_pos *pos, uint64_t txid, bool rolling)
{
    T(pos->txid == txid && pos->has_rolling == rolling);
    T(pos->rolling == (rolling ? rolling_of(txid) : 0));
    T(pos->page_size == 4096 && pos->commit == (uint32_t)txid + 10);
    T(pos->time_ms == 1000 + (int64_t)txid);
}

/* As a look does that found the TXID `since` before: 0 for the first one. */
static enum wr_status find(
    struct wr_storage *s, uint64_t since, struct wr_remote_pos *ret, struct wr_err *e)
{
    struct wr_remote_seen seen = {0};
    struct wr_remote_pos pos;
    enum wr_status st = since > 0 ? wr_remote_find(s, t_call(), &seen, NULL, &pos, e) : WR_OK;

    seen.since = since;
    return st == WR_OK ? wr_remote_find(s, t_call(), &seen, NULL, ret, e) : st;
}

static void test_empty_replica(void **state)
{
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);
    struct wr_remote_pos pos = {.txid = 9};
    struct wr_err e = {0};

    (void)state;
    T_OK(find(s, 0, &pos, &e));
    T(pos.txid == 0 && !pos.has_rolling && pos.page_size == 0);
    pos.txid = 9;
    T_OK(find(s, 77, &pos, &e));
    T(pos.txid == 0);
    wr_storage_close(s);
}

/* Histories as capture, compaction, snapshots and retention leave them. */
static void test_random_histories(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 300; round++) {
        struct spy spy;
        struct wr_storage_ops ops;
        struct wr_storage *s = spy_open(&spy, &ops);
        uint64_t newest = 0, kept_from = 1 + wr_rand_below(&r, TXIDS), ends[TXIDS + 1];
        bool rolling = wr_rand_below(&r, 2);
        size_t n = 0;

        while (newest < 1 + wr_rand_below(&r, TXIDS)) {
            uint64_t min = newest + 1, max = min + (wr_rand_below(&r, 4) ? 0 : 3);

            /* Files that retention has removed are in the level above. */
            put_file(
                s, max < kept_from ? 1 + (unsigned)wr_rand_below(&r, 3) : 0, min, max, rolling);
            if (wr_rand_below(&r, 10) == 0)
                put_file(s, WR_LEVEL_SNAPSHOT, 1, max, rolling);
            newest = max;
            ends[n++] = max;
        }
        for (size_t i = 0; i <= n + 1; i++) {
            uint64_t hint = i < n ? ends[i] : i == n ? 0 : newest + 1 + wr_rand_below(&r, 5);
            struct wr_remote_pos pos = {0};
            struct wr_err e = {0};

            T_OK(find(s, hint, &pos, &e));
            check_pos(&pos, newest, rolling);
        }
        wr_storage_close(s);
    }
}

static bool whole(struct wr_storage *s, uint64_t since)
{
    struct wr_remote_pos pos = {0};
    struct wr_err e = {0};

    T_OK(find(s, since, &pos, &e));
    return pos.whole;
}

/* A replica whose beginning was deleted was gone on with as if nothing were wrong. */
static void test_beginning_is_known(void **state)
{
    static const unsigned levels[] = {0, 1, WR_LEVEL_SNAPSHOT};

    (void)state;
    for (size_t i = 0; i < 2 * wr_countof(levels); i++) {
        struct spy spy;
        struct wr_storage_ops ops;
        struct wr_storage *s = spy_open(&spy, &ops);
        uint64_t first = 1 + i % 2;

        put_file(s, levels[i / 2], first, 10, true);
        for (uint64_t txid = 11; txid <= 15; txid++)
            put_file(s, 0, txid, txid, true);
        T(whole(s, 0) == (first == 1));
        T(whole(s, 12)); /* it was, as of there */
        T(whole(s, 17) == (first == 1));
        wr_storage_close(s);
    }
}

/* A file was deleted from the middle; -once exited with 0 ever after, and each restore failed. */
static void test_a_hole_shows(void **state)
{
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);

    (void)state;
    for (uint64_t txid = 1; txid <= 9; txid++) {
        if (txid != 6)
            put_file(s, 0, txid, txid, true);
    }
    T(!whole(s, 0) && !whole(s, 4) && whole(s, 7));
    put_file(s, 2, 5, 6, true);
    T(whole(s, 0));
    put_file(s, 0, 11, 11, true);
    T(!whole(s, 0));
    put_file(s, WR_LEVEL_SNAPSHOT, 1, 10, true);
    T(whole(s, 0));
    wr_storage_close(s);
}

static void remove_one(struct wr_storage *s, unsigned level, uint64_t min, uint64_t max)
{
    struct wr_call *c = t_call();
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, level, min, max);
    struct wr_err e = {0};

    T_OK(wr_storage_remove(s, c, &key, 1, &e));
}

/* All that lay before the last look was taken for one file that is there for ever. */
static void test_a_look_sees_the_beginning_go(void **state)
{
    static const struct {
        unsigned base, next; /* levels of what it begins with */
        unsigned level;      /* of what is removed */
        uint64_t min, max;   /* 0: nothing is */
        bool seen;           /* that it was, which takes a listing of all */
    } cases[] = {
        {9, 0, 0, 0, 0, false},
        {9, 0, 9, 1, 4, true},
        {9, 0, 0, 5, 5, true},
        {9, 0, 0, 8, 8, false}, /* in the middle */
        {9, 1, 0, 0, 0, false},
        {9, 1, 1, 5, 7, true},
        {0, 0, 0, 0, 0, false},
        {0, 0, 0, 1, 4, true},
        {0, 0, 0, 5, 5, true},
        {2, 0, 0, 0, 0, false},
        {2, 0, 2, 1, 4, true},
        {2, 0, 0, 5, 5, true},
        {2, 1, 2, 1, 4, true},
        {2, 1, 1, 5, 7, true},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct wr_remote_seen seen = {0};
        struct spy spy;
        struct wr_storage_ops ops;
        struct wr_storage *s = spy_open(&spy, &ops);
        struct wr_remote_pos pos;
        struct wr_err e = {0};

        put_file(s, cases[i].base, 1, 4, true);
        if (cases[i].next)
            put_file(s, cases[i].next, 5, 7, true);
        for (uint64_t txid = cases[i].next ? 8 : 5; txid <= 20; txid++)
            put_file(s, 0, txid, txid, true);
        T_OK(wr_remote_find(s, t_call(), &seen, NULL, &pos, &e));
        T(pos.whole && seen.since == 0 && seen.base.max == 4 && seen.next.min == 5);
        seen.since = 15;
        if (cases[i].min)
            remove_one(s, cases[i].level, cases[i].min, cases[i].max);
        spy.lists = 0;
        T_OK(wr_remote_find(s, t_call(), &seen, NULL, &pos, &e));
        assert_int_equal(spy.lists, cases[i].seen ? 2 : 1);
        T(pos.whole == !cases[i].seen && !pos.mixed && pos.txid == 20);
        wr_storage_close(s);
    }
}

/* A level that is taken for longer than it is would not be listed from where its files begin. */
static void test_how_far_each_level_reaches(void **state)
{
    struct wr_remote_seen seen = {0};
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);
    struct wr_remote_pos pos;
    struct wr_err e = {0};

    (void)state;
    put_file(s, WR_LEVEL_SNAPSHOT, 1, 4, true);
    put_file(s, 1, 5, 12, true);
    put_file(s, 1, 6, 8, true); /* within another */
    put_file(s, 0, 13, 13, true);
    T_OK(wr_remote_find(s, t_call(), &seen, NULL, &pos, &e));
    T(seen.newest[0] == 13 && seen.newest[1] == 12 && seen.newest[2] == 0);
    T(seen.newest[WR_LEVEL_SNAPSHOT] == 4);
    put_file(s, 0, 14, 14, true);
    seen.since = 13;
    memcpy(seen.ends, seen.newest, sizeof(seen.ends));
    T_OK(wr_remote_find(s, t_call(), &seen, NULL, &pos, &e));
    T(seen.newest[0] == 14 && seen.newest[1] == 12); /* of which nothing was listed */
    remove_one(s, 1, 5, 12);
    put_file(s, 0, 5, 12, true);
    seen.since = 0;
    T_OK(wr_remote_find(s, t_call(), &seen, NULL, &pos, &e));
    T(pos.txid == 14 && seen.newest[1] == 8);
    wr_storage_close(s);
}

/* What was sent itself is nothing new, and needs no listing of all. */
static void test_a_look_knows_what_was_sent(void **state)
{
    struct wr_remote_seen seen = {0};
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);
    struct wr_remote_pos pos;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_remote_find(s, t_call(), &seen, NULL, &pos, &e));
    for (uint64_t txid = 1; txid <= 5; txid++) {
        struct wr_ltx_file f = {
            .level = txid == 1 ? WR_LEVEL_SNAPSHOT : 0, .min = txid, .max = txid};

        put_file(s, f.level, txid, txid, true);
        wr_remote_sent(&seen, &f);
    }
    T(seen.base.level == WR_LEVEL_SNAPSHOT && seen.base.max == 1 && seen.next.max == 2);
    seen.since = 4;
    spy.lists = 0;
    T_OK(wr_remote_find(s, t_call(), &seen, NULL, &pos, &e));
    assert_int_equal(spy.lists, 1);
    T(pos.whole && pos.txid == 5);
    wr_storage_close(s);
}

/* Two writers: no name of one was a name of the other, neither noticed, and no restore worked. */
static void test_files_that_compete_show(void **state)
{
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);

    (void)state;
    for (uint64_t txid = 1; txid <= 8; txid++)
        put_file(s, 0, txid, txid, true);
    T(whole(s, 0));
    put_file(s, 1, 2, 6, true); /* compacted: says the same */
    T(whole(s, 0) && whole(s, 1));
    put_file(s, 0, 9, 10, true);
    put_file(s, 0, 10, 12, true);
    put_file(s, 0, 13, 13, true);
    T(!whole(s, 0) && !whole(s, 1) && whole(s, 12));
    put_file(s, WR_LEVEL_SNAPSHOT, 1, 4, true);
    T(!whole(s, 0));
    put_file(s, WR_LEVEL_SNAPSHOT, 1, 12, true);
    T(whole(s, 0) && whole(s, 1));
    wr_storage_close(s);
}

/* 2-5 was created beside 2-2, 3-3, 4-4 and 5-5 by somebody else, or these came late from a killed
 * process that had sent no more than one of them. */
static void test_a_file_within_another_shows_unless_the_rest_goes_on(void **state)
{
    static const struct {
        uint64_t min, max, twist;
        bool rolling, whole;
    } cases[] = {
        {2, 5, 0, true, true},
        {2, 5, 2, true, false},
        {2, 5, 0, false, false}, /* nothing tells */
        {3, 5, 0, true, true},
        {2, 2, 2, true, true}, /* within 2-5 there */
        {4, 9, 2, true, true}, /* the newest state is another one */
        {4, 8, 2, true, true},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct spy spy;
        struct wr_storage_ops ops;
        struct wr_storage *s = spy_open(&spy, &ops);
        struct wr_remote_pos pos;
        struct wr_err e = {0};

        put_file(s, WR_LEVEL_SNAPSHOT, 1, 1, true);
        if (cases[i].max == 2)
            put_file(s, 0, 2, 5, true);
        for (uint64_t txid = cases[i].max == 2 ? 6 : 2; txid <= 8; txid++)
            put_file(s, 0, txid, txid, true);
        put_twisted(s, 0, cases[i].min, cases[i].max, cases[i].rolling, cases[i].twist);
        for (uint64_t since = 0; since < 2; since++) {
            T_OK(find(s, since, &pos, &e));
            T(pos.whole == cases[i].whole && pos.mixed == !pos.whole);
            T(pos.txid == wr_max(cases[i].max, (uint64_t)8));
            T(pos.rolling == (rolling_of(pos.txid) ^ (cases[i].max >= 8 ? cases[i].twist : 0)));
        }
        wr_storage_close(s);
    }
}

/* Against all pairs of files, by the rule that restores go by. */
static void test_what_lies_within_another_is_in_no_plan(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 2000; round++) {
        struct wr_ltx_file files[8];
        size_t n = 0, chain[8], used = 0;
        struct wr_plan_target newest = {0};
        struct wr_err e = {0};

        for (uint64_t min = 1; min <= 6; min++) {
            for (uint64_t max = min; max <= 6 && n < wr_countof(files); max++) {
                if (wr_rand_below(&r, 3) == 0)
                    files[n++] = (struct wr_ltx_file){.min = min, .max = max};
            }
        }
        if (n == 0 || wr_plan(files, n, &newest, chain, &used, &e) != WR_OK)
            continue;
        for (size_t k = 0; k < used; k++) {
            const struct wr_ltx_file *f = &files[chain[k]];

            for (size_t i = 0; i < n; i++)
                T(i == chain[k] || files[i].min > f->min || files[i].max < f->max);
        }
    }
}

/* A snapshot and eight files behind it; *ret has seen them. */
static struct wr_storage *made(
    struct spy *spy, struct wr_storage_ops *ops, struct wr_remote_seen *ret)
{
    struct wr_storage *s = spy_open(spy, ops);
    struct wr_remote_pos pos;
    struct wr_err e = {0};

    put_file(s, WR_LEVEL_SNAPSHOT, 1, 1, true);
    for (uint64_t txid = 2; txid <= 8; txid++)
        put_file(s, 0, txid, txid, true);
    *ret = (struct wr_remote_seen){0};
    T_OK(wr_remote_find(s, t_call(), ret, NULL, &pos, &e));
    T(pos.whole);
    ret->since = 7;
    return s;
}

/* Any restore begins with the newest snapshot. That of a dead predecessor or of a stranger took the
 * place of ours when it had a greater TXID, and nobody noticed unless that was the newest of all.
 */
static void test_a_snapshot_that_the_rest_does_not_continue_shows(void **state)
{
    static const struct {
        uint64_t max, twist;
        bool rolling, whole;
    } cases[] = {
        {5, 0, true, true},  /* of our own past, late: it says the same */
        {5, 2, true, false}, /* not of ours */
        {5, 0, false, true}, /* Litestream's: nothing tells */
        {8, 0, true, true},  /* of the newest state */
        {8, 2, true, false},
        {8, 0, false, true},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct wr_remote_seen seen;
        struct spy spy;
        struct wr_storage_ops ops;
        struct wr_storage *s = made(&spy, &ops, &seen);
        struct wr_remote_pos pos;
        struct wr_err e = {0};

        put_twisted(s, WR_LEVEL_SNAPSHOT, 1, cases[i].max, cases[i].rolling, cases[i].twist);
        T_OK(wr_remote_find(s, t_call(), &seen, NULL, &pos, &e));
        T(pos.whole == cases[i].whole && pos.mixed == !pos.whole);
        check_pos(&pos, 8, true);
        T_OK(find(s, 0, &pos, &e));
        T(pos.whole == cases[i].whole && pos.mixed == !pos.whole);
        wr_storage_close(s);
    }
}

/* It ends within a file that follows it: whether they fit nothing tells. */
static void test_a_snapshot_that_ends_within_a_file_is_not_believed(void **state)
{
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);
    struct wr_remote_pos pos;
    struct wr_err e = {0};

    (void)state;
    put_file(s, WR_LEVEL_SNAPSHOT, 1, 1, true);
    put_file(s, 0, 2, 7, true);
    put_file(s, 0, 8, 8, true);
    T_OK(find(s, 0, &pos, &e));
    T(pos.whole);
    put_file(s, WR_LEVEL_SNAPSHOT, 1, 5, true);
    T_OK(find(s, 0, &pos, &e));
    T(!pos.whole && pos.mixed);
    wr_storage_close(s);
}

/* But files of higher levels go on from wherever the database was: there a third file tells. */
static void test_a_snapshot_within_a_file_of_a_level(void **state)
{
    static const struct {
        uint64_t min, max; /* of the third file, of level 0; 0: there is none */
        uint64_t twist;    /* of the snapshot */
        bool whole;
    } cases[] = {
        {5, 5, 0, true},
        {5, 5, 3, false},
        {6, 6, 0, true},
        {6, 6, 3, false},
        {0, 0, 0, true},
        {0, 0, 3, true},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct spy spy;
        struct wr_storage_ops ops;
        struct wr_storage *s = spy_open(&spy, &ops);
        struct wr_remote_pos pos;
        struct wr_err e = {0};

        put_file(s, WR_LEVEL_SNAPSHOT, 1, 1, true);
        put_twisted(s, WR_LEVEL_SNAPSHOT, 1, 5, true, cases[i].twist);
        put_file(s, 1, 2, 4, true);
        put_file(s, 1, 5, 7, true);
        if (cases[i].max)
            put_file(s, 0, cases[i].min, cases[i].max, true);
        put_file(s, 0, 8, 8, true);
        T_OK(find(s, 0, &pos, &e));
        T(pos.whole == cases[i].whole && pos.mixed == !pos.whole);
        wr_storage_close(s);
    }
}

/* A damaged one is nothing that a restore could begin with; one in an archive may be whole; and one
 * that cannot be had now is asked for again. */
static void test_a_beginning_that_cannot_be_read(void **state)
{
    struct wr_remote_seen seen;
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = made(&spy, &ops, &seen);
    struct wr_call *c = t_call();
    uint8_t junk[200] = {0};
    struct wr_remote_pos pos;
    struct wr_err e = {0};

    (void)state;
    spy.fail_in = "ltx/9/";
    spy.fail_get = WR_BUSY;
    T_IS(WR_BUSY, find(s, 0, &pos, &e));
    spy.fail_get = WR_NOTFOUND;
    T_IS(WR_BUSY, find(s, 0, &pos, &e));
    T(strstr(e.text, "vanished"));
    spy.fail_get = WR_IO;
    T_OK(find(s, 0, &pos, &e));
    T(pos.whole);
    spy.fail_get = WR_OK;
    T_OK(wr_storage_put(s, c, wr_layout_ltx_key(c->scratch, s, WR_LEVEL_SNAPSHOT, 1, 1),
        (struct wr_bytes){junk, sizeof(junk)}, NULL, &e));
    T_OK(find(s, 0, &pos, &e));
    T(!pos.whole && !pos.mixed);
    wr_storage_close(s);
}

static void test_snapshot_alone(void **state)
{
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);
    struct wr_remote_pos pos;
    struct wr_err e = {0};

    (void)state;
    put_file(s, WR_LEVEL_SNAPSHOT, 1, 40, true);
    for (uint64_t hint = 0; hint < 50; hint++) {
        T_OK(find(s, hint, &pos, &e));
        check_pos(&pos, 40, true);
    }
    wr_storage_close(s);
}

static void test_damaged_newest_file(void **state)
{
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);
    struct wr_call *c = t_call();
    struct wr_remote_pos pos = {.txid = 7};
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, 0, 5, 5);
    uint8_t junk[200] = {0};
    struct wr_err e = {0};

    (void)state;
    put_file(s, 0, 4, 4, true);
    T_OK(wr_storage_put(s, c, key, (struct wr_bytes){junk, 50}, NULL, &e));
    T_IS(WR_CORRUPT, find(s, 0, &pos, &e));
    T(strstr(e.text, "newest file") && strstr(e.text, "0000000000000005"));
    T(strstr(e.text, "50 bytes") && strstr(e.text, "remove it") && pos.txid == 7);
    T_OK(wr_storage_put(s, c, key, (struct wr_bytes){junk, 200}, NULL, &e));
    T_IS(WR_CORRUPT, find(s, 0, &pos, &e));
    T(strstr(e.text, "not an LTX file") && strstr(e.text, "remove it"));
    spy.fail_list = WR_BUSY;
    T_IS(WR_BUSY, find(s, 0, &pos, &e));
    spy.fail_list = WR_OK;
    spy.fail_get = WR_AUTH;
    T_IS(WR_AUTH, find(s, 0, &pos, &e));
    /* What arrived damaged need not be stored so. */
    spy.fail_get = WR_CORRUPT;
    T_IS(WR_CORRUPT, find(s, 0, &pos, &e));
    T(!strstr(e.text, "remove it") && pos.txid == 7);
    wr_storage_close(s);
}

static void put_junk(struct wr_storage *s, uint64_t txid)
{
    uint8_t junk[200] = {0};
    struct wr_str key = wr_layout_ltx_key(t_call()->scratch, s, 0, txid, txid);
    struct wr_err e = {0};

    T_OK(wr_storage_put(s, t_call(), key, (struct wr_bytes){junk, sizeof(junk)}, NULL, &e));
}

/* Where it is asked for, the position is that of the newest file that has a header. */
static void test_past_damaged_files(void **state)
{
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);
    struct wr_remote_seen seen = {.past_damaged = true};
    struct wr_remote_pos pos = {0};
    struct wr_err e = {0};

    (void)state;
    put_junk(s, 4);
    T_IS(WR_CORRUPT, wr_remote_find(s, t_call(), &seen, NULL, &pos, &e)); /* there is no other */
    put_file(s, WR_LEVEL_SNAPSHOT, 1, 3, true);
    for (uint64_t txid = 5; txid < 12; txid++) {
        T_OK(wr_remote_find(s, t_call(), &seen, NULL, &pos, &e));
        check_pos(&pos, 3, true);
        T(pos.damaged == txid - 1 && !pos.whole && !pos.mixed && !pos.alone);
        put_junk(s, txid);
    }
    put_junk(s, 200); /* a name far above */
    T_IS(WR_CORRUPT, wr_remote_find(s, t_call(), &seen, NULL, &pos, &e));
    T(strstr(e.text, "00000000000000c8") && strstr(e.text, "remove it"));
    remove_one(s, 0, 200, 200);
    put_junk(s, 12);
    T_IS(WR_CORRUPT, wr_remote_find(s, t_call(), &seen, NULL, &pos, &e)); /* it is something else */
    put_file(s, 1, 4, 12, true);
    T_OK(wr_remote_find(s, t_call(), &seen, NULL, &pos, &e));
    check_pos(&pos, 12, true);
    T(pos.damaged == 0 && pos.whole); /* the file that has the same transactions is sound */
    wr_storage_close(s);
}

/* The size of the newest file was read where the list of files had been, when it had just been full
 * and one more came to it. */
static void test_a_list_that_grows(void **state)
{
    (void)state;
    for (uint64_t n = 60; n < 70; n++) {
        struct spy spy;
        struct wr_storage_ops ops;
        struct wr_storage *s = spy_open(&spy, &ops);
        struct wr_remote_pos pos;
        struct wr_err e = {0};

        put_file(s, WR_LEVEL_SNAPSHOT, 1, 1, true);
        T_OK(find(s, 1, &pos, &e));
        for (uint64_t txid = 2; txid <= n; txid++)
            put_file(s, 0, txid, txid, true);
        T_OK(find(s, 1, &pos, &e));
        check_pos(&pos, n, true);
        assert_int_equal(pos.size, WR_LTX_HEADER_SIZE + 60);
        wr_storage_close(s);
    }
}

/* A copy of a file under a higher name, and names that leave no TXID for us. */
static void test_misnamed_newest_file(void **state)
{
    static const uint64_t names[] = {7, UINT64_MAX / 2, UINT64_MAX};
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);
    struct wr_call *c = t_call();
    struct wr_remote_pos pos = {.txid = 3};
    struct wr_err e = {0};

    (void)state;
    put_file(s, 0, 4, 4, true);
    for (size_t i = 0; i < wr_countof(names); i++) {
        uint8_t copy[WR_LTX_HEADER_SIZE + 60];
        size_t got = 0;
        struct wr_str key = wr_layout_ltx_key(c->scratch, s, 0, names[i], names[i]);

        T_OK(wr_storage_get(
            s, c, wr_layout_ltx_key(c->scratch, s, 0, 4, 4), 0, copy, sizeof(copy), &got, &e));
        T_OK(wr_storage_put(s, c, key, (struct wr_bytes){copy, got}, NULL, &e));
        T_IS(WR_CORRUPT, find(s, 0, &pos, &e));
        T(strstr(e.text, "remove it") && pos.txid == 3);
    }
    wr_storage_close(s);
}

static void test_same_object(void **state)
{
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);
    struct wr_call *c = t_call();
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, 0, 5, 5);
    struct wr_rand r;
    struct t_ltx m;
    struct t_ltx_out o;
    uint8_t *longer;
    uint64_t sum;
    bool same = false;
    struct wr_err e = {0};

    (void)state;
    wr_rand_init(&r, t_seed());
    t_ltx_random(&r, &m, 512, 20, 5, 0);
    t_ltx_out_init(&o);
    T_OK(t_ltx_write(&m, WR_LTX_LOCK_OFFSET, &o, &e));
    sum = wr_be64(o.buf.p + o.buf.n - 8);

    T_IS(WR_NOTFOUND, wr_remote_same(s, c, 0, 5, 5, o.buf.n, sum, &same, &e));
    T_OK(wr_storage_put(s, c, key, wr_buf_bytes(&o.buf), NULL, &e));
    T_OK(wr_remote_same(s, c, 0, 5, 5, o.buf.n, sum, &same, &e));
    T(same);
    T_OK(wr_remote_same(s, c, 0, 5, 5, o.buf.n, sum ^ 1, &same, &e));
    T(!same);
    T_OK(wr_remote_same(s, c, 0, 5, 5, o.buf.n + 1, sum, &same, &e));
    T(!same);
    T_OK(wr_remote_same(s, c, 0, 5, 5, o.buf.n + 100, sum, &same, &e));
    T(!same);
    /* The right end, but more behind it. */
    longer = wr_alloc(o.buf.n + 1);
    T(longer != NULL);
    memcpy(longer, o.buf.p, o.buf.n);
    T_OK(wr_storage_put(s, c, key, (struct wr_bytes){longer, o.buf.n + 1}, NULL, &e));
    T_OK(wr_remote_same(s, c, 0, 5, 5, o.buf.n, sum, &same, &e));
    T(!same);
    wr_free(longer);
    wr_buf_release(&o.buf);
    t_ltx_release(&m);
    wr_storage_close(s);
}

static enum wr_status find_once(void *arg)
{
    struct wr_remote_pos pos;
    struct wr_err e = {0};

    return find(arg, 3, &pos, &e);
}

static void test_no_memory(void **state)
{
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);

    (void)state;
    put_file(s, 0, 1, 2, true);
    put_file(s, 0, 3, 4, true);
    t_sweep_nomem(find_once, s);
    wr_storage_close(s);
}

T_MAIN(T_TEST(test_empty_replica), T_TEST(test_random_histories), T_TEST(test_beginning_is_known),
    T_TEST(test_a_hole_shows), T_TEST(test_a_look_sees_the_beginning_go),
    T_TEST(test_how_far_each_level_reaches), T_TEST(test_a_look_knows_what_was_sent),
    T_TEST(test_files_that_compete_show),
    T_TEST(test_a_file_within_another_shows_unless_the_rest_goes_on),
    T_TEST(test_what_lies_within_another_is_in_no_plan),
    T_TEST(test_a_snapshot_that_the_rest_does_not_continue_shows),
    T_TEST(test_a_snapshot_that_ends_within_a_file_is_not_believed),
    T_TEST(test_a_snapshot_within_a_file_of_a_level), T_TEST(test_a_beginning_that_cannot_be_read),
    T_TEST(test_snapshot_alone), T_TEST(test_damaged_newest_file), T_TEST(test_past_damaged_files),
    T_TEST(test_a_list_that_grows), T_TEST(test_misnamed_newest_file), T_TEST(test_same_object),
    T_TEST(test_no_memory))
