/*
 * What Prometheus is given: every page is read here by a strict parser of the format.
 */
#include "base/log.h"
#include "daemon/exposition.h"
#include "daemon/metrics.h"
#include "daemon/traffic.h"
#include "harness/t.h"
#include "unit/cli/fake_weir.h"

#include <fcntl.h>

static struct wr_logger logger;
static struct wr_fleet *fleet;
static struct wr_metrics *metrics;
static int null_fd;

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    fake.db.struct_size = sizeof(fake.db);
    fake.replica.struct_size = sizeof(fake.replica);
    fake.replica.url = "file:///r";
    fake.replica.state = "ready";
    ndbs = 0;
    null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    wr_logger_init(&logger, null_fd, WR_LOG_FORMAT_JSON, WEIR_LOG_DEBUG);
    fleet = wr_fleet_new(&the_runtime, &logger);
    metrics = wr_metrics_new(fleet, NULL, NULL);
    return fleet && metrics ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wr_metrics_free(metrics);
    wr_fleet_free(fleet);
    wr_logger_release(&logger);
    return close(null_fd);
}

static void add(const char *path)
{
    static const char *const settings[] = {"sync-interval", "1s", NULL};
    const struct wr_config_replica r = {
        .url = "file:///r", .type = "file", .sync_interval = "1s", .settings = settings};
    const struct wr_config_db c = {.path = path, .replicas = &r, .nreplicas = 1};
    weir_error err = {0};

    T(wr_fleet_add(fleet, &c, NULL, &err) == WEIR_OK);
}

/* ---- the parser ---- */

static bool is_name(int c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
           (!first && c >= '0' && c <= '9');
}

/* The name at *p, into `ret`. */
static void take_name(const char **p, char ret[128])
{
    size_t n = 0;

    while (is_name((unsigned char)(*p)[n], n == 0) && n < 127)
        n++;
    T(n > 0 && n < 127);
    memcpy(ret, *p, n);
    ret[n] = '\0';
    *p += n;
}

static void take_label(const char **p)
{
    char name[128];

    take_name(p, name);
    T((*p)[0] == '=' && (*p)[1] == '"');
    *p += 2;
    while (**p != '"') {
        size_t length;

        T(**p && **p != '\n');
        if (**p == '\\') {
            T((*p)[1] == '\\' || (*p)[1] == '"' || (*p)[1] == 'n');
            ++*p;
        }
        length = wr_utf8_length((const unsigned char *)*p, strnlen(*p, 4));
        T(length > 0);
        *p += length;
    }
    ++*p;
}

static void take_number(const char **p)
{
    size_t n = strspn(*p, "0123456789"), fraction;

    T(n > 0);
    *p += n;
    if (**p == '.') {
        ++*p;
        fraction = strspn(*p, "0123456789");
        T(fraction > 0 && (*p)[fraction - 1] != '0');
        *p += fraction;
    }
}

/* Whether a line of this name belongs to a family of that name and type. */
static bool belongs(const char *name, const char *family, const char *type)
{
    size_t n = strlen(family);

    if (strcmp(type, "histogram") != 0)
        return strcmp(name, family) == 0;
    return strncmp(name, family, n) == 0 &&
           (strcmp(name + n, "_bucket") == 0 || strcmp(name + n, "_sum") == 0 ||
               strcmp(name + n, "_count") == 0);
}

struct parsed {
    size_t lines, families;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Of all of `seen`, each is there once. */
static void check_distinct(char **seen, size_t n)
{
    qsort(seen, n, sizeof(*seen), by_text);
    for (size_t i = 1; i < n; i++)
        if (strcmp(seen[i - 1], seen[i]) == 0)
            fail_msg("twice: %s", seen[i]);
}

/* The whole page, whose lines follow the format, each family in one piece, each series once. */
static struct parsed parse(const char *p)
{
    struct wr_arena *a = t_call()->scratch;
    char family[128] = "", type[128] = "", name[128];
    size_t max = strlen(p) / 8 + 8, nseries = 0, nfamilies = 0;
    char **series = wr_arena_array(a, max, sizeof(*series));
    char **families = wr_arena_array(a, max, sizeof(*families));
    struct parsed r = {0};

    T(series && families);
    while (*p) {
        const char *line = p;

        if (strncmp(p, "# HELP ", 7) == 0) {
            p += 7;
            take_name(&p, family);
            T(*p++ == ' ' && *p != '\n');
            while (*p != '\n') {
                T(*p && (*p != '\\' || p[1] == '\\' || p[1] == 'n'));
                p += *p == '\\' ? 2 : 1;
            }
            p++;
            T(strncmp(p, "# TYPE ", 7) == 0);
            p += 7;
            take_name(&p, name);
            assert_string_equal(name, family);
            T(*p++ == ' ');
            take_name(&p, type);
            T(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0 ||
                strcmp(type, "histogram") == 0);
            T(*p++ == '\n');
            families[nfamilies] = (char *)(uintptr_t)wr_arena_str(a, wr_str(family)).p;
            T(families[nfamilies++]);
            continue;
        }
        take_name(&p, name);
        T(belongs(name, family, type));
        if (*p == '{') {
            do {
                p++;
                take_label(&p);
            } while (*p == ',');
            T(*p++ == '}');
        }
        series[nseries] =
            (char *)(uintptr_t)wr_arena_str(a, (struct wr_str){line, (size_t)(p - line)}).p;
        T(series[nseries++]);
        T(*p++ == ' ');
        take_number(&p);
        T(*p++ == '\n');
    }
    check_distinct(series, nseries);
    check_distinct(families, nfamilies);
    r.lines = nseries;
    r.families = nfamilies;
    return r;
}

/* ---- pages ---- */

/* The page; the harness frees it. */
static const char *page(void)
{
    struct wr_buf out;
    const char *copy;

    wr_buf_init(&out, (size_t)64 << 20);
    assert_int_equal(wr_metrics(metrics, &out), 200);
    copy = wr_arena_str(t_call()->scratch, wr_buf_view(&out)).p;
    wr_buf_release(&out);
    T(copy);
    (void)parse(copy);
    return copy;
}

static void expect_line(const char *text, const char *line)
{
    const char *at = text;
    size_t n = strlen(line);

    while ((at = strstr(at, line)) != NULL) {
        if ((at == text || at[-1] == '\n') && at[n] == '\n')
            return;
        at++;
    }
    fail_msg("no line %s", line);
}

static void tune(const char *path, weir_db_info *d)
{
    d->txid = strcmp(path, "/b.db") == 0 ? 7 : 42;
    d->db_bytes = 8192;
}

static void test_names_of_litestream(void **state)
{
    static const char *const lines[] = {"litestream_db_size{db=\"/a.db\"} 8192",
        "litestream_wal_size{db=\"/a.db\"} 4152", "litestream_total_wal_bytes{db=\"/a.db\"} 99",
        "litestream_txid{db=\"/a.db\"} 42", "litestream_txid{db=\"/b.db\"} 7",
        "litestream_sync_count{db=\"/a.db\"} 5", "litestream_sync_error_count{db=\"/a.db\"} 1",
        "litestream_sync_seconds{db=\"/a.db\"} 1.5", "litestream_disk_full{db=\"/a.db\"} 1",
        "litestream_checkpoint_count{db=\"/a.db\",mode=\"PASSIVE\"} 3",
        "litestream_checkpoint_count{db=\"/a.db\",mode=\"TRUNCATE\"} 2",
        "litestream_checkpoint_error_count{db=\"/a.db\",mode=\"PASSIVE\"} 0",
        "litestream_checkpoint_error_count{db=\"/a.db\",mode=\"TRUNCATE\"} 1",
        "litestream_checkpoint_seconds{db=\"/a.db\",mode=\"PASSIVE\"} 0.000001",
        "litestream_checkpoint_seconds{db=\"/a.db\",mode=\"TRUNCATE\"} 12.000000001",
        "litestream_compaction_verify_error_count{db=\"/a.db\"} 0",
        "litestream_replica_operation_total{replica_type=\"file\",operation=\"PUT\"} 22",
        "litestream_replica_operation_total{replica_type=\"file\",operation=\"LIST\"} 4",
        "litestream_replica_operation_total{replica_type=\"file\",operation=\"DELETE\"} 0",
        "litestream_replica_operation_bytes{replica_type=\"file\",operation=\"PUT\"} 200",
        "litestream_replica_operation_bytes{replica_type=\"file\",operation=\"GET\"} 0",
        "# TYPE litestream_db_size gauge", "# TYPE litestream_total_wal_bytes counter",
        "# HELP litestream_txid The current transaction ID"};
    const char *text;

    (void)state;
    fake.db = (weir_db_info){.struct_size = sizeof(fake.db),
        .wal_bytes = 4152,
        .captured_bytes = 99,
        .syncs = {5, 1, 1500000000},
        .passive = {3, 0, 1000},
        .truncate = {2, 1, INT64_C(12000000001)},
        .disk_full = 1};
    fake.tune_db = tune;
    fake.replica.put_requests = 11;
    fake.replica.list_requests = 2;
    fake.replica.bytes_up = 100;
    add("/b.db");
    add("/a.db");
    text = page();
    for (size_t i = 0; i < wr_countof(lines); i++)
        expect_line(text, lines[i]);
}

static void test_own_figures(void **state)
{
    static const char *const lines[] = {
        "weir_replica_txid{db=\"/a.db\",replica=\"file:///r\"} 18446744073709551615",
        "weir_replica_lag_seconds{db=\"/a.db\",replica=\"file:///r\"} 2.25",
        "weir_replica_lag_bytes{db=\"/a.db\",replica=\"file:///r\"} 512",
        "weir_replica_lag_files{db=\"/a.db\",replica=\"file:///r\"} 3",
        "weir_replica_errors_total{db=\"/a.db\",replica=\"file:///r\"} 9",
        "weir_replica_failing{db=\"/a.db\",replica=\"file:///r\"} 1",
        "weir_replica_stopped{db=\"/a.db\",replica=\"file:///r\"} 1",
        "weir_last_verified_txid{db=\"/a.db\",replica=\"file:///r\"} 6",
        "weir_last_verified_timestamp_seconds{db=\"/a.db\",replica=\"file:///r\"} 1700000000.5",
        "weir_requests_total{class=\"put\"} 1", "weir_requests_total{class=\"delete\"} 0",
        "weir_barrier_seconds_bucket{le=\"0.0001\"} 4",
        "weir_barrier_seconds_bucket{le=\"0.0003\"} 4", "weir_barrier_seconds_bucket{le=\"1\"} 5",
        "weir_barrier_seconds_bucket{le=\"+Inf\"} 7", "weir_barrier_seconds_sum 3.5",
        "weir_barrier_seconds_count 7", "weir_barrier_max_seconds{db=\"/a.db\"} 2",
        "weir_pin_blocked{db=\"/a.db\"} 1", "weir_wal_bytes{db=\"/a.db\"} 1000000",
        "weir_fork_total{db=\"/a.db\"} 2", "weir_db_failing{db=\"/a.db\"} 1",
        "weir_metrics_aggregated 0", "weir_build_info{version=\"1.2.3\"} 1",
        "weir_databases{state=\"running\"} 1", "weir_databases{state=\"stopped\"} 0"};
    const char *text;

    (void)state;
    fake.db = (weir_db_info){.struct_size = sizeof(fake.db),
        .wal_file_bytes = 1000000,
        .forks = 2,
        .holds = {[0] = 4, [8] = 1, [9] = 2},
        .holds_ns = INT64_C(3500000000),
        .hold_max_ns = INT64_C(2000000000),
        .rival = 1,
        .error_code = WEIR_BUSY};
    fake.replica = (weir_replica_info){.struct_size = sizeof(fake.replica),
        .url = "file:///r",
        .txid = UINT64_MAX,
        .lag_ms = 2250,
        .lag_bytes = 512,
        .lag_files = 3,
        .errors = 9,
        .error_code = WEIR_CONFLICT,
        .state = "stopped",
        .put_requests = 1,
        .verified_txid = 6,
        .verified_ms = INT64_C(1700000000500)};
    add("/a.db");
    text = page();
    for (size_t i = 0; i < wr_countof(lines); i++)
        expect_line(text, lines[i]);
    T(strstr(text, "weir_replica_last_ok_timestamp_seconds{") == NULL); /* never */
}

static void test_requests_by_duration_and_error(void **state)
{
#define PUT "{replica_type=\"file\",operation=\"PUT\""
    static const char *const lines[] = {"litestream_replica_operation_duration_seconds_bucket" PUT
                                        ",le=\"0.01\"} 3",
        "litestream_replica_operation_duration_seconds_bucket" PUT ",le=\"0.05\"} 3",
        "litestream_replica_operation_duration_seconds_bucket" PUT ",le=\"60\"} 5",
        "litestream_replica_operation_duration_seconds_bucket" PUT ",le=\"+Inf\"} 6",
        "litestream_replica_operation_duration_seconds_sum" PUT "} 70.25",
        "litestream_replica_operation_duration_seconds_count" PUT "} 6",
        "litestream_replica_operation_duration_seconds_count{replica_type=\"file\",operation="
        "\"GET\"} 0",
        "litestream_replica_operation_errors_total" PUT ",code=\"busy\"} 7",
        "litestream_replica_operation_errors_total{replica_type=\"file\",operation=\"DELETE\","
        "code=\"auth\"} 1",
        "litestream_replica_operation_errors_total{replica_type=\"file\",operation=\"DELETE\","
        "code=\"other\"} 2", /* of a library that is newer */
        "litestream_l0_retention_files_total{db=\"/a.db\",replica=\"file:///r\",status="
        "\"eligible\"} 11",
        "litestream_l0_retention_files_total{db=\"/a.db\",replica=\"file:///r\",status="
        "\"not_compacted\"} 12",
        "litestream_l0_retention_files_total{db=\"/a.db\",replica=\"file:///r\",status="
        "\"too_recent\"} 13"};
    weir_request_times *put = &fake.traffic.requests[WEIR_REQUEST_PUT];
    weir_request_times *delete = &fake.traffic.requests[WEIR_REQUEST_DELETE];
    weir_error err = {0};
    const char *text;

    (void)state;
    put->took[0] = 3;
    put->took[8] = 2;
    put->took[9] = 1;
    put->ns = INT64_C(70250000000);
    put->failed[WEIR_BUSY] = 7;
    delete->failed[WEIR_AUTH] = 1;
    delete->failed[WEIR_CODES - 1] = 2;
    fake.replica.l0_eligible = 11;
    fake.replica.l0_not_compacted = 12;
    fake.replica.l0_too_recent = 13;
    add("/a.db");
    text = page();
    for (size_t i = 0; i < wr_countof(lines); i++)
        expect_line(text, lines[i]);
    T(!strstr(text, "code=\"timeout\""));
    T(wr_fleet_remove(fleet, "/a.db", 0, NULL, &err) == WEIR_OK);
    text = page(); /* nothing that was counted is lost with it */
    for (size_t i = 3; i < 10; i++)
        expect_line(text, lines[i]);
#undef PUT
}

/* Every name is explained in the manual. */
static void test_manual(void **state)
{
    struct wr_bytes all = t_slurp(t_data("../../docs/man/weir-monitoring.7"));
    struct wr_str man =
        wr_arena_str(t_call()->scratch, (struct wr_str){(const char *)all.p, all.n});
    const char *text, *at;

    (void)state;
    fake.replica.verified_ms = fake.replica.last_ok_ms = 1;
    add("/a.db");
    text = page();
    for (at = text; (at = strstr(at, "# TYPE ")) != NULL;) {
        char name[128];

        at += strlen("# TYPE ");
        (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, " "), at);
        if (!strstr(man.p, name))
            fail_msg("not in the manual: %s", name);
    }
}

static void test_a_refused_configuration_is_told(void **state)
{
    const char *text;

    (void)state;
    text = page();
    expect_line(text, "weir_config_last_reload_successful 1");
    T(!strstr(text, "weir_config_last_reload_success_timestamp_seconds 0\n"));
    wr_refused_clear(wr_fleet_refused(fleet), 1790000000250);
    wr_refused_put(wr_fleet_refused(fleet), "c.yml:3: unknown key", 1790000001000);
    text = page();
    expect_line(text, "weir_config_last_reload_successful 0");
    expect_line(text, "weir_config_last_reload_success_timestamp_seconds 1790000000.25");
}

static void test_process(void **state)
{
    const char *text;
    const char *start;
    uint64_t seconds;

    (void)state;
    text = page();
    T(strstr(text, "\nprocess_cpu_seconds_total ") != NULL);
    T(strstr(text, "\nprocess_open_fds ") != NULL && strstr(text, "\nprocess_max_fds ") != NULL);
    T(strstr(text, "\nprocess_resident_memory_bytes ") != NULL);
    start = strstr(text, "\nprocess_start_time_seconds ");
    T(start != NULL);
    start += strlen("\nprocess_start_time_seconds ");
    T(wr_parse_u64((struct wr_str){start, strcspn(start, ".\n")}, &seconds));
    /* Just now, as far as the clock of the boot is as good. */
    T(seconds + 600 > (uint64_t)wr_wall_ms(wr_clock_system()) / 1000 &&
        seconds < (uint64_t)wr_wall_ms(wr_clock_system()) / 1000 + 60);
}

static void test_odd_paths(void **state)
{
    const char *text;

    (void)state;
    add("/quote\"back\\slash\nline.db");
    add("/\xc3\xa4 {},= \xff\xfe.db");
    text = page();
    expect_line(text, "litestream_txid{db=\"/quote\\\"back\\\\slash\\nline.db\"} 0");
    expect_line(text, "litestream_txid{db=\"/\xc3\xa4 {},= \\\\xff\\\\xfe.db\"} 0");
}

static void test_stopped_ones_have_no_series(void **state)
{
    weir_error err = {0};
    const char *text;
    bool was;

    (void)state;
    add("/a.db");
    add("/b.db");
    T(wr_fleet_stop(fleet, "/a.db", 0, &was, NULL, &err) == WEIR_OK);
    text = page();
    T(strstr(text, "db=\"/a.db\"") == NULL && strstr(text, "db=\"/b.db\"") != NULL);
    expect_line(text, "weir_databases{state=\"stopped\"} 1");
}

/* With one more than there may be series for, sums and worst values. */
static void tune_many(const char *path, weir_db_info *d)
{
    d->txid = 5;
    d->db_bytes = 10;
    d->hold_max_ns = strcmp(path, "/0500.db") == 0 ? INT64_C(4000000000) : 1;
}

static void tune_many_replicas(const char *path, uint32_t i, weir_replica_info *r)
{
    (void)i;
    r->put_requests = 2;
    r->lag_ms = strcmp(path, "/0007.db") == 0 ? 90000 : 10;
    r->last_ok_ms = strcmp(path, "/0008.db") == 0 ? 1000 : strcmp(path, "/0009.db") == 0 ? 0 : 5000;
}

static void test_many_are_summed_up(void **state)
{
    static const char *const lines[] = {"weir_metrics_aggregated 1", "litestream_db_size 10010",
        "litestream_checkpoint_count{mode=\"PASSIVE\"} 1001", "weir_barrier_max_seconds 4",
        "weir_replica_lag_seconds 90", "weir_replica_last_ok_timestamp_seconds 1",
        "weir_requests_total{class=\"put\"} 2002", "weir_databases{state=\"running\"} 1001"};
    weir_error err = {0};
    const char *text;
    char path[32];
    size_t n;

    (void)state;
    fake.db.passive.count = 1;
    fake.tune_db = tune_many;
    fake.tune_replica = tune_many_replicas;
    for (int i = 0; i < WR_METRICS_DBS; i++) {
        (void)snprintf(path, sizeof(path), "/%04d.db", i);
        add(path);
    }
    text = page();
    expect_line(text, "weir_metrics_aggregated 0");
    expect_line(text, "litestream_txid{db=\"/0999.db\"} 5");
    expect_line(text, "weir_replica_lag_seconds{db=\"/0007.db\",replica=\"file:///r\"} 90");
    n = parse(text).lines;
    T(n > 30 * WR_METRICS_DBS);

    add("/1000.db");
    text = page();
    for (size_t i = 0; i < wr_countof(lines); i++)
        expect_line(text, lines[i]);
    T(strstr(text, "db=\"") == NULL && strstr(text, "litestream_txid") == NULL);
    T(strlen(text) < 32768 && parse(text).lines < 150);

    /* What is removed takes nothing from a counter, and all from a gauge. */
    T(wr_fleet_remove(fleet, "/0000.db", 0, NULL, &err) == WEIR_OK);
    add("/1001.db");
    fake.db.passive.count = 0;
    text = page();
    expect_line(text, "litestream_checkpoint_count{mode=\"PASSIVE\"} 1001");
    expect_line(text, "litestream_db_size 10010");
}

static void test_totals_do_not_go_back(void **state)
{
    weir_error err = {0};

    (void)state;
    fake.replica.put_requests = 10;
    fake.db.holds[0] = 3;
    add("/a.db");
    add("/b.db");
    expect_line(page(), "weir_requests_total{class=\"put\"} 20");
    T(wr_fleet_remove(fleet, "/a.db", 0, NULL, &err) == WEIR_OK);
    expect_line(page(), "weir_requests_total{class=\"put\"} 20");
    fake.replica.put_requests = 11;
    expect_line(page(), "weir_requests_total{class=\"put\"} 21");
    T(wr_fleet_remove(fleet, "/b.db", 0, NULL, &err) == WEIR_OK);
    expect_line(page(), "weir_requests_total{class=\"put\"} 21");
    expect_line(page(), "weir_barrier_seconds_count 6");
    expect_line(
        page(), "litestream_replica_operation_total{replica_type=\"file\",operation=\"PUT\"} 21");
}

/* More kinds of storage than there is room for lose none of their requests. */
static void test_many_types(void **state)
{
    struct wr_traffic_totals all = {0};
    struct wr_traffic now = {0};
    weir_replica_info r = {.put_requests = 1};
    const weir_replica_traffic_info times = {.struct_size = sizeof(times)};
    struct wr_buf out;
    char type[32];

    (void)state;
    for (int i = 0; i < WR_TRAFFIC_TYPES + 5; i++) {
        (void)snprintf(type, sizeof(type), "t%d-with-a-long-name", i);
        wr_traffic_replica(&now, type, &r, &times);
    }
    wr_buf_init(&out, (size_t)1 << 20);
    wr_traffic_put(&all, &now, &out);
    expect_line((const char *)out.p, "weir_requests_total{class=\"put\"} 21");
    (void)parse((const char *)out.p);
    wr_buf_release(&out);
}

static void test_numbers(void **state)
{
    static const struct {
        uint64_t n, parts;
        const char *want;
    } cases[] = {{0, 1, "x 0\n"}, {UINT64_MAX, 1, "x 18446744073709551615\n"},
        {1500, 1000, "x 1.5\n"}, {1, 1000000000, "x 0.000000001\n"}, {1000, 1000, "x 1\n"},
        {100000000, 1000000000, "x 0.1\n"}, {1001, 1000, "x 1.001\n"}, {0, 1000, "x 0\n"}};
    struct wr_buf out;

    (void)state;
    wr_buf_init(&out, 1024);
    for (size_t i = 0; i < wr_countof(cases); i++) {
        wr_buf_clear(&out);
        wr_expo_line(&out, "x", WR_STR(""), cases[i].n, cases[i].parts);
        assert_string_equal((const char *)out.p, cases[i].want);
    }
    wr_buf_clear(&out);
    wr_expo_head(&out, "x", "gauge", "a\\b\nc \"d\"");
    assert_string_equal((const char *)out.p, "# HELP x a\\\\b\\nc \"d\"\n# TYPE x gauge\n");
    wr_buf_release(&out);
}

static void test_no_room(void **state)
{
    struct wr_buf out;

    (void)state;
    add("/a.db");
    wr_buf_init(&out, 1000);
    assert_int_equal(wr_metrics(metrics, &out), 500);
    T(out.n > 0 && strstr((const char *)out.p, "out of memory") == (const char *)out.p);
    wr_buf_release(&out);
}

static enum wr_status whole_page(void *arg)
{
    struct wr_buf out;
    int code;

    (void)arg;
    wr_buf_init(&out, (size_t)1 << 20);
    code = wr_metrics(metrics, &out);
    wr_buf_release(&out);
    return code == 200 ? WR_OK : WR_NOMEM;
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    add("/a.db");
    t_sweep_nomem(whole_page, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

T_MAIN(TEST(test_names_of_litestream), TEST(test_own_figures),
    TEST(test_requests_by_duration_and_error), TEST(test_manual),
    TEST(test_a_refused_configuration_is_told), TEST(test_process), TEST(test_odd_paths),
    TEST(test_stopped_ones_have_no_series), TEST(test_many_are_summed_up),
    TEST(test_totals_do_not_go_back), TEST(test_many_types), TEST(test_numbers), TEST(test_no_room),
    TEST(test_memory_runs_out))
