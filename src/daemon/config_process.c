/*
 * config_process.c - the keys of the process itself, at the top of the file:
 *
 *     exec: "myapp -serve"
 *     addr: ":9090"                      or 9090, or host:9090
 *     socket: {enabled: true, path: /var/run/litestream.sock, permissions: 0600,
 *              registry: /var/lib/weir/registered.json}
 *     heartbeat-url: https://...         and heartbeat-interval: 5m
 *     logging: {level: info, type: text, stderr: false}
 *     shutdown-sync-timeout: 30s
 *     open-max: 100
 */
#include "daemon/config_int.h"

#include <sys/un.h>

#define HEARTBEAT_MIN_NS ((int64_t)60 * 1000000000)
#define NS_PER_MS        1000000

static const struct wr_key logging_keys[] = {
    {.name = "level", .use = WR_KEY_READ},
    {.name = "type", .use = WR_KEY_READ},
    {.name = "stderr", .use = WR_KEY_READ},
    {.name = "source", .use = WR_KEY_IDLE, .why = "records name no place in the source"},
    {0},
};

static const struct wr_key socket_keys[] = {
    {.name = "enabled", .use = WR_KEY_READ},
    {.name = "path", .use = WR_KEY_READ},
    {.name = "permissions", .use = WR_KEY_READ},
    {.name = "registry", .use = WR_KEY_READ},
    {0},
};

static enum wr_status read_logging(
    struct wr_doc *d, const yaml_node_t *top, struct wr_config_logging *ret, struct wr_err *e)
{
    static const char *const levels[] = {"trace", "debug", "info", "warn", "warning", "error"};
    const yaml_node_t *map;
    const char *type = "text";
    enum wr_status st = wr_config_map(d, top, "logging", logging_keys, &map, e);
    bool known = false;

    if (st == WR_OK)
        st = wr_config_text(d, map, "logging", "level", &ret->level, e);
    if (st == WR_OK)
        st = wr_config_text(d, map, "logging", "type", &type, e);
    if (st == WR_OK)
        st = wr_config_bool(d, map, "logging", "stderr", &ret->to_stderr, e);
    if (st != WR_OK)
        return st;
    for (size_t i = 0; i < wr_countof(levels); i++)
        known = known || wr_str_eq_nocase(wr_str(ret->level), wr_str(levels[i]));
    if (ret->level && !known)
        wr_doc_warn(d, wr_doc_get(d, map, "level"),
            "logging.level is none of debug, info, warn and error: info (got %s)", ret->level);
    if (wr_str_eq(wr_str(type), WR_STR("json")))
        ret->format = WR_LOG_FORMAT_JSON;
    else if (wr_str_eq(wr_str(type), WR_STR("pretty")))
        ret->format = WR_LOG_FORMAT_PRETTY;
    else if (!wr_str_eq(wr_str(type), WR_STR("text")))
        return wr_doc_fail(d, wr_doc_get(d, map, "type"), e,
            "logging.type must be text, json or pretty, not \"%s\"", type);
    return WR_OK;
}

static enum wr_status read_shutdown(
    struct wr_doc *d, const yaml_node_t *top, int64_t *ret_ms, struct wr_err *e)
{
    static const char key[] = "shutdown-sync-timeout";
    const yaml_node_t *v = wr_doc_get(d, top, key);
    int64_t ns = 0;
    enum wr_status st = v ? wr_config_duration(d, v, key, "30s", &ns, e) : WR_OK;

    if (!v || st != WR_OK)
        return st;
    if (ns < 0)
        return wr_doc_fail(d, v, e,
            "shutdown-sync-timeout: shutdown-sync-timeout must be >= 0 (got " WR_FMT ")",
            WR_ARG(wr_doc_text(v)));
    *ret_ms = ns / NS_PER_MS;
    return WR_OK;
}

/* The library takes fewer for the least; who wrote them has something else in mind. */
static enum wr_status read_open_max(
    struct wr_doc *d, const yaml_node_t *top, uint32_t *ret, struct wr_err *e)
{
    static const char key[] = "open-max";
    const yaml_node_t *v = wr_doc_get(d, top, key);
    enum wr_status st = v ? wr_config_check_value(d, v, WR_KEY_NUMBER, key, e) : WR_OK;
    int64_t n = 0;

    if (!v || st != WR_OK)
        return st;
    (void)wr_parse_i64(wr_doc_text(v), &n); /* just checked */
    if (n != 0 && (n < WR_OPEN_MAX_LEAST || n > UINT32_MAX))
        return wr_doc_fail(d, v, e,
            "open-max is how many databases are held open at once: from %d to %u, or 0 for all "
            "of them (got " WR_FMT ")",
            WR_OPEN_MAX_LEAST, UINT32_MAX, WR_ARG(wr_doc_text(v)));
    *ret = (uint32_t)n;
    return WR_OK;
}

/* The port behind the last ':', or all of it. An IPv6 host is in brackets: else its last part would
 * be taken for a port. */
bool wr_config_is_address(struct wr_str s)
{
    struct wr_str host = {0}, port = s;
    uint64_t number;

    if (wr_str_cut_last(s, ':', &host, &port) && host.n > 0 && memchr(host.p, ':', host.n) &&
        (host.p[0] != '[' || host.p[host.n - 1] != ']'))
        return false;
    for (size_t i = 0; i < host.n; i++)
        if (host.p[i] == '/' || host.p[i] == '@' || (unsigned char)host.p[i] <= ' ')
            return false; /* of a URL, mostly */
    if (!memchr(s.p, ':', s.n))
        port = s;
    return wr_parse_u64(port, &number) && number <= 65535;
}

static enum wr_status read_addr(
    struct wr_doc *d, const yaml_node_t *top, const char **ret, struct wr_err *e)
{
    enum wr_status st = wr_config_text(d, top, NULL, "addr", ret, e);

    if (st == WR_OK && *ret && !wr_config_is_address(wr_str(*ret)))
        return wr_doc_fail(d, wr_doc_get(d, top, "addr"), e,
            "addr must be host:port, as in localhost:9090 or :9090, not \"%s\"", *ret);
    return st;
}

/* As YAML 1.1 has it, 600 is a decimal number, and means no permissions that anybody has wanted. */
static bool parse_permissions(struct wr_str s, uint32_t *ret)
{
    uint32_t mode = 0;

    if (s.n < 2 || s.p[0] != '0')
        return false;
    s = wr_str_skip(s, s.p[1] == 'o' ? 2 : 1);
    if (s.n == 0 || s.n > 4)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '7')
            return false;
        mode = mode * 8 + (uint32_t)(s.p[i] - '0');
    }
    *ret = mode;
    return mode <= 0777;
}

static enum wr_status read_socket(
    struct wr_doc *d, const yaml_node_t *top, struct wr_config_socket *ret, struct wr_err *e)
{
    static const char place[] = "socket";
    const yaml_node_t *map, *v;
    enum wr_status st = wr_config_map(d, top, place, socket_keys, &map, e);

    if (st == WR_OK)
        st = wr_config_bool(d, map, place, "enabled", &ret->enabled, e);
    if (st == WR_OK)
        st = wr_config_text(d, map, place, "path", &ret->path, e);
    if (st == WR_OK)
        st = wr_config_place_path(d, map, place, "registry", &ret->registry, e);
    if (st != WR_OK)
        return st;
    if (strlen(ret->path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return wr_doc_fail(d, wr_doc_get(d, map, "path"), e,
            "socket.path is too long for a socket, at most %zu bytes: %s",
            sizeof(((struct sockaddr_un *)0)->sun_path) - 1, ret->path);
    v = wr_doc_get(d, map, "permissions");
    if (v && !parse_permissions(wr_doc_text(v), &ret->permissions))
        return wr_doc_fail(d, v, e,
            "socket.permissions must be octal, from 0000 to 0777, with the leading 0 (got " WR_FMT
            ")",
            WR_ARG(wr_doc_text(v)));
    return WR_OK;
}

/* The address may be all that keeps others from sending a sign of life: it is in no message. */
static enum wr_status read_heartbeat(
    struct wr_doc *d, const yaml_node_t *top, struct wr_config *c, struct wr_err *e)
{
    const yaml_node_t *url = wr_doc_get(d, top, "heartbeat-url");
    const yaml_node_t *interval = wr_doc_get(d, top, "heartbeat-interval");
    enum wr_status st = wr_config_text(d, top, NULL, "heartbeat-url", &c->heartbeat_url, e);
    struct wr_str scheme = {0}, rest = {0};
    int64_t ns = 0;

    if (st == WR_OK && url) {
        (void)wr_str_cut(wr_doc_text(url), ':', &scheme, &rest);
        if ((!wr_str_eq_nocase(scheme, WR_STR("http")) &&
                !wr_str_eq_nocase(scheme, WR_STR("https"))) ||
            !wr_str_starts(rest, WR_STR("//")) || rest.n == 2 || rest.p[2] == '/')
            return wr_doc_fail(
                d, url, e, "heartbeat-url: heartbeat URL must be a valid HTTP or HTTPS URL");
    }
    if (st == WR_OK && interval)
        st = wr_config_duration(d, interval, "heartbeat-interval", "5m", &ns, e);
    if (st != WR_OK || !interval)
        return st;
    if (ns < HEARTBEAT_MIN_NS)
        return wr_doc_fail(d, interval, e,
            "heartbeat-interval: heartbeat interval must be at least 1 minute (got " WR_FMT ")",
            WR_ARG(wr_doc_text(interval)));
    c->heartbeat_interval_ms = ns / NS_PER_MS;
    return WR_OK;
}

enum wr_status wr_config_process(
    struct wr_doc *d, const yaml_node_t *top, struct wr_config *c, struct wr_err *e)
{
    enum wr_status st = read_logging(d, top, &c->logging, e);

    if (st == WR_OK)
        st = wr_config_text(d, top, NULL, "exec", &c->exec, e);
    if (st == WR_OK)
        st = read_shutdown(d, top, &c->shutdown_sync_timeout_ms, e);
    if (st == WR_OK)
        st = read_open_max(d, top, &c->open_max, e);
    if (st == WR_OK)
        st = read_addr(d, top, &c->addr, e);
    if (st == WR_OK)
        st = read_socket(d, top, &c->socket, e);
    if (st == WR_OK)
        st = wr_config_serving(d, top, &c->serve, e);
    return st == WR_OK ? read_heartbeat(d, top, c, e) : st;
}
