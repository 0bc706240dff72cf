/*
 * config_query.c - what the query of a replica's URL says, and a key of the file too.
 *
 * For the original the key counts, whether it stands beside the URL or at the top of the file; for
 * who gives URL and settings to the library it is the query. So what a key overrides is taken out
 * of the URL, with a warning where the two differ: it says where data goes.
 */
#include "base/buf.h"
#include "base/url.h"
#include "daemon/config_int.h"

/* The pair of the file that is called like the option, or NULL. */
static const char *said(const struct wr_config_replica *r, struct wr_str option, uint32_t *ret_line)
{
    for (size_t i = 0; r->settings[2 * i]; i++)
        if (r->from[i].line > 0 && wr_url_key_is(option, r->settings[2 * i])) {
            *ret_line = r->from[i].line;
            return r->settings[2 * i + 1];
        }
    return NULL;
}

/* Whether this part of the query stays. */
static bool stays(
    struct wr_doc *d, const yaml_node_t *url, const struct wr_config_replica *r, struct wr_str part)
{
    struct wr_str key, value, rest = part;
    const char *text;
    uint32_t line = 0;

    if (!wr_url_query_next(d->arena, &rest, &key, &value) || !key.p || !value.p)
        return true;
    text = said(r, key, &line);
    if (text && !wr_str_eq(value, wr_str(text)))
        wr_doc_warn(d, url, "\"" WR_FMT "\" in the URL has no effect: line %u says otherwise",
            WR_ARG(key), line);
    return !text;
}

enum wr_status wr_config_query(
    struct wr_doc *d, const yaml_node_t *url, struct wr_config_replica *r, struct wr_err *e)
{
    struct wr_str head, query, part, copy = {0};
    char before = '?';
    struct wr_buf b;

    if (!url || !r->from || !wr_str_cut(wr_str(r->url), '?', &head, &query))
        return WR_OK;
    wr_buf_init(&b, WR_CONFIG_URL_MAX);
    wr_buf_str(&b, head);
    while (query.n > 0) {
        (void)wr_str_cut(query, '&', &part, &query);
        if (part.n == 0 || !stays(d, url, r, part))
            continue;
        wr_buf_byte(&b, (uint8_t)before);
        wr_buf_str(&b, part);
        before = '&';
    }
    if (wr_buf_status(&b) == WR_OK)
        copy = wr_arena_str(d->arena, wr_buf_view(&b));
    wr_buf_release(&b);
    if (!copy.p)
        return wr_fail(e, WR_NOMEM, "out of memory");
    r->url = copy.p;
    return WR_OK;
}
