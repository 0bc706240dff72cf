/*
 * test_verify_live.c - whether the newest state of a replica is the database, beside an engine that
 * replicates it.
 */
#include "engine/verify.h"

#include "base/mem.h"
#include "harness/engine_world.h"
#include "storage/storage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

/* A clock that goes on by 100 ms with each look. Something happens at the first one after the
 * database was read, for which the time of day is asked. */
struct eventful {
    struct wr_clock clock;
    int64_t now_ms, wall_ms;
    struct world *w;
    bool read;
    void (*happen)(struct world *w);
};

static struct eventful *eventful_of(const struct wr_clock *c)
{
    return (struct eventful *)(uintptr_t)c;
}

static int64_t look(const struct wr_clock *c)
{
    struct eventful *x = eventful_of(c);

    x->now_ms += 100;
    if (x->happen && x->read) {
        x->happen(x->w);
        x->happen = NULL;
    }
    return x->now_ms * 1000000;
}

static int64_t wall(const struct wr_clock *c)
{
    struct eventful *x = eventful_of(c);

    x->read = true;
    return x->wall_ms;
}

struct judged {
    struct wr_verify_result r;
    unsigned live, others;
    char text[600];
};

static void judge_add(void *arg, const struct wr_finding *f)
{
    struct judged *j = arg;

    j->live += f->kind == WR_FINDING_LIVE;
    j->others += f->kind != WR_FINDING_LIVE;
    T(f->kind != WR_FINDING_LIVE || (!f->key && f->min == f->max));
    (void)snprintf(j->text, sizeof(j->text), "%s", f->text);
}

/* `wall_ms`: what the verification takes for the time. */
static enum wr_status verify_in(struct world *w, struct wr_storage *s, int64_t wall_ms,
    void (*happen)(struct world *w), struct judged *j, struct wr_err *e)
{
    struct eventful x = {.clock = {look, wall}, .wall_ms = wall_ms, .w = w, .happen = happen};
    struct wr_verify_opts o = {
        .db_path = w->path, .db_wait_ms = 1500, .finding = judge_add, .finding_arg = j};
    struct wr_call c = *t_call();

    *j = (struct judged){0};
    *e = (struct wr_err){0};
    c.clock = &x.clock;
    return wr_verify(s, &c, &o, &j->r, e);
}

static enum wr_status verify(struct world *w, int64_t wall_ms, void (*happen)(struct world *w),
    struct judged *j, struct wr_err *e)
{
    struct wr_storage *s = world_storage(w, 0);
    enum wr_status st = verify_in(w, s, wall_ms, happen, j, e);

    wr_storage_close(s);
    return st;
}

static int64_t later(const struct world *w)
{
    return w->clock.wall_now_ms + 3600000;
}

static void start(struct world *w)
{
    world_open(w, 1);
    world_app(w);
    world_sql(w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a, b)");
    for (int i = 0; i < 40; i++)
        world_sql(w, "INSERT INTO t VALUES(1, randomblob(3000))");
    world_start(w);
    world_run(w, SECOND);
    world_sql(w, "UPDATE t SET a=2 WHERE rowid=7");
    (void)world_sync(w);
}

static void test_the_newest_state_is_the_database(void **state)
{
    struct world w;
    struct judged j;
    struct wr_err e;

    (void)state;
    start(&w);
    T_OK(verify(&w, later(&w), NULL, &j, &e));
    T(j.r.live_txid == j.r.last_txid && j.r.live_pages > 40 && j.r.live_changing == 0);
    T(j.live == 0);
    world_close(&w);
}

static void write_and_sync(struct world *w)
{
    world_sql(w, "UPDATE t SET a=4 WHERE rowid=9");
    (void)world_sync(w);
}

/* The database was read with a change that goes out together with later ones. */
static void test_what_is_being_written_is_waited_for(void **state)
{
    struct world w;
    struct judged j;
    struct wr_err e;

    (void)state;
    start(&w);
    world_sql(&w, "UPDATE t SET a=3 WHERE rowid=8");
    T_OK(verify(&w, later(&w), write_and_sync, &j, &e));
    T(j.r.live_txid == 3 && j.live == 0 && j.r.points == 3);
    T(j.r.live_changing > 0 && j.r.live_changing < 4 && j.r.live_pages > 40);
    world_close(&w);
}

static void test_what_is_not_sent_is_told(void **state)
{
    struct world w;
    struct judged j;
    struct wr_err e;

    (void)state;
    start(&w);
    world_sql(&w, "UPDATE t SET a=3 WHERE rowid=8");
    T_IS(WR_CORRUPT, verify(&w, later(&w), NULL, &j, &e));
    T(j.live == 1 && j.others == 0 && j.r.live_txid == 0 && j.r.findings == 1);
    T(strstr(j.text, "1 page,") && strstr(j.text, "yet to be sent"));
    T(j.r.lost == 0 && !j.r.newest_unsound);
    world_close(&w);
}

/* Bytes of the database file go bad; nothing else is changed, not even its time. */
static void rot(struct world *w)
{
    pid_t pid = fork();
    int status;

    T(pid >= 0);
    if (pid == 0) { /* closing it here would drop SQLite's locks */
        struct stat was;
        int fd = open(w->path, O_RDWR);
        struct timespec times[2];

        if (fd < 0 || fstat(fd, &was) != 0 || pwrite(fd, "rotten", 6, 20 * 4096 + 100) != 6)
            _exit(1);
        times[0] = was.st_atim;
        times[1] = was.st_mtim;
        _exit(futimens(fd, times) == 0 ? 0 : 1);
    }
    T(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_a_page_that_has_gone_bad_is_told(void **state)
{
    struct world w;
    struct judged j;
    struct wr_err e;

    (void)state;
    start(&w);
    /* All of it is in the file, and nothing of it in the WAL. */
    world_stop(&w);
    world_sql(&w, "PRAGMA wal_checkpoint(TRUNCATE)");
    rot(&w);
    T_IS(WR_CORRUPT, verify(&w, later(&w), NULL, &j, &e));
    T(j.live == 1 && strstr(j.text, "1 page,") && strstr(j.text, "page 21 the first"));
    /* With a file that was made since, there is no hope that another one explains it. */
    T_IS(WR_CORRUPT, verify(&w, 0, NULL, &j, &e));
    T(j.live == 1 && strstr(j.text, "behind weir's back, or missed"));
    world_close(&w);
}

/* One bit of the newest file. */
static void spoil(struct world *w)
{
    struct wr_storage *s = world_storage(w, 0);
    struct wr_ltx_files all = {0};
    const struct wr_ltx_file *f;
    struct wr_err e = {0};
    struct wr_str key;
    uint8_t *bytes;
    size_t got = 0;

    T_OK(wr_layout_list_all(s, t_call(), &all, &e));
    f = &all.p[0]; /* of level 0, and not the first */
    T(f->min > 1);
    key = wr_layout_ltx_key(t_call()->scratch, s, f->level, f->min, f->max);
    bytes = wr_alloc((size_t)f->size);
    T_OK(wr_storage_get(s, t_call(), key, 0, bytes, (size_t)f->size, &got, &e));
    T(got == f->size);
    bytes[got / 2] ^= 1;
    T_OK(wr_storage_put(s, t_call(), key, (struct wr_bytes){bytes, got}, NULL, &e));
    wr_free(bytes);
    wr_ltx_files_release(&all);
    wr_storage_close(s);
}

/* It was called "no backup", and what was wrong with the replica was not told. */
static void test_a_lost_database_was_taken_for_a_lost_replica(void **state)
{
    struct world w;
    struct judged j;
    struct wr_err e;

    (void)state;
    start(&w);
    world_stop(&w);
    world_app_close(&w);
    T(rename(w.path, t_path(w.dir, "elsewhere")) == 0);
    T_IS(WR_UNSUPPORTED, verify(&w, later(&w), NULL, &j, &e));
    T(strstr(e.text, "compare with the database") && strstr(e.text, w.path));
    T(j.live == 0 && j.others == 0 && j.r.points > 0 && j.r.live_txid == 0);
    /* Nor is what is wrong with the database damage of the replica. */
    t_spew(w.path, "not a database, for sure", 24);
    T_IS(WR_UNSUPPORTED, verify(&w, later(&w), NULL, &j, &e));
    T(j.live == 0 && j.others == 0);
    spoil(&w);
    T_IS(WR_CORRUPT, verify(&w, later(&w), NULL, &j, &e));
    T(j.live == 0 && j.others > 0 && !strstr(e.text, "compare with"));
    world_close(&w);
}

struct nomem {
    struct world w;
    struct wr_storage *s;
};

static enum wr_status verify_once(void *arg)
{
    struct nomem *x = arg;
    struct judged j;
    struct wr_err e;

    return verify_in(&x->w, x->s, later(&x->w), NULL, &j, &e);
}

static void test_nomem(void **state)
{
    struct nomem x;

    (void)state;
    start(&x.w);
    x.s = world_storage(&x.w, 0);
    t_sweep_nomem(verify_once, &x);
    wr_storage_close(x.s);
    world_close(&x.w);
}

T_MAIN(T_TEST(test_the_newest_state_is_the_database),
    T_TEST(test_what_is_being_written_is_waited_for), T_TEST(test_what_is_not_sent_is_told),
    T_TEST(test_a_page_that_has_gone_bad_is_told),
    T_TEST(test_a_lost_database_was_taken_for_a_lost_replica), T_TEST(test_nomem))
