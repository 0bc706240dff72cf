/*
 * follow_state.h - where a followed copy of a database stands: kept beside it, so that a crash at
 * any moment leaves no doubt.
 *
 * A copy at <path> has two files beside it:
 *
 *   <path>-txid     what others read: the TXID, 16 hex digits and a newline. It is written last.
 *   <path>-follow   what we go by. Locked by whoever follows; two slots of 512 bytes, written in
 *                   turn, of which the valid one with the higher number counts. All integers are
 *                   little-endian:
 *
 *     0   8  magic "WEIRFOL1", of which the digit is the version
 *     8   8  number of this write, from 1; odd ones are in the second slot
 *    16 148  where the copy was (below)
 *   164 148  where it is going
 *   312   8  CRC-64 of the 312 bytes before
 *
 *            0  8  TXID
 *            8  8  when that state was captured, Unix ms
 *           16  8  the image's checksum (wr_ltx_rolling), or 0: not known
 *           24  4  page size
 *           28  4  pages
 *           32  4  the change counter of the copy
 *           36  4  parts of the next TXID that it has beside this one, with the highest bit set if
 *                  the state is from the primary's stream, and may never have reached the bucket
 *           40  8  the checksum of the image of this TXID, where it has such parts, else zero
 *           48 100 the header of page 1 as the replica has it
 *
 * The change counter in the copy's own page 1 tells which of the two it is, as it changes in the
 * same moment as all other pages; any other counter means that somebody else has written to it.
 */
#ifndef WR_ENGINE_FOLLOW_STATE_H
#define WR_ENGINE_FOLLOW_STATE_H

#include "base/base.h"
#include "base/status.h"

struct wr_file;
struct wr_fs;

#define WR_DB_HEADER 100 /* bytes of page 1 */

#define WR_FOLLOW_SUFFIX      "-follow"
#define WR_FOLLOW_TXID_SUFFIX "-txid"

struct wr_follow_pos {
    uint64_t txid;             /* 0: nobody has proven what it is */
    int64_t time_ms;           /* Unix ms */
    uint64_t rolling;          /* 0: not known */
    uint32_t page_size, pages; /* 0, 0: there is no such state */
    uint32_t counter;
    uint8_t header[WR_DB_HEADER];
    uint32_t
        part; /* > 0: and so many parts of the next TXID (feed.h): all but `txid` is of these */
    uint64_t base; /* then: the image's checksum as of `txid` */
    bool fed;      /* from the primary; nobody has seen it in the bucket */
};

/* The checksum of TXID pos->txid, which the next one goes on from; 0: not known. */
static inline uint64_t wr_follow_base(const struct wr_follow_pos *pos)
{
    return pos->part ? pos->base : pos->rolling;
}

/* owned. = {0} is closed. */
struct wr_follow_state {
    const struct wr_fs *fs;
    const char *path; /* of the copy; the caller's */
    struct wr_file *file;
    uint64_t number;               /* of the last write; 0: nothing was ever written */
    struct wr_follow_pos was, now; /* as written last; `was` may be = {0} */
};

/* Open "<path>-follow", creating it, lock it, and read it. BUSY: somebody else follows this copy.
 */
enum wr_status wr_follow_state_open(const struct wr_fs *fs, const char *path,
    struct wr_follow_state *ret, struct wr_err *e) WR_MUST_CHECK;
void wr_follow_state_close(struct wr_follow_state *s);

/* Before the copy goes from *was to *now, durably. */
enum wr_status wr_follow_state_put(struct wr_follow_state *s, const struct wr_follow_pos *was,
    const struct wr_follow_pos *now, struct wr_err *e) WR_MUST_CHECK;

/* Write, with the copy's owner and who may read it, or read, "<path>-txid". *ret is 0 where there
 * is none; CORRUPT: it is none of ours. */
enum wr_status wr_follow_txid_put(
    const struct wr_fs *fs, const char *path, uint64_t txid, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_follow_txid_get(
    const struct wr_fs *fs, const char *path, uint64_t *ret, struct wr_err *e) WR_MUST_CHECK;

/* A header of page 1, as it is to be in the copy: not in WAL mode, of `pages` pages, with this
 * change counter, and this schema cookie. */
void wr_follow_dress(
    uint8_t header[WR_DB_HEADER], uint32_t pages, uint32_t counter, uint32_t cookie);
uint32_t wr_follow_counter(const uint8_t header[WR_DB_HEADER]);
uint32_t wr_follow_cookie(const uint8_t header[WR_DB_HEADER]);
/* Another counter than `counter`, and not the one that somebody's next commit would make. */
enum wr_status wr_follow_next_counter(
    uint32_t counter, uint32_t *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
