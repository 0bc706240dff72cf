/*
 * peek.c - see peek.h.
 */
#include "sqlite/peek.h"

#include <sys/stat.h>

#define PATH_MAX_N (4096 + 8) /* what does not fit is too long for stat as well */

void wr_peek_init(struct wr_peek *p)
{
    *p = (struct wr_peek){0};
    wr_mutex_init(&p->mutex);
}

void wr_peek_release(struct wr_peek *p)
{
    wr_mutex_release(&p->mutex);
}

void wr_peek_open(struct wr_peek *p, struct wr_conn *c)
{
    uint64_t dev, ino;
    const volatile uint8_t *map = wr_conn_index(c, &dev, &ino);
    const char *path = wr_conn_path(c);

    wr_mutex_lock(&p->mutex);
    p->map = map;
    p->dev = dev;
    p->ino = ino;
    p->path = path;
    p->at_rest = false;
    wr_mutex_unlock(&p->mutex);
}

void wr_peek_close(struct wr_peek *p)
{
    wr_mutex_lock(&p->mutex);
    p->map = NULL;
    p->path = NULL;
    p->at_rest = false;
    wr_mutex_unlock(&p->mutex);
}

void wr_peek_rest(struct wr_peek *p, const char *path, const char *wal_path,
    const struct wr_file_mark *db, const struct wr_file_mark *wal)
{
    wr_mutex_lock(&p->mutex);
    p->map = NULL;
    p->path = path;
    p->wal_path = wal_path;
    p->at_rest = true;
    p->wal_there = wal != NULL;
    p->db = *db;
    if (wal)
        p->wal = *wal;
    wr_mutex_unlock(&p->mutex);
}

/* SQLite's own barrier needs its handle, which is the engine's. Where this is not quite one, the
 * checksum in the header tells that it was read in the middle of an update. */
static void fence(void *arg)
{
    (void)atomic_fetch_add((atomic_uint *)arg, 1);
}

static bool still_at_rest(const struct wr_peek *was, const char *path, const char *wal_path)
{
    struct wr_file_mark db, wal;
    bool wal_there = wr_file_mark_of(wal_path, &wal);

    return wr_file_mark_of(path, &db) && wr_file_mark_equal(&db, &was->db) &&
           wal_there == was->wal_there && (!wal_there || wr_file_mark_equal(&wal, &was->wal));
}

static bool is_index(const char *path, uint64_t dev, uint64_t ino)
{
    char name[PATH_MAX_N];
    struct stat now;

    (void)snprintf(name, sizeof(name), "%s-shm", path);
    return stat(name, &now) == 0 && (uint64_t)now.st_dev == dev && (uint64_t)now.st_ino == ino;
}

enum wr_peek_state wr_peek(struct wr_peek *p, struct wr_walidx *ret_index)
{
    char path[PATH_MAX_N - 4] = "", wal_path[PATH_MAX_N] = "";
    atomic_uint fenced = 0;
    struct wr_peek was;
    enum wr_status st = WR_OK;

    wr_mutex_lock(&p->mutex);
    was = (struct wr_peek){.at_rest = p->at_rest,
        .wal_there = p->wal_there,
        .db = p->db,
        .wal = p->wal,
        .dev = p->dev,
        .ino = p->ino};
    if (p->path)
        (void)snprintf(path, sizeof(path), "%s", p->path);
    if (p->at_rest)
        (void)snprintf(wal_path, sizeof(wal_path), "%s", p->wal_path);
    if (p->map)
        st = wr_walidx_read(p->map, fence, &fenced, ret_index, NULL);
    wr_mutex_unlock(&p->mutex);
    if (!path[0])
        return WR_PEEK_CLOSED;
    if (was.at_rest)
        return still_at_rest(&was, path, wal_path) ? WR_PEEK_AT_REST : WR_PEEK_WRITTEN;
    if (!is_index(path, was.dev, was.ino))
        return WR_PEEK_GONE;
    return st == WR_OK && ret_index->init ? WR_PEEK_OPEN : WR_PEEK_TORN;
}
