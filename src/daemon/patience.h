/*
 * patience.h - connections that are to get to an end: one that has not by its deadline is cut off.
 *
 * What is timed elsewhere is silence, and who sends a byte now and then is never silent. A thread
 * of its own waits for the next deadline, and for nothing while there is no connection. It looks
 * once a second whether those are still there who wait for an answer that takes long.
 *
 * locked.
 */
#ifndef WR_DAEMON_PATIENCE_H
#define WR_DAEMON_PATIENCE_H

#include "base/base.h"
#include "base/status.h"

#include <weir.h>

struct wr_patience;
struct wr_patient; /* one connection */

#define WR_PATIENCE_ENDLESS INT64_MAX

/* For at most `max` connections at once. */
enum wr_status wr_patience_new(
    size_t max, struct wr_patience **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_patience_free(struct wr_patience *p); /* all have ended; NULL-safe */

/* `fd` is a socket, and open until wr_patience_end returns. It is shut down, in both directions,
 * unless told otherwise within `ms`. NULL: there are too many, and it was just now. */
struct wr_patient *wr_patience_begin(struct wr_patience *p, int fd, int64_t ms);
/* It has `ms` from now on. NULL-safe, as below. */
void wr_patience_until(struct wr_patience *p, struct wr_patient *c, int64_t ms);
/* From now on `cancel` is canceled within about a second of its client's closing the connection:
 * who answers reads nothing meanwhile, and would not notice. That the client sends no more, and
 * waits for its answer, does not count. NULL: not any more, and it is not used after that. */
void wr_patience_mind(struct wr_patience *p, struct wr_patient *c, weir_cancel *cancel);
void wr_patience_end(struct wr_patience *p, struct wr_patient *c);

#endif
