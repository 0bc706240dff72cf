/*
 * pageset.h - which pages changed: a set of page numbers that, when it grows too large to be worth
 * listing, becomes "all of them".
 *
 * owned.
 */
#ifndef WR_ENGINE_PAGESET_H
#define WR_ENGINE_PAGESET_H

#include "base/base.h"
#include "base/map.h"
#include "base/status.h"

#define WR_PAGESET_MAX ((size_t)1 << 22) /* pages; 64 MiB of map at the most */

struct wr_pageset {
    struct wr_pgmap map; /* page -> caller's mark */
    bool all;            /* every page of the database; the map is then empty */
};

void wr_pageset_init(struct wr_pageset *s);
void wr_pageset_release(struct wr_pageset *s);
void wr_pageset_clear(struct wr_pageset *s);
void wr_pageset_set_all(struct wr_pageset *s);
bool wr_pageset_empty(const struct wr_pageset *s);

/* Over WR_PAGESET_MAX, or without memory, the set becomes `all`: never wrong, only larger. */
void wr_pageset_add(struct wr_pageset *s, uint32_t pgno);
void wr_pageset_add_set(struct wr_pageset *s, const struct wr_pageset *other);

/* The listed pages that are at most `commit`, ascending, in new heap memory of *ret_n elements.
 * Not for a set that is `all`. NOMEM. */
enum wr_status wr_pageset_list(const struct wr_pageset *s, uint32_t commit, uint32_t **ret,
    size_t *ret_n, struct wr_err *e) WR_MUST_CHECK;

#endif
