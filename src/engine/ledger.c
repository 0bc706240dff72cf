/*
 * ledger.c - see ledger.h. Knows checksums and their proof; refuses to know pages' contents.
 */
#include "engine/ledger_int.h"

#include "base/buf.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "engine/remote.h"

/* TXIDs were given away in a run of the machine that ended without our knowing; so it is when
 * nobody can say which one this is. */
static bool may_lack(const struct wr_ledger *l)
{
    return l->given != 0 && l->given != l->run;
}

void wr_ledger_close(struct wr_ledger *l)
{
    if (!l)
        return;
    if (l->loaded && l->given != 0 && !may_lack(l)) {
        l->given = 0; /* in the same copy as the last one of them: where that is lost, so is this */
        wr_ledger_header_write(l);
    }
    if (l->map)
        l->file->fs->unmap(l->file, l->map, l->map_bytes);
    wr_file_close(l->file);
    wr_journal_close(l->journal);
    wr_pageset_release(&l->pending);
    wr_free(l);
}

struct wr_ledger_state wr_ledger_state(const struct wr_ledger *l)
{
    return l->now;
}

uint64_t wr_ledger_page(const struct wr_ledger *l, uint32_t pgno)
{
    return pgno >= 1 && pgno <= l->now.commit ? wr_ledger_entries(l)[pgno - 1] : 0;
}

uint64_t wr_ledger_rolling_after(
    const struct wr_ledger *l, const struct wr_ledger_change *changes, size_t n, uint32_t commit)
{
    uint64_t x = l->now.rolling;
    size_t i = 0;

    while (i < n) {
        x = wr_ltx_rolling(x, wr_ledger_page(l, changes[i].pgno), changes[i].now);
        i++;
    }
    for (uint32_t pgno = commit + 1; pgno <= l->now.commit; pgno++)
        x = wr_ltx_rolling(x, wr_ledger_page(l, pgno), 0);
    return x;
}

/* The old checksums of all that is about to change, as the entries of a close. */
static void undo_entries(const struct wr_ledger *l, const struct wr_ledger_change *changes,
    size_t n, uint32_t commit, struct wr_buf *out)
{
    uint8_t entry[12];

    for (size_t i = 0; i < n; i++) {
        wr_put_le32(entry, changes[i].pgno);
        wr_put_le64(entry + 4, wr_ledger_page(l, changes[i].pgno));
        wr_buf_put(out, entry, sizeof(entry));
    }
    for (uint32_t pgno = commit + 1; pgno <= l->now.commit; pgno++) {
        wr_put_le32(entry, pgno);
        wr_put_le64(entry + 4, wr_ledger_page(l, pgno));
        wr_buf_put(out, entry, sizeof(entry));
    }
}

/* Keep the journal of a long outage short. A failure costs history, not truth: carry on. Called
 * after a record was written, not before: on a full disk nothing is, so what is known stays known.
 */
static void bound_journal(struct wr_ledger *l)
{
    const struct wr_journal_rec now = {
        .txid = l->now.txid, .rolling = l->now.rolling, .commit = l->now.commit, .pos = l->now.pos};

    if (wr_journal_bytes(l->journal) <= l->journal_max)
        return;
    if (wr_journal_squeeze(l->journal, &now, &l->stands, &l->notes, NULL) != WR_OK)
        l->notes++; /* one may be lost: later ones do not count */
    l->journal_max = wr_max(WR_LEDGER_JOURNAL, wr_journal_bytes(l->journal) * 4);
}

static uint64_t entries_of_close(const struct wr_ledger *l, size_t n, uint32_t commit)
{
    return n + (l->now.commit > commit ? l->now.commit - commit : 0);
}

bool wr_ledger_can_close(const struct wr_ledger *l, size_t n, uint32_t commit)
{
    return entries_of_close(l, n, commit) <= WR_JOURNAL_ENTRIES_MAX;
}

/* What no replica would be believed to have is not given away. */
static enum wr_status check_txid(uint64_t txid, struct wr_err *e)
{
    if (txid < WR_TXID_SANE)
        return WR_OK;
    return wr_fail(e, WR_CORRUPT, "no txid is left, the next one were %016llx: begin a new replica",
        (unsigned long long)txid);
}

enum wr_status wr_ledger_close_txid(struct wr_ledger *l, uint64_t txid,
    const struct wr_ledger_change *changes, size_t n, uint32_t commit, const struct wr_pos *pos,
    struct wr_err *e)
{
    uint64_t rolling = wr_ledger_rolling_after(l, changes, n, commit);
    struct wr_buf undo;
    struct wr_journal_rec rec = {.kind = WR_JOURNAL_CLOSE,
        .txid_before = l->now.txid,
        .txid = txid,
        .rolling_before = l->now.rolling,
        .rolling = rolling,
        .pos = *pos,
        .commit_before = l->now.commit,
        .commit = commit};
    enum wr_status st;

    assert(txid > l->now.txid && l->now.txid > 0 && wr_ledger_can_close(l, n, commit));
    st = check_txid(txid, e);
    if (st == WR_OK)
        st = wr_ledger_reserve(l, commit, e);
    if (st != WR_OK)
        return st;
    wr_buf_init(&undo, (size_t)WR_JOURNAL_ENTRIES_MAX * 12);
    undo_entries(l, changes, n, commit, &undo);
    rec.n = (uint32_t)entries_of_close(l, n, commit);
    st = wr_buf_status(&undo);
    if (st == WR_OK)
        st = wr_journal_append(l->journal, &rec, wr_buf_bytes(&undo), e);
    wr_buf_release(&undo);
    if (st != WR_OK)
        return st;

    for (size_t i = 0; i < n; i++)
        wr_ledger_entries(l)[changes[i].pgno - 1] = changes[i].now;
    for (uint32_t pgno = commit + 1; pgno <= l->now.commit; pgno++)
        wr_ledger_entries(l)[pgno - 1] = 0;
    l->now = (struct wr_ledger_state){
        .txid = txid, .rolling = rolling, .commit = commit, .pos = *pos, .file = l->now.file};
    l->closed = *pos;
    l->notes = 0;
    l->distrust = false;
    l->given = l->run;
    wr_ledger_header_write(l);
    wr_pageset_clear(&l->pending);
    bound_journal(l);
    return WR_OK;
}

enum wr_status wr_ledger_note(
    struct wr_ledger *l, const struct wr_pageset *pages, const struct wr_pos *pos, struct wr_err *e)
{
    struct wr_journal_rec rec = {.kind = WR_JOURNAL_CAPTURE,
        .txid_before = l->now.txid,
        .txid = l->now.txid,
        .rolling_before = l->now.rolling,
        .rolling = l->now.rolling,
        .pos = *pos,
        .commit = l->now.commit};
    struct wr_buf b;
    enum wr_status st;

    if (l->now.txid == 0)
        return WR_OK; /* an empty ledger promises nothing */
    rec.commit_before = l->notes + 1;
    /* Counted before it is known to be written: a note that is missing makes those after it void,
     * and the position stays where the pages are known. */
    l->notes++;
    if (pages->all)
        return WR_OK;
    wr_buf_init(&b, WR_PAGESET_MAX * 4);
    for (size_t i = 0; i < pages->map.cap; i++) {
        uint8_t entry[4];

        if (pages->map.keys[i] != 0) {
            wr_put_le32(entry, pages->map.keys[i]);
            wr_buf_put(&b, entry, sizeof(entry));
            rec.n++;
        }
    }
    st = wr_buf_status(&b);
    if (st == WR_OK)
        st = wr_journal_append(l->journal, &rec, wr_buf_bytes(&b), e);
    wr_buf_release(&b);
    if (st == WR_OK) {
        l->now.pos = *pos;
        if (WR_MUTANT(NOTED_IN_HEADER)) {
            l->closed = *pos;
            wr_ledger_header_write(l);
        }
        bound_journal(l);
    }
    return st;
}

void wr_ledger_distrust(struct wr_ledger *l)
{
    l->closed = l->now.pos = (struct wr_pos){0};
    l->now.file = (struct wr_file_mark){0};
    l->now.rest = 0;
    l->distrust = true;
    wr_ledger_header_write(l);
}

void wr_ledger_mark(struct wr_ledger *l, const struct wr_file_mark *file)
{
    if (wr_file_mark_equal(&l->now.file, file))
        return;
    l->now.file = *file;
    l->now.rest = 0;
    wr_ledger_header_write(l);
}

void wr_ledger_rest(
    struct wr_ledger *l, const struct wr_file_mark *file, const struct wr_pos *pos, uint64_t run)
{
    assert(l->now.txid > 0);
    l->now.file = *file;
    l->closed = l->now.pos = *pos;
    l->now.rest = run;
    l->distrust = false;
    wr_ledger_header_write(l);
}

struct since {
    uint64_t txid, rolling; /* where the next close must start; then where it led */
    bool found;
    struct wr_pageset pages;
};

static enum wr_status since_one(
    void *arg, const struct wr_journal_rec *r, struct wr_bytes b, struct wr_err *e)
{
    struct since *s = arg;

    (void)e;
    if (r->kind == WR_JOURNAL_CLOSE && r->txid_before == s->txid &&
        r->rolling_before == s->rolling) {
        wr_journal_pages(r, b, &s->pages);
        s->txid = r->txid;
        s->rolling = r->rolling;
    }
    return WR_OK;
}

enum wr_status wr_ledger_since(struct wr_ledger *l, uint64_t txid, uint64_t rolling,
    struct wr_pageset *out, bool *ret_known, struct wr_err *e)
{
    struct since s = {.txid = txid, .rolling = rolling};
    enum wr_status st = WR_OK;

    *ret_known = false;
    if (l->now.txid == 0 || txid > l->now.txid)
        return WR_OK;
    wr_pageset_init(&s.pages);
    if (txid < l->now.txid)
        st = wr_journal_each(l->journal, since_one, &s, e);
    if (st == WR_OK &&
        ((s.txid == l->now.txid && s.rolling == l->now.rolling) || WR_MUTANT(FORK_IGNORED))) {
        *ret_known = true;
        wr_pageset_add_set(out, &s.pages);
    }
    wr_pageset_release(&s.pages);
    return st;
}

void wr_ledger_over_strays(struct wr_ledger *l)
{
    l->strays = (struct wr_ledger_point){l->now.txid, l->now.rolling};
    wr_ledger_header_write(l);
}

struct wr_ledger_point wr_ledger_strays(const struct wr_ledger *l)
{
    return l->strays;
}

uint64_t wr_ledger_history(const struct wr_ledger *l)
{
    return wr_journal_bytes(l->journal);
}

const struct wr_pageset *wr_ledger_pending(const struct wr_ledger *l)
{
    return &l->pending;
}

enum wr_status wr_ledger_ack(struct wr_ledger *l, uint64_t txid, struct wr_err *e)
{
    return wr_journal_trim(l->journal, txid, e);
}

bool wr_ledger_wants_stands(const struct wr_ledger *l)
{
    return wr_journal_bytes(l->journal) > l->journal_max / 2;
}

void wr_ledger_stands(struct wr_ledger *l, const struct wr_stands *stands)
{
    l->stands = *stands;
}

uint64_t wr_ledger_floor(const struct wr_ledger *l)
{
    return may_lack(l) && !WR_MUTANT(CUT_GIVES_AGAIN) ? wr_max(l->floor, l->now.txid + 1)
                                                      : l->floor;
}

bool wr_ledger_given(const struct wr_ledger *l)
{
    return l->given_synced == l->run && l->now.txid - l->synced_txid < WR_LEDGER_UNSYNCED;
}

enum wr_status wr_ledger_fill_begin(struct wr_ledger *l, uint32_t commit, struct wr_err *e)
{
    enum wr_status st = wr_ledger_reset(l, e);

    if (st == WR_OK)
        st = wr_ledger_reserve(l, commit, e);
    if (st == WR_OK) {
        memset(wr_ledger_entries(l), 0, (size_t)wr_ledger_capacity(l) * 8);
        l->now.commit = commit;
    }
    return st;
}

void wr_ledger_fill(struct wr_ledger *l, uint32_t pgno, uint64_t checksum)
{
    assert(l->now.txid == 0 && pgno >= 1 && pgno <= l->now.commit);
    wr_ledger_entries(l)[pgno - 1] = checksum;
}

uint64_t wr_ledger_fill_rolling(const struct wr_ledger *l)
{
    return wr_ledger_xor(l, l->now.commit);
}

enum wr_status wr_ledger_fill_end(
    struct wr_ledger *l, uint64_t txid, const struct wr_pos *pos, struct wr_err *e)
{
    enum wr_status st = check_txid(txid, e);

    if (st == WR_OK)
        st = wr_journal_clear(l->journal, e);
    if (st != WR_OK)
        return st;
    l->now.txid = txid;
    l->now.rolling = wr_ledger_xor(l, l->now.commit);
    l->strays = (struct wr_ledger_point){l->now.txid, l->now.rolling};
    l->closed = l->now.pos = *pos;
    l->distrust = false;
    if (!may_lack(l)) /* else it lacks as much as before */
        l->given = l->run;
    wr_ledger_header_write(l);
    return WR_OK;
}

void wr_ledger_idle(const struct wr_ledger *l)
{
    if (l->map && l->file->fs->map_idle)
        l->file->fs->map_idle(l->file, l->map, l->map_bytes);
}

enum wr_status wr_ledger_sync(struct wr_ledger *l, struct wr_err *e)
{
    enum wr_status st;

    /* If an earlier sync failed, the kernel takes the pages for clean: only what is stored anew is
     * written. The checksums that were lost then are proven by nothing, and the TXID counts. */
    wr_ledger_header_write(l);
    st = wr_file_sync(l->file, e);
    if (st == WR_OK) {
        l->synced = l->newest;
        l->given_synced = l->given;
        l->synced_txid = l->now.txid;
    }
    return st;
}

enum wr_status wr_ledger_reset(struct wr_ledger *l, struct wr_err *e)
{
    l->floor = wr_max(l->floor, l->now.txid);
    l->now = (struct wr_ledger_state){.rolling = WR_LTX_CHECKSUM_EMPTY};
    l->closed = (struct wr_pos){0};
    l->distrust = false;
    wr_ledger_header_write(l);
    l->notes = 0;
    wr_pageset_clear(&l->pending);
    return l->journal ? wr_journal_clear(l->journal, e) : WR_OK;
}
