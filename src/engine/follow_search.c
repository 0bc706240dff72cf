/*
 * follow_search.c - what of the replica goes on from a followed copy.
 *
 * Under the names of the next transactions; now and then, and where that leads nowhere, in a list
 * of level 0, or of all levels.
 */
#include "engine/follow_int.h"
#include "engine/onward.h"
#include "storage/storage.h"

#define LIST_MS    15000  /* between listings */
#define WIDE_MS    300000 /* of all levels, at most */
#define PAGE       1000   /* files in the answer to one request */
#define PROBES_MAX 8      /* names that are tried in a step */
#define REQUEST_MS 60000

static int64_t now_ms(const struct wr_call *c)
{
    return wr_mono_ms(c->clock);
}

void wr_follow_saw(struct wr_follow *f, const struct wr_call *c, uint64_t txid)
{
    f->newest = wr_max(f->newest, txid);
    if ((f->newest > f->pos.txid || f->source.more) && !f->behind_ms)
        f->behind_ms = wr_max(now_ms(c), (int64_t)1);
}

/* Look under the names of the next transactions. */
static enum wr_status probe(
    struct wr_follow *f, struct wr_call *c, struct wr_ltx_files *chain, struct wr_err *e)
{
    enum wr_status st =
        wr_onward_probe(f->storage, c, REQUEST_MS, f->pos.txid, PROBES_MAX, chain, e);

    if (chain->n > 0)
        wr_follow_saw(f, c, chain->p[chain->n - 1].max);
    if (st == WR_OK && chain->n == PROBES_MAX)
        f->list_ms = 0; /* there may be many more */
    return st;
}

/* Behind the copy; and where it is from the primary, the files of what it was when the bucket was
 * looked at before, as they tell whether the two are of one course of things. */
static uint64_t list_from(const struct wr_follow *f)
{
    uint64_t mark = f->mark.txid ? f->mark.txid : f->pos.txid;

    return f->pos.fed ? wr_min(mark, f->pos.txid) : f->pos.txid + 1;
}

/* Only all levels show a replica that was begun anew, or that ends with a snapshot. They are seen
 * with each listing where that takes one request, and else as often as keeps them to one each
 * LIST_MS. */
static int64_t wide_ms(size_t files)
{
    return (int64_t)wr_min(LIST_MS * (1 + files / PAGE), (size_t)WIDE_MS);
}

static enum wr_status list(
    struct wr_follow *f, struct wr_call *c, bool wide, struct wr_ltx_files *files, struct wr_err *e)
{
    enum wr_status st;

    c->deadline_ms = now_ms(c) + REQUEST_MS;
    st = wide ? wr_layout_list_all(f->storage, c, files, e)
              : wr_layout_list(f->storage, c, 0, list_from(f), files, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "list the replica");
    f->list_ms = now_ms(c) + LIST_MS;
    if (wide) { /* what was seen before may have been deleted */
        f->wide_ms = now_ms(c) + wide_ms(files->n);
        f->newest = f->pos.txid;
        f->listed++;
        if (!f->source.more)
            f->behind_ms = 0;
    }
    wr_follow_saw(f, c, wr_ltx_files_newest(files));
    wr_ltx_files_drop(files, &f->aside); /* damaged */
    return WR_OK;
}

/* That a file cannot be read now is no reason not to go on: the next list is as good. */
static enum wr_status recognize(
    struct wr_follow *f, struct wr_call *c, const struct wr_ltx_files *files, struct wr_err *e)
{
    struct wr_err why = {0};
    enum wr_status st = wr_follow_recognize(f, c, files, &why);

    return st == WR_CANCELED || st == WR_NOMEM ? wr_fail(e, st, "%s", why.text) : WR_OK;
}

/* Not a listing of all files: it ends before the copy. */
static enum wr_status ends_before(struct wr_follow *f, uint64_t newest, struct wr_err *e)
{
    return wr_fail(e, WR_CONFLICT,
        "the copy is at transaction %016llx, and the replica ends with %016llx: it has been reset, "
        "or is another one",
        (unsigned long long)f->floor.txid, (unsigned long long)newest);
}

enum wr_status wr_follow_search(struct wr_follow *f, struct wr_call *c, struct wr_ltx_files *all,
    struct wr_ltx_files *chain, bool *ret_anew, struct wr_err *e)
{
    bool wide = now_ms(c) >= f->wide_ms || f->pos.txid == 0 || f->lost || f->revert;
    enum wr_status st = WR_OK;

    *ret_anew = false;
    if (now_ms(c) >= f->again_ms)
        f->aside.n = 0;
    if (!wide && now_ms(c) < f->list_ms && f->aside.n == 0) {
        st = probe(f, c, chain, e);
        if (st != WR_OK || chain->n > 0 || f->newest <= f->pos.txid)
            return st;
        wide = true; /* what was listed has another name, or is in a snapshot */
    }
    st = list(f, c, wide, all, e);
    if (st == WR_OK)
        st = recognize(f, c, all, e);
    if (st == WR_OK && f->pos.txid && !f->lost && !f->revert)
        st = wr_onward_chain(all, f->pos.txid, chain, e);
    if (st == WR_OK && !wide && chain->n == 0 && f->newest > f->pos.txid) { /* a gap */
        wr_ltx_files_release(all);
        wide = true;
        st = list(f, c, wide, all, e);
        if (st == WR_OK)
            st = wr_onward_chain(all, f->pos.txid, chain, e);
    }
    if (!wide) /* nothing to plan with */
        wr_ltx_files_release(all);
    if (st != WR_OK || !wide)
        return st;
    if (all->n == 0 && f->aside.n == 0)
        return wr_fail(e, WR_NOTFOUND, "the replica is empty");
    if (wr_ltx_files_newest(all) < f->floor.txid && f->aside.n == 0)
        return ends_before(f, wr_ltx_files_newest(all), e);
    *ret_anew =
        chain->n == 0 && (f->pos.txid == 0 || f->revert || wr_ltx_files_newest(all) > f->pos.txid);
    if (chain->n == 0 && !*ret_anew && f->newest > f->pos.txid)
        return wr_fail(e, WR_IO,
            "%zu files that go on from the copy are damaged, and there are no "
            "others",
            f->aside.n);
    return WR_OK;
}
