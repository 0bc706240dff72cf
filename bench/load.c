/*
 * load.c - an application at work: one connection, one small transaction after the other.
 *
 *   load DB KIND SYNC [count=N] [bytes=N] [seconds=N] [rate=N] [cap=N] [seed=N] [times=FILE]
 *
 *   KIND    insert   a row of about 300 bytes and one entry of an index with random keys
 *           append   the same row without the index
 *           update   one random row of those that are there
 *           both     an insert, and an update of one of the rows that were there at the start
 *           token    as append, with 16 bytes that only this transaction has: see token()
 *           fill     rows in large transactions until the database has grown by bytes=N
 *           read     a read that stays open for 5 to 60 ms, and then up to 20 ms without one
 *   SYNC    NORMAL or FULL
 *   rate    transactions a second; without it, as many as there is time for
 *   cap     never more than that a second: a rate that does not catch up after a stall
 *   times   CLOCK_MONOTONIC nanoseconds at which each COMMIT returned, 8 bytes each, native order
 *
 * It ends after so many transactions or seconds, whichever comes first, and prints one line of
 * JSON. The WAL is measured while the connection is open, because closing it may delete the file.
 *
 * It refuses to know whether anybody replicates the database.
 */
#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LATENCIES_MAX ((size_t)1 << 23)
#define LATENCY_NS    100u              /* as 32 bits, enough for longer than SQLite waits */
#define TEXT_POOL     ((size_t)1 << 22) /* far more than a compressor looks back */
#define WORDS         200u
#define WORD_MAX      12u
#define WAL_EVERY     64u   /* transactions between two looks at the WAL's size */
#define FILL_ROWS     2000u /* of a large transaction */
#define READ_LEAST    5000000u
#define READ_MORE     55000000u
#define READ_PAUSE    20000000u

struct options {
    const char *path, *kind, *sync, *times;
    uint64_t count, bytes, seconds, rate, cap, seed;
};

struct load {
    struct options o;
    sqlite3 *db;
    sqlite3_stmt *begin, *write, *update, *commit;
    uint64_t random, rows, tag;
    char text[TEXT_POOL];
    uint32_t *latency; /* the first LATENCIES_MAX, in LATENCY_NS */
    uint64_t *times;
    uint64_t done;
    uint64_t wal_max, wal_end;
};

static void give_up(struct load *l, const char *what)
{
    (void)fprintf(stderr, "load: %s: %s\n", what, l->db ? sqlite3_errmsg(l->db) : strerror(errno));
    exit(1);
}

static uint64_t now_ns(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t); /* cannot fail with these clocks */
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        continue;
}

static uint64_t mix(uint64_t x) /* splitmix64 */
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t next_random(struct load *l)
{
    return mix(l->random++);
}

/* What transaction `i` leaves in the file, for whoever looks for it in a replica: no compressor can
 * shorten it, so it is there as it is. Kept in step with arrivals.py. */
static void token(uint64_t seed, uint64_t i, uint8_t out[16])
{
    for (unsigned half = 0; half < 2; half++) {
        uint64_t v = mix(mix(seed * 2 + half) + i);

        for (unsigned k = 0; k < 8; k++)
            out[half * 8 + k] = (uint8_t)(v >> (8 * k));
    }
}

/* Words that recur, short ones more often, and numbers that do not: LZ4 takes a third off a page of
 * it, as off pages of many databases. */
static void make_text(struct load *l)
{
    static const char letters[] = "eeeetttaaoooiinnsshhrrdlucmfwygpbvkxqjz";
    char words[WORDS][WORD_MAX];
    size_t at = 0;

    for (size_t i = 0; i < WORDS; i++) {
        size_t n = 3 + next_random(l) % (WORD_MAX - 4);

        for (size_t k = 0; k < n; k++)
            words[i][k] = letters[next_random(l) % (sizeof(letters) - 1)];
        words[i][n] = '\0';
    }
    while (at + 32 < TEXT_POOL) {
        uint64_t r = next_random(l);
        size_t pick = (size_t)((r & 0xffff) * (r >> 16 & 0xffff) * WORDS >> 32);
        int n = r >> 62
                    ? snprintf(l->text + at, 32, "%s ", words[pick])
                    : snprintf(l->text + at, 32, "%llu ", (unsigned long long)(r >> 40 & 0xffffff));

        at += (size_t)n;
    }
    memset(l->text + at, ' ', TEXT_POOL - at);
}

static uint64_t file_size(const char *path, const char *tail)
{
    char name[4096];
    struct stat st;

    if (snprintf(name, sizeof(name), "%s%s", path, tail) >= (int)sizeof(name))
        return 0;
    return stat(name, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void look_at_wal(struct load *l)
{
    l->wal_end = file_size(l->o.path, "-wal");
    if (l->wal_end > l->wal_max)
        l->wal_max = l->wal_end;
}

static void run_sql(struct load *l, const char *sql)
{
    if (sqlite3_exec(l->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        give_up(l, sql);
}

static sqlite3_stmt *prepare(struct load *l, const char *sql)
{
    sqlite3_stmt *s = NULL;

    if (sqlite3_prepare_v2(l->db, sql, -1, &s, NULL) != SQLITE_OK)
        give_up(l, sql);
    return s;
}

static bool is_kind(const struct load *l, const char *kind)
{
    return strcmp(l->o.kind, kind) == 0;
}

static uint64_t count_rows(struct load *l)
{
    sqlite3_stmt *s = prepare(l, "SELECT coalesce(max(id), 0) FROM note");
    uint64_t n = 0;

    if (sqlite3_step(s) == SQLITE_ROW)
        n = (uint64_t)sqlite3_column_int64(s, 0);
    (void)sqlite3_finalize(s); /* repeats the error of the step */
    return n;
}

static void open_db(struct load *l)
{
    char pragma[64];

    if (sqlite3_open(l->o.path, &l->db) != SQLITE_OK)
        give_up(l, l->o.path);
    (void)sqlite3_busy_timeout(l->db, 30000); /* cannot fail with an open connection */
    run_sql(l, "PRAGMA journal_mode = WAL");
    (void)snprintf(pragma, sizeof(pragma), "PRAGMA synchronous = %s", l->o.sync);
    run_sql(l, pragma);
    run_sql(l, "PRAGMA cache_size = -65536");
    run_sql(l, "CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, tag INTEGER, text TEXT)");
    if (is_kind(l, "insert") || is_kind(l, "both"))
        run_sql(l, "CREATE INDEX IF NOT EXISTS note_tag ON note(tag)");
    l->rows = count_rows(l);
    if ((is_kind(l, "update") || is_kind(l, "both")) && l->rows == 0) {
        (void)fputs("load: there are no rows to update\n", stderr);
        exit(1);
    }
    l->begin = prepare(l, "BEGIN IMMEDIATE");
    l->commit = prepare(l, "COMMIT");
    l->write = prepare(l, "INSERT INTO note(tag, text) VALUES (?1, ?2)");
    l->update = prepare(l, "UPDATE note SET text = ?2 WHERE id = ?3");
}

static void step(struct load *l, sqlite3_stmt *s)
{
    if (sqlite3_step(s) != SQLITE_DONE)
        give_up(l, sqlite3_sql(s));
    (void)sqlite3_reset(s); /* the step was fine */
}

static void bind(struct load *l, int rc)
{
    if (rc != SQLITE_OK)
        give_up(l, "bind");
}

static void update_row(struct load *l)
{
    uint64_t r = next_random(l);
    const char *text = l->text + (r >> 32) % (TEXT_POOL - 400);

    assert(l->rows > 0);
    bind(l, sqlite3_bind_text(l->update, 2, text, 200 + (int)(r % 200), SQLITE_STATIC));
    r = 1 + next_random(l) % l->rows;
    bind(l, sqlite3_bind_int64(l->update, 3, (sqlite3_int64)r));
    step(l, l->update);
}

static void insert_row(struct load *l)
{
    uint64_t r = next_random(l);
    const char *text = l->text + (r >> 32) % (TEXT_POOL - 400);
    uint8_t id[16];

    bind(l, sqlite3_bind_int64(l->write, 1, (sqlite3_int64)(r & 0x7fffffff)));
    if (is_kind(l, "token")) {
        token(l->o.seed, l->tag++, id);
        bind(l, sqlite3_bind_blob(l->write, 2, id, sizeof(id), SQLITE_TRANSIENT));
    } else {
        bind(l, sqlite3_bind_text(l->write, 2, text, 200 + (int)(r % 200), SQLITE_STATIC));
    }
    step(l, l->write);
}

static void transaction(struct load *l, unsigned rows)
{
    step(l, l->begin);
    for (unsigned i = 0; i < rows; i++) {
        if (!is_kind(l, "update"))
            insert_row(l);
        if (is_kind(l, "update") || is_kind(l, "both"))
            update_row(l);
    }
    step(l, l->commit);
}

static void fill(struct load *l)
{
    uint64_t pages = file_size(l->o.path, "") + l->o.bytes;

    while (file_size(l->o.path, "") < pages) {
        transaction(l, FILL_ROWS);
        if (sqlite3_wal_checkpoint_v2(l->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) !=
            SQLITE_OK)
            give_up(l, "checkpoint");
        l->done++;
    }
}

static void read_once(struct load *l)
{
    uint64_t r = next_random(l);

    run_sql(l, "BEGIN; SELECT max(id) FROM note");
    sleep_until(now_ns(CLOCK_MONOTONIC) + READ_LEAST + (r >> 32) % READ_MORE);
    run_sql(l, "COMMIT");
    sleep_until(now_ns(CLOCK_MONOTONIC) + (r & 0xffffffff) % READ_PAUSE);
}

static void work(struct load *l)
{
    uint64_t pace = l->o.rate ? 1000000000u / l->o.rate : 0;
    uint64_t least = l->o.cap ? 1000000000u / l->o.cap : 0;
    uint64_t start = now_ns(CLOCK_MONOTONIC), end = start, due = start;

    while ((!l->o.count || l->done < l->o.count) &&
           (!l->o.seconds || end - start < l->o.seconds * 1000000000u)) {
        uint64_t before;

        if (pace || least)
            sleep_until(due);
        before = now_ns(CLOCK_MONOTONIC);
        if (is_kind(l, "read"))
            read_once(l);
        else
            transaction(l, 1);
        end = now_ns(CLOCK_MONOTONIC);
        if (l->done < LATENCIES_MAX) {
            l->latency[l->done] = (uint32_t)((end - before) / LATENCY_NS);
            if (l->times)
                l->times[l->done] = end;
        }
        l->done++;
        due = pace ? due + pace : before + least;
        if (l->done % WAL_EVERY == 0)
            look_at_wal(l);
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double latency_us(const struct load *l, double part)
{
    size_t n = l->done < LATENCIES_MAX ? (size_t)l->done : LATENCIES_MAX;

    return n ? (double)l->latency[(size_t)((double)(n - 1) * part)] * LATENCY_NS / 1e3 : 0;
}

static void save_times(struct load *l)
{
    FILE *f = fopen(l->o.times, "wb");
    size_t n = l->done < LATENCIES_MAX ? (size_t)l->done : LATENCIES_MAX;

    if (!f || fwrite(l->times, sizeof(*l->times), n, f) != n || fclose(f) != 0) {
        (void)fprintf(stderr, "load: %s: %s\n", l->o.times, strerror(errno));
        exit(1);
    }
}

static void report(struct load *l, uint64_t wall_ns, uint64_t cpu_ns)
{
    size_t n = l->done < LATENCIES_MAX ? (size_t)l->done : LATENCIES_MAX;

    qsort(l->latency, n, sizeof(*l->latency), by_value);
    (void)printf("{\"transactions\": %llu, \"seconds\": %.6f, \"cpu_seconds\": %.6f, "
                 "\"wal_max\": %llu, \"wal_end\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f, "
                 "\"p999_us\": %.1f, \"max_us\": %.1f}\n",
        (unsigned long long)l->done, (double)wall_ns / 1e9, (double)cpu_ns / 1e9,
        (unsigned long long)l->wal_max, (unsigned long long)l->wal_end, latency_us(l, 0.5),
        latency_us(l, 0.99), latency_us(l, 0.999), latency_us(l, 1));
}

static void usage(void)
{
    (void)fputs(
        "usage: load DB insert|append|update|both|token|fill|read NORMAL|FULL [count=N] [bytes=N] "
        "[seconds=N] [rate=N] [cap=N] [seed=N] [times=FILE]\n",
        stderr);
    exit(2);
}

static uint64_t number(const char *s)
{
    uint64_t n = 0;

    if (!*s)
        usage();
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || n > UINT64_MAX / 10 - 1)
            usage();
        n = n * 10 + (uint64_t)(*s - '0');
    }
    return n;
}

static struct options parse(int argc, char **argv)
{
    struct options o = {.seed = 1};

    if (argc < 4)
        usage();
    o.path = argv[1];
    o.kind = argv[2];
    o.sync = argv[3];
    for (int i = 4; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        struct {
            const char *name;
            uint64_t *to;
        } names[] = {{"count", &o.count}, {"bytes", &o.bytes}, {"seconds", &o.seconds},
            {"rate", &o.rate}, {"cap", &o.cap}, {"seed", &o.seed}};
        size_t n = value ? (size_t)(value - argv[i]) : 0;
        bool known = n == 5 && strncmp(argv[i], "times", n) == 0;

        if (known)
            o.times = value + 1;
        for (size_t k = 0; k < sizeof(names) / sizeof(names[0]) && !known; k++) {
            known = n == strlen(names[k].name) && strncmp(argv[i], names[k].name, n) == 0;
            if (known)
                *names[k].to = number(value + 1);
        }
        if (!known)
            usage();
    }
    if (strcmp(o.kind, "fill") == 0 ? o.bytes == 0 : o.count == 0 && o.seconds == 0)
        usage(); /* it would never end */
    return o;
}

int main(int argc, char **argv)
{
    static struct load l;
    uint64_t wall, cpu;

    l.o = parse(argc, argv);
    l.random = mix(l.o.seed);
    l.latency = calloc(LATENCIES_MAX, sizeof(*l.latency));
    l.times = l.o.times ? calloc(LATENCIES_MAX, sizeof(*l.times)) : NULL;
    if (!l.latency || (l.o.times && !l.times))
        give_up(&l, "memory");
    make_text(&l);
    open_db(&l);
    wall = now_ns(CLOCK_MONOTONIC);
    cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    if (is_kind(&l, "fill"))
        fill(&l);
    else
        work(&l);
    wall = now_ns(CLOCK_MONOTONIC) - wall;
    cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    look_at_wal(&l);
    if (l.times)
        save_times(&l);
    report(&l, wall, cpu);
    (void)sqlite3_finalize(l.begin);
    (void)sqlite3_finalize(l.write);
    (void)sqlite3_finalize(l.update);
    (void)sqlite3_finalize(l.commit);
    (void)sqlite3_close(l.db);
    free(l.latency);
    free(l.times);
    return 0;
}
