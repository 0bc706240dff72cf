/*
 * test_ledger_crash.c - the ledger after kills at every write and every store, and after power
 * cuts.
 */
#include "unit/engine/ledger_model.h"

/* The write of `n` bytes at `off` as far as `done` bytes of it. */
static void image_write(struct image *im, int i, const void *p, size_t done, uint64_t off)
{
    if (done == 0)
        return;
    if (off + done > im->n[i]) {
        uint8_t *more = wr_alloc((size_t)off + done);

        T(more != NULL);
        memcpy(more, im->p[i], im->n[i]);
        wr_free(im->p[i]);
        im->p[i] = more;
        im->n[i] = (size_t)off + done;
    }
    memcpy(im->p[i] + off, p, done);
}

#define IMAGES_MAX 256

struct killer {
    struct model *m;
    struct image images[IMAGES_MAX];
    size_t n;
};

static void keep_images(void *arg, const void *p, size_t n, uint64_t off, const char *name)
{
    struct killer *k = arg;
    int i = 0;

    while (i < FILES - 1 && strcmp(file_names[i], name) != 0)
        i++;
    for (int torn = 0; torn < 2 && k->n < IMAGES_MAX; torn++) {
        struct image *im = &k->images[k->n++];

        image_take(im, k->m->dir);
        if (torn && p)
            image_write(im, i, p, (size_t)draw(k->m, n), off);
    }
}

/* Open the image as the next process would: it is the model's last state or one of `also`. */
static void check_image(
    struct model *m, const struct image *im, const char *dir, const struct state *also)
{
    struct wr_err e = {0};
    struct wr_ledger *l = NULL;
    uint64_t txid;

    image_put(im, dir);
    T_OK(wr_ledger_open(wr_fs_posix(), dir, 4096, LOCK_PGNO, 1, &l, &e));
    txid = wr_ledger_state(l).txid;
    if (also && txid == also->txid) {
        struct wr_pos pos = wr_ledger_state(l).pos;

        check_state(l, also);
        T(pos_same(&pos, &also->pos));
    } else {
        check_state(l, last(m));
        check_pending(m, l, last(m));
        for (int i = 0; i < 2; i++) {
            const struct state *from = &m->states[draw(m, m->n)];

            check_since(l, from, last(m), from->txid >= m->acked);
        }
    }
    wr_ledger_close(l);
}

/* Kill during one step, at each of its writes and in the middle of them. */
static void kill_step(struct model *m, struct killer *k, const char *dir)
{
    struct wr_err e = {0};
    struct state *s = wr_alloc(sizeof(*s));
    uint64_t what = draw(m, 4);

    T(s != NULL);
    model_capture(m, last(m)->commit, draw(m, 30));
    next_state(m, s);
    disk.before = keep_images;
    disk.arg = k;
    k->m = m;
    k->n = 0;
    if (what < 2) {
        T_OK(close_state(m, s, &e));
    } else if (what < 3) {
        T_OK(note_captured(m, &e));
    } else {
        uint64_t i = draw(m, m->n);

        m->acked = wr_max(m->acked, m->states[i].txid);
        T_OK(wr_ledger_ack(m->l, m->states[i].txid, &e));
    }
    disk.before = NULL;
    if (k->n < IMAGES_MAX)
        image_take(&k->images[k->n++], m->dir);
    for (size_t i = 0; i < k->n; i++) {
        check_image(m, &k->images[i], dir, what < 2 ? s : NULL);
        image_release(&k->images[i]);
    }
    if (what < 2)
        model_closed(m, s);
    wr_free(s);
}

static void test_kill_at_every_write(void **state)
{
    const char *dir = t_tmpdir();
    const char *copy = t_path(dir, "copy");
    struct killer *k = wr_alloc(sizeof(*k));
    struct model m;

    (void)state;
    T(k != NULL && mkdir(copy, 0700) == 0);
    model_open(&m, t_path(dir, "a"), 2);
    model_fill(&m, 1);
    for (int i = 0; i < 900; i++) {
        if (draw(&m, 4) == 0)
            kill_step(&m, k, copy);
        else
            random_step(&m);
    }
    model_release(&m);
    wr_free(k);
}

/* However far the header was stored, the ledger is one or the other. */
static void check_torn_header(
    struct model *m, const struct image *im, const char *dir, const struct state *s)
{
    struct wr_err e = {0};
    struct wr_ledger *l = NULL;
    struct wr_ledger_state now;

    image_put(im, dir);
    T_OK(wr_ledger_open(wr_fs_posix(), dir, 4096, LOCK_PGNO, 1, &l, &e));
    now = wr_ledger_state(l);
    if (now.txid == s->txid) {
        check_state(l, s);
        T(pos_same(&now.pos, &s->pos));
    } else {
        check_state(l, last(m));
        check_pending(m, l, last(m));
    }
    wr_ledger_close(l);
}

/* Kill while a close stores through the mapping: any of the entries, then any part of the header.
 */
static void kill_in_mapping(struct model *m, const char *dir)
{
    struct wr_err e = {0};
    struct state *s = wr_alloc(sizeof(*s));
    struct image before = {0}, after = {0};

    T(s != NULL);
    model_capture(m, last(m)->commit, draw(m, 30));
    next_state(m, s);
    image_take(&before, m->dir);
    T_OK(close_state(m, s, &e));
    image_take(&after, m->dir);
    for (int round = 0; round < 4; round++) {
        struct image im = {0};
        size_t torn = (size_t)(draw(m, 3) * 1024 + draw(m, 88));

        image_copy(&im, &after);
        if (round < 3) {
            memcpy(im.p[0], before.p[0], 4096);
            for (size_t at = 4096; at < before.n[0]; at += 8) {
                if (draw(m, 2))
                    memcpy(im.p[0] + at, before.p[0] + at, 8);
            }
            check_image(m, &im, dir, NULL);
        } else {
            memcpy(im.p[0] + torn, before.p[0] + torn, 4096 - torn);
            check_torn_header(m, &im, dir, s);
        }
        image_release(&im);
    }
    image_release(&before);
    image_release(&after);
    model_closed(m, s);
    wr_free(s);
}

static void test_kill_while_storing_through_the_mapping(void **state)
{
    const char *dir = t_tmpdir();
    const char *copy = t_path(dir, "copy");
    struct model m;

    (void)state;
    T(mkdir(copy, 0700) == 0);
    model_open(&m, t_path(dir, "a"), 3);
    model_fill(&m, 1);
    for (int i = 0; i < 600; i++) {
        if (draw(&m, 3) == 0)
            kill_in_mapping(&m, copy);
        else
            random_step(&m);
    }
    model_release(&m);
}

/* ---- power cuts ---- */

#define RING 24

static const struct state *state_of(const struct model *m, uint64_t txid)
{
    for (size_t i = m->n; i-- > 0;) {
        if (m->states[i].txid == txid)
            return &m->states[i];
    }
    return NULL;
}

/* Go on from what the power cut left, in a model of its own, and start anew now and then. */
static void live_on(struct model *m, struct model *fork, const struct state *s)
{
    const struct wr_pageset *pending = wr_ledger_pending(fork->l);

    fork->rng = m->rng;
    fork->states[0] = *s;
    fork->n = 1;
    fork->acked = UINT64_MAX; /* no history has to be known */
    fork->noted = wr_ledger_state(fork->l).pos;
    fork->frame = m->frame;
    memcpy(fork->log, m->log, FRAMES * sizeof(*m->log));
    for (uint32_t i = 1; i <= PAGES; i++)
        fork->captured[i] = i != LOCK_PGNO && has(pending, i);
    /* What was captured behind that position is captured once more. */
    for (uint32_t f = fork->noted.frame + 1; f <= m->frame; f++) {
        for (uint32_t i = 1; i <= PAGES; i++)
            fork->captured[i] = fork->captured[i] || fork->log[f][i];
    }
    for (int i = 0; i < 12; i++) {
        random_step(fork);
        check_history(fork);
        check_since(fork->l, last(m), last(fork), false);
    }
}

/* Each block of the ledger, each sector of its header, and each journal is on disk as it was at
 * some moment before the cut. */
static void cut(struct model *m, const struct image *ring, size_t n, struct model *fork)
{
    struct image im = {0};
    struct wr_ledger_state now;
    const struct state *s;
    size_t narrow = 1 + (size_t)draw(m, n), from = n - narrow;

    image_copy(&im, &ring[from + draw(m, narrow)]);
    for (size_t at = 0; at < im.n[0]; at += at < 4096 ? 512 : 4096) {
        const struct image *other = &ring[from + draw(m, narrow)];
        size_t size = at < 4096 ? 512 : 4096;

        if (draw(m, 2) && at + size <= other->n[0])
            memcpy(im.p[0] + at, other->p[0] + at, size);
    }
    for (int i = 1; i < FILES; i++) {
        const struct image *other = &ring[from + draw(m, narrow)];

        wr_free(im.p[i]);
        im.n[i] = other->n[i] - (draw(m, 3) ? 0 : (size_t)draw(m, other->n[i] + 1));
        im.p[i] = wr_alloc(im.n[i]);
        T(im.p[i] != NULL);
        if (im.n[i] > 0)
            memcpy(im.p[i], other->p[i], im.n[i]);
    }
    image_put(&im, fork->dir);
    image_release(&im);
    open_ledger(fork);
    now = wr_ledger_state(fork->l);
    if (now.txid > 0) {
        s = state_of(m, now.txid);
        T(s != NULL);
        check_state(fork->l, s);
        check_pending(m, fork->l, s);
        check_since(fork->l, last(m), s, false);
        live_on(m, fork, s);
    }
    wr_ledger_close(fork->l);
    fork->l = NULL;
}

static void test_power_cut_is_never_believed_wrongly(void **state)
{
    const char *dir = t_tmpdir();
    struct image ring[RING] = {0};
    struct model m, fork;
    int believed = 0;

    (void)state;
    model_open(&fork, t_path(dir, "copy"), 4);
    wr_ledger_close(fork.l);
    model_open(&m, t_path(dir, "a"), 4);
    model_fill(&m, 1);
    for (int i = 0; i < 700; i++) {
        random_step(&m);
        image_release(&ring[0]);
        memmove(&ring[0], &ring[1], sizeof(ring) - sizeof(ring[0]));
        ring[RING - 1] = (struct image){0};
        image_take(&ring[RING - 1], m.dir);
        if (i < RING || draw(&m, 4))
            continue;
        fork.n = 0;
        memset(fork.captured, 0, sizeof(fork.captured));
        cut(&m, ring, RING, &fork);
        believed += fork.n > 0;
    }
    T(believed > 50); /* else this test shows nothing */
    for (int i = 0; i < RING; i++)
        image_release(&ring[i]);
    model_release(&m);
    model_release(&fork);
}

/* A sector as large as the header, torn in a power cut: bytes of any moment since the last sync. */
static void tear_head(struct model *m, const struct image *ring, size_t n, const char *dir,
    uint64_t synced, bool given)
{
    struct image im = {0};
    struct wr_err e = {0};
    struct wr_ledger *l = NULL;

    image_copy(&im, &ring[draw(m, n)]);
    for (size_t at = 0; at < 4096; at++)
        im.p[0][at] = ring[draw(m, n)].p[0][at];
    image_put(&im, dir);
    image_release(&im);
    T_OK(wr_ledger_open(wr_fs_posix(), dir, 4096, LOCK_PGNO, 2, &l, &e));
    T(wr_ledger_state(l).txid <= last(m)->txid);
    T(!given || wr_ledger_floor(l) > wr_ledger_state(l).txid); /* for more may have been taken */
    T(wr_max(wr_ledger_floor(l), wr_ledger_state(l).txid) >= synced);
    wr_ledger_close(l);
}

static void test_torn_header_forgets_txids_that_were_taken(void **state)
{
    const char *dir = t_tmpdir(), *copy = t_path(dir, "copy");
    struct image ring[RING] = {0};
    struct wr_err e = {0};
    struct model m;
    uint64_t synced;
    bool given;
    size_t n, n_given = 0;

    (void)state;
    T(mkdir(copy, 0700) == 0);
    model_open(&m, t_path(dir, "a"), 6);
    model_fill(&m, 1);
    for (int i = 0; i < 120; i++) {
        if (draw(&m, 4) == 0) { /* as by the next process */
            wr_ledger_close(m.l);
            open_ledger(&m);
            m.noted = wr_ledger_state(m.l).pos;
        }
        T_OK(wr_ledger_sync(m.l, &e));
        synced = last(&m)->txid;
        given = wr_ledger_given(m.l);
        n_given += given;
        for (n = 0; n <= draw(&m, RING - 1); n++) {
            image_take(&ring[n], m.dir);
            model_capture(&m, last(&m)->commit, draw(&m, 12));
            if (draw(&m, 3))
                model_close(&m);
            else
                T_OK(note_captured(&m, &e));
        }
        if (draw(&m, 4) == 0) {
            uint64_t txid = last(&m)->txid;

            T_OK(wr_ledger_reset(m.l, &e));
            T(wr_ledger_floor(m.l) == txid);
            image_release(&ring[n - 1]);
            image_take(&ring[n - 1], m.dir);
            model_fill(&m, txid + 1);
        }
        for (int k = 0; k < 3; k++)
            tear_head(&m, ring, n, copy, synced, given);
        for (size_t k = 0; k < n; k++)
            image_release(&ring[k]);
    }
    T(n_given > 20 && n_given < 120);
    model_release(&m);
}

/* Found by the power cuts above, in small: the disk has the ledger of one TXID and a journal that
 * is two ahead. Those closes are history that never was; they must not be taken back later. */
static void test_journal_ahead_of_the_ledger(void **state)
{
    const char *dir = t_tmpdir();
    struct image old = {0}, now = {0};
    struct model m;

    (void)state;
    model_open(&m, t_path(dir, "a"), 5);
    model_fill(&m, 1);
    model_capture(&m, last(&m)->commit, 5);
    image_take(&old, m.dir);
    model_close(&m);
    model_capture(&m, last(&m)->commit, 5);
    model_close(&m);
    wr_ledger_close(m.l);
    image_take(&now, m.dir);
    memcpy(now.p[0], old.p[0], wr_min(old.n[0], now.n[0]));
    image_put(&now, m.dir);
    image_release(&old);
    image_release(&now);

    m.n = 1;
    m.noted = last(&m)->pos;
    open_ledger(&m);
    check_state(m.l, last(&m));
    for (int i = 0; i < 5; i++) {
        struct wr_err e = {0};

        model_capture(&m, last(&m)->commit, 5);
        T_OK(note_captured(&m, &e));
        model_close(&m);
        wr_ledger_close(m.l);
        open_ledger(&m);
        check_state(m.l, last(&m));
    }
    model_release(&m);
}

T_MAIN(T_TEST(test_kill_at_every_write), T_TEST(test_kill_while_storing_through_the_mapping),
    T_TEST(test_power_cut_is_never_believed_wrongly),
    T_TEST(test_torn_header_forgets_txids_that_were_taken),
    T_TEST(test_journal_ahead_of_the_ledger))
