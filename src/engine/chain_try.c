/*
 * chain_try.c - one attempt: what the files of a chain make, and which of them it shows to be bad.
 * Takes another chain only where names have led to files that do not continue each other.
 */
#include "engine/chain_int.h"

#include "base/mem.h"
#include "engine/draft.h"
#include "engine/image.h"
#include "engine/input_read.h"
#include "engine/inputs.h"
#include "engine/restore.h"
#include "storage/storage.h"

/* "level 0 file 0000000000000001-000000000000002a.ltx" */
static const char *name_of(char out[WR_CHAIN_LABEL_MAX], const struct wr_ltx_file *f)
{
    char name[WR_LTX_NAME_MAX];

    wr_ltx_name_format(name, f->min, f->max);
    (void)snprintf(out, WR_CHAIN_LABEL_MAX, "level %u file %s", f->level, name); /* it fits */
    return out;
}

/* The first file that does not continue the one before it, or 0. */
static size_t misfit(const struct wr_inputs *x)
{
    for (size_t i = 1; i < x->n; i++) {
        const struct wr_fact before = wr_fact_of(&x->in[i - 1].header);
        const struct wr_fact after = wr_fact_of(&x->in[i].header);

        if (wr_fit(x->in[i - 1].file, &before, x->in[i].file, &after) == WR_FIT_NO)
            return i;
    }
    return 0;
}

/* The plan by names has a misfit at `i`. NOTFOUND: there is no better one. */
static enum wr_status turn_at(
    struct wr_chain *k, struct wr_call *c, const struct wr_inputs *x, size_t i, struct wr_err *e)
{
    char before[WR_CHAIN_LABEL_MAX], after[WR_CHAIN_LABEL_MAX], *why = k->misfit;
    enum wr_status st = wr_chain_survey(k, e);

    if (st != WR_OK)
        return st;
    wr_detour_learn(&k->detour, x);
    (void)snprintf(why, WR_CHAIN_WHY_MAX,
        "%s does not continue %s: its checksum of the database differs",
        name_of(after, x->in[i].file), name_of(before, x->in[i - 1].file));
    st = wr_chain_turn(k, c,
        "two processes have written to the replica; restoring by way of the files that fit each "
        "other",
        why, false, e);
    if (st == WR_OK)
        why[0] = '\0';
    return st;
}

static enum wr_status copy_files(
    const struct wr_ltx_files *from, struct wr_ltx_files *to, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (size_t i = 0; st == WR_OK && i < from->n; i++)
        st = wr_ltx_files_add(to, &from->p[i], e);
    return st;
}

/* Whether file `i`, whose name is another one's, may be used where nothing else leads on.
 * Litestream does so, and within a chain a file of its may well be what is needed. But the end of a
 * chain is the state that was asked for; and what a file with checksums continues is known, by its
 * header. */
static bool forgivable(const struct wr_inputs *x, size_t i)
{
    const struct wr_input *in = &x->in[i];

    return !in->header.has_rolling && (i + 1 < x->n || in->header.max_txid == in->file->max);
}

/* Files that are not what their names say are as good as damaged: the state would be another one
 * than was asked for. */
static enum wr_status check_names(struct wr_chain *k, struct wr_inputs *x, struct wr_err *e)
{
    struct wr_input *first = NULL;
    char label[WR_CHAIN_LABEL_MAX];
    bool forgiven = false;

    for (size_t i = 0; i < x->n; i++) {
        struct wr_input *in = &x->in[i];
        bool may_be = in->misnamed && forgivable(x, i);

        forgiven = forgiven || may_be;
        in->bad = in->misnamed && !(k->lenient && may_be);
        if (!first && in->bad)
            first = in;
    }
    if (!first)
        return WR_OK;
    if (forgiven && k->misnamed.n == 0 && copy_files(k->plan, &k->misnamed, e) != WR_OK)
        return WR_NOMEM;
    return wr_fail(e, WR_CORRUPT, "%s: its header says %016llx-%016llx",
        name_of(label, first->file), (unsigned long long)first->header.min_txid,
        (unsigned long long)first->header.max_txid);
}

static enum wr_status open_inputs(
    struct wr_chain *k, struct wr_call *c, struct wr_inputs *x, struct wr_err *e)
{
    size_t i = 0;
    enum wr_status st;

    x->all_whole = k->whole;
    st = wr_inputs_open(k->storage, c, k->plan->p, k->plan->n, k->opts, x, e);
    if (st == WR_OK)
        st = check_names(k, x, e);
    if (st == WR_OK && !k->looked) {
        k->looked = true;
        i = misfit(x);
    }
    if (i > 0) {
        st = turn_at(k, c, x, i, e);
        if (st == WR_NOTFOUND)
            return WR_OK;
        wr_inputs_release(x);
        if (st == WR_OK)
            st = wr_inputs_open(k->storage, c, k->plan->p, k->plan->n, k->opts, x, e);
        if (st == WR_OK)
            st = check_names(k, x, e);
    }
    return st;
}

/* Whether a small file is something else when it is read once more. */
static enum wr_status differs(
    struct wr_chain *k, struct wr_call *c, const struct wr_input *in, bool *ret, struct wr_err *e)
{
    size_t size = (size_t)in->file->size;
    uint8_t *bytes = wr_alloc(size);
    enum wr_status st;

    if (!bytes)
        return wr_fail(e, WR_NOMEM, "ltx file of %zu bytes: out of memory", size);
    st = wr_input_read(k->storage, c, in->file, 0, bytes, size, e);
    *ret = st == WR_OK && memcmp(bytes, in->bytes, size) != 0;
    wr_free(bytes);
    return st == WR_CORRUPT ? WR_OK : st;
}

/* One bad answer is no damage. Whether a file that is bad may be none in another attempt, of which
 * there is one. */
static enum wr_status may_be_well(
    struct wr_chain *k, struct wr_call *c, const struct wr_input *in, bool *ret, struct wr_err *e)
{
    struct wr_fact *fact = &k->detour.facts[wr_detour_index(&k->detour, in->file)];

    *ret = !in->sure && !fact->doubted;
    if (!*ret)
        return WR_OK;
    fact->doubted = true;
    return in->bytes ? differs(k, c, in, ret, e) : WR_OK;
}

/* Do without a file that is bad from now on, unless it may be well. */
static enum wr_status convict(struct wr_chain *k, struct wr_call *c, const struct wr_input *in,
    struct wr_draft *draft, enum wr_status why, struct wr_err *e)
{
    bool well = false;
    enum wr_status st = WR_OK;

    if (why == WR_CORRUPT && in->file_checksum) /* no page of it is to be taken for right */
        wr_draft_forget(draft, wr_draft_identity(in));
    if (why == WR_CORRUPT)
        st = may_be_well(k, c, in, &well, e);
    if (st != WR_OK || well) {
        k->n_doubts += well;
        return st;
    }
    k->detour.facts[wr_detour_index(&k->detour, in->file)].aside = true;
    k->n_bad++;
    return WR_OK;
}

/* Remember what its inputs say of a chain that came to nothing. */
static enum wr_status look_back(struct wr_chain *k, struct wr_call *c, const struct wr_inputs *x,
    struct wr_draft *draft, enum wr_status st, struct wr_err *e)
{
    struct wr_err own = {0};
    enum wr_status ready = wr_chain_survey(k, &own);

    if (ready != WR_OK) {
        *e = own;
        return ready;
    }
    wr_detour_learn(&k->detour, x);
    k->detour.unread += st == WR_IO;
    for (size_t i = 0; i < x->n && ready == WR_OK; i++) {
        if (x->in[i].bad)
            ready = convict(k, c, &x->in[i], draft, st, &own);
    }
    if (ready != WR_OK) {
        *e = own;
        return ready;
    }
    /* Page sizes that differ, or a page that is missing, may be a bit of a header. */
    if (st == WR_CORRUPT && k->n_bad + k->n_doubts == 0 && !k->opened && !k->reopened) {
        k->reopened = true;
        k->n_doubts++;
    }
    if (k->n_bad > 1 && st == WR_CORRUPT)
        wr_wrap(e, st, "%zu files are damaged, one of them", k->n_bad);
    if (k->n_bad == 0 && k->misfit[0])
        wr_wrap(e, st, "%s", k->misfit);
    return st;
}

enum wr_status wr_chain_try(struct wr_chain *k, struct wr_call *c, struct wr_err *e)
{
    struct wr_inputs x = {0};
    struct wr_draft draft = {0};
    struct wr_image_report report = {0};
    uint64_t before = k->r->fetched;
    enum wr_status st;

    k->attempts++;
    k->unproven = false;
    k->n_bad = k->n_doubts = 0;
    st = open_inputs(k, c, &x, e);
    k->opened = st == WR_OK;
    k->suspect = x.suspect;
    if (st == WR_OK)
        st = wr_draft_open(&draft, k->file, k->map, &x, e);
    if (st == WR_OK) {
        st = wr_image_write(k->storage, c, &x, k->opts, &draft, &report, e);
        for (size_t i = 0; i < x.n; i++)
            k->unproven = k->unproven || !x.in[i].whole;
    }
    if (st == WR_CORRUPT || (st == WR_IO && !draft.failed && k->detour.unread < WR_UNREAD_MAX))
        st = look_back(k, c, &x, &draft, st, e);
    k->r->commit = x.commit;
    k->r->page_size = x.page_size;
    k->r->verified = x.has_rolling;
    k->r->rolling = x.has_rolling ? x.rolling_post : 0;
    k->r->time_ms = x.n ? x.in[x.n - 1].header.time_ms : 0;
    /* What this run has fetched for another chain was not left by an earlier one. */
    k->r->resumed = report.resumed - wr_min(report.resumed, before);
    k->r->fetched += report.fetched;
    k->r->unmapped = draft.unmapped;
    k->r->disk_failed = draft.failed;
    wr_draft_release(&draft);
    wr_inputs_release(&x);
    k->last = st;
    return st;
}
