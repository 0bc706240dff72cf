/*
 * The watcher over the real library, a real database and a real replica, while a thread of the
 * engine hangs: in its own step, or behind an upload. No failure is ever reported by the engine.
 */
#include "daemon/sentinel.h"
#include "harness/t.h"

#include "base/sync.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#define PATIENT_MS 20000 /* a wait that ends only when a test fails */

/* The log of the library is where its threads are held: whoever says that waits. */
struct bar {
    struct wr_mutex mutex;
    struct wr_cond cond;
    const char *message; /* guarded; NULL: nobody is held */
    bool held;           /* guarded: somebody is */
};

struct bench {
    struct bar bar;
    struct wr_logger log;
    int log_fd;
    const char *path, *log_path;
    sqlite3 *app;
    weir *w;
    struct wr_fleet *fleet;
    struct wr_sentinel *sentinel;
};

static void on_log(void *arg, int level, const char *message, const char *json, const char *text)
{
    struct bar *b = arg;

    (void)level;
    (void)json;
    (void)text;
    wr_mutex_lock(&b->mutex);
    while (b->message && strcmp(message, b->message) == 0) {
        b->held = true;
        wr_cond_broadcast(&b->cond);
        wr_cond_wait(&b->cond, &b->mutex);
    }
    wr_mutex_unlock(&b->mutex);
}

static void hold(struct bench *b, const char *message)
{
    wr_mutex_lock(&b->bar.mutex);
    b->bar.message = message;
    b->bar.held = false;
    wr_cond_broadcast(&b->bar.cond);
    wr_mutex_unlock(&b->bar.mutex);
}

static void await_held(struct bench *b)
{
    wr_mutex_lock(&b->bar.mutex);
    while (!b->bar.held)
        wr_cond_wait(&b->bar.cond, &b->bar.mutex);
    wr_mutex_unlock(&b->bar.mutex);
}

static void sql(struct bench *b, const char *text)
{
    T(sqlite3_exec(b->app, text, NULL, NULL, NULL) == SQLITE_OK);
}

/* `message`: who says that is held from the first moment on; or NULL. */
static void begin(struct bench *b, const char *message)
{
    const char *dir = t_tmpdir(), *url = wr_arena_fmt(t_call()->scratch, "file://%s/r", dir).p;
    weir_options opt = {.struct_size = sizeof(opt), .log = on_log, .log_level = WEIR_LOG_DEBUG};
    struct wr_config *c = NULL;
    struct wr_sentinel_opts o = {.interval_ms = 20, .limit_ms = 300};
    struct wr_err e = {0};
    weir_error err = {0};

    *b = (struct bench){.path = t_path(dir, "a.db"), .log_path = t_path(dir, "log")};
    wr_mutex_init(&b->bar.mutex);
    wr_cond_init(&b->bar.cond);
    b->bar.message = message;
    b->log_fd = open(b->log_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    T(b->log_fd >= 0);
    wr_logger_init(&b->log, b->log_fd, WR_LOG_FORMAT_JSON, WEIR_LOG_INFO);
    T(sqlite3_open(b->path, &b->app) == SQLITE_OK);
    T(sqlite3_busy_timeout(b->app, 5000) == SQLITE_OK);
    sql(b, "PRAGMA journal_mode=wal; CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    opt.log_arg = &b->bar;
    T(weir_open(&opt, &b->w, &err) == WEIR_OK);
    b->fleet = wr_fleet_new(b->w, &b->log);
    T(b->fleet && url);
    T_OK(wr_config_adhoc(t_call()->scratch, b->path, &url, 1, "20ms", &c, &e));
    T(wr_fleet_add(b->fleet, &c->dbs[0], NULL, &err) == WEIR_OK);
    o.fleet = b->fleet;
    o.w = b->w; /* whose file events end its rests */
    o.log = &b->log;
    T_OK(wr_sentinel_new(&o, &b->sentinel, &e));
    T_OK(wr_sentinel_start(b->sentinel, &e));
}

static void end(struct bench *b)
{
    weir_error err = {0};

    wr_sentinel_free(b->sentinel);
    T(weir_close(b->w, PATIENT_MS, &err) == WEIR_OK);
    wr_fleet_free(b->fleet);
    T(sqlite3_close(b->app) == SQLITE_OK);
    wr_logger_release(&b->log);
    T(close(b->log_fd) == 0);
    wr_cond_release(&b->bar.cond);
    wr_mutex_release(&b->bar.mutex);
}

static bool said(struct bench *b, const char *what)
{
    struct wr_bytes all = t_slurp(b->log_path);
    struct wr_str text =
        wr_arena_str(t_call()->scratch, (struct wr_str){(const char *)all.p, all.n});

    return strstr(text.p, what) != NULL;
}

static void await_said(struct bench *b, const char *what)
{
    int64_t waited_ms = 0;

    while (!said(b, what)) {
        t_sleep_ms(20);
        waited_ms += 20;
        if (waited_ms > PATIENT_MS)
            fail_msg("never said: %s", what);
    }
}

static void await_word(struct bench *b, enum wr_verdict_word word)
{
    struct wr_verdict v;

    for (int64_t ms = 0; ms < PATIENT_MS; ms += 5) {
        if (wr_sentinel_verdict(b->sentinel, b->path, &v) && v.word == word)
            return;
        t_sleep_ms(5);
    }
    fail_msg("it never is %d", (int)word);
}

static void test_a_busy_database_is_fine(void **state)
{
    struct bench b;

    (void)state;
    begin(&b, NULL);
    await_word(&b, WR_VERDICT_FINE);
    for (int i = 0; i < 400; i++) {
        sql(&b, "INSERT INTO t VALUES(randomblob(3000))");
        t_sleep_ms(2);
        if (i % 100 == 50)
            sql(&b, "PRAGMA wal_checkpoint(TRUNCATE)");
    }
    T(!said(&b, "ERROR") && !said(&b, "WARN"));
    await_word(&b, WR_VERDICT_FINE);
    end(&b);
}

/* The step of the database itself hangs, right after it was attached. */
static void test_the_engine_hangs(void **state)
{
    struct bench b;
    struct wr_verdict v = {0};

    (void)state;
    begin(&b, "attached");
    await_held(&b);
    await_said(&b, "commits are not in the replica, and nothing moves");
    T(wr_sentinel_verdict(b.sentinel, b.path, &v));
    T(v.word == WR_VERDICT_BEHIND && v.missing_ms > v.limit_ms && v.limit_ms == 300);
    hold(&b, NULL);
    await_said(&b, "commits are in every replica again");
    await_word(&b, WR_VERDICT_FINE);
    end(&b);
}

/* The thread that sends comes to no end, and says nothing. What it has sent counts. */
static void test_an_upload_hangs(void **state)
{
    struct bench b;

    (void)state;
    begin(&b, NULL);
    await_word(&b, WR_VERDICT_FINE);
    hold(&b, "ltx file uploaded");
    sql(&b, "INSERT INTO t VALUES(2)");
    await_held(&b);
    t_sleep_ms(400);
    T(!said(&b, "ERROR"));
    sql(&b, "INSERT INTO t VALUES(3)");
    await_said(&b, "commits are not in the replica, and nothing moves");
    hold(&b, NULL);
    await_said(&b, "commits are in every replica again");
    end(&b);
}

T_MAIN(T_TEST(test_a_busy_database_is_fine), T_TEST(test_the_engine_hangs),
    T_TEST(test_an_upload_hangs))
