/*
 * reset.h - the local state of a database, to be thrown away while nobody uses it.
 */
#ifndef WR_CLI_RESET_H
#define WR_CLI_RESET_H

#include "base/arena.h"
#include "base/file.h"

#define WR_RESET_FILES_MAX 1000000

struct wr_reset {
    struct wr_arena *arena;
    const char *state;  /* our directory */
    const char *ledger; /* in it */
    const char *old;    /* the files that Litestream left, by level */
    const char **files; /* what there is to be removed; the ledger, if it is not empty, first */
    size_t n, room;
    const char **dirs; /* of `old`, each before the one it is in */
    size_t ndirs, dirs_room;
};

/* Where all of it is, for a database that has its local state in `state`. False: out of memory. */
bool wr_reset_name(struct wr_reset *r, struct wr_arena *a, const char *state) WR_MUST_CHECK;

/* Fill the lists. Never follows a link below these directories. LIMIT: there are too many files. */
enum wr_status wr_reset_list(
    struct wr_reset *r, const struct wr_fs *fs, struct wr_err *e) WR_MUST_CHECK;

/* Remove what is on the lists. BUSY, and nothing was removed: a process replicates the database. */
enum wr_status wr_reset_remove(
    struct wr_reset *r, const struct wr_fs *fs, struct wr_err *e) WR_MUST_CHECK;

#endif
