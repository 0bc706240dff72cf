/*
 * writer.c - see writer.h. Knows one object; refuses to decide what another one's sign means.
 */
#include "engine/writer.h"

#include "engine/placard.h"
#include "storage/storage.h"

#define SIGN_MAX ((size_t)128) /* bytes; the only one that is read is our own */

/* What begins each sign of this token. */
static struct wr_str head_of(struct wr_call *c, uint64_t token)
{
    return wr_arena_fmt(c->scratch, "{\"token\":\"%016llx\"", (unsigned long long)token);
}

enum wr_status wr_writer_sign(
    struct wr_storage *s, struct wr_call *c, uint64_t token, uint64_t node, struct wr_err *e)
{
    struct wr_str key = wr_placard_key(c, s, WR_WRITER_NAME), head = head_of(c, token);
    struct wr_str text = wr_arena_fmt(
        c->scratch, WR_FMT ",\"node\":\"%016llx\"}\n", WR_ARG(head), (unsigned long long)node);

    if (!key.p || !head.p || !text.p)
        return wr_fail(e, WR_NOMEM, WR_WRITER_NAME ": out of memory");
    assert(text.n <= SIGN_MAX);
    return wr_storage_put(s, c, key, (struct wr_bytes){(const uint8_t *)text.p, text.n}, NULL, e);
}

enum wr_status wr_writer_is(
    struct wr_storage *s, struct wr_call *c, uint64_t token, bool *ret, struct wr_err *e)
{
    struct wr_str key = wr_placard_key(c, s, WR_WRITER_NAME), head = head_of(c, token);
    char text[SIGN_MAX];
    size_t n = 0;
    enum wr_status st;

    *ret = false;
    if (!key.p || !head.p)
        return wr_fail(e, WR_NOMEM, WR_WRITER_NAME ": out of memory");
    st = wr_storage_get(s, c, key, 0, text, sizeof(text), &n, e);
    *ret = st == WR_OK && wr_str_starts((struct wr_str){text, n}, head);
    return wr_status_transient(st) || st == WR_CANCELED || st == WR_NOMEM ? st : WR_OK;
}
