/*
 * follow_source.h - where a follower gets its next state from: the primary's stream while there is
 * one, else the bucket.
 *
 * While the primary answers, each request waits there for what comes next, and its answer goes on
 * for a while with what comes then. What it sends is treated as files of the bucket are: it is
 * proven file by file, must go on from the copy, and must give the image that it records. When it
 * is away, or does not have what follows, or sends what does not fit, the bucket is polled, and the
 * primary tried again: at once in the second case, else after a second, and ever later, up to half
 * a minute.
 *
 * owned: a part of the follower.
 */
#ifndef WR_ENGINE_FOLLOW_SOURCE_H
#define WR_ENGINE_FOLLOW_SOURCE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_follow;
struct wr_stream;

struct wr_follow_source {
    struct wr_stream *primary; /* not owned; NULL: the bucket alone */
    struct wr_storage *inbox;  /* what it sent, as files; NULL: not opened yet */
    struct wr_buf answer;
    struct wr_bytes rest; /* of it: records that are yet to be applied; the last may be cut off */
    bool flows;           /* more of it may come, for a copy that has all of it, which is then at */
    uint64_t ahead;       /* this TXID, and */
    uint32_t ahead_part;  /* this part */
    uint64_t life;        /* within which the copy's parts are counted; 0: not known */
    bool more;            /* it has told that there is more than the copy has, and not what */
    bool unsure;          /* and then that it does not have that: in the bucket, or lost */
    bool with;            /* it had what was asked for, the last time: it may wait for more */
    bool back;            /* that it is there was told */
    bool hasty;           /* it said at once that there is nothing, though it was to wait */
    bool told;            /* that it is away */
    int64_t again_ms;     /* monotonic: not asking before that */
    unsigned failures;    /* in a row */
};

/* What the primary had. */
enum wr_follow_from {
    WR_FROM_BUCKET,  /* nothing that helps: look there */
    WR_FROM_PRIMARY, /* f->next is to be applied */
    WR_FROM_NOBODY,  /* there is nothing new, or it needed no page */
};

void wr_follow_source_init(struct wr_follow_source *s, struct wr_stream *primary);
void wr_follow_source_release(struct wr_follow_source *s);

/* Ask it. CANCELED, NOMEM and what went wrong with the copy; all that is wrong with the primary is
 * told in the log, and FROM_BUCKET. */
enum wr_status wr_follow_source_next(struct wr_follow *f, struct wr_call *c,
    enum wr_follow_from *ret, struct wr_err *e) WR_MUST_CHECK;

/* What it sent was applied, or not: then the bucket is next, and the primary later. */
void wr_follow_source_done(
    struct wr_follow *f, struct wr_call *c, enum wr_status st, const struct wr_err *why);

#endif
