/*
 * source.h - what there is to restore from, and which of it will be: the format, and the plan.
 */
#ifndef WR_ENGINE_SOURCE_H
#define WR_ENGINE_SOURCE_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_legacy;
struct wr_restore_opts;
struct wr_storage;

/* owned. = {0} is empty. */
struct wr_source {
    struct wr_ltx_files all;  /* every LTX file */
    struct wr_ltx_files plan; /* those to apply */
    struct wr_legacy *legacy; /* NULL: none that qualifies */
};
void wr_source_release(struct wr_source *x);

/* List, choose the format, plan. Afterwards either x->legacy is set or x->plan has files. *x is
 * empty, and is to be released after a failure, too. Errors as wr_restore. */
enum wr_status wr_source_find(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_source *x, struct wr_err *e) WR_MUST_CHECK;

/* What is restored by a time that was counted back from now is another state than was meant where
 * this machine's clock is wrong. The last answers of the store tell its own: warn if that differs
 * by more than a minute. */
void wr_source_compare_clocks(struct wr_storage *s, const struct wr_call *c);

/* Only a plan, LTX only: *ret, which is empty before. Errors as wr_plan, and of listing. */
enum wr_status wr_source_plan(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_ltx_files *ret, struct wr_err *e) WR_MUST_CHECK;

/* After BUSY: OK if there is another way by now, which is *x then. It leads as far: that the newest
 * files are gone is no reason to restore an older state. Else *x is as it was: NOTFOUND with the
 * reason if the transaction or time that was asked for is not there any more; BUSY, and *e as it
 * was, if there is no other way, or it cannot be told. */
enum wr_status wr_source_find_again(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_source *x, struct wr_err *e) WR_MUST_CHECK;

#endif
