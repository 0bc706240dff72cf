/*
 * test_file_giving.c - what root makes among the files of others, and what it does not fall for.
 */
#ifndef _GNU_SOURCE   /* syscall */
#define _GNU_SOURCE 1 /* NOLINT(bugprone-reserved-identifier) */
#endif

#include "base/file.h"

#include "harness/t.h"

#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/capability.h>
#include <sys/syscall.h>
#endif

#define UID 12345
#define GID 23456

static const struct wr_fs *fs(void)
{
    return wr_fs_giving();
}

static bool is_of(const char *path, uid_t uid, gid_t gid)
{
    struct stat s;

    T(lstat(path, &s) == 0);
    return s.st_uid == uid && s.st_gid == gid;
}

/* A directory of somebody else; skipped where this process can make none. */
static const char *theirs(void)
{
    const char *dir = t_path(t_tmpdir(), "theirs");

    if (geteuid() != 0)
        skip();
    T(mkdir(dir, 0700) == 0 && chown(dir, UID, GID) == 0);
    return dir;
}

static struct wr_file *open_at(const char *path, unsigned flags)
{
    struct wr_file *f = NULL;
    struct wr_err e = {0};

    T_OK(wr_file_open(fs(), path, WR_FILE_READ | WR_FILE_WRITE | flags, 0600, &f, &e));
    return f;
}

static void test_of_the_directory(void **state)
{
    const char *dir = theirs(), *below = t_path(dir, "a/b"), *path = t_path(below, "f");
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_mkdirs(fs(), below, 0700, &e));
    T(is_of(t_path(dir, "a"), UID, GID) && is_of(below, UID, GID));
    wr_file_close(open_at(path, WR_FILE_CREATE));
    T(is_of(path, UID, GID));
    wr_file_close(open_at(t_path(dir, "new"), WR_FILE_CREATE | WR_FILE_EXCL));
    T(is_of(t_path(dir, "new"), UID, GID));
    T_OK(wr_file_put(fs(), t_path(dir, "put"), 0600, "x", 1, &e));
    T(is_of(t_path(dir, "put"), UID, GID));
    /* By the group alone, too, as in a directory that several share. */
    T(chown(dir, 0, GID) == 0);
    wr_file_close(open_at(t_path(dir, "shared"), WR_FILE_CREATE));
    T(is_of(t_path(dir, "shared"), 0, GID));
}

/* Only what is made is given: neither what was there, nor what lies in root's own directory. */
static void test_what_was_there_stays(void **state)
{
    const char *dir = theirs(), *own = t_path(t_tmpdir(), "own"), *old = t_path(dir, "old");
    const char *sub = t_path(dir, "sub");
    struct wr_file *f = NULL;
    struct wr_err e = {0};

    (void)state;
    t_spew(old, "old", 3);
    wr_file_close(open_at(old, WR_FILE_CREATE));
    wr_file_close(open_at(old, 0));
    T_IS(WR_CONFLICT,
        wr_file_open(fs(), old, WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_EXCL, 0600, &f, &e));
    T(is_of(old, 0, getegid()));
    T(t_slurp(old).n == 3);
    wr_file_close(open_at(old, WR_FILE_CREATE | WR_FILE_TRUNC));
    T(t_slurp(old).n == 0);
    T(mkdir(sub, 0700) == 0);
    T_IS(WR_CONFLICT, fs()->mkdir(fs(), sub, 0700, &e));
    T(is_of(sub, 0, getegid()));
    T(mkdir(own, 0755) == 0);
    wr_file_close(open_at(t_path(own, "f"), WR_FILE_CREATE));
    T(is_of(t_path(own, "f"), 0, 0));
    T_IS(WR_NOTFOUND, wr_file_open(fs(), t_path(dir, "none"), WR_FILE_WRITE, 0, &f, &e));
    T_IS(WR_NOTFOUND,
        wr_file_open(fs(), t_path(dir, "no/f"), WR_FILE_WRITE | WR_FILE_CREATE, 0, &f, &e));
    T_IS(WR_NOTFOUND, fs()->mkdir(fs(), t_path(dir, "no/d"), 0700, &e));
}

/* Who may make directories beside a database that he may not read would have got its pages by
 * making the one of its local state first. */
static void test_a_directory_that_others_could_have_made(void **state)
{
    const char *dir = theirs(), *shared = t_path(t_tmpdir(), "shared"),
               *sub = t_path(shared, "sub");
    const char *link = t_path(shared, "link");
    static const mode_t modes[] = {0770, 0707, 01777};
    struct wr_err e = {0};

    (void)state;
    T(mkdir(shared, 0700) == 0 && mkdir(sub, 0700) == 0 && chown(sub, UID, GID) == 0);
    for (size_t i = 0; i < wr_countof(modes); i++) {
        T(chmod(shared, modes[i]) == 0);
        wr_file_close(open_at(t_path(sub, "f"), WR_FILE_CREATE));
        T(is_of(t_path(sub, "f"), 0, getegid()) && unlink(t_path(sub, "f")) == 0);
        T_OK(fs()->mkdir(fs(), t_path(sub, "d"), 0700, &e));
        T(is_of(t_path(sub, "d"), 0, getegid()) && rmdir(t_path(sub, "d")) == 0);
    }
    T(symlink(dir, link) == 0 && lchown(link, UID, GID) == 0);
    wr_file_close(open_at(t_path(link, "f"), WR_FILE_CREATE));
    T(is_of(t_path(dir, "f"), 0, getegid()));
    T(chmod(shared, 0755) == 0);
    wr_file_close(open_at(t_path(link, "g"), WR_FILE_CREATE));
    T(is_of(t_path(dir, "g"), UID, GID));
    T(lchown(link, UID + 1, GID) == 0);
    wr_file_close(open_at(t_path(link, "h"), WR_FILE_CREATE));
    T(is_of(t_path(dir, "h"), 0, getegid()));
    T(lchown(link, 0, 0) == 0);
    wr_file_close(open_at(t_path(link, "i"), WR_FILE_CREATE));
    T(is_of(t_path(dir, "i"), UID, GID));
    /* His own may be as open as he likes. */
    T(chown(shared, UID, GID) == 0);
    wr_file_close(open_at(t_path(sub, "f"), WR_FILE_CREATE));
    T(is_of(t_path(sub, "f"), UID, GID));
}

#ifdef __linux__
static void set_override(bool on)
{
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2];

    T(syscall(SYS_capget, &h, d) == 0);
    d[0].effective =
        on ? d[0].permitted
           : d[0].effective & ~((1U << CAP_DAC_OVERRIDE) | (1U << CAP_DAC_READ_SEARCH));
    T(syscall(SYS_capset, &h, d) == 0);
}

/* As in a container that keeps CAP_CHOWN alone: the directory that it had made and given away shut
 * it out. */
static void test_root_without_his_powers(void **state)
{
    const char *dir = theirs(), *below = t_path(dir, "below");
    struct wr_err e = {0};

    (void)state;
    T(chown(dir, UID, 0) == 0 && chmod(dir, 0770) == 0);
    set_override(false);
    T_OK(wr_mkdirs(fs(), below, 0700, &e));
    wr_file_close(open_at(t_path(below, "f"), WR_FILE_CREATE));
    wr_file_close(open_at(t_path(dir, "f"), WR_FILE_CREATE));
    wr_file_close(open_at(t_path(dir, "f"), WR_FILE_CREATE));
    set_override(true);
    T(is_of(below, 0, 0) && is_of(t_path(dir, "f"), 0, 0));
}
#else
static void test_root_without_his_powers(void **state)
{
    (void)state;
    skip();
}
#endif

static bool no_name(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return false;
}

/* Whoever owns the directory could have root write anywhere by a link, and could have anything that
 * is made there by putting a link in place of a directory. */
static void test_a_link_where_root_writes(void **state)
{
    const char *dir = theirs(), *own = t_path(t_tmpdir(), "own"), *secret = t_path(own, "secret");
    const char *link = t_path(dir, "ledger"), *to = t_path(dir, "outbox");
    struct wr_file *f = NULL;
    struct wr_err e = {0};

    (void)state;
    T(mkdir(own, 0755) == 0);
    t_spew(secret, "secret", 6);
    T(symlink(secret, link) == 0 && symlink(own, to) == 0);
    T_IS(WR_IO, wr_file_open(fs(), link, WR_FILE_WRITE | WR_FILE_CREATE, 0600, &f, &e));
    T_IS(WR_IO, wr_file_open(fs(), link, WR_FILE_WRITE, 0600, &f, &e));
    T_IS(WR_IO,
        wr_file_open(fs(), link, WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_TRUNC, 0600, &f, &e));
    T(t_slurp(secret).n == 6 && is_of(secret, 0, getegid()));
    /* It is root's directory that this is made in, and so it is root's. */
    wr_file_close(open_at(t_path(to, "f"), WR_FILE_CREATE));
    T(is_of(t_path(own, "f"), 0, 0));
    T_OK(fs()->mkdir(fs(), t_path(to, "d"), 0700, &e));
    T(is_of(t_path(own, "d"), 0, 0));
    /* What is listed is removed: as an outbox, another's replica lost its files. */
    T_IS(WR_IO, fs()->list(fs(), to, no_name, NULL, &e));
    T_OK(fs()->list(
        fs(), t_path(to, ""), no_name, NULL, &e)); /* of a slash behind it: it is meant */
    T_OK(fs()->list(fs(), own, no_name, NULL, &e));
    T_OK(fs()->list(fs(), dir, no_name, NULL, &e));
    T_IS(WR_NOTFOUND, fs()->list(fs(), t_path(dir, "none"), no_name, NULL, &e));
    /* Reading through a link is as ever. */
    T_OK(wr_file_open(fs(), link, WR_FILE_READ, 0, &f, &e));
    wr_file_close(f);
}

T_MAIN(T_TEST(test_of_the_directory), T_TEST(test_what_was_there_stays),
    T_TEST(test_a_directory_that_others_could_have_made), T_TEST(test_root_without_his_powers),
    T_TEST(test_a_link_where_root_writes))
