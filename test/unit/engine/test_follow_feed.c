/*
 * test_follow_feed.c - followers of a primary: a real server on loopback that hands out a feed, the
 * bucket beside it, and what becomes of the copy when either is away, lies, or has lost something.
 */
#include "engine/feed.h"
#include "engine/follow_int.h"
#include "fake/httpd.h"
#include "storage/stream.h"
#include "unit/engine/follow_world.h"

#include <stdatomic.h>

struct push {
    struct fw w;
    struct httpd *d;
    struct wr_feed *feed;
    struct wr_stream *stream;
    struct wr_follow *f;
    uint64_t txid; /* of the feed */
    uint32_t part;
    int status; /* != 0: that is the answer */
    const char *garbage;
    uint64_t swap;    /* where the answers come from another story */
    bool flows;       /* answers go on, for who asks for that */
    size_t slice;     /* bytes of each piece; 0: as they come */
    atomic_uint over; /* of those, so many are */
    atomic_int end;   /* 1: they end where there is nothing new; 2: they are cut off there */
};

static uint64_t number(const struct httpd_request *r, const char *name, int base)
{
    const char *at = strstr(r->target, name);

    return at ? strtoull(at + strlen(name), NULL, base) : 0;
}

/* An answer that goes on. */
struct flow {
    struct wr_feed_at at;
    uint8_t bytes[2 << 20]; /* that are yet to be sent */
    size_t n;
};

static void take_some(struct push *x, struct flow *f, struct httpd_answer *a)
{
    size_t n = x->slice ? wr_min(x->slice, f->n) : f->n;

    httpd_add_body(a, f->bytes, n);
    f->n -= n;
    memmove(f->bytes, f->bytes + n, f->n);
}

static bool flow_on(void *arg, struct httpd_answer *a)
{
    struct push *x = arg;
    struct flow *f = a->state;
    struct wr_err e = {0};
    enum wr_status st = WR_TIMEOUT;
    struct wr_buf out;

    wr_buf_init(&out, sizeof(f->bytes));
    while (f->n == 0 && st == WR_TIMEOUT) {
        int how = atomic_load(&x->end);

        st = wr_feed_read(x->feed, &f->at, wr_mono_ns(wr_clock_system()) + 1000000, NULL, &out, &e);
        if (st == WR_TIMEOUT && how == 2)
            a->status = 0;
        if (st == WR_TIMEOUT && how)
            st = WR_NOTFOUND;
        if (st == WR_OK) {
            memcpy(f->bytes, out.p, out.n);
            f->n = out.n;
        }
    }
    wr_buf_release(&out);
    take_some(x, f, a);
    if (a->n_body == 0)
        atomic_fetch_add(&x->over, 1);
    return a->n_body > 0;
}

static void begin_flow(
    struct push *x, const struct wr_feed_at *at, const struct wr_buf *out, struct httpd_answer *a)
{
    struct flow *f = httpd_state(a, sizeof(*f));

    T(out->n <= sizeof(f->bytes));
    f->at = *at;
    f->n = out->n;
    memcpy(f->bytes, out->p, out->n);
    a->more = flow_on;
    take_some(x, f, a);
}

/* On a thread of the server. */
static void serve(void *arg, const struct httpd_request *r, struct httpd_answer *a)
{
    struct push *x = arg;
    struct wr_feed_at at = {.txid = number(r, "after=", 16),
        .life = number(r, "life=", 16),
        .part = (uint32_t)number(r, "part=", 10),
        .more = number(r, "more=", 10) > 0};
    const char *auth = httpd_header(r, "Authorization");
    struct wr_err e = {0};
    struct wr_buf out;
    enum wr_status st;

    if (!auth || strcmp(auth, "Bearer a-token") != 0) {
        a->status = 403;
        httpd_add_text(a, "not by that name\n");
        return;
    }
    if (!strstr(r->target, "after=")) {
        a->status = 200;
        httpd_add_text(a, "txid 1\nreplica s3://bucket/app\nreplica file:///b\n");
        return;
    }
    if (x->status || x->garbage) {
        a->status = x->status ? x->status : 200;
        httpd_add_text(a, "%s", x->garbage ? x->garbage : "no\n");
        return;
    }
    wr_buf_init(&out, 16 << 20);
    st = wr_feed_read(x->feed, &at, 0, NULL, &out, &e);
    a->status = st == WR_OK ? 200 : st == WR_TIMEOUT ? 204 : 410;
    if (st == WR_OK && x->flows && strstr(r->target, "flow=1"))
        begin_flow(x, &at, &out, a);
    else if (st == WR_OK)
        httpd_add_body(a, out.p, out.n);
    wr_buf_release(&out);
}

static void connect_to(struct push *x)
{
    static char url[100];
    struct wr_stream_opts o = {.url = url, .token = "a-token", .connect_ms = 500, .slack_ms = 500};
    struct wr_err e = {0};

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/app.db", httpd_port(x->d));
    T_OK(wr_stream_open(&o, &x->stream, &e));
}

static void follow(struct push *x)
{
    struct wr_follow_opts o = fw_opts(&x->w);
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    o.primary = x->stream;
    T_OK(wr_follow_open(x->w.w.storage, fw_call(&x->w), &o, &x->f, &r, &e));
}

static void open_push(struct push *x)
{
    struct wr_err e = {0};

    *x = (struct push){0};
    fw_init(&x->w, true);
    T_OK(wr_feed_new(wr_clock_system(), NULL, 1000, &x->feed, &e));
    x->txid = 1;
    wr_feed_begin(x->feed, 1);
    x->d = httpd_start(serve, x);
    T(x->d);
    connect_to(x);
    follow(x);
}

static void close_push(struct push *x)
{
    atomic_store(&x->end, 1);
    wr_follow_close(x->f);
    wr_stream_close(x->stream);
    httpd_stop(x->d);
    wr_feed_free(x->feed);
    fw_release(&x->w);
}

/* The story's next transaction is the next part: behind TXID n, part k is its transaction n + k. */
static void commit(struct push *x)
{
    struct wr_err e = {0};
    struct wr_buf b;

    fw_random_commit(&x->w);
    wr_buf_init(&b, 16 << 20);
    story_file(&x->w.s, x->w.s.n, x->w.s.n, &b);
    T_OK(wr_feed_part(x->feed, ++x->part, wr_buf_bytes(&b), &e));
    wr_buf_release(&b);
}

/* The story's transactions since the last one become one file; *same: with the last part. */
static void close_txid(struct push *x, bool in_bucket, bool same)
{
    const struct image *is = &x->w.s.image[x->w.s.n];
    struct wr_err e = {0};
    struct wr_buf b;

    wr_buf_init(&b, 16 << 20);
    story_file(&x->w.s, x->txid + 1, x->w.s.n, &b);
    T_OK(wr_feed_file(x->feed, x->w.s.n, 5, is->rolling, same ? x->part : 0, wr_buf_bytes(&b), &e));
    wr_buf_release(&b);
    if (in_bucket)
        story_put(&x->w.s, &x->w.w, 0, x->txid + 1, x->w.s.n);
    x->txid = x->w.s.n;
    x->part = 0;
}

/* So many steps, and what the last one wants to wait. */
static int64_t steps(struct push *x, int n)
{
    struct wr_err e = {0};
    int64_t wait_ms = -1;

    while (n-- > 0)
        T_OK(wr_follow_step(x->f, fw_call(&x->w), &wait_ms, &e));
    return wait_ms;
}

/* Step, the clock standing still, until the copy is that transaction of the story. */
static void until(struct push *x, uint64_t txid)
{
    struct wr_bytes got;

    for (int i = 0; i < 200; i++) {
        const struct image *want = &x->w.s.image[txid];

        (void)steps(x, 1);
        got = t_slurp(x->w.copy);
        if (got.n == (size_t)want->commit * x->w.s.page_size &&
            memcmp(got.p + 100, want->data + 100, x->w.s.page_size - 100) == 0 &&
            memcmp(got.p + x->w.s.page_size, want->data + x->w.s.page_size, x->w.s.page_size) ==
                0) {
            fw_check_is(&x->w, txid);
            return;
        }
        t_sleep_ms(20);
    }
    T(!"it does not get there");
}

/* ---- all is well ---- */

static void test_parts_and_files_arrive(void **state)
{
    struct push x;
    uint64_t txid = 0;
    struct wr_err e = {0};

    (void)state;
    open_push(&x);
    for (int i = 0; i < 20; i++) {
        commit(&x);
        if (i % 3 == 1)
            commit(&x); /* two at once are one step */
        (void)steps(&x, 1);
        fw_check_is(&x.w, x.w.s.n);
        fw_check_sqlite(&x.w);
        T(x.w.told.txid == x.txid);
        if (i % 4 == 0) {
            close_txid(&x, true, i % 8 == 0);
            (void)steps(&x, 1);
            fw_check_is(&x.w, x.w.s.n);
            T(x.w.told.txid == x.txid);
            T_OK(wr_follow_txid_get(wr_fs_posix(), x.w.copy, &txid, &e));
            T(txid == x.txid);
        }
    }
    T(x.w.errors == 0 && x.w.warnings == 0);
    close_push(&x);
}

static size_t asked(struct push *x)
{
    return httpd_count(x->d, "after=");
}

static void await_over(struct push *x, unsigned n)
{
    while (atomic_load(&x->over) < n)
        t_sleep_ms(1);
}

/* One step, for which nothing is asked unless it says so. */
static void step_in_flow(struct push *x, size_t asks)
{
    size_t before = asked(x);

    (void)steps(x, 1);
    fw_check_is(&x->w, x->w.s.n);
    T(asked(x) == before + asks);
    T(x->w.told.txid == x->txid && x->w.errors == 0 && x->w.warnings == 0);
}

/* Each commit was asked for, which was half of what it cost both. However it is cut into pieces. */
static void test_an_answer_goes_on(void **state)
{
    static const size_t slices[] = {0, 1000, 47}; /* less than the head of a record */
    struct push x;

    (void)state;
    for (size_t s = 0; s < wr_countof(slices); s++) {
        open_push(&x);
        x.flows = true;
        x.slice = slices[s];
        commit(&x);
        step_in_flow(&x, 1); /* at first it does not wait */
        commit(&x);
        step_in_flow(&x, 1);
        for (int i = 0; i < 12; i++) {
            commit(&x);
            step_in_flow(&x, 0);
            if (i % 4 == 0) {
                close_txid(&x, true, i % 8 == 0);
                step_in_flow(&x, 0);
            }
        }
        wr_feed_more(x.feed);
        (void)steps(&x, 1);
        T(x.w.told.phase == WR_FOLLOW_BEHIND);
        fw_random_commit(&x.w);
        close_txid(&x, true, false);
        step_in_flow(&x, 0);
        T(x.w.told.phase == WR_FOLLOW_CURRENT);
        close_push(&x);
    }
}

/* When it is over, or its connection breaks, the next one is asked for at once. */
static void test_an_answer_that_went_on_is_over(void **state)
{
    struct push x;

    (void)state;
    open_push(&x);
    x.flows = true;
    commit(&x);
    step_in_flow(&x, 1);
    for (int i = 0; i < 6; i++) {
        commit(&x);
        step_in_flow(&x, 1);
        commit(&x);
        step_in_flow(&x, 0);
        if (i == 3) {
            x.f->source.ahead++; /* the copy is not where it goes on from: it was moved otherwise */
            continue;
        }
        atomic_store(&x.end, 1 + i % 2);
        await_over(&x, 1);
        atomic_store(&x.end, 0);
        atomic_store(&x.over, 0);
    }
    close_push(&x);
}

/* With the primary the answer ends, and the bucket takes over. */
static void test_a_primary_that_dies_in_an_answer(void **state)
{
    struct push x;

    (void)state;
    open_push(&x);
    x.flows = true;
    for (int i = 0; i < 2; i++) {
        commit(&x);
        step_in_flow(&x, 1);
    }
    close_txid(&x, true, true);
    step_in_flow(&x, 0);
    x.status = 503;
    atomic_store(&x.end, 2);
    await_over(&x, 1);
    fw_random_commit(&x.w);
    close_txid(&x, true, false);
    (void)steps(&x, 1);
    T(x.w.warnings == 1 && x.f->source.again_ms > 0);
    x.f->list_ms = x.f->wide_ms = 0;
    until(&x, x.w.s.n);
    close_push(&x);
}

/* It was asked for again, and the primary was no more. Nobody else has it. */
static void test_what_a_primary_sent_before_it_died(void **state)
{
    struct push x;

    (void)state;
    for (int lost = 0; lost < 2; lost++) { /* whether the first piece is the last one, too */
        open_push(&x);
        x.flows = true;
        commit(&x);
        step_in_flow(&x, 1);
        if (!lost) {
            commit(&x);
            step_in_flow(&x, 1);
        }
        commit(&x);
        atomic_store(&x.end, 2);
        if (!lost) {
            await_over(&x, 1);
            x.status = 503;
        }
        step_in_flow(&x, (size_t)lost);
        close_push(&x);
    }
}

/* It called itself current until the TXID was closed. */
static void test_a_copy_that_is_told_of_more_is_behind(void **state)
{
    struct push x;

    (void)state;
    open_push(&x);
    for (int parts = 0; parts < 2; parts++) {
        for (int i = 0; i < parts; i++)
            commit(&x);
        wr_feed_more(x.feed);
        fw_random_commit(&x.w);
        T(steps(&x, 1 + parts) == 0);
        T(x.w.told.phase == WR_FOLLOW_BEHIND && x.w.told.lag_ms > 0 && x.w.told.txid == x.txid);
        T(steps(&x, 1) > 0);               /* it is told once */
        x.f->wide_ms = x.f->bucket_ms = 0; /* the bucket has nothing, and knows of nothing */
        T(steps(&x, 2) > 0);
        T(x.w.told.phase == WR_FOLLOW_BEHIND && x.w.told.lag_ms > 0);
        close_txid(&x, true, false);
        (void)steps(&x, 1);
        T(x.w.told.phase == WR_FOLLOW_CURRENT && x.w.told.lag_ms == 0);
        fw_check_is(&x.w, x.w.s.n);
    }
    T(x.w.errors == 0 && x.w.warnings == 0);
    close_push(&x);
}

/* The primary died with what it had told of, and nobody wrote again: the copy was behind for ever.
 */
static void test_what_a_primary_lost_is_not_waited_for(void **state)
{
    struct push x;

    (void)state;
    open_push(&x);
    commit(&x);
    close_txid(&x, true, false);
    T(steps(&x, 1) == 0);
    wr_feed_more(x.feed);
    (void)steps(&x, 1);
    T(x.w.told.phase == WR_FOLLOW_BEHIND);
    wr_feed_drop(x.feed);
    wr_feed_begin(x.feed, x.txid);
    (void)steps(&x, 4);
    T(x.w.told.phase == WR_FOLLOW_CURRENT && x.w.told.lag_ms == 0 && x.w.told.txid == x.txid);
    fw_check_is(&x.w, x.w.s.n);
    close_push(&x);
}

/* What is too large for the primary's memory is on its way to the bucket: until it is there the
 * copy is behind. */
static void test_what_is_on_its_way_is_waited_for(void **state)
{
    struct wr_err e = {0};
    struct push x;

    (void)state;
    open_push(&x);
    commit(&x);
    close_txid(&x, true, false);
    T(steps(&x, 1) == 0);
    wr_feed_more(x.feed);
    fw_random_commit(&x.w);
    (void)steps(&x, 1);
    T(x.w.told.phase == WR_FOLLOW_BEHIND);
    T_OK(wr_feed_file(
        x.feed, x.w.s.n, 5, x.w.s.image[x.w.s.n].rolling, 0, (struct wr_bytes){0}, &e));
    for (int i = 0; i < 6; i++) {
        (void)steps(&x, 1);
        T(x.w.told.phase == WR_FOLLOW_BEHIND && x.w.told.txid == x.txid);
    }
    story_put(&x.w.s, &x.w.w, 0, x.txid + 1, x.w.s.n);
    (void)steps(&x, 3);
    T(x.w.told.phase == WR_FOLLOW_CURRENT && x.w.told.txid == x.w.s.n);
    fw_check_is(&x.w, x.w.s.n);
    close_push(&x);
}

/* A follower that is killed and comes back in the middle of a TXID. */
static void test_a_restart_between_parts(void **state)
{
    struct push x;

    (void)state;
    open_push(&x);
    for (int i = 0; i < 20; i++) {
        commit(&x);
        (void)steps(&x, 1);
        fw_check_is(&x.w, x.w.s.n);
        if (i % 7 == 6)
            close_txid(&x, true, true);
        wr_follow_close(x.f);
        x.f = NULL;
        if (i % 2)
            commit(&x);
        follow(&x);
        (void)steps(&x, 2);
        fw_check_is(&x.w, x.w.s.n);
    }
    T(x.w.errors == 0 && x.w.warnings == 0);
    close_push(&x);
}

/* ---- the primary is away ---- */

static void test_the_bucket_takes_over(void **state)
{
    static const int statuses[] = {500, 503, 401, 404, 410};
    struct push x;

    (void)state;
    for (size_t i = 0; i < wr_countof(statuses); i++) {
        open_push(&x);
        commit(&x);
        (void)steps(&x, 1);
        fw_check_is(&x.w, 2);
        x.status = statuses[i];
        commit(&x);
        close_txid(&x, true, true);
        until(&x, x.w.s.n); /* over the part that it has */
        T(x.w.told.txid == x.txid && x.w.errors == 0);
        T((x.w.warnings == 1) == (statuses[i] != 410));
        fw_sql(&x.w, "INSERT INTO u VALUES(1)");
        fw_store(&x.w);
        close_push(&x);
    }
}

static void test_a_dead_primary_and_its_return(void **state)
{
    struct push x;

    (void)state;
    open_push(&x);
    commit(&x);
    (void)steps(&x, 1);
    httpd_stop(x.d);
    x.d = NULL;
    commit(&x);
    close_txid(&x, true, false);
    until(&x, x.w.s.n);
    T(x.w.warnings == 1 && x.w.errors == 0);
    wr_follow_close(x.f);
    wr_stream_close(x.stream);
    x.d = httpd_start(serve, &x);
    connect_to(&x);
    follow(&x);
    commit(&x);
    (void)steps(&x, 1);
    fw_check_is(&x.w, x.w.s.n);
    close_push(&x);
}

/* Somebody else was promoted, and the old primary, to which nobody writes, does not know: the copy
 * stayed as it was, and called itself current. */
static void test_a_primary_with_nothing_new_hid_the_bucket(void **state)
{
    struct push x;

    (void)state;
    open_push(&x);
    (void)steps(&x, 3);
    fw_sql(&x.w, "INSERT INTO u VALUES(1)");
    fw_sql(&x.w, "INSERT INTO u VALUES(2)");
    fw_store(&x.w);
    (void)steps(&x, 3);
    T(x.w.told.txid == 1 && x.f->bucket_ms > 0); /* not at every step */
    x.f->bucket_ms = 0;
    (void)steps(&x, 3);
    fw_check_is(&x.w, 3);
    T(x.w.told.txid == 3 && x.w.errors == 0);
    close_push(&x);
}

/* ---- it lies, or has lost something ---- */

static void test_what_does_not_fit_is_not_applied(void **state)
{
    static const char *const garbage[] = {
        "", "x", "WFD1", "<html>", "WFD1000000000000000000000000000000000000000000000000000000000"};
    struct push x;

    (void)state;
    for (size_t i = 1; i < wr_countof(garbage); i++) {
        open_push(&x);
        x.garbage = garbage[i];
        commit(&x);
        for (int k = 0; k < 3; k++) { /* asked ever later, and told once */
            x.f->source.again_ms = 0;
            (void)steps(&x, 2);
            T(x.f->source.failures == (unsigned)k + 1);
        }
        fw_check_is(&x.w, 1);
        T(x.w.warnings == 1 && x.w.errors == 0);
        close_txid(&x, true, false);
        until(&x, 2);
        close_push(&x);
    }
}

/* Another course of things, as of a primary that lost its last commits: the copy has them. The
 * bucket goes on without, and so does the copy. */
static void test_commits_that_the_bucket_never_gets_are_undone(void **state)
{
    (void)state;
    for (int closed = 0; closed < 3; closed++) {
        struct push x;
        struct story other;
        struct wr_err e = {0};
        uint64_t from;

        open_push(&x);
        fw_sql(&x.w, "INSERT INTO u VALUES(5)");
        close_txid(&x, true, false);
        (void)steps(&x, 2);
        from = x.w.s.n;
        fw_check_is(&x.w, from);
        story_fork(&other, &x.w.s, from);
        commit(&x);
        if (closed)
            close_txid(&x, false, true);
        (void)steps(&x, 2);
        fw_check_is(&x.w, from + 1);
        x.status = 503; /* the primary, and what it had, are gone */
        (void)steps(&x, 3);
        fw_check_is(&x.w, from + 1); /* and nothing is undone for that */
        if (closed == 2) {           /* nor does it know any more what it was in step with */
            wr_follow_close(x.f);
            follow(&x);
            T(x.f->floor.txid == 0);
        }
        story_commit(&other, 40, 5);
        story_commit(&other, 42, 5);
        story_put(&other, &x.w.w, 0, from + 1, from + 1);
        story_put(&other, &x.w.w, 0, from + 2, from + 2);
        for (int i = 0; i < 50 && x.w.told.txid < from + 2; i++) {
            int64_t wait_ms;

            x.f->wide_ms = x.f->list_ms = 0; /* it is time to list again */
            T_OK(wr_follow_step(x.f, fw_call(&x.w), &wait_ms, &e));
        }
        T(x.w.told.txid == from + 2 && x.w.warnings >= 2);
        {
            struct wr_bytes got = t_slurp(x.w.copy);

            T(got.n == (size_t)42 * x.w.s.page_size);
            T(memcmp(got.p + x.w.s.page_size, other.image[from + 2].data + x.w.s.page_size,
                  x.w.s.page_size) == 0);
        }
        story_release(&other);
        close_push(&x);
    }
}

/* Step until it gives up, listing each time; the clock stands still. */
static enum wr_status gives_up(struct push *x, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    int64_t wait_ms;

    for (int i = 0; st == WR_OK && i < 10; i++) {
        x->f->wide_ms = x->f->list_ms = x->f->bucket_ms = 0;
        st = wr_follow_step(x->f, fw_call(&x->w), &wait_ms, e);
    }
    return st;
}

/* The bucket has files of another database from `from` on, and more of them. */
static void reset_bucket(struct push *x, uint64_t from, uint64_t to)
{
    struct story other;

    story_fork(&other, &x->w.s, from - 1);
    for (uint64_t t = from; t <= to; t++) {
        story_commit(&other, 40, 5);
        story_put(&other, &x->w.w, 0, t, t);
    }
    story_release(&other);
}

/* A copy that the primary feeds was taken for one that is ahead of the bucket for ever: it was
 * turned to whatever the bucket became, where one that nobody feeds ends, and says why. */
static void test_a_fed_copy_was_turned_though_it_had_been_in_step(void **state)
{
    enum way {
        BESIDE,
        AWAY,
        BUSY,
        SHORTER,
        WAYS
    };

    (void)state;
    for (int way = 0; way < WAYS; way++) {
        struct wr_err e = {0};
        uint64_t last;
        struct push x;

        open_push(&x);
        for (int i = 0; i < 2; i++) {
            commit(&x);
            close_txid(&x, true, true);
            (void)steps(&x, 2);
        }
        T(x.f->pos.txid == 3 && x.f->pos.fed);
        if (way == AWAY) /* the bucket alone is asked */
            x.status = 503;
        x.f->bucket_ms = x.f->list_ms = 0;
        (void)steps(&x, 2);
        T(!x.f->pos.fed && x.f->floor.txid == 3);
        for (int i = 0; way == BUSY && i < 2; i++) { /* each look finds it ahead */
            commit(&x);
            close_txid(&x, false, true);
            (void)steps(&x, 1);
            x.f->bucket_ms = x.f->list_ms = 0;
            (void)steps(&x, 1);
            T(x.f->pos.fed && x.f->floor.txid == (i ? 4 : 3));
            story_put(&x.w.s, &x.w.w, 0, x.txid, x.txid);
        }
        last = x.w.s.n;
        T(x.f->pos.txid == last);
        x.status = 503;
        if (way == SHORTER)
            fw_delete(&x.w, 0, 3, 3);
        else
            reset_bucket(&x, 2, last + 2);
        T_IS(WR_CONFLICT, gives_up(&x, &e));
        T(strstr(e.text, "to begin anew") && x.f->pos.txid == last);
        fw_check_is(&x.w, last);
        close_push(&x);
    }
}

/* A look that fails says nothing: neither that the copy is in step, nor that it is not. */
static void test_a_bucket_that_cannot_be_read_decides_nothing(void **state)
{
    struct wr_err e = {0};
    int64_t wait_ms;
    struct push x;

    (void)state;
    open_push(&x);
    commit(&x);
    close_txid(&x, true, true);
    (void)steps(&x, 1);
    T(x.f->pos.fed && x.f->floor.txid == 1);
    for (uint64_t n = 1; x.f->pos.fed; n++) { /* the nth request fails */
        x.f->bucket_ms = x.f->list_ms = 0;
        world_fail(&x.w.w, n, 1, WR_IO);
        T_OK(wr_follow_step(x.f, fw_call(&x.w), &wait_ms, &e));
        T(n < 20 && x.w.errors == 0);
    }
    world_fail(&x.w.w, 0, 0, WR_OK);
    T(x.f->floor.txid == 2);
    commit(&x);
    (void)steps(&x, 1);
    x.status = 503;
    reset_bucket(&x, 2, 5);
    for (uint64_t n = 1; n < 60; n++) {
        x.f->wide_ms = 0;
        x.f->doubts = 0;
        world_fail(&x.w.w, n, 1, n % 2 ? WR_IO : WR_BUSY);
        T_OK(wr_follow_step(x.f, fw_call(&x.w), &wait_ms, &e));
        T(!x.f->lost && x.f->pos.txid == 2);
    }
    world_fail(&x.w.w, 0, 0, WR_OK);
    T_IS(WR_CONFLICT, gives_up(&x, &e));
    close_push(&x);
}

/* Files that tell nothing, as they are damaged or record no checksum, confirm nothing. */
static void test_files_that_tell_nothing_confirm_nothing(void **state)
{
    struct push x;

    (void)state;
    open_push(&x);
    commit(&x);
    close_txid(&x, false, true);
    (void)steps(&x, 2);
    for (int way = 0; way < 2; way++) {
        if (way == 0) {
            world_store(&x.w.w, wr_layout_ltx_key(t_call()->scratch, x.w.w.storage, 0, 2, 2),
                (struct wr_bytes){(const uint8_t *)"damaged", 7}, 5);
        } else {
            x.w.s.rolling = false;
            story_put(&x.w.s, &x.w.w, 0, 2, 2);
            x.w.s.rolling = true;
        }
        x.f->bucket_ms = x.f->list_ms = 0;
        (void)steps(&x, 1);
        T(x.f->pos.fed && x.f->floor.txid == 1 && x.w.errors == 0);
    }
    close_push(&x);
}

/* Before it is promoted: what the bucket has is confirmed, and what it has not is undone. */
static void test_the_copy_becomes_what_the_bucket_has(void **state)
{
    struct wr_err e = {0};

    (void)state;
    for (int way = 0; way < 4; way++) {
        bool in_bucket = way == 1, has = false;
        uint64_t from;
        struct push x;

        open_push(&x);
        fw_sql(&x.w, "INSERT INTO u VALUES(5)");
        close_txid(&x, true, false);
        (void)steps(&x, 2);
        from = x.w.s.n;
        T_OK(wr_follow_confirm(x.f, fw_call(&x.w), &has, &e));
        T(has && !x.f->pos.fed);
        commit(&x); /* way 0: parts alone; 1 and 2: a TXID; 3: parts behind it */
        if (way > 0)
            close_txid(&x, in_bucket, true);
        (void)steps(&x, 2);
        if (way == 3) {
            commit(&x);
            (void)steps(&x, 1);
        }
        fw_check_is(&x.w, x.w.s.n);
        T_OK(wr_follow_confirm(x.f, fw_call(&x.w), &has, &e));
        T(has == in_bucket && x.f->pos.fed == !in_bucket);
        if (!has) {
            x.status = 503;
            x.f->revert = true;
            for (int i = 0; i < 50 && x.f->revert; i++)
                (void)steps(&x, 1);
            fw_check_is(&x.w, from);
            fw_check_sqlite(&x.w);
            T(x.w.told.txid == from && !x.f->pos.fed && x.f->pos.part == 0);
            T_OK(wr_follow_confirm(x.f, fw_call(&x.w), &has, &e));
            T(has);
        }
        close_push(&x);
    }
}

/* ---- the client ---- */

static void test_urls_and_tokens(void **state)
{
    static const char *const wrong[] = {"ftp://h/a", "http://h", "http://h/", "http://u:p@h/a",
        "http://h/a?token=x", "/a.db", "http:///a"};
    struct wr_stream *s = NULL;
    struct wr_err e = {0};

    (void)state;
    for (size_t i = 0; i < wr_countof(wrong); i++) {
        const struct wr_stream_opts o = {.url = wrong[i]};

        T_IS(WR_MISUSE, wr_stream_open(&o, &s, &e));
    }
    T_IS(WR_MISUSE,
        wr_stream_open(&(struct wr_stream_opts){.url = "http://h/a", .token = "a\nb"}, &s, &e));
    T(!strstr(e.text, "a\nb"));
    T_OK(
        wr_stream_open(&(struct wr_stream_opts){.url = "https://h:1/feed/a", .token = ""}, &s, &e));
    wr_stream_close(s);
}

static void test_it_says_where_the_bucket_is(void **state)
{
    struct wr_stream *other = NULL;
    struct wr_str url = {0};
    struct wr_err e = {0};
    struct push x;
    char text[100];

    (void)state;
    open_push(&x);
    T_OK(wr_stream_replica(x.stream, fw_call(&x.w), &url, &e));
    T(wr_str_eq(url, WR_STR("s3://bucket/app")));
    (void)snprintf(text, sizeof(text), "http://127.0.0.1:%u/app.db", httpd_port(x.d));
    T_OK(wr_stream_open(&(struct wr_stream_opts){.url = text}, &other, &e));
    T_IS(WR_AUTH, wr_stream_replica(other, fw_call(&x.w), &url, &e));
    T(strstr(e.text, "not by that name")); /* a token is not what he asks for */
    wr_stream_close(other);
    close_push(&x);
}

/* Of a hundred followers that began together some had their connection reset, as there were too
 * many, and ended. */
static void test_it_is_asked_again_where_the_bucket_is(void **state)
{
    struct wr_str url = {0};
    struct wr_err e = {0};
    struct push x;

    (void)state;
    open_push(&x);
    httpd_fault(x.d, &(struct httpd_fault){.kind = HTTPD_LOST, .times = 2});
    T_OK(wr_stream_replica(x.stream, fw_call(&x.w), &url, &e));
    T(wr_str_eq(url, WR_STR("s3://bucket/app")));
    httpd_fault(x.d, &(struct httpd_fault){.kind = HTTPD_LOST, .times = 100});
    T_IS(WR_BUSY, wr_stream_replica(x.stream, fw_call(&x.w), &url, &e));
    close_push(&x);
}

static enum wr_status open_one(void *arg)
{
    struct wr_stream *s = NULL;
    struct wr_err e = {0};
    enum wr_status st =
        wr_stream_open(&(struct wr_stream_opts){.url = "http://h/a", .token = "t"}, &s, &e);

    (void)arg;
    wr_stream_close(s);
    return st;
}

static void test_without_memory_it_says_so(void **state)
{
    (void)state;
    t_sweep_nomem(open_one, NULL);
}

T_MAIN(cmocka_unit_test(test_parts_and_files_arrive), cmocka_unit_test(test_an_answer_goes_on),
    cmocka_unit_test(test_an_answer_that_went_on_is_over),
    cmocka_unit_test(test_a_primary_that_dies_in_an_answer),
    cmocka_unit_test(test_what_a_primary_sent_before_it_died),
    cmocka_unit_test(test_a_copy_that_is_told_of_more_is_behind),
    cmocka_unit_test(test_what_a_primary_lost_is_not_waited_for),
    cmocka_unit_test(test_what_is_on_its_way_is_waited_for),
    cmocka_unit_test(test_a_restart_between_parts), cmocka_unit_test(test_the_bucket_takes_over),
    cmocka_unit_test(test_a_dead_primary_and_its_return),
    cmocka_unit_test(test_a_primary_with_nothing_new_hid_the_bucket),
    cmocka_unit_test(test_what_does_not_fit_is_not_applied),
    cmocka_unit_test(test_commits_that_the_bucket_never_gets_are_undone),
    cmocka_unit_test(test_a_fed_copy_was_turned_though_it_had_been_in_step),
    cmocka_unit_test(test_a_bucket_that_cannot_be_read_decides_nothing),
    cmocka_unit_test(test_files_that_tell_nothing_confirm_nothing),
    cmocka_unit_test(test_the_copy_becomes_what_the_bucket_has),
    cmocka_unit_test(test_urls_and_tokens),
    cmocka_unit_test(test_it_is_asked_again_where_the_bucket_is),
    cmocka_unit_test(test_it_says_where_the_bucket_is),
    cmocka_unit_test(test_without_memory_it_says_so))
