/*
 * The listener for followers, over a library that answers as scripted: who may ask, and what of
 * what is said to whom.
 */
#include "base/str.h"
#include "base/sync.h"
#include "daemon/feeds.h"
#include "harness/t.h"
#include "unit/cli/fake_weir.h"
#include "unit/cli/free_addr.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define TOKEN  "0123456789abcdef"
#define AUTH   "Authorization: Bearer " TOKEN "\r\n"
#define END    "Host: x\r\nConnection: close\r\n\r\n"
#define STATE  "&life=0&part=0&wait=0"
#define GET(x) "GET " x " HTTP/1.1\r\n" AUTH END

static struct wr_logger logger;
static struct wr_fleet *fleet;
static struct wr_feeds *feeds;
static int null_fd;
static char addr[64];

static void add(const char *path)
{
    static const char *const settings[] = {"sync-interval", "1s", NULL};
    static const struct wr_config_replica replica = {
        .url = "file:///r", .type = "file", .sync_interval = "1s", .settings = settings};
    const struct wr_config_db db = {.path = path, .replicas = &replica, .nreplicas = 1};
    weir_error e = {0};

    T(wr_fleet_add(fleet, &db, NULL, &e) == WEIR_OK);
}

static void serve(const char *token, uint32_t max)
{
    const struct wr_config_serve c = {.addr = addr, .token = token, .max_followers = max};
    struct wr_err e = {0};

    T_OK(wr_feeds_serve(feeds, &c, &e));
}

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    fake.db.struct_size = sizeof(fake.db);
    fake.db.state = "syncing";
    fake.db.txid = 42;
    ndbs = 0;
    null_fd = open("/dev/null", O_WRONLY);
    wr_logger_init(&logger, null_fd, WR_LOG_FORMAT_JSON, WEIR_LOG_DEBUG);
    fleet = wr_fleet_new(&the_runtime, &logger);
    feeds = wr_feeds_new(fleet, &logger);
    T(fleet && feeds);
    free_addr(addr, sizeof(addr));
    add("/data/one/app.db");
    add("/data/two/app.db");
    add("/data/two/other.db");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wr_feeds_free(feeds);
    wr_fleet_free(fleet);
    wr_logger_release(&logger);
    return close(null_fd);
}

static char got[1 << 16];

/* The status, and the answer, with a NUL; 0: it was cut off. */
static int ask_into(const char *request, char *into, size_t size)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint64_t port = 0, code = 0;
    char more[4096];
    size_t n = 0;
    ssize_t r;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    T(wr_parse_u64(wr_str(strchr(addr, ':') + 1), &port));
    a.sin_port = htons((uint16_t)port);
    T(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    T(send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request));
    while (n + 1 < size && (r = read(fd, into + n, size - 1 - n)) > 0)
        n += (size_t)r;
    while (n + 1 == size && read(fd, more, sizeof(more)) > 0)
        ; /* that much is never looked at */
    into[n] = '\0';
    T(close(fd) == 0);
    if (n <= 12)
        return 0;
    T(wr_parse_u64((struct wr_str){.p = into + 9, .n = 3}, &code));
    return (int)code;
}

static int ask(const char *request)
{
    return ask_into(request, got, sizeof(got));
}

/* Whoever has no token learns nothing, not even what there is. */
static void test_the_token(void **state)
{
    static const char *const heads[] = {"", "Authorization: Bearer \r\n",
        "Authorization: Bearer 0123456789abcdeg\r\n", "Authorization: Bearer 0123456789abcde\r\n",
        "Authorization: Bearer 0123456789abcdef0\r\n", "Authorization: Basic 0123456789abcdef\r\n",
        "Authorization: 0123456789abcdef\r\n"};
    static const char *const paths[] = {
        "/feed/other.db", "/feed/none", "/", "/metrics", "/feed/other.db?id=1&after=1" STATE};
    struct wr_feeds_totals t;

    (void)state;
    serve(TOKEN, 4);
    for (size_t i = 0; i < wr_countof(heads); i++)
        for (size_t k = 0; k < wr_countof(paths); k++) {
            char text[500];

            (void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n%s" END, paths[k], heads[i]);
            assert_int_equal(ask(text), 401);
            T(!strstr(got, ".db"));
        }
    wr_feeds_look(feeds, &t);
    T(t.refused == wr_countof(heads) * wr_countof(paths) && t.followers == 0);
    assert_int_equal(ask(GET("/feed/other.db")), 200);
}

static void test_which_database(void **state)
{
    (void)state;
    serve(TOKEN, 4);
    T(ask(GET("/feed/other.db")) == 200 && strstr(got, "txid 000000000000002a\n"));
    T(ask(GET("/feed/data/two/other.db")) == 200);
    T(ask(GET("/feed//data/one/app.db")) == 200);
    T(ask(GET("/feed/app.db")) == 404 && strstr(got, "several"));
    T(strstr(got, "/data/one/app.db\n") && strstr(got, "/data/two/app.db\n"));
    T(ask(GET("/feed/none.db")) == 404 && strstr(got, "/data/two/other.db\n"));
    T(ask(GET("/feed/")) == 404 && ask(GET("/metrics")) == 404);
    T(ask("POST /feed/other.db HTTP/1.1\r\n" AUTH END) == 405 && strstr(got, "Allow: GET\r\n"));
}

static void test_what_follows(void **state)
{
    struct wr_feeds_totals t;

    (void)state;
    serve(TOKEN, 4);
    T(ask(GET("/feed/other.db?id=1&after=1" STATE)) == 200 && strstr(got, "\r\n\r\nrecords"));
    T(ask(GET("/feed/other.db?id=1&after=fe" STATE)) == 204);
    T(ask(GET("/feed/other.db?id=1&after=1&more=1" STATE)) == 204);
    T(ask(GET("/feed/other.db?id=1&after=ff" STATE)) == 410 && strstr(got, "not kept"));
    wr_feeds_look(feeds, &t);
    T(t.followers == 1 && t.answers == 1 && t.bytes == 7 && t.dropped == 1 && t.refused == 0);
    T(ask(GET("/feed/other.db?id=1&after=ff" STATE)) == 410); /* it was told */
    wr_feeds_look(feeds, &t);
    T(t.dropped == 1);
    T(ask(GET("/feed/other.db?id=0&after=1" STATE)) == 400);
    T(ask(GET("/feed/other.db?id=1&after=x" STATE)) == 400);
    T(ask(GET("/feed/other.db?after=1" STATE)) == 400);
    T(ask(GET("/feed/other.db?id=1&after=1&life=0&part=-1&wait=0")) == 400);
    T(ask(GET("/feed/none.db?id=1&after=1" STATE)) == 404);
}

/* A follower asked for each commit: two of three times that a primary was woken. */
static void test_an_answer_goes_on(void **state)
{
    static const char flow[] = "&flow=1&life=0&part=0&wait=8000";
    struct wr_feeds_totals t;
    char text[500];

    (void)state;
    serve(TOKEN, 4);
    (void)snprintf(text, sizeof(text), "GET /feed/other.db?id=1&after=1fc%s HTTP/1.1\r\n" AUTH "%s",
        flow, END);
    T(ask(text) == 200 && strstr(got, "X-Accel-Buffering: no\r\n"));
    T(strstr(got, "\r\n\r\n7\r\nrecords\r\n7\r\nrecords\r\n0\r\n\r\n"));
    wr_feeds_look(feeds, &t);
    T(t.followers == 1 && t.answers == 2 && t.bytes == 14);
    /* A proxy might keep it until it is over. */
    (void)snprintf(text, sizeof(text),
        "GET /feed/other.db?id=1&after=1fc%s HTTP/1.1\r\nVia: 1.1 cache\r\n" AUTH "%s", flow, END);
    T(ask(text) == 200 && strstr(got, "Content-Length: 7\r\n"));
    T(strstr(got, "\r\n\r\nrecords") && !strstr(got, "chunked"));
    /* And so it is with what is none. */
    (void)snprintf(
        text, sizeof(text), "GET /feed/other.db?id=1&after=fe%s HTTP/1.1\r\n" AUTH "%s", flow, END);
    T(ask(text) == 204);
    (void)snprintf(
        text, sizeof(text), "GET /feed/other.db?id=1&after=ff%s HTTP/1.1\r\n" AUTH "%s", flow, END);
    T(ask(text) == 410);
}

/* It is over when it is long enough, and with the time that it was to wait. */
static void test_an_answer_that_goes_on_is_bounded(void **state)
{
    struct wr_feeds_totals t;

    (void)state;
    serve(TOKEN, 4);
    T(ask(GET("/feed/other.db?id=1&after=1000&flow=1&life=0&part=0&wait=0")) == 200);
    T(strstr(got, "\r\n\r\n7\r\nrecords\r\n0\r\n\r\n"));
    fake.records = (size_t)300 << 10;
    T(ask(GET("/feed/other.db?id=1&after=1000&flow=1&life=0&part=0&wait=8000")) == 200);
    wr_feeds_look(feeds, &t);
    T(t.answers == 1 + 4 && t.bytes == 7 + 4 * fake.records); /* with the fourth it is 1 MiB */
}

static void come_and_go(void *arg)
{
    char text[500], answer[2000];

    (void)snprintf(text, sizeof(text),
        "GET /feed/other.db?id=%d&after=1f0&flow=1&life=0&part=0&wait=8000 HTTP/1.1\r\n" AUTH END,
        1 + *(const int *)arg);
    for (int i = 0; i < 50; i++)
        T(ask_into(text, answer, sizeof(answer)) == 200);
}

/* What tied one to a list was looked at without the lock under which its neighbours change it; a
 * sanitizer of threads sees that. */
static void test_they_come_and_go_together(void **state)
{
    struct wr_thread threads[6];
    int numbers[wr_countof(threads)];
    struct wr_feeds_totals t;
    struct wr_err e = {0};

    (void)state;
    serve(TOKEN, wr_countof(threads));
    for (int i = 0; i < (int)wr_countof(threads); i++) {
        numbers[i] = i;
        T_OK(wr_thread_start(&threads[i], "follower", 0, come_and_go, &numbers[i], &e));
    }
    for (size_t i = 0; i < wr_countof(threads); i++)
        wr_thread_join(&threads[i]);
    wr_feeds_look(feeds, &t);
    T(t.followers == wr_countof(threads) && t.answers == wr_countof(threads) * 50 * 14);
}

static void test_there_are_so_many_and_no_more(void **state)
{
    struct wr_feeds_totals t;

    (void)state;
    serve(TOKEN, 2);
    T(ask(GET("/feed/other.db?id=1&after=1" STATE)) == 200);
    T(ask(GET("/feed/other.db?id=2&after=1" STATE)) == 200);
    T(ask(GET("/feed/other.db?id=3&after=1" STATE)) == 503);
    T(ask(GET("/feed/other.db?id=1&after=1" STATE)) == 200);
    T(ask(GET("/feed/other.db")) == 200); /* where the replica is anybody may ask */
    T(strstr(got, "\nreplica s3://bucket/app?endpoint=minio%3A9000\n"));
    wr_feeds_look(feeds, &t);
    T(t.followers == 2 && t.refused == 1);
}

static void test_another_configuration(void **state)
{
    const struct wr_config_serve nowhere = {.max_followers = 128};
    struct wr_err e = {0};

    (void)state;
    serve(TOKEN, 4);
    serve("another-one-of-16", 4);
    T(ask(GET("/feed/other.db")) == 401);
    serve(TOKEN, 4);
    T(ask(GET("/feed/other.db")) == 200);
    T_OK(wr_feeds_serve(feeds, &nowhere, &e));
    serve(NULL, 4);
    T(ask("GET /feed/other.db HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") == 200);
}

/* The old door was closed before it was seen that there is no new one. */
static void test_a_port_that_is_taken(void **state)
{
    struct wr_feeds *other = wr_feeds_new(fleet, &logger);
    const struct wr_config_serve c = {.addr = addr, .token = TOKEN, .max_followers = 4};
    struct wr_err e = {0};
    char own[sizeof(addr)], taken[sizeof(addr)], wrong[sizeof(addr)];

    (void)state;
    serve(TOKEN, 4);
    T(other);
    T_IS(WR_BUSY, wr_feeds_serve(other, &c, &e));
    T(!strstr(e.text, TOKEN));
    memcpy(taken, addr, sizeof(addr));
    free_addr(addr, sizeof(addr));
    T(strcmp(addr, taken) != 0);
    memcpy(own, addr, sizeof(addr));
    T_OK(wr_feeds_serve(other, &c, &e)); /* c.addr is `addr`, which is another one by now */
    T(ask(GET("/feed/other.db")) == 200);
    memcpy(addr, taken, sizeof(addr));
    T_IS(WR_BUSY, wr_feeds_serve(other, &c, &e));
    memcpy(addr, own, sizeof(addr));
    T(ask(GET("/feed/other.db")) == 200); /* it is as before */
    (void)snprintf(wrong, sizeof(wrong), "192.0.2.1:%s", strchr(own, ':') + 1);
    memcpy(addr, wrong, sizeof(addr)); /* the same port, for which the old one makes way */
    T(wr_feeds_serve(other, &c, &e) != WR_OK);
    memcpy(addr, own, sizeof(addr));
    T(ask(GET("/feed/other.db")) == 200);
    (void)snprintf(addr, sizeof(addr), "localhost:%s", strchr(own, ':') + 1);
    T_OK(wr_feeds_serve(other, &c, &e)); /* and for one that works */
    wr_feeds_free(other);
}

/* ---- those who wait ---- */

static int answered;

static void wait_for_it(void *arg)
{
    (void)arg;
    answered = ask(GET("/feed/other.db?id=1&after=fd&life=0&part=0&wait=8000"));
}

/* The same in the middle of an answer. */
static void wait_in_it(void *arg)
{
    (void)arg;
    answered = ask(GET("/feed/other.db?id=2&after=fc&flow=1&life=0&part=0&wait=8000"));
}

/* A reload that changes who may follow, a stop, or a database that goes, waited as long as they. */
static void test_nobody_waits_for_those_who_wait(void **state)
{
    const struct wr_config_serve nowhere = {.max_followers = 128};
    struct wr_thread thread;
    struct wr_err e = {0};
    weir_error err = {0};

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        unsigned way = i / 2;
        bool flows = i % 2 == 1;

        serve(TOKEN, 4);
        T_OK(wr_thread_start(&thread, "follower", 0, flows ? wait_in_it : wait_for_it, NULL, &e));
        while (atomic_load(&fake.waiting) == i)
            t_sleep_ms(1);
        if (way == 0)
            T_OK(wr_feeds_serve(feeds, &nowhere, &e));
        else if (way == 1)
            T(wr_fleet_remove(fleet, "/data/two/other.db", 0, NULL, &err) == WEIR_OK);
        else
            wr_fleet_cancel(fleet);
        wr_thread_join(&thread);
        if (flows) /* as far as it had come */
            T(answered == 200 && strstr(got, "\r\n\r\n7\r\nrecords\r\n") &&
                (way == 0 || strstr(got, "\r\n0\r\n\r\n")));
        else
            T(answered == 503 || (way == 0 && answered == 0));
        if (way == 1)
            add("/data/two/other.db");
    }
    T(ask(GET("/feed/other.db?id=1&after=fd&life=0&part=0&wait=8000")) == 503); /* it is over */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* A page in a browser of this machine asks for a name of its own, which it has moved here
 * meanwhile: for the browser it is one place all along, so that the page could read the answer. */
static void test_a_name_that_was_moved_here(void **state)
{
    static const struct {
        const char *host;
        int code;
    } cases[] = {{"localhost", 200}, {"localhost:9", 200}, {"127.0.0.1:9", 200}, {"[::1]:9", 200},
        {"example.org", 403}, {"example.org:9", 403}, {"127.example.org", 403}, {"", 403},
        {"localhost.example.org", 403}};
    char request[200];

    (void)state;
    serve(NULL, 4);
    for (size_t i = 0; i < wr_countof(cases); i++) {
        (void)snprintf(request, sizeof(request),
            "GET /feed/other.db HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", cases[i].host);
        T(ask(request) == cases[i].code);
        T(cases[i].code == 200 || strstr(got, "without a token only this machine is served"));
    }
    T(ask("GET /feed/other.db HTTP/1.0\r\n\r\n") == 200); /* no browser */
    serve(TOKEN, 4);
    T(ask(GET("/feed/other.db")) == 200); /* for any name */
}

T_MAIN(TEST(test_the_token), TEST(test_a_name_that_was_moved_here), TEST(test_which_database),
    TEST(test_what_follows), TEST(test_an_answer_goes_on),
    TEST(test_an_answer_that_goes_on_is_bounded), TEST(test_they_come_and_go_together),
    TEST(test_there_are_so_many_and_no_more), TEST(test_another_configuration),
    TEST(test_a_port_that_is_taken), TEST(test_nobody_waits_for_those_who_wait))
