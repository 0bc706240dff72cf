/*
 * leftovers.h - what earlier restores left beside their target: removed, or taken over.
 *
 * A restore locks the files it works on, and a killed one's locks are gone. Names that share their
 * 16 hex digits belong together: while one of them is locked, all are left alone. They begin with
 * the target's stem (wr_path_stem).
 */
#ifndef WR_ENGINE_LEFTOVERS_H
#define WR_ENGINE_LEFTOVERS_H

#include "base/arena.h"
#include "base/base.h"
#include "base/file.h"
#include "base/status.h"

/* What may follow the 16 digits, beside SQLite's "-wal", "-shm" and "-journal". */
#define WR_LEFTOVER_MAP   "-map"
#define WR_LEFTOVER_SPOOL "-spool"

/* A name beside `path`, in the arena: one of these marks, and the digits. NULL: out of memory. */
#define WR_LEFTOVER_TMP ".tmp-"
#define WR_LEFTOVER_OLD ".old-"
const char *wr_leftover_path(
    struct wr_arena *a, const char *path, const char *mark, const char *digits);

/* Where to look. The strings and the arena are the caller's. */
struct wr_leftovers {
    const struct wr_fs *fs;
    struct wr_arena *names; /* paths come from here */
    const char *dir, *base; /* of the target */
};

/* An unfinished database and the map of it (draft.h), both open for reading and writing and locked.
 * The caller closes them. */
struct wr_leftover {
    struct wr_file *file, *map; /* NULL, NULL: there is none */
    const char *path, *map_path;
};

/* Remove "<stem>.tmp-<16 hex>" with what belongs to it, except what is in use. With `ret`, one such
 * file is taken over instead: of those that have a map, and are regular files of this user under
 * one name that nobody else may open, the one that has most, or else whose map reaches furthest.
 * *ret is empty when none qualifies. What cannot be removed stays. */
enum wr_status wr_leftovers_sweep(
    const struct wr_leftovers *at, struct wr_leftover *ret, struct wr_err *e) WR_MUST_CHECK;

/* A path, in the arena. */
struct wr_leftover_name {
    const struct wr_leftover_name *next;
    const char *path;
    size_t stem; /* bytes of `path` before the suffix */
};

/* All "<stem>.old-<16 hex>" with what belongs to it; NULL: none, or none that could be found. */
const struct wr_leftover_name *wr_leftovers_old(const struct wr_leftovers *at);

/* Remove these without a look at locks: they are databases, which are not to be opened. What cannot
 * be removed stays. */
void wr_leftovers_remove_old(const struct wr_fs *fs, const struct wr_leftover_name *first);

#endif
