/*
 * schema.h - the tables of a database that have indexes, as far as its schema is in the cache.
 */
#ifndef WR_VFS_SCHEMA_H
#define WR_VFS_SCHEMA_H

#include "base/base.h"

#define WR_SCHEMA_TABLES 256 /* that are told of; a database may have more */

struct wr_pagecache;
struct wr_pagemap;

/* A page as the cache has it, whole; false if it has not. `page`: room for one. */
bool wr_schema_page(
    struct wr_pagecache *cache, const struct wr_pagemap *m, uint32_t pgno, uint8_t *page);

/* Root pages of tables that have an index, at most WR_SCHEMA_TABLES: how many there are in `out`.
 * Tables without rowids may be among them. Without memory: none. */
size_t wr_schema_tables(struct wr_pagecache *cache, const struct wr_pagemap *m, uint32_t *out);

#endif
