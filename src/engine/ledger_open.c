/*
 * ledger_open.c - what is there of a ledger is proven, or it is empty. Knows the file, and what the
 * journal says about the moment the process died.
 */
#include "engine/ledger_int.h"

#include "base/buf.h"
#include "base/bytes.h"
#include "base/mem.h"

#define GROW_BYTES ((uint64_t)8 << 10) /* the file grows in such steps */

/* Write zeros instead of making a hole: storing to a mapped hole of a full disk is a SIGBUS. */
static enum wr_status extend(struct wr_ledger *l, uint64_t from, uint64_t to, struct wr_err *e)
{
    static const uint8_t zeros[8192];
    enum wr_status st = WR_OK;

    while (from < to && st == WR_OK) {
        size_t n = (size_t)wr_min(to - from, (uint64_t)sizeof(zeros));

        st = wr_file_pwrite(l->file, zeros, n, from, e);
        from += n;
    }
    return st;
}

enum wr_status wr_ledger_reserve(struct wr_ledger *l, uint32_t commit, struct wr_err *e)
{
    uint64_t want = WR_LEDGER_HEAD + (uint64_t)commit * 8;
    struct wr_file_info info;
    void *map = NULL;
    enum wr_status st;

    want = (want + want / 4 + GROW_BYTES - 1) / GROW_BYTES * GROW_BYTES;
    if (l->map && (uint64_t)commit <= wr_ledger_capacity(l))
        return WR_OK;
    st = wr_file_info(l->file, &info, e);
    if (st == WR_OK && info.size < want)
        st = extend(l, info.size, want, e);
    else if (st == WR_OK)
        want = info.size;
    if (st == WR_OK)
        st = l->file->fs->map(l->file, (size_t)want, &map, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "grow the ledger");
    if (l->map)
        l->file->fs->unmap(l->file, l->map, l->map_bytes);
    l->map = map;
    l->map_bytes = (size_t)want;
    return WR_OK;
}

/* What the journal says about the moment the process died. After a power cut it may also say what
 * the ledger, as the disk has it, never came to know. */
struct replay {
    struct wr_ledger *l;
    struct wr_journal_rec close; /* the last one that the header does not know */
    struct wr_buf undo;          /* its entries */
    bool ends_with_close;        /* no record follows that one */
    struct wr_pos noted;
    bool has_noted;
};

static enum wr_status replay_close(
    struct replay *rp, const struct wr_journal_rec *r, struct wr_bytes b, struct wr_err *e)
{
    struct wr_ledger *l = rp->l;

    if (r->txid > l->now.txid) { /* it did not get through */
        rp->close = *r;
        rp->ends_with_close = true;
        wr_buf_clear(&rp->undo);
        wr_buf_put(&rp->undo, b.p, b.n);
        return wr_buf_status(&rp->undo) == WR_OK ? WR_OK : wr_fail(e, WR_NOMEM, "read the journal");
    }
    wr_pageset_clear(&l->pending); /* closed: no longer pending */
    l->notes = 0;
    rp->has_noted = false; /* the header's position counts */
    return WR_OK;
}

static enum wr_status replay_one(
    void *arg, const struct wr_journal_rec *r, struct wr_bytes b, struct wr_err *e)
{
    struct replay *rp = arg;
    struct wr_ledger *l = rp->l;

    rp->ends_with_close = false;
    if (r->kind == WR_JOURNAL_CLOSE)
        return replay_close(rp, r, b, e);
    if (r->txid != l->now.txid || r->rolling != l->now.rolling)
        return WR_OK;
    /* The first note of a TXID stands alone; another one counts only if none is missing before it,
     * for its position covers the pages of all of them. */
    if (r->commit_before == 1)
        wr_pageset_clear(&l->pending);
    else if (r->commit_before != l->notes + 1)
        return WR_OK;
    wr_journal_pages(r, b, &l->pending);
    l->notes = r->commit_before;
    rp->noted = r->pos;
    rp->has_noted = true;
    return WR_OK;
}

/* Whether the process died between the journal's last record, a close, and the header. */
static bool half_closed(const struct wr_ledger *l, const struct replay *rp)
{
    return rp->ends_with_close && rp->close.txid_before == l->now.txid &&
           rp->close.rolling_before == l->now.rolling && rp->close.commit_before == l->now.commit;
}

/* Take a half-made close back: old checksums, its record away, its pages pending again. */
static enum wr_status undo_close(struct wr_ledger *l, const struct replay *rp, struct wr_err *e)
{
    enum wr_status st;

    for (uint32_t i = 0; i < rp->close.n; i++) {
        const uint8_t *p = rp->undo.p + (size_t)i * 12;
        uint32_t pgno = wr_le32(p);

        if (pgno >= 1 && pgno <= wr_ledger_capacity(l))
            wr_ledger_entries(l)[pgno - 1] = wr_le64(p + 4);
    }
    wr_journal_pages(&rp->close, wr_buf_bytes(&rp->undo), &l->pending);
    st = wr_journal_drop_last(l->journal, &rp->close, e);
    l->notes = 0; /* the note that follows stands for all before it */
    return st == WR_OK ? wr_ledger_note(l, &l->pending, &l->now.pos, e) : st;
}

/* The proof ends at the last page. What a lost state left behind it must not become the checksum of
 * a page that a later TXID adds without a write. */
static void clear_behind(struct wr_ledger *l)
{
    for (uint64_t i = l->now.commit; i < wr_ledger_capacity(l); i++) {
        if (wr_ledger_entries(l)[i] != 0) /* an untouched page of the file stays clean */
            wr_ledger_entries(l)[i] = 0;
    }
}

/* Load what is there and prove it; an unproven ledger becomes an empty one. */
static enum wr_status load(struct wr_ledger *l, struct wr_err *e)
{
    struct replay rp = {.l = l};
    enum wr_status st;

    wr_ledger_copies_read(l);
    if (!wr_ledger_header_read(l))
        return wr_ledger_reset(l, e);
    wr_buf_init(&rp.undo, (size_t)WR_JOURNAL_ENTRIES_MAX * 12);
    st = wr_journal_each(l->journal, replay_one, &rp, e);
    if (st == WR_OK && rp.has_noted)
        l->now.pos = rp.noted;
    if (l->distrust)
        l->now.pos = (struct wr_pos){0};
    if (st == WR_OK && half_closed(l, &rp))
        st = undo_close(l, &rp, e);
    if (st == WR_OK) {
        if (wr_ledger_xor(l, l->now.commit) != l->now.rolling)
            st = wr_ledger_reset(l, e);
        else
            clear_behind(l);
    }
    wr_buf_release(&rp.undo);
    return st;
}

/* A copy may have holes. Write every byte of it back as it is: then this is what needs room,
 * instead of a store to the mapping. */
static enum wr_status fill_holes(struct wr_file *f, struct wr_err *e)
{
    struct wr_file_info is = {0};
    uint8_t piece[8192];
    size_t got = sizeof(piece);
    enum wr_status st = wr_file_info(f, &is, e);

    if (st != WR_OK || is.allocated >= is.size)
        return st;
    for (uint64_t off = 0; st == WR_OK && got == sizeof(piece); off += got) {
        st = wr_file_pread(f, piece, sizeof(piece), off, &got, e);
        if (st == WR_OK)
            st = wr_file_pwrite(f, piece, got, off, e);
    }
    return st;
}

enum wr_status wr_ledger_open(const struct wr_fs *fs, const char *dir, uint32_t page_size,
    uint32_t lock_pgno, uint64_t run, struct wr_ledger **ret, struct wr_err *e)
{
    struct wr_ledger *l = wr_alloc(sizeof(*l));
    struct wr_buf path;
    enum wr_status st;

    if (!l)
        return wr_fail(e, WR_NOMEM, "open the ledger");
    l->journal_max = WR_LEDGER_JOURNAL;
    l->page_size = page_size;
    l->lock_pgno = lock_pgno;
    l->run = run;
    wr_pageset_init(&l->pending);
    wr_buf_init(&path, 4096);
    wr_buf_fmt(&path, "%s/ledger", dir);
    st = wr_buf_status(&path);
    if (st == WR_OK) {
        st = wr_file_open(fs, (const char *)path.p, WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE,
            0600, &l->file, e);
    }
    wr_buf_release(&path);
    if (st == WR_OK)
        st = fs->lock(l->file, e);
    if (st == WR_OK)
        st = wr_file_sync(l->file, e);
    if (st == WR_OK)
        st = fill_holes(l->file, e);
    if (st == WR_OK)
        st = wr_ledger_reserve(l, 1, e);
    if (st == WR_OK)
        st = wr_journal_open(fs, dir, &l->journal, e);
    if (st == WR_OK) /* always: whoever made the files may have died before he came to it */
        st = fs->sync_dir(fs, dir, e);
    if (st == WR_OK)
        st = load(l, e);
    l->loaded = st == WR_OK;
    l->synced_txid = l->now.txid;
    if (st != WR_OK) {
        wr_ledger_close(l);
        return wr_wrap(e, st, "open the ledger in %s", dir);
    }
    *ret = l;
    return WR_OK;
}

/* l->file is opened, which the caller closes, and its header read into `head`, WR_LEDGER_HEAD
 * bytes. False: there is none. */
static bool peek_header(struct wr_ledger *l, const struct wr_fs *fs, const char *dir, uint8_t *head)
{
    struct wr_file_info info = {0};
    struct wr_buf path;
    size_t got = 0;
    bool good;

    wr_buf_init(&path, 4096);
    wr_buf_fmt(&path, "%s/ledger", dir);
    good = wr_buf_status(&path) == WR_OK &&
           wr_file_open_temp(fs, (const char *)path.p, WR_FILE_READ, &l->file, NULL) == WR_OK;
    wr_buf_release(&path);
    if (!good || wr_file_info(l->file, &info, NULL) != WR_OK || info.size < WR_LEDGER_HEAD ||
        wr_file_pread(l->file, head, WR_LEDGER_HEAD, 0, &got, NULL) != WR_OK ||
        got < WR_LEDGER_HEAD)
        return false;
    l->map = head;
    l->map_bytes = (size_t)wr_min(info.size, (uint64_t)SIZE_MAX);
    wr_ledger_copies_read(l);
    return true;
}

uint64_t wr_ledger_peek_txid(const struct wr_fs *fs, const char *dir)
{
    uint8_t *head = wr_alloc(WR_LEDGER_HEAD);
    struct wr_ledger l = {0};
    uint64_t txid = head && peek_header(&l, fs, dir, head) ? wr_ledger_header_txid(&l) : 0;

    wr_file_close(l.file);
    wr_free(head);
    return txid;
}

uint64_t *wr_ledger_peek(
    const struct wr_fs *fs, const char *dir, uint32_t page_size, uint32_t lock_pgno, uint32_t n)
{
    struct wr_ledger l = {.page_size = page_size, .lock_pgno = lock_pgno};
    uint64_t *sums = wr_array(n, sizeof(*sums)), known;
    uint8_t *head = wr_alloc(WR_LEDGER_HEAD);
    bool good = sums && head && peek_header(&l, fs, dir, head) && wr_ledger_header_read(&l);
    size_t got;

    known = good ? wr_min(l.now.commit, n) : 0;
    good = good &&
           wr_file_pread(l.file, sums, (size_t)known * 8, WR_LEDGER_HEAD, &got, NULL) == WR_OK &&
           got == known * 8;
    wr_file_close(l.file);
    wr_free(head);
    if (good)
        return sums;
    wr_free(sums);
    return NULL;
}
