/*
 * resume_world.h - for the tests of restores that end too early: a replica, a target, ways to be
 * killed, and what is left of the one that was.
 */
#ifndef WR_TEST_RESUME_WORLD_H
#define WR_TEST_RESUME_WORLD_H

#include "engine/restore.h"
#include "unit/engine/restore_world.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_OFFSET 65536u /* moves the lock page into small databases */
#define DIED        9      /* exit code of a process that was to die */

#define PAGE  4096u
#define PAGES 4400u /* some 12 MB in the replica: seven pieces */
#define SMALL 1400u /* pages of 512 bytes: one piece */

struct rig {
    struct story s;
    struct world w;
    struct wr_rand random;
    const char *dir, *path;
    const struct wr_fs *fs; /* NULL: the real one */
    uint64_t die_at;        /* piece */
    const char *meta;       /* the database's local state; NULL: none */
};

/* A replica with a snapshot of `pages` pages, and nothing restored yet. */
static inline void rig_init(struct rig *g, bool rolling, uint32_t page_size, uint32_t pages)
{
    *g = (struct rig){.dir = t_tmpdir()};
    g->path = t_path(g->dir, "db");
    wr_rand_init(&g->random, t_seed());
    story_init(&g->s, &g->random, page_size, LOCK_OFFSET, pages * 2, rolling);
    story_commit(&g->s, pages, 0);
    world_init(&g->w, WR_STORAGE_LIST_TIME, "");
    g->w.arg = g;
    story_put(&g->s, &g->w, 9, 1, 1);
}

static inline void rig_release(struct rig *g)
{
    world_release(&g->w);
    story_release(&g->s);
}

/* One more transaction, as a file of level 0. */
static inline void rig_commit(struct rig *g, uint32_t commit, uint32_t edits)
{
    story_commit(&g->s, commit, edits);
    story_put(&g->s, &g->w, 0, g->s.n, g->s.n);
}

static inline struct wr_restore_opts rig_opts(const struct rig *g, unsigned parallel)
{
    return (struct wr_restore_opts){.fs = g->fs,
        .path = g->path,
        .lock_offset = LOCK_OFFSET,
        .overwrite = true,
        .resume_min = 1,
        .parallel = parallel};
}

static inline void rig_die(struct world *w, uint64_t nth)
{
    if (nth == ((struct rig *)w->arg)->die_at)
        _exit(DIED);
}

/* Restore in a process of its own, which is killed when it asks for its `nth` piece. */
static inline void rig_killed(struct rig *g, uint64_t nth)
{
    int status = 0;
    pid_t child;

    g->die_at = nth;
    world_fail(&g->w, 0, 0, WR_OK);
    child = fork();
    T(child >= 0);
    if (child == 0) {
        const struct wr_restore_opts o = rig_opts(g, 1);
        struct wr_restore_result r = {0};
        struct wr_err e = {0};

        g->w.in_piece = rig_die;
        _exit(wr_restore(g->w.storage, t_call(), &o, &r, &e) == WR_OK ? 0 : 1);
    }
    T(waitpid(child, &status, 0) == child);
    T(WIFEXITED(status) && WEXITSTATUS(status) == DIED);
}

/* Piece by piece: what t_slurp reads stays in memory. */
static inline void rig_check(const struct rig *g)
{
    static uint8_t got[1 << 16];
    const struct image *want = &g->s.image[g->s.n];
    size_t size = (size_t)want->commit * g->s.page_size;
    FILE *f = fopen(g->path, "rb");
    size_t n;

    T(f);
    for (size_t at = 0; (n = fread(got, 1, sizeof(got), f)) > 0; at += n, size -= n)
        T(n <= size && memcmp(got, want->data + at, n) == 0);
    (void)fclose(f);
    T(size == 0);
    assert_int_equal(t_names_in(g->dir), 1);
}

/* Restore to the end; it is what it should be, and alone. The result is removed. */
static inline struct wr_restore_result rig_restored(struct rig *g, unsigned parallel)
{
    const struct wr_restore_opts o = rig_opts(g, parallel);
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    world_fail(&g->w, 0, 0, WR_OK);
    T_OK(wr_restore(g->w.storage, t_call(), &o, &r, &e));
    rig_check(g);
    T(remove(g->path) == 0);
    return r;
}

/* What a killed restore has left. */
struct left {
    char file_name[300], map_name[310];
    uint8_t *file, *map; /* their contents, to be spoilt */
    size_t file_size, map_size;
};

static inline bool left_note(void *arg, const char *name)
{
    struct left *l = arg;

    if (strstr(name, ".tmp-") && !strstr(name, "-map"))
        (void)snprintf(l->file_name, sizeof(l->file_name), "%s", name);
    return true;
}

static inline uint8_t *left_copy(const char *path, size_t *ret_size)
{
    struct wr_file *f = NULL;
    struct wr_file_info info = {0};
    uint8_t *p;
    struct wr_err e = {0};

    T_OK(wr_file_open(wr_fs_posix(), path, WR_FILE_READ, 0, &f, &e));
    T_OK(wr_file_info(f, &info, &e));
    p = wr_alloc((size_t)info.size);
    T(p);
    T_OK(wr_file_pread_all(f, p, (size_t)info.size, 0, path, &e));
    wr_file_close(f);
    *ret_size = (size_t)info.size;
    return p;
}

static inline void left_release(struct left *l)
{
    wr_free(l->file);
    wr_free(l->map);
}

static inline struct left left_in(const char *dir)
{
    struct left l = {.file_name = ""};
    struct wr_err e = {0};

    T_OK(wr_fs_posix()->list(wr_fs_posix(), dir, left_note, &l, &e));
    T(l.file_name[0]);
    (void)snprintf(l.map_name, sizeof(l.map_name), "%s-map", l.file_name);
    l.file = left_copy(t_path(dir, l.file_name), &l.file_size);
    l.map = left_copy(t_path(dir, l.map_name), &l.map_size);
    return l;
}

/* Leave it again, with so much of the file, and another map. */
static inline void left_as(
    const struct left *l, const char *dir, size_t file_size, struct wr_bytes map)
{
    t_spew(t_path(dir, l->file_name), l->file, file_size);
    t_spew(t_path(dir, l->map_name), map.p, map.n);
    T(chmod(t_path(dir, l->file_name), 0600) == 0);
    T(chmod(t_path(dir, l->map_name), 0600) == 0);
}

static inline void left_again(const struct left *l, const char *dir)
{
    left_as(l, dir, l->file_size, (struct wr_bytes){l->map, l->map_size});
}

/* A file that wins over half of a snapshot of one piece, at which the restore dies. */
static inline struct left small_leftover(struct rig *g, bool rolling)
{
    rig_init(g, rolling, 512, SMALL);
    story_commit(&g->s, SMALL, 0);
    story_rewrite(&g->s, SMALL / 2 - 200, SMALL);
    story_put(&g->s, &g->w, 0, 2, 2);
    rig_killed(g, 2);
    return left_in(g->dir);
}

#endif
