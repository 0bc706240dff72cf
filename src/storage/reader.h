/*
 * reader.h - sequential reading of one object by ranged gets with a fixed window of memory.
 *
 * owned. Each window is a whole, idempotent, retried request: no long-lived stream to lose.
 */
#ifndef WR_STORAGE_READER_H
#define WR_STORAGE_READER_H

#include "storage/storage.h"

struct wr_reader;

/* `size` is the object's, from a listing; a body that ends earlier or goes on is CORRUPT. `window`
 * in bytes, at least 4096. `key` is copied. */
enum wr_status wr_reader_open(struct wr_storage *s, struct wr_str key, uint64_t size, size_t window,
    struct wr_reader **ret, struct wr_err *e) WR_MUST_CHECK;
/* The next `n` bytes exactly, or CORRUPT at the end of the object. */
enum wr_status wr_reader_read(
    struct wr_reader *r, struct wr_call *c, void *buf, size_t n, struct wr_err *e) WR_MUST_CHECK;
uint64_t wr_reader_offset(const struct wr_reader *r);
void wr_reader_close(struct wr_reader *r); /* NULL-safe */

#endif
