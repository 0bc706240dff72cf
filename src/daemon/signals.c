/*
 * signals.c - a thread in sigwaitinfo, and what others wait for.
 */
#include "daemon/signals.h"

#include "base/clock.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#define SAME_NS ((int64_t)200000000) /* from one that asks to stop: others are the same request */

static sigset_t our_signals(bool passes_on)
{
    sigset_t set;

    /* These fail only for numbers that are no signals. */
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGCHLD);
    if (passes_on) {
        (void)sigaddset(&set, SIGQUIT);
        (void)sigaddset(&set, SIGUSR1);
        (void)sigaddset(&set, SIGUSR2);
        (void)sigaddset(&set, SIGWINCH);
        (void)sigaddset(&set, SIGTTIN); /* gunicorn and its like: one worker more, */
        (void)sigaddset(&set, SIGTTOU); /* and one less */
    }
    return set;
}

/* Under the lock: one that was meant to stop us, or the child. */
static void note_stop(struct wr_signals *s, int sig)
{
    s->stop_signal = sig;
    s->stop_ns = wr_mono_ns(wr_clock_system());
}

/* Under the lock: one signal that asks us to stop. */
static void asked_to_stop(struct wr_signals *s, int sig, bool from_terminal)
{
    /* timeout(1) and others tell a process, and then its group, which it is in: nobody has lost
     * patience between the two, and a last sync is not to be given up for that. */
    if (s->stop_signal && wr_mono_ns(wr_clock_system()) - s->stop_ns < SAME_NS)
        return;
    if (s->stop_signal) {
        if (s->child && !from_terminal)
            (void)kill(s->child, sig); /* it may be gone already */
        _exit(s->second_exit);
    }
    note_stop(s, sig);
    s->from_terminal = from_terminal;
}

static bool asks_to_stop(int sig)
{
    return sig == SIGINT || sig == SIGTERM || sig == SIGQUIT || sig == SIGHUP;
}

/* Under the lock. What ends a program is for all that it has started, as with Ctrl-C, and as
 * service managers do it. All else is for a program that knows what it means: in others USR1 means
 * death. */
static void pass_on(struct wr_signals *s, int sig, bool from_terminal)
{
    const bool ends = sig == SIGINT || sig == SIGTERM || sig == SIGQUIT;

    /* From a terminal it has reached our group, and a child in it, already. */
    if (s->child < 0 || !from_terminal)
        (void)kill(ends ? s->child : abs(s->child), sig); /* it may be gone already */
    if (ends) /* a second one is for the child to understand, too */
        note_stop(s, sig);
}

static void run(void *arg)
{
    struct wr_signals *s = arg;
    const sigset_t set = our_signals(s->passes_on);
    bool stopping = false;

    while (!stopping) {
        siginfo_t info = {0};
        int sig = sigwaitinfo(&set, &info);
        bool first = false;

        if (sig < 0 && errno == EINTR)
            continue;
        wr_mutex_lock(&s->mutex);
        if (sig == SIGCHLD) {
            s->child_changed = true;
        } else if (sig == SIGHUP && info.si_code <= 0 && s->reloads) {
            s->reload_asked = true;
        } else if (sig > 0 && s->passes_on && s->child) {
            pass_on(s, sig, info.si_code > 0);
        } else if (sig > 0 && asks_to_stop(sig)) {
            first = !s->stop_signal;
            asked_to_stop(s, sig, info.si_code > 0);
        }
        stopping = s->stopping || sig < 0;
        wr_cond_broadcast(&s->cond);
        wr_mutex_unlock(&s->mutex);
        if (first)
            weir_cancel_now(s->cancel);
    }
}

static enum wr_status start(struct wr_signals *s, struct wr_err *e)
{
    const struct sigaction by_default = {.sa_handler = SIG_DFL};
    const sigset_t set = our_signals(s->passes_on);
    enum wr_status st;

    /* A parent may have left SIGCHLD ignored: then children would vanish with their exit codes. */
    if (sigaction(SIGCHLD, &by_default, NULL) != 0)
        return wr_fail_errno(e, errno, "cannot set up signals");
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return wr_fail(e, WR_INTERNAL, "cannot block signals");
    wr_mutex_init(&s->mutex);
    wr_cond_init(&s->cond);
    st = wr_thread_start(&s->thread, "signals", 0, run, s, e);
    if (st != WR_OK) {
        wr_cond_release(&s->cond);
        wr_mutex_release(&s->mutex);
    }
    return st;
}

enum wr_status wr_signals_start(
    struct wr_signals *s, weir_cancel *cancel, int second_exit, struct wr_err *e)
{
    *s = (struct wr_signals){.cancel = cancel, .second_exit = second_exit};
    return start(s, e);
}

enum wr_status wr_signals_start_for_child(
    struct wr_signals *s, weir_cancel *cancel, int second_exit, struct wr_err *e)
{
    *s = (struct wr_signals){.cancel = cancel, .second_exit = second_exit, .passes_on = true};
    return start(s, e);
}

void wr_signals_stop(struct wr_signals *s)
{
    wr_mutex_lock(&s->mutex);
    s->stopping = true;
    wr_mutex_unlock(&s->mutex);
    (void)pthread_kill(s->thread.t, SIGCHLD); /* rouses it; the thread has not been joined yet */
    wr_thread_join(&s->thread);
    wr_cond_release(&s->cond);
    wr_mutex_release(&s->mutex);
}

void wr_signals_hold(struct wr_signals *s)
{
    wr_mutex_lock(&s->mutex);
}

int wr_signals_let_go(struct wr_signals *s, pid_t child)
{
    int sig = s->stop_signal;

    assert(wr_mutex_mine(&s->mutex));
    s->child = child;
    wr_mutex_unlock(&s->mutex);
    return sig;
}

int wr_signals_asked(struct wr_signals *s)
{
    int sig;

    wr_mutex_lock(&s->mutex);
    sig = s->stop_signal;
    wr_mutex_unlock(&s->mutex);
    return sig;
}

void wr_signals_let_reload(struct wr_signals *s)
{
    wr_mutex_lock(&s->mutex);
    s->reloads = true;
    wr_mutex_unlock(&s->mutex);
}

void wr_signals_ask_reload(struct wr_signals *s)
{
    wr_mutex_lock(&s->mutex);
    s->reload_asked = true;
    wr_cond_broadcast(&s->cond);
    wr_mutex_unlock(&s->mutex);
}

bool wr_signals_reload_asked(struct wr_signals *s)
{
    bool asked;

    wr_mutex_lock(&s->mutex);
    asked = s->reload_asked;
    wr_mutex_unlock(&s->mutex);
    return asked;
}

void wr_signals_take_reload(struct wr_signals *s)
{
    wr_mutex_lock(&s->mutex);
    s->reload_asked = false;
    wr_mutex_unlock(&s->mutex);
}

int wr_signals_wait(struct wr_signals *s, bool only_child)
{
    int sig = 0;

    wr_mutex_lock(&s->mutex);
    while (!s->child_changed && (only_child || (!s->stop_signal && !s->reload_asked)))
        wr_cond_wait(&s->cond, &s->mutex);
    if (s->child_changed)
        s->child_changed = false; /* first: the child may be what the signal has just ended */
    else
        sig = s->stop_signal;
    wr_mutex_unlock(&s->mutex);
    return sig;
}

void wr_signals_wait_ms(struct wr_signals *s, int64_t ms)
{
    int64_t end = wr_mono_ns(wr_clock_system()) + ms * 1000000;

    wr_mutex_lock(&s->mutex);
    while (!s->stop_signal && !s->reload_asked && wr_cond_wait_until(&s->cond, &s->mutex, end))
        ;
    wr_mutex_unlock(&s->mutex);
}

const char *wr_signal_text(int sig)
{
    switch (sig) {
    case SIGINT:
        return "interrupt";
    case SIGTERM:
        return "terminated";
    case SIGHUP:
        return "hangup";
    case SIGQUIT:
        return "quit";
    default:
        return "signal";
    }
}
