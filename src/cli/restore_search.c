/*
 * restore_search.c - the replicas of a database one by one, until one of them restores it.
 */
#include "cli/restore_int.h"
#include "daemon/reach.h"

static bool ends_the_search(int rc)
{
    return rc == WEIR_OK || rc == WEIR_CANCELED || rc == WEIR_CONFLICT;
}

static int restore_from(struct wr_restore *r, weir *w, weir_error *err)
{
    if (r->flags->follow)
        return wr_restore_follow(r, w, err);
    return r->flags->dry_run ? wr_cli_restore_plan(r, w, err) : wr_restore_run(r, w, err);
}

bool wr_restore_tells(int told, int rc)
{
    return ends_the_search(rc) || (told == WEIR_NOTFOUND && rc != WEIR_NOTFOUND);
}

/* Of what is not in the restored database, but may be in replicas: `done` is where it is from. */
static void warn_of_newer(
    struct wr_cli *cli, const struct wr_reach *list, size_t n, const struct wr_reach *done)
{
    for (const struct wr_reach *x = list; x < list + n; x++) {
        const char *url = wr_cli_url(cli, x->replica->url);

        if (x->txid > done->txid)
            (void)fprintf(stderr,
                "Warning: %s: %s; it has transactions up to %016llx, of which those after %016llx "
                "are not in the restored database\n",
                url, x->err.message, (unsigned long long)x->txid, (unsigned long long)done->txid);
        else if (x->unreachable && x != done)
            (void)fprintf(stderr,
                "Warning: %s: %s; it may have newer transactions than the restored database\n", url,
                x->err.message);
    }
}

/* Try them in their order: with one of them lost, its backup is in the others. */
static int search(struct wr_restore *r, weir *w, struct wr_reach *list, weir_error *reterr)
{
    const struct wr_config_replica *teller = list[0].replica;
    struct wr_cli *cli = r->cli;
    weir_error err = {0}, told = {0};
    int rc = WEIR_NOTFOUND, answer = WEIR_NOTFOUND;

    for (size_t i = 0; i < r->target.n && !ends_the_search(rc) && !r->following; i++) {
        if (i > 0 && !r->flags->quiet)
            (void)fprintf(stderr, "Warning: %s: %s; trying the next replica\n",
                wr_cli_url(cli, r->replica->url), err.message);
        r->replica = list[i].replica;
        r->opt.settings = r->replica->settings;
        rc = restore_from(r, w, &err);
        if (rc == WEIR_OK && !r->flags->dry_run && !r->flags->follow)
            warn_of_newer(cli, list, r->target.n, &list[i]);
        list[i].err = err;
        if (i > 0 && !wr_restore_tells(answer, rc))
            continue;
        answer = rc;
        told = err;
        teller = r->replica;
    }
    r->replica = teller;
    *reterr = told;
    return answer;
}

int wr_restore_search(struct wr_restore *r, weir *w, weir_error *reterr)
{
    struct wr_reach *list = wr_arena_array(r->cli->arena, r->target.n, sizeof(*list));
    int rc = list ? WEIR_OK : WEIR_NOMEM;

    r->replica = r->target.replicas;
    if (list && !r->flags->txid)
        rc = wr_reach_rank(
            w, r->target.replicas, r->target.n, r->flags->time_ms, r->opt.cancel, list);
    else
        for (size_t i = 0; list && i < r->target.n; i++)
            list[i].replica = &r->target.replicas[i];
    if (rc == WEIR_OK)
        return search(r, w, list, reterr);
    reterr->code = rc;
    (void)snprintf(reterr->message, sizeof(reterr->message), "%s", weir_strerror(rc));
    return rc;
}
