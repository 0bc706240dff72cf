/*
 * http_pool.c - slots of {easy, multi} handles, kept with their connections for the next request to
 * the same origin.
 *
 * Knows which slot to take and which to close; refuses to know what is sent through one. A slot
 * comes back only when its answer was read to the end: a connection in an unknown state is worth
 * nothing.
 */
#include "net/http_int.h"

#include "base/mem.h"

#define HTTP_IDLE_MS 60000 /* servers hang up at about this age; memory is better spent */
#define HTTP_ORIGINS 16    /* as many times the slots of one origin are kept altogether */

static void slot_wake(struct wr_waker *w)
{
    struct wr_http_slot *s = wr_container_of(w, struct wr_http_slot, waker);
    (void)wr_curl()->multi_wakeup(s->multi); /* when it fails, the next poll ends within a second */
}

static struct wr_http_slot *slot_new(struct wr_str origin)
{
    struct wr_http_slot *s = wr_alloc(sizeof(*s));
    if (s == NULL)
        return NULL;
    s->waker.wake = slot_wake;
    s->origin = wr_strndup(origin.p, origin.n);
    s->easy = wr_curl()->easy_init();
    s->multi = wr_curl()->multi_init();
    if (s->origin == NULL || s->easy == NULL || s->multi == NULL ||
        wr_curl()->multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, 1L) != CURLM_OK) {
        wr_http_slot_free(s);
        return NULL;
    }
    return s;
}

void wr_http_pool_init(struct wr_http_pool *p, size_t idle_max)
{
    *p = (struct wr_http_pool){.idle_max = idle_max};
    wr_mutex_init(&p->mutex);
}

void wr_http_pool_release(struct wr_http_pool *p)
{
    while (p->idle != NULL) {
        struct wr_http_slot *s = p->idle;
        p->idle = s->next;
        wr_http_slot_free(s);
    }
    wr_mutex_release(&p->mutex);
}

/* The most recently used one: its connection is the likeliest to live. */
struct wr_http_slot *wr_http_slot_take(struct wr_http_pool *p, struct wr_str origin)
{
    struct wr_http_slot *found = NULL;
    wr_mutex_lock(&p->mutex);
    for (struct wr_http_slot **at = &p->idle; *at != NULL; at = &(*at)->next) {
        if (!wr_str_eq(wr_str((*at)->origin), origin))
            continue;
        found = *at;
        *at = found->next;
        p->n--;
        break;
    }
    wr_mutex_unlock(&p->mutex);
    return found != NULL ? found : slot_new(origin);
}

/* Closes those that were idle too long or are too many, of this origin or altogether: a busy origin
 * must not cost the others their connections. */
void wr_http_slot_give(struct wr_http_pool *p, struct wr_http_slot *s)
{
    struct wr_http_slot *drop = NULL;
    int64_t now = wr_mono_ms(wr_clock_system());
    if (!s->plain)
        wr_curl()->easy_reset(s->easy); /* forgets pointers; keeps the connection */
    s->idle_since_ms = now;
    wr_mutex_lock(&p->mutex);
    s->next = p->idle;
    p->idle = s;
    p->n++;
    size_t kept = 0, alike = 0;
    for (struct wr_http_slot **at = &p->idle; *at != NULL;) {
        struct wr_http_slot *i = *at;
        bool is_alike = wr_str_eq(wr_str(i->origin), wr_str(s->origin));
        if (now - i->idle_since_ms < HTTP_IDLE_MS && kept < p->idle_max * HTTP_ORIGINS &&
            !(is_alike && alike == p->idle_max)) {
            kept++;
            alike += is_alike;
            at = &i->next;
            continue;
        }
        *at = i->next;
        i->next = drop;
        drop = i;
    }
    p->n = kept;
    wr_mutex_unlock(&p->mutex);
    while (drop != NULL) {
        struct wr_http_slot *next = drop->next;
        wr_http_slot_free(drop);
        drop = next;
    }
}

void wr_http_slot_free(struct wr_http_slot *s)
{
    if (s == NULL)
        return;
    wr_curl()->easy_cleanup(s->easy);
    if (s->multi != NULL)
        (void)wr_curl()->multi_cleanup(s->multi); /* its only handle is gone */
    wr_free(s->origin);
    wr_free(s);
}

size_t wr_http_pool_idle(struct wr_http_pool *p)
{
    wr_mutex_lock(&p->mutex);
    size_t n = p->n;
    wr_mutex_unlock(&p->mutex);
    return n;
}
