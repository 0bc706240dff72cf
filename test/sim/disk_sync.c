/*
 * disk_sync.c - how bytes of the simulated disk become durable: by fsync, or when the kernel likes.
 *
 * Two copies of a file and a state per sector, instead of a list of writes: a sector that waits is
 * dropped, kept or torn as a whole, whoever wrote into it. That a version in between is what
 * survives comes from write-back: now and then a write makes the kernel write something out.
 */
#include "sim/disk_int.h"

#include "sim/tape.h"

#include <errno.h>

#define FSYNC_MIN_NS INT64_C(50000)
#define FSYNC_MAX_NS INT64_C(5000000)

void disk_land_cut(struct disk_inode *f)
{
    if (f->cut_to < f->durable_size) {
        memset(f->durable + f->cut_to, 0, f->durable_size - f->cut_to);
        f->durable_size = f->cut_to;
    }
    f->cut_to = DISK_NO_CUT;
}

void disk_land_sector(struct disk_inode *f, size_t i)
{
    size_t off = i * disk.sector, end = wr_min(off + disk.sector, f->size);

    assert(i < f->n_sectors);
    disk_reserve(&f->durable, &f->durable_cap, off + disk.sector);
    memcpy(f->durable + off, f->seen + off, end - off);
    memset(f->durable + end, 0, off + disk.sector - end);
    f->sectors[i] = SECTOR_CLEAN;
}

void disk_land_size(struct disk_inode *f, size_t size)
{
    assert(size >= f->durable_size);

    disk_reserve(&f->durable, &f->durable_cap, size);
    f->durable_size = size;
}

void disk_note_mapped(struct disk_inode *f)
{
    if (!f->mapped)
        return;
    disk_reserve(&f->durable, &f->durable_cap, f->n_sectors * disk.sector);
    for (size_t i = 0; i < f->n_sectors; i++) {
        size_t off = i * disk.sector, n = wr_min(disk.sector, f->size - off);

        if (f->sectors[i] == SECTOR_CLEAN && memcmp(f->seen + off, f->durable + off, n) != 0)
            f->sectors[i] = SECTOR_DIRTY;
    }
}

void disk_land_all(struct disk_inode *f)
{
    disk_note_mapped(f);
    disk_land_cut(f);
    for (size_t i = 0; i < f->n_sectors; i++) {
        if (f->sectors[i] == SECTOR_DIRTY)
            disk_land_sector(f, i);
    }
    disk_land_size(f, f->size);
}

void disk_forget_pending(struct disk_inode *f)
{
    size_t size = f->durable_size;

    f->cut_to = DISK_NO_CUT;
    disk_reserve_seen(f, size);
    if (f->size > size)
        memset(f->seen + size, 0, f->size - size);
    if (size > 0)
        memcpy(f->seen, f->durable, size);
    f->size = size;
    if (f->n_sectors > 0)
        memset(f->sectors, SECTOR_CLEAN, f->n_sectors);
}

void disk_write_back(void)
{
    struct disk_inode *f = disk.first;
    uint32_t n = 0, first, end;

    for (struct disk_inode *i = disk.first; i; i = i->next)
        n++;
    for (uint32_t skip = tape_below(n); skip > 0; skip--)
        f = f->next;
    if (f->n_sectors == 0)
        return;
    first = tape_below((uint32_t)f->n_sectors);
    end = first + 1 + tape_below((uint32_t)f->n_sectors - first);
    disk_note_mapped(f);
    disk_land_cut(f);
    for (uint32_t i = first; i < end; i++) {
        if (f->sectors[i] == SECTOR_DIRTY)
            disk_land_sector(f, i);
    }
    disk_land_size(f, wr_max(f->durable_size, wr_min(f->size, end * disk.sector)));
}

static int land_or_fail(struct disk_inode *f)
{
    if (!disk_strikes(DISK_EIO_SYNC)) {
        if (disk_is_dir(f))
            disk_land_names(f);
        else
            disk_land_all(f);
        return 0;
    }
    disk_counts.failed_syncs++;
    disk_note_mapped(f);
    for (size_t i = 0; i < f->n_sectors; i++) {
        if (f->sectors[i] == SECTOR_DIRTY)
            f->sectors[i] = SECTOR_LOST;
    }
    return EIO;
}

static struct {
    bool (*whose)(const struct sim_proc *p);
    uint32_t every, n;
    int64_t ns;
} slow;

void disk_slow_syncs(bool (*whose)(const struct sim_proc *p), uint32_t every, int64_t ns)
{
    slow.whose = whose;
    slow.every = every;
    slow.ns = ns;
}

static bool is_slow(void)
{
    return slow.every > 0 && slow.whose(sim_proc_current()) && ++slow.n % slow.every == 0;
}

int disk_fsync(struct disk_inode *f)
{
    int64_t ns = (int64_t)tape_between((uint64_t)FSYNC_MIN_NS, (uint64_t)FSYNC_MAX_NS);
    int err;

    if (is_slow())
        ns += slow.ns;
    disk_ref(f); /* a directory may be removed meanwhile */
    /* What is written while fsync is under way is durable or not. */
    if (tape_chance(500)) {
        err = land_or_fail(f);
        sim_sleep(ns);
    } else {
        sim_sleep(ns);
        err = land_or_fail(f);
    }
    disk_unref(f);
    return err;
}
