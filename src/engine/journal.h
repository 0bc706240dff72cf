/*
 * journal.h - what was captured since the replicas last caught up: two small local files.
 *
 * The ledger (ledger.h) says what the database looked like at the last closed TXID. The journal
 * says how it got there from the last TXID that every replica has, and which pages were captured
 * since. After a kill it bounds the repair to those pages. It is never synced: after a power cut
 * it proves nothing, and the ledger finds out by comparing every page.
 *
 * A record, all integers little-endian:
 *
 *   offset  0  magic u32, kind u32                56  WAL frame u32, its checksum 2 x u32
 *           8  sequence u64                       68  database pages before u32, after u32
 *          16  TXID before u64, after u64         76  number of entries u32
 *          32  rolling checksum before, after     80  CRC-64 of bytes 0..79 and the entries
 *          48  WAL salt, 8 bytes                  88  entries
 *
 * An entry of a capture is a page number u32; of a close a page number u32 and the checksum u64
 * that the page had before. "Pages before" of a capture is its number since the last close, from 1,
 * so that one that is missing between two others shows. Records go to one of two files; when it has
 * grown and the replicas have everything in the other one, that is emptied and takes over.
 *
 * owned: by the database's actor.
 */
#ifndef WR_ENGINE_JOURNAL_H
#define WR_ENGINE_JOURNAL_H

#include "base/base.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/status.h"
#include "engine/pos.h"

#define WR_JOURNAL_ENTRIES_MAX ((uint32_t)1 << 24) /* of one record */

enum wr_journal_kind {
    WR_JOURNAL_CAPTURE = 1, /* pages that changed, not yet in a closed TXID */
    WR_JOURNAL_CLOSE = 2,   /* a TXID was closed: the ledger moves from `before` to `after` */
};

struct wr_journal_rec {
    enum wr_journal_kind kind;
    uint64_t seq;
    uint64_t txid_before, txid; /* of a capture: both the last closed one */
    uint64_t rolling_before, rolling;
    struct wr_pos pos;              /* captured up to here */
    uint32_t commit_before, commit; /* of a capture: its number since the last close; the size */
    uint32_t n;                     /* entries */
};

struct wr_pageset;

/* Bytes of one entry. */
size_t wr_journal_entry(enum wr_journal_kind kind);
/* Add the pages that the entries of a record name. Page 0, which a record of ours never has, is no
 * page. */
void wr_journal_pages(
    const struct wr_journal_rec *rec, struct wr_bytes entries, struct wr_pageset *out);

struct wr_journal;

/* Open or create `<dir>/journal.0` and `.1`. NOMEM, IO, LIMIT (disk full). */
enum wr_status wr_journal_open(const struct wr_fs *fs, const char *dir, struct wr_journal **ret,
    struct wr_err *e) WR_MUST_CHECK;
void wr_journal_close(struct wr_journal *j); /* NULL-safe */

/* Append one record; `entries` are encoded as above. `rec->seq` is set here. After a failure the
 * record is not there. */
enum wr_status wr_journal_append(struct wr_journal *j, struct wr_journal_rec *rec,
    struct wr_bytes entries, struct wr_err *e) WR_MUST_CHECK;

/* Call `fn` for each intact record in the order they were written. A torn or foreign tail ends its
 * file quietly. `entries` dies with the call. */
typedef enum wr_status wr_journal_fn(
    void *arg, const struct wr_journal_rec *rec, struct wr_bytes entries, struct wr_err *e);
enum wr_status wr_journal_each(
    struct wr_journal *j, wr_journal_fn *fn, void *arg, struct wr_err *e) WR_MUST_CHECK;

/* Remove the newest record, which is `rec`: what it announced did not happen. */
enum wr_status wr_journal_drop_last(
    struct wr_journal *j, const struct wr_journal_rec *rec, struct wr_err *e) WR_MUST_CHECK;

/* Everything up to `txid` is in all replicas: forget what only leads there. */
enum wr_status wr_journal_trim(struct wr_journal *j, uint64_t txid, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_journal_clear(struct wr_journal *j, struct wr_err *e) WR_MUST_CHECK;
uint64_t wr_journal_bytes(const struct wr_journal *j);

#endif
