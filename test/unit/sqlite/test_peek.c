/*
 * test_peek.c - what a thread sees of a database that it does not own: commits as they are made, an
 * index in the middle of an update, one that applications no longer have, files at rest.
 */
#include "sqlite/peek.h"

#include "harness/t.h"

#include <sqlite3.h>
#include <unistd.h>

struct bench {
    const char *dir;
    const char *path;
    sqlite3 *app;
    struct wr_conn *conn;
    struct wr_peek peek;
};

static void sql(struct bench *b, const char *text)
{
    T(sqlite3_exec(b->app, text, NULL, NULL, NULL) == SQLITE_OK);
}

static void bench_open(struct bench *b)
{
    struct wr_conn_info info;
    struct wr_err e = {0};

    *b = (struct bench){.dir = t_tmpdir()};
    b->path = t_path(b->dir, "a");
    T(sqlite3_open(b->path, &b->app) == SQLITE_OK);
    sql(b, "PRAGMA journal_mode=wal; CREATE TABLE t(a)");
    T_OK(wr_conn_open(b->path, &b->conn, &info, &e));
    wr_peek_init(&b->peek);
}

static void bench_close(struct bench *b)
{
    wr_peek_close(&b->peek);
    wr_conn_close(b->conn);
    wr_peek_release(&b->peek);
    T(sqlite3_close(b->app) == SQLITE_OK);
}

static enum wr_peek_state peek(struct bench *b, uint32_t *ret_count)
{
    struct wr_walidx h = {0};
    enum wr_peek_state s = wr_peek(&b->peek, &h);

    if (s == WR_PEEK_OPEN)
        *ret_count = h.change;
    return s;
}

static void test_each_commit_counts(void **state)
{
    struct bench b;
    uint32_t first = 0, now = 0;

    (void)state;
    bench_open(&b);
    T(peek(&b, &now) == WR_PEEK_CLOSED);
    wr_peek_open(&b.peek, b.conn);
    T(peek(&b, &first) == WR_PEEK_OPEN);
    for (uint32_t i = 1; i <= 5; i++) {
        sql(&b, "INSERT INTO t VALUES(1)");
        T(peek(&b, &now) == WR_PEEK_OPEN && now == first + i);
    }
    sql(&b, "BEGIN; INSERT INTO t VALUES(2); ROLLBACK");
    T(peek(&b, &now) == WR_PEEK_OPEN && now == first + 5);
    /* The WAL begins anew, and the count goes on. */
    sql(&b, "PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES(3)");
    T(peek(&b, &now) == WR_PEEK_OPEN && now == first + 6);
    wr_peek_close(&b.peek);
    T(peek(&b, &now) == WR_PEEK_CLOSED);
    bench_close(&b);
}

static void test_torn(void **state)
{
    struct bench b;
    uint32_t now = 0;
    uint64_t dev, ino;
    volatile uint8_t *map;

    (void)state;
    bench_open(&b);
    wr_peek_open(&b.peek, b.conn);
    map = (volatile uint8_t *)(uintptr_t)wr_conn_index(b.conn, &dev, &ino);
    map[9] ^= 1; /* the count, in one of the copies */
    T(peek(&b, &now) == WR_PEEK_TORN);
    map[48 + 9] ^= 1; /* in both: no writer leaves that checksum */
    T(peek(&b, &now) == WR_PEEK_TORN);
    map[9] ^= 1;
    map[48 + 9] ^= 1;
    T(peek(&b, &now) == WR_PEEK_OPEN);
    map[12] = map[48 + 12] = 0; /* nobody has built it */
    T(peek(&b, &now) == WR_PEEK_TORN);
    map[12] = map[48 + 12] = 1;
    bench_close(&b);
}

static void test_another_index(void **state)
{
    struct bench b;
    uint32_t now = 0;
    const char *shm, *aside;

    (void)state;
    bench_open(&b);
    shm = t_path(b.dir, "a-shm");
    aside = t_path(b.dir, "aside");
    wr_peek_open(&b.peek, b.conn);
    T(rename(shm, aside) == 0);
    T(peek(&b, &now) == WR_PEEK_GONE);
    t_spew(shm, "x", 1);
    T(peek(&b, &now) == WR_PEEK_GONE);
    T(rename(aside, shm) == 0);
    T(peek(&b, &now) == WR_PEEK_OPEN);
    bench_close(&b);
}

static void test_at_rest(void **state)
{
    struct bench b;
    struct wr_file_mark db, wal;
    uint32_t now = 0;
    const char *wal_path;

    (void)state;
    bench_open(&b);
    wal_path = t_path(b.dir, "a-wal");
    T(wr_file_mark_of(b.path, &db) && wr_file_mark_of(wal_path, &wal));
    wr_peek_rest(&b.peek, b.path, wal_path, &db, &wal);
    T(peek(&b, &now) == WR_PEEK_AT_REST);
    t_sleep_ms(20); /* the clock of files moves */
    sql(&b, "INSERT INTO t VALUES(1)");
    T(peek(&b, &now) == WR_PEEK_WRITTEN);
    /* There was no WAL, and now there is one. */
    wr_peek_rest(&b.peek, b.path, wal_path, &db, NULL);
    T(peek(&b, &now) == WR_PEEK_WRITTEN);
    T(wr_file_mark_of(wal_path, &wal));
    wr_peek_rest(&b.peek, b.path, wal_path, &db, &wal);
    T(peek(&b, &now) == WR_PEEK_AT_REST);
    sql(&b, "PRAGMA wal_checkpoint(TRUNCATE)"); /* the database changes, too */
    T(peek(&b, &now) == WR_PEEK_WRITTEN);
    wr_peek_rest(&b.peek, t_path(b.dir, "nothing"), t_path(b.dir, "nothing-wal"), &db, NULL);
    T(peek(&b, &now) == WR_PEEK_WRITTEN);
    bench_close(&b);
}

T_MAIN(T_TEST(test_each_commit_counts), T_TEST(test_torn), T_TEST(test_another_index),
    T_TEST(test_at_rest))
