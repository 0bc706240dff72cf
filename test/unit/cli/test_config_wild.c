/*
 * Configuration files as found in public repositories, for Litestream 0.3 and 0.5: each does what
 * its author meant, or says what is wrong. What is in NAME.yml below test/data/config must become
 * what NAME.want tells: every setting, warning and error.
 *
 * Of those that load, the library must take every setting.
 */
#include "base/buf.h"
#include "daemon/config.h"
#include "daemon/doc.h"
#include "harness/t.h"

#include <unistd.h>
#include <weir.h>

/* What hosts set. None of the variables with UNSET in their names is. */
static const char *const environment[] = {
    "LITESTREAM_SOURCE_DB_PATH=/rails/storage/production.sqlite3",
    "LITESTREAM_REPLICA_BUCKET=backup",
    "LITESTREAM_REPLICA_DB_PATH=production",
    "LITESTREAM_ACCESS_KEY_ID=AKIA",
    "LITESTREAM_SECRET_ACCESS_KEY=SECRET",
    "DB_PATH=/data/app.db",
    "S3_ENDPOINT=https://s3.example.com",
    "S3_PREFIX=prefix",
    "S3_REGION=eu-west-1",
    "SYNC_INTERVAL=10s",
    "RETENTION=72h",
    "RETENTION_CHECK=1h",
};

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < wr_countof(environment); i++) {
        struct wr_str name, value;

        (void)wr_str_cut(wr_str(environment[i]), '=', &name, &value);
        if (setenv(wr_arena_str(t_call()->scratch, name).p, value.p, 1) != 0)
            return 1;
    }
    return chdir("/"); /* for relative paths */
}

static void put_settings(struct wr_buf *out, const char *const *kv)
{
    for (; kv[0]; kv += 2)
        wr_buf_fmt(out, " %s=%s", kv[0], kv[1]);
    wr_buf_byte(out, '\n');
}

/* A text that begins with the name of the file, without it. */
static void put_text(struct wr_buf *out, const char *what, const char *file, const char *text)
{
    size_t n = strlen(file);

    T(strncmp(text, file, n) == 0 && text[n] == ':');
    wr_buf_fmt(out, "%s %s\n", what, text + n + 1);
}

static void put_config(struct wr_buf *out, const char *file, const struct wr_config *c)
{
    if (c->addr)
        wr_buf_fmt(out, "addr %s\n", c->addr);
    if (c->exec)
        wr_buf_fmt(out, "exec %s\n", c->exec);
    if (c->logging.level)
        wr_buf_fmt(out, "logging %s %d\n", c->logging.level, (int)c->logging.format);
    for (size_t i = 0; i < c->ndbs; i++) {
        wr_buf_fmt(out, "db %s", c->dbs[i].path);
        put_settings(out, c->dbs[i].settings);
        for (size_t j = 0; j < c->dbs[i].nreplicas; j++) {
            wr_buf_fmt(out, "replica %s", c->dbs[i].replicas[j].url);
            put_settings(out, c->dbs[i].replicas[j].settings);
        }
    }
    for (const struct wr_warning *w = c->warnings; w; w = w->next)
        put_text(out, "warning", file, w->text);
}

/* The databases are not there, so nothing is read and nothing is sent. */
static void give_to_library(const struct wr_config *c)
{
    const weir_options opt = {.struct_size = sizeof(opt)};
    weir_error err = {0};
    weir *w = NULL;

    assert_int_equal(weir_open(&opt, &w, &err), WEIR_OK);
    for (size_t i = 0; i < c->ndbs; i++) {
        weir_db *db = NULL;
        char path[600];

        (void)snprintf(path, sizeof(path), "%s%s", t_path(t_tmpdir(), "none"), c->dbs[i].path);
        if (weir_db_add(w, path, c->dbs[i].settings, &db, &err) != WEIR_OK)
            fail_msg("%s: %s", c->dbs[i].path, err.message);
        for (size_t j = 0; j < c->dbs[i].nreplicas; j++)
            if (weir_db_add_replica(
                    db, c->dbs[i].replicas[j].url, c->dbs[i].replicas[j].settings, &err) != WEIR_OK)
                fail_msg("%s: %s", c->dbs[i].replicas[j].url, err.message);
    }
    assert_int_equal(weir_close(w, 0, &err), WEIR_OK);
}

static void check(const char *name)
{
    const char *file = t_data(wr_arena_fmt(t_call()->scratch, "config/%s.yml", name).p);
    struct wr_bytes want =
        t_slurp(t_data(wr_arena_fmt(t_call()->scratch, "config/%s.want", name).p));
    struct wr_config *c = NULL;
    struct wr_err e = {0};
    enum wr_status st = wr_config_load(t_call()->scratch, file, true, &c, &e);
    struct wr_buf got;

    wr_buf_init(&got, 1 << 16);
    if (st == WR_OK)
        put_config(&got, file, c);
    else
        put_text(&got, "error", file, e.text);
    T(wr_buf_status(&got) == WR_OK);
    if (got.n != want.n || memcmp(got.p, want.p, want.n) != 0) {
        const char *path = t_path(t_tmpdir(), wr_arena_fmt(t_call()->scratch, "%s.want", name).p);

        t_spew(path, got.p, got.n);
        wr_buf_release(&got);
        fail_msg("not as wanted, see %s (kept with WEIR_TEST_KEEP)", path);
    }
    wr_buf_release(&got);
    if (st == WR_OK)
        give_to_library(c);
}

/* Litestream 0.5 does to each of these, in silence, something else than it says; and one stops it.
 */
static void test_silently_changed(void **state)
{
    static const char *const names[] = {"anchors", "env_all", "glob", "retention", "same_place",
        "semicolon", "semicolon_bool", "shell_defaults", "underscores", "validation"};

    (void)state;
    for (size_t i = 0; i < wr_countof(names); i++)
        check(names[i]);
}

static void test_others(void **state)
{
    static const char *const names[] = {"endpoint", "env_bool", "exec", "global_keys", "metrics",
        "minio", "plain_url", "rails", "rarely", "several", "slow_sync", "two_replicas",
        "url_query", "v05"};

    (void)state;
    for (size_t i = 0; i < wr_countof(names); i++)
        check(names[i]);
}

/* The library took the second replica for the first one, and refused it. */
static void test_buckets_of_one_name(void **state)
{
    (void)state;
    check("two_providers");
}

T_MAIN(cmocka_unit_test_setup(test_silently_changed, set_up),
    cmocka_unit_test_setup(test_others, set_up),
    cmocka_unit_test_setup(test_buckets_of_one_name, set_up))
