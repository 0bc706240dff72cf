/*
 * sentinel.c - see sentinel.h.
 *
 * A pass walks the fleet by ascending path and, beside it, what it noted of each database at the
 * last one. Those that are gone, or stopped, are forgotten; one that is started again is new.
 *
 * When nothing has changed for a while, and every replica has everything, it rests (rest.h): the
 * next pass is a minute later, or when a file is told to have changed.
 *
 * What is missing for too long may be on its way, slowly: while bytes go out, or a large database
 * is read, that is a warning, which becomes an error when they stop.
 */
#include "base/mem.h"
#include "base/sorted.h"
#include "daemon/sentinel_int.h"

#define TRIM_PASSES  60u /* memory is given back so often: each five minutes ... */
#define TRIM_FIRST   6u  /* ... and after half a minute */
#define INTERVAL_MS  5000
#define LIMIT_MS     30000
#define SYNCS_LATE   5 /* sync intervals that a commit may be missing */
#define LATE_LOOKS   3 /* that did not come; and, as a machine may be busy: */
#define LATE_MS      10000
#define ASKED_MIN_MS 100 /* after a look, however often somebody asks */
#define SAME_MAX     11 /* passes in a row that do not ask for replicas: it is done once a minute */

static void stir(void *arg)
{
    struct wr_sentinel *s = arg;

    wr_mutex_lock(&s->mutex);
    s->stirs++;
    if (s->rests)
        wr_cond_signal(&s->cond);
    wr_mutex_unlock(&s->mutex);
}

enum wr_status wr_sentinel_new(
    const struct wr_sentinel_opts *o, struct wr_sentinel **ret, struct wr_err *e)
{
    struct wr_sentinel *s = wr_alloc(sizeof(*s));

    if (!s)
        return wr_fail(e, WR_NOMEM, "watch over replication");
    s->o = *o;
    if (!s->o.clock)
        s->o.clock = wr_clock_system();
    if (s->o.interval_ms == 0)
        s->o.interval_ms = INTERVAL_MS;
    if (s->o.limit_ms == 0)
        s->o.limit_ms = LIMIT_MS;
    s->made_ns = wr_mono_ns(s->o.clock);
    wr_mutex_init(&s->mutex);
    wr_cond_init(&s->cond);
    s->rest = (struct wr_rest){.interval_ms = s->o.interval_ms,
        .hears = s->o.w && weir_on_change(s->o.w, stir, s, NULL) == WEIR_OK};
    *ret = s;
    return WR_OK;
}

static void entry_free(struct wr_entry *e)
{
    if (!e)
        return;
    wr_free(e->path);
    wr_free(e->replicas);
    wr_free(e);
}

void wr_sentinel_free(struct wr_sentinel *s)
{
    if (!s)
        return;
    if (s->rest.hears)
        (void)weir_on_change(s->o.w, NULL, NULL, NULL); /* as it could be begun */
    wr_mutex_lock(&s->mutex);
    s->stopping = true;
    wr_cond_broadcast(&s->cond);
    wr_mutex_unlock(&s->mutex);
    if (s->started)
        wr_thread_join(&s->thread);
    for (size_t i = 0; i < s->n; i++)
        entry_free(s->all[i]);
    wr_free(s->all);
    wr_free(s->next);
    wr_cond_release(&s->cond);
    wr_mutex_release(&s->mutex);
    wr_free(s);
}

/* ---- what is noted of one database ---- */

static struct wr_entry *entry_new(const char *path, weir_db *db)
{
    struct wr_entry *e = wr_alloc(sizeof(*e));

    if (!e || !(e->path = wr_strndup(path, strlen(path)))) {
        entry_free(e);
        return NULL;
    }
    e->db = db;
    return e;
}

/* That of the last pass, passing those that are gone; NULL: none, or it is of another start. */
static struct wr_entry *take_entry(struct wr_sentinel *s, const char *path, weir_db *db)
{
    struct wr_entry *e;
    int c = 1;

    while (s->cursor < s->n && (c = strcmp(s->all[s->cursor]->path, path)) < 0)
        s->cursor++;
    if (c != 0 || s->cursor == s->n || s->all[s->cursor]->db != db)
        return NULL;
    wr_mutex_lock(&s->mutex);
    e = s->all[s->cursor];
    wr_mutex_unlock(&s->mutex);
    return e;
}

static bool make_room(struct wr_entry *e, size_t n)
{
    struct wr_entry_replica *all;

    if (n <= e->n_replicas)
        return true;
    all = wr_resize(e->replicas, n, sizeof(*all));
    if (!all)
        return false;
    memset(&all[e->n_replicas], 0, (n - e->n_replicas) * sizeof(*all));
    e->replicas = all;
    e->n_replicas = n;
    return true;
}

static bool keep(struct wr_sentinel *s, struct wr_entry *e)
{
    struct wr_entry **all =
        wr_room(s->next, s->next_n, &s->next_cap, 16, sizeof(struct wr_entry *));

    if (!all)
        return false;
    s->next = all;
    s->next[s->next_n++] = e;
    return true;
}

/* What was seen of a database just now. */
struct sighting {
    weir_db_sight db;
    weir_txid safe[WR_VERDICT_REPLICAS];
    uint64_t bytes_up[WR_VERDICT_REPLICAS];
    bool fails[WR_VERDICT_REPLICAS];
    size_t n;
    int64_t interval_ms; /* the longest sync interval */
};

static bool same_sight(const weir_db_sight *a, const weir_db_sight *b)
{
    return a->seen == b->seen && a->commits == b->commits && a->proven == b->proven &&
           a->txid_commits == b->txid_commits && a->txid == b->txid && a->scanned == b->scanned;
}

/* Whether it is at rest: every replica had everything, and there is nothing more. Of thousands most
 * are, and asking each replica is the larger part of a pass. */
static bool is_same(struct wr_entry *e, weir_db *db)
{
    weir_db_sight was = e->sight;

    e->sight = (weir_db_sight){.struct_size = sizeof(e->sight)};
    if (e->verdict.word != WR_VERDICT_FINE || e->verdict.missing_ms > 0 || e->same >= SAME_MAX ||
        weir_db_look(db, &e->sight, NULL) != WEIR_OK || !same_sight(&e->sight, &was)) {
        e->same = 0;
        return false;
    }
    e->same++;
    return true;
}

static void look(weir_db *db, struct sighting *ret)
{
    weir_replica_info r = {.struct_size = sizeof(r)};

    *ret = (struct sighting){.db = {.struct_size = sizeof(ret->db)}};
    while (ret->n < WR_VERDICT_REPLICAS &&
           weir_replica_status(db, (uint32_t)ret->n, &r, NULL) == WEIR_OK) {
        ret->safe[ret->n] = r.safe_txid;
        ret->bytes_up[ret->n] = r.bytes_up;
        ret->fails[ret->n++] = r.error_code != WEIR_OK;
        ret->interval_ms = wr_max(ret->interval_ms, r.sync_interval_ms);
    }
    (void)weir_db_look(db, &ret->db, NULL); /* cannot fail: the handle is good */
}

static int64_t missing_ms(const struct wr_suspect *s, int64_t now_ns)
{
    return s->since_ns == 0 ? 0 : wr_max((now_ns - s->since_ns) / 1000000, (int64_t)1);
}

/* A database that is always written to is never seen with nothing missing; but what was missing at
 * one look is there at the next, so that what is missing then is younger. */
static void look_at_replica(
    struct wr_entry_replica *r, const weir_db_sight *sight, weir_txid safe, int64_t now_ns)
{
    int64_t since_ns = r->suspect.since_ns;

    wr_suspect_look(&r->suspect, sight, safe, now_ns);
    if (sight->seen == WEIR_SEEN_NOTHING)
        r->had_all = false; /* what comes is another database */
    else if (r->suspect.since_ns == 0 || (since_ns != 0 && r->suspect.since_ns != since_ns))
        r->had_all = true;
}

static void judge(
    const struct wr_sentinel *s, struct wr_entry *e, const struct sighting *now, int64_t now_ns)
{
    struct wr_verdict *v = &e->verdict;
    bool all = now->n > 0;

    *v = (struct wr_verdict){
        .nreplicas = now->n, .limit_ms = wr_max(s->o.limit_ms, SYNCS_LATE * now->interval_ms)};
    for (size_t i = 0; i < now->n; i++) {
        struct wr_entry_replica *r = &e->replicas[i];

        if (r->moved_ns == 0 || now->db.scanned != r->scanned ||
            (now->bytes_up[i] != r->bytes_up && !now->fails[i]))
            r->moved_ns = now_ns;
        r->bytes_up = now->bytes_up[i];
        r->scanned = now->db.scanned;
        look_at_replica(r, &now->db, now->safe[i], now_ns);
        all = all && r->had_all;
        v->replica_ms[i] = missing_ms(&r->suspect, now_ns);
        v->missing_ms = wr_max(v->missing_ms, v->replica_ms[i]);
    }
    if (now->db.seen == WEIR_SEEN_NOTHING && !e->met) {
        v->word = WR_VERDICT_WAITING;
        return;
    }
    e->met = true;
    /* The file is gone, which its owner may have meant; until somebody says so, it is not fine. */
    if (now->db.seen == WEIR_SEEN_NOTHING) {
        v->word = WR_VERDICT_NEW;
        e->whole = false;
        return;
    }
    e->whole = e->whole || all;
    if (v->missing_ms > v->limit_ms)
        v->word = WR_VERDICT_BEHIND;
    else
        v->word = e->whole ? WR_VERDICT_FINE : WR_VERDICT_NEW;
}

static bool was_refused(struct wr_sentinel *s)
{
    struct wr_refusal r;

    wr_refused_look(wr_fleet_refused(s->o.fleet), &r);
    return r.why[0] != '\0';
}

static void tell(struct wr_sentinel *s)
{
    char text[sizeof(s->told)];

    s->count.absent = wr_absent_count(wr_fleet_absent(s->o.fleet));
    s->count.refused = was_refused(s);
    wr_summary_line(&s->count, text, sizeof(text));
    if (!s->o.tell || strcmp(text, s->told) == 0)
        return;
    memcpy(s->told, text, sizeof(text));
    s->o.tell(s->o.arg, text);
}

/* ---- passes ---- */

static void count(struct wr_summary *sum, const struct wr_verdict *v)
{
    sum->waiting += v->word == WR_VERDICT_WAITING;
    sum->fresh += v->word == WR_VERDICT_NEW;
    sum->fine += v->word == WR_VERDICT_FINE;
    sum->behind += v->word == WR_VERDICT_BEHIND;
    sum->worst_ms = wr_max(sum->worst_ms, v->missing_ms);
}

/* Whether it is as it was, with everything in every replica, or waited for. */
static void note_moves(
    struct wr_sentinel *s, const struct wr_entry *e, const weir_db_sight *was, bool fresh)
{
    const struct wr_verdict *v = &e->verdict;
    bool calm = (v->word == WR_VERDICT_FINE && v->missing_ms == 0) || v->word == WR_VERDICT_WAITING;
    bool news = !fresh && e->sight.seen == WEIR_SEEN_INDEX && was->seen == WEIR_SEEN_INDEX &&
                e->sight.commits != was->commits;

    wr_rest_saw(&s->rest, fresh || !calm || !same_sight(&e->sight, was), news);
}

static void visit(void *arg, const struct wr_config_db *config, weir_db *db)
{
    struct wr_sentinel *s = arg;
    struct sighting now;
    weir_db_sight was;
    int64_t now_ns;
    struct wr_entry *e, *fresh = NULL;

    if (!db) {
        s->count.stopped++;
        return;
    }
    e = take_entry(s, config->path, db);
    if (!e)
        e = fresh = entry_new(config->path, db);
    if (!e || !keep(s, e)) {
        entry_free(fresh);
        s->short_of_memory = true;
        return;
    }
    was = e->sight;
    if (!s->rest.rests && is_same(e, db)) {
        count(&s->count, &e->verdict);
        return;
    }
    look(db, &now);
    if (!make_room(e, now.n)) {
        s->short_of_memory = true;
        return;
    }
    now_ns = wr_max(wr_mono_ns(s->o.clock), (int64_t)1);
    wr_mutex_lock(&s->mutex);
    judge(s, e, &now, now_ns);
    wr_mutex_unlock(&s->mutex);
    e->sight = now.db;
    note_moves(s, e, &was, fresh != NULL);
    count(&s->count, &e->verdict);
    wr_sentinel_say(s, e, db, now_ns);
}

/* Those of the last pass that this one has not taken over; both are sorted. */
static void forget(struct wr_entry **old, size_t n, struct wr_entry **kept, size_t kept_n)
{
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        while (k < kept_n && kept[k] != old[i] && strcmp(kept[k]->path, old[i]->path) < 0)
            k++;
        if (k == kept_n || kept[k] != old[i])
            entry_free(old[i]);
    }
}

/* In how many milliseconds to look again. */
static int64_t next_ms(struct wr_sentinel *s, bool same_number)
{
    bool trouble = s->count.absent > 0 || s->count.refused || s->short_of_memory, deaf;
    int64_t now_ns = wr_max(wr_mono_ns(s->o.clock), (int64_t)1);
    int64_t ms = wr_rest_end(&s->rest, now_ns, same_number && !trouble, &deaf);

    if (deaf)
        wr_say(s->o.log, WEIR_LOG_WARN,
            "commits come of which no file event tells (a network file system?): looking for them "
            "every few seconds, however silent it is",
            WR_F_U64("times", s->rest.deaf));
    wr_mutex_lock(&s->mutex);
    s->rests = s->rest.rests;
    wr_mutex_unlock(&s->mutex);
    return ms;
}

int64_t wr_sentinel_pass(struct wr_sentinel *s)
{
    struct wr_entry **old = s->all;
    size_t old_n = s->n;
    uint64_t begun = wr_fleet_begun(s->o.fleet), stirs;

    wr_mutex_lock(&s->mutex);
    stirs = s->stirs; /* what is told from here on may have come after our look */
    s->asked = false;
    wr_mutex_unlock(&s->mutex);
    wr_rest_begin(&s->rest, stirs);

    s->next_n = 0;
    s->cursor = 0;
    s->count = (struct wr_summary){0};
    memset(s->lines, 0, sizeof(s->lines));
    s->healed = 0;
    s->short_of_memory = false;
    wr_fleet_each(s->o.fleet, visit, s);
    wr_mutex_lock(&s->mutex);
    s->all = s->next;
    s->n = s->next_n;
    s->sum = s->count;
    s->begun = begun;
    if (!s->short_of_memory) /* else it is no look at all of them */
        s->ended_ns = wr_max(wr_mono_ns(s->o.clock), (int64_t)1);
    wr_mutex_unlock(&s->mutex);
    forget(old, old_n, s->all, s->n);
    s->next = old;
    s->next_cap = old ? old_n : 0;
    wr_sentinel_say_more(s);
    tell(s);
    return next_ms(s, s->n == old_n);
}

static void run(void *arg)
{
    struct wr_sentinel *s = arg;
    unsigned passes = 0;
    bool rested = false;

    wr_mutex_lock(&s->mutex);
    while (!s->stopping) {
        int64_t ms, next_ns;

        wr_mutex_unlock(&s->mutex);
        ms = wr_sentinel_pass(s);
        /* At the start much is needed for a moment. */
        if (passes++ % TRIM_PASSES == TRIM_FIRST || (s->rest.rests && !rested))
            wr_mem_trim();
        rested = s->rest.rests;
        next_ns = wr_mono_ns(wr_clock_system()) + ms * 1000000;
        wr_mutex_lock(&s->mutex);
        while (!s->stopping && !s->asked && !(s->rests && s->stirs != s->rest.told) &&
               wr_cond_wait_until(&s->cond, &s->mutex, next_ns))
            ;
    }
    wr_mutex_unlock(&s->mutex);
}

enum wr_status wr_sentinel_start(struct wr_sentinel *s, struct wr_err *e)
{
    enum wr_status st = wr_thread_start(&s->thread, "sentinel", 0, run, s, e);

    s->started = st == WR_OK;
    return st;
}

/* ---- what others ask ---- */

static int by_path(const void *items, size_t i, const void *path)
{
    return strcmp(((struct wr_entry *const *)items)[i]->path, path);
}

bool wr_sentinel_verdict(struct wr_sentinel *s, const char *path, struct wr_verdict *ret)
{
    bool found;
    size_t at;

    wr_mutex_lock(&s->mutex);
    found = wr_sorted_find(s->all, s->n, by_path, path, &at);
    if (found)
        *ret = s->all[at]->verdict;
    wr_mutex_unlock(&s->mutex);
    return found;
}

/* Others may have come since the last look, which may be a minute ago, and what has just begun is
 * in order moments later: then it looks at once, if it has not just done so. */
static void mind_newcomers(struct wr_sentinel *s, const struct wr_summary *sum)
{
    size_t all = sum->stopped + sum->waiting + sum->fresh + sum->fine + sum->behind;

    if (sum->newcomers + sum->fresh == 0 && all == wr_fleet_count(s->o.fleet))
        return;
    wr_mutex_lock(&s->mutex);
    s->asked = s->asked || sum->age_ms >= ASKED_MIN_MS;
    wr_cond_signal(&s->cond);
    wr_mutex_unlock(&s->mutex);
}

void wr_sentinel_summary(struct wr_sentinel *s, struct wr_summary *ret)
{
    int64_t now_ns = wr_mono_ns(s->o.clock), last_ns, late_ms;
    uint64_t begun = wr_fleet_begun(s->o.fleet), seen;

    wr_mutex_lock(&s->mutex);
    late_ms = LATE_LOOKS * s->o.interval_ms + LATE_MS;
    if (s->rests)
        late_ms += wr_rest_more_ms(s->o.interval_ms);
    last_ns = s->ended_ns ? s->ended_ns : s->made_ns;
    *ret = s->sum;
    ret->age_ms =
        s->ended_ns == 0 ? INT64_MAX : wr_max((now_ns - s->ended_ns) / 1000000, (int64_t)0);
    seen = s->begun;
    wr_mutex_unlock(&s->mutex);
    ret->newcomers = begun > seen ? (size_t)(begun - seen) : 0; /* a pass may have begun since */
    mind_newcomers(s, ret);
    ret->absent = wr_absent_count(wr_fleet_absent(s->o.fleet));
    ret->refused = was_refused(s);
    ret->silent = (now_ns - last_ns) / 1000000 > late_ms;
}

size_t wr_sentinel_unready(
    struct wr_sentinel *s, struct wr_arena *a, struct wr_unready *ret, size_t max)
{
    size_t n = 0;

    wr_mutex_lock(&s->mutex);
    for (size_t i = 0; i < s->n; i++) {
        const struct wr_entry *e = s->all[i];

        if (e->verdict.word != WR_VERDICT_NEW && e->verdict.word != WR_VERDICT_BEHIND)
            continue;
        if (n < max)
            ret[n] = (struct wr_unready){
                .path = wr_arena_str(a, wr_str(e->path)).p, .verdict = e->verdict};
        n++;
    }
    wr_mutex_unlock(&s->mutex);
    return n;
}
