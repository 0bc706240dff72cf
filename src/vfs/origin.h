/*
 * origin.h - a replica that this process reads: one for each URL, whoever reads it and how often.
 *
 * One thread looks for new transactions, while somebody reads; it begins with the first reader and
 * has ended when the last close returns, or exit() begins. So does another one, where somebody
 * asked for a local copy, which all readers then use. Readers take what it found last, and wait for
 * it only if nobody has looked for long, as after a pause.
 *
 * What a process had before fork() is not for its child, which has none of the threads: there
 * wr_origin_mine is false, and only close may be called, which does nothing. A child opens its own.
 *
 * locked; a struct wr_origin_reader is owned.
 */
#ifndef WR_VFS_ORIGIN_H
#define WR_VFS_ORIGIN_H

#include "base/arena.h"
#include "base/base.h"
#include "base/list.h"
#include "base/log.h"
#include "base/status.h"
#include "base/str.h"
#include "vfs/pages.h"

struct wr_origin;
struct wr_pagemap;

#define WR_ORIGIN_OPEN_MS ((int64_t)30000)

struct wr_origin_opts {
    int64_t poll_ms;       /* between looks for new transactions; 0: 1000. Of several, the least */
    int64_t open_ms;       /* until the replica must be there; 0: WR_ORIGIN_OPEN_MS */
    uint64_t cache_bytes;  /* of pages, of all replicas; 0: 32 MiB. Of those that
                              were asked for since none was read, the most */
    bool copy;             /* to a local file; it goes on without one where that cannot be, and
                              for as long as another process has the file */
    const char *copy_path; /* NULL: one without a name. Of several, the first */
    const char *shelf_dir; /* that processes share pages in; NULL: none. Of several, the first */
    uint64_t shelf_bytes;  /* of it; 0: 1 GiB */
    const struct wr_log *log; /* outlives all */
};

/* Join those who read `url`, or be the first. Waits until there is a state to read.
 * NOTFOUND: there is none after open_ms. MISUSE: the URL, or shelf_dir. Else as wr_head_step. */
enum wr_status wr_origin_open(const char *url, const struct wr_origin_opts *opts,
    struct wr_origin **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_origin_close(struct wr_origin *o); /* NULL-safe; no reader of it is in use */
bool wr_origin_mine(const struct wr_origin *o);
struct wr_str wr_origin_name(const struct wr_origin *o); /* the URL, without secrets */

/* The newest state known; the caller drops it. */
struct wr_pagemap *wr_origin_newest(struct wr_origin *o);
/* A state of the past: exactly TXID `txid`, or just before Unix time `time_ms`; the other one is 0.
 * It may take `open_ms` to be found, as above. NOTFOUND: the replica does not have it. */
enum wr_status wr_origin_at(struct wr_origin *o, uint64_t txid, int64_t time_ms, int64_t open_ms,
    struct wr_pagemap **ret, struct wr_err *e) WR_MUST_CHECK;

/* The way of one connection through the pages. */
struct wr_origin_reader {
    struct wr_link link;
    const char *journal, *wal; /* what those of its database would be called; the caller's */
    struct wr_pages_reader pages;
    struct wr_arena scratch;
    int64_t fetch_ms;       /* that reading a page may take */
    struct wr_pagemap *map; /* held: what is read; NULL: nothing */
};
void wr_origin_reader_begin(struct wr_origin *o, struct wr_origin_reader *r, const char *journal,
    const char *wal, int64_t fetch_ms);                                     /* 0: 10,000 */
void wr_origin_reader_end(struct wr_origin *o, struct wr_origin_reader *r); /* drops r->map */

/* Whether that is the journal's name of a database that is being read here, or its WAL's: the very
 * string, as files may be called the same that are no replica's. */
bool wr_origin_is_sidecar(const char *path);

/* As wr_pages_read, of r->map. If a file of it has vanished, others that hold the same transaction
 * are looked for, and r->map is a map of those then. NOTFOUND: there are none. */
enum wr_status wr_origin_read(struct wr_origin *o, struct wr_origin_reader *r, uint32_t pgno,
    size_t off, void *buf, size_t n, struct wr_err *e) WR_MUST_CHECK;

/* A local copy is read through a mapping from now on, once it is whole. */
void wr_origin_map(struct wr_origin *o);

struct wr_origin_look {
    uint64_t txid;   /* of the newest state known */
    uint64_t newest; /* that the replica was seen to have */
    uint64_t epoch;  /* goes up when the replica is reset */
    int64_t time_ms; /* when the newest state was captured, Unix ms */
    int64_t lag_ms;  /* since the replica was last looked at with success */
    int64_t poll_ms;
    bool copies;            /* there is a local copy: */
    unsigned copied;        /* of the newest state, in 1/1000 */
    const char *copy_path;  /* "": none, or without a name; lives as long as the origin */
    char error[WR_ERR_MAX]; /* of the last look, else of the local copy; "": all is well */
};
void wr_origin_look(struct wr_origin *o, struct wr_origin_look *ret);

#endif
