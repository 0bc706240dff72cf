/*
 * file_sweep.c - takes away the temporary files that writers left when they died.
 *
 * Knows how temporary files are called and how to tell that nobody writes one; refuses to know what
 * becomes of those that are written.
 *
 *     <key>.<16 hex>.tmp                 ours: locked while it is written (file_put.c)
 *     <16 hex>-<16 hex>.ltx.tmp          Litestream's, which locks nothing
 *
 * One of ours that can be locked is left over, unless it is empty: a writer has the lock before it
 * writes, but the file before the lock. An empty one, and where locks do not work any one, is left
 * over when nothing happened to it for a day; so is Litestream's. One of ours with a second name is
 * an object that got its name by link(2), and left over. Anything else is somebody else's.
 *
 * Age is the time of the last change of any kind, which nobody can set; the modification time is
 * the object's, and may be of years ago while its file is still being written.
 */
#include "storage/file_int.h"

#include "base/buf.h"

#include <sys/stat.h>

#define STALE_MS   ((int64_t)24 * 3600 * 1000)
#define PATH_LIMIT ((size_t)16 << 10) /* bytes; the system's own is shorter */
#define HEX        ((size_t)16)       /* digits of a TXID, and of our random tag */

struct sweep {
    const struct wr_fs *fs;
    struct wr_call *c;
    struct wr_str mine;
    int64_t now_ms;
    struct wr_buf path;
    size_t dir_n; /* bytes of `path` that name the directory, with a slash */
};

static bool is_hex(struct wr_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    }
    return s.n == HEX;
}

static bool cut_end(struct wr_str *s, struct wr_str end)
{
    if (!wr_str_ends(*s, end))
        return false;
    s->n -= end.n;
    return true;
}

static bool is_ours(struct wr_str name)
{
    struct wr_str key, tag;

    return cut_end(&name, WR_STR(".tmp")) && wr_str_cut_last(name, '.', &key, &tag) && key.n > 0 &&
           is_hex(tag);
}

static bool is_litestreams(struct wr_str name)
{
    struct wr_str min, max;

    return cut_end(&name, WR_STR(".ltx.tmp")) && wr_str_cut(name, '-', &min, &max) && is_hex(min) &&
           is_hex(max);
}

/* Remove the file of ours at `path` if its writer is dead. The lock is held until it is gone. What
 * has a second name, even if that of a live database, is not even opened: it has been written, and
 * is there without this one. */
static void remove_unlocked(const struct wr_fs *fs, const char *path, bool stale)
{
    struct wr_file *f = NULL;
    struct wr_file_info info = {0};
    enum wr_status st;

    if (wr_file_open_temp(fs, path, WR_FILE_WRITE, &f, NULL) != WR_OK) {
        if (wr_file_has_another_name(fs, path))
            (void)fs->remove(fs, path, NULL); /* as below */
        return;
    }
    st = fs->lock(f, NULL);
    if (st == WR_OK && wr_file_info(f, &info, NULL) == WR_OK && info.size > 0)
        stale = true;
    if (st != WR_BUSY && stale)
        (void)fs->remove(fs, path, NULL); /* it stays, hidden and harmless */
    wr_file_close(f);
}

static bool sweep_one(void *arg, const char *name)
{
    struct sweep *s = arg;
    struct wr_str view = wr_str(name);
    struct wr_file_info info = {0};
    bool ours = is_ours(view);

    if ((!ours && !is_litestreams(view)) || wr_str_eq(view, s->mine))
        return true;
    if (wr_call_check(s->c, "sweep", NULL) != WR_OK)
        return false;
    s->path.n = s->dir_n;
    wr_buf_str(&s->path, view);
    if (wr_buf_status(&s->path) != WR_OK)
        return false;
    const char *path = (const char *)s->path.p;
    /* What is no file was not made by a writer. */
    if (s->fs->lstat(s->fs, path, &info, NULL) != WR_OK || !S_ISREG((mode_t)info.mode))
        return true;
    bool stale = s->now_ms - info.changed_ms >= STALE_MS;
    if (ours)
        remove_unlocked(s->fs, path, stale);
    else if (stale)
        (void)s->fs->remove(s->fs, path, NULL); /* it stays, hidden and harmless */
    return true;
}

/* A file is removed while the directory is being read. What that makes the reading miss is found by
 * the next process. */
void wr_disk_sweep(
    const struct wr_fs *fs, struct wr_call *c, const char *dir, struct wr_str mine, int64_t now_ms)
{
    struct sweep s = {.fs = fs, .c = c, .mine = mine, .now_ms = now_ms};

    wr_buf_init(&s.path, PATH_LIMIT);
    wr_buf_z(&s.path, dir);
    wr_buf_byte(&s.path, '/');
    s.dir_n = s.path.n;
    if (wr_buf_status(&s.path) == WR_OK)
        (void)fs->list(fs, dir, sweep_one, &s, NULL);
    wr_buf_release(&s.path);
}
