/*
 * nearest.h - the known word closest to a misspelt one, for "did you mean".
 */
#ifndef WR_BASE_NEAREST_H
#define WR_BASE_NEAREST_H

#include "base/base.h"
#include "base/str.h"

struct wr_nearest {
    struct wr_str word;
    const char *best;
    size_t distance; /* of best; SIZE_MAX: none yet */
};

/* Offer every known word, then ask. `word` must live until then. */
void wr_nearest_init(struct wr_nearest *s, struct wr_str word);
void wr_nearest_offer(struct wr_nearest *s, const char *known);

/* The first of the closest words, or NULL when none is close: up to one edit in three letters. */
const char *wr_nearest_get(const struct wr_nearest *s);

#endif
