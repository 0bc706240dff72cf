/*
 * patch.c - see patch.h.
 *
 * The journal, all integers big-endian (sqlite.org/fileformat2.html, section 3):
 *
 *   0  8  magic; zeros, which no SQLite takes for a journal, until all below is on disk
 *   8  4  records
 *  12  4  what the checksums of records begin with
 *  16  4  pages of the database before
 *  20  4  sector size: the header takes so much
 *  24  4  page size
 *   then records: page number, the page as it was, checksum
 *
 * Between two steps it is empty, as in journal_mode=TRUNCATE: a file of no bytes is no journal to
 * SQLite, which does not even open it, and to make and remove a name costs more than all the rest.
 *
 * SQLite's pager has the transaction (BEGIN IMMEDIATE) and changes nothing in it, so that it only
 * ever gives its locks back. What we write below it goes unnoticed there until the next lock, when
 * it sees another change counter, as any other connection does.
 */
#include "sqlite/patch.h"

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "sqlite/open.h"

static const uint8_t MAGIC[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};

enum {
    SECTOR = 4096,     /* a torn write of the header touches no record */
    HEADER = 28,       /* bytes of it that are used */
    AT_MAGIC = 0,      /* of these offsets */
    AT_NONCE = 12,     /* */
    CHUNK = 96 * 1024, /* bytes of records written at once: SQLite's VFS takes only 128 KiB */
    RECORD_MORE = 8,   /* than a page */
    CKSUM_STEP = 200,  /* SQLite sums up every 200th byte */
    AT_VERSIONS = 18,  /* in the database header: 1, or 2 for WAL mode */
    WAL_MODE = 2,
};

/* Of the patience with readers: 4 s where it is 1 s at first. Five seconds are what most bindings
 * set for a busy timeout if nobody says otherwise. */
#define DOUBLINGS 2u

struct wr_patch {
    sqlite3 *db;
    sqlite3_stmt *begin;
    sqlite3_stmt *rollback; /* prepared, so that giving locks back needs no memory */
    sqlite3_file *file;
    sqlite3_vfs *vfs;
    const char *journal_name; /* as SQLite wants names, beside where the database really is */
    sqlite3_file *journal;    /* NULL: not open */
    uint8_t *chunk;
    size_t in_chunk;
    uint64_t journal_bytes; /* written */
    uint32_t page_size, pages, records, nonce;
    unsigned refused; /* times in a row that readers did not end */
    bool begun;
    bool exists;  /* the journal, with something in it */
    bool wrote;   /* to the database, so that the journal is what brings it back */
    bool emptied; /* the journal, which is not on disk yet */
    bool settled; /* the name of the journal is no file, or one of ours that is empty on disk */
    bool named;   /* and it is one, whose name is on disk, too */
};

static enum wr_status code_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return WR_BUSY;
    case SQLITE_NOMEM:
        return WR_NOMEM;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return WR_CORRUPT;
    case SQLITE_FULL:
        return WR_LIMIT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return WR_UNSUPPORTED;
    default:
        return WR_IO;
    }
}

static enum wr_status fail(const char *what, int rc, struct wr_err *e)
{
    return wr_fail(e, code_of(rc), "%s: %s (SQLite code %d)", what, sqlite3_errstr(rc), rc);
}

static enum wr_status ok_or(const char *what, int rc, struct wr_err *e)
{
    return rc == SQLITE_OK ? WR_OK : fail(what, rc, e);
}

enum wr_status wr_patch_open(const char *path, struct wr_patch **ret, struct wr_err *e)
{
    struct wr_patch *p = wr_alloc(sizeof(*p));
    sqlite3_int64 no_mmap = 0;
    int rc;

    if (!p)
        return wr_fail(e, WR_NOMEM, "open %s: out of memory", path);
    p->chunk = wr_alloc(CHUNK);
    rc = p->chunk
             ? wr_sqlite_open(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE, NULL, &p->db)
             : SQLITE_NOMEM;
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(p->db, "BEGIN IMMEDIATE", -1, &p->begin, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(p->db, "ROLLBACK", -1, &p->rollback, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_file_control(p->db, "main", SQLITE_FCNTL_FILE_POINTER, &p->file);
    if (rc == SQLITE_OK)
        rc = sqlite3_file_control(p->db, "main", SQLITE_FCNTL_VFS_POINTER, &p->vfs);
    if (rc == SQLITE_OK && !p->file->pMethods)
        rc = SQLITE_CANTOPEN;
    if (rc == SQLITE_OK && sqlite3_db_readonly(p->db, "main") != 0)
        rc = SQLITE_READONLY;
    if (rc != SQLITE_OK) {
        wr_patch_close(p);
        if ((rc & 0xff) == SQLITE_CANTOPEN)
            return wr_fail(e, WR_NOTFOUND, "no database at %s that can be read", path);
        return wr_wrap(e, fail("cannot be opened to be written", rc, e), "%s", path);
    }
    /* A hint: where it is not known there is no mapping. */
    (void)sqlite3_file_control(p->db, "main", SQLITE_FCNTL_MMAP_SIZE, &no_mmap);
    p->journal_name = sqlite3_filename_journal(sqlite3_db_filename(p->db, "main"));
    *ret = p;
    return WR_OK;
}

static void close_journal(struct wr_patch *p)
{
    if (p->journal && p->journal->pMethods)
        (void)p->journal->pMethods->xClose(p->journal);
    wr_free(p->journal);
    p->journal = NULL;
}

static int delete_journal(struct wr_patch *p)
{
    int rc = p->vfs->xDelete(p->vfs, p->journal_name, 1);

    p->named = false;
    return rc == SQLITE_IOERR_DELETE_NOENT ? SQLITE_OK : rc;
}

void wr_patch_close(struct wr_patch *p)
{
    uint64_t bytes;

    if (!p)
        return;
    wr_patch_end(p);
    /* What lies there is ours only while nobody else may write; an empty file may stay. */
    if (p->settled && wr_patch_begin(p, &bytes, NULL) == WR_OK)
        (void)delete_journal(p);
    wr_patch_end(p);
    (void)sqlite3_finalize(p->begin);
    (void)sqlite3_finalize(p->rollback);
    (void)sqlite3_close(p->db);
    wr_free(p->chunk);
    wr_free(p);
}

enum wr_status wr_patch_read(
    struct wr_patch *p, void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    int rc = p->file->pMethods->xRead(p->file, buf, (int)n, (sqlite3_int64)off);

    return ok_or("read the database", rc, e);
}

/* Whether the file says that it is in WAL mode: then the first statement would make a -wal and a
 * -shm file, and locks would be others. */
static bool in_wal_mode(struct wr_patch *p)
{
    uint8_t versions[2] = {0};
    int rc = p->file->pMethods->xRead(p->file, versions, sizeof(versions), AT_VERSIONS);

    return rc == SQLITE_OK && (versions[0] == WAL_MODE || versions[1] == WAL_MODE);
}

/* Whether the path names another file by now, or none. */
static bool has_moved(struct wr_patch *p)
{
    int moved = 0;

    return sqlite3_file_control(p->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
           moved;
}

static enum wr_status moved(struct wr_err *e)
{
    return wr_fail(e, WR_CONFLICT, "somebody has deleted it, or put another file in its place");
}

static int lock_to_write(struct wr_patch *p)
{
    (void)sqlite3_step(p->begin);
    return sqlite3_reset(p->begin); /* says the same */
}

/* SQLite has rolled back what was to be rolled back. What is there still may be what a killed one
 * had emptied: should a power cut bring its contents back, then not after the caller has recorded
 * anything new. */
static int settle(struct wr_patch *p)
{
    int rc = p->settled ? SQLITE_OK : delete_journal(p);

    p->settled = rc == SQLITE_OK;
    return rc;
}

enum wr_status wr_patch_begin(struct wr_patch *p, uint64_t *ret_bytes, struct wr_err *e)
{
    sqlite3_int64 bytes = 0;
    int rc;

    assert(!p->begun && !p->journal);
    if (has_moved(p))
        return moved(e);
    if (in_wal_mode(p))
        return wr_fail(e, WR_CONFLICT, "somebody has put it into WAL mode");
    rc = lock_to_write(p);
    if (rc != SQLITE_OK)
        return fail("lock the database", rc, e);
    p->begun = true;
    p->exists = p->wrote = p->emptied = false;
    rc = p->file->pMethods->xFileSize(p->file, &bytes);
    if (rc != SQLITE_OK) {
        wr_patch_end(p);
        return fail("size of the database", rc, e);
    }
    rc = settle(p);
    if (rc != SQLITE_OK) {
        wr_patch_end(p);
        return fail("delete an old rollback journal", rc, e);
    }
    *ret_bytes = (uint64_t)bytes;
    return WR_OK;
}

static enum wr_status append(struct wr_patch *p, const uint8_t *bytes, size_t n, struct wr_err *e)
{
    int rc =
        p->journal->pMethods->xWrite(p->journal, bytes, (int)n, (sqlite3_int64)p->journal_bytes);

    p->journal_bytes += n;
    return ok_or("write the rollback journal", rc, e);
}

static enum wr_status flush(struct wr_patch *p, struct wr_err *e)
{
    size_t n = p->in_chunk;

    p->in_chunk = 0;
    return n ? append(p, p->chunk, n, e) : WR_OK;
}

/* The first sync of one that may be new takes the directory along: that is the VFS's business. */
static int open_journal(struct wr_patch *p)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_MAIN_JOURNAL;
    int rc = SQLITE_CANTOPEN;

    if (p->named)
        rc = p->vfs->xOpen(p->vfs, p->journal_name, p->journal, flags, NULL);
    p->named = rc == SQLITE_OK;
    if (rc != SQLITE_OK)
        rc = p->vfs->xOpen(p->vfs, p->journal_name, p->journal, flags | SQLITE_OPEN_CREATE, NULL);
    return rc;
}

enum wr_status wr_patch_journal(
    struct wr_patch *p, uint32_t page_size, uint32_t pages, struct wr_err *e)
{
    enum wr_status st = wr_random(&p->nonce, sizeof(p->nonce), e);
    int rc;

    assert(p->begun && !p->journal);
    if (st != WR_OK)
        return st;
    p->journal = wr_alloc((size_t)p->vfs->szOsFile);
    if (!p->journal)
        return wr_fail(e, WR_NOMEM, "rollback journal: out of memory");
    rc = open_journal(p);
    p->exists = rc == SQLITE_OK;
    if (rc == SQLITE_OK) /* somebody else may have left something there that is no journal */
        rc = p->journal->pMethods->xTruncate(p->journal, 0);
    if (rc != SQLITE_OK)
        return fail("create the rollback journal", rc, e);
    p->page_size = page_size;
    p->pages = pages;
    p->records = 0;
    p->journal_bytes = 0;
    memset(p->chunk, 0, SECTOR); /* no header yet */
    p->in_chunk = SECTOR;
    return WR_OK;
}

static uint32_t checksum(uint32_t nonce, const uint8_t *page, uint32_t page_size)
{
    uint32_t sum = nonce;

    for (uint32_t i = page_size - CKSUM_STEP; i > 0 && i < page_size; i -= CKSUM_STEP)
        sum += page[i];
    return sum;
}

enum wr_status wr_patch_keep(
    struct wr_patch *p, uint32_t pgno, const uint8_t *page, struct wr_err *e)
{
    size_t n = (size_t)p->page_size + RECORD_MORE;
    enum wr_status st = WR_OK;
    uint8_t *at;

    assert(p->journal && pgno > 0 && pgno <= p->pages);
    if (p->in_chunk + n > CHUNK)
        st = flush(p, e);
    if (st != WR_OK)
        return st;
    at = p->chunk + p->in_chunk;
    wr_put_be32(at, pgno);
    memcpy(at + 4, page, p->page_size);
    wr_put_be32(at + 4 + p->page_size, checksum(p->nonce, page, p->page_size));
    p->in_chunk += n;
    p->records++;
    return WR_OK;
}

static enum wr_status sync_file(sqlite3_file *f, const char *what, struct wr_err *e)
{
    return ok_or(what, f->pMethods->xSync(f, SQLITE_SYNC_FULL), e);
}

enum wr_status wr_patch_sync(struct wr_patch *p, struct wr_err *e)
{
    enum wr_status st = flush(p, e);

    if (st == WR_OK)
        st = sync_file(p->journal, "sync the rollback journal", e);
    p->named = st == WR_OK;
    return st;
}

enum wr_status wr_patch_arm(struct wr_patch *p, struct wr_err *e)
{
    uint8_t h[HEADER];
    int rc;

    assert(p->journal && p->in_chunk == 0);
    if (has_moved(p)) /* a journal that counts would be rolled back into that other file */
        return moved(e);
    memcpy(h + AT_MAGIC, MAGIC, sizeof(MAGIC));
    wr_put_be32(h + 8, p->records);
    wr_put_be32(h + AT_NONCE, p->nonce);
    wr_put_be32(h + 16, p->pages);
    wr_put_be32(h + 20, SECTOR);
    wr_put_be32(h + 24, p->page_size);
    rc = p->journal->pMethods->xWrite(p->journal, h, sizeof(h), 0);
    if (rc != SQLITE_OK)
        return fail("write the rollback journal", rc, e);
    return sync_file(p->journal, "sync the rollback journal", e);
}

enum wr_status wr_patch_lock(
    struct wr_patch *p, const struct wr_call *c, int64_t patience_ms, struct wr_err *e)
{
    int64_t until_ms = wr_mono_ms(c->clock) + (patience_ms << wr_min(p->refused, DOUBLINGS));
    enum wr_status st = WR_OK;

    assert(p->begun);
    for (;;) {
        int rc = p->file->pMethods->xLock(p->file, SQLITE_LOCK_EXCLUSIVE);

        if (rc == SQLITE_OK) {
            p->refused = 0;
            return WR_OK;
        }
        if ((rc & 0xff) != SQLITE_BUSY)
            return fail("lock the database", rc, e);
        if (wr_mono_ms(c->clock) >= until_ms) {
            p->refused++;
            return WR_BUSY;
        }
        st = wr_call_sleep(c, WR_PATCH_LOCK_PAUSE_MS, e);
        if (st != WR_OK)
            return st;
    }
}

enum wr_status wr_patch_write(
    struct wr_patch *p, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    p->wrote = true;
    return ok_or("write the database",
        p->file->pMethods->xWrite(p->file, buf, (int)n, (sqlite3_int64)off), e);
}

enum wr_status wr_patch_commit(struct wr_patch *p, uint64_t bytes, struct wr_err *e)
{
    sqlite3_int64 is = 0;
    int rc = p->file->pMethods->xFileSize(p->file, &is);

    assert(p->begun && p->journal);
    p->wrote = true;
    if (rc == SQLITE_OK && (uint64_t)is != bytes)
        rc = p->file->pMethods->xTruncate(p->file, (sqlite3_int64)bytes);
    if (rc != SQLITE_OK)
        return fail("set the size of the database", rc, e);
    rc = p->file->pMethods->xSync(p->file, SQLITE_SYNC_FULL);
    if (rc != SQLITE_OK)
        return fail("sync the database", rc, e);
    rc = p->journal->pMethods->xTruncate(p->journal, 0);
    if (rc != SQLITE_OK)
        return fail("empty the rollback journal", rc, e);
    p->exists = p->wrote = false;
    p->emptied = true;
    return WR_OK;
}

/* No change was made through this connection: the locks go, and nothing can fail. */
static void roll_back(struct wr_patch *p)
{
    (void)sqlite3_step(p->rollback);
    (void)sqlite3_reset(p->rollback);
}

/* When readers are let in already: until then a power cut may undo the step, and no more. After a
 * failure the next step has another file. */
static void sync_emptied(struct wr_patch *p)
{
    if (p->emptied)
        p->settled = p->journal->pMethods->xSync(p->journal, SQLITE_SYNC_FULL) == SQLITE_OK;
    p->emptied = false;
}

void wr_patch_end(struct wr_patch *p)
{
    if (!p->emptied)
        close_journal(p);
    if (!p->begun)
        return;
    if (p->exists && !p->wrote) /* while nobody else can take it for a hot one */
        (void)delete_journal(p);
    roll_back(p);
    p->begun = false;
    sync_emptied(p);
    close_journal(p);
    if (!p->wrote)
        return;
    /* SQLite finds the journal hot, and rolls back. */
    if (lock_to_write(p) == SQLITE_OK)
        roll_back(p);
    p->exists = p->wrote = false;
}
