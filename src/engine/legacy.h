/*
 * legacy.h - read-only: replicas that Litestream 0.3 wrote ("generations"), on any storage.
 *
 * It knows nothing of LTX; it turns a snapshot and WAL segments into a database image.
 */
#ifndef WR_ENGINE_LEGACY_H
#define WR_ENGINE_LEGACY_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "base/str.h"

struct wr_file;
struct wr_storage;

/* What comes before "generations/" in the key of a snapshot, of whatever replica, as a view of
 * `key`; false where that is none. */
bool wr_legacy_owner(struct wr_str key, struct wr_str *ret);

struct wr_legacy; /* what to restore: a snapshot and the WAL segments that follow it. owned */

/* Look for generations and choose: the newest snapshot made at or before `time_ms` (0: the newest)
 * and its generation's WAL segments up to then. NOTFOUND, without a text, when there is none. */
enum wr_status wr_legacy_find(struct wr_storage *s, struct wr_call *c, int64_t time_ms,
    struct wr_legacy **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_legacy_free(struct wr_legacy *l); /* NULL-safe */

int64_t wr_legacy_snapshot_ms(const struct wr_legacy *l); /* when the chosen snapshot was made */
int64_t wr_legacy_oldest_ms(const struct wr_legacy *l); /* the oldest snapshot of any generation */
int64_t wr_legacy_newest_ms(const struct wr_legacy *l); /* the newest object of any generation */
int64_t wr_legacy_end_ms(const struct wr_legacy *l);    /* the newest object that will be used */
uint64_t wr_legacy_bytes(const struct wr_legacy *l);    /* of the objects that will be used */

/* Called on the caller's thread after each object, with the compressed bytes read so far. */
typedef void wr_legacy_progress_fn(void *arg, uint64_t bytes_done);

/* Write the database to the empty file `db`; `wal` is a second empty file to spool one WAL at a
 * time in. Neither is synced. CORRUPT "missing WAL index: ..." or "missing WAL segment: ..." when
 * the chain is broken, CORRUPT too for damaged objects. That the last segments of a WAL are missing
 * cannot be known: nothing in this format says where a WAL ended. */
enum wr_status wr_legacy_write(struct wr_legacy *l, struct wr_call *c, struct wr_file *db,
    struct wr_file *wal, wr_legacy_progress_fn *progress, void *arg, uint32_t *ret_page_size,
    uint32_t *ret_commit, struct wr_err *e) WR_MUST_CHECK;

#endif
