/*
 * The command check, the whole over real files and stores, and what it says of the machine. Its
 * judgements, each by itself, are test_check_parts.c's.
 */
#include "cli/check_int.h"
#include "cli/check_procs.h"
#include "fake/s3d.h"
#include "unit/cli/run_command.h"

#include <sqlite3.h>
#include <sys/stat.h>

static struct wr_arena arena;
static struct wr_cli cli = {.arena = &arena};

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

/* Over the strict fake server: what the end-to-end test cannot ask of another one. */
static void a_store_is_tried(void **state)
{
    struct s3d *d = s3d_start();
    const char *url = s3d_url(d, "/p");

    (void)state;
    T(setenv("NO_PROXY", "*", 1) == 0 && setenv("AWS_ACCESS_KEY_ID", S3D_ACCESS, 1) == 0);
    T(setenv("AWS_SECRET_ACCESS_KEY", S3D_SECRET, 1) == 0);
    assert_int_equal(WR_EXIT_OK, RUN(check, t_path(dir, "app.db"), url));
    expect_out("  probe       put ");
    expect_out("2.69 million PUT, 102990 GET, 922 LIST, $13.50 a month at most");
    expect_out("idle: no request, $0.00 a month");
    T(s3d_objects(d) == 0);

    s3d_opts(d)->clock_ahead_s = 200;
    assert_int_equal(WR_EXIT_WARNINGS, RUN(check, t_path(dir, "app.db"), url));
    expect_out("s ahead of this machine's");
    s3d_opts(d)->clock_ahead_s = -200;
    assert_int_equal(WR_EXIT_WARNINGS, RUN(check, t_path(dir, "app.db"), url));
    expect_out("s behind this machine's");
    s3d_opts(d)->clock_ahead_s = 0;

    s3d_opts(d)->secret = "another";
    assert_int_equal(WR_EXIT_FAILED, RUN(check, t_path(dir, "app.db"), url));
    expect_out("put FAILED after ");
    expect_out("SignatureDoesNotMatch");
    expect_out("; it needs s3:PutObject\n");
    T(!strstr(out, S3D_SECRET));
    s3d_opts(d)->secret = NULL;

    s3d_opts(d)->no_condition = true;
    assert_int_equal(WR_EXIT_WARNINGS, RUN(check, t_path(dir, "app.db"), url));
    expect_out("the store has no conditional writes: of two that replicate to the same place");
    T(unsetenv("AWS_ACCESS_KEY_ID") == 0 && unsetenv("AWS_SECRET_ACCESS_KEY") == 0);
    s3d_stop(d);
}

static void a_directory_is_left_as_it_was(void **state)
{
    char url[1200];

    (void)state;
    (void)snprintf(url, sizeof(url), "file://%s/a/b/c/", dir);
    assert_int_equal(WR_EXIT_OK, RUN(check, t_path(dir, "app.db"), url));
    expect_out("  probe       put ");
    T(access(t_path(dir, "a"), F_OK) != 0);
    T(mkdir(t_path(dir, "a"), 0755) == 0);
    assert_int_equal(WR_EXIT_OK, RUN(check, t_path(dir, "app.db"), url));
    T(access(t_path(dir, "a"), F_OK) == 0 && access(t_path(dir, "a/b"), F_OK) != 0);
    t_spew(t_path(dir, "a/b"), "", 0);
    assert_int_equal(WR_EXIT_FAILED, RUN(check, t_path(dir, "app.db"), url));
    T(access(t_path(dir, "a/b"), F_OK) == 0);
}

static void a_directory_of_databases_is_tried_once(void **state)
{
    (void)state;
    make_db(t_path(dir, "two.db"));
    write_config("dbs:\n"
                 "  - dir: %s\n"
                 "    pattern: '*.db'\n"
                 "    replica: {url: 'file://%s/r'}\n",
        dir, dir);
    assert_int_equal(WR_EXIT_OK, RUN(check, "-config", config));
    expect_out("%s/app.db\n", dir);
    expect_out("%s/two.db\n", dir);
    expect_out("  probe       put ");
    expect_out("  probe       as of the database before, of the same directory\n");
    expect_out("  limits      80 descriptors are needed, ");
}

static void too_many_databases(void **state)
{
    const struct wr_procs none = {.unread = 3};
    const struct wr_check_limits limits = {.descriptors = 1024};
    struct wr_check k;

    (void)state;
    wr_arena_init(&arena, WR_ARENA_MAX);
    wr_check_init(&k, &cli, true);
    wr_check_tell_limits(&k, &none, &limits, 128, 0);
    T(k.counts[WR_CHECK_ERROR] == 1 && k.counts[WR_CHECK_NOTE] == 1);
    T(strstr(k.first->text, "raise it (ulimit -Hn, LimitNOFILE=), have fewer of them held open"));
    T(strstr(k.first->next->text, "3 processes of other users could not be looked at"));
    json_decref(k.at);
    wr_arena_release(&arena);
}

/* The findings of so many databases, beside the one of processes. */
static void judge_open_max(const struct wr_check_limits *limits, size_t ndbs, uint32_t open_max,
    unsigned errors, unsigned warnings, unsigned notes, const char *text)
{
    const struct wr_procs none = {.unread = 3};
    struct wr_check k;

    wr_arena_init(&arena, WR_ARENA_MAX);
    wr_check_init(&k, &cli, true);
    wr_check_tell_limits(&k, &none, limits, ndbs, open_max);
    T(k.counts[WR_CHECK_ERROR] == errors && k.counts[WR_CHECK_WARNING] == warnings);
    T(k.counts[WR_CHECK_NOTE] == notes + 1);
    T(strstr(k.first->text, text));
    json_decref(k.at);
    wr_arena_release(&arena);
}

static void what_is_held_open_is_mapped(void **state)
{
    const struct wr_check_limits limits = {.mappings = 65530};

    (void)state;
    judge_open_max(&limits, 21510, 0, 0, 0, 0, "processes of other users");
    judge_open_max(&limits, 21511, 0, 1, 0, 0,
        "need 65533 memory mappings, and a process may have "
        "65530 here: raise it (sysctl vm.max_map_count=");
    judge_open_max(&limits, 1000000, 21510, 0, 0, 0, "processes of other users");
    judge_open_max(&limits, 1000000, 30000, 0, 1, 0, "30000 databases that are held open");
}

static void quiet_databases_need_no_descriptors(void **state)
{
    const struct wr_check_limits limits = {.descriptors = 20000};

    (void)state;
    judge_open_max(&limits, 2500, 0, 1, 0, 0, "databases need");
    judge_open_max(&limits, 2500, 100, 0, 0, 1, "that are all written to at once need");
    judge_open_max(&limits, 2500, 1667, 0, 1, 1, "which is enough for");
    judge_open_max(&limits, 5, 20000, 0, 0, 0, "processes of other users");
    for (const char *name = "abcd"; *name; name++)
        make_db(t_path(dir, ((char[]){*name, '.', 'm', 'a', 'n', 'y', '\0'})));
    write_config("open-max: 4\n"
                 "dbs:\n"
                 "  - {path: '%s/app.db', replica: {url: 'file://%s/r/0'}}\n"
                 "  - {dir: '%s', pattern: '*.many', replica: {url: 'file://%s/r/1'}}\n",
        dir, dir, dir, dir);
    assert_int_equal(WR_EXIT_OK, RUN(check, "-config", config));
    expect_out("  open-max    4 of 5 databases are held open at a time\n");
    expect_out("  limits      96 descriptors are needed, ");
    assert_int_equal(WR_EXIT_OK, RUN(check, "-config", config, "-json"));
    expect_out("\"held_open\": 4,");
    expect_out("\"memory_estimate_bytes\": 213000");
    for (const char *name = "abcd"; *name; name++)
        T(unlink(t_path(dir, ((char[]){*name, '.', 'm', 'a', 'n', 'y', '\0'}))) == 0);
}

static void watches_are_counted(void **state)
{
    struct wr_check_watches w = {
        .watches = 20001, .instances = 2, .known = true, .watches_max = 20001, .instances_max = 2};
    struct wr_check k;

    (void)state;
    make_db(t_path(dir, "two.db"));
    write_config("dbs:\n"
                 "  - dir: %s\n"
                 "    pattern: '*.db'\n"
                 "    watch: true\n"
                 "    replica: {url: 'file://%s/r'}\n",
        dir, dir);
    assert_int_equal(WR_EXIT_OK, RUN(check, "-config", config));
    expect_out("              6 inotify watches are needed, "); /* the directory, for two things */
    assert_int_equal(WR_EXIT_OK, RUN(check, "-config", config, "-json"));
    expect_out("\"watches_needed\": 6,");
    expect_out("\"instances_needed\": 2,");
    T(unlink(t_path(dir, "two.db")) == 0);

    wr_arena_init(&arena, WR_ARENA_MAX);
    wr_check_init(&k, &cli, true);
    wr_check_tell_watches(&k, &w);
    T(k.counts[WR_CHECK_WARNING] == 0);
    w.watches_max = 8192;
    w.instances_max = 1;
    wr_check_tell_watches(&k, &w);
    T(k.counts[WR_CHECK_WARNING] == 2);
    T(strstr(k.first->text, "20001 files and directories are to be watched, and a user may watch "
                            "8192 here") &&
        strstr(k.first->text, "sysctl fs.inotify.max_user_watches=40002"));
    T(strstr(k.first->next->text, "fs.inotify.max_user_instances=128"));
    w.known = false;
    wr_check_tell_watches(&k, &w);
    T(k.counts[WR_CHECK_WARNING] == 2);
    json_decref(k.at);
    wr_arena_release(&arena);
}

static void history_in_words(void **state)
{
    (void)state;
    write_config("snapshot: {keep-daily: 7, keep: 2}\n"
                 "levels: []\n"
                 "l0-retention: 90m\n"
                 "sync-interval: 0s\n"
                 "dbs:\n  - {path: %s/app.db, replica: {url: 's3://b/x'}}\n",
        dir);
    assert_int_equal(WR_EXIT_OK, RUN(check, "-config", config, "-no-probe"));
    expect_out("to every state sent in the last 90m\n");
    expect_out("to each snapshot of the last 24h\n");
    expect_out("to up to 9 states from before that\n");
    expect_out("may lose    what an upload takes\n");
    expect_out(
        "2910 PUT, 7230 GET, 121 LIST, and one PUT for each transaction, $0.02 a month at most");
    assert_int_equal(WR_EXIT_OK, RUN(check, "-config", config, "-policy"));
    expect_out("arn:aws:s3:::b/x/*");
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
        cmocka_unit_test_setup(values_and_who_said_so, set_up),
        cmocka_unit_test_setup(the_environment_is_named, set_up),
        cmocka_unit_test_setup(what_is_wrong_has_an_exit_code, set_up),
        cmocka_unit_test_setup(a_store_is_tried, set_up),
        cmocka_unit_test_setup(a_directory_is_left_as_it_was, set_up),
        cmocka_unit_test_setup(a_directory_of_databases_is_tried_once, set_up),
        T_TEST(too_many_databases),
        T_TEST(quiet_databases_need_no_descriptors),
        T_TEST(what_is_held_open_is_mapped),
        cmocka_unit_test_setup(watches_are_counted, set_up),
        cmocka_unit_test_setup(history_in_words, set_up),
        cmocka_unit_test_setup(wrong_usage, set_up),
    };

    return t_main(argc, argv, tests, wr_countof(tests));
}
