/*
 * chain.c - try a chain; know what is wrong with it; try another.
 *
 * All is well: the plan's headers and indexes are read, their rolling checksums continue each
 * other, its pages are fetched, and give the checksum that the newest file records.
 *
 * What can be wrong, and what is done:
 *   two files do not continue each other   look for files that do. If there are none go on: the
 *                                          image decides, for a file may have all pages
 *   a file is damaged, or cannot be read   look for a chain without it; but one bad answer is no
 *                                          damage: what seems to be is read twice, and where that
 *                                          was not done by then the same chain is tried again
 *   a file has another one's name          the same; if there is none, and it is not the end of the
 *                                          chain nor records any checksum, go on with it
 *   the image is not what it should be,    if there are joins that nobody can check, because a file
 *   and no file is known to be damaged     begins within the one before or has no rolling
 *                                          checksums: look for a chain with fewer of them. Then
 *                                          fetch again and prove every file, which may find one
 *                                          that is damaged. Then do without one of these joins
 *   a page is missing                      the same, and then do without the file that should
 *                                          have brought it
 *   nothing of all that helps: a file      take chains that have little in common with those that
 *   is not what it says, with checksums    came to nothing
 *   that are right
 *
 * The draft outlives all this: a page is taken from it only as what the chain at hand says it is,
 * so that what other chains left is either right or written again.
 */
#include "engine/chain_int.h"

#include "storage/storage.h"

/* The first failure, and what can still be done. */
static enum wr_status give_up(
    struct wr_chain *k, struct wr_call *c, const struct wr_err *first, struct wr_err *e)
{
    struct wr_ltx_files far = {0};
    uint64_t end = 0;

    if (first->code == WR_IO) { /* which may pass */
        *e = *first;
        return WR_IO;
    }
    if (k->detour.unread_e.code != WR_OK) /* which may lead there */
        return wr_fail(e, k->detour.unread_e.code,
            "%s (what may lead around that cannot be read: %s)", first->text,
            k->detour.unread_e.text);
    if (k->limited)
        return wr_fail(e, WR_CORRUPT,
            "%s (gave up after %u ways through the files; there may be more)", first->text,
            k->attempts);
    /* Only a hint: no failure of it matters. */
    if (wr_detour_find(&k->detour, c, 0, &far, NULL) == WR_OK)
        end = far.p[far.n - 1].max;
    wr_ltx_files_release(&far);
    if (end == 0 || end >= k->detour.end)
        return wr_fail(e, WR_CORRUPT, "%s", first->text);
    return wr_fail(e, WR_CORRUPT,
        "%s (no other files lead to txid %016llx; what can still be restored ends with -txid "
        "%016llx)",
        first->text, (unsigned long long)k->detour.end, (unsigned long long)end);
}

/* Of a snapshot and a file of another level that begins at TXID 1, too, and goes on, the latter has
 * it all: as a compaction leaves it, and no sign of anything wrong. */
static void drop_covered(struct wr_ltx_files *plan)
{
    size_t first = 0;

    for (size_t i = 1; i < plan->n; i++) {
        if (plan->p[i].min == 1)
            first = i;
    }
    plan->n -= first;
    memmove(plan->p, plan->p + first, plan->n * sizeof(*plan->p));
}

/* Try chains until one is right. NOTFOUND: there is none; *first is the failure to tell. */
static enum wr_status find(
    struct wr_chain *k, struct wr_call *c, struct wr_err *first, struct wr_err *last)
{
    enum wr_status st = wr_chain_try(k, c, last);

    while (st == WR_CORRUPT || (st == WR_IO && k->n_bad > 0)) {
        struct wr_err why = *last;

        if (k->n_doubts > 0 && k->n_bad == 0) {
            wr_log(c->log, WR_INFO, "files of the replica seem to be damaged; reading them again",
                WR_F_STR("replica", wr_storage_name(k->storage)), WR_F_Z("reason", why.text));
            st = wr_chain_try(k, c, last);
            continue;
        }
        if (first->code != WR_IO && (first->code == WR_OK || st == WR_IO))
            *first = why;
        st = wr_chain_next(k, c, why.text, last);
        if (st != WR_OK)
            break;
        st = wr_chain_try(k, c, last);
    }
    return st;
}

/* Nothing leads there but files with names that are not theirs, and may be used all the same.
 * NOTFOUND: not these either, and what there is to tell is what it was without them. */
static enum wr_status find_misnamed(
    struct wr_chain *k, struct wr_call *c, const char *why, struct wr_err *last)
{
    struct wr_chain lenient = {.storage = k->storage,
        .opts = k->opts,
        .all = k->all,
        .plan = k->plan,
        .file = k->file,
        .map = k->map,
        .r = k->r,
        .attempts = k->attempts,
        .looked = true,
        .lenient = true};
    struct wr_err first = {0};
    enum wr_status st;

    wr_log(c->log, WR_WARN,
        "a file of the replica has another one's name, and nothing else leads there; the state "
        "may be another one",
        WR_F_STR("replica", wr_storage_name(k->storage)), WR_F_TXID("txid", k->detour.end),
        WR_F_Z("reason", why));
    wr_ltx_files_release(k->plan);
    *k->plan = k->misnamed;
    k->misnamed = (struct wr_ltx_files){0};
    st = find(&lenient, c, &first, last);
    k->attempts = lenient.attempts;
    wr_ltx_files_release(&lenient.misnamed);
    wr_detour_release(&lenient.detour);
    return st;
}

enum wr_status wr_chain_fetch(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, const struct wr_ltx_files *all, struct wr_ltx_files *plan,
    struct wr_file *file, struct wr_file *map, struct wr_chain_report *r, struct wr_err *e)
{
    struct wr_chain k = {
        .storage = s, .opts = opts, .all = all, .plan = plan, .file = file, .map = map, .r = r};
    struct wr_err first = {0}, last = {0};
    enum wr_status st;

    drop_covered(plan);
    st = find(&k, c, &first, &last);
    if (st == WR_NOTFOUND && k.misnamed.n > 0)
        st = find_misnamed(&k, c, first.text, &last);
    if (st == WR_NOTFOUND)
        st = give_up(&k, c, &first, &last);
    wr_detour_release(&k.detour);
    wr_ltx_files_release(&k.misnamed);
    if (st != WR_OK && e)
        *e = last;
    return st;
}
