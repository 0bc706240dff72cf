/*
 * test_shelf.c - pages in a directory that processes share.
 */
#include "vfs/shelf.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "harness/t.h"
#include "vfs/pagemap.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 1024

static struct wr_pagemap_file file_of(uint32_t n)
{
    return (struct wr_pagemap_file){.file = {.level = 0, .min = n, .max = n, .size = 1000 + n},
        .id = n,
        .checksum = 77 * (uint64_t)n};
}

static void fill(uint8_t *page, uint32_t n, uint32_t pgno)
{
    for (uint32_t i = 0; i < PAGE; i++)
        page[i] = (uint8_t)(n * 31 + pgno * 7 + i + i / 256 * pgno);
}

static struct wr_shelf *open_shelf(const char *dir, uint64_t bytes, const char *replica)
{
    struct wr_shelf *s = NULL;
    struct wr_err e = {0};

    T_OK(wr_shelf_new(wr_fs_posix(), dir, bytes, wr_str(replica), NULL, &s, &e));
    return s;
}

static void put(struct wr_shelf *s, uint32_t n, uint32_t pgno)
{
    const struct wr_pagemap_file f = file_of(n);
    uint8_t page[PAGE];

    fill(page, n, pgno);
    wr_shelf_put(s, &f, pgno, page, PAGE);
}

/* What is here is right. */
static bool is(struct wr_shelf *s, uint32_t n, uint32_t pgno)
{
    const struct wr_pagemap_file f = file_of(n);
    uint8_t want[PAGE], got[PAGE];
    bool here = wr_shelf_get(s, &f, pgno, got, PAGE);

    fill(want, n, pgno);
    T(!here || memcmp(want, got, PAGE) == 0);
    return here;
}

static void test_what_one_process_keeps_others_find(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_shelf *a = open_shelf(dir, 1 << 20, "s3://b/a"),
                    *b = open_shelf(dir, 1 << 20, "s3://b/a"),
                    *other = open_shelf(dir, 1 << 20, "s3://b/other");
    struct wr_pagemap_file f = file_of(1);
    uint8_t page[PAGE];
    struct stat st;

    (void)state;
    for (uint32_t pgno = 1; pgno <= 50; pgno++)
        put(a, 1, pgno);
    for (uint32_t pgno = 1; pgno <= 50; pgno++)
        T(is(b, 1, pgno) && !is(b, 2, pgno) && !is(other, 1, pgno));
    T(!is(b, 1, 51) && wr_shelf_has(b, &f, 50, PAGE) && !wr_shelf_has(b, &f, 51, PAGE));
    f.checksum++; /* a file of the same name with other bytes, as of a replica that began anew */
    T(!wr_shelf_get(b, &f, 1, page, PAGE));
    T(stat(t_path(dir, "weir-pages-1024"), &st) == 0 && (st.st_mode & 0777) == 0600);
    wr_shelf_free(a);
    wr_shelf_free(b);
    wr_shelf_free(other);
    a = open_shelf(dir, 100, "s3://b/a"); /* whoever made it has said how large it is */
    T(is(a, 1, 50));
    wr_shelf_free(a);
}

static void test_it_never_takes_more_than_its_bytes(void **state)
{
    const uint64_t most = 100000;
    const char *dir = t_tmpdir();
    struct wr_shelf *s = open_shelf(dir, most, "x");
    unsigned here = 0;
    struct stat st;

    (void)state;
    for (uint32_t pgno = 1; pgno <= 1000; pgno++)
        put(s, 1, pgno);
    for (uint32_t pgno = 1; pgno <= 1000; pgno++)
        here += is(s, 1, pgno);
    T(here > 60 && here < most / PAGE);
    T(stat(t_path(dir, "weir-pages-1024"), &st) == 0 && (uint64_t)st.st_size <= most);
    wr_shelf_free(s);
}

/* A bit, and the end of the file. */
static void test_what_is_damaged_is_not_here(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "weir-pages-1024");
    struct wr_shelf *s = open_shelf(dir, 100000, "x");
    struct wr_rand r;
    unsigned lost = 0;
    struct stat st;
    int fd;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (uint32_t pgno = 1; pgno <= 40; pgno++)
        put(s, 1, pgno);
    fd = open(path, O_RDWR);
    T(fd >= 0 && fstat(fd, &st) == 0);
    for (int i = 0; i < 400; i++) {
        off_t at = 64 + (off_t)wr_rand_below(&r, (uint64_t)st.st_size - 64);
        uint8_t byte;

        T(pread(fd, &byte, 1, at) == 1);
        byte ^= (uint8_t)(1u << wr_rand_below(&r, 8));
        T(pwrite(fd, &byte, 1, at) == 1);
        for (uint32_t pgno = 1; pgno <= 40; pgno++)
            (void)is(s, 1, pgno);
    }
    T(ftruncate(fd, st.st_size / 2) == 0 && close(fd) == 0);
    for (uint32_t pgno = 1; pgno <= 40; pgno++) {
        lost += !is(s, 1, pgno);
        put(s, 1, pgno);
        T(is(s, 1, pgno));
    }
    T(lost > 20);
    wr_shelf_free(s);
}

static void test_a_file_that_is_not_ours_is_left_alone(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "weir-pages-1024");
    struct wr_shelf *s = NULL;
    struct wr_err e = {0};

    (void)state;
    t_spew(path, "precious", 8);
    s = open_shelf(dir, 100000, "x");
    put(s, 1, 1);
    T(!is(s, 1, 1));
    wr_shelf_free(s);
    T(t_slurp(path).n == 8);
    T_IS(WR_MISUSE, wr_shelf_new(wr_fs_posix(), path, 1, wr_str("x"), NULL, &s, &e));
}

/* What is more than a process may write ends it, by a signal that we leave to the program. */
static void test_a_limit_on_files_does_not_end_the_program(void **state)
{
    const char *dir = t_tmpdir();
    const struct rlimit few = {.rlim_cur = 20000, .rlim_max = RLIM_INFINITY};
    struct wr_shelf *s;
    int status = 0;
    pid_t pid;

    (void)state;
    for (int made = 0; made < 2; made++) {
        pid = fork();
        T(pid >= 0);
        if (pid == 0) {
            (void)signal(SIGXFSZ, SIG_DFL);
            if (setrlimit(RLIMIT_FSIZE, &few) != 0)
                _exit(1);
            s = open_shelf(dir, made ? 20000 : 1000000, "x");
            for (uint32_t n = 0; n < 500; n++)
                put(s, 1, n);
            _exit(is(s, 1, 1) ? 2 : 0);
        }
        T(waitpid(pid, &status, 0) == pid);
        assert_int_equal(status, 0);
        s = open_shelf(dir, 1000000, "x"); /* what another process makes is too large, too */
        put(s, 1, 1);
        T(is(s, 1, 1));
        wr_shelf_free(s);
    }
}

/* Processes that write the same few slots, and are killed. */
static void test_processes_write_at_the_same_time(void **state)
{
    const char *dir = t_tmpdir();
    pid_t pid[3], parent = getpid();
    unsigned here = 0;
    struct wr_shelf *s;

    (void)state;
    for (uint32_t i = 0; i < wr_countof(pid); i++) {
        pid[i] = fork();
        T(pid[i] >= 0);
        if (pid[i] == 0) {
            s = open_shelf(dir, 20000, "x");
            for (uint32_t n = 0; getppid() == parent; n++)
                put(s, n % 3, 1 + n * (i + 1) % 29);
            _exit(1);
        }
    }
    s = open_shelf(dir, 20000, "x");
    for (int64_t end_ms = wr_mono_ms(wr_clock_system()) + 1000;
         wr_mono_ms(wr_clock_system()) < end_ms;)
        for (uint32_t n = 0; n < 90; n++)
            here += is(s, n % 3, 1 + n % 29);
    for (size_t i = 0; i < wr_countof(pid); i++)
        T(kill(pid[i], SIGKILL) == 0 && waitpid(pid[i], NULL, 0) == pid[i]);
    for (uint32_t n = 0; n < 90; n++)
        here += is(s, n % 3, 1 + n % 29);
    T(here > 0);
    wr_shelf_free(s);
}

static enum wr_status use(void *arg)
{
    struct wr_shelf *s = NULL;
    struct wr_err e = {0};
    enum wr_status st = wr_shelf_new(wr_fs_posix(), arg, 100000, wr_str("x"), NULL, &s, &e);
    bool here = false;

    if (st == WR_OK) {
        put(s, 1, 1);
        here = is(s, 1, 1);
        wr_shelf_free(s);
    }
    return st == WR_OK && wr_mem_fault_fired() ? WR_NOMEM : st == WR_OK && !here ? WR_INTERNAL : st;
}

static void test_nomem(void **state)
{
    (void)state;
    t_sweep_nomem(use, (void *)(uintptr_t)t_tmpdir());
}

T_MAIN(T_TEST(test_what_one_process_keeps_others_find),
    T_TEST(test_it_never_takes_more_than_its_bytes), T_TEST(test_what_is_damaged_is_not_here),
    T_TEST(test_a_file_that_is_not_ours_is_left_alone),
    T_TEST(test_a_limit_on_files_does_not_end_the_program),
    T_TEST(test_processes_write_at_the_same_time), T_TEST(test_nomem))
