/*
 * test_primary_ahead.c - what comes into the WAL begins its way to the disk before it must be
 * there: once, from its first byte to the last whole page, and never while writers wait.
 */
#include "engine/ahead.h"
#include "engine/primary_int.h"
#include "harness/engine_world.h"
#include "sqlite/wal.h"

#include <unistd.h>

#define SECOND    ((int64_t)1000000000)
#define FRAME     (WR_FRAME_HEADER + 4096u)
#define MOST      ((uint64_t)16 << 20)
#define ENOUGH    ((uint64_t)256 << 10)
#define PAGE      65536u
#define HINTS_MAX 64u
#define MANY_ROWS 100 /* of a page each */
#define TABLE     "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b)"
#define INSERT(n)                                                                 \
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<" n ")" \
    "INSERT INTO t SELECT NULL, randomblob(3500) FROM n"

/* The file system with a WAL whose hints are written down. */
static struct {
    struct wr_fs fs;
    struct world *w;
    struct {
        uint64_t off, n;
    } hint[HINTS_MAX];
    size_t n, opens, closes;
    struct wr_file *strange; /* which is not closed */
    const char *put; /* which somebody puts in the WAL's place just before it is opened, ... */
    bool was_put;    /* ... once */
    bool blind;      /* what was opened cannot be asked which file it is */
} spy;

static enum wr_status spy_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    size_t n = strlen(path);
    bool is_wal = n > 4 && strcmp(path + n - 4, "-wal") == 0;
    enum wr_status st;

    if (is_wal && spy.put && !spy.was_put) {
        assert_int_equal(rename(spy.put, path), 0);
        spy.was_put = true;
    }
    st = wr_fs_posix()->open(fs, path, flags, mode, ret, e);
    if (is_wal && st == WR_OK) {
        (*ret)->fs = &spy.fs;
        spy.opens++;
        if (spy.put || spy.blind)
            spy.strange = *ret;
    }
    return st;
}

static struct wr_file *real(struct wr_file *f)
{
    f->fs = wr_fs_posix();
    return f;
}

static enum wr_status spy_info(struct wr_file *f, struct wr_file_info *ret, struct wr_err *e)
{
    enum wr_status st =
        spy.blind ? wr_fail(e, WR_IO, "blind") : wr_fs_posix()->info(real(f), ret, e);

    f->fs = &spy.fs;
    return st;
}

static void spy_close(struct wr_file *f)
{
    spy.closes++;
    wr_fs_posix()->close(real(f));
}

static void spy_flush_hint(struct wr_file *f, uint64_t off, uint64_t n)
{
    T(spy.n < HINTS_MAX);
    T(!wr_conn_in_barrier(spy.w->db->conn));
    spy.hint[spy.n].off = off;
    spy.hint[spy.n++].n = n;
    wr_fs_posix()->flush_hint(real(f), off, n);
    f->fs = &spy.fs;
}

static void prepare(struct world *w, uint32_t checkpoint_frames)
{
    memset(&spy, 0, sizeof(spy));
    spy.fs = *wr_fs_posix();
    spy.fs.open = spy_open;
    spy.fs.close = spy_close;
    spy.fs.info = spy_info;
    spy.fs.flush_hint = spy_flush_hint;
    spy.w = w;
    world_open(w, 1);
    w->opts.fs = &spy.fs;
    w->opts.checkpoint_frames = checkpoint_frames;
    w->interval_ns = SECOND;
    world_app(w);
    world_sql(w, TABLE);
}

/* A replicated database in whose WAL is nothing that is worth a word. */
static void begin(struct world *w, uint32_t checkpoint_frames)
{
    prepare(w, checkpoint_frames);
    world_start(w);
    (void)world_sync(w);
    assert_int_equal(spy.n, 0);
}

/* The application writes, and is looked at. */
static void write_on(struct world *w, const char *sql)
{
    world_sql(w, sql);
    world_run(w, SECOND / 20);
}

/* In one piece or in several, from the first byte on: the end of the last. */
static uint64_t check_pieces(void)
{
    uint64_t at = 0;

    for (size_t i = 0; i < spy.n; i++) {
        assert_int_equal(spy.hint[i].off, at);
        T(spy.hint[i].n >= ENOUGH && spy.hint[i].n <= MOST);
        at += spy.hint[i].n;
    }
    assert_int_equal(at % PAGE, 0);
    return at;
}

/* Of these many bytes all that is worth it. */
static void check_from_start_to(uint64_t size)
{
    uint64_t at = check_pieces();

    T(at <= size && size - at < ENOUGH + PAGE);
}

static uint64_t wal_bytes(const struct world *w)
{
    return WR_WAL_HEADER + (uint64_t)w->db->seen.mx_frame * FRAME;
}

static void test_frames_begin_their_way_before_a_checkpoint(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 0);
    for (int i = 0; i < 5; i++) {
        write_on(&w, INSERT("100"));
    }
    T(wal_bytes(&w) > 5 * MANY_ROWS * FRAME);
    assert_int_equal(w.db->view.backfilled, 0);
    assert_int_equal(spy.n, 5);
    check_from_start_to(wal_bytes(&w));
    world_close(&w);
}

static void test_a_few_frames_are_not_worth_a_word(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 0);
    for (unsigned i = 0; i < 50; i++) {
        write_on(&w, "INSERT INTO t VALUES(NULL, randomblob(3500))");
        T(spy.n <= wal_bytes(&w) / ENOUGH);
    }
    T(wal_bytes(&w) > 2 * ENOUGH);
    T(spy.n >= 1 && spy.opens == spy.n && spy.closes == spy.n);
    check_from_start_to(wal_bytes(&w));
    world_close(&w);
}

/* Without a checkpoint of the application's own: that comes by itself when it is quiet. */
static void test_a_wal_that_starts_over_begins_anew(void **state)
{
    struct world w;
    struct wr_db_status s;

    (void)state;
    begin(&w, 0);
    write_on(&w, INSERT("300"));
    T(spy.n > 0);
    world_run(&w, 600 * SECOND);
    wr_db_status(w.db, &s);
    T(s.checkpoints > 0);
    spy.n = 0;
    write_on(&w, INSERT("100"));
    wr_db_status(w.db, &s);
    T(s.resets > 0);
    T(spy.n > 0);
    check_from_start_to(wal_bytes(&w));
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

/* The attachment is under the writer lock, and so are barriers: none of them begins to write. */
static void test_nothing_is_begun_while_writers_wait(void **state)
{
    struct world w;
    struct wr_db_status s;

    (void)state;
    prepare(&w, 100);
    world_sql(&w, INSERT("200"));
    world_start(&w);
    (void)world_sync(&w);
    T(spy.n > 0);
    for (int i = 0; i < 10; i++) {
        spy.n = 0;
        world_sql(&w, INSERT("150"));
        world_run(&w, SECOND);
        T(spy.n > 0);
    }
    wr_db_status(w.db, &s);
    T(s.checkpoints >= 9);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

/* A WAL that was long before would fill the disk's queue while the start waits for it. */
static void test_a_long_wal_is_begun_in_pieces(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 0);
    world_sql(&w, INSERT("6000"));
    world_run(&w, SECOND / 100);
    T(spy.n >= 1);
    (void)check_pieces();
    assert_int_equal(spy.hint[0].n, MOST);
    world_close(&w);
}

static void test_who_attaches_again_begins_anew(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 0);
    write_on(&w, INSERT("300"));
    T(spy.n > 0 && w.db->wal_begun > 0);
    (void)wr_db_detach(w.db, false); /* nobody asks whether it was left whole */
    assert_int_equal(w.db->wal_begun, 0);
    world_close(&w);
}

/* By every size of a page, what is begun in the end is all whole pages of the disk, each once, in
 * pieces that are worth it and do not take long. */
static void test_ranges_follow_each_other(void **state)
{
    (void)state;
    for (uint32_t page_size = 512; page_size <= 65536; page_size *= 2) {
        uint64_t begun = 0, off, n, pieces = 0, end = 0;

        for (uint32_t frames = 0; frames < 3000; frames++) {
            wr_ahead_range(frames, page_size, begun, &off, &n);
            end = WR_WAL_HEADER + (uint64_t)frames * (WR_FRAME_HEADER + page_size);
            assert_int_equal(off, begun);
            assert_int_equal((off + n) % PAGE, 0);
            T(off + n <= end && (n == 0 || n >= ENOUGH) && n <= MOST);
            T(n > 0 || end - begun < ENOUGH + PAGE);
            begun += n;
            pieces += n > 0;
        }
        T(end - begun < ENOUGH + PAGE);
        T(pieces >= end / (ENOUGH + 2 * PAGE) - 1);
    }
}

static void test_the_longest_wal_has_a_range(void **state)
{
    const uint64_t end = WR_WAL_HEADER + (uint64_t)UINT32_MAX * (WR_FRAME_HEADER + 65536u);
    uint64_t off, n;

    (void)state;
    wr_ahead_range(UINT32_MAX, 65536, end - end % PAGE - ENOUGH, &off, &n);
    assert_int_equal(n, ENOUGH);
    wr_ahead_range(UINT32_MAX, 65536, end - end % PAGE - ENOUGH + 1, &off, &n);
    assert_int_equal(n, 0);
    wr_ahead_range(3, 4096, (uint64_t)1 << 40, &off, &n); /* it is shorter than it was */
    assert_int_equal(n, 0);
}

/* To close it might drop the locks of a database, and there is no need of a second one. */
static void test_what_was_put_in_its_place_is_not_closed(void **state)
{
    struct world w;
    char other[600];
    FILE *f;

    (void)state;
    begin(&w, 0);
    (void)snprintf(other, sizeof(other), "%s-other", w.path);
    f = fopen(other, "w");
    T(f && fclose(f) == 0);
    spy.put = other;
    world_sql(&w, INSERT("100"));
    world_run(&w, SECOND / 1000);
    T(spy.was_put);
    assert_int_equal(spy.opens, 1);
    for (int i = 0; i < 10; i++) {
        w.db->wal_begun = 0;
        wr_db_write_ahead(w.db);
    }
    world_stop(&w);
    assert_int_equal(spy.opens, 1);
    assert_int_equal(spy.closes, 0);
    assert_int_equal(spy.n, 0);
    spy_close(spy.strange);
    world_close(&w);
}

static void test_what_cannot_be_told_from_another_file_is_not_closed(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 0);
    spy.blind = true;
    world_sql(&w, INSERT("100"));
    (void)world_sync(&w);
    world_check(&w, 0);
    world_stop(&w);
    assert_int_equal(spy.opens, 1);
    assert_int_equal(spy.closes, 0);
    assert_int_equal(spy.n, 0);
    spy_close(spy.strange);
    world_close(&w);
}

/* Another database may be what has the name. */
static void test_a_wal_with_another_name_is_not_opened(void **state)
{
    struct world w;
    char other[600];

    (void)state;
    begin(&w, 0);
    (void)snprintf(other, sizeof(other), "%s-other", w.path);
    assert_int_equal(link(w.db->wal_path, other), 0);
    write_on(&w, INSERT("100"));
    T(!wr_db_behind(w.db));
    T(w.db->wal_begun > 0); /* it is not asked again at each look */
    assert_int_equal(spy.opens, 0);
    (void)world_sync(&w);
    world_check(&w, 0);
    assert_int_equal(unlink(other), 0);
    world_close(&w);
}

static void test_a_wal_that_was_replaced_is_not_opened(void **state)
{
    struct world w;
    char other[600];

    (void)state;
    begin(&w, 0);
    write_on(&w, INSERT("20"));
    assert_int_equal(spy.opens, 0);
    (void)snprintf(other, sizeof(other), "%s-other", w.path);
    assert_int_equal(rename(w.db->wal_path, other), 0);
    world_copy(other, w.db->wal_path);
    w.db->seen.mx_frame = 1000;
    w.db->wal_begun = 0;
    wr_db_write_ahead(w.db);
    assert_int_equal(spy.opens, 0);
    assert_int_equal(rename(other, w.db->wal_path), 0);
    w.db->wal_begun = 0;
    wr_db_write_ahead(w.db);
    assert_int_equal(spy.opens, 1);
    world_close(&w);
}

T_MAIN(T_TEST(test_frames_begin_their_way_before_a_checkpoint),
    T_TEST(test_a_few_frames_are_not_worth_a_word), T_TEST(test_a_wal_that_starts_over_begins_anew),
    T_TEST(test_nothing_is_begun_while_writers_wait), T_TEST(test_a_long_wal_is_begun_in_pieces),
    T_TEST(test_who_attaches_again_begins_anew), T_TEST(test_ranges_follow_each_other),
    T_TEST(test_the_longest_wal_has_a_range), T_TEST(test_what_was_put_in_its_place_is_not_closed),
    T_TEST(test_what_cannot_be_told_from_another_file_is_not_closed),
    T_TEST(test_a_wal_with_another_name_is_not_opened),
    T_TEST(test_a_wal_that_was_replaced_is_not_opened))
