/*
 * commits.c - see commits.h.
 */
#include "sim/commits.h"

#include "base/mem.h"
#include "sim/disk.h"
#include "sim/judge.h"
#include "sim/vfs.h"

#include <string.h>

#define WAL_HEADER   32u
#define FRAME_HEADER 24u
#define PAGES_MAX    100000u
#define DBS_MAX      3

/* Of the wal-index header, 48 bytes in the machine's order, kept twice. */
#define SHM_HEADER 48u
#define AT_CHANGE  8u
#define AT_INIT    12u
#define AT_SIZE    14u
#define AT_MAX     16u
#define AT_SALT    32u

/* What is known of one database. */
struct db {
    char path[64], wal_path[72];
    uint32_t lock_offset;
    /* the image */
    bool known;
    uint32_t page_size, pages;
    uint64_t page_hash[PAGES_MAX + 1]; /* by page number; 0: not seen, or the lock page */
    uint32_t pages_high;               /* none behind that was seen */
    uint64_t hash;
    /* how far the WAL has been read */
    uint8_t salt[8];
    uint32_t frames;
};

static struct db dbs[DBS_MAX], *c; /* the one that is looked at */
static size_t n_dbs;
static struct {
    struct commit *all;
    size_t n, cap;
} list;

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t host32(const uint8_t *p)
{
    uint32_t x;

    memcpy(&x, p, sizeof(x));
    return x;
}

static void set_page(uint32_t pgno, const uint8_t *p)
{
    uint64_t h =
        pgno == c->lock_offset / c->page_size + 1 ? 0 : judge_hash_page(pgno, p, c->page_size);

    if (pgno < 1 || pgno > PAGES_MAX)
        sim_fail("the application wrote page %u", pgno);
    c->hash ^= c->page_hash[pgno] ^ h;
    c->page_hash[pgno] = h;
    c->pages_high = wr_max(c->pages_high, pgno);
}

static void set_pages(uint32_t n)
{
    for (uint32_t pgno = n + 1; pgno <= c->pages; pgno++) {
        c->hash ^= c->page_hash[pgno];
        c->page_hash[pgno] = 0;
    }
    c->pages = n;
}

static void note_commit(void)
{
    const struct commit now = {
        .hash = c->hash, .pages = c->pages, .page_size = c->page_size, .db = (uint32_t)(c - dbs)};

    if (list.n == list.cap) {
        list.cap = list.cap ? 2 * list.cap : 256;
        list.all = wr_resize(list.all, list.cap, sizeof(*list.all));
        assert(list.all);
    }
    list.all[list.n++] = now;
}

/* The image as the database file has it. False: there is no database yet. */
static bool learn_file(void)
{
    size_t n = 0;
    const uint8_t *p = disk_peek(c->path, &n);
    uint32_t pages;

    if (!p || n < 512)
        return false;
    c->page_size = (uint32_t)p[16] << 8 | p[17];
    c->page_size = c->page_size == 1 ? 65536 : c->page_size;
    if (c->page_size < 512) { /* whoever made it died, and its journal will be played back */
        c->page_size = 0;
        return false;
    }
    memset(c->page_hash, 0, (c->pages_high + 1) * sizeof(c->page_hash[0]));
    c->pages_high = 0;
    c->hash = 0;
    c->pages = 0;
    /* The size in the header counts only if the version beside it is the current one, and while a
     * checkpoint is under way the rest of the pages is still in the WAL. */
    pages = (uint32_t)(n / c->page_size);
    if (memcmp(p + 24, p + 92, 4) == 0 && be32(p + 28))
        pages = wr_min(pages, be32(p + 28));
    for (uint32_t pgno = 1; pgno <= pages; pgno++)
        set_page(pgno, p + (size_t)(pgno - 1) * c->page_size);
    c->pages = pages;
    return true;
}

/* Frames up to `max`; a commit each, or, with `quiet`, none. */
static void read_frames(uint32_t max, bool quiet)
{
    size_t n = 0, step = FRAME_HEADER + (size_t)c->page_size;
    const uint8_t *wal = disk_peek(c->wal_path, &n);

    for (; c->frames < max; c->frames++) {
        size_t at = WAL_HEADER + c->frames * step;
        uint32_t commit;

        if (!wal || at + step > n)
            sim_fail("the wal-index has %u frames, the WAL ends in frame %u", max, c->frames + 1);
        commit = be32(wal + at + 4);
        set_page(be32(wal + at), wal + at + FRAME_HEADER);
        c->pages = wr_max(c->pages, be32(wal + at));
        if (commit) {
            set_pages(commit);
            if (!quiet)
                note_commit();
        }
    }
}

/* The stable wal-index header; NULL: there is none, or it is torn. */
static const uint8_t *stable_header(const char *path)
{
    const uint8_t *shm = vfs_peek_shm(path);

    return shm && shm[AT_INIT] && memcmp(shm, shm + SHM_HEADER, SHM_HEADER) == 0 ? shm : NULL;
}

/* All of it from the disk. Rollback journal modes have no wal-index. */
static void learn(const uint8_t *shm)
{
    const size_t before = list.n;

    c->page_size = 0;
    if (!learn_file() && !shm)
        return;
    c->frames = 0;
    if (shm) {
        uint32_t size = *(const uint16_t *)(const void *)(shm + AT_SIZE);

        if (host32(shm + AT_MAX) > 0 && !c->page_size)
            c->page_size = size == 1 ? 65536 : size;
        memcpy(c->salt, shm + AT_SALT, sizeof(c->salt));
        read_frames(host32(shm + AT_MAX), true);
    }
    if (c->pages == 0)
        return;
    c->known = shm != NULL;
    if (before == 0 || list.all[before - 1].hash != c->hash ||
        list.all[before - 1].pages != c->pages)
        note_commit();
}

/* Where pages were spilled to the WAL within a savepoint that was rolled back, SQLite 3.40.1
 * commits frames whose headers it never makes good (sqlite3WalSavepointUndo in wal.c leaves
 * iReCksum). Readers go by the index and mind nothing; but who recovers it takes the commit before
 * the first of them for the last, and others are gone for which nobody else is to blame. */
static bool lost_by_sqlite(uint32_t max)
{
    static const uint8_t never_made[16];
    const size_t frame = FRAME_HEADER + (size_t)c->page_size;
    size_t n = 0;
    const uint8_t *wal = disk_peek(c->wal_path, &n);

    for (size_t i = max; wal && i < c->frames && WAL_HEADER + (i + 1) * frame <= n; i++) {
        if (memcmp(wal + WAL_HEADER + i * frame + 8, never_made, sizeof(never_made)) == 0)
            return true;
    }
    return false;
}

static void look_at(struct db *db)
{
    const uint8_t *shm;

    c = db;
    shm = stable_header(c->path);
    if (!c->known) {
        learn(shm);
        return;
    }
    if (!shm)
        return; /* a writer died in the middle: whoever repairs the index lets go of the lock, too
                 */
    if (memcmp(shm + AT_SALT, c->salt, sizeof(c->salt)) != 0) {
        sim_trace("the WAL was reset after frame %u", c->frames);
        memcpy(c->salt, shm + AT_SALT, sizeof(c->salt));
        c->frames = 0;
    }
    if (host32(shm + AT_MAX) < c->frames && lost_by_sqlite(host32(shm + AT_MAX))) {
        sim_trace("SQLite lost frames %u to %u", host32(shm + AT_MAX) + 1, c->frames);
        learn(shm);
        return;
    }
    if (host32(shm + AT_MAX) < c->frames)
        sim_fail("the WAL went back from frame %u to %u", c->frames, host32(shm + AT_MAX));
    if (host32(shm + AT_MAX) > c->frames)
        sim_trace("commits: frames %u to %u", c->frames + 1, host32(shm + AT_MAX));
    read_frames(host32(shm + AT_MAX), false);
}

static void look(const char *path)
{
    for (size_t i = 0; i < n_dbs; i++) {
        if (strcmp(path, dbs[i].path) == 0)
            look_at(&dbs[i]);
    }
}

uint32_t commits_init(const char *path, uint32_t lock_offset)
{
    struct db *db = &dbs[n_dbs++];

    assert(n_dbs <= DBS_MAX);
    (void)snprintf(db->path, sizeof(db->path), "%s", path);
    (void)snprintf(db->wal_path, sizeof(db->wal_path), "%s-wal", path);
    db->lock_offset = lock_offset;
    vfs_on_writer_gone = look;
    return (uint32_t)(n_dbs - 1);
}

void commits_look(void)
{
    for (size_t i = 0; i < n_dbs; i++)
        look_at(&dbs[i]);
}

void commits_forget(void)
{
    for (size_t i = 0; i < n_dbs; i++)
        dbs[i].known = false;
}

bool commits_counted(const char *path, uint32_t *ret)
{
    const uint8_t *shm = stable_header(path);

    if (shm)
        *ret = host32(shm + AT_CHANGE);
    return shm != NULL;
}

size_t commits_n(void)
{
    return list.n;
}

size_t commits_n_of(const char *path)
{
    size_t n = list.n;

    while (n > 0 && strcmp(dbs[list.all[n - 1].db].path, path) != 0)
        n--;
    return n;
}

const struct commit *commits_at(size_t i)
{
    assert(i < list.n);
    return &list.all[i];
}

size_t commits_find(size_t from, uint64_t hash, uint32_t pages, uint32_t page_size)
{
    for (size_t i = from; i < list.n; i++) {
        const struct commit *x = &list.all[i];

        if (x->hash == hash && x->pages == pages && x->page_size == page_size)
            return i;
    }
    return SIZE_MAX;
}

bool commits_has(uint32_t db, uint64_t hash, uint32_t pages, uint32_t page_size)
{
    size_t i = commits_find(0, hash, pages, page_size);

    while (i != SIZE_MAX && list.all[i].db != db)
        i = commits_find(i + 1, hash, pages, page_size);
    return i != SIZE_MAX;
}
