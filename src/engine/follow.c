/*
 * follow.c - see follow.h. Decides what to look for, when, and what a failure means.
 *
 * A step: look for files that go on from the copy; fetch the pages they change; apply them.
 *
 *   nothing new                      the copy is current
 *   files behind a gap, or others    with another list of all files: the newest state, whole
 *   a file is damaged                others that hold the same transactions; else it is waited for,
 *                                    and now and then read again
 *   files lack pages that the copy   the newest state, whole
 *   has cut off, or have others
 *   a file is gone                   list again
 *   it ends before the copy, or      list again, and if it still does, give up: a copy never goes
 *   goes on from another database      back, and never to another history, by itself
 *   a reader, or a writer, holds     wait; each try keeps new readers out for opts.patience_ms
 *   the copy
 *   anything else                    wait longer each time, up to a minute
 */
#include "engine/follow.h"

#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/follow_fetch.h"
#include "engine/follow_int.h"
#include "ltx/ltx.h"
#include "sqlite/patch.h"
#include "storage/storage.h"

#define INTERVAL_MS     1000
#define PATIENCE_MS     1000
#define BESIDE_MS       60000          /* between looks at the bucket while the primary answers */
#define BESIDE_LATER_MS 600000         /* where that fails */
#define BACKOFF_MS      60000          /* the longest wait */
#define WAIT_MS         INT64_C(10000) /* the same, for readers */
#define REMIND_MS       300000         /* a failure that stays is told again */
#define DOUBTS_MAX      2
#define DOUBT_MS        10000 /* between them: a list may be as old as that */
#define AGAIN_MS        300000 /* until a damaged file is read once more: it may have been the answer */

static int64_t now_ms(const struct wr_call *c)
{
    return wr_mono_ms(c->clock);
}

/* ---- what the log and the caller are told ---- */

void wr_follow_look(const struct wr_follow *f, struct wr_follow_report *ret)
{
    *ret = (struct wr_follow_report){.phase = f->phase,
        .txid = f->pos.txid,
        .time_ms = f->pos.time_ms,
        .newest = wr_max(f->newest, f->pos.txid),
        .applied = f->applied,
        .errors = f->errors,
        .text = f->phase >= WR_FOLLOW_WAITING ? f->why.text : NULL};
}

static int64_t lag_of(const struct wr_follow *f, const struct wr_call *c)
{
    int64_t ms = f->behind_ms ? wr_wall_ms(c->clock) - f->pos.time_ms : 0;

    return f->behind_ms ? wr_max(ms, (int64_t)1) : 0;
}

static void log_phase(const struct wr_follow *f, const struct wr_call *c, bool was_failing)
{
    const struct wr_log_field path = WR_F_Z("output", f->path);
    const struct wr_log_field txid = WR_F_TXID("txid", f->pos.txid);
    const struct wr_log_field lag = WR_F_MS("lag", lag_of(f, c));

    switch (f->phase) {
    case WR_FOLLOW_CURRENT:
        if (was_failing || !f->begun)
            wr_log(c->log, WR_INFO, "follow: up to date", path, txid);
        break;
    case WR_FOLLOW_BEHIND:
        wr_log(c->log, WR_INFO, "follow: catching up", path, txid, WR_F_TXID("newest", f->newest),
            lag);
        break;
    case WR_FOLLOW_WAITING:
        wr_log(c->log, WR_WARN, "follow: another connection to the database is in the way", path,
            txid, lag, WR_F_Z("reason", f->why.text));
        break;
    case WR_FOLLOW_FAILING:
        wr_log(c->log, WR_ERROR, "follow: error applying updates", path, txid, lag,
            WR_F_MS("unseen", now_ms(c) - f->seen_ms), WR_F_Z("err", f->why.text),
            WR_F_U64("consecutive_errors", f->errors));
        break;
    }
}

static void report(const struct wr_follow *f, const struct wr_call *c)
{
    struct wr_follow_report r;

    wr_follow_look(f, &r);
    r.lag_ms = lag_of(f, c);
    r.unseen_ms = now_ms(c) - f->seen_ms;
    if (f->opts.tell)
        f->opts.tell(f->opts.tell_arg, &r);
}

/* One line when a phase begins, and while something is wrong a reminder now and then. */
static void enter(struct wr_follow *f, const struct wr_call *c, enum wr_follow_phase phase,
    const struct wr_err *why)
{
    bool is_new = !f->begun || phase != f->phase;
    bool was_failing = f->begun && f->phase != WR_FOLLOW_CURRENT;

    if (why) {
        is_new = is_new || !wr_same_failure(why->text, f->why.text);
        f->why = *why;
    }
    f->phase = phase;
    report(f, c);
    if (is_new || (phase >= WR_FOLLOW_WAITING && now_ms(c) - f->told_ms >= REMIND_MS)) {
        log_phase(f, c, was_failing);
        f->told_ms = now_ms(c);
    }
    f->begun = true;
}

/* ---- applying it ---- */

static enum wr_status set_aside(
    struct wr_follow *f, const struct wr_call *c, const struct wr_ltx_file *file, struct wr_err *e)
{
    enum wr_status st =
        wr_ltx_files_find(&f->aside, file) ? WR_OK : wr_ltx_files_add(&f->aside, file, e);

    wr_ltx_files_sort(&f->aside);
    f->again_ms = now_ms(c) + AGAIN_MS;
    f->wide_ms = 0;
    return st;
}

static enum wr_status fetch_anew(struct wr_follow *f, struct wr_call *c,
    const struct wr_ltx_files *all, struct wr_follow_change *x, struct wr_err *e)
{
    uint64_t known = wr_max(f->floor.txid, UINT64_C(1)) - 1;
    uint64_t cur = f->pos.txid && !f->revert ? f->pos.txid : known;
    enum wr_status st;

    c->deadline_ms = WR_NEVER;
    st = wr_follow_fetch_anew(f->storage, c, &f->opts.restore, all, f->copy, &f->pos, cur, x, e);
    if (st == WR_OK && f->pos.txid)
        wr_log(c->log, WR_WARN,
            "follow: the files that go on from the copy are gone, or of no use; the newest state "
            "was fetched as a whole",
            WR_F_Z("output", f->path), WR_F_TXID("txid", f->pos.txid),
            WR_F_TXID("newest", x->txid));
    /* The plan may say less than the names do: files behind a gap. */
    return st == WR_NOTFOUND ? wr_fail(e, WR_CORRUPT, "no files lead on from the copy") : st;
}

static enum wr_status fetch(struct wr_follow *f, struct wr_call *c, const struct wr_ltx_files *all,
    const struct wr_ltx_files *chain, struct wr_follow_change *x, struct wr_err *e)
{
    size_t bad = SIZE_MAX;
    enum wr_status st = WR_UNSUPPORTED;

    if (chain->n > 0) {
        c->deadline_ms = WR_NEVER; /* one transaction may be of any size; what stalls is ended */
        st = wr_follow_fetch(f->storage, c, &f->opts.restore, &f->pos, chain, x, &bad, e);
        if (st == WR_CORRUPT && bad < chain->n && set_aside(f, c, &chain->p[bad], NULL) != WR_OK)
            st = WR_NOMEM;
        else if (st == WR_CORRUPT && bad == SIZE_MAX)
            st = WR_UNSUPPORTED;  /* pages that come back, which the copy has cut off (sums.h) */
        if (st == WR_UNSUPPORTED) /* as of another page size: only as a whole */
            f->wide_ms = 0;
    }
    if (st == WR_UNSUPPORTED && all->n > 0) {
        wr_follow_change_release(x);
        st = fetch_anew(f, c, all, x, e);
    }
    return st == WR_CORRUPT ? WR_IO : st; /* to the caller CORRUPT means the copy */
}

static void moved(struct wr_follow *f, const struct wr_call *c, uint64_t from)
{
    f->applied++;
    f->errors = 0;
    f->doubts = f->waits = 0;
    f->lost = f->revert = f->source.more = f->source.unsure = false;
    if (!f->pos.fed) {
        f->floor = wr_follow_here(f);
        f->mark = (struct wr_follow_mark){0};
    }
    f->aside.n = 0;
    if (f->newest <= f->pos.txid)
        f->behind_ms = 0;
    wr_log(c->log, WR_DEBUG, "follow: applied updates", WR_F_Z("output", f->path),
        WR_F_TXID("from_txid", from), WR_F_TXID("to_txid", f->pos.txid));
}

/* For others only: the next one, or the next start, writes it again. */
static void tell_txid(struct wr_follow *f, const struct wr_call *c, uint64_t from)
{
    struct wr_err e = {0};

    if (f->pos.txid != from &&
        wr_follow_txid_put(f->opts.restore.fs, f->path, f->pos.txid, &e) != WR_OK)
        wr_log(c->log, WR_WARN, "follow: the -txid file cannot be written",
            WR_F_Z("output", f->path), WR_F_Z("err", e.text));
}

/* Apply f->next. It stays for the next step if another connection is in the way. */
static enum wr_status apply(struct wr_follow *f, struct wr_call *c, struct wr_err *e)
{
    const struct wr_restore_opts *o = &f->opts.restore;
    uint64_t from = f->pos.txid;
    bool clean = true, readers = false;
    enum wr_status st;

    c->deadline_ms = WR_NEVER;
    st = wr_follow_apply(f->copy, c, &f->state, &f->pos, &f->next, o->lock_offset,
        f->opts.patience_ms, &readers, &clean, e);
    f->unsure = !clean;
    if (readers)
        (void)wr_fail(e, st, "it is being read");
    if (st != WR_BUSY)
        wr_follow_change_release(&f->next);
    if (st != WR_OK)
        return st;
    moved(f, c, from);
    tell_txid(f, c, from);
    return WR_OK;
}

/* ---- what it means ---- */

/* Something that is wrong only if it is so twice: a list may have been read while it changed. */
static bool is_doubt(enum wr_status st)
{
    return st == WR_CONFLICT || st == WR_CORRUPT;
}

/* Half of it is chance: followers of one replica do not come back together. */
static int64_t backoff_ms(struct wr_follow *f)
{
    int64_t ms = f->opts.interval_ms;

    for (uint32_t i = 1; i < f->errors && ms < BACKOFF_MS; i++)
        ms *= 2;
    ms = wr_min(ms, wr_max((int64_t)BACKOFF_MS, f->opts.interval_ms));
    return ms / 2 + (int64_t)wr_rand_below(&f->rng, (uint64_t)(ms / 2) + 1);
}

/* It is given up, as the copy and the replica's next files do not add up to what these describe.
 * Which of the two it is, its own pages tell; a disk that is to be replaced is worth to be known
 * of. */
static enum wr_status tell_apart(
    struct wr_follow *f, struct wr_call *c, const struct wr_err *why, struct wr_err *e)
{
    uint64_t rolling = 0;
    struct wr_err unread = {0};
    enum wr_status st;

    if (f->pos.rolling == 0) /* nothing to tell by */
        return wr_fail(e, WR_CORRUPT, "%s; " WR_FOLLOW_ADVICE, why->text);
    c->deadline_ms = WR_NEVER;
    st = wr_follow_sum_up(f, c, NULL, &rolling, &unread);
    if (st == WR_BUSY || st == WR_NOMEM) /* the next step comes here again */
        return WR_OK;
    if (st == WR_CANCELED)
        return wr_fail(e, st, "%s", unread.text);
    if (st != WR_OK) /* what is known is enough to give it up */
        return wr_fail(e, WR_CORRUPT, "%s; and it cannot be read: %s; " WR_FOLLOW_ADVICE, why->text,
            unread.text);
    if (rolling == f->pos.rolling)
        return wr_fail(e, WR_CONFLICT,
            "%s: the copy is sound, and the replica has another history by now: its next files do "
            "not go on from this transaction %016llx; " WR_FOLLOW_ADVICE,
            f->path, (unsigned long long)f->pos.txid);
    return wr_fail(e, WR_CORRUPT,
        "%s: pages are not what was written to it: its checksum is %016llx, and that of "
        "transaction %016llx is %016llx; " WR_FOLLOW_ADVICE,
        f->path, (unsigned long long)rolling, (unsigned long long)f->pos.txid,
        (unsigned long long)f->pos.rolling);
}

/* A step has failed. OK: it is tried again. */
static enum wr_status judge(struct wr_follow *f, struct wr_call *c, enum wr_status st, bool waiting,
    int64_t *ret_wait_ms, const struct wr_err *why, struct wr_err *e)
{
    *ret_wait_ms = f->opts.interval_ms;
    if (st == WR_CANCELED)
        return wr_fail(e, st, "%s", why->text);
    if (is_doubt(st) && ++f->doubts >= DOUBTS_MAX)
        return st == WR_CORRUPT ? tell_apart(f, c, why, e)
                                : wr_fail(e, st, "%s; " WR_FOLLOW_ADVICE, why->text);
    if (!is_doubt(st))
        f->doubts = 0;
    if (waiting) { /* ever more rarely, as each time readers are kept out for a while */
        *ret_wait_ms = wr_max(
            wr_min(f->opts.interval_ms << wr_min(f->waits, 5u), WAIT_MS), f->opts.interval_ms);
        f->waits++;
        enter(f, c, WR_FOLLOW_WAITING, why);
        return WR_OK;
    }
    f->wide_ms = 0;
    /* A file was gone, as compaction was faster; or only the newest state as a whole will do. */
    if ((st == WR_BUSY || st == WR_UNSUPPORTED) && f->errors == 0) {
        f->errors = 1;
        *ret_wait_ms = 0;
        return WR_OK;
    }
    f->errors++;
    *ret_wait_ms = backoff_ms(f);
    if (st == WR_CONFLICT)
        *ret_wait_ms = wr_max(*ret_wait_ms, (int64_t)DOUBT_MS);
    enter(f, c, WR_FOLLOW_FAILING, why);
    return WR_OK;
}

static enum wr_status find_again(struct wr_follow *f, struct wr_err *e)
{
    enum wr_status st = f->unsure ? wr_follow_find(f->copy, &f->state, &f->pos, e) : WR_OK;

    f->unsure = f->unsure && st != WR_OK;
    return st;
}

/* From the primary's stream. *ret_fed: there is no need to look into the bucket. */
static enum wr_status next_of_primary(
    struct wr_follow *f, struct wr_call *c, bool *ret_fed, struct wr_err *e)
{
    uint64_t was = f->pos.txid;
    enum wr_follow_from from = WR_FROM_BUCKET;
    enum wr_status st = wr_follow_source_next(f, c, &from, e);

    *ret_fed = from != WR_FROM_BUCKET;
    if (st != WR_OK || !*ret_fed)
        return st;
    f->seen_ms = now_ms(c);
    wr_follow_saw(f, c, f->next.commit > 0 ? f->next.txid : f->pos.txid);
    if (f->pos.txid != was) { /* without a page */
        wr_follow_saw(f, c, f->pos.txid);
        moved(f, c, was);
        tell_txid(f, c, was);
    }
    return WR_OK;
}

static enum wr_status next_of_bucket(struct wr_follow *f, struct wr_call *c, struct wr_err *e)
{
    struct wr_ltx_files all = {0}, chain = {0};
    struct wr_follow_change x = {0};
    bool anew = false;
    enum wr_status st = wr_follow_search(f, c, &all, &chain, &anew, e);

    if (st == WR_OK)
        f->seen_ms = now_ms(c);
    if (st == WR_OK && (chain.n > 0 || anew))
        st = fetch(f, c, &all, &chain, &x, e);
    if (st == WR_OK)
        f->next = x;
    else
        wr_follow_change_release(&x);
    wr_ltx_files_release(&chain);
    wr_ltx_files_release(&all);
    return st;
}

/* The primary has nothing new. It may be that somebody else was promoted, which a primary that
 * nobody writes to does not notice: the bucket tells, now and then. That it cannot be looked at is
 * no trouble, as long as the primary answers. */
static enum wr_status look_beside(
    struct wr_follow *f, struct wr_call *c, bool *ret_fed, struct wr_err *e)
{
    struct wr_err why = {0};
    enum wr_status st;

    if (now_ms(c) < f->bucket_ms)
        return WR_OK;
    st = next_of_bucket(f, c, &why);
    f->bucket_ms = now_ms(c) + (st == WR_OK ? BESIDE_MS : BESIDE_LATER_MS);
    if (st != WR_OK && !is_doubt(st) && st != WR_CANCELED && st != WR_NOMEM)
        return WR_OK;
    *ret_fed = st == WR_OK && f->next.commit == 0;
    return st == WR_OK ? WR_OK : wr_fail(e, st, "%s", why.text);
}

/* Whether what does not fit the copy is none of its faults: what the primary sends is done without,
 * and where the bucket goes on without something that only the primary had, as when that died with
 * it, the copy becomes what is there. Not where the bucket is not even what it was when the two
 * were last in step: one that was reset, or is another one, nobody has decided for. *st may become
 * what went wrong in looking. */
static bool gives_way(struct wr_follow *f, struct wr_call *c, enum wr_status *st, bool fed,
    bool touching, struct wr_err *why)
{
    struct wr_err e = {0};
    bool parted = false;
    enum wr_status looked;

    if (f->lost || (*st != WR_CORRUPT && (*st != WR_CONFLICT || touching)))
        return false;
    if (fed)
        return true;
    if (!f->pos.fed)
        return false;
    looked = wr_follow_parted(f, c, &parted, &e);
    if (looked != WR_OK) {
        *st = looked;
        *why = e;
    }
    if (looked != WR_OK || parted)
        return false;
    f->lost = true;
    wr_log(c->log, WR_WARN,
        "follow: the replica goes on without commits that the copy has from the primary: they are "
        "undone",
        WR_F_Z("output", f->path), WR_F_TXID("txid", f->pos.txid), WR_F_Z("reason", why->text));
    return true;
}

enum wr_status wr_follow_step(
    struct wr_follow *f, struct wr_call *c, int64_t *ret_wait_ms, struct wr_err *e)
{
    struct wr_err why = {0};
    bool applied = false, touching = true, fed = f->next.fed;
    enum wr_status st = find_again(f, &why);

    if (st == WR_OK && f->next.commit == 0) {
        touching = false;
        st = next_of_primary(f, c, &fed, &why);
        if (st == WR_OK && !fed)
            st = next_of_bucket(f, c, &why);
        else if (st == WR_OK && f->next.commit == 0)
            st = look_beside(f, c, &fed, &why);
    }
    if (st == WR_OK && f->next.commit > 0) {
        touching = true;
        st = apply(f, c, &why);
        applied = st == WR_OK;
    }
    if (fed)
        wr_follow_source_done(f, c, st, &why);
    if (gives_way(f, c, &st, fed, touching, &why)) {
        *ret_wait_ms = 0;
        return WR_OK;
    }
    if (st != WR_OK)
        return judge(f, c, st, touching && st == WR_BUSY, ret_wait_ms, &why, e);
    f->errors = f->doubts = 0;
    enter(f, c, f->behind_ms ? WR_FOLLOW_BEHIND : WR_FOLLOW_CURRENT, NULL);
    *ret_wait_ms = applied && (f->behind_ms || f->list_ms == 0) ? 0 : f->opts.interval_ms;
    if (fed && !f->source.hasty)
        *ret_wait_ms = 0; /* it is the primary that waits */
    return WR_OK;
}

/* ---- from the beginning to the end ---- */

static struct wr_follow_opts with_defaults(const struct wr_follow_opts *opts)
{
    struct wr_follow_opts o = *opts;

    o.restore = wr_restore_defaults(&opts->restore);
    if (o.interval_ms <= 0)
        o.interval_ms = INTERVAL_MS;
    if (o.patience_ms <= 0)
        o.patience_ms = PATIENCE_MS;
    return o;
}

enum wr_status wr_follow_open(struct wr_storage *s, struct wr_call *c,
    const struct wr_follow_opts *opts, struct wr_follow **ret,
    struct wr_restore_result *ret_restored, struct wr_err *e)
{
    struct wr_follow *f = wr_alloc(sizeof(*f));
    uint64_t seed = 0;
    enum wr_status st;

    assert(!opts->restore.txid && !opts->restore.time_ms);
    if (!f)
        return wr_fail(e, WR_NOMEM, "follow: out of memory");
    f->storage = s;
    f->opts = with_defaults(opts);
    wr_follow_source_init(&f->source, opts->primary);
    st = wr_random(&seed, sizeof(seed), e);
    wr_rand_init(&f->rng, seed);
    if (st == WR_OK)
        st = wr_follow_start(f, c, ret_restored, e);
    if (st != WR_OK) {
        wr_follow_close(f);
        return st;
    }
    f->newest = f->pos.txid;
    f->seen_ms = now_ms(c);
    *ret = f;
    return WR_OK;
}

void wr_follow_close(struct wr_follow *f)
{
    if (!f)
        return;
    wr_follow_change_release(&f->next);
    wr_follow_source_release(&f->source);
    wr_patch_close(f->copy);
    wr_follow_state_close(&f->state);
    wr_ltx_files_release(&f->aside);
    wr_free(f->path);
    wr_free(f);
}

enum wr_status wr_follow_run(struct wr_follow *f, struct wr_call *c, struct wr_err *e)
{
    struct wr_call own = *c;
    struct wr_err why = {0};
    struct wr_arena scratch;
    int64_t wait_ms = 0;
    enum wr_status st;

    wr_arena_init(&scratch, WR_ARENA_MAX);
    own.scratch = &scratch;
    report(f, c); /* it is there */
    wr_log(c->log, WR_INFO, "entering follow mode", WR_F_Z("output", f->path),
        WR_F_STR("replica", wr_storage_name(f->storage)), WR_F_TXID("txid", f->pos.txid),
        WR_F_MS("interval", f->opts.interval_ms));
    do {
        st = wr_follow_step(f, &own, &wait_ms, &why);
        wr_arena_reset(&scratch);
        own.deadline_ms = WR_NEVER;
        if (st == WR_OK)
            st = wr_call_sleep(&own, wait_ms, &why);
    } while (st == WR_OK);
    wr_arena_release(&scratch);
    if (st != WR_CANCELED)
        return wr_fail(e, st, "%s", why.text);
    wr_log(c->log, WR_INFO, "follow mode stopped", WR_F_Z("output", f->path),
        WR_F_TXID("txid", f->pos.txid));
    return WR_OK;
}
