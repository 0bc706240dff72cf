/*
 * side.c - see side.h.
 */
#include "sim/side.h"

#include "engine/primary.h"
#include "sim/tape.h"

#define MS     INT64_C(1000000)
#define SECOND INT64_C(1000000000)

void side_look_alive(struct side *t)
{
    if (!daemon_runs(t->daemon))
        t->daemon = daemon_start(t->daemon_name, &t->o);
}

void side_work(const struct side *t, uint64_t max_ns)
{
    (void)app_start(t->name, &t->app);
    sim_sleep((int64_t)tape_between(10 * (uint64_t)MS, max_ns));
    app_stop_all();
}

void side_ask(struct side *t)
{
    if (daemon_runs(t->daemon))
        (void)daemon_sync(t->daemon, 20 * SECOND, t->acked);
}

void side_work_and_ask(struct side *t, uint64_t max_ns)
{
    (void)app_start(t->name, &t->app);
    for (uint32_t i = 1 + tape_below(8); i > 0; i--) {
        sim_sleep((int64_t)tape_between((uint64_t)MS, max_ns));
        side_ask(t);
    }
    app_stop_all();
    side_ask(t);
}

void side_come_back(struct side *t)
{
    sim_trace("%s comes back", t->daemon_name);
    store_cut_off(t->o.stores[0], NULL);
    if (daemon_runs(t->daemon))
        sim_proc_cont(daemon_proc(t->daemon));
    side_look_alive(t);
}

bool side_has_stopped(struct side *t)
{
    struct wr_replica_status now;

    return daemon_replica(t->daemon, &now) && now.state == WR_REPLICA_STOPPED &&
           now.error == WR_CONFLICT;
}
