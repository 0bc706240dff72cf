/*
 * file_posix.h - what the two kinds of the real file system share: descriptors.
 */
#ifndef WR_BASE_FILE_POSIX_H
#define WR_BASE_FILE_POSIX_H

#include "base/file.h"

#include <sys/types.h>

/* As open(2): a descriptor, or -1 with errno. */
typedef int wr_posix_open_fn(const char *path, int flags, mode_t mode);

/* openat(2) until it is not interrupted; not inherited, and never one of the standard three. */
int wr_posix_openat(int dir, const char *path, int flags, mode_t mode);

/* A file of wr_fs_posix(), by a descriptor that `fn` gives. */
enum wr_status wr_posix_open(wr_posix_open_fn *fn, const char *path, unsigned flags, uint32_t mode,
    struct wr_file **ret, struct wr_err *e) WR_MUST_CHECK;

/* Slots of wr_fs_giving(), file_giving.c. */
enum wr_status wr_giving_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_giving_mkdir(
    const struct wr_fs *fs, const char *path, uint32_t mode, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_giving_list(const struct wr_fs *fs, const char *path, wr_dir_fn *fn, void *arg,
    struct wr_err *e) WR_MUST_CHECK;

#endif
