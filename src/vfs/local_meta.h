/*
 * local_meta.h - the file beside a local copy that says what is in it, for the next process.
 *
 *   0        a head: 4096 bytes, big-endian
 *     0  8   "weirloc2"; with another last letter it is an older one's, and tells nothing
 *     8  8   its number; the head with the higher one counts
 *    16  8   salt of the records
 *    24  8   base TXID
 *    32  8   CRC-64 of the replica's name
 *    40  4   page size
 *    44  4   1: the next field is there
 *    48  8   checksum of the database as of the base
 *    56  4   files of the replica that the base is made of, or some: n
 *    64      n times level, min, max, size, time, checksum in the trailer, 8 bytes each
 *    4088 8  CRC-64 of what is before
 *   4096     another head
 *   8192     records of 16 bytes, for page 1, 2, ...: since which transaction it is what is in the
 *            copy (0: it is not there), and the CRC-64 of salt, page number, transaction and page
 *
 * A page counts if its record's checksum is right, whatever of both files was written and whatever
 * was not; so pages and records need no order. A head is written, over the older one, when all
 * that was written before it is on the disk: then no record is from before the base that it names
 * and has changed until it.
 */
#ifndef WR_VFS_LOCAL_META_H
#define WR_VFS_LOCAL_META_H

#include "base/base.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_file;
struct wr_pagemap;

#define WR_LOCAL_HEAD    4096u
#define WR_LOCAL_RECORDS ((uint64_t)2 * WR_LOCAL_HEAD)
#define WR_LOCAL_RECORD  16u
#define WR_LOCAL_FILES   80 /* in a head, at most */

struct wr_local_origin {
    struct wr_ltx_file file; /* level, min, max, size and time */
    uint64_t checksum;
};

struct wr_local_head {
    uint64_t number; /* 0: there is none */
    uint64_t salt, txid, replica;
    uint32_t page_size;
    bool has_rolling;
    uint64_t rolling;
    size_t n;
    struct wr_local_origin files[WR_LOCAL_FILES];
};

/* That of the state of `m`: its oldest and its newest files. */
void wr_local_head_of(const struct wr_pagemap *m, struct wr_local_head *h);

/* The newer of the heads; number 0: neither is intact. CONFLICT: it is not weir's file, and not
 * empty. */
enum wr_status wr_local_head_read(
    struct wr_file *f, struct wr_local_head *ret, struct wr_err *e) WR_MUST_CHECK;
/* Over the older one; then fsync. */
enum wr_status wr_local_head_write(
    struct wr_file *f, const struct wr_local_head *h, struct wr_err *e) WR_MUST_CHECK;

/* Up to which TXID the state of `h` is one of the replica that `m` is the newest state of, and that
 * has `files`: all of it, where the checksum of the database or its last file shows that; else to
 * the end of the last file that is still there, as what came after it may have been of another
 * history with the same names. NOTFOUND, and why: it ends before, a file of that name is another
 * one by now, or the database had another checksum then; or nothing shows that it is: neither a
 * file that is still there nor a checksum. */
enum wr_status wr_local_head_fits(const struct wr_local_head *h, const struct wr_pagemap *m,
    const struct wr_ltx_files *files, uint64_t *ret_until, struct wr_err *e) WR_MUST_CHECK;

void wr_local_record(uint8_t out[WR_LOCAL_RECORD], uint64_t salt, uint32_t pgno, uint64_t since,
    const uint8_t *page, uint32_t page_size);
/* Since which transaction the page is that; 0: it is not what the record is of. */
uint64_t wr_local_record_since(const uint8_t record[WR_LOCAL_RECORD], uint64_t salt, uint32_t pgno,
    const uint8_t *page, uint32_t page_size);

#endif
