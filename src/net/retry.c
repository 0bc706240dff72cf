/*
 * retry.c - full jitter: wait a uniformly random time below an exponentially growing bound.
 *
 * Equal steps with a little noise would keep clients that failed together in step; a draw from the
 * whole interval spreads them as wide as the wait allows. Knows nothing of what is being retried.
 */
#include "net/retry.h"

#define RETRY_ATTEMPTS 5
#define RETRY_BASE_MS  100
#define RETRY_CAP_MS   10000

void wr_retry_init(struct wr_retry *r, uint64_t seed)
{
    *r = (struct wr_retry){
        .attempts_max = RETRY_ATTEMPTS, .base_ms = RETRY_BASE_MS, .cap_ms = RETRY_CAP_MS};
    wr_rand_init(&r->rng, seed);
}

/* The bound of the wait after `n` failures, without the overflow that base << n would risk. */
static int64_t bound_ms(const struct wr_retry *r, unsigned n)
{
    int64_t bound = wr_min(r->base_ms, r->cap_ms);
    for (unsigned i = 1; i < n && bound < r->cap_ms; i++)
        bound = bound > r->cap_ms / 2 ? r->cap_ms : bound * 2;
    return bound;
}

bool wr_retry_again(struct wr_retry *r, const struct wr_call *c, enum wr_status st)
{
    assert(r->attempts_max > 0);
    if (!wr_status_transient(st))
        return false;
    if (r->n < r->attempts_max)
        r->n++;
    if (r->n >= r->attempts_max)
        return false;
    int64_t bound = bound_ms(r, r->n);
    int64_t wait = bound > 0 ? (int64_t)wr_rand_below(&r->rng, (uint64_t)bound + 1) : 0;
    /* A wait that ends at the deadline leaves no time for the attempt: fail now, with the reason.
     */
    if (wr_call_left_ms(c, WR_NEVER) <= wait)
        return false;
    return wr_call_sleep(c, wait, NULL) == WR_OK;
}
