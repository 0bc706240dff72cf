/*
 * digest.h - files of a replica, each read in full, several of them at once ahead of need.
 *
 * Reading and decoding does not depend on what was read before, and is mostly waiting. What is done
 * with it depends on it, and comes in order. So the files that are likely to be needed next are
 * read together; one that was not foreseen is read alone.
 */
#ifndef WR_ENGINE_DIGEST_H
#define WR_ENGINE_DIGEST_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/layout.h"
#include "engine/sums.h"

struct wr_storage;

/* One that was read ahead. */
struct wr_digest {
    const struct wr_ltx_file *file; /* NULL: none */
    struct wr_change change;
    enum wr_status st;
    struct wr_err err;
};

/* Files read ahead: as many as there are threads, four times over, of 16 MiB in all; a larger one
 * by itself. owned. Memory: what these take in sums.h, which is no more than their size, and 1.2
 * MiB a thread (8 MiB more while one expands an LZ4 frame). */
struct wr_ahead {
    struct wr_storage *storage;
    uint32_t lock_offset;
    unsigned threads;                      /* 1 to WR_CREW_MAX */
    const struct wr_ltx_file *const *plan; /* what is likely to be asked for, in this order */
    size_t n, next;                        /* of the plan; plan[next..n) was not read yet */
    struct wr_digest *got;
    size_t got_max, got_n;
    uint64_t bytes; /* read so far */
};
enum wr_status wr_ahead_init(struct wr_ahead *a, struct wr_err *e) WR_MUST_CHECK; /* NOMEM */
void wr_ahead_release(struct wr_ahead *a); /* = {0} is empty */
/* Another plan, and nothing was read yet. */
void wr_ahead_plan(struct wr_ahead *a, const struct wr_ltx_file *const *plan, size_t n);

/* Read `f` to its end, twice if need be: one bad answer is no damage. One that was read ahead is
 * handed over; asked for again it is read again. *ret is = {0}, and to be released after a failure,
 * too.
 *
 * CORRUPT: it is damaged, or its header tells other TXIDs than its name. NOTFOUND: it is not there.
 * Else as wr_storage_get, and NOMEM. The texts have no key. */
enum wr_status wr_ahead_get(struct wr_ahead *a, struct wr_call *c, const struct wr_ltx_file *f,
    struct wr_change *ret, struct wr_err *e) WR_MUST_CHECK;

/* Read one file to its end, as wr_ahead_get does. Only its header is wanted; of its pages nothing
 * is kept. Errors as there. */
enum wr_status wr_digest_check(struct wr_storage *s, struct wr_call *c, const struct wr_ltx_file *f,
    uint32_t lock_offset, struct wr_ltx_header *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
