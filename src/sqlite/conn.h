/*
 * conn.h - the two SQLite connections that replicate one database, and what is read through them.
 *
 * The pinned connection (through pin.h's shim) maps the wal-index, reads the database and the WAL
 * through SQLite's own file handles, and runs our checkpoints. The reader connection exists only to
 * hold a read mark during the bulk phase of a checkpoint.
 *
 * Nothing here, or anywhere in the process, opens or closes a database or -shm by path: closing any
 * descriptor of a file drops all POSIX locks that this process holds on it.
 *
 * owned: by the database's actor, except wr_conn_read_db and wr_conn_read_wal, which only use
 * pread and may run on another thread while the connection stays open.
 */
#ifndef WR_SQLITE_CONN_H
#define WR_SQLITE_CONN_H

#include "base/base.h"
#include "base/status.h"
#include "sqlite/filemark.h"
#include "sqlite/walidx.h"

struct wr_conn;

/* What opening found, for messages. */
struct wr_conn_info {
    uint32_t page_size;   /* bytes */
    bool switched_to_wal; /* it was in another journal mode and is now in WAL mode */
};

/* Open an existing database of at least one page. Switches it to WAL mode when it is in another.
 * The caller acts on: NOTFOUND (no such file, or empty: nothing written yet), BUSY (locked now,
 * try later), UNSUPPORTED (not a database, or WAL mode is impossible here), IO. */
enum wr_status wr_conn_open(const char *path, struct wr_conn **ret, struct wr_conn_info *ret_info,
    struct wr_err *e) WR_MUST_CHECK;

/* Releases the pin and closes both connections. If nobody else has the database open, SQLite then
 * checkpoints, and removes the WAL. NULL-safe. */
void wr_conn_close(struct wr_conn *c);

/* Nothing is done with it for a while: give back what memory it can do without. The next call finds
 * it again by itself. Not while a mark is held. */
void wr_conn_rest(struct wr_conn *c);

/* Let the WAL stay as it is even so: the next start can prove from it that it goes on. Only for one
 * whose frames have all been checked: a recovery finds no other, and puts those before them over
 * newer pages of the database. */
void wr_conn_leave_wal(struct wr_conn *c);

/* Take the checkpoint lock for good. BUSY (no text) while somebody else has it. */
enum wr_status wr_conn_pin(struct wr_conn *c, struct wr_err *e) WR_MUST_CHECK;
bool wr_conn_pinned(const struct wr_conn *c);

/* The stable wal-index header. BUSY without text when it is torn. */
enum wr_status wr_conn_header(
    struct wr_conn *c, struct wr_walidx *ret, struct wr_err *e) WR_MUST_CHECK;

/* The wal-index itself, for as long as it is open, and the file that it is. */
const volatile uint8_t *wr_conn_index(
    const struct wr_conn *c, uint64_t *ret_dev, uint64_t *ret_ino);

/* Begin and end a read on the pinned connection: SQLite rebuilds a torn index under our pin. BUSY
 * when a live writer has it. */
enum wr_status wr_conn_recover(struct wr_conn *c, struct wr_err *e) WR_MUST_CHECK;

/* Take the writer lock by trying in a tight loop for at most `budget_ns`, not in the way of whoever
 * has it: SQLite's busy handler sleeps, and starves against a tight writer. BUSY (no text) when it
 * was not to be had. */
enum wr_status wr_conn_barrier_begin(
    struct wr_conn *c, int64_t budget_ns, struct wr_err *e) WR_MUST_CHECK;
void wr_conn_barrier_end(struct wr_conn *c);
bool wr_conn_in_barrier(const struct wr_conn *c);

/* Hold a read mark on the reader connection: nothing past it is backfilled, and no reset happens.
 */
enum wr_status wr_conn_mark_begin(struct wr_conn *c, struct wr_err *e) WR_MUST_CHECK;
void wr_conn_mark_end(struct wr_conn *c);

/* Run a checkpoint on the pinned connection. `truncate` needs the barrier, and gives the WAL's disk
 * space back. OK: it did all it could; a TRUNCATE copied everything and reset the WAL. BUSY (no
 * text): readers were in the way; see wr_conn_backfill for what was copied all the same. LIMIT: the
 * database's disk is full, or a quota used up. */
enum wr_status wr_conn_checkpoint(struct wr_conn *c, bool truncate, struct wr_err *e) WR_MUST_CHECK;

/* Whether a reader would keep a checkpoint from copying every frame of the WAL that was seen: it
 * reads the database alone, or the WAL up to an earlier frame. As it is at this moment; costs a
 * system call or two for each of them that is gone. */
bool wr_conn_reader_in_way(struct wr_conn *c, const struct wr_walidx *seen);

/* Sync the database file: moves the cost of a checkpoint's fsync out of the barrier. LIMIT as
 * there. */
enum wr_status wr_conn_sync_db(struct wr_conn *c, struct wr_err *e) WR_MUST_CHECK;

/* Frames that are in the database file by now (nBackfill). While pinned only our own checkpoints
 * raise it. A writer that resets the WAL first publishes the new header and then sets it to 0
 * (walRestartHdr in SQLite's wal.c); if it is killed in between, the count stays too large for the
 * new frames. */
uint32_t wr_conn_backfill(const struct wr_conn *c);
/* Set the count to what it really is, which is what that writer would have done next: else SQLite
 * itself would take new frames for copied ones, and lose them. Needs the pin, and that nobody is
 * resetting the WAL: the barrier, or a count below the number of frames. */
void wr_conn_set_backfill(struct wr_conn *c, uint32_t frames);

#define WR_CONN_READ_MAX ((size_t)1 << 30) /* bytes at once: SQLite counts them in an int */
/* `n` bytes at `off` of the database file; zeros beyond its end. Frozen while pinned, between our
 * own checkpoints. */
enum wr_status wr_conn_read_db(
    struct wr_conn *c, uint64_t off, void *buf, size_t n, struct wr_err *e) WR_MUST_CHECK;
/* `n` bytes at `off` of the WAL; *got < n at its end. */
enum wr_status wr_conn_read_wal(struct wr_conn *c, uint64_t off, void *buf, size_t n, size_t *got,
    struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_conn_db_bytes(struct wr_conn *c, uint64_t *ret, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_conn_wal_bytes(struct wr_conn *c, uint64_t *ret, struct wr_err *e) WR_MUST_CHECK;

/* Where the database really is, symbolic links resolved: its -wal and -shm are beside that file.
 * Lives as long as the connection. */
const char *wr_conn_path(const struct wr_conn *c);

/* What somebody else did to the files. SQLite keeps -wal and -shm while any connection is open, so
 * other ones mean that somebody deleted them, or put another database in place, by rename or by
 * copying over it. */
enum wr_conn_change {
    WR_CONN_DB_GONE = 1,  /* the path names another file than the one that was opened, or none */
    WR_CONN_WAL_GONE = 2, /* and those of its WAL and wal-index */
    WR_CONN_SHM_GONE = 4,
    WR_CONN_TOUCHED = 8, /* the file was written since the pin was taken, or our last checkpoint */
};

/* Of enum wr_conn_change. Under the pin nobody else may write the database file; that is told by
 * its size and modification time. Stats, no open. */
unsigned wr_conn_changes(const struct wr_conn *c);
/* Whether the paths of the database and its WAL still name the files that were opened. */
bool wr_conn_same_files(const struct wr_conn *c);
/* And that of the index, too. */
bool wr_conn_in_place(const struct wr_conn *c);
/* Whether that file is the WAL that was opened with the database. */
bool wr_conn_is_wal(const struct wr_conn *c, uint64_t dev, uint64_t ino);

/* The file as it was when the pin was taken, or after our last checkpoint. */
struct wr_file_mark wr_conn_mark(const struct wr_conn *c);

/* The file as it is now; needs the pin. False: it is not in place, it was touched, or its time is
 * so young that a write that follows might leave it as it is. Waits `patience_ns` for that to pass,
 * some milliseconds at most where files have fine times. */
bool wr_conn_mark_now(
    struct wr_conn *c, int64_t patience_ns, struct wr_file_mark *ret) WR_MUST_CHECK;

#endif
