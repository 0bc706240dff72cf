/*
 * test_verify.c - verification of replicas that are as they should be, of files that others wrote,
 * of replicas that change meanwhile, and with requests that fail.
 */
#include "engine/verify.h"

#include "engine/restore.h"
#include "unit/engine/verify_world.h"

static void test_no_false_alarm(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 150; round++) {
        bool rolling = round % 3 != 0;
        struct wr_ltx_files all = {0};
        struct wr_verify_result ret;
        struct found found;
        struct story s;
        struct world w;
        struct wr_err e = {0};

        world_init(&w, WR_STORAGE_LIST_TIME, "db/");
        replica_story(&s, &r, 512, 1 + (size_t)wr_rand_below(&r, STORY_MAX), rolling);
        replica_put(&s, &w, REPLICA_SILENT, &all);
        T_OK(verify_it(&w, 1 + (unsigned)wr_rand_below(&r, 4), &found, &ret, &e));
        T(ret.findings == 0 && ret.lost == 0 && ret.files == all.n && ret.files_gone == 0);
        T(ret.last_txid == s.n && ret.last_ms == (int64_t)s.n * 1000);
        T(ret.proven == (rolling ? ret.points : 0) && ret.plain == ret.points - ret.proven);
        T(rolling ? ret.proven_txid == s.n : ret.plain_last == s.n && ret.plain_first > 0);
        T(ret.bytes_read > 0 && ret.files_read + ret.files_old <= all.n + ret.files_old);
        wr_ltx_files_release(&all);
        story_release(&s);
        world_release(&w);
    }
}

/* ---- files that others wrote ---- */

static enum wr_status verify_dir(
    const char *name, struct wr_verify_result *ret, struct wr_err *reterr)
{
    const struct wr_verify_opts o = {0};
    struct wr_call *c = t_call();
    struct wr_storage *s = NULL;
    struct wr_str url = wr_arena_fmt(c->scratch, "file://%s", t_data(name));
    struct wr_err e = {0};
    enum wr_status st;

    T_OK(wr_storage_open(url, NULL, &s, &e));
    st = wr_verify(s, c, &o, ret, reterr);
    wr_storage_close(s);
    return st;
}

static void test_accepted_fixtures(void **state)
{
    static const char *const names[] = {"crafted-accepted/t1", "crafted-accepted/t11_L0only",
        "crafted-accepted/t15_node", "crafted-accepted/t17_L8", "crafted-accepted/t18_L2snap",
        "crafted-accepted/t2", "crafted-accepted/t6_reserved", "crafted-accepted/t9_overlap",
        "frame-format/f1_frame", "real-0.5.17-write"};

    (void)state;
    for (size_t i = 0; i < wr_countof(names); i++) {
        struct wr_verify_result ret;
        struct wr_err e = {0};

        T_OK(verify_dir(t_path("ltx", names[i]), &ret, &e));
        T(ret.points > 0 && ret.plain == ret.points && ret.proven == 0 && ret.findings == 0);
    }
}

static void test_rejected_fixtures(void **state)
{
    static const struct {
        const char *name, *text;
    } cases[] = {
        {"f2_frame_nocsum", "page"},
        {"f4_commit0", "0 pages"},
        {"f6_psmismatch", "pages of"},
        {"t10_gap", "; the last one before them is 0000000000000003"},
        {"t12_hdrflag1", "flags"},
        {"t14_trailing", "ltx/9/"},
        {"t16_saltnooff", "salt"},
        {"t3", "ltx/9/"},
        {"t4", "ltx/9/"},
        {"t7_snapgap", "page 3 missing"},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct wr_verify_result ret;
        struct wr_err e = {0};

        T_IS(WR_CORRUPT, verify_dir(t_path("ltx/crafted-rejected", cases[i].name), &ret, &e));
        if (!strstr(e.text, cases[i].text))
            fail_msg("%s: %s", cases[i].name, e.text);
        T(ret.findings > 0);
    }
}

static void test_nothing_there(void **state)
{
    struct wr_verify_result ret;
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_NOTFOUND, verify_dir("ltx/none", &ret, &e));
    assert_string_equal(e.text, "no matching backup files available");
    T_IS(WR_NOTFOUND, verify_dir("v0.3.13/replica", &ret, &e));
    T(strstr(e.text, "only backups of Litestream 0.3"));
    T(ret.points == 0 && ret.findings == 0);
}

/* ---- a replica that is known by hand ---- */

/* Snapshots at 1 and 12, level 0 from 2 to 20, level 1 by fives from 2 on. */
struct hand {
    struct wr_rand r;
    struct story s;
    struct world w;
    struct found found;
    struct wr_verify_result ret;
};

static void hand_init_set_back(struct hand *h, bool rolling, uint64_t set_back, int64_t set_back_ms)
{
    wr_rand_init(&h->r, t_seed());
    world_init(&h->w, WR_STORAGE_LIST_TIME, "");
    replica_story(&h->s, &h->r, 1024, 20, rolling);
    h->s.set_back = set_back;
    h->s.set_back_ms = set_back_ms;
    story_put(&h->s, &h->w, 9, 1, 1);
    story_put(&h->s, &h->w, 9, 1, 12);
    for (uint64_t t = 2; t <= 20; t++)
        story_put(&h->s, &h->w, 0, t, t);
    for (uint64_t t = 2; t < 17; t += 5)
        story_put(&h->s, &h->w, 1, t, t + 4);
}

static void hand_init(struct hand *h, bool rolling)
{
    hand_init_set_back(h, rolling, 0, 0);
}

static void hand_release(struct hand *h)
{
    story_release(&h->s);
    world_release(&h->w);
}

static struct wr_str hand_key(struct hand *h, unsigned level, uint64_t min, uint64_t max)
{
    return wr_layout_ltx_key(t_call()->scratch, h->w.storage, level, min, max);
}

static void hand_remove(struct hand *h, unsigned level, uint64_t min, uint64_t max)
{
    world_remove_key(&h->w, hand_key(h, level, min, max));
}

static void hand_spoil(struct hand *h, unsigned level, uint64_t min, uint64_t max)
{
    static const uint8_t rubbish[200] = {1, 2, 3};

    world_store(&h->w, hand_key(h, level, min, max), (struct wr_bytes){rubbish, sizeof(rubbish)},
        (int64_t)max * 1000);
}

static enum wr_status hand_verify(struct hand *h, struct wr_err *e)
{
    return verify_it(&h->w, 2, &h->found, &h->ret, e);
}

/* Where other files lead to the same TXID nothing is lost, but it is told. */
static void test_damage_without_loss(void **state)
{
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, true);
    T_OK(hand_verify(&h, &e));
    T(h.ret.points == 20 && h.ret.proven == 20 && h.ret.files_read == 24);
    hand_spoil(&h, 1, 7, 11);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.found.files == 1 && h.found.lost == 0 && h.ret.lost == 0 && h.ret.points == 20);
    T(strstr(e.text, "ltx/1/0000000000000007-000000000000000b.ltx: "));
    hand_spoil(&h, 9, 1, 12);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.found.files == 2 && h.ret.points == 20);
    hand_release(&h);
}

static void test_damage_with_loss(void **state)
{
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, true);
    hand_spoil(&h, 0, 4, 4);
    T_IS(WR_CORRUPT, hand_verify(&h, &e)); /* to 6 nothing but level 0 leads */
    T(h.found.files == 1 && h.found.lost == 1 && h.ret.lost == 2 && h.ret.points == 18);
    assert_string_equal(h.found.text, " 4-5 cannot be restored: files that lead there are no good; "
                                      "the last one before them is 0000000000000003");
    hand_spoil(&h, 0, 18, 18);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.found.files == 2 && h.found.lost == 2 && h.ret.lost == 5 && h.ret.last_txid == 17);
    hand_spoil(&h, 9, 1, 1);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.ret.first_txid == 12 && h.ret.points == 6 && h.ret.proven_txid == 17);
    hand_release(&h);
}

/* Each is whole, and of another database. */
static void test_file_of_another_history(void **state)
{
    static const struct wr_ltx_file files[] = {{.level = 0, .min = 5, .max = 5},
        {.level = 1, .min = 7, .max = 11}, {.level = 9, .min = 1, .max = 12},
        {.level = 9, .min = 1, .max = 1}};

    (void)state;
    for (size_t i = 0; i < wr_countof(files); i++) {
        struct hand h;
        struct story other;
        struct wr_err e = {0};

        hand_init(&h, true);
        replica_story(&other, &h.r, 1024, 20, true);
        story_put(&other, &h.w, files[i].level, files[i].min, files[i].max);
        T_IS(WR_CORRUPT, hand_verify(&h, &e));
        T(h.ret.findings > 0);
        story_release(&other);
        hand_release(&h);
    }
}

/* Without checksums of the database, files that end at the same TXID tell on each other. */
static void test_plain_files_that_disagree(void **state)
{
    struct hand h;
    struct story other;
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, false);
    T_OK(hand_verify(&h, &e));
    T(h.ret.plain == 20 && h.ret.plain_first == 1 && h.ret.plain_last == 20);
    replica_story(&other, &h.r, 1024, 20, false);
    story_put(&other, &h.w, 9, 1, 12);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.found.files == 1 && strstr(e.text, "it ends with another database than ltx/0/"));
    story_release(&other);
    hand_release(&h);
}

static void test_missing(void **state)
{
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, true);
    hand_remove(&h, 0, 20, 20); /* an older state of the replica is no damage */
    T_OK(hand_verify(&h, &e));
    T(h.ret.last_txid == 19);
    hand_remove(&h, 0, 14, 14);
    T_IS(WR_CORRUPT, hand_verify(&h, &e)); /* 16 is level 1's */
    T(h.found.files == 0 && h.found.lost == 1 && h.ret.lost == 1);
    assert_string_equal(h.found.text, " 15-15 cannot be restored: files that lead there are "
                                      "missing: of txid 000000000000000e to 000000000000000e, "
                                      "before one of level 0; the last one before them is "
                                      "000000000000000d");
    hand_remove(&h, 0, 17, 17);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.ret.lost == 3 && h.ret.last_txid == 16);
    hand_release(&h);
}

/* Retention had begun to delete the way to 15, in the middle as it seemed: what is before the hole
 * was from the future by then. (Seeds 914,317 and 921,158 of the simulator.) What Litestream has
 * made has other times for other reasons. */
static void test_retention_by_a_clock_that_was_set_back_was_taken_for_a_loss(void **state)
{
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init_set_back(&h, true, 18, 3600 * 1000);
    hand_remove(&h, 0, 14, 14);
    T_OK(hand_verify(&h, &e));
    T(h.ret.findings == 0 && h.ret.files_old == 1);
    hand_remove(&h, 0, 19, 19); /* the newest state it keeps in any case */
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.ret.lost == 1 && h.ret.last_txid == 18);
    hand_release(&h);
    hand_init_set_back(&h, false, 18, 3600 * 1000);
    hand_remove(&h, 0, 14, 14);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    hand_release(&h);
}

/* What is missing where the clock had caught up since was told no more, for as long as the replica
 * had any point of before. */
static void test_a_loss_long_after_a_clock_was_set_back_was_not_told(void **state)
{
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init_set_back(&h, true, 8, 3000); /* 9 is older than 7, 10 is not */
    hand_remove(&h, 0, 14, 14);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.ret.lost == 1 && h.ret.files_old == 0);
    hand_release(&h);
    hand_init_set_back(&h, true, 8, 1000); /* 8 is as old as 7 */
    hand_remove(&h, 0, 9, 9);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.ret.lost == 1 && h.ret.files_old == 0);
    hand_release(&h);
    hand_init_set_back(&h, true, 12, 3000); /* 13 is older than 11 */
    hand_remove(&h, 0, 14, 14);
    T_OK(hand_verify(&h, &e));
    T(h.ret.findings == 0 && h.ret.files_old == 1);
    hand_release(&h);
}

/* Its writer has said that it ends with `newest`, and that level 1 and above are as they were made.
 */
static void hand_say(struct hand *h, uint64_t newest, uint64_t token)
{
    struct wr_extent x = {.newest = newest, .token = token, .node = 1};
    struct wr_extent_version version = {0};
    struct wr_err e = {0};

    T_OK(wr_extent_look(h->w.storage, t_call(), &x, &version, &e));
    x = (struct wr_extent){.newest = newest, .token = token, .node = 1, .from = {20}};
    T_OK(wr_extent_write(h->w.storage, t_call(), &x, &version, &e));
}

static void hand_sign(struct hand *h, uint64_t token)
{
    struct wr_err e = {0};

    T_OK(wr_writer_sign(h->w.storage, t_call(), token, 1, 9, &e));
}

/* That is an older state of the replica, unless its writer has said how far it reaches. */
static void test_newest_files_that_were_deleted_were_not_missed(void **state)
{
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, true);
    hand_say(&h, 20, 7);
    hand_sign(&h, 7);
    T_OK(hand_verify(&h, &e));
    hand_remove(&h, 0, 20, 20);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.found.lost == 1 && h.ret.lost == 1 && h.ret.findings == 1 && h.ret.last_txid == 19);
    T(strstr(h.found.text, " 20-20 cannot be restored: the newest files are gone") != NULL);
    hand_sign(&h, 8); /* somebody else goes on here */
    T_OK(hand_verify(&h, &e));
    hand_say(&h, 19, 8);
    T_OK(hand_verify(&h, &e));
    hand_release(&h);
}

/* Its writer has ended, at that time, with all that is there now. */
static void hand_end(struct hand *h, int64_t at_ms)
{
    struct wr_extent x = {.newest = 1, .token = 7, .node = 1, .at_ms = at_ms};
    struct wr_extent_version version = {0};
    struct wr_ltx_files all = {0};
    struct wr_err e = {0};

    T_OK(wr_layout_list_all(h->w.storage, t_call(), &all, &e));
    x.last = (struct wr_ltx_file){.min = 20, .max = 20};
    x.roll.counted = true;
    for (size_t i = 0; i < all.n; i++)
        wr_roll_add(&x.roll, &all.p[i]);
    wr_ltx_files_release(&all);
    T_OK(wr_extent_write(h->w.storage, t_call(), &x, &version, &e));
    hand_sign(h, 7);
}

/* For up to half an hour nothing spoke of it, and for ever where nothing was written any more. */
static void test_the_newest_file_was_not_missed(void **state)
{
    struct wr_extent x = {.newest = 1, .token = 7, .node = 1, .last = {.min = 20, .max = 20}};
    struct wr_extent_version version = {0};
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, true);
    T_OK(wr_extent_write(h.w.storage, t_call(), &x, &version, &e));
    hand_sign(&h, 7);
    T_OK(hand_verify(&h, &e));
    h.w.unlisted = "0/0000000000000014-"; /* a listing of before it came */
    T_OK(hand_verify(&h, &e));
    hand_remove(&h, 0, 20, 20);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.found.lost == 1 && h.ret.lost == 1 && h.ret.last_txid == 19);
    hand_sign(&h, 8); /* somebody else goes on here */
    T_OK(hand_verify(&h, &e));
    hand_release(&h);
}

/* What is gone is told once. */
static void test_the_end_of_a_replica_at_rest(void **state)
{
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, true);
    hand_end(&h, 1);
    T_OK(hand_verify(&h, &e));
    hand_remove(&h, 0, 20, 20);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.ret.findings == 1 && h.ret.lost == 1 && h.ret.last_txid == 19);
    T(strstr(h.found.text, " 20-20 cannot be restored: the newest files are gone") != NULL);
    hand_release(&h);
}

/* What others lead to, and what nothing leads on from, by the word of who has ended. */
static void test_files_within_a_level_were_not_missed(void **state)
{
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, true);
    story_put(&h.s, &h.w, 9, 1, 15);
    hand_remove(&h, 0, 15, 15); /* now 15 is only the snapshot's */
    hand_remove(&h, 0, 16, 16); /* and 16 that of level 1, which begins behind it */
    hand_end(&h, 1);
    T_OK(hand_verify(&h, &e));
    hand_remove(&h, 0, 18, 18); /* a hole that level 0 has in its end */
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    hand_release(&h);

    hand_init(&h, true);
    hand_end(&h, 1);
    hand_remove(&h, 0, 10, 10); /* 11 is level 1's, too */
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.found.lost == 1 && h.found.files == 0 && h.ret.lost == 1 && h.ret.last_txid == 20);
    T(strstr(h.found.text, "level 0 has no file of txid 000000000000000a to 000000000000000a "
                           "any more, and had by 1970-01-01T00:00:00Z") != NULL);
    hand_remove(&h, 0, 11, 11);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.found.lost + h.found.files == 1);
    hand_release(&h);

    hand_init(&h, true);
    hand_end(&h, 1);
    hand_remove(&h, 1, 7, 11);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.found.files == 1 && h.found.lost == 0 && h.ret.lost == 0);
    T(strncmp(h.found.text, "ltx/1/ 7-11 level 1 has no file", 31) == 0);
    hand_sign(&h, 8);
    T_OK(hand_verify(&h, &e));
    hand_release(&h);
}

static void test_a_snapshot_that_nothing_leads_on_from_was_not_missed(void **state)
{
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, true);
    hand_remove(&h, 9, 1, 1);
    for (uint64_t t = 2; t <= 17; t++)
        hand_remove(&h, 0, t, t);
    hand_remove(&h, 1, 2, 6);
    hand_remove(&h, 1, 7, 11);
    hand_remove(&h, 1, 12, 16);
    story_put(&h.s, &h.w, 9, 1, 17);
    hand_end(&h, 1);
    T_OK(hand_verify(&h, &e));
    hand_remove(&h, 9, 1, 12);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.found.lost == 1 && h.ret.lost == 1 && h.ret.last_txid == 20);
    T(strstr(h.found.text, " 1-12 cannot be restored: the snapshot of txid 000000000000000c"));
    hand_release(&h);
}

/* A listing that is late would show that by then: it is waited for. */
static void test_what_is_a_moment_old_is_not_missed_at_once(void **state)
{
    struct wr_verify_opts o = {.lock_offset = LOCK_OFFSET};
    struct wr_call *c = t_call();
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, true);
    hand_end(&h, wr_wall_ms(c->clock));
    hand_remove(&h, 0, 10, 10);
    c->deadline_ms = wr_mono_ms(c->clock) + 300;
    T_IS(WR_TIMEOUT, wr_verify(h.w.storage, c, &o, &h.ret, &e));
    T(strncmp(e.text, "wait: ", 6) == 0);
    c->deadline_ms = INT64_MAX;
    h.w.ops.caps |= WR_STORAGE_LIST_NOW;
    T_IS(WR_CORRUPT, wr_verify(h.w.storage, c, &o, &h.ret, &e));
    hand_release(&h);
}

/* All of level 0 up to there, as retention leaves it: what leads to 15 is gone. */
static void test_files_that_retention_keeps_were_not_missed(void **state)
{
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, true);
    hand_remove(&h, 9, 1, 1); /* and with it what leads from it */
    for (uint64_t t = 2; t <= 11; t++)
        hand_remove(&h, 0, t, t);
    T_OK(hand_verify(&h, &e));
    T(h.ret.files_old > 0);
    hand_say(&h, 20, 7);
    hand_sign(&h, 7);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.found.lost > 0 && h.found.files == 0);
    hand_sign(&h, 8);
    T_OK(hand_verify(&h, &e));
    hand_release(&h);
}

/* Litestream goes on in the replica, and deletes what it likes. */
static void test_what_litestream_deletes_is_no_damage(void **state)
{
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, false); /* files without checksums of the database */
    hand_say(&h, 20, 7);
    hand_sign(&h, 7);
    hand_remove(&h, 9, 1, 1);
    for (uint64_t t = 2; t <= 11; t++)
        hand_remove(&h, 0, t, t);
    hand_remove(&h, 0, 20, 20);
    T_OK(hand_verify(&h, &e));
    hand_release(&h);
}

/* Where all is kept for less than an hour no level is spoken of, and so it was not seen that what
 * came behind the last file is Litestream's. */
static void test_what_litestream_deletes_where_no_level_is_spoken_of(void **state)
{
    struct wr_extent x = {.newest = 1, .token = 7, .node = 1, .last = {.min = 11, .max = 11}};
    struct wr_extent_version version = {0};
    struct wr_err e = {0};
    struct hand h;

    (void)state;
    hand_init(&h, false);
    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++)
        x.from[level] = WR_EXTENT_NOTHING;
    x.roll.run[0] = (struct wr_roll_run){2, 11};
    T_OK(wr_extent_write(h.w.storage, t_call(), &x, &version, &e));
    hand_sign(&h, 7);
    hand_remove(&h, 9, 1, 1);
    for (uint64_t t = 2; t <= 11; t++)
        hand_remove(&h, 0, t, t);
    T_OK(hand_verify(&h, &e));
    hand_release(&h);
}

/* It is told, and nothing else comes of it. */
static void test_a_damaged_extent_is_told(void **state)
{
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, true);
    world_store(
        &h.w, WR_STR(WR_EXTENT_NAME), (struct wr_bytes){(const uint8_t *)"{\"newest\":1}", 12}, 1);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.found.files == 1 && h.ret.lost == 0 && h.ret.findings == 1 && h.ret.proven == 20);
    T(strstr(e.text, "extent.json: it is damaged") != NULL);
    hand_release(&h);
}

/* Nothing that the extent says counts under it, and nobody knew. */
static void test_a_damaged_sign_is_told(void **state)
{
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, true);
    world_store(&h.w, WR_STR("writer.json"),
        (struct wr_bytes){(const uint8_t *)"{\"token\":\"0000000000000007", 26}, 1);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.found.files == 1 && h.ret.lost == 0 && h.ret.findings == 1 && h.ret.proven == 20);
    T(strstr(e.text, "writer.json: it is damaged") != NULL);
    hand_release(&h);
}

static enum wr_status verify_late(void *arg)
{
    struct hand *h = arg;
    const struct wr_verify_opts o = {.parallel = 1, .lock_offset = LOCK_OFFSET};
    struct wr_verify_result ret;
    struct wr_err e = {0};
    enum wr_status st = wr_verify(h->w.storage, t_call(), &o, &ret, &e);

    if (st != WR_CORRUPT)
        return st;
    return ret.findings == 1 && ret.points == 24 ? WR_OK : WR_INTERNAL;
}

/* As hand_init, and a file that came late lies within a greater one: 22 within 22-25. */
static void hand_init_late(struct hand *h)
{
    struct image *late;

    hand_init(h, true);
    story_commit(&h->s, 12, 0);
    story_put(&h->s, &h->w, 0, 21, 21);
    story_commit(&h->s, 12, 0); /* 22, of which nobody knows */
    story_rewrite(&h->s, 1, 12);
    story_put(&h->s, &h->w, 0, 22, 22);
    late = &h->s.image[h->s.n--];
    wr_free(late->data);
    wr_free(late->changed);
    for (int i = 0; i < 5; i++)
        story_commit(&h->s, 12, 1);
    story_put(&h->s, &h->w, 0, 22, 25);
    story_put(&h->s, &h->w, 0, 26, 26);
}

/* Its past is another one: both can be restored, and what follows continues the greater one. */
static void test_late_file_within_a_greater_one(void **state)
{
    struct hand h;
    struct wr_restore_opts o = {.lock_offset = LOCK_OFFSET};
    const uint64_t txids[] = {22, 25, 26};
    struct wr_err e = {0};

    (void)state;
    hand_init_late(&h);
    T_OK(hand_verify(&h, &e));
    T(h.ret.points == 24 && h.ret.proven == 24 && h.ret.last_txid == 26);
    for (size_t i = 0; i < wr_countof(txids); i++) {
        struct wr_restore_result r = {0};

        o.path = t_path(t_tmpdir(), "db");
        o.txid = txids[i];
        T_OK(wr_restore(h.w.storage, t_call(), &o, &r, &e));
        T(r.verified);
    }
    hand_spoil(&h, 9, 1, 12); /* there is another way back */
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(h.found.files == 1 && h.ret.points == 24 && h.ret.last_txid == 26);
    t_sweep_nomem(verify_late, &h);
    hand_release(&h);
}

/* ---- while it changes ---- */

struct mover {
    struct hand *h;
    size_t at; /* after so many files */
    void (*move)(struct hand *h);
};

static void move(void *arg, const struct wr_verify_progress *p)
{
    struct mover *m = arg;

    T(p->files <= p->files_total && p->bytes_done <= p->bytes_total);
    if (p->files == m->at)
        m->move(m->h);
}

static enum wr_status verify_moving(struct hand *h, size_t at, void (*fn)(struct hand *h))
{
    struct mover m = {.h = h, .at = at, .move = fn};
    const struct wr_verify_opts o = {.parallel = 1,
        .lock_offset = LOCK_OFFSET,
        .finding = found_add,
        .finding_arg = &h->found,
        .progress = move,
        .progress_arg = &m};
    struct wr_err e = {0};
    enum wr_status st;

    h->found = (struct found){0};
    st = wr_verify(h->w.storage, t_call(), &o, &h->ret, &e);
    return st;
}

/* All that level 1 covers, and the first snapshot: 11 is the first state that is kept. */
static void retention(struct hand *h)
{
    for (uint64_t t = 2; t <= 16; t++)
        hand_remove(h, 0, t, t);
    hand_remove(h, 9, 1, 1);
    hand_remove(h, 1, 2, 6);
}

static void compaction(struct hand *h)
{
    story_put(&h->s, &h->w, 1, 17, 19);
    for (uint64_t t = 2; t <= 19; t++)
        hand_remove(h, 0, t, t);
}

static void disaster(struct hand *h)
{
    hand_remove(h, 0, 18, 18);
    hand_remove(h, 0, 17, 17);
}

static void end(struct hand *h)
{
    disaster(h);
    retention(h);
    hand_remove(h, 0, 19, 19);
    hand_remove(h, 0, 20, 20);
    hand_remove(h, 9, 1, 12);
    hand_remove(h, 1, 7, 11);
    hand_remove(h, 1, 12, 16);
}

static void test_files_vanish(void **state)
{
    (void)state;
    for (size_t at = 1; at <= 24; at++) {
        struct hand h;

        hand_init(&h, true);
        T(verify_moving(&h, at, retention) == WR_OK);
        T(h.ret.last_txid == 20 && h.ret.lost == 0);
        hand_release(&h);
        hand_init(&h, true);
        T(verify_moving(&h, at, compaction) == WR_OK);
        T(h.ret.last_txid == 20 && h.ret.lost == 0);
        hand_release(&h);
        hand_init(&h, true);
        T(verify_moving(&h, at, disaster) == (h.ret.last_txid == 20 ? WR_OK : WR_CORRUPT));
        T(at > 10 || (h.ret.lost == 2 && h.ret.last_txid == 16));
        hand_release(&h);
        hand_init(&h, true);
        T(verify_moving(&h, at, end) == (h.ret.last_txid == 20 ? WR_OK : WR_NOTFOUND));
        T(at > 20 || h.ret.last_txid < 20);
        hand_release(&h);
    }
}

static void first_ways(struct hand *h)
{
    hand_remove(h, 9, 1, 12);
    hand_remove(h, 0, 14, 14);
    hand_remove(h, 0, 15, 15);
}

static void all_ways(struct hand *h)
{
    for (uint64_t t = 13; t <= 21; t++)
        hand_remove(h, 0, t, t);
    hand_remove(h, 1, 12, 16);
}

/* What leads back to a point goes at the moment when it is needed, or before. */
static void test_files_vanish_on_the_way_back(void **state)
{
    (void)state;
    for (size_t at = 1; at <= 30; at++) {
        struct hand h;

        hand_init_late(&h);
        T(verify_moving(&h, at, first_ways) == WR_OK);
        T(h.ret.last_txid == 26);
        hand_release(&h);
        hand_init_late(&h);
        T(verify_moving(&h, at, all_ways) == (h.ret.last_txid == 26 ? WR_OK : WR_CORRUPT));
        hand_release(&h);
    }
}

/* ---- faults ---- */

static void test_storage_fails(void **state)
{
    static const enum wr_status faults[] = {WR_IO, WR_AUTH};
    struct hand h;
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, true);
    for (size_t k = 0; k < wr_countof(faults); k++) {
        /* What may not be read of what the replica must have is not there. */
        for (uint64_t at = faults[k] == WR_AUTH ? 3 : 1; at <= 27; at++) {
            world_fail(&h.w, at, 1, faults[k]);
            T_IS(faults[k], hand_verify(&h, &e));
            T(h.ret.findings == 0 && strstr(e.text, "made to fail"));
        }
    }
    /* one bad answer is no damage */
    world_fail(&h.w, 8, 1, WR_CORRUPT);
    T_OK(hand_verify(&h, &e));
    /* and one that is not there, once it is listed again, is */
    world_fail(&h.w, 8, 1, WR_NOTFOUND);
    T_IS(WR_CORRUPT, hand_verify(&h, &e));
    T(strstr(h.found.text, "is not there") || h.found.lost > 0);
    world_fail(&h.w, 0, 0, WR_OK);
    hand_release(&h);
}

static void test_cancel(void **state)
{
    struct hand h;
    struct wr_cancel cancel;
    struct wr_call *c = t_call();
    const struct wr_verify_opts o = {.lock_offset = LOCK_OFFSET};
    struct wr_err e = {0};

    (void)state;
    hand_init(&h, true);
    wr_cancel_init(&cancel);
    wr_cancel_now(&cancel);
    c->cancel = &cancel;
    T_IS(WR_CANCELED, wr_verify(h.w.storage, c, &o, &h.ret, &e));
    c->cancel = NULL;
    wr_cancel_release(&cancel);
    hand_release(&h);
}

/* Two processes have sent files that end at the same TXID. Those of the one that goes on were told
 * to be damaged, and all behind them lost. */
static void test_two_ends_at_one_txid(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct wr_verify_result ret;
        struct found found;
        struct wr_err e = {0};
        struct wr_rand r;
        struct story ours, theirs;
        struct world w;

        wr_rand_init(&r, t_seed());
        world_init(&w, WR_STORAGE_LIST_TIME, "db/");
        replica_story(&ours, &r, 512, 4, true);
        story_fork(&theirs, &ours, 4);
        for (int i = 0; i < 6; i++)
            story_commit(&ours, 12, 2);
        for (int i = 0; i < 2; i++)
            story_commit(&theirs, 12, 2);
        story_put(&ours, &w, 9, 1, 1);
        for (uint64_t t = 2; t <= 4; t++)
            story_put(&ours, &w, 0, t, t);
        story_put(late ? &theirs : &ours, &w, 0, 5, 6);
        story_put(late ? &ours : &theirs, &w, 0, 5, 5);
        story_put(late ? &ours : &theirs, &w, 0, 6, 6);
        for (uint64_t t = 7; t <= 10; t++)
            story_put(&ours, &w, 0, t, t);
        story_put(&ours, &w, 1, 7, 10);
        T_IS(WR_CORRUPT, verify_it(&w, 1, &found, &ret, &e));
        T(found.files == 1 && found.lost == 0 && strstr(found.text, "two processes have written"));
        T(ret.points == 10 && ret.proven == 10 && ret.last_txid == 10);
        story_release(&theirs);
        story_release(&ours);
        world_release(&w);
    }
}

/* A database shrinks and grows again, and the file by which it grows does not have what it got
 * back. A merged file has it no more: then a restore fails, and verification had found it good. */
static void test_pages_that_only_some_files_have(void **state)
{
    for (int merged = 0; merged < 2; merged++) {
        struct wr_verify_result ret;
        struct found found;
        struct wr_err e = {0};
        struct wr_rand r;
        struct story s;
        struct image *is;
        struct world w;

        (void)state;
        wr_rand_init(&r, t_seed());
        world_init(&w, WR_STORAGE_LIST_TIME, "db/");
        story_init(&s, &r, 512, LOCK_OFFSET, PAGES_MAX, false);
        story_commit(&s, 6, 2);
        story_commit(&s, 20, 2);
        story_commit(&s, 6, 2);
        story_commit(&s, 20, 0);
        is = &s.image[4];
        memset(is->changed + 7, 0, 14);
        memcpy(is->data + (size_t)6 * 512, s.image[2].data + (size_t)6 * 512, (size_t)14 * 512);
        is->changed[1] = 1;
        story_put(&s, &w, 9, 1, 1);
        story_put(&s, &w, 0, 2, 2);
        story_put(&s, &w, merged ? 1 : 0, merged ? 2 : 3, 3);
        story_put(&s, &w, 0, 4, 4);
        T_IS(merged ? WR_CORRUPT : WR_OK, verify_it(&w, 1, &found, &ret, &e));
        T(ret.points == (merged ? 3 : 4) && ret.lost == (merged ? 1 : 0));
        T(!merged || strstr(e.text, "page 7 missing"));
        story_release(&s);
        world_release(&w);
    }
}

static enum wr_status verify_once(void *arg)
{
    struct hand *h = arg;
    const struct wr_verify_opts o = {.parallel = 1, .lock_offset = LOCK_OFFSET};
    struct wr_verify_result ret;
    struct wr_err e = {0};
    enum wr_status st = wr_verify(h->w.storage, t_call(), &o, &ret, &e);

    T(st != WR_OK || ret.points == 20);
    if (st != WR_CORRUPT)
        return st;
    return ret.lost == 2 ? WR_OK : WR_INTERNAL;
}

static void test_nomem(void **state)
{
    struct hand h;

    (void)state;
    hand_init(&h, true);
    t_sweep_nomem(verify_once, &h);
    hand_spoil(&h, 0, 4, 4);
    t_sweep_nomem(verify_once, &h);
    hand_release(&h);
}

T_MAIN(T_TEST(test_no_false_alarm), T_TEST(test_accepted_fixtures), T_TEST(test_rejected_fixtures),
    T_TEST(test_nothing_there), T_TEST(test_damage_without_loss), T_TEST(test_damage_with_loss),
    T_TEST(test_file_of_another_history), T_TEST(test_plain_files_that_disagree),
    T_TEST(test_missing), T_TEST(test_retention_by_a_clock_that_was_set_back_was_taken_for_a_loss),
    T_TEST(test_a_loss_long_after_a_clock_was_set_back_was_not_told),
    T_TEST(test_newest_files_that_were_deleted_were_not_missed),
    T_TEST(test_files_that_retention_keeps_were_not_missed),
    T_TEST(test_the_newest_file_was_not_missed), T_TEST(test_the_end_of_a_replica_at_rest),
    T_TEST(test_files_within_a_level_were_not_missed),
    T_TEST(test_a_snapshot_that_nothing_leads_on_from_was_not_missed),
    T_TEST(test_what_is_a_moment_old_is_not_missed_at_once),
    T_TEST(test_what_litestream_deletes_is_no_damage),
    T_TEST(test_what_litestream_deletes_where_no_level_is_spoken_of),
    T_TEST(test_a_damaged_extent_is_told), T_TEST(test_a_damaged_sign_is_told),
    T_TEST(test_two_ends_at_one_txid), T_TEST(test_pages_that_only_some_files_have),
    T_TEST(test_late_file_within_a_greater_one), T_TEST(test_files_vanish),
    T_TEST(test_files_vanish_on_the_way_back), T_TEST(test_storage_fails), T_TEST(test_cancel),
    T_TEST(test_nomem))
