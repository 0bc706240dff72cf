/*
 * feed.c - the public call by which a server hands out what was just captured.
 */
#include "api/api_int.h"

#include "base/buf.h"
#include "engine/feed.h"

#define ANSWER_MAX ((size_t)16 << 20) /* bytes; one record is at most as long as all of a feed */

int weir_feed_read(weir_db *db, weir_feed_position *at, int64_t wait_ms, weir_cancel *cancel,
    weir_feed_fn *fn, void *arg, weir_error *reterr)
{
    weir_feed_position p = {0};
    struct wr_feed_at pos;
    struct wr_err e = {0};
    struct wr_buf out;
    enum wr_status st;

    if (!db || !at || at->struct_size < sizeof(size_t) || !fn)
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_feed_read: bad argument"), &e);
    memcpy(&p, at, wr_api_struct(at->struct_size, sizeof(p)));
    pos = (struct wr_feed_at){.txid = p.txid, .life = p.life, .part = p.part, .more = p.more != 0};
    wr_buf_init(&out, ANSWER_MAX);
    st = wr_db_feed_read(
        db->db, &pos, wr_db_wait_end(wait_ms), cancel ? &cancel->token : NULL, &out, &e);
    if (st == WR_OK) {
        p = (weir_feed_position){.struct_size = at->struct_size,
            .txid = pos.txid,
            .life = pos.life,
            .part = pos.part,
            .more = pos.more};
        memcpy(at, &p, wr_api_struct(at->struct_size, sizeof(p)));
        fn(arg, out.p, out.n);
    }
    wr_buf_release(&out);
    return wr_api_return(reterr, st, &e);
}
