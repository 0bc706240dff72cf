/*
 * send.h - put one LTX file into a replica, under its name, and know afterwards that it is there.
 *
 * Names are created, never overwritten, where the store can tell. There nothing is assumed of an
 * object that is in the way: its end says whether it is the same file.
 */
#ifndef WR_ENGINE_SEND_H
#define WR_ENGINE_SEND_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

struct wr_log;
struct wr_parcel;
struct wr_storage;

/* Bytes of a file that may take so long, to be sent or read, that others do not wait behind it. */
#define WR_SEND_LONG ((uint64_t)16 << 20)

/* What was handed to the store. */
struct wr_sent {
    uint64_t size;     /* bytes; 0: not all of it */
    uint64_t checksum; /* the one in its trailer; 0: the same */
};

/* OK: the replica has it. *ret is written in every case: what a store took may be there, whatever
 * it answered. CONFLICT: there is an object of that name with other contents, and it is
 * left alone; BUSY: there is one, and what it is could not be read. Else as wr_storage_put, and for
 * what is read from here while it is sent as wr_parcel_send, which `threads` is for. */
enum wr_status wr_send(struct wr_storage *s, struct wr_call *c, const struct wr_parcel *p,
    unsigned threads, struct wr_sent *ret, struct wr_err *e) WR_MUST_CHECK;

/* Say that it is there, in Litestream's words: a snapshot is news, other files are not. */
void wr_send_say(const struct wr_log *l, const char *label, const struct wr_storage *s,
    const struct wr_parcel *p, uint64_t size);

#endif
