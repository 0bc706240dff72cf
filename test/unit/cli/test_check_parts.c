/*
 * The command check, each judgement by itself: of keys beside other keys, files, cost, versions and
 * rights. The whole of it is test_check.c's.
 */
#include "cli/check_cost.h"
#include "cli/check_int.h"
#include "cli/check_policy.h"
#include "cli/check_version.h"
#include "harness/t.h"

#include <math.h>

static struct wr_arena arena;
static struct wr_cli cli = {.arena = &arena};

/* ---- keys beside other keys ---- */

static const char *has(const void *arg, const char *key)
{
    const char *const *kv = arg;

    for (; *kv; kv += 2)
        if (strcmp(kv[0], key) == 0)
            return kv[1];
    return NULL;
}

static char idle[512];
static void note_idle(void *arg, const char *key, const char *why)
{
    size_t n = strlen(idle);

    (void)arg;
    (void)snprintf(idle + n, sizeof(idle) - n, "%s%s: %s", n ? "\n" : "", key, why);
}

static const char *idle_db(const char *const *kv)
{
    idle[0] = '\0';
    wr_check_idle_db(has, kv, note_idle, NULL);
    return idle;
}

static const char *idle_replica(const char *type, const char *const *kv)
{
    idle[0] = '\0';
    wr_check_idle_replica(type, has, kv, note_idle, NULL);
    return idle;
}

#define KV(...) ((const char *const[]){__VA_ARGS__, NULL})

static void keys_that_do_nothing(void **state)
{
    (void)state;
    assert_string_equal("", idle_db(KV("snapshot.keep", "3", "retention.enabled", "true")));
    assert_string_equal("", idle_db(KV("snapshot.keep", "3")));
    assert_string_equal("snapshot.retention: retention.enabled is false\n"
                        "snapshot.keep: retention.enabled is false",
        idle_db(KV("snapshot.keep", "3", "retention.enabled", "false", "snapshot.retention", "1h",
            "snapshot.interval", "1h")));
    assert_string_equal("", idle_replica("file", KV("session-token", "x")));
    assert_string_equal("session-token: it goes with an access-key-id, and there is none",
        idle_replica("s3", KV("session-token", "x")));
    assert_string_equal(
        "", idle_replica("s3", KV("session-token", "x", "access-key-id", "y", "region", "r")));
    assert_string_equal("profile: access-key-id is given, no file is looked into",
        idle_replica("s3", KV("profile", "x", "access-key-id", "y")));
    assert_string_equal("ca-file: skip-verify accepts any certificate",
        idle_replica("s3", KV("ca-file", "x", "skip-verify", "true")));
    assert_string_equal("", idle_replica("s3", KV("ca-file", "x", "skip-verify", "false")));
    assert_string_equal("skip-verify: the endpoint is http:// and has no certificate\n"
                        "ca-file: the endpoint is http:// and has no certificate",
        idle_replica(
            "s3", KV("ca-file", "x", "skip-verify", "false", "endpoint", "http://minio:9000")));
    assert_string_equal(
        "", idle_replica("s3", KV("ca-file", "x", "endpoint", "https://minio:9000")));
    assert_string_equal("sse-customer-key-md5: there is no sse-customer-key",
        idle_replica("s3", KV("sse-customer-key-md5", "x")));
}

/* ---- files ---- */

/* What is wrong with it, as "error: ...", one a line. */
static const char *judge(const struct wr_check_file *f)
{
    static char text[2048];
    static const char *const words[] = {"note", "warning", "error"};
    struct wr_check k;
    size_t n = 0;

    wr_arena_init(&arena, WR_ARENA_MAX);
    wr_check_init(&k, &cli, true);
    wr_check_judge(&k, "/a.db", f);
    text[0] = '\0';
    for (const struct wr_check_finding *x = k.first; x; x = x->next)
        n += (size_t)snprintf(
            text + n, sizeof(text) - n, "%s%s: %s", n ? "\n" : "", words[x->weight], x->text);
    T(!k.lost);
    json_decref(k.at);
    wr_arena_release(&arena);
    return text;
}

static const struct wr_check_file good = {.kind = WR_CHECK_FILE,
    .size = 8192,
    .is_database = true,
    .wal = true,
    .page_size = 4096,
    .readable = true,
    .writable = true,
    .dir_writable = true,
    .sidecars_open = true,
    .state = "/.a.db-weir",
    .state_writable = true,
    .free_known = true,
    .free_bytes = (uint64_t)1 << 30};

static void expect(const struct wr_check_file *f, const char *want)
{
    const char *got = judge(f);

    if (strncmp(got, want, strlen(want)) != 0)
        fail_msg("want: %s\n got: %s", want, got);
}

#define JUDGE(want, ...)               \
    do {                               \
        struct wr_check_file f = good; \
        __VA_ARGS__;                   \
        expect(&f, want);              \
    } while (0)

static void files_are_judged(void **state)
{
    (void)state;
    assert_string_equal("", judge(&good));
    JUDGE("warning: /a.db does not exist: nothing is replicated", f.kind = WR_CHECK_MISSING);
    JUDGE("note: /a.db does not exist: it is restored", f.kind = WR_CHECK_MISSING; f.restores = 1);
    JUDGE("error: /a.db is a directory", f.kind = WR_CHECK_DIRECTORY);
    JUDGE("error: /a.db is no regular file", f.kind = WR_CHECK_SPECIAL);
    JUDGE("error: /a.db cannot be looked at: no", f.kind = WR_CHECK_UNSEEN; f.why = "no");
    JUDGE("note: /a.db is empty", f.size = 0; f.is_database = false);
    JUDGE("error: /a.db is no SQLite database, or is encrypted", f.is_database = false);
    JUDGE("note: /a.db is not in WAL mode", f.wal = false);
    JUDGE("error: /a.db may not be written by who runs this, it belongs to ann", f.writable = false;
          f.owner = "ann");
    JUDGE("error: /a.db may not be read by who runs this:", f.readable = false; f.headless = true);
    JUDGE("error: the -wal or -shm file of /a.db", f.sidecars_open = false);
    JUDGE("error: the directory of /a.db", f.dir_writable = false);
    JUDGE("note: /a.db belongs to ann, and this ran as another user", f.owner = "ann");
    JUDGE("error: /a.db is on NFS", f.fs = "NFS");
    JUDGE("error: local state: /.a.db-weir is on a read-only", f.read_only = true);
    JUDGE("error: local state: /.a.db-weir cannot be made", f.state_writable = false);
    JUDGE("warning: local state of /a.db: 1.0 MB are free, and 67 MB", f.free_bytes = 1000000);
    JUDGE(
        "warning: local state of /a.db: 1.0 GB are free, and 2.2 GB may", f.free_bytes = 1000000000;
        f.size = (uint64_t)1 << 40);
}

static void headers_are_read(void **state)
{
    uint8_t p[100] = "SQLite format 3";
    struct wr_check_file f = {0};

    (void)state;
    p[16] = 0x10;
    p[18] = p[19] = 2;
    wr_check_header(p, 100, &f);
    T(f.is_database && f.page_size == 4096 && f.wal);
    p[16] = 0;
    p[17] = 1;
    p[18] = p[19] = 1;
    wr_check_header(p, 100, &f);
    T(f.is_database && f.page_size == 65536 && !f.wal);
    wr_check_header(p, 99, &f);
    T(!f.is_database);
    p[0] = 's';
    wr_check_header(p, 100, &f);
    T(!f.is_database);
}

/* ---- cost ---- */

#define DAY_MS ((int64_t)86400000)

static const struct wr_cost_of usual = {.sync_ms = 1000,
    .levels = 3,
    .level_ms = {30000, 300000, 3600000},
    .snapshot_ms = DAY_MS,
    .keep_ms = DAY_MS,
    .l0_ms = 300000,
    .db_bytes = 1000000,
    .part_size = 5 << 20};

static void near(double want, double got)
{
    if (fabs(want - got) > want / 1e6 + 1e-9)
        fail_msg("want %f, got %f", want, got);
}

static void a_month_has_its_price(void **state)
{
    struct wr_cost_of of = usual;
    struct wr_cost c;

    (void)state;
    wr_cost_idle(&of, &c);
    T(c.writes == 0 && c.reads == 0 && c.lists == 0 && c.usd == 0 && c.snapshot_bytes == 0);
    near(2e6, c.stored_bytes);

    wr_cost_busy(&of, &c);
    near(2592000 + 86400 + 8640 + 720 + 30 + 2 * 1440, c.writes);
    /* There were none, and the price was said to be the most. */
    near(86400 + 8640 + 720 + 30 + 5 * 1440, c.reads);
    near(120 * (6686.0 / 1000 + 1), c.lists);
    near((2690670 + 922.32) * 0.005 / 1000 + 102990 * 0.0004 / 1000, c.usd);
    near(30e6, c.snapshot_bytes);
    near(0.002 * 0.023, c.usd_stored);
    T(!c.unbounded);

    of.db_bytes = (uint64_t)50 << 20; /* ten parts, a beginning and an end */
    wr_cost_busy(&of, &c);
    near(2592000 + 86400 + 8640 + 720 + 30 * 12 + 2 * 1440, c.writes);
    of.part_size = 0;
    wr_cost_busy(&of, &c);
    near(2690670, c.writes);

    of.sync_ms = 0;
    wr_cost_busy(&of, &c);
    T(c.unbounded);
    near(2690670 - 2592000, c.writes);

    of = usual;
    of.snapshot_ms = 0;
    of.levels = 0;
    of.kept = 6;
    wr_cost_busy(&of, &c);
    near(2592000 + 2 * 1440, c.writes);
    near(7e6, c.stored_bytes);
    T(c.snapshot_bytes == 0);

    of = usual;
    of.verify_ms =
        DAY_MS; /* of 2 snapshots and one file a level; what is there when all is written */
    wr_cost_idle(&of, &c);
    near(30 * 6, c.reads);
    near(30 * (6.0 / 1000 + 1), c.lists);
    wr_cost_busy(&of, &c);
    near(102990 + 30 * (2 + 300 + 5760 + 576 + 48), c.reads);
}

/* ---- versions ---- */

static const char source[] =
    "2022-12-28 14:03:47 df5c253c0b3dd24916e4ec7cf77d3db5294cc9fd45ae7b9c5e82ad8197f38a24";

static int version_of(const char *a, const char *b, bool with_source)
{
    struct wr_version_scan s = {0};
    uint8_t p[400] = "x";
    size_t n = 10;

    n += (size_t)snprintf((char *)p + n, 50, "%s", a) + 1;
    n += (size_t)snprintf((char *)p + n, 50, "%s", b) + 1;
    if (with_source)
        n += (size_t)snprintf((char *)p + n, 100, "%s", source);
    wr_version_scan(&s, p, n);
    return wr_version_found(&s);
}

static void versions_are_found(void **state)
{
    struct wr_version_scan s = {0};

    (void)state;
    T(version_of("3.40.1", "", true) == 3040001);
    T(version_of("3.40.1", "3.40.1", true) == 3040001);
    T(version_of("3.7.17", "text", true) == 3007017);
    T(version_of("3.40.1", "3.2.1", true) == 0); /* which one? */
    T(version_of("3.40.1", "", false) == 0);
    T(version_of("3.40.1.2", "3.40", true) == 0);
    T(version_of("3.400.1", "3.40.", true) == 0);
    T(version_of("3.x.1", "13.4.1", true) == 0);
    wr_version_scan(&s, (const uint8_t *)source, sizeof(source) - 30);
    T(!s.has_source);
    wr_version_scan(&s, (const uint8_t *)source, sizeof(source));
    T(s.has_source && wr_version_found(&s) == 0);
    wr_version_scan(&s,
        (const uint8_t *)"\0"
                         "3.51.3",
        8);
    T(wr_version_found(&s) == 3051003);
}

static void versions_with_the_bug(void **state)
{
    static const struct {
        int version;
        bool bug;
    } cases[] = {{0, false}, {3006023, false}, {3007000, true}, {3040001, true}, {3044005, true},
        {3044006, false}, {3044009, false}, {3045000, true}, {3050006, true}, {3050007, false},
        {3051000, true}, {3051002, true}, {3051003, false}, {3052000, true}, {3053000, false},
        {4000000, false}};

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++)
        if (wr_version_has_reset_bug(cases[i].version) != cases[i].bug)
            fail_msg("%d", cases[i].version);
}

/* ---- rights ---- */

static void failures_have_weights_and_rights(void **state)
{
    (void)state;
    T(wr_check_step_weight(WEIR_PROBE_CREATE, WEIR_UNSUPPORTED, true) == WR_CHECK_WARNING);
    T(wr_check_step_weight(WEIR_PROBE_CREATE, WEIR_AUTH, true) == WR_CHECK_ERROR);
    T(wr_check_step_weight(WEIR_PROBE_DELETE, WEIR_AUTH, true) == WR_CHECK_ERROR);
    T(wr_check_step_weight(WEIR_PROBE_DELETE, WEIR_AUTH, false) == WR_CHECK_NOTE);
    T(wr_check_step_weight(WEIR_PROBE_DELETE, WEIR_BUSY, false) == WR_CHECK_ERROR);
    T(wr_check_step_weight(WEIR_PROBE_PUT, WEIR_UNSUPPORTED, false) == WR_CHECK_ERROR);
    assert_string_equal("s3:DeleteObject", wr_check_action(WEIR_PROBE_DELETE, true));
    assert_string_equal("s3:PutObject", wr_check_action(WEIR_PROBE_PUT, false));
    assert_string_equal(
        "s3:GetObject, and kms:Decrypt of the key", wr_check_action(WEIR_PROBE_GET, true));
    assert_string_equal("s3:ListBucket, of the bucket", wr_check_action(WEIR_PROBE_LIST, true));
}

static void policies_are_small(void **state)
{
    static char longest[4000];
    struct wr_policy p;
    char text[2048];
    json_t *j;

    (void)state;
    wr_policy_begin(&p);
    wr_policy_add(&p, "b", "x/", false, NULL, NULL);
    wr_policy_add(&p, "b", "y/", true, NULL, "arn:aws:kms:r:1:key/k");
    wr_policy_add(&p, "arn:aws:s3:r:1:accesspoint/p", "z/", false, NULL, NULL);
    j = wr_policy_end(&p);
    text[json_dumpb(json_object_get(j, "Statement"), text, sizeof(text) - 1, JSON_COMPACT)] = 0;
    assert_string_equal(
        "[{\"Effect\":\"Allow\",\"Action\":[\"s3:ListBucket\"],\"Resource\":\"arn:aws:s3:::b\"},"
        "{\"Effect\":\"Allow\",\"Action\":[\"s3:GetObject\",\"s3:PutObject\","
        "\"s3:AbortMultipartUpload\"],\"Resource\":\"arn:aws:s3:::b/x/*\"},"
        "{\"Effect\":\"Allow\",\"Action\":[\"s3:GetObject\",\"s3:PutObject\","
        "\"s3:AbortMultipartUpload\",\"s3:DeleteObject\"],\"Resource\":\"arn:aws:s3:::b/y/*\"},"
        "{\"Effect\":\"Allow\",\"Action\":[\"kms:GenerateDataKey\",\"kms:Decrypt\"],"
        "\"Resource\":\"arn:aws:kms:r:1:key/k\"},"
        "{\"Effect\":\"Allow\",\"Action\":[\"s3:ListBucket\"],"
        "\"Resource\":\"arn:aws:s3:r:1:accesspoint/p\"},"
        "{\"Effect\":\"Allow\",\"Action\":[\"s3:GetObject\",\"s3:PutObject\","
        "\"s3:AbortMultipartUpload\"],"
        "\"Resource\":\"arn:aws:s3:r:1:accesspoint/p/object/z/*\"}]",
        text);
    json_decref(j);

    memset(longest, 'a', sizeof(longest) - 1);
    wr_policy_begin(&p);
    wr_policy_add(&p, "b", longest, false, NULL, NULL);
    T(!wr_policy_end(&p));
}

static void expect_resource(const char *prefix, const char *region, const char *key,
    unsigned statement, const char *want, const char *alias)
{
    struct wr_policy p;
    json_t *j, *s, *c;

    wr_policy_begin(&p);
    wr_policy_add(&p, "b", prefix, true, region, key);
    j = wr_policy_end(&p);
    s = json_array_get(json_object_get(j, "Statement"), statement);
    assert_string_equal(want, json_string_value(json_object_get(s, "Resource")));
    c = json_object_get(json_object_get(s, "Condition"), "ForAnyValue:StringEquals");
    T(wr_str_eq(
        wr_str(alias), wr_str(json_string_value(json_object_get(c, "kms:ResourceAliases")))));
    json_decref(j);
}

/* AWS takes no policy that names a key in any other way, and one of another partition is for
 * nothing. */
static void policies_have_arns_only(void **state)
{
    (void)state;
    expect_resource("x/", "cn-north-1", NULL, 0, "arn:aws-cn:s3:::b", NULL);
    expect_resource("x/", "us-gov-west-1", NULL, 1, "arn:aws-us-gov:s3:::b/x/*", NULL);
    expect_resource("x/", "eu-west-1", "12-34", 2, "arn:aws:kms:*:*:key/12-34", NULL);
    expect_resource("x/", NULL, "alias/mine", 2, "arn:aws:kms:*:*:key/*", "alias/mine");
    expect_resource("x/", "cn-north-1", "arn:aws-cn:kms:r:1:alias/mine", 2,
        "arn:aws-cn:kms:*:*:key/*", "alias/mine");
}

/* In a policy these characters are patterns, and variables. */
static void policies_mean_the_prefix_itself(void **state)
{
    (void)state;
    expect_resource("a*b?c/${d}/", NULL, NULL, 1, "arn:aws:s3:::b/a${*}b${?}c/${$}{d}/*", NULL);
}

T_MAIN(T_TEST(keys_that_do_nothing), T_TEST(files_are_judged), T_TEST(headers_are_read),
    T_TEST(a_month_has_its_price), T_TEST(versions_are_found), T_TEST(versions_with_the_bug),
    T_TEST(failures_have_weights_and_rights), T_TEST(policies_are_small),
    T_TEST(policies_have_arns_only), T_TEST(policies_mean_the_prefix_itself))
