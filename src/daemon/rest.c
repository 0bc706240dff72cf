/*
 * rest.c - see rest.h.
 */
#include "daemon/rest.h"

void wr_rest_begin(struct wr_rest *r, uint64_t told)
{
    r->hint = told != r->told;
    r->told = told;
    r->moved = r->news = false;
}

void wr_rest_saw(struct wr_rest *r, bool moved, bool news)
{
    r->moved = r->moved || moved;
    r->news = r->news || news;
}

/* Whether commits came of which nobody told, not even by the look after the one that saw them; and
 * that has happened too often, as of now. */
static bool doubt_hearing(struct wr_rest *r)
{
    bool was_untold = r->untold;

    r->untold = r->rests && r->news && !r->hint;
    return was_untold && !r->hint && ++r->deaf == WR_REST_DEAF_MAX;
}

int64_t wr_rest_end(struct wr_rest *r, int64_t now_ns, bool well, bool *ret_deaf)
{
    int64_t rest_ms = WR_REST_LOOKS * r->interval_ms;

    assert(now_ns != 0);
    *ret_deaf = doubt_hearing(r);
    if (r->hint || r->moved || r->untold || !well)
        r->still_ns = 0;
    else if (r->still_ns == 0)
        r->still_ns = now_ns;
    r->rests = r->hears && r->deaf < WR_REST_DEAF_MAX && r->still_ns != 0 &&
               now_ns - r->still_ns >= WR_REST_STILL * r->interval_ms * 1000000;
    return r->rests ? rest_ms : r->interval_ms;
}

int64_t wr_rest_more_ms(int64_t interval_ms)
{
    return (WR_REST_LOOKS - 1) * interval_ms;
}
