/*
 * test_herald.c - when a replica's writer says what it must have: before anything is deleted that
 * was spoken of, or nothing is; and what counts of what another one has said.
 */
#include "engine/herald.h"

#include "engine/catalogue.h"
#include "engine/writer.h"
#include "unit/engine/spy_store.h"

#define MINUTE_MS ((int64_t)60 * 1000)
#define LIFE_MS   ((int64_t)600 * 1000) /* of each file, ten minutes; it is looked ahead for six */

static const struct wr_retention rules = {
    .keep_ms = LIFE_MS, .l0_ms = 2 * MINUTE_MS, .grace_ms = 50 * 1000};

struct shelf {
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s;
    struct wr_clock_manual clock;
    struct wr_call *c;
    struct wr_catalogue k;
    struct wr_herald h;
    uint64_t txid;
    unsigned removes_at_put; /* deletions before the last time that it was written */
};

/* The file of level 0 with that TXID, until the next call. */
static const struct wr_ltx_file *at(uint64_t txid)
{
    static struct wr_ltx_file f;

    f = (struct wr_ltx_file){.min = txid, .max = txid};
    return &f;
}

static void on_put(void *arg, struct wr_call *c, struct wr_str key)
{
    struct shelf *x = arg;

    (void)c;
    if (strstr(key.p, WR_EXTENT_NAME))
        x->removes_at_put = x->spy.removes;
}

static void put(struct shelf *x, unsigned level, uint64_t min, uint64_t max)
{
    struct wr_ltx_file f = {.level = level, .min = min, .max = max, .size = 1};
    struct wr_put_opts o = {.time_ms = x->clock.wall_now_ms};
    struct wr_err e = {0};

    f.time_ms = o.time_ms;
    T_OK(wr_storage_put(x->s, x->c, wr_layout_ltx_key(x->c->scratch, x->s, level, min, max),
        (struct wr_bytes){(const uint8_t *)"x", 1}, &o, &e));
    if (x->k.known)
        T_OK(wr_catalogue_add(&x->k, &f, 1, &e));
}

/* A process begins where the replica is. */
static void start(struct shelf *x, bool native)
{
    wr_herald_init(&x->h, x->s, x->c->log, "app.db");
    wr_herald_found(&x->h, &x->clock.clock, at(x->txid), native);
}

static void begin(struct shelf *x)
{
    *x = (struct shelf){.txid = 1};
    x->s = spy_open(&x->spy, &x->ops);
    x->spy.in_put = on_put;
    x->spy.arg = x;
    wr_clock_manual_init(&x->clock, INT64_C(1795373351000));
    x->c = t_call();
    x->c->clock = &x->clock.clock;
    put(x, WR_LEVEL_SNAPSHOT, 1, 1);
    start(x, true);
}

static void end(struct shelf *x)
{
    wr_herald_release(&x->h);
    wr_catalogue_release(&x->k);
    wr_storage_close(x->s);
}

static enum wr_status thin_out(struct shelf *x, size_t *ret_n)
{
    struct wr_err e = {0};
    enum wr_status st = wr_catalogue_fill(&x->k, x->s, x->c, &e);

    *ret_n = 0;
    return st == WR_OK ? wr_catalogue_retain(&x->k, x->s, x->c, &rules, &x->h, ret_n, &e) : st;
}

/* So many minutes, in each of which a file of level 0 comes and goes into one of level 1, and a
 * snapshot in each tenth. The number of files that were deleted. */
static size_t live(struct shelf *x, unsigned minutes)
{
    size_t sum = 0, n;

    for (; minutes > 0; minutes--) {
        wr_clock_manual_advance(&x->clock, MINUTE_MS * 1000000);
        x->txid++;
        put(x, 0, x->txid, x->txid);
        put(x, 1, x->txid, x->txid);
        if (x->txid % 10 == 0)
            put(x, WR_LEVEL_SNAPSHOT, 1, x->txid);
        wr_herald_sent(&x->h, &x->clock.clock, at(x->txid));
        T(thin_out(x, &n) == WR_OK);
        sum += n;
    }
    return sum;
}

static void sign(struct shelf *x, uint64_t token)
{
    struct wr_err e = {0};

    T_OK(wr_writer_sign(x->s, x->c, token, 1, 9, &e));
}

static void look(struct shelf *x, uint64_t token)
{
    wr_herald_prepare(&x->h, x->c);
    sign(x, token);
    wr_herald_look(&x->h, x->c, token, 1);
}

static struct wr_extent said(struct shelf *x)
{
    struct wr_extent is = {0};
    struct wr_err e = {0};

    (void)!wr_extent_read(x->s, x->c, &is, &e);
    return is;
}

/* Whether all that is there is as it was said. */
static bool holds(struct shelf *x)
{
    struct wr_extent is = said(x);
    struct wr_ltx_files all = {0};
    bool point[1000] = {true}, good = true;
    struct wr_err e = {0};

    T_OK(wr_layout_list_all(x->s, x->c, &all, &e));
    for (uint64_t from = 0; from < 999; from++) {
        for (size_t i = 0; i < all.n && point[from]; i++) {
            if (all.p[i].min - 1 <= from && from < all.p[i].max)
                point[all.p[i].max] = true;
        }
    }
    for (size_t i = 0; i < all.n; i++)
        good = good && (point[all.p[i].max] || !wr_extent_covers(&is, &all.p[i]));
    wr_ltx_files_release(&all);
    return good;
}

static void test_nothing_is_said_before_there_is_a_sign(void **state)
{
    struct shelf x;

    (void)state;
    begin(&x);
    T(live(&x, 60) > 0);
    T(said(&x).token == 0); /* only that somebody deletes */
    wr_herald_look(&x.h, x.c, 0, 1);
    T(said(&x).token == 0);
    look(&x, 7);
    T(said(&x).newest == x.txid - 1 && said(&x).token == 7); /* the last one is too new for some */
    T(holds(&x));
    end(&x);
}

static void test_it_is_said_before_it_is_deleted(void **state)
{
    struct shelf x;
    struct wr_storage_counts was, is;
    size_t n;

    (void)state;
    begin(&x);
    (void)live(&x, 3);
    look(&x, 7);
    T(said(&x).from[1] == 1 && said(&x).from[9] == 1);
    x.removes_at_put = ~0u;
    for (unsigned i = 0; i < 200; i++) {
        uint64_t from = said(&x).from[1];
        unsigned removes = x.spy.removes;

        n = live(&x, 1);
        T(holds(&x));
        if (said(&x).from[1] != from) /* that was written in this round, and first */
            T(n > 0 && x.removes_at_put == removes && x.spy.removes > removes);
    }
    T(said(&x).from[1] > 150 && said(&x).from[1] < x.txid);
    T(said(&x).from[0] == WR_EXTENT_NOTHING); /* level 0 comes and goes */
    wr_storage_counts(x.s, &was);
    (void)live(&x, 100);
    wr_storage_counts(x.s, &is);
    T(is.put - was.put <= 210 + 100 / 4 + 1 && is.get == was.get && is.stat == was.stat);
    end(&x);
}

/* Killed, cut off or refused: what could not be said is not done. */
static void test_what_cannot_be_said_is_not_deleted(void **state)
{
    static const enum wr_status fails[] = {WR_BUSY, WR_TIMEOUT, WR_CANCELED};

    (void)state;
    for (size_t i = 0; i < wr_countof(fails); i++) {
        struct shelf x;
        unsigned removes;
        size_t n;

        begin(&x);
        (void)live(&x, 3);
        look(&x, 7);
        wr_clock_manual_advance(&x.clock, 40 * MINUTE_MS * 1000000);
        x.txid++;
        put(&x, 1, x.txid, x.txid);
        put(&x, 9, 1, x.txid);
        wr_herald_sent(&x.h, &x.clock.clock, at(x.txid));
        T(thin_out(&x, &n) == WR_OK);
        wr_clock_manual_advance(&x.clock, MINUTE_MS * 1000000);
        removes = x.spy.removes;
        x.spy.fail_put = fails[i];
        T(thin_out(&x, &n) == fails[i] && n == 0 && x.spy.removes == removes);
        x.spy.fail_put = WR_OK;
        T(said(&x).from[0] == 1 && holds(&x));
        T(thin_out(&x, &n) == WR_OK && n > 0);
        T(said(&x).from[0] == WR_EXTENT_NOTHING && holds(&x));
        end(&x);
    }
}

/* Objects may be created and deleted, and not be written over. It is not said any more then. */
static void test_a_store_that_does_not_write_over(void **state)
{
    struct shelf x;

    (void)state;
    begin(&x);
    (void)live(&x, 3);
    look(&x, 7);
    T(said(&x).newest > 0);
    x.spy.fail_put = WR_AUTH;
    wr_clock_manual_advance(&x.clock, 30 * MINUTE_MS * 1000000);
    wr_herald_sent(&x.h, &x.clock.clock, at(x.txid));
    wr_herald_look(&x.h, x.c, 7, 1);
    T(said(&x).newest == 0);
    x.spy.fail_put = WR_OK;
    T(live(&x, 60) > 0);
    T(said(&x).newest == 0);
    end(&x);
}

/* Where nothing is deleted by us a bucket has rules of its own, often: what these took was told as
 * missing, day after day. */
static void test_of_levels_that_a_bucket_thins_out_it_was_said_that_they_stay(void **state)
{
    struct shelf x;

    (void)state;
    begin(&x);
    wr_herald_keeps_all(&x.h);
    x.txid++;
    put(&x, 1, x.txid, x.txid);
    wr_herald_sent(&x.h, &x.clock.clock, at(x.txid));
    wr_clock_manual_advance(&x.clock, 2 * MINUTE_MS * 1000000);
    look(&x, 7);
    T(said(&x).newest > 0);
    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++)
        T(said(&x).from[level] == WR_EXTENT_NOTHING);
    end(&x);
}

/* The first one was there, and nobody knew: what was deleted next was told as missing. */
static void test_the_answer_to_the_first_word_was_lost(void **state)
{
    struct shelf x;
    size_t n = 0;

    (void)state;
    begin(&x);
    (void)live(&x, 3);
    sign(&x, 7);
    x.spy.after_put = WR_CANCELED; /* no other attempt */
    wr_herald_look(&x.h, x.c, 7, 1);
    x.spy.after_put = WR_OK;
    T(said(&x).newest > 0);
    wr_clock_manual_advance(&x.clock, 40 * MINUTE_MS * 1000000);
    x.txid++;
    put(&x, 1, x.txid, x.txid);
    put(&x, 9, 1, x.txid);
    wr_herald_sent(&x.h, &x.clock.clock, at(x.txid));
    T(thin_out(&x, &n) == WR_OK);
    wr_clock_manual_advance(&x.clock, MINUTE_MS * 1000000);
    T(said(&x).from[0] == 1);
    T(thin_out(&x, &n) == WR_OK && n > 0);
    T(said(&x).from[0] == WR_EXTENT_NOTHING && x.removes_at_put < x.spy.removes);
    end(&x);
}

/* Retention ended for good where it could not be written over for a reason that nobody knew. */
static void test_what_is_refused_again_and_again_is_for_good(void **state)
{
    struct shelf x;
    unsigned rounds = 0;
    size_t n = 0;

    (void)state;
    begin(&x);
    (void)live(&x, 3);
    look(&x, 7);
    wr_clock_manual_advance(&x.clock, 40 * MINUTE_MS * 1000000);
    x.txid++;
    put(&x, 1, x.txid, x.txid);
    put(&x, 9, 1, x.txid);
    wr_herald_sent(&x.h, &x.clock.clock, at(x.txid));
    T(thin_out(&x, &n) == WR_OK);
    wr_clock_manual_advance(&x.clock, MINUTE_MS * 1000000);
    x.spy.fail_put = WR_IO;
    while (thin_out(&x, &n) == WR_IO && rounds < 20)
        rounds++;
    T(rounds > 1 && rounds < 20 && n > 0);
    x.spy.fail_put = WR_OK;
    T(said(&x).newest == 0);
    end(&x);
}

/* Somebody has deleted the object, as he may: it comes back, and says what it said. */
static void test_it_was_deleted(void **state)
{
    struct shelf x;
    uint64_t from;
    struct wr_err e = {0};

    (void)state;
    begin(&x);
    (void)live(&x, 3);
    look(&x, 7);
    (void)live(&x, 60);
    from = said(&x).from[1];
    T(from > 1);
    T_OK(wr_extent_remove(x.s, x.c, &e));
    wr_clock_manual_advance(&x.clock, 30 * MINUTE_MS * 1000000);
    wr_herald_look(&x.h, x.c, 7, 1);
    T(said(&x).newest == x.txid && said(&x).from[1] == from);
    (void)live(&x, 60);
    T(said(&x).from[1] > from && holds(&x));
    end(&x);
}

/* Each write is answered as if another one was there: for good, after some times. */
static void test_a_store_that_has_what_is_never_that(void **state)
{
    struct shelf x;
    const uint64_t need[WR_LEVEL_MAX + 1] = {[1] = 40};
    struct wr_err e = {0};

    (void)state;
    begin(&x);
    (void)live(&x, 3);
    look(&x, 7);
    x.spy.fail_put = WR_CONFLICT;
    for (unsigned i = 0; i < 4; i++)
        T_IS(WR_BUSY, wr_herald_announce(&x.h, x.c, &rules, need, need, &e));
    T(said(&x).newest > 0);
    T_OK(wr_herald_announce(&x.h, x.c, &rules, need, need, &e));
    T(said(&x).newest == 0 && !wr_herald_must(&x.h, &rules, need));
    end(&x);
}

/* A process that is started again goes on with what was said. One that finds another one's sign,
 * or files that are not weir's, knows of nothing what became of it. */
static void test_who_begins_goes_on_with_it(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        struct shelf x;
        uint64_t from, start_txid;

        begin(&x);
        (void)live(&x, 3);
        look(&x, 7);
        (void)live(&x, 100);
        from = said(&x).from[1];
        T(from > 50 && from < x.txid - 1);
        if (how == 1)
            sign(&x, 99);
        wr_herald_release(&x.h);
        wr_catalogue_forget(&x.k);
        start(&x, how != 2);
        start_txid = x.txid;
        wr_clock_manual_advance(&x.clock, 30 * MINUTE_MS * 1000000);
        look(&x, 8);
        T(said(&x).token == 8);
        T(said(&x).from[1] == (how == 0 ? from : start_txid));
        (void)live(&x, 30);
        T(holds(&x));
        end(&x);
    }
}

/* For a moment it was forbidden to read what there is. It was taken for nothing until the end of
 * the process, and what that deleted was told as missing. */
static void test_what_was_forbidden_once_was_never_read(void **state)
{
    static const enum wr_status stat[] = {WR_AUTH, WR_OK}, get[] = {WR_OK, WR_AUTH};
    const uint64_t need[WR_LEVEL_MAX + 1] = {[1] = 40};

    (void)state;
    for (size_t i = 0; i < wr_countof(stat); i++) {
        struct shelf x;
        struct wr_err e = {0};

        begin(&x);
        (void)live(&x, 50);
        look(&x, 7);
        T(said(&x).newest > 0 && said(&x).from[1] < 40);
        wr_herald_release(&x.h);
        start(&x, true);
        x.spy.fail_stat = stat[i];
        x.spy.fail_get = get[i];
        wr_herald_prepare(&x.h, x.c);
        x.spy.fail_stat = x.spy.fail_get = WR_OK;
        T(wr_herald_must(&x.h, &rules, need));
        T_OK(wr_herald_announce(&x.h, x.c, &rules, need, need, &e));
        T(said(&x).from[1] == 40 && said(&x).token == 7);
        end(&x);
    }
}

/* And what was deleted meanwhile is said when it is read. */
static void test_what_was_forbidden_while_it_was_deleted(void **state)
{
    const uint64_t need[WR_LEVEL_MAX + 1] = {[1] = 60}, less[WR_LEVEL_MAX + 1] = {[1] = 10};
    struct shelf x;
    struct wr_err e = {0};

    (void)state;
    begin(&x);
    (void)live(&x, 50);
    look(&x, 7);
    wr_herald_release(&x.h);
    start(&x, true);
    x.spy.fail_stat = WR_AUTH;
    T_OK(wr_herald_announce(&x.h, x.c, &rules, need, need, &e)); /* it may never be there */
    T(said(&x).from[1] < 60);
    x.spy.fail_stat = WR_OK;
    T(wr_herald_must(&x.h, &rules, less));
    T_OK(wr_herald_announce(&x.h, x.c, &rules, less, less, &e));
    T(said(&x).from[1] == 60);
    end(&x);
}

/* Two that write: each says what both have deleted. */
static void test_two_writers(void **state)
{
    struct shelf x;
    struct wr_herald other;
    const uint64_t need[WR_LEVEL_MAX + 1] = {[1] = 40, [2] = 7};
    struct wr_err e = {0};

    (void)state;
    begin(&x);
    (void)live(&x, 3);
    look(&x, 7);
    wr_herald_init(&other, x.s, x.c->log, "app.db");
    wr_herald_found(&other, &x.clock.clock, at(x.txid), true);
    T(wr_herald_must(&other, &rules, need));
    T_OK(wr_herald_announce(&other, x.c, &rules, need, need, &e));
    T(said(&x).from[1] == 40 && said(&x).token == 7); /* nothing was signed since */
    (void)live(&x, 100);
    T(said(&x).from[1] > 40 && said(&x).from[2] == 7 && holds(&x));
    wr_herald_release(&other);
    end(&x);
}

/* The newest files are gone, and the writer goes on from there: it does not say any more that they
 * are there. */
static void test_a_replica_that_became_less(void **state)
{
    struct shelf x;

    (void)state;
    begin(&x);
    (void)live(&x, 20);
    look(&x, 7);
    T(said(&x).newest == 20);
    wr_herald_found(&x.h, &x.clock.clock, at(5), true);
    wr_clock_manual_advance(&x.clock, 30 * MINUTE_MS * 1000000);
    wr_herald_sent(&x.h, &x.clock.clock, at(6));
    wr_clock_manual_advance(&x.clock, 30 * MINUTE_MS * 1000000);
    wr_herald_look(&x.h, x.c, 7, 1);
    T(said(&x).newest == 6);
    end(&x);
}

/* Half an hour in which nothing was sent is none that it is written in. */
static void test_nothing_new_costs_nothing(void **state)
{
    struct shelf x;
    struct wr_storage_counts was, is;

    (void)state;
    begin(&x);
    (void)live(&x, 20);
    look(&x, 7);
    wr_clock_manual_advance(&x.clock, 30 * MINUTE_MS * 1000000);
    wr_herald_look(&x.h, x.c, 7, 1); /* the last one was too new before */
    wr_storage_counts(x.s, &was);
    for (unsigned i = 0; i < 5; i++) {
        wr_clock_manual_advance(&x.clock, 30 * MINUTE_MS * 1000000);
        wr_herald_prepare(&x.h, x.c);
        wr_herald_look(&x.h, x.c, 7, 1);
    }
    wr_storage_counts(x.s, &is);
    T(is.put == was.put && is.get == was.get && is.stat == was.stat);
    end(&x);
}

/* ---- without a look ---- */

static void send(struct shelf *x, unsigned n)
{
    for (; n > 0; n--) {
        x->txid++;
        put(x, 0, x->txid, x->txid);
        wr_herald_sent(&x->h, &x->clock.clock, at(x->txid));
        wr_herald_there(&x->h, at(x->txid));
    }
}

static int64_t due_in(struct shelf *x)
{
    int64_t at_ms = wr_herald_due(&x->h);

    return at_ms == INT64_MAX ? INT64_MAX : at_ms - wr_mono_ms(&x->clock.clock);
}

static void pass(struct shelf *x, int64_t ms)
{
    wr_clock_manual_advance(&x->clock, ms * 1000000);
}

static void say(struct shelf *x, bool ends)
{
    wr_herald_say_last(&x->h, x->c, 7, 1, ends);
}

static void test_the_end_of_a_quiet_replica_was_never_said(void **state)
{
    struct shelf x;

    (void)state;
    begin(&x);
    (void)live(&x, 20);
    look(&x, 7);
    T(said(&x).last.max == x.txid && due_in(&x) == INT64_MAX);
    pass(&x, MINUTE_MS);
    send(&x, 8);
    T(due_in(&x) == MINUTE_MS);
    pass(&x, MINUTE_MS - 1000);
    send(&x, 1);
    T(due_in(&x) == MINUTE_MS);
    pass(&x, MINUTE_MS);
    say(&x, false);
    T(said(&x).last.max == x.txid && said(&x).last.min == x.txid && said(&x).last.level == 0);
    T(due_in(&x) == INT64_MAX && holds(&x));
    send(&x, 7); /* which are worth no PUT of their own yet */
    T(due_in(&x) == 25 * MINUTE_MS);
    end(&x);
}

static void test_many_files_are_said_without_a_rest(void **state)
{
    struct shelf x;

    (void)state;
    begin(&x);
    look(&x, 7);
    pass(&x, 2 * MINUTE_MS);
    send(&x, 127);
    T(due_in(&x) == MINUTE_MS);
    send(&x, 1);
    T(due_in(&x) == 0);
    say(&x, false);
    T(said(&x).last.max == x.txid && due_in(&x) == INT64_MAX);
    send(&x, 200);
    T(due_in(&x) == MINUTE_MS); /* never twice a minute */
    end(&x);
}

static void test_what_cannot_be_said_is_tried_again_later(void **state)
{
    struct shelf x;

    (void)state;
    begin(&x);
    look(&x, 7);
    pass(&x, 2 * MINUTE_MS);
    send(&x, 200);
    x.spy.fail_put = WR_IO;
    say(&x, false);
    T(due_in(&x) == MINUTE_MS);
    x.spy.fail_put = WR_OK;
    pass(&x, MINUTE_MS);
    say(&x, false);
    T(said(&x).last.max == x.txid && due_in(&x) == INT64_MAX);
    end(&x);
}

/* A process that has sent nothing has nothing to say, nor is it asked for. */
static void test_who_sends_nothing_says_nothing(void **state)
{
    struct wr_storage_counts was, is;
    struct shelf x;

    (void)state;
    begin(&x);
    T(due_in(&x) == INT64_MAX);
    pass(&x, 60 * MINUTE_MS);
    T(due_in(&x) == INT64_MAX);
    look(&x, 7);
    wr_storage_counts(x.s, &was);
    say(&x, true);
    wr_storage_counts(x.s, &is);
    T(is.put == was.put && is.get == was.get);
    end(&x);
}

/* Who ends says all that is there, of each level, and deletes no more of it. */
static void test_who_ends_says_what_there_is(void **state)
{
    struct wr_extent is;
    struct shelf x;
    size_t n = 0;

    (void)state;
    begin(&x);
    look(&x, 7);
    send(&x, 3);
    say(&x, false);
    T(said(&x).roll.run[0].to == 0); /* each retention would have to say what it deletes */
    T(live(&x, 60) > 0);
    send(&x, 5);
    say(&x, true);
    is = said(&x);
    T(is.roll.run[0].to == x.txid && is.roll.run[0].from > 1 && is.last.max == x.txid);
    pass(&x, 60 * MINUTE_MS);
    T(thin_out(&x, &n) == WR_BUSY);
    T(n == 0 && holds(&x));
    end(&x);
}

/* Who comes after him says that it is less before it deletes, and goes on with what he has counted.
 */
static void test_who_comes_after_says_that_it_is_less(void **state)
{
    static const struct wr_ltx_file snapshot = {.level = WR_LEVEL_SNAPSHOT, .min = 1, .max = 40};
    struct wr_extent is;
    struct shelf x;
    size_t n = 0;

    (void)state;
    begin(&x);
    x.h.roll.counted = true;
    wr_herald_there(&x.h, &(struct wr_ltx_file){.level = WR_LEVEL_SNAPSHOT, .min = 1, .max = 1});
    look(&x, 7);
    send(&x, 39);
    put(&x, WR_LEVEL_SNAPSHOT, 1, 40);
    wr_herald_there(&x.h, &snapshot);
    say(&x, true);
    is = said(&x);
    T(is.roll.counted && is.roll.snapshots == 2 && is.roll.run[0].from == 2);
    wr_herald_release(&x.h);
    wr_catalogue_release(&x.k);
    start(&x, true);
    pass(&x, 60 * MINUTE_MS);
    send(&x, 1);
    for (unsigned i = 0; i < 30 && n == 0; i++) {
        T(thin_out(&x, &n) == WR_OK);
        pass(&x, MINUTE_MS);
    }
    is = said(&x);
    T(n > 0 && is.token == 7 && is.roll.run[0].to == 0);
    T(is.roll.counted && is.roll.snapshots == 1 && is.roll.newest == 40);
    T(x.removes_at_put < x.spy.removes && holds(&x));
    end(&x);
}

/* What is deleted while the object is on its way is not in it. */
static void let_go(void *arg, struct wr_call *c, struct wr_str key)
{
    static const struct wr_ltx_file f = {.level = WR_LEVEL_SNAPSHOT, .min = 1, .max = 1};
    struct shelf *x = arg;

    (void)c;
    x->spy.in_put = NULL;
    if (strstr(key.p, WR_EXTENT_NAME))
        T(wr_herald_goes(&x->h, &f));
}

static void test_a_word_on_its_way_did_not_know_what_went(void **state)
{
    static const struct wr_ltx_file f = {.level = WR_LEVEL_SNAPSHOT, .min = 1, .max = 1};
    const uint64_t need[WR_LEVEL_MAX + 1] = {0};
    struct wr_err e = {0};
    struct shelf x;

    (void)state;
    begin(&x);
    x.h.roll.counted = true;
    wr_herald_there(&x.h, &f);
    look(&x, 7);
    pass(&x, 2 * MINUTE_MS);
    send(&x, 200);
    x.spy.in_put = let_go;
    say(&x, false);
    T(said(&x).roll.snapshots == 1 && x.h.roll.snapshots == 0);
    T(wr_herald_must(&x.h, &rules, need));
    T_OK(wr_herald_announce(&x.h, x.c, &rules, need, need, &e));
    T(said(&x).roll.counted && said(&x).roll.snapshots == 0);
    T(!wr_herald_must(&x.h, &rules, need));
    end(&x);
}

/* Of two that write each may delete: neither knows how many there are. */
static void test_two_that_write_counted_snapshots(void **state)
{
    const uint64_t need[WR_LEVEL_MAX + 1] = {0};
    struct wr_herald other;
    struct wr_err e = {0};
    struct shelf x;

    (void)state;
    begin(&x);
    x.h.roll.counted = true;
    look(&x, 7);
    pass(&x, 2 * MINUTE_MS);
    send(&x, 200);
    say(&x, false);
    wr_herald_init(&other, x.s, x.c->log, "app.db");
    wr_herald_found(&other, &x.clock.clock, at(x.txid), true);
    wr_herald_prepare(&other, x.c);
    T(other.roll.counted);
    send(&x, 1);
    say(&x, false);
    T(said(&x).roll.counted);
    T_OK(wr_herald_announce(
        &other, x.c, &rules, (const uint64_t[WR_LEVEL_MAX + 1]){[1] = 500}, need, &e));
    T(!said(&x).roll.counted);
    wr_herald_release(&other);
    end(&x);
}

/* Another process has ended, and what it had said could not be read when the first files were to
 * go, but a moment later. They were told as missing. */
static void test_what_went_before_its_runs_were_read(void **state)
{
    const uint64_t need[WR_LEVEL_MAX + 1] = {0};
    struct wr_err e = {0};
    struct shelf x;

    (void)state;
    begin(&x);
    look(&x, 7);
    send(&x, 5);
    say(&x, true);
    T(said(&x).roll.run[0].from == 2 && said(&x).roll.run[0].to == 6);
    wr_herald_release(&x.h);
    start(&x, true);
    x.spy.fail_stat = WR_TIMEOUT;
    wr_herald_prepare(&x.h, x.c);
    x.spy.fail_stat = WR_OK;
    T(wr_herald_goes(&x.h, at(3)));
    T(wr_herald_must(&x.h, &rules, need));
    T_OK(wr_herald_announce(&x.h, x.c, &rules, need, need, &e));
    T(said(&x).newest > 0 && said(&x).roll.run[0].to == 0);
    send(&x, 1);
    say(&x, true);
    T(said(&x).roll.run[0].to == x.txid && said(&x).roll.run[0].from > 3);
    end(&x);
}

/* Nor of single files, or of snapshots: a rule that expires what is old took them. */
static void test_of_what_a_bucket_thins_out_it_was_said_which_files_stay(void **state)
{
    struct shelf x;

    (void)state;
    begin(&x);
    wr_herald_keeps_all(&x.h);
    x.h.roll.counted = true;
    send(&x, 3);
    look(&x, 7);
    say(&x, true);
    T(said(&x).last.max == x.txid);
    T(said(&x).roll.run[0].to == 0 && !said(&x).roll.counted);
    end(&x);
}

/* A new primary had read what the old one had said, which ended then: its last word was not known
 * to be one that speaks of all files. */
static void test_who_ended_spoke_of_what_another_one_deletes(void **state)
{
    const uint64_t need[WR_LEVEL_MAX + 1] = {0};

    (void)state;
    for (unsigned first = 0; first < 2; first++) {
        struct wr_herald other;
        struct wr_err e = {0};
        struct shelf x;

        begin(&x);
        look(&x, 7);
        send(&x, 5);
        wr_herald_init(&other, x.s, x.c->log, "app.db");
        wr_herald_found(&other, &x.clock.clock, at(x.txid), true);
        wr_herald_prepare(&other, x.c);
        if (first == 0)
            say(&x, true);
        T(wr_herald_goes(&other, at(3)));
        if (wr_herald_must(&other, &rules, need))
            T_OK(wr_herald_announce(&other, x.c, &rules, need, need, &e));
        if (first == 1)
            say(&x, true);
        T(said(&x).newest > 0 && said(&x).roll.run[0].to == 0);
        T(wr_herald_goes(&other, at(4)));
        T(!wr_herald_must(&other, &rules, need)); /* which is said once */
        wr_herald_release(&other);
        end(&x);
    }
}

/* Somebody else writes there, too, and deletes by what he knows. */
static void test_who_is_not_alone_spoke_of_all_files(void **state)
{
    struct shelf x;

    (void)state;
    begin(&x);
    look(&x, 7);
    wr_herald_shared(&x.h);
    look(&x, 8);
    send(&x, 5);
    wr_herald_say_last(&x.h, x.c, 8, 1, true);
    T(said(&x).token == 8 && said(&x).last.max == x.txid);
    T(said(&x).roll.run[0].to == 0);
    end(&x);
}

T_MAIN(T_TEST(test_nothing_is_said_before_there_is_a_sign),
    T_TEST(test_it_is_said_before_it_is_deleted), T_TEST(test_what_cannot_be_said_is_not_deleted),
    T_TEST(test_a_store_that_does_not_write_over), T_TEST(test_it_was_deleted),
    T_TEST(test_a_store_that_has_what_is_never_that), T_TEST(test_who_begins_goes_on_with_it),
    T_TEST(test_of_levels_that_a_bucket_thins_out_it_was_said_that_they_stay),
    T_TEST(test_what_is_refused_again_and_again_is_for_good),
    T_TEST(test_the_answer_to_the_first_word_was_lost),
    T_TEST(test_what_was_forbidden_once_was_never_read),
    T_TEST(test_what_was_forbidden_while_it_was_deleted), T_TEST(test_two_writers),
    T_TEST(test_a_replica_that_became_less), T_TEST(test_nothing_new_costs_nothing),
    T_TEST(test_the_end_of_a_quiet_replica_was_never_said),
    T_TEST(test_many_files_are_said_without_a_rest),
    T_TEST(test_what_cannot_be_said_is_tried_again_later),
    T_TEST(test_who_sends_nothing_says_nothing), T_TEST(test_who_ends_says_what_there_is),
    T_TEST(test_who_comes_after_says_that_it_is_less),
    T_TEST(test_a_word_on_its_way_did_not_know_what_went),
    T_TEST(test_two_that_write_counted_snapshots), T_TEST(test_what_went_before_its_runs_were_read),
    T_TEST(test_of_what_a_bucket_thins_out_it_was_said_which_files_stay),
    T_TEST(test_who_ended_spoke_of_what_another_one_deletes),
    T_TEST(test_who_is_not_alone_spoke_of_all_files))
