/*
 * fuzz_draft.c - any bytes as what a killed restore left: a database under construction and the map
 * of it.
 *
 * The input is a flag byte, sizes of the database to be, the map, and the pages. With flag 1 the
 * map gets its header; with flag 2 the entries that an own byte selects are made true.
 *
 * Beyond not crashing: a page is taken over exactly if its entry is the one that this page, of this
 * file, would get; then it is what is on the disk. A page that is put is there at the next start;
 * what the map claims beyond the database, or of the lock page, is not.
 */
#include "base/mem.h"
#include "engine/draft.h"
#include "engine/inputs.h"
#include "fuzz/fuzz.h"
#include "fuzz/memfs.h"
#include "ltx/ltx.h"

#define PAGE_SIZE 512
#define PAGES_MAX 24
#define ENTRY     WR_DRAFT_ENTRY

enum {
    FIX_HEAD = 1,
    FIX_ENTRIES = 2
};

/* What is there before, in full. */
struct before {
    uint8_t map[ENTRY * (PAGES_MAX + 8)], pages[PAGE_SIZE * (PAGES_MAX + 8)];
    size_t map_n, pages_n;
};

static uint64_t identity(unsigned i)
{
    struct wr_ltx_file f = {.min = 1 + i, .max = 1 + i, .size = 1000};
    struct wr_input in = {.file = &f, .head_crc = 1, .file_checksum = 2};

    return wr_draft_identity(&in);
}

static uint64_t sum_of(const uint8_t *page, uint32_t pgno)
{
    return wr_ltx_page_checksum(pgno, page, PAGE_SIZE);
}

static void take(struct fuzz_in *in, unsigned flags, struct before *b)
{
    size_t map_n = fuzz_u16(in) % (sizeof(b->map) + 1);
    struct wr_bytes map = fuzz_piece(in, map_n), pages;
    uint8_t chosen = fuzz_u8(in);

    pages = fuzz_piece(in, sizeof(b->pages));
    *b = (struct before){.map_n = map.n, .pages_n = pages.n};
    if (map.n > 0)
        memcpy(b->map, map.p, map.n);
    if (pages.n > 0)
        memcpy(b->pages, pages.p, pages.n);
    if (flags & FIX_HEAD)
        memcpy(b->map, "WEIRMAP2\0\2\0\0", ENTRY);
    for (uint32_t p = 1; (flags & FIX_ENTRIES) && p < sizeof(b->map) / ENTRY; p++) {
        struct wr_draft_page page = {sum_of(b->pages + (size_t)(p - 1) * PAGE_SIZE, p), p & 1};

        if (chosen & 1u << p % 8)
            wr_draft_entry(b->map + (size_t)p * ENTRY, identity(p / 8 % 2), &page);
    }
}

/* Entries that count, of a database of `commit` pages. */
static uint32_t claims(const struct before *b, uint32_t commit)
{
    size_t n = b->map_n / ENTRY;

    if (n < 2 || memcmp(b->map, "WEIRMAP2\0\2\0\0", ENTRY) != 0)
        return 0;
    return (uint32_t)wr_min(n - 1, (size_t)commit);
}

/* One page of the draft, as the map and the disk had it before. */
static void look(
    struct wr_draft *d, const struct before *b, const struct wr_inputs *x, uint32_t pgno)
{
    static const uint8_t zeros[PAGE_SIZE];
    uint8_t page[PAGE_SIZE], entry[ENTRY];
    const uint8_t *want = b->pages + (size_t)(pgno - 1) * PAGE_SIZE;
    const uint8_t *claim = b->map + (size_t)pgno * ENTRY;

    if (pgno == x->lock_pgno)
        want = zeros;
    for (unsigned i = 0; i < 2; i++) {
        struct wr_draft_page page_is = {.block = false},
                             true_one = {sum_of(want, pgno), claim[0] & 1};
        bool claimed = wr_draft_claims(d, identity(i), pgno);
        bool is;

        HOLDS(!claimed || pgno <= claims(b, x->commit));
        if (!claimed)
            continue;
        is = wr_draft_get(d, identity(i), pgno, page, &page_is);
        wr_draft_entry(entry, identity(i), &true_one);
        HOLDS(is == (memcmp(entry, claim, ENTRY) == 0));
        HOLDS(!is || memcmp(page, want, PAGE_SIZE) == 0);
        HOLDS(!is || (page_is.checksum == true_one.checksum && page_is.block == true_one.block));
    }
}

/* Put a page; the next start has it. */
static void put(struct memfs *m, struct wr_draft *d, const struct wr_inputs *x, uint32_t pgno)
{
    struct memfs_file *map = memfs_add(m, "map", (struct wr_bytes){0});
    struct memfs_file *db = memfs_add(m, "db", (struct wr_bytes){0});
    uint8_t page[PAGE_SIZE], back[PAGE_SIZE], entry[ENTRY];
    struct wr_draft_page is = {.block = true};

    memset(page, (int)pgno, sizeof(page));
    is.checksum = sum_of(page, pgno);
    wr_draft_entry(entry, identity(1), &is);
    HOLDS(wr_draft_put(d, pgno, (struct wr_bytes){page, sizeof(page)}, entry, NULL) == WR_OK);
    wr_draft_release(d);

    HOLDS(wr_draft_open(d, &db->file, &map->file, x, NULL) == WR_OK);
    HOLDS(db->n == (size_t)x->commit * PAGE_SIZE && map->n <= ((size_t)x->commit + 1) * ENTRY);
    HOLDS(wr_draft_claims(d, identity(1), pgno));
    HOLDS(wr_draft_get(d, identity(1), pgno, back, &is) == (pgno != x->lock_pgno));
    HOLDS(pgno == x->lock_pgno || memcmp(page, back, PAGE_SIZE) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct before b;
    struct fuzz_in in = {data, size};
    unsigned flags = fuzz_u8(&in);
    struct wr_inputs x = {.page_size = PAGE_SIZE, .commit = 1 + fuzz_u8(&in) % PAGES_MAX};
    struct wr_draft d;
    struct memfs m;

    x.lock_pgno = 1 + fuzz_u8(&in) % (2 * PAGES_MAX);
    take(&in, flags, &b);
    memfs_init(&m, (size_t)1 << 20);
    struct memfs_file *map = memfs_add(&m, "map", (struct wr_bytes){b.map, b.map_n});
    struct memfs_file *db = memfs_add(&m, "db", (struct wr_bytes){b.pages, b.pages_n});

    HOLDS(wr_draft_open(&d, &db->file, &map->file, &x, NULL) == WR_OK);
    HOLDS(db->n == (size_t)x.commit * PAGE_SIZE && map->n <= ((size_t)x.commit + 1) * ENTRY);
    if (claims(&b, x.commit) == 0)
        memset(b.pages, 0, sizeof(b.pages));
    for (uint32_t p = 1; p <= x.commit + 2; p++)
        look(&d, &b, &x, p);
    put(&m, &d, &x, 1 + flags % x.commit);
    wr_draft_release(&d);
    memfs_release(&m);
    return 0;
}
