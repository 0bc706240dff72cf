/*
 * t.h - what every test needs beside cmocka: seeds, temporary directories, fault sweeps, a clock.
 *
 * A test binary is: static void test_x(void **state) functions, and T_MAIN listing them. Output is
 * TAP. The seed is printed when a test fails and can be set with WEIR_TEST_SEED. An argument
 * selects tests by name, with * and ?. Checks fail on the main thread only: elsewhere, hand results
 * over.
 */
#ifndef WR_TEST_T_H
#define WR_TEST_T_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Check a condition, with the expression in the message. */
#define T(cond) ((cond) ? (void)0 : t_fail(#cond, __FILE__, __LINE__))

/* Check that a call succeeded, or gave one particular status; prints the error text when not. Both
 * use the `struct wr_err e` in scope. */
#define T_OK(expr)       t_check_ok((expr), &e, #expr, __FILE__, __LINE__)
#define T_IS(want, expr) t_check_is((want), (expr), &e, #expr, __FILE__, __LINE__)

/* Fail the running test. Declared as not returning, so that what T checked is known afterwards. */
void t_fail(const char *expr, const char *file, int line) __attribute__((noreturn));
void t_check_ok(
    enum wr_status st, const struct wr_err *e, const char *expr, const char *file, int line);
void t_check_is(enum wr_status want, enum wr_status st, const struct wr_err *e, const char *expr,
    const char *file, int line);

/* WEIR_TEST_SEED, or a fixed default, so that runs repeat. */
uint64_t t_seed(void);

/* A fresh directory below $TMPDIR named after the running test, removed at exit unless
 * WEIR_TEST_KEEP is set. The pointer stays valid until the process ends. */
const char *t_tmpdir(void);
/* "<tmpdir>/<name>", valid until the process ends. */
const char *t_path(const char *dir, const char *name);
/* A fixture below test/data. */
const char *t_data(const char *name);

/* The whole of a file in heap memory that the harness frees at exit. */
struct wr_bytes t_slurp(const char *path);
void t_spew(const char *path, const void *p, size_t n);
/* KiB of this process's memory that are mappings of the file; Linux only. */
size_t t_resident_kib(const char *path);
size_t t_names_in(const char *dir); /* how many there are */

/* Whether another process finds a POSIX lock on the file. */
bool t_locked_for_others(const char *path);

void t_sleep_ms(int64_t ms); /* for other threads to show what they do */

/* A new call with scratch memory, the system clock and no deadline; the harness owns it. */
struct wr_call *t_call(void);

/* Run `body` with the 1st, 2nd, 3rd ... allocation failing until it gets through. `body` must
 * return WR_NOMEM or WR_OK, WR_OK when nothing failed; nothing may leak. Inside, the scratch of
 * every t_call is empty at first; what it held before is back afterwards. */
void t_sweep_nomem(enum wr_status (*body)(void *arg), void *arg);

#define T_MAIN(...)                                                         \
    int main(int argc, char **argv)                                         \
    {                                                                       \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                    \
        return t_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0])); \
    }
#define T_TEST(f) cmocka_unit_test(f)
int t_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n);

#endif
