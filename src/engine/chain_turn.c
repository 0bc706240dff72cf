/*
 * chain_turn.c - which chain comes next, by all that is known of the files. Reads no page.
 */
#include "engine/chain_int.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "storage/storage.h"

/* Routes that lead where another one did before this is believed to be all. */
#define SUSPECT_MAX 100

enum wr_status wr_chain_survey(struct wr_chain *k, struct wr_err *e)
{
    if (k->detour.facts)
        return WR_OK;
    return wr_detour_init(
        &k->detour, k->storage, k->opts, k->all, k->plan->p[k->plan->n - 1].max, e);
}

static uint64_t sum_of(const struct wr_ltx_files *files)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < files->n; i++) {
        uint8_t id[4 + 8 + 8];

        wr_put_be32(id, files->p[i].level);
        wr_put_be64(id + 4, files->p[i].min);
        wr_put_be64(id + 12, files->p[i].max);
        sum = wr_crc64(sum, id, sizeof(id));
    }
    return sum;
}

static bool was_tried(const struct wr_chain *k, const struct wr_ltx_files *files)
{
    uint64_t sum = sum_of(files);

    for (size_t i = 0; i < k->n_tried; i++) {
        if (k->tried[i] == sum)
            return true;
    }
    return false;
}

/* All of these took part in something that came to nothing. */
static void suspect(struct wr_chain *k, const struct wr_ltx_files *files)
{
    for (size_t i = 0; i < files->n; i++)
        k->detour.facts[wr_detour_index(&k->detour, &files->p[i])].suspicion++;
}

enum wr_status wr_chain_turn(struct wr_chain *k, struct wr_call *c, const char *what,
    const char *why, bool suspecting, struct wr_err *e)
{
    struct wr_ltx_files other = {0};
    enum wr_status st = wr_detour_find(&k->detour, c, k->detour.end, &other, e);

    for (unsigned i = 0; suspecting && i < SUSPECT_MAX && st == WR_OK && was_tried(k, &other);
         i++) {
        suspect(k, &other);
        wr_ltx_files_release(&other);
        st = wr_detour_find(&k->detour, c, k->detour.end, &other, e);
    }
    if (st == WR_OK && was_tried(k, &other))
        st = wr_fail(e, WR_NOTFOUND, "no other files");
    if (st != WR_OK) {
        wr_ltx_files_release(&other);
        return st;
    }
    wr_log(c->log, WR_WARN, what, WR_F_STR("replica", wr_storage_name(k->storage)),
        WR_F_TXID("txid", k->detour.end), WR_F_Z("reason", why));
    wr_ltx_files_release(k->plan);
    *k->plan = other;
    k->whole = false;
    return WR_OK;
}

/* Those were set aside. */
static enum wr_status without_damaged(
    struct wr_chain *k, struct wr_call *c, const char *why, struct wr_err *e)
{
    if (k->last == WR_IO)
        return wr_chain_turn(k, c,
            "a file of the replica cannot be read; restoring by way of others, which lead to the "
            "same transaction",
            why, false, e);
    return wr_chain_turn(k, c,
        "a file of the replica is damaged; restoring by way of others, which lead to the same "
        "transaction",
        why, false, e);
}

/* The join behind file `i` of the plan. */
static struct wr_join join_at(const struct wr_chain *k, size_t i, enum wr_fit *ret)
{
    const struct wr_detour *d = &k->detour;
    const struct wr_join j = {
        wr_detour_index(d, &k->plan->p[i]), wr_detour_index(d, &k->plan->p[i + 1])};

    *ret = wr_fit(
        &d->files.p[j.before], &d->facts[j.before], &d->files.p[j.after], &d->facts[j.after]);
    return j;
}

/* How well the plan's files belong together, by all that is known of them. */
static enum wr_fit fit_of(const struct wr_chain *k)
{
    enum wr_fit worst = WR_FIT_YES;

    for (size_t i = 0; i + 1 < k->plan->n; i++) {
        enum wr_fit fit;

        (void)join_at(k, i, &fit);
        worst = wr_min(worst, fit);
    }
    return worst;
}

/* Do without one of the joins that cannot be checked. */
static enum wr_status ban_some(
    struct wr_chain *k, struct wr_call *c, const char *what, const char *why, struct wr_err *e)
{
    struct wr_detour *d = &k->detour;
    unsigned tries = 0;

    for (size_t i = 0; i + 1 < k->plan->n && tries < WR_DETOUR_BANS; i++) {
        enum wr_fit fit;
        struct wr_join join = join_at(k, i, &fit);
        enum wr_status st;

        if (fit == WR_FIT_YES || d->n_bans == WR_DETOUR_BANS)
            continue;
        d->bans[d->n_bans++] = join;
        st = wr_chain_turn(k, c, what, why, false, e);
        if (st != WR_NOTFOUND)
            return st;
        d->n_bans--;
        tries++;
    }
    return wr_fail(e, WR_NOTFOUND, "no other files");
}

/* The plan's files do not make the database, and none is known to be damaged. */
static enum wr_status do_not_add_up(
    struct wr_chain *k, struct wr_call *c, const char *why, struct wr_err *e)
{
    static const char what[] = "files of the replica do not add up to the database; restoring by "
                               "way of others, which lead to the same transaction";
    enum wr_fit fit = fit_of(k);
    enum wr_status st = WR_NOTFOUND;

    if (!was_tried(k, k->plan))
        k->tried[k->n_tried++] = sum_of(k->plan);
    if (fit != WR_FIT_YES)
        st = wr_chain_turn(k, c, what, why, false, e);
    /* Of files that do not fit each other it is no news that they do not add up. */
    if (st == WR_NOTFOUND && fit != WR_FIT_NO && k->unproven) {
        wr_log(c->log, WR_WARN,
            "the pages fetched do not add up to the database; reading all files in full, to find "
            "the damaged one",
            WR_F_STR("replica", wr_storage_name(k->storage)), WR_F_TXID("txid", k->detour.end),
            WR_F_Z("reason", why));
        k->whole = true;
        return WR_OK;
    }
    if (st == WR_NOTFOUND)
        st = ban_some(k, c, what, why, e);
    if (st == WR_NOTFOUND && k->suspect) {
        struct wr_fact *fact = &k->detour.facts[wr_detour_index(&k->detour, k->suspect)];

        fact->aside = true;
        st = without_damaged(k, c, why, e);
        fact->aside = st != WR_NOTFOUND;
    }
    if (st == WR_NOTFOUND)
        st = wr_chain_turn(k, c, what, why, true, e);
    return st;
}

enum wr_status wr_chain_next(
    struct wr_chain *k, struct wr_call *c, const char *why, struct wr_err *e)
{
    enum wr_status st = wr_chain_survey(k, e);

    if (st != WR_OK)
        return st;
    if (k->n_bad > 0)
        return without_damaged(k, c, why, e);
    k->limited = ++k->blind >= WR_CHAIN_BLIND_MAX;
    return k->limited ? wr_fail(e, WR_NOTFOUND, "too many chains were tried")
                      : do_not_add_up(k, c, why, e);
}
