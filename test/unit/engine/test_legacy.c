/*
 * test_legacy.c - replicas of Litestream 0.3: a real one, and ones made of SQLite's own WALs.
 */
#include "engine/legacy.h"

#include "base/bytes.h"
#include "engine/legacy_wal.h"
#include "engine/restore.h"
#include "unit/engine/legacy_sample.h"

#include <lz4frame.h>
#include <sqlite3.h>

static enum wr_status restore_to(
    struct world *w, const char *path, int64_t time_ms, struct wr_err *e)
{
    const struct wr_restore_opts o = {.path = path, .time_ms = time_ms, .overwrite = true};
    struct wr_restore_result r = {0};
    enum wr_status st = wr_restore(w->storage, t_call(), &o, &r, e);

    if (st == WR_OK)
        T(r.format == WR_RESTORE_V03 && r.txid == 0 && !r.verified && r.time_ms > 0 &&
            r.bytes == (uint64_t)r.commit * r.page_size);
    return st;
}

static void check_same(const char *path, struct wr_bytes want)
{
    struct wr_bytes got = t_slurp(path);

    assert_int_equal(got.n, want.n);
    T(memcmp(got.p, want.p, want.n) == 0);
    T(!file_exists(t_path(path, "-wal")));
}

/* SQLite's check sees the new file under its temporary name, and leaves nothing beside it. */
static void test_integrity_check(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_restore_opts o = {.path = t_path(dir, "db"), .overwrite = true};
    struct wr_rand random;
    struct story s;
    struct world w;
    struct wr_err e = {0};
    struct wr_restore_result r = {0};

    (void)state;
    world_init(&w, WR_STORAGE_LIST_TIME, "p/");
    put_sample(&w);
    for (int kind = WR_RESTORE_CHECK_NONE; kind <= WR_RESTORE_CHECK_FULL; kind++) {
        o.check = (enum wr_restore_check_kind)kind;
        T_OK(wr_restore(w.storage, t_call(), &o, &r, &e));
        check_same(o.path, t_slurp(t_data("v0.3.13/expected-restore.db")));
        T(t_names_in(dir) == 1);
    }
    /* Pages that are as they were written, but were never a database. */
    wr_rand_init(&random, t_seed());
    story_init(&s, &random, 512, 65536, 8, true);
    story_commit(&s, 8, 0);
    story_put(&s, &w, 9, 1, 1);
    o.lock_offset = 65536;
    o.txid = 1;
    for (int kind = WR_RESTORE_CHECK_QUICK; kind <= WR_RESTORE_CHECK_FULL; kind++) {
        enum wr_status st;

        o.check = (enum wr_restore_check_kind)kind;
        st = wr_restore(w.storage, t_call(), &o, &r, &e);
        T(st != WR_OK && strstr(e.text, "check of "));
        check_same(o.path, t_slurp(t_data("v0.3.13/expected-restore.db")));
        T(t_names_in(dir) == 1);
    }
    story_release(&s);
    world_release(&w);
}

static void test_real_replica(void **state)
{
    struct wr_storage *s = NULL;
    const char *dir = t_tmpdir();
    const struct wr_restore_opts o = {.path = t_path(dir, "db")};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct world w;

    (void)state;
    T_OK(wr_storage_open(
        wr_arena_fmt(t_call()->scratch, "file://%s", t_data("v0.3.13/replica")), NULL, &s, &e));
    T_OK(wr_restore(s, t_call(), &o, &r, &e));
    check_same(o.path, t_slurp(t_data("v0.3.13/expected-restore.db")));
    wr_storage_close(s);

    world_init(&w, WR_STORAGE_HEX_LEVELS, "p/");
    put_sample(&w);
    T_OK(restore_to(&w, o.path, 0, &e));
    check_same(o.path, t_slurp(t_data("v0.3.13/expected-restore.db")));
    world_release(&w);
}

/* Litestream 0.3 cleans a path beside a bucket, and 0.5 does not: with path: /p its backups are at
 * p, and with none at the top of the bucket. No backup was found there. */
static void test_path_that_is_not_clean(void **state)
{
    static const char *const prefixes[][2] = {{"/p/", "p/"}, {"p//", "p/"}, {"./p/", "p/"},
        {"/p//q/", "p/q/"}, {"./", ""}, {"/", ""}, {"//", ""}, {"p/./q/", "p/q/"}};
    const char *path = t_path(t_tmpdir(), "db");

    (void)state;
    for (size_t i = 0; i < wr_countof(prefixes); i++) {
        struct wr_err e = {0};
        struct world w;

        world_init(&w, WR_STORAGE_HEX_LEVELS, prefixes[i][0]);
        for (size_t j = 0; j < wr_countof(sample); j++)
            world_store(&w,
                wr_arena_fmt(t_call()->scratch, "%sgenerations/" GENERATION "/%s", prefixes[i][1],
                    sample[j]),
                sample_bytes(j), ((int64_t)j + 1) * 1000);
        T_OK(restore_to(&w, path, 0, &e));
        check_same(path, t_slurp(t_data("v0.3.13/expected-restore.db")));
        world_release(&w);
    }
}

/* ---- the oracle: SQLite recovers the same WALs, one at a time ---- */

static struct wr_bytes expand(struct wr_bytes in, struct wr_buf *out)
{
    LZ4F_dctx *d = NULL;
    size_t used = 0;

    T(!LZ4F_isError(LZ4F_createDecompressionContext(&d, LZ4F_VERSION)));
    while (used < in.n) {
        uint8_t buf[65536];
        size_t room = sizeof(buf);
        size_t take = in.n - used;

        T(!LZ4F_isError(LZ4F_decompress(d, buf, &room, in.p + used, &take, NULL)));
        wr_buf_put(out, buf, room);
        used += take;
    }
    (void)LZ4F_freeDecompressionContext(d);
    return wr_buf_bytes(out);
}

static void checkpoint(const char *path)
{
    sqlite3 *db = NULL;

    T(sqlite3_open(path, &db) == SQLITE_OK);
    T(sqlite3_exec(db, "pragma wal_checkpoint(truncate)", NULL, NULL, NULL) == SQLITE_OK);
    T(sqlite3_close(db) == SQLITE_OK);
}

/* What SQLite makes of the first `n` objects of the sample. */
static struct wr_bytes oracle(size_t n)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "db");
    struct wr_buf b;
    char index = '0';

    wr_buf_init(&b, (size_t)1 << 24);
    (void)expand(sample_bytes(0), &b);
    t_spew(path, b.p, b.n);
    wr_buf_clear(&b);
    for (size_t i = 1; i <= n; i++) {
        bool over = i == n || sample[i][11] != index; /* "wal/0000000N_..." */

        if (over && b.n > 0) {
            t_spew(t_path(dir, "db-wal"), b.p, b.n);
            checkpoint(path);
            wr_buf_clear(&b);
        }
        if (i < n) {
            index = sample[i][11];
            (void)expand(sample_bytes(i), &b);
        }
    }
    wr_buf_release(&b);
    return t_slurp(path);
}

static void test_every_time(void **state)
{
    const char *path = t_path(t_tmpdir(), "db");
    struct wr_err e = {0};
    struct world w;

    (void)state;
    world_init(&w, WR_STORAGE_LIST_TIME, "p/");
    put_sample(&w);
    T_IS(WR_NOTFOUND, restore_to(&w, path, 999, &e));
    for (size_t n = 1; n <= wr_countof(sample); n++) {
        T_OK(restore_to(&w, path, (int64_t)n * 1000, &e)); /* at or before, unlike LTX */
        check_same(path, oracle(n));
    }
    world_release(&w);
}

static void test_missing_objects(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "db");

    (void)state;
    for (size_t lost = 0; lost < wr_countof(sample); lost++) {
        struct world w;
        struct wr_err e = {0};
        /* Nobody can know that there was another segment after the others of an index. */
        bool ends = lost + 1 == wr_countof(sample) || sample[lost][11] != sample[lost + 1][11];

        world_init(&w, WR_STORAGE_LIST_TIME, "p/");
        put_sample(&w);
        world_remove_key(&w, gen_key(GENERATION, sample[lost]));
        if (lost == 0) {
            T_IS(WR_NOTFOUND, restore_to(&w, path, 0, &e));
        } else if (lost == wr_countof(sample) - 1) {
            T_OK(restore_to(&w, path, 0, &e));
            check_same(path, oracle(lost));
            T(remove(path) == 0);
        } else if (!ends) {
            T_IS(WR_CORRUPT, restore_to(&w, path, 0, &e));
            T(strstr(e.text, "missing WAL segment: expected "));
        }
        T(!file_exists(path));
        world_release(&w);
    }
    for (int lost = '0'; lost <= '2'; lost++) {
        struct world w;
        struct wr_err e = {0};
        char want[80];

        world_init(&w, WR_STORAGE_LIST_TIME, "p/");
        put_sample(&w);
        for (size_t i = 1; i < wr_countof(sample); i++) {
            if (sample[i][11] == lost)
                world_remove_key(&w, gen_key(GENERATION, sample[i]));
        }
        (void)snprintf(want, sizeof(want), "missing WAL index: expected 0000000%c, got 0000000%c",
            lost, lost + 1);
        T_IS(WR_CORRUPT, restore_to(&w, path, 0, &e));
        T(strstr(e.text, want));
        world_release(&w);
    }
}

static void test_damaged_objects(void **state)
{
    const char *path = t_path(t_tmpdir(), "db");
    struct wr_rand random;
    struct wr_err e = {0};
    struct world w;

    (void)state;
    wr_rand_init(&random, t_seed());
    world_init(&w, WR_STORAGE_LIST_TIME, "p/");
    put_sample(&w);
    for (int round = 0; round < 150; round++) {
        size_t i = wr_rand_below(&random, wr_countof(sample));
        struct wr_bytes good = sample_bytes(i);
        uint8_t *bad = wr_alloc(good.n + 1);
        size_t n = good.n;
        size_t at = wr_rand_below(&random, n);

        memcpy(bad, good.p, n);
        if (round % 3 == 0)
            n = at;
        else if (round % 3 == 1)
            bad[n++] = 7;
        else
            bad[at] ^= (uint8_t)(1u << wr_rand_below(&random, 8));
        world_store(&w, gen_key(GENERATION, sample[i]), (struct wr_bytes){bad, n}, 1000);
        if (restore_to(&w, path, 0, &e) == WR_OK) {
            check_same(path, t_slurp(t_data("v0.3.13/expected-restore.db")));
            T(remove(path) == 0);
            T(round % 3 == 2); /* a bit that LZ4 does not look at */
        } else {
            T(e.code == WR_CORRUPT && !file_exists(path));
        }
        world_store(&w, gen_key(GENERATION, sample[i]), good, 1000);
        wr_free(bad);
    }
    world_release(&w);
}

static void test_other_names_are_ignored(void **state)
{
    static const char *const odd[] = {"snapshots/0000000A.snapshot.lz4",
        "snapshots/000000001.snapshot.lz4", "snapshots/00000009.snapshot.lz4.tmp",
        "snapshots/x/00000009.snapshot.lz4", "wal/00000009.wal.lz4", "wal/00000004_0000000.wal.lz4",
        "wal/00000004_00000000000000000.wal.lz4", "wal/0000004_00000000.wal.lz4",
        "wal/00000004_00000000.wal", "snapshots/", "wal"};
    const char *path = t_path(t_tmpdir(), "db");
    const struct wr_bytes junk = {(const uint8_t *)"junk", 4};
    struct wr_err e = {0};
    struct world w;

    (void)state;
    world_init(&w, WR_STORAGE_LIST_TIME, "p/");
    put_sample(&w);
    for (size_t i = 0; i < wr_countof(odd); i++)
        world_store(&w, gen_key(GENERATION, odd[i]), junk, 99000);
    world_store(&w, gen_key("173F586657831B72", sample[0]), junk, 99000);
    world_store(&w, gen_key("173f586657831b7", sample[0]), junk, 99000);
    T_OK(restore_to(&w, path, 0, &e));
    check_same(path, t_slurp(t_data("v0.3.13/expected-restore.db")));

    /* An older generation does not count, nor do segments from before the snapshot. */
    world_store(&w, gen_key("0000000000000001", sample[0]), junk, 500);
    world_store(&w, gen_key("ffffffffffffffff", sample[1]), junk, 99000);
    T_OK(restore_to(&w, path, 0, &e));
    world_store(&w, gen_key(GENERATION, "snapshots/00000004.snapshot.lz4"), sample_bytes(0), 99000);
    T_OK(restore_to(&w, path, 0, &e));
    check_same(path, oracle(1));
    /* A newer one does, though it be damaged. */
    world_store(&w, gen_key("0000000000000002", sample[0]), junk, 99001);
    T_IS(WR_CORRUPT, restore_to(&w, path, 0, &e));
    T(strstr(e.text, "generation 0000000000000002 snapshot"));
    world_release(&w);
}

/* ---- replicas made of WALs that SQLite wrote ---- */

static void put_lz4(struct world *w, struct wr_str key, const uint8_t *p, size_t n, int64_t ms)
{
    LZ4F_preferences_t prefs = {.frameInfo = {.contentChecksumFlag = LZ4F_contentChecksumEnabled}};
    size_t cap = LZ4F_compressFrameBound(n, &prefs);
    uint8_t *out = wr_alloc(cap);
    size_t size = LZ4F_compressFrame(out, cap, p, n, &prefs);

    T(!LZ4F_isError(size));
    world_store(w, key, (struct wr_bytes){out, size}, ms);
    wr_free(out);
}

static void exec(sqlite3 *db, const char *sql)
{
    char *text = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
        fail_msg("%s: %s", sql, text);
}

/* 0.3 copies a WAL up to its last commit; only in the `last` one may anything follow. */
static void some_transactions(sqlite3 *db, struct wr_rand *r, bool last)
{
    size_t n = wr_rand_below(r, 6) + 1;
    char sql[160];

    for (size_t i = 0; i < n; i++) {
        switch (wr_rand_below(r, 6)) {
        case 0:
            exec(db, "delete from t where id % 3 = 0");
            break;
        case 1:
            exec(db, "vacuum");
            break;
        case 2: /* frames that no commit follows */
            if (!last)
                break;
            exec(db, "pragma cache_size = 1; begin");
            exec(db, "update t set v = randomblob(900)");
            exec(db, "rollback");
            break;
        default:
            (void)snprintf(sql, sizeof(sql),
                "insert into t(v) select randomblob(%u) from (select 1 union select 2 union "
                "select 3), (select 1 union select 2)",
                (unsigned)wr_rand_below(r, 9000) + 1);
            exec(db, sql);
            break;
        }
    }
}

/* The segments of one WAL, cut between frames. */
static void put_wal(struct world *w, struct wr_rand *r, struct wr_bytes wal, size_t page_size,
    unsigned index, int64_t *clock)
{
    size_t frame = page_size + 24;
    size_t off = 0;
    char name[64];

    while (off < wal.n) {
        size_t start = off ? off : 32;
        size_t end = start + (wr_rand_below(r, 9) + 1) * frame;

        end = wr_min(end, wal.n);
        (void)snprintf(name, sizeof(name),
            wr_rand_below(r, 2) ? "wal/%08x_%08zx.wal.lz4" : "wal/%08x_%016zx.wal.lz4", index, off);
        put_lz4(w, gen_key(GENERATION, name), wal.p + off, end - off, ++*clock * 1000);
        off = end;
    }
}

struct made {
    struct world w;
    struct wr_bytes image;  /* to be restored */
    struct wr_bytes before; /* without the last WAL */
    struct wr_bytes wal;    /* the last WAL, */
    unsigned index;         /* its index, */
    struct wr_str key;      /* and as one object */
};

/* A replica of a snapshot and `wals` WALs; the last is one object. */
static void make(struct made *m, struct wr_rand *r, unsigned page_size, unsigned wals)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "db");
    sqlite3 *db = NULL;
    char sql[64];
    int64_t clock = 1;

    world_init(&m->w, WR_STORAGE_LIST_TIME, "p/");
    T(sqlite3_open(path, &db) == SQLITE_OK);
    (void)snprintf(sql, sizeof(sql), "pragma page_size = %u", page_size);
    exec(db, sql);
    exec(db, "pragma journal_mode = wal; pragma wal_autocheckpoint = 0;"
             "create table t(id integer primary key, v blob);"
             "pragma wal_checkpoint(truncate)");
    m->image = t_slurp(path);
    put_lz4(&m->w, gen_key(GENERATION, "snapshots/00000007.snapshot.lz4"), m->image.p, m->image.n,
        1000);
    for (unsigned i = 0; i < wals; i++) {
        char name[64];

        some_transactions(db, r, i + 1 == wals);
        exec(db, "insert into t(v) values('at least one')");
        m->before = m->image;
        m->wal = t_slurp(t_path(dir, "db-wal"));
        m->index = i + 7;
        exec(db, "pragma wal_checkpoint(truncate)");
        m->image = t_slurp(path);
        if (i + 1 < wals) {
            put_wal(&m->w, r, m->wal, page_size, m->index, &clock);
            continue;
        }
        (void)snprintf(name, sizeof(name), "wal/%08x_00000000.wal.lz4", m->index);
        m->key = gen_key(GENERATION, name);
        put_lz4(&m->w, m->key, m->wal.p, m->wal.n, ++clock * 1000);
    }
    T(sqlite3_close(db) == SQLITE_OK);
}

static void test_wals_of_sqlite(void **state)
{
    static const unsigned sizes[] = {512, 1024, 4096, 65536};
    const char *path = t_path(t_tmpdir(), "db");
    struct wr_rand random;

    (void)state;
    wr_rand_init(&random, t_seed());
    for (unsigned round = 0; round < 24; round++) {
        struct wr_err e = {0};
        struct made m;

        make(&m, &random, sizes[round % 4], 1 + round % 5);
        T_OK(restore_to(&m.w, path, 0, &e));
        check_same(path, m.image);
        world_release(&m.w);
    }
}

/* Any bit of the last WAL: what is behind it is not believed, what is before it is not lost. A WAL
 * that another one follows has to be right. */
static void test_damaged_wal(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "db");
    struct wr_rand random;
    struct made m;

    (void)state;
    wr_rand_init(&random, t_seed() + 5);
    make(&m, &random, 512, 2);
    for (int round = 0; round < 120; round++) {
        uint8_t *bad = wr_alloc(m.wal.n);
        size_t at = wr_rand_below(&random, round < 40 ? 32 : m.wal.n);
        const char *odir = t_path(dir, "o");
        struct wr_err e = {0};
        char next[64];

        memcpy(bad, m.wal.p, m.wal.n);
        bad[at] ^= (uint8_t)(1u << wr_rand_below(&random, 8));
        put_lz4(&m.w, m.key, bad, m.wal.n, 50000);
        if (at < 32) {
            T_IS(WR_CORRUPT, restore_to(&m.w, path, 0, &e));
            T(strstr(e.text, "WAL"));
        } else {
            T_OK(restore_to(&m.w, path, 0, &e));
            t_spew(odir, m.before.p, m.before.n);
            t_spew(t_path(dir, "o-wal"), bad, m.wal.n);
            checkpoint(odir);
            check_same(path, t_slurp(odir));

            (void)snprintf(next, sizeof(next), "wal/%08x_00000000.wal.lz4", m.index + 1);
            put_lz4(&m.w, gen_key(GENERATION, next), m.wal.p, m.wal.n, 51000);
            T_IS(WR_CORRUPT, restore_to(&m.w, path, 0, &e));
            T(strstr(e.text, "invalid WAL frame at byte"));
            world_remove_key(&m.w, gen_key(GENERATION, next));
        }
        wr_free(bad);
    }
    world_release(&m.w);
}

static void test_no_database(void **state)
{
    const char *path = t_path(t_tmpdir(), "db");
    struct wr_rand random;
    struct wr_err e = {0};
    struct made m;
    uint8_t junk[1024] = "SQLite format 3";

    (void)state;
    wr_rand_init(&random, t_seed());
    make(&m, &random, 1024, 1);
    put_lz4(&m.w, gen_key(GENERATION, "snapshots/00000007.snapshot.lz4"), junk, 1024, 1000);
    T_IS(WR_CORRUPT, restore_to(&m.w, path, 0, &e));
    T(strstr(e.text, "is not an SQLite database"));
    junk[16] = 2; /* page size 512, and the WAL has another */
    put_lz4(&m.w, gen_key(GENERATION, "snapshots/00000007.snapshot.lz4"), junk, 1024, 1000);
    T_IS(WR_CORRUPT, restore_to(&m.w, path, 0, &e));
    T(strstr(e.text, "page size"));
    put_lz4(&m.w, gen_key(GENERATION, "snapshots/00000007.snapshot.lz4"), junk, 99, 1000);
    T_IS(WR_CORRUPT, restore_to(&m.w, path, 0, &e));
    world_store(&m.w, gen_key(GENERATION, "snapshots/00000007.snapshot.lz4"),
        (struct wr_bytes){junk, 0}, 1000);
    T_IS(WR_CORRUPT, restore_to(&m.w, path, 0, &e));
    world_release(&m.w);
}

static void test_accessors(void **state)
{
    struct wr_legacy *l = NULL;
    struct wr_err e = {0};
    struct world w;
    uint64_t bytes = 0;

    (void)state;
    world_init(&w, WR_STORAGE_LIST_TIME, "p/");
    T_IS(WR_NOTFOUND, wr_legacy_find(w.storage, t_call(), 0, &l, &e));
    T(!l);
    put_sample(&w);
    T_IS(WR_NOTFOUND, wr_legacy_find(w.storage, t_call(), 999, &l, &e));
    T_OK(wr_legacy_find(w.storage, t_call(), 3000, &l, &e));
    T(wr_legacy_snapshot_ms(l) == 1000 && wr_legacy_end_ms(l) == 3000);
    T(wr_legacy_newest_ms(l) == 11000);
    for (size_t i = 0; i < 3; i++)
        bytes += sample_bytes(i).n;
    T(wr_legacy_bytes(l) == bytes);
    wr_legacy_free(l);
    wr_legacy_free(NULL);
    world_release(&w);
}

/* ---- faults ---- */

static void test_every_request_failing(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "db");
    struct world w;
    uint64_t nth = 1;

    (void)state;
    world_init(&w, WR_STORAGE_LIST_TIME, "p/");
    put_sample(&w);
    for (;; nth++) {
        struct wr_err e = {0};
        enum wr_status st;

        world_fail(&w, nth, UINT64_MAX, nth == 3 ? WR_NOTFOUND : WR_IO);
        st = restore_to(&w, path, 0, &e);
        if (st == WR_OK)
            break;
        T_IS(nth == 3 ? WR_BUSY : WR_IO, st); /* vanished is not the same as not there */
        T(!file_exists(path));
    }
    T(nth == 2 + wr_countof(sample) + 1);
    world_release(&w);
}

struct sweep {
    struct world *w;
    const char *path;
};

static enum wr_status restore_body(void *arg)
{
    const struct sweep *x = arg;
    const struct wr_restore_opts o = {.path = x->path, .overwrite = true};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    return wr_restore(x->w->storage, t_call(), &o, &r, &e);
}

static void test_nomem(void **state)
{
    struct world w;
    struct sweep x = {.w = &w, .path = t_path(t_tmpdir(), "db")};

    (void)state;
    world_init(&w, WR_STORAGE_LIST_TIME, "p/");
    put_sample(&w);
    t_sweep_nomem(restore_body, &x);
    world_release(&w);
}

T_MAIN(T_TEST(test_real_replica), T_TEST(test_path_that_is_not_clean), T_TEST(test_integrity_check),
    T_TEST(test_every_time), T_TEST(test_missing_objects), T_TEST(test_damaged_objects),
    T_TEST(test_other_names_are_ignored), T_TEST(test_wals_of_sqlite), T_TEST(test_damaged_wal),
    T_TEST(test_no_database), T_TEST(test_accessors), T_TEST(test_every_request_failing),
    T_TEST(test_nomem))
