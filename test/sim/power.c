/*
 * power.c - see power.h.
 */
#include "sim/power.h"

#include "sim/tape.h"

static struct {
    void (*kill_all)(void);
    void (*cut)(void);
    bool may;
} x;

void power_begin(void (*kill_all)(void), void (*cut)(void), bool may)
{
    x.kill_all = kill_all;
    x.cut = cut;
    x.may = may;
}

void power_maybe_cut(uint32_t permille)
{
    bool now;

    tape_apart(true);
    now = tape_chance(permille) && x.may;
    tape_apart(false);
    if (!now)
        return;
    x.kill_all();
    x.cut();
}
