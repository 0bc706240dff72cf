/*
 * test_file_sweep.c - what writers that died left in a directory is gone after the next upload into
 * it, and nothing else is.
 */
#include "base/file.h"
#include "base/mem.h"
#include "harness/t.h"
#include "storage/drivers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OURS        "k.0123456789abcdef.tmp"
#define LITESTREAMS "0000000000000001-00000000000000ff.ltx.tmp"
#define HOUR_MS     ((int64_t)3600 * 1000)

/* The real file system, but for the age of what is found in it, and for what the test takes away.
 */
struct odd_fs {
    struct wr_fs fs;
    int64_t age_ms;
    bool unreadable; /* directories cannot be listed */
    size_t lists;
};

static struct odd_fs *odd_of(const struct wr_fs *fs)
{
    return wr_container_of((void *)(uintptr_t)fs, struct odd_fs, fs);
}

static enum wr_status odd_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    (void)fs;
    return wr_file_open(wr_fs_posix(), path, flags, mode, ret, e);
}

static enum wr_status odd_list(
    const struct wr_fs *fs, const char *path, wr_dir_fn *fn, void *arg, struct wr_err *e)
{
    struct odd_fs *o = odd_of(fs);

    o->lists++;
    if (o->unreadable)
        return wr_fail(e, WR_IO, "open directory %s: Permission denied", path);
    return wr_fs_posix()->list(wr_fs_posix(), path, fn, arg, e);
}

static enum wr_status odd_lstat(
    const struct wr_fs *fs, const char *path, struct wr_file_info *ret, struct wr_err *e)
{
    enum wr_status st = wr_fs_posix()->lstat(wr_fs_posix(), path, ret, e);

    if (st == WR_OK)
        ret->changed_ms -= odd_of(fs)->age_ms;
    return st;
}

static enum wr_status no_locks(struct wr_file *f, struct wr_err *e)
{
    (void)f;
    return wr_fail(e, WR_IO, "lock: No locks available");
}

static enum wr_status held_locks(struct wr_file *f, struct wr_err *e)
{
    (void)f;
    return wr_fail(e, WR_BUSY, "lock: held by another process");
}

static void odd_init(struct odd_fs *o)
{
    *o = (struct odd_fs){.fs = *wr_fs_posix()};
    o->fs.open = odd_open;
    o->fs.list = odd_list;
    o->fs.lstat = odd_lstat;
}

static void *disk_at(const struct wr_fs *fs, const char *root)
{
    struct wr_err e = {0};
    void *self = NULL;

    T_OK(wr_storage_file_new(fs, wr_str(root), &self, &e));
    return self;
}

static enum wr_status put(void *disk, const char *key)
{
    struct wr_put_opts o = {0};

    return wr_storage_file.put(
        disk, t_call(), wr_str(key), (struct wr_bytes){(const uint8_t *)"v", 1}, &o, NULL, NULL);
}

/* A handle of its own puts one object, as the first thing that a process does. */
static void put_once(const struct wr_fs *fs, const char *root, const char *key)
{
    void *disk = disk_at(fs, root);

    T(put(disk, key) == WR_OK);
    wr_storage_file.close(disk);
}

static struct wr_upload *begin(void *disk, const char *key)
{
    struct wr_put_opts o = {0};
    struct wr_err e = {0};
    struct wr_upload *u = NULL;

    T_OK(wr_storage_file.upload_begin(disk, t_call(), wr_str(key), &o, &u, &e));
    return u;
}

static void write_part(struct wr_upload *u)
{
    struct wr_err e = {0};

    T_OK(wr_storage_file.upload_part(
        u, t_call(), (struct wr_bytes){(const uint8_t *)"part", 4}, &e));
}

static bool there(const char *dir, const char *name)
{
    return access(t_path(dir, name), F_OK) == 0;
}

static bool count_temp(void *arg, const char *name)
{
    if (wr_str_ends(wr_str(name), WR_STR(".tmp")))
        (*(size_t *)arg)++;
    return true;
}

static size_t temps(const char *dir)
{
    struct wr_err e = {0};
    size_t n = 0;

    T_OK(wr_fs_posix()->list(wr_fs_posix(), dir, count_temp, &n, &e));
    return n;
}

/* A process dies in the middle of an upload. */
static void die_uploading(const char *root)
{
    int status = 0;
    pid_t pid = fork();

    T(pid >= 0);
    if (pid == 0) {
        write_part(begin(disk_at(wr_fs_posix(), root), "a/k"));
        _exit(0);
    }
    T(waitpid(pid, &status, 0) == pid && status == 0);
}

/* It stayed for ever, as large as the snapshot that was under way. */
static void what_a_killed_upload_left_is_gone_after_the_next(void **state)
{
    const char *root = t_tmpdir(), *a = t_path(root, "a");

    (void)state;
    die_uploading(root);
    die_uploading(root);
    T(temps(a) == 1); /* the second one took away what the first one left */
    put_once(wr_fs_posix(), root, "a/other");
    T(temps(a) == 0 && there(a, "other"));
}

/* Without room for the upload, it must go before the first byte is written. */
static void leftovers_go_before_the_first_byte(void **state)
{
    const char *root = t_tmpdir();
    void *disk = disk_at(wr_fs_posix(), root);

    (void)state;
    t_spew(t_path(root, OURS), "x", 1);
    struct wr_upload *u = begin(disk, "k");
    T(!there(root, OURS) && temps(root) == 1);
    wr_storage_file.upload_abort(u, t_call());
    T(temps(root) == 0);
    wr_storage_file.close(disk);
}

static void an_upload_that_goes_on_is_left_alone(void **state)
{
    const char *root = t_tmpdir();
    struct wr_err e = {0};
    struct odd_fs odd;
    void *disk = disk_at(wr_fs_posix(), root);
    struct wr_upload *first = begin(disk, "k"), *second = begin(disk, "l");

    (void)state;
    write_part(first);
    odd_init(&odd);
    odd.age_ms = 100 * 24 * HOUR_MS; /* a large one over a slow line takes as long as it takes */
    put_once(&odd.fs, root, "m");
    T(temps(root) == 2);
    write_part(second);
    put_once(&odd.fs, root, "m");
    T(temps(root) == 2);
    T_OK(wr_storage_file.upload_commit(first, t_call(), NULL, &e));
    T_OK(wr_storage_file.upload_commit(second, t_call(), NULL, &e));
    T(there(root, "k") && there(root, "l") && temps(root) == 0);
    wr_storage_file.close(disk);
}

/* Whoever sweeps has the lock for a moment. A file that it has got hold of before its writer could
 * lock it is given up: another name is as good. */
static void a_file_that_is_being_swept_is_given_up(void **state)
{
    const char *root = t_tmpdir();
    struct odd_fs odd;

    (void)state;
    odd_init(&odd);
    odd.fs.lock = held_locks;
    void *disk = disk_at(&odd.fs, root);
    T(put(disk, "k") == WR_BUSY);
    T(temps(root) == 0 && !there(root, "k"));
    odd.fs.lock = wr_fs_posix()->lock;
    T(put(disk, "k") == WR_OK);
    wr_storage_file.close(disk);
}

/* Between its creation and its lock a file is empty, and looks like a leftover. */
static void a_file_that_is_not_locked_yet_is_left_alone(void **state)
{
    const char *root = t_tmpdir();
    struct odd_fs odd;

    (void)state;
    odd_init(&odd);
    t_spew(t_path(root, OURS), "", 0);
    put_once(&odd.fs, root, "k");
    T(there(root, OURS));
    odd.age_ms = 25 * HOUR_MS;
    put_once(&odd.fs, root, "k");
    T(!there(root, OURS));
}

static void without_locks_a_day_must_have_passed(void **state)
{
    const char *root = t_tmpdir();
    struct odd_fs odd;

    (void)state;
    odd_init(&odd);
    odd.fs.lock = no_locks;
    t_spew(t_path(root, OURS), "x", 1);
    put_once(&odd.fs, root, "k");
    T(there(root, OURS));
    odd.age_ms = 23 * HOUR_MS;
    put_once(&odd.fs, root, "k");
    T(there(root, OURS));
    odd.age_ms = 25 * HOUR_MS;
    put_once(&odd.fs, root, "k");
    T(!there(root, OURS));
}

/* The object's time goes to the file before the name does: it says nothing about its age. */
static void the_time_of_an_object_is_not_its_age(void **state)
{
    const char *root = t_tmpdir();
    const struct timespec then[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct odd_fs odd;

    (void)state;
    odd_init(&odd);
    odd.fs.lock = no_locks;
    t_spew(t_path(root, OURS), "x", 1);
    t_spew(t_path(root, LITESTREAMS), "x", 1);
    T(utimensat(AT_FDCWD, t_path(root, OURS), then, 0) == 0);
    T(utimensat(AT_FDCWD, t_path(root, LITESTREAMS), then, 0) == 0);
    put_once(&odd.fs, root, "k");
    T(there(root, OURS) && there(root, LITESTREAMS));
}

/* Litestream locks nothing, and may be at work. */
static void litestreams_own_goes_after_a_day(void **state)
{
    const char *root = t_tmpdir();
    struct odd_fs odd;

    (void)state;
    odd_init(&odd);
    t_spew(t_path(root, LITESTREAMS), "x", 1);
    odd.age_ms = 23 * HOUR_MS;
    put_once(&odd.fs, root, "k");
    T(there(root, LITESTREAMS));
    odd.age_ms = 25 * HOUR_MS;
    put_once(&odd.fs, root, "k");
    T(!there(root, LITESTREAMS));
}

static void strangers_stay_however_old(void **state)
{
    static const char *const names[] = {"k.tmp", "k.0123456789abcde.tmp", "k.0123456789abcdef0.tmp",
        "k.0123456789abcdeF.tmp", "k.0123456789abcdeg.tmp", ".0123456789abcdef.tmp",
        "0123456789abcdef.tmp", "k-0123456789abcdef.tmp", "k.0123456789abcdef.tmp.bak",
        "k.0123456789abcdef.TMP", "k.0123456789abcdef", "a-b.ltx.tmp",
        "0000000000000001-00000000000000FF.ltx.tmp", "0000000000000001_00000000000000ff.ltx.tmp",
        "0000000000000001-00000000000000ff.ltx.tmp2", "0000000000000001-00000000000000ff.ltx",
        "x0000000000000001-00000000000000ff.ltx.tmp", ".weir-lock", "tmp", ".tmp"};
    const char *root = t_tmpdir();
    struct odd_fs odd;

    (void)state;
    odd_init(&odd);
    odd.age_ms = 1000 * 24 * HOUR_MS;
    for (size_t i = 0; i < wr_countof(names); i++)
        t_spew(t_path(root, names[i]), "x", 1);
    /* What has one of our names and is no file: opening a pipe would wait for its other end. */
    T(mkfifo(t_path(root, "p.0123456789abcdef.tmp"), 0600) == 0);
    T(mkdir(t_path(root, "d.0123456789abcdef.tmp"), 0700) == 0);
    put_once(&odd.fs, root, "k");
    for (size_t i = 0; i < wr_countof(names); i++)
        T(there(root, names[i]));
    T(there(root, "p.0123456789abcdef.tmp") && there(root, "d.0123456789abcdef.tmp"));
}

/* Closing any descriptor of a database drops the POSIX locks of this process on it: a link to it
 * with one of our names must not be opened, whatever else becomes of it. */
static void a_link_to_a_live_database_keeps_its_locks(void **state)
{
    const char *root = t_tmpdir(), *db = t_path(t_tmpdir(), "db");
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 120, .l_len = 1};
    struct odd_fs odd;

    (void)state;
    odd_init(&odd);
    odd.age_ms = 1000 * 24 * HOUR_MS;
    t_spew(db, "database", 8);
    int fd = open(db, O_RDWR);
    T(fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0);
    T(symlink(db, t_path(root, "s.0123456789abcdef.tmp")) == 0);
    T(link(db, t_path(root, "h.0123456789abcdef.tmp")) == 0);
    put_once(&odd.fs, root, "k");
    T(t_locked_for_others(db));
    T(there(root, "s.0123456789abcdef.tmp") && !there(root, "h.0123456789abcdef.tmp"));
    T(close(fd) == 0);
}

/* Where names are given by link and unlink, as on NFS. */
static void a_kill_between_link_and_unlink_leaves_a_name_for_ever(void **state)
{
    const char *root = t_tmpdir();

    (void)state;
    put_once(wr_fs_posix(), root, "k");
    T(link(t_path(root, "k"), t_path(root, OURS)) == 0);
    put_once(wr_fs_posix(), root, "l");
    T(!there(root, OURS) && there(root, "k"));
}

static bool count_object(void *arg, const struct wr_object *obj)
{
    (void)obj;
    (*(size_t *)arg)++;
    return true;
}

static void who_only_reads_removes_nothing(void **state)
{
    const char *root = t_tmpdir();
    struct wr_object about;
    struct wr_err e = {0};
    size_t n = 0, got = 0;
    char byte;

    (void)state;
    put_once(wr_fs_posix(), root, "k");
    t_spew(t_path(root, OURS), "x", 1);
    void *disk = disk_at(wr_fs_posix(), root);
    T_OK(wr_storage_file.list(disk, t_call(), WR_STR(""), WR_STR(""), count_object, &n, &e));
    T_OK(wr_storage_file.stat(disk, t_call(), WR_STR("k"), &about, &e));
    T_OK(wr_storage_file.get(disk, t_call(), WR_STR("k"), 0, &byte, 1, &got, NULL, &e));
    wr_storage_file.close(disk);
    T(n == 1 && there(root, OURS));
}

static void one_look_at_each_directory(void **state)
{
    const char *root = t_tmpdir();
    struct odd_fs odd;

    (void)state;
    odd_init(&odd);
    void *disk = disk_at(&odd.fs, root);
    T(put(disk, "a/1") == WR_OK);
    t_spew(t_path(root, "a/" OURS), "x", 1);
    for (int i = 0; i < 20; i++)
        T(put(disk, "a/2") == WR_OK);
    T(odd.lists == 1 && there(root, "a/" OURS));
    T(put(disk, "b/1") == WR_OK);
    T(put(disk, "a/3") == WR_OK);
    T(odd.lists == 2);
    wr_storage_file.close(disk);
}

/* A directory to write into and not to read from is enough for a backup. */
static void a_directory_that_cannot_be_listed_takes_uploads(void **state)
{
    const char *root = t_tmpdir();
    struct odd_fs odd;

    (void)state;
    odd_init(&odd);
    odd.unreadable = true;
    void *disk = disk_at(&odd.fs, root);
    T(put(disk, "k") == WR_OK);
    T(put(disk, "l") == WR_OK);
    T(odd.lists == 1);
    wr_storage_file.close(disk);
}

T_MAIN(T_TEST(what_a_killed_upload_left_is_gone_after_the_next),
    T_TEST(leftovers_go_before_the_first_byte), T_TEST(an_upload_that_goes_on_is_left_alone),
    T_TEST(a_file_that_is_being_swept_is_given_up),
    T_TEST(a_file_that_is_not_locked_yet_is_left_alone),
    T_TEST(without_locks_a_day_must_have_passed), T_TEST(the_time_of_an_object_is_not_its_age),
    T_TEST(litestreams_own_goes_after_a_day), T_TEST(strangers_stay_however_old),
    T_TEST(a_link_to_a_live_database_keeps_its_locks),
    T_TEST(a_kill_between_link_and_unlink_leaves_a_name_for_ever),
    T_TEST(who_only_reads_removes_nothing), T_TEST(one_look_at_each_directory),
    T_TEST(a_directory_that_cannot_be_listed_takes_uploads))
