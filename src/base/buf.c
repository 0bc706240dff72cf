/*
 * buf.c - a byte buffer that doubles up to its limit and latches its first failure.
 *
 * Knows nothing of what the bytes mean.
 */
#include "base/buf.h"

#include "base/mem.h"

#include <stdarg.h>

#define CAP_MIN ((size_t)64)

void wr_buf_init(struct wr_buf *b, size_t max)
{
    *b = (struct wr_buf){.max = max};
}

void wr_buf_release(struct wr_buf *b)
{
    if (!b)
        return;
    wr_free(b->p);
    wr_buf_init(b, b->max);
}

void wr_buf_clear(struct wr_buf *b)
{
    b->n = 0;
    b->failed = WR_OK;
    if (b->p)
        b->p[0] = 0;
}

/* Room for `n` more bytes and the NUL behind them; false when it failed now or before. */
static bool reserve(struct wr_buf *b, size_t n)
{
    size_t cap;
    uint8_t *p;

    assert(b->n <= b->max);
    if (b->failed != WR_OK)
        return false;
    if (n > b->max - b->n || b->n + n == SIZE_MAX) {
        b->failed = WR_LIMIT;
        return false;
    }
    if (b->n + n < b->cap)
        return true;
    cap = b->cap > SIZE_MAX / 2 ? SIZE_MAX : wr_max(b->cap * 2, CAP_MIN);
    if (b->max < SIZE_MAX)
        cap = wr_min(cap, b->max + 1); /* doubling past the limit would only waste memory */
    cap = wr_max(cap, b->n + n + 1);
    p = wr_resize(b->p, cap, 1);
    if (!p) {
        b->failed = WR_NOMEM;
        return false;
    }
    b->p = p;
    b->cap = cap;
    return true;
}

void wr_buf_put(struct wr_buf *b, const void *p, size_t n)
{
    uint8_t *to;

    if (n == 0)
        return; /* an empty view may have no address */
    to = wr_buf_grow(b, n);
    if (to)
        memcpy(to, p, n);
}

void wr_buf_str(struct wr_buf *b, struct wr_str s)
{
    wr_buf_put(b, s.p, s.n);
}

void wr_buf_z(struct wr_buf *b, const char *z)
{
    wr_buf_put(b, z, strlen(z));
}

void wr_buf_byte(struct wr_buf *b, uint8_t c)
{
    wr_buf_put(b, &c, 1);
}

void wr_buf_fmt(struct wr_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_list again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    assert(n >= 0); /* only a bad format or a text over 2 GiB */
    if (n >= 0 && reserve(b, (size_t)n)) {
        (void)vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    } else if (n < 0 && b->failed == WR_OK) {
        b->failed = WR_LIMIT;
    }
    va_end(again);
    va_end(ap);
}

uint8_t *wr_buf_grow(struct wr_buf *b, size_t n)
{
    uint8_t *at;

    if (!reserve(b, n))
        return NULL;
    at = b->p + b->n;
    b->n += n;
    b->p[b->n] = 0;
    return at;
}

enum wr_status wr_buf_status(const struct wr_buf *b)
{
    return b->failed;
}

struct wr_str wr_buf_view(const struct wr_buf *b)
{
    return (struct wr_str){b->p ? (const char *)b->p : "", b->n};
}

struct wr_bytes wr_buf_bytes(const struct wr_buf *b)
{
    static const uint8_t nothing[1] = {0};

    return (struct wr_bytes){b->p ? b->p : nothing, b->n};
}
