/*
 * takeover.c - see takeover.h.
 */
#include "sim/takeover.h"

#include "sim/epochs.h"
#include "sim/hurry.h"
#include "sim/power.h"
#include "sim/tape.h"

#define MS        INT64_C(1000000)
#define SECOND    INT64_C(1000000000)
#define MINUTE    (60 * SECOND)
#define PAUSED_NS (30 * SECOND) /* at most: an application waits for a minute */
#define DONE_NS   (60 * MINUTE) /* in which a promotion comes to its end, once all is well */
#define DURING    40u           /* permille of a power cut, with each look at the promotion */
#define WORKS     12u           /* of the application, beside one promotion; then it rests */

/* What becomes of the old primary before the promotion. */
enum attack {
    STOPPED,
    KILLED,
    PAUSED,
    CUT_OFF,
    ALIVE,
    ATTACKS = ALIVE + 3
};

static struct {
    const struct takeover *t;
    enum attack how;
    int64_t paused_until;
    bool is_back;
} y;

static enum attack draw_attack(void)
{
    const uint32_t how = tape_below(ATTACKS);

    if (y.t->hurries)
        return ALIVE;
    return how < ALIVE ? (enum attack)how : ALIVE;
}

static void attack(struct side *old)
{
    static const char *const names[] = {"stopped", "killed", "paused", "cut off", "alive"};

    sim_trace("the old primary is %s", names[y.how]);
    side_look_alive(old);
    if (y.how == STOPPED)
        daemon_stop(old->daemon);
    if (y.how == KILLED)
        sim_kill(daemon_proc(old->daemon));
    if (y.how == PAUSED)
        sim_proc_stop(daemon_proc(old->daemon));
    if (y.how == CUT_OFF)
        store_cut_off(old->o.stores[0], daemon_proc(old->daemon));
}

static void come_back(void)
{
    y.is_back = true;
    side_come_back(y.t->old);
}

/* Whoever has the lease, if it has come to its end. */
static struct standby *winner(void)
{
    for (size_t i = 0; i < y.t->n; i++) {
        struct standby *s = y.t->copies[i];

        if (s->promoter.promoted && epochs_has_lease(s->promoter.path))
            return s;
    }
    return NULL;
}

static bool anybody_lives(void)
{
    bool any = false;

    for (size_t i = 0; i < y.t->n; i++)
        any = any || promoter_lives(&y.t->copies[i]->promoter);
    return any;
}

/* One that was promoted already writes while the other one promotes: it is an old primary then. */
static void work_early(struct standby *s)
{
    if (!s->promoter.promoted)
        return;
    if (!s->runs)
        standby_take_over(s);
    side_look_alive(&s->side);
    side_work_and_ask(&s->side, SECOND / 4);
}

static void work_others(void)
{
    for (size_t i = 0; y.t->n > 1 && i < y.t->n; i++)
        work_early(y.t->copies[i]);
    if (y.t->older && tape_below(4) == 3) {
        side_look_alive(y.t->older);
        side_work_and_ask(y.t->older, SECOND / 4);
    }
}

/* Until it has ended; the old primary's application goes on meanwhile, and it may come back. */
static void attend(void)
{
    const bool hurries = y.t->copies[0]->promoter.far_ns > 0;
    uint64_t rest = 50 * (uint64_t)MS;

    for (uint32_t i = 0; anybody_lives(); i++) {
        const bool paused = y.how == PAUSED && sim_now_ns() < y.paused_until;

        if (!y.is_back && !paused && (y.how == PAUSED || tape_below(8) == 7))
            come_back();
        if (hurries)
            hurry_look(y.t->old);
        else if (!paused && i < WORKS)
            side_work_and_ask(y.t->old, SECOND / 4);
        if (i < WORKS)
            work_others();
        if (!hurries)
            power_maybe_cut(DURING);
        sim_sleep((int64_t)(rest + tape_between(0, rest)));
        rest = wr_min(2 * rest, 10 * (uint64_t)SECOND);
    }
}

/* What the machine of `s` has in common with another one, which was there before it. */
static void make_from_image(const struct standby *s)
{
    const struct side *of[4] = {y.t->old, y.t->older};

    for (size_t i = 0; i < y.t->n; i++)
        of[2 + i] = &y.t->copies[i]->side;
    of[0] = of[tape_below(4)];
    if (of[0] && of[0] != &s->side)
        side_copy_number(of[0]->o.path, s->side.o.path);
}

static bool start(struct standby *s, bool disturbed)
{
    if (s->promoter.promoted)
        return false;
    if (y.t->images)
        make_from_image(s);
    promoter_leave_alone(&s->promoter);
    if (disturbed)
        promoter_draw_disturbance(&s->promoter);
    promoter_start(&s->promoter);
    return true;
}

/* One of them, or the other, or both; whoever is promoted is so once. */
static void promote(bool disturbed)
{
    const size_t who = tape_below(y.t->n > 1 ? 3 : 1);
    bool any = false;

    for (size_t i = 0; i < y.t->n; i++) {
        if (who != 2 && who != i)
            continue;
        if (any)
            sim_sleep((int64_t)tape_between(0, 2 * (uint64_t)SECOND));
        any = start(y.t->copies[i], disturbed) || any;
    }
    for (size_t i = 0; i < y.t->n && !any; i++)
        any = start(y.t->copies[i], disturbed);
    attend();
}

/* The store's faults are over, and nothing happens any more to whoever promotes. */
static void heal(void)
{
    struct side *old = y.t->old;

    store_heal(old->o.stores[0]);
    sim_trace("healed");
    (void)epochs_sent(true);
    if (y.t->hurries) {
        sim_trace("the old primary hurries");
        come_back();
        y.t->copies[0]->promoter.far_ns = hurry_begin(old);
    }
    if (y.how == CUT_OFF && daemon_runs(old->daemon))
        store_cut_off(old->o.stores[0], daemon_proc(old->daemon));
}

struct standby *takeover_live(const struct takeover *t)
{
    int64_t until;

    y.t = t;
    y.is_back = false;
    y.how = draw_attack();
    attack(t->old);
    y.paused_until = sim_now_ns() + (int64_t)tape_between(0, (uint64_t)PAUSED_NS);
    for (uint32_t i = t->hurries ? 0 : tape_below(6); i > 0 && !winner(); i--)
        promote(true);
    if (t->again && winner())
        return winner();
    heal();
    until = sim_now_ns() + DONE_NS;
    while (!winner()) {
        if (sim_now_ns() > until)
            sim_fail("P4: no promotion comes to its end");
        promote(false);
        sim_sleep(SECOND);
    }
    t->copies[0]->promoter.far_ns = 0;
    app_stop_all();
    return winner();
}
