/*
 * storage_int.h - what storage.c shares with writer.c: the handle, and uploads with retries.
 */
#ifndef WR_STORAGE_STORAGE_INT_H
#define WR_STORAGE_STORAGE_INT_H

#include "storage/settings.h"
#include "storage/storage.h"

#include <stdatomic.h>

/* Requests of one class. Small numbers, as there may be thousands of replicas: one that wraps is
 * for who reads it as one that began anew. */
struct wr_storage_meter {
    _Atomic uint64_t begun, ns;
    _Atomic uint32_t took[WR_STORAGE_TOOK], failed[WR_STORAGE_STATUSES];
};

/* frozen after open, but for the counters and `calls`, which are atomic. */
struct wr_storage {
    const struct wr_storage_ops *ops;
    void *self;
    struct wr_settings *set; /* NULL when wrapped */
    char *prefix, *name;
    unsigned attempts_max; /* of every retried call */
    int64_t base_ms;       /* bound of the first wait between attempts */

    _Atomic uint64_t calls; /* sets the seeds of concurrent retries apart */
    struct wr_storage_meter meters[WR_STORAGE_CLASSES];
    _Atomic uint64_t bytes_up, bytes_down;
};

/* MISUSE or UNSUPPORTED for a key or for conditions that no put through `s` may have. */
enum wr_status wr_storage_check_put(const struct wr_storage *s, struct wr_str key,
    const struct wr_put_opts *o, struct wr_err *e) WR_MUST_CHECK;

/* An upload and what storage.c needs to speak about it. */
struct wr_storage_upload {
    struct wr_storage *s;
    struct wr_str key;    /* the caller's, until commit or abort */
    struct wr_upload *up; /* NULL: not begun, or over */
};

enum wr_status wr_storage_upload_begin(struct wr_storage *s, struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, struct wr_storage_upload *ret, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_storage_upload_part(struct wr_storage_upload *u, struct wr_call *c,
    struct wr_bytes part, struct wr_err *e) WR_MUST_CHECK;
/* The same of a buffer that is empty afterwards, if it is OK: what is in it is not copied. */
enum wr_status wr_storage_upload_give(struct wr_storage_upload *u, struct wr_call *c,
    struct wr_buf *part, struct wr_err *e) WR_MUST_CHECK;
/* One attempt: the driver frees the upload either way, so there is nothing to repeat. */
enum wr_status wr_storage_upload_commit(
    struct wr_storage_upload *u, struct wr_call *c, struct wr_err *e) WR_MUST_CHECK;
void wr_storage_upload_abort(struct wr_storage_upload *u, struct wr_call *c); /* NULL-safe `up` */

#endif
