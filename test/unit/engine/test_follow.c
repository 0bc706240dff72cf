/*
 * test_follow.c - followers: whatever the primary does, after each step the copy is one of its
 * transactions, and it never goes back.
 */
#include "engine/follow_fetch.h"
#include "engine/onward.h"
#include "unit/engine/follow_world.h"

#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>

/* ---- which file next ---- */

static void test_the_way_on(void **state)
{
    struct wr_ltx_file files[] = {
        {.level = 0, .min = 9, .max = 9, .size = 10},
        {.level = 0, .min = 10, .max = 10, .size = 10},
        {.level = 1, .min = 5, .max = 8, .size = 30},
        {.level = 1, .min = 7, .max = 10, .size = 40},
        {.level = 2, .min = 1, .max = 9, .size = 1000},
        {.level = 9, .min = 1, .max = 10, .size = 5},
    };
    const struct wr_ltx_files all = {.p = files, .n = wr_countof(files)};
    struct wr_ltx_files chain = {0};
    struct wr_err e = {0};

    (void)state;
    T(wr_onward_next(&all, 8, 10) == &files[0]);
    T(wr_onward_next(&all, 8, 40) == &files[3]);
    T(wr_onward_next(&all, 8, 5) == &files[0]);   /* none is so small */
    T(wr_onward_next(&all, 9, 100) == &files[1]); /* of two that lead there, the smaller */
    T(wr_onward_next(&all, 4, 10) == &files[2]);
    T(wr_onward_next(&all, 4, 1000) == &files[4]);
    T(wr_onward_next(&all, 0, 10) == &files[4]); /* not the snapshot */
    T(!wr_onward_next(&all, 10, 1000));
    T_OK(wr_onward_chain(&all, 4, &chain, &e));
    T(chain.n == 2 && chain.p[0].max == 9 && chain.p[1].max == 10);
    wr_ltx_files_release(&chain);
}

/* ---- what becomes of the copy ---- */

static void test_every_transaction(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        struct fw w;
        struct wr_follow *f = NULL;
        struct wr_err e = {0};
        uint64_t txid = 0;

        fw_init(&w, rolling);
        T_OK(fw_open(&w, &f, &e));
        fw_check_is(&w, 1);
        for (int i = 0; i < 30; i++) {
            fw_random_commit(&w);
            fw_store(&w);
            T_OK(fw_steps(&w, f, &e));
            T(w.told.phase == WR_FOLLOW_CURRENT && w.told.txid == w.s.n && w.told.lag_ms == 0);
            fw_check_is(&w, w.s.n);
            fw_check_sqlite(&w);
            T_OK(wr_follow_txid_get(wr_fs_posix(), w.copy, &txid, &e));
            T(txid == w.s.n);
        }
        T(w.errors == 0 && w.warnings == 0);
        wr_follow_close(f);
        assert_int_equal(t_names_in(w.dir), 3); /* no journal, no spool */
        fw_release(&w);
    }
}

/* Files of all levels come and go; the follower stops, and starts again, anywhere. */
static void test_random_replicas(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        struct fw w;
        struct wr_follow *f = NULL;
        struct wr_err e = {0};
        uint64_t txid = 1;

        fw_init(&w, round % 4 > 0);
        T_OK(fw_open(&w, &f, &e));
        while (w.s.n + 4 < STORY_MAX) {
            uint64_t from = w.s.n;

            for (uint64_t n = wr_rand_below(&w.random, 4) + 1; n > 0; n--)
                fw_random_commit(&w);
            fw_store(&w);
            for (int k = 0; k < 2; k++) {
                uint64_t min = wr_rand_below(&w.random, w.s.n) + 1;
                uint64_t max = min + wr_rand_below(&w.random, w.s.n + 1 - min);

                story_put(&w.s, &w.w, (unsigned)wr_rand_below(&w.random, 8) + 1, min, max);
            }
            if (wr_rand_below(&w.random, 3) == 0) { /* retention was faster */
                story_put(&w.s, &w.w, 9, 1, w.s.n);
                for (uint64_t t = from; t < w.s.n; t++)
                    fw_delete(&w, 0, t + 1, t + 1);
            }
            if (wr_rand_below(&w.random, 3) == 0) {
                wr_follow_close(f);
                f = NULL;
                T_OK(fw_open(&w, &f, &e));
                fw_check_is(&w, txid);
            }
            T_OK(fw_steps(&w, f, &e));
            if (w.told.phase == WR_FOLLOW_CURRENT && w.told.txid < w.s.n) {
                /* It looked under a name that is gone: the next listing tells. */
                wr_follow_close(f);
                f = NULL;
                T_OK(fw_open(&w, &f, &e));
                T_OK(fw_steps(&w, f, &e));
            }
            T(w.told.txid == w.s.n);
            txid = w.told.txid;
            fw_check_is(&w, txid);
            fw_check_sqlite(&w);
        }
        wr_follow_close(f);
        fw_release(&w);
    }
}

/* ---- others use the copy ---- */

static int64_t ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    int64_t value = -1;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        value = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return value;
}

static void test_a_reader_sees_each_state_whole(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    sqlite3 *reader = NULL;
    int64_t wait_ms = 0;

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    T_OK(fw_steps(&w, f, &e));
    T(sqlite3_open(w.copy, &reader) == SQLITE_OK);
    T(ask(reader, "SELECT count(*) FROM t") == 300);
    for (int i = 0; i < 5; i++) { /* its cache is dropped each time */
        fw_sql(&w, "INSERT INTO t(b) VALUES(1)");
        fw_store(&w);
        T_OK(fw_steps(&w, f, &e));
        T(ask(reader, "SELECT count(*) FROM t") == 301 + i);
    }
    fw_sql(&w, "CREATE TABLE fresh AS SELECT 7 AS a");
    fw_store(&w);
    T_OK(fw_steps(&w, f, &e));
    T(ask(reader, "SELECT a FROM fresh") == 7);

    /* It reads on: nothing changes, and that is said once. */
    fw_sql_at(reader, "BEGIN");
    T(ask(reader, "SELECT count(*) FROM t") == 305);
    fw_sql(&w, "DELETE FROM t WHERE id > 10");
    fw_store(&w);
    for (int i = 0; i < 3; i++) {
        T_OK(wr_follow_step(f, fw_call(&w), &wait_ms, &e));
        T(w.told.phase == WR_FOLLOW_WAITING && w.told.lag_ms > 0 && wait_ms == 1000 << i);
        T(strstr(w.told.text, "read"));
        T(ask(reader, "SELECT count(*) FROM t") == 305);
        fw_sql_at(reader, "SELECT * FROM fresh");
    }
    T(w.warnings == 1 && w.errors == 0);
    fw_sql_at(reader, "COMMIT");
    world_fail(&w.w, 1, UINT64_MAX, WR_IO); /* what was fetched is still here */
    T_OK(wr_follow_step(f, fw_call(&w), &wait_ms, &e));
    T(w.told.phase == WR_FOLLOW_CURRENT && w.told.txid == w.s.n);
    T(ask(reader, "SELECT count(*) FROM t") == 10);
    T(sqlite3_close(reader) == SQLITE_OK);
    wr_follow_close(f);
    fw_release(&w);
}

/* Whatever somebody writes to the copy, it is not overwritten. */
static void test_a_writer_is_refused(void **state)
{
    static const char *const ways[] = {"UPDATE t SET b=2 WHERE id=7", "PRAGMA journal_mode=wal",
        "VACUUM", "PRAGMA user_version=5"};

    (void)state;
    for (size_t i = 0; i < 2 * wr_countof(ways); i++) {
        struct fw w;
        struct wr_follow *f = NULL;
        struct wr_err e = {0};
        sqlite3 *other = NULL;
        struct wr_bytes before, after;

        fw_init(&w, true);
        T_OK(fw_open(&w, &f, &e));
        T_OK(fw_steps(&w, f, &e));
        if (i % 2)
            wr_follow_close(f);
        T(sqlite3_open(w.copy, &other) == SQLITE_OK);
        fw_sql_at(other, ways[i / 2]);
        T(sqlite3_close(other) == SQLITE_OK);
        before = t_slurp(w.copy);
        fw_sql(&w, "UPDATE t SET b=3");
        fw_store(&w);
        if (i % 2) {
            f = NULL;
            T_IS(WR_CONFLICT, fw_open(&w, &f, &e));
        } else {
            int64_t wait_ms = 0;

            T_OK(wr_follow_step(f, fw_call(&w), &wait_ms, &e));
            T(w.told.phase == WR_FOLLOW_FAILING && w.errors == 1);
            T_IS(WR_CONFLICT, wr_follow_step(f, fw_call(&w), &wait_ms, &e));
            wr_follow_close(f);
        }
        T(strstr(e.text, "somebody") || strstr(e.text, "something else"));
        T(strstr(e.text, "-f -force"));
        after = t_slurp(w.copy);
        T(after.n == before.n && memcmp(after.p, before.p, after.n) == 0);
        fw_release(&w);
    }
}

static void test_one_follower(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL, *g = NULL;
    struct wr_err e = {0};
    int status = 0;
    pid_t child;

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    child = fork();
    if (child == 0)
        _exit(fw_open(&w, &g, &e) == WR_BUSY && strstr(e.text, "another process") ? 0 : 1);
    T(waitpid(child, &status, 0) == child && status == 0);
    wr_follow_close(f);
    fw_release(&w);
}

/* As a reader is for a moment, while the journal of one that was killed is to be rolled back. */
static void test_a_follower_that_begins_waits_for_others(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    sqlite3 *other = NULL;
    struct wr_err e = {0};

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    wr_follow_close(f);
    fw_sql(&w, "UPDATE t SET b=1");
    fw_store(&w);
    T(sqlite3_open(w.copy, &other) == SQLITE_OK);
    fw_sql_at(other, "BEGIN IMMEDIATE");
    w.in_the_way = other;
    T_OK(fw_open(&w, &f, &e));
    T(!w.in_the_way && w.warnings == 1 && strstr(w.line, "in the way"));
    T_OK(fw_steps(&w, f, &e));
    fw_check_is(&w, 2);
    wr_follow_close(f);
    (void)sqlite3_close(other);
    fw_release(&w);
}

/* ---- the replica is not what it was ---- */

static void test_another_history(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    struct story other;
    int64_t wait_ms = 0;

    (void)state;
    fw_init(&w, true);
    fw_sql(&w, "UPDATE t SET b=1");
    fw_sql(
        &w, "INSERT INTO u VALUES(randomblob(80000))"); /* past the lock page, which is no page */
    fw_store(&w);
    T_OK(fw_open(&w, &f, &e));
    T_OK(fw_steps(&w, f, &e));
    fw_check_is(&w, 3);

    /* Somebody else's transaction 4. */
    story_fork(&other, &w.s, 2);
    story_commit(&other, other.image[2].commit, 3);
    story_commit(&other, other.image[2].commit, 3);
    story_put(&other, &w.w, 0, 4, 4);
    T_OK(wr_follow_step(f, fw_call(&w), &wait_ms, &e));
    T(w.told.phase == WR_FOLLOW_FAILING);
    T_IS(WR_CONFLICT, wr_follow_step(f, fw_call(&w), &wait_ms, &e));
    T(strstr(e.text, "goes on from another database") && strstr(e.text, "-f -force"));
    wr_follow_close(f);
    fw_check_is(&w, 3);

    /* As one file with transactions of ours: only the image tells. */
    f = NULL;
    fw_delete(&w, 0, 4, 4);
    fw_delete(&w, 0, 3, 3);
    story_put(&other, &w.w, 1, 3, 4);
    T_OK(fw_open(&w, &f, &e));
    T_OK(wr_follow_step(f, fw_call(&w), &wait_ms, &e));
    T_IS(WR_CONFLICT, wr_follow_step(f, fw_call(&w), &wait_ms, &e));
    T(strstr(e.text, "the copy is sound") && strstr(e.text, "-f -force"));
    wr_follow_close(f);
    fw_check_is(&w, 3);

    /* And one that ends before the copy. */
    f = NULL;
    fw_delete(&w, 1, 3, 4);
    T_OK(fw_open(&w, &f, &e));
    T_OK(wr_follow_step(f, fw_call(&w), &wait_ms, &e));
    T_IS(WR_CONFLICT, wr_follow_step(f, fw_call(&w), &wait_ms, &e));
    T(strstr(e.text, "0000000000000003") && strstr(e.text, "0000000000000002"));
    wr_follow_close(f);
    fw_check_is(&w, 3);
    story_release(&other);
    fw_release(&w);
}

/* A page in the middle of it. */
static void rot(const struct fw *w)
{
    long at = (long)(w->s.image[1].commit / 2 * w->s.page_size) - 1;
    FILE *copy = fopen(w->copy, "r+b");
    int was;

    T(copy && fseek(copy, at, SEEK_SET) == 0);
    was = fgetc(copy);
    T(was != EOF && fseek(copy, at, SEEK_SET) == 0);
    T(fputc(was ^ 0xa5, copy) != EOF && fclose(copy) == 0);
}

static void cut_off(const struct fw *w)
{
    T(truncate(w->copy, 5 * FW_PAGE) == 0);
}

/* A copy that was harmed by somebody, and the step that finds it: the next one has to tell why. */
static void begin_harmed(struct fw *w, struct wr_follow **f, void (*harm)(const struct fw *w))
{
    struct wr_err e = {0};
    int64_t wait_ms = 0;

    fw_init(w, true);
    T_OK(fw_open(w, f, &e));
    T_OK(fw_steps(w, *f, &e));
    harm(w);
    fw_sql(w, "UPDATE t SET b=1");
    fw_store(w);
    T_OK(wr_follow_step(*f, fw_call(w), &wait_ms, &e));
    T(w->told.phase == WR_FOLLOW_FAILING);
}

/* It was told as if the replica might be of another history. */
static void test_a_page_of_the_copy_rotted(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    int64_t wait_ms = 0;

    (void)state;
    begin_harmed(&w, &f, rot);
    T_IS(WR_CORRUPT, wr_follow_step(f, fw_call(&w), &wait_ms, &e));
    T(strstr(e.text, "are not what was written to it") && strstr(e.text, "-f -force"));
    wr_follow_close(f);
    fw_release(&w);
}

/* What was wrong was found, and that its pages could not be read to tell why was all that was said.
 */
static void test_a_copy_that_cannot_be_read_was_no_finding(void **state)
{
    struct wr_err e = {0};
    int64_t wait_ms = 0;
    bool failed = true;

    (void)state;
    for (int nth = 0; failed; nth++) { /* 0: it was cut off */
        struct fw w;
        struct wr_follow *f = NULL;
        enum wr_status st;

        begin_harmed(&w, &f, nth == 0 ? cut_off : rot);
        bad_set(BAD_READ, nth, SQLITE_IOERR_READ);
        st = wr_follow_step(f, fw_call(&w), &wait_ms, &e);
        failed = nth == 0 || bad.fired;
        bad_set(0, 0, SQLITE_OK);
        if (st == WR_OK) { /* it was not looked at */
            T(nth > 0 && w.told.phase == WR_FOLLOW_FAILING);
        } else {
            T_IS(WR_CORRUPT, st);
            T(strstr(e.text, w.copy) && strstr(e.text, "-f -force"));
        }
        T(nth < 5000);
        wr_follow_close(f);
        fw_release(&w);
    }
}

enum hindrance {
    IN_THE_WAY,
    NO_MEMORY,
    THE_END,
    HINDRANCES
};

static void end_it(void *arg)
{
    wr_cancel_now(&((struct fw *)arg)->cancel);
}

static void hinder(struct fw *w, enum hindrance kind, int nth)
{
    bad.before = kind == THE_END ? end_it : NULL;
    bad.arg = w;
    if (kind == NO_MEMORY)
        wr_mem_fail_after(nth - 1);
    else if (kind == IN_THE_WAY)
        bad_set(BAD_LOCK, nth, SQLITE_BUSY);
    else
        bad_set(BAD_READ, nth, SQLITE_OK);
}

static bool hindered(enum hindrance kind)
{
    bool was = kind == NO_MEMORY ? wr_mem_fault_fired() : bad.fired;

    wr_mem_fail_after(-1);
    bad_set(0, 0, SQLITE_OK);
    bad.before = NULL;
    return was;
}

/* Somebody else's lock, or no memory, is no finding: it is looked at again. Nor is the end. */
static void test_a_copy_that_cannot_be_read_now_is_read_later(void **state)
{
    (void)state;
    for (enum hindrance kind = 0; kind < HINDRANCES; kind++) {
        unsigned later = 0;
        bool was = true;

        for (int nth = 1; was; nth++) {
            struct fw w;
            struct wr_follow *f = NULL;
            struct wr_err e = {0};
            int64_t wait_ms = 0;
            enum wr_status st;

            begin_harmed(&w, &f, rot);
            hinder(&w, kind, nth);
            st = wr_follow_step(f, fw_call(&w), &wait_ms, &e);
            was = hindered(kind);
            later += st == (kind == THE_END ? WR_CANCELED : WR_OK);
            for (int i = 0; st == WR_OK && i < 3; i++)
                st = wr_follow_step(f, fw_call(&w), &wait_ms, &e);
            if (kind != THE_END || st != WR_CANCELED) {
                T_IS(WR_CORRUPT, st);
                T(strstr(e.text, "are not what was written to it"));
            }
            wr_follow_close(f);
            fw_release(&w);
            T(nth < 5000);
        }
        T(later > 0);
    }
}

/* The next files are gone: the newest state as a whole, in place, and a reader goes on. */
static void test_files_are_gone(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    sqlite3 *reader = NULL;

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    T_OK(fw_steps(&w, f, &e));
    T(sqlite3_open(w.copy, &reader) == SQLITE_OK);
    T(ask(reader, "SELECT count(*) FROM t") == 300);
    fw_sql(&w, "DELETE FROM t WHERE id > 20");
    fw_sql(&w, "CREATE TABLE x AS SELECT 5 AS a");
    fw_store(&w);
    fw_delete(&w, 0, 2, 2);
    wr_follow_close(f);
    f = NULL;
    T_OK(fw_open(&w, &f, &e));
    T_OK(fw_steps(&w, f, &e));
    T(w.told.phase == WR_FOLLOW_FAILING); /* it is behind a gap, and there is no snapshot yet */
    T(strstr(w.line, "non-contiguous"));
    fw_check_is(&w, 1);
    story_put(&w.s, &w.w, 9, 1, 3);
    T_OK(fw_steps(&w, f, &e));
    T(w.told.phase == WR_FOLLOW_CURRENT && w.warnings > 0);
    fw_check_is(&w, 3);
    T(ask(reader, "SELECT a FROM x") == 5 && ask(reader, "SELECT count(*) FROM t") == 20);
    T(sqlite3_close(reader) == SQLITE_OK);
    wr_follow_close(f);
    fw_release(&w);
}

/* One of the files is damaged: by another one, or it is waited for, and said. */
static void test_damaged_files(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    struct wr_buf b;
    struct wr_str key;

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    T_OK(fw_steps(&w, f, &e));
    fw_sql(&w, "UPDATE t SET b=randomblob(150) WHERE id < 100");
    fw_store(&w);
    wr_buf_init(&b, (size_t)1 << 20);
    story_file(&w.s, 2, 2, &b);
    b.p[b.n / 2] ^= 1;
    key = wr_layout_ltx_key(t_call()->scratch, w.w.storage, 0, 2, 2);
    world_store(&w.w, key, wr_buf_bytes(&b), 2000);
    wr_buf_release(&b);
    T_OK(fw_steps(&w, f, &e));
    T(w.told.phase == WR_FOLLOW_FAILING && w.errors == 1);
    T_OK(fw_steps(&w, f, &e));
    T(w.told.phase == WR_FOLLOW_FAILING && w.told.txid == 1);
    T(strstr(w.line, "damaged"));
    fw_check_is(&w, 1);
    story_put(&w.s, &w.w, 1, 2, 2);
    T_OK(fw_steps(&w, f, &e));
    T(w.told.phase == WR_FOLLOW_CURRENT && w.told.txid == 2);
    fw_check_is(&w, 2);
    wr_follow_close(f);
    fw_release(&w);
}

/* Requests fail, any of them; the copy is what it was, or further, and nothing is lost. */
static void test_failing_requests(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    for (uint64_t from = 1; from < 12; from++) {
        fw_random_commit(&w);
        fw_store(&w);
        world_fail(&w.w, from, 1, from % 2 ? WR_TIMEOUT : WR_IO);
        T_OK(fw_steps(&w, f, &e));
        fw_check_is(&w, w.told.txid);
        world_fail(&w.w, 0, 0, WR_OK);
        T_OK(fw_steps(&w, f, &e));
        T(w.told.phase == WR_FOLLOW_CURRENT);
        fw_check_is(&w, w.s.n);
    }
    wr_follow_close(f);
    fw_release(&w);
}

/* ---- what was there before ---- */

static void test_what_is_there(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    struct wr_bytes b;
    uint8_t *p;

    (void)state;
    fw_init(&w, true);
    b = t_slurp(w.source);
    t_spew(w.copy, b.p, b.n);
    T_IS(WR_CONFLICT, fw_open(&w, &f, &e)); /* a database that nobody followed */
    T(strstr(e.text, "-txid"));
    assert_int_equal(t_names_in(w.dir), 1);

    /* As Litestream leaves it, and half of it is of another transaction. */
    fw_sql(&w, "UPDATE t SET b=randomblob(150)");
    fw_store(&w);
    p = wr_arena_alloc(t_call()->scratch, b.n);
    memcpy(p, b.p, b.n);
    memcpy(p + b.n / 2, w.s.image[2].data + b.n / 2, b.n - b.n / 2);
    t_spew(w.copy, p, b.n);
    t_spew(t_path(w.dir, "copy-txid"), "0000000000000003\n", 17);
    T_OK(fw_open(&w, &f, &e));
    T_OK(fw_steps(&w, f, &e));
    T(w.told.phase == WR_FOLLOW_FAILING); /* the replica ends before it */
    wr_follow_close(f);
    f = NULL;
    t_spew(t_path(w.dir, "copy-txid"), "0000000000000001\n", 17);
    T_OK(fw_open(&w, &f, &e));
    T_OK(fw_steps(&w, f, &e));
    T(w.told.phase == WR_FOLLOW_CURRENT && w.told.txid == 2);
    fw_check_is(&w, 2);
    wr_follow_close(f);

    f = NULL;
    t_spew(t_path(w.dir, "copy-txid"), "?", 1); /* ours to write */
    T_OK(fw_open(&w, &f, &e));
    wr_follow_close(f);
    fw_release(&w);
}

static void test_no_backup(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};

    (void)state;
    fw_init(&w, true);
    fw_delete(&w, 9, 1, 1);
    T_IS(WR_NOTFOUND, fw_open(&w, &f, &e));
    assert_int_equal(t_names_in(w.dir), 0);
    t_spew(t_path(w.dir, "copy-journal"), "x", 1);
    T_IS(WR_CONFLICT, fw_open(&w, &f, &e));
    fw_release(&w);
}

static void test_cancel(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    wr_cancel_now(&w.cancel);
    T_OK(wr_follow_run(f, fw_call(&w), &e));
    wr_follow_close(f);
    fw_release(&w);
}

/* Another page size, by which nothing of the copy stays: in place, and a reader goes on. */
static void test_another_page_size(void **state)
{
    static const uint32_t sizes[][2] = {{512, 4096}, {4096, 1024}};

    (void)state;
    for (size_t i = 0; i < wr_countof(sizes); i++) {
        struct fw w, other;
        struct wr_follow *f = NULL;
        struct wr_err e = {0};
        sqlite3 *reader = NULL;

        fw_init_as(&w, true, sizes[i][0]);
        T_OK(fw_open(&w, &f, &e));
        T_OK(fw_steps(&w, f, &e));
        T(sqlite3_open(w.copy, &reader) == SQLITE_OK);
        T(ask(reader, "SELECT count(*) FROM t") == 300);
        fw_init_as(&other, true, sizes[i][1]);
        fw_sql(&other, "DELETE FROM t WHERE id > 33");
        story_put(&other.s, &w.w, 9, 1, 2);
        wr_follow_close(f);
        f = NULL;
        T_OK(fw_open(&w, &f, &e));
        T_OK(fw_steps(&w, f, &e));
        T(w.told.phase == WR_FOLLOW_CURRENT && w.told.txid == 2);
        T(ask(reader, "SELECT count(*) FROM t") == 33);
        T(sqlite3_close(reader) == SQLITE_OK);
        other.copy = w.copy;
        fw_check_is(&other, 2);

        /* As the next transaction: it is fetched as a whole. */
        fw_sql(&w, "UPDATE t SET b=1");
        fw_sql(&w, "UPDATE t SET b=2");
        story_put(&w.s, &w.w, 0, 3, 3);
        story_put(&w.s, &w.w, 9, 1, 3);
        T_OK(fw_steps(&w, f, &e));
        T_OK(fw_steps(&w, f, &e));
        T(w.told.phase == WR_FOLLOW_CURRENT && w.told.txid == 3);
        fw_check_is(&w, 3);
        wr_follow_close(f);
        fw_release(&other);
        fw_release(&w);
    }
}

static void test_by_a_link(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    const char *link;

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    wr_follow_close(f);
    f = NULL;
    link = t_path(t_tmpdir(), "link");
    T(symlink(w.copy, link) == 0);
    fw_sql(&w, "UPDATE t SET b=1");
    fw_store(&w);
    w.copy = link;
    T_OK(fw_open(&w, &f, &e)); /* the copy's own files are beside the copy */
    T_OK(fw_steps(&w, f, &e));
    fw_check_is(&w, 2);
    wr_follow_close(f);
    fw_release(&w);
}

/* With -force: whatever is there is replaced, and what is known of it. */
static void test_anew(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_follow_opts o;
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    wr_follow_close(f);
    f = NULL;
    t_spew(w.copy, "something", 9);
    T_IS(WR_CORRUPT, fw_open(&w, &f, &e));
    o = fw_opts(&w);
    o.restore.overwrite = true;
    o.interval_ms = o.patience_ms = 0; /* the defaults */
    T_OK(wr_follow_open(w.w.storage, fw_call(&w), &o, &f, &r, &e));
    T(r.txid == 1);
    T_OK(fw_steps(&w, f, &e));
    fw_check_is(&w, 1);
    wr_follow_close(f);
    fw_release(&w);
}

/* Failures last: they are told when they begin, and now and then; waits grow, up to a minute. */
static void test_patience(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    struct wr_call c;
    int64_t wait_ms = 0, most_ms = 0;

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    c = fw_clocked(&w);
    T_OK(wr_follow_step(f, &c, &wait_ms, &e));
    world_fail(&w.w, 1, UINT64_MAX, WR_AUTH);
    for (int i = 0; i < 20; i++) {
        T_OK(wr_follow_step(f, &c, &wait_ms, &e));
        T(w.told.phase == WR_FOLLOW_FAILING && w.told.errors == (uint32_t)i + 1);
        T(wait_ms >= 500 && wait_ms <= 60000);
        most_ms = wr_max(most_ms, wait_ms);
        wr_clock_manual_advance(&w.clock, wait_ms * 1000000);
    }
    T(most_ms > 30000 && w.errors >= 2 && w.errors <= 4);
    T(w.told.unseen_ms > 300000);
    world_fail(&w.w, 0, 0, WR_OK);
    T_OK(wr_follow_step(f, &c, &wait_ms, &e));
    T(w.told.phase == WR_FOLLOW_CURRENT && w.told.errors == 0 && wait_ms == 1000);
    wr_follow_close(f);
    fw_release(&w);
}

static enum wr_status open_and_step(void *arg)
{
    struct fw *w = arg;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    int64_t wait_ms = 0;
    enum wr_status st;

    w->warnings = 0;
    st = fw_open(w, &f, &e);
    if (st == WR_OK) {
        st = wr_follow_step(f, fw_call(w), &wait_ms, &e);
        if (w->told.phase == WR_FOLLOW_FAILING || w->warnings > 0)
            st = WR_NOMEM;
    }
    wr_follow_close(f);
    if (st != WR_OK) { /* the next try is to do as much */
        (void)unlink(w->copy);
        (void)unlink(t_path(w->dir, "copy-follow"));
    }
    return st;
}

static void test_nomem(void **state)
{
    struct fw w;

    (void)state;
    fw_init(&w, true);
    t_sweep_nomem(open_and_step, &w);
    fw_check_is(&w, 1);
    fw_release(&w);
}

static enum wr_status open_and_apply(void *arg)
{
    struct fw *w = arg;
    struct image *first = &w->s.image[1];

    (void)unlink(t_path(w->dir, "copy-follow"));
    first->data[18] = first->data[19] = 1;
    t_spew(w->copy, first->data, (size_t)first->commit * w->s.page_size);
    first->data[18] = first->data[19] = 2;
    t_spew(t_path(w->dir, "copy-txid"), "0000000000000001\n", 17);
    return open_and_step(w);
}

static void test_nomem_of_a_copy_that_is_there(void **state)
{
    struct fw w;

    (void)state;
    fw_init(&w, true);
    fw_sql(&w, "UPDATE t SET b=randomblob(150) WHERE id % 9 = 1");
    fw_store(&w);
    t_sweep_nomem(open_and_apply, &w);
    fw_check_is(&w, 2);
    fw_release(&w);
}

/* More than one step may be: the log says that it is catching up, once, and that it has. */
static void test_many_at_once(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    int64_t wait_ms = 0;
    size_t all = WR_ONWARD_FILES_MAX + 5;

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    while (w.s.n < all)
        fw_sql(&w, "UPDATE t SET b=randomblob(9) WHERE id=1");
    fw_store(&w);
    T_OK(wr_follow_step(f, fw_call(&w), &wait_ms, &e));
    T(w.told.phase == WR_FOLLOW_BEHIND && wait_ms == 0);
    T(w.told.txid == 1 + WR_ONWARD_FILES_MAX && w.told.newest == all && w.told.lag_ms > 0);
    T_OK(wr_follow_step(f, fw_call(&w), &wait_ms, &e));
    T(w.told.phase == WR_FOLLOW_CURRENT && w.told.txid == all && wait_ms == 1000);
    wr_follow_close(f);
    fw_release(&w);
}

struct meeting {
    atomic_uint here, most;
    atomic_bool given_up;
};

/* Wait for a second one, but not for ever. */
static void meet(struct world *w)
{
    const struct timespec nap = {.tv_nsec = 1000000};
    struct meeting *m = w->arg;
    unsigned here = atomic_fetch_add(&m->here, 1) + 1;

    if (here > atomic_load(&m->most))
        atomic_store(&m->most, here);
    for (int i = 0; i < 3000 && atomic_load(&m->most) < 2 && !atomic_load(&m->given_up); i++)
        (void)nanosleep(&nap, NULL);
    if (atomic_load(&m->most) < 2)
        atomic_store(&m->given_up, true);
    (void)atomic_fetch_sub(&m->here, 1);
}

static void test_small_files_were_opened_one_after_the_other(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct meeting m = {0};
    struct wr_restore_result r = {0};
    struct wr_follow_opts o;
    struct wr_err e = {0};
    int64_t wait_ms = 0;

    (void)state;
    fw_init(&w, true);
    o = fw_opts(&w);
    o.restore.parallel = 0;
    T_OK(wr_follow_open(w.w.storage, fw_call(&w), &o, &f, &r, &e));
    while (w.s.n < 20)
        fw_sql(&w, "UPDATE t SET b=randomblob(9) WHERE id=1");
    fw_store(&w);
    w.w.in_get = meet;
    w.w.arg = &m;
    T_OK(wr_follow_step(f, fw_call(&w), &wait_ms, &e));
    T(w.told.txid == 20 && atomic_load(&m.most) >= 2);
    wr_follow_close(f);
    fw_release(&w);
}

/* What is found by names alone goes on at once, too. */
static void test_many_by_their_names(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    int64_t wait_ms = 0;

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    T_OK(fw_steps(&w, f, &e));
    while (w.s.n < 20)
        fw_sql(&w, "UPDATE t SET b=randomblob(9) WHERE id=1");
    fw_store(&w);
    T_OK(wr_follow_step(f, fw_call(&w), &wait_ms, &e));
    T(w.told.txid == 9 && wait_ms == 0);
    T_OK(wr_follow_step(f, fw_call(&w), &wait_ms, &e));
    T(w.told.txid == 20 && wait_ms == 1000);
    wr_follow_close(f);
    fw_release(&w);
}

/* A gap in level 0 is filled from above; a file under another one's name is done without. */
static void test_gaps(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    struct wr_call c;
    struct wr_buf b;
    int64_t wait_ms = 0;

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    c = fw_clocked(&w);
    T_OK(wr_follow_step(f, &c, &wait_ms, &e));
    fw_sql(&w, "UPDATE t SET b=1");
    fw_sql(&w, "UPDATE t SET b=2");
    story_put(&w.s, &w.w, 1, 2, 2);
    story_put(&w.s, &w.w, 0, 3, 3);
    wr_clock_manual_advance(&w.clock, 15000000000);
    T_OK(wr_follow_step(f, &c, &wait_ms, &e));
    T(w.told.txid == 3);

    fw_sql(&w, "UPDATE t SET b=3");
    fw_sql(&w, "UPDATE t SET b=4");
    wr_buf_init(&b, (size_t)1 << 20);
    story_file(&w.s, 4, 4, &b);
    world_store(
        &w.w, wr_layout_ltx_key(t_call()->scratch, w.w.storage, 0, 4, 5), wr_buf_bytes(&b), 4000);
    wr_buf_release(&b);
    wr_clock_manual_advance(&w.clock, 15000000000);
    T_OK(wr_follow_step(f, &c, &wait_ms, &e));
    T(w.told.phase == WR_FOLLOW_FAILING && w.told.txid == 3 &&
        strstr(w.line, "another one's name"));
    story_put(&w.s, &w.w, 1, 4, 5);
    T_OK(wr_follow_step(f, &c, &wait_ms, &e));
    T(w.told.phase == WR_FOLLOW_CURRENT && w.told.txid == 5);
    fw_check_is(&w, 5);

    fw_delete(&w, 9, 1, 1);
    fw_delete(&w, 1, 2, 2);
    fw_delete(&w, 0, 3, 3);
    fw_delete(&w, 1, 4, 5);
    fw_delete(&w, 0, 4, 5);
    wr_clock_manual_advance(&w.clock, 300000000000);
    T_OK(wr_follow_step(f, &c, &wait_ms, &e));
    T(w.told.phase == WR_FOLLOW_FAILING && strstr(w.line, "the replica is empty"));
    wr_follow_close(f);
    fw_release(&w);
}

static void test_run_ends_with_a_reason(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_follow_opts o;
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    sqlite3 *other = NULL;

    (void)state;
    fw_init(&w, true);
    o = (struct wr_follow_opts){.restore = {.path = w.copy}, .interval_ms = 1};
    T_OK(wr_follow_open(w.w.storage, fw_call(&w), &o, &f, &r, &e));
    T(sqlite3_open(w.copy, &other) == SQLITE_OK);
    fw_sql_at(other, "DELETE FROM t");
    T(sqlite3_close(other) == SQLITE_OK);
    fw_sql(&w, "UPDATE t SET b=1");
    fw_store(&w);
    T_IS(WR_CONFLICT, wr_follow_run(f, fw_call(&w), &e));
    T(strstr(e.text, "something else has written to it"));
    wr_follow_close(f);
    fw_release(&w);
}

static void cancel_at_last(void *arg, const struct wr_restore_progress *p)
{
    if (p->phase == WR_RESTORE_PLACING)
        wr_cancel_now(&((struct fw *)arg)->cancel);
}

/* It was to go on, but a reader was in the way; it was to be replaced, but that was given up. */
static void test_a_copy_that_stays_is_known(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_follow_opts o;
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    sqlite3 *reader = NULL;

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    T(sqlite3_open(w.copy, &reader) == SQLITE_OK);
    fw_sql_at(reader, "BEGIN; SELECT * FROM t");
    fw_sql(&w, "UPDATE t SET b=1");
    fw_store(&w);
    T_OK(fw_steps(&w, f, &e));
    T(w.told.phase == WR_FOLLOW_WAITING && w.told.txid == 1);
    wr_follow_close(f);
    f = NULL;
    T(sqlite3_close(reader) == SQLITE_OK);
    o = fw_opts(&w);
    o.restore.overwrite = true;
    o.restore.progress = cancel_at_last;
    o.restore.progress_arg = &w;
    T_IS(WR_CANCELED, wr_follow_open(w.w.storage, fw_call(&w), &o, &f, &r, &e));
    wr_cancel_release(&w.cancel);
    wr_cancel_init(&w.cancel);
    fw_check_is(&w, 1);
    T_OK(fw_open(&w, &f, &e));
    T_OK(fw_steps(&w, f, &e));
    fw_check_is(&w, 2);
    wr_follow_close(f);
    fw_release(&w);
}

/* A -txid that cannot be read, as of another user, is no matter for who has the record. */
static void test_an_unreadable_txid(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    uint64_t txid = 0;

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    wr_follow_close(f);
    f = NULL;
    T(unlink(t_path(w.dir, "copy-txid")) == 0 &&
        symlink("copy-txid", t_path(w.dir, "copy-txid")) == 0);
    T_OK(fw_open(&w, &f, &e));
    T_OK(wr_follow_txid_get(wr_fs_posix(), w.copy, &txid, &e));
    T(txid == 1);
    wr_follow_close(f);
    fw_release(&w);
}

static void test_copies_that_are_none(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    uint8_t *p;
    size_t n;

    (void)state;
    fw_init(&w, true);
    n = (size_t)w.s.image[1].commit * w.s.page_size;
    p = wr_arena_alloc(t_call()->scratch, n + 1);
    memcpy(p, w.s.image[1].data, n);
    t_spew(t_path(w.dir, "copy-txid"), "0000000000000001\n", 17);
    t_spew(w.copy, p, n);
    T_IS(WR_CONFLICT, fw_open(&w, &f, &e));
    T(strstr(e.text, "WAL mode") && strstr(e.text, w.copy));
    p[18] = p[19] = 1;
    t_spew(w.copy, p, n + 1);
    T_IS(WR_CORRUPT, fw_open(&w, &f, &e));
    T(strstr(e.text, "number of pages"));
    fw_release(&w);
}

/* Litestream's files lack pages that were cut off and have come back as they were. A restore takes
 * them from older files; the copy has cut them off. */
static void test_pages_that_come_back(void **state)
{
    (void)state;
    for (int by_name = 0; by_name < 2; by_name++) {
        struct fw w;
        struct wr_follow *f = NULL;
        struct wr_err e = {0};
        const struct image *before;

        fw_init(&w, false);
        T_OK(fw_open(&w, &f, &e));
        fw_sql(&w, "INSERT INTO u VALUES(randomblob(30000))");
        fw_store(&w);
        T_OK(fw_steps(&w, f, &e));
        fw_sql(&w, "DELETE FROM u; VACUUM");
        fw_store(&w);
        T_OK(fw_steps(&w, f, &e));
        fw_check_is(&w, 3);
        before = &w.s.image[2];
        t_spew(w.source, before->data, (size_t)before->commit * w.s.page_size);
        fw_take(&w);
        T(w.s.image[4].commit > w.s.image[3].commit);
        for (uint32_t pgno = w.s.image[3].commit + 1; pgno <= w.s.image[4].commit; pgno++)
            w.s.image[4].changed[pgno] = false;
        if (!by_name) {
            wr_follow_close(f);
            f = NULL;
            T_OK(fw_open(&w, &f, &e));
        }
        fw_store(&w);
        T_OK(fw_steps(&w, f, &e));
        T(w.told.phase == WR_FOLLOW_CURRENT && w.told.txid == 4 && w.errors == 0);
        fw_check_is(&w, 4);
        wr_follow_close(f);
        fw_release(&w);
    }
}

/* A proxy has answered with something else, once, and no other file holds the transaction. */
static void test_damage_that_passes(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    struct wr_call c;
    struct wr_buf b;
    int64_t wait_ms = 0;

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    c = fw_clocked(&w);
    fw_sql(&w, "UPDATE t SET b=randomblob(150) WHERE id < 100");
    wr_buf_init(&b, (size_t)1 << 20);
    story_file(&w.s, 2, 2, &b);
    b.p[b.n / 2] ^= 1;
    world_store(
        &w.w, wr_layout_ltx_key(t_call()->scratch, w.w.storage, 0, 2, 2), wr_buf_bytes(&b), 2000);
    wr_buf_release(&b);
    for (int i = 0; i < 2; i++)
        T_OK(wr_follow_step(f, &c, &wait_ms, &e));
    T(w.told.phase == WR_FOLLOW_FAILING && strstr(w.line, "damaged"));
    story_put(&w.s, &w.w, 0, 2, 2);
    wr_clock_manual_advance(&w.clock, 300000000000);
    T_OK(wr_follow_step(f, &c, &wait_ms, &e));
    T(w.told.phase == WR_FOLLOW_CURRENT && w.told.txid == 2);
    fw_check_is(&w, 2);
    wr_follow_close(f);
    fw_release(&w);
}

static void pass_time(struct world *w, uint64_t nth)
{
    (void)nth;
    wr_clock_manual_advance(w->arg, 1200000000000);
}

/* A directory that root's follower made was root's, with the copy in it. */
static void test_a_directory_that_was_made_was_roots(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_follow_opts o;
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct stat is, want;

    (void)state;
    fw_init(&w, true);
    if (geteuid() == 0)
        T(chown(w.dir, 12345, 23456) == 0);
    T(stat(w.dir, &want) == 0);
    w.copy = t_path(w.dir, "new/copy");
    o = fw_opts(&w);
    o.restore.fs = wr_fs_posix();
    T_OK(wr_follow_open(w.w.storage, fw_call(&w), &o, &f, &r, &e));
    wr_follow_close(f);
    T(stat(t_path(w.dir, "new"), &is) == 0 && is.st_uid == want.st_uid && is.st_gid == want.st_gid);
    T(stat(w.copy, &is) == 0 && is.st_uid == want.st_uid && is.st_gid == want.st_gid);
    fw_release(&w);
}

/* What was fetched had no place of its own beside a copy with a long name. */
static void test_a_large_change_of_a_long_name(void **state)
{
    char name[248] = {0};
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};

    (void)state;
    fw_init(&w, true);
    memset(name, 'n', sizeof(name) - 1);
    w.copy = t_path(w.dir, name);
    T_OK(fw_open(&w, &f, &e));
    fw_sql(&w, "INSERT INTO u VALUES(randomblob(1300000))");
    fw_store(&w);
    T_OK(fw_steps(&w, f, &e));
    T(w.told.phase == WR_FOLLOW_CURRENT && w.told.txid == 2);
    fw_check_is(&w, 2);
    wr_follow_close(f);
    fw_release(&w);
}

/* A large transaction over a slow line takes as long as it takes. */
static void test_a_slow_line(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    struct wr_call c;
    int64_t wait_ms = 0;

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    c = fw_clocked(&w);
    fw_sql(&w, "INSERT INTO u VALUES(randomblob(600000))");
    fw_sql(&w, "INSERT INTO u VALUES(randomblob(600000))");
    fw_store(&w);
    w.w.in_piece = pass_time;
    w.w.arg = &w.clock;
    T_OK(wr_follow_step(f, &c, &wait_ms, &e));
    T(w.told.phase == WR_FOLLOW_CURRENT && w.told.txid == 3);
    fw_check_is(&w, 3);
    wr_follow_close(f);
    fw_release(&w);
}

T_MAIN(T_TEST(test_the_way_on), T_TEST(test_every_transaction), T_TEST(test_random_replicas),
    T_TEST(test_a_reader_sees_each_state_whole), T_TEST(test_a_writer_is_refused),
    T_TEST(test_one_follower), T_TEST(test_a_follower_that_begins_waits_for_others),
    T_TEST(test_another_history), T_TEST(test_a_page_of_the_copy_rotted),
    T_TEST(test_a_copy_that_cannot_be_read_was_no_finding),
    T_TEST(test_a_copy_that_cannot_be_read_now_is_read_later), T_TEST(test_files_are_gone),
    T_TEST(test_damaged_files), T_TEST(test_failing_requests), T_TEST(test_what_is_there),
    T_TEST(test_no_backup), T_TEST(test_cancel), T_TEST(test_another_page_size),
    T_TEST(test_by_a_link), T_TEST(test_anew), T_TEST(test_patience), T_TEST(test_many_at_once),
    T_TEST(test_small_files_were_opened_one_after_the_other), T_TEST(test_many_by_their_names),
    T_TEST(test_gaps), T_TEST(test_pages_that_come_back), T_TEST(test_damage_that_passes),
    T_TEST(test_a_slow_line), T_TEST(test_a_large_change_of_a_long_name),
    T_TEST(test_a_directory_that_was_made_was_roots), T_TEST(test_run_ends_with_a_reason),
    T_TEST(test_an_unreadable_txid), T_TEST(test_a_copy_that_stays_is_known),
    T_TEST(test_copies_that_are_none), T_TEST(test_nomem),
    T_TEST(test_nomem_of_a_copy_that_is_there))
