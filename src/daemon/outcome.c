/*
 * outcome.c - see outcome.h.
 */
#include "daemon/outcome.h"

#include "base/mem.h"
#include "base/str.h"

struct wr_outcome *wr_outcome_new(void)
{
    struct wr_outcome *o = wr_alloc(sizeof(*o));

    if (!o)
        return NULL;
    wr_arena_init(&o->arena, WR_ARENA_MAX);
    o->last = &o->first;
    return o;
}

void wr_outcome_free(struct wr_outcome *o)
{
    if (!o)
        return;
    wr_arena_release(&o->arena);
    wr_free(o);
}

void wr_outcome_put(
    struct wr_outcome *o, enum wr_outcome_kind kind, const char *name, const char *why)
{
    const size_t room =
        kind == WR_OUTCOME_FAILED ? (size_t)2 * WR_OUTCOME_ITEMS : (size_t)WR_OUTCOME_ITEMS;
    struct wr_outcome_item *item;

    if (!o)
        return;
    o->counts[kind]++;
    item = o->listed < room ? wr_arena_alloc(&o->arena, sizeof(*item)) : NULL;
    if (!item)
        return;
    item->kind = kind;
    item->name = wr_arena_str(&o->arena, wr_str(name)).p;
    item->why = wr_arena_str(&o->arena, wr_str(why)).p;
    if (!item->name || !item->why)
        return;
    o->listed++;
    *o->last = item;
    o->last = &item->next;
}

void wr_outcome_refuse(struct wr_outcome *o, const char *why)
{
    if (!o)
        return;
    o->refused = wr_arena_str(&o->arena, wr_str(why)).p;
    if (!o->refused)
        o->refused = "out of memory";
}
