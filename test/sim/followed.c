/*
 * followed.c - see followed.h.
 */
#include "sim/followed.h"

#include "engine/follow_int.h"
#include "sim/disk.h"
#include "sim/fiber.h"
#include "sim/tape.h"
#include "sim/verdict.h"

#include "base/mem.h"

#include <inttypes.h>

#define PATH     "/followed/db"
#define MS       INT64_C(1000000)
#define RETRY_NS (200 * MS) /* until whoever starts it again does */
#define CALM_NS  (50 * MS)  /* between two looks when nothing else happens any more */

static struct {
    struct sim_proc *proc;
    int64_t interval_ns, least_ns;
    uint64_t txid; /* that it told */
    uint64_t steps;
    bool anew; /* it has given up what it had */
    bool over;
} x;

/* Bytes of page 1 that are the copy's own: the versions, the counters, who wrote it last. */
static bool is_own(size_t i)
{
    return (i >= 18 && i < 20) || (i >= 24 && i < 28) || (i >= 40 && i < 44) ||
           (i >= 92 && i < 100);
}

/* F1, F2. The header of page 1 is the replica's, where the copy has its own. */
static void expect_state(const struct wr_follow *f)
{
    size_t n = 0;
    const uint8_t *p = disk_peek(PATH, &n);
    uint8_t *image = p ? wr_alloc(n) : NULL;

    if (!image || n < WR_DB_HEADER)
        sim_fail("F1: a copy of %zu bytes", n);
    memcpy(image, p, n);
    for (size_t i = 0; i < WR_DB_HEADER; i++) {
        if (is_own(i))
            image[i] = f->pos.header[i];
        else if (image[i] != f->pos.header[i])
            sim_fail("F1: byte %zu of the copy's header is not the replica's", i);
    }
    if (!verdict_is_state(0, f->pos.txid, image, n))
        sim_fail("F1: the copy is not txid %" PRIu64, f->pos.txid);
    wr_free(image);
    if (f->pos.txid < x.txid)
        sim_fail("F2: the copy went back from txid %" PRIu64 " to %" PRIu64, x.txid, f->pos.txid);
    x.steps += f->pos.txid > x.txid;
    x.txid = f->pos.txid;
}

/* F3. What may pass is tried again. */
static bool judge_failure(enum wr_status st, const struct wr_err *e)
{
    sim_trace("follow: %s", e->text);
    if (st == WR_CORRUPT && !verdict_is_weak(0))
        sim_fail("F3: %s", e->text);
    return st == WR_CONFLICT || st == WR_CORRUPT;
}

static bool go_on(struct wr_storage *s, struct wr_call *c)
{
    const struct wr_follow_opts o = {.restore = {.fs = disk_fs(),
                                         .path = PATH,
                                         .overwrite = x.anew,
                                         .parallel = 1 + tape_below(3),
                                         .lock_offset = verdict_lock_offset()},
        .interval_ms = wr_max(x.interval_ns / MS, INT64_C(1)),
        .patience_ms = 50};
    struct wr_follow *f = NULL;
    struct wr_restore_result restored;
    struct wr_err e = {0};
    int64_t wait_ms = 0;
    enum wr_status st = wr_follow_open(s, c, &o, &f, &restored, &e);

    if (st == WR_OK && x.anew)
        x.txid = 0;
    while (st == WR_OK && !x.over) {
        x.anew = false;
        expect_state(f);
        sim_sleep(wr_max(wait_ms * MS, x.least_ns));
        st = wr_follow_step(f, c, &wait_ms, &e);
        wr_arena_reset(c->scratch);
    }
    if (st != WR_OK && judge_failure(st, &e))
        x.anew = true;
    wr_follow_close(f);
    return !x.over;
}

static void follow(void *arg)
{
    struct wr_arena scratch;
    struct wr_call c = {.scratch = &scratch, .clock = wr_clock_system(), .deadline_ms = WR_NEVER};
    struct wr_storage *s = verdict_storage(0);

    (void)arg;
    wr_arena_init(&scratch, (size_t)1 << 30);
    while (go_on(s, &c)) {
        wr_arena_reset(&scratch);
        sim_sleep(RETRY_NS);
    }
    wr_storage_close(s);
    wr_arena_release(&scratch);
    sim_kill(sim_proc_current());
}

static bool lives(void)
{
    return x.proc && sim_proc_alive(x.proc);
}

static void start(void)
{
    x.proc = sim_proc_new("follow");
    (void)sim_spawn(x.proc, "follow", follow, NULL);
}

static void mind(void *arg)
{
    (void)arg;
    while (!x.over) {
        if (!lives())
            start();
        sim_sleep((int64_t)tape_between(1, 500) * MS);
    }
}

void followed_begin(int64_t interval_ns)
{
    struct wr_err e = {0};

    x.interval_ns = interval_ns;
    if (wr_mkdirs(disk_fs(), "/followed", 0700, &e) != WR_OK)
        sim_fail("%s", e.text);
    (void)sim_spawn(sim_proc_current(), "mind", mind, NULL);
}

void followed_kill(void)
{
    if (lives())
        sim_kill(x.proc);
}

void followed_end(int64_t patience_ns)
{
    const int64_t until = sim_now_ns() + patience_ns;

    x.least_ns = CALM_NS;
    while (x.txid < verdict_last(0)) {
        if (sim_now_ns() > until)
            sim_fail("F4: the copy is at txid %" PRIu64 ", the replica at %" PRIu64, x.txid,
                verdict_last(0));
        sim_sleep(100 * MS);
    }
    x.over = true;
    while (lives())
        sim_sleep(100 * MS);
}

uint64_t followed_steps(void)
{
    return x.steps;
}
