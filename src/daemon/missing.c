/*
 * missing.c - see missing.h.
 */
#include "daemon/missing.h"
#include "base/file.h"
#include "daemon/reach.h"
#include "daemon/recall.h"

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

/* Of those that were found in directories. */
static bool has_any(const struct wr_config *c, const struct wr_config_dir *dir)
{
    for (size_t i = c->nown; i < c->ndbs; i++)
        if (wr_path_within(c->dbs[i].path, dir->path))
            return true;
    return false;
}

static int by_path(const void *a, const void *b)
{
    const struct wr_config_db *x = a, *y = b;

    return strcmp(x->path, y->path);
}

static void say_recalled(
    struct wr_logger *log, struct wr_arena *a, const char *path, const struct wr_recalled *found)
{
    wr_say(log, WEIR_LOG_INFO, "a directory has no database, its replicas were looked through",
        WR_F_Z("path", path), WR_F_U64("dbs", found->n));
    if (found->unseen)
        wr_say(log, WEIR_LOG_WARN, "a replica that may have more databases is not seen",
            WR_F_Z("path", path), WR_F_STR("replica", wr_safe_url(a, found->unseen->url)),
            WR_F_Z("error", found->unseen_err.message));
    for (size_t i = 0; i < found->nrefused; i++)
        wr_say(log, WEIR_LOG_WARN, "a database of a directory is not restored",
            WR_F_Z("path", found->refused[i].path), WR_F_Z("error", found->refused[i].why));
}

/* Behind the entries of `c`, which is a copy, but for those that it has: directories may overlap.
 * False: out of memory. */
static bool append(struct wr_arena *a, struct wr_config *c, const struct wr_recalled *found)
{
    struct wr_config_db *dbs = wr_arena_array(a, c->ndbs + found->n, sizeof(*dbs));
    bool *twin = wr_arena_array(a, found->n, sizeof(*twin));
    size_t n = 0;

    if (!dbs || !twin)
        return false;
    for (; n < c->ndbs; n++) {
        const struct wr_config_db *same =
            found->n ? bsearch(&c->dbs[n], found->dbs, found->n, sizeof(*same), by_path) : NULL;

        dbs[n] = c->dbs[n];
        if (same)
            twin[same - found->dbs] = true;
    }
    for (size_t i = 0; i < found->n; i++)
        if (!twin[i])
            dbs[n++] = found->dbs[i];
    c->dbs = dbs;
    c->ndbs = n;
    return true;
}

int wr_missing_dirs(weir *w, const struct wr_config *c, struct wr_logger *log, struct wr_arena *a,
    weir_cancel *cancel, const struct wr_config **ret, weir_error *reterr)
{
    struct wr_config *more = wr_arena_alloc(a, sizeof(*more));

    if (!more)
        return fail(reterr, WEIR_NOMEM, weir_strerror(WEIR_NOMEM));
    *more = *c;
    for (size_t i = 0; i < c->ndirs; i++) {
        struct wr_recalled found;
        int rc;

        if (has_any(c, &c->dirs[i]))
            continue;
        rc = wr_recall(w, a, &c->dirs[i], c, false, cancel, &found, reterr);
        if (rc != WEIR_OK)
            return rc;
        say_recalled(log, a, c->dirs[i].path, &found);
        if (!append(a, more, &found))
            return fail(reterr, WEIR_NOMEM, weir_strerror(WEIR_NOMEM));
    }
    *ret = more;
    return WEIR_OK;
}

static enum wr_status look_for(struct wr_str path)
{
    const struct wr_fs *fs = wr_fs_posix();
    struct wr_file_info info;

    return path.p ? fs->stat(fs, path.p, &info, NULL) : WR_NOMEM;
}

void wr_missing_warn(const struct wr_config_db *db, struct wr_logger *log)
{
    struct wr_arena a;
    const char *state;

    if (look_for(wr_str(db->path)) != WR_NOTFOUND)
        return;
    wr_arena_init(&a, WR_ARENA_MAX);
    state = wr_config_state_dir(&a, db);
    if (look_for(wr_arena_str(&a, wr_path_dir(db->path))) == WR_NOTFOUND)
        wr_say(log, WEIR_LOG_WARN, "the directory of a database does not exist, waiting for both",
            WR_F_Z("path", db->path),
            WR_F_Z("hint", "is a volume not mounted, or the path of the configuration wrong?"));
    else if (state && look_for(wr_arena_fmt(&a, "%s/ledger", state)) == WR_OK)
        wr_say(log, WEIR_LOG_WARN,
            "a database that was replicated from here does not exist any more, waiting for it",
            WR_F_Z("path", db->path),
            WR_F_Z("hint", "if it was lost, weir restore or restore-if-db-not-exists brings it "
                           "back from its replica"));
    wr_arena_release(&a);
}
