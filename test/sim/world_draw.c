/*
 * world_draw.c - how a run is: what may go wrong in it, what the application and our program are
 * like.
 */
#include "base/rand.h"
#include "engine/parcel.h"
#include "sim/disk.h"
#include "sim/tape.h"
#include "sim/world_int.h"

#define ROOM ((size_t)16 << 20) /* as src/api has it */

void world_draw_habits(struct world *w)
{
    struct habits *h = &w->may;

    h->kills = tape_chance(600);
    h->cuts = tape_chance(300);
    h->stops = tape_chance(250);
    h->rivals = tape_chance(200);
    h->losses = tape_chance(200);
    h->outages = tape_chance(250);
    h->jumps = tape_chance(200);
    h->disk = tape_chance(200);
    h->travel = tape_chance(150);
    h->late = tape_chance(300);
    h->vast = tape_chance(100);
    h->late = h->late || h->vast;
    h->hasty = tape_chance(100);
    h->events = (uint32_t)tape_between(1, 24);
    h->pause_ns = (int64_t)tape_between(1, 200) * MS;
    tape_apart(true);
    h->sick = tape_chance(150);
    h->twins = tape_chance(50);
    h->full = tape_chance(100);
    h->heirs = tape_chance(80);
    tape_apart(false);
    if (h->heirs) {
        h->rivals = h->kills = true;
        h->travel = false; /* whoever puts a copy in place has stopped all of them */
    }
    if (h->hasty) {
        h->kills = h->cuts = true;
        h->pause_ns = 2 * SECOND;
    }
}

void world_draw_app(struct world *w)
{
    static const uint32_t sizes[] = {4096, 512, 1024, 65536};

    w->app = (struct app_opts){
        .path = DB,
        .page_size = sizes[tape_below(8) % 5 % wr_countof(sizes)],
        /* A power cut may do anything to a database that is not synced. */
        .synchronous = w->may.hasty ? 1 : 2 - tape_below(w->may.cuts ? 2 : 3),
        .savepoints = !w->may.kills && !w->may.cuts,
        .auto_frames = tape_below(3) * 10,
        .cache_pages = 2 + tape_below(30),
        .big = w->may.vast || tape_chance(200),
        .dense = w->may.vast,
        .think_ns = (int64_t)tape_between(w->may.hasty ? 20 : 1, 50) * MS,
    };
}

/* A day of levels, snapshots and retention in the seconds that a run has. Nothing is drawn for it,
 * so that the others live as they did before. */
static void draw_history(struct world *w)
{
    uint32_t kind = (uint32_t)(w->opts.seed % 12);
    int64_t ms = 40 << kind % 4;

    if (kind >= 6)
        return;
    w->opts.cadence = (struct wr_cadence){.levels = 1 + kind % 3,
        .level_ms = {ms, 3 * ms, 9 * ms},
        .snapshot_ms = kind % 2 ? 8 * ms : 0,
        .few = 1 + kind % 3};
    if (w->opts.seed % 5 > 0) /* or nobody says what a replica must have */
        w->opts.look_ms = 1 + (ms >> (w->opts.seed % 5 + 1));
    if (kind % 3 > 0)
        w->opts.retention = (struct wr_retention){.keep_ms = 12 * ms,
            .l0_ms = ms,
            .grace_ms = 1 + ms * (kind / 3),
            .snapshots = kind % 4,
            .periods = {[WR_PERIOD_HOUR] = kind / 4, [WR_PERIOD_DAY] = kind / 4}};
}

static bool is_app(const struct sim_proc *p)
{
    return strncmp(sim_proc_name(p), "app", 3) == 0;
}

/* The same: somebody asks for what waits for its time; a replica comes late; somebody follows the
 * first one; an application's disk takes long to sync, so that a commit is under way for long. The
 * latter two are what a database that is let go has to be ready for, so they are in all such runs,
 * now and then. */
static void draw_more(struct world *w)
{
    const uint64_t seed = w->opts.seed;
    const bool cools = seed % 4 == 3;

    if (seed % 5 == 2) {
        w->unhealed = true;
        w->opts.asks = &w->unhealed;
        w->opts.ask_ns = (20 * MS) << seed / 5 % 7;
    }
    if (w->opts.n_stores > 1 && (cools || seed % 11 == 4)) {
        w->opts.late_off = &w->healed;
        w->opts.late_ns = (10 * MS) << seed % 9;
    }
    if (seed % 6 == 1) { /* with time, and much to follow */
        w->follows_ns = MS << seed / 6 % 8;
        w->opts.interval_ns = wr_min(w->opts.interval_ns, 20 * MS);
        w->may.events += 10;
        w->may.pause_ns = wr_max(w->may.pause_ns, 200 * MS);
    }
    if (seed % 13 == 5 || (cools && seed % 3 == 0))
        disk_slow_syncs(is_app, 1 + (uint32_t)(seed % 10), (50 * MS) << seed % 4);
}

/* The other sizes that a page may have, in some runs: nothing is drawn, as above. */
static void draw_page_size(struct world *w)
{
    static const uint32_t others[] = {2048, 8192, 16384, 32768};

    if (w->app.page_size == 4096 && w->opts.seed % 5 == 4)
        w->app.page_size = others[w->opts.seed / 5 % wr_countof(others)];
}

/* Nor for this. Only one process may checkpoint (app_opts), and in a quarter of the runs that is
 * not one of those that write. */
static void draw_rudeness(struct world *w)
{
    struct wr_rand r;

    wr_rand_init(&r, w->opts.seed + 1);
    w->may.rude = wr_rand_below(&r, 4) == 0;
}

/* Nor for this. A third of the machines have no id. */
static void draw_name(struct world *w)
{
    struct wr_rand r;

    wr_rand_init(&r, w->opts.seed + 2);
    w->may.nameless = wr_rand_below(&r, 3) == 0;
}

/* Nor for this: databases are so small here that all files find room. In a third of the runs it is
 * as small, or there is none, so that they go to the outbox. */
static void draw_room(struct world *w)
{
    static const size_t smalls[] = {0, 600, 6 << 10};
    static const size_t larges[] = {6 << 10, 60 << 10, WR_PARCEL_ROOM_MAX};
    static const size_t files[] = {0, 0, 1, 2}; /* more are hardly ever under way */
    struct wr_rand r;

    wr_rand_init(&r, w->opts.seed);
    w->opts.small_max = WR_PARCEL_MEMORY_MAX;
    w->opts.file_max = WR_PARCEL_ROOM_MAX;
    w->opts.room = ROOM;
    if (wr_rand_below(&r, 3) > 0)
        return;
    w->opts.small_max = smalls[wr_rand_below(&r, wr_countof(smalls))];
    w->opts.file_max = larges[wr_rand_below(&r, wr_countof(larges))];
    w->opts.room = files[wr_rand_below(&r, wr_countof(files))] * w->opts.file_max;
    if (wr_rand_below(&r, 4) == 0)
        disk_rot(OUTBOX, 2 + (uint32_t)wr_rand_below(&r, 3));
}

void world_draw_daemon(struct world *w)
{
    w->opts = (struct daemon_opts){
        .path = DB,
        .n_stores = 1 + tape_chance(300),
        .lock_offset = LOCK_OFFSET,
        .checkpoint_frames = (uint32_t)tape_between(10, 200),
        .scan_ns = (int64_t)tape_between(10, 1000) * MS,
        .interval_ns = (int64_t)tape_between(1, 1000) * MS,
        .scan_bytes = 16384 << tape_below(8),
        .inline_bytes = tape_chance(500) ? 4096 << tape_below(6) : 0,
        .seed = 1 + tape_below(1000),
        .watched = tape_chance(700),
    };
    if (w->may.vast) {
        w->opts.checkpoint_frames = 10;
        w->opts.inline_bytes = 4096;
    }
    if (w->may.full) { /* much that is captured and checkpointed before it is closed */
        w->opts.checkpoint_frames = 10;
        w->opts.interval_ns = wr_max(w->opts.interval_ns, 50 * MS);
    }
    draw_page_size(w);
    draw_history(w);
    draw_more(w);
    draw_room(w);
    draw_rudeness(w);
    draw_name(w);
    for (size_t i = 0; i < w->opts.n_stores; i++)
        w->opts.stores[i] = w->stores[i] = store_new(i ? "mirror" : "bucket");
    for (size_t i = 0; i < w->opts.n_stores && w->may.hasty; i++)
        store_ponder(w->stores[i]);
}
