/*
 * test_file.c - the helpers over struct wr_fs, on the real disk and on one that fails at each of
 * its calls in turn.
 */
#include "base/file.h"

#include "harness/t.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct wr_fs *fs(void)
{
    return wr_fs_posix();
}

static bool exists(const char *path)
{
    struct stat s;

    return lstat(path, &s) == 0;
}

static void check_content(const char *path, const char *want)
{
    struct wr_bytes got = t_slurp(path);

    T(got.n == strlen(want));
    assert_memory_equal(got.p, want, got.n);
}

static bool str_is(struct wr_str s, const char *want)
{
    return wr_str_eq(s, wr_str(want));
}

static void test_path_parts(void **state)
{
    static const char *const cases[][3] = {
        {"a/b", "a", "b"},
        {"a", ".", "a"},
        {"", ".", ""},
        {"/", "/", ""},
        {"//", "/", ""},
        {"/a", "/", "a"},
        {"//a", "/", "a"},
        {"a/b/", "a", "b"},
        {"a//b//", "a", "b"},
        {"/a/b.c", "/a", "b.c"},
        {"./a", ".", "a"},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        T(str_is(wr_path_dir(cases[i][0]), cases[i][1]));
        T(str_is(wr_path_base(cases[i][0]), cases[i][2]));
    }
}

static void test_pread_all(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct wr_file *f = NULL;
    struct wr_err e = {0};
    char buf[6];

    (void)state;
    t_spew(path, "hello world", 11);
    T_OK(wr_file_open(fs(), path, WR_FILE_READ, 0, &f, &e));
    T_OK(wr_file_pread_all(f, buf, 5, 6, "greeting", &e));
    assert_memory_equal(buf, "world", 5);
    T_IS(WR_CORRUPT, wr_file_pread_all(f, buf, 6, 6, "greeting", &e));
    assert_string_equal(e.text, "greeting: ends at byte 11");
    wr_file_close(f);

    /* What the disk says is kept, and gets the name of the thing. */
    T_OK(wr_file_open(fs(), path, WR_FILE_WRITE, 0, &f, &e));
    T_IS(WR_IO, wr_file_pread_all(f, buf, 1, 0, "greeting", &e));
    T(strncmp(e.text, "greeting: read ", 15) == 0);
    wr_file_close(f);
}

/* A disk whose `left`-th call from now fails once; negative: never. */
static struct {
    int left;
    bool blind;      /* the next stat finds nothing: someone creates the name right after it */
    bool unreadable; /* no directory can be opened */
    int dir_syncs;
    char synced[PATH_MAX]; /* the first of them */
    int removes;
} disk;

struct broken_file {
    struct wr_file file;
    struct wr_file *real;
};

static enum wr_status broken(struct wr_err *e)
{
    return disk.left >= 0 && disk.left-- == 0 ? wr_fail(e, WR_IO, "broken on purpose") : WR_OK;
}

static struct wr_file *real_of(struct wr_file *f)
{
    return wr_container_of(f, struct broken_file, file)->real;
}

static enum wr_status broken_open(const struct wr_fs *self, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    static struct broken_file f; /* the helpers open one at a time */
    enum wr_status st = broken(e);

    if (st == WR_OK)
        st = wr_file_open(fs(), path, flags, mode, &f.real, e);
    f.file.fs = self;
    *ret = &f.file;
    return st;
}

static void broken_close(struct wr_file *f)
{
    wr_file_close(real_of(f));
}

/* Half of the bytes arrive before the failure, as when a disk fills up. */
static enum wr_status broken_pwrite(
    struct wr_file *f, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    bool fail = broken(e) != WR_OK;
    enum wr_status st = wr_file_pwrite(real_of(f), buf, fail ? n / 2 : n, off, e);

    return fail ? WR_IO : st;
}

static enum wr_status broken_sync(struct wr_file *f, struct wr_err *e)
{
    enum wr_status st = broken(e);

    return st == WR_OK ? wr_file_sync(real_of(f), e) : st;
}

static enum wr_status broken_stat(
    const struct wr_fs *self, const char *path, struct wr_file_info *ret, struct wr_err *e)
{
    enum wr_status st = broken(e);
    bool blind = disk.blind;

    (void)self;
    disk.blind = false;
    if (blind)
        return wr_fail(e, WR_NOTFOUND, "not yet");
    return st == WR_OK ? fs()->stat(fs(), path, ret, e) : st;
}

static enum wr_status broken_rename(
    const struct wr_fs *self, const char *from, const char *to, struct wr_err *e)
{
    enum wr_status st = broken(e);

    (void)self;
    return st == WR_OK ? fs()->rename(fs(), from, to, e) : st;
}

static enum wr_status broken_remove(const struct wr_fs *self, const char *path, struct wr_err *e)
{
    (void)self;
    disk.removes++;
    return fs()->remove(fs(), path, e);
}

static enum wr_status broken_mkdir(
    const struct wr_fs *self, const char *path, uint32_t mode, struct wr_err *e)
{
    enum wr_status st = broken(e);

    (void)self;
    return st == WR_OK ? fs()->mkdir(fs(), path, mode, e) : st;
}

static enum wr_status broken_sync_dir(const struct wr_fs *self, const char *path, struct wr_err *e)
{
    enum wr_status st = broken(e);

    (void)self;
    if (disk.dir_syncs++ == 0)
        (void)snprintf(disk.synced, sizeof(disk.synced), "%s", path);
    if (disk.unreadable)
        return wr_fail(e, WR_IO, "open directory %s: Permission denied", path);
    return st == WR_OK ? fs()->sync_dir(fs(), path, e) : st;
}

static enum wr_status broken_list(
    const struct wr_fs *self, const char *path, wr_dir_fn *fn, void *arg, struct wr_err *e)
{
    (void)self;
    if (disk.unreadable)
        return wr_fail(e, WR_IO, "open directory %s: Permission denied", path);
    return fs()->list(fs(), path, fn, arg, e);
}

static const struct wr_fs broken_fs = {
    .open = broken_open,
    .close = broken_close,
    .pwrite = broken_pwrite,
    .sync = broken_sync,
    .stat = broken_stat,
    .rename = broken_rename,
    .remove = broken_remove,
    .mkdir = broken_mkdir,
    .sync_dir = broken_sync_dir,
    .list = broken_list,
};

static void test_put(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "a");
    struct stat s;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_file_put(fs(), path, 0600, "first", 5, &e));
    T(stat(path, &s) == 0 && (s.st_mode & 07777) == 0600);
    T_OK(wr_file_put(fs(), path, 0640, "second", 6, &e));
    check_content(path, "second");
    T_OK(wr_file_put(fs(), path, 0600, NULL, 0, &e));
    check_content(path, "");
    T(t_names_in(dir) == 1);
    T_IS(WR_NOTFOUND, wr_file_put(fs(), t_path(dir, "none/a"), 0600, "x", 1, &e));
    T(t_names_in(dir) == 1);

    /* Over a directory the rename fails, and leaves nothing. */
    T(mkdir(t_path(dir, "sub"), 0700) == 0);
    T_IS(WR_IO, wr_file_put(fs(), t_path(dir, "sub"), 0600, "x", 1, &e));
    T(t_names_in(dir) == 2);

    /* A bare name lies in the current directory. */
    int here = open(".", O_RDONLY | O_DIRECTORY);
    T(here >= 0 && chdir(dir) == 0);
    enum wr_status st = wr_file_put(fs(), "bare", 0600, "x", 1, &e);
    T(fchdir(here) == 0 && close(here) == 0);
    T_OK(st);
    check_content(t_path(dir, "bare"), "x");
}

/* Old contents or new ones, whole, and no temporary file, whichever call fails. */
static void test_put_on_a_failing_disk(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "a");
    enum wr_status st = WR_IO;
    int failures = 0;

    (void)state;
    for (int nth = 0; st != WR_OK; nth++) {
        struct wr_err e = {0};

        t_spew(path, "old", 3);
        disk.left = nth;
        disk.removes = 0;
        st = wr_file_put(&broken_fs, path, 0600, "newer", 5, &e);
        T(t_names_in(dir) == 1);
        if (st != WR_OK) {
            failures++;
            T(st == WR_IO && strstr(e.text, "broken on purpose") != NULL);
            T(strstr(e.text, path) != NULL);
            /* open, write, sync, rename: not yet; the directory: already */
            check_content(path, nth < 4 ? "old" : "newer");
            T(disk.removes == (nth >= 1 && nth <= 3));
        }
    }
    T(failures == 5);
    check_content(path, "newer");
    disk.left = -1;
}

static enum wr_status put_body(void *arg)
{
    return wr_file_put(fs(), arg, 0600, "x", 1, NULL);
}

static enum wr_status mkdirs_body(void *arg)
{
    return wr_mkdirs(fs(), arg, 0700, NULL);
}

static void test_out_of_memory(void **state)
{
    const char *dir = t_tmpdir();
    char path[PATH_MAX];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/put", dir);
    t_sweep_nomem(put_body, path);
    T(t_names_in(dir) == 1);
    (void)snprintf(path, sizeof(path), "%s/x/y/z", dir);
    t_sweep_nomem(mkdirs_body, path);
    T(exists(path));
}

static void test_mkdirs(void **state)
{
    const char *dir = t_tmpdir();
    struct stat s;
    struct wr_err e = {0};

    (void)state;
    disk.left = -1;
    disk.dir_syncs = 0;
    T_OK(wr_mkdirs(&broken_fs, t_path(dir, "a/b/c"), 0700, &e));
    T(disk.dir_syncs == 4); /* each new name is durable, and that of what they are in */
    T(stat(t_path(dir, "a/b/c"), &s) == 0 && S_ISDIR(s.st_mode) && (s.st_mode & 07777) == 0700);
    T_OK(wr_mkdirs(&broken_fs, t_path(dir, "a/b/c"), 0700, &e));
    T(disk.dir_syncs == 5); /* no more than one for what is there */
    T_OK(wr_mkdirs(fs(), t_path(dir, "a//b///d/"), 0700, &e));
    T(exists(t_path(dir, "a/b/d")));
    T_OK(wr_mkdirs(fs(), "/", 0700, &e));
    T_OK(wr_mkdirs(fs(), ".", 0700, &e));
    t_spew(t_path(dir, "file"), "", 0);
    T_IS(WR_CONFLICT, wr_mkdirs(fs(), t_path(dir, "file"), 0700, &e));
    T_IS(WR_CONFLICT, wr_mkdirs(fs(), t_path(dir, "file/below"), 0700, &e));
    T(strstr(e.text, "not a directory") != NULL);
}

/* Whoever made a directory was killed before its fsync: who finds it there syncs it. */
static void test_a_directory_found_is_lost_in_a_power_cut(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_err e = {0};

    (void)state;
    disk.left = -1;
    T(mkdir(t_path(dir, "a"), 0700) == 0);
    disk.dir_syncs = 0;
    T_OK(wr_mkdirs(&broken_fs, t_path(dir, "a"), 0700, &e));
    assert_string_equal(disk.synced, dir);
    /* Before anything is made in it, for whoever tries again finds that. */
    disk.dir_syncs = 0;
    T_OK(wr_mkdirs(&broken_fs, t_path(dir, "a/b"), 0700, &e));
    assert_string_equal(disk.synced, dir);
    T(disk.dir_syncs == 2);
    /* Whoever was quicker may not have come to it either. */
    disk.dir_syncs = 0;
    T(chdir(dir) == 0 && mkdir("c", 0700) == 0);
    disk.blind = true;
    T_OK(wr_mkdirs(&broken_fs, "c", 0700, &e));
    T(disk.dir_syncs == 1 && strcmp(disk.synced, ".") == 0);
    T(chdir("/") == 0);
}

/* A directory of others, which we may pass but not read: they made what is in it. */
static void test_a_directory_above_cannot_be_read(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_err e = {0};

    (void)state;
    disk.left = -1;
    disk.unreadable = true;
    T_OK(wr_mkdirs(&broken_fs, dir, 0700, &e));
    T_OK(wr_dir_settle(&broken_fs, "/", &e));
    T_OK(wr_dir_settle(&broken_fs, ".", &e));
    T_IS(WR_IO, wr_mkdirs(&broken_fs, t_path(dir, "new"), 0700, &e)); /* this one we made */
    disk.unreadable = false;
}

/* Between looking and creating, someone else creates. */
static void test_mkdirs_race(void **state)
{
    struct wr_err e = {0};

    (void)state;
    disk.left = -1;
    T(chdir(t_tmpdir()) == 0);
    T(mkdir("dir", 0700) == 0);
    t_spew("file", "", 0);
    disk.blind = true;
    T_OK(wr_mkdirs(&broken_fs, "dir", 0700, &e));
    disk.blind = true;
    T_IS(WR_CONFLICT, wr_mkdirs(&broken_fs, "file", 0700, &e));
    T(strstr(e.text, "not a directory") != NULL);
    T(chdir("/") == 0);
}

/* After a failure anywhere, simply trying again ends well. */
static void test_mkdirs_on_a_failing_disk(void **state)
{
    enum wr_status st = WR_IO;
    int failures = 0;

    (void)state;
    for (int nth = 0; st != WR_OK; nth++) {
        const char *path = t_path(t_tmpdir(), "a/b");
        struct wr_err e = {0};

        disk.left = nth;
        st = wr_mkdirs(&broken_fs, path, 0700, &e);
        disk.left = -1;
        failures += st != WR_OK;
        T(st == WR_OK || st == WR_IO);
        T_OK(wr_mkdirs(&broken_fs, path, 0700, &e));
        T(exists(path));
    }
    T(failures >= 6); /* stat, mkdir and sync for both, and the stats above */
}

static void test_path_within(void **state)
{
    (void)state;
    T(wr_path_within("/a/b", "/a") && wr_path_within("/a/b/c", "/a") && wr_path_within("/a", "/a"));
    T(wr_path_within("/a", "/") && wr_path_within("/a/b", "/a/"));
    T(!wr_path_within("/ab", "/a") && !wr_path_within("/a", "/a/b") && !wr_path_within("b/a", "a"));
}

/* What is longer than 114 bytes is cut, and told apart by all of it. */
static void test_path_stem(void **state)
{
    char name[256] = {0}, umlauts[256] = {0}, stem[WR_STEM_MAX + 1], other[WR_STEM_MAX + 1];

    (void)state;
    memset(name, 'x', 114);
    T(wr_str_eq(wr_path_stem(name, stem), wr_str(name)));
    T(wr_str_eq(wr_path_stem("a/b", stem), WR_STR("b")));
    for (size_t n = 115; n <= 255; n++) {
        name[n - 1] = 'x';
        T(wr_path_stem(name, stem).n == 114 && strncmp(name, stem, 97) == 0 && stem[97] == '~');
        name[n - 1] = 'y';
        T(!wr_str_eq(wr_path_stem(name, other), wr_str(stem)));
        name[n - 1] = 'x';
    }
    for (size_t i = 0; i < 120; i++)
        memcpy(umlauts + 2 * i, "\303\244", 2);
    T(wr_path_stem(umlauts, stem).n == 113 && stem[96] == '~'); /* 97 would be half of one */
}

/* A name of 255 bytes had no room for the temporary one. */
static void test_put_with_a_long_name(void **state)
{
    const char *dir = t_tmpdir(), *path;
    char name[256] = {0};
    struct wr_err e = {0};

    (void)state;
    memset(name, 'x', 255);
    path = t_path(dir, name);
    T_OK(wr_file_put(wr_fs_posix(), path, 0600, "x", 1, &e));
    T(exists(path) && t_names_in(dir) == 1);
}

T_MAIN(T_TEST(test_path_parts), T_TEST(test_path_stem), T_TEST(test_put_with_a_long_name),
    T_TEST(test_path_within), T_TEST(test_pread_all), T_TEST(test_put),
    T_TEST(test_put_on_a_failing_disk), T_TEST(test_out_of_memory), T_TEST(test_mkdirs),
    T_TEST(test_a_directory_found_is_lost_in_a_power_cut),
    T_TEST(test_a_directory_above_cannot_be_read), T_TEST(test_mkdirs_race),
    T_TEST(test_mkdirs_on_a_failing_disk))
