/*
 * judge_file.c - one LTX file, every rule of docs/ltx.md.
 *
 *     header            100 bytes
 *     page frames       by ascending page number
 *     end mark          6 zero bytes
 *     page index        varints, their length in 8 bytes
 *     trailer           16 bytes
 *
 * The file is read once from its beginning. What is read goes into the file checksum as it comes, a
 * page as its contents and not as it is stored; the index is held against what the frames were.
 */
#include "sim/judge_int.h"

#include "base/mem.h"

#include <lz4.h>
#include <lz4frame.h>
#include <stdarg.h>

#define HEADER         100
#define END_MARK       6
#define SMALLEST       131
#define PAGE_SIZE_MIN  512u
#define PAGE_SIZE_MAX  65536u
#define BLOCK_OVERHEAD 64 /* over LZ4's own bound; more than any writer needs */

/* A reading. Running over the end is a flag, and reads as zeros. */
struct scan {
    const uint8_t *p;
    size_t n, at;
    bool over;
    uint64_t crc;
    uint32_t lock;
    struct judge_file *f;
    struct span {
        size_t at, n;
    } * frames; /* where each page of f->pages is */
    size_t cap;
    char *why;
};

static bool bad(struct scan *s, const char *fmt, ...) WR_PRINTF(2, 3);
static bool bad(struct scan *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(s->why, JUDGE_TEXT, fmt, ap);
    va_end(ap);
    return false;
}

/* The next `n` bytes, which stay unread. */
static const uint8_t *peek(struct scan *s, size_t n)
{
    static const uint8_t nothing[HEADER];

    if (n <= s->n - s->at)
        return s->p + s->at;
    s->over = true;
    return nothing;
}

/* The next `n` bytes, part of the checksum. */
static const uint8_t *take(struct scan *s, size_t n)
{
    const uint8_t *p = peek(s, n);

    if (s->over)
        return p;
    s->crc = judge_crc(s->crc, p, n);
    s->at += n;
    return p;
}

static uint64_t number(const uint8_t *p, unsigned size)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < size; i++)
        v = v << 8 | p[i];
    return v;
}

static bool all_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i])
            return false;
    }
    return true;
}

/* ---- header ---- */

static bool check_wal(struct scan *s, const uint8_t *h)
{
    uint64_t off = number(h + 48, 8), size = number(h + 56, 8);

    if (off > INT64_MAX || size > INT64_MAX)
        return bad(s, "negative WAL offset or size");
    if (off == 0 && (size != 0 || !all_zero(h + 64, 8)))
        return bad(s, "WAL size or salts without an offset");
    s->f->has_wal = !all_zero(h + 48, 32);
    return true;
}

static bool check_rolling(struct scan *s, const uint8_t *h)
{
    struct judge_file *f = s->f;

    f->has_rolling = memcmp(h + 80, "WRC2", 4) == 0;
    if (!f->has_rolling)
        return true;
    f->pre = number(h + 84, 8);
    f->post = number(h + 92, 8);
    if (!(f->pre & f->post & JUDGE_SUM_TOP))
        return bad(s, "a rolling checksum without bit 63");
    if (f->min == 1 && f->pre != JUDGE_SUM_TOP)
        return bad(s, "a snapshot's rolling checksum does not begin with nothing");
    return true;
}

static bool read_header(struct scan *s)
{
    struct judge_file *f = s->f;
    const uint8_t *h = take(s, HEADER);
    uint64_t flags = number(h + 4, 4);

    if (memcmp(h, "LTX1", 4) != 0)
        return bad(s, "magic");
    if (flags != 2)
        return bad(s, "header flags %llu", (unsigned long long)flags);
    f->page_size = (uint32_t)number(h + 8, 4);
    f->commit = (uint32_t)number(h + 12, 4);
    f->min = number(h + 16, 8);
    f->max = number(h + 24, 8);
    f->time_ms = (int64_t)number(h + 32, 8);
    if (f->page_size < PAGE_SIZE_MIN || f->page_size > PAGE_SIZE_MAX ||
        (f->page_size & (f->page_size - 1)) != 0)
        return bad(s, "page size %u", f->page_size);
    if (f->commit == 0)
        return bad(s, "a database of no pages");
    if (f->min == 0 || f->max < f->min)
        return bad(s, "TXIDs %llu to %llu", (unsigned long long)f->min, (unsigned long long)f->max);
    if (number(h + 40, 8) != 0)
        return bad(s, "a pre-apply checksum");
    return check_wal(s, h) && check_rolling(s, h);
}

/* ---- pages ---- */

static bool expand_block(struct scan *s, uint32_t pgno, uint8_t *page)
{
    const int size = (int)s->f->page_size;
    uint64_t n = number(take(s, 4), 4);
    const uint8_t *block;

    if (n > (uint64_t)LZ4_compressBound(size) + BLOCK_OVERHEAD)
        return bad(s, "page %u is stored in %llu bytes", pgno, (unsigned long long)n);
    block = peek(s, (size_t)n);
    if (s->over)
        return bad(s, "the file ends within page %u", pgno);
    if (LZ4_decompress_safe((const char *)block, (char *)page, (int)n, size) != size)
        return bad(s, "page %u does not expand to one page", pgno);
    s->at += (size_t)n;
    return true;
}

/* The LZ4 frame at hand, its size to *ret_n. `page` has room for a byte more than a page. */
static bool expand_frame_with(
    LZ4F_dctx *ctx, struct scan *s, uint32_t pgno, uint8_t *page, size_t *ret_n)
{
    const uint8_t *p = s->p + s->at;
    size_t left = s->n - s->at, n = left, out = 0, hint;
    LZ4F_frameInfo_t info;

    hint = LZ4F_getFrameInfo(ctx, &info, p, &n);
    if (LZ4F_isError(hint) || info.contentChecksumFlag != LZ4F_contentChecksumEnabled)
        return bad(s, "page %u is no LZ4 frame with a checksum", pgno);
    while (hint != 0) {
        size_t in = left - n, room = s->f->page_size + 1 - out;

        hint = LZ4F_decompress(ctx, page + out, &room, p + n, &in, NULL);
        n += in;
        out += room;
        if (LZ4F_isError(hint) || (in == 0 && room == 0))
            return bad(s, "page %u is a broken LZ4 frame", pgno);
    }
    if (out != s->f->page_size)
        return bad(s, "page %u does not expand to one page", pgno);
    *ret_n = n;
    return true;
}

static bool expand_frame(struct scan *s, uint32_t pgno, uint8_t *page)
{
    LZ4F_dctx *ctx = NULL;
    size_t n = 0;
    bool ok;

    if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION)))
        abort();
    ok = expand_frame_with(ctx, s, pgno, page, &n);
    (void)LZ4F_freeDecompressionContext(ctx); /* its result says where decoding stood */
    s->at += n;
    return ok;
}

/* Which pages may follow those that were read. */
static bool check_pgno(struct scan *s, uint32_t pgno)
{
    const struct judge_file *f = s->f;
    uint32_t last = f->n ? f->pages[f->n - 1].pgno : 0;

    if (pgno <= last)
        return bad(s, "page %u after page %u", pgno, last);
    if (pgno > f->commit)
        return bad(s, "page %u of a database of %u", pgno, f->commit);
    if (pgno == s->lock)
        return bad(s, "the lock page, %u, is stored", pgno);
    if (f->min == 1 && pgno != last + 1 + (last + 1 == s->lock))
        return bad(s, "a snapshot with page %u after page %u", pgno, last);
    return true;
}

static void keep_page(struct scan *s, uint32_t pgno, const uint8_t *page, size_t began)
{
    struct judge_file *f = s->f;

    if (f->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 16;
        f->pages = wr_resize(f->pages, s->cap, sizeof(*f->pages));
        s->frames = wr_resize(s->frames, s->cap, sizeof(*s->frames));
        if (!f->pages || !s->frames)
            abort();
    }
    f->pages[f->n] = (struct judge_page){.pgno = pgno,
        .hash = judge_hash_page(pgno, page, f->page_size),
        .sum = judge_page_sum(pgno, page, f->page_size)};
    s->frames[f->n++] = (struct span){.at = began, .n = s->at - began};
}

static bool read_page(struct scan *s, uint8_t *page)
{
    const size_t began = s->at;
    const uint8_t *h = take(s, 6);
    uint32_t pgno = (uint32_t)number(h, 4);
    uint64_t flags = number(h + 4, 2);

    if (!check_pgno(s, pgno))
        return false;
    if (flags > 1)
        return bad(s, "page %u has flags %llu", pgno, (unsigned long long)flags);
    if (!(flags ? expand_block(s, pgno, page) : expand_frame(s, pgno, page)))
        return false;
    s->crc = judge_crc(s->crc, page, s->f->page_size);
    keep_page(s, pgno, page, began);
    return true;
}

static bool read_pages(struct scan *s)
{
    uint8_t *page = wr_alloc((size_t)s->f->page_size + 1);
    bool ok = true;

    if (!page)
        abort();
    while (ok && !all_zero(peek(s, END_MARK), END_MARK))
        ok = read_page(s, page);
    wr_free(page);
    (void)take(s, END_MARK);
    return ok && (!s->over || bad(s, "the file ends within its pages"));
}

/* What the pages say together. */
static bool check_pages(struct scan *s)
{
    const struct judge_file *f = s->f;
    uint32_t last = f->n ? f->pages[f->n - 1].pgno : 0;
    uint64_t sum = 0;

    if (f->min != 1)
        return true;
    if (last != f->commit - (f->commit == s->lock))
        return bad(s, "a snapshot ends with page %u of %u", last, f->commit);
    for (size_t i = 0; i < f->n; i++)
        sum ^= f->pages[i].sum;
    if (f->has_rolling && f->post != (sum | JUDGE_SUM_TOP))
        return bad(s, "a snapshot's pages do not add up to its rolling checksum");
    return true;
}

/* ---- index and trailer ---- */

/* The next varint is `want`, as short as can be. */
static bool is_varint(struct scan *s, uint64_t want)
{
    do {
        uint8_t b = (uint8_t)((want & 127) | (want > 127 ? 128 : 0));

        if (*take(s, 1) != b || s->over)
            return false;
        want >>= 7;
    } while (want);
    return true;
}

static bool read_index(struct scan *s)
{
    const size_t began = s->at;
    size_t n;

    for (size_t i = 0; i < s->f->n; i++) {
        if (!is_varint(s, s->f->pages[i].pgno) || !is_varint(s, s->frames[i].at) ||
            !is_varint(s, s->frames[i].n))
            return bad(s, "the index is wrong about page %u", s->f->pages[i].pgno);
    }
    if (!is_varint(s, 0))
        return bad(s, "the index does not end with the pages");
    n = s->at - began;
    if (number(take(s, 8), 8) != n || s->over)
        return bad(s, "the length of the index is wrong");
    return true;
}

static bool read_trailer(struct scan *s)
{
    uint64_t post = number(take(s, 8), 8), sum = number(peek(s, 8), 8);

    if (s->over || s->n - s->at != 8)
        return bad(s, "the file does not end with its trailer");
    if (post != 0)
        return bad(s, "a post-apply checksum");
    if (sum != (s->crc | JUDGE_SUM_TOP))
        return bad(s, "the file checksum is wrong");
    return true;
}

bool judge_decode(
    const uint8_t *p, size_t n, uint32_t lock_offset, struct judge_file *ret, char why[JUDGE_TEXT])
{
    struct scan s = {.p = p, .n = n, .f = ret, .why = why};
    bool ok;

    *ret = (struct judge_file){0};
    if (n < SMALLEST)
        return bad(&s, "%zu bytes", n);
    ok = read_header(&s);
    if (ok)
        s.lock = judge_lock_page(ret->page_size, lock_offset);
    ok = ok && read_pages(&s) && check_pages(&s) && read_index(&s) && read_trailer(&s);
    wr_free(s.frames);
    return ok;
}

void judge_file_release(struct judge_file *f)
{
    wr_free(f->pages);
    *f = (struct judge_file){0};
}
