/*
 * test_power.c - a power cut keeps what was synced on the simulated disk, and loses the rest in
 * every way there is.
 */
#include "sim/disk_int.h"

#include "harness/t.h"
#include "sim/disk_kit.h"
#include "sim/tape.h"

#define SEEDS 300

/* ---- bytes ---- */

#define SIZE_MAX_TEST 12000
#define VERSIONS_MAX  32

/* What a file was since it was synced; after the cut each byte is that of one of these, and so is
 * the size or something in between. */
static struct {
    uint8_t p[VERSIONS_MAX][SIZE_MAX_TEST];
    size_t n[VERSIONS_MAX], count;
} model;

static void note_version(void)
{
    size_t n;
    const uint8_t *p = disk_peek("/f", &n);

    CHECK(n <= SIZE_MAX_TEST && model.count < VERSIONS_MAX);
    memset(model.p[model.count], 0, SIZE_MAX_TEST);
    memcpy(model.p[model.count], p, n);
    model.n[model.count++] = n;
}

static void change_at_random(struct wr_file *f)
{
    static uint8_t next = 1;
    uint8_t p[3000];
    size_t n = 1 + tape_below(sizeof(p));

    switch (tape_below(6)) {
    case 0:
        CHECK(wr_file_truncate(f, tape_below(SIZE_MAX_TEST), &kit_err) == WR_OK);
        break;
    case 1:
        CHECK(wr_file_sync(f, &kit_err) == WR_OK);
        model.count = 0;
        break;
    default:
        memset(p, next++, n);
        CHECK(wr_file_pwrite(f, p, n, tape_below(SIZE_MAX_TEST - 3000), &kit_err) == WR_OK);
    }
    note_version();
}

static void check_survivor(void)
{
    size_t n, least = SIZE_MAX, most = 0;
    const uint8_t *p = disk_peek("/f", &n);

    CHECK(p);
    for (size_t v = 0; v < model.count; v++) {
        least = wr_min(least, model.n[v]);
        most = wr_max(most, model.n[v]);
    }
    CHECK(n >= least && n <= most);
    for (size_t i = 0; i < n; i++) {
        bool known = p[i] == 0 && (i >= least); /* a hole where the bytes did not get to */

        for (size_t v = 0; v < model.count && !known; v++)
            known = model.p[v][i] == p[i];
        CHECK(known || (!disk.powersafe && i >= least));
    }
}

static void scribble(void *arg)
{
    struct wr_file *f;

    disk_init();
    f = kit_open("/f");
    CHECK(disk_fs()->sync_dir(disk_fs(), "/", &kit_err) == WR_OK);
    for (int cut = 0; cut < 5; cut++) {
        model.count = 0;
        note_version();
        for (uint32_t ops = 1 + tape_below(VERSIONS_MAX - 1); ops > 0; ops--)
            change_at_random(f);
        wr_file_close(f);
        disk_power_cut();
        check_survivor();
        f = kit_open("/f");
    }
    wr_file_close(f);
    ((struct disk_counts *)arg)->torn += disk_counts.torn;
    ((struct disk_counts *)arg)->kept += disk_counts.kept;
    ((struct disk_counts *)arg)->dropped += disk_counts.dropped;
}

static void each_byte_is_one_that_was_there(void **state)
{
    struct disk_counts *sum = child_shared(sizeof(*sum));

    (void)state;
    for (uint64_t i = 0; i < SEEDS; i++)
        child_run(t_seed() + i, scribble, sum);
    T(sum->torn && sum->kept && sum->dropped);
}

struct ways {
    uint64_t old, all_new, torn_inside, shorter, between, empty, lost_name;
    uint64_t renamed, not_renamed, out_of_order;
};

static void lose(void *arg)
{
    struct ways *ways = arg;
    struct wr_file *f;
    const uint8_t *p;
    size_t n;

    disk_init();
    kit_put("/f", 'o', 16384, true);
    CHECK(disk_fs()->sync_dir(disk_fs(), "/", &kit_err) == WR_OK);
    kit_put("/f", 'n', 16384, false);
    kit_put("/new", 'n', 16384, false);
    f = kit_open("/f");
    CHECK(wr_file_pwrite(f, "+", 1, 20000, &kit_err) == WR_OK);
    wr_file_close(f);
    disk_power_cut();

    p = disk_peek("/f", &n);
    CHECK(p && n >= 16384 && n <= 20001);
    ways->old += memchr(p, 'n', n) == NULL;
    ways->all_new += memchr(p, 'o', n) == NULL;
    ways->shorter += n == 16384;
    ways->between += n > 16384 && n < 20001;
    for (size_t i = 1; i < 16384; i++)
        ways->torn_inside += p[i] != p[i - 1] && i % disk.sector != 0;
    p = disk_peek("/new", &n);
    ways->lost_name += p == NULL;
    ways->empty += p != NULL && n == 0;
}

static void every_way_to_lose_is_reached(void **state)
{
    struct ways *ways = child_shared(sizeof(*ways));

    (void)state;
    for (uint64_t i = 0; i < SEEDS; i++)
        child_run(t_seed() + i, lose, ways);
    T(ways->old && ways->all_new && ways->torn_inside && ways->shorter && ways->between);
    T(ways->empty && ways->lost_name);
}

/* ---- names ---- */

static void replace(void *arg)
{
    struct ways *ways = arg;
    const struct wr_fs *fs = disk_fs();
    bool synced;
    int byte;

    disk_init();
    kit_put("/f", 'o', 9000, true);
    CHECK(fs->sync_dir(fs, "/", &kit_err) == WR_OK);
    kit_put("/f.tmp", 'n', 9000, true);
    CHECK(fs->rename(fs, "/f.tmp", "/f", &kit_err) == WR_OK);
    synced = tape_chance(500);
    if (synced)
        CHECK(fs->sync_dir(fs, "/", &kit_err) == WR_OK);
    disk_power_cut();
    byte = kit_full_of("/f", 9000);
    CHECK(byte == 'n' || (byte == 'o' && !synced));
    CHECK(byte == 'o' || kit_full_of("/f.tmp", 9000) == -1);
    ways->renamed += byte == 'n' && !synced;
    ways->not_renamed += byte == 'o';
}

static void a_rename_is_whole_and_durable_when_synced(void **state)
{
    struct ways *ways = child_shared(sizeof(*ways));

    (void)state;
    for (uint64_t i = 0; i < SEEDS; i++)
        child_run(t_seed() + i, replace, ways);
    T(ways->renamed && ways->not_renamed);
}

static bool there(const char *path)
{
    size_t n;

    return disk_peek(path, &n) != NULL;
}

static void make_in_order(void *arg)
{
    const struct wr_fs *fs = disk_fs();

    disk_init();
    CHECK(fs->mkdir(fs, "/d", 0755, &kit_err) == WR_OK &&
          fs->mkdir(fs, "/e", 0755, &kit_err) == WR_OK);
    CHECK(fs->sync_dir(fs, "/", &kit_err) == WR_OK);
    kit_put("/d/1", 'x', 1, true);
    kit_put("/e/2", 'x', 1, true);
    kit_put("/d/3", 'x', 1, true);
    CHECK(fs->rename(fs, "/d/3", "/e/4", &kit_err) == WR_OK);
    if (tape_chance(300)) {
        CHECK(fs->sync_dir(fs, "/e", &kit_err) == WR_OK); /* and /d, as far as that needs it */
        disk_power_cut();
        CHECK(there("/e/4") && there("/d/1") && !there("/d/3"));
        return;
    }
    disk_power_cut();
    CHECK(there("/d/1") || !there("/d/3"));
    CHECK(there("/e/2") || !there("/e/4"));
    CHECK(!there("/d/3") || !there("/e/4"));
    if (there("/d/3") && !there("/e/2"))
        ((struct ways *)arg)->out_of_order++;
    CHECK(there("/e/2") || !there("/d/3") || !disk.whole_journal);
}

static void names_come_in_the_order_of_their_directory(void **state)
{
    struct ways *ways = child_shared(sizeof(*ways));

    (void)state;
    for (uint64_t i = 0; i < SEEDS; i++)
        child_run(t_seed() + i, make_in_order, ways);
    T(ways->out_of_order);
}

static void lose_directory(void *arg)
{
    const struct wr_fs *fs = disk_fs();

    disk_init();
    CHECK(fs->mkdir(fs, "/d", 0755, &kit_err) == WR_OK);
    kit_put("/d/f", 'x', 1, true);
    CHECK(fs->sync_dir(fs, "/d", &kit_err) == WR_OK);
    disk_power_cut();
    ((struct ways *)arg)->lost_name += !there("/d/f");
    disk_plant("/p", "one", 3);
    disk_plant("/p", "two", 3);
    kit_put("/q", 'q', 1, false);
    disk_remove("/p");
    disk_remove("/none");
    disk_plant("/p", "three", 5);
    disk_power_cut();
    size_t n;
    const uint8_t *p = disk_peek("/p", &n);
    CHECK(p && n == 5 && memcmp(p, "three", 5) == 0);
}

static void a_directory_needs_its_own_name(void **state)
{
    struct ways *ways = child_shared(sizeof(*ways));

    (void)state;
    for (uint64_t i = 0; i < SEEDS / 3; i++)
        child_run(t_seed() + i, lose_directory, ways);
    T(ways->lost_name);
}

/* ---- failed syncs ---- */

static void fail_sync(void *arg)
{
    struct wr_file *f;
    bool rewrite;
    size_t got;
    char byte;

    (void)arg;
    disk_init();
    disk.writeback_permille = 0; /* it would save the bytes */
    kit_put("/f", 'o', 5000, true);
    CHECK(disk_fs()->sync_dir(disk_fs(), "/", &kit_err) == WR_OK);
    kit_put("/f", 'n', 5000, false);
    f = kit_open("/f");
    disk_arm(DISK_EIO_SYNC, sim_proc_current(), 1000);
    CHECK(wr_file_sync(f, &kit_err) == WR_IO);
    CHECK(strcmp(kit_err.text, "sync /f: Input/output error") == 0);
    disk_arm(DISK_EIO_SYNC, NULL, 0);
    CHECK(wr_file_pread(f, &byte, 1, 4999, &got, &kit_err) == WR_OK && byte == 'n');
    rewrite = tape_chance(500);
    wr_file_close(f);
    if (rewrite)
        kit_put("/f", 'n', 5000, false);
    f = kit_open("/f");
    CHECK(wr_file_sync(f, &kit_err) == WR_OK); /* this is what makes it treacherous */
    wr_file_close(f);
    disk_power_cut();
    CHECK(kit_full_of("/f", 5000) == (rewrite ? 'n' : 'o'));
    CHECK(disk_counts.failed_syncs == 1);
}

static void a_failed_fsync_loses_what_the_next_one_does_not_see(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < SEEDS / 3; i++)
        child_run(t_seed() + i, fail_sync, NULL);
}

T_MAIN(T_TEST(each_byte_is_one_that_was_there), T_TEST(every_way_to_lose_is_reached),
    T_TEST(a_rename_is_whole_and_durable_when_synced),
    T_TEST(names_come_in_the_order_of_their_directory), T_TEST(a_directory_needs_its_own_name),
    T_TEST(a_failed_fsync_loses_what_the_next_one_does_not_see))
