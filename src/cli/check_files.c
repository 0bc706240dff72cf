/*
 * check_files.c - the files of a database as they are now, without opening one in this process:
 * stat(2), access(2), statvfs(2), and a child that reads the header.
 */
#include "base/file.h"
#include "cli/check_int.h"
#include "cli/progress.h"
#include "daemon/headers.h"

#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/vfs.h>
#endif

static bool may(const char *path, int mode)
{
    return access(path, mode) == 0;
}

/* The nearest directory that exists, from `path` upwards; in the arena. */
static const char *existing(struct wr_arena *a, const char *path)
{
    struct stat s;

    while (path && stat(path, &s) != 0 && strcmp(path, "/") != 0 && strcmp(path, ".") != 0)
        path = wr_arena_str(a, wr_path_dir(path)).p;
    return path;
}

static void look_at_owner(struct wr_check *k, const struct stat *s, struct wr_check_file *f)
{
    struct passwd pw, *found = NULL;
    char room[4096];

    if (s->st_uid == geteuid())
        return;
    if (getpwuid_r(s->st_uid, &pw, room, sizeof(room), &found) == 0 && found)
        f->owner = wr_arena_str(k->cli->arena, wr_str(pw.pw_name)).p;
    else
        f->owner = wr_arena_fmt(k->cli->arena, "user %lu", (unsigned long)s->st_uid).p;
}

static bool sidecar_open(struct wr_check *k, const char *path, const char *suffix)
{
    struct wr_str name = wr_arena_fmt(k->cli->arena, "%s%s", path, suffix);

    return name.p && (!may(name.p, F_OK) || may(name.p, R_OK | W_OK));
}

static void look_at_header(struct wr_check *k, const char *path, struct wr_check_file *f)
{
    uint8_t start[WR_HEADER_WHOLE];
    struct wr_err e = {0};
    size_t n = 0;

    f->headless = wr_header_fetch(path, start, sizeof(start), &n, &e) != WR_OK;
    if (!f->headless)
        wr_check_header(start, n, f);
    else if (f->readable)
        wr_check_find(k, WR_CHECK_ERROR, "%s cannot be read: %s", path, e.text);
}

/* File systems on which processes of several machines might use one database, or on which mmap is
 * not shared. */
static const char *network_fs(const char *path)
{
#ifdef __linux__
    static const struct {
        uint32_t magic;
        const char *name;
    } known[] = {{0x6969, "NFS"}, {0x517b, "SMB"}, {0xff534d42, "CIFS"}, {0xfe534d42, "SMB"},
        {0x01021997, "9p"}, {0x47504653, "GPFS"}, {0x5346414f, "AFS"}};
    struct statfs s;

    if (statfs(path, &s) == 0)
        for (size_t i = 0; i < wr_countof(known); i++)
            if ((uint32_t)s.f_type == known[i].magic)
                return known[i].name;
#else
    (void)path;
#endif
    return NULL;
}

static void look_at_file(struct wr_check *k, const char *path, struct wr_check_file *f)
{
    struct stat s;
    struct wr_str dir = wr_arena_str(k->cli->arena, wr_path_dir(path));

    if (stat(path, &s) != 0) {
        f->kind = errno == ENOENT || errno == ENOTDIR ? WR_CHECK_MISSING : WR_CHECK_UNSEEN;
        f->why = strerror(errno);
        return;
    }
    f->kind = S_ISREG(s.st_mode)   ? WR_CHECK_FILE
              : S_ISDIR(s.st_mode) ? WR_CHECK_DIRECTORY
                                   : WR_CHECK_SPECIAL;
    if (f->kind != WR_CHECK_FILE)
        return;
    f->size = (uint64_t)s.st_size;
    f->readable = may(path, R_OK);
    f->writable = may(path, W_OK);
    f->dir_writable = dir.p && may(dir.p, W_OK | X_OK);
    f->sidecars_open = sidecar_open(k, path, "-wal") && sidecar_open(k, path, "-shm");
    f->fs = network_fs(path);
    look_at_owner(k, &s, f);
    look_at_header(k, path, f);
}

static void look_at_state(
    struct wr_check *k, const struct wr_config_db *db, struct wr_check_file *f)
{
    const char *dir;
    struct statvfs v;

    f->state = wr_config_state_dir(k->cli->arena, db);
    dir = f->state ? existing(k->cli->arena, f->state) : NULL;
    if (!dir) {
        k->lost = true;
        f->state = "?";
        return;
    }
    f->state_writable = may(dir, W_OK | X_OK);
    if (statvfs(dir, &v) != 0)
        return;
    f->free_known = true;
    f->free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    f->read_only = v.f_flag & ST_RDONLY;
}

static void tell(struct wr_check *k, const struct wr_check_file *f)
{
    static const char *const kinds[] = {"missing", "file", "directory", "special", "unseen"};
    char size[WR_SIZE_TEXT_MAX], room[WR_SIZE_TEXT_MAX];
    json_t *outer = wr_check_enter(k, "file");

    wr_check_text(k, "kind", kinds[f->kind]);
    wr_size_text(size, f->size);
    wr_size_text(room, f->free_bytes);
    if (f->kind == WR_CHECK_FILE) {
        wr_check_number(k, "bytes", (double)f->size);
        wr_check_set(k, "is_database", json_boolean(f->is_database));
        if (f->is_database) {
            wr_check_number(k, "page_size", f->page_size);
            wr_check_text(k, "mode", f->wal ? "wal" : "rollback journal");
            wr_check_line(k, "file", "%s, pages of %lu bytes, %s", size,
                (unsigned long)f->page_size, f->wal ? "WAL mode" : "rollback journal");
        } else {
            wr_check_line(k, "file", "%s", size);
        }
        wr_check_text(k, "owner_if_other", f->owner);
    } else {
        wr_check_line(k, "file", "%s", kinds[f->kind]);
    }
    wr_check_leave(k, outer);
    outer = wr_check_enter(k, "state");
    wr_check_text(k, "path", f->state);
    if (f->free_known)
        wr_check_number(k, "free_bytes", (double)f->free_bytes);
    wr_check_set(k, "writable", json_boolean(f->state_writable && !f->read_only));
    wr_check_line(k, "state", "%s, %s%s", f->state, f->free_known ? room : "?", " free");
    wr_check_leave(k, outer);
}

void wr_check_files(struct wr_check *k, const struct wr_config_db *db, uint64_t *ret_bytes)
{
    struct wr_check_file f = {.restores = db->restore_if_missing};

    look_at_file(k, db->path, &f);
    look_at_state(k, db, &f);
    tell(k, &f);
    wr_check_judge(k, db->path, &f);
    *ret_bytes = f.kind == WR_CHECK_FILE ? f.size : 0;
}
