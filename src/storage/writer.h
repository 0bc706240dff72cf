/*
 * writer.h - write an object of unknown length: one put if it is small, a multi-part upload if not.
 *
 * owned. Memory: one part buffer. Its size is the storage's `part-size` setting, else its smallest
 * part, or more when `size_hint` would otherwise need over 10,000 parts. Storage without multi-part
 * gets one put of everything, at most WR_WRITER_SIZE_MAX.
 */
#ifndef WR_STORAGE_WRITER_H
#define WR_STORAGE_WRITER_H

#include "storage/storage.h"

#define WR_WRITER_SIZE_MAX ((size_t)256 << 20) /* bytes, where there are no parts; LIMIT above */

struct wr_writer;

/* `size_hint` in bytes, 0 if unknown, chooses the part size. `key` and `o` are copied; `o` may be
 * NULL. */
enum wr_status wr_writer_open(struct wr_storage *s, struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, uint64_t size_hint, struct wr_writer **ret,
    struct wr_err *e) WR_MUST_CHECK;
/* After a failure only commit, which repeats it, and abort are left. */
enum wr_status wr_writer_write(
    struct wr_writer *w, struct wr_call *c, struct wr_bytes p, struct wr_err *e) WR_MUST_CHECK;
/* Make it visible and free the writer, in every case. CONFLICT as put. A lost answer is looked
 * into: OK when the object is there with our bytes, else BUSY or TIMEOUT; then the whole may be
 * written again. */
enum wr_status wr_writer_commit(
    struct wr_writer *w, struct wr_call *c, struct wr_err *e) WR_MUST_CHECK;
void wr_writer_abort(struct wr_writer *w, struct wr_call *c); /* NULL-safe; frees */

#endif
