/*
 * dirs.h - the databases that are in a directory of the configuration now.
 */
#ifndef WR_DAEMON_DIRS_H
#define WR_DAEMON_DIRS_H

#include "daemon/config.h"

/* The path that another entry has for this file, which may be a link to it; NULL: none has it. */
typedef const char *wr_dirs_known_fn(void *arg, const char *path, uint64_t dev, uint64_t ino);

struct wr_dirs_item {
    struct wr_config_db db;
    uint64_t dev, ino; /* of the file */
};

/* What matches, but cannot be replicated, and why. */
struct wr_dirs_refused {
    const char *path, *why;
    bool twin; /* it is another name of a file that is replicated */
};

struct wr_dirs_found {
    struct wr_dirs_item *items; /* by ascending path */
    size_t n;
    struct wr_dirs_refused *refused;
    size_t nrefused;
    size_t nheadless;  /* files that match and are no database, or not yet */
    const char **dirs; /* all that were listed, the directory itself among them; absolute */
    size_t ndirs;
};

/*
 * Look for databases: regular files, or links to some, of which the name matches and which begin
 * with "SQLite format 3". The directory itself may be a link; those below it are not followed.
 *
 * What `known` knows (NULL: nothing) is a database by its path, and refused under another one. To
 * read that header of the others, a file is opened and closed, and that drops every POSIX lock that
 * a process has on it: so with `open`, which is that some database is open in this process, another
 * process does it (headers.h).
 *
 * All is in the arena. Costs an lstat a file, and one open a file that matches and is not known;
 * may be called again and again. NOTFOUND, IO: the directory cannot be read. LIMIT: there are more
 * than a million files in it.
 */
enum wr_status wr_dirs_scan(struct wr_arena *a, const struct wr_config_dir *dir, bool open,
    wr_dirs_known_fn *known, void *arg, struct wr_dirs_found *ret, struct wr_err *e) WR_MUST_CHECK;

/* What a look through all directories found out beside that. */
struct wr_dirs_seen {
    struct wr_dirs_refused *refused;
    size_t nrefused;
    const char **dirs; /* that were listed */
    size_t ndirs;
    size_t nheadless; /* files that match and are no database, or not yet */
};

enum wr_dirs_how {
    WR_DIRS_STRICT,
    WR_DIRS_LENIENT, /* for who only looks: a directory that has none is a warning, and so is one
                        that cannot be read */
    WR_DIRS_SIFTED,  /* for who has begun: what clashes with a database that c->dbs had, or with
                        one that comes before it, is refused; a directory that has none is fine */
};
/*
 * Add the databases of all directories to c->dbs, behind those that have entries of their own and
 * keep them, and a warning for each that is refused. `open` as above.
 *
 * MISUSE: a directory that is not watched has none; or two of the databases would have the same
 * replica or local state.
 */
enum wr_status wr_dirs_expand(struct wr_arena *a, struct wr_config *c, bool open,
    enum wr_dirs_how how, struct wr_dirs_seen *ret,
    struct wr_err *e) WR_MUST_CHECK; /* `ret` may be NULL */

#endif
