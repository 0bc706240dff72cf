/*
 * sentinel_int.h - what the sentinel knows, shared by its passes (sentinel.c) and what they say
 * (sentinel_say.c).
 */
#ifndef WR_DAEMON_SENTINEL_INT_H
#define WR_DAEMON_SENTINEL_INT_H

#include "base/sync.h"
#include "daemon/rest.h"
#include "daemon/sentinel.h"
#include "daemon/suspect.h"

enum wr_said {
    SAID_NOTHING,
    SAID_SLOW,
    SAID_STUCK,
};

struct wr_entry_replica {
    struct wr_suspect suspect;
    bool had_all; /* once, all that had been committed by an earlier look, or by the same one */
    uint64_t bytes_up;
    uint64_t scanned; /* of the database */
    int64_t moved_ns; /* when one of these was last seen to grow, with no failure */
};

/* Of one database; changed by passes alone, under the lock. */
struct wr_entry {
    char *path;
    weir_db *db; /* to tell another one by; not to be used */
    bool met;    /* there was a database */
    bool whole;  /* it was seen with everything of some moment in every replica */
    enum wr_said said;
    weir_db_sight sight;               /* of the last pass ... */
    unsigned same;                     /* ... and of so many before it */
    struct wr_entry_replica *replicas; /* as many as it was seen with: most have one */
    size_t n_replicas;
    struct wr_verdict verdict;
};

struct wr_sentinel {
    struct wr_sentinel_opts o;
    struct wr_thread thread;
    bool started;

    struct wr_mutex mutex; /* guards the rest of this group, and what entries hold */
    struct wr_cond cond;
    bool stopping;
    uint64_t stirs;        /* times that a file was told to have changed */
    bool rests;            /* as the last pass has it */
    struct wr_entry **all; /* by ascending path */
    size_t n;
    struct wr_summary sum;
    bool asked;       /* for what the last pass has not seen in order: look at once */
    uint64_t begun;   /* of the fleet, when the last pass began */
    int64_t ended_ns; /* of the last pass; 0: there was none */
    int64_t made_ns;

    /* only passes, from here on */
    struct wr_entry **next; /* those of this pass so far */
    size_t next_n, next_cap, cursor;
    struct wr_summary count;
    size_t lines[SAID_STUCK + 1], healed;
    bool short_of_memory;
    char told[160];

    struct wr_rest rest;
};

/* Of a change of state, and only that. */
void wr_sentinel_say(struct wr_sentinel *s, struct wr_entry *e, weir_db *db, int64_t now_ns);
/* At the end of a pass: how many there were no lines for. */
void wr_sentinel_say_more(struct wr_sentinel *s);
/* How it stands, in one line, for o.tell. */
void wr_summary_line(const struct wr_summary *sum, char *out, size_t n);

#endif
