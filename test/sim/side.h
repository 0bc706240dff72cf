/*
 * side.h - one of several machines: an application with a database, and a daemon that replicates
 * it. All machines have one disk here; each is another directory of it.
 */
#ifndef SIM_SIDE_H
#define SIM_SIDE_H

#include "sim/app.h"
#include "sim/daemon.h"

struct side {
    const char *name, *daemon_name; /* of the application and of the daemon, for traces */
    struct app_opts app;
    struct daemon_opts o;
    struct daemon *daemon;   /* NULL: none yet */
    daemon_synced_fn *acked; /* NULL: nobody asks for a sync */
};

/* Start the daemon, unless it runs. */
void side_look_alive(struct side *t);
/* Its application opens the database, writes for a while, and closes it. */
void side_work(const struct side *t, uint64_t max_ns);
/* The same, with somebody who wants to know now and then whether it is in the replica. */
void side_work_and_ask(struct side *t, uint64_t max_ns);
/* Ask for a sync, if the daemon runs; the answer is told to t->acked. */
void side_ask(struct side *t);
/* Its daemon was stopped, paused, killed or cut off, or not: it runs again, with the store. */
void side_come_back(struct side *t);
/* Whether its daemon has stopped replicating, and says that it has lost a conflict. */
bool side_has_stopped(struct side *t);

/* From here on the database at `to` has the number (engine/node.h) of the one at `from`, if that
 * has one: its machine was made from an image of the other. By its path it would know that it is
 * elsewhere, so the file does not say where it was made. */
void side_copy_number(const char *from, const char *to);

#endif
