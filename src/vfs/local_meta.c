/*
 * local_meta.c - see local_meta.h.
 */
#include "vfs/local_meta.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/file.h"
#include "vfs/pagemap.h"

#include <inttypes.h>

static const char magic[8] = "weirloc2";
#define MAGIC_OURS 7 /* bytes of it that all have */

#define AT_NUMBER    8
#define AT_SALT      16
#define AT_TXID      24
#define AT_REPLICA   32
#define AT_PAGE_SIZE 40
#define AT_HAS       44
#define AT_ROLLING   48
#define AT_FILES     56
#define AT_FILE      64
#define FILE_SIZE    48u
#define AT_CRC       (WR_LOCAL_HEAD - 8)

static_assert(AT_FILE + WR_LOCAL_FILES * FILE_SIZE <= AT_CRC, "the files fit into a head");

void wr_local_head_of(const struct wr_pagemap *m, struct wr_local_head *h)
{
    const struct wr_pagemap_about *about = wr_pagemap_about(m);
    size_t n = 0;
    const struct wr_pagemap_file *files = wr_pagemap_files(m, &n);

    h->txid = about->txid;
    h->page_size = about->page_size;
    h->has_rolling = about->has_rolling;
    h->rolling = about->rolling;
    h->n = wr_min(n, (size_t)WR_LOCAL_FILES);
    for (size_t i = 0; i < h->n; i++) {
        const struct wr_pagemap_file *f = &files[i == 0 ? 0 : n - h->n + i];

        h->files[i] = (struct wr_local_origin){.file = f->file, .checksum = f->checksum};
    }
}

static void encode(uint8_t b[WR_LOCAL_HEAD], const struct wr_local_head *h)
{
    memset(b, 0, WR_LOCAL_HEAD);
    memcpy(b, magic, sizeof(magic));
    wr_put_be64(b + AT_NUMBER, h->number);
    wr_put_be64(b + AT_SALT, h->salt);
    wr_put_be64(b + AT_TXID, h->txid);
    wr_put_be64(b + AT_REPLICA, h->replica);
    wr_put_be32(b + AT_PAGE_SIZE, h->page_size);
    wr_put_be32(b + AT_HAS, h->has_rolling);
    wr_put_be64(b + AT_ROLLING, h->rolling);
    wr_put_be32(b + AT_FILES, (uint32_t)h->n);
    for (size_t i = 0; i < h->n; i++) {
        const struct wr_ltx_file *f = &h->files[i].file;
        uint8_t *p = b + AT_FILE + i * FILE_SIZE;

        wr_put_be64(p, f->level);
        wr_put_be64(p + 8, f->min);
        wr_put_be64(p + 16, f->max);
        wr_put_be64(p + 24, f->size);
        wr_put_be64(p + 32, (uint64_t)f->time_ms);
        wr_put_be64(p + 40, h->files[i].checksum);
    }
    wr_put_be64(b + AT_CRC, wr_crc64(0, b, AT_CRC));
}

static bool decode(const uint8_t b[WR_LOCAL_HEAD], struct wr_local_head *h)
{
    *h = (struct wr_local_head){.number = wr_be64(b + AT_NUMBER),
        .salt = wr_be64(b + AT_SALT),
        .txid = wr_be64(b + AT_TXID),
        .replica = wr_be64(b + AT_REPLICA),
        .page_size = wr_be32(b + AT_PAGE_SIZE),
        .has_rolling = wr_be32(b + AT_HAS) == 1,
        .rolling = wr_be64(b + AT_ROLLING),
        .n = wr_be32(b + AT_FILES)};
    if (memcmp(b, magic, sizeof(magic)) != 0 || wr_be64(b + AT_CRC) != wr_crc64(0, b, AT_CRC) ||
        h->n > WR_LOCAL_FILES)
        return false;
    for (size_t i = 0; i < h->n; i++) {
        const uint8_t *p = b + AT_FILE + i * FILE_SIZE;

        h->files[i].file = (struct wr_ltx_file){.level = (unsigned)wr_be64(p),
            .min = wr_be64(p + 8),
            .max = wr_be64(p + 16),
            .size = wr_be64(p + 24),
            .time_ms = (int64_t)wr_be64(p + 32)};
        h->files[i].checksum = wr_be64(p + 40);
    }
    return true;
}

enum wr_status wr_local_head_read(struct wr_file *f, struct wr_local_head *ret, struct wr_err *e)
{
    uint8_t b[2 * WR_LOCAL_HEAD] = {0};
    struct wr_local_head one;
    size_t got = 0;
    bool ours = false;
    enum wr_status st = wr_file_pread(f, b, sizeof(b), 0, &got, e);

    if (st != WR_OK)
        return st;
    *ret = (struct wr_local_head){.number = 0};
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *p = b + i * WR_LOCAL_HEAD;

        ours = ours || memcmp(p, magic, MAGIC_OURS) == 0;
        if (decode(p, &one) && one.number > ret->number)
            *ret = one;
    }
    if (!ours && got > 0)
        return wr_fail(e, WR_CONFLICT, "is not a file that weir made");
    return WR_OK;
}

enum wr_status wr_local_head_write(
    struct wr_file *f, const struct wr_local_head *h, struct wr_err *e)
{
    uint8_t b[WR_LOCAL_HEAD];
    enum wr_status st;

    encode(b, h);
    st = wr_file_pwrite(f, b, sizeof(b), h->number % 2 * WR_LOCAL_HEAD, e);
    return st == WR_OK ? wr_file_sync(f, e) : st;
}

/* How a file that a head tells of belongs with what has its name now, if anything has: in the map,
 * which has read it, or in the listing, which knows sizes and times. Of the latter only the size
 * can speak against it, as the listings of some storage have other times than its answers about one
 * file. */
static enum wr_fit fit_of(
    const struct wr_local_origin *was, const struct wr_pagemap *m, const struct wr_ltx_files *files)
{
    const struct wr_ltx_file *is = wr_ltx_files_find(files, &was->file);
    enum wr_fit fit = WR_FIT_UNPROVEN;
    size_t n = 0;
    const struct wr_pagemap_file *read = wr_pagemap_files(m, &n);

    if (is && is->size != was->file.size)
        return WR_FIT_NO;
    if (is && is->time_ms == was->file.time_ms)
        fit = WR_FIT_YES;
    for (size_t i = 0; i < n; i++) {
        if (wr_ltx_file_cmp(&read[i].file, &was->file) != 0)
            continue;
        fit = read[i].file.size == was->file.size && read[i].checksum == was->checksum ? WR_FIT_YES
                                                                                       : WR_FIT_NO;
    }
    return fit;
}

enum wr_status wr_local_head_fits(const struct wr_local_head *h, const struct wr_pagemap *m,
    const struct wr_ltx_files *files, uint64_t *ret_until, struct wr_err *e)
{
    const struct wr_pagemap_about *about = wr_pagemap_about(m);
    enum wr_fit rolling = wr_pagemap_fit(m, h->txid, h->has_rolling, h->rolling);
    uint64_t until = rolling == WR_FIT_YES ? h->txid : 0;

    if (h->txid > about->txid)
        return wr_fail(e, WR_NOTFOUND,
            "it is of transaction %016" PRIx64 ", and the replica ends with %016" PRIx64, h->txid,
            about->txid);
    if (h->page_size != about->page_size)
        return wr_fail(e, WR_NOTFOUND, "the replica's pages have %u bytes, and it has some of %u",
            about->page_size, h->page_size);
    for (size_t i = 0; i < h->n; i++) {
        const struct wr_ltx_file *f = &h->files[i].file;
        enum wr_fit fit = fit_of(&h->files[i], m, files);

        if (fit == WR_FIT_NO)
            return wr_fail(e, WR_NOTFOUND,
                "the file %016" PRIx64 "-%016" PRIx64 " of level %u, which it was made from, is "
                "another one by now",
                f->min, f->max, f->level);
        if (fit == WR_FIT_YES)
            until = wr_max(until, wr_min(f->max, h->txid));
    }
    if (rolling == WR_FIT_NO)
        return wr_fail(e, WR_NOTFOUND,
            "as of transaction %016" PRIx64 " the replica's database has another checksum",
            h->txid);
    *ret_until = until;
    return until > 0 ? WR_OK
                     : wr_fail(e, WR_NOTFOUND, "no file that it was made from is there any more");
}

static uint64_t sum(
    uint64_t salt, uint32_t pgno, uint64_t since, const uint8_t *page, uint32_t page_size)
{
    uint8_t about[20];

    wr_put_be64(about, salt);
    wr_put_be32(about + 8, pgno);
    wr_put_be64(about + 12, since);
    return wr_crc64(wr_crc64(0, about, sizeof(about)), page, page_size);
}

void wr_local_record(uint8_t out[WR_LOCAL_RECORD], uint64_t salt, uint32_t pgno, uint64_t since,
    const uint8_t *page, uint32_t page_size)
{
    wr_put_be64(out, since);
    wr_put_be64(out + 8, sum(salt, pgno, since, page, page_size));
}

uint64_t wr_local_record_since(const uint8_t record[WR_LOCAL_RECORD], uint64_t salt, uint32_t pgno,
    const uint8_t *page, uint32_t page_size)
{
    uint64_t since = wr_be64(record);

    if (since == 0 || wr_be64(record + 8) != sum(salt, pgno, since, page, page_size))
        return 0;
    return since;
}
