/*
 * follow_sum.c - what the pages of a followed copy add up to. All of them are read.
 */
#include "base/mem.h"
#include "engine/follow_int.h"
#include "engine/ledger.h"
#include "ltx/ltx.h"
#include "sqlite/patch.h"

enum wr_status wr_follow_read_page(
    struct wr_follow *f, uint32_t pgno, uint8_t *page, struct wr_err *e)
{
    const struct wr_follow_pos *pos = &f->pos;
    enum wr_status st =
        wr_patch_read(f->copy, page, pos->page_size, (uint64_t)(pgno - 1) * pos->page_size, e);

    if (st == WR_OK && pgno == 1)
        memcpy(page, pos->header, WR_DB_HEADER);
    return st;
}

enum wr_status wr_follow_sum_up(struct wr_follow *f, struct wr_call *c, struct wr_ledger *l,
    uint64_t *ret_rolling, struct wr_err *e)
{
    const struct wr_follow_pos *pos = &f->pos;
    uint32_t lock = wr_ltx_lock_pgno(pos->page_size, f->opts.restore.lock_offset);
    uint64_t bytes = 0, sum = 0;
    uint8_t *page = wr_alloc(pos->page_size);
    enum wr_status st;

    if (!page)
        return wr_fail(e, WR_NOMEM, "page buffer: out of memory");
    st = wr_patch_begin(f->copy, &bytes, e);
    for (uint32_t pgno = 1; st == WR_OK && pgno <= pos->pages; pgno++) {
        uint64_t x;

        if (pgno == lock)
            continue;
        st = wr_call_check(c, "prove the copy", e);
        if (st == WR_OK)
            st = wr_follow_read_page(f, pgno, page, e);
        if (st != WR_OK)
            break;
        x = wr_ltx_page_checksum(pgno, page, pos->page_size);
        sum ^= x;
        if (l)
            wr_ledger_fill(l, pgno, x);
    }
    wr_patch_end(f->copy);
    wr_free(page);
    *ret_rolling = sum | WR_LTX_CHECKSUM_EMPTY;
    return st;
}
