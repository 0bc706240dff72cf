/*
 * grace.c - see grace.h.
 */
#include "engine/grace.h"

#include "base/mem.h"
#include "storage/storage.h"

#define GRACE_MS ((int64_t)5 * 60 * 1000)
#define SECOND   1000 /* ms; some stores tell no less */

int64_t wr_grace_ms(const struct wr_retention *r)
{
    return r->grace_ms > 0 ? r->grace_ms : GRACE_MS;
}

/* When it came, or began to: the bound for one in parts is a day from now, and would make of now
 * whatever our clock says. */
static int64_t come_ms(const struct wr_ltx_file *f)
{
    return f->in_parts ? f->stored_ms - WR_STORAGE_UPLOAD_MS : f->stored_ms;
}

/* What was there by then came before this. INT64_MIN: nothing was, for all that is known. */
static int64_t find_cut(const struct wr_ltx_file *files, size_t n, const struct wr_retention *r)
{
    int64_t newest = 0, back = wr_grace_ms(r);

    for (size_t i = 0; i < n; i++)
        newest = wr_max(newest, come_ms(&files[i]));
    newest = wr_min(newest, r->now_ms);
    return newest > back ? newest - back : INT64_MIN;
}

static bool was_there(const struct wr_ltx_file *f, int64_t cut)
{
    return f->stored_ms > 0 && f->stored_ms < cut - SECOND;
}

enum wr_status wr_grace_over(const struct wr_ltx_file *files, size_t n,
    const struct wr_retention *r, bool *over, struct wr_err *e)
{
    int64_t cut = find_cut(files, n, r);
    struct wr_retention then = *r;
    struct wr_ltx_files was = {0};
    enum wr_kept *kept = NULL;
    enum wr_status st = WR_OK;

    memset(over, 0, n * sizeof(*over));
    for (size_t i = 0; cut > SECOND && i < n && st == WR_OK; i++) {
        if (was_there(&files[i], cut))
            st = wr_ltx_files_add(&was, &files[i], e);
    }
    if (st == WR_OK && was.n > 0 && !(kept = wr_array(was.n, sizeof(*kept))))
        st = wr_fail(e, WR_NOMEM, "retention of %zu files: out of memory", n);
    then.now_ms = cut;
    if (st == WR_OK && was.n > 0)
        st = wr_retain(was.p, was.n, &then, kept, e);
    for (size_t i = 0, k = 0; st == WR_OK && k < was.n; i++) {
        if (was_there(&files[i], cut))
            over[i] = kept[k++] == WR_KEPT_NOT;
    }
    wr_free(kept);
    wr_ltx_files_release(&was);
    return st;
}
