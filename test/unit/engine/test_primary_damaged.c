/*
 * test_primary_damaged.c - a store that keeps something else than it was sent, and says that all is
 * well. It is found out; nothing that such a file covers is deleted, and no state is lost.
 */
#include "unit/engine/history_world.h"

#include "engine/primary_replicas.h"
#include "engine/restore.h"
#include "storage/drivers.h"

static struct {
    const char *in;      /* damage the next object whose key has this; NULL: none */
    size_t from;         /* from this byte on */
    const char *deaf_to; /* no object whose key has this can be read; NULL: all can */
    bool always;         /* and all that follow */
    unsigned done;
    const struct wr_storage *storage;
    struct wr_ltx_file file; /* the last one that was damaged */
} evil;

static bool is_in(const char *part, struct wr_str key)
{
    return part && strstr(key.p, part);
}

static enum wr_status evil_put(void *self, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e)
{
    uint8_t *copy;
    enum wr_status st;

    if (!is_in(evil.in, key))
        return wr_storage_mem.put(self, c, key, body, o, out, e);
    copy = wr_alloc(body.n);
    T(copy != NULL);
    memcpy(copy, body.p, body.n);
    for (size_t i = evil.from; i < body.n; i++)
        copy[i] ^= 0x10;
    st = wr_storage_mem.put(self, c, key, (struct wr_bytes){copy, body.n}, o, out, e);
    wr_free(copy);
    T(st == WR_OK && wr_layout_ltx_parse(evil.storage, key, &evil.file));
    evil.done++;
    evil.in = evil.always ? evil.in : NULL;
    return st;
}

static enum wr_status evil_get(void *self, struct wr_call *c, struct wr_str key, uint64_t off,
    void *buf, size_t n, size_t *got, struct wr_str *version, struct wr_err *e)
{
    if (is_in(evil.deaf_to, key))
        return wr_fail(e, WR_IO, "it does not answer");
    return wr_storage_mem.get(self, c, key, off, buf, n, got, version, e);
}

static void start_evil(struct world *w)
{
    static struct wr_storage_ops ops;
    struct wr_storage *s = NULL;
    struct wr_err e = {0};

    ops = wr_storage_mem;
    ops.put = evil_put;
    ops.get = evil_get;
    world_stop(w);
    w->n_buckets = 0; /* added by hand */
    world_start(w);
    w->n_buckets = 1;
    T_OK(wr_storage_wrap(&ops, wr_storage_mem_ref(w->bucket[0]), WR_STR(""), &s, &e));
    wr_storage_set_retry(s, 1, 0);
    evil.storage = s;
    T_OK(wr_db_add_replica(w->db, s, w->interval_ns, &e));
    (void)world_sync(w);
}

static void begin_evil(struct history *h, const char *in, size_t from)
{
    memset(&evil, 0, sizeof(evil));
    evil.in = in;
    evil.from = from;
    begin(h, 1);
    h->w.opts.retention = (struct wr_retention){.keep_ms = 24 * 3600000, .l0_ms = 60000};
    start_evil(&h->w);
}

static bool restores(struct world *w, uint64_t txid)
{
    struct wr_storage *s = world_storage(w, 0);
    struct wr_restore_opts o = {.path = t_path(w->dir, "restored.db"),
        .txid = txid,
        .overwrite = true,
        .parallel = 1,
        .lock_offset = w->opts.lock_offset};
    struct wr_restore_result r;
    struct wr_err e = {0};
    enum wr_status st = wr_restore(s, t_call(), &o, &r, &e);

    wr_storage_close(s);
    if (st != WR_OK)
        print_message("%016llx: %s\n", (unsigned long long)txid, e.text);
    return st == WR_OK;
}

/* Each point of level 1 up to now, and everything. */
static void expect_all(struct history *h)
{
    struct wr_ltx_files files = bucket_list(&h->w);
    size_t n = 0;

    for (size_t i = 0; i < files.n; i++) {
        if (files.p[i].level != 1)
            continue;
        T(restores(&h->w, files.p[i].max));
        n++;
    }
    T(n > 5);
    wr_ltx_files_release(&files);
    world_check(&h->w, 0);
}

static bool is_there(struct history *h, const struct wr_ltx_file *f)
{
    struct wr_ltx_files files = bucket_list(&h->w);
    bool is = wr_ltx_files_find(&files, f) != NULL;

    wr_ltx_files_release(&files);
    return is;
}

/* Half a minute after it was found to be damaged its header was read, and the level went on from
 * it. Another process found it listed, took it for what it is called, and deleted the files of
 * level 0 under it: a day of restores was lost. */
static void damaged_level(uint64_t inline_bytes)
{
    struct history h;
    struct wr_ltx_file f = {0};

    begin_evil(&h, "ltx/1/", 100);
    if (inline_bytes) {
        h.w.opts.inline_bytes = inline_bytes;
        start_evil(&h.w);
    }
    write_lightly_for(&h, 45);
    T(evil.done == 1);
    f = evil.file;
    T(f.max > f.min + 3);
    T(h.w.errors == 1 && strstr(h.w.error, "damaged") && strstr(h.w.error, "level 1"));
    write_lightly_for(&h, 120);
    T(!is_there(&h, &f)); /* the name leads nobody astray any more */
    start_evil(&h.w);
    write_lightly_for(&h, 1200);
    T(h.w.errors == 0);
    expect_all(&h);
    world_close(&h.w);
}

static void test_a_level_went_on_from_a_damaged_file(void **state)
{
    (void)state;
    damaged_level(0);
}

/* Of one that was read while it was sent nothing but the header was ever looked at. */
static void test_of_a_streamed_file_only_the_header_counted(void **state)
{
    (void)state;
    damaged_level(1);
}

/* The first look at it fails; the next one read only the header. */
static void test_a_damaged_file_that_could_not_be_looked_at_first(void **state)
{
    struct history h;
    struct wr_ltx_file f = {0};

    (void)state;
    begin_evil(&h, "ltx/1/", 100);
    evil.deaf_to = "ltx/1/";
    write_lightly_for(&h, 45);
    T(evil.done == 1);
    f = evil.file;
    T(f.max > f.min + 3);
    T(h.w.errors == 0 && is_there(&h, &f));
    evil.deaf_to = NULL;
    write_lightly_for(&h, 120);
    T(h.w.errors == 1 && !is_there(&h, &f));
    start_evil(&h.w);
    write_lightly_for(&h, 1200);
    expect_all(&h);
    world_close(&h.w);
}

/* A header that was damaged in the store after it had come: by another process, so it stays; but
 * what it covers does, too. */
static void test_a_listed_file_with_a_damaged_header_covers_nothing(void **state)
{
    struct history h;
    struct wr_ltx_file f = {0};
    struct object o;

    (void)state;
    begin_evil(&h, NULL, 0);
    write_lightly_for(&h, 75);
    T(bucket_count_level(&h.w, 1, &f) == 2); /* with the first one it would join anew */
    world_stop(&h.w);
    o = bucket_get(&h.w, &f);
    o.body[3] ^= 0x10;
    bucket_put(&h.w, &o);
    start_evil(&h.w);
    write_lightly_for(&h, 600);
    T(h.w.errors == 1 && is_there(&h, &f));
    T(restores(&h.w, f.max));
    for (uint64_t txid = f.min; txid <= f.max; txid++)
        T(restores(&h.w, txid));
    world_check(&h.w, 0);
    world_close(&h.w);
}

/* Others come a day later, and levels have gone over it by then: another one is made, under
 * another name, at once, though nothing is written any more. */
static void damaged_snapshot(bool asked_for)
{
    struct history h;
    struct wr_ltx_file bad = {0}, good = {0};
    struct wr_err e = {0};
    uint64_t value = 0;

    begin_evil(&h, "ltx/9/", 100);
    if (!asked_for) {
        h.w.opts.cadence.snapshot_ms = 60000;
        start_evil(&h.w);
    }
    T(evil.done == 0);
    if (asked_for) {
        write_lightly_for(&h, 5);
        T_IS(WR_CORRUPT, world_work(&h.w, WR_WORK_SNAPSHOT, 60 * SECOND, &value, &e));
    } else {
        write_lightly_for(&h, 61);
    }
    T(evil.done == 1);
    bad = evil.file;
    T(h.w.errors == 1 && strstr(h.w.error, "level 9"));
    world_run(&h.w, 120 * SECOND);
    T(bucket_count_level(&h.w, 9, &good) == 2 && good.max > bad.max);
    T(!is_there(&h, &bad) && h.w.errors == 1);
    T(restores(&h.w, good.max));
    world_check(&h.w, 0);
    world_close(&h.w);
}

static void test_a_damaged_snapshot_is_made_again(void **state)
{
    (void)state;
    damaged_snapshot(false);
    damaged_snapshot(true);
}

/* Each snapshot is spoiled on its way, and the first was sent. */
static void begin_spoiled(struct history *h)
{
    begin_evil(h, "ltx/9/", 100);
    evil.always = true;
    h->w.opts.cadence.snapshot_ms = 60000;
    start_evil(&h->w);
    write_lightly_for(h, 61);
}

/* It was sent anew every ten minutes: 144 times a day all of the database. */
static void test_what_spoils_each_snapshot_was_fed_for_ever(void **state)
{
    struct history h;

    (void)state;
    begin_spoiled(&h);
    world_run(&h.w, 24 * 3600 * SECOND);
    T(evil.done >= 8 && evil.done <= 13);
    world_run(&h.w, 7 * 24 * 3600 * SECOND);
    T(evil.done <= 13 + 8);
    evil.in = NULL;
    world_run(&h.w, 24 * 3600 * SECOND);
    T(bucket_count_level(&h.w, 9, NULL) >= 1);
    world_check(&h.w, 0);
    world_close(&h.w);
}

/* Whatever made the replica be listed: it began with half a minute again. */
static void test_a_listing_forgot_that_each_snapshot_is_spoiled(void **state)
{
    struct history h;

    (void)state;
    begin_spoiled(&h);
    for (int i = 0; i < 4 * 24; i++) {
        world_run(&h.w, 900 * SECOND);
        wr_replica_rejoin(h.w.db->known[0]->r, "for the test");
    }
    T(evil.done >= 8 && evil.done <= 13);
    evil.in = NULL;
    world_close(&h.w);
}

T_MAIN(T_TEST(test_a_level_went_on_from_a_damaged_file),
    T_TEST(test_of_a_streamed_file_only_the_header_counted),
    T_TEST(test_a_damaged_file_that_could_not_be_looked_at_first),
    T_TEST(test_a_listed_file_with_a_damaged_header_covers_nothing),
    T_TEST(test_a_damaged_snapshot_is_made_again),
    T_TEST(test_what_spoils_each_snapshot_was_fed_for_ever),
    T_TEST(test_a_listing_forgot_that_each_snapshot_is_spoiled))
