/*
 * fuzz_ltxmodel.c - LTX files against the model of test/harness/ltx_model.h, which shares no code
 * with src/ltx: any fields and pages become files, the files one by a merge, and a file damage.
 *
 * The input is the fields and pages of up to three files of 512-byte pages, then the damage: bytes
 * to put in places of the first file.
 *
 * Beyond not crashing: what the model writes is read as it was meant, or refused for a rule that
 * the header or the order of pages breaks; what the encoder writes, the model reads the same; a
 * merge has the pages that the model's has; a damaged file is taken by both readers, with the same
 * pages, or by neither.
 */
#include "base/bytes.h"
#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "harness/ltx_util.h"
#include "ltx/merge.h"

#define FILES     3
#define PAGES     8 /* of a file; so few that the model is quick */
#define PAGE_SIZE 512
#define LOCK      (5 * PAGE_SIZE)
#define LOCK_PGNO 6

/* A page has the bytes of the input, if only one over and over. */
static void take_page(struct fuzz_in *in, struct t_ltx *m, uint32_t pgno)
{
    uint8_t page[PAGE_SIZE];
    size_t n = fuzz_u8(in);
    struct wr_bytes b = fuzz_piece(in, n);

    memset(page, (int)n, sizeof(page));
    if (b.n > 0)
        memcpy(page, b.p, b.n);
    t_ltx_set(m, pgno, page);
}

/* `before`: the file that this one is to follow, mostly. */
static void take_file(struct fuzz_in *in, struct t_ltx *m, const struct t_ltx *before)
{
    unsigned flags = fuzz_u8(in), pages = fuzz_u8(in);

    *m = (struct t_ltx){.page_size = PAGE_SIZE, .commit = fuzz_u8(in) % (PAGES + 2)};
    m->min = before ? before->max + (flags & 1 ? 0 : 1) : flags & 2 ? 2 : 1;
    m->max = m->min + fuzz_u8(in) % 4 - (flags & 4 ? 1 : 0);
    for (uint32_t p = 1; p <= PAGES; p++) {
        if (pages & 1u << (p - 1))
            take_page(in, m, p);
    }
    if (flags & 8) {
        m->rolling = true;
        m->pre = before ? before->post : (uint64_t)1 << 63;
        m->post = m->min == 1 ? t_ltx_sum(m) : fuzz_u64(in) | (uint64_t)1 << 63;
    }
    if (flags & 16) {
        m->time_ms = (int64_t)fuzz_u64(in);
        m->wal_off = fuzz_u64(in);
        m->wal_size = fuzz_u64(in);
        m->node = fuzz_u64(in);
        m->salt[0] = fuzz_u8(in);
        m->post ^= m->rolling ? fuzz_u64(in) : 0;
    }
}

/* The rules of ltx.h and dec.h. */
static bool header_ok(const struct t_ltx *m)
{
    const uint64_t top = (uint64_t)1 << 63;

    if (m->commit == 0 || m->min == 0 || m->max < m->min || m->wal_off >= top || m->wal_size >= top)
        return false;
    if (m->wal_off == 0 && (m->wal_size != 0 || m->salt[0] != 0))
        return false;
    if (m->rolling && (m->pre < top || m->post < top || (m->min == 1 && m->pre != top)))
        return false;
    return true;
}

static bool pages_ok(const struct t_ltx *m)
{
    for (uint32_t p = 1; p < m->end; p++) {
        if (m->pages[p] && (p > m->commit || p == LOCK_PGNO))
            return false;
    }
    return !m->rolling || m->min != 1 || m->post == t_ltx_sum(m);
}

/* Whether a snapshot has every page it should. */
static bool complete(const struct t_ltx *m)
{
    for (uint32_t p = 1; p <= m->commit; p++) {
        if (!m->pages[p] && p != LOCK_PGNO && m->min == 1)
            return false;
    }
    return true;
}

static void read_one(const struct t_ltx *m, struct wr_bytes file)
{
    struct t_ltx is, again;
    struct t_ltx_out out;
    bool ok = header_ok(m) && pages_ok(m);
    enum wr_status st = t_ltx_read(file, true, LOCK, &is, NULL);

    HOLDS(st == (ok ? WR_OK : WR_CORRUPT));
    HOLDS(!ok || t_ltx_same(&is, m));
    t_ltx_release(&is);
    st = t_ltx_write(m, LOCK, &out, NULL);
    HOLDS(st == (ok && complete(m) ? WR_OK : WR_CORRUPT));
    if (st == WR_OK) {
        HOLDS(t_ltx_decode(wr_buf_bytes(&out.buf), &again) == NULL);
        HOLDS(t_ltx_same(&again, m));
        t_ltx_release(&again);
    }
    wr_buf_release(&out.buf);
}

static bool chain_ok(const struct t_ltx *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!header_ok(&m[i]) || !pages_ok(&m[i]))
            return false;
        if (i > 0 && (m[i].min > m[i - 1].max + 1 || m[i].max <= m[i - 1].max))
            return false;
    }
    return true;
}

static void merge(const struct t_ltx *m, const struct wr_bytes *files, size_t n)
{
    struct t_ltx_in in[FILES] = {0};
    struct wr_ltx_dec *dec[FILES] = {NULL};
    struct wr_ltx_merge *merge = NULL;
    struct wr_ltx_trailer trailer = {0};
    struct t_ltx want, is;
    struct t_ltx_out out;
    uint64_t size = 0;
    enum wr_status st;

    for (size_t i = 0; i < n; i++) {
        in[i].file = files[i];
        HOLDS(wr_ltx_dec_new(t_ltx_source, &in[i], files[i].n, LOCK, &dec[i], NULL) == WR_OK);
    }
    t_ltx_out_init(&out);
    st = wr_ltx_merge_new(dec, n, LOCK, &merge, NULL);
    if (st == WR_OK)
        st = wr_ltx_merge_write(merge, t_ltx_sink, &out, &trailer, &size, NULL);
    HOLDS(st == WR_OK || st == WR_CORRUPT);
    HOLDS(st != WR_OK || chain_ok(m, n));
    if (chain_ok(m, n)) {
        t_ltx_merge(m, n, &want);
        /* A checksum that the pages do not make, or that the next file does not continue. */
        HOLDS(st == WR_OK || !complete(&want) || want.rolling || m[0].rolling || m[n - 1].rolling);
        if (st == WR_OK) {
            HOLDS(size == out.buf.n && t_ltx_decode(wr_buf_bytes(&out.buf), &is) == NULL);
            HOLDS(t_ltx_same(&is, &want));
            t_ltx_release(&is);
        }
        t_ltx_release(&want);
    }
    wr_ltx_merge_free(merge);
    for (size_t i = 0; i < n; i++)
        wr_ltx_dec_free(dec[i]);
    wr_buf_release(&out.buf);
}

/* Spoil the file, and see that the readers agree. */
static void damage(struct fuzz_in *in, struct wr_bytes file)
{
    uint8_t *p = wr_alloc(file.n);
    struct t_ltx want, is;

    HOLDS(p);
    memcpy(p, file.p, file.n);
    for (unsigned k = fuzz_u8(in) % 8; k > 0; k--) {
        size_t at = fuzz_u16(in) % file.n;

        p[at] = fuzz_u8(in);
    }
    struct wr_bytes spoilt = {p, file.n - fuzz_u8(in) % 2};
    bool fine = t_ltx_decode(spoilt, &want) == NULL && want.page_size == PAGE_SIZE &&
                wr_be64(p + 40) == 0 && header_ok(&want) && pages_ok(&want);
    enum wr_status st = t_ltx_read(spoilt, true, LOCK, &is, NULL);

    HOLDS(st == (fine ? WR_OK : WR_CORRUPT));
    HOLDS(!fine || t_ltx_same(&is, &want));
    t_ltx_release(&is);
    t_ltx_release(&want);
    wr_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct t_ltx m[FILES];
    struct wr_bytes files[FILES];
    struct fuzz_in in = {data, size};
    size_t n = 1 + fuzz_u8(&in) % FILES;

    for (size_t i = 0; i < n; i++) {
        take_file(&in, &m[i], i > 0 ? &m[i - 1] : NULL);
        files[i] = t_ltx_encode(&m[i]);
        read_one(&m[i], files[i]);
    }
    merge(m, files, n);
    damage(&in, files[0]);
    for (size_t i = 0; i < n; i++) {
        t_ltx_free(&files[i]);
        t_ltx_release(&m[i]);
    }
    return 0;
}
