/*
 * pagecache.c - see pagecache.h.
 */
#include "vfs/pagecache.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/sync.h"

#define SLOTS_MIN ((size_t)256) /* of the hash table, a power of two; doubled as it fills */

struct page {
    struct wr_link ring; /* the hand turns around it */
    struct page *next;   /* in its slot */
    uint32_t file, pgno;
    uint32_t size;
    bool used; /* since the hand went by */
    uint8_t data[];
};

struct wr_pagecache {
    struct wr_mutex mutex; /* guards what follows */
    uint64_t max, bytes;
    struct page **slots;
    size_t n_slots, n_pages;
    struct wr_list ring; /* the next one that the hand comes to is the first */
    uint64_t hits, misses;
};

enum wr_status wr_pagecache_new(uint64_t bytes, struct wr_pagecache **ret, struct wr_err *e)
{
    struct wr_pagecache *c = wr_alloc(sizeof(*c));

    if (c)
        c->slots = wr_array(SLOTS_MIN, sizeof(c->slots[0]));
    if (!c || !c->slots) {
        wr_free(c);
        return wr_fail(e, WR_NOMEM, "page cache: out of memory");
    }
    c->n_slots = SLOTS_MIN;
    c->max = bytes;
    wr_list_init(&c->ring);
    wr_mutex_init(&c->mutex);
    *ret = c;
    return WR_OK;
}

static void drop_all(struct wr_pagecache *c)
{
    for (struct wr_link *x = wr_list_first(&c->ring); x; x = wr_list_first(&c->ring)) {
        wr_list_remove(x);
        wr_free(wr_container_of(x, struct page, ring));
    }
    memset(c->slots, 0, c->n_slots * sizeof(c->slots[0]));
    c->n_pages = 0;
    c->bytes = 0;
}

void wr_pagecache_clear(struct wr_pagecache *c)
{
    wr_mutex_lock(&c->mutex);
    drop_all(c);
    c->max = 0;
    wr_mutex_unlock(&c->mutex);
}

void wr_pagecache_free(struct wr_pagecache *c)
{
    if (!c)
        return;
    drop_all(c);
    wr_mutex_release(&c->mutex);
    wr_free(c->slots);
    wr_free(c);
}

void wr_pagecache_grow(struct wr_pagecache *c, uint64_t bytes)
{
    wr_mutex_lock(&c->mutex);
    c->max = wr_max(c->max, bytes);
    wr_mutex_unlock(&c->mutex);
}

static uint64_t cost(uint32_t page_size)
{
    /* With its share of the slots, of which there are at most two a page beyond the first. */
    return sizeof(struct page) + page_size + 2 * sizeof(struct page *);
}

static struct page **slot_of(const struct wr_pagecache *c, uint32_t file, uint32_t pgno)
{
    uint64_t h = ((uint64_t)file << 32 | pgno) * UINT64_C(0x9e3779b97f4a7c15);

    return &c->slots[(h >> 32) & (c->n_slots - 1)];
}

static struct page **find(const struct wr_pagecache *c, uint32_t file, uint32_t pgno)
{
    struct page **at = slot_of(c, file, pgno);

    while (*at && ((*at)->file != file || (*at)->pgno != pgno))
        at = &(*at)->next;
    return at;
}

bool wr_pagecache_get(
    struct wr_pagecache *c, uint32_t file, uint32_t pgno, size_t off, void *buf, size_t n)
{
    struct page *p;

    wr_mutex_lock(&c->mutex);
    p = *find(c, file, pgno);
    if (p) {
        assert(off <= p->size && n <= p->size - off);
        memcpy(buf, p->data + off, n);
        p->used = true;
        c->hits++;
    } else {
        c->misses++;
    }
    wr_mutex_unlock(&c->mutex);
    return p != NULL;
}

bool wr_pagecache_has(struct wr_pagecache *c, uint32_t file, uint32_t pgno)
{
    bool yes;

    wr_mutex_lock(&c->mutex);
    yes = *find(c, file, pgno) != NULL;
    wr_mutex_unlock(&c->mutex);
    return yes;
}

/* Turn the hand until `room` bytes are free; the last page that went, if it has the size wanted, is
 * handed back to be used again. */
static struct page *make_room(struct wr_pagecache *c, uint64_t room, uint32_t page_size)
{
    struct page *again = NULL;

    while (c->bytes + room > c->max && !wr_list_empty(&c->ring)) {
        struct page *p = wr_container_of(wr_list_first(&c->ring), struct page, ring);

        wr_list_remove(&p->ring);
        if (p->used) {
            p->used = false;
            wr_list_push(&c->ring, &p->ring);
            continue;
        }
        *find(c, p->file, p->pgno) = p->next;
        c->n_pages--;
        c->bytes -= cost(p->size);
        if (!again && p->size == page_size)
            again = p;
        else
            wr_free(p);
    }
    return again;
}

/* Twice the slots, where there is memory for them: longer chains do no harm otherwise. */
static void more_slots(struct wr_pagecache *c)
{
    struct page **old = c->slots;
    size_t n_old = c->n_slots;
    struct page **slots = wr_array(n_old * 2, sizeof(slots[0]));

    if (!slots)
        return;
    c->slots = slots;
    c->n_slots = n_old * 2;
    for (size_t i = 0; i < n_old; i++) {
        for (struct page *p = old[i], *next; p; p = next) {
            struct page **at = slot_of(c, p->file, p->pgno);

            next = p->next;
            p->next = *at;
            *at = p;
        }
    }
    wr_free(old);
}

static void put(
    struct wr_pagecache *c, uint32_t file, uint32_t pgno, const void *data, uint32_t page_size)
{
    uint64_t room = cost(page_size);
    struct page **at;
    struct page *p;

    if (*find(c, file, pgno) || room > c->max)
        return;
    p = make_room(c, room, page_size);
    if (!p)
        p = wr_alloc(sizeof(*p) + page_size);
    if (!p)
        return;
    p->file = file;
    p->pgno = pgno;
    p->size = page_size;
    p->used = false;
    memcpy(p->data, data, page_size);
    if (c->n_pages >= c->n_slots)
        more_slots(c);
    at = slot_of(c, file, pgno);
    p->next = *at;
    *at = p;
    wr_list_push(&c->ring, &p->ring);
    c->n_pages++;
    c->bytes += room;
}

void wr_pagecache_put(
    struct wr_pagecache *c, uint32_t file, uint32_t pgno, const void *page, uint32_t page_size)
{
    wr_mutex_lock(&c->mutex);
    put(c, file, pgno, page, page_size);
    wr_mutex_unlock(&c->mutex);
}

void wr_pagecache_counts(struct wr_pagecache *c, struct wr_pagecache_counts *ret)
{
    wr_mutex_lock(&c->mutex);
    *ret = (struct wr_pagecache_counts){.bytes = c->bytes,
        .bytes_max = c->max,
        .pages = c->n_pages,
        .hits = c->hits,
        .misses = c->misses};
    wr_mutex_unlock(&c->mutex);
}
