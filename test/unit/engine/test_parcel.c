/*
 * test_parcel.c - LTX files in memory, in the outbox and streamed: the same bytes on every way, and
 * nothing left behind.
 */
#include "engine/parcel.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "engine/frozen.h"
#include "engine/packers.h"
#include "harness/ltx_util.h"
#include "unit/engine/live_db.h"

#include <dirent.h>
#include <sys/stat.h>

struct fixture {
    struct live live;
    struct wr_bytes image;
    const char *outbox;
    uint32_t *pages; /* every page but the lock page */
    size_t n;
    uint64_t sum; /* of all of them */
};

static void fixture_open(struct fixture *f, size_t bytes)
{
    char text[64];

    live_open(&f->live, 4096);
    for (int i = 0; i < 4; i++)
        live_write(&f->live, 30000);
    (void)snprintf(text, sizeof(text), "INSERT INTO t VALUES(9, randomblob(%zu))", bytes);
    live_sql(&f->live, text);
    live_look(&f->live);
    f->image = live_image(&f->live);
    f->outbox = t_path(f->live.dir, "state/outbox"); /* does not exist yet, nor does its parent */
    f->pages = wr_array(f->live.view.commit, sizeof(*f->pages));
    T(f->pages && f->live.view.commit > f->live.view.lock_pgno);
    f->n = 0;
    for (uint32_t p = 1; p <= f->live.view.commit; p++) {
        if (p != f->live.view.lock_pgno)
            f->pages[f->n++] = p;
    }
    f->sum = live_sum(&f->live, NULL, 0);
}

static void fixture_close(struct fixture *f)
{
    wr_free(f->pages);
    live_close(&f->live);
}

static struct wr_parcel *parcel_new(struct fixture *f, uint64_t min, uint64_t max)
{
    struct wr_ltx_header h = {.page_size = 4096,
        .commit = f->live.view.commit,
        .min_txid = min,
        .max_txid = max,
        .time_ms = 1795373351761};
    struct wr_parcel *p = NULL;
    struct wr_err e = {0};

    T_OK(wr_parcel_new(wr_fs_posix(), &h, 0, LIVE_LOCK, &p, &e));
    return p;
}

/* To be read from the live database; `pages` NULL: all of it. */
static struct wr_parcel *streamed(
    struct fixture *f, uint64_t min, uint64_t max, const uint32_t *pages, size_t n)
{
    struct wr_parcel *p = parcel_new(f, min, max);
    struct wr_frozen *frozen = NULL;
    uint32_t *copy = NULL;
    struct wr_err e = {0};

    if (pages) {
        copy = wr_array(n, sizeof(*copy));
        T(copy != NULL);
        memcpy(copy, pages, n * sizeof(*copy));
    }
    T_OK(wr_frozen_new(wr_fs_posix(), f->outbox, &f->live.view, &frozen, &e));
    wr_parcel_stream(p, frozen, copy, n, live_sum(&f->live, pages, n));
    T(wr_parcel_streamed(p));
    return p;
}

static enum wr_status collect(void *arg, struct wr_bytes piece, struct wr_err *e)
{
    struct wr_buf *b = arg;

    wr_buf_put(b, piece.p, piece.n);
    return wr_buf_status(b) == WR_OK ? WR_OK : wr_fail(e, wr_buf_status(b), "collect");
}

/* What a replica gets; release it. */
static struct wr_buf sent(const struct wr_parcel *p)
{
    struct wr_buf b;
    struct wr_err e = {0};

    wr_buf_init(&b, (size_t)1 << 26);
    T_OK(wr_parcel_send(p, 1, collect, &b, &e));
    return b;
}

static bool same(const struct wr_buf *a, const struct wr_buf *b)
{
    return a->n == b->n && memcmp(a->p, b->p, a->n) == 0;
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* The file decodes to exactly these pages of the image. */
static void check_pages(
    const struct fixture *f, struct wr_bytes file, const uint32_t *pages, size_t n)
{
    struct t_ltx m;
    struct wr_err e = {0};
    size_t i = 0;

    T_OK(t_ltx_read(file, true, LIVE_LOCK, &m, &e));
    T(m.commit == f->live.view.commit && m.page_size == 4096);
    for (uint32_t p = 1; p < T_LTX_PAGES; p++) {
        if (i == n || p != pages[i]) {
            T(m.pages[p] == NULL);
            continue;
        }
        T(m.pages[p] && memcmp(m.pages[p], f->image.p + (size_t)(p - 1) * 4096, 4096) == 0);
        i++;
    }
    T(i == n);
    t_ltx_release(&m);
}

static void test_every_way_gives_the_same_bytes(void **state)
{
    struct fixture f;
    struct wr_parcel *p, *q;
    struct wr_buf memory, disk, stream;
    struct wr_err e = {0};
    uint32_t some[] = {1, 2, 5, 16, 18, 30};
    char *path;

    (void)state;
    fixture_open(&f, 200000);
    p = parcel_new(&f, 7, 9);
    T(!wr_parcel_streamed(p));
    T_OK(wr_parcel_fill(p, &f.live.view, some, wr_countof(some), f.outbox, &e));
    T(p->path == NULL && p->bytes.n == p->size && !exists(f.outbox));
    memory = sent(p);
    T(memory.n == p->size);
    check_pages(&f, wr_buf_bytes(&memory), some, wr_countof(some));
    T(p->checksum == (wr_be64(memory.p + memory.n - 8)));

    T_OK(wr_parcel_stash(p, f.outbox, &e));
    T(p->path && p->bytes.n == 0 && p->bytes.p == NULL && p->size == memory.n);
    disk = sent(p);
    T(same(&memory, &disk));
    T_OK(wr_parcel_stash(p, f.outbox, &e)); /* is there already */
    path = wr_strndup(p->path, strlen(p->path));
    T(path && exists(path) && strstr(path, "0000000000000007-0000000000000009.ltx"));

    q = streamed(&f, 7, 9, some, wr_countof(some));
    T_OK(wr_parcel_stash(q, f.outbox, &e)); /* is nowhere */
    T(q->path == NULL);
    stream = sent(q);
    T(same(&memory, &stream));
    wr_parcel_unref(q);

    T(wr_parcel_alone(p));
    T(wr_parcel_ref(p) == p && !wr_parcel_alone(p));
    wr_parcel_unref(p);
    T(wr_parcel_alone(p) && exists(path));
    wr_parcel_unref(p);
    T(!exists(path));
    wr_parcel_unref(NULL);
    wr_free(path);
    wr_buf_release(&memory);
    wr_buf_release(&disk);
    wr_buf_release(&stream);
    fixture_close(&f);
}

/* Begun before its rolling checksum was known, or with it: the same file, and the next one takes
 * its memory. */
static void begun_and_ended(struct fixture *f, struct wr_parcel_room *room, size_t n)
{
    struct wr_parcel *p = parcel_new(f, 7, 9), *q = parcel_new(f, 7, 9);
    uint64_t *sums = wr_array(n, sizeof(*sums)), sum = 0;
    struct wr_buf begun, at_once;
    struct wr_err e = {0};

    T(sums != NULL);
    p->header.has_rolling = q->header.has_rolling = true;
    p->header.rolling_pre = q->header.rolling_pre = WR_LTX_CHECKSUM_EMPTY | 5;
    p->header.rolling_post = WR_LTX_CHECKSUM_EMPTY | 6;
    q->header.rolling_post = WR_LTX_CHECKSUM_EMPTY | 77;
    wr_parcel_use(p, room);
    T_OK(wr_parcel_begin(p, &f->live.view, f->pages, n, sums, &e));
    wr_parcel_end(p, q->header.rolling_post);
    T_OK(wr_parcel_fill(q, &f->live.view, f->pages, n, f->outbox, &e));
    begun = sent(p);
    at_once = sent(q);
    T(same(&begun, &at_once) && p->size == q->size && p->checksum == q->checksum);
    T(p->header.rolling_post == q->header.rolling_post && !p->path);
    T_OK(wr_parcel_stash(p, f->outbox, &e));
    wr_buf_release(&begun);
    begun = sent(p); /* its checksum of all bytes is that of the whole file */
    T(same(&begun, &at_once));
    for (size_t i = 0; i < n; i++)
        sum ^= sums[i];
    T(sum == live_sum(&f->live, f->pages, n));
    wr_free(sums);
    wr_buf_release(&begun);
    wr_buf_release(&at_once);
    wr_parcel_unref(p);
    wr_parcel_unref(q);
}

static void test_a_file_that_is_begun_before_its_end_is_known(void **state)
{
    struct wr_parcel_room room;
    struct fixture f;
    struct wr_parcel *p;
    uint64_t *sums;
    uint8_t *spare;
    struct wr_err e = {0};

    (void)state;
    fixture_open(&f, 1500000);
    wr_parcel_room_init(&room, WR_PARCEL_MEMORY_MAX, WR_PARCEL_ROOM_MAX, WR_PARCEL_ROOM_MAX);
    begun_and_ended(&f, NULL, 1);
    begun_and_ended(&f, &room, 20);
    T(room.spare == NULL); /* a small one keeps nothing */
    begun_and_ended(&f, &room, f.n);
    spare = room.spare;
    T(spare != NULL && room.left == WR_PARCEL_ROOM_MAX);
    begun_and_ended(&f, &room, f.n);
    T(room.spare == spare && room.left == WR_PARCEL_ROOM_MAX);

    /* What another one has, and what has it, counts for as much as it is. */
    sums = wr_array(f.n, sizeof(*sums));
    p = parcel_new(&f, 5, 5);
    p->header.has_rolling = true;
    p->header.rolling_pre = p->header.rolling_post = WR_LTX_CHECKSUM_EMPTY;
    wr_parcel_use(p, &room);
    T_OK(wr_parcel_begin(p, &f.live.view, f.pages, f.n, sums, &e));
    T(room.spare == NULL && p->bytes.p == spare);
    T(room.left == WR_PARCEL_ROOM_MAX - p->bytes.cap || p->bytes.cap > WR_PARCEL_ROOM_MAX);
    wr_parcel_unref(p);
    T(room.spare == spare);
    wr_parcel_room_rest(&room);
    T(room.spare == NULL);
    wr_parcel_room_rest(&room);

    /* Where there is no room it is not begun, and not missed yet: the outbox is next. */
    atomic_store(&room.left, WR_PARCEL_ROOM_MAX - 1);
    p = parcel_new(&f, 5, 5);
    wr_parcel_use(p, &room);
    T_IS(WR_LIMIT, wr_parcel_begin(p, &f.live.view, f.pages, f.n, sums, &e));
    T(room.missed == 0 && room.left == WR_PARCEL_ROOM_MAX - 1);
    wr_parcel_unref(p);
    wr_free(sums);
    fixture_close(&f);
}

/* Too large for memory; a snapshot; and all pages, read from the database while they are sent. */
static void test_large_files(void **state)
{
    struct fixture f;
    struct wr_parcel *p, *q;
    struct wr_buf disk, list, all;
    struct wr_err e = {0};

    (void)state;
    fixture_open(&f, 1500000);
    T(f.n * 4096 > 2 * WR_PARCEL_MEMORY_MAX && f.n < T_LTX_PAGES);
    p = parcel_new(&f, 1, 3);
    T_OK(wr_parcel_fill(p, &f.live.view, f.pages, f.n, f.outbox, &e));
    T(p->path && p->bytes.p == NULL && p->size > WR_PARCEL_MEMORY_MAX);
    disk = sent(p);
    T(disk.n == p->size);
    check_pages(&f, wr_buf_bytes(&disk), f.pages, f.n);
    T(t_slurp(p->path).n == p->size);

    q = streamed(&f, 1, 3, NULL, 0);
    all = sent(q);
    T(same(&disk, &all));
    wr_parcel_unref(q);
    q = streamed(&f, 1, 3, f.pages, f.n);
    list = sent(q);
    T(same(&disk, &list));
    wr_parcel_unref(q);

    q = streamed(&f, 1, 3, NULL, 0);
    wr_frozen_stop(q->frozen);
    struct wr_buf none;
    wr_buf_init(&none, (size_t)1 << 26);
    T_IS(WR_CANCELED, wr_parcel_send(q, 1, collect, &none, &e));
    wr_buf_release(&none);
    wr_parcel_unref(q);
    wr_parcel_unref(p);
    wr_buf_release(&disk);
    wr_buf_release(&list);
    wr_buf_release(&all);
    fixture_close(&f);
}

struct watched {
    struct wr_buf bytes;
    unsigned threads; /* most of the process at a chunk */
};

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

static enum wr_status watch(void *arg, struct wr_bytes piece, struct wr_err *e)
{
    struct watched *w = arg;

    w->threads = wr_max(w->threads, threads_now());
    return collect(&w->bytes, piece, e);
}

/* Of all pages, and it may take of `room`. */
static struct wr_parcel *filled(struct fixture *f, struct wr_parcel_room *room)
{
    struct wr_parcel *p = parcel_new(f, 1, 3);
    struct wr_err e = {0};

    wr_parcel_use(p, room);
    T_OK(wr_parcel_fill(p, &f->live.view, f->pages, f->n, f->outbox, &e));
    return p;
}

/* They were written to the outbox, read back and removed, though they were to be sent at once. */
static void test_large_files_while_there_is_room(void **state)
{
    struct wr_parcel_room room;
    struct fixture f;
    struct wr_parcel *p, *q;
    struct wr_buf memory, disk;
    struct wr_err e = {0};

    (void)state;
    fixture_open(&f, 1500000);
    wr_parcel_room_init(&room, WR_PARCEL_MEMORY_MAX, WR_PARCEL_ROOM_MAX, WR_PARCEL_ROOM_MAX + 100);
    p = parcel_new(&f, 5, 5);
    wr_parcel_use(p, &room);
    T_OK(wr_parcel_fill(p, &f.live.view, f.pages, 4, f.outbox, &e));
    T(!wr_parcel_large(p) && room.left == WR_PARCEL_ROOM_MAX + 100); /* no need of any */
    wr_parcel_unref(p);

    p = filled(&f, &room);
    T(wr_parcel_large(p) && p->path == NULL && p->bytes.n == p->size && !exists(f.outbox));
    T(room.left == WR_PARCEL_ROOM_MAX + 100 - p->size);
    q = filled(&f, &room); /* there might not be enough for it */
    T(q->path && q->bytes.p == NULL && q->held == 0 && room.missed == 1);
    memory = sent(p);
    disk = sent(q);
    T(same(&memory, &disk));
    check_pages(&f, wr_buf_bytes(&memory), f.pages, f.n);
    wr_parcel_unref(q);

    T_OK(wr_parcel_stash(p, f.outbox, &e));
    T(p->path && room.left == WR_PARCEL_ROOM_MAX + 100);
    wr_parcel_unref(p);
    p = filled(&f, &room);
    T(p->path == NULL && room.left < WR_PARCEL_ROOM_MAX);
    wr_parcel_unref(p);
    T(room.left == WR_PARCEL_ROOM_MAX + 100);
    wr_buf_release(&memory);
    wr_buf_release(&disk);
    wr_parcel_room_rest(&room);
    fixture_close(&f);
}

/* What turns out to be too large for that goes to the outbox, and gives back what it had. */
static void test_a_file_that_outgrows_the_room(void **state)
{
    struct wr_parcel_room room;
    struct fixture f;
    struct wr_parcel *p;

    (void)state;
    fixture_open(&f, WR_PARCEL_ROOM_MAX + 100000);
    wr_parcel_room_init(&room, WR_PARCEL_MEMORY_MAX, WR_PARCEL_ROOM_MAX, 2 * WR_PARCEL_ROOM_MAX);
    p = filled(&f, &room);
    T(p->path && p->size > WR_PARCEL_ROOM_MAX && t_slurp(p->path).n == p->size);
    T(room.left == 2 * WR_PARCEL_ROOM_MAX);
    wr_parcel_unref(p);
    wr_parcel_room_rest(&room);
    fixture_close(&f);
}

/* Simulated databases are small, and so are the limits there. */
static void test_less_is_large_where_the_room_says_so(void **state)
{
    struct wr_parcel_room room;
    struct fixture f;
    struct wr_parcel *p, *q;
    struct wr_err e = {0};

    (void)state;
    fixture_open(&f, 100000);
    wr_parcel_room_init(&room, 60000, 400000, 400000);
    p = parcel_new(&f, 5, 5);
    wr_parcel_use(p, &room);
    T_OK(wr_parcel_fill(p, &f.live.view, f.pages, 4, f.outbox, &e));
    T(!wr_parcel_large(p) && !p->path && room.left == 400000);
    q = filled(&f, &room);
    T(q->size > 60000 && q->size < 400000);
    T(wr_parcel_large(q) && !q->path && room.left == 400000 - q->size && room.missed == 0);
    wr_parcel_unref(p);
    p = filled(&f, &room);
    T(wr_parcel_large(p) && p->path && room.missed == 1);
    wr_parcel_unref(p);
    wr_parcel_unref(q);

    wr_parcel_room_rest(&room);
    wr_parcel_room_init(&room, 0, 60000, 600000);
    p = filled(&f, &room);
    T(p->path && room.left == 600000 && room.missed == 1);
    q = parcel_new(&f, 5, 5);
    wr_parcel_use(q, &room);
    T_OK(wr_parcel_fill(q, &f.live.view, f.pages, 4, f.outbox, &e));
    T(wr_parcel_large(q) && !q->path && room.left == 600000 - q->size);
    wr_parcel_unref(p);
    wr_parcel_unref(q);
    T(room.left == 600000);

    wr_parcel_room_rest(&room);
    wr_parcel_room_init(&room, 0, 60000, 0); /* not a byte */
    p = parcel_new(&f, 5, 5);
    wr_parcel_use(p, &room);
    T_OK(wr_parcel_fill(p, &f.live.view, f.pages, 4, f.outbox, &e));
    T(p->path && room.missed == 1 && t_slurp(p->path).n == p->size);
    wr_parcel_unref(p);
    wr_parcel_room_rest(&room);
    fixture_close(&f);
}

/* Where there is no block of that size it goes to the outbox, as it would without room. */
static void test_less_memory_than_room(void **state)
{
    struct wr_parcel_room room;
    struct fixture f;
    struct wr_parcel *p;
    struct wr_buf b;
    struct wr_err e = {0};
    unsigned spilled = 0;
    bool fired = true;

    (void)state;
    fixture_open(&f, 1500000);
    wr_parcel_room_init(&room, WR_PARCEL_MEMORY_MAX, WR_PARCEL_ROOM_MAX, WR_PARCEL_ROOM_MAX);
    for (int64_t i = 0; fired; i++) {
        enum wr_status st;

        p = parcel_new(&f, 1, 3);
        wr_parcel_use(p, &room);
        wr_mem_fail_after(i);
        st = wr_parcel_fill(p, &f.live.view, f.pages, f.n, f.outbox, &e);
        fired = wr_mem_fault_fired();
        wr_mem_fail_after(-1);
        T(st == WR_OK || (fired && st == WR_NOMEM));
        if (st == WR_OK && p->path) {
            b = sent(p);
            check_pages(&f, wr_buf_bytes(&b), f.pages, f.n);
            wr_buf_release(&b);
            spilled++;
        }
        wr_parcel_unref(p);
        T(room.left == WR_PARCEL_ROOM_MAX);
    }
    T(spilled > 0);
    wr_parcel_room_rest(&room);
    fixture_close(&f);
}

/* A buffer that doubles would have eight mebibytes for what counts as four and a half. */
static void test_memory_is_what_it_counts_as(void **state)
{
    struct wr_parcel_room room;
    struct fixture f;
    struct wr_parcel *p;

    (void)state;
    fixture_open(&f, 4300000);
    wr_parcel_room_init(&room, WR_PARCEL_MEMORY_MAX, WR_PARCEL_ROOM_MAX, WR_PARCEL_ROOM_MAX);
    p = filled(&f, &room);
    T(!p->path && p->bytes.cap <= WR_PARCEL_ROOM_MAX + 1);
    wr_parcel_unref(p);
    wr_parcel_room_rest(&room);
    fixture_close(&f);
}

/* Only what is large is shared out, and only among as many threads as there may be. */
static void test_large_files_on_several_threads(void **state)
{
    static const size_t sizes[] = {3000000, 5000000}; /* the small one first: no thread yet */
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < wr_countof(sizes); i++) {
        struct wr_buf alone = {0};
        unsigned before = threads_now();
        struct wr_err e = {0};

        fixture_open(&f, sizes[i]);
        T((f.n * 4096 < (size_t)4 << 20) == (i == 0));
        for (unsigned threads = 1; threads <= 64; threads *= 2) {
            unsigned more = i == 0 ? 0 : wr_min(threads, WR_PACKERS_MAX) - 1;
            struct wr_parcel *p = streamed(&f, 1, 3, NULL, 0);
            struct watched w = {.threads = 0};

            wr_buf_init(&w.bytes, (size_t)1 << 26);
            T_OK(wr_parcel_send(p, threads, watch, &w, &e));
            T(w.threads >= 1 + more && (i > 0 || w.threads == before));
            T(threads == 1 || same(&alone, &w.bytes));
            if (threads == 1)
                alone = w.bytes;
            else
                wr_buf_release(&w.bytes);
            wr_parcel_unref(p);
        }
        wr_buf_release(&alone);
        fixture_close(&f);
    }
}

struct stopping {
    struct wr_frozen *frozen;
    unsigned chunks;
};

static enum wr_status stop_at_third(void *arg, struct wr_bytes piece, struct wr_err *e)
{
    struct stopping *s = arg;

    (void)piece;
    (void)e;
    if (++s->chunks == 3)
        wr_frozen_stop(s->frozen);
    return WR_OK;
}

/* The database is let go while helpers have its pages in hand: what was read until then may still
 * be written, nothing else is. */
static void test_stopped_in_the_middle(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, 9000000);
    for (unsigned threads = 1; threads <= WR_PACKERS_MAX; threads++) {
        struct wr_parcel *p = streamed(&f, 1, 3, NULL, 0);
        struct stopping s = {.frozen = p->frozen};
        struct wr_err e = {0};

        T_IS(WR_CANCELED, wr_parcel_send(p, threads, stop_at_third, &s, &e));
        T(strstr(e.text, "detached") && s.chunks >= 3 && s.chunks < 30);
        T(!wr_frozen_doubted(p->frozen));
        wr_parcel_unref(p);
    }
    fixture_close(&f);
}

/* Whatever made the image wrong, a file of its pages must not come into being. */
static void test_a_streamed_file_of_wrong_pages(void **state)
{
    struct fixture f;
    struct wr_parcel *p;
    struct wr_buf sink;
    struct wr_err e = {0};

    (void)state;
    fixture_open(&f, 100000);
    for (int all = 0; all < 2; all++) {
        p = streamed(&f, 5, 6, all ? NULL : f.pages, all ? 0 : f.n - 3);
        p->sum ^= 1;
        wr_buf_init(&sink, (size_t)1 << 26);
        T(!wr_frozen_doubted(p->frozen));
        T_IS(WR_INTERNAL, wr_parcel_send(p, 1, collect, &sink, &e));
        T(wr_frozen_doubted(p->frozen));
        wr_buf_release(&sink);
        wr_parcel_unref(p);
    }
    for (uint64_t wrong = 0; wrong < 2; wrong++) { /* the same for one that is read at once */
        p = parcel_new(&f, 5, 6);
        wr_parcel_expect(p, live_sum(&f.live, f.pages, f.n) ^ wrong);
        T_IS(wrong ? WR_INTERNAL : WR_OK,
            wr_parcel_fill(p, &f.live.view, f.pages, f.n, f.outbox, &e));
        wr_parcel_unref(p);
    }
    fixture_close(&f);
}

/* Two replicas that join at the same place are sent two files of the same name. Neither may
 * overwrite the other's, nor take it away. */
static void test_two_files_of_one_name(void **state)
{
    struct fixture f;
    struct wr_parcel *p[3];
    struct wr_buf first, again;
    struct wr_err e = {0};

    (void)state;
    fixture_open(&f, 200000);
    for (size_t i = 0; i < wr_countof(p); i++) {
        p[i] = parcel_new(&f, 5, 5);
        T_OK(wr_parcel_fill(p[i], &f.live.view, f.pages, 3 + i, f.outbox, &e));
        T_OK(wr_parcel_stash(p[i], f.outbox, &e));
    }
    first = sent(p[0]);
    check_pages(&f, wr_buf_bytes(&first), f.pages, 3);
    again = sent(p[2]);
    check_pages(&f, wr_buf_bytes(&again), f.pages, 5);
    wr_buf_release(&again);
    wr_parcel_unref(p[1]);
    wr_parcel_unref(p[0]);
    again = sent(p[2]);
    check_pages(&f, wr_buf_bytes(&again), f.pages, 5);
    wr_parcel_unref(p[2]);
    wr_buf_release(&first);
    wr_buf_release(&again);
    fixture_close(&f);
}

/* Sent as it was found, it took its name in the replica, and no restore got past it. The last piece
 * must not be handed out, nor any other than those that were written. */
static void test_a_file_that_rotted_in_the_outbox(void **state)
{
    struct fixture f;
    struct wr_parcel *p;
    struct wr_err e = {0};
    struct wr_buf b;
    uint64_t at[4];

    (void)state;
    fixture_open(&f, 1500000);
    for (int large = 0; large < 2; large++) {
        p = parcel_new(&f, 5, 5);
        T_OK(wr_parcel_fill(p, &f.live.view, f.pages, large ? f.n : 4, f.outbox, &e));
        T_OK(wr_parcel_stash(p, f.outbox, &e));
        at[0] = 0;
        at[1] = p->size / 3;
        at[2] = p->size - 1;
        at[3] = 200;
        for (size_t i = 0; i < wr_countof(at); i++) {
            struct wr_bytes file = t_slurp(p->path);
            uint8_t *bytes = wr_alloc(file.n);

            T(bytes && file.n == p->size);
            memcpy(bytes, file.p, file.n);
            bytes[at[i]] ^= 1;
            t_spew(p->path, bytes, file.n);
            wr_buf_init(&b, (size_t)1 << 26);
            T_IS(WR_CORRUPT, wr_parcel_send(p, 1, collect, &b, &e));
            T(strstr(e.text, p->path) != NULL);
            T(b.n < p->size);
            wr_buf_release(&b);
            t_spew(p->path, file.p, file.n);
            b = sent(p);
            T(b.n == p->size && memcmp(b.p, file.p, file.n) == 0);
            wr_buf_release(&b);
            wr_free(bytes);
        }
        wr_parcel_unref(p);
    }
    fixture_close(&f);
}

static enum wr_status refuse(void *arg, struct wr_bytes piece, struct wr_err *e)
{
    (void)arg;
    (void)piece;
    return wr_fail(e, WR_AUTH, "no");
}

static void test_failures_on_the_way_out(void **state)
{
    struct fixture f;
    struct wr_parcel *p;
    struct wr_err e = {0};
    struct wr_buf b;

    (void)state;
    fixture_open(&f, 200000);
    p = parcel_new(&f, 5, 5);
    T_OK(wr_parcel_fill(p, &f.live.view, f.pages, 4, f.outbox, &e));
    T_IS(WR_AUTH, wr_parcel_send(p, 1, refuse, NULL, &e));
    T_OK(wr_parcel_stash(p, f.outbox, &e));
    T_IS(WR_AUTH, wr_parcel_send(p, 1, refuse, NULL, &e));
    T(truncate(p->path, 10) == 0);
    wr_buf_init(&b, (size_t)1 << 26);
    T_IS(WR_CORRUPT, wr_parcel_send(p, 1, collect, &b, &e));
    T(unlink(p->path) == 0);
    T_IS(WR_NOTFOUND, wr_parcel_send(p, 1, collect, &b, &e));
    wr_parcel_unref(p);

    /* Nowhere to put it: it stays in memory, whole. */
    p = parcel_new(&f, 5, 5);
    T_OK(wr_parcel_fill(p, &f.live.view, f.pages, 4, f.outbox, &e));
    t_spew(t_path(f.live.dir, "file"), "x", 1);
    T_IS(WR_CONFLICT, wr_parcel_stash(p, t_path(f.live.dir, "file"), &e));
    T(p->path == NULL);
    wr_buf_clear(&b);
    T_OK(wr_parcel_send(p, 1, collect, &b, &e));
    check_pages(&f, wr_buf_bytes(&b), f.pages, 4);
    wr_parcel_unref(p);
    wr_buf_release(&b);
    fixture_close(&f);
}

/* ---- a full disk ---- */

static uint64_t room; /* bytes that still fit */

struct tight_file {
    struct wr_file file;
    struct wr_file *real;
};

static enum wr_status tight_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    static struct tight_file f; /* one at a time */

    f.file.fs = fs;
    *ret = &f.file;
    return wr_file_open(wr_fs_posix(), path, flags, mode, &f.real, e);
}

static struct wr_file *real_of(struct wr_file *f)
{
    return wr_container_of(f, struct tight_file, file)->real;
}

static void tight_close(struct wr_file *f)
{
    wr_file_close(real_of(f));
}

static enum wr_status tight_pread(
    struct wr_file *f, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    return wr_file_pread(real_of(f), buf, n, off, got, e);
}

static enum wr_status tight_pwrite(
    struct wr_file *f, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    if (off + n > room)
        return wr_fail(e, WR_LIMIT, "disk full on purpose");
    return wr_file_pwrite(real_of(f), buf, n, off, e);
}

static void test_full_disk(void **state)
{
    struct wr_fs fs = *wr_fs_posix();
    struct fixture f;
    struct wr_parcel *p;
    struct wr_err e = {0};
    const char *name;
    struct wr_buf b;

    (void)state;
    fs.open = tight_open;
    fs.close = tight_close;
    fs.pread = tight_pread;
    fs.pwrite = tight_pwrite;
    fixture_open(&f, 1500000);
    name = t_path(f.outbox, "0000000000000005-0000000000000005.ltx");
    /* No byte fits; or the first part does, not the rest. */
    for (room = 0; room <= WR_PARCEL_MEMORY_MAX + 100000; room += WR_PARCEL_MEMORY_MAX + 100000) {
        p = parcel_new(&f, 5, 5);
        p->fs = &fs;
        T_IS(WR_LIMIT, wr_parcel_fill(p, &f.live.view, f.pages, f.n, f.outbox, &e));
        wr_parcel_unref(p);
        T(!exists(name));
    }
    room = 0;
    p = parcel_new(&f, 5, 5);
    p->fs = &fs;
    T_OK(wr_parcel_fill(p, &f.live.view, f.pages, 4, f.outbox, &e));
    T_IS(WR_LIMIT, wr_parcel_stash(p, f.outbox, &e));
    T(p->path == NULL && !exists(name));
    b = sent(p); /* still whole, in memory */
    check_pages(&f, wr_buf_bytes(&b), f.pages, 4);
    wr_buf_release(&b);
    room = UINT64_MAX;
    T_OK(wr_parcel_stash(p, f.outbox, &e));
    b = sent(p);
    check_pages(&f, wr_buf_bytes(&b), f.pages, 4);
    wr_buf_release(&b);
    wr_parcel_unref(p);
    T(!exists(name));
    fixture_close(&f);
}

/* ---- what an earlier process left ---- */

static void test_clean_removes_only_what_is_ours(void **state)
{
    static const char *const ours[] = {"0000000000000001-0000000000000001.ltx",
        "0000000000000002-00000000000000ff.ltx", "0000000000000002-00000000000000ff.ltx.1",
        "0000000000000002-00000000000000ff.ltx.64", "kept.0", "kept.12"};
    static const char *const theirs[] = {"notes", "0000000000000002-0000000000000001.ltx",
        "0000000000000001-0000000000000001.ltx.tmp", "0000000000000001-0000000000000001.ltx.1.2",
        "0000000000000001-0000000000000001.LTX", "1-1.ltx", "ltx.1", "kept.me", "kept.1.2"};
    const char *dir = t_tmpdir();

    (void)state;
    for (size_t i = 0; i < wr_countof(ours); i++)
        t_spew(t_path(dir, ours[i]), "x", 1);
    for (size_t i = 0; i < wr_countof(theirs); i++)
        t_spew(t_path(dir, theirs[i]), "x", 1);
    wr_outbox_clean(wr_fs_posix(), dir);
    for (size_t i = 0; i < wr_countof(ours); i++)
        T(!exists(t_path(dir, ours[i])));
    for (size_t i = 0; i < wr_countof(theirs); i++)
        T(exists(t_path(dir, theirs[i])));
    wr_outbox_clean(wr_fs_posix(), t_path(dir, "absent"));
}

/* ---- memory ---- */

static enum wr_status sweep(void *arg)
{
    struct fixture *f = arg;
    struct wr_ltx_header h = {
        .page_size = 4096, .commit = f->live.view.commit, .min_txid = 5, .max_txid = 5};
    struct wr_parcel *p = NULL, *q = NULL;
    struct wr_frozen *frozen = NULL;
    struct wr_buf b, c;
    struct wr_err e = {0};
    enum wr_status st = wr_parcel_new(wr_fs_posix(), &h, 0, LIVE_LOCK, &p, &e);

    wr_buf_init(&b, (size_t)1 << 26);
    wr_buf_init(&c, (size_t)1 << 26);
    if (st == WR_OK)
        st = wr_parcel_fill(p, &f->live.view, f->pages, 6, f->outbox, &e);
    if (st == WR_OK)
        st = wr_parcel_stash(p, f->outbox, &e);
    if (st == WR_OK)
        st = wr_parcel_send(p, 1, collect, &b, &e);
    if (st == WR_OK)
        st = wr_parcel_new(wr_fs_posix(), &h, 0, LIVE_LOCK, &q, &e);
    if (st == WR_OK)
        st = wr_frozen_new(wr_fs_posix(), f->outbox, &f->live.view, &frozen, &e);
    if (st == WR_OK)
        wr_parcel_stream(q, frozen, NULL, 0, f->sum);
    if (st == WR_OK)
        st = wr_parcel_send(q, 1, collect, &c, &e);
    if (st == WR_OK)
        T(b.n < c.n);
    wr_parcel_unref(p);
    wr_parcel_unref(q);
    wr_buf_release(&b);
    wr_buf_release(&c);
    return st;
}

static void test_no_memory(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, 100000);
    t_sweep_nomem(sweep, &f);
    fixture_close(&f);
}

T_MAIN(T_TEST(test_every_way_gives_the_same_bytes),
    T_TEST(test_a_file_that_is_begun_before_its_end_is_known), T_TEST(test_large_files),
    T_TEST(test_large_files_while_there_is_room), T_TEST(test_a_file_that_outgrows_the_room),
    T_TEST(test_less_is_large_where_the_room_says_so), T_TEST(test_less_memory_than_room),
    T_TEST(test_memory_is_what_it_counts_as), T_TEST(test_large_files_on_several_threads),
    T_TEST(test_stopped_in_the_middle), T_TEST(test_a_streamed_file_of_wrong_pages),
    T_TEST(test_two_files_of_one_name), T_TEST(test_a_file_that_rotted_in_the_outbox),
    T_TEST(test_failures_on_the_way_out), T_TEST(test_full_disk),
    T_TEST(test_clean_removes_only_what_is_ours), T_TEST(test_no_memory))
