/*
 * verify_int.h - what the files of a verification share.
 */
#ifndef WR_ENGINE_VERIFY_INT_H
#define WR_ENGINE_VERIFY_INT_H

#include "engine/digest.h"
#include "engine/extent.h"
#include "engine/layout.h"
#include "engine/live.h"
#include "engine/sums.h"
#include "engine/verify.h"
#include "engine/walk.h"

enum wr_verify_state {
    WR_VERIFY_UNREAD,
    WR_VERIFY_GOOD,
    WR_VERIFY_BAD,
    WR_VERIFY_VANISHED, /* it was not there when it was to be read */
};

/* What is known of a file. */
struct wr_verify_mark {
    uint64_t rolling; /* if WR_VERIFY_GOOD: of the database that it makes ... */
    uint64_t base;    /* ... of the one at this TXID, where it was tried first */
    int64_t time_ms;  /* and when it was made, by its header */
    uint8_t state;
    bool recorded; /* its header says so, too */
};

struct wr_verify_run {
    struct wr_storage *storage;
    const struct wr_verify_opts *opts;
    struct wr_verify_result *r;
    struct wr_call call; /* with scratch of our own, reset at each point */
    struct wr_ltx_files files;
    struct wr_verify_mark *marks; /* one a file */
    struct wr_walk walk;
    struct wr_sums sums; /* the database at walk.cur */
    const struct wr_ltx_file **plan;
    struct wr_ahead ahead;
    struct wr_verify_progress progress;
    uint64_t *points; /* so far, ascending */
    size_t n_points, cap_points;
    struct wr_live *live;  /* what is compared at each point; NULL: nothing */
    struct wr_extent said; /* of what there must be; newest 0: nothing */
    bool said_badly;       /* it is damaged */
    bool signed_badly;     /* the sign is, so that it does not count */
    uint64_t cut;          /* the TXID that it says is there, and is not; 0: none */
    unsigned listings;
    unsigned backs;      /* databases that were made once more */
    bool stale;          /* a file has vanished */
    uint64_t set_back;   /* the last proven point that is older than one before it; 0: none */
    int64_t latest_ms;   /* of the proven points */
    struct wr_err first; /* of the findings */
    struct wr_err blind; /* why the database could not be compared; no code: it was, or need not */
};

static inline struct wr_verify_mark *wr_verify_mark_of(
    const struct wr_verify_run *v, const struct wr_ltx_file *f)
{
    return &v->marks[f - v->files.p];
}

/* Whether a file begins right behind that TXID, so that it must say so. */
static inline bool wr_verify_follows(const struct wr_ltx_file *f, uint64_t txid)
{
    return f->min > 1 && f->min - 1 == txid;
}

/* The object's key, until the scratch is reset. */
const char *wr_verify_key(struct wr_verify_run *v, const struct wr_ltx_file *f);

/* Tell, and count. */
void wr_verify_tell(struct wr_verify_run *v, const struct wr_finding *f);
/* A file is no good: tell, and do without it from now on. */
void wr_verify_tell_file(struct wr_verify_run *v, const struct wr_ltx_file *f, const char *text);
/* Two processes have written: tell, and keep the file, as others may go on from it. */
void wr_verify_tell_fork(struct wr_verify_run *v, const struct wr_ltx_file *f, const char *text);

/* List the replica, and be ready to walk on from where the walk is. As wr_layout_list_all; BUSY:
 * once too often. */
enum wr_status wr_verify_list(struct wr_verify_run *v, struct wr_err *e) WR_MUST_CHECK;

/* What is said, before anything is listed; and once more, after the listing by which something is
 * missing. As wr_storage_get; none, or a damaged one, is no failure. */
enum wr_status wr_verify_hear(struct wr_verify_run *v, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_verify_hear_again(struct wr_verify_run *v, struct wr_err *e) WR_MUST_CHECK;
/* What counts of it, behind a walk; NULL: nothing. */
const struct wr_extent *wr_verify_said(struct wr_verify_run *v);
/* Whether the replica, as it was listed, has less than was said. */
bool wr_verify_is_less(struct wr_verify_run *v);
/* If so, wait until any listing must show it. As wr_call_sleep. */
enum wr_status wr_verify_let_settle(struct wr_verify_run *v, struct wr_err *e) WR_MUST_CHECK;
/* Tell that, if it is so and no listing was late, and that what is said is damaged. As
 * wr_storage_get. */
enum wr_status wr_verify_tell_said(struct wr_verify_run *v, struct wr_err *e) WR_MUST_CHECK;

/* Go on to the last point there is. What is wrong with files is told on the way. */
enum wr_status wr_verify_walk(struct wr_verify_run *v, struct wr_err *e) WR_MUST_CHECK;

/* Put the database that `f`, which is `ch` and was good at its base, makes of that one in place of
 * v->sums. *ret_done is set if that was possible. It may be after another listing if v->stale is
 * set. As wr_storage_get, NOMEM; LIMIT: this was needed too often. */
enum wr_status wr_verify_go_back(struct wr_verify_run *v, const struct wr_ltx_file *f,
    const struct wr_change *ch, bool *ret_done, struct wr_err *e) WR_MUST_CHECK;

/* Whether a file does not continue the database at walk.cur, but that of another file which ends
 * there. */
bool wr_verify_is_crossing(
    const struct wr_verify_run *v, const struct wr_ltx_file *f, const struct wr_change *ch);

/* As wr_verify_go_back for such a file, if it is one. */
enum wr_status wr_verify_cross_over(struct wr_verify_run *v, const struct wr_ltx_file *f,
    const struct wr_change *ch, bool *ret_done, struct wr_err *e) WR_MUST_CHECK;

/* Whether the files of a restore, too, have what `f` takes from pages that were cut off before. If
 * not *ret_why has a code. Errors as above. */
enum wr_status wr_verify_grown(struct wr_verify_run *v, const struct wr_ltx_file *f,
    const struct wr_change *ch, struct wr_err *ret_why, struct wr_err *e) WR_MUST_CHECK;

/* Whether the database at opts->db_path is one of the walk's last states; a finding if not. The
 * walk may go on meanwhile. As wr_verify_walk; a database that cannot be read is no failure, but
 * v->blind. */
enum wr_status wr_verify_live(struct wr_verify_run *v, struct wr_err *e) WR_MUST_CHECK;

#endif
