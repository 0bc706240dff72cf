/*
 * test_judge_file.c - the judge on one file: it agrees with what the product's encoder writes, and
 * refuses whatever is damaged or breaks a rule.
 */
#include "harness/ltx_util.h"
#include "harness/t.h"
#include "sim/judge_int.h"

#include "base/mem.h"

#define PAGE_SIZE 512u
#define LOCK_PAGE 5u
#define LOCK      ((LOCK_PAGE - 1) * PAGE_SIZE)

static void sums_are_those_of_the_format(void **state)
{
    struct wr_rand r;
    uint8_t page[4096];

    (void)state;
    T(judge_crc(0, (const uint8_t *)"123456789", 9) == UINT64_C(0xB90956C775A41001));
    wr_rand_init(&r, t_seed());
    for (uint32_t i = 1; i < 50; i++) {
        wr_rand_fill(&r, page, sizeof(page));
        T(judge_page_sum(i, page, sizeof(page)) == t_ltx_page_sum(i, page, sizeof(page)));
    }
    T(judge_lock_page(4096, 0x40000000) == 262145);
}

static void hashes_depend_on_all(void **state)
{
    uint8_t db[4 * PAGE_SIZE] = {0};
    uint64_t zero = judge_hash_database(db, sizeof(db), PAGE_SIZE, PAGE_SIZE);

    (void)state;
    for (size_t i = 0; i < sizeof(db); i++) {
        bool lock = i / PAGE_SIZE == 1;

        db[i] = 1;
        T((judge_hash_database(db, sizeof(db), PAGE_SIZE, PAGE_SIZE) == zero) == lock);
        db[i] = 0;
    }
    T(judge_hash_page(1, db, PAGE_SIZE) != judge_hash_page(2, db, PAGE_SIZE));
    T(zero == (judge_hash_page(1, db, PAGE_SIZE) ^ judge_hash_page(3, db, PAGE_SIZE) ^
                  judge_hash_page(4, db, PAGE_SIZE)));
}

static bool refused(struct wr_bytes file, uint32_t lock)
{
    struct judge_file f;
    char why[JUDGE_TEXT] = {0};
    bool ok = judge_decode(file.p, file.n, lock, &f, why);

    judge_file_release(&f);
    T(ok || why[0]);
    return !ok;
}

/* The judge read what the model has. */
static void expect_same(const struct judge_file *f, const struct t_ltx *m)
{
    size_t n = 0;

    T(f->min == m->min && f->max == m->max && f->page_size == m->page_size);
    T(f->commit == m->commit && f->time_ms == m->time_ms && f->has_rolling == m->rolling);
    T(!m->rolling || (f->pre == m->pre && f->post == m->post));
    T(f->has_wal == (m->wal_off || m->node));
    for (uint32_t p = 1; p < T_LTX_PAGES; p++) {
        if (!m->pages[p])
            continue;
        T(n < f->n && f->pages[n].pgno == p);
        T(f->pages[n].hash == judge_hash_page(p, m->pages[p], m->page_size));
        T(f->pages[n].sum == t_ltx_page_sum(p, m->pages[p], m->page_size));
        n++;
    }
    T(n == f->n);
}

static void reads_what_the_encoder_writes(void **state)
{
    struct wr_err e = {0};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 200; round++) {
        uint32_t page_size = 512u << wr_rand_below(&r, 8);
        uint32_t lock = (uint32_t)wr_rand_below(&r, 20) * page_size;
        struct t_ltx_out out;
        struct t_ltx m;
        struct judge_file f;
        char why[JUDGE_TEXT] = {0};
        bool ok;

        t_ltx_random(&r, &m, page_size, 1 + (uint32_t)wr_rand_below(&r, 24),
            wr_rand_below(&r, 2) ? 1 : 2 + wr_rand_below(&r, 1000), lock);
        T_OK(t_ltx_write(&m, lock, &out, &e));
        ok = judge_decode(out.buf.p, out.buf.n, lock, &f, why);
        if (!ok)
            print_error("%s\n", why);
        T(ok);
        expect_same(&f, &m);
        judge_file_release(&f);
        wr_buf_release(&out.buf);
        t_ltx_release(&m);
    }
}

/* A few bits of an LZ4 block make no difference to the page, and are not part of any checksum. */
static bool means_the_same(struct wr_bytes file, const struct judge_file *was)
{
    struct judge_file f;
    char why[JUDGE_TEXT];
    bool same = judge_decode(file.p, file.n, LOCK, &f, why) && f.n == was->n && f.min == was->min &&
                f.max == was->max && f.commit == was->commit;

    for (size_t i = 0; same && i < f.n; i++)
        same = f.pages[i].hash == was->pages[i].hash;
    judge_file_release(&f);
    return same;
}

static void every_flipped_bit_is_noticed(void **state)
{
    struct wr_err e = {0};
    struct t_ltx m = {.page_size = PAGE_SIZE, .commit = 6, .min = 7, .max = 8};
    struct t_ltx_out out;
    struct judge_file was;
    char why[JUDGE_TEXT];
    uint8_t page[PAGE_SIZE] = {0};
    unsigned unnoticed = 0;

    (void)state;
    t_ltx_set(&m, 2, page);
    for (size_t i = 0; i < PAGE_SIZE; i++)
        page[i] = (uint8_t)((size_t) "some text "[i % 10] + i / 60);
    t_ltx_set(&m, 6, page);
    T_OK(t_ltx_write(&m, LOCK, &out, &e));
    T(judge_decode(out.buf.p, out.buf.n, LOCK, &was, why));
    for (size_t bit = 0; bit < 8 * out.buf.n; bit++) {
        struct wr_bytes file = wr_buf_bytes(&out.buf);

        out.buf.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (!refused(file, LOCK)) {
            T(bit / 8 > 110 && bit / 8 < file.n - 40 && means_the_same(file, &was));
            unnoticed++;
        }
        out.buf.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    T(unnoticed < 40);
    for (size_t n = 0; n < out.buf.n; n++)
        T(refused((struct wr_bytes){out.buf.p, n}, LOCK));
    wr_buf_byte(&out.buf, 0);
    T(refused(wr_buf_bytes(&out.buf), LOCK));
    judge_file_release(&was);
    wr_buf_release(&out.buf);
    t_ltx_release(&m);
}

/* Make the checksum right again, for a file with at most the one page. */
static void seal(uint8_t *p, size_t n, const uint8_t *page)
{
    size_t block = page ? (size_t)p[108] << 8 | p[109] : 0;
    uint64_t c = judge_crc(0, p, page ? 110 : 100);

    if (page)
        c = judge_crc(c, page, PAGE_SIZE);
    c = judge_crc(c, p + (page ? 110 + block : 100), n - 8 - (page ? 110 + block : 100));
    for (int i = 0; i < 8; i++)
        p[n - 8 + (size_t)i] = (uint8_t)((c | JUDGE_SUM_TOP) >> (56 - 8 * i));
}

/* Each rule of the header, broken in a file whose checksum is right. */
static void rules_of_the_header(void **state)
{
    static const struct {
        size_t at;
        uint8_t is;
        bool fine;
    } cases[] = {
        {0, 'l', false},                  /* magic */
        {7, 0, false}, {7, 3, false},     /* flags */
        {10, 0, false}, {10, 3, false},   /* page size 0, 768 */
        {9, 2, false}, {10, 1, false},    /* 131584, 256 */
        {15, 0, false},                   /* commit */
        {23, 0, false}, {23, 9, false},   /* first TXID 0, after the last */
        {47, 1, false},                   /* pre-apply checksum */
        {48, 128, false}, {63, 1, false}, /* WAL offset negative; size without offset */
        {64, 1, false}, {55, 1, true},    /* salts without offset; an offset */
        {79, 1, true}, {84, 0, true},     /* node; no change */
    };
    struct t_ltx m = {.page_size = PAGE_SIZE,
        .commit = 6,
        .min = 7,
        .max = 8,
        .rolling = true,
        .pre = JUDGE_SUM_TOP | 5,
        .post = JUDGE_SUM_TOP | 5};
    struct wr_bytes file;
    uint8_t copy[131];

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        file = t_ltx_encode(&m);
        T(file.n == sizeof(copy) && !refused(file, LOCK));
        memcpy(copy, file.p, sizeof(copy));
        copy[cases[i].at] = cases[i].at == 84 ? copy[84] : cases[i].is;
        seal(copy, sizeof(copy), NULL);
        if (refused((struct wr_bytes){copy, sizeof(copy)}, LOCK) == cases[i].fine)
            print_error("case %zu\n", i);
        T(refused((struct wr_bytes){copy, sizeof(copy)}, LOCK) == !cases[i].fine);
        t_ltx_free(&file);
    }
    file = t_ltx_encode(&m);
    memcpy(copy, file.p, sizeof(copy));
    copy[92] = 0; /* bit 63 of a rolling checksum */
    seal(copy, sizeof(copy), NULL);
    T(refused((struct wr_bytes){copy, sizeof(copy)}, LOCK));
    t_ltx_free(&file);
}

/* The checksum is right, the index or the frame's header is not. */
static void the_index_is_that_of_the_frames(void **state)
{
    struct t_ltx m = {.page_size = PAGE_SIZE, .commit = 300, .min = 7, .max = 8};
    uint8_t page[PAGE_SIZE] = {7};
    struct wr_bytes file;
    uint8_t *copy;

    (void)state;
    t_ltx_set(&m, 200, page);
    file = t_ltx_encode(&m);
    copy = wr_alloc(file.n);
    T(copy != NULL);
    memcpy(copy, file.p, file.n);
    seal(copy, file.n, page);
    T(memcmp(copy, file.p, file.n) == 0); /* so it can be sealed */
    for (size_t i = file.n - 16 - 8 - 7; i < file.n - 8; i++) {
        copy[i] ^= 1;
        seal(copy, file.n, page);
        T(refused((struct wr_bytes){copy, file.n}, LOCK));
        copy[i] ^= 1;
    }
    for (size_t i = 100; i < 106; i++) {
        copy[i] ^= 2;
        seal(copy, file.n, page);
        T(refused((struct wr_bytes){copy, file.n}, LOCK));
        copy[i] ^= 2;
    }
    seal(copy, file.n, page);
    T(!refused((struct wr_bytes){copy, file.n}, LOCK));
    wr_free(copy);
    t_ltx_free(&file);
    t_ltx_release(&m);
}

static bool model_refused(const struct t_ltx *m)
{
    struct wr_bytes file = t_ltx_encode(m);
    bool no = refused(file, LOCK);

    t_ltx_free(&file);
    return no;
}

static void rules_of_the_pages(void **state)
{
    const uint8_t page[PAGE_SIZE] = {1};
    struct t_ltx m = {.page_size = PAGE_SIZE, .commit = 6, .min = 2, .max = 2};

    (void)state;
    t_ltx_set(&m, LOCK_PAGE, page);
    T(model_refused(&m));
    t_ltx_release(&m);
    m = (struct t_ltx){.page_size = PAGE_SIZE, .commit = 6, .min = 2, .max = 2};
    t_ltx_set(&m, 7, page);
    T(model_refused(&m));
    m.commit = 7;
    T(!model_refused(&m));
    m.min = 1;
    T(model_refused(&m));
    for (uint32_t p = 1; p < 7; p++) {
        if (p != LOCK_PAGE)
            t_ltx_set(&m, p, page);
    }
    T(!model_refused(&m));
    m.commit = 8;
    T(model_refused(&m));
    m.commit = 7;
    m.rolling = true;
    m.pre = JUDGE_SUM_TOP;
    m.post = t_ltx_sum(&m);
    T(!model_refused(&m));
    m.post ^= 1;
    T(model_refused(&m));
    m.post ^= 1;
    m.pre ^= 1;
    T(model_refused(&m));
    t_ltx_release(&m);
}

T_MAIN(T_TEST(sums_are_those_of_the_format), T_TEST(hashes_depend_on_all),
    T_TEST(reads_what_the_encoder_writes), T_TEST(every_flipped_bit_is_noticed),
    T_TEST(rules_of_the_header), T_TEST(the_index_is_that_of_the_frames),
    T_TEST(rules_of_the_pages))
