/*
 * verdict_int.h - what is known of the buckets, shared by those who judge objects as they appear
 * (verdict.c) and what the product's own code makes of them (verdict_restore.c, verdict_verify.c).
 */
#ifndef SIM_VERDICT_INT_H
#define SIM_VERDICT_INT_H

#include "base/arena.h"
#include "base/call.h"
#include "sim/verdict.h"

struct wr_storage;
struct wr_verify_result;

#define VERDICT_STORES_MAX 4

struct bucket {
    struct store *store;
    struct judge *judge;
    bool old_word; /* one of itself came late, and nobody waited for it any more: the last one, or,
                      where there are no conditions, any, as who came next may have gone on with it
                    */
    struct {
        uint64_t txid;
        int64_t at_ns;
        const char *sender; /* a name of his processes */
    } late; /* of two that write: the greatest TXID of a file whose sender was dead by then */
    bool stranded; /* a dead one's file, or a double, came when what led there had been deleted */
};

struct verdict {
    struct bucket buckets[VERDICT_STORES_MAX];
    size_t n;
    uint32_t lock_offset;
    bool shared; /* by two who do not know of each other */
    uint64_t objects, acked, txids, restores, acked_txid;
};
extern struct verdict verdict;

/* The last TXID in the name of an LTX file; 0: it is none. */
uint64_t verdict_txid_of(const char *key);
/* Whether files that are there now make this TXID. */
bool verdict_leads_to(const struct bucket *b, uint64_t txid);
/* The first commit from `from` on that is this state; SIZE_MAX: none is. */
size_t verdict_commit_of(size_t from, const struct judge_image *x);

/* A look into a bucket by the product's own code; verdict_leave() comes after that in every case.
 */
struct verdict_visit {
    struct wr_storage *s;
    struct wr_arena scratch;
    struct wr_call call;
};
enum wr_status verdict_visit(struct bucket *b, struct verdict_visit *v, struct wr_err *e);
void verdict_leave(struct verdict_visit *v);

/* S7. What verification says of a bucket. *ret_lacks, unless NULL: it found nothing but that files
 * are missing, where the judge knows no way either. */
enum wr_status verdict_verify(
    struct bucket *b, struct wr_verify_result *ret, bool *ret_lacks, struct wr_err *e);
/* At rest all is as it should be; and nobody sends any more, but what was sent may come. */
void verdict_verify_end(size_t bucket);

#endif
