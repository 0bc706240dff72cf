/*
 * config_serve.c - `serve`, at the top of the file: for those who follow databases from elsewhere.
 *
 *     serve: {addr: ":9999", token: "${WEIR_TOKEN}", token-file: /etc/weir/token,
 *             cert-file: /etc/weir/cert.pem, key-file: /etc/weir/key.pem, max-followers: 128}
 *
 * What is served is all of each database. So an address that others can reach needs a token, and a
 * token that turns out to be empty is no token, but a mistake.
 */
#include "daemon/config_int.h"

#include "base/file.h"
#include "base/url.h"

#define FOLLOWERS_MAX 4096
#define TOKEN_MAX     4000 /* bytes */
#define TOKEN_MIN     16   /* characters, below which it is guessed */

static const struct wr_key serve_keys[] = {
    {.name = "addr", .use = WR_KEY_READ},
    {.name = "token", .use = WR_KEY_READ},
    {.name = "token-file", .use = WR_KEY_READ},
    {.name = "cert-file", .use = WR_KEY_READ},
    {.name = "key-file", .use = WR_KEY_READ},
    {.name = "max-followers", .use = WR_KEY_READ},
    {0},
};

bool wr_config_is_source(const char *url)
{
    struct wr_str s = wr_str(url);

    return wr_str_starts(s, WR_STR("http://")) || wr_str_starts(s, WR_STR("https://"));
}

/* Its first line, without the space around it. */
static enum wr_status read_token_file(
    struct wr_doc *d, const yaml_node_t *v, const char *path, const char **ret, struct wr_err *e)
{
    struct wr_err why = {0};
    char room[TOKEN_MAX + 2];
    struct wr_file *f = NULL;
    struct wr_str line, rest;
    size_t got = 0;
    enum wr_status st = wr_file_open(wr_fs_posix(), path, WR_FILE_READ, 0, &f, &why);

    if (st == WR_OK)
        st = wr_file_pread(f, room, sizeof(room), 0, &got, &why);
    wr_file_close(f);
    if (st != WR_OK)
        return wr_doc_fail(d, v, e, "serve.token-file: %s", why.text);
    (void)wr_str_cut((struct wr_str){room, got}, '\n', &line, &rest);
    line = wr_str_trim(line);
    *ret = wr_arena_str(d->arena, line).p;
    return *ret ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory");
}

static enum wr_status read_token(
    struct wr_doc *d, const yaml_node_t *map, struct wr_config_serve *ret, struct wr_err *e)
{
    const yaml_node_t *text = wr_doc_find(d, map, "token");
    const yaml_node_t *file = wr_doc_find(d, map, "token-file");
    const yaml_node_t *at = text ? text : file;
    const char *path = NULL;
    enum wr_status st;

    if (text && file)
        return wr_doc_fail(d, file, e, "serve has both token and token-file");
    if (!at)
        return WR_OK;
    st = text ? wr_config_text(d, map, "serve", "token", &ret->token, e)
              : wr_config_place_path(d, map, "serve", "token-file", &path, e);
    if (st == WR_OK && path)
        st = read_token_file(d, file, path, &ret->token, e);
    if (st != WR_OK)
        return st;
    if (!ret->token || !ret->token[0] || wr_doc_has_gap(d, at))
        return wr_doc_fail(d, at, e, "serve.%s: the token is empty", text ? "token" : "token-file");
    for (const char *p = ret->token; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p > '~')
            return wr_doc_fail(d, at, e,
                "serve.%s: a token has only visible characters of ASCII, and no space",
                text ? "token" : "token-file");
    if (strlen(ret->token) < TOKEN_MIN || strlen(ret->token) > TOKEN_MAX)
        return wr_doc_fail(d, at, e, "serve.%s: a token has %d characters at least, %d at most",
            text ? "token" : "token-file", TOKEN_MIN, TOKEN_MAX);
    return WR_OK;
}

/* What these files hold is looked at by who listens: one that is renewed just now keeps nothing
 * from being replicated. Under a name that other programs have for them they would be ignored, and
 * all go over the network in clear. */
static enum wr_status read_certificate(
    struct wr_doc *d, const yaml_node_t *map, struct wr_config_serve *ret, struct wr_err *e)
{
    static const char *const others[] = {"cert", "cert-path", "certificate", "tls-cert", "key",
        "key-path", "private-key", "tls-key", "tls"};
    const yaml_node_t *cert = wr_doc_find(d, map, "cert-file");
    const yaml_node_t *key = wr_doc_find(d, map, "key-file");
    enum wr_status st;

    for (size_t i = 0; i < wr_countof(others); i++)
        if (wr_doc_find(d, map, others[i]))
            return wr_doc_fail(d, wr_doc_find(d, map, others[i]), e,
                "serve.%s is no key: a certificate is given as cert-file, and its private key as "
                "key-file",
                others[i]);
    st = wr_config_place_path(d, map, "serve", "cert-file", &ret->cert_file, e);
    if (st == WR_OK)
        st = wr_config_place_path(d, map, "serve", "key-file", &ret->key_file, e);
    if (st == WR_OK && !cert != !key)
        return wr_doc_fail(d, cert ? cert : key, e,
            "serve has %s-file, and no %s-file: TLS needs both", cert ? "cert" : "key",
            cert ? "key" : "cert");
    return st;
}

bool wr_config_is_loopback(const char *addr)
{
    struct wr_str host = {0}, port;

    if (!wr_str_cut_last(wr_str(addr), ':', &host, &port))
        return false; /* a port of all addresses */
    return wr_url_host_is_here(host);
}

enum wr_status wr_config_serving(
    struct wr_doc *d, const yaml_node_t *top, struct wr_config_serve *ret, struct wr_err *e)
{
    const yaml_node_t *map, *v;
    uint64_t n;
    enum wr_status st = wr_config_map(d, top, "serve", serve_keys, &map, e);

    if (st != WR_OK || !map)
        return st;
    st = wr_config_text(d, map, "serve", "addr", &ret->addr, e);
    if (st == WR_OK && !ret->addr)
        return wr_doc_fail(d, map, e, "serve needs addr, as in addr: \":9999\"");
    if (st == WR_OK && !wr_config_is_address(wr_str(ret->addr)))
        return wr_doc_fail(d, wr_doc_get(d, map, "addr"), e,
            "serve.addr must be host:port, as in localhost:9999 or :9999, not \"%s\"", ret->addr);
    if (st == WR_OK)
        st = read_token(d, map, ret, e);
    if (st == WR_OK)
        st = read_certificate(d, map, ret, e);
    if (st != WR_OK)
        return st;
    if (!ret->token && !wr_config_is_loopback(ret->addr))
        return wr_doc_fail(d, wr_doc_get(d, map, "addr"), e,
            "serve.addr can be reached by others, who would get all data: serve needs token or "
            "token-file, or an address such as localhost:9999");
    v = wr_doc_get(d, map, "max-followers");
    if (!v)
        return WR_OK;
    if (!wr_parse_u64(wr_doc_text(v), &n) || n == 0 || n > FOLLOWERS_MAX)
        return wr_doc_fail(d, v, e,
            "serve.max-followers must be a number from 1 to %d (got " WR_FMT ")", FOLLOWERS_MAX,
            WR_ARG(wr_doc_text(v)));
    ret->max_followers = (uint32_t)n;
    return WR_OK;
}
