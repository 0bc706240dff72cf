/*
 * seen.c - when a commit is seen in copies of the database.
 *
 *   seen DB COMMITS COPY...
 *
 * Makes the table `seen` in DB and prints "ready"; with the next line from its standard input it
 * begins. It commits a row, waits until a SELECT in every copy has it, rests, and so on, and prints
 * the milliseconds from each commit to each copy. Copies are in rollback mode: in each it looks at
 * the change counter of the file, which costs nobody anything, before it asks SQLite.
 *
 * Where it may, it runs before all others: what it looks at must not keep it from looking.
 */
#include <sched.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LOOK_NS    500000    /* between two looks */
#define REST_NS    150000000 /* between a commit that all have seen and the next one */
#define PATIENCE_S 20
#define AT_COUNTER 24 /* in a database's header */

struct copy {
    sqlite3 *db;
    sqlite3_stmt *newest;
    sqlite3_file *file;
    unsigned counter; /* as it was when it was last asked */
    bool seen;
};

static double now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail with this clock */
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void rest(long ns)
{
    struct timespec t = {.tv_nsec = ns};

    (void)nanosleep(&t, NULL); /* a shorter one is no harm */
}

static void must(int rc, sqlite3 *db)
{
    if (rc == SQLITE_OK)
        return;
    (void)fprintf(stderr, "seen: %s\n", sqlite3_errmsg(db));
    exit(1);
}

static void open_copy(struct copy *c, const char *path)
{
    must(sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READONLY, NULL), c->db);
    must(sqlite3_busy_timeout(c->db, PATIENCE_S * 1000), c->db);
    must(sqlite3_prepare_v2(c->db, "SELECT max(id) FROM seen", -1, &c->newest, NULL), c->db);
    must(sqlite3_file_control(c->db, "main", SQLITE_FCNTL_FILE_POINTER, &c->file), c->db);
}

static bool has(struct copy *c, sqlite3_int64 id)
{
    unsigned counter = 0;
    bool yes;

    if (c->file->pMethods->xRead(c->file, &counter, sizeof(counter), AT_COUNTER) != SQLITE_OK ||
        counter == c->counter)
        return false;
    yes = sqlite3_step(c->newest) == SQLITE_ROW && sqlite3_column_int64(c->newest, 0) >= id;
    (void)sqlite3_reset(c->newest); /* step has told */
    if (yes)
        c->counter = counter;
    return yes;
}

static bool commit_one(sqlite3 *db, struct copy *copies, int n)
{
    double began;
    int left = n;

    must(sqlite3_exec(db, "INSERT INTO seen(b) VALUES(randomblob(100))", NULL, NULL, NULL), db);
    began = now_ms();
    for (int i = 0; i < n; i++)
        copies[i].seen = false;
    while (left > 0 && now_ms() - began < PATIENCE_S * 1e3) {
        for (int i = 0; i < n; i++) {
            if (copies[i].seen || !has(&copies[i], sqlite3_last_insert_rowid(db)))
                continue;
            copies[i].seen = true;
            left--;
            (void)printf("%.3f\n", now_ms() - began);
        }
        rest(LOOK_NS);
    }
    if (left > 0)
        (void)fprintf(stderr, "seen: %d copies have not got a commit\n", left);
    return left == 0;
}

int main(int argc, char **argv)
{
    struct sched_param first = {.sched_priority = 1};
    int n = argc - 3, commits = argc > 2 ? atoi(argv[2]) : 0;
    struct copy *copies = calloc((size_t)(n > 0 ? n : 1), sizeof(*copies));
    sqlite3 *db = NULL;

    if (n < 1 || commits < 1 || !copies) {
        (void)fprintf(stderr, "usage: seen DB COMMITS COPY...\n");
        return 2;
    }
    must(sqlite3_open(argv[1], &db), db);
    must(
        sqlite3_exec(db,
            "PRAGMA synchronous=NORMAL; CREATE TABLE IF NOT EXISTS seen(id INTEGER PRIMARY KEY, b)",
            NULL, NULL, NULL),
        db);
    (void)puts("ready");
    (void)fflush(stdout);
    (void)getchar(); /* also at its end */
    for (int i = 0; i < n; i++)
        open_copy(&copies[i], argv[3 + i]);
    (void)sched_setscheduler(0, SCHED_FIFO, &first); /* who may not is a little late */
    for (int i = 0; i < commits; i++) {
        rest(REST_NS);
        if (!commit_one(db, copies, n))
            return 1;
    }
    return 0;
}
