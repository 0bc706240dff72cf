/*
 * The life of `replicate` over a library that answers as scripted: what is called in which order,
 * what ends it, and which failure it reports.
 */
#include "daemon/serve.h"
#include "harness/t.h"
#include "unit/cli/fake_weir.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define R1 "replica(s3://b/a,sync-interval=1s)"
#define R2 "replica(file:///r,sync-interval=1s)"

static const char *const urls[] = {"s3://b/a", "file:///r"};
static char db_path[512];
static struct wr_served served;
static const char *log_path; /* NULL: nobody reads it */

static int set_up(void **state)
{
    (void)state;
    log_path = NULL;
    memset(&fake, 0, sizeof(fake));
    fake.replica.struct_size = sizeof(fake.replica);
    fake.replica.url = urls[0];
    fake.replica.state = "ready";
    fake.replica.safe_txid = 1;
    (void)snprintf(db_path, sizeof(db_path), "/nonexistent/a.db");
    return 0;
}

static void serve_config(const struct wr_config *c, struct wr_serve_options o)
{
    struct wr_logger log;
    int fd = open(log_path ? log_path : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600);

    T(fd >= 0);
    wr_logger_init(&log, fd, WR_LOG_FORMAT_JSON, WEIR_LOG_DEBUG);
    if (!o.program)
        o.program = "weir";
    o.second_exit = 8;
    o.shutdown_sync_timeout_ms = 1234;
    wr_serve(c, &o, &log, t_call()->scratch, &served);
    wr_logger_release(&log);
    T(close(fd) == 0);
}

/* One database with `n` replicas. */
static void serve(size_t n, struct wr_serve_options o)
{
    struct wr_config *c = NULL;
    struct wr_err e = {0};

    T_OK(wr_config_adhoc(t_call()->scratch, db_path, urls, n, NULL, &c, &e));
    serve_config(c, o);
}

static void expect(int code, enum wr_serve_step step, const char *message, const char *calls)
{
    assert_string_equal(fake.calls, calls);
    assert_string_equal(served.message, message);
    T(served.code == code);
    T(code == WEIR_OK || served.step == step);
}

static void test_once(void **state)
{
    (void)state;
    serve(2, (struct wr_serve_options){.once = true});
    expect(WEIR_OK, 0, "",
        "open add(/nonexistent/a.db) " R1 " " R2 " sync(/nonexistent/a.db) "
        "keep_up(/nonexistent/a.db) close(0)");
    T(served.child_exit == 0 && !fake.deletes);
}

static void test_quiet_ones_are_let_go(void **state)
{
    struct wr_config *c = NULL;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_config_adhoc(t_call()->scratch, db_path, urls, 1, NULL, &c, &e));
    serve_config(c, (struct wr_serve_options){.once = true});
    T(fake.open_max == 0);
    c->open_max = 100;
    serve_config(c, (struct wr_serve_options){.once = true});
    T(fake.open_max == 100);
}

/* In an order in which each has the least to do: levels come with the snapshot. */
static void test_once_with_all_of_it(void **state)
{
    (void)state;
    serve(1,
        (struct wr_serve_options){.once = true, .force_snapshot = true, .enforce_retention = true});
    expect(WEIR_OK, 0, "",
        "open add(/nonexistent/a.db) " R1 " sync(/nonexistent/a.db) snapshot(/nonexistent/a.db) "
        "keep_up(/nonexistent/a.db) retain(/nonexistent/a.db) close(0)");
    T(fake.deletes);
}

/* What fails ends it, before anything is deleted. */
static void test_once_fails_behind_the_sync(void **state)
{
    (void)state;
    fake.keep_up = WEIR_IO;
    serve(1,
        (struct wr_serve_options){.once = true, .force_snapshot = true, .enforce_retention = true});
    expect(WEIR_IO, WR_SERVE_HISTORY, "/nonexistent/a.db: compaction: io",
        "open add(/nonexistent/a.db) " R1 " sync(/nonexistent/a.db) snapshot(/nonexistent/a.db) "
        "keep_up(/nonexistent/a.db) close(0)");
}

static void test_once_waits_while_it_moves(void **state)
{
    static int sync[80];

    (void)state;
    for (size_t i = 0; i < 70; i++)
        sync[i] = WEIR_TIMEOUT; /* more than a minute of slices */
    sync[70] = WEIR_OK;
    sync[71] = -1;
    fake.sync = sync;
    serve(1, (struct wr_serve_options){.once = true}); /* no trouble reported: it just takes long */
    T(served.code == WEIR_OK);

    fake.sync = sync;
    fake.replica.error_code = WEIR_BUSY; /* trouble, but it moves */
    fake.progress = 1000;
    serve(1, (struct wr_serve_options){.once = true});
    T(served.code == WEIR_OK);
}

static void test_once_gives_up_when_stuck(void **state)
{
    static const int sync[] = {WEIR_TIMEOUT, -1};

    (void)state;
    fake.sync = sync;
    fake.replica.error_code = WEIR_IO;
    (void)snprintf(fake.replica.error, sizeof(fake.replica.error), "connection refused");
    serve(1, (struct wr_serve_options){.once = true});
    expect(WEIR_IO, WR_SERVE_ONCE, "/nonexistent/a.db: s3://b/a: connection refused",
        "open add(/nonexistent/a.db) " R1 " close(0)");
}

/* It said that another process had the database. */
static void test_a_store_out_of_reach_is_no_rival(void **state)
{
    static const int sync[] = {WEIR_TIMEOUT, -1}, away[] = {WEIR_BUSY, -1};

    (void)state;
    fake.sync = sync;
    fake.replica.error_code = WEIR_BUSY;
    (void)snprintf(fake.replica.error, sizeof(fake.replica.error), "cannot connect");
    serve(1, (struct wr_serve_options){.once = true});
    expect(WEIR_IO, WR_SERVE_ONCE, "/nonexistent/a.db: s3://b/a: cannot connect",
        "open add(/nonexistent/a.db) " R1 " close(0)");
    (void)set_up(NULL);
    fake.restore = away;
    serve(1, (struct wr_serve_options){.restore_if_missing = true});
    T(served.code == WEIR_IO && served.step == WR_SERVE_START);
}

/* It took a minute to say what was known at once. */
static void test_once_ends_when_the_newest_object_is_damaged(void **state)
{
    static const int sync[] = {WEIR_TIMEOUT, -1};

    (void)state;
    fake.sync = sync;
    fake.db.txid = 9;
    fake.replica.error_code = WEIR_CORRUPT;
    (void)snprintf(fake.replica.error, sizeof(fake.replica.error), "not an LTX file");
    serve(1, (struct wr_serve_options){.once = true});
    expect(WEIR_CORRUPT, WR_SERVE_ONCE, "/nonexistent/a.db: s3://b/a: not an LTX file",
        "open add(/nonexistent/a.db) " R1 " close(0)");
    T(fake.waited_ms >= 5000 && fake.waited_ms <= 10000);
}

static void one_bad_answer(void)
{
    fake.replica.error_code = ++fake.replica.txid == 1 ? WEIR_CORRUPT : WEIR_OK;
}

/* A proxy sent a page in HTML once, and nothing was backed up. */
static void test_once_survives_one_bad_answer(void **state)
{
    static const int sync[] = {WEIR_TIMEOUT, WEIR_TIMEOUT, WEIR_TIMEOUT, WEIR_OK, -1};

    (void)state;
    fake.sync = sync;
    fake.at_sync = one_bad_answer;
    serve(1, (struct wr_serve_options){.once = true});
    T(served.code == WEIR_OK);
}

static void damaged_now_and_then(void)
{
    fake.replica.error_code = ++fake.db.txid % 3 ? WEIR_CORRUPT : WEIR_IO;
}

static void test_once_counts_damage_in_a_row(void **state)
{
    static int sync[30];

    (void)state;
    for (size_t i = 0; i < 20; i++)
        sync[i] = WEIR_TIMEOUT;
    sync[21] = -1;
    fake.sync = sync;
    fake.at_sync = damaged_now_and_then;
    serve(1, (struct wr_serve_options){.once = true});
    T(served.code == WEIR_OK);
}

static void second_catches_up(void)
{
    fake.db.txid++; /* the application does not wait for us */
    fake.second.txid++;
}

/* A healthy replica gets what was there at the beginning, and not what never stops coming. */
static void test_once_serves_the_other_replica_first(void **state)
{
    static const int sync[] = {WEIR_TIMEOUT, -1};

    (void)state;
    fake.sync = sync;
    fake.at_sync = second_catches_up;
    fake.db.txid = 90;
    fake.replica.error_code = WEIR_CORRUPT;
    fake.second = (weir_replica_info){.struct_size = sizeof(fake.second), .url = urls[1]};
    serve(2, (struct wr_serve_options){.once = true});
    T(served.code == WEIR_CORRUPT && served.step == WR_SERVE_ONCE);
    T(fake.second.txid >= 91 && fake.second.txid < 110);
}

/* One got what the application wrote meanwhile, the other one nothing: it never ended. */
static void test_once_gives_up_on_one_while_the_other_moves(void **state)
{
    static int sync[80];

    (void)state;
    for (size_t i = 0; i < 78; i++)
        sync[i] = WEIR_TIMEOUT; /* more than a minute of slices */
    sync[78] = WEIR_OK;
    sync[79] = -1;
    fake.sync = sync;
    fake.at_sync = second_catches_up;
    fake.db.txid = 90;
    fake.replica.error_code = WEIR_IO;
    fake.second =
        (weir_replica_info){.struct_size = sizeof(fake.second), .url = urls[1], .txid = 80};
    serve(2, (struct wr_serve_options){.once = true});
    T(served.code == WEIR_IO && served.step == WR_SERVE_ONCE);
    T(fake.second.txid >= 91); /* the healthy one got what was there */
}

/* But one that lacks what was there at the beginning, and gets on, is waited for. */
static void test_once_waits_for_one_that_gets_on(void **state)
{
    static int sync[80];

    (void)state;
    for (size_t i = 0; i < 78; i++)
        sync[i] = WEIR_TIMEOUT;
    sync[78] = WEIR_OK;
    sync[79] = -1;
    fake.sync = sync;
    fake.db.txid = 1000;
    fake.replica.error_code = WEIR_IO;
    fake.progress = 1000;
    fake.second =
        (weir_replica_info){.struct_size = sizeof(fake.second), .url = urls[1], .txid = 1000};
    serve(2, (struct wr_serve_options){.once = true});
    T(served.code == WEIR_OK);
}

static void test_once_gives_up_when_held(void **state)
{
    static const int sync[] = {WEIR_TIMEOUT, -1};

    (void)state;
    fake.sync = sync;
    fake.db.error_code = WEIR_BUSY;
    (void)snprintf(fake.db.error, sizeof(fake.db.error), "held by process 7");
    serve(1, (struct wr_serve_options){.once = true});
    expect(WEIR_BUSY, WR_SERVE_ONCE, "/nonexistent/a.db: held by process 7",
        "open add(/nonexistent/a.db) " R1 " close(0)");
}

/* One database that fails does not keep the others from their sync. */
static void test_once_goes_on(void **state)
{
    static const int sync[] = {WEIR_AUTH, WEIR_OK, -1};
    const char *file = t_path(t_tmpdir(), "c.yml");
    const char *text = "dbs:\n- {path: /n/a, replica: {path: /r/a}}\n"
                       "- {path: /n/b, replica: {path: /r/b}}\n";
    struct wr_config *c = NULL;
    struct wr_err e = {0};

    (void)state;
    t_spew(file, text, strlen(text));
    T_OK(wr_config_load(t_call()->scratch, file, true, &c, &e));
    fake.sync = sync;
    serve_config(c, (struct wr_serve_options){.once = true});
    expect(WEIR_AUTH, WR_SERVE_ONCE, "/n/a: auth",
        "open add(/n/a) replica(file:///r/a,sync-interval=1s) add(/n/b) "
        "replica(file:///r/b,sync-interval=1s) sync(/n/a) sync(/n/b) keep_up(/n/b) close(0)");
}

static void test_start_fails(void **state)
{
    (void)state;
    fake.add_replica = WEIR_MISUSE; /* nothing was promised: no last sync */
    serve(2, (struct wr_serve_options){.once = true});
    expect(WEIR_MISUSE, WR_SERVE_START, "/nonexistent/a.db: misuse",
        "open add(/nonexistent/a.db) " R1 " remove(/nonexistent/a.db,0) close(0)");
    (void)set_up(NULL);
    fake.db_add = WEIR_BUSY;
    serve(1, (struct wr_serve_options){0});
    expect(WEIR_BUSY, WR_SERVE_START, "/nonexistent/a.db: busy",
        "open add(/nonexistent/a.db) close(0)");
    (void)set_up(NULL);
    fake.open = WEIR_NOMEM;
    serve(1, (struct wr_serve_options){0});
    expect(WEIR_NOMEM, WR_SERVE_START, "nomem", "open");
}

/* The signal is blocked here; it has arrived when the thread that waits for it has taken it and
 * canceled. At the end the latter is so anyway, and what is not taken would be the next test's. */
static void raise_term(void)
{
    sigset_t pending;

    T(kill(getpid(), SIGTERM) == 0);
    while (sigpending(&pending) == 0 && sigismember(&pending, SIGTERM))
        T(sched_yield() == 0);
    while (!atomic_load(&the_cancel->canceled))
        T(sched_yield() == 0);
}

static void test_signal(void **state)
{
    (void)state;
    fake.at_add_replica = raise_term;
    serve(1, (struct wr_serve_options){0});
    expect(WEIR_OK, 0, "", "open add(/nonexistent/a.db) " R1 " close(1234)");
    (void)set_up(NULL);
    fake.at_add_replica = raise_term;
    fake.close = WEIR_TIMEOUT;
    serve(1, (struct wr_serve_options){0});
    expect(WEIR_TIMEOUT, WR_SERVE_LAST_SYNC, "last sync failed: timeout",
        "open add(/nonexistent/a.db) " R1 " close(1234)");
}

static void raise_term_at_first(void)
{
    fake.at_replica_status = NULL;
    raise_term();
}

/* A replica that is somebody else's is no reason to stop serving the one beside it; at the end it
 * is one to fail. */
static void test_one_replica_of_two_has_stopped(void **state)
{
    static const int sync[] = {WEIR_CONFLICT, -1};

    (void)state;
    fake.sync = sync;
    fake.replica.error_code = WEIR_CONFLICT;
    fake.second = (weir_replica_info){.struct_size = sizeof(fake.second), .url = urls[1]};
    fake.close = WEIR_CONFLICT;
    fake.at_replica_status = raise_term_at_first; /* when the first sync is over */
    serve(2, (struct wr_serve_options){0});
    T(served.code == WEIR_CONFLICT && served.step == WR_SERVE_LAST_SYNC);
    (void)set_up(NULL);
    fake.sync = sync; /* with no other one it is */
    fake.replica.error_code = WEIR_CONFLICT;
    serve(1, (struct wr_serve_options){0});
    T(served.code == WEIR_CONFLICT && served.step == WR_SERVE_START);
}

/* What kept the first sync from being made may be gone by the time of the last one. */
static void test_signal_while_busy(void **state)
{
    static const int busy[] = {WEIR_BUSY, -1};

    (void)state;
    fake.sync = busy;
    fake.at_sync = raise_term;
    serve(1, (struct wr_serve_options){0});
    expect(
        WEIR_OK, 0, "", "open add(/nonexistent/a.db) " R1 " sync(/nonexistent/a.db) close(1234)");
}

static void test_path_said_once(void **state)
{
    static const int sync[] = {WEIR_TIMEOUT, -1};

    (void)state;
    fake.sync = sync;
    fake.db.error_code = WEIR_BUSY;
    (void)snprintf(fake.db.error, sizeof(fake.db.error), "open /nonexistent/a.db: locked");
    serve(1, (struct wr_serve_options){.once = true});
    assert_string_equal(served.message, "open /nonexistent/a.db: locked");
}

static void test_signal_while_once(void **state)
{
    (void)state;
    fake.at_add_replica = raise_term;
    serve(1, (struct wr_serve_options){.once = true});
    T(served.code == WEIR_CANCELED && served.step == WR_SERVE_ONCE);
    T(strstr(fake.calls, "close(0)"));
}

/* Until one of them ends this process: those of the first moment do not. */
static void raise_and_hang(void)
{
    for (;;) {
        T(kill(getpid(), SIGTERM) == 0);
        (void)poll(NULL, 0, 20);
    }
}

/* As whoever tells us and then our process group, which we are in. */
static void raise_term_again(void)
{
    raise_term();
    raise_term();
}

/* One request to stop that comes in several signals. */
static void test_same_signal_again(void **state)
{
    (void)state;
    fake.at_add_replica = raise_term;
    fake.at_close = raise_term_again;
    serve(1, (struct wr_serve_options){0});
    expect(WEIR_OK, 0, "", "open add(/nonexistent/a.db) " R1 " close(1234)");
}

static void test_second_signal(void **state)
{
    pid_t pid = fork();
    int status = 0;

    (void)state;
    T(pid >= 0);
    if (pid == 0) {
        fake.at_add_replica = raise_term;
        fake.at_close = raise_and_hang;
        serve(1, (struct wr_serve_options){0});
        _exit(99);
    }
    T(waitpid(pid, &status, 0) == pid);
    T(WIFEXITED(status) && WEXITSTATUS(status) == 8);
}

static void test_child(void **state)
{
    (void)state;
    serve(1, (struct wr_serve_options){.exec = "sh -c 'exit 0'"});
    expect(WEIR_OK, 0, "", "open add(/nonexistent/a.db) " R1 " close(1234)");
    T(served.child_exit == 0);
    serve(1, (struct wr_serve_options){.exec = "sh -c 'exit 7'"});
    T(served.code == WEIR_OK && served.child_exit == 7);
    fake.close = WEIR_IO; /* both are reported */
    serve(1, (struct wr_serve_options){.exec = "sh -c 'kill -9 $$'"});
    T(served.code == WEIR_IO && served.step == WR_SERVE_LAST_SYNC);
    T(served.child_exit == 137);
}

static bool said(const char *what)
{
    struct wr_bytes all = t_slurp(log_path);

    return strstr(
        wr_arena_str(t_call()->scratch, (struct wr_str){(const char *)all.p, all.n}).p, what);
}

/* Scripts that were made for Litestream look for them. */
static void test_the_words_of_litestream(void **state)
{
    static struct wr_config_dir dir = {.path = "/nonexistent", .pattern = "*.db"};
    static const char *const set[] = {"region", "r", "endpoint", "minio:9000", NULL};
    struct wr_config_replica replica;
    struct wr_config_db db;
    struct wr_config *c = NULL;
    struct wr_err e = {0};

    (void)state;
    log_path = t_path(t_tmpdir(), "log");
    fake.at_add_replica = raise_term;
    serve(1, (struct wr_serve_options){.program = "litestream"});
    T(said("\"initialized db\",\"path\":\"/nonexistent/a.db\"") && said("\"replicating to\""));
    T(said("\"signal received, litestream shutting down\"") && said("\"litestream shut down\""));
    T(!said("found databases") && !said("\"endpoint\""));
    fake.at_add_replica = NULL;
    fake.close = WEIR_TIMEOUT;
    serve(1, (struct wr_serve_options){.program = "litestream", .exec = "sh -c 'exit 7'"});
    T(said("\"subprocess exited, litestream shutting down\",\"exit_code\":7"));
    T(said("\"shutdown sync failed, litestream shut down after a failure\""));
    T(said("\"error\":\"last sync failed: timeout\""));
    fake.close = WEIR_OK;
    T_OK(wr_config_adhoc(t_call()->scratch, db_path, urls, 1, NULL, &c, &e));
    replica = c->dbs[0].replicas[0];
    replica.settings = set;
    db = c->dbs[0];
    db.replicas = &replica;
    c->dbs = &db;
    c->dirs = &dir;
    c->ndirs = 1;
    serve_config(c, (struct wr_serve_options){.program = "litestream", .once = true});
    T(said("\"found databases in directory\",\"dir\":\"/nonexistent\",\"count\":1"));
    T(said("\"url\":\"s3://b/a\",\"endpoint\":\"minio:9000\""));
    T(said("\"syncing database\"") && said("\"one-shot replication complete\""));
    fake.db_add = WEIR_BUSY;
    serve(1, (struct wr_serve_options){.program = "litestream"});
    T(said("\"litestream shut down after a failure\""));
}

static void make(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

    T(fd >= 0 && close(fd) == 0);
}

/* A slip in a path, or a disk that is not mounted, looked like an application that has yet to
 * begin. */
static void test_what_is_missing_for_another_reason(void **state)
{
    const char *dir = t_tmpdir();

    (void)state;
    log_path = t_path(dir, "log");
    serve(1, (struct wr_serve_options){.once = true});
    T(said("\"WARN\",\"msg\":\"the directory of a database does not exist"));
    (void)snprintf(db_path, sizeof(db_path), "%s/a.db", dir);
    serve(1, (struct wr_serve_options){.once = true});
    T(!said("\"WARN\""));
    T(mkdir(t_path(dir, ".a.db-weir"), 0700) == 0);
    serve(1, (struct wr_serve_options){.once = true});
    T(!said("\"WARN\""));
    make(t_path(dir, ".a.db-weir/ledger"));
    serve(1, (struct wr_serve_options){.once = true});
    T(said("\"WARN\",\"msg\":\"a database that was replicated from here does not exist any more"));
    make(db_path);
    serve(1, (struct wr_serve_options){.once = true});
    T(!said("\"WARN\""));
}

/* The child asks us to stop, is told so itself, and gets to say goodbye before the last sync. */
static void test_signal_passed_to_child(void **state)
{
    (void)state;
    serve(1, (struct wr_serve_options){.exec = "sh -c 'trap \"exit 5\" TERM; kill -TERM $PPID; "
                                               "while :; do sleep 0.01; done'"});
    T(served.code == WEIR_OK && served.child_exit == 5);
    T(strstr(fake.calls, "close(1234)"));
}

static void test_bad_child(void **state)
{
    (void)state;
    serve(1, (struct wr_serve_options){.exec = "a; b"}); /* found out before anything is opened */
    T(served.code == WEIR_MISUSE && served.step == WR_SERVE_START && !fake.calls[0]);
    serve(1, (struct wr_serve_options){.exec = "no-such-program-anywhere"});
    T(served.code == WEIR_NOTFOUND && served.step == WR_SERVE_START);
    T(strstr(fake.calls, "close(1234)")); /* what was captured meanwhile is sent */
}

/* A child that we stand for, run by a shell. */
static void stand_for(const char *script, int64_t ready_timeout_ms)
{
    static char sh[] = "sh", c[] = "-c", copy[512];
    static char *argv[] = {sh, c, copy, NULL};

    (void)snprintf(copy, sizeof(copy), "%s", script);
    serve(1, (struct wr_serve_options){.argv = argv, .ready_timeout_ms = ready_timeout_ms});
}

static int looks;
static const char *begun_path;

static void proven_at_third_look(const char *path, weir_db_sight *ret)
{
    (void)path;
    T(access(begun_path, F_OK) != 0); /* it has not begun */
    ret->seen = WEIR_SEEN_INDEX;
    ret->proven = ++looks == 3;
}

static void test_stands_for_a_child(void **state)
{
    char script[256];

    (void)state;
    begun_path = t_path(t_tmpdir(), "begun");
    looks = 0;
    fake.tune_sight = proven_at_third_look;
    (void)snprintf(script, sizeof(script), "echo > '%s'; exit 7", begun_path);
    stand_for(script, 60000);
    expect(WEIR_OK, 0, "", "open add(/nonexistent/a.db) " R1 " close(1234)");
    T(served.child_exit == 7 && looks == 3 && access(begun_path, F_OK) == 0);
}

/* It does not begin, and nothing was promised: there is no last sync. */
static void test_a_child_that_may_not_begin(void **state)
{
    char script[256];

    (void)state;
    begun_path = t_path(t_tmpdir(), "not-begun");
    fake.sight.seen = WEIR_SEEN_INDEX;
    fake.db.rival = 1;
    (void)snprintf(fake.db.error, sizeof(fake.db.error), "held by pid 7");
    (void)snprintf(script, sizeof(script), "echo > '%s'", begun_path);
    stand_for(script, 20);
    expect(WEIR_BUSY, WR_SERVE_START, "/nonexistent/a.db: held by pid 7",
        "open add(/nonexistent/a.db) " R1 " close(0)");
    T(served.child_exit == 0 && access(begun_path, F_OK) != 0);
}

/* Every signal is for it, as often as it comes, and none ends us before it has ended. */
static void test_signals_are_for_the_child(void **state)
{
    static const char *const names[] = {
        "INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH", "TTIN", "TTOU"};
    char script[512];

    (void)state;
    for (size_t i = 0; i < wr_countof(names); i++) {
        (void)set_up(NULL);
        (void)snprintf(script, sizeof(script),
            "n=0; trap 'n=$((n + 1))' %s; i=0; while [ $i -lt 3 ]; do kill -%s $PPID; "
            "i=$((i + 1)); while [ $n -lt $i ]; do sleep 0.01; done; done; exit 9",
            names[i], names[i]);
        stand_for(script, 60000);
        expect(WEIR_OK, 0, "", "open add(/nonexistent/a.db) " R1 " close(1234)");
        T(served.child_exit == 9);
    }
    stand_for("trap : QUIT; kill -KILL $$", 60000);
    T(served.child_exit == 137);
}

/* As its shell would have, which sees it end by that signal. */
static void test_signal_before_the_child(void **state)
{
    (void)state;
    fake.at_add_replica = raise_term;
    stand_for("exit 9", 60000);
    expect(WEIR_OK, 0, "", "open add(/nonexistent/a.db) " R1 " close(1234)");
    T(served.child_exit == 128 + SIGTERM);
}

/* The signal came when it was too late for that, and before it could be passed on. */
static void test_signal_during_the_last_sync(void **state)
{
    (void)state;
    fake.at_close = raise_term;
    stand_for("exit 3", 60000);
    T(served.code == WEIR_OK && served.child_exit == 3);
}

static void test_no_child_to_stand_for(void **state)
{
    char name[] = "no-such-program-anywhere", *argv[] = {name, NULL};
    char dir[] = "/", *unusable[] = {dir, NULL};

    (void)state;
    serve(1, (struct wr_serve_options){.argv = argv});
    T(served.code == WEIR_NOTFOUND && served.child_trouble == WR_CHILD_MISSING);
    T(strstr(fake.calls, "close(1234)"));
    serve(1, (struct wr_serve_options){.argv = unusable});
    T(served.code != WEIR_OK && served.child_trouble == WR_CHILD_UNUSABLE);
}

static void test_adopt(void **state)
{
    (void)state;
    serve(1, (struct wr_serve_options){.once = true, .adopt = true});
    expect(WEIR_OK, 0, "",
        "open add(/nonexistent/a.db,adopt) " R1 " sync(/nonexistent/a.db) "
        "keep_up(/nonexistent/a.db) close(0)");
}

static void test_restore_missing(void **state)
{
    static const int second[] = {WEIR_NOTFOUND, WEIR_OK, -1}, none[] = {WEIR_NOTFOUND, -1},
                     bad[] = {WEIR_CORRUPT, -1}, listed[] = {WEIR_OK, -1};
    const struct wr_serve_options o = {.once = true, .restore_if_missing = true};

    (void)state;
    fake.list = listed;
    fake.restore = second;
    serve(2, o);
    expect(WEIR_OK, 0, "",
        "open list(s3://b/a,-1) list(file:///r,-1) restore(s3://b/a,/nonexistent/a.db) "
        "restore(file:///r,/nonexistent/a.db) "
        "add(/nonexistent/a.db) " R1 " replica(file:///r,sync-interval=1s,adopt) "
        "sync(/nonexistent/a.db) keep_up(/nonexistent/a.db) close(0)"); /* the one that it
                                                                           continues, and no other
                                                                         */
    (void)set_up(NULL);
    fake.restore = none; /* no backup: a fresh start */
    serve(1, o);
    T(served.code == WEIR_OK && strstr(fake.calls, " sync(") && !strstr(fake.calls, "adopt"));
    (void)set_up(NULL);
    fake.list = listed;
    fake.restore = bad; /* never start an empty database over a damaged backup */
    serve(2, o);
    expect(WEIR_CORRUPT, WR_SERVE_START, "restore failed: corrupt",
        "open list(s3://b/a,-1) list(file:///r,-1) restore(s3://b/a,/nonexistent/a.db) close(0)");
}

/* The disk is lost, and with it the names: an application must not begin with empty ones, which
 * would be the newest states. */
static void test_a_directory_that_is_lost(void **state)
{
    static const char *const stored[] = {"!../wild", "a.db", "notes.txt", "b.db", NULL};
    static const char *const no_settings[] = {NULL};
    static const int away[] = {WEIR_IO, -1};
    const struct wr_config_replica replica = {
        .url = "file:///r", .type = "file", .sync_interval = "1s", .settings = no_settings};
    struct wr_config_dir dirs[] = {{.path = t_tmpdir(),
        .pattern = "*.db",
        .watch = true,
        .each = {.settings = no_settings, .replicas = &replica, .nreplicas = 1}}};
    struct wr_config_db there = {.path = t_path(dirs[0].path, "c.db"),
        .settings = no_settings,
        .replicas = &replica,
        .nreplicas = 1};
    struct wr_config c = {.dirs = dirs, .ndirs = 1, .dbs = &there};
    const struct wr_serve_options o = {.once = true, .restore_if_missing = true};
    char want[2048];

    (void)state;
    fake.stored = stored;
    serve_config(&c, o);
    T(served.code == WEIR_OK);
    (void)snprintf(want, sizeof(want), ") restore(file:///r/a.db,%s/a.db) ", dirs[0].path);
    T(strstr(fake.calls, "open stored(file:///r) ") && strstr(fake.calls, want));
    (void)snprintf(want, sizeof(want), ") restore(file:///r/b.db,%s/b.db) ", dirs[0].path);
    T(strstr(fake.calls, want) &&
        strstr(fake.calls, "/b.db) replica(file:///r/b.db,adopt-replica=true,adopt)"));
    T(!strstr(fake.calls, "wild") && !strstr(fake.calls, "notes"));

    (void)set_up(NULL); /* what it lacks may have been deleted */
    fake.stored = stored;
    c.ndbs = 1;
    serve_config(&c, o);
    T(served.code == WEIR_OK && !strstr(fake.calls, "stored("));
    (void)set_up(NULL); /* nobody asked for it */
    fake.stored = stored;
    c.ndbs = 0;
    serve_config(&c, (struct wr_serve_options){.once = true});
    T(served.code == WEIR_OK && !strstr(fake.calls, "stored("));
    (void)set_up(NULL);
    fake.list = away;
    serve_config(&c, o);
    T(served.code == WEIR_IO && served.step == WR_SERVE_START && !strstr(fake.calls, "add("));
}

/* The first one was out of reach for weeks. */
static void test_restore_from_the_replica_that_reaches_furthest(void **state)
{
    static const int ok[] = {WEIR_OK, -1}, away[] = {WEIR_OK, WEIR_IO, -1};
    static const weir_txid reach[] = {3, 6};
    const struct wr_serve_options o = {.once = true, .restore_if_missing = true};

    (void)state;
    fake.reach = reach;
    fake.list = fake.restore = ok;
    serve(2, o);
    T(served.code == WEIR_OK && strstr(fake.calls, ") restore(file:///r,/nonexistent/a.db) add("));
    (void)set_up(NULL);
    fake.reach = reach;
    fake.list = away; /* what the other one has is not known */
    fake.restore = ok;
    serve(2, o);
    T(served.code == WEIR_OK && strstr(fake.calls, ") restore(s3://b/a,/nonexistent/a.db) add("));
}

static void test_restore_only_what_is_missing(void **state)
{
    (void)state;
    (void)snprintf(db_path, sizeof(db_path), "%s", t_path(t_tmpdir(), "a.db"));
    t_spew(db_path, "", 0);
    serve(1, (struct wr_serve_options){.once = true, .restore_if_missing = true});
    T(served.code == WEIR_OK && !strstr(fake.calls, "restore") && !strstr(fake.calls, "adopt"));
    (void)set_up(NULL);
    serve(1, (struct wr_serve_options){.once = true});
    T(!strstr(fake.calls, "restore"));
}

static void test_signal_while_restoring(void **state)
{
    static const int canceled[] = {WEIR_CANCELED, -1};

    (void)state;
    fake.restore = canceled;
    fake.at_restore = raise_term;
    serve(1, (struct wr_serve_options){.restore_if_missing = true});
    expect(WEIR_CANCELED, WR_SERVE_START, "restore failed: canceled",
        "open restore(s3://b/a,/nonexistent/a.db) close(0)");
}

static void test_no_databases(void **state)
{
    const struct wr_config c = {0};

    (void)state;
    serve_config(&c, (struct wr_serve_options){.exec = "sh -c 'exit 0'"});
    expect(WEIR_OK, 0, "", "open close(1234)");
}

/* What only the library knows to be wrong of a file had no line. */
static void test_a_bad_setting_has_its_line(void **state)
{
    static const char *const settings[] = {"sync-interval", "1s", NULL};
    const struct wr_config_replica r[] = {
        {.url = "s3://b/a", .type = "s3", .sync_interval = "1s", .settings = settings, .line = 7},
        {.url = "file:///r", .type = "file", .sync_interval = "1s", .settings = settings}};
    struct wr_config_db db = {
        .path = db_path, .settings = settings, .replicas = r, .nreplicas = 1, .line = 5};
    struct wr_config c = {.file = "weir.yml", .dbs = &db, .ndbs = 1, .nown = 1};

    (void)state;
    fake.add_replica = WEIR_MISUSE;
    serve_config(&c, (struct wr_serve_options){.once = true});
    assert_string_equal(served.message, "weir.yml:7: /nonexistent/a.db: misuse");
    (void)set_up(NULL);
    fake.add_replica = WEIR_MISUSE;
    db.nreplicas = 2; /* whose it is cannot be told */
    serve_config(&c, (struct wr_serve_options){.once = true});
    assert_string_equal(served.message, "weir.yml:5: /nonexistent/a.db: misuse");
    (void)set_up(NULL);
    fake.add_replica = WEIR_NOMEM; /* which no file is to blame for */
    serve_config(&c, (struct wr_serve_options){.once = true});
    assert_string_equal(served.message, "/nonexistent/a.db: nomem");
}

#define S_TEST(f) cmocka_unit_test_setup(f, set_up)
T_MAIN(S_TEST(test_once), S_TEST(test_a_bad_setting_has_its_line),
    S_TEST(test_quiet_ones_are_let_go), S_TEST(test_once_with_all_of_it),
    S_TEST(test_once_fails_behind_the_sync), S_TEST(test_once_waits_while_it_moves),
    S_TEST(test_once_gives_up_when_stuck), S_TEST(test_a_store_out_of_reach_is_no_rival),
    S_TEST(test_once_gives_up_when_held), S_TEST(test_once_ends_when_the_newest_object_is_damaged),
    S_TEST(test_once_survives_one_bad_answer), S_TEST(test_once_counts_damage_in_a_row),
    S_TEST(test_once_serves_the_other_replica_first),
    S_TEST(test_once_gives_up_on_one_while_the_other_moves),
    S_TEST(test_once_waits_for_one_that_gets_on), S_TEST(test_once_goes_on),
    S_TEST(test_start_fails), S_TEST(test_signal), S_TEST(test_signal_while_once),
    S_TEST(test_same_signal_again), S_TEST(test_second_signal), S_TEST(test_child),
    S_TEST(test_the_words_of_litestream), S_TEST(test_what_is_missing_for_another_reason),
    S_TEST(test_signal_passed_to_child), S_TEST(test_bad_child), S_TEST(test_stands_for_a_child),
    S_TEST(test_a_child_that_may_not_begin), S_TEST(test_signals_are_for_the_child),
    S_TEST(test_signal_before_the_child), S_TEST(test_signal_during_the_last_sync),
    S_TEST(test_no_child_to_stand_for), S_TEST(test_adopt), S_TEST(test_restore_missing),
    S_TEST(test_a_directory_that_is_lost),
    S_TEST(test_restore_from_the_replica_that_reaches_furthest),
    S_TEST(test_restore_only_what_is_missing), S_TEST(test_signal_while_restoring),
    S_TEST(test_no_databases), S_TEST(test_signal_while_busy),
    S_TEST(test_one_replica_of_two_has_stopped), S_TEST(test_path_said_once))
