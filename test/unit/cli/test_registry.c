/*
 * test_registry.c - databases that were registered to stay: the file, what is refused in one, and
 * what a start makes of it.
 */
#include "daemon/registry.h"
#include "harness/t.h"
#include "unit/cli/fake_weir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD "{\"version\": 1, \"databases\": ["
#define A    "{\"path\": \"/a.db\", \"replica_url\": \"file:///ra\"}"
#define B    "{\"path\": \"/b.db\", \"replica_url\": \"file:///rb\"}"
#define TAIL "]}"

static struct wr_logger logger;
static const char *dir, *file, *log_path;
static int log_fd;

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    fake.db.struct_size = sizeof(fake.db);
    ndbs = 0;
    dir = t_tmpdir();
    file = t_path(dir, "below/registered.json");
    log_path = t_path(dir, "log");
    log_fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    wr_logger_init(&logger, log_fd, WR_LOG_FORMAT_TEXT, WEIR_LOG_INFO);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wr_logger_release(&logger);
    return close(log_fd);
}

static bool said(const char *text)
{
    struct wr_bytes b = t_slurp(log_path);
    char *copy = wr_strndup((const char *)b.p, b.n);
    bool found = copy && strstr(copy, text);

    wr_free(copy);
    return found;
}

static struct wr_registry *read_file(void)
{
    struct wr_registry *r = NULL;
    struct wr_err e = {0};

    T_OK(wr_registry_new(file, &logger, &r, &e));
    return r;
}

static struct wr_registry *with(const char *text)
{
    T(mkdir(t_path(dir, "below"), 0700) == 0 || access(file, F_OK) == 0);
    t_spew(file, text, strlen(text));
    return read_file();
}

/* What a start would add, as the library is asked. */
static void check_begin(struct wr_registry *r, const char *want)
{
    struct wr_fleet *fleet = wr_fleet_new(&the_runtime, &logger);

    fake.calls[0] = '\0';
    wr_registry_begin(r, fleet);
    assert_string_equal(fake.calls, want);
    wr_fleet_free(fleet);
}

static void test_what_is_put_is_there_the_next_time(void **state)
{
    struct wr_registry *r = read_file();
    struct wr_err e = {0};
    struct stat s;

    (void)state;
    check_begin(r, "");
    T_OK(wr_registry_put(r, "/b.db", "file:///rb", &e)); /* the directory is made */
    T_OK(wr_registry_put(r, "/a.db", "file:///ra", &e));
    T_OK(wr_registry_put(r, "/c.db", "file:///rc", &e));
    T(stat(file, &s) == 0 && (s.st_mode & 0777) == 0600);
    wr_registry_free(r);

    r = read_file();
    check_begin(r,
        "add(/b.db) replica(file:///rb,sync-interval=1s) add(/a.db) "
        "replica(file:///ra,sync-interval=1s) add(/c.db) replica(file:///rc,sync-interval=1s)");
    T_OK(wr_registry_put(r, "/b.db", "file:///new", &e));
    T_OK(wr_registry_forget(r, "/a.db", &e));
    T_OK(wr_registry_forget(r, "/nobody.db", &e));
    wr_registry_free(r);

    r = read_file();
    check_begin(r, "add(/b.db) replica(file:///new,sync-interval=1s) add(/c.db) "
                   "replica(file:///rc,sync-interval=1s)");
    T_OK(wr_registry_forget(r, "/b.db", &e));
    T_OK(wr_registry_forget(r, "/c.db", &e));
    wr_registry_free(r);
    r = read_file();
    check_begin(r, "");
    wr_registry_free(r);
}

static void test_no_change_is_no_write(void **state)
{
    struct wr_registry *r = with(HEAD A TAIL);
    struct wr_err e = {0};
    struct stat before, after;

    (void)state;
    T(stat(file, &before) == 0);
    T_OK(wr_registry_put(r, "/a.db", "file:///ra", &e));
    T_OK(wr_registry_forget(r, "/b.db", &e));
    T(stat(file, &after) == 0 && before.st_ino == after.st_ino && after.st_size == before.st_size);
    wr_registry_free(r);
}

static void test_bad_files(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "line 1, column 0: "},
        {HEAD A, "line 1, column "},
        {"[]", "\\\"version\\\" is not 1: is it of another version of weir?"},
        {"{\"version\": 2, \"databases\": []}", "\\\"version\\\" is not 1"},
        {"{\"version\": 1}", "a list \\\"databases\\\""},
        {"{\"version\": 1, \"databases\": {}}", "a list \\\"databases\\\""},
        {"{\"version\": 1, \"databases\": [], \"more\": 1}", "no more"},
        {"{\"version\": 1, \"version\": 1, \"databases\": []}", "duplicate object key"},
        {HEAD A ", 7" TAIL, "databases[1] is not "},
        {HEAD "{\"path\": \"/a.db\"}" TAIL, "databases[0] is not "},
        {HEAD "{\"path\": \"/a.db\", \"replica_url\": 7}" TAIL, "databases[0] is not "},
        {HEAD "{\"path\": \"/a.db\", \"replica_url\": \"file:///r\", \"x\": 1}" TAIL,
            "databases[0] is not "},
        {HEAD "{\"path\": \"a.db\", \"replica_url\": \"file:///r\"}" TAIL,
            "databases[0].path is not absolute"},
        {HEAD "{\"path\": \"/a.db\", \"replica_url\": \"\"}" TAIL,
            "databases[0].replica_url is empty"},
        {HEAD A "," B "," A TAIL, "/a.db is in it twice"},
        {HEAD A TAIL "x", "end of file expected"},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(bad); i++) {
        struct wr_registry *r = with(bad[i].text);
        struct wr_err e = {0};
        struct wr_bytes kept;

        check_begin(r, "");
        if (!said(bad[i].why))
            fail_msg("%s: not said: %s", bad[i].text, bad[i].why);
        T_IS(WR_MISUSE, wr_registry_put(r, "/a.db", "file:///ra", &e));
        T(strstr(e.text, "below/registered.json, is not as weir writes it: ") &&
            strstr(e.text, "repair it, or move it away"));
        T_IS(WR_MISUSE, wr_registry_forget(r, "/a.db", &e));
        kept = t_slurp(file);
        T(kept.n == strlen(bad[i].text) && memcmp(kept.p, bad[i].text, kept.n) == 0);
        wr_registry_free(r);
        T(ftruncate(log_fd, 0) == 0 && lseek(log_fd, 0, SEEK_SET) == 0);
    }
}

/* What is no file is not waited for, nor replaced. */
/* The parser quotes what it stumbles over. */
static void test_a_bad_file_tells_no_secret(void **state)
{
    static const char *const bad[] = {
        HEAD "{\"path\": \"/a.db\", \"replica_url\" \"s3://id:hush@b\"}" TAIL,
        HEAD "{\"path\": \"/a.db\", \"replica_url\": s3://id:hush@b}" TAIL,
        HEAD "{\"path\": \"/a.db\", \"replica_url\": \"s3://b?secret-access-key=hush" TAIL,
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(bad); i++)
        wr_registry_free(with(bad[i]));
    T(said("is not as weir writes it: line 1, column ") && !said("hush"));
}

static void test_no_file(void **state)
{
    struct wr_err e = {0};
    struct wr_registry *r;

    (void)state;
    T(mkdir(t_path(dir, "below"), 0700) == 0 && mkfifo(file, 0600) == 0);
    r = read_file();
    T_IS(WR_MISUSE, wr_registry_put(r, "/a.db", "file:///ra", &e));
    wr_registry_free(r);
}

/* One that cannot be added stays in the file, and keeps none from it. */
static void test_one_that_fails(void **state)
{
    struct wr_fleet *fleet = wr_fleet_new(&the_runtime, &logger);
    struct wr_registry *r =
        with(HEAD "{\"path\": \"/x.db\", \"replica_url\": \"no url\"}, " A ", " B TAIL);
    const struct wr_config_replica replica = {.url = "file:///other",
        .type = "file",
        .sync_interval = "1s",
        .settings = (const char *const[]){"sync-interval", "1s", NULL}};
    const struct wr_config_db own = {.path = "/a.db", .replicas = &replica, .nreplicas = 1};
    weir_error err = {0};
    struct wr_err e = {0};

    (void)state;
    T(wr_fleet_add(fleet, &own, NULL, &err) == WEIR_OK);
    fake.calls[0] = '\0';
    wr_registry_begin(r, fleet);
    assert_string_equal(fake.calls, "add(/b.db) replica(file:///rb,sync-interval=1s)");
    T(said("a registered database is not replicated, the others are\" path=/x.db error="));
    T(said("a registered database is in the configuration, which counts\" path=/a.db"));
    T_OK(wr_registry_put(r, "/c.db", "file:///rc", &e));
    wr_fleet_free(fleet);
    wr_registry_free(r);
    T(strstr((const char *)t_slurp(file).p, "no url"));
}

/* The configuration has come to list one, and has given it up again: it was to stay. */
static void test_one_that_has_left_the_configuration(void **state)
{
    struct wr_fleet *fleet = wr_fleet_new(&the_runtime, &logger);
    struct wr_registry *r = with(HEAD A ", " B TAIL);
    weir_error err = {0};
    struct wr_err e = {0};

    (void)state;
    wr_registry_begin(r, fleet);
    T(wr_fleet_remove(fleet, "/a.db", 0, NULL, &err) == WEIR_OK);
    fake.calls[0] = '\0';
    wr_registry_begin(r, fleet);
    assert_string_equal(fake.calls, "add(/a.db) replica(file:///ra,sync-interval=1s)");
    T(!said("which counts"));
    T_OK(wr_registry_forget(r, "/a.db", &e));
    T(wr_fleet_remove(fleet, "/a.db", 0, NULL, &err) == WEIR_OK);
    fake.calls[0] = '\0';
    wr_registry_begin(r, fleet);
    assert_string_equal(fake.calls, "");
    wr_fleet_free(fleet);
    wr_registry_free(r);
}

/* What could not be begun with at the start was not tried again before a restart. */
static void test_what_has_failed_is_tried_again(void **state)
{
    struct wr_fleet *fleet = wr_fleet_new(&the_runtime, &logger);
    struct wr_registry *r = with(HEAD A ", " B TAIL);
    struct wr_err e = {0};
    weir_error err = {0};

    (void)state;
    fake.db_add = WEIR_LIMIT;
    wr_registry_begin(r, fleet);
    T(wr_absent_count(wr_fleet_absent(fleet)) == 2);
    T(said("path=/a.db error=\"/a.db: limit\""));
    T(ftruncate(log_fd, 0) == 0 && lseek(log_fd, 0, SEEK_SET) == 0);
    wr_registry_begin(r, fleet);
    T(wr_absent_count(wr_fleet_absent(fleet)) == 2 && t_slurp(log_path).n == 0);
    T_OK(wr_registry_forget(r, "/b.db", &e)); /* and the list is another one */
    fake.db_add = WEIR_OK;
    fake.calls[0] = '\0';
    wr_registry_begin(r, fleet);
    assert_string_equal(fake.calls, "add(/a.db) replica(file:///ra,sync-interval=1s)");
    T(wr_absent_count(wr_fleet_absent(fleet)) == 0);
    T(said("a database that could not be begun with is replicated from now on\" path=/a.db"));
    T(ftruncate(log_fd, 0) == 0 && lseek(log_fd, 0, SEEK_SET) == 0);
    wr_registry_begin(r, fleet);
    T(t_slurp(log_path).n == 0); /* it is no news that it is there */
    T(wr_fleet_remove(fleet, "/a.db", 0, NULL, &err) == WEIR_OK);
    wr_fleet_free(fleet);
    wr_registry_free(r);
}

static void test_a_write_that_fails_changes_nothing(void **state)
{
    struct wr_registry *r = with(HEAD A TAIL);
    struct wr_err e = {0};

    (void)state;
    T(rename(t_path(dir, "below"), t_path(dir, "away")) == 0);
    t_spew(t_path(dir, "below"), "x", 1); /* where the directory was */
    T(wr_registry_put(r, "/b.db", "file:///rb", &e) != WR_OK);
    T(wr_registry_forget(r, "/a.db", &e) != WR_OK);
    check_begin(r, "add(/a.db) replica(file:///ra,sync-interval=1s)");
    T(unlink(t_path(dir, "below")) == 0);
    T(rename(t_path(dir, "away"), t_path(dir, "below")) == 0);
    T_OK(wr_registry_put(r, "/b.db", "file:///rb", &e));
    wr_registry_free(r);
}

static enum wr_status sweep(void *arg)
{
    struct wr_registry *r = NULL;
    struct wr_err e = {0};
    enum wr_status st;

    (void)arg;
    t_spew(file, HEAD A TAIL, strlen(HEAD A TAIL));
    st = wr_registry_new(file, &logger, &r, &e);
    if (st == WR_OK)
        st = wr_registry_put(r, "/b.db", "file:///rb", &e);
    wr_registry_free(r);
    return st;
}

static void test_nomem(void **state)
{
    (void)state;
    T(mkdir(t_path(dir, "below"), 0700) == 0);
    t_sweep_nomem(sweep, NULL);
}

#define R_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
T_MAIN(R_TEST(test_what_is_put_is_there_the_next_time), R_TEST(test_no_change_is_no_write),
    R_TEST(test_bad_files), R_TEST(test_a_bad_file_tells_no_secret), R_TEST(test_no_file),
    R_TEST(test_one_that_fails), R_TEST(test_what_has_failed_is_tried_again),
    R_TEST(test_one_that_has_left_the_configuration),
    R_TEST(test_a_write_that_fails_changes_nothing), R_TEST(test_nomem))
