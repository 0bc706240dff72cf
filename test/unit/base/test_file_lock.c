/*
 * test_file_lock.c - locks of the real file system: who has one, and until when. The other slots
 * are test_file_posix.c's.
 */
#include "base/file.h"

#include "harness/t.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RW (WR_FILE_READ | WR_FILE_WRITE)

#ifdef __GLIBC__
#define OFD_SETLK 37 /* F_OFD_SETLK, of which only _GNU_SOURCE tells */

extern long syscall(long number, ...);

static bool no_ofd; /* as systems are that have no locks of open file descriptions */

/* In place of the C library's. */
int fcntl(int fd, int cmd, ...)
{
    va_list ap;
    void *arg;

    va_start(ap, cmd);
    arg = va_arg(ap, void *);
    va_end(ap);
    if (no_ofd && cmd == OFD_SETLK) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_fcntl, fd, cmd, arg);
}
#endif

static const struct wr_fs *fs(void)
{
    return wr_fs_posix();
}

/* The lock as another process sees it: 0 got it, 1 busy, 2 anything else. */
static int lock_in_child(const char *path)
{
    pid_t pid = fork();
    int status = 0;

    T(pid >= 0);
    if (pid == 0) {
        struct wr_file *f = NULL;
        enum wr_status st = wr_file_open(fs(), path, RW, 0, &f, NULL);

        if (st == WR_OK)
            st = f->fs->lock(f, NULL);
        wr_file_close(f);
        _exit(st == WR_OK ? 0 : st == WR_BUSY ? 1 : 2);
    }
    T(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void check_lock(void)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct wr_file *f = NULL;
    struct wr_file *other = NULL;
    struct wr_err e = {0};

    T_OK(wr_file_open(fs(), path, RW | WR_FILE_CREATE, 0600, &f, &e));
    T(lock_in_child(path) == 0);
    T_OK(f->fs->lock(f, &e));
    T_OK(f->fs->lock(f, &e)); /* again is fine */
    T(lock_in_child(path) == 1);
    /* Another descriptor comes and goes, the lock stays. */
    T_OK(wr_file_open(fs(), path, RW, 0, &other, &e));
    T_IS(WR_BUSY, f->fs->lock(other, &e));
    wr_file_close(other);
    T(lock_in_child(path) == 1);
    wr_file_close(f);
    T(lock_in_child(path) == 0);
}

static void test_lock(void **state)
{
    (void)state;
    check_lock();
}

#ifdef __GLIBC__
/* On a system without locks of open file descriptions the one that was taken instead was the
 * process's: it was dropped when anybody here closed the file, as who looks into a ledger does. */
static void test_a_lock_was_dropped_with_another_descriptor(void **state)
{
    (void)state;
    no_ofd = true;
    check_lock();
    no_ofd = false;
}
#else
static void test_a_lock_was_dropped_with_another_descriptor(void **state)
{
    (void)state;
    skip();
}
#endif

/* A process with nothing to do but to wait until its end of the pipe says so, or for ever. */
static pid_t idle_child(int pipes[2])
{
    pid_t pid = fork();
    char byte;

    T(pid >= 0);
    if (pid == 0) {
        (void)alarm(60);
        (void)close(pipes[1]);
        _exit(read(pipes[0], &byte, 1) == 0 ? 0 : 1);
    }
    return pid;
}

/* An open file description is shared with children, and its lock lasted as long as any of them. */
static void test_a_child_kept_the_lock(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct wr_err e = {0};

    (void)state;
    for (int dir = 0; dir < 2; dir++) {
        const char *name = dir ? t_tmpdir() : path;
        unsigned how = dir ? WR_FILE_READ : RW | WR_FILE_CREATE;
        struct wr_file *f = NULL, *other = NULL;
        int pipes[2], status = 0;
        pid_t child;

        T(pipe(pipes) == 0);
        T_OK(wr_file_open(fs(), name, how, 0600, &f, &e));
        T_OK(f->fs->lock(f, &e));
        child = idle_child(pipes);
        T_OK(wr_file_open(fs(), name, how, 0600, &other, &e));
        T_IS(WR_BUSY, other->fs->lock(other, &e)); /* it is this process's */
        wr_file_close(f);
        T_OK(other->fs->lock(other, &e));
        wr_file_close(other);
        (void)close(pipes[1]);
        T(waitpid(child, &status, 0) == child && status == 0);
        (void)close(pipes[0]);
    }
}

/* The same where the parent is killed, and closes nothing. */
static void test_a_child_kept_the_lock_of_a_parent_that_was_killed(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    int pipes[2], ready[2], status = 0;
    struct wr_err e = {0};
    struct wr_file *f = NULL;
    pid_t parent;
    char byte;

    (void)state;
    T(pipe(pipes) == 0 && pipe(ready) == 0);
    parent = fork();
    if (parent == 0) {
        if (wr_file_open(fs(), path, RW | WR_FILE_CREATE, 0600, &f, NULL) != WR_OK ||
            f->fs->lock(f, NULL) != WR_OK)
            _exit(1);
        if (fork() == 0) {
            (void)alarm(60);
            (void)close(pipes[1]);
            _exit(write(ready[1], "x", 1) == 1 && read(pipes[0], &byte, 1) == 0 ? 0 : 1);
        }
        (void)kill(getpid(), SIGKILL);
    }
    T(waitpid(parent, &status, 0) == parent && WIFSIGNALED(status));
    T(read(ready[0], &byte, 1) == 1);
    T_OK(wr_file_open(fs(), path, RW, 0, &f, &e));
    T_OK(f->fs->lock(f, &e));
    wr_file_close(f);
    for (int i = 0; i < 2; i++) /* the child ends */
        (void)close(pipes[1 - i]), (void)close(ready[i]);
}

static void test_lock_of_a_directory(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_file *f = NULL;
    struct wr_file *other = NULL;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_file_open(fs(), dir, WR_FILE_READ, 0, &f, &e));
    T_OK(wr_file_open(fs(), dir, WR_FILE_READ, 0, &other, &e));
    T_OK(f->fs->lock(f, &e));
    T_IS(WR_BUSY, other->fs->lock(other, &e));
    wr_file_close(f);
    T_OK(other->fs->lock(other, &e));
    wr_file_close(other);
}

T_MAIN(T_TEST(test_lock), T_TEST(test_a_lock_was_dropped_with_another_descriptor),
    T_TEST(test_lock_of_a_directory), T_TEST(test_a_child_kept_the_lock),
    T_TEST(test_a_child_kept_the_lock_of_a_parent_that_was_killed))
