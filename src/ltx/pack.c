/*
 * pack.c - see pack.h. Frames one behind the other; refuses to know what came before.
 */
#include "ltx/pack.h"

#include "base/crc64.h"
#include "base/mem.h"
#include "ltx/frame.h"
#include "ltx/ltx.h"

/* One block: a few large ones go back to the system where many small ones would linger. First what
 * has to be aligned. */
enum wr_status wr_ltx_pack_init(
    struct wr_ltx_pack *p, uint32_t page_size, uint32_t room, struct wr_err *e)
{
    size_t each = sizeof(*p->sizes) + sizeof(*p->sums) + sizeof(*p->pgno) + page_size +
                  wr_ltx_frame_max(page_size);
    uint8_t *at;

    assert(wr_ltx_page_size_ok(page_size));
    assert(room > 0 && (size_t)room * page_size <= WR_LTX_PACK_MAX);
    *p = (struct wr_ltx_pack){.page_size = page_size, .room = room};
    p->block_ = wr_alloc(wr_ltx_frame_scratch() + room * each);
    if (!p->block_)
        return wr_fail(e, WR_NOMEM, "pack pages: out of memory");
    at = (uint8_t *)p->block_ + wr_ltx_frame_scratch();
    p->sums = (uint64_t *)(void *)at;
    at += room * sizeof(*p->sums);
    p->sizes = (size_t *)(void *)at;
    at += room * sizeof(*p->sizes);
    p->pgno = (uint32_t *)(void *)at;
    at += room * sizeof(*p->pgno);
    p->pages = at;
    p->frames_ = at + (size_t)room * page_size;
    return WR_OK;
}

void wr_ltx_pack_release(struct wr_ltx_pack *p)
{
    wr_free(p->block_);
    *p = (struct wr_ltx_pack){0};
}

void wr_ltx_pack_make(struct wr_ltx_pack *p)
{
    uint8_t *out = p->frames_;

    assert(p->n <= p->room);
    p->crc = p->covered = p->sum = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        const uint8_t *page = p->pages + (size_t)i * p->page_size;

        p->sizes[i] = 0;
        p->sums[i] = 0;
        if (p->pgno[i] == 0)
            continue;
        p->sizes[i] = wr_ltx_frame_put(out, p->pgno[i], page, p->page_size, p->block_);
        p->crc = wr_crc64(p->crc, out, WR_LTX_FRAME_HEAD_MAX);
        p->crc = wr_crc64(p->crc, page, p->page_size);
        p->covered += WR_LTX_FRAME_HEAD_MAX + p->page_size;
        p->sums[i] = wr_ltx_page_checksum(p->pgno[i], page, p->page_size);
        p->sum ^= p->sums[i];
        out += p->sizes[i];
    }
    p->bytes = (struct wr_bytes){p->frames_, (size_t)(out - p->frames_)};
}
