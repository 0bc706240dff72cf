/*
 * test_cells.c - what is said of the cells of pages that SQLite made, and of pages of noise.
 */
#include "vfs/cells.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/rand.h"
#include "harness/t.h"
#include "vfs/entries.h"

#include <sqlite3.h>

struct made {
    sqlite3 *db;
    struct wr_bytes file;
    uint32_t page_size;
};

static void make(struct made *x, uint32_t page_size, const char *sql)
{
    const char *path = t_path(t_tmpdir(), "db");
    char pragma[60];

    (void)snprintf(pragma, sizeof(pragma), "PRAGMA page_size=%u", page_size);
    T(sqlite3_open(path, &x->db) == SQLITE_OK);
    T(sqlite3_exec(x->db, pragma, NULL, NULL, NULL) == SQLITE_OK);
    T(sqlite3_exec(x->db, sql, NULL, NULL, NULL) == SQLITE_OK);
    x->file = t_slurp(path);
    x->page_size = page_size;
}

static int64_t ask(struct made *x, const char *sql, int64_t arg)
{
    sqlite3_stmt *s = NULL;
    int64_t answer = -1;

    T(sqlite3_prepare_v2(x->db, sql, -1, &s, NULL) == SQLITE_OK);
    (void)sqlite3_bind_int64(s, 1, arg);
    if (sqlite3_step(s) == SQLITE_ROW)
        answer = sqlite3_column_int64(s, 0);
    T(sqlite3_finalize(s) == SQLITE_OK);
    return answer;
}

static bool page(const struct made *x, uint32_t pgno, struct wr_cells *ret)
{
    return wr_cells_init(ret, pgno, x->file.p + (size_t)(pgno - 1) * x->page_size, x->page_size, 0);
}

/* Rowids of all widths, in keys of all kinds and of any length: of each entry of which all is on
 * its page the rowid is known, and it is that of a row, another one each. */
static void test_rowids_of_an_index(void **state)
{
    static const uint32_t sizes[] = {512, 4096, 65536};

    (void)state;
    for (size_t i = 0; i < wr_countof(sizes); i++) {
        struct made x;
        int64_t known = 0, rows;

        make(&x, sizes[i],
            "CREATE TABLE t(id INTEGER PRIMARY KEY, k, seen DEFAULT 0); CREATE INDEX i ON t(k, "
            "seen);"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000)"
            " INSERT INTO t(id, k) SELECT CASE i % 9 WHEN 0 THEN i WHEN 1 THEN -i WHEN 2 THEN i<<20"
            " WHEN 3 THEN i<<30 WHEN 4 THEN i<<44 WHEN 5 THEN -(i<<50) WHEN 6 THEN i<<52 WHEN 7 "
            "THEN"
            " i-7 ELSE i-2000 END, CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN i WHEN 2 THEN i*1.5"
            " WHEN 3 THEN printf('%.*c', i % 300, 'x') ELSE zeroblob(i % 250) END FROM n"
            " WHERE 1 ON CONFLICT DO NOTHING");
        rows = ask(&x, "SELECT count(*) FROM t", 0);
        T(sqlite3_exec(x.db, "BEGIN", NULL, NULL, NULL) ==
            SQLITE_OK); /* what was seen need not last */
        for (uint32_t pgno = 1; pgno <= x.file.n / x.page_size; pgno++) {
            struct wr_cells c;
            int64_t rowid;

            if (!page(&x, pgno, &c) || (c.kind != WR_CELLS_INDEX && c.kind != WR_CELLS_INDEX_LEAF))
                continue;
            for (uint32_t k = 0; k < c.n; k++) {
                if (!wr_cells_rowid(&c, k, &rowid))
                    continue;
                known++;
                T(ask(&x, "UPDATE t SET seen=1 WHERE id=? AND seen=0", rowid) == -1);
                T(sqlite3_changes(x.db) == 1);
            }
        }
        T(sizes[i] == 512 ? known > rows / 2 && known < rows : known == rows);
        T(sqlite3_close(x.db) == SQLITE_OK);
    }
}

/* By each interior page each of the rows is found where it is. */
static void test_where_a_rowid_is(void **state)
{
    struct made x;
    uint32_t root;

    (void)state;
    make(&x, 512,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, b); WITH RECURSIVE n(i) AS (SELECT -900 UNION ALL"
        " SELECT i+1 FROM n WHERE i<3000) INSERT INTO t SELECT i*i*i, randomblob(90) FROM n");
    root = (uint32_t)ask(&x, "SELECT rootpage FROM sqlite_master", 0);
    for (int64_t i = -900; i <= 3000; i++) {
        uint32_t pgno = root, header;
        int64_t last = 0, at = i * i * i;
        struct wr_cells c;
        bool there = false;

        while (page(&x, pgno, &c) && c.kind == WR_CELLS_TABLE) {
            T(wr_cells_below(&c, at, &pgno, &last));
            T(at <= last);
        }
        T(c.kind == WR_CELLS_TABLE_LEAF);
        header = pgno == 1 ? 100 : 0;
        for (uint32_t k = 0; k < c.n && !there; k++) {
            /* The size of the payload takes a byte; the rowid, up to nine. */
            const uint8_t *p = c.page + wr_be16(c.page + header + 8 + 2 * k) + 1;
            uint64_t rowid = 0;

            for (int n = 0; n < 9; n++, p++) {
                rowid = n == 8 ? rowid << 8 | *p : rowid << 7 | (*p & 0x7f);
                if (!(*p & 0x80))
                    break;
            }
            there = rowid == (uint64_t)at;
        }
        T(there);
    }
    T(sqlite3_close(x.db) == SQLITE_OK);
}

static void test_tables_of_a_schema(void **state)
{
    struct made x;
    struct wr_cells c;
    uint64_t table = 0;
    int n = 0;

    (void)state;
    make(&x, 4096,
        "CREATE TABLE t(a, b); CREATE VIEW v AS SELECT 1; CREATE TABLE u(a); CREATE INDEX i ON "
        "T(b);"
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END");
    T(page(&x, 1, &c) && c.kind == WR_CELLS_TABLE_LEAF && c.n == 5);
    for (uint32_t i = 0; i < c.n; i++) {
        struct wr_cells_schema row;

        if (!wr_cells_schema(&c, i, &row))
            continue;
        n++;
        T(row.root == (uint32_t)ask(&x, "SELECT rootpage FROM sqlite_master WHERE rowid=?", i + 1));
        T(row.is_index == (i == 3) && row.is_table != row.is_index);
        if (i == 0)
            table = row.table;
        else
            T((row.table == table) == (i == 3));
    }
    T(n == 3);
    T(sqlite3_close(x.db) == SQLITE_OK);
}

static void test_noise(void **state)
{
    static const uint8_t kinds[] = {2, 5, 10, 13};
    static const uint32_t sizes[] = {512, 1024, 65536};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 3000; round++) {
        uint32_t size = sizes[wr_rand_below(&r, 3)], pgno = 1 + (uint32_t)wr_rand_below(&r, 2);
        uint8_t *p = wr_alloc(size); /* as large as it is said to be, and no larger */
        uint32_t header = pgno == 1 ? 100 : 0, below;
        struct wr_entries_beside beside;
        struct wr_entries entries = {.n = 0};
        struct wr_cells_schema row;
        struct wr_cells c;
        int64_t v;

        T(p);
        wr_rand_fill(&r, p, size);
        p[header] = kinds[wr_rand_below(&r, 4)];
        if (wr_rand_below(&r, 4))
            p[header + 3] = 0;
        for (uint32_t k = 0; k < 200; k++) /* cells near the end */
            wr_put_be16(p + header + 8 + 2 * k, (uint16_t)(size - 1 - wr_rand_below(&r, 20)));
        if (wr_cells_init(&c, pgno, p, size, (uint32_t)wr_rand_below(&r, 256))) {
            const struct wr_entries_page as_read = {pgno, p, size, 0};

            for (uint32_t k = 0; k < c.n; k++) {
                (void)wr_cells_rowid(&c, k, &v);
                (void)wr_cells_schema(&c, k, &row);
                (void)wr_cells_child(&c, k, &below);
            }
            (void)wr_cells_below(&c, (int64_t)wr_rand_u64(&r), &below, &v);
            if (!wr_entries_beside(&as_read, 7, &beside))
                beside = (struct wr_entries_beside){.leaf = {0}};
            (void)wr_entries_read(&entries, &as_read, &beside);
            wr_entries_release(&entries);
        }
        wr_free(p);
    }
}

T_MAIN(T_TEST(test_rowids_of_an_index), T_TEST(test_where_a_rowid_is),
    T_TEST(test_tables_of_a_schema), T_TEST(test_noise))
