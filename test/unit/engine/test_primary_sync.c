/*
 * test_primary_sync.c - what a sync promises: that it ends, and with what.
 */
#include "harness/engine_world.h"
#include "storage/drivers.h"

#define SECOND ((int64_t)1000000000)

static void add_foreign(struct world *first, struct world *second)
{
    struct wr_err e = {0};

    second->bucket[second->n_buckets++] = wr_storage_mem_ref(first->bucket[0]);
    T_OK(wr_db_add_replica(second->db, world_storage(second, second->n_buckets - 1), SECOND, &e));
}

/* Two databases and a replica of each. */
static void two_databases(struct world *first, struct world *second)
{
    world_open(first, 1);
    world_app(first);
    world_sql(first,
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, randomblob(9000))");
    world_start(first);
    (void)world_sync(first);
    world_open(second, 1);
    second->opts.scan_ns = 3600 * SECOND;
    world_app(second);
    world_sql(second,
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, randomblob(9000))");
}

/* The last one that was waited for stopped, and nobody told the database. */
static void test_a_replica_that_stops_is_not_waited_for(void **state)
{
    struct world first, second;
    struct wr_err e = {0};
    uint64_t ticket, txid = 0;

    (void)state;
    two_databases(&first, &second);
    world_start(&second);
    (void)world_sync(&second);
    (void)world_pass(&second, 600 * SECOND, 10000);
    add_foreign(&first, &second);
    wr_db_sync_begin(second.db, &ticket);
    (void)world_pass(&second, 600 * SECOND, 10000);
    T(wr_db_sync_poll(second.db, ticket, true, &txid, &e) != WR_BUSY);
    world_check(&second, 0);
    world_close(&second);
    world_close(&first);
}

T_MAIN(T_TEST(test_a_replica_that_stops_is_not_waited_for))
