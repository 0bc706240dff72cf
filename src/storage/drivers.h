/*
 * drivers.h - the drivers there are, and what tests may reach of them beyond their ops.
 *
 * Seen by storage.c, which registers them, and by the drivers themselves; everybody else opens a
 * bucket by its URL.
 */
#ifndef WR_STORAGE_DRIVERS_H
#define WR_STORAGE_DRIVERS_H

#include "storage/storage.h"

struct wr_fs;

extern const struct wr_storage_ops wr_storage_mem, wr_storage_file, wr_storage_s3;

/* State of the file driver for the directory `root` (absolute, copied) on `fs`, which must outlive
 * it. ops->open does the same on the real disk. */
enum wr_status wr_storage_file_new(
    const struct wr_fs *fs, struct wr_str root, void **ret_self, struct wr_err *e) WR_MUST_CHECK;

/* Another reference to a mem bucket, to be closed like the first: what one handle wrote outlives
 * it, as a bucket does. */
void *wr_storage_mem_ref(void *self);
/* Multi-part uploads begun and neither committed nor aborted. */
size_t wr_storage_mem_uploads(void *self);

#endif
