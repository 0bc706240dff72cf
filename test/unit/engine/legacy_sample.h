/*
 * legacy_sample.h - a real replica of Litestream 0.3, put into a restore's world.
 */
#ifndef WR_TEST_LEGACY_SAMPLE_H
#define WR_TEST_LEGACY_SAMPLE_H

#include "unit/engine/restore_world.h"

#define GENERATION "173f586657831b72"

static const char *const sample[] = {
    "snapshots/00000000.snapshot.lz4",
    "wal/00000000_00000000.wal.lz4",
    "wal/00000000_00004080.wal.lz4",
    "wal/00000000_000090f8.wal.lz4",
    "wal/00000001_00000000.wal.lz4",
    "wal/00000001_00001038.wal.lz4",
    "wal/00000001_000080e0.wal.lz4",
    "wal/00000002_00000000.wal.lz4",
    "wal/00000002_00001038.wal.lz4",
    "wal/00000003_00000000.wal.lz4",
    "wal/00000003_00001038.wal.lz4",
};

static inline struct wr_str gen_key(const char *generation, const char *name)
{
    return wr_arena_fmt(t_call()->scratch, "p/generations/%s/%s", generation, name);
}

static inline struct wr_bytes sample_bytes(size_t i)
{
    return t_slurp(t_data(t_path("v0.3.13/replica/generations/" GENERATION, sample[i])));
}

/* The real replica in memory; object i was made at second i + 1. */
static inline void put_sample(struct world *w)
{
    for (size_t i = 0; i < wr_countof(sample); i++)
        world_store(w, gen_key(GENERATION, sample[i]), sample_bytes(i), ((int64_t)i + 1) * 1000);
}

#endif
