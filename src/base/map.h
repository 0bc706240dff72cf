/*
 * map.h - page number -> 32-bit value, open addressing, bounded.
 *
 * owned. Keys are page numbers, never 0.
 */
#ifndef WR_BASE_MAP_H
#define WR_BASE_MAP_H

#include "base/base.h"
#include "base/status.h"

struct wr_pgmap {
    uint32_t *keys, *values;
    size_t n, cap; /* entries; slots, a power of two */
    size_t max;    /* entries; LIMIT above */
};

struct wr_pgmap_entry {
    uint32_t pgno, value;
};

void wr_pgmap_init(struct wr_pgmap *m, size_t max);
void wr_pgmap_release(struct wr_pgmap *m);
void wr_pgmap_clear(struct wr_pgmap *m); /* keeps memory */
enum wr_status wr_pgmap_set(struct wr_pgmap *m, uint32_t pgno, uint32_t value) WR_MUST_CHECK;
bool wr_pgmap_get(const struct wr_pgmap *m, uint32_t pgno, uint32_t *ret);

/* All entries by ascending page number into `out`, which holds m->n of them. */
void wr_pgmap_sorted(const struct wr_pgmap *m, struct wr_pgmap_entry *out);

#endif
