/*
 * test_file.c - the file driver: the storage contract on a real directory, the order of what makes
 * an object durable, failures of every step, names that must not be.
 */
#include "base/file.h"
#include "base/mem.h"
#include "contract/storage_contract.h"
#include "storage/drivers.h"

#include <sys/stat.h>
#include <unistd.h>

struct place {
    const char *root; /* what open opened last */
};

static enum wr_status open_again(void *arg, struct wr_storage **ret, struct wr_err *e)
{
    struct place *p = arg;
    void *self = NULL;
    enum wr_status st = wr_storage_file_new(wr_fs_posix(), wr_str(p->root), &self, e);

    return st == WR_OK ? wr_storage_wrap(&wr_storage_file, self, WR_STR(""), ret, e) : st;
}

/* The root is not there yet: a missing one is an empty bucket, and the first put creates it. */
static enum wr_status open_fresh(void *arg, struct wr_storage **ret, struct wr_err *e)
{
    struct place *p = arg;

    p->root = t_path(t_tmpdir(), "backup/app");
    return open_again(arg, ret, e);
}

/* ---- a disk that notes what is done to it, and fails once ---- */

struct trace {
    struct wr_fs fs;
    int64_t fail_at; /* steps until one fails; negative: none */
    bool failed;
    char failed_at;    /* letter of the step that failed */
    bool early;        /* nothing had been written by then */
    char synced[1024]; /* directories, each with a line feed */
    char log[2048];    /* one letter a step that changes something */
    size_t n;
};

struct traced_file {
    struct wr_file file;
    struct wr_file *inner;
};

static struct trace *trace_of(const struct wr_fs *fs)
{
    return wr_container_of((void *)(uintptr_t)fs, struct trace, fs);
}

static struct wr_file *inner_of(struct wr_file *f)
{
    return wr_container_of(f, struct traced_file, file)->inner;
}

static enum wr_status step(const struct wr_fs *fs, char letter, struct wr_err *e)
{
    struct trace *t = trace_of(fs);

    if (t->fail_at >= 0 && t->fail_at-- == 0) {
        t->failed = true;
        t->failed_at = letter;
        t->early = !memchr(t->log, 'w', t->n);
        return wr_fail(e, WR_IO, "the disk is broken");
    }
    if (t->n + 1 < sizeof(t->log))
        t->log[t->n++] = letter;
    return WR_OK;
}

static enum wr_status t_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    struct traced_file *f;
    enum wr_status st = step(fs, flags & WR_FILE_CREATE ? 'o' : 'r', e);

    if (st != WR_OK)
        return st;
    f = wr_alloc(sizeof(*f));
    if (!f)
        return wr_fail(e, WR_NOMEM, "out of memory");
    f->file.fs = fs;
    st = wr_file_open(wr_fs_posix(), path, flags, mode, &f->inner, e);
    if (st == WR_OK)
        *ret = &f->file;
    else
        wr_free(f);
    return st;
}

static void t_close(struct wr_file *f)
{
    wr_file_close(inner_of(f));
    wr_free(wr_container_of(f, struct traced_file, file));
}

static enum wr_status t_pread(
    struct wr_file *f, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    enum wr_status st = step(f->fs, 'g', e);

    return st == WR_OK ? wr_file_pread(inner_of(f), buf, n, off, got, e) : st;
}

static enum wr_status t_pwrite(
    struct wr_file *f, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    enum wr_status st = step(f->fs, 'w', e);

    return st == WR_OK ? wr_file_pwrite(inner_of(f), buf, n, off, e) : st;
}

static enum wr_status t_sync(struct wr_file *f, struct wr_err *e)
{
    enum wr_status st = step(f->fs, 's', e);

    return st == WR_OK ? wr_file_sync(inner_of(f), e) : st;
}

static void t_flush_hint(struct wr_file *f, uint64_t off, uint64_t n)
{
    struct wr_file *inner = inner_of(f);

    if (step(f->fs, 'f', NULL) == WR_OK)
        inner->fs->flush_hint(inner, off, n);
}

static enum wr_status t_info(struct wr_file *f, struct wr_file_info *ret, struct wr_err *e)
{
    enum wr_status st = step(f->fs, 'i', e);

    return st == WR_OK ? wr_file_info(inner_of(f), ret, e) : st;
}

static enum wr_status t_lock(struct wr_file *f, struct wr_err *e)
{
    enum wr_status st = step(f->fs, 'l', e);
    struct wr_file *inner = inner_of(f);

    return st == WR_OK ? inner->fs->lock(inner, e) : st;
}

static enum wr_status t_set_mtime(struct wr_file *f, int64_t mtime_ms, struct wr_err *e)
{
    enum wr_status st = step(f->fs, 't', e);
    struct wr_file *inner = inner_of(f);

    return st == WR_OK ? inner->fs->set_mtime(inner, mtime_ms, e) : st;
}

static enum wr_status t_stat(
    const struct wr_fs *fs, const char *path, struct wr_file_info *ret, struct wr_err *e)
{
    const struct wr_fs *p = wr_fs_posix();
    enum wr_status st = step(fs, '?', e);

    return st == WR_OK ? p->stat(p, path, ret, e) : st;
}

static enum wr_status t_rename(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e)
{
    const struct wr_fs *p = wr_fs_posix();
    enum wr_status st = step(fs, 'R', e);

    return st == WR_OK ? p->rename(p, from, to, e) : st;
}

static enum wr_status t_rename_new(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e)
{
    const struct wr_fs *p = wr_fs_posix();
    enum wr_status st = step(fs, 'N', e);

    return st == WR_OK ? p->rename_new(p, from, to, e) : st;
}

static enum wr_status t_remove(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    const struct wr_fs *p = wr_fs_posix();
    enum wr_status st = step(fs, 'x', e);

    return st == WR_OK ? p->remove(p, path, e) : st;
}

static enum wr_status t_mkdir(
    const struct wr_fs *fs, const char *path, uint32_t mode, struct wr_err *e)
{
    const struct wr_fs *p = wr_fs_posix();
    enum wr_status st = step(fs, 'm', e);

    return st == WR_OK ? p->mkdir(p, path, mode, e) : st;
}

static enum wr_status t_sync_dir(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    const struct wr_fs *p = wr_fs_posix();
    enum wr_status st = step(fs, 'S', e);
    char *synced = trace_of(fs)->synced;
    size_t n = strlen(synced), room = sizeof(trace_of(fs)->synced) - n;

    (void)snprintf(synced + n, room, "%s\n", path);

    return st == WR_OK ? p->sync_dir(p, path, e) : st;
}

static enum wr_status t_list(
    const struct wr_fs *fs, const char *path, wr_dir_fn *fn, void *arg, struct wr_err *e)
{
    const struct wr_fs *p = wr_fs_posix();
    enum wr_status st = step(fs, 'L', e);

    return st == WR_OK ? p->list(p, path, fn, arg, e) : st;
}

static void trace_init(struct trace *t)
{
    *t = (struct trace){
        .fs = {.open = t_open,
            .close = t_close,
            .pread = t_pread,
            .pwrite = t_pwrite,
            .sync = t_sync,
            .flush_hint = t_flush_hint,
            .info = t_info,
            .lock = t_lock,
            .set_mtime = t_set_mtime,
            .stat = t_stat,
            .lstat = wr_fs_posix()->lstat,
            .rename = t_rename,
            .rename_new = t_rename_new,
            .remove = t_remove,
            .mkdir = t_mkdir,
            .sync_dir = t_sync_dir,
            .list = t_list},
        .fail_at = -1,
    };
}

/* What has happened since the last time. */
static const char *steps(struct trace *t)
{
    t->log[t->n] = '\0';
    t->n = 0;
    return t->log;
}

static void *disk_at(const struct wr_fs *fs, const char *root)
{
    struct wr_err e = {0};
    void *self = NULL;

    T_OK(wr_storage_file_new(fs, wr_str(root), &self, &e));
    return self;
}

static struct wr_bytes text(const char *z)
{
    return (struct wr_bytes){(const uint8_t *)z, strlen(z)};
}

static enum wr_status put(void *disk, const char *key, const char *body, struct wr_put_opts o)
{
    return wr_storage_file.put(disk, t_call(), wr_str(key), text(body), &o, NULL, NULL);
}

/* ---- order of what makes things durable ---- */

static void bytes_before_name_before_answer(void **state)
{
    struct trace t;
    struct wr_put_opts plain = {0};
    const char *root = t_path(t_tmpdir(), "r");

    (void)state;
    trace_init(&t);
    void *disk = disk_at(&t.fs, root);
    /* The file cannot be created; two directories are missing: the one above them is synced into
     * its parent, then each is made and synced. Then the file, locked; a look for what others left
     * (our own is not looked at); then the names of the root and of all directories below; then the
     * rename. */
    T(put(disk, "a/k", "v", plain) == WR_OK);
    assert_string_equal(steps(&t), "o???SmSmSoliLwsSSRS");
    /* The next one in that directory pays for itself only. */
    T(put(disk, "a/l", "v", (struct wr_put_opts){.time_ms = 1000}) == WR_OK);
    assert_string_equal(steps(&t), "olwtsRS");
    T(put(disk, "a/m", "v", (struct wr_put_opts){.if_absent = true}) == WR_OK);
    assert_string_equal(steps(&t), "olwsNS");
    wr_storage_file.close(disk);
    /* A new handle does not know whether its predecessor got as far as the fsync. */
    disk = disk_at(&t.fs, root);
    T(put(disk, "a/k", "w", plain) == WR_OK);
    assert_string_equal(steps(&t), "oliLwsSSRS");
    wr_storage_file.close(disk);
}

/* All of a large object waited for the fsync at its end: the disk stood still for as long as it was
 * made, and whoever else wanted a flush then stood behind it. */
static void a_large_object_waits_for_its_end(void **state)
{
    const size_t n = (size_t)3 << 20;
    struct wr_put_opts o = {0};
    struct wr_upload *u = NULL;
    struct wr_err e = {0};
    struct trace t;

    (void)state;
    trace_init(&t);
    void *disk = disk_at(&t.fs, t_tmpdir());
    uint8_t *part = wr_alloc(n);
    T(part && put(disk, "k", "v", o) == WR_OK);
    (void)steps(&t);
    T_OK(wr_storage_file.upload_begin(disk, t_call(), WR_STR("l"), &o, &u, &e));
    for (int i = 0; i < 7; i++)
        T_OK(wr_storage_file.upload_part(u, t_call(), (struct wr_bytes){part, n}, &e));
    T_OK(wr_storage_file.upload_commit(u, t_call(), NULL, &e));
    assert_string_equal(steps(&t), "olwwwfwwwfwsRS");
    wr_free(part);
    wr_storage_file.close(disk);
}

/* Whoever made a directory was killed before its fsync: who finds it there syncs it. */
static void a_directory_found_is_lost_in_a_power_cut(void **state)
{
    const char *dir = t_tmpdir(), *root = t_path(dir, "above/r");
    char want[1024];
    struct trace t;

    (void)state;
    for (int made = 1; made <= 3; made++) {
        T(mkdir(t_path(dir, made == 1 ? "above" : made == 2 ? "above/r" : "above/r/a"), 0700) == 0);
        trace_init(&t);
        void *disk = disk_at(&t.fs, root);
        T(put(disk, "a/k", "v", (struct wr_put_opts){0}) == WR_OK);
        (void)snprintf(want, sizeof(want), "%s\n", dir);
        T(made != 1 || strstr(t.synced, want));
        (void)snprintf(want, sizeof(want), "%s/above\n", dir);
        T(strstr(t.synced, want) != NULL);
        (void)snprintf(want, sizeof(want), "%s\n", root);
        T(strstr(t.synced, want) != NULL);
        wr_storage_file.close(disk);
        T(unlink(t_path(root, "a/k")) == 0 && rmdir(t_path(root, "a")) == 0);
        T(made > 1 || rmdir(root) == 0);
    }
}

static void removals_sync_each_directory_once(void **state)
{
    struct trace t;
    struct wr_err e = {0};
    struct wr_str keys[] = {
        WR_STR("a/1"), WR_STR("a/2"), WR_STR("a/missing"), WR_STR("b/1"), WR_STR("none/1")};

    (void)state;
    trace_init(&t);
    void *disk = disk_at(&t.fs, t_tmpdir());
    T(put(disk, "a/1", "v", (struct wr_put_opts){0}) == WR_OK);
    T(put(disk, "a/2", "v", (struct wr_put_opts){0}) == WR_OK);
    T(put(disk, "b/1", "v", (struct wr_put_opts){0}) == WR_OK);
    (void)steps(&t);
    T_OK(wr_storage_file.remove(disk, t_call(), keys, wr_countof(keys), &e));
    assert_string_equal(steps(&t), "?x?x??xS?S");
    wr_storage_file.close(disk);
}

static size_t count_files(const char *dir)
{
    static const char *const ours[] = {"k", ".weir-lock"};
    size_t n = 0;
    struct wr_file_info info;
    const struct wr_fs *p = wr_fs_posix();

    for (size_t i = 0; i < wr_countof(ours); i++)
        n += p->stat(p, t_path(dir, ours[i]), &info, NULL) == WR_OK;
    return n;
}

static bool count_entry(void *arg, const char *name)
{
    (void)name;
    (*(size_t *)arg)++;
    return true;
}

/* Whether a put goes on without the step that failed: before the first byte is written, the lock on
 * the temporary file and the look for what others left. */
static bool excused(const struct trace *t)
{
    return t->failed && t->early && strchr("liL", t->failed_at);
}

/* Every step of every kind of put fails once. The object is the old one or the new one, whole; on
 * success it is the new one; no temporary file stays, unless it was its removal that failed. */
static void any_step_may_fail(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        bool failed = true;
        for (int64_t at = 0; failed; at++) {
            struct trace t;
            struct wr_err e = {0};
            const struct wr_fs *p = wr_fs_posix();
            const char *root = t_path(t_tmpdir(), "x");
            struct wr_object about = {0};
            struct wr_put_opts o = {.time_ms = kind == 1 ? 12345 : 0, .if_absent = kind == 2};
            char got[8] = {0};
            size_t n = 0, entries = 0;

            trace_init(&t);
            void *disk = disk_at(&t.fs, root);
            if (kind != 2) {
                T(put(disk, "k", "old", (struct wr_put_opts){0}) == WR_OK);
                T_OK(wr_storage_file.stat(disk, t_call(), WR_STR("k"), &about, &e));
            }
            if (kind == 3)
                o.if_match = about.version;
            (void)steps(&t);
            t.fail_at = at;
            enum wr_status st = put(disk, "k", "new", o);
            failed = t.failed;
            t.fail_at = -1;
            T(st == (failed && !excused(&t) ? WR_IO : WR_OK));
            enum wr_status have =
                wr_storage_file.get(disk, t_call(), WR_STR("k"), 0, got, 7, &n, NULL, &e);
            T(have == WR_OK || (kind == 2 && have == WR_NOTFOUND && st != WR_OK));
            T(strcmp(got, "new") == 0 || (st != WR_OK && (have != WR_OK || !strcmp(got, "old"))));
            if (p->list(p, root, count_entry, &entries, NULL) == WR_OK)
                T(entries == count_files(root));
            T(put(disk, "k", "again", (struct wr_put_opts){0}) == WR_OK);
            wr_storage_file.close(disk);
        }
    }
}

static bool count_object(void *arg, const struct wr_object *obj)
{
    (void)obj;
    (*(size_t *)arg)++;
    return true;
}

static void any_step_of_a_listing_may_fail(void **state)
{
    struct trace t;
    bool failed = true;

    (void)state;
    trace_init(&t);
    void *disk = disk_at(&t.fs, t_tmpdir());
    T(put(disk, "a/1", "v", (struct wr_put_opts){0}) == WR_OK);
    T(put(disk, "b/1", "v", (struct wr_put_opts){0}) == WR_OK);
    for (int64_t at = 0; failed; at++) {
        size_t n = 0;
        t.failed = false;
        t.fail_at = at;
        enum wr_status st =
            wr_storage_file.list(disk, t_call(), WR_STR(""), WR_STR(""), count_object, &n, NULL);
        failed = t.failed;
        T(failed ? st == WR_IO : st == WR_OK && n == 2);
    }
    wr_storage_file.close(disk);
}

/* What `after` excludes is not looked at: a poll for new files costs what is new, and a look at the
 * start itself, which might be a directory. */
/* A directory in a level is nobody's object: neither one that cannot be read, nor a circle. */
static void a_directory_in_a_level_stops_the_listing(void **state)
{
    const char *root = t_tmpdir();
    struct trace t;
    struct wr_err e = {0};
    size_t n = 0;

    (void)state;
    trace_init(&t);
    void *disk = disk_at(&t.fs, root);
    T(put(disk, "ltx/0/1", "v", (struct wr_put_opts){0}) == WR_OK);
    T(put(disk, "a/ltx/9/1", "v", (struct wr_put_opts){0}) == WR_OK);
    T(put(disk, "ltx/x/y/1", "v", (struct wr_put_opts){0}) == WR_OK);
    T(mkdir(t_path(root, "ltx/0/junk"), 0) == 0);
    T(symlink(".", t_path(root, "ltx/0/loop")) == 0);
    T(symlink(".", t_path(root, "a/ltx/9/loop")) == 0);
    (void)steps(&t);
    T_OK(wr_storage_file.list(disk, t_call(), WR_STR("ltx/0/"), WR_STR(""), count_object, &n, &e));
    T(n == 1);
    assert_string_equal(steps(&t), "L???");
    T_OK(
        wr_storage_file.list(disk, t_call(), WR_STR("a/ltx/9/"), WR_STR(""), count_object, &n, &e));
    T(n == 2);
    T_OK(wr_storage_file.list(disk, t_call(), WR_STR("ltx/x/"), WR_STR(""), count_object, &n, &e));
    T(n == 3); /* no level */
    T(symlink("self", t_path(root, "ltx/0/self")) == 0);
    T_OK(wr_storage_file.list(disk, t_call(), WR_STR("ltx/0/"), WR_STR(""), count_object, &n, &e));
    T(n == 4);
    /* All levels by one listing: what else lies beside them is not entered either. */
    T(put(disk, "ltx/9/1", "v", (struct wr_put_opts){0}) == WR_OK);
    T(mkdir(t_path(root, "ltx/junk"), 0) == 0);
    T(symlink(".", t_path(root, "ltx/loop")) == 0);
    T(symlink("self", t_path(root, "ltx/self")) == 0);
    n = 0;
    T_OK(wr_storage_file.list(disk, t_call(), WR_STR("ltx/"), WR_STR(""), count_object, &n, &e));
    T(n == 2);
    T(chmod(t_path(root, "ltx"), 0300) == 0);
    T_OK(wr_storage_file.list(disk, t_call(), WR_STR("ltx/"), WR_STR(""), count_object, &n, &e));
    T(n == 4);
    T(chmod(t_path(root, "ltx"), 0700) == 0);
    /* But a level that cannot be seen is not one that is empty. */
    T(symlink("5", t_path(root, "ltx/5")) == 0);
    T_IS(WR_IO,
        wr_storage_file.list(disk, t_call(), WR_STR("ltx/"), WR_STR(""), count_object, &n, &e));
    wr_storage_file.close(disk);
}

static void listings_skip_by_name(void **state)
{
    struct trace t;
    char key[24];
    size_t n = 0;
    struct wr_err e = {0};

    (void)state;
    trace_init(&t);
    void *disk = disk_at(&t.fs, t_tmpdir());
    for (int i = 0; i < 50; i++) {
        (void)snprintf(key, sizeof(key), "ltx/0/%02d", i);
        T(put(disk, key, "v", (struct wr_put_opts){0}) == WR_OK);
    }
    (void)steps(&t);
    T_OK(wr_storage_file.list(
        disk, t_call(), WR_STR("ltx/0/"), WR_STR("ltx/0/47"), count_object, &n, &e));
    T(n == 2);
    assert_string_equal(steps(&t), "L???");
    wr_storage_file.close(disk);
}

/* ---- names ---- */

/* It listed as an empty bucket. A file further down is no object's directory, and no mistake. */
static void a_root_that_is_a_file_is_refused(void **state)
{
    const char *dir = t_tmpdir();
    void *disk = disk_at(wr_fs_posix(), dir), *below;
    size_t n = 0;
    struct wr_err e = {0};

    (void)state;
    T(put(disk, "a", "v", (struct wr_put_opts){0}) == WR_OK);
    T_OK(wr_storage_file.list(disk, t_call(), WR_STR("a/0/"), WR_STR(""), count_object, &n, &e));
    below = disk_at(wr_fs_posix(), t_path(dir, "a"));
    T_IS(WR_MISUSE,
        wr_storage_file.list(below, t_call(), WR_STR(""), WR_STR(""), count_object, &n, &e));
    T(strstr(e.text, t_path(dir, "a")) && strstr(e.text, "Not a directory"));
    T_IS(WR_MISUSE,
        wr_storage_file.list(below, t_call(), WR_STR("ltx/0/"), WR_STR(""), count_object, &n, &e));
    T(n == 0);
    wr_storage_file.close(below);
    wr_storage_file.close(disk);
}

static void keys_cannot_leave_the_root(void **state)
{
    static const char *const bad[] = {"../k", "a/../k", "a/..", "..", ".", "a/./k", "/k", "a//k",
        "a/", "k.tmp", "a/k.tmp", ".weir-lock", "a/.weir-lock"};
    struct wr_err e = {0};
    struct wr_object about;
    char byte;
    size_t n = 0;

    (void)state;
    void *disk = disk_at(wr_fs_posix(), t_path(t_tmpdir(), "in/root"));
    T(put(disk, "k", "v", (struct wr_put_opts){0}) == WR_OK);
    for (size_t i = 0; i < wr_countof(bad); i++) {
        struct wr_str key = wr_str(bad[i]);
        T(put(disk, bad[i], "v", (struct wr_put_opts){0}) == WR_MISUSE);
        T_IS(WR_MISUSE, wr_storage_file.stat(disk, t_call(), key, &about, &e));
        T_IS(WR_MISUSE, wr_storage_file.get(disk, t_call(), key, 0, &byte, 1, &n, NULL, &e));
        T_IS(WR_MISUSE, wr_storage_file.remove(disk, t_call(), &key, 1, &e));
    }
    T_IS(WR_MISUSE,
        wr_storage_file.list(disk, t_call(), WR_STR("../"), WR_STR(""), count_object, &n, &e));
    T_IS(WR_MISUSE,
        wr_storage_file.list(disk, t_call(), WR_STR("/etc/"), WR_STR(""), count_object, &n, &e));
    T(put(disk, "..k/...", "v", (struct wr_put_opts){0}) == WR_OK); /* odd, but plain */
    wr_storage_file.close(disk);
}

static void strangers_are_not_listed(void **state)
{
    const char *root = t_tmpdir();
    const struct wr_fs *p = wr_fs_posix();
    struct wr_err e = {0};
    size_t n = 0;

    (void)state;
    void *disk = disk_at(p, root);
    T(put(disk, "a", "v", (struct wr_put_opts){0}) == WR_OK);
    t_spew(t_path(root, "b.tmp"), "x", 1);
    t_spew(t_path(root, ".weir-lock"), "", 0);
    T_OK(p->mkdir(p, t_path(root, "empty"), 0700, &e));
    T_OK(p->mkdir(p, t_path(root, "dir.tmp"), 0700, &e));
    t_spew(t_path(root, "dir.tmp/object"), "x", 1);
    T_OK(wr_storage_file.list(disk, t_call(), WR_STR(""), WR_STR(""), count_object, &n, &e));
    T(n == 2);
    wr_storage_file.close(disk);
}

static void modes_are_private(void **state)
{
    const char *root = t_path(t_tmpdir(), "r");
    const struct wr_fs *p = wr_fs_posix();
    struct wr_err e = {0};
    struct wr_file_info info;

    (void)state;
    void *disk = disk_at(p, root);
    T(put(disk, "a/k", "v", (struct wr_put_opts){0}) == WR_OK);
    T_OK(p->stat(p, t_path(root, "a"), &info, &e));
    T((info.mode & 0777) == 0700);
    T_OK(p->stat(p, t_path(root, "a/k"), &info, &e));
    T((info.mode & 0777) == 0600);
    wr_storage_file.close(disk);
}

/* An inode that a rename sets free may come back in the same millisecond. */
static void versions_do_not_come_back(void **state)
{
    struct wr_err e = {0};
    char last[64] = "";
    int64_t last_ms = 0;

    (void)state;
    void *disk = disk_at(wr_fs_posix(), t_tmpdir());
    T(put(disk, "k", "00", (struct wr_put_opts){0}) == WR_OK);
    for (int i = 0; i < 200; i++) {
        struct wr_object about = {0}, now = {0};
        struct wr_put_opts o = {0};
        T_OK(wr_storage_file.stat(disk, t_call(), WR_STR("k"), &about, &e));
        T(about.time_ms > last_ms);
        T(!wr_str_eq(about.version, wr_str(last)));
        last_ms = about.time_ms;
        (void)snprintf(last, sizeof(last), WR_FMT, WR_ARG(about.version));
        o.if_match = about.version;
        T_OK(wr_storage_file.put(disk, t_call(), WR_STR("k"), text("11"), &o, &now, &e));
        T_OK(wr_storage_file.stat(disk, t_call(), WR_STR("k"), &about, &e));
        T(wr_str_eq(now.version, about.version) && now.time_ms == about.time_ms);
    }
    wr_storage_file.close(disk);
}

/* Who compares and renames has the lock, or comes back later. Others are not held up. */
static void replacing_takes_the_lock(void **state)
{
    const char *root = t_tmpdir();
    struct wr_err e = {0};
    struct wr_object about = {0};
    struct wr_put_opts o = {0};
    struct wr_file *lock = NULL;

    (void)state;
    void *disk = disk_at(wr_fs_posix(), root);
    T(put(disk, "k", "v", o) == WR_OK);
    T_OK(wr_storage_file.stat(disk, t_call(), WR_STR("k"), &about, &e));
    o.if_match = about.version;
    T_OK(wr_file_open(wr_fs_posix(), t_path(root, ".weir-lock"), WR_FILE_WRITE | WR_FILE_CREATE,
        0600, &lock, &e));
    T_OK(lock->fs->lock(lock, &e));
    T(put(disk, "k", "w", o) == WR_BUSY);
    T(put(disk, "l", "w", (struct wr_put_opts){.if_absent = true}) == WR_OK);
    wr_file_close(lock);
    T(put(disk, "k", "w", o) == WR_OK);
    wr_storage_file.close(disk);
}

static void roots_are_absolute(void **state)
{
    struct wr_err e = {0};
    void *self = NULL;

    (void)state;
    T_IS(WR_MISUSE, wr_storage_file_new(wr_fs_posix(), WR_STR("relative"), &self, &e));
    T_IS(WR_MISUSE, wr_storage_file_new(wr_fs_posix(), WR_STR(""), &self, &e));
    T(self == NULL);
    wr_storage_file.close(NULL);
}

static enum wr_status sweep(void *arg)
{
    struct wr_call *c = t_call();
    struct wr_put_opts o = {0};
    struct wr_object out;
    struct wr_str key = WR_STR("a/b/k");
    void *self = NULL;
    size_t n = 0;
    char byte;
    enum wr_status st = wr_storage_file_new(wr_fs_posix(), wr_str(arg), &self, NULL);

    if (st == WR_OK)
        st = wr_storage_file.put(self, c, key, text("v"), &o, &out, NULL);
    if (st == WR_OK)
        st = wr_storage_file.stat(self, c, key, &out, NULL);
    if (st == WR_OK) {
        o.if_match = out.version;
        st = wr_storage_file.put(self, c, key, text("w"), &o, &out, NULL);
    }
    if (st == WR_OK)
        st = wr_storage_file.get(self, c, key, 0, &byte, 1, &n, NULL, NULL);
    if (st == WR_OK)
        st = wr_storage_file.list(self, c, WR_STR(""), WR_STR(""), count_object, &n, NULL);
    if (st == WR_OK)
        st = wr_storage_file.remove(self, c, &key, 1, NULL);
    wr_storage_file.close(self);
    return st;
}

static void survives_no_memory(void **state)
{
    (void)state;
    t_sweep_nomem(sweep, (void *)(uintptr_t)t_path(t_tmpdir(), "r"));
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest own[] = {T_TEST(bytes_before_name_before_answer),
        T_TEST(a_large_object_waits_for_its_end), T_TEST(a_directory_found_is_lost_in_a_power_cut),
        T_TEST(removals_sync_each_directory_once), T_TEST(any_step_may_fail),
        T_TEST(any_step_of_a_listing_may_fail), T_TEST(a_directory_in_a_level_stops_the_listing),
        T_TEST(listings_skip_by_name), T_TEST(a_root_that_is_a_file_is_refused),
        T_TEST(keys_cannot_leave_the_root), T_TEST(strangers_are_not_listed),
        T_TEST(modes_are_private), T_TEST(versions_do_not_come_back),
        T_TEST(replacing_takes_the_lock), T_TEST(roots_are_absolute), T_TEST(survives_no_memory)};
    static struct place place;
    static struct contract_factory factory = {.open = open_fresh,
        .again = open_again,
        .arg = &place,
        .part = (size_t)64 << 10,
        .many = 300};
    struct CMUnitTest tests[CONTRACT_CHECKS_MAX + wr_countof(own)];
    size_t n = storage_contract(&factory, tests, CONTRACT_CHECKS_MAX);

    memcpy(tests + n, own, sizeof(own));
    return t_main(argc, argv, tests, n + wr_countof(own));
}
