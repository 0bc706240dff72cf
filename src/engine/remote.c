/*
 * remote.c - see remote.h. Asks the replica; refuses to decide what follows from the answer.
 */
#include "engine/remote.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "engine/layout.h"
#include "engine/whole.h"
#include "ltx/ltx.h"
#include "storage/storage.h"

#define DAMAGED_MAX 8u /* newest files that are done without */

/* The first TXID that a file which leads on from `since` may begin with. One of a higher level may
 * begin long before that, and be all that does: those of level 0 within it may be deleted. But it
 * came later, and begins behind where the level ended then. Snapshots all begin at TXID 1. */
static uint64_t level_since(const struct wr_remote_seen *seen, unsigned level)
{
    if (level == WR_LEVEL_SNAPSHOT)
        return 0;
    return level == 0 ? seen->since : wr_min(seen->since, seen->ends[level] + 1);
}

/* All files from there on, by wr_ltx_file_cmp. */
static enum wr_status list_since(struct wr_storage *s, struct wr_call *c,
    const struct wr_remote_seen *seen, struct wr_ltx_files *ret, struct wr_err *e)
{
    uint64_t from[WR_LEVEL_MAX + 1];

    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++)
        from[level] = level_since(seen, level);
    wr_ltx_files_release(ret);
    return wr_layout_list_since(s, c, from, ret, e);
}

/* The one that reaches furthest; of several that of the lowest level, which we wrote. NULL: none.
 */
static const struct wr_ltx_file *furthest(const struct wr_ltx_files *files)
{
    const struct wr_ltx_file *best = NULL;

    for (size_t i = 0; i < files->n; i++) {
        if (!best || files->p[i].max > best->max)
            best = &files->p[i];
    }
    return best;
}

/* Which snapshots there are; in any order. */
static uint64_t sum_of(const struct wr_ltx_file *f)
{
    uint64_t x = f->level == WR_LEVEL_SNAPSHOT ? f->max * UINT64_C(0x9e3779b97f4a7c15) + f->min : 0;

    return x ^ x >> 29;
}

static uint64_t sum_snapshots(const struct wr_ltx_files *files)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < files->n; i++)
        sum += sum_of(&files->p[i]);
    return sum;
}

enum wr_status wr_remote_there(struct wr_storage *s, struct wr_call *c, const struct wr_ltx_file *f,
    bool *ret, struct wr_err *e)
{
    struct wr_ltx_file is;
    enum wr_status st = wr_layout_find(s, c, f->level, f->min, f->max, &is, e);

    *ret = st == WR_OK && (f->size == 0 || f->size == is.size);
    return wr_status_passing(st) ? st : WR_OK;
}

/* Whether what was the beginning still is. Of level 9 all was listed. */
static enum wr_status still_begins(struct wr_storage *s, struct wr_call *c,
    const struct wr_remote_seen *seen, const struct wr_ltx_files *files, bool *ret,
    struct wr_err *e)
{
    const struct wr_ltx_file *base = &seen->base, *next = &seen->next;
    enum wr_status st = WR_OK;

    *ret = sum_snapshots(files) == seen->snapshots;
    if (*ret && base->max > 0 && base->level != WR_LEVEL_SNAPSHOT)
        st = wr_remote_there(s, c, base, ret, e);
    if (st == WR_OK && *ret && next->max > 0 && next->min <= seen->since)
        st = wr_remote_there(s, c, next, ret, e);
    return st;
}

/* What leads to `since` is taken for one file, as nothing of it was listed. */
static enum wr_status add_past(struct wr_ltx_files *files, uint64_t since, struct wr_err *e)
{
    struct wr_ltx_file past = {.min = 1, .max = since, .level = WR_LEVEL_SNAPSHOT - 1};
    enum wr_status st = wr_ltx_files_add(files, &past, e);

    if (st == WR_OK)
        wr_ltx_files_sort(files);
    return st;
}

/* The header of the newest file. One bad answer is no damage. */
static enum wr_status read_newest(struct wr_storage *s, struct wr_call *c, struct wr_heads *heads,
    const struct wr_ltx_files *files, struct wr_ltx_header *ret, bool *ret_damaged,
    struct wr_err *e)
{
    const struct wr_ltx_file *f = furthest(files);
    struct wr_err why = {0};
    enum wr_status st;

    *ret_damaged = false;
    if (f->max >= WR_TXID_SANE) {
        return wr_fail(e, WR_CORRUPT,
            "an object of level %u claims txid %016llx: it is not of this replica, remove it",
            f->level, (unsigned long long)f->max);
    }
    st = wr_heads_read(heads, s, c, f, ret, ret_damaged, &why);
    if (*ret_damaged)
        st = wr_heads_read(heads, s, c, f, ret, ret_damaged, &why);
    if (st == WR_OK)
        return st;
    return wr_fail(e, st, "newest file %s%s", why.text,
        !*ret_damaged   ? ""
        : files->n == 1 ? ": remove it, as there is no other"
                        : ": remove it, to go on from the file before it");
}

/* The header of the newest file, or past damage of the newest that has one, if the damaged ones go
 * on from it: one far above has the wrong name, rather. They are left out of `files`; *ret_damaged
 * is the TXID that they reach, or 0. */
static enum wr_status find_newest(struct wr_storage *s, struct wr_call *c,
    struct wr_ltx_files *files, const struct wr_remote_seen *seen, struct wr_ltx_header *ret,
    uint64_t *ret_damaged, struct wr_err *e)
{
    uint64_t newest = furthest(files)->max, begin = UINT64_MAX;
    struct wr_ltx_files aside = {0};
    unsigned most = seen->past_damaged ? DAMAGED_MAX : 0;
    bool damaged;
    enum wr_status st = read_newest(s, c, seen->heads, files, ret, &damaged, e);

    for (unsigned i = 0; i < most && damaged && files->n > 1; i++) {
        aside.n = 0;
        begin = wr_min(begin, furthest(files)->min);
        st = wr_ltx_files_add(&aside, furthest(files), e);
        if (st != WR_OK)
            break;
        wr_ltx_files_drop(files, &aside);
        if (furthest(files)->max + 1 < begin) {
            st = WR_CORRUPT; /* as *e says */
            break;
        }
        st = read_newest(s, c, seen->heads, files, ret, &damaged, e);
    }
    wr_ltx_files_release(&aside);
    *ret_damaged = st == WR_OK && ret->max_txid < newest ? newest : 0;
    return st;
}

/* List from seen->since on, or all where that is not enough: then it is 0. */
static enum wr_status list_enough(struct wr_storage *s, struct wr_call *c,
    struct wr_remote_seen *seen, struct wr_ltx_files *ret, struct wr_err *e)
{
    enum wr_status st = list_since(s, c, seen, ret, e);
    bool enough = st == WR_OK && ret->n > 0 && furthest(ret)->max >= seen->since;

    if (st != WR_OK || seen->since == 0)
        return st;
    if (enough)
        st = still_begins(s, c, seen, ret, &enough, e);
    if (st != WR_OK || enough)
        return st;
    seen->since = 0;
    return list_since(s, c, seen, ret, e);
}

static struct wr_remote_pos pos_of(const struct wr_ltx_header *h)
{
    return (struct wr_remote_pos){.txid = h->max_txid,
        .has_rolling = h->has_rolling,
        .rolling = h->rolling_post,
        .from = h->min_txid,
        .rolling_pre = h->rolling_pre,
        .node_id = h->node_id,
        .page_size = h->page_size,
        .commit = h->commit,
        .time_ms = h->time_ms};
}

/* How far each level reaches, of all or of those that came. */
static void note_newest(const struct wr_ltx_files *files, struct wr_remote_seen *seen)
{
    if (seen->since == 0)
        memset(seen->newest, 0, sizeof(seen->newest));
    for (size_t i = 0; i < files->n; i++) {
        uint64_t *n = &seen->newest[files->p[i].level];

        *n = wr_max(*n, files->p[i].max);
    }
}

/* Of files that were listed; there is one. */
static enum wr_status find_among(struct wr_storage *s, struct wr_call *c,
    struct wr_ltx_files *files, struct wr_remote_seen *seen, struct wr_remote_pos *ret,
    struct wr_err *e)
{
    struct wr_whole w = {.files = files, .heads = seen->heads, .all = seen->since == 0};
    uint64_t damaged;
    struct wr_ltx_header h;
    enum wr_status st = find_newest(s, c, files, seen, &h, &damaged, e);
    struct wr_ltx_file best = *furthest(files);

    if (st == WR_OK && seen->since > 0)
        st = add_past(files, seen->since, e);
    if (st != WR_OK)
        return st;
    w.best = furthest(files);
    w.best_fact = wr_fact_of(&h);
    st = wr_whole_judge(s, c, &w, e);
    if (st != WR_OK)
        return st;
    *ret = pos_of(&h);
    ret->level = best.level;
    ret->size = best.size;
    ret->alone = w.all && files->n == 1 && damaged == 0;
    ret->whole = w.whole && damaged == 0;
    ret->damaged = damaged;
    ret->mixed = w.mixed;
    if (w.all) {
        seen->base = w.base;
        seen->next = w.next;
    }
    return WR_OK;
}

enum wr_status wr_remote_find(struct wr_storage *s, struct wr_call *c, struct wr_remote_seen *seen,
    struct wr_tally *tally, struct wr_remote_pos *ret, struct wr_err *e)
{
    struct wr_remote_seen now = *seen;
    struct wr_remote_pos pos = {0};
    struct wr_ltx_files files = {0};
    enum wr_status st = list_enough(s, c, &now, &files, e);

    if (st == WR_OK && now.since == 0 && tally)
        st = wr_tally(files.p, files.n, tally, e);
    if (st == WR_OK) {
        now.snapshots = sum_snapshots(&files);
        note_newest(&files, &now);
        if (files.n > 0)
            st = find_among(s, c, &files, &now, &pos, e);
        else
            now.base = now.next = (struct wr_ltx_file){0};
    }
    if (st == WR_OK) {
        *ret = pos;
        now.since = seen->since;
        *seen = now;
    }
    wr_ltx_files_release(&files);
    return st;
}

void wr_remote_sent(struct wr_remote_seen *seen, const struct wr_ltx_file *f)
{
    seen->snapshots += sum_of(f);
    if (f->level == WR_LEVEL_SNAPSHOT) {
        seen->base = *f;
        seen->next = (struct wr_ltx_file){0};
    } else if (seen->next.max == 0 && seen->base.max > 0) {
        seen->next = *f;
    }
}

enum wr_status wr_remote_same(struct wr_storage *s, struct wr_call *c, unsigned level, uint64_t min,
    uint64_t max, uint64_t size, uint64_t checksum, bool *ret_same, struct wr_err *e)
{
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, level, min, max);
    uint8_t tail[WR_LTX_TRAILER_SIZE + 1];
    struct wr_ltx_trailer t;
    size_t got = 0;
    enum wr_status st;

    *ret_same = false;
    if (!key.p)
        return wr_fail(e, WR_NOMEM, "compare an object");
    if (size < WR_LTX_TRAILER_SIZE)
        return WR_OK;
    /* One byte more than the trailer: an object that is longer shows. */
    st = wr_storage_get(s, c, key, size - WR_LTX_TRAILER_SIZE, tail, sizeof(tail), &got, e);
    if (st != WR_OK)
        return st;
    *ret_same = got == WR_LTX_TRAILER_SIZE && wr_ltx_trailer_get(tail, &t, NULL) == WR_OK &&
                (checksum == 0 || t.file_checksum == checksum);
    return WR_OK;
}
