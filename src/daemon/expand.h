/*
 * expand.h - what a user may abbreviate: environment variables in text, `~` and relative paths.
 */
#ifndef WR_DAEMON_EXPAND_H
#define WR_DAEMON_EXPAND_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

/* Called for a variable without a value: not set, or set to nothing. `off` is where its '$' stands
 * in the input, `out_off` where its value would stand in the output. */
typedef void wr_unset_fn(void *arg, struct wr_str name, bool is_set, size_t off, size_t out_off);

/* Append `text` to `out` with $NAME, ${NAME} and ${NAME:-default} replaced; the default is for a
 * variable without a value, and is not expanded itself. A variable without either is empty text, as
 * are the shell's special parameters ($$, $1, $?). $PID is the number of this process. A '$' before
 * anything else stays. Failures latch in `out`. `unset` may be NULL. */
void wr_expand_env(struct wr_buf *out, struct wr_str text, wr_unset_fn *unset, void *arg);

/* `path` without a leading sqlite:// or sqlite3://, `~` and `~/` replaced by the home directory,
 * made absolute against the working directory and cleaned. MISUSE when it is empty or `~` has no
 * meaning. In the arena. */
enum wr_status wr_expand_path(
    struct wr_arena *a, struct wr_str path, const char **ret, struct wr_err *e) WR_MUST_CHECK;

#endif
