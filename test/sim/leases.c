/*
 * leases.c - see leases.h.
 */
#include "sim/leases.h"

#include "base/str.h"
#include "sim/fiber.h"

#include <inttypes.h>

#define LEASES_MAX 64

static struct {
    struct lease all[LEASES_MAX]; /* the last one holds */
    size_t n;
} x;

const struct lease *leases_held(void)
{
    static const struct lease nobody;

    return x.n > 0 ? &x.all[x.n - 1] : &nobody;
}

static uint64_t hex_member(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    uint64_t v = 0;

    if (!at || !wr_parse_hex64((struct wr_str){at + strlen(name), 16}, &v))
        sim_fail("P7: a lease without %s: %s", name, text);
    return v;
}

static uint64_t epoch_member(const char *text)
{
    static const char name[] = "\"epoch\":";
    const char *at = strstr(text, name);
    uint64_t v = 0;

    for (at = at ? at + strlen(name) : ""; *at >= '0' && *at <= '9'; at++)
        v = 10 * v + (uint64_t)(*at - '0');
    return v;
}

void leases_note(const uint8_t *p, size_t n)
{
    static const char owner[] = "\"owner\":\"sim:";
    char text[512] = "";
    const uint64_t last = leases_held()->epoch;
    struct lease *l = &x.all[x.n];
    const char *at;

    memcpy(text, p, wr_min(n, sizeof(text) - 1));
    if (x.n == LEASES_MAX)
        sim_fail("P7: %d leases", LEASES_MAX);
    *l = (struct lease){.epoch = epoch_member(text),
        .node = hex_member(text, "\"node\":\""),
        .token = hex_member(text, "\"token\":\"")};
    at = strstr(text, owner);
    for (size_t i = 0; at && i + 1 < sizeof(l->path) && at[strlen(owner) + i] != '"'; i++)
        l->path[i] = at[strlen(owner) + i];
    if (!at)
        l->node = 0;
    if (l->epoch <= last)
        sim_fail("P7: the lease has epoch %" PRIu64 " behind epoch %" PRIu64 ": %s", l->epoch, last,
            text);
    sim_trace("epoch %" PRIu64 " is that of %s", l->epoch, l->node ? l->path : "the first primary");
    x.n++;
}

struct lease *leases_find(uint64_t node)
{
    for (size_t i = x.n; i-- > 0;) {
        if (x.all[i].node == node)
            return &x.all[i];
    }
    return NULL;
}

bool leases_is_loser(uint64_t node)
{
    const struct lease *l = node ? leases_find(node) : NULL;

    return l && !l->promoted;
}
