/*
 * placard.h - a small object beside the files of a replica, by which those who use it tell each
 * other something: what the lease (lease.h), the sign (writer.h) and the extent (extent.h) share.
 */
#ifndef WR_ENGINE_PLACARD_H
#define WR_ENGINE_PLACARD_H

#include "base/base.h"
#include "base/buf.h"
#include "base/call.h"
#include "base/status.h"
#include "base/str.h"

#include <jansson.h>

struct wr_storage;

/* Its key, in c->scratch; empty: out of memory. */
struct wr_str wr_placard_key(struct wr_call *c, const struct wr_storage *s, const char *name);

/* All of it, in c->scratch; nothing, if it has more than `max` bytes. NOMEM; else as
 * wr_storage_get. */
enum wr_status wr_placard_read(struct wr_storage *s, struct wr_call *c, const char *name,
    size_t max, struct wr_bytes *ret, struct wr_err *e) WR_MUST_CHECK;

/* What is there, for one who will write over it. */
struct wr_placard {
    bool there;
    struct wr_str version; /* for a condition; in c->scratch */
    struct wr_bytes text;  /* as of wr_placard_read; .p is NULL: it went meanwhile, or never was */
};
/* OK as well when there is none. After a failure *ret has the version, if that was learned. As
 * wr_placard_read. */
enum wr_status wr_placard_look(struct wr_storage *s, struct wr_call *c, const char *name,
    size_t max, struct wr_placard *ret, struct wr_err *e) WR_MUST_CHECK;

/* The member of that name is a string of just 16 hexadecimal digits. `o` may be anything, or NULL.
 */
bool wr_placard_hex(const json_t *o, const char *name, uint64_t *ret);

/* End an object that lacks nothing but its brace with a checksum of all before it, as its last
 * member, "crc64". */
void wr_placard_seal(struct wr_buf *text);
/* Whether it ends so. */
bool wr_placard_sealed(struct wr_bytes text);

#endif
