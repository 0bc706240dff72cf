/*
 * dbfile.c - see dbfile.h.
 */
#include "sqlite/dbfile.h"

#include "base/mem.h"
#include "sqlite/open.h"

struct wr_dbfile {
    sqlite3 *db; /* no SQL is ever run on it, so that SQLite does no more than open the file */
    sqlite3_file *file;
};

static enum wr_status fail(const char *what, int rc, struct wr_err *e)
{
    return wr_fail(e, (rc & 0xff) == SQLITE_NOMEM ? WR_NOMEM : WR_IO, "%s the database there: %s",
        what, sqlite3_errstr(rc));
}

enum wr_status wr_dbfile_open(
    const char *path, struct wr_dbfile **ret, uint64_t *ret_size, struct wr_err *e)
{
    struct wr_dbfile *f = wr_alloc(sizeof(*f));
    sqlite3_int64 size = 0;
    int rc;

    if (!f)
        return wr_fail(e, WR_NOMEM, "open %s: out of memory", path);
    /* With a cache of its own, whatever the program has made the default. */
    rc = wr_sqlite_open(path, SQLITE_OPEN_READONLY | SQLITE_OPEN_PRIVATECACHE, NULL, &f->db);
    if (rc == SQLITE_OK)
        rc = sqlite3_file_control(f->db, "main", SQLITE_FCNTL_FILE_POINTER, &f->file);
    if (rc == SQLITE_OK && f->file->pMethods)
        rc = f->file->pMethods->xFileSize(f->file, &size);
    else if (rc == SQLITE_OK)
        rc = SQLITE_CANTOPEN;
    if (rc != SQLITE_OK) {
        wr_dbfile_close(f);
        if ((rc & 0xff) == SQLITE_CANTOPEN)
            return wr_fail(e, WR_NOTFOUND, "no database at %s that can be read", path);
        return fail("open", rc, e);
    }
    *ret = f;
    *ret_size = (uint64_t)size;
    return WR_OK;
}

void wr_dbfile_close(struct wr_dbfile *f)
{
    if (!f)
        return;
    (void)sqlite3_close(f->db);
    wr_free(f);
}

enum wr_status wr_dbfile_read(
    struct wr_dbfile *f, void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    int rc = f->file->pMethods->xRead(f->file, buf, (int)n, (sqlite3_int64)off);

    return rc == SQLITE_OK ? WR_OK : fail("read", rc, e);
}
