/*
 * verdict.h - judges what is in the buckets, object by object as they appear, against what was
 * committed. A finding fails the run. The laws are in world.h.
 */
#ifndef SIM_VERDICT_H
#define SIM_VERDICT_H

#include "sim/judge.h"
#include "sim/store.h"
#include "sim/world.h"

void verdict_init(uint32_t lock_offset, struct store *const *stores, size_t n);

/* From now on two databases are sent to the same place: a TXID may have two images, and only names
 * are judged, until verdict_no_mixture; or not so any more. */
void verdict_shared(bool is);
/* The image of a TXID of the first bucket, as far as its files were judged. */
bool verdict_image(uint64_t txid, struct judge_image *ret);

/* A sync to all replicas has succeeded: every bucket has `txid`, and it holds the first `commits`
 * commits. */
void verdict_acked(uint64_t txid, size_t commits);
/* The newest state of the first `n` buckets is the newest commit. */
void verdict_newest(size_t n);
/* Restore the newest and some other TXIDs with the product's own code, and compare; verify all. */
void verdict_restores(void);
/* Begin to restore the newest state as it is now, in a process of its own that may be killed. */
struct sim_proc *verdict_restore_now(void);
/* Let a bit of the first bucket flip, restore and verify. */
void verdict_rot(void);
/* The database at `path`, at rest, is at its newest commit. */
void verdict_is_newest(const char *path);
/* SQLite finds nothing wrong with the application's database. */
void verdict_integrity(const char *path);

/* Every TXID of the first bucket, restored with the product's own code, is a state that was
 * committed, by whomever. The newest one must restore, and is the database at `path`, at rest,
 * unless that is NULL; of an older one to which nothing leads that is judged may be told that its
 * files do not fit, or are gone. Of two that write `name` is that of the one at `path`: what the
 * other one had under way when it died may be newer. NULL: nothing may. `belongs` is called with
 * each, NULL: nobody is, and fails the run if it is not what it should be. */
typedef void verdict_belongs_fn(uint64_t txid, const struct judge_image *image);
void verdict_no_mixture(const char *path, const char *name, verdict_belongs_fn *belongs);

/* For those who look at a bucket beside all that: whether a database file is its state of a TXID;
 * the newest TXID that its files make, 0: none; a client of it, the caller's to close. */
bool verdict_is_state(size_t bucket, uint64_t txid, const uint8_t *p, size_t n);
uint64_t verdict_last(size_t bucket);
struct wr_storage *verdict_storage(size_t bucket);
bool verdict_is_weak(size_t bucket);
uint32_t verdict_lock_offset(void);

void verdict_report(struct world_report *ret);

#endif
