/*
 * options.c - settings lists taken apart: what is the engine's and what is the storage's.
 */
#include "api/api_int.h"

#include "base/mem.h"

#define SYNC_INTERVAL_NS ((int64_t)1000000000)

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

enum wr_status wr_api_db_settings(
    const char *const *settings, struct wr_db_opts *ret, struct wr_err *e)
{
    for (size_t i = 0; settings && settings[i]; i += 2) {
        const char *key = settings[i], *value = settings[i + 1];
        uint64_t n;

        if (strcmp(key, "meta-path") == 0) {
            ret->meta_dir = value;
        } else if (strcmp(key, "min-checkpoint-page-count") == 0) {
            if (!wr_parse_u64(wr_str(value), &n) || n == 0 || n > UINT32_MAX / 16)
                return wr_fail(e, WR_MISUSE, "%s: \"%s\" is not a number of pages", key, value);
            ret->checkpoint_frames = (uint32_t)n;
        } else if (strcmp(key, "adopt-replica") == 0) {
            enum wr_status st = boolean(key, value, &ret->adopt, e);

            if (st != WR_OK)
                return st;
        } else {
            return wr_fail(e, WR_MISUSE, "unknown database setting \"%s\"", key);
        }
    }
    return WR_OK;
}
