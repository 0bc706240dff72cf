/*
 * sigv4.c - AWS Signature Version 4.
 *
 *   canonical request =  method \n path \n query \n
 *                        name:value \n ...   names in lower case and sorted, values trimmed and
 *                                            with runs of spaces as one
 *                        \n
 *                        name;name;... \n
 *                        payload hash
 *   scope             =  yyyymmdd/region/service/aws4_request
 *   string to sign    =  "AWS4-HMAC-SHA256" \n date \n scope \n hex(sha256(canonical request))
 *   key               =  hmac(hmac(hmac(hmac("AWS4" secret, yyyymmdd), region), service),
 *                             "aws4_request")
 *   Authorization     =  AWS4-HMAC-SHA256 Credential=access/scope, SignedHeaders=name;name,
 *                        Signature=hex(hmac(key, string to sign))
 *
 * Source: "Signature Version 4 signing process" in the AWS General Reference. As S3 wants it: the
 * path is encoded once and never normalised. Knows nothing of S3's operations.
 */
#include "net/sigv4.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/url.h"

#define REQUEST_MAX   ((size_t)64 * 1024) /* bytes; stores refuse requests with heads of 16 KiB */
#define REQUEST_USUAL ((size_t)4 * 1024)
#define SECRET_MAX    256

static int compare(const struct wr_sigv4_param *a, const struct wr_sigv4_param *b, bool by_value)
{
    int by_name = wr_str_cmp(a->name, b->name);
    return by_name != 0 || !by_value ? by_name : wr_str_cmp(a->value, b->value);
}

/* Insertion sort: there are ten or so, and it keeps headers of one name in the order sent. */
static void sort(struct wr_sigv4_param *p, size_t n, bool by_value)
{
    for (size_t i = 1; i < n; i++) {
        struct wr_sigv4_param x = p[i];
        size_t at = i;
        for (; at > 0 && compare(&x, &p[at - 1], by_value) < 0; at--)
            p[at] = p[at - 1];
        p[at] = x;
    }
}

static struct wr_str lower(struct wr_arena *a, struct wr_str s)
{
    char *p = wr_arena_alloc(a, s.n + 1);
    if (p == NULL)
        return (struct wr_str){NULL, 0};
    for (size_t i = 0; i < s.n; i++)
        p[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] - 'A' + 'a' : s.p[i]);
    return (struct wr_str){p, s.n};
}

static void put_collapsed(struct wr_buf *out, struct wr_str value)
{
    value = wr_str_trim(value);
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] != ' ' || value.p[i - 1] != ' ')
            wr_buf_byte(out, (uint8_t)value.p[i]);
}

static void put_names(struct wr_buf *out, const struct wr_sigv4_param *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && wr_str_eq(headers[i].name, headers[i - 1].name))
            continue;
        if (i > 0)
            wr_buf_byte(out, ';');
        wr_buf_str(out, headers[i].name);
    }
}

/* One line a name; headers of one name share it. */
static void put_headers(struct wr_buf *out, const struct wr_sigv4_param *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && wr_str_eq(headers[i].name, headers[i - 1].name)) {
            out->n--; /* the line break of the value before */
            wr_buf_byte(out, ',');
        } else {
            wr_buf_str(out, headers[i].name);
            wr_buf_byte(out, ':');
        }
        put_collapsed(out, headers[i].value);
        wr_buf_byte(out, '\n');
    }
}

static enum wr_status hash_request(const struct wr_sigv4 *in, const struct wr_sigv4_param *headers,
    char hex[2 * WR_SHA256_SIZE + 1], struct wr_err *e)
{
    struct wr_buf b;
    wr_buf_init(&b, REQUEST_MAX);
    if (wr_buf_grow(&b, REQUEST_USUAL)) /* growing later would leave a token behind */
        wr_buf_clear(&b);
    wr_buf_fmt(&b, "%s\n" WR_FMT "\n" WR_FMT "\n", in->method, WR_ARG(in->path), WR_ARG(in->query));
    put_headers(&b, headers, in->n_headers);
    wr_buf_byte(&b, '\n');
    put_names(&b, headers, in->n_headers);
    wr_buf_byte(&b, '\n');
    wr_buf_str(&b, in->payload_hash);
    enum wr_status st = wr_buf_status(&b);
    if (st != WR_OK)
        st = wr_fail(e, st, "request to sign: %s", wr_status_text(st));
    else
        st = wr_sigv4_hash(wr_buf_bytes(&b), hex, e);
    if (b.n > 0)
        wr_wipe(b.p, b.n);
    wr_buf_release(&b);
    return st;
}

static struct wr_bytes as_bytes(struct wr_str s)
{
    return (struct wr_bytes){(const uint8_t *)s.p, s.n};
}

static enum wr_status derive_key(
    const struct wr_sigv4 *in, struct wr_str day, uint8_t key[WR_SHA256_SIZE], struct wr_err *e)
{
    static const uint8_t prefix[] = {'A', 'W', 'S', '4'};
    uint8_t first[sizeof(prefix) + SECRET_MAX];
    if (in->secret_key.n > SECRET_MAX)
        return wr_fail(e, WR_MISUSE, "the secret access key is longer than %d bytes", SECRET_MAX);
    memcpy(first, prefix, sizeof(prefix));
    if (in->secret_key.n > 0)
        memcpy(first + sizeof(prefix), in->secret_key.p, in->secret_key.n);
    const struct wr_str steps[] = {day, in->region, in->service, WR_STR("aws4_request")};
    struct wr_bytes with = {first, sizeof(prefix) + in->secret_key.n};
    enum wr_status st = WR_OK;
    for (size_t i = 0; i < wr_countof(steps) && st == WR_OK; i++) {
        uint8_t next[WR_SHA256_SIZE];
        st = wr_hmac_sha256(with, as_bytes(steps[i]), next, e);
        if (st == WR_OK)
            memcpy(key, next, sizeof(next));
        with = (struct wr_bytes){key, WR_SHA256_SIZE};
    }
    wr_wipe(first, sizeof(first));
    return st;
}

void wr_sigv4_date(char out[WR_SIGV4_DATE_MAX], int64_t time_ms)
{
    char text[WR_TIME_TEXT_MAX]; /* 2013-05-24T00:00:00Z */
    size_t n = 0;
    wr_format_time_seconds(text, time_ms);
    for (const char *p = text; *p != '\0' && n + 1 < WR_SIGV4_DATE_MAX; p++)
        if (*p != '-' && *p != ':')
            out[n++] = *p;
    out[n] = '\0';
}

enum wr_status wr_sigv4_hash(
    struct wr_bytes body, char out[2 * WR_SHA256_SIZE + 1], struct wr_err *e)
{
    uint8_t hash[WR_SHA256_SIZE];
    enum wr_status st = wr_sha256(body, hash, e);
    if (st == WR_OK)
        wr_hex(hash, sizeof(hash), out);
    return st;
}

static enum wr_status encoded(
    struct wr_arena *a, struct wr_str s, struct wr_buf *b, struct wr_str *ret, struct wr_err *e)
{
    wr_buf_clear(b);
    wr_url_encode(b, s, false);
    *ret = wr_buf_status(b) == WR_OK ? wr_arena_str(a, wr_buf_view(b)) : (struct wr_str){NULL, 0};
    return ret->p != NULL ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory for a query");
}

/* Sorted after encoding, as the specification orders them: '%' comes before letters. */
enum wr_status wr_sigv4_query(struct wr_arena *a, const struct wr_sigv4_param *params, size_t n,
    struct wr_str *ret, struct wr_err *e)
{
    struct wr_buf b;
    enum wr_status st = WR_OK;
    wr_buf_init(&b, REQUEST_MAX);
    struct wr_sigv4_param *sorted = wr_arena_array(a, n + 1, sizeof(*sorted));
    if (sorted == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory for a query");
    for (size_t i = 0; i < n && st == WR_OK; i++) {
        st = encoded(a, params[i].name, &b, &sorted[i].name, e);
        if (st == WR_OK)
            st = encoded(a, params[i].value, &b, &sorted[i].value, e);
    }
    if (st == WR_OK) {
        sort(sorted, n, true);
        wr_buf_clear(&b);
        for (size_t i = 0; i < n; i++)
            wr_buf_fmt(&b, "%s" WR_FMT "=" WR_FMT, i > 0 ? "&" : "", WR_ARG(sorted[i].name),
                WR_ARG(sorted[i].value));
        *ret = wr_buf_status(&b) == WR_OK ? wr_arena_str(a, wr_buf_view(&b))
                                          : (struct wr_str){NULL, 0};
        if (ret->p == NULL)
            st = wr_fail(e, WR_NOMEM, "out of memory for a query");
    }
    wr_buf_release(&b);
    return st;
}

enum wr_status wr_sigv4_sign(
    struct wr_arena *a, const struct wr_sigv4 *in, struct wr_str *ret, struct wr_err *e)
{
    char date[WR_SIGV4_DATE_MAX], hash[2 * WR_SHA256_SIZE + 1], hex[2 * WR_SHA256_SIZE + 1];
    uint8_t key[WR_SHA256_SIZE], signature[WR_SHA256_SIZE];
    struct wr_buf names;

    struct wr_sigv4_param *headers = wr_arena_array(a, in->n_headers + 1, sizeof(*headers));
    if (headers == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory to sign a request");
    for (size_t i = 0; i < in->n_headers; i++) {
        headers[i] = (struct wr_sigv4_param){lower(a, in->headers[i].name), in->headers[i].value};
        if (headers[i].name.p == NULL)
            return wr_fail(e, WR_NOMEM, "out of memory to sign a request");
    }
    sort(headers, in->n_headers, false);

    wr_buf_init(&names, REQUEST_MAX);
    wr_sigv4_date(date, in->time_ms);
    struct wr_str day = {date, 8};
    enum wr_status st = hash_request(in, headers, hash, e);
    if (st == WR_OK)
        st = derive_key(in, day, key, e);
    if (st != WR_OK)
        goto out;
    struct wr_str scope = wr_arena_fmt(a, "%.8s/" WR_FMT "/" WR_FMT "/aws4_request", date,
        WR_ARG(in->region), WR_ARG(in->service));
    struct wr_str text =
        wr_arena_fmt(a, "AWS4-HMAC-SHA256\n%s\n" WR_FMT "\n%s", date, WR_ARG(scope), hash);
    put_names(&names, headers, in->n_headers);
    if (scope.p == NULL || text.p == NULL || wr_buf_status(&names) != WR_OK) {
        st = wr_fail(e, WR_NOMEM, "out of memory to sign a request");
        goto out;
    }
    st = wr_hmac_sha256((struct wr_bytes){key, sizeof(key)}, as_bytes(text), signature, e);
    if (st != WR_OK)
        goto out;
    wr_hex(signature, sizeof(signature), hex);
    *ret = wr_arena_fmt(a,
        "AWS4-HMAC-SHA256 Credential=" WR_FMT "/" WR_FMT ", SignedHeaders=" WR_FMT ", Signature=%s",
        WR_ARG(in->access_key), WR_ARG(scope), WR_ARG(wr_buf_view(&names)), hex);
    if (ret->p == NULL)
        st = wr_fail(e, WR_NOMEM, "out of memory to sign a request");
out:
    wr_wipe(key, sizeof(key));
    wr_buf_release(&names);
    return st;
}
