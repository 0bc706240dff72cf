/*
 * check_int.h - what the files of the command check share: what is found, and how it is told.
 *
 * Each part tells its facts twice, as a line for people and as members of a JSON object, and what
 * is wrong once, as a finding.
 */
#ifndef WR_CLI_CHECK_INT_H
#define WR_CLI_CHECK_INT_H

#include "cli/command.h"
#include "daemon/dirs.h"

#include <jansson.h>

enum wr_check_weight {
    WR_CHECK_NOTE,    /* good to know */
    WR_CHECK_WARNING, /* it works, but not as somebody may think */
    WR_CHECK_ERROR,   /* it will not work, or not be restored */
    WR_CHECK_WEIGHTS
};

struct wr_check_finding {
    struct wr_check_finding *next;
    enum wr_check_weight weight;
    const char *text;
};

/* owned. */
struct wr_check {
    struct wr_cli *cli;
    const struct wr_config *config;
    bool json;  /* print that, and no lines */
    json_t *at; /* the object that is being filled: of the whole, a database, a replica */
    struct wr_check_finding *first, **last; /* since the last flush */
    unsigned counts[WR_CHECK_WEIGHTS];      /* of all findings */
    bool lost;                              /* no memory, or a path is not UTF-8 */
};

/* ---- check_say.c ---- */

void wr_check_init(struct wr_check *k, struct wr_cli *cli, bool json);
/* A line: an empty label goes on with the one before. */
void wr_check_line(struct wr_check *k, const char *label, const char *fmt, ...) WR_PRINTF(3, 4);
void wr_check_find(struct wr_check *k, enum wr_check_weight weight, const char *fmt, ...)
    WR_PRINTF(3, 4);
/* Set a member of k->at; takes the reference. */
void wr_check_set(struct wr_check *k, const char *key, json_t *value);
void wr_check_text(struct wr_check *k, const char *key, const char *value); /* NULL: null */
void wr_check_number(struct wr_check *k, const char *key, double value);
/* Go into a new member object of k->at; what was `at` comes back, for wr_check_leave. */
json_t *wr_check_enter(struct wr_check *k, const char *key);
void wr_check_leave(struct wr_check *k, json_t *outer);
/* Print the findings since the last flush, and put them into k->at. */
void wr_check_flush(struct wr_check *k);

/* ---- check_values.c: what counts, and who said so ---- */

/* Values that count for a database, as weir_db_settings tells them. */
struct wr_check_history {
    int64_t snapshot_ms, keep_ms, l0_ms, verify_ms;
    int64_t level_ms[8];
    unsigned levels;
    bool retains;
    uint64_t kept; /* snapshots, and points of periods */
};
/* False after a finding: they are not good. */
bool wr_check_db_values(
    struct wr_check *k, const struct wr_config_db *db, struct wr_check_history *ret) WR_MUST_CHECK;
/* Likewise of a replica, and what matters of them. */
struct wr_check_store {
    int64_t sync_ms;
    uint64_t part_size; /* bytes; 0: no parts */
    bool is_s3;
    bool elsewhere;                                 /* it is not Amazon's */
    const char *kms_key, *bucket, *prefix, *region; /* NULL: none */
};
bool wr_check_replica_values(struct wr_check *k, const struct wr_config_replica *r,
    struct wr_check_store *ret) WR_MUST_CHECK;

/* ---- check_idle.c: keys that do nothing beside the others ---- */

/* `has(arg, key)`: the value of a key that somebody gave; NULL: nobody did. `say` gets the key, and
 * why it has no effect. Pure. */
typedef const char *wr_check_has_fn(const void *arg, const char *key);
typedef void wr_check_idle_fn(void *arg, const char *key, const char *why);
void wr_check_idle_db(wr_check_has_fn *has, const void *values, wr_check_idle_fn *say, void *arg);
void wr_check_idle_replica(
    const char *type, wr_check_has_fn *has, const void *values, wr_check_idle_fn *say, void *arg);

/* ---- check_files.c and check_disk.c: what is on this machine ---- */

enum wr_check_kind {
    WR_CHECK_MISSING,
    WR_CHECK_FILE,
    WR_CHECK_DIRECTORY,
    WR_CHECK_SPECIAL, /* neither */
    WR_CHECK_UNSEEN,  /* it cannot be told */
};

/* What is to be known of a database before it is opened. */
struct wr_check_file {
    enum wr_check_kind kind;
    const char *why;  /* UNSEEN: the reason */
    uint64_t size;    /* bytes */
    bool is_database; /* by its header */
    bool headless;    /* the header could not be read */
    bool wal;         /* it is in WAL mode */
    uint32_t page_size;
    bool readable, writable, dir_writable;
    bool sidecars_open;  /* those of -wal and -shm that exist may be read and written */
    const char *owner;   /* of the file, where it is not who runs this; NULL */
    bool restores;       /* a missing one is restored: restore-if-db-not-exists */
    const char *state;   /* the directory of local state */
    bool state_writable; /* or can be made */
    const char *fs;      /* the file system, where SQLite cannot share memory on it; NULL */
    bool read_only;      /* the file system of the state */
    uint64_t free_bytes; /* of it */
    bool free_known;
};
/* Say what of it is wrong. Pure. */
void wr_check_judge(struct wr_check *k, const char *path, const struct wr_check_file *f);
/* Page size and mode of a database of which these are the first bytes. */
void wr_check_header(const uint8_t *p, size_t n, struct wr_check_file *ret);

/* Look, tell and judge; *ret_bytes: the size of the database, 0 without one. */
void wr_check_files(struct wr_check *k, const struct wr_config_db *db, uint64_t *ret_bytes);

/* ---- check_history.c: what may be lost, what can be restored, what it costs ---- */

void wr_check_tell_history(struct wr_check *k, const struct wr_check_history *h);
void wr_check_tell_cost(struct wr_check *k, const struct wr_check_history *h,
    const struct wr_check_store *store, uint64_t db_bytes);

/* ---- check_rights.c: what a failed step of a probe (WEIR_PROBE_*) means ---- */

/* What it needs in S3; `kms`: objects are encrypted with a key of their own. */
const char *wr_check_action(int step, bool kms);
/* `retains`: old files are to be deleted. */
enum wr_check_weight wr_check_step_weight(int step, int code, bool retains);

/* ---- check_store.c: does the store do what is needed ---- */

/* Probe it, with `step_ms` for each step, and tell. */
void wr_check_probe(struct wr_check *k, weir *w, weir_cancel *cancel,
    const struct wr_config_replica *r, const struct wr_check_store *store, bool retains,
    int64_t step_ms);

/* ---- check_watches.c: does the kernel watch as much ---- */

struct wr_check_watches {
    uint64_t watches, instances;         /* of inotify: needed */
    bool known;                          /* the limits are */
    uint64_t watches_max, instances_max; /* of all processes of a user */
};
/* The number that is all of this file of /proc. */
bool wr_check_read_limit(const char *path, uint64_t *ret);
void wr_check_watch_limits(struct wr_check_watches *ret);
/* For these databases, of `c`, of which `seen` are the directories. False: no memory. */
bool wr_check_watch_needs(struct wr_arena *a, const struct wr_config *c,
    const struct wr_config_db *const *dbs, size_t ndbs, const struct wr_dirs_seen *seen,
    struct wr_check_watches *ret) WR_MUST_CHECK;
void wr_check_tell_watches(struct wr_check *k, const struct wr_check_watches *w);

/* ---- check_machine.c: processes and limits ---- */

struct wr_procs;
/* Those that have the i-th database open. */
void wr_check_tell_procs(struct wr_check *k, const struct wr_procs *procs, size_t i);

struct wr_check_limits { /* of a process; 0: none, or not known */
    uint64_t descriptors, mappings;
};
void wr_check_limits(struct wr_check_limits *ret);
/* Whether so many databases fit, of which `open_max` are held open at once; 0: all of them. */
void wr_check_tell_limits(struct wr_check *k, const struct wr_procs *procs,
    const struct wr_check_limits *limits, size_t ndbs, uint32_t open_max);

#endif
