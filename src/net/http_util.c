/*
 * http_util.c - the parts of a request that are plain decisions: what a failure means, when a date
 * is.
 */
#include "net/http.h"

#include "net/http_int.h"

#include "base/url.h"

static bool is_set(const char *z)
{
    return z != NULL && z[0] != '\0';
}

/* libcurl reports a connection that broke during the TLS handshake as a TLS failure. */
static bool broke(const char *detail)
{
    return strstr(detail, "SSL_ERROR_SYSCALL") != NULL || strstr(detail, "reset by peer") != NULL ||
           strstr(detail, "unexpected eof") != NULL;
}

static enum wr_status fail_tls(
    struct wr_err *e, CURLcode code, const char *origin, const char *detail)
{
    if (code == CURLE_SSL_CONNECT_ERROR && broke(detail))
        return wr_fail(e, WR_BUSY, "%s: the connection broke: %s", origin, detail);
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return wr_fail(e, WR_IO,
            "%s: TLS: the server's certificate is not trusted; if it is right, give the "
            "certificate "
            "of its issuer as ca-file or in SSL_CERT_FILE: %s",
            origin, detail);
    return wr_fail(e, WR_IO,
        "%s: TLS: the handshake failed; check that this port speaks https, version 1.2 or later: "
        "%s",
        origin, detail);
}

enum wr_status wr_http_fail(struct wr_err *e, CURLcode code, const char *origin, const char *detail)
{
    if (!is_set(detail))
        detail = wr_curl()->easy_strerror(code);
    switch ((int)code) {
    case CURLE_OUT_OF_MEMORY:
        return wr_fail(e, WR_NOMEM, "%s: out of memory", origin);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return wr_fail(e, WR_BUSY, "%s: no address: %s", origin, detail);
    case CURLE_COULDNT_CONNECT:
        return wr_fail(e, WR_BUSY, "%s: cannot connect: %s", origin, detail);
    case CURLE_OPERATION_TIMEDOUT:
        return wr_fail(e, WR_TIMEOUT, "%s: timed out: %s", origin, detail);
    case CURLE_GOT_NOTHING:
        if (wr_str_starts(wr_str(origin), WR_STR("http://")))
            return wr_fail(e, WR_BUSY,
                "%s: the connection broke, as with a port that speaks https: %s", origin, detail);
        return wr_fail(e, WR_BUSY, "%s: the connection broke: %s", origin, detail);
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_UPLOAD_FAILED:
        return wr_fail(e, WR_BUSY, "%s: the connection broke: %s", origin, detail);
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
        return fail_tls(e, code, origin, detail);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return wr_fail(e, WR_MISUSE, "%s: not a usable http or https address", origin);
    default:
        return wr_fail(e, WR_IO, "%s: %s", origin, detail);
    }
}

bool wr_http_date(struct wr_str s, int64_t *ret_ms)
{
    char z[64];
    if (s.n == 0 || s.n >= sizeof(z))
        return false;
    memcpy(z, s.p, s.n);
    z[s.n] = '\0';
    if (wr_curl_load(NULL) != WR_OK)
        return false;
    time_t t = wr_curl()->getdate(z, NULL);
    if (t == (time_t)-1)
        return false;
    *ret_ms = (int64_t)t * 1000;
    return true;
}

bool wr_http_is_here(struct wr_str origin)
{
    static const char below[] = ".localhost";
    struct wr_str scheme, host;

    (void)wr_str_cut(origin, ':', &scheme, &host);
    host = wr_url_host(wr_str_skip(host, wr_min(host.n, (size_t)2))); /* the slashes */
    if (wr_url_host_is_here(host))
        return true;
    /* libcurl asks nobody for such a name, either. */
    return host.n >= sizeof(below) &&
           wr_str_eq_nocase(wr_str_skip(host, host.n - (sizeof(below) - 1)), wr_str(below));
}
