/*
 * ahead.c - frames begin their way to the disk soon after they came, ahead of the sync of the WAL
 * by which they must be there.
 *
 * That sync begins each checkpoint, and for the last of them writers wait. If it finds everything
 * still to be written, the disk is idle before and busy then, the WAL grows meanwhile, and where
 * its file grows, too, an application that appends to it may wait for the file system's journal. It
 * is a hint: nothing is written that would not be anyway, and whether it was heard makes no
 * difference but in time.
 *
 * SQLite hands out no descriptor, so that the WAL is opened by path. It locks nothing of a WAL. But
 * to close a database or an index, if somebody had put one there, would drop the locks on it: what
 * turns out to be another file is never closed, and it is not tried again.
 */
#include "engine/ahead.h"
#include "engine/primary_int.h"

#include "base/file.h"
#include "sqlite/wal.h"

#define AHEAD_MIN ((uint64_t)256 << 10) /* bytes that are worth seven system calls */
#define AHEAD_MAX ((uint64_t)16 << 20)  /* more at once may fill the disk's queue: then it waits */
#define PAGE_MAX  ((uint64_t)64 << 10)  /* of a kernel */

void wr_ahead_range(uint32_t frames, uint32_t page_size, uint64_t begun, uint64_t *off, uint64_t *n)
{
    const uint64_t end = wr_frame_offset(frames + 1, page_size);
    const uint64_t whole = end - end % PAGE_MAX;

    *off = begun;
    *n = whole < begun + AHEAD_MIN ? 0 : wr_min(whole - begun, AHEAD_MAX);
}

/* The WAL, or NULL. */
static struct wr_file *open_wal(struct wr_db *db)
{
    struct wr_file_info info = {0};
    struct wr_file *f = NULL;

    if (db->no_wal || !db->wal_path || !wr_conn_same_files(db->conn) ||
        wr_file_open_temp(db->fs, db->wal_path, WR_FILE_READ, &f, NULL) != WR_OK)
        return NULL;
    if (wr_file_info(f, &info, NULL) == WR_OK && wr_conn_is_wal(db->conn, info.dev, info.ino))
        return f;
    db->no_wal = true;
    return NULL;
}

void wr_db_write_ahead(struct wr_db *db)
{
    struct wr_file *wal;
    uint64_t off, n;

    wr_ahead_range(db->seen.mx_frame, db->view.page_size, db->wal_begun, &off, &n);
    if (n == 0)
        return;
    db->wal_begun = off + n;
    wal = open_wal(db);
    if (!wal)
        return;
    wal->fs->flush_hint(wal, off, n);
    wr_file_close(wal);
}
