/*
 * stream.h - a primary that serves what it has just captured, asked over HTTP:
 *
 *     GET /feed/<database>?id=<16 hex>&after=<txid, hex>&life=<hex>&part=<n>&wait=<ms>
 *             [&more=1][&flow=1]
 *         200 records (engine/feed_record.h), with `flow` perhaps more and more of them within
 *         `wait`; 204 nothing within `wait`; 410 it is not kept there
 *     GET /feed/<database>
 *         200 lines "replica <URL>", and others, by which a follower finds the bucket
 *     both: 401, 404, 503 too many followers, with a line of text
 *
 * What comes back is not looked at. Each request is made once: whoever follows has the bucket.
 *
 * owned.
 */
#ifndef WR_STORAGE_STREAM_H
#define WR_STORAGE_STREAM_H

#include "base/base.h"
#include "base/buf.h"
#include "base/call.h"
#include "base/status.h"

struct wr_stream;

#define WR_STREAM_REPLY_MAX ((size_t)4 << 20) /* bytes of an answer */

struct wr_stream_opts {
    const char *url;     /* "http://primary:9999/app.db" */
    const char *token;   /* copied; NULL: none */
    const char *ca_file; /* as for net/http.h; copied */
    int64_t connect_ms;  /* 0: 3 s */
    int64_t slack_ms;    /* beyond `wait` until an answer must come; 0: 5 s */
};

/* No request. MISUSE: no such URL, the token cannot be sent, or ca_file cannot be read. */
enum wr_status wr_stream_open(
    const struct wr_stream_opts *o, struct wr_stream **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_stream_close(struct wr_stream *s);             /* NULL-safe; zeroes the token */
const char *wr_stream_name(const struct wr_stream *s); /* for messages */

/* A state, as engine/feed.h has it. */
struct wr_stream_at {
    uint64_t txid, life;
    uint32_t part;
    bool more;
};

/* What follows a state, into `out`, which is cleared, and stays, as more may come; empty: nothing
 * yet. NOTFOUND: not kept there any more. MISUSE: no such database there. AUTH: the token is wrong.
 * BUSY, TIMEOUT, CANCELED, IO. */
enum wr_status wr_stream_next(struct wr_stream *s, struct wr_call *c, const struct wr_stream_at *at,
    int64_t wait_ms, struct wr_buf *out, struct wr_err *e) WR_MUST_CHECK;

/* Wait for more of that answer, which is appended to the same `out`. If nothing is, or it fails, it
 * is over: LIMIT, BUSY, TIMEOUT, CANCELED, IO. */
enum wr_status wr_stream_more(
    struct wr_stream *s, struct wr_call *c, struct wr_err *e) WR_MUST_CHECK;

/* The URL of the bucket that the database is replicated to, in c->scratch. Asked for again, for a
 * second or two, of a primary that is being restarted, or to which too many connect at once.
 * NOTFOUND: it has none that the primary would tell. Else as above. */
enum wr_status wr_stream_replica(
    struct wr_stream *s, struct wr_call *c, struct wr_str *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
