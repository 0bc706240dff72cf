/*
 * config_unused.c - keys that are good where they stand, and that nothing takes: what is said at
 * the top for replicas of which none is of that kind, or of which each has its own.
 *
 * Who wrote one counts on it. One warning each; what has no use for anybody is told elsewhere
 * (config_keys.c).
 */
#include "daemon/config_int.h"

static bool takes(const struct wr_config_replica *r, uint32_t line)
{
    for (size_t i = 0; r->from && r->settings[2 * i]; i++)
        if (r->from[i].at_top && r->from[i].line == line)
            return true;
    return false;
}

static bool any_takes(const struct wr_config_db *db, uint32_t line)
{
    for (size_t i = 0; i < db->nreplicas; i++)
        if (takes(&db->replicas[i], line))
            return true;
    return false;
}

static bool all_take(const struct wr_config *c, uint32_t line)
{
    for (size_t i = 0; i < c->ndbs; i++)
        if (any_takes(&c->dbs[i], line))
            return true;
    for (size_t i = 0; i < c->ndirs; i++)
        if (any_takes(&c->dirs[i].each, line))
            return true;
    return false;
}

static void look_at_defaults(struct wr_doc *d, const yaml_node_t *top, const struct wr_config *c)
{
    for (const struct wr_key *k = wr_config_replica_keys; k->name; k++) {
        const yaml_node_t *v =
            k->use & (WR_KEY_READ | WR_KEY_IDLE | WR_KEY_OWN) ? NULL : wr_doc_get(d, top, k->name);

        if (v && !wr_doc_is_shared(d, v) && !all_take(c, wr_config_line(v)))
            wr_doc_warn(d, v, "\"%s\" at the top has no effect: no replica takes it", k->name);
    }
}

static void look_at_pair(struct wr_doc *d, const yaml_node_t *map, const char *key, const char *why)
{
    const yaml_node_t *v = wr_doc_get(d, map, key);

    if (v)
        wr_doc_warn(d, v, "\"%s\" has no effect: %s", key, why);
}

void wr_config_unused(struct wr_doc *d, const yaml_node_t *top, const struct wr_config *c)
{
    if (c->ndbs + c->ndirs > 0)
        look_at_defaults(d, top, c);
    if (!c->heartbeat_url)
        look_at_pair(d, top, "heartbeat-interval", "there is no heartbeat-url");
    if (!c->socket.enabled)
        look_at_pair(d, wr_doc_get(d, top, "socket"), "permissions", "socket.enabled is not true");
}
