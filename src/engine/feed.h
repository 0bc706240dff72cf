/*
 * feed.h - what a database has just captured, in memory, for those who follow it over the network.
 *
 * A list of records (feed_record.h): the files of the last TXIDs, and behind them the parts of the
 * one to come. The database's step puts them there, before they are uploaded; readers ask for what
 * follows the state that they have, and wait for it. It is bounded in bytes and records: the oldest
 * files go, and so do parts that become too many. Who asks for what is not there any more is sent
 * to the bucket. Records are counted, so that a reader, however slow, holds memory and nothing
 * else.
 *
 * Parts are numbered from 1 behind each TXID, within a life: a time in which every one of them is
 * of the same course of the database. A new life begins whenever it was let go in between.
 *
 * locked.
 */
#ifndef WR_ENGINE_FEED_H
#define WR_ENGINE_FEED_H

#include "base/base.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/status.h"

#define WR_FEED_BYTES   ((size_t)8 << 20) /* of all records */
#define WR_FEED_RECORDS ((size_t)1024)
#define WR_FEED_READ                                                            \
    ((size_t)1 << 20) /* bytes that one read returns, unless one record is more \
                       */

struct wr_feed;

/* The state that a reader has: TXID `txid`, and behind it `part` parts of `life`; 0: none. `more`:
 * and it was told that there is more than that, of which no part comes. */
struct wr_feed_at {
    uint64_t txid, life;
    uint32_t part;
    bool more;
};

struct wr_feed_limits {
    size_t bytes, records; /* 0: as above */
    int64_t wanted_ms;     /* since the last reader, for wr_feed_wanted; 0: 30 s */
    int64_t kept_ms;       /* since then, for wr_feed_kept; 0: 10 minutes */
};

/* `clock` outlives it. `limits` may be NULL. `seed`: lives begin there. NOMEM. */
enum wr_status wr_feed_new(const struct wr_clock *clock, const struct wr_feed_limits *limits,
    uint64_t seed, struct wr_feed **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_feed_free(struct wr_feed *f); /* no reader may be in it; NULL-safe */

/* ---- by the database's step ---- */

/* Whether somebody has read, or waited, a short while ago, so that parts are worth making. */
bool wr_feed_wanted(struct wr_feed *f);
/* Whether that was not so long ago that nothing need be kept. */
bool wr_feed_kept(struct wr_feed *f);

/* From here on the database is at TXID `txid`, and parts behind it are of a new life. Files stay if
 * they lead there. */
void wr_feed_begin(struct wr_feed *f, uint64_t txid);
/* Nobody gets parts any more, or what is kept of files either: as when nobody wants it. */
void wr_feed_end(struct wr_feed *f);
void wr_feed_drop(struct wr_feed *f);

/* Somebody is about to read. */
void wr_feed_touch(struct wr_feed *f);

/* A part: number `part` behind the newest TXID. LIMIT: there are too many already, and so it will
 * be until the next TXID; NOMEM. */
enum wr_status wr_feed_part(
    struct wr_feed *f, uint32_t part, struct wr_bytes body, struct wr_err *e) WR_MUST_CHECK;
/* There is more than any part will have, until the next TXID: readers are told, once. */
void wr_feed_more(struct wr_feed *f);
/* The next file, to TXID `txid` from the one before. `part` > 0: that part had the same state, with
 * this rolling checksum, so that who has it needs no file. Without a `body`, as it is too large,
 * whoever does need it is sent to the bucket. LIMIT, NOMEM: it is not there, as after wr_feed_gap.
 */
enum wr_status wr_feed_file(struct wr_feed *f, uint64_t txid, int64_t time_ms, uint64_t rolling,
    uint32_t part, struct wr_bytes body, struct wr_err *e) WR_MUST_CHECK;
/* The database is at `txid`, and what led there is not here. */
void wr_feed_gap(struct wr_feed *f, uint64_t txid);

/* ---- by readers ---- */

/* Append to `out` what follows *at, and wait for it, at most until `end_ns` (of the clock of the
 * system); *at becomes the state that it leads to. TIMEOUT: there was nothing; NOTFOUND: it is not
 * here any more, or not yet: the bucket has it, or it is lost; CANCELED; NOMEM, LIMIT: `out` has no
 * room. */
enum wr_status wr_feed_read(struct wr_feed *f, struct wr_feed_at *at, int64_t end_ns,
    struct wr_cancel *cancel, struct wr_buf *out, struct wr_err *e) WR_MUST_CHECK;

#endif
