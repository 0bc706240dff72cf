/*
 * fiber.c - see fiber.h. Which fiber is next, and when it is, that is all that is decided here.
 *
 * There is one clock. It moves by what system calls cost and, when nobody can run, to the next time
 * that somebody waits for. A switch happens only inside sim_yield and the waits.
 */
#if defined(__linux__)
/* For MAP_ANONYMOUS and MAP_STACK. */
#define _DEFAULT_SOURCE 1 /* NOLINT(bugprone-reserved-identifier) */
#endif

#include "sim/fiber.h"

#include "base/mem.h"
#include "sim/tape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define FIBER_ASAN 1
#endif

#define STACK      ((size_t)512 << 10) /* touched pages alone cost anything */
#define GUARD      ((size_t)4096)
#define FIBERS_MAX 256
#define PROCS_MAX  4096
#define EXITS_MAX  8
#define SPARE_MAX  16

enum fiber_state {
    FIBER_READY,
    FIBER_WAITING,
    FIBER_ENDED
};

struct sim_fiber {
    ucontext_t context; /* where it begins; with the sanitizer, where it goes on */
    jmp_buf at;         /* where it goes on */
    bool begun, returned;
    struct sim_proc *proc;
    const char *name;
    void (*run)(void *arg);
    void *arg;
    void *stack;
    enum fiber_state state;
    int64_t wake_at; /* while WAITING; SIM_NEVER: only if roused */
    bool roused;
    struct sim_queue *queue; /* that it waits in, or NULL */
    struct sim_fiber *next;  /* in that queue */
    struct sim_queue joiners;
#ifdef FIBER_ASAN
    void *fake_stack;
#endif
};

struct sim_proc {
    char name[24];
    int id;
    bool dead, stopped;
    int64_t continued_ns; /* 0: never */
};

bool sim_tracing;

static struct {
    struct sim_fiber *all[FIBERS_MAX]; /* that have not ended, in order of their birth */
    size_t n;
    struct sim_fiber *now;
    int64_t now_ns;
    uint32_t countdown, pace; /* yields until somebody else may run */
    struct sim_proc *procs[PROCS_MAX];
    int n_procs;
    void (*exits[EXITS_MAX])(struct sim_proc *p);
    int n_exits;
    void *spare[SPARE_MAX]; /* stacks of fibers that have returned; others may be pointed to */
    size_t n_spare;
    struct sim_fiber *left; /* the one before */
#ifdef FIBER_ASAN
    const void *first_bottom; /* the stack that main() has */
    size_t first_size;
#endif
} sim;

/* ---- telling ---- */

static void say(const char *what, const char *fmt, va_list ap)
{
    (void)fprintf(
        stderr, "%12.6f %-10s ", (double)sim.now_ns / 1e9, sim.now ? sim.now->proc->name : "-");
    if (what[0])
        (void)fprintf(stderr, "%s: ", what);
    (void)vfprintf(stderr, fmt, ap);
    (void)fputc('\n', stderr);
}

void sim_fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("FAILED", fmt, ap);
    va_end(ap);
    (void)fflush(NULL);
    _exit(SIM_FAILED);
}

void sim_trace(const char *fmt, ...)
{
    va_list ap;

    if (!sim_tracing)
        return;
    va_start(ap, fmt);
    say("", fmt, ap);
    va_end(ap);
}

/* ---- switching ---- */

static void forget(struct sim_fiber *f)
{
    size_t i = 0;

    while (sim.all[i] != f)
        i++;
    memmove(&sim.all[i], &sim.all[i + 1], (--sim.n - i) * sizeof(sim.all[0]));
}

static void leave_queue(struct sim_fiber *f)
{
    struct sim_queue *q = f->queue;
    struct sim_fiber *before = NULL;

    if (!q)
        return;
    for (struct sim_fiber *x = q->first; x != f; x = x->next)
        before = x;
    if (before)
        before->next = f->next;
    else
        q->first = f->next;
    if (q->last == f)
        q->last = before;
    f->queue = NULL;
}

static bool may_run(const struct sim_fiber *f)
{
    return f->state == FIBER_READY && !f->proc->stopped;
}

/* Rouse those whose time has come; the next time that somebody waits for. */
static int64_t tick(void)
{
    int64_t next = SIM_NEVER;

    for (size_t i = 0; i < sim.n; i++) {
        struct sim_fiber *f = sim.all[i];

        if (f->state != FIBER_WAITING)
            continue;
        if (f->wake_at <= sim.now_ns) {
            leave_queue(f);
            f->state = FIBER_READY;
        } else if (!f->proc->stopped) {
            next = wr_min(next, f->wake_at);
        }
    }
    return next;
}

/* Who goes on; time passes until somebody can. */
static struct sim_fiber *choose(void)
{
    for (;;) {
        int64_t next = tick();
        uint32_t ready = 0, which;

        for (size_t i = 0; i < sim.n; i++)
            ready += may_run(sim.all[i]);
        if (ready > 0) {
            which = tape_below(ready);
            for (size_t i = 0;; i++) {
                if (may_run(sim.all[i]) && which-- == 0)
                    return sim.all[i];
            }
        }
        if (next == SIM_NEVER)
            sim_fail("everybody waits for what never comes");
        sim.now_ns = next;
    }
}

/* How many yields to go on for. The dull choice is many. */
static uint32_t draw_countdown(void)
{
    uint32_t x = tape_below(8);

    return x == 0 ? 16 * sim.pace : 1 + x * sim.pace / 4;
}

/* Tell the address sanitizer which stack is left, and which one is in use from now on. */
static void leave_stack(struct sim_fiber *from, struct sim_fiber *to)
{
#ifdef FIBER_ASAN
    const bool first = !to->stack; /* the one of main(), as learned when it was left */

    __sanitizer_start_switch_fiber(from->state == FIBER_ENDED ? NULL : &from->fake_stack,
        first ? sim.first_bottom : (char *)to->stack + GUARD, first ? sim.first_size : STACK);
#endif
    sim.left = from;
    sim.now = to;
}

static void enter_stack(void)
{
#ifdef FIBER_ASAN
    const void *bottom;
    size_t size;

    __sanitizer_finish_switch_fiber(sim.now->fake_stack, &bottom, &size);
    if (!sim.left->stack) {
        sim.first_bottom = bottom;
        sim.first_size = size;
    }
#endif
    if (sim.left->returned && sim.n_spare < SPARE_MAX)
        sim.spare[sim.n_spare++] = sim.left->stack;
}

/* Returns when somebody changes back to `from`. swapcontext asks the kernel each time for a signal
 * mask that nobody changes, which took a seventh of a run; the sanitizer follows that alone. */
static void change_stack(struct sim_fiber *from, struct sim_fiber *to)
{
#ifdef FIBER_ASAN
    if (swapcontext(&from->context, &to->context) != 0)
        abort();
#else
    if (_setjmp(from->at) != 0)
        return;
    if (to->begun)
        _longjmp(to->at, 1);
    to->begun = true;
    (void)setcontext(&to->context);
    abort();
#endif
}

static void switch_to(struct sim_fiber *to)
{
    struct sim_fiber *from = sim.now;

    sim.countdown = draw_countdown();
    if (to == from)
        return;
    leave_stack(from, to);
    change_stack(from, to);
    enter_stack();
}

static void *stack_new(void)
{
    void *p;

    if (sim.n_spare > 0) {
        p = sim.spare[--sim.n_spare];
#ifdef FIBER_ASAN
        ASAN_UNPOISON_MEMORY_REGION(p, GUARD + STACK); /* of functions that never returned */
#endif
        return p;
    }
    p = mmap(NULL, GUARD + STACK, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (p == MAP_FAILED || mprotect(p, GUARD, PROT_NONE) != 0)
        abort();
    return p;
}

static void end(struct sim_fiber *f)
{
    leave_queue(f);
    f->state = FIBER_ENDED;
    forget(f);
    sim_rouse(&f->joiners, true);
}

static void fiber_main(void)
{
    struct sim_fiber *f = sim.now;

    enter_stack();
    f->run(f->arg);
    f->returned = true;
    end(f);
    switch_to(choose());
    abort(); /* nobody goes on with a fiber that has ended */
}

static struct sim_fiber *fiber_new(
    struct sim_proc *p, const char *name, void (*run)(void *arg), void *arg)
{
    struct sim_fiber *f = wr_alloc(sizeof(*f));

    if (!f || sim.n == FIBERS_MAX)
        abort();
    f->proc = p;
    f->name = name;
    f->run = run;
    f->arg = arg;
    f->state = FIBER_READY;
    sim.all[sim.n++] = f;
    return f;
}

struct sim_fiber *sim_spawn(struct sim_proc *p, const char *name, void (*run)(void *arg), void *arg)
{
    struct sim_fiber *f = fiber_new(p, name, run, arg);

    assert(!p->dead);
    if (getcontext(&f->context) != 0)
        abort();
    f->stack = stack_new();
    f->context.uc_stack.ss_sp = (char *)f->stack + GUARD;
    f->context.uc_stack.ss_size = STACK;
    makecontext(&f->context, fiber_main, 0);
    return f;
}

struct sim_fiber *sim_fiber_current(void)
{
    return sim.now;
}

/* ---- time and waiting ---- */

int64_t sim_now_ns(void)
{
    return sim.now_ns;
}

void sim_yield(int64_t cost_ns)
{
    sim.now_ns += cost_ns;
    if (--sim.countdown == 0)
        switch_to(choose());
}

bool sim_wait(struct sim_queue *q, int64_t deadline_ns)
{
    struct sim_fiber *f = sim.now;

    f->state = FIBER_WAITING;
    f->wake_at = deadline_ns;
    f->roused = false;
    f->queue = q;
    f->next = NULL;
    if (q) {
        if (q->last)
            q->last->next = f;
        else
            q->first = f;
        q->last = f;
    }
    switch_to(choose());
    return f->roused;
}

void sim_rouse(struct sim_queue *q, bool all)
{
    while (q->first) {
        struct sim_fiber *f = q->first;

        leave_queue(f);
        f->roused = true;
        f->state = FIBER_READY;
        if (!all)
            return;
    }
}

void sim_sleep_until(int64_t at_ns)
{
    if (at_ns <= sim.now_ns)
        sim_yield(0);
    else
        (void)sim_wait(NULL, at_ns);
}

void sim_sleep(int64_t ns)
{
    sim_sleep_until(sim.now_ns + ns);
}

void sim_join(struct sim_fiber *f)
{
    if (f->state != FIBER_ENDED)
        (void)sim_wait(&f->joiners, SIM_NEVER);
}

/* ---- processes ---- */

struct sim_proc *sim_proc_new(const char *name)
{
    struct sim_proc *p = wr_alloc(sizeof(*p));

    if (!p || sim.n_procs == PROCS_MAX)
        abort();
    (void)snprintf(p->name, sizeof(p->name), "%s", name);
    sim.procs[sim.n_procs++] = p;
    p->id = sim.n_procs;
    return p;
}

struct sim_proc *sim_proc_current(void)
{
    return sim.now ? sim.now->proc : NULL;
}

const char *sim_proc_name(const struct sim_proc *p)
{
    return p->name;
}

int sim_proc_id(const struct sim_proc *p)
{
    return p->id;
}

bool sim_proc_alive(const struct sim_proc *p)
{
    return !p->dead;
}

void sim_at_exit(void (*fn)(struct sim_proc *p))
{
    assert(sim.n_exits < EXITS_MAX);
    sim.exits[sim.n_exits++] = fn;
}

void sim_kill(struct sim_proc *p)
{
    if (p->dead)
        return;
    sim_trace("kill %s", p->name);
    p->dead = true;
    for (size_t i = sim.n; i-- > 0;) {
        if (sim.all[i]->proc == p)
            end(sim.all[i]);
    }
    for (int i = 0; i < sim.n_exits; i++)
        sim.exits[i](p);
    if (sim.now->proc == p)
        switch_to(choose());
}

void sim_proc_stop(struct sim_proc *p)
{
    p->stopped = true;
}

void sim_proc_cont(struct sim_proc *p)
{
    if (p->stopped)
        p->continued_ns = sim.now_ns;
    p->stopped = false;
}

int64_t sim_proc_stopped_until(const struct sim_proc *p)
{
    return p->stopped ? SIM_NEVER : p->continued_ns;
}

void *sim_note(struct sim_notes *notes, const struct sim_proc *p, size_t size)
{
    size_t id = (size_t)p->id;

    if (id >= notes->n) {
        notes->p = wr_resize(notes->p, id + 1, size);
        if (!notes->p)
            abort();
        memset(notes->p + notes->n * size, 0, (id + 1 - notes->n) * size);
        notes->n = id + 1;
    }
    return notes->p + id * size;
}

void sim_run(void (*main)(void *arg), void *arg)
{
    assert(!sim.now);
    sim.pace = 1u << (2 * tape_below(5));
    sim.now = fiber_new(sim_proc_new("world"), "main", main, arg);
    sim.now->begun = true;
    sim.countdown = draw_countdown();
    main(arg);
    sim.now = NULL;
}
