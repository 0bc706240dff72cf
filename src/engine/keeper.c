/*
 * keeper.c - see keeper.h. Knows what it is at, and who waits for that; refuses to know how it is
 * done, and when a file is due.
 */
#include "engine/keeper_int.h"

#include "base/mem.h"
#include "engine/herald.h"
#include "engine/parcel.h"
#include "engine/send.h"

#define NEWS_MAX ((size_t)1 << 16) /* files; more are cheaper to list */

void wr_keeper_begin(struct wr_keeper *k, int64_t newest_ms)
{
    wr_mutex_lock(&k->mutex);
    wr_latest_begin(&k->latest, newest_ms, wr_mono_ms(wr_sched_clock(k->actor.sched)));
    wr_mutex_unlock(&k->mutex);
}

void wr_keeper_lose_track(struct wr_keeper *k)
{
    wr_ltx_files_release(&k->news);
    k->forget = true;
    k->follow = false;
}

void wr_keeper_note(struct wr_keeper *k, const struct wr_ltx_file *f)
{
    struct keeper_arrival *last = &k->last[f->level];

    wr_mutex_lock(&k->mutex);
    if (f->max >= last->max)
        *last = (struct keeper_arrival){f->min, f->max, wr_mono_ms(wr_sched_clock(k->actor.sched))};
    if (k->herald)
        wr_herald_there(k->herald, f);
    if (k->follow && (k->news.n >= NEWS_MAX || wr_ltx_files_add(&k->news, f, NULL) != WR_OK))
        wr_keeper_lose_track(k);
    wr_mutex_unlock(&k->mutex);
}

/* The next one. mutex held. */
static struct keeper_job next_job(const struct wr_keeper *k)
{
    return k->job.task == TASK_ENDED ? (struct keeper_job){0} : k->job;
}

/* How that ends which is given to one that is over. */
static struct wr_keeper_report called_off(const struct keeper_job *j)
{
    return (struct wr_keeper_report){.st = WR_CANCELED,
        .level = j->parcel ? j->parcel->level : j->level,
        .file = j->file,
        .was_read = j->task != TASK_SEND && j->task != TASK_RETAIN};
}

/* The levels of all other databases do not wait behind one that is sent whole, or read whole
 * because something is wrong with it. */
static enum wr_lane lane_of(const struct keeper_job *j)
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
    bool moves, over;
    struct keeper_job j;

    wr_cancel_init(&request);
    wr_mutex_lock(&k->mutex);
    j = next_job(k);
    over = k->over;
    moves = !over && lane_of(&j) != a->lane;
    k->request = moves ? NULL : &request;
    wr_mutex_unlock(&k->mutex);
    if (moves) {
        wr_cancel_release(&request);
        return (struct wr_next){.when = WR_NEXT_MOVE, .to = lane_of(&j)};
    }
    c->cancel = &request;
    if (over)
        r = called_off(&j);
    else
        wr_keeper_work(k, c, &j, &r);
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
    k->may = o->may;
    k->may_arg = o->may_arg;
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

static void give(struct wr_keeper *k, const struct keeper_job *j)
{
    wr_mutex_lock(&k->mutex);
    assert(k->job.task == TASK_NONE);
    k->job = *j;
    wr_mutex_unlock(&k->mutex);
    wr_sched_wake(&k->actor);
}

void wr_keeper_send(struct wr_keeper *k, struct wr_parcel *p)
{
    give(k, &(struct keeper_job){.task = TASK_SEND, .parcel = wr_parcel_ref(p)});
}

void wr_keeper_read(struct wr_keeper *k, unsigned level, const struct wr_ltx_file *f)
{
    give(k, &(struct keeper_job){.task = TASK_READ, .level = level, .file = *f});
}

void wr_keeper_confirm(struct wr_keeper *k, const struct wr_ltx_file *f, uint64_t checksum)
{
    give(k, &(struct keeper_job){
                .task = TASK_CONFIRM, .level = f->level, .file = *f, .checksum = checksum});
}

void wr_keeper_look(struct wr_keeper *k, const struct wr_ltx_file *f, uint64_t checksum)
{
    give(k, &(struct keeper_job){
                .task = TASK_LOOK, .level = f->level, .file = *f, .checksum = checksum});
}

void wr_keeper_retain(struct wr_keeper *k, const struct wr_retention *r, bool anew)
{
    give(k, &(struct keeper_job){.task = TASK_RETAIN, .retention = *r, .anew = anew});
}

void wr_keeper_forget(struct wr_keeper *k)
{
    wr_mutex_lock(&k->mutex);
    wr_keeper_lose_track(k);
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
        k->job = (struct keeper_job){0};
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
