/*
 * roll.h - which files a writer knows to be in a replica, in a few numbers: of each level below the
 * snapshots the last TXIDs without a hole, and how many snapshots there are. Pure.
 *
 * What is missing of that was deleted by somebody else, if whoever deletes says so before
 * (extent.h): also where other files lead to the same TXIDs, or from a snapshot of long ago nothing
 * leads on.
 */
#ifndef WR_ENGINE_ROLL_H
#define WR_ENGINE_ROLL_H

#include "base/base.h"
#include "engine/layout.h"

/* = {0}: nothing is known. */
struct wr_roll {
    struct wr_roll_run {
        uint64_t from, to; /* TXIDs; each is in a file of the level. to 0: nothing is known */
    } run[WR_LEVEL_SNAPSHOT];
    bool counted;       /* all snapshots are known; else those that came since it was begun */
    uint64_t snapshots; /* how many of them there are, ... */
    uint64_t sum;       /* ... the sum of their last TXIDs, modulo 2^64, ... */
    uint64_t newest;    /* ... and the last TXID of the newest; 0: there were none */
    uint64_t first;     /* and of the oldest that came since it was begun; 0: none did */
};

/* A file has come. One that does not go on where the run of its level ends begins it anew; of
 * snapshots only those that are newer than all count, so that none counts twice. */
void wr_roll_add(struct wr_roll *r, const struct wr_ltx_file *f);
/* A file that was there goes: once. What is older in its level is not known any more. */
void wr_roll_remove(struct wr_roll *r, const struct wr_ltx_file *f);
/* All that `before` knows was there when `r` was begun. */
void wr_roll_join(struct wr_roll *r, const struct wr_roll *before);
/* Keep what both say. */
void wr_roll_meet(struct wr_roll *r, const struct wr_roll *other);
/* Whether it would be wrong without that file. */
bool wr_roll_speaks(const struct wr_roll *r, const struct wr_ltx_file *f);
void wr_roll_drop_runs(struct wr_roll *r);

/* How far a level was looked through. = {0}: not at all. */
struct wr_roll_at {
    size_t i;      /* of the next file */
    uint64_t next; /* TXID */
};
/* The next hole of a level's run among files[0..n), sorted by wr_ltx_file_cmp, from *at on, which
 * is moved on: TXIDs *from to *to. False: there is none. All of them take one pass. */
bool wr_roll_hole(const struct wr_roll *r, unsigned level, const struct wr_ltx_file *files,
    size_t n, struct wr_roll_at *at, uint64_t *from, uint64_t *to);
/* How many snapshots are missing among files[0..n), or at least so many; 0: none, for all that can
 * be known. *ret_max: the last TXID of the one that is, else 0. */
uint64_t wr_roll_missing(
    const struct wr_roll *r, const struct wr_ltx_file *files, size_t n, uint64_t *ret_max);

#endif
