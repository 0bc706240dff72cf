/*
 * rest.h - when the watcher (sentinel.h) may rest: it looks once a minute then, or when a file is
 * told to have changed. docs/adr/0028.
 *
 * It rests when for twenty seconds no look saw anything change, nothing was told, and all was well.
 * That such telling works is a belief, too, so it is tested: a rest that ends with commits that
 * nobody told of, not even by the next look, counts against it; after three of them there is no
 * rest any more.
 *
 * owned: by whoever looks. Nothing is locked, waited for or logged here.
 */
#ifndef WR_DAEMON_REST_H
#define WR_DAEMON_REST_H

#include "base/base.h"

#define WR_REST_STILL 4  /* of its intervals: after so long it rests, ... */
#define WR_REST_LOOKS 12 /* ... and then for so long */
#define WR_REST_DEAF_MAX                                                    \
    3 /* rests that ended with untold commits, after which it rests no more \
       */

/* Zeroed at first, but for what is frozen. */
struct wr_rest {
    int64_t interval_ms; /* frozen: between two looks, when it does not rest */
    bool hears;          /* frozen: somebody tells; else it never rests */
    bool rests;          /* since the last look */
    uint64_t told;       /* times that a file was told to have changed, as of the last look */
    bool hint;           /* this look: it was told more often by now */
    bool moved, news;    /* this look: something changed; there are commits */
    bool untold;         /* the last one ended a rest with commits of which nobody had told */
    unsigned deaf;       /* times that none did later either */
    int64_t still_ns;    /* since when nothing has changed; 0: it has */
};

/* A look begins; `told` is how often it was told so far. */
void wr_rest_begin(struct wr_rest *r, uint64_t told);
/* What it sees of one of all. */
void wr_rest_saw(struct wr_rest *r, bool moved, bool news);
/* It ends, at `now_ns`, which is not 0; `well`: there is no trouble, nothing came or went. In how
 * many milliseconds to look again, if nothing is told before; r->rests says whether that is a rest.
 * *ret_deaf: from now on it rests no more, as of this look. */
int64_t wr_rest_end(struct wr_rest *r, int64_t now_ns, bool well, bool *ret_deaf);

/* So much longer than otherwise a look may fail to come. */
int64_t wr_rest_more_ms(int64_t interval_ms);

#endif
