/*
 * filemark.c - see filemark.h.
 */
#include "sqlite/filemark.h"

#include <sys/stat.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)

static int64_t ns_of(const struct timespec *t)
{
    return (int64_t)t->tv_sec * NS_PER_S + t->tv_nsec;
}

struct wr_file_mark wr_file_mark_from(const struct stat *s)
{
    return (struct wr_file_mark){.ino = (uint64_t)s->st_ino,
        .size = (uint64_t)s->st_size,
        .mtime_ns = ns_of(&s->st_mtim),
        .change_ns = ns_of(&s->st_ctim)};
}

bool wr_file_mark_of(const char *path, struct wr_file_mark *ret)
{
    struct stat now;

    if (stat(path, &now) != 0)
        return false;
    *ret = wr_file_mark_from(&now);
    return true;
}

bool wr_file_mark_equal(const struct wr_file_mark *a, const struct wr_file_mark *b)
{
    return a->ino != 0 && a->ino == b->ino && a->size == b->size && a->mtime_ns == b->mtime_ns &&
           a->change_ns == b->change_ns;
}

bool wr_mtime_is_old(int64_t mtime_ns, int64_t now_ns)
{
    static const int64_t steps_ns[] = {NS_PER_S, NS_PER_S / 10, NS_PER_S / 100, NS_PER_S / 1000};

    /* No fine time is so round by chance: that of this file system has such steps, or twice such.
     */
    for (size_t i = 0; i < wr_countof(steps_ns); i++) {
        if (mtime_ns % steps_ns[i] == 0)
            return now_ns - mtime_ns >= 2 * steps_ns[i];
    }
    return now_ns > mtime_ns;
}

/* The time that a file gets that is written now: the kernel's as of its last tick. */
static int64_t file_clock_ns(void)
{
    struct timespec t = {0};

#ifdef CLOCK_REALTIME_COARSE
    if (clock_gettime(CLOCK_REALTIME_COARSE, &t) != 0)
        return 0; /* every file is young */
    return ns_of(&t);
#else
    if (clock_gettime(CLOCK_REALTIME, &t) != 0)
        return 0; /* every file is young */
    return ns_of(&t) - NS_PER_S / 10;
#endif
}

bool wr_file_time_is_old(const struct wr_file_mark *m)
{
    return wr_mtime_is_old(m->mtime_ns, file_clock_ns());
}
