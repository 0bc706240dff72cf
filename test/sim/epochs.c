/*
 * epochs.c - see epochs.h.
 *
 * Until the taker of the lease has put its first file, the bucket is one primary's, and judged as
 * any. From then on the verdict hears of the old primary's files alone, whose history is one.
 */
#include "sim/epochs.h"

#include "sim/commits.h"
#include "sim/store.h"
#include "sim/verdict.h"

#include <inttypes.h>

#define LEFT_OUT_MIN \
    (((uint64_t)1 << 22) - 1) /* TXIDs of one file: no primary leaves out so many */
#define FENCES_MAX 64
#define AT_NODE    72u /* in an LTX file's header */
#define STEM       37u /* two TXIDs, a minus, ".ltx" */

struct name {
    unsigned level;
    uint64_t min, max;
};

static struct {
    void (*put)(struct store *s, const char *key, const uint8_t *p, size_t n, const uint8_t *old,
        size_t old_n);
    void (*remove)(struct store *s, const char *key);
    uint64_t node;               /* whoever has the lease; 0: nobody has taken it */
    uint64_t fences[FENCES_MAX]; /* that are there */
    size_t n_fences;
    uint64_t fence, end; /* the one that counts, and what is left out behind it; 0: not yet */
    struct judge_image base;
    size_t acked; /* commits */
    uint64_t strays, sent;
    bool repeated;
} x;

static bool is_file(const char *key, struct name *ret)
{
    const char *at = strstr(key, "ltx/");
    size_t n = strlen(key);
    struct wr_str min = {key + n - STEM, 16}, max = {key + n - STEM + 17, 16};

    if (!at || n < STEM + 6 || strcmp(key + n - 4, ".ltx") != 0)
        return false;
    ret->level = (unsigned)(at[4] - '0');
    return wr_parse_hex64(min, &ret->min) && wr_parse_hex64(max, &ret->max);
}

static uint64_t node_of(const uint8_t *p, size_t n)
{
    uint64_t node = 0;

    for (size_t i = AT_NODE; i < AT_NODE + 8 && i < n; i++)
        node = node << 8 | p[i];
    return node;
}

static void note_lease(const uint8_t *p, size_t n)
{
    static const char name[] = "\"node\":\"";
    char text[512] = "";
    const char *at;

    memcpy(text, p, wr_min(n, sizeof(text) - 1));
    at = strstr(text, name);
    if (!at || !wr_parse_hex64((struct wr_str){at + strlen(name), 16}, &x.node))
        sim_fail("P2: a lease without a node: %s", text);
}

static size_t find_fence(uint64_t txid)
{
    size_t i = 0;

    while (i < x.n_fences && x.fences[i] != txid)
        i++;
    return i;
}

/* P2, of a file that the old primary has put behind the fence: under another name than the one that
 * comes next it may. */
static void judge_other(const char *key, const struct name *f)
{
    if (f->level == 0 && f->min == f->max)
        sim_fail("P2: two writers: %s is behind the fence, txid %" PRIu64, key, x.fence);
    sim_trace("%s is astray", key);
    x.strays++;
}

/* What is there when the fence turns out to count. */
static bool expect_own(void *arg, const char *key, const uint8_t *p, size_t n)
{
    struct name f;

    (void)arg;
    if (is_file(key, &f) && f.max >= x.fence && node_of(p, n) != x.node)
        judge_other(key, &f);
    return true;
}

static void expect_acked(size_t commits)
{
    if (commits > 0 &&
        commits_find(commits - 1, x.base.hash, x.base.commit, x.base.page_size) == SIZE_MAX)
        sim_fail("P1: %zu commits were acknowledged, and not all are in txid %" PRIu64
                 ", from which the new primary goes on",
            commits, x.base.txid);
}

/* The first file behind a fence. Fences of earlier tries may lie right before that one. */
static void shut_out(struct store *s, const struct name *f)
{
    struct judge_image had;

    x.end = f->max;
    x.fence = f->min; /* if there is no other */
    while (find_fence(x.fence - 1) < x.n_fences)
        x.fence--;
    if (!verdict_image(x.fence - 1, &x.base))
        sim_fail("P1: nothing leads to the fence, txid %" PRIu64, x.fence);
    for (size_t i = 0; i < x.n_fences; i++)
        if (x.fences[i] < x.fence && !x.repeated && verdict_image(x.fences[i], &had))
            sim_fail(
                "P2: a fence was left at txid %" PRIu64 ", which the old primary had", x.fences[i]);
    sim_trace("shut out: from txid %" PRIu64 " to %" PRIu64, x.fence, x.end);
    expect_acked(x.acked);
    store_each(s, expect_own, NULL);
}

static void on_own(struct store *s, const struct name *f)
{
    if (f->level > 0)
        return;
    if (f->max - f->min >= LEFT_OUT_MIN) {
        if (x.fence == 0)
            shut_out(s, f);
        x.end = wr_max(x.end, f->max);
    } else if (f->min == f->max && x.fence == 0) {
        if (x.n_fences == FENCES_MAX)
            sim_fail("P2: %d fences", FENCES_MAX);
        if (find_fence(f->min) == x.n_fences)
            x.fences[x.n_fences++] = f->min;
    }
}

static void on_other(const char *key, const struct name *f)
{
    x.sent += x.node != 0 && f->level == 0 && f->min == f->max;
    if (x.fence > 0 && f->max >= x.fence)
        judge_other(key, f);
}

static void on_put(
    struct store *s, const char *key, const uint8_t *p, size_t n, const uint8_t *old, size_t old_n)
{
    struct name f = {0};
    const bool file = is_file(key, &f), mixed = x.n_fences > 0 || x.fence > 0;
    /* A merged one names nobody: beyond what is left out it is the new primary's. */
    const bool own = file && x.node != 0 &&
                     (node_of(p, n) == x.node ||
                         (f.level > 0 && x.fence > 0 && node_of(p, n) == 0 && f.max >= x.fence));

    if (strcmp(key, "lease.json") == 0)
        note_lease(p, n);
    if (own)
        on_own(s, &f);
    verdict_shared(own || (mixed && !file));
    x.put(s, key, p, n, old, old_n);
    verdict_shared(mixed || own);
    if (file && !own)
        on_other(key, &f);
}

static void on_remove(struct store *s, const char *key)
{
    struct name f;
    size_t i;

    x.remove(s, key);
    if (!is_file(key, &f) || f.level != 0 || f.min != f.max || x.fence > 0)
        return;
    i = find_fence(f.min);
    if (i < x.n_fences)
        x.fences[i] = x.fences[--x.n_fences];
}

void epochs_begin(void)
{
    x.put = store_on_put;
    x.remove = store_on_remove;
    store_on_put = on_put;
    store_on_remove = on_remove;
}

void epochs_acked(uint64_t txid, size_t commits)
{
    if (x.fence > 0)
        expect_acked(commits);
    else if (x.n_fences == 0)
        verdict_acked(txid, commits);
    x.acked = wr_max(x.acked, commits);
}

bool epochs_begun(void)
{
    return x.node != 0;
}

void epochs_repeat(void)
{
    x.repeated = x.repeated || x.node != 0;
}

uint64_t epochs_sent(bool anew)
{
    x.sent = anew ? 0 : x.sent;
    return x.sent;
}

bool epochs_over(void)
{
    return x.fence > 0;
}

uint64_t epochs_strays(void)
{
    return x.strays;
}

static bool is_same(const struct judge_image *a, const struct judge_image *b)
{
    return a->hash == b->hash && a->commit == b->commit && a->page_size == b->page_size;
}

void epochs_belongs(uint64_t txid, const struct judge_image *image)
{
    const bool old = commits_has(0, image->hash, image->commit, image->page_size);
    const bool new = commits_has(1, image->hash, image->commit, image->page_size);

    struct judge_image want;

    if (txid < x.fence && (!old || (verdict_image(txid, &want) && !is_same(&want, image))))
        sim_fail("P3: txid %" PRIu64 " is before the fence, and not the old primary's", txid);
    if (txid >= x.fence && txid <= x.end && !is_same(&x.base, image) && !(old && x.strays > 0))
        sim_fail(
            "P3: txid %" PRIu64 " is not the state at the fence, txid %" PRIu64, txid, x.fence);
    if (txid > x.end && !new)
        sim_fail("P3: txid %" PRIu64 " is not the new primary's", txid);
}
