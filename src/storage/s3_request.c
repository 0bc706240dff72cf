/*
 * s3_request.c - one signed request to S3, and what its answer means.
 *
 *   address, headers, payload hash -> sign -> send exactly that -> 2xx is OK
 *
 * Three answers teach something and are worth a second try, each at most once a request:
 *
 *   another region    301, or a signature for the wrong region: the answer names the right one
 *   a clock that is off    its Date header says by how much
 *   stale credentials      the environment or the file may hold newer ones by now
 *
 * A 404 without a body may mean that the bucket is missing, which must not pass for an empty one:
 * until some answer has proved that the bucket exists, it is asked for. Retries for load and loss
 * are the caller's. Knows no operation.
 */
#include "storage/s3_int.h"

#include "base/mem.h"

#define ARENA_SIZE_MAX ((size_t)32 << 20) /* bytes; a listing page needs about one MiB */
#define MESSAGE_MAX    200                /* bytes of a server's message that are shown */
#define REQUEST_MAX    80                 /* bytes of its name for a request */
#define OWN_HEADERS    6                  /* host, hash, date, token, consistency, signature */

enum lesson {
    LESSON_NONE,
    LESSON_REGION = 1,
    LESSON_CLOCK = 2,
    LESSON_CREDS = 4,
};

void wr_s3_talk_init(struct wr_s3_talk *t, const struct wr_call *c, size_t text_max)
{
    wr_arena_init(&t->arena, ARENA_SIZE_MAX);
    wr_buf_init(&t->text, text_max);
    t->call = *c;
    t->call.scratch = &t->arena;
    t->resp = (struct wr_http_resp){.status = 0};
    t->error = (struct wr_s3_error){.code = {NULL, 0}};
    t->access_key = (struct wr_str){NULL, 0};
    t->temporary = false;
}

void wr_s3_talk_release(struct wr_s3_talk *t)
{
    wr_buf_release(&t->text);
    wr_arena_wipe(&t->arena); /* a session token may be among the headers */
}

void wr_s3_param(struct wr_s3_request *r, struct wr_str name, struct wr_str value)
{
    assert(r->n_params < WR_S3_PARAMS_MAX);
    r->params[r->n_params++] = (struct wr_sigv4_param){name, value};
}

void wr_s3_header(struct wr_s3_request *r, struct wr_str name, struct wr_str value)
{
    assert(r->n_headers < WR_S3_HEADERS_MAX);
    r->headers[r->n_headers++] = (struct wr_http_header){name, value};
}

void wr_s3_header_ssec(const struct wr_s3 *s, struct wr_s3_request *r)
{
    if (s->cfg.ssec_key.n == 0)
        return;
    wr_s3_header(r, WR_STR("x-amz-server-side-encryption-customer-algorithm"), WR_STR("AES256"));
    wr_s3_header(r, WR_STR("x-amz-server-side-encryption-customer-key"), s->cfg.ssec_key);
    wr_s3_header(r, WR_STR("x-amz-server-side-encryption-customer-key-md5"), s->cfg.ssec_md5);
}

static enum wr_status get_region(
    struct wr_s3 *s, struct wr_arena *a, struct wr_str *ret, struct wr_err *e)
{
    wr_mutex_lock(&s->mutex);
    *ret = wr_arena_str(a, wr_str(s->region));
    wr_mutex_unlock(&s->mutex);
    return ret->p != NULL ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory for a request");
}

/* Send what was signed: the headers of `in`, and the signature behind them. */
static enum wr_status send_signed(struct wr_s3 *s, struct wr_s3_talk *t, const struct wr_sigv4 *in,
    const struct wr_s3_request *r, const struct wr_http_header *headers, struct wr_str host,
    struct wr_err *e)
{
    struct wr_str url =
        wr_arena_fmt(&t->arena, WR_FMT "://" WR_FMT WR_FMT "%s" WR_FMT, WR_ARG(s->cfg.scheme),
            WR_ARG(host), WR_ARG(in->path), in->query.n > 0 ? "?" : "", WR_ARG(in->query));
    if (url.p == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory for a request");
    const struct wr_http_req req = {.method = r->method,
        .url = url.p,
        .headers = headers,
        .n_headers = in->n_headers + 1,
        .body = r->body,
        .has_body = r->has_body,
        .stall_ms = r->stall_ms,
        .into = r->into,
        .into_size = r->into_size,
        .text = &t->text};
    struct wr_http *http = NULL;
    enum wr_status st = wr_s3_http(s, &http, e);
    return st == WR_OK ? wr_http_do(http, &t->call, &req, &t->resp, e) : st;
}

/* Sign and send what `to_sign` and `r` say; headers that depend on time and keys are added. */
static enum wr_status sign_and_send(struct wr_s3 *s, struct wr_s3_talk *t,
    const struct wr_sigv4 *to_sign, const struct wr_s3_request *r, struct wr_str host,
    struct wr_err *e)
{
    struct wr_http_header headers[WR_S3_HEADERS_MAX + OWN_HEADERS];
    struct wr_sigv4 in = *to_sign;
    struct wr_aws_creds creds;
    struct wr_str authorization;
    char date[WR_SIGV4_DATE_MAX], keys[WR_AWS_CREDS_MAX];
    size_t n = 0;

    enum wr_status st = wr_awscreds_get(s->creds, &t->call, keys, &creds, e);
    if (st != WR_OK)
        return st;
    t->access_key = wr_arena_str(&t->arena, creds.access_key);
    t->temporary = creds.token.n > 0;
    in.time_ms = wr_wall_ms(t->call.clock) + atomic_load(&s->skew_ms);
    wr_sigv4_date(date, in.time_ms);
    for (size_t i = 0; i < r->n_headers; i++)
        headers[n++] = r->headers[i];
    headers[n++] = (struct wr_http_header){WR_STR("host"), host};
    headers[n++] = (struct wr_http_header){WR_STR("x-amz-content-sha256"), in.payload_hash};
    headers[n++] = (struct wr_http_header){WR_STR("x-amz-date"), wr_str(date)};
    if (creds.token.n > 0)
        headers[n++] = (struct wr_http_header){WR_STR("x-amz-security-token"), creds.token};
    if (s->cfg.consistent)
        headers[n++] = (struct wr_http_header){WR_STR("x-tigris-consistent"), WR_STR("true")};
    in.headers = headers;
    in.n_headers = n;
    in.access_key = creds.access_key;
    in.secret_key = creds.secret_key;
    st = t->access_key.p ? wr_sigv4_sign(&t->arena, &in, &authorization, e)
                         : wr_fail(e, WR_NOMEM, "out of memory for a request");
    if (st == WR_OK) {
        headers[n] = (struct wr_http_header){WR_STR("authorization"), authorization};
        st = send_signed(s, t, &in, r, headers, host, e);
    }
    wr_wipe(keys, sizeof(keys));
    return st;
}

static enum wr_status send_once(
    struct wr_s3 *s, struct wr_s3_talk *t, const struct wr_s3_request *r, struct wr_err *e)
{
    char hash[2 * WR_SHA256_SIZE + 1];
    struct wr_str host;
    struct wr_sigv4 in = {.method = r->method, .service = WR_STR("s3")};

    t->resp.status = 0;
    t->error = (struct wr_s3_error){.code = {NULL, 0}};
    enum wr_status st = get_region(s, &t->arena, &in.region, e);
    if (st == WR_OK)
        st = wr_s3_address(&t->arena, &s->cfg, in.region, r->key, &host, &in.path, e);
    if (st == WR_OK)
        st = wr_sigv4_query(&t->arena, r->params, r->n_params, &in.query, e);
    in.payload_hash = WR_STR(WR_SIGV4_UNSIGNED);
    if (st == WR_OK && s->cfg.sign_payload) {
        st = wr_sigv4_hash(r->body, hash, e);
        in.payload_hash = wr_str(hash);
    }
    return st == WR_OK ? sign_and_send(s, t, &in, r, host, e) : st;
}

/* What everybody's clock says, for who asks: nothing is corrected by it. */
static void note_clock(struct wr_s3 *s, const struct wr_s3_talk *t)
{
    int64_t server_ms = 0;
    if (!wr_http_date(wr_http_header(&t->resp, "date"), &server_ms))
        return;
    atomic_store(&s->seen_ms, server_ms - wr_wall_ms(t->call.clock));
    atomic_store(&s->dated, true);
}

static bool is_code(const struct wr_s3_talk *t, const char *code)
{
    return wr_str_eq(t->error.code, wr_str(code));
}

/* Take over the region that an answer names. False when it is none that could help. */
static bool learn_region(struct wr_s3 *s, const struct wr_s3_talk *t)
{
    struct wr_str region = wr_http_header(&t->resp, "x-amz-bucket-region");
    if (region.n == 0)
        region = t->error.region;
    bool changed = false;
    wr_mutex_lock(&s->mutex);
    if (region.n > 0 && region.n < sizeof(s->region) && !wr_str_eq(region, wr_str(s->region)) &&
        strspn(region.p, "abcdefghijklmnopqrstuvwxyz0123456789-_") == region.n) {
        memcpy(s->region, region.p, region.n);
        s->region[region.n] = '\0';
        changed = true;
    }
    wr_mutex_unlock(&s->mutex);
    return changed;
}

static bool learn_clock(struct wr_s3 *s, const struct wr_s3_talk *t)
{
    int64_t server_ms = 0;
    if (!wr_http_date(wr_http_header(&t->resp, "date"), &server_ms))
        return false;
    atomic_store(&s->skew_ms, server_ms - wr_wall_ms(t->call.clock));
    return true;
}

/* What this answer teaches, if that was not learnt during this request already. */
static enum lesson learn(struct wr_s3 *s, struct wr_s3_talk *t, enum wr_status st, unsigned known)
{
    bool bare = t->resp.status == 400 && t->error.code.n == 0; /* HEAD has no body */
    bool region = t->resp.status == 301 || is_code(t, "AuthorizationHeaderMalformed") ||
                  is_code(t, "PermanentRedirect") ||
                  is_code(t, "IllegalLocationConstraintException") || bare;
    if (region && !(known & LESSON_REGION) && learn_region(s, t))
        return LESSON_REGION;
    /* To a HEAD, S3 says no more than this of a token that has expired. It may mean anything else,
     * too, so that they are kept if there are no others. */
    if (bare && t->temporary)
        return !(known & LESSON_CREDS) && wr_awscreds_doubt(s->creds, t->access_key) ? LESSON_CREDS
                                                                                     : LESSON_NONE;
    if (is_code(t, "RequestTimeTooSkewed"))
        return !(known & LESSON_CLOCK) && learn_clock(s, t) ? LESSON_CLOCK : LESSON_NONE;
    if (st != WR_AUTH || is_code(t, "AccessDenied"))
        return LESSON_NONE;
    bool renewable = wr_awscreds_forget(s->creds, t->access_key);
    return renewable && !(known & LESSON_CREDS) ? LESSON_CREDS : LESSON_NONE;
}

/* What the provider calls this request, to be asked for; empty where it says nothing usable. To a
 * HEAD only a header can. */
static struct wr_str request_id(const struct wr_http_resp *resp, const struct wr_s3_error *error)
{
    struct wr_str id = wr_http_header(resp, "x-amz-request-id");

    if (id.n == 0)
        id = error->request;
    for (size_t i = 0; i < id.n; i++)
        if (id.p[i] <= ' ' || id.p[i] == ']' || id.p[i] > '~')
            return WR_STR("");
    return id.n <= REQUEST_MAX ? id : WR_STR("");
}

enum wr_status wr_s3_fail(const struct wr_s3 *s, const char *method,
    const struct wr_http_resp *resp, const struct wr_s3_error *error, struct wr_err *e)
{
    const char *advice = NULL;
    enum wr_status st = wr_s3_classify(error->code, resp->status, &advice);
    struct wr_str id = request_id(resp, error);
    if (wr_str_eq(error->code, WR_STR("NoSuchBucket")))
        return wr_fail(
            e, WR_MISUSE, "bucket " WR_FMT " does not exist: %s", WR_ARG(s->cfg.bucket), advice);
    struct wr_str message = error->message;
    message.n = wr_min(message.n, (size_t)MESSAGE_MAX);
    return wr_fail(e, st, "s3 %s: %d" WR_FMT WR_FMT "%s" WR_FMT "%s" WR_FMT WR_FMT "%s%s", method,
        resp->status, WR_ARG(error->code.n > 0 ? WR_STR(" ") : error->code), WR_ARG(error->code),
        id.n > 0 ? " " WR_REQUEST_MARK : "", WR_ARG(id), id.n > 0 ? "]" : "",
        WR_ARG(message.n > 0 ? WR_STR(": ") : message), WR_ARG(message), advice != NULL ? "; " : "",
        advice != NULL ? advice : "");
}

/* After a 404 that does not say what is missing: MISUSE if it is the bucket, NOTFOUND if not or if
 * nobody knows (asking may need a right that we do not have). */
static enum wr_status check_bucket(struct wr_s3 *s, struct wr_s3_talk *t, struct wr_err *e)
{
    const struct wr_s3_request head = {.method = "HEAD"};
    struct wr_s3_talk ask;
    if (atomic_load(&s->bucket_seen))
        return wr_fail(e, WR_NOTFOUND, "no such object");
    wr_s3_talk_init(&ask, &t->call, 0);
    enum wr_status st = send_once(s, &ask, &head, e);
    int status = ask.resp.status;
    wr_s3_talk_release(&ask);
    if (st != WR_OK)
        return st;
    if (status == 404) {
        const struct wr_s3_error gone = {.code = WR_STR("NoSuchBucket")};
        const struct wr_http_resp resp = {.status = status}; /* the headers went with `ask` */
        return wr_s3_fail(s, "HEAD", &resp, &gone, e);
    }
    atomic_store(&s->bucket_seen, true);
    return wr_fail(e, WR_NOTFOUND, "no such object");
}

/* One attempt, judged. */
static enum wr_status attempt(
    struct wr_s3 *s, struct wr_s3_talk *t, const struct wr_s3_request *r, struct wr_err *e)
{
    enum wr_status st = send_once(s, t, r, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "s3 %s", r->method);
    note_clock(s, t);
    if (t->resp.status >= 200 && t->resp.status < 300) {
        atomic_store(&s->bucket_seen, true);
        return WR_OK;
    }
    wr_s3_parse_error(&t->arena, wr_buf_bytes(&t->text), &t->error);
    if (t->resp.status == 404 && t->error.code.n == 0)
        return check_bucket(s, t, e);
    st = wr_s3_fail(s, r->method, &t->resp, &t->error, e);
    if (st == WR_NOTFOUND)
        atomic_store(&s->bucket_seen, true);
    return st;
}

enum wr_status wr_s3_do(
    struct wr_s3 *s, struct wr_s3_talk *t, const struct wr_s3_request *r, struct wr_err *e)
{
    struct wr_err err = {.code = WR_OK}; /* the caller's is left alone if the second try succeeds */
    unsigned known = LESSON_NONE;
    for (;;) {
        enum wr_status st = attempt(s, t, r, &err);
        enum lesson lesson = st != WR_OK ? learn(s, t, st, known) : LESSON_NONE;
        if (lesson == LESSON_NONE) {
            if (st != WR_OK && e != NULL)
                *e = err;
            return st;
        }
        known |= lesson;
    }
}
