/*
 * draft.h - a database under construction, and a map that lets a later run go on with it.
 *
 * The map is a file with 12 bytes a page, all integers little-endian. Page n, from 1, has the bytes
 * from 12 * n on:
 *
 *   0  4  origin: the low half of the identity of the file whose frame was written, with bit 0
 *         replaced: set if that frame was a block (ltx/frame.h)
 *   4  8  check: the CRC-64 of 17 bytes, with bit 63 set; zero where nothing was recorded
 *            0  8  the page's checksum (wr_ltx_page_checksum)
 *            8  8  the identity of that file
 *           16  1  1 if the frame was a block, else 0
 *
 * and the 12 bytes that a page 0 would have are the header:
 *
 *   0  8  magic "WEIRMAP2", of which the digit is the version
 *   8  4  page size
 *
 * The identity of an LTX file is the CRC-64 of 40 bytes: first and last TXID, size, the CRC-64 of
 * its header, and the file checksum in its trailer. So it follows what is in a file, not what it is
 * called or where it was found.
 *
 * No entry is believed. It only says that it may be worth reading the page again; if that gives the
 * check, then this is the page, of this file, whatever else the map or the disk says. A page is
 * written before its entry; nothing is synced. After a power cut there are entries that their pages
 * refute, and these pages are fetched again.
 *
 * One thread opens and releases; the rest any thread may call, for a page that is its own.
 */
#ifndef WR_ENGINE_DRAFT_H
#define WR_ENGINE_DRAFT_H

#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

#include <stdatomic.h>

struct wr_file;
struct wr_input;
struct wr_inputs;

#define WR_DRAFT_ENTRY 12 /* bytes */

struct wr_draft {
    struct wr_file *file; /* the database */
    struct wr_file *map;  /* NULL: no map */
    uint32_t page_size;
    uint8_t *claims;      /* entries of an earlier run, that of page 1 first; or NULL */
    uint32_t n_claims;    /* how many */
    atomic_bool unmapped; /* the map cannot be written, so that nothing more goes there */
    atomic_bool failed;   /* the database cannot be read or written: the local disk is at fault */
};

/* What is known of a page that is here. */
struct wr_draft_page {
    uint64_t checksum; /* wr_ltx_page_checksum */
    bool block;        /* how it was stored */
};

/* Make the two files ready for the image that `x` describes: its size, zeros in the lock page, and
 * nothing of an earlier run that no longer can be of use. The files are the caller's and outlive
 * the draft. Needs memory for the map of an earlier run. LIMIT: the disk is full. */
enum wr_status wr_draft_open(struct wr_draft *d, struct wr_file *file, struct wr_file *map,
    const struct wr_inputs *x, struct wr_err *e) WR_MUST_CHECK;
void wr_draft_release(struct wr_draft *d); /* NULL-safe; = {0} is empty */

uint64_t wr_draft_identity(const struct wr_input *in);

/* How many pages an earlier run claims in `map` to have written from the file `identity`. */
uint32_t wr_draft_count(struct wr_file *map, uint32_t page_size, uint64_t identity);

/* Whether an earlier run claims to have written page `pgno` from the file `identity`. */
bool wr_draft_claims(const struct wr_draft *d, uint64_t identity, uint32_t pgno);
/* Read such a page, page_size bytes, and prove the claim. False: it is not here. */
bool wr_draft_get(
    struct wr_draft *d, uint64_t identity, uint32_t pgno, uint8_t *page, struct wr_draft_page *ret);

/* Forget all claims of that file: its pages may be wrong ones, which the map calls by its name. */
void wr_draft_forget(struct wr_draft *d, uint64_t identity);

/* The entry that makes such a claim, WR_DRAFT_ENTRY bytes. */
void wr_draft_entry(uint8_t *out, uint64_t identity, const struct wr_draft_page *page);
/* Write consecutive pages from `pgno` on, and then their entries, if there is a map. A map that
 * cannot be written fails nothing: what follows is not recorded. */
enum wr_status wr_draft_put(struct wr_draft *d, uint32_t pgno, struct wr_bytes pages,
    const uint8_t *entries, struct wr_err *e) WR_MUST_CHECK;

#endif
