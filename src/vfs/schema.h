/*
 * schema.h - the tables of a database that have indexes, as far as its schema is nearby.
 */
#ifndef WR_VFS_SCHEMA_H
#define WR_VFS_SCHEMA_H

#include "base/base.h"

#define WR_SCHEMA_TABLES 256 /* that are told of; a database may have more */

struct wr_nearby;

/* Root pages of tables that have an index, at most WR_SCHEMA_TABLES: how many there are in `out`.
 * Tables without rowids may be among them. Without memory: none. */
size_t wr_schema_tables(const struct wr_nearby *near, uint32_t *out);

#endif
