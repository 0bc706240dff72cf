/*
 * ledger_head.c - the header of a ledger, and its three copies (ledger.h). Knows bytes; refuses to
 * know what they prove.
 */
#include "engine/ledger_int.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "engine/remote.h"

#define COPIES        3u /* of the header */
#define COPY_EVERY    ((size_t)1024)
#define AT_CHECKSUM   80 /* in a copy */
#define AT_FILE       88 /* and what is known of the database file */
#define AT_FILE_SUM   128
#define AT_STRAYS     136 /* wr_ledger_strays */
#define AT_STRAYS_SUM 152
#define AT_GIVEN      160 /* the run of the machine in which TXIDs were given away */
#define AT_GIVEN_SUM  168

static const char ledger_magic[8] = {'w', 'e', 'i', 'r', 'l', 'd', 'g', '3'};

static uint8_t *copy_at(const struct wr_ledger *l, unsigned i)
{
    return l->map + i * COPY_EVERY;
}

/* Neither the newest copy, which is all there is when we are killed, nor the one that is on disk.
 */
static uint8_t *spare_copy(struct wr_ledger *l)
{
    unsigned i = 0;

    while (i == l->newest || i == l->synced)
        i++;
    assert(i < COPIES);
    l->newest = i;
    return copy_at(l, i);
}

/* *crc: of the copy up to here; and then to what follows. */
static void file_write(const struct wr_ledger *l, uint8_t *p, uint64_t *crc)
{
    wr_put_le64(p + AT_FILE, l->now.file.ino);
    wr_put_le64(p + AT_FILE + 8, l->now.file.size);
    wr_put_le64(p + AT_FILE + 16, (uint64_t)l->now.file.mtime_ns);
    wr_put_le64(p + AT_FILE + 24, (uint64_t)l->now.file.change_ns);
    wr_put_le64(p + AT_FILE + 32, l->now.rest);
    *crc = wr_crc64(*crc, p + AT_CHECKSUM, AT_FILE_SUM - AT_CHECKSUM);
    wr_put_le64(p + AT_FILE_SUM, *crc);
}

static void file_read(struct wr_ledger *l, const uint8_t *p)
{
    if (wr_le64(p + AT_FILE_SUM) != wr_crc64(0, p, AT_FILE_SUM))
        return;
    l->now.file.ino = wr_le64(p + AT_FILE);
    l->now.file.size = wr_le64(p + AT_FILE + 8);
    l->now.file.mtime_ns = (int64_t)wr_le64(p + AT_FILE + 16);
    l->now.file.change_ns = (int64_t)wr_le64(p + AT_FILE + 24);
    l->now.rest = wr_le64(p + AT_FILE + 32);
}

/* Where a version that knew none of this wrote last, nothing is known: then of any TXID so far. */
static void strays_read(struct wr_ledger *l, const uint8_t *p)
{
    l->strays = (struct wr_ledger_point){l->now.txid, l->now.rolling};
    if (wr_le64(p + AT_STRAYS_SUM) == wr_crc64(0, p, AT_STRAYS_SUM))
        l->strays = (struct wr_ledger_point){wr_le64(p + AT_STRAYS), wr_le64(p + AT_STRAYS + 8)};
}

/* Where it is torn, or a version that knew none of this wrote last, it was in another one. */
static void given_read(struct wr_ledger *l, const uint8_t *p)
{
    bool right = wr_le64(p + AT_GIVEN_SUM) == wr_crc64(0, p, AT_GIVEN_SUM);

    l->given = l->given_synced = right ? wr_le64(p + AT_GIVEN) : ~l->run;
}

void wr_ledger_header_write(struct wr_ledger *l)
{
    uint8_t *p = spare_copy(l);
    uint64_t crc;

    l->stores++;
    memcpy(p, ledger_magic, 8);
    wr_put_le32(p + 8, l->page_size);
    wr_put_le32(p + 12, l->now.commit);
    wr_put_le64(p + 16, l->now.txid);
    wr_put_le64(p + 24, l->now.rolling);
    wr_pos_put(p + 32, &l->closed);
    wr_put_le32(p + 52, l->lock_pgno);
    wr_put_le64(p + 56, l->floor);
    wr_put_le64(p + 64, l->distrust);
    wr_put_le64(p + 72, l->stores);
    crc = wr_crc64(0, p, AT_CHECKSUM);
    wr_put_le64(p + AT_CHECKSUM, crc);
    file_write(l, p, &crc);
    wr_put_le64(p + AT_STRAYS, l->strays.txid);
    wr_put_le64(p + AT_STRAYS + 8, l->strays.rolling);
    crc = wr_crc64(crc, p + AT_FILE_SUM, AT_STRAYS_SUM - AT_FILE_SUM);
    wr_put_le64(p + AT_STRAYS_SUM, crc);
    wr_put_le64(p + AT_GIVEN, l->given);
    crc = wr_crc64(crc, p + AT_STRAYS_SUM, AT_GIVEN_SUM - AT_STRAYS_SUM);
    wr_put_le64(p + AT_GIVEN_SUM, crc);
}

static bool is_whole(const uint8_t *p)
{
    return memcmp(p, ledger_magic, 8) == 0 &&
           wr_le64(p + AT_CHECKSUM) == wr_crc64(0, p, AT_CHECKSUM) &&
           wr_le64(p + 16) < WR_TXID_SANE && wr_le64(p + 56) < WR_TXID_SANE &&
           wr_le64(p + 72) < WR_TXID_SANE;
}

/* Find the newest copy. TXIDs that any of them knows were taken, whatever else is wrong. */
void wr_ledger_copies_read(struct wr_ledger *l)
{
    for (unsigned i = 0; i < COPIES; i++) {
        const uint8_t *p = copy_at(l, i);

        if (!is_whole(p))
            continue;
        l->floor = wr_max(l->floor, wr_max(wr_le64(p + 16), wr_le64(p + 56)));
        if (wr_le64(p + 72) > l->stores) {
            l->stores = wr_le64(p + 72);
            l->newest = l->synced = i; /* what was there was synced as the file was opened */
        }
    }
}

uint64_t wr_ledger_header_txid(const struct wr_ledger *l)
{
    return l->stores > 0 ? wr_le64(copy_at(l, l->newest) + 16) : 0;
}

/* False when it is not a ledger of this database's shape. */
bool wr_ledger_header_read(struct wr_ledger *l)
{
    const uint8_t *p = copy_at(l, l->newest);

    if (l->stores == 0 || wr_le32(p + 8) != l->page_size || wr_le32(p + 52) != l->lock_pgno)
        return false;
    l->now.commit = wr_le32(p + 12);
    l->now.txid = wr_le64(p + 16);
    l->now.rolling = wr_le64(p + 24);
    wr_pos_get(p + 32, &l->closed);
    l->now.pos = l->closed;
    l->distrust = wr_le64(p + 64) != 0;
    file_read(l, p);
    strays_read(l, p);
    given_read(l, p);
    return l->now.txid != 0 && l->now.commit <= wr_ledger_capacity(l);
}
