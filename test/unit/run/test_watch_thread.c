/*
 * test_watch_thread.c - hints delivered by the watch's own thread: a real SQLite log, and removal
 * at the worst moments.
 *
 * Callbacks run on that thread and must not fail a test there: they count, the test looks.
 */
#include "base/mem.h"
#include "base/sync.h"
#include "harness/t.h"
#include "run/watch.h"

#include <fcntl.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <unistd.h>

#define MS      INT64_C(1000000)
#define PATIENT (INT64_C(20000) * MS) /* a wait that ends only when a test fails */

static struct wr_watch *watch(void)
{
    struct wr_watch *w = NULL;
    struct wr_err e = {0};

    T_OK(wr_watch_new(false, &w, &e));
    return w;
}

/* The file stays open, so that nothing but the writes is seen. */
static void write_times(const char *path, unsigned times)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    T(fd >= 0);
    for (unsigned i = 0; i < times; i++)
        T(pwrite(fd, "x", 1, (off_t)i) == 1);
    T(close(fd) == 0);
}

struct flag {
    struct wr_mutex mutex;
    struct wr_cond changed;
    unsigned calls;
    bool hold;
    bool inside;
};

static void flag_init(struct flag *f)
{
    *f = (struct flag){0};
    wr_mutex_init(&f->mutex);
    wr_cond_init(&f->changed);
}

static void flag_release(struct flag *f)
{
    wr_cond_release(&f->changed);
    wr_mutex_release(&f->mutex);
}

static void flag_call(void *arg, bool only_written)
{
    struct flag *f = arg;

    (void)only_written;
    wr_mutex_lock(&f->mutex);
    f->calls++;
    f->inside = true;
    wr_cond_broadcast(&f->changed);
    while (f->hold)
        wr_cond_wait(&f->changed, &f->mutex);
    f->inside = false;
    wr_mutex_unlock(&f->mutex);
}

static bool flag_called(struct flag *f, unsigned n)
{
    int64_t until_ns = wr_mono_ns(wr_clock_system()) + PATIENT;
    bool called;

    wr_mutex_lock(&f->mutex);
    while (f->calls < n && wr_cond_wait_until(&f->changed, &f->mutex, until_ns))
        ;
    called = f->calls >= n;
    wr_mutex_unlock(&f->mutex);
    return called;
}

static unsigned flag_calls(struct flag *f)
{
    unsigned calls;

    wr_mutex_lock(&f->mutex);
    calls = f->calls;
    wr_mutex_unlock(&f->mutex);
    return calls;
}

static bool flag_is_inside(struct flag *f)
{
    bool inside;

    wr_mutex_lock(&f->mutex);
    inside = f->inside;
    wr_mutex_unlock(&f->mutex);
    return inside;
}

static void flag_let_go(struct flag *f)
{
    wr_mutex_lock(&f->mutex);
    f->hold = false;
    wr_cond_broadcast(&f->changed);
    wr_mutex_unlock(&f->mutex);
}

static void execute(sqlite3 *db, const char *sql)
{
    char *text = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
        fail_msg("%s: %s", sql, text);
}

static void test_a_commit_of_sqlite_is_noticed(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_watch *w = watch();
    struct wr_err e = {0};
    struct flag wal;
    unsigned calls = 0;
    uint64_t id = 0;
    sqlite3 *db = NULL;

    (void)state;
    flag_init(&wal);
    T(sqlite3_open(t_path(dir, "x.db"), &db) == SQLITE_OK);
    T_OK(wr_watch_add(w, dir, "x.db-wal", flag_call, &wal, &id, &e));
    execute(db, "PRAGMA journal_mode = wal; CREATE TABLE t (a)");
    T(flag_called(&wal, 1));
    for (unsigned i = 0; i < 20; i++) {
        /* Each commit, after all that came before was delivered: remove waits for what runs. */
        wr_watch_remove(w, id);
        calls = flag_calls(&wal);
        T_OK(wr_watch_add(w, dir, "x.db-wal", flag_call, &wal, &id, &e));
        execute(db, "INSERT INTO t VALUES (randomblob(10000))");
        T(flag_called(&wal, calls + 1));
    }
    T(sqlite3_close(db) == SQLITE_OK);
    wr_watch_free(w);
    flag_release(&wal);
}

struct remover {
    struct wr_thread thread;
    struct wr_watch *w;
    uint64_t id;
    struct flag *f;
    bool was_inside; /* after removal */
};

static void remover_main(void *arg)
{
    struct remover *r = arg;

    wr_watch_remove(r->w, r->id);
    r->was_inside = flag_is_inside(r->f);
}

static void test_removal_waits_for_the_callback(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_watch *w = watch();
    struct remover r = {.w = w};
    struct wr_err e = {0};
    struct flag f;

    (void)state;
    flag_init(&f);
    f.hold = true;
    r.f = &f;
    T_OK(wr_watch_add(w, dir, "f", flag_call, &f, &r.id, &e));
    write_times(t_path(dir, "f"), 1);
    T(flag_called(&f, 1));
    T_OK(wr_thread_start(&r.thread, "remover", 0, remover_main, &r, &e));
    t_sleep_ms(10); /* give it the chance to return too early */
    write_times(t_path(dir, "f"), 1);
    flag_let_go(&f);
    wr_thread_join(&r.thread);
    T(!r.was_inside);
    wr_watch_free(w);
    flag_release(&f);
}

static void test_removal_of_one_that_is_due(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_watch *w = watch();
    struct wr_err e = {0};
    struct flag f;
    struct flag g;
    uint64_t id_f = 0;
    uint64_t id_g = 0;
    bool f_inside;

    (void)state;
    flag_init(&f);
    flag_init(&g);
    f.hold = true;
    T_OK(wr_watch_add(w, dir, "f", flag_call, &f, &id_f, &e));
    g.hold = true;
    T_OK(wr_watch_add(w, dir, "f", flag_call, &g, &id_g, &e));
    write_times(t_path(dir, "f"), 0);
    /* One event, two calls. The first is held, whichever it is, the second is due. */
    while (!flag_is_inside(&f) && !flag_is_inside(&g))
        (void)sched_yield();
    f_inside = flag_is_inside(&f);
    wr_watch_remove(w, f_inside ? id_g : id_f);
    flag_let_go(f_inside ? &f : &g);
    wr_watch_remove(w, f_inside ? id_f : id_g); /* waits for it: then the other's turn is past */
    wr_watch_free(w);
    T(f.calls + g.calls == 1);
    flag_release(&f);
    flag_release(&g);
}

struct scribbler {
    struct wr_thread thread;
    const char *path;
    atomic_bool stop;
};

static void scribbler_main(void *arg)
{
    struct scribbler *s = arg;
    int fd = open(s->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    while (!atomic_load(&s->stop)) {
        if (pwrite(fd, "x", 1, 0) != 1)
            break;
    }
    (void)close(fd);
}

static void count_heap(void *arg, bool only_written)
{
    (void)only_written;
    ++**(unsigned **)arg;
}

static void test_removal_while_events_arrive(void **state)
{
    const char *dir = t_tmpdir();
    struct scribbler s = {.path = t_path(dir, "f")};
    struct wr_watch *w = watch();
    struct wr_err e = {0};
    struct flag steady;
    uint64_t id = 0, id_steady = 0;

    (void)state;
    flag_init(&steady);
    T_OK(wr_watch_add(w, dir, "f", flag_call, &steady, &id_steady, &e));
    T_OK(wr_thread_start(&s.thread, "scribbler", 0, scribbler_main, &s, &e));
    T(flag_called(&steady, 1));
    for (unsigned i = 0; i < 1000; i++) {
        unsigned *calls = wr_alloc(sizeof(*calls));

        T(calls);
        T_OK(wr_watch_add(w, dir, "f", count_heap, &calls, &id, &e));
        if (i % 50 == 0) {
            unsigned before = flag_calls(&steady);

            T_OK(wr_watch_arm(w, id_steady, &e));
            T(flag_called(&steady, before + 1));
        }
        wr_watch_remove(w, id);
        wr_free(calls); /* a late call would write here */
        calls = NULL;
    }
    wr_watch_free(w); /* in the middle of it */
    atomic_store(&s.stop, true);
    wr_thread_join(&s.thread);
    flag_release(&steady);
}

T_MAIN(T_TEST(test_a_commit_of_sqlite_is_noticed), T_TEST(test_removal_waits_for_the_callback),
    T_TEST(test_removal_of_one_that_is_due), T_TEST(test_removal_while_events_arrive))
