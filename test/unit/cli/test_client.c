/*
 * The commands that talk to a daemon, over a server that answers as scripted: what they ask, what
 * they print, exit codes, and servers that do not behave.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "cli/talk.h"
#include "unit/cli/run_command.h"
#include "unit/cli/scripted_server.h"

#include <sys/stat.h>

#define HUNG (-1)

static int set_up(void **state)
{
    (void)state;
    dir = t_tmpdir();
    server_start(t_path(dir, "s"));
    return unsetenv("LITESTREAM_CONFIG") || setenv("http_proxy", "http://127.0.0.1:1", 1);
}

static int tear_down(void **state)
{
    (void)state;
    server_stop();
    return 0;
}

/* Run with the server's socket. */
#define ASK(cmd, ...) RUN(cmd, "-socket", server.path, __VA_ARGS__)

/* Each %s of the text is the socket's path. */
static const char *with_path(const char *fmt)
{
    static struct wr_buf b;

    wr_buf_clear(&b);
    b.max = 8192;
    for (; *fmt; fmt++) {
        if (fmt[0] == '%' && fmt[1] == 's') {
            wr_buf_z(&b, server.path);
            fmt++;
        } else {
            wr_buf_byte(&b, (uint8_t)*fmt);
        }
    }
    T(wr_buf_status(&b) == WR_OK);
    return (const char *)b.p;
}

static bool starts(const char *text, const char *with)
{
    return wr_str_starts(wr_str(text), wr_str(with));
}

/* The first line of the last request, and its body. */
static void asked(const char *line, const char *body)
{
    const char *end = strstr(server.request, "\r\n");

    T(end);
    T((size_t)(end - server.request) == strlen(line) &&
        memcmp(server.request, line, strlen(line)) == 0);
    end = strstr(server.request, "\r\n\r\n");
    T(end);
    assert_string_equal(end + 4, body);
}

static void test_list(void **state)
{
    (void)state;
    server.body = "{\"databases\":[]}\n";
    EXPECT(0, "No databases configured\n", "", ASK(list, "-timeout", "5"));
    asked("GET /list HTTP/1.1", "");

    server.body =
        "{\"databases\":[{\"path\":\"/p/app.db\",\"status\":\"replicating\",\"last_sync_at\":"
        "\"2026-04-24T12:00:00.123456Z\"},{\"path\":\"/p/b.db\",\"status\":\"open\"}]}\n";
    EXPECT(0,
        "/p/app.db [replicating] (last sync: 2026-04-24T12:00:00Z)\n"
        "/p/b.db [open] (last sync: never)\n",
        "", ASK(list, "-timeout", "5"));

    server.body =
        "{\"databases\":[{\"path\":\"/p/app.db\",\"status\":\"open\",\"txid\":42,\"error\":"
        "\"disk\",\"replicas\":[{\"url\":\"s3://b/a\",\"txid\":42,\"lag_seconds\":0},"
        "{\"url\":\"file:///r\",\"txid\":40,\"lag_seconds\":75.25,\"error\":\"refused\"}]}]}\n";
    EXPECT(0,
        "/p/app.db [open] (last sync: never)\n"
        "  error: disk\n"
        "  s3://b/a: has all, txid 42\n"
        "  file:///r: txid 40 of 42, lag 1m15s, error: refused\n",
        "", ASK(list, "-timeout", "5"));
    EXPECT(0,
        "{\n  \"databases\": [\n    {\n      \"path\": \"/p/app.db\",\n      \"status\": "
        "\"open\",\n"
        "      \"txid\": 42,\n      \"error\": \"disk\",\n      \"replicas\": [\n        {\n"
        "          \"url\": \"s3://b/a\",\n          \"txid\": 42,\n"
        "          \"lag_seconds\": 0\n        },\n        {\n          \"url\": \"file:///r\",\n"
        "          \"txid\": 40,\n          \"lag_seconds\": 75.25,\n"
        "          \"error\": \"refused\"\n        }\n      ]\n    }\n  ]\n}\n",
        "", ASK(list, "-json"));
}

static void test_a_refused_configuration_is_a_warning(void **state)
{
    static const char warning[] = "Warning: the daemon refused the configuration at "
                                  "2026-04-24T12:00:00Z and goes on with the one before: c.yml:3: "
                                  "unknown key\n";

    (void)state;
    server.body =
        "{\"databases\":[],\"reload_refused\":{\"at\":\"2026-04-24T12:00:00.5Z\",\"error\":"
        "\"c.yml:3: unknown key\"}}\n";
    EXPECT(0, "No databases configured\n", warning, ASK(list, "-timeout", "5"));
    server.body = "{\"version\":\"1\",\"started_at\":\"x\",\"reload_refused\":{\"at\":"
                  "\"2026-04-24T12:00:00.5Z\",\"error\":\"c.yml:3: unknown key\"}}\n";
    EXPECT(0, "weir 1\n  PID:        0\n  Uptime:     0s\n  Started at: x\n  Databases:  0\n",
        warning, ASK(info, "-timeout", "5"));
    server.body = "{\"databases\":[],\"reload_refused\":{}}\n"; /* of somebody who says little */
    EXPECT(0, "No databases configured\n",
        "Warning: the daemon refused the configuration at ? and goes on with the one before: ?\n",
        ASK(list, "-timeout", "5"));
}

static void test_list_of_nonsense(void **state)
{
    (void)state;
    EXPECT(1, "", "Error: list failed: the answer has no list of databases\n",
        ASK(list, "-timeout=5"));
    server.body = "{\"databases\":[7,{},{\"path\":1,\"last_sync_at\":\"x\",\"replicas\":[{},1]}]}";
    EXPECT(0,
        "? [?] (last sync: never)\n? [?] (last sync: never)\n? [?] (last sync: x)\n"
        "  ?: txid 0 of 0, lag 0s\n  ?: txid 0 of 0, lag 0s\n",
        "", ASK(list, "-timeout=5"));
}

static void test_info(void **state)
{
    (void)state;
    server.body = "{\"version\":\"0.5.17\",\"pid\":12345,\"uptime_seconds\":300,\"started_at\":"
                  "\"2026-04-24T14:00:00.5+02:00\",\"database_count\":2}\n";
    EXPECT(0,
        "weir 0.5.17\n  PID:        12345\n  Uptime:     5m0s\n"
        "  Started at: 2026-04-24T12:00:00Z\n  Databases:  2\n",
        "", ASK(info, "-timeout", "5"));
    asked("GET /info HTTP/1.1", "");
    EXPECT(0,
        "{\n  \"version\": \"0.5.17\",\n  \"pid\": 12345,\n  \"uptime_seconds\": 300,\n"
        "  \"started_at\": \"2026-04-24T14:00:00.5+02:00\",\n  \"database_count\": 2\n}\n",
        "", ASK(info, "-json"));
    server.body = "{\"pid\":1}";
    EXPECT(1, "", "Error: info failed: the answer has no version, or no started_at\n",
        ASK(info, "-timeout", "5"));
    EXPECT(1, "", "Error: too many arguments\n", ASK(info, "x"));
}

static void test_start_and_stop(void **state)
{
    (void)state;
    server.body = "{\"status\":\"started\",\"path\":\"/p/app.db\",\"txid\":42}\n";
    EXPECT(0,
        with_path("status: started\ndb_path: /p/app.db\nstate: running\ntxid: 42\nsocket: %s\n"),
        "", ASK(start, "/p/app.db"));
    asked("POST /start HTTP/1.1", "{\"path\":\"/p/app.db\",\"timeout\":30}");
    EXPECT(0,
        with_path("{\n  \"status\": \"started\",\n  \"db_path\": \"/p/app.db\",\n"
                  "  \"state\": \"running\",\n  \"txid\": 42,\n  \"socket\": \"%s\"\n}\n"),
        "", ASK(start, "-json", "-timeout", "0", "/p/app.db"));
    asked("POST /start HTTP/1.1", "{\"path\":\"/p/app.db\"}");

    server.body = "{\"status\":\"stopped\",\"path\":\"/p/app.db\",\"txid\":42}\n";
    EXPECT(0,
        with_path("status: stopped\ndb_path: /p/app.db\nstate: stopped\ntxid: 42\nsocket: %s\n"),
        "", ASK(stop, "-timeout", "1m30s", "/p/x/../app.db"));
    asked("POST /stop HTTP/1.1", "{\"path\":\"/p/app.db\",\"timeout\":90}");

    server.code = 500;
    server.body = "{\"error\":\"database not found: /p/app.db\"}\n";
    EXPECT(1, "", "Error: stop failed: database not found: /p/app.db\n", ASK(stop, "/p/app.db"));
    EXPECT(1, "", "Error: start failed: database not found: /p/app.db\n", ASK(start, "/p/app.db"));
}

static void test_sync(void **state)
{
    (void)state;
    server.body =
        "{\"status\":\"synced\",\"path\":\"/p/app.db\",\"txid\":42,\"replicated_txid\":41}\n";
    T(ASK(sync, "/p/app.db") == 0 && !err[0]);
    T(starts(out, "db_path: /p/app.db\ntxid: 42\nduration_ms: ") && !strstr(out, "repl"));
    asked("POST /sync HTTP/1.1", "{\"path\":\"/p/app.db\",\"timeout\":30}");
    T(ASK(sync, "-wait", "-timeout", "1500ms", "sqlite:///p/app.db") == 0 && !err[0]);
    T(starts(out, "db_path: /p/app.db\ntxid: 42\nreplica_txid: 41\nduration_ms: "));
    asked("POST /sync HTTP/1.1", "{\"path\":\"/p/app.db\",\"wait\":true,\"timeout\":1.5}");
    T(ASK(sync, "-wait", "-json", "/p/app.db") == 0 && !err[0]);
    T(starts(out, "{\n  \"db_path\": \"/p/app.db\",\n  \"txid\": 42,\n  \"replica_txid\": 41,\n"
                  "  \"duration_ms\": "));

    server.body = "{\"status\":\"synced\",\"path\":\"/p/app.db\",\"txid\":42,"
                  "\"replicated_txid\":42,\"snapshot_txid\":40}\n";
    T(ASK(sync, "-snapshot", "/p/app.db") == 0 && !err[0]);
    T(starts(out, "db_path: /p/app.db\ntxid: 42\nsnapshot_txid: 40\nduration_ms: "));
    asked("POST /sync HTTP/1.1", "{\"path\":\"/p/app.db\",\"snapshot\":true,\"timeout\":30}");

    server.code = 504;
    server.body = "{\"error\":\"sync database: deadline exceeded\"}";
    EXPECT(8, "", "Error: sync failed: sync database: deadline exceeded\n",
        ASK(sync, "-wait", "/p/app.db"));
    EXPECT(8, "", "Error: sync failed: sync database: deadline exceeded\n",
        ASK(sync, "-snapshot", "/p/app.db"));
    EXPECT(1, "", "Error: sync failed: sync database: deadline exceeded\n", ASK(sync, "/p/app.db"));
    server.code = 409;
    server.body = "{\"error\":\"database not open: /p/app.db\"}";
    EXPECT(1, "", "Error: sync failed: database not open: /p/app.db\n",
        ASK(sync, "-wait", "/p/app.db"));
}

/* "The answer has no snapshot_txid that can be printed": of a daemon that had been started before
 * its program was replaced by one that knows of it. */
static void test_an_older_daemon_did_not_say_what_it_is(void **state)
{
    (void)state;
    server.body = "{\"status\":\"synced\",\"path\":\"/p/app.db\",\"txid\":42,"
                  "\"replicated_txid\":42,\"version\":\"0.5.17\",\"pid\":12345}\n";
    EXPECT(1, "",
        with_path("Error: sync failed: the daemon on %s (version 0.5.17, process 12345) does not "
                  "know -snapshot, and did only the rest of what was asked: restart it with this "
                  "version, " WEIR_VERSION "\n"),
        ASK(sync, "-snapshot", "/p/app.db"));
    T(starts(server.request, "GET /info HTTP/1.1"));
    server.body = "{\"status\":\"registered\",\"path\":\"/p/app.db\"}\n";
    EXPECT(1, "",
        with_path("Error: register failed: the daemon on %s does not know -persist, and did only "
                  "the rest of what was asked: restart it with this version, " WEIR_VERSION "\n"),
        ASK(register, "-persist", "-replica", "s3://b/a", "/p/app.db"));
    server.body = "{\"path\":\"/p/app.db\",\"txid\":42,\"snapshot_txid\":null}\n";
    EXPECT(1, "", "Error: sync failed: the answer has no snapshot_txid that can be printed\n",
        ASK(sync, "-snapshot", "/p/app.db"));
}

static void test_wait(void **state)
{
    (void)state;
    server.body =
        "{\"status\":\"reached\",\"path\":\"/p/app.db\",\"txid\":42,\"replicated_txid\":43}\n";
    T(ASK(wait, "-txid", "42", "/p/app.db") == 0 && !err[0]);
    T(starts(out, "db_path: /p/app.db\ntxid: 42\nreplica_txid: 43\nduration_ms: "));
    asked("POST /wait HTTP/1.1", "{\"path\":\"/p/app.db\",\"txid\":42,\"timeout\":30}");
    T(ASK(wait, "-txid", "000000000000002a", "/p/app.db") == 0);
    asked("POST /wait HTTP/1.1", "{\"path\":\"/p/app.db\",\"txid\":42,\"timeout\":30}");
    T(ASK(wait, "-json", "/p/app.db") == 0 && strstr(out, "\"replica_txid\": 43"));
    asked("POST /wait HTTP/1.1", "{\"path\":\"/p/app.db\",\"timeout\":30}");
    server.code = 504;
    server.body = "{\"error\":\"sync database: deadline exceeded\"}";
    EXPECT(8, "", "Error: wait failed: sync database: deadline exceeded\n", ASK(wait, "/p/app.db"));
    EXPECT(1, "",
        "Error: invalid value \"0\" for flag -txid: a TXID is a number from 1, or 16 hex digits\n"
        "Try: weir wait -h\n",
        ASK(wait, "-txid", "0", "/p/app.db"));
}

static void test_register(void **state)
{
    (void)state;
    server.body = "{\"status\":\"registered\",\"path\":\"/p/app.db\"}\n";
    EXPECT(0, with_path("status: registered\ndb_path: /p/app.db\nreplica: s3://b/a\nsocket: %s\n"),
        "", ASK(register, "-replica", "s3://b/a", "/p/app.db"));
    asked("POST /register HTTP/1.1",
        "{\"path\":\"/p/app.db\",\"replica_url\":\"s3://b/a\",\"timeout\":30}");
    server.body = "{\"status\":\"already_registered\",\"path\":\"/p/app.db\"}\n";
    EXPECT(0,
        with_path(
            "status: already registered\ndb_path: /p/app.db\nreplica: s3://b/a\nsocket: %s\n"),
        "", ASK(register, "-replica", "s3://b/a", "/p/app.db"));
    T(ASK(register, "-json", "-replica", "s3://b/a", "/p/app.db") == 0);
    T(strstr(out, "\"status\": \"already_registered\",\n  \"db_path\": \"/p/app.db\",\n"
                  "  \"replica\": \"s3://b/a\",\n  \"socket\": "));
    EXPECT(1, "",
        "Error: database path required\nTry: weir register -replica s3://bucket/prefix "
        "/path/to/db\n",
        ASK(register, "-json"));
    EXPECT(1, "",
        "Error: -replica is required\nTry: weir register -replica s3://bucket/prefix /path/to/db\n",
        ASK(register, "/p/app.db"));
    server.code = 400;
    server.body = "{\"error\":\"invalid request body\",\"details\":\"at 1:2\"}";
    EXPECT(1, "", "Error: register failed: invalid request body (at 1:2)\n",
        ASK(register, "-replica", "x", "/p/app.db"));
}

/* A secret in a URL that was given is not printed again. */
static void test_register_hides_secrets(void **state)
{
    (void)state;
    server.body = "{\"status\":\"registered\",\"path\":\"/p/app.db\"}\n";
    T(ASK(register, "-replica", "s3://b/a?secret-access-key=hush", "/p/app.db") == 0);
    T(!strstr(out, "hush") && strstr(out, "replica: s3://b/a?secret-access-key="));
    T(strstr(server.request, "hush"));
}

static void test_unregister(void **state)
{
    (void)state;
    server.body = "{\"status\":\"unregistered\",\"path\":\"/p/app.db\",\"txid\":42}\n";
    EXPECT(0, with_path("status: unregistered\ndb_path: /p/app.db\nfinal_txid: 42\nsocket: %s\n"),
        "", ASK(unregister, "/p/app.db"));
    asked("POST /unregister HTTP/1.1", "{\"path\":\"/p/app.db\",\"timeout\":30}");
    server.body = "{\"status\":\"already_unregistered\",\"path\":\"/p/app.db\",\"txid\":0}\n";
    EXPECT(0,
        with_path("{\n  \"status\": \"already_unregistered\",\n  \"db_path\": \"/p/app.db\",\n"
                  "  \"final_txid\": 0,\n  \"socket\": \"%s\"\n}\n"),
        "", ASK(unregister, "-json", "/p/app.db"));

    atomic_store(&server.asked, 0);
    EXPECT(0,
        with_path("Dry run: unregister request preview\n  database: /p/app.db\n  socket: %s\n"
                  "  replicas: daemon-managed replica for this database\n"
                  "  final sync: yes, before it is forgotten\n  timeout: 30s\n"
                  "No unregister request was sent.\n"),
        "", ASK(unregister, "-dry-run", "/p/app.db"));
    EXPECT(0,
        with_path("{\n  \"status\": \"dry_run\",\n  \"db_path\": \"/p/app.db\",\n"
                  "  \"socket\": \"%s\",\n  \"timeout_seconds\": 1.5\n}\n"),
        "", ASK(unregister, "-dry-run", "-json", "-timeout", "1.5s", "/p/app.db"));
    T(atomic_load(&server.asked) == 0);
}

static void test_reload(void **state)
{
    (void)state;
    server.body =
        "{\"status\":\"reloaded\",\"databases\":3,\"added\":[\"/c\",\"/d\"],\"removed\":[\"/a\"],"
        "\"changed\":[\"/b\"],\"failed\":[],\"needs_restart\":[\"addr\"],"
        "\"warnings\":[\"c.yml:1:1: foreign\"],\"more\":2}\n";
    EXPECT(0,
        "reloaded: 3 databases\n  removed   /a\n  changed   /b\n  added     /c\n  added     /d\n"
        "  and 2 more\n  restart   addr\n",
        "Warning: c.yml:1:1: foreign\n", ASK(reload, "-timeout", "90s"));
    asked("POST /reload HTTP/1.1", "{\"timeout\":90.0}");
    T(ASK(reload, "-json") == 0);
    T(strstr(out, "\"needs_restart\": [\n    \"addr\"\n  ]"));

    server.body =
        "{\"status\":\"reloaded\",\"databases\":1,\"added\":[],\"removed\":[],\"changed\":[],"
        "\"failed\":[],\"needs_restart\":[],\"warnings\":[]}\n";
    EXPECT(0, "reloaded: 1 database, none has changed\n", "", ASK(reload, "-timeout", "30"));
    server.body =
        "{\"status\":\"reloaded\",\"databases\":0,\"added\":[],\"removed\":[],\"changed\":[],"
        "\"failed\":[{\"path\":\"/e\",\"error\":\"no bucket\"}],\"needs_restart\":[],"
        "\"warnings\":[]}\n";
    EXPECT(1, "reloaded: 0 databases\n  failed    /e: no bucket\n", "Error: 1 database failed\n",
        ASK(reload, "-timeout", "30"));

    server.body =
        "{\"status\":\"reloaded\",\"databases\":0,\"added\":[],\"removed\":[],\"changed\":[],"
        "\"failed\":[{\"path\":\"serve\",\"error\":\"taken\"}],\"needs_restart\":[],"
        "\"warnings\":[]}\n";
    EXPECT(1, "reloaded: 0 databases\n  failed    serve: taken\n", "Error: serve failed\n",
        ASK(reload, "-timeout", "30"));
    server.body =
        "{\"status\":\"reloaded\",\"databases\":0,\"added\":[],\"removed\":[],\"changed\":[],"
        "\"failed\":[{\"path\":\"/e\",\"error\":\"no\"},{\"path\":\"serve\",\"error\":\"taken\"}],"
        "\"needs_restart\":[],\"warnings\":[]}\n";
    EXPECT(1, "reloaded: 0 databases\n  failed    /e: no\n  failed    serve: taken\n",
        "Error: 1 database failed, and serve\n", ASK(reload, "-timeout", "30"));

    server.body = "{\"status\":\"reloaded\"}\n";
    EXPECT(1, "", "Error: reload failed: the answer does not say what has changed\n",
        ASK(reload, "-timeout", "30"));
    server.code = 409;
    server.body = "{\"error\":\"the configuration was refused, nothing has "
                  "changed\",\"details\":\"c.yml:3\"}";
    EXPECT(1, "",
        "Error: reload failed: the configuration was refused, nothing has changed (c.yml:3)\n",
        ASK(reload, "-timeout", "30"));
    T(ASK(reload, "/p/app.db") == 1 && strstr(err, "too many arguments"));
    T(ASK(reload, "-timeout", "0") == 1 && strstr(err, "timeout must be greater than 0"));
}

static void test_usage(void **state)
{
    static const struct wr_command *const timed[] = {&wr_command_list, &wr_command_info,
        &wr_command_sync, &wr_command_wait, &wr_command_register, &wr_command_unregister};
    static const struct wr_command *const paths[] = {&wr_command_start, &wr_command_stop,
        &wr_command_sync, &wr_command_wait, &wr_command_unregister};
    char text[128];

    (void)state;
    for (size_t i = 0; i < wr_countof(timed); i++)
        for (size_t j = 0; j < 2; j++) {
            const char *const zero[] = {"-timeout", "0", "-replica=x", "/a", NULL};
            const char *const minus[] = {"-timeout", "-1s", "/a", NULL};
            bool look = i < 2, registers = timed[i] == &wr_command_register;
            const char *const plain[] = {"-timeout", "0", look ? NULL : "/a", NULL};

            if (j && registers)
                continue;
            EXPECT(1, "", "Error: timeout must be greater than 0\n",
                run(timed[i], registers    ? zero
                              : j && !look ? minus
                                           : plain));
        }
    for (size_t i = 0; i < wr_countof(paths); i++) {
        (void)snprintf(text, sizeof(text),
            "Error: database path required\nTry: weir %s /path/to/db\n", paths[i]->name);
        EXPECT(1, "", text, run(paths[i], (const char *const[]){NULL}));
        EXPECT(1, "", "Error: too many arguments\n",
            run(paths[i], (const char *const[]){"a", "b", NULL}));
    }
    EXPECT(1, "",
        "Error: invalid value \"soon\" for flag -timeout: must be a number of seconds, or a "
        "duration such as 1m30s\nTry: weir list -h\n",
        RUN(list, "-timeout", "soon"));
    T(atomic_load(&server.asked) == 0);
}

static void test_socket_of_the_configuration(void **state)
{
    const char *config = t_path(dir, "c.yml");
    char text[512];

    (void)state;
    (void)snprintf(text, sizeof(text),
        "socket: {enabled: true, path: %s}\ndbs: [{path: /a.db, replica: {url: 'file:///r'}}]\n",
        server.path);
    t_spew(config, text, strlen(text));
    server.body = "{\"databases\":[]}\n";
    EXPECT(0, "No databases configured\n", "", RUN(list, "-config", config));
    /* -socket wins, and then no file is read. */
    EXPECT(0, "No databases configured\n", "",
        RUN(list, "-config", "/nowhere", "-socket", server.path));
    EXPECT(1, "", "Error: config file not found: /nowhere\n", RUN(list, "-config", "/nowhere"));
    EXPECT(1, "", "Error: config file not found: /nowhere\n",
        RUN(sync, "-config", "/nowhere", "/a.db"));
}

static void test_nobody_there(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char want[512], name[200];
    const char *path = t_path(dir, "t");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)state;
    (void)snprintf(want, sizeof(want),
        "Error: failed to connect to control socket: %s: No such file or directory (is weir "
        "replicate running with socket.enabled: true? -socket or -config says where its socket "
        "is)\n",
        path);
    EXPECT(1, "", want, RUN(list, "-socket", path));
    EXPECT(1, "", want, RUN(wait, "-socket", path, "/a.db"));

    memcpy(a.sun_path, path, strlen(path) + 1); /* what a daemon that was killed leaves */
    T(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && close(fd) == 0);
    T(RUN(list, "-socket", path) == 1 && strstr(err, "Connection refused (is weir"));

    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    (void)snprintf(
        want, sizeof(want), "Error: the socket's path is longer than 107 bytes: %s\n", name);
    EXPECT(1, "", want, RUN(list, "-socket", name));
}

static void test_not_allowed(void **state)
{
    const struct wr_client_request q = {
        .socket = server.path, .target = "/list", .verb = "list", .timeout_ms = 5000};
    bool root = geteuid() == 0;
    struct wr_err e = {0};
    json_t *answer;
    enum wr_status st;

    (void)state;
    T(chmod(server.path, 0) == 0);
    if (root && seteuid(65534) != 0)
        skip(); /* root may connect to everything, and this one cannot be anybody else */
    st = wr_client_ask(&q, &answer, &e);
    T(!root || seteuid(0) == 0);
    T_IS(WR_AUTH, st);
    T(strstr(e.text, "Permission denied (run this as the user"));
}

/* What other programs on that path may say. */
static void test_malformed(void **state)
{
    static const struct {
        const char *raw, *error;
    } cases[] = {
        {"", "info failed: the connection to %s broke before the answer was complete; has the "
             "daemon "
             "ended?"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"version\"",
            "info failed: the connection to %s broke before the answer was complete; has the "
            "daemon "
            "ended?"},
        {"SSH-2.0-OpenSSH_9.2\r\n",
            "info failed: what answers on %s does not speak as weir replicate does: "},
        {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
            "info failed: the answer on %s is not a JSON object; does something else listen "
            "there?"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "info failed: the answer on %s is not a JSON object; does something else listen "
            "there?"},
        {"HTTP/1.1 200 OK\r\n\r\n{\"a\":", "info failed: the answer on %s is not a JSON object; "
                                           "does something else listen there?"},
        {"HTTP/1.1 200 OK\r\n\r\n{\"a\":1} {}", "info failed: the answer on %s is not a JSON "
                                                "object; does something else listen there?"},
        {"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\n404 page\tnot found\n",
            "info failed: 404 page not found (HTTP status 404 on %s)"},
        {"HTTP/1.1 500 X\r\n\r\n", "info failed: without a reason (HTTP status 500 on %s)"},
        {"HTTP/1.1 500 X\r\n\r\n{\"error\":7}",
            "info failed: {\"error\":7} (HTTP status 500 on %s)"},
        {"HTTP/1.1 302 Found\r\nLocation: http://localhost/info\r\nContent-Length: 0\r\n\r\n",
            "info failed: without a reason (HTTP status 302 on %s)"},
        {"HTTP/1.1 204 No Content\r\n\r\n",
            "info failed: without a reason (HTTP status 204 on %s)"},
    };

    (void)state;
    server.code = 0;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        char want[1024];

        server.raw = cases[i].raw;
        (void)snprintf(want, sizeof(want), "Error: %s", with_path(cases[i].error));
        T(ASK(info, "-timeout", "5") == 1 && !out[0]);
        err[strlen(want)] = '\0'; /* libcurl's own words may follow */
        assert_string_equal(err, want);
    }
}

static void test_answers_that_lack_something(void **state)
{
    (void)state;
    EXPECT(1, "", "Error: start failed: the answer has no status that can be printed\n",
        ASK(start, "/p/app.db"));
    server.body = "{\"path\":[],\"txid\":1}";
    EXPECT(1, "", "Error: sync failed: the answer has no path that can be printed\n",
        ASK(sync, "/p/app.db"));
    server.body = "{\"path\":\"/p\",\"txid\":1}";
    EXPECT(1, "", "Error: sync failed: the answer has no replicated_txid that can be printed\n",
        ASK(sync, "-wait", "-json", "/p/app.db"));
}

static void test_huge(void **state)
{
    const char *want;

    (void)state;
    want =
        with_path("Error: info failed: the answer on %s is too large; does something else listen "
                  "there?\n");
    server.flood = 100 << 20;
    EXPECT(1, "", want, ASK(info, "-timeout", "20"));
    server.code = 0; /* the head alone */
    server.raw = "HTTP/1.1 200 OK\r\n";
    EXPECT(1, "", want, ASK(info, "-timeout", "20"));
}

static void test_slow(void **state)
{
    const char *want;
    int64_t start_ms;

    (void)state;
    want =
        with_path("Error: info failed: no answer on %s within 0.2 seconds; what was asked for may "
                  "still be done (-timeout gives it longer)\n");
    server.code = 0; /* nothing at all */
    start_ms = wr_mono_ms(wr_clock_system());
    EXPECT(1, "", want, ASK(info, "-timeout", "200ms"));
    server.code = 200; /* a byte now and then */
    server.drip_ms = 20;
    EXPECT(1, "", want, ASK(info, "-timeout", "200ms"));
    T(wr_mono_ms(wr_clock_system()) - start_ms < 10000);
}

static enum wr_status sweep_sync(void *arg)
{
    if (run(&wr_command_sync, arg) == 0)
        return WR_OK;
    T(strstr(err, "memory"));
    return WR_NOMEM;
}

static void test_nomem(void **state)
{
    const char *sync[] = {"-socket", server.path, "-wait", "/p/app.db", NULL};

    (void)state;
    server.body = "{\"path\":\"/p/app.db\",\"txid\":42,\"replicated_txid\":42}";
    t_sweep_nomem(sweep_sync, sync);
}

static void test_not_utf8(void **state)
{
    (void)state;
    EXPECT(1, "", "Error: cannot ask: the path or the URL is not UTF-8\n", ASK(sync, "/p/\xff"));
    EXPECT(1, "", "Error: cannot ask: the path or the URL is not UTF-8\n",
        ASK(register, "-replica", "s3://\xff", "/p"));
    EXPECT(1, "", "Error: cannot print as JSON\n", ASK(unregister, "-dry-run", "-json", "/p/\xff"));
    T(atomic_load(&server.asked) == 0);
}

static void test_spans(void **state)
{
    static const struct {
        double s;
        const char *text;
    } cases[] = {{0, "0s"}, {-1, "0s"}, {0.04, "0s"}, {0.06, "0.1s"}, {9.94, "9.9s"}, {9.96, "10s"},
        {3, "3s"}, {59.4, "59s"}, {60, "1m0s"}, {300, "5m0s"}, {3600, "1h0m0s"}, {90061, "25h1m1s"},
        {1e300, "277777777h46m40s"}};
    char text[WR_SPAN_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        wr_span_text(text, cases[i].s);
        assert_string_equal(text, cases[i].text);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

T_MAIN(TEST(test_list), TEST(test_a_refused_configuration_is_a_warning),
    TEST(test_list_of_nonsense), TEST(test_info), TEST(test_start_and_stop), TEST(test_sync),
    TEST(test_an_older_daemon_did_not_say_what_it_is), TEST(test_wait), TEST(test_register),
    TEST(test_register_hides_secrets), TEST(test_unregister), TEST(test_reload), TEST(test_usage),
    TEST(test_socket_of_the_configuration), TEST(test_nobody_there), TEST(test_not_allowed),
    TEST(test_malformed), TEST(test_answers_that_lack_something), TEST(test_huge), TEST(test_slow),
    TEST(test_not_utf8), TEST(test_nomem), T_TEST(test_spans))
