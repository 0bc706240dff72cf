/*
 * storage.h - a bucket of immutable objects, whatever holds it.
 *
 * A driver moves bytes between memory and one kind of remote. It knows nothing of LTX, levels,
 * transactions or retries: keys are opaque strings, contents are opaque bytes, every call is
 * synchronous, re-entrant, bounded by call->deadline_ms and stopped by call->cancel.
 *
 * Errors a driver must tell apart, because callers act on them: NOTFOUND, CONFLICT, AUTH, BUSY and
 * TIMEOUT (a retry may help), CANCELED. Anything else is IO, CORRUPT or LIMIT. A bucket that does
 * not exist is MISUSE with a text that says so: it must never be mistaken for an empty one.
 */
#ifndef WR_STORAGE_STORAGE_H
#define WR_STORAGE_STORAGE_H

#include "base/base.h"
#include "base/call.h"
#include "base/str.h"

struct wr_buf;
struct wr_http_share;
struct wr_option;
struct wr_setting;
struct wr_settings;
struct wr_storage; /* an open bucket: ops, driver state, settings; frozen, safe from any thread */
struct wr_upload;  /* a driver's multi-part upload in progress; used by one thread at a time */

enum wr_storage_caps {
    WR_STORAGE_COND_PUT = 1 << 0,   /* honours if_absent; create-only uploads and leases need it */
    WR_STORAGE_LIST_TIME = 1 << 1,  /* list() reports put_opts.time_ms, so no stat() per key */
    WR_STORAGE_HEX_LEVELS = 1 << 2, /* LTX keys are <prefix><%04x level>/..., not ltx/<level>/ */
    WR_STORAGE_LIST_NOW = 1 << 3,   /* list() shows all that was put or removed before it began */
};

struct wr_object {
    struct wr_str key;     /* relative to the bucket root */
    uint64_t size;         /* bytes */
    int64_t time_ms;       /* put_opts.time_ms if the remote kept it, else its modification time */
    struct wr_str version; /* opaque entity tag for if_match; empty if the remote has none */
    /* Of list(): by when it was to be seen by all, by the remote's clock, and not before it was: an
     * upper bound where the remote does not tell; 0: none is known. */
    int64_t stored_ms;
    bool in_parts; /* that is an upper bound, WR_STORAGE_UPLOAD_MS after it was begun */
};

/* No upload of one object takes longer: what begins one gives it no later deadline. */
#define WR_STORAGE_UPLOAD_MS ((int64_t)24 * 3600 * 1000)

struct wr_put_opts {
    int64_t time_ms;        /* Unix ms to keep as the object's time; 0: let the remote decide */
    struct wr_str if_match; /* write only over this version; empty: unconditional */
    bool if_absent;         /* write only if the key does not exist; else CONFLICT */
};

/* Called once per object in ascending key order (bytewise). Return false to stop early. `obj` and
 * all it points to die when the callback returns. */
typedef bool wr_list_fn(void *arg, const struct wr_object *obj);

/* What the answers so far have taught a driver. */
struct wr_storage_learnt {
    bool dated;        /* the remote has told its time: */
    int64_t skew_ms;   /* its clock minus ours, to a second or two */
    bool no_condition; /* it has no conditional writes; the driver looks, and then writes */
    bool no_match;     /* the same, of if_match alone */
};

struct wr_storage_ops {
    const char *scheme; /* URL scheme: "s3", "file", ... */
    unsigned caps;      /* WR_STORAGE_* */
    size_t part_min;    /* smallest upload part except the last, bytes; 0: no multi-part */
    const struct wr_option *options; /* settings this driver understands, NULL-name terminated */
    const char *const *place; /* those that say where the bucket is, NULL-terminated; NULL: none */

    /* Create driver state from parsed settings. No I/O: credentials are fetched on first use. */
    enum wr_status (*open)(const struct wr_settings *set, void **self, struct wr_err *e);
    void (*close)(void *self); /* NULL-safe */

    /* Objects whose key starts with `prefix` and sorts after `after` (empty: from the start). `fn`
     * may move the call's deadline: it holds for the request that is made next. */
    enum wr_status (*list)(void *self, struct wr_call *c, struct wr_str prefix, struct wr_str after,
        wr_list_fn *fn, void *arg, struct wr_err *e);
    /* out's strings live in call->scratch. */
    enum wr_status (*stat)(
        void *self, struct wr_call *c, struct wr_str key, struct wr_object *out, struct wr_err *e);

    /* Read up to `n` bytes at `off` into `buf`. *got < n only at the end of the object; an offset
     * at or past the end reads 0 bytes and is OK. *version, unless that is NULL, is the one of the
     * object that was read, as stat() has it; empty, if the remote does not tell. It lives in
     * call->scratch. */
    enum wr_status (*get)(void *self, struct wr_call *c, struct wr_str key, uint64_t off, void *buf,
        size_t n, size_t *got, struct wr_str *version, struct wr_err *e);

    /* Store a whole object: all of it becomes visible, durably, or none of it does. `out` may be
     * NULL; its strings live in call->scratch. */
    enum wr_status (*put)(void *self, struct wr_call *c, struct wr_str key, struct wr_bytes body,
        const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e);

    /* Remove `n` keys, any number. A key that is already gone counts as removed. On failure some
     * may be gone; the text names the first that is not. */
    enum wr_status (*remove)(
        void *self, struct wr_call *c, const struct wr_str *keys, size_t n, struct wr_err *e);

    /* The five below are NULL when part_min is 0. Parts arrive in order and may be sent in
     * parallel; nothing is visible until commit. commit and abort free the upload in every case;
     * abort cannot fail. `part` is the driver's to keep only until upload_part returns. What is
     * given is not copied: when upload_give is OK `part` is empty, or has another buffer's memory
     * that nobody needs any more, and its limit as before. NULL: there is nothing to gain. */
    enum wr_status (*upload_begin)(void *self, struct wr_call *c, struct wr_str key,
        const struct wr_put_opts *o, struct wr_upload **out, struct wr_err *e);
    enum wr_status (*upload_part)(
        struct wr_upload *u, struct wr_call *c, struct wr_bytes part, struct wr_err *e);
    enum wr_status (*upload_give)(
        struct wr_upload *u, struct wr_call *c, struct wr_buf *part, struct wr_err *e);
    enum wr_status (*upload_commit)(
        struct wr_upload *u, struct wr_call *c, struct wr_object *out, struct wr_err *e);
    void (*upload_abort)(struct wr_upload *u, struct wr_call *c);

    /* For people, and NULL where there is nothing to tell: values that count and are in no table of
     * options, and what was learnt. No I/O but for a file of credentials. */
    void (*tell)(void *self, void (*fn)(void *arg, const struct wr_setting *setting), void *arg);
    void (*learnt)(void *self, struct wr_storage_learnt *ret);

    /* Append what the URL without its query lacks to say which bucket it is, as a query that is
     * part of the name; nothing in it is secret. NULL: nothing. */
    void (*where)(const void *self, struct wr_buf *out);

    /* Use connections of `x` instead of its own: see wr_storage_share. NULL: it has none. */
    enum wr_status (*share)(void *self, struct wr_http_share *x, struct wr_err *e);
};

/* Open the bucket that `url` names ("file:///var/backup/app", "s3://bucket/path?region=eu-west-1").
 * `settings` is a NULL-terminated list of key, value, key, value, ..., or NULL; query parameters of
 * the URL win over it, it wins over the environment. Unknown keys, bad values and unknown schemes
 * are MISUSE with a text that names the nearest known one and never shows a secret. No I/O. */
enum wr_status wr_storage_open(struct wr_str url, const char *const *settings,
    struct wr_storage **ret, struct wr_err *e) WR_MUST_CHECK;

/* Wrap driver state that tests made themselves: closes it with ops->close. `prefix` is copied. */
enum wr_status wr_storage_wrap(const struct wr_storage_ops *ops, void *self, struct wr_str prefix,
    struct wr_storage **ret, struct wr_err *e) WR_MUST_CHECK;

void wr_storage_close(struct wr_storage *s); /* NULL-safe */

/* Connections for many storages, in one bucket or several. NULL: out of memory. No storage that
 * uses them is left when it is freed; NULL-safe. */
struct wr_http_share *wr_storage_share_new(void);
void wr_storage_share_free(struct wr_http_share *x);
/* Before the first request: use the connections of `x` with all others that do, and none of its
 * own. Some drivers have none, and nothing happens. NOMEM; MISUSE when certificates that are to be
 * trusted cannot be read, which without this the first request finds. */
enum wr_status wr_storage_share(
    struct wr_storage *s, struct wr_http_share *x, struct wr_err *e) WR_MUST_CHECK;

const char *wr_storage_scheme(const struct wr_storage *s);
unsigned wr_storage_caps(const struct wr_storage *s);
/* What every key of this replica starts with: "" or "path/" ("./" for an S3 URL without a path). */
struct wr_str wr_storage_prefix(const struct wr_storage *s);
/* The URL without password and query, but with an endpoint that is not everybody's: for messages,
 * and by it a bucket is told from others. */
struct wr_str wr_storage_name(const struct wr_storage *s);

/* A URL by which another machine finds it, if it has credentials of its own, into `out`: with the
 * settings that say where it is, wherever these are from, and without user and password. A wrapped
 * one has its name alone. NOMEM, LIMIT: `out` has no room. */
enum wr_status wr_storage_address(
    const struct wr_storage *s, struct wr_buf *out, struct wr_err *e) WR_MUST_CHECK;

/* Each setting that counts, with what the driver adds, and never a secret: `fn` as
 * wr_setting_fn. None of a storage that was wrapped. */
void wr_storage_tell(
    const struct wr_storage *s, void (*fn)(void *arg, const struct wr_setting *setting), void *arg);
void wr_storage_learnt(const struct wr_storage *s, struct wr_storage_learnt *ret);

/* The driver's calls with arguments checked, counted by class, and idempotent ones retried with
 * full jitter while their failure is transient and the deadline allows (net/retry.h). A put whose
 * answer was lost and whose retry says CONFLICT is compared with what is there: equal bytes are
 * success. So bytes for if_match must be such that no other writer would write the same. */
enum wr_status wr_storage_list(struct wr_storage *s, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_storage_stat(struct wr_storage *s, struct wr_call *c, struct wr_str key,
    struct wr_object *out, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_storage_get(struct wr_storage *s, struct wr_call *c, struct wr_str key,
    uint64_t off, void *buf, size_t n, size_t *got, struct wr_err *e) WR_MUST_CHECK;
/* As wr_storage_get, and tells the version of the object that was read. */
enum wr_status wr_storage_get_version(struct wr_storage *s, struct wr_call *c, struct wr_str key,
    uint64_t off, void *buf, size_t n, size_t *got, struct wr_str *version,
    struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_storage_put(struct wr_storage *s, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_storage_remove(struct wr_storage *s, struct wr_call *c, const struct wr_str *keys,
    size_t n, struct wr_err *e) WR_MUST_CHECK;

/* As wr_storage_put, and tells what is there now (its version is the next if_match); out's strings
 * live in call->scratch. */
enum wr_status wr_storage_put_object(struct wr_storage *s, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_object *out,
    struct wr_err *e) WR_MUST_CHECK;

/* Replace the defaults of net/retry.h for every call through `s`: attempts with the first one
 * included, and the bound of the first wait. Before the handle is shared. */
void wr_storage_set_retry(struct wr_storage *s, unsigned attempts_max, int64_t base_ms);

/* Requests made through `s` since it was opened, by class; what a bill would show. */
struct wr_storage_counts {
    uint64_t list, get, put, remove, stat;
    uint64_t bytes_up, bytes_down;
};
void wr_storage_counts(const struct wr_storage *s, struct wr_storage_counts *ret);

/* The same classes, in the order of a bill. */
enum wr_storage_class {
    WR_STORAGE_PUT,
    WR_STORAGE_LIST,
    WR_STORAGE_GET,
    WR_STORAGE_STAT,
    WR_STORAGE_REMOVE,
    WR_STORAGE_CLASSES
};
#define WR_STORAGE_TOOK     10
#define WR_STORAGE_STATUSES (WR_INTERNAL + 1)
/* Requests of a class that have ended, each attempt by itself; at one time or another. */
struct wr_storage_times {
    /* How many took up to 10 ms; up to 50, 100, 500 ms, 1, 5, 10, 30, 60 s and more than before;
     * and longer. */
    uint64_t took[WR_STORAGE_TOOK];
    uint64_t ns; /* all together; of a list, with what its caller did */
    /* By how they ended, but for those that ended well: OK, NOTFOUND, which is an answer, and
     * CANCELED, which is our doing, are 0. */
    uint64_t failed[WR_STORAGE_STATUSES];
};
void wr_storage_times(
    const struct wr_storage *s, enum wr_storage_class class, struct wr_storage_times *ret);

#endif
