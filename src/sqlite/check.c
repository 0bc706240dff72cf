/*
 * check.c - see check.h.
 *
 * How it is ended: SQLite asks a progress handler between the steps of a statement. But all pages
 * of all b-trees are read in one such step, which before 3.41 asks nobody, and only looks for
 * sqlite3_interrupt. So every read of the file looks, too, whether the call has ended: the methods
 * of the file's handle are ours, and lead to those that it had.
 */
#include "sqlite/check.h"

#include "sqlite/open.h"

#define STEPS 10000 /* of a statement, some 100 us */

struct check {
    sqlite3_io_methods methods; /* of the file meanwhile; first, as the file leads to it */
    const sqlite3_io_methods *real;
    sqlite3_file *file;
    sqlite3 *db;
    const struct wr_call *call;
    struct wr_err ended; /* of the call, while this ran */
};

/* Each time: a statement that begins forgets that it was to end. */
static int look(void *arg)
{
    struct check *x = arg;

    if (x->ended.code == WR_OK && wr_call_check(x->call, "integrity check", &x->ended) == WR_OK)
        return 0;
    sqlite3_interrupt(x->db);
    return 1;
}

static int read_and_look(sqlite3_file *file, void *buf, int n, sqlite3_int64 off)
{
    struct check *x = (void *)(uintptr_t)file->pMethods; /* its first member */

    (void)look(x);
    return x->real->xRead(file, buf, n, off);
}

/* Get between SQLite and its file. */
static int watch(struct check *x)
{
    /* What is mapped is not read. */
    int rc = sqlite3_exec(x->db, "PRAGMA mmap_size=0", NULL, NULL, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_file_control(x->db, "main", SQLITE_FCNTL_FILE_POINTER, &x->file);
    if (rc != SQLITE_OK)
        return rc;
    x->real = x->file->pMethods;
    x->methods = *x->real;
    x->methods.xRead = read_and_look;
    x->file->pMethods = &x->methods;
    sqlite3_progress_handler(x->db, STEPS, look, x);
    return SQLITE_OK;
}

/* The first line of what it says. */
static int ask(sqlite3 *db, const char *sql, char *out, size_t size)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), end;

    if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const unsigned char *text = sqlite3_column_text(stmt, 0);

        (void)snprintf(out, size, "%s", text ? (const char *)text : ""); /* cut if it is long */
        rc = text ? SQLITE_OK : SQLITE_NOMEM;
    }
    end = sqlite3_finalize(stmt);
    return rc == SQLITE_OK || rc == SQLITE_DONE ? end : rc;
}

static enum wr_status verdict(const struct check *x, int rc, const char *text, struct wr_err *e)
{
    const char *why = x->db ? sqlite3_errmsg(x->db) : "no memory";

    /* First, as what was not looked at is among the complaints. */
    if (x->ended.code != WR_OK)
        return wr_fail(e, x->ended.code, "%s", x->ended.text);
    if ((rc & 0xff) == SQLITE_NOTADB)
        return wr_fail(e, WR_CORRUPT, "integrity check failed: %s", why);
    if (rc != SQLITE_OK)
        return wr_fail(e,
            (rc & 0xff) == SQLITE_NOMEM     ? WR_NOMEM
            : (rc & 0xff) == SQLITE_CORRUPT ? WR_CORRUPT
            : (rc & 0xff) == SQLITE_FULL    ? WR_LIMIT
                                            : WR_IO,
            "integrity check: %s (SQLite code %d)", why, rc);
    if (strcmp(text, "ok") != 0)
        return wr_fail(e, WR_CORRUPT, "integrity check failed: %s", text);
    return WR_OK;
}

enum wr_status wr_sqlite_check(
    const char *path, bool quick, const struct wr_call *c, struct wr_err *e)
{
    struct check x = {.call = c};
    char text[256] = "";
    enum wr_status st;
    /* Immutable: no locks and no sidecars, for a file that nobody else knows yet. */
    int rc = wr_sqlite_open(path, SQLITE_OPEN_READONLY, "immutable=1", &x.db);

    if (rc == SQLITE_OK)
        rc = watch(&x);
    if (rc == SQLITE_OK)
        rc = ask(x.db, quick ? "PRAGMA quick_check(1)" : "PRAGMA integrity_check(1)", text,
            sizeof(text));
    st = verdict(&x, rc, text, e);
    if (x.file)
        x.file->pMethods = x.real;
    (void)sqlite3_close(x.db);
    return st;
}
