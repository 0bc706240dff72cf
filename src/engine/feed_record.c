/*
 * feed_record.c - see feed_record.h.
 */
#include "engine/feed_record.h"

#include "base/bytes.h"
#include "base/crc64.h"

static const uint8_t MAGIC[4] = {'W', 'F', 'D', '1'};

enum {
    AT_KIND = 4,
    AT_TXID = 8,
    AT_FROM = 16,
    AT_LIFE = 24,
    AT_PART = 32,
    AT_SIZE = 36,
    AT_CRC = 40,
};

void wr_feed_record_put(struct wr_buf *out, const struct wr_feed_record *r)
{
    uint8_t head[WR_FEED_HEADER] = {0}, closed[WR_FEED_CLOSED];
    struct wr_bytes body = r->body;

    if (r->kind == WR_FEED_CLOSE) {
        wr_put_le64(closed, (uint64_t)r->time_ms);
        wr_put_le64(closed + 8, r->rolling);
        body = (struct wr_bytes){closed, sizeof(closed)};
    }
    assert(body.n <= UINT32_MAX);
    memcpy(head, MAGIC, sizeof(MAGIC));
    head[AT_KIND] = (uint8_t)r->kind;
    wr_put_le64(head + AT_TXID, r->txid);
    wr_put_le64(head + AT_FROM, r->from);
    wr_put_le64(head + AT_LIFE, r->life);
    wr_put_le32(head + AT_PART, r->part);
    wr_put_le32(head + AT_SIZE, (uint32_t)body.n);
    wr_put_le64(head + AT_CRC, wr_crc64(wr_crc64(0, head, AT_CRC), body.p, body.n));
    wr_buf_put(out, head, sizeof(head));
    wr_buf_put(out, body.p, body.n);
}

/* Whether these numbers can be meant. */
static bool makes_sense(const struct wr_feed_record *r)
{
    switch (r->kind) {
    case WR_FEED_FILE:
        return r->from > 0 && r->txid > r->from;
    case WR_FEED_PART:
        return r->from > 0 && r->txid == r->from && r->part > 0 && r->from < UINT64_MAX - r->part;
    case WR_FEED_CLOSE:
        return r->from > 0 && r->txid > r->from && r->part > 0 && r->body.n == WR_FEED_CLOSED;
    case WR_FEED_MORE:
        return r->from > 0 && r->txid == r->from && r->part == 0 && r->body.n == 0;
    }
    return false;
}

bool wr_feed_record_whole(struct wr_bytes in)
{
    if (in.n < WR_FEED_HEADER)
        return false;
    return memcmp(in.p, MAGIC, sizeof(MAGIC)) != 0 ||
           wr_le32(in.p + AT_SIZE) <= in.n - WR_FEED_HEADER;
}

enum wr_status wr_feed_record_next(
    struct wr_bytes *in, struct wr_feed_record *ret, struct wr_err *e)
{
    const uint8_t *p = in->p;
    struct wr_feed_record r = {0};
    size_t size;

    if (in->n < WR_FEED_HEADER)
        return wr_fail(e, WR_CORRUPT, "the primary's answer ends within a record");
    if (memcmp(p, MAGIC, sizeof(MAGIC)) != 0)
        return wr_fail(e, WR_CORRUPT, "the primary's answer is no record of this version");
    size = wr_le32(p + AT_SIZE);
    if (size > in->n - WR_FEED_HEADER)
        return wr_fail(e, WR_CORRUPT, "the primary's answer ends within a record");
    if (wr_crc64(wr_crc64(0, p, AT_CRC), p + WR_FEED_HEADER, size) != wr_le64(p + AT_CRC))
        return wr_fail(e, WR_CORRUPT, "a record of the primary's answer is damaged");
    r = (struct wr_feed_record){.kind = (enum wr_feed_kind)p[AT_KIND],
        .txid = wr_le64(p + AT_TXID),
        .from = wr_le64(p + AT_FROM),
        .life = wr_le64(p + AT_LIFE),
        .part = wr_le32(p + AT_PART),
        .body = {p + WR_FEED_HEADER, size}};
    if (!makes_sense(&r))
        return wr_fail(e, WR_CORRUPT, "a record of the primary's answer makes no sense");
    if (r.kind == WR_FEED_CLOSE) {
        r.time_ms = (int64_t)wr_le64(r.body.p);
        r.rolling = wr_le64(r.body.p + 8);
        r.body = (struct wr_bytes){0};
    }
    in->p += WR_FEED_HEADER + size;
    in->n -= WR_FEED_HEADER + size;
    *ret = r;
    return WR_OK;
}
