/*
 * config_copy.c - see config_copy.h. There may be ten thousand entries, so each is one block of the
 * right size: the structs first, then the lists of pointers, then the texts.
 */
#include "daemon/config_copy.h"

#include "base/mem.h"

static size_t list_length(const char *const *list) /* without the NULL at the end */
{
    size_t n = 0;

    while (list && list[n])
        n++;
    return n;
}

struct need {
    size_t pointers, bytes;
};

static void need_text(struct need *n, const char *s)
{
    n->bytes += s ? strlen(s) + 1 : 0;
}

static void need_list(struct need *n, const char *const *list)
{
    n->pointers += list_length(list) + 1;
    for (; list && *list; list++)
        need_text(n, *list);
}

/* What is left of the block. */
struct room {
    const char **pointers;
    char *bytes;
};

static const char *put_text(struct room *r, const char *s)
{
    char *copy = r->bytes;
    size_t n;

    if (!s)
        return NULL;
    n = strlen(s) + 1;
    memcpy(copy, s, n);
    r->bytes += n;
    return copy;
}

static const char *const *put_list(struct room *r, const char *const *list)
{
    const char **copy = r->pointers;
    size_t n = list_length(list);

    for (size_t i = 0; i < n; i++)
        copy[i] = put_text(r, list[i]);
    copy[n] = NULL;
    r->pointers += n + 1;
    return copy;
}

struct wr_config_db *wr_config_db_copy(const struct wr_config_db *db)
{
    struct need need = {0};
    struct room room;
    struct wr_config_replica *replicas;
    struct wr_config_db *copy;
    size_t head = sizeof(*copy) + db->nreplicas * sizeof(*replicas);

    need_text(&need, db->path);
    need_list(&need, db->settings);
    for (size_t i = 0; i < db->nreplicas; i++) {
        need_text(&need, db->replicas[i].url);
        need_text(&need, db->replicas[i].type);
        need_text(&need, db->replicas[i].sync_interval);
        need_list(&need, db->replicas[i].settings);
    }
    copy = wr_alloc(head + need.pointers * sizeof(char *) + need.bytes);
    if (!copy)
        return NULL;
    replicas = (struct wr_config_replica *)(copy + 1);
    room.pointers = (const char **)(replicas + db->nreplicas);
    room.bytes = (char *)(room.pointers + need.pointers);
    *copy = *db; /* what is no pointer */
    copy->path = put_text(&room, db->path);
    copy->settings = put_list(&room, db->settings);
    copy->from = NULL; /* who replicates need not know */
    copy->replicas = replicas;
    for (size_t i = 0; i < db->nreplicas; i++) {
        replicas[i] = db->replicas[i];
        replicas[i].url = put_text(&room, db->replicas[i].url);
        replicas[i].type = put_text(&room, db->replicas[i].type);
        replicas[i].sync_interval = put_text(&room, db->replicas[i].sync_interval);
        replicas[i].settings = put_list(&room, db->replicas[i].settings);
        replicas[i].from = NULL;
    }
    return copy;
}
