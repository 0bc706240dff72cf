/*
 * store_int.h - what the files of the simulated object store share.
 *
 * store_client.c asks, store_net.c carries and fails, store_bucket.c does, store.c is the rest.
 */
#ifndef SIM_STORE_INT_H
#define SIM_STORE_INT_H

#include "sim/store.h"

#include "base/arena.h"
#include "base/cancel.h"

#define STORE_NAME_MAX    24
#define STORE_VERSION_MAX 20

enum store_fault {
    STORE_LOST_REQUEST,
    STORE_LOST_ANSWER,
    STORE_DOUBLED,
    STORE_SLOW,
    STORE_BUSY,
    STORE_BROKEN,
    STORE_DENIED,
    STORE_SHORT_GET,
    STORE_CUT_LIST,
    STORE_KEY_ERROR,
    STORE_STALE_LIST, /* weak stores only */
    STORE_FAULTS
};

struct store_object {
    struct wr_str key; /* NUL-terminated; key and body are the object's own memory */
    uint8_t *body;
    size_t n;
    int64_t time_ms;    /* as the client wanted it */
    int64_t written_ms; /* as the store's clock was */
    char version[STORE_VERSION_MAX];
    bool gone;        /* removed; a stale list may still show it */
    int64_t since_ns; /* when it appeared, or was removed */
};

struct store_part {
    uint8_t *p; /* NULL: not there */
    size_t n;
};

struct store_upload {
    struct store_upload *next;
    uint64_t id;
    struct store_part *parts;
    size_t n, cap;
};

struct store {
    struct store *next; /* of all stores of the run */
    char name[STORE_NAME_MAX];
    struct wr_storage_ops ops;

    bool weak;
    uint32_t permille[STORE_FAULTS]; /* 0: not armed */
    uint32_t latency_us;             /* the longest of common ones, one way */
    uint32_t ponder_us;              /* how long a write may take to take effect */
    size_t page_max;                 /* objects in an answer to a list */
    int64_t lag_ns;                  /* how old a stale list is */

    const struct sim_proc *cut_off; /* NULL: nobody is */
    uint32_t burst;                 /* requests that are still to be turned away */
    int64_t denied_until, outage_until;

    struct store_object **objects; /* by key */
    size_t n, cap;
    struct store_upload *uploads;
    uint64_t upload_ids;

    struct store_request *under_way; /* by time of arrival */
    struct sim_queue idle;           /* where the store waits for it */
    uint64_t sent, newest;           /* requests; and the last of them that was applied */
};

enum store_verb {
    STORE_LIST,
    STORE_STAT,
    STORE_GET,
    STORE_PUT,
    STORE_REMOVE,
    STORE_UPLOAD_BEGIN,
    STORE_UPLOAD_PART,
    STORE_UPLOAD_COMMIT,
    STORE_UPLOAD_ABORT
};

/* Everything it points to is in `mem`, as its client may die or give up before it arrives. */
struct store_request {
    struct store_request *next;
    struct store *s;
    struct wr_arena mem;

    enum store_verb verb;
    struct wr_str key;       /* or prefix */
    struct wr_str after;     /* LIST */
    struct wr_str *keys;     /* REMOVE: n of them */
    struct wr_bytes body;    /* PUT, PART */
    struct wr_put_opts opts; /* PUT, COMMIT */
    uint64_t off;            /* GET */
    size_t n;                /* GET: bytes; PART: its number, from 0; COMMIT: number of parts */
    uint64_t upload;         /* PART to ABORT */

    struct sim_proc *client; /* NULL: the network doubled it */
    bool linked;             /* under way to the store */
    bool nobody_waits;
    uint64_t seq;
    int64_t sent_ns; /* when its last byte has left the client */
    int64_t arrives_ns;
    struct sim_queue done;
    struct wr_waker on_cancel;

    int64_t answer_ns; /* when the client has the answer; SIM_NEVER: not known, or never */
    enum wr_status st;
    const char *text;          /* when st is not OK */
    struct wr_object about;    /* STAT, PUT, COMMIT */
    struct wr_bytes data;      /* GET */
    struct wr_object *objects; /* LIST: n_objects of them */
    size_t n_objects;
    bool more;        /* LIST: and there are more */
    bool cut;         /* LIST: broken off behind these */
    bool stale;       /* LIST: as it was some time ago */
    uint64_t made_id; /* BEGIN */
};

/* ---- store_net.c ---- */

/* A request of the current process; out of memory ends the run. */
struct store_request *store_request_new(struct store *s, enum store_verb verb);
void store_request_free(struct store_request *r); /* NULL-safe */
struct wr_str store_keep_str(struct store_request *r, struct wr_str s);
struct wr_bytes store_keep_bytes(struct store_request *r, const uint8_t *p, size_t n);

/* Send it and wait for the answer. The answer's status, or CANCELED or TIMEOUT without one; then *r
 * is NULL, and the request goes its own way. */
enum wr_status store_ask(struct wr_call *c, struct store_request **r, struct wr_err *e);

/* Whether a fault strikes, by its probability. */
bool store_strikes(const struct store *s, enum store_fault f);

/* Start carrying requests to a store. */
void store_net_start(struct store *s);

/* ---- store_bucket.c ---- */

/* Do what the request asks for, now. Sets st and what it promises. */
void store_apply(struct store *s, struct store_request *r);

/* ---- store_client.c ---- */

extern const struct wr_storage_ops store_driver; /* without caps */

#endif
