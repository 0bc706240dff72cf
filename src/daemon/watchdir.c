/*
 * watchdir.c - see watchdir.h.
 *
 * An event says only that something has changed. A quarter of a second after the first one the
 * directories are looked through as at the start, which finds out what there is by itself; so lost
 * events, a full queue, and a directory that appears before it is watched cost time and nothing
 * else. What has no header yet is looked at again, less and less often.
 */
#include "daemon/watchdir.h"

#include "base/clock.h"
#include "base/crc64.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sync.h"
#include "daemon/config_copy.h"
#include "daemon/dirs.h"
#include "daemon/doc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#define SECOND_NS       ((int64_t)1000000000)
#define SETTLE_NS       (SECOND_NS / 4) /* from an event to a look: more may come */
#define DELETED_SYNC_MS ((int64_t)5000)
#define EVERY_NS        (60 * SECOND_NS) /* without any */
#define BLIND_NS        (10 * SECOND_NS) /* where inotify is not to be had */
#define MASK                                                                               \
    (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | \
        IN_ONLYDIR)

/* A database that was found in a directory. */
struct found {
    struct wr_config_db *db; /* owned */
    bool watched;            /* its directory is */
    bool missing;            /* its file was not there at the last look */
};

struct wr_watchdir {
    const struct wr_config *config; /* of it those with entries of their own count, and `dirs` */
    struct wr_fleet *fleet;
    struct wr_logger *log;
    int64_t last_sync_ms;
    struct wr_thread thread;
    bool running;
    int stop[2]; /* a pipe: closing its end stops the thread */

    /* only the thread, until it has ended */
    int inotify; /* -1: not to be had */
    bool blind;  /* not all directories are watched, which was said */
    int newest_watch;
    struct found *found;
    size_t n, cap;
    struct wr_config_dir *dirs; /* those that are watched */
    size_t ndirs;
    uint64_t *refused;   /* of each of them: a checksum of what was refused there */
    int64_t due_ns;      /* the next look */
    int64_t headless_ns; /* how soon it follows if there are files without a header */
};

static int64_t now_ns(void)
{
    return wr_mono_ns(wr_clock_system());
}

static void look_within(struct wr_watchdir *w, int64_t ns)
{
    w->due_ns = wr_min(w->due_ns, now_ns() + ns);
}

static bool is_watched(const struct wr_watchdir *w, const char *path)
{
    for (size_t i = 0; i < w->ndirs; i++) {
        struct wr_str dir = wr_str(w->dirs[i].path), rest = wr_str(path);

        if (wr_str_starts(rest, dir) && wr_str_starts(wr_str_skip(rest, dir.n), WR_STR("/")))
            return true;
    }
    return false;
}

/* A copy of `db` into the list; false: out of memory. */
static bool remember(struct wr_watchdir *w, const struct wr_config_db *db)
{
    struct found *all = wr_room(w->found, w->n, &w->cap, 16, sizeof(*all));
    struct wr_config_db *copy;

    if (!all)
        return false;
    w->found = all;
    copy = wr_config_db_copy(db);
    if (!copy)
        return false;
    w->found[w->n++] = (struct found){.db = copy, .watched = is_watched(w, copy->path)};
    return true;
}

static void forget(struct wr_watchdir *w, size_t i)
{
    wr_free(w->found[i].db);
    w->found[i] = w->found[--w->n];
}

/* One that is gone for two looks is not about to be replaced by another file. What is new does not
 * wait for the last sync of what is gone: one in each look, and not for long. */
static void remove_deleted(struct wr_watchdir *w)
{
    const struct wr_fs *fs = wr_fs_posix();
    int64_t last_sync_ms = wr_min(w->last_sync_ms, DELETED_SYNC_MS);
    bool removed = false;

    for (size_t i = w->n; i-- > 0;) {
        struct found *f = &w->found[i];
        struct wr_file_info info;
        weir_error err = {0};
        bool missing = f->watched && fs->lstat(fs, f->db->path, &info, NULL) == WR_NOTFOUND;

        if (missing && f->missing && removed) {
            look_within(w, 0);
        } else if (missing && f->missing) {
            removed = true;
            if (wr_fleet_remove(w->fleet, f->db->path, last_sync_ms, NULL, &err) != WEIR_OK &&
                err.code != WEIR_NOTFOUND)
                wr_say(w->log, WEIR_LOG_WARN, "the last sync of a deleted database has failed",
                    WR_F_Z("path", f->db->path), WR_F_Z("error", err.message));
            wr_absent_drop(
                wr_fleet_absent(w->fleet), f->db->path); /* of those that were not begun */
            forget(w, i);
        } else {
            f->missing = missing;
            if (missing)
                look_within(w, 2 * SETTLE_NS);
        }
    }
}

static bool absent(struct wr_watchdir *w, const char *path, const char *why)
{
    return wr_absent_put(wr_fleet_absent(w->fleet), WR_ABSENT_DIRS, path, why);
}

static void add_found(struct wr_watchdir *w, const struct wr_config_db *db)
{
    weir_error err = {0};

    if (!remember(w, db)) {
        look_within(w, EVERY_NS);
        return;
    }
    if (wr_fleet_add(w->fleet, db, NULL, &err) == WEIR_OK) {
        wr_say(w->log, WEIR_LOG_INFO, "added database to replication", WR_F_Z("path", db->path));
        return;
    }
    forget(w, w->n - 1); /* the next look tries again */
    if (wr_fleet_has(w->fleet, db->path) || err.code == WEIR_CANCELED)
        return; /* it was registered, perhaps: that one stays; or all is about to end */
    if (absent(w, db->path, err.message))
        wr_say(w->log, WEIR_LOG_ERROR, "cannot replicate a database of a directory",
            WR_F_Z("path", db->path), WR_F_Z("error", err.message));
}

/* False: some are not watched. */
static bool watch_all(struct wr_watchdir *w, const struct wr_dirs_seen *seen)
{
    bool all = w->inotify >= 0;

    for (size_t i = 0; i < seen->ndirs && w->inotify >= 0; i++) {
        int id = inotify_add_watch(w->inotify, seen->dirs[i], MASK);

        if (id > w->newest_watch) { /* what came before that was told by nobody */
            w->newest_watch = id;
            look_within(w, 0);
        }
        all = all && (id >= 0 || errno == ENOENT || errno == ENOTDIR);
    }
    return all;
}

enum wr_status wr_watchdir_config(
    const struct wr_watchdir *w, struct wr_arena *a, struct wr_config *ret)
{
    size_t n = w->config->nown;
    struct wr_config_db *dbs = wr_arena_array(a, n + w->n, sizeof(*dbs));

    if (!dbs)
        return WR_NOMEM;
    for (size_t i = 0; i < n; i++)
        dbs[i] = w->config->dbs[i];
    for (size_t i = 0; i < w->n; i++)
        dbs[n + i] = *w->found[i].db;
    *ret = *w->config;
    ret->dbs = dbs;
    ret->ndbs = n + w->n;
    return WR_OK;
}

/* What is refused, as often as that changes. */
static void say_refused(struct wr_watchdir *w, const struct wr_config *c, size_t dir)
{
    uint64_t sum = 0;

    for (const struct wr_warning *x = c->warnings; x; x = x->next)
        sum = wr_crc64(sum, x->text, strlen(x->text));
    for (const struct wr_warning *x = sum != w->refused[dir] ? c->warnings : NULL; x; x = x->next)
        wr_say(w->log, WEIR_LOG_WARN, "directory of databases", WR_F_Z("warning", x->text));
    w->refused[dir] = sum;
}

/* One directory: what clashes in it does not keep the others from being looked at. */
static void look_at(struct wr_watchdir *w, size_t dir, bool *all_watched, size_t *headless)
{
    struct wr_dirs_seen seen = {0};
    struct wr_config c;
    struct wr_arena a;
    struct wr_err e = {0};
    size_t known;

    wr_arena_init(&a, WR_ARENA_MAX);
    if (wr_watchdir_config(w, &a, &c) != WR_OK)
        goto out;
    c.dirs = &w->dirs[dir];
    c.ndirs = 1;
    c.warnings = NULL;
    known = c.ndbs;
    if (wr_dirs_expand(&a, &c, true, WR_DIRS_SIFTED, &seen, &e) != WR_OK) {
        if (absent(w, w->dirs[dir].path, e.text))
            wr_say(w->log, WEIR_LOG_ERROR, "new databases of a directory are not replicated",
                WR_F_Z("path", w->dirs[dir].path), WR_F_Z("error", e.text));
        goto out;
    }
    say_refused(w, &c, dir);
    for (size_t i = 0; i < seen.nrefused; i++)
        if (!seen.refused[i].twin)
            (void)absent(w, seen.refused[i].path, seen.refused[i].why); /* say_refused has */
    for (size_t i = known; i < c.ndbs; i++)
        add_found(w, &c.dbs[i]);
    *all_watched = watch_all(w, &seen) && *all_watched;
    *headless += seen.nheadless;
out:
    wr_arena_release(&a);
}

static void look(struct wr_watchdir *w)
{
    bool all_watched = true;
    size_t headless = 0;

    w->due_ns = now_ns() + (w->blind ? BLIND_NS : EVERY_NS);
    wr_absent_begin(wr_fleet_absent(w->fleet), WR_ABSENT_DIRS);
    for (size_t i = 0; i < w->ndirs; i++)
        look_at(w, i, &all_watched, &headless);
    wr_absent_end(wr_fleet_absent(w->fleet), WR_ABSENT_DIRS);
    remove_deleted(w);
    if (!all_watched && !w->blind) {
        w->blind = true;
        wr_say(w->log, WEIR_LOG_WARN,
            "not all directories can be watched, looking every 10 seconds instead; "
            "fs.inotify.max_user_watches may be too low",
            WR_F_U64("dirs", w->ndirs));
    }
    w->headless_ns = headless ? wr_min(2 * w->headless_ns, EVERY_NS) : SECOND_NS / 2;
    if (headless)
        look_within(w, w->headless_ns);
}

static void take_events(struct wr_watchdir *w)
{
    _Alignas(struct inotify_event) char buf[8192];
    ssize_t n = read(w->inotify, buf, sizeof(buf));
    const char *p = buf;

    while (n >= (ssize_t)sizeof(struct inotify_event)) {
        const struct inotify_event *ev = (const void *)p;
        size_t size = sizeof(*ev) + ev->len;

        if (ev->len == 0 || !wr_config_beside(wr_str(ev->name))) {
            w->headless_ns = SECOND_NS / 2;
            look_within(w, SETTLE_NS);
        }
        p += size;
        n -= (ssize_t)size;
    }
}

static void run(void *arg)
{
    struct wr_watchdir *w = arg;

    for (;;) {
        struct pollfd fds[] = {
            {.fd = w->stop[0], .events = POLLIN}, {.fd = w->inotify, .events = POLLIN}};
        int64_t wait_ms = (w->due_ns - now_ns() + 999999) / 1000000;
        int ready = poll(fds, 2, (int)wr_max(wait_ms, (int64_t)0));

        if (ready < 0 && errno == EINTR)
            continue;
        if (fds[0].revents)
            return;
        if (fds[1].revents)
            take_events(w);
        if (now_ns() >= w->due_ns)
            look(w);
    }
}

static enum wr_status begin(struct wr_watchdir *w, struct wr_err *e)
{
    const struct wr_config *c = w->config;

    w->dirs = wr_array(c->ndirs, sizeof(*w->dirs));
    w->refused = wr_array(c->ndirs, sizeof(*w->refused));
    if (!w->dirs || !w->refused)
        return wr_fail(e, WR_NOMEM, "out of memory");
    for (size_t i = 0; i < c->ndirs; i++)
        if (c->dirs[i].watch)
            w->dirs[w->ndirs++] = c->dirs[i];
    for (size_t i = c->nown; i < c->ndbs; i++)
        if (!remember(w, &c->dbs[i]))
            return wr_fail(e, WR_NOMEM, "out of memory");
    if (pipe(w->stop) != 0)
        return wr_fail_errno(e, errno, "make a pipe");
    if (fcntl(w->stop[0], F_SETFD, FD_CLOEXEC) != 0 || fcntl(w->stop[1], F_SETFD, FD_CLOEXEC) != 0)
        return wr_fail_errno(e, errno, "set up a pipe");
    w->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    w->headless_ns = SECOND_NS / 2;
    w->due_ns = now_ns(); /* something may have come since the start looked */
    return wr_thread_start(&w->thread, "directories", 0, run, w, e);
}

enum wr_status wr_watchdir_new(const struct wr_config *c, struct wr_fleet *fleet,
    struct wr_logger *log, int64_t last_sync_ms, struct wr_watchdir **ret, struct wr_err *e)
{
    struct wr_watchdir *w;
    enum wr_status st;
    bool any = false;

    *ret = NULL;
    for (size_t i = 0; i < c->ndirs; i++)
        any = any || c->dirs[i].watch;
    if (!any)
        return WR_OK;
    w = wr_alloc(sizeof(*w));
    if (!w)
        return wr_fail(e, WR_NOMEM, "out of memory");
    w->config = c;
    w->fleet = fleet;
    w->log = log;
    w->last_sync_ms = last_sync_ms;
    w->inotify = w->stop[0] = w->stop[1] = -1;
    st = begin(w, e);
    w->running = st == WR_OK;
    if (st == WR_OK)
        *ret = w;
    else
        wr_watchdir_free(w);
    return st;
}

void wr_watchdir_stop(struct wr_watchdir *w)
{
    if (!w || !w->running)
        return;
    (void)close(w->stop[1]); /* what is awaited at the other end */
    w->stop[1] = -1;
    wr_thread_join(&w->thread);
    w->running = false;
}

void wr_watchdir_free(struct wr_watchdir *w)
{
    if (!w)
        return;
    assert(!w->running);
    wr_absent_begin(wr_fleet_absent(w->fleet), WR_ABSENT_DIRS); /* who comes next looks anew */
    wr_absent_end(wr_fleet_absent(w->fleet), WR_ABSENT_DIRS);
    for (size_t i = 0; i < w->n; i++)
        wr_free(w->found[i].db);
    for (int i = 0; i < 2; i++)
        if (w->stop[i] >= 0)
            (void)close(w->stop[i]); /* nothing is in it */
    if (w->inotify >= 0)
        (void)close(w->inotify);
    wr_free(w->found);
    wr_free(w->dirs);
    wr_free(w->refused);
    wr_free(w);
}
