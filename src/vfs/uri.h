/*
 * uri.h - what the name of a database says, and the environment where it is silent: which replica,
 * and how to read it.
 */
#ifndef WR_VFS_URI_H
#define WR_VFS_URI_H

#include "vfs/host.h"

#include "base/base.h"
#include "base/status.h"
#include "vfs/origin.h"

struct wr_uri {
    const char *replica_url; /* of SQLite's or the environment's memory; NULL: it is no replica */
    struct wr_origin_opts origin;
    int64_t fetch_ms; /* as wr_origin_reader_begin */
    uint64_t txid;    /* the state to open; 0: the newest */
    int64_t time_ms;  /* or the one just before this Unix time; 0: the newest */
    bool fixed;       /* no locks will be taken (immutable, nolock): one state for good */
};

/* `name` is what SQLite gave xOpen. A name without a replica of its own stands for that of the
 * environment (WEIR_REPLICA_URL, or LITESTREAM_REPLICA_URL), unless it is a file that is there. A
 * parameter that is not known, or has a bad value, is MISUSE. */
enum wr_status wr_uri_read(
    sqlite3_vfs *files, const char *name, struct wr_uri *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
