/*
 * feeds.h - the HTTP or HTTPS listener on `serve.addr`: what followers ask (`weir restore -f
 * http://...`).
 *
 *     GET /feed/<database>?id=<16 hex>&after=<txid, hex>&life=<hex>&part=<n>&wait=<ms>
 *             [&more=1][&flow=1]
 *         200 what was captured behind that state, and with `flow` what else is captured within
 *         `wait`, as it comes, unless that becomes too much; 204 nothing within `wait`; 410 it is
 *         not in memory any more: the replica has it
 *     GET /feed/<database>
 *         200 lines: "txid <16 hex>", and "replica <URL>" of each, as weir_replica_address
 *
 * A database is named by its path, or by the last part of it where no other one has the same. With
 * a token, whoever does not have it gets 401, and learns nothing. So many followers are served at
 * once, each with a thread and one answer in memory, or one piece of an answer that goes on; one
 * more gets 503. A follower that does not read its answer is cut off, and has the replica.
 *
 * locked: any thread.
 */
#ifndef WR_DAEMON_FEEDS_H
#define WR_DAEMON_FEEDS_H

#include "base/base.h"
#include "base/status.h"
#include "daemon/config.h"
#include "daemon/fleet.h"
#include "daemon/logfmt.h"

struct wr_feeds;

struct wr_feeds_totals {
    uint64_t followers;               /* that have asked within the last half minute */
    uint64_t bytes, answers, dropped; /* sent to the replica (410), of those that had answers */
    uint64_t refused;                 /* for their token, or since there are too many */
};

/* Listens nowhere yet. Both outlive it. NULL: out of memory. */
struct wr_feeds *wr_feeds_new(struct wr_fleet *fleet, struct wr_logger *log);
/* Waits for requests in progress, none of which waits for anything any more. */
void wr_feeds_free(struct wr_feeds *f);

/* Listen as `c` says, which is copied, and no more as before, if that is something else, or if the
 * files of its certificate hold another one: then whoever waits is answered at once, and asks
 * again. From one thread. After a failure all is as before, unless the text says that it cannot be.
 */
enum wr_status wr_feeds_serve(
    struct wr_feeds *f, const struct wr_config_serve *c, struct wr_err *e) WR_MUST_CHECK;

void wr_feeds_look(struct wr_feeds *f, struct wr_feeds_totals *ret);

#endif
