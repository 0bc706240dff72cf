/*
 * reader.c - a sequential view of an object, made of ranged gets into one buffer.
 *
 * Knows nothing of what it reads. The happy path is one get per window. The ways it fails: the
 * object has vanished (NOTFOUND), or has another size than the listing said. The window that
 * reaches the promised end asks for one byte more, which costs nothing and shows an object that
 * goes on.
 */
#include "storage/reader.h"

#include "base/mem.h"

#define WINDOW_MIN ((size_t)4096)

struct wr_reader {
    struct wr_storage *s;
    struct wr_str key; /* follows the struct in its block */
    uint64_t size;     /* bytes the object must have */
    size_t window;
    uint8_t *buf;  /* window + 1 bytes at most */
    uint64_t next; /* offset of the first byte after the buffer's */
    size_t at, n;  /* unread bytes are buf[at..n) */
};

enum wr_status wr_reader_open(struct wr_storage *s, struct wr_str key, uint64_t size, size_t window,
    struct wr_reader **ret, struct wr_err *e)
{
    assert(window >= WINDOW_MIN);
    if (size > INT64_MAX - 1)
        return wr_fail(e, WR_MISUSE, "read: an object has at most 2^63 - 2 bytes");
    if (window > size)
        window = (size_t)size;
    struct wr_reader *r = key.n < SIZE_MAX - sizeof(*r) ? wr_alloc(sizeof(*r) + key.n + 1) : NULL;
    if (!r)
        return wr_fail(e, WR_NOMEM, "read: out of memory");
    r->buf = wr_alloc(window + 1);
    if (!r->buf) {
        wr_free(r);
        return wr_fail(e, WR_NOMEM, "read: out of memory");
    }
    char *copy = (char *)(r + 1);
    if (key.n)
        memcpy(copy, key.p, key.n);
    r->s = s;
    r->key = (struct wr_str){copy, key.n};
    r->size = size;
    r->window = window;
    *ret = r;
    return WR_OK;
}

/* The next window of an object that has more. */
static enum wr_status fill(struct wr_reader *r, struct wr_call *c, struct wr_err *e)
{
    uint64_t left = r->size - r->next;
    size_t want = left < r->window ? (size_t)left : r->window;
    size_t got = 0;

    assert(r->at == r->n && left > 0);
    enum wr_status st =
        wr_storage_get(r->s, c, r->key, r->next, r->buf, want + (want == left), &got, e);
    if (st != WR_OK)
        return st;
    if (got > want)
        return wr_fail(e, WR_CORRUPT,
            "read " WR_FMT ": goes on after byte %llu, where it should end", WR_ARG(r->key),
            (unsigned long long)r->size);
    if (got < want)
        return wr_fail(e, WR_CORRUPT, "read " WR_FMT ": ends at byte %llu of %llu", WR_ARG(r->key),
            (unsigned long long)r->next + got, (unsigned long long)r->size);
    r->next += got;
    r->at = 0;
    r->n = got;
    return WR_OK;
}

enum wr_status wr_reader_read(
    struct wr_reader *r, struct wr_call *c, void *buf, size_t n, struct wr_err *e)
{
    uint8_t *out = buf;

    if (n > r->size - wr_reader_offset(r))
        return wr_fail(e, WR_CORRUPT, "read " WR_FMT ": %zu bytes wanted at byte %llu of %llu",
            WR_ARG(r->key), n, (unsigned long long)wr_reader_offset(r),
            (unsigned long long)r->size);
    while (n > 0) {
        if (r->at == r->n) {
            enum wr_status st = fill(r, c, e);
            if (st != WR_OK)
                return st;
        }
        size_t part = wr_min(n, r->n - r->at);
        memcpy(out, r->buf + r->at, part);
        r->at += part;
        out += part;
        n -= part;
    }
    return WR_OK;
}

uint64_t wr_reader_offset(const struct wr_reader *r)
{
    return r->next - (r->n - r->at);
}

void wr_reader_close(struct wr_reader *r)
{
    if (!r)
        return;
    wr_free(r->buf);
    wr_free(r);
}
