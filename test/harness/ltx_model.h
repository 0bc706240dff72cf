/*
 * ltx_model.h - LTX files the slow and obvious way: an array of pages. The oracle for src/ltx, of
 * which it uses nothing: its own checksum, its own LZ4, its own integers.
 */
#ifndef WR_TEST_LTX_MODEL_H
#define WR_TEST_LTX_MODEL_H

#include "base/base.h"
#include "base/str.h"

#define T_LTX_PAGES 1024

struct t_ltx {
    uint32_t page_size, commit;
    uint64_t min, max;
    int64_t time_ms;
    uint64_t wal_off, wal_size;
    uint8_t salt[8];
    uint64_t node;
    bool rolling;
    uint64_t pre, post;
    uint32_t end;                /* no page from here on is in the file */
    uint8_t *pages[T_LTX_PAGES]; /* by page number; NULL: not in the file */
};

/* A copy of `data` becomes page `pgno`. */
void t_ltx_set(struct t_ltx *m, uint32_t pgno, const uint8_t *data);
void t_ltx_release(struct t_ltx *m);

/* The file, pages as literals, until t_ltx_free. */
struct wr_bytes t_ltx_encode(const struct t_ltx *m);
void t_ltx_free(struct wr_bytes *file);

/* NULL when all is well, else what is wrong. `ret` is to be released in either case. Does not know
 * the rules for the header's fields. */
const char *t_ltx_decode(struct wr_bytes file, struct t_ltx *ret);

/* `ret` = the files of `in`, oldest first, as one. */
void t_ltx_merge(const struct t_ltx *in, size_t n, struct t_ltx *ret);

/* The database image that a complete snapshot stands for: commit pages, absent ones zero. Free
 * it with wr_free. */
uint8_t *t_ltx_image(const struct t_ltx *m);

/* Checksum of a page, and of a database of such pages, bit by bit. */
uint64_t t_ltx_page_sum(uint32_t pgno, const uint8_t *data, uint32_t page_size);
uint64_t t_ltx_sum(const struct t_ltx *m);

#endif
