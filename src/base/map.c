/*
 * map.c - open addressing with linear probing, at most three quarters full. Key 0 marks a free
 * slot, which is why page numbers suit: SQLite's begin at 1. Entries are never removed singly.
 */
#include "base/map.h"

#include "base/mem.h"

#define CAP_MIN ((size_t)64)

void wr_pgmap_init(struct wr_pgmap *m, size_t max)
{
    *m = (struct wr_pgmap){.max = max};
}

void wr_pgmap_release(struct wr_pgmap *m)
{
    wr_free(m->keys);
    wr_free(m->values);
    wr_pgmap_init(m, m->max);
}

void wr_pgmap_clear(struct wr_pgmap *m)
{
    if (m->n)
        memset(m->keys, 0, m->cap * sizeof(*m->keys));
    m->n = 0;
}

/* The slot of the key, or the free one where it would go. There is one: the map is never full. */
static size_t find(const uint32_t *keys, size_t cap, uint32_t pgno)
{
    /* Neighbouring pages differ in their low bits: a multiplication spreads them over all of the
     * word, and its high half, which depends on every bit, picks the slot. */
    uint64_t hash = pgno * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    size_t at = (size_t)hash & (cap - 1);

    while (keys[at] && keys[at] != pgno)
        at = (at + 1) & (cap - 1);
    return at;
}

static enum wr_status grow(struct wr_pgmap *m)
{
    size_t cap = wr_max(m->cap * 2, CAP_MIN);
    uint32_t *keys = wr_array(cap, sizeof(*keys));
    uint32_t *values = wr_array(cap, sizeof(*values));

    if (!keys || !values) {
        wr_free(keys);
        wr_free(values);
        return WR_NOMEM;
    }
    for (size_t i = 0; i < m->cap; i++) {
        if (m->keys[i]) {
            size_t at = find(keys, cap, m->keys[i]);

            keys[at] = m->keys[i];
            values[at] = m->values[i];
        }
    }
    wr_free(m->keys);
    wr_free(m->values);
    m->keys = keys;
    m->values = values;
    m->cap = cap;
    return WR_OK;
}

enum wr_status wr_pgmap_set(struct wr_pgmap *m, uint32_t pgno, uint32_t value)
{
    size_t at = 0;
    bool known;

    assert(pgno != 0);
    if (m->cap)
        at = find(m->keys, m->cap, pgno);
    known = m->cap && m->keys[at];
    if (!known) {
        if (m->n >= m->max)
            return WR_LIMIT;
        if (m->n >= m->cap / 4 * 3) {
            enum wr_status st = grow(m);

            if (st != WR_OK)
                return st;
            at = find(m->keys, m->cap, pgno);
        }
        m->keys[at] = pgno;
        m->n++;
    }
    m->values[at] = value;
    return WR_OK;
}

bool wr_pgmap_get(const struct wr_pgmap *m, uint32_t pgno, uint32_t *ret)
{
    size_t at;

    assert(pgno != 0);
    if (m->n == 0)
        return false;
    at = find(m->keys, m->cap, pgno);
    if (!m->keys[at])
        return false;
    *ret = m->values[at];
    return true;
}

static int by_page(const void *a, const void *b)
{
    const struct wr_pgmap_entry *x = a;
    const struct wr_pgmap_entry *y = b;

    return (x->pgno > y->pgno) - (x->pgno < y->pgno);
}

void wr_pgmap_sorted(const struct wr_pgmap *m, struct wr_pgmap_entry *out)
{
    size_t n = 0;

    for (size_t i = 0; i < m->cap; i++) {
        if (m->keys[i])
            out[n++] = (struct wr_pgmap_entry){.pgno = m->keys[i], .value = m->values[i]};
    }
    assert(n == m->n);
    if (n > 1)
        qsort(out, n, sizeof(*out), by_page);
}
