/*
 * stream.c - restoring as one stream: stream OUT LIST
 *
 * LIST has the names of LTX files, one a line, as they apply. Each is read from its beginning to
 * its end, every page of it is decoded, checked and written where it belongs, and then comes the
 * next one: one thread, no index, no page left out because a later file has it. OUT is durable in
 * the end. That is what a restore costs that does nothing cleverly; weir's own is measured beside
 * it.
 *
 * Knows files that weir writes, pages of any size as LZ4 blocks; see docs/ltx.md.
 */
#include "base/bytes.h"
#include "base/crc64.h"

#include <fcntl.h>
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    HEAD = 100,
    FRAME = 10, /* page number, flags, size */
    FRAME_END = 6,
    TRAILER = 16,
    PAGE_MAX = 65536,
    PACKED_MAX = PAGE_MAX + PAGE_MAX / 255 + 16
};

static uint8_t page[PAGE_MAX], packed[PACKED_MAX], chunk[1 << 20];

static void give_up(const char *name, const char *what)
{
    (void)fprintf(stderr, "stream: %s: %s\n", name, what);
    exit(1);
}

static void take(FILE *f, const char *name, void *out, size_t n)
{
    if (fread(out, 1, n, f) != n)
        give_up(name, "ends too early");
}

/* One frame, into `page`; its page number, 0 at the end. *crc goes on over it. */
static uint32_t frame(FILE *f, const char *name, uint32_t page_size, uint64_t *crc)
{
    uint8_t head[FRAME];
    uint32_t pgno, size;

    take(f, name, head, FRAME_END);
    pgno = wr_be32(head);
    if (pgno == 0) {
        *crc = wr_crc64(*crc, head, FRAME_END);
        return 0;
    }
    take(f, name, head + FRAME_END, FRAME - FRAME_END);
    size = wr_be32(head + FRAME_END);
    if (wr_be16(head + 4) != 1 || size > sizeof(packed))
        give_up(name, "a frame that weir does not write");
    take(f, name, packed, size);
    if (LZ4_decompress_safe((const char *)packed, (char *)page, (int)size, (int)page_size) !=
        (int)page_size)
        give_up(name, "a page that is damaged");
    *crc = wr_crc64(wr_crc64(*crc, head, FRAME), page, page_size);
    return pgno;
}

/* The index and the trailer: what the file's checksum is to be. */
static void check_end(FILE *f, const char *name, uint64_t crc)
{
    size_t kept = 0, n; /* the last bytes, which may be the trailer */

    while ((n = fread(chunk + kept, 1, sizeof(chunk) - kept, f)) > 0) {
        n += kept;
        kept = n < TRAILER ? n : TRAILER;
        crc = wr_crc64(crc, chunk, n - kept);
        memmove(chunk, chunk + n - kept, kept);
    }
    crc = kept == TRAILER ? wr_crc64(crc, chunk, 8) : 0;
    if (wr_be64(chunk + 8) != (crc | UINT64_C(1) << 63))
        give_up(name, "its checksum is another one");
}

static void apply(int out, const char *name)
{
    FILE *f = fopen(name, "rb");
    uint32_t page_size, pgno;
    uint8_t head[HEAD];
    uint64_t crc;

    if (!f || setvbuf(f, NULL, _IOFBF, 1 << 20))
        give_up(name, "cannot be read");
    take(f, name, head, HEAD);
    page_size = wr_be32(head + 8);
    if (memcmp(head, "LTX1", 4) != 0 || page_size < 512 || page_size > PAGE_MAX)
        give_up(name, "is no LTX file");
    crc = wr_crc64(0, head, HEAD);
    while ((pgno = frame(f, name, page_size, &crc)) != 0) {
        off_t at = (off_t)(pgno - 1) * (off_t)page_size;

        if (pwrite(out, page, page_size, at) != (ssize_t)page_size)
            give_up(name, "a page of it cannot be written");
    }
    check_end(f, name, crc);
    if (ftruncate(out, (off_t)wr_be32(head + 12) * (off_t)page_size) != 0)
        give_up(name, "the database cannot be cut");
    (void)fclose(f); /* was only read */
}

int main(int argc, char **argv)
{
    int out = argc == 3 ? open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    FILE *list = argc == 3 ? fopen(argv[2], "r") : NULL;
    char line[4096];

    if (out < 0 || !list) {
        (void)fputs("usage: stream OUT LIST\n", stderr);
        return 2;
    }
    while (fgets(line, sizeof(line), list)) {
        line[strcspn(line, "\n")] = '\0';
        apply(out, line);
    }
    (void)fclose(list); /* was only read */
    if (fsync(out) != 0 || close(out) != 0)
        give_up(argv[1], "cannot be written");
    return 0;
}
