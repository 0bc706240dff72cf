/*
 * test_feed.c - the stream of a database in memory: what it gives to whom, and what bounds it.
 */
#include "base/crc64.h"
#include "base/mem.h"
#include "base/rand.h"
#include "engine/feed.h"
#include "engine/feed_record.h"
#include "harness/t.h"

static struct wr_bytes body_of(const char *text)
{
    return (struct wr_bytes){(const uint8_t *)text, strlen(text)};
}

/* ---- records ---- */

static void test_a_record_comes_back_as_it_was(void **state)
{
    const struct wr_feed_record in[] = {
        {.kind = WR_FEED_FILE, .txid = 9, .from = 7, .life = 3, .body = body_of("file")},
        {.kind = WR_FEED_PART, .txid = 9, .from = 9, .life = 3, .part = 4, .body = body_of("part")},
        {.kind = WR_FEED_CLOSE,
            .txid = 10,
            .from = 9,
            .life = 3,
            .part = 4,
            .time_ms = 12345,
            .rolling = UINT64_MAX},
        {.kind = WR_FEED_MORE, .txid = 9, .from = 9, .life = 3},
    };
    struct wr_buf b;
    struct wr_bytes rest;
    struct wr_err e = {0};

    (void)state;
    wr_buf_init(&b, 4096);
    for (size_t i = 0; i < wr_countof(in); i++)
        wr_feed_record_put(&b, &in[i]);
    rest = wr_buf_bytes(&b);
    for (size_t i = 0; i < wr_countof(in); i++) {
        struct wr_feed_record r;

        T_OK(wr_feed_record_next(&rest, &r, &e));
        T(r.kind == in[i].kind && r.txid == in[i].txid && r.from == in[i].from);
        T(r.life == in[i].life && r.part == in[i].part && r.time_ms == in[i].time_ms);
        T(r.rolling == in[i].rolling && r.body.n == in[i].body.n);
        T(r.body.n == 0 || memcmp(r.body.p, in[i].body.p, r.body.n) == 0);
    }
    T(rest.n == 0);
    wr_buf_release(&b);
}

/* Every bit of it counts, and it is never read beyond its end. */
static void test_a_damaged_record_is_none(void **state)
{
    const struct wr_feed_record in = {
        .kind = WR_FEED_PART, .txid = 9, .from = 9, .life = 3, .part = 4, .body = body_of("part")};
    struct wr_feed_record r;
    struct wr_buf b;
    struct wr_err e = {0};

    (void)state;
    wr_buf_init(&b, 4096);
    wr_feed_record_put(&b, &in);
    for (size_t i = 0; i < b.n * 8; i++) {
        struct wr_bytes rest = wr_buf_bytes(&b);

        b.p[i / 8] ^= (uint8_t)(1u << i % 8);
        T_IS(WR_CORRUPT, wr_feed_record_next(&rest, &r, &e));
        T(rest.n == b.n);
        T(i / 8 >= 4 || wr_feed_record_whole(rest)); /* no more of it would help */
        b.p[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t n = 0; n < b.n; n++) {
        uint8_t *cut = wr_alloc(n ? n : 1); /* so that a sanitizer sees the end */
        struct wr_bytes rest = {cut, n};

        T(cut);
        memcpy(cut, b.p, n);
        T(!wr_feed_record_whole(rest));
        T_IS(WR_CORRUPT, wr_feed_record_next(&rest, &r, &e));
        wr_free(cut);
    }
    T(wr_feed_record_whole(wr_buf_bytes(&b)));
    wr_buf_release(&b);
}

/* Whoever can make a checksum can make any numbers. */
static void test_numbers_that_contradict_each_other_are_refused(void **state)
{
    const struct wr_feed_record in[] = {
        {.kind = WR_FEED_FILE, .txid = 7, .from = 7},
        {.kind = WR_FEED_FILE, .txid = 7, .from = 0},
        {.kind = WR_FEED_PART, .txid = 8, .from = 7, .part = 1},
        {.kind = WR_FEED_PART, .txid = 7, .from = 7, .part = 0},
        {.kind = WR_FEED_PART, .txid = UINT64_MAX, .from = UINT64_MAX, .part = 1},
        {.kind = WR_FEED_CLOSE, .txid = 7, .from = 7, .part = 1},
        {.kind = WR_FEED_CLOSE, .txid = 8, .from = 7, .part = 0},
        {.kind = WR_FEED_MORE, .txid = 8, .from = 7},
        {.kind = WR_FEED_MORE, .txid = 0, .from = 0},
        {.kind = WR_FEED_MORE, .txid = 7, .from = 7, .part = 1},
        {.kind = WR_FEED_MORE, .txid = 7, .from = 7, .body = body_of("more")},
        {.kind = (enum wr_feed_kind)5, .txid = 8, .from = 7, .part = 1},
    };
    struct wr_err e = {0};

    (void)state;
    for (size_t i = 0; i < wr_countof(in); i++) {
        struct wr_feed_record r;
        struct wr_bytes rest;
        struct wr_buf b;

        wr_buf_init(&b, 4096);
        wr_feed_record_put(&b, &in[i]);
        rest = wr_buf_bytes(&b);
        T_IS(WR_CORRUPT, wr_feed_record_next(&rest, &r, &e));
        wr_buf_release(&b);
    }
}

/* ---- the feed ---- */

struct feeding {
    struct wr_clock_manual clock;
    struct wr_feed *feed;
    struct wr_buf out;
    struct wr_err e;
};

static void begin(struct feeding *x, const struct wr_feed_limits *limits)
{
    *x = (struct feeding){0};
    wr_clock_manual_init(&x->clock, 1000000);
    x->clock.mono_now_ns = INT64_C(1000000000000);
    T(wr_feed_new(&x->clock.clock, limits, 100, &x->feed, &x->e) == WR_OK);
    wr_buf_init(&x->out, (size_t)64 << 20);
}

static void end(struct feeding *x)
{
    wr_feed_free(x->feed);
    wr_buf_release(&x->out);
}

/* What follows, without waiting. */
static enum wr_status get(struct feeding *x, uint64_t txid, uint64_t life, uint32_t part)
{
    struct wr_feed_at at = {.txid = txid, .life = life, .part = part};

    wr_buf_clear(&x->out);
    return wr_feed_read(x->feed, &at, 0, NULL, &x->out, &x->e);
}

/* The same of one who was told that there is more. */
static enum wr_status get_told(struct feeding *x, uint64_t txid, uint64_t life, uint32_t part)
{
    struct wr_feed_at at = {.txid = txid, .life = life, .part = part, .more = true};

    wr_buf_clear(&x->out);
    return wr_feed_read(x->feed, &at, 0, NULL, &x->out, &x->e);
}

/* The kinds of what came, "FPCM", and the last record. */
static const char *kinds(struct feeding *x, struct wr_feed_record *ret_last)
{
    static char text[2000];
    struct wr_bytes rest = wr_buf_bytes(&x->out);
    size_t n = 0;

    while (rest.n > 0 && n < sizeof(text) - 1) {
        struct wr_feed_record r = {0};

        T(wr_feed_record_next(&rest, &r, &x->e) == WR_OK);
        text[n++] = " FPCM"[r.kind];
        if (ret_last)
            *ret_last = r;
    }
    text[n] = '\0';
    return text;
}

static enum wr_status file(struct feeding *x, uint64_t txid, uint32_t part)
{
    return wr_feed_file(x->feed, txid, 1, 2, part, body_of("a file"), &x->e);
}

static enum wr_status part(struct feeding *x, uint32_t n)
{
    return wr_feed_part(x->feed, n, body_of("a part"), &x->e);
}

static void test_each_reader_gets_what_follows_its_state(void **state)
{
    struct feeding x;
    struct wr_feed_record r = {0};
    uint64_t life;

    (void)state;
    begin(&x, NULL);
    T(get(&x, 5, 0, 0) == WR_NOTFOUND); /* nothing is known yet: the bucket may have it */
    wr_feed_begin(x.feed, 5);
    T(get(&x, 5, 0, 0) == WR_TIMEOUT);
    T(get(&x, 4, 0, 0) == WR_NOTFOUND);
    T(get(&x, 6, 0, 0) == WR_NOTFOUND); /* of another course of things */
    T(part(&x, 1) == WR_OK && part(&x, 2) == WR_OK);
    T(get(&x, 5, 0, 0) == WR_OK && strcmp(kinds(&x, &r), "PP") == 0);
    T(r.part == 2 && r.from == 5);
    life = r.life;
    T(get(&x, 5, life, 1) == WR_OK && strcmp(kinds(&x, NULL), "P") == 0);
    T(get(&x, 5, life, 2) == WR_TIMEOUT);
    T(get(&x, 5, life - 1, 2) == WR_OK && strcmp(kinds(&x, NULL), "PP") == 0);
    T(file(&x, 6, 2) == WR_OK);
    T(get(&x, 5, life, 2) == WR_OK && strcmp(kinds(&x, &r), "C") == 0);
    T(r.txid == 6 && r.time_ms == 1 && r.rolling == 2);
    T(get(&x, 5, life, 1) == WR_OK && strcmp(kinds(&x, NULL), "F") == 0);
    T(get(&x, 5, life - 1, 2) == WR_OK && strcmp(kinds(&x, NULL), "F") == 0);
    T(part(&x, 1) == WR_OK && file(&x, 8, 0) == WR_OK && part(&x, 1) == WR_OK);
    T(get(&x, 5, life, 2) == WR_OK && strcmp(kinds(&x, &r), "CFP") == 0);
    T(r.txid == 8);
    T(get(&x, 7, 0, 0) == WR_NOTFOUND); /* within a file */
    end(&x);
}

/* Who had all parts was told that there is nothing new, though no part would have what was. */
static void test_that_there_is_more_is_told_once(void **state)
{
    struct wr_feed_record r = {0};
    struct feeding x;
    uint64_t life;

    (void)state;
    begin(&x, NULL);
    wr_feed_begin(x.feed, 5);
    T(file(&x, 6, 0) == WR_OK && part(&x, 1) == WR_OK);
    wr_feed_more(x.feed);
    T(get(&x, 5, 0, 0) == WR_OK && strcmp(kinds(&x, &r), "FPM") == 0);
    life = r.life;
    T(r.txid == 6 && get(&x, 6, life, 1) == WR_OK && strcmp(kinds(&x, NULL), "M") == 0);
    T(get_told(&x, 6, life, 1) == WR_TIMEOUT);
    T(get_told(&x, 6, life - 1, 1) == WR_OK && strcmp(kinds(&x, NULL), "P") == 0);
    T(get_told(&x, 5, 0, 0) == WR_OK && strcmp(kinds(&x, NULL), "FPM") == 0);
    T(file(&x, 7, 0) == WR_OK);
    T(get_told(&x, 6, life, 1) == WR_OK && strcmp(kinds(&x, NULL), "F") == 0);
    T(get(&x, 7, 0, 0) == WR_TIMEOUT);
    for (int way = 0; way < 3; way++) { /* it is of one TXID, and one life */
        wr_feed_more(x.feed);
        T(get(&x, 7, 0, 0) == WR_OK && strcmp(kinds(&x, NULL), "M") == 0);
        if (way == 0)
            wr_feed_gap(x.feed, 7);
        else
            way == 1 ? wr_feed_end(x.feed) : wr_feed_drop(x.feed);
        wr_feed_begin(x.feed, 7);
        T(get(&x, 7, 0, 0) == WR_TIMEOUT);
        T(get_told(&x, 7, life, 0) == WR_NOTFOUND); /* who was told is not left to wait for it */
    }
    end(&x);
}

/* What is too large for memory took with it what others had need of. */
static void test_a_file_that_is_too_large_is_all_that_is_missing(void **state)
{
    struct wr_feed_record r = {0};
    struct feeding x;

    (void)state;
    begin(&x, NULL);
    wr_feed_begin(x.feed, 5);
    T(file(&x, 6, 0) == WR_OK && part(&x, 1) == WR_OK && part(&x, 2) == WR_OK);
    T(get(&x, 6, 0, 0) == WR_OK && strcmp(kinds(&x, &r), "PP") == 0);
    T(wr_feed_file(x.feed, 7, 1, 2, 2, body_of(""), &x.e) == WR_OK);
    T(file(&x, 8, 0) == WR_OK && part(&x, 1) == WR_OK);
    T(get(&x, 6, r.life, 2) == WR_OK && strcmp(kinds(&x, NULL), "CFP") == 0);
    T(get(&x, 6, r.life, 1) == WR_NOTFOUND && get(&x, 6, 0, 0) == WR_NOTFOUND);
    T(get(&x, 5, 0, 0) == WR_OK && strcmp(kinds(&x, &r), "F") == 0 && r.txid == 6);
    T(get(&x, 7, 0, 0) == WR_OK && strcmp(kinds(&x, NULL), "FP") == 0);
    T(wr_feed_file(x.feed, 9, 1, 2, 0, body_of(""), &x.e) == WR_OK); /* and no part is the same */
    T(get(&x, 7, 0, 0) == WR_OK && strcmp(kinds(&x, &r), "F") == 0 && r.txid == 8);
    T(get(&x, 8, 0, 0) == WR_NOTFOUND && get(&x, 8, r.life, 1) == WR_NOTFOUND);
    T(get(&x, 9, 0, 0) == WR_TIMEOUT);
    end(&x);
}

static void test_a_gap_and_a_new_life_send_readers_away(void **state)
{
    struct feeding x;
    struct wr_feed_record r = {0}, again = {0};

    (void)state;
    begin(&x, NULL);
    wr_feed_begin(x.feed, 5);
    T(file(&x, 6, 0) == WR_OK && part(&x, 1) == WR_OK);
    T(get(&x, 6, 0, 0) == WR_OK && strcmp(kinds(&x, &r), "P") == 0);
    wr_feed_end(x.feed); /* let go: it may go another way */
    T(get(&x, 6, r.life, 0) == WR_NOTFOUND);
    T(get(&x, 5, 0, 0) == WR_OK && strcmp(kinds(&x, NULL), "F") == 0);
    wr_feed_begin(x.feed, 6); /* it did not */
    T(get(&x, 5, 0, 0) == WR_OK);
    T(part(&x, 1) == WR_OK);
    T(get(&x, 6, r.life, 1) == WR_OK && strcmp(kinds(&x, &again), "P") == 0);
    T(again.life != r.life);
    wr_feed_gap(x.feed, 7);
    T(get(&x, 5, 0, 0) == WR_NOTFOUND && get(&x, 6, 0, 0) == WR_NOTFOUND);
    T(get(&x, 7, 0, 0) == WR_TIMEOUT);
    wr_feed_begin(x.feed, 100);
    T(get(&x, 7, 0, 0) == WR_NOTFOUND && get(&x, 100, 0, 0) == WR_TIMEOUT);
    wr_feed_drop(x.feed);
    T(get(&x, 100, 0, 0) == WR_NOTFOUND);
    end(&x);
}

/* However much is captured, there is never more than the limit, and always a whole chain. */
static void test_it_is_bounded_in_bytes_and_records(void **state)
{
    const struct wr_feed_limits limits = {.bytes = 5000, .records = 8};
    struct wr_rand rng;
    struct feeding x;
    uint8_t bytes[6000] = {0};
    uint64_t txid = 5, oldest;
    uint32_t parts = 0;

    (void)state;
    wr_rand_init(&rng, t_seed());
    begin(&x, &limits);
    wr_feed_begin(x.feed, txid);
    for (int i = 0; i < 3000; i++) {
        struct wr_bytes body = {bytes, (size_t)wr_rand_below(&rng, i % 50 == 0 ? 6000 : 900)};
        enum wr_status st;

        if (wr_rand_below(&rng, 3) == 0) {
            st = wr_feed_part(x.feed, parts + 1, body, &x.e);
            parts += st == WR_OK;
        } else {
            st = wr_feed_file(x.feed, ++txid, 1, 2, 0, body, &x.e);
            parts = 0;
        }
        T(st == WR_OK || st == WR_LIMIT);
        oldest = txid;
        while (oldest > 5 && get(&x, oldest - 1, 0, 0) == WR_OK)
            oldest--;
        st = get(&x, oldest, 0, 0);
        T(st == WR_OK || (st == WR_TIMEOUT && oldest == txid && parts == 0));
        T(x.out.n <= limits.bytes && strlen(kinds(&x, NULL)) == txid - oldest + parts);
        T(txid - oldest + parts <= limits.records);
    }
    end(&x);
}

/* A long absence comes in pieces, each of which one answer holds. */
static void test_one_answer_is_bounded(void **state)
{
    static uint8_t bytes[300000];
    struct feeding x;
    uint64_t txid = 5;
    unsigned answers = 0;

    (void)state;
    begin(&x, NULL);
    wr_feed_begin(x.feed, 5);
    for (int i = 0; i < 20; i++)
        T(wr_feed_file(x.feed, (uint64_t)i + 6, 1, 2, 0, (struct wr_bytes){bytes, sizeof(bytes)},
              &x.e) == WR_OK);
    for (int i = 20; i < 120; i++)
        T(file(&x, (uint64_t)i + 6, 0) == WR_OK);
    while (get(&x, txid, 0, 0) == WR_OK) {
        struct wr_feed_record r = {0};

        T(x.out.n <= WR_FEED_READ && strlen(kinds(&x, &r)) <= 64);
        txid = r.txid;
        answers++;
    }
    T(txid == 125 && answers > 6);
    end(&x);
}

static void test_it_is_wanted_for_a_while_after_a_reader(void **state)
{
    struct feeding x;

    (void)state;
    begin(&x, NULL);
    T(!wr_feed_wanted(x.feed) && !wr_feed_kept(x.feed));
    T(get(&x, 1, 0, 0) == WR_NOTFOUND);
    T(wr_feed_wanted(x.feed) && wr_feed_kept(x.feed));
    wr_clock_manual_advance(&x.clock, INT64_C(29) * 1000000000);
    T(wr_feed_wanted(x.feed));
    wr_clock_manual_advance(&x.clock, INT64_C(2) * 1000000000);
    T(!wr_feed_wanted(x.feed) && wr_feed_kept(x.feed));
    wr_clock_manual_advance(&x.clock, INT64_C(580) * 1000000000);
    T(!wr_feed_kept(x.feed));
    wr_feed_touch(x.feed);
    T(wr_feed_wanted(x.feed));
    end(&x);
}

/* ---- waiting ---- */

struct waiting {
    struct feeding *x;
    struct wr_cancel cancel;
    struct wr_feed_at at;
    struct wr_buf out;
    enum wr_status st;
    struct wr_thread thread;
};

static void wait_for_it(void *arg)
{
    struct waiting *w = arg;
    struct wr_err e = {0};

    w->st = wr_feed_read(w->x->feed, &w->at, wr_mono_ns(wr_clock_system()) + INT64_C(60000000000),
        &w->cancel, &w->out, &e);
}

static void start(struct waiting *w, struct feeding *x, uint64_t txid)
{
    struct wr_err e = {0};

    *w = (struct waiting){.x = x, .at = {.txid = txid}};
    wr_cancel_init(&w->cancel);
    wr_buf_init(&w->out, 1 << 20);
    T_OK(wr_thread_start(&w->thread, "reader", 0, wait_for_it, w, &e));
}

static void finish(struct waiting *w)
{
    wr_thread_join(&w->thread);
    wr_cancel_release(&w->cancel);
    wr_buf_release(&w->out);
}

static void test_waiting_readers_are_roused(void **state)
{
    struct waiting w[6];
    struct feeding x;

    (void)state;
    begin(&x, NULL);
    wr_feed_begin(x.feed, 5);
    for (size_t i = 0; i < wr_countof(w); i++)
        start(&w[i], &x, 5);
    while (!wr_feed_wanted(x.feed)) /* one is there, at least */
        t_sleep_ms(1);
    wr_cancel_now(&w[0].cancel);
    wr_thread_join(&w[0].thread);
    T(w[0].st == WR_CANCELED);
    wr_cancel_release(&w[0].cancel);
    wr_buf_release(&w[0].out);
    T(part(&x, 1) == WR_OK);
    for (size_t i = 1; i < wr_countof(w); i++) {
        finish(&w[i]);
        T(w[i].st == WR_OK);
    }
    start(&w[0], &x, 5);
    finish(&w[0]);
    T(w[0].st == WR_OK);
    T(file(&x, 6, 0) == WR_OK);
    start(&w[0], &x, 6);
    wr_feed_more(x.feed);
    finish(&w[0]);
    T(w[0].st == WR_OK);
    end(&x);
}

/* Records that readers copy are theirs, whatever becomes of the feed's. */
static void test_readers_and_writer_share_records(void **state)
{
    const struct wr_feed_limits limits = {.bytes = 4000, .records = 4};
    struct waiting w[4];
    struct feeding x;

    (void)state;
    begin(&x, &limits);
    wr_feed_begin(x.feed, 5);
    for (uint64_t txid = 6; txid < 400; txid++) {
        bool some = txid % 20 == 0;

        for (size_t i = 0; some && i < wr_countof(w); i++)
            start(&w[i], &x, txid - 1);
        T(file(&x, txid, 0) == WR_OK);
        for (size_t i = 0; some && i < wr_countof(w); i++) {
            if (i == 2)
                T(file(&x, ++txid, 0) == WR_OK);
            finish(&w[i]);
            T(w[i].st == WR_OK || w[i].st == WR_NOTFOUND);
        }
    }
    end(&x);
}

struct follower {
    struct feeding *x;
    int64_t wait_ns; /* for one read */
    uint64_t to;
    bool late; /* a read went on for as long as it may */
    struct wr_thread thread;
};

static void follow(void *arg)
{
    struct follower *w = arg;
    struct wr_feed_at at = {.txid = 5};
    struct wr_err e = {0};

    while (at.txid < w->to) {
        struct wr_buf out;
        enum wr_status st;

        wr_buf_init(&out, 1 << 20);
        st = wr_feed_read(
            w->x->feed, &at, wr_mono_ns(wr_clock_system()) + w->wait_ns, NULL, &out, &e);
        w->late = w->late || st == WR_TIMEOUT;
        for (struct wr_bytes rest = wr_buf_bytes(&out); rest.n > 0;) {
            struct wr_feed_record r;

            T_OK(wr_feed_record_next(&rest, &r, &e));
            at.txid = r.txid;
        }
        wr_buf_release(&out);
    }
}

/* Each that is woken wakes another one, and some go by themselves just then: nobody is left. */
static void test_no_reader_is_forgotten(void **state)
{
    struct follower w[12] = {0};
    struct wr_err e = {0};
    struct feeding x;
    uint64_t txid = 5;

    (void)state;
    begin(&x, NULL);
    wr_feed_begin(x.feed, txid);
    for (size_t i = 0; i < wr_countof(w); i++) {
        w[i] = (struct follower){.x = &x, .to = 205, .wait_ns = INT64_C(30000000000)};
        if (i % 3 == 0)
            w[i].wait_ns = (int64_t)i * 50000; /* these go on their own */
        T_OK(wr_thread_start(&w[i].thread, "reader", 0, follow, &w[i], &e));
    }
    while (txid < 205) {
        T(file(&x, ++txid, 0) == WR_OK);
        if (txid % 3 == 0)
            t_sleep_ms(1);
    }
    for (size_t i = 0; i < wr_countof(w); i++) {
        wr_thread_join(&w[i].thread);
        T(i % 3 == 0 || !w[i].late);
    }
    end(&x);
}

/* ---- no memory ---- */

static enum wr_status use(void *arg)
{
    struct wr_feed_at at = {.txid = 5};
    struct wr_clock_manual clock;
    struct wr_feed *f = NULL;
    struct wr_err e = {0};
    struct wr_buf out;
    enum wr_status st;

    (void)arg;
    wr_clock_manual_init(&clock, 1);
    wr_buf_init(&out, 1 << 20);
    st = wr_feed_new(&clock.clock, NULL, 1, &f, &e);
    if (st == WR_OK) {
        wr_feed_begin(f, 5);
        st = wr_feed_part(f, 1, body_of("a part"), &e);
    }
    if (st == WR_OK)
        st = wr_feed_file(f, 6, 1, 2, 1, body_of("a file"), &e);
    if (st == WR_OK)
        st = wr_feed_read(f, &at, 0, NULL, &out, &e);
    wr_feed_free(f);
    wr_buf_release(&out);
    return st;
}

static void test_without_memory_it_says_so(void **state)
{
    (void)state;
    t_sweep_nomem(use, NULL);
}

T_MAIN(cmocka_unit_test(test_a_record_comes_back_as_it_was),
    cmocka_unit_test(test_a_damaged_record_is_none),
    cmocka_unit_test(test_numbers_that_contradict_each_other_are_refused),
    cmocka_unit_test(test_each_reader_gets_what_follows_its_state),
    cmocka_unit_test(test_that_there_is_more_is_told_once),
    cmocka_unit_test(test_a_file_that_is_too_large_is_all_that_is_missing),
    cmocka_unit_test(test_a_gap_and_a_new_life_send_readers_away),
    cmocka_unit_test(test_it_is_bounded_in_bytes_and_records),
    cmocka_unit_test(test_one_answer_is_bounded),
    cmocka_unit_test(test_it_is_wanted_for_a_while_after_a_reader),
    cmocka_unit_test(test_waiting_readers_are_roused),
    cmocka_unit_test(test_readers_and_writer_share_records),
    cmocka_unit_test(test_no_reader_is_forgotten), cmocka_unit_test(test_without_memory_it_says_so))
