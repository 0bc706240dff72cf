#include "ltx/merge.h"

#include "base/mem.h"
#include "harness/ltx_util.h"
#include "harness/t.h"

enum {
    NO_LOCK = 0x40000000,
    CHAIN_MAX = 8
};

/* Files as decoders, and what they are merged into. */
struct job {
    struct wr_bytes files[CHAIN_MAX];
    struct t_ltx_in in[CHAIN_MAX];
    struct wr_ltx_dec *dec[CHAIN_MAX];
    size_t n;
};

/* Encode the chain, by turns with the model and the encoder. */
static void job_init(struct job *j, const struct t_ltx *m, size_t n, uint32_t lock_offset)
{
    struct wr_err e = {0};

    memset(j, 0, sizeof(*j));
    j->n = n;
    for (size_t i = 0; i < n; i++) {
        struct t_ltx_out o;

        if (i % 2) {
            j->files[i] = t_ltx_encode(&m[i]);
        } else {
            T_OK(t_ltx_write(&m[i], lock_offset, &o, &e));
            j->files[i] = wr_buf_bytes(&o.buf);
        }
        j->in[i].file = j->files[i];
        T_OK(wr_ltx_dec_new(t_ltx_source, &j->in[i], j->files[i].n, lock_offset, &j->dec[i], &e));
    }
}

static void job_release(struct job *j)
{
    for (size_t i = 0; i < j->n; i++) {
        wr_ltx_dec_free(j->dec[i]);
        t_ltx_free(&j->files[i]);
    }
}

static enum wr_status job_run(
    struct job *j, uint32_t lock_offset, struct t_ltx_out *o, struct wr_err *e)
{
    struct wr_ltx_merge *m = NULL;
    struct wr_ltx_trailer trailer;
    uint64_t size = 0;
    enum wr_status st;

    t_ltx_out_init(o);
    st = wr_ltx_merge_new(j->dec, j->n, lock_offset, &m, e);
    if (st == WR_OK)
        st = wr_ltx_merge_write(m, t_ltx_sink, o, &trailer, &size, e);
    if (st == WR_OK)
        T(size == o->buf.n);
    wr_ltx_merge_free(m);
    return st;
}

static void one_world(struct wr_rand *r, uint64_t *ret_lock_seen)
{
    static const uint32_t SIZES[] = {512, 512, 512, 1024, 4096};
    uint32_t page_size = SIZES[wr_rand_below(r, wr_countof(SIZES))];
    uint32_t lock_offset = page_size * (uint32_t)wr_rand_below(r, 20);
    size_t n = 1 + (size_t)wr_rand_below(r, CHAIN_MAX), skip;
    struct t_ltx_world w = {.r = r, .page_size = page_size, .db = {.page_size = page_size}};
    struct t_ltx files[CHAIN_MAX], want, got;
    struct t_ltx_out o;
    struct wr_err e = {0};
    struct job j;

    w.lock = lock_offset / page_size + 1;
    w.rolling = wr_rand_below(r, 2) == 0;
    for (size_t i = 0; i < n; i++)
        files[i] = t_ltx_world_next(&w);
    *ret_lock_seen += w.lock <= w.commit;
    /* Some start in the middle of the chain: an increment; some lack a rolling checksum. */
    skip = wr_rand_below(r, 3) == 0 ? (size_t)wr_rand_below(r, n) : 0;
    if (wr_rand_below(r, 8) == 0) {
        files[n - 1].rolling = false;
        files[n - 1].pre = files[n - 1].post = 0;
    }
    job_init(&j, files + skip, n - skip, lock_offset);
    T_OK(job_run(&j, lock_offset, &o, &e));
    t_ltx_merge(files + skip, n - skip, &want);
    assert_null(t_ltx_decode(wr_buf_bytes(&o.buf), &got));
    T(t_ltx_same(&want, &got));
    t_ltx_release(&got);
    T_OK(t_ltx_read(wr_buf_bytes(&o.buf), true, lock_offset, &got, &e));
    T(t_ltx_same(&want, &got));
    for (uint32_t p = 1; p <= w.commit && skip == 0; p++) {
        T(!got.pages[p] == !w.db.pages[p]);
        T(!got.pages[p] || memcmp(got.pages[p], w.db.pages[p], page_size) == 0);
    }
    wr_buf_release(&o.buf);
    job_release(&j);
    t_ltx_release(&got);
    t_ltx_release(&want);
    t_ltx_release(&w.db);
    for (size_t i = 0; i < n; i++)
        t_ltx_release(&files[i]);
}

/* Merged, the files of any history are the database at its end; and as the model merges them. */
static void test_random_histories(void **state)
{
    uint64_t lock_seen = 0;
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 2000; i++)
        one_world(&r, &lock_seen);
    T(lock_seen > 200);
}

/* Of bytes, into bytes. */
static void merge_bytes(
    const struct wr_bytes *files, size_t n, uint32_t lock_offset, struct t_ltx_out *o)
{
    struct wr_err e = {0};
    struct job j = {.n = n};

    for (size_t i = 0; i < n; i++) {
        j.in[i].file = files[i];
        T_OK(wr_ltx_dec_new(t_ltx_source, &j.in[i], files[i].n, lock_offset, &j.dec[i], &e));
    }
    T_OK(job_run(&j, lock_offset, o, &e));
    for (size_t i = 0; i < n; i++)
        wr_ltx_dec_free(j.dec[i]);
}

/* However files are grouped, merged and merged again, the last file is the same, to the byte. */
static void test_merging_is_associative(void **state)
{
    static const uint32_t SIZES[] = {512, 512, 1024, 4096};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 1500; i++) {
        uint32_t page_size = SIZES[wr_rand_below(&r, wr_countof(SIZES))];
        uint32_t lock_offset = page_size * (uint32_t)wr_rand_below(&r, 20);
        size_t n = 3 + (size_t)wr_rand_below(&r, CHAIN_MAX - 2);
        size_t skip = (size_t)wr_rand_below(&r, n - 2), k;
        struct t_ltx_world w = {.r = &r,
            .page_size = page_size,
            .lock = lock_offset / page_size + 1,
            .rolling = wr_rand_below(&r, 2) == 0,
            .db = {.page_size = page_size}};
        struct t_ltx_out part[2], both, all;
        struct wr_bytes two[2];
        struct t_ltx files[CHAIN_MAX];
        struct job j;

        for (size_t x = 0; x < n; x++)
            files[x] = t_ltx_world_next(&w);
        if (wr_rand_below(&r, 8) == 0) { /* one says nothing of the database */
            struct t_ltx *f = &files[wr_rand_below(&r, n)];

            f->rolling = false;
            f->pre = f->post = 0;
        }
        job_init(&j, files + skip, n - skip, lock_offset);
        k = 1 + (size_t)wr_rand_below(&r, j.n - 1);
        merge_bytes(j.files, k, lock_offset, &part[0]);
        merge_bytes(j.files + k, j.n - k, lock_offset, &part[1]);
        two[0] = wr_buf_bytes(&part[0].buf);
        two[1] = wr_buf_bytes(&part[1].buf);
        merge_bytes(two, 2, lock_offset, &both);
        merge_bytes(j.files, j.n, lock_offset, &all);
        T(both.buf.n == all.buf.n && memcmp(both.buf.p, all.buf.p, all.buf.n) == 0);
        wr_buf_release(&part[0].buf);
        wr_buf_release(&part[1].buf);
        wr_buf_release(&both.buf);
        wr_buf_release(&all.buf);
        job_release(&j);
        t_ltx_release(&w.db);
        for (size_t x = 0; x < n; x++)
            t_ltx_release(&files[x]);
    }
}

/* Files that have nothing to do with each other, overlapping in TXIDs: newest wins, no more. */
static void test_random_overlaps(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 1000; i++) {
        size_t n = 1 + (size_t)wr_rand_below(&r, CHAIN_MAX);
        uint32_t lock_offset = 512 * (uint32_t)wr_rand_below(&r, 30);
        struct t_ltx files[CHAIN_MAX], want, got;
        uint64_t max = 40;
        struct t_ltx_out o;
        struct wr_err e = {0};
        struct job j;

        for (size_t k = 0; k < n; k++) {
            t_ltx_random(&r, &files[k], 512, 1 + (uint32_t)wr_rand_below(&r, 20), 9, lock_offset);
            files[k].min = max + 1 - (k ? wr_rand_below(&r, 10) : 0);
            files[k].max = max + 1 + wr_rand_below(&r, 3);
            files[k].rolling = files[k].rolling && files[k].min <= max;
            if (!files[k].rolling)
                files[k].pre = files[k].post = 0;
            max = files[k].max;
        }
        job_init(&j, files, n, lock_offset);
        T_OK(job_run(&j, lock_offset, &o, &e));
        t_ltx_merge(files, n, &want);
        assert_null(t_ltx_decode(wr_buf_bytes(&o.buf), &got));
        T(t_ltx_same(&want, &got));
        wr_buf_release(&o.buf);
        job_release(&j);
        t_ltx_release(&got);
        t_ltx_release(&want);
        for (size_t k = 0; k < n; k++)
            t_ltx_release(&files[k]);
    }
}

static struct t_ltx tiny(uint64_t min, uint64_t max, uint32_t commit)
{
    static const uint8_t page[512] = {0};
    struct t_ltx m = {.page_size = 512, .commit = commit, .min = min, .max = max};

    for (uint32_t p = 1; p <= commit && min == 1; p++)
        t_ltx_set(&m, p, page);
    return m;
}

static void test_preconditions(void **state)
{
    static const struct {
        uint64_t min[3], max[3];
        size_t n;
        const char *text;
    } CASES[] = {
        {{1, 4}, {3, 4}, 2, NULL},
        {{1, 5}, {3, 5}, 2, "gap between TXID 0000000000000003 and 0000000000000005"},
        {{1, 3}, {3, 4}, 2, NULL},
        {{1, 2}, {3, 3}, 2, "ends before TXID 0000000000000003"},
        {{1, 2}, {3, 2}, 2, "ends before TXID 0000000000000003"},
        {{1, 1}, {3, 4}, 2, NULL},
        {{2, 4, 6}, {3, 5, 6}, 3, NULL},
        {{2, 4, 7}, {3, 5, 7}, 3, "gap between TXID 0000000000000005"},
        {{UINT64_MAX - 1, UINT64_MAX}, {UINT64_MAX - 1, UINT64_MAX}, 2, NULL},
        {{UINT64_MAX, UINT64_MAX}, {UINT64_MAX, UINT64_MAX}, 2, "ends before"},
        {{UINT64_MAX, 1}, {UINT64_MAX, 1}, 2, "ends before"},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(CASES); i++) {
        struct t_ltx files[3];
        struct t_ltx_out o;
        struct wr_err e = {0};
        enum wr_status st;
        struct job j;

        for (size_t k = 0; k < CASES[i].n; k++)
            files[k] = tiny(CASES[i].min[k], CASES[i].max[k], 2);
        job_init(&j, files, CASES[i].n, NO_LOCK);
        st = job_run(&j, NO_LOCK, &o, &e);
        T(st == (CASES[i].text ? WR_CORRUPT : WR_OK));
        if (CASES[i].text && !strstr(e.text, CASES[i].text))
            fail_msg("%zu: \"%s\" instead of \"%s\"", i, e.text, CASES[i].text);
        wr_buf_release(&o.buf);
        job_release(&j);
        for (size_t k = 0; k < CASES[i].n; k++)
            t_ltx_release(&files[k]);
    }
}

static void test_other_refusals(void **state)
{
    struct t_ltx files[2] = {tiny(1, 1, 2), tiny(2, 2, 3)};
    struct wr_ltx_merge *m = NULL;
    struct t_ltx_out o;
    struct wr_err e = {0};
    struct job j;

    (void)state;
    T_IS(WR_MISUSE, wr_ltx_merge_new(NULL, 0, NO_LOCK, &m, &e));
    T_IS(WR_LIMIT, wr_ltx_merge_new(NULL, WR_LTX_MERGE_MAX + 1, NO_LOCK, &m, &e));
    T(m == NULL);
    wr_ltx_merge_free(NULL);
    /* Grown to 3 pages without the third: what comes out is no snapshot. */
    job_init(&j, files, 2, NO_LOCK);
    T_IS(WR_CORRUPT, job_run(&j, NO_LOCK, &o, &e));
    T(strstr(e.text, "snapshot ends at page 2 of 3") != NULL);
    wr_buf_release(&o.buf);
    job_release(&j);
    files[1].page_size = 1024;
    job_init(&j, files, 2, NO_LOCK);
    T_IS(WR_CORRUPT, job_run(&j, NO_LOCK, &o, &e));
    T(strstr(e.text, "page sizes 512 and 1024") != NULL);
    wr_buf_release(&o.buf);
    job_release(&j);
    t_ltx_release(&files[0]);
    t_ltx_release(&files[1]);
}

/* A file that was made on top of another history. */
static void test_rolling_must_continue(void **state)
{
    struct t_ltx files[2] = {tiny(2, 2, 2), tiny(3, 3, 2)};
    struct t_ltx_out o;
    struct wr_err e = {0};
    struct job j;

    (void)state;
    files[0].rolling = files[1].rolling = true;
    files[0].pre = files[0].post = WR_LTX_CHECKSUM_EMPTY | 1;
    files[1].pre = files[1].post = WR_LTX_CHECKSUM_EMPTY | 2;
    job_init(&j, files, 2, NO_LOCK);
    T_IS(WR_CORRUPT, job_run(&j, NO_LOCK, &o, &e));
    T(strstr(e.text, "continues checksum 8000000000000002, not 8000000000000001") != NULL);
    wr_buf_release(&o.buf);
    job_release(&j);
}

/* WAL fields and node belong to one file, not to a merge, be it of that file alone. */
static void test_header_of_result(void **state)
{
    struct t_ltx file = tiny(1, 1, 2);
    struct wr_ltx_merge *m = NULL;
    const struct wr_ltx_header *h;
    struct wr_ltx_page page;
    struct wr_err e = {0};
    struct job j;

    (void)state;
    file.wal_off = 32;
    file.wal_size = 64;
    memset(file.salt, 1, 8);
    file.node = 3;
    file.time_ms = 99;
    job_init(&j, &file, 1, NO_LOCK);
    T_OK(wr_ltx_merge_new(j.dec, 1, NO_LOCK, &m, &e));
    h = wr_ltx_merge_header(m);
    T(h->wal_off == 0 && h->wal_size == 0 && h->node_id == 0 && h->salt[0] == 0);
    T(h->time_ms == 99 && h->commit == 2 && h->page_size == 512 && !h->has_rolling);
    T_OK(wr_ltx_merge_page(m, &page, &e));
    T(page.pgno == 1 && page.block.n > 0 && page.data[0] == 0);
    T_OK(wr_ltx_merge_page(m, &page, &e));
    T(page.pgno == 2);
    T_IS(WR_NOTFOUND, wr_ltx_merge_page(m, &page, &e));
    T_IS(WR_NOTFOUND, wr_ltx_merge_page(m, &page, &e));
    T(e.text[0] == 0);
    wr_ltx_merge_free(m);
    job_release(&j);
    t_ltx_release(&file);
}

/* What one input lacks, the result lacks altogether. */
static void test_rolling_needs_all(void **state)
{
    struct t_ltx files[2] = {tiny(2, 2, 2), tiny(3, 3, 2)};
    struct wr_ltx_merge *m = NULL;
    const struct wr_ltx_header *h;
    struct wr_err e = {0};
    struct job j;

    (void)state;
    for (int with = 0; with < 2; with++) {
        files[with].rolling = true;
        files[with].pre = files[with].post = WR_LTX_CHECKSUM_EMPTY | 1;
        files[1 - with].rolling = false;
        files[1 - with].pre = files[1 - with].post = 0;
        job_init(&j, files, 2, NO_LOCK);
        T_OK(wr_ltx_merge_new(j.dec, 2, NO_LOCK, &m, &e));
        h = wr_ltx_merge_header(m);
        T(!h->has_rolling && h->rolling_pre == 0 && h->rolling_post == 0);
        wr_ltx_merge_free(m);
        job_release(&j);
    }
}

/* Going on after a failure would skip the page that was in flight. */
static void test_broken_stays_broken(void **state)
{
    struct t_ltx file = tiny(1, 1, 2);
    struct wr_ltx_merge *m = NULL;
    struct wr_ltx_page page;
    struct wr_err e = {0};
    struct job j;

    (void)state;
    job_init(&j, &file, 1, NO_LOCK);
    T_OK(wr_ltx_merge_new(j.dec, 1, NO_LOCK, &m, &e));
    wr_mem_fail_after(0);
    T_IS(WR_NOMEM, wr_ltx_merge_page(m, &page, &e));
    wr_mem_fail_after(-1);
    T_IS(WR_MISUSE, wr_ltx_merge_page(m, &page, &e));
    wr_ltx_merge_free(m);
    job_release(&j);
    t_ltx_release(&file);
}

/* Damage in any input, be it in a page that a newer one hides, or one that is cut off. */
static void test_damage_is_found(void **state)
{
    struct wr_rand r;
    struct t_ltx files[3];
    struct t_ltx_out o;
    struct job j;

    (void)state;
    wr_rand_init(&r, t_seed());
    t_ltx_random(&r, &files[0], 512, 6, 1, NO_LOCK);
    files[0].max = 1;
    t_ltx_random(&r, &files[1], 512, 8, 1, NO_LOCK);
    files[1].max = 2;
    t_ltx_random(&r, &files[2], 512, 3, 1, NO_LOCK);
    files[2].max = 3;
    for (int i = 0; i < 1500; i++) {
        size_t which = (size_t)wr_rand_below(&r, 3), at;
        uint8_t *copy;
        enum wr_status st;

        job_init(&j, files, 3, NO_LOCK);
        at = (size_t)wr_rand_below(&r, j.files[which].n);
        copy = wr_alloc(j.files[which].n);
        memcpy(copy, j.files[which].p, j.files[which].n);
        copy[at] ^= (uint8_t)(1 << wr_rand_below(&r, 8));
        j.in[which].file.p = copy;
        st = job_run(&j, NO_LOCK, &o, NULL);
        T(st == WR_OK || st == WR_CORRUPT);
        if (st == WR_OK) { /* an unused bit of compressed data */
            struct t_ltx got, want;

            assert_null(t_ltx_decode(wr_buf_bytes(&o.buf), &got));
            t_ltx_merge(files, 3, &want);
            T(t_ltx_same(&got, &want));
            t_ltx_release(&got);
            t_ltx_release(&want);
        }
        wr_buf_release(&o.buf);
        job_release(&j);
        wr_free(copy);
    }
    for (int i = 0; i < 3; i++)
        t_ltx_release(&files[i]);
}

static enum wr_status lose(void *arg, struct wr_bytes p, struct wr_err *e)
{
    (void)arg;
    (void)p;
    return wr_fail(e, WR_NOTFOUND, "no such bucket");
}

/* A sink's NOTFOUND is a failure, not the end of the pages. */
static void test_sink_failure(void **state)
{
    struct t_ltx file = {.page_size = 512, .commit = 600, .min = 1, .max = 1};
    struct wr_ltx_merge *m = NULL;
    struct wr_ltx_trailer trailer;
    uint8_t page[512];
    struct wr_err e = {0};
    struct wr_rand r;
    uint64_t size;
    struct job j;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (uint32_t p = 1; p <= 600; p++) {
        wr_rand_fill(&r, page, sizeof(page));
        t_ltx_set(&file, p, page);
    }
    job_init(&j, &file, 1, NO_LOCK);
    T_OK(wr_ltx_merge_new(j.dec, 1, NO_LOCK, &m, &e));
    T_IS(WR_NOTFOUND, wr_ltx_merge_write(m, lose, NULL, &trailer, &size, &e));
    wr_ltx_merge_free(m);
    job_release(&j);
    t_ltx_release(&file);
}

static enum wr_status drop(void *arg, struct wr_bytes p, struct wr_err *e)
{
    (void)arg;
    (void)p;
    (void)e;
    return WR_OK;
}

static enum wr_status merge_all(void *arg)
{
    const struct job *files = arg;
    struct job j = *files;
    struct wr_ltx_merge *m = NULL;
    struct wr_ltx_trailer trailer;
    uint64_t size;
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < j.n; i++) {
        j.dec[i] = NULL;
        if (st == WR_OK)
            st = wr_ltx_dec_new(t_ltx_source, &j.in[i], j.files[i].n, NO_LOCK, &j.dec[i], NULL);
    }
    if (st == WR_OK)
        st = wr_ltx_merge_new(j.dec, j.n, NO_LOCK, &m, NULL);
    if (st == WR_OK)
        st = wr_ltx_merge_write(m, drop, NULL, &trailer, &size, NULL);
    wr_ltx_merge_free(m);
    for (size_t i = 0; i < j.n; i++)
        wr_ltx_dec_free(j.dec[i]);
    return st;
}

static void test_out_of_memory(void **state)
{
    struct t_ltx files[3] = {tiny(1, 1, 2), tiny(1, 2, 4), tiny(1, 3, 3)};
    struct job j;

    (void)state;
    job_init(&j, files, 3, NO_LOCK);
    t_sweep_nomem(merge_all, &j);
    job_release(&j);
    for (int i = 0; i < 3; i++)
        t_ltx_release(&files[i]);
}

T_MAIN(T_TEST(test_random_histories), T_TEST(test_merging_is_associative),
    T_TEST(test_random_overlaps), T_TEST(test_preconditions), T_TEST(test_other_refusals),
    T_TEST(test_rolling_must_continue), T_TEST(test_header_of_result),
    T_TEST(test_rolling_needs_all), T_TEST(test_broken_stays_broken), T_TEST(test_damage_is_found),
    T_TEST(test_sink_failure), T_TEST(test_out_of_memory))
