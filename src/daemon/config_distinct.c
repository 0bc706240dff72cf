/*
 * config_distinct.c - two entries that would write to the same files, before they do.
 *
 * Two histories in one replica destroy each other, and two entries for one database fight over its
 * checkpoint lock. The original accepts both.
 *
 * A place is written "scheme:account@endpoint/host:port/path": URL and settings taken together, so
 * that s3://b/a with and without a region, or file:///x//y and path: /x/y, are one; and so are
 * s3://b.s3.eu-west-1.amazonaws.com/a and the former, for hosts of S3 services that have the bucket
 * in them (src/storage/s3_profile.c).
 */
#include "base/url.h"
#include "daemon/config_int.h"

static struct wr_str setting(const struct wr_config_replica *r, const char *key)
{
    const char *value = wr_config_setting(r->settings, key);

    return wr_str(value ? value : "");
}

/* Without its scheme and the slashes behind it, as either may be given or left out. */
static struct wr_str bare(struct wr_str endpoint)
{
    const char *colon = endpoint.n ? memchr(endpoint.p, ':', endpoint.n) : NULL;

    if (colon && wr_url_is(endpoint))
        endpoint = wr_str_skip(endpoint, (size_t)(colon - endpoint.p) + 3);
    while (endpoint.n && endpoint.p[endpoint.n - 1] == '/')
        endpoint.n--;
    return endpoint;
}

/* S3 services of which a URL may have the host, with the bucket in front: how many labels before
 * the suffix are not the bucket's. */
static const struct {
    const char *suffix;
    unsigned labels;
} services[] = {
    {".digitaloceanspaces.com", 1},
    {".backblazeb2.com", 2},
    {".s3.filebase.com", 0},
    {".scw.cloud", 2},
};

/* What precedes the last label of `s`; empty: there is but one. */
static struct wr_str without_label(struct wr_str s)
{
    struct wr_str front = {0}, label;

    return wr_str_cut_last(s, '.', &front, &label) ? front : (struct wr_str){0};
}

/* Whether the host is Amazon's, but for China's, where other buckets have the same names; *ret: its
 * bucket, empty where there is none in it. */
static bool is_amazons(struct wr_str host, struct wr_str *ret)
{
    struct wr_str front;

    if (!wr_str_ends(host, WR_STR(".amazonaws.com")))
        return false;
    host.n -= strlen(".amazonaws.com");
    front = without_label(host);
    if (!wr_str_ends(host, WR_STR(".s3")) && !wr_str_eq(host, WR_STR("s3"))) { /* a region */
        if (!wr_str_ends(front, WR_STR(".s3")) && !wr_str_eq(front, WR_STR("s3")))
            return false;
        front = without_label(front);
    }
    *ret = front;
    return true;
}

/* Take the bucket out of the host of an S3 URL, and leave the rest as its endpoint; Amazon's, of
 * which buckets have names of their own everywhere, has none. No text: out of memory. */
static void split_host(struct wr_arena *a, struct wr_url *u, struct wr_str *endpoint)
{
    struct wr_str host = u->host, bucket = {0}, front;

    if (u->port.n > 0) {
        if (wr_str_cut(host, '.', &bucket, &front) && front.n > 0) {
            *endpoint = wr_arena_fmt(a, WR_FMT ":" WR_FMT, WR_ARG(front), WR_ARG(u->port));
            u->host = bucket;
            u->port = (struct wr_str){0};
        }
        return;
    }
    if (is_amazons(host, &bucket)) {
        u->host = bucket.n > 0 ? bucket : host;
        return;
    }
    for (size_t i = 0; i < wr_countof(services); i++) {
        if (!wr_str_ends(host, wr_str(services[i].suffix)))
            continue;
        front = host;
        front.n -= strlen(services[i].suffix);
        for (unsigned n = services[i].labels; n > 0; n--)
            front = without_label(front);
        if (front.n == 0)
            return;
        *endpoint = wr_str_skip(host, front.n + 1);
        u->host = front;
    }
}

enum wr_status wr_config_place(
    struct wr_arena *a, const struct wr_config_replica *r, struct wr_str *ret, struct wr_err *e)
{
    struct wr_str endpoint = setting(r, "endpoint"), account = setting(r, "account-name");
    struct wr_str query, key, value, path;
    struct wr_url u;
    enum wr_status st = wr_url_parse(a, wr_str(r->url), &u, e);

    if (st != WR_OK)
        return st;
    query = u.query;
    while (wr_url_query_next(a, &query, &key, &value))
        if (wr_str_eq(key, WR_STR("endpoint")))
            endpoint = value;
    endpoint = endpoint.n > 0 ? bare(endpoint) : WR_STR("");
    if (wr_str_eq(u.scheme, WR_STR("s3")) && endpoint.n == 0)
        split_host(a, &u, &endpoint);
    else if (wr_str_eq(u.scheme, WR_STR("s3")) && is_amazons(endpoint, &key) && key.n == 0)
        endpoint = WR_STR("");
    if (wr_str_eq(u.scheme, WR_STR("abs")) && u.user.n)
        account = u.user;
    path = wr_arena_fmt(a, WR_FMT "/" WR_FMT, WR_ARG(u.host), WR_ARG(u.path));
    if (path.p)
        path = wr_path_clean(a, path);
    while (path.n && path.p[0] == '/')
        path = wr_str_skip(path, 1);
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    if (path.p && !wr_str_eq(u.scheme, WR_STR("file")))
        path = wr_url_decode(a, path); /* an escaped slash is part of the keys */
    if (!path.p || query.n || !endpoint.p)
        return wr_fail(e, WR_NOMEM, "out of memory");
    *ret = wr_arena_fmt(a, WR_FMT ":" WR_FMT "@" WR_FMT ":" WR_FMT "/" WR_FMT, WR_ARG(u.scheme),
        WR_ARG(account), WR_ARG(endpoint), WR_ARG(u.port), WR_ARG(path));
    return ret->p ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory");
}

/* One replica of an entry. */
struct place {
    struct wr_str id;
    const struct wr_config_replica *replica;
    const char *path; /* of the database or directory */
    const yaml_node_t *node;
    bool is_dir;
    size_t order; /* in the file: the first one is not to blame */
};

/* Bytewise, but '/' before all else: what is inside of a directory follows it. */
static int compare_ids(struct wr_str a, struct wr_str b)
{
    size_t n = wr_min(a.n, b.n), i = 0;

    while (i < n && a.p[i] == b.p[i])
        i++;
    if (i == n)
        return (a.n > b.n) - (a.n < b.n);
    if (a.p[i] == '/' || b.p[i] == '/')
        return a.p[i] == '/' ? -1 : 1;
    return (unsigned char)a.p[i] < (unsigned char)b.p[i] ? -1 : 1;
}

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int c = compare_ids(x->id, y->id);

    return c ? c : (x->order > y->order) - (x->order < y->order);
}

static bool is_inside(struct wr_str inner, struct wr_str outer)
{
    return wr_str_starts(inner, outer) && (inner.n == outer.n || inner.p[outer.n] == '/');
}

static enum wr_status add_places(struct wr_arena *a, const struct wr_config_db *db,
    const char *path, const yaml_node_t *node, bool is_dir, struct place *list, size_t *n,
    struct wr_err *e)
{
    for (size_t i = 0; i < db->nreplicas; i++) {
        struct place *p = &list[*n];
        enum wr_status st;

        *p = (struct place){
            .replica = &db->replicas[i], .path = path, .node = node, .is_dir = is_dir, .order = *n};
        st = wr_config_place(a, p->replica, &p->id, e);
        if (st != WR_OK)
            return st;
        ++*n;
    }
    return WR_OK;
}

/* Both URLs, as they need not look alike; without their secrets. */
static enum wr_status shown(
    struct wr_doc *d, const struct place *p, struct wr_str *ret, struct wr_err *e)
{
    *ret = wr_url_redact(d->arena, wr_str(p->replica->url));
    return ret->p ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory");
}

static enum wr_status compare_neighbours(
    struct wr_doc *d, const struct place *outer, const struct place *p, struct wr_err *e)
{
    bool same = wr_str_eq(outer->id, p->id);
    struct wr_str url, other;
    enum wr_status st = shown(d, p, &url, e);

    if (st == WR_OK)
        st = shown(d, outer, &other, e);
    if (st != WR_OK)
        return st;
    if (same && !outer->is_dir && !p->is_dir && outer->path == p->path)
        return wr_doc_fail(
            d, p->node, e, "%s has the replica " WR_FMT " twice", p->path, WR_ARG(url));
    if (same && !outer->is_dir && !p->is_dir)
        return wr_doc_fail(d, p->node, e,
            "%s and %s have the same replica, " WR_FMT
            ", and would destroy each other's backup: give each a path of its own",
            outer->path, p->path, WR_ARG(url));
    wr_doc_warn(d, p->node,
        "the replica " WR_FMT " of %s lies in " WR_FMT ", that of %s: keep them "
        "apart, so that none takes the other's files for its own",
        WR_ARG(url), p->path, WR_ARG(other), outer->path);
    return WR_OK;
}

static enum wr_status check_replicas(
    struct wr_doc *d, struct wr_arena *a, const struct wr_config_entries *all, struct wr_err *e)
{
    size_t n = 0, max = 0;
    struct place *list, *outer = NULL;
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < all->ndbs; i++)
        max += all->dbs[i].nreplicas;
    for (size_t i = 0; i < all->ndirs; i++)
        max += all->dirs[i].each.nreplicas;
    list = wr_arena_array(a, max, sizeof(*list));
    if (!list)
        return wr_fail(e, WR_NOMEM, "out of memory");
    for (size_t i = 0; st == WR_OK && i < all->ndbs; i++)
        st = add_places(a, &all->dbs[i], all->dbs[i].path, all->db_nodes[i], false, list, &n, e);
    for (size_t i = 0; st == WR_OK && i < all->ndirs; i++)
        st = add_places(
            a, &all->dirs[i].each, all->dirs[i].path, all->dir_nodes[i], true, list, &n, e);
    if (st == WR_OK && n > 1)
        qsort(list, n, sizeof(*list), compare_places);
    for (size_t i = 0; st == WR_OK && i < n; i++) {
        /* Of what lies in a third place, that is told once; but what is equal is always told. */
        if (i > 0 && wr_str_eq(list[i - 1].id, list[i].id))
            st = compare_neighbours(d, &list[i - 1], &list[i], e);
        else if (outer && is_inside(list[i].id, outer->id))
            st = compare_neighbours(d, outer, &list[i], e);
        else
            outer = &list[i];
    }
    return st;
}

struct by_path {
    const char *path;
    const yaml_node_t *node;
    size_t i; /* in the file */
};

static int compare_paths(const void *a, const void *b)
{
    const struct by_path *x = a, *y = b;
    int c = wr_str_cmp(wr_str(x->path), wr_str(y->path));

    return c ? c : (x->i > y->i) - (x->i < y->i);
}

static enum wr_status check_paths(
    struct wr_doc *d, struct wr_arena *a, const struct wr_config_entries *all, struct wr_err *e)
{
    size_t n = all->ndbs + all->ndirs;
    struct by_path *sorted = wr_arena_array(a, n, sizeof(*sorted));

    if (!sorted)
        return wr_fail(e, WR_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        bool is_dir = i >= all->ndbs;
        size_t at = is_dir ? i - all->ndbs : i;

        sorted[i] = (struct by_path){is_dir ? all->dirs[at].path : all->dbs[at].path,
            is_dir ? all->dir_nodes[at] : all->db_nodes[at], i};
    }
    if (n > 1)
        qsort(sorted, n, sizeof(*sorted), compare_paths);
    for (size_t i = 1; i < n; i++)
        if (strcmp(sorted[i - 1].path, sorted[i].path) == 0 && sorted[i].i < all->ndbs)
            return wr_doc_fail(d, sorted[i].node, e,
                "%s is listed twice: put both replicas under one 'replicas'", sorted[i].path);
    return WR_OK;
}

enum wr_status wr_config_distinct(
    struct wr_doc *d, const struct wr_config_entries *all, struct wr_err *e)
{
    struct wr_arena scratch; /* of as many replicas as there may be */
    enum wr_status st;

    wr_arena_init(&scratch, WR_ARENA_MAX);
    st = check_paths(d, &scratch, all, e);
    if (st == WR_OK)
        st = check_replicas(d, &scratch, all, e);
    wr_arena_release(&scratch);
    return st;
}
