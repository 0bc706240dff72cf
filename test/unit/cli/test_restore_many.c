/*
 * test_restore_many.c - restore -all and -dir over a library that answers as scripted. One at a
 * time, as the library does not expect threads.
 */
#include "cli/command.h"
#include "harness/t.h"
#include "unit/cli/fake_weir.h"
#include "unit/cli/run_command.h"

#include <sys/stat.h>

#define ONE "-parallel-dbs", "1"

static void forget_calls(void)
{
    fake.calls[0] = 0;
}

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    fake.restored = (weir_restore_result){
        .struct_size = sizeof(weir_restore_result), .txid = 7, .bytes = 4096, .time_ms = 1000};
    dir = t_tmpdir();
    before_run = forget_calls;
    return setenv("TERM", "dumb", 1) || unsetenv("LITESTREAM_CONFIG");
}

static const char *path(const char *name)
{
    return t_path(dir, name);
}

/* Every %s is the test's directory. */
static const char *with_dir(const char *format)
{
    static char text[8192];
    char *at = text;

    for (const char *p = format; *p; p++) {
        if (p[0] == '%' && p[1] == 's') {
            at += snprintf(at, sizeof(text) - (size_t)(at - text), "%s", dir);
            p++;
        } else {
            *at++ = *p;
        }
    }
    *at = 0;
    return text;
}

static const char *config(const char *format)
{
    const char *file = path("c.yml"), *text = with_dir(format);

    t_spew(file, text, strlen(text));
    return file;
}

static const char fleet[] = "dbs:\n"
                            "- {path: %s/own.db, replica: {url: 's3://b/own'}}\n"
                            "- {path: %s/there.db, replica: {url: 's3://b/there'}}\n"
                            "- dir: %s/t\n"
                            "  pattern: '*.db'\n"
                            "  recursive: true\n"
                            "  replica: {url: 's3://b/t'}\n";

static void test_usage(void **state)
{
    const char *c = config(fleet);

    (void)state;
    EXPECT(1, "", "Error: cannot specify both -all and -dir\n", RUN(restore, "-all", "-dir", "x"));
    EXPECT(1, "", "Error: too many arguments\n", RUN(restore, "-all", "s3://b/a"));
    EXPECT(1, "", "Error: too many arguments\n", RUN(restore, "-dir", "x", "s3://b/a", "y"));
    EXPECT(1, "", "Error: cannot specify -o with several databases: each has its path\n",
        RUN(restore, "-all", "-o", "x"));
    EXPECT(1, "",
        "Error: cannot specify -txid with several databases: each counts its own, use "
        "-timestamp\n",
        RUN(restore, "-all", "-txid", "0000000000000001"));
    EXPECT(1, "", "Error: -parallel-dbs is for -all and -dir\n",
        RUN(restore, "-parallel-dbs", "2", "s3://b/a"));
    EXPECT(1, "", "Error: invalid -integrity-check value: x\n",
        RUN(restore, "-all", "-integrity-check", "x"));
    EXPECT(1, "",
        "Error: with -dir the argument is a replica URL\n"
        "Try: weir restore -dir PATH s3://bucket/prefix\n",
        RUN(restore, "-config", c, "-dir", "x", path("own.db")));
    EXPECT(1, "", "Error: cannot specify a replica URL and the -config flag\n",
        RUN(restore, "-config", c, "-dir", "x", "s3://b/a"));
    EXPECT(1, "",
        "Error: no dir: /nowhere in the configuration\n"
        "Try: weir restore -dir PATH s3://bucket/prefix\n",
        RUN(restore, "-config", c, "-dir", "/nowhere"));
    T(RUN(restore, "-all", "-config", "/nowhere/c.yml") == 1);
    T(strstr(err, "Error: config file not found: /nowhere/c.yml\n"));
    EXPECT(1, "",
        "Error: no databases in the configuration, or in the replicas of its "
        "directories\n",
        RUN(restore, "-all", "-config", config("dbs: []\n")));
}

static void test_all(void **state)
{
    static const char *const stored[] = {"z.db", "a/x.db", "notes.txt", "a/x.db-wal", NULL};

    (void)state;
    t_spew(path("there.db"), "x", 1);
    fake.stored = stored;
    T(RUN(restore, "-all", ONE, "-config", config(fleet), "-integrity-check", "quick", "-timestamp",
          "1970-01-01T00:00:05Z", "-parallelism", "3") == 0);
    assert_string_equal(fake.calls,
        with_dir("open stored(s3://b/t) restore(s3://b/own,%s/own.db) "
                 "restore(s3://b/t/a/x.db,%s/t/a/x.db) restore(s3://b/t/z.db,%s/t/z.db) close(0)"));
    T(fake.restore_opt.check == WEIR_CHECK_QUICK && fake.restore_opt.time_ms == 5000 &&
        fake.restore_opt.parallel == 3 && !fake.restore_opt.overwrite && fake.restore_opt.cancel);
    T(strstr(err, with_dir("restored %s/t/a/x.db from s3://b/t/a/x.db: txid 0000000000000007, ")));
    T(strstr(err, "\n3 restored, 1 present, 0 without a backup, 0 failed, of 4 databases\n"));
    T(strstr(out, "database") == out &&
        strstr(out, "  result    txid              size    replica, or why\n"));
    T(strstr(out, with_dir("%s/there.db")) && strstr(out, "  present   -  ") &&
        strstr(out, "  left alone\n") && strstr(out, "  s3://b/t/z.db\n"));

    EXPECT(0, "", "", RUN(restore, "-quiet", "-all", ONE, "-config", config(fleet)));
    T(RUN(restore, "-all", "-force", ONE, "-config", config(fleet)) == 0);
    T(strstr(fake.calls, "there.db") && fake.restore_opt.overwrite && !fake.restore_opt.delta);
    T(RUN(restore, "-all", "-delta", ONE, "-config", config(fleet)) == 0);
    T(fake.restore_opt.overwrite && fake.restore_opt.delta);
}

/* A restore that wrote there would take away what weir knows of the database beside it. */
static void test_local_state_is_no_database(void **state)
{
    static const char *const stored[] = {".a.db-weir", ".a.db-weir/ledger",
        "x/.b-litestream/0000/y", "x/a-weir/z.db", ".hidden.db", NULL};

    (void)state;
    fake.stored = stored;
    T(RUN(restore, "-dir", path("t"), ONE, "s3://b/t") == 0);
    T(strstr(err, "\n2 restored, 0 present, 0 without a backup, 0 failed, of 2 databases\n"));
    T(strstr(out, "/t/x/a-weir/z.db") && strstr(out, "/t/.hidden.db"));
}

static void test_json(void **state)
{
    static const int answers[] = {WEIR_OK, WEIR_NOTFOUND, -1};
    static const char *const stored[] = {"!../evil", "a.db", NULL};

    (void)state;
    t_spew(path("there.db"), "x", 1);
    fake.stored = stored;
    fake.restore = answers;
    T(RUN(restore, "-json", "-all", ONE, "-config", config(fleet)) == 1);
    T(strstr(out, with_dir("\"db_path\": \"%s/own.db\",\n      \"result\": \"restored\",\n"
                           "      \"replica\": \"s3://b/own\",\n"
                           "      \"txid\": \"0000000000000007\",\n      \"size\": 4096,\n"
                           "      \"timestamp\": \"1970-01-01T00:00:01Z\",\n")));
    T(strstr(out, with_dir("\"db_path\": \"%s/there.db\",\n      \"result\": \"present\"\n")));
    T(strstr(out, with_dir("\"db_path\": \"%s/t/a.db\",\n      \"result\": \"no backup\",\n"
                           "      \"error\": \"not found\"\n")));
    T(strstr(out, with_dir("\"db_path\": \"%s/t/../evil\",\n      \"result\": \"failed\",\n"
                           "      \"error\": \"this name in the replica is none of a file below")));
    T(strstr(out, "],\n  \"restored\": 1,\n  \"present\": 1,\n  \"no_backup\": 1,\n"
                  "  \"failed\": 1\n}\n"));
}

static int run_all(const char *flag)
{
    return flag ? RUN(restore, "-all", ONE, flag, "-config", config(fleet))
                : RUN(restore, "-all", ONE, "-config", config(fleet));
}

/* The exit code says what went wrong, where it is one thing. */
static void test_exit_codes(void **state)
{
    static const int none[] = {WEIR_NOTFOUND, -1}, refused[] = {WEIR_AUTH, -1},
                     both[] = {WEIR_AUTH, WEIR_CORRUPT, -1}, one[] = {WEIR_OK, WEIR_CORRUPT, -1};

    (void)state;
    fake.restore = none;
    T(run_all(NULL) == WR_EXIT_NO_BACKUP);
    T(strstr(err, "0 restored, 0 present, 2 without a backup, 0 failed, of 2 databases\n"));
    fake.restore = none;
    T(run_all("-if-replica-exists") == 0);
    fake.restore = refused;
    T(run_all(NULL) == WR_EXIT_AUTH);
    T(strstr(err, with_dir("Error: %s/own.db: auth\nError: %s/there.db: auth\n")));
    fake.restore = both;
    T(run_all(NULL) == WR_EXIT_FAILED);
    fake.restore = one;
    T(run_all(NULL) == WR_EXIT_CORRUPT);
    T(strstr(err, "1 restored, 0 present, 0 without a backup, 1 failed, of 2 databases\n"));
}

static void test_dry_run(void **state)
{
    static const weir_file files[] = {
        {.level = 9, .min_txid = 1, .max_txid = 4, .size = 3000, .name = "a"},
        {.level = 0, .min_txid = 5, .max_txid = 6, .size = 1000, .name = "b"},
    };

    (void)state;
    fake.files = files;
    fake.nfiles = 2;
    T(RUN(restore, "-all", ONE, "-dry-run", "-config", config(fleet)) == 0);
    assert_string_equal(
        fake.calls, "open stored(s3://b/t) plan(s3://b/own) plan(s3://b/there) close(0)");
    T(strstr(out, "  to restore  0000000000000006  4.0 kB  s3://b/own\n"));
    T(strstr(err, "2 to restore, 0 present, 0 without a backup, 0 failed, of 2 databases\n"));
}

/* Whatever the store calls them. */
static void test_links_are_not_followed(void **state)
{
    static const char *const stored[] = {
        "away/a.db", "broken.db", "fine.db", "file/x.db", "linked.db", NULL};

    (void)state;
    T(mkdir(path("t"), 0700) == 0 && mkdir(path("elsewhere"), 0700) == 0);
    t_spew(path("elsewhere/is.db"), "x", 1);
    t_spew(path("t/file"), "x", 1);
    T(symlink(path("elsewhere"), path("t/away")) == 0);
    T(symlink(path("elsewhere/not.db"), path("t/broken.db")) == 0);
    T(symlink(path("elsewhere/is.db"), path("t/linked.db")) == 0);
    fake.stored = stored;
    T(RUN(restore, "-dir", path("t"), ONE, "-config", config(fleet)) == 1);
    assert_string_equal(
        fake.calls, with_dir("open stored(s3://b/t) restore(s3://b/t/fine.db,%s/t/fine.db) "
                             "close(0)"));
    T(strstr(
        err, with_dir("Error: %s/t/away/a.db: %s/t/away is a symbolic link, and would lead out "
                      "of the directory\n")));
    T(strstr(err, with_dir("Error: %s/t/broken.db: %s/t/broken.db is a symbolic link, and ")));
    T(strstr(err, with_dir("Error: %s/t/file/x.db: ")));
    T(strstr(err, "1 restored, 1 present, 0 without a backup, 3 failed, of 5 databases\n"));
    T(RUN(restore, "-dir", path("t"), "-force", ONE, "-config", config(fleet)) == 1);
    T(!strstr(fake.calls, "linked.db"));
    T(strstr(err, with_dir("Error: %s/t/linked.db: %s/t/linked.db is a symbolic link, and ")));
}

/* What has an entry of its own is not the directory's, by its path or by its replica. */
static void test_own_entries_win(void **state)
{
    static const char *const stored[] = {"a.db", "mine.db", "theirs.db", NULL};

    (void)state;
    fake.stored = stored;
    T(RUN(restore, "-all", ONE, "-config",
          config("dbs:\n"
                 "- {path: %s/t/mine.db, replica: {url: 's3://b/other'}}\n"
                 "- {path: %s/x.db, replica: {url: 's3://b/t/theirs.db'}}\n"
                 "- {dir: %s/t, pattern: '*.db', replica: {url: 's3://b/t'}}\n")) == 0);
    assert_string_equal(fake.calls,
        with_dir("open stored(s3://b/t) restore(s3://b/other,%s/t/mine.db) "
                 "restore(s3://b/t/theirs.db,%s/x.db) restore(s3://b/t/a.db,%s/t/a.db) close(0)"));
}

static void test_directories_that_overlap(void **state)
{
    static const char *const stored[] = {"a.db", NULL};

    (void)state;
    fake.stored = stored;
    T(RUN(restore, "-all", ONE, "-config",
          config("dbs:\n"
                 "- {dir: %s/t, pattern: '*.db', replica: {url: 's3://b/t'}}\n"
                 "- {dir: %s/t, pattern: 'a*', replica: {url: 's3://b/u'}}\n")) == 1);
    T(strstr(fake.calls, "restore(s3://b/t/a.db") && !strstr(fake.calls, "restore(s3://b/u/a.db"));
    T(strstr(err, "a.db: it is in two directories of the configuration\n"));
}

/* With two replicas of a directory, what is in either of them comes back. */
static void test_a_replica_that_cannot_be_listed(void **state)
{
    static const char two[] = "dbs:\n"
                              "- dir: %s/t\n"
                              "  pattern: '*.db'\n"
                              "  replicas: [{url: 's3://b/t'}, {url: 's3://b/u'}]\n";
    static const int first_fails[] = {WEIR_IO, WEIR_OK, -1}, fail[] = {WEIR_AUTH, -1};
    static const char *const stored[] = {"a.db", NULL};

    (void)state;
    fake.stored = stored;
    fake.list = first_fails;
    T(RUN(restore, "-all", ONE, "-config", config(two)) == 0);
    T(strstr(err, "Warning: s3://b/t: io; it may have databases that are not restored\n"));
    T(strstr(err, "1 restored, "));
    fake.list = fail;
    T(RUN(restore, "-all", ONE, "-config", config(two)) == WR_EXIT_AUTH);
    T(strstr(err, with_dir("Error: %s/t: auth\n")));
}

static void test_a_url_without_configuration(void **state)
{
    static const char *const stored[] = {"a.txt", "b/c", NULL};

    (void)state;
    fake.stored = stored;
    T(RUN(restore, "-dir", path("new"), ONE, "s3://b/t?region=r") == 0);
    assert_string_equal(fake.calls,
        with_dir("open stored(s3://b/t?region=r) restore(s3://b/t/a.txt?region=r,%s/new/a.txt) "
                 "restore(s3://b/t/b/c?region=r,%s/new/b/c) close(0)"));
    fake.stored = NULL;
    T(RUN(restore, "-dir", path("new"), "s3://b/t") == WR_EXIT_NO_BACKUP);
    T(strstr(err, "Error: no databases are below this URL: one replica is restored with -o\n"));
    T(RUN(restore, "-dir", path("new"), "-if-replica-exists", "s3://b/t") == 0);
    T(RUN(restore, "-dir", path("t"), "-config", config(fleet)) == WR_EXIT_NO_BACKUP);
    T(strstr(err, "Error: no databases are in the replica of this directory\n"));
}

#define MANY(fn) cmocka_unit_test_setup(fn, set_up)
T_MAIN(MANY(test_usage), MANY(test_all), MANY(test_local_state_is_no_database), MANY(test_json),
    MANY(test_exit_codes), MANY(test_dry_run), MANY(test_links_are_not_followed),
    MANY(test_own_entries_win), MANY(test_directories_that_overlap),
    MANY(test_a_replica_that_cannot_be_listed), MANY(test_a_url_without_configuration))
