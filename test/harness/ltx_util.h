/*
 * ltx_util.h - src/ltx and the model brought together: memory as sink and source, random files.
 */
#ifndef WR_TEST_LTX_UTIL_H
#define WR_TEST_LTX_UTIL_H

#include "base/buf.h"
#include "base/rand.h"
#include "harness/ltx_model.h"
#include "ltx/dec.h"
#include "ltx/enc.h"

/* A sink that keeps what it is given, and checks the promise about the size of chunks. */
struct t_ltx_out {
    struct wr_buf buf;
    size_t chunks;
    bool short_seen; /* a chunk under WR_LTX_ENC_CHUNK: there may be no other */
};
void t_ltx_out_init(struct t_ltx_out *o);
enum wr_status t_ltx_sink(void *arg, struct wr_bytes p, struct wr_err *e);

/* A source. Reading over its end is CORRUPT. */
struct t_ltx_in {
    struct wr_bytes file;
    size_t at;
};
enum wr_status t_ltx_source(void *arg, void *buf, size_t n, struct wr_err *e);

struct wr_ltx_header t_ltx_header(const struct t_ltx *m);

/* The model's file as the encoder writes it; release o->buf. */
enum wr_status t_ltx_write(
    const struct t_ltx *m, uint32_t lock_offset, struct t_ltx_out *o, struct wr_err *e);
/* The file as the decoder sees it; `sized`: tell it the size. Release `ret` in either case. */
enum wr_status t_ltx_read(
    struct wr_bytes file, bool sized, uint32_t lock_offset, struct t_ltx *ret, struct wr_err *e);

/* Every field and page is the same. */
bool t_ltx_same(const struct t_ltx *a, const struct t_ltx *b);

/* A page of zeros, of noise, of text, or mixed. */
void t_ltx_random_page(struct wr_rand *r, uint8_t *p, uint32_t page_size);
/* A file with random fields and pages that follows the rules. `min` 1 makes it a snapshot. */
void t_ltx_random(struct wr_rand *r, struct t_ltx *m, uint32_t page_size, uint32_t commit,
    uint64_t min, uint32_t lock_offset);

/* A database that lives: pages change, it grows and shrinks, each commit becomes a file. Set the
 * first group before the first step; release db at the end. */
struct t_ltx_world {
    struct wr_rand *r;
    uint32_t page_size, lock; /* at most 4096; the lock page */
    bool rolling;             /* files carry rolling checksums */
    struct t_ltx db;          /* all pages there are now; page_size is to be set */

    uint32_t commit;
    uint64_t txid;
};
/* The next commits as a file, one TXID or two. */
struct t_ltx t_ltx_world_next(struct t_ltx_world *w);

#endif
