/*
 * disk.c - inodes of the simulated disk, and their bytes as they are seen.
 */
#define WR_MEM_IMPLEMENTATION /* the C library's heap; see disk_int.h */
#if defined(__linux__)
#define _DEFAULT_SOURCE 1 /* NOLINT(bugprone-reserved-identifier): for MAP_ANONYMOUS */
#endif

#include "sim/disk_int.h"

#include "sim/tape.h"

#include <errno.h>
#include <sys/mman.h>

#define SIZE_LIMIT  ((uint64_t)1 << 30) /* of a file: a bug, not a workload, makes a larger one */
#define VICTIMS_MAX 4
#define MAPPED_CAP  ((size_t)16 << 20) /* how far a mapped file can grow: its bytes cannot move */

struct disk disk;
struct disk_counts disk_counts;
bool (*disk_posix_locked)(const struct sim_proc *p, const struct disk_inode *f);

static struct victim {
    const struct sim_proc *whose;
    uint32_t permille; /* 0: a free place */
} armed[DISK_FAULTS][VICTIMS_MAX];
static struct sim_notes strikes; /* uint64_t */

/* ---- memory ---- */

void *disk_resize_mem(void *p, size_t size)
{
    void *q = realloc(p, size);

    if (!q)
        sim_fail("the simulator is out of memory");
    return q;
}

void disk_free_mem(void *p)
{
    free(p);
}

char *disk_copy_name(const char *p, size_t n)
{
    char *q = disk_resize_mem(NULL, n + 1);

    memcpy(q, p, n);
    q[n] = '\0';
    return q;
}

static size_t grown(size_t cap, size_t want)
{
    size_t n = cap ? cap : 4096;

    while (n < want)
        n *= 2;
    return n;
}

void disk_reserve(uint8_t **p, size_t *cap, size_t size)
{
    size_t want;
    uint8_t *q;

    if (size <= *cap)
        return;
    /* Not realloc: what calloc has fresh from the kernel is zero, and is not touched before it is
     * used. Files that grew took a tenth of a run. */
    want = grown(*cap, size);
    q = calloc(1, want);
    if (!q)
        sim_fail("the simulator is out of memory");
    if (*cap > 0)
        memcpy(q, *p, *cap);
    free(*p);
    *p = q;
    *cap = want;
}

void disk_reserve_seen(struct disk_inode *f, size_t size)
{
    size_t n = (size + disk.sector - 1) / disk.sector;

    if (f->mapped && size > f->seen_cap)
        sim_fail("disk: a mapped file grows to %zu bytes, raise MAPPED_CAP", size);
    disk_reserve(&f->seen, &f->seen_cap, size);
    disk_reserve(&f->sectors, &f->sectors_cap, n);
    if (n > f->n_sectors)
        memset(f->sectors + f->n_sectors, SECTOR_CLEAN, n - f->n_sectors);
    f->n_sectors = n;
}

/* ---- inodes ---- */

static int64_t wall_ns(void)
{
    return SIM_EPOCH_MS * 1000000 + sim_now_ns();
}

/* Never twice the same time: a change that happens is seen. */
void disk_note_change(struct disk_inode *f)
{
    if (wall_ns() - f->changed_ns >= DISK_TIMES_NS) {
        f->kept_mtime_ns = f->mtime_ns;
        f->kept_changed_ns = f->changed_ns;
    }
    f->changed_ns = wr_max(wall_ns(), f->changed_ns + 1);
}

void disk_times_meet_cut(struct disk_inode *f)
{
    if (wall_ns() - f->changed_ns >= DISK_TIMES_NS)
        return;
    f->mtime_ns = f->kept_mtime_ns;
    f->changed_ns = f->kept_changed_ns;
}

void disk_touch(struct disk_inode *f)
{
    disk_note_change(f);
    f->mtime_ns = f->changed_ns;
}

bool disk_is_dir(const struct disk_inode *f)
{
    return S_ISDIR((mode_t)f->mode);
}

static uint64_t take_ino(void)
{
    if (disk.reuse_ino && disk.n_free_inos > 0)
        return disk.free_inos[--disk.n_free_inos];
    return disk.next_ino++;
}

static void give_ino(uint64_t ino)
{
    if (disk.n_free_inos == disk.free_inos_cap) {
        disk.free_inos_cap = disk.free_inos_cap ? 2 * disk.free_inos_cap : 64;
        disk.free_inos =
            disk_resize_mem(disk.free_inos, disk.free_inos_cap * sizeof(*disk.free_inos));
    }
    disk.free_inos[disk.n_free_inos++] = ino;
}

struct disk_inode *disk_inode_new(uint32_t mode)
{
    struct disk_inode *f = disk_resize_mem(NULL, sizeof(*f));

    *f = (struct disk_inode){.ino = take_ino(), .mode = mode, .cut_to = DISK_NO_CUT};
    disk_touch(f);
    f->kept_mtime_ns = f->mtime_ns;
    f->kept_changed_ns = f->changed_ns;
    if (disk.last)
        disk.last->next = f;
    else
        disk.first = f;
    disk.last = f;
    return f;
}

static void unlist(struct disk_inode *f)
{
    struct disk_inode *before = NULL;

    for (struct disk_inode *i = disk.first; i != f; i = i->next)
        before = i;
    if (before)
        before->next = f->next;
    else
        disk.first = f->next;
    if (disk.last == f)
        disk.last = before;
}

void disk_ref(struct disk_inode *f)
{
    f->refs++;
}

void disk_unref(struct disk_inode *f)
{
    assert(f->refs > 0);

    if (--f->refs > 0)
        return;
    unlist(f);
    give_ino(f->ino);
    disk_names_clear(&f->names);
    disk_names_clear(&f->durable_names);
    if (f->mapped)
        (void)munmap(f->seen, f->seen_cap);
    else
        free(f->seen);
    free(f->durable);
    free(f->sectors);
    free(f);
}

void disk_fill_stat(const struct disk_inode *f, struct stat *ret)
{
    *ret = (struct stat){
        .st_dev = 1,
        .st_ino = (ino_t)f->ino,
        .st_mode = (mode_t)f->mode,
        .st_nlink = disk_is_dir(f) ? 2 : f->links,
        .st_uid = (uid_t)f->uid,
        .st_gid = (gid_t)f->gid,
        .st_size = disk_is_dir(f) ? 4096 : (off_t)f->size,
        .st_blksize = 4096,
        .st_blocks = (blkcnt_t)((f->size + 511) / 512),
        .st_atim = {.tv_sec = f->mtime_ns / 1000000000, .tv_nsec = f->mtime_ns % 1000000000},
        .st_mtim = {.tv_sec = f->mtime_ns / 1000000000, .tv_nsec = f->mtime_ns % 1000000000},
        .st_ctim = {.tv_sec = f->changed_ns / 1000000000, .tv_nsec = f->changed_ns % 1000000000},
    };
}

/* ---- bytes as they are seen ---- */

bool disk_strikes(enum disk_fault what)
{
    const struct sim_proc *now = sim_proc_current();

    for (const struct victim *v = armed[what]; v < armed[what] + VICTIMS_MAX; v++) {
        if (v->whose == now && v->permille > 0 && tape_chance(v->permille)) {
            ++*(uint64_t *)sim_note(&strikes, now, sizeof(uint64_t));
            return true;
        }
    }
    return false;
}

int disk_read(struct disk_inode *f, void *p, size_t n, uint64_t off, size_t *ret_got)
{
    if (disk_strikes(DISK_EIO_READ)) {
        disk_counts.io_errors++;
        return EIO;
    }
    n = off < f->size ? wr_min(n, f->size - (size_t)off) : 0;
    if (n > 0)
        memcpy(p, f->seen + off, n);
    *ret_got = n;
    return 0;
}

void disk_put(struct disk_inode *f, const void *p, size_t n, size_t off)
{
    size_t end = off + n;

    if (end > f->size) {
        disk_reserve_seen(f, end);
        f->size = end;
    }
    if (n > 0)
        memcpy(f->seen + off, p, n);
    for (size_t i = off / disk.sector; i * disk.sector < end; i++)
        f->sectors[i] = SECTOR_DIRTY;
    disk_touch(f);
}

/* How much of a write that needs room finds some; the other kind needs none. */
static size_t room_for(const struct disk_inode *f, size_t n, uint64_t off)
{
    size_t there = off < f->size ? f->size - (size_t)off : 0;

    if (!f->small || !disk.small_full || n <= there)
        return n;
    disk_counts.full++;
    tape_apart(true);
    n = there + tape_below((uint32_t)(n - there));
    tape_apart(false);
    return n;
}

int disk_write(struct disk_inode *f, const void *p, size_t n, uint64_t off)
{
    int err = 0;
    size_t fits;

    if (n == 0)
        return 0;
    if (off > SIZE_LIMIT || n > SIZE_LIMIT - off)
        return EFBIG;
    if (disk_strikes(DISK_EIO_WRITE)) {
        disk_counts.io_errors++;
        return EIO;
    }
    if (disk_strikes(DISK_FULL)) {
        disk_counts.full++;
        n = tape_below((uint32_t)n); /* as much as there was room for */
        err = ENOSPC;
    }
    fits = room_for(f, n, off);
    if (fits < n) {
        n = fits;
        err = ENOSPC;
    }
    if (n > 0)
        disk_put(f, p, n, (size_t)off);
    if (tape_chance(disk.writeback_permille))
        disk_write_back();
    return err;
}

int disk_truncate(struct disk_inode *f, uint64_t size)
{
    if (size > SIZE_LIMIT)
        return EFBIG;
    if (size < f->size)
        memset(f->seen + size, 0, f->size - (size_t)size);
    if (size < f->durable_size)
        f->cut_to = wr_min(f->cut_to, (size_t)size);
    disk_reserve_seen(f, (size_t)size);
    f->size = (size_t)size;
    disk_touch(f);
    return 0;
}

/* The bytes move once, to where they can stay while the file grows. */
int disk_map(struct disk_inode *f, size_t size, void **ret)
{
    uint8_t *p;

    assert(size > 0 && f->size <= MAPPED_CAP);

    if (size > f->size)
        return EINVAL; /* SIGBUS, later, on a real one */
    if (!f->mapped) {
        p = mmap(NULL, MAPPED_CAP, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            return ENOMEM;
        memcpy(p, f->seen, f->size);
        free(f->seen);
        f->seen = p;
        f->seen_cap = MAPPED_CAP;
        f->mapped = true;
    }
    *ret = f->seen;
    return 0;
}

/* ---- the world's ---- */

void disk_init(void)
{
    assert(!disk.root);

    disk.next_ino = 2;
    disk.sector = tape_below(2) ? 512 : 4096;
    disk.powersafe = !tape_chance(250);
    disk.whole_journal = !tape_chance(500);
    disk.reuse_ino = tape_chance(300);
    disk.writeback_permille = tape_chance(500) ? 20 : 0;
    disk.root = disk_inode_new(S_IFDIR | 0755);
    disk_ref(disk.root);
    disk_fs_init();
}

void disk_arm(enum disk_fault what, const struct sim_proc *whose, uint32_t permille)
{
    struct victim *place = NULL;

    for (struct victim *v = armed[what]; v < armed[what] + VICTIMS_MAX; v++) {
        if (!whose || v->whose == whose || (v->whose && !sim_proc_alive(v->whose)))
            *v = (struct victim){0};
        if (!v->whose)
            place = v;
    }
    if (permille == 0)
        return;
    if (!place)
        sim_fail("disk: more than %d victims", VICTIMS_MAX);
    *place = (struct victim){.whose = whose, .permille = permille};
}

void disk_mount_small(const char *path)
{
    struct disk_inode *dir;

    if (disk_walk(path, &dir) != 0 || !disk_is_dir(dir))
        sim_fail("disk: no directory %s", path);
    dir->small = true;
}

void disk_fill_small(bool full)
{
    disk.small_full = full;
}

uint64_t disk_struck(const struct sim_proc *p)
{
    return *(uint64_t *)sim_note(&strikes, p, sizeof(uint64_t));
}
