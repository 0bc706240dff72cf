/*
 * ledger_model.h - a ledger beside a model that keeps every state there ever was, on a disk that
 * shows what is written to it and can be full; and images of what is on that disk.
 */
#ifndef WR_TEST_LEDGER_MODEL_H
#define WR_TEST_LEDGER_MODEL_H

#include "engine/ledger.h"

#include "base/mem.h"
#include "base/rand.h"
#include "harness/t.h"
#include "ltx/ltx.h"

#include <sys/stat.h>

#define PAGES     600 /* of the largest database */
#define LOCK_PGNO 17u
#define STATES    2600
#define FRAMES    4200
#define FILES     3

static const char *const file_names[FILES] = {"ledger", "journal.0", "journal.1"};

/* ---- a disk that shows what is on it at every write, and can fill up ---- */

static struct {
    void (*before)(void *arg, const void *p, size_t n, uint64_t off, const char *name);
    void *arg;
    bool full; /* every write fails half-way */
} disk;

struct spy_file {
    struct wr_file file;
    struct wr_file *real;
    char name[16];
};

static inline struct spy_file *spy_of(struct wr_file *f)
{
    return wr_container_of(f, struct spy_file, file);
}

static inline enum wr_status spy_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    struct spy_file *f = wr_alloc(sizeof(*f));
    enum wr_status st;

    if (!f)
        return wr_fail(e, WR_NOMEM, "open");
    st = wr_file_open(wr_fs_posix(), path, flags, mode, &f->real, e);
    if (st != WR_OK) {
        wr_free(f);
        return st;
    }
    f->file.fs = fs;
    (void)snprintf(f->name, sizeof(f->name), WR_FMT, WR_ARG(wr_path_base(path)));
    *ret = &f->file;
    return WR_OK;
}

static inline void spy_close(struct wr_file *f)
{
    wr_file_close(spy_of(f)->real);
    wr_free(spy_of(f));
}

static inline enum wr_status spy_pread(
    struct wr_file *f, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    return wr_file_pread(spy_of(f)->real, buf, n, off, got, e);
}

static inline enum wr_status spy_pwrite(
    struct wr_file *f, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    if (disk.before)
        disk.before(disk.arg, buf, n, off, spy_of(f)->name);
    if (disk.full) {
        (void)!wr_file_pwrite(spy_of(f)->real, buf, n / 2, off, NULL);
        return wr_fail(e, WR_LIMIT, "disk full on purpose");
    }
    return wr_file_pwrite(spy_of(f)->real, buf, n, off, e);
}

static inline enum wr_status spy_sync(struct wr_file *f, struct wr_err *e)
{
    return wr_file_sync(spy_of(f)->real, e);
}

static inline enum wr_status spy_truncate(struct wr_file *f, uint64_t size, struct wr_err *e)
{
    if (disk.before)
        disk.before(disk.arg, NULL, 0, size, spy_of(f)->name);
    return wr_file_truncate(spy_of(f)->real, size, e);
}

static inline enum wr_status spy_info(struct wr_file *f, struct wr_file_info *ret, struct wr_err *e)
{
    return wr_file_info(spy_of(f)->real, ret, e);
}

static inline enum wr_status spy_map(struct wr_file *f, size_t size, void **ret, struct wr_err *e)
{
    return wr_fs_posix()->map(spy_of(f)->real, size, ret, e);
}

static inline void spy_unmap(struct wr_file *f, void *p, size_t size)
{
    wr_fs_posix()->unmap(spy_of(f)->real, p, size);
}

static inline void spy_map_idle(struct wr_file *f, void *p, size_t size)
{
    wr_fs_posix()->map_idle(spy_of(f)->real, p, size);
}

static inline void spy_flush_hint(struct wr_file *f, uint64_t off, uint64_t n)
{
    wr_fs_posix()->flush_hint(spy_of(f)->real, off, n);
}

static inline enum wr_status spy_lock(struct wr_file *f, struct wr_err *e)
{
    return wr_fs_posix()->lock(spy_of(f)->real, e);
}

static inline enum wr_status spy_sync_dir(
    const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    (void)fs;
    return wr_fs_posix()->sync_dir(wr_fs_posix(), path, e);
}

static const struct wr_fs spy_fs = {
    .open = spy_open,
    .close = spy_close,
    .pread = spy_pread,
    .pwrite = spy_pwrite,
    .sync = spy_sync,
    .truncate = spy_truncate,
    .info = spy_info,
    .map = spy_map,
    .unmap = spy_unmap,
    .map_idle = spy_map_idle,
    .lock = spy_lock,
    .sync_dir = spy_sync_dir,
};

/* The real file system with these in its place. */
static inline struct wr_fs spied_fs(void)
{
    struct wr_fs fs = *wr_fs_posix();

    fs.open = spy_open;
    fs.close = spy_close;
    fs.pread = spy_pread;
    fs.pwrite = spy_pwrite;
    fs.sync = spy_sync;
    fs.truncate = spy_truncate;
    fs.info = spy_info;
    fs.map = spy_map;
    fs.unmap = spy_unmap;
    fs.map_idle = spy_map_idle;
    fs.flush_hint = spy_flush_hint;
    fs.lock = spy_lock;
    return fs;
}

/* ---- the model ---- */

struct state {
    uint64_t txid, rolling;
    uint32_t commit;
    struct wr_pos pos;
    uint64_t page[PAGES + 1];
    bool changed[PAGES + 1]; /* by this TXID, the pages that it cut off included */
};

struct model {
    struct wr_rand rng;
    const char *dir;
    struct wr_ledger *l;
    struct state *states; /* all closed ones since the last fill */
    size_t n;
    uint64_t acked;
    uint32_t frame;           /* of the last capture; frames are never used again */
    bool (*log)[PAGES + 1];   /* by frame: pages that were captured with it */
    bool captured[PAGES + 1]; /* since the last close */
    struct wr_pos noted;      /* position that the ledger is to report */
    bool gap;                 /* a note failed since the last close: it may report an older one */
};

static inline uint64_t draw(struct model *m, uint64_t n)
{
    return wr_rand_below(&m->rng, n);
}

static inline struct state *last(struct model *m)
{
    return &m->states[m->n - 1];
}

static inline struct wr_pos pos_at(uint32_t frame)
{
    struct wr_pos p = {.frame = frame, .cksum = {frame * 7919u, ~frame}};

    memset(p.salt, (int)(frame % 251), sizeof(p.salt));
    return p;
}

static inline bool pos_same(const struct wr_pos *a, const struct wr_pos *b)
{
    return memcmp(a->salt, b->salt, sizeof(a->salt)) == 0 && a->frame == b->frame &&
           a->cksum[0] == b->cksum[0] && a->cksum[1] == b->cksum[1];
}

static inline uint64_t sum_of(const struct state *s)
{
    uint64_t x = 0;

    for (uint32_t i = 1; i <= s->commit; i++)
        x ^= s->page[i];
    return x | WR_LTX_CHECKSUM_EMPTY;
}

static inline uint64_t random_sum(struct model *m)
{
    return wr_rand_u64(&m->rng) | WR_LTX_CHECKSUM_EMPTY;
}

static inline bool has(const struct wr_pageset *s, uint32_t pgno)
{
    uint32_t mark;

    return s->all || wr_pgmap_get(&s->map, pgno, &mark);
}

static inline void open_ledger(struct model *m)
{
    struct wr_err e = {0};

    T_OK(wr_ledger_open(&spy_fs, m->dir, 4096, LOCK_PGNO, 1, &m->l, &e));
}

/* The ledger is exactly this state. */
static inline void check_state(const struct wr_ledger *l, const struct state *s)
{
    struct wr_ledger_state now = wr_ledger_state(l);

    T(now.txid == s->txid);
    T(now.rolling == s->rolling);
    T(now.commit == s->commit);
    for (uint32_t i = 0; i <= PAGES; i++)
        T(wr_ledger_page(l, i) == (i >= 1 && i <= s->commit ? s->page[i] : 0));
}

static inline void model_fill(struct model *m, uint64_t txid)
{
    struct wr_err e = {0};
    struct state *s = &m->states[0];
    uint32_t commit = 1 + (uint32_t)draw(m, 300);
    struct wr_pos pos = pos_at(++m->frame);

    *s = (struct state){.txid = txid, .commit = commit, .pos = pos};
    T_OK(wr_ledger_fill_begin(m->l, commit, &e));
    T(wr_ledger_state(m->l).txid == 0);
    for (uint32_t i = 1; i <= commit; i++) {
        s->page[i] = i == LOCK_PGNO ? 0 : random_sum(m);
        if (i != LOCK_PGNO)
            wr_ledger_fill(m->l, i, s->page[i]);
    }
    s->rolling = sum_of(s);
    T(wr_ledger_fill_rolling(m->l) == s->rolling);
    T_OK(wr_ledger_fill_end(m->l, txid, &pos, &e));
    m->n = 1;
    m->acked = txid;
    m->noted = pos;
    memset(m->captured, 0, sizeof(m->captured));
    check_state(m->l, s);
}

/* Random pages are captured; `count` of them, marked in m->captured. */
static inline void model_capture(struct model *m, uint32_t top, uint64_t count)
{
    m->frame++;
    T(m->frame < FRAMES);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t p = 1 + (uint32_t)draw(m, top);

        if (p != LOCK_PGNO)
            m->captured[p] = m->log[m->frame][p] = true;
    }
}

/* The next state: what was captured changes, the database may grow or shrink. */
static inline void next_state(struct model *m, struct state *s)
{
    const struct state *was = last(m);

    *s = *was;
    memset(s->changed, 0, sizeof(s->changed));
    s->txid += draw(m, 10) ? 1 : 1 + draw(m, 1000);
    if (draw(m, 3) == 0)
        s->commit = 1 + (uint32_t)draw(m, draw(m, 8) ? 320 : PAGES);
    s->pos = pos_at(m->frame);
    for (uint32_t i = 1; i <= PAGES; i++) {
        bool grown = i > was->commit && i <= s->commit && i != LOCK_PGNO;

        if (i > s->commit) {
            s->changed[i] = i <= was->commit;
            s->page[i] = 0;
        } else if (m->captured[i] || grown) {
            s->changed[i] = true;
            s->page[i] = draw(m, 20) ? random_sum(m) : was->page[i]; /* or as it was */
            if (s->page[i] == 0)
                s->page[i] = random_sum(m);
        }
    }
    s->rolling = sum_of(s);
}

static inline size_t changes_of(const struct state *s, struct wr_ledger_change *out)
{
    size_t n = 0;

    for (uint32_t i = 1; i <= s->commit; i++) {
        if (s->changed[i])
            out[n++] = (struct wr_ledger_change){i, s->page[i]};
    }
    return n;
}

static inline enum wr_status close_state(struct model *m, const struct state *s, struct wr_err *e)
{
    struct wr_ledger_change changes[PAGES];
    size_t n = changes_of(s, changes);

    T(wr_ledger_rolling_after(m->l, changes, n, s->commit) == s->rolling);
    return wr_ledger_close_txid(m->l, s->txid, changes, n, s->commit, &s->pos, e);
}

static inline void model_closed(struct model *m, const struct state *s)
{
    T(m->n < STATES);
    m->states[m->n++] = *s;
    m->noted = s->pos;
    m->gap = false;
    memset(m->captured, 0, sizeof(m->captured));
}

static inline void model_close(struct model *m)
{
    struct wr_err e = {0};
    struct state *s = wr_alloc(sizeof(*s));

    T(s != NULL);
    next_state(m, s);
    T_OK(close_state(m, s, &e));
    model_closed(m, s);
    wr_free(s);
    T(wr_pageset_empty(wr_ledger_pending(m->l)));
    check_state(m->l, last(m));
}

static inline enum wr_status note_captured(struct model *m, struct wr_err *e)
{
    struct wr_pageset set;
    struct wr_pos pos = pos_at(m->frame);
    enum wr_status st;

    wr_pageset_init(&set);
    for (uint32_t f = m->noted.frame + 1; f <= m->frame; f++) {
        for (uint32_t i = 1; i <= PAGES; i++) {
            if (m->log[f][i])
                wr_pageset_add(&set, i);
        }
    }
    st = wr_ledger_note(m->l, &set, &pos, e);
    if (st == WR_OK)
        m->noted = pos;
    wr_pageset_release(&set);
    return st;
}

/* Everything captured after the close, up to the position that the ledger names, is pending. */
static inline void check_pending(
    const struct model *m, const struct wr_ledger *l, const struct state *s)
{
    struct wr_pos pos = wr_ledger_state(l).pos, made = pos_at(pos.frame);

    T(pos_same(&pos, &made) && pos.frame >= s->pos.frame);
    for (uint32_t f = s->pos.frame + 1; f <= pos.frame; f++) {
        for (uint32_t i = 1; i <= PAGES; i++)
            T(!m->log[f][i] || has(wr_ledger_pending(l), i));
    }
}

/* What lies between the state `s` and the newest one, `to`. */
static inline void check_since(
    struct wr_ledger *l, const struct state *s, const struct state *to, bool must)
{
    struct wr_err e = {0};
    struct wr_pageset out;
    bool known = false;

    wr_pageset_init(&out);
    wr_pageset_add(&out, 4000); /* what is there stays */
    T_OK(wr_ledger_since(l, s->txid, s->rolling, &out, &known, &e));
    T(known || !must);
    T(has(&out, 4000));
    if (!known)
        T(out.map.n == 1);
    for (uint32_t p = 1; p <= PAGES && known; p++) {
        if (p <= to->commit && s->page[p] != to->page[p])
            T(has(&out, p));
    }
    /* A state that never was. */
    known = true;
    T_OK(wr_ledger_since(l, s->txid, s->rolling ^ 2, &out, &known, &e));
    T(!known);
    T_OK(wr_ledger_since(l, to->txid + 1, s->rolling, &out, &known, &e));
    T(!known);
    wr_pageset_release(&out);
}

static inline void check_history(struct model *m)
{
    for (int i = 0; i < 3; i++) {
        const struct state *from = &m->states[draw(m, m->n)];

        check_since(m->l, from, last(m), from->txid >= m->acked);
    }
}

static inline void model_open(struct model *m, const char *dir, uint64_t salt)
{
    *m = (struct model){.dir = dir};
    wr_rand_init(&m->rng, t_seed() + salt);
    m->states = wr_array(STATES, sizeof(*m->states));
    m->log = wr_array(FRAMES, sizeof(*m->log));
    T(m->states != NULL && m->log != NULL);
    T(mkdir(dir, 0700) == 0);
    open_ledger(m);
    T(wr_ledger_state(m->l).txid == 0);
    T(wr_ledger_state(m->l).rolling == WR_LTX_CHECKSUM_EMPTY);
}

static inline void model_release(struct model *m)
{
    wr_ledger_close(m->l);
    wr_free(m->states);
    wr_free(m->log);
}

static inline void random_step(struct model *m)
{
    struct wr_err e = {0};
    uint64_t what = draw(m, 100);

    model_capture(m, last(m)->commit, draw(m, draw(m, 10) ? 12 : 200));
    if (what % 4 == 0)
        wr_ledger_idle(m->l);
    if (what < 55) {
        model_close(m);
    } else if (what < 85) {
        T_OK(note_captured(m, &e));
    } else if (what < 95) {
        uint64_t i = draw(m, m->n);

        m->acked = wr_max(m->acked, m->states[i].txid);
        T_OK(wr_ledger_ack(m->l, m->states[i].txid, &e));
    } else {
        wr_ledger_close(m->l);
        open_ledger(m);
        check_state(m->l, last(m));
        struct wr_pos pos = wr_ledger_state(m->l).pos;
        T(pos_same(&pos, &m->noted) || (m->gap && pos.frame < m->noted.frame));
        check_pending(m, m->l, last(m));
        m->noted = pos;
    }
}

/* ---- what is on the disk ---- */

struct image {
    uint8_t *p[FILES];
    size_t n[FILES];
};

static inline void image_release(struct image *im)
{
    for (int i = 0; i < FILES; i++)
        wr_free(im->p[i]);
    *im = (struct image){0};
}

/* Plain reads: they see what was stored through the mapping, as the next process would. */
static inline void image_take(struct image *im, const char *dir)
{
    char path[512];

    for (int i = 0; i < FILES; i++) {
        FILE *f;
        struct stat st;

        (void)snprintf(path, sizeof(path), "%s/%s", dir, file_names[i]);
        f = fopen(path, "rb");
        T(f && fstat(fileno(f), &st) == 0);
        im->n[i] = (size_t)st.st_size;
        im->p[i] = wr_alloc(im->n[i]);
        T(im->p[i] && fread(im->p[i], 1, im->n[i], f) == im->n[i]);
        T(fclose(f) == 0);
    }
}

static inline void image_put(const struct image *im, const char *dir)
{
    char path[512];

    for (int i = 0; i < FILES; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, file_names[i]);
        t_spew(path, im->p[i], im->n[i]);
    }
}

static inline void image_copy(struct image *to, const struct image *from)
{
    for (int i = 0; i < FILES; i++) {
        to->n[i] = from->n[i];
        to->p[i] = wr_alloc(from->n[i]);
        T(to->p[i] != NULL);
        if (from->n[i] > 0)
            memcpy(to->p[i], from->p[i], from->n[i]);
    }
}

#endif
