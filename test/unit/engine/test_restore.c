/*
 * test_restore.c - whole restores: of files that others wrote, of random histories at every
 * transaction, of damaged replicas, and with requests that fail.
 */
#include "engine/restore.h"

#include "base/bytes.h"
#include "ltx/dec.h"
#include "unit/engine/restore_world.h"

#include <pthread.h>

#define LOCK_OFFSET 65536u /* moves the lock page into small databases */
#define LARGE       1400   /* pages whose file is not read in one request */

/* Nothing is left of a failed restore; after a good one there is the database alone. */
static void check_dir(const char *dir, size_t want)
{
    assert_int_equal(t_names_in(dir), want);
}

static void check_file(const char *path, const void *want, size_t n)
{
    struct wr_bytes got = t_slurp(path);

    assert_int_equal(got.n, n);
    T(memcmp(got.p, want, n) == 0);
}

static struct wr_storage *open_dir(const char *dir)
{
    struct wr_storage *s = NULL;
    struct wr_err e = {0};
    struct wr_call *c = t_call();
    struct wr_str url = wr_arena_fmt(c->scratch, "file://%s", dir);

    T_OK(wr_storage_open(url, NULL, &s, &e));
    return s;
}

/* ---- files that others wrote ---- */

static void check_fixture(const char *name, const char *expected)
{
    struct wr_storage *s = open_dir(t_data(name));
    const char *dir = t_tmpdir();
    const struct wr_restore_opts o = {.path = t_path(dir, "db")};
    struct wr_restore_result r = {0};
    struct wr_bytes want = t_slurp(t_data(expected));
    struct wr_err e = {0};

    T_OK(wr_restore(s, t_call(), &o, &r, &e));
    check_file(o.path, want.p, want.n);
    check_dir(dir, 1);
    T(r.format == WR_RESTORE_LTX && r.bytes == want.n && !r.verified);
    T((uint64_t)r.commit * r.page_size == want.n);
    wr_storage_close(s);
}

static void test_accepted_fixtures(void **state)
{
    static const char *const names[] = {
        "t1", "t11_L0only", "t15_node", "t17_L8", "t18_L2snap", "t2", "t6_reserved", "t9_overlap"};

    (void)state;
    for (size_t i = 0; i < wr_countof(names); i++) {
        const char *name = t_path("ltx/crafted-accepted", names[i]);
        struct wr_call *c = t_call();

        check_fixture(name, wr_arena_fmt(c->scratch, "%s.expected.db", name).p);
    }
    check_fixture("ltx/frame-format/f1_frame", "ltx/frame-format/f1_frame.expected.db");
    check_fixture("ltx/real-0.5.17-write", "ltx/real-0.5.17-write/expected-restore.db");
}

static void test_rejected_fixtures(void **state)
{
    static const struct {
        const char *name, *text;
    } cases[] = {
        {"f2_frame_nocsum", "page"},
        {"f4_commit0", "level 0 file"},
        {"f6_psmismatch", "mismatched page sizes"},
        {"t10_gap", "cannot calc restore plan: non-contiguous ltx files: have up to "
                    "0000000000000003 but next file starts at 0000000000000005"},
        {"t12_hdrflag1", "flags"},
        {"t14_trailing", "level 9 file"},
        {"t16_saltnooff", "salt"},
        {"t3", "level 9 file"},
        {"t4", "level 9 file"},
        {"t7_snapgap", "page 3 missing"},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct wr_storage *s = open_dir(t_data(t_path("ltx/crafted-rejected", cases[i].name)));
        const char *dir = t_tmpdir();
        const struct wr_restore_opts o = {.path = t_path(dir, "db")};
        struct wr_restore_result r = {.txid = 77};
        struct wr_err e = {0};

        T_IS(WR_CORRUPT, wr_restore(s, t_call(), &o, &r, &e));
        if (!strstr(e.text, cases[i].text))
            fail_msg("%s: %s", cases[i].name, e.text);
        T(r.txid == 77);
        check_dir(dir, 0);
        wr_storage_close(s);
    }
}

struct reading {
    struct wr_bytes rest;
};

static enum wr_status read_some(void *arg, void *buf, size_t n, struct wr_err *e)
{
    struct reading *r = arg;

    if (n > r->rest.n)
        return wr_fail(e, WR_CORRUPT, "end");
    memcpy(buf, r->rest.p, n);
    r->rest.p += n;
    r->rest.n -= n;
    return WR_OK;
}

struct merged {
    uint8_t data[1 << 20]; /* pages beyond the end keep what they last had, as a merge does */
    size_t size;
};

/* Apply a file to an image: the obvious way. */
static void apply(struct wr_bytes file, struct merged *image)
{
    struct reading r = {.rest = file};
    struct wr_ltx_dec *dec = NULL;
    struct wr_ltx_header h;
    struct wr_err e = {0};
    uint8_t page[WR_LTX_PAGE_SIZE_MAX];
    uint32_t pgno;

    T_OK(wr_ltx_dec_new(read_some, &r, file.n, WR_LTX_LOCK_OFFSET, &dec, &e));
    T_OK(wr_ltx_dec_header(dec, &h, &e));
    image->size = (size_t)h.commit * h.page_size;
    T(image->size <= sizeof(image->data));
    while (wr_ltx_dec_page(dec, &pgno, page, &e) == WR_OK)
        memcpy(image->data + (size_t)(pgno - 1) * h.page_size, page, h.page_size);
    wr_ltx_dec_free(dec);
}

static void test_real_file_at_every_txid(void **state)
{
    static struct merged image;
    struct wr_storage *s = open_dir(t_data("ltx/real-0.5.17-write"));

    (void)state;
    for (uint64_t txid = 1; txid <= 5; txid++) {
        const struct wr_restore_opts o = {.path = t_path(t_tmpdir(), "db"), .txid = txid};
        struct wr_restore_result r = {0};
        struct wr_err e = {0};
        char name[WR_LTX_NAME_MAX];

        wr_ltx_name_format(name, txid, txid);
        apply(t_slurp(t_data(t_path("ltx/real-0.5.17-write/ltx/0", name))), &image);
        T_OK(wr_restore(s, t_call(), &o, &r, &e));
        check_file(o.path, image.data, image.size);
        T(r.txid == txid);
    }
    wr_storage_close(s);
}

/* ---- random histories ---- */

static void check_txid(const struct story *s, struct world *w, uint64_t txid, unsigned parallel)
{
    const char *dir = t_tmpdir();
    const char *sub = t_path(dir, txid == 1 ? "sub/dir" : "");
    const struct wr_restore_opts o = {
        .path = t_path(sub, "db"), .txid = txid, .parallel = parallel, .lock_offset = LOCK_OFFSET};
    const struct image *want = &s->image[txid ? txid : s->n];
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    T_OK(wr_restore(w->storage, t_call(), &o, &r, &e));
    check_file(o.path, want->data, (size_t)want->commit * s->page_size);
    T(r.txid == (txid ? txid : s->n) && r.time_ms == (int64_t)r.txid * 1000);
    T(r.commit == want->commit && r.page_size == s->page_size && r.verified == s->rolling);
    check_dir(sub, 1);
}

/* Level 0 whole, and some of what compaction makes of it. */
static void random_replica(const struct story *s, struct world *w)
{
    for (uint64_t i = 1; i <= s->n; i++)
        story_put(s, w, 0, i, i);
    for (int k = 0; k < 8; k++) {
        unsigned level = (unsigned)wr_rand_below(s->random, 9) + 1;
        uint64_t min = level == 9 ? 1 : wr_rand_below(s->random, s->n) + 1;
        uint64_t max = min + wr_rand_below(s->random, s->n + 1 - min);

        story_put(s, w, level, min, max);
    }
}

static void test_random_histories(void **state)
{
    struct wr_rand random;

    (void)state;
    wr_rand_init(&random, t_seed());
    for (int round = 0; round < 10; round++) {
        bool hex = wr_rand_below(&random, 2);
        struct story s;
        struct world w;

        story_init(&s, &random, 512, LOCK_OFFSET, 160, round % 2);
        world_init(&w, hex ? WR_STORAGE_HEX_LEVELS : WR_STORAGE_LIST_TIME, "a/");
        for (int i = 0; i < 10; i++)
            story_commit(&s, (uint32_t)wr_rand_below(&random, 160) + 1,
                (uint32_t)wr_rand_below(&random, 12));
        random_replica(&s, &w);
        for (uint64_t txid = 0; txid <= s.n; txid++)
            check_txid(&s, &w, txid, txid % 2 ? 1 : 4);
        world_release(&w);
        story_release(&s);
    }
}

/* Frames that a later file replaces are not fetched where the image has a checksum of its own. */
static void test_superseded_pages(void **state)
{
    struct wr_rand random;
    uint64_t bytes[2];

    (void)state;
    wr_rand_init(&random, t_seed());
    for (int rolling = 0; rolling < 2; rolling++) {
        struct wr_storage_counts before = {0}, after = {0};
        struct story s;
        struct world w;

        story_init(&s, &random, 512, LOCK_OFFSET, 6000, rolling);
        story_commit(&s, 6000, 0);
        story_commit(&s, 6000, 0);
        story_rewrite(&s, 1000, 5000);
        world_init(&w, WR_STORAGE_LIST_TIME, "");
        story_put(&s, &w, 9, 1, 1);
        story_put(&s, &w, 0, 2, 2);
        wr_storage_counts(w.storage, &before);
        check_txid(&s, &w, 0, 4);
        wr_storage_counts(w.storage, &after);
        bytes[rolling] = after.bytes_down - before.bytes_down;
        T(after.get - before.get < 16); /* neighbours are fetched together */
        world_release(&w);
        story_release(&s);
    }
    T(bytes[1] < bytes[0] * 7 / 10);
}

static void put_file(const char *dir, const char *key, struct wr_bytes body)
{
    const char *path = t_path(dir, key);
    struct wr_err e = {0};

    T_OK(wr_mkdirs(wr_fs_posix(), t_path(dir, "ltx/0"), 0755, &e));
    T_OK(wr_mkdirs(wr_fs_posix(), t_path(dir, "ltx/9"), 0755, &e));
    t_spew(path, body.p, body.n);
}

/* A history whose snapshot is too large for one request, with an index too large for one tail, and
 * later files that win here and there. */
static void big_story(struct story *s, struct wr_rand *random, bool rolling)
{
    story_init(s, random, 512, LOCK_OFFSET, 9000, rolling);
    story_commit(s, 8000, 0);
    story_commit(s, 9000, 30);
    story_commit(s, 8500, 2000);
    story_commit(s, 8501, 3);
}

static void test_large_files(void **state)
{
    struct wr_rand random;

    (void)state;
    wr_rand_init(&random, t_seed());
    for (int rolling = 0; rolling < 2; rolling++) {
        struct story s;
        struct world w;

        big_story(&s, &random, rolling);
        world_init(&w, WR_STORAGE_LIST_TIME, "");
        story_put(&s, &w, 9, 1, 1);
        for (uint64_t i = 2; i <= 4; i++)
            story_put(&s, &w, 0, i, i);
        for (uint64_t txid = 1; txid <= 4; txid++)
            check_txid(&s, &w, txid, (unsigned)txid);
        world_release(&w);
        story_release(&s);
    }
}

static void test_from_directory(void **state)
{
    const char *root = t_tmpdir();
    struct wr_rand random;
    struct story s;
    struct world w = {0};

    (void)state;
    wr_rand_init(&random, t_seed());
    big_story(&s, &random, true);
    for (uint64_t i = 1; i <= s.n; i++) {
        struct wr_buf b;
        char name[WR_LTX_NAME_MAX];

        wr_buf_init(&b, (size_t)1 << 28);
        story_file(&s, i, i, &b);
        wr_ltx_name_format(name, i, i);
        put_file(root, t_path(i == 1 ? "ltx/9" : "ltx/0", name), wr_buf_bytes(&b));
        wr_buf_release(&b);
    }
    w.storage = open_dir(root);
    for (uint64_t txid = 1; txid <= s.n; txid++) {
        const struct wr_restore_opts o = {
            .path = t_path(t_tmpdir(), "db"), .txid = txid, .lock_offset = LOCK_OFFSET};
        struct wr_restore_result r = {0};
        struct wr_err e = {0};

        T_OK(wr_restore(w.storage, t_call(), &o, &r, &e));
        check_file(o.path, s.image[txid].data, (size_t)s.image[txid].commit * s.page_size);
        T(r.verified);
    }
    wr_storage_close(w.storage);
    story_release(&s);
}

/* Merging keeps what was cut off and never written again; a recorded checksum finds that out. */
static void test_cut_off_page_grows_back(void **state)
{
    struct wr_rand random;

    (void)state;
    wr_rand_init(&random, t_seed());
    for (int rolling = 0; rolling < 2; rolling++) {
        const char *dir = t_tmpdir();
        const struct wr_restore_opts o = {.path = t_path(dir, "db"), .lock_offset = LOCK_OFFSET};
        struct wr_restore_result r = {0};
        struct wr_err e = {0};
        struct story s;
        struct world w;

        story_init(&s, &random, 512, LOCK_OFFSET, 8, rolling);
        story_commit(&s, 5, 0);
        story_commit(&s, 3, 1);
        story_commit(&s, 5, 1);
        memset(s.image[3].changed + 4, 0, 2); /* the writer forgot pages 4 and 5 */
        world_init(&w, WR_STORAGE_LIST_TIME, "");
        for (uint64_t i = 1; i <= 3; i++)
            story_put(&s, &w, 0, i, i);
        if (rolling) {
            T_IS(WR_CORRUPT, wr_restore(w.storage, t_call(), &o, &r, &e));
            T(strstr(e.text, "database checksum"));
            T(strstr(e.text, "level 0 file 0000000000000003-0000000000000003.ltx"));
            check_dir(dir, 0);
        } else {
            T_OK(wr_restore(w.storage, t_call(), &o, &r, &e));
            memcpy(story_page(&s, 3, 4), story_page(&s, 1, 4), (size_t)2 * 512);
            check_file(o.path, s.image[3].data, (size_t)5 * 512);
        }
        world_release(&w);
        story_release(&s);
    }
}

/* ---- damage ---- */

struct victim {
    struct story s;
    struct world w;
    struct wr_buf file; /* the one to damage */
    struct wr_str key;
    struct wr_rand random;
};

static void victim_init(struct victim *v, bool rolling, uint32_t pages)
{
    struct wr_call *c = t_call();

    wr_rand_init(&v->random, t_seed());
    story_init(&v->s, &v->random, 512, LOCK_OFFSET, pages + 2, rolling);
    story_commit(&v->s, pages, 0);
    story_commit(&v->s, pages + 1, 2);
    story_commit(&v->s, pages + 2, 1);
    world_init(&v->w, WR_STORAGE_LIST_TIME, "");
    story_put(&v->s, &v->w, 9, 1, 1);
    story_put(&v->s, &v->w, 0, 2, 2);
    story_put(&v->s, &v->w, 0, 3, 3);
    wr_buf_init(&v->file, (size_t)1 << 28);
    v->key = (struct wr_str){0};
    v->key = wr_layout_ltx_key(c->scratch, v->w.storage, 9, 1, 1);
    story_file(&v->s, 1, 1, &v->file);
}

static void victim_release(struct victim *v)
{
    wr_buf_release(&v->file);
    world_release(&v->w);
    story_release(&v->s);
}

/* With one bit of byte `at` of the snapshot changed: refused, or restored as it was. The latter
 * happens where a compressed page still expands to the same (a match that begins elsewhere in a run
 * of zeros), since checksums cover what pages are, not how they are stored. True if refused. */
static bool check_damage(struct victim *v, const char *dir, size_t at)
{
    const struct wr_restore_opts o = {
        .path = t_path(dir, "db"), .lock_offset = LOCK_OFFSET, .parallel = 2};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    uint8_t was = v->file.p[at];
    enum wr_status st;

    v->file.p[at] = (uint8_t)(was ^ (1u << wr_rand_below(&v->random, 8)));
    world_store(&v->w, v->key, wr_buf_bytes(&v->file), 1000);
    v->file.p[at] = was;
    st = wr_restore(v->w.storage, t_call(), &o, &r, &e);
    if (st == WR_OK) {
        check_file(o.path, v->s.image[3].data, (size_t)v->s.image[3].commit * 512);
        T_OK(wr_fs_posix()->remove(wr_fs_posix(), o.path, &e));
        return false;
    }
    if (st != WR_CORRUPT)
        fail_msg("byte %zu: %s", at, wr_status_text(st));
    T(strstr(e.text, "0000000000000001-0000000000000001.ltx") || strstr(e.text, "mismatched") ||
        strstr(e.text, "missing") || strstr(e.text, "database checksum"));
    check_dir(dir, 0);
    return true;
}

static void test_any_damaged_byte(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        const char *dir = t_tmpdir();
        struct victim v;
        size_t refused = 0;

        victim_init(&v, rolling, 5);
        for (size_t at = 0; at < v.file.n; at += rolling ? 7 : 1)
            refused += check_damage(&v, dir, at);
        T(refused > v.file.n / (rolling ? 7 : 1) * 9 / 10);
        victim_release(&v);
    }
}

/* Of a file that is not read whole, only what is used has to be right. */
static void test_damage_in_large_file(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        const char *dir = t_tmpdir();
        struct victim v;
        int refused = 0;

        victim_init(&v, rolling, LARGE);
        T(v.file.n > (size_t)256 << 10);
        for (int i = 0; i < 60; i++)
            refused += check_damage(&v, dir, wr_rand_below(&v.random, v.file.n));
        T(refused > 40);
        victim_release(&v);
    }
}

static void test_truncated_file(void **state)
{
    const char *dir = t_tmpdir();
    struct victim v;

    (void)state;
    victim_init(&v, false, 5);
    for (size_t n = 0; n < v.file.n; n += n < 140 ? 1 : 11) {
        const struct wr_restore_opts o = {.path = t_path(dir, "db"), .lock_offset = LOCK_OFFSET};
        struct wr_restore_result r = {0};
        struct wr_err e = {0};

        world_store(&v.w, v.key, (struct wr_bytes){v.file.p, n}, 1000);
        T_IS(WR_CORRUPT, wr_restore(v.w.storage, t_call(), &o, &r, &e));
        if (n == 99)
            T(strstr(e.text, "invalid ltx file: level=9 min=0000000000000001 "
                             "max=0000000000000001 has size 99 bytes (minimum 100)"));
        check_dir(dir, 0);
    }
    victim_release(&v);
}

/* A header that promises four billion pages costs neither memory nor disk. */
static void test_absurd_commit(void **state)
{
    struct victim v;
    const char *dir = t_tmpdir();
    const struct wr_restore_opts o = {.path = t_path(dir, "db"), .lock_offset = LOCK_OFFSET};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct wr_call *c = t_call();

    (void)state;
    victim_init(&v, false, 5);
    wr_buf_clear(&v.file);
    story_file(&v.s, 3, 3, &v.file);
    wr_put_be32(v.file.p + 12, UINT32_MAX - 1);
    world_store(
        &v.w, wr_layout_ltx_key(c->scratch, v.w.storage, 0, 3, 3), wr_buf_bytes(&v.file), 1);
    T_IS(WR_CORRUPT, wr_restore(v.w.storage, t_call(), &o, &r, &e));
    T(strstr(e.text, "page 8 missing"));
    check_dir(dir, 0);
    victim_release(&v);
}

/* ---- requests that fail ---- */

static void test_every_request_failing(void **state)
{
    struct victim v;
    uint64_t total = 0;

    (void)state;
    victim_init(&v, true, LARGE);
    for (uint64_t nth = 1; nth == 1 || nth <= total + 1; nth++) {
        const char *dir = t_tmpdir();
        const struct wr_restore_opts o = {
            .path = t_path(dir, "db"), .lock_offset = LOCK_OFFSET, .parallel = 3};
        struct wr_restore_result r = {0};
        struct wr_err e = {0};
        enum wr_status st;

        world_fail(&v.w, nth, UINT64_MAX, WR_IO);
        st = wr_restore(v.w.storage, t_call(), &o, &r, &e);
        if (st == WR_OK) {
            T(nth > total);
            check_dir(dir, 1);
            break;
        }
        T_IS(WR_IO, st);
        T(strstr(e.text, "made to fail"));
        check_dir(dir, 0);
        total = wr_max(total, nth);
    }
    T(total >= 7); /* listings, headers, indexes, pages */
    victim_release(&v);
}

/* A file that vanishes between listing and reading must not pass for "no backup". */
static void test_vanished_file(void **state)
{
    struct victim v;
    const char *dir = t_tmpdir();
    const struct wr_restore_opts o = {
        .path = t_path(dir, "db"), .lock_offset = LOCK_OFFSET, .parallel = 1};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    (void)state;
    victim_init(&v, true, 5);
    world_fail(&v.w, 3, 1, WR_NOTFOUND); /* the first get, behind levels and generations */
    T_IS(WR_BUSY, wr_restore(v.w.storage, t_call(), &o, &r, &e));
    T(strstr(e.text, "ltx/9/0000000000000001-0000000000000001.ltx: vanished"));
    check_dir(dir, 0);
    world_fail(&v.w, 0, 0, WR_OK);
    v.w.short_reads = true;
    victim_release(&v);

    victim_init(&v, true, LARGE);
    v.w.short_reads = true;
    T_IS(WR_CORRUPT, wr_restore(v.w.storage, t_call(), &o, &r, &e));
    T(strstr(e.text, "ends at byte"));
    victim_release(&v);
}

/* A file came behind the page of a listing on which it would have been, and one that goes on from
 * it came before another page: as if one were missing. */
static void test_a_listing_while_files_come_was_a_gap(void **state)
{
    struct victim v;
    const char *dir = t_tmpdir();
    const struct wr_restore_opts o = {
        .path = t_path(dir, "db"), .lock_offset = LOCK_OFFSET, .parallel = 1};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    (void)state;
    victim_init(&v, true, 5);
    v.w.unlisted = "0000000000000002-";
    T_IS(WR_CORRUPT, wr_restore(v.w.storage, t_call(), &o, &r, &e));
    T(strstr(e.text, "non-contiguous"));
    check_dir(dir, 0);
    world_fail(&v.w, 3, 1, WR_AUTH); /* behind levels and generations */
    T_IS(WR_AUTH, wr_restore(v.w.storage, t_call(), &o, &r, &e));
    T(!strstr(e.text, "non-contiguous")); /* nobody has looked again */
    world_fail(&v.w, 0, 0, WR_OK);
    v.w.unlisted_n = 1;
    T_OK(wr_restore(v.w.storage, t_call(), &o, &r, &e));
    check_file(o.path, v.s.image[3].data, (size_t)v.s.image[3].commit * 512);
    victim_release(&v);
}

static void test_transient_failure_is_retried(void **state)
{
    struct victim v;
    const char *dir = t_tmpdir();
    const struct wr_restore_opts o = {
        .path = t_path(dir, "db"), .lock_offset = LOCK_OFFSET, .parallel = 1};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    (void)state;
    victim_init(&v, true, 5);
    world_fail(&v.w, 4, 1, WR_BUSY);
    T_OK(wr_restore(v.w.storage, t_call(), &o, &r, &e));
    check_file(o.path, v.s.image[3].data, (size_t)v.s.image[3].commit * 512);
    victim_release(&v);
}

static void test_cancel_and_deadline(void **state)
{
    struct victim v;
    bool done = false;

    (void)state;
    victim_init(&v, true, LARGE);
    for (uint64_t nth = 1; !done; nth++) {
        const char *dir = t_tmpdir();
        const struct wr_restore_opts o = {
            .path = t_path(dir, "db"), .lock_offset = LOCK_OFFSET, .parallel = 2};
        struct wr_restore_result r = {0};
        struct wr_err e = {0};
        struct wr_cancel cancel;
        struct wr_call *c = t_call();

        wr_cancel_init(&cancel);
        c->cancel = v.w.cancel = &cancel;
        world_fail(&v.w, nth, 1, WR_OK);
        done = wr_restore(v.w.storage, c, &o, &r, &e) == WR_OK;
        if (!done)
            T(e.code == WR_CANCELED);
        else
            T(nth > 3 && !wr_cancel_is(&cancel));
        check_dir(dir, done);
        c->cancel = v.w.cancel = NULL;
        wr_cancel_release(&cancel);
    }
    world_fail(&v.w, 0, 0, WR_OK);
    {
        const char *dir = t_tmpdir();
        const struct wr_restore_opts o = {.path = t_path(dir, "db"), .lock_offset = LOCK_OFFSET};
        struct wr_restore_result r = {0};
        struct wr_err e = {0};
        struct wr_call *c = t_call();

        c->deadline_ms = wr_mono_ms(c->clock) - 1;
        T_IS(WR_TIMEOUT, wr_restore(v.w.storage, c, &o, &r, &e));
        check_dir(dir, 0);
    }
    victim_release(&v);
}

/* ---- what is told ---- */

struct told {
    pthread_t thread;
    struct wr_restore_progress last;
    size_t n;
};

static void note_progress(void *arg, const struct wr_restore_progress *p)
{
    struct told *t = arg;

    T(pthread_equal(t->thread, pthread_self()));
    T(p->phase >= t->last.phase);
    if (p->phase == t->last.phase)
        T(p->bytes_done >= t->last.bytes_done && p->files >= t->last.files);
    if (p->phase == WR_RESTORE_PLACING) /* what fetching ended with */
        T(t->last.phase == WR_RESTORE_FETCHING && t->last.bytes_done == t->last.bytes_total &&
            t->last.pages == LARGE + 2 - 1 && t->last.files == 3 && t->last.files_total == 3);
    t->last = *p;
    t->n++;
}

static void test_progress(void **state)
{
    struct victim v;
    struct told told = {.thread = pthread_self()};
    const struct wr_restore_opts o = {.path = t_path(t_tmpdir(), "db"),
        .lock_offset = LOCK_OFFSET,
        .parallel = 4,
        .progress = note_progress,
        .progress_arg = &told};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    (void)state;
    victim_init(&v, true, LARGE);
    T_OK(wr_restore(v.w.storage, t_call(), &o, &r, &e));
    T(told.last.phase == WR_RESTORE_PLACING && told.n >= 3);
    victim_release(&v);
}

static void test_targets(void **state)
{
    struct victim v;
    const char *dir = t_tmpdir();
    struct wr_restore_opts o = {.path = t_path(dir, "db"), .lock_offset = LOCK_OFFSET};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct wr_ltx_files plan = {0};

    (void)state;
    victim_init(&v, true, 5);
    o.txid = 2;
    o.time_ms = 5;
    T_IS(WR_MISUSE, wr_restore(v.w.storage, t_call(), &o, &r, &e));
    assert_string_equal(e.text, "cannot specify both TXID & timestamp to restore");
    T_IS(WR_MISUSE, wr_restore_plan(v.w.storage, t_call(), &o, &plan, &e));

    o.time_ms = 0;
    o.txid = 9;
    T_IS(WR_NOTFOUND, wr_restore(v.w.storage, t_call(), &o, &r, &e));
    o.txid = 0;
    o.time_ms = 1000; /* only files made strictly before */
    T_IS(WR_NOTFOUND, wr_restore(v.w.storage, t_call(), &o, &r, &e));
    o.time_ms = 2001;
    T_OK(wr_restore(v.w.storage, t_call(), &o, &r, &e));
    T(r.txid == 2 && r.time_ms == 2000);
    T_OK(wr_restore_plan(v.w.storage, t_call(), &o, &plan, &e));
    T(plan.n == 2 && plan.p[0].level == 9 && plan.p[1].level == 0 && plan.p[1].max == 2);
    wr_ltx_files_release(&plan);

    T_IS(WR_CONFLICT, wr_restore(v.w.storage, t_call(), &o, &r, &e));
    T_IS(WR_CONFLICT, wr_restore_check(&o, &e));
    o.overwrite = true;
    o.time_in_range = true;
    T_OK(wr_restore_check(&o, &e));
    o.time_ms = 999;
    T_IS(WR_NOTFOUND, wr_restore(v.w.storage, t_call(), &o, &r, &e));
    assert_string_equal(e.text, "timestamp does not exist");
    o.time_ms = 3001;
    T_IS(WR_NOTFOUND, wr_restore(v.w.storage, t_call(), &o, &r, &e));
    o.time_ms = 3000;
    T_OK(wr_restore(v.w.storage, t_call(), &o, &r, &e));
    T(r.txid == 2);
    check_dir(dir, 1);
    check_file(o.path, v.s.image[2].data, (size_t)v.s.image[2].commit * 512);
    victim_release(&v);

    world_init(&v.w, 0, "");
    T_IS(WR_NOTFOUND, wr_restore(v.w.storage, t_call(), &o, &r, &e));
    assert_string_equal(e.text, "no backups found");
    o.time_ms = 0;
    T_IS(WR_NOTFOUND, wr_restore(v.w.storage, t_call(), &o, &r, &e));
    assert_string_equal(e.text, "no matching backup files available");
    world_release(&v.w);
}

/* ---- memory ---- */

struct sweep {
    struct victim *v;
    const char *dir;
};

static enum wr_status restore_body(void *arg)
{
    struct sweep *x = arg;
    char path[512];
    const struct wr_restore_opts o = {
        .path = path, .lock_offset = LOCK_OFFSET, .parallel = 1, .overwrite = true};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    (void)snprintf(path, sizeof(path), "%s/db", x->dir);
    return wr_restore(x->v->w.storage, t_call(), &o, &r, &e);
}

static void test_nomem(void **state)
{
    (void)state;
    for (int large = 0; large < 2; large++) {
        struct victim v;
        struct sweep x = {.v = &v, .dir = t_tmpdir()};

        victim_init(&v, true, large ? LARGE : 5);
        t_sweep_nomem(restore_body, &x);
        check_dir(x.dir, 1);
        victim_release(&v);
    }
}

T_MAIN(T_TEST(test_accepted_fixtures), T_TEST(test_rejected_fixtures),
    T_TEST(test_real_file_at_every_txid), T_TEST(test_random_histories), T_TEST(test_large_files),
    T_TEST(test_superseded_pages), T_TEST(test_from_directory),
    T_TEST(test_cut_off_page_grows_back), T_TEST(test_any_damaged_byte),
    T_TEST(test_damage_in_large_file), T_TEST(test_truncated_file), T_TEST(test_absurd_commit),
    T_TEST(test_every_request_failing), T_TEST(test_vanished_file),
    T_TEST(test_a_listing_while_files_come_was_a_gap), T_TEST(test_transient_failure_is_retried),
    T_TEST(test_cancel_and_deadline), T_TEST(test_progress), T_TEST(test_targets),
    T_TEST(test_nomem))
