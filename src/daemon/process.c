/*
 * process.c - see process.h. What the kernel tells in /proc, whose formats are in proc(5):
 *
 *     /proc/self/stat   pid (name) state ..., of which the 22nd is the start, in ticks since boot
 *     /proc/self/statm  sizes in pages: all, resident, ...
 *     /proc/stat        a line "btime <seconds>": when that was
 *     /proc/self/fd     an entry for each descriptor
 */
#include "daemon/process.h"

#include "base/mem.h"
#include "daemon/exposition.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#define START_FIELD 22
#define FDS_MAX     ((uint64_t)1 << 20) /* entries counted */

/* The beginning of a file; false: there is none, or it cannot be read. */
static bool slurp(const char *path, char *buf, size_t n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 0;
    size_t have = 0;

    if (fd < 0)
        return false;
    while (have < n - 1 && (got = read(fd, buf + have, n - 1 - have)) > 0)
        have += (size_t)got;
    (void)close(fd);
    buf[have] = '\0';
    return have > 0;
}

/* The n-th word, from 1. */
static bool word(struct wr_str s, unsigned n, uint64_t *ret)
{
    struct wr_str head = s;

    while (n-- > 0)
        (void)wr_str_cut(s, ' ', &head, &s);
    return wr_parse_u64(wr_str_trim(head), ret);
}

static bool start_time(uint64_t *ret_ms)
{
    char stat[1024], *name_end;
    uint64_t ticks, boot_s;
    long hz = sysconf(_SC_CLK_TCK);
    /* The first lines are as long as the machine has processors. */
    static const size_t all = (size_t)256 << 10;
    char *text, *line;
    bool ok = false;

    if (hz <= 0 || !slurp("/proc/self/stat", stat, sizeof(stat)))
        return false;
    name_end = strrchr(stat, ')'); /* a name may hold blanks and parentheses */
    if (!name_end || name_end[1] == '\0' || !word(wr_str(name_end + 2), START_FIELD - 2, &ticks))
        return false;
    text = wr_alloc(all);
    if (text && slurp("/proc/stat", text, all)) {
        line = strstr(text, "\nbtime ");
        if (line) {
            line += 7;
            line[strcspn(line, "\n")] = '\0';
            ok = wr_parse_u64(wr_str(line), &boot_s);
        }
    }
    wr_free(text);
    if (ok)
        *ret_ms = boot_s * 1000 + ticks * 1000 / (uint64_t)hz;
    return ok;
}

static bool memory(uint64_t *ret_virtual, uint64_t *ret_resident)
{
    char text[256];
    long page = sysconf(_SC_PAGESIZE);

    if (page <= 0 || !slurp("/proc/self/statm", text, sizeof(text)) ||
        !word(wr_str(text), 1, ret_virtual) || !word(wr_str(text), 2, ret_resident))
        return false;
    *ret_virtual *= (uint64_t)page;
    *ret_resident *= (uint64_t)page;
    return true;
}

static bool descriptors(uint64_t *ret)
{
    DIR *d = opendir("/proc/self/fd");
    uint64_t n = 0;

    if (!d)
        return false;
    while (n < FDS_MAX && readdir(d))
        n++;
    (void)closedir(d);
    *ret = n >= 3 ? n - 3 : 0; /* without ".", ".." and the one it is read through */
    return true;
}

static uint64_t us_of(const struct timeval *t)
{
    return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

static void put(struct wr_buf *out, const char *name, const char *type, const char *help,
    uint64_t n, uint64_t parts)
{
    wr_expo_head(out, name, type, help);
    wr_expo_line(out, name, WR_STR(""), n, parts);
}

void wr_process_metrics(struct wr_buf *out)
{
    struct rusage used;
    struct rlimit limit;
    uint64_t a, b;

    if (getrusage(RUSAGE_SELF, &used) == 0)
        put(out, "process_cpu_seconds_total", "counter",
            "Total user and system CPU time spent in seconds.",
            us_of(&used.ru_utime) + us_of(&used.ru_stime), 1000000);
    if (descriptors(&a))
        put(out, "process_open_fds", "gauge", "Number of open file descriptors.", a, 1);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        put(out, "process_max_fds", "gauge", "Maximum number of open file descriptors.",
            (uint64_t)limit.rlim_cur, 1);
    if (memory(&a, &b)) {
        put(out, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", a, 1);
        put(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", b, 1);
    }
    if (start_time(&a))
        put(out, "process_start_time_seconds", "gauge",
            "Start time of the process since unix epoch in seconds.", a, 1000);
}
