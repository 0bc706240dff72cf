/*
 * place_int.h - a new database file under construction, shared by what makes its files (place.c),
 * looks whether it may be there (place_check.c), gives it an owner (place_owner.c) and its name
 * (place_swap.c).
 */
#ifndef WR_ENGINE_PLACE_INT_H
#define WR_ENGINE_PLACE_INT_H

#include "base/arena.h"
#include "engine/place.h"

/* bytes of path names; LIMIT is not worth telling from NOMEM */
#define WR_PLACE_NAMES ((size_t)8 << 20)

struct wr_leftover_name;

struct wr_place {
    const struct wr_fs *fs;
    unsigned flags;
    bool created;             /* there is a new file to be removed ... */
    bool placed;              /* ... unless it has the name, ... */
    bool kept;                /* ... or somebody is to go on with it */
    bool adopted;             /* an earlier run has begun it */
    bool replaces;            /* a file at `path`, if only an empty one */
    struct wr_file_info info; /* of that file */
    struct wr_file_info sealed;
    struct wr_arena names; /* of all the strings here */
    const char *path, *dir, *base;
    const char *tmp, *map_name, *spool_name, *old;
    const struct wr_leftover_name *stale; /* .old files that were there when it was opened */
    struct wr_file *file, *map, *spool;
};

#define WR_SIDECARS 3u
extern const char *const wr_place_sidecars[WR_SIDECARS]; /* what SQLite adds to a name */
/* Whether a file may be called that at all. */
bool wr_place_fits(const char *path, const char *suffix);

enum wr_status wr_place_nomem(const char *path, struct wr_err *e);
/* Whether there is anything called `path`; *ret is filled in if so. */
enum wr_status wr_place_look(const struct wr_fs *fs, const char *path, bool *ret_there,
    struct wr_file_info *ret, struct wr_err *e) WR_MUST_CHECK;
/* Whether there is a sidecar that means something to SQLite. */
enum wr_status wr_place_look_sidecar(const struct wr_fs *fs, const char *path, const char *suffix,
    struct wr_arena *names, bool *ret_there, struct wr_err *e) WR_MUST_CHECK;
/* What a symbolic link at `path` leads to, in `names`, else `path` itself. */
enum wr_status wr_place_follow(const struct wr_fs *fs, const char *path, struct wr_arena *names,
    const char **ret, struct wr_err *e) WR_MUST_CHECK;
/* As wr_place_check, of a path that is no link. */
enum wr_status wr_place_may(const struct wr_fs *fs, const char *path, bool overwrite,
    struct wr_arena *names, struct wr_err *e) WR_MUST_CHECK;

/* The lock of the directory that a restore has while names change hands; NULL: it cannot be had,
 * and we go on without. The caller closes it. */
struct wr_file *wr_place_lock_dir(const struct wr_place *p);
/* From here on there is no way back, but what the names allow. */
enum wr_status wr_place_take_name(struct wr_place *p, struct wr_err *e) WR_MUST_CHECK;

/* Owner and mode, as wr_place_commit says. */
void wr_place_hand_over(struct wr_place *p, const struct wr_log *log);

#endif
