/*
 * retry.h - when to try a failed request again, and how long to wait before: exponential backoff
 * with full jitter.
 *
 * owned. One struct is one request with all its attempts:
 *
 *     wr_retry_init(&r, seed);
 *     do
 *         st = attempt(...);
 *     while (wr_retry_again(&r, c, st));
 */
#ifndef WR_NET_RETRY_H
#define WR_NET_RETRY_H

#include "base/base.h"
#include "base/call.h"
#include "base/rand.h"
#include "base/status.h"

struct wr_retry {
    unsigned attempts_max; /* the first one included */
    int64_t base_ms;       /* bound of the first wait; doubles with each one */
    int64_t cap_ms;        /* bound of every wait */
    struct wr_rand rng;
    unsigned n; /* attempts that have failed */
};

/* 5 attempts, 100 ms, 10 s. Change the fields before the first use if that does not fit. Clients
 * that start together need different seeds, else they come back together. */
void wr_retry_init(struct wr_retry *r, uint64_t seed);

/* Take note that an attempt ended with `st`. True: the wait is over, try again. False: keep `st`,
 * because it is a success or not transient, or attempts ran out, or the deadline would pass during
 * the wait, or the call was canceled. */
bool wr_retry_again(struct wr_retry *r, const struct wr_call *c, enum wr_status st) WR_MUST_CHECK;

#endif
