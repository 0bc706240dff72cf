/*
 * mem_table.c - see mem_table.h. Knows order, conditions and how much there is; refuses to know who
 * asks, and who holds which lock.
 */
#include "storage/mem_table.h"

#include "base/mem.h"

/* Whether the conditions allow a put where `old` (or nothing) is. */
static bool allowed(const struct wr_mem_item *old, bool if_absent, struct wr_str if_match)
{
    if (if_absent)
        return old == NULL;
    return if_match.n == 0 || (old && wr_str_eq(if_match, wr_str(old->version)));
}

/* Room for one more object. */
static bool reserve(struct wr_mem_table *t)
{
    struct wr_mem_item **all = wr_room(t->items, t->n, &t->cap, 16, sizeof(struct wr_mem_item *));

    if (all)
        t->items = all;
    return all != NULL;
}

void wr_mem_table_init(struct wr_mem_table *t, uint64_t size_max)
{
    *t = (struct wr_mem_table){.size_max = size_max};
}

void wr_mem_table_release(struct wr_mem_table *t)
{
    for (size_t i = 0; i < t->n; i++)
        wr_mem_item_free(t->items[i]);
    wr_free(t->items);
}

struct wr_mem_item *wr_mem_item_new(struct wr_str key, struct wr_bytes body)
{
    struct wr_mem_item *it = wr_alloc(sizeof(*it));

    if (!it)
        return NULL;
    it->key = wr_strndup(key.p, key.n);
    it->key_size = key.n;
    it->body = wr_alloc(body.n);
    it->size = body.n;
    if (!it->key || !it->body) {
        wr_mem_item_free(it);
        return NULL;
    }
    if (body.n)
        memcpy(it->body, body.p, body.n);
    return it;
}

void wr_mem_item_free(struct wr_mem_item *it)
{
    if (!it)
        return;
    wr_free(it->key);
    wr_free(it->body);
    wr_free(it);
}

struct wr_str wr_mem_item_key(const struct wr_mem_item *it)
{
    return (struct wr_str){it->key, it->key_size};
}

size_t wr_mem_table_find(const struct wr_mem_table *t, struct wr_str key, bool *ret_exact)
{
    size_t low = 0, high = t->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (wr_str_cmp(wr_mem_item_key(t->items[mid]), key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_exact = low < t->n && wr_str_eq(wr_mem_item_key(t->items[low]), key);
    return low;
}

enum wr_status wr_mem_table_put(struct wr_mem_table *t, struct wr_mem_item **it, bool if_absent,
    struct wr_str if_match, struct wr_err *e)
{
    bool exact;
    size_t i = wr_mem_table_find(t, wr_mem_item_key(*it), &exact);
    struct wr_mem_item *old = exact ? t->items[i] : NULL;
    uint64_t rest = t->size - (old ? old->size : 0);

    if (!allowed(old, if_absent, if_match))
        return wr_fail(e, WR_CONFLICT, "%s", if_absent ? "the object exists" : "another version");
    if ((*it)->size > t->size_max || rest > t->size_max - (*it)->size)
        return wr_fail(
            e, WR_LIMIT, "mem: over size-max of %llu bytes", (unsigned long long)t->size_max);
    if (!old && !reserve(t))
        return wr_fail(e, WR_NOMEM, "mem: out of memory");
    if (!old) {
        memmove(t->items + i + 1, t->items + i, (t->n - i) * sizeof(struct wr_mem_item *));
        t->n++;
    }
    t->items[i] = *it;
    t->size = rest + (*it)->size;
    (void)snprintf((*it)->version, WR_MEM_VERSION_MAX, "%llu", (unsigned long long)++t->versions);
    *it = old;
    return WR_OK;
}

struct wr_mem_item *wr_mem_table_take(struct wr_mem_table *t, size_t i)
{
    assert(i < t->n);
    struct wr_mem_item *it = t->items[i];

    t->n--;
    t->size -= it->size;
    memmove(t->items + i, t->items + i + 1, (t->n - i) * sizeof(struct wr_mem_item *));
    return it;
}
