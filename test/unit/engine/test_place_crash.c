/*
 * test_place_crash.c - the order in which names change hands: what a crash or a failure at any
 * change of a name leaves to be found.
 */
/* For S_IFREG, which is XSI and not plain POSIX. */
#define _XOPEN_SOURCE 700 /* NOLINT(bugprone-reserved-identifier) */

#include "engine/place.h"

#include "harness/t.h"

#include <sys/stat.h>

#define NAMES 16
#define OPS   32

/* Names and what is under them: d, w, s, j the old database and its sidecars, n the new one. */
struct names {
    struct {
        char name[64];
        char content; /* 0: free */
    } e[NAMES];
};

struct op {
    char from[64], to[64]; /* to "": a removal */
};

struct fake {
    struct wr_fs fs;
    struct wr_file file;
    struct names now, durable; /* as seen, and as of the last sync of the directory */
    struct op pending[OPS];    /* since then */
    size_t n_pending;
    int ops, fail_at;
    bool dead; /* after fail_at nothing happens any more; else only that operation fails */
};

static struct fake *current; /* a vtable is const, what it speaks of is not */

static struct fake *fake_of(const struct wr_fs *fs)
{
    assert_true(fs == &current->fs);
    return current;
}

static char *find(struct names *n, const char *name)
{
    for (size_t i = 0; i < NAMES; i++) {
        if (n->e[i].content && strcmp(n->e[i].name, name) == 0)
            return &n->e[i].content;
    }
    return NULL;
}

static char content(struct names *n, const char *name)
{
    const char *c = find(n, name);

    return *(c ? c : "-");
}

static void add_name(struct names *n, const char *name, char what)
{
    size_t i = 0;

    while (n->e[i].content)
        i++;
    assert_true(i < NAMES - 1);
    (void)snprintf(n->e[i].name, sizeof(n->e[i].name), "%s", name);
    n->e[i].content = what;
}

static void apply(struct names *n, const struct op *op)
{
    char *from = find(n, op->from);
    char *to = op->to[0] ? find(n, op->to) : NULL;
    char what;

    if (!from)
        return;
    what = *from;
    *from = 0;
    if (to)
        *to = what;
    else if (op->to[0])
        add_name(n, op->to, what);
}

static enum wr_status step(struct fake *f, struct wr_err *e)
{
    int op = f->ops++;

    if (op == f->fail_at || (f->dead && op > f->fail_at && f->fail_at >= 0))
        return wr_fail(e, WR_IO, "crashed");
    return WR_OK;
}

static enum wr_status fake_move(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e)
{
    struct fake *f = fake_of(fs);
    struct op *op = &f->pending[f->n_pending];
    enum wr_status st = step(f, e);

    if (st != WR_OK)
        return st;
    if (!find(&f->now, from))
        return wr_fail(e, WR_NOTFOUND, "%s", from);
    assert_true(f->n_pending < OPS);
    (void)snprintf(op->from, sizeof(op->from), "%s", from);
    (void)snprintf(op->to, sizeof(op->to), "%s", to);
    f->n_pending++;
    apply(&f->now, op);
    return WR_OK;
}

static enum wr_status fake_move_new(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e)
{
    if (find(&fake_of(fs)->now, from) && find(&fake_of(fs)->now, to))
        return wr_fail(e, WR_CONFLICT, "%s", to);
    return fake_move(fs, from, to, e);
}

static enum wr_status fake_remove(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    return fake_move(fs, path, "", e);
}

static enum wr_status fake_sync_dir(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    struct fake *f = fake_of(fs);
    enum wr_status st;

    if (strcmp(path, "/") == 0) /* that of the directory, which is there */
        return WR_OK;
    st = step(f, e);
    if (st == WR_OK) {
        f->durable = f->now;
        f->n_pending = 0;
    }
    return st;
}

static enum wr_status fake_stat(
    const struct wr_fs *fs, const char *path, struct wr_file_info *ret, struct wr_err *e)
{
    if (strcmp(path, "/x") == 0 || strcmp(path, "/") == 0) {
        *ret = (struct wr_file_info){.is_dir = true, .mode = S_IFDIR | 0755};
        return WR_OK;
    }
    if (!find(&fake_of(fs)->now, path))
        return wr_fail(e, WR_NOTFOUND, "%s", path);
    *ret = (struct wr_file_info){.size = 1, .mode = S_IFREG | 0644, .links = 1};
    return WR_OK;
}

static enum wr_status fake_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    struct fake *f = fake_of(fs);

    (void)e;
    (void)mode;
    if (strcmp(path, "/x") != 0) {
        T(flags & WR_FILE_EXCL); /* it opens no file that is there, leftovers of ours apart */
        add_name(&f->now, path, 'n');
        add_name(&f->durable, path, 'n'); /* its own sync sees to that */
    }
    f->file.fs = fs;
    *ret = &f->file;
    return WR_OK;
}

static enum wr_status fake_sync(struct wr_file *file, struct wr_err *e)
{
    (void)file;
    (void)e;
    return WR_OK;
}

static enum wr_status fake_info(struct wr_file *file, struct wr_file_info *ret, struct wr_err *e)
{
    (void)file;
    (void)e;
    *ret = (struct wr_file_info){.size = 1, .mode = S_IFREG | 0644, .links = 1};
    return WR_OK;
}

static enum wr_status fake_set_mode(struct wr_file *file, uint32_t mode, struct wr_err *e)
{
    (void)file;
    (void)mode;
    return wr_fail(e, WR_IO, "not permitted");
}

static enum wr_status fake_set_owner(
    struct wr_file *file, uint32_t uid, uint32_t gid, struct wr_err *e)
{
    (void)file;
    (void)uid;
    (void)gid;
    return wr_fail(e, WR_IO, "not permitted");
}

static void fake_close(struct wr_file *file)
{
    (void)file;
}

static enum wr_status fake_list(
    const struct wr_fs *fs, const char *path, wr_dir_fn *fn, void *arg, struct wr_err *e)
{
    struct fake *f = fake_of(fs);

    (void)e;
    T(strcmp(path, "/x") == 0);
    for (size_t i = 0; i < NAMES; i++) {
        if (f->now.e[i].content && !fn(arg, f->now.e[i].name + strlen("/x/")))
            break;
    }
    return WR_OK;
}

/* `sides`: which of the old database (1) and its sidecars (2, 4, 8) there are. */
static void fake_init(struct fake *f, unsigned sides, int fail_at, bool dead)
{
    current = f;
    *f = (struct fake){.fs = {.open = fake_open,
                           .close = fake_close,
                           .sync = fake_sync,
                           .lock = fake_sync,
                           .info = fake_info,
                           .set_mode = fake_set_mode,
                           .set_owner = fake_set_owner,
                           .stat = fake_stat,
                           .lstat = fake_stat,
                           .rename = fake_move,
                           .rename_new = fake_move_new,
                           .remove = fake_remove,
                           .sync_dir = fake_sync_dir,
                           .list = fake_list},
        .fail_at = -1};
    if (sides & 1)
        add_name(&f->now, "/x/db", 'd');
    if (sides & 2)
        add_name(&f->now, "/x/db-wal", 'w');
    if (sides & 4)
        add_name(&f->now, "/x/db-shm", 's');
    if (sides & 8)
        add_name(&f->now, "/x/db-journal", 'j');
    f->durable = f->now;
    f->fail_at = fail_at;
    f->dead = dead;
}

static bool kept(struct names *n, char what)
{
    for (size_t i = 0; i < NAMES; i++) {
        if (n->e[i].content == what)
            return true;
    }
    return false;
}

/* What whoever looks after the crash may rely on. */
static void check_found(struct names *n, unsigned sides)
{
    bool new = content(n, "/x/db") == 'n';
    bool wal = content(n, "/x/db-wal") == 'w';
    bool journal = content(n, "/x/db-journal") == 'j';

    if (new)
        T(!wal && !journal && content(n, "/x/db-shm") == '-');
    if (content(n, "/x/db") == 'd')
        T(wal == !!(sides & 2) && journal == !!(sides & 8));
    if (!new) {
        T(!(sides & 1) || kept(n, 'd'));
        T(!(sides & 2) || kept(n, 'w'));
        T(!(sides & 8) || kept(n, 'j'));
    }
}

/* Die at each change of a name, with any of the changes since the last sync on disk or not. */
static void test_crash_anywhere(void **state)
{
    size_t worlds = 0;

    (void)state;
    for (unsigned sides = 0; sides < 16; sides++) {
        bool alive = false;

        for (int at = 0; !alive; at++) {
            struct fake f;
            struct wr_place *p = NULL;
            struct wr_err e = {0};

            fake_init(&f, sides, at, true);
            T_OK(wr_place_open(&f.fs, "/x/db", WR_PLACE_OVERWRITE, &p, &e));
            alive = wr_place_commit(p, NULL, &e) == WR_OK && f.ops <= at;
            for (unsigned subset = 0; subset < 1u << f.n_pending; subset++) {
                struct names found = f.durable;

                for (size_t i = 0; i < f.n_pending; i++) {
                    if (subset & 1u << i)
                        apply(&found, &f.pending[i]);
                }
                check_found(&found, sides);
                worlds++;
            }
            wr_place_close(p);
            if (alive)
                T(content(&f.now, "/x/db") == 'n' && !kept(&f.now, 'd') && !kept(&f.now, 'w'));
        }
    }
    T(worlds > 200);
}

/* A failure we live to see is undone: the old database is where it was, with all that belongs to
 * it. */
static void test_failure_anywhere(void **state)
{
    (void)state;
    for (unsigned sides = 0; sides < 16; sides++) {
        bool through = false;

        for (int at = 0; !through; at++) {
            struct fake f;
            struct wr_place *p = NULL;
            struct wr_err e = {0};
            enum wr_status st;

            fake_init(&f, sides, at, false);
            T_OK(wr_place_open(&f.fs, "/x/db", WR_PLACE_OVERWRITE, &p, &e));
            st = wr_place_commit(p, NULL, &e);
            through = f.ops <= at;
            wr_place_close(p);
            T(st == WR_OK || st == WR_IO);
            if (content(&f.now, "/x/db") == 'n')
                continue; /* it was only the last sync, or a file to be removed, that failed */
            T(st == WR_IO && !kept(&f.now, 'n'));
            T(content(&f.now, "/x/db") == (sides & 1 ? 'd' : '-'));
            T(content(&f.now, "/x/db-wal") == (sides & 2 ? 'w' : '-'));
            T(content(&f.now, "/x/db-shm") == (sides & 4 ? 's' : '-'));
            T(content(&f.now, "/x/db-journal") == (sides & 8 ? 'j' : '-'));
        }
    }
}

T_MAIN(T_TEST(test_crash_anywhere), T_TEST(test_failure_anywhere))
