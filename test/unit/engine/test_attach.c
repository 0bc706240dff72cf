/*
 * test_attach.c - what was proven at attaching must survive the next kill.
 */
#include "base/mem.h"
#include "engine/primary.h"
#include "harness/engine_world.h"
#include "unit/engine/spy_store.h"

#define SECOND ((int64_t)1000000000)

/* The real disk, which can refuse to be written. */
static bool broken;

struct tight_file {
    struct wr_file file;
    struct wr_file *real;
};

static struct wr_file *real_of(struct wr_file *f)
{
    return wr_container_of(f, struct tight_file, file)->real;
}

static enum wr_status tight_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    struct tight_file *f = wr_alloc(sizeof(*f));
    enum wr_status st = wr_file_open(wr_fs_posix(), path, flags, mode, &f->real, e);

    f->file.fs = fs;
    if (st == WR_OK)
        *ret = &f->file;
    else
        wr_free(f);
    return st;
}

static void tight_close(struct wr_file *f)
{
    wr_file_close(real_of(f));
    wr_free(wr_container_of(f, struct tight_file, file));
}

static enum wr_status tight_pread(
    struct wr_file *f, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    return wr_file_pread(real_of(f), buf, n, off, got, e);
}

static enum wr_status tight_pwrite(
    struct wr_file *f, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    return broken ? wr_fail(e, WR_IO, "disk broken on purpose")
                  : wr_file_pwrite(real_of(f), buf, n, off, e);
}

static enum wr_status tight_sync(struct wr_file *f, struct wr_err *e)
{
    return wr_file_sync(real_of(f), e);
}

static enum wr_status tight_truncate(struct wr_file *f, uint64_t size, struct wr_err *e)
{
    return wr_file_truncate(real_of(f), size, e);
}

static enum wr_status tight_info(struct wr_file *f, struct wr_file_info *ret, struct wr_err *e)
{
    return wr_file_info(real_of(f), ret, e);
}

static enum wr_status tight_map(struct wr_file *f, size_t size, void **ret, struct wr_err *e)
{
    return wr_fs_posix()->map(real_of(f), size, ret, e);
}

static void tight_unmap(struct wr_file *f, void *p, size_t size)
{
    wr_fs_posix()->unmap(real_of(f), p, size);
}

static void tight_flush_hint(struct wr_file *f, uint64_t off, uint64_t n)
{
    wr_fs_posix()->flush_hint(real_of(f), off, n);
}

static enum wr_status tight_lock(struct wr_file *f, struct wr_err *e)
{
    return wr_fs_posix()->lock(real_of(f), e);
}

static struct wr_fs tight_fs(void)
{
    struct wr_fs fs = *wr_fs_posix();

    fs.open = tight_open;
    fs.close = tight_close;
    fs.pread = tight_pread;
    fs.pwrite = tight_pwrite;
    fs.sync = tight_sync;
    fs.truncate = tight_truncate;
    fs.info = tight_info;
    fs.map = tight_map;
    fs.unmap = tight_unmap;
    fs.flush_hint = tight_flush_hint;
    fs.lock = tight_lock;
    return fs;
}

/*
 *  1  a page changes; no TXID can be closed, for the disk is broken: the engine lets go of the
 * database 2  it attaches again while the replica cannot be listed: the page is dirty, and nothing
 * is sent 3  another page changes, and is noted before a checkpoint, with the position behind both
 *  4  the process dies, and the next one goes on from that position: the first page must be pending
 */
static void test_dirty_at_attach_is_noted_before_a_checkpoint(void **state)
{
    struct wr_fs fs = tight_fs();
    struct world w;
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);
    struct wr_err e = {0};

    (void)state;
    world_open(&w, 0);
    w.opts.fs = &fs;
    w.opts.checkpoint_frames = 40;
    world_app(&w);
    world_sql(&w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE a(x); CREATE TABLE b(x);"
                  "INSERT INTO a VALUES(1); INSERT INTO b VALUES(1)");
    world_start(&w);
    T_OK(wr_db_add_replica(w.db, s, 0, &e));
    w.bucket[0] = wr_storage_mem_ref(spy.inner);
    w.n_buckets = 1;
    assert_int_equal(world_sync(&w), 1);

    broken = true;
    spy.fail_list = spy.fail_put = WR_IO;
    world_sql(&w, "UPDATE a SET x=2");
    world_run(&w, 10 * SECOND);
    broken = false;
    world_run(&w, 10 * SECOND);
    for (int i = 0; i < 60; i++)
        world_sql(&w, "UPDATE b SET x=x+1");
    world_run(&w, 10 * SECOND);
    world_stop(&w);

    world_start(&w);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

T_MAIN(T_TEST(test_dirty_at_attach_is_noted_before_a_checkpoint))
