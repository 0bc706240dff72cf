/*
 * send.c - see send.h. One attempt; refuses to decide what follows from a failure.
 */
#include "engine/send.h"

#include "base/log.h"
#include "base/mutant.h"
#include "engine/layout.h"
#include "engine/parcel.h"
#include "engine/remote.h"
#include "storage/storage.h"
#include "storage/writer.h"

struct sending {
    struct wr_call *call;
    struct wr_writer *writer;
    uint64_t size;                     /* handed on */
    uint8_t tail[WR_LTX_TRAILER_SIZE]; /* and the last of it */
};

static void note_tail(struct sending *s, struct wr_bytes piece)
{
    size_t n = wr_min(piece.n, sizeof(s->tail));

    memmove(s->tail, s->tail + n, sizeof(s->tail) - n);
    memcpy(s->tail + sizeof(s->tail) - n, piece.p + piece.n - n, n);
}

static enum wr_status send_piece(void *arg, struct wr_bytes piece, struct wr_err *e)
{
    struct sending *s = arg;

    s->size += piece.n;
    note_tail(s, piece);
    return wr_writer_write(s->writer, s->call, piece, e);
}

static enum wr_status send_file(struct wr_storage *s, struct wr_call *c, const struct wr_parcel *p,
    unsigned threads, struct wr_sent *ret, struct wr_err *e)
{
    struct wr_put_opts o = {.time_ms = p->header.time_ms,
        .if_absent = (wr_storage_caps(s) & WR_STORAGE_COND_PUT) != 0 && !WR_MUTANT(NO_CREATE_ONLY)};
    struct sending x = {.call = c};
    struct wr_str key =
        wr_layout_ltx_key(c->scratch, s, p->level, p->header.min_txid, p->header.max_txid);
    struct wr_ltx_trailer t = {0};
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
    /* What is read while it is sent is known only now. */
    if (wr_parcel_streamed(p) && wr_ltx_trailer_get(x.tail, &t, NULL) == WR_OK)
        *ret = (struct wr_sent){.size = x.size, .checksum = t.file_checksum};
    return wr_writer_commit(x.writer, c, e);
}

/* An object with the file's name is there already. It may be ours: an earlier attempt whose answer
 * got lost. The checksum at its end tells. */
static enum wr_status settle_conflict(struct wr_storage *s, struct wr_call *c,
    const struct wr_parcel *p, const struct wr_sent *sent, struct wr_err *e)
{
    bool same = false;
    struct wr_err why = {0};

    if (sent->size > 0 && wr_remote_same(s, c, p->level, p->header.min_txid, p->header.max_txid,
                              sent->size, sent->checksum, &same, &why) != WR_OK)
        return wr_fail(e, WR_BUSY, "compare with the object that is there: %s", why.text);
    if (same)
        return WR_OK;
    return wr_fail(e, WR_CONFLICT,
        "txid %016llx is already there with other contents: another process writes to this replica",
        (unsigned long long)p->header.max_txid);
}

enum wr_status wr_send(struct wr_storage *s, struct wr_call *c, const struct wr_parcel *p,
    unsigned threads, struct wr_sent *ret, struct wr_err *e)
{
    enum wr_status st;

    *ret = (struct wr_sent){.size = p->size, .checksum = p->checksum};
    st = send_file(s, c, p, threads, ret, e);

    if (WR_MUTANT(ACK_ON_SEND) || (WR_MUTANT(SAME_NAME_SAME_FILE) && st == WR_CONFLICT))
        st = WR_OK;
    if (st == WR_CONFLICT)
        st = settle_conflict(s, c, p, ret, e);
    return st;
}

void wr_send_say(const struct wr_log *l, const char *label, const struct wr_storage *s,
    const struct wr_parcel *p, uint64_t size)
{
    const struct wr_ltx_header *h = &p->header;

    if (p->level == WR_LEVEL_SNAPSHOT)
        wr_log(l, WR_INFO, "snapshot complete", WR_F_Z("db", label),
            WR_F_STR("replica", wr_storage_name(s)), WR_F_TXID("txid", h->max_txid),
            WR_F_U64("size", size));
    else
        wr_log(l, WR_DEBUG, p->level > 0 ? "compaction complete" : "ltx file uploaded",
            WR_F_Z("db", label), WR_F_STR("replica", wr_storage_name(s)),
            WR_F_U64("level", p->level), WR_F_TXID("min", h->min_txid),
            WR_F_TXID("max", h->max_txid), WR_F_U64("size", size));
}
