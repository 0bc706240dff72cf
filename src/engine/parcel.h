/*
 * parcel.h - one LTX file on its way to a replica: in memory, in the outbox on disk, or still to be
 * read from the database while it is sent.
 *
 * A file needs no local copy when it can be sent at once and is small. It waits in the outbox, a
 * directory of the database's local state, when it is large or others wait before it; one that is
 * not very large, only when others have taken the memory that there is for such.
 * Nothing in the outbox is ever synced: if the process dies the database still has the pages, and
 * ledger and journal know which.
 *
 * frozen once made, and reference-counted: several replicas may send the same one at a time.
 */
#ifndef WR_ENGINE_PARCEL_H
#define WR_ENGINE_PARCEL_H

#include "base/base.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/status.h"
#include "engine/layout.h"
#include "engine/view.h"
#include "ltx/ltx.h"

#include <stdatomic.h>

#define WR_PARCEL_MEMORY_MAX ((size_t)512 << 10) /* bytes; larger ones need room to stay there, */
#define WR_PARCEL_ROOM_MAX   ((size_t)5 << 20)   /* and larger than this go to the outbox */

/* Memory for the large files of all databases that share it. Limits are frozen, the rest is
 * locked: any thread. */
struct wr_parcel_room {
    size_t small_max;     /* bytes of a file that needs no room */
    size_t file_max;      /* bytes of a file that may have some */
    atomic_size_t left;   /* bytes */
    atomic_size_t missed; /* files that got none: it was too little for them, or had been taken */
    /* Of a file that is gone, for the next one, or NULL. It begins with its size, a size_t. */
    _Atomic(uint8_t *) spare;
};

/* Room of `size` bytes. Without one, and in the program, the limits are WR_PARCEL_MEMORY_MAX and
 * WR_PARCEL_ROOM_MAX, the most that they may be; less is for tests, whose files are small. */
void wr_parcel_room_init(
    struct wr_parcel_room *room, size_t small_max, size_t file_max, size_t size);
/* Free what is kept for the next file; also at its end. */
void wr_parcel_room_rest(struct wr_parcel_room *room);

struct wr_parcel {
    struct wr_ltx_header header;
    unsigned level;
    uint64_t size;            /* bytes; 0 while unknown (streamed) */
    uint64_t checksum;        /* the one in its trailer; 0 while unknown */
    uint64_t crc;             /* CRC-64 of all its bytes, if it is in the outbox */
    struct wr_buf bytes;      /* the file, if it is in memory */
    char *path;               /* the file, if it is in the outbox; else NULL */
    struct wr_frozen *frozen; /* streamed: where the pages are; NULL otherwise */
    uint32_t *pages;          /* streamed: which, ascending; NULL: all of the database */
    size_t n_pages;
    struct wr_parcel_room *room; /* where it may be in memory though it is large; or NULL */
    size_t held;                 /* bytes of that which it has */
    bool has_sum;                /* the next field is known: always when streamed */
    uint64_t sum;                /* XOR of the pages' checksums as they must be; see ltx.h */
    const struct wr_fs *fs;
    uint32_t lock_offset;
    atomic_uint refs_;
};

/* One reference. `header` is copied. NOMEM. */
enum wr_status wr_parcel_new(const struct wr_fs *fs, const struct wr_ltx_header *header,
    unsigned level, uint32_t lock_offset, struct wr_parcel **ret, struct wr_err *e) WR_MUST_CHECK;
struct wr_parcel *wr_parcel_ref(struct wr_parcel *p);
void wr_parcel_unref(struct wr_parcel *p); /* NULL-safe; the last one frees, and removes the file */

/* It may take of `room`, which outlives it; before fill. */
void wr_parcel_use(struct wr_parcel *p, struct wr_parcel_room *room);

/* The XOR of the LTX checksums of all pages that will be encoded; before fill. */
void wr_parcel_expect(struct wr_parcel *p, uint64_t sum);

/* Encode `n` pages (ascending) of `view` as the parcel's contents, in memory or, if they are too
 * large for that, in `<outbox>/`. The view must not change meanwhile. INTERNAL: the pages
 * were not those that were expected; send it to nobody. */
enum wr_status wr_parcel_fill(struct wr_parcel *p, const struct wr_view *view,
    const uint32_t *pages, size_t n, const char *outbox, struct wr_err *e) WR_MUST_CHECK;

/* The same before the header's rolling_post is known, and the sum of the pages, whose checksums
 * go to `sums`: so they are read once. It is no file yet. LIMIT: it might not stay in memory. */
enum wr_status wr_parcel_begin(struct wr_parcel *p, const struct wr_view *view,
    const uint32_t *pages, size_t n, uint64_t *sums, struct wr_err *e) WR_MUST_CHECK;
void wr_parcel_end(struct wr_parcel *p, uint64_t rolling_post); /* now it is one */

/* Drop what was filled in, and let the contents be read from `frozen` while it is sent: `n` pages
 * (ascending), or all if `pages` is NULL. Both become the parcel's, which can be sent once. `sum`
 * is the XOR of the LTX checksums of all these pages. */
void wr_parcel_stream(
    struct wr_parcel *p, struct wr_frozen *frozen, uint32_t *pages, size_t n, uint64_t sum);

/* Move the contents from memory to the outbox. Before anybody else has a reference. */
enum wr_status wr_parcel_stash(
    struct wr_parcel *p, const char *outbox, struct wr_err *e) WR_MUST_CHECK;

/* Hand the whole file, as it was encoded, to `sink` in pieces; for a streamed parcel read the pages
 * and encode them now, if they are many on `threads` threads (packers.h; at least 1, and more than
 * WR_PACKERS_MAX are as many). CANCELED once those were stopped; INTERNAL, with all but the end
 * handed out, when they were not the pages that they should have been: the file must not get its
 * name, and the image is doubted (frozen.h). So it is with CORRUPT: the outbox does not have what
 * was put there.
 */
enum wr_status wr_parcel_send(const struct wr_parcel *p, unsigned threads,
    enum wr_status (*sink)(void *arg, struct wr_bytes piece, struct wr_err *e), void *arg,
    struct wr_err *e) WR_MUST_CHECK;

bool wr_parcel_streamed(const struct wr_parcel *p);

/* More than needs no room, wherever it is; not of one that is streamed. */
bool wr_parcel_large(const struct wr_parcel *p);

/* What a listing says of it once it is in a replica; size 0 while that is unknown. */
struct wr_ltx_file wr_parcel_listed(const struct wr_parcel *p);

/* Whether the caller's is the only reference: nobody reads the view any more. */
bool wr_parcel_alone(const struct wr_parcel *p);

/* Remove all files that are, or once were, parcels' or images' (frozen.h) from the outbox. */
void wr_outbox_clean(const struct wr_fs *fs, const char *outbox);

#endif
