/*
 * effective.c - the public call that tells what settings of a database come to.
 */
#include "api/api_int.h"

#include "engine/grace.h"

#define SPAN_MAX 32
#define LIST_MAX (SPAN_MAX * WR_LEVELS_MAX)

struct telling {
    const char *const *given;
    weir_setting_fn *fn;
    void *arg;
};

static void tell(const struct telling *t, const char *key, const char *value)
{
    weir_setting out = {.key = key, .value = value, .from = WEIR_FROM_DEFAULT};

    for (size_t i = 0; t->given && t->given[i]; i += 2)
        if (strcmp(t->given[i], key) == 0)
            out.from = WEIR_FROM_SETTINGS;
    t->fn(t->arg, &out);
}

/* In the largest unit that has no fraction. */
static void span_text(char out[SPAN_MAX], int64_t ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    size_t i = ms == 0 ? 2 : 0;

    while (ms % units[i].ms != 0)
        i++;
    (void)snprintf(out, SPAN_MAX, "%lld%s", (long long)(ms / units[i].ms), units[i].unit);
}

static void tell_span(const struct telling *t, const char *key, int64_t ms)
{
    char text[SPAN_MAX];

    span_text(text, ms);
    tell(t, key, text);
}

static void tell_count(const struct telling *t, const char *key, uint32_t n)
{
    char text[SPAN_MAX];

    (void)snprintf(text, sizeof(text), "%lu", (unsigned long)n); /* it fits */
    tell(t, key, text);
}

static void tell_levels(const struct telling *t, const struct wr_cadence *c)
{
    char text[LIST_MAX] = "", one[SPAN_MAX];
    size_t n = 0;

    for (unsigned i = 0; i < c->levels; i++) {
        span_text(one, c->level_ms[i]);
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? "," : "", one); /* it fits */
    }
    tell(t, "levels", text);
}

static void tell_retention(const struct telling *t, const struct wr_retention *r)
{
    static const char *const periods[WR_PERIODS] = {
        [WR_PERIOD_HOUR] = "snapshot.keep-hourly",
        [WR_PERIOD_DAY] = "snapshot.keep-daily",
        [WR_PERIOD_WEEK] = "snapshot.keep-weekly",
        [WR_PERIOD_MONTH] = "snapshot.keep-monthly",
        [WR_PERIOD_YEAR] = "snapshot.keep-yearly",
    };

    tell_span(t, "snapshot.retention", r->keep_ms);
    tell_count(t, "snapshot.keep", r->snapshots);
    for (size_t i = 0; i < WR_PERIODS; i++)
        tell_count(t, periods[i], r->periods[i]);
    tell_span(t, "l0-retention", r->l0_ms);
    tell_span(t, "retention.grace", wr_grace_ms(r));
}

int weir_db_settings(
    const char *const *settings, weir_setting_fn *fn, void *arg, weir_error *reterr)
{
    struct telling t = {.given = settings, .fn = fn, .arg = arg};
    struct wr_db_opts o = {0};
    struct wr_err e = {0};
    bool retains = true;
    enum wr_status st;

    if (!fn)
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_db_settings: bad argument"), &e);
    st = wr_api_db_settings(settings, &o, &e);
    if (st != WR_OK)
        return wr_api_return(reterr, st, &e);
    for (size_t i = 0; settings && settings[i]; i += 2)
        if (strcmp(settings[i], "retention.enabled") == 0)
            (void)wr_parse_bool(wr_str(settings[i + 1]), &retains); /* just checked */
    tell_span(&t, "snapshot.interval", o.cadence.snapshot_ms);
    tell_levels(&t, &o.cadence);
    tell(&t, "retention.enabled", retains ? "true" : "false");
    if (retains)
        tell_retention(&t, &o.retention);
    tell_span(&t, "validation.interval", o.verify_ms);
    tell_count(&t, "min-checkpoint-page-count",
        o.checkpoint_frames ? o.checkpoint_frames : WR_CHECKPOINT_FRAMES);
    if (o.meta_dir)
        tell(&t, "meta-path", o.meta_dir);
    if (o.adopt)
        tell(&t, "adopt-replica", "true");
    return WEIR_OK;
}
