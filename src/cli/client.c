/*
 * client.c - see client.h. It knows HTTP and what can go wrong on the way; refuses to know what is
 * asked.
 *
 * Whatever listens at the path may answer anything, slowly, or never: the answer has a limit, and
 * so has the time.
 */
#include "cli/client.h"

#include "base/buf.h"
#include "base/curl.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <sys/un.h>

#define HEAD_MAX       ((size_t)64 << 10)   /* bytes of an answer's head */
#define TIMEOUT_MAX_MS ((int64_t)INT32_MAX) /* 24 days: libcurl takes no more everywhere */
#define QUOTE_MAX      200                  /* bytes of an answer that an error quotes */

struct answer {
    struct wr_buf body;
    size_t head;
    long code; /* HTTP */
};

static size_t on_head(char *p, size_t size, size_t count, void *arg)
{
    struct answer *a = arg;

    (void)p;
    a->head += size * count;
    return a->head <= HEAD_MAX ? size * count : 0;
}

static size_t on_body(char *p, size_t size, size_t count, void *arg)
{
    struct answer *a = arg;

    wr_buf_put(&a->body, p, size * count);
    return wr_buf_status(&a->body) == WR_OK ? size * count : 0;
}

static int append(const char *text, size_t n, void *arg)
{
    wr_buf_put(arg, text, n);
    return 0;
}

/* Nobody is there, or not for us. */
static enum wr_status fail_connect(
    const struct wr_client_request *q, int errnum, const char *why, struct wr_err *e)
{
    const char *text = errnum ? strerror(errnum) : why;

    switch (errnum) {
    case ENOENT:
    case ECONNREFUSED:
        return wr_fail(e, WR_NOTFOUND,
            "failed to connect to control socket: %s: %s (is weir replicate running with "
            "socket.enabled: true? -socket or -config says where its socket is)",
            q->socket, text);
    case EACCES:
    case EPERM:
        return wr_fail(e, WR_AUTH,
            "failed to connect to control socket: %s: %s (run this as the user that weir replicate "
            "runs as, or have socket.permissions let others in)",
            q->socket, text);
    default:
        return wr_fail(e, WR_IO, "failed to connect to control socket: %s: %s", q->socket, text);
    }
}

static enum wr_status fail_transfer(const struct wr_client_request *q, const struct answer *a,
    CURLcode code, int errnum, const char *why, struct wr_err *e)
{
    if (wr_buf_status(&a->body) == WR_NOMEM)
        return wr_fail(e, WR_NOMEM, "%s failed: no memory for the answer", q->verb);
    if (wr_buf_status(&a->body) == WR_LIMIT || a->head > HEAD_MAX)
        return wr_fail(e, WR_LIMIT,
            "%s failed: the answer on %s is too large; does something else listen there?", q->verb,
            q->socket);
    if (code == CURLE_COULDNT_CONNECT)
        return fail_connect(q, errnum, why, e);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return wr_fail(e, WR_TIMEOUT,
            "%s failed: no answer on %s within %g seconds; what was asked for may still be done "
            "(-timeout gives it longer)",
            q->verb, q->socket, (double)q->timeout_ms / 1000);
    if (code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
        code == CURLE_PARTIAL_FILE)
        return wr_fail(e, WR_IO,
            "%s failed: the connection to %s broke before the answer was complete; has the daemon "
            "ended?",
            q->verb, q->socket);
    return wr_fail(e, WR_CORRUPT,
        "%s failed: what answers on %s does not speak as weir replicate does: %s", q->verb,
        q->socket, why);
}

/* A line of it, fit to be shown. */
static void quote(char out[QUOTE_MAX], const struct wr_buf *body)
{
    struct wr_str s = body->n ? wr_str_trim(wr_buf_view(body)) : WR_STR("");
    size_t n = wr_min(s.n, (size_t)QUOTE_MAX - 1);

    for (size_t i = 0; i < n; i++)
        out[i] = s.p[i];
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)out[i] < ' ' || out[i] == 0x7f)
            out[i] = ' ';
    out[n] = '\0';
}

/* The daemon said no. */
static enum wr_status fail_answer(
    const struct wr_client_request *q, const struct answer *a, json_t *object, struct wr_err *e)
{
    const char *error = json_string_value(json_object_get(object, "error"));
    const char *details = json_string_value(json_object_get(object, "details"));
    enum wr_status st = a->code == 504 ? WR_TIMEOUT : WR_IO;
    char text[QUOTE_MAX];

    if (error)
        return wr_fail(e, st, "%s failed: %s%s%s%s", q->verb, error, details ? " (" : "",
            details ? details : "", details ? ")" : "");
    quote(text, &a->body);
    return wr_fail(e, st, "%s failed: %s (HTTP status %ld on %s)", q->verb,
        text[0] ? text : "without a reason", a->code, q->socket);
}

static enum wr_status read_answer(
    const struct wr_client_request *q, const struct answer *a, json_t **ret, struct wr_err *e)
{
    json_t *object = NULL;
    enum wr_status st = WR_OK;

    if (a->body.n)
        object = json_loadb((const char *)a->body.p, a->body.n, 0, NULL);
    if (a->code != 200)
        st = fail_answer(q, a, object, e);
    else if (!json_is_object(object))
        st = wr_fail(e, WR_CORRUPT,
            "%s failed: the answer on %s is not a JSON object; does something else listen there?",
            q->verb, q->socket);
    if (st != WR_OK)
        json_decref(object);
    else
        *ret = object;
    return st;
}

/* What libcurl said to the first option that it did not take, or OK. */
static CURLcode set_up(CURL *c, const struct wr_client_request *q, const struct wr_buf *body,
    struct curl_slist *headers, struct answer *a, char *why)
{
    CURLcode refused = CURLE_OK;
    char url[128];

    (void)snprintf(url, sizeof(url), "http://localhost%s", q->target); /* ours, and short */
#define SET(option, value) WR_CURL_TRY(refused, c, option, value)
    SET(CURLOPT_UNIX_SOCKET_PATH, q->socket);
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PROTOCOLS_STR, "http");
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TIMEOUT_MS, (long)wr_min(q->timeout_ms, TIMEOUT_MAX_MS));
    SET(CURLOPT_ERRORBUFFER, why);
    SET(CURLOPT_HEADERFUNCTION, on_head);
    SET(CURLOPT_HEADERDATA, a);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, a);
    SET(CURLOPT_HTTPHEADER, headers);
    if (q->body) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->n);
        SET(CURLOPT_POSTFIELDS, body->p);
    }
#undef SET
    return refused;
}

static enum wr_status transfer(CURL *c, const struct wr_client_request *q,
    const struct wr_buf *body, struct curl_slist *headers, json_t **ret, struct wr_err *e)
{
    struct answer a = {0};
    char why[CURL_ERROR_SIZE] = "";
    enum wr_status st;
    CURLcode code;
    long errnum = 0;

    wr_buf_init(&a.body, WR_CLIENT_ANSWER_MAX);
    code = set_up(c, q, body, headers, &a, why);
    if (code != CURLE_OK) {
        wr_buf_release(&a.body);
        return wr_wrap(e, wr_curl_refused(e, code, q->socket), "%s failed", q->verb);
    }
    code = wr_curl()->easy_perform(c);
    (void)wr_curl()->easy_getinfo(c, CURLINFO_OS_ERRNO, &errnum); /* 0 when it is not known */
    (void)wr_curl()->easy_getinfo(c, CURLINFO_RESPONSE_CODE, &a.code);
    if (code == CURLE_OK)
        st = read_answer(q, &a, ret, e);
    else
        st = fail_transfer(
            q, &a, code, (int)errnum, why[0] ? why : wr_curl()->easy_strerror(code), e);
    wr_buf_release(&a.body);
    return st;
}

enum wr_status wr_client_ask(const struct wr_client_request *q, json_t **ret, struct wr_err *e)
{
    struct sockaddr_un longest;
    struct curl_slist *headers;
    enum wr_status st;
    struct wr_buf body;
    CURL *c;

    if (strlen(q->socket) >= sizeof(longest.sun_path))
        return wr_fail(e, WR_MISUSE, "the socket's path is longer than %zu bytes: %s",
            sizeof(longest.sun_path) - 1, q->socket);
    st = wr_curl_load(e);
    if (st != WR_OK)
        return wr_wrap(e, st, "%s failed", q->verb);
    wr_buf_init(&body, WR_CLIENT_ANSWER_MAX);
    if (q->body && json_dump_callback(q->body, append, &body, JSON_COMPACT) != 0)
        body.failed = WR_NOMEM;
    c = wr_curl()->easy_init();
    headers = wr_curl()->slist_append(NULL, "Content-Type: application/json");
    if (c && headers && wr_buf_status(&body) == WR_OK)
        st = transfer(c, q, &body, headers, ret, e);
    else
        st = wr_fail(e, WR_NOMEM, "%s failed: out of memory", q->verb);
    wr_curl()->easy_cleanup(c);
    wr_curl()->slist_free_all(headers);
    wr_buf_release(&body);
    return st;
}
