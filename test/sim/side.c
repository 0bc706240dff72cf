/*
 * side.c - see side.h.
 */
#include "sim/side.h"

#include "engine/primary.h"
#include "sim/disk.h"
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

static void name_meta(char *out, size_t size, const char *path, const char *name)
{
    const struct wr_str dir = wr_path_dir(path), base = wr_path_base(path);

    (void)snprintf(out, size, WR_FMT "/." WR_FMT "-weir%s", WR_ARG(dir), WR_ARG(base), name);
}

void side_copy_number(const char *from, const char *to)
{
    char name[128], text[17];
    struct wr_err e = {0};
    const uint8_t *p;
    size_t n = 0;

    name_meta(name, sizeof(name), from, "/node");
    p = disk_peek(name, &n);
    if (!p || n < sizeof(text))
        return;
    memcpy(text, p, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\n';
    name_meta(name, sizeof(name), to, "");
    if (wr_mkdirs(disk_fs(), name, 0700, &e) != WR_OK)
        sim_fail("%s", e.text);
    name_meta(name, sizeof(name), to, "/node");
    disk_plant(name, text, sizeof(text));
    sim_trace("%s has the number of %s", to, from);
}
