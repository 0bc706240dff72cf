/*
 * uri.c - see uri.h.
 */
#include "vfs/uri.h"

#include "base/str.h"

#define POLL_MIN_MS 10

/* SQLite's own (https://sqlite.org/uri.html), which it has acted on. */
static const char *const sqlite_keys[] = {
    "vfs", "mode", "cache", "psow", "nolock", "immutable", "modeof"};

static enum wr_status bad(struct wr_err *e, const char *key, const char *value, const char *want)
{
    return wr_fail(e, WR_MISUSE, "%s: \"%s\" is not %s", key, value, want);
}

static enum wr_status read_ms(
    const char *key, const char *value, int64_t least_ms, int64_t *ret, struct wr_err *e)
{
    int64_t ns = 0;

    if (!wr_parse_duration(wr_str(value), &ns) || ns < least_ms * 1000000)
        return bad(e, key, value,
            least_ms >= POLL_MIN_MS ? "a duration of 10ms or more, such as 5s"
                                    : "a duration such as 5s");
    *ret = ns / 1000000;
    return WR_OK;
}

/* What Litestream's extension has and this one has not may be given if it is off. */
static enum wr_status read_off(const char *key, const char *value, struct wr_err *e)
{
    bool on = false;

    if (!wr_parse_bool(wr_str(value), &on))
        return bad(e, key, value, "true or false");
    if (on)
        return wr_fail(e, WR_MISUSE, "%s: replicas are read-only here", key);
    return WR_OK;
}

static enum wr_status read_switch(const char *key, const char *value, bool *ret, struct wr_err *e)
{
    return wr_parse_bool(wr_str(value), ret) ? WR_OK : bad(e, key, value, "true or false");
}

static enum wr_status read_one(
    const char *key, const char *value, struct wr_uri *u, struct wr_err *e)
{
    if (strcmp(key, "replica_url") == 0)
        u->replica_url = value;
    else if (strcmp(key, "poll_interval") == 0)
        return read_ms(key, value, POLL_MIN_MS, &u->origin.poll_ms, e);
    else if (strcmp(key, "fetch_timeout") == 0)
        return read_ms(key, value, 1, &u->fetch_ms, e);
    else if (strcmp(key, "open_timeout") == 0)
        return read_ms(key, value, 1, &u->origin.open_ms, e);
    else if (strcmp(key, "cache_size") == 0)
        return wr_parse_size(wr_str(value), &u->origin.cache_bytes)
                   ? WR_OK
                   : bad(e, key, value, "a number of bytes, such as 64MiB");
    else if (strcmp(key, "txid") == 0)
        return wr_parse_hex64(wr_str(value), &u->txid) && u->txid
                   ? WR_OK
                   : bad(e, key, value, "a transaction, in hexadecimal");
    else if (strcmp(key, "time") == 0)
        return wr_parse_time(wr_str(value), &u->time_ms) && u->time_ms
                   ? WR_OK
                   : bad(e, key, value, "a time such as 2026-01-02T15:04:05Z");
    else if (strcmp(key, "write_enabled") == 0)
        return read_off(key, value, e);
    else if (strcmp(key, "sync_interval") == 0 || strcmp(key, "buffer_path") == 0)
        return WR_OK; /* of writing, which is off */
    else if (strcmp(key, "hydration_enabled") == 0)
        return read_switch(key, value, &u->origin.copy, e);
    else if (strcmp(key, "hydration_path") == 0)
        u->origin.copy_path = *value ? value : NULL;
    else if (strcmp(key, "cache_dir") == 0)
        u->origin.shelf_dir = *value ? value : NULL;
    else if (strcmp(key, "cache_dir_size") == 0)
        return wr_parse_size(wr_str(value), &u->origin.shelf_bytes) && u->origin.shelf_bytes
                   ? WR_OK
                   : bad(e, key, value, "a number of bytes, such as 4GiB");
    else
        return wr_fail(e, WR_MISUSE,
            "%s is no parameter of a replica; there are replica_url, poll_interval, cache_size, "
            "cache_dir, cache_dir_size, fetch_timeout, open_timeout, hydration_enabled, "
            "hydration_path, txid, time",
            key);
    return WR_OK;
}

static bool is_sqlites(const char *key)
{
    for (size_t i = 0; i < wr_countof(sqlite_keys); i++) {
        if (strcmp(key, sqlite_keys[i]) == 0)
            return true;
    }
    return false;
}

static bool is_file(sqlite3_vfs *files, const char *name)
{
    int is = 0;

    return files->xAccess(files, name, SQLITE_ACCESS_EXISTS, &is) == SQLITE_OK && is;
}

static const char *of_environment(void)
{
    const char *url = getenv("WEIR_REPLICA_URL");

    if (!url || !*url)
        url = getenv("LITESTREAM_REPLICA_URL");
    return url && *url ? url : NULL;
}

static enum wr_status read_environment(const char *name, struct wr_uri *u, struct wr_err *e)
{
    static const char on[] = "LITESTREAM_HYDRATION_ENABLED", write[] = "LITESTREAM_WRITE_ENABLED";
    const char *value = getenv(write), *path = getenv("LITESTREAM_HYDRATION_PATH");

    /* Only that word is for Litestream; who gave it wants commits to be kept. */
    if (value && wr_str_eq_nocase(wr_str(value), WR_STR("true")) &&
        !sqlite3_uri_parameter(name, "write_enabled"))
        return read_off(write, "true", e);
    value = getenv(on);
    u->origin.copy_path = path && *path ? path : NULL;
    path = getenv("WEIR_CACHE_DIR");
    u->origin.shelf_dir = path && *path ? path : NULL;
    return value && *value ? read_switch(on, value, &u->origin.copy, e) : WR_OK;
}

enum wr_status wr_uri_read(
    sqlite3_vfs *files, const char *name, struct wr_uri *ret, struct wr_err *e)
{
    const char *key;
    enum wr_status st;

    *ret = (struct wr_uri){.replica_url = sqlite3_uri_parameter(name, "replica_url")};
    if (!ret->replica_url) {
        ret->replica_url = of_environment();
        if (!ret->replica_url || is_file(files, name)) {
            ret->replica_url = NULL;
            return WR_OK;
        }
    }
    st = read_environment(name, ret, e);
    for (int i = 0; st == WR_OK && (key = sqlite3_uri_key(name, i)) != NULL; i++) {
        const char *value = sqlite3_uri_parameter(name, key);

        if (!is_sqlites(key))
            st = read_one(key, value ? value : "", ret, e);
    }
    if (st != WR_OK)
        return st;
    if (ret->txid && ret->time_ms)
        return wr_fail(e, WR_MISUSE, "txid and time are two states: give one of them");
    ret->fixed =
        sqlite3_uri_boolean(name, "immutable", 0) || sqlite3_uri_boolean(name, "nolock", 0);
    return WR_OK;
}
