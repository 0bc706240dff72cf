/*
 * waits.c - see waits.h.
 */
#include "sim/waits.h"

#include "sim/vfs.h"

struct call {
    int64_t waited_ns;
    bool patient; /* it has waited for another application */
};

static struct sim_notes calls; /* struct call */
static int64_t longest_ns, excused_until_ns;
static uint64_t n_calls, n_rare;

static struct call *call_of_running(void)
{
    return sim_note(&calls, sim_proc_current(), sizeof(struct call));
}

static bool is_ours(const struct sim_proc *p)
{
    return strncmp(sim_proc_name(p), "weir", 4) == 0;
}

static void on_wait(const struct vfs_wait *w)
{
    const struct sim_proc *who = sim_proc_current();
    struct call *c = call_of_running();
    int64_t before_ns;

    if (is_ours(who) || sim_now_ns() < excused_until_ns)
        return;
    if (!is_ours(w->holder)) {
        c->patient = true;
        return;
    }
    if (sim_proc_stopped_until(who) > w->from_ns || sim_proc_stopped_until(w->holder) > w->from_ns)
        return;
    before_ns = c->waited_ns;
    c->waited_ns += c->patient ? w->held_ns : w->to_ns - w->from_ns;
    n_rare += before_ns <= WAITS_RARE_NS && c->waited_ns > WAITS_RARE_NS;
    longest_ns = wr_max(longest_ns, c->waited_ns);
    sim_trace("waited for %s, %lld us in this call", sim_proc_name(w->holder),
        (long long)(c->waited_ns / 1000));
    if (c->waited_ns > WAITS_MAX_NS)
        sim_fail("A2: a call waited for %s for %lld ms", sim_proc_name(w->holder),
            (long long)(c->waited_ns / 1000000));
}

void waits_init(void)
{
    vfs_on_wait = on_wait;
}

void waits_begin(void)
{
    *call_of_running() = (struct call){0};
    n_calls++;
}

int64_t waits_longest_ns(void)
{
    return longest_ns;
}

uint64_t waits_calls(void)
{
    return n_calls;
}

uint64_t waits_rare(void)
{
    return n_rare;
}

void waits_excuse(int64_t until_ns)
{
    excused_until_ns = until_ns;
}
