/*
 * verify_live.c - the last step of a verification that is asked for it: whether the newest state is
 * the database.
 *
 * The database is read while it is written to, so it is ahead of what was verified by then. What
 * comes next is waited for and verified, until the state that was read is met (live.h). A state
 * that is not met is no proof of anything bad: a page that was changed and changed back between two
 * looks of the engine's is in no file. So a few states are tried.
 */
#include "engine/verify_int.h"

#include "base/mem.h"
#include "sqlite/reading.h"

#define STATES  4
#define WAIT_MS 60000
#define LATE_MS \
    5000 /* a file that was made so long after the state was read has it, or it is lost */
#define POLL_MS   250
#define POLL_MAX  4000
#define RUN_BYTES ((size_t)1 << 20)

static enum wr_status sum_pages(struct wr_verify_run *v, struct wr_reading *r,
    const struct wr_reading_info *info, struct wr_sums *out, struct wr_err *e)
{
    uint32_t lock = wr_ltx_lock_pgno(info->page_size, v->sums.lock_offset);
    uint32_t run = (uint32_t)(RUN_BYTES / info->page_size);
    uint8_t *buf = wr_array(run, info->page_size);
    enum wr_status st = WR_OK;

    out->sum = wr_array(info->commit, sizeof(*out->sum));
    if (!buf || !out->sum)
        st = wr_fail(e, WR_NOMEM, "checksums of %u pages: out of memory", info->commit);
    for (uint32_t first = 1, n; st == WR_OK && first <= info->commit; first += n) {
        n = wr_min(run, info->commit - first + 1);
        st = wr_call_check(&v->call, "read the database", e);
        if (st == WR_OK)
            st = wr_reading_pages(r, first, n, buf, e);
        for (uint32_t i = 0; st == WR_OK && i < n; i++)
            out->sum[first + i - 1] = first + i == lock
                                          ? 0
                                          : wr_ltx_page_checksum(first + i,
                                                buf + (size_t)i * info->page_size, info->page_size);
    }
    wr_free(buf);
    return st;
}

/* Read the database as it is now. */
static enum wr_status read_state(struct wr_verify_run *v, struct wr_live *x, struct wr_err *e)
{
    struct wr_reading_info info = {0};
    struct wr_reading *r = NULL;
    enum wr_status st = wr_reading_begin(v->opts->db_path, &r, &info, e);

    if (st != WR_OK)
        return st;
    x->sums.page_size = info.page_size;
    x->sums.commit = x->sums.extent = info.commit;
    st = sum_pages(v, r, &info, &x->sums, e);
    wr_reading_end(r);
    return st;
}

/* Whether a failure to read the database is one of the database's. What comes of it must not be
 * taken for what it would mean of the replica: that there is none, or that it is damaged. */
static bool is_blind(struct wr_verify_run *v, enum wr_status st, const struct wr_err *why)
{
    if (st == WR_OK || st == WR_NOMEM || st == WR_CANCELED || st == WR_TIMEOUT)
        return false;
    (void)wr_fail(&v->blind, WR_UNSUPPORTED, "compare with the database: %s", why->text);
    return true;
}

/* Walk on over what comes, until the state is met or there is no use in that. *ret_late: there are
 * later ones. */
static enum wr_status follow(
    struct wr_verify_run *v, struct wr_live *x, int64_t read_ms, bool *ret_late, struct wr_err *e)
{
    int64_t wait_ms = v->opts->db_wait_ms ? v->opts->db_wait_ms : WAIT_MS;
    int64_t end_ms = wr_mono_ms(v->call.clock) + wait_ms, nap_ms = POLL_MS;
    enum wr_status st = WR_OK;

    *ret_late = false;
    wr_live_compare(x, &v->sums, NULL, v->walk.cur);
    while (st == WR_OK && !x->met && !*ret_late && wr_mono_ms(v->call.clock) < end_ms) {
        st = wr_call_sleep(&v->call, nap_ms, e);
        nap_ms = wr_min(nap_ms * 2, POLL_MAX);
        v->listings = 1; /* these do not count as files that vanish */
        if (st == WR_OK)
            st = wr_verify_list(v, e);
        v->live = x;
        if (st == WR_OK)
            st = wr_verify_walk(v, e);
        v->live = NULL;
        *ret_late = v->r->last_ms > read_ms + LATE_MS;
    }
    return st;
}

static void tell_live(struct wr_verify_run *v, const struct wr_live *x, bool late)
{
    char text[500];

    (void)snprintf(text, sizeof(text),
        "the database itself has %u page%s, page %u the first, that %s not so at txid %016llx%s",
        x->differ, x->differ == 1 ? "" : "s", x->page, x->differ == 1 ? "is" : "are",
        (unsigned long long)x->txid,
        late ? " nor at any before: changed behind weir's back, or missed. Replicate it to another "
               "URL, to which all is sent anew"
             : ", the newest, and nothing came after it: either that is yet to be sent (see `weir "
               "status`), or it was changed behind weir's back"); /* it fits */
    wr_verify_tell(v, &(struct wr_finding){
                          .kind = WR_FINDING_LIVE, .min = x->txid, .max = x->txid, .text = text});
}

/* Compare some states of it with what is in the replica. */
static enum wr_status compare(
    struct wr_verify_run *v, struct wr_live *x, bool *ret_late, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    *ret_late = true;
    for (unsigned i = 0; st == WR_OK && !x->met && *ret_late && i < STATES; i++) {
        int64_t read_ms = wr_wall_ms(v->call.clock);
        struct wr_err why = {0};

        wr_live_release(x);
        st = read_state(v, x, &why);
        if (is_blind(v, st, &why))
            return WR_OK;
        if (st != WR_OK)
            return wr_fail(e, st, "%s", why.text);
        st = follow(v, x, read_ms, ret_late, e);
    }
    return st;
}

enum wr_status wr_verify_live(struct wr_verify_run *v, struct wr_err *e)
{
    struct wr_live x = {0};
    bool late;
    enum wr_status st = compare(v, &x, &late, e);

    if (st == WR_OK && v->blind.code == WR_OK && !x.met)
        tell_live(v, &x, late);
    if (st == WR_OK && x.met) {
        v->r->live_txid = x.txid;
        v->r->live_pages = x.same;
        v->r->live_changing = x.changing;
    }
    wr_live_release(&x);
    return st;
}
