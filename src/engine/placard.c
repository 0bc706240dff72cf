/*
 * placard.c - see placard.h. Knows where it is; refuses to know what it says.
 */
#include "engine/placard.h"

#include "base/crc64.h"
#include "storage/storage.h"

#define SEAL       ",\"crc64\":\"%016llx\"}\n"
#define SEAL_BYTES 29u /* of it, in the object */

struct wr_str wr_placard_key(struct wr_call *c, const struct wr_storage *s, const char *name)
{
    return wr_arena_fmt(c->scratch, WR_FMT "%s", WR_ARG(wr_storage_prefix(s)), name);
}

enum wr_status wr_placard_read(struct wr_storage *s, struct wr_call *c, const char *name,
    size_t max, struct wr_bytes *ret, struct wr_err *e)
{
    struct wr_str key = wr_placard_key(c, s, name);
    uint8_t *text = wr_arena_array(c->scratch, max + 1, 1);
    size_t n = 0;
    enum wr_status st;

    if (!key.p || !text)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", name);
    st = wr_storage_get(s, c, key, 0, text, max + 1, &n, e);
    *ret = (struct wr_bytes){text, n <= max ? n : 0};
    return st;
}

/* The version first: what is read then is of that version or of a later one, which the condition
 * finds out. */
enum wr_status wr_placard_look(struct wr_storage *s, struct wr_call *c, const char *name,
    size_t max, struct wr_placard *ret, struct wr_err *e)
{
    struct wr_str key = wr_placard_key(c, s, name);
    struct wr_object is = {0};
    struct wr_bytes text;
    enum wr_status st;

    *ret = (struct wr_placard){0};
    if (!key.p)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", name);
    st = wr_storage_stat(s, c, key, &is, e);
    if (st == WR_OK) {
        ret->there = true;
        ret->version = is.version;
        st = wr_placard_read(s, c, name, max, &text, e);
    }
    if (st == WR_OK)
        ret->text = text;
    return st == WR_NOTFOUND ? WR_OK : st;
}

bool wr_placard_hex(const json_t *o, const char *name, uint64_t *ret)
{
    const char *z = json_string_value(json_object_get(o, name));

    return z && strlen(z) == 16 && wr_parse_hex64(wr_str(z), ret);
}

void wr_placard_seal(struct wr_buf *text)
{
    struct wr_bytes is = wr_buf_bytes(text);

    wr_buf_fmt(text, SEAL, (unsigned long long)wr_crc64(0, is.p, is.n));
}

bool wr_placard_sealed(struct wr_bytes text)
{
    char seal[SEAL_BYTES + 1];
    size_t n = text.n - wr_min(text.n, (size_t)SEAL_BYTES);

    (void)snprintf(seal, sizeof(seal), SEAL, (unsigned long long)wr_crc64(0, text.p, n));
    return text.n > SEAL_BYTES && memcmp(text.p + n, seal, SEAL_BYTES) == 0;
}
