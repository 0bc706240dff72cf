/*
 * judge.c - the files of a replica: they appear, are written again, are removed; judge_chain.c says
 * whether they agree.
 */
#include "sim/judge_int.h"

#include "base/mem.h"

#define NAME_SIZE 37 /* <16 hex digits>-<16 hex digits>.ltx */

struct judge *judge_new(uint32_t lock_offset)
{
    struct judge *j = wr_alloc(sizeof(*j));

    if (!j)
        abort();
    j->lock_offset = lock_offset;
    return j;
}

static void known_free(struct judge_known *k)
{
    judge_file_release(&k->f);
    wr_free(k);
}

void judge_free(struct judge *j)
{
    if (!j)
        return;
    for (size_t i = 0; i < j->n; i++)
        known_free(j->files[i]);
    wr_free(j->files);
    wr_free(j->images);
    wr_free(j->cells);
    wr_free(j);
}

/* ---- files come and go ---- */

bool judge_hex16(const char *z, uint64_t *ret)
{
    uint64_t v = 0;

    for (int i = 0; i < 16; i++) {
        if (z[i] >= '0' && z[i] <= '9')
            v = v << 4 | (uint64_t)(z[i] - '0');
        else if (z[i] >= 'a' && z[i] <= 'f')
            v = v << 4 | (uint64_t)(z[i] - 'a' + 10);
        else
            return false;
    }
    *ret = v;
    return true;
}

bool judge_key(const char *key, unsigned *ret_level, uint64_t *ret_min, uint64_t *ret_max)
{
    const size_t tail = strlen("ltx/0/") + NAME_SIZE;
    size_t n = strlen(key);
    const char *z;

    if (n < tail || (n > tail && key[n - tail - 1] != '/'))
        return false;
    z = key + n - tail;
    if (memcmp(z, "ltx/", 4) != 0 || z[4] < '0' || z[4] > '9' || z[5] != '/' || z[22] != '-' ||
        strcmp(z + 39, ".ltx") != 0)
        return false;
    *ret_level = (unsigned)(z[4] - '0');
    return judge_hex16(z + 6, ret_min) && judge_hex16(z + 23, ret_max);
}

static bool before(const struct judge_known *a, const struct judge_known *b)
{
    if (a->f.max != b->f.max)
        return a->f.max < b->f.max;
    if (a->f.min != b->f.min)
        return a->f.min > b->f.min;
    return a->level < b->level;
}

/* Where `k` is, or would be. */
static size_t place_of(const struct judge *j, const struct judge_known *k)
{
    size_t i = judge_first_ending(j, k->f.max);

    while (i < j->n && before(j->files[i], k))
        i++;
    return i;
}

static void insert(struct judge *j, size_t i, struct judge_known *k)
{
    j->files = judge_room(j->files, &j->cap, j->n + 1, sizeof(*j->files));
    memmove(&j->files[i + 1], &j->files[i], (j->n - i) * sizeof(*j->files));
    j->files[i] = k;
    j->n++;
}

static bool same_pages(const struct judge_file *a, const struct judge_file *b)
{
    bool same = a->page_size == b->page_size && a->commit == b->commit && a->n == b->n;

    for (size_t i = 0; same && i < a->n; i++)
        same = a->pages[i].pgno == b->pages[i].pgno && a->pages[i].hash == b->pages[i].hash;
    return same;
}

/* What its place says about a file. */
static bool check_place(
    const struct judge_known *k, uint64_t min, uint64_t max, char why[JUDGE_TEXT])
{
    if (k->f.min != min || k->f.max != max)
        return judge_bad_file(why, k, "its name says something else");
    if (k->level == JUDGE_SNAPSHOTS && min != 1)
        return judge_bad_file(why, k, "not a snapshot");
    if (k->level > 0 && k->level < JUDGE_SNAPSHOTS && k->f.has_wal)
        return judge_bad_file(why, k, "merged, and yet with WAL fields or a node");
    return true;
}

bool judge_put(struct judge *j, const char *key, const uint8_t *p, size_t n, char why[JUDGE_TEXT])
{
    struct judge_known *k;
    uint64_t min, max;
    unsigned level;
    size_t i;

    if (!judge_key(key, &level, &min, &max))
        return true;
    k = wr_alloc(sizeof(*k));
    if (!k)
        abort();
    k->level = level;
    k->stray = j->dead;
    if (!judge_decode(p, n, j->lock_offset, &k->f, why) || !check_place(k, min, max, why)) {
        known_free(k);
        return false;
    }
    i = place_of(j, k);
    if (i < j->n && !before(k, j->files[i])) {
        bool same = same_pages(&k->f, &j->files[i]->f) ||
                    judge_bad_file(why, k, "written again with other contents");

        j->files[i]->gone = false;
        if (same) {
            j->files[i]->stray = j->dead;
            j->files[i]->f.time_ms = k->f.time_ms;
        }
        known_free(k);
        return same;
    }
    insert(j, i, k);
    return judge_take_in(j, i, why);
}

/* NULL: no such file was ever there. */
static struct judge_known *find_key(const struct judge *j, const char *key)
{
    struct judge_known k = {0};
    size_t i;

    if (!judge_key(key, &k.level, &k.f.min, &k.f.max))
        return NULL;
    i = place_of(j, &k);
    return i < j->n && !before(&k, j->files[i]) ? j->files[i] : NULL;
}

void judge_remove(struct judge *j, const char *key)
{
    struct judge_known *k = find_key(j, key);

    if (k)
        k->gone = true;
}

bool judge_is_stray(const struct judge *j, const char *key)
{
    const struct judge_known *k = find_key(j, key);

    return k && k->stray;
}

bool judge_is_beneath(const struct judge *j, uint64_t txid)
{
    bool stray = false, within = false;

    for (size_t i = 0; i < j->n; i++) {
        const struct judge_known *k = j->files[i];

        if (k->gone)
            continue;
        if (k->f.max == txid && !k->stray)
            return false;
        stray = stray || k->f.max == txid;
        within = within || (!k->stray && k->f.min <= txid && k->f.max > txid);
    }
    return stray && within;
}

void judge_dead(struct judge *j, bool is)
{
    j->dead = is;
}

/* ---- what is there now ---- */

void judge_each(const struct judge *j, judge_each_fn *fn, void *arg)
{
    struct judge_image image = {0};

    for (size_t i = 0; i < j->n; i++) {
        const struct judge_file *f = &j->files[i]->f;

        if (j->files[i]->gone || f->max <= image.txid || f->min > image.txid + 1 ||
            j->files[i]->apart)
            continue;
        if (!judge_find(j, f->max, &image))
            abort(); /* what some files make, all files made */
        if (!fn(arg, &image))
            return;
    }
}

bool judge_times(const struct judge *j, uint64_t txid, int64_t *ret_first, int64_t *ret_last)
{
    bool any = false;

    for (size_t i = judge_first_ending(j, txid); i < j->n && j->files[i]->f.max == txid; i++) {
        const int64_t is = j->files[i]->f.time_ms;

        if (j->files[i]->gone)
            continue;
        *ret_first = any ? wr_min(*ret_first, is) : is;
        *ret_last = any ? wr_max(*ret_last, is) : is;
        any = true;
    }
    return any;
}

uint64_t judge_before(const struct judge *j, int64_t time_ms)
{
    uint64_t at = 0;

    for (size_t i = 0; i < j->n; i++) {
        const struct judge_known *k = j->files[i];

        if (!k->gone && !k->apart && k->f.time_ms < time_ms && k->f.min <= at + 1)
            at = k->f.max;
    }
    return at;
}

/* The newest TXID that a snapshot there is ends with; 0: there is none. */
static uint64_t newest_snapshot(const struct judge *j)
{
    for (size_t i = j->n; i-- > 0;) {
        if (!j->files[i]->gone && !j->files[i]->apart && j->files[i]->f.min == 1)
            return j->files[i]->f.max;
    }
    return 0;
}

static bool check_gaps(const struct judge *j, char why[JUDGE_TEXT])
{
    const struct judge_known *stuck = NULL;
    uint64_t at = newest_snapshot(j);

    for (size_t i = judge_first_ending(j, at + 1); i < j->n; i++) {
        const struct judge_known *k = j->files[i];

        if (k->gone || k->apart)
            continue;
        if (k->f.min <= at + 1) {
            at = k->f.max;
            stuck = NULL; /* it spans the gap, as it ends later */
        } else if (!stuck) {
            stuck = k;
        }
    }
    return !stuck || judge_bad_file(why, stuck, "behind a gap");
}

bool judge_at_rest(const struct judge *j, bool old_lists, char why[JUDGE_TEXT])
{
    const struct judge_known *last[JUDGE_SNAPSHOTS] = {0};

    for (size_t i = 0; i < j->n; i++) {
        const struct judge_known *k = j->files[i], **before = &last[k->level % JUDGE_SNAPSHOTS];

        if (k->gone || k->stray || k->level == 0 || k->level == JUDGE_SNAPSHOTS)
            continue;
        if (*before && k->f.min <= (*before)->f.max && k->f.min != (*before)->f.min && !old_lists)
            return judge_bad_file(why, k, "overlaps the one before it");
        *before = k;
    }
    return check_gaps(j, why);
}
