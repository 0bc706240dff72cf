/*
 * door.c - see door.h.
 */
#include "daemon/door.h"

#include "base/mem.h"
#include "daemon/exposition.h"
#include "daemon/httpd.h"
#include "daemon/listen.h"

#include <weir.h>

struct wr_door {
    struct wr_httpd *httpd;
    struct wr_door_pages pages;
};

static void answer(void *arg, const struct wr_httpd_request *q, struct wr_httpd_reply *r)
{
    const struct wr_door_pages *pages = &((struct wr_door *)arg)->pages;
    struct wr_str path = wr_str(q->path), method = wr_str(q->method);

    r->type = "text/plain; charset=utf-8";
    if (!wr_str_eq(method, WR_STR("GET")) && !wr_str_eq(method, WR_STR("HEAD"))) {
        r->status = 405;
        r->allow = "GET, HEAD";
        wr_buf_z(&r->body, "Method Not Allowed\n");
    } else if (wr_str_eq(path, WR_STR("/metrics"))) {
        r->type = WR_METRICS_TYPE;
        r->status = (unsigned)pages->metrics(pages->arg, &r->body);
    } else if (wr_str_eq(path, WR_STR("/healthz"))) {
        r->status = (unsigned)pages->healthz(pages->arg, &r->body);
    } else if (wr_str_eq(path, WR_STR("/readyz"))) {
        r->status = (unsigned)pages->readyz(pages->arg, &r->body);
    } else {
        r->status = 404;
        wr_buf_z(&r->body, "404 page not found: there are /metrics, /healthz and /readyz\n");
    }
}

enum wr_status wr_door_new(const char *addr, const struct wr_door_pages *pages,
    struct wr_logger *log, struct wr_door **ret, struct wr_err *e)
{
    struct wr_door *d = wr_alloc(sizeof(*d));
    enum wr_status st;
    char url[320];
    int fd = -1;

    if (!d)
        return wr_fail(e, WR_NOMEM, "listen on %s", addr);
    d->pages = *pages;
    st = wr_listen_tcp(addr, &fd, e);
    if (st == WR_OK)
        st = wr_httpd_new(&(struct wr_httpd_opts){.fd = fd, .fn = answer, .arg = d}, &d->httpd, e);
    if (st != WR_OK) {
        wr_free(d);
        return st;
    }
    (void)snprintf(
        url, sizeof(url), "http://%s%s/metrics", addr[0] == ':' ? "localhost" : "", addr);
    wr_say(log, WEIR_LOG_INFO, "serving metrics on", WR_F_Z("url", url));
    *ret = d;
    return WR_OK;
}

void wr_door_free(struct wr_door *d)
{
    if (!d)
        return;
    wr_httpd_free(d->httpd);
    wr_free(d);
}
