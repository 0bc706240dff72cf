/*
 * The set of databases over a library that answers as scripted: who may change what when, and who
 * waits for whom.
 */
#include "harness/t.h"
#include "base/sync.h"
#include "daemon/fleet.h"
#include "unit/cli/fake_weir.h"

#include <fcntl.h>

#define R(path) "replica(file:///r" path ",sync-interval=1s)"

static struct wr_logger logger;
static struct wr_fleet *fleet;
static int null_fd;

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    fake.db.struct_size = sizeof(fake.db);
    ndbs = 0;
    null_fd = open("/dev/null", O_WRONLY);
    wr_logger_init(&logger, null_fd, WR_LOG_FORMAT_JSON, WEIR_LOG_DEBUG);
    fleet = wr_fleet_new(&the_runtime, &logger);
    return fleet ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wr_fleet_free(fleet);
    wr_logger_release(&logger);
    return close(null_fd);
}

static const struct wr_config_db *entry(const char *path)
{
    struct wr_arena *a = t_call()->scratch;
    struct wr_config *c = NULL;
    struct wr_err e = {0};
    const char *url = wr_arena_fmt(a, "file:///r%s", path).p;

    T_OK(wr_config_adhoc(a, path, &url, 1, NULL, &c, &e));
    return &c->dbs[0];
}

static void add(const char *path)
{
    weir_error err = {0};

    T(wr_fleet_add(fleet, entry(path), NULL, &err) == WEIR_OK);
}

static int hold(const char *path, struct wr_fleet_hold *h)
{
    weir_error err = {0};

    return wr_fleet_hold(fleet, path, h, &err);
}

static void each(void *arg, const struct wr_config_db *config, weir_db *db)
{
    struct wr_buf *out = arg;

    wr_buf_fmt(out, "%s%s ", config->path, db ? "" : "(stopped)");
}

static void expect_list(const char *want)
{
    struct wr_buf out;

    wr_buf_init(&out, 4096);
    wr_buf_z(&out, "");
    wr_fleet_each(fleet, each, &out);
    assert_string_equal(out.n ? (char *)out.p : "", want);
    wr_buf_release(&out);
}

static void test_life(void **state)
{
    struct wr_fleet_hold h;
    weir_error err = {0};
    weir_txid txid = 0;
    bool was;

    (void)state;
    fake.db.txid = 42;
    add("/b");
    add("/a");
    add("/c");
    expect_list("/a /b /c ");
    T(wr_fleet_count(fleet) == 3);
    T(wr_fleet_stop(fleet, "/b", 500, &was, &txid, &err) == WEIR_OK && !was);
    T(txid == 42 && fake.waited_ms == 500);
    T(wr_fleet_stop(fleet, "/b", 500, &was, &txid, &err) == WEIR_OK && was);
    T(hold("/b", &h) == WEIR_UNSUPPORTED);
    expect_list("/a /b(stopped) /c ");
    T(wr_fleet_start(fleet, "/b", &was, &err) == WEIR_OK && !was);
    T(wr_fleet_start(fleet, "/b", &was, &err) == WEIR_OK && was);
    T(hold("/b", &h) == WEIR_OK);
    wr_fleet_let_go(fleet, &h);
    T(wr_fleet_remove(fleet, "/a", 0, &txid, &err) == WEIR_OK);
    T(wr_fleet_remove(fleet, "/a", 0, &txid, &err) == WEIR_NOTFOUND);
    T(wr_fleet_start(fleet, "/a", &was, &err) == WEIR_NOTFOUND);
    T(hold("/a", &h) == WEIR_NOTFOUND);
    expect_list("/b /c ");
    assert_string_equal(fake.calls, "add(/b) " R("/b") " add(/a) " R("/a") " add(/c) " R(
                                        "/c") " sync(/b) remove(/b,0) "
                                              "add(/b) " R("/b") " remove(/a,0)");
}

static void test_one_is_there_once(void **state)
{
    weir_error err = {0};

    (void)state;
    add("/a");
    T(wr_fleet_add(fleet, entry("/a"), NULL, &err) == WEIR_CONFLICT);
    assert_string_equal(err.message, "/a: is replicated already");
    expect_list("/a ");
    assert_string_equal(fake.calls, "add(/a) " R("/a"));
}

static void test_a_refused_replica_leaves_nothing(void **state)
{
    weir_error err = {0};

    (void)state;
    fake.add_replica = WEIR_CONFLICT;
    T(wr_fleet_add(fleet, entry("/a"), NULL, &err) == WEIR_CONFLICT);
    assert_string_equal(err.message, "/a: conflict");
    expect_list("");
    assert_string_equal(fake.calls, "add(/a) " R("/a") " remove(/a,0)");
}

static void test_a_failed_start_leaves_it_stopped(void **state)
{
    weir_error err = {0};
    bool was;

    (void)state;
    add("/a");
    T(wr_fleet_stop(fleet, "/a", 0, &was, NULL, &err) == WEIR_OK);
    fake.db_add = WEIR_LIMIT;
    T(wr_fleet_start(fleet, "/a", &was, &err) == WEIR_LIMIT);
    expect_list("/a(stopped) ");
    fake.db_add = WEIR_OK;
    T(wr_fleet_start(fleet, "/a", &was, &err) == WEIR_OK);
    expect_list("/a ");
}

static void test_a_failed_last_sync_stops_it_all_the_same(void **state)
{
    static const int sync[] = {WEIR_IO, -1};
    weir_error err = {0};
    bool was;

    (void)state;
    add("/a");
    add("/b");
    fake.sync = sync;
    T(wr_fleet_stop(fleet, "/a", 10, &was, NULL, &err) == WEIR_IO);
    assert_string_equal(err.message, "/a: io");
    T(wr_fleet_remove(fleet, "/b", 10, NULL, &err) == WEIR_IO);
    expect_list("/a(stopped) ");
}

/* Somebody who waits for a long sync of a database that another wants to stop. */
struct waiter {
    struct wr_fleet_hold h;
    weir_db *db;
    atomic_bool over;
};

static void wait_for_cancel(void *arg)
{
    struct waiter *w = arg;

    while (!atomic_load(&w->h.cancel->canceled))
        t_sleep_ms(1);
    t_sleep_ms(20); /* time for whoever does not wait */
    atomic_store(&w->over, true);
    wr_fleet_let_go(fleet, &w->h);
}

static struct waiter *stopping_waits_for;
static bool waited_for;

static void at_sync(void)
{
    waited_for = atomic_load(&stopping_waits_for->over);
}

static void test_stop_waits_for_who_holds_it(void **state)
{
    struct waiter w = {0};
    struct wr_thread t;
    struct wr_err e = {0};
    weir_error err = {0};
    bool was;

    (void)state;
    add("/a");
    T(hold("/a", &w.h) == WEIR_OK);
    stopping_waits_for = &w;
    fake.at_sync = at_sync;
    T_OK(wr_thread_start(&t, "waiter", 0, wait_for_cancel, &w, &e));
    T(wr_fleet_stop(fleet, "/a", 10, &was, NULL, &err) == WEIR_OK);
    T(waited_for);
    wr_thread_join(&t);
}

/* Removes the one behind the first, adds others, and sees what comes. */
static void change_others(void *arg, const struct wr_config_db *config, weir_db *db)
{
    weir_error err = {0};

    if (wr_str_eq(wr_str(config->path), WR_STR("/b"))) {
        T(wr_fleet_remove(fleet, "/c", 0, NULL, &err) == WEIR_OK);
        add("/a");
        add("/d");
    }
    each(arg, config, db);
}

/* All were held until each had been told: one slow database kept all others from being stopped. */
static void test_a_walk_holds_one_at_a_time(void **state)
{
    struct wr_buf out;

    (void)state;
    add("/b");
    add("/c");
    add("/e");
    wr_buf_init(&out, 4096);
    wr_fleet_each(fleet, change_others, &out);
    assert_string_equal((char *)out.p, "/b /d /e ");
    wr_buf_release(&out);
    expect_list("/a /b /d /e ");
}

/* Somebody removes the database that a walk is at: it goes when the walk has left it. */
static void remove_b(void *arg)
{
    weir_error err = {0};

    (void)arg;
    T(wr_fleet_remove(fleet, "/b", 0, NULL, &err) == WEIR_OK);
}

static struct wr_thread remover;

static void have_it_removed(void *arg, const struct wr_config_db *config, weir_db *db)
{
    struct wr_err e = {0};

    if (wr_str_eq(wr_str(config->path), WR_STR("/b"))) {
        T_OK(wr_thread_start(&remover, "remover", 0, remove_b, NULL, &e));
        t_sleep_ms(50); /* to be out of the list, perhaps */
    }
    each(arg, config, db);
}

static void test_a_walk_goes_on_from_what_is_removed(void **state)
{
    struct wr_buf out;

    (void)state;
    add("/a");
    add("/b");
    add("/c");
    wr_buf_init(&out, 4096);
    wr_fleet_each(fleet, have_it_removed, &out);
    wr_thread_join(&remover);
    assert_string_equal((char *)out.p, "/a /b /c ");
    wr_buf_release(&out);
    expect_list("/a /c ");
}

static int codes[4];

static void meanwhile(void)
{
    struct wr_fleet_hold h;
    weir_error err = {0};
    bool was;

    codes[0] = wr_fleet_stop(fleet, "/a", 0, &was, NULL, &err);
    codes[1] = wr_fleet_start(fleet, "/a", &was, &err);
    codes[2] = wr_fleet_remove(fleet, "/a", 0, NULL, &err);
    codes[3] = wr_fleet_hold(fleet, "/a", &h, &err);
}

static void test_one_change_at_a_time(void **state)
{
    weir_error err = {0};
    bool was;

    (void)state;
    add("/a");
    fake.at_sync = meanwhile;
    T(wr_fleet_stop(fleet, "/a", 10, &was, NULL, &err) == WEIR_OK);
    T(codes[0] == WEIR_BUSY && codes[1] == WEIR_BUSY && codes[2] == WEIR_BUSY);
    T(codes[3] == WEIR_UNSUPPORTED);
}

static void shut_down(void)
{
    wr_fleet_cancel(fleet);
}

/* Its last sync is the one of all, and not the one that was cut off. */
static void test_shut_down_while_one_is_stopped(void **state)
{
    static const int sync[] = {WEIR_CANCELED, -1};
    weir_error err = {0};
    bool was;

    (void)state;
    add("/a");
    fake.sync = sync;
    fake.at_sync = shut_down;
    T(wr_fleet_stop(fleet, "/a", 10, &was, NULL, &err) == WEIR_CANCELED);
    expect_list("/a ");
    T(!strstr(fake.calls, "remove"));
    T(wr_fleet_remove(fleet, "/a", 10, NULL, &err) == WEIR_CANCELED);
    T(wr_fleet_add(fleet, entry("/b"), NULL, &err) == WEIR_CANCELED);
}

static void test_shut_down_frees_who_waits(void **state)
{
    struct wr_fleet_hold h;

    (void)state;
    add("/a");
    T(hold("/a", &h) == WEIR_OK);
    T(!atomic_load(&h.cancel->canceled));
    wr_fleet_cancel(fleet);
    T(atomic_load(&h.cancel->canceled));
    wr_fleet_let_go(fleet, &h);
}

static void test_adopts_what_was_restored(void **state)
{
    const char *urls[] = {"file:///r1", "file:///r2"};
    struct wr_config *c = NULL;
    struct wr_err e = {0};
    weir_error err = {0};
    struct wr_fleet_start how = {0};

    (void)state;
    T_OK(wr_config_adhoc(t_call()->scratch, "/a", urls, 2, NULL, &c, &e));
    how.restored_from = &c->dbs[0].replicas[1];
    T(wr_fleet_add(fleet, &c->dbs[0], &how, &err) == WEIR_OK);
    assert_string_equal(fake.calls,
        "add(/a) replica(file:///r1,sync-interval=1s) replica(file:///r2,sync-interval=1s,adopt)");
    T(wr_fleet_remove(fleet, "/a", 0, NULL, &err) == WEIR_OK);
    fake.calls[0] = '\0';
    how = (struct wr_fleet_start){.adopt = true};
    T(wr_fleet_add(fleet, &c->dbs[0], &how, &err) == WEIR_OK);
    assert_string_equal(fake.calls,
        "add(/a,adopt) replica(file:///r1,sync-interval=1s) replica(file:///r2,sync-interval=1s)");
}

static enum wr_status try_all(void *arg)
{
    const struct wr_config_db *db = arg;
    struct wr_fleet *f;
    weir_error err = {0};
    bool was;
    int rc;

    ndbs = 0;
    f = wr_fleet_new(&the_runtime, &logger);
    if (!f)
        return WR_NOMEM;
    rc = wr_fleet_add(f, db, &(struct wr_fleet_start){.adopt = true}, &err);
    if (rc == WEIR_OK)
        rc = wr_fleet_stop(f, db->path, 1, &was, NULL, &err);
    if (rc == WEIR_OK)
        rc = wr_fleet_start(f, db->path, &was, &err);
    if (rc == WEIR_OK) {
        struct wr_buf out;

        wr_buf_init(&out, 4096);
        wr_fleet_each(f, each, &out);
        rc = (int)wr_buf_status(&out);
        wr_buf_release(&out);
    }
    wr_fleet_free(f);
    return (enum wr_status)rc;
}

static void test_out_of_memory(void **state)
{
    const struct wr_config_db *db = entry("/a");
    struct wr_config_db copy = *db;

    (void)state;
    t_sweep_nomem(try_all, &copy);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

T_MAIN(TEST(test_life), TEST(test_one_is_there_once), TEST(test_a_refused_replica_leaves_nothing),
    TEST(test_a_failed_start_leaves_it_stopped),
    TEST(test_a_failed_last_sync_stops_it_all_the_same), TEST(test_stop_waits_for_who_holds_it),
    TEST(test_a_walk_holds_one_at_a_time), TEST(test_a_walk_goes_on_from_what_is_removed),
    TEST(test_one_change_at_a_time), TEST(test_shut_down_while_one_is_stopped),
    TEST(test_shut_down_frees_who_waits), TEST(test_adopts_what_was_restored),
    TEST(test_out_of_memory))
