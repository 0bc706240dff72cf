/*
 * place_check.c - whether a database may be put at a path.
 */
#include "base/arena.h"
#include "base/mem.h"
#include "engine/place_int.h"

#include <sys/stat.h>

#define NAME_BYTES 255u /* Linux has no longer ones; some file systems only shorter ones */

const char *const wr_place_sidecars[WR_SIDECARS] = {"-wal", "-shm", "-journal"};

bool wr_place_fits(const char *path, const char *suffix)
{
    return wr_path_base(path).n + strlen(suffix) <= NAME_BYTES;
}

/* Without a -journal SQLite can do, in WAL mode; without a -wal nobody could open the database. */
static enum wr_status check_name(const char *path, struct wr_err *e)
{
    if (wr_place_fits(path, "-wal"))
        return WR_OK;
    return wr_fail(e, WR_MISUSE,
        "cannot restore, the name is too long: it has %zu bytes, and 251 leave room for SQLite's "
        "-wal beside it. Restore it under a shorter name: %s",
        wr_path_base(path).n, path);
}

enum wr_status wr_place_nomem(const char *path, struct wr_err *e)
{
    return wr_fail(e, WR_NOMEM, "restore %s: out of memory", path);
}

enum wr_status wr_place_look(const struct wr_fs *fs, const char *path, bool *ret_there,
    struct wr_file_info *ret, struct wr_err *e)
{
    enum wr_status st = fs->lstat(fs, path, ret, e);

    if (st != WR_OK && st != WR_NOTFOUND)
        return st;
    *ret_there = st == WR_OK;
    return WR_OK;
}

enum wr_status wr_place_look_sidecar(const struct wr_fs *fs, const char *path, const char *suffix,
    struct wr_arena *names, bool *ret_there, struct wr_err *e)
{
    struct wr_str name = wr_arena_fmt(names, "%s%s", path, suffix);
    struct wr_file_info info = {0};
    enum wr_status st;

    if (!name.p)
        return wr_place_nomem(path, e);
    *ret_there = false;
    if (!wr_place_fits(path, suffix))
        return WR_OK;
    st = wr_place_look(fs, name.p, ret_there, &info, e);
    /* An empty rollback journal is none to SQLite; a follower that was killed leaves one. */
    if (st == WR_OK && strcmp(suffix, "-journal") == 0 && info.size == 0)
        *ret_there = false;
    return st;
}

/* What a symbolic link at `path` leads to, else `path` itself: where SQLite has a database's files.
 * The new one must not lie beside the link, where it may be another file system, and everyone who
 * knows the file by its own path would go on with the old one. */
enum wr_status wr_place_follow(const struct wr_fs *fs, const char *path, struct wr_arena *names,
    const char **ret, struct wr_err *e)
{
    struct wr_file_info info = {0};
    bool there = false;
    char *real = NULL;
    enum wr_status st;

    if (!path || !path[0])
        return wr_fail(e, WR_MISUSE, "cannot restore, no output path");
    st = check_name(path, e);
    if (st == WR_OK)
        st = wr_place_look(fs, path, &there, &info, e);
    if (st != WR_OK)
        return st;
    *ret = path;
    if (!there || !S_ISLNK((mode_t)info.mode))
        return WR_OK;
    st = fs->resolve(fs, path, &real, e);
    if (st == WR_NOTFOUND)
        return wr_fail(e, WR_CONFLICT,
            "cannot restore, output path is a symbolic link that leads nowhere: %s. Mount or "
            "create what it leads to, or remove it",
            path);
    if (st != WR_OK)
        return st;
    *ret = wr_arena_str(names, wr_str(real)).p;
    wr_free(real);
    return *ret ? WR_OK : wr_place_nomem(path, e);
}

enum wr_status wr_place_may(const struct wr_fs *fs, const char *path, bool overwrite,
    struct wr_arena *names, struct wr_err *e)
{
    struct wr_file_info info = {0};
    bool there = false;
    enum wr_status st = check_name(path, e); /* of what a link leads to */

    if (st == WR_OK)
        st = wr_place_look(fs, path, &there, &info, e);
    if (st != WR_OK)
        return st;
    if (there && info.is_dir)
        return wr_fail(e, WR_MISUSE, "cannot restore, output path is a directory: %s", path);
    if (there && !S_ISREG((mode_t)info.mode))
        return wr_fail(e, WR_MISUSE, "cannot restore, output path is not a regular file: %s", path);
    if (overwrite)
        return WR_OK;
    if (there && info.size > 0)
        return wr_fail(e, WR_CONFLICT,
            "cannot restore, output path already exists and is not empty: %s. Use -force to "
            "overwrite",
            path);
    for (size_t i = 0; i < WR_SIDECARS; i++) {
        st = wr_place_look_sidecar(fs, path, wr_place_sidecars[i], names, &there, e);
        if (st != WR_OK)
            return st;
        if (there)
            return wr_fail(e, WR_CONFLICT,
                "cannot restore, SQLite sidecar path already exists: %s%s. Use -force to "
                "overwrite; left there, it would be applied to the restored database",
                path, wr_place_sidecars[i]);
    }
    return WR_OK;
}

enum wr_status wr_place_check(
    const struct wr_fs *fs, const char *path, bool overwrite, struct wr_err *e)
{
    struct wr_arena names;
    enum wr_status st;

    wr_arena_init(&names, WR_PLACE_NAMES);
    st = wr_place_follow(fs, path, &names, &path, e);
    if (st == WR_OK)
        st = wr_place_may(fs, path, overwrite, &names, e);
    wr_arena_release(&names);
    return st;
}
