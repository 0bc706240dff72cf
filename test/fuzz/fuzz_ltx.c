/*
 * fuzz_ltx.c - any bytes as an LTX file: decoded from the front, and from the end by its index.
 *
 * Beyond not crashing: of a file that decodes, the index leads to as many pages; and its pages can
 * be encoded again, unless it is a snapshot with holes or one cut short.
 *
 * As a plain test it is linked with corpus_main.c. To fuzz, compile with -fsanitize=fuzzer,address
 * and the sources of src/base, src/ltx and test/harness; start from a copy of test/data/ltx.
 */
#include "base/mem.h"
#include "harness/ltx_util.h"
#include "ltx/frame.h"
#include "ltx/index.h"
#include "ltx/merge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    LOCK_OFFSET = 65536
};

static enum wr_status swallow(void *arg, struct wr_bytes p, struct wr_err *e)
{
    (void)e;
    *(uint64_t *)arg += p.n;
    return WR_OK;
}

static enum wr_status from(void *arg, void *buf, size_t n, struct wr_err *e)
{
    struct t_ltx_in *in = arg;

    if (n > in->file.n - in->at)
        return wr_fail(e, WR_CORRUPT, "ends");
    memcpy(buf, in->file.p + in->at, n);
    in->at += n;
    return WR_OK;
}

/* Pages by index; their count, or SIZE_MAX for a bad index. `h` NULL: without knowing the header.
 */
static size_t by_index(struct wr_bytes file, const struct wr_ltx_header *h)
{
    size_t tail = wr_min(file.n, (size_t)WR_LTX_TAIL_MIN), n = 0;
    static uint8_t page[WR_LTX_PAGE_SIZE_MAX];
    struct wr_ltx_entry entry;
    struct wr_ltx_index x;
    uint64_t off, size;
    enum wr_status st;

    if (wr_ltx_index_locate(
            (struct wr_bytes){file.p + file.n - tail, tail}, file.n, &off, &size, NULL) != WR_OK)
        return SIZE_MAX;
    wr_ltx_index_init(&x, (struct wr_bytes){file.p + off, (size_t)size}, off, h, LOCK_OFFSET);
    while ((st = wr_ltx_index_next(&x, &entry, NULL)) == WR_OK) {
        struct wr_bytes f = {file.p + entry.offset, entry.length};

        if (wr_ltx_frame_decode(f, h ? h->page_size : 4096, entry.pgno, page, NULL) == WR_OK)
            n++;
    }
    return st == WR_NOTFOUND ? n : SIZE_MAX;
}

/* Decode the file, encoding its pages again as they come. */
static size_t by_stream(
    struct wr_bytes file, bool sized, struct wr_ltx_header *h, enum wr_status *ret)
{
    struct t_ltx_in in = {.file = file};
    struct wr_ltx_trailer trailer;
    struct wr_ltx_dec *dec = NULL;
    struct wr_ltx_enc *enc = NULL;
    uint64_t sent = 0, size = 0;
    uint8_t *page = NULL;
    uint32_t pgno;
    size_t n = 0;
    bool whole = false;
    enum wr_status st = wr_ltx_dec_new(from, &in, sized ? file.n : 0, LOCK_OFFSET, &dec, NULL);

    if (st == WR_OK)
        st = wr_ltx_dec_header(dec, h, NULL);
    if (st == WR_OK) {
        page = wr_alloc(h->page_size);
        whole = wr_ltx_enc_new(h, LOCK_OFFSET, swallow, &sent, &enc, NULL) == WR_OK;
        assert(page && whole);
    }
    while (st == WR_OK) {
        st = wr_ltx_dec_page(dec, &pgno, page, NULL);
        n += st == WR_OK;
        if (st == WR_OK && whole && wr_ltx_enc_page(enc, pgno, page, NULL) != WR_OK)
            whole = false; /* a snapshot with holes, which only the encoder refuses */
    }
    assert(st == WR_NOTFOUND || st == WR_CORRUPT);
    if (st == WR_NOTFOUND && whole) {
        whole = wr_ltx_enc_finish(enc, &trailer, &size, NULL) == WR_OK;
        assert(!whole || size == sent);
        assert(whole || h->min_txid == 1);
    }
    wr_free(page);
    wr_ltx_enc_free(enc);
    wr_ltx_dec_free(dec);
    *ret = st;
    return n;
}

static void merge_alone(struct wr_bytes file)
{
    struct t_ltx_in in = {.file = file};
    struct wr_ltx_trailer trailer;
    struct wr_ltx_merge *m = NULL;
    struct wr_ltx_dec *dec = NULL;
    uint64_t sent = 0, size = 0;

    if (wr_ltx_dec_new(from, &in, file.n, LOCK_OFFSET, &dec, NULL) != WR_OK)
        return;
    if (wr_ltx_merge_new(&dec, 1, LOCK_OFFSET, &m, NULL) == WR_OK &&
        wr_ltx_merge_write(m, swallow, &sent, &trailer, &size, NULL) == WR_OK)
        assert(size == sent);
    wr_ltx_merge_free(m);
    wr_ltx_dec_free(dec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_bytes file = {data, size};
    struct wr_ltx_header h = {0};
    enum wr_status st;
    size_t n = by_stream(file, size > 0, &h, &st);

    if (st == WR_NOTFOUND)
        assert(by_index(file, &h) == n);
    (void)by_stream(file, false, &h, &st);
    (void)by_index(file, NULL);
    merge_alone(file);
    return 0;
}
