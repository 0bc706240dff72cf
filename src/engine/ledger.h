/*
 * ledger.h - eight bytes a page: the checksum of each page at the last closed TXID.
 *
 * A mapped file beside the database: 4096 bytes of header, then the LTX page checksum
 * (ltx.h, wr_ltx_page_checksum) of page 1, 2, 3 ..., 0 where there is no page. Its XOR is the
 * rolling checksum of the database. Every LTX file we write carries that of the database after it,
 * so the ledger proves itself: if its XOR is the one in the replica's newest file, the ledger is
 * the replica's state, and after a gap the pages that differ from it are all that must be sent. If
 * not, it is thrown away. It needs no repair. Deleting it costs a full read, and the knowledge
 * which TXIDs were taken for files that may still be under way: it is synced only where that counts
 * (join.c, ship.c, promote.c).
 *
 *   header: at 0, 1024 and 2048 of the file a copy of "weirldg3", page size u32, commit u32, TXID
 *   u64, rolling u64, WAL salt 8 bytes, frame u32, frame checksum 2 x u32, lock page u32, floor
 *   u64, 1 u64 if no position is to be believed, number of stores u64, CRC-64 of all that u64; all
 *   of it little-endian; page checksums in machine order. Its position is that of the TXID: a
 *   later one, of a note, means nothing without the pages, which are in the journal.
 *
 *   behind it, at 88 of the copy, what is known of the database file: inode u64, size u64, time of
 *   its contents and of anything i64 ns each, a number for this run of the machine if the file
 *   alone is the database at TXID u64, CRC-64 of all bytes of the copy before it u64. Where that is
 *   wrong, as in a ledger of a version that knew none of this, nothing is known of the file.
 *
 *   behind it, at 136, wr_ledger_strays, TXID u64 and rolling u64, CRC-64 as before u64. Where that
 *   is wrong it is the last TXID.
 *
 *   behind it, at 160, the number of the run of the machine in which a TXID was last closed, 0 once
 *   the process that did was at its end u64, CRC-64 as before u64. Where that is wrong it was in
 *   another run.
 *
 * Of the copies whose CRC is right the one with the most stores counts; without one the ledger is
 * empty. Each store goes to a copy that is neither the newest nor the one that was newest at the
 * last sync. So:
 *
 *   1. A kill in a store, after any part of it, leaves the state before it; or the one after it,
 *      with the parts behind 88 unknown.
 *   2. A power cut may leave any mixture of the two other copies and the page checksums, but the
 *      one of the last sync is not even touched: the TXIDs that were taken by then are known, also
 *      when the pages prove none of the copies. The floor is the highest TXID that a right copy
 *      names. Those that were taken since are not, only that there may be some: the copy names
 *      another run of the machine.
 *
 * Closing a TXID appends the old checksums to the journal first, then changes the pages, then the
 * header. A kill in between is found by the XOR and undone from the journal.
 *
 * owned: by the database's actor.
 */
#ifndef WR_ENGINE_LEDGER_H
#define WR_ENGINE_LEDGER_H

#include "base/base.h"
#include "base/file.h"
#include "base/status.h"
#include "engine/pageset.h"
#include "engine/pos.h"
#include "sqlite/conn.h"

struct wr_stands;

#define WR_LEDGER_UNSYNCED ((uint64_t)1 << 19) /* TXIDs; half of WR_TXID_LEAP */

struct wr_ledger;

struct wr_ledger_state {
    uint64_t txid;            /* last closed; 0: the ledger is empty */
    uint64_t rolling;         /* of the database at txid */
    uint32_t commit;          /* its size in pages */
    struct wr_pos pos;        /* captured up to here, with the pages that wr_ledger_pending lists */
    struct wr_file_mark file; /* the database file; after a write it has another one */
    uint64_t rest; /* this run of the machine, if `file` alone was the database at txid; 0: no */
};

struct wr_ledger_point {
    uint64_t txid, rolling;
};

struct wr_ledger_change {
    uint32_t pgno;
    uint64_t now; /* new checksum */
};

/* Open `<dir>/ledger` and the journal beside it, creating both, in a directory whose own name is
 * durable (wr_mkdirs). `run` is that of the machine (machine.h); 0: not known. A ledger of another
 * page size, of another lock page, or one that cannot be proven, comes back empty. NOMEM, IO, LIMIT
 * (disk full); BUSY when another process has it open. */
enum wr_status wr_ledger_open(const struct wr_fs *fs, const char *dir, uint32_t page_size,
    uint32_t lock_pgno, uint64_t run, struct wr_ledger **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_ledger_close(struct wr_ledger *l); /* NULL-safe */

struct wr_ledger_state wr_ledger_state(const struct wr_ledger *l);
uint64_t wr_ledger_page(const struct wr_ledger *l, uint32_t pgno); /* 0: no such page */

/* A TXID that was closed here before the ledger was emptied, or came back empty; 0: none is known.
 * At least what wr_ledger_state said as wr_ledger_sync was last called. Above the last closed one
 * as long as TXIDs may have been taken that a power cut made us forget: some, that is, and how many
 * nobody knows (ship.c, next_txid). */
uint64_t wr_ledger_floor(const struct wr_ledger *l);

/* Whether the disk has it that TXIDs are being given away in this run of the machine, and a TXID
 * that is less than WR_LEDGER_UNSYNCED below the newest one. If not, the ledger is synced when one
 * was closed, before anything of it is sent: so what a power cut takes is always less than the room
 * that is left for it then. */
bool wr_ledger_given(const struct wr_ledger *l);

/* Rolling checksum if `changes` (ascending, none above `commit`) were applied and the database had
 * `commit` pages. Changes nothing. */
uint64_t wr_ledger_rolling_after(
    const struct wr_ledger *l, const struct wr_ledger_change *changes, size_t n, uint32_t commit);

/* Whether `n` changes, down or up to `commit` pages, fit into one record of the journal. If not:
 * start over with wr_ledger_fill. */
bool wr_ledger_can_close(const struct wr_ledger *l, size_t n, uint32_t commit);

/* Close a TXID above the current one. The pages' new checksums as in rolling_after; they are known
 * to fit. NOMEM, IO, CORRUPT (no sane TXID), LIMIT (the disk is full, and nothing else): the ledger
 * is as it was. */
enum wr_status wr_ledger_close_txid(struct wr_ledger *l, uint64_t txid,
    const struct wr_ledger_change *changes, size_t n, uint32_t commit, const struct wr_pos *pos,
    struct wr_err *e) WR_MUST_CHECK;

/* Note pages that were captured after the last closed TXID, up to `pos`, before their frames may
 * vanish from the WAL. */
enum wr_status wr_ledger_note(struct wr_ledger *l, const struct wr_pageset *pages,
    const struct wr_pos *pos, struct wr_err *e) WR_MUST_CHECK;

/* The database was written by others: whoever opens the ledger has no position (frame 0) until a
 * TXID is closed or the file is at rest; now there is none until pages are noted. Nothing is known
 * of the file. It needs no room on the disk. */
void wr_ledger_distrust(struct wr_ledger *l);

/* This is the file to which all belongs that the ledger says. No room, no sync: a cache. */
void wr_ledger_mark(struct wr_ledger *l, const struct wr_file_mark *file);
/* And without any WAL it is the database at the last closed TXID, `pos` included. It is believed
 * until a TXID is closed, and as long as the machine runs (`run`, not 0): times of files that were
 * not synced may go back in a power cut. */
void wr_ledger_rest(
    struct wr_ledger *l, const struct wr_file_mark *file, const struct wr_pos *pos, uint64_t run);

/* Pages that differ, or may differ, from the state at `txid` with rolling checksum `rolling`: those
 * of every TXID closed since, added to `out`. False, and nothing added, when no unbroken history
 * from exactly that state to the ledger's is known. */
enum wr_status wr_ledger_since(struct wr_ledger *l, uint64_t txid, uint64_t rolling,
    struct wr_pageset *out, bool *ret_known, struct wr_err *e) WR_MUST_CHECK;

/* The last closed TXID goes over files in a replica that are not of this history. What they changed
 * is not in wr_ledger_since, so a file that covers a TXID before it and this one would leave
 * whoever stands at such a file with a mixture. As durable as the next wr_ledger_sync. */
void wr_ledger_over_strays(struct wr_ledger *l);
/* The TXID that was last said of, or with which the ledger was filled, behind which nothing is
 * known either. It holds for all replicas, whichever it was. */
struct wr_ledger_point wr_ledger_strays(const struct wr_ledger *l);

/* What it takes to know that: bytes of the journal. */
uint64_t wr_ledger_history(const struct wr_ledger *l);

/* Where somebody will go on from, kept when the journal of a long outage is made short (squeeze.h).
 * Only what was told last counts; worth telling when the other one says so. */
void wr_ledger_stands(struct wr_ledger *l, const struct wr_stands *stands);
bool wr_ledger_wants_stands(const struct wr_ledger *l);

/* Pages that were noted, or half closed, when the process died. As opened; empty later. */
const struct wr_pageset *wr_ledger_pending(const struct wr_ledger *l);

/* All replicas have `txid`. */
enum wr_status wr_ledger_ack(struct wr_ledger *l, uint64_t txid, struct wr_err *e) WR_MUST_CHECK;

/* Start over: empty it, then put every page of the database, then declare the result; CORRUPT when
 * its TXID is not a sane one. */
enum wr_status wr_ledger_fill_begin(
    struct wr_ledger *l, uint32_t commit, struct wr_err *e) WR_MUST_CHECK;
void wr_ledger_fill(struct wr_ledger *l, uint32_t pgno, uint64_t checksum);
uint64_t wr_ledger_fill_rolling(const struct wr_ledger *l); /* of what was filled in */
enum wr_status wr_ledger_fill_end(
    struct wr_ledger *l, uint64_t txid, const struct wr_pos *pos, struct wr_err *e) WR_MUST_CHECK;

/* It is not needed for a while: its pages need not stay in this process's memory. */
void wr_ledger_idle(const struct wr_ledger *l);

/* What the ledger says survives a power cut. */
enum wr_status wr_ledger_sync(struct wr_ledger *l, struct wr_err *e) WR_MUST_CHECK;

/* What the ledger in `dir` says that pages 1 to `n` are, 0 for each that it does not know: as of
 * whatever TXID, and nothing of it is proven, so that it may only be a hint. NULL: there is no
 * ledger of a database with such pages, or no memory for it. The caller frees it. Takes no lock and
 * writes nothing; the directory need not be there. */
uint64_t *wr_ledger_peek(const struct wr_fs *fs, const char *dir, uint32_t page_size,
    uint32_t lock_pgno, uint32_t n) WR_MUST_CHECK;

/* And the TXID that it was closed at last; 0: there is no ledger, or it is damaged. Likewise. */
uint64_t wr_ledger_peek_txid(const struct wr_fs *fs, const char *dir);

/* Forget everything: the next start cannot rely on it. */
enum wr_status wr_ledger_reset(struct wr_ledger *l, struct wr_err *e) WR_MUST_CHECK;

#endif
