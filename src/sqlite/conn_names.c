/*
 * conn_names.c - whether a connection's paths still name its files, and since when nobody has
 * written to the database.
 */
#include "sqlite/conn_int.h"

#include <sys/stat.h>
#include <time.h>

#define TICK_NS 1000000 /* between looks at the clock of files, which moves in milliseconds */

const char *wr_conn_path(const struct wr_conn *c)
{
    return sqlite3_db_filename(c->db, "main");
}

struct wr_file_id wr_file_id_from(const struct stat *s)
{
    return (struct wr_file_id){.dev = (uint64_t)s->st_dev, .mark = wr_file_mark_from(s)};
}

static bool same_file(const struct wr_file_id *a, const struct wr_file_id *b)
{
    return a->dev == b->dev && a->mark.ino == b->mark.ino;
}

/* Which file one of the paths names now: a stat, no open. The path that was given may be a symbolic
 * link, which names another database once it was changed. */
bool wr_conn_identify(const struct wr_conn *c, int which, struct wr_file_id *ret)
{
    static const char *const tails[WR_CONN_FILES] = {"", "-wal", "-shm"};
    const char *base = which == WR_CONN_DB_FILE ? c->path : wr_conn_path(c);
    size_t n = strlen(base), tail_n = strlen(tails[which]);
    char path[4096 + 8]; /* what does not fit is too long for stat as well */
    struct stat now;

    if (n + tail_n >= sizeof(path))
        return false;
    memcpy(path, base, n);
    memcpy(path + n, tails[which], tail_n + 1);
    if (stat(path, &now) != 0)
        return false;
    *ret = wr_file_id_from(&now);
    return true;
}

void wr_conn_note_own_write(struct wr_conn *c)
{
    struct wr_file_id now;

    if (wr_conn_identify(c, WR_CONN_DB_FILE, &now) && same_file(&now, &c->is[WR_CONN_DB_FILE]))
        c->is[WR_CONN_DB_FILE] = now;
}

unsigned wr_conn_changes(const struct wr_conn *c)
{
    const struct wr_file_mark *own = &c->is[WR_CONN_DB_FILE].mark;
    unsigned changes = 0;
    struct wr_file_id now;

    for (int i = 0; i < WR_CONN_FILES; i++) {
        if (!wr_conn_identify(c, i, &now) || !same_file(&now, &c->is[i]))
            changes |= 1u << i;
        else if (i == WR_CONN_DB_FILE &&
                 (now.mark.size != own->size || now.mark.mtime_ns != own->mtime_ns))
            changes |= WR_CONN_TOUCHED;
    }
    return changes;
}

bool wr_conn_same_files(const struct wr_conn *c)
{
    struct wr_file_id now;

    for (int i = WR_CONN_DB_FILE; i <= WR_CONN_WAL_FILE; i++) {
        if (!wr_conn_identify(c, i, &now) || !same_file(&now, &c->is[i]))
            return false;
    }
    return true;
}

bool wr_conn_in_place(const struct wr_conn *c)
{
    return (wr_conn_changes(c) & ~(unsigned)WR_CONN_TOUCHED) == 0;
}

bool wr_conn_is_wal(const struct wr_conn *c, uint64_t dev, uint64_t ino)
{
    const struct wr_file_id *wal = &c->is[WR_CONN_WAL_FILE];

    return dev == wal->dev && ino == wal->mark.ino;
}

struct wr_file_mark wr_conn_mark(const struct wr_conn *c)
{
    return c->is[WR_CONN_DB_FILE].mark;
}

bool wr_conn_mark_now(struct wr_conn *c, int64_t patience_ns, struct wr_file_mark *ret)
{
    const struct timespec nap = {.tv_nsec = TICK_NS};
    struct wr_file_id now;

    assert(wr_conn_pinned(c));
    for (int64_t slept = 0; !wr_file_time_is_old(&c->is[WR_CONN_DB_FILE].mark); slept += TICK_NS) {
        if (slept >= patience_ns)
            return false;
        (void)nanosleep(&nap, NULL);
    }
    /* Only now: what was written up to that moment may have left the time as it was, and what is
     * written from now on cannot. */
    if (!wr_conn_identify(c, WR_CONN_DB_FILE, &now) || wr_conn_changes(c) != 0)
        return false;
    *ret = now.mark;
    return true;
}
