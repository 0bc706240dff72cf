/*
 * test_catalogue.c - what is in a replica, as its writer knows it: listed once, kept up to date,
 * and thinned out, whatever the store says.
 */
#include "engine/catalogue.h"

#include "harness/t.h"
#include "unit/engine/spy_store.h"

#define GRACE_MS 1000

static const struct wr_retention two_seconds = {
    .keep_ms = 2000, .l0_ms = 100, .grace_ms = GRACE_MS};

struct shelf {
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s;
    struct wr_clock_manual clock;
    struct wr_call *c;
    struct wr_catalogue k;
};

static struct wr_ltx_file file(unsigned level, uint64_t min, uint64_t max)
{
    return (struct wr_ltx_file){
        .level = level, .min = min, .max = max, .time_ms = 1000 + 100 * (int64_t)max, .size = 1};
}

static void put(struct shelf *x, struct wr_ltx_file f)
{
    struct wr_put_opts o = {.time_ms = f.time_ms};
    struct wr_err e = {0};

    T_OK(wr_storage_put(x->s, x->c, wr_layout_ltx_key(x->c->scratch, x->s, f.level, f.min, f.max),
        (struct wr_bytes){(const uint8_t *)"x", 1}, &o, &e));
}

static size_t there(struct shelf *x)
{
    struct wr_storage *s = spy_bucket(&x->spy);
    struct wr_ltx_files files = {0};
    struct wr_err e = {0};
    size_t n;

    T_OK(wr_layout_list_all(s, x->c, &files, &e));
    n = files.n;
    wr_ltx_files_release(&files);
    wr_storage_close(s);
    return n;
}

/* A snapshot, 40 files of level 0 and ten of level 1: all but a few of level 0 can go. */
static void begin(struct shelf *x)
{
    *x = (struct shelf){0};
    x->s = spy_open(&x->spy, &x->ops);
    wr_clock_manual_init(&x->clock, 1000000);
    x->c = t_call();
    x->c->clock = &x->clock.clock;
    put(x, file(9, 1, 1));
    for (uint64_t t = 2; t <= 41; t++)
        put(x, file(0, t, t));
    for (uint64_t t = 2; t <= 41; t += 4)
        put(x, file(1, t, t + 3));
}

static void end(struct shelf *x)
{
    wr_catalogue_release(&x->k);
    wr_storage_close(x->s);
}

static enum wr_status thin_out(struct shelf *x, size_t *ret_n)
{
    struct wr_err e = {0};
    enum wr_status st = wr_catalogue_fill(&x->k, x->s, x->c, &e);

    *ret_n = 0;
    return st == WR_OK ? wr_catalogue_retain(&x->k, x->s, x->c, &two_seconds, NULL, ret_n, &e) : st;
}

static void later(struct shelf *x, int64_t ms)
{
    wr_clock_manual_advance(&x->clock, ms * 1000000);
}

static void test_readers_have_their_time(void **state)
{
    struct shelf x;
    size_t n;

    (void)state;
    begin(&x);
    T(thin_out(&x, &n) == WR_OK);
    T(n == 0 && there(&x) == 51 && x.spy.removes == 0);
    T(x.k.l0.eligible > 30 && x.k.l0.eligible + x.k.l0.too_recent == 40);
    T(x.k.l0.too_recent > 0 && x.k.l0.not_compacted == 0);
    later(&x, GRACE_MS - 1);
    T(thin_out(&x, &n) == WR_OK);
    T(n == 0 && x.spy.removes == 0);
    later(&x, 1);
    T(thin_out(&x, &n) == WR_OK);
    T(n > 30 && there(&x) == 51 - n && x.spy.removes == 1);
    T(x.k.files.n == 51 - n && x.k.doomed.n == 0);
    T(thin_out(&x, &n) == WR_OK);
    T(n == 0 && x.spy.removes == 1 && x.spy.lists == 1);
    T(x.k.l0.eligible == 0 && x.k.l0.too_recent > 0);
    end(&x);
}

/* What came after the listing is added once, in any order, and may be what makes others old. */
static void test_what_came_is_added(void **state)
{
    const struct wr_ltx_file came[] = {file(0, 43, 43), file(0, 42, 42), file(9, 1, 1)};
    struct shelf x;
    struct wr_err e = {0};
    size_t n;

    (void)state;
    begin(&x);
    T(thin_out(&x, &n) == WR_OK);
    T_OK(wr_catalogue_add(&x.k, came, 3, &e));
    T_OK(wr_catalogue_add(&x.k, came, 0, &e));
    T(x.k.files.n == 53);
    for (size_t i = 1; i < x.k.files.n; i++)
        T(wr_ltx_file_cmp(&x.k.files.p[i - 1], &x.k.files.p[i]) < 0);
    T(thin_out(&x, &n) == WR_OK && x.k.l0.not_compacted == 2);
    end(&x);
    T(x.k.l0.not_compacted == 0);
}

/* After a failure nothing is known but since when files are of no use. */
static void test_a_store_that_fails(void **state)
{
    struct shelf x;
    size_t n;

    (void)state;
    begin(&x);
    x.spy.fail_list = WR_IO;
    T(thin_out(&x, &n) == WR_IO && !x.k.known);
    x.spy.fail_list = WR_OK;
    T(thin_out(&x, &n) == WR_OK);
    later(&x, GRACE_MS);
    x.spy.fail_remove = WR_AUTH;
    T(thin_out(&x, &n) == WR_AUTH && n == 0); /* they were counted */
    T(!x.k.known && x.k.files.n == 0 && x.k.doomed.n > 30);
    x.spy.fail_remove = WR_OK;
    T(thin_out(&x, &n) == WR_OK);
    T(n > 30 && there(&x) == 51 - n);
    end(&x);
}

/* Somebody else removes a file that was to go, and it comes again: it is a new one. */
static void test_a_file_that_comes_again_has_its_time(void **state)
{
    struct shelf x;
    struct wr_err e = {0};
    struct wr_str key;
    size_t n;

    (void)state;
    begin(&x);
    T(thin_out(&x, &n) == WR_OK);
    key = wr_layout_ltx_key(x.c->scratch, x.s, 0, 5, 5);
    T_OK(wr_storage_remove(x.s, x.c, &key, 1, &e));
    x.spy.removes = 0;
    wr_catalogue_forget(&x.k);
    T(thin_out(&x, &n) == WR_OK);
    put(&x, file(0, 5, 5));
    later(&x, GRACE_MS);
    wr_catalogue_forget(&x.k);
    T(thin_out(&x, &n) == WR_OK);
    T(n > 30 && x.k.doomed.n == 1 && x.k.doomed.p[0].min == 5);
    end(&x);
}

struct late {
    wr_list_fn *fn;
    void *arg;
};

static bool tell_late(void *arg, const struct wr_object *obj)
{
    struct late *l = arg;
    struct wr_object o = *obj;

    o.time_ms += 600000;
    return l->fn(l->arg, &o);
}

/* As S3 lists: not when a file was made, but when it had arrived, here ten minutes later. */
static enum wr_status list_late(void *self, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    struct late l = {.fn = fn, .arg = arg};

    return spy_list(self, c, prefix, after, tell_late, &l, e);
}

static unsigned stats;

static enum wr_status count_stat(
    void *self, struct wr_call *c, struct wr_str key, struct wr_object *out, struct wr_err *e)
{
    stats++;
    return spy_stat(self, c, key, out, e);
}

/* A snapshot at the end of each day, and a restart in the middle of the next: were a file of the
 * other day after it, the days would take each other's snapshots away. */
static void test_a_file_is_of_one_day_whoever_lists_it(void **state)
{
    const int64_t day_ms = 24 * 3600000;
    const struct wr_retention r = {
        .keep_ms = 1, .l0_ms = 1, .grace_ms = 1, .periods = {[WR_PERIOD_DAY] = 4}};
    struct shelf x;
    struct wr_err e = {0};
    size_t n;

    (void)state;
    x = (struct shelf){0};
    x.s = spy_open(&x.spy, &x.ops);
    x.ops.caps &= ~(unsigned)WR_STORAGE_LIST_TIME;
    x.ops.list = list_late;
    x.ops.stat = count_stat;
    stats = 0;
    wr_clock_manual_init(&x.clock, 100 * day_ms);
    x.c = t_call();
    x.c->clock = &x.clock.clock;
    for (uint64_t day = 1; day <= 10; day++) {
        struct wr_ltx_file f = file(9, 1, day);

        later(&x, day_ms / 2);
        f.time_ms = 100 * day_ms + (int64_t)day * day_ms - 1000;
        T_OK(wr_catalogue_fill(&x.k, x.s, x.c, &e));
        T_OK(wr_catalogue_times(&x.k, x.s, x.c, 4, &e));
        later(&x, day_ms / 2);
        put(&x, f);
        T_OK(wr_catalogue_add(&x.k, &f, 1, &e));
        for (int i = 0; i < 3; i++) {
            T_OK(wr_catalogue_times(&x.k, x.s, x.c, 4, &e));
            T_OK(wr_catalogue_retain(&x.k, x.s, x.c, &r, NULL, &n, &e));
            later(&x, 2);
        }
        T(there(&x) == wr_min(day, (uint64_t)4));
        wr_catalogue_forget(&x.k);
    }
    T(stats == 1 + 2 + 3 + 4 * 6); /* once each day, of each file */
    end(&x);
}

static enum wr_status only_say_so(
    void *self, struct wr_call *c, const struct wr_str *keys, size_t n, struct wr_err *e)
{
    struct spy *spy = self;

    (void)c;
    (void)e;
    spy->removes++;
    T(n > 30 && keys[n - 1].n > 0);
    return WR_OK;
}

static enum wr_status sweep(void *arg)
{
    struct shelf *x = arg;
    const struct wr_ltx_file more = file(0, 42, 42);
    struct wr_err e = {0};
    size_t n = 0;
    enum wr_status st;

    wr_catalogue_release(&x->k);
    st = wr_catalogue_fill(&x->k, x->s, x->c, &e);
    if (st == WR_OK)
        st = wr_catalogue_add(&x->k, &more, 1, &e);
    if (st == WR_OK)
        st = wr_catalogue_retain(&x->k, x->s, x->c, &two_seconds, NULL, &n, &e);
    later(x, GRACE_MS);
    if (st == WR_OK)
        st = wr_catalogue_retain(&x->k, x->s, x->c, &two_seconds, NULL, &n, &e);
    wr_catalogue_release(&x->k);
    return st;
}

/* A file of level 1 that arrived damaged was taken for what it is called, and those of level 0 that
 * it covers went. */
static void test_a_damaged_file_covered_others(void **state)
{
    struct shelf x;
    const struct wr_ltx_file ours = file(1, 6, 9), other = file(1, 14, 17);
    size_t n;

    (void)state;
    begin(&x);
    wr_catalogue_distrust(&x.k, &other, false);
    wr_catalogue_distrust(&x.k, &ours, true);
    wr_catalogue_distrust(&x.k, &ours, true);
    x.spy.fail_remove = WR_AUTH;
    T(thin_out(&x, &n) == WR_AUTH && n == 0);
    x.spy.fail_remove = WR_OK;
    T(thin_out(&x, &n) == WR_OK);
    T(n == 1 && there(&x) == 50 && x.k.damaged.n == 1 && x.k.waste.n == 0);
    wr_catalogue_forget(&x.k); /* it is listed again, and not believed again */
    T(thin_out(&x, &n) == WR_OK && n == 0 && x.k.files.n == 49);
    later(&x, GRACE_MS);
    T(thin_out(&x, &n) == WR_OK && n > 20);
    for (uint64_t t = 6; t <= 17; t++) {
        const struct wr_ltx_file f = file(0, t, t);

        T((wr_ltx_files_find(&x.k.files, &f) != NULL) == (t < 10 || t > 13));
    }
    end(&x);
    T(x.k.damaged.n == 0);
}

/* More than are minded: nothing is deleted for what is known of the others. */
static void test_too_many_damaged_files(void **state)
{
    struct shelf x;
    size_t n;

    (void)state;
    begin(&x);
    for (uint64_t t = 2; t <= WR_DAMAGED_MAX + 1; t++) {
        const struct wr_ltx_file f = file(1, t, t);

        wr_catalogue_distrust(&x.k, &f, false);
    }
    T(thin_out(&x, &n) == WR_OK && !x.k.blind);
    wr_catalogue_distrust(&x.k, &(struct wr_ltx_file){.level = 2, .min = 2, .max = 5}, true);
    later(&x, GRACE_MS);
    T(thin_out(&x, &n) == WR_LIMIT && n == 0 && there(&x) == 51);
    end(&x);
}

static void test_no_memory(void **state)
{
    struct shelf x;

    (void)state;
    begin(&x);
    x.ops.remove = only_say_so;
    t_sweep_nomem(sweep, &x);
    T(x.spy.removes > 0);
    end(&x);
}

T_MAIN(T_TEST(test_readers_have_their_time), T_TEST(test_what_came_is_added),
    T_TEST(test_a_store_that_fails), T_TEST(test_a_file_that_comes_again_has_its_time),
    T_TEST(test_a_damaged_file_covered_others), T_TEST(test_too_many_damaged_files),
    T_TEST(test_a_file_is_of_one_day_whoever_lists_it), T_TEST(test_no_memory))
