/*
 * packers.h - many pages into an LTX file, compressed on several threads.
 *
 * The thread that calls reads runs of pages and writes what became of them, both in order; threads
 * of its own, which live as long as the call, compress in between. So reading ahead, compressing
 * and writing go on at once, and the file is the same, byte for byte, whatever their number.
 */
#ifndef WR_ENGINE_PACKERS_H
#define WR_ENGINE_PACKERS_H

#include "base/base.h"
#include "base/status.h"

#define WR_PACKERS_MAX 4u /* threads, the caller's included: it cannot feed more */

struct wr_ltx_enc;

/* Pages first .. first+n-1 into n * page_size bytes; the lock page may be anything. Called with
 * ascending numbers. */
typedef enum wr_status wr_packers_read_fn(
    void *arg, uint32_t first, uint32_t n, uint8_t *buf, struct wr_err *e);

struct wr_packers {
    uint32_t page_size;
    uint32_t lock_pgno;    /* left out, if it is asked for */
    const uint32_t *pages; /* ascending; NULL: 1 .. n */
    uint32_t n;
    wr_packers_read_fn *read; /* on the caller's thread only */
    void *arg;
    uint64_t *sums;   /* where the checksum of each (ltx.h) goes, 0 of one left out; or NULL */
    unsigned threads; /* 1 to WR_PACKERS_MAX; fewer if there is little to do, or none to be had */
};

/* Add all of them to `enc`, which is the caller's to finish; *ret_sum is the XOR of their checksums
 * (ltx.h). What read, or wr_ltx_enc_pack, returned, as soon as it did; NOMEM. No thread is left
 * behind in any case. Memory: 0.27 MiB on one thread, on more that much for each and four more,
 * at most 2.2 MiB. */
enum wr_status wr_packers_run(const struct wr_packers *p, struct wr_ltx_enc *enc, uint64_t *ret_sum,
    struct wr_err *e) WR_MUST_CHECK;

#endif
