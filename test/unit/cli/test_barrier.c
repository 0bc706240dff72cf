/*
 * When a program may use its databases, over a library that answers as scripted.
 */
#include "daemon/barrier.h"
#include "harness/t.h"
#include "unit/cli/fake_weir.h"

#include <fcntl.h>
#include <signal.h>

#define LONG_MS 60000 /* never waited for */

static struct wr_logger logger;
static struct wr_signals signals;
static struct wr_fleet *fleet;
static const char *log_path;
static int log_fd, looks;
static weir_error err;
static weir_cancel *cancel;

static int set_up(void **state)
{
    struct wr_err e = {0};

    (void)state;
    memset(&fake, 0, sizeof(fake));
    ndbs = 0;
    looks = 0;
    err = (weir_error){0};
    fake.sight = (weir_db_sight){.seen = WEIR_SEEN_INDEX, .proven = 1};
    fake.replica.url = "s3://b/a";
    fake.replica.state = "ready";
    fake.replica.safe_txid = 7;
    log_path = t_path(t_tmpdir(), "log");
    log_fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    wr_logger_init(&logger, log_fd, WR_LOG_FORMAT_TEXT, WEIR_LOG_WARN);
    cancel = weir_cancel_new();
    T_OK(wr_signals_start_for_child(&signals, cancel, 8, &e));
    fleet = wr_fleet_new(&the_runtime, &logger);
    return fleet ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wr_fleet_free(fleet);
    wr_signals_stop(&signals);
    weir_cancel_free(cancel);
    wr_logger_release(&logger);
    return close(log_fd);
}

static void add(const char *path)
{
    struct wr_config *c = NULL;
    struct wr_err e = {0};
    const char *url = "s3://b/a";

    T_OK(wr_config_adhoc(t_call()->scratch, path, &url, 1, NULL, &c, &e));
    T(wr_fleet_add(fleet, &c->dbs[0], NULL, &err) == WEIR_OK);
}

static int wait_ms(int64_t ms)
{
    return wr_barrier_wait(fleet, &signals, &logger, ms, &err);
}

static bool logged(const char *text)
{
    struct wr_bytes b = t_slurp(log_path);
    size_t n = strlen(text);

    for (size_t i = 0; i + n <= b.n; i++)
        if (memcmp(b.p + i, text, n) == 0)
            return true;
    return false;
}

static void test_nothing_to_wait_for(void **state)
{
    (void)state;
    T(wait_ms(LONG_MS) == WEIR_OK); /* no databases */
    add("/a.db");
    T(wait_ms(LONG_MS) == WEIR_OK);
    fake.sight = (weir_db_sight){.seen = WEIR_SEEN_NOTHING}; /* the program will make it */
    fake.replica.state = "listing";
    fake.replica.safe_txid = 0;
    T(wait_ms(LONG_MS) == WEIR_OK);
    T(t_slurp(log_path).n == 0);
}

static void proven_at_third_look(const char *path, weir_db_sight *ret)
{
    ret->proven = strcmp(path, "/a.db") == 0 || ++looks == 3;
}

static void test_waits_for_all_of_them(void **state)
{
    (void)state;
    add("/a.db");
    add("/b.db");
    fake.tune_sight = proven_at_third_look;
    T(wait_ms(LONG_MS) == WEIR_OK);
    T(looks == 3 && t_slurp(log_path).n == 0);
}

/* As much as a flag can say. */
static void test_waits_for_ages(void **state)
{
    (void)state;
    add("/b.db");
    fake.tune_sight = proven_at_third_look;
    T(wait_ms(INT64_MAX / 1000000) == WEIR_OK);
    T(looks == 3 && t_slurp(log_path).n == 0);
}

static void known_at_third_look(const char *path, uint32_t i, weir_replica_info *ret)
{
    (void)path;
    (void)i;
    looks++;
    ret->state = looks == 4 ? "sending" : looks == 3 ? "ready" : "listing";
    ret->safe_txid = 0;
}

static void test_waits_for_the_replica(void **state)
{
    (void)state;
    add("/a.db");
    fake.tune_replica = known_at_third_look;
    T(wait_ms(LONG_MS) == WEIR_OK);
    T(looks == 4);
}

static void test_one_that_was_stopped_is_not_waited_for(void **state)
{
    weir_txid txid = 0;
    bool was = false;

    (void)state;
    add("/a.db");
    fake.sight.proven = 0;
    T(wr_fleet_stop(fleet, "/a.db", 0, &was, &txid, &err) == WEIR_OK);
    T(wait_ms(LONG_MS) == WEIR_OK);
}

/* A store that is out of reach keeps no application down. */
static void test_goes_on_after_the_time(void **state)
{
    (void)state;
    add("/a.db");
    fake.replica.state = "listing";
    fake.replica.safe_txid = 0;
    (void)snprintf(fake.replica.error, sizeof(fake.replica.error), "connection refused");
    T(wait_ms(30) == WEIR_OK);
    T(logged("level=WARN msg=\"the command starts before this is replicated\" db=/a.db "
             "replica=s3://b/a error=\"connection refused\"\n"));
    T(wait_ms(0) == WEIR_OK);
    fake.sight.proven = 0; /* as that waits for the replica nothing is said of it */
    fake.replica.error[0] = 0;
    T(wait_ms(0) == WEIR_OK);
    T(logged("replica=s3://b/a error=\"it has not answered yet\"\n") && !logged("replica=\"\""));
}

static void test_says_what_holds_the_database_up(void **state)
{
    (void)state;
    add("/a.db");
    fake.sight.proven = 0;
    (void)snprintf(fake.db.error, sizeof(fake.db.error), "no room");
    T(wait_ms(0) == WEIR_OK);
    T(logged("db=/a.db replica=\"\" error=\"no room\"\n"));
    fake.db.error[0] = 0;
    T(wait_ms(0) == WEIR_OK);
    T(logged("db=/a.db replica=\"\" error=\"it is being read\"\n"));
}

static void test_what_will_never_be(void **state)
{
    (void)state;
    add("/a.db");
    fake.sight.proven = 0;
    fake.db.error_code = WEIR_UNSUPPORTED;
    (void)snprintf(fake.db.error, sizeof(fake.db.error), "not a database");
    T(wait_ms(LONG_MS) == WEIR_UNSUPPORTED && err.code == WEIR_UNSUPPORTED);
    assert_string_equal(err.message, "/a.db: not a database");
    fake.db.error_code = WEIR_CONFLICT;
    (void)snprintf(fake.db.error, sizeof(fake.db.error), "open /a.db: it is another one");
    T(wait_ms(LONG_MS) == WEIR_CONFLICT);
    assert_string_equal(err.message, "open /a.db: it is another one"); /* the path once */
    T(t_slurp(log_path).n == 0);
}

static void test_a_replica_that_is_anothers(void **state)
{
    (void)state;
    add("/a.db");
    fake.second = fake.replica;
    fake.second.state = "stopped";
    fake.second.error_code = WEIR_CONFLICT;
    memset(fake.second.error, 'x', sizeof(fake.second.error) - 1);
    T(wait_ms(LONG_MS) == WEIR_CONFLICT);
    T(strncmp(err.message, "/a.db: xxx", 10) == 0 &&
        strlen(err.message) == sizeof(err.message) - 1);
}

static void gone_at_third_look(const char *path, weir_db_info *ret)
{
    (void)path;
    ret->rival = ++looks < 3;
    ret->error_code = ret->rival ? WEIR_BUSY : WEIR_OK;
    fake.sight.proven = !ret->rival;
}

static void test_waits_for_a_predecessor(void **state)
{
    (void)state;
    add("/a.db");
    fake.sight.proven = 0;
    fake.tune_db = gone_at_third_look;
    T(wait_ms(LONG_MS) == WEIR_OK);
    T(looks >= 3);
}

static void test_a_rival_that_stays(void **state)
{
    (void)state;
    add("/a.db");
    fake.sight.proven = 0;
    fake.db.rival = 1;
    fake.db.error_code = WEIR_BUSY;
    (void)snprintf(fake.db.error, sizeof(fake.db.error), "held by pid 7");
    T(wait_ms(30) == WEIR_BUSY && err.code == WEIR_BUSY);
    assert_string_equal(err.message, "/a.db: held by pid 7");
    T(t_slurp(log_path).n == 0); /* it does not start, so nothing is said of that */
}

static void ask_to_stop(const char *path, weir_db_sight *ret)
{
    (void)path;
    (void)ret;
    if (looks++ == 1)
        T(kill(getpid(), SIGTERM) == 0);
}

/* Also when there is something wrong: it does not matter any more. */
static void test_told_to_stop(void **state)
{
    (void)state;
    add("/a.db");
    fake.sight.proven = 0;
    fake.tune_sight = ask_to_stop;
    T(wait_ms(LONG_MS) == WEIR_OK);
    T(wr_signals_asked(&signals) == SIGTERM && t_slurp(log_path).n == 0);
}

#define B_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
T_MAIN(B_TEST(test_nothing_to_wait_for), B_TEST(test_waits_for_all_of_them),
    B_TEST(test_waits_for_ages), B_TEST(test_waits_for_the_replica),
    B_TEST(test_one_that_was_stopped_is_not_waited_for), B_TEST(test_goes_on_after_the_time),
    B_TEST(test_says_what_holds_the_database_up), B_TEST(test_what_will_never_be),
    B_TEST(test_a_replica_that_is_anothers), B_TEST(test_waits_for_a_predecessor),
    B_TEST(test_a_rival_that_stays), B_TEST(test_told_to_stop))
