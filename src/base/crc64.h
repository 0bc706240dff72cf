/*
 * crc64.h - CRC-64/GO-ISO: reflected, polynomial 0xD800000000000000, initial value and final xor
 * all ones. check("123456789") = B90956C775A41001. It is the checksum of every LTX file.
 *
 * Carry-less multiplication where the processor has it, shifts elsewhere; chosen at run time. Pure
 * functions without state: any thread may call.
 */
#ifndef WR_BASE_CRC64_H
#define WR_BASE_CRC64_H

#include "base/base.h"

/* The checksum of `n` bytes at `p` appended to data whose checksum is `crc` (0 for none). `p` may
 * be NULL when `n` is 0. */
uint64_t wr_crc64(uint64_t crc, const void *p, size_t n);

/* The same by the portable path alone, and whether the fast one is in use. For tests and bench. */
uint64_t wr_crc64_plain(uint64_t crc, const void *p, size_t n);
bool wr_crc64_accelerated(void);

/* The checksum of A followed by B, from both checksums and B's length in bytes. */
uint64_t wr_crc64_combine(uint64_t crc_a, uint64_t crc_b, uint64_t len_b);

#endif
