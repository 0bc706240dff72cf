/*
 * What a service manager is told. The manager here is a socket that is read.
 */
#include "daemon/service.h"
#include "harness/t.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define WATCHDOG_MS 120
#define PATIENT_MS  20000 /* a wait that ends only when a test fails */

static _Atomic int64_t held;

static int64_t held_ms(void *arg)
{
    (void)arg;
    return atomic_load(&held);
}

/* A socket of that name, of which the environment tells. */
static int manager(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(name);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    T(fd >= 0 && n < sizeof(at.sun_path));
    memcpy(at.sun_path, name, n);
    if (name[0] == '@')
        at.sun_path[0] = 0;
    else
        n++;
    T(bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) ==
        0);
    T(setenv("NOTIFY_SOCKET", name, 1) == 0);
    return fd;
}

/* The next word of ours, or "" when none comes in that time. */
static const char *heard(int fd, int ms)
{
    static char text[64];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n = poll(&p, 1, ms) == 1 ? recv(fd, text, sizeof(text) - 1, 0) : 0;

    T(n >= 0);
    text[n] = 0;
    return text;
}

static void watchdog(const char *usec, const char *pid)
{
    T((usec ? setenv("WATCHDOG_USEC", usec, 1) : unsetenv("WATCHDOG_USEC")) == 0);
    T((pid ? setenv("WATCHDOG_PID", pid, 1) : unsetenv("WATCHDOG_PID")) == 0);
}

static const char *pid_text(long offset)
{
    static char text[32];

    (void)snprintf(text, sizeof(text), "%ld", (long)getpid() + offset);
    return text;
}

static void test_nobody_asked(void **state)
{
    struct wr_service s;
    struct wr_err e = {0};

    (void)state;
    T(unsetenv("NOTIFY_SOCKET") == 0);
    watchdog("120000", NULL);
    T_OK(wr_service_begin(&s, &e));
    T_OK(wr_service_ready(&s, held_ms, NULL, &e));
    T(s.fd == -1 && !s.beating);
    wr_service_end(&s);
}

static void test_ready_and_stopping(void **state)
{
    const char *const names[] = {t_path(t_tmpdir(), "socket"), "@weir-test-service"};
    struct wr_service s;
    struct wr_err e = {0};

    (void)state;
    watchdog(NULL, NULL);
    for (size_t i = 0; i < wr_countof(names); i++) {
        int fd = manager(names[i]);

        T_OK(wr_service_begin(&s, &e));
        T_OK(wr_service_ready(&s, held_ms, NULL, &e));
        assert_string_equal(heard(fd, PATIENT_MS), "READY=1");
        T(!s.beating);
        wr_service_end(&s);
        assert_string_equal(heard(fd, PATIENT_MS), "STOPPING=1");
        T(close(fd) == 0);
    }
}

static void test_status(void **state)
{
    struct wr_service s;
    struct wr_err e = {0};
    char long_text[2000];
    int fd = manager("@weir-test-status");

    (void)state;
    watchdog(NULL, NULL);
    T_OK(wr_service_begin(&s, &e));
    wr_service_status(&s, "replicating 1 database, all in sync");
    assert_string_equal(heard(fd, PATIENT_MS), "STATUS=replicating 1 database, all in sync");
    wr_service_status(&s, "two\nREADY=1");
    assert_string_equal(heard(fd, PATIENT_MS), "STATUS=two?READY=1");
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = 0;
    wr_service_status(&s, long_text); /* cut, and no more */
    T(strncmp(heard(fd, PATIENT_MS), "STATUS=xxx", 10) == 0);
    wr_service_end(&s);
    T(close(fd) == 0);

    T(unsetenv("NOTIFY_SOCKET") == 0); /* and where nobody wants to know */
    T_OK(wr_service_begin(&s, &e));
    wr_service_status(&s, "x");
    wr_service_end(&s);
}

/* Beats come by themselves; none comes while writers have been waiting for us for long. */
static void test_beats_until_writers_wait(void **state)
{
    struct wr_service s;
    struct wr_err e = {0};
    int fd = manager("@weir-test-beats");

    (void)state;
    watchdog("120000", pid_text(0));
    atomic_store(&held, 0);
    T_OK(wr_service_begin(&s, &e));
    T_OK(wr_service_ready(&s, held_ms, NULL, &e));
    for (int beats = 0; beats < 5;)
        beats += strcmp(heard(fd, PATIENT_MS), "WATCHDOG=1") == 0;

    atomic_store(&held, WATCHDOG_MS / 2);
    while (heard(fd, 3 * WATCHDOG_MS)[0])
        ;
    atomic_store(&held, WATCHDOG_MS / 4);
    assert_string_equal(heard(fd, PATIENT_MS), "WATCHDOG=1");
    wr_service_end(&s);
    T(close(fd) == 0);
}

static void test_a_watchdog_for_another_process(void **state)
{
    struct wr_service s;
    struct wr_err e = {0};
    int fd = manager("@weir-test-other");

    (void)state;
    watchdog("120000", pid_text(1));
    T_OK(wr_service_begin(&s, &e));
    T_OK(wr_service_ready(&s, held_ms, NULL, &e));
    T(!s.beating);
    wr_service_end(&s);
    T(close(fd) == 0);
}

/* What cannot be meant is told, and what can be is done all the same. */
static void test_bad_environment(void **state)
{
    static const char *const times[] = {"1s", "-1", "0", "2999", "18446744073709551615"};
    char longer[200];
    struct wr_service s;
    struct wr_err e = {0};
    int fd = manager("@weir-test-bad");

    (void)state;
    for (size_t i = 0; i < wr_countof(times); i++) {
        watchdog(times[i], NULL);
        T_IS(WR_MISUSE, wr_service_begin(&s, &e));
        T(strstr(e.text, times[i]));
        T_OK(wr_service_ready(&s, held_ms, NULL, &e));
        assert_string_equal(heard(fd, PATIENT_MS), "READY=1");
        wr_service_end(&s);
        assert_string_equal(heard(fd, PATIENT_MS), "STOPPING=1");
    }
    T(close(fd) == 0);

    watchdog("120000", NULL);
    memset(longer, 'x', sizeof(longer));
    longer[0] = '/';
    longer[sizeof(longer) - 1] = 0;
    for (int i = 0; i < 3; i++) {
        T(setenv("NOTIFY_SOCKET", i == 0 ? "relative" : i == 1 ? "@" : longer, 1) == 0);
        T_IS(WR_MISUSE, wr_service_begin(&s, &e));
        T_OK(wr_service_ready(&s, held_ms, NULL, &e));
        T(!s.beating);
        wr_service_end(&s);
    }
}

T_MAIN(T_TEST(test_nobody_asked), T_TEST(test_ready_and_stopping), T_TEST(test_status),
    T_TEST(test_beats_until_writers_wait), T_TEST(test_a_watchdog_for_another_process),
    T_TEST(test_bad_environment))
