/*
 * pack.h - some pages as they will stand in an LTX file, made ready away from it.
 *
 * What costs in writing a file is to compress each page and to go through it for checksums, and
 * that needs to know nothing of the pages before. So several threads can do it, each with a pack of
 * its own, and whoever writes the file adds them in order (wr_ltx_enc_pack).
 *
 * owned. Memory: a little more than twice the pages that it has room for, and 16 KiB.
 */
#ifndef WR_LTX_PACK_H
#define WR_LTX_PACK_H

#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

#define WR_LTX_PACK_MAX ((size_t)1 << 20) /* bytes of pages in one */

struct wr_ltx_pack {
    uint32_t page_size, room; /* pages that fit; at least 1, and no more than WR_LTX_PACK_MAX */

    /* set by the owner before make */
    uint32_t n;     /* pages in it */
    uint32_t *pgno; /* of each; 0: it is to be left out */
    uint8_t *pages; /* their contents, page_size bytes each */

    /* set by make */
    size_t *sizes;         /* bytes of each page's frame; 0 of one that is left out */
    uint64_t *sums;        /* checksum of each page (ltx.h); 0 of one that is left out */
    struct wr_bytes bytes; /* all frames */
    uint64_t crc;          /* CRC-64 of all that the file's checksum covers of them, and the */
    uint64_t covered;      /* bytes that these were */
    uint64_t sum;          /* XOR of the pages' checksums */

    void *block_; /* what all of these are in */
    uint8_t *frames_;
};

/* An empty pack. NOMEM. */
enum wr_status wr_ltx_pack_init(
    struct wr_ltx_pack *p, uint32_t page_size, uint32_t room, struct wr_err *e) WR_MUST_CHECK;
void wr_ltx_pack_release(struct wr_ltx_pack *p); /* also of one that is all zero */

/* Compress what is in it, and sum it up. The pages are the owner's again afterwards. */
void wr_ltx_pack_make(struct wr_ltx_pack *p);

#endif
