/*
 * contract_write.c - checks of writes that must not tread on each other: conditional puts, uploads,
 * concurrent callers.
 *
 * Threads of a check never assert: cmocka leaves a failed check by longjmp, which only its own
 * thread may do. They count what went wrong.
 */
#include "contract/contract_int.h"

#include "base/mem.h"
#include "base/rand.h"
#include "base/sync.h"
#include "storage/reader.h"
#include "storage/writer.h"

#include <stdatomic.h>

#define THREADS 4

static bool conditional(const struct bench *b)
{
    return wr_storage_caps(b->s) & WR_STORAGE_COND_PUT;
}

static enum wr_status put_with(const struct bench *b, const char *name, const char *text,
    struct wr_put_opts o, struct wr_object *out, struct wr_err *e)
{
    return wr_storage_put_object(b->s, b->c, key_at(b, name), text_of(text), &o, out, e);
}

/* ---- conditional puts ---- */

static void if_absent_creates(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_put_opts o = {.if_absent = true};
    enum wr_status want = conditional(&b) ? WR_OK : WR_UNSUPPORTED;

    T_IS(want, put_with(&b, "dir/o", "first", o, NULL, &e));
    if (conditional(&b)) {
        expect_text(&b, "dir/o", "first");
        T_IS(WR_CONFLICT, put_with(&b, "dir/o", "second", o, NULL, &e));
        expect_text(&b, "dir/o", "first");
    }
    put_away(&b);
}

static void if_absent_after_remove(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_put_opts o = {.if_absent = true};
    struct wr_str key = key_at(&b, "dir/o");

    if (conditional(&b)) {
        put_text(&b, "dir/o", "first");
        T_OK(wr_storage_remove(b.s, b.c, &key, 1, &e));
        T_OK(put_with(&b, "dir/o", "second", o, NULL, &e));
        expect_text(&b, "dir/o", "second");
    }
    put_away(&b);
}

static void if_match_replaces_its_version_only(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_object first = {0}, second = {0}, about = {0};

    if (!conditional(&b)) {
        T_IS(WR_UNSUPPORTED,
            put_with(&b, "dir/o", "x", (struct wr_put_opts){.if_match = WR_STR("1")}, NULL, &e));
        put_away(&b);
        return;
    }
    T_OK(put_with(&b, "dir/o", "one", (struct wr_put_opts){.if_absent = true}, &first, &e));
    T_OK(
        put_with(&b, "dir/o", "two", (struct wr_put_opts){.if_match = first.version}, &second, &e));
    T(second.version.n > 0 && !wr_str_eq(first.version, second.version));
    T_OK(wr_storage_stat(b.s, b.c, key_at(&b, "dir/o"), &about, &e));
    T(wr_str_eq(about.version, second.version));
    T_IS(WR_CONFLICT,
        put_with(&b, "dir/o", "three", (struct wr_put_opts){.if_match = first.version}, NULL, &e));
    expect_text(&b, "dir/o", "two");
    put_away(&b);
}

static void if_match_of_the_missing_conflicts(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_object first = {0};
    struct wr_str key = key_at(&b, "dir/o");

    if (conditional(&b)) {
        T_OK(put_with(&b, "dir/o", "one", (struct wr_put_opts){0}, &first, &e));
        T_OK(wr_storage_remove(b.s, b.c, &key, 1, &e));
        T_IS(WR_CONFLICT, put_with(&b, "dir/o", "two",
                              (struct wr_put_opts){.if_match = first.version}, NULL, &e));
        expect_absent(&b, "dir/o");
    }
    put_away(&b);
}

static void put_reports_the_object(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_object put = {0}, about = {0};

    T_OK(put_with(&b, "dir/o", "12345", (struct wr_put_opts){0}, &put, &e));
    T_OK(wr_storage_stat(b.s, b.c, key_at(&b, "dir/o"), &about, &e));
    T(wr_str_eq(put.key, about.key) && put.size == 5);
    T(wr_str_eq(put.version, about.version));
    put_away(&b);
}

/* ---- races ---- */

struct worker {
    struct wr_thread thread;
    const struct bench *b;
    struct wr_str key;
    unsigned id, rounds;
    unsigned won, wrong;
    _Atomic unsigned *go;
};

/* A call of the worker's own, for its time. */
struct own_call {
    struct wr_arena scratch;
    struct wr_call call;
};

static struct wr_call *own_call(struct own_call *o, const struct worker *w)
{
    wr_arena_init(&o->scratch, WR_ARENA_MAX);
    o->call = *w->b->c;
    o->call.scratch = &o->scratch;
    return &o->call;
}

/* Runs `run` in THREADS threads at once; returns how much went wrong. */
static unsigned race(const struct bench *b, const char *name, unsigned rounds, void (*run)(void *),
    struct worker ws[THREADS])
{
    struct wr_err e = {0};
    _Atomic unsigned go = 0;
    unsigned wrong = 0, started = 0;

    for (unsigned i = 0; i < THREADS; i++)
        ws[i] =
            (struct worker){.b = b, .key = key_at(b, name), .id = i, .rounds = rounds, .go = &go};
    while (started < THREADS &&
           wr_thread_start(&ws[started].thread, "race", 0, run, &ws[started], &e) == WR_OK)
        started++;
    for (unsigned i = 0; i < started; i++)
        wr_thread_join(&ws[i].thread);
    T(started == THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        wrong += ws[i].wrong;
    return wrong;
}

static void create_once(void *arg)
{
    struct worker *w = arg;
    struct own_call o;
    struct wr_call *c = own_call(&o, w);
    struct wr_put_opts opts = {.if_absent = true};
    char text[2] = {(char)('a' + w->id), 0};

    enum wr_status st = wr_storage_put(w->b->s, c, w->key, text_of(text), &opts, NULL);
    w->won = st == WR_OK;
    w->wrong = st != WR_OK && st != WR_CONFLICT;
    wr_arena_release(&o.scratch);
}

static void if_absent_has_one_winner(void **state)
{
    struct bench b = take_out(state);
    struct worker ws[THREADS];
    char name[24];

    for (int round = 0; conditional(&b) && round < (b.f->slow ? 3 : 20); round++) {
        unsigned won = 0;
        char text[2] = {0};
        (void)snprintf(name, sizeof(name), "dir/o%d", round);
        T(race(&b, name, 1, create_once, ws) == 0);
        for (unsigned i = 0; i < THREADS; i++) {
            won += ws[i].won;
            if (ws[i].won)
                text[0] = (char)('a' + i);
        }
        T(won == 1);
        expect_text(&b, name, text);
    }
    put_away(&b);
}

/* Read the number, add one, write it if nobody was faster. Losing is no reason to stop. The text
 * names its writer, because a put that was repeated takes equal bytes for its own. */
static void add_one(struct worker *w, struct wr_call *c)
{
    for (unsigned tries = 0; tries < 10000; tries++) {
        struct wr_object about = {0};
        struct wr_str number, writer;
        char text[64] = {0};
        size_t got = 0;
        uint64_t n = 0;

        wr_arena_reset(c->scratch);
        /* Version first: if the number is newer than it, the put fails. */
        enum wr_status st = wr_storage_stat(w->b->s, c, w->key, &about, NULL);
        if (st == WR_OK)
            st = wr_storage_get(w->b->s, c, w->key, 0, text, sizeof(text) - 1, &got, NULL);
        (void)wr_str_cut((struct wr_str){text, got}, ' ', &number, &writer);
        if (st != WR_OK || !wr_parse_u64(number, &n))
            break;
        (void)snprintf(text, sizeof(text), "%llu by %u", (unsigned long long)n + 1, w->id);
        struct wr_put_opts o = {.if_match = about.version};
        st = wr_storage_put(w->b->s, c, w->key, text_of(text), &o, NULL);
        if (st == WR_OK)
            return;
        if (st != WR_CONFLICT && st != WR_BUSY)
            break;
    }
    w->wrong++;
}

static void add_many(void *arg)
{
    struct worker *w = arg;
    struct own_call o;
    struct wr_call *c = own_call(&o, w);

    for (unsigned i = 0; i < w->rounds; i++)
        add_one(w, c);
    wr_arena_release(&o.scratch);
}

static void if_match_loses_no_update(void **state)
{
    struct bench b = take_out(state);
    struct worker ws[THREADS];
    struct wr_err e = {0};
    unsigned rounds = b.f->slow ? 3 : 20;
    char want[32], text[32];
    size_t got = 0;

    if (conditional(&b)) {
        put_text(&b, "dir/n", "0");
        T(race(&b, "dir/n", rounds, add_many, ws) == 0);
        (void)snprintf(want, sizeof(want), "%u by ", THREADS * rounds);
        T_OK(wr_storage_get(b.s, b.c, key_at(&b, "dir/n"), 0, text, sizeof(text), &got, &e));
        T(got == strlen(want) + 1 && memcmp(text, want, strlen(want)) == 0);
    }
    put_away(&b);
}

/* Even ids overwrite with one letter all over, odd ones must never see two letters or a part. */
static void write_or_look(void *arg)
{
    struct worker *w = arg;
    struct own_call o;
    struct wr_call *c = own_call(&o, w);
    uint8_t body[4096];

    for (unsigned i = 0; i < w->rounds; i++) {
        enum wr_status st;
        size_t got = sizeof(body);

        wr_arena_reset(c->scratch);
        if (w->id % 2 == 0) {
            memset(body, (int)('a' + (w->id + i) % 26), sizeof(body));
            st = wr_storage_put(
                w->b->s, c, w->key, (struct wr_bytes){body, sizeof(body)}, NULL, NULL);
        } else {
            st = wr_storage_get(w->b->s, c, w->key, 0, body, sizeof(body), &got, NULL);
        }
        w->wrong +=
            st != WR_OK || got != sizeof(body) || memcmp(body, body + 1, sizeof(body) - 1) != 0;
    }
    wr_arena_release(&o.scratch);
}

static void readers_see_whole_objects(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct worker ws[THREADS];
    uint8_t body[4096];

    memset(body, 'a', sizeof(body));
    T_OK(wr_storage_put(
        b.s, b.c, key_at(&b, "dir/o"), (struct wr_bytes){body, sizeof(body)}, NULL, &e));
    T(race(&b, "dir/o", b.f->slow ? 5 : 60, write_or_look, ws) == 0);
    expect_list(&b, "", "", (const char *[]){"dir/o", NULL});
    put_away(&b);
}

/* ---- uploads ---- */

/* Write `body` in pieces of random sizes. */
static enum wr_status write_all(
    const struct bench *b, struct wr_writer *w, struct wr_bytes body, struct wr_err *e)
{
    struct wr_rand r;
    enum wr_status st = WR_OK;

    wr_rand_init(&r, t_seed() + body.n);
    for (size_t off = 0; off < body.n && st == WR_OK;) {
        size_t n = 1 + (size_t)wr_rand_below(&r, body.n / 3 + 1);
        n = wr_min(n, body.n - off);
        st = wr_writer_write(w, b->c, (struct wr_bytes){body.p + off, n}, e);
        off += n;
    }
    return st;
}

static void upload(const struct bench *b, const char *name, struct wr_bytes body,
    const struct wr_put_opts *o, enum wr_status want)
{
    struct wr_err e = {0};
    struct wr_writer *w = NULL;

    T_OK(wr_writer_open(b->s, b->c, key_at(b, name), o, 0, &w, &e));
    T_OK(write_all(b, w, body, &e));
    T_IS(want, wr_writer_commit(w, b->c, &e));
}

/* A size of several parts, or what a put takes where there are none. */
static size_t large(const struct bench *b)
{
    return b->f->part ? b->f->part * 5 / 2 + 17 : 100000;
}

static void writer_round_trips(void **state)
{
    struct bench b = take_out(state);
    size_t part = b.f->part ? b.f->part : 50000;
    const size_t sizes[] = {0, 1, part - 1, part, part + 1, 2 * part, large(&b)};

    for (size_t i = 0; i < wr_countof(sizes); i++) {
        struct wr_bytes body = noise(&b, sizes[i], i);
        upload(&b, "dir/o", body, NULL, WR_OK);
        expect_bytes(&b, key_at(&b, "dir/o"), body);
    }
    expect_list(&b, "", "", (const char *[]){"dir/o", NULL});
    put_away(&b);
}

static void invisible_before_commit(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_writer *w = NULL;
    struct wr_bytes body = noise(&b, large(&b), 2);

    T_OK(wr_writer_open(b.s, b.c, key_at(&b, "dir/o"), NULL, 0, &w, &e));
    T_OK(write_all(&b, w, body, &e));
    expect_absent(&b, "dir/o");
    expect_list(&b, "", "", (const char *[]){NULL});
    T_OK(wr_writer_commit(w, b.c, &e));
    expect_bytes(&b, key_at(&b, "dir/o"), body);
    expect_list(&b, "", "", (const char *[]){"dir/o", NULL});
    put_away(&b);
}

static void abort_leaves_nothing(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_writer *w = NULL;

    T_OK(wr_writer_open(b.s, b.c, key_at(&b, "dir/o"), NULL, 0, &w, &e));
    T_OK(write_all(&b, w, noise(&b, large(&b), 3), &e));
    wr_writer_abort(w, b.c);
    expect_absent(&b, "dir/o");
    expect_list(&b, "", "", (const char *[]){NULL});

    put_text(&b, "dir/p", "old");
    T_OK(wr_writer_open(b.s, b.c, key_at(&b, "dir/p"), NULL, 0, &w, &e));
    T_OK(write_all(&b, w, noise(&b, large(&b), 3), &e));
    expect_text(&b, "dir/p", "old");
    wr_writer_abort(w, b.c);
    expect_text(&b, "dir/p", "old");
    put_away(&b);
}

static void uploads_keep_times(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_object about = {0};
    struct wr_put_opts o = {.time_ms = 1763837671428};

    upload(&b, "dir/o", noise(&b, large(&b), 4), &o, WR_OK);
    T_OK(wr_storage_stat(b.s, b.c, key_at(&b, "dir/o"), &about, &e));
    if (!b.f->no_time)
        T(about.time_ms == o.time_ms);
    put_away(&b);
}

static void conditional_uploads(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_object first = {0};
    struct wr_put_opts o = {.if_absent = true};
    struct wr_bytes body = noise(&b, large(&b), 5);

    if (conditional(&b)) {
        upload(&b, "dir/o", body, &o, WR_OK);
        expect_bytes(&b, key_at(&b, "dir/o"), body);
        upload(&b, "dir/o", noise(&b, large(&b), 6), &o, WR_CONFLICT);
        expect_bytes(&b, key_at(&b, "dir/o"), body);

        T_OK(wr_storage_stat(b.s, b.c, key_at(&b, "dir/o"), &first, &e));
        o = (struct wr_put_opts){.if_match = first.version};
        body = noise(&b, large(&b), 7);
        upload(&b, "dir/o", body, &o, WR_OK);
        upload(&b, "dir/o", noise(&b, large(&b), 8), &o, WR_CONFLICT);
        expect_bytes(&b, key_at(&b, "dir/o"), body);
    }
    put_away(&b);
}

static void last_commit_wins(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_writer *one = NULL, *two = NULL;
    struct wr_bytes body = noise(&b, large(&b), 9), other = noise(&b, large(&b) + 5, 10);

    T_OK(wr_writer_open(b.s, b.c, key_at(&b, "dir/o"), NULL, 0, &one, &e));
    T_OK(wr_writer_open(b.s, b.c, key_at(&b, "dir/o"), NULL, 0, &two, &e));
    T_OK(write_all(&b, one, body, &e));
    T_OK(write_all(&b, two, other, &e));
    T_OK(wr_writer_commit(two, b.c, &e));
    expect_bytes(&b, key_at(&b, "dir/o"), other);
    T_OK(wr_writer_commit(one, b.c, &e));
    expect_bytes(&b, key_at(&b, "dir/o"), body);
    put_away(&b);
}

static void reader_reads_what_writer_wrote(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_reader *r = NULL;
    struct wr_rand rng;
    struct wr_bytes body = noise(&b, large(&b), 11);
    uint8_t *copy = wr_alloc(body.n + 1);

    wr_rand_init(&rng, t_seed());
    T(copy != NULL);
    upload(&b, "dir/o", body, NULL, WR_OK);
    T_OK(wr_reader_open(
        b.s, key_at(&b, "dir/o"), body.n, wr_max(large(&b) / 7, (size_t)4096), &r, &e));
    for (size_t off = 0; off < body.n;) {
        size_t n = 1 + (size_t)wr_rand_below(&rng, body.n / 5);
        n = wr_min(n, body.n - off);
        T(wr_reader_offset(r) == off);
        T_OK(wr_reader_read(r, b.c, copy + off, n, &e));
        off += n;
    }
    T(memcmp(copy, body.p, body.n) == 0);
    T_IS(WR_CORRUPT, wr_reader_read(r, b.c, copy, 1, &e));
    wr_reader_close(r);
    wr_free(copy);
    put_away(&b);
}

static void canceled_upload_leaves_nothing(void **state)
{
    struct bench b = take_out(state);
    struct wr_err e = {0};
    struct wr_cancel cancel;
    struct wr_call c = *b.c;
    struct wr_writer *w = NULL;

    wr_cancel_init(&cancel);
    c.cancel = &cancel;
    T_OK(wr_writer_open(b.s, &c, key_at(&b, "dir/o"), NULL, 0, &w, &e));
    T_OK(write_all(&b, w, noise(&b, large(&b), 12), &e));
    wr_cancel_now(&cancel);
    T_IS(WR_CANCELED, wr_writer_commit(w, &c, &e));
    expect_absent(&b, "dir/o");
    expect_list(&b, "", "", (const char *[]){NULL});
    wr_cancel_release(&cancel);
    put_away(&b);
}

#define CHECK(f)           \
    {                      \
        "contract: " #f, f \
    }
const struct check contract_write_checks[] = {
    CHECK(if_absent_creates),
    CHECK(if_absent_after_remove),
    CHECK(if_match_replaces_its_version_only),
    CHECK(if_match_of_the_missing_conflicts),
    CHECK(put_reports_the_object),
    CHECK(if_absent_has_one_winner),
    CHECK(if_match_loses_no_update),
    CHECK(readers_see_whole_objects),
    CHECK(writer_round_trips),
    CHECK(invisible_before_commit),
    CHECK(abort_leaves_nothing),
    CHECK(uploads_keep_times),
    CHECK(conditional_uploads),
    CHECK(last_commit_wins),
    CHECK(reader_reads_what_writer_wrote),
    CHECK(canceled_upload_leaves_nothing),
    {NULL, NULL},
};
