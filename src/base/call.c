/*
 * call.c - whether to go on, and for how long.
 */
#include "base/call.h"

enum wr_status wr_call_check(const struct wr_call *c, const char *what, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    if (wr_cancel_is(c->cancel))
        st = WR_CANCELED;
    else if (wr_call_left_ms(c, 1) == 0)
        st = WR_TIMEOUT;
    return st == WR_OK ? WR_OK : wr_fail(e, st, "%s: %s", what, wr_status_text(st));
}

int64_t wr_call_left_ms(const struct wr_call *c, int64_t cap)
{
    int64_t now_ms;

    assert(cap >= 0);
    if (c->deadline_ms == WR_NEVER)
        return cap;
    now_ms = wr_mono_ms(c->clock);
    if (c->deadline_ms <= now_ms)
        return 0;
    /* A deadline before the clock's start is past: the difference of what is left cannot overflow.
     */
    assert(now_ms >= 0);
    return wr_min(c->deadline_ms - now_ms, cap);
}

enum wr_status wr_call_sleep(const struct wr_call *c, int64_t ms, struct wr_err *e)
{
    struct wr_cancel none;
    struct wr_cancel *cancel = c->cancel;
    int64_t left_ms;
    bool canceled;
    enum wr_status st = wr_call_check(c, "wait", e);

    if (st != WR_OK || ms <= 0)
        return st;
    left_ms = wr_call_left_ms(c, ms);
    if (!cancel) {
        wr_cancel_init(&none);
        cancel = &none;
    }
    canceled = wr_cancel_wait(cancel, left_ms);
    if (cancel == &none)
        wr_cancel_release(&none);
    if (canceled)
        st = WR_CANCELED;
    else if (left_ms < ms)
        st = WR_TIMEOUT;
    return st == WR_OK ? WR_OK : wr_fail(e, st, "wait: %s", wr_status_text(st));
}
