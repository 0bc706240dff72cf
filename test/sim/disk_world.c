/*
 * disk_world.c - what happens to the simulated disk from outside: power cuts, files planted.
 *
 * A power cut, in order:
 *
 * 1. Names. Some of the changes that wait become durable, in an order that the journal allows; then
 *    the durable names are the names, and files without one are gone.
 * 2. Files. Each that has something waiting meets one fate (below); then what is durable is what is
 *    seen.
 */
#include "sim/disk_int.h"

#include "base/rand.h"
#include "sim/tape.h"

#include <fcntl.h>

/* Of a whole file, since a file whose sectors are all independent rarely keeps anything useful. */
enum fate {
    FATE_KEPT, /* all had been written out */
    FATE_DROPPED,
    FATE_IN_ORDER, /* up to a point; the sector there is torn */
    FATE_MIXED,    /* each sector is kept, dropped or torn */
    FATES
};

/* ---- sectors ---- */

static void garbage(uint8_t *p, size_t n)
{
    struct wr_rand r;

    wr_rand_init(&r, tape_below(UINT32_MAX));
    wr_rand_fill(&r, p, n);
}

/* The first bytes are new and the others old, or the other way round. */
static void tear(struct disk_inode *f, size_t i)
{
    size_t off = i * disk.sector, at = 1 + tape_below((uint32_t)disk.sector - 1);
    bool fresh = off >= f->durable_size, head_is_new = !tape_chance(500);
    uint8_t old[4096] = {0};
    uint8_t *p;

    assert(disk.sector <= sizeof(old));
    if (!fresh)
        memcpy(old, f->durable + off, wr_min(disk.sector, f->durable_size - off));
    disk_land_sector(f, i);
    p = f->durable + off;
    /* Not in a sector that was durable before: SQLite itself cannot bear that in WAL mode with
     * synchronous=NORMAL, where commits share sectors, so nobody could who works beside it. */
    if (fresh && !disk.powersafe && tape_chance(500))
        garbage(p, disk.sector);
    else if (head_is_new)
        memcpy(p + at, old + at, disk.sector - at);
    else
        memcpy(p, old, at);
    disk_counts.torn++;
}

static void drop(struct disk_inode *f, size_t i)
{
    f->sectors[i] = SECTOR_CLEAN;
    disk_counts.dropped++;
}

static void keep(struct disk_inode *f, size_t i)
{
    disk_land_sector(f, i);
    disk_counts.kept++;
}

static void mix(struct disk_inode *f, size_t i)
{
    uint32_t x = tape_below(10);

    if (x < 3)
        keep(f, i);
    else if (x < 4)
        tear(f, i);
    else
        drop(f, i);
}

static void sectors_meet(struct disk_inode *f, enum fate fate, size_t until)
{
    for (size_t i = 0; i < f->n_sectors; i++) {
        if (f->sectors[i] == SECTOR_LOST)
            drop(f, i);
        else if (f->sectors[i] == SECTOR_CLEAN)
            continue;
        else if (fate == FATE_MIXED)
            mix(f, i);
        else if (fate == FATE_KEPT || (fate == FATE_IN_ORDER && i < until))
            keep(f, i);
        else if (fate == FATE_IN_ORDER && i == until)
            tear(f, i);
        else
            drop(f, i);
    }
}

/* ---- files ---- */

/* A truncation happened or not. If not, what was written after it at or beyond it is lost. */
static void truncation_meets(struct disk_inode *f, enum fate fate)
{
    if (fate == FATE_KEPT || (fate != FATE_DROPPED && tape_chance(500))) {
        disk_land_cut(f);
        return;
    }
    for (size_t i = f->cut_to / disk.sector; i < f->n_sectors; i++) {
        if (f->sectors[i] != SECTOR_CLEAN)
            drop(f, i);
    }
}

/* The size after the cut, when it had grown: whole sectors of it, or all. */
static size_t grown_size(const struct disk_inode *f, enum fate fate, size_t until)
{
    size_t sectors = until + 1;

    if (fate == FATE_KEPT)
        return f->size;
    if (fate == FATE_DROPPED)
        return f->durable_size;
    if (fate == FATE_MIXED)
        sectors = tape_below((uint32_t)f->n_sectors + 1);
    return wr_max(f->durable_size, wr_min(f->size, sectors * disk.sector));
}

static bool waits(const struct disk_inode *f)
{
    if (f->cut_to != DISK_NO_CUT || f->size != f->durable_size)
        return true;
    for (size_t i = 0; i < f->n_sectors; i++) {
        if (f->sectors[i] != SECTOR_CLEAN)
            return true;
    }
    return false;
}

static void cut_file(struct disk_inode *f)
{
    enum fate fate;
    size_t until = 0, size;
    bool truncated;

    disk_note_mapped(f);
    if (!waits(f))
        return;
    fate = (enum fate)tape_below(FATES);
    if (fate == FATE_IN_ORDER && f->n_sectors > 0)
        until = tape_below((uint32_t)f->n_sectors);
    if (f->cut_to != DISK_NO_CUT)
        truncation_meets(f, fate);
    truncated = f->cut_to == DISK_NO_CUT;
    size = truncated && f->size > f->durable_size ? grown_size(f, fate, until) : f->durable_size;
    sectors_meet(f, fate, until);
    /* What landed beyond the end is not part of the file. */
    disk_land_size(f, wr_max(size, f->durable_size));
    if (size < f->durable_cap)
        memset(f->durable + size, 0, f->durable_cap - size);
    disk_forget_pending(f);
}

/* ---- names ---- */

static void cut_journal(void)
{
    size_t kept = disk.n_ops - tape_below((uint32_t)disk.n_ops + 1);

    for (size_t i = 0; i < disk.n_ops; i++) {
        if (i < kept)
            disk_land_op(&disk.ops[i]);
        else
            disk_drop_op(&disk.ops[i]);
    }
    disk_counts.lost_names += disk.n_ops - kept;
    disk.n_ops = 0;
}

/* Per directory: after the first change that is lost, all later ones in it are, too. */
static void cut_directories(void)
{
    for (size_t i = 0; i < disk.n_ops; i++) {
        struct disk_op *op = &disk.ops[i];
        bool lost = false;

        for (int k = 0; k < op->n; k++)
            lost = lost || op->edits[k].dir->marked;
        lost = lost || tape_chance(250);
        for (int k = 0; k < op->n; k++)
            op->edits[k].dir->marked = lost;
        if (!lost) {
            disk_land_op(op);
            continue;
        }
        disk_counts.lost_names++;
        disk_drop_op(op);
    }
    disk.n_ops = 0;
    for (struct disk_inode *f = disk.first; f; f = f->next)
        f->marked = false;
}

/* The durable names are the names. References keep what has one of either kind until the end. */
static void restore_names(void)
{
    for (struct disk_inode *f = disk.first; f; f = f->next) {
        disk_ref(f);
        f->links = 0;
    }
    for (struct disk_inode *f = disk.first; f; f = f->next) {
        disk_names_clear(&f->names);
        for (size_t i = 0; i < f->durable_names.n; i++) {
            const struct disk_name *name = &f->durable_names.p[i];

            disk_names_set(&f->names, name->name, name->inode);
            name->inode->links++;
        }
    }
    for (struct disk_inode *f = disk.first, *next; f; f = next) {
        next = f->next;
        disk_unref(f);
    }
}

void disk_power_cut(void)
{
    if (disk_fs_any_open())
        sim_fail("disk: a power cut while a process has files open");
    if (disk.whole_journal)
        cut_journal();
    else
        cut_directories();
    restore_names();
    for (struct disk_inode *f = disk.first; f; f = f->next) {
        if (!disk_is_dir(f))
            cut_file(f);
        disk_times_meet_cut(f);
    }
    disk_counts.power_cuts++;
}

/* ---- planting ---- */

/* Make the newest change, of the directory of `path`, durable. */
static void land_parent(void)
{
    const struct disk_op *op = &disk.ops[disk.n_ops - 1];

    disk_land_names(op->edits[0].dir);
}

void disk_plant(const char *path, const void *p, size_t n)
{
    struct disk_inode *f;
    int err;

    (void)disk_unlink(path); /* there was none, or the next line says what is wrong */
    err = disk_open(path, O_CREAT | O_EXCL, 0644, &f);
    if (err != 0)
        sim_fail("disk: cannot plant %s (errno %d)", path, err);
    disk_put(f, p, n, 0);
    disk_land_all(f);
    land_parent();
    disk_unref(f);
}

void disk_remove(const char *path)
{
    if (disk_unlink(path) == 0)
        land_parent();
}

const uint8_t *disk_peek(const char *path, size_t *ret_n)
{
    static const uint8_t nothing[1];
    struct disk_inode *f;

    if (disk_walk(path, &f) != 0 || disk_is_dir(f))
        return NULL;
    *ret_n = f->size;
    return f->size > 0 ? f->seen : nothing;
}

size_t disk_peek_names(const char *path, const char **ret_one)
{
    struct disk_inode *f;

    if (disk_walk(path, &f) != 0 || !disk_is_dir(f) || f->names.n == 0)
        return 0;
    *ret_one = f->names.p[0].name;
    return f->names.n;
}
