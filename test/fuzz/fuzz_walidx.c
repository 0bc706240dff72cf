/*
 * fuzz_walidx.c - any bytes as the head of a wal-index, while a writer is at work on it.
 *
 * The input is a flag byte, two such heads, and steps: at each barrier the writer goes on by so
 * many bytes from the first head to the second, as SQLite does: second copy before first. With flag
 * 1 both heads get a valid version, checksum and second copy first.
 *
 * Beyond not crashing: whatever comes out is the whole of the one head or the whole of the other;
 * a writer that stands still half-way is BUSY; numbers are in range.
 */
#include "fuzz/fuzz.h"
#include "sqlite/wal.h"
#include "sqlite/walidx.h"

#define COPY 48

struct writer {
    uint8_t map[WR_WALIDX_SIZE], next[WR_WALIDX_SIZE];
    size_t done; /* bytes, of both copies */
    struct fuzz_in steps;
};

static void go_on(void *arg)
{
    struct writer *w = arg;
    size_t n = fuzz_u8(&w->steps);

    for (; n > 0 && w->done < 2 * (size_t)COPY; n--) {
        size_t at = w->done < COPY ? COPY + w->done : w->done - COPY;

        w->map[at] = w->next[at];
        w->done++;
    }
}

static void stay(void *arg)
{
    (void)arg;
}

static void fix(uint8_t *h)
{
    uint32_t s[2] = {0, 0}, version = 3007000;

    memcpy(h, &version, 4);
    h[12] = 1;
    wr_wal_checksum(!WR_HOST_BIG_ENDIAN, h, 40, s);
    memcpy(h + 40, s, 8);
    memcpy(h + COPY, h, COPY);
}

static void take(struct fuzz_in *in, bool fixed, uint8_t head[WR_WALIDX_SIZE])
{
    struct wr_bytes b = fuzz_piece(in, WR_WALIDX_SIZE);

    if (b.n > 0)
        memcpy(head, b.p, b.n);
    if (fixed)
        fix(head);
}

/* What one head says, when nobody writes. */
static enum wr_status alone(const uint8_t *head, struct wr_walidx *ret)
{
    struct wr_err e = {0};
    uint32_t version;
    enum wr_status st = wr_walidx_read(head, stay, NULL, ret, &e);

    memcpy(&version, head, 4);
    HOLDS(st == WR_OK || st == WR_BUSY || st == WR_UNSUPPORTED);
    HOLDS(st != WR_OK || (memcmp(head, head + COPY, COPY) == 0 && ret->init == (head[12] != 0)));
    HOLDS(st != WR_OK || !ret->init || (version == 3007000 && ret->page_size <= 65536));
    HOLDS(st != WR_UNSUPPORTED || version != 3007000);
    return st;
}

/* The head's own part is equal; what follows both copies is not written here. */
static bool same(const struct wr_walidx *a, const struct wr_walidx *b)
{
    return a->init == b->init && a->big_endian_cksum == b->big_endian_cksum &&
           a->page_size == b->page_size && a->change == b->change && a->mx_frame == b->mx_frame &&
           a->n_page == b->n_page && memcmp(a->frame_cksum, b->frame_cksum, 8) == 0 &&
           memcmp(a->salt, b->salt, 8) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct writer w;
    struct wr_walidx before = {0}, after = {0}, is = {0};
    enum wr_status st_before, st_after, st;
    struct fuzz_in in = {data, size};
    bool fixed = fuzz_u8(&in) & 1;

    w = (struct writer){.done = 0};
    take(&in, fixed, w.map);
    take(&in, fixed, w.next);
    w.steps = in;
    st_before = alone(w.map, &before);
    st_after = alone(w.next, &after);
    if (!fixed)
        return 0;
    HOLDS(st_before == WR_OK && st_after == WR_OK);
    st = wr_walidx_read(w.map, go_on, &w, &is, NULL);
    HOLDS(st == WR_BUSY || (st == WR_OK && (same(&is, &before) || same(&is, &after))));
    st = wr_walidx_read(w.map, stay, NULL, &is, NULL);
    HOLDS(st == WR_OK || (st == WR_BUSY && w.done > 0 && w.done < 2 * (size_t)COPY));
    return 0;
}
