/*
 * promote.h - make a followed copy of a database the one that writes to the replica.
 *
 *   1  the copy is brought to the newest state, and proven; what    nothing has changed
 *      will be needed of its disk and its locks is tried
 *   2  the lease is taken (lease.h)                                 the old primary still writes
 *   3  the copy is brought to the newest state once more
 *   4  the name of the next TXID is created (fence.h). If the old   from here on it cannot: the
 *      primary was faster, or another look shows more, again from   next file of its is refused
 *      3
 *   5  TXIDs are left out, so that nothing it has under way
 *      reaches further than what comes
 *   6  the ledger notes that the copy is that state, so that what
 *      is sent next is what changed since
 *   7  what made it a copy is removed                               it is an ordinary database
 *
 * Whoever is killed on the way runs it again: each step finds what was done. Why no acknowledged
 * transaction is lost is in docs/adr/0023.
 */
#ifndef WR_ENGINE_PROMOTE_H
#define WR_ENGINE_PROMOTE_H

#include "base/base.h"
#include "base/call.h"
#include "base/file.h"
#include "base/status.h"
#include "engine/fence.h"
#include "engine/lease.h"

struct wr_promote_opts {
    const char *path;       /* of the copy */
    const char *meta_dir;   /* where local state will be; NULL: ".<name>-weir" beside it */
    const struct wr_fs *fs; /* NULL: wr_fs_posix() */
    uint32_t lock_offset;   /* of SQLite's lock page; 0: 0x40000000 */
    uint32_t parallel;      /* requests; 0: as wr_restore_opts has it */
    int64_t patience_ms; /* for a replica, or a copy, that gives errors or is being read; 0: 30 s */
    bool force; /* also where the store has no conditional writes, or the lease is damaged */
};

struct wr_promoted {
    struct wr_lease lease;
    uint64_t txid;   /* the newest transaction that it has */
    uint64_t next;   /* behind this one come those of its own */
    int64_t time_ms; /* when that state was captured */
    bool before;     /* an earlier run has done it all */
};

/* NOTFOUND: there is no copy, or nothing in the replica. CONFLICT: it is no followed copy (any
 * more), or of another history, or somebody else has taken the lease meanwhile. BUSY: it is
 * followed, written to, or replicated, by another process. UNSUPPORTED: the store does not honor
 * conditional writes. CORRUPT: copy, replica or lease are damaged. The texts say what to do. Else
 * as the storage. */
enum wr_status wr_promote(struct wr_storage *s, struct wr_call *c, const struct wr_promote_opts *o,
    struct wr_promoted *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
