/*
 * test_primary_room.c - files of more than half a mebibyte in the life of a database: they are sent
 * from memory while there is room, and give it back.
 */
#include "engine/parcel.h"
#include "harness/engine_world.h"

#include <unistd.h>

#define SECOND ((int64_t)1000000000)

/* What it joins with, and what follows; both went to the outbox before. */
static void test_large_files_are_sent_from_memory(void **state)
{
    struct wr_parcel_room room;
    struct world w;

    (void)state;
    wr_parcel_room_init(&room, WR_PARCEL_MEMORY_MAX, WR_PARCEL_ROOM_MAX, WR_PARCEL_ROOM_MAX);
    world_open(&w, 1);
    w.interval_ns = SECOND;
    w.opts.room = &room;
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1000)"
                  "INSERT INTO t SELECT i, randomblob(3500) FROM n");
    world_start(&w);
    (void)world_sync(&w);
    world_sql(&w, "UPDATE t SET b=randomblob(3500) WHERE a<400");
    (void)world_sync(&w);
    T(access(t_path(w.dir, ".app.db-weir/outbox"), F_OK) != 0);
    T(room.left == WR_PARCEL_ROOM_MAX);
    world_check(&w, 0);
    world_close(&w);
    wr_parcel_room_rest(&room);
}

T_MAIN(T_TEST(test_large_files_are_sent_from_memory))
