/*
 * s3_put.c - single puts, and the conditions that stores understand, or do not.
 *
 *   if absent   If-None-Match: *
 *   if match    If-Match: "tag"; after a 412 also without the quotes, which is how Ceph wants it
 *   else HEAD   a store without conditional writes answers 501: from then on a HEAD goes before
 * each conditional put, which keeps honest writers apart but does not decide a race
 */
#include "storage/s3_int.h"

enum wr_status wr_s3_put_headers(const struct wr_s3 *s, struct wr_s3_talk *t,
    struct wr_s3_request *r, const struct wr_put_opts *o, struct wr_err *e)
{
    wr_s3_header(r, WR_STR("content-type"), WR_STR("application/octet-stream"));
    if (o->time_ms != 0) {
        char text[WR_TIME_TEXT_MAX];
        wr_format_time(text, o->time_ms);
        struct wr_str kept = wr_arena_str(&t->arena, wr_str(text));
        if (kept.p == NULL)
            return wr_fail(e, WR_NOMEM, "out of memory for a request");
        wr_s3_header(r, WR_STR(WR_S3_TIME_HEADER), kept);
    }
    if (s->cfg.storage_class.n > 0)
        wr_s3_header(r, WR_STR("x-amz-storage-class"), s->cfg.storage_class);
    if (s->cfg.kms_key_id.n > 0) {
        wr_s3_header(r, WR_STR("x-amz-server-side-encryption"), WR_STR("aws:kms"));
        wr_s3_header(r, WR_STR("x-amz-server-side-encryption-aws-kms-key-id"), s->cfg.kms_key_id);
    }
    wr_s3_header_ssec(s, r);
    return WR_OK;
}

enum wr_status wr_s3_check_condition(struct wr_s3 *s, const struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, struct wr_err *e)
{
    struct wr_s3_talk t;
    struct wr_object now = {.size = 0};
    struct wr_err err = {.code = WR_OK};
    bool ok;

    if (!o->if_absent && o->if_match.n == 0)
        return WR_OK;
    wr_s3_talk_init(&t, c, 0);
    enum wr_status st = wr_s3_stat(s, &t.call, key, &now, &err);
    if (o->if_absent)
        ok = st == WR_NOTFOUND;
    else
        ok = st == WR_OK && wr_str_eq(now.version, o->if_match);
    wr_s3_talk_release(&t);
    if (ok)
        return WR_OK;
    if (st == WR_OK || st == WR_NOTFOUND)
        return wr_fail(
            e, WR_CONFLICT, "the object %s", o->if_absent ? "exists" : "has changed or is gone");
    return wr_fail(e, st, "%s", err.text);
}

enum condition {
    CONDITION_NONE,
    CONDITION_HEADER,   /* ask the store to check */
    CONDITION_UNQUOTED, /* the same, with the tag without its quotes */
    CONDITION_HEAD,     /* check ourselves, before */
};

static enum wr_status put_once(struct wr_s3 *s, struct wr_s3_talk *t, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, enum condition how, struct wr_err *e)
{
    struct wr_s3_request r = {.method = "PUT", .key = key, .body = body, .has_body = true};
    enum wr_status st = wr_s3_put_headers(s, t, &r, o, e);
    if (st == WR_OK && how == CONDITION_HEAD)
        st = wr_s3_check_condition(s, &t->call, key, o, e);
    if (st != WR_OK)
        return st;
    struct wr_str tag = o->if_match;
    if (how == CONDITION_UNQUOTED)
        tag = (struct wr_str){tag.p + 1, tag.n - 2};
    if (how == CONDITION_HEADER || how == CONDITION_UNQUOTED)
        wr_s3_header(&r, o->if_absent ? WR_STR("if-none-match") : WR_STR("if-match"),
            o->if_absent ? WR_STR("*") : tag);
    st = wr_s3_do(s, t, &r, e);
    /* A version that is gone altogether is a lost race, too. */
    return st == WR_NOTFOUND && o->if_match.n > 0 ? wr_fail(e, WR_CONFLICT, "the object is gone")
                                                  : st;
}

static bool is_quoted(struct wr_str tag)
{
    return tag.n > 2 && tag.p[0] == '"' && tag.p[tag.n - 1] == '"';
}

/* The way to ask for a condition that this store understands, found by asking. */
static enum wr_status put_checked(struct wr_s3 *s, struct wr_s3_talk *t, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_err *e)
{
    struct wr_err err = {.code = WR_OK};
    enum condition how = o->if_absent || o->if_match.n > 0 ? CONDITION_HEADER : CONDITION_NONE;
    _Atomic bool *lacks = o->if_absent ? &s->no_condition : &s->no_match;
    if (how == CONDITION_HEADER && (atomic_load(&s->no_condition) || atomic_load(lacks)))
        how = CONDITION_HEAD;
    enum wr_status st = put_once(s, t, key, body, o, how, &err);
    if (st == WR_UNSUPPORTED && how == CONDITION_HEADER) {
        atomic_store(lacks, true);
        st = put_once(s, t, key, body, o, CONDITION_HEAD, &err);
    } else if (st == WR_CONFLICT && how == CONDITION_HEADER && is_quoted(o->if_match)) {
        /* Ceph compares the tag with its own, which has no quotes. The condition is the same, so a
         * store that understood the first form refuses this one as well. */
        st = put_once(s, t, key, body, o, CONDITION_UNQUOTED, &err);
    }
    if (st != WR_OK && e != NULL)
        *e = err;
    return st;
}

enum wr_status wr_s3_put(void *self, struct wr_call *c, struct wr_str key, struct wr_bytes body,
    const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e)
{
    struct wr_s3_talk t;
    wr_s3_talk_init(&t, c, WR_S3_TEXT_MAX);
    enum wr_status st = put_checked(self, &t, key, body, o, e);
    struct wr_str tag = wr_http_header(&t.resp, "etag");
    if (st == WR_OK && tag.n == 0)
        st = wr_fail(e, WR_IO, "s3 PUT: the answer has no ETag, so the object may not be there");
    if (st == WR_OK && out != NULL) {
        struct wr_object made = {.size = body.n, .time_ms = o->time_ms};
        if (made.time_ms == 0 && !wr_http_date(wr_http_header(&t.resp, "date"), &made.time_ms))
            made.time_ms = wr_wall_ms(c->clock);
        st = wr_s3_describe(c, key, tag, &made, e);
        if (st == WR_OK)
            *out = made;
    }
    wr_s3_talk_release(&t);
    return st;
}
