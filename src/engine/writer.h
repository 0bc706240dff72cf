/*
 * writer.h - who was the last to begin to write to a replica: one object, by which two that write
 * notice each other without a listing.
 *
 *   <prefix>writer.json   {"token":"<16 hex>","node":"<16 hex>","txid":"<16 hex>",
 *                          "crc64":"<16 hex>"}
 *
 * A hint, and no lock: whoever finds another one's sign lists the replica, and only files decide.
 * `token` is of one process and replica, so that no two write the same; `node` is that of node.h,
 * for people; `txid` the greatest one that it had given to a file of this replica, sent or about to
 * be, or had found there, as whoever finds no file must know which may be under way; and `crc64`,
 * of all bytes before its comma, for verification. Older versions have no `txid`, or neither of the
 * two. It is written over without a condition. When it is written, and why a sign that is
 * lost does no harm, is in docs/adr/0024.
 */
#ifndef WR_ENGINE_WRITER_H
#define WR_ENGINE_WRITER_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

struct wr_storage;

#define WR_WRITER_NAME "writer.json"

/* NOMEM; else as wr_storage_put. */
enum wr_status wr_writer_sign(struct wr_storage *s, struct wr_call *c, uint64_t token,
    uint64_t node, uint64_t txid, struct wr_err *e) WR_MUST_CHECK;

/* Whether the sign is this one. What is not there, cannot be read as one, or may not be read is
 * not. Fails only where a second try may help, and with CANCELED and NOMEM. */
enum wr_status wr_writer_is(struct wr_storage *s, struct wr_call *c, uint64_t token, bool *ret,
    struct wr_err *e) WR_MUST_CHECK;

/* Whether there is a sign, and none of these, from `first` on to `last` and round; *ret_txid is
 * what it says, 0: nothing. As wr_writer_is. */
enum wr_status wr_writer_other(struct wr_storage *s, struct wr_call *c, uint64_t first,
    uint64_t last, bool *ret, uint64_t *ret_txid, struct wr_err *e) WR_MUST_CHECK;

/* The same, for verification. CORRUPT: there is an object, and it is none that anybody has written.
 * OK as well when there is none, or it may not be read. Else as wr_storage_get. */
enum wr_status wr_writer_check(struct wr_storage *s, struct wr_call *c, uint64_t token, bool *ret,
    struct wr_err *e) WR_MUST_CHECK;

#endif
