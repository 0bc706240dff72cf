/*
 * haul.h - pages that a local copy does not have are fetched, many with one request.
 *
 * owned: by whoever fills the copy.
 */
#ifndef WR_VFS_HAUL_H
#define WR_VFS_HAUL_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

struct wr_haul;
struct wr_local;
struct wr_pagemap;
struct wr_storage;

/* Both outlive it. NOMEM. */
enum wr_status wr_haul_new(
    struct wr_storage *s, struct wr_local *l, struct wr_haul **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_haul_free(struct wr_haul *h); /* NULL-safe */

/* Fetch pages of `m`, which is of the copy's base, that the copy lacks, from page *next on, until
 * there are some MiB of them. *next: where to go on; 0: there are none. With a failure it is left,
 * but what was fetched is there; *ret_disk: it is the copy's. Else BUSY: a file has vanished,
 * CONFLICT: another one has its name, or as wr_storage_get. A page whose frame is damaged, or that
 * has none, is left out. */
enum wr_status wr_haul_some(struct wr_haul *h, struct wr_call *c, const struct wr_pagemap *m,
    uint32_t *next, bool *ret_disk, struct wr_err *e) WR_MUST_CHECK;

struct wr_haul_look {
    uint64_t requests, bytes;
    uint64_t pages;   /* that were fetched */
    uint64_t damaged; /* pages */
};
void wr_haul_look(const struct wr_haul *h, struct wr_haul_look *ret);

#endif
