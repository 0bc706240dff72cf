/*
 * conn.c - see conn.h. Knows SQLite's API and error codes; refuses to know why it is asked.
 */
#include "sqlite/conn.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "sqlite/holders.h"
#include "sqlite/index_map.h"
#include "sqlite/open.h"
#include "sqlite/pin.h"

#include <errno.h>
#include <sched.h>
#include <sys/stat.h>
#include <time.h>

#define TRIES_PER_NAP 64u /* for the writer lock */
#define NAP_NS        20000
#define TICK_NS       1000000 /* between looks at the clock of files, which moves in milliseconds */
#define BUSY_MS       50      /* SQLite's own patience; real patience belongs to the scheduler */

/* Offsets in the wal-index: WalCkptInfo in sqlite3 src/wal.c. */
#define SHM_BYTES     32768 /* of each part of it that SQLite maps */
#define SHM_BACKFILL  96u
#define SHM_ATTEMPTED 128u /* nBackfillAttempted */

enum { /* in the order of the bits of enum wr_conn_change */
    FILE_DB,
    FILE_WAL,
    FILE_SHM,
    FILES
};

struct file_id {
    uint64_t dev;
    struct wr_file_mark mark;
};

struct wr_conn {
    sqlite3 *db, *reader;
    sqlite3_file *file, *wal; /* of db */
    volatile uint8_t *shm;    /* its first 32 KiB, as SQLite has mapped them */
    volatile uint8_t *head;   /* the header in it, in a mapping of our own where there is one */
    bool marked;
    struct file_id is[FILES]; /* what the paths named when they were opened; the database's size
                               * and time are those after our last write to it */
    char *path;
};

/* Begins to read, which maps the WAL and recovers its index if need be, and needs no schema. */
#define LOOK "PRAGMA schema_version"

static enum wr_status sql_fail(sqlite3 *db, int rc, const char *what, struct wr_err *e)
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

/* Step one statement; the first column of the first row as text into out, "" without a row. */
static int sql_text(sqlite3 *db, const char *sql, char *out, size_t n)
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

static int configure(sqlite3 *db)
{
    int rc = sqlite3_busy_timeout(db, BUSY_MS);

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
 * as the one page that LOOK needs. Cannot fail but for memory, and then it is kept. */
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
        return sql_fail(db, rc, what, e);
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
    int rc = sql_text(c->db, "PRAGMA journal_mode", mode, sizeof(mode));

    if (rc == SQLITE_OK && strcmp(mode, "wal") != 0) {
        rc = sql_text(c->db, "PRAGMA page_count", pages, sizeof(pages));
        if (rc == SQLITE_OK && strcmp(pages, "0") == 0)
            return empty_fail(c->path, e);
    }
    if (rc == SQLITE_OK && strcmp(mode, "wal") != 0) {
        rc = sql_text(c->db, "PRAGMA journal_mode=wal", mode, sizeof(mode));
        if (rc == SQLITE_OK && strcmp(mode, "wal") != 0) {
            return wr_fail(e, WR_UNSUPPORTED,
                "it must be in WAL mode and cannot be switched (journal mode is \"%s\"): "
                "is it on a network file system or a read-only directory?",
                mode);
        }
        *switched = true;
    }
    if (rc == SQLITE_OK)
        rc = sql_text(c->db, LOOK, version, sizeof(version));
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
    rc = c->file->pMethods->xShmMap(c->file, 0, SHM_BYTES, 0, &map);
    if (rc != SQLITE_OK)
        return wr_fail(e, WR_IO, "map the wal-index: %s", sqlite3_errstr(rc));
    if (!map) /* uncovered: enter_wal has mapped it */
        return wr_fail(e, WR_INTERNAL, "SQLite has no wal-index");
    c->shm = map;
    c->head = wr_index_map(map, SHM_BYTES);
    return WR_OK;
}

static enum wr_status page_size_of(struct wr_conn *c, uint32_t *ret, struct wr_err *e)
{
    char text[24];
    uint64_t n = 0;
    int rc = sql_text(c->db, "PRAGMA page_size", text, sizeof(text));

    if (rc != SQLITE_OK)
        return sql_fail(c->db, rc, "page size", e);
    if (!wr_parse_u64(wr_str(text), &n) || n < 512 || n > 65536) /* uncovered: SQLite's word */
        return wr_fail(e, WR_CORRUPT, "page size is \"%s\"", text);
    *ret = (uint32_t)n;
    return WR_OK;
}

const char *wr_conn_path(const struct wr_conn *c)
{
    return sqlite3_db_filename(c->db, "main");
}

static struct file_id id_of(const struct stat *s)
{
    return (struct file_id){.dev = (uint64_t)s->st_dev, .mark = wr_file_mark_from(s)};
}

static bool same_file(const struct file_id *a, const struct file_id *b)
{
    return a->dev == b->dev && a->mark.ino == b->mark.ino;
}

/* Which file one of the paths names now: a stat, no open. The path that was given may be a symbolic
 * link, which names another database once it was changed. */
static bool identify(const struct wr_conn *c, int which, struct file_id *ret)
{
    static const char *const tails[FILES] = {"", "-wal", "-shm"};
    const char *base = which == FILE_DB ? c->path : wr_conn_path(c);
    size_t n = strlen(base), tail_n = strlen(tails[which]);
    char path[4096 + 8]; /* what does not fit is too long for stat as well */
    struct stat now;

    if (n + tail_n >= sizeof(path))
        return false;
    memcpy(path, base, n);
    memcpy(path + n, tails[which], tail_n + 1);
    if (stat(path, &now) != 0)
        return false;
    *ret = id_of(&now);
    return true;
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
    c->is[FILE_DB] = id_of(&before);
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
    if (st == WR_OK &&
        (!identify(c, FILE_WAL, &c->is[FILE_WAL]) || !identify(c, FILE_SHM, &c->is[FILE_SHM])))
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
    wr_index_rest(c->head, c->shm, SHM_BYTES);
}

void wr_conn_leave_wal(struct wr_conn *c)
{
    /* It fails for options that SQLite does not know, and this one is older than what we build on.
     */
    (void)sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_db_config(c->reader, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

static void note_own_write(struct wr_conn *c)
{
    struct file_id now;

    if (identify(c, FILE_DB, &now) && same_file(&now, &c->is[FILE_DB]))
        c->is[FILE_DB] = now;
}

enum wr_status wr_conn_pin(struct wr_conn *c, struct wr_err *e)
{
    enum wr_status st = wr_pin_take(c->file, WR_SLOT_CKPT, e);

    if (st == WR_OK)
        note_own_write(c); /* from now on nobody else may */
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
    *ret_dev = c->is[FILE_SHM].dev;
    *ret_ino = c->is[FILE_SHM].mark.ino;
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
    rc = sql_text(c->db, LOOK, version, sizeof(version));
    if (!held)
        wr_pin_give(c->file, WR_SLOT_WRITE);
    return rc == SQLITE_OK ? WR_OK : sql_fail(c->db, rc, "recover the wal-index", e);
}

enum wr_status wr_conn_barrier_begin(struct wr_conn *c, int64_t budget_ns, struct wr_err *e)
{
    int64_t start = wr_mono_ns(wr_clock_system());
    const struct timespec nap = {.tv_nsec = NAP_NS};

    for (unsigned tries = 1;; tries++) {
        enum wr_status st = wr_pin_take(c->file, WR_SLOT_WRITE, e);

        if (st != WR_BUSY || wr_mono_ns(wr_clock_system()) - start >= budget_ns)
            return st;
        /* The writer that holds it may be waiting for this very processor: without this, commits
         * stood still for the milliseconds of a time slice. The naps give way to whoever is not
         * this machine's to schedule, such as the disk of a virtual one. */
        (void)sched_yield();
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
    rc = sqlite3_exec(c->reader, "BEGIN; " LOOK, NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        enum wr_status st = sql_fail(c->reader, rc, "take a read mark", e);

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
    (void)sqlite3_busy_timeout(c->db, WR_MUTANT(PATIENT_BARRIER) ? 100 * BUSY_MS : 0);
    if (WR_MUTANT(UNPIN_ON_CKPT))
        wr_pin_give(c->file, WR_SLOT_CKPT);
    rc = sqlite3_wal_checkpoint_v2(c->db, "main",
        truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    (void)sqlite3_busy_timeout(c->db, BUSY_MS);
    if (WR_MUTANT(UNPIN_ON_CKPT) && wr_pin_take(c->file, WR_SLOT_CKPT, e) != WR_OK)
        return WR_BUSY;
    note_own_write(c);
    if ((rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED)
        return WR_BUSY;
    if ((rc & 0xff) == SQLITE_IOERR && (no_room(c->file) || no_room(c->wal)))
        return wr_fail(e, WR_LIMIT, "checkpoint: no space left, or none of the quota");
    return rc == SQLITE_OK ? WR_OK : sql_fail(c->db, rc, "checkpoint", e);
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

unsigned wr_conn_changes(const struct wr_conn *c)
{
    const struct wr_file_mark *own = &c->is[FILE_DB].mark;
    unsigned changes = 0;
    struct file_id now;

    for (int i = 0; i < FILES; i++) {
        if (!identify(c, i, &now) || !same_file(&now, &c->is[i]))
            changes |= 1u << i;
        else if (i == FILE_DB && (now.mark.size != own->size || now.mark.mtime_ns != own->mtime_ns))
            changes |= WR_CONN_TOUCHED;
    }
    return changes;
}

bool wr_conn_same_files(const struct wr_conn *c)
{
    struct file_id now;

    for (int i = FILE_DB; i <= FILE_WAL; i++) {
        if (!identify(c, i, &now) || !same_file(&now, &c->is[i]))
            return false;
    }
    return true;
}

bool wr_conn_in_place(const struct wr_conn *c)
{
    return (wr_conn_changes(c) & ~(unsigned)WR_CONN_TOUCHED) == 0;
}

struct wr_file_mark wr_conn_mark(const struct wr_conn *c)
{
    return c->is[FILE_DB].mark;
}

bool wr_conn_mark_now(struct wr_conn *c, int64_t patience_ns, struct wr_file_mark *ret)
{
    const struct timespec nap = {.tv_nsec = TICK_NS};
    struct file_id now;

    assert(wr_conn_pinned(c));
    for (int64_t slept = 0; !wr_file_time_is_old(&c->is[FILE_DB].mark); slept += TICK_NS) {
        if (slept >= patience_ns)
            return false;
        (void)nanosleep(&nap, NULL);
    }
    /* Only now: what was written up to that moment may have left the time as it was, and what is
     * written from now on cannot. */
    if (!identify(c, FILE_DB, &now) || wr_conn_changes(c) != 0)
        return false;
    *ret = now.mark;
    return true;
}
