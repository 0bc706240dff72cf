/*
 * test_watch.c - hints for real files and directories, delivered by hand.
 */
#include "base/mem.h"
#include "base/rand.h"
#include "harness/t.h"
#include "run/watch.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void count(void *arg, bool only_written)
{
    (void)only_written;
    ++*(unsigned *)arg;
}

static struct wr_watch *watch(void)
{
    struct wr_watch *w = NULL;
    struct wr_err e = {0};

    T_OK(wr_watch_new(true, &w, &e));
    return w;
}

static uint64_t add(struct wr_watch *w, const char *dir, const char *name, unsigned *counter)
{
    struct wr_err e = {0};
    uint64_t id = 0;

    T_OK(wr_watch_add(w, dir, name, count, counter, &id, &e));
    T(id != 0);
    return id;
}

/* How often the callback was made since the last look. */
static unsigned seen(struct wr_watch *w, unsigned *counter)
{
    unsigned n;

    wr_watch_poll(w);
    n = *counter;
    *counter = 0;
    return n;
}

static void arm(struct wr_watch *w, uint64_t id)
{
    struct wr_err e = {0};

    T_OK(wr_watch_arm(w, id, &e));
}

/* The file stays open, so that nothing but the writes is seen. */
static void write_times(const char *path, unsigned times)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    T(fd >= 0);
    for (unsigned i = 0; i < times; i++)
        T(pwrite(fd, "x", 1, (off_t)i) == 1);
    T(close(fd) == 0);
}

static void test_each_kind_of_change(void **state)
{
    const char *dir = t_tmpdir();
    const char *elsewhere = t_tmpdir();
    const char *file = t_path(dir, "a.db-wal");
    const char *moved = t_path(elsewhere, "moved");
    struct wr_watch *w = watch();
    unsigned n = 0;
    uint64_t id;

    (void)state;
    id = add(w, dir, "a.db-wal", &n);
    T(seen(w, &n) == 0);
    write_times(file, 0);
    T(seen(w, &n) == 1); /* created */
    arm(w, id);
    write_times(file, 0);
    T(seen(w, &n) == 0); /* opened and closed: no change */
    write_times(file, 1);
    T(seen(w, &n) == 1);
    arm(w, id);
    write_times(file, 1);
    T(seen(w, &n) == 1); /* the same byte at the same place */
    arm(w, id);
    T(truncate(file, 0) == 0);
    T(seen(w, &n) == 1);
    T(rename(file, moved) == 0);
    T(seen(w, &n) == 1);
    arm(w, id); /* there is none */
    write_times(moved, 1);
    T(seen(w, &n) == 0);
    T(rename(moved, file) == 0);
    T(seen(w, &n) == 1);
    T(unlink(file) == 0);
    T(seen(w, &n) == 1);
    write_times(file, 1); /* a file that comes and goes stays watched */
    T(seen(w, &n) == 1);
    wr_watch_free(w);
}

static void note_kind(void *arg, bool only_written)
{
    *(int *)arg = only_written ? 1 : 2;
}

/* A write is told apart from a file that comes and goes, and from not knowing. */
static void test_nothing_but_a_write_is_told_as_such(void **state)
{
    const char *dir = t_tmpdir();
    const char *file = t_path(dir, "f");
    struct wr_watch *w = watch();
    struct wr_err e = {0};
    int kind = 0;
    uint64_t id = 0;

    (void)state;
    write_times(file, 1);
    T_OK(wr_watch_add(w, dir, "f", note_kind, &kind, &id, &e));
    write_times(file, 3);
    wr_watch_poll(w);
    T(kind == 1);
    kind = 0;
    write_times(file, 1);
    wr_watch_poll(w);
    T(kind == 0); /* not armed */
    arm(w, id);
    write_times(file, 1);
    T(unlink(file) == 0);
    wr_watch_poll(w);
    T(kind == 2);
    write_times(file, 0);
    wr_watch_poll(w);
    T(kind == 2);
    wr_watch_free(w);
}

/* A writer in full flight pays for one event, not for thousands. */
static void test_a_write_is_told_once(void **state)
{
    const char *dir = t_tmpdir();
    const char *file = t_path(dir, "f");
    struct wr_watch *w = watch();
    unsigned n = 0;
    uint64_t id;

    (void)state;
    write_times(file, 1);
    id = add(w, dir, "f", &n);
    T(seen(w, &n) == 0);
    write_times(file, 100);
    T(seen(w, &n) == 1);
    write_times(file, 100);
    T(seen(w, &n) == 0);
    arm(w, id);
    arm(w, id); /* twice is once */
    write_times(file, 100);
    T(seen(w, &n) == 1);
    write_times(file, 100);
    T(seen(w, &n) == 0);
    for (int i = 0; i < 100; i++) { /* with the kernel's news of the last one still on the way */
        arm(w, id);
        write_times(file, 1);
    }
    T(seen(w, &n) == 1);
    wr_watch_free(w);
}

/* The file that was armed is not the one that has the name now. */
static void test_an_armed_file_is_replaced(void **state)
{
    const char *dir = t_tmpdir();
    const char *file = t_path(dir, "f");
    const char *other = t_path(dir, "g");
    struct wr_watch *w = watch();
    unsigned n = 0;
    uint64_t id;

    (void)state;
    write_times(file, 1);
    write_times(other, 1);
    id = add(w, dir, "f", &n);
    T(rename(other, file) == 0);
    T(seen(w, &n) == 1);
    write_times(file, 1);
    T(seen(w, &n) == 0);
    arm(w, id);
    write_times(file, 1);
    T(seen(w, &n) == 1);
    T(unlink(file) == 0);
    T(seen(w, &n) == 1);
    wr_watch_remove(w, id);
    wr_watch_free(w);
}

static void test_only_the_whole_name_counts(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_watch *w = watch();
    unsigned n = 0;

    (void)state;
    add(w, dir, "a.db", &n);
    write_times(t_path(dir, "a.db-wal"), 3);
    write_times(t_path(dir, "a.d"), 3);
    write_times(t_path(dir, "b.db"), 3);
    T(mkdir(t_path(dir, "sub"), 0700) == 0);
    write_times(t_path(dir, "sub/a.db"), 3);
    T(seen(w, &n) == 0);
    write_times(t_path(dir, "a.db"), 1);
    T(seen(w, &n) == 1);
    wr_watch_free(w);
}

static void test_many_writes_make_one_call(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_watch *w = watch();
    unsigned a = 0;
    unsigned b = 0;

    (void)state;
    add(w, dir, "a", &a);
    add(w, dir, "b", &b);
    /* In turn, so that the kernel cannot merge them, and more than one read takes. */
    for (unsigned i = 0; i < 1000; i++) {
        write_times(t_path(dir, "a"), 1);
        write_times(t_path(dir, "b"), 1);
    }
    T(seen(w, &a) == 1);
    T(b == 1);
    wr_watch_free(w);
}

static void test_subscriptions_share_a_directory(void **state)
{
    const char *dir = t_tmpdir();
    const char *link = t_path(t_tmpdir(), "link");
    struct wr_watch *w = watch();
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    uint64_t id_a;
    uint64_t id_b;
    uint64_t id_c;

    (void)state;
    T(symlink(dir, link) == 0);
    id_a = add(w, dir, "f", &a);
    id_b = add(w, link, "f", &b); /* the same, by another path */
    id_c = add(w, dir, "g", &c);
    T(id_a != id_b && id_b != id_c && id_a != id_c);
    write_times(t_path(dir, "f"), 1);
    T(seen(w, &a) == 1 && b == 1 && c == 0);
    b = 0;
    arm(w, id_a);
    arm(w, id_b); /* the same file, and so the same descriptor */
    wr_watch_remove(w, id_a);
    write_times(t_path(dir, "f"), 1);
    T(seen(w, &b) == 1 && a == 0);
    arm(w, id_b);
    write_times(t_path(dir, "f"), 1);
    wr_watch_remove(w, id_b); /* with an event on the way */
    T(seen(w, &b) == 0);
    write_times(t_path(dir, "g"), 1);
    T(seen(w, &c) == 1);
    wr_watch_remove(w, id_c);
    write_times(t_path(dir, "g"), 1);
    T(seen(w, &c) == 0);
    add(w, dir, "g", &c); /* the directory was given up; again */
    T(seen(w, &c) == 0);
    write_times(t_path(dir, "g"), 1);
    T(seen(w, &c) == 1);
    wr_watch_free(w);
}

static void test_a_vanished_directory_is_silent(void **state)
{
    const char *parent = t_tmpdir();
    const char *dir = t_path(parent, "d");
    const char *file = t_path(dir, "f");
    struct wr_watch *w = watch();
    struct wr_err e = {0};
    unsigned n = 0;
    unsigned again = 0;
    uint64_t id;
    uint64_t id_again;
    uint64_t id_none = 7;

    (void)state;
    T(mkdir(dir, 0700) == 0);
    id = add(w, dir, "f", &n);
    write_times(file, 1);
    T(unlink(file) == 0);
    T(rmdir(dir) == 0);
    T(seen(w, &n) == 1); /* the file went with it */
    T_IS(WR_NOTFOUND, wr_watch_add(w, dir, "f", count, &n, &id_none, &e));
    T(id_none == 7);
    T(mkdir(dir, 0700) == 0);
    write_times(file, 1);
    T(seen(w, &n) == 0);
    id_again = add(w, dir, "f", &again); /* who wants it anew asks anew */
    write_times(file, 1);
    T(seen(w, &again) == 1 && n == 0);
    wr_watch_remove(w, id);
    arm(w, id_again);
    write_times(file, 1);
    T(seen(w, &again) == 1);
    wr_watch_free(w);
}

static void test_what_is_no_directory_or_no_name(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_watch *w = watch();
    struct wr_err e = {0};
    char name[300];
    uint64_t id = 0;

    (void)state;
    memset(name, 'n', sizeof(name));
    name[256] = '\0';
    T_IS(WR_MISUSE, wr_watch_add(w, dir, "", count, NULL, &id, &e));
    T_IS(WR_MISUSE, wr_watch_add(w, dir, "a/b", count, NULL, &id, &e));
    T_IS(WR_MISUSE, wr_watch_add(w, dir, name, count, NULL, &id, &e));
    name[255] = '\0';
    T_OK(wr_watch_add(w, dir, name, count, NULL, &id, &e));
    write_times(t_path(dir, "file"), 0);
    T_IS(WR_IO, wr_watch_add(w, t_path(dir, "file"), "a", count, NULL, &id, &e));
    wr_watch_free(w);
    wr_watch_free(NULL);
}

/* More events than the kernel keeps: it says so, and everybody is called. */
static void test_overflow_calls_everyone(void **state)
{
    struct wr_bytes limit = t_slurp("/proc/sys/fs/inotify/max_queued_events");
    const char *dir = t_tmpdir();
    const char *quiet_dir = t_tmpdir();
    struct wr_watch *w = watch();
    uint64_t events_max = 0;
    unsigned n = 0;
    unsigned quiet = 0;
    uint64_t id;

    (void)state;
    T(wr_parse_u64(wr_str_trim((struct wr_str){(const char *)limit.p, limit.n}), &events_max));
    if (events_max > 200000) {
        wr_watch_free(w);
        skip(); /* a machine that was told to keep them all */
    }
    add(w, dir, "a", &n);
    write_times(t_path(quiet_dir, "q"), 1);
    id = add(w, quiet_dir, "q", &quiet);
    for (uint64_t i = 0; i < events_max / 2 + 10; i++) { /* two events each */
        T(mkdir(t_path(dir, i % 2 ? "a" : "b"), 0700) == 0);
        T(rmdir(t_path(dir, i % 2 ? "a" : "b")) == 0);
    }
    T(seen(w, &n) == 1);
    T(quiet == 1);
    quiet = 0;
    write_times(t_path(quiet_dir, "q"), 1);
    T(seen(w, &quiet) == 0); /* nothing is armed any more */
    arm(w, id);
    write_times(t_path(quiet_dir, "q"), 1);
    T(seen(w, &quiet) == 1);
    wr_watch_free(w);
}

/* Random subscriptions and writes against a table of who watches what. */

#define DIRS  4
#define NAMES 4
#define SUBS  24
#define LIVES 15
#define OPS   600

struct model_sub {
    uint64_t id; /* 0: none */
    size_t dir, name;
    bool armed;
    unsigned calls, want;
};

static bool exists[DIRS][NAMES];

/* Deliver, and compare what was with what should have been. */
static void settle(struct wr_watch *w, struct model_sub subs[SUBS])
{
    wr_watch_poll(w);
    for (size_t i = 0; i < SUBS; i++) {
        T(subs[i].calls == subs[i].want);
        subs[i].calls = subs[i].want = 0;
    }
}

static void one_life(struct wr_rand *r, const char *const dirs[DIRS])
{
    static const char *const names[NAMES] = {"a", "aa", "b", "a-wal"};
    struct model_sub subs[SUBS] = {0};
    struct wr_watch *w = watch();

    for (unsigned op = 0; op < OPS; op++) {
        struct model_sub *m = &subs[wr_rand_below(r, SUBS)];
        size_t dir = (size_t)wr_rand_below(r, DIRS);
        size_t name = (size_t)wr_rand_below(r, NAMES);

        switch (wr_rand_below(r, 5)) {
        case 0:
            if (m->id) {
                wr_watch_remove(w, m->id);
                T(m->calls == 0);
                *m = (struct model_sub){0};
            } else {
                settle(w, subs); /* it might see what is still on the way */
                m->dir = dir;
                m->name = name;
                m->id = add(w, dirs[dir], names[name], &m->calls);
                m->armed = exists[dir][name];
            }
            break;
        case 1:
            settle(w, subs);
            break;
        case 2:
            if (m->id) {
                arm(w, m->id);
                m->armed = exists[m->dir][m->name];
            }
            break;
        default:
            write_times(t_path(dirs[dir], names[name]), 1);
            for (size_t i = 0; i < SUBS; i++) {
                if (subs[i].id && subs[i].dir == dir && subs[i].name == name &&
                    (subs[i].armed || !exists[dir][name])) {
                    subs[i].want = 1;
                    subs[i].armed = false;
                }
            }
            exists[dir][name] = true;
            break;
        }
    }
    wr_watch_free(w);
}

static void test_random_subscriptions_match_the_model(void **state)
{
    const char *dirs[DIRS];
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (size_t i = 0; i < DIRS; i++)
        dirs[i] = t_tmpdir();
    for (unsigned i = 0; i < LIVES; i++)
        one_life(&r, dirs);
}

static enum wr_status sweep_body(void *arg)
{
    const bool *manual = arg;
    const char *dir = t_tmpdir();
    struct wr_watch *w = NULL;
    struct wr_err e = {0};
    unsigned n = 0;
    uint64_t id;
    enum wr_status st = wr_watch_new(*manual, &w, &e);

    write_times(t_path(dir, "f"), 1);
    for (unsigned i = 0; i < 20 && st == WR_OK; i++)
        st = wr_watch_add(w, dir, "f", count, &n, &id, &e);
    if (st == WR_OK)
        st = wr_watch_arm(w, id, &e);
    T(st == WR_OK || e.code == st);
    wr_watch_free(w);
    return st;
}

static void test_out_of_memory(void **state)
{
    bool manual = true;

    (void)state;
    t_sweep_nomem(sweep_body, &manual);
    manual = false;
    t_sweep_nomem(sweep_body, &manual);
}

/* No descriptor is left to have: go on without hints. */
static void test_no_descriptor_is_a_limit(void **state)
{
    struct wr_watch *w = NULL;
    struct wr_err e = {0};
    struct rlimit before;
    struct rlimit tight;
    int first_free = open("/dev/null", O_RDONLY | O_CLOEXEC);
    size_t live = wr_mem_live();

    (void)state;
    T(first_free >= 0 && close(first_free) == 0);
    T(getrlimit(RLIMIT_NOFILE, &before) == 0);
    tight = before;
    for (unsigned spare = 0; spare < 2; spare++) { /* it needs two */
        tight.rlim_cur = (rlim_t)first_free + spare;
        T(setrlimit(RLIMIT_NOFILE, &tight) == 0);
        T_IS(WR_LIMIT, wr_watch_new(false, &w, &e));
    }
    T(setrlimit(RLIMIT_NOFILE, &before) == 0);
    T(!w && wr_mem_live() == live);
}

static void note(void *arg)
{
    ++*(unsigned *)arg;
}

static void test_somebody_is_told_of_every_batch(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "file");
    unsigned told = 0, counter = 0;
    struct wr_watch *w = watch();
    uint64_t id;

    (void)state;
    write_times(path, 1);
    id = add(w, dir, "file", &counter);
    wr_watch_tell(w, note, &told);
    wr_watch_poll(w);
    T(told == 0);
    arm(w, id);
    write_times(path, 3);
    wr_watch_poll(w);
    T(told == 1 && counter == 1);
    wr_watch_tell(w, NULL, NULL);
    arm(w, id);
    write_times(path, 3);
    wr_watch_poll(w);
    T(told == 1 && counter == 2);
    wr_watch_free(w);
}

T_MAIN(T_TEST(test_each_kind_of_change), T_TEST(test_nothing_but_a_write_is_told_as_such),
    T_TEST(test_a_write_is_told_once), T_TEST(test_an_armed_file_is_replaced),
    T_TEST(test_only_the_whole_name_counts), T_TEST(test_many_writes_make_one_call),
    T_TEST(test_subscriptions_share_a_directory), T_TEST(test_a_vanished_directory_is_silent),
    T_TEST(test_what_is_no_directory_or_no_name), T_TEST(test_overflow_calls_everyone),
    T_TEST(test_somebody_is_told_of_every_batch), T_TEST(test_random_subscriptions_match_the_model),
    T_TEST(test_out_of_memory), T_TEST(test_no_descriptor_is_a_limit))
