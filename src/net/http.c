/*
 * http.c - the life of a request; the event loop is inside one function, where it belongs.
 *
 *   take a slot for the origin (http_pool.c)
 *   set up the request            all memory is the caller's or the slot's
 *   perform / poll until done, deadline, cancel or stall (bytes go through http_transfer.c)
 *   give the slot back            with its connection, if the answer was read to the end
 *
 * A flow is the same, but that its caller has what there is of the answer in between.
 *
 * A request that fails takes its slot with it. Cancel rouses the poll by curl_multi_wakeup, the one
 * call libcurl allows from another thread.
 *
 * libcurl would resend a request by itself when a reused connection turns out dead. For requests
 * with a body it cannot, because no rewind function is set: whether repeating is safe is something
 * only the caller knows. Knows nothing of objects, signatures or retries.
 */
#include "net/http.h"

#include "base/mem.h"
#include "net/http_int.h"

#define HTTP_CONNECT_MS 10000
#define HTTP_STALL_MS   60000 /* a slow link may take long to drain what the kernel took from us */
#define HTTP_IDLE_MAX   16
#define HTTP_BUFFER_SIZE                                                    \
    16384L /* one TLS record; larger ones gain little and add up over slots \
            */
/* A large body goes in larger pieces where there is no TLS: a call for each 16 KiB is most of what
 * sending costs there. Not larger than this, as a piece is progress only when the socket has taken
 * all of it: on a slow link a larger one could look like a stall. Only for such a body: libcurl
 * frees the buffer with the transfer, or, from 8.7 on, when a request wants another size. */
#define HTTP_LARGE      ((size_t)256 << 10) /* bytes of body */
#define HTTP_LARGE_SIZE 65536L

struct wr_http {
    struct wr_http_pool pool;
    int64_t connect_ms, stall_ms;
    bool skip_verify, direct;
    struct wr_mutex mutex;
    struct wr_trust trust; /* loading guarded by mutex */
};

/* There may be a token among them. */
static void header_list_free(struct curl_slist *list)
{
    for (struct curl_slist *x = list; x; x = x->next)
        wr_wipe(x->data, strlen(x->data));
    wr_curl()->slist_free_all(list);
}

/* libcurl's list of header lines. A line break in a value would let it forge the next header. */
static enum wr_status header_list(
    struct wr_arena *a, const struct wr_http_req *req, struct curl_slist **ret, struct wr_err *e)
{
    /* No "Expect: 100-continue": it costs a round trip, and a second where a server ignores it. */
    struct curl_slist *list = wr_curl()->slist_append(NULL, "Expect:");
    size_t i = 0;
    for (; list != NULL && i < req->n_headers; i++) {
        struct wr_str name = req->headers[i].name, value = req->headers[i].value;
        struct wr_str line = wr_arena_fmt(
            a, value.n > 0 ? WR_FMT ": " WR_FMT : WR_FMT ";" WR_FMT, WR_ARG(name), WR_ARG(value));
        if (line.p == NULL)
            break;
        if (strpbrk(line.p, "\r\n") != NULL || strlen(line.p) != line.n) {
            header_list_free(list);
            return wr_fail(e, WR_MISUSE, "header " WR_FMT " holds a line break", WR_ARG(name));
        }
        struct curl_slist *longer = wr_curl()->slist_append(list, line.p);
        if (longer == NULL)
            break;
        list = longer;
    }
    if (list == NULL || i < req->n_headers) {
        header_list_free(list);
        return wr_fail(e, WR_NOMEM, "out of memory");
    }
    *ret = list;
    return WR_OK;
}

/* libcurl's setter takes any type of value, which only a macro can pass on. `refused` is what it
 * said to the first option that it did not take. */
#define SET(option, value) WR_CURL_TRY(refused, s->easy, option, value)

static CURLcode set_upload_buffer(struct wr_http_slot *s, size_t body)
{
    bool large = body >= HTTP_LARGE && wr_str_starts(wr_str(s->origin), WR_STR("http:"));
    CURLcode refused = CURLE_OK;
    SET(CURLOPT_UPLOAD_BUFFERSIZE, large ? HTTP_LARGE_SIZE : HTTP_BUFFER_SIZE);
    return refused;
}

/* HTTP_PROXY, which libcurl does not look at, as in a CGI program a client's header makes it. */
static bool proxy_in_capitals(const char *origin)
{
    return wr_str_starts(wr_str(origin), WR_STR("http:")) && !getenv("http_proxy") &&
           wr_str(getenv("HTTP_PROXY")).n > 0 && !getenv("REQUEST_METHOD");
}

static CURLcode set_connection(struct wr_http *h, struct wr_http_slot *s)
{
    CURLcode refused = CURLE_OK;
    SET(CURLOPT_ERRORBUFFER, s->error);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)h->connect_ms);
    SET(CURLOPT_BUFFERSIZE, HTTP_BUFFER_SIZE);
    if (h->direct || wr_http_is_here(wr_str(s->origin)))
        SET(CURLOPT_NOPROXY, "*");
    else if (proxy_in_capitals(s->origin))
        SET(CURLOPT_PROXY, getenv("HTTP_PROXY"));
    (void)WR_CURL_SET(s->easy, WR_CURL_QUICK_EXIT, 1L); /* so that a cancel takes effect at once */
    if (!wr_str_starts(wr_str(s->origin), WR_STR("https:")))
        return refused;
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, h->skip_verify ? 0L : 1L);
    SET(CURLOPT_SSL_VERIFYHOST, h->skip_verify ? 0L : 2L);
    if (h->trust.store != NULL) {
        SET(CURLOPT_CAINFO, NULL);
        SET(CURLOPT_CAPATH, NULL);
        SET(CURLOPT_SSL_CTX_FUNCTION, wr_trust_use);
        SET(CURLOPT_SSL_CTX_DATA, &h->trust);
    } else if (h->trust.file != NULL || h->trust.dir != NULL) {
        SET(CURLOPT_CAINFO, h->trust.file);
        SET(CURLOPT_CAPATH, h->trust.dir);
    }
    return refused;
}

/* What lives only as long as the request. */
static CURLcode set_own(
    struct wr_http_slot *s, struct wr_http_transfer *t, struct curl_slist *headers)
{
    CURLcode refused = CURLE_OK;
    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_WRITEDATA, t);
    return refused;
}

static CURLcode set_request(struct wr_http_slot *s, struct wr_http_transfer *t)
{
    const struct wr_http_req *req = t->req;
    CURLcode refused = CURLE_OK;
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_USERAGENT, "weir/" WEIR_VERSION_STRING);
    SET(CURLOPT_HEADERFUNCTION, wr_http_on_header);
    SET(CURLOPT_WRITEFUNCTION, wr_http_on_body);
    if (req->has_body) {
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_READFUNCTION, wr_http_on_read);
        SET(CURLOPT_READDATA, t);
        SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)req->body.n);
    } else if (strcmp(req->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    }
    return refused;
}

static bool is_plain(const struct wr_http_req *req)
{
    return !req->has_body && strcmp(req->method, "HEAD") != 0;
}

/* Of one plain request after another most is as it was: to say it again is half of what libcurl
 * takes for a short one. */
static CURLcode set_all(struct wr_http *h, struct wr_http_slot *s, struct wr_http_transfer *t,
    struct curl_slist *headers)
{
    const struct wr_http_req *req = t->req;
    bool again = s->plain && is_plain(req);
    CURLcode refused = CURLE_OK;
    if (s->plain && !again)
        wr_curl()->easy_reset(s->easy);
    s->plain = false;
    s->error[0] = '\0';
    if (!again)
        refused = set_connection(h, s);
    if (refused == CURLE_OK && !again)
        refused = set_upload_buffer(s, req->body.n);
    if (refused == CURLE_OK && !again)
        refused = set_request(s, t);
    SET(CURLOPT_URL, req->url);
    SET(CURLOPT_CUSTOMREQUEST, req->method);
    return refused == CURLE_OK ? set_own(s, t, headers) : refused;
}

#undef SET

/* What the loop ends with when libcurl has nothing more to do. */
static CURLcode transfer_result(struct wr_http_slot *s)
{
    int left = 0;
    for (CURLMsg *m = wr_curl()->multi_info_read(s->multi, &left); m != NULL;
         m = wr_curl()->multi_info_read(s->multi, &left))
        if (m->msg == CURLMSG_DONE)
            return m->data.result;
    return CURLE_FAILED_INIT;
}

/* A request under way. */
struct wr_http_flow {
    struct wr_http *http;
    struct wr_http_slot *slot;
    struct curl_slist *headers;
    struct wr_http_transfer transfer;
    int64_t stall_ms;
    bool added; /* to the slot's multi handle */
    bool begun; /* libcurl has been at it */
    bool done;  /* and is through with it: */
    CURLcode result;
    struct wr_http_req req; /* of one that outlives the call that began it, as below */
    struct wr_http_resp resp;
};

/* Bytes of a good answer's body that have come; of others all are waited for. */
static size_t good_bytes(const struct wr_http_transfer *t)
{
    return t->req->text != NULL && wr_http_is_good(t) ? t->req->text->n : 0;
}

/* Wait for libcurl to have something to do. Real time for stalls, the call's clock for its
 * deadline. */
static enum wr_status rest(
    struct wr_http_flow *x, struct wr_call *c, uint64_t *moved, int64_t *since, struct wr_err *e)
{
    struct wr_http_slot *s = x->slot;
    enum wr_status st = wr_call_check(c, s->origin, e);
    if (st != WR_OK)
        return st;
    int64_t now = wr_mono_ms(wr_clock_system());
    if (x->transfer.moved != *moved) {
        *moved = x->transfer.moved;
        *since = now;
    }
    int64_t left = *since + x->stall_ms - now;
    if (left <= 0)
        return wr_fail(e, WR_TIMEOUT, "%s: no data for %lld ms", s->origin, (long long)x->stall_ms);
    left = wr_min(left, wr_call_left_ms(c, 1000));
    if (wr_curl()->multi_poll(s->multi, NULL, 0, (int)wr_min(left, 1000), NULL) != CURLM_OK)
        return wr_fail(e, WR_INTERNAL, "%s: libcurl cannot wait", s->origin);
    return WR_OK;
}

/* Whether it ended as it should. */
static bool is_whole(const struct wr_http_flow *x)
{
    return x->transfer.failed == WR_OK && x->result == CURLE_OK;
}

/* Drive a transfer to its end, or, with `some`, until there is more of the body than before:
 * *ret_ended. Where that is the last that came before it broke, it has not ended before the next
 * call. */
static enum wr_status run(
    struct wr_http_flow *x, struct wr_call *c, bool some, bool *ret_ended, struct wr_err *e)
{
    size_t had = good_bytes(&x->transfer);
    uint64_t moved = x->transfer.moved;
    int64_t since = wr_mono_ms(wr_clock_system());
    /* What had come when the last call returned, libcurl has handed over then. */
    enum wr_status st = x->begun && !x->done ? rest(x, c, &moved, &since, e) : WR_OK;
    x->begun = true;
    while (st == WR_OK && !x->done) {
        int running = 0;
        if (wr_curl()->multi_perform(x->slot->multi, &running) != CURLM_OK)
            return wr_fail(e, WR_INTERNAL, "%s: libcurl refused to work", x->slot->origin);
        x->done = running == 0;
        if (x->done)
            x->result = transfer_result(x->slot);
        if (some && good_bytes(&x->transfer) > had) {
            *ret_ended = x->done && is_whole(x);
            return WR_OK;
        }
        if (!x->done)
            st = rest(x, c, &moved, &since, e);
    }
    *ret_ended = x->done;
    return st;
}

/* Certificates are read for the first https request: plain http never pays for them. */
static enum wr_status load_trust(struct wr_http *h, const struct wr_http_slot *s, struct wr_err *e)
{
    if (h->skip_verify || !wr_str_starts(wr_str(s->origin), WR_STR("https:")))
        return WR_OK;
    wr_mutex_lock(&h->mutex);
    enum wr_status st = wr_trust_load(&h->trust, e);
    wr_mutex_unlock(&h->mutex);
    return st;
}

/* Scheme, host and port of a URL. */
static struct wr_str url_origin(const char *url)
{
    struct wr_str s = wr_str(url);
    const char *host = strstr(url, "://");
    if (host == NULL)
        return s;
    s.n = (size_t)(host - url) + 3 + strcspn(host + 3, "/?#");
    return s;
}

/* Hand the request to libcurl. */
static enum wr_status start(struct wr_http_flow *x, struct wr_call *c, struct wr_err *e)
{
    struct wr_http_slot *s = x->slot;
    enum wr_status st = load_trust(x->http, s, e);
    if (st == WR_OK)
        st = header_list(c->scratch, x->transfer.req, &x->headers, e);
    if (st != WR_OK)
        return st;
    CURLcode refused = set_all(x->http, s, &x->transfer, x->headers);
    if (refused != CURLE_OK)
        return wr_curl_refused(e, refused, s->origin);
    x->added = wr_curl()->multi_add_handle(s->multi, s->easy) == CURLM_OK;
    return x->added ? WR_OK : wr_fail(e, WR_NOMEM, "%s: libcurl refused the request", s->origin);
}

/* Of one that has ended: what became of it. */
static enum wr_status judge(const struct wr_http_flow *x, struct wr_err *e)
{
    const struct wr_http_transfer *t = &x->transfer;
    struct wr_http_slot *s = x->slot;
    if (t->failed != WR_OK)
        return wr_fail(e, t->failed, "%s: %s", s->origin, t->why);
    if (x->result != CURLE_OK)
        return wr_http_fail(e, x->result, s->origin, s->error);
    if (t->resp->status == 0)
        return wr_fail(e, WR_BUSY, "%s: the answer has no status", s->origin);
    return WR_OK;
}

/* Wait for all of it, or for some. */
static enum wr_status wait(
    struct wr_http_flow *x, struct wr_call *c, bool some, bool *ret_ended, struct wr_err *e)
{
    if (c->cancel != NULL)
        wr_cancel_add(c->cancel, &x->slot->waker);
    x->transfer.scratch = c->scratch;
    enum wr_status st = run(x, c, some, ret_ended, e);
    if (c->cancel != NULL)
        wr_cancel_remove(c->cancel, &x->slot->waker);
    return st == WR_OK && *ret_ended ? judge(x, e) : st;
}

/* `reusable`: the answer was read to its end. */
static void release(struct wr_http_flow *x, bool reusable)
{
    struct wr_http_slot *s = x->slot;
    if (x->added)
        (void)wr_curl()->multi_remove_handle(s->multi, s->easy); /* it was added, so it is there */
    s->plain = is_plain(x->transfer.req) && set_own(s, NULL, NULL) == CURLE_OK;
    header_list_free(x->headers);
    if (reusable)
        wr_http_slot_give(&x->http->pool, s);
    else
        wr_http_slot_free(s);
}

/* Its slot, and what is known of it. */
static enum wr_status prepare(struct wr_http_flow *x, struct wr_call *c,
    const struct wr_http_req *req, struct wr_http_resp *resp, struct wr_err *e)
{
    assert(req->url != NULL && req->method != NULL);
    *resp = (struct wr_http_resp){.status = 0};
    if (req->text != NULL)
        wr_buf_clear(req->text);
    enum wr_status st = wr_call_check(c, "http request", e);
    if (st == WR_OK)
        st = wr_curl_load(e);
    if (st != WR_OK)
        return st;
    x->slot = wr_http_slot_take(&x->http->pool, url_origin(req->url));
    if (x->slot == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory for a connection");
    x->stall_ms = req->stall_ms > 0 ? req->stall_ms : x->http->stall_ms;
    x->transfer = (struct wr_http_transfer){.req = req, .resp = resp, .scratch = c->scratch};
    return WR_OK;
}

enum wr_status wr_http_do(struct wr_http *h, struct wr_call *c, const struct wr_http_req *req,
    struct wr_http_resp *ret, struct wr_err *e)
{
    struct wr_http_flow x = {.http = h};
    bool ended = false;
    enum wr_status st = prepare(&x, c, req, ret, e);
    if (st != WR_OK)
        return st;
    st = start(&x, c, e);
    if (st == WR_OK)
        st = wait(&x, c, false, &ended, e);
    release(&x, st == WR_OK);
    return st;
}

enum wr_status wr_http_begin(struct wr_http *h, struct wr_call *c, const struct wr_http_req *req,
    struct wr_http_resp *ret, struct wr_http_flow **ret_flow, struct wr_err *e)
{
    struct wr_http_flow *x = wr_alloc(sizeof(*x));
    bool ended = false;
    assert(!req->has_body && req->text != NULL && req->into == NULL);
    *ret_flow = NULL;
    if (x == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory for a request");
    x->http = h;
    x->req = *req;
    enum wr_status st = prepare(x, c, &x->req, &x->resp, e);
    if (st != WR_OK) {
        wr_free(x);
        return st;
    }
    st = start(x, c, e);
    /* libcurl has its copies of these by now. */
    x->req.url = NULL;
    x->req.headers = NULL;
    x->req.n_headers = 0;
    if (st == WR_OK)
        st = wait(x, c, true, &ended, e);
    *ret = (struct wr_http_resp){.status = x->resp.status};
    if (st == WR_OK && !ended) {
        *ret_flow = x;
        return WR_OK;
    }
    release(x, st == WR_OK);
    wr_free(x);
    return st;
}

enum wr_status wr_http_more(struct wr_http_flow **flow, struct wr_call *c, struct wr_err *e)
{
    struct wr_http_flow *x = *flow;
    bool ended = false;
    enum wr_status st = wait(x, c, true, &ended, e);
    if (st == WR_OK && !ended)
        return WR_OK;
    *flow = NULL;
    release(x, st == WR_OK);
    wr_free(x);
    return st;
}

void wr_http_end(struct wr_http_flow *x)
{
    if (x == NULL)
        return;
    release(x, false);
    wr_free(x);
}

enum wr_status wr_http_new(const struct wr_http_opts *o, struct wr_http **ret, struct wr_err *e)
{
    static const struct wr_http_opts defaults;
    if (o == NULL)
        o = &defaults;
    struct wr_http *h = wr_alloc(sizeof(*h));
    if (h == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory");
    wr_mutex_init(&h->mutex);
    wr_http_pool_init(&h->pool, o->idle_max > 0 ? o->idle_max : HTTP_IDLE_MAX);
    h->connect_ms = o->connect_ms > 0 ? o->connect_ms : HTTP_CONNECT_MS;
    h->stall_ms = o->stall_ms > 0 ? o->stall_ms : HTTP_STALL_MS;
    h->skip_verify = o->skip_verify;
    h->direct = o->direct;
    enum wr_status st = wr_trust_find(&h->trust, o->ca_file, e);
    if (st != WR_OK) {
        wr_http_free(h);
        return st;
    }
    *ret = h;
    return WR_OK;
}

void wr_http_free(struct wr_http *h)
{
    if (h == NULL)
        return;
    wr_http_pool_release(&h->pool);
    wr_trust_release(&h->trust);
    wr_mutex_release(&h->mutex);
    wr_free(h);
}

struct wr_str wr_http_header(const struct wr_http_resp *r, const char *name)
{
    for (size_t i = 0; i < r->n; i++)
        if (wr_str_eq_nocase(r->headers[i].name, wr_str(name)))
            return r->headers[i].value;
    return (struct wr_str){NULL, 0};
}

size_t wr_http_idle(struct wr_http *h)
{
    return wr_http_pool_idle(&h->pool);
}
