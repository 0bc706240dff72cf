/*
 * config_value.c - values of the configuration: what each kind may look like, and what is said of
 * one that cannot be meant.
 */
#include "daemon/config_int.h"

#define NAME_MAX_ROOM 128

static void put_name(char out[NAME_MAX_ROOM], const char *what, const char *key)
{
    (void)snprintf(/* only for messages */
        out, NAME_MAX_ROOM, "%s%s%s", what ? what : "", what ? "." : "", key);
}

bool wr_config_parse_bool(struct wr_str s, bool *ret)
{
    if (wr_str_eq_nocase(s, WR_STR("y")) || wr_str_eq_nocase(s, WR_STR("n"))) {
        *ret = s.p[0] == 'y' || s.p[0] == 'Y';
        return true;
    }
    return wr_parse_bool(s, ret);
}

enum wr_status wr_config_text(struct wr_doc *d, const yaml_node_t *map, const char *what,
    const char *key, const char **ret, struct wr_err *e)
{
    const yaml_node_t *v = wr_doc_get(d, map, key);
    char name[NAME_MAX_ROOM];
    struct wr_str copy;
    enum wr_status st;

    if (!v)
        return WR_OK;
    put_name(name, what, key);
    st = wr_doc_is(d, v, YAML_SCALAR_NODE, name, e);
    if (st != WR_OK)
        return st;
    copy = wr_arena_str(d->arena, wr_doc_text(v));
    if (!copy.p)
        return wr_fail(e, WR_NOMEM, "out of memory");
    *ret = copy.p;
    return WR_OK;
}

enum wr_status wr_config_bool(struct wr_doc *d, const yaml_node_t *map, const char *what,
    const char *key, bool *ret, struct wr_err *e)
{
    const yaml_node_t *v = wr_doc_get(d, map, key);
    char name[NAME_MAX_ROOM];
    enum wr_status st;

    if (!v)
        return WR_OK;
    put_name(name, what, key);
    st = wr_config_check_value(d, v, WR_KEY_BOOL, name, e);
    if (st == WR_OK)
        (void)wr_config_parse_bool(wr_doc_text(v), ret); /* just checked */
    return st;
}

/* A bare number is refused: it would be nanoseconds to the original and seconds to a reader. */
enum wr_status wr_config_duration(struct wr_doc *d, const yaml_node_t *v, const char *name,
    const char *example, int64_t *ret_ns, struct wr_err *e)
{
    struct wr_str text = wr_doc_text(v);
    enum wr_status st = wr_doc_is(d, v, YAML_SCALAR_NODE, name, e);

    if (st == WR_OK && !wr_parse_duration(text, ret_ns))
        return wr_doc_fail(d, v, e, "%s: \"" WR_FMT "\" is not a duration such as %s", name,
            WR_ARG(text), example);
    return st;
}

enum wr_status wr_config_check_value(struct wr_doc *d, const yaml_node_t *v, enum wr_key_kind kind,
    const char *name, struct wr_err *e)
{
    struct wr_str text = wr_doc_text(v);
    enum wr_status st = wr_doc_is(d, v, YAML_SCALAR_NODE, name, e);
    uint64_t size;
    int64_t number;
    bool yes;

    if (st != WR_OK)
        return st;
    switch (kind) {
    case WR_KEY_BOOL:
        if (!wr_config_parse_bool(text, &yes))
            return wr_doc_fail(
                d, v, e, "%s must be true or false (got " WR_FMT ")", name, WR_ARG(text));
        return WR_OK;
    case WR_KEY_NUMBER:
        if (!wr_parse_i64(text, &number))
            return wr_doc_fail(d, v, e, "%s must be a number (got " WR_FMT ")", name, WR_ARG(text));
        return WR_OK;
    case WR_KEY_SIZE:
        if (!wr_parse_size(text, &size))
            return wr_doc_fail(
                d, v, e, "%s must be a size such as 5MiB (got " WR_FMT ")", name, WR_ARG(text));
        return WR_OK;
    case WR_KEY_DURATION:
        return wr_config_duration(d, v, name, "10s", &number, e);
    case WR_KEY_TEXT:
        break;
    }
    return WR_OK;
}

enum wr_status wr_config_map(struct wr_doc *d, const yaml_node_t *from, const char *key,
    const struct wr_key *keys, const yaml_node_t **ret, struct wr_err *e)
{
    const yaml_node_t *v = wr_doc_get(d, from, key);
    enum wr_status st = WR_OK;

    if (v)
        st = wr_doc_is(d, v, YAML_MAPPING_NODE, key, e);
    if (v && st == WR_OK)
        st = wr_config_check_keys(d, v, keys, NULL, e);
    *ret = v;
    return st;
}
