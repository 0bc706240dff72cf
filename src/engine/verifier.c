/*
 * verifier.c - see verifier.h. Knows one replica; what is right is verify.c's to know.
 */
#include "engine/verifier.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/sync.h"
#include "engine/verify.h"
#include "run/sched.h"
#include "storage/storage.h"

#define RUN_MS    ((int64_t)24 * 3600 * 1000) /* deadline of one time */
#define RETRY_NS  ((int64_t)600 * 1000000000) /* until it is tried again; doubles */
#define DOUBLINGS 10u                         /* at most */
#define LOOKS_MAX 2                           /* at a replica that seems to be cut short */
#define TOLD_MAX  20u                         /* findings in the log, each time */

struct wr_verifier {
    struct wr_actor actor;
    struct wr_storage *storage;
    char *label;
    void (*notify)(void *arg);
    void *arg;
    uint64_t (*acked)(void *arg);
    void *acked_arg;
    int64_t interval_ns;
    uint32_t lock_offset;

    /* Only the actor's step. */
    int64_t at_ns; /* of the next time, monotonic; 0: it begins */
    unsigned failures;
    uint64_t told;

    struct wr_mutex mutex; /* guards the group below */
    struct wr_verifier_report report;
    struct wr_cancel *request; /* of what is under way, on its step's stack */
    bool over;
};

static const struct wr_log *log_of(const struct wr_verifier *v)
{
    return wr_sched_log(v->actor.sched);
}

static void tell(void *arg, const struct wr_finding *f)
{
    struct wr_verifier *v = arg;

    if (v->told++ < TOLD_MAX)
        wr_log(log_of(v), WR_WARN, "validation error detected", WR_F_Z("db", v->label),
            WR_F_STR("replica", wr_storage_name(v->storage)), WR_F_Z("file", f->key ? f->key : ""),
            WR_F_TXID("min", f->min), WR_F_TXID("max", f->max), WR_F_Z("error", f->text));
}

/* What came of it, for people. */
static void log_end(const struct wr_verifier *v, enum wr_status st,
    const struct wr_verify_result *r, const char *text)
{
    if (st == WR_OK)
        wr_log(log_of(v), WR_INFO, "replica verified", WR_F_Z("db", v->label),
            WR_F_STR("replica", wr_storage_name(v->storage)), WR_F_U64("points", r->points),
            WR_F_U64("proven", r->proven), WR_F_TXID("txid", r->proven_txid),
            WR_F_U64("files", r->files_read), WR_F_U64("bytes", r->bytes_read));
    else if (st == WR_CORRUPT)
        wr_log(log_of(v), WR_ERROR,
            "a replica is damaged; weir verify tells what can still be restored, and what to do",
            WR_F_Z("db", v->label), WR_F_STR("replica", wr_storage_name(v->storage)),
            WR_F_U64("findings", r->findings), WR_F_U64("points", r->points),
            WR_F_U64("points_lost", r->lost), WR_F_TXID("txid", r->proven_txid),
            WR_F_Z("error", text));
    else if (v->failures == 0 && st != WR_CANCELED)
        wr_log(log_of(v), WR_WARN, "validation check failed, trying again later",
            WR_F_Z("db", v->label), WR_F_STR("replica", wr_storage_name(v->storage)),
            WR_F_Z("error", text));
}

static void note_end(struct wr_verifier *v, int64_t now_ms, enum wr_status st,
    const struct wr_verify_result *r, const char *text)
{
    struct wr_verifier_report *to = &v->report;

    wr_mutex_lock(&v->mutex);
    if (st == WR_OK || st == WR_CORRUPT) {
        to->ended_ms = now_ms;
        to->proven_txid = r->proven_txid;
        to->findings = r->findings;
        to->lost = r->lost;
    }
    if (r->newest_unsound) {
        to->unsound++;
        to->unsound_txid = r->newest_txid;
        (void)snprintf(to->unsound_why, sizeof(to->unsound_why), "%s", r->newest_why);
    }
    if (st != WR_CANCELED) {
        to->error = st;
        (void)snprintf(to->error_text, sizeof(to->error_text), "%s", text);
    }
    wr_mutex_unlock(&v->mutex);
}

/* That what was acknowledged is not there any more, no file tells: all that are left may be whole.
 */
static enum wr_status tell_cut_short(
    struct wr_verifier *v, uint64_t acked, struct wr_verify_result *r, struct wr_err *e)
{
    struct wr_finding f = {
        .kind = WR_FINDING_LOST, .min = r->last_txid + 1, .max = acked, .points = 1};
    char what[sizeof(r->newest_why)];

    if (r->last_txid > 0)
        (void)snprintf(what, sizeof(what),
            "the newest files are gone: it ends with txid %016llx, and has had %016llx",
            (unsigned long long)r->last_txid, (unsigned long long)acked);
    else
        (void)snprintf(
            what, sizeof(what), "it is empty, and has had txid %016llx", (unsigned long long)acked);
    f.text = what;
    tell(v, &f);
    r->findings++;
    r->lost++;
    r->newest_unsound = true;
    r->newest_txid = acked;
    memcpy(r->newest_why, what, sizeof(what));
    return wr_fail(e, WR_CORRUPT, "%s", what);
}

/* Once. An empty replica is none that is damaged, as long as its first snapshot is under way. */
static enum wr_status verify(struct wr_verifier *v, struct wr_call *c)
{
    const struct wr_verify_opts o = {
        .parallel = 1, .lock_offset = v->lock_offset, .finding = tell, .finding_arg = v};
    const uint64_t acked = v->acked(v->acked_arg);
    struct wr_verify_result r;
    struct wr_err e;
    enum wr_status st;

    for (int looks = 0; looks < LOOKS_MAX; looks++) { /* a list may have been an old one */
        r = (struct wr_verify_result){0};
        e = (struct wr_err){0};
        v->told = 0;
        c->deadline_ms = wr_mono_ms(c->clock) + RUN_MS;
        st = wr_verify(v->storage, c, &o, &r, &e);
        if ((st != WR_OK && st != WR_NOTFOUND) || r.last_txid >= acked)
            break;
    }
    if ((st == WR_OK || st == WR_NOTFOUND) && r.last_txid < acked)
        st = tell_cut_short(v, acked, &r, &e);
    if (st == WR_NOTFOUND)
        return WR_OK;
    log_end(v, st, &r, e.text);
    note_end(v, wr_wall_ms(c->clock), st, &r, e.text);
    if (r.newest_unsound)
        v->notify(v->arg);
    return st;
}

static int64_t wait_ns(struct wr_verifier *v, enum wr_status st)
{
    bool ended = st == WR_OK || st == WR_CORRUPT;

    if (ended)
        v->failures = 0;
    else
        v->failures++;
    return ended ? v->interval_ns
                 : wr_min(v->interval_ns, RETRY_NS << wr_min(v->failures - 1, DOUBLINGS));
}

static struct wr_next verifier_step(struct wr_actor *a, struct wr_call *c)
{
    struct wr_verifier *v = wr_container_of(a, struct wr_verifier, actor);
    struct wr_cancel request;
    bool over;

    if (v->at_ns == 0)
        v->at_ns = wr_mono_ns(c->clock) + v->interval_ns;
    wr_cancel_init(&request);
    wr_mutex_lock(&v->mutex);
    over = v->over;
    v->request = &request;
    wr_mutex_unlock(&v->mutex);
    if (!over && wr_mono_ns(c->clock) >= v->at_ns) {
        enum wr_status st;

        c->cancel = &request;
        st = verify(v, c);
        v->at_ns = wr_mono_ns(c->clock) + wait_ns(v, st);
    }
    wr_mutex_lock(&v->mutex);
    v->request = NULL;
    wr_mutex_unlock(&v->mutex);
    wr_cancel_release(&request);
    if (over)
        return (struct wr_next){.when = WR_NEXT_IDLE};
    return (struct wr_next){.when = WR_NEXT_AT, .at_ns = v->at_ns};
}

enum wr_status wr_verifier_new(
    const struct wr_verifier_opts *o, struct wr_verifier **ret, struct wr_err *e)
{
    struct wr_verifier *v = wr_alloc(sizeof(*v));
    enum wr_status st;

    assert(o->interval_ns > 0);
    if (!v || !(v->label = wr_strndup(o->label, strlen(o->label)))) {
        wr_free(v);
        return wr_fail(e, WR_NOMEM, "add a replica");
    }
    v->actor = (struct wr_actor){.step = verifier_step, .lane = WR_LANE_CHECK, .sched = o->sched};
    v->storage = o->storage;
    v->notify = o->notify;
    v->arg = o->arg;
    v->acked = o->acked;
    v->acked_arg = o->acked_arg;
    v->interval_ns = o->interval_ns;
    v->lock_offset = o->lock_offset;
    st = wr_sched_add(&v->actor, e);
    if (st != WR_OK) {
        wr_free(v->label);
        wr_free(v);
        return st;
    }
    wr_mutex_init(&v->mutex);
    *ret = v;
    return WR_OK;
}

void wr_verifier_free(struct wr_verifier *v)
{
    if (!v)
        return;
    wr_verifier_cancel(v);
    wr_sched_remove(&v->actor);
    wr_mutex_release(&v->mutex);
    wr_free(v->label);
    wr_free(v);
}

void wr_verifier_start(struct wr_verifier *v)
{
    wr_sched_wake(&v->actor);
}

void wr_verifier_cancel(struct wr_verifier *v)
{
    wr_mutex_lock(&v->mutex);
    v->over = true;
    if (v->request)
        wr_cancel_now(v->request);
    wr_mutex_unlock(&v->mutex);
}

unsigned wr_verifier_unsound(struct wr_verifier *v)
{
    unsigned n;

    wr_mutex_lock(&v->mutex);
    n = v->report.unsound;
    wr_mutex_unlock(&v->mutex);
    return n;
}

void wr_verifier_report(struct wr_verifier *v, struct wr_verifier_report *ret)
{
    wr_mutex_lock(&v->mutex);
    *ret = v->report;
    wr_mutex_unlock(&v->mutex);
}
