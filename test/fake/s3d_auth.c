/*
 * s3d_auth.c - AWS Signature Version 4 from the server's side, written against the specification
 * and not against src/net/sigv4.c: it decodes what arrived and encodes it again, so that a client
 * which signs one spelling and sends another is caught.
 */
#define WR_MEM_IMPLEMENTATION
/* First: OpenSSL names parameters after functions that base.h forbids. */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "fake/s3d.h"

#include <strings.h>

struct text {
    char p[65536];
    size_t n;
};

static void add(struct text *t, const char *p, size_t n)
{
    if (t->n + n + 1 > sizeof(t->p))
        abort();
    memcpy(t->p + t->n, p, n);
    t->n += n;
    t->p[t->n] = '\0';
}

static void adds(struct text *t, const char *z)
{
    add(t, z, strlen(z));
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *s3d_decode(const char *p, size_t n)
{
    char *out = malloc(n + 1);
    size_t k = 0;
    if (out == NULL)
        abort();
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '%' && i + 2 < n + 0 && hex_digit(p[i + 1]) >= 0 && hex_digit(p[i + 2]) >= 0) {
            out[k++] = (char)(hex_digit(p[i + 1]) * 16 + hex_digit(p[i + 2]));
            i += 2;
        } else {
            out[k++] = p[i];
        }
    }
    out[k] = '\0';
    return out;
}

/* Decode and encode again, as AWS's UriEncode does. */
static void add_recoded(struct text *t, const char *p, size_t n, bool keep_slash)
{
    char *plain = s3d_decode(p, n);
    for (const char *c = plain; *c != '\0'; c++) {
        char hex[4];
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", *c) ||
            (*c == '/' && keep_slash)) {
            add(t, c, 1);
        } else {
            (void)snprintf(hex, sizeof(hex), "%%%02X", (unsigned)(unsigned char)*c);
            adds(t, hex);
        }
    }
    free(plain);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Each "name=value" recoded, with a byte between them that sorts before all others. */
static void add_query(struct text *t, const char *query)
{
    char *pairs[64];
    size_t n = 0;
    while (*query != '\0' && n < 64) {
        size_t len = strcspn(query, "&");
        const char *eq = memchr(query, '=', len);
        size_t name = eq != NULL ? (size_t)(eq - query) : len;
        static struct text one;
        one.n = 0;
        add_recoded(&one, query, name, false);
        adds(&one, "\x01");
        if (eq != NULL)
            add_recoded(&one, eq + 1, len - name - 1, false);
        pairs[n] = strdup(one.p);
        if (pairs[n++] == NULL)
            abort();
        query += len + (query[len] == '&');
    }
    qsort(pairs, n, sizeof(*pairs), by_text);
    for (size_t i = 0; i < n; i++) {
        *strchr(pairs[i], '\x01') = '=';
        adds(t, i > 0 ? "&" : "");
        adds(t, pairs[i]);
        free(pairs[i]);
    }
}

static void to_hex(const uint8_t *p, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", (unsigned)p[i]);
}

static void sha256_hex(const void *p, size_t n, char out[65])
{
    uint8_t md[32];
    if (EVP_Digest(p, n, md, NULL, EVP_sha256(), NULL) != 1)
        abort();
    to_hex(md, sizeof(md), out);
}

static void hmac(const void *key, size_t n, const char *text, uint8_t out[32])
{
    uint8_t md[32];
    if (HMAC(EVP_sha256(), key, (int)n, (const uint8_t *)text, strlen(text), md, NULL) == NULL)
        abort();
    memcpy(out, md, 32);
}

/* The value of "name=" in an Authorization header. */
static bool field(const char *authorization, const char *name, char *out, size_t size)
{
    const char *at = strstr(authorization, name);
    if (at == NULL)
        return false;
    at += strlen(name);
    size_t n = strcspn(at, ", ");
    if (n >= size)
        return false;
    memcpy(out, at, n);
    out[n] = '\0';
    return true;
}

static bool is_signed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; *p != '\0';) {
        size_t len = strcspn(p, ";");
        if (len == n && strncasecmp(p, name, n) == 0)
            return true;
        p += len + (p[len] == ';');
    }
    return false;
}

/* The canonical header block; false when a signed header was not sent or names are not sorted. */
static bool add_headers(struct text *t, const struct httpd_request *r, const char *list)
{
    char name[256], last[256] = "";
    for (const char *p = list; *p != '\0';) {
        size_t len = strcspn(p, ";");
        if (len == 0 || len >= sizeof(name))
            return false;
        memcpy(name, p, len);
        name[len] = '\0';
        if (strcmp(last, name) >= 0 || httpd_header(r, name) == NULL)
            return false;
        memcpy(last, name, len + 1);
        adds(t, name);
        adds(t, ":");
        bool first = true;
        for (size_t i = 0; i < r->n_headers; i++) {
            if (strcasecmp(r->names[i], name) != 0)
                continue;
            adds(t, first ? "" : ",");
            first = false;
            for (const char *v = r->values[i]; *v != '\0'; v++)
                if (*v != ' ' || (v[1] != ' ' && v[1] != '\0'))
                    add(t, v, 1);
        }
        adds(t, "\n");
        p += len + (p[len] == ';');
    }
    return true;
}

static time_t parse_date(const char *z)
{
    struct tm tm = {.tm_isdst = 0};
    if (strlen(z) != 16 || z[8] != 'T' || z[15] != 'Z')
        return 0;
    int v[14];
    static const int at[14] = {0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14};
    for (int i = 0; i < 14; i++) {
        v[i] = z[at[i]] - '0';
        if (v[i] < 0 || v[i] > 9)
            return 0;
    }
    tm.tm_year = v[0] * 1000 + v[1] * 100 + v[2] * 10 + v[3] - 1900;
    tm.tm_mon = v[4] * 10 + v[5] - 1;
    tm.tm_mday = v[6] * 10 + v[7];
    tm.tm_hour = v[8] * 10 + v[9];
    tm.tm_min = v[10] * 10 + v[11];
    tm.tm_sec = v[12] * 10 + v[13];
    /* Days since 1970 by the civil calendar; timegm is not POSIX. */
    long y = tm.tm_year + 1900, m = tm.tm_mon + 1;
    y -= m <= 2;
    long era = y / 400, yoe = y - era * 400;
    long doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + tm.tm_mday - 1;
    long days = era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
    return (time_t)(days * 86400 + tm.tm_hour * 3600L + tm.tm_min * 60L + tm.tm_sec);
}

static const char *check_headers(const struct httpd_request *r, const char *list)
{
    for (size_t i = 0; i < r->n_headers; i++) {
        const char *name = r->names[i];
        bool must = strncasecmp(name, "x-amz-", 6) == 0 || strcasecmp(name, "host") == 0 ||
                    strcasecmp(name, "content-md5") == 0;
        if (must && !is_signed(list, name))
            return "AccessDenied";
    }
    return NULL;
}

static const char *check_payload(const struct httpd_request *r)
{
    char hash[65];
    const char *said = httpd_header(r, "x-amz-content-sha256");
    if (said == NULL)
        return "MissingSecurityHeader";
    sha256_hex(r->body != NULL ? r->body : (const uint8_t *)"", r->n_body, hash);
    if (strcmp(said, "UNSIGNED-PAYLOAD") != 0 && strcmp(said, hash) != 0)
        return "XAmzContentSHA256Mismatch";
    const char *md5 = httpd_header(r, "content-md5");
    if (md5 != NULL) {
        uint8_t md[16];
        char text[32];
        if (EVP_Digest(r->body, r->n_body, md, NULL, EVP_md5(), NULL) != 1)
            abort();
        EVP_EncodeBlock((unsigned char *)text, md, 16);
        if (strcmp(text, md5) != 0)
            return "BadDigest";
    }
    return NULL;
}

const char *s3d_verify(
    const struct httpd_request *r, const struct s3d_opts *o, char *ret_text, size_t text_size)
{
    static struct text request, to_sign; /* the server handles one request at a time */
    char credential[256], list[2048], signature[128], hash[65], scope[200], want[65];
    const char *authorization = httpd_header(r, "Authorization");
    const char *region = o->region != NULL ? o->region : "us-east-1";
    const char *date = httpd_header(r, "x-amz-date");
    ret_text[0] = '\0';
    if (authorization == NULL || date == NULL ||
        strncmp(authorization, "AWS4-HMAC-SHA256 ", 17) != 0 ||
        !field(authorization, "Credential=", credential, sizeof(credential)) ||
        !field(authorization, "SignedHeaders=", list, sizeof(list)) ||
        !field(authorization, "Signature=", signature, sizeof(signature)))
        return "AccessDenied";
    size_t access = strcspn(credential, "/");
    if (access != strlen(S3D_ACCESS) || memcmp(credential, S3D_ACCESS, access) != 0)
        return "InvalidAccessKeyId";
    (void)snprintf(scope, sizeof(scope), "%.8s/%s/s3/aws4_request", date, region);
    if (strcmp(credential + access + 1, scope) != 0)
        return "AuthorizationHeaderMalformed";
    long skew = (long)(time(NULL) + o->clock_ahead_s - parse_date(date));
    if (skew > 900 || skew < -900)
        return "RequestTimeTooSkewed";
    const char *token = httpd_header(r, "x-amz-security-token");
    if (o->token != NULL && (token == NULL || strcmp(token, o->token) != 0))
        return "InvalidToken";
    const char *bad = check_headers(r, list);
    if (bad != NULL)
        return bad;

    request.n = 0;
    adds(&request, r->method);
    adds(&request, "\n");
    size_t path = strcspn(r->target, "?");
    add_recoded(&request, r->target, path, true);
    adds(&request, "\n");
    add_query(&request, r->target + path + (r->target[path] == '?'));
    adds(&request, "\n");
    if (!add_headers(&request, r, list))
        return "AccessDenied";
    adds(&request, "\n");
    adds(&request, list);
    adds(&request, "\n");
    const char *payload = httpd_header(r, "x-amz-content-sha256");
    adds(&request, payload != NULL ? payload : "");
    sha256_hex(request.p, request.n, hash);

    to_sign.n = 0;
    adds(&to_sign, "AWS4-HMAC-SHA256\n");
    adds(&to_sign, date);
    adds(&to_sign, "\n");
    adds(&to_sign, scope);
    adds(&to_sign, "\n");
    adds(&to_sign, hash);

    char first[128], day[9];
    uint8_t k[32];
    int n = snprintf(first, sizeof(first), "AWS4%s", o->secret != NULL ? o->secret : S3D_SECRET);
    (void)snprintf(day, sizeof(day), "%.8s", date);
    hmac(first, (size_t)n, day, k);
    hmac(k, 32, region, k);
    hmac(k, 32, "s3", k);
    hmac(k, 32, "aws4_request", k);
    hmac(k, 32, to_sign.p, k);
    to_hex(k, 32, want);
    if (strcmp(want, signature) != 0) {
        (void)snprintf(ret_text, text_size, "%s", request.p);
        return "SignatureDoesNotMatch";
    }
    return check_payload(r);
}
