/*
 * The command check: what it says of settings, files and stores, each judgement by itself and the
 * whole over real files.
 */
#include "cli/check_int.h"
#include "unit/cli/run_command.h"

#include <sqlite3.h>
#include <sys/stat.h>

static struct wr_arena arena;
static struct wr_cli cli = {.arena = &arena};

/* ---- keys beside other keys ---- */

static const char *has(const void *arg, const char *key)
{
    const char *const *kv = arg;

    for (; *kv; kv += 2)
        if (strcmp(kv[0], key) == 0)
            return kv[1];
    return NULL;
}

static char idle[512];
static void note_idle(void *arg, const char *key, const char *why)
{
    size_t n = strlen(idle);

    (void)arg;
    (void)snprintf(idle + n, sizeof(idle) - n, "%s%s: %s", n ? "\n" : "", key, why);
}

static const char *idle_db(const char *const *kv)
{
    idle[0] = '\0';
    wr_check_idle_db(has, kv, note_idle, NULL);
    return idle;
}

static const char *idle_replica(const char *type, const char *const *kv)
{
    idle[0] = '\0';
    wr_check_idle_replica(type, has, kv, note_idle, NULL);
    return idle;
}

#define KV(...) ((const char *const[]){__VA_ARGS__, NULL})

static void keys_that_do_nothing(void **state)
{
    (void)state;
    assert_string_equal("", idle_db(KV("snapshot.keep", "3", "retention.enabled", "true")));
    assert_string_equal("", idle_db(KV("snapshot.keep", "3")));
    assert_string_equal("snapshot.retention: retention.enabled is false\n"
                        "snapshot.keep: retention.enabled is false",
        idle_db(KV("snapshot.keep", "3", "retention.enabled", "false", "snapshot.retention", "1h",
            "snapshot.interval", "1h")));
    assert_string_equal("", idle_replica("file", KV("session-token", "x")));
    assert_string_equal("session-token: it goes with an access-key-id, and there is none",
        idle_replica("s3", KV("session-token", "x")));
    assert_string_equal(
        "", idle_replica("s3", KV("session-token", "x", "access-key-id", "y", "region", "r")));
    assert_string_equal("profile: access-key-id is given, no file is looked into",
        idle_replica("s3", KV("profile", "x", "access-key-id", "y")));
    assert_string_equal("ca-file: skip-verify accepts any certificate",
        idle_replica("s3", KV("ca-file", "x", "skip-verify", "true")));
    assert_string_equal("", idle_replica("s3", KV("ca-file", "x", "skip-verify", "false")));
    assert_string_equal("skip-verify: the endpoint is http:// and has no certificate\n"
                        "ca-file: the endpoint is http:// and has no certificate",
        idle_replica(
            "s3", KV("ca-file", "x", "skip-verify", "false", "endpoint", "http://minio:9000")));
    assert_string_equal(
        "", idle_replica("s3", KV("ca-file", "x", "endpoint", "https://minio:9000")));
    assert_string_equal("sse-customer-key-md5: there is no sse-customer-key",
        idle_replica("s3", KV("sse-customer-key-md5", "x")));
}

/* ---- files ---- */

/* What is wrong with it, as "error: ...", one a line. */
static const char *judge(const struct wr_check_file *f)
{
    static char text[2048];
    static const char *const words[] = {"note", "warning", "error"};
    struct wr_check k;
    size_t n = 0;

    wr_arena_init(&arena, WR_ARENA_MAX);
    wr_check_init(&k, &cli, true);
    wr_check_judge(&k, "/a.db", f);
    text[0] = '\0';
    for (const struct wr_check_finding *x = k.first; x; x = x->next)
        n += (size_t)snprintf(
            text + n, sizeof(text) - n, "%s%s: %s", n ? "\n" : "", words[x->weight], x->text);
    T(!k.lost);
    json_decref(k.at);
    wr_arena_release(&arena);
    return text;
}

static const struct wr_check_file good = {.kind = WR_CHECK_FILE,
    .size = 8192,
    .is_database = true,
    .wal = true,
    .page_size = 4096,
    .readable = true,
    .writable = true,
    .dir_writable = true,
    .sidecars_open = true,
    .state = "/.a.db-weir",
    .state_writable = true,
    .free_known = true,
    .free_bytes = (uint64_t)1 << 30};

static void expect(const struct wr_check_file *f, const char *want)
{
    const char *got = judge(f);

    if (strncmp(got, want, strlen(want)) != 0)
        fail_msg("want: %s\n got: %s", want, got);
}

#define JUDGE(want, ...)               \
    do {                               \
        struct wr_check_file f = good; \
        __VA_ARGS__;                   \
        expect(&f, want);              \
    } while (0)

static void files_are_judged(void **state)
{
    (void)state;
    assert_string_equal("", judge(&good));
    JUDGE("warning: /a.db does not exist: nothing is replicated", f.kind = WR_CHECK_MISSING);
    JUDGE("note: /a.db does not exist: it is restored", f.kind = WR_CHECK_MISSING; f.restores = 1);
    JUDGE("error: /a.db is a directory", f.kind = WR_CHECK_DIRECTORY);
    JUDGE("error: /a.db is no regular file", f.kind = WR_CHECK_SPECIAL);
    JUDGE("error: /a.db cannot be looked at: no", f.kind = WR_CHECK_UNSEEN; f.why = "no");
    JUDGE("note: /a.db is empty", f.size = 0; f.is_database = false);
    JUDGE("error: /a.db is no SQLite database, or is encrypted", f.is_database = false);
    JUDGE("note: /a.db is not in WAL mode", f.wal = false);
    JUDGE("error: /a.db may not be written by who runs this, it belongs to ann", f.writable = false;
          f.owner = "ann");
    JUDGE("error: /a.db may not be read by who runs this:", f.readable = false; f.headless = true);
    JUDGE("error: the -wal or -shm file of /a.db", f.sidecars_open = false);
    JUDGE("error: the directory of /a.db", f.dir_writable = false);
    JUDGE("note: /a.db belongs to ann, and this ran as another user", f.owner = "ann");
    JUDGE("error: /a.db is on NFS", f.fs = "NFS");
    JUDGE("error: local state: /.a.db-weir is on a read-only", f.read_only = true);
    JUDGE("error: local state: /.a.db-weir cannot be made", f.state_writable = false);
    JUDGE("warning: local state of /a.db: 1.0 MB are free, and 67 MB", f.free_bytes = 1000000);
    JUDGE(
        "warning: local state of /a.db: 1.0 GB are free, and 2.2 GB may", f.free_bytes = 1000000000;
        f.size = (uint64_t)1 << 40);
}

static void headers_are_read(void **state)
{
    uint8_t p[100] = "SQLite format 3";
    struct wr_check_file f = {0};

    (void)state;
    p[16] = 0x10;
    p[18] = p[19] = 2;
    wr_check_header(p, 100, &f);
    T(f.is_database && f.page_size == 4096 && f.wal);
    p[16] = 0;
    p[17] = 1;
    p[18] = p[19] = 1;
    wr_check_header(p, 100, &f);
    T(f.is_database && f.page_size == 65536 && !f.wal);
    wr_check_header(p, 99, &f);
    T(!f.is_database);
    p[0] = 's';
    wr_check_header(p, 100, &f);
    T(!f.is_database);
}

/* ---- the command ---- */

static char config[1024];

static void make_db(const char *path)
{
    sqlite3 *db = NULL;

    T(sqlite3_open(path, &db) == SQLITE_OK);
    T(sqlite3_exec(db, "PRAGMA journal_mode=wal; CREATE TABLE t(x)", NULL, NULL, NULL) ==
        SQLITE_OK);
    T(sqlite3_close(db) == SQLITE_OK);
}

static void write_config(const char *fmt, ...) WR_PRINTF(1, 2);
static void write_config(const char *fmt, ...)
{
    char text[4096];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    (void)snprintf(config, sizeof(config), "%s", t_path(dir, "c.yml"));
    t_spew(config, text, strlen(text));
}

static int set_up(void **unused)
{
    (void)unused;
    dir = t_tmpdir();
    make_db(t_path(dir, "app.db"));
    return unsetenv("AWS_ACCESS_KEY_ID") || unsetenv("AWS_REGION") || unsetenv("AWS_CA_BUNDLE") ||
           setenv("HOME", dir, 1);
}

static void expect_out(const char *fmt, ...) WR_PRINTF(1, 2);
static void expect_out(const char *fmt, ...)
{
    char text[2048];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (!strstr(out, text))
        fail_msg("missing: %s\nin: %s\n%s", text, out, err);
}

static void values_and_who_said_so(void **state)
{
    const json_t *settings;
    bool found = false;
    json_t *j;

    (void)state;
    write_config("region: eu-north-1\n"
                 "access-key-id: AKIASECRET\n"
                 "secret-access-key: geheim\n"
                 "snapshot:\n"
                 "  interval: 12h\n"
                 "  keep-daily: 7\n"
                 "dbs:\n"
                 "  - path: %s/app.db\n"
                 "    snapshot: {keep-daily: 3}\n"
                 "    min-checkpoint-page-count: 500\n"
                 "    replica:\n"
                 "      url: s3://bucket/app\n"
                 "      storage-class: STANDARD_IA\n",
        dir);
    assert_int_equal(WR_EXIT_OK, RUN(check, "-config", config, "-no-probe"));
    expect_out("snapshot.interval 12h (of all, %s:5)\n", config);
    expect_out("snapshot.keep-daily 3 (%s:9)\n", config);
    expect_out("min-checkpoint-page-count 500 (%s:10)\n", config);
    expect_out("region eu-north-1 (of all, %s:1)\n", config);
    expect_out("storage-class STANDARD_IA (%s:13)\n", config);
    expect_out("secret-access-key (set, not shown) (of all, %s:3)\n", config);
    expect_out("built in: sync-interval 1s");
    T(!strstr(out, "geheim") && !strstr(out, "AKIASECRET"));

    assert_int_equal(WR_EXIT_OK, RUN(check, "-config", config, "-no-probe", "-json"));
    T(!strstr(out, "geheim") && !strstr(out, "AKIASECRET"));
    j = json_loads(out, 0, NULL);
    settings = json_object_get(
        json_array_get(
            json_object_get(json_array_get(json_object_get(j, "databases"), 0), "replicas"), 0),
        "settings");
    T(json_array_size(settings) > 5);
    for (size_t i = 0; i < json_array_size(settings); i++) {
        const json_t *one = json_array_get(settings, i);

        if (strcmp(json_string_value(json_object_get(one, "key")), "region") == 0) {
            assert_string_equal("eu-north-1", json_string_value(json_object_get(one, "value")));
            assert_string_equal("all", json_string_value(json_object_get(one, "from")));
            assert_int_equal(1, json_integer_value(json_object_get(one, "line")));
            found = true;
        }
    }
    T(found);
    json_decref(j);
}

static void the_environment_is_named(void **state)
{
    (void)state;
    T(setenv("AWS_ACCESS_KEY_ID", "AKIASECRET", 1) == 0);
    T(setenv("AWS_SECRET_ACCESS_KEY", "geheim", 1) == 0);
    T(setenv("AWS_REGION", "eu-west-7", 1) == 0);
    assert_int_equal(
        WR_EXIT_OK, RUN(check, "-no-probe", t_path(dir, "app.db"), "s3://h.localhost:9/app"));
    expect_out("region eu-west-7 (environment AWS_REGION)\n");
    expect_out("endpoint localhost:9 (url)\n");
    expect_out("credentials (set, not shown) (environment AWS_ACCESS_KEY_ID)\n");
    T(!strstr(out, "geheim") && !strstr(out, "AKIASECRET"));
    T(unsetenv("AWS_ACCESS_KEY_ID") == 0 && unsetenv("AWS_SECRET_ACCESS_KEY") == 0);
    T(unsetenv("AWS_REGION") == 0);
}

static void what_is_wrong_has_an_exit_code(void **state)
{
    (void)state;
    write_config("retention: {enabled: false}\n"
                 "snapshot: {keep: 7}\n"
                 "dbs:\n"
                 "  - {path: %s/app.db, busy-timeout: 3s, replica: {path: %s/r}}\n",
        dir, dir);
    assert_int_equal(WR_EXIT_WARNINGS, RUN(check, "-config", config, "-no-probe"));
    expect_out(
        "Warning: %s:2: \"snapshot.keep\" has no effect: retention.enabled is false\n", config);
    expect_out("\"busy-timeout\" has no effect: weir waits for no lock");
    expect_out("0 errors, 2 warnings\n");

    t_spew(t_path(dir, "text.db"), "not a database", 14);
    write_config("dbs:\n  - {path: %s/text.db, replica: {path: %s/r}}\n", dir, dir);
    assert_int_equal(WR_EXIT_FAILED, RUN(check, "-config", config, "-no-probe"));
    expect_out("Error: %s/text.db is no SQLite database", dir);
    expect_out("1 error, 0 warnings\n");

    write_config("dbs:\n  - {path: %s/app.db, replica: {url: 's3://b/x', part-size: 1MiB}}\n", dir);
    assert_int_equal(WR_EXIT_FAILED, RUN(check, "-config", config, "-no-probe"));
    expect_out("Error: s3://b/x: part size must be at least");

    write_config("dbs: []\n");
    assert_int_equal(WR_EXIT_FAILED, RUN(check, "-config", config));
    expect_out("the configuration has no database");
}

static void wrong_usage(void **state)
{
    (void)state;
    EXPECT(WR_EXIT_FAILED, "", "Error: cannot specify a replica URL and the -config flag\n",
        RUN(check, "-config", "x", "/a.db", "file:///r"));
    assert_int_equal(WR_EXIT_FAILED, RUN(check, "-config", t_path(dir, "nothing.yml")));
    T(strstr(err, "config file not found"));
    assert_int_equal(WR_EXIT_FAILED, RUN(check, "/a.db", "no-url"));
    T(strstr(err, "not a replica URL"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T_TEST(keys_that_do_nothing),
        T_TEST(files_are_judged),
        T_TEST(headers_are_read),
        cmocka_unit_test_setup(values_and_who_said_so, set_up),
        cmocka_unit_test_setup(the_environment_is_named, set_up),
        cmocka_unit_test_setup(what_is_wrong_has_an_exit_code, set_up),
        cmocka_unit_test_setup(wrong_usage, set_up),
    };

    return t_main(argc, argv, tests, wr_countof(tests));
}
