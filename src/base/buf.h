/*
 * buf.h - bytes that grow up to a limit given at birth.
 *
 * owned. The first failure latches: append freely, check wr_buf_status once, at the seam.
 */
#ifndef WR_BASE_BUF_H
#define WR_BASE_BUF_H

#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

struct wr_buf {
    uint8_t *p; /* NULL before the first byte, else a NUL follows the n-th byte */
    size_t n;   /* bytes in use */
    size_t cap;
    size_t max;            /* n never exceeds it */
    enum wr_status failed; /* OK, NOMEM, or LIMIT once max was exceeded */
};

void wr_buf_init(struct wr_buf *b, size_t max);
void wr_buf_release(struct wr_buf *b); /* NULL-safe; the buffer may be used again */
void wr_buf_clear(struct wr_buf *b);   /* n = 0 and no failure; memory kept */

void wr_buf_put(struct wr_buf *b, const void *p, size_t n);
void wr_buf_str(struct wr_buf *b, struct wr_str s);
void wr_buf_z(struct wr_buf *b, const char *z);
void wr_buf_byte(struct wr_buf *b, uint8_t c);
void wr_buf_fmt(struct wr_buf *b, const char *fmt, ...) WR_PRINTF(2, 3);

/* Room for `n` more bytes, uninitialised, counted as used; NULL when it failed. */
uint8_t *wr_buf_grow(struct wr_buf *b, size_t n);

enum wr_status wr_buf_status(const struct wr_buf *b);
struct wr_str wr_buf_view(const struct wr_buf *b);
struct wr_bytes wr_buf_bytes(const struct wr_buf *b);

#endif
