/*
 * pageset.c - see pageset.h.
 */
#include "engine/pageset.h"

#include "base/mem.h"
#include "base/mutant.h"

void wr_pageset_init(struct wr_pageset *s)
{
    wr_pgmap_init(&s->map, WR_PAGESET_MAX);
    s->all = false;
}

void wr_pageset_release(struct wr_pageset *s)
{
    wr_pgmap_release(&s->map);
    s->all = false;
}

void wr_pageset_clear(struct wr_pageset *s)
{
    /* A set that was once large gives its memory back: most batches are a few pages. */
    if (s->map.cap > 4096)
        wr_pgmap_release(&s->map);
    else
        wr_pgmap_clear(&s->map);
    s->all = false;
}

void wr_pageset_set_all(struct wr_pageset *s)
{
    wr_pgmap_release(&s->map);
    s->all = true;
}

bool wr_pageset_empty(const struct wr_pageset *s)
{
    return !s->all && s->map.n == 0;
}

void wr_pageset_add(struct wr_pageset *s, uint32_t pgno)
{
    if (!s->all && wr_pgmap_set(&s->map, pgno, 1) != WR_OK)
        wr_pageset_set_all(s);
}

void wr_pageset_add_set(struct wr_pageset *s, const struct wr_pageset *other)
{
    if (other->all)
        wr_pageset_set_all(s);
    for (size_t i = 0; i < other->map.cap && !s->all; i++) {
        if (other->map.keys[i] != 0)
            wr_pageset_add(s, other->map.keys[i]);
    }
}

enum wr_status wr_pageset_list(
    const struct wr_pageset *s, uint32_t commit, uint32_t **ret, size_t *ret_n, struct wr_err *e)
{
    struct wr_pgmap_entry *all;
    uint32_t *list;
    size_t n = 0;

    assert(!s->all);
    all = wr_array(s->map.n ? s->map.n : 1, sizeof(*all));
    list = wr_array(s->map.n ? s->map.n : 1, sizeof(*list));
    if (!all || !list) {
        wr_free(all);
        wr_free(list);
        return wr_fail(e, WR_NOMEM, "list %zu changed pages", s->map.n);
    }
    wr_pgmap_sorted(&s->map, all);
    while (n < s->map.n && (all[n].pgno <= commit || WR_MUTANT(NO_COMMIT_FILTER))) {
        list[n] = all[n].pgno;
        n++;
    }
    wr_free(all);
    *ret = list;
    *ret_n = n;
    return WR_OK;
}
