/*
 * file_giving.c - the real file system for root, who makes files among those of others.
 *
 * What is made belongs to the owner of the directory in which it is made, who could put anything
 * there anyway; never to somebody whom a path, a database or a setting names. So the directory is
 * opened first and asked for its owner, and the file is made in what was opened: between two looks
 * at a path its owner could have put another directory there, and get a file of that one.
 *
 * Nor is anything given where others could have put the directory itself: what we make has pages of
 * the database, and who shares the directory of a database that he may not read could have made its
 * ".app.db-weir" before us. And nothing with which we could not go on ourselves.
 *
 * He could also have put a symbolic link where we write, or in place of a directory whose files are
 * removed: it is not followed.
 */
#include "base/file_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_ROOM 4096 /* bytes, which is what a call takes */

/* The directory of a path. */
struct place {
    int dir;          /* to be closed; -1 where it is root's own, or not to be had: as ever, then */
    bool gives;       /* what is made there */
    const char *name; /* in it */
    uid_t uid;
    gid_t gid;
};

/* Whether only `owner`, or root, can have put something of his into a directory. */
static bool is_his_to_fill(const struct stat *dir, uid_t owner)
{
    return dir->st_uid == owner || (dir->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* What is behind a symbolic link. *ret_by: whose link it is; if others could have put it there,
 * nobody's. */
static int open_behind(const char *path, uid_t *ret_by)
{
    struct wr_str dir = wr_path_dir(path);
    char room[PATH_ROOM];
    struct stat above, link;
    int fd, in;

    memcpy(room, dir.p, dir.n); /* the path has its size */
    room[dir.n] = '\0';
    in = wr_posix_openat(AT_FDCWD, room, O_RDONLY | O_DIRECTORY, 0);
    if (in < 0)
        return -1;
    if (fstat(in, &above) == 0 &&
        fstatat(in, wr_path_base(path).p, &link, AT_SYMLINK_NOFOLLOW) == 0 &&
        is_his_to_fill(&above, link.st_uid))
        *ret_by = link.st_uid;
    fd = wr_posix_openat(in, wr_path_base(path).p, O_RDONLY | O_DIRECTORY, 0);
    (void)close(in); /* opened for reading: nothing to lose */
    return fd;
}

/* The directory, which has a path of less than PATH_ROOM, and what there is to know of it. */
static int open_place(const char *path, struct stat *ret, bool *ret_gives)
{
    uid_t by = 0;
    struct stat above;
    int fd = wr_posix_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

    if (fd < 0) {
        by = (uid_t)-1;
        fd = open_behind(path, &by);
    }
    if (fd < 0)
        return -1;
    if (fstat(fd, ret) != 0) {
        (void)close(fd); /* nothing was done with it */
        return -1;
    }
    *ret_gives = (by == 0 || by == ret->st_uid) && fstatat(fd, "..", &above, 0) == 0 &&
                 is_his_to_fill(&above, ret->st_uid);
    return fd;
}

static void look(const char *path, struct place *ret)
{
    struct wr_str dir = wr_path_dir(path), base = wr_path_base(path);
    char room[PATH_ROOM];
    struct stat s;

    *ret = (struct place){.dir = -1, .name = base.p};
    /* A name with slashes behind it is for a directory that is there. */
    if (dir.n >= sizeof(room) || base.n == 0 || base.p[base.n] != '\0')
        return;
    memcpy(room, dir.p, dir.n);
    room[dir.n] = '\0';
    if (stat(room, &s) != 0 || (s.st_uid == 0 && s.st_gid == 0))
        return;
    ret->dir = open_place(room, &s, &ret->gives);
    ret->uid = s.st_uid;
    ret->gid = s.st_gid;
}

static void leave(const struct place *p)
{
    int why = errno;

    (void)close(p->dir); /* opened for reading: nothing to lose */
    errno = why;
}

/* `how` is what we need of it (access(2)), for which root asks as others if he lacks the power. */
static void give(int fd, const struct place *p, int how)
{
    if (!p->gives || fchown(fd, p->uid, p->gid) != 0)
        return; /* then it is root's, as on a file system that knows no owners */
    if (faccessat(p->dir, p->name, how, AT_EACCESS) != 0)
        (void)fchown(fd, geteuid(), (gid_t)-1); /* a moment ago it was */
}

static int open_in(const struct place *p, int flags, mode_t mode)
{
    int fd = -1;

    errno = EEXIST;
    if (flags & O_CREAT)
        fd = wr_posix_openat(p->dir, p->name, flags | O_EXCL | O_NOFOLLOW, mode);
    if (fd >= 0) {
        give(fd, p, R_OK | W_OK);
        return fd;
    }
    if (errno != EEXIST || flags & O_EXCL)
        return -1;
    return wr_posix_openat(p->dir, p->name, flags | O_NOFOLLOW, mode);
}

static int open_giving(const char *path, int flags, mode_t mode)
{
    struct place p = {.dir = -1};

    if (flags & O_CREAT || (flags & O_ACCMODE) != O_RDONLY)
        look(path, &p);
    if (p.dir < 0)
        return wr_posix_openat(AT_FDCWD, path, flags, mode);
    int fd = open_in(&p, flags, mode);
    leave(&p);
    return fd;
}

enum wr_status wr_giving_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    (void)fs;
    return wr_posix_open(open_giving, path, flags, mode, ret, e);
}

/* Takes the descriptor. */
static bool is_empty(int fd)
{
    DIR *dir = fdopendir(fd);
    bool empty = true;

    if (!dir) {
        (void)close(fd); /* opened for reading: nothing to lose */
        return false;
    }
    for (const struct dirent *entry; empty && (entry = readdir(dir)) != NULL;)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    (void)closedir(dir);
    return empty;
}

/* What has the name now was made a moment ago, unless its owner has put another one there, which is
 * his to have if it is empty. */
static void give_dir(const struct place *p)
{
    int fd = wr_posix_openat(p->dir, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    int same = fd >= 0 ? dup(fd) : -1;

    if (same >= 0 && is_empty(same))
        give(fd, p, R_OK | W_OK | X_OK);
    if (fd >= 0)
        (void)close(fd); /* opened for reading: nothing to lose */
}

enum wr_status wr_giving_mkdir(
    const struct wr_fs *fs, const char *path, uint32_t mode, struct wr_err *e)
{
    struct place p;
    enum wr_status st = WR_OK;

    (void)fs;
    look(path, &p);
    if (p.dir < 0)
        return wr_fs_posix()->mkdir(wr_fs_posix(), path, mode, e);
    if (mkdirat(p.dir, p.name, (mode_t)mode) == 0)
        give_dir(&p);
    else
        st = wr_fail_errno(e, errno, "create directory %s", path);
    leave(&p);
    return st;
}

enum wr_status wr_giving_list(
    const struct wr_fs *fs, const char *path, wr_dir_fn *fn, void *arg, struct wr_err *e)
{
    struct place p;
    int fd, why;

    (void)fs;
    look(path, &p);
    if (p.dir >= 0) {
        fd = wr_posix_openat(p.dir, p.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        why = errno;
        (void)close(p.dir); /* both were opened for reading: nothing to lose */
        if (fd < 0)
            return wr_fail_errno(e, why, "open directory %s", path);
        (void)close(fd);
    }
    return wr_fs_posix()->list(wr_fs_posix(), path, fn, arg, e);
}
