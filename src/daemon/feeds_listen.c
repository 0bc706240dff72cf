/*
 * feeds_listen.c - where followers are served, and how that becomes another place.
 */
#include "base/clock.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "daemon/feeds_int.h"
#include "daemon/listen.h"

#define SPARE    16    /* connections beyond those of followers: of those who ask for the replica */
#define REPLY_MS 20000 /* an answer has so long to be read */

struct wr_feeds *wr_feeds_new(struct wr_fleet *fleet, struct wr_logger *log)
{
    struct wr_feeds *f = wr_alloc(sizeof(*f));

    if (!f)
        return NULL;
    f->fleet = fleet;
    f->log = log;
    wr_mutex_init(&f->mutex);
    return f;
}

static enum wr_status copy(const char *from, char **ret, struct wr_err *e)
{
    *ret = from ? wr_strndup(from, strlen(from)) : NULL;
    return *ret || !from ? WR_OK : wr_fail(e, WR_NOMEM, "serve followers");
}

static void free_listening(struct wr_listening *l)
{
    if (l->token)
        wr_wipe(l->token, strlen(l->token));
    wr_certificate_release(&l->tls);
    wr_free(l->token);
    wr_free(l->addr);
    wr_free(l->followers);
    wr_free(l);
}

/* `tls` is its own from there on, also after a failure. It is kept, for when this one has made way
 * for another one that cannot begin. */
static struct wr_listening *new_listening(struct wr_feeds *f, const struct wr_config_serve *c,
    struct wr_certificate *tls, struct wr_err *e)
{
    struct wr_listening *l = wr_alloc(sizeof(*l));
    enum wr_status st;

    if (!l) {
        wr_certificate_release(tls);
        (void)wr_fail(e, WR_NOMEM, "serve followers");
        return NULL;
    }
    l->feeds = f;
    l->tls = *tls;
    l->max = c->max_followers;
    wr_list_init(&l->waiting);
    st = copy(c->addr, &l->addr, e);
    if (st == WR_OK)
        st = copy(c->token, &l->token, e);
    l->followers = wr_array(c->max_followers, sizeof(*l->followers));
    if (st == WR_OK && l->followers)
        return l;
    if (st == WR_OK)
        (void)wr_fail(e, WR_NOMEM, "serve followers");
    free_listening(l);
    return NULL;
}

static enum wr_status begin(struct wr_listening *l, struct wr_err *e)
{
    struct wr_httpd_opts o = {.fn = wr_feeds_answer,
        .arg = l,
        .chain = l->tls.chain,
        .key = l->tls.key,
        .parallel = true,
        .reply_ms = REPLY_MS,
        .connections_max = l->max + SPARE};
    enum wr_status st = wr_listen_tcp(l->addr, &o.fd, e);

    return st == WR_OK ? wr_httpd_new(&o, &l->httpd, e) : st;
}

/* Nobody is answered any more, and nobody waits. */
static void end(struct wr_listening *l)
{
    struct wr_mutex *mutex = &l->feeds->mutex;

    wr_mutex_lock(mutex);
    l->ending = true;
    for (struct wr_link *x = wr_list_first(&l->waiting); x; x = wr_list_next(&l->waiting, x))
        weir_cancel_now(wr_container_of(x, struct wr_feed_wait, link)->cancel);
    wr_mutex_unlock(mutex);
    wr_httpd_free(l->httpd);
    l->httpd = NULL;
    l->ending = false; /* of no thread but ours by now */
}

/* `l` becomes what listens; NULL: nothing. The one before is freed, and has ended. */
static void set(struct wr_feeds *f, struct wr_listening *l)
{
    struct wr_listening *was;

    wr_mutex_lock(&f->mutex);
    was = f->at;
    f->at = l;
    wr_mutex_unlock(&f->mutex);
    if (was)
        free_listening(was);
}

void wr_feeds_free(struct wr_feeds *f)
{
    if (!f)
        return;
    if (f->at)
        end(f->at);
    set(f, NULL);
    wr_mutex_release(&f->mutex);
    wr_free(f);
}

static bool is_as(
    const struct wr_listening *l, const struct wr_config_serve *c, const struct wr_certificate *tls)
{
    return l ? wr_str_eq(wr_str(l->addr), wr_str(c->addr)) &&
                   wr_str_eq(wr_str(l->token), wr_str(c->token)) && /* none is the empty one */
                   memcmp(l->tls.digest, tls->digest, sizeof(tls->digest)) == 0 &&
                   l->max == c->max_followers
             : !c->addr;
}

static struct wr_str port_of(const char *addr)
{
    struct wr_str host, port;

    return wr_str_cut_last(wr_str(addr), ':', &host, &port) ? port : host;
}

/* Whether one address may be in the way of the other. */
static bool same_port(const char *a, const char *b)
{
    return wr_str_eq(port_of(a), port_of(b));
}

/* `l` instead of f->at, which stays if that fails: where it has to make way it begins again. */
static enum wr_status change(struct wr_feeds *f, struct wr_listening *l, struct wr_err *e)
{
    bool way = f->at && same_port(f->at->addr, l->addr);
    struct wr_err why = {0};
    enum wr_status st;

    if (way)
        end(f->at);
    st = begin(l, e);
    if (st == WR_OK) {
        if (f->at && !way)
            end(f->at);
        set(f, l);
        return WR_OK;
    }
    free_listening(l);
    if (way && begin(f->at, &why) != WR_OK) {
        st = wr_wrap(e, st, "%s, as before, cannot be listened on any more either", f->at->addr);
        set(f, NULL);
    }
    return st;
}

static enum wr_status read_tls(
    const struct wr_config_serve *c, struct wr_certificate *ret, struct wr_err *e)
{
    enum wr_status st;

    if (!c->cert_file)
        return WR_OK;
    st = wr_certificate_read(c->cert_file, c->key_file, ret, e);
    return st == WR_OK ? st : wr_wrap(e, st, "serve.cert-file and serve.key-file");
}

/* What does not keep it from being served with. */
static void tell_tls(
    struct wr_feeds *f, const struct wr_config_serve *c, const struct wr_certificate *tls)
{
    if (tls->exposed)
        wr_say(f->log, WEIR_LOG_WARN,
            "all users of this machine can read the private key that followers are served with: "
            "chmod o-r",
            WR_F_Z("path", c->key_file));
    if (tls->key && tls->left_s < 0)
        wr_say(f->log, WEIR_LOG_WARN,
            "the certificate that followers are served with has expired: they will refuse it",
            WR_F_Z("path", c->cert_file));
}

enum wr_status wr_feeds_serve(struct wr_feeds *f, const struct wr_config_serve *c, struct wr_err *e)
{
    struct wr_certificate tls = {0};
    struct wr_listening *l;
    enum wr_status st = read_tls(c, &tls, e);

    if (st != WR_OK)
        return st;
    if (is_as(f->at, c, &tls)) {
        wr_certificate_release(&tls);
        return WR_OK;
    }
    if (!c->addr) {
        end(f->at);
        set(f, NULL);
        return WR_OK;
    }
    tell_tls(f, c, &tls);
    l = new_listening(f, c, &tls, e);
    if (!l)
        return WR_NOMEM;
    st = change(f, l, e);
    if (st == WR_OK)
        wr_say(f->log, WEIR_LOG_INFO, "serving followers", WR_F_Z("addr", c->addr),
            WR_F_Z("tls", c->cert_file ? "yes" : "no"));
    return st;
}

void wr_feeds_look(struct wr_feeds *f, struct wr_feeds_totals *ret)
{
    int64_t now = wr_mono_ms(wr_clock_system());

    wr_mutex_lock(&f->mutex);
    *ret = f->totals;
    ret->followers = 0;
    for (uint32_t i = 0; f->at && i < f->at->max; i++) {
        const struct wr_follower *x = &f->at->followers[i];

        ret->followers += x->id != 0 && now - x->seen_ms <= WR_FOLLOWER_LEASE_MS;
    }
    wr_mutex_unlock(&f->mutex);
}
