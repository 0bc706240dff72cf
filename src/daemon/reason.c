/*
 * reason.c - why a database is not where it should be, in the words of its status.
 */
#include "daemon/sentinel.h"

static const char *seen_text(const weir_db_sight *s)
{
    switch (s->seen) {
    case WEIR_SEEN_CLOSED:
        return "the database is not held open";
    case WEIR_SEEN_TORN:
        return "the index of its WAL stays in the middle of an update";
    case WEIR_SEEN_LOST:
        return "applications use another wal-index (shm) file than the one that is replicated: "
               "stop "
               "them and weir, then start both";
    case WEIR_SEEN_WRITTEN:
        return "it was written to, and nothing has noticed";
    default:
        return s->proven ? "it has commits that nothing has captured, and no failure was reported"
                         : "it is still compared with what was replicated";
    }
}

/* The replica that is worst off. */
static uint32_t worst_replica(const struct wr_verdict *v)
{
    uint32_t worst = 0;

    for (uint32_t i = 1; i < v->nreplicas; i++)
        if (v->replica_ms[i] > v->replica_ms[worst])
            worst = i;
    return worst;
}

void wr_reason(weir_db *db, const struct wr_verdict *v, char ret[WR_REASON_MAX])
{
    weir_db_info info = {.struct_size = sizeof(info)};
    weir_db_sight sight = {.struct_size = sizeof(sight)};
    weir_replica_info r = {.struct_size = sizeof(r)};

    (void)weir_replica_status(db, worst_replica(v), &r, NULL); /* there may be none: no error */
    (void)weir_db_status(db, &info, NULL); /* neither can fail: the handle is good */
    (void)weir_db_look(db, &sight, NULL);
    if (info.error_code != WEIR_OK)
        (void)snprintf(ret, WR_REASON_MAX, "%.500s", info.error);
    else if (r.error_code != WEIR_OK)
        (void)snprintf(ret, WR_REASON_MAX, "replica %.100s: %.500s", r.url, r.error);
    else if (sight.seen != WEIR_SEEN_INDEX || !sight.proven || r.safe_txid >= sight.txid)
        (void)snprintf(ret, WR_REASON_MAX, "%s (state %s)", seen_text(&sight), info.state);
    else
        (void)snprintf(ret, WR_REASON_MAX,
            "replica %.100s (%s) does not acknowledge what it is sent, and no failure was reported",
            r.url, r.state);
}
