/*
 * test_frozen.c - an image that stands still while the application writes and we checkpoint,
 * against a copy of the database made at that moment.
 */
#include "engine/frozen.h"

#include "base/mem.h"
#include "base/sync.h"
#include "unit/engine/live_db.h"

#include <sys/stat.h>

#define MS ((int64_t)1000000)

/* What the image was, and how far it has been read. */
struct image {
    struct wr_frozen *f;
    struct wr_bytes then;
    uint32_t size, commit, lock_pgno;
    uint32_t next;
};

static const char *outbox_of(struct live *l)
{
    return t_path(l->dir, "state/outbox");
}

static struct image freeze_in(struct live *l, const struct wr_fs *fs)
{
    struct image m = {.next = 1};
    struct wr_err e = {0};

    live_look(l);
    m.then = live_image(l);
    m.size = l->view.page_size;
    m.commit = l->view.commit;
    m.lock_pgno = l->view.lock_pgno;
    T(m.then.n == (size_t)m.commit * m.size);
    T_OK(wr_frozen_new(fs, outbox_of(l), &l->view, &m.f, &e));
    return m;
}

static struct image freeze(struct live *l)
{
    return freeze_in(l, wr_fs_posix());
}

/* Read on, at most `n` pages, and compare. */
static void read_on(struct image *m, uint32_t n)
{
    uint8_t *buf;
    struct wr_err e = {0};

    n = wr_min(n, m->commit - m->next + 1);
    if (n == 0)
        return;
    buf = wr_array(n, m->size);
    T(buf != NULL);
    T_OK(wr_frozen_read(m->f, m->next, n, buf, &e));
    for (uint32_t p = m->next; p < m->next + n; p++) {
        const uint8_t *got = buf + (size_t)(p - m->next) * m->size;

        if (p != m->lock_pgno && memcmp(got, m->then.p + (size_t)(p - 1) * m->size, m->size) != 0)
            fail_msg("page %u of %u is not what it was", p, m->commit);
    }
    wr_free(buf);
    m->next += n;
}

static void read_all(struct image *m)
{
    read_on(m, m->commit);
    T(m->next == m->commit + 1);
}

/* A checkpoint as the engine makes it, `max` pages aside in each step. How many steps. */
static unsigned checkpoint(struct live *l, struct image *m, bool truncate, size_t max)
{
    struct wr_err e = {0};
    unsigned steps = 0;
    bool all = false;

    T_OK(wr_frozen_hold(m->f, 1000 * MS));
    while (!all) {
        live_look(l);
        T_OK(wr_frozen_keep(m->f, &l->view, max, &all, &e));
        steps++;
    }
    if (truncate)
        T_OK(wr_conn_barrier_begin(l->conn, 1000 * MS, &e));
    T_OK(wr_conn_checkpoint(l->conn, truncate, &e));
    if (truncate)
        wr_conn_barrier_end(l->conn);
    wr_frozen_let(m->f);
    live_look(l);
    return steps;
}

static void test_random_checkpoints_while_it_is_read(void **state)
{
    static const uint32_t sizes[] = {512, 4096, 65536};

    (void)state;
    for (size_t i = 0; i < wr_countof(sizes); i++) {
        struct live l;

        live_open(&l, sizes[i]);
        for (int life = 0; life < 6; life++) {
            struct image m;

            for (int n = 0; n < 4; n++)
                live_write(&l, 60000);
            m = freeze(&l);
            while (m.next <= m.commit) {
                uint64_t dice = wr_rand_below(&l.rng, 10);

                if (dice < 4)
                    live_write(&l, 60000);
                else if (dice < 5)
                    live_sql(&l, "DELETE FROM t; VACUUM");
                else if (dice < 8)
                    (void)checkpoint(&l, &m, dice == 7, 1 + (size_t)wr_rand_below(&l.rng, 40));
                else
                    read_on(&m, 1 + (uint32_t)wr_rand_below(&l.rng, m.commit / 3 + 1));
            }
            wr_frozen_free(m.f);
        }
        live_close(&l);
    }
}

/* Everything was in the database when the image was taken: the next writer reuses the WAL from its
 * first frame on, and those frames are newer than the image although their numbers are lower. */
static void test_the_wal_starts_over_right_after(void **state)
{
    struct live l;
    struct image m;
    struct wr_err e = {0};

    (void)state;
    live_open(&l, 4096);
    live_write(&l, 60000);
    live_sql(&l, "INSERT INTO t VALUES(100, randomblob(50000))");
    T_OK(wr_conn_checkpoint(l.conn, false, &e));
    m = freeze(&l);
    live_sql(&l, "UPDATE t SET b=randomblob(50000) WHERE a=100");
    live_look(&l);
    T(l.view.frames.n > 0 && l.view.backfilled == 0);
    (void)checkpoint(&l, &m, false, 1000);
    T(wr_frozen_kept(m.f) > 10);
    read_all(&m);
    wr_frozen_free(m.f);
    live_close(&l);
}

/* Pages that only the WAL has, at first, and that a later generation of the WAL overwrites. */
static void test_frames_of_the_image_are_checkpointed_then_overwritten(void **state)
{
    struct live l;
    struct image m;

    (void)state;
    live_open(&l, 4096);
    live_sql(&l, "INSERT INTO t VALUES(100, randomblob(50000))");
    m = freeze(&l);
    (void)checkpoint(&l, &m, false, 1000);
    live_sql(&l, "UPDATE t SET b=randomblob(50000) WHERE a=100");
    read_on(&m, 4);
    (void)checkpoint(&l, &m, true, 1000);
    live_sql(&l, "UPDATE t SET b=randomblob(50000) WHERE a=100");
    read_on(&m, 4);
    (void)checkpoint(&l, &m, false, 1000);
    read_all(&m);
    wr_frozen_free(m.f);
    live_close(&l);
}

/* A checkpoint cuts the file when the database has shrunk: few frames, many pages. */
static void test_the_database_shrinks(void **state)
{
    struct wr_err e = {0};
    struct live l;
    struct image m;
    struct stat st;

    (void)state;
    live_open(&l, 4096);
    live_sql(&l, "INSERT INTO t VALUES(100, zeroblob(400000)), (101, randomblob(400000))");
    T_OK(wr_conn_checkpoint(l.conn, false, &e)); /* nothing of the image is in the WAL alone */
    m = freeze(&l);
    live_sql(&l, "DELETE FROM t WHERE a >= 100; VACUUM");
    T(checkpoint(&l, &m, false, 50) >= 4); /* in steps, so that nobody waits for all of it */
    T(l.view.commit < 50 && stat(l.path, &st) == 0 && st.st_size < 50 * 4096);
    T(wr_frozen_kept(m.f) >= 190);
    live_sql(&l, "INSERT INTO t VALUES(100, randomblob(900000))");
    (void)checkpoint(&l, &m, false, 1000);
    read_all(&m);
    wr_frozen_free(m.f);
    live_close(&l);
}

static void test_pages_that_were_read_are_not_kept(void **state)
{
    struct wr_err e = {0};
    struct live l;
    struct image m;

    (void)state;
    live_open(&l, 4096);
    live_sql(&l, "INSERT INTO t VALUES(100, randomblob(100000)), (101, randomblob(100000))");
    T_OK(wr_conn_checkpoint(l.conn, false, &e)); /* nothing of the image is in the WAL alone */
    m = freeze(&l);
    read_on(&m, m.commit - 2);
    live_sql(&l, "UPDATE t SET b=randomblob(100000)");
    (void)checkpoint(&l, &m, false, 1000);
    T(wr_frozen_kept(m.f) <= 2);
    read_all(&m);
    wr_frozen_free(m.f);
    live_close(&l);
}

static void test_a_page_is_kept_once(void **state)
{
    struct live l;
    struct image m;
    uint64_t kept;

    (void)state;
    live_open(&l, 4096);
    live_sql(&l, "INSERT INTO t VALUES(100, randomblob(100000))");
    m = freeze(&l);
    (void)checkpoint(&l, &m, false, 1000);
    live_sql(&l, "UPDATE t SET b=randomblob(100000) WHERE a=100");
    (void)checkpoint(&l, &m, false, 1000);
    kept = wr_frozen_kept(m.f);
    for (int i = 0; i < 5; i++) {
        live_sql(&l, "UPDATE t SET b=randomblob(100000) WHERE a=100");
        (void)checkpoint(&l, &m, i % 2 == 0, 1000);
    }
    T(wr_frozen_kept(m.f) == kept && kept <= m.commit);
    read_all(&m);
    wr_frozen_free(m.f);
    live_close(&l);
}

static void test_the_file_of_kept_pages_goes_with_the_image(void **state)
{
    struct wr_err e = {0};
    struct live l;
    struct image m, other;
    struct stat st;
    const char *name, *second;

    (void)state;
    live_open(&l, 4096);
    name = t_path(outbox_of(&l), "kept.0");
    second = t_path(outbox_of(&l), "kept.1");
    live_sql(&l, "INSERT INTO t VALUES(100, randomblob(100000))");
    T_OK(wr_conn_checkpoint(l.conn, false, &e)); /* nothing of the image is in the WAL alone */
    m = freeze(&l);
    (void)checkpoint(&l, &m, false, 1000);
    T(stat(name, &st) != 0); /* nothing to keep: no file */
    live_sql(&l, "UPDATE t SET b=randomblob(100000) WHERE a=100");
    (void)checkpoint(&l, &m, false, 1000);
    T(stat(name, &st) == 0 && (st.st_mode & 0777) == 0600);
    other = freeze(&l);
    live_sql(&l, "UPDATE t SET b=randomblob(100000) WHERE a=100");
    (void)checkpoint(&l, &other, false, 1000);
    T(stat(second, &st) == 0);
    wr_frozen_free(m.f);
    T(stat(name, &st) != 0 && stat(second, &st) == 0);
    wr_frozen_free(other.f);
    T(stat(second, &st) != 0);
    wr_frozen_free(NULL);
    live_close(&l);
}

/* ---- a full disk ---- */

static unsigned writes_left;

static enum wr_status tight_pwrite(
    struct wr_file *f, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    const struct wr_fs *fs = f->fs;
    enum wr_status st;

    if (writes_left == 0)
        return wr_fail(e, WR_LIMIT, "disk full on purpose");
    writes_left--;
    f->fs = wr_fs_posix();
    st = wr_file_pwrite(f, buf, n, off, e);
    f->fs = fs;
    return st;
}

static enum wr_status tight_pread(
    struct wr_file *f, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    const struct wr_fs *fs = f->fs;
    enum wr_status st;

    f->fs = wr_fs_posix();
    st = wr_file_pread(f, buf, n, off, got, e);
    f->fs = fs;
    return st;
}

static void tight_close(struct wr_file *f)
{
    f->fs = wr_fs_posix();
    wr_file_close(f);
}

static enum wr_status tight_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    enum wr_status st = wr_file_open(wr_fs_posix(), path, flags, mode, ret, e);

    if (st == WR_OK)
        (*ret)->fs = fs;
    return st;
}

/* The checkpoint must not run; later, with room, it may. The image is right all along. */
static void test_a_full_disk(void **state)
{
    struct wr_fs fs = *wr_fs_posix();
    struct wr_err e = {0};
    struct live l;
    struct image m;
    bool all = true;

    (void)state;
    fs.open = tight_open;
    fs.pwrite = tight_pwrite;
    fs.pread = tight_pread;
    fs.close = tight_close;
    live_open(&l, 4096);
    live_sql(&l, "INSERT INTO t VALUES(100, randomblob(900000))");
    T_OK(wr_conn_checkpoint(l.conn, false, &e));
    m = freeze_in(&l, &fs);
    live_sql(&l, "UPDATE t SET b=randomblob(900000) WHERE a=100");
    live_look(&l);
    T_OK(wr_frozen_hold(m.f, 1000 * MS));
    for (writes_left = 0; writes_left < 3; writes_left++) { /* a page, or its slot */
        unsigned was = writes_left;

        T_IS(WR_LIMIT, wr_frozen_keep(m.f, &l.view, 1000, &all, &e));
        T(!all);
        writes_left = was;
    }
    wr_frozen_let(m.f);
    read_on(&m, 50);
    writes_left = 1000;
    (void)checkpoint(&l, &m, false, 1000);
    live_sql(&l, "DELETE FROM t; VACUUM");
    (void)checkpoint(&l, &m, false, 1000);
    read_all(&m);
    wr_frozen_free(m.f);
    live_close(&l);
}

/* ---- two threads ---- */

struct reading {
    struct image *m;
    enum wr_status st;
    atomic_bool begun;
};

static void read_one_by_one(void *arg)
{
    struct reading *r = arg;
    uint8_t *page = wr_alloc(r->m->size);
    struct wr_err e = {0};

    for (uint32_t p = 1; p <= r->m->commit && r->st == WR_OK; p++) {
        r->st = wr_frozen_read(r->m->f, p, 1, page, &e);
        if (r->st == WR_OK && p != r->m->lock_pgno &&
            memcmp(page, r->m->then.p + (size_t)(p - 1) * r->m->size, r->m->size) != 0)
            r->st = WR_CORRUPT;
        atomic_store(&r->begun, true);
    }
    wr_free(page);
}

static void test_a_reader_beside_checkpoints(void **state)
{
    struct wr_thread t;
    struct wr_err e = {0};
    struct live l;
    struct image m;
    struct reading r = {.m = &m};

    (void)state;
    live_open(&l, 512);
    live_sql(&l, "INSERT INTO t VALUES(100, randomblob(700000))");
    m = freeze(&l);
    T_OK(wr_thread_start(&t, "reader", 0, read_one_by_one, &r, &e));
    for (int i = 0; i < 20; i++) {
        live_sql(&l, "UPDATE t SET b=randomblob(700000) WHERE a=100");
        (void)checkpoint(&l, &m, i % 3 == 0, 100000);
    }
    wr_thread_join(&t);
    T(r.st == WR_OK);
    wr_frozen_free(m.f);
    live_close(&l);
}

static void test_a_reader_that_waits_is_stopped(void **state)
{
    struct wr_thread t;
    struct wr_err e = {0};
    struct live l;
    struct image m;
    struct reading r = {.m = &m};

    (void)state;
    live_open(&l, 512);
    live_sql(&l, "INSERT INTO t VALUES(100, randomblob(700000))");
    m = freeze(&l);
    T_OK(wr_frozen_hold(m.f, 1000 * MS));
    T_OK(wr_thread_start(&t, "reader", 0, read_one_by_one, &r, &e));
    t_sleep_ms(20); /* enough for a reader that does not wait to show */
    T(!atomic_load(&r.begun));
    wr_frozen_stop(m.f);
    wr_thread_join(&t); /* while it is held */
    T(r.st == WR_CANCELED && wr_frozen_stopped(m.f));
    T_IS(WR_BUSY, wr_frozen_hold(m.f, MS)); /* as a read that takes long would make it */
    wr_frozen_let(m.f);
    wr_frozen_free(m.f);
    live_close(&l);
}

static enum wr_status freeze_and_keep(void *arg)
{
    struct live *l = arg;
    struct wr_frozen *f = NULL;
    struct wr_err e = {0};
    bool all = false;
    struct wr_view older = l->view; /* shares the map of frames, which the call only reads */
    enum wr_status st;

    older.backfilled = 0;
    st = wr_frozen_new(wr_fs_posix(), outbox_of(l), &older, &f, &e);
    if (st == WR_OK)
        st = wr_frozen_hold(f, 1000 * MS);
    if (st == WR_OK) {
        st = wr_frozen_keep(f, &l->view, 1000, &all, &e);
        T(all == (st == WR_OK));
        wr_frozen_let(f);
    }
    wr_frozen_free(f);
    return st;
}

static void test_no_memory(void **state)
{
    struct live l;

    (void)state;
    live_open(&l, 4096);
    live_sql(&l, "INSERT INTO t VALUES(100, randomblob(100000))");
    live_look(&l);
    t_sweep_nomem(freeze_and_keep, &l);
    live_close(&l);
}

/* A page of the image is still in the WAL, and a writer commits it again between our
 * capture and our checkpoint. SQLite then skips that page (its newest frame is beyond the mark) but
 * still counts its older frame as backfilled. */
static void test_a_page_is_written_between_capture_and_checkpoint(void **state)
{
    struct live l;
    struct image m;
    struct wr_err e = {0};
    bool all = false;

    (void)state;
    live_open(&l, 4096);
    live_sql(&l, "INSERT INTO t VALUES(100, zeroblob(50000)), (101, zeroblob(50000))");
    T_OK(wr_conn_checkpoint(l.conn, false, &e));
    live_sql(&l, "UPDATE t SET b=randomblob(50000) WHERE a=100");
    m = freeze(&l); /* the update is in it, and only in the WAL */
    live_sql(&l, "UPDATE t SET b=randomblob(50000) WHERE a=101");
    /* What bulk() does */
    T_OK(wr_frozen_hold(m.f, 1000 * MS));
    T_OK(wr_conn_mark_begin(l.conn, &e));
    live_look(&l); /* captures */
    T_OK(wr_frozen_keep(m.f, &l.view, 1000, &all, &e));
    T(all);
    live_sql(&l, "UPDATE t SET b=randomblob(50000) WHERE a=100"); /* a writer */
    T_OK(wr_conn_checkpoint(l.conn, false, &e));
    wr_conn_mark_end(l.conn);
    wr_frozen_let(m.f);
    read_all(&m);
    wr_frozen_free(m.f);
    live_close(&l);
}

/* The same by a database that shrinks in between: SQLite skips pages beyond its new end. */
static void test_it_shrinks_between_capture_and_checkpoint(void **state)
{
    struct live l;
    struct image m;
    struct wr_err e = {0};
    bool all = false;

    (void)state;
    live_open(&l, 4096);
    live_sql(&l, "CREATE TABLE u(x); INSERT INTO u VALUES(randomblob(3000))");
    T_OK(wr_conn_checkpoint(l.conn, false, &e));
    live_sql(&l, "INSERT INTO t VALUES(100, randomblob(400000))");
    m = freeze(&l);
    live_sql(&l, "UPDATE u SET x=1");
    T_OK(wr_frozen_hold(m.f, 1000 * MS));
    T_OK(wr_conn_mark_begin(l.conn, &e));
    live_look(&l);
    T_OK(wr_frozen_keep(m.f, &l.view, 1000, &all, &e));
    T(all);
    live_sql(&l, "DELETE FROM t; VACUUM");
    T_OK(wr_conn_checkpoint(l.conn, false, &e));
    wr_conn_mark_end(l.conn);
    wr_frozen_let(m.f);
    read_all(&m);
    wr_frozen_free(m.f);
    live_close(&l);
}

T_MAIN(T_TEST(test_a_page_is_written_between_capture_and_checkpoint),
    T_TEST(test_it_shrinks_between_capture_and_checkpoint),
    T_TEST(test_random_checkpoints_while_it_is_read), T_TEST(test_the_wal_starts_over_right_after),
    T_TEST(test_frames_of_the_image_are_checkpointed_then_overwritten),
    T_TEST(test_the_database_shrinks), T_TEST(test_pages_that_were_read_are_not_kept),
    T_TEST(test_a_page_is_kept_once), T_TEST(test_the_file_of_kept_pages_goes_with_the_image),
    T_TEST(test_a_full_disk), T_TEST(test_a_reader_beside_checkpoints),
    T_TEST(test_a_reader_that_waits_is_stopped), T_TEST(test_no_memory))
