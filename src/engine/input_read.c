/*
 * input_read.c - see input_read.h. Knows what proxies do to an ETag, and nothing of pages.
 */
#include "engine/input_read.h"

#include "base/crc64.h"
#include "ltx/ltx.h"
#include "storage/storage.h"

#define TAG_READS    4 /* until names of an object are taken for made up */
#define OBJECT_READS 4 /* until an object that was there before has had its turn */

static enum wr_status key_of(struct wr_storage *s, struct wr_call *c, const struct wr_ltx_file *f,
    struct wr_str *ret, struct wr_err *e)
{
    *ret = wr_layout_ltx_key(c->scratch, s, f->level, f->min, f->max);
    if (!ret->p)
        return wr_fail(e, WR_NOMEM, "key of an ltx file: out of memory");
    return WR_OK;
}

enum wr_status wr_input_check(const struct wr_ltx_file *f, struct wr_err *e)
{
    if (f->size >= WR_LTX_HEADER_SIZE)
        return WR_OK;
    return wr_fail(e, WR_CORRUPT,
        "invalid ltx file: level=%u min=%016llx max=%016llx has size %llu bytes (minimum %d)",
        f->level, (unsigned long long)f->min, (unsigned long long)f->max,
        (unsigned long long)f->size, WR_LTX_HEADER_SIZE);
}

/* What a version says of an object: an ETag without what a proxy on the way adds to it, as that it
 * is a weak one now, or was of an answer that it would have packed. 0: nothing. */
static uint64_t tag_of(struct wr_str v)
{
    static const char *const ends[] = {"-gzip\"", ";gzip\"", "-br\"", "-zstd\"", "\""};

    if (v.n > 2 && v.p[0] == 'W' && v.p[1] == '/')
        v = (struct wr_str){v.p + 2, v.n - 2};
    for (size_t i = 0; i < wr_countof(ends); i++) {
        size_t n = strlen(ends[i]);

        if (v.n > n && memcmp(v.p + v.n - n, ends[i], n) == 0) {
            v.n -= n;
            break;
        }
    }
    return wr_crc64(0, v.p, v.n);
}

/* Exactly `n` bytes, or why not; *ret_got, and the tag of the object that answered. */
static enum wr_status read_some(struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *f, uint64_t off, void *buf, size_t n, size_t *ret_got,
    uint64_t *ret_tag, struct wr_err *e)
{
    struct wr_str key, version = {NULL, 0};
    enum wr_status st = key_of(s, c, f, &key, e);

    if (st != WR_OK)
        return st;
    st = wr_storage_get_version(s, c, key, off, buf, n, ret_got, ret_tag ? &version : NULL, e);
    /* To the caller NOTFOUND would mean that there is no backup. */
    if (st == WR_NOTFOUND)
        return wr_fail(e, WR_BUSY, WR_FMT ": vanished since it was listed", WR_ARG(key));
    if (st != WR_OK)
        return wr_wrap(e, st, "read " WR_FMT, WR_ARG(key));
    if (ret_tag)
        *ret_tag = tag_of(version);
    return WR_OK;
}

static enum wr_status check_length(struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *f, uint64_t off, size_t got, size_t n, struct wr_err *e)
{
    struct wr_str key;
    enum wr_status st = got == n ? WR_OK : key_of(s, c, f, &key, e);

    if (st != WR_OK || got == n)
        return st;
    return wr_fail(e, WR_CORRUPT, WR_FMT ": ends at byte %llu of %llu", WR_ARG(key),
        (unsigned long long)off + got, (unsigned long long)f->size);
}

enum wr_status wr_input_identify(
    struct wr_bytes tail, uint64_t tag, struct wr_input_id *ret, struct wr_err *e)
{
    struct wr_ltx_trailer t;
    enum wr_status st;

    assert(tail.n >= WR_LTX_TRAILER_SIZE);
    st = wr_ltx_trailer_get(tail.p + tail.n - WR_LTX_TRAILER_SIZE, &t, e);
    if (st == WR_OK)
        *ret = (struct wr_input_id){.tag = tag, .checksum = t.file_checksum};
    return st;
}

static enum wr_status is_another(
    struct wr_storage *s, struct wr_call *c, const struct wr_ltx_file *f, struct wr_err *e)
{
    struct wr_str key;
    enum wr_status st = key_of(s, c, f, &key, e);

    if (st != WR_OK)
        return st;
    return wr_fail(
        e, WR_CONFLICT, WR_FMT ": it is another one since its index was read", WR_ARG(key));
}

/* That what answers with `tag` is `id`: a server that others stand in for, or what is between, may
 * name one object in several ways, in any order; its checksum is one. An answer by the name in
 * question decides. Where none comes, and no name comes twice, each is made up, and the last answer
 * does. Else *ret_unsure: those who answered may have the right object, and another one had not. */
static enum wr_status prove(struct wr_storage *s, struct wr_call *c, const struct wr_ltx_file *f,
    const struct wr_input_id *id, uint64_t tag, bool *ret_unsure, struct wr_err *e)
{
    uint8_t bytes[WR_LTX_TRAILER_SIZE];
    struct wr_input_id is = {.tag = ~tag};
    uint64_t names[TAG_READS + 1] = {id->tag};
    bool twice = false;
    size_t got = 0;
    enum wr_status st = wr_input_check(f, e);

    for (size_t i = 1; st == WR_OK && is.tag != tag && i <= TAG_READS; i++) {
        st = read_some(s, c, f, f->size - sizeof(bytes), bytes, sizeof(bytes), &got, &is.tag, e);
        for (size_t k = 0; k < i; k++)
            twice = twice || names[k] == is.tag;
        names[i] = is.tag;
    }
    if (st != WR_OK)
        return st;
    *ret_unsure = is.tag != tag && twice;
    if (*ret_unsure)
        return WR_OK;
    if (got == sizeof(bytes) &&
        wr_input_identify((struct wr_bytes){bytes, got}, is.tag, &is, NULL) == WR_OK &&
        is.checksum == id->checksum)
        return WR_OK;
    return is_another(s, c, f, e);
}

enum wr_status wr_input_read_object(struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *f, const struct wr_input_id *id, uint64_t off, void *buf, size_t n,
    struct wr_err *e)
{
    size_t got = 0;
    bool unsure = true;
    enum wr_status st = WR_OK;

    for (unsigned i = 0; st == WR_OK && unsure && i < OBJECT_READS; i++) {
        uint64_t tag = 0;

        unsure = false;
        st = read_some(s, c, f, off, buf, n, &got, &tag, e);
        if (st == WR_OK && id->tag && tag != id->tag)
            st = prove(s, c, f, id, tag, &unsure, e);
    }
    if (st == WR_OK && unsure)
        return is_another(s, c, f, e);
    return st == WR_OK ? check_length(s, c, f, off, got, n, e) : st;
}

enum wr_status wr_input_read_tag(struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *f, uint64_t off, void *buf, size_t n, uint64_t *ret_tag,
    struct wr_err *e)
{
    size_t got = 0;
    enum wr_status st = read_some(s, c, f, off, buf, n, &got, ret_tag, e);

    return st == WR_OK ? check_length(s, c, f, off, got, n, e) : st;
}

enum wr_status wr_input_read(struct wr_storage *s, struct wr_call *c, const struct wr_ltx_file *f,
    uint64_t off, void *buf, size_t n, struct wr_err *e)
{
    return wr_input_read_tag(s, c, f, off, buf, n, NULL, e);
}
