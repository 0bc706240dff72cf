/*
 * test_store_contract.c - a healed store is a storage like any other: the contract suite, within a
 * simulation. What the store is like (caps, page size, latencies) follows from the seed.
 */
#include "contract/storage_contract.h"
#include "sim/store.h"
#include "sim/tape.h"

#include <unistd.h>

struct place {
    struct store *s; /* what open opened last */
};

struct arguments {
    int argc;
    char **argv;
    int failed;
};

static enum wr_status open_again(void *arg, struct wr_storage **ret, struct wr_err *e)
{
    struct place *p = arg;

    return wr_storage_wrap(store_ops(p->s), store_client(p->s), WR_STR(""), ret, e);
}

static enum wr_status open_fresh(void *arg, struct wr_storage **ret, struct wr_err *e)
{
    struct place *p = arg;

    p->s = store_new("bucket");
    store_heal(p->s);
    return open_again(arg, ret, e);
}

static void run(void *arg)
{
    struct arguments *a = arg;
    struct place place = {0};
    struct contract_factory factory = {
        .open = open_fresh, .again = open_again, .arg = &place, .many = 1200, .part = 16384};

    a->failed = storage_contract_main(a->argc, a->argv, &factory);
}

int main(int argc, char **argv)
{
    struct arguments a = {.argc = argc, .argv = argv};

    tape_seed(t_seed());
    sim_run(run, &a);
    (void)fflush(NULL);
    _exit(a.failed); /* simulations leak by design; nobody is to look for that */
}
