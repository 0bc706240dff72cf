/*
 * keeper_work.c - what a keeper does: sends a file, reads where one ends, looks whether one is
 * still there, deletes what nobody will miss. Refuses to know who asked, and when.
 */
#include "engine/keeper_int.h"

#include "base/mutant.h"
#include "engine/catalogue.h"
#include "engine/digest.h"
#include "engine/parcel.h"
#include "engine/plan.h"
#include "engine/remote.h"
#include "engine/send.h"
#include "engine/whole.h"
#include "storage/storage.h"

#define REQUEST_MS ((int64_t)120 * 1000) /* deadline of a header, and of a small file */
#define SEND_MS    WR_STORAGE_UPLOAD_MS  /* deadline of a large or streamed file */

#define TIMES_THREADS 8 /* that ask for the times of files, at a start */

/* What a process before us had under way is there by then, if it is ever to be: completing a large
 * upload may take minutes (docs/adr/0008). */
#define LATE_MS ((int64_t)10 * 60 * 1000)

/* A listing that lacks what was acknowledged before it began is one of before that, for so long:
 * later on somebody has deleted it. */
#define STALE_MS ((int64_t)10 * 60 * 1000)

static void report_end(struct wr_keeper_report *r, const struct wr_ltx_header *h)
{
    r->txid = h->max_txid;
    r->has_rolling = h->has_rolling;
    r->rolling = h->rolling_post;
}

/* At once, as this process may end before the next retention. Where it cannot, that tries again. */
static void remove_waste(struct wr_keeper *k, struct wr_call *c)
{
    struct wr_err why = {0};
    size_t n = 0;

    c->deadline_ms = wr_mono_ms(c->clock) + REQUEST_MS;
    if (wr_catalogue_remove_waste(&k->catalogue, k->storage, c, &n, &why) != WR_OK)
        wr_log(wr_sched_log(k->actor.sched), WR_DEBUG, "cannot delete a damaged file",
            WR_F_Z("db", k->label), WR_F_Z("error", why.text));
}

/* Read all of what is there under the name of r->file: it may be as good as what was to be there.
 * `ours`: it was sent from here. */
static enum wr_status read_whole(
    struct wr_keeper *k, struct wr_call *c, bool ours, struct wr_keeper_report *r, struct wr_err *e)
{
    const struct wr_ltx_file *f = &r->file;
    char name[WR_LAYOUT_NAME_MAX];
    struct wr_ltx_file is;
    struct wr_ltx_header h;
    struct wr_err why = {0};
    enum wr_status st;

    c->deadline_ms = wr_mono_ms(c->clock) + SEND_MS;
    st = wr_layout_find(k->storage, c, f->level, f->min, f->max, &is, e);
    if (st != WR_OK)
        return st;
    st = wr_digest_check(k->storage, c, &is, k->lock_offset, &h, &why);
    r->damaged = st == WR_CORRUPT;
    if (r->damaged)
        wr_catalogue_distrust(&k->catalogue, &is, ours);
    if (r->damaged && ours)
        remove_waste(k, c);
    if (st == WR_OK) {
        r->file = is;
        report_end(r, &h);
        wr_keeper_note(k, &is); /* it need not have come from here, or with an answer */
        return st;
    }
    wr_layout_name(name, f);
    return wr_fail(e, st, "level %u, %s: %s", f->level, name, why.text);
}

static enum wr_status read_file(
    struct wr_keeper *k, struct wr_call *c, bool ours, struct wr_keeper_report *r, struct wr_err *e)
{
    struct wr_ltx_header h;
    struct wr_err why = {0};
    bool damaged;
    enum wr_status st;

    c->deadline_ms = wr_mono_ms(c->clock) + REQUEST_MS;
    st = wr_whole_header(k->storage, c, &r->file, &h, &damaged, &why);
    if (damaged)
        return read_whole(k, c, ours, r, e);
    if (st != WR_OK)
        return wr_fail(e, st, "%s", why.text);
    report_end(r, &h);
    return st;
}

/* What takes the place of other files has to be there, whatever the store has answered, and as it
 * was sent: its end tells. */
static enum wr_status is_as_sent(struct wr_keeper *k, struct wr_call *c,
    const struct wr_keeper_report *r, bool *ret, struct wr_err *e)
{
    const struct wr_ltx_file *f = &r->file;

    *ret = false;
    if (r->checksum == 0)
        return WR_OK;
    c->deadline_ms = wr_mono_ms(c->clock) + REQUEST_MS;
    return wr_remote_same(k->storage, c, f->level, f->min, f->max, f->size, r->checksum, ret, e);
}

static void note_arrived(struct wr_keeper *k, struct wr_keeper_report *r)
{
    wr_keeper_note(k, &r->file);
    r->sent = true;
}

/* What is in the way has the same range of TXIDs. The level goes on from there, if it is of this
 * history. What was sent and not answered may be there; and may never be sent again, as a snapshot
 * takes its place: then retention has to know of it, or what leads to it goes, and it stays. */
static enum wr_status send_parcel(struct wr_keeper *k, struct wr_call *c, const struct wr_parcel *p,
    struct wr_keeper_report *r, struct wr_err *e)
{
    bool long_one = wr_parcel_streamed(p) || wr_parcel_large(p);
    struct wr_sent sent;
    bool same = false;
    enum wr_status st = k->may(k->may_arg, c, false, e);

    if (st != WR_OK) {
        r->file = (struct wr_ltx_file){0};
        return st;
    }
    c->deadline_ms = wr_mono_ms(c->clock) + (long_one ? SEND_MS : REQUEST_MS);
    st = wr_send(k->storage, c, p, wr_sched_processors(k->actor.sched), &sent, e);
    r->file.size = sent.size;
    r->checksum = sent.checksum;
    if (st == WR_CONFLICT) {
        r->checksum = 0;
        return read_whole(k, c, false, r, e);
    }
    if (st == WR_OK)
        st = is_as_sent(k, c, r, &same, e);
    if (st != WR_OK) {
        wr_mutex_lock(&k->mutex);
        wr_keeper_lose_track(k);
        wr_mutex_unlock(&k->mutex);
        return st;
    }
    if (!same)
        return read_whole(k, c, true, r, e);
    note_arrived(k, r);
    report_end(r, &p->header);
    wr_send_say(wr_sched_log(k->actor.sched), k->label, k->storage, p, r->file.size);
    return st;
}

/* The same later on, when there is no parcel any more. */
static enum wr_status confirm(
    struct wr_keeper *k, struct wr_call *c, struct wr_keeper_report *r, struct wr_err *e)
{
    bool same = false;
    enum wr_status st = is_as_sent(k, c, r, &same, e);

    if (st != WR_OK)
        return st;
    if (!same)
        return read_whole(k, c, r->checksum != 0, r, e);
    wr_keeper_note(k, &r->file); /* it may have come after the last listing */
    return read_file(k, c, true, r, e);
}

/* Where a listing may be old, what it lacks is unknown: the way to a promised point may lead over
 * it, and nobody would keep the rest of that way, nor say that it is gone. One of its pages may be
 * old: that lacks the end of its level, or what leads to what was sent. */
static enum wr_status check_listed(struct wr_keeper *k, struct wr_call *c,
    const struct keeper_arrival last[WR_LEVEL_MAX + 1], struct wr_err *e)
{
    const struct wr_ltx_files *files = &k->catalogue.files;
    struct wr_plan_target target = {0};
    struct wr_ltx_files way = {0};
    enum wr_status st;

    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++) {
        const struct keeper_arrival *a = &last[level];
        const struct wr_ltx_file f = {.level = level, .min = a->min, .max = a->max};
        bool is = a->max > 0 && wr_ltx_files_find(files, &f);

        if (a->max > 0 && !is && wr_mono_ms(c->clock) - a->at_ms <= STALE_MS)
            return wr_fail(e, WR_BUSY,
                "the replica's listing lacks a file of level %u that was sent before it, up to "
                "%016llx: it is an old one, and nothing is deleted by it",
                level, (unsigned long long)a->max);
        if (is)
            target.txid = wr_max(target.txid, a->max);
    }
    if (target.txid == 0)
        return WR_OK;
    st = wr_plan_files(files, &target, &way, e);
    wr_ltx_files_release(&way);
    if (st != WR_NOTFOUND)
        return st;
    return wr_fail(e, WR_BUSY,
        "the replica's listing lacks files that lead to %016llx, which was sent: it is an old one, "
        "or the replica is damaged, and nothing is deleted by it",
        (unsigned long long)target.txid);
}

/* What the catalogue says is there is what retention lets other files go for: it must not go on
 * saying so. */
static enum wr_status look(
    struct wr_keeper *k, struct wr_call *c, struct wr_keeper_report *r, struct wr_err *e)
{
    struct wr_ltx_file is = r->file;
    char name[WR_LAYOUT_NAME_MAX];
    struct wr_err why = {0};
    bool same = false;
    enum wr_status st = WR_OK;

    c->deadline_ms = wr_mono_ms(c->clock) + REQUEST_MS;
    if (is.size == 0)
        st = wr_layout_find(k->storage, c, is.level, is.min, is.max, &is, &why);
    if (st == WR_OK)
        st = wr_remote_same(
            k->storage, c, is.level, is.min, is.max, is.size, r->checksum, &same, &why);
    if (st == WR_OK && same) {
        r->txid = is.max;
        return st;
    }
    wr_layout_name(name, &is);
    if (st == WR_NOTFOUND) {
        wr_keeper_forget(k);
        return wr_fail(e, st, "level %u, %s: it was deleted", is.level, name);
    }
    if (st == WR_OK)
        st = wr_fail(&why, WR_CORRUPT, "it does not end as it did");
    r->damaged = st == WR_CORRUPT;
    if (r->damaged)
        wr_catalogue_distrust(&k->catalogue, &is, false);
    return wr_fail(e, st, "level %u, %s: %s", is.level, name, why.text);
}

/* The files of whoever was promoted before the listing are in it, and not ours to delete. */
static enum wr_status check_whose(struct wr_keeper *k, struct wr_call *c, struct wr_err *e)
{
    return k->catalogue.fresh ? k->may(k->may_arg, c, true, e) : WR_OK;
}

/* Once, some time after the first listing: what came behind that, from a process before us, would
 * stay for as long as we live, and lose what leads to it without a word. What is new of ours is
 * known. */
static enum wr_status look_for_late(
    struct wr_keeper *k, struct wr_call *c, const struct wr_ltx_files *news, struct wr_err *e)
{
    const int64_t now_ms = wr_mono_ms(c->clock);
    enum wr_status st = WR_OK;

    if (k->late_ms == 0)
        k->late_ms = now_ms + LATE_MS;
    if (now_ms < k->late_ms)
        return WR_OK;
    if (k->catalogue.known) {
        st = wr_catalogue_add(&k->catalogue, news->p, news->n, e);
        if (st == WR_OK)
            st = wr_catalogue_look(&k->catalogue, k->storage, c, e);
    }
    if (st == WR_OK)
        k->late_ms = INT64_MAX;
    return st;
}

/* The catalogue as of now. What comes while it is listed may be in both. */
static enum wr_status bring_up_to_date(struct wr_keeper *k, struct wr_call *c, struct wr_err *e)
{
    struct wr_ltx_files news;
    struct keeper_arrival last[WR_LEVEL_MAX + 1];
    bool was_known;
    enum wr_status st;

    wr_mutex_lock(&k->mutex);
    memcpy(last, k->last, sizeof(last));
    news = k->news;
    k->news = (struct wr_ltx_files){0};
    if (k->forget)
        wr_catalogue_forget(&k->catalogue);
    k->forget = false;
    k->follow = true;
    if (k->latest.begun)
        wr_latest_begin(&k->catalogue.latest, k->latest.limit_ms, k->latest.mono_ms);
    wr_mutex_unlock(&k->mutex);
    st = look_for_late(k, c, &news, e);
    was_known = k->catalogue.known;
    if (st == WR_OK)
        st = wr_catalogue_fill(&k->catalogue, k->storage, c, e);
    if (st == WR_OK && !was_known && !WR_MUTANT(TRUST_LIST))
        st = check_listed(k, c, last, e);
    if (st == WR_OK)
        st = wr_catalogue_add(&k->catalogue, news.p, news.n, e);
    if (st != WR_OK)
        wr_catalogue_forget(&k->catalogue);
    wr_ltx_files_release(&news);
    return st;
}

static enum wr_status retain(struct wr_keeper *k, struct wr_call *c, const struct keeper_job *j,
    uint64_t *ret_n, struct wr_err *e)
{
    const struct wr_retention *r = &j->retention;
    size_t n = 0;
    enum wr_status st = k->may(k->may_arg, c, false, e);

    if (st != WR_OK)
        return st;
    if (j->anew)
        wr_catalogue_forget(&k->catalogue);
    c->deadline_ms = wr_mono_ms(c->clock) + REQUEST_MS;
    st = bring_up_to_date(k, c, e);
    if (st == WR_OK)
        st = check_whose(k, c, e);
    c->deadline_ms = wr_mono_ms(c->clock) + SEND_MS;
    if (st == WR_OK && wr_retention_has_periods(r))
        st = wr_catalogue_times(&k->catalogue, k->storage, c, TIMES_THREADS, e);
    if (st == WR_OK)
        st = wr_catalogue_retain(&k->catalogue, k->storage, c, r, k->herald, &n, e);
    wr_mutex_lock(&k->mutex);
    k->l0 = k->catalogue.l0;
    wr_mutex_unlock(&k->mutex);
    if (n > 0)
        wr_log(wr_sched_log(k->actor.sched), WR_DEBUG, "retention enforced", WR_F_Z("db", k->label),
            WR_F_STR("replica", wr_storage_name(k->storage)), WR_F_U64("files", n));
    *ret_n = n;
    return st;
}

void wr_keeper_work(
    struct wr_keeper *k, struct wr_call *c, const struct keeper_job *j, struct wr_keeper_report *r)
{
    struct wr_err e = {0};

    switch (j->task) {
    case TASK_SEND:
        r->file = wr_parcel_listed(j->parcel);
        r->level = r->file.level;
        r->st = send_parcel(k, c, j->parcel, r, &e);
        break;
    case TASK_READ:
        r->file = j->file;
        r->level = j->level;
        r->was_read = true;
        r->st = read_file(k, c, false, r, &e);
        break;
    case TASK_CONFIRM:
        r->file = j->file;
        r->level = j->level;
        r->checksum = j->checksum;
        r->was_read = true;
        r->st = confirm(k, c, r, &e);
        break;
    case TASK_LOOK:
        r->file = j->file;
        r->level = j->level;
        r->checksum = j->checksum;
        r->was_read = true;
        r->st = look(k, c, r, &e);
        break;
    case TASK_RETAIN:
        r->st = retain(k, c, j, &r->removed, &e);
        break;
    case TASK_NONE:
    case TASK_ENDED:
        break;
    }
    wr_text_set(&r->text, e.text);
}
