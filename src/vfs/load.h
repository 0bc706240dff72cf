/*
 * load.h - from files of a replica to the map of its pages: their indexes are read, many at once.
 */
#ifndef WR_VFS_LOAD_H
#define WR_VFS_LOAD_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_pagecache;
struct wr_pagemap;
struct wr_storage;

/* What is loaded, and onto what. */
struct wr_load {
    struct wr_storage *storage;
    struct wr_pagecache *cache;      /* gets the pages of files that were read whole */
    const struct wr_pagemap *from;   /* that the files go on from; NULL: they begin at TXID 1 */
    const struct wr_pagemap *known;  /* of the same epoch: files that are in it are the same ones,
                                        so that their pages in the cache serve; NULL: none */
    const struct wr_ltx_file *files; /* in the order in which they apply */
    size_t n;                        /* at least 1 */
    bool same;                       /* it is known to be of the same replica as `known` */
    uint64_t epoch;
    uint32_t lock_offset; /* WR_LTX_LOCK_OFFSET */
};

/* *ret is the caller's. It is told apart from `known` (about.apart) if checksums speak against its
 * being of the same history, or if nothing speaks for it, neither they nor a file that both have:
 * the replica may have been made anew, and nobody have seen it. CORRUPT: a file is damaged, or not
 * what its name says; *ret_bad is its index, or SIZE_MAX. BUSY: one has vanished. Else as
 * wr_pagemap_make and wr_storage_get. */
enum wr_status wr_load(const struct wr_load *l, struct wr_call *c, struct wr_pagemap **ret,
    size_t *ret_bad, struct wr_err *e) WR_MUST_CHECK;

#endif
