/*
 * holders.c - see holders.h. A line of /proc/locks reads
 *   1: POSIX  ADVISORY  WRITE 4711 fd:01:524301 121 121
 * with major:minor in hex, the inode, and the first and last byte locked. SQLite's wal-index locks
 * are bytes 120 + slot of the -shm file (sqlite3 src/os_unix.c, UNIX_SHM_BASE).
 */
#include "sqlite/holders.h"

#include "base/str.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHM_BASE 120

/* The next field of *line, skipping blanks. */
static struct wr_str field(struct wr_str *line)
{
    struct wr_str head, tail;

    *line = wr_str_trim(*line);
    (void)wr_str_cut(*line, ' ', &head, &tail);
    *line = tail;
    return head;
}

bool wr_holder_in_line(struct wr_str line, uint64_t ino, uint64_t byte, uint64_t *ret_pid)
{
    struct wr_str place, dev, inode;
    uint64_t pid, first, last, n;

    (void)field(&line); /* number */
    struct wr_str kind = field(&line);

    if (wr_str_eq(kind, WR_STR("->")))
        return false; /* a waiter, not a holder */
    if (!wr_str_eq(kind, WR_STR("POSIX")) && !wr_str_eq(kind, WR_STR("OFDLCK")))
        return false;
    (void)field(&line);
    (void)field(&line);
    if (!wr_parse_u64(field(&line), &pid))
        return false;
    place = field(&line);
    if (!wr_str_cut_last(place, ':', &dev, &inode) || !wr_parse_u64(inode, &n) || n != ino)
        return false;
    if (!wr_parse_u64(field(&line), &first))
        return false;
    if (!wr_parse_u64(field(&line), &last))
        last = UINT64_MAX; /* EOF */
    if (byte < first || byte > last || pid == (uint64_t)getpid())
        return false;
    *ret_pid = pid;
    return true;
}

static void name_of(uint64_t pid, char *out, size_t n)
{
    char path[48], comm[32] = "";
    FILE *f;

    (void)snprintf(path, sizeof(path), "/proc/%llu/comm", (unsigned long long)pid);
    f = fopen(path, "re");
    if (f) {
        if (fgets(comm, sizeof(comm), f))
            comm[strcspn(comm, "\n")] = '\0';
        (void)fclose(f);
    }
    (void)snprintf(out, n, comm[0] ? "pid %llu (%s)" : "pid %llu", (unsigned long long)pid, comm);
}

void wr_holder_of_slot(const char *db_path, int slot, char *out, size_t n)
{
    char shm[4096 + 8], line[256]; /* what does not fit is too long for stat as well */
    struct stat info;
    uint64_t pid;
    FILE *f;

    out[0] = '\0';
    (void)snprintf(shm, sizeof(shm), "%s-shm", db_path);
    if (stat(shm, &info) != 0)
        return;
    f = fopen("/proc/locks", "re");
    if (!f)
        return;
    while (fgets(line, sizeof(line), f)) {
        if (wr_holder_in_line(
                wr_str(line), (uint64_t)info.st_ino, (uint64_t)(SHM_BASE + slot), &pid)) {
            name_of(pid, out, n);
            break;
        }
    }
    (void)fclose(f);
}
