/*
 * faultstore.h - a storage driver around another one, which fails as remotes do, by seed.
 *
 * locked: any thread may use it. A fault is armed with a probability and a number of times; without
 * armed faults every call goes through unchanged.
 */
#ifndef WR_TEST_FAULTSTORE_H
#define WR_TEST_FAULTSTORE_H

#include "storage/storage.h"

enum fault_kind {
    FAULT_BEFORE,    /* TIMEOUT, and nothing happened */
    FAULT_AFTER,     /* TIMEOUT, though it happened: the answer was lost */
    FAULT_BUSY,      /* BUSY for this call and the next ones, a burst of 1 to 4; nothing happened */
    FAULT_BROKEN,    /* IO, and nothing happened: not transient */
    FAULT_GONE,      /* MISUSE, and nothing happened: there is no such bucket */
    FAULT_DELAY,     /* the clock moves on by up to a second before the call */
    FAULT_STALE,     /* a list misses what was put last */
    FAULT_CUT_LIST,  /* a list passes some objects on, then TIMEOUT */
    FAULT_TWICE,     /* a put is applied twice; the first answer counts */
    FAULT_RIVAL,     /* a conditional put finds that a rival's object was faster: CONFLICT */
    FAULT_SHORT_GET, /* a get answers with fewer bytes than there are */
    FAULT_KINDS,
};

enum fault_op {
    FAULT_ON_LIST = 1,
    FAULT_ON_STAT = 2,
    FAULT_ON_GET = 4,
    FAULT_ON_PUT = 8,
    FAULT_ON_REMOVE = 16,
    FAULT_ON_BEGIN = 32,
    FAULT_ON_PART = 64,
    FAULT_ON_COMMIT = 128,
    FAULT_ON_ALL = 255,
};

struct faultstore;
struct wr_clock_manual;

/* Around `inner`, which is closed by ops->close as always. `clock` is what FAULT_DELAY moves; NULL:
 * delays do nothing. */
struct faultstore *faultstore_new(const struct wr_storage_ops *inner_ops, void *inner,
    uint64_t seed, struct wr_clock_manual *clock);
/* For wr_storage_wrap, with the fault store as `self`. Lives as long as the fault store. */
const struct wr_storage_ops *faultstore_ops(const struct faultstore *f);

/* It no longer says of itself that its listings show what is there. Before it is used. */
void faultstore_lists_late(struct faultstore *f);

/* From now on `kind` strikes calls in `ops` (of enum fault_op, those it makes sense for) with a
 * probability of `permille`, `times` times; UINT64_MAX: for good. Replaces what was armed for it.
 */
void faultstore_arm(
    struct faultstore *f, enum fault_kind kind, unsigned ops, unsigned permille, uint64_t times);
void faultstore_calm(struct faultstore *f); /* disarms all, and ends a burst */
uint64_t faultstore_fired(struct faultstore *f, enum fault_kind kind);

#endif
