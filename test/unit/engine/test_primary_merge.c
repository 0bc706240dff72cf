/*
 * test_primary_merge.c - files of levels are made from the journal and the live database. Each is
 * the same as the files of level 0 that it covers, merged page by page as Litestream does it
 * (ltx/merge.h): the same pages, the same contents, the same header.
 */
#include "unit/engine/history_world.h"

#include "harness/ltx_util.h"
#include "ltx/merge.h"

#define FILES_MAX 400

/* The files of level 0 that a file covers, open to be read. */
struct inputs {
    struct object o[FILES_MAX];
    struct t_ltx_in in[FILES_MAX];
    struct wr_ltx_dec *dec[FILES_MAX];
    size_t n;
};

static void open_file(struct world *w, const struct wr_ltx_file *f, struct inputs *x)
{
    struct wr_err e = {0};
    size_t i = x->n++;

    T(i < FILES_MAX);
    x->o[i] = bucket_get(w, f);
    x->in[i] = (struct t_ltx_in){.file = {x->o[i].body, (size_t)f->size}};
    T_OK(wr_ltx_dec_new(t_ltx_source, &x->in[i], f->size, WORLD_LOW_LOCK, &x->dec[i], &e));
}

static void close_files(struct inputs *x)
{
    for (size_t i = 0; i < x->n; i++) {
        wr_ltx_dec_free(x->dec[i]);
        wr_free(x->o[i].body);
    }
    x->n = 0;
}

/* False: one of level 0 goes over an end of it. Two of one beginning: the longer one was joined
 * with. */
static bool open_covered(struct world *w, const struct wr_ltx_files *files,
    const struct wr_ltx_file *f, struct inputs *x)
{
    uint64_t next = f->min;

    for (size_t i = 0; i < files->n && files->p[i].level == 0 && next <= f->max; i++) {
        if (files->p[i].min != next || files->p[i].max > f->max)
            continue;
        if (i + 1 < files->n && files->p[i + 1].level == 0 && files->p[i + 1].min == next &&
            files->p[i + 1].max <= f->max)
            continue;
        open_file(w, &files->p[i], x);
        next = files->p[i].max + 1;
    }
    return next == f->max + 1;
}

static void expect_header(const struct wr_ltx_header *is, const struct wr_ltx_header *want)
{
    T(is->page_size == want->page_size && is->commit == want->commit);
    T(is->min_txid == want->min_txid && is->max_txid == want->max_txid);
    T(is->time_ms == want->time_ms && is->node_id == want->node_id);
    T(is->wal_off == want->wal_off && is->wal_size == want->wal_size);
    T(is->has_rolling && want->has_rolling);
    T(is->rolling_pre == want->rolling_pre && is->rolling_post == want->rolling_post);
}

/* How many pages both have. */
static unsigned expect_pages(struct wr_ltx_dec *is, struct wr_ltx_merge *want, uint32_t page_size)
{
    uint8_t *page = wr_alloc(page_size);
    struct wr_ltx_page other;
    struct wr_err e = {0};
    unsigned n = 0;

    T(page != NULL);
    for (;;) {
        uint32_t pgno = 0;
        enum wr_status st = wr_ltx_merge_page(want, &other, &e);

        assert_int_equal(wr_ltx_dec_page(is, &pgno, page, &e), st);
        if (st == WR_NOTFOUND)
            break;
        T_OK(st);
        T(pgno == other.pgno && memcmp(page, other.data, page_size) == 0);
        n++;
    }
    wr_free(page);
    return n;
}

static void expect_merged(struct world *w, const struct wr_ltx_file *f, struct inputs *x)
{
    struct wr_ltx_merge *m = NULL;
    struct inputs one = {.n = 0};
    struct wr_ltx_header h;
    struct wr_err e = {0};

    open_file(w, f, &one);
    T_OK(wr_ltx_merge_new(x->dec, x->n, WORLD_LOW_LOCK, &m, &e));
    T_OK(wr_ltx_dec_header(one.dec[0], &h, &e));
    expect_header(&h, wr_ltx_merge_header(m));
    T(expect_pages(one.dec[0], m, h.page_size) > 0);
    wr_ltx_merge_free(m);
    close_files(&one);
}

/* Each file of a level; how many of a level there are. */
static void expect_all_merged(struct world *w, unsigned n[WR_LEVEL_MAX + 1])
{
    static struct inputs x;
    struct wr_ltx_files files = bucket_list(w);

    memset(n, 0, (WR_LEVEL_MAX + 1) * sizeof(*n));
    for (size_t i = 0; i < files.n; i++) {
        const struct wr_ltx_file *f = &files.p[i];

        if (f->level == 0 || f->level == WR_LEVEL_SNAPSHOT)
            continue;
        if (open_covered(w, &files, f, &x)) {
            expect_merged(w, f, &x);
            n[f->level]++;
        }
        close_files(&x);
    }
    wr_ltx_files_release(&files);
}

/* 512 bytes a page: the lock page is the 129th, and a list of changed pages grows fast. */
static void begin_small(struct world *w, unsigned rows, uint64_t inline_bytes)
{
    char sql[300];

    world_low_lock_page();
    world_open(w, 1);
    w->arm = no_faults_yet;
    w->interval_ns = SECOND;
    w->opts.lock_offset = WORLD_LOW_LOCK;
    w->opts.inline_bytes = inline_bytes;
    w->opts.cadence = (struct wr_cadence){.levels = 3,
        .level_ms = {10000, 80000, 160000},
        .snapshot_ms = 24 * 3600000,
        .toll_floor = UINT64_MAX,
        .toll_files = UINT64_MAX};
    T(sqlite3_open(w->path, &w->app) == SQLITE_OK);
    (void)snprintf(sql, sizeof(sql),
        "PRAGMA page_size=512; PRAGMA auto_vacuum=incremental; PRAGMA journal_mode=wal;"
        "PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0;"
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c); WITH RECURSIVE c(x) AS (SELECT 1 "
        "UNION ALL SELECT x+1 FROM c WHERE x<%u) INSERT INTO t SELECT x, 0, zeroblob(400) FROM c",
        rows);
    world_sql(w, sql);
    world_start(w);
    (void)world_sync(w);
}

/* Grows over the lock page and beyond, and shrinks below it, again and again. */
static void write_changing(struct world *w, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        char sql[300];

        (void)snprintf(sql, sizeof(sql),
            i % 13 == 12 ? "DELETE FROM t WHERE a>20; PRAGMA incremental_vacuum"
                         : "UPDATE t SET b=%u WHERE a%%5=%u; INSERT INTO t(b, c) SELECT %u, "
                           "zeroblob(400) FROM t LIMIT 40",
            i, i % 5, i);
        world_sql(w, sql);
        world_run(w, SECOND);
    }
}

static void as_merged(uint64_t inline_bytes)
{
    unsigned n[WR_LEVEL_MAX + 1];
    struct world w;

    begin_small(&w, 100, inline_bytes);
    w.opts.checkpoint_frames = 200;
    write_changing(&w, 330);
    (void)world_sync(&w);
    expect_all_merged(&w, n);
    T(n[1] >= 25 && n[2] >= 3 && n[3] >= 1);
    T(bucket_count_level(&w, 1, NULL) == n[1]);
    world_check(&w, 0);
    world_close(&w);
}

static void test_levels_are_what_a_merge_makes(void **state)
{
    (void)state;
    as_merged(0); /* in memory */
    as_merged(1); /* read while they are sent */
}

/* A journal that is long is squeezed: of many transactions it knows only which pages they changed,
 * all together. Level 2 goes over all of it. */
static void test_levels_over_a_squeezed_journal(void **state)
{
    unsigned n[WR_LEVEL_MAX + 1];
    struct wr_ltx_file f = {0};
    struct world w;

    (void)state;
    begin_small(&w, 24000, 0);
    for (unsigned i = 0; i < 92; i++) {
        char sql[200];

        (void)snprintf(sql, sizeof(sql),
            i % 10 == 9 ? "DELETE FROM t WHERE a>23900; PRAGMA incremental_vacuum"
                        : "UPDATE t SET b=%u; INSERT INTO t(b, c) SELECT 1, zeroblob(300) FROM t "
                          "LIMIT 50",
            i);
        world_sql(&w, sql);
        (void)world_sync(&w);
        world_run(&w, SECOND);
    }
    expect_all_merged(&w, n);
    T(n[1] >= 6 && n[2] >= 1);
    T(bucket_count_level(&w, 2, &f) == 1 && f.min == 2 && f.max > 80);
    world_check(&w, 0);
    world_close(&w);
}

/* What was written in an outage comes as one file of level 0. */
static void test_levels_after_an_outage(void **state)
{
    unsigned n[WR_LEVEL_MAX + 1], before;
    struct world w;

    (void)state;
    begin_small(&w, 100, 0);
    write_changing(&w, 45);
    (void)world_sync(&w);
    expect_all_merged(&w, n);
    before = n[1];
    faultstore_arm(w.fault[0], FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
    write_changing(&w, 30);
    faultstore_calm(w.fault[0]);
    world_run(&w, 120 * SECOND);
    write_changing(&w, 60);
    (void)world_sync(&w);
    expect_all_merged(&w, n);
    T(n[1] >= before + 4 && n[2] >= 1);
    world_check(&w, 0);
    world_close(&w);
}

T_MAIN(T_TEST(test_levels_are_what_a_merge_makes), T_TEST(test_levels_over_a_squeezed_journal),
    T_TEST(test_levels_after_an_outage))
