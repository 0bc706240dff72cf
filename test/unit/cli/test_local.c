/*
 * The commands about what is on this machine: status, and reset, over real files and a daemon that
 * answers as scripted.
 */
#include "base/file.h"
#include "cli/reset.h"
#include "engine/ledger.h"
#include "ltx/ltx.h"
#include "unit/cli/run_command.h"
#include "unit/cli/scripted_server.h"

#include <sys/stat.h>

static char config[1024], db[1024], state[1024]; /* of the test */

static int set_up(void **unused)
{
    char text[4096];

    (void)unused;
    dir = t_tmpdir();
    server_start(t_path(dir, "s"));
    (void)snprintf(config, sizeof(config), "%s", t_path(dir, "c.yml"));
    (void)snprintf(db, sizeof(db), "%s", t_path(dir, "app.db"));
    (void)snprintf(state, sizeof(state), "%s", t_path(dir, ".app.db-weir"));
    (void)snprintf(text, sizeof(text),
        "socket: {enabled: true, path: %s}\n"
        "dbs:\n"
        "  - {path: %s, replica: {url: 'file://%s/r'}}\n"
        "  - {path: %s/gone.db, meta-path: %s/elsewhere, replica: {url: 'file://%s/r2'}}\n",
        server.path, db, dir, dir, dir, dir);
    t_spew(config, text, strlen(text));
    return unsetenv("LITESTREAM_CONFIG") || setenv("WEIR_CONFIG", t_path(dir, "none.yml"), 1);
}

static int tear_down(void **unused)
{
    (void)unused;
    server_stop();
    return 0;
}

static void make(const char *name, size_t n)
{
    static const char zeros[40000];

    T(n <= sizeof(zeros));
    t_spew(t_path(dir, name), zeros, n);
}

static void make_dir(const char *name)
{
    T(mkdir(t_path(dir, name), 0755) == 0);
}

static bool there(const char *name)
{
    struct stat s;

    return lstat(t_path(dir, name), &s) == 0;
}

static off_t size_of(const char *name)
{
    struct stat s;

    return lstat(t_path(dir, name), &s) == 0 ? s.st_size : -1;
}

/* The text with each %d replaced by the test's directory. */
static const char *in_dir(const char *fmt)
{
    static char text[8192];
    size_t n = 0;

    for (; *fmt; fmt++) {
        if (fmt[0] == '%' && fmt[1] == 'd') {
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", dir);
            fmt++;
        } else {
            text[n++] = *fmt;
        }
        T(n + 1 < sizeof(text));
    }
    text[n] = '\0';
    return text;
}

/* A table's cells, one blank between them: columns are as wide as directories are long. */
static const char *cells(void)
{
    static char text[8192];
    size_t n = 0;

    for (const char *p = out; *p; p++)
        if (p[0] != ' ' || p[1] != ' ')
            text[n++] = *p;
    text[n] = '\0';
    return text;
}

/* A socket path on which nobody listens. */
#define ALONE "-socket", t_path(dir, "nobody")

static void test_status_without_a_daemon(void **unused)
{
    (void)unused;
    T(RUN(status, "-config", config, ALONE) == 0 && !err[0]);
    assert_string_equal(cells(), in_dir("database status local txid wal size\n"
                                        "%d/app.db no database - -\n"
                                        "%d/gone.db no database - -\n"));
    make("app.db", 4096);
    T(RUN(status, "-config", config, ALONE, db) == 0 && !err[0]);
    assert_string_equal(cells(), in_dir("database status local txid wal size\n"
                                        "%d/app.db not initialized - -\n"));
    make("app.db-wal", 33000);
    make_dir(".app.db-weir");
    make(".app.db-weir/ledger", 0); /* as a reset leaves it */
    T(RUN(status, "-config", config, ALONE, db) == 0 && !err[0]);
    assert_string_equal(cells(), in_dir("database status local txid wal size\n"
                                        "%d/app.db not initialized - 33 kB\n"));
    make(".app.db-weir/ledger", 4096);
    make("gone.db", 4096);
    make_dir("elsewhere");
    make("elsewhere/ledger", 4096);
    EXPECT(0,
        in_dir(
            "[\n  {\n    \"database\": \"%d/app.db\",\n    \"status\": \"ok\",\n"
            "    \"local_txid\": \"-\",\n    \"wal_size\": \"33 kB\",\n    \"wal_bytes\": 33000\n"
            "  },\n  {\n    \"database\": \"%d/gone.db\",\n    \"status\": \"ok\",\n"
            "    \"local_txid\": \"-\",\n    \"wal_size\": \"-\"\n  }\n]\n"),
        "", RUN(status, "-config", config, ALONE, "-json"));
}

/* "-" for whatever a daemon did that has no control socket, as it has none by default. */
static void test_status_tells_the_txid_of_the_local_state(void **unused)
{
    const struct wr_pos nowhere = {0};
    struct wr_ledger *l = NULL;
    struct wr_err e = {0};

    (void)unused;
    make("app.db", 4096);
    make_dir(".app.db-weir");
    T_OK(wr_ledger_open(wr_fs_posix(), state, 4096, 262145, 1, &l, &e));
    T_OK(wr_ledger_fill_begin(l, 1, &e));
    wr_ledger_fill(l, 1, WR_LTX_CHECKSUM_EMPTY | 11);
    T_OK(wr_ledger_fill_end(l, 0x2b, &nowhere, &e));
    T(RUN(status, "-config", config, ALONE, db) == 0 && !err[0]);
    assert_string_equal(cells(), in_dir("database status local txid wal size\n"
                                        "%d/app.db ok 000000000000002b -\n"));
    wr_ledger_close(l);
}

static void test_status_of_what_cannot_be_read(void **unused)
{
    (void)unused;
    make("app.db", 4096);
    T(symlink(t_path(dir, "b"), t_path(dir, "a")) == 0 &&
        symlink(t_path(dir, "a"), t_path(dir, "b")) == 0);
    T(symlink(t_path(dir, "a"), state) == 0); /* a loop */
    T(RUN(status, "-config", config, ALONE, db) == 0 && !err[0]);
    assert_string_equal(
        cells(), in_dir("database status local txid wal size\n%d/app.db error - -\n"));
    T(unlink(db) == 0 && symlink(t_path(dir, "a"), db) == 0);
    T(RUN(status, "-config", config, ALONE, db) == 0 && !err[0]);
    assert_string_equal(
        cells(), in_dir("database status local txid wal size\n%d/app.db error - -\n"));
}

static void test_status_with_a_daemon(void **unused)
{
    static char body[4096];

    (void)unused;
    make("app.db", 4096);
    (void)snprintf(body, sizeof(body), "%s",
        in_dir("{\"databases\":[{\"path\":\"%d/other.db\",\"status\":\"open\"},"
               "{\"path\":\"%d/app.db\",\"status\":\"replicating\",\"txid\":42,\"replicas\":["
               "{\"url\":\"s3://b/a\",\"txid\":42,\"lag_seconds\":0},"
               "{\"url\":\"file:///r\",\"txid\":40,\"lag_seconds\":75.25,\"error\":\"no\"}]}]}"));
    server.body = body;
    T(RUN(status, "-config", config) == 0 && !err[0]);
    assert_string_equal(cells(), in_dir("database status local txid wal size replica lag\n"
                                        "%d/app.db ok 000000000000002a - s3://b/a 0s\n"
                                        "%d/app.db ok 000000000000002a - file:///r 1m15s, failing\n"
                                        "%d/gone.db no database - - - -\n"));
    EXPECT(0,
        in_dir("[\n  {\n    \"database\": \"%d/app.db\",\n    \"status\": \"ok\",\n"
               "    \"local_txid\": \"000000000000002a\",\n    \"wal_size\": \"-\",\n"
               "    \"replicas\": [\n      {\n        \"url\": \"s3://b/a\",\n"
               "        \"txid\": 42,\n        \"lag_seconds\": 0\n      },\n      {\n"
               "        \"url\": \"file:///r\",\n        \"txid\": 40,\n"
               "        \"lag_seconds\": 75.25,\n        \"error\": \"no\"\n      }\n    ]\n"
               "  }\n]\n"),
        "", RUN(status, "-config", config, "-json", db));

    (void)snprintf(body, sizeof(body), "%s",
        in_dir("{\"databases\":[{\"path\":\"%d/app.db\",\"status\":\"stopped\"},"
               "{\"path\":\"%d/gone.db\",\"status\":\"open\",\"error\":\"no disk\"}]}"));
    T(RUN(status, "-config", config) == 0 && !err[0]);
    assert_string_equal(cells(), in_dir("database status local txid wal size replica lag\n"
                                        "%d/app.db stopped - - - -\n"
                                        "%d/gone.db error - - - -\n"));
    T(RUN(status, "-config", config, "-json", t_path(dir, "gone.db")) == 0);
    T(strstr(out, "\"error\": \"no disk\",\n    \"replicas\": []"));
    server.body = "{\"databases\":[],\"reload_refused\":{\"at\":\"2026-04-24T12:00:00.5Z\","
                  "\"error\":\"c.yml:3: unknown key\"}}";
    T(RUN(status, "-config", config) == 0);
    assert_string_equal(err,
        "Warning: the daemon refused the configuration at 2026-04-24T12:00:00Z and goes on with "
        "the one before: c.yml:3: unknown key\n");
}

static void test_status_beside_a_strange_daemon(void **unused)
{
    (void)unused;
    server.body = "{}";
    T(RUN(status, "-config", config) == 0);
    assert_string_equal(
        err, "Warning: without what the daemon knows: its answer has no list of databases\n");
    T(strstr(out, "no database"));
    server.code = 500;
    server.body = "{\"error\":\"out of memory\"}";
    T(RUN(status, "-config", config) == 0);
    assert_string_equal(
        err, "Warning: without what the daemon knows: list failed: out of memory\n");
}

static void test_status_usage(void **unused)
{
    (void)unused;
    EXPECT(1, "", "Error: too many arguments\n", RUN(status, "a", "b"));
    T(RUN(status, "-config", config, "/not/there.db") == 1);
    T(strstr(err, "Error: database not found in config: /not/there.db"));
    T(RUN(status, "-json") == 1 && strstr(err, "Error: config file not found: "));
}

/* All that replication may leave, ours and Litestream's. */
static void leave_files(void)
{
    make("app.db", 4096);
    make_dir(".app.db-weir");
    make(".app.db-weir/ledger", 4096);
    make(".app.db-weir/journal.0", 10);
    make(".app.db-weir/journal.1", 10);
    make(".app.db-weir/node", 34);
    make_dir(".app.db-weir/outbox");
    make(".app.db-weir/outbox/0000000000000001", 10);
    make_dir(".app.db-litestream");
    make(".app.db-litestream/generation", 10);
    make_dir(".app.db-litestream/ltx");
    make_dir(".app.db-litestream/ltx/0");
    make(".app.db-litestream/ltx/0/0000000000000001-0000000000000001.ltx", 10);
    make(".app.db-litestream/ltx/0/0000000000000002-0000000000000002.ltx.tmp", 10);
}

static void test_reset(void **unused)
{
    (void)unused;
    leave_files();
    EXPECT(0,
        in_dir("Resetting local state for: %d/app.db\nRemoving: %d/.app.db-weir\n"
               "Removing: %d/.app.db-litestream/ltx\n"
               "Reset complete. The next replication reads the whole database, and sends what its "
               "replicas lack.\n"),
        "", RUN(reset, ALONE, db));
    T(size_of("app.db") == 4096 && size_of(".app.db-weir/ledger") == 0 &&
        size_of(".app.db-weir/node") == 34 && there(".app.db-weir/outbox") &&
        there(".app.db-litestream/generation"));
    T(!there(".app.db-weir/journal.0") && !there(".app.db-weir/journal.1") &&
        !there(".app.db-weir/outbox/0000000000000001") && !there(".app.db-litestream/ltx"));
    EXPECT(0, in_dir("No local state to reset for %d/app.db\n"), "", RUN(reset, ALONE, db));
}

static void test_reset_of_nothing(void **unused)
{
    (void)unused;
    EXPECT(1, "", in_dir("Error: database does not exist: %d/app.db\n"), RUN(reset, ALONE, db));
    make("app.db", 4096);
    EXPECT(0,
        in_dir("No local state to reset for %d/app.db\n"
               "Meta directory does not exist: %d/.app.db-weir\n"),
        "", RUN(reset, ALONE, db));
    EXPECT(0,
        in_dir("Dry run: local state would be reset for: %d/app.db\nNo local files would be "
               "removed.\n"),
        "", RUN(reset, ALONE, "-dry-run", db));
    T(!there(".app.db-weir"));
    EXPECT(
        1, "", "Error: database path required\nTry: weir reset /path/to/db\n", RUN(reset, ALONE));
    EXPECT(1, "", "Error: too many arguments\n", RUN(reset, "a", "b"));
    EXPECT(
        1, "", "Error: config file not found: /nowhere\n", RUN(reset, "-config", "/nowhere", db));
}

static void test_reset_dry_run(void **unused)
{
    (void)unused;
    leave_files();
    T(RUN(reset, ALONE, "-dry-run", db) == 0 && !err[0]);
    T(wr_str_starts(
        wr_str(out), wr_str(in_dir("Dry run: local state would be reset for: %d/app.db\n"
                                   "Would remove: %d/.app.db-weir\n"
                                   "Files that would be removed:\n"
                                   "  %d/.app.db-weir/ledger\n"))));
    T(strstr(out, in_dir("\n  %d/.app.db-weir/journal.1\n")));
    T(strstr(out, in_dir("\n  %d/.app.db-weir/outbox/0000000000000001\n")));
    T(strstr(
        out, in_dir("\n  %d/.app.db-litestream/ltx/0/0000000000000001-0000000000000001.ltx\n")));
    T(!strstr(out, "node") && !strstr(out, "generation"));
    T(wr_str_ends(wr_str(out), WR_STR("\nNo files were removed.\n")));
    T(size_of(".app.db-weir/ledger") == 4096 && there(".app.db-weir/journal.0"));
}

/* The configuration says where the state is; by default as well, as far as there is one. */
static void test_reset_where_the_configuration_says(void **unused)
{
    const char *gone = t_path(dir, "gone.db");

    (void)unused;
    make("gone.db", 4096);
    make_dir("elsewhere");
    make("elsewhere/ledger", 10);
    make_dir("elsewhere/ltx");
    make_dir("elsewhere/ltx/0");
    make("elsewhere/ltx/0/1.ltx", 10);
    T(RUN(reset, ALONE, gone) == 0 && strstr(out, "No local state to reset"));
    T(setenv("WEIR_CONFIG", config, 1) == 0);
    T(RUN(reset, ALONE, gone) == 0 && strstr(out, in_dir("Removing: %d/elsewhere/ltx\n")));
    T(size_of("elsewhere/ledger") == 0 && !there("elsewhere/ltx"));
    make("elsewhere/ledger", 10);
    T(RUN(reset, ALONE, "-config", config, gone) == 0 && size_of("elsewhere/ledger") == 0);
}

static void test_reset_beside_who_replicates(void **unused)
{
    static char body[1024];
    const struct wr_fs *fs = wr_fs_posix();
    struct wr_file *ledger;
    struct wr_err e = {0};

    (void)unused;
    leave_files();
    T_OK(wr_file_open(
        fs, t_path(dir, ".app.db-weir/ledger"), WR_FILE_READ | WR_FILE_WRITE, 0, &ledger, &e));
    T_OK(fs->lock(ledger, &e));
    EXPECT(6, "",
        in_dir("Error: %d/app.db is being replicated by another process: end that first\n"),
        RUN(reset, ALONE, db));
    wr_file_close(ledger);

    /* A daemon may have let go of the lock for a while. */
    (void)snprintf(body, sizeof(body), "%s",
        in_dir("{\"databases\":[{\"path\":\"%d/app.db\",\"status\":\"replicating\"}]}"));
    server.body = body;
    EXPECT(6, "",
        in_dir(
            "Error: %d/app.db is being replicated by the daemon that listens on its socket: stop "
            "it there first, weir stop DB_PATH\n"),
        RUN(reset, "-config", config, db));
    T(size_of(".app.db-weir/ledger") == 4096 && there(".app.db-weir/journal.0") &&
        there(".app.db-weir/outbox/0000000000000001") && there(".app.db-litestream/ltx/0"));

    (void)snprintf(body, sizeof(body), "%s",
        in_dir("{\"databases\":[{\"path\":\"%d/app.db\",\"status\":\"stopped\"}]}"));
    T(RUN(reset, "-config", config, db) == 0 && size_of(".app.db-weir/ledger") == 0);
}

/* Links lead to what is none of ours. */
static void test_reset_follows_no_links(void **unused)
{
    (void)unused;
    make("app.db", 4096);
    make("precious", 100);
    make_dir("theirs");
    make("theirs/precious", 100);
    make_dir(".app.db-weir");
    make(".app.db-weir/journal.0", 10);
    T(symlink(t_path(dir, "theirs"), t_path(dir, ".app.db-weir/outbox")) == 0);
    make_dir(".app.db-litestream");
    make_dir(".app.db-litestream/ltx");
    T(symlink(t_path(dir, "theirs"), t_path(dir, ".app.db-litestream/ltx/0")) == 0);
    T(symlink(t_path(dir, "precious"), t_path(dir, ".app.db-weir/ledger")) == 0);
    T(RUN(reset, ALONE, db) == 1 && !out[0]); /* that is no ledger */
    T(size_of("precious") == 100 && there(".app.db-weir/journal.0"));
    T(unlink(t_path(dir, ".app.db-weir/ledger")) == 0);
    T(RUN(reset, ALONE, db) == 0);
    T(there("theirs/precious") && !there(".app.db-weir/journal.0") &&
        !there(".app.db-litestream/ltx"));
}

static const struct wr_fs *faulty_of;
static struct wr_fs faulty;
static int remove_calls;

static enum wr_status fail_second_remove(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    (void)fs;
    if (++remove_calls == 2)
        return wr_fail(e, WR_IO, "remove %s: broken", path);
    return faulty_of->remove(faulty_of, path, e);
}

static enum wr_status open_really(const struct wr_fs *fs, const char *path, unsigned open_flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    (void)fs;
    return faulty_of->open(faulty_of, path, open_flags, mode, ret, e);
}

/* A file that vanishes is fine, one that stays is told; the rest is removed the next time. */
static void test_reset_that_fails(void **unused)
{
    struct wr_arena arena;
    struct wr_reset r;
    struct wr_err e = {0};

    (void)unused;
    leave_files();
    faulty_of = wr_fs_posix();
    faulty = *faulty_of;
    faulty.open = open_really;
    faulty.remove = fail_second_remove;
    remove_calls = 0;
    wr_arena_init(&arena, WR_ARENA_MAX);
    T(wr_reset_name(&r, &arena, state));
    T_OK(wr_reset_list(&r, &faulty, &e));
    T_IS(WR_IO, wr_reset_remove(&r, &faulty, &e));
    T(size_of(".app.db-weir/ledger") == 0 && there(".app.db-litestream/ltx"));
    T_OK(wr_reset_remove(&r, &faulty, &e));
    T(!there(".app.db-litestream/ltx") && !there(".app.db-weir/journal.1"));
    wr_arena_release(&arena);
}

static enum wr_status sweep(int code)
{
    if (code == 0 && !err[0])
        return WR_OK;
    T(strstr(err, "memory") || strstr(err, "cannot print")); /* jansson does not say why */
    return WR_NOMEM;
}

static enum wr_status sweep_status(void *arg)
{
    return sweep(run(&wr_command_status, arg));
}

static enum wr_status sweep_reset(void *arg)
{
    return sweep(run(&wr_command_reset, arg));
}

static void test_nomem(void **unused)
{
    static char body[1024];
    const char *status[] = {"-config", config, NULL};
    const char *reset[] = {"-config", config, "-dry-run", db, NULL};

    (void)unused;
    leave_files();
    (void)snprintf(body, sizeof(body), "%s",
        in_dir("{\"databases\":[{\"path\":\"%d/app.db\",\"status\":\"open\",\"txid\":1,"
               "\"replicas\":[{\"url\":\"file:///r\",\"txid\":1,\"lag_seconds\":0}]}]}"));
    server.body = body;
    t_sweep_nomem(sweep_status, status);
    t_sweep_nomem(sweep_reset, reset);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

T_MAIN(TEST(test_status_without_a_daemon), TEST(test_status_tells_the_txid_of_the_local_state),
    TEST(test_status_of_what_cannot_be_read), TEST(test_status_with_a_daemon),
    TEST(test_status_beside_a_strange_daemon), TEST(test_status_usage), TEST(test_reset),
    TEST(test_reset_of_nothing), TEST(test_reset_dry_run),
    TEST(test_reset_where_the_configuration_says), TEST(test_reset_beside_who_replicates),
    TEST(test_reset_follows_no_links), TEST(test_reset_that_fails), TEST(test_nomem))
