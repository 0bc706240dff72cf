/*
 * vfs_shm.c - the wal-index of the simulated VFS: shared memory and its eight locks.
 *
 * As in os_unix.c, the memory is that of the file "<database>-shm", found by its name once in a
 * process and by the database after that. It is whole as long as somebody maps it; who finds a file
 * that nobody maps empties it (the "dead man's switch"). So its bytes need not be in the file.
 */
#include "sim/tape.h"
#include "sim/vfs_int.h"

#include <errno.h>
#include <fcntl.h>

#define SLOTS       8
#define SLOT_WRITE  0
#define COPY        48 /* bytes of a header; the index begins with two copies */
#define WORD        4  /* what a processor writes at once, at least */
#define TORN_MAX_NS 1000000u

struct slot {
    unsigned n_shared;
    const struct vfs_file *exclusive; /* NULL: nobody */
    int64_t since_ns;                 /* of `exclusive` */
};

struct vfs_shm {
    struct vfs_shm *next;
    struct disk_inode *inode;
    unsigned refs; /* files that map it */
    uint8_t **regions;
    int n_regions, region_size;
    struct slot slots[SLOTS];
    bool found_torn; /* whoever has the writer lock: somebody died who wrote the header */
};

static struct vfs_shm *indexes;
static struct sim_notes longest; /* int64_t of nanoseconds */

/* ---- finding one ---- */

static struct vfs_shm *index_of(const struct disk_inode *inode)
{
    for (struct vfs_shm *s = indexes; s; s = s->next) {
        if (s->inode == inode)
            return s;
    }
    return NULL;
}

/* Opened by this process before, for the same database: no matter what the name means by now. */
static struct vfs_shm *index_in_process(const struct vfs_file *f)
{
    for (const struct vfs_file *o = vfs_files; o; o = o->next) {
        if (o->shm && o->proc == f->proc && o->inode == f->inode)
            return o->shm;
    }
    return NULL;
}

static char *shm_path(const char *db_path)
{
    static const char tail[] = "-shm";
    size_t n = strlen(db_path);
    char *path = disk_resize_mem(NULL, n + sizeof(tail));

    memcpy(path, db_path, n);
    memcpy(path + n, tail, sizeof(tail));
    return path;
}

static int open_index(const struct vfs_file *f, struct vfs_shm **ret)
{
    char *path = shm_path(f->path);
    struct disk_inode *inode;
    struct vfs_shm *s;
    int err = disk_open(path, O_CREAT, f->inode->mode & 0777, &inode);

    disk_free_mem(path);
    if (err != 0)
        return SQLITE_CANTOPEN;
    s = index_of(inode);
    if (s) {
        disk_unref(inode);
    } else {
        (void)disk_truncate(inode, 0); /* shrinking has no way to fail */
        s = disk_resize_mem(NULL, sizeof(*s));
        *s = (struct vfs_shm){.next = indexes, .inode = inode};
        indexes = s;
    }
    *ret = s;
    return SQLITE_OK;
}

static int attach(struct vfs_file *f)
{
    struct vfs_shm *s = index_in_process(f);
    int rc = s ? SQLITE_OK : open_index(f, &s);

    if (rc != SQLITE_OK)
        return rc;
    f->shm = s;
    s->refs++;
    return SQLITE_OK;
}

bool vfs_shm_is(const struct vfs_file *f, const struct disk_inode *inode)
{
    return f->shm && f->shm->inode == inode;
}

/* ---- memory ---- */

static void add_region(struct vfs_shm *s, int size)
{
    size_t n = (size_t)s->n_regions + 1;
    uint8_t *p = disk_resize_mem(NULL, (size_t)size);

    memset(p, 0, (size_t)size);
    s->regions = disk_resize_mem(s->regions, n * sizeof(*s->regions));
    s->regions[s->n_regions++] = p;
    (void)disk_truncate(s->inode, n * (size_t)size); /* for those who look at the file */
}

int vfs_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
    struct vfs_file *f = (struct vfs_file *)(void *)file;

    sim_yield(DISK_IO_NS);
    *ret = NULL;
    if (!f->shm) {
        int rc = attach(f);

        if (rc != SQLITE_OK)
            return rc;
    }
    while (extend && page >= f->shm->n_regions)
        add_region(f->shm, size);
    if (page < f->shm->n_regions)
        *ret = f->shm->regions[page];
    return SQLITE_OK;
}

static uint8_t *header_of(const struct vfs_shm *s)
{
    return s->n_regions > 0 ? s->regions[0] : NULL;
}

static bool is_torn(const uint8_t *header)
{
    return memcmp(header, header + COPY, COPY) != 0;
}

/*
 * Who writes a header (walIndexWriteHdr in wal.c) writes the second copy, comes here, and then
 * writes the first with a memcpy, in which nothing lets others run; but other processors see it
 * half done, in any order of its words, and a process can die there. So some of its words are
 * written here, and for a moment the process gets no processor to write the rest; for how long, or
 * 0. Never all words: who dies between that and what SQLite writes next, a few instructions, leaves
 * an index that is whole and wrong, which is not for us to find. Nobody else holds the writer lock
 * with copies that differ, but who is about to recover, and writes nothing here.
 */
static int64_t tear(const struct vfs_file *f)
{
    uint8_t *first = f->shm ? header_of(f->shm) : NULL;
    uint32_t words;

    if (!first || !(f->shm_exclusive & 1u << SLOT_WRITE) || f->shm->found_torn || !is_torn(first))
        return 0;
    words = tape_below(4) == 3 ? tape_below((1u << COPY / WORD) - 1) : 0;
    for (unsigned i = 0; i < COPY / WORD; i++) {
        if (words & 1u << i)
            memcpy(first + (size_t)i * WORD, first + COPY + (size_t)i * WORD, WORD);
    }
    return words ? (int64_t)tape_between(0, TORN_MAX_NS) : 0;
}

void vfs_shm_barrier(sqlite3_file *file)
{
    int64_t torn_ns = tear((const struct vfs_file *)(const void *)file);

    sim_yield(DISK_CALL_NS);
    if (torn_ns > 0)
        sim_sleep(torn_ns);
}

/* ---- locks ---- */

static void note_hold(const struct sim_proc *p, int64_t ns)
{
    int64_t *most = sim_note(&longest, p, sizeof(*most));

    if (sim_proc_stopped_until(p) <= sim_now_ns() - ns)
        *most = wr_max(*most, ns);
}

/* Let go of the slots in `mask` that `f` has. */
static void let_go(struct vfs_file *f, unsigned mask)
{
    bool was_writer = f->shm_exclusive & mask & 1u << SLOT_WRITE;

    for (int i = 0; i < SLOTS; i++) {
        struct slot *slot = &f->shm->slots[i];

        if (f->shm_shared & mask & 1u << i)
            slot->n_shared--;
        if (f->shm_exclusive & mask & 1u << i)
            slot->exclusive = NULL;
        if (!slot->exclusive && slot->n_shared == 0)
            vfs_wait_let_go(slot);
    }
    f->shm_shared &= ~mask;
    f->shm_exclusive &= ~mask;
    if (was_writer) {
        note_hold(f->proc, sim_now_ns() - f->shm->slots[SLOT_WRITE].since_ns);
        vfs_tell_writer_gone(f);
    }
}

/* One of those who share the slot, or who has it alone. */
static const struct sim_proc *holder_of(const struct vfs_shm *s, int i)
{
    const struct vfs_file *f = s->slots[i].exclusive;

    for (f = f ? f : vfs_files; f->shm != s || !((f->shm_shared | f->shm_exclusive) & 1u << i);)
        f = f->next;
    return f->proc;
}

static int refuse(const struct vfs_file *f, int i)
{
    vfs_wait_refused(&f->shm->slots[i], holder_of(f->shm, i));
    return SQLITE_BUSY;
}

static int take_shared(struct vfs_file *f, int i)
{
    struct slot *slot = &f->shm->slots[i];

    if (f->shm_shared & 1u << i)
        return SQLITE_OK;
    if (slot->exclusive)
        return refuse(f, i);
    slot->n_shared++;
    f->shm_shared |= 1u << i;
    return SQLITE_OK;
}

/* All of them, or none. */
static int take_exclusive(struct vfs_file *f, int first, int n)
{
    for (int i = first; i < first + n; i++) {
        if (f->shm->slots[i].exclusive || f->shm->slots[i].n_shared > 0)
            return refuse(f, i);
    }
    for (int i = first; i < first + n; i++) {
        f->shm->slots[i].exclusive = f;
        f->shm->slots[i].since_ns = sim_now_ns();
        f->shm_exclusive |= 1u << i;
    }
    if (first == SLOT_WRITE)
        f->shm->found_torn = header_of(f->shm) && is_torn(header_of(f->shm));
    return SQLITE_OK;
}

int vfs_shm_lock(sqlite3_file *file, int first, int n, int flags)
{
    struct vfs_file *f = (struct vfs_file *)(void *)file;

    assert(first >= 0 && n >= 1 && first + n <= SLOTS);

    sim_yield(DISK_CALL_NS);
    if (!f->shm)
        return SQLITE_IOERR_SHMLOCK;
    if (flags & SQLITE_SHM_UNLOCK) {
        let_go(f, ((1u << n) - 1) << first);
        return SQLITE_OK;
    }
    if (flags & SQLITE_SHM_SHARED)
        return take_shared(f, first);
    return take_exclusive(f, first, n);
}

/* ---- the end ---- */

void vfs_shm_detach(struct vfs_file *f)
{
    struct vfs_shm *s = f->shm;
    struct vfs_shm **at = &indexes;

    if (!s)
        return;
    let_go(f, (1u << SLOTS) - 1);
    f->shm = NULL;
    if (--s->refs > 0)
        return;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    for (int i = 0; i < s->n_regions; i++)
        disk_free_mem(s->regions[i]);
    disk_free_mem(s->regions);
    disk_unref(s->inode);
    disk_free_mem(s);
}

int vfs_shm_unmap(sqlite3_file *file, int remove)
{
    struct vfs_file *f = (struct vfs_file *)(void *)file;

    sim_yield(DISK_CALL_NS);
    if (!f->shm)
        return SQLITE_OK;
    vfs_shm_detach(f);
    if (remove && !index_in_process(f)) {
        char *path = shm_path(f->path);

        (void)disk_unlink(path); /* it may have gone by hand */
        disk_free_mem(path);
    }
    return SQLITE_OK;
}

/* ---- for the oracle ---- */

/* Of the database that the path names now. */
static const struct vfs_shm *index_of_db(const char *db_path)
{
    struct disk_inode *inode;

    if (disk_walk(db_path, &inode) != 0)
        return NULL;
    for (const struct vfs_file *f = vfs_files; f; f = f->next) {
        if (f->shm && f->inode == inode)
            return f->shm;
    }
    return NULL;
}

const uint8_t *vfs_peek_shm(const char *db_path)
{
    const struct vfs_shm *s = index_of_db(db_path);

    return s && s->n_regions > 0 ? s->regions[0] : NULL;
}

const struct sim_proc *vfs_holder(const char *db_path, int slot, int64_t *ret_since_ns)
{
    const struct vfs_shm *s = index_of_db(db_path);

    assert(slot >= 0 && slot < SLOTS);

    if (!s || !s->slots[slot].exclusive)
        return NULL;
    *ret_since_ns = s->slots[slot].since_ns;
    return s->slots[slot].exclusive->proc;
}

int64_t vfs_longest_write_hold(const struct sim_proc *p)
{
    return *(int64_t *)sim_note(&longest, p, sizeof(int64_t));
}
