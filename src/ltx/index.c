/*
 * index.c - the page index at the end of an LTX file.
 *
 *   per page, ascending: varint page number, varint offset of its frame in the file, varint length
 *     of the frame with its header (unsigned LEB128: 7 bits a byte, low ones first)
 *   varint 0
 *   8 bytes, big-endian: length of all the varints, the 0 included
 *   then the trailer, 16 bytes, ends the file; before the index stand 6 zero bytes, before these
 * the last frame
 *
 * Source: superfly/ltx v0.5.2 and files that litestream-vfs 0.5.17 wrote. That a frame starts where
 * the one before ends is what every writer does; readers of the original do not check it.
 */
#include "ltx/index.h"

#include "base/bytes.h"
#include "ltx/frame.h"

enum {
    MARK_SIZE = WR_LTX_FRAME_HEAD
};

enum wr_status wr_ltx_index_locate(struct wr_bytes tail, uint64_t file_size, uint64_t *ret_off,
    uint64_t *ret_size, struct wr_err *e)
{
    uint64_t size;

    assert(tail.n >= WR_LTX_TAIL_MIN || tail.n == file_size);
    if (file_size < WR_LTX_FILE_MIN)
        return wr_fail(e, WR_CORRUPT, "ltx: file of %llu bytes", (unsigned long long)file_size);
    assert(tail.n <= file_size);
    size = wr_be64(tail.p + tail.n - WR_LTX_TAIL_MIN);
    if (size == 0 || size > file_size - WR_LTX_TAIL_MIN - WR_LTX_HEADER_SIZE - MARK_SIZE)
        return wr_fail(e, WR_CORRUPT, "ltx: index of %llu bytes in a file of %llu",
            (unsigned long long)size, (unsigned long long)file_size);
    *ret_size = size;
    *ret_off = file_size - WR_LTX_TAIL_MIN - size;
    return WR_OK;
}

void wr_ltx_index_init(struct wr_ltx_index *x, struct wr_bytes index, uint64_t index_off,
    const struct wr_ltx_header *h, uint32_t lock_offset)
{
    uint32_t page_size = h ? h->page_size : WR_LTX_PAGE_SIZE_MAX;

    assert(index_off >= WR_LTX_HEADER_SIZE + MARK_SIZE);
    *x = (struct wr_ltx_index){
        .rest = index,
        .next_off = WR_LTX_HEADER_SIZE,
        .end_off = index_off - MARK_SIZE,
        .commit = h ? h->commit : UINT32_MAX,
        .lock_pgno = h ? wr_ltx_lock_pgno(page_size, lock_offset) : 0,
        .length_max = (uint32_t)(WR_LTX_FRAME_HEAD_MAX + wr_ltx_payload_max(page_size)),
    };
}

static enum wr_status get_varint(struct wr_ltx_index *x, uint64_t *ret, struct wr_err *e)
{
    size_t n = wr_get_varint(x->rest.p, x->rest.n, ret);

    if (n == 0)
        return wr_fail(e, WR_CORRUPT, "ltx index: malformed after page %u", (unsigned)x->pgno);
    x->rest = (struct wr_bytes){x->rest.p + n, x->rest.n - n};
    return WR_OK;
}

static enum wr_status check_end(const struct wr_ltx_index *x, struct wr_err *e)
{
    if (x->rest.n != 0)
        return wr_fail(e, WR_CORRUPT, "ltx index: %zu bytes after its end", x->rest.n);
    if (x->next_off != x->end_off)
        return wr_fail(e, WR_CORRUPT, "ltx index: pages end at %llu, it says %llu",
            (unsigned long long)x->end_off, (unsigned long long)x->next_off);
    return WR_NOTFOUND;
}

static enum wr_status check_entry(
    const struct wr_ltx_index *x, uint64_t pgno, uint64_t off, uint64_t length, struct wr_err *e)
{
    if (pgno <= x->pgno || pgno > x->commit || pgno == x->lock_pgno)
        return wr_fail(e, WR_CORRUPT, "ltx index: page %llu after page %u, in a database of %u",
            (unsigned long long)pgno, (unsigned)x->pgno, (unsigned)x->commit);
    if (off != x->next_off)
        return wr_fail(e, WR_CORRUPT, "ltx index: page %llu at %llu instead of %llu",
            (unsigned long long)pgno, (unsigned long long)off, (unsigned long long)x->next_off);
    if (length <= WR_LTX_FRAME_HEAD_MAX || length > x->length_max ||
        length > x->end_off - x->next_off)
        return wr_fail(e, WR_CORRUPT, "ltx index: page %llu takes %llu bytes",
            (unsigned long long)pgno, (unsigned long long)length);
    return WR_OK;
}

enum wr_status wr_ltx_index_next(
    struct wr_ltx_index *x, struct wr_ltx_entry *ret_entry, struct wr_err *e)
{
    uint64_t pgno = 0, off = 0, length = 0;
    enum wr_status st = get_varint(x, &pgno, e);

    if (st != WR_OK)
        return st;
    if (pgno == 0)
        return check_end(x, e);
    st = get_varint(x, &off, e);
    if (st == WR_OK)
        st = get_varint(x, &length, e);
    if (st == WR_OK)
        st = check_entry(x, pgno, off, length, e);
    if (st != WR_OK)
        return st;
    x->pgno = (uint32_t)pgno;
    x->next_off = off + length;
    *ret_entry =
        (struct wr_ltx_entry){.pgno = (uint32_t)pgno, .length = (uint32_t)length, .offset = off};
    return WR_OK;
}
