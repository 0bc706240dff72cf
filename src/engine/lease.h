/*
 * lease.h - who may write to a replica: one object that each promotion writes anew.
 *
 *   <prefix>lease.json   {"epoch":2,"owner":"db2:/srv/app.db","node":"<16 hex>",
 *                         "since":"2026-01-02T03:04:05Z","token":"<16 hex>"}
 *
 * An epoch holds until the next one is taken: nothing expires, no clock decides, and the object is
 * never deleted. `node` is that of node.h, by which files tell who wrote them. `token` is random,
 * so that no two takers write the same bytes. Members of other names are not looked at, and not
 * kept. A replica where nobody was ever promoted has no such object.
 *
 * What makes it safe to look at it so rarely is in docs/adr/0023.
 */
#ifndef WR_ENGINE_LEASE_H
#define WR_ENGINE_LEASE_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "base/str.h"

struct wr_storage;

#define WR_LEASE_NAME  "lease.json"
#define WR_LEASE_OWNER 160 /* bytes, with the NUL; of a longer one the end is kept */

struct wr_lease {
    uint64_t epoch; /* from 1; 0: nobody has taken it */
    uint64_t node;  /* not 0 */
    uint64_t token;
    int64_t since_ms;           /* Unix ms, by the taker's clock: for people */
    char owner[WR_LEASE_OWNER]; /* nothing that a terminal obeys */
};

/* Who holds it. NOTFOUND: nobody does. CORRUPT: there is an object, and it is no lease; the text
 * says what to do. Else as wr_storage_get. */
enum wr_status wr_lease_read(
    struct wr_storage *s, struct wr_call *c, struct wr_lease *ret, struct wr_err *e) WR_MUST_CHECK;

/* The same, with what it takes to be its next holder. */
struct wr_lease_seen {
    struct wr_lease lease; /* epoch is 0: nobody holds it */
    struct wr_str version; /* in c->scratch; empty: there is no object */
};
/* CORRUPT: *ret has the version of it, and can be taken: from epoch 1 on. */
enum wr_status wr_lease_look(struct wr_storage *s, struct wr_call *c, struct wr_lease_seen *ret,
    struct wr_err *e) WR_MUST_CHECK;

/* Take it: the epoch after the one that was seen, or 1 behind INT64_MAX, if that is still there.
 * CONFLICT: somebody else was faster; the text says who. Whether the store can tell is the caller's
 * to know (WR_STORAGE_COND_PUT, and wr_storage_probe): where it cannot, it is written all the same.
 * After another failure it may have been taken. NOMEM; else as wr_storage_put. */
enum wr_status wr_lease_take(struct wr_storage *s, struct wr_call *c,
    const struct wr_lease_seen *seen, uint64_t node, const char *owner, struct wr_lease *ret,
    struct wr_err *e) WR_MUST_CHECK;

/* `owner` as a lease would have it: the end of it, and nothing that no text may hold. */
void wr_lease_owner(char out[WR_LEASE_OWNER], const char *owner);

/* Whether files of `node` must not be counted on any more: another one has taken the lease. */
bool wr_lease_lost(const struct wr_lease *l, uint64_t node);

/* What its old holder is told, and is to do. */
void wr_lease_lost_text(const struct wr_lease *l, char out[WR_ERR_MAX]);

#endif
