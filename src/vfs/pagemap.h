/*
 * pagemap.h - where each page of a database is in its replica, as of one transaction.
 *
 * frozen once made, and counted: a reader holds the one that it began with for as long as it reads,
 * whatever is found in the replica meanwhile. It knows nothing of how files are read.
 *
 * Frames lie back to back, so that of the oldest file, which has nearly all pages, a length a page
 * is enough: 2.1 bytes (4.1 with pages of 64 KiB). What is newer are two sorted tables of 16 bytes
 * a page, a small one that is merged again with each new file and a large one that is merged with
 * it now and then. Maps of consecutive transactions share what is the same in both.
 */
#ifndef WR_VFS_PAGEMAP_H
#define WR_VFS_PAGEMAP_H

#include "base/base.h"
#include "base/status.h"
#include "engine/layout.h"
#include "engine/route.h"

struct wr_input;
struct wr_pagemap;

/* A file that has pages of the database. */
struct wr_pagemap_file {
    struct wr_ltx_file file;
    uint32_t id;       /* the caller's: names its bytes, as no other file's, in a cache */
    uint64_t checksum; /* of its bytes, as its trailer has it */
    uint64_t tag;      /* of the object that it was, as reading it tells; 0: unknown */
    bool has_rolling;  /* it records the checksum of the database before and after it: */
    uint64_t rolling_pre, rolling_post;
};

struct wr_pagemap_about {
    uint64_t epoch; /* the caller's: of replicas that came one after the other under one URL */
    bool apart;     /* the caller's: nothing shows that it is of the same replica as others */
    uint64_t txid;
    int64_t time_ms;    /* when that state was captured, Unix ms */
    uint32_t page_size; /* bytes */
    uint32_t commit;    /* pages of the database */
    uint32_t lock_pgno; /* has no frame, and reads as zeros */
    bool has_rolling;   /* the newest file records the checksum of the database: */
    uint64_t rolling;
};

/* A frame. */
struct wr_spot {
    const struct wr_pagemap_file *in; /* lives as long as the map */
    uint64_t off;
    uint32_t length;
};

/* Files, in the order in which they apply. */
struct wr_pagemap_step {
    const struct wr_input *const *in;    /* with all frames, as wr_input_open leaves them */
    const struct wr_pagemap_file *files; /* what the map keeps of them */
    size_t n;                            /* at least 1 */
    uint32_t lock_offset;                /* of SQLite's lock page; WR_LTX_LOCK_OFFSET */
    uint64_t epoch;                      /* that of `from`, if there is one */
    bool apart;
};

/* The map after these were applied to `from`, which stays as it is, or to nothing.
 *
 * UNSUPPORTED: the files have another page size than `from`: begin with NULL. CONFLICT: they go on
 * from another database than it, by the checksums that weir's files record. CORRUPT: they do not
 * fit each other, by page size or checksum. NOMEM. */
enum wr_status wr_pagemap_make(const struct wr_pagemap *from, const struct wr_pagemap_step *step,
    struct wr_pagemap **ret, struct wr_err *e) WR_MUST_CHECK;

struct wr_pagemap *wr_pagemap_hold(struct wr_pagemap *m); /* NULL-safe; returns `m` */
void wr_pagemap_drop(struct wr_pagemap *m);               /* NULL-safe */

const struct wr_pagemap_about *wr_pagemap_about(const struct wr_pagemap *m);

/* The newest frame of a page, in *ret; false when there is none: of the lock page, of one beyond
 * the end, or, where the files do not add up to a database, of one that is missing. */
bool wr_pagemap_find(const struct wr_pagemap *m, uint32_t pgno, struct wr_spot *ret);

/* The pages, in ascending order, whose newest frame is in a file that ends after some transaction:
 * those that may have changed since then. Pages beyond the end are among them, as what a database
 * gets back when it grows is what it was when it was cut off. The map outlives it. */
struct wr_pagemap_walk {
    const struct wr_pagemap *m;
    uint64_t after;
    size_t at[2];  /* in the tables */
    uint64_t base; /* the next page */
};
void wr_pagemap_walk(const struct wr_pagemap *m, uint64_t after, struct wr_pagemap_walk *ret);
/* *ret_max: the last transaction of that file. False: there are no more. */
bool wr_pagemap_walk_next(struct wr_pagemap_walk *w, uint32_t *ret_pgno, uint64_t *ret_max);

/* The files that it was made of, the oldest first; each of them may have no page of it by now. */
const struct wr_pagemap_file *wr_pagemap_files(const struct wr_pagemap *m, size_t *ret_n);

/* Whether a database that was seen as of TXID `txid`, with the checksum `rolling` if that is known,
 * is one that files, or those of the map, lead through, by the checksums that they record. */
enum wr_fit wr_pagemap_files_fit(const struct wr_pagemap_file *files, size_t n, uint64_t txid,
    bool has_rolling, uint64_t rolling);
enum wr_fit wr_pagemap_fit(
    const struct wr_pagemap *m, uint64_t txid, bool has_rolling, uint64_t rolling);

/* How much of it is in the tables, and what it takes: a map of which much is in them, or that is
 * made of many files, is better made anew once there is a newer snapshot. */
struct wr_pagemap_size {
    uint64_t based;  /* pages that the oldest file tells */
    uint64_t tabled; /* entries of the tables */
    uint64_t bytes;  /* of memory, with what other maps share */
};
void wr_pagemap_size(const struct wr_pagemap *m, struct wr_pagemap_size *ret);

#endif
