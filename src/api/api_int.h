/*
 * api_int.h - what the files of the public API share: handles, and the crossing of the border.
 */
#ifndef WR_API_API_INT_H
#define WR_API_API_INT_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "base/sync.h"
#include "engine/parcel.h"
#include "engine/primary.h"
#include "engine/retain.h"
#include "engine/seats.h"
#include "run/sched.h"
#include "run/watch.h"
#include "storage/storage.h"

#include <weir.h>

struct weir_cancel {
    struct wr_cancel token;
};

struct weir_db {
    struct weir *w;
    struct wr_db *db;
    char *path;                  /* absolute or as given: what makes it the same database */
    char *urls[WR_REPLICAS_MAX]; /* redacted, for status */
    size_t n_urls;
    struct weir_db *next;
};

struct weir {
    struct wr_sched *sched;
    struct wr_watch *watch; /* NULL: inotify is not to be had */
    struct wr_seats seats;  /* of databases that are held open */
    struct wr_parcel_room parcel_room;
    struct wr_http_share *http; /* connections of all replicas */
    weir_log_fn *log;
    void *log_arg;
    struct wr_log engine_log;
    struct wr_mutex mutex; /* guards dbs and the urls in them */
    struct weir_db *dbs;
};

/* Copy a failure out; returns its code. OK writes nothing. */
int wr_api_return(weir_error *reterr, enum wr_status st, const struct wr_err *e);

/* How many bytes of a caller's struct we may use: never more than we know. */
size_t wr_api_struct(size_t caller, size_t ours);

/* A call for work on the caller's thread. `a` is the caller's to release. */
struct wr_call wr_api_call(weir *w, struct wr_arena *a, weir_cancel *cancel);

/* Settings of a replica that are ours and not the storage's. *ret_rest is heap memory for
 * wr_storage_open, NULL-terminated; its strings are the caller's. */
struct api_replica_settings {
    int64_t sync_interval_ns;
    bool adopt;
    const char **rest;
};
enum wr_status wr_api_replica_settings(
    const char *const *settings, struct api_replica_settings *ret, struct wr_err *e) WR_MUST_CHECK;

/* A storage by its own settings. `w`, whose connections it uses, outlives it; NULL: its own. */
enum wr_status wr_api_open_storage(weir *w, const char *url, const char *const *settings,
    struct wr_storage **ret, struct wr_err *e) WR_MUST_CHECK;
/* The same of a replica that is only read; what is ours of its settings does not matter. */
enum wr_status wr_api_open_replica(weir *w, const char *url, const char *const *settings,
    struct wr_storage **ret, struct wr_err *e) WR_MUST_CHECK;
/* A look into a replica, for as long as one public call. */
struct api_visit {
    struct wr_storage *s;
    struct wr_arena a;
    struct wr_call call;
};
/* Open it. In every case wr_api_leave comes after that; of = {0} it does nothing. */
enum wr_status wr_api_visit(weir *w, const char *url, const char *const *settings,
    weir_cancel *cancel, struct api_visit *ret, struct wr_err *e) WR_MUST_CHECK;
void wr_api_leave(struct api_visit *v);
/* Each of them to `fn`, with what it is kept for unless that is NULL, until it has enough. */
void wr_api_tell_files(
    weir_file_fn *fn, void *arg, const struct wr_ltx_files *files, const enum wr_kept *kept);

/* Settings of a database. */
enum wr_status wr_api_db_settings(
    const char *const *settings, struct wr_db_opts *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
