/*
 * barrier.c - see barrier.h. Looks again and again: what it waits for takes a moment, once.
 */
#include "daemon/barrier.h"

#include "base/clock.h"
#include "base/str.h"

#define LOOK_MS 10

/* One look at all databases. */
struct look {
    struct wr_logger *log; /* NULL: nothing is told */
    bool last;             /* a rival will not be waited for any longer */
    bool attached;
    int code; /* of the first that never will be; WEIR_OK if there is none */
    char error[sizeof(((weir_error *)0)->message)];
};

static void never(struct look *l, int code, const char *path, const char *text)
{
    char line[1024];

    l->attached = false;
    if (l->code != WEIR_OK)
        return;
    l->code = code;
    if (strstr(text, path)) /* it says so itself */
        path = "";
    /* A cut path is better than a cut reason. */
    (void)snprintf(line, sizeof(line), "%.200s%s%s", path, path[0] ? ": " : "", text);
    (void)snprintf(l->error, sizeof(l->error), "%.*s", (int)sizeof(l->error) - 1, line);
}

static void not_yet(struct look *l, const char *path, const char *url, const char *text)
{
    l->attached = false;
    if (l->log)
        wr_say(l->log, WEIR_LOG_WARN, "the command starts before this is replicated",
            WR_F_Z("db", path), WR_F_Z("replica", url), WR_F_Z("error", text));
}

/* Between the two it is found out what the replica's newest state has to do with the database. */
static bool is_known(const weir_replica_info *r)
{
    return wr_str_eq(wr_str(r->state), WR_STR("sending")) || r->safe_txid > 0;
}

/* Whether it is known of each of them where it stands. A database waits for that of one at least.
 */
static bool look_at_replicas(struct look *l, const char *path, weir_db *db)
{
    weir_replica_info r = {.struct_size = sizeof(r)};
    bool all = true;

    for (uint32_t i = 0; weir_replica_status(db, i, &r, NULL) == WEIR_OK; i++) {
        if (wr_str_eq(wr_str(r.state), WR_STR("stopped"))) {
            never(l, r.error_code, path, r.error);
        } else if (!is_known(&r)) {
            not_yet(l, path, r.url, r.error[0] ? r.error : "it has not answered yet");
            all = false;
        }
    }
    return all;
}

static void look_at(void *arg, const struct wr_config_db *config, weir_db *db)
{
    struct look *l = arg;
    weir_db_sight sight = {.struct_size = sizeof(sight)};
    weir_db_info info = {.struct_size = sizeof(info)};
    bool known;

    if (!db)
        return; /* stopped */
    if (weir_db_look(db, &sight, NULL) != WEIR_OK || weir_db_status(db, &info, NULL) != WEIR_OK) {
        not_yet(l, config->path, "", weir_strerror(WEIR_NOMEM));
        return;
    }
    if (sight.seen == WEIR_SEEN_NOTHING)
        return; /* it is up to the program to make it */
    if (info.error_code == WEIR_UNSUPPORTED || info.error_code == WEIR_CONFLICT)
        never(l, info.error_code, config->path, info.error);
    else if (info.rival && l->last)
        never(l, WEIR_BUSY, config->path, info.error);
    known = look_at_replicas(l, config->path, db);
    if (!sight.proven && (known || info.error_code != WEIR_OK))
        not_yet(l, config->path, "", info.error[0] ? info.error : "it is being read");
    else if (!sight.proven)
        l->attached = false;
}

/* One look at all of them. */
static struct look look(struct wr_fleet *f, struct wr_logger *log, bool last)
{
    struct look l = {.log = log, .last = last, .attached = true};

    wr_fleet_each(f, look_at, &l);
    return l;
}

int wr_barrier_wait(struct wr_fleet *f, struct wr_signals *s, struct wr_logger *log,
    int64_t timeout_ms, weir_error *reterr)
{
    const struct wr_clock *clock = wr_clock_system();
    const int64_t now_ns = wr_mono_ns(clock), most_ms = (INT64_MAX - now_ns) / 1000000;
    const int64_t end_ns = now_ns + wr_min(timeout_ms, most_ms) * 1000000;
    struct look l = look(f, NULL, false);

    while (!l.attached && l.code == WEIR_OK && !wr_signals_asked(s) && wr_mono_ns(clock) < end_ns) {
        wr_signals_wait_ms(s, LOOK_MS);
        l = look(f, NULL, false);
    }
    if (wr_signals_asked(s) || l.attached)
        return WEIR_OK;
    if (l.code == WEIR_OK)
        l = look(f, NULL, true);
    if (l.code == WEIR_OK) {
        (void)look(f, log, true);
        return WEIR_OK;
    }
    reterr->code = l.code;
    (void)snprintf(reterr->message, sizeof(reterr->message), "%s", l.error);
    return l.code;
}
