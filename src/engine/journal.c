/*
 * journal.c - see journal.h for the format. Keeps records; refuses to know what they mean.
 */
#include "engine/journal.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/mem.h"
#include "engine/pageset.h"

#define JOURNAL_MAGIC 0x324a5257u /* "WRJ2" */
#define RECORD_HEAD   88
#define SWITCH_BYTES  ((uint64_t)256 << 10) /* a file this long looks for a successor */
#define ENTRY_CAPTURE 4
#define SEQ_MAX       (UINT64_MAX / 2) /* no life counts to it */
#define ENTRY_CLOSE   12

struct journal_file {
    struct wr_file *f;
    uint64_t size;      /* bytes of intact records */
    uint64_t txid_last; /* highest TXID that a close in it leads to; 0: none */
    bool open_tail;     /* a capture follows its last close */
};

struct wr_journal {
    struct journal_file file[2];
    unsigned active;
    uint64_t seq; /* of the last record */
    struct wr_buf buf;
};

size_t wr_journal_entry(enum wr_journal_kind kind)
{
    return kind == WR_JOURNAL_CLOSE ? ENTRY_CLOSE : ENTRY_CAPTURE;
}

void wr_journal_pages(
    const struct wr_journal_rec *rec, struct wr_bytes entries, struct wr_pageset *out)
{
    for (size_t at = 0; at < entries.n; at += wr_journal_entry(rec->kind)) {
        uint32_t pgno = wr_le32(entries.p + at);

        if (pgno > 0)
            wr_pageset_add(out, pgno);
    }
}

static void head_put(uint8_t *p, const struct wr_journal_rec *r)
{
    wr_put_le32(p, JOURNAL_MAGIC);
    wr_put_le32(p + 4, (uint32_t)r->kind);
    wr_put_le64(p + 8, r->seq);
    wr_put_le64(p + 16, r->txid_before);
    wr_put_le64(p + 24, r->txid);
    wr_put_le64(p + 32, r->rolling_before);
    wr_put_le64(p + 40, r->rolling);
    wr_pos_put(p + 48, &r->pos);
    wr_put_le32(p + 68, r->commit_before);
    wr_put_le32(p + 72, r->commit);
    wr_put_le32(p + 76, r->n);
}

static bool head_get(const uint8_t *p, struct wr_journal_rec *r)
{
    uint32_t kind = wr_le32(p + 4);

    if (wr_le32(p) != JOURNAL_MAGIC || (kind != WR_JOURNAL_CAPTURE && kind != WR_JOURNAL_CLOSE))
        return false;
    r->kind = (enum wr_journal_kind)kind;
    r->seq = wr_le64(p + 8);
    r->txid_before = wr_le64(p + 16);
    r->txid = wr_le64(p + 24);
    r->rolling_before = wr_le64(p + 32);
    r->rolling = wr_le64(p + 40);
    wr_pos_get(p + 48, &r->pos);
    r->commit_before = wr_le32(p + 68);
    r->commit = wr_le32(p + 72);
    r->n = wr_le32(p + 76);
    return r->n <= WR_JOURNAL_ENTRIES_MAX;
}

/* Read the record at `off` of a file of `size` bytes into j->buf. NOTFOUND: there is no intact one.
 */
static enum wr_status record_at(struct wr_journal *j, struct wr_file *f, uint64_t size,
    uint64_t off, struct wr_journal_rec *r, struct wr_bytes *entries, struct wr_err *e)
{
    size_t got = 0, n;
    uint8_t *p;
    enum wr_status st;

    wr_buf_clear(&j->buf);
    p = wr_buf_grow(&j->buf, RECORD_HEAD);
    if (!p)
        return wr_fail(e, WR_NOMEM, "read the journal");
    st = wr_file_pread(f, p, RECORD_HEAD, off, &got, e);
    if (st != WR_OK)
        return st;
    if (got < RECORD_HEAD || size - off < RECORD_HEAD || !head_get(p, r))
        return WR_NOTFOUND;
    n = (size_t)r->n * wr_journal_entry(r->kind);
    if (n > size - off - RECORD_HEAD) /* before memory is taken for a claim */
        return WR_NOTFOUND;
    uint8_t *q = wr_buf_grow(&j->buf, n);
    if (!q)
        return wr_fail(e, WR_NOMEM, "read the journal");
    st = wr_file_pread(f, q, n, off + RECORD_HEAD, &got, e);
    if (st != WR_OK)
        return st;
    p = j->buf.p;
    if (got < n || wr_crc64(wr_crc64(0, p, 80), p + RECORD_HEAD, n) != wr_le64(p + 80))
        return WR_NOTFOUND;
    *entries = (struct wr_bytes){p + RECORD_HEAD, n};
    return WR_OK;
}

static void note(struct wr_journal *j, struct journal_file *jf, const struct wr_journal_rec *r)
{
    jf->size += RECORD_HEAD + (uint64_t)r->n * wr_journal_entry(r->kind);
    if (r->kind == WR_JOURNAL_CLOSE) {
        jf->txid_last = r->txid;
        jf->open_tail = false;
    } else {
        jf->open_tail = true;
    }
    j->seq = wr_max(j->seq, r->seq);
}

/* Find the end of the intact records, and which file is being written. Intact records behind a torn
 * one must not come back to life when it is written over, so they are cut off. */
static enum wr_status measure(struct wr_journal *j, struct wr_err *e)
{
    uint64_t newest[2] = {0, 0};

    for (unsigned i = 0; i < 2; i++) {
        struct journal_file *jf = &j->file[i];
        struct wr_file_info info;
        struct wr_journal_rec r = {0};
        struct wr_bytes entries;
        enum wr_status st = wr_file_info(jf->f, &info, e);

        while (st == WR_OK) {
            st = record_at(j, jf->f, info.size, jf->size, &r, &entries, e);
            if (st != WR_OK)
                break;
            if (r.seq <= newest[i] || r.seq > SEQ_MAX)
                break; /* left over behind a shorter, newer tail; or not ours */
            newest[i] = r.seq;
            note(j, jf, &r);
        }
        if (st == WR_NOTFOUND)
            st = WR_OK;
        if (st == WR_OK && info.size > jf->size)
            st = wr_file_truncate(jf->f, jf->size, e);
        if (st != WR_OK)
            return st;
    }
    j->active = newest[1] > newest[0] ? 1 : 0;
    return WR_OK;
}

enum wr_status wr_journal_open(
    const struct wr_fs *fs, const char *dir, struct wr_journal **ret, struct wr_err *e)
{
    struct wr_journal *j = wr_alloc(sizeof(*j));
    enum wr_status st = WR_OK;

    if (!j)
        return wr_fail(e, WR_NOMEM, "open the journal");
    wr_buf_init(&j->buf, RECORD_HEAD + (size_t)WR_JOURNAL_ENTRIES_MAX * ENTRY_CLOSE);
    for (unsigned i = 0; i < 2 && st == WR_OK; i++) {
        struct wr_buf path;

        wr_buf_init(&path, 4096);
        wr_buf_fmt(&path, "%s/journal.%u", dir, i);
        st = wr_buf_status(&path);
        if (st == WR_OK) {
            st = wr_file_open(fs, (const char *)path.p,
                WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE, 0600, &j->file[i].f, e);
        }
        wr_buf_release(&path);
    }
    if (st == WR_OK)
        st = measure(j, e);
    if (st != WR_OK) {
        wr_journal_close(j);
        return wr_wrap(e, st, "open the journal in %s", dir);
    }
    *ret = j;
    return WR_OK;
}

void wr_journal_close(struct wr_journal *j)
{
    if (!j)
        return;
    for (unsigned i = 0; i < 2; i++)
        wr_file_close(j->file[i].f);
    wr_buf_release(&j->buf);
    wr_free(j);
}

static enum wr_status empty(struct journal_file *jf, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    if (jf->size > 0)
        st = wr_file_truncate(jf->f, 0, e);
    if (st == WR_OK) {
        jf->size = 0;
        jf->txid_last = 0;
        jf->open_tail = false;
    }
    return st;
}

enum wr_status wr_journal_append(
    struct wr_journal *j, struct wr_journal_rec *rec, struct wr_bytes entries, struct wr_err *e)
{
    struct journal_file *jf = &j->file[j->active];
    enum wr_status st;
    uint8_t *p;

    assert(entries.n == (size_t)rec->n * wr_journal_entry(rec->kind));
    if (j->seq >= SEQ_MAX) { /* a start would take what is here for the last, and not find more */
        st = wr_journal_clear(j, e);
        if (st != WR_OK)
            return wr_wrap(e, st, "append to the journal");
        j->seq = 0;
    }
    if (jf->size > SWITCH_BYTES && j->file[!j->active].size == 0) {
        j->active = !j->active;
        jf = &j->file[j->active];
    }
    rec->seq = j->seq + 1;
    wr_buf_clear(&j->buf);
    p = wr_buf_grow(&j->buf, RECORD_HEAD);
    if (p)
        head_put(p, rec);
    wr_buf_put(&j->buf, entries.p, entries.n);
    st = wr_buf_status(&j->buf);
    if (st != WR_OK)
        return wr_fail(e, st, "append to the journal");
    p = j->buf.p;
    wr_put_le64(p + 80, wr_crc64(wr_crc64(0, p, 80), p + RECORD_HEAD, entries.n));
    st = wr_file_pwrite(jf->f, p, j->buf.n, jf->size, e);
    if (st != WR_OK) {
        (void)jf->f->fs->truncate(jf->f, jf->size, NULL); /* what part of it there is, is torn */
        return wr_wrap(e, st, "append to the journal");
    }
    note(j, jf, rec);
    if (j->buf.cap > ((size_t)1 << 20))
        wr_buf_release(&j->buf);
    return WR_OK;
}

enum wr_status wr_journal_each(struct wr_journal *j, wr_journal_fn *fn, void *arg, struct wr_err *e)
{
    /* The older file first: it was written before the active one took over. */
    for (unsigned k = 0; k < 2; k++) {
        struct journal_file *jf = &j->file[k == 0 ? !j->active : j->active];
        uint64_t off = 0;

        while (off < jf->size) {
            struct wr_journal_rec r = {0};
            struct wr_bytes entries = {0};
            enum wr_status st = record_at(j, jf->f, jf->size, off, &r, &entries, e);

            if (st == WR_NOTFOUND)
                st = wr_fail(e, WR_CORRUPT, "the journal changed under us");
            if (st == WR_OK)
                st = fn(arg, &r, entries, e);
            if (st != WR_OK)
                return st;
            off += RECORD_HEAD + (uint64_t)r.n * wr_journal_entry(r.kind);
        }
    }
    return WR_OK;
}

enum wr_status wr_journal_drop_last(
    struct wr_journal *j, const struct wr_journal_rec *rec, struct wr_err *e)
{
    struct journal_file *jf = &j->file[j->active];
    uint64_t size = RECORD_HEAD + (uint64_t)rec->n * wr_journal_entry(rec->kind);
    enum wr_status st;

    assert(rec->seq == j->seq && jf->size >= size);
    st = wr_file_truncate(jf->f, jf->size - size, e);
    if (st == WR_OK) {
        jf->size -= size;
        jf->txid_last = rec->kind == WR_JOURNAL_CLOSE ? rec->txid_before : jf->txid_last;
    }
    return st;
}

enum wr_status wr_journal_trim(struct wr_journal *j, uint64_t txid, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (unsigned i = 0; i < 2 && st == WR_OK; i++) {
        struct journal_file *jf = &j->file[i];
        /* A capture at its end matters until a later close, in the other file, took it in. */
        bool folded = !jf->open_tail || (i != j->active && j->file[j->active].txid_last > 0);
        bool done = jf->txid_last <= txid && folded;

        /* An active file is emptied only when that is worth a system call. */
        if (done && jf->size > (i == j->active ? SWITCH_BYTES : 0))
            st = empty(jf, e);
    }
    return st;
}

enum wr_status wr_journal_clear(struct wr_journal *j, struct wr_err *e)
{
    enum wr_status st = empty(&j->file[0], e);

    return st == WR_OK ? empty(&j->file[1], e) : st;
}

uint64_t wr_journal_bytes(const struct wr_journal *j)
{
    return j->file[0].size + j->file[1].size;
}
