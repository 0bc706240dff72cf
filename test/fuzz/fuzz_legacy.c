/*
 * fuzz_legacy.c - any bytes as a replica of Litestream 0.3: snapshots and segments of WAL, in LZ4
 * frames, restored.
 *
 * The input is a list of objects: flags, index, offset, time, length, contents. By the flags the
 * contents are compressed here, in one frame or in two, a snapshot is given the head and size of a
 * database, the WAL's checksums are made right, and an offset is where the segment before it ends.
 *
 * Beyond not crashing: memory and disk are bounded whatever the frames expand to; only listed
 * objects are asked for, within their size; what is restored has whole pages, as many as it says,
 * and all bytes were told of. Two times the same gives the same.
 */
#include "base/buf.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "engine/legacy.h"
#include "fuzz/fuzz.h"
#include "fuzz/memfs.h"
#include "sqlite/wal.h"
#include "storage/storage.h"

#include <lz4frame.h>

#define OBJECTS   8
#define DISK      ((size_t)96 << 10)
#define PAGE_SIZE 512

enum {
    SNAPSHOT = 1,
    COMPRESS = 2,
    TWO_FRAMES = 4,
    FIX = 8,
    FOLLOWS = 16,
    CUT = 32 /* mid-WAL, so that one is spread over segments */
};

struct object {
    char key[80];
    struct wr_buf body;
    int64_t time_ms;
};

struct bucket {
    struct object objects[OBJECTS]; /* ascending by key */
    size_t n;
};

static enum wr_status list(void *self, struct wr_call *c, struct wr_str prefix, struct wr_str after,
    wr_list_fn *fn, void *arg, struct wr_err *e)
{
    const struct bucket *b = self;

    (void)c;
    (void)e;
    for (size_t i = 0; i < b->n; i++) {
        const struct object *x = &b->objects[i];
        struct wr_object o = {.key = wr_str(x->key), .size = x->body.n, .time_ms = x->time_ms};

        if (wr_str_starts(o.key, prefix) && wr_str_cmp(o.key, after) > 0 && !fn(arg, &o))
            break;
    }
    return WR_OK;
}

static enum wr_status get(void *self, struct wr_call *c, struct wr_str key, uint64_t off, void *buf,
    size_t n, size_t *got, struct wr_str *version, struct wr_err *e)
{
    const struct bucket *b = self;
    size_t i = 0;

    (void)c;
    (void)e;
    (void)version;
    while (i < b->n && !wr_str_eq(key, wr_str(b->objects[i].key)))
        i++;
    HOLDS(i < b->n && off < b->objects[i].body.n && n <= b->objects[i].body.n - off);
    memcpy(buf, b->objects[i].body.p + off, n);
    *got = n;
    return WR_OK;
}

static void stay_open(void *self)
{
    (void)self; /* on the stack */
}

static const struct wr_storage_ops ops = {
    .scheme = "fuzz", .caps = WR_STORAGE_LIST_TIME, .close = stay_open, .list = list, .get = get};

static void put_frame(struct wr_buf *out, struct wr_bytes b)
{
    size_t max = LZ4F_compressFrameBound(b.n, NULL), at = out->n;
    uint8_t *p = wr_buf_grow(out, max);

    HOLDS(p);
    out->n = at + LZ4F_compressFrame(p, max, b.p, b.n, NULL);
}

static void put_body(struct wr_buf *out, unsigned flags, struct wr_bytes b)
{
    size_t half = flags & TWO_FRAMES ? b.n / 2 : 0;

    if (!(flags & COMPRESS)) {
        wr_buf_put(out, b.p, b.n);
        return;
    }
    if (half > 0)
        put_frame(out, (struct wr_bytes){b.p, half});
    put_frame(out, (struct wr_bytes){b.p + half, b.n - half});
}

/* At most one of a key; keys in order. */
static struct object *place(struct bucket *b, const char *key)
{
    size_t i = b->n;

    while (i > 0 && strcmp(b->objects[i - 1].key, key) > 0)
        i--;
    if (i > 0 && strcmp(b->objects[i - 1].key, key) == 0)
        return NULL;
    memmove(b->objects + i + 1, b->objects + i, (b->n - i) * sizeof(b->objects[0]));
    b->n++;
    b->objects[i] = (struct object){.time_ms = 0};
    memcpy(b->objects[i].key, key, strlen(key) + 1);
    return &b->objects[i];
}

/* Contents as the flags have them, PAGE_SIZE-aligned for a snapshot; at most 64 KiB. */
static size_t contents(struct fuzz_in *in, unsigned flags, uint8_t out[1 << 16])
{
    struct wr_bytes b = fuzz_piece(in, fuzz_u16(in) % ((1 << 16) - PAGE_SIZE));
    size_t n = b.n;

    memset(out, 0, n + PAGE_SIZE);
    if (n > 0)
        memcpy(out, b.p, n);
    if (!(flags & FIX))
        return n;
    if (!(flags & SNAPSHOT)) {
        fuzz_wal_fix(out, n);
        return n;
    }
    n = (n + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
    memcpy(out, "SQLite format 3", 16);
    wr_put_be16(out + 16, PAGE_SIZE);
    return n;
}

static void take(struct fuzz_in *in, struct bucket *b, uint64_t *end)
{
    static uint8_t body[1 << 16];
    unsigned flags = fuzz_u8(in), index = fuzz_u8(in) % 4;
    uint64_t off = fuzz_u16(in);
    int64_t time_ms = fuzz_u8(in);
    size_t n = contents(in, flags, body), first = flags & CUT ? n / 2 : n;
    struct object *o;
    char key[80];

    if (flags & FOLLOWS)
        off = *end;
    for (size_t at = 0; at == 0 || at < n; at += first, first = n - first) {
        if (b->n == OBJECTS)
            return;
        if (flags & SNAPSHOT) {
            first = n;
            (void)snprintf(key, sizeof(key),
                "generations/0000000000000007/snapshots/%08x.snapshot.lz4", index);
        } else {
            (void)snprintf(key, sizeof(key), "generations/0000000000000007/wal/%08x_%08llx.wal.lz4",
                index, (unsigned long long)(off + at));
        }
        o = place(b, key);
        if (!o)
            return;
        o->time_ms = time_ms;
        wr_buf_init(&o->body, (size_t)1 << 18);
        put_body(&o->body, flags, (struct wr_bytes){body + at, first});
        HOLDS(wr_buf_status(&o->body) == WR_OK);
        if (first == 0)
            break;
    }
    *end = flags & SNAPSHOT ? 0 : off + n;
}

static void told(void *arg, uint64_t bytes_done)
{
    uint64_t *bytes = arg;

    HOLDS(bytes_done >= *bytes);
    *bytes = bytes_done;
}

/* Restore; the status. */
static enum wr_status restore(struct bucket *b, struct memfs *m, struct memfs_file **ret_db)
{
    struct memfs_file *db = memfs_add(m, "db", (struct wr_bytes){0});
    struct memfs_file *wal = memfs_add(m, "wal", (struct wr_bytes){0});
    struct wr_call *c = fuzz_call();
    struct wr_storage *s = NULL;
    struct wr_legacy *l = NULL;
    uint32_t page_size = 0, commit = 0;
    uint64_t bytes = 0;
    enum wr_status st;

    *ret_db = db;
    HOLDS(wr_storage_wrap(&ops, b, (struct wr_str){NULL, 0}, &s, NULL) == WR_OK);
    st = wr_legacy_find(s, c, 0, &l, NULL);
    HOLDS(st == WR_OK || st == WR_NOTFOUND);
    if (st == WR_OK) {
        HOLDS(wr_legacy_end_ms(l) >= wr_legacy_snapshot_ms(l));
        HOLDS(wr_legacy_end_ms(l) <= wr_legacy_newest_ms(l));
        st = wr_legacy_write(l, c, &db->file, &wal->file, told, &bytes, &page_size, &commit, NULL);
        HOLDS(st == WR_OK || st == WR_CORRUPT || st == WR_LIMIT);
        HOLDS(bytes <= wr_legacy_bytes(l));
    }
    if (st == WR_OK) {
        HOLDS(bytes == wr_legacy_bytes(l));
        HOLDS(page_size >= 512 && page_size <= 65536 && (page_size & (page_size - 1)) == 0);
        HOLDS(db->n == (uint64_t)page_size * commit);
    }
    wr_legacy_free(l);
    wr_storage_close(s);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct bucket b;
    struct fuzz_in in = {data, size};
    struct memfs_file *db, *db_again;
    struct memfs m, again;
    uint64_t end = 0;
    enum wr_status st;

    b.n = 0;
    while (in.n > 0 && b.n < OBJECTS)
        take(&in, &b, &end);
    memfs_init(&m, DISK);
    memfs_init(&again, DISK);
    st = restore(&b, &m, &db);
    HOLDS(restore(&b, &again, &db_again) == st);
    HOLDS(st != WR_OK ||
          (db->n == db_again->n && (db->n == 0 || memcmp(db->p, db_again->p, db->n) == 0)));
    memfs_release(&m);
    memfs_release(&again);
    for (size_t i = 0; i < b.n; i++)
        wr_buf_release(&b.objects[i].body);
    return 0;
}
