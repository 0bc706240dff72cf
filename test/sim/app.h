/*
 * app.h - the application: processes that do to a database all that SQLite lets them do.
 *
 * Each has one connection and one fiber. Nothing of this may ever fail: an error other than BUSY,
 * or BUSY after the patience that the application has, fails the run. Only an error of the disk
 * that has struck this very process is an answer. Then the application goes on as SQLite lets it,
 * and of a COMMIT that has failed so nobody but the wal-index knows whether it happened.
 */
#ifndef SIM_APP_H
#define SIM_APP_H

#include "sim/fiber.h"

struct app_opts {
    const char *path;
    uint32_t page_size;   /* of a database that does not exist yet */
    uint32_t synchronous; /* 0: OFF, 1: NORMAL, 2: FULL */
    uint32_t auto_frames; /* wal_autocheckpoint; 0: off */
    uint32_t cache_pages; /* few: big transactions spill into the WAL before they commit */
    bool savepoints;      /* it rolls some back: SQLite up to 3.50 then commits frames without
                           * checksums, which nobody finds if the wal-index is lost */
    bool checkpoints;     /* it may: SQLite before 3.51.3 must not have two such processes */
    bool big;             /* now and then a transaction of megabytes */
    bool dense;           /* of bytes that nobody can compress: they take long to be sent */
    bool steady;          /* nothing but small transactions, one after the other */
    bool rude;            /* nothing but checkpoints */
    int64_t think_ns;     /* between transactions, at most; if steady, always */
};

/* A new process that works until app_stop or its death. */
struct sim_proc *app_start(const char *name, const struct app_opts *o);
/* Ask all of them to close and end, and wait. Killed ones are gone already. */
void app_stop_all(void);

/* How many calls have failed because of the disk. */
extern uint64_t app_disk_errors;

/* Called after each statement that may have written, in the application's fiber; NULL: nobody. */
extern void (*app_wrote)(void);

#endif
