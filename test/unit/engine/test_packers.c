/*
 * test_packers.c - however many threads compress, the file is the same, and all of them are gone
 * when the call returns.
 */
#include "engine/packers.h"

#include "base/mem.h"
#include "base/sync.h"
#include "harness/ltx_util.h"
#include "harness/t.h"
#include "ltx/enc.h"

#include <dirent.h>
#include <time.h>

/* A database in memory, and what is written of it. */
struct world {
    uint32_t page_size, commit, lock_offset;
    uint8_t *image;
    uint32_t *pages; /* NULL: all */
    uint32_t n;
    struct wr_ltx_header header;
    uint64_t sum;
    uint64_t *sums; /* room for that of each */

    pthread_t caller;   /* who alone may read and write */
    uint32_t next;      /* pages below were read */
    uint32_t fail_from; /* reading this page, or a later one, fails; 0: none does */
    long sink_fails;    /* this chunk is refused; -1: none is */
    long chunks;
    struct wr_buf out;
    unsigned seen; /* most threads of the process at a chunk */
};

static void world_init(
    struct world *w, struct wr_rand *r, uint32_t page_size, uint32_t commit, bool all)
{
    *w = (struct world){.page_size = page_size, .commit = commit, .sink_fails = -1};
    w->lock_offset = page_size * (uint32_t)wr_rand_below(r, commit + commit / 4 + 1);
    w->image = wr_array(commit, page_size);
    w->sums = wr_array(commit, sizeof(*w->sums));
    T(w->image && w->sums);
    for (uint32_t i = 0; i < commit; i++)
        t_ltx_random_page(r, w->image + (size_t)i * page_size, page_size);
    w->n = commit;
    if (!all) {
        uint64_t gaps = wr_rand_below(r, 5);

        w->pages = wr_array(commit, sizeof(*w->pages));
        T(w->pages != NULL);
        w->n = 0;
        for (uint32_t p = 1; p <= commit; p++) {
            if (p != wr_ltx_lock_pgno(page_size, w->lock_offset) && wr_rand_below(r, 5) >= gaps)
                w->pages[w->n++] = p;
        }
    }
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t p = w->pages ? w->pages[i] : i + 1;

        if (p != wr_ltx_lock_pgno(page_size, w->lock_offset))
            w->sum ^= wr_ltx_page_checksum(p, w->image + (size_t)(p - 1) * page_size, page_size);
    }
    w->header = (struct wr_ltx_header){.page_size = page_size,
        .commit = commit,
        .min_txid = all ? 1 : 7,
        .max_txid = 9,
        .time_ms = 1795373351761,
        .has_rolling = true,
        .rolling_pre = WR_LTX_CHECKSUM_EMPTY,
        .rolling_post = WR_LTX_CHECKSUM_EMPTY | w->sum};
    wr_buf_init(&w->out, (size_t)1 << 28);
}

static void world_release(struct world *w)
{
    wr_free(w->image);
    wr_free(w->pages);
    wr_free(w->sums);
    wr_buf_release(&w->out);
}

static enum wr_status read_pages(
    void *arg, uint32_t first, uint32_t n, uint8_t *buf, struct wr_err *e)
{
    struct world *w = arg;

    T(pthread_equal(pthread_self(), w->caller));
    T(first >= w->next && n > 0 && first + n - 1 <= w->commit);
    w->next = first + n;
    if (w->fail_from && first + n > w->fail_from)
        return wr_fail(e, WR_CANCELED, "the database is being detached");
    memcpy(buf, w->image + (size_t)(first - 1) * w->page_size, (size_t)n * w->page_size);
    if (wr_ltx_lock_pgno(w->page_size, w->lock_offset) - first < n)
        memset(
            buf + (size_t)(wr_ltx_lock_pgno(w->page_size, w->lock_offset) - first) * w->page_size,
            0xee, w->page_size);
    return WR_OK;
}

static unsigned threads_now(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/task");

    T(dir != NULL);
    for (const struct dirent *d; (d = readdir(dir)) != NULL;)
        n += d->d_name[0] != '.';
    T(closedir(dir) == 0);
    return n;
}

static enum wr_status sink(void *arg, struct wr_bytes piece, struct wr_err *e)
{
    struct world *w = arg;

    T(pthread_equal(pthread_self(), w->caller));
    w->seen = wr_max(w->seen, threads_now());
    if (w->chunks++ == w->sink_fails)
        return wr_fail(e, WR_LIMIT, "chunk %ld is refused", w->sink_fails);
    wr_buf_put(&w->out, piece.p, piece.n);
    return wr_buf_status(&w->out) == WR_OK ? WR_OK : wr_fail(e, wr_buf_status(&w->out), "sink");
}

static void nothing(void *arg)
{
    (void)arg;
}

/* A sanitizer starts one of its own with the first, and that one stays. */
static unsigned threads_before(void)
{
    struct wr_thread t;
    struct wr_err e = {0};
    unsigned n;

    T_OK(wr_thread_start(&t, "first", 0, nothing, NULL, &e));
    wr_thread_join(&t);
    n = threads_now();
    for (int i = 0; i < 20 && n > 1; i++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        n = wr_min(n, threads_now());
    }
    return n;
}

/* One that has been joined may show for a moment longer. */
static void check_no_more_than(unsigned threads)
{
    for (int i = 0; i < 10000 && threads_now() > threads; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    T(threads_now() <= threads);
}

/* The file, by so many threads; 0: page after page, by the encoder alone. */
static enum wr_status write_file(struct world *w, unsigned threads, struct wr_err *e)
{
    struct wr_packers p = {.page_size = w->page_size,
        .lock_pgno = wr_ltx_lock_pgno(w->page_size, w->lock_offset),
        .pages = w->pages,
        .n = w->n,
        .read = read_pages,
        .arg = w,
        .sums = w->sums,
        .threads = threads};
    struct wr_ltx_trailer trailer;
    struct wr_ltx_enc *enc = NULL;
    uint64_t sum = 0, size = 0;
    enum wr_status st;

    w->caller = pthread_self();
    w->next = 1;
    w->chunks = 0;
    w->seen = 0;
    wr_buf_clear(&w->out);
    st = wr_ltx_enc_new(&w->header, w->lock_offset, sink, w, &enc, e);
    if (st == WR_OK && threads > 0)
        st = wr_packers_run(&p, enc, &sum, e);
    for (uint32_t i = 0; i < w->n && st == WR_OK && threads == 0; i++) {
        uint32_t pgno = w->pages ? w->pages[i] : i + 1;

        if (pgno != p.lock_pgno)
            st = wr_ltx_enc_page(enc, pgno, w->image + (size_t)(pgno - 1) * w->page_size, e);
    }
    if (st == WR_OK && threads > 0)
        T(sum == w->sum);
    for (uint32_t i = 0; i < w->n && st == WR_OK && threads > 0; i++) {
        uint32_t pgno = w->pages ? w->pages[i] : i + 1;
        const uint8_t *page = w->image + (size_t)(pgno - 1) * w->page_size;

        T(p.sums[i] == (pgno == p.lock_pgno ? 0 : wr_ltx_page_checksum(pgno, page, w->page_size)));
    }
    if (st == WR_OK)
        st = wr_ltx_enc_finish(enc, &trailer, &size, e);
    if (st == WR_OK)
        T(size == w->out.n);
    wr_ltx_enc_free(enc);
    return st;
}

static void test_the_same_bytes(void **state)
{
    struct wr_rand r;
    unsigned before = threads_before();

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 64; i++) {
        uint32_t page_size = 512u << (i % 8);
        uint32_t room = (uint32_t)(3000000 / page_size);
        struct world w;
        struct wr_buf alone;
        struct wr_err e = {0};

        world_init(&w, &r, page_size,
            i < 16 ? room + (uint32_t)wr_rand_below(&r, 5) : 1 + (uint32_t)wr_rand_below(&r, room),
            i % 3 != 0);
        T_OK(write_file(&w, 0, &e));
        alone = w.out;
        wr_buf_init(&w.out, (size_t)1 << 28);
        for (unsigned threads = 1; threads <= WR_PACKERS_MAX; threads++) {
            T_OK(write_file(&w, threads, &e));
            T(w.out.n == alone.n && memcmp(w.out.p, alone.p, alone.n) == 0);
            check_no_more_than(before);
        }
        wr_buf_release(&alone);
        world_release(&w);
    }
}

/* As in manual mode; and more only as far as there is something for them to do. */
static void test_as_many_threads_as_were_asked_for(void **state)
{
    struct world w;
    struct wr_err e = {0};
    struct wr_rand r;
    unsigned before = threads_before();

    (void)state;
    wr_rand_init(&r, t_seed());
    world_init(&w, &r, 4096, 1000, true);
    for (unsigned threads = 1; threads <= WR_PACKERS_MAX; threads++) {
        T_OK(write_file(&w, threads, &e));
        T(w.seen >= threads && w.seen <= before + threads - 1);
        check_no_more_than(before);
    }
    world_release(&w);
    world_init(&w, &r, 4096, 30, true); /* one pack */
    T_OK(write_file(&w, WR_PACKERS_MAX, &e));
    T(w.seen <= before);
    world_release(&w);
}

static void test_no_pages(void **state)
{
    struct world w;
    struct wr_err e = {0};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    world_init(&w, &r, 4096, 3, false);
    w.n = 0;
    w.sum = 0;
    T_OK(write_file(&w, 4, &e));
    T(w.out.n == 131);
    world_release(&w);
}

/* At every chunk; and at every read, as where the send is canceled. */
static void test_failures_end_it_at_once(void **state)
{
    struct world w;
    struct wr_err e = {0};
    struct wr_rand r;
    unsigned before = threads_before();
    long chunks;

    (void)state;
    wr_rand_init(&r, t_seed());
    world_init(&w, &r, 4096, 1000, true);
    for (unsigned threads = 1; threads <= WR_PACKERS_MAX; threads++) {
        T_OK(write_file(&w, threads, &e));
        chunks = w.chunks;
        T(chunks > 10);
        for (w.sink_fails = 0; w.sink_fails < chunks; w.sink_fails++) {
            T_IS(WR_LIMIT, write_file(&w, threads, &e));
            T(strstr(e.text, "is refused") && w.chunks == w.sink_fails + 1);
            check_no_more_than(before);
        }
        w.sink_fails = -1;
        for (w.fail_from = 1; w.fail_from <= w.commit; w.fail_from += 13) {
            T_IS(WR_CANCELED, write_file(&w, threads, &e));
            T(strstr(e.text, "is being detached") && w.next <= w.fail_from + 64);
            check_no_more_than(before);
        }
        w.fail_from = 0;
    }
    world_release(&w);
}

static void test_wrong_pages_are_found_at_the_end(void **state)
{
    struct world w;
    struct wr_err e = {0};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    world_init(&w, &r, 4096, 700, true);
    w.header.rolling_post ^= 4;
    for (unsigned threads = 1; threads <= WR_PACKERS_MAX; threads++)
        T_IS(WR_CORRUPT, write_file(&w, threads, &e));
    world_release(&w);
}

struct sweep {
    struct world w;
    unsigned threads;
    struct wr_buf whole;
    unsigned done; /* rounds that came to a file */
};

static enum wr_status body(void *arg)
{
    struct sweep *s = arg;
    struct wr_err e = {0};
    enum wr_status st = write_file(&s->w, s->threads, &e);

    if (st == WR_OK) {
        T(s->w.out.n == s->whole.n && memcmp(s->w.out.p, s->whole.p, s->whole.n) == 0);
        s->done++;
    }
    wr_buf_release(&s->w.out);
    wr_buf_init(&s->w.out, (size_t)1 << 28);
    return st;
}

/* Threads that cannot be had are done without: what failed may have been the start of any. */
static void test_no_memory_and_no_thread(void **state)
{
    struct sweep s = {0};
    struct wr_err e = {0};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    world_init(&s.w, &r, 1024, 800, true);
    T_OK(write_file(&s.w, 0, &e));
    s.whole = s.w.out;
    wr_buf_init(&s.w.out, (size_t)1 << 28);
    for (s.threads = 1; s.threads <= WR_PACKERS_MAX; s.threads++) {
        s.done = 0;
        t_sweep_nomem(body, &s);
        T(s.done == s.threads); /* once for each thread that was refused, and at last */
    }
    wr_buf_release(&s.whole);
    world_release(&s.w);
}

T_MAIN(T_TEST(test_the_same_bytes), T_TEST(test_as_many_threads_as_were_asked_for),
    T_TEST(test_no_pages), T_TEST(test_failures_end_it_at_once),
    T_TEST(test_wrong_pages_are_found_at_the_end), T_TEST(test_no_memory_and_no_thread))
