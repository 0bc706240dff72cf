/*
 * epochs.c - see epochs.h.
 *
 * Until the taker of the lease has put its first file, the bucket is one primary's, and judged as
 * any. From then on the verdict hears of the first primary's files alone, whose history is one.
 * What those have sent that came behind it has a judge of its own.
 */
#include "sim/epochs.h"

#include "sim/commits.h"
#include "sim/leases.h"
#include "sim/store.h"
#include "sim/verdict.h"

#include <inttypes.h>

#define LEFT_OUT_MIN \
    (((uint64_t)1 << 22) - 1) /* TXIDs of one file: no primary leaves out so many */
#define FENCES_MAX 64
#define OWNERS_MAX 16
#define AT_NODE    72u /* in an LTX file's header */
#define AT_POST    92u /* the same: the rolling checksum of the state behind it */
#define SNAPSHOTS  9u  /* the level whose files are all snapshots */
#define STEM       37u /* two TXIDs, a minus, ".ltx" */

struct name {
    unsigned level;
    uint64_t min, max;
};

/* One that was put to shut out others, into the state with this rolling checksum. */
struct fence {
    struct name name;
    uint64_t post;
};

/* Who has shut out all that were before it. */
struct owner {
    uint64_t node;
    uint64_t fence, away;    /* what is left out begins with the latter; fences lie before it */
    uint64_t end;            /* the last one that is left out */
    struct judge_image base; /* that it goes on from */
    bool runs;               /* as a primary, with a database */
    uint32_t db;
    size_t acked; /* commits */
};

static struct {
    void (*put)(struct store *s, const char *key, const uint8_t *p, size_t n, const uint8_t *old,
        size_t old_n);
    void (*remove)(struct store *s, const char *key);
    struct fence fences[FENCES_MAX]; /* that are there, and do not count yet */
    size_t n_fences;
    struct owner owners[OWNERS_MAX];
    size_t n_owners;
    struct judge *later; /* what came behind the first fence; NULL: nothing yet */
    uint32_t lock_offset;
    size_t acked; /* commits, by the first primary */
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

static uint64_t member(const uint8_t *p, size_t n, size_t at)
{
    uint64_t v = 0;

    for (size_t i = at; i < at + 8 && i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static uint64_t node_of(const uint8_t *p, size_t n)
{
    return member(p, n, AT_NODE);
}

static uint64_t post_of(const uint8_t *p, size_t n)
{
    return member(p, n, AT_POST);
}

/* ---- fences ---- */

static struct owner *last_owner(void)
{
    return x.n_owners > 0 ? &x.owners[x.n_owners - 1] : NULL;
}

/* Somebody has the lease, and has yet to shut out whoever writes. */
static bool is_under_way(void)
{
    return leases_held()->node && (x.n_owners == 0 || last_owner()->node != leases_held()->node);
}

/* The one that ends there. */
static size_t find_fence(uint64_t txid)
{
    size_t i = 0;

    while (i < x.n_fences && x.fences[i].name.max != txid)
        i++;
    return i;
}

/* Whether one ends there that `post` goes on from. */
static bool is_fence_of(uint64_t txid, uint64_t post)
{
    const size_t i = find_fence(txid);

    return i < x.n_fences && x.fences[i].post == post;
}

/* P2, of a file that somebody who was shut out has put behind the fence: under another name than
 * the one that comes next it may; and a promotion that has lost the lease since it looked. */
static void judge_other(const char *key, const struct name *f, uint64_t node)
{
    if (f->level == 0 && f->min == f->max && !leases_is_loser(node))
        sim_fail(
            "P2: two writers: %s is behind the fence, txid %" PRIu64, key, last_owner()->fence);
    sim_trace("%s is astray", key);
    x.strays++;
}

/* One that it has put, or a fence of somebody else's that it has gone on behind. */
static bool is_of(const struct owner *o, const struct name *f, uint64_t node)
{
    return node == o->node || (f->max < o->away && leases_is_loser(node));
}

/* To whom a TXID belongs; NULL: the first primary. */
static const struct owner *owner_of(uint64_t txid)
{
    const struct owner *o = NULL;

    for (size_t i = 0; i < x.n_owners && x.owners[i].fence <= txid; i++)
        o = &x.owners[i];
    return o;
}

/* Behind the fence of the one that it should be of. Merged files name nobody. */
static bool is_astray(const struct name *f, uint64_t node)
{
    const struct owner *o = owner_of(f->max);

    return o && !(f->level > 0 && node == 0) && !is_of(o, f, node);
}

/* What the files that count make of a TXID. */
static bool image_of(uint64_t txid, struct judge_image *ret)
{
    return x.later ? judge_find(x.later, txid, ret) : verdict_image(txid, ret);
}

/* The newest time that it has shut out the others; NULL: never. */
static struct owner *find_owner(uint64_t node)
{
    for (size_t i = x.n_owners; i-- > 0;) {
        if (x.owners[i].node == node)
            return &x.owners[i];
    }
    return NULL;
}

/* A fence that nobody has gone on from. Before it was put, the primary had sent a file of several
 * TXIDs that ends there, which did not count; whoever is promoted goes on from that one, as it
 * has more. */
static bool is_passed(const struct name *f, uint64_t node, uint64_t post)
{
    const struct owner *o = find_owner(node);
    struct judge_image had;

    o = o ? o : last_owner();
    return f->level == 0 && leases_find(node) && f->max < o->fence && image_of(f->max, &had) &&
           had.sum != post;
}

/* What is there when the fence turns out to count. */
static bool expect_own(void *arg, const char *key, const uint8_t *p, size_t n)
{
    const struct owner *o = last_owner();
    struct name f;

    (void)arg;
    if (is_file(key, &f) && f.max >= o->fence && !is_of(o, &f, node_of(p, n)))
        judge_other(key, &f, node_of(p, n));
    return true;
}

/* P1, of the one before `o`. */
static void expect_acked(const struct owner *o, size_t commits)
{
    const struct judge_image *base = &o->base;

    if (commits > 0 &&
        commits_find(commits - 1, base->hash, base->commit, base->page_size) == SIZE_MAX)
        sim_fail("P1: %zu commits were acknowledged, and not all are in txid %" PRIu64
                 ", from which the new primary goes on",
            commits, base->txid);
}

/* ---- what comes behind the first fence ---- */

static bool take_in(void *arg, const char *key, const uint8_t *p, size_t n)
{
    struct judge *later = arg;
    const uint64_t node = node_of(p, n);
    char why[JUDGE_TEXT];
    struct name f;

    if (!is_file(key, &f) || is_astray(&f, node))
        return true;
    if (is_passed(&f, node, post_of(p, n)))
        sim_trace("%s is astray, as nobody goes on from it", key);
    else if (!judge_put(later, key, p, n, why))
        sim_fail("S4: %s: %s", key, why);
    return true;
}

/* The history of the newest owner, and nothing that is astray. */
static void begin_later(struct store *s)
{
    struct judge *later = judge_new(x.lock_offset);

    store_each(s, take_in, later);
    judge_free(x.later);
    x.later = later;
}

static void find_base(struct owner *o)
{
    if (!image_of(o->fence - 1, &o->base))
        sim_fail("P1: nothing leads to the fence, txid %" PRIu64, o->fence);
}

/* A fence, and whether a file that is there has the same TXID. */
struct used {
    uint64_t txid;
    bool is;
};

/* Merged is what counted. A snapshot that goes beyond it may be that of a dead process, whose
 * history the old primary does not have: then its next name must not be free (docs/adr/0023). */
static bool note_use(void *arg, const char *key, const uint8_t *p, size_t n)
{
    struct used *u = arg;
    struct name f;

    (void)p;
    (void)n;
    u->is =
        u->is ||
        (is_file(key, &f) && f.level > 0 &&
            (f.max == u->txid || (f.level < SNAPSHOTS && f.min <= u->txid && f.max >= u->txid)));
    return !u->is;
}

/* P2, of a fence that is before the one that counts. Where nothing is left of the name, nothing
 * leads there either, or P3 finds it. */
static void judge_left(struct store *s, uint64_t txid)
{
    struct judge_image had;
    struct used u = {.txid = txid};

    store_each(s, note_use, &u);
    if (u.is && verdict_image(txid, &had))
        sim_fail("P2: a fence was left at txid %" PRIu64 ", which the old primary had", txid);
}

/* The first file behind a fence. Fences of earlier tries may lie right before that one; one that
 * was put into another state is none of them (is_passed). */
static void shut_out(struct store *s, const struct fence *behind)
{
    const struct name *f = &behind->name;
    const size_t acked = x.n_owners > 0 ? last_owner()->acked : x.acked;
    struct owner *o = &x.owners[x.n_owners++];

    if (x.n_owners == OWNERS_MAX)
        sim_fail("P2: %d owners", OWNERS_MAX);
    *o =
        (struct owner){.node = leases_held()->node, .fence = f->min, .away = f->min, .end = f->max};
    while (is_fence_of(o->fence - 1, behind->post))
        o->fence = x.fences[find_fence(o->fence - 1)].name.min;
    find_base(o);
    for (size_t i = 0; i < x.n_fences && !x.repeated; i++) {
        if (x.fences[i].name.max < o->fence)
            judge_left(s, x.fences[i].name.max);
    }
    x.n_fences = 0;
    sim_trace("shut out: from txid %" PRIu64 " to %" PRIu64, o->fence, o->end);
    expect_acked(o, acked);
    store_each(s, expect_own, NULL);
    begin_later(s);
}

/* ---- objects come and go ---- */

static void note_fence(const struct fence *f)
{
    if (x.n_fences == FENCES_MAX)
        sim_fail("P2: %d fences", FENCES_MAX);
    if (find_fence(f->name.max) == x.n_fences)
        x.fences[x.n_fences++] = *f;
}

static void on_own(struct store *s, const struct fence *is)
{
    const struct name *f = &is->name;

    if (f->level > 0)
        return;
    if (f->max - f->min >= LEFT_OUT_MIN) {
        if (is_under_way())
            shut_out(s, is);
        last_owner()->end = wr_max(last_owner()->end, f->max);
    } else if (f->min == f->max && is_under_way()) {
        note_fence(is);
    }
}

static void on_other(const char *key, const struct fence *is, uint64_t node)
{
    const struct name *f = &is->name;

    /* Whoever has the lease goes on behind it, or, where the first primary has taken it back, the
     * next one who is promoted. */
    if ((is_under_way() || x.n_owners == 0) && leases_is_loser(node))
        note_fence(is);
    x.sent += leases_held()->node && f->level == 0 && f->min == f->max;
    if (is_astray(f, node))
        judge_other(key, f, node);
}

/* Of whoever has the lease; a merged file names nobody: beyond what is left out it is the new
 * primary's. */
static bool is_own(const struct name *f, uint64_t node)
{
    return leases_held()->node &&
           (node == leases_held()->node ||
               (f->level > 0 && node == 0 && x.n_owners > 0 && f->max >= x.owners[0].fence));
}

static void on_lease(const uint8_t *p, size_t n)
{
    x.repeated = x.repeated || leases_held()->node; /* the one before leaves what it has put */
    leases_note(p, n);
    if (x.n_owners > 0 && leases_held()->node == 0)
        sim_fail("P7: who was shut out has taken the lease");
}

static void on_put(
    struct store *s, const char *key, const uint8_t *p, size_t n, const uint8_t *old, size_t old_n)
{
    struct fence f = {.post = post_of(p, n)};
    const bool file = is_file(key, &f.name), mixed = x.n_fences > 0 || x.n_owners > 0;
    const uint64_t node = file ? node_of(p, n) : 0;
    const bool own = file && is_own(&f.name, node);
    /* Who has lost the lease, and is not shut out yet, may go on as the first one could. */
    const bool legal = own || (is_under_way() && x.n_owners > 0 && node == last_owner()->node);
    const bool later = own || (node && leases_find(node));

    if (strcmp(key, "lease.json") == 0)
        on_lease(p, n);
    if (own)
        on_own(s, &f);
    verdict_shared(later || (mixed && !file));
    x.put(s, key, p, n, old, old_n);
    verdict_shared(mixed || later);
    if (file && !legal)
        on_other(key, &f, node);
    if (file && x.later &&
        !(is_under_way() && leases_is_loser(node))) /* that may come to nothing */
        (void)take_in(x.later, key, p, n);
}

static void on_remove(struct store *s, const char *key)
{
    struct name f;
    size_t i;

    x.remove(s, key);
    if (strcmp(key, "lease.json") == 0)
        sim_fail("P7: the lease is gone");
    if (!is_file(key, &f) || f.level != 0)
        return;
    i = find_fence(f.max);
    if (i < x.n_fences && x.fences[i].name.min == f.min)
        x.fences[i] = x.fences[--x.n_fences];
}

/* ---- what others know, and ask ---- */

void epochs_begin(uint32_t lock_offset)
{
    x.lock_offset = lock_offset;
    x.put = store_on_put;
    x.remove = store_on_remove;
    store_on_put = on_put;
    store_on_remove = on_remove;
}

void epochs_acked(uint64_t txid, size_t commits)
{
    if (x.n_owners > 0)
        expect_acked(&x.owners[0], commits);
    else if (x.n_fences == 0)
        verdict_acked(txid, commits);
    x.acked = wr_max(x.acked, commits);
}

void epochs_acked_by(uint32_t db, size_t commits)
{
    for (size_t i = 0; i < x.n_owners; i++) {
        struct owner *o = &x.owners[i];

        if (!o->runs || o->db != db)
            continue;
        if (i + 1 < x.n_owners)
            expect_acked(o + 1, commits);
        o->acked = wr_max(o->acked, commits);
    }
}

bool epochs_has_lease(const char *path)
{
    return leases_held()->epoch > 0 && strcmp(leases_held()->path, path) == 0;
}

void epochs_repeat(void)
{
    x.repeated = x.repeated || leases_held()->epoch > 0;
}

void epochs_promoted(uint64_t epoch, uint64_t node, uint64_t token)
{
    struct lease *l = leases_find(node);

    if (!l || l->epoch != epoch || l->token != token)
        sim_fail("P7: a promotion believes to hold epoch %" PRIu64 ", which is not its own", epoch);
    if (!find_owner(node))
        sim_fail("P2: promoted, and nothing shuts the old primary out");
    l->promoted = true;
}

void epochs_goes_on(uint64_t node, uint32_t db)
{
    struct owner *o = find_owner(node);

    assert(o);
    o->runs = true;
    o->db = db;
}

uint64_t epochs_sent(bool anew)
{
    x.sent = anew ? 0 : x.sent;
    return x.sent;
}

uint64_t epochs_strays(void)
{
    return x.strays;
}

static bool is_same(const struct judge_image *a, const struct judge_image *b)
{
    return a->hash == b->hash && a->commit == b->commit && a->page_size == b->page_size;
}

static bool has(uint32_t db, const struct judge_image *image)
{
    return commits_has(db, image->hash, image->commit, image->page_size);
}

static void belongs_to_first(uint64_t txid, const struct judge_image *image)
{
    struct judge_image want;

    if (!has(0, image) || (verdict_image(txid, &want) && !is_same(&want, image)))
        sim_fail("P3: txid %" PRIu64 " is before the fence, and not the old primary's", txid);
}

/* Something that was under way when `o` shut the others out may hide it at its own TXID. */
static bool may_be_astray(const struct owner *o, const struct judge_image *image)
{
    return x.strays > 0 && (has(0, image) || (o > x.owners && o[-1].runs && has(o[-1].db, image)));
}

/* That it goes on from, before anything of its own: the fence of a promotion that came next may be
 * there. */
static bool is_still_base(const struct owner *o, uint64_t txid, const struct judge_image *image)
{
    bool is = is_same(&o->base, image) && txid - o->end <= FENCES_MAX;
    struct judge_image had;

    for (uint64_t t = o->end + 1; is && t <= txid; t++)
        is = !image_of(t, &had) || is_same(&o->base, &had);
    return is;
}

void epochs_belongs(uint64_t txid, const struct judge_image *image)
{
    const struct owner *o = owner_of(txid);

    if (!o) {
        belongs_to_first(txid, image);
        return;
    }
    if (txid <= o->end && !is_same(&o->base, image) && !may_be_astray(o, image))
        sim_fail(
            "P3: txid %" PRIu64 " is not the state at the fence, txid %" PRIu64, txid, o->fence);
    if (txid > o->end &&
        !(o->runs ? has(o->db, image) || is_still_base(o, txid, image) : is_same(&o->base, image)))
        sim_fail("P3: txid %" PRIu64 " is not the new primary's", txid);
}
