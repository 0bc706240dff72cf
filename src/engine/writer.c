/*
 * writer.c - see writer.h. Knows one object; refuses to decide what another one's sign means.
 */
#include "engine/writer.h"

#include "base/buf.h"
#include "engine/placard.h"
#include "engine/remote.h"
#include "storage/storage.h"

#define SIGN_MAX ((size_t)128) /* bytes */

/* What begins each sign of this token. */
static struct wr_str head_of(struct wr_call *c, uint64_t token)
{
    return wr_arena_fmt(c->scratch, "{\"token\":\"%016llx\"", (unsigned long long)token);
}

enum wr_status wr_writer_sign(struct wr_storage *s, struct wr_call *c, uint64_t token,
    uint64_t node, uint64_t txid, struct wr_err *e)
{
    struct wr_str key = wr_placard_key(c, s, WR_WRITER_NAME), head = head_of(c, token);
    struct wr_buf text;
    enum wr_status st;

    wr_buf_init(&text, SIGN_MAX);
    wr_buf_fmt(&text, WR_FMT ",\"node\":\"%016llx\",\"txid\":\"%016llx\"", WR_ARG(head),
        (unsigned long long)node, (unsigned long long)txid);
    wr_placard_seal(&text);
    if (!key.p || !head.p || wr_buf_status(&text) != WR_OK)
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
    struct wr_str open = WR_STR("{\"token\":\"");

    return wr_str_starts(text, open) && text.n > open.n + 16 && text.p[open.n + 16] == '"' &&
           wr_parse_hex64((struct wr_str){text.p + open.n, 16}, ret);
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

#define OLDER "{\"token\":\"%016llx\",\"node\":\"%016llx\"}\n"

/* As it was written before there was a checksum. */
static bool is_older(struct wr_bytes text)
{
    enum {
        TOKEN = 10,
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
    struct wr_str head = head_of(c, token);
    struct wr_bytes text;
    enum wr_status st;

    *ret = false;
    if (!head.p)
        return wr_fail(e, WR_NOMEM, WR_WRITER_NAME ": out of memory");
    st = wr_placard_read(s, c, WR_WRITER_NAME, SIGN_MAX, &text, e);
    if (st == WR_NOTFOUND || st == WR_AUTH)
        return WR_OK;
    if (st == WR_OK && !wr_placard_sealed(text) && !is_older(text))
        return wr_fail(e, WR_CORRUPT, WR_WRITER_NAME ": it is damaged");
    *ret = st == WR_OK && wr_str_starts((struct wr_str){(const char *)text.p, text.n}, head);
    return st;
}
