/*
 * demand.c - the public API's work on replicas that somebody wants now: a snapshot, the levels, and
 * the end of what is too old.
 */
#include "api/api_int.h"

static int demand(weir_db *db, enum wr_work kind, int64_t timeout_ms, weir_cancel *cancel,
    uint64_t *ret_value, weir_error *reterr)
{
    struct wr_err e = {0};
    uint64_t value = 0;
    enum wr_status st;

    if (!db)
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "there is no database"), &e);
    st = wr_db_work(db->db, kind, timeout_ms, cancel ? &cancel->token : NULL, &value, &e);
    if (st == WR_OK && ret_value)
        *ret_value = value;
    return wr_api_return(reterr, st, &e);
}

int weir_db_snapshot(
    weir_db *db, int64_t timeout_ms, weir_cancel *cancel, weir_txid *ret_txid, weir_error *reterr)
{
    return demand(db, WR_WORK_SNAPSHOT, timeout_ms, cancel, ret_txid, reterr);
}

int weir_db_keep_up(weir_db *db, int64_t timeout_ms, weir_cancel *cancel, weir_error *reterr)
{
    return demand(db, WR_WORK_KEEP_UP, timeout_ms, cancel, NULL, reterr);
}

int weir_db_retain(
    weir_db *db, int64_t timeout_ms, weir_cancel *cancel, uint64_t *ret_files, weir_error *reterr)
{
    return demand(db, WR_WORK_RETAIN, timeout_ms, cancel, ret_files, reterr);
}
