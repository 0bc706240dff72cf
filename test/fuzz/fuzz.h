/*
 * fuzz.h - what the fuzz targets share: the entry, checks that no build leaves out, and the input
 * taken apart from its front.
 *
 * One thread. A target keeps nothing from one input to the next, so that what fails, fails again.
 */
#ifndef WR_TEST_FUZZ_H
#define WR_TEST_FUZZ_H

#include "base/base.h"
#include "base/call.h"
#include "base/str.h"

/* What libFuzzer and corpus_main.c call. Always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must be true of every input. */
#define HOLDS(cond) ((cond) ? (void)0 : fuzz_broken(#cond, __FILE__, __LINE__))
void fuzz_broken(const char *expr, const char *file, int line) __attribute__((noreturn));

/* The rest of the input. Once it is used up, numbers are 0 and pieces empty. */
struct fuzz_in {
    const uint8_t *p;
    size_t n;
};
uint8_t fuzz_u8(struct fuzz_in *in);
uint16_t fuzz_u16(struct fuzz_in *in); /* little-endian, as all integers here */
uint64_t fuzz_u64(struct fuzz_in *in);
struct wr_bytes fuzz_piece(struct fuzz_in *in, size_t n); /* shorter at the end */
struct wr_str fuzz_text(struct fuzz_in *in, size_t n);

/* A call without a deadline, its scratch empty: for this input only. */
struct wr_call *fuzz_call(void);

/* Whether `part` stands somewhere in `s`; not for an empty part. */
bool fuzz_contains(struct wr_str s, struct wr_str part);

/* Checksum the WAL at `p` anew: the header, whose magic tells the byte order, and after it each
 * frame, which also gets the header's salt. So a mutator gets past the checksums. Leaves alone what
 * has no magic or page size. */
void fuzz_wal_fix(uint8_t *p, size_t n);

#endif
