/*
 * toll.h - what a restore of a replica's newest state reads, as its writer knows it: the newest
 * snapshot, and of each level the files behind that which no file of a level above covers. Pure.
 *
 * The account begins with a listing and goes on with what is sent; it asks nobody. It may say too
 * little, of files that a hole in a level leaves in use, but not too much.
 *
 * A snapshot is worth its bytes when a restore reads as many beyond the last one. Every page of it
 * is either in the last snapshot or in what came since, so it is no larger than the two together:
 * by the rules below it never has more than WR_TOLL_SHARE + 1 bytes for a byte of changes.
 */
#ifndef WR_ENGINE_TOLL_H
#define WR_ENGINE_TOLL_H

#include "base/base.h"
#include "base/status.h"
#include "engine/layout.h"

#define WR_TOLL_FLOOR ((uint64_t)64 << 20) /* bytes beyond the snapshot; fewer do no harm */
#define WR_TOLL_FILES 5000u                /* files beyond it: a request each */
#define WR_TOLL_SHARE 3u /* of so many bytes of the snapshot one has changed before files count */

struct wr_toll_sum {
    uint64_t bytes, files;
};

/* = {0}: an empty replica. */
struct wr_toll {
    uint64_t snapshot;                           /* TXID of the newest one; 0: none is known */
    uint64_t snapshot_size;                      /* bytes; 0: not known */
    uint64_t snapshot_checksum;                  /* in its trailer; 0: not known */
    struct wr_toll_sum level[WR_LEVEL_SNAPSHOT]; /* that a restore reads, by level */
    struct wr_toll_sum mark; /* of level 0, when it was marked and not covered since */
};

/* Of a replica with these files, sorted by wr_ltx_file_cmp, to the newest state of which a chain
 * leads; else all that is known is the snapshot. NOMEM. */
enum wr_status wr_toll_of(
    const struct wr_ltx_file *files, size_t n, struct wr_toll *ret, struct wr_err *e) WR_MUST_CHECK;

void wr_toll_add(struct wr_toll *t, uint64_t size); /* a file of level 0 was sent */
/* Files of higher levels, which end here, are made now and sent later; ... */
void wr_toll_mark(struct wr_toll *t);
/* ... this one is there: of `level` > 0, and up to TXID `end`. `checksum` is the one in its
 * trailer; 0: not known. */
void wr_toll_cover(
    struct wr_toll *t, unsigned level, uint64_t end, uint64_t size, uint64_t checksum);

struct wr_toll_sum wr_toll_sum(const struct wr_toll *t); /* beyond the snapshot */

/* Whether a snapshot is worth its bytes. `floor` and `files`: WR_TOLL_FLOOR and WR_TOLL_FILES, but
 * in tests. */
bool wr_toll_is_high(const struct wr_toll *t, uint64_t floor, uint64_t files);

#endif
