/*
 * fleet_int.h - the list of databases, shared by those who change it (fleet.c), who hold one of it
 * (fleet_hold.c), and by how one begins (fleet_begin.c), and by nobody else.
 */
#ifndef WR_DAEMON_FLEET_INT_H
#define WR_DAEMON_FLEET_INT_H

#include "base/sync.h"
#include "daemon/fleet.h"

struct wr_fleet_member {
    struct wr_config_db *config; /* owned; frozen */
    weir_db *db;                 /* NULL: stopped */
    weir_txid txid;              /* the newest when it was ended; 0: it never was */
    int64_t last_sync_ms;        /* Unix ms, likewise */
    weir_cancel *cancel;         /* of those who hold it; NULL with it */
    struct wr_list own;          /* holds that have another one */
    bool canceled;               /* all of them, until it is begun with anew */
    unsigned holders;            /* of db, or of config in wr_fleet_each */
    bool changing;               /* somebody is about to add, start, stop or remove it */
};

struct wr_fleet {
    weir *w;
    struct wr_logger *log;
    weir_cancel *ending; /* of last syncs: the process ends; frozen once there is a member */
    weir_cancel *own;    /* that one, unless wr_fleet_ends_with has given another */
    struct wr_absent *absent;
    struct wr_refused refused;

    struct wr_mutex mutex; /* guards the rest */
    struct wr_cond idle;   /* somebody has let go */
    struct wr_fleet_member **members;
    size_t n, cap;
    uint64_t begun; /* times that one was added or started */
    bool over;
};

/* Where the path is, or would be. Under the lock. */
bool wr_fleet_find(const struct wr_fleet *f, const char *path, size_t *ret);

/* `code`, with a text that says which database. */
int wr_fleet_fail(weir_error *reterr, int code, const char *path, const char *text);
int wr_fleet_no_memory(weir_error *reterr, const char *path);

/* Hand a database to the library, with all its replicas or not at all. `from` is one of `c`'s, or
 * SIZE_MAX. Without the lock, of which it knows nothing. */
int wr_fleet_begin(struct wr_fleet *f, const struct wr_config_db *c,
    const struct wr_fleet_start *how, size_t from, weir_db **ret, weir_error *reterr);

#endif
