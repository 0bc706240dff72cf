/*
 * test_harness.c - the harness itself: its sweep must notice what it is there for.
 */
#include "base/mem.h"
#include "harness/t.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether `check` fails, in a copy of this process: a failed check leaves the test it is in. */
static bool fails(void (*check)(void))
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
        check();
        _exit(0); /* got past it; otherwise the copy's other tests run, and it ends as failed */
    }
    T(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) && WEXITSTATUS(status) != 0;
}

static void test_files(void **state)
{
    const char *dir = t_tmpdir();
    const char *other = t_tmpdir();
    const char *path = t_path(dir, "file");
    char big[100000];
    struct wr_bytes got;
    struct stat st;

    (void)state;
    T(strcmp(dir, other) != 0);
    T(stat(dir, &st) == 0 && S_ISDIR(st.st_mode));
    T(strstr(dir, "test_base_harness") != NULL);
    T(strncmp(path, dir, strlen(dir)) == 0);
    assert_string_equal(path + strlen(dir), "/file");

    memset(big, 'b', sizeof(big));
    t_spew(path, big, sizeof(big));
    got = t_slurp(path);
    T(got.n == sizeof(big) && memcmp(got.p, big, got.n) == 0);
    t_spew(path, NULL, 0);
    got = t_slurp(path);
    T(got.n == 0 && got.p);
}

/* Leaves behind what is hard to remove; that it is removed shows after the end, in the parent. */
static void test_removal(void **state)
{
    const char *dir = t_path(t_tmpdir(), "closed");
    const char *file = t_path(dir, "file");

    (void)state;
    T(mkdir(dir, S_IRWXU) == 0);
    t_spew(file, "x", 1);
    T(symlink("/", t_path(dir, "link")) == 0);
    T(chmod(file, 0) == 0 && chmod(dir, 0) == 0);
}

static void test_seed(void **state)
{
    const char *was = getenv("WEIR_TEST_SEED");
    uint64_t seed;

    (void)state;
    T(setenv("WEIR_TEST_SEED", "77", 1) == 0);
    seed = t_seed();
    if (was)
        T(setenv("WEIR_TEST_SEED", was, 1) == 0);
    else
        T(unsetenv("WEIR_TEST_SEED") == 0);
    T(seed == 77);
    T(t_seed() == t_seed());
}

static void test_data(void **state)
{
    const char *p = getenv("WEIR_TEST_DATA") ? t_data("x") : "/x";

    (void)state;
    assert_string_equal(p + strlen(p) - 2, "/x");
}

static void test_call_is_fresh(void **state)
{
    struct wr_call *a = t_call();
    struct wr_call *b = t_call();
    struct wr_err e = {0};

    (void)state;
    T(a != b && a->scratch != b->scratch);
    T(a->clock && !a->cancel && !a->log && a->deadline_ms == WR_NEVER);
    T_OK(wr_call_check(a, "test", &e));
    T(wr_arena_alloc(a->scratch, 10) != NULL);
}

/* Three blocks, all freed on every path. */
static enum wr_status clean(void *arg)
{
    int *rounds = arg;
    void *p[3] = {0};
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < 3 && st == WR_OK; i++) {
        p[i] = wr_alloc(8);
        if (!p[i])
            st = WR_NOMEM;
    }
    for (size_t i = 0; i < 3; i++)
        wr_free(p[i]);
    ++*rounds;
    return st;
}

static void test_sweep_tries_each(void **state)
{
    int rounds = 0;
    size_t live = wr_mem_live();

    (void)state;
    t_sweep_nomem(clean, &rounds);
    T(rounds == 4);
    T(wr_mem_live() == live);
    T(!wr_mem_fault_fired());
}

static enum wr_status use_scratch(void *arg)
{
    struct wr_call *c = arg;

    /* One from before the sweep, one born inside. */
    if (!wr_arena_alloc(c->scratch, 100) || !wr_arena_alloc(t_call()->scratch, 100))
        return WR_NOMEM;
    return WR_OK;
}

static void test_sweep_sees_through_scratch(void **state)
{
    struct wr_call *c = t_call();
    struct wr_str before = wr_arena_str(c->scratch, WR_STR("kept"));

    (void)state;
    T(before.p != NULL);
    t_sweep_nomem(use_scratch, c);
    assert_string_equal(before.p, "kept");
    T(wr_arena_alloc(c->scratch, 10) != NULL);
}

static enum wr_status leak_on_failure(void *arg)
{
    void **kept = arg;
    void *q;

    *kept = wr_alloc(8);
    if (!*kept)
        return WR_NOMEM;
    q = wr_alloc(8);
    if (!q)
        return WR_NOMEM;
    wr_free(q);
    wr_free(*kept);
    return WR_OK;
}

static enum wr_status wrong_code(void *arg)
{
    void *p = wr_alloc(8);

    (void)arg;
    if (!p)
        return WR_IO;
    wr_free(p);
    return WR_OK;
}

static enum wr_status never_works(void *arg)
{
    (void)arg;
    return WR_NOMEM;
}

static void sweep_leak(void)
{
    void *kept = NULL;

    t_sweep_nomem(leak_on_failure, &kept);
    wr_free(kept);
}

static void sweep_wrong_code(void)
{
    t_sweep_nomem(wrong_code, NULL);
}

static void sweep_never_works(void)
{
    t_sweep_nomem(never_works, NULL);
}

static void ok_of_failure(void)
{
    struct wr_err e = {0};

    T_OK(wr_fail(&e, WR_IO, "disk on fire"));
}

static void is_of_another(void)
{
    struct wr_err e = {0};

    T_IS(WR_IO, wr_fail(&e, WR_BUSY, "later"));
}

static void is_of_success(void)
{
    struct wr_err e = {0};

    T_IS(WR_IO, WR_OK);
}

static void all_is_well(void)
{
    struct wr_err e = {0};
    int rounds = 0;

    T_OK(WR_OK);
    T_IS(WR_IO, wr_fail(&e, WR_IO, "as expected"));
    t_sweep_nomem(clean, &rounds);
}

static void test_checks_can_fail(void **state)
{
    (void)state;
    T(!fails(all_is_well));
    T(fails(ok_of_failure));
    T(fails(is_of_another));
    T(fails(is_of_success));
    T(fails(sweep_leak));
    T(fails(sweep_wrong_code));
    T(fails(sweep_never_works));
}

/* Last: a copy of the process that fails inside it has no other tests left to run. */
T_MAIN(T_TEST(test_files), T_TEST(test_removal), T_TEST(test_seed), T_TEST(test_data),
    T_TEST(test_call_is_fresh), T_TEST(test_sweep_tries_each),
    T_TEST(test_sweep_sees_through_scratch), T_TEST(test_checks_can_fail))
