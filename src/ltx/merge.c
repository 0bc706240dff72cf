/*
 * merge.c - a k-way merge of LTX files, newest page wins.
 *
 * A heap holds the inputs by their next page number, newer inputs first among equals. Its top is
 * the page to hand out; every older version of it comes right behind, and is read only to be passed
 * over. Each input is read to its end, so that its checksum is checked.
 *
 *   result: first TXID of the first input; last TXID, database size and time of the last one
 *   pages above that size are dropped: the database shrank after they were written
 *
 * Source: the compactor of superfly/ltx v0.5.2, checked on what litestream-vfs 0.5.17 restored. Two
 * things differ: blocks are passed on as they are, and rolling checksums are continued.
 */
#include "ltx/merge.h"

#include "base/heap.h"
#include "base/mem.h"

struct input {
    struct wr_ltx_dec *dec;
    size_t age;    /* place in the order; higher is newer */
    uint32_t pgno; /* of the page in `data` */
    uint8_t *data;
};

struct wr_ltx_merge {
    struct wr_ltx_header header;
    uint32_t lock_offset;
    uint32_t pgno; /* of the last page handed out or dropped */
    bool broken;
    struct input *inputs;
    size_t n;
    size_t primed; /* inputs whose first page was read */
    struct wr_heap heap;
};

static bool input_less(const void *a, const void *b)
{
    const struct input *x = a, *y = b;

    return x->pgno != y->pgno ? x->pgno < y->pgno : x->age > y->age;
}

/* Whether `h` may follow what `m` has gathered; if so, gather it. */
static enum wr_status join(struct wr_ltx_header *m, const struct wr_ltx_header *h, struct wr_err *e)
{
    uint64_t first = m->min_txid, pre = m->rolling_pre;
    bool rolling = m->has_rolling && h->has_rolling;

    if (h->page_size != m->page_size)
        return wr_fail(e, WR_CORRUPT, "ltx merge: page sizes %u and %u", (unsigned)m->page_size,
            (unsigned)h->page_size);
    if (h->min_txid - 1 > m->max_txid)
        return wr_fail(e, WR_CORRUPT, "ltx merge: gap between TXID %016llx and %016llx",
            (unsigned long long)m->max_txid, (unsigned long long)h->min_txid);
    if (h->max_txid <= m->max_txid)
        return wr_fail(e, WR_CORRUPT, "ltx merge: %016llx-%016llx ends before TXID %016llx",
            (unsigned long long)h->min_txid, (unsigned long long)h->max_txid,
            (unsigned long long)m->max_txid);
    if (rolling && h->min_txid - 1 == m->max_txid && h->rolling_pre != m->rolling_post)
        return wr_fail(e, WR_CORRUPT,
            "ltx merge: TXID %016llx continues checksum %016llx, not %016llx",
            (unsigned long long)h->min_txid, (unsigned long long)h->rolling_pre,
            (unsigned long long)m->rolling_post);
    *m = *h;
    m->min_txid = first;
    m->has_rolling = rolling;
    m->rolling_pre = pre;
    return WR_OK;
}

static enum wr_status join_all(
    struct wr_ltx_merge *m, struct wr_ltx_dec *const *in, size_t n, struct wr_err *e)
{
    struct wr_ltx_header *sum = &m->header;

    for (size_t i = 0; i < n; i++) {
        struct wr_ltx_header h;
        enum wr_status st = wr_ltx_dec_header(in[i], &h, e);

        if (st == WR_OK && i > 0)
            st = join(sum, &h, e);
        if (st != WR_OK)
            return st;
        if (i == 0)
            *sum = h;
    }
    if (!sum->has_rolling)
        sum->rolling_pre = sum->rolling_post = 0;
    /* They describe one read of one WAL, which the result is not. */
    sum->wal_off = sum->wal_size = 0;
    memset(sum->salt, 0, sizeof(sum->salt));
    sum->node_id = 0;
    return WR_OK;
}

static enum wr_status add_inputs(
    struct wr_ltx_merge *m, struct wr_ltx_dec *const *in, size_t n, struct wr_err *e)
{
    m->inputs = wr_array(n, sizeof(*m->inputs));
    if (!m->inputs)
        return wr_fail(e, WR_NOMEM, "ltx merge: out of memory");
    m->n = n;
    for (size_t i = 0; i < n; i++) {
        struct input *x = &m->inputs[i];

        x->dec = in[i];
        x->age = i;
        x->data = wr_alloc(m->header.page_size);
        if (!x->data)
            return wr_fail(e, WR_NOMEM, "ltx merge: out of memory");
    }
    return WR_OK;
}

enum wr_status wr_ltx_merge_new(struct wr_ltx_dec *const *in, size_t n, uint32_t lock_offset,
    struct wr_ltx_merge **ret, struct wr_err *e)
{
    struct wr_ltx_merge *m;
    enum wr_status st;

    if (n == 0)
        return wr_fail(e, WR_MISUSE, "ltx merge: no files");
    if (n > WR_LTX_MERGE_MAX)
        return wr_fail(
            e, WR_LIMIT, "ltx merge: %zu files at once, at most %d", n, WR_LTX_MERGE_MAX);
    m = wr_alloc(sizeof(*m));
    if (!m)
        return wr_fail(e, WR_NOMEM, "ltx merge: out of memory");
    m->lock_offset = lock_offset;
    wr_heap_init(&m->heap, input_less, NULL);
    st = join_all(m, in, n, e);
    if (st == WR_OK)
        st = add_inputs(m, in, n, e);
    if (st != WR_OK) {
        wr_ltx_merge_free(m);
        return st;
    }
    *ret = m;
    return WR_OK;
}

void wr_ltx_merge_free(struct wr_ltx_merge *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++)
        wr_free(m->inputs[i].data);
    wr_free(m->inputs);
    wr_heap_release(&m->heap);
    wr_free(m);
}

const struct wr_ltx_header *wr_ltx_merge_header(const struct wr_ltx_merge *m)
{
    return &m->header;
}

/* Read the first page of every input. */
static enum wr_status prime(struct wr_ltx_merge *m, struct wr_err *e)
{
    for (; m->primed < m->n; m->primed++) {
        struct input *x = &m->inputs[m->primed];
        enum wr_status st = wr_ltx_dec_page(x->dec, &x->pgno, x->data, e);

        if (st == WR_NOTFOUND)
            continue;
        if (st != WR_OK)
            return st;
        if (wr_heap_push(&m->heap, x) != WR_OK)
            return wr_fail(e, WR_NOMEM, "ltx merge: out of memory");
    }
    return WR_OK;
}

/* Move the input at the top of the heap to its next page. */
static enum wr_status advance(struct wr_ltx_merge *m, struct wr_err *e)
{
    struct input *x = wr_heap_top(&m->heap);
    enum wr_status st = wr_ltx_dec_page(x->dec, &x->pgno, x->data, e);

    if (st == WR_OK)
        wr_heap_fix(&m->heap, 0);
    else if (st == WR_NOTFOUND)
        (void)wr_heap_pop(&m->heap); /* it is x */
    else
        return st;
    return WR_OK;
}

/* The input that holds the next page to hand out at the top of the heap; NOTFOUND: none. */
static enum wr_status find_next(struct wr_ltx_merge *m, struct wr_err *e)
{
    enum wr_status st = prime(m, e);

    while (st == WR_OK) {
        const struct input *x = wr_heap_top(&m->heap);

        if (!x)
            return WR_NOTFOUND;
        if (x->pgno > m->pgno && x->pgno <= m->header.commit)
            return WR_OK;
        st = advance(m, e);
    }
    return st;
}

enum wr_status wr_ltx_merge_page(
    struct wr_ltx_merge *m, struct wr_ltx_page *ret_page, struct wr_err *e)
{
    const struct input *x;
    enum wr_status st;

    if (m->broken)
        return wr_fail(e, WR_MISUSE, "ltx merge: used after a failure");
    st = find_next(m, e);
    if (st != WR_OK) {
        m->broken = st != WR_NOTFOUND;
        return st;
    }
    x = wr_heap_top(&m->heap);
    m->pgno = x->pgno;
    *ret_page =
        (struct wr_ltx_page){.pgno = x->pgno, .data = x->data, .block = wr_ltx_dec_block(x->dec)};
    return WR_OK;
}

static enum wr_status write_page(
    struct wr_ltx_enc *enc, const struct wr_ltx_page *page, struct wr_err *e)
{
    if (page->block.n > 0)
        return wr_ltx_enc_copy(enc, page->pgno, page->block, page->data, e);
    return wr_ltx_enc_page(enc, page->pgno, page->data, e);
}

static enum wr_status write_pages(struct wr_ltx_merge *m, struct wr_ltx_enc *enc, struct wr_err *e)
{
    for (;;) {
        struct wr_ltx_page page = {0};
        enum wr_status st = wr_ltx_merge_page(m, &page, e);

        if (st != WR_OK)
            return st == WR_NOTFOUND ? WR_OK : st;
        /* Whatever this returns is a failure: a sink's NOTFOUND is not the end of the pages. */
        st = write_page(enc, &page, e);
        if (st != WR_OK)
            return st;
    }
}

enum wr_status wr_ltx_merge_write(struct wr_ltx_merge *m, wr_ltx_sink_fn *sink, void *arg,
    struct wr_ltx_trailer *ret_trailer, uint64_t *ret_size, struct wr_err *e)
{
    struct wr_ltx_enc *enc = NULL;
    enum wr_status st = wr_ltx_enc_new(&m->header, m->lock_offset, sink, arg, &enc, e);

    if (st == WR_OK)
        st = write_pages(m, enc, e);
    if (st == WR_OK)
        st = wr_ltx_enc_finish(enc, ret_trailer, ret_size, e);
    wr_ltx_enc_free(enc);
    return st;
}
