/*
 * ranges.c - see ranges.h.
 */
#include "vfs/ranges.h"

size_t wr_ranges_divide(const struct wr_want *want, size_t n, const struct wr_ranges_limits *limits,
    struct wr_range *out)
{
    size_t ranges = 0;

    for (size_t i = 0; i < n; i++) {
        const struct wr_spot *s = &want[i].s;
        struct wr_range *r = ranges ? &out[ranges - 1] : NULL;
        uint64_t end = s->off + s->length;

        if (r && s->in == want[r->from].s.in && s->off - (r->off + r->n) <= limits->gap &&
            end - r->off <= limits->most) {
            r->n = (size_t)(end - r->off);
            r->to = i + 1;
        } else {
            out[ranges++] =
                (struct wr_range){.from = i, .to = i + 1, .off = s->off, .n = s->length};
        }
    }
    return ranges;
}
