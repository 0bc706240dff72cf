/*
 * ledger.c - see ledger.h. Knows checksums and their proof; refuses to know pages' contents.
 */
#include "engine/ledger.h"

#include "base/buf.h"
#include "base/bytes.h"
#include "base/crc64.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "engine/journal.h"
#include "engine/remote.h"
#include "engine/squeeze.h"
#include "ltx/ltx.h"

#define HEAD          4096
#define GROW_BYTES    ((uint64_t)8 << 10) /* the file grows in such steps */
#define JOURNAL_BYTES ((uint64_t)16 << 20)
#define COPIES        3u /* of the header */
#define COPY_EVERY    ((size_t)1024)
#define AT_CHECKSUM   80 /* in a copy */
#define AT_FILE       88 /* and what is known of the database file */
#define AT_FILE_SUM   128
#define AT_STRAYS     136 /* wr_ledger_strays */
#define AT_STRAYS_SUM 152
#define AT_GIVEN      160 /* the run of the machine in which TXIDs were given away */
#define AT_GIVEN_SUM  168

struct wr_ledger {
    struct wr_file *file;
    uint8_t *map;
    size_t map_bytes;
    uint32_t page_size, lock_pgno;
    struct wr_ledger_state now;
    struct wr_pos closed; /* the header's; those of notes are in the journal, with their pages */
    struct wr_journal *journal;
    struct wr_pageset pending;
    uint64_t journal_max; /* bytes of journal above which it is squeezed */
    struct wr_stands stands;
    uint32_t notes; /* since the last closed TXID, those that could not be written included */
    uint64_t floor;
    struct wr_ledger_point strays;
    uint64_t run;   /* this one of the machine; 0: not known */
    uint64_t given; /* the one in which TXIDs were closed; 0: none, or all of them are known */
    uint64_t given_synced; /* the same as a power cut leaves it, at least */
    bool distrust, loaded;
    uint64_t stores;         /* of the header, ever */
    unsigned newest, synced; /* copies of the header; the latter is on disk, in any case */
};

static const char ledger_magic[8] = {'w', 'e', 'i', 'r', 'l', 'd', 'g', '3'};

static uint64_t *entries(const struct wr_ledger *l)
{
    return (uint64_t *)(void *)(l->map + HEAD);
}

static uint64_t capacity(const struct wr_ledger *l) /* pages that fit the mapping */
{
    return (l->map_bytes - HEAD) / 8;
}

static uint8_t *copy_at(const struct wr_ledger *l, unsigned i)
{
    return l->map + i * COPY_EVERY;
}

/* Neither the newest copy, which is all there is when we are killed, nor the one that is on disk.
 */
static uint8_t *spare_copy(struct wr_ledger *l)
{
    unsigned i = 0;

    while (i == l->newest || i == l->synced)
        i++;
    assert(i < COPIES);
    l->newest = i;
    return copy_at(l, i);
}

/* *crc: of the copy up to here; and then to what follows. */
static void file_write(const struct wr_ledger *l, uint8_t *p, uint64_t *crc)
{
    wr_put_le64(p + AT_FILE, l->now.file.ino);
    wr_put_le64(p + AT_FILE + 8, l->now.file.size);
    wr_put_le64(p + AT_FILE + 16, (uint64_t)l->now.file.mtime_ns);
    wr_put_le64(p + AT_FILE + 24, (uint64_t)l->now.file.change_ns);
    wr_put_le64(p + AT_FILE + 32, l->now.rest);
    *crc = wr_crc64(*crc, p + AT_CHECKSUM, AT_FILE_SUM - AT_CHECKSUM);
    wr_put_le64(p + AT_FILE_SUM, *crc);
}

static void file_read(struct wr_ledger *l, const uint8_t *p)
{
    if (wr_le64(p + AT_FILE_SUM) != wr_crc64(0, p, AT_FILE_SUM))
        return;
    l->now.file.ino = wr_le64(p + AT_FILE);
    l->now.file.size = wr_le64(p + AT_FILE + 8);
    l->now.file.mtime_ns = (int64_t)wr_le64(p + AT_FILE + 16);
    l->now.file.change_ns = (int64_t)wr_le64(p + AT_FILE + 24);
    l->now.rest = wr_le64(p + AT_FILE + 32);
}

/* Where a version that knew none of this wrote last, nothing is known: then of any TXID so far. */
static void strays_read(struct wr_ledger *l, const uint8_t *p)
{
    l->strays = (struct wr_ledger_point){l->now.txid, l->now.rolling};
    if (wr_le64(p + AT_STRAYS_SUM) == wr_crc64(0, p, AT_STRAYS_SUM))
        l->strays = (struct wr_ledger_point){wr_le64(p + AT_STRAYS), wr_le64(p + AT_STRAYS + 8)};
}

/* Where it is torn, or a version that knew none of this wrote last, it was in another one. */
static void given_read(struct wr_ledger *l, const uint8_t *p)
{
    bool right = wr_le64(p + AT_GIVEN_SUM) == wr_crc64(0, p, AT_GIVEN_SUM);

    l->given = l->given_synced = right ? wr_le64(p + AT_GIVEN) : ~l->run;
}

static void header_write(struct wr_ledger *l)
{
    uint8_t *p = spare_copy(l);
    uint64_t crc;

    l->stores++;
    memcpy(p, ledger_magic, 8);
    wr_put_le32(p + 8, l->page_size);
    wr_put_le32(p + 12, l->now.commit);
    wr_put_le64(p + 16, l->now.txid);
    wr_put_le64(p + 24, l->now.rolling);
    memcpy(p + 32, l->closed.salt, 8);
    wr_put_le32(p + 40, l->closed.frame);
    wr_put_le32(p + 44, l->closed.cksum[0]);
    wr_put_le32(p + 48, l->closed.cksum[1]);
    wr_put_le32(p + 52, l->lock_pgno);
    wr_put_le64(p + 56, l->floor);
    wr_put_le64(p + 64, l->distrust);
    wr_put_le64(p + 72, l->stores);
    crc = wr_crc64(0, p, AT_CHECKSUM);
    wr_put_le64(p + AT_CHECKSUM, crc);
    file_write(l, p, &crc);
    wr_put_le64(p + AT_STRAYS, l->strays.txid);
    wr_put_le64(p + AT_STRAYS + 8, l->strays.rolling);
    crc = wr_crc64(crc, p + AT_FILE_SUM, AT_STRAYS_SUM - AT_FILE_SUM);
    wr_put_le64(p + AT_STRAYS_SUM, crc);
    wr_put_le64(p + AT_GIVEN, l->given);
    crc = wr_crc64(crc, p + AT_STRAYS_SUM, AT_GIVEN_SUM - AT_STRAYS_SUM);
    wr_put_le64(p + AT_GIVEN_SUM, crc);
}

static bool is_whole(const uint8_t *p)
{
    return memcmp(p, ledger_magic, 8) == 0 &&
           wr_le64(p + AT_CHECKSUM) == wr_crc64(0, p, AT_CHECKSUM) &&
           wr_le64(p + 16) < WR_TXID_SANE && wr_le64(p + 56) < WR_TXID_SANE &&
           wr_le64(p + 72) < WR_TXID_SANE;
}

/* Find the newest copy. TXIDs that any of them knows were taken, whatever else is wrong. */
static void copies_read(struct wr_ledger *l)
{
    for (unsigned i = 0; i < COPIES; i++) {
        const uint8_t *p = copy_at(l, i);

        if (!is_whole(p))
            continue;
        l->floor = wr_max(l->floor, wr_max(wr_le64(p + 16), wr_le64(p + 56)));
        if (wr_le64(p + 72) > l->stores) {
            l->stores = wr_le64(p + 72);
            l->newest = l->synced = i; /* what was there was synced as the file was opened */
        }
    }
}

/* False when it is not a ledger of this database's shape. */
static bool header_read(struct wr_ledger *l)
{
    const uint8_t *p = copy_at(l, l->newest);

    if (l->stores == 0 || wr_le32(p + 8) != l->page_size || wr_le32(p + 52) != l->lock_pgno)
        return false;
    l->now.commit = wr_le32(p + 12);
    l->now.txid = wr_le64(p + 16);
    l->now.rolling = wr_le64(p + 24);
    memcpy(l->closed.salt, p + 32, 8);
    l->closed.frame = wr_le32(p + 40);
    l->closed.cksum[0] = wr_le32(p + 44);
    l->closed.cksum[1] = wr_le32(p + 48);
    l->now.pos = l->closed;
    l->distrust = wr_le64(p + 64) != 0;
    file_read(l, p);
    strays_read(l, p);
    given_read(l, p);
    return l->now.txid != 0 && l->now.commit <= capacity(l);
}

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

/* Make room for `commit` pages, and map it. Existing entries stay. */
static enum wr_status reserve(struct wr_ledger *l, uint32_t commit, struct wr_err *e)
{
    uint64_t want = HEAD + (uint64_t)commit * 8;
    struct wr_file_info info;
    void *map = NULL;
    enum wr_status st;

    want = (want + want / 4 + GROW_BYTES - 1) / GROW_BYTES * GROW_BYTES;
    if (l->map && (uint64_t)commit <= capacity(l))
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

static uint64_t xor_of(const struct wr_ledger *l, uint32_t commit)
{
    uint64_t x = 0;

    for (uint32_t i = 0; i < commit; i++)
        x ^= entries(l)[i];
    return x | WR_LTX_CHECKSUM_EMPTY;
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

        if (pgno >= 1 && pgno <= capacity(l))
            entries(l)[pgno - 1] = wr_le64(p + 4);
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
    for (uint64_t i = l->now.commit; i < capacity(l); i++) {
        if (entries(l)[i] != 0) /* an untouched page of the file stays clean */
            entries(l)[i] = 0;
    }
}

/* Load what is there and prove it; an unproven ledger becomes an empty one. */
static enum wr_status load(struct wr_ledger *l, struct wr_err *e)
{
    struct replay rp = {.l = l};
    enum wr_status st;

    copies_read(l);
    if (!header_read(l))
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
        if (xor_of(l, l->now.commit) != l->now.rolling)
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
    l->journal_max = JOURNAL_BYTES;
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
        st = reserve(l, 1, e);
    if (st == WR_OK)
        st = wr_journal_open(fs, dir, &l->journal, e);
    if (st == WR_OK) /* always: whoever made the files may have died before he came to it */
        st = fs->sync_dir(fs, dir, e);
    if (st == WR_OK)
        st = load(l, e);
    l->loaded = st == WR_OK;
    if (st != WR_OK) {
        wr_ledger_close(l);
        return wr_wrap(e, st, "open the ledger in %s", dir);
    }
    *ret = l;
    return WR_OK;
}

/* Its header is read into `head`, HEAD bytes. False: it is not a ledger of this shape. */
static bool peek_header(struct wr_ledger *l, uint8_t *head)
{
    struct wr_file_info info = {0};
    size_t got = 0;

    if (wr_file_info(l->file, &info, NULL) != WR_OK || info.size < HEAD ||
        wr_file_pread(l->file, head, HEAD, 0, &got, NULL) != WR_OK || got < HEAD)
        return false;
    l->map = head;
    l->map_bytes = (size_t)wr_min(info.size, (uint64_t)SIZE_MAX);
    copies_read(l);
    return header_read(l);
}

uint64_t *wr_ledger_peek(
    const struct wr_fs *fs, const char *dir, uint32_t page_size, uint32_t lock_pgno, uint32_t n)
{
    struct wr_ledger l = {.page_size = page_size, .lock_pgno = lock_pgno};
    uint64_t *sums = wr_array(n, sizeof(*sums)), known;
    uint8_t *head = wr_alloc(HEAD);
    bool good = sums && head;
    struct wr_buf path;
    size_t got;

    wr_buf_init(&path, 4096);
    wr_buf_fmt(&path, "%s/ledger", dir);
    good = good && wr_buf_status(&path) == WR_OK &&
           wr_file_open_temp(fs, (const char *)path.p, WR_FILE_READ, &l.file, NULL) == WR_OK &&
           peek_header(&l, head);
    known = good ? wr_min(l.now.commit, n) : 0;
    good = good && wr_file_pread(l.file, sums, (size_t)known * 8, HEAD, &got, NULL) == WR_OK &&
           got == known * 8;
    wr_buf_release(&path);
    wr_file_close(l.file);
    wr_free(head);
    if (good)
        return sums;
    wr_free(sums);
    return NULL;
}

/* TXIDs were given away in a run of the machine that ended without our knowing. */
static bool may_lack(const struct wr_ledger *l)
{
    return l->given != 0 && l->run != 0 && l->given != l->run;
}

void wr_ledger_close(struct wr_ledger *l)
{
    if (!l)
        return;
    if (l->loaded && l->given != 0 && !may_lack(l)) {
        l->given = 0; /* in the same copy as the last one of them: where that is lost, so is this */
        header_write(l);
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
    return pgno >= 1 && pgno <= l->now.commit ? entries(l)[pgno - 1] : 0;
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
    l->journal_max = wr_max(JOURNAL_BYTES, wr_journal_bytes(l->journal) * 4);
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
        st = reserve(l, commit, e);
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
        entries(l)[changes[i].pgno - 1] = changes[i].now;
    for (uint32_t pgno = commit + 1; pgno <= l->now.commit; pgno++)
        entries(l)[pgno - 1] = 0;
    l->now = (struct wr_ledger_state){
        .txid = txid, .rolling = rolling, .commit = commit, .pos = *pos, .file = l->now.file};
    l->closed = *pos;
    l->notes = 0;
    l->distrust = false;
    l->given = l->run;
    header_write(l);
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
        if (WR_MUTANT(NOTED_IN_HEADER))
            l->closed = *pos;
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
    header_write(l);
}

void wr_ledger_mark(struct wr_ledger *l, const struct wr_file_mark *file)
{
    if (wr_file_mark_equal(&l->now.file, file))
        return;
    l->now.file = *file;
    l->now.rest = 0;
    header_write(l);
}

void wr_ledger_rest(
    struct wr_ledger *l, const struct wr_file_mark *file, const struct wr_pos *pos, uint64_t run)
{
    assert(l->now.txid > 0);
    l->now.file = *file;
    l->closed = l->now.pos = *pos;
    l->now.rest = run;
    l->distrust = false;
    header_write(l);
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
    header_write(l);
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
    return may_lack(l) ? wr_max(l->floor, l->now.txid + 1) : l->floor;
}

bool wr_ledger_given(const struct wr_ledger *l)
{
    return l->given_synced == l->run;
}

enum wr_status wr_ledger_fill_begin(struct wr_ledger *l, uint32_t commit, struct wr_err *e)
{
    enum wr_status st = wr_ledger_reset(l, e);

    if (st == WR_OK)
        st = reserve(l, commit, e);
    if (st == WR_OK) {
        memset(entries(l), 0, (size_t)capacity(l) * 8);
        l->now.commit = commit;
    }
    return st;
}

void wr_ledger_fill(struct wr_ledger *l, uint32_t pgno, uint64_t checksum)
{
    assert(l->now.txid == 0 && pgno >= 1 && pgno <= l->now.commit);
    entries(l)[pgno - 1] = checksum;
}

uint64_t wr_ledger_fill_rolling(const struct wr_ledger *l)
{
    return xor_of(l, l->now.commit);
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
    l->now.rolling = xor_of(l, l->now.commit);
    l->strays = (struct wr_ledger_point){l->now.txid, l->now.rolling};
    l->closed = l->now.pos = *pos;
    l->distrust = false;
    if (!may_lack(l)) /* else it lacks as much as before */
        l->given = l->run;
    header_write(l);
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
    header_write(l);
    st = wr_file_sync(l->file, e);
    if (st == WR_OK) {
        l->synced = l->newest;
        l->given_synced = l->given;
    }
    return st;
}

enum wr_status wr_ledger_reset(struct wr_ledger *l, struct wr_err *e)
{
    l->floor = wr_max(l->floor, l->now.txid);
    l->now = (struct wr_ledger_state){.rolling = WR_LTX_CHECKSUM_EMPTY};
    l->closed = (struct wr_pos){0};
    l->distrust = false;
    header_write(l);
    l->notes = 0;
    wr_pageset_clear(&l->pending);
    return l->journal ? wr_journal_clear(l->journal, e) : WR_OK;
}
