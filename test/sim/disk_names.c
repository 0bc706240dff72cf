/*
 * disk_names.c - directories of the simulated disk, and the journal that makes names durable.
 *
 * A change is made to the names as seen at once and noted in one list for the whole disk. Syncing a
 * directory takes changes off that list, oldest first: all of them, as file systems with one
 * journal do (ext4), or only what the directory needs: its own changes and, since a rename between
 * two directories happens as a whole, whatever came before that in the other one.
 */
#include "sim/disk_int.h"

#include "sim/tape.h"

#include <errno.h>
#include <fcntl.h>

#define NAME_LEN_MAX 255

/* ---- one directory ---- */

/* Where `name` is, or belongs. */
static size_t place_of(const struct disk_names *names, const char *name, bool *ret_there)
{
    size_t lo = 0, hi = names->n;

    *ret_there = false;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int order = strcmp(names->p[mid].name, name);

        if (order == 0) {
            *ret_there = true;
            return mid;
        }
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct disk_inode *find(const struct disk_inode *dir, const char *name)
{
    bool there;
    size_t i = place_of(&dir->names, name, &there);

    return there ? dir->names.p[i].inode : NULL;
}

static void take_out(struct disk_names *names, size_t i)
{
    struct disk_name gone = names->p[i];

    names->n--;
    memmove(names->p + i, names->p + i + 1, (names->n - i) * sizeof(*names->p));
    disk_free_mem(gone.name);
    disk_unref(gone.inode);
}

void disk_names_set(struct disk_names *names, const char *name, struct disk_inode *to)
{
    bool there;
    size_t i = place_of(names, name, &there);

    if (to)
        disk_ref(to); /* before the old one goes: it may be the same */
    if (there)
        take_out(names, i);
    if (!to)
        return;
    if (names->n == names->cap) {
        names->cap = names->cap ? 2 * names->cap : 8;
        names->p = disk_resize_mem(names->p, names->cap * sizeof(*names->p));
    }
    memmove(names->p + i + 1, names->p + i, (names->n - i) * sizeof(*names->p));
    names->p[i] = (struct disk_name){.name = disk_copy_name(name, strlen(name)), .inode = to};
    names->n++;
}

void disk_names_clear(struct disk_names *names)
{
    while (names->n > 0)
        take_out(names, names->n - 1);
    disk_free_mem(names->p);
    *names = (struct disk_names){0};
}

/* ---- paths ---- */

/* The next name of `*path` into `name`: false at its end. */
static bool next_name(const char **path, char name[NAME_LEN_MAX + 1])
{
    for (;;) {
        const char *p = *path + strspn(*path, "/");
        size_t n = strcspn(p, "/");

        *path = p + n;
        if (n == 0)
            return false;
        if (n > NAME_LEN_MAX)
            sim_fail("disk: a name of %zu bytes", n);
        memcpy(name, p, n);
        name[n] = '\0';
        if (strcmp(name, "..") == 0)
            sim_fail("disk: \"..\" in a path");
        if (strcmp(name, ".") != 0)
            return true;
    }
}

/* The directory that the last name of `path` is in, and that name; the name is "" for "/". */
static int walk_to_last(const char *path, struct disk_inode **ret_dir, char last[NAME_LEN_MAX + 1])
{
    struct disk_inode *dir = disk.root;
    char next[NAME_LEN_MAX + 1];

    last[0] = '\0';
    (void)next_name(&path, last);
    while (next_name(&path, next)) {
        dir = find(dir, last);
        if (!dir)
            return ENOENT;
        if (!disk_is_dir(dir))
            return ENOTDIR;
        memcpy(last, next, sizeof(next));
    }
    *ret_dir = dir;
    return 0;
}

int disk_walk(const char *path, struct disk_inode **ret)
{
    char name[NAME_LEN_MAX + 1];
    struct disk_inode *dir, *f;
    int err = walk_to_last(path, &dir, name);

    if (err != 0)
        return err;
    f = name[0] ? find(dir, name) : dir;
    if (!f)
        return ENOENT;
    *ret = f;
    return 0;
}

/* ---- changes ---- */

static struct disk_op *new_op(void)
{
    if (disk.n_ops == disk.ops_cap) {
        disk.ops_cap = disk.ops_cap ? 2 * disk.ops_cap : 64;
        disk.ops = disk_resize_mem(disk.ops, disk.ops_cap * sizeof(*disk.ops));
    }
    disk.ops[disk.n_ops] = (struct disk_op){0};
    return &disk.ops[disk.n_ops++];
}

/* `name` in `dir` becomes `to` (NULL: goes) for all to see, as a part of `op`. */
static void change(
    struct disk_op *op, struct disk_inode *dir, const char *name, struct disk_inode *to)
{
    struct disk_inode *old = find(dir, name);

    op->edits[op->n++] =
        (struct disk_edit){.dir = dir, .name = disk_copy_name(name, strlen(name)), .to = to};
    disk_ref(dir);
    if (to) {
        disk_ref(to);
        to->links++;
        disk_note_change(to);
    }
    if (old) {
        old->links--;
        disk_note_change(old);
    }
    disk_names_set(&dir->names, name, to);
    disk_touch(dir);
}

int disk_open(const char *path, int how, uint32_t mode, struct disk_inode **ret)
{
    char name[NAME_LEN_MAX + 1];
    struct disk_inode *dir, *f;
    int err = walk_to_last(path, &dir, name);

    if (err != 0)
        return err;
    f = name[0] ? find(dir, name) : dir;
    if (f && how & O_EXCL)
        return EEXIST;
    if (f && disk_is_dir(f))
        return EISDIR;
    if (!f && !(how & O_CREAT))
        return ENOENT;
    if (!f) {
        f = disk_inode_new(S_IFREG | (mode & 07777));
        f->small = dir->small;
        change(new_op(), dir, name, f);
    } else if (how & O_TRUNC && f->size > 0) {
        (void)disk_truncate(f, 0); /* shrinking has no way to fail */
    }
    disk_ref(f);
    *ret = f;
    return 0;
}

/* Whether `to` may be replaced by `from`. */
static int may_replace(const struct disk_inode *from, const struct disk_inode *to)
{
    if (disk_is_dir(to) && !disk_is_dir(from))
        return EISDIR;
    if (!disk_is_dir(to) && disk_is_dir(from))
        return ENOTDIR;
    return to->names.n > 0 ? ENOTEMPTY : 0;
}

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && path[n] == '/';
}

int disk_rename(const char *from, const char *to, bool replace)
{
    char from_name[NAME_LEN_MAX + 1], to_name[NAME_LEN_MAX + 1];
    struct disk_inode *from_dir, *to_dir, *f = NULL, *old;
    int err = walk_to_last(from, &from_dir, from_name);

    if (err == 0)
        err = walk_to_last(to, &to_dir, to_name);
    if (err == 0 && (f = find(from_dir, from_name)) == NULL)
        err = ENOENT;
    if (err == 0 && is_below(to, from))
        err = EINVAL;
    if (err != 0)
        return err;
    old = find(to_dir, to_name);
    if (old && !replace)
        return EEXIST;
    if (old == f)
        return 0;
    if (old && (err = may_replace(f, old)) != 0)
        return err;

    struct disk_op *op = new_op();
    change(op, to_dir, to_name, f);
    change(op, from_dir, from_name, NULL);
    return 0;
}

int disk_unlink(const char *path)
{
    char name[NAME_LEN_MAX + 1];
    struct disk_inode *dir, *f;
    int err = walk_to_last(path, &dir, name);

    if (err != 0)
        return err;
    if (!name[0])
        return EBUSY;
    f = find(dir, name);
    if (!f)
        return ENOENT;
    if (f->names.n > 0)
        return ENOTEMPTY;
    change(new_op(), dir, name, NULL);
    return 0;
}

int disk_mkdir(const char *path, uint32_t mode)
{
    char name[NAME_LEN_MAX + 1];
    struct disk_inode *dir, *made;
    int err = walk_to_last(path, &dir, name);

    if (err != 0)
        return err;
    if (!name[0] || find(dir, name))
        return EEXIST;
    made = disk_inode_new(S_IFDIR | (mode & 07777));
    made->small = dir->small;
    change(new_op(), dir, name, made);
    return 0;
}

/* ---- becoming durable ---- */

void disk_drop_op(struct disk_op *op)
{
    for (int i = 0; i < op->n; i++) {
        disk_free_mem(op->edits[i].name);
        disk_unref(op->edits[i].dir);
        if (op->edits[i].to)
            disk_unref(op->edits[i].to);
    }
    op->n = 0;
}

void disk_land_op(struct disk_op *op)
{
    for (int i = 0; i < op->n; i++) {
        struct disk_edit *edit = &op->edits[i];

        disk_names_set(&edit->dir->durable_names, edit->name, edit->to);
    }
    disk_drop_op(op);
}

static bool touches_marked(const struct disk_op *op)
{
    for (int i = 0; i < op->n; i++) {
        if (op->edits[i].dir->marked)
            return true;
    }
    return false;
}

static void mark(const struct disk_op *op, bool marked)
{
    for (int i = 0; i < op->n; i++)
        op->edits[i].dir->marked = marked;
}

void disk_land_names(struct disk_inode *dir)
{
    bool *lands = disk_resize_mem(NULL, disk.n_ops + 1);
    size_t left = 0;

    /* From the newest back: a change that lands drags along what is older in its directories. */
    dir->marked = true;
    for (size_t i = disk.n_ops; i-- > 0;) {
        lands[i] = disk.whole_journal || touches_marked(&disk.ops[i]);
        if (lands[i])
            mark(&disk.ops[i], true);
    }
    dir->marked = false;
    for (size_t i = 0; i < disk.n_ops; i++)
        mark(&disk.ops[i], false);
    for (size_t i = 0; i < disk.n_ops; i++) {
        if (lands[i])
            disk_land_op(&disk.ops[i]);
        else
            disk.ops[left++] = disk.ops[i];
    }
    disk.n_ops = left;
    disk_free_mem(lands);
}

int disk_fsync_parent(const char *path)
{
    char name[NAME_LEN_MAX + 1];
    struct disk_inode *dir;
    int err = walk_to_last(path, &dir, name);

    return err == 0 ? disk_fsync(dir) : err;
}
