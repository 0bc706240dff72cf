/*
 * test_legacy_choice.c - a replica that holds backups of both formats: which one a restore takes.
 */
#include "engine/restore.h"
#include "unit/engine/legacy_sample.h"

static unsigned warned; /* of a format that is chosen by the times of files */

static void hear(void *arg, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n)
{
    (void)arg;
    (void)fields;
    (void)n;
    warned += level == WR_WARN && strstr(msg, "by the times of the files");
}

static void check_choice(struct world *w, int64_t time_ms, enum wr_restore_format want)
{
    const struct wr_restore_opts o = {
        .path = t_path(t_tmpdir(), "db"), .time_ms = time_ms, .lock_offset = 65536};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    T_OK(wr_restore(w->storage, t_call(), &o, &r, &e));
    T(r.format == want);
}

static void test_choice_of_format(void **state)
{
    struct wr_rand random;
    struct story s;
    struct world w;
    struct wr_restore_opts o = {.path = t_path(t_tmpdir(), "db"), .txid = 1, .lock_offset = 65536};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    (void)state;
    wr_rand_init(&random, t_seed());
    story_init(&s, &random, 512, 65536, 8, true);
    for (int i = 0; i < 16; i++)
        story_commit(&s, 8, 1);
    world_init(&w, WR_STORAGE_LIST_TIME, "p/");
    put_sample(&w); /* made at seconds 1 to 11 */
    story_put(&s, &w, 0, 1, 4);
    story_put(&s, &w, 0, 5, 10);
    check_choice(&w, 0, WR_RESTORE_V03);
    check_choice(&w, 3000, WR_RESTORE_V03); /* no snapshot of ours before */
    check_choice(&w, 4001, WR_RESTORE_LTX); /* the nearer snapshot */
    check_choice(&w, 99000, WR_RESTORE_LTX);
    o.txid = 4;
    T_OK(wr_restore(w.storage, t_call(), &o, &r, &e)); /* only we have transactions */
    T(r.format == WR_RESTORE_LTX && r.txid == 4);
    story_put(&s, &w, 0, 11, 12);
    check_choice(&w, 0, WR_RESTORE_LTX);
    world_store(&w, gen_key("0000000000000001", sample[0]), sample_bytes(0), 12000);
    check_choice(&w, 0, WR_RESTORE_LTX); /* of two equally new */
    world_store(&w, gen_key("0000000000000001", sample[0]), sample_bytes(0), 13000);
    check_choice(&w, 0, WR_RESTORE_V03);
    check_choice(&w, 99000, WR_RESTORE_V03);

    o.txid = 0;
    o.time_in_range = o.overwrite = true;
    o.time_ms = 999;
    T_IS(WR_NOTFOUND, wr_restore(w.storage, t_call(), &o, &r, &e));
    assert_string_equal(e.text, "timestamp does not exist");
    o.time_ms = 13001;
    T_IS(WR_NOTFOUND, wr_restore(w.storage, t_call(), &o, &r, &e));
    o.time_ms = 13000;
    T_OK(wr_restore(w.storage, t_call(), &o, &r, &e));
    world_release(&w);
    story_release(&s);
}

/* A copy of the replica, in which the old backup came last: it was restored without a word. */
static void test_a_copied_replica_restored_years_ago(void **state)
{
    const struct wr_log log = {.sink = hear, .min_level = WR_WARN};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct wr_rand random;
    struct story s;
    struct world w;

    (void)state;
    wr_rand_init(&random, t_seed());
    story_init(&s, &random, 512, 65536, 8, true);
    world_init(&w, WR_STORAGE_LIST_TIME, "p/");
    put_sample(&w); /* made at seconds 1 to 11 */
    for (uint64_t newest = 0; newest < 20; newest += 4) {
        struct wr_restore_opts o = {.path = t_path(t_tmpdir(), "db"), .lock_offset = 65536};
        struct wr_call *c = t_call();

        for (int i = 0; newest > 0 && i < 4; i++)
            story_commit(&s, 8, 1);
        if (newest > 0)
            story_put(&s, &w, 0, newest - 3, newest);
        warned = 0;
        c->log = &log;
        T_OK(wr_restore(w.storage, c, &o, &r, &e));
        T(warned == (r.format == WR_RESTORE_V03 && newest > 0)); /* with one format, no choice */
    }
    T(r.format == WR_RESTORE_LTX && r.txid == 16);
    world_release(&w);
    story_release(&s);
}

T_MAIN(T_TEST(test_choice_of_format), T_TEST(test_a_copied_replica_restored_years_ago))
