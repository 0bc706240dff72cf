/*
 * test_judge.c - the judge on replicas: it agrees with samples of other writers, and finds files
 * that do not agree with each other. Single files are test_judge_file.c's.
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

static struct put_result put_model(struct judge *j, unsigned level, const struct t_ltx *m)
{
    struct put_result res = {0};
    struct wr_bytes file = t_ltx_encode(m);
    char key[KEY_MAX];

    (void)snprintf(key, sizeof(key), "db/ltx/%u/%016llx-%016llx.ltx", level,
        (unsigned long long)m->min, (unsigned long long)m->max);
    res.ok = judge_put(j, key, file.p, file.n, res.why);
    t_ltx_free(&file);
    return res;
}

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
        if (res.ok && judge_at_rest(j, why))
            print_error("%s\n", samples[i]);
        T(!res.ok || !judge_at_rest(j, why));
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
        (void)judge_at_rest(j, why); /* level 2 may overlap here */
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
    T(judge_at_rest(j, why));
    (void)snprintf(key, sizeof(key), "ltx/0/%016llx-%016llx.ltx",
        (unsigned long long)l.files[10].min, (unsigned long long)l.files[10].max);
    judge_remove(j, "ltx/0/0000000000000999-0000000000000999.ltx");
    judge_remove(j, key);
    T(!judge_at_rest(j, why));
    judge_each(j, last_one, &image);
    T(same_image(&image, &l.images[9]));
    m = merged(&l, 8, 12);
    put_encoded(j, 1, &m);
    t_ltx_release(&m);
    T(judge_at_rest(j, why));
    s = (struct sighting){.l = &l};
    judge_each(j, is_next, &s);
    T(s.n == STEPS - 1 && s.seen == STEPS - 2); /* not files[10], and so not files[11] */
    put_encoded(j, 0, &l.files[10]);
    expect_images(j, &l);
    judge_free(j);
    life_release(&l);
}

/* ---- what must be found ---- */

/* A small replica that is well: pages 1 to 4 by TXID 1, page 2 changed by 2, pages 6 and 7 (5 is
 * the lock page) come with 3. */
static void small_file(struct t_ltx *m, uint64_t txid, uint8_t fill)
{
    static const uint32_t pages[3][5] = {{1, 2, 3, 4, 0}, {2, 0}, {6, 7, 0}};
    uint8_t page[PAGE_SIZE];

    memset(page, fill, sizeof(page));
    *m = (struct t_ltx){
        .page_size = PAGE_SIZE, .commit = txid < 3 ? 4 : 7, .min = txid, .max = txid};
    for (size_t i = 0; pages[txid - 1][i]; i++)
        t_ltx_set(m, pages[txid - 1][i], page);
}

struct small {
    struct judge *j;
    struct t_ltx m[3]; /* as small_file has them */
};

/* With the first `n` of the files put. */
static struct small small_new(size_t n)
{
    struct small s = {.j = judge_new(LOCK)};

    for (size_t i = 0; i < 3; i++) {
        small_file(&s.m[i], i + 1, (uint8_t)(i + 1));
        if (i < n)
            T(put_model(s.j, 0, &s.m[i]).ok);
    }
    return s;
}

static void small_free(struct small *s)
{
    judge_free(s->j);
    for (size_t i = 0; i < 3; i++)
        t_ltx_release(&s->m[i]);
}

static void expect_found(struct small *s, unsigned level, const struct t_ltx *m, const char *what)
{
    struct put_result res = put_model(s->j, level, m);

    if (res.ok || !strstr(res.why, what))
        print_error("\"%s\", not \"%s\"\n", res.why, what);
    T(!res.ok && strstr(res.why, what));
    small_free(s);
}

static void drop_page(struct t_ltx *m, uint32_t pgno)
{
    wr_free(m->pages[pgno]);
    m->pages[pgno] = NULL;
}

static void growth_without_its_pages(void **state)
{
    struct small s = small_new(2);

    (void)state;
    drop_page(&s.m[2], 6);
    expect_found(&s, 0, &s.m[2], "grows by pages that are not there");
    s = small_new(2);
    drop_page(&s.m[2], 6);
    for (uint32_t p = 1; p <= 4; p++)
        t_ltx_set(&s.m[2], p, s.m[0].pages[p]); /* there are enough pages, but not the right ones */
    expect_found(&s, 0, &s.m[2], "grows by pages that are not there");
    s = small_new(2);
    s.m[1].commit = 1; /* cut off, and back again as nobody knows what */
    s.m[1].min = s.m[1].max = 3;
    drop_page(&s.m[1], 2);
    T(put_model(s.j, 0, &s.m[1]).ok);
    s.m[2].min = s.m[2].max = 4;
    expect_found(&s, 0, &s.m[2], "grows by pages that are not there");
}

static void merged_files_that_lie(void **state)
{
    struct small s;
    struct t_ltx m;
    uint8_t page[PAGE_SIZE] = {99};

    (void)state;
    for (int how = 0; how < 5; how++) {
        s = small_new(3);
        t_ltx_merge(&s.m[1], 2, &m);
        if (how == 0)
            drop_page(&m, 2); /* not new at TXID 3, so the image there says nothing */
        if (how == 1)
            t_ltx_set(&m, 2, page);
        if (how == 2)
            t_ltx_set(&m, 3, s.m[0].pages[3]); /* right, but not changed */
        if (how == 3)
            m.commit = 8;
        if (how == 4)
            m.wal_off = 32;
        expect_found(&s, 1, &m, how == 4 ? "WAL fields" : "not ");
        t_ltx_release(&m);
    }
    /* The lie is there first. */
    s = small_new(1);
    t_ltx_merge(&s.m[1], 2, &m);
    drop_page(&m, 2);
    T(put_model(s.j, 1, &m).ok);
    expect_found(&s, 0, &s.m[1], "another image");
    t_ltx_release(&m);
    /* And makes the right image, but not of the right pages. */
    s = small_new(1);
    t_ltx_merge(&s.m[1], 2, &m);
    t_ltx_set(&m, 3, s.m[0].pages[3]);
    T(put_model(s.j, 1, &m).ok && put_model(s.j, 0, &s.m[1]).ok);
    expect_found(&s, 0, &s.m[2], "not the newest pages");
    t_ltx_release(&m);
}

static void snapshots_that_lie(void **state)
{
    struct small s;
    struct t_ltx m;
    uint8_t page[PAGE_SIZE] = {99};

    (void)state;
    for (size_t n = 2; n <= 3; n++) { /* of the past, of now */
        s = small_new(3);
        t_ltx_merge(&s.m[0], n, &m);
        m.rolling = false;
        T(put_model(s.j, 9, &m).ok);
        small_free(&s);
        s = small_new(3);
        t_ltx_set(&m, 1, page);
        expect_found(&s, 9, &m, "not what other files make of its TXID");
        t_ltx_release(&m);
    }
    s = small_new(0);
    s.m[0].min = s.m[0].max = 2;
    expect_found(&s, 9, &s.m[0], "not a snapshot");
}

static void names_that_lie(void **state)
{
    struct small s = small_new(0);
    struct wr_bytes file = t_ltx_encode(&s.m[0]);
    char why[JUDGE_TEXT];
    static const char *const others[] = {"ltx/0/0000000000000001-000000000000000A.ltx",
        "ltx/00/0000000000000001-0000000000000001.ltx",
        "xltx/0/0000000000000001-0000000000000001.ltx",
        "ltx/0/0000000000000001-0000000000000001.tmp", "lease", ""};

    (void)state;
    T(!judge_put(s.j, "ltx/0/0000000000000001-0000000000000002.ltx", file.p, file.n, why));
    for (size_t i = 0; i < wr_countof(others); i++)
        T(judge_put(s.j, others[i], file.p, 3, why)); /* none of its business */
    T(judge_put(s.j, "ltx/0/0000000000000001-0000000000000001.ltx", file.p, file.n, why));
    t_ltx_free(&file);
    small_free(&s);
}

static void names_that_change_their_contents(void **state)
{
    struct small s = small_new(3);
    uint8_t page[PAGE_SIZE] = {99};

    (void)state;
    s.m[1].time_ms = 77;
    T(put_model(s.j, 0, &s.m[1]).ok);
    t_ltx_set(&s.m[1], 2, page);
    expect_found(&s, 0, &s.m[1], "written again with other contents");
}

/* With TXID 1, whose file has a rolling checksum or not. */
static struct small small_rolling(bool first)
{
    struct small s = small_new(0);

    s.m[0].rolling = first;
    s.m[0].pre = JUDGE_SUM_TOP;
    s.m[0].post = t_ltx_sum(&s.m[0]);
    T(put_model(s.j, 0, &s.m[0]).ok);
    s.m[1].rolling = true;
    s.m[1].pre = s.m[0].post;
    s.m[1].post = s.m[0].post ^ t_ltx_page_sum(2, s.m[0].pages[2], PAGE_SIZE) ^
                  t_ltx_page_sum(2, s.m[1].pages[2], PAGE_SIZE);
    s.m[1].post |= JUDGE_SUM_TOP;
    return s;
}

static void rolling_checksums_that_lie(void **state)
{
    struct small s = small_rolling(true);
    struct t_ltx m;

    (void)state;
    T(put_model(s.j, 0, &s.m[1]).ok);
    small_free(&s);
    s = small_rolling(true);
    s.m[1].pre ^= 1;
    expect_found(&s, 0, &s.m[1], "not made for the database before it");
    s = small_rolling(false); /* whoever wrote the first file did not say, so nor can the second */
    s.m[1].pre = JUDGE_SUM_TOP;
    T(put_model(s.j, 0, &s.m[1]).ok);
    small_free(&s);
    s = small_rolling(true);
    s.m[1].post ^= 1;
    expect_found(&s, 0, &s.m[1], "do not add up");
    s = small_new(3);
    t_ltx_merge(&s.m[1], 2, &m);
    m.rolling = true;
    m.pre = m.post = JUDGE_SUM_TOP;
    expect_found(&s, 1, &m, "that of another database");
    t_ltx_release(&m);
}

static void another_page_size(void **state)
{
    struct small s = small_new(2);
    uint8_t page[2 * PAGE_SIZE] = {1};
    struct t_ltx m = {.page_size = 2 * PAGE_SIZE, .commit = 1, .min = 3, .max = 3};

    (void)state;
    t_ltx_set(&m, 1, page);
    expect_found(&s, 0, &m, "another page size");
    s = small_new(2);
    m.min = 1;
    T(put_model(s.j, 9, &m).ok); /* a new beginning */
    t_ltx_release(&m);
    small_free(&s);
}

static void overlaps_at_rest(void **state)
{
    struct small s = small_new(3);
    char why[JUDGE_TEXT];
    struct t_ltx m;

    (void)state;
    t_ltx_merge(&s.m[1], 2, &m);
    T(put_model(s.j, 0, &m).ok && judge_at_rest(s.j, why));
    T(put_model(s.j, 1, &m).ok && judge_at_rest(s.j, why));
    t_ltx_release(&m);
    t_ltx_merge(&s.m[0], 3, &m);
    T(put_model(s.j, 1, &m).ok && !judge_at_rest(s.j, why) && strstr(why, "overlaps"));
    judge_dead(s.j, true); /* its writer's own copy came later */
    T(put_model(s.j, 1, &m).ok && judge_at_rest(s.j, why));
    judge_dead(s.j, false);
    T(put_model(s.j, 1, &m).ok && !judge_at_rest(s.j, why));
    t_ltx_release(&m);
    small_free(&s);
}

/* A dead one's file that lies within another: who merges may take it, or not. */
static void a_page_that_a_late_file_does_not_change(void **state)
{
    struct small s = small_new(1);
    struct t_ltx m, both;

    (void)state;
    t_ltx_merge(&s.m[1], 2, &m);
    T(put_model(s.j, 0, &m).ok);
    judge_dead(s.j, true);
    t_ltx_set(&s.m[1], 3, s.m[0].pages[3]);
    T(put_model(s.j, 0, &s.m[1]).ok);
    judge_dead(s.j, false);
    T(put_model(s.j, 1, &m).ok);
    t_ltx_merge(&s.m[1], 2, &both);
    T(put_model(s.j, 2, &both).ok);
    t_ltx_release(&both);
    drop_page(&m, 2);
    expect_found(&s, 3, &m, "not the newest pages");
    t_ltx_release(&m);
}

/* The same, which has come before the other one, of a past that a power cut took back. */
static void a_late_file_that_came_before_what_it_lies_within(void **state)
{
    struct t_ltx dead = {.page_size = PAGE_SIZE, .commit = 4, .min = 2, .max = 2};
    uint8_t page[PAGE_SIZE] = {99};
    struct judge_image is, was;
    struct small s;

    (void)state;
    t_ltx_set(&dead, 4, page);
    for (int late = 0; late < 2; late++) {
        s = small_rolling(true);
        s.m[1].max = 3;
        judge_dead(s.j, true);
        T(late == 0 || put_model(s.j, 0, &dead).ok);
        judge_dead(s.j, false);
        T(put_model(s.j, 0, &s.m[1]).ok && judge_find(s.j, 3, late ? &is : &was));
        small_free(&s);
    }
    T(is.hash == was.hash);
    s = small_rolling(true); /* of one that is alive it is a fault */
    s.m[1].max = 3;
    T(put_model(s.j, 0, &dead).ok);
    expect_found(&s, 0, &s.m[1], "do not add up");
    t_ltx_release(&dead);
}

/* Whoever lost the state of a dead process knows nothing of its snapshot. */
static void a_late_snapshot_of_a_lost_state(void **state)
{
    struct small s = small_new(3);
    uint8_t page[PAGE_SIZE] = {99};
    struct t_ltx m;

    (void)state;
    t_ltx_merge(&s.m[0], 2, &m);
    m.rolling = false;
    t_ltx_set(&m, 1, page);
    judge_dead(s.j, true);
    judge_forgot(s.j);
    T(put_model(s.j, 9, &m).ok && judge_has_other(s.j));
    judge_remove(s.j, "ltx/9/0000000000000001-0000000000000002.ltx");
    T(!judge_has_other(s.j));
    small_free(&s);
    s = small_new(3);
    judge_dead(s.j, true);
    expect_found(&s, 9, &m, "not what other files make of its TXID");
    t_ltx_release(&m);
}

T_MAIN(T_TEST(samples_mean_what_their_writer_says), T_TEST(bad_samples_are_refused),
    T_TEST(a_life_is_understood), T_TEST(what_is_removed_is_not_there),
    T_TEST(growth_without_its_pages), T_TEST(merged_files_that_lie), T_TEST(snapshots_that_lie),
    T_TEST(names_that_lie), T_TEST(names_that_change_their_contents),
    T_TEST(rolling_checksums_that_lie), T_TEST(another_page_size), T_TEST(overlaps_at_rest),
    T_TEST(a_page_that_a_late_file_does_not_change),
    T_TEST(a_late_file_that_came_before_what_it_lies_within),
    T_TEST(a_late_snapshot_of_a_lost_state))
