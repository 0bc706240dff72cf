/*
 * hydrate.h - a replica is copied to a file of this machine, by steps, and the copy is kept up to
 * date: what readers find there they need no request for (local.h).
 *
 * owned: one thread steps. Others may read the copy meanwhile.
 */
#ifndef WR_VFS_HYDRATE_H
#define WR_VFS_HYDRATE_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

struct wr_fs;
struct wr_hydrate;
struct wr_local;
struct wr_pagecache;
struct wr_pagemap;
struct wr_storage;

struct wr_hydrate_opts {
    struct wr_storage *storage; /* outlives it, as the others */
    struct wr_pagecache *cache;
    const struct wr_fs *fs;
    const char *path;     /* NULL: a file without a name */
    uint32_t lock_offset; /* WR_LTX_LOCK_OFFSET */
};

/* Errors as wr_local_open. */
enum wr_status wr_hydrate_new(
    const struct wr_hydrate_opts *o, struct wr_hydrate **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_hydrate_free(struct wr_hydrate *h); /* NULL-safe; nobody reads any more */
struct wr_local *wr_hydrate_local(struct wr_hydrate *h);

/* Some of the way to a copy of `m`, the newest state: at most some MiB of pages. *ret_more: there
 * is more to do, at once.
 *
 * BUSY: a file of `m` has vanished: it takes another map; or none leads on to it, for now. What the
 * disk refuses (LIMIT: it is full) is the end, and so is every step after that; wr_hydrate_is_over
 * tells. Else as wr_storage_get and wr_storage_list, and worth another try. A damaged frame is no
 * failure: its page is left out. */
enum wr_status wr_hydrate_step(struct wr_hydrate *h, struct wr_call *c, struct wr_pagemap *m,
    bool *ret_more, struct wr_err *e) WR_MUST_CHECK;
bool wr_hydrate_is_over(const struct wr_hydrate *h);

/* Once it is whole, it is read through a mapping (wr_local_map). */
void wr_hydrate_map(struct wr_hydrate *h);

/* The last step was the last: leave it so that the next process can go on. */
enum wr_status wr_hydrate_end(struct wr_hydrate *h, struct wr_err *e) WR_MUST_CHECK;

struct wr_hydrate_look {
    uint64_t txid;        /* of the state that is copied */
    uint64_t here, total; /* pages of it */
    uint64_t requests;    /* for pages */
    uint64_t bytes;       /* in them */
    uint64_t fetched;     /* pages */
    uint64_t damaged;     /* pages that were left out, since the state was a new one */
};
void wr_hydrate_look(const struct wr_hydrate *h, struct wr_hydrate_look *ret);

#endif
