/*
 * follow_int.h - what the files of a follower share.
 */
#ifndef WR_ENGINE_FOLLOW_INT_H
#define WR_ENGINE_FOLLOW_INT_H

#include "base/rand.h"
#include "engine/follow.h"
#include "engine/follow_apply.h"
#include "engine/follow_source.h"
#include "engine/follow_state.h"
#include "engine/layout.h"

struct wr_ledger;
struct wr_patch;
struct wr_storage;

/* What the database was at a transaction. */
struct wr_follow_mark {
    uint64_t txid; /* 0: none */
    uint64_t sum;  /* the image's checksum; 0: not known */
};

struct wr_follow {
    struct wr_storage *storage;
    struct wr_follow_source source;
    struct wr_follow_opts opts;
    char *path; /* of the copy, symbolic links resolved */
    struct wr_patch *copy;
    struct wr_follow_state state;
    struct wr_follow_pos pos;
    struct wr_follow_change next; /* to be applied; commit is 0: nothing */
    bool lost;   /* it has what only the primary had, and the bucket goes on without: as a whole */
    bool revert; /* set by a promotion: the copy is to be what the bucket has, even if that is less
                  */
    bool unsure; /* what the copy is has to be found again */
    /* The copy was seen to be in step with the bucket here: the newest state is at least this, and
     * goes on from it, or the bucket lacks something. */
    struct wr_follow_mark floor;
    struct wr_follow_mark mark; /* of a fed copy: where it was a while ago; floor to be */
    struct wr_rand rng;

    int64_t list_ms, wide_ms;  /* monotonic: when to list level 0, and all levels */
    uint64_t newest;           /* transaction that was seen */
    uint64_t listed;           /* lists of all levels that succeeded */
    int64_t behind_ms;         /* monotonic: since when there is something newer; 0: there is not */
    struct wr_ltx_files aside; /* damaged; they are done without until the copy has moved, ... */
    int64_t again_ms;          /* monotonic: ... or it is so late */
    unsigned doubts;           /* times in a row that the replica did not fit the copy */

    enum wr_follow_phase phase;
    struct wr_err why; /* of the last failure, or of waiting */
    uint64_t applied;
    uint32_t errors;
    unsigned waits;    /* tries in a row that another connection was in the way of */
    int64_t seen_ms;   /* monotonic: the last look at the replica that succeeded */
    int64_t bucket_ms; /* monotonic: when to look there though the primary has an answer */
    int64_t told_ms;   /* monotonic: when the log last had the failure */
    bool begun;        /* the phase was told */
};

static inline struct wr_follow_mark wr_follow_here(const struct wr_follow *f)
{
    return (struct wr_follow_mark){.txid = f->pos.txid, .sum = wr_follow_base(&f->pos)};
}

/* follow_start.c: restore, or find out what is there. As wr_follow_open. */
enum wr_status wr_follow_start(struct wr_follow *f, struct wr_call *c,
    struct wr_restore_result *ret_restored, struct wr_err *e) WR_MUST_CHECK;

/* follow_search.c: the replica was seen to have that transaction. */
void wr_follow_saw(struct wr_follow *f, const struct wr_call *c, uint64_t txid);

/* Files that go on from the copy; in *ret_anew, that there is only the newest state as a whole.
 * *all are those of all levels, or none. CONFLICT, NOTFOUND: it ends before the copy, or is empty;
 * IO: what there is, is damaged. Else as the storage. */
enum wr_status wr_follow_search(struct wr_follow *f, struct wr_call *c, struct wr_ltx_files *all,
    struct wr_ltx_files *chain, bool *ret_anew, struct wr_err *e) WR_MUST_CHECK;

/* follow_confirm.c: *ret: the bucket has the state of the copy, which, if it is from the primary,
 * is noted. BUSY: list again. Else as the storage. */
enum wr_status wr_follow_confirm(
    struct wr_follow *f, struct wr_call *c, bool *ret, struct wr_err *e) WR_MUST_CHECK;

/* The same by these files, which some list had. Of a copy that is ahead of the bucket it is noted
 * up to where it is not: f->floor. Where a file cannot be read it is as if it were not there. */
enum wr_status wr_follow_recognize(struct wr_follow *f, struct wr_call *c,
    const struct wr_ltx_files *files, struct wr_err *e) WR_MUST_CHECK;

/* *ret: the bucket has lost f->floor, or is of another course of things there. Not: it has it, or
 * no file tells any more. As the storage. */
enum wr_status wr_follow_parted(
    struct wr_follow *f, struct wr_call *c, bool *ret, struct wr_err *e) WR_MUST_CHECK;

/* follow_sum.c: a page as the replica has it; of page 1, the header is not the copy's. Between
 * wr_patch_begin and wr_patch_end, or with nobody who writes. */
enum wr_status wr_follow_read_page(
    struct wr_follow *f, uint32_t pgno, uint8_t *page, struct wr_err *e) WR_MUST_CHECK;
/* The copy's pages' checksums to `l`, unless that is NULL; what they add up to. Others may read
 * meanwhile, and not write. BUSY: somebody writes. */
enum wr_status wr_follow_sum_up(struct wr_follow *f, struct wr_call *c, struct wr_ledger *l,
    uint64_t *ret_rolling, struct wr_err *e) WR_MUST_CHECK;

/* What to do about a copy that cannot be gone on with. */
#define WR_FOLLOW_ADVICE \
    "to begin anew, delete it with its -txid and -follow files, or restore with -f -force"

#endif
