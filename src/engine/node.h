/*
 * node.h - a number by which a replica's newest file shows who wrote it.
 *
 * When local state is lost, or the page size changes, nothing else tells our own replica from that
 * of another database.
 */
#ifndef WR_ENGINE_NODE_H
#define WR_ENGINE_NODE_H

#include "base/base.h"
#include "base/file.h"
#include "base/status.h"

/* The number kept in `<dir>/node`; made at the first call. From machine id and database path where
 * the machine has an id, so that it comes out the same when local state was lost; at random
 * elsewhere, for in containers many databases have the same path. Never 0.
 *
 * A directory that was copied or moved from another path or machine gets a number of its own: what
 * the old one wrote is not this one's. `db_path` is absolute, with symbolic links resolved, so that
 * one file has one path. */
enum wr_status wr_node_id(const struct wr_fs *fs, const char *dir, const char *db_path,
    uint64_t *ret, struct wr_err *e) WR_MUST_CHECK;

/* The one that would be made, of a directory that keeps none; at random where the machine has no
 * id, and then another one each time. Nothing is written. */
enum wr_status wr_node_derive(const char *db_path, uint64_t *ret, struct wr_err *e) WR_MUST_CHECK;

/* Keep another one from now on, at random: for a directory whose number another machine has, too,
 * as those that were made from one image. */
enum wr_status wr_node_renew(const struct wr_fs *fs, const char *dir, const char *db_path,
    uint64_t *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
