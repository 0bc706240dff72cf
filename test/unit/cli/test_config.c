/*
 * The configuration file: what it may say, what becomes of it, and every complaint with its place.
 */
#include "base/mem.h"
#include "base/rand.h"
#include "daemon/config.h"
#include "daemon/doc.h"
#include "harness/t.h"
#include "storage/storage.h"

#include <sys/stat.h>
#include <unistd.h>
#include <weir.h>

static char file[4096];

static enum wr_status load(const char *text, struct wr_config **ret, struct wr_err *e)
{
    (void)snprintf(file, sizeof(file), "%s", t_path(t_tmpdir(), "c.yml"));
    t_spew(file, text, strlen(text));
    return wr_config_load(t_call()->scratch, file, true, ret, e);
}

static struct wr_config *good(const char *text)
{
    struct wr_err e = {0};
    struct wr_config *c = NULL;

    T_OK(load(text, &c, &e));
    return c;
}

static void expect_warnings(const struct wr_config *c, const char *const *want, size_t n)
{
    const struct wr_warning *w = c->warnings;

    for (size_t i = 0; i < n; i++, w = w->next) {
        char text[5000];

        assert_non_null(w);
        (void)snprintf(text, sizeof(text), "%s:%s", file, want[i]);
        assert_string_equal(w->text, text);
    }
    if (w)
        fail_msg("unexpected warning: %s", w->text);
}
#define NO_WARNING(c) expect_warnings((c), NULL, 0)

/* The rest of an entry. */
#define DB "path: /a.db, replica: {url: file:///a}"

static void bad(const char *text, const char *want)
{
    struct wr_err e = {0};
    struct wr_config *c = NULL;
    char full[5000];

    T_IS(WR_MISUSE, load(text, &c, &e));
    (void)snprintf(full, sizeof(full), "%s:%s", file, want);
    assert_string_equal(e.text, full);
}

static void bad_replica(const char *replica, const char *want);

static const char *setting(const char *const *kv, const char *key)
{
    for (; kv[0]; kv += 2)
        if (strcmp(kv[0], key) == 0)
            return kv[1];
    return NULL;
}

static size_t settings_count(const char *const *kv)
{
    size_t n = 0;

    while (kv[2 * n])
        n++;
    return n;
}

static void test_small(void **state)
{
    struct wr_config *c = good("dbs:\n"
                               "  - path: /var/lib/app.db\n"
                               "    replica:\n"
                               "      url: s3://bucket/app?region=eu-west-1\n");

    (void)state;
    NO_WARNING(c);
    T(c->ndbs == 1 && c->dbs[0].nreplicas == 1);
    assert_string_equal(c->dbs[0].path, "/var/lib/app.db");
    assert_string_equal(c->dbs[0].replicas[0].url, "s3://bucket/app?region=eu-west-1");
    assert_string_equal(c->dbs[0].replicas[0].type, "s3");
    assert_string_equal(c->dbs[0].replicas[0].sync_interval, "1s");
    assert_string_equal(setting(c->dbs[0].replicas[0].settings, "sync-interval"), "1s");
    T(settings_count(c->dbs[0].replicas[0].settings) == 1);
    T(settings_count(c->dbs[0].settings) == 0);
    T(!c->exec && !c->dbs[0].restore_if_missing && !c->logging.to_stderr && !c->logging.level);
    T(c->logging.format == WR_LOG_FORMAT_TEXT);
    T(c->shutdown_sync_timeout_ms == 30000);
}

static void test_full(void **state)
{
    const struct wr_config_replica *r;
    struct wr_config *c = good("exec: \"myapp -serve\"\n"
                               "shutdown-sync-timeout: 1m\n"
                               "logging:\n"
                               "  level: debug\n"
                               "  type: json\n"
                               "  stderr: yes\n"
                               "dbs:\n"
                               "  - path: sqlite:///a.db\n"
                               "    meta-path: /meta\n"
                               "    min-checkpoint-page-count: 500\n"
                               "    adopt-replica: true\n"
                               "    restore-if-db-not-exists: true\n"
                               "    source: https://primary/a.db\n"
                               "    replicas:\n"
                               "      - type: s3\n"
                               "        bucket: b\n"
                               "        path: /x/y\n"
                               "        region: r\n"
                               "        access-key-id: AKIA\n"
                               "        secret-access-key: 'se#cret'\n"
                               "        force-path-style: true\n"
                               "        sync-interval: 10s\n"
                               "      - path: /backup//a\n"
                               "      - url: webdavs://h/p\n"
                               "  - path: /b.db\n"
                               "    replica: {type: gs, bucket: g}\n");

    (void)state;
    NO_WARNING(c);
    assert_string_equal(c->exec, "myapp -serve");
    T(c->shutdown_sync_timeout_ms == 60000);
    T(c->logging.format == WR_LOG_FORMAT_JSON && c->logging.to_stderr);
    assert_string_equal(c->logging.level, "debug");
    T(c->ndbs == 2 && c->dbs[0].nreplicas == 3 && c->dbs[0].restore_if_missing);
    assert_string_equal(c->dbs[0].path, "/a.db");
    assert_string_equal(setting(c->dbs[0].settings, "meta-path"), "/meta");
    assert_string_equal(setting(c->dbs[0].settings, "min-checkpoint-page-count"), "500");
    assert_string_equal(setting(c->dbs[0].settings, "adopt-replica"), "true");
    T(settings_count(c->dbs[0].settings) == 3);
    assert_string_equal(c->dbs[0].source, "https://primary/a.db");
    T(!c->dbs[1].source);

    r = c->dbs[0].replicas;
    assert_string_equal(r[0].url, "s3://b/%2Fx/y");
    assert_string_equal(setting(r[0].settings, "region"), "r");
    assert_string_equal(setting(r[0].settings, "secret-access-key"), "se#cret");
    assert_string_equal(setting(r[0].settings, "force-path-style"), "true");
    assert_string_equal(setting(r[0].settings, "sync-interval"), "10s");
    T(settings_count(r[0].settings) == 5);
    assert_string_equal(r[1].url, "file:///backup/a");
    assert_string_equal(r[1].type, "file");
    assert_string_equal(r[2].url, "webdavs://h/p");
    assert_string_equal(r[2].type, "webdavs");
    assert_string_equal(c->dbs[1].replicas[0].url, "gs://g/");
}

static void test_defaults(void **state)
{
    const struct wr_config_replica *r;
    struct wr_config *c = good("access-key-id: A\n"
                               "region: top\n"
                               "bucket: all\n"
                               "sync-interval: 5s\n"
                               "dbs:\n"
                               "  - path: /a.db\n"
                               "    replicas:\n"
                               "      - {type: s3, path: a}\n"
                               "      - {url: 's3://other/a', region: own, sync-interval: 2s}\n"
                               "      - {path: /backup}\n");

    (void)state;
    NO_WARNING(c); /* a default that one replica has no use for is no mistake */
    r = c->dbs[0].replicas;
    assert_string_equal(r[0].url, "s3://all/a");
    assert_string_equal(setting(r[0].settings, "region"), "top");
    assert_string_equal(setting(r[0].settings, "access-key-id"), "A");
    assert_string_equal(r[0].sync_interval, "5s");
    assert_string_equal(r[1].url, "s3://other/a"); /* a global bucket does not clash with a URL */
    assert_string_equal(setting(r[1].settings, "region"), "own");
    assert_string_equal(setting(r[1].settings, "sync-interval"), "2s");
    T(settings_count(r[2].settings) == 1); /* not the keys of S3 */
}

/* What may be for another program is passed over, once. */
static void test_foreign_keys(void **state)
{
    static const char *const want[] = {
        "1:1: unknown key \"zzz\" is ignored",
        "2:1: unknown key \"x-region\" is ignored",
        "10:1: unknown key \"version\" is ignored, did you mean \"region\"?",
        "11:11: unknown key \"token\" is ignored",
        "5:5: unknown key \"zzz\" is ignored",
        "8:7: unknown key \"zzz\" is ignored",
        "9:15: \"region\" has no meaning for a file replica and is ignored",
    };
    struct wr_config *c = good("zzz: 1\n"
                               "x-region: 1\n"
                               "dbs:\n"
                               "  - path: /a.db\n"
                               "    zzz: 1\n"
                               "    replica:\n"
                               "      url: file:///b\n"
                               "      zzz: 1\n"
                               "      region: r\n"
                               "version: 2\n"            /* far enough from any */
                               "logging: {token: x}\n"); /* a key, but of another place */

    (void)state;
    expect_warnings(c, want, wr_countof(want));
}

static void test_a_bucket_of_a_directory(void **state)
{
    static const char *const want[] = {
        "1:61: \"bucket\" has no meaning for a file replica and is ignored"};

    (void)state;
    expect_warnings(good("dbs: [{path: /a.db, replica: {type: file, path: /r, bucket: b}}]\n"),
        want, wr_countof(want));
    NO_WARNING(
        good("bucket: b\ndbs: [{path: /a.db, replicas: [{path: /r}, {type: s3, path: p}]}]\n"));
}

/* What resembles a key, or is one of another place, was meant to do something. */
static void test_misspelt_keys(void **state)
{
    (void)state;
    bad("regoin: x\n", "1:1: unknown key \"regoin\", did you mean \"region\"?");
    bad("logging: {levle: info}\n", "1:11: unknown key \"levle\", did you mean \"level\"?");
    bad("socket: {permission: 0600}\n",
        "1:10: unknown key \"permission\", did you mean \"permissions\"?");
    bad("Addr: ':1'\n", "1:1: unknown key \"Addr\", did you mean \"addr\"?");
    bad("snapshot: {retenion: 24h}\n",
        "1:12: unknown key \"retenion\", did you mean \"retention\"?");
    bad("dbs:\n- path: /a.db\n  meta-paht: /m\n",
        "3:3: unknown key \"meta-paht\", did you mean \"meta-path\"?");
    bad("dbs:\n- path: /a.db\n  replica: {url: 's3://b/a', sync-intervall: 1s}\n",
        "3:30: unknown key \"sync-intervall\", did you mean \"sync-interval\"?");
    bad("dbs:\n- path: /a.db\n  sync-interval: 1s\n",
        "3:3: \"sync-interval\" has no meaning here, it belongs to a replica");
    bad("dbs:\n- path: /a.db\n  replica: {url: 's3://b/a', monitor-interval: 1s}\n",
        "3:30: \"monitor-interval\" has no meaning here, it belongs to an entry of dbs");
    bad("dbs:\n- path: /a.db\n  levels: []\n",
        "3:3: \"levels\" has no meaning here, it belongs to the top of the file");
    bad("type: s3\n", "1:1: \"type\" has no meaning here, it belongs to a replica");
    bad("path: /a\n", "1:1: \"path\" has no meaning here, it belongs to a replica");
    bad("? [a]\n: b\n", "1:3: a key must be a single value");
}

static void test_underscores(void **state)
{
    static const char *const want[] = {
        "4:5: \"access_key_id\" is read as \"access-key-id\"",
        "5:5: \"secret_access-key\" is read as \"secret-access-key\"",
    };
    struct wr_config *c = good("dbs:\n- path: /a.db\n  replica:\n"
                               "    access_key_id: A\n    secret_access-key: B\n"
                               "    url: s3://b/a\n");

    (void)state;
    expect_warnings(c, want, wr_countof(want));
    assert_string_equal(setting(c->dbs[0].replicas[0].settings, "access-key-id"), "A");
    assert_string_equal(setting(c->dbs[0].replicas[0].settings, "secret-access-key"), "B");
}

/* Keys of Litestream that weir has no use for: one warning each, which says why. */
static void test_idle_keys(void **state)
{
    static const struct {
        const char *text, *want;
    } all[] = {
        {"mcp-addr: ':3001'", "1:1: \"mcp-addr\" has no effect: "},
        {"l0-retention-check-interval: 15s",
            "1:1: \"l0-retention-check-interval\" has no effect: "},
        {"verify-compaction: true", "1:1: \"verify-compaction\" has no effect: "},
        {"shutdown-sync-interval: 500ms", "1:1: \"shutdown-sync-interval\" has no effect: "},
        {"logging: {source: true}", "1:11: \"source\" has no effect: "},
        {"max-sync-ltx-files: 256", "1:1: \"max-sync-ltx-files\" has no effect: "},
        {"auto-recover: true", "1:1: \"auto-recover\" has no effect: "},
        {"sign-accept-encoding: false", "1:1: \"sign-accept-encoding\" has no effect: "},
        {"access-key-secret: x", "1:1: \"access-key-secret\" has no effect: it is "},
        {"levels: [{interval: 1m, retention: 1h}]\ndbs: [{" DB "}]",
            "1:25: \"retention\" has no effect: "},
        {"root-cas: [a.pem]", "1:1: \"root-cas\" has no effect: "},
        {"dbs: [{monitor-interval: 1s, " DB "}]", "1:8: \"monitor-interval\" has no effect: the "},
        {"dbs: [{checkpoint-interval: 1m, " DB "}]", "1:8: \"checkpoint-interval\" has no effect"},
        {"dbs: [{busy-timeout: 1s, " DB "}]", "1:8: \"busy-timeout\" has no effect: "},
        {"dbs: [{truncate-page-n: 1, " DB "}]", "1:8: \"truncate-page-n\" has no effect: "},
        {"dbs: [{max-checkpoint-page-count: 1, " DB "}]",
            "1:8: \"max-checkpoint-page-count\" has no effect: "},
        {"dbs: [{max-sync-wal-bytes: 1, " DB "}]", "1:8: \"max-sync-wal-bytes\" has no effect: "},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(all); i++) {
        const struct wr_warning *w = good(all[i].text)->warnings;

        T(w && !w->next && strlen(w->text) > strlen(file) + strlen(all[i].want) + 10);
        T(strncmp(w->text + strlen(file) + 1, all[i].want, strlen(all[i].want)) == 0);
    }
    NO_WARNING(good("dbs: [{path: /a.db, replica: {url: 's3://b/a', name: main, "
                    "retention-check-interval: 1h}}]\n")); /* of 0.3, and harmless */
}

static void test_history(void **state)
{
    static const char text[] =
        "levels: [{interval: 10s}, {interval: 1h}]\n"
        "snapshot: {interval: 12h, retention: 72h, keep: 3, keep-daily: 7, "
        "keep-hourly: 24, keep-weekly: 5, keep-monthly: 12, keep-yearly: 0}\n"
        "l0-retention: 0s\n"
        "retention: {enabled: false, grace: 90s}\n"
        "validation: {interval: 8h}\n"
        "dbs:\n"
        "  - path: /a.db\n"
        "    replica: {url: file:///a}\n"
        "  - path: /b.db\n"
        "    snapshot: {retention: 2w, keep-daily: 30}\n"
        "    replicas: [{url: file:///b, retention: 1h}, {url: file:///c}]\n"
        "  - path: /c.db\n"
        "    replicas:\n"
        "      - {url: file:///d}\n"
        "      - {url: file:///e, retention: 36h, snapshot-interval: 6h, "
        "validation-interval: 2h}\n";
    struct wr_config *c = good(text);

    (void)state;
    NO_WARNING(c);
    assert_string_equal(setting(c->dbs[0].settings, "levels"), "10s,1h");
    assert_string_equal(setting(c->dbs[0].settings, "snapshot.interval"), "12h");
    assert_string_equal(setting(c->dbs[0].settings, "snapshot.retention"), "72h");
    assert_string_equal(setting(c->dbs[0].settings, "snapshot.keep"), "3");
    assert_string_equal(setting(c->dbs[0].settings, "snapshot.keep-hourly"), "24");
    assert_string_equal(setting(c->dbs[0].settings, "snapshot.keep-daily"), "7");
    assert_string_equal(setting(c->dbs[0].settings, "snapshot.keep-weekly"), "5");
    assert_string_equal(setting(c->dbs[0].settings, "snapshot.keep-monthly"), "12");
    assert_string_equal(setting(c->dbs[0].settings, "snapshot.keep-yearly"), "0");
    assert_string_equal(setting(c->dbs[0].settings, "l0-retention"), "0s");
    assert_string_equal(setting(c->dbs[0].settings, "retention.enabled"), "false");
    assert_string_equal(setting(c->dbs[0].settings, "retention.grace"), "90s");
    assert_string_equal(setting(c->dbs[0].settings, "validation.interval"), "8h");
    assert_string_equal(setting(c->dbs[1].settings, "snapshot.interval"), "12h");
    assert_string_equal(setting(c->dbs[1].settings, "snapshot.retention"), "2w");
    assert_string_equal(setting(c->dbs[1].settings, "snapshot.keep-daily"), "30");
    assert_string_equal(setting(c->dbs[1].settings, "snapshot.keep-weekly"), "5");
    /* as Litestream 0.3 had it */
    assert_string_equal(setting(c->dbs[2].settings, "snapshot.interval"), "6h");
    assert_string_equal(setting(c->dbs[2].settings, "snapshot.retention"), "36h");
    assert_string_equal(setting(c->dbs[2].settings, "validation.interval"), "2h");
    c = good("snapshot: {interval: 0s}\ndbs: [{" DB "}]"); /* it was refused */
    NO_WARNING(c);
    assert_string_equal(setting(c->dbs[0].settings, "snapshot.interval"), "0s");
    c = good("levels: []\ndbs: [{path: /a.db, replica: {url: file:///a}}]\n");
    assert_string_equal(setting(c->dbs[0].settings, "levels"), "");
}

static void bad_history(const char *key, const char *want)
{
    char text[1000];

    (void)snprintf(
        text, sizeof(text), "%s\ndbs: [{path: /a.db, replica: {url: file:///a}}]\n", key);
    bad(text, want);
}

static void test_bad_history(void **state)
{
    (void)state;
    bad_history("levels: 30s", "1:9: levels must be a list, not a single value");
    bad_history("levels: [30s]", "1:10: an entry of levels must be a mapping, not a single value");
    bad_history("levels: [{}]", "1:10: levels[0].interval is missing");
    bad_history("levels: [{interval: 5m}, {interval: 30}]",
        "1:37: levels[1].interval: \"30\" is not a duration such as 24h");
    bad_history("levels: [{interval: 0s}]",
        "1:21: levels[0].interval: compaction interval must be greater than 0 (got 0s)");
    bad_history("levels: [{interval: 1s}, {interval: 1s}, {interval: 1s}, {interval: 1s}, "
                "{interval: 1s}, {interval: 1s}, {interval: 1s}, {interval: 1s}, {interval: 1s}]",
        "1:138: compaction level cannot exceed 8");
    bad_history("snapshot: 24h", "1:11: snapshot must be a mapping, not a single value");
    bad_history("snapshot: {interval: -1h}",
        "1:22: snapshot.interval: snapshot interval must not be negative (got -1h)");
    bad_history("snapshot: {retention: 0s}",
        "1:23: snapshot.retention: snapshot retention must be greater than 0 (got 0s)");
    bad_history("snapshot: {retention: -1h}",
        "1:23: snapshot.retention: snapshot retention must be greater than 0 (got -1h)");
    bad_history("snapshot: {keep: -1}",
        "1:18: snapshot.keep: must be a number up to 100000, 0 for none (got -1)");
    bad_history("snapshot: {keep-daily: 7d}",
        "1:24: snapshot.keep-daily: must be a number up to 100000, 0 for none (got 7d)");
    bad_history("snapshot: {keep-yearly: 100001}",
        "1:25: snapshot.keep-yearly: must be a number up to 100000, 0 for none (got 100001)");
    bad_history(
        "l0-retention: -1s", "1:15: l0-retention: l0 retention must not be negative (got -1s)");
    bad_history("l0-retention: 300", "1:15: l0-retention: \"300\" is not a duration such as 24h");
    bad_history("retention: {enabled: maybe}", "1:22: retention.enabled must be true or false");
    bad_history("retention: 24h",
        "1:12: retention must be a mapping, how long states are kept is snapshot.retention (write "
        "snapshot: {retention: 24h})");
    bad_history("validation: 24h", "1:13: validation must be a mapping, not a single value");
    bad_history("validation: {interval: -1s}",
        "1:24: validation.interval: validation interval must not be negative (got -1s)");
    bad("dbs:\n"
        "  - path: /a.db\n"
        "    replicas:\n"
        "      - {url: file:///a, retention: 24h}\n"
        "      - {url: file:///b, retention: 72h}\n",
        "5:37: retention: the replicas of one database have one history, give all the same value "
        "or use 'snapshot' of the database");
}

/* The last one counts. */
static void test_key_twice(void **state)
{
    static const char *const want[] = {
        "3:1: \"dbs\" was given before, what it said there is ignored",
        "6:28: \"enabled\" was given before, what it said there is ignored",
        "5:34: \"url\" was given before, what it said there is ignored",
    };
    struct wr_config *c = good("dbs:\n"
                               "- {path: /a.db, replica: {url: 's3://b/a'}}\n"
                               "dbs:\n"
                               "- path: /b.db\n"
                               "  replica: {url: 's3://b/first', url: 's3://b/b'}\n"
                               "retention: {enabled: true, enabled: false}\n");

    (void)state;
    expect_warnings(c, want, wr_countof(want));
    T(c->ndbs == 1);
    assert_string_equal(c->dbs[0].path, "/b.db");
    assert_string_equal(c->dbs[0].replicas[0].url, "s3://b/b");
    assert_string_equal(wr_config_setting(c->dbs[0].settings, "retention.enabled"), "false");
    T(!wr_config_retains(c->dbs[0].settings));
}

static void test_merge_and_anchor(void **state)
{
    static const char *const want[] = {"4:3: unknown key \"oops\" is ignored"};
    const struct wr_config_replica *r;
    struct wr_config *c = good("dbs:\n"
                               "- path: /a.db\n"
                               "  replica: &r {type: s3, bucket: b, path: a, region: one}\n"
                               "  oops: 1\n"
                               "- path: /b.db\n"
                               "  replica: {<<: *r, path: b}\n"
                               "- path: /c.db\n"
                               "  replicas: [{<<: [{region: two}, *r], path: c}]\n"
                               "- path: /d.db\n"
                               "  replica: {<<: *r, path: d}\n");

    (void)state;
    expect_warnings(c, want, 1);
    r = c->dbs[1].replicas;
    assert_string_equal(r->url, "s3://b/b");
    assert_string_equal(setting(r->settings, "region"), "one");
    r = c->dbs[2].replicas;
    assert_string_equal(r->url, "s3://b/c");
    assert_string_equal(setting(r->settings, "region"), "two");
}

/* A key counts, and not the query, as for the original: the URL won, and the data went elsewhere.
 */
static void test_keys_win_over_the_query(void **state)
{
    static const char *const want[] = {
        "2:36: \"endpoint\" in the URL has no effect: line 1 says otherwise",
        "2:36: \"forcePathStyle\" in the URL has no effect: line 3 says otherwise",
    };
    const struct wr_config *c =
        good("endpoint: top:1\n"
             "dbs: [{path: /a.db, replica: {url: 's3://b/a?region=r&endpoint=url:2&partSize=5MiB"
             "&forcePathStyle=false&secretAccessKey=hush',\n"
             "  force-path-style: true, part-size: 5MiB, access-key-id: own, secret-access-key: "
             "hush}}]\n");
    const struct wr_config_replica *r = c->dbs[0].replicas;

    (void)state;
    expect_warnings(c, want, wr_countof(want)); /* and of what is the same both times, nothing */
    assert_string_equal(r->url, "s3://b/a?region=r");
    assert_string_equal(setting(r->settings, "endpoint"), "top:1");
    assert_string_equal(setting(r->settings, "force-path-style"), "true");
    c = good("dbs: [{path: /a.db, replica: {url: 's3://b/a?region=r&sync-interval=2s'}}]\n");
    NO_WARNING(c);
    assert_string_equal(c->dbs[0].replicas[0].url, "s3://b/a?region=r&sync-interval=2s");
    c = good("region: x\ndbs: [{path: /a.db, replica: {url: 's3://b/a?region=x'}}]\n");
    NO_WARNING(c);
    assert_string_equal(c->dbs[0].replicas[0].url, "s3://b/a");
}

/* Who wrote one counts on it. */
static void test_what_nobody_takes(void **state)
{
    static const char *const want[] = {
        "1:9: \"region\" at the top has no effect: no replica takes it",
        "2:12: \"part-size\" at the top has no effect: no replica takes it"};
    static const char *const beside[] = {
        "1:21: \"heartbeat-interval\" has no effect: there is no heartbeat-url",
        "2:23: \"permissions\" has no effect: socket.enabled is not true"};

    (void)state;
    expect_warnings(good("region: one\npart-size: 5MB\ndbs: [{" DB "}]\n"), want, wr_countof(want));
    expect_warnings(
        good("region: one\ndbs: [{path: /a.db, replica: {url: s3://b/a, region: two}}]"), want, 1);
    expect_warnings(
        good("region: one\ndbs: [{dir: /d, pattern: '*', replica: {url: file:///r}}]"), want, 1);
    /* One is enough, of whatever entry; and there may be none that could take it. */
    NO_WARNING(good("region: one\ndbs: [{" DB "}, {path: /b.db, replica: {url: s3://b/b}}]"));
    NO_WARNING(good("region: one\ndbs: [{dir: /d, pattern: '*', replica: {url: s3://b/r}}]"));
    NO_WARNING(good("region: &r one\ndbs: [{path: /a.db, replica: {url: s3://b/a, region: *r}}]"));
    NO_WARNING(good("region: one\nsync-interval: 5s\n"));
    expect_warnings(good("heartbeat-interval: 2m\nsocket: {permissions: 0600}\n"
                         "dbs: [{" DB "}]\n"),
        beside, wr_countof(beside));
    NO_WARNING(good("heartbeat-interval: 2m\nheartbeat-url: http://x/y\n"
                    "socket: {enabled: true, permissions: 0600}\ndbs: [{" DB "}]\n"));
}

static void test_shared_mistake_once(void **state)
{
    struct wr_config *c =
        good("dbs:\n"
             "- path: /a.db\n  replica: {<<: &r {type: s3, bucket: b, oops: 1}, path: a}\n"
             "- path: /b.db\n  replica: {<<: *r, path: b}\n");

    (void)state;
    T(c->warnings && !c->warnings->next);
    T(strstr(c->warnings->text, ":3:42: unknown key \"oops\" is ignored"));
}

/* YAML 1.1: the mapping itself, then what it merges in the order of the list, and what each of
 * these merges right behind it. */
static void test_merge_order(void **state)
{
    const struct wr_config_replica *r;
    struct wr_config *c =
        good("base: &base {region: base, endpoint: base, profile: base}\n"
             "one: &one {<<: *base, endpoint: one}\n"
             "two: &two {region: two, profile: two, storage-class: two}\n"
             "dbs:\n"
             "- path: /a.db\n"
             "  replica: {<<: [*one, *two], url: 's3://b/a', storage-class: own}\n"
             "- path: /b.db\n"
             "  replica:\n"
             "    <<: *two\n"
             "    <<: *one\n"
             "    url: s3://b/b\n");

    (void)state;
    r = c->dbs[0].replicas;
    assert_string_equal(setting(r->settings, "storage-class"), "own");
    assert_string_equal(setting(r->settings, "endpoint"), "one");
    assert_string_equal(setting(r->settings, "region"), "base"); /* of what `one` merges */
    assert_string_equal(setting(r->settings, "profile"), "base");
    r = c->dbs[1].replicas;
    assert_string_equal(setting(r->settings, "region"), "two");
    assert_string_equal(setting(r->settings, "endpoint"), "one");
}

/* A place for anchors, as many files have one; not a place for other keys. */
static void test_anchor_holders(void **state)
{
    static const char *const want[] = {
        "1:1: \"replica_defaults\" is no key of the configuration, only what refers to it is read",
        "2:1: \"replicas\" is no key of the configuration, only what refers to it is read",
        "4:1: unknown key \"x-unused\" is ignored",
    };
    struct wr_config *c =
        good("replica_defaults: &d {type: s3, bucket: b}\n"
             "replicas:\n" /* one level further down, and a key of another place */
             "  - &deep {region: r}\n"
             "x-unused: &u {type: s3}\n"
             "dbs:\n"
             "- path: /a.db\n"
             "  replicas:\n"
             "  - {<<: [*d, *deep], path: a}\n");

    (void)state;
    expect_warnings(c, want, wr_countof(want));
    assert_string_equal(c->dbs[0].replicas[0].url, "s3://b/a");
    assert_string_equal(setting(c->dbs[0].replicas[0].settings, "region"), "r");
    bad("x: &d {type: s3, regoin: b}\ndbs: [{path: /a.db, replica: {<<: *d, bucket: b}}]\n",
        "1:18: unknown key \"regoin\", did you mean \"region\"?"); /* where it is merged */
}

static void test_bad_merge(void **state)
{
    (void)state;
    bad("<<: x\n", "1:5: a merge (<<) takes a mapping, or a list of them, not something else");
    bad("<<: [[a]]\n", "1:6: a merge (<<) takes a mapping, or a list of them, not something else");
    bad("&a\nexec: x\n<<: *a\n",
        "1:1: more than 32 mappings are merged here, is this one merged into itself?");
}

static void test_process(void **state)
{
    struct wr_config *c = good("");

    (void)state;
    T(!c->addr && !c->heartbeat_url && c->heartbeat_interval_ms == 300000);
    T(!c->socket.enabled && c->socket.permissions == 0600 && c->open_max == 0);
    assert_string_equal(c->socket.path, "/var/run/litestream.sock");

    c = good("addr: :9090\n"
             "socket: {enabled: on, path: /run/w.sock, permissions: 0660}\n"
             "heartbeat-url: https://h/ping/secret\n"
             "heartbeat-interval: 90s\n"
             "logging: {level: Warning, type: pretty, stderr: false}\n"
             "shutdown-sync-timeout: 0s\n");
    NO_WARNING(c);
    assert_string_equal(c->addr, ":9090");
    T(c->socket.enabled && c->socket.permissions == 0660);
    assert_string_equal(c->socket.path, "/run/w.sock");
    assert_string_equal(c->heartbeat_url, "https://h/ping/secret");
    T(c->heartbeat_interval_ms == 90000 && c->shutdown_sync_timeout_ms == 0);

    assert_string_equal(good("addr: 9090")->addr, "9090");
    assert_string_equal(good("addr: localhost:0")->addr, "localhost:0");
    assert_string_equal(good("addr: '[::1]:9090'")->addr, "[::1]:9090");
    T(!good("socket: {enabled: on}")->socket.registry);
    assert_string_equal(
        good("socket: {registry: /var/lib//weir/r.json}")->socket.registry, "/var/lib/weir/r.json");
    T(good("socket: {permissions: '0o640'}")->socket.permissions == 0640);
    T(good("socket: {permissions: 00}")->socket.permissions == 0);
    T(good("heartbeat-url: HTTP://h")->heartbeat_url != NULL);
    T(good("open-max: 0")->open_max == 0);
    T(good("open-max: 4")->open_max == 4);
    T(good("open-max: 4294967295")->open_max == UINT32_MAX);
}

#define TOKEN "token: 0123456789abcdef"

static void test_serve(void **state)
{
    struct wr_config *c = good("");
    const char *path = t_path(t_tmpdir(), "token");
    char text[600];

    (void)state;
    T(!c->serve.addr && !c->serve.token && c->serve.max_followers == 128);
    c = good("serve: {addr: ':9999', " TOKEN ", max-followers: 3}");
    NO_WARNING(c);
    assert_string_equal(c->serve.addr, ":9999");
    assert_string_equal(c->serve.token, "0123456789abcdef");
    T(c->serve.max_followers == 3);
    T(!good("serve: {addr: localhost:9999}")->serve.token);
    T(!good("serve: {addr: '127.0.0.5:9999'}")->serve.token);
    T(!good("serve: {addr: '[::1]:9999'}")->serve.token);
    t_spew(path, "  a-token-of-some-length \nand a remark\n", 40);
    (void)snprintf(text, sizeof(text), "serve: {addr: '9999', token-file: %s}", path);
    assert_string_equal(good(text)->serve.token, "a-token-of-some-length");
    T(setenv("SERVE_TOKEN", "fedcba9876543210", 1) == 0);
    assert_string_equal(
        good("serve: {addr: ':1', token: '${SERVE_TOKEN}'}")->serve.token, "fedcba9876543210");
    T(!c->serve.cert_file && !c->serve.key_file);
    T(setenv("SERVE_DIR", "/etc/weir", 1) == 0);
    c = good("serve: {addr: ':1', " TOKEN ", cert-file: $SERVE_DIR/c.pem, key-file: /k.pem}");
    NO_WARNING(c);
    assert_string_equal(c->serve.cert_file, "/etc/weir/c.pem");
    assert_string_equal(c->serve.key_file, "/k.pem");
    T(unsetenv("SERVE_DIR") == 0);
    T(unsetenv("SERVE_TOKEN") == 0);
}

static void test_bad_serve(void **state)
{
    static const char *const open_to_all[] = {":9999", "9999", "0.0.0.0:9999", "host:9999",
        "10.0.0.1:9999", "[::]:9999", "localhost.evil.org:9999", "127.evil.org:9999",
        "127.0.0.1.evil.org:9999", "127.1:9999"};
    struct wr_err e = {0};
    struct wr_config *c = NULL;
    char text[300];

    (void)state;
    for (size_t i = 0; i < wr_countof(open_to_all); i++) {
        (void)snprintf(text, sizeof(text), "serve: {addr: '%s'}", open_to_all[i]);
        bad(text, "1:15: serve.addr can be reached by others, who would get all data: serve needs "
                  "token or token-file, or an address such as localhost:9999");
    }
    bad("serve: {" TOKEN "}", "1:8: serve needs addr, as in addr: \":9999\"");
    bad("serve: {addr: 'http://h:1', " TOKEN "}",
        "1:15: serve.addr must be host:port, as in localhost:9999 or :9999, not \"http://h:1\"");
    bad("serve: {addr: ':1', token: ''}", "1:28: serve.token: the token is empty");
    bad("serve: {addr: ':1', token: short}",
        "1:28: serve.token: a token has 16 characters at least, 4000 at most");
    bad("serve: {addr: ':1', token: 'with space in the middle'}",
        "1:28: serve.token: a token has only visible characters of ASCII, and no space");
    bad("serve: {addr: ':1', " TOKEN ", token-file: /x}",
        "1:58: serve has both token and token-file");
    bad("serve: {addr: ':1', " TOKEN ", max-followers: 0}",
        "1:61: serve.max-followers must be a number from 1 to 4096 (got 0)");
    bad("serve: {addr: ':1', " TOKEN ", cert-file: /c}",
        "1:57: serve has cert-file, and no key-file: TLS needs both");
    bad("serve: {addr: ':1', " TOKEN ", key-file: /k}",
        "1:56: serve has key-file, and no cert-file: TLS needs both");
    bad("serve: {addr: ':1', " TOKEN ", cert: /c, key: /k}",
        "1:52: serve.cert is no key: a certificate is given as cert-file, and its private key as "
        "key-file");
    T_IS(WR_MISUSE,
        load("serve: {addr: ':1', " TOKEN ", cert-file: $NO_SUCH/c, key-file: /k}", &c, &e));
    /* What is left of a variable that is not set is no token. */
    T_IS(WR_MISUSE, load("serve: {addr: ':1', token: '${NO_SUCH_TOKEN}'}", &c, &e));
    T_IS(WR_MISUSE, load("serve: {addr: 'localhost:1', token: ${NO_SUCH_TOKEN}}", &c, &e));
    T_IS(WR_MISUSE, load("serve: {addr: ':1', token: '${NO_SUCH_TOKEN}0123456789abcdef'}", &c, &e));
    T_IS(WR_MISUSE, load("serve: {addr: ':1', token-file: /no/such/file}", &c, &e));
    T(strstr(e.text, "/no/such/file"));
    T_IS(WR_MISUSE, load("serve: {addr: ':1', tokn: x}", &c, &e));
}

static void test_bad_process(void **state)
{
    static const char *const addrs[] = {
        "localhost", ":", "h:", ":65536", "::1:9090", "http://h:80", "h:80x", "a b:80", "-1"};
    static const char *const modes[] = {"600", "0888", "01000", "rw", "0x1", "0", "0o", "-0600"};
    static const char *const urls[] = {"h/secret", "ftp://secret", "https:/secret", "https://",
        "https:///secret", "http", "xhttp://secret"};
    static const char level[] = "1:18: logging.level is none of debug, info, warn and error: info "
                                "(got verbose)";
    static const char *const want[] = {level};
    static const char *const counts[] = {"1", "3", "-1", "4294967296"};
    char text[300], full[300];

    (void)state;
    for (size_t i = 0; i < wr_countof(addrs); i++) {
        (void)snprintf(text, sizeof(text), "addr: '%s'", addrs[i]);
        (void)snprintf(full, sizeof(full),
            "1:7: addr must be host:port, as in localhost:9090 or :9090, not \"%s\"", addrs[i]);
        bad(text, full);
    }
    for (size_t i = 0; i < wr_countof(modes); i++) {
        (void)snprintf(text, sizeof(text), "socket: {permissions: %s}", modes[i]);
        (void)snprintf(full, sizeof(full),
            "1:23: socket.permissions must be octal, from 0000 to 0777, with the leading 0 (got "
            "%s)",
            modes[i]);
        bad(text, full);
    }
    for (size_t i = 0; i < wr_countof(urls); i++) {
        (void)snprintf(text, sizeof(text), "heartbeat-url: %s", urls[i]);
        bad(text, "1:16: heartbeat-url: heartbeat URL must be a valid HTTP or HTTPS URL");
    }
    for (size_t i = 0; i < wr_countof(counts); i++) {
        (void)snprintf(text, sizeof(text), "open-max: %s", counts[i]);
        (void)snprintf(full, sizeof(full),
            "1:11: open-max is how many databases are held open at once: from 4 to 4294967295, or "
            "0 for all of them (got %s)",
            counts[i]);
        bad(text, full);
    }
    bad("open-max: 5k", "1:11: open-max must be a number (got 5k)");
    bad("open-max: [5]", "1:11: open-max must be a single value, not a list");
    bad("heartbeat-interval: 59s", "1:21: heartbeat-interval: heartbeat interval must be at least "
                                   "1 minute (got 59s)");
    bad("heartbeat-interval: 300",
        "1:21: heartbeat-interval: \"300\" is not a duration such as 5m");
    bad("socket: {enabled: maybe}", "1:19: socket.enabled must be true or false (got maybe)");
    bad("socket: /run/s", "1:9: socket must be a mapping, not a single value");
    (void)snprintf(text, sizeof(text), "socket: {path: /%0108d}", 0);
    (void)snprintf(full, sizeof(full),
        "1:16: socket.path is too long for a socket, at most 107 bytes: /%0108d", 0);
    bad(text, full);
    bad("shutdown-sync-timeout: -1s",
        "1:24: shutdown-sync-timeout: shutdown-sync-timeout must be >= 0 (got -1s)");
    expect_warnings(good("logging: {level: verbose}"), want, 1);
}

static void test_env(void **state)
{
    static const char *const want[] = {
        "3:17: environment variable \"T_UNSET\" is not set",
    };
    struct wr_config *c, *raw = NULL;
    struct wr_err e = {0};

    (void)state;
    T(setenv("T_BUCKET", "from-env", 1) == 0 && unsetenv("T_UNSET") == 0);
    c = good("# ${T_UNSET} in a comment is fine\n"
             "dbs: [{path: /a.db, replica: {url: 's3://$T_BUCKET/a'}}]\n"
             "access-key-id: \"${T_UNSET}\"\n");
    expect_warnings(c, want, 1);
    assert_string_equal(c->dbs[0].replicas[0].url, "s3://from-env/a");
    T(settings_count(c->dbs[0].replicas[0].settings) == 1); /* an empty key is none */

    T_OK(wr_config_load(t_call()->scratch, file, false, &raw, &e));
    assert_string_equal(raw->dbs[0].replicas[0].url, "s3://$T_BUCKET/a");
}

/* A value that says where the data is must not lose a part: it would be another place. */
static void test_env_in_places(void **state)
{
    static const char behind[] = " is not complete: $T_UNSET in it has no value";
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"dbs: [{path: '/a/$T_UNSET', replica: {path: /r}}]", "1:14: dbs[0].path"},
        {"dbs: [{path: $T_UNSET, replica: {path: /r}}]", "1:14: dbs[0].path"},
        {"dbs: [{dir: '$T_UNSET/a', replica: {path: /r}}]", "1:13: dbs[0].dir"},
        {"dbs: [{path: /a, meta-path: '/m$T_UNSET', replica: {path: /r}}]",
            "1:29: dbs[0].meta-path"},
        {"dbs: [{path: /a, replica: {url: 's3://b/${T_UNSET}/x'}}]", "1:33: dbs[0].replica.url"},
        {"dbs: [{path: /a, replica: {url: \"$T_UNSET\"}}]", "1:33: dbs[0].replica.url"},
        {"dbs:\n- path: /a\n  replica:\n    type: s3\n    bucket: ${T_UNSET}\n    path: x\n",
            "5:12: dbs[0].replica.bucket"},
        {"bucket: x${T_UNSET}\ndbs:\n- path: /a\n  replicas: [{type: s3, path: x}]\n",
            "1:9: the top.bucket"},
        {"dbs:\n- path: /a\n  replica:\n    type: s3\n    bucket: b\n    path: >\n      a\n"
         "      ${T_UNSET}\n",
            "6:11: dbs[0].replica.path"},
        /* in characters, whatever stands before it */
        {"exec: $T_LONG\ndbs: [{path: /a, replica: {path: \"\xc3\xa4\xc3\xa4$T_UNSET\", name: x}}]",
            "2:34: dbs[0].replica.path"},
    };
    char want[200];

    (void)state;
    T(setenv("T_LONG", "a long text", 1) == 0 && unsetenv("T_UNSET") == 0);
    for (size_t i = 0; i < wr_countof(cases); i++) {
        (void)snprintf(want, sizeof(want), "%s%s", cases[i].want, behind);
        bad(cases[i].text, want);
    }
    /* Here nothing is missing. */
    NO_WARNING(good("dbs: [{path: '/a/${T_UNSET:-}', replica: {path: '/r${T_UNSET:-/x}'}}]"));
    NO_WARNING(good("exec: \"${T_LONG}\"\ndbs: [{path: /a, replica: {path: /r}}]"));
    /* What is wrong without it is told with it, and with nothing else. */
    bad("dbs: [{path: /a, replica: {path: /r, sync-interval: ${T_UNSET}s}}]",
        "1:53: dbs[0].replica.sync-interval: \"s\" is not a duration such as 1s: $T_UNSET in it "
        "has no "
        "value");
    bad("exec: $T_UNSET\ndbs: [{path: /a, replica: {path: /r, sync-interval: s}}]",
        "2:53: dbs[0].replica.sync-interval: \"s\" is not a duration such as 1s");
}

static void test_env_elsewhere(void **state)
{
    static const char *const want[] = {
        "2:24: environment variable \"T_UNSET\" is not set",
        "2:65: environment variable \"T_EMPTY\" is empty",
    };
    struct wr_config *c;

    (void)state;
    T(setenv("T_EMPTY", "", 1) == 0 && unsetenv("T_UNSET") == 0);
    c = good("dbs:\n- {path: /a, replica: {$T_UNSET url: 's3://b/a', sync-interval: $T_EMPTY}}\n");
    expect_warnings(c, want, wr_countof(want));
    assert_string_equal(c->dbs[0].replicas[0].sync_interval, "1s");
}

/* The original takes the path beside a bucket as it is for the beginning of keys, and cleans only
 * that of a URL: path: /app was looked for at app, where its backups are not. */
static void test_path_beside_a_bucket(void **state)
{
    static const struct {
        const char *path, *url;
    } cases[] = {
        {"", ""},
        {"app", "app"},
        {"a/b.db", "a/b.db"},
        {"/app", "%2Fapp"},
        {"/a/b", "%2Fa/b"},
        {"//a", "%2F/a"},
        {"/", "%2F"},
        {"app/", "app%2F"},
        {"/a/", "%2Fa%2F"},
        {"a//b", "a%2F%2Fb"},
        {"./a", ".%2Fa"},
        {"../a", "..%2Fa"},
        {"a/../b", "a%2F..%2Fb"},
        {".", "%2E"},
        {"..", "%2E%2E"},
        {"/.", "%2F%2E"},
        {".a", ".a"},
        {"..a/b", "..a/b"},
        {"50%", "50%25"},
        {"a%20b", "a%2520b"},
        {"a b", "a%20b"},
        {"a?b#c", "a%3Fb%23c"},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        char text[200], want[200];
        struct wr_storage *s = NULL;
        struct wr_err e = {0};
        const struct wr_config_replica *r;

        (void)snprintf(text, sizeof(text),
            "dbs: [{path: /a.db, replica: {type: s3, bucket: b, path: '%s'}}]", cases[i].path);
        r = good(text)->dbs[0].replicas;
        (void)snprintf(want, sizeof(want), "s3://b/%s", cases[i].url);
        assert_string_equal(r->url, want);
        T_OK(wr_storage_open(wr_str(r->url), NULL, &s, &e));
        (void)snprintf(want, sizeof(want), "%s/", cases[i].path);
        T(wr_str_eq(wr_storage_prefix(s), wr_str(want)));
        wr_storage_close(s);
    }
}

static void test_same_replica(void **state)
{
    static const char *const pairs[][2] = {
        {"url: 's3://b/x'", "type: s3, bucket: b, path: x"},
        {"url: 's3://b/x'", "url: 'S3://b//x/./?region=eu'"},
        {"url: 's3://b/a%20b'", "type: s3, bucket: b, path: 'a b'"},
        {"url: 's3://b/%2Fx'", "type: s3, bucket: b, path: /x"},
        {"url: 's3://b/x?endpoint=http://h:9'", "url: 's3://b/x', endpoint: 'h:9/'"},
        {"url: 'file:///x/y'", "path: /x//y/"},
        {"url: 'file://x/y'", "path: /x/y"},
        {"url: 'abs://a@c/x'", "url: 'abs://c/x', account-name: a"},
        {"url: 's3://b'", "url: 's3://b/'"},
        /* With the bucket in a host, as others have it: these were two places. */
        {"url: 's3://b/x'", "url: 's3://b.s3.eu-west-1.amazonaws.com/x'"},
        {"url: 's3://b.s3.amazonaws.com/x'",
            "url: 's3://b/x', endpoint: s3.eu-west-1.amazonaws.com"},
        {"url: 's3://my.b/x'", "url: 's3://my.b.s3.amazonaws.com/x'"},
        {"url: 's3://b.s3.us-west-002.backblazeb2.com/x'",
            "url: 's3://b/x', endpoint: s3.us-west-002.backblazeb2.com"},
        {"url: 's3://b.fra1.digitaloceanspaces.com/x'",
            "type: s3, bucket: b, path: x, endpoint: 'https://fra1.digitaloceanspaces.com'"},
        {"url: 's3://b.s3.filebase.com/x'", "url: 's3://b/x?endpoint=s3.filebase.com'"},
        {"url: 's3://b.localhost:9000/x'", "url: 's3://b/x', endpoint: 'http://localhost:9000'"},
    };
    static const char *const apart[][2] = {
        {"url: 's3://b/x'", "url: 's3://c/x'"},
        {"url: 's3://b/x'", "url: 'gs://b/x'"},
        {"url: 's3://b/x'", "url: 's3://b/X'"},
        {"url: 's3://b/x'", "url: 's3://b/x', endpoint: 'h:9'"},
        {"url: 's3://b/x'", "url: 's3://c.s3.amazonaws.com/x'"},
        {"url: 's3://b/x'", "url: 's3://b.s3.cn-north-1.amazonaws.com.cn/x'"},
        {"url: 's3://b/x'", "url: 's3://b.s3.eu-central-003.backblazeb2.com/x'"},
        {"url: 's3://b/x'", "url: 's3://b.example.com/x'"},
        {"url: 's3://b.localhost:9000/x'", "url: 's3://b.localhost:9001/x'"},
        {"url: 's3://b/x'", "url: 's3://b/x.db'"},
        {"url: 's3://b/x'", "url: 's3://b/x-y'"},
        {"url: 's3://b/x'", "type: s3, bucket: b, path: /x"},
        {"url: 'sftp://h/x'", "url: 'sftp://h:2222/x'"},
        {"url: 'abs://a@c/x'", "url: 'abs://b@c/x'"},
    };
    char text[500];

    (void)state;
    for (size_t i = 0; i < wr_countof(pairs); i++) {
        struct wr_config *c = NULL;
        struct wr_err e = {0};

        (void)snprintf(text, sizeof(text),
            "dbs:\n- {path: /z.db, replica: {%s}}\n- {path: /a.db, replica: {%s}}\n", pairs[i][0],
            pairs[i][1]);
        T_IS(WR_MISUSE, load(text, &c, &e));
        T(strstr(e.text, "c.yml:3:3: /z.db and /a.db have the same replica, "));
        (void)snprintf(text, sizeof(text), "dbs:\n- {path: /z.db, replicas: [{%s}, {%s}]}\n",
            pairs[i][0], pairs[i][1]);
        T_IS(WR_MISUSE, load(text, &c, &e));
        T(strstr(e.text, "c.yml:2:3: /z.db has the replica ") && strstr(e.text, " twice"));
    }
    for (size_t i = 0; i < wr_countof(apart); i++) {
        (void)snprintf(text, sizeof(text),
            "dbs:\n- {path: /z.db, replica: {%s}}\n- {path: /a.db, replica: {%s}}\n", apart[i][0],
            apart[i][1]);
        NO_WARNING(good(text));
    }
    bad("dbs:\n- {path: /a, replica: {url: 's3://b/x?secret-access-key=hush'}}\n"
        "- {path: /b, replica: {url: 's3://b/x?secret-access-key=hush'}}\n",
        "3:3: /a and /b have the same replica, s3://b/x?secret-access-key=***, and would destroy "
        "each "
        "other's backup: give each a path of its own");
}

static void test_replica_in_replica(void **state)
{
#define LIES(line, inner, db, outer, other)                                       \
#line ":3: the replica " inner " of " db " lies in " outer ", that of " other \
          ": keep them apart, so that none takes the other's files for its own"
    static const char *const want[] = {
        LIES(3, "s3://b/x/0001", "/b", "s3://b/x", "/a"),
        LIES(7, "s3://b/x/t", "/d", "s3://b/x", "/a"),
        LIES(4, "s3://b/x/y/z", "/c", "s3://b/x", "/a"),
    };

    (void)state;
    expect_warnings(good("dbs:\n"
                         "- {path: /a, replica: {url: 's3://b/x'}}\n"
                         "- {path: /b, replica: {url: 's3://b/x/0001'}}\n"
                         "- {path: /c, replica: {url: 's3://b/x/y/z'}}\n"
                         "- {path: /e, replica: {url: 's3://b/x-1'}}\n"
                         "- {path: /f, replica: {url: 's3://b/w/x'}}\n"
                         "- {dir: /d, pattern: '*', replica: {url: 's3://b/x/t'}}\n"),
        want, 3);
}

static void test_typed_values(void **state)
{
    struct wr_config *c;

    (void)state;
    bad_replica("{url: 's3://b/a', force-path-style: 1s}",
        "66: dbs[0].replica.force-path-style must be true or false (got 1s)");
    bad_replica("{url: 's3://b/a', part-size: 5 miles}",
        "59: dbs[0].replica.part-size must be a size such as 5MiB (got 5 miles)");
    bad_replica("{url: 's3://b/a', concurrency: many}",
        "61: dbs[0].replica.concurrency must be a number (got many)");
    bad_replica("{url: 'nats://h/b', timeout: 10}",
        "59: dbs[0].replica.timeout: \"10\" is not a duration such as 10s");
    bad("skip-verify: maybe\ndbs: [{path: /a.db, replica: {url: 's3://b/a'}}]",
        "1:14: skip-verify must be true or false (got maybe)");
    bad("dbs: [{min-checkpoint-page-count: 0, " DB "}]",
        "1:35: dbs[0].min-checkpoint-page-count must be greater than 0 (got 0)");
    bad("dbs: [{min-checkpoint-page-count: x, " DB "}]",
        "1:35: dbs[0].min-checkpoint-page-count must be a number (got x)");
    bad("dbs: [{adopt-replica: x, " DB "}]",
        "1:23: dbs[0].adopt-replica must be true or false (got x)");
    bad("dbs: [{source: 's3://bucket/a', " DB "}]",
        "1:16: source must be the URL of a primary, such as http://primary:9999/app.db");
    bad("dbs: [{restore-if-db-not-exists: 2, " DB "}]",
        "1:34: dbs[0].restore-if-db-not-exists must be true or false (got 2)");
    /* YAML 1.1 has more words for it. */
    assert_string_equal(setting(good("dbs: [{path: /a, replica: {url: 's3://b/a', "
                                     "sign-payload: Off, part-size: '5,242,880'}}]")
                                    ->dbs[0]
                                    .replicas[0]
                                    .settings,
                            "sign-payload"),
        "false"); /* for who knows fewer */
    c = good(
        "retention: {enabled: n}\nskip-verify: Y\ndbs: [{path: /a, replica: {url: 's3://b/a'}}]");
    assert_string_equal(setting(c->dbs[0].settings, "retention.enabled"), "false");
    assert_string_equal(setting(c->dbs[0].replicas[0].settings, "skip-verify"), "true");
}

static void test_key_file(void **state)
{
    const char *key = t_path(t_tmpdir(), "key");
    char text[500], want[1000];
    struct wr_config *c;

    (void)state;
    T(key);
    t_spew(key, " a2V5\n", 6);
    (void)snprintf(text, sizeof(text),
        "sse-customer-key-path: %s\n"
        "dbs: [{path: /a, replicas: [{url: 's3://b/a', sse-customer-key: other}, {path: /b}]}]",
        key);
    c = good(text);
    NO_WARNING(c);
    assert_string_equal(setting(c->dbs[0].replicas[0].settings, "sse-customer-key"), "a2V5");
    T(settings_count(c->dbs[0].replicas[1].settings) == 1);

    t_spew(key, "\n", 1);
    (void)snprintf(want, sizeof(want),
        "1:24: cannot read sse-customer-key-path \"%s\": there is no key in it", key);
    bad(text, want);
    T(unlink(key) == 0);
    (void)snprintf(want, sizeof(want),
        "1:24: cannot read sse-customer-key-path \"%s\": stat %s: No such file or directory", key,
        key);
    bad(text, want);
    T(mkfifo(key, 0600) == 0);
    (void)snprintf(want, sizeof(want),
        "1:24: cannot read sse-customer-key-path \"%s\": it is no regular file", key);
    bad(text, want);
}

static void test_retention_and_interval(void **state)
{
#define LESS(place, r, i)                                                               \
    place ": snapshot.retention (" r ") is less than snapshot.interval (" i "): files " \
          "stay until the next snapshot all the same"
    static const char *const a[] = {LESS("1:23", "1h", "24h")};
    static const char *const b[] = {LESS("1:22", "24h", "48h")};
    static const char *const c[] = {LESS("1:62", "1h", "2h")};

    (void)state;
    expect_warnings(good("snapshot: {retention: 1h}\ndbs: [{" DB "}]"), a, 1);
    expect_warnings(good("snapshot: {interval: 48h}\ndbs: [{" DB "}]"), b, 1);
    expect_warnings(good("dbs: [{path: /a.db, replica: {url: file:///a, retention:     1h, "
                         "snapshot-interval: 2h}}]"),
        c, 1);
    NO_WARNING(good("snapshot: {interval: 1d, retention: 24h}\ndbs: [{" DB "}]"));
    NO_WARNING(good("snapshot: {interval: 48h}\n")); /* of nothing */
}

/* What is a key of each replica to Litestream, said once for all. */
static void test_history_defaults(void **state)
{
    struct wr_config *c = good("snapshot-interval: 6h\nvalidation-interval: 8h\ndbs: [{" DB "}]");

    (void)state;
    NO_WARNING(c);
    assert_string_equal(setting(c->dbs[0].settings, "snapshot.interval"), "6h");
    assert_string_equal(setting(c->dbs[0].settings, "validation.interval"), "8h");
}

static void test_odd_paths(void **state)
{
    static const char *const want[] = {
        "1:14: path ends with \";\", which is taken for part of the name: /a.db;"};

    (void)state;
    expect_warnings(good("dbs: [{path: /a.db;, replica: {path: /r}}]"), want, 1);
    bad_replica("{url: 's3:///a'}", "30: replica url: there is no bucket in it: s3://HERE/...");
    bad_replica("{url: 'sftp:///a'}", "30: replica url: there is no host in it: sftp://HERE/...");
    bad_replica("{url: 'gcs://b/a'}", "30: unsupported replica URL scheme: \"gcs\" (0.5 has gs://, "
                                      "which is not supported yet)");
    bad_replica("{url: 's3://b:x/a'}", "30: replica url: s3 URL: the port is not a number up to "
                                       "65535; in a password write %2F for '/', %3F for '?'");
}

/* The memory of the process, where tests have their buckets: all was well, and nothing was kept. */
static void test_a_replica_in_memory(void **state)
{
    static const char *const urls[] = {"MEM://a"};
    struct wr_config *c = NULL;
    struct wr_err e = {0};

    (void)state;
    bad_replica("{url: 'mem://a'}", "30: unsupported replica URL scheme: \"mem\"");
    T_IS(WR_MISUSE, wr_config_adhoc(t_call()->scratch, "/a.db", urls, 1, NULL, &c, &e));
    assert_string_equal(e.text, "unsupported replica URL scheme: \"mem\"");
}

static void test_empty(void **state)
{
    (void)state;
    T(good("")->ndbs == 0);
    T(good("# nothing\n")->ndbs == 0);
    T(good("dbs:\n")->ndbs == 0);
    T(good("dbs: []\nlogging:\nexec: ~\n")->ndbs == 0);
}

static void test_bad_shape(void **state)
{
    (void)state;
    bad("- a\n", "1:1: the configuration must be a mapping, not a list");
    bad("dbs: x\n", "1:6: dbs must be a list, not a single value");
    bad("dbs:\n  - x\n", "2:5: an entry of dbs must be a mapping, not a single value");
    bad("dbs:\n  - path: [a]\n", "2:11: dbs[0].path must be a single value, not a list");
    bad("dbs:\n  - replica: {url: 's3://b/a'}\n",
        "2:5: database config #1: must specify either 'path' or 'dir'");
    bad("dbs:\n  - path: /a.db\n", "2:5: must specify replica for database");
    bad("dbs:\n  - path: /a.db\n    replicas: []\n", "2:5: must specify replica for database");
    bad("dbs:\n  - path: /a.db\n    replica: x\n",
        "3:14: dbs[0].replica must be a mapping, not a single value");
    bad("dbs:\n  - path: /a.db\n    replica: {url: 's3://b/a'}\n    replicas: [{url: "
        "'s3://b/c'}]\n",
        "4:15: cannot specify 'replica' and 'replicas' on a database");
    bad("dbs:\n  - &d {path: /a.db, replica: {url: 's3://b/a'}}\n  - *d\n",
        "2:5: /a.db is listed twice: put both replicas under one 'replicas'");
    bad("logging: {type: xml}\n", "1:17: logging.type must be text, json or pretty, not \"xml\"");
    bad("logging: {stderr: maybe}\n", "1:19: logging.stderr must be true or false (got maybe)");
    bad("shutdown-sync-timeout: 30\n",
        "1:24: shutdown-sync-timeout: \"30\" is not a duration such as 30s");
    bad("a: b: c\n", "1:5: mapping values are not allowed in this context");
}

/* One replica under one database, on line 1 from column 30. */
static void bad_replica(const char *replica, const char *want)
{
    char text[500], full[500];

    (void)snprintf(text, sizeof(text), "dbs: [{path: /a.db, replica: %s}]", replica);
    (void)snprintf(full, sizeof(full), "1:%s", want);
    bad(text, full);
}

static void test_bad_replica(void **state)
{
    (void)state;
    bad_replica("{type: s3, path: a}", "30: bucket required for s3 replica");
    bad_replica("{bucket: b, path: a}", "30: there is a bucket, and no type: write type: s3");
    bad_replica("{type: file, bucket: b}", "30: file replica path required");
    bad_replica("{type: sftp}", "30: url required for sftp replica (sftp://...)");
    bad_replica("{type: gcs}", "30: unknown replica type in config: \"gcs\" (0.5 has gs, which is "
                               "not supported yet)");
    bad_replica("{url: /backup}", "30: replica url scheme required: /backup");
    bad_replica("{path: 's3://b/a'}",
        "30: replica path cannot be a url, please use the 'url' field instead");
    bad_replica("{url: 's3://b/a', path: x}", "30: cannot specify url & path for s3 replica");
    bad_replica("{url: 's3://b/a', bucket: x}", "30: cannot specify url & bucket for s3 replica");
    bad_replica("{path: '/a?b'}", "30: replica path cannot contain '?': /a?b");
    bad_replica("{type: s3, bucket: b, path: \"a\\n\"}",
        "30: there is a control character in the replica path");
    bad_replica("{url: 's3://b/a', sync-interval: 10}",
        "63: dbs[0].replica.sync-interval: \"10\" is not a duration such as 1s");
    bad_replica("{url: 's3://b/a', sync-interval: -1s}",
        "63: dbs[0].replica.sync-interval: sync interval must not be negative (got -1s)");
    bad_replica("{url: 's3://b/a', age: {recipients: [x]}}",
        "53: age encryption is not supported, and without it data would be stored in clear: remove "
        "it, and encrypt in the store, as with sse-kms-key-id or sse-customer-key");
    bad("age: {recipients: [x]}\ndbs: [{path: /a.db, replica: {url: 's3://b/a'}}]",
        "1:6: age encryption is not supported, and without it data would be stored in clear: "
        "remove it, and encrypt in the store, as with sse-kms-key-id or sse-customer-key");
    bad_replica("{url: 's3://b/a', region: {a: b}}",
        "56: dbs[0].replica.region must be a single value, not a mapping");
}

/* A URL with a typing error in front is still full of secrets. */
/* It was read, and where it led, or that it led nowhere, came to light when the store was opened.
 */
static void test_a_bucket_with_a_slash_before_it_was_none(void **state)
{
    (void)state;
    bad_replica("{type: s3, bucket: /b, path: a}",
        "30: replica url: there is no bucket in it: s3://HERE/...");
    bad_replica("{type: s3, bucket: 'b:x', path: a}",
        "30: replica url: s3 URL: the port is not a number up to 65535; in a password write %2F "
        "for "
        "'/', %3F for '?'");
    (void)good("dbs: [{path: /a.db, replica: {type: s3, path: a,"
               " bucket: 'arn:aws:s3:eu-west-1:123456789012:accesspoint/a'}}]");
}

/* Of the first the path became a part of the query, so that all went to the root of the bucket; in
 * the second the bucket was what follows. */
static void test_what_is_no_name_of_a_bucket_was_another_part_of_the_url(void **state)
{
    (void)state;
    bad_replica("{type: s3, bucket: 'b?region=x', path: a}", "30: s3 bucket cannot contain '?'");
    bad_replica("{type: s3, bucket: 'a@b', path: a}", "30: s3 bucket cannot contain '@'");
    bad_replica("{type: gs, bucket: '?b', path: a}", "30: gs bucket cannot contain '?'");
    bad("bucket: 'b?x'\ndbs: [{path: /a.db, replica: {type: s3, path: a}}]",
        "2:30: s3 bucket cannot contain '?'");
}

static void test_mistyped_url_shows_no_secret(void **state)
{
    static const char *const urls[] = {"s3//key:hunter2@bucket/a"};
    struct wr_config *c = NULL;
    struct wr_err e = {0};

    (void)state;
    bad_replica("{url: 's3//key:hunter2@bucket/a'}", "30: replica url scheme required: ***");
    bad_replica(
        "{url: 's3:/b/a?secret-access-key=hunter2'}", "30: replica url scheme required: ***");
    T_IS(WR_MISUSE, wr_config_adhoc(t_call()->scratch, "/a.db", urls, 1, NULL, &c, &e));
    assert_string_equal(e.text, "not a replica URL: ***");
}

/* YAML can write a NUL, C ends its strings there: two databases would share one replica. */
static void test_text_is_cut_at_a_nul(void **state)
{
    (void)state;
    bad_replica("{url: \"s3://b/a\\0b\"}", "36: dbs[0].replica.url has a NUL in it");
    bad_replica("{type: s3, bucket: \"b\\0c\"}", "49: dbs[0].replica.bucket has a NUL in it");
    bad("exec: \"a\\0b\"", "1:7: exec has a NUL in it");
    bad("dbs: [{path: \"/a\\0b\", replica: {path: /r}}]", "1:14: dbs[0].path has a NUL in it");
}

static void test_files(void **state)
{
    struct wr_config *c = NULL;
    struct wr_err e = {0};
    const char *dir = t_tmpdir();

    (void)state;
    T(unsetenv("WEIR_CONFIG") == 0 && setenv("LITESTREAM_CONFIG", "/nonexistent/c.yml", 1) == 0);
    assert_string_equal(wr_config_default_path(), "/nonexistent/c.yml");
    T_IS(WR_NOTFOUND, wr_config_load(t_call()->scratch, NULL, true, &c, &e));
    assert_string_equal(e.text, "config file not found: /nonexistent/c.yml");
    T(setenv("WEIR_CONFIG", "/nonexistent/w.yml", 1) == 0);
    assert_string_equal(wr_config_default_path(), "/nonexistent/w.yml");
    T(setenv("WEIR_CONFIG", "", 1) == 0);
    assert_string_equal(wr_config_default_path(), "/nonexistent/c.yml");
    T(unsetenv("LITESTREAM_CONFIG") == 0);
    assert_string_equal(wr_config_default_path(),
        access("/etc/weir.yml", F_OK) == 0 ? "/etc/weir.yml" : "/etc/litestream.yml");
    T_IS(WR_MISUSE, wr_config_load(t_call()->scratch, dir, true, &c, &e));
}

static void test_adhoc(void **state)
{
    static const char *const urls[] = {"s3://b/a", "file:///backup"};
    static const char *const plain[] = {"/backup"}, *const word[] = {"backup"};
    struct wr_config *c = NULL;
    struct wr_err e = {0};
    struct wr_arena *a = t_call()->scratch;

    (void)state;
    T_OK(wr_config_adhoc(a, "/a//b.db", urls, 2, "3s", &c, &e));
    T(c->ndbs == 1 && c->dbs[0].nreplicas == 2 && c->shutdown_sync_timeout_ms == 30000);
    assert_string_equal(c->dbs[0].path, "/a/b.db");
    assert_string_equal(c->dbs[0].replicas[0].url, "s3://b/a");
    assert_string_equal(c->dbs[0].replicas[1].type, "file");
    assert_string_equal(setting(c->dbs[0].replicas[1].settings, "sync-interval"), "3s");
    T_OK(wr_config_adhoc(a, "/a.db", urls, 1, NULL, &c, &e));
    assert_string_equal(c->dbs[0].replicas[0].sync_interval, "1s");
    T_IS(WR_MISUSE, wr_config_adhoc(a, "/a.db", plain, 1, NULL, &c, &e));
    assert_string_equal(e.text, "not a replica URL: /backup (write file:///backup)");
    T_IS(WR_MISUSE, wr_config_adhoc(a, "/a.db", word, 1, NULL, &c, &e));
    assert_string_equal(e.text, "not a replica URL: backup");
}

static void test_find(void **state)
{
    const struct wr_config_db *db = NULL;
    struct wr_err e = {0};
    struct wr_config *c = good("dbs:\n- {path: /data/app.db, replica: {path: /b/1}}\n"
                               "- {path: /data/web.db, replica: {path: /b/2}}\n");

    (void)state;
    T_OK(wr_config_find(t_call()->scratch, c, "sqlite:///data/./web.db", &db, &e));
    T(db == &c->dbs[1]);
    T_IS(WR_MISUSE, wr_config_find(t_call()->scratch, c, "/data/ap.db", &db, &e));
    assert_string_equal(
        e.text, "database not found in config: /data/ap.db (did you mean /data/app.db?)");
    T_IS(WR_MISUSE, wr_config_find(t_call()->scratch, c, "/x", &db, &e));
    assert_string_equal(e.text, "database not found in config: /x");
}

/* "own 4", "all 1", "built in". */
static const char *from_of(
    const char *const *kv, const struct wr_config_from *from, const char *key)
{
    static char text[32];

    for (size_t i = 0; kv[2 * i]; i++)
        if (strcmp(kv[2 * i], key) == 0) {
            if (from[i].line == 0)
                return "built in";
            (void)snprintf(text, sizeof(text), "%s %lu", from[i].at_top ? "all" : "own",
                (unsigned long)from[i].line);
            return text;
        }
    return "none";
}

static void test_where_settings_stand(void **state)
{
    const struct wr_config *c = good("part-size: 8MiB\n"
                                     "l0-retention: 10m\n"
                                     "levels: [{interval: 1m}]\n"
                                     "snapshot: {interval: 12h, keep: 3}\n"
                                     "x: &x {concurrency: 3}\n"
                                     "dbs:\n"
                                     "  - path: /a.db\n"
                                     "    meta-path: /m\n"
                                     "    snapshot: {keep: 5}\n"
                                     "    replica:\n"
                                     "      url: s3://b/a\n"
                                     "      retention: 48h\n"
                                     "      <<: *x\n"
                                     "  - dir: /d\n"
                                     "    pattern: '*'\n"
                                     "    meta-dir: /e\n"
                                     "    replica: {url: 's3://b/d', sync-interval: 2s}\n");
    const struct wr_config_db *db = &c->dbs[0], *of_dir;
    const struct wr_config_replica *r = &db->replicas[0];
    struct wr_err e = {0};

    (void)state;
    assert_string_equal(file, c->file);
    T(db->line == 7 && r->line == 11);
    assert_string_equal("own 8", from_of(db->settings, db->from, "meta-path"));
    assert_string_equal("own 9", from_of(db->settings, db->from, "snapshot.keep"));
    assert_string_equal("own 12", from_of(db->settings, db->from, "snapshot.retention"));
    assert_string_equal("all 4", from_of(db->settings, db->from, "snapshot.interval"));
    assert_string_equal("all 2", from_of(db->settings, db->from, "l0-retention"));
    assert_string_equal("all 3", from_of(db->settings, db->from, "levels"));
    assert_string_equal("all 1", from_of(r->settings, r->from, "part-size"));
    assert_string_equal("own 5", from_of(r->settings, r->from, "concurrency"));
    assert_string_equal("built in", from_of(r->settings, r->from, "sync-interval"));

    T_OK(wr_config_find(t_call()->scratch, c, "/d/x", &of_dir, &e));
    assert_string_equal("own 14", from_of(of_dir->settings, of_dir->from, "meta-path"));
    assert_string_equal("all 4", from_of(of_dir->settings, of_dir->from, "snapshot.keep"));
    r = &of_dir->replicas[0];
    assert_string_equal("own 17", from_of(r->settings, r->from, "sync-interval"));
}

static void test_log_level(void **state)
{
    (void)state;
    T(wr_config_log_level("trace") == WEIR_LOG_DEBUG);
    T(wr_config_log_level("DEBUG") == WEIR_LOG_DEBUG);
    T(wr_config_log_level("Warning") == WEIR_LOG_WARN);
    T(wr_config_log_level("warn") == WEIR_LOG_WARN);
    T(wr_config_log_level("error") == WEIR_LOG_ERROR);
    T(wr_config_log_level("nonsense") == WEIR_LOG_INFO);
}

/* A good file with bytes changed: it may be refused or warned about, never crash or hang. */
static void test_mutations(void **state)
{
    static const char seed_text[] =
        "region: &x eu\nlogging: {type: json}\ndbs:\n- path: /a.db\n  replicas:\n"
        "  - &r {type: s3, bucket: b, path: p, <<: {region: *x}}\n  - <<: [*r]\n    path: q\n"
        "- path: $T_BUCKET\n  replica: {<<: *r, path: s}\n"
        "- {dir: '/d${T_UNSET:-x}', pattern: '[a-b]*', replica: {<<: *r, path: d}}\n";
    static const char alphabet[] = "&*{}[]<:-,#$\"' \nax~%|>!\xff\0";
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 1000; round++) {
        struct wr_config *c = NULL;
        struct wr_arena a;
        struct wr_err e = {0};
        char text[sizeof(seed_text)];
        enum wr_status st;

        memcpy(text, seed_text, sizeof(text));
        for (size_t i = 1 + wr_rand_below(&r, 4); i > 0; i--)
            text[wr_rand_below(&r, sizeof(text) - 1)] =
                alphabet[wr_rand_below(&r, sizeof(alphabet) - 1)];
        t_spew(file, text, sizeof(text) - 1);
        wr_arena_init(&a, WR_ARENA_MAX);
        st = wr_config_load(&a, file, true, &c, &e);
        T(st == WR_OK || (st == WR_MISUSE && e.text[0]));
        T(st != WR_OK || c);
        wr_arena_release(&a);
    }
}

static enum wr_status sweep_load(void *arg)
{
    struct wr_config *c = NULL;
    struct wr_arena a;
    enum wr_status st;

    (void)arg;
    wr_arena_init(&a, WR_ARENA_MAX);
    st = wr_config_load(&a, file, true, &c, NULL);
    if (st == WR_OK)
        T(c->ndbs == 1 && c->warnings); /* a warning is not lost silently */
    wr_arena_release(&a);
    return st;
}

static enum wr_status sweep_adhoc(void *arg)
{
    static const char *const urls[] = {"s3://b/a"};
    struct wr_config *c = NULL;
    struct wr_arena a;
    enum wr_status st;

    (void)arg;
    wr_arena_init(&a, WR_ARENA_MAX);
    st = wr_config_adhoc(&a, "/a.db", urls, 1, NULL, &c, NULL);
    wr_arena_release(&a);
    return st;
}

static void test_nomem(void **state)
{
    (void)state;
    T(setenv("T_BUCKET", "b", 1) == 0);
    (void)good("region: x\nzzz: 1\nprofile: $T_UNSET\ndbs:\n- path: /a.db\n  meta-path: /m\n"
               "  replicas:\n  - {type: s3, bucket: $T_BUCKET, path: p}\n"
               "  - url: s3://$T_BUCKET/p/q?endpoint=h%3A9\n"
               "  - url: s3://$T_BUCKET/p/q\n"
               "levels: [{interval: 30s}]\naddr: :1\nsocket: {path: /s}\n"
               "heartbeat-url: http://h\nexec: x\nlogging: {level: info, type: json}\n"
               "snapshot: {interval: 1h, retention: 2h}\nl0-retention: 1m\n");
    t_sweep_nomem(sweep_load, NULL);
    t_sweep_nomem(sweep_adhoc, NULL);
}

T_MAIN(T_TEST(test_small), T_TEST(test_full), T_TEST(test_defaults), T_TEST(test_foreign_keys),
    T_TEST(test_a_bucket_of_a_directory), T_TEST(test_misspelt_keys), T_TEST(test_underscores),
    T_TEST(test_idle_keys), T_TEST(test_key_twice), T_TEST(test_merge_and_anchor),
    T_TEST(test_shared_mistake_once), T_TEST(test_keys_win_over_the_query),
    T_TEST(test_what_nobody_takes), T_TEST(test_merge_order), T_TEST(test_anchor_holders),
    T_TEST(test_bad_merge), T_TEST(test_process), T_TEST(test_serve), T_TEST(test_bad_serve),
    T_TEST(test_bad_process), T_TEST(test_env), T_TEST(test_env_in_places),
    T_TEST(test_env_elsewhere), T_TEST(test_path_beside_a_bucket), T_TEST(test_same_replica),
    T_TEST(test_replica_in_replica), T_TEST(test_typed_values), T_TEST(test_key_file),
    T_TEST(test_retention_and_interval), T_TEST(test_history_defaults), T_TEST(test_odd_paths),
    T_TEST(test_a_replica_in_memory), T_TEST(test_empty), T_TEST(test_bad_shape),
    T_TEST(test_bad_replica), T_TEST(test_history), T_TEST(test_bad_history),
    T_TEST(test_a_bucket_with_a_slash_before_it_was_none),
    T_TEST(test_what_is_no_name_of_a_bucket_was_another_part_of_the_url),
    T_TEST(test_mistyped_url_shows_no_secret), T_TEST(test_text_is_cut_at_a_nul),
    T_TEST(test_files), T_TEST(test_adhoc), T_TEST(test_find), T_TEST(test_log_level),
    T_TEST(test_where_settings_stand), T_TEST(test_mutations), T_TEST(test_nomem))
