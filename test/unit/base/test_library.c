/*
 * test_library.c - base/library.h: what is found in a library of the system, what is said when it
 * is not there, and loading beside fork().
 */
#include "base/library.h"

#include "base/sync.h"
#include "harness/t.h"

#include <math.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#define FORKS 50

static const char *const names[] = {"cos", "fabs", NULL};
static const char *const libm[] = {"libm.so.6", NULL};

static struct {
    double (*cos)(double);
    double (*fabs)(double);
} table;

static void functions_are_found(void **state)
{
    struct wr_library l = {
        .name = "libm", .sonames = libm, .package = "libc6", .functions = names, .table = &table};
    struct wr_err e = {0};

    (void)state;
    memset(&table, 0, sizeof(table));
    T_OK(wr_library_load(&l, &e));
    T(table.cos(0) > 0.99 && table.fabs(-2) > 1.99);
    T_OK(wr_library_load(&l, &e));
}

static void the_first_that_is_there_counts(void **state)
{
    static const char *const two[] = {"libweir-there-is-none.so.1", "libm.so.6", NULL};
    struct wr_library l = {
        .name = "libm", .sonames = two, .package = "libc6", .functions = names, .table = &table};
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_library_load(&l, &e));
}

/* Each time, and with the usual name of it. */
static void one_that_is_missing(void **state)
{
    static const char *const none[] = {"libweir-none.so.1", "libweir-other.so.2", NULL};
    struct wr_library l = {
        .name = "libweir", .sonames = none, .package = "weir-lib", .functions = names};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct wr_err e = {0};

        T_IS(WR_IO, wr_library_load(&l, &e));
        T(strstr(e.text, "libweir cannot be loaded: libweir-none.so.1: "));
        T(strstr(e.text, "package weir-lib"));
    }
    T(wr_library_load(&l, NULL) == WR_IO);
}

/* It was told to install what it has, and not that the file is damaged, or of other versions than
 * what is loaded already. */
static void test_one_that_is_there_was_to_be_installed(void **state)
{
    static const char text[] =
        "no library, but longer than the head of one is: 0123456789012345678";
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "libweir-bad.so.1"), *none = t_path(dir, "libweir-none.so.1");
    const char *const bad[] = {path, NULL}, *const second[] = {none, path, NULL};
    struct wr_library l = {.name = "libweir", .package = "weir-lib", .functions = names};

    (void)state;
    t_spew(path, text, sizeof(text) - 1);
    for (int i = 0; i < 2; i++) {
        struct wr_err e = {0};

        l.sonames = i == 0 ? bad : second;
        T_IS(WR_IO, wr_library_load(&l, &e));
        T(strstr(e.text, "libweir cannot be loaded, though it is there: "));
        T(strstr(e.text, path) && !strstr(e.text, none) && !strstr(e.text, "install"));
    }
}

static void one_that_lacks_a_function(void **state)
{
    static const char *const more[] = {"cos", "weir_has_no_cosine", NULL};
    struct wr_library l = {
        .name = "libm", .sonames = libm, .package = "libc6", .functions = more, .table = &table};
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_IO, wr_library_load(&l, &e));
    T(strstr(e.text, "it has no weir_has_no_cosine"));
}

/* libBrokenLocale is part of the C library, and of no use to anybody. */
static void one_that_others_have_loaded(void **state)
{
    static const char *const broken[] = {"libBrokenLocale.so.1", NULL};
    static const char *const nothing[] = {NULL};
    struct wr_library l = {.name = "libBrokenLocale",
        .sonames = broken,
        .package = "libc6",
        .if_present = true,
        .functions = nothing,
        .table = &table};
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_IO, wr_library_load(&l, &e));
    l.if_present = false;
    T_OK(wr_library_load(&l, &e));
    l.if_present = true;
    atomic_store(&l.loaded, false);
    T_OK(wr_library_load(&l, &e));
}

static unsigned begun, refused;

static enum wr_status begin_the_third_time(struct wr_err *e)
{
    T(table.cos(0) > 0.99);
    begun++;
    return begun < 3 ? wr_fail(e, WR_INTERNAL, "not yet: %u", ++refused) : WR_OK;
}

/* A libcurl that could not begin once, for want of memory, was of no use for ever. */
static void test_what_cannot_begin_was_never_tried_again(void **state)
{
    struct wr_library l = {.name = "libm",
        .sonames = libm,
        .package = "libc6",
        .functions = names,
        .table = &table,
        .begin = begin_the_third_time};
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_INTERNAL, wr_library_load(&l, &e));
    T(strcmp(e.text, "not yet: 1") == 0);
    T_IS(WR_INTERNAL, wr_library_load(&l, &e));
    T_OK(wr_library_load(&l, &e));
    T_OK(wr_library_load(&l, &e));
    T(begun == 3 && refused == 2);
}

struct loading {
    struct wr_library l;
    atomic_bool over;
};

static atomic_bool in_the_middle;

static enum wr_status begin_slowly(struct wr_err *e)
{
    (void)e;
    atomic_store(&in_the_middle, true);
    for (int i = 0; i < 20; i++)
        (void)sched_yield();
    atomic_store(&in_the_middle, false);
    return WR_OK;
}

static void load_again_and_again(void *arg)
{
    struct loading *x = arg;

    while (!atomic_load(&x->over)) {
        atomic_store(&x->l.loaded, false);
        if (wr_library_load(&x->l, NULL) != WR_OK)
            return;
    }
}

/* A child waits for ever if it inherits the lock, and is killed by its alarm then. Nor does it
 * inherit half of what a library has begun with, as it did of libcurl. */
static void children_can_load(void **state)
{
    struct loading x = {.l = {.name = "libm",
                            .sonames = libm,
                            .package = "libc6",
                            .functions = names,
                            .table = &table,
                            .begin = begin_slowly}};
    struct wr_thread thread;
    struct wr_err e = {0};
    int ended = 0;

    (void)state;
    T_OK(wr_thread_start(&thread, "loading", 0, load_again_and_again, &x, &e));
    for (int i = 0; i < FORKS; i++) {
        int status = -1;
        pid_t pid = fork();

        T(pid >= 0);
        if (pid == 0) {
            (void)alarm(20);
            if (atomic_load(&in_the_middle))
                _exit(2);
            atomic_store(&x.l.loaded, false);
            _exit(wr_library_load(&x.l, NULL) == WR_OK ? 0 : 1);
        }
        T(waitpid(pid, &status, 0) == pid);
        ended += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    atomic_store(&x.over, true);
    wr_thread_join(&thread);
    T(ended == FORKS);
}

T_MAIN(T_TEST(functions_are_found), T_TEST(the_first_that_is_there_counts),
    T_TEST(one_that_is_missing), T_TEST(test_one_that_is_there_was_to_be_installed),
    T_TEST(one_that_lacks_a_function), T_TEST(one_that_others_have_loaded),
    T_TEST(test_what_cannot_begin_was_never_tried_again), T_TEST(children_can_load))
