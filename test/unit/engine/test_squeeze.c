/*
 * test_squeeze.c - random histories, squeezed: what the journal then says of any state there ever
 * was, of the pages captured last, after kills, full disks and power cuts in the middle of it.
 */
#include "engine/squeeze.h"
#include "unit/engine/ledger_model.h"

#define IMAGES 64

/* A history whose writer counts its notes, as the ledger does. */
struct writer {
    struct model m;
    uint32_t notes;     /* since the last close, those that failed included */
    bool stale;         /* the ledger went back once: states may share a TXID */
    bool known[STATES]; /* before the squeeze */
    struct wr_stands stands;
    size_t stand_at[WR_STANDS_MAX]; /* their states */
    struct image images[IMAGES];
    size_t n_images;
};

static void writer_open(struct writer *w, const char *name, uint64_t salt)
{
    w->notes = 0;
    w->stale = false;
    w->n_images = 0;
    model_open(&w->m, t_path(t_tmpdir(), name), salt);
    model_fill(&w->m, 1 + draw(&w->m, 1000));
}

static void note(struct writer *w, bool full)
{
    struct wr_err e = {0};
    enum wr_status st;

    disk.full = full;
    st = note_captured(&w->m, &e);
    disk.full = false;
    T(st == (full ? WR_LIMIT : WR_OK));
    w->notes++;
    if (full) { /* the engine forgets them, too: the close will have them */
        w->m.gap = true;
        w->m.noted = pos_at(w->m.frame);
    }
}

static void live(struct writer *w, uint64_t steps)
{
    struct model *m = &w->m;

    for (uint64_t i = 0; i < steps; i++) {
        uint64_t what = draw(m, 100);
        struct wr_err e = {0};

        model_capture(m, last(m)->commit, draw(m, 12));
        if (what < 50) {
            model_close(m);
            w->notes = 0;
        } else if (what < 90) {
            note(w, what >= 85);
        } else if (!w->stale) {
            m->acked = wr_max(m->acked, m->states[draw(m, m->n)].txid);
            T_OK(wr_ledger_ack(m->l, m->acked, &e));
        }
    }
}

/* Which states of the past the ledger knows the way from. */
static void ask(struct writer *w)
{
    for (size_t i = 0; i < w->m.n; i++) {
        const struct state *s = &w->m.states[i];
        struct wr_pageset out;
        struct wr_err e = {0};

        wr_pageset_init(&out);
        T_OK(wr_ledger_since(w->m.l, s->txid, s->rolling, &out, &w->known[i], &e));
        wr_pageset_release(&out);
    }
}

/* The ledger tells nothing but the truth about all states and about what is pending. */
static void check_truth(const struct writer *w, struct wr_ledger *l)
{
    const struct model *m = &w->m;

    check_state(l, &m->states[m->n - 1]);
    check_pending(m, l, &m->states[m->n - 1]);
    for (size_t i = 0; i < m->n; i++)
        check_since(l, &m->states[i], &m->states[m->n - 1], false);
}

/* How many notes the ledger counts when it is opened: those that follow one another. */
static enum wr_status count_note(
    void *arg, const struct wr_journal_rec *r, struct wr_bytes entries, struct wr_err *e)
{
    struct writer *w = arg;
    struct wr_ledger_state now = wr_ledger_state(w->m.l);

    (void)entries;
    (void)e;
    if (r->kind == WR_JOURNAL_CAPTURE && r->txid == now.txid && r->rolling == now.rolling &&
        (r->commit_before == 1 || r->commit_before == w->notes + 1))
        w->notes = r->commit_before;
    return WR_OK;
}

static uint32_t notes_replayed(struct writer *w)
{
    struct wr_journal *j = NULL;
    struct wr_err e = {0};

    w->notes = 0;
    T_OK(wr_journal_open(&spy_fs, w->m.dir, &j, &e));
    T_OK(wr_journal_each(j, count_note, w, &e));
    wr_journal_close(j);
    return w->notes;
}

static void take_image(void *arg, const void *p, size_t n, uint64_t off, const char *name)
{
    struct writer *w = arg;

    (void)p;
    (void)n;
    (void)off;
    (void)name;
    T(w->n_images < IMAGES);
    image_take(&w->images[w->n_images++], w->m.dir);
}

/* As the ledger does it, with the process that wrote the history still there. */
static enum wr_status squeeze(struct writer *w, bool full)
{
    struct wr_ledger_state now = wr_ledger_state(w->m.l);
    const struct wr_journal_rec rec = {
        .txid = now.txid, .rolling = now.rolling, .commit = now.commit, .pos = now.pos};
    struct wr_journal *j = NULL;
    struct wr_err e = {0};
    enum wr_status st;

    wr_ledger_close(w->m.l);
    T_OK(wr_journal_open(&spy_fs, w->m.dir, &j, &e));
    disk.before = take_image;
    disk.arg = w;
    disk.full = full;
    st = wr_journal_squeeze(j, &rec, &w->stands, &w->notes, &e);
    disk.full = false;
    disk.before = NULL;
    wr_journal_close(j);
    open_ledger(&w->m);
    return st;
}

/* The next process may find any of the images, or one whose last write came through in part. */
static void check_images(struct writer *w)
{
    for (size_t i = 0; i < w->n_images; i++) {
        const char *dir = t_path(t_tmpdir(), "killed");
        struct wr_ledger *l = NULL;
        struct wr_err e = {0};

        (void)mkdir(dir, 0700);
        image_put(&w->images[i], dir);
        T_OK(wr_ledger_open(wr_fs_posix(), dir, 4096, LOCK_PGNO, 1, &l, &e));
        check_truth(w, l);
        wr_ledger_close(l);
        image_release(&w->images[i]);
    }
    w->n_images = 0;
}

/* What went on before the ledger was opened anew: the position it names, and what it counts. */
static void resume(struct writer *w)
{
    struct wr_pos pos = wr_ledger_state(w->m.l).pos;

    /* A start captures the WAL again from there, and closes what it found. */
    w->m.noted = pos;
    model_close(&w->m);
    w->notes = 0;
}

/* Some that the way is known from; or nobody knows of any. */
static void draw_stands(struct writer *w)
{
    size_t want = draw(&w->m, 5);

    w->stands.n = 0;
    for (size_t i = 0; i < 10 * want && w->stands.n < want; i++) {
        size_t at = draw(&w->m, w->m.n);

        if (!w->known[at])
            continue;
        w->stand_at[w->stands.n] = at;
        w->stands.txid[w->stands.n++] = w->m.states[at].txid;
    }
}

/* Whoever stands somewhere finds the way. What nobody asks for is dropped. */
static size_t check_stands(struct writer *w)
{
    size_t oldest = 0, between = 0;

    while (!w->known[oldest])
        oldest++;
    if (w->stands.n == 0)
        check_since(w->m.l, &w->m.states[oldest], last(&w->m), true);
    for (size_t i = 0; i < w->stands.n; i++) {
        check_since(w->m.l, &w->m.states[w->stand_at[i]], last(&w->m), true);
        between += w->stand_at[i] > oldest && w->stand_at[i] + 1 < w->m.n;
    }
    return between;
}

static void test_random_histories(void **state)
{
    struct writer *w = wr_alloc(sizeof(*w));
    size_t known_before = 0, kept_notes = 0, between = 0;

    (void)state;
    T(w != NULL);
    for (unsigned round = 0; round < 20; round++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "h%u", round);
        writer_open(w, name, 100 + round);
        for (unsigned k = 0; k < 12; k++) {
            struct wr_pos noted;

            live(w, 1 + draw(&w->m, 30));
            ask(w);
            draw_stands(w);
            noted = w->m.noted;
            T(squeeze(w, false) == WR_OK);
            check_truth(w, w->m.l);
            check_images(w);
            between += check_stands(w);
            known_before += w->stands.n == 0;
            if (!w->m.gap) { /* no note is lost: the position is what it was */
                struct wr_pos pos = wr_ledger_state(w->m.l).pos;

                T(pos_same(&pos, &noted));
                T(w->notes <= 1);
                kept_notes += w->notes;
                note(w, false); /* and later ones count */
                wr_ledger_close(w->m.l);
                open_ledger(&w->m);
                pos = wr_ledger_state(w->m.l).pos;
                T(pos_same(&pos, &w->m.noted));
                check_truth(w, w->m.l);
            }
            resume(w);
        }
        model_release(&w->m);
    }
    T(known_before > 20 && kept_notes > 30 && between > 50);
    wr_free(w);
}

/* A note was lost before: the position must not cover its pages, squeezed or not, nor after a note
 * that follows. */
static void test_a_lost_note_stays_lost(void **state)
{
    struct writer *w = wr_alloc(sizeof(*w));

    (void)state;
    T(w != NULL);
    for (unsigned round = 0; round < 60; round++) {
        char name[16];
        uint32_t counted;

        (void)snprintf(name, sizeof(name), "l%u", round);
        writer_open(w, name, 300 + round);
        live(w, draw(&w->m, 10));
        for (int i = 0; i < 4; i++) {
            model_capture(&w->m, last(&w->m)->commit, 3);
            note(w, i == 1);
        }
        counted = w->notes;
        T(squeeze(w, false) == WR_OK);
        T(w->notes == counted);
        check_truth(w, w->m.l);
        check_images(w);
        model_release(&w->m);
    }
    wr_free(w);
}

static void test_a_full_disk_leaves_less_history_and_no_lies(void **state)
{
    struct writer *w = wr_alloc(sizeof(*w));
    unsigned failed = 0;

    (void)state;
    T(w != NULL);
    for (unsigned round = 0; round < 60; round++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "f%u", round);
        writer_open(w, name, 600 + round);
        live(w, draw(&w->m, 20));
        failed += squeeze(w, true) != WR_OK;
        check_truth(w, w->m.l);
        check_images(w);
        resume(w);
        check_truth(w, w->m.l);
        model_release(&w->m);
    }
    T(failed > 30);
    wr_free(w);
}

/* Replicas have all but the newest close: those before it are trimmed away. */
static void forget_all_but_a_dead_end(struct writer *w)
{
    struct wr_ledger_state from = wr_ledger_state(w->m.l), to;
    struct wr_journal_rec dead = {.kind = WR_JOURNAL_CLOSE, .n = 1};
    struct wr_journal *j = NULL;
    const uint8_t entry[12] = {1};
    struct wr_err e = {0};

    model_close(&w->m);
    to = wr_ledger_state(w->m.l);
    dead.txid_before = from.txid;
    dead.rolling_before = from.rolling;
    dead.txid = to.txid;
    dead.rolling = to.rolling;
    dead.pos = to.pos;
    dead.commit = to.commit;
    wr_ledger_close(w->m.l);
    T_OK(wr_journal_open(&spy_fs, w->m.dir, &j, &e));
    T_OK(wr_journal_clear(j, &e));
    T_OK(wr_journal_append(j, &dead, (struct wr_bytes){entry, sizeof(entry)}, &e));
    wr_journal_close(j);
    open_ledger(&w->m);
}

/* The journal's end reached the disk, the ledger's did not: closes that never were are between
 * those that were, and their beginnings may be trimmed away. */
static void test_a_power_cut_leaves_dead_ends(void **state)
{
    struct writer *w = wr_alloc(sizeof(*w));
    unsigned went_back = 0;

    (void)state;
    T(w != NULL);
    for (unsigned round = 0; round < 100; round++) {
        struct image then = {0};
        char name[16], path[512];
        size_t n_then;

        (void)snprintf(name, sizeof(name), "p%u", round);
        writer_open(w, name, 900 + round);
        live(w, draw(&w->m, 20));
        model_close(&w->m);
        image_take(&then, w->m.dir);
        n_then = w->m.n;
        live(w, 1 + draw(&w->m, 8));
        if (draw(&w->m, 2))
            forget_all_but_a_dead_end(w);
        wr_ledger_close(w->m.l);
        (void)snprintf(path, sizeof(path), "%s/ledger", w->m.dir);
        t_spew(path, then.p[0], then.n[0]);
        image_release(&then);
        open_ledger(&w->m);
        if (wr_ledger_state(w->m.l).txid == w->m.states[n_then - 1].txid) {
            struct state *now = wr_alloc(sizeof(*now));

            /* The states after it stay in the list: replicas may have them. */
            T(now != NULL && w->m.n < STATES);
            went_back++;
            *now = w->m.states[n_then - 1];
            w->m.states[w->m.n++] = *now;
            wr_free(now);
            w->m.noted = wr_ledger_state(w->m.l).pos;
            w->notes = notes_replayed(w);
            w->stale = true;
            if (draw(&w->m, 2)) { /* or the outage goes on before anything is closed */
                memset(w->m.captured, 0, sizeof(w->m.captured));
                w->m.frame++;
                w->m.noted = pos_at(w->m.frame);
                model_close(&w->m);
                w->notes = 0;
                live(w, draw(&w->m, 10));
            }
            T(squeeze(w, false) == WR_OK);
            check_truth(w, w->m.l);
            check_images(w);
        }
        model_release(&w->m);
    }
    T(went_back > 60);
    wr_free(w);
}

/* ---- through the ledger ---- */

#define MANY 40000u

static uint64_t file_bytes(const char *dir)
{
    uint64_t sum = 0;
    struct stat st;

    T(stat(t_path(dir, "journal.0"), &st) == 0);
    sum += (uint64_t)st.st_size;
    T(stat(t_path(dir, "journal.1"), &st) == 0);
    return sum + (uint64_t)st.st_size;
}

static void test_the_journal_of_an_outage_is_bounded(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_ledger_change *changes = wr_array(MANY, sizeof(*changes));
    struct wr_pageset out;
    struct wr_ledger *l = NULL;
    struct wr_ledger_state first;
    struct wr_pos pos = pos_at(1);
    struct wr_err e = {0};
    struct wr_rand rng;
    bool known = false;

    (void)state;
    T(changes != NULL);
    wr_rand_init(&rng, t_seed());
    wr_pageset_init(&out);
    T_OK(wr_ledger_open(wr_fs_posix(), dir, 4096, MANY + 2, 1, &l, &e));
    T_OK(wr_ledger_fill_begin(l, MANY + 1, &e));
    for (uint32_t p = 1; p <= MANY + 1; p++)
        wr_ledger_fill(l, p, wr_rand_u64(&rng) | WR_LTX_CHECKSUM_EMPTY);
    T_OK(wr_ledger_fill_end(l, 1, &pos, &e));
    first = wr_ledger_state(l);
    for (uint32_t k = 0; k < 110; k++) {    /* some 50 MB of closes and notes */
        for (uint32_t i = 0; i < MANY; i++) /* all but page 1000 */
            changes[i] = (struct wr_ledger_change){
                i + 1 + (i >= 999), wr_rand_u64(&rng) | WR_LTX_CHECKSUM_EMPTY};
        pos = pos_at(2 + k);
        T_OK(wr_ledger_close_txid(l, k + 2, changes, MANY, MANY + 1, &pos, &e));
        T(file_bytes(dir) < (uint64_t)18 << 20);
    }
    T_OK(wr_ledger_since(l, first.txid, first.rolling, &out, &known, &e));
    T(known && !out.all && out.map.n == MANY && has(&out, 1) && !has(&out, 1000));

    /* Notes alone, with no close between them. */
    for (uint32_t k = 0; k < 150; k++) {
        pos = pos_at(200 + k);
        T_OK(wr_ledger_note(l, &out, &pos, &e));
        T(file_bytes(dir) < (uint64_t)18 << 20);
    }
    wr_ledger_close(l);
    T_OK(wr_ledger_open(wr_fs_posix(), dir, 4096, MANY + 2, 1, &l, &e));
    first = wr_ledger_state(l);
    T(first.txid == 111 && pos_same(&first.pos, &pos));
    T(wr_ledger_pending(l)->map.n == MANY);
    wr_ledger_close(l);
    wr_pageset_release(&out);
    wr_free(changes);
}

/* A long journal on a full disk used to be emptied, and could then not be written again: a replica
 * that lagged needed all pages. */
static void test_a_full_disk_keeps_what_is_known(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_ledger_change *changes = wr_array(MANY, sizeof(*changes));
    struct wr_pageset out;
    struct wr_ledger *l = NULL;
    struct wr_ledger_state first;
    struct wr_pos pos = pos_at(1);
    struct wr_err e = {0};
    bool known = false;

    (void)state;
    T(changes != NULL);
    wr_pageset_init(&out);
    T_OK(wr_ledger_open(&spy_fs, dir, 4096, MANY + 2, 1, &l, &e));
    T_OK(wr_ledger_fill_begin(l, MANY + 1, &e));
    T_OK(wr_ledger_fill_end(l, 1, &pos, &e));
    first = wr_ledger_state(l);
    for (uint32_t k = 0; k < 60; k++) {
        for (uint32_t i = 0; i < MANY; i++)
            changes[i] = (struct wr_ledger_change){i + 1, (k * MANY + i) | WR_LTX_CHECKSUM_EMPTY};
        pos = pos_at(2 + k);
        T_OK(wr_ledger_close_txid(l, k + 2, changes, MANY, MANY + 1, &pos, &e));
        disk.full = true;
        T_IS(WR_LIMIT, wr_ledger_close_txid(l, k + 3, changes, MANY, MANY + 1, &pos, &e));
        wr_pageset_clear(&out);
        wr_pageset_add(&out, 1);
        T_IS(WR_LIMIT, wr_ledger_note(l, &out, &pos, &e));
        disk.full = false;
        wr_pageset_clear(&out);
        T_OK(wr_ledger_since(l, first.txid, first.rolling, &out, &known, &e));
        T(known && !out.all && out.map.n == MANY);
    }
    wr_ledger_close(l);
    wr_pageset_release(&out);
    wr_free(changes);
}

/* ---- memory ---- */

static enum wr_status squeeze_once(void *arg)
{
    struct writer *w = arg;
    struct wr_ledger_state now = wr_ledger_state(w->m.l);
    const struct wr_journal_rec rec = {
        .txid = now.txid, .rolling = now.rolling, .commit = now.commit, .pos = now.pos};
    struct wr_journal *j = NULL;
    struct wr_err e = {0};
    uint32_t notes = w->notes;
    enum wr_status st;

    st = wr_journal_open(wr_fs_posix(), w->m.dir, &j, &e);
    if (st == WR_OK)
        st = wr_journal_squeeze(j, &rec, &w->stands, &notes, &e);
    wr_journal_close(j);
    return st;
}

/* A foreign record names a page that there is not: it ended the process. */
static void test_page_0_is_no_page(void **state)
{
    const uint8_t entries[24] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3};
    struct wr_journal_rec rec = {
        .kind = WR_JOURNAL_CLOSE, .txid_before = 1, .txid = 2, .rolling = 7, .commit = 9, .n = 2};
    const struct wr_journal_rec now = {.txid = 2, .rolling = 7, .commit = 9};
    struct wr_journal *j = NULL;
    struct wr_err e = {0};
    uint32_t notes = 0;

    (void)state;
    T_OK(wr_journal_open(wr_fs_posix(), t_tmpdir(), &j, &e));
    T_OK(wr_journal_append(j, &rec, (struct wr_bytes){entries, sizeof(entries)}, &e));
    T_OK(wr_journal_squeeze(j, &now, &(struct wr_stands){0}, &notes, &e));
    T(wr_journal_bytes(j) == 88 + 12); /* page 3 alone */
    wr_journal_close(j);
}

static void test_no_memory(void **state)
{
    struct writer *w = wr_alloc(sizeof(*w));

    (void)state;
    T(w != NULL);
    writer_open(w, "m", 1300);
    live(w, 30);
    model_close(&w->m);
    w->notes = 0;
    model_capture(&w->m, last(&w->m)->commit, 5);
    note(w, false);
    t_sweep_nomem(squeeze_once, w);
    wr_ledger_close(w->m.l);
    open_ledger(&w->m);
    check_truth(w, w->m.l);
    model_release(&w->m);
    wr_free(w);
}

T_MAIN(T_TEST(test_random_histories), T_TEST(test_a_lost_note_stays_lost),
    T_TEST(test_a_full_disk_leaves_less_history_and_no_lies),
    T_TEST(test_a_power_cut_leaves_dead_ends), T_TEST(test_the_journal_of_an_outage_is_bounded),
    T_TEST(test_a_full_disk_keeps_what_is_known), T_TEST(test_page_0_is_no_page),
    T_TEST(test_no_memory))
