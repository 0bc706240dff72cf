/*
 * config_keys.c - tables of keys: lists of settings, and a word about every key that does nothing.
 */
#include "daemon/config_int.h"

#include "base/nearest.h"

#define SLIP 4 /* letters for each that may be wrong */

enum wr_status wr_pairs_add(
    struct wr_pairs *p, struct wr_arena *a, const char *key, struct wr_str value, struct wr_err *e)
{
    struct wr_str copy = wr_arena_str(a, value);

    assert(p->n + 2 < wr_countof(p->kv)); /* the key tables are shorter */
    if (!copy.p)
        return wr_fail(e, WR_NOMEM, "out of memory");
    p->kv[p->n++] = key;
    p->kv[p->n++] = copy.p;
    return WR_OK;
}

enum wr_status wr_pairs_add_value(struct wr_pairs *p, struct wr_arena *a, const struct wr_key *key,
    struct wr_str value, struct wr_err *e)
{
    bool yes = false;

    if (key->kind == WR_KEY_BOOL && wr_config_parse_bool(value, &yes))
        value = yes ? WR_STR("true") : WR_STR("false");
    return wr_pairs_add(p, a, key->name, value, e);
}

uint32_t wr_config_line(const yaml_node_t *node)
{
    return (uint32_t)wr_min(node->start_mark.line + 1, (size_t)UINT32_MAX);
}

void wr_pairs_said(struct wr_pairs *p, const yaml_node_t *v, bool at_top)
{
    assert(p->n > 0);
    if (v)
        p->from[p->n / 2 - 1] =
            (struct wr_config_from){.line = wr_config_line(v), .at_top = at_top};
}

enum wr_status wr_pairs_copy(const struct wr_pairs *p, struct wr_arena *a, const char *const **ret,
    const struct wr_config_from **ret_from, struct wr_err *e)
{
    const char **kv = wr_arena_array(a, p->n + 1, sizeof(*kv));
    struct wr_config_from *from = wr_arena_array(a, p->n / 2 + 1, sizeof(*from));

    if (!kv || !from)
        return wr_fail(e, WR_NOMEM, "out of memory");
    for (size_t i = 0; i < p->n; i++)
        kv[i] = p->kv[i];
    for (size_t i = 0; i < p->n / 2; i++)
        from[i] = p->from[i];
    *ret = kv;
    if (ret_from)
        *ret_from = from;
    return WR_OK;
}

static const struct wr_key *find_key(const struct wr_key *keys, const yaml_node_t *written)
{
    for (; keys && keys->name; keys++)
        if (wr_doc_key_is(written, keys->name))
            return keys;
    return NULL;
}

static void offer_keys(struct wr_nearest *n, const struct wr_key *keys)
{
    for (; keys && keys->name; keys++)
        wr_nearest_offer(n, keys->name);
}

/* Whether the mapping has the key of its pair `at` before. The last one counts, as in the original:
 * a second list of databases would take the first one's place. */
static bool given_before(struct wr_doc *d, const yaml_node_t *map, size_t at, const char *name)
{
    const yaml_node_t *k, *v;

    for (size_t i = 0; i < at && wr_doc_pair(d, map, i, &k, &v); i++)
        if (wr_doc_key_is(k, name))
            return true;
    return false;
}

static void look_at_known(struct wr_doc *d, const yaml_node_t *map, size_t at,
    const yaml_node_t *written, const struct wr_key *key)
{
    if (key->use & WR_KEY_IDLE)
        wr_doc_warn(d, written, "\"%s\" has no effect: %s", key->name, key->why);
    else if (given_before(d, map, at, key->name))
        wr_doc_warn(
            d, written, "\"%s\" was given before, what it said there is ignored", key->name);
    if (!wr_str_eq(wr_doc_text(written), wr_str(key->name)))
        wr_doc_warn(d, written, "\"" WR_FMT "\" is read as \"%s\"", WR_ARG(wr_doc_text(written)),
            key->name);
}

/* Where a key belongs that stands elsewhere; NULL: nowhere. `keys` are those of the place where it
 * stands: below logging, say, a key of that name means another thing. */
static const char *home_of(const yaml_node_t *written, const struct wr_key *keys)
{
    const struct wr_key *of_replica = find_key(wr_config_replica_keys, written);

    if (keys != wr_config_top_keys && keys != wr_config_db_keys && keys != wr_config_replica_keys)
        return NULL;
    if (of_replica)
        return strcmp(of_replica->name, "name") == 0 ? NULL : "a replica"; /* harmless */
    if (find_key(wr_config_db_keys, written))
        return "an entry of dbs";
    return find_key(wr_config_top_keys, written) ? "the top of the file" : NULL;
}

/* What is but a slip away from a known key is a mistake, and what it was to do would not be done.
 * All else may be for another program, or another version. */
static enum wr_status look_at_unknown(struct wr_doc *d, const yaml_node_t *written,
    const yaml_node_t *value, bool at_top, const struct wr_key *keys, const struct wr_key *more,
    struct wr_err *e)
{
    struct wr_str name = wr_doc_text(written);
    const char *home = home_of(written, keys), *best;
    struct wr_nearest near;

    if (written->type != YAML_SCALAR_NODE)
        return wr_doc_fail(d, written, e, "a key must be a single value");
    if (at_top && d->warnings->n < WR_WARNINGS_MAX && wr_doc_is_shared(d, value)) {
        wr_doc_warn(d, written,
            "\"" WR_FMT "\" is no key of the configuration, only what refers to it is read",
            WR_ARG(name));
        return WR_OK;
    }
    if (home)
        return wr_doc_fail(d, written, e, "\"" WR_FMT "\" has no meaning here, it belongs to %s",
            WR_ARG(name), home);
    wr_nearest_init(&near, name);
    offer_keys(&near, keys);
    offer_keys(&near, more);
    best = wr_str_starts(name, WR_STR("x-")) ? NULL : wr_nearest_get(&near);
    if (best && near.distance <= wr_max((size_t)1, name.n / SLIP))
        return wr_doc_fail(
            d, written, e, "unknown key \"" WR_FMT "\", did you mean \"%s\"?", WR_ARG(name), best);
    if (best)
        wr_doc_warn(d, written, "unknown key \"" WR_FMT "\" is ignored, did you mean \"%s\"?",
            WR_ARG(name), best);
    else
        wr_doc_warn(d, written, "unknown key \"" WR_FMT "\" is ignored", WR_ARG(name));
    return WR_OK;
}

enum wr_status wr_config_check_keys(struct wr_doc *d, const yaml_node_t *map,
    const struct wr_key *keys, const struct wr_key *more, struct wr_err *e)
{
    const yaml_node_t *k, *v;
    struct wr_doc_maps maps;
    enum wr_status st = wr_doc_merged(d, map, &maps, e);

    for (size_t m = 0; st == WR_OK && m < maps.n; m++)
        for (size_t i = 0; st == WR_OK && wr_doc_pair(d, maps.at[m], i, &k, &v); i++) {
            const struct wr_key *known = find_key(keys, k);

            if (!known)
                known = find_key(more, k);
            if (known && (known->use & WR_KEY_OWN) && keys != wr_config_replica_keys)
                known = NULL;
            if (known)
                look_at_known(d, maps.at[m], i, k, known);
            else if (!wr_doc_is_merge(k))
                st = look_at_unknown(d, k, v, maps.at[m] == wr_doc_root(d), keys, more, e);
        }
    return st;
}
