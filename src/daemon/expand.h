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

/* Called for a variable that is not set; `off` is where its '$' stands in the input. */
typedef void wr_unset_fn(void *arg, struct wr_str name, size_t off);

/* Append `text` to `out` with $NAME and ${NAME} replaced. An unset variable is empty text, as are
 * the shell's special parameters ($$, $1, $?). $PID is the number of this process. A '$' before
 * anything else stays. Failures latch in `out`. */
void wr_expand_env(struct wr_buf *out, struct wr_str text, wr_unset_fn *unset, void *arg);

/* `path` without a leading sqlite:// or sqlite3://, `~` and `~/` replaced by the home directory,
 * made absolute against the working directory and cleaned. MISUSE when it is empty or `~` has no
 * meaning. In the arena. */
enum wr_status wr_expand_path(
    struct wr_arena *a, struct wr_str path, const char **ret, struct wr_err *e) WR_MUST_CHECK;

#endif
