/*
 * sentinel_say.c - what a pass has to say: changes of state in the log, some of each kind, and all
 * in one line of status.
 */
#include "daemon/sentinel_int.h"

#define LINES_MAX 20 /* of the log, of one level, in one pass */

/* Whether a line of this kind may go to the log. */
static bool line(size_t *count)
{
    return ++*count <= LINES_MAX;
}

static void say_behind(
    struct wr_sentinel *s, const struct wr_entry *e, weir_db *db, enum wr_said what)
{
    bool stuck = what == SAID_STUCK;
    char why[WR_REASON_MAX];

    if (!line(&s->lines[what]))
        return;
    wr_reason(db, &e->verdict, why);
    wr_say(s->o.log, stuck ? WEIR_LOG_ERROR : WEIR_LOG_WARN,
        stuck ? "commits are not in the replica, and nothing moves"
              : "commits are late in the replica, but on their way",
        WR_F_Z("path", e->path), WR_F_MS("missing_for", e->verdict.missing_ms),
        WR_F_Z("reason", why));
}

/* Whether all that is behind is on its way. */
static bool moves(const struct wr_entry *e, int64_t now_ns)
{
    const struct wr_verdict *v = &e->verdict;

    for (size_t i = 0; i < v->nreplicas; i++)
        if (v->replica_ms[i] > v->limit_ms &&
            now_ns - e->replicas[i].moved_ns >= v->limit_ms * 1000000)
            return false;
    return true;
}

void wr_sentinel_say(struct wr_sentinel *s, struct wr_entry *e, weir_db *db, int64_t now_ns)
{
    enum wr_said now = SAID_NOTHING, was = e->said;

    if (e->verdict.word == WR_VERDICT_BEHIND)
        now = moves(e, now_ns) ? SAID_SLOW : SAID_STUCK;
    if (now == SAID_SLOW && was == SAID_STUCK)
        return; /* it moves again: that it helps is told when it has */
    e->said = now;
    if (now > was)
        say_behind(s, e, db, now);
    else if (now == SAID_NOTHING && was != SAID_NOTHING && line(&s->healed))
        wr_say(
            s->o.log, WEIR_LOG_INFO, "commits are in every replica again", WR_F_Z("path", e->path));
}

static void say_more(struct wr_sentinel *s, int level, const char *text, size_t count)
{
    if (count > LINES_MAX)
        wr_say(s->o.log, level, text, WR_F_U64("more", count - LINES_MAX));
}

void wr_sentinel_say_more(struct wr_sentinel *s)
{
    say_more(s, WEIR_LOG_ERROR, "more databases of which commits are not in the replica",
        s->lines[SAID_STUCK]);
    say_more(s, WEIR_LOG_WARN, "more databases of which commits are late in the replica",
        s->lines[SAID_SLOW]);
    say_more(s, WEIR_LOG_INFO, "more databases are in every replica again", s->healed);
}

/* Steps of a time that go on, so that a line with it in changes seldom. */
static void coarse(char *out, size_t n, int64_t ms)
{
    int64_t seconds = ms / 1000;

    if (seconds < 60)
        (void)snprintf(out, n, "%d s", (int)(seconds / 10 * 10));
    else if (seconds < 3600)
        (void)snprintf(out, n, "%d min", (int)(seconds / 60));
    else
        (void)snprintf(out, n, "%lld h", (long long)(seconds / 3600));
}

void wr_summary_line(const struct wr_summary *sum, char *out, size_t n)
{
    size_t running = sum->waiting + sum->fresh + sum->fine + sum->behind, at = 0;
    char worst[32];

    if (sum->behind > 0) {
        coarse(worst, sizeof(worst), sum->worst_ms);
        at = (size_t)snprintf(out, n, "%zu of %zu behind, worst %s", sum->behind, running, worst);
    } else {
        at = (size_t)snprintf(out, n, "replicating %zu database%s%s", running,
            running == 1 ? "" : "s",
            sum->fine > 0 && sum->fresh + sum->absent == 0 ? ", all in sync" : "");
    }
    if (sum->fresh > 0)
        at += (size_t)snprintf(out + at, n - at, ", %zu not in sync yet", sum->fresh);
    if (sum->waiting > 0)
        at += (size_t)snprintf(out + at, n - at, ", %zu not there yet", sum->waiting);
    if (sum->stopped > 0)
        at += (size_t)snprintf(out + at, n - at, ", %zu stopped", sum->stopped);
    if (sum->absent > 0)
        at += (size_t)snprintf(out + at, n - at, ", %zu could not be begun with", sum->absent);
    if (sum->refused)
        (void)snprintf(out + at, n - at, ", the changed configuration was refused");
}
