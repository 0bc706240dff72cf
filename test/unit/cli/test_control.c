/*
 * The control socket over a library that answers as scripted: each endpoint, each status code, and
 * clients that do not behave.
 */
#include "base/sync.h"
#include "daemon/control.h"
#include "harness/t.h"
#include "unit/cli/fake_weir.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <jansson.h>

static struct wr_logger logger;
static struct wr_fleet *fleet;
static struct wr_control *control;
static struct wr_control_for what;
static struct wr_reloading reloading;
static struct wr_config_socket where;
static int null_fd;

/* What a reload comes to; NULL: it does not come to it. */
static void (*reload_ends)(struct wr_outcome *o);

/* On the thread that asks. */
static void reload_at_once(void *arg)
{
    struct wr_outcome *o = wr_outcome_new();

    (void)arg;
    T(o != NULL);
    if (!reload_ends) {
        wr_outcome_free(o);
        return;
    }
    wr_reloading_begin(&reloading);
    reload_ends(o);
    wr_reloading_end(&reloading, o);
}

static int set_up(void **state)
{
    struct wr_err e = {0};

    (void)state;
    memset(&fake, 0, sizeof(fake));
    fake.db.struct_size = sizeof(fake.db);
    fake.db.state = "syncing";
    fake.replica.struct_size = sizeof(fake.replica);
    fake.replica.url = "file:///r";
    ndbs = 0;
    null_fd = open("/dev/null", O_WRONLY);
    wr_logger_init(&logger, null_fd, WR_LOG_FORMAT_JSON, WEIR_LOG_DEBUG);
    fleet = wr_fleet_new(&the_runtime, &logger);
    wr_reloading_init(&reloading, reload_at_once, NULL);
    what = (struct wr_control_for){.fleet = fleet, .reloading = &reloading};
    where = (struct wr_config_socket){
        .enabled = true, .path = t_path(t_tmpdir(), "s"), .permissions = 0600};
    T_OK(wr_control_new(&where, &what, &logger, &control, &e));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wr_fleet_cancel(fleet);
    wr_control_free(control);
    wr_fleet_free(fleet);
    wr_registry_free(what.registry);
    wr_reloading_release(&reloading);
    wr_logger_release(&logger);
    return close(null_fd);
}

static int dial(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    T(fd >= 0 && strlen(where.path) < sizeof(a.sun_path));
    memcpy(a.sun_path, where.path, strlen(where.path) + 1);
    T(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    return fd;
}

static void put(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = send(fd, p, n, MSG_NOSIGNAL);

        if (w <= 0)
            return; /* the server has had enough */
        p += w;
        n -= (size_t)w;
    }
}

static char got[1 << 16];
static const char *body; /* of what was got last */

/* All that comes until the server closes. The status, or 0 when it closed without a word. */
static int take(int fd)
{
    size_t n = 0;
    ssize_t r;
    uint64_t code;

    while (n + 1 < sizeof(got) && (r = read(fd, got + n, sizeof(got) - 1 - n)) > 0)
        n += (size_t)r;
    T(close(fd) == 0);
    got[n] = '\0';
    body = strstr(got, "\r\n\r\n");
    body = body ? body + 4 : "";
    if (n > 12 && wr_parse_u64((struct wr_str){.p = got + 9, .n = 3}, &code))
        return (int)code;
    return 0;
}

static int ask(const char *method, const char *target, const char *text)
{
    char head[1024];
    int fd = dial();

    (void)snprintf(head, sizeof(head),
        "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", method,
        target, strlen(text));
    put(fd, head, strlen(head));
    put(fd, text, strlen(text));
    return take(fd);
}

static void expect(
    const char *method, const char *target, const char *text, int code, const char *want)
{
    int is = ask(method, target, text);

    assert_string_equal(body, want);
    assert_int_equal(is, code);
}

static void get(const char *target, int code, const char *want)
{
    expect("GET", target, "", code, want);
}

static void post(const char *target, const char *text, int code, const char *want)
{
    expect("POST", target, text, code, want);
}

static void add(const char *path)
{
    struct wr_config *c = NULL;
    struct wr_err e = {0};
    weir_error err = {0};
    const char *url = wr_arena_fmt(t_call()->scratch, "file:///r%s", path).p;

    T_OK(wr_config_adhoc(t_call()->scratch, path, &url, 1, NULL, &c, &e));
    T(wr_fleet_add(fleet, &c->dbs[0], NULL, &err) == WEIR_OK);
}

static void test_info(void **state)
{
    json_error_t error;
    json_t *o;

    (void)state;
    add("/a");
    T(ask("GET", "/info", "") == 200);
    T(strstr(got, "Content-Type: application/json\r\n"));
    o = json_loads(body, 0, &error);
    assert_string_equal(json_string_value(json_object_get(o, "version")), "1.2.3");
    T(json_integer_value(json_object_get(o, "pid")) == getpid());
    T(json_integer_value(json_object_get(o, "database_count")) == 1);
    T(json_integer_value(json_object_get(o, "uptime_seconds")) < 100);
    T(strlen(json_string_value(json_object_get(o, "started_at"))) >= 20);
    json_decref(o);
    T(strchr(body, '\n') == body + strlen(body) - 1);
}

static void test_list_of_absent_ones(void **state)
{
    (void)state;
    add("/a");
    (void)wr_absent_put(wr_fleet_absent(fleet), WR_ABSENT_DIRS, "/b", "it cannot be read");
    T(ask("GET", "/list", "") == 200);
    T(strstr(body, "{\"path\":\"/b\",\"status\":\"failed\",\"error\":\"it cannot be read\"}]}\n"));
    get("/debug/sync-status?path=/b", 200,
        "{\"databases\":[{\"path\":\"/b\",\"active\":false,\"error\":\"it cannot be read\"}]}\n");
    post("/unregister", "{\"path\":\"/b\"}", 200,
        "{\"status\":\"already_unregistered\",\"path\":\"/b\",\"txid\":0}\n");
    T(wr_absent_count(wr_fleet_absent(fleet)) == 0);
}

static void test_a_refused_configuration_is_told(void **state)
{
    static const char said[] = "\"reload_refused\":{\"at\":\"2026-09-21T14:13:20.123Z\",\"error\":"
                               "\"c.yml:3: caf?\"}}\n";
    static const char *const asked[] = {"/info", "/list", "/debug/sync-status"};

    (void)state;
    wr_refused_put(wr_fleet_refused(fleet), "c.yml:3: caf\xe9", 1790000000123);
    get("/list", 200,
        "{\"databases\":[],\"reload_refused\":{\"at\":\"2026-09-21T14:13:20.123Z\",\"error\":"
        "\"c.yml:3: caf?\"}}\n");
    for (size_t i = 0; i < wr_countof(asked); i++) {
        T(ask("GET", asked[i], "") == 200);
        T(strstr(body, said));
    }
    wr_refused_clear(wr_fleet_refused(fleet), 1);
    for (size_t i = 0; i < wr_countof(asked); i++) {
        T(ask("GET", asked[i], "") == 200);
        T(!strstr(body, "refused"));
    }
}

static void test_list(void **state)
{
    char want[1024], time[WR_TIME_TEXT_MAX];
    weir_error err = {0};
    bool was;

    (void)state;
    get("/list", 200, "{\"databases\":[]}\n");
    add("/a");
    add("/b");
    T(wr_fleet_stop(fleet, "/b", 0, &was, NULL, &err) == WEIR_OK);
    fake.db.txid = 42;
    fake.db.replica_count = 1;
    fake.replica.txid = 41;
    fake.replica.lag_ms = 1500;
    fake.replica.last_ok_ms = 1790000000123;
    wr_format_time(time, fake.replica.last_ok_ms);
    (void)snprintf(want, sizeof(want),
        "{\"databases\":[{\"path\":\"/a\",\"status\":\"replicating\",\"last_sync_at\":\"%s\","
        "\"txid\":42,\"replicas\":[{\"url\":\"file:///r\",\"txid\":41,\"lag_seconds\":1.5,"
        "\"last_sync_at\":\"%s\"}]},{\"path\":\"/b\",\"status\":\"stopped\"}]}\n",
        time, time);
    get("/list", 200, want);
    fake.replica.error_code = WEIR_AUTH;
    (void)snprintf(fake.replica.error, sizeof(fake.replica.error), "denied");
    fake.replica.last_ok_ms = 0;
    get("/list", 200,
        "{\"databases\":[{\"path\":\"/a\",\"status\":\"open\",\"txid\":42,\"replicas\":[{\"url\":"
        "\"file:///r\",\"txid\":41,\"lag_seconds\":1.5,\"error\":\"denied\"}]},"
        "{\"path\":\"/b\",\"status\":\"stopped\"}]}\n");
    fake.db.error_code = WEIR_IO;
    (void)snprintf(fake.db.error, sizeof(fake.db.error), "disk");
    T(ask("GET", "/list", "") == 200);
    T(strstr(body, "\"status\":\"open\",\"txid\":42,\"error\":\"disk\""));
}

static void test_a_name_that_is_no_text(void **state)
{
    (void)state;
    add("/caf\xe9");
    add("/b");
    T(ask("GET", "/list", "") == 200);
    T(strstr(body, "{\"path\":\"/caf?\",") && strstr(body, "{\"path\":\"/b\","));
    T(ask("GET", "/debug/sync-status", "") == 200 && strstr(body, "/caf?"));
}

/* A replica that answered holds nothing for that: a database that was never there, or never sent,
 * had been synced just now. And one that was stopped had never been. */
static void test_answers_are_no_sync(void **state)
{
    weir_error err = {0};
    char want[200], time[WR_TIME_TEXT_MAX];
    bool was;

    (void)state;
    add("/a");
    fake.db.replica_count = 1;
    fake.replica.last_ok_ms = 1790000000123;
    for (int i = 0; i < 3; i++) {
        fake.db.txid = i == 1 ? 42 : 0; /* and then: not there, but a backup is */
        fake.replica.txid = i == 2 ? 42 : 0;
        T(ask("GET", "/list", "") == 200);
        T(!strstr(body, "last_sync_at") == (i < 2)); /* that of the replica */
        T(!strstr(body, "\"open\",\"last_sync_at") && !strstr(body, "\"replicating\",\"last"));
    }
    fake.db.txid = 42;
    fake.replica.txid = 41;
    wr_format_time(time, fake.replica.last_ok_ms);
    T(wr_fleet_stop(fleet, "/a", 0, &was, NULL, &err) == WEIR_OK);
    fake.db.txid = fake.replica.txid = 0;
    (void)snprintf(want, sizeof(want),
        "{\"databases\":[{\"path\":\"/a\",\"status\":\"stopped\",\"last_sync_at\":\"%s\"}]}\n",
        time);
    get("/list", 200, want);
}

/* One that has all, and answers, is in sync now, however long nothing was written. */
static void test_in_sync_is_now(void **state)
{
    (void)state;
    add("/a");
    fake.db.txid = fake.replica.txid = 42;
    fake.db.replica_count = 1;
    fake.replica.last_ok_ms = 1000;
    T(ask("GET", "/list", "") == 200);
    T(strstr(body, "\"status\":\"replicating\",\"last_sync_at\":\"2"));
}

static void test_txid(void **state)
{
    weir_error err = {0};
    bool was;

    (void)state;
    add("/a b");
    fake.db.txid = 42;
    get("/txid?path=/a%20b", 200, "{\"txid\":42}\n");
    get("/txid", 400, "{\"error\":\"path required\"}\n");
    get("/txid?path=", 400, "{\"error\":\"path required\"}\n");
    get("/txid?path=/c", 404, "{\"error\":\"database not found\"}\n");
    T(wr_fleet_stop(fleet, "/a b", 0, &was, NULL, &err) == WEIR_OK);
    fake.db.txid = 0;
    get("/txid?path=/a%20b", 200, "{\"txid\":42}\n"); /* it was an error, and 0 once it began */
    T(wr_fleet_start(fleet, "/a b", &was, &err) == WEIR_OK);
    get("/txid?path=/a%20b", 200, "{\"txid\":42}\n");
}

static void test_start_and_stop(void **state)
{
    static const int io[] = {WEIR_IO, -1};

    (void)state;
    add("/a");
    fake.db.txid = 42;
    post("/start", "{\"path\":\"/a\"}", 200,
        "{\"status\":\"already_running\",\"path\":\"/a\",\"txid\":42}\n");
    post("/stop", "{\"path\":\"/a\"}", 200,
        "{\"status\":\"stopped\",\"path\":\"/a\",\"txid\":42}\n");
    T(fake.waited_ms == 30000);
    post("/stop", "{\"path\":\"/a\"}", 200,
        "{\"status\":\"already_stopped\",\"path\":\"/a\",\"txid\":42}\n");
    fake.db.txid = 0; /* it is not attached yet */
    post("/start", "{\"path\":\"/a\",\"timeout\":5}", 200,
        "{\"status\":\"started\",\"path\":\"/a\",\"txid\":42}\n");
    fake.db.txid = 42;
    fake.sync = io;
    fake.waited_ms = 0;
    post("/stop", "{\"path\":\"/a\",\"timeout\":1.5}", 500,
        "{\"error\":\"close database: /a: io\"}\n");
    T(fake.waited_ms == 1500);
    fake.db_add = WEIR_LIMIT;
    post("/start", "{\"path\":\"/a\"}", 500, "{\"error\":\"/a: limit\"}\n");
    post("/start", "{\"path\":\"/x\"}", 500, "{\"error\":\"database not found: /x\"}\n");
    post("/stop", "{\"path\":\"/x\"}", 500, "{\"error\":\"database not found: /x\"}\n");
    /* A negative timeout has run out already: no last sync. */
    fake.db_add = WEIR_OK;
    fake.waited_ms = 0;
    post("/start", "{\"path\":\"/a\"}", 200,
        "{\"status\":\"started\",\"path\":\"/a\",\"txid\":42}\n");
    post("/stop", "{\"path\":\"/a\",\"timeout\":-1}", 200,
        "{\"status\":\"stopped\",\"path\":\"/a\",\"txid\":42}\n");
    T(fake.waited_ms == 0);
}

static void one_more(void)
{
    fake.db.txid = 43;
    fake.replica.txid = 43;
}

static void test_sync(void **state)
{
    static const int late[] = {WEIR_TIMEOUT, -1}, io[] = {WEIR_IO, -1};
    weir_error err = {0};
    bool was;

    (void)state;
    add("/a");
    fake.db.txid = fake.replica.txid = 42;
    post("/sync", "{\"path\":\"/a\"}", 200,
        "{\"status\":\"no_change\",\"path\":\"/a\",\"txid\":42,\"replicated_txid\":42}\n");
    fake.at_sync = one_more;
    post("/sync", "{\"path\":\"/a\",\"wait\":false}", 200,
        "{\"status\":\"synced_local\",\"path\":\"/a\",\"txid\":43,\"replicated_txid\":43}\n");
    fake.replica.txid = 42;
    post("/sync", "{\"path\":\"/a\",\"wait\":true}", 200,
        "{\"status\":\"synced\",\"path\":\"/a\",\"txid\":43,\"replicated_txid\":43}\n");
    post("/sync", "{\"path\":\"/x\"}", 404, "{\"error\":\"database not found: /x\"}\n");
    fake.timed = true;
    post("/sync", "{\"path\":\"/a\",\"snapshot\":true,\"timeout\":9}", 200,
        "{\"status\":\"no_change\",\"path\":\"/a\",\"txid\":43,\"replicated_txid\":43,"
        "\"snapshot_txid\":43}\n");
    T(strstr(fake.calls, "snapshot(/a)"));
    fake.snapshot = WEIR_TIMEOUT;
    post("/sync", "{\"path\":\"/a\",\"snapshot\":true}", 504,
        "{\"error\":\"sync database: timeout\"}\n");
    fake.sync = late;
    post("/sync", "{\"path\":\"/a\",\"wait\":true}", 504,
        "{\"error\":\"sync database: timeout\"}\n");
    fake.sync = io;
    post("/sync", "{\"path\":\"/a\",\"wait\":true}", 500, "{\"error\":\"sync database: io\"}\n");
    post("/sync", "{\"path\":\"/a\",\"wait\":1}", 400,
        "{\"error\":\"invalid request body\",\"details\":\"wait must be true or false\"}\n");
    T(wr_fleet_stop(fleet, "/a", 0, &was, NULL, &err) == WEIR_OK);
    post("/sync", "{\"path\":\"/a\"}", 409, "{\"error\":\"database not open: /a\"}\n");
}

static void test_wait(void **state)
{
    static const int late[] = {WEIR_TIMEOUT, -1};

    (void)state;
    add("/a");
    fake.db.txid = fake.replica.txid = fake.await_txid = 42;
    post("/wait", "{\"path\":\"/a\"}", 200,
        "{\"status\":\"reached\",\"path\":\"/a\",\"txid\":42,\"replicated_txid\":42}\n");
    T(strstr(fake.calls, "await(/a)"));
    fake.calls[0] = '\0';
    post("/wait", "{\"path\":\"/a\",\"txid\":41}", 200,
        "{\"status\":\"reached\",\"path\":\"/a\",\"txid\":41,\"replicated_txid\":42}\n");
    T(!strstr(fake.calls, "await"));
    fake.replica.txid = 40;
    post("/wait", "{\"path\":\"/a\",\"txid\":41,\"timeout\":2}", 200,
        "{\"status\":\"reached\",\"path\":\"/a\",\"txid\":41,\"replicated_txid\":42}\n");
    T(strstr(fake.calls, "await(/a)"));
    post("/wait", "{\"path\":\"/a\",\"txid\":43}", 400,
        "{\"error\":\"transaction 43 does not exist yet, the newest is 42\"}\n");
    post("/wait", "{\"path\":\"/a\",\"txid\":-1}", 400,
        "{\"error\":\"invalid request body\",\"details\":\"txid must be a number of 0 or "
        "more\"}\n");
    fake.sync = late;
    post("/wait", "{\"path\":\"/a\"}", 504, "{\"error\":\"sync database: timeout\"}\n");
    post("/wait", "{\"path\":\"/x\"}", 404, "{\"error\":\"database not found: /x\"}\n");
}

static void test_register(void **state)
{
    weir_error err = {0};
    bool was;

    (void)state;
    post("/register", "{\"path\":\"/a\",\"replica_url\":\"file:///r1\"}", 200,
        "{\"status\":\"registered\",\"path\":\"/a\"}\n");
    post("/register", "{\"path\":\"/a\",\"replica_url\":\"file:///r1\"}", 200,
        "{\"status\":\"already_registered\",\"path\":\"/a\"}\n");
    post("/register", "{\"path\":\"/a\",\"replica_url\":\"file:///r2\"}", 409,
        "{\"error\":\"failed to register database: /a is replicated to another URL, unregister it "
        "first\"}\n");
    T(wr_fleet_stop(fleet, "/a", 0, &was, NULL, &err) == WEIR_OK);
    post("/register", "{\"path\":\"/a\",\"replica_url\":\"file:///r1\"}", 409,
        "{\"error\":\"failed to register database: /a is stopped, start it\"}\n");
    post("/register", "{\"path\":\"/b\"}", 400, "{\"error\":\"replica_url required\"}\n");
    post("/register", "{\"replica_url\":\"file:///r\"}", 400, "{\"error\":\"path required\"}\n");
    fake.add_replica = WEIR_MISUSE;
    post("/register", "{\"path\":\"/b\",\"replica_url\":\"gopher://r\"}", 400,
        "{\"error\":\"invalid replica url: /b: misuse\"}\n");
    fake.add_replica = WEIR_CONFLICT;
    post("/register", "{\"path\":\"/b\",\"replica_url\":\"file:///r1\"}", 500,
        "{\"error\":\"failed to register database: /b: conflict\"}\n");
    T(wr_fleet_count(fleet) == 1);
}

/* What is kept is on disk when that is answered, and forgotten before it ends. */
static void test_register_to_stay(void **state)
{
    const char *file = t_path(t_tmpdir(), "registered.json");
    struct wr_err e = {0};

    (void)state;
    post("/register", "{\"path\":\"/a\",\"replica_url\":\"file:///ra\",\"persist\":true}", 400,
        "{\"error\":\"persist needs socket.registry in the configuration, the file to remember it "
        "in\"}\n");
    T(wr_fleet_count(fleet) == 0);
    wr_control_free(control);
    T_OK(wr_registry_new(file, &logger, &what.registry, &e));
    T_OK(wr_control_new(&where, &what, &logger, &control, &e));
    post("/register", "{\"path\":\"/a\",\"replica_url\":\"file:///ra\",\"persist\":7}", 400,
        "{\"error\":\"invalid request body\",\"details\":\"persist must be true or false\"}\n");
    post("/register", "{\"path\":\"/a\",\"replica_url\":\"file:///ra\",\"persist\":false}", 200,
        "{\"status\":\"registered\",\"path\":\"/a\"}\n");
    T(access(file, F_OK) != 0);
    post("/register", "{\"path\":\"/a\",\"replica_url\":\"file:///ra\",\"persist\":true}", 200,
        "{\"status\":\"already_registered\",\"path\":\"/a\",\"persist\":true}\n");
    T(strstr((const char *)t_slurp(file).p, "\"/a\""));
    post("/register", "{\"path\":\"/b\",\"replica_url\":\"file:///rb\",\"persist\":true}", 200,
        "{\"status\":\"registered\",\"path\":\"/b\",\"persist\":true}\n");
    T(strstr((const char *)t_slurp(file).p, "\"file:///rb\""));
    post("/unregister", "{\"path\":\"/a\"}", 200,
        "{\"status\":\"unregistered\",\"path\":\"/a\",\"txid\":0}\n");
    T(!strstr((const char *)t_slurp(file).p, "\"/a\""));

    T(unlink(file) == 0 && mkdir(file, 0700) == 0); /* it cannot be written any more */
    T(ask("POST", "/register",
          "{\"path\":\"/c\",\"replica_url\":\"file:///rc\",\"persist\":true}") == 500);
    T(strstr(body, "/c is replicated, but only until this process ends: "));
    T(ask("POST", "/unregister", "{\"path\":\"/b\"}") == 500);
    T(strstr(body, "failed to unregister database: ") && wr_fleet_has(fleet, "/b"));
    T(ask("POST", "/unregister", "{\"path\":\"/c\"}") == 200);
}

/* A bad file is in nobody's way but of those who want to change it. */
static void test_a_bad_registry(void **state)
{
    const char *file = t_path(t_tmpdir(), "registered.json");
    struct wr_err e = {0};

    (void)state;
    wr_control_free(control);
    t_spew(file, "{", 1);
    T_OK(wr_registry_new(file, &logger, &what.registry, &e));
    T_OK(wr_control_new(&where, &what, &logger, &control, &e));
    add("/a");
    T(ask("POST", "/register",
          "{\"path\":\"/a\",\"replica_url\":\"file:///a\",\"persist\":true}") == 409);
    T(ask("POST", "/register",
          "{\"path\":\"/b\",\"replica_url\":\"file:///b\",\"persist\":true}") == 500);
    T(strstr(body, "/b is replicated, but only until this process ends: the file of registered"));
    T(ask("POST", "/unregister", "{\"path\":\"/b\"}") == 200);
    T(ask("POST", "/unregister", "{\"path\":\"/kept\"}") == 500); /* it may be in the file */
    T(strstr(body, "repair it, or move it away"));
}

static void test_unregister(void **state)
{
    static const int io[] = {WEIR_IO, -1};

    (void)state;
    add("/a");
    add("/b");
    fake.db.txid = 42;
    post("/unregister", "{\"path\":\"/a\"}", 200,
        "{\"status\":\"unregistered\",\"path\":\"/a\",\"txid\":42}\n");
    T(fake.waited_ms == 30000);
    post("/unregister", "{\"path\":\"/a\"}", 200,
        "{\"status\":\"already_unregistered\",\"path\":\"/a\",\"txid\":0}\n");
    fake.sync = io;
    post("/unregister", "{\"path\":\"/b\",\"timeout\":1}", 500,
        "{\"error\":\"failed to unregister database: /b: io\"}\n");
    T(wr_fleet_count(fleet) == 0);
}

static void test_sync_status(void **state)
{
    weir_error err = {0};
    bool was;

    (void)state;
    add("/a");
    add("/b");
    T(wr_fleet_stop(fleet, "/b", 0, &was, NULL, &err) == WEIR_OK);
    fake.db.txid = fake.replica.txid = 42;
    get("/debug/sync-status", 200,
        "{\"databases\":[{\"path\":\"/a\",\"active\":false,\"phase\":\"syncing\",\"txid\":42},"
        "{\"path\":\"/b\",\"active\":false}]}\n");
    fake.replica.txid = 41;
    fake.db.state = "checkpoint";
    fake.db.error_code = WEIR_IO;
    (void)snprintf(fake.db.error, sizeof(fake.db.error), "disk");
    get("/debug/sync-status?path=/a", 200,
        "{\"databases\":[{\"path\":\"/a\",\"active\":true,\"operation\":\"checkpoint\",\"phase\":"
        "\"checkpoint\",\"txid\":42,\"error\":\"disk\"}]}\n");
    fake.db.state = "syncing";
    T(ask("GET", "/debug/sync-status?path=/a", "") == 200);
    T(strstr(body, "\"operation\":\"sync\""));
    get("/debug/sync-status?path=/x", 404, "{\"error\":\"database not found\"}\n");
    get("/debug/sync-status?path=", 400, "{\"error\":\"path required\"}\n");
}

static void test_misses(void **state)
{
    (void)state;
    get("/", 404, "404 page not found\n");
    get("/lists", 404, "404 page not found\n");
    T(strstr(got, "Content-Type: text/plain"));
    post("/list", "{}", 405, "Method Not Allowed\n");
    T(strstr(got, "Allow: GET\r\n"));
    get("/sync", 405, "Method Not Allowed\n");
    T(strstr(got, "Allow: POST\r\n"));
}

static void test_bad_bodies(void **state)
{
    static const char *const bad[] = {"", "{", "[]", "42", "{\"path\":\"/a\"}x", "\xff", "null"};
    static char deep[4000];

    (void)state;
    for (size_t i = 0; i < wr_countof(bad); i++) {
        T(ask("POST", "/sync", bad[i]) == 400);
        T(strstr(body, "{\"error\":\"invalid request body\",\"details\":\"") == body);
    }
    memset(deep, '[', sizeof(deep) - 1);
    T(ask("POST", "/sync", deep) == 400);
    post("/sync", "{\"path\":7}", 400,
        "{\"error\":\"invalid request body\",\"details\":\"path must be a string\"}\n");
    post("/sync", "{\"x\":[[[[[[[[[[[[[[[[", 400,
        "{\"error\":\"invalid request body\",\"details\":\"it is nested too deeply\"}\n");
    /* What only looks so is a path of no database. */
    post("/sync", "{\"path\":\"/\\\"[[[[[[[[[[[[[[[[[[[[\",\"x\":[[],[],[],[],[],[],[],[],[],[]]}",
        404, "{\"error\":\"database not found: /\\\"[[[[[[[[[[[[[[[[[[[[\"}\n");
    post("/sync", "{\"path\":\"/a\",\"timeout\":\"1\"}", 400,
        "{\"error\":\"invalid request body\",\"details\":\"timeout must be a number of seconds up "
        "to 1e9\"}\n");
    T(ask("POST", "/sync", "{\"path\":\"/a\",\"timeout\":1e300}") == 400);
    T(ask("POST", "/sync", "{\"path\":\"~nobody/x\"}") == 404 || strstr(body, "invalid path"));
    /* Unknown fields are ignored, as in the original. */
    post("/sync", "{\"path\":\"/a\",\"x\":1}", 404, "{\"error\":\"database not found: /a\"}\n");
}

static void test_a_large_request(void **state)
{
    static char large[70000];
    int code;

    (void)state;
    memset(large, ' ', sizeof(large) - 1);
    large[0] = '{';
    post("/sync", large, 413, "{\"error\":\"request is larger than 65536 bytes\"}\n");
    /* One that never ends is cut off. */
    {
        int fd = dial();
        const char *head = "POST /sync HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n";

        put(fd, head, strlen(head));
        for (int i = 0; i < 40; i++)
            put(fd, large, sizeof(large) - 1);
        code = take(fd);
        T(code == 0 || code == 413);
    }
    get("/list", 200, "{\"databases\":[]}\n");
}

static void test_what_is_no_http(void **state)
{
    static const char *const noise[] = {"\r\n\r\n\r\n", "hello\r\n\r\n", "GET\r\n\r\n",
        "GET /list HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n",
        "POST /sync HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /sync HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"};

    (void)state;
    for (size_t i = 0; i < wr_countof(noise); i++) {
        int fd = dial();

        put(fd, noise[i], strlen(noise[i]));
        T(shutdown(fd, SHUT_WR) == 0);
        (void)take(fd);
    }
    get("/list", 200, "{\"databases\":[]}\n");
}

/* Those who say nothing, or little, do not keep others from being heard. */
static void test_slow_clients(void **state)
{
    int fds[60];

    (void)state;
    for (size_t i = 0; i < wr_countof(fds); i++) {
        fds[i] = dial();
        put(fds[i], "GET /li", i % 8);
    }
    get("/list", 200, "{\"databases\":[]}\n");
    for (size_t i = 0; i < wr_countof(fds); i++)
        T(close(fds[i]) == 0);
}

static void test_the_socket_is_for_its_owner(void **state)
{
    struct wr_control *second = NULL;
    struct wr_err e = {0};
    struct stat s;

    (void)state;
    T(stat(where.path, &s) == 0 && S_ISSOCK(s.st_mode) && (s.st_mode & 07777) == 0600);
    T_IS(WR_BUSY, wr_control_new(&where, &what, &logger, &second, &e));
    get("/list", 200, "{\"databases\":[]}\n");
    wr_control_free(control);
    T(lstat(where.path, &s) != 0 && errno == ENOENT);
    where.permissions = 0666;
    T_OK(wr_control_new(&where, &what, &logger, &control, &e));
    T(stat(where.path, &s) == 0 && (s.st_mode & 07777) == 0666);
    get("/list", 200, "{\"databases\":[]}\n");
}

/* A process that was killed leaves its file. */
static void test_a_socket_of_the_past(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct wr_err e = {0};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)state;
    wr_control_free(control);
    control = NULL;
    memcpy(a.sun_path, where.path, strlen(where.path) + 1);
    T(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && close(fd) == 0);
    T_OK(wr_control_new(&where, &what, &logger, &control, &e));
    get("/list", 200, "{\"databases\":[]}\n");
}

static void test_what_is_no_socket(void **state)
{
    static char longer[200];
    struct wr_control *c = NULL;
    struct wr_err e = {0};
    struct wr_config_socket other = where;

    (void)state;
    other.path = t_path(t_tmpdir(), "file");
    t_spew(other.path, "x", 1);
    T_IS(WR_MISUSE, wr_control_new(&other, &what, &logger, &c, &e));
    T(strstr(e.text, "socket path exists but is not a socket: "));
    T(t_slurp(other.path).n == 1);
    memset(longer, 'x', sizeof(longer) - 1);
    other.path = longer;
    T_IS(WR_MISUSE, wr_control_new(&other, &what, &logger, &c, &e));
    other.path = "/nonexistent/s";
    T_IS(WR_NOTFOUND, wr_control_new(&other, &what, &logger, &c, &e));
}

static void ends_with_all(struct wr_outcome *o)
{
    wr_outcome_put(o, WR_OUTCOME_WARNING, "c.yml:1:1: foreign", "");
    wr_outcome_put(o, WR_OUTCOME_RESTART, "addr", "");
    wr_outcome_put(o, WR_OUTCOME_REMOVED, "/a", "");
    wr_outcome_put(o, WR_OUTCOME_CHANGED, "/b", "replica.url");
    wr_outcome_put(o, WR_OUTCOME_ADDED, "/c", "");
    wr_outcome_put(o, WR_OUTCOME_ADDED, "/d", "");
    wr_outcome_put(o, WR_OUTCOME_FAILED, "/e", "no such bucket");
    o->dbs = 3;
}

static void ends_with_many(struct wr_outcome *o)
{
    for (size_t i = 0; i < WR_OUTCOME_ITEMS + 7; i++)
        wr_outcome_put(o, WR_OUTCOME_ADDED, "/a", "");
    wr_outcome_put(o, WR_OUTCOME_FAILED, "/last", "no such bucket"); /* was not listed: exit 0 */
}

static void ends_refused(struct wr_outcome *o)
{
    wr_outcome_refuse(o, "c.yml:3:1: unknown key");
}

static void ends_in_no_unicode(struct wr_outcome *o)
{
    wr_outcome_put(o, WR_OUTCOME_ADDED, "/\xff", "");
}

static void test_reload(void **state)
{
    json_t *answer;

    (void)state;
    reload_ends = ends_with_all;
    post("/reload", "{}", 200,
        "{\"status\":\"reloaded\",\"databases\":3,\"added\":[\"/c\",\"/d\"],\"removed\":[\"/a\"],"
        "\"changed\":[\"/b\"],\"failed\":[{\"path\":\"/e\",\"error\":\"no such bucket\"}],"
        "\"needs_restart\":[\"addr\"],\"warnings\":[\"c.yml:1:1: foreign\"],"
        "\"changed_keys\":{\"/b\":\"replica.url\"}}\n");
    reload_ends = ends_refused;
    post("/reload", "{\"timeout\":5}", 409,
        "{\"error\":\"the configuration was refused, nothing has "
        "changed\",\"details\":\"c.yml:3:1: "
        "unknown key\"}\n");
    reload_ends = ends_with_many;
    T(ask("POST", "/reload", "{}") == 200);
    answer = json_loads(body, 0, NULL);
    T(json_array_size(json_object_get(answer, "added")) == WR_OUTCOME_ITEMS);
    T(json_array_size(json_object_get(answer, "failed")) == 1);
    T(json_integer_value(json_object_get(answer, "more")) == 7);
    json_decref(answer);
    reload_ends = ends_in_no_unicode;
    T(ask("POST", "/reload", "{}") == 500);
    T(ask("GET", "/reload", "") == 405);
    post("/reload", "{\"timeout\":\"x\"}", 400,
        "{\"error\":\"invalid request body\",\"details\":\"timeout must be a number of seconds up "
        "to "
        "1e9\"}\n");
}

static void test_reload_that_does_not_come(void **state)
{
    (void)state;
    reload_ends = NULL;
    post("/reload", "{\"timeout\":0.05}", 504,
        "{\"error\":\"the reload is not done yet, and goes on\"}\n");
    wr_reloading_over(&reloading);
    post("/reload", "{\"timeout\":1000}", 500, "{\"error\":\"shutting down\"}\n");
    reloading.ask = NULL; /* frozen: nobody asks just now */
    post("/reload", "{}", 409,
        "{\"error\":\"there is no configuration file: what is replicated was given as "
        "arguments\"}\n");
}

/* Somebody waits for a sync that never ends, and the process is told to. */
static void sync_for_ever(void)
{
    while (!fake.canceled_sync || !atomic_load(fake.canceled_sync))
        t_sleep_ms(1);
}

static void ask_to_wait(void *arg)
{
    (void)arg;
    (void)ask("POST", "/sync", "{\"path\":\"/a\",\"wait\":true,\"timeout\":1000}");
}

static void test_the_end_does_not_wait_for_requests(void **state)
{
    struct wr_thread t;
    struct wr_err e = {0};

    (void)state;
    add("/a");
    fake.at_sync = sync_for_ever;
    T_OK(wr_thread_start(&t, "client", 0, ask_to_wait, NULL, &e));
    t_sleep_ms(50);
    wr_fleet_cancel(fleet);
    wr_control_free(control);
    control = NULL;
    wr_thread_join(&t);
}

static atomic_int syncing, given_up;

/* Until it is canceled, for 20 s at most. */
static void sync_for_long(void)
{
    const atomic_int *canceled = fake.canceled_sync;
    int64_t end_ms = wr_mono_ms(wr_clock_system()) + 20000;

    (void)atomic_fetch_add(&syncing, 1);
    while (!atomic_load(canceled) && wr_mono_ms(wr_clock_system()) < end_ms)
        t_sleep_ms(2);
    (void)atomic_fetch_add(&given_up, atomic_load(canceled));
}

static void wait_for(const atomic_int *n, int goal)
{
    int64_t end_ms = wr_mono_ms(wr_clock_system()) + 10000;

    while (atomic_load(n) < goal && wr_mono_ms(wr_clock_system()) < end_ms)
        t_sleep_ms(2);
    assert_int_equal(goal, atomic_load(n));
}

static int ask_for_a_sync(void)
{
    static const char request[] = "POST /sync HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                  "Content-Length: 25\r\n\r\n{\"path\":\"/a\",\"wait\":true}";
    int fd = dial();

    put(fd, request, sizeof(request) - 1);
    return fd;
}

/* Who was interrupted while he waited kept his place, of which there are 64, until what he had
 * asked for was done: an hour for a snapshot, and then nobody else could wait for anything. Who has
 * only closed his end for writing still waits for the answer. */
static void test_a_client_that_went_away_kept_its_place(void **state)
{
    int fds[3];

    (void)state;
    add("/a");
    fake.at_sync = sync_for_long;
    atomic_store(&syncing, 0);
    atomic_store(&given_up, 0);
    for (int i = 0; i < 3; i++) {
        fds[i] = ask_for_a_sync();
        wait_for(&syncing, i + 1);
    }
    T(shutdown(fds[0], SHUT_WR) == 0);
    T(close(fds[1]) == 0);
    wait_for(&given_up, 1);
    T(close(fds[2]) == 0);
    wait_for(&given_up, 2);
    assert_int_equal(2, atomic_load(&given_up));
    wr_fleet_cancel(fleet);
    T(take(fds[0]) == 200); /* as the library has it that is faked here */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

T_MAIN(TEST(test_info), TEST(test_list), TEST(test_a_refused_configuration_is_told),
    TEST(test_list_of_absent_ones), TEST(test_answers_are_no_sync), TEST(test_in_sync_is_now),
    TEST(test_a_name_that_is_no_text), TEST(test_txid), TEST(test_start_and_stop), TEST(test_sync),
    TEST(test_wait), TEST(test_register), TEST(test_register_to_stay), TEST(test_a_bad_registry),
    TEST(test_unregister), TEST(test_sync_status), TEST(test_misses), TEST(test_bad_bodies),
    TEST(test_a_large_request), TEST(test_what_is_no_http), TEST(test_slow_clients),
    TEST(test_reload), TEST(test_reload_that_does_not_come), TEST(test_the_socket_is_for_its_owner),
    TEST(test_a_socket_of_the_past), TEST(test_what_is_no_socket),
    TEST(test_the_end_does_not_wait_for_requests),
    TEST(test_a_client_that_went_away_kept_its_place))
