/*
 * local.c - see local.h.
 *
 * A reader takes no lock: it looks what is there, reads, and looks again. What it read may have
 * been written over meanwhile, but not without the page's word (since) having been 0 in between, or
 * another one now: a page is dropped, written, and only then said to be there; and the same word
 * again, within an epoch, is the same page.
 */
#include "vfs/local.h"

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"
#include "vfs/local_int.h"
#include "vfs/pagemap.h"

#define CHECK_BYTES ((size_t)4 << 20) /* of pages, at once */

#define BLOCK WR_LOCAL_BLOCK
#define FAN   WR_LOCAL_FAN

/* ---- words ---- */

struct wr_local_block *wr_local_find_block(const struct wr_local *l, uint32_t number)
{
    const struct wr_local_fan *f = atomic_load(&l->fan[number / FAN]);

    return f ? atomic_load(&f->block[number % FAN]) : NULL;
}

uint64_t wr_local_since(const struct wr_local *l, uint32_t pgno)
{
    struct wr_local_block *b = wr_local_find_block(l, (pgno - 1) / BLOCK);

    return b ? atomic_load(&b->since[(pgno - 1) % BLOCK]) : 0;
}

/* Another thread may make the same one. */
static struct wr_local_block *need_block(struct wr_local *l, uint32_t number)
{
    struct wr_local_fan *f = atomic_load(&l->fan[number / FAN]), *no_fan = NULL;
    struct wr_local_block *b, *none = NULL;

    if (!f) {
        f = wr_alloc(sizeof(*f));
        if (f && !atomic_compare_exchange_strong(&l->fan[number / FAN], &no_fan, f)) {
            wr_free(f);
            f = no_fan;
        }
    }
    b = f ? atomic_load(&f->block[number % FAN]) : NULL;
    if (f && !b) {
        b = wr_alloc(sizeof(*b));
        if (b && !atomic_compare_exchange_strong(&f->block[number % FAN], &none, b)) {
            wr_free(b);
            b = none;
        }
    }
    return b;
}

static void set_since(struct wr_local_block *b, uint32_t pgno, uint64_t since)
{
    if (!atomic_exchange(&b->since[(pgno - 1) % BLOCK], since))
        (void)atomic_fetch_add(&b->n, 1);
}

void wr_local_forget(struct wr_local *l, uint32_t pgno)
{
    struct wr_local_block *b = wr_local_find_block(l, (pgno - 1) / BLOCK);

    if (b && atomic_exchange(&b->since[(pgno - 1) % BLOCK], 0))
        (void)atomic_fetch_sub(&b->n, 1);
}

static void forget_all(struct wr_local *l)
{
    for (uint32_t i = 0; i < FAN * FAN; i++) {
        struct wr_local_block *b;

        if (!atomic_load(&l->fan[i / FAN])) {
            i |= FAN - 1;
            continue;
        }
        b = wr_local_find_block(l, i);
        for (uint32_t k = 0; b && atomic_load(&b->n) > 0 && k < BLOCK; k++)
            wr_local_forget(l, i * BLOCK + k + 1);
    }
}

uint32_t wr_local_lacks(const struct wr_local *l, uint32_t from, uint32_t to)
{
    uint64_t pgno = from;

    while (pgno <= to) {
        const struct wr_local_block *b = wr_local_find_block(l, (uint32_t)((pgno - 1) / BLOCK));

        if (!b || !atomic_load(&b->since[(pgno - 1) % BLOCK]))
            return (uint32_t)pgno;
        if ((pgno - 1) % BLOCK == 0 && atomic_load(&b->n) == BLOCK)
            pgno += BLOCK;
        else
            pgno++;
    }
    return 0;
}

uint64_t wr_local_count(const struct wr_local *l, uint32_t to)
{
    uint64_t n = 0;
    uint32_t whole = to / BLOCK;

    for (uint32_t i = 0; i < whole; i++) {
        const struct wr_local_block *b = wr_local_find_block(l, i);

        n += b ? atomic_load(&b->n) : 0;
    }
    for (uint32_t pgno = whole * BLOCK + 1; pgno != 0 && pgno <= to; pgno++)
        n += wr_local_since(l, pgno) != 0;
    return n;
}

/* ---- reading ---- */

static uint64_t offset(uint32_t pgno, uint32_t page_size)
{
    return (uint64_t)(pgno - 1) * page_size;
}

/* 0: no. */
static uint64_t serves(
    const struct wr_local *l, const struct wr_pagemap_about *about, uint32_t pgno, uint64_t max)
{
    uint64_t base, since;

    if (about->apart || atomic_load(&l->epoch) != about->epoch ||
        about->txid < atomic_load(&l->least))
        return 0;
    base = atomic_load(&l->txid); /* before the word: what changed until then has been dropped */
    since = wr_local_since(l, pgno);
    return since <= about->txid && max <= wr_max(since, base) ? since : 0;
}

bool wr_local_has(
    const struct wr_local *l, const struct wr_pagemap_about *about, uint32_t pgno, uint64_t max)
{
    return serves(l, about, pgno, max) != 0;
}

static bool copy(struct wr_local *l, uint64_t at, void *buf, size_t n)
{
    const struct wr_local_mapping *m = atomic_load(&l->mapping);
    size_t got = 0;

    if (m && at + n <= m->size) {
        memcpy(buf, m->p + at, n);
        return true;
    }
    return wr_file_pread(l->file, buf, n, at, &got, NULL) == WR_OK && got == n;
}

bool wr_local_read(struct wr_local *l, const struct wr_pagemap_about *about, uint32_t pgno,
    uint64_t max, size_t off, void *buf, size_t n)
{
    uint64_t since = serves(l, about, pgno, max);

    if (!since || !copy(l, offset(pgno, about->page_size) + off, buf, n))
        return false;
    return wr_local_since(l, pgno) == since && atomic_load(&l->epoch) == about->epoch &&
           about->txid >= atomic_load(&l->least);
}

/* ---- what an earlier process left ---- */

bool wr_local_has_past(const struct wr_local *l)
{
    return l->head.number != 0 && l->head.replica == l->replica;
}

enum wr_status wr_local_resume(struct wr_local *l, const struct wr_pagemap *m,
    const struct wr_ltx_files *files, struct wr_err *e)
{
    struct wr_file_info data;
    uint64_t until = 0;
    enum wr_status st;

    assert(wr_local_has_past(l));
    st = wr_local_head_fits(&l->head, m, files, &until, e);
    if (st == WR_OK)
        st = l->file->fs->info(l->file, &data, e);
    if (st != WR_OK)
        return st;
    l->page_size = l->head.page_size;
    l->next = 1;
    l->last = (uint32_t)wr_min(data.size / l->page_size, (uint64_t)UINT32_MAX - 1);
    l->has_rolling = l->head.has_rolling && until == l->head.txid;
    l->rolling = l->head.rolling;
    l->begun = wr_pagemap_about(m)->epoch;
    atomic_store(&l->txid, until);
    atomic_store(&l->epoch, l->begun);
    return WR_OK;
}

/* A record that does not count must not do so later, when the base has moved beyond it. That is
 * also one from after the base, which was put when a process had gone on from it and said nothing
 * more: nothing shows that what it went on to is of this replica. */
static enum wr_status check_page(struct wr_local *l, struct wr_local_drops *drops, uint32_t pgno,
    const uint8_t record[WR_LOCAL_RECORD], const uint8_t *page, struct wr_err *e)
{
    uint64_t since = wr_local_record_since(record, l->head.salt, pgno, page, l->page_size);
    struct wr_local_block *b;

    if (!since || since > atomic_load(&l->txid))
        return wr_be64(record) ? wr_local_drop(drops, pgno, e) : WR_OK;
    b = need_block(l, (pgno - 1) / BLOCK);
    if (!b)
        return wr_fail(e, WR_NOMEM, "local copy: out of memory");
    set_since(b, pgno, since);
    return WR_OK;
}

static enum wr_status check_some(struct wr_local *l, struct wr_local_drops *drops, uint32_t n,
    uint8_t *records, uint8_t *pages, struct wr_err *e)
{
    size_t got_records = 0, got = 0;
    enum wr_status st = wr_file_pread(l->meta, records, (size_t)n * WR_LOCAL_RECORD,
        wr_local_record_off(l->next), &got_records, e);

    if (st == WR_OK)
        st = wr_file_pread(
            l->file, pages, (size_t)n * l->page_size, offset(l->next, l->page_size), &got, e);
    n = (uint32_t)wr_min(got_records / WR_LOCAL_RECORD, got / l->page_size);
    for (uint32_t i = 0; i < n && st == WR_OK; i++)
        st = check_page(l, drops, l->next + i, records + (size_t)i * WR_LOCAL_RECORD,
            pages + (size_t)i * l->page_size, e);
    if (st == WR_OK)
        st = wr_local_drop_all(drops, e);
    if (st == WR_OK && n == 0) /* they end here */
        l->last = l->next - 1;
    else if (st == WR_OK)
        l->next += n;
    return st;
}

enum wr_status wr_local_check(
    struct wr_local *l, const struct wr_call *c, bool *ret_more, struct wr_err *e)
{
    struct wr_local_drops drops;
    uint32_t n;
    uint8_t *buf;
    enum wr_status st;

    *ret_more = l->next != 0 && l->next <= l->last;
    if (!*ret_more)
        return WR_OK;
    n = wr_min((uint32_t)(CHECK_BYTES / l->page_size), l->last - l->next + 1);
    buf = wr_alloc((size_t)n * (l->page_size + WR_LOCAL_RECORD));
    if (!buf)
        return wr_fail(e, WR_NOMEM, "local copy: out of memory");
    st = wr_local_drops_init(&drops, l, c, e);
    if (st == WR_OK)
        st = check_some(l, &drops, n, buf, buf + (size_t)n * WR_LOCAL_RECORD, e);
    wr_local_drops_release(&drops);
    wr_free(buf);
    *ret_more = l->next <= l->last;
    return st;
}

/* ---- changing it ---- */

void wr_local_set_base(struct wr_local *l, const struct wr_pagemap_about *about)
{
    l->has_rolling = about->has_rolling;
    l->rolling = about->rolling;
    atomic_store(&l->txid, about->txid);
}

enum wr_fit wr_local_fit(const struct wr_local *l, const struct wr_pagemap *m)
{
    return wr_pagemap_fit(m, atomic_load(&l->txid), l->has_rolling, l->rolling);
}

static enum wr_status write_head(struct wr_local *l, const struct wr_pagemap *m, struct wr_err *e)
{
    wr_local_head_of(m, &l->head);
    l->head.replica = l->replica;
    l->head.number++;
    return wr_local_head_write(l->meta, &l->head, e);
}

enum wr_status wr_local_begin(struct wr_local *l, const struct wr_pagemap *m, struct wr_err *e)
{
    const struct wr_pagemap_about *about = wr_pagemap_about(m);
    enum wr_status st = WR_OK;

    atomic_store(&l->epoch, 0);
    forget_all(l);
    l->next = l->last = 0;
    l->page_size = about->page_size;
    if (l->meta)
        st = wr_random(&l->head.salt, sizeof(l->head.salt), e);
    if (st == WR_OK && l->meta)
        st = write_head(l, m, e);
    /* What records there are have another salt by now. A file that is mapped is not cut short:
     * whoever reads it would not survive that. */
    if (st == WR_OK && l->n_mappings == 0)
        st = wr_file_truncate(l->file, 0, e);
    if (st != WR_OK)
        return st;
    atomic_store(&l->unsettled, 0);
    /* A second time in an epoch, as the first turned out to be of another history than `m`: so may
     * be the maps that readers still have from then. */
    atomic_store(&l->least, l->begun == about->epoch ? about->txid : 0);
    l->begun = about->epoch;
    wr_local_set_base(l, about);
    atomic_store(&l->epoch, about->epoch);
    return WR_OK;
}

/* Room for the words of all of them. */
static bool has_room(struct wr_local *l, uint32_t pgno, size_t n)
{
    bool ok = true;

    for (size_t i = 0; i < n && ok; i++)
        ok = need_block(l, (pgno + (uint32_t)i - 1) / BLOCK) != NULL;
    return ok;
}

/* Memory comes first: a record on the disk of a page that has no word would not be erased when the
 * page changes, and be believed by the next process. */
enum wr_status wr_local_put(struct wr_local *l, uint32_t pgno, size_t n, const uint64_t *since,
    const uint8_t *pages, struct wr_err *e)
{
    uint8_t *records = l->meta ? wr_array(n, WR_LOCAL_RECORD) : NULL;
    enum wr_status st;

    if ((l->meta && !records) || !has_room(l, pgno, n)) {
        wr_free(records);
        return wr_fail(e, WR_NOMEM, "local copy: out of memory");
    }
    st = wr_file_pwrite(l->file, pages, n * l->page_size, offset(pgno, l->page_size), e);
    if (st == WR_OK && l->meta) {
        for (size_t i = 0; i < n; i++)
            wr_local_record(records + i * WR_LOCAL_RECORD, l->head.salt, pgno + (uint32_t)i,
                since[i], pages + i * l->page_size, l->page_size);
        st = wr_file_pwrite(l->meta, records, n * WR_LOCAL_RECORD, wr_local_record_off(pgno), e);
    }
    for (size_t i = 0; i < n && st == WR_OK; i++)
        set_since(need_block(l, (pgno + (uint32_t)i - 1) / BLOCK), pgno + (uint32_t)i, since[i]);
    wr_free(records);
    (void)atomic_fetch_add(&l->unsettled, n * l->page_size);
    return st;
}

enum wr_status wr_local_settle(struct wr_local *l, const struct wr_pagemap *m, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    assert(wr_pagemap_about(m)->txid == atomic_load(&l->txid));
    if (l->meta && (atomic_load(&l->unsettled) > 0 || l->head.txid != atomic_load(&l->txid))) {
        st = wr_file_sync(l->file, e);
        if (st == WR_OK)
            st = wr_file_sync(l->meta, e);
        if (st == WR_OK)
            st = write_head(l, m, e);
    }
    if (st == WR_OK)
        atomic_store(&l->unsettled, 0);
    else /* after a failed fsync, what was written may be gone, and what was there before be back */
        atomic_store(&l->epoch, 0);
    return st;
}

void wr_local_map(struct wr_local *l, uint64_t bytes)
{
    struct wr_local_mapping *m = atomic_load(&l->mapping);
    const struct wr_fs *fs = l->file->fs;
    struct wr_file_info is;
    void *p = NULL;

    if ((m && m->size >= bytes) || l->n_mappings == WR_LOCAL_MAPPINGS || bytes == 0 ||
        bytes > SIZE_MAX / 4)
        return;
    bytes += bytes / 4; /* it may grow */
    if (fs->info(l->file, &is, NULL) != WR_OK ||
        (is.size < bytes && wr_file_truncate(l->file, bytes, NULL) != WR_OK) ||
        fs->map(l->file, (size_t)bytes, &p, NULL) != WR_OK)
        return;
    m = &l->mappings[l->n_mappings++];
    *m = (struct wr_local_mapping){.p = p, .size = (size_t)bytes};
    atomic_store(&l->mapping, m);
}

void wr_local_look(const struct wr_local *l, struct wr_local_look *ret)
{
    *ret = (struct wr_local_look){.epoch = atomic_load(&l->epoch),
        .txid = atomic_load(&l->txid),
        .page_size = l->page_size,
        .unsettled = atomic_load(&l->unsettled)};
    ret->begun = ret->epoch != 0;
}
