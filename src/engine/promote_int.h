/*
 * promote_int.h - what the files of a promotion share.
 */
#ifndef WR_ENGINE_PROMOTE_INT_H
#define WR_ENGINE_PROMOTE_INT_H

#include "engine/node.h"
#include "engine/promote.h"

struct wr_follow;
struct wr_ledger;

struct wr_promotion {
    struct wr_storage *s;
    struct wr_call *c;
    struct wr_promote_opts o;
    const struct wr_fs *state_fs; /* for local state, which the application's user goes on with */
    const char *copy;             /* o.path, with symbolic links resolved */
    const char *meta_dir;
    struct wr_follow *f;
    struct wr_node node; /* as it was found: kept or not */
    uint64_t found;      /* the number that was kept, before another one was taken */
    uint64_t before;   /* the same, if the lease names it, so that it may have put a fence; or 0 */
    const char *owner; /* for people who find the lease; NULL: not yet known */
    struct wr_lease_seen seen;
    struct wr_lease lease; /* ours, once its epoch is not 0 */
    uint64_t fence;        /* TXID of the name that was taken */
    uint64_t end;          /* the last one that is left out */
};

/* When what begins now has taken too long, monotonic. */
int64_t wr_promotion_patience(const struct wr_promotion *p);

/* The deadline of the next request. */
void wr_promotion_request(struct wr_promotion *p);

/* promote_copy.c: the copy, which is open from the first of these on */
enum wr_status wr_promotion_open_copy(struct wr_promotion *p, struct wr_err *e) WR_MUST_CHECK;
/* Bring it to the newest state of a listing that begins from now on, or further: not to what comes
 * meanwhile, which may be faster than that. BUSY: failures, or readers, for too long. */
enum wr_status wr_promotion_catch_up(struct wr_promotion *p, struct wr_err *e) WR_MUST_CHECK;
/* Whether a further state could be applied: there is room for a journal, and nobody reads on, or
 * writes. BUSY: somebody does, for too long. */
enum wr_status wr_promotion_try_to_apply(struct wr_promotion *p, struct wr_err *e) WR_MUST_CHECK;
/* Where the replica records what the state must add up to, it does. *ret: what it adds up to. */
enum wr_status wr_promotion_prove(
    struct wr_promotion *p, uint64_t *ret, struct wr_err *e) WR_MUST_CHECK;

/* promote_lease.c */
/* Whether conditional writes decide. */
enum wr_status wr_promotion_check_store(struct wr_promotion *p, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_promotion_look_at_lease(struct wr_promotion *p, struct wr_err *e) WR_MUST_CHECK;
/* Also after an earlier run that had taken it, and over one that it had under way when it was
 * killed, which may come late. CONFLICT: somebody else was faster. */
enum wr_status wr_promotion_take_lease(struct wr_promotion *p, struct wr_err *e) WR_MUST_CHECK;
/* CONFLICT: another promotion has taken it since. */
enum wr_status wr_promotion_still_ours(struct wr_promotion *p, struct wr_err *e) WR_MUST_CHECK;

/* promote_fence.c: with the lease in hand. Then p->end is the TXID behind which the copy goes on.
 */
enum wr_status wr_promotion_shut_out(struct wr_promotion *p, struct wr_err *e) WR_MUST_CHECK;

#endif
