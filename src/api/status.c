/*
 * status.c - the public API's answers to how databases and replicas are: fields that are filled in.
 */
#include "api/api_int.h"

#include "base/buf.h"
#include "base/file.h"
#include "engine/ledger.h"

static weir_work work_of(const struct wr_db_effort *w)
{
    return (weir_work){.count = w->n, .errors = w->errors, .ns = w->ns};
}

static void put_counts(const struct wr_db_status *s, weir_db_info *ret)
{
    _Static_assert(WEIR_HOLDS == WR_DB_HOLDS, "the same bounds");
    ret->db_bytes = (uint64_t)s->commit * s->page_size;
    ret->wal_bytes = s->wal_bytes;
    ret->wal_file_bytes = s->wal_file_bytes;
    ret->captured_bytes = s->counts.wal_bytes;
    ret->syncs = work_of(&s->counts.captures);
    ret->passive = work_of(&s->counts.passive);
    ret->truncate = work_of(&s->counts.truncate);
    ret->wal_resets = s->resets;
    ret->put_off = s->barriers_failed;
    ret->forks = s->forks;
    ret->scans = s->ledger_scans;
    ret->full_sends = s->full_sends;
    memcpy(ret->holds, s->counts.holds, sizeof(ret->holds));
    ret->holds_ns = s->counts.holds_ns;
    ret->hold_max_ns = s->barrier_max_ns;
    ret->disk_full = s->disk_full;
    ret->rival = s->rival;
}

int weir_db_status(weir_db *db, weir_db_info *ret, weir_error *reterr)
{
    struct wr_err e = {0};
    struct wr_db_status s;
    weir_db_info info = {0};

    if (!db || !ret || ret->struct_size < sizeof(size_t))
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_db_status: bad argument"), &e);
    wr_db_status(db->db, &s);
    wr_db_error(db->db, &e);
    info.struct_size = ret->struct_size;
    info.path = db->path;
    info.state = s.state;
    info.txid = s.txid;
    info.replica_count = (uint32_t)s.n_replicas;
    info.error_code = (int32_t)e.code;
    (void)snprintf(info.error, sizeof(info.error), "%s", e.text);
    put_counts(&s, &info);
    memcpy(ret, &info, wr_api_struct(ret->struct_size, sizeof(info)));
    return WEIR_OK;
}

weir_txid weir_state_txid(const char *state_dir)
{
    return state_dir ? wr_ledger_peek_txid(wr_fs_posix(), state_dir) : 0;
}

int weir_db_look(weir_db *db, weir_db_sight *ret, weir_error *reterr)
{
    static const int32_t words[] = {
        [WR_PEEK_CLOSED] = WEIR_SEEN_CLOSED,
        [WR_PEEK_OPEN] = WEIR_SEEN_INDEX,
        [WR_PEEK_TORN] = WEIR_SEEN_TORN,
        [WR_PEEK_GONE] = WEIR_SEEN_LOST,
        [WR_PEEK_AT_REST] = WEIR_SEEN_AT_REST,
        [WR_PEEK_WRITTEN] = WEIR_SEEN_WRITTEN,
    };
    struct wr_err e = {0};
    struct wr_db_glance g;
    weir_db_sight sight = {0};

    if (!db || !ret || ret->struct_size < sizeof(size_t))
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_db_look: bad argument"), &e);
    wr_db_glance(db->db, &g);
    sight.struct_size = ret->struct_size;
    sight.seen = g.exists ? words[g.seen] : WEIR_SEEN_NOTHING;
    sight.commits = g.count;
    sight.proven = g.proven;
    sight.txid_commits = g.closed_count;
    sight.txid = g.txid;
    sight.scanned = g.scanned;
    memcpy(ret, &sight, wr_api_struct(ret->struct_size, sizeof(sight)));
    return WEIR_OK;
}

static const char *const replica_states[] = {
    [WR_REPLICA_UNKNOWN] = "listing",
    [WR_REPLICA_READY] = "ready",
    [WR_REPLICA_SENDING] = "sending",
    [WR_REPLICA_STOPPED] = "stopped",
};

int weir_replica_status(weir_db *db, uint32_t i, weir_replica_info *ret, weir_error *reterr)
{
    struct wr_err e = {0};
    struct wr_replica_status s;
    struct wr_replica_account is;
    struct wr_db_status d;
    weir_replica_info info = {0};
    struct wr_str name;

    if (!db || !ret || ret->struct_size < sizeof(size_t))
        return wr_api_return(
            reterr, wr_fail(&e, WR_MISUSE, "weir_replica_status: bad argument"), &e);
    wr_db_status(db->db, &d);
    if (i >= d.n_replicas)
        return wr_api_return(reterr, wr_fail(&e, WR_NOTFOUND, "no replica %u", i), &e);
    wr_db_replica_status(db->db, i, &s, &name);
    wr_db_replica_account(db->db, i, &is);
    info.struct_size = ret->struct_size;
    info.url = db->urls[i];
    info.txid = s.pos.txid;
    info.lag_ms = s.lag_ms;
    info.put_requests = is.requests.put;
    info.list_requests = is.requests.list;
    info.get_requests = is.requests.get;
    info.head_requests = is.requests.stat;
    info.delete_requests = is.requests.remove;
    info.bytes_up = is.requests.bytes_up;
    info.bytes_down = is.requests.bytes_down;
    info.verified_txid = is.verified.proven_txid;
    info.verified_ms = is.verified.ended_ms;
    info.findings = is.verified.findings;
    info.points_lost = is.verified.lost;
    info.last_ok_ms = s.last_ok_ms;
    info.state = replica_states[s.state];
    info.safe_txid = d.safe >> i & 1 && s.state != WR_REPLICA_STOPPED ? s.pos.txid : 0;
    info.lag_files = s.queued;
    info.lag_bytes = s.queued_bytes;
    info.errors = s.errors;
    info.sync_interval_ms = s.interval_ns / 1000000;
    info.l0_eligible = is.l0.eligible;
    info.l0_not_compacted = is.l0.not_compacted;
    info.l0_too_recent = is.l0.too_recent;
    info.error_code = (int32_t)is.error.code;
    (void)snprintf(info.error, sizeof(info.error), "%s", is.error.text);
    memcpy(ret, &info, wr_api_struct(ret->struct_size, sizeof(info)));
    return WEIR_OK;
}

int weir_replica_address(weir_db *db, uint32_t i, char *ret, size_t size, weir_error *reterr)
{
    struct wr_err e = {0};
    struct wr_db_status d;
    struct wr_buf b;
    enum wr_status st;

    if (!db || !ret || size == 0)
        return wr_api_return(
            reterr, wr_fail(&e, WR_MISUSE, "weir_replica_address: bad argument"), &e);
    wr_db_status(db->db, &d);
    if (i >= d.n_replicas)
        return wr_api_return(reterr, wr_fail(&e, WR_NOTFOUND, "no replica %u", i), &e);
    wr_buf_init(&b, size - 1);
    st = wr_db_replica_address(db->db, i, &b, &e);
    if (st == WR_OK) {
        memcpy(ret, b.p, b.n);
        ret[b.n] = '\0';
    }
    wr_buf_release(&b);
    return wr_api_return(reterr, st, &e);
}

_Static_assert(WEIR_REQUEST_TOOK == WR_STORAGE_TOOK, "the same bounds");
_Static_assert((int)WEIR_CODES >= (int)WR_STORAGE_STATUSES, "there is room for each");
_Static_assert((int)WEIR_REQUEST_PUT == (int)WR_STORAGE_PUT &&
                   (int)WEIR_REQUEST_LIST == (int)WR_STORAGE_LIST &&
                   (int)WEIR_REQUEST_GET == (int)WR_STORAGE_GET &&
                   (int)WEIR_REQUEST_HEAD == (int)WR_STORAGE_STAT &&
                   (int)WEIR_REQUEST_DELETE == (int)WR_STORAGE_REMOVE &&
                   (int)WEIR_REQUESTS == (int)WR_STORAGE_CLASSES,
    "the same order");

int weir_replica_traffic(
    weir_db *db, uint32_t i, weir_replica_traffic_info *ret, weir_error *reterr)
{
    struct wr_storage_times times[WR_STORAGE_CLASSES];
    weir_replica_traffic_info info = {0};
    struct wr_db_status d;
    struct wr_err e = {0};

    if (!db || !ret || ret->struct_size < sizeof(size_t))
        return wr_api_return(
            reterr, wr_fail(&e, WR_MISUSE, "weir_replica_traffic: bad argument"), &e);
    wr_db_status(db->db, &d);
    if (i >= d.n_replicas)
        return wr_api_return(reterr, wr_fail(&e, WR_NOTFOUND, "no replica %u", i), &e);
    wr_db_replica_times(db->db, i, times);
    info.struct_size = ret->struct_size;
    for (size_t c = 0; c < WR_STORAGE_CLASSES; c++) {
        memcpy(info.requests[c].took, times[c].took, sizeof(times[c].took));
        memcpy(info.requests[c].failed, times[c].failed, sizeof(times[c].failed));
        info.requests[c].ns = (int64_t)times[c].ns;
    }
    memcpy(ret, &info, wr_api_struct(ret->struct_size, sizeof(info)));
    return WEIR_OK;
}
