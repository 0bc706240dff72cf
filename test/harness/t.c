/*
 * t.c - the harness: what it hands out it keeps a list of, and removes at exit.
 *
 * It uses the C library's heap, not ours, so that a test's own blocks are the only ones counted and
 * the only ones that can be made to fail. Its state is global: a test binary runs its tests in
 * turn, on one thread, and only that thread may fail (cmocka leaves a failed test by longjmp).
 */
#define WR_MEM_IMPLEMENTATION
/* For nftw, which is XSI and not plain POSIX. */
#define _XOPEN_SOURCE 700 /* NOLINT(bugprone-reserved-identifier): it is reserved for this */

#include "harness/t.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SEED_DEFAULT     20061
#define SWEEP_ROUNDS_MAX 100000
#define NFTW_FDS         16

/* One block on the list of what to free at exit. */
struct kept {
    struct kept *next;
    void *p;
};

/* A call with what it points to. */
struct call {
    struct call *next;
    struct wr_call call;
    struct wr_arena scratch;
    struct wr_arena parked; /* the true scratch while a sweep lends an empty one */
};

static struct {
    struct kept *kept;
    struct call *calls;
    char *root; /* of all temporary directories; NULL before the first */
    char name[64];
    pid_t pid; /* a forked child must not clean up after its parent */
    unsigned dirs;
} harness;

static void *keep(void *p)
{
    struct kept *k = malloc(sizeof(*k));

    if (!p || !k) {
        (void)fprintf(stderr, "test harness: out of memory\n");
        abort();
    }
    *k = (struct kept){.next = harness.kept, .p = p};
    harness.kept = k;
    return p;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

/* Directories a test has made read-only are opened up on the way down. */
static int open_up(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)where;
    if ((type == FTW_D || type == FTW_DNR) && (st->st_mode & S_IRWXU) != S_IRWXU)
        (void)chmod(path, S_IRWXU);
    return 0;
}

static void clean_up(void)
{
    if (getpid() != harness.pid)
        return;
    if (harness.root && !getenv("WEIR_TEST_KEEP")) {
        (void)nftw(harness.root, open_up, NFTW_FDS, FTW_PHYS);
        if (nftw(harness.root, remove_one, NFTW_FDS, FTW_DEPTH | FTW_PHYS) != 0)
            (void)fprintf(stderr, "# left behind: %s\n", harness.root);
    }
    while (harness.calls) {
        struct call *c = harness.calls;

        harness.calls = c->next;
        wr_arena_release(&c->scratch);
        free(c);
    }
    while (harness.kept) {
        struct kept *k = harness.kept;

        harness.kept = k->next;
        free(k->p);
        free(k);
    }
}

void t_fail(const char *expr, const char *file, int line)
{
    print_error("%s:%d: not so: %s\n", file, line, expr);
    _fail(file, line);
    abort(); /* not reached: cmocka leaves by longjmp, but does not say so */
}

void t_check_ok(
    enum wr_status st, const struct wr_err *e, const char *expr, const char *file, int line)
{
    t_check_is(WR_OK, st, e, expr, file, line);
}

void t_check_is(enum wr_status want, enum wr_status st, const struct wr_err *e, const char *expr,
    const char *file, int line)
{
    if (st == want)
        return;
    print_error("%s:%d: %s\n  gave \"%s\", not \"%s\"\n", file, line, expr, wr_status_text(st),
        wr_status_text(want));
    /* A callee may fail without a text; one of another code was left by an earlier call. */
    if (st != WR_OK && e->code == st)
        print_error("  %s\n", e->text);
    _fail(file, line);
}

uint64_t t_seed(void)
{
    const char *text = getenv("WEIR_TEST_SEED");
    uint64_t seed = SEED_DEFAULT;

    if (text && !wr_parse_u64(wr_str(text), &seed))
        fail_msg("WEIR_TEST_SEED is no number: %s", text);
    return seed;
}

/* printf into memory kept to the end. */
static WR_PRINTF(1, 2) char *keep_fmt(const char *fmt, ...)
{
    va_list ap;
    char *p;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    p = keep(malloc((size_t)n + 1));
    va_start(ap, fmt);
    (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

const char *t_tmpdir(void)
{
    char *dir;

    if (!harness.root) {
        const char *base = getenv("TMPDIR");
        char *root = keep_fmt(
            "%s/%s-%" PRIu64 "-XXXXXX", base && *base ? base : "/tmp", harness.name, t_seed());

        if (!mkdtemp(root))
            fail_msg("cannot create %s", root);
        harness.root = root;
    }
    dir = keep_fmt("%s/%u", harness.root, ++harness.dirs);
    if (mkdir(dir, S_IRWXU) != 0)
        fail_msg("cannot create %s", dir);
    return dir;
}

const char *t_path(const char *dir, const char *name)
{
    return keep_fmt("%s/%s", dir, name);
}

const char *t_data(const char *name)
{
    const char *dir = getenv("WEIR_TEST_DATA");

    if (!dir)
        fail_msg("WEIR_TEST_DATA must name the directory test/data");
    return t_path(dir, name);
}

struct wr_bytes t_slurp(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *p = NULL;
    size_t n = 0;
    size_t cap = 4096;
    size_t got;

    if (!f)
        fail_msg("cannot open %s", path);
    do {
        p = realloc(p, cap *= 2);
        if (!p)
            fail_msg("cannot hold %s", path);
        got = fread(p + n, 1, cap - n, f);
        n += got;
    } while (got);
    if (ferror(f))
        fail_msg("cannot read %s", path);
    (void)fclose(f);
    return (struct wr_bytes){keep(p), n};
}

void t_spew(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");

    if (!f)
        fail_msg("cannot create %s", path);
    if (n && fwrite(p, 1, n, f) != n)
        fail_msg("cannot write %s", path);
    if (fclose(f) != 0)
        fail_msg("cannot write %s", path);
}

size_t t_resident_kib(const char *path)
{
    struct wr_bytes all = t_slurp("/proc/self/smaps");
    struct wr_str rest = {(const char *)all.p, all.n}, line;
    bool mine = false;
    size_t kib = 0;

    while (rest.n > 0) {
        struct wr_str number = {0}, unit;
        uint64_t n = 0;

        (void)wr_str_cut(rest, '\n', &line, &rest);
        if (line.n > 0 && line.p[0] >= 'A' && line.p[0] <= 'Z') { /* else a mapping begins */
            if (!mine || !wr_str_starts(line, wr_str("Rss:")))
                continue;
            (void)wr_str_cut(wr_str_trim(wr_str_skip(line, 4)), ' ', &number, &unit);
            T(wr_parse_u64(number, &n));
            kib += n;
        } else {
            mine = wr_str_ends(line, wr_str(path));
        }
    }
    return kib;
}

static bool count_name(void *arg, const char *name)
{
    (void)name;
    ++*(size_t *)arg;
    return true;
}

size_t t_names_in(const char *dir)
{
    struct wr_err e = {0};
    size_t n = 0;

    T_OK(wr_fs_posix()->list(wr_fs_posix(), dir, count_name, &n, &e));
    return n;
}

bool t_locked_for_others(const char *path)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        struct flock want = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = open(path, O_RDWR);

        if (fd < 0 || fcntl(fd, F_GETLK, &want) != 0)
            _exit(2);
        _exit(want.l_type != F_UNLCK);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
        WEXITSTATUS(status) == 2)
        fail_msg("cannot tell the locks on %s", path);
    return WEXITSTATUS(status) == 1;
}

void t_sleep_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000 * 1000000)};

    (void)nanosleep(&t, NULL);
}

struct wr_call *t_call(void)
{
    struct call *c = calloc(1, sizeof(*c));

    if (!c)
        abort();
    wr_arena_init(&c->scratch, WR_ARENA_MAX);
    c->call = (struct wr_call){
        .scratch = &c->scratch,
        .clock = wr_clock_system(),
        .deadline_ms = WR_NEVER,
    };
    c->next = harness.calls;
    harness.calls = c;
    return &c->call;
}

/* Lend every call an empty scratch: a block it already had could hide an allocation from the sweep,
 * and a block it gains must not count as a leak. */
static void park_scratch(void)
{
    for (struct call *c = harness.calls; c; c = c->next) {
        c->parked = c->scratch;
        wr_arena_init(&c->scratch, c->parked.max);
    }
}

/* `last` is the newest call that was parked; those before it are new, and just emptied. */
static void unpark_scratch(const struct call *last)
{
    bool parked = false;

    for (struct call *c = harness.calls; c; c = c->next) {
        parked = parked || c == last;
        wr_arena_release(&c->scratch);
        if (parked)
            c->scratch = c->parked;
    }
}

void t_sweep_nomem(enum wr_status (*body)(void *arg), void *arg)
{
    bool fired = true;

    for (int64_t nth = 0; fired; nth++) {
        const struct call *last = harness.calls;
        size_t live;
        size_t left;
        enum wr_status st;

        if (nth == SWEEP_ROUNDS_MAX)
            fail_msg("still failing after %d allocations: does the body end?", SWEEP_ROUNDS_MAX);
        park_scratch();
        live = wr_mem_live();
        wr_mem_fail_after(nth);
        st = body(arg);
        fired = wr_mem_fault_fired();
        wr_mem_fail_after(-1);
        unpark_scratch(last);
        left = wr_mem_live();
        if (left != live)
            fail_msg("allocation %" PRId64 " failed: %zu blocks were live before, %zu after", nth,
                live, left);
        if (st != WR_OK && !(fired && st == WR_NOMEM))
            fail_msg("allocation %" PRId64 " %s: status \"%s\"", nth,
                fired ? "failed" : "was not reached", wr_status_text(st));
    }
}

int t_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n)
{
    struct wr_str dir;
    struct wr_str base;
    int failed;

    /* No test asks a real service for credentials. */
    if (setenv("AWS_EC2_METADATA_DISABLED", "true", 1) != 0)
        return 1;
    if (!wr_str_cut_last(wr_str(argc > 0 ? argv[0] : "test"), '/', &dir, &base))
        base = dir;
    (void)snprintf(harness.name, sizeof(harness.name), WR_FMT, WR_ARG(base));
    harness.pid = getpid();
    if (atexit(clean_up) != 0)
        return EXIT_FAILURE;

    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    failed = _cmocka_run_group_tests(harness.name, tests, n, NULL, NULL);
    if (failed)
        printf("# %d failed; again with: WEIR_TEST_SEED=%" PRIu64 " %s\n", failed, t_seed(),
            argc > 0 ? argv[0] : "");
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
