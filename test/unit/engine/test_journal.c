/*
 * test_journal.c - records against a list of them, through re-opens, torn tails and full disks.
 */
#include "engine/journal.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/mem.h"
#include "base/rand.h"
#include "harness/t.h"

#define RECS 4000
#define HEAD 88 /* bytes of a record before its entries */

struct rec {
    struct wr_journal_rec r;
    uint64_t noise; /* its entries are made of */
    bool may_go;    /* trimmed, if the journal saw fit */
};

struct model {
    struct wr_rand rng;
    const char *dir;
    struct wr_journal *j;
    struct rec *recs;
    size_t n;
    uint64_t txid;
};

static struct wr_bytes entries_of(const struct rec *rec, struct wr_buf *b)
{
    struct wr_rand r;
    size_t n = (size_t)rec->r.n * (rec->r.kind == WR_JOURNAL_CLOSE ? 12 : 4);
    uint8_t *p;

    wr_buf_init(b, (size_t)1 << 24);
    p = wr_buf_grow(b, n);
    T(p != NULL);
    wr_rand_init(&r, rec->noise);
    wr_rand_fill(&r, p, n);
    return wr_buf_bytes(b);
}

static bool same(const struct wr_journal_rec *a, const struct wr_journal_rec *b)
{
    return a->kind == b->kind && a->seq == b->seq && a->txid_before == b->txid_before &&
           a->txid == b->txid && a->rolling_before == b->rolling_before &&
           a->rolling == b->rolling && memcmp(a->pos.salt, b->pos.salt, 8) == 0 &&
           a->pos.frame == b->pos.frame && a->pos.cksum[0] == b->pos.cksum[0] &&
           a->pos.cksum[1] == b->pos.cksum[1] && a->commit_before == b->commit_before &&
           a->commit == b->commit && a->n == b->n;
}

static void model_open(struct model *m, uint64_t salt)
{
    struct wr_err e = {0};

    *m = (struct model){.dir = t_tmpdir(), .txid = 1};
    wr_rand_init(&m->rng, t_seed() + salt);
    m->recs = wr_array(RECS, sizeof(*m->recs));
    T(m->recs != NULL);
    T_OK(wr_journal_open(wr_fs_posix(), m->dir, &m->j, &e));
    T(wr_journal_bytes(m->j) == 0);
}

static void model_release(struct model *m)
{
    wr_journal_close(m->j);
    wr_free(m->recs);
}

static void random_rec(struct model *m, struct rec *rec)
{
    bool close = wr_rand_below(&m->rng, 2);

    *rec = (struct rec){.noise = wr_rand_u64(&m->rng)};
    rec->r.kind = close ? WR_JOURNAL_CLOSE : WR_JOURNAL_CAPTURE;
    rec->r.txid_before = m->txid;
    rec->r.txid = m->txid + close;
    rec->r.rolling_before = wr_rand_u64(&m->rng);
    rec->r.rolling = wr_rand_u64(&m->rng);
    wr_rand_fill(&m->rng, &rec->r.pos, sizeof(rec->r.pos));
    rec->r.commit_before = (uint32_t)wr_rand_u64(&m->rng);
    rec->r.commit = (uint32_t)wr_rand_u64(&m->rng);
    rec->r.n = (uint32_t)wr_rand_below(&m->rng, wr_rand_below(&m->rng, 8) ? 20 : 2000);
}

static enum wr_status append(struct model *m, struct rec *rec, struct wr_err *e)
{
    struct wr_buf b;
    struct wr_bytes entries = entries_of(rec, &b);
    enum wr_status st = wr_journal_append(m->j, &rec->r, entries, e);

    wr_buf_release(&b);
    if (st == WR_OK) {
        T(m->n < RECS);
        T(m->n == 0 || rec->r.seq > m->recs[m->n - 1].r.seq);
        m->recs[m->n++] = *rec;
        m->txid = rec->r.txid;
    }
    return st;
}

/* What `each` shows is the list, but for records that may go, which go from the front. */
struct walk {
    const struct model *m;
    size_t i;
    size_t seen;
};

static enum wr_status walk_one(
    void *arg, const struct wr_journal_rec *r, struct wr_bytes entries, struct wr_err *e)
{
    struct walk *w = arg;
    struct wr_buf b;
    struct wr_bytes want;

    (void)e;
    while (w->i < w->m->n && w->m->recs[w->i].r.seq != r->seq) {
        T(w->m->recs[w->i].may_go);
        w->i++;
    }
    T(w->i < w->m->n && same(&w->m->recs[w->i].r, r));
    want = entries_of(&w->m->recs[w->i], &b);
    T(want.n == entries.n && (want.n == 0 || memcmp(want.p, entries.p, want.n) == 0));
    wr_buf_release(&b);
    w->i++;
    w->seen++;
    return WR_OK;
}

static size_t check(const struct model *m, struct wr_journal *j)
{
    struct walk w = {.m = m};
    struct wr_err e = {0};

    T_OK(wr_journal_each(j, walk_one, &w, &e));
    while (w.i < m->n) {
        T(m->recs[w.i].may_go);
        w.i++;
    }
    return w.seen;
}

static void reopen(struct model *m)
{
    struct wr_err e = {0};

    wr_journal_close(m->j);
    T_OK(wr_journal_open(wr_fs_posix(), m->dir, &m->j, &e));
}

/* All that leads to `txid` may go: closes up to it, and captures that a later close took in. */
static void trim(struct model *m, uint64_t txid)
{
    struct wr_err e = {0};
    bool closed = false;

    T_OK(wr_journal_trim(m->j, txid, &e));
    for (size_t i = m->n; i-- > 0;) {
        const struct wr_journal_rec *r = &m->recs[i].r;

        if (r->kind == WR_JOURNAL_CLOSE)
            closed = true;
        if (r->kind == WR_JOURNAL_CLOSE ? r->txid <= txid : closed && r->txid <= txid)
            m->recs[i].may_go = true;
    }
}

static void test_random_records(void **state)
{
    struct model m;
    uint64_t bytes_max = 0;
    size_t seen = 0;

    (void)state;
    model_open(&m, 1);
    for (int i = 0; i < 3000; i++) {
        struct wr_err e = {0};
        struct rec rec;
        uint64_t what = wr_rand_below(&m.rng, 20);

        random_rec(&m, &rec);
        T_OK(append(&m, &rec, &e));
        if (what == 0)
            reopen(&m);
        if (what == 1)
            trim(&m, m.txid - wr_min(m.txid, wr_rand_below(&m.rng, 2) * 50));
        if (what == 2) { /* the newest was announced in vain */
            T_OK(wr_journal_drop_last(m.j, &m.recs[m.n - 1].r, &e));
            m.n--;
            m.txid = m.n ? m.recs[m.n - 1].r.txid : 1;
        }
        if (wr_rand_below(&m.rng, 30) == 0)
            seen += check(&m, m.j);
        bytes_max = wr_max(bytes_max, wr_journal_bytes(m.j));
    }
    T(seen > 0);
    /* Trimmed that often, neither file grows much beyond the size at which they take turns. */
    T(bytes_max > ((uint64_t)256 << 10) && bytes_max < ((uint64_t)1 << 20));
    model_release(&m);
}

/* A capture at the end of the full file is needed until a close in its successor has taken it in.
 */
static void test_open_tail_outlives_its_acknowledgement(void **state)
{
    struct model m;
    struct wr_err e = {0};
    struct rec rec;
    size_t before;

    (void)state;
    model_open(&m, 7);
    while (wr_journal_bytes(m.j) <= (uint64_t)256 << 10) {
        do {
            random_rec(&m, &rec);
        } while (wr_journal_bytes(m.j) > 100000 && rec.r.kind != WR_JOURNAL_CAPTURE);
        T_OK(append(&m, &rec, &e));
    }
    for (int i = 0; i < 3; i++) {
        trim(&m, m.txid);
        (void)check(&m, m.j);
        reopen(&m);
        do {
            random_rec(&m, &rec);
        } while (rec.r.kind != WR_JOURNAL_CAPTURE);
        T_OK(append(&m, &rec, &e)); /* the first of them begins the other file */
    }
    before = check(&m, m.j);
    do {
        random_rec(&m, &rec);
    } while (rec.r.kind != WR_JOURNAL_CLOSE);
    T_OK(append(&m, &rec, &e));
    trim(&m, m.txid);
    T(check(&m, m.j) < before); /* the old file is gone */
    reopen(&m);
    (void)check(&m, m.j);
    model_release(&m);
}

static void test_clear_and_empty(void **state)
{
    struct model m;
    struct wr_err e = {0};
    struct rec rec;

    (void)state;
    model_open(&m, 2);
    T(check(&m, m.j) == 0);
    reopen(&m);
    for (int i = 0; i < 10; i++) {
        random_rec(&m, &rec);
        T_OK(append(&m, &rec, &e));
    }
    T(wr_journal_bytes(m.j) > 0);
    T_OK(wr_journal_clear(m.j, &e));
    T(wr_journal_bytes(m.j) == 0);
    m.n = 0;
    T(check(&m, m.j) == 0);
    reopen(&m);
    T(wr_journal_bytes(m.j) == 0);
    wr_journal_close(NULL);
    model_release(&m);
}

/* Whatever was cut off or changed, what is shown is a beginning of the list. */
static void test_torn_and_foreign_tails(void **state)
{
    struct model m;
    struct wr_err e = {0};
    struct wr_bytes whole;
    size_t ends[40];
    const char *path;

    (void)state;
    model_open(&m, 3);
    path = t_path(m.dir, "journal.0");
    for (int i = 0; i < 40; i++) {
        struct rec rec;

        random_rec(&m, &rec);
        rec.r.n = (uint32_t)wr_rand_below(&m.rng, 30);
        T_OK(append(&m, &rec, &e));
        ends[i] = (size_t)wr_journal_bytes(m.j);
    }
    wr_journal_close(m.j);
    m.j = NULL;
    whole = t_slurp(path);
    T(whole.n == ends[39]);
    for (int i = 0; i < 1500; i++) {
        uint8_t *p = wr_alloc(whole.n + 100);
        size_t n = whole.n, at = (size_t)wr_rand_below(&m.rng, whole.n);
        size_t intact = 0;

        T(p != NULL);
        memcpy(p, whole.p, whole.n);
        switch (wr_rand_below(&m.rng, 3)) {
        case 0: /* cut */
            n = at;
            break;
        case 1: /* one byte is another */
            p[at] ^= (uint8_t)(1 + wr_rand_below(&m.rng, 255));
            break;
        default: /* something else follows */
            at = whole.n;
            n += 100;
            wr_rand_fill(&m.rng, p + whole.n, 100);
            break;
        }
        while (intact < 40 && ends[intact] <= at)
            intact++;
        t_spew(path, p, n);
        wr_free(p);
        T_OK(wr_journal_open(wr_fs_posix(), m.dir, &m.j, &e));
        T(wr_journal_bytes(m.j) == (intact ? ends[intact - 1] : 0));
        m.n = intact;
        T(check(&m, m.j) == intact);
        /* The next record takes the place of what was torn. */
        struct rec hidden = m.recs[intact], next;

        random_rec(&m, &next);
        T_OK(append(&m, &next, &e));
        reopen(&m);
        T(check(&m, m.j) == intact + 1);
        m.recs[intact] = hidden;
        wr_journal_close(m.j);
        m.j = NULL;
    }
    model_release(&m);
}

/* ---- a disk that fills up ---- */

static bool full;
static size_t read_max; /* bytes asked for at once */

struct full_file {
    struct wr_file file;
    struct wr_file *real;
};

static struct wr_file *real_of(struct wr_file *f)
{
    return wr_container_of(f, struct full_file, file)->real;
}

static enum wr_status full_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    static struct full_file files[2]; /* one journal at a time */
    struct full_file *f = &files[path[strlen(path) - 1] == '1'];

    f->file.fs = fs;
    *ret = &f->file;
    return wr_file_open(wr_fs_posix(), path, flags, mode, &f->real, e);
}

static void full_close(struct wr_file *f)
{
    wr_file_close(real_of(f));
}

static enum wr_status full_pread(
    struct wr_file *f, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    read_max = wr_max(read_max, n);
    return wr_file_pread(real_of(f), buf, n, off, got, e);
}

/* All of it arrives, and yet it counts as failed. */
static enum wr_status full_pwrite(
    struct wr_file *f, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    enum wr_status st = wr_file_pwrite(real_of(f), buf, n, off, e);

    return full ? wr_fail(e, WR_LIMIT, "disk full on purpose") : st;
}

static enum wr_status full_truncate(struct wr_file *f, uint64_t size, struct wr_err *e)
{
    return wr_file_truncate(real_of(f), size, e);
}

static enum wr_status full_info(struct wr_file *f, struct wr_file_info *ret, struct wr_err *e)
{
    return wr_file_info(real_of(f), ret, e);
}

static const struct wr_fs full_fs = {
    .open = full_open,
    .close = full_close,
    .pread = full_pread,
    .pwrite = full_pwrite,
    .truncate = full_truncate,
    .info = full_info,
};

/* A journal with one record that has no entries: the bytes of its head. */
static void written_head(const char *dir, struct wr_journal_rec *rec, uint8_t head[HEAD])
{
    struct wr_journal *j = NULL;
    struct wr_bytes file;
    struct wr_err e = {0};

    T_OK(wr_journal_open(wr_fs_posix(), dir, &j, &e));
    T_OK(wr_journal_append(j, rec, (struct wr_bytes){0}, &e));
    wr_journal_close(j);
    file = t_slurp(t_path(dir, "journal.0"));
    T(file.n == HEAD);
    memcpy(head, file.p, HEAD);
}

/* What a torn or foreign head claims, the file has to have before memory is taken for it. */
static void test_a_head_claims_more_than_its_file(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_journal_rec rec = {.kind = WR_JOURNAL_CLOSE};
    uint8_t head[HEAD];
    struct wr_journal *j = NULL;
    struct wr_err e = {0};

    (void)state;
    written_head(dir, &rec, head);
    wr_put_le32(head + 76, WR_JOURNAL_ENTRIES_MAX);
    t_spew(t_path(dir, "journal.0"), head, sizeof(head));
    read_max = 0;
    T_OK(wr_journal_open(&full_fs, dir, &j, &e));
    T(wr_journal_bytes(j) == 0 && read_max <= sizeof(head));
    wr_journal_close(j);
}

/* A foreign record has the last number there is; what is written after it must not be lost. */
static void test_a_number_without_a_successor(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_journal_rec rec = {.kind = WR_JOURNAL_CLOSE, .txid = 5};
    uint8_t head[HEAD];
    struct wr_journal *j = NULL;
    struct wr_err e = {0};
    uint64_t size;

    (void)state;
    written_head(dir, &rec, head);
    wr_put_le64(head + 8, UINT64_MAX);
    wr_put_le64(head + 80, wr_crc64(0, head, 80));
    t_spew(t_path(dir, "journal.0"), head, sizeof(head));
    T_OK(wr_journal_open(wr_fs_posix(), dir, &j, &e));
    T_OK(wr_journal_append(j, &rec, (struct wr_bytes){0}, &e));
    size = wr_journal_bytes(j);
    wr_journal_close(j);
    T_OK(wr_journal_open(wr_fs_posix(), dir, &j, &e));
    T(wr_journal_bytes(j) == size);
    wr_journal_close(j);
}

static enum wr_status count_one(
    void *arg, const struct wr_journal_rec *r, struct wr_bytes entries, struct wr_err *e)
{
    size_t *n = arg;

    (void)r;
    (void)entries;
    (void)e;
    ++*n;
    return WR_OK;
}

/* What followed it could not be read back: first never, then not by the next start, which took the
 * last number for the last record. */
static void test_what_followed_the_last_number_was_not_found(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_journal_rec rec = {.kind = WR_JOURNAL_CLOSE, .txid = 5};
    uint8_t head[HEAD];
    struct wr_journal *j = NULL;
    struct wr_err e = {0};

    (void)state;
    written_head(dir, &rec, head);
    wr_put_le64(head + 8, UINT64_MAX / 2);
    wr_put_le64(head + 80, wr_crc64(0, head, 80));
    t_spew(t_path(dir, "journal.0"), head, sizeof(head));
    T_OK(wr_journal_open(wr_fs_posix(), dir, &j, &e));
    T(wr_journal_bytes(j) == sizeof(head));
    for (size_t n = 1; n < 4; n++) {
        size_t seen = 0;

        T_OK(wr_journal_append(j, &rec, (struct wr_bytes){0}, &e));
        T_OK(wr_journal_each(j, count_one, &seen, &e));
        T(seen == n);
    }
    wr_journal_close(j);
    T_OK(wr_journal_open(wr_fs_posix(), dir, &j, &e));
    T(wr_journal_bytes(j) == 3 * sizeof(head));
    wr_journal_close(j);
}

static void test_failed_append_leaves_nothing(void **state)
{
    struct model m;
    struct wr_err e = {0};

    (void)state;
    model_open(&m, 4);
    wr_journal_close(m.j);
    T_OK(wr_journal_open(&full_fs, m.dir, &m.j, &e));
    for (int i = 0; i < 300; i++) {
        struct rec rec;
        uint64_t bytes = wr_journal_bytes(m.j);

        random_rec(&m, &rec);
        full = wr_rand_below(&m.rng, 2);
        T_IS(full ? WR_LIMIT : WR_OK, append(&m, &rec, &e));
        if (full)
            T(wr_journal_bytes(m.j) == bytes);
        full = false;
        if (wr_rand_below(&m.rng, 10) == 0) {
            wr_journal_close(m.j);
            T_OK(wr_journal_open(&full_fs, m.dir, &m.j, &e));
        }
        T(check(&m, m.j) == m.n);
    }
    model_release(&m);
}

struct sweep {
    const char *dir;
    struct rec rec;
    struct wr_bytes entries;
};

static enum wr_status sweep_all(void *arg)
{
    struct sweep *s = arg;
    struct wr_journal *j = NULL;
    struct wr_err e = {0};
    size_t before = 0, after = 0;
    enum wr_status st = wr_journal_open(wr_fs_posix(), s->dir, &j, &e);

    if (st == WR_OK)
        st = wr_journal_each(j, count_one, &before, &e);
    if (st == WR_OK) {
        st = wr_journal_append(j, &s->rec.r, s->entries, &e);
        if (wr_journal_each(j, count_one, &after, &e) == WR_OK)
            T(after == before + (st == WR_OK));
    }
    if (st == WR_OK)
        st = wr_journal_drop_last(j, &s->rec.r, &e);
    if (st == WR_OK)
        st = wr_journal_trim(j, 100, &e);
    wr_journal_close(j);
    return st;
}

static void test_no_memory(void **state)
{
    struct model m;
    struct sweep s;
    struct wr_err e = {0};
    struct wr_buf b;

    (void)state;
    model_open(&m, 5);
    for (int i = 0; i < 3; i++) {
        random_rec(&m, &s.rec);
        T_OK(append(&m, &s.rec, &e));
    }
    wr_journal_close(m.j);
    m.j = NULL;
    s.dir = m.dir;
    s.entries = entries_of(&s.rec, &b);
    t_sweep_nomem(sweep_all, &s);
    wr_buf_release(&b);
    model_release(&m);
}

static enum wr_status stop_at_once(
    void *arg, const struct wr_journal_rec *r, struct wr_bytes entries, struct wr_err *e)
{
    (void)r;
    (void)entries;
    ++*(size_t *)arg;
    return wr_fail(e, WR_CANCELED, "enough");
}

static void test_callback_ends_the_walk(void **state)
{
    struct model m;
    struct wr_err e = {0};
    struct wr_journal *none = NULL;
    struct rec rec;
    size_t n = 0;

    (void)state;
    model_open(&m, 6);
    for (int i = 0; i < 2; i++) {
        random_rec(&m, &rec);
        T_OK(append(&m, &rec, &e));
    }
    T_IS(WR_CANCELED, wr_journal_each(m.j, stop_at_once, &n, &e));
    T(n == 1);
    T_IS(WR_NOTFOUND, wr_journal_open(wr_fs_posix(), t_path(m.dir, "absent"), &none, &e));
    T(none == NULL && strstr(e.text, "open the journal in") != NULL);
    model_release(&m);
}

T_MAIN(T_TEST(test_random_records), T_TEST(test_open_tail_outlives_its_acknowledgement),
    T_TEST(test_clear_and_empty), T_TEST(test_torn_and_foreign_tails),
    T_TEST(test_a_head_claims_more_than_its_file), T_TEST(test_a_number_without_a_successor),
    T_TEST(test_what_followed_the_last_number_was_not_found),
    T_TEST(test_failed_append_leaves_nothing), T_TEST(test_no_memory),
    T_TEST(test_callback_ends_the_walk))
