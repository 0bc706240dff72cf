/*
 * test_lasting.c - what lasts when the power goes, on the simulated disk: the objects of a replica
 * in a directory, and a restored database. Whoever writes them is killed at any time, and in two of
 * three runs the power goes with him.
 */
#include "engine/restore.h"

#include "base/mem.h"
#include "harness/t.h"
#include "sim/disk_kit.h"
#include "sim/tape.h"
#include "storage/drivers.h"
#include "storage/writer.h"
#include "unit/engine/restore_world.h"

#define SEEDS  150
#define ROUNDS 6
#define KEYS   40
#define LARGE  UINT32_C(30000) /* bytes of an object, at most */
#define LOCK   0x10000u        /* where SQLite's lock page is here */
#define MS     INT64_C(1000000)
#define ROOT   "/data/replica"
#define TARGET "/data/there/app.db"

/* What happened in all runs. */
struct seen {
    uint64_t cuts, lasting, lost, removed, restored, old, none;
};
static struct seen *seen;

/* What is seen after that without a power cut need not be durable: false. */
static bool kill_it(struct sim_proc *p)
{
    sim_kill(p);
    if (tape_below(3) == 0)
        return false;
    disk_power_cut();
    seen->cuts++;
    return true;
}

/* ---- a replica in a directory ---- */

enum fate {
    NOT_THERE,
    UNDER_WAY, /* being written or removed by whoever was killed */
    THERE,
    REMOVED
};
static struct {
    enum fate fate[KEYS];
    size_t next;
    bool durable; /* all that is seen */
} objects;

static struct wr_str key_of(size_t i, char buf[48])
{
    int n = snprintf(buf, 48, "ltx/%u/%02u", (unsigned)(i % 3), (unsigned)i);

    return (struct wr_str){buf, (size_t)n};
}

/* The same whenever it is asked for. */
static struct wr_bytes body_of(size_t i)
{
    static uint8_t body[LARGE];
    struct wr_rand r;
    size_t n;

    wr_rand_init(&r, i + 1);
    n = (size_t)wr_rand_below(&r, i % 2 ? LARGE : 700);
    wr_rand_fill(&r, body, n);
    return (struct wr_bytes){body, n};
}

static struct wr_storage *open_replica(void)
{
    void *self = NULL;
    struct wr_storage *s = NULL;
    struct wr_err e = {0};

    CHECK(wr_storage_file_new(disk_fs(), WR_STR(ROOT), &self, &e) == WR_OK);
    CHECK(wr_storage_wrap(&wr_storage_file, self, WR_STR(""), &s, &e) == WR_OK);
    return s;
}

/* In one call or as a stream, as a snapshot is. */
static void put(struct wr_storage *s, size_t i)
{
    const struct wr_put_opts o = {.if_absent = i % 5 > 0};
    struct wr_bytes body = body_of(i);
    struct wr_call *c = t_call();
    struct wr_writer *w = NULL;
    char key[48];

    if (i % 4 < 2) {
        CHECK(wr_storage_put(s, c, key_of(i, key), body, &o, &kit_err) == WR_OK);
        return;
    }
    CHECK(wr_writer_open(s, c, key_of(i, key), &o, 0, &w, &kit_err) == WR_OK);
    for (size_t n; body.n > 0; body = (struct wr_bytes){body.p + n, body.n - n}) {
        n = wr_min(body.n, (size_t)4000);
        CHECK(wr_writer_write(w, c, (struct wr_bytes){body.p, n}, &kit_err) == WR_OK);
    }
    CHECK(wr_writer_commit(w, c, &kit_err) == WR_OK);
}

static void write_objects(void *arg)
{
    struct wr_storage *s = open_replica();
    char key[48];

    (void)arg;
    while (objects.next < KEYS) {
        const size_t i = objects.next++, gone = tape_below((uint32_t)i + 1);

        objects.fate[i] = UNDER_WAY;
        put(s, i);
        objects.fate[i] = THERE;
        if (tape_below(4) > 0 || objects.fate[gone] != THERE)
            continue;
        objects.fate[gone] = UNDER_WAY;
        (void)key_of(gone, key);
        CHECK(wr_storage_remove(s, t_call(), &(struct wr_str){key, strlen(key)}, 1, &kit_err) ==
              WR_OK);
        objects.fate[gone] = REMOVED;
    }
    wr_storage_close(s);
}

/* Of one that was under way all is there or nothing. */
static void check_object(struct wr_storage *s, size_t i)
{
    static uint8_t buf[LARGE + 1];
    const struct wr_bytes want = body_of(i);
    char key[48];
    size_t got = 0;
    enum wr_status st =
        wr_storage_get(s, t_call(), key_of(i, key), 0, buf, sizeof(buf), &got, &kit_err);

    if (st != WR_OK && st != WR_NOTFOUND)
        sim_fail("%s cannot be read: %s", key, kit_err.text);
    if (st == WR_OK && (got != want.n || memcmp(buf, want.p, got) != 0))
        sim_fail("%s is there with other bytes", key);
    if (st == WR_NOTFOUND && objects.fate[i] == THERE)
        sim_fail("%s was stored and is lost", key);
    if (st == WR_OK && (objects.fate[i] == NOT_THERE || objects.fate[i] == REMOVED))
        sim_fail("%s was removed and is there again", key);
    if (objects.fate[i] == UNDER_WAY && objects.durable) {
        seen->lost += st != WR_OK;
        objects.fate[i] = st == WR_OK ? THERE : REMOVED;
    }
    seen->lasting += st == WR_OK;
    seen->removed += objects.fate[i] == REMOVED;
}

static void check_objects(void *arg)
{
    struct wr_storage *s = open_replica();

    (void)arg;
    for (size_t i = 0; i < KEYS; i++)
        check_object(s, i);
    wr_storage_close(s);
}

static void write_and_die(void *arg)
{
    seen = arg;
    kit_sqlite();
    for (int i = 0; i < ROUNDS; i++) {
        struct sim_proc *writer = sim_proc_new("writer"), *judge = sim_proc_new("judge");

        (void)sim_spawn(writer, "write", write_objects, NULL);
        sim_sleep((int64_t)tape_below(tape_below(2) ? 100 : 10) * MS);
        objects.durable = kill_it(writer);
        sim_join(sim_spawn(judge, "check", check_objects, NULL));
        sim_kill(judge);
    }
}

static void what_was_stored_lasts(void **state)
{
    struct seen *sum = child_shared(sizeof(*sum));

    (void)state;
    for (uint64_t i = 0; i < SEEDS; i++)
        child_run(t_seed() + i, write_and_die, sum);
    T(sum->cuts > SEEDS && sum->lasting > SEEDS && sum->lost > SEEDS / 10 && sum->removed > SEEDS);
}

/* ---- a restored database ---- */

static struct {
    struct story story;
    struct world world;
    struct wr_rand random;
    bool told; /* that it is in place */
} lost;

static bool is_state(size_t txid)
{
    const struct image *want = &lost.story.image[txid];
    size_t n = 0;
    const uint8_t *p = disk_peek(TARGET, &n);

    return p && n == (size_t)want->commit * lost.story.page_size && memcmp(p, want->data, n) == 0;
}

static void restore(void *arg)
{
    const struct wr_restore_opts o = {.fs = disk_fs(),
        .path = TARGET,
        .overwrite = true,
        .parallel = 1,
        .resume_min = tape_below(2) ? 1 : 0,
        .lock_offset = LOCK};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};

    (void)arg;
    if (wr_restore(lost.world.storage, t_call(), &o, &r, &e) != WR_OK)
        sim_fail("restore: %s", e.text);
    CHECK(r.txid == lost.story.n);
    lost.told = true;
}

/* The newest state, or what was there before: nothing, or an older state. */
static void restore_and_die(void *arg)
{
    const struct image *old = &lost.story.image[1];
    const bool over = tape_below(2);

    seen = arg;
    kit_sqlite();
    wr_rand_init(&lost.random, tape_below(1000));
    story_init(&lost.story, &lost.random, 512, LOCK, 150, true);
    world_init(&lost.world, WR_STORAGE_LIST_TIME, "");
    for (uint64_t i = 1; i <= 4; i++) {
        story_commit(&lost.story, (uint32_t)(20 * i), 10);
        story_put(&lost.story, &lost.world, i == 1 ? 9 : 0, i, i);
    }
    CHECK(disk_fs()->mkdir(disk_fs(), "/data/there", 0755, &kit_err) == WR_OK);
    CHECK(disk_fs()->sync_dir(disk_fs(), "/data", &kit_err) == WR_OK);
    for (int i = 0; i < ROUNDS; i++) {
        struct sim_proc *p = sim_proc_new("restore");
        size_t n;

        lost.told = false;
        disk_remove(TARGET);
        if (over)
            disk_plant(TARGET, old->data, (size_t)old->commit * lost.story.page_size);
        (void)sim_spawn(p, "restore", restore, NULL);
        sim_sleep((int64_t)tape_below(tape_below(2) ? 40000 : 2000) * (MS / 1000));
        (void)kill_it(p);
        if (is_state(lost.story.n)) {
            seen->restored++;
            continue;
        }
        if (lost.told)
            sim_fail("a restored database is lost");
        if (over ? !is_state(1) : disk_peek(TARGET, &n) != NULL)
            sim_fail("what is in place is neither the old database nor the new one");
        seen->old += over;
        seen->none += !over;
    }
}

static void what_was_restored_lasts(void **state)
{
    struct seen *sum = child_shared(sizeof(*sum));

    (void)state;
    for (uint64_t i = 0; i < SEEDS; i++)
        child_run(t_seed() + i, restore_and_die, sum);
    T(sum->cuts > SEEDS && sum->restored > SEEDS && sum->old > SEEDS / 5 && sum->none > SEEDS / 5);
}

T_MAIN(T_TEST(what_was_stored_lasts), T_TEST(what_was_restored_lasts))
