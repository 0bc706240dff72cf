/*
 * reading.c - see reading.h.
 */
#include "sqlite/reading.h"

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/url.h"
#include "sqlite/api.h"
#include "sqlite/wal.h"
#include "sqlite/walidx.h"

#define BUSY_MS    2000  /* SQLite's own patience: a recovery of the WAL takes a moment */
#define TRIES      1000u /* for a moment at which nobody commits */
#define FRAMES_MAX ((size_t)1 << 26) /* distinct pages in the WAL, as in a view */
#define SHM_PAGE   32768

struct wr_reading {
    sqlite3 *db;
    sqlite3_file *file, *wal; /* of db; wal NULL: not in WAL mode */
    const volatile uint8_t *shm;
    struct wr_walidx index;
    struct wr_pgmap frames; /* page -> its newest frame, if it is to be read from the WAL */
    uint32_t page_size, commit;
};

static enum wr_status fail(const struct wr_reading *r, int rc, const char *what, struct wr_err *e)
{
    enum wr_status st = WR_IO;

    switch (rc & 0xff) {
    case SQLITE_NOTADB:
        return wr_fail(e, WR_UNSUPPORTED, "it is not an SQLite database, or it is encrypted");
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return wr_fail(e, WR_UNSUPPORTED,
            "it cannot be read by this user: a reader needs the -wal and -shm files beside it (%s)",
            r->db ? sqlite3_errmsg(r->db) : sqlite3_errstr(rc));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        st = WR_BUSY;
        break;
    case SQLITE_NOMEM:
        st = WR_NOMEM;
        break;
    case SQLITE_CORRUPT:
        st = WR_CORRUPT;
        break;
    default:
        break;
    }
    return wr_fail(e, st, "%s: %s (SQLite code %d)", what,
        r->db ? sqlite3_errmsg(r->db) : sqlite3_errstr(rc), rc);
}

/* The first column of the first row. */
static int ask(sqlite3 *db, const char *sql, int64_t *ret)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), end;

    if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        *ret = sqlite3_column_int64(stmt, 0);
        rc = SQLITE_OK;
    } else if (rc == SQLITE_DONE) {
        rc = SQLITE_OK;
    }
    end = sqlite3_finalize(stmt);
    return rc == SQLITE_OK ? end : rc;
}

/* The path as a URI, or one that looks like a URI would be taken for that. Not read-only: as such
 * SQLite reads no WAL that is yet to be recovered. Nothing is written all the same. */
static int open_file(const char *path, sqlite3 **ret)
{
    struct wr_buf uri;
    int rc = SQLITE_NOMEM;

    wr_buf_init(&uri, 16384);
    wr_buf_z(&uri, "file:");
    wr_url_encode(&uri, wr_str(path), true);
    if (wr_buf_status(&uri) == WR_OK)
        rc = sqlite3_open_v2((const char *)uri.p, ret,
            SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI | SQLITE_OPEN_PRIVATECACHE |
                SQLITE_OPEN_FULLMUTEX,
            NULL);
    wr_buf_release(&uri);
    return rc;
}

static int configure(sqlite3 *db)
{
    int rc = sqlite3_busy_timeout(db, BUSY_MS);

    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    /* If nobody else has it open, the end of this must not be a checkpoint. */
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(
            db, "PRAGMA query_only=1; PRAGMA cache_size=1; PRAGMA mmap_size=0", NULL, NULL, NULL);
    return rc;
}

static int begin(struct wr_reading *r)
{
    int64_t any;
    int rc = sqlite3_exec(r->db, "BEGIN", NULL, NULL, NULL);

    if (rc == SQLITE_OK)
        rc = ask(r->db, "SELECT count(*) FROM (SELECT 1 FROM sqlite_schema LIMIT 1)", &any);
    return rc;
}

static void barrier(void *arg)
{
    struct wr_reading *r = arg;

    r->file->pMethods->xShmBarrier(r->file);
}

/* The handles of the files, and the wal-index, if there is one: a read has opened them. */
static enum wr_status handles(struct wr_reading *r, struct wr_err *e)
{
    volatile void *map = NULL;
    sqlite3_file *wal = NULL;
    int64_t is_wal = 0;
    int rc = sqlite3_file_control(r->db, "main", SQLITE_FCNTL_FILE_POINTER, &r->file);

    if (rc == SQLITE_OK)
        rc = ask(r->db, "SELECT journal_mode = 'wal' FROM pragma_journal_mode", &is_wal);
    if (rc == SQLITE_OK && is_wal)
        rc = sqlite3_file_control(r->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
    if (rc == SQLITE_OK && is_wal)
        rc = r->file->pMethods->xShmMap(r->file, 0, SHM_PAGE, 0, &map);
    if (rc != SQLITE_OK)
        return fail(r, rc, "read", e);
    r->wal = wal;
    r->shm = map;
    return WR_OK;
}

static bool same(const struct wr_walidx *a, const struct wr_walidx *b)
{
    return a->change == b->change && a->mx_frame == b->mx_frame && a->n_page == b->n_page &&
           memcmp(a->salt, b->salt, sizeof(a->salt)) == 0 &&
           memcmp(a->frame_cksum, b->frame_cksum, sizeof(a->frame_cksum)) == 0;
}

/* Read r->index once more, as how much of the WAL is copied is not part of its header: a writer
 * that begins the WAL anew changes the header, and then sets that to 0. As long as the header
 * stays, it was of this WAL. */
static enum wr_status reread(struct wr_reading *r, bool *ret_same, struct wr_err *e)
{
    struct wr_walidx after;
    enum wr_status st = wr_walidx_read(r->shm, barrier, r, &r->index, e);

    if (st == WR_OK)
        st = wr_walidx_read(r->shm, barrier, r, &after, e);
    *ret_same = st == WR_OK && same(&r->index, &after);
    return st;
}

/* A transaction on the very state of r->index. */
static enum wr_status settle(struct wr_reading *r, struct wr_err *e)
{
    for (unsigned i = 0; i < TRIES; i++) {
        struct wr_walidx before;
        bool stays = false;
        enum wr_status st = wr_walidx_read(r->shm, barrier, r, &before, e);
        int rc;

        if (st == WR_OK) {
            rc = begin(r);
            if (rc != SQLITE_OK)
                return fail(r, rc, "read", e);
            st = reread(r, &stays, e);
            if (stays && same(&before, &r->index))
                return WR_OK;
            rc = sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);
            if (rc != SQLITE_OK)
                return fail(r, rc, "read", e);
        }
        if (st != WR_OK && st != WR_BUSY)
            return st;
        (void)sqlite3_sleep(1);
    }
    return wr_fail(e, WR_BUSY, "it is written to so often that no state of it could be read");
}

static enum wr_status read_wal(
    struct wr_reading *r, uint64_t off, void *buf, size_t n, struct wr_err *e)
{
    int rc = r->wal->pMethods->xRead(r->wal, buf, (int)n, (sqlite3_int64)off);

    if (rc == SQLITE_IOERR_SHORT_READ)
        return wr_fail(e, WR_CORRUPT, "its WAL ends before the last transaction does");
    return rc == SQLITE_OK ? WR_OK : fail(r, rc, "read its WAL", e);
}

/* Which pages are to be read from the WAL: none once all of it is in the database file, as then a
 * writer may begin it anew. Else all that it has, also those that count as copied: a checkpoint
 * leaves out a frame for a newer one that it must not copy yet. */
static enum wr_status map_frames(struct wr_reading *r, struct wr_err *e)
{
    uint8_t header[WR_FRAME_HEADER];
    enum wr_status st = WR_OK;

    if (r->index.n_backfill == r->index.mx_frame)
        return WR_OK;
    for (uint32_t n = 1; n <= r->index.mx_frame && st == WR_OK; n++) {
        struct wr_frame f;

        st = read_wal(r, wr_frame_offset(n, r->page_size), header, sizeof(header), e);
        if (st != WR_OK)
            break;
        wr_frame_get(header, &f);
        if (memcmp(f.salt, r->index.salt, sizeof(f.salt)) != 0 || f.pgno == 0)
            return wr_fail(e, WR_CORRUPT, "frame %u of its WAL is not what its index says", n);
        st = wr_pgmap_set(&r->frames, f.pgno, n);
        if (st != WR_OK)
            (void)wr_fail(e, st, "its WAL has frames of too many pages for the memory there is");
    }
    return st;
}

static enum wr_status sizes(struct wr_reading *r, struct wr_err *e)
{
    int64_t page_size = 0, commit = 0;
    int rc = ask(r->db, "PRAGMA page_size", &page_size);

    if (rc == SQLITE_OK)
        rc = ask(r->db, "PRAGMA page_count", &commit);
    if (rc != SQLITE_OK)
        return fail(r, rc, "read", e);
    if (commit == 0)
        return wr_fail(e, WR_NOTFOUND, "it is empty, nothing was written yet");
    r->page_size = (uint32_t)page_size;
    r->commit = (uint32_t)commit;
    return WR_OK;
}

static enum wr_status start(struct wr_reading *r, const char *path, struct wr_err *e)
{
    enum wr_status st;
    int rc = open_file(path, &r->db);

    if ((rc & 0xff) == SQLITE_CANTOPEN)
        return wr_fail(e, WR_NOTFOUND, "there is no database that this user can open");
    if (rc == SQLITE_OK)
        rc = configure(r->db);
    if (rc == SQLITE_OK)
        rc = begin(r);
    if (rc != SQLITE_OK)
        return fail(r, rc, "read", e);
    st = handles(r, e);
    if (st == WR_OK && r->shm) {
        rc = sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);
        st = rc == SQLITE_OK ? settle(r, e) : fail(r, rc, "read", e);
    }
    if (st == WR_OK)
        st = sizes(r, e);
    if (st == WR_OK && r->shm)
        st = map_frames(r, e);
    return st;
}

enum wr_status wr_reading_begin(
    const char *path, struct wr_reading **ret, struct wr_reading_info *ret_info, struct wr_err *e)
{
    struct wr_reading *r = wr_alloc(sizeof(*r));
    enum wr_status st;

    if (!r)
        return wr_fail(e, WR_NOMEM, "read %s: out of memory", path);
    wr_pgmap_init(&r->frames, FRAMES_MAX);
    st = start(r, path, e);
    if (st != WR_OK) {
        wr_reading_end(r);
        return wr_wrap(e, st, "read %s", path);
    }
    *ret_info = (struct wr_reading_info){.page_size = r->page_size, .commit = r->commit};
    *ret = r;
    return WR_OK;
}

void wr_reading_end(struct wr_reading *r)
{
    struct wr_walidx now;
    struct wr_err e = {0};

    if (!r)
        return;
    /* An empty WAL may be ours: then it goes, as it does after any other reader. */
    if (r->shm && wr_walidx_read(r->shm, barrier, r, &now, &e) == WR_OK && now.mx_frame == 0)
        (void)sqlite3_db_config(r->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    (void)sqlite3_close(r->db); /* and with it the transaction */
    wr_pgmap_release(&r->frames);
    wr_free(r);
}

enum wr_status wr_reading_pages(
    struct wr_reading *r, uint32_t first, uint32_t n, uint8_t *buf, struct wr_err *e)
{
    int rc = r->file->pMethods->xRead(r->file, buf, (int)(n * (size_t)r->page_size),
        (sqlite3_int64)((first - 1) * (uint64_t)r->page_size));
    enum wr_status st = WR_OK;

    /* SQLite has then set the rest to zeros: pages that are in the WAL only. */
    if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ)
        return fail(r, rc, "read", e);
    for (uint32_t i = 0; i < n && r->frames.n > 0 && st == WR_OK; i++) {
        uint32_t frame;

        if (wr_pgmap_get(&r->frames, first + i, &frame))
            st = read_wal(r, wr_frame_offset(frame, r->page_size) + WR_FRAME_HEADER,
                buf + (size_t)i * r->page_size, r->page_size, e);
    }
    return st;
}
