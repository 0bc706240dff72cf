/*
 * missing.c - a database that is not there, brought back before it is replicated.
 */
#include "daemon/missing.h"
#include "base/file.h"
#include "daemon/reach.h"

static int fail(weir_error *reterr, int code, const char *text)
{
    reterr->code = code;
    (void)snprintf(reterr->message, sizeof(reterr->message), "%s", text); /* of the same size */
    return code;
}

int wr_restore_missing(weir *w, const struct wr_config_db *db, struct wr_logger *log,
    struct wr_arena *a, weir_cancel *cancel, const struct wr_config_replica **ret,
    weir_error *reterr)
{
    const struct wr_log_field path = WR_F_Z("path", db->path);
    struct wr_reach *list = wr_arena_array(a, db->nreplicas, sizeof(*list));
    struct wr_file_info info;
    struct wr_err e = {0};
    enum wr_status st = wr_fs_posix()->stat(wr_fs_posix(), db->path, &info, &e);

    if (!list)
        return fail(reterr, WEIR_NOMEM, weir_strerror(WEIR_NOMEM));
    if (st == WR_OK) {
        wr_say(log, WEIR_LOG_INFO, "database exists, skipping restore", path);
        return WEIR_OK;
    }
    if (st != WR_NOTFOUND) /* unreadable is not absent: never risk to write over it */
        return fail(reterr, (int)st, e.text);
    wr_say(log, WEIR_LOG_INFO, "attempting restore before replication", path);
    if (wr_reach_rank(w, db->replicas, db->nreplicas, 0, cancel, list) != WEIR_OK)
        return fail(reterr, WEIR_CANCELED, weir_strerror(WEIR_CANCELED));
    for (size_t i = 0; i < db->nreplicas; i++) {
        if (list[i].unreachable)
            wr_say(log, WEIR_LOG_WARN, "a replica that may have newer transactions is not seen",
                path, WR_F_STR("replica", wr_safe_url(a, list[i].replica->url)),
                WR_F_Z("error", list[i].err.message));
    }
    for (size_t i = 0; i < db->nreplicas; i++) {
        const struct wr_config_replica *from = list[i].replica;
        weir_restore_options opt = {
            .struct_size = sizeof(opt), .settings = from->settings, .cancel = cancel};
        weir_restore_result result = {.struct_size = sizeof(result)};
        int rc = weir_restore(w, from->url, db->path, &opt, &result, reterr);

        if (rc == WEIR_OK) {
            wr_say(log, WEIR_LOG_INFO, "restore completed", path,
                WR_F_STR("replica", wr_safe_url(a, from->url)), WR_F_TXID("txid", result.txid));
            *ret = from;
            return WEIR_OK;
        }
        if (rc != WEIR_NOTFOUND)
            return rc;
    }
    wr_say(log, WEIR_LOG_INFO, "no backup found, starting fresh", path);
    return WEIR_OK;
}
