/*
 * layout.c - keys of LTX files, listings of them. It opens none of the files.
 */
#include "engine/layout.h"

#include "base/crc64.h"
#include "base/mem.h"
#include "engine/crew.h"
#include "ltx/ltx.h"
#include "storage/storage.h"

#define LEAP_MIN 500u /* keys; with fewer, those wanted are likely on the page that came */

enum wr_status wr_ltx_files_add(
    struct wr_ltx_files *a, const struct wr_ltx_file *f, struct wr_err *e)
{
    if (a->n == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 64;
        struct wr_ltx_file *p;

        if (a->n >= WR_LTX_FILES_MAX)
            return wr_fail(e, WR_LIMIT, "more than %zu ltx files", WR_LTX_FILES_MAX);
        p = wr_resize(a->p, cap, sizeof(*p));
        if (!p)
            return wr_fail(e, WR_NOMEM, "list of %zu ltx files: out of memory", cap);
        a->p = p;
        a->cap = cap;
    }
    a->p[a->n++] = *f;
    return WR_OK;
}

void wr_ltx_files_release(struct wr_ltx_files *a)
{
    if (!a)
        return;
    wr_free(a->p);
    *a = (struct wr_ltx_files){0};
}

static int cmp_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

int wr_ltx_file_cmp(const struct wr_ltx_file *a, const struct wr_ltx_file *b)
{
    int d = cmp_u64(a->level, b->level);

    if (d == 0)
        d = cmp_u64(a->min, b->min);
    return d ? d : cmp_u64(a->max, b->max);
}

static int by_cmp(const void *a, const void *b)
{
    return wr_ltx_file_cmp(a, b);
}

void wr_ltx_files_sort(struct wr_ltx_files *a)
{
    if (a->n > 0)
        qsort(a->p, a->n, sizeof(*a->p), by_cmp);
}

const struct wr_ltx_file *wr_ltx_files_find(
    const struct wr_ltx_files *a, const struct wr_ltx_file *f)
{
    return a->n > 0 ? bsearch(f, a->p, a->n, sizeof(*a->p), by_cmp) : NULL;
}

uint64_t wr_ltx_files_newest(const struct wr_ltx_files *a)
{
    uint64_t txid = 0;

    for (size_t i = 0; i < a->n; i++)
        txid = wr_max(txid, a->p[i].max);
    return txid;
}

void wr_ltx_files_drop(struct wr_ltx_files *a, const struct wr_ltx_files *others)
{
    size_t n = 0;

    for (size_t i = 0; i < a->n; i++) {
        if (!wr_ltx_files_find(others, &a->p[i]))
            a->p[n++] = a->p[i];
    }
    a->n = n;
}

/* What the directories of all levels begin with, behind the prefix; a digit follows. */
static struct wr_str lead_of(bool hex)
{
    return hex ? WR_STR("000") : WR_STR("ltx/");
}

static bool is_hex(const struct wr_storage *s)
{
    return wr_storage_caps(s) & WR_STORAGE_HEX_LEVELS;
}

/* The directory of a level, of *ret_n bytes, with a NUL, and room for `more` bytes in between. */
static char *dir_with(
    struct wr_arena *a, const struct wr_storage *s, unsigned level, size_t more, size_t *ret_n)
{
    struct wr_str prefix = wr_storage_prefix(s), lead = lead_of(is_hex(s));
    size_t n = prefix.n + lead.n + 2;
    char *p = wr_arena_alloc(a, n + more + 1);

    static_assert(WR_LEVEL_MAX == 9, "one digit, decimal or hex");
    assert(level <= WR_LEVEL_MAX);
    if (!p)
        return NULL;
    if (prefix.n > 0)
        memcpy(p, prefix.p, prefix.n);
    memcpy(p + prefix.n, lead.p, lead.n);
    p[n - 2] = (char)('0' + level);
    p[n - 1] = '/';
    p[n] = '\0';
    *ret_n = n;
    return p;
}

struct wr_str wr_layout_ltx_dir(struct wr_arena *a, const struct wr_storage *s, unsigned level)
{
    size_t n = 0;
    const char *p = dir_with(a, s, level, 0, &n);

    return (struct wr_str){p, n};
}

struct wr_str wr_layout_ltx_key(
    struct wr_arena *a, const struct wr_storage *s, unsigned level, uint64_t min, uint64_t max)
{
    size_t n = 0;
    char *p = dir_with(a, s, level, WR_LTX_NAME_MAX - 1, &n);

    assert(min >= 1 && min <= max);
    if (!p)
        return (struct wr_str){0};
    wr_ltx_name_format(p + n, min, max);
    return (struct wr_str){p, n + WR_LTX_NAME_MAX - 1};
}

void wr_layout_name(char out[WR_LAYOUT_NAME_MAX], const struct wr_ltx_file *f)
{
    static_assert(WR_LAYOUT_NAME_MAX == WR_LTX_NAME_MAX, "one name");
    wr_ltx_name_format(out, f->min, f->max);
}

/* What follows the prefix of a replica. */
static bool parse_tail(bool hex, struct wr_str tail, struct wr_ltx_file *ret)
{
    struct wr_str lead = lead_of(hex), dir, name;
    uint64_t min, max;

    if (!wr_str_starts(tail, lead))
        return false;
    if (!wr_str_cut(wr_str_skip(tail, lead.n), '/', &dir, &name))
        return false;
    if (dir.n != 1 || dir.p[0] < '0' || dir.p[0] > '9')
        return false;
    if (!wr_ltx_name_parse(name, &min, &max))
        return false;
    ret->level = (unsigned)(dir.p[0] - '0');
    ret->min = min;
    ret->max = max;
    return true;
}

bool wr_layout_ltx_parse(const struct wr_storage *s, struct wr_str key, struct wr_ltx_file *ret)
{
    struct wr_str prefix = wr_storage_prefix(s);

    return wr_str_starts(key, prefix) && parse_tail(is_hex(s), wr_str_skip(key, prefix.n), ret);
}

bool wr_layout_ltx_owner(const struct wr_storage *s, struct wr_str key, struct wr_str *ret)
{
    bool hex = is_hex(s);
    size_t n = strlen(hex ? "0000/" : "ltx/0/") + WR_LAYOUT_NAME_MAX - 1;
    struct wr_ltx_file f;

    if (key.n < n || (key.n > n && key.p[key.n - n - 1] != '/') ||
        !parse_tail(hex, wr_str_skip(key, key.n - n), &f))
        return false;
    *ret = (struct wr_str){key.p, key.n - n};
    return true;
}

/* A listing of one level, or of all, which are neighbours in a bucket. */
struct lister {
    struct wr_storage *storage;
    struct wr_call *call;
    struct wr_ltx_files *out;
    const uint64_t *min_from; /* of each level */
    int64_t patience_ms;      /* for the next key; WR_NEVER: any time */
    size_t keys;              /* seen */
    unsigned first, last;     /* levels */
    size_t lead_n;            /* bytes of what all levels begin with */
    size_t vain;              /* keys seen that are not wanted, since it last leapt */
    bool leap, leapt;         /* there may be many more: go on behind them, in level `first` */
    enum wr_status st;
    struct wr_err *e;
};

/* Names that are none of ours count, too: they come for as long as a server likes. */
static bool go_on(struct lister *l)
{
    if (l->patience_ms != WR_NEVER)
        l->call->deadline_ms = wr_mono_ms(l->call->clock) + l->patience_ms;
    if (l->keys++ < WR_LTX_FILES_MAX)
        return true;
    l->st = wr_fail(l->e, WR_LIMIT, "levels %u to %u: more than %zu objects", l->first, l->last,
        WR_LTX_FILES_MAX);
    return false;
}

/* Where there are many keys that are not wanted, go on with that level. */
static bool leap(struct lister *l, unsigned level)
{
    if (++l->vain <= LEAP_MIN || (l->leapt && level == l->first))
        return true;
    l->leap = l->leapt = true;
    l->first = level;
    return false;
}

/* A key that is no file's. What lies between two levels is somebody else's whose name begins like
 * ours, and may be large; so may what is behind the last. */
static bool pass_by(struct lister *l, struct wr_str key)
{
    struct wr_str tail = wr_str_skip(key, l->lead_n);
    char dir[] = "0/";

    for (unsigned level = l->first; level <= l->last; level++) {
        dir[0] = (char)('0' + level);
        if (wr_str_starts(tail, wr_str(dir)))
            return true;
        if (wr_str_cmp(tail, wr_str(dir)) < 0)
            return leap(l, level);
    }
    return false;
}

static bool list_one(void *arg, const struct wr_object *obj)
{
    struct lister *l = arg;
    struct wr_ltx_file f = {.size = obj->size,
        .time_ms = obj->time_ms,
        .stored_ms = obj->stored_ms,
        .tag = wr_crc64(0, obj->version.p, obj->version.n),
        .in_parts = obj->in_parts};

    if (!go_on(l))
        return false;
    if (!wr_layout_ltx_parse(l->storage, obj->key, &f) || f.level < l->first || f.level > l->last)
        return pass_by(l, obj->key);
    if (f.min < l->min_from[f.level])
        return leap(l, f.level);
    l->st = wr_ltx_files_add(l->out, &f, l->e);
    return l->st == WR_OK;
}

/* What a listing of them starts with, and behind which key. */
static enum wr_status where(
    struct lister *l, struct wr_str *ret_prefix, struct wr_str *ret_after, struct wr_err *e)
{
    struct wr_arena *a = l->call->scratch;
    struct wr_str dir = wr_layout_ltx_dir(a, l->storage, l->first);
    uint64_t min_from = l->min_from[l->first];

    *ret_prefix = dir;
    *ret_after = l->leapt ? dir : (struct wr_str){0};
    l->lead_n = dir.n - (dir.p ? strlen("0/") : 0);
    if (dir.p && l->first < l->last)
        ret_prefix->n = l->lead_n;
    /* The greatest name whose minimum is one less; names sort as the numbers do. */
    if (dir.p && min_from > 1)
        *ret_after = wr_arena_fmt(a, WR_FMT "%016llx-ffffffffffffffff.ltx", WR_ARG(dir),
            (unsigned long long)(min_from - 1));
    if (!dir.p || (min_from > 1 && !ret_after->p))
        return wr_fail(e, WR_NOMEM, "list of level %u: out of memory", l->first);
    return WR_OK;
}

static enum wr_status run(struct lister *l)
{
    struct wr_call *c = l->call;

    l->st = WR_OK;
    l->patience_ms = c->deadline_ms == WR_NEVER ? WR_NEVER : wr_call_left_ms(c, INT64_MAX);
    do {
        struct wr_str prefix, after;
        enum wr_status st = where(l, &prefix, &after, l->e);

        l->leap = false;
        l->vain = 0;
        if (st == WR_OK)
            st = wr_storage_list(l->storage, c, prefix, after, list_one, l, l->e);
        if (l->st == WR_OK && st != WR_NOTFOUND) /* nobody has written there: it is empty */
            l->st = st;
    } while (l->st == WR_OK && l->leap);
    return l->st;
}

enum wr_status wr_layout_list(struct wr_storage *s, struct wr_call *c, unsigned level,
    uint64_t min_from, struct wr_ltx_files *out, struct wr_err *e)
{
    uint64_t from[WR_LEVEL_MAX + 1] = {0};
    struct lister l = {.storage = s,
        .call = c,
        .out = out,
        .min_from = from,
        .first = level,
        .last = level,
        .e = e};

    assert(level <= WR_LEVEL_MAX);
    from[level] = min_from;
    return run(&l);
}

enum wr_status wr_layout_list_since(struct wr_storage *s, struct wr_call *c,
    const uint64_t min_from[WR_LEVEL_MAX + 1], struct wr_ltx_files *out, struct wr_err *e)
{
    struct lister l = {
        .storage = s, .call = c, .out = out, .min_from = min_from, .last = WR_LEVEL_MAX, .e = e};

    return run(&l);
}

enum wr_status wr_layout_list_all(
    struct wr_storage *s, struct wr_call *c, struct wr_ltx_files *out, struct wr_err *e)
{
    static const uint64_t all[WR_LEVEL_MAX + 1] = {0};

    return wr_layout_list_since(s, c, all, out, e);
}

enum wr_status wr_layout_find(struct wr_storage *s, struct wr_call *c, unsigned level, uint64_t min,
    uint64_t max, struct wr_ltx_file *ret, struct wr_err *e)
{
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, level, min, max);
    struct wr_object is = {0};
    enum wr_status st;

    if (!key.p)
        return wr_fail(e, WR_NOMEM, "name of an ltx file: out of memory");
    st = wr_storage_stat(s, c, key, &is, e);
    if (st == WR_OK)
        *ret = (struct wr_ltx_file){
            .min = min, .max = max, .size = is.size, .time_ms = is.time_ms, .level = level};
    return st;
}

struct stats {
    struct wr_storage *storage;
    struct wr_ltx_file *files; /* each worker writes only the one it was handed */
    const size_t *which;       /* NULL: all of them */
};

static enum wr_status stat_one(void *arg, unsigned w, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct stats *x = arg;
    struct wr_ltx_file *f = &x->files[x->which ? x->which[i] : i];
    struct wr_str key = wr_layout_ltx_key(c->scratch, x->storage, f->level, f->min, f->max);
    struct wr_object obj = {0};
    enum wr_status st;

    (void)w; /* no state of its own */
    if (!key.p)
        return wr_fail(e, WR_NOMEM, "time of an ltx file: out of memory");
    st = wr_storage_stat(x->storage, c, key, &obj, e);
    if (st == WR_NOTFOUND)
        return WR_OK;
    if (st != WR_OK)
        return wr_wrap(e, st, "time of " WR_FMT, WR_ARG(key));
    f->time_ms = obj.time_ms;
    return WR_OK;
}

enum wr_status wr_layout_times(struct wr_storage *s, struct wr_call *c, struct wr_ltx_file *files,
    const size_t *which, size_t n, unsigned threads, struct wr_err *e)
{
    struct stats x = {.storage = s, .files = files, .which = which};

    if (wr_storage_caps(s) & WR_STORAGE_LIST_TIME)
        return WR_OK;
    return wr_crew_run(c, threads, n, "times of ltx files", stat_one, &x, e);
}
