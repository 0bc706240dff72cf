/*
 * store_kit.c - see store_kit.h.
 */
#include "sim/store_kit.h"

#include "base/mem.h"

struct kit_client *kit_client(struct store *s)
{
    struct kit_client *c = wr_alloc(sizeof(*c));

    CHECK(c != NULL);
    c->ops = store_ops(s);
    c->self = store_client(s);
    wr_arena_init(&c->scratch, WR_ARENA_MAX);
    c->call = (struct wr_call){
        .scratch = &c->scratch, .clock = wr_clock_system(), .deadline_ms = WR_NEVER};
    return c;
}

static struct wr_bytes text_of(const char *z)
{
    return (struct wr_bytes){(const uint8_t *)z, strlen(z)};
}

enum wr_status kit_put(struct kit_client *c, const char *key, const char *text)
{
    const struct wr_put_opts o = {0};

    return c->ops->put(c->self, &c->call, wr_str(key), text_of(text), &o, NULL, NULL);
}

enum wr_status kit_create(struct kit_client *c, const char *key, const char *text)
{
    const struct wr_put_opts o = {.if_absent = true};

    return c->ops->put(c->self, &c->call, wr_str(key), text_of(text), &o, NULL, NULL);
}

enum wr_status kit_get(struct kit_client *c, const char *key, char ret[KIT_BODY])
{
    size_t got = 0;
    enum wr_status st =
        c->ops->get(c->self, &c->call, wr_str(key), 0, ret, KIT_BODY - 1, &got, NULL, NULL);

    ret[st == WR_OK ? got : 0] = '\0';
    return st;
}

enum wr_status kit_remove(struct kit_client *c, const char *key)
{
    const struct wr_str keys[] = {wr_str(key)};

    return c->ops->remove(c->self, &c->call, keys, 1, NULL);
}

struct sought {
    const char *key;
    bool seen;
    char last[KIT_BODY];
};

static bool seek(void *arg, const struct wr_object *obj)
{
    struct sought *s = arg;

    CHECK(obj->key.n < KIT_BODY && wr_str_cmp(obj->key, wr_str(s->last)) > 0);
    memcpy(s->last, obj->key.p, obj->key.n);
    s->last[obj->key.n] = '\0';
    s->seen = s->seen || strcmp(s->last, s->key) == 0;
    return true;
}

enum wr_status kit_is_listed(struct kit_client *c, const char *key, bool *ret)
{
    struct sought s = {.key = key};
    enum wr_status st = c->ops->list(c->self, &c->call, wr_str(""), wr_str(""), seek, &s, NULL);

    *ret = s.seen;
    return st;
}

bool kit_note(void *arg, const char *key, const uint8_t *p, size_t n)
{
    char *text = arg;

    (void)key;
    CHECK(n < KIT_BODY);
    memcpy(text, p, n);
    text[n] = '\0';
    return false;
}

const char *kit_peek(struct store *s)
{
    static char text[KIT_BODY];

    text[0] = '\0';
    store_each(s, kit_note, text);
    return text;
}

enum wr_status kit_upload(struct kit_client *c, const char *key, const char *text)
{
    const struct wr_put_opts o = {0};
    struct wr_upload *u = NULL;
    enum wr_status st;

    if (!c->ops->upload_begin)
        return WR_OK;
    st = c->ops->upload_begin(c->self, &c->call, wr_str(key), &o, &u, NULL);
    if (st != WR_OK)
        return st;
    st = c->ops->upload_part(u, &c->call, text_of(text), NULL);
    if (st == WR_OK)
        return c->ops->upload_commit(u, &c->call, NULL, NULL);
    c->ops->upload_abort(u, &c->call);
    return st;
}
