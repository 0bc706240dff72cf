/*
 * follow_apply.c - see follow_apply.h.
 *
 * All is well, and what a crash after each step leaves:
 *
 *   1. RESERVED; the change counter says that the copy is at *pos     the old state
 *   2. pages that will change go to the journal, and are summed up:   the old state; the journal
 *      the new image must have the checksum that the replica records    has no header
 *   3. the journal is synced; our own record says where we go to      the old state
 *   4. the journal gets its header, and is synced                     the old state, after a
 *   5. EXCLUSIVE; pages are written, the size is set, all is synced     rollback by whoever comes
 *   6. the journal is emptied                                         either
 *   7. the locks go; the journal is synced; <path>-txid follows       the new state
 *
 * Our record precedes the new state, and knows the old one: the change counter in the copy, which
 * is part of the state, tells which of the two it is.
 */
#include "engine/follow_apply.h"

#include "base/file.h"
#include "base/mem.h"
#include "engine/follow_state.h"
#include "ltx/ltx.h"
#include "sqlite/patch.h"

struct applying {
    struct wr_patch *patch;
    struct wr_call *call;
    const char *path;
    const struct wr_follow_pos *was;
    const struct wr_follow_change *x;
    uint32_t old_lock;                /* the lock page */
    uint8_t old_header[WR_DB_HEADER]; /* as the copy has it */
    uint8_t *page;                    /* of either size */
    uint64_t sum;                     /* XOR of the checksums of old pages that go */
    struct wr_follow_pos next;
    uint8_t new_header[WR_DB_HEADER]; /* as the copy will have it */
};

void wr_follow_change_release(struct wr_follow_change *c)
{
    if (!c)
        return;
    wr_file_close(c->pages);
    wr_free(c->pgno);
    *c = (struct wr_follow_change){0};
}

static uint64_t bare(uint64_t checksum)
{
    return checksum & ~WR_LTX_CHECKSUM_EMPTY;
}

static bool is_at(const struct wr_follow_pos *pos, const uint8_t *header, uint64_t bytes)
{
    return pos->page_size && wr_follow_counter(header) == pos->counter &&
           bytes == (uint64_t)pos->pages * pos->page_size;
}

/* Take RESERVED and read the header. */
static enum wr_status begin(struct wr_patch *p, const struct wr_follow_state *s,
    uint8_t header[WR_DB_HEADER], uint64_t *ret_bytes, struct wr_err *e)
{
    enum wr_status st = wr_patch_begin(p, ret_bytes, e);

    if (st == WR_OK)
        st = wr_patch_read(p, header, WR_DB_HEADER, 0, e);
    return st == WR_OK ? WR_OK : wr_wrap(e, st, "%s", s->path);
}

static enum wr_status changed(const struct wr_follow_state *s, struct wr_err *e)
{
    return wr_fail(e, WR_CONFLICT,
        "%s: something else has written to it since, so that it is no copy any more", s->path);
}

enum wr_status wr_follow_find(struct wr_patch *p, const struct wr_follow_state *s,
    struct wr_follow_pos *ret_pos, struct wr_err *e)
{
    uint8_t header[WR_DB_HEADER];
    uint64_t bytes = 0;
    enum wr_status st = begin(p, s, header, &bytes, e);

    if (st == WR_OK && is_at(&s->now, header, bytes))
        *ret_pos = s->now;
    else if (st == WR_OK && is_at(&s->was, header, bytes))
        *ret_pos = s->was;
    else if (st == WR_OK)
        st = changed(s, e);
    wr_patch_end(p);
    return st;
}

/* Page `pgno` of the copy, as it is. */
static enum wr_status read_old(struct applying *a, uint32_t pgno, struct wr_err *e)
{
    uint32_t n = a->was->page_size;

    return wr_patch_read(a->patch, a->page, n, (uint64_t)(pgno - 1) * n, e);
}

/* Page `pgno` of the new state. Without page 1 among those that differ it is the one that is there.
 */
static enum wr_status read_new(struct applying *a, uint32_t pgno, struct wr_err *e)
{
    const struct wr_follow_change *x = a->x;
    enum wr_status st;

    if (pgno == 1 && (x->n == 0 || x->pgno[0] != 1)) {
        st = read_old(a, 1, e);
        if (st == WR_OK)
            memcpy(a->page, a->was->header, WR_DB_HEADER);
        return st;
    }
    return wr_file_pread_all(
        x->pages, a->page, x->page_size, (uint64_t)(pgno - 1) * x->page_size, "new pages", e);
}

static enum wr_status keep(struct applying *a, uint32_t pgno, bool goes, struct wr_err *e)
{
    enum wr_status st;

    if (pgno == a->old_lock)
        return WR_OK;
    st = read_old(a, pgno, e);
    if (st == WR_OK)
        st = wr_patch_keep(a->patch, pgno, a->page, e);
    if (st == WR_OK && goes) {
        if (pgno == 1)
            memcpy(a->page, a->was->header, WR_DB_HEADER);
        a->sum ^= bare(wr_ltx_page_checksum(pgno, a->page, a->was->page_size));
    }
    return st;
}

/* How many of the old pages stay where they are, unless they differ. */
static uint32_t pages_in_common(const struct applying *a)
{
    uint64_t bytes = (uint64_t)a->x->commit * a->x->page_size;

    return (uint32_t)wr_min((uint64_t)a->was->pages, bytes / a->was->page_size);
}

/* Step 2. */
static enum wr_status keep_all(struct applying *a, struct wr_err *e)
{
    const struct wr_follow_change *x = a->x;
    bool same = x->page_size == a->was->page_size;
    uint32_t common = same ? pages_in_common(a) : 0;
    bool has_first = x->n > 0 && x->pgno[0] == 1;
    enum wr_status st = wr_patch_journal(a->patch, a->was->page_size, a->was->pages, e);

    if (st == WR_OK && same && !has_first)
        st = keep(a, 1, false, e);
    for (size_t i = 0; st == WR_OK && i < x->n && x->pgno[i] <= common; i++) {
        st = wr_call_check(a->call, "follow", e);
        if (st == WR_OK)
            st = keep(a, x->pgno[i], true, e);
    }
    for (uint64_t pgno = (uint64_t)common + 1; st == WR_OK && pgno <= a->was->pages; pgno++)
        st = keep(a, (uint32_t)pgno, true, e);
    return st;
}

/* Whether the image will be the one that the replica describes. */
static enum wr_status prove(const struct applying *a, struct wr_err *e)
{
    const struct wr_follow_change *x = a->x;
    uint64_t rolling = (a->was->rolling ^ a->sum ^ bare(x->sum)) | WR_LTX_CHECKSUM_EMPTY;

    if (x->anew || !a->was->rolling || !x->rolling || rolling == x->rolling)
        return WR_OK;
    return wr_fail(e, WR_CORRUPT,
        "%s: it is damaged, or the replica's next files are of another history: with transaction "
        "%016llx its checksum would be %016llx and not %016llx",
        a->path, (unsigned long long)x->txid, (unsigned long long)rolling,
        (unsigned long long)x->rolling);
}

/* Where it goes, in all detail. */
static enum wr_status aim(struct applying *a, struct wr_err *e)
{
    const struct wr_follow_change *x = a->x;
    uint32_t cookie = wr_follow_cookie(a->old_header);
    uint32_t counter = 0;
    enum wr_status st = wr_follow_next_counter(wr_follow_counter(a->old_header), &counter, e);

    if (st == WR_OK)
        st = read_new(a, 1, e);
    if (st != WR_OK)
        return st;
    a->next = (struct wr_follow_pos){.txid = x->txid,
        .time_ms = x->time_ms,
        .rolling = x->rolling,
        .page_size = x->page_size,
        .pages = x->commit,
        .counter = counter,
        .part = x->part,
        .base = x->base,
        .fed = x->fed};
    memcpy(a->next.header, a->page, WR_DB_HEADER);
    memcpy(a->new_header, a->page, WR_DB_HEADER);
    /* Of another history the cookie may be the same for another schema. */
    cookie += x->anew ? 1 : wr_follow_cookie(a->next.header) - wr_follow_cookie(a->was->header);
    wr_follow_dress(a->new_header, x->commit, counter, cookie);
    return WR_OK;
}

static enum wr_status write_one(struct applying *a, uint32_t pgno, struct wr_err *e)
{
    uint32_t n = a->x->page_size;
    enum wr_status st = read_new(a, pgno, e);

    if (st != WR_OK)
        return st;
    if (pgno == 1)
        memcpy(a->page, a->new_header, WR_DB_HEADER);
    return wr_patch_write(a->patch, a->page, n, (uint64_t)(pgno - 1) * n, e);
}

/* Steps 5 and 6, without the lock. Whoever is canceled here would only have to begin again. */
static enum wr_status write_all(struct applying *a, struct wr_err *e)
{
    const struct wr_follow_change *x = a->x;
    enum wr_status st = write_one(a, 1, e);

    for (size_t i = 0; st == WR_OK && i < x->n; i++) {
        if (x->pgno[i] != 1)
            st = write_one(a, x->pgno[i], e);
    }
    return st == WR_OK ? wr_patch_commit(a->patch, (uint64_t)x->commit * x->page_size, e) : st;
}

static enum wr_status apply(struct applying *a, struct wr_follow_state *s, int64_t patience_ms,
    bool *ret_readers, bool *ret_clean, struct wr_err *e)
{
    uint64_t bytes = 0;
    enum wr_status st = begin(a->patch, s, a->old_header, &bytes, e);

    if (st == WR_OK && !is_at(a->was, a->old_header, bytes))
        st = changed(s, e);
    if (st == WR_OK)
        st = keep_all(a, e);
    if (st == WR_OK)
        st = prove(a, e);
    if (st == WR_OK)
        st = aim(a, e);
    if (st == WR_OK)
        st = wr_patch_sync(a->patch, e);
    if (st == WR_OK)
        st = wr_follow_state_put(s, a->was, &a->next, e);
    if (st == WR_OK)
        st = wr_patch_arm(a->patch, e);
    if (st == WR_OK) {
        st = wr_patch_lock(a->patch, a->call, patience_ms, e);
        *ret_readers = st == WR_BUSY;
    }
    if (st == WR_OK) {
        *ret_clean = false;
        st = write_all(a, e);
        *ret_clean = st == WR_OK;
    }
    return st;
}

enum wr_status wr_follow_apply(struct wr_patch *p, struct wr_call *c, struct wr_follow_state *s,
    struct wr_follow_pos *pos, const struct wr_follow_change *x, uint32_t lock_offset,
    int64_t patience_ms, bool *ret_readers, bool *ret_clean, struct wr_err *e)
{
    struct applying a = {.patch = p,
        .call = c,
        .path = s->path,
        .was = pos,
        .x = x,
        .old_lock = wr_ltx_lock_pgno(pos->page_size, lock_offset),
        .page = wr_alloc(wr_max(pos->page_size, x->page_size))};
    enum wr_status st;

    assert(x->commit > 0 && (x->anew || x->page_size == pos->page_size));
    *ret_readers = false;
    *ret_clean = true;
    if (!a.page)
        return wr_fail(e, WR_NOMEM, "page buffer: out of memory");
    st = apply(&a, s, patience_ms, ret_readers, ret_clean, e);
    wr_patch_end(p);
    if (st == WR_OK)
        *pos = a.next;
    wr_free(a.page);
    return st;
}
