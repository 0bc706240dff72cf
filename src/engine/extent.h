/*
 * extent.h - what a replica must have, by the word of who writes to it: one object, which tells a
 * file that retention has deleted from one that is missing.
 *
 *   <prefix>extent.json
 *     {"newest":"<16 hex>",
 *      "last":{"level":0,"min_txid":"<16 hex>","max_txid":"<16 hex>"},
 *      "runs":{"0":{"from":"<16 hex>","to":"<16 hex>"},...},
 *      "snapshots":{"count":"<16 hex>","sum":"<16 hex>","newest":"<16 hex>"},
 *      "levels":{"1":"<16 hex>",...},
 *      "token":"<16 hex>","node":"<16 hex>","at":"2026-01-02T03:04:05Z",
 *      "crc64":"<16 hex>"}
 *
 * It says that the replica reaches to the TXID `newest`, as any listing shows by now, and of each
 * level that is named: each file of it that ends behind that TXID, and not behind `newest`, has a
 * way that leads to its end. Of other levels it says nothing. `last` is the newest file: the
 * replica reaches to its end, though a listing may be late. `runs` has of each level the first and
 * the last TXID without a hole, of who has ended and deletes no more; `snapshots` those of level 9
 * up to the one that ends at `newest` there (roll.h). These three are not in what older versions
 * write. `token` is of the sign (writer.h) of whose word that is: under another one's sign it says
 * nothing at all. `node` and `at` are for people. `crc64` is of all bytes before its comma; older
 * versions end with `at`. Members of other names are not looked at, and not kept.
 *
 * Nothing but verification asks for it, and no restore depends on it. When it is written is in
 * herald.h, what may be concluded from it in docs/adr/0029.
 */
#ifndef WR_ENGINE_EXTENT_H
#define WR_ENGINE_EXTENT_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/layout.h"
#include "engine/roll.h"

struct wr_storage;

#define WR_EXTENT_NAME "extent.json"

/* Of a level: nothing is said. */
#define WR_EXTENT_NOTHING UINT64_MAX

struct wr_extent {
    uint64_t newest;                 /* 0: nothing is said at all */
    struct wr_ltx_file last;         /* level, min and max alone; max 0: nothing is said of it */
    struct wr_roll roll;             /* what is there of each level, by a writer that has ended */
    uint64_t from[WR_LEVEL_MAX + 1]; /* by level: the TXID behind which it is spoken of */
    uint64_t token, node;
    int64_t at_ms; /* Unix ms, by the writer's clock */
};

/* Whether it says that a way leads to the end of `f`. NULL: nothing does. */
bool wr_extent_covers(const struct wr_extent *x, const struct wr_ltx_file *f);

/* NOTFOUND: there is none. CORRUPT: there is an object, and it says nothing. Else as
 * wr_storage_get. */
enum wr_status wr_extent_read(
    struct wr_storage *s, struct wr_call *c, struct wr_extent *ret, struct wr_err *e) WR_MUST_CHECK;

/* Which object it is. */
struct wr_extent_version {
    bool there;
    char tag[80]; /* for a condition; "": unknown, and then there is none */
};

/* The same, and of which version. OK with ret->newest 0: there is none, or it says nothing. */
enum wr_status wr_extent_look(struct wr_storage *s, struct wr_call *c, struct wr_extent *ret,
    struct wr_extent_version *ret_version, struct wr_err *e) WR_MUST_CHECK;

/* Write it in place of the version that was seen, which becomes the new one's. CONFLICT: another
 * one is there by now; where the store has no conditions that is not known. Else as
 * wr_storage_put. */
enum wr_status wr_extent_write(struct wr_storage *s, struct wr_call *c, const struct wr_extent *x,
    struct wr_extent_version *version, struct wr_err *e) WR_MUST_CHECK;

/* Say nothing any more. As wr_storage_remove. */
enum wr_status wr_extent_remove(
    struct wr_storage *s, struct wr_call *c, struct wr_err *e) WR_MUST_CHECK;

#endif
