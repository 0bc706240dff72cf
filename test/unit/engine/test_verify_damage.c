/*
 * test_verify_damage.c - replicas are damaged in every way that comes to mind, and verification
 * must say so exactly when it is true: by a slow and obvious model of what can be restored.
 *
 * WEIR_TEST_DAMAGES is how many there are; 300 by default.
 */
#include "engine/verify.h"

#include "harness/ltx_util.h"
#include "unit/engine/verify_world.h"

enum damage {
    FLIP,
    CUT,
    EXTEND,
    DELETE,
    SWAP,
    STALE, /* what another database has under the same name */
    RENAME,
    HOLE, /* several files in a row are deleted */
    DAMAGES,
};

static const char *const names[] = {
    "flip", "cut", "extend", "delete", "swap", "stale", "rename", "hole"};

struct bench {
    struct wr_rand *r;
    struct story s, other;
    struct world w;
    struct wr_ltx_files all;    /* in the bucket now */
    struct wr_ltx_files before; /* the damage */
    bool bad[512];              /* by file: it is not what the database's history has there */
    bool left[512]; /* by file of `before`: retention has left nothing that leads to it */
    enum replica_says says;
    struct wr_extent said; /* by the writer; newest 0: nothing */
    struct wr_ltx_file hit;
    char what[200];
};

static struct wr_str key_of(struct bench *b, const struct wr_ltx_file *f)
{
    return wr_layout_ltx_key(t_call()->scratch, b->w.storage, f->level, f->min, f->max);
}

static struct wr_bytes body_of(struct bench *b, const struct wr_ltx_file *f)
{
    static uint8_t room[1 << 20];
    size_t got = 0;
    struct wr_err e = {0};

    T_OK(wr_storage_get(b->w.storage, t_call(), key_of(b, f), 0, room, sizeof(room), &got, &e));
    T(got < sizeof(room));
    return (struct wr_bytes){room, got};
}

static void put_body(struct bench *b, const struct wr_ltx_file *f, const void *p, size_t n)
{
    world_store(&b->w, key_of(b, f), (struct wr_bytes){p, n}, f->time_ms);
}

static uint8_t *copy_of(struct wr_bytes body, size_t more)
{
    uint8_t *p = test_calloc(1, body.n + more + 1);

    memcpy(p, body.p, body.n);
    return p;
}

static void cut_name(struct bench *b, size_t i)
{
    world_remove_key(&b->w, key_of(b, &b->all.p[i]));
    memmove(&b->all.p[i], &b->all.p[i + 1], (b->all.n - i - 1) * sizeof(b->all.p[0]));
    memmove(&b->bad[i], &b->bad[i + 1], (b->all.n - i - 1) * sizeof(b->bad[0]));
    b->all.n--;
}

/* Whether a file says what the database was, by a decoder that is not ours. */
static bool is_right(struct bench *b, const struct wr_ltx_file *f)
{
    struct wr_bytes is = body_of(b, f);
    struct t_ltx got, want;
    struct wr_buf buf;
    bool right = false;

    wr_buf_init(&buf, (size_t)1 << 24);
    story_file(&b->s, f->min, f->max, &buf);
    if (buf.n == is.n && memcmp(buf.p, is.p, is.n) == 0) {
        wr_buf_release(&buf);
        return true;
    }
    T(!t_ltx_decode(wr_buf_bytes(&buf), &want));
    if (!t_ltx_decode(is, &got))
        right = t_ltx_same(&got, &want);
    t_ltx_release(&got);
    t_ltx_release(&want);
    wr_buf_release(&buf);
    return right;
}

static void rename_file(struct bench *b, size_t i)
{
    struct wr_ltx_file f = b->all.p[i];
    struct wr_bytes body = body_of(b, &f);
    uint8_t *p = copy_of(body, 0);
    struct wr_err e = {0};

    if (wr_rand_below(b->r, 2))
        f.level = (unsigned)wr_rand_below(b->r, WR_LEVEL_MAX + 1);
    if (wr_rand_below(b->r, 2))
        f.min = 1 + wr_rand_below(b->r, f.max);
    if (wr_rand_below(b->r, 2))
        f.max = f.min + wr_rand_below(b->r, b->s.n + 2);
    cut_name(b, i);
    if (!wr_ltx_files_find(&b->all, &f)) {
        put_body(b, &f, p, body.n);
        f.size = body.n;
        T_OK(wr_ltx_files_add(&b->all, &f, &e));
        wr_ltx_files_sort(&b->all);
    }
    test_free(p);
}

/* Do it, to file `i`. */
static void damage(struct bench *b, enum damage kind, size_t i)
{
    struct wr_ltx_file f = b->all.p[i], g = b->all.p[wr_rand_below(b->r, b->all.n)];
    struct wr_bytes body = body_of(b, &f);
    size_t n = body.n;
    uint8_t *p = copy_of(body, 40);

    b->hit = f;
    (void)snprintf(b->what, sizeof(b->what), "%s level %u %llu-%llu", names[kind], f.level,
        (unsigned long long)f.min, (unsigned long long)f.max);
    switch (kind) {
    case FLIP:
        p[wr_rand_below(b->r, n)] ^= (uint8_t)(1u << wr_rand_below(b->r, 8));
        put_body(b, &f, p, n);
        break;
    case CUT:
        put_body(b, &f, p, (size_t)wr_rand_below(b->r, n));
        break;
    case EXTEND:
        put_body(b, &f, p, n + 1 + (size_t)wr_rand_below(b->r, 30));
        break;
    case SWAP:
        body = body_of(b, &g);
        put_body(b, &f, body.p, body.n);
        put_body(b, &g, p, n);
        break;
    case STALE:
        story_put(&b->other, &b->w, f.level, f.min, f.max);
        break;
    case RENAME:
        rename_file(b, i);
        break;
    case DELETE:
        cut_name(b, i);
        break;
    case HOLE:
        for (size_t k = 1 + (size_t)wr_rand_below(b->r, 4); k > 0 && i < b->all.n; k--)
            cut_name(b, i);
        break;
    case DAMAGES:
        break;
    }
    test_free(p);
}

/* ---- the model ---- */

struct model {
    bool named[STORY_MAX * 2 + 8], can[STORY_MAX * 2 + 8]; /* by names; by files that are right */
    uint64_t newest;                                       /* by names */
    size_t points;
    bool wrong;   /* a file that can be of use by its name is not right */
    bool gap;     /* a file ends where none leads to by names ... */
    bool sure;    /* ... behind the newest point, or it is odd */
    bool gone;    /* something led there before, ... */
    bool beneath; /* ... and nobody has said so, as retention had left another one behind it */
    bool cut;     /* the newest file is gone */
    bool rolled;  /* one is gone that was there when the writer ended, and he has said so */
};

static void reach(const struct bench *b, bool right, bool *point)
{
    point[0] = true;
    for (uint64_t from = 0; from <= STORY_MAX * 2 + 2; from++) {
        for (size_t i = 0; i < b->all.n && point[from]; i++) {
            const struct wr_ltx_file *f = &b->all.p[i];

            if (!wr_ltx_file_odd(f) && !(right && b->bad[i]) && f->min - 1 <= from && from < f->max)
                point[f->max] = true;
        }
    }
}

/* Which files retention has left that nothing leads to. */
static void note_left(struct bench *b)
{
    bool named[STORY_MAX * 2 + 8] = {0};

    reach(b, false, named);
    for (size_t i = 0; i < b->before.n; i++)
        b->left[i] = !named[b->before.p[i].max];
}

/* Whether all behind it in its level are without a hole, so that its writer speaks of it. */
static bool is_in_run(const struct bench *b, const struct wr_ltx_file *f)
{
    uint64_t end = f->max;

    for (size_t i = 0; i < b->before.n && f->level < WR_LEVEL_SNAPSHOT; i++) {
        const struct wr_ltx_file *g = &b->before.p[i];

        if (g->level == f->level && g->min > f->min && g->min > end + 1)
            return false;
        if (g->level == f->level && g->min > f->min)
            end = wr_max(end, g->max);
    }
    return !wr_ltx_file_odd(f);
}

static bool is_rolled(const struct bench *b)
{
    bool any = false;

    for (size_t i = 0; i < b->before.n && b->says == REPLICA_ENDS; i++)
        any =
            any || (!wr_ltx_files_find(&b->all, &b->before.p[i]) && is_in_run(b, &b->before.p[i]));
    return any;
}

static struct model judge(struct bench *b, enum damage kind)
{
    struct model m = {0};
    uint64_t newest = 0;

    for (size_t i = 0; i < b->all.n; i++)
        b->bad[i] = b->all.p[i].max > b->s.n || !is_right(b, &b->all.p[i]);
    reach(b, false, m.named);
    reach(b, true, m.can);
    for (uint64_t t = 1; t < wr_countof(m.named); t++) {
        m.newest = m.named[t] ? t : m.newest;
        m.points += m.can[t];
    }
    for (size_t i = 0; i < b->all.n; i++) {
        const struct wr_ltx_file *f = &b->all.p[i];
        const struct wr_ltx_file *was = wr_ltx_files_find(&b->before, f);
        bool use = false;

        newest = wr_max(newest, f->max);
        if (!m.named[f->max] && was && !b->left[was - b->before.p]) {
            m.gone = m.gone || wr_extent_covers(&b->said, f);
            m.beneath = m.beneath || !wr_extent_covers(&b->said, f);
        }
        for (uint64_t from = f->min - 1; from < f->max && !wr_ltx_file_odd(f); from++)
            use = use || m.named[from];
        m.wrong = m.wrong || (use && b->bad[i]);
        m.gap = m.gap || !m.named[f->max];
        m.sure = m.sure || (!m.named[f->max] && (f->max > m.newest || wr_ltx_file_odd(f)));
    }
    m.cut = newest < b->s.n;
    m.rolled = kind != RENAME && is_rolled(b); /* the new name may stand for the old one */
    return m;
}

/* Whether a snapshot is the only witness of what it says: no other file ends with it, and none that
 * goes on from it is first of use there. If all of it is another database's, nobody can know. */
static bool is_lonely(const struct bench *b, const struct model *m, const struct wr_ltx_file *f)
{
    for (size_t i = 0; i < b->all.n && f->min == 1; i++) {
        const struct wr_ltx_file *g = &b->all.p[i];
        bool before = g->min == 1;

        if (g->max == f->max && wr_ltx_file_cmp(f, g) != 0)
            return false;
        for (uint64_t from = g->min - 1; from < f->max && !before; from++)
            before = m->named[from];
        if (!before && g->min - 1 <= f->max && g->max > f->max && !wr_ltx_file_odd(g))
            return false;
    }
    return f->min == 1;
}

/* Whether retention with some settings would have left the bucket as it is now, perhaps in the
 * middle of its work: of what it would delete of what there was, in the order of the listing. */
static bool is_retained(const struct bench *b)
{
    const struct wr_ltx_files *was = &b->before;
    struct wr_err e = {0};

    for (size_t i = 0; i < was->n; i++) {
        for (size_t k = 0; k < was->n; k++) {
            const struct wr_retention r = {
                .keep_ms = i ? (int64_t)b->s.n * 1000 - was->p[i].time_ms - 1 : 0,
                .l0_ms = k ? (int64_t)b->s.n * 1000 - was->p[k].time_ms - 1 : 0};
            enum wr_kept keep[512] = {WR_KEPT_NOT};
            bool over = false, good = true;

            if (r.keep_ms < 0 || r.l0_ms < 0)
                continue;
            T_OK(wr_retain(was->p, was->n, &r, keep, &e));
            for (size_t j = was->n; j-- > 0 && good;) {
                bool gone = !wr_ltx_files_find(&b->all, &was->p[j]);

                good = gone ? keep[j] == WR_KEPT_NOT : keep[j] != WR_KEPT_NOT || !over;
                over = over || gone;
            }
            if (good)
                return true;
        }
    }
    return false;
}

/* ---- one after the other ---- */

struct counts {
    size_t all, wrong, sure, maybe, maybe_told, untold, harmless;
    size_t said_gone, said_cut, said_beneath,
        said_harmless; /* where the writer has said what there must be */
    size_t rolled;     /* files that are gone, of a writer that has ended */
};

static void check(struct bench *b, enum damage kind, struct counts *n)
{
    struct wr_verify_result ret;
    struct found found;
    struct wr_err e = {0};
    struct model m = judge(b, kind);
    enum wr_status st = verify_it(&b->w, 2, &found, &ret, &e);

    n->all++;
    if (b->all.n == 0) {
        T_IS(WR_NOTFOUND, st);
        return;
    }
    if (kind == STALE && is_lonely(b, &m, &b->hit))
        return;
    if (m.wrong || m.sure) {
        n->wrong += m.wrong;
        n->sure += !m.wrong;
        if (st != WR_CORRUPT)
            fail_msg("%s: not found", b->what);
    } else if (m.rolled) {
        n->rolled++;
        if (st != WR_CORRUPT)
            fail_msg("%s: not told that files are gone", b->what);
    } else if (b->said.newest > 0) {
        n->said_gone += m.gone;
        n->said_cut += m.cut && !m.gone;
        n->said_beneath += m.beneath && !m.gone && !m.cut;
        n->said_harmless += !m.beneath && !m.gone && !m.cut;
        if (st != WR_CORRUPT && (m.gone || m.cut))
            fail_msg("%s: not told that files are missing", b->what);
        if (st != WR_OK && !m.gone && !m.cut && !m.beneath && kind != RENAME)
            fail_msg("%s: false alarm: %s", b->what, e.text);
    } else if (m.gap) {
        n->maybe++;
        n->maybe_told += st == WR_CORRUPT;
        n->untold += st == WR_OK && !is_retained(b);
        if (st == WR_CORRUPT && is_retained(b))
            fail_msg("%s: retention may have left it: %s", b->what, e.text);
        T(st == WR_CORRUPT || st == WR_OK);
        T(found.files == 0);
    } else {
        n->harmless++;
        if (st != WR_OK)
            fail_msg("%s: false alarm: %s", b->what, e.text);
    }
    /* A file of another history may be a point, only of that one. */
    if (kind != STALE && (ret.points > m.points || (ret.points < m.points && found.files == 0)))
        fail_msg("%s: %llu points, not %zu", b->what, (unsigned long long)ret.points, m.points);
    T((st == WR_OK) == (ret.findings == 0));
}

static void one(struct wr_rand *r, enum damage kind, enum replica_says says, struct counts *n)
{
    struct bench *b = test_calloc(1, sizeof(*b));
    size_t transactions = 1 + (size_t)wr_rand_below(r, STORY_MAX);
    struct wr_verify_result ret;
    struct found found;
    struct wr_err e = {0};

    b->r = r;
    world_init(&b->w, WR_STORAGE_LIST_TIME, "");
    replica_story(&b->s, r, 512, transactions, true);
    replica_story(&b->other, r, 512, transactions, true);
    b->says = says;
    replica_put(&b->s, &b->w, says, &b->all);
    if (says)
        T_OK(wr_extent_read(b->w.storage, t_call(), &b->said, &e));
    T_OK(verify_it(&b->w, 1, &found, &ret, &e));
    for (size_t i = 0; i < b->all.n; i++)
        T_OK(wr_ltx_files_add(&b->before, &b->all.p[i], &e));
    note_left(b);
    damage(b, kind, (size_t)wr_rand_below(r, b->all.n));
    check(b, kind, n);
    wr_ltx_files_release(&b->all);
    wr_ltx_files_release(&b->before);
    story_release(&b->s);
    story_release(&b->other);
    world_release(&b->w);
    test_free(b);
}

static void test_every_damage_is_told(void **state)
{
    const char *damages = getenv("WEIR_TEST_DAMAGES");
    struct counts n = {0};
    uint64_t rounds = 300;
    struct wr_rand r;

    (void)state;
    if (damages)
        T(wr_parse_u64(wr_str(damages), &rounds));
    wr_rand_init(&r, t_seed());
    for (uint64_t i = 0; i < rounds; i++)
        one(&r, (enum damage)(i % DAMAGES), (enum replica_says)(i / DAMAGES % 3), &n);
    print_message(
        "# %zu damages: %zu files and %zu ends, all told; of %zu holes %zu told, %zu were "
        "not retention's and not told, as they look like its; %zu harmless; where the writer says "
        "what there must be: %zu holes and %zu ends that were cut off, all told; %zu that nobody "
        "speaks of; %zu harmless; where he has ended: %zu with files gone, all told\n",
        n.all, n.wrong, n.sure, n.maybe, n.maybe_told, n.untold, n.harmless, n.said_gone,
        n.said_cut, n.said_beneath, n.said_harmless, n.rolled);
}

T_MAIN(T_TEST(test_every_damage_is_told))
