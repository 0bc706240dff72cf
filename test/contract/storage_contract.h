/*
 * storage_contract.h - what every storage driver must do, as one set of checks for all of them.
 *
 * A driver's test gives a factory and runs the checks under its own name. Checks use the public
 * calls of storage.h, reader.h and writer.h only, so that they can run against real servers.
 */
#ifndef WR_TEST_STORAGE_CONTRACT_H
#define WR_TEST_STORAGE_CONTRACT_H

#include "harness/t.h"
#include "storage/storage.h"

struct contract_factory {
    /* An empty bucket, or one with a prefix that no other call of open gets. */
    enum wr_status (*open)(void *arg, struct wr_storage **ret, struct wr_err *e);
    /* Another handle on what the last open opened. NULL: the driver cannot. */
    enum wr_status (*again)(void *arg, struct wr_storage **ret, struct wr_err *e);
    void *arg;
    size_t part;  /* bytes of a part as wr_writer chooses it without a hint; 0: no multi-part */
    size_t many;  /* objects in the checks that need several pages; 0: 2500 */
    bool no_time; /* the remote does not keep put_opts.time_ms at all */
    bool slow;    /* skip the checks whose point is volume */
};

#define CONTRACT_CHECKS_MAX 80

/* Fill `out` with the checks of `f`, which must live until they have run. Returns how many. */
size_t storage_contract(struct contract_factory *f, struct CMUnitTest *out, size_t max);

/* The whole main of a test that has nothing else to check. */
int storage_contract_main(int argc, char **argv, struct contract_factory *f);

#endif
