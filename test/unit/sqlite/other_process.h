/*
 * other_process.h - another process that uses the same database: an application, a writer that dies
 * in the middle, a second replicator. It does what it is told, a line at a time.
 *
 * Start it before any SQLite handle is open here: a fork inherits memory that says so, but none of
 * the locks.
 */
#ifndef WR_TEST_OTHER_PROCESS_H
#define WR_TEST_OTHER_PROCESS_H

#include "base/base.h"
#include "base/str.h"
#include "harness/t.h"
#include "sqlite/conn.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct other {
    pid_t pid;
    FILE *to, *from;
    char reply[600];
};

/* What the other process has open. */
struct other_state {
    sqlite3 *db;
    struct wr_conn *conn;
};

static inline void other_sql(sqlite3 *db, const char *sql, FILE *out)
{
    sqlite3_stmt *stmt = NULL;
    char text[64] = "";
    int rc = SQLITE_OK;

    while (*sql && rc == SQLITE_OK) {
        rc = sqlite3_prepare_v2(db, sql, -1, &stmt, &sql);
        if (rc == SQLITE_OK && stmt) {
            rc = sqlite3_step(stmt);
            text[0] = '\0';
            if (rc == SQLITE_ROW)
                (void)snprintf(
                    text, sizeof(text), "%s", (const char *)sqlite3_column_text(stmt, 0));
            while (rc == SQLITE_ROW)
                rc = sqlite3_step(stmt);
            rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
        }
        (void)sqlite3_finalize(stmt);
        stmt = NULL;
    }
    (void)fprintf(out, "%d %s\n", rc, text);
}

/* Commit as fast as it goes, and count what fails. */
static inline void other_storm(sqlite3 *db, uint64_t n, FILE *out)
{
    uint64_t failed = 0;

    (void)sqlite3_busy_timeout(db, 10000);
    for (uint64_t i = 0; i < n; i++)
        failed += sqlite3_exec(db, "INSERT INTO t VALUES(1)", NULL, NULL, NULL) != SQLITE_OK;
    (void)fprintf(out, "%d\n", (int)failed);
}

/* Die in the middle of an update of the wal-index: the copies differ for good. */
static inline bool other_tear(const char *shm)
{
    int fd = open(shm, O_RDWR);
    uint8_t *p = MAP_FAILED;

    if (fd >= 0)
        p = mmap(NULL, 32768, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED)
        p[48 + 16] ^= 0xff;
    return p != MAP_FAILED;
}

static inline void other_do(struct other_state *s, const char *line, FILE *out)
{
    struct wr_conn_info info;
    struct wr_err e = {0};
    enum wr_status st = WR_OK;
    uint64_t n = 0;

    switch (line[0]) {
    case 'o': /* open, wait for nobody */
        (void)fprintf(out, "%d\n", sqlite3_open(line + 1, &s->db));
        break;
    case 's':
        other_sql(s->db, line + 1, out);
        break;
    case 't':
        (void)fprintf(out, "%d\n", other_tear(line + 1));
        break;
    case 'u':
        (void)fprintf(out, "%d\n", wr_parse_u64(wr_str(line + 1), &n) && setuid((uid_t)n) == 0);
        break;
    case 'l':
        if (wr_parse_u64(wr_str(line + 1), &n))
            other_storm(s->db, n, out);
        break;
    case 'w': /* as a replicator does */
        st = wr_conn_open(line + 1, &s->conn, &info, &e);
        (void)fprintf(out, "%d %s\n", (int)st, e.text);
        break;
    case 'p':
        st = wr_conn_pin(s->conn, &e);
        (void)fprintf(out, "%d %s\n", (int)st, e.text);
        break;
    default:
        (void)sqlite3_close(s->db);
        wr_conn_close(s->conn);
        *s = (struct other_state){0};
        (void)fprintf(out, "0\n");
        break;
    }
    (void)fflush(out);
}

static inline struct other other_start(void)
{
    struct other o = {0};
    int to[2], from[2];

    T(pipe(to) == 0 && pipe(from) == 0);
    (void)fflush(NULL);
    o.pid = fork();
    T(o.pid >= 0);
    if (o.pid == 0) {
        struct other_state s = {0};
        FILE *in = fdopen(to[0], "r"), *out = fdopen(from[1], "w");
        char line[600];

        (void)close(to[1]);
        (void)close(from[0]);
        while (in && out && fgets(line, sizeof(line), in)) {
            line[strcspn(line, "\n")] = '\0';
            other_do(&s, line, out);
        }
        _exit(0);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    (void)fcntl(to[1], F_SETFD, FD_CLOEXEC);
    (void)fcntl(from[0], F_SETFD, FD_CLOEXEC);
    o.to = fdopen(to[1], "w");
    o.from = fdopen(from[0], "r");
    T(o.to && o.from);
    return o;
}

static inline void other_tell(struct other *o, char what, const char *arg)
{
    T(fprintf(o->to, "%c%s\n", what, arg) > 0 && fflush(o->to) == 0);
}

static inline const char *other_hear(struct other *o)
{
    T(fgets(o->reply, sizeof(o->reply), o->from) != NULL);
    o->reply[strcspn(o->reply, "\n")] = '\0';
    return o->reply;
}

/* What it answers to "<what><arg>": mostly a number, then text. Valid until the next question. */
static inline const char *other_ask(struct other *o, char what, const char *arg)
{
    other_tell(o, what, arg);
    return other_hear(o);
}

/* Its SQL gives this result: "<code> <first column of the last statement's first row>". */
static inline void other_expect(struct other *o, const char *sql, const char *want)
{
    assert_string_equal(other_ask(o, 's', sql), want);
}

static inline void other_kill(struct other *o)
{
    int status;

    T(kill(o->pid, SIGKILL) == 0);
    T(waitpid(o->pid, &status, 0) == o->pid);
    (void)fclose(o->to);
    (void)fclose(o->from);
    o->pid = 0;
}

static inline void other_end(struct other *o)
{
    int status;

    (void)fclose(o->to);
    T(waitpid(o->pid, &status, 0) == o->pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)fclose(o->from);
    o->pid = 0;
}

#endif
