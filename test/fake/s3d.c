/*
 * s3d.c - what S3 says to requests, in HTTP and XML; s3d_auth.c verifies them, s3d_bucket.c keeps
 * what they bring.
 *
 * Path style only, one bucket. Follows the Amazon S3 API Reference where our driver could get it
 * wrong: order of keys, what a page is, quotes around tags, 412 and 409, small parts, errors inside
 * a 200 answer.
 */
#define WR_MEM_IMPLEMENTATION
#include "fake/s3d.h"

#include "fake/s3d_bucket.h"

#include <time.h>

struct s3d {
    struct httpd *http;
    struct s3d_opts opts;
    struct s3d_bucket bucket;
    char url[1024];
};

/* ---- answers ---- */

static void fail(const struct s3d *s, struct httpd_answer *a, const char *code, const char *text)
{
    static const struct {
        const char *code;
        int status;
    } table[] = {{"NoSuchKey", 404}, {"NoSuchBucket", 404}, {"NoSuchUpload", 404},
        {"PreconditionFailed", 412}, {"NotImplemented", 501}, {"InvalidRange", 416},
        {"AccessDenied", 403}, {"SignatureDoesNotMatch", 403}, {"InvalidAccessKeyId", 403},
        {"RequestTimeTooSkewed", 403}};
    a->status = 400;
    for (size_t i = 0; i < wr_countof(table); i++)
        if (strcmp(code, table[i].code) == 0)
            a->status = table[i].status;
    httpd_add_text(a,
        "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>it is &lt;%s&gt;</Message>"
        "<Region>%s</Region></Error>",
        code, text, s->opts.region != NULL ? s->opts.region : "us-east-1");
}

static void add_escaped(struct httpd_answer *a, const char *z)
{
    for (; *z != '\0'; z++) {
        if (strchr("&<>\"'", *z) != NULL || (unsigned char)*z < 0x20)
            httpd_add_text(a, "&#%u;", (unsigned)(unsigned char)*z);
        else
            httpd_add_body(a, z, 1);
    }
}

/* By the server's clock. */
static time_t now(const struct s3d *s)
{
    return time(NULL) + s->opts.clock_ahead_s;
}

/* Both in memory that the next call overwrites. */
static const char *http_time(time_t t)
{
    static char text[64];
    struct tm tm;
    (void)gmtime_r(&t, &tm);
    (void)strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return text;
}

static const char *iso_time(time_t t)
{
    static char text[64];
    struct tm tm;
    (void)gmtime_r(&t, &tm);
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
    return text;
}

/* A query parameter, decoded, or NULL. */
static char *param(const struct httpd_request *r, const char *name)
{
    const char *q = strchr(r->target, '?');
    size_t n = strlen(name);
    for (q = q != NULL ? q + 1 : ""; *q != '\0';) {
        size_t len = strcspn(q, "&");
        if (len >= n && strncmp(q, name, n) == 0 && (len == n || q[n] == '='))
            return s3d_decode(q + n + (len > n), len > n ? len - n - 1 : 0);
        q += len + (q[len] == '&');
    }
    return NULL;
}

/* ---- objects ---- */

/* Whether a conditional request may go on; answers it if not. */
static bool check_condition(
    struct s3d *s, const struct httpd_request *r, const char *key, struct httpd_answer *a)
{
    const char *none = httpd_header(r, "If-None-Match"), *match = httpd_header(r, "If-Match");
    if (none == NULL && match == NULL)
        return true;
    if (s->opts.no_condition || (s->opts.no_match && match != NULL)) {
        fail(s, a, "NotImplemented", "condition");
        return false;
    }
    const struct s3d_object *o = s3d_find(&s->bucket, key);
    bool ok = true;
    if (none != NULL)
        ok = strcmp(none, "*") == 0 && o == NULL;
    if (match != NULL && o == NULL) {
        fail(s, a, "NoSuchKey", "match");
        return false;
    }
    if (match != NULL) {
        const char *tag = o->tag;
        ok = s->opts.bare_tags
                 ? strlen(match) == strlen(tag) - 2 && strncmp(match, tag + 1, strlen(match)) == 0
                 : strcmp(match, tag) == 0 || (strlen(match) == strlen(tag) - 2 &&
                                                  strncmp(match, tag + 1, strlen(match)) == 0);
    }
    if (!ok)
        fail(s, a, "PreconditionFailed", "condition");
    return ok;
}

static void do_put(
    struct s3d *s, const struct httpd_request *r, const char *key, struct httpd_answer *a)
{
    if (!check_condition(s, r, key, a))
        return;
    struct s3d_object *o = s3d_store(&s->bucket, key, r->body, r->n_body,
        httpd_header(r, "x-amz-meta-litestream-timestamp"), now(s));
    const char *class_text = httpd_header(r, "x-amz-storage-class");
    (void)snprintf(o->class_text, sizeof(o->class_text), "%s", class_text ? class_text : "");
    httpd_add_header(a, "ETag: %s", o->tag);
}

static void do_get(
    struct s3d *s, const struct httpd_request *r, const char *key, struct httpd_answer *a)
{
    const struct s3d_object *o = s3d_find(&s->bucket, key);
    if (o == NULL) {
        fail(s, a, "NoSuchKey", key);
        return;
    }
    const char *range = httpd_header(r, "Range");
    unsigned long long first = 0, last = 0;
    bool head = strcmp(r->method, "HEAD") == 0;
    httpd_add_header(a, "ETag: %s", o->tag);
    httpd_add_header(a, "Last-Modified: %s", http_time(o->mtime));
    if (o->time_text[0] != '\0' && !s->opts.undated)
        httpd_add_header(a, "x-amz-meta-litestream-timestamp: %s", o->time_text);
    if (range == NULL || head) {
        httpd_add_body(a, o->p, o->n);
        return;
    }
    char *end = NULL;
    if (strncmp(range, "bytes=", 6) == 0)
        first = strtoull(range + 6, &end, 10);
    if (end == NULL || *end != '-') {
        fail(s, a, "InvalidArgument", "range");
        return;
    }
    last = strtoull(end + 1, NULL, 10);
    if (first >= o->n || last < first) {
        fail(s, a, "InvalidRange", "range");
        return;
    }
    last = wr_min(last, (unsigned long long)o->n - 1);
    a->status = 206;
    httpd_add_header(a, "Content-Range: bytes %llu-%llu/%zu", first, last, o->n);
    httpd_add_body(a, o->p + first, (size_t)(last - first + 1));
}

static void do_list(struct s3d *s, const struct httpd_request *r, struct httpd_answer *a)
{
    char *prefix = param(r, "prefix"), *after = param(r, "start-after");
    char *token = param(r, "continuation-token");
    unsigned max = s->opts.page_max > 0 ? s->opts.page_max : 1000, n = 0;
    const char *from = token != NULL ? token + 2 : "";
    if (token == NULL && after != NULL && !s->opts.ignore_start)
        from = after;
    const struct s3d_object *o = s->bucket.objects, *last = NULL;
    httpd_add_text(a, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult "
                      "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>x</Name>");
    for (; o != NULL; o = o->next) {
        if (strcmp(o->key, from) <= 0 ||
            (prefix != NULL && strncmp(o->key, prefix, strlen(prefix)) != 0))
            continue;
        if (n++ == max)
            break;
        last = o;
        httpd_add_text(a, "<Contents><Key>");
        add_escaped(a, o->key);
        httpd_add_text(a,
            "</Key><LastModified>%s</LastModified><ETag>&quot;%.*s&quot;"
            "</ETag><Size>%zu</Size><StorageClass>STANDARD</StorageClass></Contents>",
            iso_time(o->mtime), (int)strlen(o->tag) - 2, o->tag + 1, o->n);
    }
    if (o != NULL) {
        httpd_add_text(a, "<NextContinuationToken>t:");
        add_escaped(a, last->key);
        httpd_add_text(a, "</NextContinuationToken>");
    }
    httpd_add_text(a, "<IsTruncated>%s</IsTruncated></ListBucketResult>", o ? "true" : "false");
    free(prefix);
    free(after);
    free(token);
}

/* Undo the entities that our driver writes. */
static void unescape(char *z)
{
    char *out = z;
    while (*z != '\0') {
        if (strncmp(z, "&amp;", 5) == 0 || strncmp(z, "&lt;", 4) == 0 ||
            strncmp(z, "&gt;", 4) == 0) {
            *out++ = (char)(z[1] == 'a' ? '&' : z[1] == 'l' ? '<' : '>');
            z = strchr(z, ';') + 1;
        } else if (strncmp(z, "&#", 2) == 0) {
            *out++ = (char)strtoull(z + 2, &z, 10);
            z++;
        } else {
            *out++ = *z++;
        }
    }
    *out = '\0';
}

/* The text of the next <name> after *at; NULL at the end. */
static char *next_text(const char **at, const char *name)
{
    char open[32], close[32];
    (void)snprintf(open, sizeof(open), "<%s>", name);
    (void)snprintf(close, sizeof(close), "</%s>", name);
    const char *b = strstr(*at, open);
    const char *e = b != NULL ? strstr(b, close) : NULL;
    if (e == NULL)
        return NULL;
    b += strlen(open);
    char *out = s3d_must(malloc((size_t)(e - b) + 1));
    memcpy(out, b, (size_t)(e - b));
    out[e - b] = '\0';
    unescape(out);
    *at = e;
    return out;
}

static void do_delete_many(struct s3d *s, const struct httpd_request *r, struct httpd_answer *a)
{
    if (s->opts.no_batch) {
        fail(s, a, "NotImplemented", "batch");
        return;
    }
    const char *at = (const char *)r->body;
    unsigned n = 0;
    httpd_add_text(a, "<?xml version=\"1.0\"?><DeleteResult>");
    for (char *key = next_text(&at, "Key"); key != NULL; key = next_text(&at, "Key"), n++) {
        if (s->opts.stuck != NULL && strcmp(key, s->opts.stuck) == 0) {
            httpd_add_text(a, "<Error><Key>");
            add_escaped(a, key);
            httpd_add_text(a, "</Key><Code>AccessDenied</Code><Message>no</Message></Error>");
        } else {
            s3d_remove(&s->bucket, key);
        }
        free(key);
    }
    httpd_add_text(a, "</DeleteResult>");
    if (n == 0 || n > 1000) {
        a->n_body = 0;
        fail(s, a, "MalformedXML", "keys");
    }
}

/* ---- uploads ---- */

static void do_upload_begin(
    struct s3d *s, const struct httpd_request *r, const char *key, struct httpd_answer *a)
{
    const struct s3d_upload *u =
        s3d_upload_new(&s->bucket, key, httpd_header(r, "x-amz-meta-litestream-timestamp"));
    httpd_add_text(a,
        "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>",
        u->id);
}

static void do_upload_part(struct s3d *s, const struct httpd_request *r, const char *number,
    struct s3d_upload *u, struct httpd_answer *a)
{
    unsigned long long k = strtoull(number, NULL, 10);
    if (k < 1 || k > 10000) {
        fail(s, a, "InvalidArgument", "partNumber");
        return;
    }
    httpd_add_header(a, "ETag: %s", s3d_upload_put(u, (unsigned)k, r->body, r->n_body)->tag);
}

/* The list in the request must name parts that are there, in order, with their tags. */
static const char *check_parts(
    const struct s3d *s, const struct httpd_request *r, const struct s3d_upload *u)
{
    const char *at = (const char *)r->body;
    size_t min = s->opts.part_min > 0 ? s->opts.part_min : (size_t)5 << 20;
    for (const struct s3d_part *p = u->parts; p != NULL; p = p->next) {
        char *number = next_text(&at, "PartNumber");
        char *tag = next_text(&at, "ETag");
        bool ok = number != NULL && tag != NULL && strtoull(number, NULL, 10) == p->number &&
                  strcmp(tag, p->tag) == 0;
        free(number);
        free(tag);
        if (!ok)
            return "InvalidPart";
        if (p->next != NULL && p->n < min)
            return "EntityTooSmall";
    }
    return u->parts == NULL || strstr(at, "<PartNumber>") != NULL ? "InvalidPart" : NULL;
}

static void do_upload_commit(
    struct s3d *s, const struct httpd_request *r, struct s3d_upload *u, struct httpd_answer *a)
{
    if (!s->opts.commit_ignores && !check_condition(s, r, u->key, a))
        return;
    const char *bad = check_parts(s, r, u);
    if (bad != NULL) {
        fail(s, a, bad, "part");
        return;
    }
    const struct s3d_object *o = s3d_upload_join(&s->bucket, u, now(s));
    httpd_add_text(a,
        "<CompleteMultipartUploadResult><ETag>&quot;%.*s&quot;</ETag>"
        "</CompleteMultipartUploadResult>",
        (int)strlen(o->tag) - 2, o->tag + 1);
}

/* ---- routing ---- */

static void do_object(
    struct s3d *s, const struct httpd_request *r, const char *key, struct httpd_answer *a)
{
    char *id = param(r, "uploadId"), *number = param(r, "partNumber"), *begin = param(r, "uploads");
    struct s3d_upload *up = id != NULL ? s3d_upload_find(&s->bucket, id, key) : NULL;
    bool post = strcmp(r->method, "POST") == 0, put = strcmp(r->method, "PUT") == 0;
    bool delete = strcmp(r->method, "DELETE") == 0;
    if (id != NULL && up == NULL)
        fail(s, a, "NoSuchUpload", id);
    else if (up != NULL && put && number != NULL)
        do_upload_part(s, r, number, up, a);
    else if (up != NULL && post)
        do_upload_commit(s, r, up, a);
    else if (up != NULL && delete)
        s3d_upload_drop(&s->bucket, up);
    else if (post && begin != NULL)
        do_upload_begin(s, r, key, a);
    else if (put)
        do_put(s, r, key, a);
    else if (strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0)
        do_get(s, r, key, a);
    else if (delete)
        s3d_remove(&s->bucket, key);
    else
        fail(s, a, "MethodNotAllowed", r->method);
    if (delete &&a->status == 200)
        a->status = 204;
    free(id);
    free(number);
    free(begin);
}

static void do_bucket(struct s3d *s, const struct httpd_request *r, struct httpd_answer *a)
{
    char *list = param(r, "list-type"), *batch = param(r, "delete");
    if (strcmp(r->method, "GET") == 0 && list != NULL && strcmp(list, "2") == 0)
        do_list(s, r, a);
    else if (strcmp(r->method, "POST") == 0 && batch != NULL)
        do_delete_many(s, r, a);
    else if (strcmp(r->method, "HEAD") != 0)
        fail(s, a, "MethodNotAllowed", r->method);
    free(list);
    free(batch);
}

static void handle(void *arg, const struct httpd_request *r, struct httpd_answer *a)
{
    struct s3d *s = arg;
    char detail[4096];
    httpd_add_header(a, "Date: %s", http_time(now(s)));
    const char *bad = s3d_verify(r, &s->opts, detail, sizeof(detail));
    if (bad == NULL && s->opts.must_have != NULL && strstr(r->head, s->opts.must_have) == NULL)
        bad = "InvalidRequest";
    size_t n = strcspn(r->target, "?");
    static const char bucket[] = "/" S3D_BUCKET;
    if (bad != NULL) {
        fail(s, a, bad, detail);
    } else if (strncmp(r->target, bucket, sizeof(bucket) - 1) != 0 ||
               (n > sizeof(bucket) - 1 && r->target[sizeof(bucket) - 1] != '/')) {
        fail(s, a, "NoSuchBucket", r->target);
    } else if (n <= sizeof(bucket)) {
        do_bucket(s, r, a);
    } else {
        char *key = s3d_decode(r->target + sizeof(bucket), n - sizeof(bucket));
        do_object(s, r, key, a);
        free(key);
    }
    if (strcmp(r->method, "HEAD") == 0 && a->status >= 300)
        a->n_body = 0;
}

/* ---- the server ---- */

struct s3d *s3d_start(void)
{
    struct s3d *s = s3d_must(calloc(1, sizeof(*s)));
    s->http = httpd_start(handle, s);
    return s;
}

void s3d_empty(struct s3d *s)
{
    s3d_bucket_clear(&s->bucket);
    s->opts = (struct s3d_opts){.region = NULL};
    httpd_forget(s->http);
}

void s3d_stop(struct s3d *s)
{
    if (s == NULL)
        return;
    httpd_stop(s->http);
    s->http = NULL;
    s3d_bucket_clear(&s->bucket);
    free(s);
}

struct s3d_opts *s3d_opts(struct s3d *s)
{
    return &s->opts;
}

struct httpd *s3d_httpd(struct s3d *s)
{
    return s->http;
}

size_t s3d_uploads(struct s3d *s)
{
    size_t n = 0;
    for (const struct s3d_upload *u = s->bucket.uploads; u != NULL; u = u->next)
        n++;
    return n;
}

size_t s3d_objects(struct s3d *s)
{
    size_t n = 0;
    for (const struct s3d_object *o = s->bucket.objects; o != NULL; o = o->next)
        n++;
    return n;
}

const char *s3d_url(struct s3d *s, const char *path)
{
    (void)snprintf(s->url, sizeof(s->url), "s3://" S3D_BUCKET "%s%sendpoint=http://127.0.0.1:%u",
        path, strchr(path, '?') != NULL ? "&" : "?", httpd_port(s->http));
    return s->url;
}
