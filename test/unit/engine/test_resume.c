/*
 * test_resume.c - restores that were killed, canceled or cut off, and the ones that go on with what
 * they left.
 */
/* For S_IFREG and symlink, which are XSI and not plain POSIX. */
#define _XOPEN_SOURCE 700 /* NOLINT(bugprone-reserved-identifier) */

#include "base/bytes.h"
#include "base/crc64.h"
#include "engine/draft.h"
#include "engine/inputs.h"
#include "engine/place.h"
#include "unit/engine/resume_world.h"

#include <lz4frame.h>

/* ---- killed ---- */

static void test_a_killed_restore_is_gone_on_with(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        struct wr_restore_result whole, r;
        uint64_t pieces;
        struct rig g;

        rig_init(&g, rolling, PAGE, PAGES);
        whole = rig_restored(&g, 1);
        pieces = g.w.pieces;
        T(pieces >= 6 && whole.bytes_resumed == 0 && g.w.piece_bytes == whole.bytes_read);
        for (uint64_t nth = 1; nth <= pieces; nth++) {
            rig_killed(&g, nth);
            T(t_names_in(g.dir) == 2);
            r = rig_restored(&g, (unsigned)nth);
            assert_int_equal(g.w.pieces, pieces - (nth - 1));
            T(g.w.piece_bytes == r.bytes_read);
            T(r.bytes_read + r.bytes_resumed == whole.bytes_read);
            T(r.verified == rolling && (nth == 1) == (r.bytes_resumed == 0));
        }
        rig_release(&g);
    }
}

static void test_killed_again_and_again(void **state)
{
    struct wr_restore_result r;
    struct rig g;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    for (int i = 0; i < 5; i++)
        rig_killed(&g, 2); /* each time one piece further */
    r = rig_restored(&g, 2);
    T(r.bytes_resumed > r.bytes_read * 2);
    rig_release(&g);
}

/* Pages that the first run took from a file that no longer wins them are fetched; others are not.
 */
static void test_the_replica_has_moved_on(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        struct wr_restore_result r;
        struct rig g;

        rig_init(&g, round % 2, PAGE, PAGES);
        wr_rand_init(&g.random, t_seed() + (uint64_t)round);
        if (round > 3)
            rig_commit(&g, PAGES + 50, 200);
        for (int kills = 0; kills < 3; kills++) {
            uint32_t commit = PAGES - 1500 + (uint32_t)wr_rand_below(&g.random, 3000);

            rig_killed(&g, 1 + wr_rand_below(&g.random, 2) + (uint64_t)!kills);
            rig_commit(&g, commit, (uint32_t)wr_rand_below(&g.random, 300));
            if (wr_rand_below(&g.random, 2)) /* merged meanwhile */
                story_put(&g.s, &g.w, 1, 2, g.s.n);
        }
        r = rig_restored(&g, (unsigned)round % 3 + 1);
        /* The newest file is read first: where it is another one by now, that may be all of it. */
        T(r.bytes_resumed > 0 || round > 3);
        rig_release(&g);
    }
}

/* A snapshot came between the two runs, with which a plan begins: nothing of what had been fetched
 * of the one before it was used. It is where that costs less, and where the database's checksum is
 * recorded, so that it is known to be the same. */
static void test_a_newer_snapshot_cost_all_that_was_fetched(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        bool rolling = round & 1, soon = round & 2, gone = round & 4;
        struct wr_restore_result r;
        struct rig g;

        rig_init(&g, rolling, PAGE, PAGES);
        rig_commit(&g, PAGES, 100);
        rig_commit(&g, PAGES, 100);
        rig_killed(&g, soon ? 1 : 6);
        story_commit(&g.s, PAGES + 10, 20);
        if (!gone)
            story_put(&g.s, &g.w, 0, g.s.n, g.s.n);
        story_put(&g.s, &g.w, 9, 1, g.s.n);
        r = rig_restored(&g, 2);
        if (rolling && !soon && !gone)
            T(r.bytes_resumed > r.bytes_read / 2 && r.verified);
        else
            T(r.bytes_resumed == 0);
        rig_release(&g);
    }
}

/* The newer one is not the last file, and the one before the last is the one that was begun with.
 */
static void test_two_newer_snapshots(void **state)
{
    struct wr_restore_result r;
    struct rig g;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    rig_commit(&g, PAGES, 50);
    rig_killed(&g, 6);
    for (int i = 0; i < 2; i++) {
        rig_commit(&g, PAGES, 20);
        story_put(&g.s, &g.w, 9, 1, g.s.n);
        rig_commit(&g, PAGES, 20);
    }
    r = rig_restored(&g, 2);
    T(r.bytes_resumed > r.bytes_read && r.verified && r.txid == 6);
    rig_release(&g);
}

/* A database that shrank and grew, and one whose snapshot was taken anew: nothing old shows. */
static void test_no_page_of_an_older_plan_survives(void **state)
{
    static const uint32_t commits[] = {20, 4000, 8000};

    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        for (size_t i = 0; i < wr_countof(commits); i++) {
            struct rig g;

            rig_init(&g, rolling, PAGE, PAGES);
            rig_killed(&g, 4);
            story_commit(&g.s, commits[i], 0);
            story_rewrite(&g.s, 1, commits[i]);
            story_put(&g.s, &g.w, 9, 1, 2);
            T(rig_restored(&g, 2).bytes_resumed == 0);
            rig_release(&g);
        }
    }
}

/* Each loser has to be fetched where files are read whole, but not all that lies between them. */
static void test_losing_frames_do_not_cost_the_whole_piece(void **state)
{
    struct wr_restore_result r;
    struct rig g;

    (void)state;
    rig_init(&g, false, PAGE, PAGES);
    rig_commit(&g, PAGES, 10);
    rig_killed(&g, g.w.pieces + 6);
    r = rig_restored(&g, 1);
    T(r.bytes_resumed > r.bytes_read);
    rig_release(&g);
}

/* ---- files as Litestream wrote them up to 0.5.15 ---- */

static void put_frames(struct wr_buf *b, const struct story *s, uint64_t *crc, struct wr_buf *index)
{
    static uint8_t payload[2 * PAGE];
    const LZ4F_preferences_t prefs = {
        .frameInfo = {.contentChecksumFlag = LZ4F_contentChecksumEnabled}};
    uint8_t head[6] = {0}, varint[WR_VARINT_MAX];

    for (uint32_t pgno = 1; pgno <= s->image[1].commit; pgno++) {
        const uint8_t *page = story_page(s, 1, pgno);
        uint64_t off = b->n;
        size_t n;

        if (pgno == story_lock(s))
            continue;
        n = LZ4F_compressFrame(payload, sizeof(payload), page, s->page_size, &prefs);
        T(!LZ4F_isError(n));
        wr_put_be32(head, pgno);
        wr_buf_put(b, head, sizeof(head));
        wr_buf_put(b, payload, n);
        *crc = wr_crc64(wr_crc64(*crc, head, sizeof(head)), page, s->page_size);
        wr_buf_put(index, varint, wr_put_varint(varint, pgno));
        wr_buf_put(index, varint, wr_put_varint(varint, off));
        wr_buf_put(index, varint, wr_put_varint(varint, b->n - off));
    }
    wr_buf_byte(index, 0);
}

static void put_old_snapshot(struct rig *g)
{
    struct wr_call *c = t_call();
    uint8_t head[WR_LTX_HEADER_SIZE], number[8];
    const struct wr_ltx_header h = {
        .page_size = g->s.page_size, .commit = g->s.image[1].commit, .min_txid = 1, .max_txid = 1};
    struct wr_buf b, index;
    struct wr_err e = {0};
    uint64_t crc;

    wr_buf_init(&b, (size_t)1 << 28);
    wr_buf_init(&index, (size_t)1 << 28);
    T_OK(wr_ltx_header_put(head, &h, &e));
    crc = wr_crc64(0, head, sizeof(head));
    wr_buf_put(&b, head, sizeof(head));
    put_frames(&b, &g->s, &crc, &index);
    wr_put_be64(number, index.n);
    wr_buf_put(&index, number, 8);
    memset(number, 0, sizeof(number));
    wr_buf_put(&b, number, 6);
    crc = wr_crc64(crc, number, 6);
    wr_buf_put(&index, number, 8);
    wr_buf_put(&b, index.p, index.n);
    crc = wr_crc64(crc, index.p, index.n);
    wr_put_be64(number, crc | WR_LTX_CHECKSUM_EMPTY);
    wr_buf_put(&b, number, 8);
    world_store(
        &g->w, wr_layout_ltx_key(c->scratch, g->w.storage, 9, 1, 1), wr_buf_bytes(&b), 1000);
    wr_buf_release(&b);
    wr_buf_release(&index);
}

static void test_old_frames_are_gone_on_with(void **state)
{
    struct rig g;

    (void)state;
    rig_init(&g, false, PAGE, PAGES);
    put_old_snapshot(&g);
    rig_killed(&g, 5);
    T(rig_restored(&g, 2).bytes_resumed > (uint64_t)6 << 20);
    T(g.w.pieces == 3 || g.w.pieces == 4);
    rig_release(&g);
}

/* ---- damage ---- */

static void test_a_damaged_page_is_fetched_again(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        struct wr_restore_result r;
        struct left l;
        struct rig g;

        rig_init(&g, rolling, PAGE, PAGES);
        rig_killed(&g, 6);
        l = left_in(g.dir);
        l.file[(size_t)700 * PAGE + 77] ^= 4;
        left_again(&l, g.dir);
        r = rig_restored(&g, 1);
        assert_int_equal(g.w.pieces, 3); /* the two that were missing, and one */
        T(r.bytes_resumed > r.bytes_read / 2);

        /* After a power cut: the map is there, what it speaks of is not. */
        memset(l.file + (size_t)100 * PAGE, 0, (size_t)3000 * PAGE);
        left_again(&l, g.dir);
        r = rig_restored(&g, 3);
        T(g.w.pieces < 10 && r.bytes_resumed > 0);
        left_release(&l);
        rig_release(&g);
    }
}

static void test_the_lock_page_stays_empty(void **state)
{
    struct left l;
    struct rig g;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    rig_killed(&g, 3);
    l = left_in(g.dir);
    memset(l.file + LOCK_OFFSET, 0xaa, PAGE);
    left_again(&l, g.dir);
    T(rig_restored(&g, 2).bytes_resumed > 0);
    l.map[0] = 'w'; /* nor is the file of a map that is not gone on with taken as it is */
    left_again(&l, g.dir);
    T(rig_restored(&g, 2).bytes_resumed == 0);
    left_release(&l);
    rig_release(&g);
}

/* Whatever the map has become, the result is right; most of it is ignored or refuted. */
static void test_a_torn_map_is_not_trusted(void **state)
{
    static uint8_t map[(SMALL + 1) * WR_DRAFT_ENTRY];

    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        struct rig g;
        struct left l = small_leftover(&g, rolling);
        size_t used = 0;

        T(l.map_size == sizeof(map));
        left_again(&l, g.dir);
        T(rig_restored(&g, 1).bytes_resumed > 0);
        for (int i = 0; i < 300; i++) {
            size_t n = sizeof(map);
            int kind = i % 4;

            memcpy(map, l.map, sizeof(map));
            if (kind == 0) /* cut */
                n = i < 120 ? (size_t)i / 4 : wr_rand_below(&g.random, sizeof(map));
            else if (kind == 1) /* bits flipped, sometimes in the header */
                for (int k = 0; k < 1 + i / 10; k++)
                    map[wr_rand_below(&g.random, i % 8 == 1 ? 12 : sizeof(map))] ^=
                        (uint8_t)(1u << wr_rand_below(&g.random, 8));
            else if (kind == 2) /* entries of other pages */
                memmove(map + 12, map + 24, sizeof(map) - 24);
            else /* foreign, but for the header */
                wr_rand_fill(&g.random, map + 12, sizeof(map) - 12);
            left_as(&l, g.dir, l.file_size, (struct wr_bytes){map, n});
            used += rig_restored(&g, 1).bytes_resumed > 0;
        }
        T(used > 20 && used < 280);
        left_release(&l);
        rig_release(&g);
    }
}

/* Pages of two files by turns, more than are looked at in one go; what is forgotten is that of one.
 * A map that cannot be changed is none any more. */
static void test_a_map_forgets_a_file(void **state)
{
    static const uint8_t page[512];
    const uint64_t identity[] = {0x1234567890, 0x9876543210};
    const struct wr_inputs x = {.page_size = 512, .commit = 1000, .lock_pgno = 2000};
    const char *dir = t_tmpdir(), *map_path = t_path(dir, "map");
    struct wr_file *file = NULL, *map = NULL;
    struct wr_draft d = {0};
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_file_open(wr_fs_posix(), t_path(dir, "db"),
        WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE, 0600, &file, &e));
    T_OK(wr_file_open(
        wr_fs_posix(), map_path, WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE, 0600, &map, &e));
    T_OK(wr_draft_open(&d, file, map, &x, &e));
    for (uint32_t pgno = 1; pgno <= 1000; pgno++) {
        const struct wr_draft_page is = {.checksum = pgno};
        uint8_t entry[WR_DRAFT_ENTRY];

        wr_draft_entry(entry, identity[pgno % 2], &is);
        T_OK(wr_draft_put(&d, pgno, (struct wr_bytes){page, sizeof(page)}, entry, &e));
    }
    wr_draft_forget(&d, identity[0]);
    wr_draft_release(&d);
    T_OK(wr_draft_open(&d, file, map, &x, &e));
    for (uint32_t pgno = 1; pgno <= 1000; pgno++) {
        T(!wr_draft_claims(&d, identity[0], pgno));
        T(wr_draft_claims(&d, identity[1], pgno) == (pgno % 2 == 1));
    }
    wr_file_close(map);
    T_OK(wr_file_open(wr_fs_posix(), map_path, WR_FILE_READ, 0, &d.map, &e));
    T(!d.unmapped);
    wr_draft_forget(&d, identity[0]); /* which it has not */
    T(!d.unmapped);
    wr_draft_forget(&d, identity[1]);
    T(d.unmapped);
    wr_file_close(d.map);
    d.map = NULL;
    wr_draft_forget(&d, identity[1]);
    wr_draft_release(&d);
    wr_file_close(file);
}

static void test_a_map_of_another_kind_is_ignored(void **state)
{
    struct rig g;
    struct left l = small_leftover(&g, true);
    const char *map = t_path(g.dir, l.map_name);
    uint8_t head[12];

    (void)state;
    memcpy(head, l.map, sizeof(head));
    wr_put_le32(l.map + 8, 1024); /* of another page size */
    left_again(&l, g.dir);
    T(rig_restored(&g, 1).bytes_resumed == 0);

    memcpy(l.map, head, sizeof(head));
    l.map[7] = '1'; /* of another version */
    left_again(&l, g.dir);
    T(rig_restored(&g, 1).bytes_resumed == 0);

    memcpy(l.map, head, sizeof(head));
    left_again(&l, g.dir); /* far too long: what is beyond the database is not read */
    T(truncate(map, (off_t)1 << 40) == 0);
    T(rig_restored(&g, 1).bytes_resumed > 0);

    left_as(&l, g.dir, 1000, (struct wr_bytes){l.map, l.map_size});
    T(rig_restored(&g, 1).bytes_resumed == 0);
    left_release(&l);
    rig_release(&g);
}

/* The retention of level 0 comes by, while the snapshot is being fetched. */
static void compact_at_third(struct world *w, uint64_t nth)
{
    struct rig *g = w->arg;

    if (nth != 3)
        return;
    story_put(&g->s, w, 1, 2, 3);
    for (uint64_t i = 2; i <= 3; i++)
        world_remove_key(w, wr_layout_ltx_key(t_call()->scratch, w->storage, 0, i, i));
}

/* They were read last, after all of the snapshot, and one that nothing else leads to was gone. */
static void test_files_that_live_for_minutes_were_read_last(void **state)
{
    struct wr_restore_opts o;
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct rig g;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    for (int i = 0; i < 2; i++) { /* too large to be read with their indexes */
        story_commit(&g.s, PAGES, 0);
        story_rewrite(&g.s, 1000, 1200);
        story_put(&g.s, &g.w, 0, g.s.n, g.s.n);
    }
    o = rig_opts(&g, 1);
    o.txid = 2;
    world_fail(&g.w, 0, 0, WR_OK);
    g.w.in_piece = compact_at_third;
    T_OK(wr_restore(g.w.storage, t_call(), &o, &r, &e));
    T(r.txid == 2 && g.w.pieces > 5);
    g.s.n = 2; /* what rig_check compares with */
    rig_check(&g);
    g.s.n = 3;
    rig_release(&g);
}

static void vanish_at_fifth(struct world *w, uint64_t nth)
{
    if (nth == 5)
        world_remove_key(w, wr_layout_ltx_key(t_call()->scratch, w->storage, 9, 1, 1));
}

/* That it is not there any more was told, but not what the disk was left with. */
static void test_what_is_kept_of_a_vanished_transaction_is_told(void **state)
{
    struct wr_restore_opts o;
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct rig g;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    rig_commit(&g, PAGES, 10);
    o = rig_opts(&g, 1);
    o.txid = 2;
    world_fail(&g.w, 0, 0, WR_OK);
    g.w.in_piece = vanish_at_fifth;
    T_IS(WR_NOTFOUND, wr_restore(g.w.storage, t_call(), &o, &r, &e));
    T(t_names_in(g.dir) == 2);
    T(strstr(e.text, "is kept in") && strstr(e.text, ".tmp-") && strstr(e.text, "no matching"));
    rig_release(&g);
}

/* The snapshot is still the same, and the files on it are one by now. */
static void compact_at_fourth(struct world *w, uint64_t nth)
{
    struct rig *g = w->arg;

    if (nth != 4)
        return;
    story_put(&g->s, w, 1, 2, 3);
    for (uint64_t i = 2; i <= 3; i++)
        world_remove_key(w, wr_layout_ltx_key(t_call()->scratch, w->storage, 0, i, i));
    w->fail_from = w->requests + 1; /* of another file, as far as a test can tell: BUSY it is */
    w->fail_n = 1;
    w->fail_with = WR_NOTFOUND;
}

/* "14 MB fetched by an earlier run": there was none, or it had left less. */
static void test_what_a_plan_had_fetched_was_called_an_earlier_runs(void **state)
{
    (void)state;
    for (int killed = 0; killed < 2; killed++) {
        struct wr_restore_result whole, r = {0};
        struct wr_restore_opts o;
        struct wr_err e = {0};
        struct rig g;

        rig_init(&g, true, PAGE, PAGES);
        rig_commit(&g, PAGES, 10);
        rig_commit(&g, PAGES, 10);
        whole = rig_restored(&g, 1);
        if (killed)
            rig_killed(&g, 3); /* with two of seven pieces */
        o = rig_opts(&g, 1);
        world_fail(&g.w, 0, 0, WR_OK);
        g.w.in_piece = compact_at_fourth;
        T_OK(wr_restore(g.w.storage, t_call(), &o, &r, &e));
        rig_check(&g);
        T(r.txid == 3 && (killed ? r.bytes_resumed > 0 : r.bytes_resumed == 0));
        T(r.bytes_resumed < whole.bytes_read / 2);
        T(r.bytes_read + r.bytes_resumed > whole.bytes_read * 9 / 10);
        g.w.in_piece = NULL;
        rig_release(&g);
    }
}

/* Another replica with a file of the same name and size: the contents decide. */
static void swap_pages(struct story *s, uint32_t a, uint32_t b)
{
    static uint8_t page[PAGE];

    memcpy(page, story_page(s, 1, a), PAGE);
    memcpy(story_page(s, 1, a), story_page(s, 1, b), PAGE);
    memcpy(story_page(s, 1, b), page, PAGE);
}

static void test_another_replica_is_not_mixed_in(void **state)
{
    struct wr_restore_result whole;
    struct rig g, other;

    (void)state;
    rig_init(&g, false, PAGE, PAGES);
    rig_init(&other, false, PAGE, PAGES);
    whole = rig_restored(&g, 1);
    for (uint32_t pgno = 1000; pgno < 2000; pgno += 2)
        swap_pages(&other.s, pgno, pgno + 1); /* a file of the same size, from the same seed */
    story_put(&other.s, &other.w, 9, 1, 1);
    rig_killed(&g, 4);
    other.dir = g.dir;
    other.path = g.path;
    T(rig_restored(&other, 2).bytes_read == whole.bytes_read);
    rig_release(&g);
    rig_release(&other);
}

/* ---- who may go on with what ---- */

static struct wr_place *open_place(const char *path)
{
    struct wr_place *p = NULL;
    struct wr_err e = {0};

    T_OK(wr_place_open(wr_fs_posix(), path, WR_PLACE_RESUMABLE, &p, &e));
    T(wr_place_map(p));
    T_OK(wr_file_pwrite(wr_place_map(p), "m", 1, 0, &e));
    return p;
}

static void test_two_restores_do_not_share_a_file(void **state)
{
    const char *dir = t_tmpdir();
    const char *path = t_path(dir, "db");
    struct wr_place *a = open_place(path), *b = open_place(path), *c;
    struct wr_err e = {0};

    (void)state;
    T(!wr_place_adopted(a) && !wr_place_adopted(b) && t_names_in(dir) == 4);
    T_OK(wr_place_seal(a, &e)); /* while SQLite checks it */
    c = open_place(path);
    T(!wr_place_adopted(c) && t_names_in(dir) == 6);
    wr_place_close(c);
    T_OK(wr_place_commit(a, NULL, &e));
    wr_place_close(a);
    T(file_exists(path) && t_names_in(dir) == 3);
    T_OK(wr_place_seal(b, &e)); /* and is killed while it does */
    wr_place_keep(b);
    wr_place_close(b);
    T(remove(path) == 0);
    a = open_place(path);
    T(wr_place_adopted(a));
    b = open_place(path); /* neither shares nor removes what is being gone on with */
    T(!wr_place_adopted(b) && t_names_in(dir) == 4);
    wr_place_close(b);
    T(t_names_in(dir) == 2);
    wr_place_close(a);
    T(t_names_in(dir) == 0);
}

static void restore_beside(struct world *w, uint64_t nth)
{
    struct rig *g = w->arg;
    const struct wr_restore_opts o = rig_opts(g, 1);
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    if (nth != 3)
        return;
    w->in_piece = NULL;
    T_OK(wr_restore(w->storage, t_call(), &o, &r, &e));
    T(r.bytes_resumed == 0);
    T(t_names_in(g->dir) == 3); /* its own, and the two of the one around it */
}

static void test_a_restore_within_a_restore(void **state)
{
    struct rig g;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    g.w.in_piece = restore_beside;
    (void)rig_restored(&g, 1);
    T(!g.w.in_piece);
    rig_release(&g);
}

static void test_the_furthest_is_chosen(void **state)
{
    struct rig g;
    struct left a, b;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    rig_killed(&g, 6);
    a = left_in(g.dir);
    T(remove(t_path(g.dir, a.file_name)) == 0 && remove(t_path(g.dir, a.map_name)) == 0);
    rig_killed(&g, 2);
    b = left_in(g.dir);
    left_again(&a, g.dir);
    T(t_names_in(g.dir) == 4 && strcmp(a.file_name, b.file_name) != 0);
    T(rig_restored(&g, 1).bytes_resumed > (uint64_t)8 << 20);
    left_release(&a);
    left_release(&b);
    rig_release(&g);
}

/* The map of one that has nothing but the newest file's pages, the last of all, is the longer one.
 */
static void test_the_last_page_is_not_the_furthest(void **state)
{
    struct rig g;
    struct left a;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    rig_killed(&g, 6);
    a = left_in(g.dir);
    T(rename(t_path(g.dir, a.file_name), t_path(g.dir, "kept")) == 0);
    T(rename(t_path(g.dir, a.map_name), t_path(g.dir, "kept-map")) == 0);
    story_commit(&g.s, PAGES, 0);
    story_rewrite(&g.s, PAGES - 100, PAGES);
    story_put(&g.s, &g.w, 0, 2, 2);
    rig_killed(&g, 2);
    T(rename(t_path(g.dir, "kept"), t_path(g.dir, a.file_name)) == 0);
    T(rename(t_path(g.dir, "kept-map"), t_path(g.dir, a.map_name)) == 0);
    assert_int_equal(t_names_in(g.dir), 4);
    T(rig_restored(&g, 1).bytes_resumed > (uint64_t)8 << 20);
    left_release(&a);
    rig_release(&g);
}

static bool same_file(const char *path, const struct left *l)
{
    struct wr_bytes got = t_slurp(path);

    return got.n == l->file_size && memcmp(got.p, l->file, got.n) == 0;
}

/* Nobody else's file becomes the database, nor one of ours that has another purpose. */
static void test_foreign_files_are_not_taken(void **state)
{
    struct rig g;
    struct left l;
    const char *file, *map, *aside;

    (void)state;
    rig_init(&g, true, PAGE, PAGES);
    rig_killed(&g, 4);
    l = left_in(g.dir);
    file = t_path(g.dir, l.file_name);
    map = t_path(g.dir, l.map_name);
    aside = t_path(t_tmpdir(), "aside");

    T(chmod(file, 0660) == 0);
    T(rig_restored(&g, 1).bytes_resumed == 0);
    left_again(&l, g.dir);
    T(chmod(map, 0666) == 0);
    T(rig_restored(&g, 1).bytes_resumed == 0);

    left_again(&l, g.dir);
    T(rename(file, aside) == 0 && link(aside, file) == 0);
    T(rig_restored(&g, 1).bytes_resumed == 0);
    T(same_file(aside, &l));

    left_again(&l, g.dir);
    T(remove(aside) == 0 && rename(file, aside) == 0 && symlink(aside, file) == 0);
    {
        const struct wr_restore_opts o = rig_opts(&g, 1);
        struct wr_restore_result r = {0};
        struct wr_err e = {0};

        T_OK(wr_restore(g.w.storage, t_call(), &o, &r, &e));
        T(r.bytes_resumed == 0 && same_file(aside, &l));
        T(remove(file) == 0 && remove(map) == 0 && remove(g.path) == 0);
    }
    if (geteuid() == 0) {
        left_again(&l, g.dir);
        T(chown(file, 12345, 12345) == 0);
        T(rig_restored(&g, 1).bytes_resumed == 0);
    }
    left_release(&l);
    rig_release(&g);
}

T_MAIN(T_TEST(test_a_killed_restore_is_gone_on_with), T_TEST(test_killed_again_and_again),
    T_TEST(test_the_replica_has_moved_on), T_TEST(test_no_page_of_an_older_plan_survives),
    T_TEST(test_a_newer_snapshot_cost_all_that_was_fetched), T_TEST(test_two_newer_snapshots),
    T_TEST(test_losing_frames_do_not_cost_the_whole_piece),
    T_TEST(test_old_frames_are_gone_on_with), T_TEST(test_a_damaged_page_is_fetched_again),
    T_TEST(test_the_lock_page_stays_empty), T_TEST(test_a_torn_map_is_not_trusted),
    T_TEST(test_a_map_forgets_a_file), T_TEST(test_a_map_of_another_kind_is_ignored),
    T_TEST(test_files_that_live_for_minutes_were_read_last),
    T_TEST(test_what_is_kept_of_a_vanished_transaction_is_told),
    T_TEST(test_what_a_plan_had_fetched_was_called_an_earlier_runs),
    T_TEST(test_another_replica_is_not_mixed_in), T_TEST(test_two_restores_do_not_share_a_file),
    T_TEST(test_a_restore_within_a_restore), T_TEST(test_the_furthest_is_chosen),
    T_TEST(test_the_last_page_is_not_the_furthest), T_TEST(test_foreign_files_are_not_taken))
