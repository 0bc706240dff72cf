/*
 * test_file_posix.c - the real file system, slot by slot; of its locks test_file_lock.c
 * knows.
 */
#include "base/file.h"

#include "base/mem.h"
#include "harness/t.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define RW (WR_FILE_READ | WR_FILE_WRITE)

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

static void test_open_flags(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    const char *link_path = t_path(t_tmpdir(), "link");
    struct wr_file_info info;
    struct wr_file *f = NULL;
    struct wr_err e = {0};
    size_t live = wr_mem_live();

    (void)state;
    T_IS(WR_NOTFOUND, wr_file_open(fs(), path, WR_FILE_READ, 0, &f, &e));
    T(wr_mem_live() == live);
    T(strstr(e.text, path) != NULL);
    T_OK(wr_file_open(fs(), path, RW | WR_FILE_CREATE | WR_FILE_EXCL, 0600, &f, &e));
    T(f->fs == fs());
    T_OK(wr_file_pwrite(f, "abc", 3, 0, &e));
    T_OK(wr_file_info(f, &info, &e));
    T(info.size == 3 && (info.mode & 07777) == 0600 && S_ISREG(info.mode) && !info.is_dir);
    T(info.uid == (uint32_t)getuid() && info.gid == (uint32_t)getgid());
    wr_file_close(f);

    T_IS(WR_CONFLICT,
        wr_file_open(fs(), path, WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_EXCL, 0600, &f, &e));
    T_OK(wr_file_open(fs(), path, WR_FILE_WRITE | WR_FILE_CREATE, 0600, &f, &e));
    T_OK(wr_file_info(f, &info, &e));
    T(info.size == 3);
    wr_file_close(f);
    T_OK(wr_file_open(fs(), path, WR_FILE_WRITE | WR_FILE_TRUNC, 0, &f, &e));
    T_OK(wr_file_info(f, &info, &e));
    T(info.size == 0);
    wr_file_close(f);

    /* Not even to create the file that a dangling link points to. */
    T(symlink(t_path(t_tmpdir(), "elsewhere"), link_path) == 0);
    T_IS(WR_CONFLICT,
        wr_file_open(fs(), link_path, WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_EXCL, 0600, &f, &e));
    wr_file_close(NULL);
}

static void test_descriptors_stay_here(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct wr_file *f = NULL;
    struct wr_err e = {0};
    int next = dup(0); /* the lowest free number, which open will get as well */

    (void)state;
    T(next >= 0 && close(next) == 0);
    T_OK(wr_file_open(fs(), path, RW | WR_FILE_CREATE, 0600, &f, &e));
    T(fcntl(next, F_GETFD) == FD_CLOEXEC);
    wr_file_close(f);
    T(fcntl(next, F_GETFD) == -1);
}

/* A program that was started without standard output, or closed it, still writes there. */
static void test_no_file_takes_the_place_of_a_standard_one(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    int was = dup(STDIN_FILENO);
    struct wr_file *f = NULL;
    struct wr_err e = {0};

    (void)state;
    (void)close(STDIN_FILENO);
    T_OK(wr_file_open(fs(), path, RW | WR_FILE_CREATE | WR_FILE_EXCL, 0600, &f, &e));
    T(fcntl(STDIN_FILENO, F_GETFD) == -1);
    T_OK(wr_file_pwrite(f, "abc", 3, 0, &e));
    check_content(path, "abc");
    wr_file_close(f);
    T(was < 0 || (dup2(was, STDIN_FILENO) == STDIN_FILENO && close(was) == 0));
}

static void test_read_and_write(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct wr_file *f = NULL;
    struct wr_err e = {0};
    char buf[16];
    size_t got = 99;

    (void)state;
    T_OK(wr_file_open(fs(), path, RW | WR_FILE_CREATE, 0600, &f, &e));
    T_OK(wr_file_pwrite(f, "world", 5, 6, &e));
    T_OK(wr_file_pwrite(f, "hello ", 6, 0, &e));
    T_OK(wr_file_pread(f, buf, sizeof(buf), 0, &got, &e));
    T(got == 11 && memcmp(buf, "hello world", 11) == 0);
    T_OK(wr_file_pread(f, buf, 5, 6, &got, &e));
    T(got == 5 && memcmp(buf, "world", 5) == 0);
    T_OK(wr_file_pread(f, buf, 5, 11, &got, &e));
    T(got == 0);
    T_OK(wr_file_pread(f, buf, 0, 0, &got, &e));
    T(got == 0);
    T_IS(WR_LIMIT, wr_file_pread(f, buf, 1, UINT64_MAX, &got, &e));
    T_IS(WR_LIMIT, wr_file_pwrite(f, buf, 1, INT64_MAX, &e));
    T_IS(WR_LIMIT, wr_file_truncate(f, UINT64_MAX, &e));

    T_OK(wr_file_truncate(f, 5, &e));
    f->fs->flush_hint(f, 0, 5);
    f->fs->flush_hint(f, UINT64_MAX, 5);
    T_OK(wr_file_sync(f, &e));
    wr_file_close(f);
    check_content(path, "hello");
    T_OK(wr_file_open(fs(), path, WR_FILE_READ, 0, &f, &e));
    T_IS(WR_IO, wr_file_pwrite(f, "x", 1, 0, &e));
    T(strstr(e.text, path) != NULL);
    wr_file_close(f);
}

static void test_map(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct wr_file *f = NULL;
    struct wr_err e = {0};
    void *p = NULL;

    (void)state;
    T_OK(wr_file_open(fs(), path, RW | WR_FILE_CREATE, 0600, &f, &e));
    T_OK(wr_file_truncate(f, 5, &e));
    T_OK(f->fs->map(f, 5, &p, &e));
    memcpy(p, "12345", 5);
    f->fs->unmap(f, p, 5);
    wr_file_close(f);
    check_content(path, "12345");
    T_OK(wr_file_open(fs(), path, WR_FILE_READ, 0, &f, &e));
    T_IS(WR_IO, f->fs->map(f, 5, &p, &e)); /* it would have to be writable */
    wr_file_close(f);
}

/* An idle mapping leaves this process, what was stored in it does not, and it is back when used. */
static void test_idle_map(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    const size_t size = 1 << 16;
    struct wr_file *f = NULL;
    struct wr_err e = {0};
    void *p = NULL;

    (void)state;
    T_OK(wr_file_open(fs(), path, RW | WR_FILE_CREATE, 0600, &f, &e));
    T_OK(wr_file_truncate(f, size, &e));
    T_OK(f->fs->map(f, size, &p, &e));
    memset(p, 'x', size);
    assert_int_equal(t_resident_kib(path), 64);
    f->fs->map_idle(f, p, size);
    assert_int_equal(t_resident_kib(path), 0);
    T(t_slurp(path).p[size - 1] == 'x');
    for (size_t i = 0; i < size; i++)
        T(((const char *)p)[i] == 'x');
    T(t_resident_kib(path) > 0);
    f->fs->unmap(f, p, size);
    wr_file_close(f);
}

static void test_mtime(void **state)
{
    static const int64_t times[] = {0, 1, 999, 1000, 1764101234567, -1, -1000, -1001, -999};
    const char *path = t_path(t_tmpdir(), "a");
    struct wr_file_info info;
    struct wr_file *f = NULL;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_file_open(fs(), path, RW | WR_FILE_CREATE, 0600, &f, &e));
    for (size_t i = 0; i < wr_countof(times); i++) {
        T_OK(f->fs->set_mtime(f, times[i], &e));
        T_OK(wr_file_info(f, &info, &e));
        T(info.mtime_ms == times[i]);
    }
    wr_file_close(f);
}

/* Nobody is kept from giving a file what it has already; another owner takes root. */
static void test_owner(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct wr_file_info info;
    struct wr_file *f = NULL;
    struct wr_err e = {0};
    enum wr_status st;

    (void)state;
    T_OK(wr_file_open(fs(), path, RW | WR_FILE_CREATE, 0600, &f, &e));
    T_OK(f->fs->set_owner(f, (uint32_t)geteuid(), (uint32_t)getegid(), &e));
    st = f->fs->set_owner(f, 12345, (uint32_t)getegid(), &e);
    T_OK(wr_file_info(f, &info, &e));
    T(st == (geteuid() == 0 ? WR_OK : WR_IO));
    T(info.uid == (geteuid() == 0 ? 12345 : (uint32_t)geteuid()) && info.gid == getegid());
    wr_file_close(f);
}

static void test_symbolic_link_is_not_followed(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "a");
    const char *link_path = t_path(dir, "b");
    struct wr_file_info info;
    struct wr_file *f = NULL;
    struct wr_err e = {0};

    (void)state;
    t_spew(path, "1234", 4);
    T(symlink(path, link_path) == 0);
    T_IS(WR_IO, wr_file_open(fs(), link_path, RW | WR_FILE_NOFOLLOW, 0, &f, &e));
    T_OK(wr_file_open(fs(), path, RW | WR_FILE_NOFOLLOW, 0, &f, &e));
    T_OK(wr_file_info(f, &info, &e));
    T(info.links == 1);
    T(link(path, t_path(dir, "c")) == 0);
    T_OK(wr_file_info(f, &info, &e));
    T(info.links == 2);
    wr_file_close(f);
    T(mkfifo(t_path(dir, "d"), 0600) == 0); /* to wait for who writes into it would be for ever */
    T_OK(wr_file_open(fs(), t_path(dir, "d"), WR_FILE_READ | WR_FILE_NOFOLLOW, 0, &f, &e));
    wr_file_close(f);
}

/* A file with another name may be a database that is in use, whose locks a close would drop. */
static void test_only_a_file_of_its_own_is_opened_as_temporary(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "a"), *soft = t_path(dir, "b"), *pipe = t_path(dir, "d");
    struct wr_file_info info;
    struct wr_file *f = NULL;
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_NOTFOUND, wr_file_open_temp(fs(), path, RW, &f, &e));
    t_spew(path, "1234", 4);
    T_OK(wr_file_open_temp(fs(), path, RW, &f, &e));
    T_OK(f->fs->set_mode(f, 0640, &e));
    T_OK(wr_file_info(f, &info, &e));
    T((info.mode & 0777) == 0640);
    wr_file_close(f);
    T(symlink(path, soft) == 0 && mkfifo(pipe, 0600) == 0);
    T_IS(WR_CONFLICT, wr_file_open_temp(fs(), soft, RW, &f, &e));
    T_IS(WR_CONFLICT, wr_file_open_temp(fs(), pipe, RW, &f, &e));
    T_IS(WR_CONFLICT, wr_file_open_temp(fs(), dir, RW, &f, &e));
    T_OK(fs()->lstat(fs(), soft, &info, &e));
    T(S_ISLNK((mode_t)info.mode));
    T(link(path, t_path(dir, "c")) == 0);
    T_IS(WR_CONFLICT, wr_file_open_temp(fs(), path, RW, &f, &e));
}

static void test_change_time_cannot_be_set(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct wr_file_info before, after;
    struct wr_file *f = NULL;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_file_open(fs(), path, RW | WR_FILE_CREATE, 0600, &f, &e));
    T_OK(wr_file_info(f, &before, &e));
    T(before.changed_ms == before.mtime_ms);
    T_OK(f->fs->set_mtime(f, 1000, &e));
    T_OK(wr_file_info(f, &after, &e));
    T(after.mtime_ms == 1000 && after.changed_ms >= before.changed_ms);
    wr_file_close(f);
}

static void test_stat_and_remove(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "a");
    const char *sub = t_path(dir, "sub");
    struct wr_file_info info;
    struct stat s;
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_NOTFOUND, fs()->stat(fs(), path, &info, &e));
    t_spew(path, "1234", 4);
    T_OK(fs()->stat(fs(), path, &info, &e));
    T(stat(path, &s) == 0);
    T(info.size == 4 && info.dev == (uint64_t)s.st_dev && info.ino == (uint64_t)s.st_ino);
    T(info.mode == (uint32_t)s.st_mode && !info.is_dir);
    T_OK(fs()->mkdir(fs(), sub, 0700, &e));
    T_IS(WR_CONFLICT, fs()->mkdir(fs(), sub, 0700, &e));
    T_OK(fs()->stat(fs(), sub, &info, &e));
    T(info.is_dir);
    T_OK(fs()->sync_dir(fs(), dir, &e));
    T_IS(WR_NOTFOUND, fs()->sync_dir(fs(), t_path(dir, "none"), &e));
    T_OK(fs()->remove(fs(), sub, &e));
    T_OK(fs()->remove(fs(), path, &e));
    T_IS(WR_NOTFOUND, fs()->remove(fs(), path, &e));
}

static void test_renames(void **state)
{
    const char *dir = t_tmpdir();
    const char *a = t_path(dir, "a");
    const char *b = t_path(dir, "b");
    const char *sub = t_path(dir, "sub");
    const char *sub2 = t_path(dir, "sub2");
    struct wr_err e = {0};

    (void)state;
    t_spew(a, "a", 1);
    t_spew(b, "b", 1);
    T_IS(WR_CONFLICT, fs()->rename_new(fs(), a, b, &e));
    check_content(a, "a");
    check_content(b, "b");
    T_OK(fs()->rename(fs(), a, b, &e));
    check_content(b, "a");
    T(!exists(a));
    T_OK(fs()->rename_new(fs(), b, a, &e));
    check_content(a, "a");
    T(!exists(b));
    T_IS(WR_NOTFOUND, fs()->rename(fs(), b, a, &e));
    T_IS(WR_NOTFOUND, fs()->rename_new(fs(), b, a, &e));

    /* Directories have no hard links. */
    T_OK(fs()->mkdir(fs(), sub, 0700, &e));
    T_OK(fs()->rename_new(fs(), sub, sub2, &e));
    T(!exists(sub) && exists(sub2));
    T_OK(fs()->mkdir(fs(), sub, 0700, &e));
    T_IS(WR_CONFLICT, fs()->rename_new(fs(), sub, sub2, &e));
}

struct seen {
    unsigned names; /* bit i: the file called by digit i */
    unsigned calls;
    unsigned calls_max;
};

static bool see(void *arg, const char *name)
{
    struct seen *s = arg;

    T(strlen(name) == 1 && name[0] >= '0' && name[0] <= '9');
    s->names |= 1u << (name[0] - '0');
    return ++s->calls < s->calls_max;
}

static void test_list(void **state)
{
    const char *dir = t_tmpdir();
    struct seen all = {.calls_max = 100};
    struct seen some = {.calls_max = 2};
    struct wr_err e = {0};

    (void)state;
    for (char digit[2] = "0"; digit[0] <= '4'; digit[0]++)
        t_spew(t_path(dir, digit), "", 0);
    T_OK(fs()->list(fs(), dir, see, &all, &e));
    T(all.names == 31 && all.calls == 5);
    T_OK(fs()->list(fs(), dir, see, &some, &e));
    T(some.calls == 2);
    T_IS(WR_NOTFOUND, fs()->list(fs(), t_path(dir, "none"), see, &all, &e));
    T_IS(WR_IO, fs()->list(fs(), t_path(dir, "0"), see, &all, &e));
}

static void test_resolve(void **state)
{
    const char *dir = t_tmpdir(), *soft = t_path(dir, "soft");
    struct wr_err e = {0};
    char *a = NULL, *b = NULL;

    (void)state;
    t_spew(t_path(dir, "file"), "", 0);
    T(symlink("./file", soft) == 0);
    T_OK(fs()->resolve(fs(), soft, &a, &e));
    T_OK(fs()->resolve(fs(), t_path(dir, "file"), &b, &e));
    T(a[0] == '/' && strcmp(a, b) == 0 && wr_str_ends(wr_str(a), WR_STR("/file")));
    wr_free(a);
    wr_free(b);
    T(remove(t_path(dir, "file")) == 0);
    T_IS(WR_NOTFOUND, fs()->resolve(fs(), soft, &a, &e));
    T(strstr(e.text, soft));
}

static enum wr_status open_body(void *arg)
{
    struct wr_file *f = NULL;
    enum wr_status st = wr_file_open(fs(), arg, RW | WR_FILE_CREATE, 0600, &f, NULL);

    T(st == WR_OK || !exists(arg));
    wr_file_close(f);
    return st;
}

static void test_open_out_of_memory(void **state)
{
    char path[PATH_MAX];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/a", t_tmpdir());
    t_sweep_nomem(open_body, path);
}

static void test_head_of_a_file(void **state)
{
    const char *path = t_path(t_tmpdir(), "small");
    char room[8] = "";
    size_t n = 77;
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_NOTFOUND, wr_file_head(wr_fs_posix(), path, room, sizeof(room), &n, &e));
    T_IS(WR_IO, wr_file_head(wr_fs_posix(), t_tmpdir(), room, sizeof(room), &n, &e));
    T(n == 77);
    for (size_t size = 0; size < 12; size++) {
        t_spew(path, "0123456789abc", size);
        T_OK(wr_file_head(wr_fs_posix(), path, room, sizeof(room), &n, &e));
        T(n == wr_min(size, sizeof(room)) && memcmp(room, "01234567", n) == 0);
    }
}

T_MAIN(T_TEST(test_head_of_a_file), T_TEST(test_open_flags), T_TEST(test_descriptors_stay_here),
    T_TEST(test_no_file_takes_the_place_of_a_standard_one), T_TEST(test_read_and_write),
    T_TEST(test_map), T_TEST(test_idle_map), T_TEST(test_mtime), T_TEST(test_owner),
    T_TEST(test_symbolic_link_is_not_followed),
    T_TEST(test_only_a_file_of_its_own_is_opened_as_temporary),
    T_TEST(test_change_time_cannot_be_set), T_TEST(test_stat_and_remove), T_TEST(test_renames),
    T_TEST(test_list), T_TEST(test_resolve), T_TEST(test_open_out_of_memory))
