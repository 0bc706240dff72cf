/*
 * test_judge_lies.c - the judge finds files that do not agree with each other.
 */
#include "harness/ltx_util.h"
#include "harness/t.h"
#include "sim/judge_int.h"

#include "base/mem.h"

#define KEY_MAX   80
#define PAGE_SIZE 512u
#define LOCK_PAGE 5u
#define LOCK      ((LOCK_PAGE - 1) * PAGE_SIZE)

struct put_result {
    bool ok;
    char why[JUDGE_TEXT];
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
    T(put_model(s.j, 0, &m).ok && judge_at_rest(s.j, false, why));
    T(put_model(s.j, 1, &m).ok && judge_at_rest(s.j, false, why));
    t_ltx_release(&m);
    t_ltx_merge(&s.m[0], 3, &m);
    T(put_model(s.j, 1, &m).ok && !judge_at_rest(s.j, false, why) && strstr(why, "overlaps"));
    T(judge_at_rest(s.j, true, why));
    judge_dead(s.j, true); /* its writer's own copy came later */
    T(put_model(s.j, 1, &m).ok && judge_at_rest(s.j, false, why));
    judge_dead(s.j, false);
    T(put_model(s.j, 1, &m).ok && !judge_at_rest(s.j, false, why));
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

T_MAIN(T_TEST(growth_without_its_pages), T_TEST(merged_files_that_lie), T_TEST(snapshots_that_lie),
    T_TEST(names_that_lie), T_TEST(names_that_change_their_contents),
    T_TEST(rolling_checksums_that_lie), T_TEST(another_page_size), T_TEST(overlaps_at_rest),
    T_TEST(a_page_that_a_late_file_does_not_change),
    T_TEST(a_late_file_that_came_before_what_it_lies_within))
