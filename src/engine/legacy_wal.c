/*
 * legacy_wal.c - SQLite's WAL, as sqlite.org/fileformat2.html section 4 has it. Integers are
 * big-endian.
 *
 *   header, 32 bytes   magic 377f0682, or 377f0683 if checksums are over big-endian words; version
 *                      3007000; page size; sequence; salt, 8 bytes; checksum of the 24 before it
 *   frame              page number; pages of the database after this commit, or 0; salt, 8 bytes;
 *                      checksum, 8 bytes; the page
 *
 * A frame's checksum continues the one before it, over the frame's first 8 bytes and the page. A
 * frame is valid while checksums and salt hold; what is valid up to the last commit counts.
 */
#include "engine/legacy_wal.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"

#define WAL_HEADER   32
#define FRAME_HEADER 24
#define VERSION      3007000u
#define MAGIC        0x377f0682u
#define CHUNK        ((size_t)1 << 20) /* bytes read at once; more than a frame */

struct sum {
    uint32_t a, b;
    bool big; /* words are big-endian */
};

static void sum_add(struct sum *s, const uint8_t *p, size_t n)
{
    assert(n % 8 == 0);
    for (size_t i = 0; i < n; i += 8) {
        uint32_t x = s->big ? wr_be32(p + i) : wr_le32(p + i);
        uint32_t y = s->big ? wr_be32(p + i + 4) : wr_le32(p + i + 4);

        s->a += x + s->b;
        s->b += y + s->a;
    }
}

static bool sum_is(const struct sum *s, const uint8_t *p)
{
    return wr_be32(p) == s->a && wr_be32(p + 4) == s->b;
}

struct scan {
    struct wr_file *wal;
    uint32_t page_size;
    uint8_t salt[8];
    struct sum sum;
    uint32_t *pgnos; /* of frame i, from 0 */
    size_t n, cap;   /* valid frames */
    size_t n_commit; /* of them, up to the last commit */
    uint32_t commit; /* pages after it */
};

static enum wr_status read_header(struct scan *s, uint64_t size, struct wr_err *e)
{
    uint8_t h[WAL_HEADER];
    uint32_t magic, page_size;
    enum wr_status st;

    if (size < WAL_HEADER)
        return wr_fail(e, WR_CORRUPT, "WAL of %llu bytes", (unsigned long long)size);
    st = wr_file_pread_all(s->wal, h, sizeof(h), 0, "WAL", e);
    if (st != WR_OK)
        return st;
    magic = wr_be32(h);
    page_size = wr_be32(h + 8);
    s->sum = (struct sum){.big = magic & 1};
    sum_add(&s->sum, h, 24);
    if ((magic & ~1u) != MAGIC || wr_be32(h + 4) != VERSION || !sum_is(&s->sum, h + 24))
        return wr_fail(e, WR_CORRUPT, "invalid WAL header");
    if (page_size != s->page_size)
        return wr_fail(e, WR_CORRUPT, "WAL of page size %u for a database of page size %u",
            page_size, s->page_size);
    memcpy(s->salt, h + 16, sizeof(s->salt));
    return WR_OK;
}

/* Take one frame in, if it is valid. */
static enum wr_status take_frame(
    struct scan *s, const uint8_t *f, bool *ret_valid, struct wr_err *e)
{
    uint32_t pgno = wr_be32(f), *all;

    sum_add(&s->sum, f, 8);
    sum_add(&s->sum, f + FRAME_HEADER, s->page_size);
    *ret_valid =
        pgno != 0 && memcmp(f + 8, s->salt, sizeof(s->salt)) == 0 && sum_is(&s->sum, f + 16);
    if (!*ret_valid)
        return WR_OK;
    all = wr_room(s->pgnos, s->n, &s->cap, 256, sizeof(*all));
    if (!all)
        return wr_fail(e, WR_NOMEM, "table of %zu WAL frames: out of memory", s->n + 1);
    s->pgnos = all;
    s->pgnos[s->n++] = pgno;
    if (wr_be32(f + 4) != 0) {
        s->commit = wr_be32(f + 4);
        s->n_commit = s->n;
    }
    return WR_OK;
}

/* All valid frames. *ret_rest: bytes that follow them. */
static enum wr_status read_frames(
    struct scan *s, struct wr_call *c, uint64_t size, uint64_t *ret_rest, struct wr_err *e)
{
    size_t frame = FRAME_HEADER + s->page_size;
    size_t chunk = (size_t)wr_min((uint64_t)CHUNK, size) / frame * frame;
    uint64_t off = WAL_HEADER;
    bool valid = true;
    uint8_t *buf = wr_alloc(chunk);
    enum wr_status st = WR_OK;

    if (!buf)
        return wr_fail(e, WR_NOMEM, "WAL buffer: out of memory");
    while (st == WR_OK && valid && size - off >= frame) {
        size_t n = (size_t)wr_min((uint64_t)chunk, (size - off) / frame * frame);

        st = wr_call_check(c, "restore", e);
        if (st == WR_OK)
            st = wr_file_pread_all(s->wal, buf, n, off, "WAL", e);
        for (size_t i = 0; st == WR_OK && valid && i < n; i += frame) {
            st = take_frame(s, buf + i, &valid, e);
            if (valid)
                off += frame;
        }
    }
    wr_free(buf);
    *ret_rest = size - off;
    return st;
}

static enum wr_status copy_pages(struct scan *s, struct wr_call *c, struct wr_file *db,
    const struct wr_pgmap *newest, struct wr_pgmap_entry *pages, struct wr_err *e)
{
    uint8_t *page = wr_alloc(s->page_size);
    enum wr_status st = WR_OK;

    if (!page)
        return wr_fail(e, WR_NOMEM, "page buffer: out of memory");
    wr_pgmap_sorted(newest, pages);
    for (size_t i = 0; st == WR_OK && i < newest->n && pages[i].pgno <= s->commit; i++) {
        uint64_t frame = (uint64_t)(FRAME_HEADER + s->page_size) * pages[i].value;

        st = wr_call_check(c, "restore", e);
        if (st == WR_OK)
            st = wr_file_pread_all(
                s->wal, page, s->page_size, WAL_HEADER + frame + FRAME_HEADER, "WAL", e);
        if (st == WR_OK)
            st = wr_file_pwrite(
                db, page, s->page_size, (uint64_t)(pages[i].pgno - 1) * s->page_size, e);
    }
    wr_free(page);
    return st;
}

/* Write the newest committed frame of each page. */
static enum wr_status apply(struct scan *s, struct wr_call *c, struct wr_file *db, struct wr_err *e)
{
    struct wr_pgmap newest;
    struct wr_pgmap_entry *pages = NULL;
    enum wr_status st = WR_OK;

    wr_pgmap_init(&newest, s->n_commit);
    for (size_t i = 0; st == WR_OK && i < s->n_commit; i++)
        st = wr_pgmap_set(&newest, s->pgnos[i], (uint32_t)i);
    if (st == WR_OK)
        pages = wr_array(newest.n, sizeof(*pages));
    if (pages)
        st = copy_pages(s, c, db, &newest, pages, e);
    else
        st = wr_fail(e, WR_NOMEM, "table of %zu WAL pages: out of memory", s->n_commit);
    if (st == WR_OK)
        st = wr_file_truncate(db, (uint64_t)s->commit * s->page_size, e);
    wr_free(pages);
    wr_pgmap_release(&newest);
    return st;
}

enum wr_status wr_legacy_wal_apply(struct wr_call *c, struct wr_file *wal, uint64_t size, bool last,
    struct wr_file *db, uint32_t page_size, uint32_t *commit, struct wr_err *e)
{
    struct scan s = {.wal = wal, .page_size = page_size};
    uint64_t rest = 0;
    enum wr_status st;

    if (size / (FRAME_HEADER + page_size) >= UINT32_MAX)
        return wr_fail(e, WR_LIMIT, "WAL of %llu bytes", (unsigned long long)size);
    st = read_header(&s, size, e);
    if (st == WR_OK)
        st = read_frames(&s, c, size, &rest, e);
    if (st == WR_OK && rest > 0 && !last)
        st = wr_fail(e, WR_CORRUPT, "invalid WAL frame at byte %llu, with more WAL to come",
            (unsigned long long)(size - rest));
    if (st == WR_OK && s.n_commit > 0) {
        st = apply(&s, c, db, e);
        if (st == WR_OK)
            *commit = s.commit;
    }
    wr_free(s.pgnos);
    return st;
}
