/*
 * test_sync.c - mutual exclusion, ownership, waiting, and what a new thread is given.
 */
#include "base/sync.h"

#include "base/clock.h"
#include "base/mem.h"
#include "harness/t.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether `f` kills the process that runs it, which is a copy of this one with its output dropped.
 */
static bool dies(void (*f)(void))
{
    int status = 0;
    pid_t pid;

    (void)fflush(NULL);
    pid = fork();
    T(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);

        (void)dup2(null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        f();
        _exit(0);
    }
    T(waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status);
}

static void lock_twice(void)
{
    struct wr_mutex m;

    wr_mutex_init(&m);
    wr_mutex_lock(&m);
    wr_mutex_lock(&m);
}

static void unlock_unlocked(void)
{
    struct wr_mutex m;

    wr_mutex_init(&m);
    wr_mutex_unlock(&m);
}

static void lock_it(void *m)
{
    wr_mutex_lock(m);
}

static void unlock_anothers(void)
{
    struct wr_mutex m;
    struct wr_thread t;

    wr_mutex_init(&m);
    if (wr_thread_start(&t, "owner", 0, lock_it, &m, NULL) == WR_OK) {
        wr_thread_join(&t);
        wr_mutex_unlock(&m);
    }
}

static void release_held(void)
{
    struct wr_mutex m;

    wr_mutex_init(&m);
    wr_mutex_lock(&m);
    wr_mutex_release(&m);
}

static void wait_without_lock(void)
{
    struct wr_mutex m;
    struct wr_cond c;

    wr_mutex_init(&m);
    wr_cond_init(&c);
    (void)wr_cond_wait_until(&c, &m, 0);
}

static void proper_use(void)
{
    struct wr_mutex m;

    wr_mutex_init(&m);
    wr_mutex_lock(&m);
    wr_mutex_unlock(&m);
    wr_mutex_lock(&m);
    wr_mutex_unlock(&m);
    wr_mutex_release(&m);
}

static void test_misuse_asserts(void **state)
{
    (void)state;
#ifdef NDEBUG
    return; /* there is nothing that could find misuse */
#endif
    T(!dies(proper_use));
    T(dies(lock_twice));
    T(dies(unlock_unlocked));
    T(dies(unlock_anothers));
    T(dies(release_held));
    T(dies(wait_without_lock));
}

struct mine {
    struct wr_mutex m;
    bool elsewhere; /* what another thread was told */
};

static void ask(void *arg)
{
    struct mine *x = arg;

    x->elsewhere = wr_mutex_mine(&x->m);
}

static bool asked_elsewhere(struct mine *x)
{
    struct wr_err e = {0};
    struct wr_thread t;

    T_OK(wr_thread_start(&t, "ask", 0, ask, x, &e));
    wr_thread_join(&t);
    return x->elsewhere;
}

static void test_mine(void **state)
{
    struct mine x = {0};

    (void)state;
    wr_mutex_init(&x.m);
    T(!wr_mutex_mine(&x.m));
    wr_mutex_lock(&x.m);
    T(wr_mutex_mine(&x.m));
    T(!asked_elsewhere(&x));
    wr_mutex_unlock(&x.m);
    T(!wr_mutex_mine(&x.m));
    T(!asked_elsewhere(&x));
    wr_mutex_release(&x.m);
}

#define THREADS 4
#define ROUNDS  5000

struct counter {
    struct wr_mutex m;
    long n; /* guarded by m; not atomic on purpose */
    int wrong;
};

static void count(void *arg)
{
    struct counter *c = arg;

    for (int i = 0; i < ROUNDS; i++) {
        bool before = wr_mutex_mine(&c->m);
        bool inside;

        wr_mutex_lock(&c->m);
        inside = wr_mutex_mine(&c->m);
        c->n++;
        c->wrong += before || !inside;
        wr_mutex_unlock(&c->m);
    }
}

static void test_exclusion(void **state)
{
    struct counter c = {.n = 0};
    struct wr_thread threads[THREADS];
    struct wr_err e = {0};

    (void)state;
    wr_mutex_init(&c.m);
    for (int i = 0; i < THREADS; i++)
        T_OK(wr_thread_start(&threads[i], "count", 0, count, &c, &e));
    for (int i = 0; i < THREADS; i++)
        wr_thread_join(&threads[i]);
    T(c.n == (long)THREADS * ROUNDS);
    T(c.wrong == 0);
    wr_mutex_release(&c.m);
}

/* Two threads hand a ball back and forth; a lost signal would hang. */
struct game {
    struct wr_mutex m;
    struct wr_cond c;
    int turn;
    int played;
    int others; /* players at the start line */
};

static void play(struct game *g, int me)
{
    for (int i = 0; i < 500; i++) {
        wr_mutex_lock(&g->m);
        while (g->turn != me)
            wr_cond_wait(&g->c, &g->m);
        g->played += wr_mutex_mine(&g->m);
        g->turn = !me;
        wr_cond_signal(&g->c);
        wr_mutex_unlock(&g->m);
    }
}

static void play_second(void *g)
{
    play(g, 1);
}

static void test_signal(void **state)
{
    struct game g = {.turn = 0};
    struct wr_thread t;
    struct wr_err e = {0};

    (void)state;
    wr_mutex_init(&g.m);
    wr_cond_init(&g.c);
    T_OK(wr_thread_start(&t, "play", 0, play_second, &g, &e));
    play(&g, 0);
    wr_thread_join(&t);
    T(g.played == 1000);
    wr_cond_release(&g.c);
    wr_mutex_release(&g.m);
}

static void line_up(void *arg)
{
    struct game *g = arg;

    wr_mutex_lock(&g->m);
    g->others++;
    wr_cond_broadcast(&g->c);
    while (!g->turn)
        (void)wr_cond_wait_until(&g->c, &g->m, INT64_MAX);
    g->played++;
    wr_mutex_unlock(&g->m);
}

static void test_broadcast(void **state)
{
    struct game g = {.turn = 0};
    struct wr_thread threads[THREADS];
    struct wr_err e = {0};

    (void)state;
    wr_mutex_init(&g.m);
    wr_cond_init(&g.c);
    for (int i = 0; i < THREADS; i++)
        T_OK(wr_thread_start(&threads[i], "line", 0, line_up, &g, &e));
    wr_mutex_lock(&g.m);
    while (g.others < THREADS)
        wr_cond_wait(&g.c, &g.m);
    g.turn = 1; /* all wait now: they counted under the lock */
    wr_cond_broadcast(&g.c);
    wr_mutex_unlock(&g.m);
    for (int i = 0; i < THREADS; i++)
        wr_thread_join(&threads[i]);
    T(g.played == THREADS);
    wr_cond_release(&g.c);
    wr_mutex_release(&g.m);
}

static void test_wait_until(void **state)
{
    const struct wr_clock *clock = wr_clock_system();
    struct wr_mutex m;
    struct wr_cond c;
    int64_t until_ns;

    (void)state;
    wr_mutex_init(&m);
    wr_cond_init(&c);
    wr_mutex_lock(&m);
    T(!wr_cond_wait_until(&c, &m, wr_mono_ns(clock) - 1));
    T(!wr_cond_wait_until(&c, &m, 0));
    T(!wr_cond_wait_until(&c, &m, INT64_MIN));
    T(wr_mutex_mine(&m));
    /* The only way to see that it waits, and on which clock, is to let it: two milliseconds. */
    until_ns = wr_mono_ns(clock) + 2000000;
    while (wr_cond_wait_until(&c, &m, until_ns))
        ; /* woken without cause */
    T(wr_mono_ns(clock) >= until_ns);
    T(wr_mutex_mine(&m));
    wr_mutex_unlock(&m);
    wr_cond_release(&c);
    wr_mutex_release(&m);
}

struct facts {
    char name[16];
    sigset_t blocked;
    size_t used;
};

/* Touch `size` bytes of the stack. */
static size_t use_stack(void)
{
    volatile char room[700 << 10];

    for (size_t i = 0; i < sizeof(room); i += 1024)
        room[i] = 1;
    return sizeof(room) * (size_t)room[0];
}

static void look_around(void *arg)
{
    struct facts *f = arg;

    (void)prctl(PR_GET_NAME, f->name);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &f->blocked);
    f->used = use_stack();
}

static void test_what_a_thread_is_given(void **state)
{
    static const int blocked[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGUSR1, SIGALRM, SIGCHLD};
    static const int open_[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct facts f = {0};
    struct wr_err e = {0};
    struct wr_thread t;
    sigset_t before;
    sigset_t after;

    (void)state;
    T(sigemptyset(&before) == 0 && sigaddset(&before, SIGUSR1) == 0);
    T(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    T_OK(wr_thread_start(&t, "a-name-that-is-too-long", (size_t)1 << 20, look_around, &f, &e));
    wr_thread_join(&t);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &after);

    assert_string_equal(f.name, "a-name-that-is-");
    for (size_t i = 0; i < wr_countof(blocked); i++)
        T(sigismember(&f.blocked, blocked[i]) == 1);
    for (size_t i = 0; i < wr_countof(open_); i++)
        T(sigismember(&f.blocked, open_[i]) == 0);
    for (size_t i = 0; i < wr_countof(blocked); i++) /* our own mask is as before */
        T(sigismember(&after, blocked[i]) == sigismember(&before, blocked[i]));
    T(f.used == 700 << 10);
}

static void nothing(void *arg)
{
    (void)arg;
}

static enum wr_status start_and_join(void *arg)
{
    struct wr_err e = {0};
    struct wr_thread t;
    enum wr_status st = wr_thread_start(&t, "brief", 1, nothing, arg, &e);

    if (st == WR_OK)
        wr_thread_join(&t);
    else
        T(e.code == st && strstr(e.text, "brief"));
    return st;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    t_sweep_nomem(start_and_join, NULL);
}

static void test_no_thread_to_be_had(void **state)
{
    struct wr_err e = {0};
    struct wr_thread t;
    size_t live = wr_mem_live();

    (void)state;
    /* A stack larger than the address space. */
    T_IS(WR_BUSY, wr_thread_start(&t, "giant", (size_t)1 << 50, nothing, NULL, &e));
    T(strstr(e.text, "giant") != NULL);
    T(wr_mem_live() == live);
}

T_MAIN(T_TEST(test_misuse_asserts), T_TEST(test_mine), T_TEST(test_exclusion), T_TEST(test_signal),
    T_TEST(test_broadcast), T_TEST(test_wait_until), T_TEST(test_what_a_thread_is_given),
    T_TEST(test_out_of_memory), T_TEST(test_no_thread_to_be_had))
