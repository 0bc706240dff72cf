/*
 * fuzz_name.c - any text as the key of an object: of an LTX file in either layout, or of a backup
 * of Litestream 0.3.
 *
 * The input is lines; each is a key in a listing. In a key a byte 1 stands for 16 digits, 2 for the
 * directory of level 0, 3 for "generations/", so that a mutator gets there.
 *
 * Beyond not crashing: a key that is read as an LTX file's is, to the byte, the one that would be
 * built for it; the name alone likewise; what a listing says of a 0.3 backup is found again under
 * the very key that was listed.
 */
#include "base/buf.h"
#include "engine/layout.h"
#include "engine/legacy.h"
#include "fuzz/fuzz.h"
#include "fuzz/memfs.h"
#include "ltx/ltx.h"
#include "storage/storage.h"

#define KEYS_MAX 32

/* A bucket of keys without contents. */
struct bucket {
    struct wr_str keys[KEYS_MAX]; /* ascending */
    size_t n;
    bool foreign; /* something was asked for that was not listed */
};

static enum wr_status list(void *self, struct wr_call *c, struct wr_str prefix, struct wr_str after,
    wr_list_fn *fn, void *arg, struct wr_err *e)
{
    const struct bucket *b = self;

    (void)c;
    (void)e;
    for (size_t i = 0; i < b->n; i++) {
        struct wr_object o = {.key = b->keys[i], .size = 100, .time_ms = 1000 + (int64_t)i};

        if (wr_str_starts(o.key, prefix) && wr_str_cmp(o.key, after) > 0 && !fn(arg, &o))
            break;
    }
    return WR_OK;
}

static enum wr_status get(void *self, struct wr_call *c, struct wr_str key, uint64_t off, void *buf,
    size_t n, size_t *got, struct wr_str *version, struct wr_err *e)
{
    struct bucket *b = self;
    bool listed = false;

    (void)c;
    (void)off;
    (void)buf;
    (void)n;
    (void)version;
    *got = 0;
    for (size_t i = 0; i < b->n; i++)
        listed = listed || wr_str_eq(key, b->keys[i]);
    b->foreign = b->foreign || !listed;
    return wr_fail(e, WR_CORRUPT, "nothing in it");
}

static void stay_open(void *self)
{
    (void)self; /* on the stack */
}

static const struct wr_storage_ops hex_ops = {.scheme = "fuzz",
    .caps = WR_STORAGE_LIST_TIME | WR_STORAGE_HEX_LEVELS,
    .close = stay_open,
    .list = list,
    .get = get};
static const struct wr_storage_ops plain_ops = {
    .scheme = "fuzz", .caps = WR_STORAGE_LIST_TIME, .close = stay_open, .list = list, .get = get};

static void add(struct bucket *b, struct wr_str key)
{
    size_t i = b->n;

    if (key.n > 1024) /* longer than S3 has any */
        return;
    while (i > 0 && wr_str_cmp(b->keys[i - 1], key) > 0)
        i--;
    if (i > 0 && wr_str_eq(b->keys[i - 1], key))
        return;
    memmove(b->keys + i + 1, b->keys + i, (b->n - i) * sizeof(key));
    b->keys[i] = key;
    b->n++;
}

static void ltx(struct wr_arena *a, const struct wr_storage *s, struct wr_str key)
{
    struct wr_ltx_file f = {.size = 5};
    struct wr_str dir, name = {NULL, 0}, built;
    char text[WR_LAYOUT_NAME_MAX];
    uint64_t min = 0, max = 0;

    if (wr_layout_ltx_parse(s, key, &f)) {
        HOLDS(f.level <= WR_LEVEL_MAX && f.min >= 1 && f.min <= f.max && f.size == 5);
        built = wr_layout_ltx_key(a, s, f.level, f.min, f.max);
        HOLDS(built.p && wr_str_eq(built, key));
        wr_layout_name(text, &f);
        HOLDS(wr_str_ends(key, wr_str(text)));
    } else {
        HOLDS(f.level == 0 && f.min == 0 && f.max == 0);
    }
    (void)wr_str_cut_last(key, '/', &dir, &name);
    if (wr_ltx_name_parse(name, &min, &max)) {
        wr_ltx_name_format(text, min, max);
        HOLDS(min >= 1 && min <= max && wr_str_eq(name, wr_str(text)));
    }
}

static void whole(struct bucket *b, const struct wr_storage_ops *ops, const char *prefix)
{
    struct wr_call *c = fuzz_call();
    struct wr_ltx_files files = {0};
    struct wr_legacy *l = NULL;
    struct wr_storage *s = NULL;
    struct memfs m;
    uint32_t page_size, commit;
    enum wr_status st;

    HOLDS(wr_storage_wrap(ops, b, wr_str(prefix), &s, NULL) == WR_OK);
    for (size_t i = 0; i < b->n; i++)
        ltx(c->scratch, s, b->keys[i]);
    HOLDS(wr_layout_list_all(s, c, &files, NULL) == WR_OK && files.n <= b->n);
    wr_ltx_files_release(&files);

    st = wr_legacy_find(s, c, 0, &l, NULL);
    HOLDS(st == WR_OK || st == WR_NOTFOUND);
    if (st == WR_OK) {
        memfs_init(&m, 4096);
        struct memfs_file *db = memfs_add(&m, "db", (struct wr_bytes){0});
        struct memfs_file *wal = memfs_add(&m, "wal", (struct wr_bytes){0});

        HOLDS(wr_legacy_bytes(l) % 100 == 0 && wr_legacy_bytes(l) <= b->n * 100);
        HOLDS(wr_legacy_snapshot_ms(l) >= 1000 && wr_legacy_newest_ms(l) < 1000 + KEYS_MAX);
        st = wr_legacy_write(l, c, &db->file, &wal->file, NULL, NULL, &page_size, &commit, NULL);
        HOLDS(st == WR_CORRUPT && !b->foreign);
        memfs_release(&m);
    }
    wr_legacy_free(l);
    wr_storage_close(s);
}

static void expand(struct wr_buf *out, struct wr_str s)
{
    static const char *const words[] = {NULL, "0123456789abcdef", "ltx/0/", "generations/"};

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] >= 1 && s.p[i] <= 3)
            wr_buf_z(out, words[(unsigned)s.p[i]]);
        else
            wr_buf_byte(out, (uint8_t)s.p[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_str rest, text;
    struct bucket b = {.n = 0};
    struct wr_buf all;

    if (size > 4096)
        return 0;
    wr_buf_init(&all, (size_t)16 * 4096);
    expand(&all, (struct wr_str){(const char *)data, size});
    rest = wr_buf_view(&all);
    while (rest.n > 0 && b.n < KEYS_MAX) {
        (void)wr_str_cut(rest, '\n', &text, &rest);
        add(&b, text);
    }
    whole(&b, &plain_ops, "");
    whole(&b, &hex_ops, "p/");
    wr_buf_release(&all);
    return 0;
}
