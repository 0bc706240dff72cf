/*
 * inputs.h - the headers and page indexes of a plan's files: which file has the newest frame of
 * each page, and where. It reads no page.
 *
 * owned, and frozen between wr_inputs_open and wr_inputs_release, but for the marks of the damaged.
 */
#ifndef WR_ENGINE_INPUTS_H
#define WR_ENGINE_INPUTS_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/layout.h"
#include "ltx/ltx.h"

struct wr_restore_opts;
struct wr_storage;

/* One frame. 16 bytes, because there is one for every page of the database. */
struct wr_ref {
    uint64_t off;    /* in its file */
    uint32_t pgno;   /* ascending within a file */
    uint32_t length; /* bytes of the frame, and WR_REF_WINS */
};
#define WR_REF_WINS ((uint32_t)1 << 31) /* the newest frame of a page that the database has */

static inline uint32_t wr_ref_length(const struct wr_ref *r)
{
    return r->length & ~WR_REF_WINS;
}

struct wr_input {
    const struct wr_ltx_file *file;
    struct wr_ltx_header header;
    struct wr_ref *refs; /* all frames if `whole`, else those that win */
    size_t n;
    uint8_t *bytes;    /* all of a small file, or NULL */
    bool whole;        /* every frame has to be read, to prove the file's checksum */
    bool bad;          /* after CORRUPT, here or in wr_image_write: it is damaged; after IO: it is
                          one that could not be read */
    bool sure;         /* bad, and seen to be so in two answers of the storage */
    bool misnamed;     /* its header tells other TXIDs than its name */
    uint64_t head_crc; /* of the header as stored */
    uint64_t tail_crc; /* of what the file's checksum covers behind the frames ... */
    uint64_t tail_size;
    uint64_t file_checksum; /* ... as the trailer has it */
    uint64_t tag; /* of the object that all of it is from, of an input alone; 0: unknown */
};

struct wr_inputs {
    bool all_whole; /* set by the caller: prove every file, also where the image can be */
    bool part;      /* set by the caller: these are not all pages */
    uint32_t have;  /* set by the caller, with part, for wr_inputs_open: pages that the database
                       has already; those beyond must be there */
    struct wr_input *in; /* oldest first */
    size_t n;
    uint32_t page_size, commit, lock_pgno; /* of the database to be */
    bool has_rolling;                      /* the newest file records the image's checksum */
    uint64_t rolling_post;
    const struct wr_ltx_file *suspect; /* after CORRUPT, none being bad: the one that lacks a page,
                                          if the others are right */
};

/* Read them all, a second time what seems to be damaged, on opts->parallel threads, tell
 * opts->progress, and decide for each page. `files`, in the order they apply, must outlive it.
 * CORRUPT: damaged headers or indexes, all of which are marked, or without a request files that are
 * too small to be any; page sizes that differ, or "page N missing" when the files do not hold the
 * whole database; BUSY: a file has vanished since it was listed, so that a new plan may work. *x is
 * = {0}, but for all_whole, and is to be released after a failure, too: it then has the headers
 * that could be read, and page size 0 in the others. */
enum wr_status wr_inputs_open(struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *files, size_t n, const struct wr_restore_opts *opts,
    struct wr_inputs *x, struct wr_err *e) WR_MUST_CHECK;
void wr_inputs_release(struct wr_inputs *x); /* NULL-safe; = {0} is empty */

/* Only the header and the index of in->file; *in is else = {0}, and is to be released after a
 * failure, too. A small file is read in one request, and left in in->bytes. Errors as above. */
enum wr_status wr_input_open(struct wr_storage *s, struct wr_call *c, uint32_t lock_offset,
    struct wr_input *in, struct wr_err *e) WR_MUST_CHECK;
/* The same of a large file, for who reads its ends himself, at once: its first bytes, at least
 * WR_LTX_HEADER_SIZE, and its last, of which wr_input_tail tells how many most likely have all of
 * the index; where they do not, one more request is made, for no more than an index of the header's
 * pages can be. That is 0 for a file that is small. in->tag is that of the object of both. */
size_t wr_input_tail(const struct wr_ltx_file *f);
enum wr_status wr_input_open_ends(struct wr_storage *s, struct wr_call *c, uint32_t lock_offset,
    struct wr_input *in, struct wr_bytes head, struct wr_bytes tail,
    struct wr_err *e) WR_MUST_CHECK;
void wr_input_release(struct wr_input *in);

#endif
