/*
 * The commands over a library that answers as scripted: what they print, where, and their exit
 * codes.
 */
#include "cli/command.h"
#include "cli/restore_int.h"
#include "harness/t.h"
#include "unit/cli/fake_weir.h"
#include "unit/cli/run_command.h"

#include <jansson.h>
#include <sys/stat.h>

#define TIME_MS 1777032000000 /* 2026-04-24T12:00:00Z */

static void forget_calls(void)
{
    fake.calls[0] = 0;
}

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    dir = t_tmpdir();
    before_run = forget_calls;
    return setenv("TERM", "dumb", 1) || unsetenv("LITESTREAM_CONFIG");
}

static const char *write_config(const char *text)
{
    const char *path = t_path(dir, "c.yml");

    t_spew(path, text, strlen(text));
    return path;
}

static void test_version(void **state)
{
    (void)state;
    assert_string_equal(WEIR_VERSION, WEIR_VERSION_STRING); /* the header's, and the build's */
    EXPECT(0, "1.2.3\n", "", run(&wr_command_version, (const char *const[]){NULL}));
    T(RUN(version, "-verbose") == 0);
    T(strstr(out, "weir 1.2.3") && strstr(out, "OS/Arch:"));
}

static char help[8192]; /* of the program */

static void test_help(void **state)
{
    static const char *const names[] = {"replicate", "run", "restore", "databases", "ltx", "points",
        "retention", "verify", "version", "list", "info", "sync", "wait", "start", "stop",
        "register", "unregister", "status", "check", "reset", "reload", "promote"};
    const struct wr_cli cli = {.program = "litestream"};
    const char *path = t_path(dir, "help");
    int saved, listed = 0;

    (void)state;
    (void)fflush(stdout);
    saved = redirect(STDOUT_FILENO, path);
    wr_help_program(&cli);
    (void)fflush(stdout);
    T(dup2(saved, STDOUT_FILENO) == STDOUT_FILENO && close(saved) == 0);
    take(path, help, sizeof(help));
    T(strstr(help, "  litestream COMMAND [flags]") && !strstr(help, "generations"));
    for (const struct wr_command_group *g = wr_command_groups; g->heading; g++)
        for (size_t i = 0; g->commands[i]; i++)
            listed++;
    T(listed == wr_countof(names));
    for (size_t i = 0; i < wr_countof(names); i++) {
        const struct wr_command *cmd = wr_command_find(names[i]);
        char usage[64];

        assert_non_null(cmd);
        (void)snprintf(usage, sizeof(usage), "\n  %-11s  ", names[i]);
        T(strstr(help, usage));
        T(run(cmd, (const char *const[]){"-h", NULL}) == 0);
        (void)snprintf(usage, sizeof(usage), "Usage:\n\n  weir %s ", names[i]);
        T(strstr(out, usage) && strstr(out, "Example:\n\n  weir ") && !err[0]);
        for (const struct wr_flag *f = cmd->flags; f->name; f++) {
            (void)snprintf(usage, sizeof(usage), "\n  -%s ", f->name);
            T(strstr(out, usage));
        }
    }
    T(wr_command_find("wal") == &wr_command_ltx && !wr_command_find("bogus"));
    assert_string_equal(wr_command_nearest("resotre"), "restore");
    assert_null(wr_command_nearest("bogus"));
}

/* What scripts for 0.3 still call: never something else that succeeds. */
static void test_commands_of_old(void **state)
{
    (void)state;
    T(run(wr_command_find("generations"), (const char *const[]){"-replica", "s3", "/a", NULL}) ==
        1);
    T(!out[0] && strstr(err, "Error: 'generations' was a command of Litestream 0.3"));
    T(strstr(err, "'weir points DB_PATH'"));
    T(run(wr_command_find("snapshots"), (const char *const[]){NULL}) == 1);
    T(!out[0] && strstr(err, "'weir ltx -level 9 DB_PATH'"));
    T(!wr_command_find("mcp"));
}

/* Of its restore, too: each said no more than that it is not defined, or was for a follower. */
static void test_flags_of_old(void **state)
{
    (void)state;
    T(RUN(restore, "-generation", "6f2b", "-o", "/x", "/a") == 1);
    T(!out[0] && strstr(err, "Error: -generation was a flag of Litestream 0.3"));
    T(strstr(err, "-timestamp") && strstr(err, "'weir points'"));
    T(RUN(restore, "--index=0000000a", "/a") == 1 && strstr(err, "Error: -index was a flag of"));
    T(RUN(restore, "-o", "/x", "/a", "-replica", "s3") == 1);
    T(!out[0] && strstr(err, "Error: -replica NAME was a flag of Litestream 0.3") &&
        strstr(err, "the URL of the replica"));
    T(RUN(restore, "-replica", "s3://b/a", "-o", "/x", "/a") == 1);
    T(strstr(err, "go with -f and the URL of a primary"));
}

static void test_bad_flag(void **state)
{
    (void)state;
    EXPECT(1, "",
        "Error: flag provided but not defined: -txd (did you mean -txid?)\nTry: weir restore -h\n",
        RUN(restore, "-txd", "1"));
}

static void test_databases(void **state)
{
    const char *c = write_config("dbs:\n- path: /var/lib/app.db\n  replicas:\n"
                                 "  - url: s3://b/app?secret-access-key=x\n  - path: /r\n");

    (void)state;
    EXPECT(0,
        "path             replica  url\n"
        "/var/lib/app.db  s3       s3://b/app?secret-access-key=***\n"
        "/var/lib/app.db  file     file:///r\n",
        "", RUN(databases, "-config", c));
    EXPECT(0,
        "[\n  {\n    \"path\": \"/var/lib/app.db\",\n    \"replica\": \"s3\",\n"
        "    \"url\": \"s3://b/app?secret-access-key=***\"\n  },\n  {\n    \"path\": "
        "\"/var/lib/app.db\",\n"
        "    \"replica\": \"file\",\n    \"url\": \"file:///r\"\n  }\n]\n",
        "", RUN(databases, "-json", "-config", c));
    EXPECT(0, "[]\n", "", RUN(databases, "-json", "-config", write_config("")));
    EXPECT(1, "", "Error: too many arguments\n", RUN(databases, "x"));
    EXPECT(1, "", "Error: config file not found: /nonexistent\n",
        RUN(databases, "-config", "/nonexistent"));
}

/* One database whose name is not UTF-8 hid all others: JSON has no word for it. */
static void test_a_name_that_json_has_no_word_for(void **state)
{
    char text[1000];
    const char *d = t_path(dir, "named"), *c;

    (void)state;
    T(mkdir(d, 0755) == 0);
    t_spew(t_path(d, "a.db"), "SQLite format 3", 16);
    t_spew(t_path(d, "b\xff.db"), "SQLite format 3", 16);
    (void)snprintf(
        text, sizeof(text), "dbs: [{dir: '%s', pattern: '*.db', replica: {url: 's3://b/t'}}]\n", d);
    c = write_config(text);
    T(RUN(databases, "-json", "-config", c) == 0 && !err[0]);
    T(strstr(out, "/a.db\"") && strstr(out, "/b?.db\"") && strstr(out, "s3://b/t/b%FF.db"));
    T(RUN(status, "-json", "-config", c) == 0 && !err[0]);
    T(strstr(out, "/a.db\"") && strstr(out, "/b?.db\""));
    T(RUN(check, "-no-probe", "-config", c) != 1 || !strstr(err, "cannot print"));
    T(RUN(check, "-no-probe", "-json", "-config", c) != 1 || !strstr(err, "cannot print"));
    T(strstr(out, "/a.db\"") && strstr(out, "/b?.db\""));
}

/* It was listed without a word, and the start failed. */
static void test_storage_that_is_not_supported(void **state)
{
    static const char *const urls[] = {
        "gs://b/x", "abs://a@c/x", "sftp://u@h/x", "webdavs://h/x", "nats://h/b", "oss://b/x"};
    char text[200], want[300];

    (void)state;
    for (size_t i = 0; i < wr_countof(urls); i++) {
        (void)snprintf(text, sizeof(text),
            "dbs:\n- {path: /a.db, replicas: [{url: s3://b/x}, {url: '%s'}]}\n", urls[i]);
        (void)snprintf(want, sizeof(want),
            "Warning: /a.db: %s cannot be replicated to yet, only directories (file) and S3, or "
            "what speaks its protocol (s3)\n",
            urls[i]);
        (void)RUN(databases, "-config", write_config(text));
        assert_string_equal(err, want);
    }
}

static void test_directory(void **state)
{
    char text[1000], want[1100], none[1000];
    const char *d = t_path(dir, "d"), *c;

    (void)state;
    T(mkdir(d, 0755) == 0);
    (void)snprintf(
        text, sizeof(text), "dbs: [{dir: '%s', pattern: '*.db', replica: {url: 's3://b/t'}}]\n", d);
    c = write_config(text);
    (void)snprintf(
        none, sizeof(none), "no SQLite databases found in directory %s with pattern *.db\n", d);
    (void)snprintf(want, sizeof(want), "Warning: %s", none);
    EXPECT(0, "path  replica  url\n", want, RUN(databases, "-config", c));
    (void)snprintf(want, sizeof(want), "Error: %s", none);
    EXPECT(1, "", want, RUN(replicate, "-once", "-config", c));

    t_spew(t_path(d, "a.db"), "SQLite format 3", 16);
    (void)snprintf(want, sizeof(want), "%-*s  replica  url\n%s/a.db  s3       s3://b/t/a.db\n",
        (int)strlen(d) + 5, "path", d);
    EXPECT(0, want, "", RUN(databases, "-config", c));
    EXPECT(0, "level  min_txid  max_txid  size  created\n", "",
        RUN(ltx, "-config", c, t_path(d, "gone.db"))); /* it may have had one */
    (void)snprintf(want, sizeof(want), "Error: database not found in config: %s/gone.x\n", d);
    EXPECT(1, "", want, RUN(ltx, "-config", c, t_path(d, "gone.x")));
}

static void test_config_warning(void **state)
{
    const char *c = write_config("zzz: 1\n");
    char want[600];

    (void)state;
    (void)snprintf(want, sizeof(want), "Warning: %s:1:1: unknown key \"zzz\" is ignored\n", c);
    EXPECT(0, "path  replica  url\n", want, RUN(databases, "-config", c));
}

static const weir_file files[] = {
    {.level = 9, .min_txid = 1, .max_txid = 4, .size = 8192, .time_ms = TIME_MS, .name = "a.ltx"},
    {.level = 0, .min_txid = 5, .max_txid = 255, .size = 7, .time_ms = TIME_MS, .name = "b.ltx"},
};

static void test_ltx(void **state)
{
    (void)state;
    fake.files = files;
    fake.nfiles = 2;
    EXPECT(0,
        "level  min_txid          max_txid          size  created\n"
        "9      0000000000000001  0000000000000004  8192  2026-04-24T12:00:00Z\n"
        "0      0000000000000005  00000000000000ff  7     2026-04-24T12:00:00Z\n",
        "", RUN(ltx, "s3://b/a", "-level", "all"));
    assert_string_equal(fake.calls, "open list(s3://b/a,-1) close(0)");
    fake.nfiles = 1;
    EXPECT(0,
        "[\n  {\n    \"level\": 9,\n    \"min_txid\": \"0000000000000001\",\n"
        "    \"max_txid\": \"0000000000000004\",\n    \"size\": 8192,\n"
        "    \"timestamp\": \"2026-04-24T12:00:00Z\"\n  }\n]\n",
        "", RUN(ltx, "-json", "s3://b/a"));
    T(fake.level == 0);
    fake.nfiles = 0;
    EXPECT(0, "[]\n", "", RUN(ltx, "-json", "s3://b/a"));
}

static void test_ltx_errors(void **state)
{
    static const int auth[] = {WEIR_AUTH, -1};

    (void)state;
    EXPECT(1, "", "Error: database path or replica URL required\nTry: weir ltx /path/to/db\n",
        RUN(ltx, "-json"));
    EXPECT(1, "", "Error: too many arguments\n", RUN(ltx, "a", "b"));
    EXPECT(1, "", "Error: cannot specify a replica URL and the -config flag\n",
        RUN(ltx, "-config", "x", "s3://b/a"));
    fake.restore = auth;
    EXPECT(4, "", "Error: auth\n", RUN(ltx, "s3://b/a"));
    fake.files = files;
    fake.nfiles = 2; /* half a listing is not printed as one */
    EXPECT(4, "", "Error: auth\n", RUN(ltx, "-json", "s3://b/a"));
}

/* A snapshot, one point every 5 minutes, and then every TXID; of one the time says nothing. */
static const weir_point points[] = {
    {1, TIME_MS, 1, 4096, 9, 9, 0, 1, 1},
    {7, TIME_MS + 300000, 2, 5000, 1, 1, 1, 1, 7},
    {12, TIME_MS + 600020, 3, 6000, 2, 1, 1, 1, 13},
    {13, TIME_MS + 600010, 4, UINT64_MAX, 0, 0, 2, 1, 13},
    {14, TIME_MS + 601510, 5, 6100, 0, 0, 2, 1, 14},
};

static void test_points(void **state)
{
    (void)state;
    fake.points = points;
    fake.npoints = wr_countof(points);
    fake.points_result = (weir_points_result){.newest = 14, .newest_ms = TIME_MS + 601510};
    EXPECT(0,
        "from_txid         to_txid           from                     to                       "
        "points  step\n"
        "0000000000000001  0000000000000001  2026-04-24T12:00:00Z     2026-04-24T12:00:00Z     "
        "1       -\n"
        "0000000000000007  000000000000000c  2026-04-24T12:05:00Z     2026-04-24T12:10:00.02Z  "
        "2       5m\n"
        "000000000000000d  000000000000000e  2026-04-24T12:10:00.01Z  2026-04-24T12:10:01.51Z  "
        "all 2   1.5s\n"
        "newest: 000000000000000e, 2026-04-24T12:10:01.51Z\n"
        "with -txid only: 1 of these points, as files of later states have times that are no "
        "later\n",
        "", RUN(points, "s3://b/a"));
    assert_string_equal(fake.calls, "open points(s3://b/a) close(0)");
    T(!fake.points_opt.exact && !fake.points_opt.since_ms && !fake.points_opt.until_ms);
    fake.points += 2;
    fake.npoints = 2;
    EXPECT(0,
        "txid              timestamp                files  size                  restore\n"
        "000000000000000c  2026-04-24T12:10:00.02Z  3      6000                  -txid\n"
        "000000000000000d  2026-04-24T12:10:00.01Z  4      18446744073709551615  -txid, "
        "-timestamp\n"
        "newest: 000000000000000e, 2026-04-24T12:10:01.51Z\n"
        "with -txid only: 1 of these points, as files of later states have times that are no "
        "later\n",
        "",
        RUN(points, "-all", "-since", "2026-04-24T12:00:00Z", "-until", "2026-04-24T13:00:00Z",
            "s3://b/a"));
    T(fake.points_opt.exact && fake.points_opt.since_ms == TIME_MS &&
        fake.points_opt.until_ms == TIME_MS + 3600000);
}

static void test_points_json(void **state)
{
    (void)state;
    fake.points = points + 3;
    fake.npoints = 1;
    fake.points_result = (weir_points_result){
        .newest = 14, .newest_ms = TIME_MS, .legacy_from_ms = 1000, .legacy_to_ms = TIME_MS};
    EXPECT(0,
        "[\n  {\n    \"replica\": \"s3\",\n    \"url\": \"s3://b/a\",\n"
        "    \"newest_txid\": \"000000000000000e\",\n"
        "    \"newest_timestamp\": \"2026-04-24T12:00:00Z\",\n    \"gap_txid\": null,\n"
        "    \"v0.3_from\": \"1970-01-01T00:00:01Z\",\n"
        "    \"v0.3_to\": \"2026-04-24T12:00:00Z\",\n    \"points\": [\n      {\n"
        "        \"txid\": \"000000000000000d\",\n"
        "        \"timestamp\": \"2026-04-24T12:10:00.01Z\",\n        \"files\": 4,\n"
        "        \"size\": 9223372036854775807,\n        \"level\": 0,\n"
        "        \"timestamp_txid\": \"000000000000000d\"\n      }\n    ]\n  }\n]\n",
        "", RUN(points, "-json", "s3://b/a"));
    T(fake.points_opt.exact);
}

static void test_points_that_are_not_all(void **state)
{
    static const char *const header = "from_txid  to_txid  from  to  points  step\n";
    char want[600];

    (void)state;
    fake.points_result = (weir_points_result){.gap = 5};
    EXPECT(5, header,
        "Error: s3://b/a: TXIDs from 0000000000000005 on lie behind a gap and cannot be restored; "
        "a snapshot closes it, which a running replicate sends when it finds the gap\n"
        "Try: weir ltx -level all s3://b/a\n",
        RUN(points, "s3://b/a"));
    fake.points_result = (weir_points_result){.newest = 3, .newest_ms = TIME_MS, .gap = 5};
    T(RUN(points, "s3://b/a") == 5);
    T(strstr(err, "Try: weir restore -o /path/to/db -txid 0000000000000003 s3://b/a\n"));
    fake.points_result = (weir_points_result){.legacy_from_ms = 1000, .legacy_to_ms = TIME_MS};
    (void)snprintf(want, sizeof(want),
        "%sLitestream 0.3: backups from 1970-01-01T00:00:01Z to 2026-04-24T12:00:00Z; restore "
        "takes them, unless by -txid, where they are newer\n",
        header);
    EXPECT(0, want, "", RUN(points, "s3://b/a"));
    fake.points = &(const weir_point){1, TIME_MS, 1, 4096, 9, 9, 0, 0, 0};
    fake.npoints = 1;
    fake.points_result = (weir_points_result){.newest = 1, .newest_ms = TIME_MS};
    T(RUN(points, "s3://b/a") == 0);
    T(strstr(out, "\ntimes: of arrival in the store; -all has those that restore compares\n"));
}

static void test_points_of_each_replica(void **state)
{
    static const int first[] = {WEIR_NOTFOUND, WEIR_OK, -1}, second[] = {WEIR_OK, WEIR_AUTH, -1};
    const char *c = write_config("dbs:\n- path: /nonexistent/app.db\n  replicas:\n"
                                 "  - url: s3://b/app\n  - path: /r\n");

    (void)state;
    fake.points = points;
    fake.npoints = 1;
    T(RUN(points, "-config", c, "/nonexistent/app.db") == 0);
    assert_string_equal(fake.calls, "open points(s3://b/app) points(file:///r) close(0)");
    T(strncmp(out, "replica: s3://b/app\nfrom_txid ", 30) == 0);
    T(strstr(out, "\n\nreplica: file:///r\nfrom_txid "));
    fake.restore = first;
    T(RUN(points, "-config", c, "/nonexistent/app.db") == 3);
    assert_string_equal(err, "Error: s3://b/app: not found\nTry: weir ltx -level all s3://b/app\n");
    T(strncmp(out, "replica: file:///r\nfrom_txid ", 29) == 0);
    fake.restore = second;
    T(RUN(points, "-json", "-config", c, "/nonexistent/app.db") == 4);
    assert_string_equal(err, "Error: file:///r: auth\n");
    T(strstr(out, "\"points\": [") && strstr(out, "\"error\": \"auth\""));
}

static void test_follow(void **state)
{
    static const int second[] = {WEIR_NOTFOUND, WEIR_OK, -1}, lost[] = {WEIR_CORRUPT, -1},
                     fine[] = {WEIR_OK, -1};
    const char *c = write_config("dbs:\n- path: /nonexistent/app.db\n  replicas:\n"
                                 "  - url: s3://b/app\n  - path: /r\n");

    (void)state;
    EXPECT(1, "", "Error: cannot use follow mode with -txid\n",
        RUN(restore, "-f", "-txid", "0000000000000001", "-o", "/x/y.db", "s3://b/a"));
    EXPECT(1, "", "Error: cannot use follow mode with -timestamp\n",
        RUN(restore, "-f", "-timestamp", "-1h", "-o", "/x/y.db", "s3://b/a"));
    EXPECT(1, "", "Error: cannot use -dry-run with -f\n",
        RUN(restore, "-f", "-dry-run", "-o", "/x/y.db", "s3://b/a"));
    EXPECT(1, "", "Error: -addr goes with -f: what is restored is over before anybody asks\n",
        RUN(restore, "-addr", ":9091", "-o", "/x/y.db", "s3://b/a"));
    EXPECT(1, "",
        "Error: -ca-file is for a primary with TLS, whose URL begins with https://\n"
        "Try: weir restore -f -o /var/lib/standby.db -ca-file ca.pem "
        "https://primary:9999/app.db\n",
        RUN(restore, "-f", "-ca-file", "/ca.pem", "-o", "/x/y.db", "http://h:1/a.db"));
    EXPECT(1, "",
        "Error: -replica, -token-file and -ca-file go with -f and the URL of a primary\n"
        "Try: weir restore -f -o /var/lib/standby.db http://primary:9999/app.db\n",
        RUN(restore, "-f", "-ca-file", "/ca.pem", "-o", "/x/y.db", "s3://b/a"));
    T(!fake.calls[0]);
    T(RUN(restore, "-f", "-ca-file", "/ca.pem", "-o", "/x/y.db", "https://h:1/a.db") == 0);
    T(strcmp(fake.follow_opt.primary_ca_file, "/ca.pem") == 0);
    T(strcmp(fake.follow_opt.primary, "https://h:1/a.db") == 0);
    T(RUN(restore, "-f", "-follow-interval", "250ms", "-o", "/x/y.db", "s3://b/a") == 0);
    T(strstr(fake.calls, "follow(s3://b/a,/x/y.db)") && !strstr(fake.calls, "restore("));
    T(fake.follow_opt.interval_ms == 250 && !fake.follow_opt.overwrite && !out[0]);
    T(!strstr(err, "{"));
    fake.restored = (weir_restore_result){.struct_size = sizeof(fake.restored), .txid = 7};
    T(RUN(restore, "-f", "-force", "-json", "-o", "/x/y.db", "s3://b/a") == 0);
    T(fake.follow_opt.overwrite && strstr(out, "\"txid\": \"0000000000000007\""));
    T(strstr(err,
        "{\"phase\":\"current\",\"txid\":\"0000000000000001\",\"newest\":\"0000000000000001\","
        "\"timestamp\":\"1970-01-01T00:00:00Z\",\"lag_ms\":0,\"unseen_ms\":0,\"applied\":0,"
        "\"errors\":0,\"reason\":\"\"}\n{\"phase\":\"behind\","));
    T(strstr(err, "\"lag_ms\":70,\"unseen_ms\":8,"));
    T(strstr(err, "\"errors\":4,\"reason\":\"a \\\"b\\\"\"}\n{\"phase\":\"waiting\","));
    T(RUN(restore, "-f", "-force", "-json", "-quiet", "-o", "/x/y.db", "s3://b/a") == 0);
    T(!strstr(err, "{"));

    fake.list = fine;
    fake.restore = second;
    T(RUN(restore, "-f", "-config", c, "/nonexistent/app.db") == 0);
    T(strstr(fake.calls, "follow(s3://b/app,") && strstr(fake.calls, "follow(file:///r,"));
    fake.restore = lost; /* the copy is there: another replica is no help */
    fake.followed = true;
    T(RUN(restore, "-f", "-config", c, "/nonexistent/app.db") == 5);
    T(!strstr(strstr(fake.calls, "follow(") + 1, "follow("));
}

static void test_promote(void **state)
{
    const char *c = write_config(
        "dbs:\n- path: /nonexistent/app.db\n  meta-path: /state\n  replica: {url: 's3://b/app'}\n"
        "- path: /nonexistent/two.db\n  replicas: [{url: 's3://b/a'}, {url: 's3://b/b'}]\n");

    (void)state;
    fake.promoted = (weir_promote_result){.struct_size = sizeof(fake.promoted),
        .epoch = 2,
        .txid = 7,
        .next = 0x400008,
        .time_ms = TIME_MS,
        .since_ms = TIME_MS,
        .owner = "db2:/x/y.db"};
    T(RUN(promote, "-no-replicate", "/x/y.db", "s3://b/a") == 0);
    T(strstr(fake.calls, "promote(s3://b/a,/x/y.db)") && !strstr(fake.calls, "db_add"));
    T(strstr(out, "Promoted /x/y.db: it writes to s3://b/a, as epoch 2\nIt has txid "
                  "0000000000000007, captured at "));
    T(strstr(out, "behind 0000000000400008"));
    T(!fake.promote_opt.force);
    T(RUN(promote, "-no-replicate", "-force", "-json", "-o", "/x/y.db", "s3://b/a") == 0);
    T(fake.promote_opt.force && strstr(out, "\"epoch\": 2") && strstr(out, "\"before\": false"));
    T(strstr(out, "\"txid\": \"0000000000000007\"") && strstr(out, "\"owner\": \"db2:/x/y.db\""));
    fake.promoted.before = 1;
    T(RUN(promote, "-no-replicate", "-json", "/x/y.db", "s3://b/a") == 0);
    T(strstr(out, "\"before\": true") && !strstr(out, "txid"));
    T(RUN(promote, "-no-replicate", "/x/y.db", "s3://b/a") == 0);
    T(strstr(out, "/x/y.db was promoted before: epoch 2, since "));

    T(RUN(promote, "-no-replicate", "-config", c, "/nonexistent/app.db") == 0);
    T(strstr(fake.calls, "promote(s3://b/app,/nonexistent/app.db)"));
    T(strstr(fake.calls, " state("));
    fake.calls[0] = '\0';
    T(RUN(promote, "-no-replicate", "-config", c, "-o", "/x/z.db", "/nonexistent/app.db") == 0);
    T(strstr(fake.calls, "promote(s3://b/app,/x/z.db)"));
    T(!strstr(fake.calls, " state(")); /* which is that of the other path */
}

static void test_promote_and_replicate(void **state)
{
    (void)state;
    fake.promoted = (weir_promote_result){.struct_size = sizeof(fake.promoted), .epoch = 1};
    fake.db_add = WEIR_MISUSE; /* else it goes on for ever */
    T(RUN(promote, "/nonexistent/y.db", "s3://b/a") == 1);
    T(strstr(fake.calls, "promote(s3://b/a,/nonexistent/y.db)"));
    T(strstr(strstr(fake.calls, "promote("), "add(")); /* and then it is replicated */
}

static void test_promote_fails(void **state)
{
    static const struct {
        int code, want;
    } cases[] = {{WEIR_NOTFOUND, 3}, {WEIR_AUTH, 4}, {WEIR_CORRUPT, 5}, {WEIR_BUSY, 6},
        {WEIR_CONFLICT, 7}, {WEIR_UNSUPPORTED, 1}};
    const char *c = write_config("dbs:\n- path: /nonexistent/two.db\n"
                                 "  replicas: [{url: 's3://b/a'}, {url: 's3://b/b'}]\n");

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        int codes[] = {cases[i].code, -1};

        fake.promote = codes;
        assert_int_equal(RUN(promote, "/nonexistent/y.db", "s3://b/a"), cases[i].want);
        T(strstr(err, "Error: ") && !out[0] && !strstr(fake.calls, "add("));
        fake.calls[0] = '\0';
    }
    EXPECT(1, "",
        "Error: path of the copy required\nTry: weir promote /path/to/copy s3://bucket/prefix\n",
        RUN(promote, "-force"));
    EXPECT(1, "", "Error: too many arguments\nTry: weir promote /path/to/copy s3://bucket/prefix\n",
        RUN(promote, "-o", "/x", "/y", "s3://b/a"));
    EXPECT(1, "", "Error: cannot specify a replica URL and the -config flag\n",
        RUN(promote, "-config", c, "/y", "s3://b/a"));
    EXPECT(1, "",
        "Error: /nonexistent/two.db has 2 replicas: name the one that the copy has followed\n"
        "Try: weir promote /path/to/copy s3://bucket/prefix\n",
        RUN(promote, "-config", c, "/nonexistent/two.db"));
    T(RUN(promote, "-config", c, "/nonexistent/none.db") == 1);
    T(strstr(err, "database not found in config"));
    T(RUN(promote, "-config", "/nowhere", "/x.db") == 1);
    T(!strstr(fake.calls, "promote("));
}

static void test_points_usage(void **state)
{
    (void)state;
    EXPECT(1, "", "Error: database path or replica URL required\nTry: weir points /path/to/db\n",
        RUN(points, "-json"));
    EXPECT(1, "", "Error: too many arguments\n", RUN(points, "a", "b"));
    EXPECT(1, "", "Error: -since must be before -until\n",
        RUN(points, "-since", "-1h", "-until", "-2h", "s3://b/a"));
    EXPECT(1, "", "Error: cannot specify a replica URL and the -config flag\n",
        RUN(points, "-config", "x", "s3://b/a"));
    T(!fake.calls[0]);
}

static const weir_file judged[] = {
    {.level = 0, .min_txid = 5, .max_txid = 255, .size = 7, .time_ms = TIME_MS},
    {.level = 9, .min_txid = 1, .max_txid = 4, .size = 8192, .time_ms = TIME_MS, .kept = "day"},
};

static void test_retention(void **state)
{
    const char *c;

    (void)state;
    fake.files = judged;
    fake.nfiles = 2;
    EXPECT(0,
        "level  min_txid          max_txid          size  created\n"
        "0      0000000000000005  00000000000000ff  7     2026-04-24T12:00:00Z\n"
        "s3://b/a: 1 of 2 files would be deleted, 7 B of 8.1 kB\n",
        "", RUN(retention, "s3://b/a"));
    assert_string_equal(fake.calls, "open retention(s3://b/a ) close(0)");
    EXPECT(0,
        "level  min_txid          max_txid          size  created               kept\n"
        "0      0000000000000005  00000000000000ff  7     2026-04-24T12:00:00Z  -\n"
        "9      0000000000000001  0000000000000004  8192  2026-04-24T12:00:00Z  day\n"
        "s3://b/a: 1 of 2 files would be deleted, 7 B of 8.1 kB\n",
        "", RUN(retention, "s3://b/a", "-all", "-keep-daily", "3", "-retention", "2h"));
    assert_string_equal(fake.calls,
        "open retention(s3://b/a snapshot.retention=2h snapshot.keep-daily=3 ) close(0)");
    fake.files = judged + 1;
    fake.nfiles = 1;
    EXPECT(0, "s3://b/a: 0 of 1 files would be deleted, 0 B of 8.1 kB\n", "",
        RUN(retention, "s3://b/a"));
    fake.nfiles = 0;
    c = write_config("snapshot: {keep-daily: 7}\nretention: {enabled: false}\n"
                     "dbs:\n- path: /n/a.db\n  replicas: [{url: 's3://b/a'}, {url: 's3://b/b'}]\n");
    EXPECT(0,
        "s3://b/a: 0 of 0 files would be deleted, 0 B of 0 B\n"
        "s3://b/b: 0 of 0 files would be deleted, 0 B of 0 B\n",
        "Warning: retention.enabled is false: nothing is ever deleted\n",
        RUN(retention, "-config", c, "/n/a.db", "-keep", "2"));
    assert_string_equal(fake.calls,
        "open retention(s3://b/a snapshot.keep-daily=7 retention.enabled=false snapshot.keep=2 ) "
        "retention(s3://b/b snapshot.keep-daily=7 retention.enabled=false snapshot.keep=2 ) "
        "close(0)");
}

static void test_retention_json(void **state)
{
    json_t *j, *one, *list;

    (void)state;
    fake.files = judged;
    fake.nfiles = 2;
    T(RUN(retention, "-json", "-all", "s3://b/a") == 0);
    j = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
    one = json_array_get(j, 0);
    T(json_array_size(j) == 1);
    assert_string_equal(json_string_value(json_object_get(one, "replica")), "s3://b/a");
    T(json_integer_value(json_object_get(one, "file_count")) == 2);
    T(json_integer_value(json_object_get(one, "delete_count")) == 1);
    T(json_integer_value(json_object_get(one, "bytes")) == 8199);
    T(json_integer_value(json_object_get(one, "delete_bytes")) == 7);
    list = json_object_get(one, "files");
    T(json_array_size(list) == 2);
    T(json_is_null(json_object_get(json_array_get(list, 0), "kept")));
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "kept")), "day");
    json_decref(j);
    T(RUN(retention, "-json", "s3://b/a") == 0);
    j = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
    T(json_array_size(json_object_get(json_array_get(j, 0), "files")) == 1);
    json_decref(j);
}

/* Of several replicas the others are told. */
static void test_retention_errors(void **state)
{
    static const int first[] = {WEIR_AUTH, WEIR_OK, -1};
    const char *c =
        write_config("dbs:\n- path: /n/a.db\n  replicas: [{url: 's3://b/a'}, {url: 's3://b/b'}]\n");

    (void)state;
    EXPECT(1, "", "Error: database path or replica URL required\nTry: weir retention /path/to/db\n",
        RUN(retention, "-json"));
    EXPECT(1, "", "Error: too many arguments\n", RUN(retention, "a", "b"));
    fake.restore = first;
    EXPECT(4, "s3://b/b: 0 of 0 files would be deleted, 0 B of 0 B\n", "Error: s3://b/a: auth\n",
        RUN(retention, "-config", c, "/n/a.db"));
}

static const weir_verify_result verified = {.points = 12,
    .points_proven = 12,
    .files = 9,
    .files_read = 8,
    .bytes_read = 2048,
    .first_txid = 1,
    .last_txid = 0x1f,
    .proven_txid = 0x1f,
    .first_ms = TIME_MS,
    .last_ms = TIME_MS,
    .proven_ms = TIME_MS};

static const weir_finding findings[] = {
    {.kind = WEIR_FINDING_FILE,
        .level = 0,
        .key = "ltx/0/x.ltx",
        .min_txid = 2,
        .max_txid = 3,
        .text = "it is torn"},
    {.kind = WEIR_FINDING_LOST,
        .level = -1,
        .min_txid = 3,
        .max_txid = 5,
        .points = 2,
        .text = "cannot be restored"},
};

static bool begins(const char *want)
{
    return strncmp(out, want, strlen(want)) == 0;
}

static void test_verify(void **state)
{
    static const int good[] = {WEIR_OK, -1};

    (void)state;
    fake.verify = good;
    fake.verified = verified;
    T(RUN(verify, "-parallelism", "3", "s3://b/a") == 0);
    T(begins(
        "s3://b/a: 12 points can be restored, from txid 0000000000000001 "
        "(2026-04-24T12:00:00Z) to 000000000000001f (2026-04-24T12:00:00Z): all proven; 8 files, "
        "2.0 kB read in 0."));
    assert_string_equal(err, "");
    assert_string_equal(fake.calls, "open verify(s3://b/a) close(0)");
    T(fake.verify_opt.parallel == 3 && fake.verify_opt.cancel);
    fake.verified.points_proven = 10;
    fake.verified.points_structure = 2;
    fake.verified.structure_first = 1;
    fake.verified.structure_last = 4;
    fake.verified.files_old = 3;
    T(RUN(verify, "s3://b/a") == 0);
    T(strstr(out, "s; of no use any more: 3, as retention leaves some\n"));
    T(strstr(out, ": 10 proven, 2 whole by their files, which record no checksum of the database "
                  "(txid 0000000000000001 to 0000000000000004); 8 files"));
    T(RUN(verify, "-json", "s3://b/a") == 0);
    T(strstr(out, "[\n  {\n    \"replica\": \"s3\",\n    \"url\": \"s3://b/a\",\n    "
                  "\"status\": \"ok\",\n    \"error\": \"\",\n    \"points\": 12,\n"));
    T(strstr(out,
        "\"points_structure\": 2,\n    \"structure_first_txid\": \"0000000000000001\",\n    "
        "\"structure_last_txid\": \"0000000000000004\",\n"));
    T(strstr(out, "\"proven_txid\": \"000000000000001f\"") &&
        strstr(out, "\"findings\": [],\n    \"advice\": \"\"\n"));
}

static void test_verify_findings(void **state)
{
    static const int bad[] = {WEIR_CORRUPT, -1};

    (void)state;
    fake.verify = bad;
    fake.verified = verified;
    fake.verified.findings = fake.nfindings = 1;
    fake.findings = findings;
    T(RUN(verify, "s3://b/a") == 5);
    T(begins("s3://b/a: ltx/0/x.ltx: it is torn\ns3://b/a: 12 points can be restored, "));
    T(strstr(out, "\ns3://b/a: nothing is lost: "));
    fake.nfindings = 2;
    fake.verified.points_lost = 2;
    T(RUN(verify, "s3://b/a") == 5);
    T(strstr(out, "s3://b/a: 2 points from txid 0000000000000003 to 0000000000000005 cannot be "
                  "restored\n"));
    T(strstr(out, ": all proven; 2 cannot; 8 files, "));
    T(strstr(out, "\ns3://b/a: the newest state can be restored; "));
    fake.verified.last_txid = 2;
    T(RUN(verify, "s3://b/a") == 5);
    T(strstr(out, "\ns3://b/a: the newest state cannot be restored: change something in the "));
    T(strstr(out, "asks to remove a file, ")); /* else there was no end of retries */
    fake.verified = (weir_verify_result){.findings = 2, .points_lost = 2};
    T(RUN(verify, "s3://b/a") == 5);
    T(strstr(out, "s3://b/a: no point can be restored; 2 cannot; 0 files, 0 B read in "));
    T(RUN(verify, "-json", "s3://b/a") == 5);
    T(strstr(out, "\"status\": \"damaged\"") && strstr(out, "\"error\": \"corrupt\""));
    T(strstr(out, "\"kind\": \"file\",\n        \"key\": \"ltx/0/x.ltx\"") &&
        strstr(out, "\"kind\": \"lost\",\n        \"points\": 2"));
    T(strstr(out, "\"advice\": \"the newest state cannot be restored: change something in the "));
}

/* With the database itself, which has to be one. */
static void test_verify_deep(void **state)
{
    static const int good[] = {WEIR_OK, -1}, bad[] = {WEIR_CORRUPT, -1};
    static const weir_finding live = {.kind = WEIR_FINDING_LIVE,
        .level = -1,
        .min_txid = 0x1f,
        .max_txid = 0x1f,
        .text = "it is not"};
    const char *c = write_config("dbs: [{path: /var/lib/app.db, replica: {path: /r}}]\n");

    (void)state;
    fake.verify = good;
    fake.verified = verified;
    T(RUN(verify, "-config", c, "/var/lib/app.db") == 0 && !fake.verify_opt.db_path);
    fake.verified.live_txid = 0x1f;
    fake.verified.live_pages = 70;
    T(RUN(verify, "-deep", "-deep-wait", "2s", "-config", c, "/var/lib/app.db") == 0);
    T(strstr(fake.calls, "verify(file:///r and /var/lib/app.db)"));
    T(fake.verify_opt.db_wait_ms == 2000);
    T(strstr(out,
        "\nfile:///r: the database itself is that of txid 000000000000001f: 70 pages are the "
        "same\n"));
    fake.verified.live_changing = 3;
    T(RUN(verify, "-deep", "-config", c, "/var/lib/app.db") == 0);
    T(strstr(out, "70 pages are the same; 3 were being written, and not compared\n"));
    fake.verified.live_changing = 1;
    T(RUN(verify, "-deep", "-config", c, "/var/lib/app.db") == 0);
    T(strstr(out, "; 1 was being written, and not compared\n"));
    T(RUN(verify, "-deep", "-json", "-config", c, "/var/lib/app.db") == 0);
    T(strstr(out, "\"live_txid\": \"000000000000001f\",\n    \"live_pages\": 70,\n    "
                  "\"live_changing\": 1,\n"));
    fake.verify = bad;
    fake.verified.live_txid = 0;
    fake.verified.findings = fake.nfindings = 1;
    fake.findings = &live;
    T(RUN(verify, "-deep", "-config", c, "/var/lib/app.db") == 5);
    T(begins("file:///r: it is not\nfile:///r: 12 points can be restored, "));
    T(!strstr(out, "nothing is lost") && !strstr(out, "the database itself is"));
    T(RUN(verify, "-deep", "-json", "-config", c, "/var/lib/app.db") == 5);
    T(strstr(out, "\"kind\": \"live\",\n        \"txid\": \"000000000000001f\",\n        "
                  "\"text\": \"it is not\""));
    T(strstr(out, "\"advice\": \"\""));
    EXPECT(1, "", "Error: -deep needs the path of a database of the configuration\n",
        RUN(verify, "-deep", "s3://b/a"));
    EXPECT(1, "", "Error: -deep-wait is for -deep\n", RUN(verify, "-deep-wait", "1s", "s3://b/a"));
}

/* Each of several replicas is verified, and the exit code is that of the worst. */
static void test_verify_replicas(void **state)
{
    static const int codes[][4] = {{WEIR_OK, WEIR_NOTFOUND, -1}, {WEIR_AUTH, WEIR_OK, -1},
        {WEIR_CORRUPT, WEIR_AUTH, -1}, {WEIR_IO, WEIR_NOTFOUND, -1}, {WEIR_OK, WEIR_CORRUPT, -1}};
    static const int exits[] = {3, 4, 5, 1, 5};
    static const int canceled[] = {WEIR_CANCELED, -1};
    const char *c = write_config("dbs:\n- path: /var/lib/app.db\n  replicas:\n"
                                 "  - url: s3://b/app?secret-access-key=x\n  - path: /r\n");

    (void)state;
    fake.verified = verified;
    for (size_t i = 0; i < wr_countof(exits); i++) {
        fake.calls[0] = '\0';
        fake.verify = codes[i];
        T(RUN(verify, "-config", c, "/var/lib/app.db") == exits[i]);
        T(strstr(fake.calls, " verify(file:///r) close(0)"));
    }
    fake.calls[0] = '\0';
    fake.verify = codes[1];
    T(RUN(verify, "-config", c, "/var/lib/app.db") == 4);
    T(strstr(err, "Error: s3://b/app?secret-access-key=***: auth\n"));
    fake.verify = canceled;
    fake.calls[0] = '\0';
    T(RUN(verify, "-config", c, "/var/lib/app.db") == 1 && !strstr(fake.calls, "/r"));
    EXPECT(1, "", "Error: database path or replica URL required\nTry: weir verify /path/to/db\n",
        RUN(verify, "-json"));
    EXPECT(1, "", "Error: too many arguments\n", RUN(verify, "a", "b"));
}

static void test_restore_json(void **state)
{
    const char *db = t_path(dir, "new.db");
    json_t *j;

    (void)state;
    fake.restored = (weir_restore_result){.struct_size = sizeof(weir_restore_result),
        .txid = 4,
        .time_ms = TIME_MS,
        .bytes = 8192,
        .bytes_read = 700,
        .files = 2,
        .format = WEIR_FORMAT_LTX,
        .verified = WEIR_CHECK_QUICK};
    T(RUN(restore, "-json", "-o", db, "s3://b/a", "-integrity-check", "quick", "-parallelism", "3",
          "-timestamp", "2026-04-24T12:00:01Z") == 0);
    T(fake.restore_opt.time_ms == TIME_MS + 1000 && fake.restore_opt.txid == 0);
    T(fake.restore_opt.check == WEIR_CHECK_QUICK && fake.restore_opt.parallel == 3);
    T(!fake.restore_opt.overwrite && fake.restore_opt.cancel);
    assert_string_equal(err, "");
    j = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
    T(j);
    assert_string_equal(json_string_value(json_object_get(j, "db_path")), db);
    assert_string_equal(json_string_value(json_object_get(j, "replica")), "s3");
    assert_string_equal(json_string_value(json_object_get(j, "txid")), "0000000000000004");
    assert_string_equal(json_string_value(json_object_get(j, "integrity_check")), "quick");
    assert_string_equal(json_string_value(json_object_get(j, "timestamp")), "2026-04-24T12:00:00Z");
    T(json_is_integer(json_object_get(j, "duration_ms")));
    T(json_integer_value(json_object_get(j, "size")) == 8192);
    json_decref(j);

    fake.restored.format = WEIR_FORMAT_LEGACY;
    fake.restored.txid = 0;
    T(RUN(restore, "-json", "-o", db, "s3://b/a") == 0);
    T(strstr(out, "\"txid\": \"\"") && strstr(out, "\"format\": \"v0.3\""));
}

/* The database was in its place, and then the exit code was 1. */
static void test_a_path_that_json_cannot_hold_was_restored(void **state)
{
    static const char *const error = "Error: cannot print as JSON: is the path not UTF-8?\n";
    const char *db = t_path(dir, "\xff.db");

    (void)state;
    EXPECT(1, "", error, RUN(restore, "-json", "-o", db, "s3://b/a"));
    EXPECT(1, "", error, RUN(restore, "-json", "-dry-run", "-o", db, "s3://b/a"));
    T(!fake.calls[0]);
    T(RUN(restore, "-o", db, "s3://b/a") == 0);
}

static void test_restore_text(void **state)
{
    const char *db = t_path(dir, "new.db");
    char want[1000];

    (void)state;
    fake.restored = (weir_restore_result){
        .txid = 4, .time_ms = TIME_MS, .bytes = 8192, .verified = WEIR_CHECK_FULL};
    T(RUN(restore, "-o", db, "s3://user:secret@b/a?x=secret", "-force", "-txid",
          "00000000000000ff") == 0);
    T(fake.restore_opt.overwrite && fake.restore_opt.txid == 255);
    T(!strstr(err, "secret"));
    (void)snprintf(want, sizeof(want), "restored %s from s3://", db);
    T(strncmp(err, want, strlen(want)) == 0);
    T(strstr(err, "txid 0000000000000004, as of 2026-04-24T12:00:00Z, 8.1 kB in "));
    T(strstr(err, "s, passed integrity check: full\n"));
    assert_string_equal(out, "");
    EXPECT(0, "", "", RUN(restore, "-quiet", "-o", db, "s3://b/a"));
}

static void test_restore_plan(void **state)
{
    (void)state;
    fake.files = files;
    fake.nfiles = 1;
    EXPECT(0,
        "Restore plan:\n"
        "  source: s3://mybkt/db\n"
        "  target: /var/lib/db\n"
        "  replica: s3\n"
        "  txid range: 0000000000000001 - 0000000000000004\n"
        "\n"
        "Files to fetch:\n"
        "level  file   min_txid          max_txid          size  timestamp\n"
        "9      a.ltx  0000000000000001  0000000000000004  8192  2026-04-24T12:00:00Z\n",
        "", RUN(restore, "-dry-run", "-o", "/var/lib/db", "s3://mybkt/db"));
    assert_string_equal(fake.calls, "open plan(s3://mybkt/db) close(0)");
    EXPECT(0,
        "{\n"
        "  \"source\": \"s3://mybkt/db\",\n"
        "  \"target_path\": \"/var/lib/db\",\n"
        "  \"replica\": \"s3\",\n"
        "  \"min_txid\": \"0000000000000001\",\n"
        "  \"max_txid\": \"0000000000000004\",\n"
        "  \"files\": [\n"
        "    {\n"
        "      \"level\": 9,\n"
        "      \"name\": \"a.ltx\",\n"
        "      \"min_txid\": \"0000000000000001\",\n"
        "      \"max_txid\": \"0000000000000004\",\n"
        "      \"size\": 8192,\n"
        "      \"timestamp\": \"2026-04-24T12:00:00Z\"\n"
        "    }\n"
        "  ]\n"
        "}\n",
        "", RUN(restore, "-dry-run", "-json", "-o", "/var/lib/db", "s3://mybkt/db"));
}

static void test_restore_usage(void **state)
{
    (void)state;
    EXPECT(1, "",
        "Error: database path or replica URL required\n"
        "Try: weir restore -o /path/to/db s3://bucket/prefix\n",
        RUN(restore, "-json"));
    EXPECT(1, "", "Error: too many arguments\n", RUN(restore, "s3://b/a", "x"));
    EXPECT(1, "",
        "Error: -o is required when restoring from a replica URL\n"
        "Try: weir restore -o /path/to/db s3://bucket/prefix\n",
        RUN(restore, "s3://b/a"));
    EXPECT(1, "", "Error: cannot specify both -txid and -timestamp\n",
        RUN(restore, "-txid", "00000000000000ff", "-timestamp", "-1h", "s3://b/a"));
    EXPECT(1, "", "Error: invalid -integrity-check value: fast\n",
        RUN(restore, "-integrity-check", "fast", "s3://b/a"));
    EXPECT(1, "", "Error: database not found in config: /x.db\n",
        RUN(restore, "-config", write_config(""), "/x.db"));
    T(!fake.calls[0]);
}

static void test_restore_output(void **state)
{
    const char *db = t_path(dir, "a.db");

    (void)state;
    T(RUN(restore, "-quiet", "-if-db-not-exists", "-o", db, "s3://b/a") == 0);
    T(strstr(fake.calls, "restore(") && !fake.restore_opt.overwrite);
    T(RUN(restore, "-quiet", "-if-db-not-exists", "-o", dir, "s3://b/a") == 0);
    T(strstr(fake.calls, "restore(")); /* which says that it is a directory */
    t_spew(db, "x", 1);
    EXPECT(0, "", "", RUN(restore, "-if-db-not-exists", "-o", db, "s3://b/a"));
    T(!fake.calls[0]);
    T(RUN(restore, "-json", "-if-db-not-exists", "-o", db, "s3://b/a") == 0);
    T(strstr(out, "\"skipped\": \"database already exists\""));
    T(RUN(restore, "-quiet", "-force", "-o", db, "s3://b/a") == 0);
    T(strstr(fake.calls, "restore(") && fake.restore_opt.overwrite);
}

static void expect_exit(int code, int want)
{
    const int list[] = {code, -1};
    bool of_replica = want >= 3; /* it says in which one, without secrets, and what to do */
    char text[200];

    fake.restore = list;
    (void)snprintf(text, sizeof(text), "Error: %s%s\n%s", of_replica ? "s3://b/a: " : "",
        weir_strerror(code), code == WEIR_NOTFOUND ? "Try: weir ltx -level all s3://b/a\n" : "");
    EXPECT(want, "", text, RUN(restore, "-quiet", "-o", "/nonexistent/a.db", "s3://b/a"));
    fake.restore = NULL;
}

static void test_restore_exit_codes(void **state)
{
    static const int none[] = {WEIR_NOTFOUND, -1};

    (void)state;
    expect_exit(WEIR_NOTFOUND, 3);
    expect_exit(WEIR_AUTH, 4);
    expect_exit(WEIR_CORRUPT, 5);
    expect_exit(WEIR_IO, 1);
    expect_exit(WEIR_CONFLICT, 1);
    expect_exit(WEIR_CANCELED, 1);
    fake.restore = none;
    EXPECT(0, "", "",
        RUN(restore, "-quiet", "-if-replica-exists", "-o", "/nonexistent/a.db", "s3://b/a"));
    T(RUN(restore, "-json", "-if-replica-exists", "-o", "/nonexistent/a.db", "s3://b/a") == 0);
    T(strstr(out, "\"skipped\": \"no matching backups found\""));
    EXPECT(3, "", "Error: s3://b/a: not found\nTry: weir ltx -level all s3://b/a\n",
        RUN(restore, "-dry-run", "-json", "-o", "/nonexistent/a.db", "s3://b/a"));
    for (int by = 0; by < 2; by++)
        EXPECT(3, "", "Error: s3://b/a: not found\nTry: weir points s3://b/a\n",
            RUN(restore, by ? "-txid" : "-timestamp", by ? "0000000000000009" : "-2h", "-o",
                "/nonexistent/a.db", "s3://b/a"));
    T(RUN(restore, "-quiet", "-o", "/nonexistent/a.db", "s3://user:secret@b/a?x=secret") == 3);
    T(strstr(err, "Error: s3://") && !strstr(err, "secret"));
}

static void test_restore_from_config(void **state)
{
    static const int second[] = {WEIR_IO, WEIR_OK, -1}, listed[] = {WEIR_OK, -1};
    const char *c = write_config("dbs:\n- path: /nonexistent/app.db\n  replicas:\n"
                                 "  - url: s3://b/app\n  - path: /r\n");

    (void)state;
    fake.list = listed;
    fake.restore = second; /* one replica lost: the other has the backup */
    T(RUN(restore, "-config", c, "/nonexistent/app.db") == 0);
    assert_string_equal(fake.calls,
        "open list(s3://b/app,-1) list(file:///r,-1) restore(s3://b/app,/nonexistent/app.db) "
        "restore(file:///r,/nonexistent/app.db) close(0)");
    T(strncmp(err, "Warning: s3://b/app: io; trying the next replica\nrestored ", 58) == 0);
    T(RUN(restore, "-config", c, "-o", "/nonexistent/x", "/nonexistent/app.db") == 0);
    assert_string_equal(fake.calls,
        "open list(s3://b/app,-1) list(file:///r,-1) restore(s3://b/app,/nonexistent/x) close(0)");
    T(RUN(restore, "-txid", "0000000000000001", "-config", c, "/nonexistent/app.db") == 0);
    assert_string_equal(fake.calls, "open restore(s3://b/app,/nonexistent/app.db) close(0)");
    fake.list = NULL;
}

/* The first replica had been out of reach for long: what it had was restored, and all was well. */
static void test_the_first_replica_was_taken_however_old(void **state)
{
    static const uint64_t reach[] = {3, 6, 5}, level[] = {6, 6, 6};
    static const int ok[] = {WEIR_OK, -1}, first_bad[] = {WEIR_CORRUPT, WEIR_OK, -1},
                     lost[] = {WEIR_OK, WEIR_IO, WEIR_OK, -1};
    const char *c = write_config("dbs:\n- path: /nonexistent/app.db\n  replicas:\n"
                                 "  - path: /r\n  - path: /s\n  - path: /t\n");
#define LISTED "open list(file:///r,-1) list(file:///s,-1) list(file:///t,-1) "

    (void)state;
    fake.list = ok;
    fake.restore = ok;
    fake.reach = reach;
    EXPECT(0, "", "", RUN(restore, "-quiet", "-config", c, "/nonexistent/app.db"));
    assert_string_equal(fake.calls, LISTED "restore(file:///s,/nonexistent/app.db) close(0)");
    fake.reach = level;
    EXPECT(0, "", "", RUN(restore, "-quiet", "-config", c, "/nonexistent/app.db"));
    assert_string_equal(fake.calls, LISTED "restore(file:///r,/nonexistent/app.db) close(0)");
    /* An older state is better than none, but not without a word. */
    fake.reach = reach;
    fake.restore = first_bad;
    EXPECT(0, "",
        "Warning: file:///s: corrupt; it has transactions up to 0000000000000006, of which those "
        "after 0000000000000005 are not in the restored database\n",
        RUN(restore, "-quiet", "-config", c, "/nonexistent/app.db"));
    assert_string_equal(fake.calls,
        LISTED "restore(file:///s,/nonexistent/app.db) restore(file:///t,/nonexistent/app.db) "
               "close(0)");
    fake.reach = reach;
    fake.restore = ok;
    fake.list = lost;
    EXPECT(0, "",
        "Warning: file:///s: io; it may have newer transactions than the restored database\n",
        RUN(restore, "-quiet", "-config", c, "/nonexistent/app.db"));
    assert_string_equal(fake.calls, LISTED "restore(file:///t,/nonexistent/app.db) close(0)");
    fake.list = NULL;
    fake.reach = NULL;
#undef LISTED
}

/* So it was with a time before which the first one had been out of reach, too. */
static void test_the_first_replica_was_taken_for_a_time(void **state)
{
    static const uint64_t reach[] = {3, 6};
    static const int ok[] = {WEIR_OK, -1};
    const char *c = write_config("dbs:\n- path: /nonexistent/app.db\n  replicas:\n"
                                 "  - path: /r\n  - path: /s\n");

    (void)state;
    fake.list = ok;
    fake.restore = ok;
    fake.reach = reach;
    EXPECT(0, "", "",
        RUN(restore, "-quiet", "-timestamp", "-1h", "-config", c, "/nonexistent/app.db"));
    assert_string_equal(fake.calls, "open plan(file:///r) plan(file:///s) "
                                    "restore(file:///s,/nonexistent/app.db) close(0)");
    fake.reach = NULL;
    fake.list = NULL;
}

/* Which of these answers, given one after the other, is told of: as it should be. */
static size_t told_of(const int *rc, size_t n)
{
    int last = rc[n - 1];

    if (last == WEIR_OK || last == WEIR_CANCELED || last == WEIR_CONFLICT)
        return n - 1;
    for (size_t i = 0; i < n; i++) {
        if (rc[i] != WEIR_NOTFOUND)
            return i;
    }
    return 0;
}

/* Every series of answers, up to the one that ends the search. */
static void test_any_replicas_failures(void **state)
{
    static const int codes[] = {WEIR_NOTFOUND, WEIR_IO, WEIR_AUTH, WEIR_CORRUPT, WEIR_MISUSE,
        WEIR_BUSY, WEIR_OK, WEIR_CANCELED, WEIR_CONFLICT};
    const size_t base = wr_countof(codes);

    (void)state;
    for (size_t series = 0; series < base * base * base * base; series++) {
        int rc[4], n = 0, teller = 0;

        for (size_t rest = series; n < 4; rest /= base) {
            rc[n++] = codes[rest % base];
            if (rest % base >= base - 3)
                break; /* it ends the search */
        }
        for (int i = 1; i < n; i++) {
            if (wr_restore_tells(rc[teller], rc[i]))
                teller = i;
        }
        T((size_t)teller == told_of(rc, (size_t)n));
    }
}

/* The first replica, which has the backup, refuses the credentials; the second is empty. */
static void test_an_empty_replica_hid_the_failure_of_another(void **state)
{
    static const int lists[][3] = {{WEIR_AUTH, WEIR_NOTFOUND, -1},
        {WEIR_CORRUPT, WEIR_NOTFOUND, -1}, {WEIR_IO, WEIR_NOTFOUND, -1},
        {WEIR_NOTFOUND, WEIR_AUTH, -1}};
    static const int codes[] = {4, 5, 1, 4}, listed[] = {WEIR_NOTFOUND, -1};
    static const char *const texts[] = {"Error: s3://b/app: auth\n", "Error: s3://b/app: corrupt\n",
        "Error: io\n", "Error: file:///r: auth\n"};
    const char *c = write_config("dbs:\n- path: /nonexistent/app.db\n  replicas:\n"
                                 "  - url: s3://b/app\n  - path: /r\n");

    (void)state;
    fake.list = listed;
    for (size_t i = 0; i < wr_countof(codes); i++) {
        fake.restore = lists[i];
        EXPECT(codes[i], "", texts[i],
            RUN(restore, "-quiet", "-if-replica-exists", "-config", c, "/nonexistent/app.db"));
        fake.restore = lists[i];
        EXPECT(codes[i], "", texts[i],
            RUN(restore, "-quiet", "-dry-run", "-config", c, "/nonexistent/app.db"));
    }
    fake.list = NULL;
}

static void test_replicate_usage(void **state)
{
    const char *two = t_path(dir, "two.yml");
    static const char text[] = "dbs:\n- {path: /n/a, replica: {path: /r/a}}\n"
                               "- {path: /n/b, replica: {path: /r/b}}\n";

    (void)state;
    t_spew(two, text, strlen(text));
    EXPECT(1, "",
        "Error: -adopt is for one database; of several, set adopt-replica: true in the "
        "configuration of those that are meant\n",
        RUN(replicate, "-adopt", "-config", two));
    EXPECT(1, "",
        "Error: must specify at least one replica URL for /a.db\n"
        "Try: weir replicate /path/to/db s3://bucket/prefix\n",
        RUN(replicate, "/a.db"));
    EXPECT(1, "", "Error: cannot specify a replica URL and the -config flag\n",
        RUN(replicate, "-config", "x", "/a.db", "s3://b/a"));
    EXPECT(1, "", "Error: cannot specify -once flag with -exec\n",
        RUN(replicate, "/a.db", "s3://b/a", "-once", "-exec", "true"));
    EXPECT(1, "", "Error: cannot specify -force-snapshot flag without -once\n",
        RUN(replicate, "/a.db", "s3://b/a", "-force-snapshot"));
    EXPECT(1, "", "Error: cannot specify -enforce-retention flag without -once\n",
        RUN(replicate, "/a.db", "s3://b/a", "-enforce-retention"));
    EXPECT(1, "", "Error: -sync-interval must be a duration such as 1s, or 0 for at once: 10\n",
        RUN(replicate, "/a.db", "s3://b/a", "-sync-interval", "10"));
    EXPECT(
        1, "", "Error: not a replica URL: /r (write file:///r)\n", RUN(replicate, "/a.db", "/r"));
}

static void test_replicate(void **state)
{
    (void)state;
    T(RUN(replicate, "-once", "-sync-interval", "5s", "/n/a.db", "s3://b/a", "file:///r") == 0);
    assert_string_equal(fake.calls,
        "open add(/n/a.db) replica(s3://b/a,sync-interval=5s) replica(file:///r,sync-interval=5s) "
        "sync(/n/a.db) keep_up(/n/a.db) close(0)");
    T(!fake.deletes);
    T(RUN(replicate, "-once", "-force-snapshot", "-enforce-retention", "/n/a.db", "s3://b/a") == 0);
    T(fake.deletes && strstr(out, "msg=\"taking snapshot\"") &&
        strstr(out, "msg=\"enforcing retention\"") && strstr(out, "files_deleted=7"));
    T(strstr(out, " level=INFO msg=weir version=1.2.3") && strstr(out, "msg=\"replicating to\""));
    assert_string_equal(err, "");
    T(RUN(replicate, "-once", "-log-level", "error", "/n/a.db", "s3://b/a") == 0);
    T(!out[0]);
    assert_string_equal(getenv("LOG_LEVEL"), "error"); /* for the child */
    T(unsetenv("LOG_LEVEL") == 0);
    T(RUN(replicate, "-exec", "true", "/n/a.db", "s3://b/a") == 0);
    T(strstr(fake.calls, "close(30000)"));
    T(RUN(replicate, "-exec", "true", "-shutdown-sync-timeout", "2s", "/n/a.db", "s3://b/a") == 0);
    T(strstr(fake.calls, "close(2000)"));
}

static void test_replicate_config_logging(void **state)
{
    const char *c = write_config("logging: {type: json, stderr: true}\nshutdown-sync-timeout: 5s\n"
                                 "dbs: [{path: /n/a.db, replica: {url: 's3://b/a'}}]\n");

    (void)state;
    T(RUN(replicate, "-exec", "true", "-config", c) == 0);
    T(!out[0] && strncmp(err, "{\"time\":\"", 9) == 0 && strstr(fake.calls, "close(5000)"));
}

static void test_replicate_warns_that_nothing_is_deleted(void **state)
{
    const char *c = write_config("retention: {enabled: false}\ndbs:\n"
                                 "- {path: /n/a.db, replica: {url: 's3://b/a'}}\n"
                                 "- {path: /n/b.db, replica: {url: 's3://b/b'}}\n");
    const char *first;

    (void)state;
    T(RUN(replicate, "-once", "-config", c) == 0);
    first = strstr(out, "level=WARN msg=\"retention disabled;");
    T(first && !strstr(first + 1, "level=WARN msg=\"retention") &&
        strstr(first, "hint=\"nothing is deleted"));
    c = write_config("retention: {enabled: true}\n"
                     "dbs: [{path: /n/a.db, replica: {url: 's3://b/a'}}]\n");
    T(RUN(replicate, "-once", "-config", c) == 0);
    T(!strstr(out, "retention disabled"));
}

/* What was asked for beside a sync, and is not there, is no success; but the sync was one. */
static void test_replicate_once_fails_behind_the_sync(void **state)
{
    (void)state;
    fake.keep_up = WEIR_IO;
    T(RUN(replicate, "-once", "/n/a.db", "s3://b/a") == 1);
    T(strcmp(err, "Error: /n/a.db: compaction: io\n") == 0);
    fake.keep_up = WEIR_OK;
    fake.snapshot = WEIR_AUTH;
    T(RUN(replicate, "-once", "-force-snapshot", "/n/a.db", "s3://b/a") == 4);
    T(strcmp(err, "Error: /n/a.db: snapshot: auth\n") == 0);
    fake.snapshot = WEIR_OK;
    fake.retain = WEIR_CONFLICT;
    T(RUN(replicate, "-once", "-enforce-retention", "/n/a.db", "s3://b/a") == 7);
    T(strcmp(err, "Error: /n/a.db: enforce retention: conflict\n") == 0);
    T(RUN(replicate, "-once", "-force-snapshot", "/n/a.db", "s3://b/a") == 0);
    fake.retain = WEIR_OK;
}

/* The exit code after a sync that ended with `sync`. */
static int once(int sync)
{
    const int list[] = {sync, -1};
    int code;

    fake.sync = list;
    code = RUN(replicate, "-once", "/n/a.db", "s3://b/a");
    fake.sync = NULL;
    return code;
}

static void test_replicate_exit_codes(void **state)
{
    (void)state;
    T(once(WEIR_OK) == 0);
    T(once(WEIR_IO) == 8);
    T(once(WEIR_AUTH) == 4);
    T(once(WEIR_BUSY) == 6);
    T(once(WEIR_CONFLICT) == 7);
    T(once(WEIR_NOTFOUND) == 8);
    T(strstr(err, "Error: /n/a.db: not found\n"));
    T(RUN(replicate, "-exec", "sh -c 'exit 5'", "/n/a.db", "s3://b/a") == 5);
    fake.close = WEIR_TIMEOUT;
    T(RUN(replicate, "-exec", "true", "/n/a.db", "s3://b/a") == 8);
    fake.close = WEIR_IO;
    T(RUN(replicate, "-exec", "true", "/n/a.db", "s3://b/a") == 8);
    T(RUN(replicate, "-exec", "sh -c 'exit 5'", "/n/a.db", "s3://b/a") == 5);
    T(strstr(err, "Error: last sync failed: io\n"));
    fake.db_add = WEIR_MISUSE;
    T(RUN(replicate, "/n/a.db", "s3://b/a") == 1);
}

static void test_run_usage(void **state)
{
    static const char after[] = "Error: the command to run comes after --\n"
                                "Try: weir run -db /data/app.db -replica s3://bucket/app -- myapp "
                                "-port 8080\n";
    static const char example[] =
        "Try: weir run -db /data/app.db -replica s3://bucket/app -- myapp "
        "-port 8080\n";
    const char *c = write_config("exec: other\ndbs: [{path: /n/a.db, replica: {path: /r}}]\n");
    char want[512];

    (void)state;
    EXPECT(1, "", after, RUN(run, "-db", "/a.db", "-replica", "s3://b/a"));
    EXPECT(1, "", after, RUN(run, "-db", "/a.db", "-replica", "s3://b/a", "--"));
    EXPECT(1, "", after, RUN(run, "-db", "/a.db", "-replica", "s3://b/a", "myapp"));
    EXPECT(1, "", after, RUN(run, "-db", "/a.db", "-replica", "s3://b/a", "myapp", "--", "x"));
    (void)snprintf(want, sizeof(want), "Error: -replica needs -db\n%s", example);
    EXPECT(1, "", want, RUN(run, "-replica", "s3://b/a", "--", "true"));
    (void)snprintf(want, sizeof(want), "Error: -sync-interval needs -db\n%s", example);
    EXPECT(1, "", want, RUN(run, "-sync-interval", "1s", "--", "true"));
    (void)snprintf(want, sizeof(want), "Error: -db needs at least one -replica\n%s", example);
    EXPECT(1, "", want, RUN(run, "-db", "/a.db", "--", "true"));
    EXPECT(1, "", "Error: cannot specify -db and the -config flag\n",
        RUN(run, "-config", "x", "-db", "/a.db", "-replica", "s3://b/a", "--", "true"));
    EXPECT(1, "",
        "Error: the configuration has a command of its own, exec, beside the one after --\n",
        RUN(run, "-config", c, "--", "true"));
    EXPECT(1, "", "Error: no databases specified in configuration\n",
        RUN(run, "-config", write_config("addr: ':0'\n"), "--", "true"));
}

static void test_run(void **state)
{
    const char *c = write_config("logging: {stderr: false}\nshutdown-sync-timeout: 5s\n"
                                 "dbs: [{path: /n/a.db, replica: {url: 's3://b/a'}}]\n");
    static const int none[] = {WEIR_NOTFOUND, -1};

    (void)state;
    fake.replica.state = "ready";
    fake.restore = none;
    /* All that comes after -- is the command's, and standard output is its own. */
    EXPECT(4, "-h -- -db\n", err,
        RUN(run, "-db", "/n/a.db", "-replica", "s3://b/a", "-replica", "file:///r", "--", "sh",
            "-c", "echo $1 $2 $3; exit 4", "sh", "-h", "--", "-db"));
    assert_string_equal(fake.calls,
        "open list(s3://b/a,-1) list(file:///r,-1) restore(s3://b/a,/n/a.db) "
        "restore(file:///r,/n/a.db) add(/n/a.db) replica(s3://b/a,sync-interval=1s) "
        "replica(file:///r,sync-interval=1s) close(30000)");
    T(strstr(err, " level=INFO msg=weir version=1.2.3"));
    T(RUN(run, "-config", c, "--", "true") == 0);
    T(!out[0] && strstr(fake.calls, "close(5000)"));
    T(RUN(run, "-config", c, "-shutdown-sync-timeout", "2s", "--", "sh", "-c", "kill -9 $$") ==
        137);
    T(strstr(fake.calls, "close(2000)"));
    T(RUN(run, "-config", c, "--", "no-such-program-anywhere") == 127);
    T(strstr(err, "Error: cannot start exec command: no-such-program-anywhere: "));
    T(RUN(run, "-config", c, "--", "/") == 126);
    fake.close = WEIR_IO; /* the command's code is the one */
    T(RUN(run, "-config", c, "--", "sh", "-c", "exit 3") == 3);
    T(RUN(run, "-config", c, "--", "true") == 8);
}

static enum wr_status sweep_databases(void *arg)
{
    int code = run(&wr_command_databases, arg);

    T(code == 0 || (code == 1 && strncmp(err, "Error: ", 7) == 0));
    return code == 0 ? WR_OK : WR_NOMEM;
}

static enum wr_status sweep_plan(void *arg)
{
    int code = run(&wr_command_restore, arg);

    T(code == 0 || (code == 1 && strncmp(err, "Error: ", 7) == 0));
    return code == 0 ? WR_OK : WR_NOMEM;
}

static enum wr_status sweep_retention(void *arg)
{
    int code = run(&wr_command_retention, arg);

    T(code == 0 || (code == 1 && strncmp(err, "Error: ", 7) == 0));
    return code == 0 ? WR_OK : WR_NOMEM;
}

static void test_nomem(void **state)
{
    const char *databases[] = {"-config", NULL, NULL};
    const char *retention[] = {"-all", "-keep", "1", "s3://b/a", NULL};
    const char *plan[] = {"-dry-run", "-o", "/x.db", "s3://b/a", NULL};

    (void)state;
    databases[1] = write_config("dbs:\n- path: /var/lib/app.db\n  replicas:\n"
                                "  - url: s3://b/app\n  - path: /r\n");
    t_sweep_nomem(sweep_databases, databases);
    fake.files = files;
    fake.nfiles = 2;
    t_sweep_nomem(sweep_plan, plan);
    fake.files = judged;
    t_sweep_nomem(sweep_retention, retention);
}

#define C_TEST(f) cmocka_unit_test_setup(f, set_up)
T_MAIN(C_TEST(test_version), C_TEST(test_help), C_TEST(test_commands_of_old),
    T_TEST(test_flags_of_old), C_TEST(test_bad_flag), C_TEST(test_databases),
    C_TEST(test_a_name_that_json_has_no_word_for), C_TEST(test_storage_that_is_not_supported),
    C_TEST(test_directory), C_TEST(test_config_warning), C_TEST(test_ltx), C_TEST(test_ltx_errors),
    C_TEST(test_points), C_TEST(test_points_json), C_TEST(test_points_that_are_not_all),
    C_TEST(test_points_of_each_replica), C_TEST(test_points_usage), C_TEST(test_follow),
    C_TEST(test_promote), C_TEST(test_promote_and_replicate), C_TEST(test_promote_fails),
    C_TEST(test_retention), C_TEST(test_retention_json), C_TEST(test_retention_errors),
    C_TEST(test_verify), C_TEST(test_verify_findings), C_TEST(test_verify_deep),
    C_TEST(test_verify_replicas), C_TEST(test_restore_json), C_TEST(test_restore_text),
    C_TEST(test_a_path_that_json_cannot_hold_was_restored), C_TEST(test_restore_plan),
    C_TEST(test_restore_usage), C_TEST(test_restore_output), C_TEST(test_restore_exit_codes),
    C_TEST(test_restore_from_config), C_TEST(test_the_first_replica_was_taken_however_old),
    C_TEST(test_the_first_replica_was_taken_for_a_time), C_TEST(test_any_replicas_failures),
    C_TEST(test_an_empty_replica_hid_the_failure_of_another), C_TEST(test_replicate_usage),
    C_TEST(test_replicate), C_TEST(test_replicate_config_logging),
    C_TEST(test_replicate_warns_that_nothing_is_deleted),
    C_TEST(test_replicate_once_fails_behind_the_sync), C_TEST(test_replicate_exit_codes),
    C_TEST(test_run_usage), C_TEST(test_run), C_TEST(test_nomem))
