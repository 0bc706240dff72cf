/*
 * remote.h - where a replica stands: the newest TXID in it, over all levels, and which database
 * state that is.
 */
#ifndef WR_ENGINE_REMOTE_H
#define WR_ENGINE_REMOTE_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

struct wr_storage;

struct wr_remote_pos {
    uint64_t txid;    /* newest; 0: the replica is empty */
    bool has_base;    /* some file begins at TXID 1: without one nothing can be restored */
    bool has_rolling; /* the newest file records the checksum of the database after it */
    uint64_t rolling;
    uint64_t node_id;   /* of the newest file's writer; 0: unknown (Litestream's own, or merged) */
    uint32_t page_size; /* bytes; 0 when empty */
    uint32_t commit;    /* database size in pages */
    int64_t time_ms;    /* of the newest file */
};

/* `hint` is a TXID that the replica probably has (0: unknown): listing starts there. A replica that
 * has nothing from there on is listed whole. CORRUPT when the newest file's header is damaged. */
enum wr_status wr_remote_find(struct wr_storage *s, struct wr_call *c, uint64_t hint,
    struct wr_remote_pos *ret, struct wr_err *e) WR_MUST_CHECK;

/* Checksums of some pages of the replica's newest state: what tells one database from another. */
#define WR_SAMPLE_MAX 32
struct wr_sample {
    size_t n;
    uint32_t pgno[WR_SAMPLE_MAX];
    uint64_t checksum[WR_SAMPLE_MAX]; /* wr_ltx_page_checksum */
};

/* Fetch up to WR_SAMPLE_MAX pages, spread over the database; page 1 and pages of one
 * repeated byte, which two databases of one program share, are left out. Errors as wr_restore_plan
 * and wr_inputs_open. */
enum wr_status wr_remote_sample(
    struct wr_storage *s, struct wr_call *c, struct wr_sample *ret, struct wr_err *e) WR_MUST_CHECK;

/* Whether the object `level`/`min`-`max` in the replica is the file with this size and checksum
 * (compared by its last 16 bytes). NOTFOUND when it is gone. */
enum wr_status wr_remote_same(struct wr_storage *s, struct wr_call *c, unsigned level, uint64_t min,
    uint64_t max, uint64_t size, uint64_t checksum, bool *ret_same, struct wr_err *e) WR_MUST_CHECK;

#endif
