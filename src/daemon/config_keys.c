/*
 * config_keys.c - tables of keys: lists of settings, and a word about every key that does nothing.
 */
#include "daemon/config_int.h"
#include "daemon/nearest.h"

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

enum wr_status wr_pairs_copy(
    const struct wr_pairs *p, struct wr_arena *a, const char *const **ret, struct wr_err *e)
{
    const char **kv = wr_arena_array(a, p->n + 1, sizeof(*kv));

    if (!kv)
        return wr_fail(e, WR_NOMEM, "out of memory");
    for (size_t i = 0; i < p->n; i++)
        kv[i] = p->kv[i];
    *ret = kv;
    return WR_OK;
}

static const struct wr_key *find_key(const struct wr_key *keys, struct wr_str name)
{
    for (; keys && keys->name; keys++)
        if (wr_str_eq(wr_str(keys->name), name))
            return keys;
    return NULL;
}

static void offer_keys(struct wr_nearest *n, const struct wr_key *keys)
{
    for (; keys && keys->name; keys++)
        if (!(keys->use & WR_KEY_LATER))
            wr_nearest_offer(n, keys->name);
}

/* Whether the mapping has the key of its pair `at` before. The last one counts, as in the original:
 * a second list of databases would take the first one's place. */
static bool given_before(struct wr_doc *d, const yaml_node_t *map, size_t at, struct wr_str name)
{
    const yaml_node_t *k, *v;

    for (size_t i = 0; i < at && wr_doc_pair(d, map, i, &k, &v); i++)
        if (wr_str_eq(wr_doc_text(k), name))
            return true;
    return false;
}

void wr_config_check_keys(
    struct wr_doc *d, const yaml_node_t *map, const struct wr_key *keys, const struct wr_key *more)
{
    const yaml_node_t *k, *v;

    for (size_t i = 0; wr_doc_pair(d, map, i, &k, &v); i++) {
        struct wr_str name = wr_doc_text(k);
        const struct wr_key *known = find_key(keys, name);
        struct wr_nearest near;
        const char *best;

        if (!known)
            known = find_key(more, name);
        if (known && (known->use & WR_KEY_LATER))
            wr_doc_warn(d, k, "\"%s\" has no effect in this version", known->name);
        else if (known && given_before(d, map, i, name))
            wr_doc_warn(
                d, k, "\"%s\" was given before, what it said there is ignored", known->name);
        if (known || wr_str_eq(name, WR_STR("<<")))
            continue;
        wr_nearest_init(&near, name);
        offer_keys(&near, keys);
        offer_keys(&near, more);
        best = wr_nearest_get(&near);
        if (best)
            wr_doc_warn(d, k, "unknown key \"" WR_FMT "\" is ignored, did you mean \"%s\"?",
                WR_ARG(name), best);
        else
            wr_doc_warn(d, k, "unknown key \"" WR_FMT "\" is ignored", WR_ARG(name));
    }
}
