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
#include "base/sorted.h"
#include "engine/placard.h"
#include "engine/remote.h"
#include "engine/writer.h"
#include "storage/storage.h"

#define SETTLE_MS ((int64_t)60 * 1000) /* by then every listing shows what was there */

/* CORRUPT: it is damaged. OK with ret->newest 0: nothing is said, for all that can be known, or,
 * with *ret_signed_badly, because the sign is damaged. */
static enum wr_status read_said(
    struct wr_verify_run *v, struct wr_extent *ret, bool *ret_signed_badly, struct wr_err *e)
{
    struct wr_err why = {0};
    bool signed_so = false;
    enum wr_status is, st = wr_extent_read(v->storage, &v->call, ret, &why);

    *ret_signed_badly = false;
    if (st == WR_OK || st == WR_NOTFOUND) {
        is = wr_writer_check(v->storage, &v->call, st == WR_OK ? ret->token : 0, &signed_so, &why);
        *ret_signed_badly = is == WR_CORRUPT;
        st = is == WR_OK || is == WR_CORRUPT ? st : is;
    }
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
    enum wr_status st = read_said(v, &v->said, &v->signed_badly, &why);

    v->said_badly = st == WR_CORRUPT;
    return st == WR_OK || st == WR_CORRUPT ? WR_OK : wr_fail(e, st, "%s", why.text);
}

enum wr_status wr_verify_hear_again(struct wr_verify_run *v, struct wr_err *e)
{
    struct wr_extent now;
    struct wr_err why = {0};
    bool signed_badly;
    enum wr_status st = read_said(v, &now, &signed_badly, &why);

    if (st != WR_OK && st != WR_CORRUPT)
        return wr_fail(e, st, "%s", why.text);
    if (st == WR_OK)
        v->said_badly = false;
    v->signed_badly = v->signed_badly && signed_badly;
    if (st == WR_CORRUPT || now.newest < v->said.newest)
        v->said = (struct wr_extent){0}; /* it became less, or nothing */
    if (now.last.max < v->said.last.max)
        v->said.last = (struct wr_ltx_file){0};
    wr_roll_meet(&v->said.roll, &now.roll);
    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++)
        v->said.from[level] = wr_max(v->said.from[level], now.from[level]);
    return WR_OK;
}

/* Whether a file behind all that is spoken of is not one of weir's. */
static bool is_mixed(const struct wr_verify_run *v)
{
    uint64_t from = wr_max(v->said.newest, v->said.last.max); /* where no level is spoken of, too */

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

/* How far the replica reaches, as it was listed. */
static bool reaches(const struct wr_verify_run *v, uint64_t txid)
{
    return wr_ltx_files_newest(&v->files) >= txid;
}

static bool is_short(const struct wr_verify_run *v, const struct wr_extent *x)
{
    return !reaches(v, wr_max(x->newest, x->last.max));
}

/* Whether a level, or the snapshots, lack what was there when the writer ended. */
static bool has_holes(const struct wr_verify_run *v, const struct wr_extent *x)
{
    uint64_t from, to;
    bool any = wr_roll_missing(&x->roll, v->files.p, v->files.n, &to) > 0;

    for (unsigned level = 0; level < WR_LEVEL_SNAPSHOT && !any; level++) {
        struct wr_roll_at at = {0};

        any = wr_roll_hole(&x->roll, level, v->files.p, v->files.n, &at, &from, &to);
    }
    return any;
}

bool wr_verify_is_less(struct wr_verify_run *v)
{
    const struct wr_extent *x = wr_verify_said(v);

    return x && (is_short(v, x) || has_holes(v, x));
}

enum wr_status wr_verify_let_settle(struct wr_verify_run *v, struct wr_err *e)
{
    const struct wr_extent *x = wr_verify_said(v);
    int64_t age_ms = x ? wr_wall_ms(v->call.clock) - x->at_ms : 0;

    if (!x || wr_storage_caps(v->storage) & WR_STORAGE_LIST_NOW || !has_holes(v, x) ||
        age_ms >= SETTLE_MS)
        return WR_OK;
    return wr_call_sleep(&v->call, SETTLE_MS - wr_max(age_ms, (int64_t)0), e);
}

/* The newest file has no minute to be listed in; but who asks for it by its name is told. */
static enum wr_status is_cut(
    struct wr_verify_run *v, const struct wr_extent *x, bool *ret, struct wr_err *e)
{
    bool there = false;
    enum wr_status st = WR_OK;

    *ret = is_short(v, x);
    if (*ret && reaches(v, x->newest))
        st = wr_remote_there(v->storage, &v->call, &x->last, &there, e);
    *ret = *ret && !there;
    return st;
}

static void tell_cut(struct wr_verify_run *v)
{
    uint64_t txid = wr_max(v->said.newest, v->said.last.max);
    char at[WR_TIME_TEXT_MAX], text[300];

    wr_format_time_seconds(at, v->said.at_ms);
    (void)snprintf(text, sizeof(text),
        "cannot be restored: the newest files are gone, as the replica had this one by %s, and "
        "ends "
        "before it. If this is a copy of a replica, or an earlier state of it, "
        "delete " WR_EXTENT_NAME " in it",
        at); /* it fits */
    v->r->lost++;
    v->cut = txid;
    wr_verify_tell(
        v, &(struct wr_finding){
               .kind = WR_FINDING_LOST, .min = txid, .max = txid, .points = 1, .text = text});
}

/* Files of a level that are gone, of TXIDs `from` to `to`. Others may lead to where they ended. */
static void tell_gone(
    struct wr_verify_run *v, unsigned level, uint64_t from, uint64_t to, uint64_t files)
{
    size_t at = wr_sorted_u64(v->points, v->n_points, to);
    bool lost = to > 0 && (at == v->n_points || v->points[at] != to);
    struct wr_str dir = wr_layout_ltx_dir(v->call.scratch, v->storage, level);
    char when[WR_TIME_TEXT_MAX], what[100] = "", text[300];

    wr_format_time_seconds(when, v->said.at_ms);
    if (to > 0 && level < WR_LEVEL_SNAPSHOT)
        (void)snprintf(what, sizeof(what), "level %u has no file of txid %016llx to %016llx", level,
            (unsigned long long)from, (unsigned long long)to);
    else if (to > 0)
        (void)snprintf(what, sizeof(what), "the snapshot of txid %016llx", (unsigned long long)to);
    else
        (void)snprintf(what, sizeof(what), "%llu snapshots", (unsigned long long)files);
    (void)snprintf(text, sizeof(text), "%s%s any more, and had by %s%s",
        lost ? "cannot be restored: " : "", what, when,
        lost || to == 0 ? "" : "; other files lead there"); /* they fit */
    v->r->lost += lost;
    wr_verify_tell(v, &(struct wr_finding){.kind = lost ? WR_FINDING_LOST : WR_FINDING_FILE,
                          .key = lost    ? NULL
                                 : dir.p ? dir.p
                                         : "ltx/",
                          .level = level,
                          .min = from,
                          .max = to,
                          .points = lost,
                          .text = text});
}

/* Those behind all that was listed are told, if its end is cut off. */
static void tell_holes(struct wr_verify_run *v, const struct wr_extent *x, bool cut)
{
    uint64_t from, to, n;

    for (unsigned level = 0; level < WR_LEVEL_SNAPSHOT; level++) {
        struct wr_roll_at at = {0};

        while (wr_roll_hole(&x->roll, level, v->files.p, v->files.n, &at, &from, &to)) {
            if (!cut || reaches(v, from))
                tell_gone(v, level, from, to, 1);
        }
    }
    n = wr_roll_missing(&x->roll, v->files.p, v->files.n, &to);
    if (n > 0)
        tell_gone(v, WR_LEVEL_SNAPSHOT, 1, to, n);
}

static void tell_damaged(struct wr_verify_run *v, const char *name, const char *text)
{
    struct wr_str key = wr_placard_key(&v->call, v->storage, name);

    wr_verify_tell(v,
        &(struct wr_finding){.kind = WR_FINDING_FILE, .key = key.p ? key.p : name, .text = text});
}

enum wr_status wr_verify_tell_said(struct wr_verify_run *v, struct wr_err *e)
{
    const struct wr_extent *x = wr_verify_said(v);
    bool cut;
    enum wr_status st;

    if (v->said_badly)
        tell_damaged(v, WR_EXTENT_NAME,
            "it is damaged, and does not tell what the replica must have; restores do without it, "
            "and who writes to the replica writes it anew");
    if (v->signed_badly)
        tell_damaged(v, WR_WRITER_NAME,
            "it is damaged, so that what " WR_EXTENT_NAME " tells does not count; restores do "
            "without it, and who writes to the replica writes it anew");
    if (!x)
        return WR_OK;
    st = is_cut(v, x, &cut, e);
    if (st == WR_OK && cut)
        tell_cut(v);
    if (st == WR_OK)
        tell_holes(v, x, cut);
    return st;
}
