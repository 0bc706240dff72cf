/*
 * send.c - see send.h. One attempt; refuses to decide what follows from a failure.
 */
#include "engine/send.h"

#include "base/mutant.h"
#include "engine/layout.h"
#include "engine/parcel.h"
#include "engine/remote.h"
#include "storage/storage.h"
#include "storage/writer.h"

struct sending {
    struct wr_call *call;
    struct wr_writer *writer;
    uint64_t size; /* handed on */
};

static enum wr_status send_piece(void *arg, struct wr_bytes piece, struct wr_err *e)
{
    struct sending *s = arg;

    s->size += piece.n;
    return wr_writer_write(s->writer, s->call, piece, e);
}

static enum wr_status send_file(struct wr_storage *s, struct wr_call *c, const struct wr_parcel *p,
    unsigned threads, uint64_t *ret_size, struct wr_err *e)
{
    struct wr_put_opts o = {.time_ms = p->header.time_ms,
        .if_absent = (wr_storage_caps(s) & WR_STORAGE_COND_PUT) != 0 && !WR_MUTANT(NO_CREATE_ONLY)};
    struct sending x = {.call = c};
    struct wr_str key =
        wr_layout_ltx_key(c->scratch, s, p->level, p->header.min_txid, p->header.max_txid);
    uint64_t hint = p->size;
    enum wr_status st;

    if (!key.p)
        return wr_fail(e, WR_NOMEM, "send an LTX file");
    if (!wr_parcel_streamed(p) && !p->path)
        return wr_storage_put(s, c, key, wr_buf_bytes(&p->bytes), &o, e);
    if (hint == 0)
        hint = (uint64_t)p->header.commit * p->header.page_size;
    st = wr_writer_open(s, c, key, &o, hint, &x.writer, e);
    if (st == WR_OK)
        st = wr_parcel_send(p, threads, send_piece, &x, e);
    if (st != WR_OK) {
        wr_writer_abort(x.writer, c);
        return st;
    }
    *ret_size = x.size;
    return wr_writer_commit(x.writer, c, e);
}

/* An object with the file's name is there already. It may be ours: an earlier attempt whose answer
 * got lost. The checksum at its end tells. */
static enum wr_status settle_conflict(
    struct wr_storage *s, struct wr_call *c, const struct wr_parcel *p, struct wr_err *e)
{
    bool same = false;
    struct wr_err why = {0};

    if (p->size > 0 && wr_remote_same(s, c, p->level, p->header.min_txid, p->header.max_txid,
                           p->size, p->checksum, &same, &why) != WR_OK)
        return wr_fail(e, WR_BUSY, "compare with the object that is there: %s", why.text);
    if (same)
        return WR_OK;
    return wr_fail(e, WR_CONFLICT,
        "txid %016llx is already there with other contents: another process writes to this replica",
        (unsigned long long)p->header.max_txid);
}

enum wr_status wr_send(struct wr_storage *s, struct wr_call *c, const struct wr_parcel *p,
    unsigned threads, uint64_t *ret_size, struct wr_err *e)
{
    uint64_t size = p->size;
    enum wr_status st = send_file(s, c, p, threads, &size, e);

    if (WR_MUTANT(ACK_ON_SEND) || (WR_MUTANT(SAME_NAME_SAME_FILE) && st == WR_CONFLICT))
        st = WR_OK;
    if (st == WR_CONFLICT) {
        size = p->size;
        st = settle_conflict(s, c, p, e);
    }
    if (st == WR_OK)
        *ret_size = size;
    return st;
}
