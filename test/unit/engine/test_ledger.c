/*
 * test_ledger.c - the ledger in daily life: random histories, full disks, strangers' files.
 */
#include "base/bytes.h"
#include "engine/journal.h"
#include "engine/remote.h"
#include "unit/engine/ledger_model.h"

#include <unistd.h>

static void test_random_history(void **state)
{
    struct model m;

    (void)state;
    model_open(&m, t_path(t_tmpdir(), "a"), 1);
    for (int round = 0; round < 3; round++) {
        model_fill(&m, 1 + draw(&m, 1000));
        for (int i = 0; i < 1200; i++) {
            random_step(&m);
            if (draw(&m, 8) == 0)
                check_history(&m);
        }
    }
    model_release(&m);
}

/* One that is idle costs no memory, whatever its size. */
static void test_an_idle_ledger_is_on_the_disk(void **state)
{
    const char *dir = t_path(t_tmpdir(), "a");
    char file[512];
    struct model m;
    struct wr_err e = {0};

    (void)state;
    (void)snprintf(file, sizeof(file), "%s/ledger", dir);
    model_open(&m, dir, 1);
    wr_ledger_idle(m.l); /* of one that is empty, too */
    model_fill(&m, 1000);
    T(t_resident_kib(file) >= 8);
    wr_ledger_idle(m.l);
    assert_int_equal(t_resident_kib(file), 0);
    check_state(m.l, last(&m));
    model_close(&m);
    wr_ledger_idle(m.l);
    T_OK(wr_ledger_sync(m.l, &e));
    wr_ledger_close(m.l);
    open_ledger(&m);
    check_state(m.l, last(&m));
    model_release(&m);
}

/* ---- disks that fill up ---- */

static void test_full_disk_keeps_the_state(void **state)
{
    struct model m;
    struct wr_err e = {0};
    struct state *s = wr_alloc(sizeof(*s));
    int refused = 0;

    (void)state;
    T(s != NULL);
    model_open(&m, t_path(t_tmpdir(), "a"), 6);
    model_fill(&m, 1);
    for (int i = 0; i < 800; i++) {
        enum wr_status st;

        if (draw(&m, 3)) {
            random_step(&m);
            continue;
        }
        model_capture(&m, last(&m)->commit, draw(&m, 30));
        disk.full = true;
        if (draw(&m, 2)) {
            next_state(&m, s);
            st = close_state(&m, s, &e);
            if (st == WR_OK)
                model_closed(&m, s);
        } else {
            st = note_captured(&m, &e);
            m.gap = true;
        }
        disk.full = false;
        T(st == WR_LIMIT);
        refused++;
        check_state(m.l, last(&m));
        check_history(&m);
        if (draw(&m, 2)) {
            wr_ledger_close(m.l);
            open_ledger(&m);
            check_state(m.l, last(&m));
            check_pending(&m, m.l, last(&m));
            m.noted = wr_ledger_state(m.l).pos;
        }
    }
    T(refused > 100);
    model_release(&m);
    wr_free(s);
}

/* What was noted before, and what is noted after, is no position for the next process. */
static void test_distrust_lasts_until_a_txid_is_closed(void **state)
{
    struct model m;
    struct wr_err e = {0};

    (void)state;
    model_open(&m, t_path(t_tmpdir(), "a"), 7);
    model_fill(&m, 1);
    model_capture(&m, last(&m)->commit, 3);
    T_OK(note_captured(&m, &e));
    T(wr_ledger_state(m.l).pos.frame > 0);
    disk.full = true;
    wr_ledger_distrust(m.l);
    disk.full = false;
    assert_int_equal(wr_ledger_state(m.l).pos.frame, 0);
    for (int i = 0; i < 2; i++) {
        wr_ledger_close(m.l);
        open_ledger(&m);
        assert_int_equal(wr_ledger_state(m.l).pos.frame, 0);
        check_state(m.l, last(&m));
        model_capture(&m, last(&m)->commit, 3);
        T_OK(note_captured(&m, &e));
        T(wr_ledger_state(m.l).pos.frame > 0);
    }
    model_close(&m);
    wr_ledger_close(m.l);
    open_ledger(&m);
    T(wr_ledger_state(m.l).pos.frame > 0);
    model_release(&m);
}

/* A note that could not be written, and one after it that could: the position must not cover what
 * is missing between them. */
static void test_failed_note_voids_those_after_it(void **state)
{
    struct model m;
    struct wr_err e = {0};
    struct wr_pos first;
    struct wr_pageset all, one;
    struct wr_pos far = pos_at(1000);

    (void)state;
    model_open(&m, t_path(t_tmpdir(), "a"), 7);
    model_fill(&m, 1);
    model_capture(&m, last(&m)->commit, 3);
    T_OK(note_captured(&m, &e));
    first = m.noted;
    model_capture(&m, last(&m)->commit, 3);
    disk.full = true;
    T_IS(WR_LIMIT, note_captured(&m, &e));
    disk.full = false;
    wr_pageset_init(&one);
    wr_pageset_add(&one, 1);
    T_OK(wr_ledger_note(m.l, &one, &far, &e));
    wr_ledger_close(m.l);
    open_ledger(&m);
    check_pending(&m, m.l, last(&m));
    struct wr_pos pos = wr_ledger_state(m.l).pos;
    T(pos_same(&pos, &first));

    /* "All of them" is not written down either: the position stays. */
    wr_pageset_init(&all);
    wr_pageset_set_all(&all);
    T_OK(wr_ledger_note(m.l, &all, &far, &e));
    T_OK(wr_ledger_note(m.l, &one, &far, &e));
    wr_ledger_close(m.l);
    open_ledger(&m);
    check_state(m.l, last(&m));
    check_pending(&m, m.l, last(&m));
    pos = wr_ledger_state(m.l).pos;
    T(pos_same(&pos, &first));

    /* The next close takes everything in, and notes count again. */
    m.noted = first;
    model_close(&m);
    model_capture(&m, last(&m)->commit, 3);
    T_OK(note_captured(&m, &e));
    wr_ledger_close(m.l);
    open_ledger(&m);
    check_pending(&m, m.l, last(&m));
    pos = wr_ledger_state(m.l).pos;
    T(pos_same(&pos, &m.noted));
    wr_pageset_release(&one);
    model_release(&m);
}

/* ---- strangers ---- */

static void expect_empty(const char *dir, uint32_t page_size, uint32_t lock_pgno)
{
    struct wr_ledger *l = NULL;
    struct wr_err e = {0};
    struct wr_ledger_state now;

    T_OK(wr_ledger_open(wr_fs_posix(), dir, page_size, lock_pgno, 1, &l, &e));
    now = wr_ledger_state(l);
    T(now.txid == 0 && now.commit == 0 && now.rolling == WR_LTX_CHECKSUM_EMPTY);
    T(wr_pageset_empty(wr_ledger_pending(l)));
    T(wr_ledger_page(l, 1) == 0);
    wr_ledger_close(l);
}

static void make_ledger(struct model *m, const char *dir, uint64_t salt)
{
    struct wr_err e = {0};

    model_open(m, dir, salt);
    model_fill(m, 5);
    model_capture(m, last(m)->commit, 10);
    model_close(m);
    model_capture(m, last(m)->commit, 10);
    T_OK(note_captured(m, &e));
}

static void test_other_shapes_and_damage_come_back_empty(void **state)
{
    const char *dir = t_tmpdir();
    struct model m;
    struct image im = {0};
    struct wr_err e = {0};

    (void)state;
    make_ledger(&m, t_path(dir, "a"), 8);
    wr_ledger_close(m.l);
    image_take(&im, m.dir);
    expect_empty(m.dir, 8192, LOCK_PGNO);
    expect_empty(m.dir, 4096, LOCK_PGNO); /* once empty, it stays so */
    image_put(&im, m.dir);
    expect_empty(m.dir, 4096, LOCK_PGNO + 1);

    for (int i = 0; i < 400; i++) {
        size_t at = (size_t)(draw(&m, 3) * 1024 + draw(&m, 88)); /* in a copy of the header */
        uint8_t flip = (uint8_t)(1 + draw(&m, 255));

        if (draw(&m, 2))
            at = 4096 + (size_t)draw(&m, (uint64_t)last(&m)->commit * 8);
        im.p[0][at] ^= flip;
        image_put(&im, m.dir);
        im.p[0][at] ^= flip;
        T_OK(wr_ledger_open(wr_fs_posix(), m.dir, 4096, LOCK_PGNO, 1, &m.l, &e));
        if (wr_ledger_state(m.l).txid != 0) { /* the damage did not matter, or was undone */
            check_state(m.l, last(&m));
            check_pending(&m, m.l, last(&m));
        }
        wr_ledger_close(m.l);
    }
    image_release(&im);
    m.l = NULL;
    model_release(&m);
}

/* One more record in the journal of a ledger that is closed, as nobody of ours would write it. */
static void add_record(struct model *m, struct wr_journal_rec *rec, struct wr_bytes entries)
{
    struct wr_journal *j = NULL;
    struct wr_err e = {0};

    wr_ledger_close(m->l);
    m->l = NULL;
    T_OK(wr_journal_open(wr_fs_posix(), m->dir, &j, &e));
    T_OK(wr_journal_append(j, rec, entries, &e));
    wr_journal_close(j);
}

static void test_a_journal_names_page_0(void **state)
{
    const uint8_t capture[8] = {0, 0, 0, 0, 3}, closed[12] = {0};
    struct wr_ledger_state now;
    struct wr_err e = {0};
    struct model m;
    uint32_t mark;

    (void)state;
    model_open(&m, t_path(t_tmpdir(), "a"), 10);
    model_fill(&m, 5);
    now = wr_ledger_state(m.l);
    struct wr_journal_rec rec = {.kind = WR_JOURNAL_CAPTURE,
        .txid_before = now.txid,
        .txid = now.txid,
        .rolling_before = now.rolling,
        .rolling = now.rolling,
        .pos = now.pos,
        .commit_before = 1,
        .commit = now.commit,
        .n = 2};
    add_record(&m, &rec, (struct wr_bytes){capture, sizeof(capture)});
    T_OK(wr_ledger_open(wr_fs_posix(), m.dir, 4096, LOCK_PGNO, 1, &m.l, &e));
    T(wr_ledger_pending(m.l)->map.n == 1);
    T(wr_pgmap_get(&wr_ledger_pending(m.l)->map, 3, &mark));

    rec.kind = WR_JOURNAL_CLOSE;
    rec.txid++;
    rec.commit_before = now.commit;
    rec.n = 1;
    add_record(&m, &rec, (struct wr_bytes){closed, sizeof(closed)});
    T_OK(wr_ledger_open(wr_fs_posix(), m.dir, 4096, LOCK_PGNO, 1, &m.l, &e));
    T(wr_ledger_state(m.l).txid == now.txid);
    model_release(&m);
}

/* A power cut may leave the checksums of pages that the header, written back earlier, does not
 * know: they must not be those of pages that a later TXID adds without writing them. */
static void test_checksums_behind_the_last_page_come_back(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "ledger");
    struct wr_ledger_change change = {4, WR_LTX_CHECKSUM_EMPTY | 44};
    struct wr_ledger *l = NULL;
    struct wr_ledger_state was;
    struct wr_err e = {0};
    struct wr_pos pos = pos_at(1);
    uint64_t stale = WR_LTX_CHECKSUM_EMPTY | 33;

    (void)state;
    T_OK(wr_ledger_open(wr_fs_posix(), dir, 4096, LOCK_PGNO, 1, &l, &e));
    T(wr_ledger_peek_txid(wr_fs_posix(), dir) == 0);
    T_OK(wr_ledger_fill_begin(l, 2, &e));
    wr_ledger_fill(l, 1, WR_LTX_CHECKSUM_EMPTY | 11);
    wr_ledger_fill(l, 2, WR_LTX_CHECKSUM_EMPTY | 22);
    T_OK(wr_ledger_fill_end(l, 1, &pos, &e));
    wr_ledger_close(l);

    struct wr_bytes file = t_slurp(path);
    uint8_t *copy = wr_alloc(file.n);
    T(copy != NULL);
    memcpy(copy, file.p, file.n);
    memcpy(copy + 4096 + 2 * sizeof(stale), &stale, sizeof(stale));
    t_spew(path, copy, file.n);
    wr_free(copy);

    T_OK(wr_ledger_open(wr_fs_posix(), dir, 4096, LOCK_PGNO, 1, &l, &e));
    T(wr_ledger_state(l).txid == 1);
    T_OK(wr_ledger_close_txid(l, 2, &change, 1, 4, &pos, &e));
    T(wr_ledger_peek_txid(wr_fs_posix(), dir) == 2); /* while it is in use */
    T(wr_ledger_page(l, 3) == 0);
    was = wr_ledger_state(l);
    wr_ledger_close(l);
    T_OK(wr_ledger_open(wr_fs_posix(), dir, 4096, LOCK_PGNO, 1, &l, &e));
    T(wr_ledger_state(l).txid == 2 && wr_ledger_state(l).rolling == was.rolling);
    wr_ledger_close(l);
}

/* Both files of the journal end with the same number, as when somebody has copied one: the newest
 * record is then not the close that did not get through, nor where that one is. */
static void test_two_records_have_one_number(void **state)
{
    const char *dir = t_tmpdir(), *other = t_path(dir, "other");
    const uint8_t closed[12] = {1};
    struct wr_ledger_state now;
    struct wr_err e = {0};
    struct model m;
    struct wr_bytes file;

    (void)state;
    model_open(&m, t_path(dir, "a"), 11);
    model_fill(&m, 5);
    now = wr_ledger_state(m.l);
    struct wr_journal_rec rec = {.kind = WR_JOURNAL_CAPTURE, .txid_before = 1, .txid = 1};
    add_record(&m, &rec, (struct wr_bytes){closed, 0});
    rec = (struct wr_journal_rec){.kind = WR_JOURNAL_CLOSE,
        .txid_before = now.txid,
        .txid = now.txid + 1,
        .rolling_before = now.rolling,
        .commit_before = now.commit,
        .n = 1};
    struct model copy = {.dir = other};
    T_OK(wr_mkdirs(wr_fs_posix(), other, 0700, &e));
    add_record(&copy, &rec, (struct wr_bytes){closed, sizeof(closed)});
    file = t_slurp(t_path(other, "journal.0"));
    t_spew(t_path(m.dir, "journal.1"), file.p, file.n);
    T_OK(wr_ledger_open(wr_fs_posix(), m.dir, 4096, LOCK_PGNO, 1, &m.l, &e));
    T(wr_ledger_state(m.l).txid == now.txid && wr_ledger_state(m.l).rolling == now.rolling);
    model_release(&m);
}

static void test_a_journal_of_more_pages_than_the_ledger(void **state)
{
    const uint8_t closed[12] = {1};
    struct wr_ledger_state now;
    struct wr_err e = {0};
    struct model m;

    (void)state;
    model_open(&m, t_path(t_tmpdir(), "a"), 12);
    model_fill(&m, 5);
    now = wr_ledger_state(m.l);
    struct wr_journal_rec rec = {.kind = WR_JOURNAL_CLOSE,
        .txid_before = now.txid,
        .txid = now.txid + 1,
        .rolling_before = now.rolling,
        .commit_before = UINT32_MAX / 2,
        .n = 1};
    add_record(&m, &rec, (struct wr_bytes){closed, sizeof(closed)});
    T_OK(wr_ledger_open(wr_fs_posix(), m.dir, 4096, LOCK_PGNO, 1, &m.l, &e));
    T(wr_ledger_state(m.l).commit == now.commit && wr_ledger_state(m.l).rolling == now.rolling);
    model_release(&m);
}

/* The bytes of a TXID that nobody closed, in some copies of the header. */
static void test_a_txid_that_nobody_closed(void **state)
{
    static const uint64_t wrong[] = {UINT64_MAX, UINT64_MAX / 4, (uint64_t)1 << 40, 9};
    const char *dir = t_tmpdir();
    struct image im = {0};
    struct model m;
    struct wr_err e = {0};

    (void)state;
    model_open(&m, t_path(dir, "a"), 13);
    model_fill(&m, 7);
    wr_ledger_close(m.l);
    image_take(&im, m.dir);
    for (size_t i = 0; i < wr_countof(wrong) * 7 * 2; i++) {
        struct image bad = {0};

        image_copy(&bad, &im);
        for (size_t copy = 0; copy < 3; copy++) {
            if ((i / 2 % 7 + 1) & ((size_t)1 << copy))
                wr_put_le64(bad.p[0] + copy * 1024 + (i % 2 ? 56 : 16), wrong[i / 14]);
        }
        image_put(&bad, m.dir);
        image_release(&bad);
        T_OK(wr_ledger_open(wr_fs_posix(), m.dir, 4096, LOCK_PGNO, 1, &m.l, &e));
        T(wr_ledger_state(m.l).txid == 0 || wr_ledger_state(m.l).txid == 7);
        T_OK(wr_ledger_reset(m.l, &e));
        T(wr_ledger_floor(m.l) == 0 || wr_ledger_floor(m.l) == 7);
        wr_ledger_close(m.l);
    }
    image_release(&im);
    m.l = NULL;
    model_release(&m);
}

static void test_txids_run_out(void **state)
{
    const struct wr_pos pos = pos_at(1);
    struct model m;
    struct wr_err e = {0};

    (void)state;
    model_open(&m, t_path(t_tmpdir(), "a"), 14);
    T_OK(wr_ledger_fill_begin(m.l, 1, &e));
    T_IS(WR_CORRUPT, wr_ledger_fill_end(m.l, WR_TXID_SANE, &pos, &e));
    T(wr_ledger_state(m.l).txid == 0);
    model_fill(&m, WR_TXID_SANE - 1);
    T_IS(WR_CORRUPT, wr_ledger_close_txid(m.l, WR_TXID_SANE, NULL, 0, last(&m)->commit, &pos, &e));
    check_state(m.l, last(&m));
    wr_ledger_close(m.l);
    open_ledger(&m);
    check_state(m.l, last(&m));
    model_release(&m);
}

static const char *synced_dir;

static enum wr_status note_sync_dir(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    synced_dir = path;
    return spy_sync_dir(fs, path, e);
}

/* Whoever made the files was killed before the names were on disk. */
static void test_a_ledger_found_is_lost_in_a_power_cut(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_fs fs = spy_fs;
    struct wr_ledger *l = NULL;
    struct wr_err e = {0};

    (void)state;
    fs.sync_dir = note_sync_dir;
    for (int i = 0; i < 2; i++) {
        synced_dir = NULL;
        T_OK(wr_ledger_open(&fs, dir, 4096, LOCK_PGNO, 1, &l, &e));
        T(synced_dir && strcmp(synced_dir, dir) == 0);
        wr_ledger_close(l);
    }
}

/* A sparse copy: with no room left, a store to the mapping would be a SIGBUS. */
static void test_a_ledger_with_holes_on_a_full_disk(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "ledger");
    struct wr_ledger *l = NULL;
    struct wr_err e = {0};
    struct stat s;

    (void)state;
    t_spew(path, "", 0);
    T(truncate(path, 1 << 20) == 0);
    disk.full = true;
    T_IS(WR_LIMIT, wr_ledger_open(&spy_fs, dir, 4096, LOCK_PGNO, 1, &l, &e));
    disk.full = false;
    T_OK(wr_ledger_open(&spy_fs, dir, 4096, LOCK_PGNO, 1, &l, &e));
    T(stat(path, &s) == 0 && s.st_size == 1 << 20 && s.st_blocks * 512 >= s.st_size);
    wr_ledger_close(l);
}

static void test_second_open_is_busy(void **state)
{
    const char *dir = t_tmpdir();
    struct wr_ledger *a = NULL, *b = NULL;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_ledger_open(wr_fs_posix(), dir, 4096, LOCK_PGNO, 1, &a, &e));
    T_IS(WR_BUSY, wr_ledger_open(wr_fs_posix(), dir, 4096, LOCK_PGNO, 1, &b, &e));
    T(b == NULL && strstr(e.text, "open the ledger in") != NULL);
    wr_ledger_close(a);
    T_OK(wr_ledger_open(wr_fs_posix(), dir, 4096, LOCK_PGNO, 1, &b, &e));
    wr_ledger_close(b);
    wr_ledger_close(NULL);
    T_IS(WR_NOTFOUND,
        wr_ledger_open(wr_fs_posix(), t_path(dir, "absent"), 4096, LOCK_PGNO, 1, &b, &e));
}

static void test_reset_forgets(void **state)
{
    struct model m;
    struct wr_err e = {0};

    (void)state;
    make_ledger(&m, t_path(t_tmpdir(), "a"), 10);
    T_OK(wr_ledger_reset(m.l, &e));
    T(wr_ledger_state(m.l).txid == 0);
    T_OK(note_captured(&m, &e)); /* promises nothing, costs nothing */
    wr_ledger_close(m.l);
    m.l = NULL;
    expect_empty(m.dir, 4096, LOCK_PGNO);
    model_release(&m);
}

/* ---- memory ---- */

struct sweep {
    struct image im;
    const char *dir;
    struct model *m;
    struct state *s;
};

static enum wr_status sweep_all(void *arg)
{
    struct sweep *w = arg;
    struct model *m = w->m;
    struct wr_ledger_change changes[PAGES];
    size_t n = changes_of(w->s, changes);
    struct wr_pageset set, out;
    struct wr_err e = {0};
    bool known;
    enum wr_status st;

    image_put(&w->im, w->dir);
    wr_pageset_init(&set);
    wr_pageset_init(&out);
    wr_pageset_add(&set, 3);
    st = wr_ledger_open(wr_fs_posix(), w->dir, 4096, LOCK_PGNO, 1, &m->l, &e);
    if (st == WR_OK)
        st = wr_ledger_note(m->l, &set, &w->s->pos, &e);
    if (st == WR_OK) {
        st = wr_ledger_close_txid(m->l, w->s->txid, changes, n, w->s->commit, &w->s->pos, &e);
        check_state(m->l, st == WR_OK ? w->s : last(m));
    }
    if (st == WR_OK)
        st = wr_ledger_since(m->l, last(m)->txid, last(m)->rolling, &out, &known, &e);
    if (st == WR_OK) {
        T(known);
        for (size_t i = 0; i < n; i++)
            T(has(&out, changes[i].pgno));
    }
    if (st == WR_OK)
        st = wr_ledger_ack(m->l, w->s->txid, &e);
    wr_ledger_close(m->l);
    m->l = NULL;
    wr_pageset_release(&set);
    wr_pageset_release(&out);
    return st;
}

static void test_no_memory(void **state)
{
    const char *dir = t_tmpdir();
    struct model m;
    struct sweep w = {.m = &m, .dir = t_path(dir, "copy"), .s = wr_alloc(sizeof(*w.s))};

    (void)state;
    T(w.s != NULL && mkdir(w.dir, 0700) == 0);
    make_ledger(&m, t_path(dir, "a"), 11);
    wr_ledger_close(m.l);
    m.l = NULL;
    image_take(&w.im, m.dir);
    model_capture(&m, last(&m)->commit, 20);
    next_state(&m, w.s);
    t_sweep_nomem(sweep_all, &w);
    image_release(&w.im);
    wr_free(w.s);
    model_release(&m);
}

/* What one record of the journal holds is known before it is tried: a full disk says the same. */
static void test_what_fits_one_close(void **state)
{
    struct model m;

    (void)state;
    model_open(&m, t_path(t_tmpdir(), "a"), 9);
    model_fill(&m, 1);
    uint32_t commit = last(&m)->commit;
    T(wr_ledger_can_close(m.l, 0, commit) && wr_ledger_can_close(m.l, (size_t)1 << 24, commit));
    T(!wr_ledger_can_close(m.l, ((size_t)1 << 24) + 1, commit));
    T(wr_ledger_can_close(m.l, ((size_t)1 << 24) - commit, 0)); /* pages that are cut off count */
    T(!wr_ledger_can_close(m.l, ((size_t)1 << 24) - commit + 1, 0));
    model_release(&m);
}

/* ---- which file it is about ---- */

static const struct wr_file_mark a_file = {
    .ino = 7, .size = 8192, .mtime_ns = 1234567891011, .change_ns = 1234567891213};

/* What the next process finds. */
static struct wr_ledger_state reopened(struct model *m)
{
    wr_ledger_close(m->l);
    open_ledger(m);
    check_state(m->l, last(m));
    return wr_ledger_state(m->l);
}

/* The positions proved what was written after them, and nothing told to which file. */
static void test_the_file_that_it_is_about_was_not_known(void **state)
{
    struct wr_ledger_state is;
    struct model m;

    (void)state;
    model_open(&m, t_path(t_tmpdir(), "a"), 7);
    model_fill(&m, 1);
    T(reopened(&m).file.ino == 0);
    wr_ledger_mark(m.l, &a_file);
    is = reopened(&m);
    T(wr_file_mark_equal(&is.file, &a_file) && is.rest == 0);
    model_capture(&m, last(&m)->commit, 3);
    model_close(&m);
    is = reopened(&m); /* closing writes no file */
    T(wr_file_mark_equal(&is.file, &a_file) && is.rest == 0);
    wr_ledger_distrust(m.l);
    T(reopened(&m).file.ino == 0);
    model_release(&m);
}

static void test_a_file_at_rest_is_so_until_a_txid_is_closed(void **state)
{
    struct wr_file_mark other = a_file;
    struct wr_pos pos = pos_at(1000);
    struct wr_ledger_state is;
    struct model m;

    (void)state;
    model_open(&m, t_path(t_tmpdir(), "a"), 7);
    model_fill(&m, 1);
    for (int how = 0; how < 3; how++) {
        wr_ledger_distrust(m.l);
        wr_ledger_rest(m.l, &a_file, &pos, 42);
        is = reopened(&m);
        T(wr_file_mark_equal(&is.file, &a_file) && is.rest == 42);
        T(memcmp(&is.pos, &pos, sizeof(pos)) == 0);
        wr_ledger_mark(m.l, &a_file);
        T(reopened(&m).rest == 42);
        other.change_ns++;
        if (how == 0) {
            wr_ledger_mark(m.l, &other);
        } else if (how == 1) {
            wr_ledger_distrust(m.l);
        } else {
            model_capture(&m, last(&m)->commit, 3);
            model_close(&m);
        }
        T(wr_ledger_state(m.l).rest == 0 && reopened(&m).rest == 0);
    }
    model_release(&m);
}

/* A copy of the files of a ledger that is open, as a power cut finds them: opened in another run of
 * the machine; 0: which one that is cannot be told. */
static bool lacks(const struct model *m, const char *copy, uint64_t run)
{
    static const char *const names[] = {"ledger", "journal.0", "journal.1"};
    struct wr_ledger *l = NULL;
    struct wr_err e = {0};
    bool ret;

    (void)mkdir(copy, 0700);
    for (size_t i = 0; i < wr_countof(names); i++) {
        char from[600];

        (void)snprintf(from, sizeof(from), "%s/%s", m->dir, names[i]);
        if (access(from, F_OK) == 0) {
            struct wr_bytes is = t_slurp(from);

            t_spew(t_path(copy, names[i]), is.p, is.n);
        }
    }
    T_OK(wr_ledger_open(wr_fs_posix(), copy, 4096, LOCK_PGNO, run, &l, &e));
    T(wr_ledger_state(l).txid > 0);
    ret = wr_ledger_floor(l) > wr_ledger_state(l).txid;
    wr_ledger_close(l);
    return ret;
}

/* What was given away behind the last sync, nobody knows; nor does it go by itself. */
static void test_who_may_have_forgotten_txids_knows_it_until_one_is_closed(void **state)
{
    const char *dir = t_tmpdir(), *copy = t_path(dir, "copy");
    struct wr_err e = {0};
    struct model m;

    (void)state;
    model_open(&m, t_path(dir, "a"), 8);
    model_fill(&m, 1);
    T(!wr_ledger_given(m.l));
    T_OK(wr_ledger_sync(m.l, &e));
    T(wr_ledger_given(m.l));
    T(!lacks(&m, copy, 1)); /* killed, while the machine goes on */
    T(lacks(&m, copy, 2) && lacks(&m, copy, 0));
    wr_ledger_close(m.l);
    T_OK(wr_ledger_open(wr_fs_posix(), m.dir, 4096, LOCK_PGNO, 2, &m.l, &e));
    T(wr_ledger_floor(m.l) <= 1 && !wr_ledger_given(m.l)); /* it was closed */
    model_capture(&m, last(&m)->commit, 3);
    model_close(&m);
    T(!wr_ledger_given(m.l));
    T(!lacks(&m, copy, 2));
    T(lacks(&m, copy, 3));
    model_release(&m);
}

/* Somebody who was told of the first TXID of many was not told of the others: the room that is left
 * for what a power cut takes is 2^20. */
static void test_more_txids_than_there_is_room_for_were_never_synced(void **state)
{
    struct wr_pos pos = {0};
    struct wr_err e = {0};
    struct model m;

    (void)state;
    model_open(&m, t_path(t_tmpdir(), "a"), 8);
    model_fill(&m, 1);
    T_OK(wr_ledger_sync(m.l, &e));
    T_OK(wr_ledger_close_txid(m.l, WR_LEDGER_UNSYNCED, NULL, 0, 8, &pos, &e));
    T(wr_ledger_given(m.l));
    T_OK(wr_ledger_close_txid(m.l, WR_LEDGER_UNSYNCED + 1, NULL, 0, 8, &pos, &e));
    T(!wr_ledger_given(m.l));
    T_OK(wr_ledger_sync(m.l, &e));
    T(wr_ledger_given(m.l));
    wr_ledger_close(m.l);
    T_OK(wr_ledger_open(wr_fs_posix(), m.dir, 4096, LOCK_PGNO, 1, &m.l, &e));
    T_OK(wr_ledger_close_txid(m.l, WR_LEDGER_UNSYNCED + 2, NULL, 0, 8, &pos, &e));
    T_OK(wr_ledger_sync(m.l, &e));
    T(wr_ledger_given(m.l));
    model_release(&m);
}

/* The notes that give the position its sense are in the journal. The header had that position, too,
 * as soon as anything else was written to it, and after a power cut, or with a note missing, was
 * all that was left of them. */
static void test_the_header_had_a_position_without_its_notes(void **state)
{
    struct wr_pos far = pos_at(1000), is;
    struct wr_file_mark file = a_file;
    struct wr_err e = {0};
    struct wr_pageset one;
    struct model m;

    (void)state;
    wr_pageset_init(&one);
    wr_pageset_add(&one, 1);
    for (int how = 0; how < 4; how++) {
        model_open(&m, t_path(t_tmpdir(), "a"), 7);
        model_fill(&m, 1);
        model_capture(&m, last(&m)->commit, 3);
        model_close(&m);
        model_capture(&m, last(&m)->commit, 3);
        disk.full = !(how & 2);
        T_IS(disk.full ? WR_LIMIT : WR_OK, note_captured(&m, &e));
        disk.full = false;
        T_OK(wr_ledger_note(m.l, &one, &far, &e));
        file.change_ns++;
        if (how & 1)
            wr_ledger_mark(m.l, &file);
        else
            T_OK(wr_ledger_sync(m.l, &e));
        wr_ledger_close(m.l);
        if (how & 2) {
            T(truncate(t_path(m.dir, "journal.0"), 0) == 0);
            T(truncate(t_path(m.dir, "journal.1"), 0) == 0);
        }
        open_ledger(&m);
        is = wr_ledger_state(m.l).pos;
        T(pos_same(&is, &last(&m)->pos));
        model_release(&m);
    }
    wr_pageset_release(&one);
}

/* One of an older version knows nothing of the file; all else counts. So does a mark that was torn.
 */
static void test_a_ledger_without_a_file(void **state)
{
    const char *dir = t_path(t_tmpdir(), "a"), *path;
    struct wr_bytes was;
    struct model m;
    uint8_t *p;

    (void)state;
    model_open(&m, dir, 7);
    model_fill(&m, 1);
    wr_ledger_mark(m.l, &a_file);
    wr_ledger_close(m.l);
    path = t_path(dir, "ledger");
    was = t_slurp(path);
    p = wr_alloc(was.n);
    T(p != NULL);
    for (size_t at = 88; at < 136; at++) {
        memcpy(p, was.p, was.n);
        for (size_t copy = 0; copy < 3; copy++)
            p[copy * 1024 + at] ^= 1;
        t_spew(path, p, was.n);
        open_ledger(&m);
        check_state(m.l, last(&m));
        T(wr_ledger_state(m.l).file.ino == 0);
        wr_ledger_close(m.l);
    }
    wr_free(p);
    open_ledger(&m);
    model_release(&m);
}

/* What was said last; where it cannot be read, all is over strays. */
static void test_strays_are_remembered(void **state)
{
    const char *dir = t_path(t_tmpdir(), "a"), *path = t_path(dir, "ledger");
    struct wr_bytes was;
    struct model m;
    uint8_t *p;

    (void)state;
    model_open(&m, dir, 7);
    model_fill(&m, 1);
    T(wr_ledger_strays(m.l).txid == 1); /* behind which nothing is known */
    model_close(&m);
    wr_ledger_over_strays(m.l);
    T(wr_ledger_strays(m.l).txid == wr_ledger_state(m.l).txid);
    T(wr_ledger_strays(m.l).rolling == wr_ledger_state(m.l).rolling);
    wr_ledger_close(m.l);
    was = t_slurp(path);
    open_ledger(&m);
    check_state(m.l, last(&m));
    T(wr_ledger_strays(m.l).txid == wr_ledger_state(m.l).txid);
    T(wr_ledger_strays(m.l).rolling == wr_ledger_state(m.l).rolling);
    wr_ledger_close(m.l);
    p = wr_alloc(was.n);
    T(p != NULL);
    memcpy(p, was.p, was.n);
    for (size_t copy = 0; copy < 3; copy++)
        p[copy * 1024 + 136] ^= 1;
    t_spew(path, p, was.n);
    wr_free(p);
    open_ledger(&m);
    check_state(m.l, last(&m));
    T(wr_ledger_strays(m.l).txid == wr_ledger_state(m.l).txid);
    T(wr_ledger_strays(m.l).rolling == wr_ledger_state(m.l).rolling); /* whatever it was */
    model_release(&m);
}

T_MAIN(T_TEST(test_more_txids_than_there_is_room_for_were_never_synced),
    T_TEST(test_who_may_have_forgotten_txids_knows_it_until_one_is_closed),
    T_TEST(test_strays_are_remembered), T_TEST(test_random_history),
    T_TEST(test_an_idle_ledger_is_on_the_disk), T_TEST(test_what_fits_one_close),
    T_TEST(test_full_disk_keeps_the_state), T_TEST(test_distrust_lasts_until_a_txid_is_closed),
    T_TEST(test_failed_note_voids_those_after_it),
    T_TEST(test_other_shapes_and_damage_come_back_empty), T_TEST(test_second_open_is_busy),
    T_TEST(test_a_ledger_found_is_lost_in_a_power_cut),
    T_TEST(test_a_ledger_with_holes_on_a_full_disk), T_TEST(test_a_txid_that_nobody_closed),
    T_TEST(test_txids_run_out), T_TEST(test_a_journal_names_page_0),
    T_TEST(test_two_records_have_one_number), T_TEST(test_a_journal_of_more_pages_than_the_ledger),
    T_TEST(test_checksums_behind_the_last_page_come_back), T_TEST(test_reset_forgets),
    T_TEST(test_no_memory), T_TEST(test_the_file_that_it_is_about_was_not_known),
    T_TEST(test_a_file_at_rest_is_so_until_a_txid_is_closed), T_TEST(test_a_ledger_without_a_file),
    T_TEST(test_the_header_had_a_position_without_its_notes))
