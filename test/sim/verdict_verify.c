/*
 * verdict_verify.c - what the product's own verification says of the buckets, and what of that may
 * be so.
 */
#include "sim/verdict_int.h"

#include "engine/verify.h"
#include "sim/said.h"

#include <inttypes.h>

enum wr_status verdict_visit(struct bucket *b, struct verdict_visit *v, struct wr_err *e)
{
    *v = (struct verdict_visit){
        .call = {.scratch = &v->scratch, .clock = wr_clock_system(), .deadline_ms = WR_NEVER}};
    wr_arena_init(&v->scratch, (size_t)1 << 30);
    return wr_storage_wrap(store_ops(b->store), store_client(b->store), WR_STR(""), &v->s, e);
}

void verdict_leave(struct verdict_visit *v)
{
    wr_storage_close(v->s);
    wr_arena_release(&v->scratch);
}

/* What verification has found in a bucket. */
struct findings {
    const struct bucket *b;
    bool lacks; /* nothing but that files are missing, and the judge knows no way either */
};

/* Of a level: files of it are gone, and others lead where they led. */
static bool is_directory(const char *key)
{
    unsigned level;
    uint64_t min, max;

    return strncmp(key, "ltx/", 4) == 0 && !judge_key(key, &level, &min, &max);
}

static void note_finding(void *arg, const struct wr_finding *f)
{
    struct findings *all = arg;
    bool known = f->kind == WR_FINDING_LOST ? !verdict_leads_to(all->b, f->max)
                                            : all->b->old_word && is_directory(f->key);

    all->lacks = all->lacks && known;
    sim_trace("found: %s %016" PRIx64 "-%016" PRIx64 " %s", f->key ? f->key : "", f->min, f->max,
        f->text);
}

enum wr_status verdict_verify(
    struct bucket *b, struct wr_verify_result *ret, bool *ret_lacks, struct wr_err *e)
{
    struct findings all = {.b = b, .lacks = true};
    const struct wr_verify_opts o = {.parallel = 2,
        .lock_offset = verdict.lock_offset,
        .finding = note_finding,
        .finding_arg = &all};
    struct verdict_visit v;
    enum wr_status st = verdict_visit(b, &v, e);

    if (st == WR_OK)
        st = wr_verify(v.s, &v.call, &o, ret, e);
    verdict_leave(&v);
    if (ret_lacks)
        *ret_lacks = all.lacks;
    return st;
}

void verdict_verify_end(size_t bucket)
{
    struct bucket *b = &verdict.buckets[bucket];
    struct wr_verify_result r = {0};
    struct wr_err e = {0};
    const uint64_t newest = verdict_last(bucket);
    bool lacks;
    enum wr_status st = verdict_verify(b, &r, &lacks, &e);
    char why[SAID_TEXT];

    if (newest == 0 && st == WR_NOTFOUND)
        return;
    if (st == WR_CORRUPT && store_counts.returned > 0 && lacks)
        return; /* it is right: nothing leads to a file that has come back without its like */
    if (st == WR_CORRUPT && b->stranded && lacks)
        return; /* nor to this one, as long as nobody lists the replica to delete it */
    if (st == WR_CORRUPT && b->old_word && !(store_ops(b->store)->caps & WR_STORAGE_COND_PUT) &&
        lacks && !said_is_so(b->store, why))
        return; /* a word from before it was said what is deleted has gone over that */
    if (st != WR_OK)
        sim_fail("S7: a replica that nothing has damaged is not verified: %s", e.text);
    if (r.last_txid < newest || r.last_txid > verdict_last(bucket) || r.proven_txid != r.last_txid)
        sim_fail("S7: verified to txid %" PRIu64 ", the newest is %" PRIu64, r.last_txid, newest);
}
