/*
 * keeper.c - see keeper.h. Knows one replica; refuses to know when a file is due.
 */
#include "engine/keeper.h"

#include "base/mem.h"
#include "base/sync.h"
#include "engine/catalogue.h"
#include "engine/digest.h"
#include "engine/parcel.h"
#include "engine/plan.h"
#include "engine/remote.h"
#include "engine/send.h"
#include "engine/whole.h"
#include "run/sched.h"
#include "storage/storage.h"

#define REQUEST_MS ((int64_t)120 * 1000) /* deadline of a header */
#define SEND_MS    WR_STORAGE_UPLOAD_MS  /* deadline of a file */

#define TIMES_THREADS 8 /* that ask for the times of files, at a start */

#define NEWS_MAX ((size_t)1 << 16) /* files; more are cheaper to list */

/* A listing that lacks what was acknowledged before it began is one of before that, for so long:
 * later on somebody has deleted it. */
#define STALE_MS ((int64_t)10 * 60 * 1000)

enum task {
    TASK_NONE,
    TASK_SEND,
    TASK_READ,
    TASK_CONFIRM,
    TASK_LOOK,
    TASK_RETAIN,
    TASK_ENDED, /* the report waits */
};

struct job {
    enum task task;
    struct wr_parcel *parcel;      /* of TASK_SEND; a reference */
    unsigned level;                /* of TASK_READ, TASK_CONFIRM, TASK_LOOK */
    struct wr_ltx_file file;       /* the same */
    uint64_t checksum;             /* of TASK_CONFIRM, TASK_LOOK */
    struct wr_retention retention; /* of TASK_RETAIN */
    bool anew;                     /* the same */
};

/* What came last, of a level. */
struct arrival {
    uint64_t min, max; /* 0: nothing did */
    int64_t at_ms;     /* monotonic */
};

struct wr_keeper {
    struct wr_actor actor;
    struct wr_storage *storage;
    struct wr_herald *herald;
    void (*notify)(void *arg);
    void *arg;
    char *label;
    uint32_t lock_offset;

    struct wr_mutex mutex; /* guards the group below */
    struct job job;
    struct wr_keeper_report report; /* of TASK_ENDED */
    struct wr_ltx_files news;       /* what came since the catalogue was brought up to date */
    struct arrival last[WR_LEVEL_MAX + 1];
    bool follow;               /* news counts: the catalogue was listed, or is being */
    bool forget;               /* it cannot be brought up to date */
    bool over;                 /* nothing is begun any more */
    struct wr_l0_files l0;     /* of the catalogue */
    struct wr_latest latest;   /* the catalogue's is to begin so */
    struct wr_cancel *request; /* of what it is at, on its step's stack */

    struct wr_catalogue catalogue; /* only the actor's step */
};

void wr_keeper_begin(struct wr_keeper *k, int64_t newest_ms)
{
    wr_mutex_lock(&k->mutex);
    wr_latest_begin(&k->latest, newest_ms, wr_mono_ms(wr_sched_clock(k->actor.sched)));
    wr_mutex_unlock(&k->mutex);
}

/* The next retention lists anew. The mutex is held. */
static void lose_track(struct wr_keeper *k)
{
    wr_ltx_files_release(&k->news);
    k->forget = true;
    k->follow = false;
}

void wr_keeper_note(struct wr_keeper *k, const struct wr_ltx_file *f)
{
    struct arrival *last = &k->last[f->level];

    wr_mutex_lock(&k->mutex);
    if (f->max >= last->max)
        *last = (struct arrival){f->min, f->max, wr_mono_ms(wr_sched_clock(k->actor.sched))};
    if (k->follow && (k->news.n >= NEWS_MAX || wr_ltx_files_add(&k->news, f, NULL) != WR_OK))
        lose_track(k);
    wr_mutex_unlock(&k->mutex);
}

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
    struct wr_sent sent;
    bool same = false;
    enum wr_status st;

    c->deadline_ms = wr_mono_ms(c->clock) + SEND_MS;
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
        lose_track(k);
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
    const struct arrival last[WR_LEVEL_MAX + 1], struct wr_err *e)
{
    const struct wr_ltx_files *files = &k->catalogue.files;
    struct wr_plan_target target = {0};
    struct wr_ltx_files way = {0};
    enum wr_status st;

    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++) {
        const struct arrival *a = &last[level];
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

/* The catalogue as of now. What comes while it is listed may be in both. */
static enum wr_status bring_up_to_date(struct wr_keeper *k, struct wr_call *c, struct wr_err *e)
{
    struct wr_ltx_files news;
    struct arrival last[WR_LEVEL_MAX + 1];
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
    was_known = k->catalogue.known;
    st = wr_catalogue_fill(&k->catalogue, k->storage, c, e);
    if (st == WR_OK && !was_known)
        st = check_listed(k, c, last, e);
    if (st == WR_OK)
        st = wr_catalogue_add(&k->catalogue, news.p, news.n, e);
    if (st != WR_OK)
        wr_catalogue_forget(&k->catalogue);
    wr_ltx_files_release(&news);
    return st;
}

static enum wr_status retain(
    struct wr_keeper *k, struct wr_call *c, const struct job *j, uint64_t *ret_n, struct wr_err *e)
{
    const struct wr_retention *r = &j->retention;
    size_t n = 0;
    enum wr_status st;

    if (j->anew)
        wr_catalogue_forget(&k->catalogue);
    c->deadline_ms = wr_mono_ms(c->clock) + REQUEST_MS;
    st = bring_up_to_date(k, c, e);
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

static void work(
    struct wr_keeper *k, struct wr_call *c, const struct job *j, struct wr_keeper_report *r)
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

/* The next one; what is over has none. mutex held. */
static struct job next_job(const struct wr_keeper *k)
{
    return k->over || k->job.task == TASK_ENDED ? (struct job){0} : k->job;
}

/* The levels of all other databases do not wait behind one that is sent whole, or read whole
 * because something is wrong with it. */
static enum wr_lane lane_of(const struct job *j)
{
    bool reads = (j->task == TASK_READ || j->task == TASK_CONFIRM) && j->file.size >= WR_SEND_LONG;
    bool sends = j->task == TASK_SEND && wr_parcel_streamed(j->parcel);

    return reads || sends ? WR_LANE_LONG : WR_LANE_BULK;
}

static struct wr_next keeper_step(struct wr_actor *a, struct wr_call *c)
{
    struct wr_keeper *k = wr_container_of(a, struct wr_keeper, actor);
    struct wr_keeper_report r = {0};
    struct wr_cancel request;
    bool moves;
    struct job j;

    wr_cancel_init(&request);
    wr_mutex_lock(&k->mutex);
    j = next_job(k);
    moves = lane_of(&j) != a->lane;
    k->request = moves ? NULL : &request;
    wr_mutex_unlock(&k->mutex);
    if (moves) {
        wr_cancel_release(&request);
        return (struct wr_next){.when = WR_NEXT_MOVE, .to = lane_of(&j)};
    }
    c->cancel = &request;
    work(k, c, &j, &r);
    wr_mutex_lock(&k->mutex);
    k->request = NULL;
    if (j.task != TASK_NONE)
        k->job.parcel = NULL;
    wr_mutex_unlock(&k->mutex);
    wr_cancel_release(&request);
    wr_parcel_unref(j.parcel); /* before it is told: then the image is the database's alone */
    if (j.task == TASK_NONE)
        return (struct wr_next){.when = WR_NEXT_IDLE};
    wr_mutex_lock(&k->mutex);
    k->job.task = TASK_ENDED;
    k->report = r;
    wr_mutex_unlock(&k->mutex);
    k->notify(k->arg);
    return (struct wr_next){.when = WR_NEXT_IDLE};
}

enum wr_status wr_keeper_new(
    const struct wr_keeper_opts *o, struct wr_keeper **ret, struct wr_err *e)
{
    struct wr_keeper *k = wr_alloc(sizeof(*k));
    enum wr_status st;

    if (!k || !(k->label = wr_strndup(o->label, strlen(o->label)))) {
        wr_free(k);
        return wr_fail(e, WR_NOMEM, "add a replica");
    }
    k->actor = (struct wr_actor){.step = keeper_step, .lane = WR_LANE_BULK, .sched = o->sched};
    k->storage = o->storage;
    k->herald = o->herald;
    k->notify = o->notify;
    k->arg = o->arg;
    k->lock_offset = o->lock_offset;
    st = wr_sched_add(&k->actor, e);
    if (st != WR_OK) {
        wr_free(k->label);
        wr_free(k);
        return st;
    }
    wr_mutex_init(&k->mutex);
    *ret = k;
    return WR_OK;
}

void wr_keeper_free(struct wr_keeper *k)
{
    if (!k)
        return;
    wr_keeper_cancel(k);
    wr_sched_remove(&k->actor);
    wr_parcel_unref(k->job.parcel);
    wr_ltx_files_release(&k->news);
    wr_catalogue_release(&k->catalogue);
    wr_text_release(&k->report.text);
    wr_mutex_release(&k->mutex);
    wr_free(k->label);
    wr_free(k);
}

bool wr_keeper_busy(struct wr_keeper *k)
{
    bool busy;

    wr_mutex_lock(&k->mutex);
    busy = k->job.task != TASK_NONE;
    wr_mutex_unlock(&k->mutex);
    return busy;
}

static void give(struct wr_keeper *k, const struct job *j)
{
    wr_mutex_lock(&k->mutex);
    assert(k->job.task == TASK_NONE);
    k->job = *j;
    wr_mutex_unlock(&k->mutex);
    wr_sched_wake(&k->actor);
}

void wr_keeper_send(struct wr_keeper *k, struct wr_parcel *p)
{
    give(k, &(struct job){.task = TASK_SEND, .parcel = wr_parcel_ref(p)});
}

void wr_keeper_read(struct wr_keeper *k, unsigned level, const struct wr_ltx_file *f)
{
    give(k, &(struct job){.task = TASK_READ, .level = level, .file = *f});
}

void wr_keeper_confirm(struct wr_keeper *k, const struct wr_ltx_file *f, uint64_t checksum)
{
    give(k,
        &(struct job){.task = TASK_CONFIRM, .level = f->level, .file = *f, .checksum = checksum});
}

void wr_keeper_look(struct wr_keeper *k, const struct wr_ltx_file *f, uint64_t checksum)
{
    give(k, &(struct job){.task = TASK_LOOK, .level = f->level, .file = *f, .checksum = checksum});
}

void wr_keeper_retain(struct wr_keeper *k, const struct wr_retention *r, bool anew)
{
    give(k, &(struct job){.task = TASK_RETAIN, .retention = *r, .anew = anew});
}

void wr_keeper_forget(struct wr_keeper *k)
{
    wr_mutex_lock(&k->mutex);
    lose_track(k);
    memset(k->last, 0, sizeof(k->last));
    wr_mutex_unlock(&k->mutex);
}

bool wr_keeper_take(struct wr_keeper *k, struct wr_keeper_report *ret)
{
    bool ended;

    wr_mutex_lock(&k->mutex);
    ended = k->job.task == TASK_ENDED;
    if (ended) {
        *ret = k->report;
        k->report = (struct wr_keeper_report){0};
        k->job = (struct job){0};
    }
    wr_mutex_unlock(&k->mutex);
    return ended;
}

void wr_keeper_l0(struct wr_keeper *k, struct wr_l0_files *ret)
{
    wr_mutex_lock(&k->mutex);
    *ret = k->l0;
    wr_mutex_unlock(&k->mutex);
}

void wr_keeper_interrupt(struct wr_keeper *k, const struct wr_parcel *p)
{
    wr_mutex_lock(&k->mutex);
    if (k->job.parcel == p && k->request)
        wr_cancel_now(k->request);
    wr_mutex_unlock(&k->mutex);
}

void wr_keeper_cancel(struct wr_keeper *k)
{
    wr_mutex_lock(&k->mutex);
    k->over = true;
    if (k->request)
        wr_cancel_now(k->request);
    wr_mutex_unlock(&k->mutex);
}
