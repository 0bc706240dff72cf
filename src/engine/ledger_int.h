/*
 * ledger_int.h - a ledger, as its own files see it: ledger_head.c reads and writes the header,
 * ledger_open.c proves what is there, ledger.c goes on from that.
 */
#ifndef WR_ENGINE_LEDGER_INT_H
#define WR_ENGINE_LEDGER_INT_H

#include "engine/journal.h"
#include "engine/ledger.h"
#include "engine/squeeze.h"
#include "ltx/ltx.h"

#define WR_LEDGER_HEAD    4096u                /* bytes before the first page's checksum */
#define WR_LEDGER_JOURNAL ((uint64_t)16 << 20) /* bytes of journal that may always be */

struct wr_ledger {
    struct wr_file *file;
    uint8_t *map;
    size_t map_bytes;
    uint32_t page_size, lock_pgno;
    struct wr_ledger_state now;
    struct wr_pos closed; /* the header's; those of notes are in the journal, with their pages */
    struct wr_journal *journal;
    struct wr_pageset pending;
    uint64_t journal_max; /* bytes of journal above which it is squeezed */
    struct wr_stands stands;
    uint32_t notes; /* since the last closed TXID, those that could not be written included */
    uint64_t floor;
    struct wr_ledger_point strays;
    uint64_t run;   /* this one of the machine; 0: not known */
    uint64_t given; /* the one in which TXIDs were closed; 0: none, or all of them are known */
    uint64_t given_synced; /* the same as a power cut leaves it, at least */
    uint64_t synced_txid;  /* and which TXID it knows */
    bool distrust, loaded;
    uint64_t stores;         /* of the header, ever */
    unsigned newest, synced; /* copies of the header; the latter is on disk, in any case */
};

/* The checksum of each page that fits the mapping. */
static inline uint64_t *wr_ledger_entries(const struct wr_ledger *l)
{
    return (uint64_t *)(void *)(l->map + WR_LEDGER_HEAD);
}

static inline uint64_t wr_ledger_capacity(const struct wr_ledger *l)
{
    return (l->map_bytes - WR_LEDGER_HEAD) / 8;
}

/* The rolling checksum of a database of these pages. */
static inline uint64_t wr_ledger_xor(const struct wr_ledger *l, uint32_t commit)
{
    uint64_t x = 0;

    for (uint32_t i = 0; i < commit; i++)
        x ^= wr_ledger_entries(l)[i];
    return x | WR_LTX_CHECKSUM_EMPTY;
}

/* ledger_head.c: find the newest copy of the header, and read it. TXIDs that any of them knows were
 * taken, whatever else is wrong. False: it is not a ledger of this database's shape. */
void wr_ledger_copies_read(struct wr_ledger *l);
bool wr_ledger_header_read(struct wr_ledger *l);
uint64_t wr_ledger_header_txid(
    const struct wr_ledger *l); /* of the newest copy; 0: there is none */
void wr_ledger_header_write(struct wr_ledger *l);

/* ledger_open.c: make room for `commit` pages, and map it. Existing entries stay. */
enum wr_status wr_ledger_reserve(
    struct wr_ledger *l, uint32_t commit, struct wr_err *e) WR_MUST_CHECK;

#endif
