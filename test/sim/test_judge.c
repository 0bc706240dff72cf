/*
 * test_judge.c - the judge on replicas: it agrees with samples of other writers, and understands
 * whole lives. What it must find is test_judge_lies.c's, single files are test_judge_file.c's.
 */
#include "harness/ltx_util.h"
#include "harness/t.h"
#include "sim/judge_int.h"

#include "base/mem.h"

#include <dirent.h>

#define KEY_MAX   80
#define PAGE_SIZE 512u
#define LOCK_PAGE 5u
#define LOCK      ((LOCK_PAGE - 1) * PAGE_SIZE)

struct put_result {
    bool ok;
    char why[JUDGE_TEXT];
    size_t n;
};

/* All files of a sample directory, level by level. */
static struct put_result put_sample(struct judge *j, const char *dir)
{
    struct put_result res = {.ok = true};

    for (unsigned level = 0; level <= 9; level++) {
        char path[200];
        struct dirent *d;
        DIR *open;

        (void)snprintf(path, sizeof(path), "ltx/%s/ltx/%u", dir, level);
        open = opendir(t_data(path));
        while (open && res.ok && (d = readdir(open)) != NULL) {
            char key[sizeof(path) + sizeof(d->d_name)];
            struct wr_bytes file;

            if (d->d_name[0] == '.')
                continue;
            (void)snprintf(key, sizeof(key), "%s/%s", path, d->d_name);
            file = t_slurp(t_data(key));
            (void)snprintf(key, sizeof(key), "ltx/%u/%s", level, d->d_name);
            res.ok = judge_put(j, key, file.p, file.n, res.why);
            res.n++;
        }
        if (open)
            (void)closedir(open);
    }
    T(res.n > 0);
    return res;
}

static bool last_one(void *arg, const struct judge_image *image)
{
    *(struct judge_image *)arg = *image;
    return true;
}

static void samples_mean_what_their_writer_says(void **state)
{
    static const struct {
        const char *dir, *db;
    } samples[] = {
        {"crafted-accepted/t1", "crafted-accepted/t1.expected.db"},
        {"crafted-accepted/t2", "crafted-accepted/t2.expected.db"},
        {"crafted-accepted/t6_reserved", "crafted-accepted/t6_reserved.expected.db"},
        {"crafted-accepted/t9_overlap", "crafted-accepted/t9_overlap.expected.db"},
        {"crafted-accepted/t11_L0only", "crafted-accepted/t11_L0only.expected.db"},
        {"crafted-accepted/t15_node", "crafted-accepted/t15_node.expected.db"},
        {"crafted-accepted/t17_L8", "crafted-accepted/t17_L8.expected.db"},
        {"crafted-accepted/t18_L2snap", "crafted-accepted/t18_L2snap.expected.db"},
        {"frame-format/f1_frame", "frame-format/f1_frame.expected.db"},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(samples); i++) {
        struct judge *j = judge_new(0x40000000);
        struct put_result res = put_sample(j, samples[i].dir);
        struct judge_image last = {0};
        char path[200];
        struct wr_bytes db;

        if (!res.ok)
            print_error("%s: %s\n", samples[i].dir, res.why);
        T(res.ok);
        judge_each(j, last_one, &last);
        (void)snprintf(path, sizeof(path), "ltx/%s", samples[i].db);
        db = t_slurp(t_data(path));
        T(last.txid > 0 && db.n == (size_t)last.commit * last.page_size);
        T(last.hash == judge_hash_database(db.p, db.n, last.page_size, 0x40000000));
        judge_free(j);
    }
}

static void bad_samples_are_refused(void **state)
{
    /* The last one is what the original wrote: it shrinks to 13 pages, and grows to 59 without 14
     * to 53, which restore to what they were before. We are not to do that. */
    static const char *const samples[] = {"crafted-rejected/f2_frame_nocsum",
        "crafted-rejected/f4_commit0", "crafted-rejected/f6_psmismatch", "crafted-rejected/t3",
        "crafted-rejected/t4", "crafted-rejected/t7_snapgap", "crafted-rejected/t10_gap",
        "crafted-rejected/t12_hdrflag1", "crafted-rejected/t14_trailing",
        "crafted-rejected/t16_saltnooff", "real-0.5.17-write"};

    (void)state;
    for (size_t i = 0; i < wr_countof(samples); i++) {
        struct judge *j = judge_new(0x40000000);
        struct put_result res;
        char why[JUDGE_TEXT];

        res = put_sample(j, samples[i]);
        if (res.ok && judge_at_rest(j, false, why))
            print_error("%s\n", samples[i]);
        T(!res.ok || !judge_at_rest(j, false, why));
        judge_free(j);
    }
}

/* A database's life as level 0 files, and what it was after each of them. */
#define STEPS 40

struct life {
    struct t_ltx files[STEPS];
    struct judge_image images[STEPS];
};

static void live(struct life *l, struct wr_rand *r, bool rolling)
{
    struct t_ltx_world w = {.r = r, .page_size = PAGE_SIZE, .lock = LOCK_PAGE, .rolling = rolling};

    w.db.page_size = PAGE_SIZE;
    for (size_t i = 0; i < STEPS; i++) {
        uint8_t *image;

        l->files[i] = t_ltx_world_next(&w);
        image = t_ltx_image(&w.db);
        l->images[i] = (struct judge_image){.txid = l->files[i].max,
            .page_size = PAGE_SIZE,
            .commit = w.commit,
            .hash = judge_hash_database(image, (size_t)w.commit * PAGE_SIZE, PAGE_SIZE, LOCK)};
        wr_free(image);
        l->files[i].node = 0;
    }
    t_ltx_release(&w.db);
}

static void life_release(struct life *l)
{
    for (size_t i = 0; i < STEPS; i++)
        t_ltx_release(&l->files[i]);
}

/* The product's encoder writes it, and the judge takes it. */
static void put_encoded(struct judge *j, unsigned level, const struct t_ltx *m)
{
    struct wr_err e = {0};
    struct t_ltx_out out;
    char key[KEY_MAX], why[JUDGE_TEXT] = {0};
    bool ok;

    T_OK(t_ltx_write(m, LOCK, &out, &e));
    (void)snprintf(key, sizeof(key), "ltx/%u/%016llx-%016llx.ltx", level,
        (unsigned long long)m->min, (unsigned long long)m->max);
    ok = judge_put(j, key, out.buf.p, out.buf.n, why);
    if (!ok)
        print_error("%s\n", why);
    T(ok);
    wr_buf_release(&out.buf);
}

static bool same_image(const struct judge_image *a, const struct judge_image *b)
{
    return a->txid == b->txid && a->hash == b->hash && a->commit == b->commit &&
           a->page_size == b->page_size;
}

struct sighting {
    const struct life *l;
    size_t n, seen;
};

static bool is_next(void *arg, const struct judge_image *image)
{
    struct sighting *s = arg;

    while (s->n < STEPS && s->l->images[s->n].txid < image->txid)
        s->n++;
    T(s->n < STEPS && same_image(&s->l->images[s->n], image));
    s->seen++;
    return true;
}

static void expect_images(const struct judge *j, const struct life *l)
{
    struct sighting s = {.l = l};
    struct judge_image image;

    for (size_t i = 0; i < STEPS; i++) {
        T(judge_find(j, l->images[i].txid, &image));
        T(same_image(&image, &l->images[i]));
    }
    T(!judge_find(j, l->images[STEPS - 1].txid + 1, &image));
    judge_each(j, is_next, &s);
    T(s.seen == STEPS);
}

/* Files `a` to `b` of a life, as one. */
static struct t_ltx merged(const struct life *l, size_t a, size_t b)
{
    struct t_ltx m;

    t_ltx_merge(&l->files[a], b - a + 1, &m);
    return m;
}

/* Every file with merged ones and snapshots in between, in the order of time or in any. */
static void a_life_is_understood(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 60; round++) {
        struct {
            struct t_ltx m;
            unsigned level;
        } all[3 * STEPS];
        struct life l;
        struct judge *j = judge_new(LOCK);
        char why[JUDGE_TEXT];
        size_t n = 0;

        live(&l, &r, round % 2);
        for (size_t i = 0; i < STEPS; i++) {
            all[n].m = merged(&l, i, i);
            all[n++].level = 0;
            if (i % 4 == 3) {
                all[n].m = merged(&l, i - 3, i);
                all[n++].level = 1;
            }
            if (i % 10 == 9) {
                size_t from = i - 1 - (size_t)wr_rand_below(&r, i);

                all[n].m = merged(&l, from, i);
                all[n++].level = from ? 2 : 9;
            }
        }
        for (size_t i = n; round % 3 == 2 && i > 1; i--) {
            size_t k = (size_t)wr_rand_below(&r, i);
            struct t_ltx m = all[k].m;
            unsigned level = all[k].level;

            all[k].m = all[i - 1].m;
            all[k].level = all[i - 1].level;
            all[i - 1].m = m;
            all[i - 1].level = level;
        }
        for (size_t i = 0; i < n; i++) {
            put_encoded(j, all[i].level, &all[i].m);
            t_ltx_release(&all[i].m);
        }
        expect_images(j, &l);
        for (size_t i = 0; i < STEPS; i++)
            put_encoded(j, 0, &l.files[i]); /* again: it means the same */
        expect_images(j, &l);
        (void)judge_at_rest(j, false, why); /* level 2 may overlap here */
        judge_free(j);
        life_release(&l);
    }
}

static void what_is_removed_is_not_there(void **state)
{
    struct judge *j = judge_new(LOCK);
    struct judge_image image = {0};
    struct sighting s;
    struct wr_rand r;
    struct life l;
    struct t_ltx m;
    char key[KEY_MAX], why[JUDGE_TEXT];

    (void)state;
    wr_rand_init(&r, t_seed());
    live(&l, &r, true);
    for (size_t i = 0; i < STEPS; i++)
        put_encoded(j, 0, &l.files[i]);
    T(judge_at_rest(j, false, why));
    (void)snprintf(key, sizeof(key), "ltx/0/%016llx-%016llx.ltx",
        (unsigned long long)l.files[10].min, (unsigned long long)l.files[10].max);
    judge_remove(j, "ltx/0/0000000000000999-0000000000000999.ltx");
    judge_remove(j, key);
    T(!judge_at_rest(j, false, why));
    judge_each(j, last_one, &image);
    T(same_image(&image, &l.images[9]));
    m = merged(&l, 8, 12);
    put_encoded(j, 1, &m);
    t_ltx_release(&m);
    T(judge_at_rest(j, false, why));
    s = (struct sighting){.l = &l};
    judge_each(j, is_next, &s);
    T(s.n == STEPS - 1 && s.seen == STEPS - 2); /* not files[10], and so not files[11] */
    put_encoded(j, 0, &l.files[10]);
    expect_images(j, &l);
    judge_free(j);
    life_release(&l);
}

static uint64_t last_point(const struct judge *j)
{
    struct judge_image image = {0};

    judge_each(j, last_one, &image);
    return image.txid;
}

/* A clock that is right but for one file, which is of long before. */
static void what_is_from_before_a_time(void **state)
{
    struct judge *j = judge_new(LOCK);
    int64_t first, last;
    struct wr_rand r;
    struct life l;
    struct t_ltx m;
    uint64_t end;

    (void)state;
    wr_rand_init(&r, t_seed());
    live(&l, &r, true);
    for (size_t i = 0; i < STEPS; i++) {
        l.files[i].time_ms = i == 20 ? 5 : (int64_t)(1000 * (i + 1));
        put_encoded(j, 0, &l.files[i]);
    }
    T(judge_before(j, 1000) == 0 && judge_before(j, 1001) == l.files[0].max);
    T(judge_before(j, 11000) == l.files[9].max && judge_before(j, 11001) == l.files[10].max);
    end = l.files[20].max;
    T(judge_before(j, 20001) == l.files[19].max + (end - l.files[20].min + 1));
    T(judge_times(j, end, &first, &last) && first == 5 && last == 5);
    m = merged(&l, 18, 20);
    m.time_ms = 77;
    put_encoded(j, 1, &m);
    t_ltx_release(&m);
    T(judge_times(j, end, &first, &last) && first == 5 && last == 77);
    l.files[18].time_ms = 88; /* written again */
    put_encoded(j, 0, &l.files[18]);
    T(judge_times(j, l.files[18].max, &first, &last) && first == 88 && last == 88);
    T(judge_before(j, 18001) == end && judge_before(j, 17001) == l.files[16].max);
    judge_remove(j, "ltx/0/0000000000000001-0000000000000001.ltx");
    T(judge_before(j, INT64_MAX) == last_point(j));
    T(!judge_times(j, l.files[STEPS - 1].max + 1, &first, &last));
    judge_free(j);
    life_release(&l);
}

T_MAIN(T_TEST(samples_mean_what_their_writer_says), T_TEST(bad_samples_are_refused),
    T_TEST(a_life_is_understood), T_TEST(what_is_removed_is_not_there),
    T_TEST(what_is_from_before_a_time))
