/*
 * machine.c - see machine.h.
 */
#include "engine/machine.h"

#include "base/crc64.h"

#define RUN_FILE "/proc/sys/kernel/random/boot_id"

uint64_t wr_machine_run(const struct wr_fs *fs)
{
    char text[64];
    struct wr_file *f = NULL;
    size_t n = 0;

    if (wr_file_open(fs, RUN_FILE, WR_FILE_READ, 0, &f, NULL) != WR_OK)
        return 0;
    if (wr_file_pread(f, text, sizeof(text), 0, &n, NULL) != WR_OK)
        n = 0;
    wr_file_close(f);
    return n > 0 ? wr_crc64(0, text, n) | 1 : 0;
}
