/*
 * fuzz_ledger.c - any bytes as the ledger and the two files of the journal beside it, as a disk may
 * have them after a power cut.
 *
 * The input is a flag byte, the ledger's header and entries, the records of the journal, and what
 * the database does next. With flag 1 the header's fixed fields and its checksums are made right;
 * with flag 2 each record gets its magic, and its checksum; with flag 4 bytes follow the records;
 * with flag 8 the ledger's file ends where the input does; with flag 16 there is a second copy of
 * the header, older or newer, which is right.
 *
 * Beyond not crashing: the journal has the records that an obvious reader finds; the ledger opens,
 * empty or proven: its pages have the checksum that it says; opened once more it says the same; a
 * TXID that is closed is there after the next start, and known to lead there; memory is bounded by
 * the files, not by what they claim.
 */
#include "base/bytes.h"
#include "base/crc64.h"
#include "base/mem.h"
#include "engine/journal.h"
#include "engine/ledger.h"
#include "engine/remote.h"
#include "fuzz/fuzz.h"
#include "fuzz/memfs.h"
#include "ltx/ltx.h"

#define HEAD        4096
#define FILE_SIZE   ((size_t)8 << 10) /* as a ledger is made */
#define PAGE_SIZE   4096
#define LOCK_PGNO   ((uint32_t)7)
#define RECORD_HEAD 88
#define PAGES_MAX   64 /* of the closes that this target makes */

enum {
    FIX_HEAD = 1,
    FIX_RECORDS = 2,
    TAIL = 4,
    SHORT = 8,
    SECOND = 16
};

static const uint8_t *entry(const uint8_t *ledger, uint32_t i)
{
    return ledger + HEAD + (size_t)i * 8;
}

/* Checksums in the map are in machine order. */
static uint64_t native(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static void seal_head(uint8_t *p)
{
    memcpy(p, "weirldg3", 8);
    wr_put_le32(p + 8, PAGE_SIZE);
    wr_put_le32(p + 52, LOCK_PGNO);
    wr_put_le64(p + 80, wr_crc64(0, p, 80));
}

/* A copy beside the first one, of another state or of no state at all. */
static void add_second(struct fuzz_in *in, uint8_t *all)
{
    struct wr_bytes head = fuzz_piece(in, 80);
    uint8_t *p = all + 1024 * (1 + fuzz_u8(in) % 2);

    if (head.n > 0)
        memcpy(p, head.p, head.n);
    p[79] &= 0x3f; /* of stores: twice as many are too many for a header, and nobody gets there */
    seal_head(p);
}

static void make_ledger(struct fuzz_in *in, unsigned flags, struct memfs *m)
{
    static uint8_t all[FILE_SIZE];
    struct wr_bytes head = fuzz_piece(in, 56), entries;
    uint64_t sum = WR_LTX_CHECKSUM_EMPTY;

    memset(all, 0, sizeof(all));
    if (head.n > 0)
        memcpy(all, head.p, head.n);
    entries = fuzz_piece(in, (size_t)8 * fuzz_u8(in));
    if (entries.n > 0)
        memcpy(all + HEAD, entries.p, entries.n);
    if (flags & FIX_HEAD) {
        uint32_t commit = wr_le32(all + 12) % 256;

        wr_put_le32(all + 12, commit);
        all[72] = 9;
        for (uint32_t i = 0; i < commit && i < 255; i++)
            sum ^= native(entry(all, i));
        wr_put_le64(all + 24, sum | WR_LTX_CHECKSUM_EMPTY);
        seal_head(all);
    }
    if (flags & SECOND)
        add_second(in, all);
    (void)memfs_add(
        m, "d/ledger", (struct wr_bytes){all, flags & SHORT ? HEAD + entries.n : FILE_SIZE});
}

/* One record. A selector saves the mutator from guessing what the ledger's header says. */
static void add_record(
    struct fuzz_in *in, unsigned flags, const uint8_t *ledger, struct wr_buf *out)
{
    uint8_t head[RECORD_HEAD] = {0};
    unsigned select = fuzz_u8(in);
    struct wr_bytes b = fuzz_piece(in, 80), entries;
    size_t size;

    if (b.n > 0)
        memcpy(head, b.p, b.n);
    entries = fuzz_piece(in, fuzz_u8(in));
    if (select & 1)
        memcpy(head + 16, ledger + 16, 8); /* TXID before */
    if (select & 2)
        memcpy(head + 32, ledger + 24, 8); /* rolling before */
    if (select & 4)
        memcpy(head + 24, ledger + 16, 8); /* TXID */
    if (select & 8)
        memcpy(head + 40, ledger + 24, 8); /* rolling */
    if (select & 16)
        memcpy(head + 68, ledger + 12, 4); /* pages before */
    if (flags & FIX_RECORDS) {
        bool close = wr_le32(head + 4) & 1;

        size = close ? 12 : 4;
        wr_put_le32(head, 0x324a5257u);
        wr_put_le32(head + 4, close ? WR_JOURNAL_CLOSE : WR_JOURNAL_CAPTURE);
        entries.n = entries.n / size * size;
        wr_put_le32(head + 76, (uint32_t)(entries.n / size));
        wr_put_le64(head + 80, wr_crc64(wr_crc64(0, head, 80), entries.p, entries.n));
    }
    wr_buf_put(out, head, sizeof(head));
    wr_buf_put(out, entries.p, entries.n);
}

static void make_journal(struct fuzz_in *in, unsigned flags, struct memfs *m)
{
    static const char *const names[] = {"d/journal.0", "d/journal.1"};
    const uint8_t *ledger = memfs_add(m, "d/ledger", (struct wr_bytes){0})->p;

    for (unsigned i = 0; i < 2; i++) {
        struct wr_buf all;
        struct wr_bytes tail;

        wr_buf_init(&all, (size_t)1 << 20);
        for (unsigned k = fuzz_u8(in) % 6; k > 0; k--)
            add_record(in, flags, ledger, &all);
        tail = fuzz_piece(in, flags & TAIL ? fuzz_u8(in) : 0);
        wr_buf_put(&all, tail.p, tail.n);
        HOLDS(wr_buf_status(&all) == WR_OK);
        (void)memfs_add(m, names[i], wr_buf_bytes(&all));
        wr_buf_release(&all);
    }
}

/* The sequence numbers of intact records in a file, in order. */
static size_t intact(const struct memfs_file *f, uint64_t *out, size_t max)
{
    uint64_t last = 0;
    size_t n = 0, at = 0;

    while (f->n - at >= RECORD_HEAD) {
        const uint8_t *p = f->p + at;
        uint32_t kind = wr_le32(p + 4);
        uint64_t size = (uint64_t)wr_le32(p + 76) * (kind == WR_JOURNAL_CLOSE ? 12 : 4);

        if (wr_le32(p) != 0x324a5257u || kind < 1 || kind > 2 || size > f->n - at - RECORD_HEAD)
            break;
        if (wr_crc64(wr_crc64(0, p, 80), p + RECORD_HEAD, (size_t)size) != wr_le64(p + 80))
            break;
        if (wr_le64(p + 8) <= last || wr_le64(p + 8) > UINT64_MAX / 2)
            break;
        last = wr_le64(p + 8);
        HOLDS(n < max);
        out[n++] = last;
        at += RECORD_HEAD + (size_t)size;
    }
    return n;
}

struct seen {
    uint64_t seq[2 * 8];
    size_t n;
};

static enum wr_status see(
    void *arg, const struct wr_journal_rec *rec, struct wr_bytes entries, struct wr_err *e)
{
    struct seen *s = arg;

    (void)e;
    HOLDS(entries.n == (size_t)rec->n * (rec->kind == WR_JOURNAL_CLOSE ? 12 : 4));
    HOLDS(s->n < wr_countof(s->seq));
    s->seq[s->n++] = rec->seq;
    return WR_OK;
}

/* The number of records. */
static size_t journal(struct memfs *m)
{
    uint64_t want[2][8];
    size_t n[2], first;
    struct seen s = {.n = 0};
    struct wr_journal *j = NULL;

    n[0] = intact(memfs_add(m, "d/journal.0", (struct wr_bytes){0}), want[0], 8);
    n[1] = intact(memfs_add(m, "d/journal.1", (struct wr_bytes){0}), want[1], 8);
    HOLDS(wr_journal_open(&m->fs, "d", &j, NULL) == WR_OK);
    HOLDS(wr_journal_each(j, see, &s, NULL) == WR_OK && s.n == n[0] + n[1]);
    /* The file with the newest record is the last one. */
    first = n[1] > 0 && (n[0] == 0 || want[1][n[1] - 1] > want[0][n[0] - 1]) ? 0 : 1;
    HOLDS(memcmp(s.seq, want[first], n[first] * 8) == 0);
    HOLDS(memcmp(s.seq + n[first], want[!first], n[!first] * 8) == 0);
    wr_journal_close(j);
    return s.n;
}

static struct wr_ledger *start(struct memfs *m)
{
    struct wr_ledger *l = NULL;
    struct wr_ledger_state s;
    uint64_t sum = WR_LTX_CHECKSUM_EMPTY;

    HOLDS(wr_ledger_open(&m->fs, "d", PAGE_SIZE, LOCK_PGNO, 1, &l, NULL) == WR_OK);
    s = wr_ledger_state(l);
    for (uint32_t p = 1; s.txid > 0 && p <= s.commit; p++)
        sum ^= wr_ledger_page(l, p);
    HOLDS(s.txid == 0 || (sum | WR_LTX_CHECKSUM_EMPTY) == s.rolling);
    HOLDS(wr_ledger_page(l, 0) == 0 && wr_ledger_page(l, UINT32_MAX) == 0);
    return l;
}

static bool same(const struct wr_ledger_state *a, const struct wr_ledger_state *b)
{
    return a->txid == b->txid && a->rolling == b->rolling && a->commit == b->commit &&
           a->pos.frame == b->pos.frame && memcmp(a->pos.salt, b->pos.salt, 8) == 0 &&
           memcmp(a->pos.cksum, b->pos.cksum, 8) == 0;
}

/* A new TXID with a few pages, and what is known of it. `fresh`: there was no journal. `salt` makes
 * the pages' checksums, which no record can have been written to lead to: then it is the same state
 * by another way, as the checksum says. */
static void go_on(struct fuzz_in *in, struct wr_ledger *l, uint64_t salt, bool fresh)
{
    struct wr_ledger_state was = wr_ledger_state(l), is;
    struct wr_ledger_change changes[8];
    const struct wr_pos pos = {.frame = 9};
    uint32_t commit = 1 + fuzz_u8(in) % PAGES_MAX;
    struct wr_pageset since;
    bool known = false;
    size_t n = 0;

    if (was.txid == 0)
        return;
    for (uint32_t p = 1 + fuzz_u8(in) % 8; n < wr_countof(changes) && p <= commit;
         p += 1 + fuzz_u8(in) % 8)
        changes[n++] =
            (struct wr_ledger_change){p, (salt | 1) * (2 * p + 1) | WR_LTX_CHECKSUM_EMPTY};
    uint64_t rolling = wr_ledger_rolling_after(l, changes, n, commit);
    bool sane = was.txid + 1 < WR_TXID_SANE;
    enum wr_status st = wr_ledger_close_txid(l, was.txid + 1, changes, n, commit, &pos, NULL);
    HOLDS(st == (sane ? WR_OK : WR_CORRUPT));
    is = wr_ledger_state(l);
    HOLDS(sane || same(&is, &was));
    if (!sane)
        return;
    HOLDS(is.txid == was.txid + 1 && is.rolling == rolling && is.commit == commit);
    for (size_t i = 0; i < n; i++)
        HOLDS(wr_ledger_page(l, changes[i].pgno) == changes[i].now);

    /* A record that leads elsewhere from the same state may hide the history, never falsify it. */
    wr_pageset_init(&since);
    HOLDS(wr_ledger_since(l, was.txid, was.rolling, &since, &known, NULL) == WR_OK);
    HOLDS(known || !fresh);
    for (size_t i = 0; known && i < n; i++) {
        uint32_t mark;

        HOLDS(since.all || wr_pgmap_get(&since.map, changes[i].pgno, &mark));
    }
    wr_pageset_release(&since);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    unsigned flags = fuzz_u8(&in);
    struct wr_ledger_state is, again;
    struct wr_ledger *l;
    struct memfs m;
    bool fresh;

    memfs_init(&m, (size_t)1 << 20);
    make_ledger(&in, flags, &m);
    make_journal(&in, flags, &m);
    fresh = journal(&m) == 0;
    l = start(&m);
    is = wr_ledger_state(l);
    wr_ledger_close(l);
    l = start(&m);
    again = wr_ledger_state(l);
    HOLDS(same(&is, &again));
    go_on(&in, l, wr_crc64(0, data, size), fresh);
    is = wr_ledger_state(l);
    wr_ledger_close(l);
    l = start(&m);
    again = wr_ledger_state(l);
    HOLDS(same(&is, &again));
    wr_ledger_close(l);
    memfs_release(&m);
    return 0;
}
