/*
 * refused.c - see refused.h.
 */
#include "daemon/refused.h"

void wr_refused_init(struct wr_refused *r, int64_t now_ms)
{
    *r = (struct wr_refused){.last = {.taken_ms = now_ms}};
    wr_mutex_init(&r->mutex);
}

void wr_refused_release(struct wr_refused *r)
{
    wr_mutex_release(&r->mutex);
}

void wr_refused_put(struct wr_refused *r, const char *why, int64_t now_ms)
{
    wr_mutex_lock(&r->mutex);
    (void)snprintf(r->last.why, sizeof(r->last.why), "%s", why[0] ? why : "?"); /* cut if it must */
    for (char *p = r->last.why; *p; p++) /* a line is a line, whatever a name in it holds */
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    r->last.refused_ms = now_ms;
    wr_mutex_unlock(&r->mutex);
}

void wr_refused_clear(struct wr_refused *r, int64_t now_ms)
{
    wr_mutex_lock(&r->mutex);
    r->last = (struct wr_refusal){.taken_ms = now_ms};
    wr_mutex_unlock(&r->mutex);
}

void wr_refused_look(struct wr_refused *r, struct wr_refusal *ret)
{
    wr_mutex_lock(&r->mutex);
    *ret = r->last;
    wr_mutex_unlock(&r->mutex);
}
