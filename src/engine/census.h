/*
 * census.h - every page of a replica's newest state, as a checksum: what proves in which pages a
 * database differs from it, where no file records the checksum of the database, as Litestream's.
 */
#ifndef WR_ENGINE_CENSUS_H
#define WR_ENGINE_CENSUS_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/sums.h"

struct wr_storage;

/* Read all files that lead to the newest state, of which the last must be `txid`, in full. They are
 * proven by their own checksums. A page that was cut off and came back as it was has 0: a plan of
 * other files might not have it. Memory: as sums.h and digest.h, with one thread.
 *
 * LIMIT: the files are of more than `bytes_max` bytes. CORRUPT: one is damaged, they do not follow
 * each other; NOTFOUND: there are none; BUSY: one
 * has vanished since it was listed, or others came. Else as wr_storage_get, and NOMEM. */
enum wr_status wr_census_take(struct wr_storage *s, struct wr_call *c, uint32_t lock_offset,
    uint64_t txid, uint64_t bytes_max, struct wr_sums *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
