/*
 * patch.h - change a database that is not in WAL mode page by page, as SQLite itself would: under
 * its locks, and through a rollback journal that any SQLite rolls back.
 *
 *     begin   RESERVED: nobody else writes, readers go on. A hot journal is rolled back first.
 *     keep    each page that will change, as it is, goes to the journal, which is not hot yet
 *     arm     the journal is synced, gets its header, is synced: from here on a crash brings the
 *             old database back
 *     lock    EXCLUSIVE: no reader is left
 *     write   new pages, over the old ones
 *     commit  the size is set, the file synced, the journal emptied: this is the moment
 *     end     the locks go, and that the journal is empty is synced; before commit, everything is
 *             as it was
 *
 * The empty journal stays for the next step, and is deleted at the end of all.
 *
 * The caller sees to it that the header in page 1 tells other connections to drop their caches, by
 * another change counter. All I/O goes through SQLite's own file handle and VFS: whoever closes a
 * descriptor of a database drops the POSIX locks that this process holds on it.
 *
 * owned.
 */
#ifndef WR_SQLITE_PATCH_H
#define WR_SQLITE_PATCH_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

struct wr_patch;

#define WR_PATCH_LOCK_PAUSE_MS 5 /* between tries for the EXCLUSIVE lock */

/* NOTFOUND: no such file, or none that can be read. UNSUPPORTED: it cannot be written. NOMEM, IO.
 */
enum wr_status wr_patch_open(
    const char *path, struct wr_patch **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_patch_close(struct wr_patch *p); /* NULL-safe; ends what was begun */

/* `n` bytes, at most 64 KiB, at `off`. IO if there are fewer. Without a lock they may be torn. */
enum wr_status wr_patch_read(
    struct wr_patch *p, void *buf, size_t n, uint64_t off, struct wr_err *e) WR_MUST_CHECK;

/* *ret_bytes: the size of the file. A journal that no longer counts is deleted the first time: what
 * the caller records from now on no crash will contradict. BUSY: another connection writes, or
 * rolls a journal back. CONFLICT: it is in WAL mode, or the path names another file by now.
 * CORRUPT: it is no database (any more). LIMIT: the disk is full. */
enum wr_status wr_patch_begin(
    struct wr_patch *p, uint64_t *ret_bytes, struct wr_err *e) WR_MUST_CHECK;

/* Open the journal of a database of `pages` pages of `page_size` bytes. The lock page has no
 * place in it. */
enum wr_status wr_patch_journal(
    struct wr_patch *p, uint32_t page_size, uint32_t pages, struct wr_err *e) WR_MUST_CHECK;
/* `page` is what page `pgno` is now; no page twice, and never the lock page. LIMIT: disk full. */
enum wr_status wr_patch_keep(
    struct wr_patch *p, uint32_t pgno, const uint8_t *page, struct wr_err *e) WR_MUST_CHECK;
/* Sync what was kept; then make it a journal that counts. CONFLICT: the path names another file. */
enum wr_status wr_patch_sync(struct wr_patch *p, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_patch_arm(struct wr_patch *p, struct wr_err *e) WR_MUST_CHECK;

/* Wait for readers, for at most `patience_ms`, with new ones kept out meanwhile, as SQLite does.
 * After a time that was not enough the next one may take twice as long, and then four times: of
 * readers that overlap, those that are there must all end within that. Not longer, as new ones give
 * up then. BUSY (no text): there are some still. CANCELED, TIMEOUT as `c` says. */
enum wr_status wr_patch_lock(struct wr_patch *p, const struct wr_call *c, int64_t patience_ms,
    struct wr_err *e) WR_MUST_CHECK;

/* `n` bytes at `off` of the file. */
enum wr_status wr_patch_write(
    struct wr_patch *p, const void *buf, size_t n, uint64_t off, struct wr_err *e) WR_MUST_CHECK;
/* The file has `bytes` from now on. After a failure the database is either one, and the header in
 * page 1 tells which after the next begin; so it is after a power cut before `end`. */
enum wr_status wr_patch_commit(struct wr_patch *p, uint64_t bytes, struct wr_err *e) WR_MUST_CHECK;

/* Drop the locks. What was armed and not committed is rolled back first, by SQLite, as far as the
 * disk lets it; if not, by whoever reads the database next. */
void wr_patch_end(struct wr_patch *p);

#endif
