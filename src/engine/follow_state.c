/*
 * follow_state.c - see follow_state.h.
 */
#include "engine/follow_state.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/crc64.h"
#include "base/crypto.h"
#include "base/file.h"

#include <unistd.h>

static const uint8_t MAGIC[8] = {'W', 'E', 'I', 'R', 'F', 'O', 'L', '1'};

enum {
    SLOT = 512,
    POS = 148, /* bytes of a position, and the offsets in it */
    POS_TIME = 8,
    POS_ROLLING = 16,
    POS_PAGE_SIZE = 24,
    POS_PAGES = 28,
    POS_COUNTER = 32,
    POS_PART = 36,
    POS_BASE = 40,
    POS_HEADER = 48,
    AT_NUMBER = 8, /* offsets in a slot */
    AT_WAS = 16,
    AT_NOW = AT_WAS + POS,
    AT_CRC = AT_NOW + POS,
    TXID_TEXT = 17,          /* with the newline */
    DB_VERSIONS = 18,        /* offsets in the header of a database */
    DB_COUNTER = 24,         /* */
    DB_PAGES = 28,           /* */
    DB_COOKIE = 40,          /* */
    DB_VALID_FOR = 92,       /* the counter for which DB_PAGES holds */
    COUNTER_LEAP = 2,        /* commits that somebody would have to make */
    COUNTER_SPREAD = 0xffff, /* and more, at random */
};

#define FED ((uint32_t)1 << 31)

static void put_pos(uint8_t *out, const struct wr_follow_pos *p)
{
    memset(out, 0, POS);
    wr_put_le64(out, p->txid);
    wr_put_le64(out + POS_TIME, (uint64_t)p->time_ms);
    wr_put_le64(out + POS_ROLLING, p->rolling);
    wr_put_le32(out + POS_PAGE_SIZE, p->page_size);
    wr_put_le32(out + POS_PAGES, p->pages);
    wr_put_le32(out + POS_COUNTER, p->counter);
    wr_put_le32(out + POS_PART, p->part | (p->fed ? FED : 0));
    wr_put_le64(out + POS_BASE, p->base);
    memcpy(out + POS_HEADER, p->header, WR_DB_HEADER);
}

static struct wr_follow_pos get_pos(const uint8_t *in)
{
    struct wr_follow_pos p = {.txid = wr_le64(in),
        .time_ms = (int64_t)wr_le64(in + POS_TIME),
        .rolling = wr_le64(in + POS_ROLLING),
        .page_size = wr_le32(in + POS_PAGE_SIZE),
        .pages = wr_le32(in + POS_PAGES),
        .counter = wr_le32(in + POS_COUNTER),
        .part = wr_le32(in + POS_PART) & ~FED,
        .base = wr_le64(in + POS_BASE),
        .fed = (wr_le32(in + POS_PART) & FED) != 0};

    memcpy(p.header, in + POS_HEADER, WR_DB_HEADER);
    return p;
}

/* Take in a slot, if it is a newer one. */
static void take(struct wr_follow_state *s, const uint8_t *slot)
{
    uint64_t number = wr_le64(slot + AT_NUMBER);

    if (memcmp(slot, MAGIC, sizeof(MAGIC)) != 0 || number <= s->number ||
        wr_le64(slot + AT_CRC) != wr_crc64(0, slot, AT_CRC))
        return;
    s->number = number;
    s->was = get_pos(slot + AT_WAS);
    s->now = get_pos(slot + AT_NOW);
}

static enum wr_status path_of(
    struct wr_arena *a, const char *path, const char *suffix, const char **ret, struct wr_err *e)
{
    *ret = wr_arena_fmt(a, "%s%s", path, suffix).p;
    return *ret ? WR_OK : wr_fail(e, WR_NOMEM, "%s: out of memory", path);
}

/* What root makes for an application, that must be able to go on with it. */
static void settle(const struct wr_fs *fs, struct wr_arena *a, const char *path, struct wr_file *f)
{
    struct wr_str dir = wr_arena_str(a, wr_path_dir(path));
    struct wr_file_info is = {0}, above = {0};

    if (geteuid() == 0 && dir.p && wr_file_info(f, &is, NULL) == WR_OK && is.uid == 0 &&
        fs->stat(fs, dir.p, &above, NULL) == WR_OK)
        (void)fs->set_owner(f, above.uid, above.gid, NULL);
}

static enum wr_status load(struct wr_follow_state *s, struct wr_err *e)
{
    uint8_t slots[2 * SLOT] = {0};
    size_t got = 0;
    enum wr_status st = wr_file_pread(s->file, slots, sizeof(slots), 0, &got, e);

    if (st != WR_OK)
        return st;
    take(s, slots);
    take(s, slots + SLOT);
    return WR_OK;
}

/* Make its name durable: else a power cut would leave a copy of which nothing is known. */
static enum wr_status settle_name(
    const struct wr_fs *fs, struct wr_arena *a, const char *path, struct wr_err *e)
{
    struct wr_str dir = wr_arena_str(a, wr_path_dir(path));

    return dir.p ? fs->sync_dir(fs, dir.p, e) : wr_fail(e, WR_NOMEM, "%s: out of memory", path);
}

enum wr_status wr_follow_state_open(
    const struct wr_fs *fs, const char *path, struct wr_follow_state *ret, struct wr_err *e)
{
    const unsigned how = WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_NOFOLLOW;
    struct wr_follow_state s = {.fs = fs, .path = path};
    struct wr_arena a;
    const char *name = NULL;
    enum wr_status st;

    wr_arena_init(&a, WR_ARENA_MAX);
    st = path_of(&a, path, WR_FOLLOW_SUFFIX, &name, e);
    if (st == WR_OK)
        st = wr_file_open(fs, name, how, 0600, &s.file, e);
    if (st == WR_OK)
        st = fs->lock(s.file, e);
    if (st == WR_BUSY)
        st = wr_fail(e, WR_BUSY, "another process follows into %s (it has locked %s)", path, name);
    if (st == WR_OK)
        st = load(&s, e);
    if (st == WR_OK && s.number == 0) {
        settle(fs, &a, path, s.file);
        st = settle_name(fs, &a, path, e);
    }
    wr_arena_release(&a);
    if (st == WR_OK)
        *ret = s;
    else
        wr_file_close(s.file);
    return st;
}

void wr_follow_state_close(struct wr_follow_state *s)
{
    wr_file_close(s->file);
    *s = (struct wr_follow_state){0};
}

enum wr_status wr_follow_state_put(struct wr_follow_state *s, const struct wr_follow_pos *was,
    const struct wr_follow_pos *now, struct wr_err *e)
{
    struct wr_follow_pos w = *was, n = *now; /* they may be ours */
    uint64_t number = s->number + 1;
    uint8_t slot[SLOT] = {0};
    enum wr_status st;

    memcpy(slot, MAGIC, sizeof(MAGIC));
    wr_put_le64(slot + AT_NUMBER, number);
    put_pos(slot + AT_WAS, &w);
    put_pos(slot + AT_NOW, &n);
    wr_put_le64(slot + AT_CRC, wr_crc64(0, slot, AT_CRC));
    st = wr_file_pwrite(s->file, slot, SLOT, (number & 1) * SLOT, e);
    if (st == WR_OK)
        st = wr_file_sync_data(s->file, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "position of %s", s->path);
    s->number = number;
    s->was = w;
    s->now = n;
    return WR_OK;
}

enum wr_status wr_follow_txid_put(
    const struct wr_fs *fs, const char *path, uint64_t txid, struct wr_err *e)
{
    struct wr_file_info is = {.mode = 0600};
    bool there;
    char text[TXID_TEXT + 1];
    struct wr_arena a;
    const char *name = NULL;
    enum wr_status st;

    wr_arena_init(&a, WR_ARENA_MAX);
    st = path_of(&a, path, WR_FOLLOW_TXID_SUFFIX, &name, e);
    there = fs->stat(fs, path, &is, NULL) == WR_OK; /* who may read the copy may know what it is */
    (void)snprintf(text, sizeof(text), "%016llx\n", (unsigned long long)txid); /* it fits */
    if (st == WR_OK)
        st = wr_file_put_for(fs, name, is.mode & 0666, there ? &is : NULL, text, TXID_TEXT, e);
    wr_arena_release(&a);
    return st;
}

enum wr_status wr_follow_txid_get(
    const struct wr_fs *fs, const char *path, uint64_t *ret, struct wr_err *e)
{
    struct wr_file *f = NULL;
    char text[TXID_TEXT + 1] = "";
    size_t got = 0;
    struct wr_arena a;
    const char *name = NULL;
    enum wr_status st;

    *ret = 0;
    wr_arena_init(&a, WR_ARENA_MAX);
    st = path_of(&a, path, WR_FOLLOW_TXID_SUFFIX, &name, e);
    if (st == WR_OK)
        st = wr_file_open(fs, name, WR_FILE_READ, 0, &f, e);
    if (st == WR_OK)
        st = wr_file_pread(f, text, sizeof(text), 0, &got, e);
    wr_file_close(f);
    if (st == WR_OK && (got < TXID_TEXT - 1 || got > TXID_TEXT ||
                           !wr_parse_hex64((struct wr_str){text, TXID_TEXT - 1}, ret)))
        st = wr_fail(e, WR_CORRUPT, "%s is no TXID of 16 hex digits", name);
    wr_arena_release(&a);
    return st == WR_NOTFOUND ? WR_OK : st;
}

uint32_t wr_follow_counter(const uint8_t header[WR_DB_HEADER])
{
    return wr_be32(header + DB_COUNTER);
}

uint32_t wr_follow_cookie(const uint8_t header[WR_DB_HEADER])
{
    return wr_be32(header + DB_COOKIE);
}

void wr_follow_dress(
    uint8_t header[WR_DB_HEADER], uint32_t pages, uint32_t counter, uint32_t cookie)
{
    header[DB_VERSIONS] = header[DB_VERSIONS + 1] = 1;
    wr_put_be32(header + DB_COUNTER, counter);
    wr_put_be32(header + DB_PAGES, pages);
    wr_put_be32(header + DB_COOKIE, cookie);
    wr_put_be32(header + DB_VALID_FOR, counter);
}

enum wr_status wr_follow_next_counter(uint32_t counter, uint32_t *ret, struct wr_err *e)
{
    uint8_t random[4];
    enum wr_status st = wr_random(random, sizeof(random), e);

    if (st == WR_OK)
        *ret = counter + COUNTER_LEAP + (wr_le32(random) & COUNTER_SPREAD);
    return st;
}
