/*
 * stream.c - see stream.h.
 */
#include "storage/stream.h"

#include "base/crypto.h"
#include "base/mem.h"
#include "base/url.h"
#include "net/http.h"
#include "net/retry.h"

#define CONNECT_MS ((int64_t)3000)
#define SLACK_MS   ((int64_t)5000)
#define TOKEN_MAX  4096
#define SHOWN_MAX  200 /* bytes of an answer's text in an error */

struct wr_stream { /* frozen, but for `flow` */
    struct wr_http *http;
    struct wr_http_flow *flow; /* the answer that more of may come; NULL: none */
    char *name, *url;          /* as given; where it is asked */
    char *auth;                /* "Bearer ...", or NULL */
    int64_t slack_ms;
    uint64_t id;
};

static char *copy_of(const struct wr_buf *b)
{
    return wr_buf_status(b) == WR_OK ? wr_strndup((const char *)b->p, b->n) : NULL;
}

/* "http://host:9999/app.db" is asked at "http://host:9999/feed/app.db". */
static enum wr_status place(struct wr_stream *s, const char *given, struct wr_err *e)
{
    struct wr_arena a;
    struct wr_url u;
    struct wr_buf b;
    enum wr_status st;

    wr_arena_init(&a, WR_ARENA_MAX);
    wr_buf_init(&b, 8192);
    st = wr_url_parse(&a, wr_str(given), &u, e);
    if (st == WR_OK && !wr_str_eq(u.scheme, WR_STR("http")) &&
        !wr_str_eq(u.scheme, WR_STR("https")))
        st = wr_fail(e, WR_MISUSE, "the primary's URL must begin with http:// or https://");
    if (st == WR_OK && (u.user.n || u.password.n || u.query.n))
        st = wr_fail(e, WR_MISUSE,
            "the primary's URL has a user or a query: a token goes into a file, or WEIR_TOKEN");
    if (st == WR_OK && (u.host.n == 0 || u.path.n < 2))
        st = wr_fail(e, WR_MISUSE,
            "the primary's URL must name a host and a database: http://primary:9999/app.db");
    if (st == WR_OK) {
        wr_buf_fmt(&b, WR_FMT "://" WR_FMT "%s" WR_FMT "%s" WR_FMT, WR_ARG(u.scheme),
            WR_ARG(u.host), u.port.n ? ":" : "", WR_ARG(u.port),
            wr_str_starts(u.path, WR_STR("/feed/")) ? "" : "/feed", WR_ARG(u.path));
        s->url = copy_of(&b);
        s->name = wr_strndup(given, strlen(given));
        if (!s->url || !s->name)
            st = wr_fail(e, WR_NOMEM, "the primary's URL: out of memory");
    }
    wr_buf_release(&b);
    wr_arena_release(&a);
    return st;
}

static enum wr_status take_token(struct wr_stream *s, const char *token, struct wr_err *e)
{
    struct wr_buf b;
    enum wr_status st;

    if (!token || !token[0])
        return WR_OK;
    for (const char *p = token; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p > '~')
            return wr_fail(e, WR_MISUSE, "the token has a character that cannot be sent");
    wr_buf_init(&b, TOKEN_MAX);
    wr_buf_fmt(&b, "Bearer %s", token);
    st = wr_buf_status(&b);
    s->auth = copy_of(&b);
    if (b.p)
        wr_wipe(b.p, b.n);
    wr_buf_release(&b);
    if (st == WR_LIMIT)
        return wr_fail(e, WR_MISUSE, "the token is longer than %d bytes", TOKEN_MAX);
    return s->auth ? WR_OK : wr_fail(e, WR_NOMEM, "the token: out of memory");
}

enum wr_status wr_stream_open(
    const struct wr_stream_opts *o, struct wr_stream **ret, struct wr_err *e)
{
    const struct wr_http_opts ho = {.connect_ms = o->connect_ms ? o->connect_ms : CONNECT_MS,
        .idle_max = 2,
        .ca_file = o->ca_file};
    struct wr_stream *s = wr_alloc(sizeof(*s));
    enum wr_status st;

    if (!s)
        return wr_fail(e, WR_NOMEM, "the primary: out of memory");
    s->slack_ms = o->slack_ms ? o->slack_ms : SLACK_MS;
    st = place(s, o->url, e);
    if (st == WR_OK)
        st = take_token(s, o->token, e);
    if (st == WR_OK)
        st = wr_random(&s->id, sizeof(s->id), e);
    if (st == WR_OK)
        st = wr_http_new(&ho, &s->http, e);
    if (st != WR_OK) {
        wr_stream_close(s);
        return st;
    }
    *ret = s;
    return WR_OK;
}

void wr_stream_close(struct wr_stream *s)
{
    if (!s)
        return;
    if (s->auth)
        wr_wipe(s->auth, strlen(s->auth));
    wr_http_end(s->flow);
    wr_http_free(s->http);
    wr_free(s->auth);
    wr_free(s->name);
    wr_free(s->url);
    wr_free(s);
}

const char *wr_stream_name(const struct wr_stream *s)
{
    return s->name;
}

/* Its first line, as far as it can be shown. */
static struct wr_str said(const struct wr_buf *out)
{
    struct wr_str s = wr_buf_view(out);
    size_t n = 0;

    while (n < s.n && n < SHOWN_MAX && s.p[n] >= ' ' && s.p[n] <= '~')
        n++;
    return (struct wr_str){s.p, n};
}

static enum wr_status judge(
    const struct wr_stream *s, int status, const struct wr_buf *out, struct wr_err *e)
{
    struct wr_str text = said(out);

    switch (status) {
    case 200:
    case 204:
        return WR_OK;
    case 401:
    case 403:
        return wr_fail(e, WR_AUTH, "%s: the primary refuses %s%s" WR_FMT, s->name,
            s->auth ? "the token" : "to answer without a token (WEIR_TOKEN, or -token-file)",
            text.n > 0 ? ": " : "", WR_ARG(text));
    case 404:
        return wr_fail(e, WR_MISUSE, "%s: the primary serves no such database: " WR_FMT, s->name,
            WR_ARG(text));
    case 410:
        return wr_fail(e, WR_NOTFOUND, "%s: " WR_FMT, s->name, WR_ARG(text));
    case 503:
        return wr_fail(e, WR_BUSY, "%s: " WR_FMT, s->name, WR_ARG(text));
    default:
        return wr_fail(
            e, WR_IO, "%s: the primary answered %d: " WR_FMT, s->name, status, WR_ARG(text));
    }
}

/* `ret_flow` NULL: all of it at once. */
static enum wr_status ask(struct wr_stream *s, struct wr_call *c, const char *url, int64_t wait_ms,
    struct wr_buf *out, struct wr_http_flow **ret_flow, struct wr_err *e)
{
    const struct wr_http_header auth = {WR_STR("Authorization"), wr_str(s->auth ? s->auth : "")};
    const struct wr_http_req req = {.method = "GET",
        .url = url,
        .headers = &auth,
        .n_headers = s->auth ? 1 : 0,
        .stall_ms = wait_ms + s->slack_ms,
        .text = out};
    struct wr_http_resp resp = {0};
    enum wr_status st = ret_flow ? wr_http_begin(s->http, c, &req, &resp, ret_flow, e)
                                 : wr_http_do(s->http, c, &req, &resp, e);

    return st == WR_OK ? judge(s, resp.status, out, e) : wr_wrap(e, st, "%s", s->name);
}

enum wr_status wr_stream_next(struct wr_stream *s, struct wr_call *c, const struct wr_stream_at *at,
    int64_t wait_ms, struct wr_buf *out, struct wr_err *e)
{
    struct wr_str url = wr_arena_fmt(c->scratch,
        "%s?id=%016llx&after=%016llx&life=%016llx&part=%u&wait=%lld%s%s", s->url,
        (unsigned long long)s->id, (unsigned long long)at->txid, (unsigned long long)at->life,
        at->part, (long long)wait_ms, at->more ? "&more=1" : "", wait_ms > 0 ? "&flow=1" : "");

    wr_http_end(s->flow);
    s->flow = NULL;
    wr_buf_clear(out);
    if (!url.p)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", s->name);
    return ask(s, c, url.p, wait_ms, out, &s->flow, e);
}

enum wr_status wr_stream_more(struct wr_stream *s, struct wr_call *c, struct wr_err *e)
{
    enum wr_status st = s->flow ? wr_http_more(&s->flow, c, e) : WR_OK;

    return st == WR_OK ? WR_OK : wr_wrap(e, st, "%s", s->name);
}

enum wr_status wr_stream_replica(
    struct wr_stream *s, struct wr_call *c, struct wr_str *ret, struct wr_err *e)
{
    struct wr_str rest, line, key, value;
    struct wr_retry retry;
    struct wr_buf out;
    enum wr_status st;

    wr_buf_init(&out, (size_t)64 << 10);
    wr_retry_init(&retry, s->id);
    do {
        wr_buf_clear(&out);
        st = ask(s, c, s->url, 0, &out, NULL, e);
    } while (st == WR_BUSY && wr_retry_again(&retry, c, st)); /* one that is silent costs seconds */
    rest = st == WR_OK ? wr_buf_view(&out) : WR_STR("");
    *ret = (struct wr_str){0};
    while (!ret->p && rest.n > 0) {
        (void)wr_str_cut(rest, '\n', &line, &rest);
        if (wr_str_cut(line, ' ', &key, &value) && wr_str_eq(key, WR_STR("replica")))
            *ret = wr_arena_str(c->scratch, value);
    }
    wr_buf_release(&out);
    if (st == WR_OK && !ret->p)
        st = wr_fail(e, WR_NOTFOUND,
            "%s: the primary names no bucket for this database: say which (-replica)", s->name);
    return st;
}
