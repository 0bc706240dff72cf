/*
 * epochs.h - who may write to a replica when, as objects appear in it: the laws of a promotion that
 * can be told from the names of files and their headers.
 *
 *   P1  what the old primary has acknowledged is in the state that the new one goes on from
 *   P2  behind the fence no file under a name that comes next is the old primary's, and there is no
 *       fence where it had a name that is gone
 *   P3  a TXID before the fence restores to what the old one had sent as it, the fence and what is
 *       left out behind it to the state there, and later ones to what the new one has committed
 *
 * Knows the names of files, where their headers have the node, and lease.json; no code of the
 * product.
 */
#ifndef SIM_EPOCHS_H
#define SIM_EPOCHS_H

#include "sim/judge.h"

/* Judge the first bucket, whose objects are the verdict's before they are ours. The first database
 * of commits.h is that of the old primary, the second that of the new one. */
void epochs_begin(void);
/* A daemon_synced_fn: the old primary has acknowledged the first `commits` commits. */
void epochs_acked(uint64_t txid, size_t commits);
/* A promotion begins. One that has died with the lease may have left a fence where the old primary
 * had a name that is gone: this is not judged then. */
void epochs_repeat(void);
/* Whether somebody has taken the lease. */
bool epochs_begun(void);
/* Files that the old primary has put under a name that comes next since somebody has the lease, or
 * since this was called last with `anew`. */
uint64_t epochs_sent(bool anew);
/* Whether the old primary is shut out. */
bool epochs_over(void);
/* Files that it had under way then, and that reach behind the fence: they do not count, but only
 * when the new one has looked does nobody take them for its state. */
uint64_t epochs_strays(void);
/* A verdict_belongs_fn: P3. */
void epochs_belongs(uint64_t txid, const struct judge_image *image);

#endif
