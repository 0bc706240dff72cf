/*
 * epochs.h - who may write to a replica when, as objects appear in it: the laws of a promotion that
 * can be told from the names of files, their headers, and the lease.
 *
 *   P1  what the old primary has acknowledged is in the state that the new one goes on from
 *   P2  behind the fence no file under a name that comes next is the old primary's, and there is no
 *       fence where it had a name that is gone
 *   P3  a TXID before the fence restores to what the old one had sent as it, the fence and what is
 *       left out behind it to the state there, and later ones to what the new one has committed
 *   P7  an epoch is handed out once: that of the lease only ever grows, the lease is never gone,
 *       and whoever believes to hold an epoch is the one that the lease of it named
 *
 * There may be several promotions, of several copies. Each one whose files shut the others out is
 * the new primary of those before it, and an old one for the next. What a promotion leaves that has
 * lost the lease on its way may be there, as long as it changes nothing (P3).
 *
 * Knows the names of files, where their headers have the node, and lease.json; no code of the
 * product.
 */
#ifndef SIM_EPOCHS_H
#define SIM_EPOCHS_H

#include "sim/judge.h"

/* Judge the first bucket, whose objects are the verdict's before they are ours. The first database
 * of commits.h is that of the first primary. */
void epochs_begin(uint32_t lock_offset);
/* A daemon_synced_fn: the first primary has acknowledged the first `commits` commits. */
void epochs_acked(uint64_t txid, size_t commits);
/* The same of one that was promoted: whose database is that one of commits.h. */
void epochs_acked_by(uint32_t db, size_t commits);
/* A promotion begins. One that has died with the lease may have left a fence where the old primary
 * had a name that is gone: this is not judged then. */
void epochs_repeat(void);
/* Whether the lease names the database at `path` as its owner. */
bool epochs_has_lease(const char *path);
/* A promotion has come to its end, and believes to hold this lease. */
void epochs_promoted(uint64_t epoch, uint64_t node, uint64_t token);
/* That one goes on as a primary: from now on its database is that one of commits.h. */
void epochs_goes_on(uint64_t node, uint32_t db);
/* Files that the old primary has put under a name that comes next since somebody has the lease, or
 * since this was called last with `anew`. */
uint64_t epochs_sent(bool anew);
/* Files that reach behind the fence, of those that were shut out: they do not count, but only when
 * the new one has looked does nobody take them for its state. */
uint64_t epochs_strays(void);
/* A verdict_belongs_fn: P3. */
void epochs_belongs(uint64_t txid, const struct judge_image *image);

#endif
