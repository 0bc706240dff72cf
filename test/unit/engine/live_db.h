/*
 * live_db.h - a database that an application writes to while we hold it pinned, and the view of it.
 *
 * The lock page is moved to the front, so that small databases have one.
 */
#ifndef WR_TEST_LIVE_DB_H
#define WR_TEST_LIVE_DB_H

#include "base/base.h"
#include "base/rand.h"
#include "engine/view.h"
#include "harness/t.h"
#include "ltx/ltx.h"
#include "sqlite/wal.h"

#include <spawn.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIVE_LOCK 0x10000u

struct live {
    struct wr_rand rng;
    const char *dir, *path;
    sqlite3 *app;
    struct wr_conn *conn;
    struct wr_view view;
};

static inline void live_sql(struct live *l, const char *text)
{
    char *msg = NULL;

    if (sqlite3_exec(l->app, text, NULL, NULL, &msg) != SQLITE_OK)
        fail_msg("%s: %s", text, msg);
}

static inline void live_open(struct live *l, uint32_t page_size)
{
    struct wr_conn_info info;
    struct wr_err e = {0};
    char text[64];

    *l = (struct live){.dir = t_tmpdir()};
    wr_rand_init(&l->rng, t_seed());
    l->path = t_path(l->dir, "a");
    T(sqlite3_initialize() == SQLITE_OK);
    (void)sqlite3_test_control(SQLITE_TESTCTRL_PENDING_BYTE, LIVE_LOCK);
    (void)sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, (int)(t_seed() % 1000000 + 1), NULL);
    T(sqlite3_open(l->path, &l->app) == SQLITE_OK);
    (void)snprintf(text, sizeof(text), "PRAGMA page_size=%u; PRAGMA journal_mode=wal", page_size);
    live_sql(l, text);
    live_sql(l, "PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a, b)");
    T_OK(wr_conn_open(l->path, &l->conn, &info, &e));
    T_OK(wr_conn_pin(l->conn, &e));
    T(info.page_size == page_size);
    wr_view_init(&l->view, l->conn, page_size, wr_ltx_lock_pgno(page_size, LIVE_LOCK));
}

static inline void live_close(struct live *l)
{
    wr_view_release(&l->view);
    T(sqlite3_close(l->app) == SQLITE_OK);
    wr_conn_close(l->conn);
}

/* A few transactions of noise. */
static inline void live_write(struct live *l, uint64_t size_max)
{
    for (int i = 0; i < 3; i++) {
        char text[200];

        (void)snprintf(text, sizeof(text),
            "INSERT INTO t VALUES(%llu, randomblob(%llu)); DELETE FROM t WHERE a=%llu",
            (unsigned long long)wr_rand_below(&l->rng, 6),
            (unsigned long long)wr_rand_below(&l->rng, size_max),
            (unsigned long long)wr_rand_below(&l->rng, 6));
        live_sql(l, text);
    }
}

/* The view becomes that of everything committed. */
static inline void live_look(struct live *l)
{
    struct wr_walidx h;
    struct wr_err e = {0};

    wr_pgmap_clear(&l->view.frames);
    T_OK(wr_conn_header(l->conn, &h, &e));
    l->view.commit = h.n_page;
    l->view.backfilled = h.n_backfill;
    for (uint32_t n = 1; n <= h.mx_frame; n++) {
        uint8_t head[WR_FRAME_HEADER];
        struct wr_frame f;
        size_t got = 0;

        T_OK(wr_conn_read_wal(
            l->conn, wr_frame_offset(n, l->view.page_size), head, sizeof(head), &got, &e));
        T(got == sizeof(head));
        wr_frame_get(head, &f);
        T(wr_pgmap_set(&l->view.frames, f.pgno, n) == WR_OK);
    }
}

/* XOR of the checksums of these pages of the view; NULL: of all but the lock page. */
static inline uint64_t live_sum(const struct live *l, const uint32_t *pages, size_t n)
{
    uint8_t page[65536];
    struct wr_err e = {0};
    uint64_t sum = 0;

    if (!pages)
        n = l->view.commit;
    for (size_t i = 0; i < n; i++) {
        uint32_t pgno = pages ? pages[i] : (uint32_t)i + 1;

        if (pgno == l->view.lock_pgno)
            continue;
        T_OK(wr_view_page(&l->view, pgno, page, &e));
        sum ^= wr_ltx_page_checksum(pgno, page, l->view.page_size);
    }
    return sum;
}

/* By another process: closing a descriptor of the database here would drop SQLite's locks. */
static inline void live_copy(const char *from, const char *to)
{
    char *argv[] = {(char *)(uintptr_t) "cp", (char *)(uintptr_t)from, (char *)(uintptr_t)to, NULL};
    char *envp[] = {(char *)(uintptr_t) "PATH=/bin:/usr/bin", NULL};
    int status = 0;
    pid_t pid;

    T(posix_spawnp(&pid, "cp", NULL, NULL, argv, envp) == 0);
    T(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The database as SQLite makes it of the files as they are now. */
static inline struct wr_bytes live_image(struct live *l)
{
    const char *copy = t_path(l->dir, "copy");
    char wal[512];
    sqlite3 *db = NULL;

    live_copy(l->path, copy);
    (void)snprintf(wal, sizeof(wal), "%s-wal", l->path);
    live_copy(wal, t_path(l->dir, "copy-wal"));
    T(sqlite3_open(copy, &db) == SQLITE_OK);
    T(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) == SQLITE_OK);
    T(sqlite3_close(db) == SQLITE_OK);
    return t_slurp(copy);
}

#endif
