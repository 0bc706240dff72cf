/*
 * settings.c - checks what a user wrote against a driver's option table, once, at open.
 *
 * Strict on purpose: a misspelt option that is silently ignored becomes a replica in the wrong
 * region or without encryption. Knows no driver and no option by name.
 */
#include "storage/settings.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/nearest.h"
#include "base/url.h"

#define ARENA_MAX  ((size_t)1 << 20) /* bytes; a URL query is never near it */
#define NAME_SHOWN 64                /* bytes of a name or value that a message shows */

/* Each replica of each database has one for each option: so it is small, and a default is not
 * copied. */
struct value {
    char *own; /* the text, on the heap; NULL when unset, or by the table's init */
    union {
        uint64_t u; /* BOOL, U64, SIZE */
        int64_t ns; /* DURATION */
    };
    enum wr_setting_source source;
};

struct wr_settings {
    const struct wr_option *table;
    size_t n;
    struct value *values; /* one for each row of the table */
    struct wr_url url;    /* views of `url_text` */
    char *url_text;
    size_t url_size;
};

static const struct wr_option no_options[] = {{.name = NULL}};

/* The row `key` names, or the number of rows. */
static size_t find(const struct wr_option *table, size_t n, struct wr_str key)
{
    size_t i = 0;

    while (i < n && !wr_url_key_is(key, table[i].name))
        i++;
    return i;
}

/* The option whose name is nearest to `key`, or NULL when none is near. */
static const char *nearest(const struct wr_option *table, size_t n, struct wr_str key)
{
    struct wr_nearest near;

    wr_nearest_init(&near, key);
    for (size_t i = 0; i < n; i++)
        wr_nearest_offer(&near, table[i].name);
    return wr_nearest_get(&near);
}

/* Only the name goes into the text: an unknown option may well be a misspelt secret. */
static enum wr_status fail_unknown(
    const struct wr_option *table, size_t n, struct wr_str key, struct wr_err *e)
{
    const char *near = nearest(table, n, key);
    int shown = (int)wr_min(key.n, (size_t)NAME_SHOWN);

    if (near)
        return wr_fail(
            e, WR_MISUSE, "unknown option \"%.*s\": did you mean \"%s\"?", shown, key.p, near);
    return wr_fail(e, WR_MISUSE, "unknown option \"%.*s\"", shown, key.p);
}

static const char *kind_text(enum wr_option_kind kind)
{
    switch (kind) {
    case WR_OPT_BOOL:
        return "true or false";
    case WR_OPT_U64:
        return "a whole number, 0 or more";
    case WR_OPT_SIZE:
        return "a size such as 8MiB";
    case WR_OPT_DURATION:
        return "a duration such as 30s";
    case WR_OPT_STR:
    case WR_OPT_SECRET:
        break;
    }
    return "text";
}

static const char *source_text(enum wr_setting_source source)
{
    static const char *const texts[] = {
        [WR_SET_BY_URL] = "url query",
        [WR_SET_BY_PAIRS] = "settings",
        [WR_SET_BY_ENV] = "environment",
        [WR_SET_BY_FILE] = "",
        [WR_SET_BY_INIT] = "default",
        [WR_SET_BY_NOBODY] = "",
    };
    return texts[source];
}

/* Check `text` against the row's kind and keep a copy. */
static enum wr_status set_value(const struct wr_option *o, struct value *v, struct wr_str text,
    enum wr_setting_source source, struct wr_err *e)
{
    bool flag = false;
    bool ok = true;

    switch (o->kind) {
    case WR_OPT_STR:
    case WR_OPT_SECRET:
        ok = text.n == 0 || memchr(text.p, '\0', text.n) == NULL;
        break;
    case WR_OPT_BOOL:
        ok = wr_parse_bool(text, &flag);
        v->u = flag;
        break;
    case WR_OPT_U64:
        ok = wr_parse_u64(text, &v->u);
        break;
    case WR_OPT_SIZE:
        ok = wr_parse_size(text, &v->u);
        break;
    case WR_OPT_DURATION:
        ok = wr_parse_duration(text, &v->ns);
        break;
    }
    if (!ok && (o->kind == WR_OPT_SECRET || text.n > NAME_SHOWN))
        return wr_fail(e, WR_MISUSE, "%s: option \"%s\": must be %s", source_text(source), o->name,
            kind_text(o->kind));
    if (!ok)
        return wr_fail(e, WR_MISUSE, "%s: option \"%s\": \"" WR_FMT "\" is not %s",
            source_text(source), o->name, WR_ARG(text), kind_text(o->kind));

    if (source != WR_SET_BY_INIT && !(v->own = wr_strndup(text.n ? text.p : "", text.n)))
        return wr_fail(e, WR_NOMEM, "option \"%s\": out of memory", o->name);
    v->source = source;
    return WR_OK;
}

/* A value for the option `key`, unless a stronger source has set it. */
static enum wr_status offer(struct wr_settings *s, struct wr_str key, struct wr_str text,
    enum wr_setting_source source, struct wr_err *e)
{
    size_t i = find(s->table, s->n, key);

    if (i == s->n)
        return fail_unknown(s->table, s->n, key, e);
    struct value *v = &s->values[i];
    if (v->source == source)
        return wr_fail(e, WR_MISUSE, "%s: option \"%s\" is given twice", source_text(source),
            s->table[i].name);
    if (v->source < source)
        return WR_OK;
    return set_value(&s->table[i], v, text, source, e);
}

static enum wr_status read_query(struct wr_settings *s, struct wr_str query, struct wr_err *e)
{
    struct wr_arena a;
    struct wr_str key, text;
    enum wr_status st = WR_OK;

    wr_arena_init(&a, ARENA_MAX);
    while (st == WR_OK && wr_url_query_next(&a, &query, &key, &text)) {
        if (!key.p || !text.p)
            st = wr_fail(e, WR_NOMEM, "url query: out of memory");
        else
            st = offer(s, key, text, WR_SET_BY_URL, e);
    }
    /* Without memory the walk ends early; a setting must never get lost that way. */
    if (st == WR_OK && query.n > 0)
        st = wr_fail(e, WR_NOMEM, "url query: out of memory");
    wr_arena_release(&a);
    return st;
}

static enum wr_status read_pairs(struct wr_settings *s, const char *const *pairs, struct wr_err *e)
{
    for (size_t i = 0; pairs && pairs[i]; i += 2) {
        if (!pairs[i + 1])
            return wr_fail(e, WR_MISUSE, "option \"%s\" has no value", pairs[i]);
        enum wr_status st = offer(s, wr_str(pairs[i]), wr_str(pairs[i + 1]), WR_SET_BY_PAIRS, e);
        if (st != WR_OK)
            return st;
    }
    return WR_OK;
}

/* What neither URL nor caller said: environment, then the table. An empty variable is an unset one,
 * as shells and unit files cannot always tell them apart. */
static enum wr_status read_rest(struct wr_settings *s, struct wr_err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct wr_option *o = &s->table[i];
        const char *env = o->env ? getenv(o->env) : NULL;
        enum wr_status st = WR_OK;

        if (s->values[i].source != WR_SET_BY_NOBODY)
            continue;
        if (env && env[0]) {
            st = set_value(o, &s->values[i], wr_str(env), WR_SET_BY_ENV, e);
            if (st != WR_OK)
                return wr_wrap(e, st, "%s", o->env);
        } else if (o->init) {
            st = set_value(o, &s->values[i], wr_str(o->init), WR_SET_BY_INIT, e);
        }
        if (st != WR_OK)
            return st;
    }
    return WR_OK;
}

static struct wr_str append(struct wr_settings *s, struct wr_str part)
{
    struct wr_str copy = {s->url_text + s->url_size, part.n};

    if (part.n)
        memcpy(s->url_text + s->url_size, part.p, part.n);
    s->url_text[s->url_size + part.n] = '\0';
    s->url_size += part.n + 1;
    return copy;
}

/* All parts but the query, which may hold secrets and has been read. */
static enum wr_status copy_url(struct wr_settings *s, const struct wr_url *u, struct wr_err *e)
{
    size_t size = u->scheme.n + u->user.n + u->password.n + u->host.n + u->port.n + u->path.n + 6;

    s->url_text = wr_alloc(size);
    if (!s->url_text)
        return wr_fail(e, WR_NOMEM, "url: out of memory");
    s->url.scheme = append(s, u->scheme);
    s->url.user = append(s, u->user);
    s->url.password = append(s, u->password);
    s->url.host = append(s, u->host);
    s->url.port = append(s, u->port);
    s->url.path = append(s, u->path);
    assert(s->url_size == size);
    return WR_OK;
}

enum wr_status wr_settings_parse(const struct wr_option *table, const struct wr_url *url,
    const char *const *pairs, struct wr_settings **ret, struct wr_err *e)
{
    enum wr_status st = WR_NOMEM;
    struct wr_settings *s = wr_alloc(sizeof(*s));

    if (!s)
        return wr_fail(e, WR_NOMEM, "settings: out of memory");
    s->table = table ? table : no_options;
    while (s->table[s->n].name)
        s->n++;
    s->values = wr_array(s->n, sizeof(*s->values));
    if (!s->values) {
        s->n = 0;
        wr_fail(e, WR_NOMEM, "settings: out of memory");
        goto out;
    }
    for (size_t i = 0; i < s->n; i++)
        s->values[i].source = WR_SET_BY_NOBODY;

    st = copy_url(s, url, e);
    if (st == WR_OK)
        st = read_query(s, url->query, e);
    if (st == WR_OK)
        st = read_pairs(s, pairs, e);
    if (st == WR_OK)
        st = read_rest(s, e);
out:
    if (st == WR_OK)
        *ret = s;
    else
        wr_settings_free(s);
    return st;
}

void wr_settings_free(struct wr_settings *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        struct value *v = &s->values[i];
        if (v->own && s->table[i].kind == WR_OPT_SECRET)
            wr_wipe(v->own, strlen(v->own));
        wr_free(v->own);
    }
    if (s->url_text)
        wr_wipe(s->url_text, s->url_size);
    wr_free(s->url_text);
    wr_free(s->values);
    wr_free(s);
}

/* The value of an option that the table has: asking for another is a bug of the driver. */
static const struct value *value_of(const struct wr_settings *s, const char *name)
{
    size_t i = find(s->table, s->n, wr_str(name));

    assert(i < s->n);
    return &s->values[i];
}

static struct wr_str text_of(const struct wr_option *o, const struct value *v)
{
    return wr_str(v->own ? v->own : v->source == WR_SET_BY_INIT ? o->init : "");
}

void wr_settings_each(const struct wr_settings *s, wr_setting_fn *fn, void *arg)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct wr_option *o = &s->table[i];
        const struct value *v = &s->values[i];
        struct wr_setting out = {.name = o->name, .source = v->source};

        if (v->source == WR_SET_BY_NOBODY)
            continue;
        if (o->kind != WR_OPT_SECRET)
            out.value = text_of(o, v);
        if (v->source == WR_SET_BY_ENV)
            out.env = o->env;
        fn(arg, &out);
    }
}

bool wr_settings_has(const struct wr_settings *s, const char *name)
{
    return value_of(s, name)->source < WR_SET_BY_INIT;
}

struct wr_str wr_settings_str(const struct wr_settings *s, const char *name)
{
    size_t i = find(s->table, s->n, wr_str(name));

    assert(i < s->n);
    return text_of(&s->table[i], &s->values[i]);
}

bool wr_settings_bool(const struct wr_settings *s, const char *name)
{
    return value_of(s, name)->u != 0;
}

uint64_t wr_settings_u64(const struct wr_settings *s, const char *name)
{
    return value_of(s, name)->u;
}

int64_t wr_settings_ns(const struct wr_settings *s, const char *name)
{
    return value_of(s, name)->ns;
}

const struct wr_url *wr_settings_url(const struct wr_settings *s)
{
    return &s->url;
}
