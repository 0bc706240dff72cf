/*
 * head.h - the newest state of a replica, as a map of its pages, kept up to date by steps.
 *
 * What comes next is looked for under the name of the next transaction. Now and then, and where
 * that leads nowhere, the replica is listed, and the map is made anew where files that it needs are
 * gone or about to go, where too much has gathered on top of its oldest file, and where only
 * another way leads on. What was found stays when a step fails: an old state that is whole is
 * better than none, and wr_head_look tells that it is old.
 *
 * A replica that begins anew under the same URL is seen by its end, which is before ours, or by a
 * file that is another one under its old name. That is a new epoch: nothing that was known before
 * is taken for granted. It takes two listings in a row, as one may have been read while it changed.
 * So is a map that had to be made anew and whose files record another checksum of the database than
 * the last one had; and one for which nothing speaks: no checksum, and no file of the last one that
 * is in the replica as it was.
 *
 * owned: one thread steps. The maps are frozen, and may be held by any.
 */
#ifndef WR_VFS_HEAD_H
#define WR_VFS_HEAD_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

struct wr_head;
struct wr_pagecache;
struct wr_pagemap;
struct wr_storage;

/* Both outlive it. `lock_offset`: WR_LTX_LOCK_OFFSET outside tests. NOMEM. */
enum wr_status wr_head_new(struct wr_storage *s, struct wr_pagecache *cache, uint32_t lock_offset,
    struct wr_head **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_head_free(struct wr_head *h); /* NULL-safe */

/* Look for something new; *ret_new: there is another map. Makes as many requests as it takes, but
 * ends by c->deadline_ms.
 *
 * NOTFOUND: the replica is empty, and was at first. CORRUPT: its files do not add up to a database,
 * or are damaged. CONFLICT: it ends before what was seen of it; the next step takes that for true.
 * Else as wr_storage_list and wr_storage_get. */
enum wr_status wr_head_step(
    struct wr_head *h, struct wr_call *c, bool *ret_new, struct wr_err *e) WR_MUST_CHECK;

/* A file that the map needs was not there: the next step lists. Or another one was: then it makes
 * the map anew. */
void wr_head_doubt(struct wr_head *h, bool replaced);

/* NULL before the first step that succeeded. Valid until the next step, unless it is held. */
struct wr_pagemap *wr_head_map(const struct wr_head *h);

struct wr_head_look {
    uint64_t newest; /* TXID that the replica was seen to have */
    int64_t seen_ms; /* monotonic: when the replica was last looked at with success; 0: never */
};
void wr_head_look(const struct wr_head *h, struct wr_head_look *ret);

/* The state of `like`'s epoch at exactly `txid`, or just before Unix time `time_ms` (one of them is
 * 0), as a map that the caller owns. `like` may be NULL. Shares nothing with a wr_head, so any
 * thread may ask. NOTFOUND: it is not there (any more). Else as wr_head_step. */
enum wr_status wr_head_at(struct wr_storage *s, struct wr_pagecache *cache, uint32_t lock_offset,
    struct wr_call *c, const struct wr_pagemap *like, uint64_t txid, int64_t time_ms,
    struct wr_pagemap **ret, struct wr_err *e) WR_MUST_CHECK;

#endif
