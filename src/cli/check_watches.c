/*
 * check_watches.c - whether the kernel watches as many files and directories as there are to watch.
 *
 * Of each database its file and its WAL, and the directory that they are in, once; and what is
 * looked through for new databases, by an instance of its own. Where there is no watch there is a
 * look every second, which finds all the same and costs that.
 */
#include "base/file.h"
#include "cli/check_int.h"

#define FILES_PER_DB 2
#define LIMIT_MAX    32 /* bytes of a number in /proc */

bool wr_check_read_limit(const char *path, uint64_t *ret)
{
    const struct wr_fs *fs = wr_fs_posix();
    struct wr_file *f = NULL;
    char text[LIMIT_MAX];
    size_t n = 0;
    bool ok = wr_file_open(fs, path, WR_FILE_READ, 0, &f, NULL) == WR_OK &&
              wr_file_pread(f, text, sizeof(text), 0, &n, NULL) == WR_OK;

    if (f)
        wr_file_close(f);
    return ok && wr_parse_u64(wr_str_trim((struct wr_str){text, n}), ret);
}

void wr_check_watch_limits(struct wr_check_watches *ret)
{
    ret->known =
        wr_check_read_limit("/proc/sys/fs/inotify/max_user_watches", &ret->watches_max) &&
        wr_check_read_limit("/proc/sys/fs/inotify/max_user_instances", &ret->instances_max);
}

static int by_text(const void *a, const void *b)
{
    return wr_str_cmp(*(const struct wr_str *)a, *(const struct wr_str *)b);
}

static uint64_t count_distinct(struct wr_str *list, size_t n)
{
    uint64_t distinct = n > 0;

    if (n > 1)
        qsort(list, n, sizeof(*list), by_text);
    for (size_t i = 1; i < n; i++)
        distinct += wr_str_cmp(list[i], list[i - 1]) != 0;
    return distinct;
}

/* Whether it is a directory that is watched, or below one. */
static bool is_watched(const struct wr_config *c, const char *path)
{
    for (size_t i = 0; i < c->ndirs; i++) {
        if (c->dirs[i].watch && wr_path_within(path, c->dirs[i].path))
            return true;
    }
    return false;
}

bool wr_check_watch_needs(struct wr_arena *a, const struct wr_config *c,
    const struct wr_config_db *const *dbs, size_t ndbs, const struct wr_dirs_seen *seen,
    struct wr_check_watches *ret)
{
    struct wr_str *dirs = wr_arena_array(a, ndbs + 1, sizeof(*dirs));
    uint64_t looked_through = 0;

    if (!dirs)
        return false;
    for (size_t i = 0; i < ndbs; i++)
        dirs[i] = wr_path_dir(dbs[i]->path);
    for (size_t i = 0; i < seen->ndirs; i++)
        looked_through += is_watched(c, seen->dirs[i]);
    ret->watches = ndbs * FILES_PER_DB + count_distinct(dirs, ndbs) + looked_through;
    ret->instances = 1 + (looked_through > 0);
    return true;
}

void wr_check_tell_watches(struct wr_check *k, const struct wr_check_watches *w)
{
    json_t *outer = wr_check_enter(k, "watches");

    wr_check_number(k, "watches_needed", (double)w->watches);
    wr_check_number(k, "instances_needed", (double)w->instances);
    if (w->known) {
        wr_check_number(k, "watches", (double)w->watches_max);
        wr_check_number(k, "instances", (double)w->instances_max);
    }
    wr_check_leave(k, outer);
    if (!w->known)
        return;
    wr_check_line(k, "", "%llu inotify watches are needed, %llu may be had by all of a user",
        (unsigned long long)w->watches, (unsigned long long)w->watches_max);
    if (w->watches > w->watches_max)
        wr_check_find(k, WR_CHECK_WARNING,
            "%llu files and directories are to be watched, and a user may watch %llu here: what is "
            "not watched is looked at every second; raise it (sysctl "
            "fs.inotify.max_user_watches=%llu)",
            (unsigned long long)w->watches, (unsigned long long)w->watches_max,
            (unsigned long long)w->watches * 2);
    if (w->instances > w->instances_max)
        wr_check_find(k, WR_CHECK_WARNING,
            "%llu inotify instances are needed, and a user may have %llu here: databases are "
            "looked "
            "at every second, directories every 10 seconds; raise it (sysctl "
            "fs.inotify.max_user_instances=128)",
            (unsigned long long)w->instances, (unsigned long long)w->instances_max);
}
