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

struct wr_place; /* owned */

/* Whether a database may be put at `path`. MISUSE: a directory, or no path. CONFLICT, unless
 * `overwrite`: a file that is not empty, or a -wal, -shm or -journal beside it. */
enum wr_status wr_place_check(
    const struct wr_fs *fs, const char *path, bool overwrite, struct wr_err *e) WR_MUST_CHECK;

/* Check, create missing parents (mode 0700), remove what a killed run left ("<path>.tmp-*" that
 * nobody has locked), and create and lock an empty file beside `path`, with the mode of the file
 * that it is to replace, else 0600. */
enum wr_status wr_place_open(const struct wr_fs *fs, const char *path, bool overwrite,
    struct wr_place **ret, struct wr_err *e) WR_MUST_CHECK;
struct wr_file *wr_place_file(const struct wr_place *p); /* until it is sealed */
const char *wr_place_name(const struct wr_place *p);     /* of that file, while it has no other */
/* A second such file for the work, which never takes a name of its own. At most once. */
enum wr_status wr_place_spool(
    struct wr_place *p, struct wr_file **ret, struct wr_err *e) WR_MUST_CHECK;

/* Sync the file and close it, with its lock, so that SQLite may open it by its name. Until commit
 * another restore to the same path may take it for a leftover; then commit fails. */
enum wr_status wr_place_seal(struct wr_place *p, struct wr_err *e) WR_MUST_CHECK;
/* Sync the file unless it is sealed, and let it take the name; only then remove what it replaces.
 * CONFLICT: a file has appeared meanwhile. On failure everything is as it was, as far as the file
 * system allows. */
enum wr_status wr_place_commit(struct wr_place *p, struct wr_err *e) WR_MUST_CHECK;
/* Free; removes the file unless it was committed. NULL-safe. */
void wr_place_close(struct wr_place *p);

#endif
