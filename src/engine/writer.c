/*
 * writer.c - see writer.h. Knows one object; refuses to decide what another one's sign means.
 */
#include "engine/writer.h"

#include "base/buf.h"
#include "engine/placard.h"
#include "engine/remote.h"
#include "storage/storage.h"

#define SIGN_MAX ((size_t)128) /* bytes */

/* What begins each sign. */
#define HEAD "{\"token\":\"%016llx\""
enum {
    TOKEN = 10, /* where that is in it */
    HEAD_SIZE = 27
};

enum wr_status wr_writer_sign(struct wr_storage *s, struct wr_call *c, uint64_t token,
    uint64_t node, uint64_t txid, struct wr_err *e)
{
    struct wr_str key = wr_placard_key(c, s, WR_WRITER_NAME);
    struct wr_buf text;
    enum wr_status st;

    wr_buf_init(&text, SIGN_MAX);
    wr_buf_fmt(&text, HEAD ",\"node\":\"%016llx\",\"txid\":\"%016llx\"", (unsigned long long)token,
        (unsigned long long)node, (unsigned long long)txid);
    wr_placard_seal(&text);
    if (!key.p || wr_buf_status(&text) != WR_OK)
        st = wr_fail(e, WR_NOMEM, WR_WRITER_NAME ": out of memory");
    else
        st = wr_storage_put(s, c, key, wr_buf_bytes(&text), NULL, e);
    wr_buf_release(&text);
    return st;
}

/* What is there to read, in c->scratch; .p is NULL: nothing. */
static enum wr_status look(
    struct wr_storage *s, struct wr_call *c, struct wr_str *ret, struct wr_err *e)
{
    struct wr_str key = wr_placard_key(c, s, WR_WRITER_NAME);
    char *text = wr_arena_array(c->scratch, SIGN_MAX, 1);
    size_t n = 0;
    enum wr_status st;

    *ret = (struct wr_str){0};
    if (!key.p || !text)
        return wr_fail(e, WR_NOMEM, WR_WRITER_NAME ": out of memory");
    st = wr_storage_get(s, c, key, 0, text, SIGN_MAX, &n, e);
    if (st == WR_OK)
        *ret = (struct wr_str){text, n};
    return wr_status_passing(st) ? st : WR_OK;
}

/* Of a sign, whole or not. */
static bool token_of(struct wr_str text, uint64_t *ret)
{
    char again[HEAD_SIZE + 1];

    if (text.n < HEAD_SIZE || !wr_parse_hex64((struct wr_str){text.p + TOKEN, 16}, ret))
        return false;
    (void)snprintf(again, sizeof(again), HEAD, (unsigned long long)*ret);
    return memcmp(text.p, again, HEAD_SIZE) == 0;
}

/* What a sign says that is as it was written. */
static uint64_t txid_of(struct wr_str text)
{
    json_t *o = wr_placard_sealed((struct wr_bytes){(const uint8_t *)text.p, text.n})
                    ? json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL)
                    : NULL;
    uint64_t txid = 0;

    if (!wr_placard_hex(o, "txid", &txid) || txid >= WR_TXID_SANE / 2)
        txid = 0;
    json_decref(o);
    return txid;
}

enum wr_status wr_writer_is(
    struct wr_storage *s, struct wr_call *c, uint64_t token, bool *ret, struct wr_err *e)
{
    struct wr_str text;
    uint64_t there;
    enum wr_status st = look(s, c, &text, e);

    *ret = st == WR_OK && token_of(text, &there) && there == token;
    return st;
}

enum wr_status wr_writer_other(struct wr_storage *s, struct wr_call *c, uint64_t first,
    uint64_t last, bool *ret, uint64_t *ret_txid, struct wr_err *e)
{
    struct wr_str text;
    uint64_t there;
    enum wr_status st = look(s, c, &text, e);

    *ret = st == WR_OK && text.p && !(token_of(text, &there) && there - first <= last - first);
    *ret_txid = *ret ? txid_of(text) : 0;
    return st;
}

#define OLDER HEAD ",\"node\":\"%016llx\"}\n"

/* As it was written before there was a checksum. */
static bool is_older(struct wr_bytes text)
{
    enum {
        NODE = 36,
        END = 55
    }; /* where they are */
    const char *p = (const char *)text.p;
    char again[END + 1];
    uint64_t token, node;

    if (text.n != END || !wr_parse_hex64((struct wr_str){p + TOKEN, 16}, &token) ||
        !wr_parse_hex64((struct wr_str){p + NODE, 16}, &node))
        return false;
    (void)snprintf(
        again, sizeof(again), OLDER, (unsigned long long)token, (unsigned long long)node);
    return memcmp(p, again, END) == 0;
}

enum wr_status wr_writer_check(
    struct wr_storage *s, struct wr_call *c, uint64_t token, bool *ret, struct wr_err *e)
{
    struct wr_bytes text;
    uint64_t there;
    enum wr_status st;

    *ret = false;
    st = wr_placard_read(s, c, WR_WRITER_NAME, SIGN_MAX, &text, e);
    if (st == WR_NOTFOUND || st == WR_AUTH)
        return WR_OK;
    if (st == WR_OK && !wr_placard_sealed(text) && !is_older(text))
        return wr_fail(e, WR_CORRUPT, WR_WRITER_NAME ": it is damaged");
    *ret = st == WR_OK && token_of((struct wr_str){(const char *)text.p, text.n}, &there) &&
           there == token;
    return st;
}
