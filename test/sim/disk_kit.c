/*
 * disk_kit.c - see kit.h.
 */
#include "sim/disk_kit.h"

struct wr_err kit_err;

struct wr_file *kit_open(const char *path)
{
    const unsigned flags = WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE;
    struct wr_file *f;

    CHECK(wr_file_open(disk_fs(), path, flags, 0644, &f, &kit_err) == WR_OK);
    return f;
}

void kit_put(const char *path, uint8_t byte, size_t n, bool sync)
{
    struct wr_file *f = kit_open(path);
    uint8_t p[20000];

    CHECK(n <= sizeof(p));
    memset(p, byte, n);
    CHECK(wr_file_pwrite(f, p, n, 0, &kit_err) == WR_OK);
    if (sync)
        CHECK(wr_file_sync(f, &kit_err) == WR_OK);
    wr_file_close(f);
}

int kit_full_of(const char *path, size_t n)
{
    size_t is;
    const uint8_t *p = disk_peek(path, &is);

    if (!p)
        return -1;
    if (is != n)
        return -2;
    for (size_t i = 1; i < n; i++) {
        if (p[i] != p[0])
            return -2;
    }
    return p[0];
}

void kit_sqlite(void)
{
    CHECK(sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) == SQLITE_OK);
    disk_init();
    vfs_register();
    CHECK(disk_fs()->mkdir(disk_fs(), "/data", 0755, &kit_err) == WR_OK);
    CHECK(disk_fs()->sync_dir(disk_fs(), "/", &kit_err) == WR_OK);
}

int kit_sql(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

sqlite3 *kit_db(const char *pragmas)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    sqlite3 *db;

    CHECK(sqlite3_open_v2(KIT_DB, &db, flags, NULL) == SQLITE_OK);
    CHECK(sqlite3_busy_timeout(db, 60000) == SQLITE_OK);
    CHECK(kit_sql(db, pragmas) == SQLITE_OK);
    return db;
}

int64_t kit_ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    int64_t n = -2;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW) {
        if (sqlite3_column_type(stmt, 0) != SQLITE_TEXT)
            n = sqlite3_column_int64(stmt, 0);
        else if (strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") == 0)
            n = -1;
    }
    (void)sqlite3_finalize(stmt);
    return n;
}

void kit_tables(const char *pragmas)
{
    sqlite3 *db = kit_db(pragmas);

    CHECK(
        kit_sql(db, "CREATE TABLE t(n INTEGER PRIMARY KEY, x); CREATE TABLE u(n, x)") == SQLITE_OK);
    CHECK(sqlite3_close(db) == SQLITE_OK);
}
