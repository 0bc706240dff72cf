/*
 * sample.h - some pages of a replica's newest state: what tells one database from another.
 */
#ifndef WR_ENGINE_SAMPLE_H
#define WR_ENGINE_SAMPLE_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

struct wr_storage;

#define WR_SAMPLE_MAX 32
struct wr_sample {
    size_t n;
    uint32_t pgno[WR_SAMPLE_MAX];
    uint64_t checksum[WR_SAMPLE_MAX]; /* wr_ltx_page_checksum */
    uint64_t schema;                  /* wr_sample_schema */
};

/* A checksum of page 1 that stays as long as no table or index comes, goes or changes: of what is
 * behind the header of the database file, the root of the schema. Two programs differ in it. */
uint64_t wr_sample_schema(const uint8_t *page, uint32_t page_size);

/* Fetch page 1, and up to WR_SAMPLE_MAX pages, spread over the database. What two databases of one
 * program share is left out: page 1, pages of one repeated byte, pages of a tree without an entry,
 * and those with SQL of the schema.
 *
 * Every file that leads to the newest state is asked for its header and page index, `parallel` (1
 * to 8) at once: there may be thousands. So `c` need not have a deadline: the listing, each file
 * and each page have one of their own, of `each_ms`. Memory: a bit for each page, and what the
 * files that are read at once hold, which is 256 KiB each unless an index is larger.
 *
 * CORRUPT: no chain of files leads there, a damaged header, index or page, page sizes that differ,
 * or pages that no file has; NOTFOUND: there are no files; BUSY: one has vanished since it was
 * listed. */
enum wr_status wr_sample_take(struct wr_storage *s, struct wr_call *c, uint32_t lock_offset,
    unsigned parallel, int64_t each_ms, struct wr_sample *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
