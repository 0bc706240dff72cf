/*
 * outcome.h - what became of a reload, for whoever waits for it.
 *
 * owned while it is made, frozen afterwards.
 */
#ifndef WR_DAEMON_OUTCOME_H
#define WR_DAEMON_OUTCOME_H

#include "base/arena.h"
#include "base/base.h"

#define WR_OUTCOME_ITEMS \
    1000 /* that are listed, and as many more if they failed; others are only counted */

enum wr_outcome_kind {
    WR_OUTCOME_ADDED,   /* a database */
    WR_OUTCOME_REMOVED, /* a database */
    WR_OUTCOME_CHANGED, /* a database that began anew */
    WR_OUTCOME_FAILED,  /* a database that could not be begun with, or ended well, and why; or so
                           the key "serve" */
    WR_OUTCOME_RESTART, /* a key that has changed, and is read at the start alone */
    WR_OUTCOME_WARNING, /* of the file */
    WR_OUTCOME_KINDS
};

struct wr_outcome_item {
    struct wr_outcome_item *next;
    enum wr_outcome_kind kind;
    const char *name; /* path, key or text */
    const char *why;  /* of FAILED; of CHANGED the keys that have (difference.h); else "" */
};

struct wr_outcome {
    struct wr_arena arena;
    struct wr_outcome_item *first, **last; /* in order */
    size_t listed;
    size_t counts[WR_OUTCOME_KINDS];
    size_t dbs;          /* in the fleet, afterwards */
    const char *refused; /* why nothing has changed; NULL: it was taken */
    unsigned holders;    /* reloading.h's */
};

struct wr_outcome *wr_outcome_new(void); /* NULL: out of memory */
void wr_outcome_free(struct wr_outcome *o);

/* `o` is NULL where nobody asks. The texts are copied; without memory for them they are counted. */
void wr_outcome_put(
    struct wr_outcome *o, enum wr_outcome_kind kind, const char *name, const char *why);
void wr_outcome_refuse(struct wr_outcome *o, const char *why);

#endif
