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

/* What `<dir>/node` was when it was read. */
enum wr_node_was {
    WR_NODE_KEPT,      /* this number */
    WR_NODE_NONE,      /* not there, or empty, as a power cut leaves a new file */
    WR_NODE_ELSEWHERE, /* with another directory's number */
    WR_NODE_DAMAGED    /* not to be read */
};

struct wr_node {
    uint64_t number; /* never 0 */
    enum wr_node_was was;
};

/* The number kept in `<dir>/node`; made at the first call. From machine id and database path where
 * the machine has an id (/etc/machine-id, by `fs`), so that it comes out the same when local state
 * was lost; at random elsewhere, for in containers many databases have the same path. One that
 * cannot be read just now is a failure, not none.
 *
 * A directory that was copied or moved from another path or machine gets a number of its own: what
 * the old one wrote is not this one's. `db_path` is absolute, with symbolic links resolved, so that
 * one file has one path. */
enum wr_status wr_node_keep(const struct wr_fs *fs, const char *dir, const char *db_path,
    struct wr_node *ret, struct wr_err *e) WR_MUST_CHECK;

/* The one that would be kept; where none is and the machine has no id, another one each time.
 * Nothing is written, and `dir` need not be there. */
enum wr_status wr_node_find(const struct wr_fs *fs, const char *dir, const char *db_path,
    struct wr_node *ret, struct wr_err *e) WR_MUST_CHECK;

/* Keep another one from now on, at random: for a directory whose number another machine may have,
 * too, as those that were made from one image. */
enum wr_status wr_node_renew(const struct wr_fs *fs, const char *dir, const char *db_path,
    uint64_t *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
