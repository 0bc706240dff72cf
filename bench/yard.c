/*
 * yard.c - how fast one core is at what replicating is made of: yard FILE
 *          and how many bytes LZ4 leaves of the pages of a file: yard -size FILE
 *
 * Reads FILE (at most 512 MiB of it) into memory and takes its pages of 4096 bytes one by one, each
 * three times as a whole. Prints one line of JSON: GB of pages a second.
 */
#include "base/crc64.h"

#include <lz4.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    PAGE = 4096,
    PAGES_MAX = 1 << 17,
    ROUNDS = 3
};

static char pages[PAGES_MAX][PAGE];
static char packed[PAGES_MAX][PAGE]; /* of those that got smaller */
static int sizes[PAGES_MAX];
static uint64_t checksum; /* is printed, so that nobody leaves the work out */

static void compress(size_t i)
{
    sizes[i] = LZ4_compress_default(pages[i], packed[i], PAGE, PAGE);
}

static void decompress(size_t i)
{
    char out[PAGE];

    if (sizes[i] > 0 && LZ4_decompress_safe(packed[i], out, sizes[i], PAGE) == PAGE)
        checksum ^= (uint64_t)out[0];
}

static void sum(size_t i)
{
    checksum = wr_crc64(checksum, pages[i], PAGE);
}

static double rate(void (*work)(size_t i), size_t n)
{
    struct timespec a, b;

    (void)clock_gettime(CLOCK_MONOTONIC, &a); /* cannot fail with this clock */
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < n; i++)
            work(i);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)n * PAGE * ROUNDS /
           ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec));
}

/* Each page by itself, as files of a replica have them, and nothing else of these. */
static int size_of(const char *name)
{
    FILE *f = fopen(name, "rb");
    unsigned long long sum = 0;

    while (f && fread(pages[0], PAGE, 1, f) == 1)
        sum += (unsigned long long)LZ4_compress_default(pages[0], (char *)packed, PAGE, 2 * PAGE);
    if (!f || sum == 0) {
        (void)fputs("yard: no file with a page\n", stderr);
        return 2;
    }
    (void)fclose(f); /* was only read */
    (void)printf("{\"packed\": %llu}\n", sum);
    return 0;
}

int main(int argc, char **argv)
{
    FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
    size_t n = f ? fread(pages, PAGE, PAGES_MAX, f) : 0;
    double packing, unpacking, summing;

    if (argc == 3 && strcmp(argv[1], "-size") == 0)
        return size_of(argv[2]);
    if (n == 0) {
        (void)fputs("usage: yard FILE, of at least a page\n", stderr);
        return 2;
    }
    (void)fclose(f);                   /* was only read */
    memset(packed, 0, sizeof(packed)); /* or its first touch would be measured, too */
    packing = rate(compress, n);
    unpacking = rate(decompress, n);
    summing = rate(sum, n);
    (void)fprintf(stderr, "%llx\n", (unsigned long long)checksum);
    (void)printf("{\"LZ4, packing\": %.4f, \"LZ4, unpacking\": %.4f, \"CRC-64\": %.4f}\n", packing,
        unpacking, summing);
    return 0;
}
