/*
 * holders.h - who holds POSIX locks on a database, for messages to an operator, and for how soon
 * they get one. Never a decision.
 *
 * Reads /proc/locks (Linux) and stats; opens nothing of the database.
 */
#ifndef WR_SQLITE_HOLDERS_H
#define WR_SQLITE_HOLDERS_H

#include "base/base.h"
#include "base/str.h"

#define WR_SHM_SLOT_WRITE 0
#define WR_SHM_SLOT_CKPT  1
#define WR_SHM_SLOT_READ0 3

/* Name the process, other than this one, that locks slot `slot` of the database's wal-index:
 * "pid 4711 (litestream)". Empty when nobody is seen, or this system cannot tell. */
void wr_holder_of_slot(const char *db_path, int slot, char *out, size_t n);

/* Whether a line of /proc/locks is about a lock on that byte of that file, held by another process.
 */
bool wr_holder_in_line(struct wr_str line, uint64_t ino, uint64_t byte, uint64_t *ret_pid);

#endif
