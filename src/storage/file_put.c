/*
 * file_put.c - makes a file appear whole and durable under its name, or not at all.
 *
 * Knows nothing of URLs and listings. The happy path:
 *
 *     1. create <key>.<16 hex>.tmp, exclusively, with the directories it needs, and lock it
 *     2. write, set the time, fsync
 *     3. rename to <key>; if_absent links instead, which fails when the name is taken
 *     4. fsync the directory
 *
 * A crash before 3 leaves a .tmp file that no listing shows; whoever is the next to write into that
 * directory removes it (file_sweep.c), which the lock keeps off files that are being written. After
 * 3 the object is whole. Directories need an fsync of their parents: when they are created, and
 * once more for the root and each directory that this handle writes into, as whoever created it may
 * have died between mkdir and fsync.
 *
 * if_match compares and renames under a lock on <dir>/.weir-lock, which excludes all other if_match
 * puts into that directory, of any process. It does not exclude unconditional puts and removes: who
 * shares a key by if_match uses nothing else on it. A version is inode, size and time, and the
 * inode that a rename sets free may be given out again within the same millisecond; so a put under
 * the lock also makes the time later than its predecessor's, by a millisecond where it must.
 */
#include "storage/file_int.h"

#include "base/buf.h"
#include "base/crypto.h"
#include "base/mem.h"

#define TEMP_RANDOM 8    /* bytes */
#define EXTRA_MAX   64   /* bytes that any name of ours is longer than the object's path */
#define PATHS_MAX   8192 /* bytes of a path */
#define FLUSH       ((uint64_t)8 << 20) /* bytes that do not wait for the fsync */
#define DIR_MODE    0700                /* as Litestream, where it cannot ask the database */
#define FILE_MODE   0600

/* An object that is being written: a put, or an upload. Its strings follow in its block. */
struct wr_upload {
    struct wr_disk *d;
    struct wr_file *f;       /* NULL: not created, or closed */
    char *path, *temp, *dir; /* of the object, of what is written, of both */
    struct wr_str key, if_match;
    bool if_absent, made; /* made: `temp` is there and ours */
    int64_t time_ms;
    uint64_t size;    /* bytes written */
    uint64_t flushed; /* of these, on their way to the disk */
};

/* ---- directories ---- */

/* Cut `path` at its `n`-th byte for the time of one call. */
static enum wr_status sync_parent(const struct wr_fs *fs, char *path, size_t n, struct wr_err *e)
{
    char kept = path[n];

    path[n] = '\0';
    enum wr_status st = fs->sync_dir(fs, n > 0 ? path : "/", e);
    path[n] = kept;
    return st;
}

/* Create what is missing of `dir`, each new directory durable before anything is put into it. Those
 * from `root_n` bytes on are settled later in any case. */
static enum wr_status make_dirs(const struct wr_fs *fs, char *dir, size_t root_n, struct wr_err *e)
{
    size_t size = strlen(dir);
    size_t n = size; /* dir[0..n) exists; bytes beyond are cut into segments */
    struct wr_file_info info;
    enum wr_status st = WR_OK;

    while (n > 0 && (st = fs->stat(fs, dir, &info, e)) == WR_NOTFOUND) {
        while (n > 0 && dir[n - 1] != '/')
            n--;
        n -= n > 0;
        dir[n] = '\0';
    }
    if (n > 0 && st != WR_OK)
        goto out;
    st = n > 0 && n < root_n ? wr_dir_settle(fs, dir, e) : WR_OK;
    while (n < size && st == WR_OK) {
        dir[n] = '/';
        st = fs->mkdir(fs, dir, DIR_MODE, e);
        if (st == WR_CONFLICT) /* somebody else was faster, and may not have synced yet */
            st = WR_OK;
        if (st == WR_OK)
            st = sync_parent(fs, dir, n, e);
        n = strlen(dir);
    }
out:
    for (size_t i = 0; i < size; i++) {
        if (dir[i] == '\0')
            dir[i] = '/';
    }
    return st;
}

/* What is noted of `dir`, or NULL. The caller holds the mutex. */
static struct wr_disk_dir *noted(struct wr_disk *d, const char *dir)
{
    assert(wr_mutex_mine(&d->mutex));
    for (size_t i = 0; i < WR_FILE_DIRS_MAX; i++) {
        if (d->dirs[i].path && strcmp(d->dirs[i].path, dir) == 0)
            return &d->dirs[i];
    }
    return NULL;
}

static bool is_done(struct wr_disk *d, const char *dir, enum wr_disk_done what)
{
    wr_mutex_lock(&d->mutex);
    const struct wr_disk_dir *known = noted(d, dir);
    bool done = known && (known->done & what);
    wr_mutex_unlock(&d->mutex);
    return done;
}

/* Without memory for the note, the next put does it once more. */
static void note_done(struct wr_disk *d, const char *dir, enum wr_disk_done what)
{
    char *copy = wr_strndup(dir, strlen(dir));

    if (!copy)
        return;
    wr_mutex_lock(&d->mutex);
    struct wr_disk_dir *known = noted(d, dir);
    if (!known) {
        known = &d->dirs[d->turn];
        d->turn = (d->turn + 1) % WR_FILE_DIRS_MAX;
        char *old = known->path;
        *known = (struct wr_disk_dir){.path = copy};
        copy = old;
    }
    known->done |= what;
    wr_mutex_unlock(&d->mutex);
    wr_free(copy);
}

/* The root's own name, which another process may have made. */
static enum wr_status settle_root(struct wr_disk *d, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    if (d->root.n > 0 && !is_done(d, d->root.p, WR_DISK_DURABLE)) {
        st = wr_dir_settle(d->fs, d->root.p, e);
        if (st == WR_OK)
            note_done(d, d->root.p, WR_DISK_DURABLE);
    }
    return st;
}

/* Make the names of all directories from the root down to `dir` durable. */
static enum wr_status settle(struct wr_disk *d, char *dir, struct wr_err *e)
{
    enum wr_status st;

    if (is_done(d, dir, WR_DISK_DURABLE))
        return WR_OK;
    st = settle_root(d, e);
    for (size_t n = d->root.n; dir[n] && st == WR_OK;) {
        st = sync_parent(d->fs, dir, n, e);
        n++;
        while (dir[n] && dir[n] != '/')
            n++;
    }
    if (st == WR_OK)
        note_done(d, dir, WR_DISK_DURABLE);
    return st;
}

/* ---- one file ---- */

/* Lay the strings of an upload out behind it. */
static enum wr_status new_upload(struct wr_disk *d, struct wr_str key, const struct wr_put_opts *o,
    struct wr_upload **ret, struct wr_err *e)
{
    uint8_t random[TEMP_RANDOM];
    char hex[2 * TEMP_RANDOM + 1];
    size_t room = d->root.n + key.n + EXTRA_MAX;
    enum wr_status st = wr_disk_check(key, e);

    if (st != WR_OK)
        return st;
    if (d->root.n + key.n > PATHS_MAX)
        return wr_fail(e, WR_LIMIT, "file: path too long");
    st = wr_random(random, sizeof(random), e);
    if (st != WR_OK)
        return st;
    wr_hex(random, sizeof(random), hex);

    struct wr_upload *u = wr_alloc(sizeof(*u) + 3 * room + o->if_match.n);
    if (!u)
        return wr_fail(e, WR_NOMEM, "file: out of memory");
    u->d = d;
    u->path = (char *)(u + 1);
    u->temp = u->path + room;
    u->dir = u->temp + room;
    (void)snprintf(u->path, room, WR_FMT "/" WR_FMT, WR_ARG(d->root), WR_ARG(key));
    (void)snprintf(u->temp, room, "%s.%s.tmp", u->path, hex);
    struct wr_str dir = wr_path_dir(u->path);
    memcpy(u->dir, dir.p, dir.n);
    u->key = (struct wr_str){u->path + d->root.n + 1, key.n};
    u->if_match = (struct wr_str){u->dir + room, o->if_match.n};
    if (o->if_match.n)
        memcpy(u->dir + room, o->if_match.p, o->if_match.n);
    u->if_absent = o->if_absent;
    u->time_ms = o->time_ms;
    *ret = u;
    return WR_OK;
}

static enum wr_status create(struct wr_upload *u, struct wr_err *e)
{
    const unsigned flags = WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_EXCL;
    assert(u);
    const struct wr_fs *fs = u->d->fs;
    enum wr_status st = wr_file_open(fs, u->temp, flags, FILE_MODE, &u->f, e);

    if (st == WR_NOTFOUND) {
        st = make_dirs(fs, u->dir, u->d->root.n, e);
        if (st == WR_OK)
            st = wr_file_open(fs, u->temp, flags, FILE_MODE, &u->f, e);
    }
    u->made = st == WR_OK;
    /* A sweep may have got hold of the file before us: then it is as good as gone. Where there are
     * no locks, as on some network file systems, sweeps go by age. */
    if (st == WR_OK && fs->lock(u->f, NULL) == WR_BUSY)
        return wr_fail(e, WR_BUSY, "file: %s was taken for a leftover, try again", u->temp);
    /* NOTFOUND would tell the caller of a missing object, CONFLICT of a present one. */
    if (st == WR_NOTFOUND || st == WR_CONFLICT)
        st = wr_wrap(e, WR_IO, "file: create");
    return st;
}

/* Once for each directory, and before the first byte: what is left over may be what fills the disk.
 */
static void sweep_once(struct wr_upload *u, struct wr_call *c)
{
    struct wr_file_info info = {0};

    if (is_done(u->d, u->dir, WR_DISK_SWEPT))
        return;
    note_done(u->d, u->dir, WR_DISK_SWEPT);
    if (wr_file_info(u->f, &info, NULL) == WR_OK)
        wr_disk_sweep(u->d->fs, c, u->dir, wr_path_base(u->temp), info.changed_ms);
}

/* Replace the object if it still is the version asked for. The caller holds the lock. */
static enum wr_status replace_matching(struct wr_upload *u, struct wr_err *e)
{
    const struct wr_fs *fs = u->d->fs;
    struct wr_file_info old = {0}, new = {0};
    char version[WR_FILE_VERSION_MAX] = "";
    enum wr_status st = fs->stat(fs, u->path, &old, e);

    if (st == WR_OK)
        wr_disk_version(&old, version);
    if (st == WR_NOTFOUND || (st == WR_OK && !wr_str_eq(u->if_match, wr_str(version))))
        return wr_fail(e, WR_CONFLICT, "file: another version is there");
    if (st == WR_OK)
        st = wr_file_info(u->f, &new, e);
    if (st == WR_OK && new.mtime_ms <= old.mtime_ms) {
        st = fs->set_mtime(u->f, old.mtime_ms + 1, e);
        if (st == WR_OK)
            st = wr_file_sync(u->f, e);
    }
    return st == WR_OK ? fs->rename(fs, u->temp, u->path, e) : st;
}

/* The lock file is never removed: whoever waits for it might hold the old one. */
static enum wr_status rename_matching(struct wr_upload *u, struct wr_err *e)
{
    struct wr_file *lock = NULL;
    char name[PATHS_MAX + EXTRA_MAX];

    (void)snprintf(name, sizeof(name), "%s/%s", u->dir, WR_FILE_LOCK_NAME);
    enum wr_status st = wr_file_open(
        u->d->fs, name, WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE, FILE_MODE, &lock, e);
    if (st == WR_OK)
        st = lock->fs->lock(lock, e);
    if (st == WR_OK)
        st = replace_matching(u, e);
    wr_file_close(lock);
    return st;
}

static enum wr_status give_name(struct wr_upload *u, struct wr_err *e)
{
    const struct wr_fs *fs = u->d->fs;

    if (u->if_match.n)
        return rename_matching(u, e);
    if (u->if_absent)
        return fs->rename_new(fs, u->temp, u->path, e);
    return fs->rename(fs, u->temp, u->path, e);
}

/* Memory for what the caller learns comes first: once the object has its name, only the disk may
 * fail. */
static enum wr_status finish(
    struct wr_upload *u, struct wr_call *c, struct wr_object *out, struct wr_err *e)
{
    struct wr_file_info info = {0};
    char *version = wr_arena_alloc(c->scratch, WR_FILE_VERSION_MAX);
    struct wr_str key = wr_arena_str(c->scratch, u->key);

    if (!version || !key.p)
        return wr_fail(e, WR_NOMEM, "file: out of memory");
    enum wr_status st = wr_call_check(c, "put", e);
    if (st == WR_OK && u->time_ms)
        st = u->f->fs->set_mtime(u->f, u->time_ms, e);
    if (st == WR_OK)
        st = wr_file_sync(u->f, e);
    if (st == WR_OK)
        st = settle(u->d, u->dir, e);
    if (st == WR_OK)
        st = give_name(u, e);
    u->made = st != WR_OK;
    if (st == WR_OK)
        st = u->d->fs->sync_dir(u->d->fs, u->dir, e);
    if (st == WR_OK && out)
        st = wr_file_info(u->f, &info, e);
    if (st == WR_NOTFOUND) /* the directory was taken away under us: no answer about the object */
        return wr_wrap(e, WR_IO, "file: finish");
    if (st != WR_OK)
        return st;
    if (!out)
        return WR_OK;
    wr_disk_version(&info, version);
    *out = (struct wr_object){
        .key = key, .size = info.size, .time_ms = info.mtime_ms, .version = wr_str(version)};
    return WR_OK;
}

/* ---- the slots ---- */

enum wr_status wr_disk_upload_begin(void *self, struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, struct wr_upload **out, struct wr_err *e)
{
    struct wr_upload *u = NULL;
    enum wr_status st = wr_call_check(c, "put", e);

    if (st == WR_OK)
        st = new_upload(self, key, o, &u, e);
    if (st == WR_OK)
        st = create(u, e);
    if (st != WR_OK) {
        if (u)
            wr_disk_upload_abort(u, c);
        return st;
    }
    sweep_once(u, c);
    *out = u;
    return WR_OK;
}

/* The disk works while the rest is made: else all of a large object would be left to the fsync, and
 * the application's own would wait behind it. */
static void flush_some(struct wr_upload *u)
{
    if (u->size - u->flushed < FLUSH)
        return;
    u->f->fs->flush_hint(u->f, u->flushed, u->size - u->flushed);
    u->flushed = u->size;
}

/* A part that is sent again overwrites what its first attempt wrote. */
enum wr_status wr_disk_upload_part(
    struct wr_upload *u, struct wr_call *c, struct wr_bytes part, struct wr_err *e)
{
    enum wr_status st = wr_call_check(c, "put", e);

    if (st == WR_OK && part.n)
        st = wr_file_pwrite(u->f, part.p, part.n, u->size, e);
    if (st != WR_OK)
        return st;
    u->size += part.n;
    flush_some(u);
    return WR_OK;
}

enum wr_status wr_disk_upload_commit(
    struct wr_upload *u, struct wr_call *c, struct wr_object *out, struct wr_err *e)
{
    enum wr_status st = finish(u, c, out, e);

    wr_disk_upload_abort(u, c);
    return st;
}

void wr_disk_upload_abort(struct wr_upload *u, struct wr_call *c)
{
    const struct wr_fs *fs = u->d->fs;

    (void)c;
    wr_file_close(u->f);
    if (u->made)
        (void)fs->remove(fs, u->temp, NULL); /* else it stays behind, hidden and harmless */
    wr_free(u);
}

enum wr_status wr_disk_put(void *self, struct wr_call *c, struct wr_str key, struct wr_bytes body,
    const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e)
{
    struct wr_upload *u = NULL;
    enum wr_status st = wr_disk_upload_begin(self, c, key, o, &u, e);

    if (st != WR_OK)
        return st;
    st = wr_disk_upload_part(u, c, body, e);
    if (st == WR_OK)
        return wr_disk_upload_commit(u, c, out, e);
    wr_disk_upload_abort(u, c);
    return st;
}
