/*
 * fuzz.c - see fuzz.h.
 */
#include "fuzz/fuzz.h"

#include "base/bytes.h"
#include "sqlite/wal.h"

void fuzz_broken(const char *expr, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, expr);
    abort();
}

struct wr_bytes fuzz_piece(struct fuzz_in *in, size_t n)
{
    struct wr_bytes piece = {in->p, wr_min(n, in->n)};

    if (piece.n > 0)
        in->p += piece.n;
    in->n -= piece.n;
    return piece;
}

struct wr_str fuzz_text(struct fuzz_in *in, size_t n)
{
    struct wr_bytes b = fuzz_piece(in, n);

    return (struct wr_str){(const char *)b.p, b.n};
}

uint64_t fuzz_u64(struct fuzz_in *in)
{
    struct wr_bytes b = fuzz_piece(in, 8);
    uint8_t all[8] = {0};

    if (b.n > 0)
        memcpy(all, b.p, b.n);
    return wr_le64(all);
}

uint16_t fuzz_u16(struct fuzz_in *in)
{
    unsigned low = fuzz_u8(in);

    return (uint16_t)(low | (unsigned)fuzz_u8(in) << 8);
}

uint8_t fuzz_u8(struct fuzz_in *in)
{
    struct wr_bytes b = fuzz_piece(in, 1);

    return b.n > 0 ? b.p[0] : 0;
}

struct wr_call *fuzz_call(void)
{
    static struct wr_arena scratch;
    static struct wr_call call;

    if (!call.scratch)
        wr_arena_init(&scratch, WR_ARENA_MAX);
    call =
        (struct wr_call){.scratch = &scratch, .clock = wr_clock_system(), .deadline_ms = WR_NEVER};
    wr_arena_reset(&scratch);
    return &call;
}

bool fuzz_contains(struct wr_str s, struct wr_str part)
{
    while (s.n >= part.n) {
        const char *at = memchr(s.p, part.p[0], s.n - part.n + 1);

        if (!at)
            return false;
        if (memcmp(at, part.p, part.n) == 0)
            return true;
        s = wr_str_skip(s, (size_t)(at - s.p) + 1);
    }
    return false;
}

void fuzz_wal_fix(uint8_t *p, size_t n)
{
    uint32_t page_size, s[2] = {0, 0};
    bool little;

    if (n < WR_WAL_HEADER || (wr_be32(p) & ~1u) != 0x377f0682u)
        return;
    little = !(wr_be32(p) & 1);
    page_size = wr_be32(p + 8);
    wr_wal_checksum(little, p, 24, s);
    wr_put_be32(p + 24, s[0]);
    wr_put_be32(p + 28, s[1]);
    if (page_size < 512 || page_size > 65536 || page_size % 8 != 0)
        return;
    for (size_t at = WR_WAL_HEADER; n - at >= WR_FRAME_HEADER + page_size;
         at += WR_FRAME_HEADER + page_size) {
        memcpy(p + at + 8, p + 16, 8);
        wr_frame_checksum(little, p + at, page_size, s);
        wr_put_be32(p + at + 16, s[0]);
        wr_put_be32(p + at + 20, s[1]);
    }
}
