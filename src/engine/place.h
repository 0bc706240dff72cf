/*
 * place.h - a new database file under construction, and the moment it takes its name.
 *
 * It moves files by name only. It never opens, and so never unlocks, a database or its sidecars.
 */
#ifndef WR_ENGINE_PLACE_H
#define WR_ENGINE_PLACE_H

#include "base/base.h"
#include "base/file.h"
#include "base/status.h"

struct wr_log;
struct wr_place; /* owned */

/* Whether a database may be put at `path`. If that is a symbolic link, here and below it stands for
 * the file that it leads to. MISUSE: a directory, no path, or a name without room for "-wal".
 * CONFLICT: a link that leads nowhere, and unless `overwrite` a file that is not empty, or a -wal,
 * -shm or -journal beside it. */
enum wr_status wr_place_check(
    const struct wr_fs *fs, const char *path, bool overwrite, struct wr_err *e) WR_MUST_CHECK;

/* The directory `dir`, and those above it, where they are missing (mode 0700): what root makes
 * there is not root's alone (wr_fs_giving). As wr_mkdirs. */
enum wr_status wr_place_mkdirs(
    const struct wr_fs *fs, const char *dir, struct wr_err *e) WR_MUST_CHECK;

enum wr_place_flags {
    WR_PLACE_OVERWRITE = 1, /* replace the database that is there */
    WR_PLACE_RESUMABLE = 2, /* have a map of the file for a later run, go on with an earlier one */
};

/* Check, create missing parents (mode 0700), remove what killed runs left (leftovers.h), and create
 * and lock an empty file beside `path`, of mode 0600 until it is committed.
 * With WR_PLACE_RESUMABLE a leftover that has a map is taken instead of an empty file. */
enum wr_status wr_place_open(const struct wr_fs *fs, const char *path, unsigned flags,
    struct wr_place **ret, struct wr_err *e) WR_MUST_CHECK;
struct wr_file *wr_place_file(const struct wr_place *p); /* until it is sealed */
const char *wr_place_name(const struct wr_place *p);     /* of that file, while it has no other */
struct wr_file *wr_place_map(const struct wr_place *p);  /* NULL: not asked for, or not possible */
bool wr_place_adopted(const struct wr_place *p);         /* file and map are an earlier run's */
/* A second such file for the work, which never takes a name of its own. At most once. */
enum wr_status wr_place_spool(
    struct wr_place *p, struct wr_file **ret, struct wr_err *e) WR_MUST_CHECK;

/* Sync the file and close it, with its lock, so that SQLite may open it by its name. The lock of
 * another file beside it keeps other restores to the same path from taking it for a leftover. */
enum wr_status wr_place_seal(struct wr_place *p, struct wr_err *e) WR_MUST_CHECK;
/* Give the file the mode, owner and group of the database that it is to replace, as far as this
 * process may, which is warned of where it may not; where it replaces none and we are root, the
 * owner and group of the directory. Sync it, and let it take the name; only then remove what it
 * replaces. CONFLICT: a file has appeared meanwhile, or what was an empty one has content, or the
 * sealed one has been exchanged. On failure everything is as it was, as far as the file system
 * allows; but where somebody has put a database there meanwhile, the previous one stays whole under
 * another name, which the text tells. Other restores to the same directory wait.
 *
 * Names are all that this can look at. Who has opened the old database, or the empty file, and
 * writes to it after the last look at it, writes to a file that is gone; and a -wal that appears
 * between the last look and the rename comes to lie beside the new database. That nobody uses the
 * path meanwhile is up to the caller. */
enum wr_status wr_place_commit(
    struct wr_place *p, const struct wr_log *log, struct wr_err *e) WR_MUST_CHECK;
/* Leave the file and its map behind for a later run; do not commit after. Needs a map. */
void wr_place_keep(struct wr_place *p);
/* Free; removes the file unless it was committed or kept, and the map unless kept. NULL-safe. */
void wr_place_close(struct wr_place *p);

#endif
