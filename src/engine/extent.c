/*
 * extent.c - see extent.h. Knows one object; refuses to know when it is right.
 */
#include "engine/extent.h"

#include "base/buf.h"
#include "base/clock.h"
#include "engine/placard.h"
#include "storage/storage.h"

#include <jansson.h>

#define SIZE_MAX_EXTENT ((size_t)4096) /* bytes of the object */

bool wr_extent_covers(const struct wr_extent *x, const struct wr_ltx_file *f)
{
    return x && f->level <= WR_LEVEL_MAX && f->max > x->from[f->level] && f->max <= x->newest;
}

static enum wr_status no_memory(struct wr_err *e)
{
    return wr_fail(e, WR_NOMEM, WR_EXTENT_NAME ": out of memory");
}

/* ---- what is in it ---- */

static bool get_levels(const json_t *o, struct wr_extent *ret)
{
    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++) {
        const char name[] = {(char)('0' + level), '\0'};

        ret->from[level] = WR_EXTENT_NOTHING;
        if (json_object_get(o, name) && !wr_placard_hex(o, name, &ret->from[level]))
            return false;
    }
    return json_is_object(o);
}

/* It may be missing. */
static bool get_last(const json_t *o, struct wr_ltx_file *ret)
{
    json_int_t level = json_integer_value(json_object_get(o, "level"));

    if (!o)
        return true;
    ret->level = (unsigned)level;
    return json_is_integer(json_object_get(o, "level")) && level >= 0 && level <= WR_LEVEL_MAX &&
           wr_placard_hex(o, "min_txid", &ret->min) && wr_placard_hex(o, "max_txid", &ret->max) &&
           ret->min > 0 && ret->min <= ret->max;
}

/* They may be missing. */
static bool get_runs(const json_t *o, struct wr_roll *ret)
{
    for (unsigned level = 0; level < WR_LEVEL_SNAPSHOT; level++) {
        const char name[] = {(char)('0' + level), '\0'};
        const json_t *is = json_object_get(o, name);
        struct wr_roll_run *run = &ret->run[level];

        if (is && !(wr_placard_hex(is, "from", &run->from) && wr_placard_hex(is, "to", &run->to) &&
                      run->from > 0 && run->from <= run->to && run->to < UINT64_MAX))
            return false;
    }
    return !o || json_is_object(o);
}

static bool get_snapshots(const json_t *o, struct wr_roll *ret)
{
    ret->counted = o != NULL;
    return !o ||
           (wr_placard_hex(o, "count", &ret->snapshots) && wr_placard_hex(o, "sum", &ret->sum) &&
               wr_placard_hex(o, "newest", &ret->newest));
}

static bool get_members(const json_t *o, struct wr_extent *ret)
{
    const char *at = json_string_value(json_object_get(o, "at"));

    return wr_placard_hex(o, "newest", &ret->newest) && ret->newest > 0 &&
           get_last(json_object_get(o, "last"), &ret->last) &&
           get_runs(json_object_get(o, "runs"), &ret->roll) &&
           get_snapshots(json_object_get(o, "snapshots"), &ret->roll) &&
           get_levels(json_object_get(o, "levels"), ret) &&
           wr_placard_hex(o, "token", &ret->token) && wr_placard_hex(o, "node", &ret->node) && at &&
           wr_parse_time(wr_str(at), &ret->at_ms);
}

/* By its end, as one that was to have a checksum has a number there. */
static bool is_older(struct wr_bytes text)
{
    size_t n = text.n;

    n -= n > 0 && text.p[n - 1] == '\n';
    return n > 3 && memcmp(text.p + n - 3, "Z\"}", 3) == 0;
}

static enum wr_status parse(struct wr_bytes text, struct wr_extent *ret, struct wr_err *e)
{
    struct wr_extent x = {0};
    json_t *o = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    bool good = (wr_placard_sealed(text) || is_older(text)) && get_members(o, &x);

    json_decref(o);
    if (!good)
        return wr_fail(e, WR_CORRUPT,
            "it is damaged, so that it does not tell what the replica must have; restores do "
            "without it, and who writes to the replica writes it anew within half an hour");
    *ret = x;
    return WR_OK;
}

static void format_roll(struct wr_buf *out, const struct wr_roll *r)
{
    bool more = false;

    wr_buf_z(out, "\"runs\":{");
    for (unsigned level = 0; level < WR_LEVEL_SNAPSHOT; level++) {
        if (r->run[level].to == 0)
            continue;
        wr_buf_fmt(out, "%s\"%u\":{\"from\":\"%016llx\",\"to\":\"%016llx\"}", more ? "," : "",
            level, (unsigned long long)r->run[level].from, (unsigned long long)r->run[level].to);
        more = true;
    }
    wr_buf_z(out, "},");
    if (r->counted)
        wr_buf_fmt(out,
            "\"snapshots\":{\"count\":\"%016llx\",\"sum\":\"%016llx\",\"newest\":\"%016llx\"},",
            (unsigned long long)r->snapshots, (unsigned long long)r->sum,
            (unsigned long long)r->newest);
}

static void format(struct wr_buf *out, const struct wr_extent *x)
{
    char at[WR_TIME_TEXT_MAX];
    bool more = false;

    wr_format_time_seconds(at, x->at_ms);
    wr_buf_fmt(out, "{\"newest\":\"%016llx\",", (unsigned long long)x->newest);
    if (x->last.max > 0)
        wr_buf_fmt(out,
            "\"last\":{\"level\":%u,\"min_txid\":\"%016llx\",\"max_txid\":\"%016llx\"},",
            x->last.level, (unsigned long long)x->last.min, (unsigned long long)x->last.max);
    format_roll(out, &x->roll);
    wr_buf_z(out, "\"levels\":{");
    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++) {
        if (x->from[level] == WR_EXTENT_NOTHING)
            continue;
        wr_buf_fmt(out, "%s\"%u\":\"%016llx\"", more ? "," : "", level,
            (unsigned long long)x->from[level]);
        more = true;
    }
    wr_buf_fmt(out, "},\"token\":\"%016llx\",\"node\":\"%016llx\",\"at\":\"%s\"",
        (unsigned long long)x->token, (unsigned long long)x->node, at);
    wr_placard_seal(out);
}

/* ---- the object ---- */

enum wr_status wr_extent_read(
    struct wr_storage *s, struct wr_call *c, struct wr_extent *ret, struct wr_err *e)
{
    struct wr_bytes text;
    enum wr_status st = wr_placard_read(s, c, WR_EXTENT_NAME, SIZE_MAX_EXTENT, &text, e);

    return st == WR_OK ? parse(text, ret, e) : st;
}

static void set_version(struct wr_extent_version *v, struct wr_str tag)
{
    *v = (struct wr_extent_version){.there = true};
    if (tag.n < sizeof(v->tag))
        memcpy(v->tag, tag.p, tag.n);
}

enum wr_status wr_extent_look(struct wr_storage *s, struct wr_call *c, struct wr_extent *ret,
    struct wr_extent_version *ret_version, struct wr_err *e)
{
    struct wr_extent_version version = {0};
    struct wr_extent x = {0};
    struct wr_placard is;
    struct wr_err why = {0};
    enum wr_status st = wr_placard_look(s, c, WR_EXTENT_NAME, SIZE_MAX_EXTENT, &is, &why);

    if (st == WR_OK && is.text.p)
        st = parse(is.text, &x, &why);
    if (st != WR_OK && st != WR_CORRUPT)
        return wr_fail(e, st, "%s", why.text);
    if (is.there)
        set_version(&version, is.version);
    *ret = x;
    *ret_version = version;
    return WR_OK;
}

enum wr_status wr_extent_write(struct wr_storage *s, struct wr_call *c, const struct wr_extent *x,
    struct wr_extent_version *version, struct wr_err *e)
{
    bool can_tell = wr_storage_caps(s) & WR_STORAGE_COND_PUT;
    struct wr_put_opts o = {.if_absent = can_tell && !version->there};
    struct wr_str key = wr_placard_key(c, s, WR_EXTENT_NAME);
    struct wr_object is = {0};
    struct wr_buf text;
    enum wr_status st;

    if (can_tell && version->there)
        o.if_match = wr_str(version->tag);
    wr_buf_init(&text, SIZE_MAX_EXTENT);
    format(&text, x);
    if (!key.p || wr_buf_status(&text) != WR_OK)
        st = no_memory(e);
    else
        st = wr_storage_put_object(s, c, key, wr_buf_bytes(&text), &o, &is, e);
    wr_buf_release(&text);
    if (st == WR_OK)
        set_version(version, is.version);
    return st;
}

enum wr_status wr_extent_remove(struct wr_storage *s, struct wr_call *c, struct wr_err *e)
{
    struct wr_str key = wr_placard_key(c, s, WR_EXTENT_NAME);

    return key.p ? wr_storage_remove(s, c, &key, 1, e) : no_memory(e);
}
