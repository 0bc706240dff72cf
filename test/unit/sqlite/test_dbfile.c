/*
 * test_dbfile.c - the bytes of a database file, and that reading them takes no lock from anybody.
 */
#include "sqlite/dbfile.h"

#include "unit/sqlite/other_process.h"

static void test_bytes(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct wr_dbfile *f = NULL;
    struct wr_err e = {0};
    uint64_t size = 0;
    char got[6] = "";

    (void)state;
    T_IS(WR_NOTFOUND, wr_dbfile_open(path, &f, &size, &e));
    T(strstr(e.text, path));
    t_spew(path, "0123456789", 10);
    T_OK(wr_dbfile_open(path, &f, &size, &e));
    T(size == 10);
    T_OK(wr_dbfile_read(f, got, 5, 3, &e));
    assert_string_equal(got, "34567");
    T_IS(WR_IO, wr_dbfile_read(f, got, 5, 6, &e));
    wr_dbfile_close(f);
    T_IS(WR_IO, wr_dbfile_open(t_tmpdir(), &f, &size, &e)); /* which has no bytes */
}

/* Who uses the database in the same process keeps its locks: a descriptor of ours that is closed
 * would drop them. */
static void test_locks_of_this_process_stay(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct other app = other_start();
    struct wr_dbfile *f = NULL;
    struct wr_err e = {0};
    sqlite3 *db = NULL;
    uint64_t size = 0;
    uint8_t page[512];

    (void)state;
    T(sqlite3_open(path, &db) == SQLITE_OK);
    T(sqlite3_exec(db, "CREATE TABLE t(a); BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    T_OK(wr_dbfile_open(path, &f, &size, &e));
    T_OK(wr_dbfile_read(f, page, sizeof(page), 0, &e));
    wr_dbfile_close(f);
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "BEGIN IMMEDIATE", "5 ");
    T(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    other_expect(&app, "BEGIN IMMEDIATE", "0 ");
    T(sqlite3_close(db) == SQLITE_OK);
    other_end(&app);
}

T_MAIN(T_TEST(test_bytes), T_TEST(test_locks_of_this_process_stay))
