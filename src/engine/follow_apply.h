/*
 * follow_apply.h - bring a followed copy to another state: all of it in one moment, or not at all.
 */
#ifndef WR_ENGINE_FOLLOW_APPLY_H
#define WR_ENGINE_FOLLOW_APPLY_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

struct wr_file;
struct wr_follow_pos;
struct wr_follow_state;
struct wr_patch;

/* The pages in which the new state differs. owned. */
struct wr_follow_change {
    struct wr_file *pages; /* page n is at (n - 1) * page_size; those of `pgno` are there */
    uint32_t *pgno;        /* ascending, none twice, not the lock page */
    size_t n;
    uint32_t page_size, commit; /* of the new state */
    uint64_t txid;
    int64_t time_ms;
    uint64_t sum;     /* XOR of the checksums of these pages; only with `rolling` */
    uint64_t rolling; /* of the new image, as its file records it; 0: it records none */
    uint32_t part;    /* and `base`, `fed`: as of the new state (follow_state.h) */
    uint64_t base;
    bool fed;
    bool anew; /* proven as a whole: it need not go on from where the copy is */
};
void wr_follow_change_release(struct wr_follow_change *c); /* NULL-safe; = {0} is empty */

/* See that the copy is one of the two states that `s` knows, and which: *ret_pos. SQLite first
 * rolls back what a crash has left. CONFLICT: it is neither, so that somebody else has written to
 * it, moved it, or put it into WAL mode. BUSY: somebody has it locked to write. IO, CORRUPT. */
enum wr_status wr_follow_find(struct wr_patch *p, const struct wr_follow_state *s,
    struct wr_follow_pos *ret_pos, struct wr_err *e) WR_MUST_CHECK;

/* Apply `x` to the copy, which is at *pos; then *pos is the new state. Readers are kept out for as
 * long as writing the pages takes, and before that for at most `patience_ms`, to let those end that
 * are there.
 *
 * CONFLICT: as above. BUSY: another connection writes, or reads on; *ret_readers tells which.
 * CORRUPT: the pages that are there and these are not the image that the replica describes: the
 * copy is damaged or was changed, or these files do not go on from it; nothing was changed.
 * LIMIT: the disk is full. After a failure what the copy is has to be found again, by
 * wr_follow_find: as long as *ret_clean is not set. */
enum wr_status wr_follow_apply(struct wr_patch *p, struct wr_call *c, struct wr_follow_state *s,
    struct wr_follow_pos *pos, const struct wr_follow_change *x, uint32_t lock_offset,
    int64_t patience_ms, bool *ret_readers, bool *ret_clean, struct wr_err *e) WR_MUST_CHECK;

#endif
