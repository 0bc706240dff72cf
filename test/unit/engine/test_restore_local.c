/*
 * test_restore_local.c - what is missing on this machine is never told as a backup that is not
 * there: whoever is told that goes on without one.
 */
#include "unit/engine/resume_world.h"

/* A disk of which one call, of whatever kind, finds nothing. */
static struct blind {
    struct wr_fs fs;
    atomic_int left; /* calls before that one */
} blind;             /* a vtable is const, what it speaks of is not */

struct blind_file {
    struct wr_file file, *real;
};

static struct wr_file *real_of(struct wr_file *f)
{
    return wr_container_of(f, struct blind_file, file)->real;
}

static enum wr_status look(struct wr_err *e)
{
    return atomic_fetch_sub(&blind.left, 1) == 0 ? wr_fail(e, WR_NOTFOUND, "nothing on purpose")
                                                 : WR_OK;
}

static enum wr_status blind_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    struct blind_file *f;
    enum wr_status st = look(e);

    if (st != WR_OK)
        return st;
    f = wr_alloc(sizeof(*f));
    T(f);
    f->file.fs = fs;
    st = wr_file_open(wr_fs_posix(), path, flags, mode, &f->real, e);
    if (st == WR_OK)
        *ret = &f->file;
    else
        wr_free(f);
    return st;
}

static void blind_close(struct wr_file *f)
{
    wr_file_close(real_of(f));
    wr_free(wr_container_of(f, struct blind_file, file));
}

static enum wr_status blind_pread(
    struct wr_file *f, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    enum wr_status st = look(e);

    return st == WR_OK ? wr_file_pread(real_of(f), buf, n, off, got, e) : st;
}

static enum wr_status blind_pwrite(
    struct wr_file *f, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    enum wr_status st = look(e);

    return st == WR_OK ? wr_file_pwrite(real_of(f), buf, n, off, e) : st;
}

static enum wr_status blind_sync(struct wr_file *f, struct wr_err *e)
{
    enum wr_status st = look(e);

    return st == WR_OK ? wr_file_sync(real_of(f), e) : st;
}

static enum wr_status blind_truncate(struct wr_file *f, uint64_t size, struct wr_err *e)
{
    enum wr_status st = look(e);

    return st == WR_OK ? wr_file_truncate(real_of(f), size, e) : st;
}

static enum wr_status blind_info(struct wr_file *f, struct wr_file_info *ret, struct wr_err *e)
{
    enum wr_status st = look(e);

    return st == WR_OK ? wr_file_info(real_of(f), ret, e) : st;
}

static void blind_flush_hint(struct wr_file *f, uint64_t off, uint64_t n)
{
    wr_fs_posix()->flush_hint(real_of(f), off, n);
}

static enum wr_status blind_lock(struct wr_file *f, struct wr_err *e)
{
    enum wr_status st = look(e);

    return st == WR_OK ? wr_fs_posix()->lock(real_of(f), e) : st;
}

static enum wr_status blind_set_owner(
    struct wr_file *f, uint32_t uid, uint32_t gid, struct wr_err *e)
{
    enum wr_status st = look(e);

    return st == WR_OK ? wr_fs_posix()->set_owner(real_of(f), uid, gid, e) : st;
}

static enum wr_status blind_set_mode(struct wr_file *f, uint32_t mode, struct wr_err *e)
{
    enum wr_status st = look(e);

    return st == WR_OK ? wr_fs_posix()->set_mode(real_of(f), mode, e) : st;
}

static enum wr_status blind_stat(
    const struct wr_fs *fs, const char *path, struct wr_file_info *ret, struct wr_err *e)
{
    enum wr_status st = look(e);

    (void)fs;
    return st == WR_OK ? wr_fs_posix()->stat(wr_fs_posix(), path, ret, e) : st;
}

static enum wr_status blind_lstat(
    const struct wr_fs *fs, const char *path, struct wr_file_info *ret, struct wr_err *e)
{
    enum wr_status st = look(e);

    (void)fs;
    return st == WR_OK ? wr_fs_posix()->lstat(wr_fs_posix(), path, ret, e) : st;
}

static enum wr_status blind_resolve(
    const struct wr_fs *fs, const char *path, char **ret, struct wr_err *e)
{
    enum wr_status st = look(e);

    (void)fs;
    return st == WR_OK ? wr_fs_posix()->resolve(wr_fs_posix(), path, ret, e) : st;
}

static enum wr_status blind_rename(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e)
{
    enum wr_status st = look(e);

    (void)fs;
    return st == WR_OK ? wr_fs_posix()->rename(wr_fs_posix(), from, to, e) : st;
}

static enum wr_status blind_rename_new(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e)
{
    enum wr_status st = look(e);

    (void)fs;
    return st == WR_OK ? wr_fs_posix()->rename_new(wr_fs_posix(), from, to, e) : st;
}

static enum wr_status blind_remove(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    enum wr_status st = look(e);

    (void)fs;
    return st == WR_OK ? wr_fs_posix()->remove(wr_fs_posix(), path, e) : st;
}

static enum wr_status blind_mkdir(
    const struct wr_fs *fs, const char *path, uint32_t mode, struct wr_err *e)
{
    enum wr_status st = look(e);

    (void)fs;
    return st == WR_OK ? wr_fs_posix()->mkdir(wr_fs_posix(), path, mode, e) : st;
}

static enum wr_status blind_sync_dir(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    enum wr_status st = look(e);

    (void)fs;
    return st == WR_OK ? wr_fs_posix()->sync_dir(wr_fs_posix(), path, e) : st;
}

static enum wr_status blind_list(
    const struct wr_fs *fs, const char *path, wr_dir_fn *fn, void *arg, struct wr_err *e)
{
    enum wr_status st = look(e);

    (void)fs;
    return st == WR_OK ? wr_fs_posix()->list(wr_fs_posix(), path, fn, arg, e) : st;
}

static const struct wr_fs *blind_disk(int at)
{
    blind.fs = (struct wr_fs){.open = blind_open,
        .close = blind_close,
        .pread = blind_pread,
        .pwrite = blind_pwrite,
        .sync = blind_sync,
        .truncate = blind_truncate,
        .info = blind_info,
        .flush_hint = blind_flush_hint,
        .lock = blind_lock,
        .set_owner = blind_set_owner,
        .set_mode = blind_set_mode,
        .stat = blind_stat,
        .lstat = blind_lstat,
        .resolve = blind_resolve,
        .rename = blind_rename,
        .rename_new = blind_rename_new,
        .remove = blind_remove,
        .mkdir = blind_mkdir,
        .sync_dir = blind_sync_dir,
        .list = blind_list};
    atomic_store(&blind.left, at);
    return &blind.fs;
}

/* Any call, of a restore that replaces a database behind a link (1) and its WAL, or is resumable
 * (2). */
static void test_a_missing_local_file_was_told_as_a_missing_backup(void **state)
{
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, SMALL);
    for (int how = 0; how < 4; how++) {
        bool through = false;

        for (int at = 0; !through; at++) {
            struct wr_restore_opts o = rig_opts(&g, 1);
            struct wr_restore_result r = {0};
            struct wr_err e = {0};
            enum wr_status st;

            const char *dir = t_tmpdir();

            o.path = t_path(dir, how & 1 ? "db" : "new/db");
            if (how & 1) {
                t_spew(t_path(dir, "real"), "old", 3);
                t_spew(t_path(dir, "real-wal"), "w", 1);
                T(symlink("real", o.path) == 0);
            }
            o.overwrite = how & 1;
            o.resume_min = how & 2 ? 1 : 0;
            o.fs = blind_disk(at);
            st = wr_restore(g.w.storage, t_call(), &o, &r, &e);
            T(st != WR_NOTFOUND && (st == WR_OK || e.code == st));
            through = atomic_load(&blind.left) >= 0;
            T(!through || at > 12);
            T(!through || st == WR_OK);
        }
    }
    rig_release(&g);
}

/* The database's directory is a link to a volume that is not mounted. */
static void test_a_directory_that_leads_nowhere_was_told_as_a_missing_backup(void **state)
{
    struct wr_restore_result r = {0};
    struct wr_restore_opts o;
    struct wr_err e = {0};
    struct rig g;

    (void)state;
    rig_init(&g, true, 512, 20);
    T(symlink(t_path(g.dir, "not-mounted"), t_path(g.dir, "data")) == 0);
    g.path = t_path(g.dir, "data/db");
    o = rig_opts(&g, 1);
    T_IS(WR_CONFLICT, wr_restore(g.w.storage, t_call(), &o, &r, &e));
    T(strstr(e.text, "/data: exists, but is a link that leads nowhere"));
    rig_release(&g);
}

T_MAIN(T_TEST(test_a_missing_local_file_was_told_as_a_missing_backup),
    T_TEST(test_a_directory_that_leads_nowhere_was_told_as_a_missing_backup))
