/*
 * pin.h - the VFS shim that lets one connection keep SQLite's checkpoint lock.
 *
 * Every checkpoint, by any process and any SQLite version, first takes the CKPT byte of the
 * wal-index exclusively (WAL_CKPT_LOCK, slot 1 of xShmLock; sqlite3 src/wal.c). A connection that
 * holds it for good freezes the database file and makes the WAL append-only. SQLite must still be
 * able to checkpoint on that very connection, so the shim leaves pinned slots out of the exclusive
 * ranges that SQLite locks and unlocks, and reports success for them: SQLite asks for what we
 * already have. Slot 0, the writer lock, is pinned the same way during a barrier.
 *
 * owned: by the connection's actor, like the connection.
 */
#ifndef WR_SQLITE_PIN_H
#define WR_SQLITE_PIN_H

#include "base/base.h"
#include "base/status.h"
#include "sqlite/api.h"

#define WR_PIN_VFS "weir-pin" /* name of the shim, over the default VFS of the process */

/* The default VFS without patience: SQLite's loop that waits for an index to become whole (up to
 * ten seconds) runs through at once and says PROTOCOL. For the connection that takes read marks: if
 * a writer died in mid-update only we, on the pinned connection, can repair the index, so waiting
 * for it in the same thread would be waiting for ourselves. */
#define WR_MARK_VFS "weir-mark"

enum wr_pin_slot {
    WR_SLOT_WRITE = 0, /* WAL_WRITE_LOCK */
    WR_SLOT_CKPT = 1,  /* WAL_CKPT_LOCK */
};

/* Register both, once in a process; later calls do nothing. */
enum wr_status wr_pin_register(struct wr_err *e) WR_MUST_CHECK;

/* Take a slot for good without waiting. BUSY (no text) when another connection has it. `f` is a
 * database file opened through WR_PIN_VFS whose wal-index is mapped. */
enum wr_status wr_pin_take(sqlite3_file *f, enum wr_pin_slot slot, struct wr_err *e) WR_MUST_CHECK;
void wr_pin_give(sqlite3_file *f, enum wr_pin_slot slot); /* does nothing when not pinned */
bool wr_pin_has(sqlite3_file *f, enum wr_pin_slot slot);

/* Whether another connection has this slot of xShmLock, shared or not. It is locked for a moment
 * to know that, as a checkpoint does with those of readers. */
bool wr_pin_in_use(sqlite3_file *f, int slot);

#endif
