/*
 * walidx.c - see walidx.h for the layout. Knows bytes; refuses to know locks and connections.
 */
#include "sqlite/walidx.h"

#include "base/mutant.h"
#include "sqlite/wal.h"

#define WALIDX_VERSION 3007000u
#define WALIDX_TRIES   8 /* of the pair before it counts as torn: a live writer needs nanoseconds */

static void copy_volatile(uint8_t *to, const volatile uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from[i];
}

static uint32_t u32_at(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static bool checksum_ok(const uint8_t *h)
{
    uint32_t s[2] = {0, 0};

    wr_wal_checksum(!WR_HOST_BIG_ENDIAN, h, 40, s);
    return s[0] == u32_at(h + 40) && s[1] == u32_at(h + 44);
}

enum wr_status wr_walidx_read(const volatile uint8_t *map, void (*barrier)(void *arg), void *arg,
    struct wr_walidx *ret, struct wr_err *e)
{
    uint8_t a[48], b[48], info[WR_WALIDX_SIZE - 96];
    bool stable = false;

    for (int i = 0; i < WALIDX_TRIES && !stable; i++) {
        copy_volatile(a, map, sizeof(a));
        barrier(arg);
        copy_volatile(b, map + 48, sizeof(b));
        stable = memcmp(a, b, sizeof(a)) == 0;
    }
    if (!stable && !WR_MUTANT(TORN_HEADER_TRUSTED))
        return WR_BUSY;

    *ret = (struct wr_walidx){0};
    if (a[12] == 0)
        return WR_OK; /* not initialised: ret->init is false */
    if (!checksum_ok(a) && !WR_MUTANT(TORN_HEADER_TRUSTED))
        return WR_BUSY;
    if (u32_at(a) != WALIDX_VERSION)
        return wr_fail(e, WR_UNSUPPORTED, "wal-index of unknown version %u", u32_at(a));

    uint16_t size16;
    memcpy(&size16, a + 14, sizeof(size16));
    ret->init = true;
    ret->big_endian_cksum = a[13] != 0;
    ret->page_size = size16 == 1 ? 65536 : size16;
    ret->change = u32_at(a + 8);
    ret->mx_frame = u32_at(a + 16);
    ret->n_page = u32_at(a + 20);
    ret->frame_cksum[0] = u32_at(a + 24);
    ret->frame_cksum[1] = u32_at(a + 28);
    memcpy(ret->salt, a + 32, sizeof(ret->salt));

    copy_volatile(info, map + 96, sizeof(info));
    ret->n_backfill = u32_at(info);
    for (int i = 0; i < WR_READ_MARKS; i++)
        ret->read_mark[i] = u32_at(info + 4 + 4 * (size_t)i);
    return WR_OK;
}
