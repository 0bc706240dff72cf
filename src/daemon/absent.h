/*
 * absent.h - databases that are to be replicated and are not, as they could not be begun with, and
 * why. They are in no fleet, so without this list nothing but an old line in the log knows of them.
 *
 * Each is noted by who tried, and noted anew at each of his attempts; what is not noted again is
 * forgotten. locked.
 */
#ifndef WR_DAEMON_ABSENT_H
#define WR_DAEMON_ABSENT_H

#include "base/arena.h"
#include "base/base.h"

struct wr_absent;

enum wr_absent_by {
    WR_ABSENT_RELOAD,   /* of the configuration */
    WR_ABSENT_DIRS,     /* those that are watched */
    WR_ABSENT_REGISTRY, /* what was registered to stay */
    WR_ABSENT_BYS
};

#define WR_ABSENT_MAX 10000 /* what comes after is counted only */

struct wr_absent *wr_absent_new(void);    /* NULL: out of memory */
void wr_absent_free(struct wr_absent *a); /* NULL-safe */

/* An attempt begins: what was noted by the one before stays until it ends. */
void wr_absent_begin(struct wr_absent *a, enum wr_absent_by by);
/* A database, or the file or directory that hides some, by its path, and why in a line. Copied;
 * when that is not possible it is counted. Between begin and end, or at any time. Whether it is
 * news: it was not noted before, or for another reason. */
bool wr_absent_put(struct wr_absent *a, enum wr_absent_by by, const char *path, const char *why);
void wr_absent_end(struct wr_absent *a, enum wr_absent_by by);

/* It is replicated by now, or is not to be any more. */
void wr_absent_drop(struct wr_absent *a, const char *path);

size_t wr_absent_count(struct wr_absent *a);
size_t wr_absent_count_by(struct wr_absent *a, enum wr_absent_by by);
/* Whether it is noted, by him. */
bool wr_absent_is(struct wr_absent *a, enum wr_absent_by by, const char *path);

struct wr_absentee {
    const char *path, *why;
};
/* The first `max` of them by ascending path, in the arena; how many they are. Fewer than there are:
 * also for want of memory. */
size_t wr_absent_list(struct wr_absent *a, struct wr_arena *arena, size_t max,
    struct wr_absentee **ret) WR_MUST_CHECK;

#endif
