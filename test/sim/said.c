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
    uint64_t last;         /* 0: not spoken of; as of a run's `to` */
    uint64_t run_from[LEVELS], run_to[LEVELS];
    bool counts;
    uint64_t snapshots, sum, newest_snapshot;
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

/* The text of the object that is the member of that name; empty: there is none. */
static const uint8_t *inner(const uint8_t *p, size_t n, const char *name, size_t *ret_n)
{
    char head[32];
    size_t len = (size_t)snprintf(head, sizeof(head), "\"%s\":{", name), depth = 1;

    *ret_n = 0;
    for (size_t i = 0; i + len <= n; i++) {
        if (memcmp(p + i, head, len) != 0)
            continue;
        for (p += i + len, n -= i + len; *ret_n < n && depth > 0; (*ret_n)++) {
            depth += p[*ret_n] == '{';
            depth -= p[*ret_n] == '}';
        }
        return p;
    }
    return p;
}

static void note_roll(struct bucket *b, const uint8_t *p, size_t n)
{
    size_t n_runs, n_is;
    const uint8_t *runs = inner(p, n, "runs", &n_runs), *is = inner(p, n, "last", &n_is);

    if (!member(is, n_is, "max_txid", &b->last))
        b->last = 0;
    for (unsigned level = 0; level < LEVELS; level++) {
        const char name[] = {(char)('0' + level), '\0'};

        is = inner(runs, n_runs, name, &n_is);
        if (!member(is, n_is, "from", &b->run_from[level]) ||
            !member(is, n_is, "to", &b->run_to[level]))
            b->run_to[level] = 0;
    }
    is = inner(p, n, "snapshots", &n_is);
    b->counts = member(is, n_is, "count", &b->snapshots) && member(is, n_is, "sum", &b->sum) &&
                member(is, n_is, "newest", &b->newest_snapshot);
}

static void note_word(struct bucket *b, const uint8_t *p, size_t n)
{
    size_t n_levels;

    b->speaks = member(p, n, "newest", &b->newest) && member(p, n, "token", &b->token);
    note_roll(b, p, n);
    p = inner(p, n, "levels", &n_levels);
    n = n_levels;
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

/* Whether each TXID of the runs is in a file of its level, and no fewer snapshots are there. */
static bool check_roll(const struct bucket *b, char why[SAID_TEXT])
{
    uint64_t count = 0, sum = 0;

    for (unsigned level = 0; level < LEVELS; level++) {
        for (uint64_t txid = b->run_from[level]; b->run_to[level] && txid <= b->run_to[level];) {
            uint64_t next = txid;

            for (size_t i = 0; i < b->n; i++) {
                const struct file *f = &b->files[i];

                if (f->level == level && f->min <= txid && txid <= f->max)
                    next = wr_max(next, f->max + 1);
            }
            if (next == txid) {
                (void)snprintf(why, SAID_TEXT,
                    "level %u has no file of txid %" PRIu64 ", and it is said that it has", level,
                    txid);
                return false;
            }
            txid = next;
        }
    }
    for (size_t i = 0; i < b->n; i++) {
        const struct file *f = &b->files[i];
        bool is = f->level == LEVELS - 1 && f->min == 1 && f->max <= b->newest_snapshot;

        count += is;
        sum += is ? f->max : 0;
    }
    if (!b->counts || count > b->snapshots || (count == b->snapshots && sum == b->sum))
        return true;
    (void)snprintf(why, SAID_TEXT,
        "there are %" PRIu64 " snapshots up to %" PRIu64 ", and it is said that there are %" PRIu64,
        count, b->newest_snapshot, b->snapshots);
    return false;
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
    if (last < wr_max(b->newest, b->last)) {
        (void)snprintf(why, SAID_TEXT,
            "the newest txid is %" PRIu64 ", and it is said to be %" PRIu64, last,
            wr_max(b->newest, b->last));
        return false;
    }
    return check_roll(b, why);
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
