/*
 * storage_contract.c - assembles the checks, and the helpers all of them use.
 */
#include "contract/storage_contract.h"

#include "base/mem.h"
#include "base/rand.h"
#include "contract/contract_int.h"

struct bench take_out(void **state)
{
    struct bench b = {.f = *state, .c = t_call()};
    struct wr_err e = {0};

    T_OK(b.f->open(b.f->arg, &b.s, &e));
    return b;
}

void put_away(struct bench *b)
{
    wr_storage_close(b->s);
    wr_arena_reset(b->c->scratch);
}

struct wr_str key_at(const struct bench *b, const char *name)
{
    struct wr_str key =
        wr_arena_fmt(b->c->scratch, WR_FMT "%s", WR_ARG(wr_storage_prefix(b->s)), name);

    T(key.p != NULL);
    return key;
}

struct wr_bytes text_of(const char *z)
{
    return (struct wr_bytes){(const uint8_t *)z, strlen(z)};
}

struct wr_bytes noise(const struct bench *b, size_t n, uint64_t seed)
{
    struct wr_rand r;
    uint8_t *p = wr_arena_alloc(b->c->scratch, n + 1);

    T(p != NULL);
    wr_rand_init(&r, t_seed() + seed);
    wr_rand_fill(&r, p, n);
    return (struct wr_bytes){p, n};
}

void put_text(const struct bench *b, const char *name, const char *text)
{
    struct wr_err e = {0};

    T_OK(wr_storage_put(b->s, b->c, key_at(b, name), text_of(text), NULL, &e));
}

void expect_bytes(const struct bench *b, struct wr_str key, struct wr_bytes want)
{
    struct wr_err e = {0};
    struct wr_object about = {0};
    size_t got = SIZE_MAX;
    uint8_t *p = wr_alloc(want.n + 16);

    T(p != NULL);
    T_OK(wr_storage_get(b->s, b->c, key, 0, p, want.n + 16, &got, &e));
    T(got == want.n);
    T(want.n == 0 || memcmp(p, want.p, want.n) == 0);
    T_OK(wr_storage_stat(b->s, b->c, key, &about, &e));
    T(about.size == want.n);
    wr_free(p);
}

void expect_text(const struct bench *b, const char *name, const char *want)
{
    expect_bytes(b, key_at(b, name), text_of(want));
}

void expect_absent(const struct bench *b, const char *name)
{
    struct wr_err e = {0};
    struct wr_object about;
    uint8_t byte;
    size_t got;

    T_IS(WR_NOTFOUND, wr_storage_stat(b->s, b->c, key_at(b, name), &about, &e));
    T_IS(WR_NOTFOUND, wr_storage_get(b->s, b->c, key_at(b, name), 0, &byte, 1, &got, &e));
}

struct expected {
    struct wr_str prefix;
    const char *const *names;
    size_t n;
    bool ok;
};

static bool expect_next(void *arg, const struct wr_object *obj)
{
    struct expected *x = arg;
    const char *want = x->names[x->n];

    x->ok = want && wr_str_starts(obj->key, x->prefix) &&
            wr_str_eq(wr_str_skip(obj->key, x->prefix.n), wr_str(want));
    if (!x->ok)
        print_error("listed \"" WR_FMT "\" for \"%s\"\n", WR_ARG(obj->key), want ? want : "(end)");
    x->n++;
    return x->ok;
}

void expect_list(
    const struct bench *b, const char *prefix, const char *after, const char *const *names)
{
    struct wr_err e = {0};
    struct expected x = {.prefix = wr_storage_prefix(b->s), .names = names, .ok = true};
    struct wr_str from = after[0] ? key_at(b, after) : WR_STR("");

    T_OK(wr_storage_list(b->s, b->c, key_at(b, prefix), from, expect_next, &x, &e));
    T(x.ok);
    T(x.names[x.n] == NULL);
}

size_t storage_contract(struct contract_factory *f, struct CMUnitTest *out, size_t max)
{
    const struct check *const tables[] = {
        contract_object_checks, contract_list_checks, contract_write_checks};
    size_t n = 0;

    for (size_t i = 0; i < wr_countof(tables); i++) {
        for (const struct check *k = tables[i]; k->name; k++) {
            assert(n < max);
            if (n < max)
                out[n++] = (struct CMUnitTest){k->name, k->run, NULL, NULL, f};
        }
    }
    return n;
}

int storage_contract_main(int argc, char **argv, struct contract_factory *f)
{
    struct CMUnitTest tests[CONTRACT_CHECKS_MAX];
    size_t n = storage_contract(f, tests, CONTRACT_CHECKS_MAX);

    return t_main(argc, argv, tests, n);
}
