/*
 * hurry.c - see hurry.h.
 */
#include "sim/hurry.h"

#include "sim/epochs.h"

#define MS       INT64_C(1000000)
#define SENT_MAX 1024u     /* files, until it has to know */
#define NEAR_NS  (20 * MS) /* from a store to one that can do that */

bool hurry_can(const struct store *s)
{
    return store_latency_ns(s) <= NEAR_NS && !store_lists_little(s);
}

void hurry_daemon(struct side *t)
{
    t->o.interval_ns = MS;
}

int64_t hurry_begin(const struct side *t)
{
    const int64_t latency_ns = store_latency_ns(t->o.stores[0]);
    struct app_opts app = t->app;

    app.steady = true;
    app.think_ns = latency_ns;
    (void)app_start(t->name, &app);
    return 4 * latency_ns;
}

void hurry_look(struct side *t)
{
    if (epochs_sent(false) > SENT_MAX)
        sim_fail("P4: the old primary sends without a pause, and does not ask who was promoted");
    side_ask(t);
}
