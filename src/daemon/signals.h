/*
 * signals.h - SIGINT, SIGTERM, SIGHUP and SIGCHLD as events, on a thread of their own. For who
 * stands for a child, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGTTIN and SIGTTOU as well.
 *
 * locked. No handler is installed; the signals stay blocked and a thread waits for them, so that
 * nothing ever runs in a signal handler.
 */
#ifndef WR_DAEMON_SIGNALS_H
#define WR_DAEMON_SIGNALS_H

#include "base/base.h"
#include "base/status.h"
#include "base/sync.h"

#include <sys/types.h>

#include <weir.h>

struct wr_signals {
    struct wr_mutex mutex;
    struct wr_cond cond;
    struct wr_thread thread;
    weir_cancel *cancel; /* NULL: none */
    int second_exit;
    int stop_signal; /* guarded: the first that asked us to stop, 0 before */
    int64_t stop_ns; /* guarded: when, and with a child when it was last told */
    bool
        from_terminal; /* written before stop_signal: it came from the kernel, to our whole group */
    bool child_changed; /* guarded: a SIGCHLD came since the last wait */
    bool reloads;       /* guarded: SIGHUP from another process does not ask to stop */
    bool reload_asked;  /* guarded: such a one came */
    bool passes_on;     /* the child is who all signals are for */
    pid_t child;        /* guarded: for kill(2); 0 when there is none */
    bool stopping;      /* guarded */
};

/* Block the signals and start the thread; to be called before any other thread is. The first signal
 * that asks to stop cancels `cancel`; a second one ends the process at once with `second_exit`,
 * unless it comes in the same moment: that is one request, sent to us and to our group. */
enum wr_status wr_signals_start(
    struct wr_signals *s, weir_cancel *cancel, int second_exit, struct wr_err *e) WR_MUST_CHECK;
void wr_signals_stop(struct wr_signals *s); /* the signals stay blocked */

/* The same for who stands for a child. While there is one, each signal goes to it, and none ends
 * us; SIGINT, SIGTERM and SIGQUIT go to all of its group, if it has one. Before and after, SIGQUIT
 * asks to stop as well, and the other three are lost. A stop that the child was asked for counts as
 * the first one. */
enum wr_status wr_signals_start_for_child(
    struct wr_signals *s, weir_cancel *cancel, int second_exit, struct wr_err *e) WR_MUST_CHECK;

/* Between the two a child begins, or what it was is reaped: whoever sends a signal meanwhile, as
 * the child itself may, sends it to the one that there is afterwards. `child` is its number, or
 * minus that of its process group; 0: there is none. Returns the first signal that had asked to
 * stop before, or 0: it was not passed on. */
void wr_signals_hold(struct wr_signals *s);
int wr_signals_let_go(struct wr_signals *s, pid_t child);

/* The first signal that asked to stop, or 0. */
int wr_signals_asked(struct wr_signals *s);

/* From now on a SIGHUP that another process sends asks to read the configuration again. The one
 * that a terminal sends when it goes away still asks to stop. */
void wr_signals_let_reload(struct wr_signals *s);
/* The same as one that came, from another thread. */
void wr_signals_ask_reload(struct wr_signals *s);
/* Whether one came since it was last taken. */
bool wr_signals_reload_asked(struct wr_signals *s);
void wr_signals_take_reload(struct wr_signals *s);

/* Wait until asked to stop (returns the signal), or to reload or a child changed (returns 0). With
 * `only_child` only a child ends it. */
int wr_signals_wait(struct wr_signals *s, bool only_child);

/* Wait `ms` milliseconds, or until asked to stop or to reload. */
void wr_signals_wait_ms(struct wr_signals *s, int64_t ms);

/* "interrupt", "terminated", "hangup". */
const char *wr_signal_text(int sig);

#endif
