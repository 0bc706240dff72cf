/*
 * verdict_restore.c - see verdict.h: what the product's own code restores from the buckets, in
 * processes of their own.
 */
#include "sim/verdict_int.h"

#include "base/mem.h"
#include "engine/plan.h"
#include "engine/restore.h"
#include "engine/verify.h"
#include "sim/commits.h"
#include "sim/disk.h"
#include "sim/tape.h"

#include <inttypes.h>
#include <sqlite3.h>

#define RESTORES_MAX  4
#define RESTORED_PATH "/restored/db"
#define NOTICED_NS    (INT64_C(7) * 3600 * 1000000000) /* six hours, and a look each half hour */
#define RESTORED_NOW  "/restored/now"                  /* by those beside whom all goes on */

/* ---- in the end ---- */

/* With the product's own code. */
static enum wr_status restore(struct bucket *b, const char *path, struct wr_plan_target to,
    struct wr_restore_result *ret, struct wr_err *e)
{
    const struct wr_restore_opts o = {.fs = disk_fs(),
        .path = path,
        .txid = to.txid,
        .time_ms = to.time_ms,
        .overwrite = true,
        .parallel = 1 + tape_below(4),
        .resume_min = 1,
        .lock_offset = verdict.lock_offset};
    struct verdict_visit v;
    enum wr_status st = verdict_visit(b, &v, e);

    if (st == WR_OK)
        st = wr_restore(v.s, &v.call, &o, ret, e);
    verdict_leave(&v);
    return st;
}

/* Whether the file is this state. */
static bool is_image(const char *path, const struct judge_image *want)
{
    size_t n = 0;
    const uint8_t *p = disk_peek(path, &n);

    return p && n == (size_t)want->commit * want->page_size &&
           judge_hash_database(p, n, want->page_size, verdict.lock_offset) == want->hash;
}

/* What was restored is what the judge makes of the files that were ever there. */
static void expect_state(const struct bucket *b, const char *path, uint64_t txid)
{
    struct judge_image image;

    if (!judge_find(b->judge, txid, &image) || !is_image(path, &image))
        sim_fail("S5: restored txid %" PRIu64 ", which is not what was committed", txid);
    verdict.restores++;
}

static void restore_one(struct bucket *b, const struct judge_image *want, bool newest)
{
    const struct wr_plan_target to = {.txid = newest ? 0 : want->txid};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    if (restore(b, RESTORED_PATH, to, &r, &e) != WR_OK)
        sim_fail("S5: restore of txid %" PRIu64 ": %s", want->txid, e.text);
    if (r.txid != want->txid || !is_image(RESTORED_PATH, want))
        sim_fail("S5: restored txid %" PRIu64 ", which is not what was committed", r.txid);
    verdict.restores++;
}

struct as_of {
    const struct judge *judge;
    int64_t time_ms;
    uint64_t txid;
};

static bool note_earlier(void *arg, const struct judge_image *image)
{
    struct as_of *x = arg;
    int64_t first, last;

    if (judge_times(x->judge, image->txid, &first, &last) && last < x->time_ms)
        x->txid = image->txid;
    return true;
}

/* The least that can be had as of just before a time; 0: nothing. Where the clock was set back
 * there are later states than files of before it make; who has to ask for each time may miss those.
 */
static uint64_t least_as_of(const struct bucket *b, int64_t time_ms)
{
    struct as_of x = {.judge = b->judge, .time_ms = time_ms};

    if (!(store_ops(b->store)->caps & WR_STORAGE_LIST_TIME))
        return judge_before(b->judge, time_ms);
    judge_each(b->judge, note_earlier, &x);
    return x.txid;
}

/* The newest state from before a time, and none that came later. */
static void restore_before(struct bucket *b, int64_t time_ms)
{
    const uint64_t least = least_as_of(b, time_ms);
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    int64_t first, last;
    enum wr_status st =
        restore(b, RESTORED_PATH, (struct wr_plan_target){.time_ms = time_ms}, &r, &e);

    if (st == WR_NOTFOUND && least == 0)
        return;
    if (st != WR_OK)
        sim_fail("S5: restore as of %" PRId64 " ms: %s", time_ms, e.text);
    if (!judge_times(b->judge, r.txid, &first, &last) || first >= time_ms || r.txid < least)
        sim_fail("S5: restored txid %" PRIu64 " as of %" PRId64 " ms, of which is %" PRIu64, r.txid,
            time_ms, least);
    expect_state(b, RESTORED_PATH, r.txid);
}

/* As of about the time of a TXID: just before it, at it, right behind it, or seconds away. */
static void restore_near(struct bucket *b, const struct judge_image *image)
{
    static const int64_t away_ms[] = {-1, 0, 1, 2, -3000, 3000};
    int64_t first, last;

    if (judge_times(b->judge, image->txid, &first, &last))
        restore_before(
            b, (tape_below(2) ? first : last) + away_ms[tape_below(wr_countof(away_ms))]);
}

struct choice {
    struct judge_image all[RESTORES_MAX + 1]; /* the newest, then some */
    size_t n;
};

static bool choose(void *arg, const struct judge_image *image)
{
    struct choice *c = arg;

    c->all[0] = *image;
    c->n = wr_max(c->n, (size_t)1);
    if (c->n <= RESTORES_MAX && tape_chance(60))
        c->all[c->n++] = *image;
    return true;
}

static void restore_some(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < verdict.n; i++) {
        struct choice c = {0};

        judge_each(verdict.buckets[i].judge, choose, &c);
        for (size_t k = 0; k < c.n; k++)
            restore_one(&verdict.buckets[i], &c.all[k], k == 0);
        verdict_verify_end(i);
        if (c.n > 1)
            restore_near(&verdict.buckets[i], &c.all[c.n - 1]);
    }
}

/* Work for a process of its own, to its end. */
static void in_process(const char *name, void (*run)(void *arg), void *arg)
{
    struct sim_proc *p = sim_proc_new(name);

    sim_join(sim_spawn(p, name, run, arg));
    sim_kill(p);
}

void verdict_restores(void)
{
    in_process("restore", restore_some, NULL);
}

static void check_integrity(void *arg)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;

    if (sqlite3_open_v2(arg, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW)
        sim_fail("A1: integrity check: %s", sqlite3_errmsg(db));
    if (strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0)
        sim_fail("A1: %s", (const char *)sqlite3_column_text(stmt, 0));
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
}

void verdict_integrity(const char *path)
{
    char copy[64];

    (void)snprintf(copy, sizeof(copy), "%s", path);
    in_process("check", check_integrity, copy);
}

/* ---- at any time ---- */

/* The least that is to be had now; 0: nothing need be. */
static uint64_t least_of(const struct bucket *b, struct wr_plan_target to)
{
    if (to.time_ms)
        return least_as_of(b, to.time_ms);
    if (to.txid)
        return verdict_leads_to(b, to.txid) ? to.txid : 0;
    return verdict.acked_txid;
}

/* While all goes on and fails. What is made was committed; and what could be had all the time is
 * not passed over, but for a store whose listing was an old one. */
static void restore_beside(struct bucket *b, struct wr_plan_target to)
{
    const uint64_t before = least_of(b, to), stale = store_counts.stale_lists;
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    enum wr_status st = restore(b, RESTORED_NOW, to, &r, &e);
    uint64_t least = wr_min(before, least_of(b, to));

    sim_trace("restore: %s, txid %" PRIu64, st == WR_OK ? "ok" : e.text, r.txid);
    if (st == WR_CORRUPT && !store_is_weak(b->store))
        sim_fail("S5: a replica that nothing has damaged does not restore: %s", e.text);
    if (store_counts.stale_lists != stale)
        least = 0;
    if (st == WR_NOTFOUND && least > 0)
        sim_fail("S5: nothing to restore, when there was txid %" PRIu64, least);
    if (st != WR_OK)
        return;
    if (r.txid < least || (to.txid && r.txid != to.txid))
        sim_fail("S5: restored txid %" PRIu64 ", when there was %" PRIu64, r.txid, least);
    expect_state(b, RESTORED_NOW, r.txid);
}

/* The newest state, or that of a TXID or a time. */
static void restore_now(void *arg)
{
    struct bucket *b = &verdict.buckets[tape_below((uint32_t)verdict.n)];
    struct wr_plan_target to = {0};

    (void)arg;
    if (tape_below(2))
        to.time_ms = wr_wall_ms(wr_clock_system()) - (int64_t)tape_below(20000);
    else if (tape_below(2))
        to.txid = 1 + tape_below((uint32_t)wr_max(verdict.acked_txid, UINT64_C(1)));
    restore_beside(b, to);
}

static void restore_and_end(void *arg)
{
    restore_now(arg);
    sim_kill(sim_proc_current());
}

struct sim_proc *verdict_restore_now(void)
{
    struct sim_proc *p = sim_proc_new("restore");

    (void)sim_spawn(p, "restore", restore_and_end, NULL);
    return p;
}

/* S6. Bits flip in what is stored: that is told, or does not matter, but is never restored. */
static void restore_rotten(void *arg)
{
    const struct judge_image *want = arg;
    struct bucket *b = &verdict.buckets[0];
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct wr_verify_result told = {0};
    const char *key = NULL;
    enum wr_status st, is;

    if (!store_rot(b->store, &key))
        return;
    st = restore(b, RESTORED_PATH, (struct wr_plan_target){0}, &r, &e);
    sim_trace("rot in %s: %s", key, st == WR_OK ? "restored" : e.text);
    if (st == WR_OK && (r.txid != want->txid || !is_image(RESTORED_PATH, want)))
        sim_fail("S6: a bit flipped in %s, and what was restored is something else", key);
    if (st != WR_OK && st != WR_CORRUPT)
        sim_fail("S6: a bit flipped in %s: %s", key, e.text);
    is = verdict_verify(b, &told, NULL, &e);
    if (is != WR_CORRUPT && (is != WR_OK || st != WR_OK))
        sim_fail("S7: a bit flipped in %s, and verified: %s", key, is == WR_OK ? "ok" : e.text);
}

void verdict_rot(void)
{
    struct choice c = {0};

    judge_each(verdict.buckets[0].judge, choose, &c);
    if (c.n > 0)
        in_process("restore", restore_rotten, &c.all[0]);
}

/* ---- of a bucket that two have written to ---- */

struct txids {
    uint64_t *p; /* ascending, each once */
    size_t n, cap;
};

static bool note_txid(void *arg, const char *key, const uint8_t *p, size_t n)
{
    struct txids *t = arg;
    uint64_t txid = verdict_txid_of(key);
    size_t i = t->n;

    (void)p;
    (void)n;
    while (i > 0 && t->p[i - 1] > txid)
        i--;
    if (txid == 0 || (i > 0 && t->p[i - 1] == txid))
        return true;
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->p = wr_resize(t->p, t->cap, sizeof(*t->p));
        if (!t->p)
            sim_fail("no memory");
    }
    memmove(&t->p[i + 1], &t->p[i], (t->n++ - i) * sizeof(*t->p));
    t->p[i] = txid;
    return true;
}

/* The database file at `path`; hash 0: it is none. */
static struct judge_image image_of(const char *path)
{
    size_t n = 0;
    const uint8_t *p = disk_peek(path, &n);
    uint32_t size = p && n >= 18 ? (uint32_t)p[16] << 8 | p[17] : 0;

    size = size == 1 ? 65536 : size;
    if (size < 512 || n % size != 0)
        return (struct judge_image){0};
    return (struct judge_image){.hash = judge_hash_database(p, n, size, verdict.lock_offset),
        .page_size = size,
        .commit = (uint32_t)(n / size)};
}

void verdict_is_newest(const char *path)
{
    const struct judge_image image = image_of(path);
    size_t n;

    commits_look();
    n = commits_n_of(path);
    if (n == 0 || commits_at(n - 1)->hash != image.hash || commits_at(n - 1)->pages != image.commit)
        sim_fail("P5: the database %s is not at its newest commit", path);
}

struct mixture {
    const char *path, *name;
    verdict_belongs_fn *belongs;
};

/* Who died between its file and its sign is not noticed by the other one, `name`, before all is
 * listed, which is up to six hours later (docs/adr/0024). */
static bool is_hidden(const struct bucket *b, const char *name, uint64_t txid)
{
    return name && txid == b->late.txid && strcmp(b->late.sender, name) != 0 &&
           sim_now_ns() - b->late.at_ns < NOTICED_NS;
}

static void restore_all(void *arg)
{
    const struct mixture *m = arg;
    const char *path = m->path;
    struct bucket *b = &verdict.buckets[0];
    struct judge_image image = {0};
    struct wr_verify_result told = {0};
    struct txids t = {0};
    struct wr_err e = {0};
    bool damaged = false;
    enum wr_status st;

    commits_look();
    store_each(b->store, note_txid, &t);
    for (size_t i = t.n; i-- > 0;) {
        const bool newest = i + 1 == t.n;
        struct wr_restore_result r = {0};

        st =
            restore(b, RESTORED_PATH, (struct wr_plan_target){.txid = newest ? 0 : t.p[i]}, &r, &e);
        image = st == WR_OK ? image_of(RESTORED_PATH) : image;
        if (st == WR_OK && verdict_commit_of(0, &image) == SIZE_MAX)
            sim_fail("S1: restored txid %" PRIu64 ", which nobody has committed", r.txid);
        if (st == WR_OK && m->belongs)
            m->belongs(r.txid, &image);
        if (newest && path && !is_hidden(b, m->name, r.txid) && image.hash != image_of(path).hash)
            sim_fail("L1: the newest state is not that of the one that goes on");
        if (st != WR_OK &&
            (newest || (st != WR_CORRUPT && st != WR_NOTFOUND) || verdict_leads_to(b, t.p[i])))
            sim_fail("S5: restore of txid %" PRIu64 ": %s", t.p[i], e.text);
        verdict.restores += st == WR_OK;
        verdict.txids++;
        damaged = damaged || st == WR_CORRUPT;
    }
    wr_free(t.p);
    st = verdict_verify(b, &told, NULL, &e);
    if (t.n > 0 && st != WR_CORRUPT && (st != WR_OK || damaged))
        sim_fail("S7: verified: %s; %s", st == WR_OK ? "ok" : e.text,
            damaged ? "not all of it restores" : "no verdict");
}

void verdict_no_mixture(const char *path, const char *name, verdict_belongs_fn *belongs)
{
    struct mixture m = {.path = path, .name = name, .belongs = belongs};

    in_process("restore", restore_all, &m);
}
