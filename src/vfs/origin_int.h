/*
 * origin_int.h - what the parts of an origin share: process.c (whose it is), origin_poll.c (its
 * thread), origin_fill.c (another one, that makes a local copy), origin_read.c (its readers),
 * origin.c (opening and closing it).
 */
#ifndef WR_VFS_ORIGIN_INT_H
#define WR_VFS_ORIGIN_INT_H

#include "base/base.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/status.h"
#include "base/sync.h"
#include "vfs/hydrate.h"
#include "vfs/mark.h"
#include "vfs/origin.h"

#define WR_ORIGIN_AWAKE_MS 30000 /* after the last read, in which it is looked for more */

/* What this process has, as opposed to the one that it was forked from. */
struct wr_process {
    struct wr_mark mark;
    struct wr_mutex mutex;
    struct wr_list origins; /* guarded by mutex */
    struct wr_list readers; /* guarded by mutex */
    struct wr_pagecache *cache;
    struct wr_process *before; /* that of the parent, left as it is */
};

struct wr_origin {
    struct wr_link link; /* guarded by the process's mutex, with refs */
    unsigned refs;
    struct wr_process *process;
    char *url;
    struct wr_storage *storage;
    struct wr_pages *pages;
    struct wr_shelf *shelf; /* NULL: none */
    const struct wr_log *log;
    struct wr_cancel cancel;
    struct wr_thread thread;
    struct wr_mutex mutex; /* guards what follows */
    struct wr_cond cond;   /* something of it has changed */
    struct wr_head *head;  /* of whoever has set `stepping` */
    bool stepping, running, ending, doubt, replaced, wanted;
    struct wr_pagemap *map;                      /* held */
    uint64_t newest, steps;                      /* looks that came to an end */
    int64_t poll_ms, seen_ms, ended_ms, used_ms; /* monotonic: of the last good look, ... */
    int64_t asked_ms;  /* since when readers wait for the next one to end; 0: none does */
    unsigned failures; /* in a row */
    struct wr_err why;
    struct wr_fill {
        bool begun, running, over, told, maps;
        char *path;           /* NULL: the file has no name */
        struct wr_hydrate *h; /* of its thread; set once. NULL: another process has the file */
        struct wr_thread thread;
        const struct wr_pagemap *of; /* the map that all was done for; only to be compared */
        struct wr_hydrate_look look; /* after the last step */
        unsigned failures;           /* in a row */
        int64_t due_ms;
        struct wr_err why;
    } fill;
};

static inline int64_t wr_origin_now_ms(void)
{
    return wr_mono_ms(wr_clock_system());
}

/* What this process has; in the child of a fork that is nothing at first. NOMEM. */
enum wr_status wr_process_find(struct wr_process **ret, struct wr_err *e) WR_MUST_CHECK;
struct wr_process *wr_process_have(void); /* NULL: nothing yet */

/* Wait for a first state until `deadline_ms`, and look for it if nobody else does; then there is a
 * thread that goes on. Errors as wr_origin_open. */
enum wr_status wr_origin_first(
    struct wr_origin *o, int64_t deadline_ms, struct wr_err *e) WR_MUST_CHECK;
/* Make a local copy, if none is being made: as wr_local_open; that it cannot be is noted. While
 * another process has the file, it is tried again now and then. */
void wr_origin_fill_begin(struct wr_origin *o, const char *path);
void wr_origin_fill_end(struct wr_origin *o); /* o->ending is set, and has been told */
const char *wr_origin_fill_path(const struct wr_origin *o);
unsigned wr_origin_fill_permille(const struct wr_origin *o); /* with the mutex held */

/* End its threads, if there are any, and what it waits for. */
void wr_origin_stop(struct wr_origin *o);
/* Until `ms`, monotonic, or until something of the origin has changed; with its mutex held. */
void wr_origin_wait(struct wr_origin *o, int64_t ms);

#endif
