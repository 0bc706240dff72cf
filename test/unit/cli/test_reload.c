/*
 * A configuration read again, over a library that notes what it is asked: what begins, what ends,
 * in which order, and who is left alone.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "daemon/difference.h"
#include "daemon/reload.h"
#include "harness/t.h"
#include "unit/cli/fake_weir.h"

#include <fcntl.h>
#include <unistd.h>

#define ONE(db, replica) "  - {path: " db ", replica: {url: 'file://" replica "'}}\n"

static struct wr_logger logger;
static int log_fd;
static const char *log_path;
static struct wr_reload r;
static struct wr_config *now;

static struct wr_config *load(const char *text)
{
    const char *path = t_path(t_tmpdir(), "c.yml");
    struct wr_config *c = NULL;
    struct wr_err e = {0};

    t_spew(path, text, strlen(text));
    T_OK(wr_config_load(t_call()->scratch, path, false, &c, &e));
    return c;
}

/* A fleet that is as `text` says. */
static void begin(const char *text)
{
    weir_error err = {0};

    memset(&fake, 0, sizeof(fake));
    fake.db.struct_size = sizeof(fake.db);
    ndbs = 0;
    log_path = t_path(t_tmpdir(), "log");
    log_fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    wr_logger_init(&logger, log_fd, WR_LOG_FORMAT_TEXT, WEIR_LOG_INFO);
    r = (struct wr_reload){.w = &the_runtime,
        .fleet = wr_fleet_new(&the_runtime, &logger),
        .log = &logger,
        .last_sync_ms = 77};
    now = load(text);
    for (size_t i = 0; i < now->ndbs; i++)
        T(wr_fleet_add(r.fleet, &now->dbs[i], NULL, &err) == WEIR_OK);
    fake.calls[0] = '\0';
}

/* What was called, without the settings. */
static void reload(const char *text, const char *want)
{
    struct wr_config *next = load(text);

    wr_reload_apply(&r, now, next);
    now = next;
    assert_string_equal(fake.calls, want);
    fake.calls[0] = '\0';
}

static void end(void)
{
    wr_fleet_free(r.fleet);
    wr_logger_release(&logger);
    T(close(log_fd) == 0);
}

static bool said(const char *text)
{
    struct wr_bytes b = t_slurp(log_path);
    struct wr_str s = {.p = (const char *)b.p, .n = b.n};
    size_t n = strlen(text);

    for (size_t i = 0; i + n <= s.n; i++)
        if (memcmp(s.p + i, text, n) == 0)
            return true;
    return false;
}

static void test_nothing_has_changed(void **state)
{
    (void)state;
    begin("dbs:\n" ONE("/a", "/ra") ONE("/b", "/rb"));
    reload("# a comment\ndbs:\n" ONE("/b", "/rb") ONE("/a", "/ra"), "");
    end();
}

/* The URL of one that goes may be that of one that comes. */
static void test_one_goes_before_another_comes(void **state)
{
    (void)state;
    begin("dbs:\n" ONE("/a", "/ra") ONE("/b", "/rb"));
    reload("dbs:\n" ONE("/c", "/ra") ONE("/b", "/rb"),
        "sync(/a) remove(/a,0) add(/c) replica(file:///ra,sync-interval=1s)");
    T(fake.waited_ms == 77);
    T(said("msg=\"reload: database removed\" path=/a"));
    T(said("msg=\"reload: database added\" path=/c"));
    end();
}

/* Nobody can have a URL that another one has not left yet. */
static void test_two_change_places(void **state)
{
    (void)state;
    begin("dbs:\n" ONE("/a", "/ra") ONE("/b", "/rb"));
    reload("dbs:\n" ONE("/a", "/rb") ONE("/b", "/ra"),
        "sync(/a) remove(/a,0) sync(/b) remove(/b,0) "
        "add(/a) replica(file:///rb,sync-interval=1s) "
        "add(/b) replica(file:///ra,sync-interval=1s)");
    end();
}

/* What could not be added was never tried again: the next file was the same. */
static void test_what_has_failed_is_tried_again(void **state)
{
    (void)state;
    begin("");
    fake.db_add = WEIR_LIMIT;
    reload("dbs:\n" ONE("/a", "/ra"), "add(/a)");
    fake.db_add = WEIR_OK;
    reload("dbs:\n" ONE("/a", "/ra"), "add(/a) replica(file:///ra,sync-interval=1s)");
    T(wr_fleet_count(r.fleet) == 1);
    end();
}

static void test_absent_ones_are_tried_again(void **state)
{
    struct wr_absent *absent;
    weir_error err = {0};

    (void)state;
    begin("dbs:\n" ONE("/a", "/ra"));
    absent = wr_fleet_absent(r.fleet);
    fake.db_add = WEIR_LIMIT;
    reload("dbs:\n" ONE("/a", "/ra") ONE("/b", "/rb") ONE("/c", "/rc") ONE("/d", "/rd"),
        "add(/b) add(/c) add(/d)");
    T(said("path=/b error=\"/b: limit\""));
    T(ftruncate(log_fd, 0) == 0 && lseek(log_fd, 0, SEEK_SET) == 0);
    wr_reload_again(&r, now);
    assert_string_equal(fake.calls, "add(/b) add(/c) add(/d)");
    T(t_slurp(log_path).n == 0 && wr_absent_count(absent) == 3);
    fake.db_add = WEIR_CANCELED; /* it is as it was, and nobody goes on */
    fake.calls[0] = '\0';
    wr_reload_again(&r, now);
    assert_string_equal(fake.calls, "add(/b)");
    T(t_slurp(log_path).n == 0 && wr_absent_count(absent) == 3);
    fake.db_add = WEIR_OK;
    fake.calls[0] = '\0';
    wr_absent_drop(absent, "/c"); /* it was unregistered: nobody wants it */
    wr_reload_again(&r, now);
    assert_string_equal(fake.calls, "add(/b) replica(file:///rb,sync-interval=1s) "
                                    "add(/d) replica(file:///rd,sync-interval=1s)");
    T(said("a database that could not be begun with is replicated from now on\" path=/b"));
    T(wr_absent_count(absent) == 0);
    T(wr_fleet_remove(r.fleet, "/a", 0, NULL, &err) == WEIR_OK);
    fake.calls[0] = '\0';
    wr_reload_again(&r, now); /* it is not absent: it was unregistered */
    assert_string_equal(fake.calls, "");
    end();
}

static void test_each_kind_of_change(void **state)
{
    static const char *const others[][2] = {
        {"dbs:\n" ONE("/a", "/rb"), "keys=replica.url\n"},
        {"dbs: [{path: /a, replicas: [{url: 'file:///ra'}, {url: 'file:///rb'}]}]\n",
            "keys=replicas\n"},
        {"dbs: [{path: /a, replica: {url: 'file:///ra', sync-interval: 2s}}]\n",
            "keys=replica.sync-interval\n"},
        {"dbs: [{path: /a, min-checkpoint-page-count: 7, replica: {url: 'file:///ra'}}]\n",
            "keys=min-checkpoint-page-count\n"},
        {"snapshot: {interval: 12h}\ndbs:\n" ONE("/a", "/rb"),
            "keys=\"snapshot.interval, replica.url\"\n"},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(others); i++) {
        begin("dbs:\n" ONE("/a", "/ra"));
        wr_reload_apply(&r, now, load(others[i][0]));
        T(strstr(fake.calls, "sync(/a) remove(/a,0) add(/a) replica(") == fake.calls);
        T(said("msg=\"reload: database changed, begins anew\" path=/a keys="));
        T(said(others[i][1]));
        end();
    }
}

/* Names of keys, each once, and never a value. */
static void test_the_keys_that_differ(void **state)
{
    static const char *const none[] = {NULL};
    static const char *const some[] = {"region", "a", "secret-access-key", "x", NULL};
    static const char *const other[] = {"region", "b", "endpoint", "e", NULL};
    static const char *const many[] = {"sse-customer-key-md5", "1", "sse-customer-algorithm", "2",
        "require-content-md5", "3", "force-path-style", "4", "sse-kms-key-id", "5", "storage-class",
        "6", NULL};
    struct wr_config_replica first[2] = {{.url = "s3://b/a", .settings = some},
        {.url = "s3://b/b", .settings = none}},
                             second[2] = {{.url = "s3://b/a", .settings = other},
                                 {.url = "s3://b/c", .settings = many}};
    struct wr_config_db a = {.path = "/a", .settings = none, .replicas = first, .nreplicas = 1}, b;
    char keys[WR_DIFFERENCE_MAX];

    (void)state;
    b = a;
    T(!wr_difference(&a, &b, keys) && !keys[0] && !wr_difference(&a, &b, NULL));
    b.replicas = second;
    T(wr_difference(&a, &b, keys) && wr_difference(&a, &b, NULL));
    assert_string_equal(keys, "replica.region, replica.secret-access-key, replica.endpoint");
    a.nreplicas = b.nreplicas = 2;
    T(wr_difference(&a, &b, keys));
    assert_string_equal(keys,
        "replicas[0].region, replicas[0].secret-access-key, replicas[0].endpoint, "
        "replicas[1].url, replicas[1].sse-customer-key-md5, "
        "replicas[1].sse-customer-algorithm, replicas[1].require-content-md5, "
        "replicas[1].force-path-style, "
        "replicas[1].sse-kms-key-id, ...");
}

static void test_who_was_registered_stays(void **state)
{
    const char *url = "file:///rx";
    struct wr_config *c = NULL;
    struct wr_err e = {0};
    weir_error err = {0};

    (void)state;
    begin("dbs:\n" ONE("/a", "/ra"));
    T_OK(wr_config_adhoc(t_call()->scratch, "/x", &url, 1, NULL, &c, &e));
    T(wr_fleet_add(r.fleet, &c->dbs[0], NULL, &err) == WEIR_OK);
    fake.calls[0] = '\0';
    reload("", "sync(/a) remove(/a,0)");
    T(wr_fleet_count(r.fleet) == 1);
    end();
}

static void test_who_was_unregistered_is_gone(void **state)
{
    weir_error err = {0};

    (void)state;
    begin("dbs:\n" ONE("/a", "/ra"));
    T(wr_fleet_remove(r.fleet, "/a", 0, NULL, &err) == WEIR_OK);
    fake.calls[0] = '\0';
    reload("", "");
    T(!said("level=ERROR"));
    end();
}

static void test_a_failure_keeps_no_other(void **state)
{
    static const int io[] = {WEIR_IO, -1};

    (void)state;
    begin("dbs:\n" ONE("/a", "/ra") ONE("/b", "/rb"));
    fake.sync = io;
    fake.db_add = WEIR_LIMIT;
    reload("dbs:\n" ONE("/a", "/r2") ONE("/c", "/rc") ONE("/d", "/rd"),
        "sync(/b) remove(/b,0) sync(/a) remove(/a,0) add(/a) add(/c) add(/d)");
    T(said("path=/b error=\"/b: io\""));
    T(said("path=/c error=\"/c: limit\"") && said("path=/d error=\"/d: limit\""));
    T(wr_fleet_count(r.fleet) == 0);
    T(wr_absent_count(wr_fleet_absent(r.fleet)) == 3); /* for all to see */
    fake.db_add = WEIR_OK;
    fake.sync = NULL;
    reload("dbs:\n" ONE("/a", "/r2") ONE("/c", "/rc"),
        "add(/a) replica(file:///r2,sync-interval=1s) "
        "add(/c) replica(file:///rc,sync-interval=1s)");
    T(wr_absent_count(wr_fleet_absent(r.fleet)) == 0); /* /d is not wanted any more */
    end();
}

static void test_restores_a_new_one_that_is_missing(void **state)
{
    (void)state;
    begin("");
    reload("dbs: [{path: /nonexistent/a, restore-if-db-not-exists: true, replica: {url: "
           "'file:///ra'}}]\n",
        "restore(file:///ra,/nonexistent/a) add(/nonexistent/a) "
        "replica(file:///ra,sync-interval=1s,adopt)");
    end();
}

/* Each list of an outcome, as "+/c -/a ~/b !/d ^addr ?warning". */
static const char *outcome_text(const struct wr_outcome *o)
{
    static const char signs[] = "+-~!^?";
    static struct wr_buf b;

    wr_buf_clear(&b);
    b.max = 4096;
    for (const struct wr_outcome_item *i = o->first; i; i = i->next)
        wr_buf_fmt(&b, "%s%c%s", i == o->first ? "" : " ", signs[i->kind], i->name);
    wr_buf_byte(&b, '\0');
    T(wr_buf_status(&b) == WR_OK);
    return (const char *)b.p;
}

static void test_what_has_changed_is_told(void **state)
{
    (void)state;
    begin("dbs:\n" ONE("/a", "/ra") ONE("/b", "/rb") ONE("/d", "/rd"));
    r.outcome = wr_outcome_new();
    reload("addr: :1\ndbs:\n" ONE("/b", "/r2") ONE("/c", "/rc") ONE("/d", "/rd"),
        "sync(/a) remove(/a,0) sync(/b) remove(/b,0) add(/b) replica(file:///r2,sync-interval=1s) "
        "add(/c) replica(file:///rc,sync-interval=1s)");
    assert_string_equal(outcome_text(r.outcome), "^addr -/a ~/b +/c");
    wr_outcome_free(r.outcome);
    r.outcome = wr_outcome_new();
    fake.db_add = WEIR_LIMIT;
    reload("addr: :1\ndbs:\n" ONE("/d", "/r3"), "sync(/b) remove(/b,0) sync(/c) remove(/c,0) "
                                                "sync(/d) remove(/d,0) add(/d)");
    assert_string_equal(outcome_text(r.outcome), "-/b -/c !/d");
    assert_string_equal(r.outcome->first->next->next->why, "/d: limit");
    wr_outcome_free(r.outcome);
    r.outcome = wr_outcome_new();
    fake.db_add = WEIR_OK;
    reload("addr: :1\ndbs:\n" ONE("/d", "/r3"), "add(/d) replica(file:///r3,sync-interval=1s)");
    assert_string_equal(outcome_text(r.outcome), "+/d");
    wr_outcome_free(r.outcome);
    end();
}

/* Its last commits are in no replica, and it was "removed". */
static void test_a_last_sync_that_failed_was_a_success(void **state)
{
    static const int io[] = {WEIR_IO, -1};

    (void)state;
    begin("dbs:\n" ONE("/a", "/ra") ONE("/b", "/rb"));
    r.outcome = wr_outcome_new();
    fake.sync = io;
    reload("dbs:\n" ONE("/b", "/rb"), "sync(/a) remove(/a,0)");
    assert_string_equal(outcome_text(r.outcome), "!/a");
    fake.sync = NULL;
    wr_outcome_free(r.outcome);
    end();
}

/* No memory for a text: it is counted. */
static void test_an_outcome_without_memory(void **state)
{
    struct wr_outcome *o = wr_outcome_new();

    (void)state;
    wr_mem_fail_after(0);
    wr_outcome_put(o, WR_OUTCOME_ADDED, "/a", "");
    wr_mem_fail_after(-1);
    wr_outcome_put(o, WR_OUTCOME_ADDED, "/b", "");
    T(o->counts[WR_OUTCOME_ADDED] == 2 && o->listed == 1);
    assert_string_equal(outcome_text(o), "+/b");
    wr_outcome_free(o);
    o = wr_outcome_new();
    wr_mem_fail_after(0);
    wr_outcome_refuse(o, "because");
    wr_mem_fail_after(-1);
    assert_string_equal(o->refused, "out of memory");
    wr_outcome_free(o);
    wr_mem_fail_after(0);
    T(!wr_outcome_new());
    wr_mem_fail_after(-1);
}

static void test_what_needs_a_restart(void **state)
{
    (void)state;
    begin("");
    reload("exec: x\nshutdown-sync-timeout: 5s\nlogging: {type: json}\nopen-max: 9\n", "");
    T(said("key=exec") && said("key=shutdown-sync-timeout") && said("key=logging"));
    T(said("key=open-max"));
    T(!said("key=addr") && !said("key=socket") && !said("key=heartbeat-url"));
    end();
}

T_MAIN(T_TEST(test_nothing_has_changed), T_TEST(test_one_goes_before_another_comes),
    T_TEST(test_each_kind_of_change), T_TEST(test_the_keys_that_differ),
    T_TEST(test_absent_ones_are_tried_again), T_TEST(test_two_change_places),
    T_TEST(test_what_has_failed_is_tried_again), T_TEST(test_who_was_registered_stays),
    T_TEST(test_who_was_unregistered_is_gone), T_TEST(test_a_failure_keeps_no_other),
    T_TEST(test_restores_a_new_one_that_is_missing), T_TEST(test_what_has_changed_is_told),
    T_TEST(test_a_last_sync_that_failed_was_a_success), T_TEST(test_an_outcome_without_memory),
    T_TEST(test_what_needs_a_restart))
