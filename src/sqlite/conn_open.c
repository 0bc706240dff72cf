/*
 * conn_open.c - a database's two connections, from the first look at its path until they are
 * closed.
 */
#include "base/mem.h"
#include "base/str.h"
#include "sqlite/conn_int.h"
#include "sqlite/index_map.h"
#include "sqlite/pin.h"

#include <errno.h>
#include <sys/stat.h>

static int configure(sqlite3 *db)
{
    int rc = sqlite3_busy_timeout(db, WR_CONN_BUSY_MS);

    /* A pinned connection runs no SQL of the database: no triggers, no views, no functions. */
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 0, 0);
    if (rc == SQLITE_OK)
        rc =
            sqlite3_exec(db, "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=1; PRAGMA mmap_size=0",
                NULL, NULL, NULL);
    /* The first statement has read the schema, and before that set aside room for 20 pages, which a
     * cache of less than three never does. There may be thousands of us. */
    if (rc == SQLITE_OK)
        (void)sqlite3_db_release_memory(db); /* cannot fail */
    if (rc == SQLITE_OK)
        (void)sqlite3_drop_modules(db, NULL); /* what no statement of ours uses; cannot fail */
    return rc;
}

/* Forget the schema, which may have hundreds of tables, and takes a hundred times as long to read
 * as the one page that WR_CONN_LOOK needs. Cannot fail but for memory, and then it is kept. */
static void forget_schema(sqlite3 *db)
{
    (void)sqlite3_exec(db, "PRAGMA writable_schema=RESET", NULL, NULL, NULL);
    (void)sqlite3_db_release_memory(db);
}

/* Why the database cannot be opened, for whoever has to do something about it. */
static enum wr_status open_fail(sqlite3 *db, int rc, const char *what, struct wr_err *e)
{
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return wr_fail(e, WR_BUSY,
            "database is locked: another process holds it exclusively "
            "(locking_mode=EXCLUSIVE, or a long exclusive transaction)");
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
        if (sqlite3_system_errno(db) == EMFILE || sqlite3_system_errno(db) == ENFILE)
            return wr_fail(e, WR_IO,
                "no more files can be open: raise the limit (ulimit -Hn, LimitNOFILE=), or have "
                "fewer databases held open at once (open-max)");
        return wr_fail(e, WR_UNSUPPORTED,
            "cannot create the -wal and -shm files beside it: the directory or the files are "
            "read-only for this user (%s)",
            sqlite3_errmsg(db));
    default:
        return wr_conn_sql_fail(db, rc, what, e);
    }
}

static enum wr_status open_one(const char *path, const char *vfs, sqlite3 **ret, struct wr_err *e)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, vfs);

    if (rc == SQLITE_OK)
        rc = configure(db);
    if (rc != SQLITE_OK) {
        enum wr_status st = open_fail(db, rc, "open", e);

        (void)sqlite3_close(db);
        return st;
    }
    *ret = db;
    return WR_OK;
}

static enum wr_status empty_fail(const char *path, struct wr_err *e)
{
    return wr_fail(e, WR_NOTFOUND, "open %s: the file is empty, nothing was written yet", path);
}

/* Journal mode to WAL if it is not, as Litestream does; then the first read, which maps the WAL.
 *
 * Not if there is no page, as where the first transaction of all was cut short and has just been
 * rolled back: this would make a database of our own page size, and whoever is about to make one
 * gets no other any more. Pages that are committed do not go away again. */
static enum wr_status enter_wal(struct wr_conn *c, bool *switched, struct wr_err *e)
{
    char mode[32], version[16], pages[16];
    int rc = wr_conn_sql_text(c->db, "PRAGMA journal_mode", mode, sizeof(mode));

    if (rc == SQLITE_OK && strcmp(mode, "wal") != 0) {
        rc = wr_conn_sql_text(c->db, "PRAGMA page_count", pages, sizeof(pages));
        if (rc == SQLITE_OK && strcmp(pages, "0") == 0)
            return empty_fail(c->path, e);
    }
    if (rc == SQLITE_OK && strcmp(mode, "wal") != 0) {
        rc = wr_conn_sql_text(c->db, "PRAGMA journal_mode=wal", mode, sizeof(mode));
        if (rc == SQLITE_OK && strcmp(mode, "wal") != 0) {
            return wr_fail(e, WR_UNSUPPORTED,
                "it must be in WAL mode and cannot be switched (journal mode is \"%s\"): "
                "is it on a network file system or a read-only directory?",
                mode);
        }
        *switched = true;
    }
    if (rc == SQLITE_OK)
        rc = wr_conn_sql_text(c->db, WR_CONN_LOOK, version, sizeof(version));
    return rc == SQLITE_OK ? WR_OK : open_fail(c->db, rc, "read", e);
}

static bool has_files(const struct wr_conn *c)
{
    return c->file && c->file->pMethods && c->wal && c->wal->pMethods;
}

static enum wr_status handles(struct wr_conn *c, struct wr_err *e)
{
    volatile void *map = NULL;
    int rc = sqlite3_file_control(c->db, "main", SQLITE_FCNTL_FILE_POINTER, &c->file);

    if (rc == SQLITE_OK)
        rc = sqlite3_file_control(c->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &c->wal);
    if (rc != SQLITE_OK || !has_files(c)) /* uncovered: enter_wal has opened both */
        return wr_fail(e, WR_INTERNAL, "SQLite gave no file handles (code %d)", rc);
    rc = c->file->pMethods->xShmMap(c->file, 0, WR_CONN_SHM_BYTES, 0, &map);
    if (rc != SQLITE_OK)
        return wr_fail(e, WR_IO, "map the wal-index: %s", sqlite3_errstr(rc));
    if (!map) /* uncovered: enter_wal has mapped it */
        return wr_fail(e, WR_INTERNAL, "SQLite has no wal-index");
    c->shm = map;
    c->head = wr_index_map(map, WR_CONN_SHM_BYTES);
    return WR_OK;
}

static enum wr_status page_size_of(struct wr_conn *c, uint32_t *ret, struct wr_err *e)
{
    char text[24];
    uint64_t n = 0;
    int rc = wr_conn_sql_text(c->db, "PRAGMA page_size", text, sizeof(text));

    if (rc != SQLITE_OK)
        return wr_conn_sql_fail(c->db, rc, "page size", e);
    if (!wr_parse_u64(wr_str(text), &n) || n < 512 || n > 65536) /* uncovered: SQLite's word */
        return wr_fail(e, WR_CORRUPT, "page size is \"%s\"", text);
    *ret = (uint32_t)n;
    return WR_OK;
}

enum wr_status wr_conn_open(
    const char *path, struct wr_conn **ret, struct wr_conn_info *ret_info, struct wr_err *e)
{
    struct wr_conn *c = NULL;
    struct wr_conn_info info = {0};
    struct stat before;
    enum wr_status st = wr_pin_register(e);

    if (st != WR_OK)
        return st;
    if (stat(path, &before) != 0)
        return wr_fail_errno(e, errno, "open %s", path);
    if (S_ISDIR(before.st_mode))
        return wr_fail(e, WR_UNSUPPORTED, "open %s: it is a directory", path);
    if (before.st_size <= 1) /* SQLite takes a file of one byte for an empty one, too */
        return empty_fail(path, e);

    c = wr_alloc(sizeof(*c));
    if (!c || !(c->path = wr_strndup(path, strlen(path)))) {
        st = wr_fail(e, WR_NOMEM, "open %s: out of memory", path);
        goto out;
    }
    c->is[WR_CONN_DB_FILE] = wr_file_id_from(&before);
    st = open_one(path, WR_PIN_VFS, &c->db, e);
    if (st == WR_OK)
        st = enter_wal(c, &info.switched_to_wal, e);
    if (st == WR_OK)
        st = handles(c, e);
    if (st == WR_OK)
        st = page_size_of(c, &info.page_size, e);
    if (st == WR_OK)
        st = open_one(wr_conn_path(c), WR_MARK_VFS, &c->reader, e);
    if (st == WR_OK) {
        forget_schema(c->db);
        forget_schema(c->reader);
    }
    if (st == WR_OK && (!wr_conn_identify(c, WR_CONN_WAL_FILE, &c->is[WR_CONN_WAL_FILE]) ||
                           !wr_conn_identify(c, WR_CONN_SHM_FILE, &c->is[WR_CONN_SHM_FILE])))
        st = wr_fail(e, WR_BUSY, "its -wal and -shm files vanished while it was opened");
    /* The file may have been replaced between stat and open: then is[] is not what we read. */
    if (st == WR_OK && !wr_conn_in_place(c))
        st = wr_fail(e, WR_BUSY, "the file was replaced while it was opened");
    if (st != WR_OK) {
        st = wr_wrap(e, st, "open %s", path);
        goto out;
    }
    *ret_info = info;
    *ret = c;
    c = NULL;
out:
    wr_conn_close(c);
    return st;
}

void wr_conn_close(struct wr_conn *c)
{
    if (!c)
        return;
    wr_conn_mark_end(c);
    if (c->shm) {
        wr_pin_give(c->file, WR_SLOT_WRITE);
        wr_pin_give(c->file, WR_SLOT_CKPT);
    }
    if (c->shm)
        wr_index_unmap(c->head, c->shm);
    (void)sqlite3_close(c->reader);
    (void)sqlite3_close(c->db);
    wr_free(c->path);
    wr_free(c);
}

void wr_conn_rest(struct wr_conn *c)
{
    (void)sqlite3_db_release_memory(c->reader);
    (void)sqlite3_db_release_memory(c->db);
    wr_index_rest(c->head, c->shm, WR_CONN_SHM_BYTES);
}

void wr_conn_leave_wal(struct wr_conn *c)
{
    /* It fails for options that SQLite does not know, and this one is older than what we build on.
     */
    (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_db_config(c->reader, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}
