/*
 * http_transfer.c - what libcurl's callbacks do with the bytes of one request: hand its body over,
 * and take the answer in, within the bounds that the request gives.
 *
 * Knows a head line by line and a body in pieces; refuses to know connections, time and what the
 * answer means. What breaks a bound stops the transfer; why is left in it.
 */
#include "net/http_int.h"

/* Stop the transfer from inside a callback. */
static size_t stop(struct wr_http_transfer *t, enum wr_status st, const char *why)
{
    t->failed = st;
    t->why = why;
    return 0;
}

size_t wr_http_on_read(char *p, size_t size, size_t count, void *arg)
{
    struct wr_http_transfer *t = arg;
    size_t take = wr_min(size * count, t->req->body.n - t->sent);
    if (take > 0)
        memcpy(p, t->req->body.p + t->sent, take);
    t->sent += take;
    t->moved += take;
    return take;
}

bool wr_http_is_good(const struct wr_http_transfer *t)
{
    return t->resp->status >= 200 && t->resp->status < 300;
}

size_t wr_http_on_body(char *p, size_t size, size_t count, void *arg)
{
    struct wr_http_transfer *t = arg;
    size_t n = size * count;
    t->moved += n;
    if (wr_http_is_good(t) && t->req->into != NULL) {
        if (n > t->req->into_size - t->resp->into_n)
            return stop(t, WR_LIMIT, "the answer is longer than what was asked for");
        memcpy((uint8_t *)t->req->into + t->resp->into_n, p, n);
        t->resp->into_n += n;
        return n;
    }
    struct wr_buf *out = t->req->text;
    if (out == NULL)
        return n;
    size_t room = out->max - out->n;
    if (wr_http_is_good(t) && n > room)
        return stop(t, WR_LIMIT, "the answer is longer than its bound");
    wr_buf_put(out, p, wr_min(n, room));
    if (wr_buf_status(out) != WR_OK)
        return stop(t, wr_buf_status(out), "no memory for the answer");
    return n;
}

/* A status line starts the head of an answer anew: those of 1xx answers and proxies come first. */
static void on_status(struct wr_http_transfer *t, struct wr_str line)
{
    struct wr_str rest, code;
    uint64_t status = 0;
    (void)wr_str_cut(line, ' ', &code, &rest);
    (void)wr_str_cut(rest, ' ', &code, &rest);
    if (!wr_parse_u64(code, &status) || status > 999)
        status = 0;
    t->resp->status = (int)status;
    t->resp->n = 0;
}

size_t wr_http_on_header(char *p, size_t size, size_t count, void *arg)
{
    struct wr_http_transfer *t = arg;
    struct wr_str line = {p, size * count};
    t->moved += line.n;
    t->head += line.n;
    if (t->head > WR_HTTP_HEAD_MAX)
        return stop(t, WR_LIMIT, "the head of the answer is too long");
    struct wr_str text = wr_str_trim(line), name, value;
    if (wr_str_starts(text, WR_STR("HTTP/"))) {
        on_status(t, text);
    } else if (wr_str_cut(text, ':', &name, &value)) {
        if (t->resp->n == WR_HTTP_HEADERS_MAX)
            return stop(t, WR_LIMIT, "the answer has too many headers");
        struct wr_http_header *h = &t->resp->headers[t->resp->n];
        h->name = wr_arena_str(t->scratch, wr_str_trim(name));
        h->value = wr_arena_str(t->scratch, wr_str_trim(value));
        if (h->name.p == NULL || h->value.p == NULL)
            return stop(t, WR_NOMEM, "no memory for the answer");
        t->resp->n++;
    }
    return line.n;
}
