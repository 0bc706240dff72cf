/*
 * http_share.c - a list of clients, which has one or two: most hosts trust everything the same way.
 */
#include "net/http_share.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/sync.h"

struct shared {
    struct wr_http_opts opts; /* frozen; ca_file is that below */
    char *ca_file;            /* frozen; owned, "" where there is none */
    struct wr_http *http;
    struct shared *next;
};

struct wr_http_share {
    struct wr_mutex mutex;
    struct shared *first; /* guarded by mutex */
};

static struct wr_str file_of(const struct wr_http_opts *o)
{
    return wr_str(o->ca_file ? o->ca_file : "");
}

static bool same(const struct wr_http_opts *a, const struct wr_http_opts *b)
{
    return a->skip_verify == b->skip_verify && a->direct == b->direct &&
           a->connect_ms == b->connect_ms && a->stall_ms == b->stall_ms &&
           a->idle_max == b->idle_max && wr_str_eq(file_of(a), file_of(b));
}

static void shared_free(struct shared *s)
{
    wr_http_free(s->http);
    wr_free(s->ca_file);
    wr_free(s);
}

static enum wr_status shared_new(
    const struct wr_http_opts *o, struct shared **ret, struct wr_err *e)
{
    struct shared *s = wr_alloc(sizeof(*s));
    enum wr_status st = WR_OK;

    if (!s)
        return wr_fail(e, WR_NOMEM, "out of memory");
    s->ca_file = wr_strndup(file_of(o).p, file_of(o).n);
    s->opts = *o;
    s->opts.ca_file = s->ca_file;
    st = s->ca_file ? wr_http_new(o, &s->http, e) : wr_fail(e, WR_NOMEM, "out of memory");
    if (st != WR_OK) {
        shared_free(s);
        return st;
    }
    *ret = s;
    return WR_OK;
}

struct wr_http_share *wr_http_share_new(void)
{
    struct wr_http_share *x = wr_alloc(sizeof(*x));

    if (x)
        wr_mutex_init(&x->mutex);
    return x;
}

void wr_http_share_free(struct wr_http_share *x)
{
    struct shared *s;

    if (!x)
        return;
    while ((s = x->first) != NULL) {
        x->first = s->next;
        shared_free(s);
    }
    wr_mutex_release(&x->mutex);
    wr_free(x);
}

enum wr_status wr_http_share_get(
    struct wr_http_share *x, const struct wr_http_opts *o, struct wr_http **ret, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    struct shared *s;

    wr_mutex_lock(&x->mutex);
    for (s = x->first; s && !same(&s->opts, o); s = s->next)
        ;
    if (!s) {
        st = shared_new(o, &s, e);
        if (st == WR_OK) {
            s->next = x->first;
            x->first = s;
        }
    }
    wr_mutex_unlock(&x->mutex);
    if (st == WR_OK)
        *ret = s->http;
    return st;
}
