/*
 * verify_said.c - what a replica must have, by the word of who writes to it (extent.h): when that
 * counts, and what is told by it.
 *
 * It is read before the replica is listed, so that all up to `newest` was there by then; and once
 * more behind the listing by which files are missed, as what is deleted is said before: what is
 * behind both words for a level was not deleted by retention.
 *
 * It counts as long as nobody else has signed since, and all that was written behind it is weir's:
 * Litestream deletes what it likes, and leaves files that record no checksum of the database.
 */
#include "engine/verify_int.h"

#include "base/log.h"
#include "engine/writer.h"
#include "storage/storage.h"

/* CORRUPT: it is damaged. OK with ret->newest 0: nothing is said, for all that can be known. */
static enum wr_status read_said(struct wr_verify_run *v, struct wr_extent *ret, struct wr_err *e)
{
    struct wr_err why = {0};
    bool signed_so = false;
    enum wr_status st = wr_extent_read(v->storage, &v->call, ret, &why);

    if (st == WR_OK)
        st = wr_writer_is(v->storage, &v->call, ret->token, &signed_so, &why);
    if (st != WR_OK || !signed_so)
        *ret = (struct wr_extent){0};
    /* What may not be asked for is not there, as some stores say so of what is missing. */
    if (st == WR_OK || st == WR_NOTFOUND || st == WR_AUTH)
        return WR_OK;
    return wr_fail(e, st, "%s", why.text);
}

enum wr_status wr_verify_hear(struct wr_verify_run *v, struct wr_err *e)
{
    struct wr_err why = {0};
    enum wr_status st = read_said(v, &v->said, &why);

    v->said_badly = st == WR_CORRUPT;
    return st == WR_OK || st == WR_CORRUPT ? WR_OK : wr_fail(e, st, "%s", why.text);
}

enum wr_status wr_verify_hear_again(struct wr_verify_run *v, struct wr_err *e)
{
    struct wr_extent now;
    struct wr_err why = {0};
    enum wr_status st = read_said(v, &now, &why);

    if (st != WR_OK && st != WR_CORRUPT)
        return wr_fail(e, st, "%s", why.text);
    if (st == WR_OK)
        v->said_badly = false;
    if (st == WR_CORRUPT || now.newest < v->said.newest)
        v->said = (struct wr_extent){0}; /* it became less, or nothing */
    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++)
        v->said.from[level] = wr_max(v->said.from[level], now.from[level]);
    return WR_OK;
}

/* Whether a file behind all that is spoken of is not one of weir's. */
static bool is_mixed(const struct wr_verify_run *v)
{
    uint64_t from = UINT64_MAX;

    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++)
        from = wr_min(from, v->said.from[level]);
    for (size_t i = 0; i < v->files.n; i++) {
        if (v->files.p[i].max > from && v->marks[i].state == WR_VERIFY_GOOD &&
            !v->marks[i].recorded)
            return true;
    }
    return false;
}

const struct wr_extent *wr_verify_said(struct wr_verify_run *v)
{
    if (v->said.newest > 0 && is_mixed(v)) {
        wr_log(v->call.log, WR_WARN,
            "another program than weir writes to the replica: whether files are missing is told by "
            "their names alone",
            WR_F_STR("replica", wr_storage_name(v->storage)));
        v->said = (struct wr_extent){0};
    }
    return v->said.newest > 0 ? &v->said : NULL;
}

bool wr_verify_is_short(struct wr_verify_run *v)
{
    const struct wr_extent *x = wr_verify_said(v);
    bool reaches = !x;

    for (size_t i = 0; i < v->files.n && !reaches; i++)
        reaches = v->files.p[i].max >= x->newest;
    return !reaches;
}

void wr_verify_tell_said(struct wr_verify_run *v)
{
    char at[WR_TIME_TEXT_MAX], text[300];

    if (v->said_badly) {
        struct wr_str key = wr_arena_fmt(
            v->call.scratch, WR_FMT WR_EXTENT_NAME, WR_ARG(wr_storage_prefix(v->storage)));

        wr_verify_tell(
            v, &(struct wr_finding){.kind = WR_FINDING_FILE,
                   .key = key.p ? key.p : WR_EXTENT_NAME,
                   .text = "it is damaged, and does not tell what the replica must have; "
                           "restores do without it, and who writes to the replica "
                           "writes it anew"});
    }
    if (!wr_verify_is_short(v))
        return;
    wr_format_time_seconds(at, v->said.at_ms);
    (void)snprintf(text, sizeof(text),
        "cannot be restored: the newest files are gone, as the replica had this one by %s, and "
        "ends "
        "before it. If this is a copy of a replica, or an earlier state of it, "
        "delete " WR_EXTENT_NAME " in it",
        at); /* it fits */
    v->r->lost++;
    wr_verify_tell(v, &(struct wr_finding){.kind = WR_FINDING_LOST,
                          .min = v->said.newest,
                          .max = v->said.newest,
                          .points = 1,
                          .text = text});
}
