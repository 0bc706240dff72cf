/*
 * input_read.h - bytes of a plan's files, and of which object they are: under one name there may be
 * another by now, as where a replica was copied over this one.
 *
 * Nothing is kept: every function may be called from any thread.
 */
#ifndef WR_ENGINE_INPUT_READ_H
#define WR_ENGINE_INPUT_READ_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_storage;

/* CORRUPT if `f` is too small to begin with a header. */
enum wr_status wr_input_check(const struct wr_ltx_file *f, struct wr_err *e) WR_MUST_CHECK;

/* Exactly `n` bytes at `off` of a plan's file. CORRUPT if it is shorter, BUSY if it has vanished,
 * with its key in the text. */
enum wr_status wr_input_read(struct wr_storage *s, struct wr_call *c, const struct wr_ltx_file *f,
    uint64_t off, void *buf, size_t n, struct wr_err *e) WR_MUST_CHECK;
/* The same, and the tag of the object that answered; 0: the storage tells none. `ret_tag` may be
 * NULL. */
enum wr_status wr_input_read_tag(struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *f, uint64_t off, void *buf, size_t n, uint64_t *ret_tag,
    struct wr_err *e) WR_MUST_CHECK;

/* One object of those that may follow each other under a name. */
struct wr_input_id {
    uint64_t tag;      /* 0: unknown */
    uint64_t checksum; /* of its bytes, as its trailer has it */
};

/* Of a file that ends with `tail`. CORRUPT: that is no trailer. */
enum wr_status wr_input_identify(
    struct wr_bytes tail, uint64_t tag, struct wr_input_id *ret, struct wr_err *e) WR_MUST_CHECK;
/* As wr_input_read, of the object `id`, or any if its tag is unknown. CONFLICT: by now another one
 * has that name. A tag that differs is no proof of that: the trailer of what has it is looked at,
 * by one to four requests more; where those do not come to what has it, all is done again, up to
 * three times. */
enum wr_status wr_input_read_object(struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *f, const struct wr_input_id *id, uint64_t off, void *buf, size_t n,
    struct wr_err *e) WR_MUST_CHECK;

#endif
