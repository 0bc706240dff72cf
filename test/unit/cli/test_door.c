/*
 * The listener for monitoring, over a library that answers as scripted; and ports that cannot be
 * listened on.
 */
#include "base/str.h"
#include "daemon/door.h"
#include "daemon/health.h"
#include "daemon/listen.h"
#include "daemon/metrics.h"
#include "harness/t.h"
#include "unit/cli/fake_weir.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

static struct wr_logger logger;
static struct wr_fleet *fleet;
static struct wr_sentinel *sentinel;
static struct wr_metrics *metrics;
static struct wr_health health;
static struct wr_door *door;
static int null_fd;
static char addr[64];

static int get_metrics(void *arg, struct wr_buf *to)
{
    (void)arg;
    return wr_metrics(metrics, to);
}

static int get_healthz(void *arg, struct wr_buf *to)
{
    (void)arg;
    return wr_healthz(&health, to);
}

static int get_readyz(void *arg, struct wr_buf *to)
{
    (void)arg;
    return wr_readyz(&health, to);
}

static const struct wr_door_pages pages = {
    .metrics = get_metrics, .healthz = get_healthz, .readyz = get_readyz};

static int set_up(void **state)
{
    struct wr_sentinel_opts o = {0};
    struct wr_err e = {0};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd;

    (void)state;
    memset(&fake, 0, sizeof(fake));
    fake.db.struct_size = sizeof(fake.db);
    fake.db.state = "syncing";
    ndbs = 0;
    null_fd = open("/dev/null", O_WRONLY);
    wr_logger_init(&logger, null_fd, WR_LOG_FORMAT_JSON, WEIR_LOG_DEBUG);
    fleet = wr_fleet_new(&the_runtime, &logger);
    o = (struct wr_sentinel_opts){.fleet = fleet, .log = &logger};
    T_OK(wr_sentinel_new(&o, &sentinel, &e));
    wr_sentinel_pass(sentinel);
    metrics = wr_metrics_new(fleet, sentinel, NULL);
    health = (struct wr_health){.w = &the_runtime, .fleet = fleet, .sentinel = sentinel};
    /* A port that is free now. */
    fd = socket(AF_INET, SOCK_STREAM, 0);
    T(fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0);
    T(getsockname(fd, (struct sockaddr *)&a, &n) == 0 && close(fd) == 0);
    (void)snprintf(addr, sizeof(addr), "127.0.0.1:%u", ntohs(a.sin_port));
    T_OK(wr_door_new(addr, &pages, &logger, &door, &e));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wr_door_free(door);
    wr_metrics_free(metrics);
    wr_sentinel_free(sentinel);
    wr_fleet_free(fleet);
    wr_logger_release(&logger);
    return close(null_fd);
}

static char got[1 << 18];

static int ask(const char *request)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint64_t port = 0, code = 0;
    size_t n = 0;
    ssize_t r;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    T(wr_parse_u64(wr_str(strchr(addr, ':') + 1), &port));
    a.sin_port = htons((uint16_t)port);
    T(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    T(send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request));
    while (n + 1 < sizeof(got) && (r = read(fd, got + n, sizeof(got) - 1 - n)) > 0)
        n += (size_t)r;
    got[n] = '\0';
    T(close(fd) == 0);
    T(n > 12 && wr_parse_u64((struct wr_str){.p = got + 9, .n = 3}, &code));
    return (int)code;
}

#define REST " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void test_what_is_there(void **state)
{
    (void)state;
    T(ask("GET /metrics" REST) == 200);
    T(strstr(got, "Content-Type: text/plain; version=0.0.4"));
    T(strstr(got, "\nweir_build_info{version=\"1.2.3\"} 1\n"));
    T(ask("GET /healthz" REST) == 200 && strstr(got, "\r\n\r\nok"));
    T(ask("GET /readyz" REST) == 200 || strstr(got, " 503 "));
    T(ask("HEAD /metrics" REST) == 200 && strstr(got, "\r\n\r\n")[4] == '\0');
}

static void test_what_is_not(void **state)
{
    (void)state;
    T(ask("GET /" REST) == 404 && strstr(got, "/metrics, /healthz and /readyz"));
    T(ask("GET /debug/pprof/" REST) == 404);
    T(ask("POST /metrics" REST) == 405 && strstr(got, "Allow: GET, HEAD\r\n"));
}

/* Monitoring goes on while others say nothing. */
static void test_silent_clients(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint64_t port = 0;
    int fds[40];

    (void)state;
    T(wr_parse_u64(wr_str(strchr(addr, ':') + 1), &port));
    a.sin_port = htons((uint16_t)port);
    for (size_t i = 0; i < wr_countof(fds); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        T(connect(fds[i], (struct sockaddr *)&a, sizeof(a)) == 0);
        T(send(fds[i], "GET /met", 8, MSG_NOSIGNAL) == 8);
    }
    T(ask("GET /healthz" REST) == 200);
    for (size_t i = 0; i < wr_countof(fds); i++)
        T(close(fds[i]) == 0);
}

static void test_a_port_that_is_taken(void **state)
{
    struct wr_door *second = NULL;
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_BUSY, wr_door_new(addr, &pages, &logger, &second, &e));
    T(strstr(e.text, "another process has the port") && strstr(e.text, addr));
}

static void test_addresses(void **state)
{
    static const char *const bad[] = {
        "", ":", "host:", "localhost:http", "1:2:3x", "[::1", ":70000"};
    struct wr_err e = {0};
    int fd = -1;

    (void)state;
    for (size_t i = 0; i < wr_countof(bad); i++)
        T(wr_listen_tcp(bad[i], &fd, &e) != WR_OK);
    T_IS(WR_MISUSE, wr_listen_tcp("localhost:http", &fd, &e));
    T(strstr(e.text, "addr must be host:port"));
    T_IS(WR_MISUSE, wr_listen_tcp("no.such.host.invalid:1", &fd, &e));
    T_OK(wr_listen_tcp("127.0.0.1:0", &fd, &e));
    T(close(fd) == 0);
    T_OK(wr_listen_tcp(":0", &fd, &e));
    T(close(fd) == 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

T_MAIN(TEST(test_what_is_there), TEST(test_what_is_not), TEST(test_silent_clients),
    TEST(test_a_port_that_is_taken), TEST(test_addresses))
