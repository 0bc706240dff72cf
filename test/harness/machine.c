/*
 * machine.c - see machine.h.
 */
#include "harness/machine.h"

#include "harness/t.h"

#define ID_PATH "/etc/machine-id"
#define ID      "0123456789abcdef0123456789abcdef\n"

/* Where it is in fact. */
static const char *place_of(const char *path)
{
    static char place[512];

    if (strcmp(path, ID_PATH) != 0)
        return path;
    if (!place[0]) {
        (void)snprintf(place, sizeof(place), "%s", t_path(t_tmpdir(), "machine-id"));
        t_spew(place, ID, sizeof(ID) - 1);
    }
    return place;
}

static enum wr_status open_there(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    (void)fs;
    return wr_file_open(wr_fs_posix(), place_of(path), flags, mode, ret, e);
}

static enum wr_status stat_there(
    const struct wr_fs *fs, const char *path, struct wr_file_info *ret, struct wr_err *e)
{
    (void)fs;
    return wr_fs_posix()->stat(wr_fs_posix(), place_of(path), ret, e);
}

const struct wr_fs *t_machine_fs(void)
{
    static struct wr_fs fs;

    fs = *wr_fs_posix();
    fs.open = open_there;
    fs.stat = stat_there;
    return &fs;
}

static enum wr_status stat_nameless(
    const struct wr_fs *fs, const char *path, struct wr_file_info *ret, struct wr_err *e)
{
    (void)fs;
    if (strcmp(path, ID_PATH) == 0)
        return wr_fail(e, WR_NOTFOUND, "%s", path);
    return wr_fs_posix()->stat(wr_fs_posix(), path, ret, e);
}

const struct wr_fs *t_nameless_fs(void)
{
    static struct wr_fs fs;

    fs = *wr_fs_posix();
    fs.stat = stat_nameless;
    return &fs;
}
