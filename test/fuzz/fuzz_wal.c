/*
 * fuzz_wal.c - any bytes as a WAL: its header, its frames and their chain, and the WAL applied to a
 * database, which is how backups of Litestream 0.3 are restored.
 *
 * The input is a flag byte and the WAL. Flag 1: checksums and salts are made right first. Flag 2:
 * other WALs follow, so that nothing behind the last valid frame is forgiven. Flag 4: the database
 * has some pages already.
 *
 * Beyond not crashing: two readers that know nothing of each other agree. src/sqlite/wal.c, here
 * with an obvious loop around it, and src/engine/legacy_wal.c find the same frames, so the database
 * comes out as expected to the byte; where the loop finds a fault, so does the other.
 */
#include "base/bytes.h"
#include "base/mem.h"
#include "engine/legacy_wal.h"
#include "fuzz/fuzz.h"
#include "fuzz/memfs.h"
#include "sqlite/wal.h"

#define DISK ((size_t)96 << 10) /* bytes of a file: pages that an input can have, and more */

enum {
    FIX = 1,
    NOT_LAST = 2,
    OLD_PAGES = 4
};

/* What the loop finds. */
struct found {
    bool header;
    uint32_t page_size;
    uint32_t commit; /* pages after the last commit; 0: none */
    uint8_t *db;     /* DISK bytes */
    size_t db_size;
    bool rest, full; /* bytes follow that are no frame; the disk is too small for it */
};

static bool frame_ok(const uint8_t *f, const struct wr_wal_header *h, uint32_t s[2])
{
    struct wr_frame x = {0};

    wr_frame_get(f, &x);
    wr_frame_checksum(h->little, f, h->page_size, s);
    return x.pgno != 0 && memcmp(x.salt, h->salt, sizeof(x.salt)) == 0 && x.cksum[0] == s[0] &&
           x.cksum[1] == s[1];
}

/* Write the frames of one transaction, in order; a page beyond the end is cut off by it. */
static void put_frames(struct found *x, struct wr_bytes frames, uint64_t size)
{
    size_t frame = WR_FRAME_HEADER + x->page_size;

    for (size_t at = 0; at < frames.n; at += frame) {
        uint64_t off = (uint64_t)(wr_be32(frames.p + at) - 1) * x->page_size;

        if (off < size)
            memcpy(x->db + off, frames.p + at + WR_FRAME_HEADER, x->page_size);
    }
}

/* All up to the last commit, judged by its size alone: SQLite does not keep what an earlier one cut
 * off either, unless a later one brings it back, and then the WAL has that page again. */
static void look(struct wr_bytes wal, struct found *x)
{
    struct wr_wal_header h = {0};
    size_t at = WR_WAL_HEADER, frame, end = WR_WAL_HEADER;
    uint32_t s[2];

    x->header = wal.n >= WR_WAL_HEADER && wr_wal_header_get(wal.p, &h);
    if (!x->header)
        return;
    x->page_size = h.page_size;
    frame = WR_FRAME_HEADER + (size_t)h.page_size;
    memcpy(s, h.cksum, sizeof(s));
    for (; wal.n - at >= frame && frame_ok(wal.p + at, &h, s); at += frame) {
        struct wr_frame f = {0};

        HOLDS(at == wr_frame_offset((uint32_t)((at - WR_WAL_HEADER) / frame) + 1, h.page_size));
        wr_frame_get(wal.p + at, &f);
        if (f.commit != 0) {
            x->commit = f.commit;
            end = at + frame;
        }
    }
    x->rest = at < wal.n;
    if (x->commit == 0)
        return;

    uint64_t size = (uint64_t)x->commit * h.page_size;
    x->full = size > DISK;
    if (x->full)
        return;
    if (size < x->db_size)
        memset(x->db + size, 0, x->db_size - (size_t)size);
    put_frames(x, (struct wr_bytes){wal.p + WR_WAL_HEADER, end - WR_WAL_HEADER}, size);
    x->db_size = (size_t)size;
}

static void compare(struct memfs *m, uint8_t flags, struct wr_bytes wal, struct found *x)
{
    struct memfs_file *in = memfs_add(m, "wal", wal),
                      *db = memfs_add(m, "db", (struct wr_bytes){x->db, x->db_size});
    bool last = !(flags & NOT_LAST);
    uint32_t commit = 77;
    enum wr_status st;

    look(wal, x);
    st = wr_legacy_wal_apply(fuzz_call(), &in->file, wal.n, last, &db->file,
        x->header ? x->page_size : 4096, &commit, NULL);
    if (!x->header || (x->rest && !last)) {
        HOLDS(st == WR_CORRUPT);
    } else if (x->full) {
        HOLDS(st == WR_LIMIT);
    } else {
        HOLDS(st == WR_OK && commit == (x->commit ? x->commit : 77));
        HOLDS(db->n == x->db_size && (db->n == 0 || memcmp(db->p, x->db, db->n) == 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t db[DISK];
    struct found x = {.db = db};
    struct fuzz_in in = {data, size};
    uint8_t flags = fuzz_u8(&in);
    uint8_t *wal = wr_alloc(in.n);
    struct memfs m;

    HOLDS(wal);
    if (in.n > 0)
        memcpy(wal, in.p, in.n);
    if (flags & FIX)
        fuzz_wal_fix(wal, in.n);
    if (flags & OLD_PAGES) {
        x.db_size = 8 * 512;
        memset(db, 0xee, x.db_size);
    }
    memfs_init(&m, DISK);
    compare(&m, flags, (struct wr_bytes){wal, in.n}, &x);
    memset(db, 0, x.db_size);
    memfs_release(&m);
    wr_free(wal);
    return 0;
}
