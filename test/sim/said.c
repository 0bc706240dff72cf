/*
 * said.c - see said.h.
 */
#include "sim/said.h"

#include "base/mem.h"
#include "sim/judge.h"

#include <inttypes.h>
#include <stdlib.h>

#define LEVELS 10

struct file {
    uint64_t min, max;
    unsigned level;
    bool leads; /* a way leads to its end */
};

struct bucket {
    struct file *files;
    size_t n, cap;
    bool speaks, is_signed;
    uint64_t newest, token, sign;
    uint64_t from[LEVELS]; /* UINT64_MAX: not spoken of */
};

/* The number behind "name":" in an object of ours. */
static bool member(const uint8_t *p, size_t n, const char *name, uint64_t *ret)
{
    char head[32];
    size_t len = (size_t)snprintf(head, sizeof(head), "\"%s\":\"", name);

    for (size_t i = 0; i + len + 16 <= n; i++) {
        if (memcmp(p + i, head, len) == 0)
            return judge_hex16((const char *)p + i + len, ret);
    }
    return false;
}

static void note_word(struct bucket *b, const uint8_t *p, size_t n)
{
    b->speaks = member(p, n, "newest", &b->newest) && member(p, n, "token", &b->token);
    for (unsigned level = 0; level < LEVELS; level++) {
        const char name[] = {(char)('0' + level), '\0'};

        if (!member(p, n, name, &b->from[level]))
            b->from[level] = UINT64_MAX;
    }
}

static bool note(void *arg, const char *key, const uint8_t *p, size_t n)
{
    struct bucket *b = arg;
    struct file f = {0};

    if (strcmp(key, "extent.json") == 0)
        note_word(b, p, n);
    if (strcmp(key, "writer.json") == 0)
        b->is_signed = member(p, n, "token", &b->sign);
    if (!judge_key(key, &f.level, &f.min, &f.max))
        return true;
    if (b->n == b->cap) {
        b->cap = b->cap ? 2 * b->cap : 64;
        b->files = wr_resize(b->files, b->cap, sizeof(*b->files));
        if (!b->files)
            sim_fail("no memory");
    }
    b->files[b->n++] = f;
    return true;
}

static int by_end(const void *a, const void *b)
{
    const struct file *x = a, *y = b;

    return (x->max > y->max) - (x->max < y->max);
}

/* Each file needs the end of another one that is behind what it begins with, and before its own. */
static void find_ways(struct bucket *b)
{
    if (b->n > 0)
        qsort(b->files, b->n, sizeof(*b->files), by_end);
    for (size_t i = 0; i < b->n; i++) {
        struct file *f = &b->files[i];

        f->leads = f->min == 1;
        for (size_t k = i; k-- > 0 && b->files[k].max >= f->min - 1 && !f->leads;)
            f->leads = b->files[k].leads && b->files[k].max < f->max;
    }
    for (size_t i = 0; i < b->n; i++) { /* an end is one, whichever file leads there */
        for (size_t k = 0; k < b->n && !b->files[i].leads; k++)
            b->files[i].leads = b->files[k].leads && b->files[k].max == b->files[i].max;
    }
}

static bool check(struct bucket *b, char why[SAID_TEXT])
{
    uint64_t last = 0;

    find_ways(b);
    for (size_t i = 0; i < b->n; i++) {
        const struct file *f = &b->files[i];

        last = wr_max(last, f->max);
        if (!f->leads && f->max > b->from[f->level] && f->max <= b->newest) {
            (void)snprintf(why, SAID_TEXT,
                "nothing leads to the end of %016" PRIx64 "-%016" PRIx64
                " of level %u, and it is said that something does",
                f->min, f->max, f->level);
            return false;
        }
    }
    if (last < b->newest)
        (void)snprintf(why, SAID_TEXT,
            "the newest txid is %" PRIu64 ", and it is said to be %" PRIu64, last, b->newest);
    return last >= b->newest;
}

bool said_is_so(struct store *s, char why[SAID_TEXT])
{
    struct bucket b = {0};
    bool is;

    store_each(s, note, &b);
    is = !b.speaks || !b.is_signed || b.sign != b.token || check(&b, why);
    wr_free(b.files);
    return is;
}
