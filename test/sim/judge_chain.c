/*
 * judge_chain.c - which image each TXID has, and whether all files agree on it.
 *
 * The files are kept by their last TXID, of those with the same the one with the shortest range
 * first. Read in this order each TXID that can be made is come by once, for whatever begins at most
 * one past the newest TXID made so far can be applied, and nothing later makes an older one. The
 * database at the newest TXID, the head, is kept as a hash a page. So a file that ends behind the
 * head is applied to it, and one that ends at the head must change nothing. One that ends before
 * it, and makes a TXID that nobody made, has all be read again from the beginning.
 */
#include "sim/judge_int.h"

#include "base/mem.h"

bool judge_bad_file(char why[JUDGE_TEXT], const struct judge_known *k, const char *what)
{
    (void)snprintf(why, JUDGE_TEXT, "level %u, %llu to %llu: %s", k->level,
        (unsigned long long)k->f.min, (unsigned long long)k->f.max, what);
    return false;
}

void *judge_room(void *p, size_t *cap, size_t n, size_t size)
{
    size_t more = *cap ? *cap : 16;

    if (n <= *cap)
        return p;
    while (more < n)
        more *= 2;
    p = wr_resize(p, more, size);
    if (!p)
        abort();
    memset((char *)p + *cap * size, 0, (more - *cap) * size);
    *cap = more;
    return p;
}

size_t judge_first_ending(const struct judge *j, uint64_t max)
{
    size_t lo = 0, hi = j->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (j->files[mid]->f.max < max)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* ---- images ---- */

/* Where the image of `txid` is, or would be. */
static size_t image_at(const struct judge *j, uint64_t txid)
{
    size_t lo = 0, hi = j->n_images;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (j->images[mid].txid < txid)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool same_image(const struct judge_image *a, const struct judge_image *b)
{
    return a->hash == b->hash && a->commit == b->commit && a->page_size == b->page_size;
}

static bool keep_image(struct judge *j, const struct judge_image *image)
{
    size_t i = image_at(j, image->txid);

    if (i < j->n_images && j->images[i].txid == image->txid)
        return same_image(&j->images[i], image);
    j->images = judge_room(j->images, &j->images_cap, j->n_images + 1, sizeof(*j->images));
    memmove(&j->images[i + 1], &j->images[i], (j->n_images - i) * sizeof(*j->images));
    j->images[i] = *image;
    j->n_images++;
    return true;
}

bool judge_find(const struct judge *j, uint64_t txid, struct judge_image *ret)
{
    size_t i = image_at(j, txid);

    if (i == j->n_images || j->images[i].txid != txid)
        return false;
    *ret = j->images[i];
    return true;
}

/* ---- the head ---- */

static void set_cell(struct judge *j, uint32_t pgno, struct judge_cell is)
{
    struct judge_cell *c = &j->cells[pgno - 1];

    j->head.hash ^= c->hash ^ is.hash;
    j->head_sum ^= c->sum ^ is.sum;
    *c = is;
}

/* The database is `commit` pages long from now on; pages beyond are no more. */
static void cut_head(struct judge *j, uint32_t commit)
{
    for (uint32_t p = commit + 1; p <= j->head.commit; p++)
        set_cell(j, p, (struct judge_cell){0});
    j->head.commit = commit;
    j->cells = judge_room(j->cells, &j->cells_cap, commit, sizeof(*j->cells));
}

/* Pages `from` to `to` are there. */
static bool head_is_whole(const struct judge *j, uint32_t from, uint32_t to)
{
    const uint32_t lock = judge_lock_page(j->head.page_size, j->lock_offset);

    for (uint32_t p = from; p <= to; p++) {
        if (j->cells[p - 1].hash == 0 && p != lock)
            return false;
    }
    return true;
}

/* The head becomes what it is after `k`, which can be applied to it. */
static bool apply(struct judge *j, const struct judge_known *k, char why[JUDGE_TEXT])
{
    const struct judge_file *f = &k->f;
    static const char grows[] = "the database grows by pages that are not there";
    const bool knows = f->min == 1 || (f->min == j->head.txid + 1 && j->head_rolling);
    uint32_t was;

    if (f->min == 1) {
        cut_head(j, 0);
        j->head.page_size = f->page_size;
    }
    if (f->page_size != j->head.page_size)
        return judge_bad_file(why, k, "another page size than the files before");
    if (f->has_rolling && knows && f->pre != (j->head_sum | JUDGE_SUM_TOP))
        return judge_bad_file(
            why, k, "not made for the database before it, says its rolling checksum");
    was = j->head.commit;
    if (f->commit > was && f->commit - was > f->n + 1) /* one more for the lock page */
        return judge_bad_file(why, k, grows);
    cut_head(j, f->commit);
    for (size_t i = 0; i < f->n; i++)
        set_cell(j, f->pages[i].pgno, (struct judge_cell){f->pages[i].hash, f->pages[i].sum});
    if (!head_is_whole(j, was + 1, f->commit))
        return judge_bad_file(why, k, grows);
    if (f->has_rolling && f->post != (j->head_sum | JUDGE_SUM_TOP))
        return judge_bad_file(why, k, "its pages do not add up to its rolling checksum");
    j->head.txid = f->max;
    j->head.sum = j->head_sum | JUDGE_SUM_TOP;
    j->head_rolling = f->has_rolling;
    return keep_image(j, &j->head) || judge_bad_file(why, k, "its TXID had another image once");
}

/* `k` ends where the head is: it changes nothing. */
static bool agrees(const struct judge *j, const struct judge_known *k, char why[JUDGE_TEXT])
{
    const struct judge_file *f = &k->f;
    bool same = f->page_size == j->head.page_size && f->commit == j->head.commit;

    for (size_t i = 0; same && i < f->n; i++)
        same = j->cells[f->pages[i].pgno - 1].hash == f->pages[i].hash;
    if (!same)
        return judge_bad_file(why, k, "not what other files make of its TXID");
    if (f->has_rolling && f->post != (j->head_sum | JUDGE_SUM_TOP))
        return judge_bad_file(why, k, "its rolling checksum is that of another database");
    return true;
}

/* Whether it was late, and its successor had left its TXIDs to one other: whoever goes on to that
 * one's end takes that. */
static bool is_within(const struct judge *j, const struct judge_known *k)
{
    for (size_t i = judge_first_ending(j, k->f.max); k->stray && i < j->n; i++) {
        const struct judge_known *over = j->files[i];

        if (over->level == 0 && over->f.min <= k->f.min && over->f.max > k->f.max)
            return true;
    }
    return false;
}

/* Take in the files from the `i`-th on. */
static bool advance(struct judge *j, size_t i, char why[JUDGE_TEXT])
{
    bool ok = true;

    for (; ok && i < j->n; i++) {
        const struct judge_file *f = &j->files[i]->f;

        if (j->files[i]->apart)
            continue;
        if (f->max == j->head.txid)
            ok = agrees(j, j->files[i], why);
        else if (f->max > j->head.txid && f->min <= j->head.txid + 1)
            ok = apply(j, j->files[i], why);
    }
    return ok;
}

static bool from_the_beginning(struct judge *j, char why[JUDGE_TEXT])
{
    cut_head(j, 0);
    j->head = (struct judge_image){0};
    return advance(j, 0, why);
}

/* A file that ends before the head. */
static bool take_late(struct judge *j, struct judge_known *k, char why[JUDGE_TEXT])
{
    const struct judge_file *f = &k->f;
    struct judge_image known, own = {.page_size = f->page_size, .commit = f->commit};

    if (!judge_find(j, f->max, &known)) {
        if (from_the_beginning(j, why))
            return true;
        k->apart = is_within(j, k); /* of a past that a power cut took back */
        return k->apart && from_the_beginning(j, why);
    }
    if (f->min != 1)
        return true; /* what it can be held against are the files that it covers */
    for (size_t i = 0; i < f->n; i++)
        own.hash ^= f->pages[i].hash;
    return same_image(&own, &known) ||
           judge_bad_file(why, k, "not what other files make of its TXID");
}

/* ---- merged files ---- */

static bool covers(const struct judge_known *merged, const struct judge_known *k)
{
    return k->level < merged->level && k->f.min >= merged->f.min && k->f.max <= merged->f.max;
}

/* The newest version of each page in the files that `merged` covers, with or without those of the
 * dead that lie within another one: hashes by page number, 0 for none, from element 0 for page 1.
 * False when they leave a gap. */
static bool newest(
    const struct judge *j, const struct judge_known *merged, bool strays, uint64_t *hashes)
{
    uint64_t at = merged->f.min - 1;

    for (size_t i = judge_first_ending(j, merged->f.min);
         i < j->n && j->files[i]->f.max <= merged->f.max; i++) {
        const struct judge_file *f = &j->files[i]->f;

        if (!covers(merged, j->files[i]) || f->min > at + 1 || f->max <= at ||
            (!strays && is_within(j, j->files[i])))
            continue;
        for (size_t p = 0; p < f->n && f->pages[p].pgno <= merged->f.commit; p++)
            hashes[f->pages[p].pgno - 1] = f->pages[p].hash;
        at = f->max;
    }
    return at == merged->f.max;
}

static bool is_merged(const struct judge *j, const struct judge_known *k, bool strays)
{
    const struct judge_file *f = &k->f;
    uint64_t *want = wr_array(f->commit, sizeof(*want));
    bool same = true;
    size_t i = 0;

    if (!want)
        abort();
    if (newest(j, k, strays, want)) {
        for (uint32_t p = 1; same && p <= f->commit; p++) {
            bool has = i < f->n && f->pages[i].pgno == p;

            same = want[p - 1] == (has ? f->pages[i].hash : 0);
            i += has;
        }
    }
    wr_free(want);
    return same;
}

/* What is there twice is the same; but a file may hold a page that it does not change. */
static bool check_merged(const struct judge *j, const struct judge_known *k, char why[JUDGE_TEXT])
{
    if (k->level == 0 || k->f.min == 1)
        return true; /* as captured; or complete, and so compared as an image */
    return is_merged(j, k, true) || is_merged(j, k, false) ||
           judge_bad_file(why, k, "not the newest pages of the files it was merged from");
}

/* All merged files for which the `i`-th matters, be it one itself. */
static bool check_merges(const struct judge *j, size_t i, char why[JUDGE_TEXT])
{
    const struct judge_known *k = j->files[i];
    bool ok = check_merged(j, k, why);

    for (size_t m = judge_first_ending(j, k->f.max); ok && m < j->n; m++) {
        if (covers(j->files[m], k))
            ok = check_merged(j, j->files[m], why);
    }
    return ok;
}

/* A successor has left TXIDs to what a dead process had under way, which has come first: whoever
 * goes on to the end of `k` takes that, and none of those. */
static bool leave_what_lies_within(struct judge *j, const struct judge_known *k)
{
    bool any = false;

    for (size_t i = judge_first_ending(j, k->f.min); i < j->n && j->files[i]->f.max < k->f.max;
         i++) {
        struct judge_known *m = j->files[i];

        if (!m->stray || m->apart || m->level != 0 || m->f.min < k->f.min)
            continue;
        m->apart = any = true;
    }
    return any;
}

bool judge_take_in(struct judge *j, size_t i, char why[JUDGE_TEXT])
{
    struct judge_known *k = j->files[i];
    bool ok = k->f.max < j->head.txid ? take_late(j, k, why) : advance(j, i, why);

    if (!ok && k->level == 0 && leave_what_lies_within(j, k))
        ok = from_the_beginning(j, why);
    return ok && check_merges(j, i, why);
}
