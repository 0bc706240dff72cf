/*
 * local_int.h - what the parts of a local copy share: local_open.c (its files), local.c (its
 * pages), local_drop.c (how they leave it).
 */
#ifndef WR_VFS_LOCAL_INT_H
#define WR_VFS_LOCAL_INT_H

#include "base/base.h"
#include "vfs/local_meta.h"

#include <stdatomic.h>

struct wr_call;
struct wr_pagemap_about;

#define WR_LOCAL_BLOCK 4096u /* pages */
#define WR_LOCAL_FAN   1024u

/* WR_LOCAL_FAN * WR_LOCAL_FAN * WR_LOCAL_BLOCK is 2^32: all page numbers. Nothing of it goes before
 * the end, so that readers need no lock to find a word. */
struct wr_local_block {
    atomic_uint n;                          /* pages that are here */
    _Atomic uint64_t since[WR_LOCAL_BLOCK]; /* 0: not here */
};
struct wr_local_fan {
    struct wr_local_block *_Atomic block[WR_LOCAL_FAN];
};

/* One that was too small stays until the end, as somebody may be reading it. */
struct wr_local_mapping {
    uint8_t *p;
    size_t size;
};
#define WR_LOCAL_MAPPINGS 64 /* each larger than the one before by a quarter */

struct wr_local {
    struct wr_file *file, *meta; /* meta NULL: without a name */
    char *path;
    uint64_t replica;
    struct wr_local_head head; /* as it was last written, or read */
    atomic_uint page_size;
    uint32_t next, last;          /* pages of an earlier process that are to be looked at */
    _Atomic uint64_t epoch, txid; /* 0: not begun */
    _Atomic uint64_t least;       /* no map of an earlier transaction is served */
    uint64_t begun;               /* the epoch that it was last begun in, or resumed */
    bool has_rolling;             /* that of the base is known: */
    uint64_t rolling;
    _Atomic uint64_t unsettled;
    struct wr_local_mapping mappings[WR_LOCAL_MAPPINGS];
    size_t n_mappings;
    struct wr_local_mapping *_Atomic mapping; /* the last; NULL: none */
    struct wr_local_fan *_Atomic fan[WR_LOCAL_FAN];
};

static inline uint64_t wr_local_record_off(uint32_t pgno)
{
    return WR_LOCAL_RECORDS + (uint64_t)(pgno - 1) * WR_LOCAL_RECORD;
}

struct wr_local_block *wr_local_find_block(const struct wr_local *l, uint32_t number); /* or NULL */
uint64_t wr_local_since(const struct wr_local *l, uint32_t pgno); /* 0: it is not here */
void wr_local_forget(struct wr_local *l, uint32_t pgno);          /* its word alone */
void wr_local_set_base(struct wr_local *l, const struct wr_pagemap_about *about);

/* Pages of one block that are to be dropped. */
struct wr_local_drops {
    struct wr_local *l;
    const struct wr_call *call;
    uint8_t *records; /* room for those of a block; NULL where the copy has none */
    uint32_t block, n;
    uint64_t marks[WR_LOCAL_BLOCK / 64];
};
enum wr_status wr_local_drops_init(struct wr_local_drops *d, struct wr_local *l,
    const struct wr_call *c, struct wr_err *e) WR_MUST_CHECK;
void wr_local_drops_release(struct wr_local_drops *d);
/* This one, too; after those of a block that is another, which are dropped first. CANCELED and
 * TIMEOUT, between blocks: those that were marked stay. Else as the file system says. */
enum wr_status wr_local_drop(
    struct wr_local_drops *d, uint32_t pgno, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_local_drop_all(struct wr_local_drops *d, struct wr_err *e) WR_MUST_CHECK;

#endif
