/*
 * heartbeat.c - see heartbeat.h.
 *
 * libcurl is used as it is: net/http.h signs and follows nothing, and is below the library that the
 * program is built on. The path of such a URL is its secret, so that the log has the host alone.
 */
#include "daemon/heartbeat.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/curl.h"
#include "base/mem.h"
#include "base/sync.h"

#include <stdlib.h>
#include <weir.h>

#define CHECK_MS      15000
#define TIMEOUT_MS    30000
#define REDIRECTS_MAX 10L
#define BODY_MAX      65536u /* of an answer that nobody reads; what comes then is not waited for */

struct wr_heartbeat {
    struct wr_heartbeat_opts o;
    char *url, *shown;
    CURLM *multi; /* of the thread, but for wakeups */
    struct wr_thread thread;

    struct wr_mutex mutex;
    struct wr_cond cond;
    bool stopping; /* guarded */
};

/* Scheme and host, and that there is more. */
static char *shown_url(const char *url)
{
    struct wr_arena a;
    struct wr_str safe;
    char *host, *r;
    size_t n;

    wr_arena_init(&a, (size_t)1 << 20);
    safe = wr_arena_str(&a, wr_safe_url(&a, url));
    if (!safe.p)
        safe = WR_STR("?");
    host = strstr(safe.p, "://");
    n = host ? (size_t)(host - safe.p) + 3 : 0;
    n += strcspn(safe.p + n, "/?#");
    r = wr_alloc(n + sizeof("/***"));
    if (r)
        (void)snprintf(
            r, n + sizeof("/***"), "%.*s%s", (int)n, safe.p, n < safe.n && safe.p[n] ? "/***" : "");
    wr_arena_release(&a);
    return r;
}

static bool stopping(struct wr_heartbeat *h)
{
    bool r;

    wr_mutex_lock(&h->mutex);
    r = h->stopping;
    wr_mutex_unlock(&h->mutex);
    return r;
}

static size_t drop(char *p, size_t size, size_t n, void *arg)
{
    size_t *left = arg;

    (void)p;
    if (size * n > *left)
        return 0;
    *left -= size * n;
    return size * n;
}

/* What libcurl said to the first option that it did not take, or OK. */
static CURLcode set_up(struct wr_heartbeat *h, CURL *c, char error[CURL_ERROR_SIZE], size_t *left)
{
    const char *file = getenv("SSL_CERT_FILE"), *dir = getenv("SSL_CERT_DIR");
    CURLcode refused = CURLE_OK;

#define SET(option, value) WR_CURL_TRY(refused, c, option, value)
    SET(CURLOPT_ERRORBUFFER, error);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_URL, h->url);
    SET(CURLOPT_USERAGENT, "weir/" WEIR_VERSION_STRING);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 1L);
    SET(CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    SET(CURLOPT_TIMEOUT_MS, (long)h->o.timeout_ms);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    (void)WR_CURL_SET(c, WR_CURL_QUICK_EXIT, 1L);
    SET(CURLOPT_WRITEFUNCTION, drop);
    SET(CURLOPT_WRITEDATA, left);
    if (file && file[0])
        SET(CURLOPT_CAINFO, file);
    if (dir && dir[0])
        SET(CURLOPT_CAPATH, dir);
#undef SET
    return refused;
}

/* To its end, or ours. False: it was ours. */
static bool transfer(struct wr_heartbeat *h, CURLcode *ret)
{
    int running = 1, left;

    while (running > 0) {
        if (stopping(h))
            return false;
        if (wr_curl()->multi_perform(h->multi, &running) != CURLM_OK) {
            *ret = CURLE_OUT_OF_MEMORY;
            return true;
        }
        /* Woken by who ends it. */
        if (running > 0 && wr_curl()->multi_poll(h->multi, NULL, 0, 1000, NULL) != CURLM_OK) {
            *ret = CURLE_OUT_OF_MEMORY;
            return true;
        }
    }
    for (CURLMsg *m = wr_curl()->multi_info_read(h->multi, &left); m;
         m = wr_curl()->multi_info_read(h->multi, &left))
        if (m->msg == CURLMSG_DONE)
            *ret = m->data.result;
    return true;
}

static void say_failed(struct wr_heartbeat *h, const char *error)
{
    wr_say(h->o.log, WEIR_LOG_ERROR, "heartbeat ping failed", WR_F_Z("url", h->shown),
        WR_F_Z("error", error));
}

static void judge(struct wr_heartbeat *h, CURL *c, CURLcode rc, const char *error)
{
    char text[64];
    long status = 0;

    (void)wr_curl()->easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    if ((rc == CURLE_OK || rc == CURLE_WRITE_ERROR) && status / 100 == 2) {
        wr_say(h->o.log, WEIR_LOG_DEBUG, "heartbeat ping sent", WR_F_Z("url", h->shown));
    } else if (rc == CURLE_OK || rc == CURLE_WRITE_ERROR) {
        (void)snprintf(text, sizeof(text), "the answer was status %ld", status);
        say_failed(h, text);
    } else {
        say_failed(h, error[0] ? error : wr_curl()->easy_strerror(rc));
    }
}

static void ping(struct wr_heartbeat *h)
{
    char error[CURL_ERROR_SIZE] = "";
    CURL *c = wr_curl()->easy_init();
    size_t left = BODY_MAX;
    struct wr_err e = {0};
    CURLcode rc = c ? set_up(h, c, error, &left) : CURLE_OUT_OF_MEMORY;

    if (rc == CURLE_OK && wr_curl()->multi_add_handle(h->multi, c) != CURLM_OK)
        rc = CURLE_OUT_OF_MEMORY;
    if (rc != CURLE_OK) {
        (void)wr_curl_refused(&e, rc, "set it up");
        say_failed(h, e.text);
    } else {
        rc = CURLE_OUT_OF_MEMORY;
        if (transfer(h, &rc))
            judge(h, c, rc, error);
        (void)wr_curl()->multi_remove_handle(h->multi, c); /* it was added, so it is there */
    }
    wr_curl()->easy_cleanup(c);
}

static void run(void *arg)
{
    struct wr_heartbeat *h = arg;

    while (!stopping(h)) {
        int64_t wait_ms = h->o.check_ms, until_ns;

        if (h->o.well(h->o.arg)) {
            wait_ms = h->o.interval_ms;
            until_ns = wr_mono_ns(wr_clock_system()) + wait_ms * 1000000;
            ping(h);
        } else {
            until_ns = wr_mono_ns(wr_clock_system()) + wait_ms * 1000000;
        }
        wr_mutex_lock(&h->mutex);
        while (!h->stopping && wr_cond_wait_until(&h->cond, &h->mutex, until_ns))
            ;
        wr_mutex_unlock(&h->mutex);
    }
}

static void destroy(struct wr_heartbeat *h)
{
    if (h->multi)
        (void)wr_curl()->multi_cleanup(h->multi);
    wr_cond_release(&h->cond);
    wr_mutex_release(&h->mutex);
    wr_free(h->url);
    wr_free(h->shown);
    wr_free(h);
}

enum wr_status wr_heartbeat_new(
    const struct wr_heartbeat_opts *o, struct wr_heartbeat **ret, struct wr_err *e)
{
    struct wr_heartbeat *h;
    enum wr_status st;

    st = wr_curl_load(e);
    if (st != WR_OK)
        return wr_wrap(e, st, "begin the heartbeat");
    h = wr_alloc(sizeof(*h));
    if (!h)
        return wr_fail(e, WR_NOMEM, "begin the heartbeat");
    h->o = *o;
    if (h->o.check_ms == 0)
        h->o.check_ms = CHECK_MS;
    if (h->o.timeout_ms == 0)
        h->o.timeout_ms = TIMEOUT_MS;
    wr_mutex_init(&h->mutex);
    wr_cond_init(&h->cond);
    h->url = wr_strndup(o->url, strlen(o->url));
    h->shown = shown_url(o->url);
    h->multi = wr_curl()->multi_init();
    if (!h->url || !h->shown || !h->multi)
        st = wr_fail(e, WR_NOMEM, "begin the heartbeat");
    if (st == WR_OK) {
        wr_say(o->log, WEIR_LOG_INFO, "starting heartbeat monitor", WR_F_Z("url", h->shown),
            WR_F_MS("interval", o->interval_ms));
        st = wr_thread_start(&h->thread, "heartbeat", 0, run, h, e);
    }
    if (st != WR_OK) {
        destroy(h);
        return st;
    }
    *ret = h;
    return WR_OK;
}

void wr_heartbeat_free(struct wr_heartbeat *h)
{
    if (!h)
        return;
    wr_mutex_lock(&h->mutex);
    h->stopping = true;
    wr_cond_broadcast(&h->cond);
    wr_mutex_unlock(&h->mutex);
    (void)wr_curl()->multi_wakeup(h->multi);
    wr_thread_join(&h->thread);
    destroy(h);
}
