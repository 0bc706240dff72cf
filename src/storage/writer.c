/*
 * writer.c - collects what is written into parts, and decides between one put and an upload.
 *
 * Knows nothing of what it writes. An object that fits into one part is one put at commit, with all
 * of put's care. A larger one:
 *
 *     first full part and more to come -> upload_begin, then a part each time the buffer is full
 *     commit                           -> the rest as the last part, upload_commit
 *
 * How it fails: a part that cannot be sent leaves the upload to abort, and the writer unusable but
 * for abort and commit (which repeats the failure). A commit whose answer is lost cannot be sent
 * again, as its upload is gone; so the object is read back, and counts as written when size and
 * checksum are those of what was sent.
 */
#include "storage/writer.h"

#include "base/buf.h"
#include "base/crc64.h"
#include "base/mem.h"
#include "storage/storage_int.h"

#define PARTS_MAX 10000 /* of an S3 upload */
#define WINDOW    ((size_t)64 << 10)
#define PART_STEP ((uint64_t)1 << 20)

struct wr_writer {
    struct wr_storage *s;
    struct wr_str key; /* follows the struct in its block, and so does if_match */
    struct wr_put_opts opts;
    size_t part;       /* bytes of every part but the last */
    struct wr_buf buf; /* what no request has carried yet */
    struct wr_storage_upload u;
    uint64_t size, crc;    /* of all parts sent */
    enum wr_status failed; /* latched by the first failure of write */
};

/* The part size a user asked for, else the smallest that the storage takes. */
static uint64_t configured_part(const struct wr_storage *s)
{
    uint64_t part = 0;

    for (const struct wr_option *o = s->ops->options; s->set && o && o->name; o++) {
        if (o->kind == WR_OPT_SIZE && wr_str_eq(wr_str(o->name), WR_STR("part-size")))
            part = wr_settings_u64(s->set, o->name);
    }
    return wr_max(part, (uint64_t)s->ops->part_min);
}

/* Parts large enough that PARTS_MAX of them hold `size_hint` bytes. */
static size_t choose_part(const struct wr_storage *s, uint64_t size_hint)
{
    uint64_t part = configured_part(s);
    uint64_t need = size_hint / PARTS_MAX + 1;

    if (s->ops->part_min == 0)
        return WR_WRITER_SIZE_MAX;
    if (need > part)
        part = (need / PART_STEP + 1) * PART_STEP;
    return part < SIZE_MAX / 2 ? (size_t)part : SIZE_MAX / 2;
}

enum wr_status wr_writer_open(struct wr_storage *s, struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, uint64_t size_hint, struct wr_writer **ret, struct wr_err *e)
{
    static const struct wr_put_opts plain = {0};

    if (!o)
        o = &plain;
    enum wr_status st = wr_storage_check_put(s, key, o, e);
    if (st == WR_OK)
        st = wr_call_check(c, "write", e);
    if (st != WR_OK)
        return st;
    struct wr_writer *w =
        wr_alloc(sizeof(*w) + key.n + o->if_match.n); /* both are checked to be short */
    if (!w)
        return wr_fail(e, WR_NOMEM, "write: out of memory");
    char *copy = (char *)(w + 1);
    memcpy(copy, key.p, key.n);
    if (o->if_match.n)
        memcpy(copy + key.n, o->if_match.p, o->if_match.n);
    w->s = s;
    w->key = (struct wr_str){copy, key.n};
    w->opts = *o;
    w->opts.if_match = (struct wr_str){copy + key.n, o->if_match.n};
    w->part = choose_part(s, size_hint);
    wr_buf_init(&w->buf, w->part);
    *ret = w;
    return WR_OK;
}

/* Either all of the buffer, which is empty then, or bytes of the caller's. */
static enum wr_status send_part(
    struct wr_writer *w, struct wr_call *c, struct wr_bytes part, struct wr_err *e)
{
    uint64_t crc = wr_crc64(w->crc, part.p, part.n);
    bool buffered = part.p == w->buf.p;
    enum wr_status st = WR_OK;

    if (!w->u.up)
        st = wr_storage_upload_begin(w->s, c, w->key, &w->opts, &w->u, e);
    if (st == WR_OK)
        st = buffered ? wr_storage_upload_give(&w->u, c, &w->buf, e)
                      : wr_storage_upload_part(&w->u, c, part, e);
    if (st == WR_OK) {
        w->size += part.n;
        w->crc = crc;
    }
    return st;
}

/* Take from the front of `p` what fits; a part goes out only when more is to follow it, so that
 * an object of exactly one part is still one put. */
static enum wr_status take(
    struct wr_writer *w, struct wr_call *c, struct wr_bytes *p, struct wr_err *e)
{
    bool parts = w->s->ops->part_min > 0;
    size_t n = wr_min(p->n, w->part - w->buf.n);
    enum wr_status st = WR_OK;

    if (n == 0 && !parts)
        return wr_fail(e, WR_LIMIT,
            "write " WR_FMT ": more than %zu bytes for storage without parts", WR_ARG(w->key),
            w->part);
    if (n == 0) {
        st = send_part(w, c, wr_buf_bytes(&w->buf), e);
    } else if (w->buf.n == 0 && parts && p->n > w->part) {
        n = w->part;
        st = send_part(w, c, (struct wr_bytes){p->p, n}, e); /* no copy of what is whole already */
    } else {
        wr_buf_put(&w->buf, p->p, n);
        st = wr_buf_status(&w->buf);
        if (st != WR_OK)
            st = wr_fail(e, st, "write " WR_FMT ": out of memory", WR_ARG(w->key));
    }
    *p = (struct wr_bytes){p->p + n, p->n - n};
    return st;
}

enum wr_status wr_writer_write(
    struct wr_writer *w, struct wr_call *c, struct wr_bytes p, struct wr_err *e)
{
    if (w->failed != WR_OK)
        return wr_fail(e, w->failed, "write " WR_FMT ": an earlier write failed", WR_ARG(w->key));
    while (p.n > 0) {
        enum wr_status st = take(w, c, &p, e);
        if (st != WR_OK) {
            w->failed = st;
            return st;
        }
    }
    return WR_OK;
}

/* Whether the object is what was sent. */
static bool arrived(struct wr_writer *w, struct wr_call *c)
{
    struct wr_object now = {0};
    uint64_t off = 0, crc = 0;
    size_t got = 1;
    uint8_t *window = wr_alloc(WINDOW);
    bool ok =
        window && wr_storage_stat(w->s, c, w->key, &now, NULL) == WR_OK && now.size == w->size;

    for (; ok && off < w->size && got > 0; off += got) {
        ok = wr_storage_get(w->s, c, w->key, off, window, WINDOW, &got, NULL) == WR_OK;
        if (ok)
            crc = wr_crc64(crc, window, got);
    }
    wr_free(window);
    return ok && off == w->size && crc == w->crc;
}

static enum wr_status commit_upload(struct wr_writer *w, struct wr_call *c, struct wr_err *e)
{
    struct wr_err first = {0};
    enum wr_status st;

    assert(w->buf.n > 0);
    st = send_part(w, c, wr_buf_bytes(&w->buf), e);
    if (st != WR_OK)
        return st;
    st = wr_storage_upload_commit(&w->u, c, &first);
    if (wr_status_transient(st) && arrived(w, c))
        st = WR_OK;
    if (st != WR_OK && e)
        *e = first;
    return st;
}

enum wr_status wr_writer_commit(struct wr_writer *w, struct wr_call *c, struct wr_err *e)
{
    enum wr_status st;

    if (w->failed != WR_OK)
        st = wr_fail(e, w->failed, "write " WR_FMT ": an earlier write failed", WR_ARG(w->key));
    else if (w->u.up)
        st = commit_upload(w, c, e);
    else
        st = wr_storage_put(w->s, c, w->key, wr_buf_bytes(&w->buf), &w->opts, e);
    wr_writer_abort(w, c);
    return st;
}

void wr_writer_abort(struct wr_writer *w, struct wr_call *c)
{
    if (!w)
        return;
    wr_storage_upload_abort(&w->u, c);
    wr_buf_release(&w->buf);
    wr_free(w);
}
