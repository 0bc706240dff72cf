/*
 * followed.c - see followed.h.
 */
#include "sim/followed.h"

#include "engine/follow_int.h"
#include "sim/disk.h"
#include "sim/follower.h"
#include "sim/tape.h"
#include "sim/verdict.h"

#include "base/mem.h"

#include <inttypes.h>

#define PATH    "/followed/db"
#define MS      INT64_C(1000000)
#define CALM_NS (50 * MS) /* between two looks when nothing else happens any more */

static struct {
    struct follower is;
    uint64_t txid; /* that it told */
    uint64_t steps;
    bool over;
} x;

/* Bytes of page 1 that are the copy's own: the versions, the counters, who wrote it last. */
static bool is_own(size_t i)
{
    return (i >= 18 && i < 20) || (i >= 24 && i < 28) || (i >= 40 && i < 44) ||
           (i >= 92 && i < 100);
}

/* F1, F2. The header of page 1 is the replica's, where the copy has its own. */
static void expect_state(struct follower *w, const struct wr_follow *f)
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
    if (w->anew)
        x.txid = 0;
    if (f->pos.txid < x.txid)
        sim_fail("F2: the copy went back from txid %" PRIu64 " to %" PRIu64, x.txid, f->pos.txid);
    x.steps += f->pos.txid > x.txid;
    x.txid = f->pos.txid;
}

/* F3. What may pass is tried again. */
static void judge_failure(struct follower *w, enum wr_status st, const char *text)
{
    if (st == WR_CORRUPT && !verdict_is_weak(0))
        sim_fail("F3: %s", text);
    w->anew = w->anew || st == WR_CONFLICT || st == WR_CORRUPT;
}

static void mind(void *arg)
{
    (void)arg;
    while (!x.over) {
        follower_start(&x.is);
        sim_sleep((int64_t)tape_between(1, 500) * MS);
    }
}

void followed_begin(int64_t interval_ns)
{
    struct wr_err e = {0};

    x.is = (struct follower){
        .path = PATH, .interval_ns = interval_ns, .stands = expect_state, .failed = judge_failure};
    if (wr_mkdirs(disk_fs(), "/followed", 0700, &e) != WR_OK)
        sim_fail("%s", e.text);
    (void)sim_spawn(sim_proc_current(), "mind", mind, NULL);
}

void followed_kill(void)
{
    follower_kill(&x.is);
}

void followed_end(int64_t patience_ns)
{
    const int64_t until = sim_now_ns() + patience_ns;

    x.is.least_ns = CALM_NS;
    while (x.txid < verdict_last(0)) {
        if (sim_now_ns() > until)
            sim_fail("F4: the copy is at txid %" PRIu64 ", the replica at %" PRIu64, x.txid,
                verdict_last(0));
        sim_sleep(100 * MS);
    }
    x.over = true;
    follower_end(&x.is);
}

uint64_t followed_steps(void)
{
    return x.steps;
}
