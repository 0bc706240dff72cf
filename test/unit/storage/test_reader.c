/*
 * test_reader.c - sequential reading against the bytes themselves, and objects of the wrong size.
 */
#include "storage/reader.h"

#include "base/mem.h"
#include "base/rand.h"
#include "fake/faultstore.h"
#include "harness/t.h"
#include "storage/drivers.h"

struct rig {
    struct faultstore *f;
    struct wr_storage *s;
    struct wr_call *c;
};

static struct rig rig_up(void)
{
    struct rig r = {.c = t_call()};
    struct wr_err e = {0};
    void *mem = NULL;

    T_OK(wr_storage_mem.open(NULL, &mem, &e));
    r.f = faultstore_new(&wr_storage_mem, mem, t_seed(), NULL);
    T(r.f != NULL);
    T_OK(wr_storage_wrap(faultstore_ops(r.f), r.f, WR_STR(""), &r.s, &e));
    wr_storage_set_retry(r.s, 20, 0);
    return r;
}

static void fill(const struct rig *r, uint8_t *body, size_t n)
{
    struct wr_err e = {0};

    for (size_t i = 0; i < n; i++)
        body[i] = (uint8_t)(i * 31 + i / 251);
    T_OK(wr_storage_put(r->s, r->c, WR_STR("k"), (struct wr_bytes){body, n}, NULL, &e));
}

/* Every kind of boundary: object sizes around the window, reads of random size, requests that fail
 * on the way. */
static void reads_what_is_there(void **state)
{
    static uint8_t body[20000], copy[20000];
    struct rig r = rig_up();
    struct wr_rand rng;

    (void)state;
    wr_rand_init(&rng, t_seed());
    for (int round = 0; round < 500; round++) {
        struct wr_err e = {0};
        struct wr_reader *rd = NULL;
        size_t window = 4096 + (size_t)wr_rand_below(&rng, 3000);
        size_t n = round % 3
                       ? (size_t)wr_rand_below(&rng, sizeof(body))
                       : window * (1 + (size_t)round % 2) + (size_t)wr_rand_below(&rng, 3) - 1;
        size_t off = 0;

        faultstore_calm(r.f);
        fill(&r, body, n);
        if (round % 2)
            faultstore_arm(r.f, FAULT_AFTER, FAULT_ON_GET, 300, UINT64_MAX);
        T_OK(wr_reader_open(r.s, WR_STR("k"), n, window, &rd, &e));
        while (off < n) {
            size_t part = (size_t)wr_rand_below(&rng, 6000);
            part = wr_min(part, n - off);
            T(wr_reader_offset(rd) == off);
            T_OK(wr_reader_read(rd, r.c, copy + off, part, &e));
            off += part;
        }
        T(memcmp(copy, body, n) == 0);
        T(wr_reader_offset(rd) == n);
        T_OK(wr_reader_read(rd, r.c, copy, 0, &e));
        T_IS(WR_CORRUPT, wr_reader_read(rd, r.c, copy, 1, &e));
        wr_reader_close(rd);
        wr_arena_reset(r.c->scratch);
    }
    wr_storage_close(r.s);
}

static void one_request_a_window(void **state)
{
    static uint8_t body[10 * 4096];
    struct rig r = rig_up();
    struct wr_err e = {0};
    struct wr_reader *rd = NULL;
    struct wr_storage_counts counts;

    (void)state;
    fill(&r, body, sizeof(body));
    T_OK(wr_reader_open(r.s, WR_STR("k"), sizeof(body), 4096, &rd, &e));
    for (size_t i = 0; i < sizeof(body); i++)
        T_OK(wr_reader_read(rd, r.c, body, 1, &e));
    wr_storage_counts(r.s, &counts);
    T(counts.get == 10 && counts.bytes_down == sizeof(body));
    wr_reader_close(rd);
    wr_reader_close(NULL);
    wr_storage_close(r.s);
}

/* Read an object that `is` long as if it were `said` long. */
static enum wr_status read_as(struct rig *r, size_t is, size_t said, struct wr_err *e)
{
    static uint8_t body[40000];
    struct wr_reader *rd = NULL;

    fill(r, body, is);
    enum wr_status st = wr_reader_open(r->s, WR_STR("k"), said, 4096, &rd, e);
    if (st == WR_OK)
        st = wr_reader_read(rd, r->c, body, said, e);
    wr_reader_close(rd);
    return st;
}

static void wrong_sizes_are_corrupt(void **state)
{
    struct rig r = rig_up();
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_CORRUPT, read_as(&r, 9999, 10000, &e));
    T(strstr(e.text, "ends at byte 9999 of 10000"));
    T_IS(WR_CORRUPT, read_as(&r, 10001, 10000, &e));
    T(strstr(e.text, "goes on"));
    T_IS(WR_CORRUPT, read_as(&r, 4097, 4096, &e));
    T_IS(WR_CORRUPT, read_as(&r, 0, 1, &e));
    T_IS(WR_CORRUPT, read_as(&r, 8192, 8193, &e));
    T_OK(read_as(&r, 4096, 4096, &e));
    T_OK(read_as(&r, 0, 0, &e));
    wr_storage_close(r.s);
}

static void short_answers_are_corrupt(void **state)
{
    struct rig r = rig_up();
    struct wr_err e = {0};

    (void)state;
    faultstore_arm(r.f, FAULT_SHORT_GET, FAULT_ON_GET, 1000, 1);
    T_IS(WR_CORRUPT, read_as(&r, 10000, 10000, &e));
    T(strstr(e.text, "read k"));
    wr_storage_close(r.s);
}

static void the_key_is_copied(void **state)
{
    struct rig r = rig_up();
    struct wr_err e = {0};
    struct wr_reader *rd = NULL;
    uint8_t body[10];
    char key[] = "k";

    (void)state;
    fill(&r, body, sizeof(body));
    T_OK(wr_reader_open(r.s, wr_str(key), sizeof(body), 4096, &rd, &e));
    key[0] = '#';
    T_OK(wr_reader_read(rd, r.c, body, sizeof(body), &e));
    wr_reader_close(rd);
    wr_storage_close(r.s);
}

static void a_missing_object_is_notfound(void **state)
{
    struct rig r = rig_up();
    struct wr_err e = {0};
    struct wr_reader *rd = NULL;
    uint8_t byte;

    (void)state;
    T_OK(wr_reader_open(r.s, WR_STR("missing"), 10, 4096, &rd, &e));
    T_IS(WR_NOTFOUND, wr_reader_read(rd, r.c, &byte, 1, &e));
    wr_reader_close(rd);
    wr_storage_close(r.s);
}

static enum wr_status sweep(void *arg)
{
    struct rig *r = arg;
    struct wr_reader *rd = NULL;
    uint8_t bytes[10];
    enum wr_status st = wr_reader_open(r->s, WR_STR("k"), 5000, 4096, &rd, NULL);

    if (st == WR_OK)
        st = wr_reader_read(rd, r->c, bytes, sizeof(bytes), NULL);
    wr_reader_close(rd);
    return st;
}

static void survives_no_memory(void **state)
{
    static uint8_t body[5000];
    struct rig r = rig_up();

    (void)state;
    fill(&r, body, sizeof(body));
    t_sweep_nomem(sweep, &r);
    wr_storage_close(r.s);
}

T_MAIN(T_TEST(reads_what_is_there), T_TEST(one_request_a_window), T_TEST(wrong_sizes_are_corrupt),
    T_TEST(short_answers_are_corrupt), T_TEST(the_key_is_copied),
    T_TEST(a_missing_object_is_notfound), T_TEST(survives_no_memory))
