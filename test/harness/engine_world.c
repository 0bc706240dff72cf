/*
 * engine_world.c - see engine_world.h.
 */
#include "harness/engine_world.h"

#include "base/buf.h"
#include "base/mem.h"
#include "engine/restore.h"
#include "storage/drivers.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

void world_open(struct world *w, size_t buckets)
{
    static unsigned n;
    char name[32];
    struct wr_err e = {0};

    *w = (struct world){0};
    (void)snprintf(name, sizeof(name), "world%u", n++);
    w->dir = t_path(t_tmpdir(), name);
    T_OK(wr_mkdirs(wr_fs_posix(), w->dir, 0700, &e));
    w->path = t_path(w->dir, "app.db");
    w->n_buckets = buckets;
    for (size_t i = 0; i < buckets; i++)
        T_OK(wr_storage_mem.open(NULL, &w->bucket[i], &e));
    wr_clock_manual_init(&w->clock, INT64_C(1795373351761));
}

void world_close(struct world *w)
{
    world_stop(w);
    world_app_close(w);
    for (size_t i = 0; i < w->n_buckets; i++)
        wr_storage_mem.close(w->bucket[i]);
}

struct wr_storage *world_storage(struct world *w, size_t i)
{
    struct wr_storage *s = NULL;
    struct wr_err e = {0};

    T_OK(wr_storage_wrap(&wr_storage_mem, wr_storage_mem_ref(w->bucket[i]), WR_STR(""), &s, &e));
    return s;
}

static void log_line(void *arg, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n)
{
    struct world *w = arg;
    char *last = level == WR_ERROR ? w->error : level == WR_WARN ? w->warning : w->info;
    struct wr_buf b;

    wr_buf_init(&b, 4096);
    wr_log_text(&b, fields, n);
    w->errors += level == WR_ERROR;
    w->warnings += level == WR_WARN;
    if (level == WR_INFO)
        memcpy(w->info_before, w->info, sizeof(w->info));
    if (level != WR_DEBUG)
        (void)snprintf(last, sizeof(w->error), "%s " WR_FMT, msg, WR_ARG(wr_buf_view(&b)));
    if (getenv("WEIR_TEST_LOG"))
        print_message("# %d %s " WR_FMT "\n", (int)level, msg, WR_ARG(wr_buf_view(&b)));
    wr_buf_release(&b);
}

static struct wr_storage *faulty_storage(struct world *w, size_t i)
{
    struct wr_storage *s = NULL;
    struct wr_err e = {0};
    struct faultstore *f =
        faultstore_new(&wr_storage_mem, wr_storage_mem_ref(w->bucket[i]), w->arm_seed++, &w->clock);

    T_OK(wr_storage_wrap(faultstore_ops(f), f, WR_STR(""), &s, &e));
    wr_storage_set_retry(s, 2, 0); /* the waits of retries are real time */
    w->arm(w, f);
    w->fault[i] = f;
    return s;
}

void world_low_lock_page(void)
{
    (void)sqlite3_test_control(SQLITE_TESTCTRL_PENDING_BYTE, WORLD_LOW_LOCK);
}

void world_start(struct world *w)
{
    struct wr_log log = {.sink = log_line, .arg = w};
    struct wr_sched_opts so = {.clock = &w->clock.clock, .manual = true, .log = &log};
    struct wr_err e = {0};

    w->errors = w->warnings = 0;
    w->opts.path = w->path;
    if (w->opts.scan_ns == 0)
        w->opts.scan_ns = WORLD_SCAN;
    T_OK(wr_sched_new(&so, &w->sched, &e));
    T_OK(wr_db_new(w->sched, &w->opts, &w->db, &e));
    for (size_t i = 0; i < w->n_buckets; i++) {
        struct wr_storage *s = w->arm ? faulty_storage(w, i) : world_storage(w, i);

        T_OK(wr_db_add_replica(w->db, s, w->interval_ns, &e));
    }
    wr_db_start(w->db);
}

void world_stop(struct world *w)
{
    wr_db_free(w->db);
    wr_sched_free(w->sched);
    w->db = NULL;
    w->sched = NULL;
}

void world_sql(struct world *w, const char *sql)
{
    char *msg = NULL;
    int rc = sqlite3_exec(w->app, sql, NULL, NULL, &msg);

    if (rc != SQLITE_OK)
        fail_msg("%s: %s", sql, msg);
}

void world_app(struct world *w)
{
    T(sqlite3_open(w->path, &w->app) == SQLITE_OK);
    T(sqlite3_busy_timeout(w->app, 5000) == SQLITE_OK);
    world_sql(w, "PRAGMA journal_mode=wal");
}

void world_app_close(struct world *w)
{
    T(sqlite3_close(w->app) == SQLITE_OK);
    w->app = NULL;
}

void world_run(struct world *w, int64_t ns)
{
    int64_t end = w->clock.mono_now_ns + ns;

    wr_db_wake(w->db);
    for (;;) {
        int64_t next = wr_sched_pump(w->sched, 1000);

        if (next == 0)
            continue;
        if (next > end)
            break;
        wr_clock_manual_advance(&w->clock, wr_max(next - w->clock.mono_now_ns, (int64_t)0));
    }
    wr_clock_manual_advance(&w->clock, wr_max(end - w->clock.mono_now_ns, (int64_t)0));
}

uint64_t world_pass(struct world *w, int64_t ns, uint64_t steps_max)
{
    int64_t end = w->clock.mono_now_ns + ns;
    uint64_t steps = 0;

    while (steps < steps_max) {
        int64_t next = wr_sched_pump(w->sched, 1);

        steps++;
        if (next > end)
            break;
        if (next != 0)
            wr_clock_manual_advance(&w->clock, wr_max(next - w->clock.mono_now_ns, (int64_t)0));
    }
    wr_clock_manual_advance(&w->clock, wr_max(end - w->clock.mono_now_ns, (int64_t)0));
    return steps;
}

uint64_t world_sync(struct world *w)
{
    struct wr_err e = {0};
    uint64_t ticket, txid = 0;
    enum wr_status st = WR_BUSY;

    wr_db_sync_begin(w->db, &ticket);
    for (int i = 0; i < 6000 && st == WR_BUSY; i++) {
        world_run(w, (int64_t)10 * 1000000);
        st = wr_db_sync_poll(w->db, ticket, true, &txid, &e);
    }
    t_check_ok(st, &e, "sync", __FILE__, __LINE__);
    return txid;
}

enum wr_status world_work(
    struct world *w, enum wr_work kind, int64_t ns, uint64_t *ret_value, struct wr_err *e)
{
    int64_t end = w->clock.mono_now_ns + ns;
    struct wr_work_ticket t;
    enum wr_status st = WR_BUSY;

    wr_db_work_begin(w->db, kind, &t);
    while (st == WR_BUSY && w->clock.mono_now_ns < end) {
        world_run(w, (int64_t)10 * 1000000);
        st = wr_db_work_poll(w->db, &t, ret_value, e);
    }
    return st;
}

struct wr_bytes world_restore(struct world *w, size_t i, uint64_t txid)
{
    struct wr_storage *s = world_storage(w, i);
    const char *out = t_path(w->dir, "restored.db");
    struct wr_restore_opts o = {.path = out,
        .txid = txid,
        .overwrite = true,
        .parallel = 1,
        .lock_offset = w->opts.lock_offset};
    struct wr_restore_result r;
    struct wr_err e = {0};

    T_OK(wr_restore(s, t_call(), &o, &r, &e));
    T(r.verified);
    wr_storage_close(s);
    return t_slurp(out);
}

void world_copy(const char *from, const char *to)
{
    char *argv[] = {(char *)(uintptr_t) "cp", (char *)(uintptr_t)from, (char *)(uintptr_t)to, NULL};
    char *envp[] = {(char *)(uintptr_t) "PATH=/bin:/usr/bin", NULL};
    int status = 0;
    pid_t pid;

    T(posix_spawnp(&pid, "cp", NULL, NULL, argv, envp) == 0);
    T(waitpid(pid, &status, 0) == pid);
    T(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

struct wr_bytes world_image(struct world *w)
{
    const char *db = t_path(w->dir, "image.db");
    const char *wal = t_path(w->dir, "image.db-wal");
    char wal_of[512];
    sqlite3 *copy = NULL;

    /* The files as they are, then SQLite's own recovery and checkpoint. Nobody writes meanwhile. */
    (void)snprintf(wal_of, sizeof(wal_of), "%s-wal", w->path);
    (void)unlink(db);
    (void)unlink(wal);
    (void)unlink(t_path(w->dir, "image.db-shm"));
    world_copy(w->path, db);
    if (access(wal_of, F_OK) == 0)
        world_copy(wal_of, wal);
    T(sqlite3_open(db, &copy) == SQLITE_OK);
    T(sqlite3_exec(copy, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) == SQLITE_OK);
    T(sqlite3_close(copy) == SQLITE_OK);
    return t_slurp(db);
}

void world_lose_state(struct world *w)
{
    static const char *const names[] = {"ledger", "journal.0", "journal.1"};
    char path[600];

    for (size_t i = 0; i < wr_countof(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/.app.db-weir/%s", w->dir, names[i]);
        T(unlink(path) == 0);
    }
}

uint8_t *world_index(struct world *w)
{
    int fd = open(t_path(w->dir, "app.db-shm"), O_RDWR);
    uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    T(page != MAP_FAILED);
    return page;
}

void world_out_of_reach(struct world *w, struct faultstore *f)
{
    (void)w;
    faultstore_arm(f, FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
}

void world_check(struct world *w, size_t i)
{
    struct wr_bytes want = world_image(w), got = world_restore(w, i, 0);

    assert_int_equal(want.n, got.n);
    for (size_t k = 0; k < want.n; k++) {
        if (want.p[k] != got.p[k])
            fail_msg("byte %zu (page %zu at 4096) differs", k, k / 4096 + 1);
    }
}

static struct wr_err said;

const char *world_error(struct wr_db *db)
{
    wr_db_error(db, &said);
    return said.text;
}

const char *world_replica_error(struct wr_db *db, size_t i)
{
    struct wr_replica_account is;

    wr_db_replica_account(db, i, &is);
    said = is.error;
    return said.text;
}
