/*
 * check_disk.c - what the files of a database say about whether it can be replicated. Pure.
 */
#include "base/bytes.h"
#include "cli/check_int.h"
#include "cli/progress.h"

#define HEADER_SIZE  100
#define LEDGER_ENTRY 8 /* bytes of local state for each page */
#define STATE_ROOM_MIN                                                         \
    ((uint64_t)64 << 20) /* for files that wait, and old pages while streaming \
                          */

void wr_check_header(const uint8_t *p, size_t n, struct wr_check_file *ret)
{
    static const char magic[16] = "SQLite format 3";
    uint32_t size;

    ret->is_database = n == HEADER_SIZE && memcmp(p, magic, sizeof(magic)) == 0;
    if (!ret->is_database)
        return;
    size = (uint32_t)p[16] << 8 | p[17];
    ret->page_size = size == 1 ? 65536 : size;
    ret->wal = p[18] == 2 && p[19] == 2;
}

static void judge_missing(struct wr_check *k, const char *path, const struct wr_check_file *f)
{
    if (f->restores)
        wr_check_find(k, WR_CHECK_NOTE, "%s does not exist: it is restored at the start", path);
    else
        wr_check_find(k, WR_CHECK_WARNING,
            "%s does not exist: nothing is replicated until an application makes it; is the path "
            "right?",
            path);
}

static void judge_content(struct wr_check *k, const char *path, const struct wr_check_file *f)
{
    if (f->headless)
        return; /* it may not be read: that is said elsewhere */
    if (f->size == 0)
        wr_check_find(
            k, WR_CHECK_NOTE, "%s is empty: it is replicated from the first transaction on", path);
    else if (!f->is_database)
        wr_check_find(k, WR_CHECK_ERROR,
            "%s is no SQLite database, or is encrypted: its first bytes are not \"SQLite format "
            "3\"",
            path);
    else if (!f->wal)
        wr_check_find(k, WR_CHECK_NOTE,
            "%s is not in WAL mode: replication switches it, for which no application may be using "
            "it",
            path);
}

static void judge_rights(struct wr_check *k, const char *path, const struct wr_check_file *f)
{
    if (!f->readable || !f->writable)
        wr_check_find(k, WR_CHECK_ERROR,
            "%s may not be %s by who runs this%s%s: replication needs both, as every user of a WAL "
            "does",
            path, f->readable ? "written" : "read", f->owner ? ", it belongs to " : "",
            f->owner ? f->owner : "");
    else if (!f->sidecars_open)
        wr_check_find(k, WR_CHECK_ERROR,
            "the -wal or -shm file of %s may not be read and written by who runs this: run as the "
            "user of the application",
            path);
    else if (!f->dir_writable)
        wr_check_find(k, WR_CHECK_ERROR,
            "the directory of %s may not be written to by who runs this: SQLite makes its -wal and "
            "-shm there",
            path);
    else if (f->owner)
        wr_check_find(k, WR_CHECK_NOTE,
            "%s belongs to %s, and this ran as another user: run it as who will replicate", path,
            f->owner);
}

static void judge_state(struct wr_check *k, const char *path, const struct wr_check_file *f)
{
    uint64_t pages = f->page_size ? f->size / f->page_size : 0;
    uint64_t need = STATE_ROOM_MIN + pages * LEDGER_ENTRY;
    char free_text[WR_SIZE_TEXT_MAX], need_text[WR_SIZE_TEXT_MAX];

    if (f->read_only)
        wr_check_find(k, WR_CHECK_ERROR,
            "local state: %s is on a read-only file system: see meta-path", f->state);
    else if (!f->state_writable)
        wr_check_find(k, WR_CHECK_ERROR,
            "local state: %s cannot be made or written to by who runs this: see meta-path",
            f->state);
    else if (f->free_known && f->free_bytes < need) {
        wr_size_text(free_text, f->free_bytes);
        wr_size_text(need_text, need);
        wr_check_find(k, WR_CHECK_WARNING, "local state of %s: %s are free, and %s may be needed",
            path, free_text, need_text);
    }
}

void wr_check_judge(struct wr_check *k, const char *path, const struct wr_check_file *f)
{
    switch (f->kind) {
    case WR_CHECK_MISSING:
        judge_missing(k, path, f);
        break;
    case WR_CHECK_UNSEEN:
        wr_check_find(k, WR_CHECK_ERROR, "%s cannot be looked at: %s", path, f->why);
        return;
    case WR_CHECK_DIRECTORY:
        wr_check_find(k, WR_CHECK_ERROR,
            "%s is a directory: for the databases in it write dir: instead of path:", path);
        return;
    case WR_CHECK_SPECIAL:
        wr_check_find(k, WR_CHECK_ERROR, "%s is no regular file", path);
        return;
    case WR_CHECK_FILE:
        judge_content(k, path, f);
        judge_rights(k, path, f);
        break;
    }
    if (f->fs)
        wr_check_find(k, WR_CHECK_ERROR,
            "%s is on %s: SQLite's WAL needs memory that all its users share, and a network gives "
            "none",
            path, f->fs);
    judge_state(k, path, f);
}
