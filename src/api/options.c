/*
 * options.c - settings lists taken apart: what is the engine's and what is the storage's.
 */
#include "api/api_int.h"

#include "base/mem.h"

#define SYNC_INTERVAL_NS ((int64_t)1000000000)

#define SECOND_MS ((int64_t)1000)
#define HOUR_MS   ((int64_t)3600 * 1000)

static enum wr_status boolean(const char *key, const char *value, bool *ret, struct wr_err *e)
{
    if (!wr_parse_bool(wr_str(value), ret))
        return wr_fail(e, WR_MISUSE, "%s: \"%s\" is not true or false", key, value);
    return WR_OK;
}

static enum wr_status duration(const char *key, const char *value, int64_t *ret, struct wr_err *e)
{
    int64_t ns;

    if (!wr_parse_duration(wr_str(value), &ns) || ns < 0)
        return wr_fail(
            e, WR_MISUSE, "%s: \"%s\" is not a duration such as 1s or 250ms", key, value);
    *ret = ns;
    return WR_OK;
}

enum wr_status wr_api_replica_settings(
    const char *const *settings, struct api_replica_settings *ret, struct wr_err *e)
{
    size_t n = 0, k = 0;
    const char **rest;
    enum wr_status st = WR_OK;

    while (settings && settings[n])
        n += 2;
    rest = wr_array(n + 1, sizeof(*rest));
    if (!rest)
        return wr_fail(e, WR_NOMEM, "copy the settings");
    *ret = (struct api_replica_settings){.sync_interval_ns = SYNC_INTERVAL_NS, .rest = rest};
    for (size_t i = 0; i < n && st == WR_OK; i += 2) {
        if (strcmp(settings[i], "sync-interval") == 0) {
            st = duration(settings[i], settings[i + 1], &ret->sync_interval_ns, e);
        } else if (strcmp(settings[i], "adopt-replica") == 0) {
            st = boolean(settings[i], settings[i + 1], &ret->adopt, e);
        } else {
            rest[k++] = settings[i];
            rest[k++] = settings[i + 1];
        }
    }
    if (st != WR_OK) {
        wr_free(rest);
        ret->rest = NULL;
    }
    return st;
}

enum wr_status wr_api_open_storage(weir *w, const char *url, const char *const *settings,
    struct wr_storage **ret, struct wr_err *e)
{
    enum wr_status st = wr_storage_open(wr_str(url), settings, ret, e);

    if (st != WR_OK || !w)
        return st;
    st = wr_storage_share(*ret, w->http, e);
    if (st != WR_OK) {
        wr_storage_close(*ret);
        *ret = NULL;
    }
    return st;
}

enum wr_status wr_api_open_replica(weir *w, const char *url, const char *const *settings,
    struct wr_storage **ret, struct wr_err *e)
{
    struct api_replica_settings own = {0};
    enum wr_status st;

    if (!url)
        return wr_fail(e, WR_MISUSE, "no replica URL");
    st = wr_api_replica_settings(settings, &own, e);
    if (st == WR_OK)
        st = wr_api_open_storage(w, url, own.rest, ret, e);
    wr_free(own.rest);
    return st;
}

enum wr_status wr_api_visit(weir *w, const char *url, const char *const *settings,
    weir_cancel *cancel, struct api_visit *ret, struct wr_err *e)
{
    ret->s = NULL;
    ret->call = wr_api_call(w, &ret->a, cancel);
    return wr_api_open_replica(w, url, settings, &ret->s, e);
}

void wr_api_leave(struct api_visit *v)
{
    wr_storage_close(v->s);
    wr_arena_release(&v->a);
}

static enum wr_status duration_ms(
    const char *key, const char *value, int64_t *ret, struct wr_err *e)
{
    int64_t ns = 0;
    enum wr_status st = duration(key, value, &ns, e);

    if (st == WR_OK && ns > 0 && ns < 1000000)
        st = wr_fail(e, WR_MISUSE, "%s: \"%s\" is less than a millisecond", key, value);
    *ret = ns / 1000000;
    return st;
}

/* "30s,5m,1h"; nothing: no level. */
static enum wr_status levels(
    const char *key, const char *value, struct wr_cadence *ret, struct wr_err *e)
{
    struct wr_str rest = wr_str(value), one;
    enum wr_status st = WR_OK;

    ret->levels = 0;
    while (st == WR_OK && rest.n > 0) {
        char text[32];

        (void)wr_str_cut(rest, ',', &one, &rest);
        if (ret->levels == WR_LEVELS_MAX || one.n >= sizeof(text))
            return wr_fail(e, WR_MISUSE, "%s: \"%s\" are no levels", key, value);
        memcpy(text, one.p, one.n);
        text[one.n] = '\0';
        st = duration_ms(key, text, &ret->level_ms[ret->levels], e);
        if (st == WR_OK && ret->level_ms[ret->levels++] == 0)
            st = wr_fail(e, WR_MISUSE, "%s: an interval must be greater than 0", key);
    }
    return st;
}

/* As Litestream has it. */
static void set_defaults(struct wr_db_opts *o)
{
    o->cadence = (struct wr_cadence){.levels = 3,
        .level_ms = {30 * SECOND_MS, 300 * SECOND_MS, HOUR_MS},
        .snapshot_ms = 24 * HOUR_MS};
    o->retention = (struct wr_retention){.keep_ms = 24 * HOUR_MS, .l0_ms = 300 * SECOND_MS};
}

static enum wr_status checkpoint_pages(
    const char *key, const char *value, uint32_t *ret, struct wr_err *e)
{
    uint64_t n;

    if (!wr_parse_u64(wr_str(value), &n) || n == 0 || n > UINT32_MAX / 16)
        return wr_fail(e, WR_MISUSE, "%s: \"%s\" is not a number of pages", key, value);
    *ret = (uint32_t)n;
    return WR_OK;
}

/* "snapshot.keep" and its like. *ret_ours: it is one of them. */
static enum wr_status keep_count(
    const char *key, const char *value, struct wr_retention *r, bool *ret_ours, struct wr_err *e)
{
    static const char *const of_periods[WR_PERIODS] = {
        [WR_PERIOD_HOUR] = "snapshot.keep-hourly",
        [WR_PERIOD_DAY] = "snapshot.keep-daily",
        [WR_PERIOD_WEEK] = "snapshot.keep-weekly",
        [WR_PERIOD_MONTH] = "snapshot.keep-monthly",
        [WR_PERIOD_YEAR] = "snapshot.keep-yearly",
    };
    uint32_t *count = strcmp(key, "snapshot.keep") == 0 ? &r->snapshots : NULL;
    uint64_t n;

    for (size_t i = 0; i < WR_PERIODS; i++)
        count = strcmp(key, of_periods[i]) == 0 ? &r->periods[i] : count;
    *ret_ours = count != NULL;
    if (!count)
        return WR_OK;
    if (!wr_parse_u64(wr_str(value), &n) || n > WR_RETAIN_COUNT_MAX)
        return wr_fail(e, WR_MISUSE,
            "%s: \"%s\" is not how many to keep: a number up to %d, 0 for none", key, value,
            WR_RETAIN_COUNT_MAX);
    *count = (uint32_t)n;
    return WR_OK;
}

static enum wr_status db_setting(
    const char *key, const char *value, struct wr_db_opts *o, bool *ret_retain, struct wr_err *e)
{
    bool counts;
    enum wr_status st = keep_count(key, value, &o->retention, &counts, e);

    if (counts)
        return st;
    if (strcmp(key, "meta-path") == 0) {
        o->meta_dir = value;
        return WR_OK;
    }
    if (strcmp(key, "min-checkpoint-page-count") == 0)
        return checkpoint_pages(key, value, &o->checkpoint_frames, e);
    if (strcmp(key, "adopt-replica") == 0)
        return boolean(key, value, &o->adopt, e);
    if (strcmp(key, "levels") == 0)
        return levels(key, value, &o->cadence, e);
    if (strcmp(key, "snapshot.interval") == 0)
        return duration_ms(key, value, &o->cadence.snapshot_ms, e);
    if (strcmp(key, "snapshot.retention") == 0)
        return duration_ms(key, value, &o->retention.keep_ms, e);
    if (strcmp(key, "l0-retention") == 0)
        return duration_ms(key, value, &o->retention.l0_ms, e);
    if (strcmp(key, "retention.grace") == 0)
        return duration_ms(key, value, &o->retention.grace_ms, e);
    if (strcmp(key, "validation.interval") == 0)
        return duration_ms(key, value, &o->verify_ms, e);
    if (strcmp(key, "retention.enabled") == 0)
        return boolean(key, value, ret_retain, e);
    return wr_fail(e, WR_MISUSE, "unknown database setting \"%s\"", key);
}

enum wr_status wr_api_db_settings(
    const char *const *settings, struct wr_db_opts *ret, struct wr_err *e)
{
    bool retain = true;
    enum wr_status st = WR_OK;

    set_defaults(ret);
    for (size_t i = 0; st == WR_OK && settings && settings[i]; i += 2)
        st = db_setting(settings[i], settings[i + 1], ret, &retain, e);
    if (!retain)
        ret->retention = (struct wr_retention){0};
    return st;
}
