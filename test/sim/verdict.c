/*
 * verdict.c - see verdict.h: judges objects as they appear and go.
 */
#include "sim/verdict_int.h"

#include "engine/extent.h"
#include "engine/lease.h"
#include "engine/writer.h"
#include "sim/commits.h"
#include "sim/said.h"
#include "sim/tape.h"

#include <inttypes.h>

struct verdict verdict;

static struct bucket *bucket_of(const struct store *s)
{
    for (size_t i = 0; i < verdict.n; i++) {
        if (verdict.buckets[i].store == s)
            return &verdict.buckets[i];
    }
    sim_fail("an object in an unknown bucket");
}

uint64_t verdict_txid_of(const char *key)
{
    size_t n = strlen(key);
    uint64_t x = 0;

    if (n < 20 || strcmp(key + n - 4, ".ltx") != 0)
        return 0;
    for (const char *p = key + n - 20; p < key + n - 4; p++) {
        if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f')))
            return 0;
        x = x << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
    }
    return x;
}

size_t verdict_commit_of(size_t from, const struct judge_image *x)
{
    return commits_find(from, x->hash, x->commit, x->page_size);
}

/* A store without conditions lets what a dead process had sent take effect over what its successor
 * sent under that name, or the other way round, if that one has listed before, or was shown an old
 * listing: the same pages, with another time, which the judge sees to. */
static bool comes_late(const struct bucket *b, const char *key)
{
    return (store_after_death || judge_is_stray(b->judge, key) || store_is_weak(b->store)) &&
           !(store_ops(b->store)->caps & WR_STORAGE_COND_PUT);
}

/* S9. At each moment in which that may come to be otherwise. A store without conditions lets an
 * earlier word of ours, which comes late, go over a later one; and a dead process's file, or a
 * double, that comes when what led to it is gone is spoken of all the same. */
static void check_said(struct store *s)
{
    char why[SAID_TEXT];

    if ((store_ops(s)->caps & WR_STORAGE_COND_PUT) && !bucket_of(s)->stranded &&
        !said_is_so(s, why))
        sim_fail("S9: %s", why);
}

struct sought {
    uint64_t txid;
    bool found;
};

static bool seek(void *arg, const struct judge_image *image)
{
    struct sought *x = arg;

    x->found = image->txid == x->txid;
    return image->txid < x->txid;
}

bool verdict_leads_to(const struct bucket *b, uint64_t txid)
{
    struct sought x = {.txid = txid};

    judge_each(b->judge, seek, &x);
    return x.found;
}

static void on_put(
    struct store *s, const char *key, const uint8_t *p, size_t n, const uint8_t *old, size_t old_n)
{
    struct bucket *b = bucket_of(s);
    struct judge_image image;
    uint64_t txid = verdict_txid_of(key);
    char why[JUDGE_TEXT];

    verdict.objects++;
    sim_trace("object %s, %zu bytes", key, n);
    if (strcmp(key, WR_WRITER_NAME) == 0 || strcmp(key, WR_LEASE_NAME) == 0 ||
        strcmp(key, WR_EXTENT_NAME) == 0) { /* no files, and written over */
        if (strcmp(key, WR_EXTENT_NAME) == 0)
            b->old_word = store_doubled || store_after_death ||
                          (b->old_word && !(store_ops(s)->caps & WR_STORAGE_COND_PUT));
        check_said(s);
        return;
    }
    if (old && (old_n != n || memcmp(old, p, n) != 0) && !comes_late(b, key))
        sim_fail("S3: %s was written again with other bytes", key);
    if (verdict.shared) {
        if (store_after_death && txid > b->late.txid) {
            b->late.txid = txid;
            b->late.at_ns = sim_now_ns();
            b->late.sender = store_sender;
        }
        return;
    }
    judge_dead(b->judge, store_after_death);
    if (!judge_put(b->judge, key, p, n, why))
        sim_fail("S4: %s: %s", key, why);
    if (txid != 0 && (store_after_death || store_doubled) && !verdict_leads_to(b, txid))
        b->stranded = true;
    if (txid == 0 || !judge_find(b->judge, txid, &image))
        return;
    commits_look();
    if (verdict_commit_of(0, &image) == SIZE_MAX)
        sim_fail("S1: %s: txid %" PRIu64 " is a state that was never committed", key, txid);
}

static bool take_last(void *arg, const struct judge_image *image)
{
    *(uint64_t *)arg = image->txid;
    return true;
}

/* Whoever deletes leaves the newest state, at every moment; his own, if he is not alone. */
static void on_remove(struct store *s, const char *key)
{
    struct judge *j = bucket_of(s)->judge;
    uint64_t before = 0, after = 0;

    judge_each(j, take_last, &before);
    judge_remove(j, key);
    judge_each(j, take_last, &after);
    sim_trace("object %s is gone", key);
    if (after != before && !verdict.shared)
        sim_fail("R1: %s is gone, and with it the way to txid %" PRIu64, key, before);
    check_said(s);
}

void verdict_init(uint32_t lock_offset, struct store *const *stores, size_t n)
{
    assert(n <= VERDICT_STORES_MAX);
    verdict.lock_offset = lock_offset;
    for (size_t i = 0; i < n; i++)
        verdict.buckets[verdict.n++] =
            (struct bucket){.store = stores[i], .judge = judge_new(lock_offset)};
    store_on_put = on_put;
    store_on_remove = on_remove;
}

void verdict_shared(bool is)
{
    verdict.shared = is;
}

bool verdict_image(uint64_t txid, struct judge_image *ret)
{
    return judge_find(verdict.buckets[0].judge, txid, ret);
}

struct first {
    uint64_t from;
    struct judge_image image; /* of the first TXID from there on */
};

static bool take_first(void *arg, const struct judge_image *image)
{
    struct first *f = arg;

    if (image->txid < f->from)
        return true;
    f->image = *image;
    return false;
}

static struct first next_image(const struct judge *j, uint64_t txid)
{
    struct first f = {.from = txid + 1};

    judge_each(j, take_first, &f);
    return f;
}

/* What a dead process had under way may have arrived beneath the file of its successor that
 * contains this TXID: a restore to that one takes the dead one's (docs/adr/0008).
 *
 * A bucket that joined late has no file that ends with just this TXID, but one that contains it. */
void verdict_acked(uint64_t txid, size_t commits)
{
    verdict.acked++;
    verdict.acked_txid = txid;
    commits_look();
    for (size_t i = 0; i < verdict.n; i++) {
        struct first f = {.from = txid};

        judge_each(verdict.buckets[i].judge, take_first, &f);
        if (f.image.txid == txid && judge_is_beneath(verdict.buckets[i].judge, txid))
            f = next_image(verdict.buckets[i].judge, txid);
        if (f.image.txid == 0)
            sim_fail("S1: txid %" PRIu64 " was acknowledged, and cannot be restored", txid);
        if (commits > 0 && verdict_commit_of(commits - 1, &f.image) == SIZE_MAX)
            sim_fail("S1: txid %" PRIu64 " was acknowledged, without all of the %zu commits", txid,
                commits);
    }
}

/* ---- in the end ---- */

struct walk {
    size_t at; /* the commit of the image before */
    struct judge_image last;
};

/* TXIDs follow the order of commits. */
static bool in_order(void *arg, const struct judge_image *image)
{
    struct walk *w = arg;
    size_t at = verdict_commit_of(w->at, image);

    if (at == SIZE_MAX)
        sim_fail("S1: txid %" PRIu64 " is no state that was committed after that of txid %" PRIu64,
            image->txid, w->last.txid);
    w->at = at;
    w->last = *image;
    verdict.txids++;
    return true;
}

void verdict_newest(size_t n)
{
    commits_look();
    for (size_t i = 0; i < n; i++) {
        struct walk w = {0};
        char why[JUDGE_TEXT];

        judge_each(verdict.buckets[i].judge, in_order, &w);
        if (!judge_at_rest(verdict.buckets[i].judge, store_counts.stale_lists > 0, why))
            sim_fail("S1: %s", why);
        if (commits_n() > 0 && verdict_commit_of(commits_n() - 1, &w.last) == SIZE_MAX)
            sim_fail(
                "L1: the newest state, txid %" PRIu64 ", is not the newest commit", w.last.txid);
    }
}

/* ---- beside all that ---- */

bool verdict_is_state(size_t bucket, uint64_t txid, const uint8_t *p, size_t n)
{
    struct judge_image want;

    return judge_find(verdict.buckets[bucket].judge, txid, &want) &&
           n == (size_t)want.commit * want.page_size &&
           judge_hash_database(p, n, want.page_size, verdict.lock_offset) == want.hash;
}

uint64_t verdict_last(size_t bucket)
{
    uint64_t last = 0;

    judge_each(verdict.buckets[bucket].judge, take_last, &last);
    return last;
}

struct wr_storage *verdict_storage(size_t bucket)
{
    struct store *store = verdict.buckets[bucket].store;
    struct wr_storage *s = NULL;
    struct wr_err e = {0};

    if (wr_storage_wrap(store_ops(store), store_client(store), WR_STR(""), &s, &e) != WR_OK)
        sim_fail("%s", e.text);
    return s;
}

bool verdict_is_weak(size_t bucket)
{
    return store_is_weak(verdict.buckets[bucket].store);
}

uint32_t verdict_lock_offset(void)
{
    return verdict.lock_offset;
}

void verdict_report(struct world_report *ret)
{
    ret->objects = verdict.objects;
    ret->acked = verdict.acked;
    ret->txids = verdict.txids;
    ret->restores = verdict.restores;
}
