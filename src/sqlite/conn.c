/*
 * conn.c - see conn.h. Knows SQLite's API and error codes; refuses to know why it is asked.
 */
#include "base/clock.h"
#include "base/mutant.h"
#include "sqlite/conn_int.h"
#include "sqlite/holders.h"
#include "sqlite/index_map.h"
#include "sqlite/pin.h"

#include <errno.h>
#include <time.h>

#define TRIES_PER_NAP 16u /* for the writer lock */
#define NAP_NS        20000

/* Offsets in the wal-index: WalCkptInfo in sqlite3 src/wal.c. */
#define SHM_BACKFILL  96u
#define SHM_ATTEMPTED 128u /* nBackfillAttempted */

enum wr_status wr_conn_sql_fail(sqlite3 *db, int rc, const char *what, struct wr_err *e)
{
    int primary = rc & 0xff;
    enum wr_status st = WR_IO;

    if (primary == SQLITE_NOTADB)
        return wr_fail(e, WR_UNSUPPORTED, "it is not an SQLite database, or it is encrypted");
    if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED || primary == SQLITE_PROTOCOL)
        st = WR_BUSY;
    else if (primary == SQLITE_NOMEM)
        st = WR_NOMEM;
    else if (primary == SQLITE_CORRUPT)
        st = WR_CORRUPT;
    else if (primary == SQLITE_FULL)
        st = WR_LIMIT;
    return wr_fail(
        e, st, "%s: %s (SQLite code %d)", what, db ? sqlite3_errmsg(db) : "no memory", rc);
}

int wr_conn_sql_text(sqlite3 *db, const char *sql, char *out, size_t n)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    out[0] = '\0';
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW) {
            const unsigned char *text = sqlite3_column_text(stmt, 0);

            (void)snprintf(out, n, "%s", text ? (const char *)text : "");
            rc = SQLITE_OK;
        } else if (rc == SQLITE_DONE) {
            rc = SQLITE_OK;
        }
    }
    int frc = sqlite3_finalize(stmt);
    return rc != SQLITE_OK ? rc : frc;
}

enum wr_status wr_conn_pin(struct wr_conn *c, struct wr_err *e)
{
    enum wr_status st = wr_pin_take(c->file, WR_SLOT_CKPT, e);

    if (st == WR_OK)
        wr_conn_note_own_write(c); /* from now on nobody else may */
    return st;
}

bool wr_conn_pinned(const struct wr_conn *c)
{
    return wr_pin_has(c->file, WR_SLOT_CKPT);
}

static void shm_barrier(void *arg)
{
    struct wr_conn *c = arg;

    c->file->pMethods->xShmBarrier(c->file);
}

enum wr_status wr_conn_header(struct wr_conn *c, struct wr_walidx *ret, struct wr_err *e)
{
    return wr_walidx_read(c->head, shm_barrier, c, ret, e);
}

const volatile uint8_t *wr_conn_index(const struct wr_conn *c, uint64_t *ret_dev, uint64_t *ret_ino)
{
    *ret_dev = c->is[WR_CONN_SHM_FILE].dev;
    *ret_ino = c->is[WR_CONN_SHM_FILE].mark.ino;
    return c->head;
}

enum wr_status wr_conn_recover(struct wr_conn *c, struct wr_err *e)
{
    bool held = wr_conn_in_barrier(c);
    char version[16];
    int rc;

    /* Recovery needs the writer lock. If SQLite had to wait for it, it would sleep and retry for up
     * to ten seconds. */
    if (!held) {
        enum wr_status st = wr_pin_take(c->file, WR_SLOT_WRITE, e);

        if (st != WR_OK)
            return st;
    }
    rc = wr_conn_sql_text(c->db, WR_CONN_LOOK, version, sizeof(version));
    if (!held)
        wr_pin_give(c->file, WR_SLOT_WRITE);
    return rc == SQLITE_OK ? WR_OK : wr_conn_sql_fail(c->db, rc, "recover the wal-index", e);
}

enum wr_status wr_conn_barrier_begin(struct wr_conn *c, int64_t budget_ns, struct wr_err *e)
{
    int64_t start = wr_mono_ns(wr_clock_system());
    const struct timespec nap = {.tv_nsec = NAP_NS};

    for (unsigned tries = 1;; tries++) {
        enum wr_status st = wr_pin_take(c->file, WR_SLOT_WRITE, e);

        if (st != WR_BUSY || wr_mono_ns(wr_clock_system()) - start >= budget_ns)
            return st;
        /* The writer that holds it may be waiting for this very processor, which it gets by a nap.
         * By sched_yield() it would, too, but where others compute Linux (6.18) takes whole time
         * slices for that: each try took a millisecond or more, while the writer went on on another
         * processor, and what we then had to do under the lock was late as well. */
        if (tries % TRIES_PER_NAP == 0)
            (void)nanosleep(&nap, NULL);
    }
}

void wr_conn_barrier_end(struct wr_conn *c)
{
    wr_pin_give(c->file, WR_SLOT_WRITE);
}

bool wr_conn_in_barrier(const struct wr_conn *c)
{
    return wr_pin_has(c->file, WR_SLOT_WRITE);
}

enum wr_status wr_conn_mark_begin(struct wr_conn *c, struct wr_err *e)
{
    int rc;

    assert(!c->marked);
    rc = sqlite3_exec(c->reader, "BEGIN; " WR_CONN_LOOK, NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        enum wr_status st = wr_conn_sql_fail(c->reader, rc, "take a read mark", e);

        if (!sqlite3_get_autocommit(c->reader))
            (void)sqlite3_exec(c->reader, "ROLLBACK", NULL, NULL, NULL);
        return st;
    }
    c->marked = true;
    return WR_OK;
}

void wr_conn_mark_end(struct wr_conn *c)
{
    if (!c->marked)
        return;
    c->marked = false;
    (void)sqlite3_exec(c->reader, "COMMIT", NULL, NULL, NULL);
}

/* The disk is full, or its user has no more of it: SQLite says so for ENOSPC of a write only. */
static bool no_room(sqlite3_file *f)
{
    int err = 0;

    return f->pMethods->xFileControl(f, SQLITE_FCNTL_LAST_ERRNO, &err) == SQLITE_OK &&
           (err == ENOSPC || err == EDQUOT || err == EFBIG);
}

enum wr_status wr_conn_checkpoint(struct wr_conn *c, bool truncate, struct wr_err *e)
{
    int rc;

    assert(wr_conn_pinned(c));
    assert(!truncate || wr_pin_has(c->file, WR_SLOT_WRITE));
    /* Under the barrier nobody may wait for readers: the writer lock is held. */
    (void)sqlite3_busy_timeout(c->db, WR_MUTANT(PATIENT_BARRIER) ? 100 * WR_CONN_BUSY_MS : 0);
    if (WR_MUTANT(UNPIN_ON_CKPT))
        wr_pin_give(c->file, WR_SLOT_CKPT);
    rc = sqlite3_wal_checkpoint_v2(c->db, "main",
        truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    (void)sqlite3_busy_timeout(c->db, WR_CONN_BUSY_MS);
    if (WR_MUTANT(UNPIN_ON_CKPT) && wr_pin_take(c->file, WR_SLOT_CKPT, e) != WR_OK)
        return WR_BUSY;
    wr_conn_note_own_write(c);
    if ((rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED)
        return WR_BUSY;
    if ((rc & 0xff) == SQLITE_IOERR && (no_room(c->file) || no_room(c->wal)))
        return wr_fail(e, WR_LIMIT, "checkpoint: no space left, or none of the quota");
    return rc == SQLITE_OK ? WR_OK : wr_conn_sql_fail(c->db, rc, "checkpoint", e);
}

/* As walCheckpoint in SQLite's wal.c goes by them: those of the first slot read no frame at all. */
bool wr_conn_reader_in_way(struct wr_conn *c, const struct wr_walidx *seen)
{
    for (int i = 0; i < WR_READ_MARKS; i++) {
        if ((i == 0 || seen->read_mark[i] < seen->mx_frame) &&
            wr_pin_in_use(c->file, WR_SHM_SLOT_READ0 + i))
            return true;
    }
    return false;
}

enum wr_status wr_conn_sync_db(struct wr_conn *c, struct wr_err *e)
{
    int rc = c->file->pMethods->xSync(c->file, SQLITE_SYNC_NORMAL);

    if (rc != SQLITE_OK && no_room(c->file))
        return wr_fail(e, WR_LIMIT, "sync the database: no space left, or none of the quota");
    return rc == SQLITE_OK ? WR_OK : wr_fail(e, WR_IO, "sync the database: %s", sqlite3_errstr(rc));
}

uint32_t wr_conn_backfill(const struct wr_conn *c)
{
    return *(const volatile uint32_t *)(const volatile void *)(c->head + SHM_BACKFILL);
}

void wr_conn_set_backfill(struct wr_conn *c, uint32_t frames)
{
    assert(wr_conn_pinned(c));
    *(volatile uint32_t *)(volatile void *)(c->head + SHM_BACKFILL) = frames;
    *(volatile uint32_t *)(volatile void *)(c->head + SHM_ATTEMPTED) = frames;
}

enum wr_status wr_conn_read_db(
    struct wr_conn *c, uint64_t off, void *buf, size_t n, struct wr_err *e)
{
    int rc;

    assert(n <= WR_CONN_READ_MAX);
    rc = c->file->pMethods->xRead(c->file, buf, (int)n, (sqlite3_int64)off);
    if (rc == SQLITE_OK || rc == SQLITE_IOERR_SHORT_READ)
        return WR_OK;
    return wr_fail(e, WR_IO, "read the database at byte %llu: %s", (unsigned long long)off,
        sqlite3_errstr(rc));
}

enum wr_status wr_conn_read_wal(
    struct wr_conn *c, uint64_t off, void *buf, size_t n, size_t *got, struct wr_err *e)
{
    int rc;

    assert(n <= WR_CONN_READ_MAX);
    rc = c->wal->pMethods->xRead(c->wal, buf, (int)n, (sqlite3_int64)off);
    *got = n;
    if (rc == SQLITE_IOERR_SHORT_READ) {
        sqlite3_int64 size = 0;

        rc = c->wal->pMethods->xFileSize(c->wal, &size);
        if (rc == SQLITE_OK)
            *got = (uint64_t)size <= off ? 0 : (size_t)wr_min((uint64_t)size - off, (uint64_t)n);
    }
    if (rc != SQLITE_OK) {
        return wr_fail(
            e, WR_IO, "read the WAL at byte %llu: %s", (unsigned long long)off, sqlite3_errstr(rc));
    }
    return WR_OK;
}

static enum wr_status file_bytes(sqlite3_file *f, uint64_t *ret, const char *what, struct wr_err *e)
{
    sqlite3_int64 size = 0;
    int rc = f->pMethods->xFileSize(f, &size);

    if (rc != SQLITE_OK)
        return wr_fail(e, WR_IO, "size of the %s: %s", what, sqlite3_errstr(rc));
    *ret = (uint64_t)size;
    return WR_OK;
}

enum wr_status wr_conn_db_bytes(struct wr_conn *c, uint64_t *ret, struct wr_err *e)
{
    return file_bytes(c->file, ret, "database", e);
}

enum wr_status wr_conn_wal_bytes(struct wr_conn *c, uint64_t *ret, struct wr_err *e)
{
    return file_bytes(c->wal, ret, "WAL", e);
}
