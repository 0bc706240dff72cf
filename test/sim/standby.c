/*
 * standby.c - see standby.h.
 */
#include "sim/standby.h"

#include "sim/commits.h"
#include "sim/disk.h"
#include "sim/epochs.h"
#include "sim/tape.h"
#include "sim/verdict.h"

#define MS INT64_C(1000000)

static const struct {
    const char *dir, *path, *name, *daemon_name;
} kinds[] = {
    {"/copy", "/copy/app.db", "app1", "weir2"}, {"/copy2", "/copy2/app.db", "app2", "weir3"}};

static struct standby *all[wr_countof(kinds)];

/* By one of them, in its own process. */
static void acked(uint64_t txid, size_t commits)
{
    (void)txid;
    for (size_t i = 0; i < wr_countof(all); i++) {
        if (all[i] && all[i]->runs && daemon_proc(all[i]->side.daemon) == sim_proc_current())
            epochs_acked_by(all[i]->db, commits);
    }
}

static void has_begun(struct follower *w, const struct wr_follow *f)
{
    (void)f;
    wr_container_of(w, struct standby, follower)->has_copy = true;
}

/* What it has followed may have been astray: then it says so, by names or by the checksums of its
 * pages, and begins anew. */
static void judge_failure(struct follower *w, enum wr_status st, const char *text)
{
    bool ended = st == WR_CONFLICT || st == WR_CORRUPT;

    if (ended && epochs_strays() > 0)
        w->anew = true;
    else if (ended)
        sim_fail("P4: the copy is given up: %s", text);
}

void standby_init(struct standby *s, const struct side *like, unsigned which)
{
    struct wr_err e = {0};

    assert(which < wr_countof(kinds));
    all[which] = s;
    *s = (struct standby){.side = *like,
        .follower = {.path = kinds[which].path,
            .interval_ns = like->o.interval_ns,
            .least_ns = MS,
            .stands = has_begun,
            .failed = judge_failure},
        .promoter = {.path = kinds[which].path}};
    s->side.name = kinds[which].name;
    s->side.daemon_name = kinds[which].daemon_name;
    s->side.daemon = NULL;
    s->side.app.path = s->side.o.path = kinds[which].path;
    s->side.o.seed += 1 + which;
    s->side.acked = acked;
    if (wr_mkdirs(disk_fs(), kinds[which].dir, 0700, &e) != WR_OK)
        sim_fail("%s", e.text);
}

void standby_end_follower(struct standby *s)
{
    if (tape_below(2))
        follower_kill(&s->follower);
    follower_end(&s->follower);
}

void standby_take_over(struct standby *s)
{
    assert(s->promoter.promoted && !s->runs);
    s->db = commits_init(s->side.o.path, s->side.o.lock_offset);
    commits_look();
    epochs_goes_on(s->promoter.node, s->db);
    s->runs = true;
}

void standby_kill(struct standby *s)
{
    if (daemon_runs(s->side.daemon))
        sim_kill(daemon_proc(s->side.daemon));
    promoter_kill(&s->promoter);
    follower_kill(&s->follower);
}
