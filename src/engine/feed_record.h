/*
 * feed_record.h - one piece of a database's stream, as a primary serves it to those who follow:
 *
 *     0   4  "WFD1"
 *     4   1  kind: 1 FILE, 2 PART, 3 CLOSE, 4 MORE
 *     5   3  zero
 *     8   8  txid: that the copy is at afterwards; of a PART the one that it adds to
 *    16   8  from: the copy is at this TXID, or is at it with parts of the next one
 *    24   8  life: within which parts are counted (feed.h)
 *    32   4  part: number of this one, from 1; of CLOSE the part that it is the same state as
 *    36   4  bytes that follow the header
 *    40   8  CRC-64 of the 40 bytes before and of what follows
 *
 *   FILE   a file of level 0, TXIDs from + 1 to txid: all pages that differ
 *   PART   pages captured since the part before, as a file of which the TXIDs are both from + part,
 *          and the rolling checksums those before and after: what holds of files holds of parts
 *   CLOSE  nothing has changed since that part, and it is now TXID txid: 8 bytes of time (Unix ms),
 *          8 of its rolling checksum
 *   MORE   the database has changed since, by more than is sent before the next TXID: what the copy
 *          is, is not the newest state. `part` is zero
 *
 * All integers are little-endian. Any other beginning is of another version.
 */
#ifndef WR_ENGINE_FEED_RECORD_H
#define WR_ENGINE_FEED_RECORD_H

#include "base/base.h"
#include "base/buf.h"
#include "base/status.h"

#define WR_FEED_HEADER 48
#define WR_FEED_CLOSED 16 /* bytes that follow the header of CLOSE */

enum wr_feed_kind {
    WR_FEED_FILE = 1,
    WR_FEED_PART = 2,
    WR_FEED_CLOSE = 3,
    WR_FEED_MORE = 4,
};

struct wr_feed_record {
    enum wr_feed_kind kind;
    uint64_t txid, from, life;
    uint32_t part;
    struct wr_bytes body; /* FILE, PART; a view */
    int64_t time_ms;      /* CLOSE */
    uint64_t rolling;     /* CLOSE */
};

/* Append it to `out`, whose status tells whether there was room. */
void wr_feed_record_put(struct wr_buf *out, const struct wr_feed_record *r);

/* Whether `in` begins with a whole record, or with what is none: not, if more of it may come. */
bool wr_feed_record_whole(struct wr_bytes in);

/* The record that *in begins with, which then begins behind it. CORRUPT: it is none, or damaged, or
 * it is cut off, or its numbers contradict each other. */
enum wr_status wr_feed_record_next(
    struct wr_bytes *in, struct wr_feed_record *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
