/*
 * catalogue.h - what is in a replica, as its writer knows it: listed once, then kept up to date.
 *
 * owned.
 */
#ifndef WR_ENGINE_CATALOGUE_H
#define WR_ENGINE_CATALOGUE_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/latest.h"
#include "engine/layout.h"
#include "engine/retain.h"

struct wr_herald;
struct wr_storage;

/* Files of level 0, at the last retention. */
struct wr_l0_files {
    uint64_t eligible;      /* nobody needs them any more: they are deleted, or will soon be */
    uint64_t not_compacted; /* they reach further than all other levels */
    uint64_t too_recent;    /* they do not, and are kept */
};

/* = {0}: nothing is known. */
struct wr_catalogue {
    bool known;
    bool fresh;                /* nothing was deleted by it yet */
    bool timed;                /* times are those that files were made at, not of a listing */
    struct wr_ltx_files files; /* sorted by wr_ltx_file_cmp */
    struct wr_ltx_files
        doomed; /* of them, not kept; sorted; time_ms: monotonic, since when; tag: ours */
    /* Damaged in the replica: they count for nothing. Sorted. Waste of them is to be deleted. */
    struct wr_ltx_files damaged, waste;
    struct wr_latest latest; /* begun by whoever knows how old the replica is */
    bool blind;              /* there are more, and which is not known */
    struct wr_l0_files l0;
};
void wr_catalogue_release(struct wr_catalogue *k); /* = {0} again */
/* But for since when files are doomed, and which are damaged. */
void wr_catalogue_forget(struct wr_catalogue *k);

/* List the replica, unless that was done. */
enum wr_status wr_catalogue_fill(struct wr_catalogue *k, struct wr_storage *s, struct wr_call *c,
    struct wr_err *e) WR_MUST_CHECK;
/* List it once more: if there is a file that is not known, and ends no later than what is, nothing
 * is known any more. Of a catalogue that is filled. */
enum wr_status wr_catalogue_look(struct wr_catalogue *k, struct wr_storage *s, struct wr_call *c,
    struct wr_err *e) WR_MUST_CHECK;
/* Where listings do not carry the time a file was made, ask for it file by file, unless that was
 * done, on up to `threads` threads: for rules that go by the calendar a file must have one time,
 * whoever lists it. Of a catalogue that is filled. CONFLICT: the oldest or the newest snapshot was
 * made at another time, so that none of these times can be gone by. After a failure nothing is
 * known. */
enum wr_status wr_catalogue_times(struct wr_catalogue *k, struct wr_storage *s, struct wr_call *c,
    unsigned threads, struct wr_err *e) WR_MUST_CHECK;
/* These are there, too, in any order, some of which may be known. */
enum wr_status wr_catalogue_add(
    struct wr_catalogue *k, const struct wr_ltx_file *f, size_t n, struct wr_err *e) WR_MUST_CHECK;

/* What is there under the name of `f` cannot be restored from, so nothing that it covers may go for
 * it: this stays known until it is deleted. `ours`: it was sent from here a moment ago, nobody ever
 * needed it, and the next process, which has a listing, would take it for what it is called. */
void wr_catalogue_distrust(struct wr_catalogue *k, const struct wr_ltx_file *f, bool ours);
/* Delete what was distrusted and is ours; the next retention does, too. *ret_n counts on. */
enum wr_status wr_catalogue_remove_waste(struct wr_catalogue *k, struct wr_storage *s,
    struct wr_call *c, size_t *ret_n, struct wr_err *e) WR_MUST_CHECK;
#define WR_DAMAGED_MAX 1000 /* files; with more nothing is deleted any more */

/* Delete the files that retain.h does not keep, and has not kept for r->grace_ms, of which the
 * first time after a listing tells, too (grace.h); *ret_n: how many. Whatever else is deleted, and
 * whenever it ends, all that is promised can be restored. `h` says it before (herald.h); where it
 * cannot, nothing is deleted. NULL: nobody does. After a failure nothing is known. LIMIT: too many
 * files are damaged. */
enum wr_status wr_catalogue_retain(struct wr_catalogue *k, struct wr_storage *s, struct wr_call *c,
    const struct wr_retention *r, struct wr_herald *h, size_t *ret_n,
    struct wr_err *e) WR_MUST_CHECK;

#endif
