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
#include "engine/chain.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/mem.h"
#include "engine/detour.h"
#include "engine/draft.h"
#include "engine/image.h"
#include "engine/inputs.h"
#include "engine/restore.h"
#include "ltx/ltx.h"
#include "storage/storage.h"

#define LABEL_MAX (WR_LTX_NAME_MAX + 16)
#define WHY_MAX   (2 * LABEL_MAX + 100)

/* Chains that are read and come to nothing though no file is known to be damaged; headers are not
 * enough to tell these apart. Those that show one to be end by themselves. */
#define BLIND_MAX 20

/* Routes that lead where another one did before this is believed to be all. */
#define SUSPECT_MAX 100

struct chain {
    struct wr_storage *storage;
    const struct wr_restore_opts *opts;
    const struct wr_ltx_files *all;
    struct wr_ltx_files *plan;
    struct wr_file *file, *map;
    struct wr_chain_report *r;
    struct wr_detour detour; /* empty before something is wrong */
    unsigned attempts, blind;
    bool lenient;                 /* names may lie, if that is forgivable */
    struct wr_ltx_files misnamed; /* the first chain in which one did so */
    bool looked;                  /* whether the plan by names fits */
    bool limited;                 /* there might be another chain */
    bool whole;                   /* prove every file */
    bool opened;                  /* the last attempt got to its pages */
    bool unproven;                /* the last attempt got to its pages, not all of whose files
                                     it proved */
    uint64_t tried[BLIND_MAX];    /* chains that came to nothing, by a checksum of their files */
    size_t n_tried;
    enum wr_status last;               /* what came of the last attempt */
    size_t n_bad;                      /* files that the last attempt showed to be damaged */
    size_t n_doubts;                   /* and what may be well in the next one */
    bool reopened;                     /* headers that agreed to nothing were read twice */
    const struct wr_ltx_file *suspect; /* of the last attempt, in `plan` */
    char misfit[WHY_MAX];              /* of the plan by names, if it is gone on with */
};

/* "level 0 file 0000000000000001-000000000000002a.ltx" */
static const char *name_of(char out[LABEL_MAX], const struct wr_ltx_file *f)
{
    char name[WR_LTX_NAME_MAX];

    wr_ltx_name_format(name, f->min, f->max);
    (void)snprintf(out, LABEL_MAX, "level %u file %s", f->level, name); /* it fits */
    return out;
}

static enum wr_status survey(struct chain *k, struct wr_err *e)
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

static bool was_tried(const struct chain *k, const struct wr_ltx_files *files)
{
    uint64_t sum = sum_of(files);

    for (size_t i = 0; i < k->n_tried; i++) {
        if (k->tried[i] == sum)
            return true;
    }
    return false;
}

/* All of these took part in something that came to nothing. */
static void suspect(struct chain *k, const struct wr_ltx_files *files)
{
    for (size_t i = 0; i < files->n; i++)
        k->detour.facts[wr_detour_index(&k->detour, &files->p[i])].suspicion++;
}

/* Take the best chain that is known now, unless it was tried. NOTFOUND: there is none. With
 * `suspecting` one that was is a reason to look for a chain that has less in common with it. */
static enum wr_status turn(struct chain *k, struct wr_call *c, const char *what, const char *why,
    bool suspecting, struct wr_err *e)
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
    struct chain *k, struct wr_call *c, const struct wr_inputs *x, size_t i, struct wr_err *e)
{
    char before[LABEL_MAX], after[LABEL_MAX], *why = k->misfit;
    enum wr_status st = survey(k, e);

    if (st != WR_OK)
        return st;
    wr_detour_learn(&k->detour, x);
    (void)snprintf(why, WHY_MAX, "%s does not continue %s: its checksum of the database differs",
        name_of(after, x->in[i].file), name_of(before, x->in[i - 1].file));
    st = turn(k, c,
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
static enum wr_status check_names(struct chain *k, struct wr_inputs *x, struct wr_err *e)
{
    struct wr_input *first = NULL;
    char label[LABEL_MAX];
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
    struct chain *k, struct wr_call *c, struct wr_inputs *x, struct wr_err *e)
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
    struct chain *k, struct wr_call *c, const struct wr_input *in, bool *ret, struct wr_err *e)
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
    struct chain *k, struct wr_call *c, const struct wr_input *in, bool *ret, struct wr_err *e)
{
    struct wr_fact *fact = &k->detour.facts[wr_detour_index(&k->detour, in->file)];

    *ret = !in->sure && !fact->doubted;
    if (!*ret)
        return WR_OK;
    fact->doubted = true;
    return in->bytes ? differs(k, c, in, ret, e) : WR_OK;
}

/* Do without a file that is bad from now on, unless it may be well. */
static enum wr_status convict(struct chain *k, struct wr_call *c, const struct wr_input *in,
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
static enum wr_status look_back(struct chain *k, struct wr_call *c, const struct wr_inputs *x,
    struct wr_draft *draft, enum wr_status st, struct wr_err *e)
{
    struct wr_err own = {0};
    enum wr_status ready = survey(k, &own);

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

/* Fetch what k->plan makes. After CORRUPT k says what is known of the cause. */
static enum wr_status attempt(struct chain *k, struct wr_call *c, struct wr_err *e)
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

/* Those were set aside. */
static enum wr_status without_damaged(
    struct chain *k, struct wr_call *c, const char *why, struct wr_err *e)
{
    if (k->last == WR_IO)
        return turn(k, c,
            "a file of the replica cannot be read; restoring by way of others, which lead to the "
            "same transaction",
            why, false, e);
    return turn(k, c,
        "a file of the replica is damaged; restoring by way of others, which lead to the same "
        "transaction",
        why, false, e);
}

/* The join behind file `i` of the plan. */
static struct wr_join join_at(const struct chain *k, size_t i, enum wr_fit *ret)
{
    const struct wr_detour *d = &k->detour;
    const struct wr_join j = {
        wr_detour_index(d, &k->plan->p[i]), wr_detour_index(d, &k->plan->p[i + 1])};

    *ret = wr_fit(
        &d->files.p[j.before], &d->facts[j.before], &d->files.p[j.after], &d->facts[j.after]);
    return j;
}

/* How well the plan's files belong together, by all that is known of them. */
static enum wr_fit fit_of(const struct chain *k)
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
    struct chain *k, struct wr_call *c, const char *what, const char *why, struct wr_err *e)
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
        st = turn(k, c, what, why, false, e);
        if (st != WR_NOTFOUND)
            return st;
        d->n_bans--;
        tries++;
    }
    return wr_fail(e, WR_NOTFOUND, "no other files");
}

/* The plan's files do not make the database, and none is known to be damaged. */
static enum wr_status do_not_add_up(
    struct chain *k, struct wr_call *c, const char *why, struct wr_err *e)
{
    static const char what[] = "files of the replica do not add up to the database; restoring by "
                               "way of others, which lead to the same transaction";
    enum wr_fit fit = fit_of(k);
    enum wr_status st = WR_NOTFOUND;

    if (!was_tried(k, k->plan))
        k->tried[k->n_tried++] = sum_of(k->plan);
    if (fit != WR_FIT_YES)
        st = turn(k, c, what, why, false, e);
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
        st = turn(k, c, what, why, true, e);
    return st;
}

/* After an attempt that failed with `why`: set out for another. NOTFOUND: there is none. */
static enum wr_status try_another(
    struct chain *k, struct wr_call *c, const char *why, struct wr_err *e)
{
    enum wr_status st = survey(k, e);

    if (st != WR_OK)
        return st;
    if (k->n_bad > 0)
        return without_damaged(k, c, why, e);
    k->limited = ++k->blind >= BLIND_MAX;
    return k->limited ? wr_fail(e, WR_NOTFOUND, "too many chains were tried")
                      : do_not_add_up(k, c, why, e);
}

/* The first failure, and what can still be done. */
static enum wr_status give_up(
    struct chain *k, struct wr_call *c, const struct wr_err *first, struct wr_err *e)
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
    struct chain *k, struct wr_call *c, struct wr_err *first, struct wr_err *last)
{
    enum wr_status st = attempt(k, c, last);

    while (st == WR_CORRUPT || (st == WR_IO && k->n_bad > 0)) {
        struct wr_err why = *last;

        if (k->n_doubts > 0 && k->n_bad == 0) {
            wr_log(c->log, WR_INFO, "files of the replica seem to be damaged; reading them again",
                WR_F_STR("replica", wr_storage_name(k->storage)), WR_F_Z("reason", why.text));
            st = attempt(k, c, last);
            continue;
        }
        if (first->code != WR_IO && (first->code == WR_OK || st == WR_IO))
            *first = why;
        st = try_another(k, c, why.text, last);
        if (st != WR_OK)
            break;
        st = attempt(k, c, last);
    }
    return st;
}

/* Nothing leads there but files with names that are not theirs, and may be used all the same.
 * NOTFOUND: not these either, and what there is to tell is what it was without them. */
static enum wr_status find_misnamed(
    struct chain *k, struct wr_call *c, const char *why, struct wr_err *last)
{
    struct chain lenient = {.storage = k->storage,
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
    struct chain k = {
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
