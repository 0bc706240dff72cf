/*
 * paths.c - stat(2) as the product calls it: of a path on the simulated disk.
 */
#include "sim/disk.h"

/* What <sys/stat.h> makes of stat where _FILE_OFFSET_BITS is 64. */
int __real_stat64(const char *path, struct stat *ret);
int __wrap_stat64(const char *path, struct stat *ret);
int __wrap_stat64(const char *path, struct stat *ret)
{
    return sim_fiber_current() ? disk_stat(path, ret) : __real_stat64(path, ret);
}
