/*
 * world_int.h - what the parts of a run share: world.c is how it goes and what must hold in the
 * end, world_draw.c how this one is, world_events.c what happens in it.
 */
#ifndef SIM_WORLD_INT_H
#define SIM_WORLD_INT_H

#include "sim/app.h"
#include "sim/daemon.h"
#include "sim/store.h"
#include "sim/world.h"

#define MS          INT64_C(1000000)
#define SECOND      INT64_C(1000000000)
#define DB          "/db/app.db"
#define META        "/db/.app.db-weir"
#define OUTBOX      META "/outbox"
#define LOCK_OFFSET 0x10000u /* SQLite's lock page, where small databases have it */
#define MACHINE_ID  "0123456789abcdef0123456789abcdef\n"
#define RUNS        "/proc/sys/kernel/random" /* where the system says which run it is */
#define APPS        3
#define RUDE        APPS /* the one behind them */

/* What kinds of things go wrong in this run; each is there in some runs and not in others. */
struct habits {
    bool kills, cuts, stops, rivals, losses, outages, jumps, disk, travel, late;
    bool vast;  /* files that take long to be read from a database that is written */
    bool twins; /* nothing of all this, but a copied machine (twins.h) */
    bool sick;  /* the applications' disk fails them now and then */
    bool heirs; /* a daemon waits for the death of the other, again and again */
    bool full;  /* our state is on a disk of its own, which is full now and then */
    bool hasty; /* short lives, of processes whose writes take effect when they are gone */
    bool rude;  /* the process that checkpoints does nothing else */
    /* the machine has no id, as in most containers */
    bool nameless;
    uint32_t events;
    int64_t pause_ns;
};

struct world {
    struct habits may;
    struct app_opts app;
    struct sim_proc *apps[APPS + 1];
    struct daemon_opts opts;
    struct daemon *daemon, *rival;
    struct sim_proc *restore; /* one that runs, or has ended; NULL: none */
    struct store *stores[DAEMON_REPLICAS];
    bool healed, unhealed;
    int64_t follows_ns; /* how often somebody looks who follows the first bucket; 0: nobody does */
    uint8_t *old;       /* the database at an earlier time, or NULL */
    size_t old_n;
    struct world_report *r;
};

void world_draw_habits(struct world *w);
void world_draw_app(struct world *w);
void world_draw_daemon(struct world *w); /* and its stores */

/* The next thing that the tape wants. */
void world_event(struct world *w);
/* Fibers beside all that happens, until it is healed: an application's disk fails; there is no room
 * for our state. */
void world_be_sick(void *w);
void world_be_full(void *w);
void world_be_inherited(void *w); /* one daemon takes over from the other */

/* Unless it lives; with the first one who checkpoints, if that is another one. */
void world_start_app(struct world *w, size_t i);
void world_start_daemon(struct world *w);
void world_kill_daemon(struct world *w); /* if it runs */
void world_stop_all(struct world *w);    /* applications and daemons, each to its end */
/* Of all processes in `w`; nobody else may have files open. */
void world_power_cut(struct world *w);
/* This run of the machine is not the one before. */
void world_machine_starts(const struct world *w);

#endif
