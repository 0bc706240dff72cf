/*
 * leases.h - all that lease.json ever was, and that an epoch is handed out once (P7 in epochs.h).
 * Knows that object; no code of the product.
 */
#ifndef SIM_LEASES_H
#define SIM_LEASES_H

#include "base/base.h"

/* The first primary may have it, whose promotion was none: it saw nothing but its own first
 * snapshot there, and took the replica for one that was emptied. Then there is no path, and the
 * node is 0 here. */
struct lease {
    uint64_t epoch, node, token;
    char path[64];
    bool promoted; /* who has taken it came to the end */
};

/* Whoever has it; an epoch of 0: nobody ever had, a node of 0: no promotion has. */
const struct lease *leases_held(void);
/* The object has become this. */
void leases_note(const uint8_t *p, size_t n);
/* The last one of `node`; NULL: none. */
struct lease *leases_find(uint64_t node);
/* Whether `node` has begun a promotion that never came to its end: all that it has sent are fences.
 */
bool leases_is_loser(uint64_t node);

#endif
